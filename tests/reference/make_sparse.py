"""Walks the tables of `sparse_walks.py` with PyTorch: `python tests/reference/make_sparse.py` writes sparse.npz."""

from __future__ import annotations

import torch
from make import Store
from sparse_walks import PADDING, WALKS, Side, walk


def table(values):
    """PyTorch's Embedding on these values."""
    options = dict(freeze=False, padding_idx=PADDING, sparse=True)
    return torch.nn.Embedding.from_pretrained(torch.from_numpy(values), **options)


def host(x):
    """The values, also of a row-sparse momentum buffer."""
    return (x.to_dense() if x.is_sparse else x).detach().numpy().copy()


if __name__ == "__main__":
    store = Store()
    for name in WALKS:
        for key, array in walk(Side(torch.optim, torch.from_numpy, table, host), name).items():
            store.add(f"{name}/{key}", array)
    store.write("sparse")
