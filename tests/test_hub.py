"""Weights from the network, served by a server of our own."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import minidl
from minidl import hub
from minidl.utils import model_zoo


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address under which a server gives it out."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_are_downloaded_once_and_checked(served, tmp_path, monkeypatch):
    folder, address = served
    state = {"weight": minidl.ones(2, 3)}
    minidl.save(state, folder / "plain.safetensors")
    digest = hashlib.sha256((folder / "plain.safetensors").read_bytes()).hexdigest()
    (folder / "plain.safetensors").rename(folder / f"net-{digest[:8]}.safetensors")
    url = f"{address}/net-{digest[:8]}.safetensors?version=1"
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "data"))
    loaded = hub.load_state_dict_from_url(url, check_hash=True, progress=False)
    assert loaded["weight"].tolist() == [[1.0] * 3] * 2
    kept = tmp_path / "data" / "hub" / "checkpoints"
    assert [p.name for p in kept.iterdir()] == [f"net-{digest[:8]}.safetensors"]
    next(folder.iterdir()).unlink()
    assert model_zoo.load_url(url)["weight"].shape == (2, 3)  # from the disk


def test_what_is_not_what_it_should_be_leaves_nothing_behind(served, tmp_path):
    folder, address = served
    minidl.save({"a": minidl.ones(1)}, folder / "net-00000000.pth")
    (folder / "text.pth").write_text("no weights")
    with pytest.raises(RuntimeError, match="SHA-256 begins with '[0-9a-f]{8}', expected '00000000'"):
        hub.load_state_dict_from_url(f"{address}/net-00000000.pth", tmp_path / "kept", check_hash=True)
    with pytest.raises(RuntimeError, match="404"):
        hub.load_state_dict_from_url(f"{address}/absent.pth", tmp_path / "kept")
    with pytest.raises(ValueError, match="names no file"):
        hub.load_state_dict_from_url(f"{address}/", tmp_path / "kept")
    with pytest.raises(ValueError, match="names no file"):
        hub.load_state_dict_from_url(f"{address}/a.pth", tmp_path / "kept", file_name="../a.pth")
    assert list((tmp_path / "kept").iterdir()) == []
    with pytest.raises(ValueError):
        hub.load_state_dict_from_url(f"{address}/text.pth", tmp_path / "kept")


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_chosen", None)
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    assert hub.get_dir().endswith("minidl/hub")
    hub.set_dir(tmp_path)
    assert hub.get_dir() == str(tmp_path)


def test_load_is_not_that_of_files():
    with pytest.raises(AttributeError, match="hub has no 'load'; out of scope: code from the network is never run"):
        minidl.hub.load("pytorch/vision", "resnet18")
