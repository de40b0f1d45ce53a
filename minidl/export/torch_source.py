"""A model as readable PyTorch source: its classes, or the layers of its Sequential, and how a run trained it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from .. import nn, optim
from ..nn import Module
from ..optim import Optimizer
from ..optim.schedules import Schedule
from .source import Source, SourceError

# rules that are the same in PyTorch, with the hyperparameters that both know
_SHARED = {"SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"}
_LOCAL = frozenset(("params", "foreach", "capturable", "differentiable", "fused"))


def _is_ours(module: Module) -> bool:
    return type(module).__module__.startswith(nn.__name__ + ".")


def expression(module: Module, source: Source) -> str:
    """The call that makes a layer of nn, from its repr; SourceError where that does not make the same layer."""
    name = type(module).__name__
    children = list(module.named_children())
    if isinstance(module, nn.Sequential) and _is_ours(module):
        parts = [expression(child, source) for _, child in children]
        if [key for key, _ in children] == [str(i) for i in range(len(children))]:
            inner = ",\n".join(parts)
        else:
            source.imports.add("from collections import OrderedDict")
            inner = "OrderedDict([\n" + ",\n".join(f'    ("{k}", {p})' for (k, _), p in zip(children, parts)) + "\n])"  # noqa: B905
        return f"nn.Sequential(\n{textwrap.indent(inner, '    ')},\n)" if parts else "nn.Sequential()"
    if not _is_ours(module):
        raise SourceError(f"{name}: say with which arguments it is made: to_torch(model, build='{name}(...)')")
    text = repr(module)
    try:
        again = eval(text, {**{n: getattr(nn, n) for n in dir(nn)}})  # of our own layer's own repr
        same = repr(again) == text and _shapes(again) == _shapes(module)
    except (TypeError, ValueError, NameError, SyntaxError, NotImplementedError, AttributeError):
        same = False
    if not same:
        raise SourceError(f"{name}: its repr {text:.80} does not make it again; say how: to_torch(model, build=...)")
    return f"nn.{text}"


def _shapes(module: Module) -> dict[str, tuple]:
    return {key: tuple(t.shape) for key, t in module.state_dict().items()}


def factor(schedule: Schedule, source: Source, step: str = "step") -> str:
    """A schedule as an expression of the step."""
    arguments = []
    for x in schedule._arguments:
        arguments.append(_argument(x, source))
    clipped = step if schedule.steps is None else f"min({step}, {schedule.steps})"
    return f"{source.add(schedule._formula)}({', '.join([clipped, *arguments])})"


def _argument(x: Any, source: Source) -> str:
    if isinstance(x, Schedule):
        return f"lambda t: {factor(x, source, 't')}"
    if isinstance(x, tuple):
        parts = [_argument(v, source) for v in x]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    return source.add(x) if callable(x) else repr(x)


def optimizer_call(optimizer: Optimizer, lr: float) -> str:
    """The call that makes the same rule in PyTorch; SourceError where there is none."""
    name = type(optimizer).__name__
    if name not in _SHARED or getattr(optim, name, None) is not type(optimizer):
        raise SourceError(f"PyTorch has no optimizer {name}")
    group, known = optimizer.param_groups[0], inspect.signature(type(optimizer)).parameters
    options = {"lr": lr}
    for key, p in known.items():
        if key not in _LOCAL and key != "lr" and key in group and group[key] != p.default:
            options[key] = group[key]
    return f"torch.optim.{name}(model.parameters(), {', '.join(f'{k}={v!r}' for k, v in options.items())})"


_PREPARE = '''
def prepare(images):
    """Pixels 0 to 255, (N, {height}, {width}{last}), as the model wants them: (N, {channels}, {height}, {width})."""
    x = torch.as_tensor(images).reshape(-1, {height}, {width}, {channels}).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).reshape(-1, 1, 1)) / torch.tensor(STD).reshape(-1, 1, 1)


def predict(model, images):
    """The probability of every class for each image."""
    model.eval()
    with torch.no_grad():
        return torch.softmax(model(prepare(images)), dim=1)
'''
_MAKE = '''
def make_model():
    """The model with the weights in {weights}."""
    model = {build}
    model.load_state_dict(load_file(Path(__file__).with_name("{weights}")))
    return model
'''
_TRAIN = '''
def make_optimizer(model):
    """The optimizer of the run."""
    return {optimizer}


def factor(step):
    """What the rate of the optimizer is multiplied with in a step, counted from 0."""
    return {factor}


def train(model, batches):
    """Train on batches (prepared images, class numbers) and yield the loss of each."""
    loss, optimizer = nn.CrossEntropyLoss(), make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.train()
    for x, target in batches:
        optimizer.zero_grad()
        value = loss(model(x), target)
        value.backward()
        optimizer.step()
        scheduler.step()
        yield value.item()
'''


def to_torch(
    model: Module,
    weights: str = "model.safetensors",
    *,
    build: str | None = None,
    title: str = "",
    shape: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    optimizer: Optimizer | None = None,
    lr: float | None = None,
    schedule: Schedule | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> str:
    """The source of a PyTorch program with the model, for weights that `save(model.state_dict())` wrote beside it.

    build: the call that makes the model, such as 'Net(10)', where it is a class of one's own; its source is copied
    with all that it uses from its module. classes, shape (C, H, W), mean, std: for a classifier of images; then the
    program also has `prepare` and `predict`. optimizer, lr, schedule: for a training loop; where PyTorch has no such
    optimizer the loop is left out, and `note` is told.

    Raises:
        SourceError: a class is not in a file, or uses names that are not at the top of its module.
    """
    source = Source()
    for module in model.modules():
        if not _is_ours(module):
            source.add(type(module))
    made = build or expression(model, source)
    training = ""
    if optimizer is not None:
        try:
            call = optimizer_call(optimizer, optimizer.param_groups[0]["lr"] if lr is None else lr)
            formula = "1.0" if schedule is None else factor(schedule, source)
            training = _TRAIN.format(optimizer=call, factor=formula)
        except SourceError as error:
            note(f"{error}; the program has the model, but no training loop")
    imports = ["from pathlib import Path", "import torch", "from torch import nn"]
    head = source.text(*imports, "from safetensors.torch import load_file")
    parts = [
        f'"""{title or type(model).__name__} in PyTorch, written by minidl; its weights are in {weights}."""\n',
        head,
    ]
    if classes is not None:
        assert shape is not None, "a classifier of images knows their shape"
        listed = textwrap.fill(", ".join(map(repr, classes)), 110, initial_indent="    ", subsequent_indent="    ")
        parts.append(f"\nCLASSES = [\n{listed},\n]\nMEAN, STD = {list(mean)!r}, {list(std)!r}\n")
    parts.append(_MAKE.format(weights=weights, build=made.replace("\n", "\n    ")))
    if classes is not None and shape is not None:
        channels, height, width = shape
        last = "" if channels == 1 else f", {channels}"
        parts.append(_PREPARE.format(channels=channels, height=height, width=width, last=last))
    parts.append(training)
    parts.append('\nif __name__ == "__main__":\n    print(make_model().eval())\n')
    return "\n".join(p for p in parts if p)
