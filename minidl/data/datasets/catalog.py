"""Which data sets there are, what of them is on this machine, and how to get the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cifar import CIFAR10, CIFAR100
from .digits import _PATH as _DIGITS
from .mnist import MNIST, FashionMNIST
from .text import TinyShakespeare

KNOWN: dict[str, Any] = {c.__name__: c for c in (MNIST, FashionMNIST, CIFAR10, CIFAR100, TinyShakespeare)}


@dataclass(frozen=True)
class DataStatus:
    """What of a data set is on this machine.

    found: the paths of its files that are there. missing: the names of those that are not. folder: where the files
    are, or, if none is there, where `fetch` would put them. bytes: what the found ones take up on the disk. complete:
    whether nothing is missing.
    """

    name: str
    found: list[Path]
    missing: list[str]
    folder: Path
    bytes: int

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def status(root: str | os.PathLike | None = None) -> list[DataStatus]:
    """What of each known data set is there, below `root` and in the common folder. Files are not read.

    >>> [s.name for s in status()]
    ['Digits', 'MNIST', 'FashionMNIST', 'CIFAR10', 'CIFAR100', 'TinyShakespeare']
    """
    return [_of(name, root) for name in ("Digits", *KNOWN)]


def fetch(name: str, root: str | os.PathLike | None = None) -> DataStatus:
    """Download what is missing of a data set, and return its status then. name: as in `status`, small letters and
    hyphens do not matter.

    Raises:
        ValueError: there is no data set of this name.
        DatasetError: a file could not be downloaded.

    >>> fetch("digits").complete
    True
    """
    plain = {known.lower(): known for known in ("Digits", *KNOWN)}
    found = plain.get(str(name).lower().replace("-", "").replace("_", ""))
    if found is None:
        raise ValueError(f"fetch: there is no data set {name!r}, only {', '.join(plain.values())}")
    if found in KNOWN:
        KNOWN[found].source().download(root)
    return _of(found, root)


def _of(name: str, root: str | os.PathLike | None) -> DataStatus:
    if name not in KNOWN:  # part of the package
        there = [_DIGITS] if _DIGITS.is_file() else []
        return DataStatus(
            name, there, [] if there else [_DIGITS.name], _DIGITS.parent, sum(p.stat().st_size for p in there)
        )
    source = KNOWN[name].source()
    paths = {file.name: source.find(root, file) for file in source.files}
    found = [path for path in paths.values() if path is not None]
    folder = found[0].parent if found else source.target(root)
    missing = [file for file, path in paths.items() if path is None]
    return DataStatus(name, found, missing, folder, sum(path.stat().st_size for path in found))
