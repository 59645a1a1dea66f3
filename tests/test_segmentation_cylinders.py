"""Tubes parted: drawn ones whose parts are known, and laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import segmentation
from emfast.segmentation import cylinders as module
from test_skeletons import thick


def tube(shape, start, end, radius):
    """Voxels within a radius of a segment."""
    a, b = np.array(start, float), np.array(end, float)
    p = np.moveaxis(np.indices(shape), 0, -1) - a
    t = np.clip(p @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return ((p - t[..., None] * (b - a)) ** 2).sum(-1) <= radius**2


def parted(backend, labels, **options):
    return backend.host(segmentation.split_cylinders(backend(labels), **options))


def purity(parts, truth):
    """The share of voxels of a truth that its largest part has."""
    return np.bincount(parts[truth]).max() / truth.sum()


def test_a_tube_stays_whole(backend):
    labels = tube((15, 15, 70), (7, 7, 4), (7, 7, 64), 4) | tube((15, 15, 70), (7, 7, 64), (11, 11, 66), 3)
    out = parted(backend, labels, const=15)
    assert np.array_equal(out, labels.astype(int))


def test_thin_and_thick_part_where_they_meet(backend):
    shape = (25, 25, 100)
    thin, wide = tube(shape, (12, 12, 4), (12, 12, 50), 3), tube(shape, (12, 12, 60), (12, 12, 92), 8)
    out = parted(backend, thin | wide, const=10)
    assert out.max() == 2
    x = np.indices(shape)[2]
    assert set(out[(thin | wide) & (x < 40)].tolist()) == {2}
    assert set(out[(thin | wide) & (x > 62)].tolist()) == {1}  # the first in C order
    assert parted(backend, thin | wide, const=10, ratio=20).max() == 1


def test_a_side_branch_is_a_part(backend):
    shape = (15, 60, 80)
    long, side = tube(shape, (7, 12, 4), (7, 12, 75), 4), tube(shape, (7, 12, 40), (7, 55, 40), 4)
    out = parted(backend, long | side, const=10, ratio=5)
    assert out.max() == 2
    assert purity(out, long) > 0.97
    assert purity(out, side & ~long) > 0.95
    assert parted(backend, long | side, const=10, ratio=5, below=10**6).max() == 2  # none is large: as it was
    between = int((out == 2).sum()) + 1
    assert parted(backend, long | side, const=10, ratio=5, below=between).max() == 1


def test_tubes_that_cross_go_straight_on(backend):
    shape = (15, 80, 80)
    one, two = tube(shape, (7, 40, 4), (7, 40, 75), 4), tube(shape, (7, 4, 40), (7, 75, 40), 4)
    out = parted(backend, one | two, const=10, ratio=5)
    for truth in (one & ~two, two & ~one):
        assert purity(out, truth) > 0.95
    assert np.bincount(out[one & ~two]).argmax() != np.bincount(out[two & ~one]).argmax()


@st.composite
def crossings(draw):
    """Thick lines of a few labels through a small volume, some of them bent, which cross."""
    shape = draw(st.sampled_from([(5, 14, 16), (9, 9, 12), (16, 18), (7, 30)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.zeros(shape, np.uint8)
    for _ in range(draw(st.integers(1, 4))):
        corners = rng.integers(0, shape, (3, len(shape)))
        for start, end in itertools.pairwise(corners):
            if (start != end).any():
                labels[tube(shape, start, end, rng.choice([0.5, 1, 1.5, 2.5]))] = rng.integers(1, 3)
    return labels


@given(
    labels=st.one_of(crossings(), thick()),
    ratio=st.sampled_from([1.2, 1.5, 3.0]),
    window=st.integers(1, 3),
    bend=st.sampled_from([20.0, 45.0, 90.0]),
    below=st.sampled_from([0, 5, 20]),
    spacing=st.sampled_from([(1, 1, 1), (30, 8, 10)]),
)
def test_split_cylinders_is_the_oracle(backend, labels, ratio, window, bend, below, spacing):
    spacing = spacing[-labels.ndim :]
    options = dict(ratio=ratio, window=window, bend=bend, below=below, const=spacing[-1], scale=1.0, spacing=spacing)
    out = backend.host(segmentation.split_cylinders(backend(labels), **options))
    names, lines = {None: 0}, emfast.skeletonize(labels, const=spacing[-1], scale=1.0, spacing=spacing)
    parts = {}
    for label in lines:
        voxels, parents, radii = lines[label].voxels, lines[label].parents.tolist(), lines[label].radii.tolist()
        inside, places = labels == label, list(map(tuple, voxels.tolist()))
        parts[label] = oracles.split_cylinders(inside, places, parents, radii, spacing, ratio, window, bend, below)
    for p, label in np.ndenumerate(labels):
        name = (label, parts[label][p]) if label else None
        assert out[p] == names.setdefault(name, len(names))


@given(data=st.data())
def test_paths_hold_every_vertex_once_and_turn_little(data):
    """Trees of random steps; joints of many branches."""
    n = data.draw(st.integers(1, 25))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    parents = [int(rng.integers(max(0, k - 4), k)) for k in range(1, n)]
    points = rng.permutation(1000)[: 3 * n].reshape(n, 3).astype(float)
    edges = [[p, k + 1] for k, p in enumerate(parents)]
    straight = data.draw(st.sampled_from([0.0, 0.5, 0.9]))
    paths = module._paths(points, edges, data.draw(st.integers(1, 3)), straight)
    assert sorted(v for path in paths for v in path) == list(range(n))
    degree = np.bincount(np.array(edges, int).ravel(), minlength=n)
    together = {v: k for k, path in enumerate(paths) for v in path}
    for a, b in edges:
        if degree[a] <= 2 and degree[b] <= 2:
            assert together[a] == together[b]
    # With a window of one vertex directions are those of edges: a joint goes with its straightest pair, if straight.
    together = {v: k for k, path in enumerate(module._paths(points, edges, 1, straight)) for v in path}
    for joint in np.flatnonzero(degree > 2).tolist():
        ways = [sum(edge) - joint for edge in edges if joint in edge]
        ahead = {w: (points[w] - points[joint]) / np.linalg.norm(points[w] - points[joint]) for w in ways}
        pairs = sorted((float(ahead[a] @ ahead[b]), a, b) for k, a in enumerate(ways) for b in ways[k + 1 :])
        cosine, *pair = pairs[0]
        if abs(cosine + straight) < 1e-9 or pairs[1][0] - cosine < 1e-9:
            continue
        for way in ways:
            if degree[way] <= 2:
                assert (together[way] == together[joint]) == (cosine < -straight and way in pair) or (
                    cosine > -straight and way == ways[0]
                )


@given(labels=thick(), ratio=st.sampled_from([1.3, 3.0]), window=st.integers(1, 3))
def test_parts_are_parts(backend, labels, ratio, window):
    """Each part lies in one label and everything labelled is in a part; labels alone are parted alike."""
    options = dict(const=1.0, ratio=ratio, window=window)
    out = parted(backend, labels, **options)
    assert np.array_equal(out != 0, labels != 0)
    assert len({(a, b) for a, b in zip(out.ravel().tolist(), labels.ravel().tolist(), strict=True) if a}) == out.max()
    for label in np.unique(labels[labels != 0]):
        inside = labels == label
        if inside.all():
            continue
        alone = parted(backend, inside, **options)
        assert np.array_equal(alone[inside], emfast.renumber(np.where(inside, out, 0))[0][inside])


def test_sections_are_compared_over_windows():
    points = np.stack([np.arange(12.0), np.zeros(12)], axis=1)
    sizes, radii = np.array([4] * 6 + [12] * 6), np.zeros(12)
    assert module._cuts(points, radii, sizes, 2.9, 2) == [6]
    assert module._cuts(points, radii, sizes, 3.1, 2) == []
    assert module._cuts(points, radii, sizes[::-1], 2.0, 4) == [6]
    assert module._cuts(points, radii + 4, sizes, 2.9, 2) == [6]  # the windows are 4 away from both ends
    assert module._cuts(points, radii + 4.5, sizes, 1.1, 2) == []
    assert module._cuts(points[:3], radii[:3], sizes[:3], 1.1, 2) == []


def test_errors_name_the_argument():
    labels = np.ones((3, 3), int)
    for options, error, words in [
        (dict(ratio=1), ValueError, "ratio must be above 1"),
        (dict(ratio="2"), TypeError, "ratio must be a number"),
        (dict(window=0), ValueError, "window must be a whole number"),
        (dict(bend=200), ValueError, "bend must be from 0 to 180"),
        (dict(below=-1), ValueError, "below must be"),
        (dict(scale=-1), ValueError, "scale must be"),
        (dict(spacing=(1, -1)), ValueError, "spacing must be"),
    ]:
        with pytest.raises(error, match=words):
            segmentation.split_cylinders(labels, **options)
