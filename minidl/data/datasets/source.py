"""Where a data set's files come from: looked up in folders, or downloaded from mirrors, and verified."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .download import fetch

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class DatasetError(RuntimeError):
    """A data set's file is missing, damaged or not to be had; the message names it."""


@dataclass(frozen=True)
class DataFile:
    """A file as published: its name, and the size and MD5 digest of its unpacked bytes."""

    name: str
    size: int
    md5: str
    aliases: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """The names it may lie under, plain or packed."""
        return [name + end for name in (self.name, *self.aliases) for end in ("", ".gz")]


def data_home() -> Path:
    """The folder of all data sets: `$MINIDL_DATA`, else `~/.cache/minidl`."""
    return Path(os.environ.get("MINIDL_DATA") or "~/.cache/minidl").expanduser()


class Source:
    """The files of one data set.

    dataset: its name, for messages. folders: where they lie below a root (or below `data_home()`). mirrors:
    the addresses of folders that hold each file as `name.gz`.
    """

    def __init__(self, dataset: str, folders: Sequence[str], mirrors: Sequence[str], files: Sequence[DataFile]) -> None:
        self.dataset, self.folders = dataset, list(folders)
        self.mirrors, self.files = list(mirrors), list(files)

    def places(self, root: str | os.PathLike | None) -> list[Path]:
        """The folders that are looked into: below `root`, `root` itself, below `data_home()`."""
        places = [data_home() / folder for folder in self.folders]
        if root is None:
            return places
        base = Path(root).expanduser()
        return [*(base / folder for folder in self.folders), base, *places]

    def find(self, root: str | os.PathLike | None, file: DataFile) -> Path | None:
        """The path of a file that is there; None where it is missing."""
        for place in self.places(root):
            for name in file.names():
                if (path := place / name).is_file():
                    return path
        return None

    def read(self, root: str | os.PathLike | None, file: DataFile) -> tuple[Path, bytes]:
        """A file's path and its unpacked bytes, at most the published size. A digest other than the published
        one is warned of; the reader has to check the structure.

        Raises:
            DatasetError: the file is missing, cannot be read, is not a whole gzip file, or is too long.
        """
        path = self.find(root, file)
        if path is None:
            raise DatasetError(
                f"{self.dataset}: {file.name}(.gz) was not found in {_listed(self.places(root))}; use "
                "download=True to download it, or put the file there by hand"
            )
        data = self.unpacked(path, file)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if digest != file.md5:
            warnings.warn(
                f"{self.dataset}: {path} is not the published file (MD5 of the unpacked bytes {digest}, "
                f"published {file.md5}); used all the same",
                stacklevel=3,
            )
        return path, data

    def unpacked(self, path: Path, file: DataFile) -> bytes:
        """The bytes of a plain or packed file; no more are unpacked than the published file has."""
        try:
            with open(path, "rb") as stream:
                packed = stream.read(2) == _GZIP
            with gzip.open(path) if packed else open(path, "rb") as stream:
                data = stream.read(file.size + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DatasetError(
                f"{self.dataset}: {path} is damaged, not a whole gzip file ({error}); remove it, then "
                "download=True fetches it anew"
            ) from None
        except OSError as error:
            raise DatasetError(f"{self.dataset}: {path} cannot be read ({error.strerror or error})") from None
        if len(data) > file.size:
            raise DatasetError(f"{self.dataset}: {path} holds more than the expected {file.size} bytes")
        return data

    def download(self, root: str | os.PathLike | None) -> None:
        """Download the files that are not there: into the last of the folders below `root`, or, without a
        root, into the first below `data_home()`.

        Every file is written under a temporary name, unpacked and compared with the published size and
        digest, and only then given its name; one that differs is removed and the next mirror asked.

        Raises:
            DatasetError: no mirror gave a file; says what was tried, and where to put the file by hand.
        """
        missing = [file for file in self.files if self.find(root, file) is None]
        if not missing:
            return
        folder = self.folders[0] if root is None else self.folders[-1]
        target = (data_home() if root is None else Path(root).expanduser()) / folder
        try:
            target.mkdir(parents=True, exist_ok=True)
            for file in missing:
                self._download(file, target)
        except OSError as error:
            raise DatasetError(f"{self.dataset}: cannot write to {target} ({error.strerror or error})") from None

    def _download(self, file: DataFile, folder: Path) -> None:
        tried = []
        for mirror in self.mirrors:
            url = f"{mirror.rstrip('/')}/{file.name}.gz"
            handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=folder)
            partial = Path(name)
            try:
                with open(handle, "wb") as stream:  # packed, it is hardly longer than what is in it
                    problem = fetch(url, stream, file.size + _CHUNK, f"{self.dataset} {file.name}.gz")
                problem = problem or self._difference(partial, file)
                if problem is None:
                    partial.chmod(0o644)
                    partial.replace(folder / f"{file.name}.gz")
                    return
                tried.append(f"  {url}: {problem}")
            finally:
                partial.unlink(missing_ok=True)
        raise DatasetError(
            "\n".join(
                [
                    f"{self.dataset}: {file.name}.gz could not be downloaded; tried:",
                    *(tried or ["  no mirror"]),
                    f"put the file, as {file.name}.gz or unpacked as {file.name}, into {folder} by hand",
                ]
            )
        )

    def _difference(self, path: Path, file: DataFile) -> str | None:
        """What is wrong with a downloaded file; None if nothing."""
        try:
            data = self.unpacked(path, file)
        except DatasetError as error:
            return str(error).partition(f"{path} ")[2].partition(";")[0]  # without the temporary name
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if digest == file.md5:
            return None
        return f"checksum wrong: {len(data)} bytes with MD5 {digest}, expected {file.size} with {file.md5}"


def _listed(places: Sequence[Path]) -> str:
    return ", ".join(str(place) for place in places)
