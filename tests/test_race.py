"""The race of update rules: its functions, its runs, what it says of them, its pictures, what it refuses."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from test_cli import refused

import minidl
from minidl import cli
from minidl.report.race import FUNCTIONS, RATES, RULES, USUAL, Settings, frame_of, race, run, standings
from minidl.report.race_plot import MOST, _exit, _shown, draw_race

BOWL = FUNCTIONS["ravine"]


def settings(name="ravine", steps=30, **others) -> Settings:
    return Settings(FUNCTIONS[name], FUNCTIONS[name].start, steps, **others)


# --------------------------------------------------------------------------------------------------------- functions
@pytest.mark.parametrize("name", FUNCTIONS)
def test_minima_are_minima_and_lie_in_the_frame(name):
    function = FUNCTIONS[name]
    x0, x1, y0, y1 = function.frame
    for point in (*function.minima, function.start):
        assert x0 < point[0] < x1 and y0 < point[1] < y1
    for x, y in function.minima:
        w = minidl.tensor([x, y], dtype=minidl.float64, requires_grad=True)
        loss = function.f(w[0], w[1])
        loss.backward()
        assert abs(loss.item()) < 1e-28 and np.abs(w.grad.numpy()).max() < 1e-13  # to the last bits
        around = [function.f(x + 1e-2 * math.cos(a), y + 1e-2 * math.sin(a)) for a in np.linspace(0, 6.28, 24)]
        assert min(around) > 1e-6
    x, y = np.meshgrid(np.linspace(x0, x1, 200), np.linspace(y0, y1, 200))
    assert function.f(x, y).min() >= 0


def test_the_formulas_are_those_of_the_functions():
    for name in ("rosenbrock", "beale", "himmelblau", "saddle"):
        text = FUNCTIONS[name].formula.replace("^", "**").replace("100 (", "100 * (").replace("x y", "x * y")
        for x, y in ((0.3, -1.7), (2.0, 0.5)):
            assert math.isclose(eval(text, {"x": x, "y": y}), FUNCTIONS[name].f(x, y), rel_tol=1e-12)
    turn = math.radians(36.87)
    u, v = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) @ [0.3, -1.7]
    assert math.isclose(u * u / 2 + 25 * v * v, BOWL.f(0.3, -1.7), rel_tol=1e-4)


# -------------------------------------------------------------------------------------------------------------- runs
def test_a_run_goes_where_the_equations_go():
    found, x = run(settings(steps=12), "sgd", 0.01), np.array(BOWL.start)
    turn, b = np.array([[0.8, 0.6], [-0.6, 0.8]]), 0.0
    path = [x]
    for _ in range(12):
        b = 0.9 * b + turn.T @ (np.array([1.0, 50.0]) * (turn @ x))
        x = x - 0.01 * b
        path.append(x)
    np.testing.assert_allclose(found.path, path, rtol=1e-12)
    np.testing.assert_allclose(found.losses, [BOWL.f(*p) for p in path], rtol=1e-12)
    assert found.gradients == 12 and math.isclose(found.distance, np.hypot(*x), rel_tol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_makes_its_way(rule):
    found = race(settings(steps=25), [rule], rates=RATES[:14])[0]
    assert found.losses[-1] < 0.6 * found.losses[0] and not found.left and found.rule == found.label == rule


def test_the_best_rate_is_the_one_that_arrives_first():
    rates = RATES[3:15]
    found = race(settings(steps=60, tolerance=0.01), ["nesterov", "descent"], rates=rates)
    tried = {
        rule: [run(settings(steps=60, tolerance=0.01), rule, rate) for rate in rates]
        for rule in ("nesterov", "descent")
    }
    for best in found:
        arrived = [r.arrived for r in tried[best.rule] if r.arrived is not None and not r.left]
        stayed = [r for r in tried[best.rule] if not r.left]
        if arrived:
            assert best.arrived == min(arrived)
            assert (best.losses[best.arrived :] <= 0.01).all() and best.losses[best.arrived - 1] > 0.01
        else:
            assert best.losses[-6:].mean() == min(r.losses[-6:].mean() for r in stayed)
    assert found[0].arrived is not None and found[1].arrived is None


def test_rates_too_small_and_too_large():
    small, best, large = race(settings(steps=40), ["descent"], factors=(0.01, 1, 10))
    assert small.rate == 0.01 * best.rate and large.rate == 10 * best.rate
    assert [r.label for r in (small, best, large)] == ["descent x0.01", "descent", "descent x10"]
    assert best.losses[-1] < small.losses[-1] < large.losses[-1]
    assert small.note == "still moving" and large.note.startswith("diverged at step") and large.diverged
    assert len(large.path) < 41 and large.distance > 1e3


def test_what_is_said_of_runs():
    def note(name, rule, rate, steps, **others):
        return run(settings(name, steps, **others), rule, rate).note

    assert note("himmelblau", "descent", 0.01, 60) == "at (3.58, -1.85)"
    assert note("ravine", "lbfgs", 1.0, 10) == "there"
    assert note("ravine", "descent", 1e-9, 10) == "still creeping"  # merely slow: there is a slope
    assert note("ravine", "radam", 0.0046, 20) == "still creeping"
    assert note("beale", "adam", 4.64159, 60) == "in and out from step 1"
    assert note("himmelblau", "adam", 10.0, 1) == "left the frame at step 1"
    assert note("himmelblau", "descent", 0.3, 50).startswith("diverged at step ")
    start = Settings(FUNCTIONS["saddle"], (1.0, 0.0), 60)  # exactly on the ridge
    assert run(start, "descent", 0.1).note == "stuck at (0, 0)"
    near = Settings(BOWL, (0.01, 0.0075), 31, tolerance=1e-3)  # begins below the tolerance
    assert run(near, "descent", 0.039).note == "there" and run(near, "lion", 0.5).note == "does not stay at (0, 0)"
    assert run(near, "descent", 0.039).arrived == 0


def test_gradients_are_counted_until_it_arrives():
    sure = run(settings(steps=60), "lbfgs", 1.0)
    cut = run(settings(steps=sure.arrived), "lbfgs", 1.0)
    assert sure.arrived < 60 and sure.gradients == cut.gradients > cut.arrived
    assert run(settings(steps=12), "descent", 0.01).gradients == 12
    assert sure.rate_told == "line search" and run(settings(steps=2), "descent", 0.01).rate_told == "0.01"


def test_standings():
    runs = [run(settings(steps=n), rule, rate) for rule, rate, n in (
        ("descent", 0.2, 90), ("descent", 0.001, 9), ("descent", 0.02, 9), ("lbfgs", 1.0, 60),
    )]  # fmt: skip
    assert [runs.index(r) for r in standings(runs)] == [3, 2, 1, 0] and runs[0].diverged


def test_noise_is_the_same_for_the_same_seed():
    calm, first, again, other = (
        run(settings(noise=noise, seed=seed), "descent", 0.01).path[-1].tolist()
        for noise, seed in ((0.0, 1), (0.5, 1), (0.5, 1), (0.5, 2))
    )
    assert first == again and len({tuple(p) for p in (calm, first, other)}) == 3


def test_the_frame_is_wide_enough_for_the_start():
    wide = Settings(BOWL, (7.0, -9.0))
    x0, x1, y0, y1 = frame_of(wide)
    assert (x0, y1) == BOWL.frame[::3] and x1 > 7.0 and y0 < -9.0
    assert not run(wide, "descent", 1e-3).left
    assert _exit(np.array([0.0, 0.0]), np.array([10.0, -20.0]), (-1, 2, -2, 3)).tolist() == [1.0, -2.0]


# ---------------------------------------------------------------------------------------------------------- pictures
def test_a_picture_shows_every_line(tmp_path):
    runs = race(settings(steps=15), ["descent", "adam"], factors=(1, 30), rates=(0.1, 0.01))
    draw_race(settings(steps=15), runs, tmp_path / "race.png", "a title")
    image = np.asarray(Image.open(tmp_path / "race.png").convert("RGB")).reshape(-1, 3)
    assert image.shape[0] == 1560 * 648
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0xCC, 0x79, 0xA7)):
        assert (image == colour).all(axis=1).sum() > 150
    assert [p.name for p in tmp_path.iterdir()] == ["race.png"]
    assert MOST == 12
    with pytest.raises(ValueError, match=f"at most {MOST} lines"):
        draw_race(settings(), runs * 7, tmp_path / "race.png")


def test_a_diverging_path_ends_where_it_leaves_and_another_fades():
    frame, away = frame_of(settings()), run(settings(steps=60), "descent", 0.0646)
    points, faded, losses = _shown(away, frame)
    assert away.diverged and len(points) == 2 and len(faded) == 0 and len(losses) == len(away.path)
    assert (np.abs(points) <= 2.6 + 1e-12).all() and np.abs(points[-1]).max() == pytest.approx(2.6)
    back = run(settings(steps=60), "adam", 10.0)
    points, faded, _ = _shown(back, frame)
    assert back.left and not back.diverged and len(points) + len(faded) == len(back.path) + 2
    assert (points[-1] == faded[0]).all() and (faded[-1] == back.path[-1]).all()
    points, faded, _ = _shown(run(settings(steps=20), "descent", 0.01), frame)
    assert len(points) == 21 and len(faded) == 0


def drawn(runs, tmp_path, monkeypatch, **others):
    """The figure that is drawn: its axes and the texts of its legend."""
    kept: list = []
    monkeypatch.setattr(
        Figure, "legend", lambda self, *a, _was=Figure.legend, **k: kept.append(self) or _was(self, *a, **k)
    )
    draw_race(settings(steps=40, **others), runs, tmp_path / "race.png", "a title")
    (figure,) = kept
    return figure.axes, [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_picture_says_what_it_shows(tmp_path, monkeypatch):
    runs = [
        run(settings(steps=40), *what)
        for what in (("descent", 0.1), ("descent", 0.02), ("adam", 1.0), ("lbfgs", 100.0))
    ]
    (left, right), texts = drawn(runs, tmp_path, monkeypatch)
    assert [text.split()[0] for text in texts[:4]] == [r.rule for r in standings(runs)] and "line search" in texts[0]
    assert texts[4:] == ["last step", "leaves the frame", "tolerance 0.0001", "minimum", "start"]
    assert right.get_ylabel() == "f(x, y); below 1e-12 drawn there"
    assert all(t == int(t) for t in right.get_xticks())
    paths = [line for line in left.lines if line.get_linestyle() != "None" and line.get_alpha() is None]
    lengths = [np.hypot(*np.diff(line.get_xydata(), axis=0).T).sum() for line in sorted(paths, key=lambda p: p.zorder)]
    assert len(lengths) == 4 and lengths == sorted(lengths, reverse=True)  # the shortest on top
    (_, right), texts = drawn(runs[1:3], tmp_path, monkeypatch)
    assert right.get_ylabel() == "f(x, y)" and "leaves the frame" not in texts


def test_an_animation_is_small_and_ends_with_the_whole_picture(tmp_path):
    runs = race(settings(steps=20), ["descent", "lbfgs"], factors=(1, 3), rates=(0.02, 0.01))
    draw_race(settings(steps=20), runs, tmp_path / "race.gif")
    data = (tmp_path / "race.gif").read_bytes()
    film = Image.open(io.BytesIO(data))
    assert 12 < film.n_frames <= 37 and len(data) < 2_000_000 and film.info["loop"] == 0
    first = np.asarray(film.convert("RGB")).astype(int)
    film.seek(film.n_frames - 1)
    last = np.asarray(film.convert("RGB")).astype(int)
    assert (np.abs(first - last).sum(axis=-1) > 60).sum() > 500 and film.info["duration"] >= 2000


# ------------------------------------------------------------------------------------------------------- the command
def test_the_command_prints_a_table_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["race", "--function", "saddle", "--optimizers", "descent,lbfgs", "--steps", "20", "--plot", "race.png"]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "saddle  f = x^2 + (y^2 / 2 - 1)^2, from (-1.6, 0.002)" and captured.err == ""
    assert lines[1].split() == ["rule", "rate", "final", "loss", "distance", "steps", "gradients"]
    assert lines[2].startswith("lbfgs") and lines[3].startswith("descent") and len(lines) == 5
    assert lines[2].endswith("at (0, 1.41)") and lines[4] == "the picture is in race.png"
    assert (tmp_path / "race.png").stat().st_size > 20_000


def test_the_command_has_its_own_start_and_factors(capsys):
    words = ["race", "--function=ravine", "--optimizers=descent", "--steps=5", "--start=-2,1", "--lr-factor=0.1,1"]
    assert cli.main([*words, "--noise=0.1", "--seed=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].endswith("from (-2, 1)") and lines[2].startswith("descent ") and lines[3].startswith("descent x0.1 ")
    )


def test_of_many_runs_the_best_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    factors = ",".join(str(1 + i / 100) for i in range(14))
    words = ["race", "--function=ravine", "--optimizers=descent", "--steps=3", "--lr-factor", factors]
    assert cli.main([*words, "--plot", "race.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 17 and lines[-1].startswith("the picture is in race.png and shows the 12 best, ")


def test_a_start_may_begin_with_a_minus(capsys):
    assert cli.main(["race", "--function", "ravine", "--optimizers", "lbfgs", "--steps", "3", "--start", "-1,-.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("from (-1, -0.5)") and " line search " in lines[2]


def test_the_help_names_what_there_is(capsys):
    with pytest.raises(SystemExit):
        cli.main(["race", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in (*FUNCTIONS, *RULES)) and ",".join(USUAL) in text.replace("\n", "").replace(
        " ", ""
    )
    assert max(map(len, text.splitlines())) <= 110
    assert all(word in text for word in ("still moving", "still creeping", "does not stay at", "stuck at"))


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--optimizers", "sgd,adamm"], "--optimizers: there is no 'adamm'; there are sgd, nesterov, descent, "),
        (["--optimizers", "sgd,sgd"], "--optimizers: a rule was given twice in 'sgd,sgd'"),
        (["--function", "banana"], "argument --function: invalid choice: 'banana'"),
        (["--steps", "0"], "--steps: expected a whole number from 1 to 100000, got 0"),
        (["--start", "1"], "--start: expected two numbers between -100 and 100 such as 1,2, got '1'"),
        (["--start", "1,y"], "--start: expected numbers such as 0.5,1, got '1,y'"),
        (["--start", "1,nan"], "--start: expected numbers such as 0.5,1, got '1,nan'"),
        (["--start", "1,1e5"], "--start: expected two numbers between -100 and 100"),
        (["--lr-factor", "1,-1"], "--lr-factor: expected different numbers above 0, got '1,-1'"),
        (["--lr-factor", "1,1"], "--lr-factor: expected different numbers above 0"),
        (["--noise", "nan"], "--noise: expected a number of at least 0 and below 1e6, got nan"),
        (["--tolerance", "0"], "--tolerance: expected a number of at least 1e-12"),
        (["--plot", "race.jpg"], "--plot: expected a file name that ends in .png or .gif, got 'race.jpg'"),
        (["--plot", "nowhere/race.png"], "--plot: there is no folder nowhere"),
        (
            ["--plot", "race.gif", "--optimizers", "all", "--lr-factor", "1,1"],
            "--lr-factor: expected different numbers",
        ),
        (["--seed", "-1"], "--seed: expected a whole number of at least 0 and below 2^64, got -1"),
        (["--plot", "a" * 300 + ".png"], "File name too long"),
    ],
)
def test_the_command_refuses(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(["race", *words], capsys)
    assert not list(tmp_path.iterdir())
