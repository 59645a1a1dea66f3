from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emfast.metrics import cleft_score, partner_score

NONE, UNKNOWN = 2**64 - 1, 2**64 - 2


def test_clefts_by_hand():
    truth = np.array([[5, 0, 0, 0, 0, 9]], np.uint64)
    labels = np.array([[0, 3, 0, 3, 0, 0]], np.uint64)
    found = cleft_score(truth, labels, spacing=(10, 150))
    # predicted voxels are 1 and 2 steps from true ones, true ones 1 and 2 from predicted ones
    assert (found.adgt, found.adf, found.score) == (225, 225, 225)
    assert (found.false_positives, found.false_negatives) == (1, 1)
    assert cleft_score(truth, labels, spacing=(10, 150), tolerance=300).false_positives == 0
    assert cleft_score(truth, labels, spacing=(10, 150), tolerance=299).false_negatives == 1


def test_conventions_of_cremi():
    truth = np.array([[NONE, 4, NONE, UNKNOWN, NONE]], np.uint64)
    labels = np.array([[8, NONE, NONE, 8, NONE]], np.uint64)
    found = cleft_score(truth, labels, spacing=(10, 100), convention="cremi")
    assert (found.adgt, found.adf) == (100, 100)  # the predicted voxel in the unknown does not count
    same = cleft_score(truth.astype(np.int64), labels, spacing=(10, 100), convention="cremi")
    assert same.score == found.score
    plain = cleft_score(truth == 4, (labels == 8) & (truth != UNKNOWN), spacing=(10, 100))
    assert plain[:4] == found[:4]


def test_no_clefts():
    none, some = np.zeros((2, 3), int), np.ones((2, 3), int)
    found = cleft_score(none, some)
    assert found.adgt == math.inf and math.isnan(found.adf) and found[2:4] == (6, 0)
    assert math.isnan(cleft_score(none, none).score)
    assert cleft_score(some, some)[:4] == (0, 0, 0, 0)


@given(seed=st.integers(0, 2**32 - 1), tolerance=st.sampled_from([0, 8, 60]))
def test_clefts_as_by_scipy(seed, tolerance):
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(seed)
    truth, labels = (rng.random((3, 5, 6)) < p for p in (0.1, 0.2))
    spacing = (40, 4, 4)
    found = cleft_score(truth, labels, tolerance=tolerance, spacing=spacing)
    for mine, other, mean, false in (
        (labels, truth, found.adgt, found.false_positives),
        (truth, labels, found.adf, found.false_negatives),
    ):
        if mine.any() and other.any():
            distances = ndimage.distance_transform_edt(~other, sampling=spacing)[mine]
            assert mean == pytest.approx(distances.mean()) and false == (distances > tolerance).sum()


def best(costs, threshold):
    """The matching with the largest sum of gains, by trying all."""
    n, m = costs.shape
    gains = np.where(costs <= threshold, 2 * threshold - costs, 0)
    if n > m:
        return best(costs.T, threshold)
    return max(sum(gains[i, j] for i, j in enumerate(chosen)) for chosen in itertools.permutations(range(m), n))


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), m=st.integers(1, 5), by_segment=st.booleans())
def test_partners_are_matched_best(seed, n, m, by_segment):
    rng = np.random.default_rng(seed)
    truth, found = (rng.integers(0, 30, (k, 2, 3)) * 10.0 for k in (n, m))
    segments = tuple(rng.integers(1, 3, (k, 2)) for k in (n, m)) if by_segment else None
    threshold = 200.0
    score = partner_score(truth, found, segments=segments, threshold=threshold)
    apart = np.sqrt(((truth[:, None] - found[None]) ** 2).sum(axis=3))
    costs = np.where((apart <= threshold).all(axis=2), apart.mean(axis=2), math.inf)
    if by_segment:
        costs[(segments[0][:, None] != segments[1][None]).any(axis=2)] = math.inf
    rows, columns = score.matches.T
    assert len(set(rows)) == len(set(columns)) == score.true_positives == len(rows)
    assert np.array_equal(score.costs, costs[rows, columns])
    assert np.sum(2 * threshold - score.costs) == pytest.approx(best(costs, threshold), abs=1e-6)
    assert (score.false_positives, score.false_negatives) == (m - len(rows), n - len(rows))
    assert score.f1 == 2 * len(rows) / (n + m)
    if score.precision + score.recall > 0:
        harmonic = 2 * score.precision * score.recall / (score.precision + score.recall)
        assert score.f1 == pytest.approx(harmonic)
    back = partner_score(found, truth, segments=segments and segments[::-1], threshold=threshold)
    assert back.true_positives == score.true_positives and back.costs.sum() == pytest.approx(score.costs.sum())


def test_partners_like_cremi():
    """The threshold is inclusive, both ends must be near, and a near pair in other neurons does not match."""
    truth = np.array([[[0, 0, 0], [0, 0, 400]]])
    for found, segments, matched in (
        ([[[0, 0, 400], [0, 0, 800]]], None, 1),
        ([[[0, 0, 401], [0, 0, 400]]], None, 0),
        ([[[0, 0, 400], [0, 0, 801]]], None, 0),
        ([[[0, 0, 0], [0, 0, 400]]], ([[1, 2]], [[1, 3]]), 0),
        ([[[0, 0, 0], [0, 0, 400]]], ([[1, 2]], [[2, 1]]), 0),
        ([[[0, 0, 0], [0, 0, 400]]], ([[1, 2]], [[1, 2]]), 1),
    ):
        assert partner_score(truth, found, segments=segments).true_positives == matched


def test_no_partners():
    some, none = np.zeros((2, 2, 3)), np.zeros((0, 2, 3))
    assert partner_score(some, none).f1 == 0 and math.isnan(partner_score(some, none).precision)
    assert partner_score(none, some).false_positives == 2
    assert math.isnan(partner_score(none, []).f1)


def test_errors():
    a = np.zeros((3, 4), int)
    cases = [
        (lambda: cleft_score(a, a.T), r"labels must have the shape of truth \(3, 4\), got \(4, 3\)"),
        (lambda: cleft_score(a, a, convention="isbi"), "convention must be zero or cremi, got 'isbi'"),
        (lambda: partner_score(np.zeros((2, 3)), []), r"truth must be \(n, 2, 3\) finite places, got shape \(2, 3\)"),
        (lambda: partner_score([], [], threshold=0), "threshold must be positive and finite, got 0"),
        (
            lambda: partner_score(np.zeros((1, 2, 3)), [], segments=([[1]], [])),
            r"segments of truth must have shape \(1, 2\), got \(1, 1\)",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
