"""Products of vectors, matrices and batches, up to einsum."""

from __future__ import annotations

import math

from ..amp.casting import whole
from ..backend import ArgumentError
from ..creation import eye
from ..ops import elementwise as E
from ..ops import linalg as L
from ..ops import reduce as R
from ..ops import shape as S
from ..tensor import Tensor
from .arguments import dimension, sequence
from .index import diagonal
from .shape import broadcast_tensors, squeeze, unsqueeze

__all__ = """
    addbmm addmm addmv addr baddbmm bmm chain_matmul cross dot einsum ger inner kron matmul matrix_power mm mv outer
    tensordot vdot
""".split()


def matmul(input, other) -> Tensor:
    """The matrix product over the last two dimensions, with batches broadcast; vectors as in NumPy."""
    a, b = input, other
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: both must have at least one dimension, got {tuple(a.shape)} and {tuple(b.shape)}")
    if a.ndim > 1 and b.ndim > 1:
        try:
            return L.matmul(a, b)
        except ArgumentError as error:
            if "broadcast" not in str(error):
                raise
            raise ArgumentError(
                f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: the batches do not broadcast"
            ) from None
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ArgumentError(f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: inner sizes must be equal")
    y = L.matmul(
        a if a.ndim > 1 else S.reshape(a, shape=(1, a.shape[0])), b if b.ndim > 1 else S.reshape(b, shape=(-1, 1))
    )
    y = y if a.ndim > 1 else squeeze(y, -2)
    return y if b.ndim > 1 else squeeze(y, -1)


def _product(name, ndims, a, b) -> Tensor:
    """matmul of tensors with that many dimensions."""
    if (a.ndim, b.ndim) != ndims:
        raise RuntimeError(f"{name}: expected {ndims} dimensions, got {tuple(a.shape)} and {tuple(b.shape)}")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ArgumentError(f"{name}: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}: inner sizes must be equal")
    return matmul(a, b)


def mm(input, mat2) -> Tensor:
    """The product of two matrices."""
    return _product("mm", (2, 2), input, mat2)


def bmm(input, mat2) -> Tensor:
    """The products of the matrices in two batches, pair by pair."""
    return _product("bmm", (3, 3), input, mat2)


@whole
def mv(input, vec) -> Tensor:
    """The product of a matrix and a vector."""
    return _product("mv", (2, 1), input, vec)


@whole
def dot(input, tensor) -> Tensor:
    """The sum of the products of two vectors' elements."""
    return _product("dot", (1, 1), input, tensor)


@whole
def vdot(input, other) -> Tensor:
    """`dot`: there are no complex numbers."""
    return _product("vdot", (1, 1), input, other)


def outer(input, vec2) -> Tensor:
    """The matrix of all products of two vectors' elements."""
    if (input.ndim, vec2.ndim) != (1, 1):
        raise RuntimeError(f"outer: expected two vectors, got {tuple(input.shape)} and {tuple(vec2.shape)}")
    return E.multiply(unsqueeze(input, 1), vec2)


ger = outer


def inner(input, other) -> Tensor:
    """The sums of products over the last dimension of both; with a 0-d tensor the plain product."""
    if not input.ndim or not other.ndim:
        return E.multiply(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: the last sizes must be equal, got {tuple(input.shape)} and {tuple(other.shape)}")
    return dot(input, other) if input.ndim == other.ndim == 1 else tensordot(input, other, ([-1], [-1]))


def kron(input, other) -> Tensor:
    """The Kronecker product: every element of input times the whole of other."""
    nd = max(input.ndim, other.ndim)
    a, b = ((1,) * (nd - x.ndim) + x.array.shape for x in (input, other))
    left = S.reshape(input, shape=tuple([m for n in a for m in (n, 1)]))
    right = S.reshape(other, shape=tuple([m for n in b for m in (1, n)]))
    return S.reshape(E.multiply(left, right), shape=tuple([m * n for m, n in zip(a, b, strict=True)]))


@whole
def cross(input, other, *, dim=None) -> Tensor:
    """The vector product along `dim` (the first dimension of size 3, if None)."""
    if dim is None:
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError(f"cross: no dimension of {tuple(input.shape)} has size 3")
    a, b = broadcast_tensors(input, other)
    dim = dimension("cross", a, dim)
    if a.shape[dim] != 3:
        raise RuntimeError(f"cross: dimension {dim} must have size 3, got {tuple(a.shape)}")

    def turned(x, shift):
        cut = (slice(None),) * dim
        return S.cat(S.getitem(x, index=(*cut, slice(shift, 3))), S.getitem(x, index=(*cut, slice(0, shift))), axis=dim)

    return turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)


def _scaled(name, product, beta, alpha, input):
    """beta input + alpha product; with beta 0, nan in input does not count."""
    y = product if alpha == 1 else product * alpha
    shape = tuple(y.shape)
    lead = len(shape) - input.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(input.shape, shape[lead:], strict=True)):
        raise RuntimeError(f"{name}: input {tuple(input.shape)} does not broadcast to the product {shape}")
    return E.identity(y) if beta == 0 else E.add(input if beta == 1 else input * beta, y)


@whole
def addmm(input, mat1, mat2, *, beta=1, alpha=1) -> Tensor:
    """beta input + alpha mat1 mat2."""
    return _scaled("addmm", mm(mat1, mat2), beta, alpha, input)


@whole
def addmv(input, mat, vec, *, beta=1, alpha=1) -> Tensor:
    """beta input + alpha mat vec."""
    return _scaled("addmv", mv(mat, vec), beta, alpha, input)


@whole
def addr(input, vec1, vec2, *, beta=1, alpha=1) -> Tensor:
    """beta input + alpha vec1 vec2^T."""
    return _scaled("addr", outer(vec1, vec2), beta, alpha, input)


@whole
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1) -> Tensor:
    """beta input + alpha batch1 batch2, matrix by matrix."""
    return _scaled("baddbmm", bmm(batch1, batch2), beta, alpha, input)


@whole
def addbmm(input, batch1, batch2, *, beta=1, alpha=1) -> Tensor:
    """beta input + alpha times the sum of the products of the matrices."""
    return _scaled("addbmm", R.sum(bmm(batch1, batch2), axis=0), beta, alpha, input)


def matrix_power(input, n) -> Tensor:
    """Square matrices multiplied by themselves n times, by repeated squaring; their inverses where n is negative."""
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise RuntimeError(f"matrix_power: expected square matrices, got {tuple(input.shape)}")
    if n < 0:
        input, n = L.inv(input), -n
    if n == 0:
        one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
        return S.broadcast_to(one, shape=input.array.shape) + 0
    result = None
    while True:
        if n & 1:
            result = input if result is None else L.matmul(result, input)
        n >>= 1
        if not n:
            return E.identity(result)
        input = L.matmul(input, input)


def chain_matmul(*matrices) -> Tensor:
    """The product of several matrices, in the order of multiplication that takes the fewest operations."""
    matrices = tuple(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else matrices
    for x in sequence("chain_matmul", matrices):
        if x.ndim != 2:
            raise RuntimeError(f"chain_matmul: expected matrices, got {[tuple(x.shape) for x in matrices]}")
    best: dict = {(i, i): (0, x) for i, x in enumerate(matrices)}  # (first, last) -> (operations, where it is cut)
    sizes = [x.shape[0] for x in matrices] + [matrices[-1].shape[1]]
    for length in range(1, len(matrices)):
        for i in range(len(matrices) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return matrices[i] if i == j else mm(product(i, best[i, j][1]), product(best[i, j][1] + 1, j))

    return product(0, len(matrices) - 1)


@whole
def tensordot(a, b, dims=2) -> Tensor:
    """The sums of products over the last `dims` dimensions of a and the first of b, or over two lists of dimensions."""
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: {dims} dimensions cannot be summed over, of {a.ndim} and {b.ndim}")
        dims = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    left, right = ([dimension("tensordot", x, d) for d in ds] for x, ds in zip((a, b), dims, strict=True))
    sizes = [x.array.shape[d] for d in left for x in (a,)], [b.array.shape[d] for d in right]
    if sizes[0] != sizes[1]:
        raise RuntimeError(f"tensordot: the sizes to sum over differ: {sizes[0]} and {sizes[1]}")
    free = [[d for d in range(x.ndim) if d not in ds] for x, ds in ((a, left), (b, right))]
    n, shape = math.prod(sizes[0]), tuple([x.array.shape[d] for x, ds in zip((a, b), free, strict=True) for d in ds])
    x = S.reshape(S.transpose(a, axes=(*free[0], *left)), shape=(math.prod([a.array.shape[d] for d in free[0]]), n))
    y = S.reshape(S.transpose(b, axes=(*right, *free[1])), shape=(n, math.prod([b.array.shape[d] for d in free[1]])))
    return S.reshape(L.matmul(x, y), shape=shape)


# ----------------------------------------------------------------------------------------------------------- einsum
@whole
def einsum(equation, *operands) -> Tensor:
    """Sums of products by Einstein's convention: letters name dimensions, those not in the result are summed over.

    `...` stands for any dimensions in between; a letter twice in one operand is a diagonal. Several operands are
    multiplied from left to right.

    >>> minidl.einsum("ij,jk->ik", minidl.ones(2, 3), minidl.ones(3, 4)).shape
    minidl.Size([2, 4])
    """
    if not isinstance(equation, str):
        raise NotImplementedError("einsum: the form with lists of numbers is not supported; write an equation")
    operands = tuple(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    terms, out = _parsed(equation, sequence("einsum", operands))
    sizes: dict = {}
    for labels, x in zip(terms, operands, strict=True):
        for label, n in zip(labels, x.array.shape, strict=True):
            if sizes.setdefault(label, n) != n:
                if 1 not in (n, sizes[label]):
                    raise RuntimeError(f"einsum: {equation!r}: a letter has the sizes {sizes[label]} and {n}")
                sizes[label] = max(n, sizes[label])
    labels, y = _own(terms[0], operands[0])
    for k, (others, x) in enumerate(zip(terms[1:], operands[1:], strict=True), 2):
        others, x = _own(others, x)
        labels, y = _contracted(labels, y, others, x, {*out, *[i for term in terms[k:] for i in term]})
    labels, y = _summed(labels, y, out)
    y = S.transpose(y, axes=tuple([labels.index(i) for i in out]))
    shape = tuple([sizes[i] for i in out])
    return y if y.array.shape == shape else S.broadcast_to(y, shape=shape)


def _parsed(equation, operands):
    """The labels of every operand's dimensions, and of the result's: letters, and numbers for what `...` means."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(parts)} operands, {len(operands)} were given")
    deepest, terms = 0, []
    for part, x in zip(parts, operands, strict=True):
        before, dots, after = part.partition("...")
        rest = x.ndim - len(before) - len(after)
        if rest < 0 or (rest and not dots):
            raise RuntimeError(f"einsum: {equation!r}: {part!r} does not fit an operand of shape {tuple(x.shape)}")
        deepest = max(deepest, rest)
        terms.append([*before, *range(-rest, 0), *after])
    if arrow:
        before, dots, after = right.partition("...")
        out = [*before, *(range(-deepest, 0) if dots else ()), *after]
    else:
        letters = sorted([c for c in left if c.isalpha()])
        out = [*range(-deepest, 0), *[c for c in letters if letters.count(c) == 1]]
    used = {i for term in terms for i in term}
    for i in [*out, *used]:
        if isinstance(i, str) and not (i.isalpha() and i.isascii()):
            raise ValueError(f"einsum: {equation!r}: {i!r} is not a letter")
    if len({*out}) < len(out) or not {*out} <= used:
        raise RuntimeError(f"einsum: {equation!r}: each letter of the result must occur there once, and in an operand")
    return terms, out


def _own(labels, x):
    """An operand whose repeated letters were replaced by diagonals."""
    labels = list(labels)
    for i in dict.fromkeys(labels):
        while labels.count(i) > 1:
            a = labels.index(i)
            b = labels.index(i, a + 1)
            if x.shape[a] != x.shape[b]:
                raise RuntimeError(f"einsum: the letter {i!r} stands for sizes {x.shape[a]} and {x.shape[b]}")
            x = diagonal(x, 0, a, b)
            labels = [label for d, label in enumerate(labels) if d not in (a, b)] + [i]
    return labels, x


def _summed(labels, x, keep):
    """Summed over the dimensions that are not to be kept."""
    gone = tuple([d for d, i in enumerate(labels) if i not in keep])
    return ([i for i in labels if i in keep], R.sum(x, axis=gone)) if gone else (labels, x)


def _contracted(left, a, right, b, keep):
    """The product of two operands, summed over what is not to be kept: one product of batches of matrices."""
    left, a = _summed(left, a, keep | {*right})
    right, b = _summed(right, b, keep | {*left})
    both = [i for i in left if i in right]
    sizes = {i: (a.array.shape[left.index(i)], b.array.shape[right.index(i)]) for i in both}
    over = [i for i in both if i not in keep and sizes[i][0] == sizes[i][1]]
    batch = [i for i in both if i in keep and sizes[i][0] == sizes[i][1]]
    odd = [i for i in both if i not in over and i not in batch]  # of size 1 in one of the two
    for i in odd:
        if sizes[i][0] == 1:
            a, left = squeeze(a, left.index(i)), [j for j in left if j != i]
        else:
            b, right = squeeze(b, right.index(i)), [j for j in right if j != i]
    left, a = _summed(left, a, keep | {*right})
    right, b = _summed(right, b, keep | {*left})
    rows, columns = [i for i in left if i not in (*batch, *over)], [i for i in right if i not in (*batch, *over)]
    a = S.transpose(a, axes=tuple([left.index(i) for i in (*batch, *rows, *over)]))
    b = S.transpose(b, axes=tuple([right.index(i) for i in (*batch, *over, *columns)]))
    lead, n = a.array.shape[: len(batch)], len(batch) + len(rows)
    shape = (*a.array.shape[:n], *b.array.shape[len(batch) + len(over) :])
    inside = math.prod(a.array.shape[n:])
    x = S.reshape(a, shape=(*lead, math.prod(a.array.shape[len(batch) : n]), inside))
    y = S.reshape(b, shape=(*lead, inside, math.prod(b.array.shape[len(batch) + len(over) :])))
    return [*batch, *rows, *columns], S.reshape(L.matmul(x, y) if over else E.multiply(x, y), shape=shape)
