"""Random streams: the bits against Philox in Python's integers, their transforms, and what keeps them apart."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import minidl
from minidl import Generator, nn
from minidl.backend.random import dropout_mask, philox
from minidl.nn import functional as F

M = (1 << 64) - 1


def philox_by_integers(key, words):
    """Philox4x64-10 of the stream `key`, counter from 0, as in Salmon et al. (2011), without NumPy."""
    out = []
    block = 0
    while len(out) < words:
        c = [block & M, block >> 64, 0, 0]
        k0, k1 = key
        for _ in range(10):
            high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 1 << 64)
            high1, low1 = divmod(0xCA5A826395121157 * c[2], 1 << 64)
            c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & M, (k1 + 0xBB67AE8584CAA73B) & M
        out += c
        block += 1
    return out[:words]


def test_the_integer_philox_has_the_published_values():
    """Random123's known answers for philox4x64, 10 rounds, counter and key 0."""
    assert philox_by_integers((0, 0), 4) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


@pytest.mark.parametrize("key", [(0, 0), (1, 0), (0, 1), (12345, 678), (M, M), (1 << 63, 3)])
@pytest.mark.parametrize("words", [0, 1, 4, 5, 64])
def test_philox(key, words):
    assert philox(key, words).tolist() == philox_by_integers(key, words)


def test_the_state_is_two_integers():
    g = Generator(5)
    assert g.get_state() == (5, 0) and g.initial_seed() == 5
    first = g.uniform((3,))
    g.normal((2, 2))
    assert g.get_state() == (5, 2)
    kept = g.get_state()
    then = g.permutation(5)
    g.set_state(kept)
    assert (g.permutation(5) == then).all()
    assert (Generator(5).uniform((3,)) == first).all()
    assert (g.manual_seed(5).uniform((3,)) == first).all()
    assert not (Generator(6).uniform((3,)) == first).any()
    assert Generator(-1).get_state() == (M, 0) and Generator(1 << 64).get_state() == (0, 0)
    assert "seed=5" in repr(Generator(5))
    for bad in (1.5, "a", True, None):
        with pytest.raises(TypeError, match="manual_seed: expected an int"):
            g.manual_seed(bad)
    with pytest.raises(ValueError, match="negative"):
        g.set_state((1, -1))
    assert Generator().seed() != Generator().seed()


def test_every_draw_is_its_own_stream():
    """How much one draw took does not shift the next one."""
    a, b = Generator(1), Generator(1)
    a.uniform((3,))
    b.uniform((1000,))
    assert (a.uniform((5,)) == b.uniform((5,))).all()
    c = Generator(1)
    assert (c.uniform((1000,))[:3] == Generator(1).uniform((3,))).all()  # and a longer draw begins like a shorter one


def test_uniforms():
    bits = philox_by_integers((3, 0), 8)
    assert Generator(3).uniform((8,), "float64").tolist() == [(b >> 11) * 2.0**-53 for b in bits]
    words = [w for b in bits for w in (b & 0xFFFFFFFF, b >> 32)]
    u = Generator(3).uniform((4, 4), "float32")
    assert u.dtype == np.float32 and u.ravel().tolist() == [(w >> 8) * 2.0**-24 for w in words]
    for dtype in ("float16", "float32", "float64"):
        u = Generator(9).uniform((100_000,), dtype)
        assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
        assert abs(u.astype(float).mean() - 0.5) < 0.005 and abs(u.astype(float).var() - 1 / 12) < 0.002


def test_normals():
    for dtype in ("float16", "float32", "float64"):
        z = Generator(4).normal((100_001,), dtype)
        assert z.dtype == dtype and np.isfinite(z).all()
        z = z.astype(float)
        assert (
            abs(z.mean()) < 0.01
            and abs(z.std() - 1) < 0.01
            and abs((z**3).mean()) < 0.03
            and abs((z**4).mean() - 3) < 0.1
        )
        assert abs((z > 1.96).mean() - 0.025) < 0.003
    assert np.allclose(Generator(4).normal((7,), "float32"), Generator(4).normal((7,), "float64"), atol=1e-6)
    half = philox_by_integers((4, 0), 4)
    u = [((b >> 11) + 0.5) * 2.0**-53 for b in half]
    radius, angle = np.sqrt(-2 * np.log(u[:2])), 2 * np.pi * np.array(u[2:])
    assert np.allclose(
        Generator(4).normal((4,), "float64"), [*radius * np.cos(angle), *radius * np.sin(angle)], rtol=1e-14
    )


def test_integers_and_permutations():
    n = Generator(2).integers(-3, 4, (20_000,))
    assert n.dtype == np.int64 and set(n.tolist()) == set(range(-3, 4))
    assert np.abs(np.bincount(n + 3) / 20_000 - 1 / 7).max() < 0.01
    assert Generator(2).integers(0, 1 << 40, (5,)).max() > 1 << 33
    with pytest.raises(ValueError, match=r"\[3, 3\) is empty"):
        Generator().integers(3, 3, (1,))
    p = Generator(2).permutation(100)
    assert sorted(p.tolist()) == list(range(100)) and p.tolist() != list(range(100))
    assert Generator(2).permutation(0).tolist() == []
    counts = np.zeros((4, 4))
    for seed in range(2000):
        counts[np.arange(4), Generator(seed).permutation(4)] += 1
    assert np.abs(counts / 2000 - 0.25).max() < 0.05


def test_dropout_masks():
    key = (11, 5)
    words = [(b >> s) & 0xFFFF for b in philox_by_integers(key, 25) for s in (0, 16, 32, 48)]
    for p in (0.1, 0.5, 0.75):
        assert dropout_mask((10, 10), p, key).ravel().tolist() == [w >= round(p * 65536) for w in words]
        assert abs(dropout_mask((100_000,), p, key).mean() - (1 - p)) < 0.01
    for w in words[:8]:  # an element stays exactly if its number is at least 65536 p
        assert dropout_mask((100,), w / 65536, key).ravel()[words.index(w)]
        assert not dropout_mask((100,), (w + 1) / 65536, key).ravel()[words.index(w)]
    assert not dropout_mask((50,), 1.0, key).any() and dropout_mask((50,), 0.0, key).all()
    assert dropout_mask((), 0.5, key).shape == () and dropout_mask((0, 3), 0.5, key).shape == (0, 3)
    assert dropout_mask((3,), 0.5, key).dtype == bool


def test_both_array_types_draw_the_same():
    found = []
    for device in ("cpu", "cuda"):
        minidl.manual_seed(3)
        x = minidl.ones(50, 20, device=device)
        dropped = F.dropout(x, 0.3)
        drawn = [minidl.rand(5, device=device), minidl.randn(5, device=device), minidl.randperm(7, device=device)]
        drawn += [minidl.randint(0, 9, (4,), device=device), x[0].clone().normal_(), x[0].clone().uniform_(-1, 1)]
        drawn += [nn.Linear(4, 3).to(device).weight, F.dropout(x, 0.3)]
        found.append([dropped.tolist(), *[t.tolist() for t in drawn]])
        assert dropped.device.type == device
    assert found[0] == found[1]
    assert found[0][0] != found[0][-1]  # a second dropout is another draw


def test_functions_draw_from_the_default_or_a_given_generator():
    minidl.manual_seed(1)
    a = minidl.rand(3)
    minidl.manual_seed(1)
    assert (minidl.rand(3) == a).all() and not (minidl.rand(3) == a).any()
    g = Generator(1)
    assert (minidl.rand(3, generator=g) == a).all()
    minidl.manual_seed(2)
    state = minidl.default_generator().get_state()
    for function in (
        lambda g: minidl.randn(2, generator=g),
        lambda g: minidl.randint(5, (2,), generator=g),
        lambda g: minidl.randperm(4, generator=g),
        lambda g: minidl.normal(1.0, 2.0, (2,), generator=g),
        lambda g: minidl.zeros(2).uniform_(generator=g),
        lambda g: minidl.zeros(2).normal_(generator=g),
    ):
        assert function(Generator(3)).tolist() == function(Generator(3)).tolist()
    assert minidl.default_generator().get_state() == state
    assert minidl.randint(3, 6, (100,)).tolist() and set(minidl.randint(3, 6, (100,)).tolist()) == {3, 4, 5}
    assert minidl.randint(high=2, size=(50,)).max().item() == 1
    mean = minidl.normal(minidl.full((2000,), 5.0), 0.1)
    assert abs(mean.mean().item() - 5) < 0.02 and not mean.requires_grad
    assert minidl.rand_like(mean).shape == minidl.randn_like(mean, dtype=minidl.float64).shape == (2000,)


def test_the_default_generator_belongs_to_a_thread():
    minidl.manual_seed(7)
    first = minidl.rand(2).tolist()
    found = []
    thread = threading.Thread(
        target=lambda: found.extend([minidl.default_generator().get_state(), minidl.rand(3).tolist()])
    )
    minidl.manual_seed(7)
    thread.start()
    thread.join()
    assert minidl.rand(2).tolist() == first  # the other thread's draws do not count here
    assert found[0] == (0, 0)


def test_the_numbers_are_the_same_in_another_process_and_forever():
    """Fixed by value: another NumPy, another machine or a change to the code must not change what a seed gives."""
    minidl.manual_seed(1234)
    drawn = minidl.rand(2).tolist() + minidl.randint(0, 100, (4,)).tolist() + minidl.randperm(5).tolist()
    code = (
        "import minidl; minidl.manual_seed(1234);"
        "print(minidl.rand(2).tolist() + minidl.randint(0, 100, (4,)).tolist() + minidl.randperm(5).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(drawn), done.stderr
    bits = philox_by_integers((1234, 0), 1)[0]
    assert drawn[:2] == [((bits & 0xFFFFFFFF) >> 8) * 2.0**-24, (bits >> 40) * 2.0**-24]
    assert drawn[2:6] == [((b >> 32) * 100) >> 32 for b in philox_by_integers((1234, 1), 4)]
    keys = philox_by_integers((1234, 2), 5)
    assert drawn[6:] == sorted(range(5), key=keys.__getitem__)


# ------------------------------------------------------------------------------------- draws from other distributions
def _drawn(draw):
    """What `draw` gives, twice from one seed: the same."""
    minidl.manual_seed(11)
    first = draw()
    minidl.manual_seed(11)
    again = draw()
    assert first.tolist() == again.tolist() != draw().tolist()
    return first


def test_bernoulli(where):
    p = where.tensor(np.repeat([0.0, 0.25, 1.0], 4000), np.float32)
    y = _drawn(lambda: minidl.bernoulli(p))
    mean = where.host(y).reshape(3, 4000).mean(1)
    assert y.dtype == minidl.float32 and y.device == p.device
    assert mean[0] == 0.0 and mean[2] == 1.0 and abs(mean[1] - 0.25) < 0.03
    assert abs(p.bernoulli(0.7).mean().item() - 0.7) < 0.02
    z = _drawn(lambda: where.tensor(np.zeros(4000)).bernoulli_(0.3))
    assert abs(z.mean().item() - 0.3) < 0.03 and {*z.tolist()} == {0.0, 1.0}
    for wrong in (p + 0.5, p - 0.5):
        with pytest.raises(RuntimeError, match="bernoulli: "):
            minidl.bernoulli(wrong)


def test_multinomial(where):
    weights = where.tensor(np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 4.0]]))
    y = _drawn(lambda: minidl.multinomial(weights, 6000, replacement=True))
    share = np.array([np.bincount(row, minlength=3) / 6000 for row in where.host(y)])
    assert y.dtype == minidl.int64 and np.abs(share - [[0.25, 0, 0.75], [0.25, 0.25, 0.5]]).max() < 0.03
    assert weights[0].multinomial(5, True).shape == (5,)
    pairs = np.array([where.host(weights[1].multinomial(2)) for _ in range(800)])
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert abs((pairs[:, 0] == 2).mean() - 0.5) < 0.07
    assert abs((pairs == 2).any(1).mean() - 0.5 - 2 * 0.25 * 0.5 / 0.75) < 0.07  # first, or second after another
    assert {*where.host(weights[0].multinomial(2)).tolist()} == {0, 2}
    for wrong, n in (
        (weights, 3),
        (weights * 0, 1),
        (-weights, 1),
        (weights + np.inf, 1),
        (weights[None], 1),
        (weights, 0),
    ):
        with pytest.raises(RuntimeError, match="multinomial: "):
            wrong.multinomial(n)


def test_poisson(where):
    rate = where.tensor(np.repeat([0.0, 0.5, 7.0], 3000))
    y = where.host(_drawn(lambda: minidl.poisson(rate))).reshape(3, 3000)
    assert not y[0].any() and (y == np.floor(y)).all()
    assert np.abs(y[1:].mean(1) - [0.5, 7.0]).max() < 0.2 and np.abs(y[1:].var(1) - [0.5, 7.0]).max() < 0.7
    with pytest.raises(RuntimeError, match="poisson: "):
        minidl.poisson(-rate)


def test_randint_like(where):
    x = where.tensor(np.zeros((40, 50)), np.float32)
    y = _drawn(lambda: minidl.randint_like(x, 3, 7))
    assert y.dtype == minidl.float32 and y.device == x.device and {*y.reshape(-1).tolist()} == {3.0, 4.0, 5.0, 6.0}
    assert minidl.randint_like(x, 2).max().item() == 1.0


def test_distributions_in_place(where):
    x = where.tensor(np.zeros(5000), np.float32)
    y = _drawn(lambda: x.clone().exponential_(2.0))
    assert abs(y.mean().item() - 0.5) < 0.03 and abs(y.std().item() - 0.5) < 0.05 and y.min().item() >= 0
    y = _drawn(lambda: x.clone().geometric_(0.25))
    assert abs(y.mean().item() - 4.0) < 0.25 and y.min().item() == 1.0
    y = _drawn(lambda: x.clone().log_normal_(0.5, 0.25)).log()
    assert abs(y.mean().item() - 0.5) < 0.02 and abs(y.std().item() - 0.25) < 0.02
    y = _drawn(lambda: x.clone().random_(2, 5))
    assert {*y.tolist()} == {2.0, 3.0, 4.0} and {*x.clone().random_(2).tolist()} == {0.0, 1.0}
    y = x.long().random_()
    assert y.min().item() >= 0 and y.max().item() > 2**60 and {*x.bool().random_().tolist()} == {True, False}
    assert x.clone().random_().max().item() <= 2**24
    for call in (lambda: x.exponential_(0.0), lambda: x.geometric_(1.0)):
        with pytest.raises(RuntimeError, match="_: "):
            call()
