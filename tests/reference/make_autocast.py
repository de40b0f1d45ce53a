"""Keeps which dtypes PyTorch's autocast gives: `python tests/reference/make_autocast.py` writes autocast.json.

The CPU's answers are those of calls that ran; a GPU's come from its dispatcher over tensors without data, so that no
GPU is needed. What raised has None, but for the op that autocast refuses on purpose.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

HERE = Path(__file__).resolve().parent
SIMULATED = {"index_copy", "index_add"}  # of two dtypes: without data PyTorch does not notice that it cannot do it
sys.path.insert(0, str(HERE.parent))

from precisions import MIXES, PRECISIONS, numbers  # noqa: E402


def answer(call, inputs) -> str | None:
    try:
        y = call.function(torch, torch.nn.functional, *inputs)
    except RuntimeError as error:
        return "unsafe" if "unsafe to autocast" in str(error) else None
    except Exception:  # whatever the simulated GPU cannot do
        return None
    return str(y.dtype).removeprefix("torch.")


def on_cpu(call, dtypes) -> str | None:
    inputs = [torch.from_numpy(numbers(s, dtypes[i > 0])) for i, s in enumerate(call.shapes)]
    with torch.autocast("cpu", dtype=torch.float16):
        return answer(call, inputs)


def on_gpu(call, dtypes) -> str | None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty(s, dtype=getattr(torch, dtypes[i > 0]), device="cuda") for i, s in enumerate(call.shapes)]
        torch.set_autocast_enabled("cuda", True)
        try:
            name = next(n for n, c in PRECISIONS.items() if c is call)
            return None if name in SIMULATED and len(set(dtypes)) > 1 else answer(call, inputs)
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.clear_autocast_cache()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = {
        kind: {name: [ask(call, dtypes) for dtypes in MIXES.values()] for name, call in PRECISIONS.items()}
        for kind, ask in (("cpu", on_cpu), ("cuda", on_gpu))
    }
    lines = [
        f'"{kind}": {{\n' + ",\n".join(f"  {json.dumps(n)}: {json.dumps(a)}" for n, a in answers.items()) + "\n}"
        for kind, answers in found.items()
    ]
    (HERE / "autocast.json").write_text("{" + ",\n".join(lines) + "}\n")
    for kind, answers in found.items():
        print(kind, len(answers), "calls;", sum(a is None for x in answers.values() for a in x), "without an answer")
