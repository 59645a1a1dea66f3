"""connected-components-3d's names on emfast: ``from emfast.compat import cc3d``.

Labels, counts and tables are those of cc3d 4.1: 0 is background, the connectivity is 26 unless told, components are
numbered by first appearance in the order of memory, and results lie in memory as the input does. Where they differ:

- The dtype of labels is the smallest of uint16, uint32 and uint64 that holds the components there are. cc3d takes the
  smallest that holds its estimate before it counts, which may be larger. An ``out_dtype`` that is too small is refused
  by the count, too, so emfast takes some that cc3d refuses. ``max_labels`` is not needed and not looked at.
- Masks, and ``binary_image``: cc3d 4.1.1 mislabels one small random mask in twenty with connectivity 8, fails for
  rows with 26, and with ``binary_image`` and 4 compares values; with ``delta`` and 8 it joins what lies too far apart.
  emfast labels as it does with 26.
- All connectivities are offered with ``periodic_boundary``, and with ``delta``.
- NaN with ``delta=0`` belongs with nothing, as in cc3d; ``-0.0`` is 0 in float16 as well.
- An empty array gives an empty array of its own shape.
- ``largest_k`` among components of one size keeps those that come last, as cc3d's tests want it, and for ``k=1`` the
  first, as cc3d does; cc3d keeps them as its partition falls, and ``emfast.largest_k`` the first. The kept ones are
  numbered by first appearance, as in cc3d where fastremap is installed. With ``k=0`` and ``return_N`` comes the pair
  that cc3d forgets.
- ``dust`` returns the dtype it was given also where nothing is removed.
- ``contacts`` adds exactly where cc3d adds in float32, and counts (``surface_area=False``) no neighbours beyond the
  border of the volume.
- ``statistics`` counts beyond 2³² where it must (uint64 then).
- ``voxel_connectivity_graph`` lies in memory as the input does, not always in Fortran order.
- ``out_file`` is written when the labels are known; the work itself is done in memory.

``connected_components_stack`` returns a type of the crackle library and is not offered.
"""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast

from ._shared import DimensionError, Images, as_integers, as_numbers, as_unsigned, by_memory

__all__ = [
    "DimensionError",
    "color_connectivity_graph",
    "connected_components",
    "connected_components_stack",
    "contacts",
    "dust",
    "each",
    "estimate_provisional_labels",
    "largest_k",
    "region_graph",
    "statistics",
    "voxel_connectivity_graph",
]

_WIDTHS = (np.uint16, np.uint32, np.uint64)
_MOST = 2**62


def connected_components(
    data: Any,
    max_labels: int = -1,
    connectivity: int = 26,
    return_N: bool = False,
    delta: float = 0,
    out_dtype: Any = None,
    out_file: Any = None,
    periodic_boundary: bool = False,
    binary_image: bool = False,
) -> Any:
    """Label connected components of equal value, or of values at most ``delta`` apart.

    Parameters
    ----------
    data : array of integers, floats or bool, 1D to 3D
    max_labels : int
        Not looked at.
    connectivity : {26, 18, 6}, or {8, 4} for 2D
    return_N : bool
        Return the number of components as well.
    delta : number
        Integers are compared as unsigned ones, as cc3d does. The largest value of the dtype makes a binary image.
    out_dtype : {uint16, uint32, uint64}, optional
    out_file : path or file object, optional
        The labels come as a memory map of this file.
    periodic_boundary : bool
    binary_image : bool
        All values but 0 are one foreground.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> cc3d.connected_components(np.array([[5, 5, 0], [0, 0, 5]]), connectivity=4, return_N=True)
    (array([[1, 1, 0],
           [0, 0, 2]], dtype=uint16), 2)
    """
    torch = sys.modules.get("torch") if hasattr(data, "cpu") else None
    data = np.asarray(data.cpu() if torch else data)
    _check_connectivity(data.ndim, connectivity)
    wanted = _out_dtype(out_dtype)
    array, turned = by_memory(data)
    out, count = _label(array, connectivity, delta, wanted, periodic_boundary, binary_image)
    if out_file is not None:
        named = isinstance(out_file, (str, os.PathLike))
        file = np.memmap(out_file, out.dtype, "w+" if named else "r+", shape=out.shape)
        file[...] = out
        out = file
    result = out.T if turned else out
    if torch:
        result = torch.from_numpy(result)
    return (result, count) if return_N else result


def _label(
    array: np.ndarray, near: int, delta: float, wanted: np.dtype | None, periodic: bool, binary: bool
) -> tuple[np.ndarray, int]:
    """Labels and their number of an array in the order of memory."""
    if array.size == 0:
        return np.zeros(array.shape, wanted or np.uint16), 0
    kind = array.dtype.kind
    if kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"data must be integers, bool or floats of at most 64 bits, got {array.dtype}")
    tolerance: float | None = float(delta) if kind == "f" else int(delta)
    if kind != "b" and tolerance:
        binary = binary or tolerance == (np.finfo if kind == "f" else np.iinfo)(array.dtype).max
    if binary or kind == "b" or not tolerance:
        # NaN differs from itself, which bits cannot say: the plain schedule compares numbers.
        tolerance = 0.0 if kind == "f" and not binary and np.isnan(array.min()) else None
    elif array.dtype == np.float16:
        raise TypeError("data must be integers, float32 or float64 where delta is not 0, got float16")
    if binary and kind != "b":
        array = array != 0
    elif tolerance is None:
        array = as_integers(array)
    else:
        array = as_unsigned(array) if kind == "i" else array
    shape = array.shape
    if array.ndim == 1:
        array = array[None]
    # The smallest type is asked for where it must hold the count, so that nothing is converted.
    dtype = np.dtype(np.uint16) if wanted is None and array.size < 2**16 - 1 else wanted
    out, count = emfast.connected_components(
        array, connectivity=near, delta=tolerance, periodic=periodic, dtype=dtype, return_count=True
    )
    if out.dtype == np.uint8:
        out = out.astype(np.uint16)
    return out.reshape(shape), count


def connected_components_stack(
    stacked_images: Any, connectivity: int = 26, return_N: bool = False, binary_image: bool = False
) -> Any:
    """Not offered: the result is an array type of the crackle library."""
    raise NotImplementedError(
        "connected_components_stack returns a CrackleArray, which emfast does not have: give connected_components a "
        "numpy.memmap of the volume, and out_file for the labels"
    )


def estimate_provisional_labels(data: Any) -> tuple[int, int, int]:
    """Runs of foreground along the fastest axis, and the first and the last row that hold any.

    emfast needs no estimate; this is for programs that ask.
    """
    array = np.asarray(data)
    array = array.T if array.flags.f_contiguous else array
    rows = as_integers(array).reshape(-1, array.shape[-1])
    foreground = rows != 0
    runs = np.count_nonzero(foreground[:, 0]) + np.count_nonzero(foreground[:, 1:] & (rows[:, 1:] != rows[:, :-1]))
    held = np.flatnonzero(foreground.any(axis=1))
    return int(runs), int(held[0]) if len(held) else -1, int(held[-1]) if len(held) else -1


def statistics(out_labels: Any, no_slice_conversion: bool = False) -> dict[str, Any]:
    """Voxel counts, bounding boxes and centroids, indexed by label.

    Parameters
    ----------
    out_labels : array of integers or bool, 1D to 3D
        From 0 to the number of voxels; ``emfast.statistics`` has no such limit.
    no_slice_conversion : bool
        Boxes as an array (first, last, first, last, …) rather than as slices.

    Returns
    -------
    dict
        ``voxel_counts`` (n + 1,) uint32, ``bounding_boxes`` and ``centroids`` (n + 1, dims) float64.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> cc3d.statistics(np.array([[1, 1, 0], [0, 0, 2]]))["bounding_boxes"][1]
    (slice(0, 1, None), slice(0, 2, None))
    """
    array = np.asarray(out_labels)
    if array.ndim == 0 or array.ndim > 3:
        raise DimensionError(f"out_labels must be 1D, 2D or 3D, got {array.ndim}D")
    if array.ndim == 1:
        array = array[:, None]
    if array.size == 0:
        return {"voxel_counts": None, "bounding_boxes": None, "centroids": None}
    table = emfast.statistics(array, background=None)
    ids = table["label"]
    if int(ids[0]) < 0:
        raise ValueError(f"out_labels must not be negative, got {ids[0]}; emfast.statistics takes any")
    most = int(ids[-1])
    if most > array.size:
        raise ValueError(
            f"out_labels must not exceed the voxels ({array.size}), got {most}; emfast.statistics takes any"
        )
    where = ids.astype(np.int64)
    largest = int(table["voxels"].max())
    counts = np.zeros(most + 1, np.uint32 if largest < 2**32 else np.uint64)
    counts[where] = table["voxels"]
    small = max(array.shape) <= 2**16 - 1
    boxes = np.zeros((most + 1, 2 * array.ndim), np.uint16 if small else np.uint32)
    boxes[:, ::2] = np.iinfo(boxes.dtype).max
    boxes[where, ::2] = table["start"]
    boxes[where, 1::2] = table["stop"] - 1
    centroids = np.full((most + 1, array.ndim), np.nan)
    centroids[where] = table["centroid"]
    if no_slice_conversion:
        return {"voxel_counts": counts, "bounding_boxes": boxes, "centroids": centroids}
    slices: list[Any] = [None] * (most + 1)
    for label, box in zip(where.tolist(), table.slices(), strict=True):
        slices[label] = box
    return {"voxel_counts": counts, "bounding_boxes": slices, "centroids": centroids}


def contacts(
    labels: Any, connectivity: int = 26, surface_area: bool = True, anisotropy: Sequence[float] = (1, 1, 1)
) -> dict[tuple[int, int], float]:
    """Pairs of labels that touch, and the area on which they do (or the number of neighbouring voxels).

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> cc3d.contacts(np.array([[1, 1, 2]]), anisotropy=(4, 4, 40))
    {(1, 2): 160.0}
    """
    array = np.asarray(labels)
    while array.ndim < 3:
        array = array[..., None]
    if array.shape[2] == 1 and connectivity in (4, 8):  # in these the sides of a picture are lengths
        connectivity = {4: 6, 8: 26}[connectivity]
        anisotropy = (*tuple(anisotropy)[:2], 1)
    table = emfast.contacts(array, connectivity=connectivity, spacing=anisotropy)
    values = table["area"] if surface_area else table["neighbours"].astype(np.float64)
    return dict(zip(zip(table["a"].tolist(), table["b"].tolist(), strict=True), values.tolist(), strict=True))


def region_graph(labels: Any, connectivity: int = 26) -> set[tuple[int, int]]:
    """Pairs of labels that touch."""
    return set(contacts(labels, connectivity))


def voxel_connectivity_graph(data: Any, connectivity: int = 26) -> np.ndarray:
    """For every voxel a bit per neighbour, set where the two have the same label; see ``emfast.voxel_graph``."""
    array = np.asarray(data)
    _check_connectivity(array.ndim, connectivity)
    dims = array.ndim
    if connectivity not in (4, 8):  # in these the bits of a picture are those of a volume
        while array.ndim < 3:
            array = array[..., None]
    graph = emfast.voxel_graph(array, connectivity=connectivity)
    return graph.reshape(graph.shape[:dims])


def color_connectivity_graph(vcg: Any, connectivity: int = 26, return_N: bool = False) -> Any:
    """The components of a voxel connectivity graph, numbered in Fortran order whatever the layout.

    Where the two voxels of an edge disagree, the one that comes later in Fortran order decides.
    """
    array = np.asarray(vcg)
    if array.ndim not in (2, 3):
        raise DimensionError(f"vcg must be 2D or 3D, got {array.ndim}D")
    if connectivity not in ((4, 8, 6, 26) if array.ndim == 2 else (6, 26)):
        raise ValueError(f"connectivity must be 6 or 26, in 2D 4 or 8, got {connectivity}")
    if array.dtype not in (np.uint8, np.uint32):
        raise ValueError(f"vcg must be uint8 or uint32, got {array.dtype}")
    if array.size == 0:
        return np.zeros(array.shape, np.uint32)
    shape, near = array.shape, connectivity
    if array.ndim == 2 and array.dtype == np.uint32:  # 32 bits are those of a volume
        array, near = array[..., None], {4: 6, 8: 26}.get(near, near)
    elif array.ndim == 2:
        near = {6: 4, 26: 8}.get(near, near)
    out, count = emfast.components_of_graph(_turn_graph(array, near), connectivity=near, return_count=True)
    result = out.reshape(shape[::-1]).T
    return (result, count) if return_N else result


# Where the bits of a voxel graph look to, from the lowest on.
_STEPS: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)],
    3: [
        *[(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)],
        *[(1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0), (1, 0, 1), (-1, 0, 1)],
        *[(0, 1, 1), (0, -1, 1), (1, 0, -1), (-1, 0, -1), (0, 1, -1), (0, -1, -1)],
        *[(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1), (1, 1, -1), (-1, 1, -1), (1, -1, -1), (-1, -1, -1)],
    ],
}


def _turn_graph(graph: np.ndarray, near: int) -> np.ndarray:
    """The graph of the transposed volume: its C order is the Fortran order of the volume."""
    steps = _STEPS[graph.ndim]
    graph = np.ascontiguousarray(graph.T)
    out = np.zeros(graph.shape, np.uint32 if near == 26 else graph.dtype)
    for bit, step in enumerate(steps[:near]):
        out |= ((graph >> steps.index(step[::-1])) & 1).astype(out.dtype) << bit
    return out


def dust(
    img: Any,
    threshold: float | Sequence[float],
    connectivity: int = 26,
    in_place: bool = False,
    binary_image: bool = False,
    precomputed_ccl: bool = False,
    invert: bool = False,
    return_N: bool = False,
) -> Any:
    """Remove connected components below a size, or outside ``[low, high)``.

    Parameters
    ----------
    img : array, 1D to 3D
    threshold : number, or a pair
    connectivity : {26, 18, 6}, or {8, 4} for 2D
    in_place : bool
        Write the result into ``img``.
    binary_image : bool
        Components are those of the foreground.
    precomputed_ccl : bool
        Every label is one component.
    invert : bool
        Remove what would be kept.
    return_N : bool
        Return the number of components kept as well.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> cc3d.dust(np.array([[3, 3, 0, 3, 4]]), 2)
    array([[3, 3, 0, 0, 0]])
    """
    image = np.asarray(img)
    below = _bounds(threshold)
    array, turned = by_memory(image)
    bits = as_integers(array)
    if precomputed_ccl:
        out, kept = _dust_labels(bits, below, invert)
    else:
        _check_connectivity(image.ndim, connectivity)
        source = bits != 0 if binary_image else bits
        source = source[None] if source.ndim == 1 else source
        out, kept = emfast.dust(source, below=below, connectivity=connectivity, invert=invert, return_count=True)
        out = out.reshape(bits.shape)
        if binary_image:
            out = np.where(out, bits, bits.dtype.type(0))
    result = as_numbers(out, image.dtype)
    result = result.T if turned else result
    if in_place:
        image[...] = result
        result = image
    return (result, kept) if return_N else result


def _bounds(threshold: Any) -> Any:
    """Sizes are integers: what is below 2.5 is below 3."""
    if isinstance(threshold, (tuple, list)):
        low, high = (max(0, math.ceil(min(t, _MOST))) for t in threshold)
        return low, max(low, high)
    return max(0, math.ceil(min(threshold, _MOST)))


def _dust_labels(bits: np.ndarray, below: Any, invert: bool) -> tuple[np.ndarray, int]:
    ids, sizes = emfast.unique(bits, counts=True)
    low, high = below if isinstance(below, tuple) else (below, None)
    good = sizes >= low
    if high is not None:
        good &= sizes < high
    keep = good != invert
    # cc3d counts from 1 to the largest label, so labels that do not occur have size 0.
    absent = int(ids[-1]) - np.count_nonzero(ids) if len(ids) else 0
    empty = (low == 0 and high != 0) != invert
    kept = np.count_nonzero(keep & (ids != 0)) + (absent if empty else 0)
    return emfast.mask(bits, ids[~keep & (ids != 0)]), int(kept)


def largest_k(
    img: Any,
    k: int,
    connectivity: int = 26,
    delta: float = 0,
    return_N: bool = False,
    binary_image: bool = False,
    precomputed_ccl: bool = False,
) -> Any:
    """Keep the ``k`` largest connected components, renumbered.

    Parameters
    ----------
    img : array, 1D to 3D
    k : int
    connectivity : {26, 18, 6}, or {8, 4} for 2D
    delta : number
        As in ``connected_components``.
    return_N : bool
        Return the number of components kept as well.
    binary_image : bool
        Components are those of the foreground.
    precomputed_ccl : bool
        Every label is one component.

    Returns
    -------
    array
        All components where there are no more than ``k``; a mask for ``k=1``; else ids from 1 on in the order of first
        appearance, in the smallest dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> cc3d.largest_k(np.array([[3, 3, 0, 3, 4]]), 1)
    array([[ True,  True, False, False, False]])
    """
    k = operator.index(k)
    assert k >= 0
    image = np.asarray(img)
    array, turned = (image.T, True) if precomputed_ccl else by_memory(image)  # cc3d copies those in Fortran order
    if k == 0:
        out, count = np.zeros(array.shape, np.uint16), 0
    else:
        if precomputed_ccl:
            found = as_unsigned(array)
        else:
            _check_connectivity(image.ndim, connectivity)
            found = _label(array, connectivity, delta, None, False, binary_image)[0]
        out, count = _largest(found, k, precomputed_ccl)
    result = out.T if turned else out
    return (result, count) if return_N else result


def _largest(found: np.ndarray, k: int, own: bool) -> tuple[np.ndarray, int]:
    ids, sizes = emfast.unique(found, counts=True)
    most = int(ids[-1]) if len(ids) else 0
    if most <= k:
        return found.copy() if own else found, most
    sizes = np.where(ids == 0, 0, sizes)
    if k == 1:
        return found == ids[np.argmax(sizes)], 1
    chosen = np.sort(ids[np.argsort(sizes, kind="stable")[-k:]])
    chosen = chosen[chosen != 0]
    if own:  # these need not be in the order of first appearance
        return emfast.renumber(emfast.mask_except(found, chosen))[0], len(chosen)
    dtype = np.min_scalar_type(len(chosen))
    table = chosen, np.arange(1, len(chosen) + 1, dtype=dtype)
    return emfast.remap(found, table, missing=0, dtype=dtype), len(chosen)


def each(labels: Any, binary: bool = False, in_place: bool = False) -> Images:
    """Iterate over (label, image of that label alone), ascending; 0 is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import cc3d
    >>> for label, image in cc3d.each(np.array([[0, 2, 2], [1, 0, 2]])):
    ...     print(label, image.tolist())
    1 [[0, 0, 0], [1, 0, 0]]
    2 [[0, 2, 2], [0, 0, 2]]
    """
    array = np.asarray(labels)
    if binary:
        return Images(array, lambda label, where: True, np.dtype(bool), in_place)
    return Images(array, lambda label, where: label, array.dtype, in_place)


def _check_connectivity(dims: int, near: Any) -> None:
    if dims not in (1, 2, 3):
        raise DimensionError(f"Only 1D, 2D, and 3D arrays supported. Got: {dims}")
    welcome = (4, 8, 6, 18, 26) if dims == 2 else (6, 18, 26)
    if near not in welcome:
        raise ValueError(f"connectivity must be one of {welcome} for a {dims}D array, got {near}")


def _out_dtype(dtype: Any) -> np.dtype | None:
    if dtype is None:
        return None
    if np.dtype(dtype) not in _WIDTHS:
        raise ValueError(f"out_dtype must be uint16, uint32 or uint64, got {np.dtype(dtype)}")
    return np.dtype(dtype)
