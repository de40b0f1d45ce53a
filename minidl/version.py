"""PyTorch's `version`: what the library was built with, which is Python alone."""

from __future__ import annotations

cuda = None  # no CUDA is built in; CuPy, where it is installed, brings its own
hip = None
xpu = None
debug = False
