"""Losses as functions: reductions, weights, many dimensions, kinks and extreme logits."""

from __future__ import annotations

import warnings

import numpy as np

from .library import call, numbers, several, whole

REDUCTIONS = ("mean", "sum", "none")
EDGE = np.array([[-2.0, -0.5, 0.0, 0.5, 2.0, 1.0], [-100.0, 100.0, -1.0, 30.0, -30.0, 0.25]])
ZERO = np.zeros((2, 6))
SIGNS = np.where(whole(3, 2, 2, 6) == 1, 1.0, -1.0)
CLASSES = whole(5, 3, 2, 2, 2)
IGNORED = np.where(whole(8, 2, 2, 2, 2) == 1, -100, CLASSES)
WEIGHT = np.array([0.5, 2.0, 0.0])


def _with(function, reduction):
    return lambda L, *inputs: function(L, *inputs, reduction=reduction)


def reductions(prefix, function, *inputs, fixed=()) -> None:
    """The function once with each reduction."""
    for name in REDUCTIONS:
        call(f"{prefix}, {name}", *inputs, fixed=fixed)(_with(function, name))


def quiet(function):
    """The function without its warnings: kl_div warns of reduction='mean'."""

    def call(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return call


# cross-entropy: classes and probabilities, with weights, smoothing and ignored places in every combination
for _smoothing in (0.0, 0.2):
    for _label, _classes in (("all", CLASSES), ("ignored", IGNORED)):
        for _weight in (None, WEIGHT):
            reductions(
                f"cross_entropy: {_label}, smoothing {_smoothing}, {'no weight' if _weight is None else 'weight'}",
                lambda L, z, t, s=_smoothing, w=_weight, **r: L.F.cross_entropy(
                    z, L.tensor(t), None if w is None else L.tensor(w).to(z.dtype), label_smoothing=s, **r
                ),
                numbers(6, 2, 3, 2, 2),
                _classes,
            )
    for _weight in (None, WEIGHT):
        reductions(
            f"cross_entropy: shares, smoothing {_smoothing}, {'no weight' if _weight is None else 'weight'}",
            lambda L, z, p, s=_smoothing, w=_weight, **r: L.F.cross_entropy(
                z, p.softmax(1), None if w is None else L.tensor(w).to(z.dtype), label_smoothing=s, **r
            ),
            numbers(6, 2, 3, 2),
            numbers(7, 2, 3, 2),
        )
several(
    "cross_entropy",
    {
        "a class ignored": lambda L, z, t: L.F.cross_entropy(z, L.tensor(t), ignore_index=1),
        "a class ignored, none": lambda L, z, t: L.F.cross_entropy(z, L.tensor(t), ignore_index=1, reduction="none"),
        "a class ignored, weight": lambda L, z, t: L.F.cross_entropy(
            z, L.tensor(t), L.tensor(WEIGHT).to(z.dtype), ignore_index=1
        ),
        "all ignored": lambda L, z, t: L.F.cross_entropy(z, L.tensor(0 * t - 100)),
        "all ignored, smoothing": lambda L, z, t: L.F.cross_entropy(z, L.tensor(0 * t - 100), label_smoothing=0.1),
        "all ignored, sum": lambda L, z, t: L.F.cross_entropy(z, L.tensor(0 * t - 100), reduction="sum"),
        "extreme": lambda L, z, t: L.F.cross_entropy(z * 1000, L.tensor(t)),
        "extreme, ignored": lambda L, z, t: L.F.cross_entropy(z * 1000, L.tensor(t), ignore_index=0),
        "smoothing 1": lambda L, z, t: L.F.cross_entropy(z, L.tensor(t), label_smoothing=1.0),
        "one sample": lambda L, z, t: L.F.cross_entropy(z[0], L.tensor(t)[0], label_smoothing=0.1),
        "one sample ignored": lambda L, z, t: L.F.cross_entropy(
            z[0], L.tensor(0 * t - 100)[0], reduction="none", label_smoothing=0.1
        ),
        "one sample of shares": lambda L, z, t: L.F.cross_entropy(
            z[0], z[1].softmax(0), L.tensor(WEIGHT).to(z.dtype), label_smoothing=0.1
        ),
    },
    numbers(6, 4, 3),
    np.array([1, 0, 2, 1]),
    fixed=(1,),
)
for _label, _classes in (("all", CLASSES), ("ignored", IGNORED)):
    reductions(
        f"nll_loss: {_label}",
        lambda L, z, t, **r: L.F.nll_loss(z, L.tensor(t), L.tensor(WEIGHT + 0.5).to(z.dtype), **r),
        numbers(6, 2, 3, 2, 2),
        _classes,
    )
several(
    "nll_loss",
    {
        "one sample": lambda L, z, t: L.F.nll_loss(z[0], L.tensor(t)[0]),
        "all ignored": lambda L, z, t: L.F.nll_loss(z, L.tensor(0 * t + 2), ignore_index=2),
    },
    numbers(6, 4, 3),
    np.array([1, 0, 2, 1]),
)

# regression, at the kinks too: d is 0, and +-beta
for _name, _function in {
    "mse_loss": lambda L, x, t, **r: L.F.mse_loss(x, t, **r),
    "l1_loss": lambda L, x, t, **r: L.F.l1_loss(x, t, **r),
    "smooth_l1_loss": lambda L, x, t, **r: L.F.smooth_l1_loss(x, t, **r),
    "smooth_l1_loss: beta": lambda L, x, t, **r: L.F.smooth_l1_loss(x, t, beta=0.5, **r),
    "smooth_l1_loss: beta 0": lambda L, x, t, **r: L.F.smooth_l1_loss(x, t, beta=0.0, **r),
    "huber_loss": lambda L, x, t, **r: L.F.huber_loss(x, t, **r),
    "huber_loss: delta": lambda L, x, t, **r: L.F.huber_loss(x, t, delta=2.0, **r),
    "mse_loss: weight": lambda L, x, t, **r: L.F.mse_loss(x, t, weight=t * t + 1, **r),
    "l1_loss: weight": lambda L, x, t, **r: L.F.l1_loss(x, t, weight=t * t + 1, **r),
    "huber_loss: weight": lambda L, x, t, **r: L.F.huber_loss(x, t, weight=t * t + 1, **r),
}.items():
    reductions(_name, _function, EDGE, ZERO)

# yes and no
several(
    "binary_cross_entropy",
    {
        "the ends": lambda L, x, t: L.F.binary_cross_entropy(x, t, reduction="none"),
        "the ends, mean": lambda L, x, t: L.F.binary_cross_entropy(x, t),
        "weight": lambda L, x, t: L.F.binary_cross_entropy(x, t, L.tensor(np.array([[2.0], [0.5]])).to(x.dtype)),
    },
    np.array([[0.0, 1.0, 0.0, 1.0, 0.5], [0.25, 0.75, 1e-30, 0.9, 0.1]]),
    np.array([[0.0, 1.0, 1.0, 0.0, 1.0], [0.5, 0.25, 0.0, 1.0, 0.0]]),
    fixed=(1,),
)
for _name, _function in {
    "binary_cross_entropy": lambda L, x, t, **r: L.F.binary_cross_entropy(x.sigmoid(), t.sigmoid(), **r),
    "binary_cross_entropy_with_logits": lambda L, x, t, **r: L.F.binary_cross_entropy_with_logits(x, t, **r),
    "binary_cross_entropy_with_logits: weights": lambda L, x, t, **r: L.F.binary_cross_entropy_with_logits(
        x, t, L.tensor(np.array([[2.0], [0.5]])).to(x.dtype), pos_weight=L.tensor(np.arange(6.0)).to(x.dtype), **r
    ),
    "multilabel_soft_margin_loss": lambda L, x, t, **r: L.F.multilabel_soft_margin_loss(x, t, **r),
    "multilabel_soft_margin_loss: weight": lambda L, x, t, **r: L.F.multilabel_soft_margin_loss(
        x, t, L.tensor(np.arange(6.0)).to(x.dtype), **r
    ),
}.items():
    reductions(_name, _function, np.clip(EDGE, -5, 5) if _name == "binary_cross_entropy" else EDGE, numbers(4, 2, 6))
reductions("soft_margin_loss", lambda L, x, t, **r: L.F.soft_margin_loss(x, t, **r), EDGE, SIGNS, fixed=(1,))
call("soft_margin_loss: integers", EDGE, SIGNS.astype(np.int64))(
    lambda L, x, t: L.F.soft_margin_loss(x, L.tensor(t), reduction="none")
)

# distributions
for _name, _function in {
    "kl_div": lambda L, x, t, **r: quiet(L.F.kl_div)(x, t.softmax(1), **r),
    "kl_div: logs": lambda L, x, t, **r: quiet(L.F.kl_div)(x, t, log_target=True, **r),
    "kl_div: zeros": lambda L, x, t, **r: quiet(L.F.kl_div)(x, (t > 0) * t.detach(), **r),
    "poisson_nll_loss": lambda L, x, t, **r: L.F.poisson_nll_loss(x, t, **r),
    "poisson_nll_loss: full": lambda L, x, t, **r: L.F.poisson_nll_loss(x, t.exp(), full=True, **r),
    "poisson_nll_loss: counts": lambda L, x, t, **r: L.F.poisson_nll_loss(x.exp(), t, False, eps=0.1, **r),
    "gaussian_nll_loss": lambda L, x, t, **r: L.F.gaussian_nll_loss(x, t, (x * t).exp(), **r),
    "gaussian_nll_loss: full": lambda L, x, t, **r: L.F.gaussian_nll_loss(x, t, t.exp()[:, :1], True, **r),
    "gaussian_nll_loss: eps": lambda L, x, t, **r: L.F.gaussian_nll_loss(x, t, t[:, 0].relu(), eps=0.5, **r),
    "gaussian_nll_loss: one number": lambda L, x, t, **r: L.F.gaussian_nll_loss(x, t[:1], 2.0, **r),
}.items():
    reductions(_name, _function, numbers(6, 3, 4), numbers(7, 3, 4))
several(
    "kl_div",
    {
        "batchmean": lambda L, x, t: L.F.kl_div(x, t.softmax(1), reduction="batchmean"),
        "batchmean of one": lambda L, x, t: L.F.kl_div(x[0, 0], t.exp()[0, 0], reduction="batchmean"),
        "batchmean of logs": lambda L, x, t: L.F.kl_div(x, t, reduction="batchmean", log_target=True),
    },
    numbers(6, 3, 4),
    numbers(7, 3, 4),
)

# margins, at the kinks too: x is 0 and the margin, classes tie at it
for _name, _function in {
    "hinge_embedding_loss": lambda L, x, t, **r: L.F.hinge_embedding_loss(x, t, **r),
    "hinge_embedding_loss: margin": lambda L, x, t, **r: L.F.hinge_embedding_loss(x, t, 0.5, **r),
    "margin_ranking_loss": lambda L, x, t, **r: L.F.margin_ranking_loss(x, x.flip(1), t, **r),
    "margin_ranking_loss: margin": lambda L, x, t, **r: L.F.margin_ranking_loss(x, x.detach() * 0, t, 0.5, **r),
    "margin_ranking_loss: ties": lambda L, x, t, **r: L.F.margin_ranking_loss(x, x.detach(), t, **r),
}.items():
    reductions(_name, _function, EDGE, SIGNS, fixed=(1,))
call("hinge_embedding_loss: integers", EDGE, SIGNS.astype(np.int64))(
    lambda L, x, t: L.F.hinge_embedding_loss(x, L.tensor(t))
)
for _name, _function in {
    "cosine_embedding_loss": lambda L, x, y, t, **r: L.F.cosine_embedding_loss(x, y, L.tensor(t), **r),
    "cosine_embedding_loss: margin": lambda L, x, y, t, **r: L.F.cosine_embedding_loss(x, y, L.tensor(t), 0.4, **r),
    "cosine_embedding_loss: right angles": lambda L, x, y, t, **r: L.F.cosine_embedding_loss(
        L.T.cat([x * 0, y], 1), L.T.cat([y, x * 0], 1), L.tensor(t), **r
    ),
    "cosine_embedding_loss: one": lambda L, x, y, t, **r: L.F.cosine_embedding_loss(x[1], y[1], L.tensor(t)[1], **r),
}.items():
    reductions(_name, _function, numbers(6, 4, 3), numbers(7, 4, 3), np.array([1, -1, -1, 1]))
for _name, _function in {
    "multi_margin_loss": lambda L, x, t, **r: L.F.multi_margin_loss(x, L.tensor(t), **r),
    "multi_margin_loss: square": lambda L, x, t, **r: L.F.multi_margin_loss(
        x, L.tensor(t), 2, 0.5, L.tensor(WEIGHT).to(x.dtype), **r
    ),
    "multi_margin_loss: one": lambda L, x, t, **r: L.F.multi_margin_loss(x[0], L.tensor(t)[0], **r),
    "multi_margin_loss: kinks": lambda L, x, t, **r: L.F.multi_margin_loss(
        x - x.detach(), L.tensor(t), margin=0.0, **r
    ),
}.items():
    reductions(_name, _function, numbers(6, 4, 3), np.array([1, 0, 2, 1]))
for _name, _function in {
    "multilabel_margin_loss": lambda L, x, t, **r: L.F.multilabel_margin_loss(x, L.tensor(t), **r),
    "multilabel_margin_loss: one": lambda L, x, t, **r: L.F.multilabel_margin_loss(x[0], L.tensor(t)[0], **r),
    "multilabel_margin_loss: kinks": lambda L, x, t, **r: L.F.multilabel_margin_loss(
        x.sign() * 0.5 + (x - x.detach()), L.tensor(t), **r
    ),
}.items():
    reductions(_name, _function, numbers(6, 4, 3), np.array([[2, -1, 0], [0, 1, -1], [-1, 0, 1], [1, 1, -1]]))

# triplets
for _name, _function in {
    "triplet_margin_loss": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, p, n, **r),
    "triplet_margin_loss: swap": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, p, n, 2.0, swap=True, **r),
    "triplet_margin_loss: p 1": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, p, n, 3.0, 1, **r),
    "triplet_margin_loss: p 3": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, p, n, 3.0, 3, eps=0.1, **r),
    "triplet_margin_loss: p 1.5": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a[0], p[0], n[0], 3.0, 1.5, **r),
    "triplet_margin_loss: infinite p": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, p, n, 3.0, float("inf"), **r),
    "triplet_margin_loss: the same": lambda L, a, p, n, **r: L.F.triplet_margin_loss(a, a * 1, n, eps=0.0, **r),
    "triplet_margin_with_distance_loss": lambda L, a, p, n, **r: L.F.triplet_margin_with_distance_loss(a, p, n, **r),
    "triplet_margin_with_distance_loss: L1": lambda L, a, p, n, **r: L.F.triplet_margin_with_distance_loss(
        a, p, n, distance_function=lambda x, y: (x - y).abs().sum(-1), margin=2.0, swap=True, **r
    ),
}.items():
    reductions(_name, _function, numbers(6, 4, 3), numbers(7, 4, 3), numbers(8, 4, 3))
several(
    "pairwise_distance",
    {
        "p 2": lambda L, x, y: L.F.pairwise_distance(x, y),
        "p 1, kept": lambda L, x, y: L.F.pairwise_distance(x, y, 1.0, keepdim=True),
        "p 3, one": lambda L, x, y: L.F.pairwise_distance(x, y[0], 3.0, 0.1),
        "p 0.5": lambda L, x, y: L.F.pairwise_distance(x, y, 0.5),
        "infinite p": lambda L, x, y: L.F.pairwise_distance(x, y, float("inf")),
        "one": lambda L, x, y: L.F.pairwise_distance(x[0], y[1]),
    },
    numbers(6, 4, 3),
    numbers(7, 4, 3),
)
