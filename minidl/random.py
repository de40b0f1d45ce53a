"""PyTorch's `random`: the state of this thread's default generator, which draws where no `generator=` is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from .backend.random import default_generator, manual_seed
from .tensor import Tensor, wrap

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def get_rng_state() -> Tensor:
    """The whole state as a uint8 Tensor: 8 bytes of the seed, and 8 of the number of draws since."""
    return wrap(np.array(default_generator().get_state(), dtype="<u8").view(np.uint8))


def set_rng_state(new_state) -> None:
    """Continue from a state that `get_rng_state` gave.

    >>> state = minidl.get_rng_state(); x = minidl.rand(3)
    >>> minidl.set_rng_state(state); bool((minidl.rand(3) == x).all())
    True
    """
    default_generator().set_state(new_state)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator().initial_seed()


def seed() -> int:
    """Start anew from a seed taken from the operating system, and return it."""
    return default_generator().seed()


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True, device_type: str = "cuda") -> Iterator[None]:
    """After the block the generator continues from where it was before; it is the same for all devices."""
    state = default_generator().get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator().set_state(state)
