"""Digits and MNIST: what is in them, how damaged files are refused, and how files are found and downloaded."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

import minidl
from minidl.data import DataLoader, datasets
from minidl.data.datasets import MNIST, DatasetError, Digits
from minidl.data.datasets.mnist import read_idx
from minidl.data.datasets.source import DataFile, data_home
from minidl.data.transforms import Compose, Normalize, ToTensor

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    """An array as an IDX file."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def small_files():
    """The four files of a made-up MNIST with 30 training and 10 test images."""
    g = minidl.Generator(11)
    arrays = []
    for n in (30, 10):
        arrays += [g.integers(0, 256, (n, 28, 28)), np.arange(n) % 10]
    return dict(zip(NAMES, map(idx, arrays), strict=True))


FILES = small_files()


class Small(MNIST):
    """MNIST's class with the made-up files as the published ones."""

    files = {
        (name.startswith("train"), "images" if "images" in name else "labels"): DataFile(
            name, len(data), hashlib.md5(data).hexdigest(), (name.replace("-idx", ".idx"),)
        )
        for name, data in FILES.items()
    }


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty $MINIDL_DATA."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MINIDL_DATA", str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


def lay(folder, files=FILES, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return folder


# ---------------------------------------------------------------------------------------------------------- digits
def test_digits_are_the_real_ones():
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    assert train.data.shape == (1437, 8, 8) and train.data.dtype == minidl.uint8
    assert train.targets.dtype == minidl.int64 and train.classes == list("0123456789")
    assert np.bincount(test.targets.numpy()).tolist() == [36] * 10  # the split is stratified
    counts = np.bincount(train.targets.numpy()) + 36
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    ink = np.concatenate([train.data.numpy(), test.data.numpy()]).astype(np.int64)
    grey = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert np.unique(ink).tolist() == grey  # round(255 v / 16) for v = 0 ... 16
    ink = np.round(ink * 16 / 255).astype(np.int64)
    assert ink.sum() == 561718 and set(np.unique(ink)) == set(range(17))  # the sum over scikit-learn's copy
    assert Digits().data.array.tobytes() == train.data.array.tobytes()  # the split never changes
    first = np.round(test.data.numpy()[0].astype(float) * 16 / 255).astype(int)
    assert test[0][1] == 0 and first[0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]  # the first image of the published order
    assert repr(test).splitlines() == ["Dataset Digits", "    Number of datapoints: 360", "    Split: Test"]


def test_digits_in_a_loader():
    transform = Compose([ToTensor(), Normalize((0.5,), (0.5,))])
    loader = DataLoader(Digits(transform=transform), batch_size=64, shuffle=True, generator=minidl.Generator(0))
    batches = list(loader)
    assert len(batches) == 23 == len(loader) and batches[0][0].shape == (64, 1, 8, 8)
    assert batches[0][0].dtype == minidl.float32 and batches[0][1].dtype == minidl.int64
    x = np.concatenate([x.numpy() for x, _ in batches])
    assert x.min() == -1.0 and x.max() == 1.0 and len(x) == 1437
    images, labels = Digits(transform=ToTensor(), target_transform=lambda t: t % 2).tensors()
    assert images.shape == (1437, 1, 8, 8) and set(labels.tolist()) == {0, 1}


def test_digits_file_that_is_damaged(tmp_path, monkeypatch):
    for content in (None, b"PK\x03\x04nothing", b""):
        path = tmp_path / "digits.npz"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setattr("minidl.data.datasets.digits._PATH", path)
        with pytest.raises(DatasetError, match="digits.npz is missing or damaged .*install minidl anew"):
            Digits()


# ----------------------------------------------------------------------------------------------------------- MNIST
def test_mnist_real():
    try:
        train = MNIST(transform=ToTensor())
    except DatasetError:
        pytest.skip("MNIST is not on this machine")
    test = MNIST(train=False)
    assert train.data.shape == (60000, 28, 28) and test.data.shape == (10000, 28, 28)
    assert train.targets.numpy()[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.targets.numpy()).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(train.data.numpy().mean() / 255, 4) == 0.1307
    assert round(train.data.numpy().std() / 255, 4) == 0.3081
    x, y = next(iter(DataLoader(train, batch_size=64)))
    assert x.shape == (64, 1, 28, 28) and y[0].item() == 5


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["mnist", "MNIST/raw"])
def test_mnist_is_found_where_it_may_lie(home, tmp_path, packed, layout, monkeypatch):
    lay(home / layout, packed=packed)
    data = Small()
    assert len(data) == 30 and len(Small(train=False)) == 10 and data[3][1] == 3
    assert data.data.numpy().tobytes() == FILES[NAMES[0]][16:]
    assert (
        Small("nowhere").folder == home / layout == data.folder
    )  # a root without files: the common folder still serves
    lay(tmp_path / "root" / layout, packed=packed)
    assert Small(tmp_path / "root").folder == tmp_path / "root" / layout  # the root comes first
    assert Small(str(tmp_path / "root" / layout)).folder == tmp_path / "root" / layout  # the folder itself
    monkeypatch.delenv("MINIDL_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    assert data_home() == tmp_path / "person" / ".cache" / "minidl"
    lay(tmp_path / "person" / ".cache" / "minidl" / layout, packed=packed)
    assert Small().folder == tmp_path / "person" / ".cache" / "minidl" / layout
    assert f"Folder: {Small().folder}" in repr(Small()) and "Split: Test" in repr(Small(train=False))


def test_mnist_under_its_other_spelling(home):
    lay(home / "mnist", {name.replace("-idx", ".idx"): data for name, data in FILES.items()})
    assert len(Small()) == 30


def test_mnist_like_pytorchs(home):
    lay(home / "mnist")
    data = datasets.MNIST.__new__(Small)
    data.__init__("data", True, ToTensor(), lambda t: t + 1, False)
    image, target = data[4]
    assert image.shape == (1, 28, 28) and target == 5 and data.classes[7] == "7 - seven" and data.train
    assert data.class_to_idx["3 - three"] == 3
    data.data[0] = 0  # the arrays can be written to
    assert not data.data.numpy()[0].any()


def test_mnist_that_is_missing(home):
    with pytest.raises(DatasetError) as error:
        MNIST("here")
    text = str(error.value)
    assert "MNIST: train-images-idx3-ubyte(.gz) was not found in here/mnist, here/MNIST/raw, here, " in text
    assert str(home / "mnist") in text and "download=True" in text
    lay(home / "mnist", {NAMES[0]: FILES[NAMES[0]]})
    with pytest.raises(DatasetError, match="train-labels-idx1-ubyte"):
        Small()


def test_mnist_of_other_origin_is_used_with_a_warning(home):
    g = minidl.Generator(0)
    files = {NAMES[0]: idx(g.integers(0, 256, (7, 28, 28))), NAMES[1]: idx(np.arange(7))}
    lay(home / "mnist", files)
    with pytest.warns(UserWarning) as caught:
        assert len(MNIST()) == 7
    messages = [str(w.message) for w in caught]
    assert len(messages) == 2 and "published 6bbc9ace898e44ae57da46a324031adb" in messages[0]
    assert str(home / "mnist" / NAMES[0]) in messages[0] and hashlib.md5(files[NAMES[0]]).hexdigest() in messages[0]
    assert caught[0].filename == __file__


IMAGES, LABELS = FILES[NAMES[0]], FILES[NAMES[1]]
BAD = {
    "magic of labels": (0, LABELS, "starts with the magic number 2049, expected 2051"),
    "magic of images": (1, IMAGES[:30], "starts with the magic number 2051, expected 2049"),
    "another type": (0, b"\0\0\x0d\x03" + IMAGES[4:], "magic number 3331, expected 2051"),
    "a web page": (0, b"<html>404</html>" * 9, "magic number 1013478509"),
    "empty": (0, b"", "is truncated: 0 bytes, expected a header of 16"),
    "half a header": (0, IMAGES[:9], "is truncated: 9 bytes, expected a header of 16"),
    "one byte short": (0, IMAGES[:-1], "is truncated: 23535 bytes, expected 23536 for the dimensions 30 x 28 x 28"),
    "labels cut": (1, LABELS[:20], "is truncated: 20 bytes, expected 38 for the dimensions 30"),
    "one byte too long": (0, IMAGES + b"\0", "holds more than the expected 23536 bytes"),
    "fewer images, tail": (0, idx(np.zeros((3, 28, 28))) + b"\0", "is too long: 2369 bytes, expected 2368"),
    "27 rows": (0, idx(np.zeros((30, 27, 28))), "dimensions 30 x 27 x 28, expected 1 to 60000 x 28 x 28"),
    "no image": (0, idx(np.zeros((0, 28, 28))), "dimensions 0 x 28 x 28, expected 1 to 60000"),
    "too many": (0, IMAGES[:4] + b"\xff" * 4 + IMAGES[8:], "dimensions 4294967295 x 28 x 28, expected 1 to 60000"),
    "other count": (1, idx(np.arange(9)), "has 30 images, but .*train-labels-idx1-ubyte.* has 9 labels"),
    "label 10": (1, idx(np.r_[np.arange(10), np.full(20, 10)]), "has the label 10 at position 10, expected 0 to 9"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_mnist_refuses_damaged_files(home, name, packed):
    which, content, message = BAD[name]
    lay(home / "mnist", {**FILES, NAMES[which]: content}, packed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its digest differs is said too
        with pytest.raises(DatasetError, match=message) as error:
            Small()
    assert str(home / "mnist" / NAMES[which]) in str(error.value)


def test_mnist_refuses_broken_gzip_files(home):
    whole = gzip.compress(IMAGES)
    for content in (whole[:-9], whole[: len(whole) // 2], whole[:3], whole[:-8] + b"\0" * 8, whole[:40] + whole[60:]):
        lay(home / "mnist", packed=True)
        path = home / "mnist" / (NAMES[0] + ".gz")
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="is damaged, not a whole gzip file") as error:
            Small()
        assert str(path) in str(error.value)


def test_mnist_unpacks_no_more_than_it_must(home):
    lay(home / "mnist", packed=True)
    path = home / "mnist" / (NAMES[0] + ".gz")
    path.write_bytes(gzip.compress(IMAGES + bytes(1 << 25), 1))
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="holds more than the expected"):
            Small()
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
    finally:
        tracemalloc.stop()


def test_mnist_that_cannot_be_read(home, monkeypatch):
    lay(home / "mnist")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DatasetError, match="train-images-idx3-ubyte cannot be read .Permission denied."):
        Small()


def test_read_idx_says_where():
    with pytest.raises(DatasetError, match="IDX: some-file is truncated"):
        read_idx(b"\0\0", "some-file", (10,))


# -------------------------------------------------------------------------------------------------------- download
@pytest.fixture
def server():
    """A web server on this machine: `pages` says what it answers, `asked` what was asked for."""
    pages, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            page = pages.get(self.path)
            if page is None:
                self.send_error(404)
                return
            claimed = len(page)
            if isinstance(page, tuple):  # says another length than it has, or none
                page, claimed = page
            self.send_response(200)
            if claimed is not None:
                self.send_header("Content-Length", str(claimed))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        running.pages, running.asked = pages, asked
        running.address = f"http://127.0.0.1:{running.server_address[1]}"
        yield running
        running.shutdown()
        thread.join()


def serve(server, folder, change=lambda packed: packed):
    for name, data in FILES.items():
        server.pages[f"/{folder}/{name}.gz"] = change(gzip.compress(data))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rooted", [False, True])
def test_download(home, tmp_path, server, rooted, monkeypatch, capsys):
    serve(server, "good")
    monkeypatch.setattr(Small, "mirrors", [server.address + "/good/"])
    root = tmp_path / "data" if rooted else None
    data = Small(root, download=True)
    assert data.folder == (
        tmp_path / "data" / "MNIST" / "raw" if rooted else home / "mnist"
    )  # torchvision's, with a root
    assert names_in(data.folder) == sorted(name + ".gz" for name in NAMES)
    assert data.data.numpy().tobytes() == IMAGES[16:] and len(Small(root, train=False)) == 10
    assert len(server.asked) == 4
    Small(root, train=False, download=True)  # what is there is not fetched again
    assert len(server.asked) == 4
    (data.folder / (NAMES[2] + ".gz")).unlink()
    Small(root, download=True)
    assert server.asked[4:] == [f"/good/{NAMES[2]}.gz"]


def other_bytes(packed):
    return gzip.compress(bytes(100))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_bytes, "checksum wrong: 100 bytes with MD5 6d0bb00954ceb7fbee436bb55a8397a9, expected 23536"),
        (lambda packed: gzip.compress(bytes(1 << 20)), "holds more than the expected 23536 bytes"),
        (lambda packed: packed[:-20], "is damaged, not a whole gzip file"),
        (lambda packed: b"<html>no</html>", "checksum wrong: 15 bytes"),
        (lambda packed: bytes(1 << 21), "2097152 bytes are offered, at most"),
        (lambda packed: (packed[:100], len(packed)), "the connection broke after 100"),
        (lambda packed: (bytes(1 << 21), None), "more than the"),
        (lambda packed: None, "HTTP 404 Not Found"),
    ],
)
def test_download_passes_over_a_bad_mirror(home, server, change, reason, monkeypatch):
    serve(server, "bad", change)
    serve(server, "good")
    bad, good = server.address + "/bad", server.address + "/good"
    monkeypatch.setattr(Small, "mirrors", [bad, good])
    assert len(Small(download=True)) == 30
    assert names_in(home / "mnist") == sorted(name + ".gz" for name in NAMES)  # and nothing of the bad one
    for path in (home / "mnist").iterdir():
        path.unlink()
    monkeypatch.setattr(Small, "mirrors", [bad])
    with pytest.raises(DatasetError) as error:
        Small(download=True)
    text = str(error.value)
    assert f"{NAMES[0]}.gz could not be downloaded" in text and f"  {bad}/{NAMES[0]}.gz: {reason}" in text
    assert f"into {home / 'mnist'} by hand" in text and names_in(home / "mnist") == []


def test_download_without_a_network(home, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/mnist"
        monkeypatch.setattr(Small, "mirrors", [address, "http://[bad"])
        with pytest.raises(DatasetError) as error:
            Small(download=True)
    text = str(error.value)
    assert f"{address}/{NAMES[0]}.gz: no connection (" in text and "http://[bad" in text and "by hand" in text
    assert names_in(home / "mnist") == []
    monkeypatch.setattr(Small, "mirrors", [])
    with pytest.raises(DatasetError, match="no mirror"):
        Small(download=True)


def test_download_that_is_interrupted_leaves_nothing(home, server, monkeypatch):
    serve(server, "good")
    monkeypatch.setattr(Small, "mirrors", [server.address + "/good"])

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("minidl.data.datasets.source.Source._difference", stop)
    with pytest.raises(KeyboardInterrupt):
        Small(download=True)
    assert names_in(home / "mnist") == []


def test_download_into_a_folder_that_cannot_be_written(home, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot write to .*file/MNIST/raw"):
        Small(tmp_path / "file", download=True)
