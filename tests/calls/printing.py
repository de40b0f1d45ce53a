"""Arrays to print."""

from __future__ import annotations

import numpy as np

from .library import numbers

PRINTED: dict[str, np.ndarray] = {
    "0-d": np.array(2.5, np.float32),
    "0-d whole": np.array(3.0, np.float32),
    "0-d integer": np.array(7),
    "bool": np.array([True, False]),
    "whole": np.array([1.0, 2.0, -30.0], np.float32),
    "fractions": np.array([[1.0, 2.5], [-0.125, 100.25]], np.float32),
    "double": np.array([0.1, 1 / 3]),
    "half": np.array([0.5, 1.5], np.float16),
    "small integers": np.array([1, 2], np.int32),
    "bytes": np.array([1, 255], np.uint8),
    "negative integers": np.array([[1, -10], [100, 1000]]),
    "tiny": np.array([1e-5, 1.0], np.float32),
    "huge": np.array([1e9, 1.0], np.float32),
    "huge fraction": np.array([123456.5, 1.0], np.float32),
    "wide range": np.array([0.001, 10.5], np.float32),
    "wider range": np.array([0.001, 1.5], np.float32),
    "specials": np.array([np.nan, np.inf, -np.inf, 1.0], np.float32),
    "specials with fractions": np.array([np.nan, 0.5, -np.inf], np.float32),
    "only nan": np.array([np.nan], np.float32),
    "zeros": np.zeros((2, 2), np.float32),
    "empty": np.zeros((0,), np.float32),
    "empty matrix": np.zeros((0, 3), np.float32),
    "empty integers": np.zeros((2, 0), np.int64),
    "long": numbers(1, 30).astype(np.float32),
    "long integers": np.arange(40),
    "three dimensions": numbers(2, 2, 2, 3).astype(np.float32),
    "four dimensions": np.arange(16).reshape(2, 2, 2, 2),
    "summarised": np.arange(2000, dtype=np.float32),
    "summarised matrix": numbers(3, 40, 30).astype(np.float32),
    "summarised rows": numbers(3, 400, 3).astype(np.float32),
    "summarised 3-d": numbers(3, 10, 12, 11),
}
