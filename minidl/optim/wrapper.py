"""The common base of optimizers that are made of optimizers: one interface, one state for all that is in them."""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..backend import backend_of
from ..backend.norms import gathered
from ..modes import enable_grad
from ..tensor import Tensor, describe
from .optimizer import Optimizer

if TYPE_CHECKING:
    from typing import Self


class Wrapper(Optimizer):
    """An optimizer that holds others, its `optimizers`, and says when they step; a subclass adds `step`.

    Its `param_groups` are the very groups of the optimizers within, one after the other, so that schedulers and edits
    by hand reach them; a parameter may be in several. Hooks and transforms of the wrapper act around its own step,
    those of the optimizers within around theirs. A wrapper of schedule-free rules has their `train()` and `eval()`.

    `state_dict()` is plain nested data: "inner" has the state of each optimizer, beside it stand the wrapper's own
    numbers, and "state" has the wrapper's own arrays; hyperparameters are loaded from "inner". `load_state_dict` takes
    all of it or, if anything does not fit, nothing.
    """

    shared = True  # whether all optimizers within have the same parameters
    entries: tuple[str, ...] = ()  # the names of the arrays, each in its parameter's shape, that `state` may have

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        name = type(self).__name__
        for i, rule in enumerate(optimizers):
            if not isinstance(rule, Optimizer):
                raise TypeError(f"{name}: expected an optimizer, got {type(rule).__name__}")
            if any(rule is other for other in optimizers[:i]):
                raise ValueError(f"{name}: rule {i} ({type(rule).__name__}) was given twice")
        self.optimizers = list(optimizers)
        self.state = defaultdict(dict)
        self._reset()
        first = parameters_of(optimizers[0])
        for i, rule in enumerate(optimizers if self.shared else ()):
            own = parameters_of(rule)
            lacks, more = [p for p in first if p not in own], [p for p in own if p not in first]
            if lacks or more:
                all_, found = (lacks, first) if lacks else (more, own)
                number = [p is all_[0] for p in found].index(True)
                kind, of = type(rule).__name__, type(optimizers[0]).__name__
                raise ValueError(
                    f"{name}: all rules must have the same parameters; rule {i} ({kind}) lacks {len(lacks)} of rule 0 "
                    f"({of}) and has {len(more)} that rule 0 has not, the first of them parameter {number} of rule "
                    f"{0 if lacks else i}, {describe(all_[0].array)}"
                )

    # what a subclass has of its own
    def numbers(self) -> dict[str, Any]:
        """The wrapper's own numbers, plain data, for `state_dict`."""
        return {}

    def checked(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """Saved numbers as they will be set as attributes; raises ValueError if they do not fit."""
        return numbers

    # ways to step
    def evaluated(self, rule: Optimizer, closure: Callable[[], Any] | None) -> tuple[Any, tuple]:
        """The loss, and the arguments for the rule's step: a closure is called here unless the rule needs it itself."""
        if closure is None or rule.needs_closure:
            return None, () if closure is None else (closure,)
        with enable_grad():
            return closure(), ()

    def stepped(self, rule: Optimizer, *arguments) -> tuple[Any, bool]:
        """The result of a step of a rule within, and whether it was made: a transform of its own may leave it out."""
        before, rule._stepped = rule._stepped, False
        try:
            return rule.step(*arguments), rule._stepped
        finally:
            rule._stepped = rule._stepped or before

    @property
    def eval(self) -> Callable[[], None]:
        """Put what is to be used into the parameters; only where a rule within has an eval()."""
        return self._mode("eval")

    @property
    def train(self) -> Callable[[], None]:
        """Put back where gradients are taken; only where a rule within has a train()."""
        return self._mode("train")

    def _mode(self, name: str) -> Callable[[], None]:
        if not any(hasattr(rule, name) for rule in self.optimizers):
            raise AttributeError(f"{type(self).__name__}: no rule within has {name}()")
        return functools.partial(self._turn, name)

    def _turn(self, name: str) -> None:
        """Call train() or eval() of the rules that have it."""
        for rule in self.optimizers:
            if hasattr(rule, name):
                getattr(rule, name)()

    @property
    def needs_closure(self) -> bool:  # type: ignore[override]
        """Whether a rule within cannot step without a closure."""
        return any(rule.needs_closure for rule in self.optimizers)

    # PyTorch's interface
    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of all optimizers within, each once."""
        groups: list[dict[str, Any]] = []
        for rule in self.optimizers:
            groups += [g for g in rule.param_groups if not any(g is h for h in groups)]
        return groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to every optimizer within, or, if one of them refuses it, to none."""
        if isinstance(param_group, dict) and not isinstance(param_group["params"], (Tensor, set, frozenset)):
            param_group = {**param_group, "params": list(param_group["params"])}
        done: list[Optimizer] = []
        try:
            for rule in self.optimizers:
                rule.add_param_group(param_group)
                done.append(rule)
        except BaseException:
            for rule in done:
                without_last_group(rule)
            raise

    def follow(self, group: int | None = None, **schedules: Any) -> Self:
        """Let hyperparameters follow schedules, in one group or in all; each rule counts its own steps."""
        groups = self.param_groups
        chosen = groups if group is None else [groups[group]]
        for i, g in enumerate(chosen):
            for key in schedules:
                if key not in g or key == "params":
                    number = i if group is None else group
                    raise ValueError(f"{type(self).__name__}.follow: group {number} has no {key!r}; choose one group")
        for rule in self.optimizers:
            for i, g in enumerate(rule.param_groups):
                if any(g is h for h in chosen):
                    rule.follow(i, **schedules)
        return self

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The hyperparameters that all optimizers within have, with the first one's defaults."""
        first, *others = [rule.defaults for rule in self.optimizers]
        return {key: value for key, value in first.items() if all(key in other for other in others)}

    @property
    def _schedules(self) -> list[dict[str, Callable[[int], float]]]:  # type: ignore[override]
        found = {id(g): s for rule in self.optimizers for g, s in zip(rule.param_groups, rule.schedules, strict=False)}
        return [found.get(id(g), {}) for g in self.param_groups]

    def _follow(self) -> None:
        """Nothing: each optimizer within follows its schedules."""

    def _followed(self) -> None:
        """Nothing, likewise."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes; the Tensors are the live ones: copy.deepcopy it to keep it."""
        numbers = {p: i for i, p in enumerate(parameters_of(self))}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        state = {numbers[p]: dict(entries) for p, entries in self.state.items() if entries}
        inner = [rule.state_dict() for rule in self.optimizers]
        return {**super().state_dict(), "state": state, "param_groups": groups, "inner": inner, **self.numbers()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the `state_dict` of a wrapper made in the same way gave.

        If anything does not fit, a ValueError says what, and nothing is changed.
        """
        where, wanted = f"{type(self).__name__}.load_state_dict", ["state", "param_groups", "inner", *self.numbers()]
        if not isinstance(state_dict, dict) or not set(wanted) <= state_dict.keys():
            found = sorted(map(str, state_dict)) if isinstance(state_dict, dict) else type(state_dict).__name__
            raise ValueError(f"{where}: expected a dict with {', '.join(wanted)}, got {found}")
        inner = state_dict["inner"]
        if not isinstance(inner, (list, tuple)) or len(inner) != len(self.optimizers):
            got = len(inner) if isinstance(inner, (list, tuple)) else type(inner).__name__
            raise ValueError(f"{where}: inner has the states of {got} optimizers, expected {len(self.optimizers)}")
        try:
            numbers = self.checked({key: copy.deepcopy(state_dict[key]) for key in self.numbers()})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{where}: {error}") from error
        before: list[dict[str, Any]] = []
        try:
            for i, (rule, saved) in enumerate(zip(self.optimizers, inner, strict=True)):
                old = rule.state_dict()
                old = {key: value if key == "state" else copy.deepcopy(value) for key, value in old.items()}
                try:
                    rule.load_state_dict(saved)
                except (ValueError, TypeError, KeyError, RuntimeError) as error:
                    raise ValueError(f"{where}: rule {i} ({type(rule).__name__}): {error}") from error
                before.append(old)
            super().load_state_dict(state_dict)
        except BaseException:
            for rule, old in zip(self.optimizers, before, strict=False):
                rule.load_state_dict(old)
            raise
        self.__dict__.update(numbers)

    def _merged(self, i: int, group: dict, saved: dict) -> dict:
        return dict(group)  # the optimizers within have loaded theirs

    def _example(self, p: Tensor, group: dict) -> dict[str, Any] | None:
        return dict.fromkeys(self.entries, p.array)

    def _misfits(self, p: Tensor, entries: dict, example: dict | None) -> list[str]:
        known, shape = example or {}, tuple(p.shape)
        return [f"has a '{k}', expected {sorted(known) or 'nothing'}" for k in entries if k not in known] + [
            f"has a '{k}' of shape {tuple(getattr(v, 'shape', ()))}, expected {shape}"
            for k, v in entries.items()
            if k in known and tuple(getattr(v, "shape", ())) != shape
        ]

    def settings(self) -> str:
        """What stands in the first line of the text."""
        return ""

    def __repr__(self) -> str:
        inner = "".join([f"\n{rule!r}".replace("\n", "\n    ") for rule in self.optimizers])
        return f"{type(self).__name__} ({self.settings()}{inner}\n)"


def parameters_of(optimizer: Optimizer) -> dict[Tensor, None]:
    """The parameters of an optimizer in their order, each once; a dict, which finds them quickly."""
    return dict.fromkeys(p for group in optimizer.param_groups for p in group["params"])


def made(name: str, rules: Iterable, params: Iterable | None) -> list[Optimizer]:
    """Optimizers as they were given, or, where functions of the parameters were given, what these return."""
    try:
        rules = list(rules)
    except TypeError:
        raise TypeError(f"{name}: expected a list of optimizers, got {type(rules).__name__}") from None
    if len(rules) < 2:
        raise ValueError(f"{name}: expected at least two rules, got {len(rules)}")
    if params is None:
        known = [rule for rule in rules if isinstance(rule, Optimizer)]
        if not known:
            raise ValueError(f"{name}: where all rules are functions, params must say what they are to optimize")
        params = parameters_of(known[0])
    params = list(params)
    found = []
    for i, rule in enumerate(rules):
        if not isinstance(rule, Optimizer):
            if not callable(rule):
                kind = type(rule).__name__
                raise TypeError(f"{name}: rule {i} must be an optimizer, or a function of the parameters, got {kind}")
            rule = rule(list(params))
            if not isinstance(rule, Optimizer):
                raise TypeError(f"{name}: the function for rule {i} gave a {type(rule).__name__}, not an optimizer")
        found.append(rule)
    return found


def dense(name: str, params: Iterable[Tensor]) -> list[Tensor]:
    """Those parameters that have a gradient; a row-sparse one is refused."""
    found = [p for p in params if p.grad is not None]
    for p in found:
        if getattr(p.grad, "is_sparse", False):
            raise NotImplementedError(f"{name} does not work with row-sparse gradients, as of {describe(p.array)}")
    return found


def inner_products(pairs: Sequence[list[tuple[Any, Any]]]) -> list[float]:
    """For each list of pairs of arrays the sum of all their inner products; waits once for the device."""
    sums = [backend_of(a).asarray(backend_of(a).sum(a * b)) for products in pairs for a, b in products]
    if not sums:
        return [0.0] * len(pairs)
    values = gathered(sums)
    all_, found, start = backend_of(values).to_host(values).tolist(), [], 0
    for products in pairs:
        found.append(float(sum(all_[start : start + len(products)])))
        start += len(products)
    return found


def without_last_group(rule: Optimizer) -> None:
    """Take back an `add_param_group`."""
    if isinstance(rule, Wrapper):
        for inner in rule.optimizers:
            without_last_group(inner)
    else:
        rule.param_groups.pop()
        rule._schedules = rule._schedules[: len(rule.param_groups)]
