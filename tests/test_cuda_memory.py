"""Memory of the GPU: what is said when there is none left, what a step leaves then, peaks, pinned memory, streams."""

import numpy as np
import pytest
from standin import cupy
from standin.devices import exhausted

import minidl
from minidl import nn, optim
from minidl.backend.cuda import arrays, memory

pytestmark = pytest.mark.cuda


# --- when there is none left


def test_the_error_says_what_was_asked_and_what_is_held():
    x = minidl.zeros(3 << 20, device="cuda")
    with exhausted(0), pytest.raises(minidl.cuda.OutOfMemoryError) as caught:
        x + 1
    text = str(caught.value)
    assert text.startswith("out of memory on 'cuda:0': 12.00 MiB were asked for; arrays hold ")
    assert "the pool keeps 0 bytes more for reuse; 64.00 GiB of GPU 0's 64.00 GiB are free" in text
    assert "smaller batches" in text and "checkpoint" in text
    assert isinstance(caught.value, RuntimeError) and minidl.OutOfMemoryError is minidl.cuda.OutOfMemoryError
    assert isinstance(caught.value.__cause__, cupy.cuda.memory.OutOfMemoryError)
    assert (x + 1).sum().item() == 3 << 20  # it goes on when there is memory again


def test_a_limit_of_the_pool_is_named(monkeypatch):
    monkeypatch.setattr(type(memory.pool()), "get_limit", lambda self: 5 << 30)
    with exhausted(0), pytest.raises(minidl.OutOfMemoryError, match="the pool may hold 5.00 GiB at most"):
        minidl.zeros(3, device="cuda")


@pytest.mark.parametrize("make", [
    lambda: minidl.zeros(3, device="cuda"), lambda: minidl.ones(3).to("cuda"), lambda: nn.Linear(2, 2).to("cuda"),
    lambda: minidl.tensor([1, 2], device="cuda"), lambda: cupy.ones(3),
], ids=["zeros", "to", "module", "tensor", "CuPy's own"])  # fmt: skip
def test_every_way_to_memory_has_the_error(make):
    with exhausted(0), pytest.raises(minidl.OutOfMemoryError):
        make()


def test_the_allocator_of_the_program_is_kept():
    asked = []

    def allocate(size):
        asked.append(size)
        raise cupy.cuda.memory.OutOfMemoryError("none")

    with (
        cupy.cuda.using_allocator(memory.translated(allocate)),
        pytest.raises(minidl.OutOfMemoryError, match="2.00 KiB"),
    ):
        cupy.zeros(512, "float32")
    assert asked == [2048]


def test_amounts():
    assert [memory.amount(n) for n in (0, 1023, 1024, 3 << 19, 5 << 30, 5000 << 30)] == [
        "0 bytes", "1023 bytes", "1.00 KiB", "1.50 MiB", "5.00 GiB", "5000.00 GiB",
    ]  # fmt: skip


RULES = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "two groups": lambda p: optim.Adam([{"params": p[:2]}, {"params": p[2:], "lr": 0.1}], lr=0.01),
}


class Steps:
    def __init__(self, rule) -> None:
        minidl.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3)).to("cuda")
        self.rule = rule(list(self.model.parameters()))
        rng = np.random.default_rng(0)
        self.x, self.y = (
            minidl.tensor(rng.standard_normal((6, 4)), dtype=minidl.float32).to("cuda"),
            minidl.arange(6) % 3,
        )
        self.y = self.y.to("cuda")

    def step(self):
        minidl.manual_seed(2)
        self.rule.zero_grad()
        nn.functional.cross_entropy(self.model(self.x), self.y).backward()
        self.rule.step()

    def values(self):
        params = list(self.model.parameters())
        state = [v for p in params for _, v in sorted(self.rule.state.get(p, {}).items())]
        return [t.detach().cpu().numpy() for t in (*params, *state)]


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize("before", [0, 2], ids=["first step", "third step"])
def test_when_memory_ends_anywhere_in_a_step_the_parameters_are_as_before(rule, before):
    expected, failed = None, 0
    for after in range(200):
        steps = Steps(RULES[rule])
        for _ in range(before):
            steps.step()
        values = steps.values()
        try:
            with exhausted(after):
                steps.step()
        except minidl.OutOfMemoryError:
            failed += 1
            for a, b in zip(values, steps.values(), strict=False):
                np.testing.assert_array_equal(a, b, err_msg=f"after {after} arrays")
            steps.step()  # and once more, with memory
        else:
            expected = steps.values()
            break
        done = steps.values()
        steps = Steps(RULES[rule])
        for _ in range(before + 1):
            steps.step()
        for a, b in zip(steps.values(), done, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"repeated after {after} arrays")
    assert expected is not None and failed > 20


# --- what is held


def test_what_arrays_hold_now_and_at_most():
    minidl.cuda.reset_peak_memory_stats()
    before = minidl.cuda.memory_allocated()
    x = minidl.zeros(1 << 18, device="cuda")
    assert minidl.cuda.memory_allocated() - before == 1 << 20 and minidl.cuda.memory_reserved() >= 1 << 20
    y = x + 1
    z = y * 2
    assert minidl.cuda.max_memory_allocated() - before == 3 << 20
    del x, y, z
    assert minidl.cuda.memory_allocated() == before and minidl.cuda.max_memory_allocated() - before == 3 << 20
    stats = minidl.cuda.memory_stats()
    assert stats["allocated_bytes.all.peak"] - before == 3 << 20 and stats["allocated_bytes.all.current"] == before
    text = minidl.cuda.memory_summary()
    assert "allocated_bytes.all.peak" in text and "64.00 GiB of 64.00 GiB" in text
    assert len(minidl.cuda.memory_summary(abbreviated=True).splitlines()) == 4
    for _ in range(5):  # one after the other
        minidl.zeros(1 << 18, device="cuda")
    assert minidl.cuda.max_memory_allocated() - before == 3 << 20
    minidl.cuda.reset_peak_memory_stats()
    assert minidl.cuda.max_memory_allocated() == before
    assert minidl.cuda.mem_get_info() == (64 << 30, 64 << 30)
    minidl.cuda.empty_cache()


def test_memory_is_counted_by_gpu():
    x = minidl.zeros(1 << 10, device="cuda:1")
    assert minidl.cuda.memory_allocated(1) == minidl.cuda.memory_allocated("cuda:1") == 4096
    with pytest.raises(RuntimeError, match="'cuda:7': this machine has 2 GPUs, the last 'cuda:1'"):
        minidl.cuda.memory_allocated(7)
    del x


def test_without_a_gpu_nothing_is_held(monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    assert minidl.cuda.memory_allocated() == minidl.cuda.memory_reserved() == 0
    assert minidl.cuda.memory_stats() == {} and minidl.cuda.memory_summary() == "there is no GPU"
    minidl.cuda.empty_cache()
    minidl.cuda.reset_peak_memory_stats()
    with pytest.raises(RuntimeError):
        minidl.cuda.mem_get_info()


# --- page-locked memory


def test_pinned_tensors():
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    pinned = x.pin_memory()
    assert pinned is not x and pinned.tolist() == x.tolist() and pinned.is_pinned() and not x.is_pinned()
    assert pinned.pin_memory() is pinned and pinned[1:].is_pinned() and pinned.T.is_pinned()
    for t in (pinned, pinned.T, pinned[:, 1:], minidl.tensor(3.0).pin_memory(), minidl.zeros(0, 2).pin_memory()):
        y = t.to("cuda", non_blocking=True)
        assert y.device.type == "cuda" and y.tolist() == t.tolist() and y.dtype == t.dtype
    assert pinned.cuda(non_blocking=True).tolist() == pinned.to("cuda", None, True).tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="only tensors on the CPU can be pinned"):
        x.to("cuda").pin_memory()
    assert not x.to("cuda").is_pinned()


def test_copies_from_pinned_memory_are_begun_and_not_waited_for(monkeypatch):
    x = minidl.arange(6.0).pin_memory()
    begun = []
    set_ = cupy.ndarray.set
    monkeypatch.setattr(
        cupy.ndarray, "set", lambda self, a, stream=None: begun.append((a, stream)) or set_(self, a, stream)
    )
    x.to("cuda", non_blocking=True)
    ((a, stream),) = begun
    assert a is x.array and stream is cupy.cuda.Stream.null
    assert memory._local.under_way[-1][1] is x.array  # which stays until the copy is made
    x.to("cuda"), minidl.arange(6.0).to("cuda", non_blocking=True)
    assert len(begun) == 1
    y = x.to("cuda", non_blocking=True, copy=True)
    y.sum().item()


def test_gradients_go_through_such_a_copy():
    x = minidl.ones(3).pin_memory().requires_grad_()
    (x.to("cuda", non_blocking=True) * 3).sum().backward()
    assert x.grad.tolist() == [3.0] * 3


def test_constants_are_made_on_the_gpu_without_an_upload():
    from_standin = pytest.importorskip("standin")
    with from_standin.counting() as count:
        made = [
            minidl.zeros(2, 3, device="cuda"), minidl.ones(2, device="cuda"), minidl.full((2,), 7, device="cuda"),
            minidl.full((2,), True, device="cuda"), minidl.zeros_like(minidl.empty(2, device="cuda")),
            minidl.zeros(2, dtype=minidl.int64, device="cuda:1"),
        ]  # fmt: skip
    assert count.uploads == count.syncs == 0
    assert [t.dtype for t in made] == [minidl.float32] * 2 + [minidl.int64, minidl.bool, minidl.float32, minidl.int64]
    assert made[2].tolist() == [7, 7] and made[3].tolist() == [True, True] and str(made[5].device) == "cuda:1"
    with pytest.raises(OverflowError):
        minidl.full((2,), 300, dtype=minidl.uint8, device="cuda")
    assert arrays.filled((2,), None, np.dtype("float32")).shape == (2,)


# --- events and streams


def test_events():
    start, end = minidl.cuda.Event(enable_timing=True), minidl.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded, the first was not"):
        start.elapsed_time(end)
    start.record()
    minidl.ones(3, device="cuda") * 2
    end.record()
    end.synchronize()
    assert start.query() and end.query() and start.elapsed_time(end) >= 0
    end.wait()
    plain = minidl.cuda.Event()
    assert plain.query()
    plain.synchronize()
    plain.record(minidl.cuda.current_stream())
    with pytest.raises(ValueError, match="need enable_timing=True, the second has not"):
        start.elapsed_time(plain)
    with pytest.raises(NotImplementedError, match="interprocess"):
        minidl.cuda.Event(interprocess=True)
    assert repr(start).startswith("<minidl.cuda.Event 0x")


def test_streams():
    outer = minidl.cuda.current_stream()
    assert outer == minidl.cuda.default_stream() and outer.cuda_stream == 0 and outer.query()
    side = minidl.cuda.Stream()
    side.wait_stream(outer)
    with minidl.cuda.stream(side) as entered:
        assert entered is side and minidl.cuda.current_stream() == side != outer
        y = minidl.ones(3, device="cuda") * 2
        with outer, minidl.cuda.stream(None):
            assert minidl.cuda.current_stream() == outer
        assert minidl.cuda.current_stream() == side
    assert minidl.cuda.current_stream() == outer
    outer.wait_event(side.record_event())
    side.synchronize()
    assert y.tolist() == [2.0] * 3 and hash(side) != hash(outer)
    other = minidl.cuda.Stream("cuda:1", priority=-1)
    assert str(other.device) == "cuda:1" and other.priority == -1 and "device=cuda:1" in repr(other)
    with minidl.cuda.stream(other):
        assert minidl.cuda.current_stream(1) == other and minidl.cuda.current_stream(0) == outer
    assert minidl.cuda.current_stream(1) == minidl.cuda.default_stream(1)
    minidl.cuda.set_stream(side)
    minidl.cuda.set_stream(outer)
    minidl.cuda.set_stream(None)
    with pytest.raises(RuntimeError, match="cuda:7"):
        minidl.cuda.Stream(7)


def test_pinned_memory_may_be_changed_after_a_copy_that_blocks(monkeypatch):
    """CuPy reads such memory later, unless it is told to wait."""
    asked = []
    original = cupy.asarray
    monkeypatch.setattr(arrays.cupy, "asarray", lambda a, **how: asked.append(how) or original(a))
    x = minidl.ones(3).pin_memory()
    assert x.to("cuda").tolist() == [1.0] * 3 and minidl.ones(3).to("cuda").tolist() == [1.0] * 3
    assert asked == [{"blocking": True}, {}]
