"""PyTorch's lists: what autocast computes in half precision, what in float32, and what it brings to one dtype.

An op that is in no list computes in the dtype of its inputs, which are promoted as everywhere. LISTS are of ops; CALLS
are of public functions that are one op to PyTorch and several here (`casting.whole`): nothing within them is cast, nor
are the inputs of those that are `plain`.
"""

from __future__ import annotations

LOWER, SINGLE, WIDEST, PLAIN, REFUSED, INVERSE, STATE = (
    "lower", "single", "widest", "plain", "refused", "inverse", "state",
)  # fmt: skip


def _table(**rules: str) -> dict[str, str]:
    """{name: rule} of rules with the names that they hold for."""
    return {name: rule for rule, names in rules.items() for name in names.split()}


_PRODUCTS = """
    addbmm addmm baddbmm conv_transpose1d conv_transpose2d conv_transpose3d einsum prelu scaled_dot_product_attention
    vecdot
"""
_LOSSES = """
    binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss hinge_embedding_loss huber_loss kl_div
    l1_loss margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss nll_loss poisson_nll_loss
    smooth_l1_loss soft_margin_loss triplet_margin_loss
"""
LISTS = {
    "cuda": _table(
        lower="attention conv2d conv2d_input_grad gru linear lstm matmul rnn",
        single="""
            arccos arcsin cosh cross_entropy cumprod cumsum erfinv exp expm1 layer_norm log log10 log1p log2 log_softmax
            logsumexp mse_loss norm power prod sinh softmax softplus square sum tan
        """,
        inverse="divide",  # a number divided by a Tensor is a reciprocal
    ),
    "cpu": _table(
        lower="attention conv2d conv2d_input_grad linear matmul rnn",
        single="cross_entropy mse_loss prod",
        state="gru lstm",  # their gates are computed in half precision in PyTorch, and added to a state that is not
    ),
}
CALLS = {
    "cuda": _table(
        lower=f"{_PRODUCTS} addmv addr mv",
        single=f"{_LOSSES} _resized cdist cosine_similarity dist group_norm layer_norm "
        "multilabel_soft_margin_loss pdist rms_norm rsqrt",
        widest="bilinear cross dot grid_sample index_put scatter_add tensordot vdot",
        plain="""
            adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d det erfcx exp2 instance_norm ldexp log_ndtr
            logcumsumexp logit logsigmoid matrix_exp nanmean nansum ndtri sinc trace xlog1py xlogy
        """,
        refused="binary_cross_entropy",
    ),
    "cpu": _table(
        lower=f"{_PRODUCTS} tensordot",
        single=f"""
            {_LOSSES} _beyond adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cdist
            cholesky_inverse cholesky_solve cond eigvalsh grid_sample inverse local_response_norm max_pool3d
            max_pool3d_with_indices nanquantile quantile solve svdvals trace
        """,
        widest="index_copy",
        plain="adaptive_avg_pool1d adaptive_avg_pool2d addmv addr bilinear dot matrix_exp mv vdot _resized",
    ),
}
