"""Decoders against oracles and laws."""

import inspect
from fractions import Fraction
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import segmentation
from strategies import label_arrays, shapes


@st.composite
def probabilities(draw, dims=(2, 3), max_side=6):
    shape = draw(shapes(max_side, dims))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([1, 4, 10, 255]))
    values = rng.integers(0, steps + 1, shape)
    if draw(st.booleans()):
        return (values * (255 // steps)).astype("u1")
    return (values / steps).astype(draw(st.sampled_from(["f2", "f4", "f8"])))


def by_first_appearance(names: np.ndarray) -> np.ndarray:
    """Consecutive numbers from 1 for hashable names in an object array, None for background."""
    table: dict = {None: 0}
    return np.array([table.setdefault(n, len(table)) for n in names.ravel()], np.int64).reshape(names.shape)


@given(
    values=probabilities(),
    threshold=st.sampled_from([0.0, 0.1, 0.5, 51 / 255, 0.7, 1.0]),
    below=st.integers(0, 4),
    connectivity=st.sampled_from([6, 18, 26]),
)
def test_threshold_components(backend, values, threshold, below, connectivity):
    out = segmentation.threshold_components(
        backend(values), threshold=threshold, below=below, connectivity=connectivity
    )
    out = backend.host(out)
    if values.dtype == np.uint8:
        inside = np.vectorize(lambda v: Fraction(int(v), 255) >= Fraction(repr(threshold)), otypes=[bool])(values)
    else:
        inside = values >= values.dtype.type(threshold)
    expected = oracles.connected_components(inside, connectivity)
    sizes = np.bincount(expected.ravel(), minlength=1)
    names = np.vectorize(lambda v: None if v == 0 or sizes[v] < below else int(v), otypes=[object])(expected)
    assert np.array_equal(out, by_first_appearance(names))


@given(values=probabilities(dims=(2, 3)), threshold=st.sampled_from([-0.5, 0.0, 0.3]))
def test_distance_threshold(backend, values, threshold):
    distance = values.astype("f4") / 255 if values.dtype == np.uint8 else values.astype("f4")
    distance = distance * 2 - 1
    out = backend.host(segmentation.distance_threshold(backend(distance), threshold=threshold))
    assert np.array_equal(out, oracles.connected_components(distance > np.float32(threshold), 6))
    if values.ndim == 3:
        both = segmentation.distance_threshold(backend(np.stack([distance, -distance])), threshold=threshold)
        assert len(both) == 2
        assert np.array_equal(backend.host(both[0]), out)
        assert np.array_equal(backend.host(both[1]), oracles.connected_components(-distance > np.float32(threshold), 6))


@given(values=probabilities(dims=(3,)), size=st.sampled_from([1, 3, 5, 7]))
def test_z_median_takes_the_middle_of_the_window(values, size):
    out = segmentation.z_median(values, size=size)
    assert out.dtype == values.dtype
    for z, y, x in np.ndindex(values.shape):
        window = sorted(values[max(0, z - size // 2) : z + size // 2 + 1, y, x].tolist())
        assert out[z, y, x] == window[(len(window) - 1) // 2]


def linked(labels: np.ndarray, overlap: float) -> np.ndarray:
    """The definition: sets of pixels, exact shares, best first."""
    names = np.full(labels.shape, None, object)
    above: dict = {}
    fresh = 0
    for z, section in enumerate(labels):
        objects: dict = {}
        for pixel in np.ndindex(section.shape):
            if section[pixel]:
                objects.setdefault(int(section[pixel]), set()).add(pixel)
        here = list(objects.values())
        pairs = [
            (-Fraction(len(a & b), len(a | b)), i, j)
            for i, (_, a) in enumerate(above.values())
            for j, b in enumerate(here)
            if a & b and Fraction(len(a & b), len(a | b)) >= Fraction(overlap)
        ]
        partner: dict = {}
        for _, i, j in sorted(pairs):
            if i not in partner.values() and j not in partner:
                partner[j] = i
        upper = list(above.values())
        above = {}
        for j, pixels in enumerate(here):
            if j in partner:
                name = upper[partner[j]][0]
            else:
                name, fresh = fresh, fresh + 1
            above[j] = (name, pixels)
            for pixel in pixels:
                names[(z, *pixel)] = name
    return by_first_appearance(names)


@given(labels=label_arrays(max_side=6, dims=(3,), values=4), overlap=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_link_slices(labels, overlap):
    out = segmentation.link_slices(labels, overlap=overlap)
    assert out.dtype == np.uint32
    assert np.array_equal(out, linked(labels, overlap))


@given(data=st.data(), first=label_arrays(max_side=6))
def test_consensus(data, first):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    others = [rng.integers(0, 4, first.shape).repeat(2, -1)[..., : first.shape[-1]] for _ in range(2)]
    together = np.empty(first.shape, object)
    for p in np.ndindex(first.shape):
        name = tuple(int(s[p]) for s in (first, *others))
        together[p] = None if 0 in name else name
    expected = oracles.connected_components(by_first_appearance(together), 6)
    assert np.array_equal(segmentation.consensus([first, *others]), expected)
    assert np.array_equal(segmentation.consensus([first]), oracles.connected_components(first, 6))


def test_results_come_back_in_the_library():
    torch = pytest.importorskip("torch")
    values = torch.rand(3, 4, 5)
    for out in (
        segmentation.threshold_components(values),
        segmentation.distance_threshold(values),
        segmentation.z_median(values),
        segmentation.link_slices(torch.ones(2, 3, 3, dtype=torch.int64)),
        segmentation.consensus([torch.ones(3, 3, dtype=torch.int32)] * 2),
    ):
        assert isinstance(out, torch.Tensor)


def test_ranges_hold_the_defaults():
    searched = [
        name for name in segmentation.__all__ if name not in ("Between", "Tuned", "ranges", "consensus", "tune")
    ]
    for name in searched:
        found = segmentation.ranges(getattr(segmentation, name))
        assert found, name
        for low, high, default in found.values():
            assert low <= default <= high


def test_errors_name_the_argument():
    ones = np.ones((2, 3, 3))
    bad = ones.copy()
    bad[1, 2, 0] = np.nan
    for call, error, words in [
        (lambda: segmentation.threshold_components(bad), ValueError, "probability must be from 0 to 1"),
        (lambda: segmentation.threshold_components(2 * ones), ValueError, "probability must be from 0 to 1"),
        (lambda: segmentation.threshold_components(ones, threshold=1.5), ValueError, "threshold must be from 0 to 1"),
        (lambda: segmentation.threshold_components(ones.astype("u2")), TypeError, "probability must be uint8"),
        (lambda: segmentation.threshold_components(ones, connectivity=5), ValueError, "connectivity must be"),
        (lambda: segmentation.distance_threshold(bad), ValueError, "distance must be finite"),
        (lambda: segmentation.distance_threshold(ones, threshold=np.nan), ValueError, "threshold must be a number"),
        (lambda: segmentation.z_median(ones, size=2), ValueError, "size must be an odd number"),
        (lambda: segmentation.z_median(ones[0]), ValueError, "probability must"),
        (lambda: segmentation.link_slices(ones), TypeError, "labels must"),
        (lambda: segmentation.link_slices(ones.astype(int), overlap=2), ValueError, "overlap must be from 0 to 1"),
        (lambda: segmentation.segment_affinities(ones, score=5), TypeError, "score must be a string, got 5"),
        (
            lambda: segmentation.boundary_contour_watershed(ones, ones, distance=ones.astype("u1")),
            TypeError,
            "distance must be an array of floats, got uint8",
        ),
        (
            lambda: segmentation.boundary_contour_distance_watershed(ones, ones, ones > 0),
            TypeError,
            "distance must be an array of floats, got bool",
        ),
        (
            lambda: segmentation.boundary_contour_distance_watershed(ones, ones, ones, seed_distance=np.nan),
            ValueError,
            "seed_distance must be a number, got nan",
        ),
        (
            lambda: segmentation.boundary_contour_distance_watershed(ones, ones, ones, inside_distance="0"),
            TypeError,
            "inside_distance must be a number",
        ),
        *(
            (lambda call=call, below=below: call(ones, below=below), ValueError, "below must be a whole number")
            for call in (
                segmentation.threshold_components,
                segmentation.distance_threshold,
                lambda a, below: segmentation.boundary_contour_watershed(a, a, below=below),
            )
            for below in (np.nan, np.inf, -5, "3")
        ),
        (lambda: segmentation.seeds_grow(ones, ones, seed_size=-1), ValueError, "seed_size must be a whole number"),
        (lambda: segmentation.segment_affinities(ones, threshold=2), ValueError, "threshold must be from 0 to 1"),
        (lambda: segmentation.segment_affinities(ones, threshold=[]), ValueError, "threshold must be from 0 to 1"),
        (lambda: segmentation.segment_affinities(ones, threshold=None), TypeError, "threshold must be a number"),
        (lambda: segmentation.segment_affinities(ones, threshold="0.5"), TypeError, "threshold must be a number"),
        (lambda: segmentation.z_median(ones, size="3"), ValueError, "size must be an odd number"),
        (lambda: segmentation.seeds_grow(ones, ones[:1]), ValueError, "contour must have the shape of probability"),
        (lambda: segmentation.boundary_contour_watershed(ones, ones, flood="x"), ValueError, "flood must be"),
        (lambda: segmentation.boundary_contour_watershed(ones, ones, flood="distance"), ValueError, "needs distance"),
        (lambda: segmentation.consensus([]), ValueError, "segmentations must hold at least one"),
        (
            lambda: segmentation.consensus([np.ones((2, 2), int), np.ones((2, 3), int)]),
            ValueError,
            "segmentations must have one shape",
        ),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_emfast_names_the_module():
    assert emfast.segmentation is segmentation


@given(data=st.data(), values=probabilities(max_side=5), flood=st.sampled_from(["probability", "distance"]))
def test_boundary_contour_watershed(backend, data, values, flood):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    if values.dtype == np.float64:
        values = values.astype("f4")
    contour = rng.integers(0, 256, values.shape).astype("u1")
    distance = rng.integers(-2, 3, values.shape).astype("f4") / 2 if flood == "distance" or rng.random() < 0.5 else None
    seed_size, below = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 4))
    out = segmentation.boundary_contour_watershed(
        backend(values),
        backend(contour),
        distance=None if distance is None else backend(distance),
        seed=0.6,
        seed_contour=0.5,
        seed_distance=0.0,
        inside=0.3,
        inside_distance=-0.5,
        flood=flood,
        seed_size=seed_size,
        below=below,
    )
    p = values / 255 if values.dtype == np.uint8 else values
    seeds, mask = (p >= p.dtype.type(0.6)) & (contour < 127.5), p >= p.dtype.type(0.3)
    if distance is not None:
        seeds, mask = seeds & (distance > 0), mask & (distance > -0.5)
    marks = without_small(oracles.connected_components(seeds, 6), seed_size)
    height = -distance if flood == "distance" else -p.astype("f4")
    flooded = oracles.seeded_watershed(height, marks, 1, mask)
    assert np.array_equal(backend.host(out), without_small(flooded, below))


def test_distances_in_lists():
    inside, contour, distance = [[0.95] * 5], [[0.1] * 5], [[0.9, 0.4, 0.1, 0.6, 0.8]]
    out = segmentation.boundary_contour_distance_watershed(inside, contour, distance)
    assert out.tolist() == [[1, 1, 2, 2, 2]]
    wanted = segmentation.boundary_contour_watershed(np.array(inside), np.array(contour), distance=np.array(distance))
    assert np.array_equal(segmentation.boundary_contour_watershed(inside, contour, distance=distance), wanted)


def without_small(labels: np.ndarray, below: int) -> np.ndarray:
    sizes = np.bincount(labels.ravel(), minlength=1)
    names = np.full(labels.shape, None, object)
    for p in np.ndindex(labels.shape):
        if labels[p] and sizes[labels[p]] >= below:
            names[p] = int(labels[p])
    return by_first_appearance(names)


def near(shape, p, squared):
    """Places within a distance of p."""
    return [q for q in np.ndindex(shape) if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) <= squared]


@given(data=st.data(), values=probabilities(max_side=4), radius=st.sampled_from([0.0, 1.0, 1.5, np.inf]))
def test_seeds_grow(backend, data, values, radius):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    contour = rng.integers(0, 3, values.shape) / 2
    out = segmentation.seeds_grow(
        backend(values), backend(contour), seed=0.7, seed_contour=0.5, inside=0.4, radius=radius
    )
    p = values / 255 if values.dtype == np.uint8 else values
    seeds = oracles.connected_components((p >= p.dtype.type(0.7)) & (contour < 0.5), 6)
    names = np.full(p.shape, None, object)
    for q in np.ndindex(p.shape):
        found = [s for s in near(p.shape, q, radius**2) if seeds[s]]
        if found and p[q] >= p.dtype.type(0.4):
            names[q] = int(seeds[min(found, key=lambda s: (sum((a - b) ** 2 for a, b in zip(s, q, strict=True)), s))])
    assert np.array_equal(backend.host(out), by_first_appearance(names))


@given(labels=label_arrays(max_side=5, values=3), radius=st.sampled_from([1.0, 1.5, 2.0]))
def test_opening_and_closing(backend, labels, radius):
    labels = labels[tuple(slice(6) for _ in labels.shape)]
    shape, squared = labels.shape, radius**2
    kernel = {
        q for q in np.ndindex(shape) if labels[q] and all(labels[r] == labels[q] for r in near(shape, q, squared))
    }
    opened = np.zeros_like(labels)
    for q in np.ndindex(shape):
        if any(r in kernel and labels[r] == labels[q] for r in near(shape, q, squared)):
            opened[q] = labels[q]
    assert np.array_equal(backend.host(segmentation.smooth(backend(labels), opening=radius)), opened)
    closed = backend.host(segmentation.smooth(backend(labels), closing=radius))
    assert np.array_equal(closed[labels != 0], labels[labels != 0])
    grown = backend.host(emfast.dilate(backend(labels), radius=radius))
    for q in np.ndindex(shape):
        if not labels[q]:
            alone = {grown[r].item() for r in near(shape, q, squared)} == {grown[q].item()}
            assert closed[q] == (grown[q] if alone else 0)


@given(labels=label_arrays(max_side=6, dims=(3,)), gap=st.integers(1, 3))
def test_gaps_along_z(labels, gap):
    expected = labels.copy()
    for _, y, x in np.ndindex((1, *labels.shape[1:])):
        column = labels[:, y, x]
        filled = np.flatnonzero(column)
        for a, b in zip(filled[:-1], filled[1:], strict=True):
            if column[a] == column[b] and b - a - 1 <= gap:
                expected[a:b, y, x] = column[a]
    assert np.array_equal(segmentation.smooth(labels, gap=gap), expected)
    assert np.array_equal(segmentation.smooth(labels, gap=gap, holes=True), emfast.fill_holes(expected))


@given(data=st.data(), score=st.sampled_from(["mean", "max", "median", "mean_by_contact"]))
def test_segment_affinities_is_its_steps(backend, data, score):
    shape = data.draw(shapes(6, min_side=1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 256, (len(shape), *shape)).astype("u1")
    thresholds = [0.2, 0.5, 0.8]
    several = emfast.segment_affinities(backend(values), threshold=thresholds, score=score, low=0.1, high=0.9)
    fragments = emfast.watershed(values, low=0.1, high=0.9)
    graph = emfast.region_graph(values, fragments, histogram=True)
    for threshold, labels in zip(thresholds, several, strict=True):
        labels = backend.host(labels)
        tree = emfast.agglomerate(graph, score=score, until=threshold)
        segments = tree.relabel(fragments, threshold)
        names = np.where(segments == 0, None, segments.astype(object))
        assert labels.dtype == fragments.dtype
        assert np.array_equal(labels, by_first_appearance(names))
    one = emfast.segment_affinities(values, threshold=0.5, score=score, low=0.1, high=0.9)
    assert np.array_equal(one, backend.host(several[1]))


def test_segments_of_the_phantom():
    """Whole cells: more right than the fragments, and nested as thresholds fall."""
    made = emfast.phantom.make((24, 96, 96), seed=1)
    coarse, fine = emfast.segment_affinities(made.affinities, threshold=[0.3, 0.7])
    assert len({(int(a), int(b)) for a, b in zip(fine.ravel(), coarse.ravel(), strict=True) if a}) == fine.max()
    assert 0 < coarse.max() < fine.max()


@given(data=st.data(), values=probabilities(max_side=5), flood=st.sampled_from(["probability", "distance"]))
def test_boundary_contour_distance_watershed_has_all_three(data, values, flood):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    contour, distance = rng.random(values.shape), rng.random(values.shape, "f4") * 2 - 1
    options = dict(seed=0.3, seed_contour=0.9, inside=0.1, inside_distance=-0.8, seed_distance=-0.2, flood=flood)
    out = segmentation.boundary_contour_distance_watershed(values, contour, distance, **options)
    assert np.array_equal(out, segmentation.boundary_contour_watershed(values, contour, distance=distance, **options))


# ---- parameters chosen by a score


def _peaked(
    given,
    *,
    x: Annotated[float, segmentation.Between(0.0, 2.0)] = 0.5,
    size: Annotated[int, segmentation.Between(0, 400)] = 10,
    other=3,
):
    return x, size, other


def test_tuning_climbs_to_the_peak_and_tells_all_it_tried():
    calls = []

    def score(truth, found):
        calls.append(found)
        return -abs(found[0] - truth) - abs(found[1] - 100) / 1000

    found = segmentation.tune(_peaked, [(None, 1.3), (None, 1.3)], score, budget=200)
    assert abs(found.options["x"] - 1.3) <= 2 / 64 and abs(found.options["size"] - 100) <= 4
    assert found.score == max(value for _, value in found.tried) > -0.04
    assert len(calls) == 2 * len(found.tried) and len({tuple(o.values()) for o, _ in found.tried}) == len(found.tried)
    again = segmentation.tune(_peaked, [(None, 1.3), (None, 1.3)], score, budget=200)
    assert again == found
    few = segmentation.tune(_peaked, [(None, 1.3)], score, budget=5)
    assert len(few.tried) == 5 and few.tried == tuple((o, v) for o, v in found.tried[:5])


def test_tuning_keeps_what_it_began_with_where_nothing_is_better():
    found = segmentation.tune(_peaked, [(None, 0)], lambda truth, labels: 1.0, options={"x": 0.7, "other": 5})
    assert found.options == {"x": 0.7, "size": 10} and found.score == 1.0
    only = segmentation.tune(_peaked, [(None, 0)], lambda truth, labels: labels[0] + labels[1], names=["x"])
    assert only.options == {"x": 2.0}


def test_tuning_passes_over_what_a_decoder_refuses():
    def refuses(given, **options):
        if options["x"] > 1:
            raise ValueError("x must be at most 1")
        return _peaked(given, **options)

    refuses.__signature__, refuses.__annotations__ = inspect.signature(_peaked), _peaked.__annotations__
    found = segmentation.tune(refuses, [(None, 0)], lambda truth, labels: labels[0])
    assert found.options["x"] == 1.0 and any(value is None for _, value in found.tried)
    with pytest.raises(ValueError, match="x must be at most 1"):
        segmentation.tune(refuses, [(None, 0)], lambda truth, labels: 0.0, options={"x": 1.5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": []}, "cases must be at least one, got none"),
        ({"names": ["y"]}, "names must be among x, size, got 'y'"),
        ({"budget": 0}, "budget must be"),
    ],
)
def test_tuning_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        segmentation.tune(**{"decode": _peaked, "cases": [(None, 0)], "score": lambda t, f: 0.0} | options)
