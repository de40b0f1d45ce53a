"""Data sets: what is in them, how damaged files are refused, and how files are found and downloaded."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image

import minidl
from minidl.data import DataLoader, datasets
from minidl.data.datasets import (
    CIFAR10,
    CIFAR100,
    CSV,
    MNIST,
    DatasetError,
    Digits,
    FashionMNIST,
    ImageFolder,
    TinyShakespeare,
)
from minidl.data.datasets.catalog import KNOWN
from minidl.data.datasets.cifar import read_records
from minidl.data.datasets.mnist import read_idx
from minidl.data.datasets.source import Archive, DataFile, data_home
from minidl.data.transforms import Compose, Normalize, RandomCrop, Resize, ToTensor

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


# --------------------------------------------------------------------------------------------------- Fashion-MNIST
class SmallFashion(FashionMNIST):
    """Fashion-MNIST's class with the made-up files: what is published are digests of packed files."""

    files = {
        key: DataFile(f.name, f.size, None, f.aliases, hashlib.md5(gzip.compress(FILES[f.name], mtime=0)).hexdigest())
        for key, f in Small.files.items()
    }


def test_fashion_mnist(home, server, monkeypatch):
    assert FashionMNIST.classes[9] == "Ankle boot" and len(FashionMNIST.classes) == 10
    with pytest.raises(DatasetError, match="FashionMNIST: train-images-idx3-ubyte"):
        FashionMNIST()
    for name, data in FILES.items():
        server.pages[f"/bad/{name}.gz"] = gzip.compress(data, 1, mtime=7)  # the same content, packed otherwise
        server.pages[f"/good/{name}.gz"] = gzip.compress(data, mtime=0)
    monkeypatch.setattr(SmallFashion, "mirrors", [server.address + "/bad"])
    with pytest.raises(DatasetError, match="checksum wrong: .* bytes with MD5"):
        SmallFashion(download=True)
    monkeypatch.setattr(SmallFashion, "mirrors", [server.address + "/bad", server.address + "/good"])
    data = SmallFashion(download=True)
    assert data.folder == home / "fashion-mnist" and len(data) == 30 and data.classes[data[3][1]] == "Dress"
    assert names_in(data.folder) == sorted(name + ".gz" for name in NAMES)


# ----------------------------------------------------------------------------------------------------------- CIFAR
def records(n, labels=(10,), seed=1):
    g = minidl.Generator(seed)
    columns = [np.arange(n).reshape(-1, 1) % count for count in labels]
    return np.concatenate([*columns, g.integers(0, 256, (n, 3072))], axis=1).astype(np.uint8).tobytes()


CIFAR_FILES = {f"data_batch_{i}.bin": records(4, seed=i) for i in range(1, 6)} | {"test_batch.bin": records(3, seed=9)}


def tar(members, kind="w:gz"):
    """A tar file of (name, content); a TarInfo may stand for a name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=kind) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


FOLDER = "cifar-10-batches-bin"
TAR = tar([(f"{FOLDER}/readme.html", b"x"), *((f"{FOLDER}/{name}", data) for name, data in CIFAR_FILES.items())])


class SmallCIFAR(CIFAR10):
    """CIFAR-10's class with the made-up files as the published ones."""

    archive = Archive("cifar.tar.gz", hashlib.md5(TAR).hexdigest(), FOLDER, 1 << 20)
    files = {
        train: [DataFile(name, len(data)) for name, data in CIFAR_FILES.items() if ("data" in name) == train]
        for train in (True, False)
    }


def test_cifar10_real():
    try:
        train, test = CIFAR10(), CIFAR10(train=False)
    except DatasetError:
        pytest.skip("CIFAR-10 is not on this machine")
    assert train.data.shape == (50000, 32, 32, 3) and test.data.shape == (10000, 32, 32, 3)
    assert np.bincount(train.targets.numpy()).tolist() == [5000] * 10
    assert np.bincount(test.targets.numpy()).tolist() == [1000] * 10
    means = train.data.numpy().mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=2e-3)


def test_cifar10_layout(home):
    lay(home / FOLDER, CIFAR_FILES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is published of single files, so there is nothing to warn of
        data, test = SmallCIFAR(), SmallCIFAR(train=False)
    assert data.data.shape == (20, 32, 32, 3) and data.data.dtype == minidl.uint8 and data.targets.dtype == minidl.int64
    assert data.targets.tolist() == [0, 1, 2, 3] * 5 and len(test) == 3 and data.class_to_idx["frog"] == 6
    raw = np.frombuffer(CIFAR_FILES["data_batch_2.bin"], np.uint8).reshape(4, 3073)
    assert data.data.numpy()[5, 3, 7].tolist() == [raw[1, 1 + c * 1024 + 3 * 32 + 7] for c in range(3)]
    assert (data.data.numpy()[5].transpose(2, 0, 1).reshape(-1) == raw[1, 1:]).all()
    image, target = SmallCIFAR(home, transform=ToTensor(), target_transform=str)[6]
    assert image.shape == (3, 32, 32) and target == "2" and f"Folder: {home / FOLDER}" in repr(data)


def test_cifar100_layout(home, monkeypatch):
    files = {
        True: [DataFile("train.bin", 3074 * 120)],
        False: [DataFile("test.bin", 3074 * 7)],
    }
    monkeypatch.setattr(CIFAR100, "files", files)
    lay(home / "cifar-100-binary", {"train.bin": records(120, (20, 100)), "test.bin": records(7, (20, 100))})
    data = CIFAR100()
    assert data.targets.tolist() == [k % 100 for k in range(120)] and len(CIFAR100(train=False)) == 7
    assert data.coarse_targets.tolist() == [k % 20 for k in range(120)]
    assert len(data.classes) == 100 == len(set(data.classes)) and data.classes == sorted(data.classes)
    assert data.classes[0] == "apple" and data.classes[99] == "worm"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "is truncated: 12291 bytes are 3 records of 3073 bytes and 3072 bytes"),
        (lambda data: b"", "is truncated: 0 bytes"),
        (lambda data: data + b"0", "holds more than the expected 12292 bytes"),
        (lambda data: data[:3073] + b"\x0a" + data[3074:], "has the label 10 in record 1, expected 0 to 9"),
    ],
)
def test_cifar_refuses_damaged_files(home, change, message):
    lay(home / FOLDER, {**CIFAR_FILES, "data_batch_3.bin": change(CIFAR_FILES["data_batch_3.bin"])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DatasetError, match=message) as error:
            SmallCIFAR()
    assert str(home / FOLDER / "data_batch_3.bin") in str(error.value)


def test_cifar_that_is_smaller_or_missing(home):
    lay(home / FOLDER, {**CIFAR_FILES, "data_batch_5.bin": records(2)})
    with pytest.warns(UserWarning, match=r"data_batch_5.bin is not the published file \(6146 bytes, published 12292\)"):
        assert len(SmallCIFAR()) == 18
    (home / FOLDER / "data_batch_5.bin").unlink()
    with pytest.raises(DatasetError, match="data_batch_5.bin.* was not found"):
        SmallCIFAR()
    assert len(SmallCIFAR(train=False)) == 3
    with pytest.raises(DatasetError, match="CIFAR: a.bin has the label 20 in record 0, expected 0 to 19"):
        read_records(bytes([20, 0]) + bytes(3072), "a.bin", (20, 100))


def test_cifar_download(home, tmp_path, server, monkeypatch):
    server.pages["/good/cifar.tar.gz"] = TAR
    monkeypatch.setattr(SmallCIFAR, "mirrors", [server.address + "/nothing", server.address + "/good"])
    data = SmallCIFAR(download=True)
    assert data.folder == home / FOLDER and names_in(home / FOLDER) == sorted(CIFAR_FILES)  # and nothing besides
    assert (home / FOLDER / "test_batch.bin").stat().st_mode & 0o777 == 0o644
    assert len(SmallCIFAR(train=False, download=True)) == 3 and len(server.asked) == 2  # nothing is fetched again
    (home / FOLDER / "test_batch.bin").unlink()
    (home / FOLDER / "data_batch_1.bin").write_bytes(records(4, seed=50))
    SmallCIFAR(train=False, download=True)
    assert (home / FOLDER / "data_batch_1.bin").read_bytes() == records(4, seed=50)  # what was there stays
    assert SmallCIFAR(tmp_path / "here", download=True).folder == home / FOLDER  # found in the common folder
    assert not (tmp_path / "here").exists()


def special(kind):
    info = tarfile.TarInfo(f"{FOLDER}/test_batch.bin")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


MEMBERS = [(f"{FOLDER}/{name}", data) for name, data in CIFAR_FILES.items()]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tar([*MEMBERS[:-1], (special(tarfile.SYMTYPE), b"")]), "test_batch.bin in it is not a file of 9219 bytes"),
        (tar([*MEMBERS[:-1], (special(tarfile.LNKTYPE), b"")]), "test_batch.bin in it is not a file of 9219 bytes"),
        (tar([*MEMBERS[:-1], (f"{FOLDER}/test_batch.bin", b"short")]), "is not a file of 9219 bytes"),
        (tar([*MEMBERS[:-1], (f"../{FOLDER}/test_batch.bin", MEMBERS[-1][1])]), "test_batch.bin is not in it"),
        (tar([*MEMBERS[:-1], (f"/{FOLDER}/test_batch.bin", MEMBERS[-1][1])]), "test_batch.bin is not in it"),
        (tar(MEMBERS)[:3000], "is damaged, not a whole tar file"),
        (b"<html>not here</html>", "is damaged, not a whole tar file"),
        (gzip.compress(b"no tar"), "is damaged, not a whole tar file"),
    ],
    ids=["symbolic link", "hard link", "short", "above", "absolute", "truncated", "page", "no tar"],
)
def test_an_archive_reaches_nothing_else(home, server, content, reason, monkeypatch):
    server.pages["/bad/cifar.tar.gz"] = content
    monkeypatch.setattr(SmallCIFAR, "mirrors", [server.address + "/bad"])
    monkeypatch.setattr(
        SmallCIFAR, "archive", Archive("cifar.tar.gz", hashlib.md5(content).hexdigest(), FOLDER, 1 << 20)
    )
    with pytest.raises(DatasetError) as error:
        SmallCIFAR(download=True)
    assert len(str(error.value).splitlines()) == 3  # what failed, what was tried, what to do
    assert reason in str(error.value) and f"into {home / FOLDER} by hand" in str(error.value)
    assert names_in(home / FOLDER) == [] and names_in(home) == [FOLDER]


def test_an_archive_of_another_digest_or_size(home, server, monkeypatch):
    server.pages["/bad/cifar.tar.gz"] = tar(MEMBERS, "w")
    monkeypatch.setattr(SmallCIFAR, "mirrors", [server.address + "/bad"])
    with pytest.raises(DatasetError, match=f"checksum wrong: .* expected {SmallCIFAR.archive.md5}"):
        SmallCIFAR(download=True)
    monkeypatch.setattr(SmallCIFAR, "archive", Archive("cifar.tar.gz", "0" * 32, FOLDER, 1000))
    with pytest.raises(DatasetError, match="bytes are offered, at most 1000 expected"):
        SmallCIFAR(download=True)
    assert names_in(home / FOLDER) == []


# ------------------------------------------------------------------------------------------------------------ text
VERSE = "To be, or not to be: that is the question.\n" * 20


@pytest.fixture
def verse(monkeypatch):
    file = DataFile(
        "tinyshakespeare.txt", len(VERSE), hashlib.md5(VERSE.encode()).hexdigest(), ("input.txt",), remote="input.txt"
    )
    monkeypatch.setattr(TinyShakespeare, "files", [file])


@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "input.txt", "input.txt.gz"])
def test_text(home, verse, name):
    (home / "text").mkdir(parents=True)
    (home / "text" / name).write_bytes(gzip.compress(VERSE.encode()) if name.endswith("gz") else VERSE.encode())
    data, held = TinyShakespeare(length=10), TinyShakespeare(train=False, length=10)
    assert data.text + held.text == VERSE and len(data.text) == len(VERSE) * 9 // 10
    assert data.chars == sorted(set(VERSE)) == held.chars and data.data.dtype == minidl.int64
    assert data.decode(data.data) == data.text and data.decode(data.encode("to be")) == "to be"
    x, y = data[3]
    assert data.decode(x) == VERSE[30:40] and data.decode(y) == VERSE[31:41] and x.dtype == minidl.int64
    assert len(data) == (len(data.text) - 1) // 10 and data.decode(data[-1][1])[-1] == data.text[10 * len(data)]
    dense = TinyShakespeare(length=10, stride=1)
    assert len(dense) == len(dense.text) - 10 and dense.decode(dense[len(dense) - 1][1]) == dense.text[-10:]
    batches = list(DataLoader(data, 7, shuffle=True, generator=minidl.Generator(1)))
    order = minidl.Generator(1).permutation(len(data)).tolist()
    for k, (x, y) in enumerate(batches):
        for row, i in enumerate(order[7 * k : 7 * k + 7]):
            assert x[row].tolist() == data[i][0].tolist() and y[row].tolist() == data[i][1].tolist()
    assert "Length: 10" in repr(data) and "Split: Test" in repr(held)


def test_text_download(home, verse, server, monkeypatch):
    server.pages["/input.txt"] = VERSE.encode()
    monkeypatch.setattr(TinyShakespeare, "mirrors", [server.address])
    assert TinyShakespeare(download=True).folder == home / "text"
    assert names_in(home / "text") == ["tinyshakespeare.txt"]


def test_text_refuses(home, verse):
    with pytest.raises(DatasetError, match="tinyshakespeare.txt.* was not found"):
        TinyShakespeare()
    lay(home / "text", {"tinyshakespeare.txt": VERSE.encode()})
    data = TinyShakespeare(length=10)
    for make, error, message in (
        (lambda: TinyShakespeare(length=0), ValueError, "length should be a positive integer, got 0"),
        (lambda: TinyShakespeare(stride=1.5), ValueError, "stride should be a positive integer, got 1.5"),
        (lambda: TinyShakespeare(train=False, length=90), DatasetError, "86 characters in this part, expected over 90"),
        (lambda: data.encode("Z"), ValueError, "the character 'Z' is not among"),
        (lambda: data.decode([99]), ValueError, "99 is not a number in 0"),
        (lambda: data[len(data)], IndexError, "out of range for"),
    ):
        with pytest.raises(error, match=message):
            make()
    lay(home / "text", {"tinyshakespeare.txt": b"\xff\xfe" * 10})
    with pytest.warns(UserWarning, match="not the published"), pytest.raises(DatasetError, match="not a text in UTF-8"):
        TinyShakespeare(length=4)


def test_text_real():
    try:
        train, held = TinyShakespeare(), TinyShakespeare(train=False)
    except DatasetError:
        pytest.skip("Tiny Shakespeare is not on this machine")
    assert len(train.chars) == 65 and len(train.text) == 1003854 and len(held.text) == 111540
    assert train.text.startswith("First Citizen:\nBefore we proceed any further")


# ---------------------------------------------------------------------------------------------------------- folders
@pytest.fixture
def pictures(tmp_path):
    """root/cat/..., root/dog/...: two cats and, one folder deeper, three dogs."""
    g, root = minidl.Generator(4), tmp_path / "pictures"
    for name in ("dog/more/0.png", "dog/more/1.PNG", "dog/2.bmp", "cat/0.png", "cat/1.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(g.integers(0, 256, (5, 4, 3)).astype(np.uint8)).save(path)
    (root / "cat" / "notes.txt").write_text("not an image")
    (root / "readme.txt").write_text("not a class")
    return root


def test_image_folder(pictures):
    data = ImageFolder(pictures)
    assert data.classes == ["cat", "dog"] and data.class_to_idx == {"cat": 0, "dog": 1}
    assert [os.path.relpath(path, pictures) for path, _ in data.samples] == [
        "cat/0.png", "cat/1.png", "dog/2.bmp", "dog/more/0.png", "dog/more/1.PNG",
    ]  # fmt: skip
    assert data.targets == [0, 0, 1, 1, 1] and data.imgs is data.samples and len(data) == 5
    image, target = data[3]
    assert image.dtype == np.uint8 and image.shape == (5, 4, 3) and target == 1
    assert (image == np.asarray(Image.open(data.samples[3][0]))).all()
    both = Compose([Resize((8, 8)), ToTensor()])
    x, y = next(iter(DataLoader(ImageFolder(pictures, both, lambda t: -t), 5, num_workers=2)))
    assert x.shape == (5, 3, 8, 8) and y.tolist() == [0, 0, -1, -1, -1]
    only = ImageFolder(pictures, is_valid_file=lambda path: path.endswith("0.png"))
    assert len(only) == 2 and len(ImageFolder(pictures, extensions=(".PNG",))) == 4
    named = ImageFolder(pictures, loader=os.path.basename)
    assert named[2] == ("2.bmp", 1) and "Root location" in repr(data)
    Image.new("L", (3, 2), 7).save(pictures / "cat" / "grey.png")
    assert ImageFolder(pictures)[2][0].tolist() == [[[7, 7, 7]] * 3] * 2  # always three channels


def test_image_folder_refuses(pictures, tmp_path):
    for make, error, message in (
        (lambda: ImageFolder(tmp_path / "no"), FileNotFoundError, "there is no folder .*no"),
        (lambda: ImageFolder(pictures / "cat"), FileNotFoundError, "no class folder in .*cat"),
        (lambda: ImageFolder(pictures, extensions=".bmp"), FileNotFoundError, "for the classes cat in .* are .bmp"),
        (lambda: ImageFolder(pictures, is_valid_file=lambda p: False), FileNotFoundError, "the classes cat, dog in"),
        (lambda: ImageFolder(pictures, extensions=".png", is_valid_file=all), ValueError, "cannot both be given"),
        (lambda: ImageFolder(pictures, extensions=3), TypeError, "int"),
        (lambda: ImageFolder(pictures, 3), TypeError, "transform should be callable, got int"),
        (lambda: ImageFolder(pictures, loader=None), TypeError, "loader should be callable, got NoneType"),
    ):
        with pytest.raises(error, match=message):
            make()
    (pictures / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="found no valid file for the classes empty"):
        ImageFolder(pictures)
    assert ImageFolder(pictures, allow_empty=True).classes == ["cat", "dog", "empty"]


def test_image_folder_with_damaged_files_and_circles(pictures):
    whole = (pictures / "cat" / "0.png").read_bytes()
    for content in (whole[:-30], whole[:20], b"", b"text"):
        (pictures / "cat" / "0.png").write_bytes(content)
        with pytest.raises(DatasetError, match="cat/0.png cannot be read as an image"):
            ImageFolder(pictures)[0]
    for workers in (0, 1):
        with pytest.raises(DatasetError, match="cat/0.png"):
            list(DataLoader(ImageFolder(pictures), 2, num_workers=workers))
    (pictures / "dog" / "again").symlink_to(pictures / "dog", target_is_directory=True)
    (pictures / "dog" / "up").symlink_to(pictures, target_is_directory=True)
    assert len(ImageFolder(pictures)) < 12


def test_image_folder_reads_no_more_than_pictures(pictures, monkeypatch):
    path = pictures / "cat" / "0.png"
    Image.new("I;16", (2, 1), 0x1234).save(path)
    assert ImageFolder(pictures)[0][0].tolist() == [[[0x12] * 3] * 2]  # the upper byte, not cut off at 255
    Image.new("RGB", (4, 4)).save(pictures / "page.eps")
    path.write_bytes((pictures / "page.eps").read_bytes())  # Pillow would start Ghostscript for it
    with pytest.raises(DatasetError, match="cat/0.png cannot be read as an image .it is none of PNG, JPEG"):
        ImageFolder(pictures)[0]

    def broken(*args, **kwargs):
        raise IndexError("a decoder that was surprised")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(DatasetError, match="cat/0.png cannot be read as an image .a decoder that was surprised"):
        ImageFolder(pictures)[0]


# ------------------------------------------------------------------------------------------------------------ tables
def table(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv(tmp_path):
    path = table(tmp_path, "a,b,kind\n1,2.5,x\n3,-4,w\n\n5,1e3,x\n")
    data = CSV(path, "kind")
    assert data.features.dtype == minidl.float32 and data.features.tolist() == [[1, 2.5], [3, -4], [5, 1000]]
    assert data.targets.tolist() == [1, 0, 1] and data.targets.dtype == minidl.int64 and data.classes == ["w", "x"]
    assert data.columns == ["a", "b"] and len(data) == 3
    x, y = data[1]
    assert x.tolist() == [3, -4] and y.item() == 0
    assert CSV(path, -1).targets.tolist() == CSV(path, 2).targets.tolist() == [1, 0, 1]
    xs, ys = next(iter(DataLoader(data, 3, sampler=[2, 0])))
    assert xs.tolist() == [[5, 1000], [1, 2.5]] and ys.tolist() == [1, 1]
    one = CSV(path, target="a", columns=["b"])
    assert one.targets.tolist() == [1, 3, 5] and one.classes is None and one.targets.dtype == minidl.int64
    real = CSV(path, target="b", columns=[0])
    assert real.targets.dtype == minidl.float32 and real.targets.tolist() == [2.5, -4, 1000]
    (only,) = CSV(path, columns=["a", 1])[0]
    assert only.tolist() == [1, 2.5] and "File:" in repr(data)


def test_csv_forms(tmp_path):
    plain = CSV(table(tmp_path, "1;2\r\n3;4\r\n"), target=1, delimiter=";")
    assert plain.features.tolist() == [[1], [3]] and plain.targets.tolist() == [2, 4] and plain.columns == ["0"]
    assert len(CSV(table(tmp_path, "1,2\n3,4\n"), header=True)) == 1
    quoted = CSV(table(tmp_path, b'\xef\xbb\xbf"a","the, name"\n1,"x, y"\n2,z\n'), "the, name")
    assert quoted.classes == ["x, y", "z"] and quoted.columns == ["a"]
    missing_is_a_class = CSV(table(tmp_path, "a,k\n1,none\n2,some\n"), "k")
    assert missing_is_a_class.classes == ["none", "some"]
    doubled = CSV(table(tmp_path, "a,k\n1,0\n2,1\n"), "k", transform=lambda x: 2 * x, target_transform=lambda y: y + 5)
    x, y = next(iter(DataLoader(doubled, 2)))
    assert x.tolist() == [[2], [4]] and y.tolist() == [5, 6]
    doubled.transform = None
    x, y = next(iter(DataLoader(doubled, 2)))
    assert x.tolist() == [[1], [2]] and y.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("a,b\n1,2\n3,\n", {}, DatasetError, r"t.csv, line 3, column 'b': a value is missing \(''\)"),
        ("a,b\n1,NaN\n", {}, DatasetError, r"line 2, column 'b': a value is missing \('NaN'\)"),
        ("a,b\n1,2\n\n?,2\n", {}, DatasetError, "line 4, column 'a': a value is missing"),
        ("a,b\n1,x\n", {}, DatasetError, "line 2, column 'b': 'x' is not a number"),
        ("a,b\n1,inf\n", {}, DatasetError, "line 2, column 'b': 'inf' does not fit float32"),
        ("a,b\n1,1e39\n", {}, DatasetError, "'1e39' does not fit float32"),
        ("a,b\n1,2\n1,2,3\n", {}, DatasetError, "line 3 has 3 cells, expected 2"),
        ("a,k\n1,\n2,x\n", {"target": "k"}, DatasetError, "line 2, column 'k': a value is missing"),
        ("a,k\n1,1\n2,nan\n", {"target": "k"}, DatasetError, "line 3, column 'k': a value is missing"),
        ("", {}, DatasetError, "t.csv is empty"),
        ("a,b\n", {}, DatasetError, "has a header, but no data"),
        (b"\xff\xff,1\n", {}, DatasetError, "is not a text in utf-8"),
        ('a,b\n1,"2\n', {}, DatasetError, "line 2: unexpected end of data"),
        ("a,b\n1,2\n", {"target": "c"}, ValueError, "target: .* has no column 'c'; its columns are a, b"),
        ("a,a\n1,2\n", {"target": "a"}, ValueError, "more than one column 'a'"),
        ("a,b\n1,2\n", {"target": 2}, ValueError, "there is no column 2, .* has 2"),
        ("a,b\n1,2\n", {"columns": ["z"]}, ValueError, "columns: .* has no column 'z'"),
        ("a\n1\n", {"target": "a"}, ValueError, "no column left"),
        ("a,b\n1_0,2\n", {}, DatasetError, "'1_0' is not a number"),
        ("a,b\n1," + "9" * 5000, {}, DatasetError, r"'9{40}'\.\.\. \(5000 characters\) does not fit float32"),
        ("a,b\n1,2\n", {"columns": "ab"}, TypeError, "a list of names or numbers, got the string 'ab'"),
        ("a,b\n1,2\n", {"header": "yes"}, TypeError, "header should be True, False or None, got 'yes'"),
        ("a,b\n1,2\n", {"encoding": "nope"}, ValueError, "there is no encoding 'nope'"),
        ("a\n1\n", {"delimiter": "::"}, ValueError, "delimiter should be one character, got '::'"),
        ("a\n1\n", {"transform": 3}, TypeError, "transform should be callable or None, got int"),
    ],
)
def test_csv_refuses(tmp_path, text, options, error, message):
    with pytest.raises(error, match=message):
        CSV(table(tmp_path, text), **options)


def test_csv_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.csv"):
        CSV(tmp_path / "none.csv")


# ------------------------------------------------------------------------------------------------ what is there
def test_status_and_fetch(home, tmp_path, server, monkeypatch):
    monkeypatch.setitem(KNOWN, "CIFAR10", SmallCIFAR)
    monkeypatch.setitem(KNOWN, "MNIST", Small)
    lay(home / "mnist", {NAMES[0]: FILES[NAMES[0]]})
    (home / "mnist" / NAMES[0]).rename(home / "mnist" / (NAMES[0].replace("-idx", ".idx")))
    found = {s.name: s for s in datasets.status()}
    assert list(found) == ["Digits", "MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "TinyShakespeare"]
    assert found["Digits"].complete and found["Digits"].bytes > 40000
    mnist = found["MNIST"]
    assert not mnist.complete and mnist.missing == list(NAMES[1:]) and mnist.folder == home / "mnist"
    assert [path.name for path in mnist.found] == ["train-images.idx3-ubyte"] and mnist.bytes == len(FILES[NAMES[0]])
    cifar = found["CIFAR10"]
    assert cifar.found == [] and cifar.bytes == 0 and cifar.folder == home / FOLDER and len(cifar.missing) == 6
    server.pages["/cifar.tar.gz"] = TAR
    monkeypatch.setattr(SmallCIFAR, "mirrors", [server.address])
    for name in ("cifar-10", "CIFAR10"):
        there = datasets.fetch(name, tmp_path / "root")
        assert there.complete and there.folder == tmp_path / "root" / FOLDER and there.bytes == 23 * 3073
    assert (
        len(server.asked) == 1 and not datasets.status()[3].complete and datasets.status(tmp_path / "root")[3].complete
    )
    assert datasets.fetch("Digits").complete
    with pytest.raises(ValueError, match="there is no data set 'imagenet', only Digits, MNIST"):
        datasets.fetch("imagenet")
    monkeypatch.setattr(Small, "mirrors", [])
    with pytest.raises(DatasetError, match="no mirror"):
        datasets.fetch("mnist")


def test_random_transforms_of_real_images_in_a_loader(home):
    lay(home / FOLDER, CIFAR_FILES)
    data = SmallCIFAR(transform=Compose([RandomCrop(32, 4), ToTensor()]))
    minidl.manual_seed(0)
    x = np.concatenate([x.numpy() for x, _ in DataLoader(data, 8)])
    minidl.manual_seed(0)
    assert (x == np.concatenate([x.numpy() for x, _ in DataLoader(data, 3, num_workers=1)])).all()
    assert x.shape == (20, 3, 32, 32) and not (x == SmallCIFAR(transform=ToTensor()).tensors()[0].numpy()).all()
