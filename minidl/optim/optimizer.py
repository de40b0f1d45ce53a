"""The base of all optimizers: parameter groups, decay, state and its files. A rule adds only its update equations.

It also carries optimizers written for PyTorch's base class, which override `step` and use `param_groups` and `state`.
"""

from __future__ import annotations

import copy
import difflib
import functools
import inspect
import math
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Self

from ..modes import enable_grad
from ..tensor import Tensor, describe, wrap
from .device import Launch, Plan, launch
from .flat import RETRY, Layout, fitted, number
from .surroundings import Surroundings, get, hooked

_NUMBERS = frozenset((float, int))
_PLAIN = frozenset((float, int, bool, str, type(None)))


class _Required:
    """Stands for the default of a hyperparameter that has none."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer(Surroundings):
    """Changes parameters by their gradients; the base class of the rules, with the interface of PyTorch's.

    params: the Tensors to optimize, or (name, Tensor) pairs, or dicts with "params" and the hyperparameters of that
    group; in an order that is the same in every run (so no set). defaults: the hyperparameters of groups that do not
    give their own.

    A rule is a constructor and two methods on arrays; a step is one call of `update` for each slice of the parameters:

    >>> class SignSGD(Optimizer):
    ...     '''p <- p - lr sign(g)'''
    ...     def __init__(self, params, lr=1e-3, weight_decay=0, *, maximize=False):
    ...         super().__init__(params, dict(lr=lr, weight_decay=weight_decay, maximize=maximize))
    ...
    ...     def update(self, p, g, state, h):
    ...         p -= h.lr * backend_of(p).sign(g)
    >>> import numpy as np
    >>> from minidl.backend import backend_of
    >>> from minidl.tensor import Parameter, wrap
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.grad = wrap(np.array([0.3, -4.0]))
    >>> SignSGD([w], lr=0.5).step(); w.array
    array([0.5, 2.5])

    An optimizer that overrides `step` does everything itself; `state[p]` is then whatever it puts there.

    Any hyperparameter may be a schedule (`minidl.optim.schedules`), or a rule's any function of the step, from 0; the
    group then has the number that the last step used, and how far the schedule is gets saved with it:

    >>> rule = SignSGD([w], lr=lambda step: 0.5 / (1 + step))
    >>> for _ in range(2):
    ...     rule.step()
    >>> w.array, rule.param_groups[0]["lr"]
    (array([-0.25,  3.25]), 0.25)
    """

    elementwise = True  # False: update needs whole tensors in their own shape (a norm, a matrix product)
    # row-sparse gradients: which state arrays a row without a gradient leaves as they are. If these are all there are,
    # update gets the rows that have a gradient, else a dense gradient; None: refused
    rows: tuple[str, ...] | None = None
    dense = True  # False: ordinary gradients are refused
    captures = True
    counted = True  # False: no "step" in the state; h.step is 1 when the state is new, and 2 from then on
    decay = "gradient"  # weight_decay: "gradient" g + wd p, "decoupled" p (1 - lr wd), "own" the rule's own affair
    state_keys: dict[str, str] = {}  # the paper's name of a state array -> PyTorch's, where they differ
    # low <= hyperparameter < high; all others must be finite
    bounds: dict[str, tuple[float, float]] = {
        **dict.fromkeys(("lr", "weight_decay", "eps", "momentum"), (0, math.inf)),
        "betas": (0, 1),
    }

    defaults: dict[str, Any]
    _written: dict[tuple[int, str], float]  # what schedulers wrote last, so that they notice edits
    param_groups: list[dict[str, Any]]
    state: defaultdict[Any, dict[str, Any]]

    def __new__(cls, *args, **kwargs) -> Self:
        self = super().__new__(cls)
        self._reset()  # optimizers around another may not call `__init__`
        return self

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        self.defaults, self.param_groups, self.state = defaults, [], defaultdict(dict)
        self._schedules = []
        self._reset()
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: params must be an iterable of Tensors or dicts, got one Tensor; write [w]")
        if callable(getattr(params, "parameters", None)) and not _holds_parameters(params):
            raise TypeError(f"{name}: params is a {type(params).__name__}; write model.parameters()")
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: params is a set, whose order changes from run to run; use a list")
        try:
            groups = list(params)
        except TypeError:
            raise TypeError(f"{name}: params must be an iterable of Tensors, got {type(params).__name__}") from None
        if not groups:
            raise ValueError(f"{name}: got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    # the rule
    def init(self, p, h: SimpleNamespace) -> dict[str, Any]:
        """The state of parameter p (an array) before its first step: arrays, and numbers for `advance` to change.

        Which entries there are may depend on whether a hyperparameter is set, not on its size.
        """
        return {}

    def advance(self, state: dict[str, float], h: SimpleNamespace) -> None:
        """Bring the numbers in the state up to date, once a step, before `update`; `state` has no arrays here."""

    def update(self, p, g, state: dict[str, Any], h: SimpleNamespace) -> None:
        """Change the array p and the arrays in `state` in place, by the gradient g, which must not be written to.

        h has the group's hyperparameters, and `h.step`, an int that is 1 at the first step. They are Python numbers, so
        that what is computed from them alone is in double precision. Only operators and names of `backend_of(p)` may be
        used, and array values must not decide what is done. Where there is much to update, threads share it, each with
        slices of its own: keep nothing in self.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither update(p, g, state, h) nor step(closure)")

    def check(self, group: dict[str, Any]) -> None:
        """Raise unless the hyperparameters of a group make sense; a rule with more to say extends this."""
        name = type(self).__name__
        for key, usual in _usual(type(self)).items():  # type: ignore[arg-type]
            value = group.get(key)
            if isinstance(usual, tuple):
                if not isinstance(value, (tuple, list)) or len(value) != len(usual):
                    pair = {2: "a pair of numbers", 3: "three numbers"}.get(len(usual), f"{len(usual)} numbers")
                    raise ValueError(f"{name}: {key} must be {pair}, got {value!r}")
            elif key not in group or isinstance(usual, bool) or not isinstance(usual, (int, float)):
                continue
            elif not isinstance(value, Tensor) and not isinstance(_plain(value), (int, float)):
                raise TypeError(f"{name}: {key} must be a number, got {value!r}")
        for key, value in group.items():
            low, high = self.bounds.get(key, (-math.inf, math.inf))
            limits = (f" >= {low}" if low > -math.inf else "") + (f" and < {high}" if high < math.inf else "")
            several = isinstance(value, (tuple, list))
            for i, x in enumerate(value if several else (value,)) if key != "params" else ():
                what = f"{key}[{i}]" if several else key
                if isinstance(x, Tensor) and x.array.size != 1:
                    raise ValueError(f"{name}: {what} must be one number, got a Tensor, {describe(x.array)}")
                x = _plain(x)
                if not isinstance(x, (int, float)):
                    if key in self.bounds:
                        raise TypeError(f"{name}: {what} must be a number, got {x!r}")
                elif not (low <= x < high and math.isfinite(x)):
                    raise ValueError(f"{name}: {what} must be a finite number{limits}, got {x}")
        for key in ("capturable", "differentiable"):
            if group.get(key):
                raise NotImplementedError(f"{name}: capturable and differentiable are not supported, got {key}=True")

    @property
    def _is_rule(self) -> bool:
        return type(self).update is not Optimizer.update

    # PyTorch's interface
    @hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; the others, and their state, stay as they are.

        closure: computes the loss and its gradients anew; its result is returned.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                name = type(self).__name__
                raise TypeError(f"{name}.step: closure must be a function, got {type(closure).__name__}; write step()")
            with enable_grad():
                loss = closure()
        try:
            for i, group in enumerate(self.param_groups):
                layout, retry = self._layouts.get(i), RETRY
                if layout is None or not layout.is_current(group["params"]):
                    if layout is not None and layout.steps == layout.retry:
                        retry = 2 * layout.retry
                    layout = self._layouts[i] = None  # let go of the memory, so that the parameters are free to move
                    self._plans.clear()
                    layout = self._layouts[i] = Layout(group["params"], self, retry)
                layout.update(self, self._checked(group))
        finally:
            if self._planned:
                launch(self)
        return loss

    def _checked(self, group: dict[str, Any]) -> SimpleNamespace:
        """The hyperparameters of a group for a step; somebody may have changed them since they were checked."""
        h = _hyperparameters(group)
        for key, (low, high) in self.bounds.items():
            value: Any = getattr(h, key, low)
            kind = type(value)
            if kind is not tuple and not (kind in _NUMBERS and low <= value < high):
                self.check(group)
        return h

    def prepare_replay(self) -> bool:
        """Do what the host has to do for one more step that was captured in a graph, which is then to be launched.

        Counts the step, follows schedules, and writes the numbers that the captured kernels read. False: the captured
        launches are not those that this step needs, and nothing was changed; make it eagerly and capture it anew. It is
        about the last captured step; who captures several finds what belongs to each graph in `backend.CAPTURES`. What
        transforms do to the gradients stays as it was captured.
        """
        plan = self._captured() if self._captured is not None else None
        if plan is None:
            raise RuntimeError(f"{type(self).__name__}.prepare_replay: there is no captured step of this optimizer")
        ready = plan.prepare()
        if ready is not None:
            ready()
        return ready is not None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with set_to_none=False make them zero."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    if p.grad.requires_grad:
                        p.grad = p.grad.detach()
                    p.grad.write(0)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: {"params": ..., and hyperparameters that shall differ from the defaults}."""
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(f"{name}: a parameter group must be a dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"{name}: a parameter group has no 'params', only {', '.join(param_group) or 'nothing'}")
        group, params = dict(param_group), param_group["params"]
        if isinstance(params, (set, frozenset)):
            raise TypeError(f"{name}: the params of a group are a set, whose order changes from run to run; use a list")
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError(f"{name}: either all parameters have names or none; {len(names)} of {len(params)} have")
        if names:
            group["param_names"], params = names, [p[1] for p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{name}: can only optimize Tensors, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(f"{name}: can't optimize a non-leaf Tensor ({describe(p.array)}, from {p.grad_fn!r})")
        group["params"] = params
        for key, value in self.defaults.items():
            if group.setdefault(key, value) is required:
                raise ValueError(f"{name}: a parameter group does not say its {key}, which has no default")
        for other in self.param_groups:
            if ("param_names" in other) != ("param_names" in group):
                raise ValueError(f"{name}: either all groups have parameter names or none")
        seen = {p for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if p in seen:
                which = f"'{names[i]}'" if names else f"{i} of group {len(self.param_groups)}, {describe(p.array)},"
                raise ValueError(f"{name}: parameter {which} appears more than once")
            seen.add(p)
        schedules = self._take_schedules(group)
        if self._is_rule:
            self.check(group)
            for key in group:
                near = difflib.get_close_matches(key, self.defaults, 1, 0.75) if key not in self.defaults else ()
                if near and key != "params":
                    warnings.warn(f"{name}: a group has '{key}', which is nothing to it; {near[0]}?", stacklevel=3)
        self._schedules = [*self._schedules, schedules]
        self.param_groups.append(group)

    # files
    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes, in PyTorch's form: parameters are numbered through all groups.

        The Tensors are the live ones: copy.deepcopy it to keep it.
        """
        self._through_hooks("before saving")
        numbers: dict[Tensor, int] = {}
        groups = []
        for i, group in enumerate(self.param_groups):
            start = len(numbers)
            numbers.update(zip(group["params"], range(start, start + len(group["params"])), strict=True))
            groups.append({**group, "params": [numbers[p] for p in group["params"]], **self._scheduled_state(i)})
        # in the order of the numbers, not of the first steps, so that equal states are equal files
        state: dict[Any, Any] = {i: copy.copy(self.state[p]) for p, i in numbers.items() if p in self.state}
        state.update({k: copy.copy(v) for k, v in self.state.items() if k not in numbers})
        transforms = [{"transform": type(t).__name__, **t.state_dict()} for t in self._transforms]
        found = {"state": state, "param_groups": groups, **({"transforms": transforms} if transforms else {})}
        return self._through_hooks("after saving", found)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over hyperparameters and state (copied, in each parameter's dtype and on its device).

        Groups and parameters are matched by position. If anything does not fit, a ValueError says what, and nothing is
        changed.
        """
        where, groups = f"{type(self).__name__}.load_state_dict", self.param_groups
        if isinstance(state_dict, dict):
            state_dict = self._through_hooks("before loading", {**state_dict})
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"{where}: expected a dict with 'state' and 'param_groups', as state_dict() gives")
        saved, left = state_dict["param_groups"], dict(state_dict["state"])
        sizes, expected = [len(g["params"]) for g in saved], [len(g["params"]) for g in groups]
        if sizes != expected:
            raise ValueError(f"{where}: the groups have {sizes} parameters, expected {expected}")
        new_groups = [self._merged(i, group, other) for i, (group, other) in enumerate(zip(groups, saved, strict=True))]
        state: dict[Any, dict[str, Any]] = {}
        problems: list[str] = []
        for group, other in zip(new_groups, saved, strict=True):
            for p, i in zip(group["params"], other["params"], strict=True):
                entries = {key: v for key, v in left.pop(i, {}).items() if v is not None}
                if entries:
                    example = self._example(p, group)
                    found = self._misfits(p, entries, example)
                    problems += [f"parameter {i} {what}" for what in found]
                    state[p] = {} if found else {k: self._loaded(p, k, v, example) for k, v in entries.items()}
        if problems:
            raise ValueError(f"{where}: the state does not fit\n  " + "\n  ".join(problems))
        restore: list[tuple[Any, dict[str, Any]]] = []  # what has a state of its own, and may refuse the new one
        try:
            for part, new_state in [*self._matched(state_dict.get("transforms")), *self._clocks(new_groups)]:
                restore.append((part, copy.deepcopy(part.state_dict())))
                part.load_state_dict(new_state)
        except BaseException:
            for part, old in restore:
                part.load_state_dict(old)
            raise
        self.state = defaultdict(dict, {**copy.deepcopy(left), **state})
        for group, new in zip(groups, new_groups, strict=True):
            group.update(new)
        # what was loaded is nobody's edit
        self._written = {(i, slot): get(groups[i], slot) for i, slot in self._written if i < len(groups)}
        self._through_hooks("after loading")

    def _matched(self, saved: list[dict[str, Any]] | None) -> list[tuple[Any, dict[str, Any]]]:
        """Each transform with its saved state; a state without transforms leaves them as they are."""
        names, own = [s["transform"] for s in saved or []], [type(t).__name__ for t in self._transforms]
        if saved and names != own:
            where = f"{type(self).__name__}.load_state_dict"
            raise ValueError(f"{where}: the state has the transforms {names}, expected {own or 'none'}")
        return [
            (t, {key: value for key, value in state.items() if key != "transform"})
            for t, state in zip(self._transforms, saved or [], strict=False)
        ]

    def _merged(self, i: int, group: dict, saved: dict) -> dict:
        """The group with the saved hyperparameters; flags that came in with a later version keep their value."""
        schedules, old = self._schedules[i] if self._schedules else {}, saved.get("scheduled") or {}
        new = {**group, **copy.deepcopy({k: v for k, v in saved.items() if k not in ("params", "scheduled")})}
        if schedules:
            if set(schedules) != set(old):
                found = ", ".join(sorted(old)) or "nothing"
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: in group {i} a schedule is followed by "
                    f"{', '.join(schedules)}, in the state by {found}"
                )
            new["scheduled"] = copy.deepcopy(old)
        for key, value in self.defaults.items():
            if key not in saved and self._is_rule and value is not None and not isinstance(value, bool):
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: group {i} has no '{key}'; is it of another rule? "
                    f"It has {sorted(k for k in saved if k != 'params')}"
                )
            if isinstance(value, tuple):
                new[key] = tuple(new[key])
        more = [key for key in saved if key not in group]  # the user's own, or what schedulers write, unless ...
        if more and self._is_rule:
            known = _hyperparameters_of_rules()
            for key in more:
                if key in known:
                    what = f"{type(self).__name__}.load_state_dict: group {i} has '{key}', which this rule has not"
                    raise ValueError(f"{what}; is it of another rule?")
        if self._is_rule:
            self.check(new)
        return new

    def _example(self, p: Tensor, group: dict) -> dict[str, Any] | None:
        """The state that p would have after its first step in the group, by PyTorch's keys; None: nobody knows."""
        if not self._is_rule:
            return None
        example = self.init(p.array, _hyperparameters(group))
        known = {self.state_keys.get(name, name): value for name, value in example.items()}
        return {**known, "step": 0.0} if self.counted else known

    def _misfits(self, p: Tensor, entries: dict, example: dict | None) -> list[str]:
        if example is None:  # another's rule: all that can be said is what it has itself
            example = {k: v.array for k, v in self.state.get(p, {}).items() if isinstance(v, Tensor) and k in entries}
        else:
            known = {*example, *self.state_keys.values()}
            unknown = [f"has a '{k}', expected {sorted(known) or 'nothing'}" for k in entries if k not in known]
            missing = [f"has no '{k}'" for k in example if k not in entries]
            if unknown or missing:
                return unknown + missing
        return [
            f"has a '{key}' of shape {_shape(entries[key])}, expected {_shape(like)}"
            for key, like in example.items()
            if _shape(entries[key]) != _shape(like)
        ]

    def _loaded(self, p: Tensor, key: str, value, example: dict | None = None):
        """A copy of a saved state entry, in the dtype and on the device it must have beside p."""
        like = (example or {}).get(key)
        if isinstance(like, (int, float)):
            return number(key, value)
        if like is not None:
            return wrap(fitted(self, key, value, like.shape, like.dtype, p.array))
        if isinstance(value, Tensor) and key != "step":
            a = value.array
            return wrap(fitted(self, key, a, a.shape, p.array.dtype if a.dtype.kind == "f" else a.dtype, p.array))
        if isinstance(value, dict):
            return {k: self._loaded(p, k, v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self._loaded(p, key, v) for v in value])
        return copy.deepcopy(value)

    # copies, pickles, words
    def __getstate__(self) -> dict[str, Any]:
        caches = {"_layouts", "_planned", "_plans", "_captured"}
        caches |= {"_pre_hooks", "_post_hooks", "_state_hooks", "_stepping", "_stepped"}
        return {k: v for k, v in self.__dict__.items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
        self._written = state.get("_written", {})
        for t in self._transforms:
            if hasattr(t, "attach"):
                t.attach(self)

    def _patch_step_function(self) -> None:
        """Nothing: optimizers around another call it if they do not call `__init__`."""

    def _reset(self) -> None:
        self._layouts: dict[int, Layout | None] = {}
        self._planned: list[Launch] = []  # of the step that is being made, on a GPU
        self._plans: list[Plan] = []  # what steps launched there, the latest pattern first
        self._captured: weakref.ref[Plan] | None = None
        self._pre_hooks: dict[int, Callable] = {}
        self._post_hooks: dict[int, Callable] = {}
        self._state_hooks: dict[str, dict[int, Callable]] = {}
        self._stepping = self._stepped = False
        self._written = {}

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(
                [f"    {key}: {group[key]}\n" for key in sorted(group) if key not in ("params", "scheduled")]
            )
            schedules = self._schedules[i] if self._schedules else {}
            text += "".join([f"    {slot} follows {schedule!r}\n" for slot, schedule in schedules.items()])
        for t in self._transforms:
            text += f"\nTransform {t!r}"
        return text + ")"


@functools.cache
def _usual(kind: Any) -> dict[str, Any]:
    """The defaults that a rule's constructor has."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _hyperparameters_of_rules() -> set[str]:
    """What the rules there are call their hyperparameters, but for the flags that choose between implementations."""
    kinds, found = [Optimizer], set[str]()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.startswith(Optimizer.__module__.rpartition(".")[0]):
            found.update(_usual(kind))
    return found - {"foreach", "fused", "capturable", "differentiable", "maximize"}


def _holds_parameters(params) -> bool:
    """Whether it is a module of parameters only, as a ParameterList."""
    return hasattr(params, "__iter__") and all(isinstance(p, Tensor) for p in params)


def _plain(value):
    """A hyperparameter as a plain Python value; a Tensor or a NumPy number as the number in it."""
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, Tensor) or hasattr(value, "item"):
        return value.array.item() if isinstance(value, Tensor) else value.item()
    if isinstance(value, (tuple, list)):
        return tuple([_plain(v) for v in value])
    return value


def _hyperparameters(group: dict[str, Any]) -> SimpleNamespace:
    """A group's hyperparameters as attributes."""
    h = SimpleNamespace()
    h.__dict__.update([(k, v if v.__class__ in _PLAIN else _plain(v)) for k, v in group.items() if k != "params"])
    return h


def _shape(value) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))
