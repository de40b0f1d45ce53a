"""PyTorch's `nn.functional`: layers as functions of their inputs and weights; the losses come from `nn/loss/`."""

from ..loss import FUNCTIONS as _LOSSES
from ..loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cross_entropy,
    ctc_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
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
from ..sparse import embedding, embedding_bag
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
from .arrange import (
    channel_shuffle,
    fold,
    native_channel_shuffle,
    one_hot,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    unfold,
)
from .attention import multi_head_attention_forward, scaled_dot_product_attention
from .bilinear import bilinear
from .conv import conv1d, conv2d, conv3d, conv_tbc, conv_transpose1d, conv_transpose2d, conv_transpose3d, linear
from .distance import cosine_similarity, pdist
from .dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .norm import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, normalize, rms_norm
from .places import (
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
)
from .resize import interpolate, upsample, upsample_bilinear, upsample_nearest
from .sampling import affine_grid, grid_sample

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
__all__ += ["embedding", "embedding_bag", "bilinear", "pdist"]
__all__ += ["scaled_dot_product_attention", "multi_head_attention_forward"]
__all__ += ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "unfold", "fold"]
__all__ += ["upsample_nearest", "upsample_bilinear", "grid_sample", "affine_grid", "dropout3d", "feature_alpha_dropout"]
__all__ += ["conv3d", "conv_transpose3d", "conv_tbc", "max_pool3d", "max_pool3d_with_indices", "avg_pool3d"]
__all__ += ["adaptive_avg_pool3d", "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices"]
__all__ += ["lp_pool1d", "lp_pool2d", "lp_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d"]
__all__ += ["fractional_max_pool2d", "fractional_max_pool2d_with_indices"]
__all__ += ["fractional_max_pool3d", "fractional_max_pool3d_with_indices"]
__all__ += _LOSSES
