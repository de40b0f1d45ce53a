"""Where a data set's files come from: looked up in folders, or downloaded from mirrors, and verified."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .download import fetch

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class DatasetError(RuntimeError):
    """A data set's file is missing, damaged or not to be had; the message names it."""


@dataclass(frozen=True)
class DataFile:
    """A file as published: its name, and the size and MD5 digest of its unpacked bytes.

    md5: None where no digest of the unpacked bytes is published. packed_md5: that of the .gz file, where it is this
    which is published; a download is compared with it, a file that is already there cannot be. remote: its name on the
    mirrors, `name.gz` unless it says otherwise.
    """

    name: str
    size: int
    md5: str | None = None
    aliases: tuple[str, ...] = ()
    packed_md5: str | None = None
    remote: str | None = None

    @property
    def offered(self) -> str:
        """Its name on the mirrors."""
        return self.remote or f"{self.name}.gz"

    def names(self) -> list[str]:
        """The names it may lie under, plain or packed."""
        return [name + end for name in (self.name, *self.aliases) for end in ("", ".gz")]


@dataclass(frozen=True)
class Archive:
    """A tar file that holds all files of a data set: its name, its MD5 digest, the folder of the files in it, and a
    bound for its size.
    """

    name: str
    md5: str
    folder: str
    limit: int


def data_home() -> Path:
    """The folder of all data sets: `$MINIDL_DATA`, else `~/.cache/minidl`."""
    return Path(os.environ.get("MINIDL_DATA") or "~/.cache/minidl").expanduser()


class Source:
    """The files of one data set.

    dataset: its name, for messages. folders: where they lie below a root (or below `data_home()`). mirrors:
    the addresses of folders that hold each file as `name.gz`, or all of them in the `archive`.
    """

    def __init__(
        self,
        dataset: str,
        folders: Sequence[str],
        mirrors: Sequence[str],
        files: Sequence[DataFile],
        archive: Archive | None = None,
    ) -> None:
        self.dataset, self.folders, self.archive = dataset, list(folders), archive
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
        if file.md5 is not None and (digest := _md5(data)) != file.md5:
            what = f"MD5 of the unpacked bytes {digest}, published {file.md5}"
        elif len(data) != file.size:
            what = f"{len(data)} bytes, published {file.size}"
        else:
            return path, data
        warnings.warn(f"{self.dataset}: {path} is not the published file ({what}); used all the same", stacklevel=3)
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

    def target(self, root: str | os.PathLike | None) -> Path:
        """The folder that `download` writes to."""
        folder = self.folders[0] if root is None else self.folders[-1]
        return (data_home() if root is None else Path(root).expanduser()) / folder

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
        target = self.target(root)
        try:
            target.mkdir(parents=True, exist_ok=True)
            if self.archive is not None:
                self._download(self.archive.name, self.archive.limit, target, self._unpack)
            else:
                for file in missing:
                    self._download(file.offered, file.size + _CHUNK, target, partial(self._place, file))
        except OSError as error:
            raise DatasetError(f"{self.dataset}: cannot write to {target} ({error.strerror or error})") from None

    def _download(self, name: str, limit: int, folder: Path, use: Callable[[Path, Path], str | None]) -> None:
        """Fetch a file from the first mirror that has it right: `use` verifies it and puts it (or what is in it) into
        the folder, or says what is wrong. The file itself goes in any case.
        """
        tried = []
        for mirror in self.mirrors:
            url = f"{mirror.rstrip('/')}/{name}"
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".partial", dir=folder)
            path = Path(temporary)
            try:
                with open(handle, "wb") as stream:  # packed, it is hardly longer than what is in it
                    problem = fetch(url, stream, limit, f"{self.dataset} {name}")
                problem = problem or use(path, folder)
                if problem is None:
                    return
                tried.append(f"  {url}: {problem}")
            finally:
                path.unlink(missing_ok=True)
        raise DatasetError(
            "\n".join(
                [
                    f"{self.dataset}: {name} could not be downloaded; tried:",
                    *(tried or ["  no mirror"]),
                    f"put the file{self._by_hand(name)}, into {folder} by hand",
                ]
            )
        )

    def _by_hand(self, name: str) -> str:
        if self.archive is not None:
            return "s that are in it, " + ", ".join(file.name for file in self.files)
        return f", as {name} or unpacked as {name.removesuffix('.gz')}" if name.endswith(".gz") else f", as {name}"

    def _place(self, file: DataFile, path: Path, folder: Path) -> str | None:
        """Give a downloaded file its name, if it is what was published."""
        problem = self._difference(path, file)
        if problem is None:
            path.chmod(0o644)
            path.replace(folder / (file.name + (".gz" if file.offered.endswith(".gz") else "")))
        return problem

    def _difference(self, path: Path, file: DataFile) -> str | None:
        """What is wrong with a downloaded file; None if nothing."""
        if file.packed_md5 is not None and (digest := _md5_of(path)) != file.packed_md5:
            return f"checksum wrong: {path.stat().st_size} bytes with MD5 {digest}, expected {file.packed_md5}"
        try:
            data = self.unpacked(path, file)
        except DatasetError as error:
            return str(error).partition(f"{path} ")[2].partition(";")[0]  # without the temporary name
        digest = _md5(data)
        if len(data) != file.size or file.md5 not in (None, digest):
            return f"checksum wrong: {len(data)} bytes with MD5 {digest}, expected {file.size} with {file.md5}"
        return None

    def _unpack(self, path: Path, folder: Path) -> str | None:
        """Take the files out of a downloaded archive; None if all are there, else what is wrong.

        Only regular members with exactly the expected names and sizes are read, and they are written under names of
        our own, so nothing that an archive says can reach another place. Files that are there already stay.
        """
        archive, done = self.archive, []
        assert archive is not None
        if (digest := _md5_of(path)) != archive.md5:
            return f"checksum wrong: {path.stat().st_size} bytes with MD5 {digest}, expected {archive.md5}"
        wanted = {f"{archive.folder}/{file.name}": file for file in self.files}
        try:
            with tarfile.open(path, "r:*") as tar:
                for member in tar:
                    file = wanted.get(member.name.removeprefix("./"))
                    if file is None:
                        continue
                    if not member.isreg() or member.size != file.size:
                        return f"{member.name} in it is not a file of {file.size} bytes"
                    source = tar.extractfile(member)
                    assert source is not None
                    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=folder)
                    done.append((Path(temporary), file))
                    with open(handle, "wb") as stream:
                        shutil.copyfileobj(source, stream, _CHUNK)
                    if file.md5 is not None and _md5_of(Path(temporary)) != file.md5:
                        return f"{member.name} in it has a wrong checksum"
            if missing := {file.name for file in self.files} - {file.name for _, file in done}:
                return f"{', '.join(sorted(missing))} is not in it"
            for temporary_path, file in done:
                if not (folder / file.name).exists():
                    temporary_path.chmod(0o644)
                    temporary_path.replace(folder / file.name)
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"is damaged, not a whole tar file ({str(error).partition(chr(10))[0].removesuffix(':')})"
        finally:
            for temporary_path, _ in done:
                temporary_path.unlink(missing_ok=True)
        return None


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _md5_of(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _listed(places: Sequence[Path]) -> str:
    return ", ".join(str(place) for place in places)
