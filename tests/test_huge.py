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
