"""Calls of `linalg`, of decompositions and special functions, of what optimizers of others use."""

from __future__ import annotations

import numpy as np

from .library import numbers, several

SQUARE = numbers(201, 2, 4, 4) + 2 * np.eye(4)
POSITIVE = SQUARE @ SQUARE.transpose(0, 2, 1) + np.diag([1.0, 2.0, 4.0, 7.0])
TALL, WIDE = numbers(202, 5, 3) + np.eye(5, 3), numbers(203, 3, 5) + np.eye(3, 5)
RIGHT, VECTORS = numbers(204, 2, 4, 3), numbers(205, 2, 4)


def _squared(parts):
    """The signs of singular vectors are free, their squares are not."""
    u, s, v = parts
    return s, u**2, v**2


several(
    "inverse",
    {
        "inv": lambda L, a: L.T.linalg.inv(a),
        "inv_ex": lambda L, a: L.T.linalg.inv_ex(a)[0],
        "inverse": lambda L, a: (a.inverse(), L.T.inverse(a[0])),
        "det": lambda L, a: (L.T.det(a), L.T.linalg.det(a[1]), a.det()),
        "slogdet": lambda L, a: (L.T.slogdet(a)[1], L.T.linalg.slogdet(a).logabsdet, a.slogdet().sign.detach()),
        "svdvals": lambda L, a: L.T.linalg.svdvals(a),
        "qr": lambda L, a: (*L.T.linalg.qr(a), a.qr().R),
        "matrix_exp": lambda L, a: (L.T.matrix_exp(a), L.T.linalg.matrix_exp(a * 0.01)),
        "rank": lambda L, a: (L.T.linalg.matrix_rank(a), L.T.linalg.matrix_rank(a, atol=1.5)),
        "cond": lambda L, a: (L.T.linalg.cond(a), L.T.linalg.cond(a.detach(), 1), L.T.linalg.cond(a.detach(), "fro")),
        "norms": lambda L, a: (L.T.linalg.matrix_norm(a, "nuc"), L.T.linalg.matrix_norm(a, 2, keepdim=True)),
        "norm of two dims": lambda L, a: L.T.linalg.norm(a, -2, dim=(0, 2)),
        "tensorinv": lambda L, a: L.T.linalg.tensorinv(a[0].reshape(2, 2, 4)),
    },
    SQUARE,
)
several(
    "solve",
    {
        "matrices": lambda L, a, b, v: L.T.linalg.solve(a, b),
        "vectors": lambda L, a, b, v: L.T.linalg.solve(a, v),
        "ex": lambda L, a, b, v: L.T.linalg.solve_ex(a, b)[0],
        "from the right": lambda L, a, b, v: L.T.linalg.solve(a, b.mT, left=False),
        "broadcast": lambda L, a, b, v: L.T.linalg.solve(a[0], b),
        "upper": lambda L, a, b, v: L.T.linalg.solve_triangular(a, b, upper=True),
        "lower, unit": lambda L, a, b, v: L.T.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        "lower, from the right": lambda L, a, b, v: L.T.linalg.solve_triangular(a, b.mT, upper=False, left=False),
        "triangular_solve": lambda L, a, b, v: L.T.triangular_solve(b, a, upper=False, transpose=True)[0],
        "tensorsolve": lambda L, a, b, v: L.T.linalg.tensorsolve(a[0].reshape(2, 2, 4), v[0].reshape(2, 2)),
        "vander": lambda L, a, b, v: L.T.linalg.vander(v.detach()),
    },
    SQUARE,
    RIGHT,
    VECTORS,
)
several(
    "positive",
    {
        "cholesky": lambda L, a, b: (L.T.linalg.cholesky(a), a.cholesky(), L.T.cholesky(a, upper=True)),
        "cholesky_ex": lambda L, a, b: L.T.linalg.cholesky_ex(a, upper=True)[0],
        "cholesky_inverse": lambda L, a, b: L.T.cholesky_inverse(L.T.linalg.cholesky(a)),
        "cholesky_solve": lambda L, a, b: L.T.cholesky_solve(b, L.T.linalg.cholesky(a)),
        "cholesky_solve upper": lambda L, a, b: L.T.cholesky_solve(b, L.T.linalg.cholesky(a).mT, upper=True),
        "logdet": lambda L, a, b: (a.logdet(), L.T.logdet(a)),
        "eigh": lambda L, a, b: (L.T.linalg.eigh(a).eigenvalues, L.T.linalg.eigh(a)[1].abs()),
        "eigh of the lower half": lambda L, a, b: L.T.linalg.eigh(a.detach() @ a[0].detach())[0],
        "eigvalsh": lambda L, a, b: L.T.linalg.eigvalsh(a, UPLO="U"),
    },
    POSITIVE,
    RIGHT,
)
several(
    "rectangular",
    {
        "svd": lambda L, a: _squared(L.T.linalg.svd(a, full_matrices=False)),
        "svd, both": lambda L, a: (lambda u, s, vh: u[:, :1] * vh[:1, :1])(*L.T.linalg.svd(a, full_matrices=False)),
        "svd method": lambda L, a: _squared(a.svd()),
        "qr": lambda L, a: tuple(L.T.linalg.qr(a)),
        "qr function": lambda L, a: tuple(L.T.qr(a)),
        "pinv": lambda L, a: (L.T.linalg.pinv(a), a.pinverse()),
        "pinv, small values left out": lambda L, a: L.T.pinverse(a.detach(), 0.5),
        "lstsq": lambda L, a: L.T.linalg.lstsq(a, a[:, :2] ** 2)[0],
        "svd function": lambda L, a: L.T.svd(a, compute_uv=False)[1].detach(),
    },
    TALL,
)
several(
    "wide",
    {
        "svd": lambda L, a: _squared(L.T.linalg.svd(a, full_matrices=False)),
        "qr": lambda L, a: tuple(L.T.linalg.qr(a)),
        "pinv": lambda L, a: L.T.linalg.pinv(a),
    },
    WIDE,
)
several(
    "special",
    {
        "gamma": lambda L, x: (L.T.lgamma(x), x.abs().digamma(), L.T.digamma(x), L.T.special.gammaln(x)),
        "polygamma": lambda L, x: (L.T.polygamma(1, x.abs() + 1), (x.abs() + 1).polygamma(2)),
        "mvlgamma": lambda L, x: (L.T.mvlgamma(x.abs() + 3, 3), L.T.special.multigammaln(x.abs() + 2, 2)),
        "erfinv": lambda L, x: (L.T.erfinv(x.tanh()), (x / 2).erfinv()),
        "ndtr": lambda L, x: (L.T.special.ndtr(x), L.T.special.ndtri(x.sigmoid()), L.T.special.log_ndtr(x * 2)),
        "entr": lambda L, x: (L.T.special.entr(x.abs()), L.T.special.xlog1py(x, x.abs()), L.T.special.erfcx(x)),
        "expit": lambda L, x: (L.T.special.expit(x), L.T.special.logit(x.sigmoid()), L.T.special.psi(x.abs())),
        "ldexp": lambda L, x: (L.T.ldexp(x, L.tensor(np.array([1, 0, 2]))), x.ldexp(L.tensor(np.array(3)))),
        "frexp": lambda L, x: (L.T.frexp(x.detach()).mantissa, L.T.frexp(x.detach())[1]),
        "nextafter": lambda L, x: L.T.nextafter(x.detach(), x.detach() + 1),
        "real": lambda L, x: (L.T.real(x), x.conj(), L.T.resolve_conj(x), x.resolve_neg(), L.T.conj_physical(x)),
        "angle": lambda L, x: L.T.angle(x.detach()),
        "gcd": lambda L, x: (
            L.T.gcd(L.tensor(np.array([12, 18])), L.tensor(np.array([8, 27]))),
            L.T.lcm(L.tensor(np.array([4])), L.tensor(np.array([6]))),
        ),
    },
    numbers(206, 4, 3),
)


several(
    "pieces",
    {
        "unfold": lambda L, x: (x.unfold(1, 2, 1), x.unfold(-1, 3, 2), x.unfold(0, 2, 1).unfold(1, 2, 2)),
        "as_strided": lambda L, x: (x.as_strided((2, 3), (1, 4)), x.as_strided((2, 2), (2, 1), 3)),
        "as_strided view": lambda L, x: L.T.as_strided(x.detach(), (3, 2), (0, 5)),
        "sum_to_size": lambda L, x: (x.sum_to_size(3, 1), x.sum_to_size((5,)), x.sum_to_size(3, 5)),
        "split_with_sizes": lambda L, x: (*x.split_with_sizes([1, 2]), *L.T.split_with_sizes(x, [2, 3], 1)),
        "unsafe": lambda L, x: (*x.unsafe_split(2), *L.T.unsafe_chunk(x, 2, 1), *x.unsafe_split_with_sizes([1, 2])),
        "narrow_copy": lambda L, x: x.narrow_copy(1, 1, 2),
        "clone": lambda L, x: (L.T.clone(x), L.T.detach(x), x.clone(memory_format=L.T.preserve_format)),
        "fill": lambda L, x: L.T.fill(x, 2.5),
        "renorm": lambda L, x: (x.renorm(2, 0, 1.0), L.T.renorm(x, 1, 1, 2.0)),
        "vander": lambda L, x: (L.T.vander(x[0].detach(), 3), L.T.vander(x[0].detach(), increasing=True)),
        "gradient": lambda L, x: (*L.T.gradient(x), *L.T.gradient(x, spacing=2.0, dim=(1,), edge_order=2)),
        "gradient at coordinates": lambda L, x: L.T.gradient(
            x, spacing=(L.tensor(np.array([0.0, 1.0, 3.0, 4.5, 5.0])),), dim=1, edge_order=2
        )[0],
        "histogram": lambda L, x: (
            L.tensor(np.array(L.T.is_same_size(x, x[0]))),
            *L.T.histogram(x.detach(), 4, range=(-1.0, 1.0)),
            *L.T.histogram(x.detach(), 3, density=True),
        ),
        "index_reduce": lambda L, x: tuple(
            [
                x.index_reduce(1, L.tensor(np.array([0, 2, 0])), x[:, :3] * 2, how, include_self=own)
                for how in ("prod", "mean", "amax", "amin")
                for own in (True, False)
            ]
        ),
        "unravel_index": lambda L, x: L.T.unravel_index(L.tensor(np.array([3, 7])), (2, 4)),
        "questions": lambda L, x: L.tensor(
            np.array(
                [
                    *(L.T.is_complex(x), L.T.is_conj(x), L.T.is_neg(x), L.T.is_signed(x), L.T.is_inference(x)),
                    *(x.is_cpu or x.is_cuda, x.is_contiguous(), x.t().is_contiguous(), x.layout == L.T.strided),
                    *(x.is_pinned(), x.is_shared(), x.is_meta, x.is_quantized, x.retains_grad, x.dim_order() == (0, 1)),
                ]
            )
        ),
        "windows": lambda L, x: (
            L.T.hann_window(5, dtype=x.dtype, device=x.device),
            L.T.hamming_window(4, False, dtype=x.dtype, device=x.device),
            L.T.blackman_window(6, dtype=x.dtype, device=x.device),
        ),
        "memory": lambda L, x: (
            L.T.frombuffer(bytearray(b"abc"), dtype=L.T.uint8).to(x.device),
            L.T.from_dlpack(np.arange(3)).to(x.device),
            L.T.empty_strided((2, 3), (1, 2), device=x.device).fill_(1).to(x.dtype),
        ),
        "out": lambda L, x: (
            L.T.add(x.detach(), 1, out=L.T.empty(3, 5, dtype=x.dtype, device=x.device)),
            L.T.matmul(x.detach(), x.detach().t(), out=L.T.empty(0, dtype=x.dtype, device=x.device)),
        ),
    },
    numbers(207, 3, 5),
)
several(
    "optimizers of others",
    {
        "old order": lambda L, x: (
            x.clone().add_(2.0, x),
            x.clone().addcmul_(0.5, x, x),
            x.clone().addcdiv_(0.5, x, x.detach() + 9),
            L.T.sub(x, 2, x),
        ),
        "in place": lambda L, x: (
            L.T.sqrt_(x.detach().abs()),
            L.T.clamp_(x.detach().clone(), min=0.0),
            L.T.zero_(x.detach().clone()),
            x.clone().lerp_(x * 2, x),
            x.detach().abs().digamma_(),
        ),
        "foreach": lambda L, x: (
            *L.T._foreach_add([x, x], [x, x], alpha=2),
            *L.T._foreach_mul([x, x], [1.0, 2.0]),
            *L.T._foreach_div([x, x], 2.0),
            *L.T._foreach_sub([x], [x]),
            *L.T._foreach_pow([x], 2),
            *L.T._foreach_sqrt([x.abs()]),
            *L.T._foreach_norm([x, x]),
            *L.T._foreach_addcmul([x, x], [x, x], [x, x], 0.5),
            *L.T._foreach_addcdiv([x, x], [x, x], [x + 9, x + 9], [0.5, 1]),
            *L.T._foreach_lerp([x, x], [x * 2, x], 0.5),
            *L.T._foreach_maximum([x], [x * 2]),
            *L.T._foreach_clamp_min([x], [0.0]),
            *L.T._foreach_neg([x]),
            *L.T._foreach_reciprocal([x]),
            *L.T._foreach_sign([x]),
        ),
    },
    numbers(208, 2, 3),
)
