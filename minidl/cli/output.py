"""What the command says and how: lines above a progress bar, complaints in one line on stderr."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any

from tqdm import tqdm

from ..train import Options


def say(line: str) -> None:
    tqdm.write(line, file=sys.stdout)  # above a progress bar, if there is one
    sys.stdout.flush()


def nothing(line: str) -> None:
    """What --quiet says."""


def complain(message: str, kind: str = "error: ") -> None:
    """One line on stderr, whatever the message has in it."""
    line = " ".join(message.split())
    print(f"minidl: {kind}{line}", file=sys.stderr, flush=True)


def warn(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    complain(str(message), "warning: ")


def reason(error: BaseException) -> str:
    """What a user can make use of: for an OSError the file and the reason, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def with_option(message: str) -> str:
    """'batch_size: ...' as '--batch-size: ...'."""
    name, colon, rest = message.partition(":")
    return f"--{name.replace('_', '-')}{colon}{rest}" if name in {f.name for f in fields(Options)} else message
