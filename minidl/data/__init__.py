"""Data: data sets, samplers and the loader, under the names of `torch.utils.data`; `transforms` and `datasets` as in
torchvision. `datasets` is loaded by `from minidl.data import datasets`, not before: downloading takes long to import.
"""

from . import transforms
from .collate import default_collate, default_convert
from .dataset import Dataset, ImageDataset, IterableDataset, Subset, TensorDataset, random_split
from .loader import DataLoader, get_worker_info
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler

__all__ = ["BatchSampler", "DataLoader", "Dataset", "ImageDataset", "IterableDataset", "RandomSampler", "Sampler"]
__all__ += ["SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "default_collate"]
__all__ += ["default_convert", "get_worker_info", "random_split", "transforms"]
