"""Ops whose randomness comes in as an input."""

from __future__ import annotations

from ..engine import op


@op(promote=None)
def dropout(x, mask, *, scale):
    """y = x mask scale, with a mask of 0 and 1;   dL/dx = g mask scale."""
    return x * scale * mask, (lambda g: g * scale * mask, None)
