"""PyTorch's `nn.grad`: the gradients of convolutions for their input and for their weight, as functions."""

from __future__ import annotations

from .. import functions as F
from ..autograd import grad
from ..modes import enable_grad
from ..tensor import Tensor
from . import functional


def _gradient(dims: int, of: str, input, weight, grad_output: Tensor, stride, padding, dilation, groups) -> Tensor:
    """The gradient for `input` or `weight`, of which only the size is given: a convolution is linear in both."""
    like = {"dtype": grad_output.dtype, "device": grad_output.device}
    with enable_grad():
        unknown = F.zeros(tuple(input if of == "input" else weight), requires_grad=True, **like)
        x, w = (unknown, weight.detach()) if of == "input" else (input.detach(), unknown)
        y = getattr(functional, f"conv{dims}d")(x, w, None, stride, padding, dilation, groups)
        (gradient,) = grad(y, unknown, grad_output)
    assert gradient is not None, "y depends on it"
    return gradient


def conv1d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv1d` for its input of the given size, from that of its output."""
    return _gradient(1, "input", input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv1d` for its weight of the given size, from that of its output."""
    return _gradient(1, "weight", input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv2d` for its input of the given size, from that of its output."""
    return _gradient(2, "input", input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv2d` for its weight of the given size, from that of its output."""
    return _gradient(2, "weight", input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv3d` for its input of the given size, from that of its output."""
    return _gradient(3, "input", input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """The gradient of `conv3d` for its weight of the given size, from that of its output."""
    return _gradient(3, "weight", input, weight_size, grad_output, stride, padding, dilation, groups)
