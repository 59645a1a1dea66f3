"""Objects kept, removed and filled block by block: equal to the calls in memory, for any blocks in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import strategies
from emfast import blockwise


@st.composite
def cut(draw, **options):
    """Labels, and options of blocks: their sides, how many at once, and an order."""
    labels = draw(strategies.label_arrays(9, **options))
    block = draw(strategies.block_sides(labels.shape))
    order = draw(strategies.block_orders(labels.shape, block))
    return labels, {"block": block, "order": order, "workers": draw(st.integers(1, 3))}


def assert_equal(found, wanted):
    (labels, count), (wanted_labels, wanted_count) = found, wanted
    assert count == wanted_count and labels.dtype == wanted_labels.dtype
    assert np.array_equal(labels, wanted_labels)


CONNECTIVITIES = st.sampled_from([6, 18, 26])


@given(
    cut(),
    st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 5), st.integers(5, 20))),
    CONNECTIVITIES,
    st.sampled_from([None, "keep", "remove"]),
    st.booleans(),
)
def test_dust(labels_blocks, below, connectivity, touching_border, invert):
    labels, blocks = labels_blocks
    options = {
        "below": below,
        "connectivity": connectivity,
        "touching_border": touching_border,
        "invert": invert,
        "return_count": True,
    }
    assert_equal(blockwise.dust(labels, **options, **blocks), emfast.dust(labels, **options))


@given(cut(), st.integers(0, 9), CONNECTIVITIES)
def test_largest_k(labels_blocks, k, connectivity):
    labels, blocks = labels_blocks
    options = {"connectivity": connectivity, "return_count": True}
    assert_equal(blockwise.largest_k(labels, k, **options, **blocks), emfast.largest_k(labels, k, **options))


@given(cut(), st.booleans())
def test_fill_holes(labels_blocks, per_section):
    labels, blocks = labels_blocks
    if per_section:
        blocks = {name: value for name, value in blocks.items() if name != "order"}
    options = {"per_section": per_section, "return_count": True}
    assert_equal(blockwise.fill_holes(labels, **options, **blocks), emfast.fill_holes(labels, **options))


def nested(shape=(9, 11, 13)):
    """Boxes in boxes, some with a way out, so that much is enclosed, across many blocks."""
    labels = np.zeros(shape, np.uint16)
    labels[1:-1, 1:-1, 1:-1] = 5
    labels[2:-2, 2:-2, 2:-2] = 0
    labels[3:-3, 3:-3, 3:-3] = 7
    labels[4:-4, 4:-4, 4:-4] = 9
    labels[4, 5, 6] = 0
    return labels


@pytest.mark.parametrize("door", [False, True])
@pytest.mark.parametrize("block", [(2, 2, 3), (3, 11, 4), 5])
def test_boxes_in_boxes(door, block):
    labels = nested()
    if door:
        labels[0:2, 5, 5] = 0  # out of the outer box
    options = {"return_count": True}
    found = blockwise.fill_holes(labels, block=block, **options)
    assert found[1] == (1 * 3 * 5 if door else 5 * 7 * 9)  # within the inner box, within the outer one
    assert_equal(found, emfast.fill_holes(labels, **options))


@pytest.mark.parametrize("seed", range(20))
def test_sponges(seed):
    """Random walls, so that the graph of objects and cavities has many cut vertices and many ways around them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (4, 5, 6)) * (rng.random((4, 5, 6)) < 0.8)
    labels = np.kron(coarse, np.ones((2, 3, 2), int))
    labels[rng.random(labels.shape) < 0.1] = 0
    block = tuple(rng.integers(1, 7, 3))
    options = {"return_count": True}
    assert_equal(blockwise.fill_holes(labels, block=block, **options), emfast.fill_holes(labels, **options))


def test_no_object_is_judged_by_a_part_of_it():
    line = np.ones((1, 100), int)
    assert blockwise.dust(line, below=100, block=(1, 7)).all()
    assert not blockwise.dust(line, below=101, block=(1, 7)).any()


def test_errors_name_the_argument():
    labels = np.zeros((3, 3), int)
    with pytest.raises(ValueError, match="below must be a number of voxels"):
        blockwise.dust(labels, below=-1)
    with pytest.raises(ValueError, match="touching_border must be"):
        blockwise.dust(labels, touching_border="no")
    with pytest.raises(ValueError, match="k must be an integer of at least 0"):
        blockwise.largest_k(labels, -1)
    with pytest.raises(ValueError, match="connectivity must be"):
        blockwise.dust(labels, connectivity=5)
    with pytest.raises(TypeError, match="labels must be integers or bool, got float64"):
        blockwise.fill_holes(labels / 2)
    with pytest.raises(ValueError, match="labels must be 2D or 3D, got 1D"):
        blockwise.fill_holes(labels[0])
