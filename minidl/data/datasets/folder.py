"""Images in folders, one for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import Dataset
from .source import DatasetError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # those that run nothing when they are opened


def image_loader(path: str) -> np.ndarray:
    """An image file (PNG, JPEG, BMP, GIF, PPM, TIFF, WebP), read by Pillow, as a uint8 array (H, W, 3) of red, green
    and blue. Of 16 bits of grey the upper 8 count.

    Raises:
        DatasetError: the file is no image, or is cut off; the message names it.
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError("ImageFolder: reading images needs Pillow: pip install pillow") from None
    try:
        with open(path, "rb") as stream, Image.open(stream, formats=_FORMATS) as image:
            if image.mode.startswith("I;16"):  # `convert` would cut off what is above 255
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.stack([grey, grey, grey], axis=-1)
            return np.array(image.convert("RGB"))
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise DatasetError(
            f"ImageFolder: {path} cannot be read as an image (it is none of {', '.join(_FORMATS)})"
        ) from None
    except Exception as error:  # decoders raise all sorts of things at damaged files
        what = str(error) or type(error).__name__
        raise DatasetError(f"ImageFolder: {path} cannot be read as an image ({what})") from None


class ImageFolder(Dataset[tuple[Any, int]]):
    """Images in `root/class_name/.../image.png`: a folder for each class, in alphabetical order.

    Sample i is `(transform(image), target_transform(class number))`; without a transform the image is a uint8 array
    (H, W, 3). loader: a function from a path to an image. extensions: the endings of files that count, in small
    letters, by default those of images; or is_valid_file: a function from a path to a bool. allow_empty: whether a
    class may have no files. Folders that a symbolic link repeats are passed over.

    `classes`: the names; `class_to_idx`: their numbers; `samples` (also `imgs`): the pairs (path, number); `targets`:
    the numbers.

    Raises:
        FileNotFoundError: no such folder, no class in it, or a class without files.
        ValueError: both or neither of extensions and is_valid_file.
        DatasetError: when it is read: a file is no image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = image_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        extensions: Sequence[str] | None = None,
    ) -> None:
        named = {"transform": transform, "target_transform": target_transform, "is_valid_file": is_valid_file}
        for name, function in {**named, "loader": loader}.items():
            if not (callable(function) or (function is None and name != "loader")):
                raise TypeError(f"ImageFolder: {name} should be callable, got {type(function).__name__}")
        if extensions is not None and is_valid_file is not None:
            raise ValueError("ImageFolder: extensions and is_valid_file cannot both be given")
        self.root, self.transform, self.target_transform, self.loader = (
            os.fspath(root),
            transform,
            target_transform,
            loader,
        )
        ends = IMG_EXTENSIONS if extensions is None else _endings(extensions)
        valid = is_valid_file or (lambda path: path.lower().endswith(ends))
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples: list[tuple[str, int]] = []
        empty = []
        for name in self.classes:
            found = [path for path in _files(Path(self.root) / name) if valid(path)]
            self.samples += [(path, self.class_to_idx[name]) for path in found]
            empty += [] if found else [name]
        if empty and not allow_empty:
            which = "" if is_valid_file else f"; supported extensions are {', '.join(ends)}"
            raise FileNotFoundError(
                f"ImageFolder: found no valid file for the classes {', '.join(empty)} in {self.root}{which}"
            )
        self.imgs, self.targets = self.samples, [number for _, number in self.samples]

    def find_classes(self, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """The names of the classes, and their numbers by name; a subclass may find them otherwise."""
        if not Path(directory).is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {directory}")
        classes = sorted(entry.name for entry in os.scandir(os.fspath(directory)) if entry.is_dir())
        if not classes:
            raise FileNotFoundError(f"ImageFolder: found no class folder in {directory}")
        return classes, {name: i for i, name in enumerate(classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        image = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"Dataset ImageFolder\n    Number of datapoints: {len(self)}\n    Root location: {self.root}"


def _endings(extensions: Any) -> tuple[str, ...]:
    ends = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    if not ends or not all(isinstance(end, str) for end in ends):
        raise ValueError(f"ImageFolder: extensions should be endings of file names, got {extensions!r}")
    return tuple(end.lower() for end in ends)


def _files(folder: Path) -> list[str]:
    """The files below a folder in order, each folder once, though symbolic links may lead in circles."""
    seen: set[str] = set()
    paths = []
    for base, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        paths += [os.path.join(base, name) for name in sorted(files)]
    return sorted(paths)
