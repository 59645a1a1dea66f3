"""Embeddings, and centres with offsets: against oracles, and clusters that are there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import segmentation
from emfast.segmentation import embeddings as module
from strategies import shapes
from test_segmentation import by_first_appearance, without_small


@st.composite
def clouds(draw):
    """Embeddings of a few places with noise, on coarse values now and then so that ties are common."""
    shape = draw(shapes(4, min_side=1))[-3:]
    shape = tuple(min(n, 6) for n in shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d = draw(st.integers(1, 3))
    values = rng.integers(-2, 3, (d, 3))[:, rng.integers(0, 3, shape)] + rng.normal(0, 0.3, (d, *shape))
    if draw(st.booleans()):
        values = np.round(values * 2) / 2
    mask = rng.random(shape) < 0.8 if draw(st.booleans()) else None
    return values.astype(draw(st.sampled_from(["f4", "f8"]))), mask


def on_grid(values, inside, bandwidth):
    return [
        tuple(round(float(v) / bandwidth * 256) for v in values[(slice(None), *p)])
        for p in zip(*np.nonzero(inside), strict=True)
    ]


@given(
    data=clouds(),
    method=st.sampled_from(["mean_shift", "density"]),
    bandwidth=st.sampled_from([0.5, 1.0, 1.7]),
    least=st.sampled_from([1, 3]),
    reach=st.sampled_from([0.5, np.inf]),
    below=st.integers(0, 2),
    stride=st.sampled_from([1, 2, 3]),
)
def test_equals_the_oracle(backend, data, method, bandwidth, least, reach, below, stride):
    values, mask = data
    inside = np.ones(values.shape[1:], bool) if mask is None else mask
    points = on_grid(values, inside, bandwidth)
    far = int(min(reach / bandwidth * 256, 2**26)) ** 2
    module._SAMPLE = -(-len(points) // stride) if points else 1
    stride = max(1, -(-len(points) // module._SAMPLE))
    try:
        out = segmentation.embedding_cluster(
            backend(values),
            mask=None if mask is None else backend(mask),
            method=method,
            bandwidth=bandwidth,
            least=least,
            reach=reach,
            below=below,
        )
    finally:
        module._SAMPLE = 2**16
    numbers = np.zeros(inside.shape, np.int64)
    if method == "density":
        numbers[inside] = oracles.dense_cubes(points, 256, least, far)
    else:
        numbers[inside] = oracles.mean_shift(points, 256, least, stride, far)
    assert np.array_equal(backend.host(out), without_small(numbers, below))


@pytest.mark.parametrize("method", ["mean_shift", "density"])
def test_finds_what_is_there(method):
    truth = emfast.phantom.make((8, 40, 40), seed=2).labels.astype(int)
    rng = np.random.default_rng(0)
    places = rng.permutation(3**8)[: truth.max() + 1]  # corners of a grid, 4 apart
    places = np.stack([places // 3**k % 3 for k in range(8)]) * 4.0 + 0.5
    values = (places[:, truth] + rng.normal(0, 0.1, (8, *truth.shape))).astype("f4")
    out = segmentation.embedding_cluster(values, mask=truth > 0, method=method, bandwidth=1.0, least=1)
    names = np.where(truth == 0, None, truth.astype(object))
    assert np.array_equal(out, by_first_appearance(names))


def test_parts_apart():
    values = np.array([[[0.0, 5.0, 0.0]]])
    assert segmentation.embedding_cluster(values, least=1).tolist() == [[1, 2, 1]]
    assert segmentation.embedding_cluster(values, least=1, connected=True).tolist() == [[1, 2, 3]]


def test_wide_cubes_are_told_apart_without_one_number_each():
    """Cubes in so many dimensions that they have no common number of 63 bits."""
    rng = np.random.default_rng(0)
    rows = rng.integers(-(2**20), 2**20, (5, 7)).astype("i4")[rng.integers(0, 5, 40)]
    different, where, counts = module._rows(rows)
    assert np.array_equal(different[where], rows)
    assert np.array_equal(different, np.unique(rows, axis=0))
    assert counts.tolist() == [int((where == k).sum()) for k in range(len(different))]
    narrow = rows % 4
    assert np.array_equal(module._rows(narrow)[0], np.unique(narrow, axis=0))


@given(
    data=st.data(),
    threshold=st.sampled_from([0.0, 0.5]),
    separation=st.sampled_from([0.0, 5.0]),
    reach=st.sampled_from([3.0, np.inf]),
    below=st.integers(0, 3),
    spacing=st.sampled_from([(1, 1, 1), (4, 2, 2)]),
)
def test_centre_offset(backend, data, threshold, separation, reach, below, spacing):
    shape = data.draw(shapes(5, min_side=1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dims, spacing = len(shape), spacing[3 - len(shape) :]
    heat = (rng.random(shape) ** 3 * 255).astype("u1")
    if data.draw(st.booleans()):
        heat = heat.astype(data.draw(st.sampled_from(["f4", "f8"]))) / 255
    offsets = rng.integers(-8, 9, (dims, *shape)) / 2
    mask = rng.random(shape) < 0.7 if data.draw(st.booleans()) else None
    peaks = oracles.distance_peaks(heat.astype("f4"), separation, 0, spacing)
    high = heat >= threshold * 255 if heat.dtype == np.uint8 else heat >= heat.dtype.type(threshold)
    seeds = oracles.connected_components((peaks > 0) & high, 26)
    names = np.full(shape, None, object)
    for p in np.ndindex(shape):
        vote = [
            min(max(round(c + float(o)), 0), n - 1)
            for c, o, n in zip(p, offsets[(slice(None), *p)], shape, strict=True)
        ]
        ways = [
            (sum(((a - b) * s) ** 2 for a, b, s in zip(vote, q, spacing, strict=True)), q)
            for q in np.ndindex(shape)
            if seeds[q]
        ]
        if ways and min(ways)[0] <= reach**2 and (mask is None or mask[p]):
            names[p] = int(seeds[min(ways)[1]])
    out = segmentation.centre_offset(
        backend(heat),
        backend(offsets),
        mask=None if mask is None else backend(mask),
        threshold=threshold,
        separation=separation,
        reach=reach,
        spacing=spacing,
        below=below,
    )
    assert np.array_equal(backend.host(out), without_small(by_first_appearance(names), below))


def test_results_come_back_in_the_library():
    torch = pytest.importorskip("torch")
    assert isinstance(segmentation.embedding_cluster(torch.rand(2, 4, 5)), torch.Tensor)
    assert isinstance(segmentation.centre_offset(torch.rand(4, 5), torch.rand(2, 4, 5)), torch.Tensor)


def test_centres_in_lists():
    centres, offsets = [[0.0, 0.9, 0.1, 0.2, 0.8, 0.1]], [[[0.0] * 6], [[1.0, 0, -1, 1, 0, -1]]]
    out = segmentation.centre_offset(centres, offsets, threshold=0.5)
    assert out.tolist() == [[1, 1, 1, 2, 2, 2]]


def test_errors_name_the_argument():
    ones = np.ones((2, 3, 4))
    bad = ones.copy()
    bad[1, 2, 3] = np.nan
    for call, error, words in [
        (lambda: segmentation.embedding_cluster(ones, method="x"), ValueError, "method must be"),
        (lambda: segmentation.embedding_cluster(bad), ValueError, "embeddings must be finite .* channel 1"),
        (lambda: segmentation.embedding_cluster(ones[0]), ValueError, "embeddings must be 3D or 4D"),
        (lambda: segmentation.embedding_cluster(ones.astype(int)), TypeError, "embeddings must be"),
        (lambda: segmentation.embedding_cluster(np.ones((65, 2, 2))), ValueError, "embeddings must have 1 to 64"),
        (lambda: segmentation.embedding_cluster(ones, bandwidth=0), ValueError, "bandwidth must be above 0"),
        (lambda: segmentation.embedding_cluster(ones, least=0), ValueError, "least must be"),
        (lambda: segmentation.embedding_cluster(ones, mask=ones > 0), ValueError, "mask must have the shape"),
        (lambda: segmentation.centre_offset(ones[0], ones[:1]), ValueError, "offsets must have shape"),
        (lambda: segmentation.centre_offset(ones[0], bad), ValueError, "offsets must be finite"),
        (lambda: segmentation.centre_offset(3 * ones[0], ones), ValueError, "centres must be from 0 to 1"),
        (lambda: segmentation.centre_offset(ones[0], ones, threshold=2), ValueError, "threshold must be from 0"),
        (lambda: segmentation.embedding_cluster(ones, least=np.inf), ValueError, "least must be a whole number"),
        (lambda: segmentation.centre_offset(ones[0], ones, reach=np.nan), ValueError, "reach must be a number"),
        *(
            (lambda call=call, below=below: call(below), ValueError, "below must be a whole number")
            for call in (
                lambda below: segmentation.embedding_cluster(ones, below=below),
                lambda below: segmentation.centre_offset(ones[0], ones, below=below),
            )
            for below in (np.nan, np.inf, -5, "3")
        ),
    ]:
        with pytest.raises(error, match=words):
            call()
