"""affinities, boundaries and convert_affinities against oracles, laws and other people's implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import label_arrays, layouts


def steps(dims, reach=3):
    one = st.tuples(*[st.integers(-reach, reach)] * dims).filter(any)
    return st.lists(one, min_size=1, max_size=4)


@given(data=st.data(), labels=label_arrays(max_side=6), dtype=st.sampled_from(["uint8", "float32", "bool"]))
def test_equals_the_oracle(backend, data, labels, dtype):
    offsets = data.draw(steps(labels.ndim))
    ignore = data.draw(st.sampled_from([None, 0, (1, 2)]))
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(labels.shape) < 0.8
    out, valid = emfast.affinities(
        backend(labels),
        offsets=offsets,
        ignore=ignore,
        mask=None if mask is None else backend(mask),
        dtype=dtype,
        return_valid=True,
    )
    ignored = () if ignore is None else (ignore,) if ignore == 0 else ignore
    expected, expected_valid = oracles.affinities(labels, offsets, ignored, mask)
    out, valid = backend.host(out), backend.host(valid)
    assert out.dtype == dtype
    assert valid.dtype == bool
    assert np.array_equal(valid, expected_valid)
    assert np.array_equal(out, expected * {"uint8": 255, "float32": 1, "bool": True}[dtype])


def test_long_rows_and_far_offsets(backend, threads):
    labels = np.repeat(np.random.default_rng(0).integers(0, 4, (3, 5, 50)), 6, axis=2)
    offsets = [(0, 0, 299), (0, 0, 300), (0, 0, -301), (2, -4, 64), (-3, 0, 0), (0, 5, 0), (10**9, 0, 0)]
    expected, expected_valid = oracles.affinities(labels, offsets)
    out, valid = emfast.affinities(backend(labels), offsets=offsets, dtype=bool, return_valid=True)
    assert np.array_equal(backend.host(out), expected)
    assert np.array_equal(backend.host(valid), expected_valid)


@given(labels=label_arrays(max_side=6))
def test_layout_does_not_matter(backend, labels):
    expected = backend.host(emfast.affinities(backend(labels)))
    assert expected.shape == (labels.ndim, *labels.shape)
    for same in layouts(labels):
        assert np.array_equal(backend.host(emfast.affinities(backend(same))), expected)


@given(labels=label_arrays(max_side=7))
def test_components_come_back(backend, labels):
    """Joining the edges of affinity 1 gives the components of the labels."""
    made = backend.host(emfast.affinities(backend(labels), dtype=bool))
    graph = np.zeros(labels.shape, "u1")
    for channel, bit in zip(made[::-1], (1, 3, 5), strict=False):  # cc3d's bits begin with the last axis here
        axis = labels.ndim - 1 - (bit - 1) // 2
        graph |= channel.astype("u1") << (2 * axis + 1)
    joined = oracles.components_of_graph(graph, 2 * labels.ndim)
    expected = oracles.connected_components(labels, 6)
    assert np.array_equal(np.where(labels != 0, joined, 0) > 0, expected > 0)
    pairs = {(int(a), int(b)) for a, b in zip(joined[labels != 0], expected[labels != 0], strict=True)}
    assert len(pairs) == expected.max(initial=0) == len({a for a, _ in pairs})


@given(data=st.data(), labels=label_arrays(max_side=7))
def test_boundaries_agree_with_scikit_image(backend, data, labels):
    segmentation = pytest.importorskip("skimage.segmentation")
    connectivity = data.draw(st.sampled_from({2: [4, 8], 3: [6, 18, 26]}[labels.ndim]))
    mode = data.draw(st.sampled_from(["thick", "inner"]))
    out = backend.host(emfast.boundaries(backend(labels), connectivity=connectivity, mode=mode))
    assert out.dtype == bool
    assert out.shape == labels.shape
    if labels.size:
        order = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[connectivity]
        table = oracles.renumber(labels)  # scikit-image computes in double precision, where large ids coincide
        small = np.vectorize(table.get, otypes=[np.int64])(labels)
        assert np.array_equal(out, segmentation.find_boundaries(small, connectivity=order, mode=mode))


@given(data=st.data(), labels=label_arrays(max_side=6))
def test_conversion_moves_the_value_with_the_edge(data, labels):
    offsets = data.draw(steps(labels.ndim))
    made = emfast.affinities(labels, offsets=offsets)
    for looks in ("back", "forward"):
        moved, meaning = emfast.convert_affinities(made, offsets, looks=looks)
        for step in meaning:
            assert (next(s for s in step if s) < 0) == (looks == "back")
        assert np.array_equal(moved, emfast.affinities(labels, offsets=meaning))
    assert np.array_equal(emfast.convert_affinities(moved, meaning, looks="forward")[0], moved)


def test_conversion_keeps_the_library():
    torch = pytest.importorskip("torch")
    labels = torch.tensor([[1, 1, 2], [1, 2, 2]])
    made = emfast.affinities(labels)
    moved, meaning = emfast.convert_affinities(made, emfast.NEAREST, looks="forward")
    assert isinstance(moved, torch.Tensor)
    assert meaning == ((1, 0), (0, 1))
    assert np.array_equal(moved.numpy(), emfast.affinities(labels.numpy(), offsets=meaning))


def test_errors_name_the_argument():
    labels = np.zeros((2, 3, 4), "u4")
    with pytest.raises(TypeError, match="labels must be an array of bool, signed integers, unsigned integers, got flo"):
        emfast.affinities(labels.astype("f4"))
    with pytest.raises(ValueError, match=r"offsets must have 3 numbers each, not all 0, got \(0, 0\)"):
        emfast.affinities(labels, offsets=[(0, 0)])
    with pytest.raises(ValueError, match=r"offsets must have 3 numbers each, not all 0, got \(0, 0, 0\)"):
        emfast.affinities(labels, offsets=[(0, 0, 0)])
    with pytest.raises(TypeError, match="offsets must be a sequence of integer steps, got 3"):
        emfast.affinities(labels, offsets=3)
    with pytest.raises(ValueError, match="offsets must name at least one step, got none"):
        emfast.affinities(labels, offsets=[])
    with pytest.raises(ValueError, match="dtype must be uint8, float32 or bool, got 'float64'"):
        emfast.affinities(labels, dtype="float64")
    with pytest.raises(ValueError, match=r"mask must have the shape of labels \(2, 3, 4\), got \(3, 4\)"):
        emfast.affinities(labels, mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match="mask must be an array of bool, got uint8"):
        emfast.affinities(labels, mask=np.ones((2, 3, 4), "u1"))
    with pytest.raises(TypeError, match=r"ignore must be a label or a sequence of labels, got 1\.5"):
        emfast.affinities(labels, ignore=1.5)
    with pytest.raises(ValueError, match='mode must be "thick" or "inner", got \'outer\''):
        emfast.boundaries(labels, mode="outer")
    with pytest.raises(ValueError, match='looks must be "back" or "forward", got \'up\''):
        emfast.convert_affinities(np.zeros((3, 2, 2, 2)), looks="up")
    with pytest.raises(ValueError, match=r"offsets must be one per channel \(2\), got 3"):
        emfast.convert_affinities(np.zeros((2, 2, 2, 2)))


def test_masked_affinities_are_not_converted():
    with pytest.raises(TypeError, match="affinities must be a plain array, got a masked one"):
        emfast.convert_affinities(np.ma.ones((1, 2, 3)), [(0, 1)])
