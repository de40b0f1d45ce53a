"""Weights from the network: downloaded once, checked, and read as every file is, without executing anything."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from . import serialization
from .data.datasets.download import fetch

__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

_MOST = 8 << 30  # bytes: more than a file of weights for small models is refused
_HASH = re.compile(r"-([a-f0-9]{8,})\.")  # the beginning of the file's SHA-256, in names such as resnet18-f37072fd.pth
_chosen: str | None = None


def get_dir() -> str:
    """Where weights are kept: what `set_dir` chose, else `$MINIDL_DATA/hub`, else `~/.cache/minidl/hub`."""
    if _chosen is not None:
        return _chosen
    return str(Path(os.environ.get("MINIDL_DATA") or Path("~/.cache/minidl").expanduser()) / "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Keep weights in the folder `d` from now on."""
    global _chosen
    _chosen = os.path.expanduser(os.fspath(d))


def download_url_to_file(
    url: str, dst: str | os.PathLike, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch `url` into the file `dst`, which appears whole or not at all.

    hash_prefix: how the SHA-256 of the file begins, in hexadecimal. progress: a bar, if a terminal looks on.

    Raises:
        RuntimeError: the download failed, or the digest is another one; names `url`.
        OSError: the file cannot be written.
    """
    path = Path(dst).expanduser()
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as stream:
            wrong = fetch(url, stream, _MOST, path.name, progress)
            stream.flush()
            os.fsync(stream.fileno())
        if wrong is not None:
            raise RuntimeError(f"download_url_to_file: {url}: {wrong}")
        with open(partial, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if hash_prefix is not None and not digest.startswith(hash_prefix):
            raise RuntimeError(
                f"download_url_to_file: {url}: the file's SHA-256 begins with {digest[: len(hash_prefix)]!r}, "
                f"expected {hash_prefix!r}"
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """`load` of a file of weights from the network, which is downloaded if it is not in `model_dir` yet.

    check_hash: the name of the file ends in `-DIGEST.suffix`, where DIGEST is how its SHA-256 begins; compare.

    Raises:
        RuntimeError: see `download_url_to_file`.
        ValueError: the file is no file of weights; see `load`. Or the url names no file.
    """
    folder = Path(get_dir()) / "checkpoints" if model_dir is None else Path(model_dir).expanduser()
    name = file_name or Path(unquote(urlparse(url).path)).name
    if not name or name in (".", "..") or Path(name).name != name:
        raise ValueError(f"load_state_dict_from_url: {url!r} names no file; give file_name, got {file_name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        found = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, found[1] if found else None, progress)
    return serialization.load(path, map_location=map_location, weights_only=weights_only)
