"""compat.mwatershed and compat.affogato: against mwatershed where it is installed, and against the rule by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast.compat import affogato, mwatershed


def same_partition(ours, theirs):
    pairs = np.unique(np.stack([np.ravel(ours), np.ravel(theirs)]), axis=1)
    return len(np.unique(ours)) == len(np.unique(theirs)) == pairs.shape[1]


def by_hand(edges, parts):
    """The mutex watershed of (weight, u, v), largest magnitude first: [representative per node]."""
    roots, mutexes = list(range(parts)), set()
    for weight, u, v in sorted(edges, key=lambda edge: -abs(edge[0])):
        a, b = roots[u], roots[v]
        if a == b:
            continue
        if weight <= 0:
            mutexes |= {(a, b), (b, a)}
        elif (a, b) not in mutexes:
            roots = [a if r == b else r for r in roots]
            mutexes = {(a if x == b else x, a if y == b else y) for x, y in mutexes}
    return roots


def grid_edges(weights, offsets, kept=None):
    """(weight, u, v) of the edges of a grid."""
    shape = weights.shape[1:]
    for k, step in enumerate(offsets):
        for p in np.ndindex(shape):
            q = tuple(int(i + s) for i, s in zip(p, step, strict=True))
            if all(0 <= i < n for i, n in zip(q, shape, strict=True)) and (kept is None or kept[(k, *p)]):
                yield weights[(k, *p)], np.ravel_multi_index(p, shape), np.ravel_multi_index(q, shape)


@st.composite
def grids(draw, dims=(1, 2, 3)):
    """Distinct weights, and offsets that fit."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=min(dims), max_size=max(dims))))
    steps = [s for s in itertools.product(range(-2, 3), repeat=len(shape)) if any(s)]
    steps = [s for s in steps if all(abs(o) < n for o, n in zip(s, shape, strict=True))] or [(1,) * len(shape)]
    offsets = draw(st.lists(st.sampled_from(steps), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ranks = rng.permutation(len(offsets) * int(np.prod(shape))) + 1
    weights = (ranks / (len(ranks) + 1)).reshape(len(offsets), *shape).astype(np.float32)
    return weights, offsets, rng


# mwatershed


def same_segments(ours, theirs):
    """One partition and one background, but for mwatershed's segment 0 where voxel 0 gave the name."""
    theirs = np.where((theirs == 0) & (ours != 0), 2**40, theirs)
    assert ours.dtype == np.uint64
    assert np.array_equal(ours == 0, theirs == 0)
    assert same_partition(ours, theirs)


@given(grid=grids(), thinned=st.sampled_from([False, True]), seeded=st.booleans(), data=st.data())
def test_agglom_is_mwatershed_s(backend, grid, thinned, seeded, data):
    peer = pytest.importorskip("mwatershed")
    weights, offsets, rng = grid
    signed = weights * rng.choice([-1, 1], weights.shape).astype(np.float32)
    strides = [tuple(int(s) for s in rng.integers(1, 4, weights.ndim - 1)) for _ in offsets] if thinned else None
    seeds = edges = None
    if seeded:
        seeds = (rng.integers(1001, 1005, weights.shape[1:]) * (rng.random(weights.shape[1:]) < 0.3)).astype(np.uint64)
        if seeds.any():
            ids = st.sampled_from(np.unique(seeds[seeds > 0]).tolist())
            edges = data.draw(st.lists(st.tuples(st.booleans(), ids, ids), max_size=4))
    ours = mwatershed.agglom(signed, offsets, seeds, edges, strides)
    if edges:  # mwatershed sometimes joins over an edge that parts, where seeds were joined before
        names = dict(peer.cluster(edges))
        seeds = np.vectorize(lambda seed: names.get(seed, seed), otypes=["u8"])(seeds)
    same_segments(ours, peer.agglom(signed.astype(np.float64), offsets, seeds, None, strides))
    if seeds is not None and not edges:
        assert np.array_equal(ours[seeds > 0], seeds[seeds > 0])


def test_seeds_that_are_joined_part_from_what_one_of_them_parts_from():
    """The voxel that is alone is drawn to the second seed, and more strongly parted from the first."""
    seeds = np.array([[0, 1001, 1003], [0, 0, 0]], np.uint64)
    affinities = np.zeros((2, 2, 3), np.float32)
    affinities[0, 1, 0], affinities[1, 1, 0] = 0.48, -0.6
    found = mwatershed.agglom(affinities, [(-1, 2), (-1, 1)], seeds, [(True, 1001, 1003)])
    assert found.tolist() == [[0, 1001, 1001], [1002, 0, 0]]


@given(edges=st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_cluster_is_mwatershed_s(edges):
    peer = pytest.importorskip("mwatershed")
    ours, theirs = (dict(m.cluster(edges)) for m in (mwatershed, peer))
    assert set(ours) == set(theirs)
    assert same_partition([ours[n] for n in sorted(ours)], [theirs[n] for n in sorted(theirs)])


@given(grid=grids(), thinned=st.booleans())
def test_agglom_by_hand(backend, grid, thinned):
    weights, offsets, rng = grid
    signed = weights * rng.choice([-1, 1], weights.shape).astype(np.float32)
    shape = weights.shape[1:]
    strides, kept = None, np.ones(weights.shape, bool)
    if thinned:
        strides = [tuple(int(s) for s in rng.integers(1, 4, len(shape))) for _ in offsets]
        for k, *p in np.ndindex(weights.shape):
            starts = [max(0, -o) for o in offsets[k]]
            kept[(k, *p)] = all((i - s) % step == 0 for i, s, step in zip(p, starts, strides[k], strict=True))
    edges = list(grid_edges(signed, offsets, kept))
    roots = np.array(by_hand(edges, int(np.prod(shape)))) + 1
    attracted = {n for weight, *ends in edges if weight > 0 for n in ends}
    roots[[n not in attracted for n in range(len(roots))]] = 0
    ours = mwatershed.agglom(signed, offsets, strides=strides)
    assert ours.shape == shape
    assert np.array_equal(ours == 0, roots.reshape(shape) == 0)
    assert same_partition(ours, roots)


def test_names_of_segments():
    seeds = np.array([9, 0, 0, 4, 0, 7])
    affinities = np.array([[0.5, -0.4, -0.3, 0.2, -0.1, 0]])
    assert mwatershed.agglom(affinities, [(1,)], seeds).tolist() == [9, 9, 0, 4, 4, 7]
    joined = mwatershed.agglom(affinities, [(1,)], seeds, edges=[(True, 9, 4), (False, 4, 7)])
    assert joined.tolist() == [4, 4, 0, 4, 4, 7]
    assert mwatershed.cluster([]) == mwatershed.cluster_edges([]) == []
    assert mwatershed.cluster_edges([(0.2, 5, 9), (-0.1, 9, 7), (0, 1, 5)]) == [(1, 1), (5, 5), (7, 7), (9, 5)]


def test_the_largest_seed_of_all():
    most = 2**64 - 1
    found = mwatershed.agglom(np.zeros((1, 1, 3), "f4"), [(0, 1)], seeds=np.array([[most, 0, 0]], "u8"))
    assert found.tolist() == [[most, 0, 0]]


def test_strides_by_chance_keep_their_share():
    affinities = np.ones((2, 60, 60), np.float32)
    found = mwatershed.agglom(affinities, [(1, 0), (0, 1)], strides=[(2, 3), (1, 1)], randomized_strides=True)
    assert np.array_equal(found[:, :1].repeat(60, 1), found)  # rows hold together
    segments = len(np.unique(found))
    assert segments < 20  # a row has 60 chances of one in six to hold on to the next
    again = mwatershed.agglom(affinities, [(1, 0), (0, 1)], strides=[(2, 3), (1, 1)], randomized_strides=True)
    assert np.array_equal(found, again)
    sparse = mwatershed.agglom(affinities[:1], [(1, 0)], strides=[(6, 1)], randomized_strides=True)
    assert 0.1 < 1 - np.count_nonzero(sparse == 0) / sparse.size < 0.45


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((np.ones((1, 3), int), [(1,)]), TypeError, "affinities must be floats of 2 to 4 axes, got int64"),
        ((np.ones((1, 1, 1, 1, 1)), [(1, 0, 0, 0)]), TypeError, "affinities must be floats of 2 to 4 axes"),
        ((np.ones((1, 3)), [(1,), (2,)]), ValueError, "offsets must be 1 steps of 1 numbers, one per channel"),
        ((np.ones((1, 3)), [(1, 0)]), ValueError, "offsets must be 1 steps of 1 numbers"),
        ((np.full((1, 3), np.nan), [(1,)]), ValueError, "affinities must be finite"),
        ((np.ones((1, 3)), [(1,)], np.ones(2, int)), ValueError, r"seeds must have the shape of one channel \(3,\)"),
        ((np.ones((1, 3)), [(1,)], None, [(True, 1, 2)]), ValueError, "edges need seeds"),
        ((np.ones((1, 3)), [(1,)], np.arange(3), [(True, 1, 7)]), ValueError, "edges must name seeds, got 7"),
        ((np.ones((1, 3)), [(1,)], np.arange(3), [(True, 0, 1)]), ValueError, "edges must name seeds, got 0"),
        ((np.ones((1, 3)), [(1,)], None, None, [(1, 1)]), ValueError, "strides must be 1 steps of 1 numbers"),
    ],
)
def test_agglom_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        mwatershed.agglom(*arguments)


def test_names_of_the_peer_are_covered():
    assert set(pytest.importorskip("mwatershed").__all__) == set(mwatershed.__all__)


# affogato


@given(grid=grids(dims=(2, 3)), attractive=st.integers(0, 4), masked=st.booleans(), thinned=st.booleans())
def test_compute_mws_segmentation(backend, grid, attractive, masked, thinned):
    weights, offsets, rng = grid
    shape = weights.shape[1:]
    attractive = min(attractive, len(offsets))
    if attractive:
        weights.flat[rng.integers(weights[:attractive].size)] = 0  # the last of all, and it joins
    mask = rng.random(shape) < 0.8 if masked else None
    strides = [int(s) for s in rng.integers(1, 4, len(shape))] if thinned else None
    kept = np.ones(weights.shape, bool)
    if strides:
        kept[attractive:] = np.all(np.indices(shape).T % strides == 0, axis=-1).T
    signed = np.maximum(weights, 1e-30)
    signed[attractive:] *= -1
    edges = [e for e in grid_edges(signed, offsets, kept) if mask is None or (mask.flat[e[1]] and mask.flat[e[2]])]
    roots = np.array(by_hand(edges, int(np.prod(shape)))).reshape(shape) + 1
    wanted = roots if mask is None else np.where(mask, roots, 0)
    for algorithm in ("kruskal", "prim"):
        ours = affogato.compute_mws_segmentation(
            weights.astype(np.float64), offsets, attractive, strides, algorithm=algorithm, mask=mask
        )
        assert ours.dtype == np.uint64
        assert np.array_equal(ours == 0, wanted == 0)
        assert same_partition(ours, wanted)


@given(grid=grids(dims=(2, 3)), masked=st.booleans(), chosen=st.booleans())
def test_compute_mws_segmentation_from_signed_affinities(backend, grid, masked, chosen):
    weights, offsets, rng = grid
    shape = weights.shape[1:]
    signed = weights * rng.choice([-1, 1], weights.shape).astype(np.float32)
    mask = rng.random(shape) < 0.8 if masked else None
    edge_mask = rng.random(weights.shape) < 0.7 if chosen else None
    ours, valid = affogato.compute_mws_segmentation_from_signed_affinities(signed, offsets, mask, edge_mask, True)
    wanted_valid = np.zeros(weights.shape, bool)
    for k, step in enumerate(offsets):
        for p in np.ndindex(shape):
            q = tuple(i + s for i, s in zip(p, step, strict=True))
            inside = all(0 <= i < n for i, n in zip(q, shape, strict=True))
            wanted_valid[(k, *p)] = inside and (mask is None or (mask[p] and mask[q]))
    if chosen:
        wanted_valid &= edge_mask
    assert np.array_equal(valid, wanted_valid)
    roots = np.array(by_hand(list(grid_edges(signed, offsets, valid)), int(np.prod(shape)))).reshape(shape) + 1
    wanted = roots if mask is None else np.where(mask, roots, 0)
    assert np.array_equal(ours == 0, wanted == 0)
    assert same_partition(ours, wanted)
    shifted = affogato.compute_mws_segmentation_from_affinities(signed / 2 + 0.5, offsets, 0.5, mask, edge_mask)
    assert np.array_equal(shifted, ours)


def test_affinities_of_nothing_join_last():
    signed = np.array([[[0.0, 0.0, -0.5, 0.0]]])
    join = affogato.compute_mws_segmentation_from_signed_affinities
    assert join(signed, [(0, 1)]).tolist() == [[1, 1, 1, 2]]
    assert join(signed, [(0, 1)], edge_mask=np.array([[[True, False, True, True]]])).tolist() == [[1, 1, 2, 3]]


@given(seed=st.integers(0, 2**32), count=st.integers(1, 9), edges=st.integers(0, 12), mutexes=st.integers(0, 12))
def test_clusterings(seed, count, edges, mutexes):
    rng = np.random.default_rng(seed)
    uvs, parting = rng.integers(0, count, (edges, 2)), rng.integers(0, count, (mutexes, 2))
    weights = (rng.permutation(edges + mutexes) - 3.0).astype(np.float32)
    arguments = (count, uvs.astype(np.uint64), parting.astype(np.uint64), weights[:edges], weights[edges:])
    rows = [(w + 4, u, v) for w, (u, v) in zip(weights[:edges].tolist(), uvs.tolist(), strict=True)]
    rows += [(-(w + 4), u, v) for w, (u, v) in zip(weights[edges:].tolist(), parting.tolist(), strict=True)]
    labels = affogato.compute_mws_clustering(*arguments)
    assert labels.dtype == np.uint64
    wanted = by_hand(rows, count)
    assert labels.tolist() == [wanted.index(root) for root in wanted]  # the smallest node
    floor = max((-weights[edges:]).tolist(), default=-np.inf)
    joined = by_hand([(1, u, v) for w, (u, v) in zip(weights[:edges], uvs.tolist(), strict=True) if w >= floor], count)
    assert affogato.compute_single_linkage_clustering(*arguments).tolist() == [joined.index(r) for r in joined]


def test_compute_zws_segmentation():
    weights = np.random.default_rng(0).random((2, 60, 60))
    labels, count = affogato.compute_zws_segmentation(weights, 0.2, 0.98, 0.1, 5)
    wanted = emfast.watershed(weights.astype("f4"), low=0.2, high=0.98, merge_threshold=0.1, merge_size=5, dust=5)
    assert labels.dtype == np.uint64
    assert np.array_equal(labels, wanted)
    assert count == labels.max() + 1


def test_strides_of_repulsive_channels_by_chance():
    weights = np.stack([np.full((40, 40), 0.5), np.full((40, 40), 0.5), np.ones((40, 40))])
    offsets = [(-1, 0), (0, -1), (0, -2)]
    parts = [
        len(np.unique(affogato.compute_mws_segmentation(weights, offsets, 2, strides, by_chance)))
        for strides, by_chance in ((None, False), ((4, 4), False), ((4, 4), True), ((40, 40), True))
    ]
    assert parts[0] > parts[2] > parts[3] >= 1
    assert parts[0] > parts[1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda a: a.compute_mws_segmentation(np.ones((1, 2, 2)), [(0, 1)], 2), "channels must be from 0 to 1, got 2"),
        (lambda a: a.compute_mws_segmentation(-np.ones((1, 2, 2)), [(0, 1)], 1), "weights must be numbers from 0 up"),
        (
            lambda a: a.compute_mws_segmentation(np.full((1, 2, 2), np.nan), [(0, 1)], 1),
            "weights must be numbers from 0 up",
        ),
        (
            lambda a: a.compute_mws_segmentation(np.ones((1, 2, 2)), [(0, 1)], 1, algorithm="boruvka"),
            'algorithm must be "kruskal" or "prim", got \'boruvka\'',
        ),
        (lambda a: a.compute_mws_segmentation(np.ones((1, 2, 2)), [(0, 1)] * 2, 1), "offsets must be one per channel"),
        (
            lambda a: a.compute_mws_segmentation_from_signed_affinities(
                np.ones((1, 2, 2)), [(0, 1)], edge_mask=np.ones((2, 2), bool)
            ),
            "edge_mask must have the shape of the affinities",
        ),
        (lambda a: a.compute_mws_clustering(2, [[0, 2]], [], [1], []), "uvs must hold nodes from 0 to 1, got 0 to 2"),
        (lambda a: a.compute_mws_clustering(2, [[0, 1]], [], [1, 2], []), r"uvs must have one edge per weight \(2\)"),
        (lambda a: a.compute_mws_clustering(2, [[0, 1]], [], [np.nan], []), "weights of uvs must be numbers, got NaN"),
    ],
)
def test_affogato_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(affogato)


@pytest.mark.parametrize("by_chance", [False, True])
def test_strides_go_on(by_chance):
    with pytest.raises(ValueError, match="strides must be steps of at least 1"):
        mwatershed.agglom(np.ones((1, 4)), [(1,)], strides=[(0,)], randomized_strides=by_chance)
