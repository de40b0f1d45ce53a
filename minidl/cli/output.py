"""What the command says and how: lines above a progress bar, complaints in one line on stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import Any

from tqdm import tqdm

from ..train import Options, RunError


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


def picture_path(option: str, path: str, kinds: tuple[str, ...]) -> str:
    """Where a picture shall go; refused before any work is done if it cannot be written there."""
    if os.path.splitext(path)[1].lower() not in kinds:
        raise RunError(f"--{option}: expected a file name that ends in {' or '.join(kinds)}, got {path!r}")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RunError(f"--{option}: there is no folder {folder}")
    if os.path.isdir(path):
        raise RunError(f"--{option}: {path} is a folder")
    if not os.access(folder, os.W_OK):
        raise RunError(f"--{option}: {folder}: Permission denied")
    return path


def with_option(message: str) -> str:
    """'batch_size: ...' as '--batch-size: ...'."""
    name, colon, rest = message.partition(":")
    return f"--{name.replace('_', '-')}{colon}{rest}" if name in {f.name for f in fields(Options)} else message
