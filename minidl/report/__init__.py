"""Reports of runs: pictures of how training went."""

from .plots import draw_curves

__all__ = ["draw_curves"]
