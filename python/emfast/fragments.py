"""Fragments: watershed on affinities."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ._arrays import Operand, take
from .affinities import mask_of

__all__ = ["watershed"]


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
    low, high = _number(low, "low"), _number(high, "high")
    if quantile:
        if not 0 <= low < high <= 1:
            raise ValueError(f"low and high must be quantiles, 0 <= low < high <= 1, got {low} and {high}")
        low, high = values.native.affinity_quantiles(
            values.library, values.array, inside, bool(per_section), [low, high]
        )
        if not low < high:
            high = math.nextafter(low, 2) if low >= 1 else float(np.nextafter(np.float32(low), np.float32(2)))
    elif not (0 <= low < high and np.float32(low) < np.float32(high)):
        raise ValueError(f"low and high must satisfy 0 <= low < high in float32, got {low} and {high}")
    box = _inner(halo, shape)
    if plateau == "waterz" and box != _inner(0, shape):
        raise ValueError('halo must be 0 with plateau="waterz", whose plateaus reach across blocks')
    out, count = values.native.watershed(
        values.library, values.array, inside, low, high, plateau == "waterz", bool(per_section), box
    )
    result = values.give(out, plain=True)
    return (result, count) if return_count else result


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


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, got nan")
    return number


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
