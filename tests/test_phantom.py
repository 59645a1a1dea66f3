"""The phantom: the same everywhere, a window of an endless tissue, and shaped like tissue."""

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import _png

ARRAYS = ("image", "labels", "mitochondria", "affinities")


def crc(phantom):
    value = 0
    for name in ARRAYS:
        value = zlib.crc32(np.ascontiguousarray(getattr(phantom, name)), value)
    return value


@pytest.fixture(scope="module")
def tissue():
    return emfast.phantom.make((24, 160, 160), seed=3)


def faces(array, axis):
    """The voxels before and after each face between neighbours along an axis."""
    return np.take(array, range(array.shape[axis] - 1), axis), np.take(array, range(1, array.shape[axis]), axis)


@pytest.mark.parametrize(
    "options, golden",
    [
        ({"shape": (6, 40, 50), "seed": 7}, 0x316075BC),
        ({"shape": (5, 31, 29), "spacing": (40, 16, 16), "defects": 1.0, "seed": 2**64 - 1}, 0x090A0039),
        ({"shape": (33, 47), "spacing": (8, 8, 8), "origin": (-5, 1000, -77), "calibre": 200.0}, 0xDB86F246),
    ],
)
def test_every_machine_makes_the_same_bits(backend, options, golden):
    like = backend(np.zeros(1, "u1"))
    phantom = emfast.phantom.make(**options, like=like)
    assert crc(dataclasses.replace(phantom, **{n: backend.host(getattr(phantom, n)) for n in ARRAYS})) == golden


def test_threads_do_not_matter(threads):
    assert crc(emfast.phantom.make((6, 40, 50), seed=7)) == 0x316075BC


@given(
    origin=st.tuples(*[st.integers(-300, 300)] * 3),
    low=st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 40)),
    side=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 20)),
    spacing=st.sampled_from([(30, 8, 8), (8, 8, 8), (50, 13, 17)]),
    seed=st.integers(0, 5),
)
def test_windows_show_the_same_tissue(origin, low, side, spacing, seed):
    whole = emfast.phantom.make((6, 32, 60), origin=origin, spacing=spacing, seed=seed, defects=0.3)
    start = tuple(o + a for o, a in zip(origin, low, strict=True))
    part = emfast.phantom.make(side, origin=start, spacing=spacing, seed=seed, defects=0.3)
    box = tuple(slice(a, a + s) for a, s in zip(low, side, strict=True))
    assert np.array_equal(whole.image[box], part.image)
    assert np.array_equal(whole.labels[box] > 0, part.labels > 0)
    inner = tuple(slice(a + 1, a + s) for a, s in zip(low, side, strict=True))  # first faces have no neighbour
    assert np.array_equal(whole.affinities[(slice(None), *inner)], part.affinities[:, 1:, 1:, 1:])
    for axis in range(3):  # pieces of one label stay one label within the part
        a, b = faces(part.labels, axis)
        c, d = faces(whole.labels[box], axis)
        assert np.array_equal(a == b, c == d)


def test_ids_are_connected_and_numbered_by_appearance(tissue):
    for labels in (tissue.labels, tissue.mitochondria):
        again, count = emfast.connected_components(labels, dtype="uint32", return_count=True)
        assert count == labels.max()
        assert np.array_equal(again, labels)


def test_it_is_shaped_like_tissue(tissue):
    assert 0.05 < (tissue.labels == 0).mean() < 0.25
    assert 0.01 < (tissue.mitochondria > 0).mean() < 0.15
    sizes = np.bincount(tissue.labels.ravel())[1:]
    assert 20 < sizes.size < 200
    assert sizes.max() < 0.4 * tissue.labels.size
    assert (tissue.labels[tissue.mitochondria > 0] > 0).all()


def test_membranes_and_mitochondria_are_dark(tissue):
    cytoplasm = tissue.image[(tissue.labels > 0) & (tissue.mitochondria == 0)].mean()
    assert tissue.image[tissue.labels == 0].mean() < cytoplasm - 40
    assert tissue.image[tissue.mitochondria > 0].mean() < cytoplasm - 30
    assert 100 < tissue.image.mean() < 180
    assert 25 < tissue.image.std() < 60


def test_affinities_agree_with_labels_at_most_faces(tissue):
    for axis in range(3):
        _, affinity = faces(tissue.affinities[axis], axis)
        before, after = faces(tissue.labels, axis)
        within = (before == after) & (before > 0)
        assert (affinity[within] >= 128).mean() > 0.9
        between = before != after
        assert (affinity[between] < 128).mean() > 0.8
        assert not np.take(tissue.affinities[axis], 0, axis).any()
    between = faces(tissue.labels, 0)[0] != faces(tissue.labels, 0)[1]
    assert (tissue.affinities[0][1:][between] >= 128).any()  # a network overlooks some


def test_errors_and_noise_can_be_switched_off():
    quiet = emfast.phantom.make((4, 96, 96), noise=0, errors=0, mitochondria=0)
    assert not quiet.mitochondria.any()
    before, after = faces(quiet.labels, 1)
    affinity = faces(quiet.affinities[1], 1)[1]
    assert (affinity[(before != after)] < 192).all()
    loud = emfast.phantom.make((4, 96, 96), noise=2, errors=0, mitochondria=0)
    assert np.array_equal(loud.labels, quiet.labels)
    assert np.abs(np.diff(loud.image.astype(int))).mean() > 2 * np.abs(np.diff(quiet.image.astype(int))).mean()


def test_defects_hit_sections():
    sound = emfast.phantom.make((40, 48, 48))
    broken = emfast.phantom.make((40, 48, 48), defects=0.5)
    hit = [z for z in range(40) if not np.array_equal(sound.image[z], broken.image[z])]
    assert 8 <= len(hit) <= 32
    assert any(broken.image[z].mean() < 20 for z in hit)


def test_seeds_differ():
    a, b = (emfast.phantom.make((2, 40, 40), seed=s) for s in (0, 1))
    assert not np.array_equal(a.labels > 0, b.labels > 0)


def test_a_picture_is_one_section():
    picture, volume = emfast.phantom.make((30, 40)), emfast.phantom.make((1, 30, 40))
    assert np.array_equal(picture.image, volume.image[0])
    assert np.array_equal(picture.labels, volume.labels[0])
    assert np.array_equal(picture.affinities, volume.affinities[1:, 0])


@pytest.mark.parametrize("shape", [(0, 5, 5), (3, 0, 7), (0, 4), (1, 1, 1), (1, 17, 1)])
def test_empty_and_tiny_shapes(backend, shape):
    phantom = emfast.phantom.make(shape)
    assert phantom.image.shape == phantom.labels.shape == phantom.mitochondria.shape == shape
    assert phantom.affinities.shape == (len(shape), *shape)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"shape": (4,)}, ValueError, r"shape must have 2 or 3 numbers, got \(4,\)"),
        ({"shape": (4, -1, 4)}, ValueError, "shape must be 0 or more along each axis"),
        ({"shape": 4}, TypeError, "shape must be integers, one per axis, got 4"),
        ({"shape": (4.5, 4, 4)}, TypeError, "shape must be integers"),
        ({"seed": -1}, ValueError, r"seed must be from 0 to 2\*\*64 - 1, got -1"),
        ({"seed": "one"}, TypeError, "seed must be an integer, got 'one'"),
        ({"spacing": (8, 8)}, ValueError, r"spacing must be three numbers \(z, y, x\)"),
        ({"spacing": (8, 8, 0)}, ValueError, "spacing must be positive and finite"),
        ({"spacing": (8, 8, float("nan"))}, ValueError, "spacing must be positive and finite"),
        ({"origin": (0, 0)}, ValueError, "origin must have 3 numbers"),
        ({"origin": (0, 0, 10**9)}, ValueError, "within a millimetre"),
        ({"membrane": 200.0}, ValueError, "membrane must be a number from 1 to 87.5, got 200.0"),
        ({"noise": None}, ValueError, "noise must be a number from 0 to 5, got None"),
        ({"defects": 1.5}, ValueError, "defects must be a number from 0 to 1, got 1.5"),
        ({"spacing": (900, 900, 900), "shape": (900, 900, 900)}, ValueError, "raise calibre"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        emfast.phantom.make(**{"shape": (4, 4, 4), **options})


@given(st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(0, 2**32 - 1))
def test_pictures_can_be_read_back(height, width, colour, seed):
    image = pytest.importorskip("PIL.Image")
    import io

    shape = (height, width, 3) if colour else (height, width)
    picture = np.random.default_rng(seed).integers(0, 256, shape, "u1")
    with image.open(io.BytesIO(_png.encode(picture))) as read:
        assert np.array_equal(np.asarray(read), picture)


def test_colours_belong_to_ids():
    labels = np.array([[0, 1, 2], [2**63, 1, 0]], "u8")
    colours = _png.colours(labels)
    assert not colours[labels == 0].any()
    assert np.array_equal(colours[0, 1], colours[1, 1])
    assert len({tuple(c) for c in colours.reshape(-1, 3)}) == 4
    assert np.array_equal(_png.colours(labels[:1].astype("u4")), colours[:1])
    with pytest.raises(ValueError, match="picture must be"):
        _png.encode(np.zeros((2, 2), "f4"))
