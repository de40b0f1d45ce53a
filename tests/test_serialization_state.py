"""Hooks around the state of optimizers, and checkpoints that are taken over whole or not at all."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim, serialization, train
from minidl.backend.random import default_generator
from minidl.train.loop import Position


def made(kind=optim.Adam, **options):
    p = nn.Parameter(minidl.ones(2))
    rule = kind([p], lr=0.1, **options)
    p.grad = minidl.tensor([1.0, -2.0])
    rule.step()
    return p, rule


def test_hooks_around_saving_and_loading_run_in_order():
    _, rule = made()
    said: list = []

    def note(word):
        return lambda *args: said.append((word, [type(a).__name__ for a in args]))

    rule.register_state_dict_pre_hook(note("a"))
    rule.register_state_dict_pre_hook(note("b"), prepend=True)
    rule.register_state_dict_pre_hook(note("c"), prepend=True)
    rule.register_state_dict_post_hook(note("d"))
    handle = rule.register_state_dict_post_hook(note("e"), prepend=True)
    rule.register_load_state_dict_pre_hook(note("f"))
    rule.register_load_state_dict_pre_hook(note("g"), prepend=True)
    rule.register_load_state_dict_post_hook(note("h"))
    rule.register_load_state_dict_post_hook(note("i"), prepend=True)
    state = rule.state_dict()
    assert said == [("c", ["Adam"]), ("b", ["Adam"]), ("a", ["Adam"]), ("e", ["Adam", "dict"]), ("d", ["Adam", "dict"])]
    said.clear()
    rule.load_state_dict(state)
    assert said == [("g", ["Adam", "dict"]), ("f", ["Adam", "dict"]), ("i", ["Adam"]), ("h", ["Adam"])]
    handle.remove()
    said.clear()
    rule.state_dict()
    assert [word for word, _ in said] == ["c", "b", "a", "d"]


def test_hooks_may_replace_what_is_saved_and_loaded():
    p, rule = made()
    rule.register_state_dict_post_hook(lambda optimizer, state: {**state, "note": 5})
    state = rule.state_dict()
    assert state["note"] == 5

    def adapt(optimizer, state):
        group = {**state["param_groups"][0], "lr": 0.5}
        return {**state, "param_groups": [group]}

    rule.register_load_state_dict_pre_hook(adapt)
    rule.load_state_dict(state)
    assert rule.param_groups[0]["lr"] == 0.5 and state["param_groups"][0]["lr"] == 0.1


def test_a_hook_before_loading_cannot_change_what_was_given():
    _, rule = made()
    state = rule.state_dict()
    rule.register_load_state_dict_pre_hook(lambda optimizer, given: given.update(extra=1))
    rule.load_state_dict(state)
    assert "extra" not in state


def test_hooks_run_where_the_state_is_refused_only_before():
    _, rule = made()
    said: list = []
    rule.register_load_state_dict_pre_hook(lambda *args: said.append("before"))
    rule.register_load_state_dict_post_hook(lambda *args: said.append("after"))
    with pytest.raises(ValueError, match="the groups have"):
        rule.load_state_dict({"state": {}, "param_groups": []})
    assert said == ["before"]
    with pytest.raises(TypeError, match="callable"):
        rule.register_state_dict_pre_hook(5)


def test_copies_of_an_optimizer_have_no_hooks():
    _, rule = made()
    said: list = []
    rule.register_state_dict_pre_hook(lambda *args: said.append(1))
    copy.deepcopy(rule).state_dict()
    assert not said


def test_adamw_stays_decoupled_with_the_state_of_adam():
    _, adam = made(optim.Adam, weight_decay=0.1)
    _, rule = made(optim.AdamW)
    rule.load_state_dict(adam.state_dict())
    assert rule.param_groups[0]["decoupled_weight_decay"] is True and rule.param_groups[0]["weight_decay"] == 0.1
    with pytest.raises(ValueError, match="AdamW.load_state_dict: expected a dict"):
        rule.load_state_dict(5)


# ------------------------------------------------------------------------------------------------ checkpoints
def setup(seed: int):
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    loader = data.DataLoader(data.TensorDataset(minidl.randn(12, 3), minidl.zeros(12)), batch_size=4, shuffle=True)
    for _ in range(seed):
        for x, _ in loader:
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
    return model, optimizer, loader


def everything(model, optimizer, loader) -> str:
    """All that a checkpoint decides, as one text."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
    return repr([state, default_generator().get_state()])


def wrong_keys(state):
    state["model"]["5.weight"] = minidl.ones(1)


def wrong_shape(state):
    state["model"]["0.weight"] = minidl.ones(5, 3)


def wrong_moments(state):
    state["optimizer"]["state"][2]["exp_avg"] = minidl.ones(7)


def wrong_groups(state):
    state["optimizer"]["param_groups"] = []


def wrong_rate(state):
    state["optimizer"]["param_groups"][0]["lr"] = -1.0


def wrong_loader(state):
    state["loader"]["epoch"] = -3


def wrong_random(state):
    state["random"] = [1, -2]


def wrong_position(state):
    state["position"] = {}


DAMAGES = [
    wrong_keys, wrong_shape, wrong_moments, wrong_groups, wrong_rate, wrong_loader, wrong_random, wrong_position,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path, damage):
    path = train.save_checkpoint(tmp_path, *setup(1), Position())
    state = serialization.load(path)
    damage(state)
    serialization.save(state, path)
    mine = setup(2)
    before = everything(*mine)
    with pytest.raises((ValueError, RuntimeError)):
        train.load_checkpoint(path, *mine)
    assert everything(*mine) == before


def test_a_checkpoint_that_fits_changes_everything(tmp_path):
    theirs = setup(1)
    path = train.save_checkpoint(tmp_path, *theirs, Position())
    expected = everything(*theirs)
    mine = setup(2)
    assert everything(*mine) != expected
    train.load_checkpoint(path, *mine)
    assert everything(*mine) == expected
    np.testing.assert_array_equal(mine[0][0].weight.array, theirs[0][0].weight.array)
