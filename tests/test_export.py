"""What a recording of a model has in it, what is refused, and that the model is as it was before."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.backend import BACKENDS
from minidl.engine import OPS
from minidl.export import TraceError, to_numpy, to_onnx
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


class Restless(nn.Module):
    """A forward that changes all that it can, and is refused in the end if `fails`."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails, self.linear, self.norm = fails, nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.embedding = nn.Embedding(4, 3, max_norm=0.1)
        self.register_buffer("count", minidl.zeros(1))
        self.register_buffer("replaced", minidl.zeros(1))
        self.calls, self.drawn = 0, minidl.Generator().manual_seed(3)

    def forward(self, x):
        self.norm.train()
        self.norm(minidl.ones(4, 3) * 2)
        self.linear.train()
        self.count += 1
        self.replaced = self.replaced + 1
        self.calls += 1
        self.last = x
        minidl.rand(2), minidl.rand(2, generator=self.drawn)
        y = self.linear(x) + self.embedding(minidl.tensor([1]))
        return y * y.sum().item() if self.fails else y


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("write", [to_numpy, to_onnx])
def test_what_a_forward_changes_is_as_before(write, fails):
    if write is to_onnx:
        pytest.importorskip("onnx")
    model = Restless(fails)
    model.norm.eval()
    attributes = {name: dict(vars(m)) for name, m in model.named_modules()}
    state, arrays = ({k: f(v) for k, v in model.state_dict().items()} for f in (lambda v: v.numpy().copy(), id))
    versions = {name: b.version[0] for name, b in model.named_buffers()}
    draws = minidl.get_rng_state().tolist(), model.drawn.get_state()
    if fails:
        with pytest.raises(TraceError, match=r"the model \(Restless\): a value that depends"):
            write(model, minidl.randn(2, 3, generator=minidl.Generator()))
    else:
        write(model, minidl.randn(2, 3, generator=minidl.Generator()))
    assert (minidl.get_rng_state().tolist(), model.drawn.get_state()) == draws
    assert {name: dict(vars(m)) for name, m in model.named_modules()} == attributes
    assert {name: b.version[0] for name, b in model.named_buffers()} == versions
    assert (model.calls, model.norm.training, model.linear.training, len(arrays)) == (0, False, True, len(state))
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key])


def test_a_number_that_every_forward_changes_is_no_constant():
    model = nn.Sequential(nn.Identity(), module(lambda self, x: [self.seen.add_(1), x * self.seen][1]))
    model[1].register_buffer("seen", minidl.zeros(1))
    with pytest.raises(TraceError, match=r"forward changes '1.seen'"):
        to_numpy(model, minidl.randn(2, 3))
    assert model[1].seen.tolist() == [0.0]


def test_a_lazy_model_is_left_lazy():
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    with pytest.raises(ValueError, match="call the module with a batch"):
        to_numpy(model, minidl.randn(2, 5))
    assert type(model[0]) is nn.LazyLinear and model[0].has_uninitialized_params()
    assert model(minidl.randn(2, 5)).shape == (2, 3)


SAID = {
    "numpy": (REFUSED["numpy"], "read on the host"),
    "gradient": (
        lambda self, x: minidl.autograd.grad((x * x).sum(), x)[0],
        r"grad.* \(while the model was recorded, which is without gradients",
    ),
    "part into part": (
        lambda self, x: [y := x * 2, y.__setitem__((slice(None), slice(2, 4)), y[:, :2]), y][2],
        r"x\[j\].clone\(\)",
    ),
    "unique": (lambda self, x: minidl.unique(x), "unique: how much it gives depends on the values"),
    "bincount": (lambda self, x: minidl.bincount((x > 0).long().view(-1)), "read on the host"),
}


@pytest.mark.parametrize("name", SAID)
def test_a_refusal_names_the_module_and_what_it_is(name):
    function, text = SAID[name]
    x = minidl.randn(4, 4, 6, requires_grad=name == "gradient")
    with pytest.raises(TraceError, match=rf"^'1.inner' \(Made\): .*{text}"):
        inner = nn.Sequential()
        inner.add_module("inner", module(function))
        to_numpy(nn.Sequential(nn.Identity(), inner), x)


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
    "part copied into part": lambda self, x: [y := x * 2, y.__setitem__((..., slice(3)), y[..., 3:].clone()), y][2],
    "the largest": lambda self, x: minidl.cat([x.topk(3, 1)[0], x.topk(2, 1, largest=False)[1].to(x.dtype)], 1),
    "sorted": lambda self, x: minidl.cat([x.sort(-1)[0], x.sort(1, descending=True)[0]]),
    "sorted with equals": lambda self, x: (x > 0).float().argsort(1, descending=True) + (x > 0).argsort(1),
    "small integers sorted": lambda self, x: (x * 4).to(minidl.int8).argsort(2),
    "in the middle": lambda self, x: x.median(1)[0] + x.kthvalue(2, 1)[0] + x.quantile(0.3, 1),
    "most frequent": lambda self, x: (x * 2).round().mode(2)[0],
    "gamma": lambda self, x: (3 * x).lgamma() + (x + 0.1).digamma() + minidl.polygamma(1, x * 2),
    "inverse of erf": lambda self, x: x.tanh().erfinv(),
    "determinant": lambda self, x: (x @ x.mT + minidl.eye(4)).det() + (x @ x.mT + minidl.eye(4)).logdet(),
    "in which interval": lambda self, x: minidl.bucketize(x, minidl.tensor([-1.0, 0.0, 0.5]), right=True),
    "added where the input says": lambda self, x: minidl.zeros(x.shape[0], 4, 6).scatter_add(1, (x > 0).long(), x),
    "put where the input says": lambda self, x: minidl.zeros(x.shape[0], 4, 6).scatter(1, x.argsort(1), x),
    "slices added": lambda self, x: x.index_add(1, (x[0, :, 0] > 0).long(), x),
    "on a diagonal": lambda self, x: x.diag_embed(),
    "statistics": lambda self, x: x.var(1) + x.std(2, keepdim=True).amax(1) + x.norm(dim=1),
}


NUMPY_ONLY = {
    "inverse": lambda self, x: (x @ x.mT + minidl.eye(4)).inverse(),
    "solved": lambda self, x: minidl.linalg.solve(x @ x.mT + minidl.eye(4), x),
    "pseudoinverse": lambda self, x: minidl.linalg.pinv(x),
    "cholesky": lambda self, x: minidl.linalg.cholesky(x @ x.mT + minidl.eye(4)),
    "eigenvalues": lambda self, x: minidl.linalg.eigh(x @ x.mT)[0],
    "singular values": lambda self, x: minidl.linalg.svd(x, full_matrices=False)[1],
    "orthogonal": lambda self, x: minidl.linalg.qr(x.mT)[1].abs(),
    "largest so far": lambda self, x: x.cummax(1)[0],
    "tetragamma": lambda self, x: minidl.polygamma(2, x.abs() + 0.1),
}


@pytest.mark.parametrize("name", NUMPY_ONLY)
def test_numpy_has_linear_algebra(name):
    agrees(module(NUMPY_ONLY[name]))


@pytest.mark.parametrize("name", NUMPY_ONLY)
def test_onnx_has_none_and_says_where(name):
    pytest.importorskip("onnx")
    with pytest.raises(TraceError, match=r"^'0' \(Made\): .*ONNX"):
        to_onnx(nn.Sequential(module(NUMPY_ONLY[name])), minidl.randn(2, 4, 6))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lgamma", [-2.5, -1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 3.5, 40.0, 1e5]),
        ("digamma", [-2.5, -1.25, 0.25, 0.5, 1.0, 1.46163, 3.5, 40.0, 1e5]),
        ("erfinv", [-1.0, -0.99, -0.5, 0.0, 1e-6, 0.5, 0.9, 0.9999, 1.0]),
    ],
)
def test_functions_that_numpy_lacks(name, values):
    x = minidl.tensor(values)
    made = forward(to_numpy(module(lambda self, x: getattr(x, name)()), x))
    np.testing.assert_allclose(made(x.numpy()), getattr(x, name)().numpy(), rtol=1e-6, atol=1e-6)


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
