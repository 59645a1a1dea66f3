"""More than 2^31 voxels. Marked huge: needs about 20 GB of memory and some minutes."""

import numpy as np
import pytest

import emfast

pytestmark = pytest.mark.huge


def test_components_beyond_two_to_the_31():
    """Planes of one value, some empty; the last voxels are a component of their own beyond index 2^31."""
    labels = np.ones((2100, 1024, 1024), "u1")
    labels[700] = 0
    labels[1400] = 0
    labels[1401:, 0] = 2
    labels[-1, -1, -2:] = [0, 7]
    assert labels.size > 2**31
    for connectivity in (6, 26):
        out, count = emfast.connected_components(labels, connectivity=connectivity, return_count=True)
        assert count == 5
        assert out.dtype == "uint8"
        assert (out[:700] == 1).all()
        assert (out[701:1400] == 2).all()
        assert not out[[700, 1400]].any()
        assert (out[1401:, 0] == 3).all()
        assert (out[1401:-1, 1:] == 4).all()
        assert out[-1, -1, -3:].tolist() == [4, 0, 5]


def test_masks_beyond_two_to_the_31():
    """The host's thick rows, with ids of 64 bits."""
    mask = np.zeros((2100, 1024, 1024), bool)
    mask[::3] = True
    mask[-1, -1, -1] = True
    out, count = emfast.connected_components(mask, connectivity=26, return_count=True)
    assert count == 701
    assert np.array_equal(out[::3, 0, 0], np.arange(1, 701))
    assert np.array_equal(out[::3, -1, -1], np.arange(1, 701))
    assert not out[1].any()
    assert out[-1].any() and out[-1, -1, -1] == 701


def test_distances_beyond_two_to_the_31():
    labels = np.ones((2100, 1024, 1024), "u1")
    labels[2000] = 0
    out = emfast.edt(labels, spacing=(2, 1, 1))
    expected = 2.0 * np.abs(np.arange(2100) - 2000)
    for y, x in [(0, 0), (511, 3), (1023, 1023)]:
        assert np.array_equal(out[:, y, x], expected)


def test_ids_beyond_two_to_the_31():
    labels = np.full((2100, 1024, 1024), 5, "u1")
    labels[-1, -1] = 9
    ids, counts = emfast.unique(labels, counts=True)
    assert ids.tolist() == [5, 9] and counts.tolist() == [labels.size - 1024, 1024]
    out, _ = emfast.renumber(labels)
    assert out[0, 0, 0] == 1 and out[-1, -2, -1] == 1 and (out[-1, -1] == 2).all()
