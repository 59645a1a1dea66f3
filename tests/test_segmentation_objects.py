"""What is done to objects: sizes, shapes, continuity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import segmentation
from strategies import label_arrays
from test_segmentation import by_first_appearance


@given(labels=label_arrays(max_side=6), below=st.integers(0, 5), above=st.sampled_from([None, 3, 20]))
def test_filter_size(backend, labels, below, above):
    out = backend.host(segmentation.filter_size(backend(labels), below=below, above=above))
    assert out.dtype == labels.dtype
    for p in np.ndindex(labels.shape):
        size = int((labels == labels[p]).sum())
        kept = size >= below and (above is None or size <= above)
        assert out[p] == (labels[p] if kept else 0)


@given(labels=label_arrays(max_side=6, dims=(3,)), run=st.integers(1, 4))
def test_runs_along_z(backend, labels, run):
    expected = labels.copy()
    for _, y, x in np.ndindex((1, *labels.shape[1:])):
        column = labels[:, y, x].tolist()
        for z, value in enumerate(column):
            low = high = z
            while low > 0 and column[low - 1] == value:
                low -= 1
            while high + 1 < len(column) and column[high + 1] == value:
                high += 1
            if high - low + 1 < run:
                expected[z, y, x] = 0
    assert np.array_equal(backend.host(segmentation.morphology(backend(labels), run=run)), expected)


def split(labels, depth, separation, spacing):
    """Each label by the oracles of the steps."""
    names = np.full(labels.shape, None, object)
    distance = emfast.edt(labels, spacing=spacing, border=True)
    for label in np.unique(labels[labels != 0]).tolist():
        inside = labels == label
        height = np.where(inside, distance, np.float32(0))
        peaks = [tuple(p) for p in np.argwhere(oracles.h_maxima(height, depth, labels.ndim, inside))]
        kept = peaks
        if separation:
            high = np.zeros_like(height)
            high[tuple(np.transpose(peaks))] = height[tuple(np.transpose(peaks))]
            kept = np.argwhere(oracles.distance_peaks(high, separation, 0, spacing, inside)).tolist()
        seeds = np.zeros(labels.shape, np.int64)
        for p in peaks:  # those that a way less deep than depth joins are one
            parts = oracles.connected_components(inside & (float(height[p]) - height.astype("f8") < depth), 26)
            group = [q for q in peaks if parts[q] == parts[p] and height[q] == height[p]]
            if any(tuple(q) in group for q in kept):
                seeds[p] = 1 + int(np.ravel_multi_index(group[0], labels.shape))
        parts = oracles.seeded_watershed(-height, seeds, labels.ndim, inside)
        for p in zip(*np.nonzero(inside), strict=True):
            names[p] = (label, int(parts[p]))
    return by_first_appearance(names)


@given(
    labels=label_arrays(max_side=6, values=3),
    grown=st.booleans(),
    depth=st.sampled_from([0.5, 1.0, 2.0]),
    separation=st.sampled_from([0.0, 2.0, 4.0]),
    spacing=st.sampled_from([(1, 1, 1), (4, 2, 2)]),
)
def test_split_by_shape(backend, labels, grown, depth, separation, spacing):
    if grown:
        labels = emfast.dilate(labels * (np.arange(labels.size).reshape(labels.shape) % 7 == 0), radius=1.5)
    spacing = spacing[3 - labels.ndim :]
    out = segmentation.split_by_shape(backend(labels), depth=depth, separation=separation, spacing=spacing)
    assert np.array_equal(backend.host(out), split(labels, depth, separation, spacing))


def test_two_balls_part_at_their_neck():
    z, y, x = np.indices((17, 17, 31))
    labels = ((z - 8) ** 2 + (y - 8) ** 2 + (x - 8) ** 2 <= 49) | ((z - 8) ** 2 + (y - 8) ** 2 + (x - 20) ** 2 <= 49)
    parts = segmentation.split_by_shape(labels)
    assert (parts[labels] == np.where(x < 14, 1, 2)[labels])[x[labels] != 14].all()
    assert (segmentation.split_by_shape(labels, depth=5) == labels).all()
    assert (segmentation.split_by_shape(labels, below=2000) == labels).all()
    assert segmentation.split_by_shape(labels, below=1000).max() == 2


def test_errors_name_the_argument():
    labels = np.ones((3, 3), int)
    for call, error, words in [
        (lambda: segmentation.filter_size(labels, below=-1), ValueError, "below must be"),
        (lambda: segmentation.filter_size(labels / 2), TypeError, "labels must be"),
        (lambda: segmentation.split_by_shape(labels, depth=0), ValueError, "depth must be above 0"),
        (lambda: segmentation.split_by_shape(labels, separation="2"), TypeError, "separation must be a number"),
        (lambda: segmentation.split_by_shape(labels, spacing=(1,)), ValueError, "spacing must have"),
        (lambda: segmentation.smooth(labels, run=2), ValueError, "labels must be 3D"),
    ]:
        with pytest.raises(error, match=words):
            call()
