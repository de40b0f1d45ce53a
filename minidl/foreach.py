"""PyTorch's `_foreach_` functions, which third-party optimizers use: one function over the tensors of a list."""

from __future__ import annotations

from . import functions as F
from . import methods  # noqa: F401  (the methods with which the in-place forms work)
from .tensor import Tensor

_UNARY = """
    abs acos asin atan ceil clone cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal
    round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc zero
""".split()
_BINARY = "add clamp_max clamp_min copy div maximum minimum mul pow sub".split()
__all__ = [
    "_foreach_norm", "_foreach_max",
    *[f"_foreach_{n}{u}" for n in ("addcmul", "addcdiv", "lerp") for u in ("", "_")],
    *[f"_foreach_{n}{u}" for n in _UNARY + _BINARY for u in ("", "_")
      if (n, u) not in {("zero", ""), ("clone", "_"), ("copy", "")}],
]  # fmt: skip


def _listed(name: str, tensors) -> list[Tensor]:
    tensors = list(tensors)
    if not tensors or not all(isinstance(x, Tensor) for x in tensors):
        raise RuntimeError(f"{name}: expected a non-empty list of Tensors")
    return tensors


def _each(name: str, values, count: int) -> list:
    """A value for each tensor: the same number or Tensor for all, or a list of as many."""
    if not isinstance(values, (list, tuple)):
        return [values] * count
    if len(values) != count:
        raise RuntimeError(f"{name}: the lists must have one length, got {count} and {len(values)}")
    return list(values)


def _of(name: str):
    """The function of one tensor; what ends with _ is the method, which changes its tensor."""
    if name.endswith("_"):
        return getattr(Tensor, {"maximum_": "clamp_min_", "minimum_": "clamp_max_"}.get(name, name))
    return {"maximum": F.clamp_min, "minimum": F.clamp_max}.get(name) or getattr(F, name)


def _made(name: str, function, doc: str):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    globals()[name] = function


def _unary(name: str) -> None:
    full, each = f"_foreach_{name}", _of(name)

    def function(self):
        found = [each(x) for x in _listed(full, self)]
        return None if name.endswith("_") else tuple(found)

    _made(full, function, f"`{name}` of each tensor.")


def _binary(name: str) -> None:
    full, each = f"_foreach_{name}", _of(name)

    def function(self, other=None, *, alpha=1, scalar=None, scalars=None, exponent=None, non_blocking=False):
        given = next((v for v in (other, scalar, scalars, exponent) if v is not None), None)
        if given is None:
            raise TypeError(f"{full}: expected a second operand")
        if not isinstance(self, (list, tuple)):  # the power of a number to each tensor
            base, exponents = self, _listed(full, given)
            return tuple([each(F.full((), base, dtype=x.dtype, device=x.device), x) for x in exponents])
        xs = _listed(full, self)
        more = {} if alpha == 1 else {"alpha": alpha}
        found = [each(x, v, **more) for x, v in zip(xs, _each(full, given, len(xs)), strict=True)]
        return None if name.endswith("_") else tuple(found)

    _made(full, function, f"`{name}` of each tensor and a number, a Tensor, or its partner in a list of either.")


def _ternary(name: str) -> None:
    full, each = f"_foreach_{name}", _of(name)

    def function(self, tensor1, tensor2, value=1, *, scalars=None):
        xs = _listed(full, self)
        values = value if scalars is None else scalars
        values = values.tolist() if isinstance(values, Tensor) and values.ndim else values
        numbers = [v.item() if isinstance(v, Tensor) else v for v in _each(full, values, len(xs))]
        found = [each(x, a, b, value=v) for x, a, b, v in zip(xs, tensor1, tensor2, numbers, strict=True)]
        return None if name.endswith("_") else tuple(found)

    _made(full, function, f"`{name}` of each tensor and its partners, with a value for all or for each.")


def _lerp(name: str) -> None:
    full, each = f"_foreach_{name}", _of(name)

    def function(self, tensors1, weight=None, *, weights=None):
        xs, given = _listed(full, self), weight if weights is None else weights
        found = [each(x, end, w) for x, end, w in zip(xs, tensors1, _each(full, given, len(xs)), strict=True)]
        return None if name.endswith("_") else tuple(found)

    _made(full, function, f"`{name}` of each tensor and its partner, with a weight for all or for each.")


for _name in _UNARY + _BINARY + ["addcmul", "addcdiv", "lerp"]:
    _make = _unary if _name in _UNARY else _binary if _name in _BINARY else _lerp if _name == "lerp" else _ternary
    for _form in (_name, f"{_name}_"):
        if _form not in ("zero", "clone_", "copy"):
            _make(_form)


def _foreach_norm(self, ord=2, dtype=None) -> tuple[Tensor, ...]:
    """The norm of each tensor."""
    return tuple([F.norm(x if dtype is None else x.to(dtype), ord) for x in _listed("_foreach_norm", self)])


def _foreach_max(self) -> tuple[Tensor, ...]:
    """The largest element of each tensor."""
    return tuple([F.max(x) for x in _listed("_foreach_max", self)])
