"""The command line: what it prints, leaves, refuses, and how it ends. Most of it in processes of their own."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_train import same_result

from minidl import cli, serialization

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["--model", "mlp", "--epochs", "1", "--batch-size", "256"]
posix = pytest.mark.skipif(os.name != "posix", reason="terminals, limits and signals as POSIX has them")
STOPPED = {"config.json", "log.csv", "checkpoint.safetensors", "checkpoint.json", "curves.png"}
FILES = STOPPED | {"confusion.png", "confusion.csv"}


def environment(**others: str) -> dict[str, str]:
    """The environment of a child: this checkout on the path, no network, no settings of the machine's user."""
    proxy = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MINIDL_")}
    return {**kept, **proxy, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **others}


def minidl(*args, cwd, code: int | None = 0, program: str | None = None, **kwargs) -> subprocess.CompletedProcess:
    """`minidl ARGS` to its end, with its exit code checked."""
    start = ["-m", "minidl"] if program is None else ["-c", program]
    kwargs.setdefault("env", environment())
    done = subprocess.run(
        [sys.executable, *start, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120, **kwargs
    )
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def only_line(done) -> str:
    """The error: one line on stderr."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("minidl: error: "), done.stderr
    return lines[0].removeprefix("minidl: error: ")


def log_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def refused(args, capsys) -> str:
    """The error of a command that is run in this process and exits with code 2."""
    try:
        code = cli.main(args)
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    assert code == 2 and captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("minidl: error: "), captured.err
    return lines[0].removeprefix("minidl: error: ")


# ------------------------------------------------------------------------------------------------------------ help
def test_plain_minidl_shows_help(tmp_path):
    done = minidl(cwd=tmp_path)
    assert "usage: minidl" in done.stdout and done.stderr == ""
    commands = ["train", "predict", "summary", "datasets", "schedule", "race", "export", "run"]
    assert re.findall(r"^    (\w+)  ", done.stdout, re.MULTILINE) == commands


def test_help_of_train_shows_every_option_its_default_and_examples(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    options = "dataset model augment optimizer lr momentum weight-decay schedule warmup minutes replay epochs".split()
    options += ["batch-size", "seed", "cycle-momentum", "set"]
    options += "device threads out data-dir quiet".split()
    assert all(f"--{name}" in text for name in options)
    assert set(re.findall(r"^  (?:-h, )?--([a-z-]+)", text, re.MULTILINE)) == {*options, "help"}
    plain = "quiet augment cycle-momentum set minutes replay".split()  # these have no default
    assert " ".join(text.split()).count("(default: ") == len(options) - len(plain)
    assert text.count("\n  minidl train") == 4
    assert max(map(len, text.splitlines())) <= 110


def test_version(capsys):
    import minidl as package

    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"minidl {package.__version__}\n"


# ------------------------------------------------------------------------------------------------------------- runs
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, minidl("train", *QUICK, cwd=folder)


def test_a_run_prints_what_it_does_line_by_line(finished):
    _, done = finished
    lines = done.stdout.splitlines()
    assert lines[0] == "data       digits: 1,437 training and 360 test images of 8x8 pixels"
    epoch, _, classes, mistaken, files, _ = lines[-7:-1]
    assert re.fullmatch(r"  1/1 +\d\.\d{4} +\d\d\.\d\d% +\d\.\d{4} +\d\d\.\d\d% +[\d.e-]+ +[\d,]+", epoch)
    assert re.fullmatch(r"by class   0 \d+\.\d%(  \d \d+\.\d%){9}", classes)
    assert re.fullmatch(r"mistaken   \d for \d \(\d+\)(, \d for \d \(\d+\)){2}", mistaken)
    assert files == "files      " + ", ".join(sorted(FILES))
    pattern = r"test accuracy \d\d\.\d\d% after 1 epoch in \d+\.\d s; the run is in runs/digits-mlp-1"
    assert re.fullmatch(pattern, lines[-1]), lines[-1]
    assert done.stderr == ""  # no progress bar where nobody looks at a terminal


def test_a_run_leaves_its_folder(finished):
    folder = finished[0] / "runs" / "digits-mlp-1"
    assert {p.name for p in folder.iterdir()} == FILES
    (row,) = log_of(folder)
    assert list(row) == "epoch train_loss train_accuracy test_loss test_accuracy lr images_per_second seconds".split()
    assert 0 < float(row["test_accuracy"]) < 1 and float(row["seconds"]) > 0
    config = json.loads((folder / "config.json").read_text())
    arguments = config["arguments"]
    assert arguments["model"] == "mlp" and arguments["batch_size"] == 256 and arguments["seed"] == 0
    assert arguments["lr"] > 0 and arguments["weight_decay"] == 0.0 and arguments["device"] == "cpu"
    assert config["machine"]["blas"][0]["num_threads"] == arguments["threads"]
    assert set(config["versions"]) == {"minidl", "python", "numpy"}
    state = serialization.load(folder / "checkpoint.safetensors")
    assert state["model"]["fc1.weight"].shape == (256, 64) and state["position"]["epoch"] == 1
    assert f"{state['position']['best_accuracy']:.8g}" == row["test_accuracy"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(finished):
    folder = finished[0]
    minidl("train", *QUICK, "--quiet", cwd=folder)
    minidl("train", *QUICK, "--seed", 1, "--out", "other", cwd=folder)
    first, second, other = folder / "runs" / "digits-mlp-1", folder / "runs" / "digits-mlp-2", folder / "other"
    for name in ("checkpoint.safetensors", "checkpoint.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()
    timed = ("images_per_second", "seconds")
    rows = [[{k: v for k, v in row.items() if k not in timed} for row in log_of(f)] for f in (first, second)]
    assert rows[0] == rows[1]


def test_the_same_seed_gives_the_same_bytes_with_convolution_batch_norm_and_dropout(tmp_path):
    for out in "ab":
        minidl("train", "--epochs", 1, "--out", out, "--quiet", cwd=tmp_path)
    a, b = ((tmp_path / out / "checkpoint.safetensors").read_bytes() for out in "ab")
    assert a == b


def test_the_same_seed_gives_the_same_bytes_with_augmentation_and_another_seed_others(tmp_path):
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        minidl("train", *QUICK, "--augment", "--out", out, "--seed", seed, "--quiet", cwd=tmp_path)
    a, b, c = ((tmp_path / out / "checkpoint.safetensors").read_bytes() for out in "abc")
    assert a == b != c
    for name in ("confusion.csv", "confusion.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    minidl("train", *QUICK, "--out", "plain", "--quiet", cwd=tmp_path)
    assert (tmp_path / "plain" / "checkpoint.safetensors").read_bytes() != a


@pytest.mark.parametrize("model", ["resnet8", "lstm"])
def test_the_larger_models_run(tmp_path, model):
    minidl("train", "--model", model, "--epochs", 1, "--batch-size", 128, "--out", "run", cwd=tmp_path)
    optimizer = json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["optimizer"]
    assert optimizer == {"resnet8": "sgd", "lstm": "adam"}[model]


def test_quiet_prints_the_last_line_only(tmp_path):
    done = minidl("train", *QUICK, "--quiet", "--out", "run", cwd=tmp_path)
    assert re.fullmatch(r"test accuracy .* the run is in run\n", done.stdout) and done.stderr == ""


@posix
def test_a_terminal_gets_a_progress_bar(tmp_path):
    import termios

    parent, child = os.openpty()
    termios.tcsetwinsize(child, (24, 120))
    args = [sys.executable, "-m", "minidl", "train", "--epochs", "2", "--out", "run"]
    process = subprocess.Popen(args, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=child)
    os.close(child)
    text = b""
    try:
        while chunk := os.read(parent, 4096):
            text += chunk
    except OSError:  # how Linux says that the other side was closed
        pass
    os.close(parent)
    out = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0 and "test accuracy" in out
    assert not any("images/s" in line for line in out.splitlines()[7:])
    bar = text.decode()
    values = r"loss \d\.\d+ +accuracy [\d.]+% +lr [\d.e-]+ +[\d,]+ images/s"
    assert re.search(rf"epoch 1/2 +\d+% \|.*\| +\d\d:\d\d<\d\d:\d\d, {values}", bar), repr(bar)


@posix
def test_a_pipe_that_closes_early_ends_the_run_quietly(tmp_path):
    args = [sys.executable, "-m", "minidl", "train", "--model", "mlp", "--epochs", "400", "--out", "run"]
    process = subprocess.Popen(args, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not process.stdout.readline().startswith(b"  1/400"):
        assert process.poll() is None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
    epoch = serialization.load(tmp_path / "run" / "checkpoint.safetensors")["position"]["epoch"]
    assert 1 < epoch == len(log_of(tmp_path / "run")) < 400


@posix
def test_output_to_a_full_disk_is_one_line(tmp_path):
    command = [sys.executable, "-m", "minidl", "train", *QUICK, "--out", "run"]
    pipes = dict(stderr=subprocess.PIPE, text=True, timeout=60)
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, env=environment(), stdout=full, **pipes)
    assert done.returncode == 2 and only_line(done) == "No space left on device"


def test_main_in_a_thread(tmp_path, capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["train", *QUICK, "--out", str(tmp_path / "run")])))
    thread.start()
    thread.join()
    assert codes == [0] and "test accuracy" in capsys.readouterr().out


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_streams_were_closed_from_the_start(tmp_path, closed):
    command = [sys.executable, "-m", "minidl", "train", *QUICK, "--out", "run"]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], cwd=tmp_path, env=environment(), timeout=120)
    assert done.returncode == 0 and len(log_of(tmp_path / "run")) == 1
    assert {p.name for p in (tmp_path / "run").iterdir()} == FILES


@posix
def test_help_into_a_closed_pipe_is_quiet(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "minidl", "train", "--help"], cwd=tmp_path, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 141)
    assert process.stderr.read() == b""
    process.stderr.close()


def test_output_in_plain_ascii(tmp_path):
    done = minidl("train", *QUICK, "--out", "run", cwd=tmp_path, env=environment(PYTHONIOENCODING="ascii"))
    assert "test accuracy" in done.stdout


# -------------------------------------------------------------------------------------------------------- bad input
BAD = (
    (["--novelty"], "unrecognized arguments: --novelty"),
    (["--dataset", "nmist"], "--dataset: invalid choice: 'nmist'"),
    (["--model", "vgg"], "--model: invalid choice: 'vgg'"),
    (["--optimizer", "lyon"], "--optimizer: invalid choice"),
    (["--device", "tpu"], "--device: expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'"),
    (["--device", "cpu:3"], "there is one CPU"),
    (["--lr", "-1"], "--lr: expected a number above 0, got -1"),
    (["--lr", "0"], "--lr: expected a number above 0, got 0"),
    (["--lr", "nan"], "--lr: expected a number above 0, got nan"),
    (["--lr", "fast"], "--lr: invalid float value: 'fast'"),
    (["--weight-decay", "-0.1"], "--weight-decay: expected a number of at least 0, got -0.1"),
    (["--momentum", "0.9"], "--momentum: the optimizer adam has none; these have one: sgd"),
    (["--set", "gamma"], "--set: expected OPTION=VALUE such as gamma=0.5, got 'gamma'"),
    (["--schedule", "step", "--set", "gama=1"], "schedule 'step' has no option 'gama'"),
    (["--schedule", "step", "--set", "gamma=x"], "--set: gamma must be a number, got 'x'"),
    (["--schedule", "step", "--set", "gamma=-1"], "step: gamma must be a finite number >= 0, got -1"),
    (["--replay", "x", "--set", "gamma=1"], "--replay: takes schedule_options from the run; leave --set out"),
    (["--replay", "x", "--cycle-momentum"], "--replay: takes cycle_momentum from the run; leave --cycle-momentum out"),
    (["--epochs", "0"], "--epochs: expected a whole number of at least 1, got 0"),
    (["--epochs", "1.5"], "--epochs: invalid int value: '1.5'"),
    (["--batch-size", "0"], "--batch-size: expected a whole number of at least 1, got 0"),
    (["--threads", "0"], "--threads: expected a whole number of at least 1, got 0"),
    (["--seed", "-3"], "--seed: expected a whole number of at least 0, got -3"),
    (["--seed", str(2**64)], "--seed: expected a whole number below 2^64, got 18446744073709551616"),
    (["--batch-size", str(10**20)], "--batch-size: expected a whole number below 2^31, got 1000"),
    (["--epochs", str(2**31)], "--epochs: expected a whole number below 2^31, got 2147483648"),
    (["--threads", str(2**31)], "--threads: expected a whole number below 2^31, got 2147483648"),
    (["--out", ""], "--out: expected the name of a folder, got ''"),
    (["--data-dir", ""], "--data-dir: expected the name of a folder, got ''"),
    (["--ep", "3"], "unrecognized arguments: --ep"),
    (["--out"], "--out: expected one argument"),
)


@pytest.mark.parametrize(("args", "message"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_is_one_line_and_exit_code_2(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(["train", *args], capsys)
    assert not list(tmp_path.iterdir())  # nothing was made


def test_a_default_device_that_does_not_exist(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDL_DEVICE", "tpu")
    assert "--device: expected 'cpu', 'cuda' or 'cuda:N', got 'tpu'" in refused(["train"], capsys)
    assert not list(tmp_path.iterdir())


def test_an_unknown_command(capsys):
    assert "invalid choice: 'trian'" in refused(["trian"], capsys)


def test_cuda_without_cupy_says_what_to_install(tmp_path):
    program = "import sys; sys.modules['cupy'] = None; from minidl.cli import main; sys.exit(main())"
    message = only_line(minidl("train", "--device", "cuda", cwd=tmp_path, code=2, program=program))
    assert "CuPy is not installed" in message and "minidl[cuda13]" in message
    assert not list(tmp_path.iterdir())


def test_train_on_the_device(tmp_path, monkeypatch, capsys):
    """The whole command; what it leaves is what it leaves on the CPU, up to rounding."""
    monkeypatch.chdir(tmp_path)
    for where in ("cpu", "cuda"):
        assert cli.main(["train", *QUICK, "--device", where, "--out", where]) == 0
    said = capsys.readouterr().out
    assert "device     cuda; seed 0" in said and said.count("test accuracy") == 2
    assert {p.name for p in (tmp_path / "cuda").iterdir()} == FILES
    mine, theirs = (json.loads((tmp_path / where / "config.json").read_text()) for where in ("cuda", "cpu"))
    assert mine["arguments"]["device"] == "cuda" and mine["data"] == theirs["data"]
    (device,), (host,) = log_of(tmp_path / "cuda"), log_of(tmp_path / "cpu")
    for name in ("train_loss", "test_loss"):
        assert float(device[name]) == pytest.approx(float(host[name]), rel=1e-3)
    assert "device 'cuda:7'" in refused(["train", "--device", "cuda:7", "--out", "none"], capsys)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("precious")
    message = refused(["train", "--out", str(tmp_path)], capsys)
    assert message == f"--out: {tmp_path} exists and is not empty; choose another folder"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"] and (tmp_path / "mine").read_text() == "precious"


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "file" in refused(["train", "--out", str(tmp_path / "file" / "run")], capsys)
    assert "exists and is no folder" in refused(["train", "--out", str(tmp_path / "file")], capsys)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    def locked(self, *args, **kwargs):  # a read-only folder does not stop the super-user, so it is pretended
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", locked)
    assert refused(["train", "--out", str(tmp_path / "run")], capsys) == f"{tmp_path / 'run'}: Permission denied"


def mnist(folder: Path, broken: str | None = None) -> Path:
    """A pretended MNIST of 200 and 50 images in IDX form; `broken` is cut off in the middle."""
    (folder / "mnist").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, n in (("train", 200), ("t10k", 50)):
        labels = rng.integers(0, 10, n, dtype=np.uint8)
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images[np.arange(n), labels] = 255  # a white row says which class it is
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            raw = head + array.tobytes()
            file = f"{name}-{kind}-ubyte"
            (folder / "mnist" / file).write_bytes(raw[: len(raw) // 2] if file == broken else raw)
    return folder


def test_mnist_from_a_folder_of_ones_own_with_a_warning_for_each_file(tmp_path):
    mnist(tmp_path / "data")
    args = ["--dataset", "mnist", "--model", "lenet5", "--epochs", 1, "--data-dir", "data", "--out", "run"]
    done = minidl("train", *args, cwd=tmp_path, env=environment(PYTHONWARNINGS="default"))
    warnings = done.stderr.splitlines()
    assert len(warnings) == 4 and all(w.startswith("minidl: warning: MNIST: data/mnist/") for w in warnings)
    assert "200 training and 50 test images of 28x28" in done.stdout
    assert json.loads((tmp_path / "run" / "config.json").read_text())["arguments"]["data_dir"] == "data"


@pytest.mark.parametrize("broken", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_truncated_file_is_named(tmp_path, broken):
    mnist(tmp_path / "data", broken)
    env = environment(MINIDL_DATA=str(tmp_path / "data"), PYTHONWARNINGS="ignore")
    message = only_line(minidl("train", "--dataset", "mnist", "--out", "run", cwd=tmp_path, code=2, env=env))
    assert f"{broken} is truncated" in message and not (tmp_path / "run").exists()


def test_missing_data_say_where_they_were_looked_for_and_how_to_get_them(tmp_path):
    env = environment(MINIDL_DATA=str(tmp_path / "data"))
    message = only_line(minidl("train", "--dataset", "mnist", cwd=tmp_path, code=2, env=env))
    assert "train-images-idx3-ubyte" in message and str(tmp_path / "data" / "mnist") in message
    assert "could not be downloaded" in message and "by hand" in message
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_finite_is_exit_code_1(tmp_path):
    args = ["--model", "mlp", "--optimizer", "sgd", "--lr", "1e20", "--schedule", "constant", "--out", "run"]
    message = only_line(minidl("train", *args, cwd=tmp_path, code=1))
    assert re.search(
        r"the loss is not finite in epoch 1, .*a lower learning rate may help; no epoch was finished$", message
    )
    assert log_of(tmp_path / "run") == [] and (tmp_path / "run" / "curves.png").exists()


def test_a_run_of_some_minutes_can_be_repeated(tmp_path):
    done = minidl("train", "--model", "mlp", "--minutes", "0.01", "--seed", "4", "--out", "run", cwd=tmp_path)
    assert ", 0.01 minutes" in done.stdout and (tmp_path / "run" / "fractions.csv").exists()
    again = minidl("train", "--replay", "run", "--out", "again", cwd=tmp_path)
    assert ", the steps of run" in again.stdout and "seed 4" in again.stdout
    same_result(tmp_path / "run", tmp_path / "again")
    message = only_line(minidl("train", "--replay", "run", "--seed", "1", cwd=tmp_path, code=2))
    assert message == "--replay: takes seed from the run; leave --seed out"
    message = only_line(minidl("train", "--replay", "again", cwd=tmp_path, code=2))
    assert message == "again: no run under a time budget, there is no fractions.csv in it"
    message = only_line(minidl("train", "--replay", "nowhere", cwd=tmp_path, code=2))
    assert message == "nowhere: is no folder of a run, there is no config.json in it"
    message = only_line(minidl("train", "--minutes", "1", "--epochs", "2", cwd=tmp_path, code=2))
    assert message == "--epochs: cannot be given together with minutes, which decides how long the run is"


@posix
def test_a_full_disk_is_one_line_and_harms_nothing(tmp_path):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    args = ["--model", "mlp", "--epochs", "3", "--out", "run", "--quiet"]
    message = only_line(minidl("train", *args, cwd=tmp_path, code=2, preexec_fn=limit))
    assert message == "run/checkpoint.safetensors: File too large"
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"config.json", "log.csv"} <= names <= FILES - {"checkpoint.safetensors", "checkpoint.json"}


# ---------------------------------------------------------------------------------------------------------- signals
class Running:
    """A run in the background, with its log watched; use with `with`."""

    def __init__(self, folder: Path, *args: str, program: str | None = None) -> None:
        self.folder = folder / "run"
        start = ["-m", "minidl"] if program is None else ["-c", program]
        command = [sys.executable, *start, "train", "--model", "mlp", "--epochs", "5000", "--out", "run", *args]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, cwd=folder, env=environment(), **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for_epochs(self, n: int) -> None:
        deadline = time.monotonic() + 60
        while not (self.folder / "log.csv").exists() or len(log_of(self.folder)) < n:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "the run did not get far enough"
            time.sleep(0.02)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_after_the_step_with_everything_written(tmp_path, number, code):
    with Running(tmp_path) as run:
        run.wait_for_epochs(2)
        run.process.send_signal(number)
        returncode, out, err = run.end()
    assert returncode == code
    assert "stopping after this step" in err and "Traceback" not in err
    rows = log_of(run.folder)
    last = out.splitlines()[-1]
    assert last == f"stopped: {len(rows)} of 5000 epochs were finished; the checkpoint of the last step is in run"
    assert {p.name for p in run.folder.iterdir()} == STOPPED
    position = serialization.load(run.folder / "checkpoint.safetensors")["position"]
    assert position["step_in_epoch"] >= 1  # the last step, not the last epoch
    assert position["epoch"] == len(rows) and position["step"] == 45 * len(rows) + position["step_in_epoch"]
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@posix
def test_a_second_ctrl_c_quits_at_once_with_the_files_intact(tmp_path):
    program = (  # writing the last checkpoint takes for ever
        "import sys, time; from minidl import cli; from minidl.train import run\n"
        "save = run.save_checkpoint\n"
        "def slow(folder, model, optimizer, data, position):\n"
        "    if position.step_in_epoch:\n"
        "        print('saving', file=sys.stderr, flush=True); time.sleep(100)\n"
        "    save(folder, model, optimizer, data, position)\n"
        "run.save_checkpoint = slow\n"
        "sys.exit(cli.main())"
    )
    with Running(tmp_path, program=program) as run:
        run.wait_for_epochs(1)
        run.process.send_signal(signal.SIGINT)
        while "saving" not in run.process.stderr.readline():
            assert run.process.poll() is None
        start = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        returncode, out, err = run.end()
    assert returncode == 130 and "stopped at once" in err and "Traceback" not in err
    assert time.monotonic() - start < 20
    rows = log_of(run.folder)
    position = serialization.load(run.folder / "checkpoint.safetensors")["position"]
    assert position["epoch"] == len(rows) and position["step_in_epoch"] == 0
    assert not list(run.folder.glob(".*"))


@posix
def test_a_kill_leaves_a_whole_checkpoint_of_an_epoch_that_is_at_most_one_ahead_of_the_log(tmp_path):
    with Running(tmp_path) as run:
        run.wait_for_epochs(3)
        run.process.kill()
        run.process.communicate()
    position = serialization.load(run.folder / "checkpoint.safetensors")["position"]
    assert 0 <= position["epoch"] - len(log_of(run.folder)) <= 1
