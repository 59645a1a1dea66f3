"""What networks are to say of labels. Laws for every target: a crop says what the whole says, and what is unknown is of
no account; then the values of each."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import _settings, targets
from emfast.targets import (
    Affinities,
    Centre,
    CentreLine,
    Contour,
    Instances,
    Membrane,
    Ovality,
    Semantic,
    Shape,
    SignedDistance,
)

SPACING = (3.0, 1.0, 1.5)
LONG = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, -3), (2, -1, 0))

TARGETS = [
    Semantic(),
    Semantic(2, background=True),
    Semantic(groups=((1, 3), (3,))),
    Membrane((2.0, 4.0, 0.0)),
    Membrane((5.0,), "nm", background=False),
    Membrane(per_section=True),
    Contour(),
    Contour(3.1, 0.0, "nm"),
    Contour(per_section=True),
    SignedDistance(1.5, 2.0),
    SignedDistance(1.5, 2.0, classes=2),
    SignedDistance(1.5, 2.0, groups=((1, 2), (3,)), per_section=True),
    SignedDistance(1.5, 2.0, instances=False),
    Affinities(),
    Affinities(LONG),
    Affinities(LONG, border=1.0),
    Affinities(border=1.5, per_section=True),
    Centre(4.0, sigma=2.0),
    Centre(4.0, per_section=False, sigma=2.0),
    Ovality(3.0),
    Ovality(4.0, per_section=False),
    CentreLine(2.0, 2.5),
    CentreLine(2.0, 2.5, per_section=True),
    Shape(1.5, 2.0),
    Shape(1.5, 2.0, per_section=True),
]
EVERY = pytest.mark.parametrize("target", TARGETS, ids=repr)


def volume(rng, shape):
    """Objects a few voxels wide, and a mask with few unknown voxels."""
    coarse = rng.integers(0, 4, [-(-n // 2) for n in shape])
    labels = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[tuple(map(slice, shape))]
    speckled = np.where(rng.random(shape) < 0.03, rng.integers(0, 4, shape), labels).astype(np.uint32)
    return speckled, rng.random(shape) > rng.choice([0.0, 0.002, 0.01])


def what_counts(made):
    values, weights = made
    return np.where(weights > 0, values, 0), np.broadcast_to(weights, values.shape)


@EVERY
def test_names_shapes_and_types(target):
    labels, mask = volume(np.random.default_rng(0), (3, 5, 6))
    for known in (None, mask):
        values, weights = target.make(labels, known, spacing=SPACING)
        assert values.dtype == weights.dtype == np.float32
        assert values.shape == (target.channels, 3, 5, 6) == (len(set(target.names)), 3, 5, 6)
        assert weights.shape in (values.shape, (1, 3, 5, 6))
        assert np.isfinite(values).all()
        assert set(np.unique(weights)) <= {0, 1}
    empty, _ = target.make(labels[:, :, :0], spacing=SPACING)
    assert empty.shape == (target.channels, 3, 5, 0)
    assert _settings.from_dict(targets.Target, _settings.to_dict(target)) == target


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_a_crop_with_its_margin_says_what_the_whole_says(target, seed):
    rng = np.random.default_rng(seed)
    margin = target.margin(SPACING)
    inner = rng.integers(1, (3, 5, 5))
    corner = rng.integers(0, 4, 3)
    sides = inner + 2 * np.array(margin) + corner + rng.integers(0, 4, 3)
    labels, mask = volume(rng, sides)
    box = tuple(slice(c, c + n + 2 * m) for c, n, m in zip(corner, inner, margin, strict=True))
    middle = (slice(None), *(slice(m, m + n) for n, m in zip(inner, margin, strict=True)))
    there = (slice(None), *(slice(b.start + m, b.start + m + n) for b, n, m in zip(box, inner, margin, strict=True)))
    made = target.make(labels, mask, spacing=SPACING)
    for a, b in zip(made, target.make_inner(labels, mask, spacing=SPACING, margin=(0, 1, 1)), strict=True):
        assert np.array_equal(a[:, :, 1:-1, 1:-1], b)
    whole = what_counts(made)
    part = what_counts(target.make(labels[box], mask[box], spacing=SPACING))
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a[there], b[middle])


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_unknown_changes_nothing_that_counts(target, seed):
    rng = np.random.default_rng(seed)
    labels, mask = volume(rng, rng.integers(1, (5, 10, 10)))
    other = np.where(mask, labels, rng.integers(0, 5, labels.shape)).astype(labels.dtype)
    first, second = (what_counts(target.make(array, mask, spacing=SPACING)) for array in (labels, other))
    assert np.array_equal(first[1], second[1])
    assert np.array_equal(first[0], second[0])
    assert not (first[1] * ~mask).any()


def in_reach(target, labels):
    """Where all of a voxel's object is near enough, for targets of whole objects."""
    if not isinstance(target, (Centre, Ovality)):
        return np.ones(labels.shape, bool)
    sections = [labels[z : z + 1] for z in range(len(labels))] if target.per_section else [labels]
    found = [emfast.connected_components(section, connectivity=26) for section in sections]
    inside = [np.zeros(parts.shape, bool) for parts in found]
    far = [math.ceil(target.reach / step) for step in SPACING]
    for parts, out in zip(found, inside, strict=True):
        for k in range(1, int(parts.max()) + 1):
            places = np.argwhere(parts == k)
            ways = np.maximum(places - places.min(0), places.max(0) - places)
            out[tuple(places.T)] = (ways <= far).all(1)
    return np.concatenate(inside) | (labels == 0)


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_where_nothing_unknown_is_within_the_margin_all_counts(target, seed):
    rng = np.random.default_rng(seed)
    margin = np.array(target.margin(SPACING))
    labels, mask = volume(rng, 2 * margin + rng.integers(2, (4, 5, 5)))
    mask[:] = True
    for _ in range(rng.integers(1, 4)):
        mask[tuple(rng.integers(mask.shape))] = False
    _, weights = target.make(labels, mask, spacing=SPACING)
    near = in_reach(target, labels)
    for place in itertools.product(*(range(m, n - m) for m, n in zip(margin, labels.shape, strict=True))):
        box = tuple(slice(p - m, p + m + 1) for p, m in zip(place, margin, strict=True))
        if mask[box].all() and near[place]:
            offsets = isinstance(target, Centre) and labels[place] == 0  # they count in objects alone
            assert weights[(slice(0, 1) if offsets else slice(None), *place)].all()


def clipped(target, labels):
    """For each channel what decides the value of a voxel: its distance to another label, as far as that matters."""
    if isinstance(target, Semantic):
        return target.make(labels)[0]
    if isinstance(target, Membrane):
        found = oracles.other_label_distance(labels, (1, 1, 1), False, target.background)
        return np.stack([np.minimum(found, thickness / 2) for thickness in target.thickness])
    found = oracles.other_label_distance(labels, (1, 1, 1), False, False)
    if isinstance(target, Contour):
        return np.minimum(found, np.where(labels != 0, target.inner, target.outer))[None]
    return np.minimum(found, target.scale * target.clip)[None]


@pytest.mark.parametrize(
    "target",
    [
        Semantic(),
        Semantic(2, background=True),
        Membrane((2.0, 4.0, 0.0)),
        Membrane((3.0,), background=False),
        Contour(),
        Contour(1.0, 3.0),
        Contour(0.0, 2.0),
        SignedDistance(1.0, 2.0),
    ],
    ids=repr,
)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_does_not_count_would_change_with_what_is_unknown(target, seed):
    """Of all labels the unknown voxels may have. A boundary just as far as an unknown voxel is not told from that."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (1, 2, 6)).repeat(rng.integers(1, 3), 2)
    mask = np.ones(labels.shape, bool)
    places = [tuple(rng.integers(labels.shape)) for _ in range(2)]
    for place in places:
        mask[place] = False
    first = clipped(target, labels)
    varies = np.zeros(first.shape, bool)
    for ids in itertools.product(range(4), repeat=2):
        other = labels.copy()
        for place, each in zip(places, ids, strict=True):
            other[place] = each
        varies |= clipped(target, other) != first
    to_unknown = np.sqrt(
        np.min([sum((a - p) ** 2 for a, p in zip(np.indices(labels.shape), place, strict=True)) for place in places], 0)
    )
    weights = np.broadcast_to(target.make(labels, mask)[1], first.shape)
    assert (weights[:, ~mask] == 0).all()
    assert not (weights[varies] != 0).any()
    assert (varies | (first == to_unknown))[(weights == 0) & mask].all()


@EVERY
def test_everything_known_is_no_mask(target):
    labels, _ = volume(np.random.default_rng(1), (4, 7, 7))
    for a, b in zip(
        target.make(labels, spacing=SPACING), target.make(labels, np.ones(labels.shape, bool), spacing=SPACING),
        strict=True,
    ):  # fmt: skip
        assert np.array_equal(a, b)


def test_semantic():
    labels = np.array([[[0, 1, 2, 3]]])
    assert Semantic().make(labels)[0].tolist() == [[[[0, 1, 1, 1]]]]
    assert Semantic(2).make(labels)[0].tolist() == [[[[0, 1, 0, 0]]], [[[0, 0, 1, 0]]]]
    made = Semantic(groups=((3, 1), (2,)), background=True)
    assert made.names == ("background", "class 1", "class 2")
    assert made.make(labels)[0].tolist() == [[[[1, 0, 0, 0]]], [[[0, 1, 0, 1]]], [[[0, 0, 1, 0]]]]
    assert (Semantic(2, background=True).make(labels)[0].sum(0) == 1).all()


@given(seed=st.integers(0, 2**32 - 1), per_section=st.booleans())
def test_borders_are_distances(seed, per_section):
    rng = np.random.default_rng(seed)
    labels, _ = volume(rng, rng.integers(1, (4, 6, 6)))

    def far(background, spacing=SPACING):
        return oracles.other_label_distance(labels, spacing, per_section, background)[None]

    made = Membrane((3.0, 4.2), "nm", per_section=per_section).make(labels, spacing=SPACING)[0]
    assert np.array_equal(made, np.concatenate([far(True) <= 1.5, far(True) <= 2.1]))
    made = Membrane((2.0,), background=False, per_section=per_section).make(labels, spacing=SPACING)[0]
    assert np.array_equal(made, far(False, (1, 1, 1)) <= 1)
    made = Contour(2.0, 1.0, per_section=per_section).make(labels, spacing=SPACING)[0]
    assert np.array_equal(made, far(False, (1, 1, 1)) <= np.where(labels != 0, 2, 1))
    made = SignedDistance(2.0, 1.5, per_section=per_section).make(labels, spacing=SPACING)[0]
    signed = np.where(labels != 0, 1, -1) * np.minimum(far(False), 3.0)
    assert np.allclose(made, np.tanh(signed / 2.0), rtol=0, atol=1e-6)
    made = SignedDistance(2.0, 1.5, classes=2, per_section=per_section).make(labels, spacing=SPACING)[0]
    for k in (1, 2):
        own = SignedDistance(2.0, 1.5, instances=False, per_section=per_section).make(labels == k, spacing=SPACING)[0]
        assert np.array_equal(made[k - 1 : k], own)


def test_a_distance_counts_up_to_where_something_is_unknown():
    labels = np.array([[[0, 1, 1, 1, 1, 1, 1, 1]]])
    mask = np.array([[[1, 1, 1, 1, 1, 1, 1, 0]]], bool)
    values, weights = SignedDistance(1.0, 2.0).make(labels, mask)
    # The fifth voxel is 4 from the boundary and 3 from what is unknown, both beyond the reach of 2. The sixth is 2
    # from it: that could be a boundary. The first and second see one before anything unknown.
    assert weights.ravel().tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert np.allclose(values.ravel()[:5], np.tanh([-1, 1, 2, 2, 2]))


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["?", "u1", "i2", "u4", "i8"]))
def test_affinities_are_those_of_the_library(backend, seed, dtype):
    rng = np.random.default_rng(seed)
    labels, mask = volume(rng, rng.integers(1, (4, 7, 7)))
    labels = labels.astype(dtype)
    margin = [int(rng.integers(0, n // 2 + 1)) for n in labels.shape]
    box = (slice(None), *(slice(m, n - m) for m, n in zip(margin, labels.shape, strict=True)))
    for known in (None, mask):
        values, weights = Affinities(LONG).make_inner(labels, known, margin=margin)
        expected, valid = oracles.affinities(labels, LONG, mask=known)[:2]
        assert np.array_equal(values, np.asarray(expected)[box] != 0)
        assert np.array_equal(weights, np.asarray(valid)[box])
    assert Affinities(LONG).margin(SPACING) == (2, 1, 3)


@pytest.mark.parametrize("per_section", [False, True])
@given(seed=st.integers(0, 2**32 - 1), border=st.sampled_from([1.0, 1.5, 2.0]))
def test_affinities_end_before_the_border_of_an_object(per_section, seed, border):
    rng = np.random.default_rng(seed)
    labels = volume(rng, rng.integers(1, (4, 8, 8)))[0].repeat(2, 1).repeat(2, 2)
    inner = labels * (oracles.other_label_distance(labels, (1, 1, 1), per_section, True) > border)
    for a, b in zip(Affinities(LONG, border, per_section).make(labels), Affinities(LONG).make(inner), strict=True):
        assert np.array_equal(a, b)


def test_instances_are_numbers():
    values, weights = Instances().make(np.array([[[7, 0, 2**40, 7]]]))
    assert values.tolist() == [[[[1, 0, 2, 1]]]]
    assert weights.tolist() == [[[[1, 1, 1, 1]]]]


@pytest.mark.parametrize("per_section", [True, False])
def test_centres(per_section):
    labels = np.zeros((2, 7, 9), np.uint8)
    labels[:, 1:4, 2:7] = 5  # centroid at y 2, x 4, between the sections
    labels[1, 6, 8] = 5  # another part
    target = Centre(20.0, per_section, 3.0)
    values, weights = target.make(labels, spacing=(4, 1, 2))
    assert (weights[1:] == (labels != 0)).all() and weights[0].all()
    z, y, x = np.nonzero(labels)
    alone = y == 6
    ways = [0.5 - z, 2 - y, 4 - x]
    ways = [np.where(alone, 0, way) for way in (ways[1:] if per_section else ways)]
    assert np.allclose(values[1:, z, y, x], ways)
    nm = (1, 2) if per_section else (4, 1, 2)
    squares = sum((way * step) ** 2 for way, step in zip(ways, nm, strict=True))
    assert np.allclose(values[0, z, y, x], np.exp(-squares / 18))
    assert not values[:, labels == 0].any()
    section = emfast.segmentation.centre_offset(
        Centre(20.0, True, 3.0).make(labels)[0][0, 0], Centre(20.0, True, 3.0).make(labels)[0][1:, 0], threshold=0.9,
        mask=labels[0] != 0,
    )  # fmt: skip
    assert np.array_equal(section != 0, labels[0] != 0)


def test_objects_count_where_all_of_them_is_in_reach():
    labels = np.ones((1, 1, 7), np.uint8)
    assert Centre(4.0).make(labels)[1][0].ravel().tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert Centre(3.0).make(labels)[1][0].ravel().tolist() == [0, 0, 0, 1, 0, 0, 0]
    mask = np.ones((1, 3, 9), bool)
    mask[0, 0, 8] = False
    apart = np.zeros((1, 3, 9), np.uint8)
    apart[0, 1, 2:4] = apart[0, 1, 7] = 1  # the second touches what is unknown by a corner
    weights = Ovality(9.0).make(apart, mask)[1]
    assert weights[0, 0, 1].tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 1]


def test_ovality():
    labels = np.zeros((1, 12, 30), np.uint8)
    labels[0, 1:5, 1:5] = 1  # a square
    labels[0, 1:5, 8:24] = 2  # four times as long
    labels[0, 8, 8] = 3  # a voxel
    round_, long = Ovality(100.0).make(labels)[0]
    # The variance of n voxels in a row, with that of a voxel's extent, is n^2 / 12: the ratio is that of the sides.
    assert np.allclose(round_[labels == 1], 1) and np.allclose(round_[labels == 3], 1)
    assert np.allclose(round_[labels == 2], 0.25)
    assert np.allclose((round_ + long)[labels != 0], 1)
    assert not (round_ + long)[labels == 0].any()
    # Voxels twice as long along x: the same object is half as round.
    assert np.allclose(Ovality(100.0).make(labels, spacing=(1, 1, 2))[0][0][labels == 2], 0.125)


def test_centre_lines():
    labels = np.zeros((1, 14, 40), np.uint8)
    labels[0, 1:8, :] = 1  # seven wide: its middle is y = 4
    labels[0, 8:13, :] = 2  # beside it, five wide: y = 10
    values = CentreLine(3.0, 20.0).make(labels)[0][0, 0]
    across = [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0]
    assert np.allclose(values[:, 20], across)
    # What is deeper than the radius is all middle.
    assert np.allclose(CentreLine(3.0, 2.0).make(labels)[0][0, 0, :8, 20], [0, 2 / 3, 1, 1, 1, 1, 1, 2 / 3])


@pytest.mark.parametrize("radius", [5, 8, 12.5])
def test_the_centre_of_a_ball_is_near_its_middle(radius):
    """No lines go to where its surface is rough."""
    z, y, x = np.indices((29, 29, 29)) - 14
    away = np.sqrt(z**2 + y**2 + x**2)
    values = CentreLine(1.0, 20.0).make((away <= radius).astype(np.uint8))[0][0]
    assert values[14, 14, 14] == 1 and away[values > 0].max() <= 3


@pytest.mark.parametrize("per_section", [True, False])
@given(seed=st.integers(0, 2**32 - 1))
def test_shape_descriptors(backend, per_section, seed):
    rng = np.random.default_rng(seed)
    labels, _ = volume(rng, rng.integers(1, (4, 6, 7)))
    target = Shape(1.4, 2.2, per_section)
    made, _ = target.make(labels, spacing=SPACING)
    rows = targets._shape.weights_of(target.margin(SPACING), SPACING, target.sigma)
    scale = [step / target.sigma for step in SPACING]
    expected = oracles.shape_descriptors(labels, rows, scale, per_section)
    signed = np.array([name.startswith(("offset", "correlation")) for name in target.names])
    assert np.array_equal(made, np.where(signed[:, None, None, None] & (labels == 0), 0.5, expected))


def test_shape_descriptors_of_a_large_window(backend, threads):
    """Long runs, windows that are wider than the volume, labels in several parts."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, (3, 4, 5)).repeat(2, 1).repeat(9, 2)
    target = Shape(4.0)
    made, _ = target.make(labels)
    rows = targets._shape.weights_of(target.margin((1, 1, 1)), (1, 1, 1), 4.0)
    places = [tuple(map(int, p)) for p in rng.permutation(np.argwhere(labels))[:3]]
    expected = oracles.shape_descriptors(labels, rows, [1 / 4.0] * 3, places=places)
    for p in places:
        assert np.array_equal(made[(slice(None), *p)], expected[(slice(None), *p)])


def test_weights_are_as_fine_as_sums_allow():
    for radii, spacing, sigma in (
        ((8, 30, 30), (30, 8, 8), 80.0),
        ((0, 3, 3), (1, 1, 1), 1.0),
        ((0, 0, 0), (9,) * 3, 1.0),
    ):
        rows = targets._shape.weights_of(radii, spacing, sigma)
        bound = math.prod(map(sum, rows)) * max(1, *radii) ** 2
        assert 2**48 < bound < 2**53
        for row, step in zip(rows, spacing, strict=True):
            r = len(row) // 2
            ideal = np.exp(-((np.arange(-r, r + 1) * step / sigma) ** 2) / 2)
            assert np.abs(np.array(row) / sum(row) - ideal / ideal.sum()).max() < 1e-4


def test_margins():
    assert Membrane((5.0,), "nm").margin((30, 8, 8)) == (1, 1, 1)
    assert Membrane((5.0, 9.0)).margin((30, 8, 8)) == (5, 5, 5)
    assert SignedDistance(50.0).margin((40, 4, 4)) == (4, 38, 38)
    assert SignedDistance(50.0, per_section=True).margin((40, 4, 4)) == (0, 38, 38)
    assert Centre(100.0).margin((40, 10, 10)) == (0, 11, 11)
    assert CentreLine(100.0, 200.0, True).margin((40, 10, 10)) == (0, 31, 31)
    assert Shape(80.0).margin((30, 8, 8)) == (8, 30, 30)


def test_a_spacing_without_a_common_unit():
    """Squared distances are exact whatever the shape, so a crop is what the whole is."""
    spacing = (29.173925731, 8.0333333333, 7.9999912)
    labels, mask = volume(np.random.default_rng(5), (6, 30, 200))
    target = SignedDistance(6.0, 2.0)
    z, y, x = target.margin(spacing)
    whole, part = (
        target.make(labels, mask, spacing=spacing),
        target.make(labels[:, 5:15], mask[:, 5:15], spacing=spacing),
    )
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a[:, z : 6 - z, 5 + y : 15 - y, x:-x], b[:, z : 6 - z, y : 10 - y, x:-x])


def test_the_least_thickness_marks_where_objects_touch():
    """Along the finest axis, whatever the others are."""
    labels = np.array([[[1, 1, 2, 2]]]).repeat(2, 0).repeat(2, 1)
    values, _ = Membrane((16.0,), "nm").make(labels, spacing=(30, 8, 8))
    assert values[0].tolist() == [[[0, 1, 1, 0]] * 2] * 2
    assert Contour(8.0, 0.0, "nm").make(labels, spacing=(30, 8, 8))[0].tolist() == values.tolist()
    assert Membrane((0.0,)).make(labels)[0].sum() == 0


ONES = np.ones((2, 2, 2), int)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Semantic(0), "classes must be at least 1, got 0"),
        (
            lambda: Semantic(groups=((1,), (1, 2)), background=True),
            "groups must hold labels, with a background none twice",
        ),
        (lambda: Semantic(3, groups=((1,), (2,))), r"groups must be one per class \(3\), got 2"),
        (lambda: Membrane(()), "thickness must name at least one"),
        (lambda: Membrane((-1.0,)), "thickness must be at least 0, got -1"),
        (lambda: Membrane((0.0,), background=False), "thickness must be a positive number, got 0"),
        (lambda: Contour(0.0, 0.0), "inner and outer must not both be 0"),
        (lambda: Membrane((30.0,), unit="nanometre"), "unit must be one of voxel, nm, got 'nanometre'"),
        (lambda: Membrane((1.0,)).make(ONES), "thickness must be 0 or at least 2 voxel, got 1: less marks nothing"),
        (
            lambda: Membrane((30.0, 12.0), "nm").make(ONES, spacing=(30, 8, 8)),
            "thickness must be .* least 16 nm, got 12",
        ),
        (lambda: Membrane((30.0,), "nm", per_section=True).make(ONES, spacing=(8, 20, 20)), "at least 40 nm, got 30"),
        (lambda: Contour(inner=0.5).make(ONES), "inner must be 0 or at least 1 voxel, got 0.5"),
        (lambda: Contour(10.0, 6.0, "nm").make(ONES, spacing=(30, 8, 8)), "outer must be 0 or at least 8 nm, got 6"),
        (lambda: SignedDistance(0.0), "scale must be a positive number, got 0"),
        (lambda: SignedDistance(clip=math.inf), "clip must be a positive number, got inf"),
        (lambda: SignedDistance(groups=((),)), "groups must hold labels"),
        (lambda: Affinities(border=-1), "border must be at least 0, got -1"),
        (lambda: Affinities(border=0.5), "border must be 0 or at least 1 voxel, got 0.5: less marks nothing"),
        (lambda: Affinities(((0, 0, 0),)), "offsets must have 3 numbers each, not all 0"),
        (lambda: Centre(sigma=0.0), "sigma must be a positive number"),
        (lambda: Centre(0.0), "reach must be a positive number"),
        (lambda: CentreLine(radius=math.nan), "radius must be a number, got nan"),
        (lambda: Shape(cut=-1.0), "cut must be at least 0, got -1"),
        (lambda: Semantic().make(np.zeros((2, 2), int)), r"labels must be \(z, y, x\) integers or bool, got int64"),
        (lambda: Semantic().make(np.zeros((2, 2, 2))), r"labels must be \(z, y, x\) integers or bool, got float64"),
        (lambda: Contour().make(np.zeros((1, 2, 2), int), np.ones((2, 2), bool)), "mask must be bool of the shape"),
        (lambda: Contour().make(np.zeros((1, 2, 2), int), spacing=(1, 0, 1)), "spacing must be positive and finite"),
        (lambda: Affinities().make_inner(np.zeros((1, 2, 2), int), margin=(1, 0, 0)), "margin must leave something of"),
        (lambda: Shape(5000.0).make(np.ones((1, 2, 2), int)), "sigma must be smaller"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_every_target_is_tested():
    kinds = {type(target) for target in TARGETS} | {Instances}
    named = {getattr(targets, name) for name in targets.__all__} - {targets.Target}
    assert kinds == named
    assert all(dataclasses.is_dataclass(kind) for kind in kinds)
    assert len(set(itertools.chain(*(t.names for t in TARGETS)))) > 20
