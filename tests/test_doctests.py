"""Runs the examples in the docstrings of minidl, in docs/ and in README.md: what is shown is what happens."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import minidl

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def module_names() -> list[str]:
    """Every module that can be imported without CuPy and without starting the program."""
    names = []
    for path in sorted((ROOT / "minidl").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] != "__main__" and not name.startswith("minidl.backend.cuda"):
            names.append(name)
    return names


def unfenced(text: str) -> str:
    """A page of Markdown without the fences of its code blocks, which doctest would take for output."""
    return re.sub(r"^```.*$", "", text, flags=re.MULTILINE)


def failures(test: doctest.DocTest) -> str:
    """The report of the examples that do not give what they say; empty if all do."""
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    return "".join(report)


@pytest.fixture(autouse=True)
def same_numbers_every_time(tmp_path, monkeypatch):
    """Examples draw from seed 0, whatever ran before, and leave their files elsewhere."""
    monkeypatch.chdir(tmp_path)
    minidl.manual_seed(0)


@pytest.mark.parametrize("name", module_names())
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    names = {"minidl": minidl, "np": np, **vars(module)}  # what an example may use without importing it
    report = "".join(failures(test) for test in doctest.DocTestFinder().find(module, globs=names) if test.examples)
    assert not report, report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_pages(page):
    parser, text = doctest.DocTestParser(), unfenced(page.read_text(encoding="utf-8"))
    report = failures(parser.get_doctest(text, {}, page.name, str(page), 0))
    assert not report, report


def test_the_loop_in_the_readme_runs(capsys):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 1
    exec(compile(blocks[0].replace("range(10)", "range(2)"), "README.md", "exec"), {})
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_a_wrong_example_is_reported():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected" in failures(test)


def test_relative_links_in_pages_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.name}: {target}")
    assert not missing
