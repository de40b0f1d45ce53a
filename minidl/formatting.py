"""How a Tensor prints: PyTorch's layout, precision and abbreviation, and the options that change them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class _Options:
    """What `set_printoptions` sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
) -> None:
    """How Tensors print: digits after the point, from how many elements on only `edgeitems` at either end are shown,
    the characters of a line, and whether as 1.0000e-05 (None: where numbers are very large, small or different).

    profile: "default", "short" or "full" sets all but sci_mode at once; the other arguments go before it.

    >>> set_printoptions(precision=2); minidl.tensor([1.12345])
    tensor([1.12])
    >>> set_printoptions(profile="default")
    """
    if profile is not None and profile not in _PROFILES:
        raise ValueError(f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
    names = ("precision", "threshold", "edgeitems", "linewidth")
    given = dict(zip(names, (precision, threshold, edgeitems, linewidth), strict=True))
    for name, value in given.items():
        if value is not None and not (isinstance(value, (int, float)) and value >= 0):
            raise ValueError(f"set_printoptions: {name} must be a number that is not negative, got {value!r}")
    if profile is not None:
        given = {n: p if given[n] is None else given[n] for n, p in zip(names, _PROFILES[profile], strict=True)}
    for name, value in given.items():
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


def _formatter(values: np.ndarray):
    """One format for all the numbers, and its width: whole ones as `2.`, others as 0.5000, extremes as 1.0000e-05."""
    if values.dtype.kind in "biu":
        texts = [str(v) for v in values.ravel().tolist()]
        width = max(map(len, texts), default=1)
        return (lambda v: str(v).rjust(width)), width
    digits = _options.precision
    finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    smallest = float(np.abs(finite).min()) if finite.size else 0.0
    whole = bool((finite == np.rint(finite)).all())
    extreme = largest > 1000 * smallest or largest > 1e8 or smallest < 1e-4
    scientific = bool(finite.size) and (extreme if _options.sci_mode is None else _options.sci_mode)

    def text(v: float) -> str:
        if scientific:
            return f"{v:.{digits}e}"
        return f"{v:.{digits}f}" if not whole else f"{v:.0f}." if math.isfinite(v) else str(v)

    width = max((len(text(v)) for v in finite.tolist()), default=1)  # nan, inf and 0 do not count
    return (lambda v: text(v).rjust(width)), width


def _summarised(array: np.ndarray) -> np.ndarray:
    """The corners that are shown of a large array: what decides the number format."""
    edge = _options.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.concatenate(
                [array.take(range(edge), axis=axis), array.take(range(n - edge, n), axis=axis)], axis=axis
            )
    return array


def _lines(array, form, width, indent, summarise) -> str:
    if array.ndim == 0:
        return form(array.item())
    edge = _options.edgeitems
    cut = summarise and len(array) > 2 * edge
    rows = [*array[:edge], *array[len(array) - edge :]] if cut else list(array)
    parts = [_lines(row, form, width, indent + 1, summarise) for row in rows]
    if cut:
        parts.insert(edge, "..." if array.ndim > 1 or not edge else " ...")
    if array.ndim > 1:
        return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
    per_line = max(1, (_options.linewidth - indent) // (width + 2))
    lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def format_tensor(array: np.ndarray, notes: list[str], device: list[str], prefix: str = "tensor(") -> str:
    """`prefix`, the numbers, the notes (`device`, the size if nothing shows it, dtype ...), and a closing bracket."""
    summarise = array.size > _options.threshold
    if array.size == 0:
        body = "[]"
        size = array.ndim != 1
    else:
        form, width = _formatter(_summarised(array) if summarise else array)
        body, size = _lines(array, form, width, len(prefix), summarise), not _options.edgeitems
    text = prefix + body
    length = len(text) - text.rfind("\n") + 1
    for note in [*device, *([f"size={tuple(array.shape)}"] if size else []), *notes]:
        if length + len(note) + 2 > _options.linewidth:
            text, length = text + ",\n" + " " * len(prefix) + note, len(prefix) + len(note)
        else:
            text, length = text + ", " + note, length + len(note) + 2
    return text + ")"
