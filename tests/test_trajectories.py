"""The paths of all rules against PyTorch's, step by step in float64, also when they are interrupted on the way."""

from __future__ import annotations

import copy
import inspect
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Where
from optimizers import RECORDED, WALKS, Side, check, walk
from optimizers.walking import made
from test_reference import REFERENCE

import minidl
from minidl import nn, optim
from minidl.backend.rows import RowArray
from minidl.tensor import Parameter, Tensor, wrap

SIGNATURES = json.loads((Path(__file__).resolve().parent / "reference" / "signatures.json").read_text())
IMPLEMENTATION = {"params", "foreach", "fused", "capturable", "differentiable"}  # nothing that changes a path
FEW = 20  # steps on the stand-in


def expected(name: str) -> dict[str, np.ndarray]:
    """PyTorch's path."""
    found = {k[len(name) + 1 :]: v for k, v in REFERENCE["trajectories"].items() if k.startswith(f"{name}/")}
    assert found, f"PyTorch's path of {name!r} is not recorded: python tests/reference/make.py trajectories"
    return found


def side(where: Where) -> Side:
    """minidl on one array type."""

    def host(x):
        array = x.array if isinstance(x, Tensor) else x
        return np.array(array) if isinstance(array, np.ndarray) else where.host(array)

    return Side(
        optim,
        lambda x: Parameter(where.array(x)),
        where.tensor,
        host,
        lambda rows, values, shape: wrap(RowArray(where.array(rows), where.array(values), shape)),
    )


def steps(where: Where) -> int | None:
    return None if where.name == "cpu" else FEW


# ------------------------------------------------------------------------------------------------------ interruptions
def saved_and_loaded(where: Where, one, params, optimizer):
    """The state by way of a file, in an optimizer that was made with other rates."""
    file = io.BytesIO()
    minidl.save(optimizer.state_dict(), file)
    new = made(type(optimizer), one, params)
    for group in new.param_groups:
        group["lr"] = 77.0
    file.seek(0)
    new.load_state_dict(minidl.load(file, map_location=where.name))
    return params, new


def copied(where, one, params, optimizer):
    """Parameters and optimizer in one deepcopy; the originals are made useless."""
    model, new = copy.deepcopy((nn.ParameterList(params), optimizer))
    for p in params:
        p.data.fill_(77.0)
    return list(model), new


def rebound(where, one, params, optimizer):
    """Each parameter on other memory."""
    for p in params:
        p.data = p.data.clone()
    return params, optimizer


def moved(where, one, params, optimizer):
    """The model to where it is, in the dtype that it has."""
    model = nn.ParameterList(params).to(where.name).to(minidl.float64)
    assert all(p is q for p, q in zip(model, params, strict=True))
    return params, optimizer


def converted(where, one, params, optimizer):
    """The model to float32 and back, the values put back after it: dtypes and memory change under the optimizer."""
    before = [p.data.clone() for p in params]
    nn.ParameterList(params).to(minidl.float32).to(minidl.float64)
    with minidl.no_grad():
        for p, value in zip(params, before, strict=True):
            p.copy_(value)
    return params, optimizer


def listed(where, one, params, optimizer):
    """The live state looked at, and its Tensors bound to others with the same values."""
    for entries in optimizer.state.values():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                entries[key] = value.clone()
    return params, optimizer


INTERRUPTIONS = {1: saved_and_loaded, 4: copied, 6: rebound, 8: moved, 9: listed, 11: converted, 13: saved_and_loaded}
INTERRUPTIONS |= {15: copied, 17: rebound, 40: saved_and_loaded, 41: copied, 90: rebound, 150: saved_and_loaded}


@pytest.mark.parametrize("name", WALKS)
def test_path_is_pytorchs_and_interruptions_change_no_bit_of_it(name, where):
    def between(t, params, optimizer):
        return INTERRUPTIONS[t](where, WALKS[name], params, optimizer) if t in INTERRUPTIONS else (params, optimizer)

    plain = walk(side(where), WALKS[name], steps(where))
    check(plain, expected(name))
    found = walk(side(where), WALKS[name], steps(where), between)
    assert found.keys() == plain.keys()
    for key, value in plain.items():
        assert np.array_equal(found[key], value), key


# ----------------------------------------------------------------------------------------------------------- coverage
def rules() -> list[str]:
    """The rules of minidl.optim that PyTorch has too."""
    return [name for name in optim.__all__ if name in SIGNATURES and issubclass(getattr(optim, name), optim.Optimizer)]


def test_every_rule_that_pytorch_has_too_is_walked():
    assert set(rules()) == {one.rule for one in WALKS.values()} and len(rules()) >= 14
    names = {key.split("/")[0] for key in REFERENCE["trajectories"]}
    assert names == set(WALKS)  # and nothing is recorded that nobody walks


@pytest.mark.parametrize("rule", rules())
def test_every_option_of_a_rule_is_walked(rule):
    used = {key for one in WALKS.values() if one.rule == rule for key in one.options}
    assert {p[0] for p in SIGNATURES[rule]} - IMPLEMENTATION <= used


@pytest.mark.parametrize("rule", rules())
def test_signature_is_pytorchs(rule):
    parameters = inspect.signature(getattr(optim, rule)).parameters.values()
    assert [[p.name, p.kind.name, repr(p.default)] for p in parameters] == SIGNATURES[rule]


def test_walks_are_noted_often_enough():
    for name, one in WALKS.items():
        path = [key for key in expected(name) if key.startswith("step")]
        assert path == [f"step {t}" for t in RECORDED if t <= one.steps] and len(path) >= 6
