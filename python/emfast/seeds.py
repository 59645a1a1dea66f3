"""Seeds, and watershed from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import _native
from ._arrays import Host, Operand, take
from ._options import connectivity_of, number_of, spacing_of
from .edges import mask_of

__all__ = ["distance_peaks", "h_maxima", "seeded_watershed"]

_HEIGHTS = ("bool", "uint8", "uint16", "uint32", "int16", "int32", "float16", "float32")


def seeded_watershed(
    height: Any,
    seeds: Any,
    *,
    mask: Any = None,
    connectivity: int = 6,
    per_section: bool = False,
    lines: bool = False,
    order: str = "exact",
    compactness: float = 0.0,
) -> Any:
    """Grow seeds over a height map, low places first, until they meet.

    With ``order="exact"`` this is the cut of a minimum spanning forest: edges between neighbours are taken in order,
    and each joins what lies at its ends, unless both sides hold a seed already. The order is by the larger height of
    the two ends; then by the smaller one, so that a voxel goes to its lowest neighbour; then, for ends of equal height,
    by their steps to the rim of the plateau or to a seed on it, so that plateaus are shared fairly; then by place. It
    is total: the answer depends neither on threads nor on the device.

    Parameters
    ----------
    height : (z, y, x) or (y, x) array
        Integers of 8 (unsigned), 16 or 32 bits, bool, float16 or float32; with ``order="scikit-image"`` any. NaN is
        refused.
    seeds : array of integers, shape of ``height``
        0: no seed.
    mask : array of bool, shape of ``height``, optional
        Voxels outside are 0; seeds outside do not count.
    connectivity : {6, 18, 26}, in 2D {4, 8}
        Neighbours share a face, or also an edge, or also a corner.
    per_section : bool
        Take each section by itself.
    lines : bool
        Part the labels by lines of 0. With ``order="exact"``: of two neighbours of different labels the higher one
        (of equally high ones the later one in C order) is cleared, unless it is a seed; then the other, unless that is
        a seed too.
    order : {"exact", "scikit-image"}
        ``"scikit-image"`` gives the pixels of ``skimage.segmentation.watershed`` (0.26), from a queue by height and
        age: one thread, slower, on the host (arrays on a device are copied there and back). With ``lines`` beyond
        faces, where scikit-image may not end, a voxel of a line hands on once only.
    compactness : float
        Above 0, with ``order="scikit-image"`` alone: raise a voxel by this times its distance from the seed, for
        rounder regions. As in scikit-image there are no lines then.

    Returns
    -------
    labels : array of the shape and dtype of ``seeds``
        0 outside the mask and where no seed can reach.

    See Also
    --------
    watershed : fragments without seeds, from affinities

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> height = np.array([[0, 1, 3, 2, 0]], np.uint8)
    >>> emfast.seeded_watershed(height, np.array([[7, 0, 0, 0, 4]]))
    array([[7, 7, 7, 4, 4]])
    """
    marks = take(seeds, "seeds", kinds="iu")
    if order not in ("exact", "scikit-image"):
        raise ValueError(f'order must be "exact" or "scikit-image", got {order!r}')
    compactness = _compactness_of(compactness)
    if compactness and order == "exact":
        raise ValueError('compactness needs order="scikit-image": it depends on the order of a queue')
    values = take(height, "height", kinds="biuf")
    if values.shape != marks.shape:
        raise ValueError(f"seeds must have the shape of height {values.shape}, got {marks.shape}")
    if not values.meets(marks):
        raise ValueError("seeds must live where height lives")
    dims = len(values.shape)
    axes = {4: 1, 6: 1, 8: 2, 18: 2, 26: 3}[connectivity_of(connectivity, dims)]
    if per_section and dims == 2:
        raise ValueError("per_section needs a volume (z, y, x), got a picture")
    inside = None if mask is None else mask_of(mask, values, values.shape, "height")
    if order == "scikit-image":
        return _by_queue(values, marks, inside, axes, bool(per_section), bool(lines), compactness)
    _check_height(values, "height")
    out = values.native.seeded_watershed(
        values.library,
        values.array,
        marks.array,
        None if inside is None else inside.array,
        axes,
        bool(per_section),
        bool(lines),
    )
    return marks.give(out)


def _by_queue(
    values: Operand,
    marks: Operand,
    inside: Operand | None,
    axes: int,
    per_section: bool,
    lines: bool,
    compactness: float,
) -> Any:
    library = values.library
    heights = np.ascontiguousarray(library.to_numpy(values.array), np.float64)
    if np.isnan(heights).any():
        raise ValueError("height must not be NaN")
    seeds = library.to_numpy(marks.array)
    mask = None if inside is None else library.to_numpy(inside.array)
    out = np.empty_like(seeds)
    sections = range(len(out)) if per_section else [slice(None)]
    for z in sections:
        part = None if mask is None else mask[z]
        out[z] = _native.host.seeded_watershed_queue(Host(), heights[z], seeds[z], part, axes, compactness, lines)
    return marks.give(library.from_numpy(out))


def _compactness_of(compactness: Any) -> float:
    value = number_of(compactness, "compactness")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"compactness must be finite and at least 0, got {compactness!r}")
    return value


def h_maxima(values: Any, h: float, *, mask: Any = None, connectivity: int = 26, per_section: bool = False) -> Any:
    """Mark the maxima that stand out by ``h`` or more.

    A maximum is a set of connected voxels of one value without a higher neighbour. It stands out by its value minus
    that of the highest pass to a higher maximum, the pass being the least value on the way; where there is none higher
    to go to, it stands out without limit. With whole numbers these are the maxima of ``skimage.morphology.h_maxima``.

    Parameters
    ----------
    values : (z, y, x) or (y, x) array
        Integers of 8 (unsigned), 16 or 32 bits, bool, float16 or float32. NaN is refused.
    h : float
        Above 0. Differences are taken in float64.
    mask : array of bool, shape of ``values``, optional
        What lies outside does not exist.
    connectivity : {6, 18, 26}, in 2D {4, 8}
        26 means 8 in 2D.
    per_section : bool
        Take each section by itself.

    Returns
    -------
    array of bool, shape of ``values``
        The voxels of these maxima. ``emfast.connected_components`` makes seeds of them.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> emfast.h_maxima(np.array([[0, 5, 4, 6, 2, 3, 3, 0]], np.uint8), 2).astype(int)
    array([[0, 0, 0, 1, 0, 0, 0, 0]])
    """
    operand = take(values, "values", kinds="biuf")
    _check_height(operand, "values")
    dims = len(operand.shape)
    axes = {4: 1, 6: 1, 8: 2, 18: 2, 26: 3}[connectivity_of(connectivity, dims)]
    if per_section and dims == 2:
        raise ValueError("per_section needs a volume (z, y, x), got a picture")
    h = number_of(h, "h")
    if not h > 0:
        raise ValueError(f"h must be above 0, got {h}")
    inside = None if mask is None else mask_of(mask, operand, operand.shape, "values").array
    return operand.give(operand.native.h_maxima(operand.library, operand.array, inside, h, axes, bool(per_section)))


def distance_peaks(
    distance: Any,
    *,
    separation: float = 0.0,
    threshold: float = 0.0,
    spacing: Any = (1, 1, 1),
    mask: Any = None,
    per_section: bool = False,
    return_count: bool = False,
) -> Any:
    """Peaks of a distance map (or any other), no two closer than ``separation``: seeds for a watershed.

    Voxels above ``threshold`` that have no higher neighbour (of 26, in a section of 8) are taken in order of their
    value, the highest first, equal ones in C order. A voxel is left out if one taken before it is closer than
    ``separation`` (and in the same part of the mask, if there is one).

    Parameters
    ----------
    distance : (z, y, x) or (y, x) array
        Integers of 8 (unsigned), 16 or 32 bits, float16 or float32. NaN is refused.
    separation : float
        The least distance between peaks, in the unit of ``spacing``. With 0 all voxels of a plateau are peaks.
    threshold : float
        Peaks are above it.
    spacing : sequence of float
        Size of a voxel along each axis.
    mask : array of bool, shape of ``distance``, optional
        What lies outside does not exist. Peaks in different parts of the mask (joined over faces) may be close.
    per_section : bool
        Take each section by itself.
    return_count : bool
        Return the number of peaks as well.

    Returns
    -------
    seeds : array of uint32, shape of ``distance``
        The peaks, numbered from 1 in C order; 0 elsewhere.
    count : int
        Only with ``return_count``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> emfast.distance_peaks(np.array([[0, 2, 1, 3, 0, 0, 2, 0]], np.float32), separation=3)
    array([[0, 0, 0, 1, 0, 0, 2, 0]], dtype=uint32)
    """
    operand = take(distance, "distance", kinds="iuf")
    _check_height(operand, "distance")
    dims = len(operand.shape)
    if per_section and dims == 2:
        raise ValueError("per_section needs a volume (z, y, x), got a picture")
    separation, threshold = number_of(separation, "separation"), number_of(threshold, "threshold")
    if not (separation >= 0 and math.isfinite(separation)):
        raise ValueError(f"separation must be finite and at least 0, got {separation}")
    inside = None if mask is None else mask_of(mask, operand, operand.shape, "distance").array
    sizes = (1.0,) * (3 - dims) + spacing_of(spacing, dims)
    out, count = operand.native.peaks(
        operand.library, operand.array, inside, threshold, separation, sizes, bool(per_section)
    )
    return (operand.give(out), int(count)) if return_count else operand.give(out)


def _check_height(operand: Operand, name: str) -> None:
    if operand.dtype.name not in _HEIGHTS:
        hint = ', or take order="scikit-image"' if name == "height" else ""
        raise TypeError(
            f"{name} must be integers of 8 (unsigned), 16 or 32 bits, float16 or float32, got {operand.dtype}; "
            f"convert it{hint}"
        )
