"""Short runs of every rule that are stopped, saved and gone on with; as a program, by another process.

`python -m optimizers.resuming STOP END FILE ...` loads each file, which was saved at step STOP, goes on to step END,
and saves it there under the same name. A file is called after its rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minidl
from minidl import nn, optim
from minidl.backend.rows import RowArray
from minidl.optim.switch import after
from minidl.tensor import Parameter, wrap

from .problems import PROBLEMS
from .table import PATTERNS

OPTIONS: dict[str, dict] = {  # so that there is as much state as there can be
    "SGD": dict(lr=0.01, momentum=0.9),
    "RMSprop": dict(momentum=0.5, centered=True),
    **dict.fromkeys(("Adam", "AdamW"), dict(amsgrad=True)),
    "AdaBound": dict(amsbound=True),
    "ASGD": dict(lambd=0.1, t0=3),
    "AdamWScheduleFree": dict(warmup_steps=3),
    "LBFGS": dict(lr=0.1, max_iter=3, history_size=4),
    "LARS": dict(lr=0.1, momentum=0.9),
    "Muon": dict(lr=0.02),
    "SWATS": dict(lr=0.02, betas=(0.5, 0.5), tolerance=1e-4),
}
PROBLEM = {"Adafactor": "valley"}  # all others "matrices"; vectors have another state
RULES = [
    name
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    and issubclass(getattr(optim, name), optim.Optimizer)
    and name != "Optimizer"
]


COMBINED: dict[str, Callable[[list], optim.Optimizer]] = {  # what is made of other rules
    "Lookahead": lambda ps: optim.Lookahead(optim.Adam(ps, lr=0.02), k=3),
    "Switch": lambda ps: optim.Switch([optim.Adam(ps, lr=0.02), optim.SGD(ps, lr=0.01, momentum=0.9)], after(4)),
    "Ensemble": lambda ps: optim.Ensemble([optim.Adam(ps), optim.SGD(ps, momentum=0.9)], "learned", rate=0.5),
    "Joint": lambda ps: optim.Joint([optim.Muon(ps[:1], lr=0.02), optim.NAdam(ps[1:], lr=0.02)]),
}


def begun(name: str, shift: float = 0.0) -> tuple[nn.Module, optim.Optimizer]:
    """A model in float32 and its optimizer before the first step. shift: added to every number in the model."""
    start = PROBLEMS[PROBLEM.get(name, "matrices")].start()
    model = nn.ParameterList([Parameter((x + shift).astype(np.float32)) for x in start])
    params = list(model)
    make = COMBINED.get(name) or getattr(optim, name)
    return model, make(params, **OPTIONS.get(name, {}))


def go(model: nn.Module, optimizer: optim.Optimizer, start: int, stop: int) -> None:
    """Steps start, start + 1, ..., stop - 1."""
    params, sparse = list(model), isinstance(optimizer, optim.SparseAdam)
    problem = PROBLEMS[PROBLEM.get(type(optimizer).__name__, "matrices")]
    for t in range(start, stop):

        def closure(t=t):
            value, gradients = problem.value([p.array.astype(np.float64) for p in params], t)
            for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
                g = g.astype(np.float32)
                if sparse:
                    p.grad = wrap(RowArray(np.array([t % 2]), g[[t % 2]], g.shape))
                else:
                    p.grad = wrap(g) if PATTERNS["all" if t % 3 else "one never"](t, i) else None
            return wrap(np.array(value, np.float32))

        optimizer.step(closure)


def save(model: nn.Module, optimizer: optim.Optimizer, file) -> None:
    minidl.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)


def load(name: str, file) -> tuple[nn.Module, optim.Optimizer]:
    """The model and the optimizer in a file, in ones that began elsewhere."""
    model, optimizer = begun(name, shift=1.0)
    saved = minidl.load(file)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return model, optimizer


if __name__ == "__main__":
    stop, end = map(int, sys.argv[1:3])
    for path in map(Path, sys.argv[3:]):
        model, optimizer = load(path.stem, path)
        go(model, optimizer, stop, end)
        save(model, optimizer, path)
