"""Lazy layers after their first input, weight and spectral normalisation, parametrizations, fused layers, wrappers."""

from __future__ import annotations

from .runs import layer


def _seen(lazy, like):
    """The lazy layer after a first input, which is the weight of another one."""
    lazy.eval()(like.weight)
    return lazy.train()


layer("LazyLinear", lambda nn: _seen(nn.LazyLinear(3), nn.Linear(4, 2)), (2, 4))
layer("LazyConv1d", lambda nn: _seen(nn.LazyConv1d(4, 2, groups=2), nn.Conv1d(6, 1, 3)), (2, 6, 4))
layer("LazyConv2d", lambda nn: _seen(nn.LazyConv2d(2, 2, 2, 1), nn.Conv2d(3, 1, 3)), (2, 3, 4, 4))
layer("LazyConv3d", lambda nn: _seen(nn.LazyConv3d(2, 2), nn.Conv3d(2, 1, 2)), (1, 2, 3, 3, 2))
layer("LazyConvTranspose1d", lambda nn: _seen(nn.LazyConvTranspose1d(2, 3), nn.Conv1d(3, 1, 3)), (2, 3, 4))
layer("LazyConvTranspose2d", lambda nn: _seen(nn.LazyConvTranspose2d(2, 2, 2), nn.Conv2d(3, 1, 3)), (1, 3, 2, 3))
layer("LazyConvTranspose3d", lambda nn: _seen(nn.LazyConvTranspose3d(2, 2), nn.Conv3d(2, 1, 2)), (1, 2, 2, 2, 2))
layer("LazyBatchNorm1d", lambda nn: _seen(nn.LazyBatchNorm1d(), nn.Linear(3, 2)), (4, 3))
layer("LazyBatchNorm2d", lambda nn: _seen(nn.LazyBatchNorm2d(1e-2, 0.3), nn.Conv2d(3, 2, 2)), (2, 3, 2, 2))
layer("LazyBatchNorm3d", lambda nn: _seen(nn.LazyBatchNorm3d(), nn.Conv3d(2, 2, 1)), (2, 2, 2, 1, 2))
layer("LazyInstanceNorm1d", lambda nn: _seen(nn.LazyInstanceNorm1d(), nn.Conv1d(3, 2, 4)), (2, 3, 4))
layer("LazyInstanceNorm2d", lambda nn: _seen(nn.LazyInstanceNorm2d(affine=True), nn.Conv2d(2, 2, 2)), (2, 2, 3, 2))
layer("LazyInstanceNorm3d", lambda nn: _seen(nn.LazyInstanceNorm3d(affine=False), nn.Conv3d(2, 1, 2)), (1, 2, 2, 2, 2))

for _dim in (0, 1, None):
    layer(f"weight_norm dim={_dim}", lambda nn, d=_dim: nn.utils.weight_norm(nn.Linear(4, 3), dim=d), (2, 4))
    layer(
        f"parametrizations.weight_norm dim={_dim}",
        lambda nn, d=_dim: nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 2), dim=d),
        (2, 2, 4),
    )
layer("weight_norm of a bias", lambda nn: nn.utils.weight_norm(nn.Linear(2, 3), "bias"), (2, 2))


def _spectral(nn, module, old, name="weight"):
    """With fixed singular vectors, which are drawn at random, and no power iteration, which changes them."""
    made = (nn.utils if old else nn.utils.parametrizations).spectral_norm(module, name)
    for key, b in made.named_buffers():
        if key.endswith(("_u", "_v")):
            b.fill_(0.5)
    return made.eval()


for _old in (True, False):
    _name = "spectral_norm" if _old else "parametrizations.spectral_norm"
    layer(_name, lambda nn, o=_old: _spectral(nn, nn.Linear(4, 3), o), (2, 4))
    layer(f"{_name}, transposed", lambda nn, o=_old: _spectral(nn, nn.ConvTranspose1d(3, 2, 2), o), (2, 3, 3))
layer("spectral_norm of a vector", lambda nn: _spectral(nn, nn.Linear(2, 3), False, "bias"), (2, 2))


def _orthogonal(nn, wide, tall, kind):
    """The parametrization on a fixed base."""
    made = nn.utils.parametrizations.orthogonal(nn.Linear(wide, tall), "weight", kind)
    nn.init.eye_(made.parametrizations.weight[0].base)
    return made


for _kind in ("matrix_exp", "cayley"):
    layer(f"orthogonal {_kind}", lambda nn, k=_kind: _orthogonal(nn, 3, 3, k), (2, 3))
    layer(f"orthogonal {_kind}, wide", lambda nn, k=_kind: _orthogonal(nn, 3, 2, k), (2, 3))
layer("orthogonal householder", lambda nn: _orthogonal(nn, 2, 4, "householder"), (2, 2))


def _fused(nn, a, b, transpose=None):
    made = nn.utils.fuse_linear_bn_eval if transpose is None else nn.utils.fuse_conv_bn_eval
    return made(a.eval(), b.eval(), *([] if transpose is None else [transpose]))


layer("fuse_conv_bn_eval", lambda nn: _fused(nn, nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), False), (1, 2, 3, 3))
layer("DataParallel", lambda nn: nn.DataParallel(nn.Linear(3, 2)), (2, 3))
