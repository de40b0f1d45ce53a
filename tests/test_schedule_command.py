"""`minidl schedule`: its table, its list, its picture, what it refuses."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from PIL import Image
from test_cli import refused

from minidl import cli
from minidl.optim import schedules
from minidl.report.schedule import draw_schedule


def table(words, capsys):
    """The first line, and the rows as numbers, of a schedule."""
    assert cli.main(["schedule", *words]) == 0
    captured = capsys.readouterr()
    first, head, *rows = [line for line in captured.out.splitlines() if not line.startswith("the picture")]
    assert head.split() == ["step", "factor", "rate"] and captured.err == ""
    rows = [row for row in rows if not row.startswith(("it turns", "of the "))]
    return first, [[float(x.replace(",", "")) for x in row.split()] for row in rows]


@pytest.mark.parametrize("name", schedules.NAMES)
def test_every_schedule_has_its_table(name, capsys):
    first, rows = table([name, "--steps", "900", "--warmup", "90", "--lr", "0.5"], capsys)
    schedule = schedules.build(name, 900, 90)
    assert first == f"lr = {0.5 * schedule!r}"
    assert rows[0][0] == 0 and rows[-1][0] == 899 and 90 in [row[0] for row in rows] and 10 <= len(rows) <= 20
    for step, factor, rate in rows:
        assert math.isclose(factor, schedule(step), rel_tol=1e-3, abs_tol=1e-9)
        assert math.isclose(rate, 0.5 * schedule(step), rel_tol=1e-3, abs_tol=1e-9)


def test_options_are_set_in_one_word_or_several(capsys):
    first, _ = table(["step", "--steps", "90", "--set", "every=10,gamma=0.5"], capsys)
    again, _ = table(["step", "--steps", "90", "--set", "every=10", "--set", "gamma=0.5"], capsys)
    assert first == again == f"lr = {0.1 * schedules.step(10, 0.5)!r}"
    first, _ = table(["multistep", "--set", "milestones=30,60,gamma=0.2"], capsys)
    assert first == f"lr = {0.1 * schedules.multistep([30, 60], 0.2)!r}"
    first, _ = table(["multistep", "--set", "milestones=30", "--lr", "1"], capsys)
    assert first == f"lr = {schedules.multistep([30], 0.1)!r}"
    first, _ = table(["one-cycle", "--set", "three-phase=true,anneal=linear", "--steps=100"], capsys)
    assert first == f"lr = {0.1 * schedules.build('one-cycle', 100, three_phase=True, anneal='linear')!r}"


def test_names_and_options_may_be_written_otherwise(capsys):
    first, _ = table(["One_Cycle", "--set", "Three_Phase=true"], capsys)
    assert first == f"lr = {0.1 * schedules.build('one-cycle', 1000, three_phase=True)!r}"
    first, _ = table(["multistep", "--set", "milestones=[300, 600],gamma=0.5"], capsys)
    assert first == f"lr = {0.1 * schedules.multistep([300, 600], 0.5)!r}"
    first, _ = table(["step", "--set", "every=auto"], capsys)
    assert first == f"lr = {0.1 * schedules.step(333)!r}"
    share, _ = table(["cosine", "--warmup", "0.1"], capsys)
    assert (
        share
        == table(["cosine", "--warmup", "100"], capsys)[0]
        == f"lr = {0.1 * schedules.build('cosine', 1000, 100)!r}"
    )


def test_the_table_shows_where_a_schedule_turns(capsys):
    _, rows = table(["multistep", "--set", "milestones=300,600"], capsys)
    assert {299, 300, 599, 600} <= {row[0] for row in rows} and len(rows) == 14
    for words in (["warm-restarts", "--set", "first=100,growth=1"], ["cyclic", "--set", "mode=triangular2,up=50"]):
        assert cli.main(["schedule", *words]) == 0
        *lines, last = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"it turns or jumps at 1[89] steps; 8 of them are in the table", last)
        _, rows = table(words, capsys)
        factors = [row[1] for row in rows]
        assert len(rows) <= 20 and sum(b > a for a, b in itertools.pairwise(factors)) >= 4
    assert [50, 1.0, 0.1] in rows  # the peak of the first triangle


def test_of_a_very_long_run_a_part_is_looked_at(capsys):
    assert cli.main(["schedule", "cosine", "--steps", "1000000000"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("of the 1,000,000,000 steps only each 10,000th was")


def test_short_runs_have_short_tables(capsys):
    _, rows = table(["constant", "--steps", "1"], capsys)
    assert rows == [[0, 1, 0.1]]
    _, rows = table(["linear", "--steps", "4"], capsys)
    assert [row[0] for row in rows] == [0, 1, 2, 3]


def test_the_list_has_all_schedules_and_their_options(capsys):
    assert cli.main(["schedule", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(schedules.NAMES)
    (step,) = [line for line in lines if re.match(r"step\b", line)]
    assert step.split(maxsplit=1)[1] == "every=auto, gamma=0.1"


def test_the_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schedule", "cosine", "--warmup", "100", "--plot", "cosine.png"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the picture is in cosine.png"
    image = np.asarray(Image.open("cosine.png").convert("RGB")).astype(int)
    assert image.shape == (528, 1080, 3)
    rows, columns = np.nonzero((image == (0x00, 0x72, 0xB2)).all(axis=-1))
    top, bottom = rows.min(), rows.max()
    peak = np.median(columns[rows == top])
    # up for a tenth of the width, then down: the peak is in the first fifth, the end at the bottom right
    left, right = columns.min(), columns.max()
    assert 0.05 < (peak - left) / (right - left) < 0.2 and bottom - top > 300
    assert columns[rows >= bottom - 2].max() > right - 40
    assert [p.name for p in tmp_path.iterdir()] == ["cosine.png"]


@pytest.mark.parametrize("words", [["one-cycle"], ["noam"], ["cosine", "--warmup", "300"], ["cosine"]])
def test_the_rise_is_shaded(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schedule", *words, "--plot", "a.png"]) == 0
    image = np.asarray(Image.open("a.png").convert("RGB")).astype(int)
    shaded = (image == (0xEE, 0xF3, 0xF7)).all(axis=-1).any(axis=0).sum() / image.shape[1]
    low, high = {"noam": (0.02, 0.08), "cosine": (-1, 0)}.get(words[-1], (0.2, 0.3))
    assert low <= shaded <= high


def test_a_long_title_is_wrapped(tmp_path):
    draw_schedule(schedules.multistep(range(100, 1000, 20), 0.9), 1000, tmp_path / "a.png")
    draw_schedule(schedules.multistep([100], 0.9), 1000, tmp_path / "b.png")
    tops = []
    for name in ("a.png", "b.png"):
        image = np.asarray(Image.open(tmp_path / name).convert("L"))
        dark = (image < 90).any(axis=0)
        assert not dark[:20].any() and not dark[-10:].any()  # within the picture
        blue = (np.asarray(Image.open(tmp_path / name).convert("RGB")) == (0x00, 0x72, 0xB2)).all(axis=-1).any(axis=1)
        tops.append(int(blue.argmax()))
    assert tops[0] > tops[1] + 30


def test_nothing_is_said_if_the_picture_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schedule", "cosine", "--plot", "a" * 300 + ".png"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "File name too long" in captured.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [1, 7, 50_000])
def test_pictures_of_short_and_long_runs(tmp_path, steps):
    draw_schedule(schedules.build("warm-restarts", steps), steps, tmp_path / "a.png", 0.1)
    draw_schedule(-1 * schedules.cosine(10), steps, tmp_path / "b.png")
    assert all(p.stat().st_size > 5000 for p in tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], "expected the name of a schedule; there are constant, linear, "),
        (["cosin"], "unknown schedule 'cosin' (did you mean cosine?); there are constant, linear, "),
        (["Plateau"], "the schedule plateau follows the test loss"),
        (["step", "--set", "gama=1"], "has no option 'gama' (did you mean gamma?); its options are: every, gamma"),
        (["cosine", "--set", "end=0.1,warmup=5"], "has no option 'warmup'; --warmup says that"),
        (["cosine", "--set", "=3"], "--set: expected OPTION=VALUE such as gamma=0.5, got '=3'"),
        (["step", "--set", "gamma=10,every=1"], "step(1, 10) is beyond the largest number at step 309"),
        (["linear", "--set", "start=0,end=-1"], "linear(0, -1, 1000) is below 0 (-0.001) at step 1"),
        (["multistep", "--set", "milestones=3,x"], "--set: milestones must be numbers such as 300,600, got 3,x"),
        (["inverse-time", "--set", "every=x"], "--set: every must be a number, got 'x'"),
        (["cosine", "--set", "end=0,1"], "--set: end must be a number, got [0, 1]"),
        (["one-cycle", "--set", "three_phase=3"], "--set: three_phase must be true or false, got 3"),
        (["cosine", "--set", "gamma=1"], "schedule 'cosine' has no option 'gamma'; its options are: end"),
        (["cosine", "--set", "end"], "--set: expected OPTION=VALUE such as gamma=0.5, got 'end'"),
        (["cosine", "--set", "end="], "--set: expected OPTION=VALUE such as gamma=0.5, got 'end='"),
        (["cosine", "--set", "end=x"], "--set: end must be a number, got 'x'"),
        (["cosine", "--set", "end=0", "--set", "end=1"], "--set: end was given twice"),
        (["cosine", "--steps", "0"], "--steps: expected a whole number of at least 1"),
        (["cosine", "--warmup", "1000"], "--warmup: must be less than the 1000 steps of the run, got 1000"),
        (["cosine", "--warmup", "-1"], "--warmup: expected a share of the run below 1 or a number of steps, got -1"),
        (["cosine", "--warmup", "1.5"], "--warmup: expected a share of the run below 1 or a number of steps, got 1.5"),
        (["cosine", "--lr", "0"], "--lr: expected a finite number above 0, got 0.0"),
        (["cosine", "--lr", "inf"], "--lr: expected a finite number above 0, got inf"),
        (["cosine", "--plot", "a.pdf"], "--plot: expected a file name that ends in .png, got 'a.pdf'"),
        (["cosine", "--plot", "nowhere/a.png"], "--plot: there is no folder nowhere"),
    ],
)
def test_the_command_refuses(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(["schedule", *words], capsys)
    assert not list(tmp_path.iterdir())
