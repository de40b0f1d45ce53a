"""The race of update rules: its functions, its runs, what it says of them, its pictures, what it refuses."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from test_cli import refused

import minidl
from minidl import cli
from minidl.report.race import FUNCTIONS, RATES, RULES, USUAL, Settings, frame_of, race, run
from minidl.report.race_plot import MOST, _exit, draw_race

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
        assert abs(loss.item()) < 1e-9 and np.abs(w.grad.numpy()).max() < 1e-3
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
    found, x = run(settings(steps=12), "momentum", 0.01), np.array(BOWL.start)
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
    found = race(settings(steps=60, tolerance=0.01), ["nesterov", "sgd"], rates=rates)
    tried = {
        rule: [run(settings(steps=60, tolerance=0.01), rule, rate) for rate in rates] for rule in ("nesterov", "sgd")
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
    small, best, large = race(settings(steps=40), ["sgd"], factors=(0.01, 1, 10))
    assert small.rate == 0.01 * best.rate and large.rate == 10 * best.rate
    assert [r.label for r in (small, best, large)] == ["sgd x0.01", "sgd", "sgd x10"]
    assert best.losses[-1] < small.losses[-1] < large.losses[-1]
    assert small.note == "still moving" and large.note.startswith("diverged at step") and large.diverged
    assert len(large.path) < 41 and large.distance > 1e3


def test_what_is_said_of_runs():
    def note(name, rule, rate, steps, **others):
        return run(settings(name, steps, **others), rule, rate).note

    assert note("himmelblau", "sgd", 0.01, 60) == "at (3.58, -1.85)"
    assert note("ravine", "lbfgs", 1.0, 10) == "there"
    assert note("ravine", "sgd", 1e-9, 10).startswith("stuck at (-1, 2.4)")
    assert note("himmelblau", "adam", 10.0, 1) == "left the frame at step 1"
    assert note("himmelblau", "sgd", 0.3, 50).startswith("diverged at step ")
    start = Settings(FUNCTIONS["saddle"], (1.0, 0.0), 60)  # exactly on the ridge
    assert run(start, "sgd", 0.1).note == "stuck at (0, 0)"
    near = Settings(BOWL, (0.01, 0.0075), 31, tolerance=1e-3)  # begins below the tolerance
    assert run(near, "sgd", 0.039).note == "there" and run(near, "lion", 0.5).note == "does not stay at (0, 0)"
    assert run(near, "sgd", 0.039).arrived == 0


def test_noise_is_the_same_for_the_same_seed():
    calm, first, again, other = (
        run(settings(noise=noise, seed=seed), "sgd", 0.01).path[-1].tolist()
        for noise, seed in ((0.0, 1), (0.5, 1), (0.5, 1), (0.5, 2))
    )
    assert first == again and len({tuple(p) for p in (calm, first, other)}) == 3


def test_the_frame_is_wide_enough_for_the_start():
    wide = Settings(BOWL, (7.0, -9.0))
    x0, x1, y0, y1 = frame_of(wide)
    assert (x0, y1) == BOWL.frame[::3] and x1 > 7.0 and y0 < -9.0
    assert not run(wide, "sgd", 1e-3).left
    assert _exit(np.array([0.0, 0.0]), np.array([10.0, -20.0]), (-1, 2, -2, 3)).tolist() == [1.0, -2.0]


# ---------------------------------------------------------------------------------------------------------- pictures
def test_a_picture_shows_every_line(tmp_path):
    runs = race(settings(steps=15), ["sgd", "adam"], factors=(1, 30), rates=(0.1, 0.01))
    draw_race(settings(steps=15), runs, tmp_path / "race.png", "a title")
    image = np.asarray(Image.open(tmp_path / "race.png").convert("RGB")).reshape(-1, 3)
    assert image.shape[0] == 1560 * 648
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0xCC, 0x79, 0xA7)):
        assert (image == colour).all(axis=1).sum() > 150
    assert [p.name for p in tmp_path.iterdir()] == ["race.png"]
    with pytest.raises(ValueError, match=f"at most {MOST} lines"):
        draw_race(settings(), runs * 7, tmp_path / "race.png")


def test_an_animation_is_small_and_ends_with_the_whole_picture(tmp_path):
    runs = race(settings(steps=20), ["sgd", "lbfgs"], factors=(1, 3), rates=(0.02, 0.01))
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
    words = ["race", "--function", "saddle", "--optimizers", "sgd,lbfgs", "--steps", "20", "--plot", "race.png"]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "saddle  f = x^2 + (y^2 / 2 - 1)^2, from (-1.6, 0.002)" and captured.err == ""
    assert lines[1].split() == ["rule", "rate", "final", "loss", "distance", "steps", "gradients"]
    assert lines[2].startswith("lbfgs") and lines[3].startswith("sgd") and len(lines) == 5
    assert lines[2].endswith("at (0, 1.41)") and lines[4] == "the picture is in race.png"
    assert (tmp_path / "race.png").stat().st_size > 20_000


def test_the_command_has_its_own_start_and_factors(capsys):
    words = ["race", "--function=ravine", "--optimizers=sgd", "--steps=5", "--start=-2,1", "--lr-factor=0.1,1"]
    assert cli.main([*words, "--noise=0.1", "--seed=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("from (-2, 1)") and lines[2].startswith("sgd ") and lines[3].startswith("sgd x0.1 ")


def test_the_help_names_what_there_is(capsys):
    with pytest.raises(SystemExit):
        cli.main(["race", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in (*FUNCTIONS, *RULES)) and ",".join(USUAL) in text.replace("\n", "").replace(
        " ", ""
    )
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--optimizers", "sgd,adamm"], "--optimizers: there is no 'adamm'; there are sgd, momentum, nesterov, "),
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
        (["--plot", "race.gif", "--optimizers", "all", "--lr-factor", "1,2"], "--plot: 40 lines cannot be told apart"),
    ],
)
def test_the_command_refuses(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(["race", *words], capsys)
    assert not list(tmp_path.iterdir())
