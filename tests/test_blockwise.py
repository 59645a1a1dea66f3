"""Operations in blocks: for any blocks, in any order, they give what the calls in memory give, to the bit."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import blockwise
from strategies import block_orders, block_sides, label_arrays, shapes


def equal(found, wanted):
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


def layout(draw, shape):
    """Blocks and their order, as options of a call."""
    block = draw(block_sides(shape))
    return {"block": block, "order": draw(block_orders(shape, block))}


@st.composite
def affinity_arrays(draw, dtypes=("u1", "f2", "f4")):
    """Nearest affinities of few values, so that most are equal to others."""
    shape = draw(shapes(8, min_side=1))
    levels = draw(st.sampled_from([1, 3, 5, 200]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, levels + 1, (len(shape), *shape)) / levels
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    return (values * 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


class Lazy:
    """An array that must be sliced, as volumes in files are."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        return self.array[index].copy()


# ---- components


@given(st.data(), label_arrays())
def test_components(data, labels):
    ways = [4, 8] if labels.ndim == 2 else [6, 18, 26]
    options = {
        "connectivity": data.draw(st.sampled_from(ways)),
        "background": data.draw(st.sampled_from([0, None, 1])),
        "periodic": data.draw(st.booleans()),
        "return_count": True,
    }
    wanted, count = emfast.connected_components(labels, **options)
    found, found_count = blockwise.connected_components(labels, **options, **layout(data.draw, labels.shape))
    equal(found, wanted)
    assert found_count == count


def test_a_component_may_wind_through_all_blocks():
    labels = np.zeros((17, 19), "u1")
    for row in range(0, 17, 2):
        labels[row] = 1
        labels[row + 1 : row + 2, -1 if row % 4 == 0 else 0] = 1
    labels[-1] = 1
    found, count = blockwise.connected_components(labels, block=(3, 4), return_count=True)
    assert count == 1
    equal(found, labels)


@pytest.mark.parametrize("dtype", ["uint16", "int64"])
def test_components_in_a_dtype_and_in_a_given_array(dtype):
    labels = np.array([[1, 0, 2], [1, 1, 0]])
    wanted = emfast.connected_components(labels, dtype=dtype)
    equal(blockwise.connected_components(labels, dtype=dtype, block=2), wanted)
    target = np.full(labels.shape, 99, dtype)
    assert blockwise.connected_components(labels, target, block=2) is target
    equal(target, wanted)


def test_components_that_do_not_fit():
    labels = np.arange(300).reshape(1, 300) + 1
    with pytest.raises(ValueError, match="dtype must hold 300 components, got uint8"):
        blockwise.connected_components(labels, dtype="u1", block=(1, 50))
    with pytest.raises(ValueError, match="target must hold uint16, got uint8"):
        blockwise.connected_components(labels, np.zeros((1, 300), "u1"), block=(1, 50))
    with pytest.raises(ValueError, match="target must end in the axes"):
        blockwise.connected_components(labels, np.zeros((300, 1), "u8"), block=(1, 50))
    with pytest.raises(ValueError, match=r"target must have the shape \(1, 300\), got \(2, 1, 300\)"):
        blockwise.connected_components(labels, np.zeros((2, 1, 300), "u8"), block=(1, 50))


def test_options_that_are_none():
    labels = np.zeros((2, 2), "u1")
    with pytest.raises(TypeError, match="conectivity is no option of these: block, work, client, memory"):
        blockwise.connected_components(labels, conectivity=8)
    with pytest.raises(ValueError, match="connectivity must be 4 or 8"):
        blockwise.connected_components(labels, connectivity=5)


# ---- watershed


@given(st.data(), affinity_arrays())
def test_watershed(data, affinities):
    shape = affinities.shape[1:]
    options = {
        "low": data.draw(st.sampled_from([0, 0.1, 0.4])),
        "high": data.draw(st.sampled_from([0.5, 0.8, 1.0, 1.5])),
        "per_section": len(shape) == 3 and data.draw(st.booleans()),
        "dust": data.draw(st.sampled_from([0, 0, 2, 5])),
    }
    if data.draw(st.booleans()):
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        options["mask"] = rng.random(shape) < 0.8
    if data.draw(st.booleans()):
        options |= {"quantile": True, "high": data.draw(st.sampled_from([0.5, 0.9, 1.0]))}
    if data.draw(st.booleans()):
        options |= {"merge_size": data.draw(st.integers(1, 20)), "merge_threshold": 0.3}
    wanted, count = emfast.watershed(affinities, return_count=True, **options)
    source = Lazy(affinities) if data.draw(st.booleans()) else affinities
    found, found_count = blockwise.watershed(source, return_count=True, **options, **layout(data.draw, shape))
    equal(found, wanted)
    assert found_count == count


def test_watershed_refuses_before_it_works():
    affinities = np.zeros((3, 4, 4, 4), "f4")
    with pytest.raises(ValueError, match='plateau must be "strict" in blocks'):
        blockwise.watershed(affinities, plateau="waterz")
    with pytest.raises(ValueError, match="low and high must satisfy"):
        blockwise.watershed(affinities, low=0.5, high=0.5)
    with pytest.raises(ValueError, match="affinities must have 3 channels"):
        blockwise.watershed(affinities[:2])
    with pytest.raises(ValueError, match=r"affinities must have shape \(3, z, y, x\)"):
        blockwise.watershed(affinities[0, 0])
    with pytest.raises(ValueError, match=r"mask must be bool of shape \(4, 4, 4\), got uint8"):
        blockwise.watershed(affinities, mask=np.zeros((4, 4, 4), "u1"))


# ---- graphs and trees


@st.composite
def graph_problems(draw, connected=False):
    """Affinities, fragments and offsets; fragments of a watershed, or any."""
    affinities = draw(affinity_arrays())
    shape = affinities.shape[1:]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fragments = emfast.watershed(affinities, low=draw(st.sampled_from([0, 0.3])), high=1.5)
    if not connected and draw(st.booleans()):
        fragments = rng.integers(0, 5, shape).astype(draw(st.sampled_from(["u1", "i8", "u8"])))
    offsets = [tuple(-int(k == axis) for k in range(len(shape))) for axis in range(len(shape))]
    if draw(st.booleans()):
        step = st.tuples(*[st.integers(-3, 3)] * len(shape)).filter(any)
        offsets = draw(st.lists(step, min_size=1, max_size=4))
        affinities = rng.integers(0, 4, (len(offsets), *shape)).astype("u1") * 85
    return affinities, fragments, offsets


@given(st.data(), graph_problems())
def test_region_graph(data, problem):
    affinities, fragments, offsets = problem
    options = {
        "offsets": offsets,
        "histogram": data.draw(st.booleans()),
        "boxes": data.draw(st.booleans()),
        "spacing": (40, 4, 4)[-fragments.ndim :],
    }
    wanted = emfast.region_graph(affinities, fragments, **options)
    source = Lazy(affinities) if data.draw(st.booleans()) else affinities
    found = blockwise.region_graph(source, fragments, **options, **layout(data.draw, fragments.shape))
    assert found == wanted


@given(st.data(), graph_problems(connected=True))
def test_agglomerate(data, problem):
    group, edge = data.draw(st.sampled_from([1, 60, 1 << 26])), data.draw(st.sampled_from([270, 1 << 30]))
    with mock.patch.multiple(blockwise.trees, _GROUP=group, _EDGE=edge):
        check_agglomerate(data, problem)


def check_agglomerate(data, problem):
    affinities, fragments, offsets = problem
    score = data.draw(st.sampled_from(["mean", "mean", "max", "min", "median", "quantile:0.75"]))
    rules = {"score": score, "until": data.draw(st.sampled_from([None, 0.3]))}
    if data.draw(st.booleans()):
        rules |= {"big_size": data.draw(st.integers(1, 5)), "big_score": 0.6}
    graph = emfast.region_graph(affinities, fragments, offsets=offsets, histogram=True)
    wanted = emfast.agglomerate(graph, **rules)
    found, levels = blockwise.agglomerate(
        affinities,
        fragments,
        offsets=offsets,
        return_levels=True,
        memory=data.draw(st.sampled_from([None, "4GB"])),
        **rules,
        **layout(data.draw, fragments.shape),
    )
    assert found == wanted
    assert sum(level.merges for level in levels) == len(wanted)
    assert levels[-1].blocks == 1


def test_most_merges_are_made_in_the_blocks(monkeypatch):
    monkeypatch.setattr(blockwise.trees, "_GROUP", 1)
    affinities = emfast.phantom.make((32, 64, 64), seed=3).affinities
    fragments = emfast.watershed(affinities, low=0.1, high=0.98)
    tree, levels = blockwise.agglomerate(affinities, fragments, block=(16, 32, 32), return_levels=True)
    assert tree == emfast.agglomerate(emfast.region_graph(affinities, fragments))
    assert [level.blocks for level in levels] == [8, 1]
    assert levels[0].largest < levels[0].edges + levels[0].merges


def test_scores_that_blocks_cannot_merge_by():
    affinities, fragments = np.zeros((2, 3, 3), "f4"), np.ones((3, 3), "u4")
    with pytest.raises(ValueError, match="score must be reducible in blocks"):
        blockwise.agglomerate(affinities, fragments, score="mean * contact")
    with pytest.raises(ValueError, match="needs signed weights"):
        emfast.agglomerate(emfast.region_graph(affinities, fragments), score="absolute")


def test_graphs_refuse_before_they_work():
    fragments = np.ones((4, 4), "u4")
    with pytest.raises(ValueError, match="affinities must end in the axes"):
        blockwise.region_graph(np.zeros((2, 4, 5), "f4"), fragments)
    with pytest.raises(ValueError, match=r"offsets must be one per channel of affinities \(3\), got 2"):
        blockwise.region_graph(np.zeros((3, 4, 4), "f4"), fragments)
    with pytest.raises(TypeError, match="affinities must be uint8, float16 or float32"):
        blockwise.agglomerate(np.zeros((2, 4, 4), "f8"), fragments)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 4)])
def test_nothing(shape):
    affinities, fragments = np.zeros((len(shape), *shape), "f4"), np.zeros(shape, "u4")
    equal(blockwise.connected_components(fragments), emfast.connected_components(fragments))
    equal(blockwise.watershed(affinities), emfast.watershed(affinities))
    equal(blockwise.watershed(affinities, merge_size=5), emfast.watershed(affinities))
    equal(emfast.segment(affinities), emfast.watershed(affinities))
    assert blockwise.region_graph(affinities, fragments) == emfast.region_graph(affinities, fragments)
    wanted = emfast.agglomerate(emfast.region_graph(affinities, fragments))
    assert blockwise.agglomerate(affinities, fragments) == wanted


# ---- volumes in files


def test_volumes_in_files(tmp_path):
    pytest.importorskip("zarr")
    affinities = emfast.phantom.make((40, 48, 56), seed=2).affinities
    options = {"mode": "w", "shape": affinities.shape, "dtype": affinities.dtype}
    with emfast.open_volume(tmp_path / "a.zarr", spacing=(40, 4, 4), **options) as volume:
        volume[...] = affinities
    source = tmp_path / "a.zarr"
    wanted = emfast.watershed(affinities, low=0.1, high=0.98)
    found = blockwise.watershed(source, tmp_path / "f.zarr", low=0.1, high=0.98, block=(16, 32, 32))
    equal(found[...], wanted)
    assert found.spacing == (40, 4, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "f.zarr"]

    tree = blockwise.agglomerate(source, found, block=(16, 32, 32), work=tmp_path / "work")
    graph = emfast.region_graph(affinities, wanted)
    assert tree == emfast.agglomerate(graph)
    assert blockwise.region_graph(source, tmp_path / "f.zarr", block=(16, 32, 32)) == graph

    found = blockwise.connected_components(tmp_path / "f.zarr", tmp_path / "c.zarr:all", connectivity=26, block=16)
    equal(found[...], emfast.connected_components(wanted, connectivity=26))


def test_pictures_in_files(tmp_path):
    """A file with two channels of a picture may be read as one of three axes of space: the target has two."""
    pytest.importorskip("zarr")
    affinities = emfast.phantom.make((8, 24, 30), seed=2).affinities[1:, 4]
    options = {"mode": "w", "shape": affinities.shape, "dtype": affinities.dtype}
    with emfast.open_volume(tmp_path / "a.zarr", spacing=(1, 8, 4), **options) as volume:
        volume[...] = affinities
    found = blockwise.watershed(tmp_path / "a.zarr", tmp_path / "f.zarr", block=(8, 16))
    equal(found[...], emfast.watershed(affinities))
    assert found.spacing == (8, 4)
