"""Elementwise work on the GPU whose plain definition takes several launches: one."""

from __future__ import annotations

from .. import DEFINITIONS
from . import launch

_relu_grad = launch.kernel("T g, T y", "T dx", "dx = T(A(g) * A(y > T(0.0f)))", "minidl_relu_grad")

_logistic = launch.kernel("T x", "T y", "A v = x; y = T(1 / (1 + exp(-v)))", "minidl_logistic")

_logistic_grad = launch.kernel("T g, T y", "T dx", "A v = y; dx = T(A(g) * v * (1 - v))", "minidl_logistic_grad")

_tanh_grad = launch.kernel("T g, T y", "T dx", "A v = y; dx = T(A(g) * (1 - v * v))", "minidl_tanh_grad")

_gelu = launch.kernel(
    "T x",
    "T y, T slope",
    """
    A v = x, below = A(0.5) * erfc(v * A(-0.70710678118654752));
    y = T(v * below);
    slope = T(below + v * exp(v * v * A(-0.5)) * A(0.39894228040143268));""",
    "minidl_gelu",
)

_masked = launch.kernel("T x, bool mask, float64 scale", "T y", "y = T(A(x) * A(scale) * A(mask))", "minidl_masked")


def relu_grad(g, y):
    """g where y > 0, else 0; see ops/elementwise.py."""
    return _relu_grad(g, y) if launch.same(g, y) else DEFINITIONS["relu_grad"](g, y)


def logistic(x):
    """1 / (1 + e^-x); see ops/elementwise.py."""
    return _logistic(x) if launch.same(x) else DEFINITIONS["logistic"](x)


def logistic_grad(g, y):
    """g y (1 - y); see ops/elementwise.py."""
    return _logistic_grad(g, y) if launch.same(g, y) else DEFINITIONS["logistic_grad"](g, y)


def tanh_grad(g, y):
    """g (1 - y y); see ops/elementwise.py."""
    return _tanh_grad(g, y) if launch.same(g, y) else DEFINITIONS["tanh_grad"](g, y)


def gelu(x):
    """x P(x) and its slope; see ops/activation.py."""
    return _gelu(x) if launch.same(x) else DEFINITIONS["gelu"](x)


def masked(x, mask, *, scale):
    """x scale mask; see ops/noise.py."""
    if not launch.same(x) or mask.dtype != bool:
        return DEFINITIONS["masked"](x, mask, scale=scale)
    return _masked(x, mask, float(scale))
