"""Parameter groups for what all models need: decay for weights only, rates that fall with depth, layers that wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor


def groups_without_decay(
    model, weight_decay: float = 1e-2, *, without: Iterable = (), frozen: bool = False, **options
) -> list[dict[str, Any]]:
    """Two groups for an optimizer, named "decay" and "no decay": weights, and what should not become smaller.

    Decay gets every parameter with two and more dimensions, except biases and the weights of normalisation layers:
    shrinking those changes nothing but the scale of what comes after. Every parameter is in one group, once, with its
    name; frozen ones are left out. If all decay, or none, there is one group.

    without: what else gets no decay: Modules, classes of Modules, or names of Modules or parameters (embeddings, say,
    of which only some rows have a gradient at a step). frozen=True: frozen parameters too, so that they may be unfrozen
    later. options: hyperparameters of both groups.

    Raises ValueError for names that the model has not, and if there is nothing to train. Source: common practice; T. He
    et al., Bag of tricks for image classification with convolutional neural networks, CVPR 2019 (no bias decay).

    >>> from minidl import nn
    >>> from minidl.optim import AdamW
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    >>> rule = AdamW(groups_without_decay(model, 0.05, lr=1e-3))
    >>> [(g["name"], g["weight_decay"], g["param_names"]) for g in rule.param_groups]
    [('decay', 0.05, ['0.weight', '3.weight']), ('no decay', 0.0, ['0.bias', '1.weight', '1.bias', '3.bias'])]
    """
    where = "groups_without_decay"
    kept = _undecayed(model, without, where)
    named = _trainable(model, frozen, where)
    found: dict[str, list] = {"decay": [], "no decay": []}
    for name, p in named:
        found["no decay" if p in kept else "decay"].append((name, p))
    rates = {"decay": weight_decay, "no decay": 0.0}
    return [{"name": key, "params": ps, **options, "weight_decay": rates[key]} for key, ps in found.items() if ps]


def layerwise_rates(
    model,
    lr,
    decay: float = 0.9,
    weight_decay: float | None = None,
    layers: Iterable | None = None,
    *,
    without: Iterable = (),
    frozen: bool = False,
    **options,
) -> list[dict[str, Any]]:
    """A group for each layer whose rate is the smaller the further it is from the output: lr decay^depth, 0 the output.

    For fine-tuning: what the first layers know is general and should change little.

    lr: a number or a schedule. layers: Modules or their names from input to output, several in a list are one layer;
    without it the modules directly within the model that have parameters, and the model's own parameters before them.
    A shared parameter goes with the first of its layers. weight_decay: if given, what `groups_without_decay` would
    spare is in groups of its own, "... without decay". Frozen parameters are left out unless frozen=True, but their
    layers count. options: hyperparameters of all groups.

    Raises ValueError for layers that the model has not, and for parameters that are in none of them. Sources: J. Howard
    and S. Ruder, Universal language model fine-tuning for text classification, ACL 2018 (there decay = 1 / 2.6); K.
    Clark et al., ELECTRA, ICLR 2020 (0.9 to 0.7).

    >>> from minidl import nn
    >>> from minidl.optim import SGD
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> rule = SGD(layerwise_rates(model, lr=1.0, decay=0.5))
    >>> [(g["name"], g["lr"]) for g in rule.param_groups]
    [('0', 0.25), ('2', 0.5), ('4', 1.0)]
    """
    where = "layerwise_rates"
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 < decay <= 1:
        raise ValueError(f"{where}: decay must be a number > 0 and <= 1, got {decay!r}")
    kept, wanted = _undecayed(model, without, where), {p for _, p in _trainable(model, frozen, where)}
    groups, found = [], _layers(model, layers, wanted, where)
    for depth, (layer, named) in zip(reversed(range(len(found))), found, strict=True):
        named = [(name, p) for name, p in named if p in wanted]
        rate = {"lr": lr * decay**depth if depth else lr}
        parts = [(layer, named, {} if weight_decay is None else {"weight_decay": weight_decay})]
        if weight_decay is not None:
            parts[0] = (layer, [(name, p) for name, p in named if p not in kept], {"weight_decay": weight_decay})
            spared = [(name, p) for name, p in named if p in kept]
            parts.append((f"{layer} without decay", spared, {"weight_decay": 0.0}))
        groups += [{"name": name, "params": ps, **options, **rate, **more} for name, ps, more in parts if ps]
    return groups


# ------------------------------------------------------------------------------------------------------------ freezing
def freeze(module):
    """Let a Module, or a Tensor, learn nothing: no gradients, so that an optimizer passes it over; gives it back.

    What it has of momentum, moments and steps waits. Batch norm goes on adapting its running statistics: call eval() on
    what shall not change at all.

    >>> from minidl import nn
    >>> layer = freeze(nn.Linear(2, 2))
    >>> [p.requires_grad for p in layer.parameters()]
    [False, False]
    """
    for p in _parameters(module, "freeze"):
        p.requires_grad = False
        p.grad = None  # or the optimizer would go on with the last one
    return module


def unfreeze(module):
    """Let a frozen Module, or Tensor, learn again, with the optimizer that it had; gives it back."""
    for p in _parameters(module, "unfreeze"):
        p.requires_grad = True
    return module


class GradualUnfreezing:
    """Lets a model learn layer by layer from the output on: at first the last layer, one more with every few steps.

    For fine-tuning: the new, random output layer does not spoil what the others know. Freezes all other layers at once;
    the optimizer gets all parameters, before or after, by `frozen=True` or model.parameters(), and needs no change.

    layers: as in `layerwise_rates`. every: how many calls of `step()`, one an epoch, until the next layer. Parameters
    that are frozen already stay so. `waiting` has the names of the layers that are still frozen.

    Raises ValueError for layers that the model has not, for parameters in none of them, and without any that can learn.
    Source: J. Howard and S. Ruder, Universal language model fine-tuning for text classification, ACL 2018.

    >>> from minidl import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> gradual = GradualUnfreezing(model)
    >>> gradual.waiting, gradual.step(), gradual.waiting
    (['0', '2'], ['2'], ['0'])
    """

    def __init__(self, model, layers: Iterable | None = None, every: int = 1) -> None:
        name = type(self).__name__
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"{name}: every must be a whole number of at least 1, got {every!r}")
        able = {p for _, p in _trainable(model, False, name)}
        found = _layers(model, layers, able, name)
        trained = [(layer, [p for _, p in named if p in able]) for layer, named in found]
        self._layers = [(layer, ps) for layer, ps in trained if ps]
        self.every, self.steps = every, 0
        self._set()

    @property
    def waiting(self) -> list[str]:
        """The names of the layers that are still frozen, from input to output."""
        return [name for name, _ in self._layers[: max(0, len(self._layers) - 1 - self.steps // self.every)]]

    def step(self) -> list[str]:
        """Count an epoch; gives the names of the layers that it unfroze."""
        before = self.waiting
        self.steps += 1
        self._set()
        return before[len(self.waiting) :]

    def _set(self) -> None:
        waiting = len(self.waiting)
        for i, (_, ps) in enumerate(self._layers):
            for p in ps:
                freeze(p) if i < waiting else unfreeze(p)

    def state_dict(self) -> dict[str, Any]:
        """The number of epochs."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state: layers are frozen and unfrozen as they were."""
        if not isinstance(state, dict) or set(state) != {"steps"}:
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"GradualUnfreezing.load_state_dict: expected ['steps'], got {found}")
        self.steps = int(state["steps"])
        self._set()

    def __repr__(self) -> str:
        return f"GradualUnfreezing(every={self.every}, steps={self.steps}, waiting={self.waiting})"


# ---------------------------------------------------------------------------------------------------- models, by name
def _parameters(module, where: str) -> list[Tensor]:
    if isinstance(module, Tensor):
        return [module]
    if not callable(getattr(module, "parameters", None)):
        raise TypeError(f"{where}: expected a Module or a Tensor, got {type(module).__name__}")
    return list(module.parameters())


def _trainable(model, frozen: bool, where: str) -> list[tuple[str, Tensor]]:
    """(name, parameter) of all that require a gradient, or of all."""
    if not callable(getattr(model, "named_parameters", None)):
        raise TypeError(f"{where}: expected a Module, got {type(model).__name__}")
    found = [(name, p) for name, p in model.named_parameters() if frozen or p.requires_grad]
    if not found:
        raise ValueError(f"{where}: {type(model).__name__} has no parameter that requires a gradient")
    return found


def _member(model, name: str, where: str):
    """The Module or parameter of that name."""
    for kind in (model.get_submodule, model.get_parameter):
        try:
            return kind(name) if name else model
        except AttributeError:
            continue
    known = ", ".join([n for n, _ in model.named_children()] + [n for n, _ in model.named_parameters(recurse=False)])
    raise ValueError(f"{where}: {type(model).__name__} has no '{name}'; directly within it are {known}")


def _undecayed(model, without: Iterable, where: str) -> set[Tensor]:
    """The parameters that should not decay."""
    modules = list(model.modules()) if callable(getattr(model, "modules", None)) else []
    kept = set()
    for module in modules:
        for name, p in module.named_parameters(recurse=False):
            # normalized_shape: the one kind of normalisation whose weights may have several dimensions
            if p.array.ndim < 2 or "bias" in name or hasattr(module, "normalized_shape"):
                kept.add(p)
    for entry in [without] if isinstance(without, (str, type)) else list(without):
        if isinstance(entry, type):
            found = [m for m in modules if isinstance(m, entry)]
        else:
            found = [_member(model, entry, where) if isinstance(entry, str) else entry]
        kept |= {p for module in found for p in _parameters(module, where)}
    return kept


def _layers(model, layers: Iterable | None, wanted: set[Tensor], where: str) -> list[tuple[str, list]]:
    """(name, [(name of parameter, parameter)]) of each layer from input to output; every parameter once."""
    names = {p: name for name, p in model.named_parameters()}
    if layers is None:
        chosen = [(name, [child]) for name, child in model.named_children()]
        own = [p for _, p in model.named_parameters(recurse=False)]
        chosen = [("its own", own), *chosen] if own else chosen
    else:
        paths = {id(module): name for name, module in model.named_modules()}
        chosen = []
        for i, entry in enumerate([layers] if isinstance(layers, str) else list(layers)):
            several = list(entry) if isinstance(entry, (list, tuple)) else [entry]
            titles = [e if isinstance(e, str) else paths.get(id(e)) or names.get(e) or str(i) for e in several]
            chosen.append((", ".join(titles), [_member(model, e, where) if isinstance(e, str) else e for e in several]))
    found, seen = [], set()
    for name, members in chosen:
        own = [p for m in members for p in _parameters(m, where) if p not in seen]
        own = list(dict.fromkeys(own))
        if strange := [p for p in own if p not in names]:
            raise ValueError(f"{where}: the layer {name} has {len(strange)} parameters that are not of the model")
        seen.update(own)
        if own:
            found.append((name, [(names[p], p) for p in own]))
    left = [name for p, name in names.items() if p in wanted and p not in seen]
    if left:
        raise ValueError(f"{where}: in none of the layers: {', '.join(left)}")
    return found
