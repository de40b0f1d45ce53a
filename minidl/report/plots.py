"""Learning curves as a PNG picture, drawn by matplotlib without a display and without touching its global state."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence

from ..serialization import write_file

# colours that people with any colour vision can tell apart (Okabe and Ito, 2008)
_TRAIN, _TEST, _LR = "#0072b2", "#d55e00", "#009e73"
_INK, _GREY, _GRID = "#1a1a1a", "#5a5a5a", "#e3e3e3"


def draw_curves(records: Sequence[Mapping[str, float]], path: str | os.PathLike, title: str = "") -> None:
    """Draw loss, accuracy and learning rate of each epoch, and write the picture whole or not at all.

    records: one mapping an epoch with `epoch`, `train_loss`, `test_loss`, `train_accuracy`, `test_accuracy` (0 ... 1)
    and `lr`; there may be none.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(12, 4.2), dpi=120, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11.5, color=_INK, x=0.012, ha="left")
    left, middle, right = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in records]
    _panel(left, "loss (cross-entropy)", epochs)
    _lines(left, epochs, [r["train_loss"] for r in records], [r["test_loss"] for r in records], "{:.4f}")
    if _logarithmic(left, [r[key] for r in records for key in ("train_loss", "test_loss")]):
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_minor_locator(NullLocator())
        left.yaxis.set_major_formatter("{x:g}")
    _panel(middle, "accuracy in %", epochs)
    train, test = ([100 * r[key] for r in records] for key in ("train_accuracy", "test_accuracy"))
    _lines(middle, epochs, train, test, "{:.2f} %")
    _percentages(middle, train + test)
    _panel(right, "learning rate", epochs)
    if records:
        rates = [r["lr"] for r in records]
        right.plot(epochs, rates, color=_LR, **_style(epochs))
        right.yaxis.set_major_formatter("{x:g}")
        right.set_ylim(0, 1.03 * max(rates))
    stream = io.BytesIO()
    canvas.print_png(stream, metadata={"Software": "minidl"})
    write_file(path, stream.getvalue())


def _style(epochs: Sequence[float]) -> dict:
    """Dots where there are few points, so that a single epoch is visible at all."""
    marker = "o" if len(epochs) <= 30 else None
    return {"linewidth": 1.8, "marker": marker, "markersize": 3.2, "clip_on": False, "zorder": 3}


def _panel(axes, title: str, epochs: Sequence[float]) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=_INK)
    axes.set_xlabel("epoch", color=_GREY)
    axes.grid(True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_GREY, length=3)
    if epochs:
        margin = 0.5 if len(epochs) == 1 else 0
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=8, min_n_ticks=1)
    else:
        axes.set(xticks=[], yticks=[])
        text = axes.text(0.5, 0.5, "no epoch finished", transform=axes.transAxes, ha="center", color=_GREY)
        text.set_in_layout(False)


def _lines(axes, epochs, train, test, form: str) -> None:
    """Training and test in one panel, with their last values in the legend."""
    for label, values, colour in (("train", train, _TRAIN), ("test", test, _TEST)):
        if any(math.isfinite(v) for v in values):
            axes.plot(epochs, values, color=colour, label=f"{label}  {form.format(values[-1])}", **_style(epochs))
    if axes.lines:
        axes.legend(frameon=False, loc="best", labelcolor=_INK)


def _logarithmic(axes, values: Sequence[float]) -> bool:
    """A logarithmic scale where the values span more than a decade (then True), else one from 0."""
    finite = [v for v in values if math.isfinite(v)]
    if finite and min(finite) > 0 and max(finite) > 10 * min(finite):
        axes.set_yscale("log")
        axes.set_title(axes.get_title(loc="left") + ", logarithmic", loc="left", fontsize=10.5, color=_INK)
        return True
    if finite:
        axes.set_ylim(bottom=0)
    return False


def _percentages(axes, values: Sequence[float]) -> None:
    """The upper end at 100 %, the lower one where the values begin: the last percents are what matters."""
    finite = [v for v in values if math.isfinite(v)]
    if finite:
        low = min(finite)
        axes.set_ylim(max(0.0, low - 0.05 * (100 - low) - 0.1), 100)
