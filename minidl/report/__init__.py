"""Reports of runs: pictures of how training went and of what a model mixes up."""

from .matrix import draw_confusion
from .plots import draw_curves

__all__ = ["draw_confusion", "draw_curves"]
