"""Embeddings as functions."""

from __future__ import annotations

import numpy as np

from .library import numbers, several

several(
    "embedding",
    {
        "plain": lambda L, w: L.F.embedding(L.tensor(np.array([[0, 2], [2, 3]])), w),
        "padding": lambda L, w: L.F.embedding(L.tensor(np.array([[0, 2], [2, 3]])), w, 2) ** 2,
        "padding from the end": lambda L, w: L.F.embedding(L.tensor(np.array([3, 3, 0])), w, padding_idx=-1).exp(),
        "one": lambda L, w: L.F.embedding(L.tensor(np.array(1)), w),
        "none": lambda L, w: L.F.embedding(L.tensor(np.zeros((0, 2), dtype=np.int64)), w),
        "32 bits": lambda L, w: L.F.embedding(L.tensor(np.array([1, 1], dtype=np.int32)), w),
    },
    numbers(1, 4, 3),
)
