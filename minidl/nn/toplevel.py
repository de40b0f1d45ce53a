"""Functions of layers that PyTorch also has at its top, `torch.conv2d`, some with another order of arguments."""

from __future__ import annotations

import warnings

from ..backend import ArgumentError
from ..functions import norm
from ..tensor import Tensor
from . import functional as F
from .recurrent import run_layers

_SAME = """
    adaptive_avg_pool1d avg_pool1d bilinear celu channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d
    conv_transpose2d conv_transpose3d cosine_similarity hardshrink max_pool1d max_pool2d max_pool3d pairwise_distance
    pdist pixel_shuffle pixel_unshuffle prelu rms_norm rrelu selu threshold
""".split()
globals().update({name: getattr(F, name) for name in _SAME})
_IN_PLACE = """
    alpha_dropout_ celu_ dropout_ feature_alpha_dropout_ feature_dropout_ relu_ rrelu_ selu_ threshold_
""".split()
_OWN = """
    adaptive_max_pool1d affine_grid_generator alpha_dropout batch_norm binary_cross_entropy_with_logits convolution
    cosine_embedding_loss ctc_loss dropout embedding feature_alpha_dropout feature_dropout grid_sampler grid_sampler_2d
    grid_sampler_3d group_norm gru gru_cell hinge_embedding_loss instance_norm kl_div layer_norm lstm lstm_cell
    margin_ranking_loss max_pool1d_with_indices native_channel_shuffle norm_except_dim poisson_nll_loss rnn_relu
    rnn_relu_cell rnn_tanh rnn_tanh_cell triplet_margin_loss
""".split()
__all__ = _SAME + _IN_PLACE + _OWN

_REDUCTIONS = ("none", "mean", "sum")  # PyTorch's numbers for them
native_channel_shuffle = F.channel_shuffle


def dropout(input, p: float, train: bool) -> Tensor:
    """`nn.functional.dropout`, where PyTorch's top-level function has no defaults."""
    return F.dropout(input, p, train)


def alpha_dropout(input, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout`, where PyTorch's top-level function has no defaults."""
    return F.alpha_dropout(input, p, train)


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False) -> Tensor:
    """`nn.functional.embedding` with the weight first; padding_idx -1: none."""
    padding = None if padding_idx == -1 else padding_idx
    return F.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True) -> Tensor:
    """`nn.functional.layer_norm`; cudnn_enable only concerns speed."""
    return F.layer_norm(input, tuple(normalized_shape), weight, bias, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True) -> Tensor:
    """`nn.functional.group_norm`; cudnn_enabled only concerns speed."""
    return F.group_norm(input, num_groups, weight, bias, eps)


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True) -> Tensor:
    """`nn.functional.batch_norm` with the weight and bias first; cudnn_enabled only concerns speed."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True
) -> Tensor:
    """`nn.functional.instance_norm` with the weight and bias first; cudnn_enabled only concerns speed."""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def feature_dropout(input, p: float, train: bool) -> Tensor:
    """Dropout of whole channels of (N, C, ...)."""
    whole = input.ndim > 2
    return F.dropout2d(input.flatten(2), p, train).view_as(input) if whole else F.dropout(input, p, train)


def feature_alpha_dropout(input, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout`, where PyTorch's top-level function has no defaults."""
    return F.feature_alpha_dropout(input, p, train)


def adaptive_max_pool1d(input, output_size) -> tuple[Tensor, Tensor]:
    """`nn.functional.adaptive_max_pool1d` with its indices."""
    return F.adaptive_max_pool1d(input, output_size, return_indices=True)


def max_pool1d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """`nn.functional.max_pool1d` with its indices."""
    return F.max_pool1d(input, kernel_size, stride or None, padding, dilation, ceil_mode, return_indices=True)


def convolution(
    input, weight, bias, stride, padding, dilation, transposed: bool, output_padding, groups: int
) -> Tensor:
    """The convolution, transposed or not, of as many dimensions as the weight has."""
    dims, options = weight.ndim - 2, (stride, padding)
    if dims not in (1, 2, 3):
        raise ArgumentError(f"convolution: expected a weight with 3 to 5 dimensions, got {tuple(weight.shape)}")
    if transposed:
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
        return function(input, weight, bias, *options, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[dims - 1](input, weight, bias, *options, dilation, groups)


def grid_sampler(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """`nn.functional.grid_sample` with numbers: bilinear 0, nearest 1, bicubic 2; zeros 0, border 1, reflection 2."""
    mode = _numbered("grid_sampler", "interpolation_mode", interpolation_mode, ("bilinear", "nearest", "bicubic"))
    outside = _numbered("grid_sampler", "padding_mode", padding_mode, ("zeros", "border", "reflection"))
    return F.grid_sample(input, grid, mode, outside, align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler


def affine_grid_generator(theta, size, align_corners: bool) -> Tensor:
    """`nn.functional.affine_grid`, where PyTorch's top-level function has no defaults."""
    return F.affine_grid(theta, size, align_corners)


def norm_except_dim(v, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but one, which stays, as those that were summed do with size 1; -1: over all."""
    if dim == -1:
        return norm(v, pow)
    return norm(v, pow, tuple([d for d in range(v.ndim) if d != dim % v.ndim]), keepdim=True)


# ------------------------------------------------------------------------------------- losses, reduction as a number
def _numbered(where: str, name: str, number: int, words: tuple[str, ...]) -> str:
    if number not in range(len(words)):
        meaning = ", ".join(f"{i} for {word!r}" for i, word in enumerate(words))
        raise ArgumentError(f"{where}: {name} must be {meaning}, got {number!r}")
    return words[number]


def _reduction(where: str, number: int) -> str:
    return _numbered(where, "reduction", number, _REDUCTIONS)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction: int = 0) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits`; reduction 0: none, 1: mean, 2: sum; so below."""
    how = _reduction("binary_cross_entropy_with_logits", reduction)
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=how, pos_weight=pos_weight)


def cosine_embedding_loss(input1, input2, target, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`nn.functional.cosine_embedding_loss`."""
    how = _reduction("cosine_embedding_loss", reduction)
    return F.cosine_embedding_loss(input1, input2, target, margin, reduction=how)


def hinge_embedding_loss(input, target, margin: float = 1.0, reduction: int = 0) -> Tensor:
    """`nn.functional.hinge_embedding_loss`."""
    return F.hinge_embedding_loss(input, target, margin, reduction=_reduction("hinge_embedding_loss", reduction))


def margin_ranking_loss(input1, input2, target, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`nn.functional.margin_ranking_loss`."""
    how = _reduction("margin_ranking_loss", reduction)
    return F.margin_ranking_loss(input1, input2, target, margin, reduction=how)


def kl_div(input, target, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """`nn.functional.kl_div`; its mean is that of all elements."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the mean is not the batch's
        return F.kl_div(input, target, reduction=_reduction("kl_div", reduction), log_target=log_target)


def poisson_nll_loss(input, target, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """`nn.functional.poisson_nll_loss`, where PyTorch's top-level function has no defaults."""
    how = _reduction("poisson_nll_loss", reduction)
    return F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=how)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-06, swap=False, reduction=0) -> Tensor:
    """`nn.functional.triplet_margin_loss`."""
    how = _reduction("triplet_margin_loss", reduction)
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=how)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=0, zero_infinity=False) -> Tensor:
    """`nn.functional.ctc_loss`."""
    how = _reduction("ctc_loss", reduction)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, how, zero_infinity)


# -------------------------------------------------------------------------------------------------- recurrent layers
def _sequence(where: str, mode: str, args: tuple) -> tuple[Tensor, ...]:
    """Outputs and last states of (input, hx, params, ...), or packed of (data, batch_sizes, hx, params, ...)."""
    packed = len(args) > 3 and isinstance(args[3], (list, tuple))
    if len(args) != 9:
        raise TypeError(f"{where}: expected 9 arguments, got {len(args)}")
    x, sizes, (hx, params, bias, layers, dropout, train, two) = args[0], None, args[2:] if packed else args[1:8]
    batch_first = not packed and args[8]
    if packed:
        sizes = tuple(args[1].tolist())
    elif batch_first:
        x = x.transpose(0, 1)
    directions = 2 if two else 1
    each = len(params) // (layers * directions)
    weights = [params[i : i + each] for i in range(0, len(params), each)]
    states = hx if isinstance(hx, (list, tuple)) else [hx]
    y, lasts = run_layers(mode, x, states, weights, bias, dropout if train else 0.0, directions, sizes)
    return (y.transpose(0, 1) if batch_first else y, *lasts)


def lstm(*args) -> tuple[Tensor, ...]:
    """(outputs, h_n, c_n) of `nn.LSTM`'s layers with these weights.

    Arguments: input, (h_0, c_0), params, has_biases, num_layers, dropout, train, bidirectional, batch_first; or packed
    data, batch_sizes, (h_0, c_0) and the others without batch_first. So for the three below, with h_0 alone.
    """
    return _sequence("lstm", "LSTM", args)


def gru(*args) -> tuple[Tensor, ...]:
    """(outputs, h_n) of `nn.GRU`'s layers with these weights; see `lstm`."""
    return _sequence("gru", "GRU", args)


def rnn_tanh(*args) -> tuple[Tensor, ...]:
    """(outputs, h_n) of `nn.RNN`'s layers with these weights; see `lstm`."""
    return _sequence("rnn_tanh", "RNN_TANH", args)


def rnn_relu(*args) -> tuple[Tensor, ...]:
    """(outputs, h_n) of `nn.RNN`'s layers with relu and these weights; see `lstm`."""
    return _sequence("rnn_relu", "RNN_RELU", args)


def _step(mode: str, input, states, *weights) -> list[Tensor]:
    starts = [state.unsqueeze(0) for state in states]
    given = [w for w in weights if w is not None]
    return run_layers(mode, input.unsqueeze(0), starts, [given], len(given) == 4, 0.0, 1)[1]


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> tuple[Tensor, Tensor]:
    """The step of `nn.LSTMCell` from the states hx = (h, c): both states."""
    h, c = _step("LSTM", input, hx, w_ih, w_hh, b_ih, b_hh)
    return h[0], c[0]


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """The step of `nn.GRUCell` from the state hx."""
    return _step("GRU", input, [hx], w_ih, w_hh, b_ih, b_hh)[0][0]


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """The step of `nn.RNNCell` from the state hx."""
    return _step("RNN_TANH", input, [hx], w_ih, w_hh, b_ih, b_hh)[0][0]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """The step of `nn.RNNCell` with relu from the state hx."""
    return _step("RNN_RELU", input, [hx], w_ih, w_hh, b_ih, b_hh)[0][0]


def _in_place(name: str, function):
    def changing(input, *args, **kwargs) -> Tensor:
        return input.assign(name, lambda: function(input, *args, **kwargs))

    changing.__name__ = changing.__qualname__ = name
    changing.__doc__ = f"`{name[:-1]}` in place."
    return changing


relu_, selu_, celu_ = _in_place("relu_", F.relu), _in_place("selu_", F.selu), _in_place("celu_", F.celu)
rrelu_, threshold_ = _in_place("rrelu_", F.rrelu), _in_place("threshold_", F.threshold)
dropout_ = _in_place("dropout_", dropout)
alpha_dropout_ = _in_place("alpha_dropout_", alpha_dropout)
feature_dropout_ = _in_place("feature_dropout_", feature_dropout)
feature_alpha_dropout_ = _in_place("feature_alpha_dropout_", feature_alpha_dropout)
