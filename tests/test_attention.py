"""Attention and Transformers beyond PyTorch's values: equivalences, dropout, errors, weights that travel, learning."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from calls import Library
from layers import LAYERS, flat, given
from test_reference import REFERENCE

import minidl
from minidl import nn, optim
from minidl.nn import functional as F
from minidl.nn.attention import NonDynamicallyQuantizableLinear, SDPBackend, sdpa_kernel

attend = F.scaled_dot_product_attention
INF = float("inf")


def close(a, b, tolerance=1e-12) -> None:
    np.testing.assert_allclose(a.detach().array, b.detach().array, rtol=tolerance, atol=tolerance)


def _numbers(*shapes):
    minidl.manual_seed(5)
    return [minidl.randn(*shape, dtype=minidl.float64) for shape in shapes]


# ---------------------------------------------------------------------------------------------------- equivalences
def test_causal_is_the_mask_below_the_diagonal():
    for queries, keys in ((4, 4), (3, 5), (5, 3)):
        q, k, v = _numbers((2, queries, 3), (2, keys, 3), (2, keys, 2))
        below = minidl.ones(queries, keys, dtype=minidl.bool).tril()
        added = minidl.zeros(queries, keys, dtype=minidl.float64).masked_fill(~below, -INF)
        expected = attend(q, k, v, is_causal=True)
        close(attend(q, k, v, below), expected)
        close(attend(q, k, v, added), expected)
        close(expected[:, 0], v[:, 0])  # the first sees itself alone


def test_attention_is_what_its_formula_says():
    q, k, v, mask = _numbers((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 2), (4, 6))
    scores = (q.array @ k.array.swapaxes(-1, -2)) / math.sqrt(5) + mask.array
    weights = np.exp(scores)
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(attend(q, k, v, mask).array, weights @ v.array, rtol=1e-12)


def test_groups_of_heads_are_heads_repeated():
    q, k, v = _numbers((2, 6, 3, 4), (2, 2, 3, 4), (2, 3, 3, 4))
    many = [x.repeat_interleave(6 // x.shape[1], 1) for x in (k, v)]
    close(attend(q, k, v, enable_gqa=True), attend(q, *many))


def test_a_row_that_sees_nothing_has_no_part_in_any_gradient(where):
    q, k, v = [where.leaf(x.array) for x in _numbers((2, 3, 4), (2, 3, 4), (2, 3, 4))]
    mask = where.tensor([[True, False, False], [False, False, False], [True, True, False]])
    y = attend(q, k, v, mask)
    assert not where.host(y)[:, 1].any() and where.host(y)[:, 0].all()
    gradients = minidl.grad((y**2).sum(), (q, k, v), create_graph=True)
    assert all(np.isfinite(where.host(g)).all() for g in gradients)
    assert not where.host(gradients[0])[:, 1].any() and not where.host(gradients[2])[:, 2].any()
    twice = minidl.grad(sum([(g * g).sum() for g in gradients]), (q, k, v))
    assert all(np.isfinite(where.host(g)).all() for g in twice) and where.host(twice[0]).any()


def test_attention_keeps_its_dtype_and_its_device(where):
    for dtype in (np.float32, np.float64):
        q = where.tensor(np.ones((2, 3, 4)), dtype)
        for mask in (None, where.tensor(np.ones((3, 3)), bool), where.tensor(np.zeros((3, 3)), np.float32)):
            assert attend(q, q, q, mask).array.dtype == dtype
    with pytest.raises(RuntimeError, match="query's dtype minidl.float32, got minidl.float64"):
        attend(q.float(), q.float(), q.float(), where.tensor(np.zeros((3, 3))))


def test_large_scores_do_not_overflow():
    q = minidl.tensor([[200.0, 0.0], [0.0, 200.0]])
    assert attend(q, q, q).tolist() == q.tolist()


# ---------------------------------------------------------------------------------------------------------- dropout
def test_dropout_leaves_out_weights_and_keeps_the_mean():
    minidl.manual_seed(0)
    n, p = 200, 0.3
    q, v = minidl.zeros(n, n, 2), minidl.eye(n).expand(n, n, n)
    y = attend(q, q, v, dropout_p=p).array * n  # the weights themselves, each 1 before dropout
    assert set(np.round(np.unique(y), 4)) == {0.0, np.float32(round(1 / (1 - p), 4))}
    assert abs((y == 0).mean() - p) < 0.001 and abs(y.mean() - 1) < 0.001
    assert not (y[0] == y[1]).all()  # each weight on its own
    other = attend(q, q, v, dropout_p=p).array
    assert not (y == other * n).all()
    minidl.manual_seed(0)
    assert (attend(q, q, v, dropout_p=p).array * n == y).all()


def test_a_layer_drops_out_in_training_only():
    x = minidl.randn(5, 2, 8)
    for layer in (nn.MultiheadAttention(8, 2, 0.5), nn.TransformerEncoderLayer(8, 2, 16, 0.5)):
        inputs = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
        first, second = [flat(layer(*inputs))[0].array for _ in range(2)]
        assert np.abs(first - second).max() > 0.01
        layer.eval()
        first, second = [flat(layer(*inputs))[0].array for _ in range(2)]
        assert (first == second).all()


def test_the_weights_that_are_returned_are_those_after_dropout():
    x = minidl.randn(6, 3, 8)
    attention = nn.MultiheadAttention(8, 2, dropout=0.5)
    _, weights = attention(x, x, x, average_attn_weights=False)
    assert 0.2 < (weights.array == 0).mean() < 0.8
    _, weights = attention.eval()(x, x, x)
    np.testing.assert_allclose(weights.array.sum(-1), 1, rtol=1e-5)


# ----------------------------------------------------------------------------------------------- MultiheadAttention
def test_the_parameters_are_pytorchs():
    shapes = {name: tuple(p.shape) for name, p in nn.MultiheadAttention(6, 2).named_parameters()}
    assert shapes == {
        "in_proj_weight": (18, 6),
        "in_proj_bias": (18,),
        "out_proj.weight": (6, 6),
        "out_proj.bias": (6,),
    }
    other = nn.MultiheadAttention(6, 2, kdim=4, vdim=5, add_bias_kv=True)
    assert list(other.state_dict()) == [
        *("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v"),
        *("out_proj.weight", "out_proj.bias"),
    ]
    assert (other.k_proj_weight.shape, other.v_proj_weight.shape) == ((6, 4), (6, 5))
    assert other.in_proj_weight is None and nn.MultiheadAttention(6, 2, bias=False).in_proj_bias is None
    assert type(other.out_proj) is NonDynamicallyQuantizableLinear
    assert repr(other) == (
        "MultiheadAttention(\n"
        "  (out_proj): NonDynamicallyQuantizableLinear(in_features=6, out_features=6, bias=True)\n)"
    )


def test_the_parameters_start_as_in_pytorch():
    minidl.manual_seed(1)
    attention = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (64 + 3 * 64))  # Xavier, of the three projections as one matrix
    assert 0.98 * bound < np.abs(attention.in_proj_weight.array).max() <= bound
    np.testing.assert_allclose(attention.in_proj_weight.array.std(), bound / math.sqrt(3), rtol=0.03)
    assert not attention.in_proj_bias.array.any() and not attention.out_proj.bias.array.any()
    assert 0.98 / 8 < np.abs(attention.out_proj.weight.array).max() <= 1 / 8
    np.testing.assert_allclose(attention.bias_k.array.std(), math.sqrt(2 / 128), rtol=0.3)
    model = nn.Transformer(32, 4, 1, 1, 64)
    bound = math.sqrt(6 / (32 + 64))
    assert 0.97 * bound < np.abs(model.encoder.layers[0].linear1.weight.array).max() <= bound
    assert model.decoder.layers[0].linear1.bias.array.any()


@pytest.mark.parametrize("kind", ["self", "memory", "three"])
def test_one_projection_for_several_is_the_same_as_one_for_each(kind):
    attention = nn.MultiheadAttention(8, 2).double()
    x, m = _numbers((4, 3, 8), (4, 3, 8))
    q, k, v = {"self": (x, x, x), "memory": (x, m, m), "three": (x, m, x)}[kind]
    apart = [t.clone() for t in (q, k, v)]
    for a, b in zip(attention(q, k, v), attention(*apart), strict=True):
        close(a, b)


def test_batch_first_only_turns_the_inputs():
    first, last = nn.MultiheadAttention(8, 2, batch_first=True), nn.MultiheadAttention(8, 2)
    last.load_state_dict(first.state_dict())
    x = minidl.randn(3, 5, 8)
    turned = x.transpose(0, 1)
    a, b = first(x, x, x), last(turned, turned, turned)
    close(a[0].transpose(0, 1), b[0], 1e-6)
    close(a[1], b[1], 1e-6)
    one = first(x[0], x[0], x[0])
    close(one[0], a[0][0], 1e-6)
    close(one[1], a[1][0], 1e-6)


def test_with_weights_and_without_are_the_same():
    attention, x = nn.MultiheadAttention(8, 4, 0.0, True, True, True).double(), _numbers((4, 2, 8))[0]
    mask = minidl.ones(4, 4, dtype=minidl.bool).triu(1)
    padding = minidl.tensor([[False, False, True, False], [False, False, False, True]])
    options = {"attn_mask": mask, "key_padding_mask": padding}
    close(attention(x, x, x, need_weights=False, **options)[0], attention(x, x, x, **options)[0])
    assert attention(x, x, x, need_weights=False)[1] is None


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_query_without_keys():
    """nan with weights, the bias without them: PyTorch's, too."""
    attention, x = nn.MultiheadAttention(4, 2), minidl.randn(3, 2, 4)
    minidl.nn.init.ones_(attention.out_proj.bias)
    padding = minidl.tensor([[True, True, True], [False, False, True]])
    y, _ = attention(x, x, x, padding, need_weights=False)
    assert (y.array[:, 0] == 1).all() and np.isfinite(y.array).all()
    y, weights = attention(x, x, x, padding)
    assert np.isnan(weights.array[0]).all() and np.isnan(y.array[:, 0]).all() and np.isfinite(y.array[:, 1]).all()


def test_padding_is_not_looked_at():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, padding = minidl.randn(2, 5, 8), minidl.tensor([[False] * 3 + [True] * 2] * 2)
    other = x.clone()
    other[:, 3:] = 100.0
    a, b = [attention(x[:, :3], m, m, padding)[0] for m in (x, other)]
    close(a, b, 1e-6)
    close(a, attention(x[:, :3], x[:, :3], x[:, :3])[0], 1e-6)


# ---------------------------------------------------------------------------------------------- decoding step by step
class Decoder(nn.Module):
    """Causal attention that can go on from the keys and values of the steps before."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x, cache=None):
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = minidl.cat([cache[0], k], dim=2), minidl.cat([cache[1], v], dim=2)
        y = attend(q, k, v, is_causal=cache is None)
        return self.out(y.transpose(1, 2).reshape(n, t, 8)), (k, v)


def test_decoding_with_a_cache_is_the_full_forward():
    model, x = Decoder().double(), _numbers((3, 6, 8))[0]
    full, _ = model(x)
    pieces, cache = [], None
    for start, stop in ((0, 3), (3, 4), (4, 5), (5, 6)):
        y, cache = model(x[:, start:stop], cache)
        pieces.append(y)
    close(minidl.cat(pieces, 1), full)


def test_a_causal_stack_does_not_see_the_future():
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x, mask = minidl.randn(2, 6, 8), nn.Transformer.generate_square_subsequent_mask(6)
    full = model(x, mask=mask, is_causal=True)
    for t in range(1, 6):
        close(model(x[:, :t], mask=mask[:t, :t]), full[:, :t], 1e-5)
    assert np.abs((model(x) - full).array).max() > 0.01


def test_the_causal_mask(where):
    mask = nn.Transformer.generate_square_subsequent_mask(3, device=where.name, dtype=minidl.float64)
    assert where.host(mask).tolist() == [[0, -INF, -INF], [0, 0, -INF], [0, 0, 0]] and mask.dtype == minidl.float64
    assert nn.Transformer.generate_square_subsequent_mask(2).dtype == minidl.float32


# ------------------------------------------------------------------------------------------------------ Transformers
def test_the_copies_begin_equal_and_share_nothing():
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    stack = nn.TransformerEncoder(layer, 3)
    assert stack.num_layers == 3 == len(stack.layers) and stack.norm is None
    for copied in stack.layers:
        close(copied.linear1.weight, layer.linear1.weight, 0)
    assert len(list(stack.parameters())) == 3 * len(list(layer.parameters()))
    before = layer.linear1.weight.array.copy()
    nn.init.zeros_(stack.layers[0].linear1.weight)
    assert (layer.linear1.weight.array == before).all() and stack.layers[1].linear1.weight.array.any()
    x = minidl.randn(3, 2, 4)
    twin = copy.deepcopy(stack.eval())
    close(twin(x), stack(x), 0)


def test_what_programs_read_of_a_layer():
    layer = nn.TransformerDecoderLayer(4, 2, 8, 0.25, "gelu", norm_first=True)
    assert layer.self_attn.num_heads == 2 and layer.self_attn.head_dim == 2 and layer.self_attn.embed_dim == 4
    assert layer.multihead_attn.batch_first is False and layer.norm_first and layer.activation is F.gelu
    assert (layer.linear1.out_features, layer.linear2.out_features) == (8, 4)
    assert [layer.dropout.p, layer.dropout1.p, layer.dropout2.p, layer.dropout3.p] == [0.25] * 4
    assert layer.norm1.normalized_shape == layer.norm3.normalized_shape == (4,)
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 1, enable_nested_tensor=False, mask_check=False)
    assert stack.enable_nested_tensor is False and stack.mask_check is False
    model = nn.Transformer(4, 2, 1, 1)
    assert (model.d_model, model.nhead, model.batch_first) == (4, 2, False)


def _padded_places(padding, grad=False, training=False, mask=None, **options) -> list[bool]:
    """Which places of the outputs are zeros; all others must be what they are without the fast path."""
    given = {"batch_first": True, "activation": "relu"} | options
    nested = given.pop("enable_nested_tensor", True)
    layer = nn.TransformerEncoderLayer(8, given.pop("nhead", 2), 16, 0.0, **given)
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).train(training)
    plain = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x, padding = minidl.randn(2, 4, 8), minidl.tensor(padding)
    with minidl.set_grad_enabled(grad):
        y = stack(x, mask, src_key_padding_mask=padding).detach()
    zero = (y == 0).all(-1)
    close(y, plain(x, mask, src_key_padding_mask=padding).masked_fill(zero.unsqueeze(-1), 0.0), 1e-6)
    return zero.array.ravel().tolist()


def test_padded_places_are_zeros_where_pytorch_leaves_them_out():
    ends, between = [[False] * 4, [False, False, True, True]], [[False] * 4, [False, True, False, True]]
    zeros = [False] * 6 + [True] * 2
    assert _padded_places(ends) == _padded_places(ends, activation=nn.GELU()) == zeros
    added = [[0.0] * 4, [0.0, 0.0, -INF, -INF]]
    assert _padded_places(added) == zeros
    none = [False] * 8
    for options in ({"grad": True}, {"training": True}, {"mask": minidl.zeros(4, 4)}, {"norm_first": True}):
        assert _padded_places(ends, **options) == none
    for options in ({"bias": False}, {"nhead": 1}, {"activation": F.silu}, {"enable_nested_tensor": False}):
        assert _padded_places(ends, **options) == none
    assert _padded_places(between) == none


@pytest.mark.parametrize("make", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
@pytest.mark.parametrize("norm_first", [False, True])
def test_every_part_of_a_layer_works_in_its_place(make, norm_first):
    """Hooks on the parts, and dropout that is set on one of them, are met where PyTorch's are."""
    layer = make(4, 2, 8, norm_first=norm_first)
    seen = []
    for name, part in layer.named_children():
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
    layer(*[minidl.randn(3, 2, 4)] * (1 if make is nn.TransformerEncoderLayer else 2))
    network = ["linear1", "dropout", "linear2"]
    blocks = [["self_attn", "dropout1"], ["multihead_attn", "dropout2"], [*network, "dropout3"]]
    if make is nn.TransformerEncoderLayer:
        blocks = [["self_attn", "dropout1"], [*network, "dropout2"]]
    norms = [f"norm{k + 1}" for k in range(len(blocks))]
    pairs = zip(norms, blocks, strict=True)
    assert seen == [name for norm, block in pairs for name in ([norm, *block] if norm_first else [*block, norm])]


def test_a_layer_of_ones_own_in_a_stack():
    """Programs subclass the layer, and stacks hand over the masks by PyTorch's names."""
    seen = []

    class Scaled(nn.TransformerEncoderLayer):
        def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
            seen.append((src_mask is not None, src_key_padding_mask is not None, is_causal))
            x = src + 0.5 * self._sa_block(self.norm1(src), src_mask, src_key_padding_mask, is_causal=is_causal)
            return x + 0.5 * self._ff_block(self.norm2(x))

    stack = nn.TransformerEncoder(Scaled(4, 2, 8, batch_first=True), 2)
    x, padding = minidl.randn(2, 3, 4), minidl.zeros(2, 3, dtype=minidl.bool)
    assert stack(x, src_key_padding_mask=padding).shape == (2, 3, 4)
    stack(x, nn.Transformer.generate_square_subsequent_mask(3), is_causal=True)
    assert seen == [(False, True, False)] * 2 + [(True, False, True)] * 2


def test_a_transformer_learns_to_reverse():
    minidl.manual_seed(0)

    class Reverser(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.places = nn.Embedding(9, 16), nn.Embedding(6, 16)
            self.transformer = nn.Transformer(16, 2, 1, 1, 32, 0.0, batch_first=True, norm_first=True)
            self.out = nn.Linear(16, 9)

        def embed(self, x):
            return self.embedding(x) + self.places(minidl.arange(x.shape[1]))

        def forward(self, src, tgt):
            mask = nn.Transformer.generate_square_subsequent_mask(tgt.shape[1])
            return self.out(self.transformer(self.embed(src), self.embed(tgt), tgt_mask=mask, tgt_is_causal=True))

    model = Reverser()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(150):
        src = minidl.randint(0, 8, (32, 5))
        want = src.flip(1)
        tgt = minidl.cat([minidl.full((32, 1), 8), want[:, :-1]], 1)  # 8: begin
        loss = F.cross_entropy(model(src, tgt).flatten(0, 1), want.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3  # guessing: log 8 = 2.08
    src, written = minidl.tensor([[1, 2, 3, 4, 5]]), minidl.tensor([[8]])
    for _ in range(5):
        written = minidl.cat([written, model(src, written)[:, -1:].argmax(-1)], 1)
    assert written[0, 1:].tolist() == [5, 4, 3, 2, 1]


# ------------------------------------------------------------------------------------------------ weights that travel
TRAVEL = [
    *("MultiheadAttention", "MultiheadAttention, kdim and vdim", "TransformerEncoder, masks"),
    *("TransformerDecoder, masks", "Transformer"),
]


@pytest.mark.parametrize("name", TRAVEL)
def test_pytorchs_state_fits_and_gives_its_outputs(name):
    """The state that PyTorch had after training, into a new layer, strictly; then the outputs that PyTorch had."""
    table = {
        key[len(name) + 1 :]: value
        for key, value in REFERENCE["layers_attention"].items()
        if key.startswith(f"{name}/")
    }
    module = LAYERS[name].make(nn).double().eval()
    state = {key.removeprefix("state "): value for key, value in table.items() if key.startswith("state ")}
    assert list(state) == list(module.state_dict())
    result = module.load_state_dict({key: minidl.tensor(value) for key, value in state.items()}, strict=True)
    assert not result.missing_keys and not result.unexpected_keys
    here = Library(minidl, F, nn, optim, minidl.from_numpy, None, None)
    for k, y in enumerate(flat(module(*given(here, name, minidl.float64, 2)))):
        np.testing.assert_allclose(y.detach().array, table[f"eval{k}"], rtol=1e-8, atol=1e-9)
    missing = dict(list(module.state_dict().items())[1:])
    with pytest.raises(RuntimeError, match="issing"):
        module.load_state_dict(missing)


# ------------------------------------------------------------------------------------------------------------ errors
x3, x4 = minidl.ones(2, 3, 4), minidl.ones(2, 3, 5, 4)
see = minidl.ones(3, 3, dtype=minidl.bool)
heads = nn.MultiheadAttention(4, 2)
REFUSED = {
    "a second mask": (lambda: attend(x3, x3, x3, see, is_causal=True), RuntimeError, "attn_mask must be None"),
    "integers as a mask": (lambda: attend(x3, x3, x3, see.long()), RuntimeError, "bool or of the query's dtype"),
    "a mask that does not fit": (lambda: attend(x3, x3, x3, see[:, :2]), RuntimeError, r"\(3, 2\) does not broadcast"),
    "a mask with more": (lambda: attend(x3, x3, x3, minidl.ones(4, 2, 3, 3)), RuntimeError, "does not broadcast"),
    "a list": (lambda: attend([1.0], x3, x3), TypeError, "query must be a Tensor, got list"),
    "integers": (lambda: attend(x3, x3.long(), x3), TypeError, "key must be floating point"),
    "two dtypes": (lambda: attend(x3, x3, x3.double()), RuntimeError, "one dtype.*value minidl.float64"),
    "one dimension": (lambda: attend(x3[0, 0], x3, x3), RuntimeError, "at least 2 dimensions"),
    "features": (lambda: attend(x3, x3[..., :3], x3), RuntimeError, r"key \(2, 3, 3\)"),
    "lengths": (lambda: attend(x3, x3, x3[:, :2]), RuntimeError, "a value for each key"),
    "batches": (lambda: attend(x3, minidl.ones(3, 3, 4), x3), RuntimeError, "leading dimensions"),
    "heads": (
        lambda: attend(x4, x4[:, :2], x4[:, :1], enable_gqa=True),
        RuntimeError,
        "3 heads of query.*2 heads of key",
    ),
    "no heads": (lambda: attend(x3[0], x3[0], x3[0], enable_gqa=True), IndexError, "enable_gqa"),
    "a probability": (lambda: attend(x3, x3, x3, dropout_p=1.5), ValueError, "between 0 and 1, got 1.5"),
    "a scale": (lambda: attend(x3, x3, x3, scale="big"), TypeError, "scale must be a number"),
    "a scale in line": (lambda: attend(x3, x3, x3, None, 0.0, False, 0.5), TypeError, "positional"),
    "odd heads": (lambda: nn.MultiheadAttention(5, 2), ValueError, "embed_dim 5 must be divisible by num_heads 2"),
    "no head": (lambda: nn.MultiheadAttention(4, 0), ValueError, "num_heads must be at least 1"),
    "no feature": (lambda: nn.MultiheadAttention(-4, 2), ValueError, "embed_dim must be at least 1"),
    "dropout": (lambda: nn.MultiheadAttention(4, 2, 1.5), ValueError, "between 0 and 1"),
    "four dimensions": (lambda: heads(x4, x4, x4), ValueError, r"\(L, N, E\) or, without a batch, \(L, E\), got"),
    "a batch for some": (lambda: heads(x3, x3[0], x3[0]), ValueError, "key must have 3 dimensions"),
    "batch first for some": (
        lambda: nn.MultiheadAttention(4, 2, batch_first=True)(x3, x3, x3[0]),
        ValueError,
        r"value must be \(N, S, E\)",
    ),
    "other features": (lambda: heads(x3[..., :2], x3, x3), ValueError, "query must have 4 features"),
    "features of the key": (lambda: heads(x3, x3[..., :2], x3[..., :2]), ValueError, "features of query"),
    "another length": (lambda: heads(x3, x3, x3[:1]), ValueError, "key and value one length"),
    "another batch": (lambda: heads(x3, x3[:, :2], x3[:, :2]), ValueError, "one batch"),
    "padding without a batch": (lambda: heads(x3, x3, x3, see[0]), ValueError, r"must be \(N, S\) with query"),
    "padding turned": (lambda: heads(x3, x3, x3, see[:2]), ValueError, r"must be \(3, 2\), got \(2, 3\)"),
    "integers as padding": (lambda: heads(x3, x3, x3, see[:, :2].long()), TypeError, "key_padding_mask must be bool"),
    "a mask of another size": (lambda: heads(x3, x3, x3, attn_mask=see), RuntimeError, r"the shape \(2, 2\)"),
    "masks for some heads": (
        lambda: heads(x3, x3, x3, attn_mask=minidl.ones(2, 2, 2)),
        RuntimeError,
        r"the shape \(6, 2, 2\)",
    ),
    "a mask of four": (
        lambda: heads(x3, x3, x3, attn_mask=minidl.ones(1, 1, 2, 2)),
        ValueError,
        r"\(N num_heads, L, S\)",
    ),
    "a mask in double": (lambda: heads(x3, x3, x3, attn_mask=minidl.ones(2, 2).double()), TypeError, "attn_mask must"),
    "a hint alone": (lambda: heads(x3, x3, x3, is_causal=True), RuntimeError, "hint about attn_mask"),
    "an activation": (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), RuntimeError, "'tanh'"),
    "an activation that is none": (lambda: nn.TransformerDecoderLayer(4, 2, activation=3), TypeError, "got 3"),
    "no layers": (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2), 0), ValueError, "at least 1"),
    "no layer": (lambda: nn.TransformerEncoder(None, 2), TypeError, "NoneType"),
    "batches of both": (lambda: nn.Transformer(4, 2, 1, 1, 8)(x3, x3[:, :2]), RuntimeError, "one batch"),
    "features of both": (lambda: nn.Transformer(4, 2, 1, 1, 8)(x3, x3[..., :2]), RuntimeError, "d_model=4"),
    "no backend": (lambda: sdpa_kernel([]).__enter__(), RuntimeError, "no backend"),
    "the error": (lambda: sdpa_kernel(SDPBackend.ERROR).__enter__(), RuntimeError, "no backend"),
    "a name": (lambda: sdpa_kernel("math").__enter__(), TypeError, "SDPBackend"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what):
    function, error, text = REFUSED[what]
    with pytest.raises(error, match=text):
        function()


def _forward(**options):
    w, b = minidl.ones(12, 4), minidl.ones(12)
    given = {"in_proj_weight": w, "in_proj_bias": b, "bias_k": None, "bias_v": None, "add_zero_attn": False}
    given |= {"dropout_p": 0.0, "out_proj_weight": w[:4], "out_proj_bias": b[:4]}
    return F.multi_head_attention_forward(x3, x3, x3, 4, **(given | {"num_heads": 2} | options))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_heads": 3}, "num_heads=3"),
        ({"in_proj_weight": None}, "in_proj_weight is needed"),
        ({"in_proj_weight": minidl.ones(8, 4)}, r"must be \(12, 4\)"),
        ({"use_separate_proj_weight": True, "q_proj_weight": minidl.ones(4, 4)}, "k_proj_weight is needed"),
        ({"bias_k": minidl.ones(1, 1, 4)}, "both be given"),
        ({"static_k": minidl.ones(6, 2, 3)}, r"static_k must be \(6, S, 2\), got \(6, 2, 3\)"),
        ({"static_v": minidl.ones(5, 2, 2)}, "static_v must be"),
        ({"static_k": x3, "bias_k": minidl.ones(1, 1, 4), "bias_v": minidl.ones(1, 1, 4)}, "cannot be added"),
    ],
    ids=str,
)
def test_what_the_function_refuses(options, text):
    with pytest.raises(ValueError, match=text):
        _forward(**options)
    assert _forward()[0].shape == (2, 3, 4)


def test_the_choice_of_a_backend_changes_nothing():
    q, k, v = _numbers((2, 3, 4), (2, 3, 4), (2, 3, 4))
    expected = attend(q, k, v, is_causal=True)
    for chosen in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        with sdpa_kernel(chosen, set_priority=True):
            close(attend(q, k, v, is_causal=True), expected, 0)
    assert nn.attention.sdpa_kernel is sdpa_kernel
