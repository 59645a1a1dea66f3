from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
import strategies
from emfast.metrics import (
    centerline_score,
    contingency,
    edits,
    section_components,
    thin_boundaries,
    tolerant_edits,
    warping,
)

TRUTH = np.ones((7, 9), int)
TRUTH[:, 4] = 0


def changed(where, value, base=TRUTH):
    out = base.copy()
    out[where] = value
    return out


def border_at(columns):
    return changed((slice(None), columns), 0, np.ones((7, 9), int))


# The prediction, its warping error in pixels of 63, and the V-Rand of its thinned segments.
VECTORS = [
    (changed((slice(2, 4), 4), 1), 2, 2 / 3),
    (changed((3, slice(0, 5)), 0), 1, 0.8139183055975794),
    (border_at([5]), 0, 0.88),
    (border_at([3, 4, 5]), 0, 1.0),
]


@pytest.mark.parametrize(("prediction", "left", "score"), VECTORS)
def test_vectors_of_warping(prediction, left, score):
    found = warping(TRUTH, prediction)
    assert found.left == left and found.error == left / 63 and found.voxels == 63
    assert found.mismatches == np.count_nonzero(prediction != TRUTH)
    assert (found.splits, found.mergers) == ((1, 0) if left == 1 else (0, 1) if left == 2 else (0, 0))
    assert float(f"{vrand(section_components(TRUTH), thin_boundaries(prediction)):.10f}") == float(f"{score:.10f}")


def vrand(truth, labels):
    """F of V-Rand where the truth is not 0, a voxel with label 0 being a segment of its own."""
    kept = truth != 0
    pairs = list(zip(truth[kept].tolist(), labels[kept].tolist(), strict=True))
    objects, segments, both = (Counter(part) for part in ([t for t, _ in pairs], [s for _, s in pairs], pairs))
    alone = segments.pop(0, 0)
    squares = sum(n * n for (_, s), n in both.items() if s) + alone
    return 2 * squares / (sum(n * n for n in objects.values()) + sum(n * n for n in segments.values()) + alone)


@st.composite
def predictions(draw, dims=(2, 3)):
    shape = draw(strategies.shapes(5, dims, 1))
    shape = tuple(min(n, 24) for n in shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.random(shape) < draw(st.sampled_from([0.3, 0.6, 0.9]))
    steps = draw(st.sampled_from([3, 256]))
    prediction = rng.integers(0, steps, shape) / (steps - 1)
    agree = rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    return truth, np.where(agree, truth, prediction)


@given(data=predictions(), threshold=st.sampled_from([0.5, 0.3]), per_section=st.booleans())
def test_warped_as_by_sweeps(backend, data, threshold, per_section):
    truth, prediction = data
    found = warping(truth, prediction, threshold=threshold, per_section=per_section)
    above = prediction > threshold
    places = np.flatnonzero(truth != above)
    order = sorted(places.tolist(), key=lambda i: (-abs(prediction.ravel()[i] - threshold), i))
    expected = oracles.warped(truth, above, order, per_section or truth.ndim == 2)
    assert np.array_equal(found.warped, expected)
    assert found.left == np.count_nonzero(expected != above) and found.mismatches == len(places)
    near = 6 if truth.ndim == 3 and not per_section else 4
    for section in range(len(truth)) if truth.ndim == 3 and per_section else [slice(None)]:
        parts = [
            emfast.connected_components(v[section] != 0, connectivity=near, return_count=True)[1]
            for v in (truth, found.warped)
        ]
        assert parts[0] == parts[1]  # no object comes or goes


@given(data=predictions((2,)))
def test_clusters(data):
    truth, prediction = data
    found = warping(truth, prediction)
    rest = (found.warped != 0) != (prediction > 0.5)
    clusters = sum(
        emfast.connected_components(rest & (found.warped == value), connectivity=8, return_count=True)[1]
        for value in (0, 1)
    )
    events = found.splits + found.mergers + found.objects_added + found.objects_deleted
    assert events + found.holes_added + found.holes_deleted == clusters
    stack = warping(np.stack([truth, truth]), np.stack([prediction, prediction]))
    assert stack.left == 2 * found.left and stack.splits == 2 * found.splits and stack.mergers == 2 * found.mergers
    assert stack.holes_added == 2 * found.holes_added and stack.holes_deleted == 2 * found.holes_deleted


def test_events_by_hand():
    plain = np.ones((9, 9), int)
    plain[4, :] = 0  # two objects
    frame = np.zeros((9, 9), int)
    frame[1:8, 1:8] = 1

    def events(truth, prediction):
        found = warping(truth, prediction)
        names = ("splits", "mergers", "objects_added", "objects_deleted", "holes_added", "holes_deleted")
        return {name: getattr(found, name) for name in names if getattr(found, name)}

    assert events(plain, changed((slice(None), 2), 0, plain)) == {"splits": 2}
    assert events(plain, changed((4, 6), 1, plain)) == {"mergers": 1}
    assert events(frame, changed((slice(3, 5), slice(3, 5)), 0, frame)) == {"holes_added": 1}
    assert events(changed((slice(3, 5), slice(3, 5)), 0, frame), frame) == {"holes_deleted": 1}
    ring = changed((slice(2, 7), slice(2, 7)), 0, frame)
    opened = changed((4, 1), 0, ring)
    assert events(opened, ring) == {"holes_added": 1}
    assert events(ring, opened) == {"holes_deleted": 1}
    lone = changed((4, 4), 1, ring)
    assert events(ring, lone) == {"objects_added": 1}
    assert events(lone, ring) == {"objects_deleted": 1}


def test_a_tunnel_in_a_volume():
    block = np.ones((5, 5, 5), int)
    bored = block.copy()
    bored[:, 2, 2] = 0
    assert warping(block, bored, per_section=False).left == 1  # all but one voxel of the tunnel is a dent
    assert warping(block, bored).holes_added == 5  # a hole in every section


def test_mask_and_types():
    bridge = VECTORS[0][0]
    outside = np.ones((7, 9), bool)
    outside[2:4] = False
    found = warping(TRUTH, bridge, mask=outside)
    assert (found.left, found.mismatches, found.voxels) == (0, 0, 45)
    values = np.where(bridge, 200, 90).astype(np.uint8)
    for same in (
        values,
        values / 255,
        (values / 255).astype(np.float32),
        (values / 255).astype(np.float16),
        bridge > 0,
    ):
        assert warping(TRUTH, same).left == 2
    assert warping(TRUTH, values, threshold=0.9).mismatches == np.count_nonzero(TRUTH)
    # 0.3 is above float32(0.3) in no float32
    third = np.full((1, 2), np.float32(0.3))
    assert warping(np.zeros((1, 2), int), third, threshold=0.3).mismatches == 2 * (float(np.float32(0.3)) > 0.3)
    nothing = warping(np.zeros((0, 3), int), np.zeros((0, 3)))
    assert math.isnan(nothing.error) and nothing.left == 0
    assert math.isnan(warping(TRUTH, bridge, mask=np.zeros((7, 9), bool)).error)


def test_thinned_stacks_are_sections():
    rng = np.random.default_rng(1)
    stack = rng.random((3, 20, 21)) < 0.7
    thin = thin_boundaries(stack)
    assert np.array_equal(thin[stack], section_components(stack)[stack])
    for z in range(3):
        alone = thin_boundaries(stack[z])
        assert np.array_equal(thin[z] > 0, alone > 0)
        assert len(contingency(thin[z], alone)) == len(np.unique(alone))
        for a, b in ((alone[1:], alone[:-1]), (alone[:, 1:], alone[:, :-1])):
            assert not ((a != b) & (a > 0) & (b > 0)).any()


def test_center_lines():
    truth = np.zeros((9, 40), bool)
    truth[3:6, 2:38] = True
    half = truth & (np.arange(40) < 20)
    lines = np.zeros_like(truth)
    lines[4, 3:37] = True
    found = centerline_score(truth, half, truth_lines=lines, label_lines=lines & half)
    assert found == (1, 17 / 34, 2 * 0.5 / 1.5)
    assert centerline_score(half, truth, truth_lines=lines & half, label_lines=lines)[:2] == found[1::-1]
    near = centerline_score(truth, half, truth_lines=lines, label_lines=lines & half, tolerance=40, spacing=(8, 8))
    assert near.recall == 22 / 34  # five voxels more
    assert centerline_score(truth, truth) == (1, 1, 1)
    own = centerline_score(truth, half, truth_lines=emfast.skeletonize(truth), label_lines=emfast.skeletonize(half))
    assert own == centerline_score(truth, half)
    none = np.zeros_like(truth)
    missing = centerline_score(truth, none)
    assert math.isnan(missing.precision) and missing[1:] == (0, 0)
    assert all(map(math.isnan, centerline_score(none, none)))
    apart = centerline_score(truth, ~truth, truth_lines=lines, label_lines=lines & False)
    assert apart.recall == apart.cl_dice == 0


@st.composite
def small_labels(draw):
    shape = draw(st.sampled_from([(1, 8), (2, 4), (1, 2, 4), (3, 3)]))
    cuts = [draw(st.lists(st.integers(0, 2), min_size=math.prod(shape), max_size=math.prod(shape))) for _ in range(2)]
    truth, labels = (np.sort(np.array(c)) if draw(st.booleans()) else np.array(c) for c in cuts)
    return truth.reshape(shape), labels.reshape(shape)


@given(data=small_labels(), tolerance=st.sampled_from([0, 1, 1.5, 4]), step=st.sampled_from([1, 2]))
def test_edits_are_a_bound(data, tolerance, step):
    truth, labels = data
    spacing = (step,) * truth.ndim
    ours = tolerant_edits(truth, labels, tolerance=tolerance, spacing=spacing)
    assert ours.splits + ours.merges <= oracles.tolerant_edit_distance(truth, labels, tolerance, spacing)
    plain = tolerant_edits(truth, labels)
    assert plain == edits(contingency(truth, labels))
    assert ours.splits <= plain.splits and ours.merges <= plain.merges
    assert plain.splits + plain.merges == oracles.tolerant_edit_distance(truth, labels, Fraction(0), spacing)
    swapped = edits(contingency(labels, truth))
    assert (swapped.splits, swapped.merges) == (plain.merges, plain.splits)


def test_edits_where_the_bound_is_reached():
    row = np.repeat([1, 2, 3], 5)[None]
    shifted = np.repeat([1, 2, 3], [7, 4, 4])[None]
    merged = np.repeat([4, 4, 3], [7, 4, 4])[None]
    for labels, tolerance, expected in ((shifted, 1, 2), (shifted, 2, 0), (merged, 0, 3), (merged, 1, 1)):
        found = tolerant_edits(row, labels, tolerance=tolerance)
        assert found.splits + found.merges == expected == oracles.tolerant_edit_distance(row, labels, tolerance, (1, 1))


def test_errors():
    a = np.zeros((3, 4), int)
    cases = [
        (lambda: warping(a, a.T), r"prediction must have the shape of truth \(3, 4\), got \(4, 3\)"),
        (lambda: warping(a, a, threshold=math.inf), "threshold must be finite, got inf"),
        (lambda: warping(a, a, mask=np.zeros((4, 3), bool)), "mask must have the shape of truth"),
        (lambda: warping(a + 1, np.full((3, 4), np.nan)), "prediction must not be NaN, but is at 0"),
        (lambda: centerline_score(a, a.T), "labels must have the shape of truth"),
        (lambda: centerline_score(a, a, tolerance=-1), "tolerance must be at least 0, got -1"),
        (lambda: centerline_score(a, a, truth_lines=a.T), r"truth_lines must have the shape of truth \(3, 4\)"),
        (lambda: tolerant_edits(a, a.T), "labels must have the shape of truth"),
        (lambda: tolerant_edits(a, a, tolerance=-2), "tolerance must be at least 0, got -2"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
