"""Decoders of affinities and membranes: against oracles, other ways to the same answer, and errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import multicuts, segmentation
from strategies import shapes
from test_mutex import far, volumes
from test_segmentation import by_first_appearance, without_small
from test_trees import parts_of

OFFSETS = {2: [(-1, 0), (0, -1), (-2, 0), (1, 2)], 3: [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, -2, 0), (0, 1, 3)]}


@st.composite
def affinities(draw, max_side=5):
    shape = draw(shapes(max_side, min_side=1))
    offsets = OFFSETS[len(shape)][: draw(st.integers(len(shape), 5))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 256, (len(offsets), *shape)).astype("u1")
    return (values if draw(st.booleans()) else values.astype("f4") / 255), offsets


def named(fragments, table):
    """Fragments under the names of a table; 0 stays."""
    names = np.full(fragments.shape, None, object)
    for p in np.ndindex(fragments.shape):
        if fragments[p]:
            names[p] = table[int(fragments[p])]
    return by_first_appearance(names)


def steps_of(values, offsets):
    fragments = emfast.watershed(values[: values.ndim - 1], low=0.1, high=0.98)
    return fragments, emfast.region_graph(values, fragments, offsets=offsets, histogram=True)


@given(
    data=affinities(),
    linkage=st.sampled_from(["mean", "max", "min", "sum", "absolute"]),
    constrained=st.booleans(),
    bias=st.sampled_from([0.3, 0.5]),
    below=st.integers(0, 3),
)
def test_gasp_is_the_queue_on_signed_means(backend, data, linkage, constrained, bias, below):
    values, offsets = data
    fragments, graph = steps_of(values, offsets)
    weights = graph.means - bias
    if linkage == "sum":
        weights = weights * graph.counts
    nodes, edges = parts_of(graph, weights, linkage == "mean")
    table = {n: n for n in nodes}
    for a, b, _, _ in oracles.merge_tree(nodes, edges, linkage, 2**24, math.ulp(0.0), constrained=constrained):
        table = {n: a if s == b else s for n, s in table.items()}
    out = segmentation.gasp(backend(values), offsets, linkage=linkage, constrained=constrained, bias=bias, below=below)
    assert np.array_equal(backend.host(out), without_small(named(fragments, table), below))


@given(data=affinities())
def test_gasp_by_magnitude_is_the_mutex_watershed(data):
    values, offsets = data
    fragments, graph = steps_of(values, offsets)
    weights = graph.means - 0.5
    if len(np.unique(np.abs(weights))) < len(weights):
        return  # ties: ids of edges decide here, their order there
    table = emfast.mutex_watershed_graph(graph, weights)
    assert np.array_equal(
        segmentation.gasp(values, offsets, linkage="absolute", constrained=True),
        named(fragments, {int(k): v for k, v in dict(table).items()}),
    )


@given(data=affinities(), shift=st.booleans())
def test_the_order_and_direction_of_channels_do_not_matter(data, shift):
    values, offsets = data
    order = np.random.default_rng(len(offsets)).permutation(len(offsets))
    turned, steps = values[order], [offsets[k] for k in order]
    if shift:
        turned, steps = emfast.convert_affinities(turned, steps, looks="forward")
    fragments = emfast.watershed(values[: values.ndim - 1], low=0.1, high=0.98)
    graphs = [emfast.region_graph(v, fragments, offsets=o) for v, o in ((values, offsets), (turned, steps))]
    if len(set(graphs[0].means.tolist())) < len(graphs[0]):
        return  # ties go by ids, which name channels
    assert np.array_equal(segmentation.gasp(turned, steps), segmentation.gasp(values, offsets))


@given(
    data=affinities(),
    solver=st.sampled_from(["gaec", "greedy_fixation"]),
    bias=st.sampled_from([0.3, 0.5, 0.8]),
    size_exponent=st.sampled_from([0.0, 1.0]),
    below=st.integers(0, 3),
)
def test_multicut_is_the_oracle_on_log_odds(backend, data, solver, bias, size_exponent, below):
    values, offsets = data
    fragments, graph = steps_of(values, offsets)
    odds = emfast.multicut_costs(graph.means, bias=bias, sizes=graph.counts, size_exponent=size_exponent)
    whole, _ = multicuts._on_grid(odds)
    table = {int(n): -int(n) for n in graph.nodes}
    table.update(oracles.multicut(graph.edges, whole, solver == "greedy_fixation"))
    out = segmentation.multicut(
        backend(values), offsets, solver=solver, bias=bias, size_exponent=size_exponent, below=below
    )
    assert np.array_equal(backend.host(out), without_small(named(fragments, table), below))


@given(data=volumes(), near=st.sampled_from([0.0, 0.25, 1.0]), apart=st.sampled_from([0.5, 0.75, 1.0]))
def test_mutex_about_what_neither_attracts_nor_repels(backend, data, near, apart):
    values, offsets = data
    out = backend.host(segmentation.mutex(backend(values), offsets, near=near, far=apart))
    given = values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)
    levels = np.where(far(offsets), apart, near).astype(np.float32)
    weights = given - levels.reshape(-1, *[1] * (values.ndim - 1))
    assert np.array_equal(out, emfast.mutex_watershed(weights, offsets, signed=True))
    if (near, apart) == (0, 1):
        assert np.array_equal(out, emfast.mutex_watershed(values, offsets))


@pytest.mark.parametrize("unwelcome", [np.nan, np.inf, 2.0, -1.0])
@pytest.mark.parametrize("levels", [{}, {"near": 0.1}, {"far": 0.9}])
def test_mutex_reads_what_edges_have_and_no_more(backend, levels, unwelcome):
    offsets, mask = OFFSETS[3][:4], np.ones((2, 4, 4), bool)
    values = np.full((4, 2, 4, 4), 0.95, "f4")
    values[0, 0] = values[1, :, 0] = values[2, ..., 0] = values[3, :, :2] = unwelcome  # no edges there
    values[1, 1, 3, 3], mask[1, 3, 3] = unwelcome, False
    out = segmentation.mutex(backend(values), offsets, mask=backend(mask), **levels)
    assert np.array_equal(backend.host(out), mask)
    with pytest.raises(ValueError, match=r"affinities must be from 0 to 1, got \S+ at \(1, 1, 3, 3\)"):
        segmentation.mutex(backend(values), offsets, **levels)


@pytest.mark.parametrize("levels", [{}, {"near": 0.1}])
@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_mutex_takes_the_same_dtypes_whatever_attracts(levels, dtype):
    with pytest.raises(TypeError, match=f"affinities must be uint8, float16 or float32, got {dtype}"):
        segmentation.mutex(np.ones((3, 2, 4, 4), dtype), emfast.NEAREST, **levels)


@given(data=volumes(), below=st.integers(0, 4), strides=st.booleans())
def test_mutex_is_the_rule_without_small_ones(backend, data, below, strides):
    values, offsets = data
    grid = (2,) * (values.ndim - 1) if strides else None
    out = backend.host(segmentation.mutex(backend(values), offsets, strides=grid, below=below))
    whole = emfast.mutex_watershed(values, offsets, strides=grid)
    if not strides:
        assert np.array_equal(whole, oracles.mutex_watershed(values, offsets, far(offsets)))
    assert np.array_equal(out, without_small(whole, below))


@given(
    data=st.data(),
    threshold=st.sampled_from([0.3, 0.6]),
    separation=st.sampled_from([0.0, 2.0]),
    merge=st.sampled_from([0.2, 0.5]),
    below=st.integers(0, 3),
)
def test_membrane_watershed_is_its_steps(backend, data, threshold, separation, merge, below):
    shape = data.draw(shapes(5, min_side=1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    membrane = rng.integers(0, 256, shape).astype("u1")
    if data.draw(st.booleans()):
        membrane = membrane.astype("f4") / 255
    scaled = membrane / 255 if membrane.dtype == np.uint8 else membrane
    inside = ~(scaled >= scaled.dtype.type(threshold))
    distance = emfast.edt(inside, border=True)
    seeds = oracles.distance_peaks(distance, separation, 0, (1,) * len(shape), inside)
    fragments = oracles.seeded_watershed(membrane, seeds, 1)
    near = np.zeros((len(shape), *shape), membrane.dtype)
    one = 255 if membrane.dtype == np.uint8 else np.float32(1)
    for p in np.ndindex(shape):
        for axis in range(len(shape)):
            q = tuple(c - (a == axis) for a, c in enumerate(p))
            if min(q) >= 0:
                near[(axis, *p)] = one - max(membrane[p], membrane[q])
    graph = emfast.region_graph(near, fragments, histogram=True)
    table = {int(n): int(n) for n in graph.nodes}
    for a, b, _, _ in oracles.merge_tree(*parts_of(graph), "mean", graph.unit, merge):
        table = {n: a if s == b else s for n, s in table.items()}
    out = segmentation.membrane_watershed(
        backend(membrane), threshold=threshold, separation=separation, merge=merge, below=below
    )
    assert np.array_equal(backend.host(out), without_small(named(fragments, table), below))


def test_membranes_section_by_section():
    membrane = np.random.default_rng(0).random((3, 9, 9)).astype("f4")
    apart = segmentation.membrane_watershed(membrane, merge=1.0, per_section=True)
    for z in range(3):
        alone = segmentation.membrane_watershed(membrane[z], merge=1.0)
        assert np.array_equal(emfast.renumber(apart[z])[0], alone)
    joined = segmentation.membrane_watershed(membrane, merge=0.0, per_section=True)
    assert joined.max() == 1


def test_membranes_in_lists():
    assert segmentation.membrane_watershed([[0.1, 0.9]]).tolist() == [[1, 1]]
    membrane = [[0.1, 0.1, 0.9, 0.1, 0.6, 0.1, 0.1]]
    assert segmentation.membrane_watershed(membrane, merge=0.2).tolist() == [[1, 1, 1, 2, 2, 2, 2]]


def test_max_linkage_is_what_attraction_connects():
    values = emfast.phantom.make((16, 96, 96), seed=1).affinities
    fragments, graph = steps_of(values, emfast.NEAREST)
    table = {int(n): int(n) for n in graph.nodes}
    for a, b in graph.edges[graph.means > 0.7].tolist():
        table = {n: table[a] if s == table[b] else s for n, s in table.items()}
    out = segmentation.gasp(values, linkage="max", bias=0.7)
    assert 1 < out.max() < fragments.max()
    assert np.array_equal(out, named(fragments, table))


def test_errors_name_the_argument():
    ones = np.ones((3, 2, 4, 4), "f4")
    far_only = [(-2, 0, 0), (0, -1, 0), (0, 0, -1)]
    for call, error, words in [
        (lambda: segmentation.gasp(ones, linkage="x"), ValueError, "linkage must be one of"),
        (lambda: segmentation.gasp(ones, bias=2), ValueError, "bias must be from 0 to 1"),
        (lambda: segmentation.gasp(ones, far_only), ValueError, "offsets must hold one step along axis 0"),
        (lambda: segmentation.gasp(ones, far_only[:2]), ValueError, "offsets must be one per channel"),
        (lambda: segmentation.gasp(ones[0, 0]), ValueError, "affinities must be"),
        (
            lambda: segmentation.multicut(ones, fragments=np.ones((2, 4, 4), int), mask=ones[0] > 0),
            ValueError,
            "mask goes with fragments that are made here",
        ),
        (lambda: segmentation.multicut(ones, solver="x"), ValueError, "solver must be one of"),
        (lambda: segmentation.mutex(ones, far_only, near=1.5), ValueError, "near must be from 0 to 1, got 1.5"),
        (lambda: segmentation.mutex(ones * 2, far_only, far=0.5), ValueError, "affinities must be from 0 to 1"),
        (lambda: segmentation.mutex(ones, far_only[:2]), ValueError, "offsets must be one per channel"),
        (lambda: segmentation.membrane_watershed(3 * ones[0]), ValueError, "membrane must be from 0 to 1"),
        (lambda: segmentation.membrane_watershed(ones[0], merge=-1), ValueError, "merge must be from 0 to 1"),
        (lambda: segmentation.membrane_watershed(ones[0, 0], per_section=True), ValueError, "per_section needs"),
        (lambda: segmentation.membrane_watershed(ones[0], score=5), TypeError, "score must be a string, got 5"),
        *(
            (lambda call=call, below=below: call(ones, below=below), ValueError, "below must be a whole number")
            for call in (
                segmentation.gasp,
                segmentation.multicut,
                lambda a, below: segmentation.mutex(a, [(-1, 0, 0), (0, -1, 0), (0, 0, -1)], below=below),
                lambda a, below: segmentation.membrane_watershed(a[0], below=below),
            )
            for below in (np.nan, np.inf, -5, "3")
        ),
    ]:
        with pytest.raises(error, match=words):
            call()
