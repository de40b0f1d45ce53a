"""Files as PyTorch writes them, and what the nets in them compute: `python tests/reference/make_files.py`."""

from __future__ import annotations

import argparse
import copy
from collections import OrderedDict

import numpy as np
import safetensors.torch
import torch
from make import HERE
from travellers import NETS, OPTIMIZERS, drawn, steps

FILES = HERE / "files"


def first(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


def make_nets(expected: dict) -> None:
    for k, (name, (make, inputs)) in enumerate(NETS.items()):
        torch.manual_seed(k)
        net = make(torch.nn)
        inputs = [torch.from_numpy(x) for x in inputs]
        if name == "brain":
            net.bfloat16()
        elif name != "half":
            net(*inputs)  # moves the statistics of batch normalisation
        net.eval()
        torch.save(net.state_dict(), FILES / f"{name}.pt")
        safetensors.torch.save_model(net, str(FILES / f"{name}.safetensors"), {"format": "pt"})
        if name == "mlp":
            torch.save(net.state_dict(), FILES / "legacy.pt", _use_new_zipfile_serialization=False)
            torch.save(net, FILES / "model.pt")
        expected[name] = first(net.float()(*inputs)).detach().numpy()


def make_optimizers(expected: dict) -> None:
    saved = {}
    for name, make in OPTIMIZERS.items():
        params = [torch.nn.Parameter(torch.from_numpy(drawn(k, *shape))) for k, shape in enumerate([(3, 2), (2,)])]
        optimizer = make(torch.optim, params)
        steps(torch, optimizer, params, 0, 3)
        saved[name] = copy.deepcopy({"params": params, "optimizer": optimizer.state_dict()})
        steps(torch, optimizer, params, 3, 3)
        for k, p in enumerate(params):
            expected[f"{name}/{k}"] = p.detach().numpy()
    torch.save(saved, FILES / "optimizers.pt")


def make_checkpoint() -> None:
    """A dict as programs write it, with all that may be in one."""
    x = torch.arange(12.0).reshape(3, 4)
    args = argparse.Namespace(lr=0.1, name="run", layers=[2, 3])
    torch.save(
        {
            "epoch": 3,
            "loss": float("inf"),
            "best": np.float64(0.25),
            "args": args,
            "the same args": args,
            "history": [(0, 0.5), (1, None)],
            "flags": {"amp": False, 0: "zero"},
            "names": OrderedDict(b=1, a=2),
            "classes": {"cat", "dog"},
            "shape": x.shape,
            "dtype": torch.float16,
            "device": torch.device("cuda", 1),
            "array": np.arange(6, dtype=np.int32).reshape(2, 3).T,
            "zeros": np.zeros(500, dtype=bool),
            "bytes": b"\x00\xff",
            "big": 2**100,
            "version": torch.__version__,
            "rng": torch.ones(5, dtype=torch.uint8),
            "whole": x,
            "row": x[1],
            "turned": x.t(),
            "spread": x[0].expand(9, 4),
            "scalar": torch.tensor(7),
            "empty": torch.empty(0, 3),
            "parameter": torch.nn.Parameter(x[:, 0].clone()),
            "leaf": torch.ones(2, requires_grad=True),
            "mask": x > 5,
        },
        FILES / "checkpoint.pt",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    FILES.mkdir(exist_ok=True)
    expected: dict[str, np.ndarray] = {}
    make_nets(expected)
    make_optimizers(expected)
    make_checkpoint()
    np.savez_compressed(FILES / "expected.npz", **expected)
    print(f"{FILES.name}: {sum(p.stat().st_size for p in FILES.iterdir())} bytes")
