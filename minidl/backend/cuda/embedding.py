"""Additions at repeated places on the GPU in one order: sorted, then one thread sums all that goes to a place."""

from __future__ import annotations

import cupy

from .launch import FLOATS, kernel

_sums = kernel(
    "raw int64 place, raw int64 order, raw T values, int64 width",
    "raw T y",
    """
    ptrdiff_t k = i / width, j = i % width, n = place.size();
    long long row = place[order[k]];
    if (k == 0 || place[order[k - 1]] != row) {
        A sum = 0;
        for (; k < n && place[order[k]] == row; k++) sum += A(values[order[k] * width + j]);
        y[row * width + j] = T(sum);
    }""",
    "minidl_sums_of_rows",
    types=(*FLOATS, {"T": "int64"}),
)


def put_sums(y, rows, values) -> None:
    """y[row] = the sum of those of n values, of one number or more, whose number in `rows` (n,), >= 0, is that row."""
    if values.size:
        _sums(rows, cupy.argsort(rows), values, values.size // rows.size, y, size=values.size)
