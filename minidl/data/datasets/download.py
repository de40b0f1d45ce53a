"""One file from the network, with a progress bar."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import BinaryIO

from tqdm import tqdm

_CHUNK = 1 << 16
_TIMEOUT = 30.0  # seconds without a byte


def fetch(url: str, stream: BinaryIO, limit: int, label: str, progress: bool = True) -> str | None:
    """Write what lies at `url` to `stream`, at most `limit` bytes. Returns what went wrong, None if nothing
    did.

    Errors of the stream itself (a full disk) are raised.
    """
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "minidl"})
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return f"no connection ({error.reason})"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no connection ({error})"
    with response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if total is not None and total > limit:
            return f"{total} bytes are offered, at most {limit} expected"
        # no bar where nobody looks at a terminal
        with tqdm(total=total, unit="B", unit_scale=True, desc=label, disable=None if progress else True) as bar:
            done = 0
            while True:
                try:
                    chunk = response.read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    return f"the connection broke after {done} bytes ({error})"
                if not chunk:
                    break
                done += len(chunk)
                if done > limit:
                    return f"more than the {limit} bytes expected came"
                stream.write(chunk)
                bar.update(len(chunk))
    if total is not None and done != total:
        return f"the connection broke after {done} of {total} bytes"
    return None
