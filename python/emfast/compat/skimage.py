"""scikit-image's names on emfast: ``from emfast.compat.skimage import label``.

Results are those of scikit-image 0.26 for pictures and volumes (2D and 3D; ``label`` takes rows as well).
``connectivity`` is the number of axes along which neighbours may differ: 1 for faces, up to the number of axes of the
array. Where they differ:

- Arrays of more than three axes are not offered.
- ``label`` numbers in raster order of the axes, always; scikit-image turns volumes with an axis of length 1 first.
- Floats as labels are refused; scikit-image takes them in some functions.
- ``remove_small_objects`` takes labels of any size and sign, needs no memory in proportion to the largest, and does not
  warn where there is but one.
- ``min_size`` and ``area_threshold``, the older bounds, remove what is smaller, as they are documented and did before
  0.26, which takes them for ``max_size``.
- ``find_boundaries`` offers the modes "thick" and "inner".
- ``expand_labels`` gives a voxel that is equally far from several labels to that whose voxel comes first in C order;
  scikit-image leaves it to SciPy. Spacings are read as decimals and distances compared exactly.
- ``variation_of_information`` and ``adapted_rand_error`` take ids of any size, and give NaN where nothing counts.
  Sums are exact, so that they may differ from scikit-image's in the last digits.
- ``hausdorff_pair`` names the first of several pairs in C order; scikit-image leaves it to SciPy.
- ``watershed`` takes footprints that are the neighbours of some ``connectivity``, around their centre. NaN in the image
  is refused. With ``watershed_line`` beyond faces a voxel of a line hands on once only, where scikit-image may not end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast

from ._skimage_scores import (
    adapted_rand_error,
    contingency_table,
    hausdorff_distance,
    hausdorff_pair,
    variation_of_information,
)

__all__ = [
    "ArrayMap",
    "adapted_rand_error",
    "contingency_table",
    "expand_labels",
    "find_boundaries",
    "hausdorff_distance",
    "hausdorff_pair",
    "label",
    "relabel_sequential",
    "remove_small_holes",
    "remove_small_objects",
    "variation_of_information",
    "watershed",
]

_NEIGHBOURS = {1: {1: 6}, 2: {1: 4, 2: 8}, 3: {1: 6, 2: 18, 3: 26}}


def label(
    label_image: Any, background: int | None = None, return_num: bool = False, connectivity: int | None = None
) -> Any:
    """Label connected components of equal value.

    Parameters
    ----------
    label_image : array of integers or bool, 1D to 3D
    background : int, optional
        The value that becomes 0; 0 unless told. One that does not occur leaves no background.
    return_num : bool
        Return the number of components as well.
    connectivity : int, optional
        From 1 to the number of axes, which is the default.

    Returns
    -------
    array of int64; int32 for a mask of fewer than 2³¹ voxels

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.skimage import label
    >>> label(np.eye(2, dtype=int), connectivity=1)
    array([[1, 0],
           [0, 2]])
    """
    array = np.asarray(label_image)
    if array.dtype.kind not in "biu":
        raise TypeError(f"label_image must have an integer dtype or bool, got {array.dtype}")
    near = _neighbours(array.ndim, array.ndim if connectivity is None else connectivity)
    ground: int | None = 0 if background is None else int(background)
    limits = (0, 1) if array.dtype == bool else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    if array.dtype == bool:
        ground = 1 if ground == 1 else 0
    elif ground is not None and not limits[0] <= ground <= limits[1]:
        ground = None
    out, count = emfast.connected_components(
        array[None] if array.ndim == 1 else array,
        connectivity=near,
        background=ground,
        dtype=np.int32 if array.dtype == bool and array.size < 2**31 else np.int64,
        return_count=True,
    )
    result = out.reshape(array.shape)
    return (result, count) if return_num else result


def _neighbours(dims: int, connectivity: int) -> int:
    if dims not in _NEIGHBOURS:
        raise NotImplementedError(
            f"emfast works on pictures and volumes: give each of the {dims}D array's volumes alone"
        )
    if connectivity not in _NEIGHBOURS[dims]:
        raise ValueError(f"connectivity must be from 1 to {dims} for a {dims}D array, got {connectivity}")
    return _NEIGHBOURS[dims][connectivity]


class ArrayMap:
    """A table from old to new labels that is indexed like an array; what it does not name becomes 0.

    Attributes
    ----------
    in_values, out_values : (n,) arrays
    """

    def __init__(self, in_values: np.ndarray, out_values: np.ndarray) -> None:
        self.in_values, self.out_values = in_values, out_values

    @property
    def dtype(self) -> np.dtype:
        return self.out_values.dtype

    def __len__(self) -> int:
        """One more than the largest label."""
        return int(self.in_values.max()) + 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        out = np.zeros(len(self), dtype or self.dtype)
        out[self.in_values] = self.out_values
        return out

    def __call__(self, index: Any) -> Any:
        return self[index]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            index = np.arange(len(self))[index]
        array = np.asarray(index)
        if array.dtype == bool:
            array = np.flatnonzero(array)
        out = emfast.remap(array.reshape(-1), (self.in_values, self.out_values), missing=0)
        return out[0] if array.ndim == 0 else out.reshape(array.shape)

    def __repr__(self) -> str:
        return f"ArrayMap({self.in_values!r}, {self.out_values!r})"

    def __str__(self) -> str:
        lines = [f"  {a} → {b}" for a, b in zip(self.in_values.tolist(), self.out_values.tolist(), strict=True)]
        return "\n".join(["ArrayMap:", *(lines if len(lines) <= 5 else [*lines[:2], "  ...", *lines[-2:]])])


def relabel_sequential(label_field: np.ndarray, offset: int = 1) -> tuple[np.ndarray, ArrayMap, ArrayMap]:
    """Consecutive labels from ``offset`` on, in ascending order of the old ones; 0 stays.

    Returns
    -------
    labels : array of the dtype of ``label_field`` where it holds them
    forward, inverse : ArrayMap
        From old to new labels, and back.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.skimage import relabel_sequential
    >>> relabel_sequential(np.array([1, 1, 5, 8, 99, 42]))[0]
    array([1, 1, 2, 3, 5, 4])
    """
    if offset <= 0:
        raise ValueError(f"offset must be positive, got {offset}")
    array = np.asarray(label_field)
    if array.dtype.kind not in "iu":
        raise TypeError(f"label_field must have an integer dtype, got {array.dtype}")
    old = np.asarray(emfast.unique(array))
    if len(old) == 0:
        raise ValueError(f"label_field must hold a label, got an array of shape {array.shape}")
    if old[0] < 0:
        raise ValueError(f"label_field must not hold negative labels, got {old[0]}")
    zero = int(old[0] == 0)
    last = max(0, int(offset) + len(old) - zero - 1) if len(old) > zero else 0
    smallest = np.min_scalar_type(last)
    fits = array.dtype.itemsize >= smallest.itemsize and last < np.iinfo(array.dtype).max
    dtype = array.dtype if fits else smallest
    new = np.arange(int(offset) - zero, int(offset) - zero + len(old), dtype=np.uint64)
    new[:zero] = 0
    new = new.astype(dtype)
    out = emfast.remap(array, (old, new), dtype=dtype)
    return out, ArrayMap(old, new), ArrayMap(new, old)


def remove_small_objects(
    ar: np.ndarray,
    min_size: int | None = None,
    connectivity: int = 1,
    *,
    max_size: int = 64,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Remove components of a mask, or labels, of at most ``max_size`` voxels.

    Parameters
    ----------
    ar : array of bool or integers, 2D or 3D
        Every label counts as one object. A mask is split into its components.
    min_size : int, optional
        The older bound: objects of fewer voxels go, and ``max_size`` is not looked at.
    connectivity : int
        For masks.
    out : array, optional
        Takes the result.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.skimage import remove_small_objects
    >>> remove_small_objects(np.array([[True, True, False, True]]), max_size=1)
    array([[ True,  True, False, False]])
    """
    array = np.asarray(ar)
    if array.dtype.kind not in "biu":
        raise TypeError(f"ar must be bool or integers, got {array.dtype}")
    below = int(max_size) + 1 if min_size is None else int(np.ceil(min_size))
    if array.dtype == bool:
        near = _neighbours(array.ndim, connectivity)
        source = array[None] if array.ndim == 1 else array
        result = emfast.dust(source, below=below, connectivity=near).reshape(array.shape)
    else:
        ids, sizes = emfast.unique(array, counts=True)
        if len(ids) and ids[0] < 0:
            raise ValueError(f"ar must not hold negative labels, got {ids[0]}")
        result = emfast.mask(array, ids[sizes < below])
    if out is None:
        return np.asarray(result)
    out[...] = result
    return out


def remove_small_holes(
    ar: np.ndarray,
    area_threshold: int | None = None,
    connectivity: int = 1,
    *,
    max_size: int = 64,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Fill components of background of at most ``max_size`` voxels (fewer than ``area_threshold``); a mask."""
    if out is not None and out.dtype != bool:
        raise TypeError(f"out must be bool, got {out.dtype}")
    holes = np.asarray(ar) == 0
    result = ~remove_small_objects(holes, area_threshold, connectivity, max_size=max_size)
    if out is None:
        return result
    out[...] = result
    return out


def find_boundaries(label_img: Any, connectivity: int = 1, mode: str = "thick", background: int = 0) -> np.ndarray:
    """Mark voxels that have a neighbour of another label.

    Parameters
    ----------
    label_img : array of integers or bool, 2D or 3D
    connectivity : int
    mode : {"thick", "inner"}
        Both sides of a boundary, or all but background.
    background : int
        For "inner".
    """
    array = np.asarray(label_img)
    near = _neighbours(array.ndim, connectivity)
    if mode in ("outer", "subpixel"):
        raise NotImplementedError(f"mode {mode!r} is not offered; emfast.boundaries marks 'thick' and 'inner' ones")
    if mode == "inner" and background != 0:
        marked = np.asarray(emfast.boundaries(array, connectivity=near))
        return marked & (array != background)
    return np.asarray(emfast.boundaries(array, connectivity=near, mode=mode))


def expand_labels(label_image: Any, distance: float = 1, spacing: float | Sequence[float] = 1) -> np.ndarray:
    """Grow labels into the background by up to ``distance``, without touching each other's voxels."""
    array = np.asarray(label_image)
    steps: Any = (spacing,) * array.ndim if np.isscalar(spacing) else spacing
    return np.asarray(emfast.dilate(array, radius=distance, spacing=steps))


def watershed(
    image: Any,
    markers: Any = None,
    connectivity: Any = 1,
    offset: Any = None,
    mask: Any = None,
    compactness: float = 0,
    watershed_line: bool = False,
) -> np.ndarray:
    """Grow markers over an image, low places first, until they meet.

    Parameters
    ----------
    image : array of integers, bool or floats, 1D to 3D
    markers : array of integers, or int, optional
        0 is no marker. A number of markers puts about as many in a regular grid; none gives every local minimum one.
    connectivity : int, or the array of these neighbours
    offset : sequence of int, optional
        The centre of the array of neighbours, 1 along every axis.
    mask : array, optional
        What is 0 stays 0.
    compactness : float
        Above 0: regions are rounder.
    watershed_line : bool
        Part the regions by lines of 0.

    Returns
    -------
    array of the dtype of ``markers``; int32 from local minima

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.skimage import watershed
    >>> watershed(np.array([[0, 1, 3, 2, 0]]), np.array([[7, 0, 0, 0, 4]]))
    array([[7, 7, 7, 4, 4]])
    """
    array = np.asarray(image)
    near = _neighbours(array.ndim, _axes_of(connectivity, array.ndim))
    if offset is not None and list(offset) != [1] * array.ndim:
        raise NotImplementedError(f"offset must be the centre of the neighbours, 1 along every axis, got {offset!r}")
    inside = None if mask is None else np.asarray(mask, bool)
    if inside is not None and inside.shape != array.shape:
        raise ValueError(f"mask must have the shape of image {array.shape}, got {inside.shape}")
    seeds = _markers(array, markers, near, inside)
    row = array.ndim == 1
    out = emfast.seeded_watershed(
        array[None] if row else array,
        seeds[None] if row else seeds,
        mask=inside[None] if row and inside is not None else inside,
        connectivity=near,
        order="scikit-image",
        lines=bool(watershed_line),
        compactness=compactness,
    )
    return np.asarray(out).reshape(array.shape)


def _axes_of(connectivity: Any, dims: int) -> int:
    """Along how many axes neighbours may differ; from a footprint, too."""
    if connectivity is None:
        return 1
    if np.ndim(connectivity) == 0:
        return int(connectivity)
    footprint = np.asarray(connectivity, bool)
    if footprint.ndim != dims:
        raise ValueError(f"connectivity must have the axes of image, {dims}, got {footprint.ndim}")
    steps = np.abs(np.indices((3,) * dims) - 1).sum(axis=0)
    for axes in range(1, dims + 1):
        if footprint.shape == steps.shape and np.array_equal(footprint, steps <= axes):
            return axes
    raise NotImplementedError(
        f"connectivity must be from 1 to {dims}, or the 3 x 3 ... neighbours of one of these, got {connectivity!r}"
    )


def _markers(image: np.ndarray, markers: Any, near: int, inside: np.ndarray | None) -> np.ndarray:
    if markers is None:
        minima = _local_minima(image, near)
        if inside is not None:
            minima &= inside
        source = minima[None] if minima.ndim == 1 else minima
        return np.asarray(emfast.connected_components(source, connectivity=near, dtype="i4")).reshape(image.shape)
    if not isinstance(markers, (np.ndarray, list, tuple)):
        share = 1.0 if inside is None else np.count_nonzero(inside) / max(1, inside.size)
        if image.size and not share:  # the error of scikit-image, whose quotient is infinite
            raise OverflowError(f"markers must have voxels of the mask to lie on, got {markers!r} and an empty mask")
        return _regular_seeds(image.shape, int(markers / share) if share else 0)
    seeds = np.asarray(markers)
    if seeds.shape != image.shape:
        raise ValueError(f"markers must have the shape of image {image.shape}, got {seeds.shape}")
    if seeds.dtype.kind not in "iu":
        raise TypeError(f"markers must be integers, got {seeds.dtype}")
    return seeds


def _local_minima(image: np.ndarray, near: int) -> np.ndarray:
    """Voxels of plateaus without a lower neighbour; in an image of one value there are none."""
    _, ranks = np.unique(image, return_inverse=True)
    highest = ranks.max(initial=0)
    if highest == 0:
        return np.zeros(image.shape, bool)
    depths = (highest - ranks).reshape(image.shape).astype(np.uint32)
    source = depths[None] if depths.ndim == 1 else depths
    return np.asarray(emfast.h_maxima(source, 1, connectivity=near)).reshape(image.shape)


def _regular_seeds(shape: tuple[int, ...], count: int) -> np.ndarray:
    """About so many seeds in a grid; axes that are too short for a step have one."""
    seeds = np.zeros(shape, np.int64)
    grid = [slice(None)] * len(shape)
    if 0 < count < seeds.size:
        sides = np.sort(shape)
        steps = np.full(len(shape), (seeds.size / count) ** (1 / len(shape)))
        for axis in range(len(shape)):
            if (sides >= steps).all():
                break
            steps[axis] = sides[axis]
            rest = len(shape) - axis - 1
            if rest:
                steps[axis + 1 :] = (float(np.prod(sides[axis + 1 :])) / count) ** (1 / rest)
        for axis, place in enumerate(np.argsort(np.argsort(shape))):
            grid[axis] = slice(int(steps[place] // 2), None, int(np.round(steps[place])))
    part = seeds[tuple(grid)]
    part[...] = np.arange(1, part.size + 1).reshape(part.shape)
    return seeds
