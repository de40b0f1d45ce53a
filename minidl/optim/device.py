"""How an update reaches parameters on a GPU: the rule is recorded, and one launch updates many parameters.

As on the host, parameters of one dtype lie side by side in a buffer, and so does their state; each run of neighbours
that have a gradient and the same number of steps is one launch. Gradients are not flat: backward makes them anew at
every step (`zero_grad` lets them go), each by the kernel that computes it, and a copy into a buffer would be a launch
for each. The kernel reads them where they lie: it is told their addresses, and for each line of memory whose it is.

The numbers that a rule computes on the host (a rate divided by 1 - beta^t), and these addresses, are written to memory
of the device that stays where it is, if they are others than at the step before: by a small launch that has them as
arguments, so that nothing is uploaded. An eager step and one that is replayed from a graph run the very same kernels.
In a capture only the launches of the update are made: nothing is counted or written. Before each replay `Plan.prepare`
then does what the host has to do for a step, or says that the launches of the graph are not those that this step needs.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import modes
from ..backend import CAPTURES, backend_of
from ..tensor import Tensor, describe
from .flat import FLAT, Flat, advance, apply, asked, is_intact, not_captured

PLANS = 8  # patterns of gradients of which an optimizer remembers what to launch
_told: weakref.WeakSet = weakref.WeakSet()  # rules that cannot be recorded, of which that was said


class OnDevice(Flat):
    """Parameters of one dtype in one buffer on a GPU, each at the beginning of a line; their state likewise."""

    def __init__(self, params: list[Tensor], move: bool = True) -> None:
        self.B = backend_of(params[0].array)
        self.alignment = self.B.recording.LINE
        self.index = params[0].array.data.device_id
        self.recordable = True
        super().__init__(params, move)

    def _move(self) -> Any:
        buffer, place = self._room(self.dtype), self.B.recording.place
        for p, start in zip(self.params, self.starts, strict=True):
            view = place(buffer, start, p.array.shape)
            view[...] = p.array
            p.array = view
            if p.version is not None:
                del p.version[1:]
        return buffer

    def _room(self, dtype) -> Any:
        with self.B.library.cuda.Device(self.index):
            return self.B.zeros(self.size, dtype=dtype)

    def _prepare(self, rule, h, wants: tuple) -> None:
        _eagerly(rule, "its state is not there yet, or another than before")
        super()._prepare(rule, h, wants)
        self.recordable = True

    def _adopt(self, rule, i: int, h) -> bool:
        _eagerly(rule, f"the state of parameter {describe(self.params[i].array)} is not there yet")
        return super()._adopt(rule, i, h)

    def _update_rows(self, rule, i: int, g, mark: tuple, h, how: tuple) -> None:
        if CAPTURES:
            not_captured(rule, f"the gradient of parameter {describe(self.params[i].array)} is row-sparse")
        super()._update_rows(rule, i, g, mark, h, how)

    def _cut(self, i: int, j: int) -> _Run:
        if len(self.cuts) >= 64:
            self.cuts.clear()
        run = self.cuts[i, j] = _Run(self, i, j)
        return run

    def _run(self, rule, h, i: int, j: int, numbers: dict[str, float], arrays: list, lines: dict, how: tuple) -> None:
        """Leave the update of these parameters to the launches at the end of the step."""
        run = self.cuts.get((i, j))
        if run is None:
            _eagerly(rule, "these parameters did not have gradients together before")
            run = self._cut(i, j)
        gradients = [self._gradient(rule, k, arrays[k]) for k in range(i, j)]
        recorded = self.record(rule, h, numbers, how) if self.recordable else None
        if recorded is not None:
            before = [self.columns[name][i].item() for name in self.numbers]
            rule._planned.append(Launch(self, run, *recorded, gradients, before))
            return
        _eagerly(rule, "the rule cannot be recorded as one kernel")
        climb, decay, shrink = how
        for k, g in zip(range(i, j), gradients, strict=True):
            p = self.params[k].array
            state = dict(zip(self.arrays, self._views(k), strict=True))
            g = -g if climb else g
            g = g + decay * p if decay else g
            if shrink != 1:
                p *= shrink
            apply(rule, p, g, {**state, **numbers}, h)

    def _views(self, k: int) -> list:
        """The arrays of the state of a parameter, in its own shape."""
        return [view for _, _, view in (self.cells[k] or ())[len(self.numbers) :]]

    def _gradient(self, rule, k: int, g):
        p = self.params[k].array
        if g.__class__ is not p.__class__ or g.shape != p.shape or g.dtype != p.dtype or g.data.device_id != self.index:
            raise RuntimeError(
                f"{type(rule).__name__}.step: parameter {describe(p)} has a gradient {describe(g)}; after such a "
                "change call zero_grad() and backward() first"
            )
        return g if g.flags.c_contiguous else self.B.ascontiguousarray(g)

    def record(self, rule, h, numbers: dict[str, float], how: tuple) -> tuple[Any, list[float]] | None:
        """The kernel that makes this step, and the numbers for it; None, and a warning, if there can be no kernel."""
        states = {name: dtype for name, (_, dtype) in self.arrays.items()}
        try:
            return recorded(self.B.recording.Recording(), rule, h, self.dtype, states, numbers, how)
        except Exception as error:  # if it is the rule's own, it comes again when the rule is run as it is
            self.recordable = False
            if type(rule) not in _told:
                _told.add(type(rule))
                name = type(rule).__name__
                warnings.warn(
                    f"{name}: update cannot be recorded as one kernel: {error}; on a GPU it is run operation by "
                    "operation, for one parameter after the other",
                    stacklevel=2,
                )
            return None

    def again(self, rule, run: _Run, h, wants: tuple, how: tuple) -> tuple[Any, list[float], list[float]] | None:
        """The kernel of one more step of a run, the numbers for it and those of the state; None: it is another run."""
        i, j = run.i, run.j
        columns = [self.columns[name][i:j] for name in self.numbers]
        intact = [is_intact(rule.state.get(self.params[k]), self.cells[k]) for k in range(i, j)]
        if wants != self.wants or not self.recordable or not all(intact) or any((c != c[0]).any() for c in columns):
            return None
        mark = [c[0].item() for c in columns]
        numbers = dict(zip(self.names, mark if rule.counted else [1.0, *mark], strict=True))
        advance(rule, numbers, h)
        recorded = self.record(rule, h, numbers, how)
        return None if recorded is None else (*recorded, [numbers[name] for name in self.numbers])

    def count(self, i: int, j: int, numbers: list[float]) -> None:
        """Write the numbers of the state of the parameters [i, j)."""
        for name, value in zip(self.numbers, numbers, strict=True):
            self.columns[name][i:j] = value
        self.version[0] = modes.last_change = modes.tick()


FLAT["cuda"] = OnDevice


def recorded(
    recording, rule, h, dtype, states: dict[str, Any], numbers: dict[str, float], how: tuple
) -> tuple[Any, list[float]]:
    """The kernel that is a rule's step on parameters of a dtype, with the arrays and numbers of a state."""
    climb, decay, shrink = how
    p, g = recording.array("p", dtype), recording.array("g", dtype)
    g = -g if climb else g
    g = g + decay * p if decay else g
    if shrink != 1:
        p *= shrink
    arrays = {name: recording.array(f"state {name}", kind) for name, kind in states.items()}
    apply(rule, p, g, {**arrays, **numbers}, h)
    return recording.program(type(rule).__name__, dtype, states), recording.numbers


class _Run:
    """Neighbours [i, j) in an OnDevice, which knows them: what the kernel is given at every launch."""

    def __init__(self, unit: OnDevice, i: int, j: int) -> None:
        item = unit.dtype.itemsize
        start, stop = unit.starts[i], unit.starts[j] if j < len(unit.starts) else unit.size
        begins = [begin - start for begin in unit.starts[i:j]]
        self.i, self.j = i, j
        self.arrays = [unit.buffer[start:stop], *[unit.states[name][start:stop] for name in unit.arrays]]
        self.end, self.owner = unit.B.recording.ends_and_owners(begins, unit.sizes[i:j], stop - start, item)
        self.places = [begin * item for begin in begins]  # in bytes, counted from the beginning of the launch


class Launch(NamedTuple):
    """One launch of a step."""

    unit: OnDevice
    run: _Run
    program: Any
    numbers: list[float]
    gradients: list
    before: list[float]  # the numbers of the state before the step

    def addresses(self) -> list[int]:
        """Where the gradients would begin if the run's first element was theirs."""
        return [g.data.ptr - place for g, place in zip(self.gradients, self.run.places, strict=True)]


class Plan:
    """The launches of a step, and the memory from which they read what is different at every step."""

    def __init__(self, rule, planned: list[Launch]) -> None:
        self.rule = weakref.ref(rule)
        self.parts = [launch[:3] for launch in planned]
        sizes = [(len(launch.numbers), launch.run.j - launch.run.i) for launch in planned]
        self.board = planned[0].unit.B.recording.Board(*map(sum, zip(*sizes, strict=True)))
        self.calls, n, k = [], 0, 0
        for (_, run, program), (numbers, gradients) in zip(self.parts, sizes, strict=True):
            read = self.board.numbers[n : n + numbers], self.board.addresses[k : k + gradients]
            self.calls.append((program.launch, (*read, run.end, run.owner, *run.arrays)))
            n, k = n + numbers, k + gradients
        self.addresses: list[int] = []

    def fits(self, planned: list[Launch]) -> bool:
        """Whether these are its launches."""
        return len(planned) == len(self.parts) and all(
            a.run is run and a.program is program for a, (_, run, program) in zip(planned, self.parts, strict=True)
        )

    def launch(self) -> None:
        """Make the launches."""
        for call, arguments in self.calls:
            call(*arguments)

    def prepare(self) -> Callable[[], None] | None:
        """What the host has to do for one more step whose launches are in a graph, which is to be launched next.

        None: these launches are not what the step needs (a parameter was rebound, a hyperparameter set that was 0, the
        rule does something else from this step on). Nothing is changed before the function is called that this gives.
        """
        rule = self.rule()
        if rule is None:
            return None
        rule._follow()
        asking: dict[int, tuple] = {}  # what the group of a unit asks for
        for number, layout in rule._layouts.items():
            group = rule.param_groups[number] if number < len(rule.param_groups) else {"params": []}
            if layout is None or not layout.is_current(group["params"]):
                return None
            h = rule._checked(group)
            asking.update({id(unit): (h, *asked(rule, h)) for unit in layout.units})
        found = []
        for unit, run, program in self.parts:
            recorded = unit.again(rule, run, *asking[id(unit)]) if id(unit) in asking else None
            if recorded is None or recorded[0] is not program:
                return None
            found.append(recorded)
        return functools.partial(self._go_on, rule, found)

    def _go_on(self, rule, found: list[tuple]) -> None:
        """Count the step, and write what its kernels read."""
        self.board.fill([x for _, numbers, _ in found for x in numbers], self.addresses)
        for (unit, run, _), (_, _, counted) in zip(self.parts, found, strict=True):
            unit.count(run.i, run.j, counted)
            for p in unit.params[run.i : run.j]:
                p.changed()
        rule._followed()
        rule._stepped = True


def launch(rule) -> None:
    """Make the launches that a step has planned; in a capture take back what was counted for them."""
    planned, rule._planned = rule._planned, []
    try:
        if CAPTURES:
            plan = Plan(rule, planned)  # of its own, since the gradients of another graph lie elsewhere
            rule._captured = weakref.ref(plan)  # who captures keeps it, as long as the graph
            plan.addresses = [a for launch in planned for a in launch.addresses()]
            CAPTURES[-1].append(plan.prepare)
            _take_back(planned)
        else:
            known = [plan for plan in rule._plans if plan.fits(planned)]
            plan = known[0] if known else Plan(rule, planned)
            if not known:
                rule._plans = [plan, *rule._plans[: PLANS - 1]]
            numbers = [x for launch in planned for x in launch.numbers]
            plan.board.fill(numbers, [a for launch in planned for a in launch.addresses()])
    except BaseException:  # no memory: nothing was updated yet
        _take_back(planned)
        raise
    plan.launch()


def _take_back(planned: list[Launch]) -> None:
    for unit, run, *_, before in planned:
        unit.count(run.i, run.j, before)


def _eagerly(rule, why: str) -> None:
    if CAPTURES:
        not_captured(rule, f"{why}; make a step before")
