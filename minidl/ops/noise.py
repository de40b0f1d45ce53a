"""Ops whose randomness comes in as an input."""

from __future__ import annotations

from ..backend import backend_of, definition
from ..engine import FUNCTIONS, op


@definition("masked")
def plain_masked(x, mask, *, scale):
    """x mask scale."""
    return x * scale * mask


FUNCTIONS["masked"] = plain_masked


@op(promote=None)
def dropout(x, mask, *, scale):
    """y = x mask scale, with a mask of 0 and 1;   dL/dx = g mask scale."""
    return backend_of(x).masked(x, mask, scale=scale), (lambda g: backend_of(g).masked(g, mask, scale=scale), None)
