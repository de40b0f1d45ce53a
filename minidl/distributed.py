"""PyTorch's `distributed` for one process: programs ask whether it is there and go on alone, or make a group of one."""

from __future__ import annotations

import enum
import os
from typing import Any

__all__ = """
    Backend GroupMember ProcessGroup ReduceOp Work all_gather all_gather_into_tensor all_gather_object all_reduce
    all_to_all_single barrier broadcast broadcast_object_list destroy_process_group gather gather_object get_backend
    get_process_group_ranks get_rank get_world_size group init_process_group is_available is_gloo_available
    is_initialized is_mpi_available is_nccl_available is_torchelastic_launched monitored_barrier new_group reduce
    reduce_op reduce_scatter reduce_scatter_tensor scatter
""".split()

Backend = str


class ReduceOp(enum.Enum):
    """How the values of several processes become one; those of one process stay as they are."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)


reduce_op = ReduceOp


class ProcessGroup:
    """The group of the one process that there is."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def rank(self) -> int:
        """0."""
        return 0

    def size(self) -> int:
        """1."""
        return 1

    def name(self) -> str:
        """The backend that was asked for."""
        return self.backend


class GroupMember:
    """Where the group of all processes is kept: `WORLD`, None before `init_process_group`."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


group = GroupMember


class Work:
    """What a call with async_op=True returns: it has been done already."""

    def wait(self, timeout=None) -> bool:
        """True at once."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    is_success = is_completed


def is_available() -> bool:
    """False: minidl runs in one process, so that programs need no group. One that makes a group of one all the same
    can."""
    return False


is_nccl_available = is_gloo_available = is_mpi_available = is_torchelastic_launched = is_available


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    return GroupMember.WORLD is not None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout=None,
    world_size: int = -1,
    rank: int = -1,
    store=None,
    group_name: str = "",
    pg_options=None,
    device_id=None,
) -> None:
    """Make the group of the one process. Sizes that are not given are taken from WORLD_SIZE and RANK.

    >>> init_process_group("gloo", rank=0, world_size=1)
    >>> get_rank(), get_world_size(); destroy_process_group()
    (0, 1)
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    if init_method in (None, "env://") and store is None:
        for name, given in (("RANK", rank), ("WORLD_SIZE", world_size)):
            if given < 0 and name not in os.environ:
                raise ValueError(
                    "Error initializing torch.distributed using env:// rendezvous: "
                    f"environment variable {name} expected, but not set"
                )
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 0 else world_size
    if size != 1:
        raise NotImplementedError(f"init_process_group: world_size={size}; minidl runs in one process")
    place = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if place != 0:
        raise ValueError(f"init_process_group: rank {place} is out of range for 1 process")
    GroupMember.WORLD = ProcessGroup(backend or "undefined")


def _world(group) -> ProcessGroup:
    if GroupMember.WORLD is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call init_process_group "
            "(minidl runs in one process; ask is_initialized() first)"
        )
    if group is not None and not isinstance(group, ProcessGroup):
        raise TypeError(f"group: expected a ProcessGroup or None, got {type(group).__name__}")
    return group or GroupMember.WORLD


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Take the group away."""
    if _world(group) is GroupMember.WORLD:
        GroupMember.WORLD = None


def get_rank(group: ProcessGroup | None = None) -> int:
    """0; ValueError before `init_process_group`."""
    return _world(group).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """1; ValueError before `init_process_group`."""
    return _world(group).size()


def get_backend(group: ProcessGroup | None = None) -> str:
    """The name that `init_process_group` was given."""
    return _world(group).backend


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """[0]."""
    return [_world(group).rank()]


def new_group(
    ranks=None,
    timeout=None,
    backend: str | None = None,
    pg_options=None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id=None,
    sort_ranks: bool = True,
) -> ProcessGroup:
    """Another group of the one process; all but `ranks` and `backend` concern how processes talk to each other."""
    if ranks is not None and list(ranks) != [0]:
        raise ValueError(f"new_group: ranks {list(ranks)} in a world of 1 process")
    return ProcessGroup(backend or _world(None).backend)


def _process(where: str, **ranks) -> None:
    for name, rank in ranks.items():
        if rank not in (None, 0):
            raise ValueError(f"{where}: {name}={rank} in a world of 1 process")


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def barrier(group=None, async_op: bool = False, device_ids=None, timeout=None) -> Work | None:
    """Wait for the others, of which there are none."""
    _world(group)
    return _done(async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks: bool = False) -> None:
    """`barrier`."""
    barrier(group)


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op: bool = False) -> Work | None:
    """The sum (or what op says) over all processes, in place."""
    _world(group)
    return _done(async_op)


def broadcast(tensor, src=None, group=None, async_op: bool = False, group_src=None) -> Work | None:
    """The tensor of process src, in place."""
    _world(group)
    _process("broadcast", src=src, group_src=group_src)
    return _done(async_op)


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op: bool = False, group_dst=None) -> Work | None:
    """The sum (or what op says) over all processes, in place in process dst."""
    _world(group)
    _process("reduce", dst=dst, group_dst=group_dst)
    return _done(async_op)


def _only(values, where: str) -> Any:
    if len(values) != 1:
        raise ValueError(f"{where}: expected a list of 1, one for each process, got {len(values)}")
    return values[0]


def all_gather(tensor_list, tensor, group=None, async_op: bool = False) -> Work | None:
    """The tensors of all processes, written into those of the list."""
    _world(group)
    _only(tensor_list, "all_gather").detach().copy_(tensor.detach())
    return _done(async_op)


def gather(tensor, gather_list=None, dst=None, group=None, async_op: bool = False, group_dst=None) -> Work | None:
    """The tensors of all processes, written into those of the list in process dst."""
    _world(group)
    _process("gather", dst=dst, group_dst=group_dst)
    return all_gather(gather_list or [], tensor, group, async_op)


def scatter(tensor, scatter_list=None, src=None, group=None, async_op: bool = False, group_src=None) -> Work | None:
    """The tensor that process src has for this one, in place."""
    _world(group)
    _process("scatter", src=src, group_src=group_src)
    return all_gather([tensor], _only(scatter_list or [], "scatter"), group, async_op)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op: bool = False) -> Work | None:
    """The sum over all processes of what they have for this one."""
    return scatter(output, input_list, None, group, async_op)


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op: bool = False) -> Work | None:
    """The tensors of all processes, one after the other."""
    _world(group)
    output_tensor.detach().copy_(input_tensor.detach().reshape(output_tensor.shape))
    return _done(async_op)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op: bool = False) -> Work | None:
    """The sum over all processes of their part for this one."""
    return all_gather_into_tensor(output, input, group, async_op)


def all_to_all_single(
    output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op: bool = False
) -> Work | None:
    """What all processes have for this one."""
    _world(group)
    for name, sizes, x in (("output", output_split_sizes, output), ("input", input_split_sizes, input)):
        if sizes and list(sizes) != [x.shape[0]]:
            raise ValueError(f"all_to_all_single: {name}_split_sizes must be [{x.shape[0]}], got {list(sizes)}")
    return all_gather_into_tensor(output, input, group, async_op)


def all_gather_object(object_list, obj, group=None) -> None:
    """The objects of all processes, put into the list."""
    _world(group)
    _only(object_list, "all_gather_object")
    object_list[0] = obj


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None) -> None:
    """The objects of all processes, put into the list of process dst."""
    _process("gather_object", dst=dst, group_dst=group_dst)
    all_gather_object(object_gather_list or [], obj, group)


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None) -> None:
    """The objects of process src, in place."""
    _world(group)
    _process("broadcast_object_list", src=src, group_src=group_src)
