import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import RegionGraph
from strategies import shapes

FRAGMENT_DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
LONG = [(0, -3, 0), (2, 0, -1), (0, 0, 4), (-1, -2, 5), (0, 1, 0)]


@st.composite
def problems(draw, dims=(2, 3), dtypes=FRAGMENT_DTYPES):
    """Affinities, fragments and offsets; small cells, few values, extremes of the dtypes now and then."""
    shape = draw(shapes(7, dims))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    info = np.iinfo(dtype)
    few = [0, 1, 2, 3, 4, 5]
    pool = draw(st.sampled_from([few, [0, 1, info.max, info.max - 1, info.min], [info.min, info.max, 0], [7, 100]]))
    fragments = np.array(pool, dtype)[rng.integers(0, len(pool), shape)]
    if draw(st.booleans()):
        fragments = np.repeat(fragments, 3, axis=-1)[..., : shape[-1]]
    nearest = [tuple(int(s) for s in step) for step in -np.eye(len(shape), dtype=int)]
    longer = [step[3 - len(shape) :] for step in LONG if any(step[3 - len(shape) :])]
    offsets = draw(st.sampled_from([nearest, nearest[::-1], longer, [tuple(-s for s in step) for step in nearest]]))
    if draw(st.booleans()):
        offsets = [*nearest, *longer]
    kind = np.dtype(draw(st.sampled_from(["u1", "f2", "f4"])))
    values = rng.integers(0, 256, (len(offsets), *shape)).astype("u1")
    if kind.kind == "f":
        values = draw(
            st.sampled_from([values / 255, values / 256, 2.0 ** -(values % 30.0), np.where(values < 99, -0.0, 1)])
        )
    return values.astype(kind), fragments, offsets


def check(graph, edges, nodes, affinities, fragments):
    assert graph.edges.dtype == fragments.dtype
    assert [tuple(e) for e in graph.edges.tolist()] == list(edges)
    assert graph.counts.tolist() == [len(e["values"]) for e in edges.values()]
    assert graph.sums.tolist() == [e["sum"] for e in edges.values()]
    assert graph.faces.tolist() == [e["faces"] for e in edges.values()]
    assert graph.ids.tolist() == [e["id"] for e in edges.values()]
    assert graph.minima.dtype == graph.maxima.dtype == affinities.dtype
    assert graph.minima.tolist() == [min(e["values"]) for e in edges.values()]
    assert graph.maxima.tolist() == [max(e["values"]) for e in edges.values()]
    assert not np.signbit(graph.minima.astype(float)).any()
    assert dict(zip(graph.nodes.tolist(), graph.sizes.tolist(), strict=True)) == nodes
    assert graph.nodes.tolist() == list(nodes)
    assert graph.unit == (255 if affinities.dtype == np.uint8 else 2**24)
    if graph.has_histograms:
        for i, e in enumerate(edges.values()):
            row = slice(graph.starts[i], graph.starts[i + 1])
            bins = dict(zip(graph.bins[row].tolist(), graph.bin_counts[row].tolist(), strict=True))
            assert list(bins.items()) == sorted(e["bins"].items())
            assert graph.histogram(i).sum() == graph.counts[i]


@given(problem=problems(), histogram=st.booleans())
def test_region_graph_is_the_oracle(backend, problem, histogram):
    affinities, fragments, offsets = problem
    graph = emfast.region_graph(backend(affinities), backend(fragments), offsets=offsets, histogram=histogram)
    check(graph, *oracles.region_graph(affinities, fragments, offsets), affinities, fragments)
    assert graph.has_histograms == histogram


@given(problem=problems(), q=st.sampled_from([0, 0.25, 0.3, 0.5, 0.9, 1]))
def test_quantiles_and_adjacency(problem, q):
    affinities, fragments, offsets = problem
    graph = emfast.region_graph(affinities, fragments, offsets=offsets, histogram=True)
    edges, nodes = oracles.region_graph(affinities, fragments, offsets)
    for value, edge in zip(graph.quantiles(q).tolist(), edges.values(), strict=True):
        bins = sorted(oracles.bin_of(v, affinities.dtype) for v in edge["values"])
        rank = min(Fraction(str(q)) * len(bins) // 1, len(bins) - 1)
        assert value == (bins[rank] / 255 if affinities.dtype == np.uint8 else (bins[rank] + 0.5) / 256)
    starts, neighbours, rows = graph.adjacency()
    for i, node in enumerate(nodes):
        row = slice(starts[i], starts[i + 1])
        found = zip(graph.nodes[neighbours[row]].tolist(), rows[row].tolist(), strict=True)
        assert list(found) == sorted((sum(pair) - node, r) for r, pair in enumerate(edges) if node in pair)


@given(problem=problems(), data=st.data())
def test_blocks_add_up_to_the_whole(backend, problem, data):
    affinities, fragments, offsets = problem
    shape = fragments.shape
    histogram = data.draw(st.booleans())
    whole = emfast.region_graph(affinities, fragments, offsets=offsets, histogram=histogram, boxes=histogram)
    reach = np.abs(offsets).max(axis=0)
    cuts = [sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=2))}) for n in shape]
    parts = []
    for corner in np.ndindex(*(max(len(c) - 1, 1) for c in cuts)):
        low = [c[i] for c, i in zip(cuts, corner, strict=True)]
        high = [c[min(i + 1, len(c) - 1)] for c, i in zip(cuts, corner, strict=True)]
        start = [max(0, a - int(r)) for a, r in zip(low, reach, strict=True)]
        stop = [min(n, b + int(r)) for n, b, r in zip(shape, high, reach, strict=True)]
        window = tuple(map(slice, start, stop))
        parts.append(
            emfast.region_graph(
                backend(affinities[(slice(None), *window)]),
                backend(fragments[window]),
                offsets=offsets,
                histogram=histogram,
                boxes=histogram,
                core=[slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True)],
                origin=start,
                whole_shape=shape,
            )
        )
    order = data.draw(st.permutations(parts))
    assert RegionGraph.total(order) == whole
    summed = order[0]
    for part in order[1:]:
        summed = summed + part
    assert summed == whole


@given(problem=problems(dims=(3,)))
def test_nothing_depends_on_threads_or_backend(problem, backend, threads):
    affinities, fragments, offsets = problem
    graph = emfast.region_graph(backend(affinities), backend(fragments), offsets=offsets, histogram=True)
    check(graph, *oracles.region_graph(affinities, fragments, offsets), affinities, fragments)


def cells(shape, count, seed=0):
    """A Voronoi tessellation, numbered in raster order of first appearance."""
    spatial = pytest.importorskip("scipy.spatial")
    rng = np.random.default_rng(seed)
    points = rng.random((count, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return emfast.renumber(spatial.cKDTree(points).query(grid)[1].astype("u4") + 1)[0]


@pytest.mark.parametrize("base", [0, 2**64 - 60_000, 2**63 - 5])
@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_many_fragments_over_many_blocks(kind, base, threads):
    """Past the blocks of the host's sibling: sums over blocks of other shapes, and NumPy's own count."""
    shape = (37, 41, 300)
    fragments = cells(shape, 9000).astype("u8")
    fragments[fragments > 0] += np.uint64(base)
    fragments[5:8, :, 17:60] = 0
    rng = np.random.default_rng(1)
    affinities = rng.random((3, *shape), np.float32)
    affinities = affinities if kind == "f4" else (affinities * 255).astype("u1")
    graph = emfast.region_graph(affinities, fragments, histogram=True)
    assert graph == emfast.region_graph(affinities, fragments, histogram=True)
    pairs, values, faces = [], [], []
    for axis in range(3):
        a = fragments[tuple(slice(1, None) if k == axis else slice(None) for k in range(3))]
        b = fragments[tuple(slice(None, -1) if k == axis else slice(None) for k in range(3))]
        keep = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.stack([np.minimum(a, b)[keep], np.maximum(a, b)[keep]], 1))
        values.append(affinities[axis][tuple(slice(1, None) if k == axis else slice(None) for k in range(3))][keep])
        faces.append(np.full(keep.sum(), axis))
    pairs, values, faces = map(np.concatenate, (pairs, values, faces))
    edges, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.ravel()
    assert np.array_equal(graph.edges, edges)
    assert np.array_equal(graph.counts, np.bincount(which))
    steps = values.astype(np.int64) if kind == "u1" else np.floor(values.astype(float) * 2**24 + 0.5).astype(np.int64)
    sums = np.zeros(len(edges), np.int64)
    np.add.at(sums, which, steps)
    assert np.array_equal(graph.sums, sums)
    for axis in range(3):
        assert np.array_equal(graph.faces[:, axis], np.bincount(which[faces == axis], minlength=len(edges)))
    ids, sizes = np.unique(fragments[fragments > 0], return_counts=True)
    assert np.array_equal(graph.nodes, ids)
    assert np.array_equal(graph.sizes, sizes)
    half = slice(0, 19)
    parts = [
        emfast.region_graph(affinities[:, half], fragments[half], histogram=True, whole_shape=shape),
        emfast.region_graph(
            affinities[:, 18:],
            fragments[18:],
            histogram=True,
            core=(slice(1, None), slice(None), slice(None)),
            origin=(18, 0, 0),
            whole_shape=shape,
        ),
    ]
    assert parts[1] + parts[0] == graph


@pytest.mark.parametrize("name", ["u1", "f4"])
def test_every_voxel_its_own_fragment(name, threads):
    """More pairs in a block than its table takes."""
    fragments = np.arange(1, 20 * 18 * 70 + 1, dtype="u4").reshape(20, 18, 70)
    affinities = np.full((3, *fragments.shape), 1, name)
    graph = emfast.region_graph(affinities, fragments)
    assert len(graph) == 19 * 18 * 70 + 20 * 17 * 70 + 20 * 18 * 69
    assert (graph.counts == 1).all()
    assert (graph.sums == (1 if name == "u1" else 2**24)).all()
    assert (graph.sizes == 1).all()


def test_contacts_are_the_faces(backend):
    fragments = cells((9, 14, 20), 60)
    graph = emfast.region_graph(backend(np.ones((3, 9, 14, 20), "u1")), backend(fragments), spacing=(30, 8, 10))
    table = emfast.contacts(fragments, spacing=(30, 8, 10))
    assert [tuple(e) for e in graph.edges.tolist()] == list(table)
    assert np.array_equal(graph.faces, table.faces)
    assert np.array_equal(graph.areas, table.area)
    assert list(graph.to_table()) == list(table)


def test_float16_is_widened_exactly(backend):
    every = np.arange(0x3C01, dtype="u2").view("f2")  # 0 to 1, subnormal ones too
    fragments = np.tile(np.array([1, 2], "u4"), (len(every), 1))
    fragments += 2 * np.arange(len(every), dtype="u4")[:, None]
    affinities = np.zeros((2, *fragments.shape), "f2")
    affinities[1, :, 1] = every
    for values in (affinities, affinities.astype("f4")):
        graph = emfast.region_graph(backend(values[1:]), backend(fragments), offsets=[(0, -1)], histogram=True)
        assert graph.sums.tolist() == [oracles.grid_of(v, "f4") for v in every]
        assert graph.bins.tolist() == [oracles.bin_of(v, "f4") for v in every]
        assert np.array_equal(graph.minima, every)


@given(problem=problems())
def test_boxes_hold_the_fragments(backend, problem):
    affinities, fragments, offsets = problem
    graph = emfast.region_graph(backend(affinities), backend(fragments), offsets=offsets, boxes=True)
    plain = emfast.region_graph(affinities, fragments, offsets=offsets)
    assert not plain.has_boxes
    assert np.array_equal(graph.nodes, plain.nodes)
    for node, start, stop in zip(graph.nodes, graph.box_starts, graph.box_stops, strict=True):
        places = np.argwhere(fragments == node)
        assert start.tolist() == places.min(axis=0).tolist()
        assert stop.tolist() == (places.max(axis=0) + 1).tolist()
    renamed = graph.contract((graph.nodes, np.full_like(graph.nodes, max(graph.nodes.tolist(), default=1))))
    if len(graph.nodes):
        assert renamed.box_starts.tolist() == [graph.box_starts.min(axis=0).tolist()]
        assert renamed.box_stops.tolist() == [graph.box_stops.max(axis=0).tolist()]


@given(problem=problems(), histogram=st.booleans(), boxes=st.booleans())
def test_saved_graphs_come_back_the_same(tmp_path, problem, histogram, boxes):
    affinities, fragments, offsets = problem
    graph = emfast.region_graph(affinities, fragments, offsets=offsets, histogram=histogram, boxes=boxes)
    graph.save(tmp_path / "graph.npz")
    assert RegionGraph.load(tmp_path / "graph.npz") == graph


@pytest.mark.parametrize("ending, module", [("zarr", "zarr"), ("parquet", "pyarrow")])
def test_graphs_in_folders_come_back_the_same(tmp_path, ending, module, monkeypatch):
    pytest.importorskip(module)
    rng = np.random.default_rng(0)
    place, other = tmp_path / f"graph.{ending}", tmp_path / f"tree.{ending}"
    for shape in ((5, 6, 7), (0, 6, 7), (6, 7)):
        for kind, fragment_kind, full in (("u1", "u8", True), ("f2", "i4", False), ("f4", "u4", True)):
            affinities = rng.integers(0, 2, (len(shape), *shape)).astype(kind)
            fragments = rng.integers(0, 20, shape).astype(fragment_kind)
            graph = emfast.region_graph(
                affinities, fragments, histogram=full, boxes=full, spacing=(3, 2, 1)[-len(shape) :]
            )
            graph.save(place)  # over the last one
            assert RegionGraph.load(place) == graph
            tree = emfast.agglomerate(graph)
            tree.save(other)
            assert emfast.MergeTree.load(other) == tree
    before = sorted(p.name for p in tmp_path.iterdir())
    assert before == sorted([place.name, other.name])
    with pytest.raises(FileExistsError, match="holds something else"):
        graph.save(other)
    with pytest.raises(ValueError, match=r"must be a file of RegionGraph\.save, got another kind"):
        RegionGraph.load(other)
    with pytest.raises(FileNotFoundError):
        RegionGraph.load(tmp_path / f"nothing.{ending}")
    (tmp_path / f"data.{ending}").mkdir()
    with pytest.raises(FileExistsError, match="holds something else"):
        graph.save(tmp_path / f"data.{ending}")
    (tmp_path / f"data.{ending}").rmdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"also holds notes\.txt"):
        tree.save(other)
    (other / "notes.txt").unlink()
    (other / "bins").mkdir()  # a graph may have such an array, a tree does not
    with pytest.raises(FileExistsError, match="also holds bins"):
        tree.save(other)
    (other / "bins").rmdir()

    def failing(old, new, rename=os.rename):
        if new == str(other) and "new" in old:
            raise OSError("not now")
        rename(old, new)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="not now"):
        tree.save(other)
    monkeypatch.undo()
    assert emfast.MergeTree.load(other) == tree
    monkeypatch.setattr(np, "asarray", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tree.save(tmp_path / f"new.{ending}")
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert emfast.MergeTree.load(other) == tree


def test_parquet_is_for_data_frames(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    fragments = np.arange(1, 9, dtype="u4").reshape(2, 2, 2)
    graph = emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments)
    graph.save(tmp_path / "graph.parquet")
    table = parquet.read_table(tmp_path / "graph.parquet" / "edges.parquet")
    assert table.column("counts").to_pylist() == graph.counts.tolist()
    assert table.column("edges").to_pylist() == graph.edges.tolist()


def test_torch_tensors_are_read_in_place(backend):
    torch = pytest.importorskip("torch")
    fragments = cells((5, 6, 7), 12).astype("i8")
    affinities = np.random.default_rng(0).random((3, 5, 6, 7), np.float32)
    expected = emfast.region_graph(affinities, fragments)
    assert emfast.region_graph(torch.from_numpy(affinities), torch.from_numpy(fragments)) == expected
    assert emfast.region_graph(np.asfortranarray(affinities), np.asfortranarray(fragments)) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.25, 1.0000001])
def test_affinities_outside_are_refused_with_their_place(backend, bad):
    fragments = np.arange(1, 25, dtype="u4").reshape(2, 3, 4)
    affinities = np.full((3, 2, 3, 4), 0.5, "f4")
    affinities[0, 0, 1, 1] = bad  # no such voxel edge: never read
    emfast.region_graph(backend(affinities), backend(fragments))
    affinities[2, 1, 2, 3] = affinities[1, 1, 2, 1] = affinities[2, 1, 2, 1] = bad
    with pytest.raises(ValueError, match=rf"affinities must be from 0 to 1, got {bad}.* at \(1, 1, 2, 1\)"):
        emfast.region_graph(backend(affinities), backend(fragments))


def test_errors_name_the_argument(backend):
    fragments = backend(np.ones((2, 3, 4), "u4"))
    affinities = backend(np.ones((3, 2, 3, 4), "f4"))
    with pytest.raises(TypeError, match="affinities must be uint8, float16 or float32, got float64"):
        emfast.region_graph(backend(np.ones((3, 2, 3, 4))), fragments)
    with pytest.raises(TypeError, match="fragments must be an array of"):
        emfast.region_graph(affinities, backend(np.ones((2, 3, 4), "f4")))
    with pytest.raises(ValueError, match=r"affinities must have the shape .* \(…, 2, 3, 4\), got \(3, 2, 3, 5\)"):
        emfast.region_graph(backend(np.ones((3, 2, 3, 5), "f4")), fragments)
    with pytest.raises(ValueError, match=r"offsets must be one per channel of affinities \(3\), got 2"):
        emfast.region_graph(affinities, fragments, offsets=[(0, 0, -1), (0, -1, 0)])
    with pytest.raises(ValueError, match="offsets must have 3 numbers each, not all 0"):
        emfast.region_graph(affinities, fragments, offsets=[(0, 0, -1), (0, -1, 0), (0, 0, 0)])
    with pytest.raises(ValueError, match=r"core must be a slice of step 1 per axis \(3\)"):
        emfast.region_graph(affinities, fragments, core=(slice(0, 1),))
    with pytest.raises(ValueError, match="must lie within whole_shape"):
        emfast.region_graph(affinities, fragments, origin=(1, 0, 0), whole_shape=(2, 3, 4))
    with pytest.raises(ValueError, match=r"offset \(-1, 0, 0\) is long, got 0 voxels before it on axis 0"):
        emfast.region_graph(affinities, fragments, origin=(1, 0, 0), whole_shape=(9, 3, 4))
    with pytest.raises(ValueError, match=r"offset \(0, 2, 0\) is long, got 1 voxels after it on axis 1"):
        emfast.region_graph(
            affinities,
            fragments,
            offsets=[(0, 2, 0), (1, 0, 0), (0, 0, 1)],
            core=(slice(0, 1), slice(0, 2), slice(None)),
            whole_shape=(9, 9, 4),
        )
    with pytest.raises(TypeError, match="origin must be 3 integers"):
        emfast.region_graph(affinities, fragments, origin=(0.5, 0, 0))
    with pytest.raises(ValueError, match="spacing must have one number per axis"):
        emfast.region_graph(affinities, fragments, spacing=(1, 2))


def test_graphs_that_do_not_fit_are_not_added(tmp_path):
    fragments = np.arange(1, 9, dtype="u4").reshape(2, 2, 2)
    graph = emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments)
    others = {
        "unit": emfast.region_graph(np.ones((3, 2, 2, 2), "u1"), fragments),
        "spacing": emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments, spacing=(3, 1, 1)),
        "has_boxes": emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments, boxes=True),
        "has_histograms": emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments, histogram=True),
        "the dtype of fragments": emfast.region_graph(np.ones((3, 2, 2, 2), "f4"), fragments.astype("u8")),
        "the dtype of affinities": emfast.region_graph(np.ones((3, 2, 2, 2), "f2"), fragments),
    }
    for what, other in others.items():
        with pytest.raises(ValueError, match=f"graphs must agree in {what} to be added"):
            graph + other
    with pytest.raises(ValueError, match="at least one RegionGraph"):
        RegionGraph.total([])
    with pytest.raises(ValueError, match="has no histograms"):
        graph.histogram(0)
    with pytest.raises(ValueError, match="has no histograms"):
        graph.quantiles(0.5)
    with pytest.raises(ValueError, match=r"q must be from 0 to 1, got 1\.5"):
        others["has_histograms"].quantiles(1.5)
    np.savez(tmp_path / "x.npz", a=1)
    with pytest.raises(ValueError, match=r"must be a file of RegionGraph\.save"):
        RegionGraph.load(tmp_path / "x.npz")


def test_waterz_has_the_same_edges(backend):
    waterz = pytest.importorskip("waterz")
    fragments = cells((12, 20, 24), 150)
    affinities = np.random.default_rng(5).random((3, 12, 20, 24), np.float32)
    graph = emfast.region_graph(backend(affinities), backend(fragments))
    _, theirs = next(waterz.agglomerate(affinities, [0.0], fragments=fragments.astype("u8"), return_region_graph=True))
    scores = {tuple(sorted((e["u"], e["v"]))): 1 - e["score"] for e in theirs}
    assert set(scores) == {tuple(e) for e in graph.edges.tolist()}
    np.testing.assert_allclose([scores[tuple(e)] for e in graph.edges.tolist()], graph.means, atol=1e-5)


def row_of_three(**changes):
    """A graph of three fragments in a row, two voxel edges in all, with arrays changed."""
    graph = emfast.region_graph(
        np.array([[[0.5] * 3], [[0.5, 0.25, 0.75]]], "f4"), np.array([[1, 2, 3]], "u4"), histogram=True, boxes=True
    )
    return replace(graph, **{name: np.array(value) for name, value in changes.items()})


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            dict(nodes=[1, 2], sizes=[1, 1], box_starts=[[0, 0]] * 2, box_stops=[[1, 1]] * 2),
            ValueError,
            "edges must hold nodes of the graph, got 3",
        ),
        (dict(nodes=[1, 3, 2]), ValueError, "nodes must ascend"),
        (dict(nodes=[1.0, 2, 3]), TypeError, "nodes must be integers, got float64"),
        (dict(edges=[[1, 2], [3, 2]]), ValueError, r"edges must be pairs u < v, got \[3, 2\]"),
        (dict(edges=[[2, 3], [1, 2]]), ValueError, r"edges must ascend, no pair twice, got \[1, 2\]"),
        (dict(edges=[[1, 2], [1, 2]]), ValueError, "edges must ascend, no pair twice"),
        (dict(edges=[[1, 2], [2, 2**32 + 3]]), TypeError, "edges must be uint32, got int64 with 4294967299"),
        (dict(edges=[[1, 2, 3]]), ValueError, r"edges must have shape \(n, 2\), got \(1, 3\)"),
        (dict(counts=[1, 0]), ValueError, "counts must be above 0, got 0"),
        (dict(counts=[1]), ValueError, r"counts must have shape \(2,\), got \(1,\)"),
        (dict(counts=[2**61, 2**61]), ValueError, r"counts must stay below 2\*\*62 in all"),
        (dict(sums=[1]), ValueError, r"sums must have shape \(2,\), got \(1,\)"),
        (dict(sums=[0.5, 1]), TypeError, r"sums must be int64, got float64 with 0\.5"),
        (dict(sums=[2**62, 1]), ValueError, r"sums must stay below 2\*\*62 in all"),
        (dict(sums=[-(2**63), 1]), ValueError, r"sums must stay below 2\*\*62 in all"),
        (dict(ids=[3, -1]), ValueError, "ids must not be negative, got -1"),
        (dict(minima=[0.5, np.nan]), TypeError, "minima must be float32, got float64 with nan"),
        (dict(minima=np.float32([0.25, np.inf])), ValueError, "minima must be finite, got inf"),
        (dict(minima=np.float32([0.25, 1])), ValueError, "minima must not exceed maxima, got 1"),
        (dict(faces=[1, 1]), ValueError, r"faces must have shape \(2, 2\), got \(2,\)"),
        (dict(sizes=[1, 1]), ValueError, r"sizes must have shape \(3,\), got \(2,\)"),
        (dict(sizes=[1, -1, 1]), ValueError, "sizes must not be negative, got -1"),
        (dict(box_stops=[[1, 1]]), ValueError, r"box_stops must have shape \(3, 2\)"),
        (dict(starts=[0, 1]), ValueError, r"starts must have shape \(3,\), got \(2,\)"),
        (dict(starts=[0, 1, 10**9]), ValueError, r"starts must go from 0 to .* \(2\), got 0 to 10+"),
        (dict(starts=[0, -5, 2]), ValueError, "starts must ascend"),
        (dict(starts=[0, 2, 2]), ValueError, "starts must ascend"),
        (dict(bins=[64, 256]), TypeError, "bins must be uint8, got int64 with 256"),
        (dict(bins=["a", "b"]), TypeError, "bins must be uint8, got <U1"),
        (dict(bin_counts=[1]), ValueError, r"bin_counts must have shape \(2,\)"),
        (dict(bin_counts=[1, -1]), ValueError, "bin_counts must be above 0, got -1"),
        (dict(bin_counts=[1, 2]), ValueError, "bin_counts must sum to the counts of each edge, got 2"),
        (
            dict(counts=[2, 2], starts=[0, 2, 4], bins=np.uint8([1, 7, 9, 9]), bin_counts=[1, 1, 1, 1]),
            ValueError,
            "bins must ascend in each edge, got 9",
        ),
    ],
)
def test_graphs_that_kernels_could_not_read(tmp_path, changes, error, message):
    """Each would have been read as it lies: crashes, loops without end, nonsense."""
    graph = row_of_three(**changes)
    for call in (graph.check, lambda: emfast.agglomerate(graph), lambda: emfast.agglomerate_block(graph, [])):
        with pytest.raises(error, match="graph." + message):
            call()
    graph.save(tmp_path / "graph.npz")
    with pytest.raises(ValueError, match=rf"graph\.npz must be a file of RegionGraph\.save, but graph.({message})"):
        RegionGraph.load(tmp_path / "graph.npz")


def test_graphs_with_parts_missing(tmp_path):
    graph = row_of_three()
    for name in ("bins", "box_stops"):
        with pytest.raises(ValueError, match=f"all or none, got no {name}"):
            emfast.agglomerate(replace(graph, **{name: None}), score="median")
    with pytest.raises(TypeError, match=r"graph\.counts must be a NumPy array, got list"):
        emfast.agglomerate(replace(graph, counts=[1, 1]))
    with pytest.raises(ValueError, match=r"graph\.unit must be 255 or 2\*\*24, got 7"):
        replace(graph, unit=7).check()
    with pytest.raises(ValueError, match="spacing must be positive and finite"):
        replace(graph, spacing=(1, -1)).check()
    with pytest.raises(ValueError, match=r"graph\.spacing must have 2 or 3 numbers"):
        replace(graph, spacing=(1,)).check()
    place = tmp_path / "graph.npz"
    graph.save(place)
    with np.load(place) as file:
        arrays = dict(file)
    for name in ("unit", "counts"):
        np.savez(place, **{key: value for key, value in arrays.items() if key != name})
        with pytest.raises(
            ValueError, match=rf"graph\.npz must be a file of RegionGraph\.save, got one without '{name}'"
        ):
            RegionGraph.load(place)


def test_dtypes_are_turned_where_no_value_changes(tmp_path):
    graph = row_of_three()
    wide = {name: getattr(graph, name).astype("f8") for name in ("counts", "sums", "minima", "sizes", "starts", "ids")}
    other = replace(
        graph, **wide, bins=graph.bins.astype("i8"), edges=graph.edges.astype(">i8"), nodes=graph.nodes[::1]
    )
    strided = replace(graph, counts=np.stack([graph.counts] * 2, axis=1)[:, 0])
    for changed in (other, strided):
        assert changed.check() == graph
        assert changed.check().counts.flags.c_contiguous
        assert emfast.agglomerate(changed, score="median") == emfast.agglomerate(graph, score="median")
        assert emfast.agglomerate_block(changed, [3]) == emfast.agglomerate_block(graph, [3])
    other.save(tmp_path / "graph.npz")
    assert RegionGraph.load(tmp_path / "graph.npz") == graph
    assert graph.check() is graph
    empty = emfast.region_graph(np.zeros((2, 0, 3), "u1"), np.zeros((0, 3), "u1"), histogram=True)
    assert empty.check() is empty


@pytest.mark.parametrize(
    "table, error, message",
    [
        (([1.0], [2]), TypeError, "table must hold integers, got float64"),
        (([1], [2.7]), TypeError, "table must hold integers, got float64"),
        (([1], [257]), ValueError, "table must give segments that uint8 holds, got 257"),
        (([1, 2], [1]), ValueError, r"table must be two arrays of one length, got shapes \(2,\) and \(1,\)"),
    ],
)
def test_tables_that_name_no_segments(table, error, message):
    graph = emfast.region_graph(np.full((2, 1, 3), 200, "u1"), np.array([[1, 2, 3]], "u1"))
    assert graph.contract(([257, 2**64 - 1], [3, 300])) == graph  # none of them is 1
    with pytest.raises(error, match=message):
        graph.contract(table)
