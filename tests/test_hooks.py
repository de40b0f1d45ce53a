"""Hooks on tensors, nodes and modules, and the graph as drawing tools walk it. The orders are PyTorch's."""

from __future__ import annotations

import gc
import math

import pytest

import minidl
from minidl import autograd, modes, nn
from minidl.autograd.graph import GradientEdge, Node, get_gradient_edge
from minidl.nn import hooks as everywhere


def leaf():
    return minidl.tensor([[1.0, -1.0]], dtype=minidl.float64, requires_grad=True)


def linear():
    layer = nn.Linear(2, 2).double()
    with minidl.no_grad():
        layer.weight.copy_(minidl.tensor([[1.0, 2.0], [3.0, 4.0]]))
        layer.bias.fill_(0.5)
    return layer


def plain(tree):
    """Tensors as lists."""
    if isinstance(tree, (tuple, list)):
        return [plain(x) for x in tree]
    return tree.tolist() if isinstance(tree, minidl.Tensor) else tree


# ----------------------------------------------------------------------------------------------------------- tensors
def test_a_hook_may_remove_itself():
    x, log = leaf(), []

    def once(g):
        log.append(1)
        handle.remove()

    handle = x.register_hook(once)
    x.register_hook(lambda g: log.append(2))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert log == [1, 2, 2]


def test_retains_grad():
    x = leaf()
    y = x * 2
    assert not y.retains_grad and not x.retains_grad
    y.retain_grad()
    y.retain_grad()
    x.retain_grad()
    assert y.retains_grad and not x.retains_grad
    (y * 3).sum().backward()
    assert y.grad.tolist() == [[3.0, 3.0]]


def test_post_accumulate_hooks_see_the_sum():
    x, log = leaf(), []
    x.register_post_accumulate_grad_hook(lambda t: log.append(t.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert log == [[[2.0, 2.0]], [[4.0, 4.0]]]


# ------------------------------------------------------------------------------------------------------------- nodes
def test_the_graph_can_be_walked():
    x, w = leaf(), minidl.tensor(2.0, dtype=minidl.float64, requires_grad=True)
    y = x * w * 3
    node = y.sum().grad_fn
    assert node.name() == "sum" and [i for _, i in node.next_functions] == [0]
    times = node.next_functions[0][0].next_functions
    assert times[1] == (None, 0)
    ends = times[0][0].next_functions
    assert [f.name() for f, _ in ends] == ["AccumulateGrad"] * 2
    assert ends[0][0].variable is x and ends[1][0].variable is w and ends[0][0].next_functions == ()
    assert ends[0][0] is times[0][0].next_functions[0][0]  # the same one as long as it is held
    assert all(isinstance(f, Node) for f in (node, ends[0][0])) and repr(ends[0][0]) == "<AccumulateGrad>"
    node.metadata["note"] = 3
    assert node.metadata == {"note": 3}
    parts = (x * 1).split(1, dim=1)
    assert [p.output_nr for p in parts] == [0, 1] and parts[1].grad_fn is parts[0].grad_fn


def test_accumulators_hold_nothing_that_is_gone():
    gc.disable()
    try:
        node = (leaf() * 2).grad_fn
        ids = {id(node.next_functions[0][0].variable) for _ in range(3)}
        assert len(ids) == 1 and not autograd.graph._accumulators
    finally:
        gc.enable()


def test_hooks_on_nodes():
    x, w, log = leaf(), minidl.tensor(2.0, dtype=minidl.float64, requires_grad=True), []
    y = x * w
    z = y.sum()
    z.grad_fn.register_prehook(lambda go: log.append(("pre", plain(go))))
    z.grad_fn.register_hook(lambda gi, go: log.append(("post", plain(gi), plain(go))))
    y.grad_fn.register_prehook(lambda go: (go[0] * 10,))
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * 2, gi[1]))
    end = y.grad_fn.next_functions[0][0]
    end.register_prehook(lambda go: log.append(("end pre", plain(go))))
    handle = end.register_hook(lambda gi, go: log.append(("end post", plain(gi), plain(go))))
    z.backward(retain_graph=True)
    assert x.grad.tolist() == [[40.0, 40.0]] and w.grad.item() == 0.0
    assert log == [
        ("pre", [1.0]),
        ("post", [[[1.0, 1.0]]], [1.0]),
        ("end pre", [[[40.0, 40.0]]]),
        ("end post", [], [[[40.0, 40.0]]]),
    ]
    handle.remove()
    log.clear()
    z.backward()
    assert [entry[0] for entry in log] == ["pre", "post", "end pre"]


def test_hooks_on_nodes_take_part_in_second_derivatives():
    x = leaf()
    y = x**2
    y.grad_fn.register_hook(lambda gi, go: (gi[0] * 3,))
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [[6.0, -6.0]]
    assert autograd.grad(g.sum(), x)[0].tolist() == [[6.0, 6.0]]


def test_hooks_on_nodes_see_gradients_of_the_inputs_shape():
    x, b, shapes = leaf(), minidl.zeros(2, dtype=minidl.float64, requires_grad=True), []
    y = x + b
    y.grad_fn.register_hook(lambda gi, go: shapes.append([tuple(g.shape) for g in gi]))
    y.sum().backward()
    assert shapes == [[(1, 2), (2,)]]
    with pytest.raises(RuntimeError, match="hook on 'add': expected 2 gradients or None, got 1"):
        y = x + b
        y.grad_fn.register_hook(lambda gi, go: gi[0])
        y.sum().backward()


def test_gradient_edges():
    x = leaf()
    y = x * 2
    at_y, at_x = get_gradient_edge(y), get_gradient_edge(x)
    z = (y**2).sum()
    assert plain(autograd.grad(z, [at_y, at_x], retain_graph=True)) == [[[4.0, -4.0]], [[8.0, -8.0]]]
    assert plain(autograd.grad(z, GradientEdge(y.grad_fn, 0), retain_graph=True)) == [[[4.0, -4.0]]]
    assert plain(autograd.grad(z, GradientEdge(at_x.node, 0))) == [[[8.0, -8.0]]]
    assert get_gradient_edge(at_x) is at_x
    with pytest.raises(RuntimeError, match="does not require"):
        get_gradient_edge(x.detach())


# ----------------------------------------------------------------------------------------------------------- modules
def test_order_of_a_modules_hooks():
    layer, log = linear(), []
    for name, prepend in (("a", False), ("b", True), ("c", False)):
        layer.register_forward_pre_hook(lambda m, a, n=name: log.append("p" + n), prepend=prepend)
        layer.register_forward_hook(lambda m, a, y, n=name: log.append("f" + n), prepend=prepend)
        layer.register_full_backward_hook(lambda m, a, y, n=name: log.append("b" + n), prepend=prepend)
        layer.register_full_backward_pre_hook(lambda m, y, n=name: log.append("q" + n), prepend=prepend)
    layer(leaf()).sum().backward()
    assert log == "pb pa pc fb fa fc qb qa qc bb ba bc".split()


def test_hooks_with_keywords_may_replace_them():
    class Times(nn.Module):
        def forward(self, x, k=1):
            return x * k

    module, log = Times(), []
    module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"k": kwargs["k"] + 1}), with_kwargs=True)
    module.register_forward_hook(lambda m, args, kwargs, y: log.append(kwargs), with_kwargs=True)
    assert module(leaf(), k=2).tolist() == [[3.0, -3.0]] and log == [{"k": 3}]


def test_hooks_that_are_always_called():
    layer, log = linear(), []
    layer.register_forward_hook(lambda m, a, y: log.append(y is None), always_call=True)
    layer.register_forward_hook(lambda m, a, y: log.append("ordinary"))
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        layer(minidl.ones(3, dtype=minidl.float64))
    assert log == [True]
    layer(leaf())
    assert log == [True, False, "ordinary"]

    def fails(m, a, y):
        raise KeyError("from the hook")

    layer.register_forward_hook(fails, always_call=True)
    with pytest.warns(UserWarning, match="from the hook"), pytest.raises((RuntimeError, TypeError, ValueError)):
        layer(minidl.ones(3, dtype=minidl.float64))
    with pytest.raises(KeyError, match="from the hook"):  # an error of its own is told
        layer(leaf())


def test_backward_hooks_may_replace_gradients():
    layer = linear()
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 5,))
    x = leaf()
    layer(x).sum().backward()
    assert x.grad.tolist() == [[40.0, 60.0]] and layer.bias.grad.tolist() == [5.0, 5.0]


def test_backward_hooks_warn_where_the_output_is_neither_tensor_nor_tuple():
    class Both(nn.Module):
        def forward(self, x):
            return {"double": x * 2}

    module, log, x = Both(), [], leaf()
    module.register_full_backward_hook(lambda m, gi, go: log.append(gi))
    with pytest.warns(UserWarning, match="dict is neither"):
        y = module(x)
    y["double"].sum().backward()
    assert log == [] and x.grad.tolist() == [[2.0, 2.0]]


def test_the_old_kind_of_backward_hook_stands_at_the_last_op():
    layer, log = linear(), []
    layer.register_backward_hook(lambda m, gi, go: log.append((len(gi), plain(go))))
    layer(leaf()).sum().backward()
    assert log == [(3, [[[1.0, 1.0]]])]
    with pytest.raises(RuntimeError, match="both regular backward hooks and full"):
        layer.register_full_backward_hook(lambda *a: None)
    layer = linear()
    layer.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="both regular backward hooks and full"):
        layer.register_backward_hook(lambda *a: None)


def test_hooks_of_all_modules():
    log, watching = [], modes.watching
    model = nn.Sequential(linear(), nn.ReLU())
    handles = [
        everywhere.register_module_forward_pre_hook(lambda m, a: log.append("p" + type(m).__name__)),
        everywhere.register_module_forward_hook(lambda m, a, y: log.append("f" + type(m).__name__)),
        everywhere.register_module_full_backward_hook(lambda m, gi, go: log.append("b" + type(m).__name__)),
        everywhere.register_module_full_backward_pre_hook(lambda m, go: log.append("q" + type(m).__name__)),
    ]
    model[0].register_forward_hook(lambda m, a, y: log.append("own"))
    model[0].register_full_backward_hook(lambda m, gi, go: log.append("own back"))
    model(leaf()).sum().backward()
    expected = "pSequential pLinear fLinear own pReLU fReLU fSequential qSequential qReLU bReLU qLinear bLinear"
    assert log == [*expected.split(), "own back", "bSequential"]
    for handle in handles:
        handle.remove()
        handle.remove()
    log.clear()
    model(leaf()).sum().backward()
    assert log == ["own", "own back"] and modes.watching == watching


def test_hooks_of_all_modules_may_replace():
    with everywhere.register_module_forward_hook(lambda m, args, kwargs, y: y * 2, with_kwargs=True):
        assert linear()(leaf()).tolist() == [[-1.0, -1.0]]
    with everywhere.register_module_full_backward_hook(lambda m, gi, go: (gi[0] * 3,)):
        x = leaf()
        linear()(x).sum().backward()
    assert x.grad.tolist() == [[12.0, 18.0]]
    log = []
    with everywhere.register_module_backward_hook(lambda m, gi, go: log.append(type(m).__name__)):
        linear()(leaf()).sum().backward()
    assert log == ["Linear"]


# ------------------------------------------------------------------------------------------------------ anomaly mode
def test_anomaly_mode_as_a_call_and_as_a_context():
    assert not modes.is_anomaly_enabled()
    autograd.set_detect_anomaly(True)
    assert modes.is_anomaly_enabled() and modes.is_anomaly_check_nan_enabled()
    with autograd.set_detect_anomaly(False):
        assert not modes.is_anomaly_enabled()
    assert modes.is_anomaly_enabled()
    autograd.set_detect_anomaly(False)
    assert not modes.is_anomaly_enabled() and modes.watching == modes.views


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_anomaly_mode_without_looking_at_values():
    x = leaf()
    with autograd.detect_anomaly(check_nan=False):
        y = (x * 0) / (x * 0)
        y.sum().backward()
    assert math.isnan(x.grad[0, 0].item()) and modes.is_anomaly_check_nan_enabled()
    with autograd.detect_anomaly(), pytest.raises(RuntimeError, match="'divide' gave nan"):
        (x * 0) / (x * 0)


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_anomaly_mode_lets_masks_pass(where):
    x = where.leaf([[1.0, -1.0]])
    with autograd.detect_anomaly():
        (where.tensor([[0.0, -math.inf]]) + x).softmax(-1).sum().backward()
        x.masked_fill(x < 0, -math.inf).softmax(-1).sum().backward()
        with pytest.raises(RuntimeError, match="gave inf"):
            (x[:, :1] - 1).log()
