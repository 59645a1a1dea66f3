"""fill_voids' names on emfast: ``from emfast.compat import fill_voids``.

The result is that of fill_voids 2.1 (and of SciPy's ``binary_fill_holes``): 1 in the foreground and in what it
encloses, 0 elsewhere, in the dtype of the input, and it lies in memory as the input does. Where they differ:

- fill_voids now and then fills a lone voxel on an edge of the volume, which nothing encloses; emfast does not.
- ``in_place`` writes the result into the array; no memory is saved.

``emfast.fill_holes`` fills every label of a volume at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import emfast

from ._shared import DimensionError, by_memory

__all__ = ["DimensionError", "fill"]


def fill(labels: Any, in_place: bool = False, return_fill_count: bool = False) -> Any:
    """Fill the holes of a mask.

    Parameters
    ----------
    labels : array of integers, floats or bool, 1D to 3D
        All values but 0 are foreground. Further axes of length 1 may follow.
    in_place : bool
        Write the result into ``labels`` and return it.
    return_fill_count : bool
        Return the number of voxels that were filled as well.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fill_voids
    >>> fill_voids.fill(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]), return_fill_count=True)
    (array([[1, 1, 1],
           [1, 1, 1],
           [1, 1, 1]]), 1)
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"labels must be integers, floats or bool, got {array.dtype}")
    if any(n != 1 for n in array.shape[3:]):
        raise DimensionError(f"The input volume must be (effectively) a 1D, 2D or 3D image: {array.shape}")
    volume, turned = by_memory(array.reshape(array.shape[:3]))
    count = 0
    if array.size == 0 or array.ndim < 2:  # a row encloses nothing
        filled = volume != 0
    else:
        filled, count = emfast.fill_holes(volume if volume.dtype == bool else volume != 0, return_count=True)
    filled = filled.T if turned else filled
    filled = filled.view(array.dtype) if array.dtype.itemsize == 1 else filled.astype(array.dtype)
    result = filled.reshape(array.shape)
    if in_place:
        array[...] = result
        result = array
    return (result, count) if return_fill_count else result
