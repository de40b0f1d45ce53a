"""Transforms: against formulas and Pillow; batches equal to single samples bit for bit; what is random about them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from PIL import ImageEnhance as Enhance

import minidl
from minidl.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    ImageDataset,
    IterableDataset,
    Subset,
    WeightedRandomSampler,
    default_collate,
)
from minidl.data.draws import DrawKey, Scope, drawing, philox4x32, stream
from minidl.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    ConvertImageDtype,
    Cutout,
    Grayscale,
    ImageTransform,
    InterpolationMode,
    Lambda,
    MixUp,
    Normalize,
    Pad,
    RandomApply,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ToTensor,
    vectorised,
)
from minidl.tensor import wrap

N = 23
JITTER = ColorJitter(0.5, 0.5, 0.5, 0.2)
TRANSFORMS = {
    "horizontal": RandomHorizontalFlip(),
    "vertical": RandomVerticalFlip(0.3),
    "pad": Pad((1, 2), fill=3),
    "pad edge": Pad((1, 0, 2, 3), padding_mode="edge"),
    "pad reflect": Pad(2, padding_mode="reflect"),
    "pad symmetric": Pad(3, padding_mode="symmetric"),
    "center": CenterCrop((5, 4)),
    "center larger": CenterCrop((12, 5)),
    "crop": RandomCrop((6, 5), padding=2),
    "crop reflect": RandomCrop(6, padding=3, padding_mode="reflect"),
    "crop needed": RandomCrop(11, pad_if_needed=True, fill=7),
    "smaller": Resize((4, 3)),
    "larger": Resize((13, 17)),
    "one side": Resize(5, antialias=False),
    "nearest": Resize((5, 12), "nearest"),
    "nearest exact": Resize((5, 12), InterpolationMode.NEAREST_EXACT),
    "rotate": RandomRotation(40),
    "rotate bilinear": RandomRotation((-90, 170), "bilinear", fill=1, center=(2, 3)),
    "jitter": JITTER,
    "contrast": ColorJitter(contrast=(0, 3)),
    "erase": RandomErasing(scale=(0.02, 0.5), value=5),
    "cutout": Cutout(4, fill=2),
    "apply": RandomApply([RandomCrop((9, 7), padding=1), RandomHorizontalFlip(), JITTER], p=0.5),
    "apply in apply": RandomApply([RandomApply([RandomVerticalFlip(0.5)], 0.7), Cutout(2)], p=0.5),
    "grey": Grayscale(),
    "grey 3": Grayscale(3),
    "many": Compose(
        [RandomCrop((9, 7), 2), RandomHorizontalFlip(), RandomApply([JITTER]), RandomRotation(20), Cutout(3)]
    ),
}
FORMS = [
    "bytes grey",
    "bytes colour",
    "floats grey",
    "floats colour",
    "tensor bytes",
    "tensor floats",
    "tensor doubles",
]


def pixels(form="bytes colour", n=N, height=9, width=7):
    """Made-up images in one of the forms that transforms take, as one batch."""
    g = minidl.Generator(3)
    x = g.integers(0, 256, (n, height, width, 3)).astype(np.uint8)
    if "grey" in form:
        x = x[..., 0].copy()
    if form.startswith("tensor"):
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if "floats" in form or "doubles" in form:
        x = (x / 255).astype(np.float64 if "doubles" in form else np.float32)
    return wrap(x) if form.startswith("tensor") else x


def bare(x):
    return x.array if isinstance(x, minidl.Tensor) else x


def copied(x):
    return wrap(x.array.copy()) if isinstance(x, minidl.Tensor) else x.copy()


def scope(n=N, start=0, key=5):
    return Scope(DrawKey(lambda: (key,)), np.arange(start, start + n))


def same(a, b):
    a, b = bare(a), bare(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ----------------------------------------------------------------------------------------------------------- streams
def test_philox_gives_the_published_numbers():
    """The known answers of Random123, the authors' own code."""

    def words(counter, key):
        out = philox4x32([np.array([c], dtype=np.uint64) for c in counter], key)
        return [f"{int(w[0]):08x}" for w in out]

    full = 0xFFFFFFFF
    assert words([0] * 4, (0, 0)) == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert words([full] * 4, (full, full)) == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert words(pi, (0xA4093822, 0x299F31D0)) == ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"]


def test_streams_belong_to_samples():
    with drawing(scope(10)):
        first, second = stream(10).uniform(6), stream(10).uniform(6)
    with drawing(scope(10)) as again:
        assert (stream(10).uniform(9)[:, :6] == first).all() and again.position == 1  # asking for more changes nothing
    assert not (first == second).any() and len(np.unique(first)) == 60
    with drawing(scope(4, start=3)):
        assert (stream(4).uniform(6) == first[3:7]).all()  # whoever else is in the batch
    with drawing(scope(10, key=6)):
        assert not (stream(10).uniform(6) == first).any()
    with drawing(Scope(DrawKey(lambda: (5,)), np.arange(10), np.ones(10, dtype=np.int64))):
        assert not (stream(10).uniform(6) == first).any()  # drawn a second time in a pass
    with drawing(scope(3)):
        assert len(np.unique(stream(7).uniform(1))) == 7  # samples that nobody announced


def test_streams_are_uniform_and_normal():
    with drawing(scope(500)):
        s = stream(500)
        u, z = s.uniform(400), s.normal(401)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 3e-3 and abs(u.var() - 1 / 12) < 1e-3
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 0.15 and abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.15
    assert z.shape == (500, 401) and abs(z.mean()) < 0.01 and abs(z.var() - 1) < 0.02 and abs((z**3).mean()) < 0.05


def test_outside_of_a_loader_the_default_generator_draws():
    x = pixels()
    flip = RandomHorizontalFlip()
    minidl.manual_seed(4)
    a, b = flip.batch(x.copy()), flip.batch(x.copy())
    assert minidl.default_generator().get_state() == (4, 2) and not same(a, b)
    minidl.manual_seed(4)
    assert same(a, flip.batch(x.copy()))
    ToTensor()(x[0]), Grayscale()(x[0]), Resize(4)(x[0]), Pad(1)(x[0])
    assert minidl.default_generator().get_state() == (4, 1)  # what is not random draws nothing


# ---------------------------------------------------------------------------------------- batches and single samples
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_batch_is_bit_for_bit_its_samples(name, form):
    transform, x = TRANSFORMS[name], pixels(form)
    before = bare(x).tobytes()
    singles = []
    for k in range(N):
        with drawing(scope(1, start=k)):
            singles.append(transform(x[k]))
    assert bare(x).tobytes() == before, "a sample was changed in place"
    with drawing(scope()):
        batch = transform.batch(copied(x))
    assert type(batch) is type(x) and all(type(s) is type(x) for s in singles)
    assert same(batch, np.stack([bare(s) for s in singles]))
    assert bare(batch).dtype == bare(x).dtype
    with drawing(scope(8, start=5)):
        assert same(transform.batch(copied(x[5:13])), bare(batch)[5:13])  # whatever else is in the batch


@pytest.mark.parametrize("form", ["bytes grey", "bytes colour", "tensor floats", "tensor bytes"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_where_the_data_lies(name, form, where):
    transform, x = TRANSFORMS[name], pixels(form)
    with drawing(scope()):
        expected = transform.batch(copied(x))
    moved = where.tensor(x.array) if isinstance(x, minidl.Tensor) else where.array(x)
    with drawing(scope()):
        assert same(where.host(transform.batch(moved)), expected)


@pytest.mark.parametrize("where_random", ["before", "after"])
@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_agree_about_random_transforms(where_random, workers):
    """One gather, sample by sample, other batch sizes and threads: what becomes of a sample is the same."""
    steps = [
        RandomCrop((9, 7), 2),
        RandomHorizontalFlip(),
        RandomApply([JITTER]),
        RandomRotation(30, "bilinear"),
        Cutout(3),
    ]
    steps.insert(0 if where_random == "after" else len(steps), ToTensor())
    fast = Compose([*steps, Normalize(0.5, 0.5)])
    slow = Compose([*steps, Lambda(lambda t: t), Normalize(0.5, 0.5)])
    assert vectorised(fast) and not vectorised(slow)

    def epochs(transform, batch_size, num_workers, dataset=lambda data: data):
        data = dataset(ImageDataset(pixels(), np.arange(N), list(map(str, range(N))), transform))
        loader = DataLoader(data, batch_size, shuffle=True, generator=minidl.Generator(8), num_workers=num_workers)
        out = []
        for _ in range(2):
            seen = {int(t): x.array for xs, ts in loader for x, t in zip(xs, ts, strict=True)}
            out.append(np.stack([seen[k] for k in range(N)]))
        return out

    first = epochs(fast, 6, 0)
    assert not (first[0] == first[1]).all(axis=(1, 2, 3)).any()  # another epoch, other draws
    for transform in (fast, slow):
        for batch_size in (1, 5, N):
            for a, b in zip(first, epochs(transform, batch_size, workers), strict=True):
                assert same(a, b)
    same_order = epochs(slow, 6, workers, lambda data: Subset(data, range(N)))
    assert all(same(a, b) for a, b in zip(first, same_order, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", [0, 2, 4])
def test_random_transforms_after_a_resume(shuffle, stop, workers):
    def make():
        transform = Compose([RandomCrop((9, 7), 2), RandomHorizontalFlip(), ToTensor(), RandomErasing(value="random")])
        data = ImageDataset(pixels(), np.arange(N), list(map(str, range(N))), transform)
        return DataLoader(data, 5, shuffle=shuffle, num_workers=workers)

    minidl.manual_seed(2)
    loader = make()
    list(loader)
    batches = iter(loader)
    for _ in range(stop):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    whole = [x.array for x, _ in batches] + [x.array for x, _ in loader]
    minidl.manual_seed(2 if not shuffle else 77)
    again = make()
    again.load_state_dict(state)
    rest = [x.array for x, _ in again] + [x.array for x, _ in again]
    assert len(rest) == len(whole) and all(same(a, b) for a, b in zip(rest, whole, strict=True))
    assert not same(rest[-1], rest[-6]) or shuffle  # the passes differ


def test_a_sample_that_comes_twice_is_not_transformed_twice_alike():
    data = ImageDataset(pixels(n=2), np.arange(2), "ab", Compose([RandomCrop((9, 7), 4), ToTensor()]))
    for transform in (data.transform, Compose([*data.transform.transforms, Lambda(lambda t: t)])):
        data.transform = transform
        sampler = WeightedRandomSampler([1, 1], 40, generator=minidl.Generator(0))
        x = np.concatenate([x.array for x, _ in DataLoader(data, 7, sampler=sampler)])
        assert len(np.unique(x.reshape(40, -1), axis=0)) > 20
        first = x if transform is not data.transform or "first" not in locals() else first  # noqa: F821
    assert same(first, x)


def test_random_transforms_of_several_data_sets():
    def several(last):
        steps = [RandomCrop((9, 7), 3), RandomHorizontalFlip(), ToTensor(), *last]
        first, second = (
            ImageDataset(pixels(), np.arange(N), list(map(str, range(N))), Compose(steps)) for _ in range(2)
        )
        return ConcatDataset([first, Subset(second, range(5, 20))])

    fast, slow = (
        [x.array for x, _ in DataLoader(several(last), 8, shuffle=True, generator=minidl.Generator(1))]
        for last in ([], [Lambda(lambda t: t)])
    )
    assert len(fast) == 5 and all(same(a, b) for a, b in zip(fast, slow, strict=True))


def test_streams_and_all_images_at_once():
    class Numbers(IterableDataset):
        def __iter__(self):
            flip = RandomCrop((4, 4), 3)
            for k in range(12):
                yield flip(pixels()[k])

    runs = [
        np.concatenate([b.array for b in DataLoader(Numbers(), size, num_workers=w)])
        for size, w in ((5, 0), (3, 0), (5, 1))
    ]
    assert same(runs[0], runs[1]) and same(runs[0], runs[2])
    data = ImageDataset(pixels(), np.arange(N), list(map(str, range(N))), Compose([RandomCrop((9, 7), 3), ToTensor()]))
    minidl.manual_seed(1)
    x, _ = data.tensors()
    data.transform = Compose([*data.transform.transforms, Lambda(lambda t: t)])
    minidl.manual_seed(1)
    assert same(data.tensors()[0], x)


def test_random_transforms_in_a_data_set_of_ones_own():
    class Pairs(Dataset):
        """Draws twice for each sample, and a target that is random too."""

        def __getitem__(self, index):
            flip = RandomHorizontalFlip()
            return flip(pixels()[index]), flip(pixels()[index])

        def __len__(self):
            return N

    minidl.manual_seed(1)
    a = [(x.array, y.array) for x, y in DataLoader(Pairs(), 4, num_workers=1)]
    minidl.manual_seed(1)
    b = [(x.array, y.array) for x, y in DataLoader(Pairs(), 4)]
    assert all(same(u, v) for p, q in zip(a, b, strict=True) for u, v in zip(p, q, strict=True))
    assert any(not same(x, y) for x, y in a)


def test_random_target_transforms_agree():
    class Noise(ImageTransform):
        def __call__(self, target):
            return float(stream(1).uniform(1)[0, 0])

    data = ImageDataset(
        pixels(), np.arange(N), list(map(str, range(N))), Compose([RandomHorizontalFlip(), ToTensor()]), Noise()
    )
    minidl.manual_seed(1)
    fast = np.concatenate([y.array for _, y in DataLoader(data, 6)])
    data.transform = Compose([*data.transform.transforms, Lambda(lambda t: t)])
    minidl.manual_seed(1)
    assert same(fast, np.concatenate([y.array for _, y in DataLoader(data, 6)])) and len(np.unique(fast)) == N


# ---------------------------------------------------------------------------------------------- geometry by formulas
def test_flips():
    x = pixels()
    assert same(RandomHorizontalFlip(1)(x[0]), x[0][:, ::-1]) and same(RandomVerticalFlip(1)(x[0]), x[0][::-1])
    assert same(RandomHorizontalFlip(0)(x[0]), x[0])
    t = ToTensor()(x[0])
    assert same(RandomHorizontalFlip(1)(t), t.array[:, :, ::-1]) and same(RandomVerticalFlip(1)(t), t.array[:, ::-1])
    plane = wrap(t.array[0].copy())
    assert same(RandomHorizontalFlip(1)(plane), plane.array[:, ::-1])
    many = np.zeros((4000, 1, 2), np.uint8)
    many[:, 0, 1] = 1
    share = RandomHorizontalFlip(0.3).batch(many)[:, 0, 0].mean()
    assert abs(share - 0.3) < 0.025
    assert same(RandomHorizontalFlip(1)(Image.fromarray(x[0])), x[0][:, ::-1])  # Pillow's images too


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(mode):
    x = pixels()[0]
    options = {"constant_values": 7} if mode == "constant" else {}
    expected = np.pad(x, ((2, 4), (1, 3), (0, 0)), mode=mode, **options)
    assert same(Pad((1, 2, 3, 4), 7, mode)(x), expected)
    t = minidl.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))
    assert same(Pad((1, 2, 3, 4), 7, mode)(t), expected.transpose(2, 0, 1))
    colour = Pad((1, 2), (1, 2, 3))(x)
    assert colour.shape == (13, 9, 3) and colour[0, 0].tolist() == [1, 2, 3] and same(colour[2:-2, 1:-1], x)


def test_crops():
    x = pixels(height=8, width=10)[0]
    assert same(CenterCrop((4, 6))(x), x[2:6, 2:8]) and same(CenterCrop(3)(x), x[2:5, 4:7])
    assert same(CenterCrop((10, 4))(x), np.pad(x, ((1, 1), (0, 0), (0, 0)))[:, 3:7])
    assert same(RandomCrop((8, 10))(x), x)
    # every crop of the padded image is met, and nothing else
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    wanted = {padded[i : i + 8, j : j + 10].tobytes() for i in range(3) for j in range(3)}
    crops = RandomCrop((8, 10), padding=1).batch(np.repeat(x[None], 600, axis=0))
    found = [np.ascontiguousarray(c).tobytes() for c in crops]
    assert set(found) == wanted
    counts = np.array([found.count(w) for w in wanted])
    assert counts.min() > 30 and counts.max() < 110  # 67 expected
    reflected = RandomCrop(12, padding=2, padding_mode="reflect")(x[:, :8])
    assert same(reflected, np.pad(x[:, :8], ((2, 2), (2, 2), (0, 0)), mode="reflect"))
    assert RandomCrop((9, 13), pad_if_needed=True)(x).shape == (9, 13, 3)


@pytest.mark.parametrize("size", [(5, 4), (20, 31), (17, 9), (40, 4), (17, 23), (1, 1)])
def test_resize_is_pillows(size):
    for grey in (False, True):
        x = pixels("bytes grey" if grey else "bytes colour", height=17, width=23)[0]
        for mode, theirs in (("bilinear", Image.BILINEAR), ("nearest", Image.NEAREST)):
            assert same(Resize(size, mode)(x), np.asarray(Image.fromarray(x).resize(size[::-1], theirs)))
    x = pixels("floats grey", height=17, width=23)[0]
    expected = np.asarray(Image.fromarray(x).resize(size[::-1], Image.BILINEAR))
    np.testing.assert_allclose(Resize(size)(x), expected, atol=2e-6)


def test_resize_sizes_and_plain_interpolation():
    x = pixels(height=6, width=9)[0]
    assert Resize(3)(x).shape == (3, 4, 3) and Resize([12])(x).shape == (12, 18, 3)
    assert Resize(3)(x.transpose(1, 0, 2)).shape == (4, 3, 3)
    assert Resize(8, max_size=10)(x).shape == (6, 10, 3) and Resize(6)(x).shape == x.shape
    row = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    assert Resize((1, 2), antialias=False)(row).tolist() == [[1.5, 5.5]]  # at 1.5 and 5.5, from two neighbours each
    assert Resize((1, 16))(row)[0, :4].tolist() == [0.0, 0.25, 0.75, 1.25]
    steps = wrap(row)
    assert Resize((1, 3), "nearest")(steps).tolist() == [[0.0, 2.0, 5.0]]  # floor(i * 8 / 3)
    assert (
        Resize((1, 3), "nearest-exact")(steps).tolist() == [[1.0, 4.0, 6.0]] == Resize((1, 3), "nearest")(row).tolist()
    )


@pytest.mark.parametrize("angle", [0, 10, -33.3, 45, 90, 135.5, 180, 270, 359])
def test_rotation_is_pillows(angle):
    for height, width in ((17, 23), (16, 16)):
        x = pixels(height=height, width=width)[0]
        for mode, theirs in (("nearest", Image.NEAREST), ("bilinear", Image.BILINEAR)):
            expected = np.asarray(Image.fromarray(x).rotate(angle, theirs, fillcolor=(9, 8, 7))).astype(int)
            mine = RandomRotation((angle, angle), mode, fill=(9, 8, 7))(x).astype(int)
            off = np.abs(mine - expected)
            assert (off > 0).mean() < 0.01 and (off[mine != expected].max(initial=0) <= 1 or mode == "nearest")
        t = RandomRotation((angle, angle))(minidl.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))))
        assert same(t, RandomRotation((angle, angle))(x).transpose(2, 0, 1))


def test_rotation_turns_counter_clockwise_about_a_point():
    x = np.zeros((5, 5), np.uint8)
    x[2, 4] = 1
    assert RandomRotation((90, 90))(x)[0, 2] == 1 and RandomRotation((-90, -90))(x)[4, 2] == 1
    moved = RandomRotation((180, 180), center=(3.5, 2.5))(x)
    assert moved[2, 2] == 1 and moved.sum() == 1
    x = np.zeros((2000, 21, 21), np.uint8)
    x[:, 10, 20] = 1
    turned = RandomRotation((0, 90)).batch(x)
    rows, columns = np.nonzero(turned)[1:]
    assert rows.max() <= 10 and columns.min() >= 10 and 0.3 < (rows < 3).mean() < 0.7


# ------------------------------------------------------------------------------------------------------------ colour
def test_grayscale():
    x = pixels()[0]
    assert same(Grayscale()(x), np.asarray(Image.fromarray(x).convert("L")))
    assert same(Grayscale(3)(x), np.repeat(Grayscale()(x)[..., None], 3, axis=2))
    t = ToTensor()(x)
    expected = 0.2989 * t.array[0] + 0.587 * t.array[1] + 0.114 * t.array[2]
    np.testing.assert_allclose(Grayscale()(t).array[0], expected, rtol=1e-6)
    assert Grayscale()(t).shape == (1, 9, 7) and Grayscale(3)(t).shape == (3, 9, 7)
    assert same(Grayscale()(x[..., 0].copy()), x[..., 0]) and Grayscale(3)(x[..., 0].copy()).shape == (9, 7, 3)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7, 3.0])
def test_colour_jitter_by_formulas(factor):
    x = pixels("tensor doubles")
    red, green, blue = x.array[:, 0], x.array[:, 1], x.array[:, 2]
    grey = (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]
    values = x.array.copy()

    def check(name, expected):
        y = ColorJitter(**{name: (factor, factor)}).batch(copied(x))
        np.testing.assert_allclose(y.array, np.clip(expected, 0, 1), atol=1e-12)

    check("brightness", factor * values)
    check("saturation", factor * values + (1 - factor) * grey)
    check("contrast", factor * values + (1 - factor) * grey.mean(axis=(1, 2, 3), keepdims=True))
    # bytes: within a step of Pillow's, which computes grey and its mean in integers
    image = pixels()[0]
    for name, enhance in (
        ("brightness", Enhance.Brightness),
        ("saturation", Enhance.Color),
        ("contrast", Enhance.Contrast),
    ):
        mine = ColorJitter(**{name: (factor, factor)})(image).astype(int)
        theirs = np.asarray(enhance(Image.fromarray(image)).enhance(factor)).astype(int)
        assert np.abs(mine - theirs).max() <= 2 * max(1, abs(1 - factor))


@pytest.mark.parametrize("shift", [-0.5, -0.21, 0.0, 0.13, 0.5])
def test_hue_by_the_standard_library(shift):
    import colorsys

    x = pixels("tensor doubles", n=3)
    x.array[0, :, 0, 0] = 0.25  # a grey pixel has no hue
    expected = np.empty_like(x.array)
    for i in np.ndindex(3, 9, 7):
        h, s, v = colorsys.rgb_to_hsv(*x.array[i[0], :, i[1], i[2]])
        expected[i[0], :, i[1], i[2]] = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
    y = ColorJitter(hue=(shift, shift)).batch(copied(x))
    np.testing.assert_allclose(y.array, expected, atol=1e-12)


def test_colour_jitter_is_random_in_factors_and_order():
    x = np.full((3000, 1, 1), 100, np.uint8)
    y = ColorJitter(brightness=0.5).batch(x)[:, 0, 0] / 100
    assert y.min() >= 0.49 and y.max() <= 1.5 and abs(y.mean() - 1) < 0.03 and abs(y.std() - 1 / np.sqrt(12)) < 0.02
    assert 0.49 <= y.min() < 0.52 and y.max() > 1.47
    # brightness 2 and saturation 0 in both orders: clipping makes them differ
    pixel = np.tile(np.array([200, 40, 40], np.uint8), (400, 1, 1, 1))
    out = ColorJitter(brightness=(2, 2), saturation=(0, 0)).batch(pixel)[:, 0, 0, 0]
    kinds, counts = np.unique(out, return_counts=True)
    assert len(kinds) == 2 and 150 < counts[0] < 250
    grey = pixels("bytes grey")
    assert same(ColorJitter(saturation=0.9, hue=0.5).batch(grey.copy()), grey)


# ----------------------------------------------------------------------------------------------- erasing and mixing
def test_random_erasing():
    x = minidl.from_numpy(np.ones((3000, 1, 16, 16), dtype=np.float32))
    y = RandomErasing(p=0.6, scale=(0.1, 0.2), ratio=(0.5, 2.0)).batch(x).array[:, 0]
    holes = y.reshape(3000, -1).min(axis=1) == 0
    assert abs(holes.mean() - 0.6) < 0.03
    for image in y[holes][:200]:
        rows, columns = np.nonzero(image == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width  # one full rectangle
        assert 0.08 < height * width / 256 < 0.24 and 0.4 < height / width < 2.5
    coverage = (y[holes] == 0).mean(axis=0)
    assert coverage.min() > 0.003 and coverage[8, 8] > coverage[0, 0]
    noise = RandomErasing(p=1, scale=(0.5, 0.5), ratio=(1, 1), value="random").batch(
        minidl.from_numpy(np.full((200, 2, 16, 16), 50.0))
    )
    erased = noise.array[noise.array < 25]
    assert len(erased) == 200 * 2 * 121 and abs(erased.mean()) < 0.02 and abs(erased.std() - 1) < 0.02
    t = minidl.ones(3, 8, 8)
    assert RandomErasing(1, value=(1, 2, 3))(t) is not t and t.array.min() == 1 == t.array.max()
    assert RandomErasing(1, value=(0, 2, 3), inplace=True)(t) is t and t.array[0].min() == 0 and t.array[2].max() == 3
    tall = minidl.ones(1, 2, 2)
    assert same(RandomErasing(1, scale=(1, 1), ratio=(1, 1))(tall), tall)  # ten tries, none fits


def test_cutout():
    x = np.ones((4000, 9, 9), np.uint8)
    y = Cutout(3).batch(x)
    for image in y[:200]:
        rows, columns = np.nonzero(image == 0)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1) and len(rows) in (4, 6, 9)
    share = (y == 0).mean(axis=0)
    np.testing.assert_allclose(share[1:-1, 1:-1], 9 / 81, atol=0.02)
    np.testing.assert_allclose(share[0, 0], 4 / 81, atol=0.02)
    assert Cutout(40, fill=(1, 2, 3))(pixels()[0])[4, 4].tolist() == [1, 2, 3]


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0])
def test_mixup_draws_from_beta(alpha):
    x, y = minidl.from_numpy(np.array([[1.0], [0.0]])), minidl.from_numpy(np.array([0, 1]))
    mix = MixUp(alpha, 2)
    share = np.array([mix(x, y)[0].array[0, 0] for _ in range(1500)])
    assert share.min() >= 0 and share.max() <= 1
    assert abs(share.mean() - 0.5) < 0.04 and abs(share.var() - 1 / (4 * (2 * alpha + 1))) < 0.015
    if alpha == 1.0:
        assert abs(np.quantile(share, 0.25) - 0.25) < 0.04


def test_mixup():
    x = minidl.from_numpy(np.arange(6, dtype=np.float32).reshape(3, 2))
    mixed, y = MixUp(0.4, num_classes=4)(x, minidl.from_numpy(np.array([3, 0, 1])))
    share = float(y.array[0, 3])
    expected = np.eye(4)[[3, 0, 1]]
    np.testing.assert_allclose(y.array, share * expected + (1 - share) * np.roll(expected, 1, axis=0), rtol=1e-6)
    np.testing.assert_allclose(mixed.array, share * x.array + (1 - share) * np.roll(x.array, 1, axis=0), rtol=1e-6)
    assert mixed.dtype == y.dtype == minidl.float32
    again, _ = MixUp(0.4)(x, y)  # labels that are mixed already
    assert again.shape == x.shape


@pytest.mark.parametrize("workers", [0, 1])
def test_mixup_in_a_loader(workers):
    def run(transform, num_workers, collate):
        data = ImageDataset(pixels(), np.arange(N) % 10, "abcdefghij", transform)
        loader = DataLoader(
            data, 5, shuffle=True, collate_fn=collate, num_workers=num_workers, generator=minidl.Generator(3)
        )
        return [(x.array, y.array) for _ in range(2) for x, y in loader]

    fast = Compose([RandomHorizontalFlip(), ToTensor()])
    slow = Compose([RandomHorizontalFlip(), ToTensor(), Lambda(lambda t: t)])
    mix = MixUp(0.3, 10)
    a, b = run(fast, workers, mix), run(slow, 0, mix)
    c = run(slow, 0, lambda samples: mix(*default_collate(samples)))
    for p, q, r in zip(a, b, c, strict=True):
        assert same(p[0], q[0]) and same(p[1], q[1]) and same(p[0], r[0]) and same(p[1], r[1])
    shares = {float(y.max()) for _, y in a}
    assert len(shares) > 5  # another one for every batch


# ------------------------------------------------------------------------------------------------------------- other
def test_convert_image_dtype():
    x = np.arange(256, dtype=np.uint8)
    f = ConvertImageDtype("float32")(wrap(x))
    assert same(f, x.astype(np.float32) / np.float32(255))
    assert same(ConvertImageDtype(minidl.uint8)(f), x)
    assert ConvertImageDtype("float64")(f).dtype == minidl.float64 and ConvertImageDtype("float32")(f) is f
    assert vectorised(Compose([ToTensor(), ConvertImageDtype("float16")]))


def test_vectorised_looks_inside():
    assert vectorised(RandomApply([ToTensor()])) and not vectorised(RandomApply([Lambda(abs)]))

    class Mine(RandomHorizontalFlip):
        def __call__(self, image):
            return image

    class Brighter(ImageTransform):
        def apply(self, x, h):
            return x + 1

    assert not vectorised(Mine()) and vectorised(Brighter())
    assert same(Brighter().batch(pixels()), pixels() + np.uint8(1))


def test_random_apply_of_another_shape():
    x = pixels(n=50)
    assert RandomApply([CenterCrop(3)], p=1).batch(x.copy()).shape == (50, 3, 3, 3)
    assert RandomApply([CenterCrop(3)], p=0).batch(x.copy()).shape == x.shape
    with pytest.raises(
        RuntimeError, match=r"some images of the batch became \(3, 3, 3\) uint8, the others are \(9, 7, 3\)"
    ):
        RandomApply([CenterCrop(3)]).batch(x.copy())
    with pytest.raises(RuntimeError, match="more than 64 random transforms"), drawing(scope(1)):
        RandomApply([RandomHorizontalFlip()] * 65, p=1)(x[0])


def test_reprs():
    for transform in TRANSFORMS.values():
        assert repr(transform).startswith(type(transform).__name__ + "(")
    assert (
        repr(RandomCrop(4, 2)) == "RandomCrop(size=(4, 4), padding=2)"
        and repr(MixUp(2)) == "MixUp(alpha=2.0, num_classes=None)"
    )
    assert repr(RandomRotation(5)) == "RandomRotation(degrees=[-5.0, 5.0], interpolation=nearest, fill=0)"


X = np.zeros((4, 5, 3), np.uint8)
T2 = minidl.from_numpy(np.zeros((2, 2), dtype=np.float32))
LABELS = minidl.from_numpy(np.array([0, 1]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomHorizontalFlip(1.5), ValueError, "RandomHorizontalFlip: p should be a probability .* got 1.5"),
        (lambda: RandomVerticalFlip(True), ValueError, "RandomVerticalFlip: p should be"),
        (lambda: RandomHorizontalFlip()([1]), TypeError, "RandomHorizontalFlip: expected a picture .* got list"),
        (lambda: RandomHorizontalFlip()(np.zeros(3)), ValueError, r"expected an image \(H, W, C\) .* shape \(3,\)"),
        (lambda: RandomHorizontalFlip()(np.zeros((0, 3))), ValueError, "the image is empty"),
        (lambda: RandomHorizontalFlip()(minidl.zeros(1, 1, 2, 2)), ValueError, r"expected an image \(C, H, W\)"),
        (lambda: RandomHorizontalFlip().batch(X[0]), ValueError, r"expected a batch of images .* shape \(5, 3\)"),
        (lambda: RandomHorizontalFlip()(minidl.zeros(2, 2, requires_grad=True)), RuntimeError, "detach"),
        (lambda: Pad((1, 2, 3)), ValueError, "Pad: padding should be 1, 2 or 4"),
        (lambda: Pad(-1), ValueError, "non-negative integers, got -1"),
        (lambda: Pad(1, padding_mode="wrap"), ValueError, "padding_mode should be one of .* got 'wrap'"),
        (lambda: Pad(4, padding_mode="reflect")(X), ValueError, "padding 4 is too wide for 4 pixels"),
        (lambda: Pad(1, fill=(1, 2))(X), ValueError, "fill has 2 values, the image 3 channels"),
        (lambda: Pad(1, fill=300)(X), ValueError, "fill=300 does not fit a uint8 image"),
        (lambda: CenterCrop((1, 2, 3)), ValueError, "CenterCrop: size should be a positive integer or"),
        (lambda: RandomCrop(0), ValueError, "RandomCrop: size should be .* got 0"),
        (lambda: RandomCrop((6, 5))(X), ValueError, r"required crop size \(6, 5\) is larger than .* \(4, 5\)"),
        (lambda: RandomCrop(2, padding="a"), ValueError, "RandomCrop: padding should be"),
        (lambda: Resize("3"), ValueError, "Resize: size should be"),
        (lambda: Resize(3, "bicubic"), NotImplementedError, "Resize: interpolation='bicubic' is not supported"),
        (lambda: Resize((3, 3), max_size=5), ValueError, "max_size=5 needs a size of one number"),
        (lambda: Resize(9, max_size=5), ValueError, "max_size=5"),
        (lambda: Resize(2)(X.astype(np.int32)), TypeError, "bilinear needs a uint8 or floating-point image, got int32"),
        (lambda: RandomRotation(-3), ValueError, "must not be negative, got -3"),
        (lambda: RandomRotation((1, 2, 3)), ValueError, r"degrees should be a number or \(low, high\)"),
        (lambda: RandomRotation(3, expand=True), NotImplementedError, "RandomRotation: expand=True"),
        (lambda: RandomRotation(3, center=(1,)), ValueError, r"center should be \(x, y\)"),
        (lambda: RandomRotation(3, "bicubic"), NotImplementedError, "RandomRotation: interpolation='bicubic'"),
        (lambda: RandomRotation(3, "bilinear")(X.astype(int)), TypeError, "RandomRotation: bilinear needs"),
        (lambda: Grayscale(2), ValueError, "num_output_channels should be 1 or 3, got 2"),
        (lambda: Grayscale()(np.zeros((2, 2, 4), np.uint8)), ValueError, "Grayscale: expected .*, got 4"),
        (lambda: Grayscale()(X.astype(int)), TypeError, "Grayscale: expected a uint8 or .*, got int64"),
        (lambda: ColorJitter(-1), ValueError, "a single number for brightness must not be negative, got -1"),
        (lambda: ColorJitter(hue=0.6), ValueError, r"hue should lie in -0.5 ... 0.5, got \(-0.6, 0.6\)"),
        (lambda: ColorJitter(contrast=(2, 1)), ValueError, "contrast should lie in"),
        (lambda: ColorJitter(saturation="a"), TypeError, "saturation should be a number or"),
        (lambda: ColorJitter(1)(X.astype(int)), TypeError, "ColorJitter: expected a uint8 or floating-point"),
        (lambda: ColorJitter(1)(np.zeros((2, 2, 2), np.uint8)), ValueError, "ColorJitter: expected .* got 2"),
        (lambda: RandomErasing(scale=(0.5, 2)), ValueError, r"RandomErasing: scale should be .* got \(0.5, 2\)"),
        (lambda: RandomErasing(ratio=(0, 1)), ValueError, "RandomErasing: ratio should be"),
        (lambda: RandomErasing(value="noise"), ValueError, "value should be .* got 'noise'"),
        (lambda: RandomErasing(1, value="random")(X), TypeError, "needs a floating-point image, got uint8"),
        (lambda: Cutout(0), ValueError, "Cutout: size should be a positive integer, got 0"),
        (lambda: Cutout(2, fill=(1, 2))(X), ValueError, "Cutout: fill has 2 values"),
        (lambda: MixUp(0), ValueError, "MixUp: alpha should be a positive number, got 0"),
        (lambda: MixUp(1, 0), ValueError, "num_classes should be a positive integer or None, got 0"),
        (lambda: MixUp(1)(T2, LABELS), ValueError, "labels as integers need num_classes"),
        (lambda: MixUp(1, 1)(T2, LABELS), ValueError, "label 1 is not in 0 ... 0"),
        (lambda: MixUp(1, 3)(T2, T2), ValueError, "y has 2 classes, num_classes is 3"),
        (lambda: MixUp(1, 2)(T2, minidl.zeros(2)), TypeError, "expected integer labels, got float32"),
        (lambda: MixUp(1, 2)(LABELS, LABELS), TypeError, "expected floating-point images, got int64"),
        (lambda: MixUp(1, 2)(T2, minidl.tensor([1])), ValueError, r"got \(2, 2\), \(1,\)"),
        (lambda: MixUp(1, 2)(T2.numpy(), LABELS), TypeError, "expected a batch of two Tensors"),
        (lambda: MixUp(1, 2)([1.0, 2.0]), TypeError, r"expects samples \(image, label\)"),
        (lambda: RandomApply(ToTensor()), TypeError, "RandomApply: expected a list of transforms"),
        (lambda: RandomApply([3]), TypeError, "every transform must be callable, got 3"),
        (lambda: RandomApply([], p=2), ValueError, "RandomApply: p should be a probability"),
        (lambda: ConvertImageDtype("int64"), NotImplementedError, "only uint8 and floating-point images, got int64"),
        (lambda: ConvertImageDtype("uint8")(X), TypeError, "ConvertImageDtype: expected a Tensor, got ndarray"),
        (lambda: ConvertImageDtype("uint8")(LABELS), NotImplementedError, "got int64"),
        (lambda: ImageTransform()(X), NotImplementedError, r"must define apply\(x, h\)"),
    ],
)  # fmt: skip
def test_transforms_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()
