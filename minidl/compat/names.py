"""Which of PyTorch's names minidl has, and of the others whether they are planned or out of scope, and what to use.

`torch_names.txt` holds PyTorch's public names and their arguments; the groups below say of every name that is missing
why it is. From these come the messages of AttributeErrors and the page docs/from-pytorch.md.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ..tensor import Tensor

_ROOT = __package__.partition(".")[0]
# the modules whose AttributeErrors explain; a tuple, because reading the file of names takes longer than the import may
_ASKED = (
    "",
    *(".nn .nn.functional .nn.init .nn.utils .nn.utils.rnn .optim .optim.lr_scheduler .optim.swa_utils").split(),
    *(".utils.data .utils.checkpoint .autograd .autograd.functional .func .linalg .special .amp .cuda .onnx").split(),
    *".accelerator .random .serialization .autograd.graph .nn.attention .jit".split(),
)


class Group(NamedTuple):
    """Names that are missing for one reason."""

    planned: bool
    why: str  # goes on after "out of scope: " or "planned: "
    names: str  # regular expressions for `name` or `place.name`, separated by blanks


GROUPS = (
    Group(
        False,
        "complex numbers are not supported; keep real and imaginary part as two tensors",
        r"fft view_as_(complex|real) polar complex istft stft imag conj_physical_ torch\.linalg\.eig(vals)?"
        r" torch\.Tensor\.eig has_spectral",
    ),
    Group(
        False,
        "quantised tensors are not supported; train and predict in float32",
        r"ao dequantize int_repr quantize_\w+ q(u)?int\w+ quint\w+",
    ),
    Group(
        False,
        "NumPy has no such element type; use float32, int64 or uint8",
        r"float[48]_\w+ bits\w+ u?int[1-7] bit (scaled|grouped|scaled_grouped)_mm",
    ),
    Group(
        False,
        "sparse layouts are not supported but the row-sparse gradients of embeddings; use dense tensors",
        r"sparse nested masked sparse_\w+ to_sparse\w* dense_dim smm sspaddmm resize_as_sparse_ to_padded_tensor",
    ),
    Group(False, "there are two kinds of devices here, 'cpu' and 'cuda'", r"ipu mtia xpu get_device_module"),
    Group(
        False,
        "there is no compiler or tracer of Python code here; call the function itself",
        r"fx library overrides torch\.jit\.\w+ Script(Class|Function) Tag DispatchKey ExportableModule"
        r" InputObserver ONNXProgram functionalize debug_unwrap",
    ),
    Group(
        False,
        "it concerns how PyTorch manages memory and threads",
        r"as_subclass const_data_ptr from_file empty_permuted record_stream hash_tensor storage storage_type to_dlpack"
        r" module_load grad_dtype convert_conv[23]d_weight_memory_format enforce_grad_layout_policy nonzero_static"
        r" share_memory_ set_multithreading_enabled thread_safe_generator has_(lapack|mkl|openmp) index slice_inverse"
        r" as_strided_scatter",
    ),
    Group(
        False,
        "PyTorch itself has deprecated or removed it, or keeps it for old programs",
        r"lstsq solve symeig volatile range NestedIOFunction factory_kwargs Container torch\.Tensor\.lu_solve",
    ),
    Group(
        False,
        "minidl has no operator tags or internal constants of PyTorch",
        r"AVG SUM common_notes rearrange LinearCrossEntropyOptions",
    ),
    Group(
        True,
        "more of what PyTorch tells of a GPU; minidl.compile_step captures whole steps as graphs",
        r"torch\.cuda\.\w+ torch\.accelerator\.\w+ Event Stream AcceleratorError",
    ),
    Group(
        True,
        "matrix decompositions beyond Cholesky, QR, SVD and the symmetric eigenvalue problem",
        r"lu lu_\w+ ldl_\w+ geqrf orgqr ormqr householder_product lobpcg pca_lowrank svd_lowrank",
    ),
    Group(
        False,
        "Python's own tools serve: cProfile, multiprocessing, concurrent.futures",
        r"profiler monitor multiprocessing futures",
    ),
    Group(
        False,
        "code from the network is never run; load_state_dict_from_url fetches weights",
        r"torch\.hub\.\w+",
    ),
    Group(
        False,
        "attention has one implementation here, so that there is none to choose",
        r"torch\.nn\.attention\.\w+",
    ),
    Group(
        False,
        "what is saved for backward cannot be exchanged; checkpoint(...) saves memory",
        r"torch\.autograd\.graph\.\w+",
    ),
    Group(
        True,
        "more distributions, and transforms of them",
        r"torch\.distributions\.\w+",
    ),
    Group(
        False,
        "special functions that no layer or loss needs; SciPy has them for arrays",
        r"i0_? i0e i1e? igammac?_? gammaincc? airy_ai \w*bessel\w+ \w+_polynomial_\w+ zeta",
    ),
    Group(False, "windows of signal processing; SciPy has them", r"signal bartlett_window kaiser_window"),
    Group(False, "a histogram of several dimensions; np.histogramdd has it", r"histogramdd"),
    Group(False, "it belongs to how PyTorch writes or reads its own files", r"package torch\.serialization\.\w+"),
    Group(
        False,
        "it belongs to how PyTorch recomputes; `checkpoint` and `checkpoint_sequential` are here",
        r"torch\.utils\.checkpoint\.\w+",
    ),
    Group(
        False,
        "it swaps parameters behind an optimizer's or a module's back; make the object anew",
        r"swap_in_optimizer_params_and_state replace_all_batch_norm_modules_",
    ),
)


@functools.lru_cache(maxsize=1)
def torch_names() -> dict[str, dict[str, tuple[str, ...]]]:
    """PyTorch's public names: for each place, such as `torch.nn`, its names with their arguments.

    >>> torch_names()["torch.nn"]["Linear"]
    ('in_features', 'out_features', 'bias', 'device', 'dtype')
    """
    places: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in Path(__file__).with_name("torch_names.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            place = places.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, words = line.rstrip(")").partition("(")
            place[name] = tuple(words.split(", ")) if words else ()
    return places


def place_here(place: str) -> Any:
    """The module of minidl (or Tensor) that stands for one of PyTorch's places; None if there is none."""
    if place == "torch.Tensor":
        return Tensor
    try:
        return importlib.import_module(_ROOT + place.removeprefix("torch"))
    except ModuleNotFoundError:
        return None


@functools.lru_cache(maxsize=1)
def _rules() -> list[tuple[re.Pattern, Group]]:
    return [(re.compile("|".join(f"(?:{name})" for name in group.names.split())), group) for group in GROUPS]


def group_of(place: str, name: str) -> Group | None:
    """Why minidl has no such name; None if nothing is said about it."""
    for pattern, group in _rules():
        if pattern.fullmatch(name) or pattern.fullmatch(f"{place}.{name}"):
            return group
    return None


def explain(place: str, name: str) -> str:
    """What an AttributeError says about a name that minidl does not have.

    >>> explain("torch", "bartlett_window")
    "minidl has no 'bartlett_window'; out of scope: windows of signal processing; SciPy has them"
    >>> explain("torch.nn", "Conv2D")
    "minidl.nn has no 'Conv2D'; did you mean 'Conv2d'?"
    """
    here = _ROOT + place.removeprefix("torch")
    known = name in torch_names().get(place, ())
    group = group_of(place, name) if known else None
    if group is None:
        near = None if known else _nearest(place, name)
        return f"{here} has no {name!r}" + (f"; did you mean {near!r}?" if near else "")
    return f"{here} has no {name!r}; {'planned' if group.planned else 'out of scope'}: {group.why}"


@functools.lru_cache(maxsize=1024)  # programs ask again and again for what is not there
def _nearest(place: str, name: str) -> str | None:
    """The public name here that is most like `name`, if one is: the same in other letters, or nearly the same."""
    if name.startswith("_") or (module := place_here(place)) is None:
        return None
    names = [n for n in dir(module) if not n.startswith("_")]
    same = [n for n in names if n.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, names, 1, 0.75)), None)


_explained: set[ModuleType] = set()


def explain_missing(module: ModuleType) -> None:
    """From now on an AttributeError of this module says what is known about the name."""
    if module in _explained:
        return
    _explained.add(module)
    place = "torch" + module.__name__.removeprefix(_ROOT)
    before: Callable[[str], Any] | None = vars(module).get("__getattr__")

    def __getattr__(name: str) -> Any:
        if before is not None:
            with contextlib.suppress(AttributeError):
                return before(name)
        if name.startswith("__"):  # what Python itself asks for
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        raise AttributeError(explain(place, name), name=name)  # without `obj` Python does not guess beside us

    setattr(module, "__getattr__", __getattr__)  # noqa: B010 (a plain assignment confuses the type checker)


def _missing_in_tensor(self: Tensor, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"'{type(self).__name__}' object has no attribute {name!r}")
    raise AttributeError(explain("torch.Tensor", name).replace(f"{_ROOT}.", "", 1), name=name)


def explain_everywhere() -> None:
    """`explain_missing` for every imported module that may be asked for PyTorch's names, and for Tensor."""
    for place in _ASKED:
        if (module := sys.modules.get(_ROOT + place)) is not None:
            explain_missing(module)
    setattr(Tensor, "__getattr__", _missing_in_tensor)  # noqa: B010
