"""PyTorch's path to the sampler of one process among several."""

from ...data import DistributedSampler

__all__ = ["DistributedSampler"]
