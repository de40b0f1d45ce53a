"""Every case of the table through every check, on both array types; and that no op is without a case."""

from __future__ import annotations

import numpy as np
import pytest
from cases import TABLE
from conftest import REAL_GPU, Where

from minidl import testing
from minidl.engine import OPS, Op

DIFFERENTIABLE = [e for e in TABLE if any(isinstance(x, np.ndarray) and x.dtype.kind == "f" and i not in e.fixed
                                          for i, x in enumerate(e.inputs()))]  # fmt: skip


def _each(entries):
    return pytest.mark.parametrize("entry", entries, ids=str)


def test_every_op_has_a_case():
    own = {name for name, op in OPS.items() if isinstance(op, Op) and op.body.__module__.startswith("minidl.ops.")}
    elsewhere = {"transfer"}  # needs two devices: test_functions.py
    assert own - {entry.op for entry in TABLE} == elsewhere


def test_no_case_is_twice_in_the_table():
    names = [str(entry) for entry in TABLE]
    assert sorted(set(names)) == sorted(names)


def test_every_op_with_a_derivative_has_a_differentiated_case():
    plain = {"zeros_like", "ones_like", "zeros", "argmax", "argmin", "any", "all", "isnan", "isfinite", "equal", "not_equal"}
    plain |= {"greater", "greater_equal", "less", "less_equal", "logical_and", "logical_or", "logical_not"}
    assert {e.op for e in TABLE} - {e.op for e in DIFFERENTIABLE} == plain | {"astype"}


@_each(TABLE)
def test_forward(entry, where):
    testing.check_forward(entry.case(where))


@_each(DIFFERENTIABLE)
def test_gradient(entry, where):
    case = entry.case(where)
    if any(isinstance(x, np.ndarray) and x.size == 0 for x in entry.inputs()):
        ys, gs = case.gradients()
        assert [g.shape for g in gs] == [case.inputs[i].shape for i in case.leaves] and ys
        return
    testing.check_gradient(case)


@_each(DIFFERENTIABLE)
def test_second_order(entry, where):
    testing.check_second_order(entry.case(where))


@_each(TABLE)
def test_dtypes(entry, where):
    testing.check_dtypes(entry.case(where))


@_each(TABLE)
def test_layout(entry, where):
    testing.check_layout(entry.case(where))


@_each(TABLE)
def test_purity(entry, where):
    testing.check_purity(entry.case(where))


@_each([e for e in TABLE if e not in DIFFERENTIABLE])
def test_not_tracked(entry, where):
    case = entry.case(where)
    outputs = case.run()[1]
    assert not any(y.requires_grad for y in outputs)


@pytest.mark.skipif(REAL_GPU, reason="a GPU rounds some functions differently")
@_each([e for e in TABLE if e.same_bits])
def test_same_bits_on_both_array_types(entry):
    """Where both run the same algorithm, results and gradients agree to the last bit."""
    found = []
    for where in (Where("cpu"), Where("cuda")):
        ys, gs = entry.case(where).gradients()
        found.append([(where.host(t) + 0).tobytes() for t in [*ys, *gs] if t is not None])  # + 0: no -0.0
    assert found[0] == found[1]
