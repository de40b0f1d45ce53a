"""The examples with second derivatives run, shortened, and print what they promise."""

from __future__ import annotations

import re

from test_examples import numbers, picture, run_example


def test_wgan_gp_brings_the_gradient_norm_to_one(tmp_path):
    args = ["--steps", "60", "--width", "32", "--penalty", "10", "--picture", "points.png"]
    lines = run_example("wgan_gp.py", *args, cwd=tmp_path).splitlines()
    steps = numbers("step #: distance #, gradient norm #", lines[:-2])
    assert [s for s, *_ in steps] == [1, 10, 20, 30, 40, 50, 60]
    assert steps[0][2] < 0.5 and all(0.6 < norm < 1.4 for _, _, norm in steps[-2:])
    ((reached, share),) = numbers("centres reached: # of 8, generated points within 0.4 of one: #%", lines[-2:-1])
    assert 0 <= reached <= 8 and 0 <= share <= 100
    assert picture(lines, tmp_path / "points.png") == (640, 600)


def test_newton_needs_fewer_passes(tmp_path):
    lines = run_example("newton.py", "--passes", "300", "--picture", "losses.png", cwd=tmp_path).splitlines()
    pattern = r"(.+): loss (\S+) at first, (\S+) after (\d+) steps"
    rows = [re.fullmatch(pattern, line).groups() for line in lines[:-1]]
    found = {name: (float(first), float(last), int(steps)) for name, first, last, steps in rows}
    assert list(found) == ["gradient descent", "Adam", "Newton"]
    first = {start for start, _, _ in found.values()}
    assert len(first) == 1 and found["gradient descent"][2] == found["Adam"][2] == 300 and found["Newton"][2] < 60
    assert found["Newton"][1] < found["gradient descent"][1] / 20
    assert picture(lines, tmp_path / "losses.png") == (1100, 440)


def test_pinn_comes_near_the_solution(tmp_path):
    args = [
        "--adam",
        "150",
        "--lbfgs",
        "90",
        "--frequency",
        "2",
        "--width",
        "16",
        "--points",
        "40",
        "--picture",
        "u.png",
    ]
    lines = run_example("pinn.py", *args, cwd=tmp_path).splitlines()
    ((start,),) = numbers("at first: error #", lines[:1])
    found = [float(line.rpartition(" ")[2]) for line in lines[1:-1]]
    assert len(found) == 6 and found[-1] < 0.02 < 0.2 < start and found[-1] < found[2]
    assert picture(lines, tmp_path / "u.png") == (1100, 400)
