"""Distances block by block: equal to the call in memory to the last bit, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import strategies
from emfast import blockwise

SPACINGS = st.sampled_from([(1, 1, 1), (3, 1, 2), (40, 4, 4), (40, 4.6, 4.6), (1, 1.4142135623730951, 2)])


@st.composite
def cut(draw, values=3, max_side=9):
    """Labels, and sides of blocks."""
    labels = draw(strategies.label_arrays(max_side, values=values))
    return labels, draw(strategies.block_sides(labels.shape))


@given(cut(), SPACINGS, st.booleans(), st.booleans(), st.integers(1, 3))
def test_edt_of_blocks_is_that_of_the_whole(backend, labels_block, spacing, border, squared, workers):
    labels, block = labels_block
    options = {"spacing": spacing[-labels.ndim :], "border": border, "squared": squared}
    found = blockwise.edt(labels, block=block, workers=workers, **options)
    assert found.dtype == np.float32
    assert np.array_equal(found, emfast.edt(labels, **options))


@pytest.mark.parametrize("most", [1, 30, 200, 1 << 20])
@given(strategies.label_arrays(9), SPACINGS, st.booleans())
def test_any_number_of_passes_gives_the_same(monkeypatch, most, labels, spacing, border):
    monkeypatch.setattr(blockwise.distance, "_VOXELS", most)
    options = {"spacing": spacing[-labels.ndim :], "border": border}
    found = blockwise.signed_distance(labels, **options)
    assert np.array_equal(found, emfast.signed_distance(labels, **options))


@given(
    cut(),
    SPACINGS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 0.5, 1, 2.5, 3, 7, 90]),
    st.sampled_from([None, 2]),
)
def test_signed_distance_of_blocks_is_that_of_the_whole(labels_block, spacing, border, squared, clip, tanh):
    labels, block = labels_block
    options = {
        "spacing": spacing[-labels.ndim :],
        "border": border,
        "squared": squared,
        "clip": clip,
        "tanh": tanh,
    }
    found = blockwise.signed_distance(labels, block=block, **options)
    assert np.array_equal(found, emfast.signed_distance(labels, **options))


def test_wide_words():
    """A spacing so long that squares do not fit 32 bits."""
    labels = np.random.default_rng(0).integers(0, 2, (5, 9, 40)) * (np.arange(40) > 30)
    spacing = (1e6, 1, 1)
    assert np.array_equal(blockwise.edt(labels, spacing=spacing, block=(2, 4, 16)), emfast.edt(labels, spacing=spacing))


@pytest.mark.parametrize("content", [0, 1])
@pytest.mark.parametrize("border", [False, True])
def test_volumes_of_one_label(content, border):
    labels = np.full((6, 20, 11), content, np.uint16)
    found = blockwise.edt(labels, block=4, border=border)
    assert np.array_equal(found, emfast.edt(labels, border=border))
    assert np.array_equal(
        blockwise.signed_distance(labels, block=4, border=border), emfast.signed_distance(labels, border=border)
    )


def test_passes_are_as_few_as_memory_allows():
    layout = blockwise.distance._layout
    assert layout((64, 64, 64), None, "auto", 64**3)[1] == [(0, 1, 2)]
    assert layout((64, 64, 64), None, "auto", 64**3 - 1)[1] == [(1, 2), (0,)]
    assert layout((64, 64, 64), None, "auto", 64**2 - 1)[1] == [(2,), (1,), (0,)]
    assert layout((64, 64, 64), (8, 8, 8), "auto", 64 * 8 * 8)[0] == (8, 8, 8)
    for most in (500, 5000, 50_000):  # lines are longer than blocks, and fit
        sides, passes = layout((100, 7, 90), None, "auto", most)
        for axes in passes:
            assert (
                np.prod([n if a in axes else s for a, (n, s) in enumerate(zip((100, 7, 90), sides, strict=True))])
                <= most
            )


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match="labels must be integers or bool, got float64"):
        blockwise.edt(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="labels must be 2D or 3D, got 1D"):
        blockwise.edt(np.zeros(3, int))
    with pytest.raises(ValueError, match="spacing must have one value per axis"):
        blockwise.edt(np.zeros((3, 3), int), spacing=(1, 2, 3))
    with pytest.raises(ValueError, match="clip must be positive"):
        blockwise.signed_distance(np.zeros((3, 3), int), clip=0)
