import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import _settings
from emfast.sampling import (
    Classes,
    FillFraction,
    Foreground,
    Instances,
    NonEmpty,
    Piece,
    Sampler,
    Uniform,
    cut,
    generator,
    pieces_of,
    resampled,
)


def piece_of(labels, *, mask=None, **more):
    image = np.arange(labels.size, dtype="f4").reshape(1, *labels.shape)
    return Piece(image, {"cells": labels}, {} if mask is None else {"cells": mask}, **more)


def drawn(sampler, pieces, shape, n, seed=0):
    known = sampler.prepare(pieces, shape)
    return [sampler.draw(pieces, shape, generator(seed, k), known) for k in range(n)]


def near(share, expected, n):
    """Within five standard deviations of a share of n draws."""
    return abs(share - expected) <= 5 * math.sqrt(max(expected * (1 - expected), 1 / n) / n)


sides = st.tuples(*[st.integers(1, 5)] * 3)


@given(whole=sides, shape=sides, data=st.data())
def test_crops_are_those_of_numpys_padding(whole, shape, data):
    """Inside, outside and across: the image mirrored, labels 0 and unknown."""
    corner = tuple(data.draw(st.integers(-6, 6)) for _ in whole)
    rng = np.random.default_rng(0)
    labels, mask = rng.integers(1, 9, whole).astype("i2"), rng.random(whole) < 0.5
    piece = Piece(rng.random((2, *whole)), {"a": labels, "b": labels}, {"b": mask})
    crop = cut(piece, corner, shape)
    far = 12
    box = tuple(slice(far + c, far + c + n) for c, n in zip(corner, shape, strict=True))
    assert np.array_equal(crop.image, np.pad(piece.image, [(0, 0), *[(far, far)] * 3], "reflect")[(slice(None), *box)])
    for name in "ab":
        assert crop.labels[name].dtype == np.int16
        assert np.array_equal(crop.labels[name], np.pad(labels, far)[box])
    assert np.array_equal(crop.masks["a"], np.pad(np.ones(whole, bool), far)[box])
    assert np.array_equal(crop.masks["b"], np.pad(mask, far)[box])


def test_sample_k_is_a_function_of_seed_and_k():
    labels = np.random.default_rng(0).integers(0, 5, (6, 20, 20))
    pieces = [piece_of(labels), piece_of(labels[:4])]
    for sampler in (Uniform(), Foreground(0.5), Instances(), Classes(), FillFraction(candidates=50), NonEmpty()):
        one, two = (drawn(sampler, pieces, (3, 5, 5), 20) for _ in range(2))
        assert one == two != drawn(sampler, pieces, (3, 5, 5), 20, seed=1)
        for number, corner in one:
            room = np.subtract(pieces[number].shape, (3, 5, 5))
            assert (np.array(corner) >= 0).all() and (np.array(corner) <= room).all()
        assert _settings.from_dict(Sampler, _settings.to_dict(sampler)) == sampler


def test_uniform_goes_by_crops_or_by_weight():
    pieces = [piece_of(np.ones((1, 10, 10), "u1")), piece_of(np.ones((1, 5, 3), "u1"), weight=2.0)]
    n = 2000  # 8 * 8 corners against 3 * 1, which count twice
    assert near(np.mean([p for p, _ in drawn(Uniform(), pieces, (1, 3, 3), n)]), 6 / 70, n)
    assert near(np.mean([p for p, _ in drawn(Uniform("weight"), pieces, (1, 3, 3), n)]), 2 / 3, n)
    corners = [c for p, c in drawn(Uniform(), pieces[:1], (1, 9, 9), n)]
    assert near(np.mean([c == (0, 1, 1) for c in corners]), 1 / 4, n)


def test_foreground_shares():
    labels = np.zeros((2, 40, 200), "u8")
    labels[1, 7, 150], labels[0, 30, 20:23] = 2**63 + 1, 4
    mask = np.ones(labels.shape, bool)
    mask[0, 30, 22] = False
    piece = piece_of(labels, mask=mask)
    shape, n = (1, 4, 5), 1500

    def kinds(share):
        found = []
        for _, (z, y, x) in drawn(Foreground(share), [piece], shape, n):
            box = labels[z : z + 1, y : y + 4, x : x + 5][mask[z : z + 1, y : y + 4, x : x + 5]]
            found.append(2 if 2**63 + 1 in box else 1 if 4 in box else 0)
        return np.bincount(found, minlength=3) / n

    # Of three known voxels one has the large id.
    assert kinds(1.0)[0] == 0 and near(kinds(1.0)[2], 1 / 3, n)
    rare = 40 / (2 * 37 * 196)  # of uniform crops, at most 20 hold each
    assert near(kinds(0.5)[0], 0.5 * (1 - rare), n)
    with pytest.raises(ValueError, match="pieces must have known labels that are not 0, got background alone"):
        Foreground().prepare([piece_of(np.zeros((2, 3, 4), "u1"))], shape)


def test_instances_and_classes_are_balanced():
    labels = np.zeros((1, 40, 300), "u4")
    labels[0, 5, 5], labels[0, 20, 20:40], labels[0, 10:30, 200:300] = 3, 1, 2
    pieces, n = [piece_of(labels), piece_of((labels == 3).astype("u4") * 3)], 1500

    def ids(sampler, pieces):
        found = []
        for number, (z, y, x) in drawn(sampler, pieces, (1, 2, 2), n):
            box = pieces[number].labels["cells"][z : z + 1, y : y + 2, x : x + 2]
            found.append((number, int(box.max())))
        return found

    found = ids(Instances(), pieces)
    assert all(near(np.mean([f == each for f in found]), 1 / 4, n) for each in ((0, 1), (0, 2), (0, 3), (1, 3)))
    classes = [k for _, k in ids(Classes(), pieces)]
    assert all(near(np.mean([c == k for c in classes]), 1 / 3, n) for k in (1, 2, 3))
    weighed = [k for _, k in ids(Classes(weights=(1.0, 3.0)), pieces)]
    assert near(np.mean([c == 2 for c in weighed]), 3 / 4, n) and 3 not in weighed
    with pytest.raises(ValueError, match="weights must not be 0 for all classes that are there"):
        Classes(weights=(0.0, 0.0, 0.0, 1.0)).prepare(pieces, (1, 2, 2))


def test_little_known_crops_are_left_out():
    labels = np.ones((1, 20, 20), "u1")
    mask = np.zeros(labels.shape, bool)
    mask[:, :, :10] = True
    labels[:, 10:] = 0
    piece = piece_of(labels, mask=mask)
    for _, (_, _, x) in drawn(NonEmpty(known=0.5), [piece], (1, 4, 4), 200):
        assert x <= 8
    for _, (_, y, x) in drawn(NonEmpty(known=0.5, labelled=0.75), [piece], (1, 4, 4), 200):
        assert x <= 7 and y <= 7
    with pytest.raises(ValueError, match=r"must be reached by some crops of \(1, 4, 4\), got none in 10 tries"):
        drawn(NonEmpty(known=0.5, labelled=1.0, tries=10), [piece_of(np.zeros_like(labels))], (1, 4, 4), 1)


def test_fill_fractions_are_balanced():
    labels = np.zeros((3, 30, 90), "u4")
    labels[:, 10:20, 10:20] = 1
    labels[:, :, 40:] = 2
    piece, shape, n = piece_of(labels), (3, 7, 7), 1200
    bounds = (0.5, 0.99, 1.0)
    fractions = []
    for _, corner in drawn(FillFraction(bounds), [piece], shape, n):
        box = cut(piece, corner, shape).labels["cells"]
        fractions.append((box == box[1, 3, 3]).mean())
        assert box[1, 3, 3] != 0
    counts = np.bincount(np.searchsorted(bounds, fractions), minlength=3) / n
    assert all(near(c, 1 / 3, n) for c in counts)
    with pytest.raises(ValueError, match=r"pieces must hold crops of \(5, 7, 7\) around objects"):
        FillFraction().prepare([piece], (5, 7, 7))


def test_pieces_of_arrays():
    rng = np.random.default_rng(0)
    image, labels = rng.random((5, 6, 7)), rng.integers(0, 4, (5, 6, 7))
    [piece] = pieces_of((image, labels), spacing=(30, 8, 8))
    assert piece.shape == (5, 6, 7) and piece.spacing == (30, 8, 8) and np.array_equal(piece.image[0], image)
    [piece] = pieces_of((image, {"a": labels, "b": labels}, labels > 1), labels=["b"])
    assert [*piece.labels] == [*piece.masks] == ["b"] and piece.masks["b"].dtype == bool
    [picture] = pieces_of((image[0], labels[0]))
    assert picture.image.shape == (1, 1, 6, 7) and picture.labels["labels"].shape == (1, 6, 7)
    [many] = pieces_of((np.stack([image, image]), labels), load=False)
    assert many.image.shape == (2, 5, 6, 7) and np.array_equal(
        cut(many, (1, 2, 3), (2, 2, 2)).image[1], image[1:3, 2:4, 3:5]
    )
    two = pieces_of([(image, labels), many])
    assert len(two) == 2
    train, held = (pieces_of((image, labels), split=s)[0] for s in ("train", "validation"))
    assert np.array_equal(train.image[0], image[:4]) and np.array_equal(held.labels["labels"], labels[4:])
    lazy = pieces_of((image, labels), split="validation", validation=0.4, load=False)[0]
    assert np.array_equal(lazy.image[:, :, 1:3, 2:4][0], image[3:, 1:3, 2:4])


def test_pieces_of_samples(tmp_path):
    for name in ("training", "training_groundtruth", "testing", "testing_groundtruth"):
        with emfast.open_volume(f"{tmp_path}/{name}.tif", mode="w", shape=(5, 6, 7), dtype="uint8") as volume:
            volume[:, 2:] = 255
    everything = pieces_of("lucchi", path=tmp_path)
    assert [p.spacing for p in everything] == [(5.0, 5.0, 5.0)] * 2
    train = pieces_of("lucchi", path=tmp_path, split="train")
    held = pieces_of("lucchi", path=tmp_path, split="validation")
    assert [p.shape for p in train] == [(4, 6, 7)] and [p.shape for p in held] == [(1, 6, 7)]
    [sample, _] = emfast.data.open("lucchi", tmp_path)
    with pytest.raises(ValueError, match="data must have images with labels cells for train, got none"):
        pieces_of("lucchi", path=tmp_path, split="train", labels=["cells"])
    [piece] = pieces_of(sample, labels=["mitochondria", "cells"], load=False)  # cells are those of other samples
    assert np.array_equal(cut(piece, (0, 1, 1), (2, 2, 2)).image, sample.raw[:2, 1:3, 1:3][None])


def test_pictures_are_held_out_by_rows_and_tuples_of_pieces_are_pieces():
    image, labels = np.arange(30.0).reshape(5, 6), np.ones((5, 6), "u1")
    train, held = (pieces_of((image, labels), split=s, spacing=(4, 8))[0] for s in ("train", "validation"))
    assert np.array_equal(train.image[0, 0], image[:4]) and np.array_equal(held.image[0, 0], image[4:])
    assert train.spacing == (4, 4, 8)
    pieces = (piece_of(np.ones((2, 3, 4), "u1"), mask=np.ones((2, 3, 4), bool)), piece_of(np.ones((2, 3, 5), "u1")))
    assert [piece.shape for piece in pieces_of(pieces)] == [(2, 3, 4), (2, 3, 5)]
    assert pieces_of(pieces, spacing=np.array([30.0, 8, 8]))[1].spacing == (30, 8, 8)
    piece = Piece(pieces[0].image, {"a": labels[None, :2, :], "b": labels[None, :2, :]}, {"a": labels[None, :2, :]})
    piece = Piece(np.zeros((1, 1, 2, 6)), piece.labels, piece.masks)
    [chosen] = pieces_of(piece, labels=["b"])
    assert [*chosen.labels] == ["b"] and not chosen.masks


def test_samples_that_do_not_say_are_to_learn_from(tmp_path, monkeypatch):
    """Beside one that is for validation, as with a user's own dataset; and training has the same pieces."""
    monkeypatch.setenv("EMFAST_DATA", str(tmp_path))
    for k, split in enumerate(("all", "train", "validation", "test")):
        np.save(tmp_path / f"{k}.npy", np.full((2, 4, 5), k, "u1"))
        place = str(tmp_path / f"{k}.npy")
        emfast.data.add("mine", place, labels={"cells": place}, spacing=(30, 8, 8), split=split, sample=str(k))

    def first(pieces):
        return [int(np.asarray(piece.image[:, :1, :1, :1]).item()) for piece in pieces]

    assert [first(pieces_of("mine", split=s)) for s in ("all", "train", "validation")] == [[0, 1, 2, 3], [0, 1], [2]]
    samples = emfast.data.open("mine")
    assert first(pieces_of(samples, split="train")) == [0, 1]
    training = pytest.importorskip("emfast.training")
    assert [first(training.pieces_of("mine", split=s)) for s in ("train", "validation")] == [[0, 1], [2]]
    assert [first(training.pieces_of(samples, split=s)) for s in ("train", "validation")] == [[0, 1], [0, 2]]
    assert training.pieces_of("mine")[0].spacing == (30, 8, 8)


def test_windows_are_numpys():
    """Whatever part of the key is given; also where a window ends before it begins."""
    from emfast.sampling._gathering import Part

    array = np.arange(60).reshape(3, 4, 5)
    part = Part(array, 4).cut(0, 1, 3).cut(2, 1, 5)
    whole = array[None, 1:3, :, 1:5]
    assert part.shape == whole.shape and part.nbytes == whole.nbytes and part.dtype == whole.dtype
    full = slice(None)
    for key in (..., full, (full, slice(1, 2)), (..., slice(1, 3)), (full, ..., slice(0, 2)), (full, slice(2, 1))):
        assert np.array_equal(part[key], whole[key])


def test_weights_decide_what_is_drawn():
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"weight must be a finite number from 0, got (-1|nan|inf)"):
            piece_of(np.ones((1, 2, 2), "u1"), weight=weight)
    labels = np.ones((3, 9, 9), "u1")
    pieces, n = [piece_of(labels, weight=w) for w in (0.0, 1.0, 3.0)], 800
    for sampler in (Uniform(), Uniform("weight"), Foreground(1.0), Instances(), Classes(), FillFraction(candidates=40)):
        found = np.bincount([p for p, _ in drawn(sampler, pieces, (1, 3, 3), n)], minlength=3) / n
        assert found[0] == 0 and near(found[2], 3 / 4, n), sampler
        with pytest.raises(ValueError, match="weight must be above 0 for some piece"):
            sampler.prepare(pieces[:1], (1, 3, 3))


def test_what_is_unknown_fills_nothing():
    labels, mask = np.ones((1, 9, 40), "u1"), np.ones((1, 9, 40), bool)
    mask[:, ::2, 20:] = False  # crops there are known by half, about
    for _, (_, y, x) in drawn(FillFraction((0.7,)), [piece_of(labels, mask=mask)], (1, 3, 3), 100):
        assert mask[0, y : y + 3, x : x + 3].mean() <= 0.7


def test_bytes_in_another_order_come_as_this_machine_has_them():
    labels = np.arange(60).reshape(3, 4, 5)
    piece = Piece(labels[None].astype(">f4"), {"cells": labels.astype(">u8")})
    for corner in ((0, 1, 1), (-1, 1, 1)):
        crop = cut(piece, corner, (2, 2, 2))
        assert crop.image.dtype == np.float32 and crop.image.dtype.isnative
        assert crop.labels["cells"].dtype == np.uint64 and crop.labels["cells"].dtype.isnative
        assert np.array_equal(crop.labels["cells"][1], labels[corner[0] + 1, 1:3, 1:3])
    assert len(drawn(Instances(), [piece], (1, 2, 2), 3)) == 3


@pytest.mark.parametrize(
    ("data", "more", "kind", "words"),
    [
        (7, {}, TypeError, "data must be pieces, samples, the name of a dataset, or .* got int"),
        (
            (np.zeros((3, 4, 5)), np.zeros((3, 4, 4), "u1")),
            {},
            ValueError,
            r"data: labels 'labels' must have the shape of the image \(3, 4, 5\), got \(3, 4, 4\)",
        ),
        ((np.zeros((3, 4, 5)), np.zeros((3, 4, 5))), {}, TypeError, "labels 'labels' must be integers, got float64"),
        ((np.zeros(3), np.zeros(3, "u1")), {}, ValueError, r"image must be \(y, x\), \(z, y, x\) or \(c, z, y, x\)"),
        (
            (np.zeros((3, 4)), np.zeros((3, 4), "u1")),
            {"labels": ["x"]},
            ValueError,
            "labels must be of labels, got 'x'",
        ),
        (
            (np.zeros((1, 4)), np.zeros((1, 4), "u1")),
            {"split": "train"},
            ValueError,
            "validation must leave something to learn from, got 0.2 of 1 sections",
        ),
        (
            (np.zeros((3, 4)), np.zeros((3, 4), "u1"), {"typo": np.ones((3, 4), bool)}),
            {},
            ValueError,
            "data: masks must be of labels, got 'typo'",
        ),
        (
            (np.zeros((3, 4, 5)), np.zeros((3, 4, 5), "u1")),
            {"spacing": (8, 8)},
            ValueError,
            r"spacing must have one number per axis \(3\), got \(8, 8\)",
        ),
        (
            [(np.zeros((3, 4, 5)), np.zeros((3, 4, 5), "u1")), (np.zeros((3, 4, 5)),)],
            {},
            ValueError,
            r"data\[1\] must be \(image, labels\) or \(image, labels, mask\), got 1 of them",
        ),
        (np.zeros((3, 4, 5)), {}, TypeError, "data must be pieces, .* got ndarray"),
        (
            (np.zeros((3, 4)), np.zeros((3, 4), "u1")),
            {"split": "test"},
            ValueError,
            "split must be train, validation or all",
        ),
        ([], {}, ValueError, "data must have images with labels of any name for all, got none"),
    ],
)
def test_mistakes_are_named(data, more, kind, words):
    with pytest.raises(kind, match=words):
        pieces_of(data, **more)


def test_resampling_by_whole_factors_is_exact():
    rng = np.random.default_rng(0)
    labels, mask = rng.integers(0, 9, (3, 4, 5)).astype("u8"), rng.random((3, 4, 5)) < 0.5
    piece = piece_of(labels, mask=mask, spacing=(30.0, 8.0, 8.0))
    assert resampled(piece, (30, 8, 8)) is piece
    fine = resampled(piece, (15, 4, 4))
    assert fine.spacing == (15, 4, 4) and fine.image.dtype == np.float32
    for whole, old in ((fine.labels["cells"], labels), (fine.masks["cells"], mask)):
        assert np.array_equal(whole, old.repeat(2, 0).repeat(2, 1).repeat(2, 2)) and whole.dtype == old.dtype
    back = resampled(fine, (15, 12, 12))  # a third: the voxel in the middle
    assert np.array_equal(back.labels["cells"], fine.labels["cells"][:, 1:-1:3, 1::3])
    flat = resampled(Piece(np.full((1, 4, 8, 8), 9, "u1"), {}), (2, 2, 2))
    assert flat.image.dtype == np.uint8 and (flat.image == 9).all() and flat.shape == (2, 4, 4)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_thin_pieces_are_read_in_their_middle(depth):
    """Voxels that are thicker than the piece: no label is lost."""
    labels = np.arange(1, depth + 1)[:, None, None] * np.ones((depth, 4, 4), int)
    piece = piece_of(labels, mask=labels > 0)
    coarse = resampled(piece, (30, 1, 1))
    assert coarse.shape == (1, 4, 4) and coarse.masks["cells"].all()
    assert np.abs(coarse.labels["cells"] - (depth + 1) / 2).max() <= 0.5
    assert resampled(piece, (0.5, 8, 8)).labels["cells"].min() == 1


def test_coarser_images_have_less_noise():
    """A voxel three times as long along each axis in a plane has about the mean of nine."""
    noise = np.random.default_rng(0).standard_normal((1, 1, 120, 120)).astype("f4")
    coarse = resampled(Piece(noise, {}), (1, 3, 3))
    assert coarse.shape == (1, 40, 40) and abs(coarse.image.std() - 1 / 3) < 0.05
