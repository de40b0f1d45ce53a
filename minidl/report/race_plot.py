"""A race of update rules as a picture: paths over the contours of the function, and the loss over the steps."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..serialization import write_file
from .race import Function, Run, Settings, frame_of, standings

# Okabe and Ito (2008), without the yellow that nobody sees on white, and with a brown; the map below them is grey
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#8c4a2f")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)))  # a path and the next one above: where they coincide, both show
_DOTTED = (0, (1, 1.2))  # the line of a colour that comes for the second time, which ends in a square
MOST = 12  # lines that can be told apart
_INK, _GREY, _GRID = "#1a1a1a", "#5a5a5a", "#e3e3e3"
_FLOOR = 1e-12  # losses below are drawn there
_FRAMES, _PAUSE = 36, 100  # pictures of an animation, and milliseconds between two


def draw_race(settings: Settings, runs: Sequence[Run], path: str | os.PathLike, title: str = "") -> None:
    """Draw a race as a PNG or, if the path ends in .gif, as an animation; written whole or not at all.

    Long paths lie below short ones; every other one is dashed, so that two that coincide both show. A path fades where
    it first leaves the frame, and ends there if it diverges.

    Raises:
        OSError: the picture cannot be written.
        ValueError: more than 12 runs, whose lines nobody could tell apart.
    """
    if len(runs) > MOST:
        raise ValueError(f"draw_race: at most {MOST} lines can be told apart, got {len(runs)} runs")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    moving = str(path).lower().endswith(".gif")  # which has fewer dots, so that the same text needs more of the figure
    size, dpi = ((11, 5), 100) if moving else ((13, 5.4), 120)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained", facecolor="white")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.08, 1))
    head = [title] * bool(title) + [f"f = {settings.function.formula}"]
    figure.suptitle("\n".join(head), fontsize=11, color=_INK, x=0.012, ha="left")
    frame = frame_of(settings)
    _contours(left, settings.function, frame)
    _panel(right, settings, runs)
    below = sorted(range(len(runs)), key=lambda i: -_length(runs[i], frame))
    lines = {i: _lines(left, right, i, rank, runs[i], frame) for rank, i in enumerate(below)}
    marks = []
    for xs, ys, shape, breadth, name in (
        (*zip(*settings.function.minima, strict=True), "*", 13, "minimum"),
        (*[[x] for x in settings.start], "o", 7, "start"),
    ):
        style = {"color": "white", "markeredgecolor": _INK, "linestyle": "none", "zorder": 6}
        marks += left.plot(xs, ys, marker=shape, markersize=breadth, label=name, **style)
    order = [next(i for i, run in enumerate(runs) if run is best) for best in standings(runs)]
    _legend(figure, settings, [runs[i] for i in order], [lines[i] for i in order], marks)
    stream = io.BytesIO()
    if not moving:
        canvas.print_png(stream, metadata={"Software": "minidl"})
    else:
        _animate(figure, canvas, [(runs[i], lines[i]) for i in below], marks, stream)
    write_file(path, stream.getvalue())


def _contours(axes, function: Function, frame: tuple[float, float, float, float]) -> None:
    x0, x1, y0, y1 = frame
    x, y = np.meshgrid(np.linspace(x0, x1, 241), np.linspace(y0, y1, 241))
    z = np.log10(function.f(x, y) + 1e-3)  # of several decades, which are all of interest
    levels = np.linspace(z.min(), z.max(), 17)
    axes.contourf(x, y, z, levels=levels, cmap="Greys_r", alpha=0.35, zorder=0)
    axes.contour(x, y, z, levels=levels, colors="white", linewidths=0.7, linestyles="solid", zorder=1)
    axes.set(xlim=(x0, x1), ylim=(y0, y1))
    axes.set_title("paths; the darker the ground, the lower", loc="left", fontsize=9.5, color=_INK)
    axes.set_xlabel("x", color=_GREY)
    axes.set_ylabel("y", color=_GREY)
    axes.tick_params(colors=_GREY, length=3)
    axes.spines[:].set_color(_GREY)


def _panel(axes, settings: Settings, runs: Sequence[Run]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yscale("log")
    axes.set_xlim(0, settings.steps)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    lowest = min(float(v) for run in runs for v in run.losses if np.isfinite(v))  # the first one is
    low = max(_FLOOR, min(lowest, settings.tolerance))
    first = max(run.losses[0] for run in runs)
    axes.set_ylim(low / 2, 30 * max(first, settings.tolerance))
    axes.axhline(settings.tolerance, color=_GREY, linewidth=0.9, linestyle=(0, (6, 3)), zorder=2)
    axes.set_title("loss after each step, logarithmic", loc="left", fontsize=9.5, color=_INK)
    axes.set_xlabel("step", color=_GREY)
    axes.set_ylabel(f"f(x, y){f'; below {_FLOOR:g} drawn there' * (lowest < _FLOOR)}", color=_GREY)
    axes.grid(True, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_GREY, length=3, which="both")


def _lines(left, right, i: int, rank: int, run: Run, frame: tuple[float, float, float, float]) -> list:
    """The path, the mark at its end, the loss, what is faded, and the crosses where these leave, of one run.

    rank: how many paths lie below.
    """
    colour, again, height = _COLOURS[i % len(_COLOURS)], i >= len(_COLOURS), rank / MOST
    dash, shape = (_DOTTED, "s") if again else (_DASHES[rank % 2], "o")
    style = {"color": colour, "linestyle": dash, "linewidth": 1.4, "solid_joinstyle": "round"}
    mark = {"linestyle": "none", "color": colour, "markeredgecolor": "white", "zorder": 5 + height}
    points, faded, losses = _shown(run, frame)
    (path,) = left.plot(*points.T, zorder=3 + height, **style)
    ghosts = left.plot(*faded.T, zorder=2 + height, alpha=0.3, **{**style, "linewidth": 0.8})
    end = run.path[-1:] if len(faded) else points[-1:]
    (dot,) = left.plot(*end.T, shape, markersize=5.5, **mark)
    (curve,) = right.plot(range(len(losses)), losses, zorder=3 + height, **style)
    crosses: list = []
    if run.left:
        crosses += left.plot(*points[-1:].T, "X", markersize=8, clip_on=False, **mark)
        dot.set_visible(bool(len(faded)))
    if run.diverged:
        top = right.get_ylim()[1]
        at = int(np.flatnonzero(~(losses < top))[0]) if (~(losses < top)).any() else len(losses) - 1
        crosses += right.plot(at, top, "X", markersize=8, clip_on=False, **mark)
    return [path, dot, curve, *ghosts, *crosses]


def _shown(run: Run, frame: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The path up to where it first leaves, what is drawn of the rest, and the losses, finite and above nought."""
    points = np.clip(np.nan_to_num(run.path, nan=1e9, posinf=1e9, neginf=-1e9), -1e9, 1e9)
    losses = np.clip(np.nan_to_num(run.losses, nan=1e99, posinf=1e99), _FLOOR, 1e99)
    if not run.left:
        return points, points[:0], losses
    x0, x1, y0, y1 = frame
    out = int(np.argmax((points[:, 0] < x0) | (points[:, 0] > x1) | (points[:, 1] < y0) | (points[:, 1] > y1)))
    edge = _exit(points[out - 1], points[out], frame)
    return np.vstack([points[:out], edge]), np.vstack([edge, points[out:]]) if not run.diverged else points[:0], losses


def _length(run: Run, frame: tuple[float, float, float, float]) -> float:
    """How much line the path up to its exit is."""
    return float(np.hypot(*np.diff(_shown(run, frame)[0], axis=0).T).sum())


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
    rate = run.rate_told if run.rate_told[0].isalpha() else f"rate {run.rate_told}"
    return f"{run.label}   {rate}\n{end}{run.note}"


def _legend(figure, settings: Settings, runs: Sequence[Run], lines: Sequence[list], marks: list) -> None:
    """The runs, the best first, and what else is drawn."""
    from matplotlib.lines import Line2D

    handles = []
    for path, dot, *_ in lines:
        handles.append(Line2D([], []))
        handles[-1].update_from(path)
        handles[-1].set(marker=dot.get_marker(), markersize=5.5, markeredgecolor="white")
    labels = [_told(run) for run in runs]
    for shape, name, shown in (("o", "last step", True), ("X", "leaves the frame", any(run.left for run in runs))):
        if shown:
            style: dict[str, Any] = {"linestyle": "none", "markersize": 5.5 if shape == "o" else 8}
            handles.append(Line2D([], [], marker=shape, color=_GREY, markeredgecolor="white", **style))
            labels.append(name)
    handles.append(Line2D([], [], color=_GREY, linewidth=0.9, linestyle=(0, (6, 3))))
    labels.append(f"tolerance {settings.tolerance:g}")
    many = len(runs) > 8
    legend = figure.legend(
        [*handles, *marks], [*labels, *(mark.get_label() for mark in marks)], loc="outside right center",
        frameon=False, labelcolor=_INK, fontsize=7.5 if many else 8.5, handlelength=2.6,
        labelspacing=0.5 if many else 0.7,
    )  # fmt: skip
    legend.set_in_layout(True)


def _animate(figure, canvas, lines: list[tuple[Run, list]], marks: list, stream: io.BytesIO) -> None:
    """The same picture, growing; slowly at first, where most happens. What stays is drawn once."""
    from PIL import Image

    canvas.draw()
    figure.set_layout_engine("none")  # nothing moves from here on
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    for artist in [a for _, artists in lines for a in artists] + marks:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    whole = [[tuple(a.get_data()) for a in artists] for _, artists in lines]
    pictures, longest = [], max(len(run.path) for run, _ in lines) - 1
    for n in range(_FRAMES + 1):
        step = round(longest * (n / _FRAMES) ** 1.7)
        canvas.restore_region(still)
        for (run, (path, dot, curve, ghost, *crosses)), data in zip(lines, whole, strict=True):
            k = min(step + 1, len(run.path))
            inside, (fx, fy), done = len(data[0][0]), data[3], k == len(run.path)
            path.set_data(*[v[:k] for v in data[0]])
            ghost.set_data(fx[: max(0, k - inside + 2)], fy[: max(0, k - inside + 2)])
            shown = dot.get_visible() or k < inside
            at = data[1] if done else [[v[k - 1]] for v in run.path.T]
            curve.set_data(*[v[:k] for v in data[2]])
            dot.set_data(*at)
            for artist in [ghost, path, curve] + [dot] * shown + crosses[:1] * (k >= inside) + crosses[1:] * done:
                artist.axes.draw_artist(artist)
        for artist in marks:
            artist.axes.draw_artist(artist)
        pictures.append(_picture(canvas, Image).quantize(palette=palette, dither=Image.Dither.NONE))
    times = [_PAUSE] * _FRAMES + [3000]
    pictures[0].save(stream, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True)


def _palette() -> list[int]:
    """128 colours: 64 greys, and those of the lines, each in eight mixtures with white."""
    greys = [(v, v, v) for v in np.linspace(0, 255, 64)]
    pure = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in _COLOURS]
    mixed = [[v + (255 - v) * k / 8 for v in colour] for colour in pure for k in range(8)]
    return [round(v) for colour in [*greys, *mixed] for v in colour]


def _picture(canvas, Image):
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
