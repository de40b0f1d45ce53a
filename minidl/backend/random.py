"""Counter-based random numbers: every draw is a stream of its own, a pure function of (seed, number of the draw).

The whole state of a Generator is two integers. The bits are those of Philox4x64-10 (Salmon et al., 2011) with the key
(seed, draw) and the counter from 0; uniforms, normals and permutations are our own transforms of them, so they depend
on neither the NumPy version nor the device.
"""

from __future__ import annotations

import math
import os
import threading

import numpy as np

from . import device

_device = device
_MASK = (1 << 64) - 1


def philox(key: tuple[int, int], words: int) -> np.ndarray:
    """The first `words` 64-bit words of the stream `key`."""
    # setting the state of one bit generator takes a sixth of the time of making a new one
    start, bits = _local.start, _local.philox
    start["state"]["key"][:] = key
    start["state"]["counter"][:] = _MASK  # one step before 0: NumPy advances it before it produces a block
    start["buffer_pos"], start["has_uint32"] = 4, 0
    bits.state = start
    return bits.random_raw(words)


def dropout_mask(shape, p: float, key: tuple[int, int]) -> np.ndarray:
    """A bool array, True with probability 1 - p: 16 of the stream's bits for each element, compared with 65536 p."""
    n = math.prod(shape)
    threshold = round(p * 65536)
    if threshold >= 65536:  # p = 1: no 16-bit number is large enough
        return np.zeros(shape, dtype=bool)
    return (philox(key, -(-n // 4)).view("<u2")[:n] >= threshold).reshape(shape)


class Generator:
    """Random numbers with a state of two integers, `(seed, draws)`; PyTorch's `Generator`.

    >>> g = Generator(7)
    >>> a = g.uniform((2,)); g.get_state()
    (7, 1)
    >>> bool((Generator(7).uniform((2,)) == a).all())
    True
    """

    def __init__(self, seed: int | str | device = 0, *, device: str | device | None = None) -> None:
        # PyTorch's constructor takes a device; every stream of ours is the same on every device
        where = seed if isinstance(seed, (str, _device)) else "cpu" if device is None else device
        number = 0 if isinstance(seed, (str, _device)) else int(seed)
        self._seed, self._draws, self.device = number & _MASK, 0, _device(where)

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from `seed` (an integer; taken modulo 2**64)."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise TypeError(f"manual_seed: expected an int, got {type(seed).__name__} {seed!r}")
        self._seed, self._draws = int(seed) & _MASK, 0
        return self

    def seed(self) -> int:
        """Start anew from a seed taken from the operating system, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed of this generator."""
        return self._seed

    def get_state(self) -> tuple[int, int]:
        """`(seed, draws)`: all there is."""
        return self._seed, self._draws

    def set_state(self, state) -> Generator:
        """Continue from a state that `get_state` gave, or from that of `minidl.get_rng_state` (16 bytes)."""
        values = state.tolist() if hasattr(state, "tolist") else list(state)
        if len(values) == 16:
            values = [int.from_bytes(bytes(values[:8]), "little"), int.from_bytes(bytes(values[8:]), "little")]
        seed, draws = (int(v) for v in values)
        if draws < 0:
            raise ValueError(f"set_state: the number of draws cannot be negative, got {draws}")
        self._seed, self._draws = seed & _MASK, draws
        return self

    def key(self) -> tuple[int, int]:
        """The key of the next draw, which counts as drawn."""
        key = (self._seed, self._draws)
        self._draws += 1
        return key

    def bits(self, words: int) -> np.ndarray:
        """`words` uniform 64-bit integers."""
        return philox(self.key(), words)

    def uniform(self, shape, dtype="float32") -> np.ndarray:
        """Uniform numbers in [0, 1): 24 of each 32 bits for float32 and float16, 53 of 64 for float64."""
        n, dtype = math.prod(shape), np.dtype(dtype)
        if dtype == np.float64:
            return ((self.bits(n) >> np.uint64(11)) * 2.0**-53).reshape(shape)
        word = self.bits(-(-n // 2)).view("<u4")[:n]
        u = (word >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        if dtype == np.float16:  # 11 bits are what float16 holds below 1; rounding up would reach 1
            u = np.floor(u * 2048) / 2048
        return u.astype(dtype, copy=False).reshape(shape)

    def normal(self, shape, dtype="float32") -> np.ndarray:
        """Standard normal numbers by the transform of Box and Muller (1958), computed in double precision."""
        n = math.prod(shape)
        half = -(-n // 2)
        u = ((self.bits(2 * half) >> np.uint64(11)) + 0.5) * 2.0**-53  # never 0, so the logarithm is finite
        radius, angle = np.sqrt(-2.0 * np.log(u[:half])), (2.0 * math.pi) * u[half:]
        z = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
        return z.astype(dtype).reshape(shape)

    def integers(self, low: int, high: int, shape) -> np.ndarray:
        """int64 integers in [low, high); for ranges under 2**32 the bias is below (high - low) / 2**32."""
        low, high = int(low), int(high)
        if high <= low:
            raise ValueError(f"integers: the range [{low}, {high}) is empty")
        bits, span = self.bits(math.prod(shape)), high - low
        value = ((bits >> np.uint64(32)) * np.uint64(span)) >> np.uint64(32) if span < 2**32 else bits % np.uint64(span)
        return (value.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """A permutation of 0 ... n-1: the order of n random 64-bit keys."""
        return np.argsort(self.bits(n), kind="stable")

    def clone_state(self) -> Generator:
        """Another generator with the same state."""
        return Generator(device=self.device).set_state(self.get_state())

    def __repr__(self) -> str:
        return f"<minidl.Generator seed={self._seed} draws={self._draws}>"


class _Local(threading.local):
    def __init__(self) -> None:
        self.generator = Generator(0)
        self.philox = np.random.Philox(0)
        self.start = self.philox.state  # a dict that NumPy copies from, so it is filled in and handed over each time


_local = _Local()


def default_generator() -> Generator:
    """The calling thread's generator, the one that draws where no `generator=` is given; it starts from seed 0."""
    return _local.generator


def manual_seed(seed: int) -> Generator:
    """Start this thread's default generator anew from `seed`: the same program then draws the same numbers."""
    return _local.generator.manual_seed(seed)
