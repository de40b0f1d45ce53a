"""Writes docs/from-pytorch.md: of every public name of PyTorch whether minidl has it, and what is missing.

`python tests/make_from_pytorch.py` writes the tables from the live code; with `--check` it only says whether they are
current. The text around the tables is in the page itself, outside the two marks.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from minidl import dtype, zeros  # noqa: E402
from minidl.compat import names  # noqa: E402

PAGE = ROOT / "docs" / "from-pytorch.md"
MARKS = ("<!-- made by tests/make_from_pytorch.py: begin -->", "<!-- made by tests/make_from_pytorch.py: end -->")
# arguments that PyTorch's own documentation calls internal or deprecated, or that only name its memory layouts
ABSTRACT = re.compile(r"must define|not implemented|is missing the required")  # of methods to be overridden
SILENT = set("generator_ names layout self cls requires_grad_ name axis keepdims values indices".split())


def accepted(value) -> set[str] | None:
    """The names of the arguments that a function or class here takes; None if any."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
        return None
    return {p.name for p in parameters}


def refusals(value) -> list[str]:
    """What the source of a function or class says in its `NotImplementedError`s."""
    if inspect.isclass(value):
        sources = [c for c in value.__mro__ if c.__module__.startswith("minidl.") and c.__name__ != "Module"]
    else:
        sources = [inspect.unwrap(value)] if callable(value) else []
    found = []
    for source in sources:
        try:
            text = inspect.getsource(source)
        except (TypeError, OSError):
            continue
        for message in re.findall(r'NotImplementedError\(\s*f?"([^"]+)"', text):
            _, colon, what = message.partition(": ")
            if colon and not ABSTRACT.search(what):
                found.append(re.sub(r"\{[^}]*\}", "…", what).split(";")[0].split(", got")[0])
    return [what for what in found if not what.startswith("…=…")]


def holds_data(value: dtype) -> bool:
    """Whether a tensor can be of this dtype."""
    try:
        zeros(1, dtype=value)
    except TypeError:
        return False
    return True


def missing(name: str, value, arguments: tuple[str, ...]) -> str:
    """What a name that exists is without; empty if nothing."""
    if isinstance(value, dtype):
        return "" if holds_data(value) else "a name to compare with: no data are held in it"
    parts = refusals(value)
    takes = accepted(value)
    if takes is not None and callable(value):
        without = [a for a in arguments if a not in takes | SILENT and a != "out" and not a.startswith("_")]
        if without:
            parts.insert(0, "without " + ", ".join(f"`{a}`" for a in without))
    return "; ".join(dict.fromkeys(parts))


def table(place: str, known: dict[str, tuple[str, ...]]) -> tuple[str, tuple[int, int, int]]:
    """The part of the page on one of PyTorch's places, and how many names are there, partly there and missing."""
    here = names.place_here(place)
    whole, partly, absent = [], [], {}
    for name, arguments in known.items():
        if here is None or name not in dir(here):
            absent.setdefault(names.group_of(place, name), []).append(name)
            continue
        what = missing(name, getattr(here, name), arguments)
        if what:
            partly.append(f"| `{name}` | {what} |")
        else:
            whole.append(name)
    count = len(whole), len(partly), sum(map(len, absent.values()))
    text = [f"### {place}", "", f"{count[0] + count[1]} of {sum(count)} names, {count[1]} of them in part.", ""]
    if whole:
        text += [*textwrap.wrap(f"Supported: {', '.join(f'`{name}`' for name in whole)}.", 118), ""]
    if partly:
        text += ["| in part | what is missing |", "|---|---|", *partly, ""]
    if absent:
        text += ["| not there | why |", "|---|---|"]
        for group, missed in absent.items():
            why = "-" if group is None else f"{'planned' if group.planned else 'out of scope'}: {group.why}"
            text.append(f"| {', '.join(f'`{name}`' for name in missed)} | {why} |")
        text.append("")
    return "\n".join(text), count


def page(before: str) -> str:
    """The page with its tables made anew."""
    head, _, rest = before.partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    parts, rows = [], []
    for place, known in names.torch_names().items():
        text, (whole, partly, absent) = table(place, known)
        parts.append(text)
        anchor = place.replace(".", "").lower()
        rows.append(f"| [{place}](#{anchor}) | {whole} | {partly} | {absent} |")
    overview = ["", "| place | supported | in part | not there |", "|---|---|---|---|", *rows, ""]
    return "\n".join([head + MARKS[0], *overview, *parts]) + MARKS[1] + tail


if __name__ == "__main__":
    current = PAGE.read_text(encoding="utf-8")
    made = page(current)
    if "--check" in sys.argv:
        if made != current:
            sys.exit(f"{PAGE.relative_to(ROOT)} is not current; run python {Path(__file__).relative_to(ROOT)}")
    else:
        PAGE.write_text(made, encoding="utf-8")
