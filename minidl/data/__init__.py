"""Data: data sets, samplers and the loader, under the names of `torch.utils.data`; `transforms` and `datasets` as in
torchvision. `datasets` is loaded when it is first used: what it needs for downloading takes long to import.
"""

import importlib

from . import transforms
from .collate import default_collate, default_convert
from .dataset import Dataset, ImageDataset, IterableDataset, Subset, TensorDataset, random_split
from .loader import DataLoader, get_worker_info
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler

__all__ = ["BatchSampler", "DataLoader", "Dataset", "ImageDataset", "IterableDataset", "RandomSampler", "Sampler"]
__all__ += ["SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "default_collate"]
__all__ += ["default_convert", "get_worker_info", "random_split", "transforms"]


def __getattr__(name: str):
    if name == "datasets":
        return importlib.import_module(".datasets", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
