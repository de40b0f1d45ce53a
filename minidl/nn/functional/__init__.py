"""PyTorch's `nn.functional`: layers as functions of their inputs and weights; the losses come from `nn/loss/`."""

from ..loss import FUNCTIONS as _LOSSES
from ..loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ..sparse import embedding
from .activation import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from .arrange import interpolate, one_hot, pad, upsample
from .conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d, linear
from .distance import cosine_similarity
from .dropout import alpha_dropout, dropout, dropout1d, dropout2d
from .norm import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, normalize, rms_norm
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
)

__all__ = ["linear", "conv2d", "max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "batch_norm", "dropout", "relu"]
__all__ += ["relu_", "tanh", "sigmoid", "softmax", "log_softmax", "pad", "one_hot"]
__all__ += ["conv1d", "conv_transpose1d", "conv_transpose2d", "max_pool1d", "max_pool1d_with_indices", "avg_pool1d"]
__all__ += ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"]
__all__ += ["adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices", "interpolate", "upsample"]
__all__ += ["layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "normalize"]
__all__ += ["dropout1d", "dropout2d", "alpha_dropout", "cosine_similarity", "relu6", "leaky_relu"]
__all__ += ["leaky_relu_", "prelu", "rrelu", "rrelu_", "elu", "elu_", "celu", "celu_", "selu", "selu_", "gelu", "silu"]
__all__ += ["mish", "softplus", "softsign", "tanhshrink", "softshrink", "hardshrink", "hardtanh", "hardtanh_"]
__all__ += ["hardsigmoid", "hardswish", "threshold", "threshold_", "logsigmoid", "softmin", "glu", "gumbel_softmax"]
__all__ += ["embedding"]
__all__ += _LOSSES
