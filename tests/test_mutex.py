"""The mutex watershed against the sequential rule, laws and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import mutex

OFFSETS = {
    3: [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-2, 0, 0), (0, -3, 1), (1, 1, 2), (0, 0, -3)],
    2: [(-1, 0), (0, -1), (-2, 1), (0, 3), (1, 1)],
}
M = 2**64 - 1


def mixed(key):
    key ^= key >> 32
    key = key * 0x9E3779B97F4A7C15 & M
    key ^= key >> 29
    key = key * 0xBF58476D1CE4E5B9 & M
    return key ^ key >> 32


@st.composite
def volumes(draw, most=5, signed=False):
    """Values of few levels, so that ties are everywhere, or of many."""
    dims = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(1, most if dims == 3 else 2 * most)) for _ in range(dims))
    near = OFFSETS[dims][:dims]
    offsets = near + draw(st.lists(st.sampled_from(OFFSETS[dims][dims:]), max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 4, 50]))
    dtype = draw(st.sampled_from(["float16", "float32"] if signed else ["uint8", "float16", "float32"]))
    values = rng.integers(0, levels + 1, (len(offsets), *shape)) / levels
    values[len(near) :] **= draw(st.sampled_from([1, 0.3]))
    if dtype == "uint8":
        values = np.round(values * 255)
    if signed:
        values = (values - 0.5) * draw(st.sampled_from([1, 100]))
    return values.astype(dtype), offsets


def far(offsets):
    return [sum(map(abs, o)) != 1 for o in offsets]


@pytest.fixture(params=[0, 1, 20])
def at_once(request, monkeypatch):
    """All edges sorted at once, and few."""
    monkeypatch.setattr(mutex, "_AT_ONCE", request.param)
    return request.param


@given(data=volumes())
def test_equals_the_sequential_rule(backend, at_once, data):
    values, offsets = data
    expected = oracles.mutex_watershed(values, offsets, far(offsets))
    out = backend.host(emfast.mutex_watershed(backend(values), offsets))
    assert out.dtype == np.uint32
    assert np.array_equal(out, expected)


@given(data=volumes(signed=True))
def test_signed_weights(backend, at_once, data):
    values, offsets = data
    expected = oracles.mutex_watershed(values, offsets, far(offsets), signed=True)
    assert np.array_equal(backend.host(emfast.mutex_watershed(backend(values), offsets, signed=True)), expected)


@given(data=volumes(), more=st.data())
def test_masks_seeds_strides_and_chosen_channels(backend, at_once, data, more):
    values, offsets = data
    shape = values.shape[1:]
    rng = np.random.default_rng(more.draw(st.integers(0, 999)))
    options, mask, seeds, kept = {}, None, None, None
    if more.draw(st.booleans()):
        mask = rng.random(shape) < 0.8
        options["mask"] = backend(mask)
    if more.draw(st.booleans()):
        seeds = (rng.choice([3, 7, 2**40], shape) * (rng.random(shape) < 0.15)).astype(np.int64)
        options["seeds"] = backend(seeds)
    if more.draw(st.booleans()):
        strides = [more.draw(st.integers(1, 3)) for _ in shape]
        options["strides"] = strides
        if more.draw(st.booleans()):
            options["randomize"] = 5
            step, one_in = mixed(6), int(np.prod(strides))
            kept = lambda p, number: one_in == 1 or mixed(number + step & M) % one_in == 0  # noqa: E731
        else:
            kept = lambda p, number: all(c % s == 0 for c, s in zip(p, strides, strict=True))  # noqa: E731
    repulsive = far(offsets)
    if more.draw(st.booleans()):
        repulsive = [bool(b) for b in rng.integers(0, 2, len(offsets))]
        options["attractive"] = [k for k, far in enumerate(repulsive) if not far]
    expected = oracles.mutex_watershed(values, offsets, repulsive, kept=kept, mask=mask, seeds=seeds)
    out = backend.host(emfast.mutex_watershed(backend(values), offsets, **options))
    assert np.array_equal(out, expected)


def phantom(shape=(12, 32, 120), seed=3):
    near = emfast.phantom.make(shape, seed=seed, spacing=(16, 8, 8)).affinities / np.float32(255)
    offsets = [*emfast.NEAREST, (-2, 0, 0), (0, -5, 0), (0, 0, -5)]
    far = np.stack([np.minimum(near[k], np.roll(near[k], 2, axis=k)) for k in range(3)])
    return np.concatenate([near, far]), offsets


def test_a_phantom_in_levels_in_rounds_and_as_a_graph(backend, threads, monkeypatch):
    values, offsets = phantom()
    whole = emfast.mutex_watershed(values, offsets)
    assert 100 < whole.max() < whole.size / 3
    for number in (0, 5000, 100):
        monkeypatch.setattr(mutex, "_AT_ONCE", number)
        assert np.array_equal(backend.host(emfast.mutex_watershed(backend(values), offsets)), whole)
    edges, weights, places = edge_list(values, offsets)
    table = emfast.mutex_watershed_graph(edges, weights)
    assert np.array_equal(emfast.remap(places, table), whole)


def edge_list(values, offsets):
    """All edges in the order of their ids."""
    places = np.arange(values[0].size).reshape(values.shape[1:])
    edges, weights, ids = [], [], []
    for k, offset in enumerate(offsets):
        at = tuple(slice(max(-o, 0), max(n - max(o, 0), 0)) for o, n in zip(offset, places.shape, strict=True))
        to = tuple(slice(max(o, 0), max(n + min(o, 0), 0)) for o, n in zip(offset, places.shape, strict=True))
        edges.append(np.stack([places[at].ravel(), places[to].ravel()], -1))
        a = values[k][at].ravel()
        weights.append(a - np.float32(1) if sum(map(abs, offset)) > 1 else a)
        ids.append(places[at].ravel() * len(offsets) + k)
    order = np.argsort(np.concatenate(ids))
    return np.concatenate(edges)[order], np.concatenate(weights)[order], places


@given(data=st.data())
def test_graphs_equal_the_sequential_rule(backend, data):
    n, m = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ids = np.sort(rng.choice(1000, n, replace=False)) - 20
    edges = ids[rng.integers(0, n, (m, 2))].reshape(m, 2)
    levels = data.draw(st.sampled_from([1, 3, 1000]))
    weights = rng.integers(-levels, levels + 1, m) / levels
    table = emfast.mutex_watershed_graph(edges, weights)
    assert dict(table) == oracles.mutex_watershed_graph(edges, weights)


def test_empty_volumes_and_masks(backend):
    offsets = [*emfast.NEAREST, (-2, 0, 0)]
    for shape in [(0, 3, 3), (3, 0, 3), (2, 3, 0)]:
        out = emfast.mutex_watershed(backend(np.zeros((4, *shape), np.float32)), offsets)
        assert backend.host(out).shape == shape
    values = np.full((4, 2, 3, 4), 0.9, np.float32)
    out = emfast.mutex_watershed(backend(values), offsets, mask=backend(np.zeros((2, 3, 4), bool)))
    assert not backend.host(out).any()
    assert dict(emfast.mutex_watershed_graph(np.zeros((0, 2), int), [])) == {}


def test_voxels_without_attraction_stay_alone(backend):
    out = emfast.mutex_watershed(backend(np.zeros((3, 2, 2, 2), np.uint8)), emfast.NEAREST)
    assert np.array_equal(backend.host(out).ravel(), np.arange(1, 9))


@pytest.mark.parametrize(
    ("value", "signed"), [(np.nan, False), (1.5, False), (-0.1, False), (np.inf, True), (np.nan, True)]
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_unwelcome_values_are_refused_with_their_place(backend, at_once, value, signed, dtype):
    offsets = [*emfast.NEAREST, (0, 0, -2)]
    values = np.full((4, 3, 4, 5), 0.5, dtype)
    values[0, 0] = values[1, :, 0] = values[2, ..., 0] = values[3, ..., :2] = value  # no edges there
    assert backend.host(emfast.mutex_watershed(backend(values), offsets, signed=signed)).max() == 1
    values[1, 2, 3, 4] = values[3, 1, 2, 3] = value
    with pytest.raises(ValueError, match=r"affinities must be (from 0 to 1|finite), got \S+ at \(1, 2, 3, 4\)"):
        emfast.mutex_watershed(backend(values), offsets, signed=signed)
    mask = np.ones((3, 4, 5), bool)
    mask[2, 3, 4] = False
    with pytest.raises(ValueError, match=r"at \(3, 1, 2, 3\)"):
        emfast.mutex_watershed(backend(values), offsets, signed=signed, mask=backend(mask))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"affinities": np.zeros((4, 2, 2, 2), np.float64)}, TypeError, "affinities must be uint8, float16 or float32"),
        ({"affinities": np.zeros((4, 2, 2, 2), np.uint8), "signed": True}, TypeError, "where signed, got uint8"),
        ({"affinities": np.zeros((2, 2), np.uint8)}, ValueError, "affinities must be 3D or 4D"),
        ({"offsets": emfast.NEAREST}, ValueError, r"offsets must be one per channel of affinities \(4\), got 3"),
        ({"attractive": [4]}, ValueError, "attractive must name channels from 0 to 3"),
        ({"attractive": 4}, TypeError, "attractive must be a sequence"),
        (
            {"attractive": [False, True]},
            TypeError,
            r"attractive must be a sequence of channels, .* got \[False, True\]",
        ),
        ({"strides": (1, 0, 1)}, ValueError, "strides must be 3 integers of at least 1"),
        ({"strides": (1, 2)}, ValueError, "strides must be 3 integers"),
        ({"strides": 2.5}, TypeError, "strides must be 3 integers"),
        ({"randomize": 1}, ValueError, "randomize needs strides"),
        ({"randomize": -1, "strides": (1, 2, 2)}, ValueError, "randomize must be from 0"),
        ({"randomize": "x", "strides": (1, 2, 2)}, TypeError, "randomize must be an integer"),
        ({"mask": np.ones((2, 2), bool)}, ValueError, "mask must have the shape"),
        ({"seeds": np.ones((2, 2), int)}, ValueError, "seeds must have the shape"),
        ({"seeds": np.full((2, 2, 2), -1)}, ValueError, "seeds must not be negative, got -1"),
        ({"seeds": np.ones((2, 2, 2))}, TypeError, "seeds must be an array of"),
    ],
)
def test_errors_name_the_argument(options, error, match):
    arguments = {"affinities": np.zeros((4, 2, 2, 2), np.float32), "offsets": [*emfast.NEAREST, (-2, 0, 0)]} | options
    with pytest.raises(error, match=match):
        emfast.mutex_watershed(arguments.pop("affinities"), arguments.pop("offsets"), **arguments)


@pytest.mark.parametrize(
    ("graph", "weights", "error", "match"),
    [
        (np.zeros((2, 3), int), [1, 1], ValueError, r"graph must be a RegionGraph or an \(n, 2\) array"),
        (np.zeros((2, 2)), [1, 1], ValueError, "got float64 of shape"),
        (np.zeros((2, 2), int), [1], ValueError, r"weights must be one per edge, of shape \(2,\), got \(1,\)"),
        (np.zeros((2, 2), int), [1, np.nan], ValueError, "weights must be finite, got nan at 1"),
        (np.zeros((2, 2), int), ["a", "b"], TypeError, "weights must be numbers"),
        (np.zeros((2, 2), int), np.ma.ones(2), TypeError, "weights must be a plain array, got a masked one"),
        (np.ma.zeros((2, 2), int), [1, 1], TypeError, "graph must be a plain array, got a masked one"),
    ],
)
def test_errors_of_graphs(graph, weights, error, match):
    with pytest.raises(error, match=match):
        emfast.mutex_watershed_graph(graph, weights)


def test_ids_of_any_size():
    """NumPy turns a list of small ids and such from 2**63 on to floats; after the largest of all none can follow."""
    most = 2**64 - 1
    table = emfast.mutex_watershed_graph([[1, most], [1, 2**63]], [0.5, -1])
    assert dict(table) == {1: 1, 2**63: 2, most: 1}
    seeds = np.array([[most, 0, 0]], "u8")
    joined = emfast.mutex_watershed(np.ones((1, 1, 3), "f4"), [(0, 1)], seeds=seeds)
    assert joined.tolist() == [[most] * 3]
    with pytest.raises(
        ValueError, match=r"seeds must be below 2\*\*64 - 2, for so many other segments follow, got 1844"
    ):
        emfast.mutex_watershed(np.zeros((1, 1, 3), "f4"), [(0, 1)], seeds=seeds)


def test_the_partition_is_that_of_bioimage_cpp():
    segmentation = pytest.importorskip("bioimage_cpp").segmentation
    values, offsets = phantom()
    values += np.random.default_rng(0).random(values.shape, np.float32) * 1e-3  # it orders ties in its own way
    values = np.clip(values, 1e-4, 1 - 1e-4) + np.random.default_rng(1).random(values.shape, np.float32) * 1e-5
    weights = values.copy()
    weights[3:] = 1 - weights[3:]
    theirs = segmentation.mutex_watershed(weights, offsets, 3)
    assert np.array_equal(emfast.mutex_watershed(values, offsets), theirs)
