"""Instances from embeddings, and from centres with offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .._arrays import take
from .._options import number_of, spacing_of
from ..components import connected_components
from ..edges import mask_of
from ..morphology import dilate
from ..seeds import distance_peaks
from ._shared import Between, Probability, Voxels, at_least, cast, probability_of, sized, whole_number

_STEPS = 256  # grid steps in a bandwidth
_MOST = 2.0**14  # bandwidths from 0 on, so that the numbers on the grid are below 2**23
_SAMPLE = 2**16  # points among which modes are looked for


def embedding_cluster(
    embeddings: Any,
    *,
    mask: Any = None,
    method: str = "mean_shift",
    bandwidth: Annotated[float, Between(0.1, 5.0)] = 1.0,
    least: Annotated[int, Between(1, 2000)] = 50,
    reach: float = math.inf,
    connected: bool = False,
    below: Voxels = 0,
) -> Any:
    """Group voxels whose embeddings are near each other.

    ``"mean_shift"`` (De Brabandere et al. 2017): from the first voxel that belongs to no mode yet, move to the mean of
    all that lies within ``bandwidth``, again and again, at most 32 times. What is within ``bandwidth`` of the place
    reached belongs to it; it is a mode if it is farther than that from all modes before. Voxels go to the nearest
    mode.

    ``"density"``: space is cut into cubes with sides of ``bandwidth``. Those with ``least`` voxels or more are dense,
    and dense ones that touch, over corners too, are one object, which may have any shape. Other voxels go to the
    nearest dense cube, from the middle of theirs.

    Parameters
    ----------
    embeddings : (d, z, y, x) or (d, y, x) array of floats, at most 64 channels
    mask : array of bool, shape of one channel, optional
        Voxels outside become 0.
    method : {"mean_shift", "density"}
    bandwidth : float
        For a network trained with the discriminative loss between its margin of pull and its margin of push. For
        ``"density"`` about half as much.
    least : int
        Voxels around a place where a mode may be looked for, voxels in a dense cube.
    reach : float
        Voxels farther than this from the nearest mode or cube become 0.
    connected : bool
        Parts of a group that do not touch (over faces) become objects of their own.
    below : int
        Objects of fewer voxels are dropped.

    Returns
    -------
    labels : array of the shape of one channel
        Numbered by first appearance.

    Notes
    -----
    Exact and unique: embeddings are rounded to a grid of 1 / 256 bandwidth, distances are whole numbers, means are
    rounded to the grid, halves up. Modes and dense cubes come in the order of their voxels and of their places; ties go
    to the first. Modes are looked for among every k-th voxel, the least k that leaves 65536.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> embeddings = np.array([[[0.0, 0.1, 3.0, 3.2, 0.2]], [[0.0, 0.0, 1.0, 1.0, 0.1]]])
    >>> emfast.segmentation.embedding_cluster(embeddings, least=1)
    array([[1, 1, 2, 2, 1]], dtype=uint8)
    """
    if method not in ("mean_shift", "density"):
        raise ValueError(f'method must be "mean_shift" or "density", got {method!r}')
    values = take(embeddings, "embeddings", kinds="f", dims=(3, 4))
    bandwidth, reach = number_of(bandwidth, "bandwidth", 0), number_of(reach, "reach", 0)
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be above 0 and finite, got {bandwidth}")
    least, below = whole_number(least, "least", 1), whole_number(below, "below", 0)
    if not 1 <= values.shape[0] <= 64:
        raise ValueError(f"embeddings must have 1 to 64 channels, got {values.shape[0]}")
    shape = values.shape[1:]
    inside = np.ones(shape, bool)
    if mask is not None:
        inside = values.library.to_numpy(mask_of(mask, values, shape, "each channel of embeddings").array) != 0
    points = _on_grid(values.library.to_numpy(values.array), inside, bandwidth)
    far = math.floor(min(reach / bandwidth * _STEPS, 2.0**28)) ** 2
    found = _by_mean_shift(points, least, far) if method == "mean_shift" else _by_density(points, least, far)
    out = np.zeros(shape, np.uint32)
    out[inside] = found
    return sized(
        values.give(values.library.from_numpy(connected_components(out) if connected else out), plain=True), below
    )


def centre_offset(
    centres: Any,
    offsets: Any,
    *,
    mask: Any = None,
    threshold: Probability = 0.1,
    separation: Annotated[float, Between(0.0, 200.0)] = 0.0,
    reach: float = math.inf,
    spacing: Sequence[float] = (1, 1, 1),
    below: Voxels = 0,
) -> Any:
    """Group voxels that point to the same centre (Panoptic-DeepLab; MitoNet).

    Centres are the peaks of a map. Every voxel votes for the voxel it points to, and belongs to the centre nearest to
    that.

    Parameters
    ----------
    centres : (z, y, x) or (y, x) array of uint8 or floats from 0 to 1
        High at the centres of objects. Peaks that touch are one centre.
    offsets : (3, z, y, x) or (2, y, x) array of floats
        From each voxel to the centre of its object, in voxels, along each axis. Votes are rounded to voxels, halves to
        even ones; those beyond the volume count at its face.
    mask : array of bool, shape of ``centres``, optional
        Voxels outside become 0.
    threshold : float
        Centres are at least this high.
    separation : float
        Of two centres closer than this (in nanometres) the lower one is dropped.
    reach : float
        Votes farther than this from every centre do not count, in nanometres.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    below : int
        Objects of fewer voxels are dropped.

    Returns
    -------
    labels : array of the shape of ``centres``
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> centres = np.array([[0.0, 0.9, 0.1, 0.2, 0.8, 0.1]])
    >>> offsets = np.array([[[0, 0, 0, 0, 0, 0.0]], [[1, 0, -1, 1, 0, -1.0]]])
    >>> emfast.segmentation.centre_offset(centres, offsets, threshold=0.5)
    array([[1, 1, 1, 2, 2, 2]], dtype=uint8)
    """
    below, reach = whole_number(below, "below", 0), number_of(reach, "reach", 0)
    centres = probability_of(centres, "centres")
    heat = take(centres, "centres", kinds="uf")
    dims = len(heat.shape)
    ways = take(offsets, "offsets", kinds="f", dims=(dims + 1,))
    if ways.shape != (dims, *heat.shape):
        raise ValueError(f"offsets must have shape {(dims, *heat.shape)}, got {ways.shape}")
    nm = spacing_of(spacing, dims)
    if heat.dtype.itemsize == 8:
        centres = cast(centres, "float32")
    peaks = distance_peaks(centres, separation=separation, spacing=nm)
    seeds = connected_components((peaks != 0) & at_least(centres, threshold, "threshold"), connectivity=26)
    nearest = take(dilate(seeds, radius=reach, spacing=nm), "centres")
    basins = nearest.library.to_numpy(nearest.array)
    steps = ways.library.to_numpy(ways.array)
    if not np.isfinite(steps).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(steps))[0])
        raise ValueError(f"offsets must be finite, got {steps[place]} at {place}")
    target = np.zeros(heat.shape, np.int64)
    for axis, n in enumerate(heat.shape):
        start = np.arange(n, dtype=np.float64).reshape([-1 if a == axis else 1 for a in range(dims)])
        target = target * n + np.clip(np.rint(start + steps[axis]), 0, n - 1).astype(np.int64)
    out = basins.ravel()[target]
    if mask is not None:
        out[heat.library.to_numpy(mask_of(mask, heat, heat.shape, "centres").array) == 0] = 0
    return sized(heat.give(heat.library.from_numpy(out)), below)


def _on_grid(embeddings: np.ndarray, inside: np.ndarray, bandwidth: float) -> np.ndarray:
    """(n, d) whole numbers as int32, of the voxels inside."""
    points = np.empty((int(inside.sum()), len(embeddings)), np.int32)
    for k, channel in enumerate(embeddings):
        values = channel[inside].astype(np.float64) / bandwidth
        if not (np.abs(values) < _MOST).all():
            raise ValueError(f"embeddings must be finite and within {_MOST:g} bandwidths of 0, not so in channel {k}")
        points[:, k] = np.rint(values * _STEPS)
    return points


def _by_mean_shift(points: np.ndarray, least: int, far: int) -> np.ndarray:
    """The number of each point's mode, from 1."""
    stride = max(1, -(-len(points) // _SAMPLE))
    sample = points[::stride]
    free = np.ones(len(sample), bool)
    modes: list[np.ndarray] = []
    while free.any():
        seed = int(free.argmax())
        free[seed] = False
        place = sample[seed]
        near = _squares(sample, place) <= _STEPS**2
        if int(near.sum()) * stride < least:
            continue
        for _ in range(32):
            total, count = sample[near].sum(axis=0, dtype=np.int64), int(near.sum())
            place, before = ((2 * total + count) // (2 * count)).astype(np.int32), place
            near = _squares(sample, place) <= _STEPS**2
            if np.array_equal(place, before) or not near.any():
                break
        free &= ~near
        if not modes or (_squares(np.array(modes), place) > _STEPS**2).all():
            modes.append(place)
    places = np.array(modes, np.int32).reshape(-1, points.shape[1])
    return _nearest(points, places, _gaps(places), far)


def _gaps(places: np.ndarray) -> np.ndarray:
    """Of each place the squared distance to the nearest other."""
    gaps = np.full(len(places), 2**60)
    for k, place in enumerate(places):
        others = _squares(places, place)
        others[k] = 2**60
        gaps[k] = others.min()
    return gaps


def _by_density(points: np.ndarray, least: int, far: int) -> np.ndarray:
    """The number of each point's group of dense cubes, from 1."""
    cubes, cube_of, counts = _rows(points // _STEPS)
    dense = cubes[counts >= least]
    group = _touching(dense) + 1
    middles = (cubes * _STEPS + _STEPS // 2).astype(np.int32)
    gaps = np.full(len(dense), _STEPS**2)  # no two are nearer to each other
    nearest = _nearest(middles, middles[counts >= least], gaps, far)
    return np.r_[0, group].astype(np.uint32)[nearest][cube_of]


def _rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different rows in lexicographic order, which of them each row is, and how many there are of each."""
    low = rows.min(axis=0, initial=0)
    sides = (rows.max(axis=0, initial=0) - low + 1).tolist()
    if math.prod(sides) < 2**63:  # one number per row sorts faster
        keys = np.zeros(len(rows), np.int64)
        for k, side in enumerate(sides):
            keys = keys * side + (rows[:, k] - low[k])
        _, first, where, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        return rows[first], where.ravel(), counts
    different, where, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return different, where.ravel(), counts


def _touching(cubes: np.ndarray) -> np.ndarray:
    """Cubes whose places differ by at most one along every axis, directly or over others, get one number."""
    group = np.full(len(cubes), -1)
    count = 0
    for first in range(len(cubes)):
        if group[first] >= 0:
            continue
        group[first] = count
        queue = [first]
        while queue:
            free = np.flatnonzero(group < 0)
            near = free[(np.abs(cubes[free] - cubes[queue.pop()]) <= 1).all(axis=1)]
            group[near] = count
            queue += near.tolist()
        count += 1
    return group


def _nearest(points: np.ndarray, places: np.ndarray, gaps: np.ndarray, far: int) -> np.ndarray:
    """The number of the nearest place from 1, the first of equally near ones; 0 beyond a squared distance."""
    rows = take(points, "points", dims=(2,))
    out: np.ndarray = rows.native.embedding_nearest(rows.library, rows.array, np.ascontiguousarray(places), gaps, far)
    return out


def _squares(points: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Squared distances, as whole numbers."""
    difference = points - place
    squares: np.ndarray = np.einsum("ij,ij->i", difference, difference, dtype=np.int64)
    return squares
