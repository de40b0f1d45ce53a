"""minidl in PyTorch's place: imports, programs, and what is said about names that are missing."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import minidl
from minidl.cli import main
from minidl.compat import names
from minidl.compat.torchvision.utils import make_grid, save_image


def python(program: str, *arguments: str, cwd=None) -> subprocess.CompletedProcess:
    """A program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments], capture_output=True, text=True, cwd=cwd
    )


INSTALLED = "import minidl, minidl.compat; minidl.compat.install()\n"


def test_torch_is_minidl_itself_and_so_is_all_below_it():
    done = python(
        INSTALLED
        + textwrap.dedent("""
        import sys
        import torch, torch.nn as nn, torch.nn.functional as F
        from torch import Tensor, optim
        from torch.optim.optimizer import Optimizer
        from torch.optim.lr_scheduler import _LRScheduler
        from torch.utils.data import DataLoader, Dataset
        from torchvision import datasets, transforms
        import torchvision.transforms as T
        assert nn is minidl.nn and F is minidl.nn.functional and torch.add is minidl.add
        assert torch.__version__ == "2.13.0+minidl." + minidl.__version__ and torch.__spec__.name == "torch"
        assert dir(torch) == dir(minidl) and not hasattr(torch, "nonsense")
        assert torch.nn.functional is F and optim is minidl.optim
        assert Optimizer is minidl.optim.Optimizer and Tensor is minidl.Tensor
        assert DataLoader is minidl.utils.data.DataLoader
        assert datasets.MNIST is minidl.data.datasets.MNIST and T.ToTensor is transforms.ToTensor
        assert minidl.nn.__spec__.name == "minidl.nn" and minidl.__spec__.name == "minidl"
        import minidl.nn.init, torch.nn.init
        assert sys.modules["torch.nn.init"] is sys.modules["minidl.nn.init"]
        from torch.nn.utils.weight_norm import WeightNorm
        import torch.nn.utils.spectral_norm
        assert callable(torch.nn.utils.weight_norm) and callable(torch.nn.utils.spectral_norm)
        minidl.compat.install()
        assert sum(type(f).__name__ == "_Finder" for f in sys.meta_path) == 1
        minidl.compat.uninstall()
        assert "torch" not in sys.modules and "torch.nn" not in sys.modules
        """)
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["torch.nonsense", "torch.nn.nonsense.deep", "torchvision.models.detection"])
def test_a_module_that_is_missing_is_an_import_error_with_both_names(name):
    done = python(INSTALLED + f"import {name}")
    assert "ModuleNotFoundError" in done.stderr and name.split(".")[0] in done.stderr and "minidl has no" in done.stderr


def test_unchanged_programs_find_pytorchs_rule_for_modules_in_a_list():
    done = python(
        """
        import minidl
        from minidl import compat, nn
        net = nn.Module()
        net.hidden, net.layer = [nn.Linear(2, 2)], nn.Linear(2, 1)
        assert len(list(net.parameters())) == 4
        compat.install()
        assert [name for name, _ in net.named_parameters()] == ["layer.weight", "layer.bias"]
        assert list(nn.Sequential(nn.Linear(1, 1)).state_dict()) == ["0.weight", "0.bias"]
        compat.uninstall()
        assert len(list(net.parameters())) == 4
        """
    )
    assert done.returncode == 0, done.stderr


def test_the_real_one_is_not_replaced_behind_its_back(tmp_path):
    (tmp_path / "torch.py").write_text("real = True")
    done = python("import sys; sys.path.insert(0, '.'); import torch\n" + INSTALLED, cwd=tmp_path)
    assert done.returncode == 1 and "has been imported already" in done.stderr and "torch.py" in done.stderr


PROGRAM = """
import sys
import torch
import torch.nn as nn
import helper

torch.manual_seed(0)
net = nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.ones(4, 2), torch.zeros(4, 1)
for _ in range(int(sys.argv[1])):
    loss = nn.functional.mse_loss(net(x), y)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
print(f"{loss.item() < 1e-3} {helper.WORD} {__name__} {sys.argv[1:]}")
if len(sys.argv) > 2:
    raise OSError("of the program")
"""


def test_the_command_runs_a_program_with_its_arguments_and_neighbours(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "helper.py").write_text("WORD = 'here'")
    command = [sys.executable, "-m", "minidl", "run", str(tmp_path / "program.py"), "60"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "True here __main__ ['60']\n", done.stderr
    done = subprocess.run([*command, "--wrong"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.endswith("['60', '--wrong']\n")
    lines = done.stderr.splitlines()
    assert "OSError: of the program" in lines[-1] and "program.py" in lines[1] and "minidl" not in done.stderr


def test_a_program_that_is_not_there_is_one_line(capsys):
    assert main(["run", "no-such-file.py"]) == 2
    assert "no-such-file.py" in capsys.readouterr().err


def test_errors_about_missing_names_say_why():
    with pytest.raises(AttributeError, match="'view_as_complex'; out of scope: complex"):
        minidl.view_as_complex  # noqa: B018
    with pytest.raises(AttributeError, match="Tensor has no 'istft'; out of scope: complex"):
        minidl.ones(2).istft  # noqa: B018
    with pytest.raises(AttributeError, match="^minidl.nn has no 'Nonsense'$"):
        minidl.nn.Nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute '__wrapped__'"):
        minidl.nn.__wrapped__  # noqa: B018
    assert not hasattr(minidl.ones(2), "nonsense") and hasattr(minidl.ones(2), "add_")
    assert minidl.data.datasets.MNIST  # loaded when it is first used


def test_every_name_of_pytorchs_is_here_or_explained():
    """So a name that is added, or one that goes, has to be entered; and nothing that exists is called missing."""
    silent, there = [], []
    for place, known in names.torch_names().items():
        here = names.place_here(place)
        for name in known:
            exists = here is not None and (hasattr(here, name) if place != "torch.Tensor" else name in dir(here))
            group = names.group_of(place, name)
            if not exists and group is None:
                silent.append(f"{place}.{name}")
    assert not silent, f"{len(silent)}: {' '.join(silent)}"
    assert not there, there


def test_every_group_names_something_that_is_missing():
    missing = []
    for place, known in names.torch_names().items():
        here = names.place_here(place)
        there = set() if here is None else set(dir(here))
        missing += [(name, f"{place}.{name}") for name in known if name not in there]
    for group in names.GROUPS:
        for pattern in map(re.compile, group.names.split()):
            found = any(pattern.fullmatch(name) or pattern.fullmatch(path) for name, path in missing)
            assert found, f"nothing that is missing is called {pattern.pattern!r}"


def test_a_sheet_of_images():
    x = minidl.arange(5 * 3 * 2 * 3).reshape(5, 3, 2, 3).float()
    sheet = make_grid(x, nrow=2, padding=1, pad_value=-1.0)
    assert sheet.shape == (3, 3 * 3 + 1, 2 * 4 + 1)
    assert np.array_equal(sheet[:, 4:6, 5:8].numpy(), x[3].numpy())  # second row, second column
    assert (sheet[:, 0] == -1).all() and (sheet[:, 7:, 5:] == -1).all()  # the border, and the place that is empty
    assert make_grid(x[:1, :1]).shape == (3, 2, 3)  # one image has no border; grey becomes three channels
    assert make_grid(x[0, 0]).shape == (3, 2, 3) and make_grid([x[0], x[1]]).shape == (3, 6, 12)
    scaled = make_grid(x, normalize=True, padding=0)
    assert scaled.min() == 0 and scaled.max() == 1
    each = make_grid(x, normalize=True, scale_each=True, padding=0)
    assert each[:, :, :3].max() == 1 and each[:, :, :3].min() == 0
    clipped = make_grid(x, normalize=True, value_range=(0, 10), padding=0)
    assert clipped[0, 0, 1].item() == pytest.approx(0.1)
    for wrong, error in ((3, TypeError), ([], TypeError), (x[None], ValueError)):
        with pytest.raises(error, match="make_grid"):
            make_grid(wrong)


def test_a_sheet_becomes_a_picture(tmp_path):
    from PIL import Image

    x = minidl.rand(3, 1, 4, 4)
    save_image(x, tmp_path / "a.png", nrow=3, padding=0)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (12, 4)
        pixels = np.asarray(picture)
    assert np.array_equal(pixels[:, 4:8, 1], np.clip(x[1, 0].numpy() * 255 + 0.5, 0, 255).astype(np.uint8))
    with pytest.raises(ValueError, match="suffix"):
        save_image(x, tmp_path / "a.nonsense")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_event_files_for_tensorboard(tmp_path):
    tensorboard = pytest.importorskip("tensorboardX")
    from minidl.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "log")) as writer:
        for step in range(3):
            writer.add_scalar("loss", minidl.tensor(1.0 / (step + 1), requires_grad=True), step)
        writer.add_scalars("both", {"a": minidl.tensor(1.0), "b": 2.0}, 0)
        writer.add_histogram("weights", minidl.rand(10), 0)
        writer.add_image("image", minidl.rand(3, 4, 4), 0)
        with pytest.raises(AttributeError, match="add_graph"):
            writer.add_graph(None)
    assert writer.log_dir == str(tmp_path / "log")
    (file,) = (tmp_path / "log").glob("events*")
    raw, values, at = file.read_bytes(), [], 0
    while at < len(raw):  # each record: its length in 8 bytes, 4 of a checksum, the record, 4 of a checksum
        size = int.from_bytes(raw[at : at + 8], "little")
        event = tensorboard.proto.event_pb2.Event.FromString(raw[at + 12 : at + 12 + size])
        values += [(v.tag, event.step, v.simple_value) for v in event.summary.value if v.tag == "loss"]
        at += size + 16
    assert values == [("loss", 0, 1.0), ("loss", 1, 0.5), ("loss", 2, pytest.approx(1 / 3))]


def test_without_tensorboardx_the_error_says_what_to_install():
    done = python("""
        import sys
        sys.modules["tensorboardX"] = None
        from minidl.utils.tensorboard import SummaryWriter
        SummaryWriter()
    """)
    assert 'pip install "minidl[tensorboard]"' in done.stderr.splitlines()[-1]


def test_nested_containers_taken_apart_and_put_together():
    from collections import OrderedDict, defaultdict, deque, namedtuple

    from minidl.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_map_only, tree_unflatten

    Point = namedtuple("Point", "x y")
    tree = {
        "a": [1, (2,), Point(3, 4)],
        "b": OrderedDict(c=5),
        "d": deque([6], maxlen=2),
        "e": defaultdict(list, f=7),
        "g": {},
    }
    leaves, spec = tree_flatten(tree)
    assert leaves == [1, 2, 3, 4, 5, 6, 7] and spec.num_leaves == 7
    again = tree_unflatten(leaves, spec)
    assert again == tree and type(again["a"][2]) is Point and again["d"].maxlen == 2 and again["e"]["new"] == []
    assert tree_map(lambda x: -x, [1, Point(2, 3)]) == [-1, Point(-2, -3)]
    assert tree_map(len, [[1, 2], "abc"], is_leaf=lambda x: x == [1, 2]) == [2, 3]
    assert tree_map_only(int, lambda x: x + 1, [1, "a", (2.0,)]) == [2, "a", (2.0,)]
    assert tree_leaves(None) == [None]  # also here a leaf
    with pytest.raises(ValueError, match="6 leaves for a tree of 7"):
        tree_unflatten(leaves[:-1], spec)
    with pytest.raises(ValueError):
        tree_map(max, [1, 2], [1])


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one():
    for place, name, right in (
        (minidl.nn, "Conv2D", "Conv2d"),
        (minidl.nn, "CrossEntropyloss", "CrossEntropyLoss"),
        (minidl.nn.functional, "cross_entropi", "cross_entropy"),
        (minidl.optim.lr_scheduler, "StepLr", "StepLR"),
        (minidl, "squeez", "squeeze"),
        (minidl.ones(2), "reshap", "reshape"),
    ):
        with pytest.raises(AttributeError, match=f"has no '{name}'; did you mean '{right}'[?]$") as error:
            getattr(place, name)
        assert error.value.obj is None  # else Python would add its own guess
    for name in ("no_such_thing_at_all", "_hidden"):
        with pytest.raises(AttributeError, match=f"has no '{name}'$"):
            getattr(minidl.nn, name)
    with pytest.raises(AttributeError, match="out of scope"):  # a name of PyTorch's, about which more is known
        minidl.fft  # noqa: B018
