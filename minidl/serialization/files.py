"""Files: whole or not at all when written; as bytes, or mapped into memory, when read."""

from __future__ import annotations

import mmap
import os
import secrets
from pathlib import Path
from typing import Any


def write_file(path: str | os.PathLike, *data: bytes) -> None:
    """Write a file whole or not at all: under a temporary name in the same folder, flushed to the disk, then renamed.

    data: its content, in one piece or several.

    Raises:
        OSError: it cannot be written; names `path`. A file that was there before is unharmed.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(partial, "xb") as stream:
                for piece in data:
                    stream.write(piece)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    if os.name == "posix":
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the file system knows how to."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def read_source(f: Any, where: str, mapped: bool = False) -> tuple[Any, str]:
    """All bytes of a path or of a file that is open for reading, and its name for errors; mapped: a memory map.

    A memory map is private: what is written into it never reaches the file.
    """
    if not hasattr(f, "read"):
        if not isinstance(f, (str, os.PathLike)):
            raise TypeError(f"{where}: expected a path or a file that is open for reading, got {type(f).__name__}")
        path = Path(f)
        if not mapped:
            return path.read_bytes(), str(f)
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size:
                return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY), str(f)
            return b"", str(f)
    if mapped:
        raise ValueError(f"{where}: mmap=True needs a path, got {type(f).__name__}")
    raw, name = f.read(), str(getattr(f, "name", "the file"))
    if not isinstance(raw, (bytes, bytearray)):
        raise TypeError(f"{where}: {name} gives {type(raw).__name__}; open it for reading bytes, in mode 'rb'")
    return bytes(raw), name
