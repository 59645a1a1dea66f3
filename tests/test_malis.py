"""MALIS: the pairs that each edge decides, in both passes, as an oracle counts them, and as the public code does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import malis_weights

NEAREST = [list(step) for step in emfast.NEAREST]
FARTHER = [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, 1, -2], [1, 1, 0]]


@st.composite
def cases(draw):
    """Affinities of few values, so that ties are common, with some at the ends of the range."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
    offsets = draw(st.sampled_from([NEAREST, FARTHER, [[0, 0, 1]]]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    said = rng.integers(0, draw(st.sampled_from([2, 4, 1000])) + 1, (2, len(offsets), *shape)) / 1000
    said = (said / said.max() if said.max() and draw(st.booleans()) else said).astype(np.float32)
    if draw(st.booleans()):  # all different, in the last bits alone
        said = (0x3F000000 + rng.permutation(said.size)).astype(np.uint32).view(np.float32).reshape(said.shape)
    labels = rng.integers(0, 4, (2, *shape))
    target = rng.random(said.shape) < 0.5
    if draw(st.booleans()):  # of labels
        target = np.stack([emfast.affinities(item, offsets=offsets, dtype=bool) for item in labels])
    mask = rng.random(said.shape) < 0.8 if draw(st.booleans()) else None
    return said, target, offsets, mask, labels if draw(st.booleans()) else None


def item(array, k):
    return None if array is None else array[k]


@given(case=cases())
def test_pairs_are_those_of_the_oracle(backend, case):
    said, target, offsets, mask, labels = case
    options = {"labels": labels, "mask": mask, "offsets": offsets}
    positive, negative = malis_weights(said, target, **options, normalise="none")
    shares = malis_weights(said, target, **options)
    parts = malis_weights(said, target, **options, normalise="pairs")
    for k in range(2):
        pairs, everything = oracles.malis_pairs(said[k], target[k], offsets, item(mask, k), item(labels, k))
        for counts, share, part, here, most in zip(
            (positive, negative), shares, parts, (target[k], ~target[k]), everything, strict=True
        ):
            expected = np.where(here, pairs, 0)
            assert np.array_equal(counts[k], expected)
            assert expected.sum() <= most
            whole = expected.astype(np.float32)
            assert np.array_equal(share[k], whole / np.float32(max(1, expected.sum())))
            assert np.array_equal(part[k], whole / np.float32(max(1, most)))


@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_all_known_is_decided(seed):
    """Without unknown edges every pair within an object is decided, and every pair of two objects that can meet."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, (3, 5, 5))
    target = emfast.affinities(labels, dtype=bool)
    said = rng.random(target.shape).astype(np.float32)
    parts = emfast.connected_components(labels)
    sizes = np.bincount(parts.ravel())[1:]
    sizes = sizes[sizes > 1].astype(np.uint64)
    positive, negative = malis_weights(said, target, normalise="none")
    assert positive.sum() == (sizes * (sizes - 1) // 2).sum()
    assert negative.sum() == (sizes.sum() ** 2 - (sizes**2).sum()) // 2


@given(seed=st.integers(0, 2**32 - 1))
def test_a_picture_is_a_volume_of_depth_one(seed):
    rng = np.random.default_rng(seed)
    said = rng.random((2, 5, 6)).astype(np.float32)
    target, mask = rng.random(said.shape) < 0.5, rng.random(said.shape) < 0.8
    labels = rng.integers(0, 4, (5, 6))
    for options in ({}, {"mask": mask}, {"labels": labels}):
        flat = malis_weights(said, target, **options)
        deep = {name: value[..., None, :, :] for name, value in options.items()}
        steps = [(0, -1, 0), (0, 0, -1)]
        whole = malis_weights(said[:, None], target[:, None], **deep, offsets=steps)
        for one, other in zip(flat, whole, strict=True):
            assert one.shape == said.shape and np.array_equal(one, other[:, 0])
    near = malis_weights(said, target, offsets=[(-1, 0), (0, -1)])
    assert all(np.array_equal(a, b) for a, b in zip(near, malis_weights(said, target), strict=True))


def test_results_are_of_the_library_that_asked(backend):
    rng = np.random.default_rng(1)
    said, target = rng.random((2, 3, 2, 3, 4)).astype(np.float32), rng.random((2, 3, 2, 3, 4)) < 0.5
    labels = rng.integers(0, 3, (2, 2, 3, 4))
    for options in ({}, {"mask": said > 0.1, "labels": labels}, {"normalise": "none"}):
        expected = malis_weights(said, target, **options)
        there = {name: value if name == "normalise" else backend(value) for name, value in options.items()}
        found = malis_weights(backend(said), backend(target), **there)
        for one, other in zip(found, expected, strict=True):
            assert type(one) is type(backend(said)) and one.dtype == other.dtype
            assert np.array_equal(backend.host(one), other)


def test_torch_gets_tensors_back():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    said, target = rng.random((3, 2, 3, 4)).astype(np.float32), rng.random((3, 2, 3, 4)) < 0.5
    labels = rng.integers(0, 3, (2, 3, 4))
    for options in ({}, {"labels": torch.from_numpy(labels)}, {"labels": labels, "normalise": "none"}):
        found = malis_weights(torch.from_numpy(said), torch.from_numpy(target), **options)
        for one, other in zip(found, malis_weights(said, target, **options), strict=True):
            assert isinstance(one, torch.Tensor) and np.array_equal(one.numpy(), other)


def test_no_samples():
    nothing = np.zeros((0, 3, 2, 3, 4), np.float32)
    for labels in (None, np.zeros((0, 2, 3, 4), np.uint8)):
        for found in malis_weights(nothing, nothing > 0, labels=labels):
            assert found.shape == nothing.shape and found.dtype == np.float32


def test_threads_are_of_no_account(threads):
    rng = np.random.default_rng(3)
    target = np.stack([emfast.affinities(rng.integers(0, 3, (4, 6, 7)), dtype=bool) for _ in range(3)])
    said = rng.random(target.shape).astype(np.float32)
    batch = malis_weights(said, target)
    for k in range(3):
        for whole, part in zip(batch, malis_weights(said[k], target[k]), strict=True):
            assert np.array_equal(whole[k], part)


def test_many_labels_in_one_part():
    """Unknown edges join voxels of many labels before the edge in the middle decides between two tables of labels."""
    labels = np.arange(1, 41).repeat(2).reshape(2, 40) % 7 + 1
    row = labels.reshape(1, 1, 80)
    said = np.full((1, 1, 1, 80), 0.9, np.float32)
    said[0, 0, 0, 33] = 0.5
    mask = np.zeros(said.shape, bool)
    mask[0, 0, 0, 33] = True
    for so in (False, True):
        target = np.full(said.shape, so)
        counts = malis_weights(said, target, labels=row, mask=mask, offsets=[(0, 0, -1)], normalise="none")
        left, right = (np.bincount(side, minlength=9) for side in (row[0, 0, :33], row[0, 0, 33:]))
        same = int((left * right).sum())
        assert counts[0 if so else 1].sum() == (same if so else 33 * 47 - same)


def test_the_golden_file(shared_data):
    golden = np.load(shared_data / "metric_fixture_malis.npz")
    # Its first channel leads from a voxel to itself, and decides nothing.
    steps = golden["nhood"][1:]
    said, target = golden["pred_aff"][:, 1:], golden["target_aff"][:, 1:] > 0.5
    assert not golden["weights"][:, 0].any()
    for labels in (None, golden["gt_seg"].astype(np.int64)):
        positive, negative = malis_weights(said, target, labels=labels, offsets=steps)
        assert np.array_equal(positive + negative, golden["weights"][:, 1:])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"affinities": np.zeros((3, 2, 2, 2))},
            TypeError,
            r"affinities must be \(c, y, x\), \(c, z, y, x\) or \(n, c, z, y, x\) float32, got float64",
        ),
        ({"affinities": np.zeros((2, 2), "f4")}, TypeError, r"got float32 of shape \(2, 2\)"),
        ({"affinities": np.zeros((3, 2, 2), "f4")}, ValueError, r"must have a channel per offset \(2\), got 3"),
        ({"affinities": np.full((3, 2, 2, 2), 1.5, "f4")}, ValueError, "affinities must be from 0 to 1, got 1.5"),
        ({"affinities": np.full((3, 2, 2, 2), np.nan, "f4")}, ValueError, "affinities must be from 0 to 1, got nan"),
        ({"target": np.zeros((3, 2, 2, 2))}, ValueError, "target must be bool of the shape"),
        ({"mask": np.zeros((2, 2, 2), bool)}, ValueError, "mask must be bool of the shape"),
        ({"labels": np.zeros((2, 2, 2))}, ValueError, "labels must be integers of shape"),
        ({"offsets": [(0, 0, 1)]}, ValueError, r"affinities must have a channel per offset \(1\), got 3"),
        ({"normalise": "all"}, ValueError, 'normalise must be "pass", "pairs" or "none"'),
    ],
)
def test_errors(change, error, words):
    given = {"affinities": np.zeros((3, 2, 2, 2), "f4"), "target": np.zeros((3, 2, 2, 2), bool)} | change
    with pytest.raises(error, match=words):
        malis_weights(given.pop("affinities"), given.pop("target"), **given)
