from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast.metrics import SkeletonGraph, expected_run_length, ids_within, node_labels, skeleton_table, xpress


def collinear(*counts):
    """Skeletons along a line, a node every 10 nm, one 1000 nm from the next."""
    nodes = [[0.0, 0.0, 1000.0 * k + 10.0 * i] for k, n in enumerate(counts) for i in range(n)]
    starts = np.r_[0, np.cumsum(counts)]
    edges = [(a + i, a + i + 1) for a, n in zip(starts, counts, strict=False) for i in range(n - 1)]
    return SkeletonGraph(nodes, edges, np.repeat(np.arange(1, len(counts) + 1), counts))


THREE = collinear(5, 4, 3)
LABELS = [1, 1, 1, 2, 2, 3, 3, 0, 3, 2, 2, 2]


def test_vectors_of_skeletons():
    # lengths 40, 30, 20; segment 1 runs 20, segment 3 runs 10; segment 2 joins the first and the last skeleton
    runs = expected_run_length(THREE, LABELS)
    assert runs.erl == 500 / 90 and runs.best == 2900 / 90 and runs.nerl == (500 / 90) / (2900 / 90)
    assert expected_run_length(THREE, LABELS, merge_threshold=2).erl == 500 / 90
    assert expected_run_length(THREE, LABELS, merge_threshold=3).erl == 1000 / 90
    assert expected_run_length(THREE, LABELS, forbidden=[3]).erl == 400 / 90
    assert runs.merging.tolist() == [2]
    table = runs.skeletons
    assert table.skeleton.tolist() == [1, 2, 3] and table.length.tolist() == [40, 30, 20]
    assert table.erl.tolist() == [10, 100 / 30, 0]
    assert table.correct.tolist() == [20, 10, 0] and table.merged.tolist() == [10, 0, 20]
    assert table.split.tolist() == [10, 0, 0] and table.omitted.tolist() == [0, 20, 0]


def test_choices_by_hand():
    one = collinear(6)
    labels = [4, 4, 4, 0, 4, 4]  # runs of 20 and 10, two edges lost
    assert expected_run_length(one, labels).erl == 900 / 50
    assert expected_run_length(one, labels, pieces="apart").erl == 500 / 50
    assert expected_run_length(one, labels, pieces="first").erl == 400 / 50
    assert expected_run_length(one, labels, weights="labelled").erl == 900 / 30
    both = expected_run_length(one, labels, omitted="both").skeletons
    assert both.split.tolist() == [20] and both.omitted.tolist() == [0]


def test_vector_of_skeleton_voi():
    found = skeleton_table(THREE, LABELS).voi()
    assert found.split == pytest.approx(0.6749887891758228, abs=1e-15)
    assert found.merge == pytest.approx(0.4045627476894456, abs=1e-15)


def test_xpress():
    runs, table = expected_run_length(THREE, LABELS), skeleton_table(THREE, LABELS)
    # counts 3 and 2, 3 and 1, 3 of skeletons with 5, 4, 3 nodes and segments with 3, 5, 3, 1
    rand = (32 / 50 + 32 / 44) / 2
    found = xpress(runs, table)
    assert found.rand == pytest.approx(rand) and found.erl_rand == pytest.approx((rand + 5 / 29) / 2)
    information = table.normalised_voi()
    assert found.voi == pytest.approx(1 - (information.split + information.merge) / 2)
    assert xpress(expected_run_length(THREE, THREE.skeletons), skeleton_table(THREE, THREE.skeletons)) == (1, 1, 1, 1)


@st.composite
def graphs(draw):
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    skeletons = np.repeat(np.arange(len(counts)), counts)
    starts = np.r_[0, np.cumsum(counts)].tolist()
    edges, lengths = [], []
    for start, n in zip(starts, counts, strict=False):
        for i in range(1, n):
            edges.append((start + draw(st.integers(0, i - 1)), start + i))
            lengths.append(draw(st.integers(0, 9)))
    labels = draw(st.lists(st.integers(0, 4), min_size=len(skeletons), max_size=len(skeletons)))
    return np.zeros((len(skeletons), 3)), edges, skeletons, lengths, labels


@given(
    graph=graphs(),
    threshold=st.integers(1, 3),
    omitted=st.sampled_from(["either", "both"]),
    pieces=st.sampled_from(["summed", "apart", "first"]),
    weights=st.sampled_from(["length", "labelled"]),
    forbidden=st.lists(st.integers(0, 5), max_size=2),
    seed=st.integers(0, 99),
)
def test_as_the_definition(graph, threshold, omitted, pieces, weights, forbidden, seed):
    nodes, edges, skeletons, lengths, labels = graph
    options = dict(omitted=omitted, pieces=pieces, weights=weights, forbidden=forbidden)
    ours = expected_run_length(
        SkeletonGraph(nodes, edges, skeletons, lengths), labels, merge_threshold=threshold, **options
    )
    truth = oracles.expected_run_length(lengths, edges, skeletons.tolist(), labels, threshold, *options.values())
    assert ours.erl == float(truth)
    parts = [ours.skeletons[name] for name in ("correct", "split", "merged", "omitted")]
    assert np.array_equal(sum(parts), ours.skeletons.length)
    assert 0 <= ours.erl <= ours.best or weights == "labelled"
    # the order of edges and the names of segments are of no account
    order = np.random.default_rng(seed).permutation(len(edges))
    renamed = np.array([0, 70, 5, 2**63 + 1, 9, 8], np.uint64)
    if pieces == "first":
        return
    again = expected_run_length(
        SkeletonGraph(nodes, np.array(edges, int).reshape(-1, 2)[order], skeletons, np.array(lengths, float)[order]),
        renamed[labels],
        merge_threshold=threshold,
        **{**options, "forbidden": renamed[forbidden].tolist() if forbidden else []},
    )
    assert again.erl == ours.erl and again.skeletons.erl.tolist() == ours.skeletons.erl.tolist()


def test_perfect_and_empty():
    perfect = expected_run_length(THREE, THREE.skeletons)
    assert perfect.erl == perfect.best and perfect.nerl == 1
    assert expected_run_length(THREE, np.zeros(12, int)).erl == 0
    nothing = expected_run_length(SkeletonGraph(np.zeros((0, 3)), [], np.zeros(0, int)), [])
    assert nothing.erl == nothing.best == 0 and math.isnan(nothing.nerl) and len(nothing.skeletons) == 0


def test_own_skeletons():
    volume = np.zeros((3, 9, 60), np.uint16)
    volume[:, 1:4, 2:50], volume[:, 5:8, 2:58] = 3, 9
    lines = emfast.skeletonize(volume, spacing=(30, 10, 10))
    labels = node_labels(lines, volume)
    runs = expected_run_length(lines, labels)
    assert runs.erl == runs.best
    assert runs.skeletons.skeleton.tolist() == [3, 9]
    assert np.allclose(runs.skeletons.length, lines.lengths, rtol=1e-12)
    graph = SkeletonGraph.of(lines)
    assert np.array_equal(node_labels(graph, volume, spacing=(30, 10, 10)), labels)
    shifted = SkeletonGraph(graph.nodes + np.array([300.0, 0, 55.5]), graph.edges, graph.skeletons)
    assert np.array_equal(node_labels(shifted, volume, spacing=(30, 10, 10), offset=(300, 0, 55.5)), labels)
    table = skeleton_table(lines, labels)
    assert [part.tolist() for part in table.pairs[:2]] == [[3, 9], [3, 9]]


def test_ids_within():
    labels = np.array([[5, 5, 0], [7, 2**63, 7]], np.uint64)
    mask = np.array([[1, 0, 1], [1, 1, 1]], bool)
    assert ids_within(labels, mask).tolist() == [5, 7, 2**63]
    assert ids_within(labels, mask, more_than=1).tolist() == [7]
    with pytest.raises(ValueError, match=r"mask must have the shape of labels \(2, 3\), got \(3, 2\)"):
        ids_within(labels, mask.T)


def test_reference_values(shared_data):
    h5py = pytest.importorskip("h5py")
    path = shared_data / "metric_fixture_erl.h5"
    if not path.exists():
        pytest.skip("metric_fixture_erl.h5 is not here")
    expected = json.loads((shared_data / "expected_metrics.json").read_text())["metric_fixture_erl.h5"]
    with h5py.File(path) as file:
        nodes = file["skeletons/nodes"][:].astype(np.int64)
        edges = np.concatenate([file[f"skeletons/edges_{k}"][:] for k in (0, 1)])
        truth, prediction, forbidden = (file[name][:] for name in ("groundtruth", "prediction", "forbidden_mask"))
    graph = SkeletonGraph(nodes[:, 1:], edges[:, :2].astype(np.int64), nodes[:, 0], edges[:, 2])
    spacing = (30, 30, 30)
    at = {name: node_labels(graph, volume, spacing=spacing) for name, volume in (("t", truth), ("p", prediction))}
    found = {
        "groundtruth": expected_run_length(graph, at["t"]),
        "prediction": expected_run_length(graph, at["p"]),
        "prediction_with_forbidden_mask": expected_run_length(
            graph, at["p"], forbidden=ids_within(prediction, forbidden)
        ),
    }
    for name, runs in found.items():
        assert runs.erl == pytest.approx(expected[name], abs=1e-6)


def test_errors():
    cases = [
        (
            lambda: SkeletonGraph(np.zeros(3), [], [1]),
            r"nodes must be \(n, 2\) or \(n, 3\) positions, got shape \(3,\)",
        ),
        (lambda: SkeletonGraph(np.zeros((2, 3)), [(0, 2)], [1, 1]), "edges must name nodes from 0 to 1, got 0 to 2"),
        (lambda: SkeletonGraph(np.zeros((2, 3)), [0, 1], [1, 1]), r"edges must be \(m, 2\) integers"),
        (lambda: SkeletonGraph(np.zeros((2, 3)), [(0, 1)], [1, 2]), "edges must join nodes of one skeleton"),
        (lambda: SkeletonGraph(np.zeros((2, 3)), [(0, 1)], [1]), "skeletons must be one integer for each of 2 nodes"),
        (lambda: SkeletonGraph(np.zeros((2, 3)), [(0, 1)], [1, 1], [-1]), "edge_lengths must be 1 lengths"),
        (lambda: expected_run_length(THREE, [1, 2]), r"labels must be one integer for each of 12 nodes, got .* \(2,\)"),
        (lambda: expected_run_length(THREE, LABELS, omitted="none"), "omitted must be one of either, both, got 'none'"),
        (lambda: expected_run_length(THREE, LABELS, pieces="all"), "pieces must be one of summed, apart, first"),
        (lambda: expected_run_length(THREE, LABELS, weights="one"), "weights must be one of length, labelled"),
        (lambda: expected_run_length(THREE, LABELS, merge_threshold=0), "merge_threshold must be at least 1, got 0"),
        (
            lambda: node_labels(THREE, np.zeros((1, 1, 9), int)),
            r"labels must hold every node, but node 1 lies at voxel",
        ),
        (lambda: node_labels(THREE, np.zeros((1, 9), int)), "labels must have the 3 axes of the nodes, got 2"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype, stranger", [(np.int64, 2**64 - 1), (np.uint8, 2**70), (np.uint8, -1)])
def test_forbidden_ids_that_cannot_occur(dtype, stranger):
    labels = np.array(LABELS, dtype)
    assert expected_run_length(THREE, labels, forbidden=[stranger]).erl == expected_run_length(THREE, labels).erl
