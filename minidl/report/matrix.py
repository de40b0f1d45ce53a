"""A confusion matrix as a PNG picture."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np

from ..serialization import write_file

_INK, _GREY, _LINE = "#1a1a1a", "#5a5a5a", "#e3e3e3"
_NUMBERS = 20  # with more classes the numbers could not be read


def draw_confusion(counts: np.ndarray, classes: Sequence[str], path: str | os.PathLike, title: str = "") -> None:
    """Draw how often samples of each class (rows) were taken for each class (columns); written whole or not at all.

    counts: int (C, C). The colour of a field is its share of the row; on the right stands the recall of each class, the
    share of its samples that was recognised. Up to 20 classes the counts stand in the fields.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the picture cannot be written.
        ValueError: counts is not a square matrix with a row for each class.
    """
    n = len(classes)
    if counts.shape != (n, n) or n == 0:
        raise ValueError(f"draw_confusion: expected counts ({n}, {n}) for {n} classes, got {tuple(counts.shape)}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    few = n <= _NUMBERS
    size = 6.6 + 0.16 * n if few else max(9.8, 3 + 0.135 * n)
    font = 9.5 if few else 8 if n <= 50 else 6.5
    figure = Figure(figsize=(size + 0.6, size), dpi=120, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11.5 if few else 14, color=_INK, x=0.012, ha="left")
    axes = figure.subplots()
    # the root of the share, so that one mistake in a hundred is visible beside the diagonal
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    crowded = max(map(len, classes)) * n > 80
    axes.set_xticks(range(n), classes, rotation=90 if not few else 45 if crowded else 0, fontsize=font)
    if few and crowded:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), classes, fontsize=font)
    axes.set_xlabel("taken for", color=_GREY)
    axes.set_ylabel("true class", color=_GREY)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(True, which="minor", color=_LINE, linewidth=0.8 if few else 0.3)
    axes.tick_params(which="both", length=0, colors=_INK)
    axes.spines[:].set_visible(False)
    right = axes.secondary_yaxis("right")
    recall = [f"{shares[i, i]:.1%}" if totals[i, 0] else "-" for i in range(n)]
    right.set_yticks(range(n), recall, fontsize=font)
    right.set_ylabel("recall", color=_GREY)
    right.tick_params(length=0, colors=_INK)
    right.spines[:].set_visible(False)
    if few:
        for i, j in np.argwhere(counts).tolist():
            colour = "white" if shares[i, j] > 0.35 else _INK
            axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=font, color=colour)
    stream = io.BytesIO()
    canvas.print_png(stream, metadata={"Software": "minidl"})
    write_file(path, stream.getvalue())
