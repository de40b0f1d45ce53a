"""Data sets, samplers, collation, transforms, the loader: PyTorch's behaviour, and batches equal to single samples."""

from __future__ import annotations

import collections
import copy
import gc
import inspect
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

import minidl
from minidl.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    ImageDataset,
    IterableDataset,
    KFold,
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
from minidl.data.transforms import Compose, Lambda, Normalize, ToTensor, vectorised
from minidl.tensor import wrap

Point = collections.namedtuple("Point", ["x", "y"])


class Squares(Dataset):
    """A data set as people write them; counts what is asked of it."""

    def __init__(self, n=10):
        self.n, self.asked = n, []

    def __getitem__(self, index):
        if not 0 <= index < self.n:
            raise IndexError(index)
        self.asked.append(index)
        return np.full(2, index, dtype=np.float32), index**2

    def __len__(self):
        return self.n


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


class NoLength(Dataset):
    def __getitem__(self, index):
        return index


def images(n=20, channels=None):
    """An ImageDataset with made-up pixels."""
    g = minidl.Generator(5)
    shape = (n, 5, 4) if channels is None else (n, 5, 4, channels)
    return ImageDataset(g.integers(0, 256, shape).astype(np.uint8), g.integers(0, 10, (n,)), list("abcdefghij"))


def same(a, b):
    """Whether two batches agree: structure, dtypes, shapes and every bit."""
    if isinstance(a, minidl.Tensor):
        a, b = a.array, b.array
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(same(u, v) for u, v in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def values(loader):
    """The batches of one pass over a loader of numbers, as lists."""
    return [b.tolist() for b in loader]


# ------------------------------------------------------------------------------------------------------ collation
@pytest.mark.parametrize(
    ("samples", "expected", "dtype"),
    [
        ([1, 2], [1, 2], "int64"),
        ([True, False], [True, False], "bool"),
        ([1.5, 2.0], [1.5, 2.0], "float64"),
        ([1.5, 2], [1.5, 2.0], "float64"),
        ([1, 2.5], [1.0, 2.5], "float32"),
        ([np.float32(1), np.float32(2)], [1.0, 2.0], "float32"),
        ([np.uint8(3), np.uint8(4)], [3, 4], "uint8"),
        ([np.ones(2), np.zeros(2)], [[1.0, 1.0], [0.0, 0.0]], "float64"),
        ([minidl.tensor([1, 2]), minidl.tensor([3, 4])], [[1, 2], [3, 4]], "int64"),
        ([minidl.tensor(1), minidl.tensor(1.5)], [1.0, 1.5], "float32"),
        ([np.array(1), np.array(2)], [1, 2], "int64"),
    ],
)
def test_collate_gives_pytorchs_dtypes(samples, expected, dtype):
    batch = default_collate(samples)
    assert isinstance(batch, minidl.Tensor)
    assert batch.array.dtype == dtype and batch.tolist() == expected


def test_collate_goes_into_containers():
    assert default_collate(["a", "b"]) == ["a", "b"] and default_collate([b"x"]) == [b"x"]
    names, numbers = default_collate([("a", 1), ("b", 2)])
    assert names == ("a", "b") and numbers.tolist() == [1, 2]
    assert isinstance(default_collate([(1, 2), (3, 4)]), list)
    assert [t.tolist() for t in default_collate([[1, 2], [3, 4]])] == [[1, 3], [2, 4]]
    point = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert type(point) is Point and point.x.tolist() == [1, 3] and point.y.array.dtype == np.float64
    nested = default_collate([{"x": np.ones(2), "m": {"k": 1}}, {"x": np.ones(2), "m": {"k": 2}}])
    assert nested["x"].shape == (2, 2) and nested["m"]["k"].tolist() == [1, 2]
    ordered = default_collate([collections.OrderedDict(b=1, a=2)])
    assert type(ordered) is collections.OrderedDict and list(ordered) == ["b", "a"]
    assert [t.tolist() for t in default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]


def test_collate_keeps_the_graph():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    default_collate([x, x]).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([None, None], TypeError, "got NoneType"),
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"got \(2,\) at position 0 .* \(3,\) at position 1"),
        ([[1, 2], [3]], RuntimeError, "equal size; got 2 at position 0 of the batch and 1 at position 1"),
        ([{"a": 1}, {"b": 1}], KeyError, "position 1 of the batch has no 'a'"),
        ([1, "a"], TypeError, "one is a str"),
        ([(1,), 1], TypeError, "one is a int"),
        ([np.zeros(2), 3], TypeError, "one is a int"),
        ([2**70, 1], ValueError, "does not fit int64"),
        ([np.array(["a"])], TypeError, "dtype <U1"),
        ([], ValueError, "the batch is empty"),
    ],
)
def test_collate_refuses(samples, error, message):
    with pytest.raises(error, match=message):
        default_collate(samples)


def test_convert():
    out = default_convert({"x": np.ones(2), "n": 1, "s": "a", "p": Point(np.zeros(1), 2), "l": [np.float32(1)]})
    assert isinstance(out["x"], minidl.Tensor) and out["n"] == 1 and out["s"] == "a"
    assert type(out["p"]) is Point and isinstance(out["p"].x, minidl.Tensor) and out["p"].y == 2
    assert isinstance(out["l"][0], minidl.Tensor) and out["l"][0].dtype == minidl.float32
    words = np.array(["a"])
    assert default_convert(words) is words


# ------------------------------------------------------------------------------------------------------- data sets
def test_tensor_dataset():
    x, y = minidl.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.arange(3)
    data = TensorDataset(x, y)
    assert len(data) == 3 and data.tensors[0] is x
    row, label = data[1]
    assert row.tolist() == [3.0, 4.0] and label.item() == 1 and label.dtype == minidl.int64
    assert data[-1][1].item() == 2 and data[0:2][0].shape == (2, 2)
    assert [label.item() for _, label in data] == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TensorDataset(), ValueError, "at least one"),
        (lambda: TensorDataset(np.zeros(3), np.zeros(2)), ValueError, r"size mismatch .*\(3,\), \(2,\)"),
        (lambda: TensorDataset(np.array(1.0)), ValueError, "position 0 has no dimensions"),
        (lambda: TensorDataset(np.zeros(2), [1, 2]), TypeError, "got list at position 1"),
        (lambda: Dataset()[0], NotImplementedError, "must define __getitem__"),
        (lambda: iter(IterableDataset()), NotImplementedError, "must define __iter__"),
        (lambda: iter(Sampler()), NotImplementedError, "must define __iter__"),
        (lambda: ImageDataset(np.zeros((2, 3)), np.zeros(2), "a"), ValueError, r"got \(2, 3\) and \(2,\)"),
        (lambda: ImageDataset(np.zeros((2, 3, 3)), np.zeros(3), "a"), ValueError, r"\(2, 3, 3\) and \(3,\)"),
        (lambda: ImageDataset(np.zeros((1, 2, 2)), np.zeros(1), "a", 3), TypeError, "transform .* got int"),
        (lambda: ImageDataset([[1]], np.zeros(1), "a"), TypeError, "data should be a Tensor .* got list"),
        (lambda: ImageDataset(np.zeros((1, 2, 2)), [0], "a"), TypeError, "targets should be a Tensor .* got list"),
        (lambda: ImageDataset(np.zeros((1, 2, 2)), np.zeros(1), "a"), TypeError, "integers, got float64"),
        (
            lambda: ImageDataset(np.zeros((2, 2, 2)), np.array([1, 2]), "ab"),
            ValueError,
            r"targets\[1\] is 2, expected 0 to 1 \(2 classes\)",
        ),
        (lambda: ImageDataset(np.zeros((1, 2, 2)), np.array([-1]), "ab"), ValueError, r"targets\[0\] is -1"),
        (lambda: images(3)[3], IndexError, "index 3 is out of range for 3"),
        (lambda: images(3)[-4], IndexError, "index -4 is out of range for 3"),
        (lambda: images(3)[0.5], TypeError, "float"),
    ],
)
def test_data_sets_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_image_dataset():
    data = images(6)
    image, target = data[2]
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (5, 4) and type(target) is int
    image[:] = 0
    assert data.data.array[2].any()  # what a transform does to its image stays out of the data
    assert len(list(data)) == 6 and data.class_to_idx["b"] == 1
    data.target_transform = lambda t: -t
    assert data[2][1] == -target
    data.transform = ToTensor()
    x, y = data.tensors()
    assert x.shape == (6, 1, 5, 4) and y.shape == (6,) and y[2].item() == -target
    assert "Number of datapoints: 6" in repr(data) and "transform: ToTensor()" in repr(data)
    data.data, data.targets = data.data[:3], [0, 1, 2]  # people cut data sets down like this
    assert len(data) == 3 and data[1][1] == -1 and next(iter(DataLoader(data, 3)))[1].tolist() == [0, -1, -2]


def test_subset_and_split():
    data = Squares(10)
    part = Subset(data, [7, 1, 3])
    assert len(part) == 3 and part[0][1] == 49 and part[-1][1] == 9
    assert [y for _, y in part] == [49, 1, 9]
    minidl.manual_seed(1)
    a, b = random_split(data, [7, 3])
    assert sorted([*a.indices, *b.indices]) == list(range(10)) and (len(a), len(b)) == (7, 3)
    minidl.manual_seed(1)
    assert random_split(data, [7, 3])[0].indices == a.indices  # the thread's generator decides
    g = minidl.Generator(3)
    sizes = [len(p) for p in random_split(data, [0.26, 0.26, 0.48], generator=g)]
    assert sizes == [3, 3, 4] and g.get_state() == (3, 1)  # 2, 2, 4, and the two that are left go round
    assert [len(p) for p in random_split(range(10), [0.7, 0.2, 0.1])] == [7, 2, 1]
    assert [len(p) for p in random_split([], [0, 0])] == [0, 0]
    with pytest.warns(UserWarning, match="part 1 .* is empty"):
        random_split(range(2), [0.9, 0.1])


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([7, 2], "sum to 9, expected 10"),
        ([0.5, 0.4], "sum to 0.9, expected 10"),
        ([11, -1], "cannot be negative"),
        ([2.5, 7.5], "sum to 10.0"),
        ([float("nan"), 0.5], "finite numbers, got .nan, 0.5."),
        ("ab", "finite numbers, got 'ab'"),
    ],
)
def test_split_refuses(lengths, message):
    with pytest.raises(ValueError, match=message):
        random_split(range(10), lengths)


def test_concat():
    data = ConcatDataset([Squares(4), Squares(3)])
    assert len(data) == 7 and data.cumulative_sizes == [4, 7]
    assert [y for _, y in data] == [0, 1, 4, 9, 0, 1, 4] and data[-7][1] == 0 and data[-1][1] == 4
    for bad in (7, -8):
        with pytest.raises(IndexError, match=f"ConcatDataset: index {bad} is out of range for 7"):
            data[bad]
        with pytest.raises(IndexError, match=f"index {bad} is out of range for 7"):
            list(DataLoader(ConcatDataset([TensorDataset(np.arange(4)), TensorDataset(np.arange(3))]), sampler=[bad]))
    mixed = ConcatDataset([TensorDataset(np.arange(3, dtype=np.float32)), TensorDataset(np.arange(3))])
    assert next(iter(DataLoader(mixed, 6)))[0].dtype == minidl.float32  # as collation has it, sample by sample
    assert mixed.__getbatch__(np.array([0, 4])) is None and mixed.__getbatch__(np.array([4]))[0].tolist() == [1]


def test_stack():
    data = StackDataset(Squares(4), range(4))
    assert data[2][0][1] == 4 and data[2][1] == 2 and len(data) == 4
    x, n = next(iter(DataLoader(StackDataset(a=range(4), b=[5, 6, 7, 8]), 2))).values()
    assert x.tolist() == [0, 1] and n.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ConcatDataset([]), ValueError, "at least one data set"),
        (lambda: ConcatDataset([[1], Count(3)]), TypeError, "data set 1, a Count, has no samples by index"),
        (lambda: ConcatDataset([NoLength()]), TypeError, "data set 0, a NoLength"),
        (lambda: StackDataset(), ValueError, "at least one"),
        (lambda: StackDataset(NoLength()), TypeError, "StackDataset: NoLength has no __len__"),
        (lambda: list(KFold(2).split(NoLength())), TypeError, "KFold: NoLength has no __len__"),
        (lambda: random_split(NoLength(), [1]), TypeError, "random_split: NoLength has no __len__"),
        (lambda: StackDataset([1], a=[1]), ValueError, "either in order or by name"),
        (lambda: StackDataset([1], [1, 2]), ValueError, r"size mismatch .* \[1, 2\]"),
        (lambda: KFold(1), ValueError, "at least 2, got 1"),
        (lambda: KFold(2.0), ValueError, "got 2.0"),
        (lambda: KFold(2, shuffle=1), TypeError, "shuffle should be a bool, got 1"),
        (lambda: KFold(2, stratified="yes"), TypeError, "stratified should be a bool"),
        (lambda: KFold(2, True, 1.5), TypeError, "seed should be an integer or None, got 1.5"),
        (lambda: KFold(2, seed=3), ValueError, "seed=3 has no effect without shuffle=True"),
        (lambda: list(KFold(3).split([1, 2])), ValueError, "3 folds need as many samples, got 2"),
        (lambda: list(KFold(2, stratified=True).split([1, 2])), ValueError, "needs targets; list has none"),
        (lambda: list(KFold(2, stratified=True).split([1, 2], [1])), ValueError, r"2 samples, got shape \(1,\)"),
    ],
)
def test_parts_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_k_fold():
    data = Squares(11)
    folds = list(KFold(3).split(data))
    assert [list(test.indices) for _, test in folds] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    for train, test in folds:
        assert isinstance(train, Subset) and sorted([*train.indices, *test.indices]) == list(range(11))
    assert folds[0][0][0][1] == 16 and KFold(3).get_n_splits() == 3
    a = KFold(3, shuffle=True, seed=5).indices(11)
    assert a == KFold(3, shuffle=True, seed=5).indices(11) != KFold(3, shuffle=True, seed=6).indices(11)
    assert sorted(sum((test for _, test in a), [])) == list(range(11)) and a[0][1] != [0, 1, 2, 3]
    minidl.manual_seed(5)
    assert KFold(3, shuffle=True).indices(11) == a and minidl.default_generator().get_state() == (5, 1)


@pytest.mark.parametrize("shuffle", [False, True])
def test_k_fold_stratified(shuffle):
    labels = np.repeat([0, 1, 2, 3], [40, 21, 7, 2])
    labels = labels[minidl.Generator(1).permutation(70)]
    data = ImageDataset(np.zeros((70, 2, 2), np.uint8), labels, "abcd")
    folds = list(KFold(5, shuffle, 3 if shuffle else None, stratified=True).split(data))
    counts = np.array([np.bincount(labels[test.indices], minlength=4) for _, test in folds])
    assert counts.sum(axis=0).tolist() == [40, 21, 7, 2] and (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) == 0
    for train, test in folds:
        assert sorted([*train.indices, *test.indices]) == list(range(70))
    half = Subset(data, range(0, 70, 2))  # a part knows its targets, or they are given
    again = list(KFold(5, shuffle, 3 if shuffle else None, stratified=True).split(half, labels[::2].tolist()))
    inner = list(KFold(5, shuffle, 3 if shuffle else None, stratified=True).split(half))
    assert [t.indices for _, t in inner] == [t.indices for _, t in again]


# -------------------------------------------------------------------------------------------------------- samplers
def test_samplers():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    g = minidl.Generator(2)
    order = list(RandomSampler(range(50), generator=g))
    assert sorted(order) == list(range(50)) and order != list(range(50)) and g.get_state() == (2, 1)
    assert order == minidl.Generator(2).permutation(50).tolist()
    assert list(RandomSampler(range(50), generator=g)) != order  # the next pass has another order
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=200, generator=minidl.Generator(0)))
    assert len(drawn) == 200 and set(drawn) == {0, 1, 2, 3, 4}
    long = list(RandomSampler(range(4), num_samples=10, generator=minidl.Generator(0)))
    assert sorted(long[:4]) == sorted(long[4:8]) == [0, 1, 2, 3] and len(long) == 10
    assert len(RandomSampler(range(9), num_samples=4)) == 4 == len(list(RandomSampler(range(9), num_samples=4)))
    sub = SubsetRandomSampler([3, 5, 9], generator=minidl.Generator(0))
    assert sorted(sub) == [3, 5, 9] and len(sub) == 3
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert list(BatchSampler(range(2), 10**30, False)) == [[0, 1]]
    assert len(BatchSampler(range(7), 3, False)) == 3 and len(BatchSampler(range(7), 3, True)) == 2


def test_weighted_sampler():
    weights = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0]
    g = minidl.Generator(2)
    drawn = list(WeightedRandomSampler(weights, 8000, generator=g))
    assert g.get_state() == (2, 1) and all(type(i) is int for i in drawn[:3])
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 8000, np.array(weights) / 8, atol=0.02)
    sampler = WeightedRandomSampler(minidl.tensor(weights), 3, replacement=False)
    assert len(sampler) == 3 and sorted(sampler) == [1, 2, 4]
    first = [next(iter(WeightedRandomSampler(weights, 2, False, minidl.Generator(k)))) for k in range(3000)]
    np.testing.assert_allclose(np.bincount(first, minlength=6) / 3000, np.array(weights) / 8, atol=0.03)
    pairs = [tuple(WeightedRandomSampler([1, 3, 4], 2, False, minidl.Generator(k))) for k in range(4000)]
    np.testing.assert_allclose(pairs.count((2, 1)) / 4000, 4 / 8 * 3 / 4, atol=0.03)  # 1 out of what is left
    balanced = DataLoader(range(6), 4, sampler=WeightedRandomSampler(weights, 10, generator=minidl.Generator(0)))
    assert len(balanced) == 3 and len(sum(values(balanced), [])) == 10
    assert set(WeightedRandomSampler([1e308, 0, 1e308], 50)) == {0, 2}  # their sum is no float64


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: WeightedRandomSampler([1, -1], 2), ValueError, r"weights\[1\] is -1.0, expected a finite number >= 0"),
        (lambda: WeightedRandomSampler([float("nan")], 2), ValueError, r"weights\[0\] is nan"),
        (lambda: WeightedRandomSampler([[1.0]], 2), ValueError, r"one dimension, got shape \(1, 1\)"),
        (lambda: WeightedRandomSampler([0, 0], 2), ValueError, "0 of 2 weights are positive"),
        (lambda: WeightedRandomSampler([0, 1], 2, False), ValueError, "1 of 2 .* for 2 samples without replacement"),
        (lambda: WeightedRandomSampler([1], 0), ValueError, "num_samples should be a positive integer, got 0"),
        (lambda: WeightedRandomSampler([1], 1, 1), TypeError, "replacement should be a bool, got 1"),
        (lambda: WeightedRandomSampler([1], 1, True, 3), TypeError, "WeightedRandomSampler: generator should be"),
        (lambda: RandomSampler([]), ValueError, "the data source is empty"),
        (lambda: RandomSampler([1], num_samples=0), ValueError, "num_samples should be a positive integer, got 0"),
        (lambda: RandomSampler([1], replacement=1), TypeError, "replacement should be a bool, got 1"),
        (lambda: RandomSampler([1], generator=3), TypeError, "generator should be a minidl.Generator or None, got int"),
        (lambda: iter(RandomSampler([], num_samples=2)), ValueError, "empty"),
        (lambda: RandomSampler(NoLength()), TypeError, "RandomSampler: NoLength has no __len__"),
        (lambda: iter(RandomSampler(NoLength(), num_samples=2)), TypeError, "RandomSampler: NoLength has no __len__"),
        (lambda: iter(SequentialSampler(NoLength())), TypeError, "SequentialSampler: NoLength has no __len__"),
        (lambda: BatchSampler([1], 0, False), ValueError, "batch_size should be a positive integer, got 0"),
        (lambda: BatchSampler([1], True, False), ValueError, "got True"),
        (lambda: BatchSampler([1], 2, 1), ValueError, "drop_last should be a bool, got 1"),
    ],
)
def test_samplers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---------------------------------------------------------------------------------------------------------- loader
def test_loader_signature_is_pytorchs():
    names = (
        "dataset batch_size shuffle sampler batch_sampler num_workers collate_fn pin_memory drop_last timeout "
        "worker_init_fn multiprocessing_context generator prefetch_factor persistent_workers pin_memory_device "
        "in_order"
    )
    assert list(inspect.signature(DataLoader).parameters) == names.split()


def test_loader_batches():
    loader = DataLoader(range(7), batch_size=3)
    assert values(loader) == [[0, 1, 2], [3, 4, 5], [6]] == values(loader)
    assert len(loader) == 3 and loader.batch_size == 3 and len(loader.dataset) == 7
    assert len(DataLoader(range(7), 3, drop_last=True)) == 2 == len(values(DataLoader(range(7), 3, drop_last=True)))
    assert values(DataLoader(range(2))) == [[0], [1]]
    assert list(DataLoader([1, 2], batch_size=None)) == [1, 2]
    assert values(DataLoader(range(5), sampler=[4, 0, 2], batch_size=2)) == [[4, 0], [2]]
    assert values(DataLoader(range(5), batch_sampler=[[4, 0], [1]])) == [[4, 0], [1]]
    assert list(DataLoader(range(4), 2, collate_fn=sum)) == [1, 5]
    assert values(DataLoader({0: 5, 1: 6}, batch_size=2)) == [[5, 6]]
    assert values(DataLoader([], batch_size=2)) == [] and len(DataLoader([], batch_size=2)) == 0
    x, y = next(iter(DataLoader(Squares(), batch_size=4)))
    assert x.dtype == minidl.float32 and x.shape == (4, 2) and y.dtype == minidl.int64 and y.tolist() == [0, 1, 4, 9]
    assert isinstance(next(iter(DataLoader(TensorDataset(np.zeros(3)), 2))), list)
    assert values(DataLoader(np.arange(4), 2)) == [[0, 1], [2, 3]] == values(DataLoader(minidl.arange(4), 2))


def test_loader_shuffles_by_its_generator():
    g = minidl.Generator(4)
    loader = DataLoader(range(20), batch_size=6, shuffle=True, generator=g)
    first, second = values(loader), values(loader)
    assert g.get_state() == (4, 2)  # one draw a pass
    assert sum(first, []) == minidl.Generator(4).permutation(20).tolist()
    assert first != second and sorted(sum(second, [])) == list(range(20))
    iter(loader)
    assert g.get_state() == (4, 3)  # drawn when the pass begins, not when its first batch is asked for
    minidl.manual_seed(9)
    by_default = values(DataLoader(range(20), 20, shuffle=True))
    assert by_default == [minidl.Generator(9).permutation(20).tolist()]


def test_loader_streams():
    assert values(DataLoader(Count(5), batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert values(DataLoader(Count(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(TypeError, match="has no len"):
        len(DataLoader(Count(3)))

    class Sized(Count):
        def __len__(self):
            return self.n

    assert len(DataLoader(Sized(5), 2)) == 3 and len(DataLoader(Sized(5), 2, drop_last=True)) == 2
    assert len(DataLoader(Sized(5), None)) == 5


def test_loader_accepts_what_concerns_workers_only():
    loader = DataLoader(
        range(4), 2, num_workers=3, pin_memory=True, timeout=5, prefetch_factor=4, persistent_workers=True,
        multiprocessing_context="spawn", pin_memory_device="cuda", in_order=False,
    )  # fmt: skip
    assert values(loader) == [[0, 1], [2, 3]] and loader.num_workers == 3 and loader.prefetch_factor == 4
    assert DataLoader([1], num_workers=1).prefetch_factor == 2 and DataLoader([1]).prefetch_factor is None
    assert values(DataLoader([1], worker_init_fn=lambda i: 1 / 0)) == [[1]]  # never called without workers
    assert minidl.data.get_worker_info() is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size should be a positive integer, got 0"),
        ({"batch_size": -3}, ValueError, "got -3"),
        ({"batch_size": 2.5}, ValueError, "got 2.5"),
        ({"drop_last": 1}, ValueError, "drop_last should be a bool"),
        ({"shuffle": True, "sampler": [0]}, ValueError, "sampler is mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 3}, ValueError, "batch_sampler is mutually exclusive"),
        ({"batch_sampler": [[0]], "shuffle": True}, ValueError, "batch_sampler is mutually exclusive"),
        ({"batch_sampler": [[0]], "sampler": [0]}, ValueError, "batch_sampler is mutually exclusive"),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last cannot be given"),
        ({"num_workers": -1}, ValueError, "num_workers should be a non-negative integer, got -1"),
        ({"timeout": -1}, ValueError, "timeout should be a non-negative number"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor=2 needs num_workers > 0"),
        ({"prefetch_factor": -2, "num_workers": 1}, ValueError, "got -2"),
        ({"persistent_workers": True}, ValueError, "persistent_workers=True needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, ValueError, "needs num_workers > 0"),
        ({"multiprocessing_context": "fast", "num_workers": 1}, ValueError, "got 'fast'"),
        ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "got 3"),
        ({"worker_init_fn": 3}, TypeError, "worker_init_fn should be callable or None, got int"),
        ({"collate_fn": 3}, TypeError, "collate_fn should be callable or None, got int"),
        ({"generator": 3}, TypeError, "generator should be a minidl.Generator or None, got int"),
        ({"dataset": [], "shuffle": True}, ValueError, "the data source is empty"),
        ({"dataset": 5}, TypeError, "expected a dataset with __getitem__ .* got int"),
        ({"dataset": NoLength(), "shuffle": True}, TypeError, r"NoLength has no __len__, .*\(shuffle=True\)"),
        ({"dataset": NoLength()}, TypeError, "NoLength has no __len__, so there is no order .* make it an Iterable"),
        ({"dataset": Count(3), "shuffle": True}, ValueError, "IterableDataset .* shuffle cannot be given"),
        ({"dataset": Count(3), "sampler": [0]}, ValueError, "IterableDataset .* sampler cannot be given"),
        ({"dataset": Count(3), "batch_sampler": [[0]]}, ValueError, "batch_sampler cannot be given"),
    ],
)
def test_loader_refuses(options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": [1, 2], **options})


def test_loader_errors_while_running():
    loader = DataLoader([1, 2, 3])
    with pytest.raises(ValueError, match="batch_size cannot be changed once the loader is made"):
        loader.batch_size = 2
    with pytest.raises(IndexError, match="index 5 is out of range for 3 samples"):
        list(DataLoader(TensorDataset(np.zeros(3)), sampler=[0, 5]))
    with pytest.raises(ValueError, match="the batch is empty"):
        list(DataLoader([1], batch_sampler=[[]]))

    class Broken(Squares):
        def __getitem__(self, index):
            return next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration came out of Broken"):
        list(DataLoader(Broken(3)))


def test_loader_is_freed_and_copied():
    loader = DataLoader(Squares(4), batch_size=2)
    next(iter(loader))
    assert [y.tolist() for _, y in copy.deepcopy(loader)] == [[0, 1], [4, 9]]
    assert [y.tolist() for _, y in pickle.loads(pickle.dumps(loader))] == [[0, 1], [4, 9]]
    gc.collect()
    gc.disable()
    try:
        seen = weakref.ref(loader)
        del loader
        assert seen() is None  # no cycle keeps a loader and its data
    finally:
        gc.enable()


# ------------------------------------------------------------------------------- one gather against sample by sample
def by_sample(batch):
    """Collation that the loader cannot replace by a gather."""
    return default_collate(batch)


CASES = {
    "tensors": lambda: TensorDataset(np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20)),
    "one tensor": lambda: TensorDataset(np.arange(20, dtype=np.int16)),
    "plain images": lambda: images(20),
    "grey images": lambda: _with(images(20), Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])),
    "colour images": lambda: _with(images(20, 3), Compose([ToTensor(), Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))])),
    "one mean for all": lambda: _with(images(20, 3), Compose([ToTensor(), Normalize(0.5, 0.25, inplace=True)])),
    "targets changed": lambda: _with(images(20), ToTensor(), lambda t: t / 3),
    "a part": lambda: Subset(_with(images(20), ToTensor()), list(range(19, -1, -1))),
    "a part by an array": lambda: Subset(images(25), np.arange(5, 25)),
    "one after the other": lambda: ConcatDataset([_with(images(12), ToTensor()), _with(images(8), ToTensor())]),
    "parts of several": lambda: Subset(
        ConcatDataset([images(9), Subset(images(9), range(8)), images(9)]), range(3, 23)
    ),
    "a part of a part": lambda: Subset(Subset(images(30), range(2, 30)), range(3, 23)),
}


def _with(data, transform, target_transform=None):
    data.transform, data.target_transform = transform, target_transform
    return data


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_gather_is_bit_for_bit_what_single_samples_give(name, shuffle, monkeypatch):
    data = CASES[name]()
    slow = list(DataLoader(data, 6, shuffle, collate_fn=by_sample, generator=minidl.Generator(1)))
    inner = data
    while isinstance(inner, (Subset, ConcatDataset)):
        inner = inner.dataset if isinstance(inner, Subset) else inner.datasets[0]
    monkeypatch.setattr(type(inner), "__getitem__", lambda self, index: pytest.fail("went sample by sample"))
    fast = list(DataLoader(data, 6, shuffle, generator=minidl.Generator(1)))
    assert len(slow) == len(fast) == 4 and all(same(a, b) for a, b in zip(slow, fast, strict=True))


def test_batches_are_made_where_the_data_lies(where):
    pixels, labels = images(10, 3).data.numpy(), np.arange(10)
    transform = Compose([ToTensor(), Normalize((0.1, 0.2, 0.3), 0.5)])
    resident = ImageDataset(where.tensor(pixels), where.tensor(labels), list("abcdefghij"), transform)
    expected, _ = ImageDataset(pixels, labels, list("abcdefghij"), transform).tensors()
    for x, y in DataLoader(resident, 4, shuffle=True, generator=minidl.Generator(2)):
        assert where.host(x).tobytes() == expected.numpy()[where.host(y)].tobytes()
    data = TensorDataset(where.tensor(labels))
    assert [where.host(b).tolist() for (b,) in DataLoader(data, 6)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert where.host(default_collate([data[3], data[1]])[0]).tolist() == [3, 1]
    with pytest.raises(IndexError, match="index -11 is out of range for 10 samples"):
        list(DataLoader(data, sampler=[-11]))


def test_negative_and_numpy_indices_gather_alike():
    data = TensorDataset(np.arange(5))
    for order in ([-1, 0, -5], [np.int64(2), np.int32(1)], np.array([3, 4])):
        (x,) = next(iter(DataLoader(data, batch_sampler=[order])))
        assert x.tolist() == [int(i) % 5 for i in order]


def test_what_people_override_is_what_runs():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * t for t in super().__getitem__(index))

    class Again(Doubled):
        def __getbatch__(self, indices):
            return [minidl.tensor(indices * 20)]

    class Flipped(ImageDataset):
        def __getitem__(self, index):
            image, target = super().__getitem__(index)
            return image[:, ::-1].copy(), target

    (x,) = next(iter(DataLoader(Doubled(np.arange(3)), 3)))
    assert x.tolist() == [0, 2, 4]
    (x,) = next(iter(DataLoader(Subset(Doubled(np.arange(3)), [2, 1]), 2)))
    assert x.tolist() == [4, 2]
    (x,) = next(iter(DataLoader(Again(np.arange(3)), 3)))
    assert x.tolist() == [0, 20, 40]
    plain = images(3)
    flipped = Flipped(plain.data, plain.targets, plain.classes)
    (x, _), (tensors, _) = next(iter(DataLoader(flipped, 3))), flipped.tensors()
    assert (x.array == plain.data.array[:, :, ::-1]).all() and same(x, tensors)

    class Shifted(ToTensor):
        def __call__(self, image):
            return super().__call__(image) + 1

    plain.transform = Compose([Shifted()])
    x, _ = next(iter(DataLoader(plain, 3)))
    assert x.array.min() >= 1

    class Listed(Squares):
        def __getitems__(self, indices):
            return [100 + i for i in indices]

    assert values(DataLoader(Listed(), 4, drop_last=True)) == [[100, 101, 102, 103], [104, 105, 106, 107]]
    assert values(DataLoader(Subset(Listed(), [3, 4]), 2)) == [[103, 104]]


def test_gradients_reach_the_tensors_of_a_data_set():
    x = minidl.ones(4, requires_grad=True)
    for (part,) in DataLoader(TensorDataset(x), 2):
        (3 * part).sum().backward()
    assert x.grad.tolist() == [3.0] * 4


def test_a_batch_is_nobody_elses_memory():
    x = np.zeros((4, 2), dtype=np.float32)
    for (batch,) in DataLoader(TensorDataset(x), 4):
        batch.array[:] = 1
    assert not x.any()


# -------------------------------------------------------------------------------------------------------- resuming
def orders():
    """Loaders over 20 numbers with the kinds of order there are."""
    g = minidl.Generator

    class Lazy(Sampler):
        """Draws when it is asked, as samplers written with yield do."""

        def __iter__(self):
            yield from minidl.default_generator().permutation(20).tolist()

        def __len__(self):
            return 20

    return {
        "in order": lambda: DataLoader(range(20), 3),
        "shuffled by a generator": lambda: DataLoader(range(20), 3, shuffle=True, generator=g(3)),
        "shuffled by default": lambda: DataLoader(range(20), 3, shuffle=True),
        "with replacement": lambda: DataLoader(range(20), 3, sampler=RandomSampler(range(20), True, 30, g(8))),
        "a subset": lambda: DataLoader(range(20), 3, sampler=SubsetRandomSampler(range(4, 20), g(8))),
        "batches": lambda: DataLoader(range(20), batch_sampler=BatchSampler(RandomSampler(range(20)), 3, True)),
        "one's own": lambda: DataLoader(range(20), 3, sampler=Lazy(), drop_last=True),
        "single samples": lambda: DataLoader(range(20), None, shuffle=True, generator=g(3)),
        "weighted": lambda: DataLoader(range(20), 3, sampler=WeightedRandomSampler(range(20), 30, generator=g(8))),
        "a stream": lambda: DataLoader(Count(20), 3),
        "a stream of single samples": lambda: DataLoader(Count(20), None),
        "arrays": lambda: DataLoader(TensorDataset(np.arange(20)), 3, shuffle=True, generator=g(3)),
    }


def flat(batch):
    batch = batch[0] if isinstance(batch, list) else batch
    return batch.tolist() if isinstance(batch, minidl.Tensor) else batch


def threaded(loader):
    """The same loader, with a thread."""
    loader.num_workers, loader.prefetch_factor = 1, 3
    return loader


@pytest.mark.parametrize("name", orders())
@pytest.mark.parametrize("stop", [0, 1, 4, "end"])
@pytest.mark.parametrize("thread", ["", "thread", "thread then", "thread before"])
def test_resume_in_the_middle_of_a_pass(name, stop, thread):
    make, make_again = (
        (lambda: threaded(orders()[name]())) if wanted else orders()[name]
        for wanted in (thread in ("thread", "thread before"), thread in ("thread", "thread then"))
    )
    minidl.manual_seed(6)
    loader = make()
    list(loader)
    stop = len(list(orders()[name]())) if stop == "end" else stop
    batches, whole = iter(loader), []
    for _ in range(stop):
        next(batches)
        minidl.default_generator().uniform((2,))  # the step draws too: dropout, noise
    state = json.dumps(loader.state_dict())  # plain numbers
    for batch in batches:
        minidl.default_generator().uniform((2,))
        whole.append(flat(batch))
    for _ in range(2):  # the passes after it
        whole.extend(flat(batch) for batch in loader)

    minidl.manual_seed(99)
    again = make_again()
    list(again)
    again.load_state_dict(json.loads(state))
    assert json.dumps(again.state_dict()) == state  # nothing is lost when it is saved before it continues
    rest = []
    for batch in again:
        minidl.default_generator().uniform((2,))
        rest.append(flat(batch))
    for _ in range(2):
        rest.extend(flat(batch) for batch in again)
    assert rest == whole and len(again.state_dict()) == 6


def test_resume_reads_no_skipped_sample():
    loader = DataLoader(Squares(10), 3, shuffle=True, generator=minidl.Generator(0))
    batches = iter(loader)
    next(batches), next(batches)
    again = DataLoader(Squares(10), 3, shuffle=True, generator=minidl.Generator(1))
    again.load_state_dict(loader.state_dict())
    assert [y.tolist() for _, y in again] == [y.tolist() for _, y in batches]
    assert len(again.dataset.asked) == 4


def test_resume_leaves_the_default_generator_to_the_run():
    minidl.manual_seed(3)
    loader = DataLoader(range(10), 2, shuffle=True)
    batches = iter(loader)
    next(batches)
    minidl.default_generator().uniform((1,))
    state, then = loader.state_dict(), minidl.default_generator().get_state()
    again = DataLoader(range(10), 2, shuffle=True)
    minidl.manual_seed(77)
    again.load_state_dict(state)
    assert minidl.default_generator().get_state() == then
    assert values(again) == [b.tolist() for b in batches]
    assert minidl.default_generator().get_state() == then  # the order was drawn before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": -1}, "batch should be a number of batches, got -1"),
        ({"batch": "2"}, "got '2'"),
        ({"batch": 9}, "batch=9 is beyond the 4 of a pass"),
        ({"start": None}, "do not go together"),
        ({"epoch": -1}, "epoch should be a number of passes, got -1"),
        ({"generator": None}, "of a loader in order, this one is shuffled"),
        ({"batches": 7}, "in the middle of a pass with batches=7, this loader has batches=4"),
        ({"batch_size": 5}, "with batch_size=5, this loader has batch_size=3"),
        ({"extra": 1}, "expected the keys"),
    ],
)
def test_resume_refuses(change, message):
    loader = DataLoader(range(10), 3, shuffle=True)
    next(iter(loader))
    state = loader.state_dict()
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict({**state, **change})
    with pytest.raises(ValueError, match="got list"):
        loader.load_state_dict([])


def test_resume_in_a_stream_that_became_shorter():
    loader = DataLoader(Count(20), 2)
    batches = iter(loader)
    for _ in range(4):
        next(batches)
    again = DataLoader(Count(5), 2)
    again.load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match="cannot resume after batch 4: there are only 3"):
        iter(again)


# --------------------------------------------------------------------------------------------------- with a thread
def threads():
    return [t for t in threading.enumerate() if t.name == "minidl-data"]


def gone(patience=3.0):
    """Whether the loaders' threads end soon."""
    end = time.monotonic() + patience
    while threads() and time.monotonic() < end:
        time.sleep(0.005)
    return not threads()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert gone(), "a loader's thread was left"


@pytest.mark.parametrize("name", orders())
@pytest.mark.parametrize("factor", [1, 2, 100])
def test_a_thread_gives_the_same_batches(name, factor):
    minidl.manual_seed(6)
    expected = [flat(b) for loader in [orders()[name]()] for _ in range(2) for b in loader]
    state = minidl.default_generator().get_state()
    minidl.manual_seed(6)
    loader = orders()[name]()
    loader.num_workers, loader.prefetch_factor = 2, factor
    assert [flat(b) for _ in range(2) for b in loader] == expected
    assert minidl.default_generator().get_state() == state and gone()


def test_a_thread_works_ahead():
    data, started = Squares(20), []
    loader = DataLoader(data, 2, num_workers=1, prefetch_factor=3)
    batches = iter(loader)
    started.append(len(data.asked))
    end = time.monotonic() + 3
    while len(data.asked) < 6 and time.monotonic() < end:
        time.sleep(0.002)
    assert data.asked == list(range(6))  # three batches, though none was asked for
    next(batches)
    while len(data.asked) < 8 and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(0.02)
    assert data.asked == list(range(8))
    assert loader.state_dict()["batch"] == 1  # handed out, not prepared
    assert len(threads()) == 1 and threads()[0].daemon


def test_a_thread_overlaps_with_the_step():
    class Slow(Squares):
        def __getitem__(self, index):
            time.sleep(0.02)
            return index

    def seconds(workers):
        start = time.perf_counter()
        for _ in DataLoader(Slow(12), 2, num_workers=workers):
            time.sleep(0.04)
        return time.perf_counter() - start

    assert seconds(1) < 0.8 * seconds(0)


class Fails(Dataset):
    """Sample 5 is broken."""

    def __init__(self, error=ZeroDivisionError):
        self.error = error

    def __getitem__(self, index):
        if index == 5:
            self.the_broken_line()
        return index

    def the_broken_line(self):
        raise self.error("sample 5")

    def __len__(self):
        return 10


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit, IndexError])
def test_errors_come_out_of_the_thread_at_the_right_batch(error):
    for workers in (0, 3):
        batches, seen = iter(DataLoader(Fails(error), 2, num_workers=workers)), []
        with pytest.raises(error, match="sample 5") as caught:
            while True:
                seen.append(next(batches).tolist())
        assert seen == [[0, 1], [2, 3]]
        assert "the_broken_line" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert [b.tolist() for b in batches] == [[6, 7], [8, 9]]  # and one may go on
        del batches, caught
        gc.collect()


def test_errors_of_streams_and_of_collation():
    class Stream(IterableDataset):
        def __iter__(self):
            yield from (1, 2, 3)
            raise OSError("the line is dead")

    for workers in (0, 1):
        batches = iter(DataLoader(Stream(), 2, num_workers=workers))
        assert next(batches).tolist() == [1, 2]
        with pytest.raises(OSError, match="the line is dead"):
            next(batches)
        assert list(batches) == []
        with pytest.raises(RuntimeError, match="equal size"):
            list(DataLoader([[1], [1, 2]], 2, num_workers=workers))
    with pytest.raises(RuntimeError, match="StopIteration came out of Ends"):

        class Ends(Squares):
            def __getitem__(self, index):
                raise StopIteration

        list(DataLoader(Ends(3), num_workers=1))
    with pytest.raises(ZeroDivisionError):  # the sampler is read in the program's own thread
        list(DataLoader(range(3), sampler=(1 // i for i in (1, 0)), num_workers=1))


def test_threads_end():
    loader = DataLoader(Squares(100), 2, num_workers=2)
    for _ in loader:
        break
    assert gone()  # though the loader lives
    assert loader.state_dict()["batch"] == 1
    batches = iter(loader)
    next(batches)
    assert len(threads()) == 1
    del batches
    assert gone()
    batches = iter(loader)
    list(batches)
    assert gone()  # at the end of a pass, though the iterator lives
    with pytest.raises(StopIteration):
        next(batches)
    with pytest.raises(KeyboardInterrupt):
        for _ in loader:
            raise KeyboardInterrupt
    gc.collect()
    assert gone()
    cycle = [iter(loader)]
    cycle.append(cycle)
    next(cycle[0])
    del cycle
    gc.collect()
    assert gone()


def test_a_program_ends_though_a_thread_is_at_work():
    program = (
        "import time\nfrom minidl.data import DataLoader, Dataset\n"
        "class Slow(Dataset):\n"
        "    def __getitem__(self, i):\n        time.sleep(0.2)\n        return i\n"
        "    def __len__(self):\n        return 1000\n"
        "batches = iter(DataLoader(Slow(), 1, num_workers=1))\nprint(next(batches).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks as POSIX has them")
def test_a_pass_does_not_go_on_in_a_forked_process():
    program = """
import os, warnings
from minidl.data import DataLoader
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
batches = iter(DataLoader(range(8), 2, num_workers=1))
print(next(batches).tolist(), flush=True)
child = os.fork()
if child == 0:
    try:
        next(batches)
    except RuntimeError as error:
        print(error, flush=True)
    print([x.tolist() for x in DataLoader(range(4), 2, num_workers=1)], flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(next(batches).tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[0] == "[0, 1]" and lines[2:] == ["[[0, 1], [2, 3]]", "[2, 3]"], (lines, done.stderr)
    assert "stayed in the parent process" in lines[1]


def test_a_batch_that_takes_too_long():
    class Slow(Squares):
        def __getitem__(self, index):
            time.sleep(0.3 if index == 2 else 0)
            return index

    batches = iter(DataLoader(Slow(4), 2, num_workers=1, timeout=0.05))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.05 seconds"):
        next(batches)


def test_modes_reach_the_thread():
    class Modes(Dataset):
        def __getitem__(self, index):
            w = minidl.ones(1, requires_grad=True) * 2
            return {
                "grad": minidl.is_grad_enabled(),
                "recorded": w.requires_grad,
                "dtype": str(minidl.tensor([1.5]).dtype),
                "device": str(minidl.backend.default_device()),
            }

        def __len__(self):
            return 4

    def seen(workers):
        return [(b["grad"].item(), b["recorded"].item(), b["dtype"][0], b["device"][0]) for b in loader(workers)]

    def loader(workers):
        return DataLoader(Modes(), 1, num_workers=workers, collate_fn=collate)

    def collate(samples):
        return {key: minidl.tensor(v) if isinstance(v, bool) else [v] for key, v in samples[0].items()}

    plain = (True, True, "minidl.float32", "cpu")
    assert seen(0) == seen(1) == [plain] * 4
    with minidl.no_grad():
        assert seen(0) == seen(1) == [(False, False, "minidl.float32", "cpu")] * 4
    minidl.set_default_dtype(minidl.float64)
    try:
        assert seen(0) == seen(1) == [(True, True, "minidl.float64", "cpu")] * 4
    finally:
        minidl.set_default_dtype(minidl.float32)
    with minidl.backend.device("cuda"):
        assert [s[3] for s in seen(1)] == ["cuda"] * 4
    batches = iter(loader(1))  # what holds when the batch is ordered
    next(batches)
    del batches


def test_worker_information():
    class Told(IterableDataset):
        """Parts the stream among workers, as PyTorch's manual shows it."""

        def __iter__(self):
            info = get_worker_info()
            return iter(range(10)) if info is None else iter(range(info.id, 10, info.num_workers))

    calls = []

    def start(number):
        info = get_worker_info()
        calls.append((number, info.id, info.num_workers, info.dataset is data, threading.current_thread().name))

    assert get_worker_info() is None
    assert values(DataLoader(Told(), 5, num_workers=4)) == values(DataLoader(Told(), 5))
    data = Squares(4)
    loader = DataLoader(data, 2, num_workers=3, worker_init_fn=start)
    list(loader), list(loader)
    assert calls == [(0, 0, 1, True, "minidl-data")] * 2  # once for each pass
    calls.clear()
    loader = DataLoader(data, 2, num_workers=3, worker_init_fn=start, persistent_workers=True)
    list(loader), list(loader)
    assert len(calls) == 1 and get_worker_info() is None
    batches = iter(DataLoader(data, 2, num_workers=1, worker_init_fn=lambda i: 1 // i))
    with pytest.raises(ZeroDivisionError):
        next(batches)
    with pytest.raises(RuntimeError, match="the thread could not start"):
        next(batches)
    del batches
    gc.collect()


def test_what_a_data_set_draws_by_itself_depends_on_the_batch_alone():
    class Noise(Squares):
        def __getitem__(self, index):
            return minidl.default_generator().uniform((2,))

    def run(prefetch, resume=None):
        minidl.manual_seed(3)
        loader = DataLoader(Noise(12), 3, shuffle=True, num_workers=1, prefetch_factor=prefetch)
        list(loader)
        if resume:
            loader.load_state_dict(resume)
        before = minidl.default_generator().get_state()
        batches = iter(loader)
        out = [next(batches), next(batches)]
        state = loader.state_dict()
        rest = list(batches)
        assert minidl.default_generator().get_state()[1] <= before[1] + 1
        return out, rest, state

    first, rest, state = run(1)
    again = run(4)
    assert all(same(a, b) for a, b in zip(first + rest, again[0] + again[1], strict=True))
    assert len({b.array.tobytes() for b in first + rest}) == 4
    resumed = run(2, state)[0]
    assert all(same(a, b) for a, b in zip(resumed, rest, strict=True))


# ------------------------------------------------------------------------------------------------------ transforms
def test_to_tensor():
    grey = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    x = ToTensor()(grey)
    assert x.shape == (1, 2, 2) and x.dtype == minidl.float32
    assert x.array.tobytes() == (grey.astype(np.float32) / np.float32(255)).tobytes()
    colour = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    x = ToTensor()(colour)
    assert x.shape == (3, 2, 4) and x.array[1, 0, 2] == np.float32(7) / np.float32(255)
    assert x.array.flags.c_contiguous
    kept = ToTensor()(np.full((2, 2), 300, dtype=np.int32))
    assert kept.dtype == minidl.int32 and kept.array.max() == 300
    minidl.set_default_dtype(minidl.float64)
    try:
        assert ToTensor()(grey).dtype == minidl.float64
    finally:
        minidl.set_default_dtype(minidl.float32)


def test_to_tensor_takes_pictures():
    class Picture:
        """What Pillow's images offer to NumPy."""

        def __init__(self, array):
            self.__array_interface__ = array.__array_interface__
            self.array = array

    colour = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert same(ToTensor()(Picture(colour)), ToTensor()(colour))
    bits = np.array([[True, False]])
    assert ToTensor()(Picture(bits)).tolist() == [[[1.0, 0.0]]]


def test_normalize():
    g = minidl.Generator(0)
    x = g.uniform((3, 4, 5))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (x - np.array(mean, np.float32)[:, None, None]) / np.array(std, np.float32)[:, None, None]
    t = wrap(x.copy())
    y = Normalize(mean, std)(t)
    assert y is not t and (t.array == x).all() and y.array.tobytes() == expected.tobytes()
    assert Normalize(mean, std, inplace=True)(t) is t and t.array.tobytes() == expected.tobytes()
    assert Normalize(0.5, 2)(wrap(x.astype(np.float64))).dtype == minidl.float64
    assert repr(Compose([ToTensor(), Normalize((0.5,), (0.5,))])) == (
        "Compose(\n    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n)"
    )
    w = minidl.ones(1, 2, 2, requires_grad=True)
    Normalize((0.5,), (0.25,))(w).sum().backward()  # used inside a model, it has a derivative
    assert w.grad.tolist() == [[[4.0, 4.0], [4.0, 4.0]]]
    product = (w * t[:1, :2, :2]).sum()
    Normalize(0.5, 0.5, inplace=True)(t)
    with pytest.raises(RuntimeError, match="changed in place"):
        product.backward()


def test_vectorised():
    assert vectorised(None) and vectorised(ToTensor()) and vectorised(Compose([ToTensor(), Normalize(0, 1)]))
    assert not vectorised(Lambda(abs)) and not vectorised(abs) and not vectorised(Compose([ToTensor(), abs]))
    assert Compose([ToTensor(), Lambda(lambda x: x * 2)])(np.full((1, 1), 255, np.uint8)).tolist() == [[[2.0]]]


IMAGE = np.zeros((3, 2, 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ToTensor()(np.zeros(3, np.uint8)), ValueError, r"expected an image .* \(3,\)"),
        (lambda: ToTensor()(minidl.zeros(2, 2)), TypeError, "got Tensor"),
        (lambda: ToTensor()([[1]]), TypeError, "got list"),
        (lambda: ToTensor().batch(np.zeros((2, 2), np.uint8)), ValueError, r"expected a batch .* \(2, 2\)"),
        (lambda: Normalize((0.5,), (0.0,)), ValueError, r"stds other than 0, got std=\(0.0,\)"),
        (lambda: Normalize((float("nan"),), (1.0,)), ValueError, "finite means"),
        (lambda: Normalize(0, 1)(IMAGE), TypeError, "expected a Tensor .* got ndarray"),
        (lambda: Normalize(0, 1)(minidl.zeros(1, 2, 2, dtype=minidl.uint8)), TypeError, "got minidl.uint8"),
        (lambda: Normalize(0, 1)(minidl.zeros(2, 2)), ValueError, r"\(..., C, H, W\), got \(2, 2\)"),
        (lambda: Normalize((0, 0), (1, 1))(wrap(IMAGE)), ValueError, "has 3 channels, mean 2 values"),
        (lambda: Normalize(0, (1, 1))(wrap(IMAGE)), ValueError, "has 3 channels, std 2 values"),
        (lambda: Normalize(0, 1, True)(minidl.ones(1, 1, 1, requires_grad=True)), RuntimeError, "inplace=True"),
        (lambda: Compose(ToTensor()), TypeError, "expected a list of transforms, got ToTensor"),
        (lambda: Compose([ToTensor(), 3]), TypeError, "must be callable, got 3"),
        (lambda: Lambda(3), TypeError, "expected a function, got int"),
    ],
)
def test_transforms_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_pytorchs_other_path():
    from minidl.utils.data import DataLoader as Loader
    from minidl.utils.data import TensorDataset as Tensors

    assert Loader is DataLoader and Tensors is TensorDataset


# -------------------------------------------------------------------------------------------- PyTorch's other names
def test_a_chain_of_streams():
    class Stream(minidl.data.IterableDataset):
        def __init__(self, *values):
            self.values = values

        def __iter__(self):
            return iter(self.values)

        def __len__(self):
            return len(self.values)

    chain = minidl.data.ChainDataset([Stream(1, 2), Stream(), Stream(3)])
    assert list(chain) == [1, 2, 3] and list(chain) == [1, 2, 3] and len(chain) == 3
    assert [x.tolist() for x in minidl.data.DataLoader(chain, batch_size=2)] == [[1, 2], [3]]
    with pytest.raises(TypeError, match="ChainDataset: expected IterableDatasets, got list"):
        list(minidl.data.ChainDataset([Stream(1), [2]]))


@pytest.mark.parametrize("n, drop_last", [(10, False), (11, False), (11, True), (2, False)])
def test_the_processes_of_a_distributed_sampler_share_the_samples(n, drop_last):
    samplers = [minidl.data.DistributedSampler(range(n), 3, rank, seed=4, drop_last=drop_last) for rank in range(3)]
    orders = [list(s) for s in samplers]
    assert [len(o) for o in orders] == [len(s) for s in samplers] == [n // 3 if drop_last else -(-n // 3)] * 3
    seen = [i for order in orders for i in order]
    assert set(seen) <= set(range(n)) and (drop_last or set(seen) == set(range(n)))
    assert not drop_last or len(set(seen)) == len(seen)
    samplers[0].set_epoch(1)
    assert n < 5 or list(samplers[0]) != orders[0]
    samplers[0].set_epoch(0)
    assert list(samplers[0]) == orders[0]
    for wrong in (dict(rank=3), dict(rank=-1), dict(num_replicas=0), dict(rank=None), dict(num_replicas=None)):
        with pytest.raises(ValueError, match="DistributedSampler"):
            minidl.data.DistributedSampler(range(n), **{"num_replicas": 3, "rank": 0, **wrong})


def test_pytorchs_paths_to_the_parts_of_data():
    import minidl.utils.data.dataloader
    import minidl.utils.data.dataset
    import minidl.utils.data.distributed
    import minidl.utils.data.sampler

    paths = minidl.utils.data
    assert paths.dataloader.DataLoader is paths.DataLoader is minidl.data.DataLoader
    assert paths.dataset.random_split is minidl.data.random_split and paths.sampler.Sampler is Sampler
    assert paths.distributed.DistributedSampler is minidl.data.DistributedSampler
