from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
import strategies
from emfast.metrics import (
    Directed,
    boundary_score,
    hausdorff_distance,
    object_distances,
    surface_dice,
    surface_distances,
)

SURFACES = ["voxels", "points", "cells"]
SPACINGS = [1, 2, 4.6, 30, 1000.003]  # the last one needs squares of 64 bits


def boxes():
    truth, labels = np.zeros((2, 12, 12, 12), bool)
    truth[2:7, 2:7, 2:7] = labels[2:7, 2:7, 4:10] = True
    return truth, labels


@st.composite
def pairs_of_masks(draw, max_side=6, dims=(2, 3)):
    shape = draw(strategies.shapes(max_side, dims, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b = (rng.random(shape) < draw(st.sampled_from([0.0, 0.05, 0.3, 0.8])) for _ in range(2))
    spacing = tuple(draw(st.lists(st.sampled_from(SPACINGS), min_size=len(shape), max_size=len(shape))))
    return a, b, spacing


def expected(a, b, spacing, surface, border):
    places = [oracles.surface_places(mask, surface, border) for mask in (a, b)]
    squares = [oracles.squares_between(places[k], places[1 - k], spacing) for k in (0, 1)]
    return [np.array(sorted(math.inf if s is None else float(s) ** 0.5 for s in side)) for side in squares]


def test_vectors_of_boxes():
    truth, labels = boxes()
    found = surface_distances(truth, labels)
    assert found.hausdorff() == 3
    assert found.mean() == pytest.approx(0.9858490566, abs=1e-10)
    assert found.mean("means") == pytest.approx(0.9710884354, abs=1e-10)
    assert found.mean("labels") == pytest.approx(1.1666666667, abs=1e-10)
    cells = surface_distances(truth, labels, surface="cells")
    assert cells.mean("truth") == pytest.approx(0.7229102966, abs=1e-10)
    assert cells.mean("labels") == pytest.approx(1.0699187212, abs=1e-10)
    assert cells.overlap(1).dice == surface_dice(truth, labels, tolerance=1) == pytest.approx(0.7051901838684336)
    stretched = surface_distances(truth, labels, spacing=(4, 1, 2))
    assert stretched.hausdorff() == hausdorff_distance(truth, labels, spacing=(4, 1, 2)) == 6
    assert stretched.mean() == pytest.approx(1.8962264151, abs=1e-10)
    assert stretched.mean("labels") == pytest.approx(2.2631578947, abs=1e-10)


@given(
    data=pairs_of_masks(5),
    surface=st.sampled_from(SURFACES),
    border=st.booleans(),
    dtype=st.sampled_from(["?", "u1", "i2", "u4", "u8"]),
)
def test_every_distance(backend, data, surface, border, dtype):
    a, b, spacing = data
    if a.size > 150:
        a, b = (m[..., :40] for m in data[:2])
    found = surface_distances(a.astype(dtype), b.astype("u1") * 255, spacing=spacing, surface=surface, border=border)
    for side, distances in zip(
        (found.from_truth, found.from_labels), expected(a, b, spacing, surface, border), strict=True
    ):
        assert side.places == len(distances)
        assert np.allclose(np.repeat(side.distances, side.counts), distances, rtol=1e-14)
        if surface != "cells":
            assert np.array_equal(side.weights, side.counts)


@given(data=pairs_of_masks(), surface=st.sampled_from(SURFACES), seed=st.integers(0, 9))
def test_laws(data, surface, seed):
    a, b, spacing = data
    ours = surface_distances(a, b, spacing=spacing, surface=surface)
    back = surface_distances(b, a, spacing=spacing, surface=surface)
    assert all(np.array_equal(x, y) for x, y in zip(ours.from_truth, back.from_labels, strict=True))
    same = surface_distances(a, a, spacing=spacing, surface=surface)
    if a.any():
        assert same.hausdorff() == same.mean() == 0 and same.overlap(0) == (1, 1, 1, 1)
    wider = surface_distances(a, b, spacing=tuple(4 * s for s in spacing), surface=surface)
    assert np.array_equal(wider.from_truth.distances, 4 * ours.from_truth.distances)
    # axes may be exchanged, and the volume be part of a larger one
    axes = np.random.default_rng(seed).permutation(a.ndim)
    turned = surface_distances(
        a.transpose(axes), b.transpose(axes), spacing=[spacing[k] for k in axes], surface=surface
    )
    assert np.allclose(turned.from_labels.distances, ours.from_labels.distances, rtol=1e-14)
    assert np.array_equal(turned.from_labels.counts, ours.from_labels.counts)
    assert np.allclose(turned.from_labels.weights, ours.from_labels.weights, rtol=1e-14)
    larger = surface_distances(np.pad(a, 2), np.pad(b, 2), spacing=spacing, surface=surface)
    # Spacings that a larger volume rounds to another grid may change the last digit.
    assert np.array_equal(ours.from_truth.counts, larger.from_truth.counts)
    assert all(np.allclose(x, y, rtol=1e-14, atol=0) for x, y in zip(ours.from_truth, larger.from_truth, strict=True))
    if a.any() and b.any():
        levels = [ours.hausdorff(q) for q in (0, 0.3, 0.95, 1)]
        assert levels == sorted(levels)
        assert max(ours.mean("truth"), ours.mean("labels")) == ours.mean("max") <= ours.hausdorff() * (1 + 1e-14)
        assert ours.overlap(ours.hausdorff()).dice == 1


@given(data=pairs_of_masks(), quantile=st.sampled_from([0, 0.1, 0.5, 0.95, 0.99, 1]))
def test_quantiles_are_numpys(data, quantile):
    a, b, spacing = data
    found = surface_distances(a, b, spacing=spacing)
    if not (a.any() and b.any()):
        return
    sides = [np.repeat(side.distances, side.counts) for side in (found.from_truth, found.from_labels)]
    assert found.hausdorff(quantile) == max(np.quantile(side, quantile) for side in sides)
    assert found.hausdorff(quantile, pooled=True) == np.quantile(np.concatenate(sides), quantile)
    assert found.mean() == pytest.approx(np.concatenate(sides).mean(), rel=1e-12)


def test_half_of_the_area_is_half_but_for_rounding():
    """Ten tenths add up to less than 1 in floats."""
    sides = Directed(np.arange(1.0, 12.0), np.ones(11, np.int64), np.array([0.1] * 10 + [1.0]))
    assert sides.quantile(0.5, weighted=True) == 10 and sides.quantile(0.51, weighted=True) == 11
    assert sides.quantile(0, weighted=True) == 1


def test_empty_masks():
    none, some = np.zeros((3, 4), bool), np.eye(3, 4, dtype=bool)
    for a, b in ((none, some), (some, none)):
        found = surface_distances(a, b)
        assert found.hausdorff() == found.hausdorff(0.5, pooled=True) == math.inf
        assert {found.mean(kind) for kind in ("pooled", "means", "max", "truth", "labels")} == {math.inf}
        assert found.overlap(5) == (0, 0, 0, 0)
        assert math.inf in found.from_truth.distances or math.inf in found.from_labels.distances
    found = surface_distances(none, none)
    assert math.isnan(found.hausdorff()) and math.isnan(found.mean()) and all(map(math.isnan, found.overlap(1)))
    for shape in ((0, 4), (2, 0, 3)):
        assert math.isnan(hausdorff_distance(np.zeros(shape, int), np.zeros(shape, int)))


@st.composite
def labelled(draw):
    shape = draw(strategies.shapes(9, (2, 3), 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = draw(st.sampled_from([3, 2**63 + 11]))
    pool = np.array([0, 1, 2, top], np.uint64)
    a, b = (pool[rng.integers(0, 4, shape)] for _ in range(2))
    spacing = tuple(draw(st.lists(st.sampled_from(SPACINGS), min_size=len(shape), max_size=len(shape))))
    return a, b, spacing, [1, 2, top, 7]


@given(data=labelled(), surface=st.sampled_from(SURFACES), border=st.booleans())
def test_objects_are_masks(data, surface, border):
    a, b, spacing, ids = data
    pairs = np.array([(i, j) for i in ids for j in ids], np.uint64)[::-1]
    table = object_distances(
        a, b, pairs, spacing=spacing, quantiles=(0.5, 0.95), tolerance=2, surface=surface, border=border
    )
    assert [tuple(row) for row in zip(table.truth.tolist(), table.label.tolist(), strict=True)] == sorted(
        map(tuple, pairs.tolist())
    )
    for row in range(len(table)):
        i, j = table.truth[row], table.label[row]
        alone = surface_distances(a == i, b == j, spacing=spacing, surface=surface, border=border)
        ours = [table[name][row] for name in table.columns[2:]]
        theirs = [alone.hausdorff(), alone.hausdorff(0.5), alone.hausdorff(0.95)]
        theirs += [alone.mean(), alone.mean("truth"), alone.mean("labels"), alone.overlap(2).dice]
        assert np.array_equal(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("density", [0.5, 0])
def test_large_pairs_are_shared_out(backend, threads, density):
    """A pair of this size is worked on by all threads; places are far from each other, many or few."""
    rng = np.random.default_rng(5)
    a, b = np.zeros((2, 82, 110, 120), bool)
    a[3:9, 4:9, 2:40], b[60:80, 90:109, 70:119] = True, rng.random((20, 19, 49)) < density
    b[81, 109, 119] = a[0, 0, 0] = True
    whole = surface_distances(a, b, spacing=(30, 8, 8))
    squares = expected_by_edt(a, b, (30, 8, 8))
    for side, wanted in zip((whole.from_truth, whole.from_labels), squares, strict=True):
        assert np.allclose(np.repeat(side.distances, side.counts), wanted, rtol=1e-6)
    parts = object_distances(a, b, [(1, 1)], spacing=(30, 8, 8))
    assert parts.hausdorff[0] == whole.hausdorff() and parts["mean"][0] == whole.mean()


def expected_by_edt(a, b, spacing):
    edges = [emfast.boundaries(np.pad(mask, 1), mode="inner")[(slice(1, -1),) * mask.ndim] for mask in (a, b)]
    return [np.sort(emfast.edt(~other, spacing=spacing)[mine]) for mine, other in ((edges[0], edges[1]), edges[::-1])]


def test_boundaries_of_labels():
    a = np.array([[1, 1, 1, 2, 2, 2, 0, 0]])
    b = np.array([[1, 1, 2, 2, 2, 2, 2, 0]])
    # boundary voxels at 2, 3, 5 and at 1, 2, 6
    exact = boundary_score(a, b, tolerance=0)
    assert exact == (1 / 3, 1 / 3, 1 / 3, 1 / 3)
    assert boundary_score(a, b, tolerance=4, spacing=(4, 4)) == (1, 1, 1, 1)
    assert boundary_score(a, b, tolerance=3.9, spacing=(4, 4)) == exact


def test_as_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(3)
    for shape in ((9, 11), (5, 6, 7)):
        for _ in range(20):
            a, b = (rng.random(shape) < 0.2 for _ in range(2))
            assert hausdorff_distance(a, b, surface="points") == pytest.approx(metrics.hausdorff_distance(a, b))
            modified = metrics.hausdorff_distance(a, b, method="modified")
            assert surface_distances(a, b, surface="points").mean("max") == pytest.approx(modified)


def test_as_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    rng = np.random.default_rng(4)
    a, b = (rng.random((6, 7, 8)) < 0.1 for _ in range(2))
    spacing = np.array([30, 4.6, 4.6])
    one_way = distance.directed_hausdorff(np.argwhere(a) * spacing, np.argwhere(b) * spacing)[0]
    found = surface_distances(a, b, spacing=spacing, surface="points").from_truth
    assert found.distances[-1] == pytest.approx(one_way)


def test_cells_of_a_box():
    """Of a box of 4 x 3 x 2 voxels the faces are drawn whole up to half a voxel from their rims, which are cut off."""
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6, 2:5, 2:4] = True
    z, y, x = 30.0, 8.0, 4.0
    found = surface_distances(mask, mask, spacing=(z, y, x), surface="cells").from_truth.weights.sum()
    faces = 2 * (2 * 1 * y * x + 3 * 1 * z * x + 3 * 2 * z * y)
    rims = 4 * (3 * z * math.hypot(y, x) + 2 * y * math.hypot(z, x) + 1 * x * math.hypot(z, y)) / 2
    corners = 8 * math.sqrt((y * x) ** 2 + (z * x) ** 2 + (z * y) ** 2) / 8
    assert found == pytest.approx(faces + rims + corners)


def test_errors():
    a = np.zeros((4, 5), int)
    cases = [
        (ValueError, lambda: surface_distances(a, a.T), r"labels must have the shape of truth \(4, 5\), got \(5, 4\)"),
        (ValueError, lambda: surface_distances(a, a, surface="skin"), "surface must be one of voxels, points, cells"),
        (ValueError, lambda: surface_distances(a, a, spacing=(1, 2, 3)), "spacing must have one number per axis"),
        (ValueError, lambda: surface_distances(a, a).hausdorff(95), "quantile must be from 0 to 1, got 95"),
        (ValueError, lambda: surface_distances(a, a).mean("median"), "kind must be pooled, means"),
        (ValueError, lambda: surface_dice(a, a, tolerance=-1), "tolerance must be at least 0, got -1"),
        (ValueError, lambda: object_distances(a, a, [1, 2, 3]), r"pairs must be \(n, 2\) integers, got int64"),
        (TypeError, lambda: surface_distances(a * 0.5, a), "truth must be an array of bool, signed integers"),
    ]  # fmt: skip
    for kind, call, message in cases:
        with pytest.raises(kind, match=message):
            call()


@pytest.mark.parametrize(
    "dtype, stranger", [(np.uint8, 257), (np.int64, 2**64 - 1), (np.int64, 2**63), (np.uint64, 2**64 - 1), (bool, 257)]
)
def test_ids_that_cannot_occur_are_empty(backend, dtype, stranger):
    """They are nobody else: 257 is not 1, and 2**64 - 1 is not -1."""
    a = np.array([[1, 1, 0, 0]]) if np.dtype(dtype).kind != "i" else np.array([[-1, -1, 0, 0]])
    volumes = [backend(volume) for volume in (a.astype(dtype), np.array([[0, 1, 1, 0]]))]
    table = object_distances(*volumes, [(stranger, 1)])
    assert table.truth.tolist() == [stranger] and table.hausdorff.tolist() == [np.inf]
    assert np.isnan(object_distances(*volumes, [(stranger, 9)])["mean"]).all()


def test_all_ids_occur():
    a = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with pytest.raises(ValueError, match="pairs must hold ids of uint8, all of which occur, got 300"):
        object_distances(a, a, [(3, 3), (300, 4)])
