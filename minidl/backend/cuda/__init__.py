"""The GPU: CuPy's names. Kernels without a fused form here are the plain definitions of `ops/`.

This folder is the only place that imports CuPy; it is loaded when `'cuda'` is first asked for.
"""

from .driver import check, cupy  # says what is missing, before anything else needs it

# isort: split
from .. import Backend, linalg, rows, shared
from . import (
    arrays,
    attention,
    batch_norm,
    conv,
    cublas,
    cudnn,
    dropout,
    elementwise,
    graphs,
    loss,
    memory,
    norm,
    pool,
    recording,
    recurrent,
    softmax,
    squares,
    streams,
)

MODULES = (
    shared,
    rows,
    arrays,
    linalg,
    conv,
    pool,
    attention,
    recurrent,
    batch_norm,
    dropout,
    elementwise,
    loss,
    norm,
    softmax,
    squares,
)
BACKEND = Backend("cuda", cupy.ndarray, cupy, MODULES)
# for what is no op
BACKEND.__dict__.update(cublas=cublas, cudnn=cudnn, graphs=graphs, memory=memory, recording=recording, streams=streams)
memory.install()
