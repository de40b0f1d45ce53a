"""Layers that mean the same in PyTorch and here: what they hold, and what they compute in train and in eval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from calls import Library, numbers


@dataclass
class Layer:
    """How to make a layer from the module `nn`, and its inputs.

    An input is a shape (floating-point numbers are drawn for it, others in each step), an array (given as it is), None,
    or a list of inputs that go in as one tuple, such as the [h, c] of an LSTM.
    """

    name: str
    make: Callable
    inputs: tuple
    table: str  # the file of this folder that it stands in


LAYERS: dict[str, Layer] = {}


def layer(name: str, make: Callable, *inputs) -> None:
    """Enter a layer: `layer("Linear", lambda nn: nn.Linear(4, 3), (5, 4))`."""
    assert name not in LAYERS, name
    LAYERS[name] = Layer(name, make, inputs, make.__module__.rpartition(".")[2])


def drawn(x, seed: int):
    """Arrays (or nested tuples of them) for one input of a `Layer`."""
    if isinstance(x, list):
        return tuple([drawn(part, seed + 7 * k) for k, part in enumerate(x)])
    return numbers(seed, *x) if isinstance(x, tuple) else x


def each(x, function: Callable):
    """The function of every array or tensor in nested tuples."""
    return tuple([each(part, function) for part in x]) if isinstance(x, (tuple, list)) else function(x)


def flat(x) -> list:
    """The leaves of nested tuples, without None."""
    return [leaf for part in x for leaf in flat(part)] if isinstance(x, (tuple, list)) else [x] if x is not None else []


def made(L: Library, name: str, dtype, prepare: Callable = lambda layer: layer):
    """The layer, with fixed numbers as its parameters."""
    module = prepare(LAYERS[name].make(L.nn).to(dtype))
    with L.T.no_grad():
        for k, p in enumerate(module.parameters()):
            p.copy_(L.tensor(numbers(20 + k, *p.shape)).to(p.dtype))
    return module


def given(L: Library, name: str, dtype, step: int):
    """The inputs of one step; floating-point ones require a gradient, unless they were given as arrays."""

    def tensor(x, tracked):
        if x is None:
            return None
        t = L.tensor(x)
        t = t.to(dtype) if t.dtype.is_floating_point else t
        return t.requires_grad_() if tracked else t

    made = []
    for k, x in enumerate(LAYERS[name].inputs):
        tracked = isinstance(x, (tuple, list))
        made.append(each(drawn(x, 30 + step + 100 * k), lambda a, tracked=tracked: tensor(a, tracked)))
    return made


def run_layer(L: Library, name: str, dtype, prepare: Callable = lambda layer: layer) -> dict[str, object]:
    """The layer with fixed parameters: outputs and gradients in train, the state afterwards, the output in eval."""
    module = made(L, name, dtype, prepare)
    found: dict[str, object] = {}
    for step in range(2):
        inputs = given(L, name, dtype, step)
        ys = flat(module(*inputs))
        tracked = [y for y in ys if y.requires_grad]
        if tracked:
            sum([(y * L.tensor(numbers(40 + k, *y.shape)).to(dtype)).sum() for k, y in enumerate(tracked)]).backward()
        for k, y in enumerate(ys):
            found[f"y{step}.{k}"] = y
        for k, x in enumerate([x for x in flat(inputs) if x.requires_grad]):
            found[f"x{step}.{k}"] = x.grad
    for key, p in module.named_parameters():
        found[f"gradient {key}"] = p.grad
    for key, value in module.state_dict().items():
        found[f"state {key}"] = value
    module.eval()
    for k, y in enumerate(flat(module(*given(L, name, dtype, 2)))):
        found[f"eval{k}"] = y
    return {key: np.float64(value) if isinstance(value, (int, float)) else value for key, value in found.items()}
