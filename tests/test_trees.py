import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import MergeTree, RegionGraph, _arrays, trees

REDUCIBLE = ["mean", "min", "max", "median", "quantile:0.25", "quantile:1"]
FORMULAS = [
    "mean_by_size",
    "mean_by_contact",
    "mean / smaller",
    "1 - (1 - median) * sqrt(contact)",
    "quantile(0.75) * greatest(smaller / larger, 0.25)",
    "step(mean - 0.5) * max - least(min, 0.1) + sum / larger - -0.5",
    "(mean - mean) / (max - max)",
]


def graph_of(pairs, counts, sums, values, ids, nodes, sizes, unit, rng):
    """A RegionGraph from parts, with histograms that have nothing to do with the sums: no score needs both."""
    n = len(pairs)
    low, high = values.min(axis=1), values.max(axis=1)
    lists = []
    for count in counts:
        bins = np.zeros(256, np.int64)
        np.add.at(bins, rng.choice([0, 3, 100, 255], count), 1)
        lists.append(bins)
    bins = np.array(lists, np.int64).reshape(n, 256)
    rows, which = np.nonzero(bins)
    return RegionGraph(
        edges=np.array(pairs, nodes.dtype).reshape(n, 2),
        counts=counts,
        sums=sums,
        minima=low,
        maxima=high,
        faces=np.zeros((n, 3), np.int64),
        ids=ids,
        nodes=nodes,
        sizes=sizes,
        unit=unit,
        spacing=(1.0, 1.0, 1.0),
        starts=np.searchsorted(rows, np.arange(n + 1)).astype(np.int64),
        bins=which.astype("u1"),
        bin_counts=bins[rows, which],
    )


def random_graph(rng, nodes, edges, levels=3, hubs=0, dtype="u4"):
    """Few levels: many ties. The first `hubs` nodes touch many others."""
    names = np.sort(rng.choice(3 * nodes + 3, nodes, replace=False)).astype(dtype)
    ends = rng.integers(0, nodes, (edges, 2))
    if hubs:
        ends[: edges // 2, 0] = rng.integers(0, hubs, edges // 2)
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    ends = ends[ends[:, 0] < ends[:, 1]]
    n = len(ends)
    counts = rng.integers(1, 4, n)
    unit = int(rng.choice([255, 2**24]))
    values = rng.integers(0, levels, (n, 2)) * (255 // levels)
    sums = rng.integers(0, levels + 1, n) * counts * (unit // levels)
    values = values.astype("u1") if unit == 255 else (values / 256).astype("f4")
    ids = rng.permutation(10 * n)[:n].astype(np.int64)
    return graph_of(names[ends], counts, sums, values, ids, names, rng.integers(1, 20, nodes), unit, rng)


@st.composite
def graphs(draw, most=10):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes = draw(st.integers(1, most))
    return random_graph(rng, nodes, draw(st.integers(0, 3 * nodes)), draw(st.integers(1, 4)))


def parts_of(graph, weights=None, weighted_counts=True):
    """The graph as the oracle takes it."""
    steps = 255.0 if graph.unit == 255 else 1.0
    edges = {}
    for i, pair in enumerate(graph.edges.tolist()):
        row = slice(graph.starts[i], graph.starts[i + 1])
        edges[tuple(pair)] = {
            "id": int(graph.ids[i]),
            "sum": int(graph.sums[i]),
            "count": int(graph.counts[i]),
            "minimum": float(graph.minima[i]) / steps,
            "maximum": float(graph.maxima[i]) / steps,
            "bins": dict(zip(graph.bins[row].tolist(), graph.bin_counts[row].tolist(), strict=True)),
        }
        if weights is not None:
            e, w = edges[tuple(pair)], float(weights[i])
            e["minimum"] = e["maximum"] = w
            e["sum"] = math.floor(w * 2**24 + 0.5) * (e["count"] if weighted_counts else 1)
    return dict(zip(graph.nodes.tolist(), graph.sizes.tolist(), strict=True)), edges


def check(tree, graph, expected):
    assert tree.a.dtype == tree.b.dtype == graph.nodes.dtype
    assert list(zip(tree.a.tolist(), tree.b.tolist(), tree.scores.tolist(), tree.ids.tolist(), strict=True)) == expected


def spelled(score):
    return {"median": "quantile:0.5"}.get(score, trees._NAMED.get(score, score))


@given(
    graph=graphs(), score=st.sampled_from([*REDUCIBLE, "sum"]), until=st.sampled_from([None, 0.25, 1 / 3, 0.5, -1.0])
)
def test_agglomerate_is_the_oracle(backend, graph, score, until):
    expected = oracles.merge_tree(*parts_of(graph), spelled(score), graph.unit, 0.0 if until is None else until)
    check(emfast.agglomerate(graph, score=score, until=until), graph, expected)


@given(graph=graphs(8), score=st.sampled_from(FORMULAS))
def test_formulas_are_the_oracle(backend, graph, score):
    expected = oracles.merge_tree(*parts_of(graph), spelled(score), graph.unit, -1e300)
    check(emfast.agglomerate(graph, score=score, until=-1e300), graph, expected)


@given(
    graph=graphs(),
    score=st.sampled_from(["mean", "sum", "absolute", "max", "min"]),
    constrained=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_signed_weights_are_the_oracle(backend, graph, score, constrained, seed):
    weights = np.random.default_rng(seed).choice([-2, -1, -0.5, 0, 0.5, 1, 1.5], len(graph))
    tree = emfast.agglomerate(graph, score=score, weights=weights, constrained=constrained)
    parts = parts_of(graph, weights, score == "mean")
    check(tree, graph, oracles.merge_tree(*parts, score, 2**24, math.ulp(0.0), constrained=constrained))


@given(graph=graphs(), score=st.sampled_from([*REDUCIBLE, "sum", "mean / smaller"]), data=st.data())
def test_rules_are_the_oracle(backend, graph, score, data):
    nodes, edges = parts_of(graph)
    names = list(nodes)
    pairs = st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=2)
    cannot = [p for p in data.draw(pairs) if p[0] != p[1]]
    seeds = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from([0, 5, -3]), max_size=4))
    big = data.draw(st.sampled_from([None, (10, 0.5), (25, 0.75), (0, 0.5)]))
    must = data.draw(pairs)
    same = [p for p in itertools.combinations(seeds, 2) if seeds[p[0]] == seeds[p[1]]]
    options = {"cannot_link": cannot, "seeds": seeds, "must_link": must}
    if big:
        options |= {"big_size": big[0], "big_score": big[1]}
    groups = {n: {n} for n in names}
    for a, b in [*must, *same]:
        whole = groups[a] | groups[b]
        groups |= dict.fromkeys(whole, whole)
    conflict = any(b in groups[a] for a, b in cannot) or any(
        seeds[a] != seeds[b] and b in groups[a] for a, b in itertools.combinations(seeds, 2)
    )
    if conflict:
        with pytest.raises(ValueError, match="must_link and cannot_link must agree"):
            emfast.agglomerate(graph, score=score, **options)
        return
    tree = emfast.agglomerate(graph, score=score, **options)
    # The order of pairs that must be merged is the tree's own affair.
    firsts = [(a, b) for a, b, s in zip(tree.a.tolist(), tree.b.tolist(), tree.scores, strict=True) if s == math.inf]
    united = {n: {n} for n in names}
    for a, b in firsts:
        whole = united[a] | united[b]
        united |= dict.fromkeys(whole, whole)
    assert united == groups
    expected = oracles.merge_tree(nodes, edges, spelled(score), graph.unit, 0.0, cannot, firsts, seeds, big)
    check(tree, graph, expected)


@pytest.mark.parametrize("score", [*REDUCIBLE, "absolute"])
@pytest.mark.parametrize("levels", [3, 100])
def test_chains_make_the_tree_of_the_queue(backend, score, levels):
    """Hubs with many edges, most of them tied; with rules too."""
    rng = np.random.default_rng(levels)
    for _ in range(6):
        graph = random_graph(rng, 700, 4000, levels, hubs=3)
        options = {"score": score, "until": 0.1}
        if score == "absolute":
            options |= {"weights": rng.integers(-levels, levels, len(graph)) / levels}
        plain = {
            "weights": None,
            "must_link": (),
            "cannot_link": (),
            "seeds": None,
            "big_size": None,
            "big_score": 0.5,
            "constrained": False,
        }
        some = rng.choice(graph.nodes, (3, 2), replace=False)
        seeds = dict(zip(rng.choice(graph.nodes, 30, replace=False).tolist(), [1, 2, 3] * 10, strict=True))
        for rules in ({}, {"big_size": 60}, {"cannot_link": some}, {"seeds": seeds}):
            given_rules = {**plain, **options, **rules}
            chains = trees._agglomerate(*trees._checked(graph), **given_rules)  # by rounds where these suit
            for schedule in ("chains", "queue"):
                assert chains == trees._agglomerate(*trees._checked(graph), schedule=schedule, **given_rules)
            assert (chains.heights[1:] <= chains.heights[:-1]).all()
            assert np.array_equal(chains.heights, chains.scores)  # reducible: scores fall by themselves


def near_graph(rng, nodes, hubs, levels):
    """Neighbours in number are neighbours, but for a few hubs: what ranges of nodes can share out."""
    ends = np.concatenate(
        [np.stack([np.arange(nodes - step), np.arange(step, nodes)], axis=1) for step in (1, 7, 90)]
        + [np.stack([np.full(400, h), rng.integers(0, nodes, 400)], axis=1) for h in rng.integers(0, nodes, hubs)]
    )
    ends = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1), axis=0)
    n, names = len(ends), np.arange(1, nodes + 1, dtype="u4")
    counts = rng.integers(1, 9, n)
    values = (rng.integers(0, levels, (n, 2)) * (255 // levels)).astype("u1")
    sums = rng.integers(0, levels + 1, n) * counts * (255 // levels)
    return graph_of(names[ends], counts, sums, values, rng.permutation(n), names, rng.integers(1, 20, nodes), 255, rng)


@pytest.mark.parametrize("score", ["mean", "median", "max"])
def test_threads_share_ranges_of_nodes(score):
    rng = np.random.default_rng(5)
    graph = near_graph(rng, 13_000, 3, 100)
    some = rng.choice(graph.nodes, (40, 2), replace=False)
    seeds = dict(zip(rng.choice(graph.nodes, 300, replace=False).tolist(), [1, 2, 3] * 100, strict=True))
    frozen = rng.choice(graph.nodes, 200)
    for rules in ({}, {"big_size": 60}, {"cannot_link": some}, {"must_link": some}, {"seeds": seeds}, {"open": frozen}):
        found = []
        for threads in (1, 2, 3):
            emfast.set_threads(threads)
            try:
                if "open" in rules:
                    found.append(emfast.agglomerate_block(graph, frozen, score=score, until=0.1))
                else:
                    found.append(emfast.agglomerate(graph, score=score, until=0.1, **rules))
            finally:
                emfast.set_threads(0)
        assert all(f == found[0] for f in found)


def partition(tree, threshold):
    fragments, segments = tree.cut(threshold)
    return dict(zip(fragments.tolist(), segments.tolist(), strict=True))


@given(graph=graphs(), score=st.sampled_from(["mean", "sum", "mean / smaller"]), data=st.data())
def test_cuts_nest_and_are_the_agglomeration_until_there(graph, score, data):
    tree = emfast.agglomerate(graph, score=score, until=-1e300)
    thresholds = [math.inf, *data.draw(st.lists(st.sampled_from([0, 0.2, 0.5, 1 / 3, 1]), max_size=3)), -math.inf]
    for threshold, (_, segments) in zip(thresholds, tree.cut_many(thresholds), strict=True):
        until = emfast.agglomerate(graph, score=score, until=threshold)
        assert np.array_equal(until.cut(-math.inf)[1], segments)
        assert len(np.unique(segments)) == len(graph.nodes) - len(until)
    finer, coarser = partition(tree, 0.5), partition(tree, 0.2)
    assert all(coarser[n] == coarser[s] for n, s in finer.items())


@given(graph=graphs(), seed=st.integers(0, 2**32 - 1))
def test_curve_is_computed_anew_at_every_merge(backend, graph, seed):
    rng = np.random.default_rng(seed)
    tree = emfast.agglomerate(graph)
    n = int(rng.integers(0, 30))
    fragments = rng.choice(np.r_[graph.nodes, 0], n)
    truths, counts = rng.integers(0, 4, n), rng.integers(0, 5, n)
    curve = tree.curve((fragments, truths, counts))
    assert np.array_equal(curve["threshold"], np.r_[np.inf, tree.heights])
    for i in range(len(tree) + 1):
        table = dict(zip(*(c.tolist() for c in tree.after(i)), strict=True))
        cells = {}
        for f, t, c in zip(fragments.tolist(), truths.tolist(), counts.tolist(), strict=True):
            if t and c:
                key = table.get(f, f), t
                cells[key] = cells.get(key, 0) + c
        total = sum(cells.values())
        if not total:
            assert curve["split"][i] == curve["merge"][i] == curve["rand"][i] == 0
            continue
        s = {k: sum(c for (a, _), c in cells.items() if a == k) for k, _ in cells}
        t = {k: sum(c for (_, b), c in cells.items() if b == k) for _, k in cells}
        split = sum(c / total * math.log2(t[b] / c) for (_, b), c in cells.items())
        merge = sum(c / total * math.log2(s[a] / c) for (a, _), c in cells.items())
        both = sum(c * c for c in cells.values())
        rand = 1 - 2 * both / (sum(c * c for c in s.values()) + sum(c * c for c in t.values()))
        np.testing.assert_allclose([curve[k][i] for k in ("split", "merge", "rand")], [split, merge, rand], atol=1e-12)


def test_curve_of_a_contingency_table(backend):
    """The scores that the table has after each merge, its fragments being the labels."""
    rng = np.random.default_rng(4)
    fragments = rng.integers(0, 9, (4, 6, 7)).astype(np.uint32)
    truth = rng.integers(0, 5, fragments.shape)
    tree = emfast.agglomerate(emfast.region_graph(rng.random((3, *fragments.shape), np.float32), fragments))
    table = emfast.contingency(truth, fragments)
    curve = tree.curve(table)
    truths, labels, counts = table.pairs
    assert all(np.array_equal(v, curve[k]) for k, v in tree.curve((labels, truths, counts)).items())
    for i in range(len(tree) + 1):
        cut = table.without(truth=0).relabel(labels=tree.after(i))
        scores = [*cut.voi(), cut.adapted_rand().error]
        np.testing.assert_allclose([curve[k][i] for k in ("split", "merge", "rand")], scores, atol=1e-12)


def test_linkage_for_scipy():
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    rng = np.random.default_rng(0)
    for edges in (0, 40, 200):
        graph = random_graph(rng, 60, edges, 100)
        tree = emfast.agglomerate(graph)
        linkage = tree.to_scipy()
        assert linkage.shape == (59, 4)
        finite = linkage[np.isfinite(linkage[:, 2])]
        assert len(finite) == len(tree)
        assert linkage[-1, 3] == 60
        if not len(tree):
            continue
        for threshold in tree.heights[:: max(1, len(tree) // 5)]:
            groups = hierarchy.fcluster(linkage, tree.heights[0] - threshold, "distance")
            pairs = set(zip(groups.tolist(), tree.cut(threshold)[1].tolist(), strict=True))
            assert len(pairs) == len(set(groups.tolist())) == len({s for _, s in pairs})
    assert emfast.agglomerate(random_graph(rng, 1, 0)).to_scipy().shape == (0, 4)


@given(graph=graphs())
def test_saved_trees_come_back_the_same(tmp_path, graph):
    tree = emfast.agglomerate(graph)
    tree.save(tmp_path / "tree.npz")
    assert MergeTree.load(tmp_path / "tree.npz") == tree
    other = emfast.agglomerate(graph, until=2.0)
    assert (tree == other) == (len(tree) == 0)
    np.savez(tmp_path / "x.npz", a=1)
    with pytest.raises(ValueError, match=r"must be a file of MergeTree\.save"):
        MergeTree.load(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes((tmp_path / "tree.npz").read_bytes()[:200])
    with pytest.raises(ValueError, match="got a damaged one"):
        MergeTree.load(tmp_path / "y.npz")
    with pytest.raises(ValueError, match="threshold must be a number, got nan"):
        tree.cut(np.nan)
    with pytest.raises(FileNotFoundError):
        tree.save(tmp_path / "no" / "tree.npz")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    tree = emfast.agglomerate(emfast.region_graph(np.ones((2, 1, 2), "f4"), np.array([[1, 2]])))
    tree.save(tmp_path / "tree.npz")
    monkeypatch.setattr(np, "savez", lambda file, **_: file.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tree.save(tmp_path / "tree.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["tree.npz"]
    assert MergeTree.load(tmp_path / "tree.npz") == tree


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "u8"])
def test_fragments_of_any_dtype(backend, dtype):
    info = np.iinfo(dtype)
    fragments = np.array([[info.min or 1, 3, info.max, 5, 0, 7]], dtype)
    affinities = np.array([[[0] * 6], [[0, 50, 200, 100, 9, 9]]], "u1")
    tree = emfast.agglomerate(emfast.region_graph(backend(affinities), backend(fragments)))
    expected = [sorted(p) for p in ((3, info.max), (3, 5), (info.min or 1, 3))]
    assert [sorted(p) for p in zip(tree.a.tolist(), tree.b.tolist(), strict=True)][:2] == expected[:2]
    out = tree.relabel(fragments, 0.1)
    assert out.dtype == fragments.dtype
    assert len(set(out[0, :4].tolist())) == 1
    assert out[0, 4:].tolist() == [0, 7]


@st.composite
def volumes(draw):
    shape = draw(st.sampled_from([(3, 5, 6), (1, 7, 9), (6, 4, 5), (8, 9)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([2, 5, 200]))
    nearest = [tuple(int(s) for s in step) for step in -np.eye(len(shape), dtype=int)]
    offsets = draw(st.sampled_from([nearest, [*nearest, (0, -2, 1)[3 - len(shape) :]]]))
    affinities = (rng.integers(0, levels + 1, (len(offsets), *shape)) * (255 // levels)).astype("u1")
    if draw(st.booleans()):
        affinities = (affinities / 255).astype("f4")
    fragments = rng.integers(0, draw(st.sampled_from([10, 60])), shape).astype("u4")
    if draw(st.booleans()):
        fragments = np.arange(1, fragments.size + 1, dtype="u4").reshape(shape)
        fragments[..., 1::2] = fragments[..., : fragments.shape[-1] // 2 * 2 : 2]
    return affinities, emfast.connected_components(fragments), offsets


def blocks_of(shape, cuts, offsets):
    """(window of the array that is read, options of region_graph) for blocks between the cuts."""
    reach = np.abs(offsets).max(axis=0)
    for corner in np.ndindex(*(len(c) - 1 for c in cuts)):
        low = [c[i] for c, i in zip(cuts, corner, strict=True)]
        high = [c[i + 1] for c, i in zip(cuts, corner, strict=True)]
        start = [max(0, a - int(r)) for a, r in zip(low, reach, strict=True)]
        stop = [min(n, b + int(r)) for n, b, r in zip(shape, high, reach, strict=True)]
        core = [slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True)]
        yield tuple(map(slice, start, stop)), {"core": core, "origin": start, "whole_shape": shape, "offsets": offsets}


@given(
    volume=volumes(),
    score=st.sampled_from(["mean", "min", "max", "median"]),
    rules=st.sampled_from([{}, {"until": 0.4}, {"big_size": 3, "big_score": 0.7}]),
    data=st.data(),
)
def test_blocks_make_the_tree_of_the_whole(backend, volume, score, rules, data):
    affinities, fragments, offsets = volume
    histogram = score == "median"
    cuts = [sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=2))}) for n in fragments.shape]
    whole = emfast.region_graph(affinities, fragments, offsets=offsets, histogram=histogram)
    trees_, rests = [], []
    for window, block in blocks_of(fragments.shape, cuts, offsets):
        here = backend(fragments[window])
        graph = emfast.region_graph(backend(affinities[(slice(None), *window)]), here, histogram=histogram, **block)
        tree, rest = emfast.agglomerate_block(graph, emfast.open_fragments(here, **block), score=score, **rules)
        trees_.append(tree)
        rests.append(rest)
    rest = RegionGraph.total(rests)
    if data.draw(st.booleans()):  # a level more: what touches one half of the volume waits
        half = fragments[..., : fragments.shape[-1] // 2]
        tree, rest = emfast.agglomerate_block(rest, np.unique(half), score=score, **rules)
        trees_.append(tree)
    trees_.append(emfast.agglomerate(rest, score=score, **rules))
    expected = emfast.agglomerate(whole, score=score, **rules)
    assert MergeTree.total(data.draw(st.permutations(trees_))) == expected
    done, all_done = rest.contract(trees_[-1].cut(-math.inf)), whole.contract(expected.cut(-math.inf))
    left = np.isin(all_done.nodes, done.nodes)  # out of those that were left out nothing can come
    kept = left[np.searchsorted(all_done.nodes, all_done.edges)].all(axis=1)
    assert np.array_equal(all_done.nodes[left], done.nodes)
    for name in ("edges", "counts", "sums", "minima", "maxima", "ids"):
        assert np.array_equal(getattr(all_done, name)[kept], getattr(done, name))
    assert "big_size" not in rules or left.all()


def test_blocks_hand_on_only_what_may_be_merged():
    """1 and 2 are merged, 3 is whole and below the threshold: 4, which is open, needs to know of neither."""
    fragments = np.array([[1, 2, 3, 4, 5]], np.uint32)
    affinities = np.array([[[0] * 5], [[0, 0.9, 0.4, 0.4, 0.9]]], np.float32)
    graph = emfast.region_graph(affinities, fragments)
    tree, rest = emfast.agglomerate_block(graph, [4], until=0.5)
    assert len(tree) == 1
    assert rest.nodes.tolist() == [4, 5]
    assert rest.edges.tolist() == [[4, 5]]
    _, rest = emfast.agglomerate_block(graph, [4], until=0.5, big_size=3)  # sizes may let later what they forbid now
    assert rest.nodes.tolist() == [1, 3, 4, 5]
    _, rest = emfast.agglomerate_block(graph, [4], until=0.4)
    assert rest.nodes.tolist() == [1, 4, 5]  # 3 has joined 1, which waits for 4
    assert rest.edges.tolist() == [[1, 4], [4, 5]]


def test_blocks_do_most_of_the_work():
    """Not only right: in blocks of many fragments most merges come before the last level."""
    rng = np.random.default_rng(1)
    fragments = np.arange(1, 8 * 48 * 48 + 1, dtype="u4").reshape(8, 48, 48)
    affinities = rng.random((3, *fragments.shape), np.float32)
    cuts = [[0, 8], [0, 24, 48], [0, 24, 48]]
    trees_, rests = [], []
    for window, block in blocks_of(fragments.shape, cuts, emfast.NEAREST):
        graph = emfast.region_graph(affinities[(slice(None), *window)], fragments[window], **block)
        tree, rest = emfast.agglomerate_block(graph, emfast.open_fragments(fragments[window], **block), until=0.5)
        trees_.append(tree)
        rests.append(rest)
    last = emfast.agglomerate(RegionGraph.total(rests), until=0.5)
    assert MergeTree.total([*trees_, last]) == emfast.agglomerate(emfast.region_graph(affinities, fragments), until=0.5)
    assert sum(map(len, trees_)) > len(last)
    assert sum(map(len, rests)) * 4 < len(fragments.ravel()) * 3  # of three edges to a fragment


def test_doubles_that_hide_a_difference_are_put_in_order():
    """Two quotients that differ, though not as doubles; the better has the larger id."""
    n = 2**30
    sums, counts = np.array([2**53 - n, 2**53 - n - 1]), np.array([n, n])
    assert sums[0] / (counts[0] * 2.0**24) != sums[1] / (counts[1] * 2.0**24)  # still apart
    sums, counts = sums * 8 + [0, 7], counts * 8
    assert (sums / (counts * 2.0**24) == sums[0] / (counts[0] * 2.0**24)).all()
    names = np.array([1, 2, 3, 4], "u4")
    scores = sums / (counts * 2.0**24)

    def tree(rows):
        a, b, ids = np.array([1, 3], "u4"), np.array([2, 4], "u4"), np.array([1, 0])
        return MergeTree(names, a[rows], b[rows], scores[rows], ids[rows], sums[rows], counts[rows])

    assert MergeTree.total([tree([1]), tree([0])]).ids.tolist() == [1, 0]


def test_waterz_has_the_same_partition(backend):
    waterz = pytest.importorskip("waterz")
    rng = np.random.default_rng(3)
    affinities = rng.random((3, 14, 20, 24), np.float32)
    fragments = next(waterz.agglomerate(affinities, [0.0], aff_threshold_low=0.5, aff_threshold_high=1)).copy()
    tree = emfast.agglomerate(emfast.region_graph(backend(affinities), backend(fragments)))
    for threshold in (0.3, 0.5, 0.7):
        (theirs,) = waterz.agglomerate(affinities, [1 - threshold], fragments=fragments.copy())
        pairs = np.unique(np.stack([theirs.ravel(), tree.relabel(fragments, threshold).ravel()], 1), axis=0)
        assert len(pairs) == len(np.unique(theirs)) == len(np.unique(pairs[:, 1]))


def test_errors_name_the_argument():
    rng = np.random.default_rng(0)
    graph = random_graph(rng, 5, 12)
    bare = replace(graph, starts=None, bins=None, bin_counts=None)
    first = int(graph.nodes[0])
    absent = int(graph.nodes[-1]) + 1
    with pytest.raises(TypeError, match="graph must be a RegionGraph, got dict"):
        emfast.agglomerate({})
    with pytest.raises(TypeError, match="score must be a string, got 3"):
        emfast.agglomerate(graph, score=3)
    for score in (
        "means",
        "mean +",
        "mean.real",
        "__import__('os')",
        "mean ** 2",
        "sqrt(mean, mean)",
        "quantile(2)",
        "mean + 1e999",
    ):
        with pytest.raises(ValueError, match="score must be a name or a formula"):
            emfast.agglomerate(graph, score=score)
    for score in ("1" + "0" * 400, "-" * 999 + "1", "(" * 400 + "mean" + ")" * 400):
        with pytest.raises(ValueError, match="score must be a name or a formula"):
            emfast.agglomerate(graph, score=score)
    with pytest.raises(ValueError, match="score must be a formula of at most 1000 characters, got 5004"):
        emfast.agglomerate(graph, score="-" * 5000 + "mean")
    wrong = ("quantile:", "quantile:2", "quantile:-0.5", "quantile:1/3000001", "quantile:1/0")
    for score in (*wrong, "quantile:1e999999999", "quantile:nan", "quantile:-1e-9"):
        with pytest.raises(ValueError, match="needs q from 0 to 1"):
            emfast.agglomerate(graph, score=score)
    with pytest.raises(ValueError, match="at most 31 operations"):
        emfast.agglomerate(graph, score=" + ".join(["mean"] * 17))
    for score in ("median", "mean + median"):
        with pytest.raises(ValueError, match="needs a graph with histograms"):
            emfast.agglomerate(bare, score=score)
    with pytest.raises(ValueError, match="weights go with the scores"):
        emfast.agglomerate(graph, score="median", weights=np.ones(len(graph)))
    with pytest.raises(ValueError, match=rf"weights must be one number per edge, of shape \({len(graph)},\)"):
        emfast.agglomerate(graph, weights=np.ones(len(graph) + 1))
    with pytest.raises(ValueError, match=r"of magnitude at most 2\*\*20"):
        emfast.agglomerate(graph, weights=np.full(len(graph), np.nan))
    with pytest.raises(ValueError, match="'absolute' needs signed weights"):
        emfast.agglomerate(graph, score="absolute")
    with pytest.raises(ValueError, match="constrained=True needs signed weights"):
        emfast.agglomerate(graph, constrained=True)
    with pytest.raises(ValueError, match="until must be a number, got nan"):
        emfast.agglomerate(graph, until=math.nan)
    with pytest.raises(TypeError, match="until must be a number, got 'a'"):
        emfast.agglomerate(graph, until="a")
    with pytest.raises(ValueError, match="big_score must be a number, got nan"):
        emfast.agglomerate(graph, big_size=3, big_score=math.nan)
    with pytest.raises(TypeError, match="seeds must be a mapping from fragments to ids, got list"):
        emfast.agglomerate(graph, seeds=[first])
    with pytest.raises(TypeError, match="the ids of seeds must hold integers, got float64"):
        emfast.agglomerate(graph, seeds={first: 1.2, absent - 1: 1.7})
    with pytest.raises(TypeError, match="seeds must hold integers, got float64"):
        emfast.agglomerate(graph, seeds={first + 0.5: 1})
    with pytest.raises(TypeError, match="must_link must hold integers, got bool"):
        emfast.agglomerate(graph, must_link=np.ones((1, 2), bool))
    with pytest.raises(TypeError, match="weights must be a plain array, got a masked one"):
        emfast.agglomerate(graph, weights=np.ma.masked_less(np.ones(len(graph)), 0))
    with pytest.raises(TypeError, match=r"big_size must be an integer, got 1\.5"):
        emfast.agglomerate(graph, big_size=1.5)
    with pytest.raises(ValueError, match=rf"cannot_link must hold fragments of the graph, got {absent}"):
        emfast.agglomerate(graph, cannot_link=[(first, absent)])
    with pytest.raises(ValueError, match="cannot_link must pair different fragments"):
        emfast.agglomerate(graph, cannot_link=[(first, first)])
    with pytest.raises(ValueError, match=r"must_link must be pairs of fragments, of shape \(k, 2\), got shape \(3,\)"):
        emfast.agglomerate(graph, must_link=[1, 2, 3])
    with pytest.raises(ValueError, match="seeds must hold fragments of the graph"):
        emfast.agglomerate(graph, seeds={absent: 1})
    with pytest.raises(ValueError, match="must_link and cannot_link must agree"):
        emfast.agglomerate(graph, must_link=graph.edges[:1], cannot_link=graph.edges[:1])
    with pytest.raises(ValueError, match="score must be reducible in blocks"):
        emfast.agglomerate_block(graph, [], score="sum")
    with pytest.raises(TypeError, match="graph must be a RegionGraph, got dict"):
        emfast.agglomerate_block({}, [])
    with pytest.raises(ValueError, match="at least one MergeTree"):
        MergeTree.total([])
    tree = emfast.agglomerate(graph)
    with pytest.raises(ValueError, match="merges must be from 0 to"):
        tree.after(len(tree) + 1)
    for merges in (1.5, True, "1"):
        with pytest.raises(TypeError, match=f"merges must be an integer, got {merges!r}"):
            tree.after(merges)
    with pytest.raises(ValueError, match="three arrays of one length, got 1, 2 and 1"):
        tree.curve(([1], [1, 2], [1]))


def row_tree(dtype="u1", **changes):
    """Of fragments 1, 2, 3 in a row: 2 and 3 are merged, then 1 and 2; with arrays changed."""
    graph = emfast.region_graph(np.array([[[0] * 3], [[0, 50, 200]]], "u1"), np.array([[1, 2, 3]], dtype))
    return replace(emfast.agglomerate(graph), **{name: np.array(value) for name, value in changes.items()})


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(fragments=[1, 3, 2]), ValueError, "fragments must ascend"),
        (dict(a=[2]), ValueError, r"b must have shape \(1,\), got \(2,\)"),
        (dict(a=[2, 0]), ValueError, "a must hold fragments of the tree, got 0"),
        (dict(b=[3, 257]), TypeError, "b must be uint8, got int64 with 257"),
        (dict(a=[2, 3]), ValueError, "a must be below tree.b, got 3"),
        (dict(a=[1, 1], b=[3, 3]), ValueError, "b must end every segment once, got 3"),
        (dict(a=[1, 2], b=[2, 3]), ValueError, "a must not hold segments that ended before, got 2"),
        (dict(scores=[0.5, np.nan]), ValueError, "scores must be numbers, got nan"),
        (dict(counts=[1]), ValueError, r"counts must have shape \(2,\), got \(1,\)"),
    ],
)
def test_trees_that_cannot_be(tmp_path, changes, error, message):
    tree = row_tree(**changes)
    for call in (tree.check, lambda: tree.curve(([1, 2], [1, 1], [1, 1]))):
        with pytest.raises(error, match="tree." + message):
            call()
    tree.save(tmp_path / "tree.npz")
    with pytest.raises(ValueError, match=rf"tree\.npz must be a file of MergeTree\.save, but tree.({message})"):
        MergeTree.load(tmp_path / "tree.npz")


def test_trees_with_an_array_missing(tmp_path):
    tree = row_tree()
    assert tree.check() is tree
    place = tmp_path / "tree.npz"
    replace(tree, ids=tree.ids.astype("f8")).save(place)
    assert MergeTree.load(place) == tree
    with np.load(place) as file:
        arrays = dict(file)
    for name in ("fragments", "counts"):
        np.savez(place, **{key: value for key, value in arrays.items() if key != name})
        with pytest.raises(ValueError, match=rf"tree\.npz must be a file of MergeTree\.save, got one without '{name}'"):
            MergeTree.load(place)


def test_curves_know_ids_of_any_size():
    """A fragment that the tree's dtype cannot hold is none of the tree's; ids are not rounded to floats."""
    tree = row_tree()
    wanted = tree.curve(([1, 2, 3, 77], [5, 5, 6, 6], [4, 3, 2, 9]))
    for stranger in (257, -255, 2**40 + 1):
        found = tree.curve(([1, 2, 3, stranger], [5, 5, 6, 6], [4, 3, 2, 9]))
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    truths = [2**63 + 1, 2**63 + 1, 2**63 + 2, 2**63 + 2]
    found = tree.curve((np.array([1, 2, 3, 2**64 - 1], "u8"), truths, np.array([4, 3, 2, 9], "u1")))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    empty = tree.curve(([], [], []))
    assert len(empty["split"]) == 3
    assert not (empty["split"].any() or empty["merge"].any() or empty["rand"].any())


@pytest.mark.parametrize(
    "contingency, error, message",
    [
        (([1], [1]), ValueError, r"contingency must be \(fragments, truths, counts\), got 2 arrays"),
        (([1.0], [1], [1]), TypeError, "contingency's fragments must hold integers, got float64"),
        (([1], [np.nan], [1]), TypeError, "contingency's truths must hold integers, got float64"),
        (([1], ["a"], [1]), TypeError, "contingency's truths must hold integers, got <U1"),
        (([1], [1], [0.5]), TypeError, "contingency's counts must hold integers, got float64"),
        (([1], [1], [-1]), ValueError, r"counts must not be negative, and fewer than 2\*\*62 in all"),
        (([1], [1], np.array([2**63], "u8")), ValueError, r"counts must not be negative, and fewer than 2\*\*62"),
        (([1, 2], [1, 1], [2**61, 2**61]), ValueError, r"counts must not be negative, and fewer than 2\*\*62"),
        (([[1]], [[1]], [[1]]), ValueError, "three arrays of one length"),
    ],
)
def test_tables_that_have_no_curve(contingency, error, message):
    with pytest.raises(error, match=message):
        row_tree().curve(contingency)


def test_trees_that_do_not_add_up():
    tree = row_tree()
    with pytest.raises(ValueError, match="agree in the dtype of fragments, got uint8 and int64"):
        MergeTree.total([tree, row_tree("i8")])
    with pytest.raises(ValueError, match="trees must be of different blocks, got several that merge 2"):
        MergeTree.total([tree, tree])
    with pytest.raises(TypeError, match="trees must be MergeTrees, got RegionGraph"):
        MergeTree.total([emfast.region_graph(np.zeros((2, 1, 2), "u1"), np.array([[1, 2]]))])
    assert MergeTree.total([tree]) == tree


@pytest.mark.parametrize(
    "fragments, message",
    [
        (np.array([True, False]), "open_fragments must hold integers, got bool"),
        (["1"], "open_fragments must hold integers, got <U1"),
        ([1.0], "open_fragments must hold integers, got float64"),
        ("a", "open_fragments must hold integers, got <U1"),
    ],
)
def test_open_fragments_are_ids(fragments, message):
    graph = emfast.region_graph(np.full((2, 1, 3), 200, "u1"), np.array([[1, 2, 3]], "u1"))
    with pytest.raises(TypeError, match=message):
        emfast.agglomerate_block(graph, fragments)


def test_ids_of_any_size_in_lists():
    """Small ids and such from 2**63 on, which NumPy turns to floats together."""
    big, fragments = 2**63, np.array([[1, 2**63, 2**64 - 1]], "u8")
    graph = emfast.region_graph(np.full((2, 1, 3), 10, "u1"), fragments)
    united = emfast.agglomerate(graph, until=0.9, must_link=[(1, big)])
    assert (united.a.tolist(), united.b.tolist()) == ([1], [big])
    assert emfast.agglomerate(graph, until=0.9, seeds={1: 1, big: 1}) == united
    apart = emfast.agglomerate(graph, cannot_link=[(1, big)], seeds={1: 1, big: 2**63})
    assert (apart.a.tolist(), apart.b.tolist()) == ([big], [2**64 - 1])
    assert len(emfast.agglomerate_block(graph, [1, big, 2**64 - 1])[0]) == 0
    assert graph.contract(([1, big], [1, 1])).nodes.tolist() == [1, 2**64 - 1]
    with pytest.raises(TypeError, match="must_link must hold integers that int64 or uint64 holds, all of them"):
        emfast.agglomerate(graph, must_link=[(1, 2**64)])


def test_open_fragments_of_the_halo_do_no_harm():
    """257 is none of a graph of uint8, and not 1 either."""
    graph = emfast.region_graph(np.full((2, 1, 3), 200, "u1"), np.array([[1, 2, 255]], "u1"))
    tree, rest = emfast.agglomerate_block(graph, [257, 2**63])
    assert len(tree) == 2
    assert rest.nodes.tolist() == []
    tree, rest = emfast.agglomerate_block(graph, [257, 2**63, 1])
    assert len(tree) == 0
    assert rest.nodes.tolist() == [1, 2, 255]


class Elsewhere(_arrays.Host):
    """A library whose arrays do not live on the host, but for the native module of the tests."""

    def __init__(self):
        self.brought = 0

    def from_numpy(self, array):
        self.brought += 1
        return array.copy()


def test_a_graph_is_agglomerated_where_its_affinities_lived(backend):
    torch = pytest.importorskip("torch")
    affinities = np.random.default_rng(0).random((3, 4, 8, 8), np.float32)
    fragments = emfast.watershed(affinities, low=0.3)
    graph = emfast.region_graph(torch.from_numpy(affinities), torch.from_numpy(fragments.astype("i4")))
    assert isinstance(graph._library, _arrays.TorchHost)
    tree = emfast.agglomerate(graph)
    graph._library = Elsewhere()
    assert emfast.agglomerate(graph) == tree
    assert graph._library.brought == 5  # ends, ids, sums, counts and sizes
    assert (graph + graph)._library is graph._library
