"""Parameter groups made from models, layers that are frozen, and layers that learn one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.optim import GradualUnfreezing, freeze, groups_without_decay, layerwise_rates, schedules, unfreeze


class Net(nn.Module):
    """Everything there is: convolution, three normalisations, an embedding, a recurrent layer, a tied weight."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(minidl.ones(2, 2))
        self.embed = nn.Embedding(7, 4)
        self.conv = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)
        self.act = nn.ReLU()
        self.lstm = nn.LSTM(4, 4)
        self.block = nn.Sequential(nn.LayerNorm((2, 4)), nn.Linear(4, 4), nn.PReLU(3))
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embed.weight


def names(groups, key="name") -> dict:
    return {g[key]: [name for name, _ in g["params"]] for g in groups}


WEIGHTS = ["scale", "embed.weight", "conv.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "block.1.weight"]


def test_decay_is_for_weights_only():
    found = names(groups_without_decay(Net(), 0.1, lr=0.5))
    assert list(found) == ["decay", "no decay"] and found["decay"] == WEIGHTS
    assert found["no decay"] == (
        "conv.bias bn.weight bn.bias lstm.bias_ih_l0 lstm.bias_hh_l0 block.0.weight block.0.bias block.1.bias "
        "block.2.weight head.bias"
    ).split(" ")


def test_groups_have_their_options_and_every_parameter_once():
    model = Net()
    groups = groups_without_decay(model, 0.1, lr=0.5, betas=(0.8, 0.9))
    assert [(g["weight_decay"], g["lr"], g["betas"]) for g in groups] == [
        (0.1, 0.5, (0.8, 0.9)),
        (0.0, 0.5, (0.8, 0.9)),
    ]
    found = [p for g in groups for _, p in g["params"]]
    assert len(found) == len(set(found)) and set(found) == set(model.parameters())


def test_frozen_parameters_are_left_out_unless_wanted():
    model = Net()
    freeze(model.lstm)
    model.head.bias.requires_grad = False
    found = names(groups_without_decay(model))
    assert not any("lstm" in n or "head" in n for ns in found.values() for n in ns)
    assert sum(map(len, names(groups_without_decay(model, frozen=True)).values())) == len(list(model.parameters()))
    assert sum(map(len, names(layerwise_rates(model, 0.1)).values())) == len(list(model.parameters())) - 5


@pytest.mark.parametrize(
    "without", [lambda m: [nn.Embedding], lambda m: nn.Embedding, lambda m: ["embed"], lambda m: "embed.weight"]
)
def test_more_can_be_spared(without):
    model = Net()
    found = names(groups_without_decay(model, without=without(model)))
    assert found["decay"] == [n for n in WEIGHTS if n != "embed.weight"]
    found = names(groups_without_decay(model, without=[model.lstm, model.scale, "block"]))
    assert found["decay"] == ["embed.weight", "conv.weight"]


def test_a_decayed_step_is_that_of_pytorchs_usual_recipe(where):
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)).to(where.name)
    before = {n: where.host(p).copy() for n, p in model.named_parameters()}
    optimizer = optim.AdamW(groups_without_decay(model, 0.5, lr=0.1))
    for p in model.parameters():
        p.grad = minidl.zeros_like(p)
    optimizer.step()
    for n, p in model.named_parameters():
        np.testing.assert_allclose(where.host(p), before[n] * (0.95 if n == "0.weight" else 1), rtol=1e-6)


def test_there_is_no_empty_group():
    assert list(names(groups_without_decay(nn.Linear(2, 2, bias=False)))) == ["decay"]
    optimizer = optim.SGD(groups_without_decay(nn.BatchNorm1d(3), 0.1, lr=0.5))
    assert [g["name"] for g in optimizer.param_groups] == ["no decay"]


# ------------------------------------------------------------------------------------------------------------- rates
def test_rates_fall_with_the_distance_from_the_output():
    groups = layerwise_rates(Net(), 1.0, 0.5, momentum=0.9)
    rates = {g["name"]: g["lr"] for g in groups}
    # the model's own parameters come first, ReLU does not count, and head's weight is the embedding's
    expected = {
        "its own": 1 / 64,
        "embed": 1 / 32,
        "conv": 1 / 16,
        "bn": 1 / 8,
        "lstm": 1 / 4,
        "block": 1 / 2,
        "head": 1,
    }
    assert rates == expected and all(g["momentum"] == 0.9 and "weight_decay" not in g for g in groups)
    assert names(groups)["head"] == ["head.bias"] and names(groups)["embed"] == ["embed.weight"]


def test_rates_with_layers_of_ones_own():
    model = Net()
    layers = [["embed", "scale", model.conv], [model.bn, "lstm"], "block.0", [model.block], model.head]
    groups = layerwise_rates(model, 2.0, 0.1, layers=layers)
    rates = {g["name"]: g["lr"] for g in groups}
    assert list(rates) == ["embed, scale, conv", "bn, lstm", "block.0", "block", "head"]
    np.testing.assert_allclose(list(rates.values()), [2e-4, 2e-3, 2e-2, 2e-1, 2], rtol=1e-12)
    found = [p for g in groups for _, p in g["params"]]
    assert len(found) == len(set(found)) and set(found) == set(model.parameters())
    assert names(groups)["block"] == ["block.1.weight", "block.1.bias", "block.2.weight"]


def test_rates_with_decay_spare_the_same_parameters():
    groups = layerwise_rates(Net(), 1.0, 0.5, weight_decay=0.1)
    decayed = [name for g in groups if g["weight_decay"] for name, _ in g["params"]]
    spared = {g["name"]: (g["lr"], g["weight_decay"]) for g in groups if not g["weight_decay"]}
    assert decayed == WEIGHTS and all(g["weight_decay"] in (0.0, 0.1) for g in groups)
    assert spared["conv without decay"] == (1 / 16, 0.0) and spared["bn without decay"] == (1 / 8, 0.0)
    optim.AdamW(groups)


def test_a_frozen_layer_still_counts_as_one():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    freeze(model[1])
    assert {g["name"]: g["lr"] for g in layerwise_rates(model, 1.0, 0.5)} == {"0": 0.25, "2": 1.0}


def test_rates_may_be_schedules():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = optim.SGD(layerwise_rates(model, 0.8 * schedules.cosine(4), 0.5))
    found = []
    for _ in range(3):
        optimizer.step()
        found.append([g["lr"] for g in optimizer.param_groups])
    factors = [0.4 * (1 + math.cos(math.pi * t / 4)) for t in range(3)]
    np.testing.assert_allclose(found, [[f / 2, f] for f in factors], rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------- freezing
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize(
    "rule", [lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.1), lambda ps: optim.AdamW(ps, lr=0.1)]
)
def test_frozen_layers_stay_and_thaw_without_a_new_optimizer(where, rule, zero):
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)).to(where.name)
    optimizer = rule(model.parameters())

    def step():
        optimizer.zero_grad(set_to_none=zero)
        model(where.tensor(np.ones((2, 3)), np.float32)).sum().backward()
        optimizer.step()

    def values():
        return [where.host(p).copy() for p in model.parameters()]

    step()
    assert freeze(model[0]) is model[0] and model[0].weight.grad is None
    first = values()
    step(), step()
    second = values()
    assert all((a == b).all() for a, b in zip(first[:2], second[:2], strict=True))
    assert all((a != b).any() for a, b in zip(first[2:], second[2:], strict=True))
    unfreeze(model[0])
    step()
    assert all((a != b).any() for a, b in zip(second, values(), strict=True))
    assert freeze(model[2].weight) is model[2].weight and not model[2].weight.requires_grad


def test_layers_thaw_one_after_the_other():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Linear(2, 1))
    gradual = GradualUnfreezing(model, every=2)

    def thawed():
        return [i for i in (0, 2, 3, 4) if all(p.requires_grad for p in model[i].parameters())]

    seen = [(thawed(), gradual.waiting)]
    given = []
    for _ in range(8):
        given.append(gradual.step())
        seen.append((thawed(), gradual.waiting))
    assert given == [[], ["3"], [], ["2"], [], ["0"], [], []]
    assert seen[0] == seen[1] == ([4], ["0", "2", "3"]) and seen[2] == ([3, 4], ["0", "2"])
    assert seen[4] == ([2, 3, 4], ["0"]) and seen[6] == seen[8] == ([0, 2, 3, 4], [])


def test_gradual_unfreezing_goes_on_after_a_resume():
    def make():
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
        return model, GradualUnfreezing(model)

    (_, first), (model, second) = make(), make()
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.waiting == ["0"] and model[1].weight.requires_grad and not model[0].weight.requires_grad
    assert second.step() == ["0"]
    second.load_state_dict({"steps": 0})
    assert second.waiting == ["0", "1"] and not model[1].weight.requires_grad


def test_what_was_frozen_before_stays_frozen():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
    freeze(model[1])
    freeze(model[0].bias)
    gradual = GradualUnfreezing(model)
    assert gradual.waiting == ["0"] and gradual.step() == ["0"]
    assert model[0].weight.requires_grad and not model[0].bias.requires_grad
    assert not any(p.requires_grad for p in model[1].parameters())


def test_gradual_unfreezing_trains_with_one_optimizer():
    minidl.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam(layerwise_rates(model, 0.05, 0.7))
    gradual = GradualUnfreezing(model)
    x = minidl.randn(64, 2)
    y = (x[:, :1] * x[:, 1:]).detach()
    losses, counts = [], []
    for _ in range(3):
        for _ in range(60):
            loss = ((model(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        counts.append(len(optimizer.state))
        gradual.step()
    assert counts == [2, 4, 6] and losses[2] < 0.3 * losses[0]


# ------------------------------------------------------------------------------------------------------------ misuse
@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda m: groups_without_decay([1]), TypeError, "groups_without_decay: expected a Module, got list"),
        (lambda m: groups_without_decay(freeze(m)), ValueError, "Net has no parameter that requires a gradient"),
        (lambda m: groups_without_decay(m, without=["conf"]), ValueError, "Net has no 'conf'; directly within it are "),
        (lambda m: groups_without_decay(m, without=[3]), TypeError, "expected a Module or a Tensor, got int"),
        (lambda m: optim.SGD(groups_without_decay(m, -1.0)), ValueError, "weight_decay must be a finite number >= 0"),
        (lambda m: layerwise_rates(m, 0.1, 0.0), ValueError, "layerwise_rates: decay must be a number > 0"),
        (lambda m: layerwise_rates(m, 0.1, layers=["conv", "nose"]), ValueError, "has no 'nose'"),
        (
            lambda m: layerwise_rates(m, 0.1, layers=["scale", "embed", "conv", "bn", "block", "head"]),
            ValueError,
            "in none of the layers: lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0",
        ),
        (lambda m: layerwise_rates(m, 0.1, layers=[nn.Linear(2, 2)]), ValueError, "2 parameters that are not of the"),
        (lambda m: GradualUnfreezing(m, every=0), ValueError, "GradualUnfreezing: every must be a whole number of"),
        (lambda m: GradualUnfreezing(freeze(m)), ValueError, "no parameter that requires a gradient"),
        (lambda m: GradualUnfreezing(m).load_state_dict({"count": 1}), ValueError, r"['steps'], got ['count']"),
        (lambda m: freeze("conv"), TypeError, "freeze: expected a Module or a Tensor, got str"),
        (lambda m: unfreeze(None), TypeError, "unfreeze: expected a Module or a Tensor, got NoneType"),
    ],
)
def test_misuse_is_refused(make, error, words):
    with pytest.raises(error) as caught:
        make(Net())
    assert words in str(caught.value)
