"""Checkpoints of a run: everything that decides its next step in one safetensors file, and a JSON copy to read."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from ..backend.random import default_generator
from ..data import DataLoader
from ..nn import Module
from ..serialization import load, save, write_file
from .loop import Position

NAME = "checkpoint.safetensors"
_KEYS = {"version", "model", "optimizer", "loader", "random", "position"}


def save_checkpoint(
    folder: str | os.PathLike, model: Module, optimizer: Any, data: DataLoader, position: Position
) -> Path:
    """Write `checkpoint.safetensors` into `folder`, whole or not at all, and return its path.

    In it: the model's and the optimizer's state, the loader's place in the epoch, the state of this thread's random
    generator, and the position. Wall-clock times are not, so that equal runs write equal bytes. `checkpoint.json` holds
    the same without the arrays; nothing reads it back.

    Raises:
        OSError: the folder cannot be written; the checkpoint that was there before is unharmed.
    """
    path, state = Path(folder) / NAME, position.state_dict()
    plain = {
        "version": 1,
        "position": state,
        "random": list(default_generator().get_state()),
        "loader": data.state_dict(),
    }
    model_state, optimizer_state = model.state_dict(), optimizer.state_dict()
    save({**plain, "model": model_state, "optimizer": optimizer_state}, path)
    shapes = {name: list(t.shape) for name, t in model_state.items() if hasattr(t, "shape")}
    readable = {**plain, "model": shapes, "optimizer": {"param_groups": optimizer_state["param_groups"]}}
    write_file(path.with_suffix(".json"), (json.dumps(readable, indent=2) + "\n").encode())
    return path


def load_checkpoint(path: str | os.PathLike, model: Module, optimizer: Any, data: DataLoader) -> Position:
    """Bring model, optimizer, loader and this thread's random generator to where they were; returns the position.

    All of them, or none: if anything does not fit, they are as they were before the error.

    path: the file, or the folder that it is in. They have to be made as they were when it was written.

    Raises:
        ValueError: the file is damaged, is not a checkpoint, or is of a run with other settings.
        RuntimeError: it is of another model.
        OSError: it cannot be read.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    state = load(path)
    if not isinstance(state, dict) or set(state) != _KEYS or state["version"] != 1:
        raise ValueError(f"load_checkpoint: {path} is not a checkpoint of version 1")
    position, generator = Position(), default_generator()
    before = (data.state_dict(), generator.get_state(), copy.deepcopy(model.state_dict()))
    try:
        position.load_state_dict(state["position"])
        try:
            data.load_state_dict(state["loader"])
            generator.set_state(state["random"])
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])  # the last: it alone checks all before it changes anything
        except BaseException:
            data.load_state_dict(before[0])
            generator.set_state(before[1])
            model.load_state_dict(before[2])
            raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"load_checkpoint: {path} does not fit this run, or is damaged ({error})") from None
    return position
