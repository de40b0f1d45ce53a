"""PyTorch's `backends`: switches and questions of the libraries it is built on, most of which minidl does without."""

from . import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
