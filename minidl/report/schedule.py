"""A schedule as a PNG picture."""

from __future__ import annotations

import io
import os
import textwrap

import numpy as np

from ..optim.schedules import Schedule
from ..serialization import write_file

_LINE, _BAND, _INK, _GREY, _GRID = "#0072b2", "#eef3f7", "#1a1a1a", "#5a5a5a", "#e3e3e3"
_MOST = 20_000  # points of a curve; a picture has fewer columns
_FEW = 60  # up to so many steps each is a dot, and a level between two dots would be an invention


def draw_schedule(schedule: Schedule, steps: int, path: str | os.PathLike, rate: float = 1.0, warmup: int = 0) -> None:
    """Draw rate times a schedule over the first `steps` steps, under its expression; written whole or not at all.

    The axis on the right is the schedule itself, as a share of the rate. warmup: so many first steps are shaded.

    Raises:
        OSError: the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4.4), dpi=120, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    at = sampled(steps, _MOST)
    values = [rate * schedule(t) for t in at]
    few = steps <= _FEW
    if warmup:
        axes.axvspan(0, min(warmup, steps - 1), color=_BAND, zorder=0, label="warmup")
    axes.plot(
        at, values, color=_LINE, linewidth=1.8, drawstyle="steps-post" if few else "default",
        marker="o" if few else None, markersize=3.5, clip_on=False, zorder=3,
    )  # fmt: skip
    title = repr(rate * schedule) if rate != 1 else repr(schedule)
    lines = textwrap.wrap(title, 88, max_lines=5, placeholder=" ...") if len(title) > 76 else [title]
    size = 11 if len(title) <= 76 else 9.5
    axes.set_title("\n".join(lines), loc="left", fontsize=size, color=_INK, family="monospace")
    axes.set_xlabel("step", color=_GREY)
    axes.set_ylabel("learning rate", color=_GREY)
    axes.set_xlim(*((0, steps - 1) if steps > 1 else (-0.5, 0.5)))
    low, high = min(0.0, *values), max(0.0, *values)
    axes.set_ylim(1.04 * low, 1.04 * high if high > low else 1.0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    factor = axes.secondary_yaxis("right", functions=(lambda y: np.divide(y, rate), lambda y: np.multiply(y, rate)))
    factor.set_ylabel(f"share of the rate {rate:g}", color=_GREY)
    factor.yaxis.set_major_formatter("{x:g}")
    for panel in (axes, factor):
        panel.tick_params(colors=_GREY, length=3)
        for spine in panel.spines.values():
            spine.set_color(_GREY)
    axes.spines[["top", "right"]].set_visible(False)
    if warmup:
        axes.legend(frameon=False, loc="upper right", labelcolor=_INK)
    stream = io.BytesIO()
    canvas.print_png(stream, metadata={"Software": "minidl"})
    write_file(path, stream.getvalue())


def sampled(steps: int, most: int) -> list[int]:
    """The steps 0 ... steps - 1, or of many some at equal distances and the last, about `most` of them."""
    return sorted({*range(0, steps, -(-steps // most)), steps - 1})
