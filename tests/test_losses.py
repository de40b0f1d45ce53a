"""Losses: what they refuse, known values, numbers of any size, and what they do on a device."""

from __future__ import annotations

import functools
import inspect
import math
import warnings

import numpy as np
import pytest
from standin import no_sync, no_upload

import minidl
from minidl import nn
from minidl.nn import functional as F

X = np.array([[0.5, -1.0, 2.0], [0.25, 0.75, -0.5]])


def x(*shape, dtype=minidl.float32):
    return minidl.ones(*shape, dtype=dtype)


def classes(*values):
    return minidl.tensor(values, dtype=minidl.int64)


PAIRS = {
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "huber_loss": F.huber_loss,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "soft_margin_loss": F.soft_margin_loss,
    "multilabel_soft_margin_loss": F.multilabel_soft_margin_loss,
    "kl_div": lambda a, t, reduction="batchmean", **options: F.kl_div(a, t, reduction=reduction, **options),
    "poisson_nll_loss": F.poisson_nll_loss,
    "gaussian_nll_loss": lambda a, t, **options: F.gaussian_nll_loss(a, t, 1.0, **options),
    "hinge_embedding_loss": F.hinge_embedding_loss,
    "margin_ranking_loss": lambda a, t, **options: F.margin_ranking_loss(a, a, t, **options),
    "multilabel_margin_loss": lambda a, t, **options: F.multilabel_margin_loss(a, t.long(), **options),
    "triplet_margin_loss": lambda a, t, **options: F.triplet_margin_loss(a, t, a, **options),
    "triplet_margin_with_distance_loss": lambda a, t, **options: F.triplet_margin_with_distance_loss(
        a, a, t, **options
    ),
}
CLASSES = {"cross_entropy": F.cross_entropy, "nll_loss": F.nll_loss, "multi_margin_loss": F.multi_margin_loss}
COSINE = {"cosine_embedding_loss": lambda a, t, **options: F.cosine_embedding_loss(a, a, t, **options)}


def given(name, n=3):
    """An input and a target of n samples for a loss."""
    if name in CLASSES:
        return x(n, 4), minidl.zeros(n, dtype=minidl.int64)
    return x(n, 4), x(n) if name in COSINE else x(n, 4)


ALL = {**PAIRS, **CLASSES, **COSINE}


def test_all_losses_are_here():
    """Every loss function of the module has an entry in the tables of this file."""
    elsewhere = {"ctc_loss", "linear_cross_entropy"}  # test_recurrent.py, calls/sequences.py
    assert set(nn.loss.FUNCTIONS) - {"pairwise_distance"} - elsewhere == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_reductions_agree(name):
    a, t = given(name)
    terms = ALL[name](a, t, reduction="none")
    assert math.isclose(ALL[name](a, t, reduction="sum").item(), terms.sum().item(), rel_tol=1e-6)
    if name != "kl_div":
        assert math.isclose(ALL[name](a, t).item(), terms.mean().item(), rel_tol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_reduction_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: reduction must be .*, got 'average'"):
        ALL[name](*given(name), reduction="average")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "old, new",
    [
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"size_average": True, "reduce": False}, "none"),
        ({"reduce": True}, "mean"),
        ({"size_average": True}, "mean"),
    ],
    ids=str,
)
def test_the_old_arguments_warn_and_take_their_place(name, old, new):
    if "reduce" not in inspect.signature(getattr(F, name)).parameters or (name, new) == ("kl_div", "mean"):
        return  # whose mean warns of something else, too
    more = {"reduction": "batchmean"} if name == "kl_div" else {}
    with pytest.warns(UserWarning, match=f"use reduction='{new}' instead"):
        got = ALL[name](*given(name), **old, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(got.array, ALL[name](*given(name), reduction=new).array)


def test_scalars_have_losses():
    a, t = minidl.tensor(1.5, requires_grad=True), minidl.tensor(1.0)
    for reduction in ("mean", "sum", "none"):
        loss = F.mse_loss(a, t, reduction=reduction)
        assert loss.shape == () and loss.item() == 0.25
        assert minidl.grad(loss, [a])[0].item() == 1.0
        assert math.isclose(
            F.gaussian_nll_loss(a, t, 2.0, reduction=reduction).item(), (math.log(2) + 0.125) / 2, rel_tol=1e-6
        )


@pytest.mark.parametrize("name", ALL)
def test_no_mean_of_no_examples(name):
    with pytest.raises(ValueError, match=f"{name}: the batch is empty"):
        ALL[name](*given(name, 0))
    assert ALL[name](*given(name, 0), reduction="sum").item() == 0
    assert ALL[name](*given(name, 0), reduction="none").shape[0] == 0


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    "shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((2, 3), (3,)), ((2, 3), (2, 1)), ((3,), ())], ids=str
)
def test_nothing_is_broadcast(name, shapes):
    if name == "gaussian_nll_loss" and shapes == ((2, 3), (2, 1)):
        assert PAIRS[name](x(*shapes[0]), x(*shapes[1]), reduction="none").shape == (2, 3)  # documented so by PyTorch
        return
    with pytest.raises(ValueError, match=f"{name}: .*expected|{name}: .*shapes must be the same"):
        PAIRS[name](x(*shapes[0]), x(*shapes[1]))


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")]
)
def test_the_input_is_floating_point(name):
    a, t = given(name)
    with pytest.raises(
        TypeError, match=f"{name}: input1? must be floating point|{name}: anchor must be floating point"
    ):
        ALL[name](a.long(), t)


@pytest.mark.parametrize("name", ALL)
def test_arrays_and_lists_are_refused(name):
    a, t = given(name)
    with pytest.raises(TypeError, match="must be a Tensor, got ndarray"):
        ALL[name](a.numpy(), t)


@pytest.mark.parametrize("name", CLASSES)
def test_bad_classes(name):
    loss = CLASSES[name]
    with pytest.raises(IndexError, match=f"{name}: index 3 is out of range for size 3"):
        loss(x(2, 3), classes(0, 3))
    with pytest.raises(IndexError, match=f"{name}: index -1 is out of range"):
        loss(x(2, 3), classes(-1, 0))
    with pytest.raises(TypeError, match=f"{name}: the classes in target must be integers, got .*float32"):
        loss(x(2, 3), x(2))
    with pytest.raises(ValueError, match=rf"{name}: expected target \(2,\) for input \(2, 3\), got \(2, 1\)"):
        loss(x(2, 3), minidl.zeros(2, 1, dtype=minidl.int64))
    with pytest.raises(ValueError, match=rf"{name}: weight is \(2,\), expected one number for each of 3 classes"):
        loss(x(2, 3), classes(0, 1), weight=x(2))
    with pytest.raises(TypeError, match=f"{name}: weight must be a Tensor, got list"):
        loss(x(2, 3), classes(0, 1), weight=[1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: F.smooth_l1_loss(x(2), x(2), beta=-1),
            ValueError,
            "smooth_l1_loss: beta must not be negative, got -1",
        ),
        (lambda: F.smooth_l1_loss(x(2), x(2), beta="a"), TypeError, "smooth_l1_loss: beta must be a number"),
        (lambda: F.huber_loss(x(2), x(2), delta=0), ValueError, "huber_loss: delta must be greater than 0, got 0"),
        (lambda: F.huber_loss(x(2), x(2), weight=x(1)), ValueError, r"huber_loss: weight is \(1,\), expected \(2,\)"),
        (lambda: F.binary_cross_entropy(x(2) * 1.5, x(2)), ValueError, "input must be between 0 and 1.*got 1.5"),
        (lambda: F.binary_cross_entropy(x(2), x(2) * -0.5), ValueError, "target must be between 0 and 1.*got -0.5"),
        (lambda: F.binary_cross_entropy(x(2) * math.nan, x(2)), ValueError, "input must be between 0 and 1.*got nan"),
        (lambda: F.binary_cross_entropy(x(2), x(2).long()), TypeError, "target must be floating point"),
        (lambda: F.binary_cross_entropy_with_logits(x(2), x(2).long()), TypeError, "target must be floating point"),
        (
            lambda: F.binary_cross_entropy(x(2), x(2), weight=x(3)),
            ValueError,
            r"weight is \(3,\), which cannot be expand",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(x(3, 2), x(3, 2), pos_weight=x(3)),
            ValueError,
            r"pos_weight is \(3,\), which cannot be expanded to the input's \(3, 2\)",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(x(2), x(2), x(4, 2)),
            ValueError,
            r"weight is \(4, 2\), which cannot be expanded",
        ),
        (lambda: F.multilabel_soft_margin_loss(x(()), x(())), ValueError, r"expected input \(..., C\), got a 0-d"),
        (lambda: F.multilabel_soft_margin_loss(x(2, 3), x(2, 3), x(2)), ValueError, r"weight is \(2,\)"),
        (lambda: F.soft_margin_loss(x(2), x(2) * 0), ValueError, "target must be 1 or -1 everywhere, got 0"),
        (lambda: F.hinge_embedding_loss(x(2), x(2) * 2), ValueError, "target must be 1 or -1 everywhere, got 2"),
        (lambda: F.margin_ranking_loss(x(2), x(2), x(2) * 3), ValueError, "target must be 1 or -1 everywhere, got 3"),
        (lambda: F.cosine_embedding_loss(x(2, 2), x(2, 2), x(2) * 0), ValueError, "1 or -1 everywhere, got 0"),
        (lambda: F.margin_ranking_loss(x(2), x(2), x(2), margin=None), TypeError, "margin must be a number, got None"),
        (lambda: F.margin_ranking_loss(x(2), x(1), x(2)), ValueError, r"input1 is \(2,\), input2 is \(1,\)"),
        (
            lambda: F.cosine_embedding_loss(x(2, 3), x(1, 3), x(2)),
            ValueError,
            r"input1 is \(2, 3\), input2 is \(1, 3\)",
        ),
        (lambda: F.cosine_embedding_loss(x(2, 3), x(2, 3), x(2, 1)), ValueError, r"expected target \(2,\)"),
        (lambda: F.cosine_embedding_loss(x(1, 2, 3), x(1, 2, 3), x(2)), ValueError, r"expected inputs \(N, D\)"),
        (lambda: F.triplet_margin_loss(x(2), x(2), x(2), margin=0), ValueError, "margin must be greater than 0, got 0"),
        (lambda: F.triplet_margin_loss(x(2), x(2), x(2), p=0), NotImplementedError, "p=0 is not supported"),
        (lambda: F.triplet_margin_loss(x(2, 3), x(1, 3), x(2, 3)), ValueError, r"anchor is \(2, 3\), positive is"),
        (lambda: F.multi_margin_loss(x(2, 3), classes(0, 1), p=3), ValueError, "p must be 1 or 2, got 3"),
        (lambda: F.multi_margin_loss(x(2, 3, 1), minidl.zeros(2, 1).long()), ValueError, r"input \(N, C\) or \(C,\)"),
        (lambda: F.multilabel_margin_loss(x(2), classes(0, 2)), IndexError, "multilabel_margin_loss: index 2"),
        (lambda: F.multilabel_margin_loss(x(2), classes(0, -2)), IndexError, "multilabel_margin_loss: index -2"),
        (lambda: F.multilabel_margin_loss(x(2), x(2)), TypeError, "must be integers"),
        (lambda: F.kl_div(x(2), x(2).long()), TypeError, "kl_div: target must be floating point"),
        (lambda: F.poisson_nll_loss(x(2), x(2), eps=None), TypeError, "eps must be a number"),
        (lambda: F.gaussian_nll_loss(x(2, 3), x(2, 3), -1.0), ValueError, "var must be not negative anywhere, got -1"),
        (lambda: F.gaussian_nll_loss(x(2, 3), x(2, 3), x(3)), ValueError, r"var is \(3,\), expected \(2, 3\)"),
        (lambda: F.gaussian_nll_loss(x(2, 3), x(2, 3), [1.0]), TypeError, "var must be a Tensor, got list"),
        (lambda: F.gaussian_nll_loss(x(2), x(2), x(2), eps=-1), ValueError, "eps must not be negative"),
        (
            lambda: F.cross_entropy(x(2, 3), x(2, 3), ignore_index=1),
            ValueError,
            "ignore_index=1 is not supported for probabilities",
        ),
        (lambda: nn.TripletMarginLoss(margin=-1.0), ValueError, "TripletMarginLoss: margin must be greater than 0"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=0), ValueError, "WithDistanceLoss: margin must be greater"),
        (lambda: nn.MultiMarginLoss(p=0), ValueError, "MultiMarginLoss: p must be 1 or 2, got 0"),
        (lambda: nn.KLDivLoss(reduction="avg"), ValueError, "KLDivLoss: reduction must be 'batchmean', 'mean'"),
        (lambda: nn.MSELoss(reduction="batchmean"), ValueError, "MSELoss: reduction must be 'mean', 'sum' or 'none'"),
        (lambda: nn.BCELoss(weight=[1.0]), TypeError, "weight"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("name", [name for name in nn.loss.LAYERS if name not in ("AdaptiveLogSoftmaxWithLoss",)])
@pytest.mark.filterwarnings("ignore:NLLLoss2d is an old name")
def test_layers_refuse_what_their_functions_refuse(name):
    layer = getattr(nn, name)
    if name == "LinearCrossEntropyLoss":
        layer = functools.partial(layer, 3, 4)
    with pytest.raises(ValueError, match=f"{name}: reduction must be"):
        layer(reduction="average")
    if "reduce" in inspect.signature(layer).parameters:
        with pytest.warns(UserWarning, match=f"{name}: size_average and reduce are deprecated"):
            assert layer(size_average=False).reduction == "sum"
    assert layer(reduction="sum").reduction == "sum"


def test_the_weights_of_a_loss_are_buffers():
    loss = nn.BCEWithLogitsLoss(x(3), pos_weight=x(3) * 2)
    assert list(loss.state_dict()) == ["weight", "pos_weight"] and list(loss.parameters()) == []
    assert loss.double().pos_weight.dtype == minidl.float64 and list(nn.MultiMarginLoss().state_dict()) == []


# ---------------------------------------------------------------------------------------------------- known values
def test_values_in_closed_form(where):
    a, b = where.tensor([[3.0, 4.0]]), where.tensor([[4.0, 3.0]])
    cosine = 24 / 25
    assert math.isclose(F.cosine_embedding_loss(a, b, where.tensor([1])).item(), 1 - cosine, rel_tol=1e-9)
    assert math.isclose(F.cosine_embedding_loss(a, b, where.tensor([-1]), 0.5).item(), cosine - 0.5, rel_tol=1e-9)
    near = F.triplet_margin_loss(a, a, b, margin=2.0, eps=0.0).item()
    assert math.isclose(near, 2 - math.sqrt(2), rel_tol=1e-9)
    p, q = where.tensor([[0.5, 0.5]]), where.tensor([[0.25, 0.75]])
    divergence = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert math.isclose(F.kl_div(p.log(), q, reduction="batchmean").item(), divergence)
    assert math.isclose(F.kl_div(p.log(), q.log(), reduction="sum", log_target=True).item(), divergence)
    normal = F.gaussian_nll_loss(where.tensor([1.0]), where.tensor([3.0]), where.tensor([4.0]), full=True).item()
    assert math.isclose(normal, -math.log(math.exp(-0.5) / math.sqrt(8 * math.pi)))
    count = F.poisson_nll_loss(where.tensor([math.log(2.0)]), where.tensor([3.0]), full=True).item()
    assert abs(count + math.log(math.exp(-2) * 2**3 / 6)) < 0.03  # Stirling's 3! is 5.84
    scores = where.tensor([[0.1, 0.2, 0.4, 0.8]])
    assert math.isclose(F.multilabel_margin_loss(scores, where.tensor([[3, 0, -1, 1]])).item(), 0.85)
    assert math.isclose(F.multi_margin_loss(scores, where.tensor([3])).item(), (0.3 + 0.4 + 0.6) / 4)
    assert F.huber_loss(where.tensor([0.5, -3.0]), where.tensor([0.0, 0.0]), "none", 2.0).tolist() == [0.125, 4.0]


def test_binary_is_cross_entropy_of_two_classes(where):
    z, t = where.tensor(X), where.tensor((X > 0).astype(np.int64))
    two = minidl.stack([z * 0, z], 1)
    expected = F.cross_entropy(two, t)
    for found in (
        F.binary_cross_entropy_with_logits(z, t.double()),
        F.binary_cross_entropy(z.sigmoid(), t.double()),
        F.soft_margin_loss(z, 2 * t - 1),
        F.multilabel_soft_margin_loss(z, t),
    ):
        assert math.isclose(found.item(), expected.item(), rel_tol=1e-12)


def test_kl_div_warns_of_the_mean_of_all_elements():
    with pytest.warns(UserWarning, match="'batchmean' gives the mean divergence"):
        F.kl_div(x(2, 3), x(2, 3))


def test_a_vector_of_zeros_is_at_right_angles_to_all(where):
    target = where.tensor([1])
    for one, other in ((np.zeros((1, 2)), np.ones((1, 2))), (np.ones((1, 2)), np.zeros((1, 2)))):
        a, b = where.leaf(one), where.leaf(other)
        loss = F.cosine_embedding_loss(a, b, target)
        loss.backward()
        assert loss.item() == 1 and np.isfinite(where.host(a.grad)).all() and np.isfinite(where.host(b.grad)).all()


def test_the_least_variance_does_not_stop_its_gradient(where):
    v = where.leaf([0.0, 0.5, 2.0])
    zeros = where.tensor(np.zeros(3))
    F.gaussian_nll_loss(zeros, zeros, v, eps=0.5, reduction="sum").backward()
    assert where.host(v.grad).tolist() == [1.0, 1.0, 0.25]


# ---------------------------------------------------------------------------------------------- numbers of any size
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logits_of_any_size(where, dtype):
    z = where.leaf([1000.0, -1000.0, 1000.0, -1000.0, 0.0], dtype)
    t = where.tensor([1.0, 0.0, 0.0, 1.0, 1.0], dtype)
    terms = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    np.testing.assert_allclose(where.host(terms), [0, 0, 1000, 1000, math.log(2)], rtol=1e-3)
    terms.sum().backward()
    np.testing.assert_allclose(where.host(z.grad), [0, 0, 1, -1, -0.5], atol=2e-5)
    signs = where.leaf([1000.0, -1000.0, 0.0], dtype)
    terms = F.soft_margin_loss(signs, where.tensor([1.0, 1.0, -1.0], dtype), reduction="none")
    np.testing.assert_allclose(where.host(terms), [0, 1000, math.log(2)], rtol=1e-3)
    terms.sum().backward()
    np.testing.assert_allclose(where.host(signs.grad), [0, -1, 0.5], atol=2e-5)
    assert terms.array.dtype == dtype


def test_small_losses_keep_their_digits(where):
    """exp(-20) is below the rounding of 20 in float32: neither the loss nor its gradient may lose it."""
    z = where.leaf([-20.0, 20.0], np.float32)
    loss = F.binary_cross_entropy_with_logits(z, where.tensor([0.0, 1.0], np.float32), reduction="none")
    np.testing.assert_allclose(where.host(loss), [math.exp(-20)] * 2, rtol=1e-5)
    loss.sum().backward()
    np.testing.assert_allclose(where.host(z.grad), [math.exp(-20), -math.exp(-20)], rtol=1e-5)


def test_half_precision_means_do_not_overflow(where):
    z = where.leaf(np.full((1000, 2), [[0.0, 200.0]]), np.float16)
    target = where.tensor(np.zeros(1000, np.int64))
    target[0] = -100
    assert abs(F.cross_entropy(z, target).item() - 200) <= 0.5
    z, t = where.leaf(np.full(1000, 200.0), np.float16), where.tensor(np.zeros(1000), np.float16)
    for loss in (F.binary_cross_entropy_with_logits, F.l1_loss, F.huber_loss, F.smooth_l1_loss):
        assert abs(loss(z, t).item() - 200) <= 0.5
    p = where.leaf([0.0, 1.0, 0.0], np.float16)
    loss = F.binary_cross_entropy(p, where.tensor([0.0, 1.0, 1.0], np.float16))
    loss.backward()
    assert math.isclose(loss.item(), 100 / 3, rel_tol=1e-3) and not np.isnan(where.host(p.grad)).any()


def test_differences_that_are_infinite_have_the_gradient_of_the_line(where):
    z = where.leaf([math.inf, -math.inf])
    for loss, slope in ((F.huber_loss, 2.0), (F.smooth_l1_loss, 1.0)):
        options = {"delta": slope} if slope == 2.0 else {}
        (g,) = minidl.grad(loss(z, where.tensor([0.0, 0.0]), reduction="sum", **options), [z])
        assert where.host(g).tolist() == [slope, -slope]


@pytest.mark.parametrize("name", ALL)
def test_losses_keep_float32(name, where):
    a, t = given(name)
    loss = ALL[name](a.to(where.name), t.to(where.name), reduction="sum")
    assert loss.dtype == minidl.float32 and loss.shape == ()


# -------------------------------------------------------------------------------------------------------- a device
def test_ignored_classes_on_a_device_take_the_same_path(where):
    """There all calls go by the mask; the host looks first. They must agree, also where a class is ignored."""
    z, weight = where.leaf(np.stack([X, X[::-1]])), where.tensor([0.5, 2.0, 1.0])
    z = minidl.transpose(z, 1, 2)
    for target in ([[0, 2], [1, 1]], [[0, -100], [1, 1]], [[1, 2], [1, 0]]):
        for ignore_index in (-100, 1):
            t = np.array(target)
            keep = t != ignore_index
            if ignore_index == 1 and (t == -100).any():
                continue
            picked = -np.take_along_axis(where.host(F.log_softmax(z, 1)), np.where(keep, t, 0)[:, None], axis=1)[:, 0]
            w = np.where(keep, np.array([0.5, 2.0, 1.0])[np.where(keep, t, 0)], 0.0)
            found = F.cross_entropy(z, where.tensor(t), ignore_index=ignore_index).item()
            assert math.isclose(found, picked[keep].mean(), rel_tol=1e-12)
            found = F.cross_entropy(z, where.tensor(t), weight, ignore_index=ignore_index).item()
            assert math.isclose(found, (picked * w).sum() / w.sum(), rel_tol=1e-12)


def test_losses_neither_wait_for_the_device_nor_upload():
    made = {name: [t.to("cuda") for t in given(name)] for name in ALL}
    weight = minidl.ones(4, device="cuda")

    def step():
        for name, (a, t) in made.items():
            z = a.detach().requires_grad_()
            ALL[name](z, t).backward()
        F.cross_entropy(*made["cross_entropy"], weight, ignore_index=2)
        F.binary_cross_entropy_with_logits(*made["binary_cross_entropy_with_logits"], weight, pos_weight=weight)
        F.multi_margin_loss(*made["multi_margin_loss"], weight=weight)

    step()
    with no_sync(), no_upload():
        step()


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("options", [{}, {"weight": minidl.ones(5)}])
def test_classes_are_checked_beside_an_ignored_class_within_the_range(name, options):
    for wrong in (-1, -100, 5):
        with pytest.raises(IndexError, match=f"{name}: index {wrong} is out of range for size 5"):
            getattr(F, name)(x(3, 5), classes(2, wrong, 0), ignore_index=2, **options)
    assert getattr(F, name)(x(3, 5), classes(2, 2, 0), ignore_index=2, **options).isfinite()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: nn.CrossEntropyLoss(label_smoothing="a"), "CrossEntropyLoss: label_smoothing must be a number"),
        (lambda: nn.CrossEntropyLoss(ignore_index=None), "CrossEntropyLoss: ignore_index must be an int, got None"),
        (lambda: nn.NLLLoss(ignore_index=1.5), "NLLLoss: ignore_index must be an int, got 1.5"),
        (lambda: F.nll_loss(x(1, 2), classes(0), ignore_index=True), "nll_loss: ignore_index must be an int"),
        (lambda: F.cross_entropy(x(1, 2), classes(0), label_smoothing=None), "cross_entropy: label_smoothing must be"),
    ],
)
def test_options_of_the_wrong_type_are_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss", "L1Loss", "BCELoss", "KLDivLoss", "NLLLoss"])
def test_a_layer_given_the_data_says_how_it_is_called(name):
    with pytest.raises(TypeError, match=rf"{name}: .*: {name}\(\)\(input, target\)"):
        getattr(minidl.nn, name)(minidl.ones(2, 3), minidl.ones(2, 3))
