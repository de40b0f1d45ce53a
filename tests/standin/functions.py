"""NumPy's functions with CuPy's parameters, CuPy's refusals and a count of the launches."""

from __future__ import annotations

import numpy as np

from . import counts
from .arrays import SCALARS, bare, ndarray, remade, view, wrap
from .counts import Undefined, launched, synced, uploaded


def memory(a):
    """The object at the end of the chain of bases."""
    while getattr(a, "base", None) is not None:
        a = a.base
    return a


def adopt(name: str, result, sources: list[ndarray], wrote: bool = False, compute=None):
    """The stand-in's arrays for NumPy's results. Unless all are views of the sources it took one launch."""
    fresh = wrote or result is None

    def one(r):
        nonlocal fresh
        if type(r) is np.ndarray:
            for x in sources:
                if r is x._a:
                    return x
            if r.base is not None:
                owner = memory(r)
                for x in sources:
                    if memory(x._a) is owner:
                        return view(x, r)
        elif not isinstance(r, SCALARS):
            return r
        fresh = True
        return wrap(r)

    if isinstance(result, (list, tuple)):
        out = list(map(one, result)) if type(result) is list else tuple(map(one, result))
    else:
        out = one(result)
    if fresh:
        again = None
        if counts.tape is not None and compute is not None:
            arrays = list(out) if isinstance(out, (list, tuple)) else [out]
            again = compute if wrote else remade([x._a for x in arrays], compute)
        launched(name, again)
    return out


# --- NumPy's functions as CuPy's

# what CuPy reads as an array: a list or a NumPy array there is refused
_ARRAYS = frozenset(
    "a b m x y v A a1 a2 ar ar1 ar2 arr arr1 arr2 ary array condition element prototype filt values weights".split()
)
# what CuPy reads on the host: a device array there has no __index__
_HOST = frozenset(
    "M N axes axis axis1 axis2 ddof decimals destination dims dtype indices_or_sections k keepdims kth mode "
    "minlength ndmin newshape num order pad_width reps repeats shape size source start step stop".split()
)
_PASSED = (*SCALARS, str, type, np.dtype)
_INDICES = frozenset({"indices"})  # what CuPy takes from the host too, with a silent upload


def adapt(name, function, params: list[str], *, where="cupy", sync=False, first_array=True):
    """NumPy's `function` with CuPy's parameters, refusals and counts; `params` are CuPy's names as frozen."""
    labels = [p.lstrip("*") for p in params]
    places = labels  # the label of each position
    stars = [i for i, p in enumerate(params) if p[0] == "*" and p[1] != "*"]
    if stars:
        places = [*labels[: stars[0]], *[labels[stars[0]]] * 64]
    most = len(places)
    allowed = None if any(p.startswith("**") for p in params) else set(labels)

    checks_first = first_array and not stars and labels[:1] != [] and labels[0] in _ARRAYS

    def call(*args, **kwargs):
        if len(args) > most:
            raise TypeError(f"{where}.{name}() takes {most} positional arguments but {len(args)} were given")
        for key in kwargs:
            if allowed is not None and key not in allowed:
                raise TypeError(f"{where}.{name}() got an unexpected keyword argument {key!r}")
        if sync:
            synced(name)
        if not args and params and labels[0] in kwargs:  # NumPy may have another name for the first
            args = (kwargs.pop(labels[0]),)
        sources: list[ndarray] = []
        if checks_first and args and type(args[0]) is not ndarray:
            raise TypeError(f"{where}.{name}(): {labels[0]} must be a cupy.ndarray, got {type(args[0])}")
        read = [_argument(name, x, label, sources) for x, label in zip(args, places, strict=False)]
        named = {key: _argument(name, x, key, sources) for key, x in kwargs.items()}

        def compute():
            try:
                with np.errstate(all="ignore"):  # a GPU reports no floating-point errors
                    return function(*read, **named)
            except IndexError as error:
                if "indices" in labels and "out of bounds" in str(error):
                    raise Undefined(f"{where}.{name}(): CuPy wraps such an index silently: {error}") from error
                raise

        target = kwargs.get("out")
        if target is None and "out" in labels[: len(args)]:
            target = args[labels.index("out")]
        if target is None or counts.tape is None:
            return adopt(name, compute(), sources, target is not None, compute)
        before = bare(target).copy()
        result = compute()
        bare(target)[...] = before  # nothing is written before the graph is launched
        return adopt(name, result, sources, True, compute)

    call.__name__ = call.__qualname__ = name
    return call


def _by_addresses(arrays: list[np.ndarray]) -> bool:
    """Whether CuPy joins the arrays in one kernel that reads a list of their addresses, else by a copy of each."""
    alike = len(arrays) > 8 and len({a.dtype for a in arrays}) == 1
    return alike and sum([a.nbytes for a in arrays]) < len(arrays) << 21


def _argument(name, x, label, sources):
    """One argument for NumPy, or TypeError for what CuPy refuses."""
    if type(x) is ndarray:
        if label in _HOST:
            raise TypeError(f"cupy.{name}(): {label}: 'cupy.ndarray' object cannot be interpreted as an integer")
        sources.append(x)
        return bare(x)
    if x is None or isinstance(x, _PASSED):
        if label == "kind" and x not in (None, "stable"):
            raise ValueError(f"cupy.{name}(): kind can only be None or 'stable', got {x!r}")
        return x
    if label in _INDICES and isinstance(x, (np.ndarray, list, tuple)):
        uploaded(f"{name} indices")
        return np.asarray(x)
    if label == "tup" and isinstance(x, (list, tuple)) and any(type(item) is not ndarray for item in x):
        raise TypeError(f"cupy.{name}(): only cupy arrays can be joined, got {[type(item) for item in x]}")
    if label == "tup" and _by_addresses([item._a for item in x]):
        uploaded(f"{name} addresses")
    if isinstance(x, (list, tuple)) and label not in _ARRAYS:
        return type(x)(_argument(name, item, label, sources) for item in x)
    if isinstance(x, (list, tuple, np.ndarray)) or hasattr(x, "__array_ufunc__") or hasattr(x, "__array__"):
        raise TypeError(f"cupy.{name}(): Unsupported type {type(x)}")
    return x
