"""A convolution or linear layer and the batch normalisation after it as one layer, for `eval`."""

from __future__ import annotations

import copy
from typing import Any

from ... import functions as F
from ...tensor import Parameter, Tensor
from ..module import Module


def _check(layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("fusion is only for modules in eval mode")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("fusion needs the running statistics of the batch normalisation")


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A new convolution that does what `conv` and then `bn` do, both in eval mode; transpose: a transposed one."""
    _check(conv, bn)
    fused: Any = copy.deepcopy(conv)
    b: Any = bn
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, b.running_mean, b.running_var, b.eps, b.weight, b.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the two together: W s and (b - mean) s + bias, with s = weight / sqrt(var + eps)."""
    scale = F.rsqrt(bn_rv + bn_eps) * (1.0 if bn_w is None else bn_w)
    shape = (1, -1) if transpose else (-1, 1)
    bias = F.zeros_like(bn_rm) if conv_b is None else conv_b
    w = conv_w * F.reshape(scale, (*shape, *[1] * (conv_w.ndim - 2)))
    b = (bias - bn_rm) * scale + (0.0 if bn_b is None else bn_b)
    trained = bias.requires_grad
    return (
        Parameter(w.detach().to(conv_w.dtype), conv_w.requires_grad),
        Parameter(b.detach().to(conv_w.dtype if conv_b is None else conv_b.dtype), trained),
    )


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A new linear layer that does what `linear` and then `bn` do, both in eval mode."""
    _check(linear, bn)
    fused: Any = copy.deepcopy(linear)
    b: Any = bn
    if fused.out_features != b.num_features and b.num_features != 1:
        raise AssertionError(
            f"fuse_linear_bn_eval: linear.out_features is {fused.out_features}, bn.num_features is {b.num_features}: "
            "they must be equal, or num_features 1"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, b.running_mean, b.running_var, b.eps, b.weight, b.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the two together: W s and (b - mean) s + bias, with s = weight / sqrt(var + eps)."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
