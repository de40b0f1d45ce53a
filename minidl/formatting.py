"""How a Tensor prints: PyTorch's layout, precision and abbreviation."""

from __future__ import annotations

import math

import numpy as np

PRECISION, THRESHOLD, EDGE, WIDTH = 4, 1000, 3, 80


def _formatter(values: np.ndarray):
    """One format for all the numbers, and its width: whole ones as `2.`, others as 0.5000, extremes as 1.0000e-05."""
    if values.dtype.kind in "biu":
        texts = [str(v) for v in values.ravel().tolist()]
        width = max(map(len, texts), default=0)
        return (lambda v: str(v).rjust(width)), width
    finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    smallest = float(np.abs(finite).min()) if finite.size else 0.0
    whole = bool((finite == np.rint(finite)).all())
    scientific = bool(finite.size) and (largest / smallest > 1000 or largest > 1e8 or (smallest < 1e-4 and not whole))

    def text(v) -> str:
        v = float(v)
        if not math.isfinite(v):
            return str(v)
        return f"{v:.{PRECISION}e}" if scientific else f"{v:.0f}." if whole else f"{v:.{PRECISION}f}"

    width = max((len(text(v)) for v in finite), default=1)  # nan, inf and 0 do not count
    return (lambda v: text(v).rjust(width)), width


def _summarised(array: np.ndarray) -> np.ndarray:
    """The corners that are shown of a large array: what decides the number format."""
    for axis, n in enumerate(array.shape):
        if n > 2 * EDGE:
            array = np.concatenate(
                [array.take(range(EDGE), axis=axis), array.take(range(n - EDGE, n), axis=axis)], axis=axis
            )
    return array


def _lines(array, form, width, indent, summarise) -> str:
    if array.ndim == 0:
        return form(array.item() if array.dtype.kind != "f" else array)
    cut = summarise and len(array) > 2 * EDGE
    rows = [*array[:EDGE], *array[-EDGE:]] if cut else list(array)
    parts = [_lines(row, form, width, indent + 1, summarise) for row in rows]
    if cut:
        parts.insert(EDGE, "..." if array.ndim > 1 else " ...")
    if array.ndim > 1:
        return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
    per_line = max(1, (WIDTH - indent) // (width + 2))
    lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def format_tensor(array: np.ndarray, notes: list[str], prefix: str = "tensor(") -> str:
    """`prefix`, the numbers, the `notes` (dtype, grad_fn ...) and a closing bracket."""
    summarise = array.size > THRESHOLD
    body = "[]" if array.size == 0 and array.ndim == 1 else None
    if array.size == 0 and body is None:
        body, notes = "[]", [f"size={tuple(array.shape)}", *notes]
    if body is None:
        form, width = _formatter(_summarised(array) if summarise else array)
        body = _lines(array, form, width, len(prefix), summarise)
    text = prefix + body
    for note in notes:
        last = len(text) - text.rfind("\n") - 1
        text += (",\n" + " " * len(prefix) if last + len(note) + 3 > WIDTH else ", ") + note
    return text + ")"
