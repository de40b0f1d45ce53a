"""What a trained run says about pictures: its model and settings from the run's folder, pictures from files."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import backend_of, device
from ..data.transforms import Normalize, ToTensor
from ..modes import no_grad
from ..nn import Module
from ..nn import functional as F
from ..serialization import load
from ..tensor import Tensor, wrap
from .checkpoint import NAME
from .options import MODELS, RunError

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # those that run nothing when they are opened
_PIXELS = 1 << 18  # of a model's input: more is no configuration that a run wrote
_CLASSES = 10_000


class Predictor:
    """A trained model with what it needs to be asked: `shape` of its input, `classes`, `mean` and `std` of the pixels.

    Nothing is unpickled or executed: the configuration is JSON, the weights are safetensors.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        """Read the run in `folder`.

        Raises:
            RunError: there is no run, it has no checkpoint, or one of the two does not fit the other or is damaged.
            OSError: a file cannot be read.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            what = "is no folder of a run" if os.path.lexists(folder) else "there is no such run"
            raise RunError(f"{folder}: {what}")
        try:
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            self.shape, self.classes, self.mean, self.std = _settings(config)
            make = MODELS[config["arguments"]["model"]]
        except FileNotFoundError:
            raise RunError(f"{folder}: is no folder of a run, there is no config.json in it") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
            file = self.folder / "config.json"
            raise RunError(f"{file} is damaged, or of another version of minidl ({what})") from None
        path = self.folder / NAME
        if not path.exists():
            raise RunError(f"{folder}: this run has no checkpoint ({NAME})")
        try:
            state = load(path)
        except ValueError as error:
            raise RunError(str(error)) from None
        weights = state.get("model") if isinstance(state, dict) else None
        if not isinstance(weights, dict):
            raise RunError(f"{path} is not the checkpoint of a run")
        try:
            with device("cpu"):  # where the pictures are, whatever the default is
                self.model: Module = make(self.shape, len(self.classes))
            self.model.load_state_dict(weights)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{path} does not fit {self.folder / 'config.json'} ({error})") from None
        self.model.eval()

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """The probability of every class for each picture: uint8 (H, W) or (H, W, 3), as `read_picture` gives them.

        Raises:
            RunError: the model gives numbers that are not finite.
        """
        to_tensor, normalise, rows = ToTensor(), Normalize(self.mean, self.std), []
        with no_grad():
            for i in range(0, len(pictures), 256):
                x: Tensor = normalise.batch(to_tensor.batch(wrap(np.stack(pictures[i : i + 256]))))
                p = F.softmax(self.model(x), dim=1).array
                rows.append(backend_of(p).to_host(p))
        result = np.concatenate(rows)
        if not np.isfinite(result).all():
            raise RunError(f"{self.folder / NAME}: the model gives numbers that are not finite")
        return result


def _settings(config: Any) -> tuple[tuple[int, ...], list[str], list[float], list[float]]:
    """Shape, classes, mean and std from a configuration; ValueError, KeyError or TypeError where it is not one."""
    data = config["data"]
    shape, classes, normal = data["shape"], data["classes"], data["normalised_with"]
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError(f"shape: expected three whole numbers, got {shape!r:.80}")
    if shape[0] not in (1, 3) or math.prod(shape) > _PIXELS:
        raise ValueError(f"shape: expected 1 or 3 channels and at most {_PIXELS} pixels, got {shape!r:.80}")
    if not (isinstance(classes, list) and 0 < len(classes) <= _CLASSES and all(type(c) is str for c in classes)):
        raise ValueError("classes: expected a list of names")
    for name in ("mean", "std"):
        v = normal[name]
        if not (isinstance(v, list) and len(v) in (1, shape[0]) and all(type(x) is float for x in v)):
            raise ValueError(f"{name}: expected a number for each channel, got {v!r:.80}")
    Normalize(normal["mean"], normal["std"])  # refuses what is not finite, or 0
    return tuple(shape), classes, normal["mean"], normal["std"]


def read_picture(
    path: str | os.PathLike, shape: Sequence[int], invert: bool = False, dark: bool = True
) -> tuple[np.ndarray, list[str]]:
    """The picture in a file as uint8 pixels for a model with inputs of `shape` (C, H, W), and notes for the user.

    It becomes grey or coloured as the model needs it, what is transparent becomes white, and another size is changed.
    invert: light becomes dark and dark light. dark: the model knows grey pictures on a dark ground; one whose border
    is bright gets a note.

    Shape:
        result (H, W) for one channel, (H, W, 3) for three.

    Raises:
        ImportError: Pillow is not installed.
        RunError: the file is no picture, is damaged, or claims to be larger than Pillow dares to read.
        OSError: it cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # curious metadata harm nobody
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with open(path, "rb") as stream, Image.open(stream, formats=_FORMATS) as image:
                picture: Any = ImageOps.exif_transpose(image)
                picture, size = _plain(Image, picture, channels), picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RunError(f"{path}: too large a picture ({error})") from None
    except UnidentifiedImageError:
        raise RunError(f"{path}: is no picture of a kind that is read here: {', '.join(_FORMATS)}") from None
    except OSError as error:
        if error.filename is not None:  # the file itself
            raise
        raise RunError(f"{path}: is no picture, or a damaged one ({error or type(error).__name__})") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise all sorts of things at damaged files
        raise RunError(f"{path}: is no picture, or a damaged one ({error or type(error).__name__})") from None
    notes = []
    if size != (width, height):
        stretched = " and stretched" if abs(math.log(size[0] * height / (size[1] * width))) > 0.05 else ""
        notes.append(f"{path}: {size[0]}x{size[1]} pixels, resized{stretched} to {width}x{height}")
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.array(picture, dtype=np.uint8)
    if invert:
        pixels = np.uint8(255) - pixels
    if channels == 1 and dark:
        border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
        if border.mean() > 127:
            tip = "leave --invert out" if invert else "try --invert"
            notes.append(f"{path}: has a bright border, but the model was trained on a dark ground; {tip}")
    return pixels, notes


def _plain(Image: Any, picture: Any, channels: int) -> Any:
    """A Pillow image in the mode for so many channels, 8 bits each, on white where it is transparent."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off at 255
        values = np.asarray(picture).astype(np.int64) >> (8 if picture.mode.startswith("I;16") else 0)
        picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("L" if channels == 1 else "RGB")
