"""Kernels in several threads, memory that is kept, and that neither changes a bit of what is computed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import optim
from minidl.backend.host import memory, team

LINUX = sys.platform.startswith("linux")


@contextlib.contextmanager
def so_many(count):
    before = team.threads()
    team.set_threads(count)
    try:
        yield
    finally:
        team.set_threads(before)


@pytest.fixture
def two():
    with so_many(2):
        yield


def products_use() -> int:
    return max(tell() for tell, _ in team._numbers())


# ------------------------------------------------------------------------------------------------------------ parts
@given(st.integers(0, 1000), st.integers(0, 300), st.integers(1, 17))
def test_parts_are_all_numbers_in_order_and_not_too_small(count, least, threads):
    with so_many(threads):
        parts = team.parts(count, least)
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert 1 <= len(parts) <= threads
    assert len(parts) == 1 or min(sizes) >= max(1, least)
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == threads or count < max(1, least) * (len(parts) + 1)


def test_nothing_to_share_is_one_empty_part(two):
    seen = []
    team.share(seen.append, 0)
    assert seen == [slice(0, 0)]


# ----------------------------------------------------------------------------------------------------------- sharing
def test_the_parts_run_in_different_threads_with_one_thread_for_products(two):
    meet, seen = threading.Barrier(2, timeout=20), []

    def kernel(part):
        meet.wait()  # both are under way at once
        seen.append((part.start, threading.current_thread().name, products_use(), team.threads()))

    team.share(kernel, 10)
    (first, _, *counts), (second, name, *others) = sorted(seen)
    assert (first, second) == (0, 5) and name == "minidl-kernel"
    assert counts == others == [1, 2]  # parts of what is shared within still depend on the program's number
    assert products_use() == 2


def test_one_thread_does_it_all_itself():
    with so_many(1):
        seen = []
        team.share(lambda part: seen.append((part, threading.current_thread())), 10)
    assert seen == [(slice(0, 10), threading.current_thread())]


def test_a_kernel_within_a_kernel_runs_in_its_own_thread_in_the_same_parts(two):
    seen = []

    def inner(part):
        seen.append((part.start, threading.get_ident()))

    def outer(part):
        me = threading.get_ident()
        team.share(inner, 4)
        assert [start for start, who in seen if who == me] == [0, 2]

    team.share(outer, 2)
    assert len(seen) == 4 and len({who for _, who in seen}) == 2


@pytest.mark.parametrize("where", ["here", "there", "both"])
def test_errors_are_raised_when_all_have_ended_and_the_next_kernel_runs(where, two):
    done = []

    def kernel(part):
        here = part.start == 0
        if not here:
            time.sleep(0.02)
        done.append(part.start)
        if where == "both" or (where == "here") == here:
            raise ArithmeticError("here" if here else "there")

    with pytest.raises(ArithmeticError, match="here" if where == "both" else where):
        team.share(kernel, 2)
    assert sorted(done) == [0, 1] and products_use() == 2
    x = np.zeros(8)
    team.share(lambda part: np.add(x[part], 1, out=x[part]), 8)
    assert x.all()


def test_what_is_set_for_floating_point_errors_holds_in_the_other_thread(two):
    zeros = np.zeros(4)

    def kernel(part):
        if part.start:
            np.divide(1, zeros[part])

    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        team.share(kernel, 4)
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        team.share(kernel, 4)


class Interrupted:
    """A lock in whose acquire the user presses Ctrl-C, so often."""

    def __init__(self, lock, interrupts):
        self.lock, self.interrupts = lock, interrupts

    def acquire(self):
        if self.interrupts:
            raise self.interrupts.pop()
        return self.lock.acquire()

    def release(self):
        self.lock.release()


def interrupted(function, times=1, after=False):
    """The function, but Ctrl-C is pressed before (or after) the first calls."""
    left = [KeyboardInterrupt() for _ in range(times)]

    def call(*args, **how):
        if left and not after:
            raise left.pop()
        result = function(*args, **how)
        if left:
            raise left.pop()
        return result

    return call


def shares_in_two_threads():
    meet = threading.Barrier(2, timeout=20)
    team.share(lambda part: meet.wait(), 2)
    assert products_use() == team.threads() == 2 and not team._holder and not team._asked


@pytest.mark.parametrize("times", [1, 2, 5])
def test_interrupts_wait_for_the_other_thread(times, two, monkeypatch):
    begun, go, done, interrupts = threading.Event(), threading.Event(), [], [KeyboardInterrupt() for _ in range(times)]
    wait = team._Job.wait

    def wait_interrupted(job, given):
        if not isinstance(job.ended, Interrupted):
            job.ended = Interrupted(job.ended, interrupts)
        if not interrupts:
            go.set()
        wait(job, given)

    def kernel(part):
        if part.start:
            begun.set()
            assert go.wait(20)
            done.append(1)
        else:
            begun.wait(20)

    monkeypatch.setattr(team._Job, "wait", wait_interrupted)
    with pytest.raises(KeyboardInterrupt):
        team.share(kernel, 2)
    assert done == [1] and products_use() == 2 and not team._holder


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("place", ["_limit", "_restore", "_run", "_wait", "_take", "_begin_workers"])
def test_an_interrupt_anywhere_leaves_the_next_kernel_its_threads(place, times, after, two, monkeypatch):
    shares_in_two_threads()
    with monkeypatch.context() as patch:
        patch.setattr(team, place, interrupted(getattr(team, place), times, after))
        with pytest.raises(KeyboardInterrupt):
            team.share(lambda part: None, 2)
    assert team.threads() == 2
    assert products_use() == 2 or times > 1  # one interrupt is made good at once
    shares_in_two_threads()


def test_an_interrupt_between_two_numbers_of_threads_forgets_none(two, monkeypatch):
    numbers = team._numbers()
    put = interrupted(numbers[0][1], 3, after=True)
    monkeypatch.setattr(team, "_numbers", lambda: [(numbers[0][0], put), *numbers[1:]])
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            team.share(lambda part: None, 2)
    monkeypatch.undo()
    shares_in_two_threads()


def test_what_was_not_given_out_before_an_interrupt_does_not_begin(two, monkeypatch):
    seen = []

    class Jobs:
        def put(self, job):
            seen.append(job)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(team, "_workers", [Jobs()])
        with pytest.raises(KeyboardInterrupt):
            team.share(seen.append, 2)
    seen[0].run()
    assert len(seen) == 1
    shares_in_two_threads()


@pytest.mark.parametrize("own", [True, False])
def test_a_thread_that_never_said_that_it_ended_holds_up_no_other(own, two):
    def lose():
        team._holder["is"] = (threading.get_ident(),)
        team._limit()

    if own:
        lose()
    else:
        other = threading.Thread(target=lose)
        other.start(), other.join()
    shares_in_two_threads()


def test_a_living_thread_keeps_its_hold(two):
    stop, ready = threading.Event(), threading.Event()
    other = threading.Thread(target=team.share, args=(lambda part: (ready.set(), stop.wait(20)), 2))
    other.start(), ready.wait(20)
    try:
        held, seen = team._holder["is"], []
        team.share(lambda part: seen.append(threading.get_ident()), 2)
        assert team._holder["is"] is held and seen == [threading.get_ident()] * 2
    finally:
        stop.set(), other.join()
    shares_in_two_threads()


def test_where_no_thread_can_begin_the_parts_run_one_after_the_other(two, monkeypatch):
    def refuse():
        raise RuntimeError("can't start new thread")

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(team, "_workers", [])
        patch.setattr(team, "_begin_worker", refuse)
        team.share(lambda part: seen.append((part.start, threading.get_ident(), products_use())), 2)
    me = threading.get_ident()
    assert seen == [(0, me, 1), (1, me, 1)]
    shares_in_two_threads()


def test_two_threads_that_share_at_once_each_get_their_own(two):
    results, failures = {}, []

    def program(k):
        try:
            x, y = np.full(1000, float(k)), np.empty(1000)
            for _ in range(200):
                parts = []

                def kernel(part, parts=parts, x=x, y=y):
                    parts.append(part.start)
                    np.multiply(x[part], 2, out=y[part])

                y[:] = np.nan
                team.share(kernel, 1000)
                assert (y == 2 * k).all() and sorted(parts) == [0, 500]
            results[k] = True
        except BaseException as error:
            failures.append(error)

    programs = [threading.Thread(target=program, args=(k,)) for k in range(3)]
    [p.start() for p in programs], [p.join() for p in programs]
    assert not failures and sorted(results) == [0, 1, 2]
    assert products_use() == 2 and not team._holder


def test_the_number_set_while_a_kernel_is_shared_holds_when_it_has_ended(two):
    try:
        team.share(lambda part: team.set_threads(3) if part.start else None, 2)
        assert team.threads() == products_use() == 3
    finally:
        team.set_threads(2)


def test_any_thread_may_set_the_number_of_threads():
    before = minidl.get_num_threads()
    try:
        minidl.set_num_threads(2)
        assert minidl.get_num_threads() == products_use() == 2
        other = threading.Thread(target=minidl.set_num_threads, args=(1,))
        other.start(), other.join()
        assert minidl.get_num_threads() == products_use() == 1
        with pytest.raises(RuntimeError, match="at least 1"):
            minidl.set_num_threads(0)
    finally:
        minidl.set_num_threads(before)


def test_limits_of_the_library_hold_for_kernels_too(two):
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert team.threads() == minidl.get_num_threads() == len(team.parts(10)) == 1
    assert team.threads() == 2


@pytest.mark.parametrize(("said", "cores"), [("1", 1), ("", None), ("x", None), ("0", None)])
def test_without_a_library_to_ask_the_environment_limits_the_threads(said, cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    if hasattr(os, "sched_getaffinity"):
        assert team._cores() == (cores or len(os.sched_getaffinity(0)))
    monkeypatch.setattr(team.threadpoolctl.ThreadpoolController, "select", lambda *a, **k: NoLibrary)
    numbers = team._numbers.__wrapped__()
    monkeypatch.setattr(team, "_numbers", lambda: numbers)
    assert team.threads() == team._cores()
    team.set_threads(2)
    assert team.threads() == 2 and len(team.parts(10)) == 2


class NoLibrary:
    lib_controllers: list = []


def child_ends_well(body) -> None:
    """Run body in a forked child, which is to end with success and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python 3.12: that there are threads
        child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    for _ in range(400):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_shares_too(two):
    def body():
        meet = threading.Barrier(2, timeout=10)
        team.share(lambda part: meet.wait(), 2)
        assert team.threads() == 2

    body()
    child_ends_well(body)
    go, stop = threading.Event(), threading.Event()

    def kernel(part):
        go.set()
        stop.wait(20)

    shares = threading.Thread(target=team.share, args=(kernel, 2))
    shares.start(), go.wait(20)
    try:
        child_ends_well(body)  # forked off while a kernel was shared
    finally:
        stop.set(), shares.join()
    assert team.threads() == products_use() == 2


def test_a_shared_product_has_the_same_bits_every_time(two):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((301, 77)).astype("f"), rng.standard_normal((77, 53)).astype("f")
    found = set()
    for _ in range(20):
        y = np.empty((301, 53), "f")
        team.share(lambda part, y=y: np.matmul(a[part], b, out=y[part]), 301)
        found.add(y.tobytes())
    assert len(found) == 1


# ------------------------------------------------------------------------------------------------------------ memory
def run(program: str, **environment: str) -> subprocess.CompletedProcess:
    """A Python program in a process of its own, with nothing set for the memory but what is given."""
    usual = {
        k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "MINIDL_", "OPENBLAS_THREAD_"))
    }
    usual["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-c", program], env={**usual, **environment}, capture_output=True, text=True, timeout=120
    )


FAULTS = """
import resource, minidl
from minidl import nn, optim
minidl.manual_seed(0)
net = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 256))
rule, x = optim.SGD(net.parameters(), lr=0.01), minidl.randn(512, 256)
def step():
    rule.zero_grad()
    (net(x) ** 2).mean().backward()
    rule.step()
[step() for _ in range(5)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
[step() for _ in range(10)]
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.skipif(not memory.KEPT, reason="freed memory is not kept on this system")
def test_steady_training_takes_no_fresh_pages():
    kept, given_back = (run(FAULTS, **more) for more in ({}, {"MINIDL_KEEP_MEMORY": "0"}))
    assert float(kept.stdout) < 50, kept.stderr  # a step has some 15 MB of arrays, which are thousands of pages
    assert float(given_back.stdout) > 500, given_back.stderr


@pytest.mark.parametrize("value", ["all", "-1", "2048", "1.5", ""])
def test_a_limit_that_is_no_number_is_refused(value, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MINIDL_KEEP_MEMORY", value)
    with pytest.raises(ValueError, match=f"MINIDL_KEEP_MEMORY: expected whole MiB .* got '{value}'"):
        memory.keep_freed_memory()


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_a_library_that_was_set_by_hand_is_left_alone(name, monkeypatch):
    monkeypatch.setenv(name, "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "2")
    monkeypatch.setattr(memory, "_library", lambda: pytest.fail("nothing was to be set"))
    assert memory._limit() is None
    monkeypatch.setattr(memory, "_library", lambda: None)
    assert memory.keep_freed_memory() is False


def test_other_tunables_and_other_libraries(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "MINIDL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.cpu.x86_shstk=off")
    assert memory._limit() == memory.KEEP
    monkeypatch.setattr(memory, "_library", lambda: None)
    assert memory.keep_freed_memory() is False
    memory.release()


RESIDENT = """
import os, minidl, numpy as np
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
arrays = [np.ones(1 << 20) for _ in range(16)]
last = np.ones(1000)  # lies above them: the end of the memory cannot go back by itself
full = resident()
del arrays
kept = resident()
minidl.cpu.empty_cache()
print(full, kept, resident())
"""


@pytest.mark.skipif(not memory.KEPT, reason="freed memory is not kept on this system")
def test_empty_cache_gives_memory_back():
    done = run(RESIDENT)
    full, kept, after = map(int, done.stdout.split())
    assert kept > full - 16, done.stderr
    assert after < full - 100


# ------------------------------------------------------------------------------------------------------- the same bits
TRAINING = """
import hashlib, sys, threading, minidl
from minidl import nn, optim
from minidl.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.Conv2d(6, 16, 5),
            nn.ReLU(), nn.MaxPool2d(2),
        )
        self.rnn, self.drop, self.head = nn.LSTM(80, 32, batch_first=True), nn.Dropout(0.25), nn.Linear(32, 10)

    def forward(self, x):
        y = self.features(x).transpose(1, 2).flatten(2)  # the rows of the image, one after the other
        return self.head(self.drop(self.rnn(y)[0][:, -1]))

def train(seed, steps=6, rule=optim.Adam):
    minidl.manual_seed(seed)
    net, batch = Net(), 64
    rule = rule(net.parameters(), lr=0.01)
    for _ in range(steps):
        x, t = minidl.randn(batch, 1, 28, 28), minidl.randint(10, (batch,))
        rule.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        rule.step()
    return [loss.array, *[v.array for v in net.state_dict().values()]]

def digest(arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_has_the_same_bits_in_two_processes_whatever_fresh_memory_holds(threads):
    program = TRAINING + f"minidl.set_num_threads({threads})\nprint(digest(train(3)))"
    poison = {"MALLOC_PERTURB_": "165"} if LINUX else {}
    first, second, poisoned = run(program), run(program), run(program, **poison)
    assert len(first.stdout) > 60, first.stderr
    assert first.stdout == second.stdout == poisoned.stdout


def trained_at_once(*how):
    """The results of two trainings one after the other, and of the same two at once, side by side."""
    space: dict = {}
    exec(TRAINING, space)
    train, together = space["train"], {}
    alone = {seed: train(seed, *how) for seed in (1, 2)}
    threads = [threading.Thread(target=lambda s=s: together.update({s: train(s, *how)})) for s in alone]
    [t.start() for t in threads], [t.join() for t in threads]
    return [pair for seed in alone for pair in zip(alone[seed], together[seed], strict=True)]


def test_two_models_trained_at_once_have_the_bits_of_one_after_the_other():
    with so_many(1):
        pairs = trained_at_once()
    assert pairs and all(a.tobytes() == b.tobytes() for a, b in pairs)


def test_two_models_trained_at_once_with_threads_of_their_own_differ_by_rounding_only(two):
    """Products round differently with one thread and with two, and their number is the process's: a kernel that one
    training shares also changes it for the other. By SGD, since Adam makes much of gradients that are only rounding."""
    for a, b in trained_at_once(6, optim.SGD):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_what_ran_before_changes_no_bits(two):
    """Neither shared kernels nor the updates of large parameters may change how a later product is computed."""
    random = np.random.default_rng(0)
    x, t = random.standard_normal((96, 512), np.float32), random.integers(0, 1000, 96)
    images = minidl.tensor(random.standard_normal((128, 16, 16, 16), np.float32))

    def train(between):
        minidl.manual_seed(0)
        model = minidl.nn.Sequential(minidl.nn.Linear(512, 1100), minidl.nn.ReLU(), minidl.nn.Linear(1100, 1000))
        layer, optimizer = minidl.nn.Conv2d(16, 32, 3, padding=1), optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            between(layer)
            optimizer.zero_grad()
            minidl.nn.functional.cross_entropy(model(minidl.tensor(x)), minidl.tensor(t)).backward()
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    first = train(lambda layer: None)
    assert train(lambda layer: layer(images).sum().backward()) == first
    assert train(lambda layer: None) == first


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_a_sweep_meets_every_number_once_in_blocks(count, step, least, threads):
    met: list[slice] = []
    with so_many(threads):
        team.sweep(met.append, count, step, least)
    met.sort(key=lambda block: block.start)
    assert [i for block in met for i in range(block.start, block.stop)] == list(range(count))
    assert all(block.start % step == 0 and block.stop - block.start <= step for block in met)


ORDER = """
import sys, threading
if order != "minidl":
    import numpy as np
    a = np.ones((600, 600), np.float32)
    a @ a
if order == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
import minidl, threadpoolctl, numpy as np
for found in threadpoolctl.ThreadpoolController().select(internal_api="openblas").lib_controllers:
    if hasattr(found.dynlib, "openblas_thread_timeout"):
        a = np.ones((600, 600), np.float32)
        assert (a @ a == 600).all() and (a @ a == 600).all()
        print(found.dynlib.openblas_thread_timeout())
"""


@pytest.mark.skipif(not LINUX, reason="another library multiplies there")
@pytest.mark.parametrize(
    ("order", "environment", "ticks"),
    [
        ("minidl", {}, "21"),
        ("numpy", {}, "21"),
        ("numpy", {"OPENBLAS_THREAD_TIMEOUT": "24"}, "24"),
        ("threads", {}, "0"),
    ],
)
def test_openblas_threads_sleep_sooner_whatever_is_imported_first(order, environment, ticks):
    """Unless a thread of the program might be within a product when minidl comes after NumPy."""
    done = run(f"order = {order!r}\n{ORDER}", **environment)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {ticks}, done.stdout  # nothing where another library multiplies
