"""Columns on the GPU (im2col, col2im): the kernels that lay out what each kernel position meets, and gather it back.

What several windows have for one pixel is gathered, pixel by pixel and in the order of the kernel positions: no thread
adds to what another one writes, so that the same call gives the same bits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cupy

from .launch import kernel

Pair = tuple[int, int]

# an image of H x W pixels, P x Q windows of K x L places; up, left: the padding before it; s: strides, d: dilation
SIZES = ", ".join(f"int32 {name}" for name in "H W P Q K L up left sh sw dh dw".split())


def visit(each: str) -> str:
    """The loop that does `each` at every place (k, l) of window (p, q) that lies in the image, at its pixel (h, w)."""
    return f"""
    for (int k = 0; k < K; ++k) {{
        int h = p * sh - up + k * dh;
        if (h < 0 || h >= H) continue;
        for (int l = 0; l < L; ++l) {{
            int w = q * sw - left + l * dw;
            if (w < 0 || w >= W) continue;
            {each}
        }}
    }}"""


def gather(each: str) -> str:
    """The loop that does `each` for every window (p, q) that meets pixel (h, w), at its place (k, l) there.

    The last window comes first, so that the places come in their order.
    """
    return f"""
    int down = (K - 1) * dh, across = (L - 1) * dw, below = h + up, right = w + left;
    int first_p = below > down ? (below - down + sh - 1) / sh : 0, first_q = right > across ? (right - across + sw - 1) / sw : 0;
    for (int p = min(P - 1, below / sh); p >= first_p; --p) {{
        int k = below - p * sh;
        if (dh > 1) {{ if (k % dh) continue; k /= dh; }}
        for (int q = min(Q - 1, right / sw); q >= first_q; --q) {{
            int l = right - q * sw;
            if (dw > 1) {{ if (l % dw) continue; l /= dw; }}
            {each}
        }}
    }}"""  # noqa: E501


_lay_out = kernel(
    f"raw T x, raw T g, int32 N, int32 C, int32 F, {SIZES}, int32 image, int32 channel, int32 place",
    "raw T columns, raw T rows",
    """
    int r = i;
    int q = r % Q; r /= Q;
    int p = r % P; r /= P;
    int c = r % (C + F), n = r / (C + F);
    if (c < C) {
        ptrdiff_t pixels = (ptrdiff_t(n) * C + c) * H * W;
        int to = n * image + c * channel + p * Q + q;
        for (int k = 0; k < K; ++k) {
            int h = p * sh - up + k * dh;
            for (int l = 0; l < L; ++l) {
                int w = q * sw - left + l * dw;
                bool inside = h >= 0 && h < H && w >= 0 && w < W;
                columns[to] = inside ? x[pixels + h * W + w] : T(A(0));
                to += place;
            }
        }
    } else {
        int f = c - C, at = p * Q + q;
        rows[(f * N + n) * (P * Q) + at] = g[(n * F + f) * (P * Q) + at];
    }""",
    "minidl_columns",
)

_add_up = kernel(
    f"raw T columns, int32 C, {SIZES}, int32 image, int32 channel, int32 place",
    "T y",
    """
    int r = i;
    int w = r % W; r /= W;
    int h = r % H; r /= H;
    int from = r / C * image + r % C * channel;
    A sum = 0;"""
    + gather("sum += A(columns[from + (k * L + l) * place + p * Q + q]);")
    + "y = T(sum);",
    "minidl_columns_add",
)


class Window(NamedTuple):
    """The sizes of a convolution of images of c channels and `size` pixels, with `out` outputs each."""

    c: int
    size: Pair
    kernel: Pair
    out: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def taps(self) -> int:
        """Rows of columns: numbers that an output is made of, over all groups."""
        return self.c * math.prod(self.kernel)

    @property
    def outputs(self) -> int:
        """Outputs of an image."""
        return math.prod(self.out)

    def _places(self, n: int, apart: bool) -> tuple[int, int, int]:
        """Where image n and channel c begin in the columns, n image + c channel; and how far the places are apart."""
        each = math.prod(self.kernel) * self.outputs
        return (self.c * each, each, self.outputs) if apart else (self.outputs, n * each, n * self.outputs)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What `SIZES` names."""
        return (*self.size, *self.out, *self.kernel, *self.padding, *self.stride, *self.dilation)

    def of(self, x, g=None, apart: bool = False):
        """The columns of images x: (C K L, N P Q), or `apart`, one image after the other, (N, C K L, P Q).

        With g (N, F, P, Q) also its rows (F, N P Q), from the same launch.
        """
        n, given = len(x), x if g is None else g
        f = 0 if g is None else g.shape[1]
        shape = (n, self.taps, self.outputs) if apart else (self.taps, n * self.outputs)
        made = cupy.empty(shape, x.dtype)
        rows = made if g is None else cupy.empty((f, n * self.outputs), g.dtype)
        places = self._places(n, apart)
        count = n * (self.c + f) * self.outputs
        _lay_out(x, given, n, self.c, f, *self.numbers, *places, made, rows, size=count)
        return made if g is None else (made, rows)

    def add_up(self, columns, y, apart: bool = False) -> None:
        """Write into the images y, at each pixel, the sum of what the columns (laid out as by `of`) have for it."""
        _add_up(columns, self.c, *self.numbers, *self._places(len(y), apart), y)
