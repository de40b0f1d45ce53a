"""The stand-in's `cupy.cuda`: two pretended devices, streams in name only, pools that report live arrays."""

from __future__ import annotations

import gc
import threading

from .counts import synced

DEVICES = 2


class CUDARuntimeError(RuntimeError):
    """`cupy.cuda.runtime.CUDARuntimeError`."""


class _Current(threading.local):
    """CUDA's current device and CuPy's current stream belong to the thread."""

    device = 0

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}


current = _Current()


class Device:
    """`cupy.cuda.Device`: with no argument the current one; `with` makes it current for the block."""

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current.device if device is None else int(device)
        self._outer: list[int] = []

    def use(self) -> None:
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        current.device = self.id

    def __enter__(self) -> Device:
        outer = current.device
        self.use()
        self._outer.append(outer)
        return self

    def __exit__(self, *exc) -> None:
        current.device = self._outer.pop()

    def synchronize(self) -> None:
        synced("Device.synchronize", download=False)

    @property
    def mem_info(self) -> tuple[int, int]:
        return 64 << 30, 64 << 30  # free, total

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class Stream:
    """`cupy.cuda.Stream`. Everything here happens at once and in order, so a stream is only a name."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority=None):
        self.is_non_blocking = non_blocking
        self.ptr = 0 if null else 2 if ptds else id(self)
        self._outer: list[Stream] = []

    def use(self) -> Stream:
        current.streams[current.device] = self
        return self

    def __enter__(self) -> Stream:
        self._outer.append(get_current_stream())
        return self.use()

    def __exit__(self, *exc) -> None:
        self._outer.pop().use()

    done = True

    def synchronize(self) -> None:
        synced("Stream.synchronize", download=False)

    def begin_capture(self, mode=None) -> None:
        raise NotImplementedError("Stream.begin_capture: the stand-in cannot capture graphs")


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    return current.streams.get(current.device, Stream.null)


class MemoryPool:
    """The default pool of the current device: what the live arrays own, in CuPy's blocks of 512 bytes."""

    array_type: type | None = None

    def used_bytes(self) -> int:
        # gc instead of a register of our own: arrays are made far more often than anyone asks
        live = [x for x in gc.get_objects() if type(x) is self.array_type and x.base is None]
        return sum(-(-x.nbytes // 512) * 512 for x in live if x.device.id == current.device)

    total_bytes = used_bytes

    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self, stream=None) -> None:
        """Nothing: no block is kept once its array is gone."""

    def n_free_blocks(self) -> int:
        return 0


class PinnedMemoryPool:
    """The default pool of pinned host memory, which keeps no free blocks."""

    def free_all_blocks(self) -> None:
        """Nothing: no block is kept."""

    def n_free_blocks(self) -> int:
        return 0


def alloc_pinned_memory(size: int) -> bytearray:
    """Host memory that NumPy reads through the buffer protocol, as it does CuPy's."""
    return bytearray(size)


class Kernel:
    """A kernel written in CUDA C: it can be made here, and refuses to run."""

    def _keep(self, name: str, **source) -> None:
        self.name, self.source = name, source

    def __call__(self, *args, **kwargs):
        kind = type(self).__name__
        raise NotImplementedError(f"{kind} {self.name!r}: the stand-in does not run CUDA source")


class ElementwiseKernel(Kernel):
    def __init__(
        self, in_params, out_params, operation, name="kernel", reduce_dims=True, preamble="",
        no_return=False, return_tuple=False, **kwargs,
    ):  # fmt: skip
        self._keep(name, in_params=in_params, out_params=out_params, operation=operation, preamble=preamble)


class ReductionKernel(Kernel):
    def __init__(
        self, in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name="reduce_kernel",
        reduce_type=None, reduce_dims=True, preamble="", options=(),
    ):  # fmt: skip
        expressions = dict(map=map_expr, reduce=reduce_expr, post_map=post_map_expr, identity=identity)
        self._keep(name, in_params=in_params, out_params=out_params, preamble=preamble, **expressions)


class RawKernel(Kernel):
    def __init__(
        self, code, name, options=(), backend="nvrtc", translate_cucomplex=False, *,
        enable_cooperative_groups=False, jitify=None,
    ):  # fmt: skip
        self._keep(name, code=code)
