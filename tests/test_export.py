"""What a recording of a model has in it, what is refused, and that the model is as it was before."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.backend import BACKENDS
from minidl.engine import OPS
from minidl.export import TraceError, to_numpy
from minidl.export.numpy_ops import known
from minidl.export.sizes import Dim, trace
from minidl.export.trace import Traced

# layers that look at values, so that no list of ops says what they do
CANNOT = {
    "NLLLoss options": "picks class weights with an array, not by an op",
    "CrossEntropyLoss options": "picks class weights with an array, not by an op",
    "MultiMarginLoss options": "picks class weights with an array, not by an op",
    "EmbeddingBag": "reads where the bags begin",
    "EmbeddingBag sum, weighted": "reads where the bags begin",
    "EmbeddingBag max, padding": "reads where the bags begin",
    "CTCLoss": "reads the lengths",
    "AdaptiveLogSoftmaxWithLoss": "sends each row to the cluster of its target",
    "AdaptiveLogSoftmaxWithLoss, one, bias": "sends each row to the cluster of its target",
}


def module(function, *parts) -> nn.Module:
    """A Module whose forward is `function(self, x)`."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(parts)

        def forward(self, *args, **kwargs):
            return function(self, *args, **kwargs)

    return Made()


def forward(source: str):
    """The function `forward` of a script."""
    names = {"__name__": "script"}
    exec(compile(source, "script", "exec"), names)
    return names["forward"]


def agrees(model: nn.Module, *shapes, shape=(2, 4, 6)) -> None:
    """A model exported at one size gives the same as here at others."""
    made = forward(to_numpy(model, minidl.randn(*shape)))
    for size in shapes or [(5, 4, 6), (1, 4, 6)]:
        x = minidl.randn(*size)
        with minidl.no_grad():
            want = model.eval()(x).numpy()
        np.testing.assert_allclose(made(x.numpy().copy()), want, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------- refusals
REFUSED = {
    "item": lambda self, x: x * x.mean().item(),
    "if": lambda self, x: x if x.sum() > 0 else -x,
    "float": lambda self, x: x * float(x.max()),
    "numpy": lambda self, x: x + minidl.tensor(x.numpy()),
    "tolist": lambda self, x: x + minidl.tensor(x.tolist()),
    "as an index": lambda self, x: x[:, int(x.argmax()) % 2],
    "random": lambda self, x: x + minidl.randn(6),
    "a mask as index": lambda self, x: x[x > 0],
    "a quotient of sizes": lambda self, x: x * (1.0 / x.shape[0]),
    "half a size": lambda self, x: x[: x.shape[0] // 2],
    "how many ops": lambda self, x: sum([x[0] for _ in range(x.shape[0])]),
    "a view changed": lambda self, x: [y := x * 2, y.view(-1).add_(1), y][2],
    "nothing": lambda self, x: None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_fixed_is_refused(name):
    model = module(REFUSED[name])
    with pytest.raises(TraceError):
        to_numpy(model, minidl.randn(4, 4, 6))


def test_an_error_of_the_model_itself_is_shown():
    with pytest.raises(TypeError, match="my own"):
        to_numpy(module(lambda self, x: (_ for _ in ()).throw(TypeError("my own"))), minidl.randn(2, 3))


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_before(fails):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[2].eval()
    if fails:
        model.append(module(REFUSED["item"]))
    bodies, state = (
        {name: op.body for name, op in OPS.items()},
        {k: v.numpy().copy() for k, v in model.state_dict().items()},
    )
    if fails:
        with pytest.raises(TraceError):
            to_numpy(model, minidl.randn(2, 3))
    else:
        to_numpy(model, minidl.randn(2, 3))
    assert [m.training for m in model[:3]] == [True, True, False]
    assert all("_hooks" not in vars(m) for m in model.modules())
    assert {name: op.body for name, op in OPS.items()} == bodies and Traced not in BACKENDS
    assert not any("_refuse_devices" in vars(op) for op in OPS.values())
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key])


# ----------------------------------------------------------------------------------------------- values and sizes
AGREEING = {
    "written into": lambda self, x: [y := x * 2, y.__setitem__((slice(None), 0), 1.0), y][2],
    "a part added to": lambda self, x: [y := x * 2, y[:, 1:3, ::2].add_(x[:, :2, ::2]), y][2],
    "masked": lambda self, x: [y := x * 2, y.__setitem__(y > 1, 0.0), y][2],
    "in place": lambda self, x: (x * 2).relu_().add_(1),
    "flattened by view": lambda self, x: x.view(x.size(0), -1),
    "batch and rows joined": lambda self, x: x.view(x.size(0) * 4, 6).softmax(-1).view(-1, 4, 6),
    "divided by a size": lambda self, x: x / x.shape[0],
    "zeros of the batch": lambda self, x: minidl.cat([x, minidl.zeros(x.shape[0], 4, 1)], 2),
    "numbers up to the batch": lambda self, x: x + minidl.arange(x.shape[0])[:, None, None],
    "compared": lambda self, x: (x > 0).float() - (x <= 0.5).to(x.dtype),
    "chosen": lambda self, x: minidl.where(x > 0, x, -1.0),
    "sorted by index": lambda self, x: x[:, [0, 2, 2]] + x[:, -1:],
    "backwards": lambda self, x: x.flip(1)[..., 2],
    "statistics": lambda self, x: x.var(1) + x.std(2, keepdim=True).amax(1) + x.norm(dim=1),
}


@pytest.mark.parametrize("name", AGREEING)
def test_programs_agree_at_other_sizes(name):
    agrees(module(AGREEING[name]))


def causal(self, x):
    """Attention of one head with a causal mask, positions from a table; two open sizes."""
    n, t = x.shape
    h = self.parts[0](x) + self.parts[1](minidl.arange(t))
    scores = h @ h.transpose(1, 2) / 6**0.5
    scores = scores.masked_fill(minidl.triu(minidl.ones(t, t), 1).bool(), float("-inf"))
    return self.parts[2]((scores.softmax(-1) @ h).reshape(n * t, 6)).view(n, t, 3)


def test_a_causal_mask_and_positions_for_any_length():
    model = module(causal, nn.Embedding(9, 6), nn.Embedding(8, 6), nn.Linear(6, 3))
    x = minidl.tensor(np.arange(16).reshape(2, 8) % 9)
    graph = trace(model, (x,), known, {"n": [(0, 0)], "t": [(0, 1)]})
    assert graph.shapes[graph.outputs[0].number] == (Dim(((("n",), 1),)), Dim(((("t",), 1),)), 3)
    assert any(Dim(((("n", "t"), 1),)) in shape for shape in graph.shapes)
    made = forward(
        to_numpy(module(lambda self, x: causal(self, x.long()[:, :, 0]), *model.parts), minidl.ones(2, 8, 1))
    )
    x = minidl.randint(0, 9, (3, 8))
    np.testing.assert_allclose(made(x.numpy()[..., None].astype("f")), model(x).detach().numpy(), atol=1e-5)


def test_parts_have_the_names_of_their_modules():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.GELU()))
    graph = trace(model, (minidl.randn(2, 3),), known, {})
    assert [(c.op, c.path) for c in graph.calls] == [("linear", "0"), ("relu", "1.0"), ("gelu", "1.1")]
    assert sorted(graph.names.values()) == ["0.bias", "0.weight"]


def test_what_nobody_uses_is_left_out():
    graph = trace(module(lambda self, x: [x.exp(), x + 1][1]), (minidl.randn(2, 3),), known, {})
    assert [c.op for c in graph.calls] == ["add"]
