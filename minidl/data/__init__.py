"""Data: data sets, samplers and the loader, under the names of `torch.utils.data`; `transforms` and `datasets` as in
torchvision. `datasets` is loaded when it is first used: what it needs for downloading takes long to import.
"""

import importlib

from . import transforms
from .collate import default_collate, default_convert
from .dataset import Dataset, ImageDataset, IterableDataset, Subset, TensorDataset, random_split
from .loader import DataLoader
from .parts import ChainDataset, ConcatDataset, KFold, StackDataset
from .prefetch import get_worker_info
from .sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = ["BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "DistributedSampler", "KFold"]
__all__ += ["ImageDataset", "IterableDataset"]
__all__ += ["RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler"]
__all__ += ["TensorDataset", "WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info"]
__all__ += ["random_split", "transforms"]


def __getattr__(name: str):
    if name == "datasets":
        return importlib.import_module(".datasets", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
