"""What is computed in which precision within autocast: calls that run in PyTorch and in minidl alike.

`tests/reference/make_autocast.py` keeps the dtypes that PyTorch's results have; `test_amp.py` compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# the dtypes of a call's inputs: of the first one, of the others
MIXES = {
    "half": ("float16", "float16"),
    "single": ("float32", "float32"),
    "half, single": ("float16", "float32"),
    "single, half": ("float32", "float16"),
    "double": ("float64", "float64"),
}


class Precision(NamedTuple):
    """A call `function(T, F, *inputs)`: T is the package, F its nn.functional; inputs of these shapes, in (0, 1)."""

    function: Callable
    shapes: tuple


PRECISIONS: dict[str, Precision] = {}


def numbers(shape, dtype: str) -> np.ndarray:
    """Numbers in (0.1, 0.9) that are the same everywhere."""
    n = int(np.prod(shape))
    return (0.1 + 0.8 * ((np.arange(n) * 0.618 + 0.3) % 1)).reshape(shape).astype(dtype)


def calls(*shapes, **functions: Callable) -> None:
    """Enter calls that take inputs of these shapes."""
    for name, function in functions.items():
        assert name not in PRECISIONS, name
        PRECISIONS[name] = Precision(function, shapes)


def names(text: str, *shapes) -> None:
    """Enter functions that take these inputs only: of T, or with `F.` of F, or with a dot methods."""
    for name in text.split():
        if name.startswith("F."):
            function = lambda T, F, *xs, _n=name[2:]: getattr(F, _n)(*xs)  # noqa: E731
        elif name.startswith("."):
            function = lambda T, F, x, *xs, _n=name[1:]: getattr(x, _n)(*xs)  # noqa: E731
        elif name.startswith("special."):
            function = lambda T, F, *xs, _n=name[8:]: getattr(T.special, _n)(*xs)  # noqa: E731
        else:
            function = lambda T, F, *xs, _n=name: getattr(T, _n)(*xs)  # noqa: E731
        calls(*shapes, **{name: function})


def wise(names: str, form: Callable, *shapes) -> None:
    """Enter a call for each name: `form(F's function of that name, *inputs)`."""
    for name in names.split():
        calls(*shapes, **{f"F.{name}": lambda T, F, *xs, _n=name: form(getattr(F, _n), *xs)})


V, M, B3 = (4,), (4, 4), (2, 4, 4)
IMAGE, KERNEL = (1, 2, 5, 5), (2, 2, 3, 3)

# products
names("matmul mm", M, M)
names("mv", M, V)
names("bmm", B3, B3)
names("dot vdot inner kron outer ger", V, V)
calls(M, M, inner_rows=lambda T, F, x, y: T.inner(x, y), ldexp=lambda T, F, x, y: T.ldexp(x, x))
names("addmm", M, M, M)
names("addmv", V, M, V)
names("addr", M, V, V)
names("addbmm", M, B3, B3)
names("baddbmm", B3, B3, B3)
names("chain_matmul", M, M, M)
names("F.linear", M, M, V)
names("F.bilinear", M, M, B3)
names("F.prelu", M, (1,))
names("F.cosine_similarity cdist dist cross", (4, 3), (4, 3))
calls(
    M, M,
    at=lambda T, F, x, w: x @ w,
    einsum=lambda T, F, x, w: T.einsum("ij,jk->ik", x, w),
    tensordot=lambda T, F, x, w: T.tensordot(x, w, 1),
    multi_dot=lambda T, F, x, w: T.linalg.multi_dot([x, w]),
    linalg_vecdot=lambda T, F, x, w: T.linalg.vecdot(x, w),
    linalg_matmul=lambda T, F, x, w: T.linalg.matmul(x, w),
    linear_alone=lambda T, F, x, w: F.linear(x, w),
)  # fmt: skip
calls(
    (1, 2, 4, 4), (1, 2, 4, 4), (1, 2, 4, 4),
    attention=lambda T, F, q, k, v: F.scaled_dot_product_attention(q, k, v),
    masked_attention=lambda T, F, q, k, v: F.scaled_dot_product_attention(
        q, k, v, attn_mask=T.tril(T.ones(4, 4, device=q.device)).bool()
    ),
)  # fmt: skip

# convolutions and pools
calls((1, 2, 8), (2, 2, 3), conv1d=lambda T, F, x, w: F.conv1d(x, w))
calls((1, 2, 8), (2, 2, 3), conv_transpose1d=lambda T, F, x, w: F.conv_transpose1d(x, w))
calls(IMAGE, KERNEL, (2,), conv2d=lambda T, F, x, w, b: F.conv2d(x, w, b, padding=1))
calls(IMAGE, KERNEL, (2,), conv_transpose2d=lambda T, F, x, w, b: F.conv_transpose2d(x, w, b))
calls((1, 2, 4, 4, 4), (2, 2, 3, 3, 3), conv3d=lambda T, F, x, w: F.conv3d(x, w))
calls((1, 2, 4, 4, 4), (2, 2, 3, 3, 3), conv_transpose3d=lambda T, F, x, w: F.conv_transpose3d(x, w))
calls((8, 1, 2), (3, 2, 2), (2,), conv_tbc=lambda T, F, x, w, b: F.conv_tbc(x, w, b))
wise("max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d unfold", lambda f, x: f(x, 2), IMAGE)
calls(IMAGE, lp_pool2d=lambda T, F, x: F.lp_pool2d(x, 2, 2))
wise("avg_pool1d max_pool1d adaptive_avg_pool1d", lambda f, x: f(x, 2), (1, 2, 8))
wise("avg_pool3d max_pool3d adaptive_avg_pool3d adaptive_max_pool3d", lambda f, x: f(x, 2), (1, 2, 4, 4, 4))
calls(IMAGE, (1, 3, 3, 2), grid_sample=lambda T, F, x, g: F.grid_sample(x, g, align_corners=False))
for _mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
    calls(IMAGE, **{f"interpolate {_mode}": lambda T, F, x, _m=_mode: F.interpolate(x, scale_factor=2, mode=_m)})
calls((1, 2, 5), interpolate_linear=lambda T, F, x: F.interpolate(x, scale_factor=2, mode="linear"))
calls((1, 2, 3, 3, 3), interpolate_trilinear=lambda T, F, x: F.interpolate(x, scale_factor=2, mode="trilinear"))
for _mode in ("constant", "reflect", "replicate", "circular"):
    calls(IMAGE, **{f"pad {_mode}": lambda T, F, x, _m=_mode: F.pad(x, (1, 1, 1, 1), mode=_m)})
names(".clone .detach .contiguous", M)
calls((1, 4, 3, 3), pixel_shuffle=lambda T, F, x: F.pixel_shuffle(x, 2))

# element by element
names(
    "abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad erf erfc erfinv exp exp2 expm1 floor frac log log10 "
    "log1p log2 logit neg reciprocal relu round rsqrt sigmoid sign sin sinc sinh sqrt square tan tanh trunc lgamma "
    "digamma nan_to_num ones_like zeros_like F.relu F.gelu F.silu F.mish F.softplus F.softsign F.elu F.selu F.celu "
    "F.hardtanh F.hardswish F.hardsigmoid F.leaky_relu F.logsigmoid F.tanhshrink F.softshrink F.hardshrink F.relu6",
    M,
)
names("add sub mul div pow atan2 hypot maximum minimum fmod remainder floor_divide logaddexp xlogy", M, M)
names("special.erfcx special.log_ndtr special.ndtri special.ndtr special.expit special.entr", M)
names("matrix_exp nanmean", M)
names("special.xlog1py", M, M)
names("eq lt", M, M)
names("addcmul addcdiv lerp", M, M, M)
calls(
    M,
    pow_2=lambda T, F, x: x.pow(2),
    power_2=lambda T, F, x: x**2,
    power_3=lambda T, F, x: x**3,
    pow_half=lambda T, F, x: T.pow(x, 0.5),
    rpow=lambda T, F, x: 2.0**x,
    T_pow_2=lambda T, F, x: T.pow(x, 2),
    plus_1=lambda T, F, x: x + 1.0,
    over=lambda T, F, x: 1.0 / x,
    clamp=lambda T, F, x: x.clamp(0.2, 0.5),
    masked_fill=lambda T, F, x: x.masked_fill(x > 0.5, 0.0),
    glu=lambda T, F, x: F.glu(x),
    threshold=lambda T, F, x: F.threshold(x, 0.5, 0.0),
    dropout=lambda T, F, x: F.dropout(x, 0.5, False),
    polygamma=lambda T, F, x: T.polygamma(1, x),
    float_power=lambda T, F, x: T.float_power(x, 2),
    to_half=lambda T, F, x: x.half(),
    to_float=lambda T, F, x: x.float(),
    type_as=lambda T, F, x: x.type_as(x),
)  # fmt: skip
calls(
    M, M,
    gelu_plus=lambda T, F, x, y: F.gelu(x) + y,
)  # fmt: skip

# sums, softmax, norms
calls(
    M,
    sum=lambda T, F, x: x.sum(),
    sum_dim=lambda T, F, x: x.sum(1),
    sum_half=lambda T, F, x: x.sum(dtype=T.float16),
    prod=lambda T, F, x: x.prod(),
    prod_dim=lambda T, F, x: x.prod(1),
    cumsum=lambda T, F, x: x.cumsum(1),
    cumprod=lambda T, F, x: x.cumprod(1),
    logcumsumexp=lambda T, F, x: x.logcumsumexp(1),
    mean=lambda T, F, x: x.mean(),
    mean_dim=lambda T, F, x: x.mean(1),
    var=lambda T, F, x: x.var(),
    std=lambda T, F, x: x.std(),
    nansum=lambda T, F, x: x.nansum(),
    amax=lambda T, F, x: x.amax(1),
    max=lambda T, F, x: x.max(1)[0],
    sort=lambda T, F, x: x.sort(1)[0],
    topk=lambda T, F, x: x.topk(2)[0],
    median=lambda T, F, x: x.median(),
    quantile=lambda T, F, x: x.quantile(0.5),
    norm=lambda T, F, x: x.norm(),
    norm_dim=lambda T, F, x: x.norm(dim=1),
    norm_1=lambda T, F, x: T.norm(x, 1),
    vector_norm=lambda T, F, x: T.linalg.vector_norm(x),
    matrix_norm=lambda T, F, x: T.linalg.matrix_norm(x),
    linalg_norm=lambda T, F, x: T.linalg.norm(x),
    softmax=lambda T, F, x: F.softmax(x, 1),
    softmin=lambda T, F, x: F.softmin(x, 1),
    log_softmax=lambda T, F, x: x.log_softmax(1),
    softmax_half=lambda T, F, x: T.softmax(x, 1, dtype=T.float16),
    special_softmax=lambda T, F, x: T.special.softmax(x, 1),
    logsumexp=lambda T, F, x: x.logsumexp(1),
    normalize=lambda T, F, x: F.normalize(x),
    renorm=lambda T, F, x: T.renorm(x, 2, 0, 1.0),
    pdist=lambda T, F, x: F.pdist(x),
    trace=lambda T, F, x: T.trace(x),
    cov=lambda T, F, x: T.cov(x),
    diff=lambda T, F, x: T.diff(x),
    layer_norm_plain=lambda T, F, x: F.layer_norm(x, (4,)),
    triu=lambda T, F, x: x.triu(),
    det=lambda T, F, x: T.linalg.det(x + T.eye(4, device=x.device, dtype=x.dtype)),
    inv=lambda T, F, x: T.linalg.inv(x + T.eye(4, device=x.device, dtype=x.dtype)),
)  # fmt: skip
calls(M, V, V, layer_norm=lambda T, F, x, w, b: F.layer_norm(x, (4,), w, b))
calls(M, V, rms_norm=lambda T, F, x, w: F.rms_norm(x, (4,), w))
calls(IMAGE, (2,), (2,), group_norm=lambda T, F, x, w, b: F.group_norm(x, 1, w, b))
calls(IMAGE, (2,), (2,), instance_norm=lambda T, F, x, w, b: F.instance_norm(x, weight=w, bias=b))
calls(IMAGE, (2,), (2,), batch_norm=lambda T, F, x, w, b: F.batch_norm(x, None, None, w, b, True))
calls(IMAGE, (2,), (2,), batch_norm_eval=lambda T, F, x, w, b: F.batch_norm(x, b, b, w, b))
calls(IMAGE, local_response_norm=lambda T, F, x: F.local_response_norm(x, 2))

# losses
wise(
    "mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy binary_cross_entropy_with_logits "
    "poisson_nll_loss multilabel_soft_margin_loss",
    lambda f, x, t: f(x, t), M, M,
)  # fmt: skip
wise("hinge_embedding_loss soft_margin_loss", lambda f, x, t: f(x, t.sign()), M, M)
calls(M, M, bce_pos_weight=lambda T, F, x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=x[0]))
calls(M, M, cross_entropy_soft=lambda T, F, x, t: F.cross_entropy(x, t))
calls(
    M,
    cross_entropy=lambda T, F, x: F.cross_entropy(x, T.arange(4, device=x.device)),
    nll_loss=lambda T, F, x: F.nll_loss(x, T.arange(4, device=x.device)),
    multi_margin_loss=lambda T, F, x: F.multi_margin_loss(x, T.arange(4, device=x.device)),
    multilabel_margin_loss=lambda T, F, x: F.multilabel_margin_loss(
        x, T.arange(16, device=x.device).reshape(4, 4) // 4
    ),
)  # fmt: skip
calls((1, 2, 5, 5), nll_loss2d=lambda T, F, x: F.nll_loss(x, T.zeros(1, 5, 5, device=x.device).long()))
calls(M, M, V, cosine_embedding_loss=lambda T, F, x, y, t: F.cosine_embedding_loss(x, y, t.sign()))
calls(M, M, M, margin_ranking_loss=lambda T, F, x, y, t: F.margin_ranking_loss(x, y, t.sign()))
calls(M, M, M, triplet_margin_loss=lambda T, F, x, y, t: F.triplet_margin_loss(x, y, t))
calls(M, M, M, gaussian_nll_loss=lambda T, F, x, y, t: F.gaussian_nll_loss(x, y, t))
calls(
    (6, 1, 4),
    ctc_loss=lambda T, F, x: F.ctc_loss(
        x.log_softmax(2), T.ones(1, 2, device=x.device).long(), T.full((1,), 6).long(), T.full((1,), 2).long()
    ),
)

# put together
calls(
    M, M,
    cat=lambda T, F, x, y: T.cat([x, y]),
    stack=lambda T, F, x, y: T.stack([x, y]),
    hstack=lambda T, F, x, y: T.hstack([x, y]),
    where=lambda T, F, x, y: T.where(x > 0.5, x, y),
    index_put=lambda T, F, x, y: T.index_put(x, (T.arange(4, device=x.device),), y),
    scatter_add=lambda T, F, x, y: T.scatter_add(x, 0, T.zeros(4, 4, device=x.device).long(), y),
    index_copy=lambda T, F, x, y: T.index_copy(x, 0, T.arange(4, device=x.device), y),
    index_add=lambda T, F, x, y: T.index_add(x, 0, T.arange(4, device=x.device), y),
    broadcast=lambda T, F, x, y: T.broadcast_tensors(x, y)[1],
)  # fmt: skip

# recurrent layers and cells
for _cell, _n in (("lstm_cell", 4), ("gru_cell", 3), ("rnn_tanh_cell", 1), ("rnn_relu_cell", 1)):
    calls(
        (2, 4), (2, 4), (4 * _n, 4), (4 * _n,),
        **{
            _cell: lambda T, F, x, h, w, b, _c=_cell: (
                T.lstm_cell(x, (h, h), w, w, b, b)[1] if _c == "lstm_cell" else getattr(T, _c)(x, h, w, w, b, b)
            )
        },
    )  # fmt: skip
