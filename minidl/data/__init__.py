"""Data: data sets, samplers, the loader that makes batches, and (in `transforms` and `datasets`) pictures and
where they come from. PyTorch's names: of `torch.utils.data`, and of torchvision's `transforms` and
`datasets`.
"""

from . import datasets, transforms
from .collate import default_collate, default_convert
from .dataset import Dataset, ImageDataset, IterableDataset, Subset, TensorDataset, random_split
from .loader import DataLoader, get_worker_info
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "ImageDataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
]
__all__ += [
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "datasets",
    "default_collate",
]
__all__ += ["default_convert", "get_worker_info", "random_split", "transforms"]
