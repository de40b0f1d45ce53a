"""The sizes of a two-dimensional convolution, and what its parts cost, which decide how it is best computed.

The costs are in nanoseconds on one core with AVX2; only their proportions matter. They were fitted to measurements:
a product is slow where one of its sides is short, and a copy costs something for each number and for each run of them.
"""

from __future__ import annotations

import dataclasses
import functools

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """n images of c channels and h x w pixels; f kernels of k x l; outputs of p x q.

    Two are the same only if they are one object, which `window` sees to; so to look one up takes no comparison.
    """

    n: int
    c: int
    size: Pair
    f: int
    kernel: Pair
    out: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the images."""
        return (self.n, self.c, *self.size)

    @property
    def w_shape(self) -> tuple[int, ...]:
        """The shape of the kernels."""
        return (self.f, self.c // self.groups, *self.kernel)


@functools.lru_cache(1024)
def window(shape, w_shape, stride, padding, dilation, groups) -> Window:
    """The sizes for images of `shape` and a weight of `w_shape`."""
    n, c, *size = shape
    f, _, *kernel = w_shape
    both = zip(size, kernel, stride, padding, dilation, strict=True)
    p, q = [(n + 2 * pad - d * (k - 1) - 1) // s + 1 for n, k, s, pad, d in both]
    return Window(n, c, tuple(size), f, tuple(kernel), (p, q), stride, padding, dilation, groups)


def product(m: float, k: float, n: float) -> float:
    """The cost of a matrix product (m x k) (k x n)."""
    return m * k * n / 44 * (1 + 4 / m) * (1 + 8 / k) * (1 + 16 / n)


def copy(runs: float, length: float) -> float:
    """The cost of copying so many runs of memory."""
    return runs * (4 + length / 5)
