"""What the CPU can do."""

from __future__ import annotations

import numpy as np


def get_cpu_capability() -> str:
    """The widest vector instructions that NumPy uses here: 'AVX512', 'AVX2' or 'DEFAULT'."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return next((name for name in ("AVX512", "AVX2") if any(name in f for f in found)), "DEFAULT")
