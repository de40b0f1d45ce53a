"""`compile_step`: steps that are launched as graphs equal those that run as they stand, bit for bit, or it says why.

The stand-in does not compute while a graph is recorded, and recomputes on the same memory when it is launched.
"""

import contextlib
import gc
import importlib
import threading

import numpy as np
import pytest
from conftest import REAL_GPU
from launching import counts

import minidl
from minidl import nn, optim
from minidl.backend import get_backend
from minidl.backend.cuda import cublas, graphs
from minidl.data import DataLoader, TensorDataset

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("products")]
cupy = get_backend("cuda").library
N, D, CLASSES = 8, 6, 3


def counting():
    return importlib.import_module("standin").counting()


class LastStep(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.cells, self.out = kind(D, 5), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.out(self.cells(x.reshape(2, N, D))[0][-1])


def mlp():
    return nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, CLASSES))


def normalised():
    return nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, CLASSES))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES),
    )  # fmt: skip


MODELS = {
    "MLP": (mlp, (N, D)),
    "batch norm": (normalised, (N, D)),
    "LeNet": (lenet, (N, 1, 8, 8)),
    "LSTM": (lambda: LastStep(nn.LSTM), (2, N, D)),
    "GRU": (lambda: LastStep(nn.GRU), (2, N, D)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(D, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, CLASSES)), (N, D)),
    "attention": (
        lambda: nn.Sequential(nn.TransformerEncoderLayer(D, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(12, 3)),
        (N, 2, D),
    ),
}  # fmt: skip
RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "schedule": lambda p: optim.AdamW(p, lr=lambda step: 0.01 / (1 + step)),
}


class Training:
    """A model, its optimizer and a step, the same for every instance."""

    def __init__(self, model, rule, shape, compiled: bool) -> None:
        minidl.manual_seed(3)
        self.model, self.shape = model().to("cuda"), shape
        self.rule, self.loss = rule(self.model.parameters()), nn.CrossEntropyLoss()
        self.rng = np.random.default_rng(0)
        self.step = minidl.compile_step(self.body) if compiled else self.body
        self.losses: list = []
        self.state = minidl.default_generator().get_state()

    def body(self, x, y):
        self.rule.zero_grad()
        loss = self.loss(self.model(x), y)
        loss.backward()
        self.rule.step()
        return loss

    def batch(self, n=N):
        shape = tuple([n if size == N else size for size in self.shape])
        x = minidl.tensor(self.rng.standard_normal(shape).astype("float32")).to("cuda")
        return x, minidl.tensor(self.rng.integers(0, CLASSES, n)).to("cuda")

    def run(self, steps=1, n=N) -> None:
        generator = minidl.default_generator()
        generator.set_state(self.state)  # as if there were no other training
        for _ in range(steps):
            self.losses.append(self.step(*self.batch(n)).detach())
        self.state = generator.get_state()

    def values(self) -> list[np.ndarray]:
        """Losses, parameters, buffers, gradients and the optimizer's state."""
        state = [v for entries in self.rule.state.values() for v in entries.values() if isinstance(v, minidl.Tensor)]
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        tensors = [*self.losses, *self.model.parameters(), *self.model.buffers(), *grads, *state]
        return [t.detach().cpu().numpy() for t in tensors]


def pair(model=mlp, rule=RULES["SGD"], shape=(N, D)):
    return [Training(model, rule, shape, compiled) for compiled in (False, True)]


def same(eager, captured) -> None:
    a, b = eager.values(), captured.values()
    assert len(a) == len(b)
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        np.testing.assert_array_equal(x, y, err_msg=f"value {i}, {x.shape}")


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("model", list(MODELS))
def test_captured_steps_equal_eager_ones_bit_for_bit(model, rule):
    make, shape = MODELS[model]
    eager, captured = pair(make, RULES[rule], shape)
    for training in (eager, captured):
        training.run(20)
    assert captured.step.graphs == 1 and captured.step.reason is None
    same(eager, captured)
    assert eager.state == captured.state


def test_both_draw_as_many_numbers():
    states = []
    for training in pair():
        training.state = (5, 0)
        training.run(7)
        states.append(training.state)
    assert states == [(5, 7), (5, 7)]


@counts
def test_a_step_is_one_launch_with_its_batch_its_numbers_and_its_loss():
    _, captured = pair(rule=RULES["Adam"])
    captured.run(4)
    x, y = captured.batch()
    with counting() as count:
        captured.step(x, y)
    assert count.names == ["setitem", "setitem", "minidl_write_8", "minidl_set_draw", "graph", "copy"]
    assert count.uploads == count.syncs == 0


@counts
@pytest.mark.parametrize("model", ["MLP", "LeNet", "LSTM"])
def test_the_next_step_makes_the_same_launches_on_the_same_memory(model):
    make, shape = MODELS[model]
    captured = Training(make, RULES["Adam"], shape, True)
    captured.run(4)
    (kind,) = captured.step._kinds.values()

    def memory():
        tensors = [*captured.model.parameters(), *captured.model.buffers(), *kind.inputs]
        tensors += [p.grad for p in captured.model.parameters()]
        return [t.array.data.ptr for t in tensors]

    seen = []
    for _ in range(3):
        x, y = captured.batch()
        with counting() as count:
            captured.step(x, y)
        seen.append((count.names, memory()))
    assert seen[0] == seen[1] == seen[2]


@counts
@pytest.mark.parametrize("model", ["MLP", "LeNet", "LSTM"])
def test_eager_steps_neither_wait_nor_upload_and_launch_the_same_every_time(model):
    make, shape = MODELS[model]
    eager = Training(make, RULES["Adam"], shape, False)
    eager.run(3)
    counts = []
    for _ in range(2):
        x, y = eager.batch()
        with counting() as count:
            eager.step(x, y)
        assert count.uploads == count.syncs == 0
        counts.append(count.names)
    assert counts[0] == counts[1]
    assert len(counts[0]) <= LAUNCHES[model], counts[0]


LAUNCHES = {"MLP": 29, "LeNet": 46, "LSTM": 43}  # of a training step as it stands, with Adam


# --- what the program does around the step


def test_schedulers_move_the_rate_between_steps():
    trainings = pair(rule=RULES["Adam"])
    for training in trainings:
        scheduler = optim.lr_scheduler.StepLR(training.rule, 2, 0.5)
        for _ in range(9):
            training.run()
            scheduler.step()
        training.rule.param_groups[0]["lr"] = 0.3
        training.run(2)
    assert trainings[1].step.graphs == 1
    same(*trainings)


def test_seeding_between_steps():
    trainings = pair()
    for training in trainings:
        training.run(5)
        training.state = (99, 1)
        training.run(3)
    same(*trainings)


def test_a_short_last_batch_runs_as_it_stands():
    trainings = pair()
    for training in trainings:
        for _ in range(2):
            training.run(4)
            training.run(1, n=5)
    assert trainings[1].step.graphs == 1
    same(*trainings)


def test_more_kinds_of_batches_than_graphs():
    trainings = pair()
    for training in trainings:
        for n in range(2, 14):
            training.run(4, n=n)
    assert trainings[1].step.graphs == 8
    same(*trainings)


def test_eval_has_a_graph_of_its_own():
    trainings, outputs = pair(normalised), []
    for training, forward in zip(trainings, (lambda t: t.model, lambda t: minidl.compile_step(t.model)), strict=True):
        training.run(4)
        forward = forward(training)
        training.model.eval()
        with minidl.no_grad():
            outputs.append([forward(training.batch()[0]).cpu().numpy() for _ in range(5)])
        training.model.train()
        training.run(2)
    assert forward.graphs == trainings[1].step.graphs == 1
    np.testing.assert_array_equal(*outputs)
    same(*trainings)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "around"])
def test_mixed_precision(inside):
    trainings = pair(normalised)
    for training in trainings:

        def body(x, y, t=training):
            t.rule.zero_grad()
            with minidl.autocast("cuda", enabled=True, dtype=minidl.float16) if inside else contextlib.nullcontext():
                loss = t.loss(t.model(x), y)
            loss.backward()
            t.rule.step()
            return loss

        training.step = minidl.compile_step(body) if training is trainings[1] else body
        training.run(2)
        with contextlib.nullcontext() if inside else minidl.autocast("cuda"):
            training.run(6)
            training.losses.append(
                training.model(training.batch()[0]).detach().sum()
            )  # with the parameters as they are
        training.run(2)
    assert trainings[1].step.reason is None and trainings[1].step.graphs == (1 if inside else 2)
    same(*trainings)


def test_training_and_evaluation_through_one_function():
    minidl.manual_seed(0)
    model = normalised().to("cuda")
    forward, x = minidl.compile_step(model), minidl.ones(4, D, device="cuda") * minidl.arange(4.0).to("cuda")[:, None]
    with minidl.no_grad():
        for mode in [True] * 4 + [False] * 4 + [True, False] * 2:
            model.train(mode)
            y = forward(x)
            if not mode:
                assert y.tolist() == model(x).tolist()
    assert forward.graphs == 2
    assert model[1].num_batches_tracked.item() == 6


@pytest.mark.parametrize("how", ["outside", "zeros", "accumulated", "after"])
def test_gradients_that_the_program_clears_elsewhere(how):
    trainings = pair()
    for training in trainings:

        def body(x, y, t=training):
            loss = t.loss(t.model(x), y)
            loss.backward()
            t.rule.step()
            if how == "after":
                t.rule.zero_grad()
            return loss

        training.step = minidl.compile_step(body) if training is trainings[1] else body
        for i in range(10):
            if how in ("outside", "zeros") and i != 6:  # where these gradients add up with the next
                training.rule.zero_grad(set_to_none=how == "outside")
            elif how == "accumulated" and i % 3 == 0:
                training.rule.zero_grad(set_to_none=False)
            training.run()
    assert trainings[1].step.graphs == 1 and trainings[1].step.reason is None
    same(*trainings)


def test_results_are_the_callers_own():
    _, captured = pair()
    captured.run(6)
    values = [loss.cpu().item() for loss in captured.losses]
    assert len({loss.array.data.ptr for loss in captured.losses}) == 6 and len(set(values)) == 6


def test_structures_in_and_out():
    w = minidl.ones(3, device="cuda")

    def step(batch, *, scale, names):
        x, z = batch["x"], batch["more"][0]
        return {"y": x * w * scale + z, "same": x, "n": (names, 7), "w": w}

    compiled = minidl.compile_step(step)
    for i in range(6):
        x, z = (minidl.full((3,), float(v), device="cuda") for v in (i, 10 * i))
        out = compiled({"x": x, "more": [z]}, scale=2.0, names=("a",))
        assert out["y"].tolist() == [12.0 * i] * 3 and out["n"] == (("a",), 7)
        assert out["same"] is x or i < 2
    x = minidl.ones(3, device="cuda")
    assert compiled({"x": x, "more": [x]}, scale=3.0, names=())["y"].tolist() == [4.0] * 3
    assert compiled({"x": x, "more": [x * 2]}, scale=2.0, names=("a",))["y"].tolist() == [4.0] * 3


def test_two_optimizers_and_one_tensor_twice():
    results = []
    for compiled in (False, True):
        minidl.manual_seed(0)
        nets = [nn.Linear(3, 3).to("cuda") for _ in range(2)]
        rules = [optim.Adam(nets[0].parameters(), lr=0.1), optim.SGD(nets[1].parameters(), lr=0.1, momentum=0.5)]

        def step(x, y, nets=nets, rules=rules):
            for net, rule in zip(nets, rules, strict=True):
                rule.zero_grad()
                ((net(x) - y) ** 2).mean().backward()
                rule.step()

        run = minidl.compile_step(step) if compiled else step
        x, y = minidl.ones(2, 3, device="cuda"), minidl.full((2, 3), 3.0, device="cuda")
        for given in [(x, x)] * 4 + [(x, y)] * 3:
            run(*given)
        results.append([p.detach().cpu().numpy() for net in nets for p in net.parameters()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# --- what a graph works on is replaced


def reload(training):
    training.rule.load_state_dict(training.rule.state_dict())


def freeze(training):
    next(training.model.parameters()).requires_grad_(False)


def move(training):
    training.model.to("cpu").to("cuda")


def rebind(training):
    p = next(training.model.parameters())
    p.data = p.data[:, :] * 1.0
    p.array = p.array.copy()


def load(training):
    training.model.load_state_dict({k: v * 0.5 for k, v in training.model.state_dict().items()})


def replace(training):
    training.model.register_parameter("extra", None)
    training.model[0].weight = nn.Parameter(training.model[0].weight.detach() * 2)


@pytest.mark.parametrize("change", [reload, freeze, move, rebind, load, replace])
def test_after_a_change_the_step_is_recorded_anew_or_still_right(change):
    trainings = pair(rule=RULES["Adam"])
    for training in trainings:
        training.run(5)
        change(training)
        training.run(6)
    assert trainings[1].step.reason is None and trainings[1].step.graphs == 1
    same(*trainings)


def test_buffers_and_parameters_of_a_forward_alone_may_be_replaced():
    minidl.manual_seed(0)
    model = normalised().to("cuda").eval()
    forward = minidl.compile_step(model)
    x = minidl.ones(2, D, device="cuda")
    with minidl.no_grad():
        for change in (lambda: None, lambda: model[1].running_mean.add_(1.0), lambda: model[0].bias.mul_(2.0)):
            change()
            for t in (*model.parameters(), *model.buffers()):
                t.array = t.array.copy()
            for _ in range(4):
                assert forward(x).tolist() == model(x).tolist()
            assert forward.graphs == 1


def test_what_is_replaced_again_and_again_is_no_longer_recorded():
    trainings = pair()
    with pytest.warns(UserWarning, match="replaced again and again"):
        for training in trainings:
            for _ in range(10):
                training.run(4)
                rebind(training)
    same(*trainings)


# --- what cannot be recorded


def item(t, loss):
    return loss.item()


def decide(t, loss):
    if loss > 100:
        raise RuntimeError


def numpy(t, loss):
    t.seen = loss.detach().cpu().numpy()


def upload(t, loss):
    return loss + minidl.tensor([1.0, 2.0]).to("cuda")


def index(t, loss):
    return next(t.model.parameters())[np.array([0, 1])]


def draw(t, loss):
    return minidl.rand(3, device="cuda")


def seed(t, loss):
    minidl.manual_seed(4)


def count(t, loss):
    t.scheduler.step()


def chain(t, loss):
    t.chained.step()


def plateau(t, loss):
    t.plateau.step(1.0)


BLOCKING = {
    item: "return loss.item()",
    decide: "if loss > 100:",
    numpy: "t.seen = loss.detach().cpu().numpy()",
    upload: 'return loss + minidl.tensor([1.0, 2.0]).to("cuda")',
    index: "return next(t.model.parameters())[np.array([0, 1])]",
    draw: 'return minidl.rand(3, device="cuda")',
    seed: "minidl.manual_seed(4)",
    count: "t.scheduler.step()",
    chain: "t.chained.step()",
    plateau: "t.plateau.step(1.0)",
}


@pytest.mark.parametrize("what", list(BLOCKING), ids=lambda f: f.__name__)
def test_what_cannot_be_recorded_is_named_once_and_runs_as_it_stands(what):
    trainings = pair(rule=RULES["Adam"])
    for training in trainings:
        training.scheduler = optim.lr_scheduler.StepLR(training.rule, 2, 0.5)
        training.chained = optim.lr_scheduler.ChainedScheduler([training.scheduler])
        training.plateau = optim.lr_scheduler.ReduceLROnPlateau(training.rule, patience=1)

        def body(x, y, t=training):
            loss = Training.body(t, x, y)
            what(t, loss)
            return loss

        training.step = body
    trainings[0].run(6)
    trainings[1].step = minidl.compile_step(trainings[1].step)
    line = what.__code__.co_firstlineno
    with pytest.warns(UserWarning) as caught:
        trainings[1].run(6)
    (warning,) = [str(w.message) for w in caught]
    assert "body runs as it stands from now on, since " in warning
    assert f"since '{BLOCKING[what]}' at {__file__}:{line + 1} cannot" in warning
    assert trainings[1].step.graphs == 0 and trainings[1].step.reason
    same(*trainings)


@counts
def test_without_cublas_the_product_is_named():
    cublas.use(None)
    trainings = pair()
    trainings[0].run(5)
    with pytest.warns(UserWarning, match="cuBLAS API during stream capture"):
        trainings[1].run(5)
    same(*trainings)


@pytest.mark.parametrize("rule", [
    lambda p: optim.SGD(p, lr=0.1).transform(optim.transforms.ClipNorm(1.0)),
    lambda p: optim.LAMB(p, lr=0.01) if hasattr(optim, "LAMB") else optim.Adafactor(p),
    lambda p: optim.Lookahead(optim.SGD(p, lr=0.1)),
], ids=["transform", "whole tensors", "wrapper"])  # fmt: skip
def test_other_optimizers_are_captured_rightly_or_not_at_all(rule, recwarn):
    trainings = pair(rule=rule)
    for training in trainings:
        training.run(12)
    same(*trainings)


class ByHand(optim.Optimizer):
    """An optimizer that was written for PyTorch's base class."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


def test_an_optimizer_with_a_step_of_its_own_is_not_captured(recwarn):
    trainings = pair(rule=lambda p: ByHand(p, 0.1))
    for training in trainings:
        for i in range(8):
            training.rule.param_groups[0]["lr"] = 0.1 / (1 + i)
            training.run()
    assert trainings[1].step.graphs == 0 and "ByHand" in trainings[1].step.reason
    same(*trainings)


def test_hooks_of_an_optimizer_are_run_at_every_step(recwarn):
    calls = [0, 0]
    trainings = pair()
    for i, training in enumerate(trainings):

        def hook(*_, i=i):
            calls[i] += 1

        training.rule.register_step_post_hook(hook)
        training.run(6)
    assert calls == [6, 6]
    same(*trainings)


def test_arguments_that_cannot_be_compared():
    step = minidl.compile_step(lambda x, how: x * 2)
    with pytest.warns(UserWarning, match=r"an argument cannot be compared with that of the call before \(set\)"):
        assert step(minidl.ones(2, device="cuda"), {1, 2}).tolist() == [2.0, 2.0]


def test_an_error_of_the_program_is_its_own():
    def step(x):
        if step.fail:
            raise KeyError("mine")
        return x * 2

    step.fail = False
    compiled = minidl.compile_step(step)
    x = minidl.ones(2, device="cuda")
    compiled(x), compiled(x)
    step.fail = True
    with pytest.warns(UserWarning, match="KeyError"), pytest.raises(KeyError, match="mine"):
        compiled(x)


def test_tensors_that_require_gradients_run_as_they_stand():
    x = minidl.ones(3, device="cuda", requires_grad=True)
    step = minidl.compile_step(lambda x: (x * x).sum())
    for _ in range(5):
        step(x).backward()
    assert x.grad.tolist() == [10.0] * 3 and step.graphs == 0


def test_a_forward_whose_backward_is_still_to_come_is_not_recorded():
    w = minidl.full((3,), 2.0, device="cuda").requires_grad_()
    forward = minidl.compile_step(lambda x: (x * w).sum())
    x = minidl.ones(3, device="cuda")
    forward(x).backward(), forward(x).backward()
    with pytest.warns(UserWarning, match="backward is still to come.*call backward.. inside, or return x.detach"):
        forward(x).backward()
    forward(x).backward()
    assert w.grad.tolist() == [4.0] * 3 and forward.graphs == 0
    detached = minidl.compile_step(lambda x: (x * w).sum().detach())
    assert [detached(x).item() for _ in range(4)] == [6.0] * 4 and detached.graphs == 1


def test_on_the_cpu_it_is_the_function_itself():
    training = Training(mlp, RULES["SGD"], (N, D), True)
    training.model.to("cpu")
    eager = Training(mlp, RULES["SGD"], (N, D), False)
    eager.model.to("cpu")
    for t in (training, eager):
        t.batch = lambda n=N, t=t: [v.to("cpu") for v in Training.batch(t, n)]
        minidl.manual_seed(0)
        t.run(6)
    assert training.step.graphs == 0 and training.step.reason is None
    for a, b in zip(training.losses, eager.losses, strict=True):
        assert a.item() == b.item()
    with pytest.raises(TypeError, match="expected a function, got int"):
        minidl.compile_step(3)


def test_without_a_gpu_it_is_the_function(monkeypatch):
    monkeypatch.setattr(minidl.cuda, "is_available", lambda: False)
    assert minidl.compile_step(mlp) is mlp


# --- the graph itself


def test_while_a_graph_is_recorded_nothing_is_computed():
    x, y = cupy.ones(3), cupy.zeros(3)
    graph = graphs.Graph()

    def launches():
        y[...] = x * 2
        return x + y

    z = graph.record(launches)
    assert y.get().tolist() == [0.0] * 3 and (REAL_GPU or np.isnan(z.get()).all())
    assert graph.launch() and z.get().tolist() == [3.0] * 3
    x[...] = 5
    graph.launch()
    assert y.get().tolist() == [10.0] * 3 and z.get().tolist() == [15.0] * 3


def test_the_graphs_memory_is_its_own():
    graph = graphs.Graph()
    before = cupy.get_default_memory_pool().used_bytes()
    kept = graph.rehearse(lambda: cupy.ones(1000)), graph.record(lambda: cupy.ones(1000))
    assert graph.pool.used_bytes() >= 16000 and cupy.get_default_memory_pool().used_bytes() == before
    del kept
    gc.collect()


def test_an_error_while_recording_leaves_the_stream_and_the_generator():
    generator = minidl.default_generator()
    with pytest.raises(graphs.NotCapturable, match="copies from the host"):
        graphs.Graph().record(lambda: minidl.zeros(2).to("cuda"))
    with pytest.raises(RuntimeError):
        graphs.Graph().record(lambda: cupy.ones(2).get())
    assert minidl.default_generator() is generator and cupy.ones(2).sum().get() == 2 and gc.isenabled()
    assert cupy.cuda.get_current_stream().ptr == 0


def test_each_thread_has_a_stream_of_its_own():
    streams = [graphs.recording_stream()]
    thread = threading.Thread(target=lambda: streams.append(graphs.recording_stream()))
    thread.start()
    thread.join()
    assert streams[0] is graphs.recording_stream() and streams[0] is not streams[1]


def test_labels_that_were_checked_are_so_in_the_graph_too():
    """By that a loss chooses how to compute: the bits are those of eager steps."""
    x, t = minidl.randn(48, 5), minidl.randint(0, 3, (48,))
    loader = DataLoader(TensorDataset(x, t, classes=3).to("cuda"), batch_size=6)

    def trained(compile_step):
        minidl.manual_seed(1)
        model = nn.Linear(5, 3).to("cuda")
        rule = optim.SGD(model.parameters(), lr=0.3)

        @compile_step
        def step(x, t):
            rule.zero_grad()
            loss = nn.functional.cross_entropy(model(x), t)
            loss.backward()
            rule.step()
            return loss

        return [step(*batch).item() for _ in range(2) for batch in loader], step

    eager, _ = trained(lambda step: step)
    captured, step = trained(minidl.compile_step)
    assert captured == eager and step.graphs == 1


def test_many_arrays_can_be_joined_in_a_graph():
    """CuPy would upload where they lie."""
    x = minidl.randn(4, device="cuda")

    @minidl.compile_step
    def step(x):
        return minidl.stack([x * k for k in range(20)]), minidl.cat([x + k for k in range(70)])

    for _ in range(4):
        stacked, joined = step(x)
    assert stacked.tolist() == [(x * k).tolist() for k in range(20)] and step.graphs == 1
    assert joined.tolist() == sum([(x + k).tolist() for k in range(70)], [])
