"""What surrounds a step of every optimizer: hooks, hyperparameters that follow schedules, transforms of gradients."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..backend import CAPTURES
from ..modes import enable_grad, no_grad
from ..tensor import Handle

if TYPE_CHECKING:
    from typing import Self


WATCHERS: list[Callable[[Any], Any]] = []  # to be told of every optimizer that makes a step
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Skipped(Exception):
    """A transform said that this step is not to be made; carries the closure's loss out of the rule's `step`."""

    def __init__(self, loss: Any = None) -> None:
        self.loss = loss


def hooked(step: Callable) -> Callable:
    """`step` with what belongs to every optimizer around it, once, even if it calls its base class's step.

    Hooks, hyperparameters that follow a schedule, and transforms of the gradients.
    """

    @functools.wraps(step)
    def call(*args, **kwargs):
        self = args[0]
        if self._stepping:
            return step(*args, **kwargs)
        self._stepping = True
        for watch in WATCHERS:
            watch(self)
        try:
            if CAPTURES:
                return self._step_in_capture(step, args, kwargs)
            for hook in list(self._pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        where = f"{type(self).__name__}.step"
                        raise RuntimeError(f"{where}: a pre-hook must return None or (args, kwargs), got {changed!r}")
                    args, kwargs = changed
            self._follow()
            if self._transforms:
                args, kwargs = self._transforming(args, kwargs)
            result = step(*args, **kwargs)
            self._followed()
            self._stepped = True
            for hook in list(self._post_hooks.values()):
                hook(self, args, kwargs)
        except Skipped as skipped:
            return skipped.loss
        finally:
            self._stepping = False
        return result

    return call


class Surroundings:
    """The part of `Optimizer` that goes with any `step`, also with one that was written for PyTorch's base class."""

    needs_closure = False  # True: step evaluates the loss itself, perhaps several times
    captures = False  # True: `step` does nothing on the host that would be missed where a graph is replayed
    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]
    bounds: dict[str, tuple[float, float]]
    check: Callable[[dict[str, Any]], None]
    _pre_hooks: dict[int, Callable]
    _post_hooks: dict[int, Callable]
    _state_hooks: dict[str, dict[int, Callable]]  # of saving and loading, by their moment
    _schedules: Sequence[dict[str, Callable[[int], float]]] = ()  # of each group, by hyperparameter
    _transforms: tuple[Any, ...] = ()
    _stepping: bool
    _stepped: bool

    if TYPE_CHECKING:

        @property
        def _is_rule(self) -> bool: ...

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.captures = cls.__dict__.get("captures", False)
            if "needs_closure" not in cls.__dict__:  # where the closure has no default, step cannot do without it
                given = list(inspect.signature(cls.step).parameters.values())[1:2]  # type: ignore[attr-defined]
                if given and given[0].default is given[0].empty and given[0].kind in _POSITIONAL:
                    cls.needs_closure = True
            cls.step = hooked(cls.step)  # type: ignore[attr-defined]

    def follow(self, group: int | None = None, **schedules: Any) -> Self:
        """Let hyperparameters follow schedules from the next step on, in one group or in all; gives self.

        Hyperparameters that are given as a number or a tuple of numbers stop following.

        >>> from minidl.optim import SGD, schedules
        >>> from minidl.tensor import Parameter
        >>> import numpy as np
        >>> rule = SGD([Parameter(np.zeros(2))], lr=0.1).follow(lr=0.4 * schedules.cosine(100))
        >>> rule.param_groups[0]["lr"]
        0.4
        """
        chosen = range(len(self.param_groups)) if group is None else [group]
        changed = []
        for i in chosen:
            own = self.param_groups[i]
            unknown = [key for key in schedules if key not in own or key == "params"]
            if unknown:
                known = ", ".join(key for key in own if key in self.defaults)
                raise ValueError(f"{type(self).__name__}.follow: group {i} has no {unknown[0]!r}; it has {known}")
            new = {**own, **schedules}
            kept = {slot: s for slot, s in self._schedules[i].items() if slot.partition("[")[0] not in schedules}
            entries = {slot: own["scheduled"][slot] for slot in kept}
            new.pop("scheduled", None)
            given = self._take_schedules(new, entries)
            if self._is_rule:
                self.check(new)
            changed.append((i, new, {**kept, **given}))
        if group is None:
            self.defaults.update({key: value for key, value in schedules.items() if key in self.defaults})
        for i, new, followed in changed:
            self.param_groups[i].pop("scheduled", None)
            self.param_groups[i].update(new)
            self._schedules = [*self._schedules[:i], followed, *self._schedules[i + 1 :]]
        return self

    def transform(self, *transforms: Any) -> Self:
        """Let gradients go through transforms (`minidl.optim.transforms`) before every step, in this order; self.

        Transforms work with every rule, also with one that computes gradients in a closure. They are part of the state.

        >>> from minidl.optim import SGD, transforms
        >>> from minidl.tensor import Parameter, wrap
        >>> import numpy as np
        >>> w = Parameter(np.zeros(2))
        >>> rule = SGD([w], lr=1.0).transform(transforms.ClipNorm(1.0))
        >>> w.grad = wrap(np.array([3.0, -4.0]))
        >>> rule.step(); w.array.round(3)
        array([-0.6,  0.8])
        """
        for t in transforms:
            if isinstance(t, type) or not callable(getattr(t, "apply", None)):
                what = f"{type(self).__name__}.transform"
                kind = f"the class {t.__name__}" if isinstance(t, type) else type(t).__name__
                raise TypeError(f"{what}: expected transforms such as ClipNorm(1.0), got {kind}")
        for t in transforms:
            if hasattr(t, "attach"):
                t.attach(self)
        self._transforms = (*self._transforms, *transforms)
        return self

    @property
    def schedules(self) -> list[dict[str, Callable[[int], float]]]:
        """The schedules that the hyperparameters of each group follow."""
        return [dict(schedules) for schedules in self._schedules]

    @property
    def transforms(self) -> tuple[Any, ...]:
        """The transforms that gradients go through."""
        return self._transforms

    def _is_schedule(self, value: Any) -> bool:
        # any function will do for a rule of ours; those of others may keep functions in their groups
        return callable(value) and (self._is_rule or hasattr(value, "steps"))

    def _take_schedules(self, group: dict[str, Any], entries: dict | None = None) -> dict[str, Callable]:
        """Take the schedules out of a group; in their place come the numbers of the first step."""
        found: dict[str, Callable[[int], float]] = {}
        for key, value in group.items():
            if key not in self.defaults:  # the user's own, who may keep functions there
                continue
            if self._is_schedule(value):
                found[key] = value
            elif isinstance(value, (tuple, list)):
                found.update({f"{key}[{j}]": v for j, v in enumerate(value) if self._is_schedule(v)})
        if found or entries:
            scheduled = group["scheduled"] = dict(entries or {})
            for slot, schedule in found.items():
                step = self._joining(slot, schedule)
                last = self._allowed(slot, _kept(schedule, step), step)
                scheduled[slot] = {"step": step, "scale": 1.0, "last": last}
                put(group, slot, last)
        return found

    def _joining(self, slot: str, schedule: Callable[[int], float]) -> int:
        """The step at which a group begins to follow: that of the groups which follow the same schedule already."""
        for group, schedules in zip(self.param_groups, self._schedules, strict=False):
            if schedules.get(slot) is schedule:
                return group["scheduled"][slot]["step"]
        return 0

    def _allowed(self, slot: str, value: float, step: int) -> float:
        low, high = self.bounds.get(slot.partition("[")[0], (-math.inf, math.inf))
        if not (isinstance(value, (int, float)) and low <= value < high and math.isfinite(value)):
            name, limits = type(self).__name__, f" >= {low}" * (low > -math.inf) + f" and < {high}" * (high < math.inf)
            raise ValueError(
                f"{name}: the schedule of {slot} gives {value!r} at step {step}, not a finite number{limits}"
            )
        return value

    def _follow(self) -> None:
        """Give every hyperparameter that follows a schedule its number for the step to come."""
        for group, schedules in zip(self.param_groups, self._schedules, strict=False):
            for slot, schedule in schedules.items():
                entry, current = group["scheduled"][slot], get(group, slot)
                step = entry["step"]
                if current != entry["last"]:  # changed by hand: from now on all is in proportion
                    # where the schedule stood at 0 there is no proportion, and the next step is the measure
                    was = schedule(max(step - 1, 0)) or schedule(step)
                    entry["scale"] = current / was if was else entry["scale"]
                value = _kept(schedule, step)
                scaled = value if entry["scale"] == 1 else entry["scale"] * value
                entry["last"] = self._allowed(slot, scaled, step)
                put(group, slot, entry["last"])

    def _followed(self) -> None:
        for group, schedules in zip(self.param_groups, self._schedules, strict=False):
            for slot in schedules:
                group["scheduled"][slot]["step"] += 1

    def _scheduled_state(self, i: int) -> dict[str, Any]:
        """The entries of a group's schedules for `state_dict`, with the state of those that have one (a clock)."""
        schedules = self._schedules[i] if self._schedules else {}
        entries = {slot: dict(self.param_groups[i]["scheduled"][slot]) for slot in schedules}
        for slot, schedule in schedules.items():
            state = schedule.state_dict() if hasattr(schedule, "state_dict") else None
            if state:
                entries[slot]["state"] = state
        return {"scheduled": entries} if entries else {}

    def _clocks(self, groups: list[dict[str, Any]]) -> list[tuple[Any, dict[str, Any]]]:
        """The schedules that have a state, with the one that was saved, which is taken out of the groups."""
        found = []
        for group, schedules in zip(groups, self._schedules, strict=False):
            for slot, schedule in schedules.items():
                state = group["scheduled"][slot].pop("state", None)
                if state is not None:
                    found.append((schedule, state))
        return found

    def _step_in_capture(self, step: Callable, args: tuple, kwargs: dict) -> Any:
        """A step that is being captured in a graph: its launches only, without what the host does for every step."""
        name, why = type(self).__name__, ""
        if not (self._is_rule and self.captures):
            why = "the optimizer has a step of its own"
        elif self._pre_hooks or self._post_hooks:
            why = "it has hooks, which run on the host"
        for t in self._transforms:
            if not why and t.state_dict():
                why = f"{t!r} remembers something from step to step"
        if why:
            raise RuntimeError(f"{name}.step: cannot be captured in a graph: {why}")
        self._follow()
        if self._transforms:
            args, kwargs = self._transforming(args, kwargs)
        return step(*args, **kwargs)

    def _transforming(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments of a step, after the gradients went through the transforms or with a closure that does it."""
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._apply_transforms(None)
            return args, kwargs

        def transformed():
            with enable_grad():
                loss = closure()
            self._apply_transforms(loss)
            return loss

        if len(args) > 1:
            return (args[0], transformed, *args[2:]), kwargs
        return args, {**kwargs, "closure": transformed}

    def _apply_transforms(self, loss: Any) -> None:
        with no_grad():
            for t in self._transforms:
                # each once: the groups of a wrapper may share parameters
                params = dict.fromkeys(p for group in self.param_groups for p in group["params"])
                if not t.apply([p for p in params if p.grad is not None], self):
                    if self.needs_closure:  # it would be left in the middle of a search
                        name = type(self).__name__
                        raise RuntimeError(f"{name}: {t!r} leaves a step out, but {name} evaluates the loss itself")
                    raise Skipped(loss)

    def register_step_pre_hook(self, hook: Callable) -> Handle:
        """Call `hook(optimizer, args, kwargs)` before every step; it may return other (args, kwargs)."""
        return Handle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> Handle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return Handle(self._post_hooks, hook)

    def _on_state(self, moment: str, hook: Callable, prepend: bool) -> Handle:
        hooks = self._state_hooks.setdefault(moment, {})
        others = list(hooks) if prepend else []
        handle = Handle(hooks, hook)
        for number in others:  # in a dict, what is entered anew comes last
            hooks[number] = hooks.pop(number)
        return handle

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` before `state_dict`; prepend: before the hooks that are there already."""
        return self._on_state("before saving", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` with what `state_dict` is to return; it may return another."""
        return self._on_state("after saving", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(optimizer, state_dict)` with a shallow copy of what is to be loaded; it may return another."""
        return self._on_state("before loading", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Call `hook(optimizer)` after a state was loaded."""
        return self._on_state("after loading", hook, prepend)

    def _through_hooks(self, moment: str, state_dict: Any = None) -> Any:
        """Run the hooks of a moment; those that get a state may return another."""
        for hook in list(self._state_hooks.get(moment, {}).values()):
            if state_dict is None:
                hook(self)
            else:
                changed = hook(self, state_dict)
                state_dict = state_dict if changed is None else changed
        return state_dict


def _kept(schedule: Callable[[int], float], step: int) -> float:
    """The value of a schedule at a step that is being made; one that looks at the clock keeps what it saw."""
    return schedule.keep(step) if hasattr(schedule, "keep") else schedule(step)


def get(group: dict[str, Any], slot: str) -> float:
    """A hyperparameter of a group, or one of several: `lr`, `betas[0]`."""
    key, _, index = slot.partition("[")
    return group[key][int(index[:-1])] if index else group[key]


def put(group: dict[str, Any], slot: str, value: float) -> None:
    key, _, index = slot.partition("[")
    if index:
        values, j = group[key], int(index[:-1])
        group[key] = type(values)([*values[:j], value, *values[j + 1 :]])
    else:
        group[key] = value
