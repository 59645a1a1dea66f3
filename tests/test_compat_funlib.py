from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emfast.compat import funlib_evaluate as funlib


def u64(values):
    return np.array(values, np.uint64)


def test_vectors_of_rand_voi():
    a, b = u64([[1, 1, 2, 2]] * 2), u64([[1, 1, 1, 2]] * 2)
    found = funlib.rand_voi(a, b)
    assert (found["rand_split"], found["rand_merge"]) == (0.75, 0.6)
    assert found["voi_split"] == 0.5 and found["voi_merge"] == pytest.approx(0.6887218755408672, abs=1e-15)
    b_truth, b_test = (
        u64([list(row) for row in rows.split("/")])
        for rows in ("011122/011122/033322/033300", "555077/055577/059977/099990")
    )
    found = funlib.rand_voi(b_truth, b_test, return_cluster_scores=True)
    assert found["voi_split"] == pytest.approx(0.4333482810989029, abs=1e-15)
    assert found["voi_merge"] == pytest.approx(0.2166741405494515, abs=1e-15)
    assert sum(found["voi_split_i"].values()) == pytest.approx(found["voi_split"])
    assert set(found["voi_split_i"]) == {1, 2, 3} and set(found["voi_merge_j"]) == {0, 5, 7, 9}


def test_values_of_funlibs_own_tests():
    a = u64([1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4])
    b = u64([3, 3, 3, 3, 4, 5, 6, 6, 5, 5, 5])
    found = funlib.rand_voi(a, b)
    expected = {
        "rand_split": 0.6363636363636364,
        "rand_merge": 0.5675675675675675,
        "voi_split": 0.6140806820148608,
        "voi_merge": 0.7272727272727271,
        "nvi_split": 0.2407837822280942,
        "nvi_merge": 0.2851668894867314,
        "nid": 0.3756069520269456,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-7)
    same = funlib.rand_voi(u64([1, 2, 3]), u64([4, 5, 6]))
    assert [same[name] for name in expected] == [1, 1, 0, 0, 0, 0, 0]
    nothing = funlib.rand_voi(u64([0, 0]), u64([1, 2]))
    assert nothing["voi_split"] == 0 and math.isnan(nothing["rand_split"])


def test_what_funlib_refuses():
    with pytest.raises(ValueError, match="truth must be uint64, got uint32"):
        funlib.rand_voi(np.ones(3, np.uint32), u64([1, 2, 3]))
    with pytest.raises(AssertionError, match=r"shapes of truth and test must match, got \(3,\) and \(1, 3\)"):
        funlib.rand_voi(u64([1, 2, 3]), u64([[1, 2, 3]]))
    with pytest.raises(RuntimeError, match="Unknown matching score size"):
        funlib.detection_scores(u64([1]), u64([1]), matching_score="size")
    with pytest.raises(NotImplementedError, match="minimum_cut"):
        funlib.split_graph()


@pytest.fixture
def skeletons():
    networkx = pytest.importorskip("networkx")
    graph = networkx.Graph()
    for k, (skeleton, x) in enumerate([(1, 0), (1, 10), (1, 20), (1, 30), (1, 40), (2, 0), (2, 10), (2, 20), (2, 30)]):
        graph.add_node(k, skeleton_id=skeleton, z=skeleton, y=0, x=x)
    for k, x in enumerate((0, 10, 20)):
        graph.add_node(9 + k, skeleton_id=7, z=7, y=0, x=x)
    graph.add_edges_from([(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8), (9, 10), (10, 11)])
    return graph


LUT = dict(enumerate([1, 1, 1, 2, 2, 3, 3, 0, 3, 2, 2, 2]))
ATTRIBUTES = ["z", "y", "x"]


def test_vector_of_run_length(skeletons):
    lengths = funlib.get_skeleton_lengths(skeletons, ATTRIBUTES, "skeleton_id", store_edge_length="length")
    assert lengths == {1: 40, 2: 30, 7: 20} and skeletons.edges[0, 1]["length"] == 10
    arguments = (skeletons, "skeleton_id", "length", LUT)
    erl = funlib.expected_run_length(*arguments, skeleton_lengths=lengths)
    assert erl == pytest.approx(50 / 9)
    again, stats = funlib.expected_run_length(
        *arguments, skeleton_position_attributes=ATTRIBUTES, return_merge_split_stats=True
    )
    assert again == erl
    assert stats == {"merge_stats": {2: [1, 7]}, "split_stats": {1: [(1, 2)]}}
    scores = funlib.evaluate_skeletons(skeletons, "skeleton_id", LUT)
    counts = {k: (s.correct, s.split, s.merged, s.ommitted) for k, s in scores.items()}
    assert counts == {1: (2, 1, 1, 0), 2: (1, 0, 0, 2), 7: (0, 0, 2, 0)}
    assert scores[1].correct_edges == {1: [(0, 1), (1, 2)]}
    with pytest.raises(ValueError, match="skeleton_lengths must not be given with skeleton_position_attributes"):
        funlib.expected_run_length(*arguments, skeleton_lengths=lengths, skeleton_position_attributes=ATTRIBUTES)
    with pytest.raises(ValueError, match="skeleton_lengths or skeleton_position_attributes must be given"):
        funlib.expected_run_length(*arguments)


@pytest.mark.parametrize(("score", "threshold"), [("overlap", 1), ("iou", 0.5), ("distance", 1.0)])
def test_detection_of_funlibs_own_tests(score, threshold):
    one, other = u64([0, 1, 1, 0]), u64([0, 1, 2, 1])
    for truth, test, size in ((one, other, None), (np.stack([one] * 2), np.stack([other] * 2), (10, 1))):
        found = funlib.detection_scores(truth, test, [1, 2], score, threshold, size)
        assert (found["fp"], found["fn"]) == (2, 0)
        assert [found[name] for name in ("fp_1", "fp_2", "fn_1", "fn_2")] == [1, 1, 0, 0]


def matched_by_scipy(truth, test, score, threshold):
    """funlib's matches, from dense matrices, of ids 1 to n."""
    solve = pytest.importorskip("scipy.optimize").linear_sum_assignment
    n, m = int(test.max()), int(truth.max())
    overlap = np.array([[((test == i) & (truth == j)).sum() for j in range(1, m + 1)] for i in range(1, n + 1)])
    union = np.array([[((test == i) | (truth == j)).sum() for j in range(1, m + 1)] for i in range(1, n + 1)])
    matrix = overlap if score == "overlap" else overlap / union
    total = [matrix[i, j] for i, j in zip(*solve(matrix, maximize=True), strict=True)]
    return sum(total), sum(value >= threshold for value in total)


@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["overlap", "iou"]))
def test_detection_is_the_best_matching(seed, score):
    rng = np.random.default_rng(seed)
    truth, test = (np.unique(rng.integers(0, 4, (4, 5)), return_inverse=True)[1].reshape(4, 5) + k for k in (0, 1))
    found = funlib.detection_scores(truth, test, matching_score=score, matching_threshold=1e-9, return_matches=True)
    total, _ = matched_by_scipy(truth, test, score, 1e-9)
    ours = sum(
        ((test == i) & (truth == j)).sum() / (1 if score == "overlap" else ((test == i) | (truth == j)).sum())
        for i, j in found["matches"]
    )
    assert ours == pytest.approx(total)
    assert found["tp"] + found["fp"] == test.max() and found["tp"] + found["fn"] == truth.max()
    if score == "iou" and found["tp"]:
        assert found["avg_iou"] == pytest.approx(total / found["tp"])


def test_distances_of_centers():
    truth, test = np.zeros((2, 6, 7), int)
    truth[0, 0], truth[5, 6], test[0, 1], test[5, 4] = 1, 2, 1, 2
    found = funlib.detection_scores(truth, test, None, "distance", 30, (20, 10), True)
    assert found["matches"] == [(1, 1), (2, 2)] and found["avg_distance"] == 15 and found["avg_iou"] == 0
    assert funlib.detection_scores(truth, test, None, "distance", 15, (20, 10))["tp"] == 1
    nothing = funlib.detection_scores(truth * 0, test, matching_score="distance")
    assert (nothing["tp"], nothing["fp"], nothing["fn"], nothing["avg_distance"]) == (0, 2, 0, 0)
