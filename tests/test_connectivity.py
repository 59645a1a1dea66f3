import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import label_arrays, layouts

LABELS = label_arrays(max_side=6, values=3)


def fit(connectivity, ndim):
    return connectivity if ndim == 3 else {6: 4, 18: 8, 26: 8}[connectivity]


@given(labels=LABELS, connectivity=st.sampled_from([6, 18, 26]), layout=st.integers(0, 3))
def test_graph_is_the_oracle(backend, labels, connectivity, layout):
    connectivity = fit(connectivity, labels.ndim)
    graph = backend.host(emfast.voxel_graph(backend(layouts(labels)[layout]), connectivity=connectivity))
    assert graph.dtype == (np.uint32 if connectivity > 8 else np.uint8)
    assert np.array_equal(graph, oracles.voxel_graph(labels, connectivity))


@given(
    labels=label_arrays(max_side=6, values=3, dtypes=["u1", "u2", "u4", "u8"]),
    connectivity=st.sampled_from([6, 18, 26]),
)
def test_graph_has_the_bits_of_cc3d(backend, labels, connectivity):
    cc3d = pytest.importorskip("cc3d")
    if labels.size == 0:
        return
    connectivity = fit(connectivity, labels.ndim)
    graph = backend.host(emfast.voxel_graph(backend(labels), connectivity=connectivity))
    theirs = cc3d.voxel_connectivity_graph(labels, connectivity=connectivity)
    assert graph.dtype == theirs.dtype
    assert np.array_equal(graph, theirs)


@given(
    shape=st.tuples(*[st.integers(0, 6)] * 3), connectivity=st.sampled_from([6, 18, 26]), seed=st.integers(0, 2**32 - 1)
)
def test_components_of_any_graph_are_the_oracle(backend, shape, connectivity, seed):
    rng = np.random.default_rng(seed)
    graph = rng.integers(0, 2**connectivity, shape, "u4") & rng.integers(0, 2**32, shape, "u4")
    labels, count = emfast.components_of_graph(backend(graph), connectivity=connectivity, return_count=True)
    wanted = oracles.components_of_graph(graph, connectivity)
    assert np.array_equal(backend.host(labels), wanted)
    assert count == wanted.max(initial=0)


@given(labels=LABELS, connectivity=st.sampled_from([6, 18, 26]))
def test_components_of_the_graph_of_labels(backend, labels, connectivity):
    connectivity = fit(connectivity, labels.ndim)
    graph = emfast.voxel_graph(backend(labels), connectivity=connectivity)
    components = backend.host(emfast.components_of_graph(graph, connectivity=connectivity))
    steps = {4: 6, 8: 26}.get(connectivity, connectivity)
    assert np.array_equal(components, oracles.connected_components(labels, steps, background=None))


@given(seed=st.integers(0, 2**32 - 1), connectivity=st.sampled_from([6, 26]))
def test_graphs_do_not_depend_on_threads(threads, seed, connectivity):
    labels = np.random.default_rng(seed).integers(0, 2, (13, 17, 40), "u1")
    graph = emfast.voxel_graph(labels, connectivity=connectivity)
    components = emfast.components_of_graph(graph, connectivity=connectivity)
    emfast.set_threads(1)
    assert np.array_equal(graph, emfast.voxel_graph(labels, connectivity=connectivity))
    assert np.array_equal(components, emfast.components_of_graph(graph, connectivity=connectivity))


def test_the_later_voxel_decides(backend):
    along = np.zeros((3, 1), "u1")
    along[0] |= 1  # towards the next voxel along axis 0, which says no
    assert backend.host(emfast.components_of_graph(backend(along), connectivity=4)).ravel().tolist() == [1, 2, 3]
    along[:] = 0
    along[1] |= 2  # towards the previous voxel, which says no
    assert backend.host(emfast.components_of_graph(backend(along), connectivity=4)).ravel().tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("dtype", "connectivity", "message"),
    [
        ("u2", 6, "graph must be uint8 or uint32, got uint16"),
        ("u1", 26, "graph must be uint32 for connectivity 26, got uint8"),
        ("i4", 6, "graph must be an array of unsigned integers, got int32"),
    ],
)
def test_wrong_graphs_are_named(dtype, connectivity, message):
    with pytest.raises(TypeError, match=message):
        emfast.components_of_graph(np.zeros((2, 2, 2), dtype), connectivity=connectivity)
