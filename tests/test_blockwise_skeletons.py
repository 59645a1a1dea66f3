"""Centre lines block by block: those of the call in memory where objects fit, and within the stated bound where not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial

import emfast
import strategies
from emfast import blockwise

SPACINGS = st.sampled_from([(1, 1, 1), (40, 4, 4), (1, 2, 3)])


@st.composite
def cut(draw):
    """Labels in which objects are thick enough to have a middle, and blocks."""
    shape = draw(strategies.shapes(9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seeds = ((rng.random(shape) < 0.04) * rng.integers(1, 4, shape)).astype(draw(st.sampled_from(["u1", "i4", "u8"])))
    labels = emfast.dilate(seeds, radius=draw(st.sampled_from([1, 2, 3]))) if seeds.size else seeds
    block = draw(strategies.block_sides(labels.shape))
    return labels, {"block": block, "order": draw(strategies.block_orders(labels.shape, block))}


@given(
    cut(),
    SPACINGS,
    st.booleans(),
    st.sampled_from([0, 5]),
    st.sampled_from([0, 9]),
    st.sampled_from([1, 100, 1 << 24]),
)
def test_objects_that_fit(monkeypatch, labels_blocks, spacing, border, dust, min_length, together):
    labels, blocks = labels_blocks
    monkeypatch.setattr(blockwise.skeletons, "_TOGETHER", together)
    options = {"spacing": spacing[-labels.ndim :], "border": border, "dust": dust, "min_length": min_length}
    assert blockwise.skeletonize(labels, **options, **blocks) == emfast.skeletonize(labels, **options)


def assert_sound(labels, found, spacing, scale, const):
    """One tree for each component, of steps between its voxels, that covers it as documented."""
    parts, count = emfast.connected_components(labels, connectivity=26 if labels.ndim == 3 else 8, return_count=True)
    seen = np.zeros(count + 1, int)
    places = found.voxels
    of = parts[tuple(places.T)]
    assert (of > 0).all()
    assert len(np.unique(places, axis=0)) == len(places), "no voxel twice"
    roots = found.parents < 0
    np.add.at(seen, of[roots], 1)
    assert (seen[1:] == 1).all() and seen[0] == 0, "one tree for each component"
    child = np.flatnonzero(~roots)
    assert (found.parents[child] < child).all(), "parents come first"
    assert (of[child] == of[found.parents[child]]).all()
    assert (np.abs(places[child] - places[found.parents[child]]).max(axis=1) == 1).all(), "steps to neighbours"
    assert np.array_equal(labels[tuple(places.T)], np.repeat(found.labels, np.diff(found.starts)))
    for part in range(1, count + 1):
        voxels = np.argwhere(parts == part) * np.array(spacing)
        vertices, radii = places[of == part] * np.array(spacing), found.radii[of == part]
        apart = spatial.distance.cdist(voxels, vertices) - (scale * radii + const)
        assert (apart.min(axis=1) <= 1e-3 * max(spacing)).all(), "every voxel is covered"


@given(cut(), SPACINGS, st.sampled_from([4, 30, 200]))
def test_objects_that_do_not_fit(labels_blocks, spacing, largest):
    labels, blocks = labels_blocks
    spacing = spacing[-labels.ndim :]
    found = blockwise.skeletonize(labels, spacing=spacing, largest=largest, scale=1, const=2, **blocks)
    assert_sound(labels, found, spacing, 1, 2)
    again = blockwise.skeletonize(labels, spacing=spacing, largest=largest, scale=1, const=2)
    assert found == again, "blocks are of no account, only what is whole"


@pytest.mark.parametrize("seed", range(3))
def test_thin_winding_objects(seed):
    """Noise joined over corners: whatever way two cells may touch, its two sides meet."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((14, 15, 16)) < 0.12).astype(np.uint8)
    found = blockwise.skeletonize(labels, largest=64, scale=0, const=0, block=8)
    assert_sound(labels, found, (1, 1, 1), 0, 0)


def test_a_ring_is_opened_once():
    y, x = np.mgrid[:60, :60]
    ring = np.abs(np.hypot(y - 30, x - 30) - 22) < 3.5
    found = blockwise.skeletonize(ring, largest=400, block=20)
    assert_sound(ring, found, (1, 1), 1.5, 4)
    whole = emfast.skeletonize(ring)
    assert abs(found[1].length / whole[1].length - 1) < 0.2


def test_a_line_of_pieces_keeps_to_the_middle():
    """A straight bar: the deepest voxels of the seams are in its middle, and so is all between them."""
    bar = np.zeros((9, 9, 120), np.uint8)
    bar[2:7, 2:7, 3:117] = 1
    line = blockwise.skeletonize(bar, largest=1000, block=32)[1]
    inner = line.voxels[(line.voxels[:, 2] > 10) & (line.voxels[:, 2] < 110)]
    assert (inner[:, :2] == 4).all()
    assert (np.bincount(inner[:, 2], minlength=110)[11:110] == 1).all()


def test_a_volume_of_one_label():
    labels = np.ones((6, 7, 8), int)
    assert blockwise.skeletonize(labels, block=4) == emfast.skeletonize(labels)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="largest must be at least 1"):
        blockwise.skeletonize(np.ones((3, 3), int), largest=0)
    with pytest.raises(TypeError, match="labels must be integers or bool"):
        blockwise.skeletonize(np.ones((3, 3)))
    with pytest.raises(ValueError, match="scale must be"):
        blockwise.skeletonize(np.ones((3, 3), int), scale=-1)
