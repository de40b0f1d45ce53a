"""Cases of the ops behind windows, their inverse, and unpooling."""

from __future__ import annotations

import itertools

import numpy as np

from .table import case, normal


def _met(kernel, stride, dilation, width, out):
    """For each window and place: (number of the place, window, index of the element in the unpadded array)."""
    for where in itertools.product(*map(range, out)):
        for number, place in enumerate(itertools.product(*map(range, kernel))):
            at = [
                w * s + k * d - before
                for w, k, s, d, (before, _) in zip(where, place, stride, dilation, width[2:], strict=False)
            ]
            yield number, where, tuple(at)


def _windows(x, *, kernel, stride, dilation, width, out):
    dims = len(kernel)
    y = np.zeros((*x.shape[:2], int(np.prod(kernel)), *out, *x.shape[2 + dims :]))
    for number, where, at in _met(kernel, stride, dilation, width, out):
        if all(0 <= i < n for i, n in zip(at, x.shape[2:], strict=False)):
            y[(slice(None), slice(None), number, *where)] = x[(slice(None), slice(None), *at)]
    return y


def _windows_add(g, *, kernel, stride, dilation, width, shape):
    y, out = np.zeros(shape), g.shape[3 : 3 + len(kernel)]
    for number, where, at in _met(kernel, stride, dilation, width, out):
        if all(0 <= i < n for i, n in zip(at, shape[2:], strict=False)):
            y[(slice(None), slice(None), *at)] += g[(slice(None), slice(None), number, *where)]
    return y


for _label, _shape, _how, _out in (
    ("line", (2, 3, 5), {"kernel": (2,), "stride": (2,), "dilation": (1,), "width": ((0, 0),) * 3}, (2,)),
    (
        "image",
        (1, 2, 4, 5),
        {"kernel": (2, 3), "stride": (1, 2), "dilation": (2, 1), "width": ((0, 0), (0, 0), (1, 1), (2, 2))},
        (4, 4),
    ),
    (
        "volume",
        (1, 1, 3, 2, 3),
        {
            "kernel": (2, 1, 2),
            "stride": (1, 1, 1),
            "dilation": (1, 1, 2),
            "width": ((0, 0), (0, 0), (1, 0), (0, 0), (0, 1)),
        },
        (3, 2, 2),
    ),
    (
        "depth of a volume",
        (2, 2, 3, 2, 2),
        {"kernel": (2,), "stride": (2,), "dilation": (1,), "width": ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0))},
        (2,),
    ),
):
    case("windows", [normal(*_shape)], _windows, _label, out=_out, **_how)
    _given = (*_shape[:2], int(np.prod(_how["kernel"])), *_out, *_shape[2 + len(_out) :])
    case("windows_add", [normal(*_given)], _windows_add, _label, shape=_shape, **_how)


def _unpool(x, place, *, size):
    y = np.zeros((*x.shape[:2], size))
    np.put_along_axis(y, place, x, axis=2)
    return y


case("unpool", [normal(2, 3, 4), lambda rng: np.argsort(rng.random((2, 3, 6)), axis=2)[:, :, :4]], _unpool, size=6)
