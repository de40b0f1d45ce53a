"""The kernels that the elementwise rules become on a GPU, made without one and without any array there."""

from __future__ import annotations

import numpy as np

from minidl import optim
from minidl.backend import get_backend
from minidl.optim.device import recorded
from minidl.optim.flat import advance, asked
from minidl.tensor import Parameter

from .table import WALKS

DTYPES = ("float32", "float64", "float16")
# elementwise rules that PyTorch has not, and that the table therefore has not either
OTHERS = (
    ("Lion", {}),
    ("Lion", dict(weight_decay=0.1, maximize=True)),
    ("AdaBound", {}),
    ("AdaBound", dict(amsbound=True, weight_decay=0.1)),
    ("AdamWScheduleFree", {}),
    ("AdamWScheduleFree", dict(weight_decay=0.1, warmup_steps=3)),
    ("SGDScheduleFree", {}),
    ("SGDScheduleFree", dict(weight_decay=0.1, maximize=True)),
)


def elementwise() -> list[tuple[str, dict]]:
    """Every elementwise rule, with its options in the table."""
    found = [(walk.rule, walk.options) for walk in WALKS.values() if walk.gradients != "rows"] + list(OTHERS)
    different = {f"{rule} {options}": (rule, options) for rule, options in found}
    return [pair for pair in different.values() if getattr(optim, pair[0]).elementwise and pair[0] != "LBFGS"]


def program(kind: type, options: dict, dtype: str = "float32", step: int = 1):
    """The kernel (`recording.Program`) of a rule at a step."""
    recording = get_backend("cuda").recording
    rule = kind([Parameter(np.zeros(3, dtype))], **options)
    h = rule._checked(rule.param_groups[0])
    state = rule.init(recording.Recording().array("p", np.dtype(dtype)), h)
    numbers = {"step": 0.0, **{key: x for key, x in state.items() if isinstance(x, float)}}
    arrays = {key: x.dtype for key, x in state.items() if key not in numbers}
    for _ in range(step):
        advance(rule, numbers, h)
    return recorded(recording.Recording(), rule, h, np.dtype(dtype), arrays, numbers, asked(rule, h)[1])[0]


def recorded_kernels() -> dict:
    """All of them, as `launch.KERNELS` has the kernels that are there from the start: the name and its `Declared`."""
    for rule, options in elementwise():
        for dtype in DTYPES:
            for step in (1, 20):
                program(getattr(optim, rule), options, dtype, step)
    return dict(get_backend("cuda").recording.RECORDED)
