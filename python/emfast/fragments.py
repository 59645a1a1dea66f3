"""Fragments: watershed on affinities."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from . import _native
from ._arrays import Host, Operand, take
from ._options import number_of
from .distance import edt
from .edges import NEAREST, mask_of
from .graphs import RegionGraph, region_graph
from .labels import remap
from .seeds import distance_peaks, seeded_watershed

__all__ = ["distance_watershed", "watershed"]


def watershed(
    affinities: Any,
    *,
    low: float = 0.0,
    high: float = 1.0,
    plateau: str = "strict",
    mask: Any = None,
    per_section: bool = False,
    quantile: bool = False,
    halo: Any = 0,
    merge_size: int = 0,
    merge_threshold: float = 0.0,
    dust: int = 0,
    return_count: bool = False,
) -> Any:
    """Fragments (supervoxels) by steepest ascent on nearest affinities.

    Every voxel joins its neighbour along its best edge, and all neighbours along edges of ``high`` or more. A voxel
    whose best edge is ``low`` or less is background. What is connected that way is a fragment, numbered from 1 by its
    first voxel in raster order. The answer depends neither on threads nor on the device.

    Parameters
    ----------
    affinities : (3, z, y, x) or (2, y, x) array of uint8, float16 or float32
        Channel k at voxel p is the affinity between p and the voxel before it along axis k (``emfast.NEAREST``), from
        0 to 1; uint8 means 0 to 255 as 0 to 1. What the first face of each axis holds is not read.
    low, high : float
        Thresholds, ``0 <= low < high``. They are compared in float32; with a ``high`` beyond 1 no edge is joined for
        its own sake.
    plateau : {"strict", "waterz"}
        What is done where the largest affinity of a voxel is that of several edges. ``"strict"``: edges are ordered by
        affinity, descending, then by id (``voxel * channels + channel``), ascending, so each voxel has one best edge.
        ``"waterz"``: plateaus are divided first in, first out, as waterz does; the labels are waterz's.
    mask : (z, y, x) or (y, x) array of bool, optional
        Voxels outside the mask are background and their edges do not exist.
    per_section : bool
        Take each section by itself: edges along z do not exist. For stacks of thick sections.
    quantile : bool
        ``low`` and ``high`` are quantiles: ``low=0.01`` stands for the smallest affinity that is not exceeded by one in
        a hundred of all edges.
    halo : int or one per axis or a pair per axis
        0 or 1: this is a block of a larger volume, given with so many voxels of its neighbours before and after it
        along each axis. The block's own voxels join as they do in the whole volume, and halo voxels are labelled only
        where a voxel of the block joins them. Uniting, over all blocks, labels that one voxel has in several blocks
        (0 excepted) gives exactly the fragments of the whole. Only ``plateau="strict"`` can be taken in blocks.
    merge_size : int
        Size-dependent single linkage of Zlateski and Seung (arXiv:1505.00249), if above 0. Pairs of touching fragments
        are taken in order of the largest affinity between them, descending, then of the smallest id of an edge between
        them; each joins two regions if that affinity is ``merge_threshold`` or more and one of the two has fewer than
        ``merge_size`` voxels by then. Regions are numbered anew, by their first voxel.
    merge_threshold : float
        The least affinity to join over, compared in float32; a quantile too with ``quantile=True``.
    dust : int
        What is smaller than this in the end becomes background. Sizes are those of the whole: no blocks here.
    return_count : bool
        Return the number of fragments as well.

    Returns
    -------
    fragments : (z, y, x) or (y, x) array of uint32, uint64 beyond 2**32 - 2 voxels
    count : int
        Only with ``return_count``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0]]], "float32")
    >>> along_y = np.zeros_like(along_x)
    >>> emfast.watershed(np.concatenate([along_y, along_x]), low=0.1)
    array([[1, 1, 2, 2, 0]], dtype=uint32)
    """
    values = affinities_of(affinities)
    shape = values.shape[1:]
    inside = None if mask is None else mask_of(mask, values, shape, "each channel of affinities").array
    if plateau not in ("strict", "waterz"):
        raise ValueError(f'plateau must be "strict" or "waterz", got {plateau!r}')
    if per_section and len(shape) == 2:
        raise ValueError("per_section needs a volume (3, z, y, x), got a picture")
    low, high = number_of(low, "low"), number_of(high, "high")
    merge_size, dust = _count(merge_size, "merge_size"), _count(dust, "dust")
    merge_threshold = number_of(merge_threshold, "merge_threshold")
    if not 0 <= merge_threshold <= 1:
        raise ValueError(f"merge_threshold must be from 0 to 1, got {merge_threshold}")
    if quantile:
        if not 0 <= low < high <= 1:
            raise ValueError(f"low and high must be quantiles, 0 <= low < high <= 1, got {low} and {high}")
        low, high, merge_threshold = values.native.affinity_quantiles(
            values.library, values.array, inside, bool(per_section), [low, high, merge_threshold]
        )
        high = above(low, high)
    elif not (0 <= low < high and np.float32(low) < np.float32(high)):
        raise ValueError(f"low and high must satisfy 0 <= low < high in float32, got {low} and {high}")
    box = _inner(halo, shape)
    if plateau == "waterz" and box != _inner(0, shape):
        raise ValueError('halo must be 0 with plateau="waterz", whose plateaus reach across blocks')
    if (merge_size or dust) and box != _inner(0, shape):
        raise ValueError("halo must be 0 with merge_size or dust, which need the sizes of whole fragments")
    out, count = values.native.watershed(
        values.library, values.array, inside, low, high, plateau == "waterz", bool(per_section), box
    )
    result = values.give(out, plain=True)
    if merge_size or dust:
        result, count = _link(affinities, result, count, per_section, merge_size, merge_threshold, dust)
    return (result, count) if return_count else result


def _link(
    affinities: Any, fragments: Any, count: int, per_section: bool, merge_size: int, threshold: float, dust: int
) -> tuple[Any, int]:
    """Size-dependent single linkage of fragments 1 to ``count``, and their number then."""
    if per_section:
        graph = region_graph(affinities[1:], fragments, offsets=NEAREST[1:])
    else:
        graph = region_graph(affinities, fragments)
    table, regions = linked(graph, count, merge_size, threshold, dust)
    return remap(fragments, table), regions


def linked(graph: RegionGraph, count: int, merge_size: int, threshold: float, dust: int) -> tuple[np.ndarray, int]:
    """Size-dependent single linkage of fragments 1 to ``count``: the region of each, a table, and how many."""
    strength = graph.maxima.astype(np.float32)
    if graph.maxima.dtype == np.uint8:
        strength /= np.float32(255)
    sizes = np.zeros(count + 1, np.int64)
    sizes[graph.nodes] = graph.sizes
    kept = np.flatnonzero(strength >= np.float32(threshold))
    kept = kept[np.lexsort((graph.ids[kept], -strength[kept]))]
    pairs = np.ascontiguousarray(graph.edges[kept], np.int64)
    table, regions = _native.host.link_by_size(Host(), pairs, sizes, merge_size, dust)
    return table.astype("u4" if regions < 2**32 else "u8"), int(regions)


def above(low: float, high: float) -> float:
    """The upper of two quantiles; where they are one affinity, the next number beyond it."""
    return high if low < high else float(np.nextafter(np.float32(low), np.float32(2)))


def distance_watershed(
    affinities: Any,
    *,
    threshold: float = 0.5,
    separation: float = 10.0,
    spacing: Any = (1, 1, 1),
    per_section: bool = False,
    return_count: bool = False,
) -> Any:
    """Fragments from a distance transform: what lies inside, split where it is narrow.

    A voxel is inside if the mean of its edges is above ``threshold``. Seeds are the peaks of the distance to the
    outside, where beyond the volume is outside too (:func:`distance_peaks`), and grow inside along the largest
    distances (:func:`seeded_watershed` on the distance, turned upside down). Every connected part of the inside has a
    seed.

    Parameters
    ----------
    affinities : (3, z, y, x) or (2, y, x) array of uint8, float16 or float32
        As for :func:`watershed`. The mean is over a voxel's edges to both sides along each axis.
    threshold : float
        From 0 to 1.
    separation : float
        The least distance between seeds of a connected part, in the unit of ``spacing``.
    spacing : sequence of float
        Size of a voxel along each axis.
    per_section : bool
        Take each section by itself, without the edges along z: for stacks of thick sections.
    return_count : bool
        Return the number of fragments as well.

    Returns
    -------
    fragments : (z, y, x) or (y, x) array of uint32
        0 outside; else numbered from 1 by their seeds in C order.
    count : int
        Only with ``return_count``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> inside = np.array([[1, 1, 1, 1, 0, 1, 1]], "float32")
    >>> emfast.distance_watershed(np.stack([inside, inside]), separation=3)
    array([[1, 1, 1, 0, 0, 2, 2]], dtype=uint32)
    """
    values = affinities_of(affinities)
    if per_section and len(values.shape) == 3:
        raise ValueError("per_section needs a volume (3, z, y, x), got a picture")
    threshold = number_of(threshold, "threshold")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold}")
    found = values.native.above_mean(values.library, values.array, bool(per_section), threshold)
    if isinstance(found, int):
        channel, *place = (int(i) for i in np.unravel_index(found, values.shape))
        came, axis = values.library.to_numpy(values.array).flat[found], "zyx"[-len(place) :][channel]
        where = tuple([0] * (3 - len(place)) + place)
        raise ValueError(f"affinities must be from 0 to 1, got {came} in channel {axis} at {where}")
    inside = values.library.give(found)
    sizes = tuple(spacing)[1:] if per_section and hasattr(spacing, "__len__") else spacing
    distance = edt(inside, spacing=sizes, border=True, batch=bool(per_section))
    seeds, count = distance_peaks(
        distance, separation=separation, spacing=spacing, mask=inside, per_section=per_section, return_count=True
    )
    out = seeded_watershed(-distance, seeds, mask=inside, per_section=per_section)
    return (out, count) if return_count else out


def affinities_of(affinities: Any) -> Operand:
    """Nearest affinities: (3, z, y, x) or (2, y, x) of uint8, float16 or float32."""
    values = take(affinities, "affinities", kinds="uf", dims=(3, 4))
    if values.dtype.name not in ("uint8", "float16", "float32"):
        raise TypeError(f"affinities must be uint8, float16 or float32, got {values.dtype}")
    wanted = len(values.shape) - 1
    if values.shape[0] != wanted:
        axes = "z, y, x" if wanted == 3 else "y, x"
        raise ValueError(
            f"affinities must have {wanted} channels (nearest, along {axes}), got {values.shape[0]} "
            f"in an array of shape {values.shape}"
        )
    return values


def _count(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {number}")
    return min(number, 2**62)


def _inner(halo: Any, shape: tuple[int, ...]) -> list[int]:
    """The box within the halo, (z, y, x) begin and end."""
    dims = len(shape)
    try:
        sides = [halo] * dims if not hasattr(halo, "__len__") else list(halo)
        pairs = [[operator.index(w) for w in (s if hasattr(s, "__len__") else (s, s))] for s in sides]
    except TypeError:
        raise TypeError(f"halo must be 0 or 1, one per axis or a pair per axis, got {halo!r}") from None
    if len(pairs) != dims or any(len(p) != 2 or not set(p) <= {0, 1} for p in pairs):
        raise ValueError(f"halo must be 0 or 1, one per axis ({dims}) or a pair per axis, got {halo!r}")
    for (before, after), n in zip(pairs, shape, strict=True):
        if n and before + after >= n:
            raise ValueError(f"halo must leave a voxel of {shape}, got {halo!r}")
    begin = [0] * (3 - dims) + [before for before, _ in pairs]
    end = [1] * (3 - dims) + [n - after for (_, after), n in zip(pairs, shape, strict=True)]
    return begin + end
