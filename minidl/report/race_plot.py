"""A race of update rules as a picture: paths over the contours of the function, and the loss over the steps."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..serialization import write_file
from .race import Function, Run, Settings, frame_of

# Okabe and Ito (2008), without the yellow that nobody sees on white, and with a grey
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#8a8a8a")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.2)))
MOST = len(_COLOURS) * len(_DASHES)  # lines that can be told apart
_INK, _GREY, _GRID = "#1a1a1a", "#5a5a5a", "#e3e3e3"
_FLOOR = 1e-12  # losses below are drawn there
_FRAMES, _PAUSE = 36, 100  # pictures of an animation, and milliseconds between two


def draw_race(settings: Settings, runs: Sequence[Run], path: str | os.PathLike, title: str = "") -> None:
    """Draw a race as a PNG or, if the path ends in .gif, as an animation; written whole or not at all.

    Raises:
        OSError: the picture cannot be written.
        ValueError: more than 24 runs, whose lines nobody could tell apart.
    """
    if len(runs) > MOST:
        raise ValueError(f"draw_race: at most {MOST} lines can be told apart, got {len(runs)} runs")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    moving = str(path).lower().endswith(".gif")
    figure = Figure(figsize=(13, 5.4), dpi=75 if moving else 120, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.08, 1))
    if title:
        figure.suptitle(title, fontsize=11.5, color=_INK, x=0.012, ha="left")
    frame = frame_of(settings)
    _contours(left, settings.function, frame)
    _panel(right, settings, runs)
    lines = [_lines(left, right, i, run, frame) for i, run in enumerate(runs)]
    marks = []
    for xs, ys, shape, size, name in (
        (*zip(*settings.function.minima, strict=True), "*", 15, "minimum"),
        (*[[x] for x in settings.start], "o", 8, "start"),
    ):
        style = {"color": "white", "markeredgecolor": _INK, "linestyle": "none", "zorder": 6}
        marks += left.plot(xs, ys, marker=shape, markersize=size, label=name, **style)
    _legend(figure, left, right, runs)
    stream = io.BytesIO()
    if not moving:
        canvas.print_png(stream, metadata={"Software": "minidl"})
    else:
        _animate(figure, canvas, lines, marks, runs, stream)
    write_file(path, stream.getvalue())


def _contours(axes, function: Function, frame: tuple[float, float, float, float]) -> None:
    x0, x1, y0, y1 = frame
    x, y = np.meshgrid(np.linspace(x0, x1, 241), np.linspace(y0, y1, 241))
    z = np.log10(function.f(x, y) + 1e-3)  # of several decades, which are all of interest
    levels = np.linspace(z.min(), z.max(), 17)
    axes.contourf(x, y, z, levels=levels, cmap="Blues_r", alpha=0.55, zorder=0)
    axes.contour(x, y, z, levels=levels, colors="white", linewidths=0.7, linestyles="solid", zorder=1)
    axes.set(xlim=(x0, x1), ylim=(y0, y1))
    axes.set_title(f"f = {function.formula}", loc="left", fontsize=9.5, color=_INK)
    axes.set_xlabel("x", color=_GREY)
    axes.set_ylabel("y", color=_GREY)
    axes.tick_params(colors=_GREY, length=3)
    axes.spines[:].set_color(_GREY)


def _panel(axes, settings: Settings, runs: Sequence[Run]) -> None:
    axes.set_yscale("log")
    axes.set_xlim(0, settings.steps)
    losses = [v for run in runs for v in run.losses if np.isfinite(v) and v > 0]
    low = max(_FLOOR, min([*losses, settings.tolerance]))
    first = max(run.losses[0] for run in runs)
    axes.set_ylim(low / 2, 30 * max(first, settings.tolerance))
    axes.axhline(settings.tolerance, color=_GREY, linewidth=0.9, linestyle=(0, (6, 3)), zorder=2)
    axes.text(
        settings.steps, settings.tolerance, "tolerance ", color=_GREY, fontsize=8.5, ha="right", va="center", zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
    )  # fmt: skip
    axes.set_title("loss after each step, logarithmic", loc="left", fontsize=9.5, color=_INK)
    axes.set_xlabel("step", color=_GREY)
    axes.set_ylabel("f(x, y)", color=_GREY)
    axes.grid(True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_GREY, length=3, which="both")


def _lines(left, right, i: int, run: Run, frame: tuple[float, float, float, float]) -> list:
    """The path, the dot at its end, the loss, and the crosses where these leave, of one run."""
    from matplotlib.patheffects import withStroke

    colour, dash = _COLOURS[i % len(_COLOURS)], _DASHES[i // len(_COLOURS)]
    style = {"color": colour, "linestyle": dash, "linewidth": 1.9, "solid_joinstyle": "round"}
    halo = [withStroke(linewidth=3.2, foreground="white")]
    points, losses = _shown(run)
    (path,) = left.plot(*points.T, zorder=4, path_effects=halo, **style)
    (dot,) = left.plot(*points[-1:].T, "o", color=colour, markeredgecolor="white", markersize=7, zorder=5)
    (curve,) = right.plot(range(len(losses)), losses, zorder=3, label=_told(run), **style)
    crosses: list = []
    x0, x1, y0, y1 = frame
    inside = np.flatnonzero((points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1))
    if inside[-1] < len(points) - 1:  # where it leaves for the last time
        edge = _exit(points[inside[-1]], points[inside[-1] + 1], frame)
        crosses += left.plot(*edge, "X", color=colour, markeredgecolor="white", markersize=10, zorder=7, clip_on=False)
    if run.diverged:
        top = right.get_ylim()[1]
        at = int(np.flatnonzero(~(losses < top))[0]) if (~(losses < top)).any() else len(losses) - 1
        crosses += right.plot(
            at, top, "X", color=colour, markeredgecolor="white", markersize=10, zorder=7, clip_on=False
        )
    return [path, dot, curve, *crosses]


def _shown(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The points and losses to draw: finite, and losses above nought."""
    points = np.clip(np.nan_to_num(run.path, nan=1e9, posinf=1e9, neginf=-1e9), -1e9, 1e9)
    return points, np.clip(np.nan_to_num(run.losses, nan=1e99, posinf=1e99), _FLOOR, 1e99)


def _exit(a: np.ndarray, b: np.ndarray, frame: tuple[float, float, float, float]) -> np.ndarray:
    """Where the line from a, inside, to b, outside, crosses the frame."""
    x0, x1, y0, y1 = frame
    share = 1.0
    for k, (low, high) in enumerate(((x0, x1), (y0, y1))):
        d = b[k] - a[k]
        if b[k] > high:
            share = min(share, (high - a[k]) / d)
        elif b[k] < low:
            share = min(share, (low - a[k]) / d)
    return a + share * (b - a)


def _told(run: Run) -> str:
    end = "" if run.diverged else f"loss {run.losses[-1]:.2g}, "
    return f"{run.label}   rate {run.rate:.3g}\n{end}{run.note}"


def _legend(figure, left, right, runs: Sequence[Run]) -> None:
    many = len(runs) > 10
    handles, labels = right.get_legend_handles_labels()
    if many:
        labels = [label.partition("\n")[0] for label in labels]
    marks, names = left.get_legend_handles_labels()
    legend = figure.legend(
        [*handles, *marks], [*labels, *names], loc="outside right center", frameon=False, labelcolor=_INK,
        fontsize=8 if many else 9, handlelength=2.6, labelspacing=0.5 if many else 0.85,
    )  # fmt: skip
    legend.set_in_layout(True)


def _animate(figure, canvas, lines: list[list], marks: list, runs: Sequence[Run], stream: io.BytesIO) -> None:
    """The same picture, growing; slowly at first, where most happens. What stays is drawn once."""
    from PIL import Image

    canvas.draw()
    figure.set_layout_engine("none")  # nothing moves from here on
    palette = _picture(canvas, Image).quantize(128, method=Image.Quantize.MAXCOVERAGE)
    for artist in [a for artists in lines for a in artists] + marks:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    pictures, longest = [], max(len(run.path) for run in runs) - 1
    for n in range(_FRAMES + 1):
        step = round(longest * (n / _FRAMES) ** 1.7)
        canvas.restore_region(still)
        for (path, dot, curve, *crosses), run in zip(lines, runs, strict=True):
            points, losses = _shown(run)
            k = min(step + 1, len(points))
            path.set_data(*points[:k].T)
            dot.set_data(*points[k - 1 : k].T)
            curve.set_data(range(k), losses[:k])
            for artist in [path, dot, curve] + crosses * (k == len(points)):
                artist.axes.draw_artist(artist)
        for artist in marks:
            artist.axes.draw_artist(artist)
        pictures.append(_picture(canvas, Image).quantize(palette=palette, dither=Image.Dither.NONE))
    times = [_PAUSE] * _FRAMES + [3000]
    pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True)


def _picture(canvas, Image):
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
