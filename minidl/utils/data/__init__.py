"""`minidl.data` under the path that PyTorch has for it, so that `from minidl.utils.data import DataLoader`
works.
"""

from ...data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DistributedSampler",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
]
__all__ += ["SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset"]
__all__ += ["WeightedRandomSampler", "default_collate", "default_convert", "get_worker_info", "random_split"]
