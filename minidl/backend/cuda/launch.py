"""How a kernel is declared: CuPy's element-wise and reduction kernels, in a table that tests compile and compare."""

from __future__ import annotations

from typing import NamedTuple

import cupy

# the type that a kernel computes in: float for half precision, else its own
_WIDE = """
template<typename X> struct wide_of { typedef X type; };
template<> struct wide_of<float16> { typedef float type; };
typedef wide_of<T>::type A;
"""


class Declared(NamedTuple):
    """What a kernel was declared with, and the types of its letters that it is used with."""

    kind: str
    arguments: tuple
    types: tuple[dict[str, str], ...]


KERNELS: dict[str, Declared] = {}  # by name; tests compile each for a GPU and run it on the host
FLOATS = ({"T": "float32"}, {"T": "float64"}, {"T": "float16"})
WIDER = {"float32": "float32", "float64": "float64", "float16": "float32"}  # the dtype that each is computed in
WITH_WIDER = tuple([{"T": kind, "U": wider} for kind, wider in WIDER.items()])
WITH_INDEX = tuple([{**given, "S": "int64"} for given in WITH_WIDER])


def kernel(ins: str, outs: str, body: str, name: str, *, preamble: str = "", types=FLOATS):
    """An ElementwiseKernel: `body` for each element `i`. T is the type of the data, A the one to compute in."""
    if any("T" in given for given in types):
        preamble = _WIDE + preamble
    KERNELS[name] = Declared("elementwise", (ins, outs, body, preamble), types)
    return cupy.ElementwiseKernel(ins, outs, body, name, preamble=preamble)


def reduction(
    ins: str, outs: str, each: str, both: str, after: str, identity: str, name: str, *,
    preamble: str = "", types=FLOATS, of="A",
):  # fmt: skip
    """A ReductionKernel: `each` element becomes an `of`, two of which `both` makes one, and `after` the result."""
    preamble = _WIDE + preamble
    KERNELS[name] = Declared("reduction", (ins, outs, each, both, after, identity, of, preamble), types)
    return cupy.ReductionKernel(ins, outs, each, both, after, identity, name, reduce_type=of, preamble=preamble)


def same(*arrays) -> bool:
    """Whether all are of one floating-point dtype that the kernels are for."""
    kind = arrays[0].dtype
    return kind.name in WIDER and all(a.dtype == kind for a in arrays)
