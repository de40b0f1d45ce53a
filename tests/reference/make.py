"""Runs `calls/`, `layers/`, `optimizers/` with PyTorch, results beside itself: `python tests/reference/make.py`.

With names of tables (`calls_tensors layers_basic`), only those. The only file of the tests that imports PyTorch. Its
results are committed, so the tests need no PyTorch.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from calls import CALLS, NETS, OPTIMIZERS, PRINTED, PRINTED_WITH, Library, numbers, trajectory  # noqa: E402
from layers import LAYERS, run_layer  # noqa: E402
from optimizers import WALKS, Side, check, walk  # noqa: E402

DTYPES = "float16 float32 float64 uint8 int8 int16 int32 int64 bool".split()


def lstm_step(gates, cell):
    i, f, g, o = gates.chunk(4, 0)
    c = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


LIBRARY = Library(
    T=torch,
    F=torch.nn.functional,
    nn=torch.nn,
    optim=torch.optim,
    tensor=torch.from_numpy,
    dropout=lambda x, mask, scale: x * torch.from_numpy(mask) * scale,
    lstm_step=lstm_step,
)


class Store:
    """Many arrays in one: the numbers one after the other, and an index of names and shapes."""

    def __init__(self) -> None:
        self.index: list[tuple[str, list[int]]] = []
        self.values: list[np.ndarray] = []

    def add(self, name: str, array) -> None:
        array = array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
        self.index.append((name, list(array.shape)))
        self.values.append(array.astype(np.float64).ravel())

    def write(self, name: str) -> None:
        index = np.frombuffer(json.dumps(self.index).encode(), dtype=np.uint8)
        np.savez_compressed(HERE / f"{name}.npz", values=np.concatenate(self.values), index=index)
        print(f"{name}.npz: {len(self.index)} arrays, {(HERE / f'{name}.npz').stat().st_size} bytes")


def leaves(call):
    given = [torch.from_numpy(x.copy()) if x.dtype.kind == "f" else x for x in call.inputs]
    found = [x for i, x in enumerate(given) if isinstance(x, torch.Tensor) and i not in call.fixed]
    for x in found:
        x.requires_grad_()
    return given, found


def make_calls(table: str) -> None:
    store = Store()
    for call in [call for call in CALLS.values() if call.table == table]:
        given, found = leaves(call)
        outputs = call.function(LIBRARY, *given)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for k, y in enumerate(outputs):
            store.add(f"{call.name}/y{k}", y)
        tracked = [y for y in outputs if y.requires_grad]
        if tracked:
            seeds = [torch.from_numpy(numbers(50 + k, *y.shape)) for k, y in enumerate(tracked)]
            for k, g in enumerate(torch.autograd.grad(tracked, found, seeds, allow_unused=True)):
                if g is not None:
                    store.add(f"{call.name}/g{k}", g)
    store.write(f"calls_{table}")


def plain_batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """PyTorch's own takes the saved statistics for constants in its second derivative, so its third one is wrong."""
    axes, shape = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    if training:
        mean, var = x.mean(axes), x.var(axes, correction=0)
    return (x - mean.view(shape)) / (var.view(shape) + eps).sqrt() * weight.view(shape) + bias.view(shape)


def make_nets() -> None:
    store = Store()
    functions = SimpleNamespace(**vars(torch.nn.functional) | {"batch_norm": plain_batch_norm})
    library = dataclasses.replace(LIBRARY, F=functions)
    for call in NETS.values():
        given, found = leaves(call)
        value = call.function(library, *given)
        store.add(f"{call.name}/0", value)
        for order in (1, 2, 3):
            gs = torch.autograd.grad(value, found, create_graph=True, allow_unused=True)
            value = torch.zeros((), dtype=torch.float64)
            for k, g in enumerate(gs):
                if g is not None:
                    store.add(f"{call.name}/{order}.{k}", g)
                    value = (
                        value + (g * torch.from_numpy(numbers(10 * order + k, *g.shape))).sum() + (g * g).sum() * 0.1
                    )
    store.write("nets")


def make_optimizers() -> None:
    store = Store()
    for name in OPTIMIZERS:
        w, b = torch.from_numpy(numbers(3, 3, 2)).requires_grad_(), torch.from_numpy(numbers(4, 2)).requires_grad_()
        for k, state in enumerate(trajectory(LIBRARY, name, (w, b))):
            store.add(f"{name}/{k}", state)
    store.write("optimizers")


def make_trajectories() -> None:
    """The walks of `optimizers/`, with the numbers in PyTorch's states in double, and Muon's iteration too."""
    store, half = Store(), torch.Tensor.bfloat16
    side = Side(
        torch.optim,
        lambda x: torch.nn.Parameter(torch.from_numpy(x.copy())),
        torch.from_numpy,
        lambda x: x.detach().numpy().copy(),
        lambda rows, values, shape: torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=True),
    )
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = torch.Tensor.clone
    try:
        for name, one in WALKS.items():
            path = walk(side, one)
            check(walk(side, one, aside=1e-14), path, 1e-11)  # where rounding grows there is nothing to compare
            for key, array in path.items():
                store.add(f"{name}/{key}", array)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.Tensor.bfloat16 = half
    store.write("trajectories")


def make_signatures() -> None:
    """The parameters of PyTorch's optimizers: names, kinds and defaults."""
    kinds = [getattr(torch.optim, name) for name in torch.optim.__all__]
    found = {
        kind.__name__: [[p.name, p.kind.name, repr(p.default)] for p in inspect.signature(kind).parameters.values()]
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    text = json.dumps(found, indent=1)
    (HERE / "signatures.json").write_text(text + "\n")
    print(f"signatures.json: {len(found)} optimizers, {len(text)} bytes")


def make_layers(table: str) -> None:
    store = Store()
    for name in [name for name, layer in LAYERS.items() if layer.table == table]:
        for key, array in run_layer(LIBRARY, name, torch.float64).items():
            store.add(f"{name}/{key}", array)
    store.write(f"layers_{table}")


def make_promotion() -> None:
    """torch.result_type of every pair of operands: arrays, 0-d tensors, Python scalars."""
    kinds = [(d, n) for d in DTYPES for n in (1, 0)] + [("python float", 0), ("python int", 0), ("python bool", 0)]

    def operand(kind):
        name, dims = kind
        scalars = {"python float": 1.0, "python int": 1, "python bool": True}
        return scalars[name] if name in scalars else torch.ones((1,) * dims, dtype=getattr(torch, name))

    table = []
    for a, b in itertools.product(kinds, kinds):
        if not (a[0].startswith("python") and b[0].startswith("python")):
            table.append([a, b, str(torch.result_type(operand(a), operand(b))).removeprefix("torch.")])
    text = np.frombuffer(json.dumps(table).encode(), dtype=np.uint8)
    np.savez_compressed(HERE / "promotion.npz", table=text)
    print(f"promotion.npz: {len(table)} pairs, {(HERE / 'promotion.npz').stat().st_size} bytes")


def make_printed() -> None:
    texts = {name: repr(torch.from_numpy(np.array(array))) for name, array in PRINTED.items()}
    for name, (options, array) in PRINTED_WITH.items():
        torch.set_printoptions(**options)
        texts[f"with {name}"] = repr(torch.from_numpy(np.array(array)))
        torch.set_printoptions(profile="default")
    texts["requires grad"] = repr(torch.ones(2, requires_grad=True))
    np.savez_compressed(HERE / "printed.npz", texts=np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8))
    print(f"printed.npz: {(HERE / 'printed.npz').stat().st_size} bytes")


def tables() -> dict[str, Callable[[], None]]:
    """What can be made, by name."""
    found = {f"calls_{t}": functools.partial(make_calls, t) for t in dict.fromkeys(c.table for c in CALLS.values())}
    found |= {f"layers_{t}": functools.partial(make_layers, t) for t in dict.fromkeys(v.table for v in LAYERS.values())}
    named = {"nets": make_nets, "optimizers": make_optimizers, "promotion": make_promotion, "printed": make_printed}
    return found | named | {"trajectories": make_trajectories, "signatures": make_signatures}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, make in tables().items():
        if name in sys.argv[1:] or len(sys.argv) == 1:
            make()
