"""Tables block by block: the same as in memory, whatever the blocks and their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import strategies
from emfast import blockwise

SPACINGS = st.sampled_from([(1, 1, 1), (3, 1, 2), (40, 4.6, 4.6)])


@st.composite
def cut(draw):
    labels = draw(strategies.label_arrays(9, values=6))
    block = draw(strategies.block_sides(labels.shape))
    order = draw(strategies.block_orders(labels.shape, block))
    return labels, {"block": block, "order": order, "workers": draw(st.integers(1, 3))}


@given(cut(), SPACINGS, st.sampled_from([0, 1, None]), st.booleans(), st.booleans(), st.booleans())
def test_statistics(labels_blocks, spacing, background, moments, surface, radius):
    labels, blocks = labels_blocks
    options = {
        "spacing": spacing[-labels.ndim :],
        "background": background,
        "moments": moments,
        "surface": surface,
        "radius": radius,
    }
    found = blockwise.statistics(labels, **options, **blocks)
    wanted = emfast.statistics(labels, **options)
    assert type(found) is type(wanted)
    assert found == wanted


@given(cut(), SPACINGS, st.sampled_from([0, 1, None]), st.sampled_from([6, 18, 26]))
def test_contacts(labels_blocks, spacing, background, connectivity):
    labels, blocks = labels_blocks
    options = {"spacing": spacing[-labels.ndim :], "background": background, "connectivity": connectivity}
    assert blockwise.contacts(labels, **options, **blocks) == emfast.contacts(labels, **options)


@given(cut(), st.data())
def test_contingency(labels_blocks, data):
    truth, blocks = labels_blocks
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, 4, truth.shape, data.draw(st.sampled_from(["u1", "i8", "u8"])))
    mask = rng.random(truth.shape) < 0.7 if data.draw(st.booleans()) else None
    options = {"ignore": data.draw(st.sampled_from([(), 0, [1, 2]])), "mask": mask}
    found = blockwise.contingency(truth, labels, **options, **blocks)
    assert found == emfast.contingency(truth, labels, **options)


def test_the_deepest_voxel_is_found_across_blocks():
    labels = np.zeros((9, 9, 20), np.uint8)
    labels[1:8, 1:8, 2:18] = 3
    for block in (2, 5, (9, 3, 7)):
        row = blockwise.statistics(labels, radius=True, block=block)[3]
        assert (row["radius"], row["inside"].tolist()) == (4.0, [4, 4, 5])


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match="labels must be integers or bool, got float64"):
        blockwise.statistics(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="labels must be 2D or 3D, got 1D"):
        blockwise.statistics(np.zeros(3, int))
    with pytest.raises(ValueError, match=r"labels must have the shape of truth \(3, 3\), got \(3, 4\)"):
        blockwise.contingency(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(ValueError, match="connectivity must be"):
        blockwise.contacts(np.zeros((3, 3), int), connectivity=5)
    with pytest.raises(TypeError, match="background must be an integer or None"):
        blockwise.statistics(np.zeros((3, 3), int), background=0.5)
