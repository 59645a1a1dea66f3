"""Distances between surfaces of objects, in nanometres, and what is measured in distances: clefts and synaptic
partners.

A surface is known by its places, and there are three kinds (``surface=``):

``"voxels"``
    The voxels of an object that have a face neighbour outside of it. With ``border`` the outside of the volume counts
    as outside of the object. So MONAI, seg-metrics.
``"points"``
    All voxels of the object, its inside too. So scikit-image's ``hausdorff_distance``, and clefts.
``"cells"``
    The corners of the voxel grid around which some voxels are inside and some outside, each weighted by the area (in 2D
    the length) of the surface that marching cubes draws there. So DeepMind's surface-distance.

Distances are exact Euclidean distances between places, and how often each occurs is counted in integers; nothing
depends on the number of threads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Operand, fetch, take
from .._ids import array_from
from .._options import background_of, number_of, spacing_of
from .._table import Table
from ..distance import _metric
from ..edges import boundaries
from ..labels import unique
from ..measurement import statistics

_SURFACES = ("voxels", "points", "cells")
_MOST = 2**54  # squared distances stay below, so that a code finds room beside them


class Directed(NamedTuple):
    """The distances from the places of one surface to the other one: what occurs, and how often.

    Attributes
    ----------
    distances : (n,) float64, ascending
        In nanometres; infinite where there is no other surface.
    counts : (n,) int64
        How many places have that distance.
    weights : (n,) float64
        Their area in nm² (in 2D their length in nm) with ``surface="cells"``, else ``counts``.
    """

    distances: np.ndarray
    counts: np.ndarray
    weights: np.ndarray

    @property
    def places(self) -> int:
        return int(self.counts.sum())

    def mean(self) -> float:
        """The weighted mean; NaN if there are no places."""
        if not len(self.distances):
            return math.nan
        if math.isinf(self.distances[-1]):
            return math.inf
        return math.fsum(self.distances * self.weights) / math.fsum(self.weights)

    def within(self, tolerance: float) -> float:
        """The weight of places no farther than this."""
        return math.fsum(self.weights[: int(np.searchsorted(self.distances, tolerance, "right"))])

    def quantile(self, quantile: float, weighted: bool = False) -> float:
        """The quantile of the distances; NaN if there are no places.

        Of plain places by linear interpolation between order statistics, as :func:`numpy.quantile` does by default; of
        weighted ones the smallest distance at which that share of the area is reached, as DeepMind's code does; a
        share that is missed by no more than the rounding of areas is reached.
        """
        if not len(self.distances):
            return math.nan
        if quantile == 1:
            return float(self.distances[-1])
        if weighted:
            share = np.cumsum(self.weights) / math.fsum(self.weights)
            reached = int(np.searchsorted(share, quantile * (1 - 2**-40)))
            return float(self.distances[min(reached, len(share) - 1)])
        upto = np.cumsum(self.counts)
        at = (int(upto[-1]) - 1) * quantile
        low = math.floor(at)
        a, b = (
            float(self.distances[np.searchsorted(upto, k, "right")]) for k in (low, min(low + 1, int(upto[-1]) - 1))
        )
        if a == b:
            return a
        part = at - low
        return b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part


@dataclass(frozen=True)
class SurfaceDistances:
    """All distances between two surfaces, both ways; made by :func:`surface_distances`.

    Where one surface is empty and the other is not, distances are infinite and overlaps 0. Where both are empty there
    is nothing to compare: every score is NaN.

    Attributes
    ----------
    from_truth, from_labels : Directed
        Of the places of the truth to the segmentation, and the way back.
    surface : {"voxels", "points", "cells"}
    """

    from_truth: Directed
    from_labels: Directed
    surface: str

    @cached_property
    def pooled(self) -> Directed:
        """The distances of both ways together."""
        return _together(self.from_truth, self.from_labels)

    @property
    def _nothing(self) -> bool:
        return not (len(self.from_truth.counts) or len(self.from_labels.counts))

    @property
    def _one_missing(self) -> bool:
        return bool(len(self.from_truth.counts)) != bool(len(self.from_labels.counts))

    def hausdorff(self, quantile: float = 1.0, *, pooled: bool = False) -> float:
        """The Hausdorff distance, or a quantile in its place.

        Parameters
        ----------
        quantile : float, 0 to 1
            0.95 for the 95 % Hausdorff distance. Quantiles interpolate linearly between order statistics (numpy's rule,
            MONAI's too); with cells it is the distance at which that share of the area is reached (DeepMind's rule).
        pooled : bool
            Whether the quantile is of both ways together (seg-metrics), or the larger one of the two ways (MONAI,
            DeepMind).

        Returns
        -------
        float
        """
        quantile = number_of(quantile, "quantile", 0, 1)
        if self._nothing:
            return math.nan
        if self._one_missing:
            return math.inf
        weighted = self.surface == "cells"
        if pooled:
            return self.pooled.quantile(quantile, weighted)
        return max(side.quantile(quantile, weighted) for side in (self.from_truth, self.from_labels))

    def mean(self, kind: str = "pooled") -> float:
        """The average surface distance.

        Parameters
        ----------
        kind : {"pooled", "means", "max", "truth", "labels"}
            Of the places of both surfaces together (average symmetric surface distance of MONAI and seg-metrics); the
            mean or the maximum of the two directed means (the latter is the modified Hausdorff distance); or
            directed: from the truth to the labels, from the labels to the truth (MONAI's ``AverageSurfaceDistance``).

        Returns
        -------
        float
        """
        if kind not in ("pooled", "means", "max", "truth", "labels"):
            raise ValueError(f"kind must be pooled, means, max, truth or labels, got {kind!r}")
        if self._nothing:
            return math.nan
        if self._one_missing:
            return math.inf
        if kind == "pooled":
            return self.pooled.mean()
        means = self.from_truth.mean(), self.from_labels.mean()
        return {"means": sum(means) / 2, "max": max(means), "truth": means[0], "labels": means[1]}[kind]

    def overlap(self, tolerance: float) -> BoundaryScore:
        """How much of the surfaces lies no farther than ``tolerance`` nanometres from the other one."""
        tolerance = number_of(tolerance, "tolerance", 0)
        if self._nothing:
            return BoundaryScore(math.nan, math.nan, math.nan, math.nan)
        if self._one_missing:
            return BoundaryScore(0.0, 0.0, 0.0, 0.0)
        sides = self.from_labels, self.from_truth
        near, whole = ([side.within(limit) for side in sides] for limit in (tolerance, math.inf))
        precision, recall = (n / w for n, w in zip(near, whole, strict=True))
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return BoundaryScore(precision, recall, f1, math.fsum(near) / math.fsum(whole))


class BoundaryScore(NamedTuple):
    """The share of the surface of the labels (precision) and of the truth (recall) that is near the other one; their
    harmonic mean ``f1``; and ``dice``, the share of both surfaces together."""

    precision: float
    recall: float
    f1: float
    dice: float


def surface_distances(
    truth: Any, labels: Any, *, spacing: Sequence[float] = (1, 1, 1), surface: str = "voxels", border: bool = True
) -> SurfaceDistances:
    """Distances between the surfaces of two masks.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers or bool, of one shape
        Masks: everything but 0.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    surface : {"voxels", "points", "cells"}
        What a surface is; see the head of this module.
    border : bool
        Whether the outside of the volume is outside of the masks, so that a mask that is cut off there has a surface
        (``"voxels"``; for cells it always is).

    Returns
    -------
    SurfaceDistances

    See Also
    --------
    object_distances : the same for each pair of objects

    Notes
    -----
    Distances are computed in integers, exact as those of :func:`emfast.edt`, on the host: arrays on a device come
    there.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import surface_distances
    >>> a, b = np.zeros((2, 1, 9), bool)
    >>> a[0, 1:5] = b[0, 1:7] = True
    >>> found = surface_distances(a, b, spacing=(10, 10))
    >>> found.hausdorff(), found.hausdorff(0.95), found.mean(), found.overlap(10).dice
    (20.0, 17.5, 3.0, 0.9)
    """
    ours, theirs = _both(truth, labels)
    found = _histograms(ours, theirs, [], None, spacing, surface, border)
    from_truth, from_labels = found(0)
    return SurfaceDistances(from_truth, from_labels, surface)


def hausdorff_distance(
    truth: Any,
    labels: Any,
    *,
    quantile: float = 1.0,
    spacing: Sequence[float] = (1, 1, 1),
    surface: str = "voxels",
    border: bool = True,
) -> float:
    """The Hausdorff distance of two masks in nanometres, or a quantile of the distances (0.95 for HD95).

    The parameters are those of :func:`surface_distances` and :meth:`SurfaceDistances.hausdorff`. The maximum is the
    same for voxels and for points where neither mask hides in a hole of the other.

    Returns
    -------
    float
        Infinite if one mask is empty, NaN if both are.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import hausdorff_distance
    >>> hausdorff_distance(np.array([[1, 0, 0, 0]]), np.array([[1, 0, 0, 1]]), spacing=(8, 8))
    24.0
    """
    return surface_distances(truth, labels, spacing=spacing, surface=surface, border=border).hausdorff(quantile)


def surface_dice(
    truth: Any,
    labels: Any,
    *,
    tolerance: float,
    spacing: Sequence[float] = (1, 1, 1),
    surface: str = "cells",
    border: bool = True,
) -> float:
    """The normalised surface Dice: which share of both surfaces lies within ``tolerance`` nanometres of the other one.

    By default surfaces are cells weighted by area, as DeepMind defines the score; ``surface="voxels"`` counts voxels as
    MONAI does. The parameters are those of :func:`surface_distances`.

    Returns
    -------
    float
        0 if one mask is empty, NaN if both are.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import surface_dice
    >>> a = np.zeros((8, 8, 8), bool)
    >>> a[2:6, 2:6, 2:6] = True
    >>> surface_dice(a, np.roll(a, 1, axis=2), tolerance=1)
    1.0
    """
    return surface_distances(truth, labels, spacing=spacing, surface=surface, border=border).overlap(tolerance).dice


def boundary_score(truth: Any, labels: Any, *, tolerance: float, spacing: Sequence[float] = (1, 1, 1)) -> BoundaryScore:
    """Precision, recall and F of the boundaries between labels, with a tolerance.

    A boundary voxel is one of an object that has a face neighbour with another label, background or not. It is found
    again if a boundary voxel of the other volume is no farther than the tolerance (by Euclidean distance; other codes
    dilate, or match pixels one to one). The border of the volume is no boundary.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers, of one shape
    tolerance : float
        In nanometres.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    BoundaryScore

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import boundary_score
    >>> a, b = np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 2, 2]])
    >>> [round(boundary_score(a, b, tolerance=t, spacing=(4, 4)).f1, 3) for t in (0, 4)]
    [0.5, 1.0]
    """
    _both(truth, labels)
    edges = (boundaries(array, mode="inner") for array in (truth, labels))
    return surface_distances(*edges, spacing=spacing, surface="points").overlap(tolerance)


def object_distances(
    truth: Any,
    labels: Any,
    pairs: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    quantiles: Sequence[float] = (0.95,),
    tolerance: float | None = None,
    surface: str = "voxels",
    border: bool = True,
) -> Table:
    """Surface distances of every matched pair of objects, each in the box that holds the two.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers, of one shape
    pairs : (n, 2) integers
        A true id and a label id in each row.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    quantiles : sequence of float
        Quantiles of the distances, 0 to 1.
    tolerance : float, optional
        Adds the surface Dice at that tolerance, in nanometres.
    surface, border
        As in :func:`surface_distances`.

    Returns
    -------
    Table
        A row for each pair, by true id and then label id: ``truth``, ``label``, ``hausdorff``, a column for each
        quantile (``hausdorff_95``), ``mean`` (pooled), ``mean_from_truth``, ``mean_from_labels``, and
        ``surface_dice``. An id that does not occur is an empty mask.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import object_distances
    >>> a, b = np.array([[4, 4, 4, 0, 7]]), np.array([[1, 1, 0, 0, 2]])
    >>> table = object_distances(a, b, [(4, 1), (7, 2)], spacing=(10, 10))
    >>> table.hausdorff.tolist(), table.mean.tolist()
    ([10.0, 0.0], [2.0, 0.0])
    """
    ours, theirs = _both(truth, labels)
    levels = [number_of(quantile, "quantiles", 0, 1) for quantile in quantiles]
    within = None if tolerance is None else number_of(tolerance, "tolerance", 0)
    wanted = array_from(pairs, "pairs")
    wanted = wanted.reshape(0, 2) if wanted.size == 0 else wanted
    if wanted.ndim != 2 or wanted.shape[1] != 2 or wanted.dtype.kind not in "iu":
        raise ValueError(f"pairs must be (n, 2) integers, got {wanted.dtype} of shape {wanted.shape}")
    wanted = wanted[np.lexsort((wanted[:, 1], wanted[:, 0]))]
    boxes = _boxes(truth, labels, wanted)
    here = np.flatnonzero((boxes[:, 3:] > boxes[:, :3]).all(axis=1))
    found = _histograms(ours, theirs, wanted[here].tolist(), boxes[here], spacing, surface, border)
    none = Directed(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    each = [SurfaceDistances(none, none, surface)] * len(wanted)
    for k, row in enumerate(here.tolist()):
        from_truth, from_labels = found(k)
        each[row] = SurfaceDistances(from_truth, from_labels, surface)

    def column(score: Any) -> np.ndarray:
        return np.array([score(pair) for pair in each], np.float64)

    columns = {"truth": wanted[:, 0], "label": wanted[:, 1], "hausdorff": column(lambda pair: pair.hausdorff())}
    for level in levels:
        columns[f"hausdorff_{100 * level:g}"] = column(lambda pair, q=level: pair.hausdorff(q))
    columns["mean"] = column(lambda pair: pair.mean())
    columns["mean_from_truth"] = column(lambda pair: pair.mean("truth"))
    columns["mean_from_labels"] = column(lambda pair: pair.mean("labels"))
    if within is not None:
        columns["surface_dice"] = column(lambda pair: pair.overlap(within).dice)
    return Table(columns, keys=2)


# ---- the way to the native module


def _both(truth: Any, labels: Any) -> tuple[Operand, Operand]:
    ours, theirs = take(truth, "truth"), take(labels, "labels")
    if ours.shape != theirs.shape:
        raise ValueError(f"labels must have the shape of truth {ours.shape}, got {theirs.shape}")
    if not ours.meets(theirs):
        raise ValueError("labels must live where truth lives")
    return ours, theirs


def _boxes(truth: Any, labels: Any, pairs: np.ndarray) -> np.ndarray:
    """The beginning and end, (z, y, x) each, of what holds both objects of each pair; an end before the beginning where
    neither occurs."""
    boxes = np.zeros((len(pairs), 6), np.int64)
    boxes[:, :3], boxes[:, 3:] = np.iinfo(np.int64).max, 0
    for volume, ids in ((truth, pairs[:, 0]), (labels, pairs[:, 1])):
        table = statistics(volume, background=None)
        if not len(table):
            continue
        known = table.label.astype(object) if table.label.dtype.kind != ids.dtype.kind else table.label
        wanted = ids.astype(object) if known.dtype == object else ids
        rows = np.searchsorted(known, wanted).clip(max=len(table) - 1)
        there = np.asarray(known[rows] == wanted, bool)
        dims = table.start.shape[1]
        low, high = np.zeros((len(pairs), 3), np.int64), np.ones((len(pairs), 3), np.int64)
        low[:, 3 - dims :], high[:, 3 - dims :] = table.start[rows], table.stop[rows]
        boxes[there, :3] = np.minimum(boxes[there, :3], low[there])
        boxes[there, 3:] = np.maximum(boxes[there, 3:], high[there])
    return boxes


def _histograms(
    truth: Operand,
    labels: Operand,
    pairs: list[list[int]],
    boxes: np.ndarray | None,
    spacing: Sequence[float],
    surface: str,
    border: bool,
) -> Callable[[int], tuple[Directed, Directed]]:
    """``f(k)``: the two Directed of pair k; of the masks as the only pair where ``boxes`` is None."""
    if surface not in _SURFACES:
        raise ValueError(f"surface must be one of {', '.join(_SURFACES)}, got {surface!r}")
    nm = spacing_of(spacing, len(truth.shape))
    weights, unit, _ = _metric(spacing, truth, _MOST)
    operands = truth, labels
    columns = [_bits(ids, op) for ids, op in zip(zip(*pairs, strict=True), operands, strict=True)] if pairs else []
    bits = list(zip(*columns, strict=True))
    parts = truth.native.surface_distances(
        truth.library,
        truth.array,
        labels.array,
        bits,
        [] if boxes is None else boxes.tolist(),
        boxes is None,
        (1,) * (3 - len(weights)) + weights,
        surface,
        bool(border),
    )
    starts, squares, codes, counts = map(truth.library.to_numpy, parts)
    distances = np.where(squares < 0, np.inf, np.sqrt(squares.clip(0)) * unit)
    areas = _areas(nm)[codes] * counts if surface == "cells" else counts.astype(np.float64)

    def side(k: int) -> Directed:
        part = slice(starts[k], starts[k + 1])
        found = Directed(distances[part], counts[part], areas[part])
        return _merged(*found) if surface == "cells" else found

    return lambda k: (side(2 * k), side(2 * k + 1))


def _bits(ids: Sequence[int], operand: Operand) -> list[int]:
    """The bit patterns of ids in a volume; of an id that its dtype does not hold one that does not occur."""
    patterns = [background_of(value, operand.dtype) for value in ids]
    if None not in patterns:
        return [pattern for pattern in patterns if pattern is not None]
    used = fetch(unique(operand.array), "labels")[0].view(f"u{operand.dtype.itemsize}")
    free = np.setdiff1d(np.arange(min(len(used) + 1, 2 ** (8 * operand.dtype.itemsize))), used)
    if not len(free):
        stranger = ids[patterns.index(None)]
        raise ValueError(f"pairs must hold ids of {operand.dtype}, all of which occur, got {stranger}")
    return [int(free[0]) if pattern is None else pattern for pattern in patterns]


def _merged(distances: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> Directed:
    """Places of one distance taken together."""
    if not len(distances):
        return Directed(distances, counts, weights)
    changes = np.ones(len(distances), bool)
    changes[1:] = distances[1:] != distances[:-1]
    first = np.flatnonzero(changes)
    return Directed(distances[first], np.add.reduceat(counts, first), np.add.reduceat(weights, first))


def _together(a: Directed, b: Directed) -> Directed:
    distances, counts, weights = (np.concatenate(parts) for parts in zip(a, b, strict=True))
    order = np.argsort(distances, kind="stable")
    return _merged(distances[order], counts[order], weights[order])


# ---- areas of cells

# The triangles that marching cubes draws in a cell, by the kind of its eight corners: the smallest code among those
# that are equal by symmetry or by exchange of inside and outside, and for each triangle its area vector in eighths of
# a face of a voxel along z, y, x, signs aside.
_TRIANGLES: dict[int, tuple[tuple[int, int, int], ...]] = {
    0: (),
    1: ((1, 1, 1),),
    3: ((2, 2, 0), (2, 2, 0)),
    6: ((1, 1, 1), (1, 1, 1)),
    7: ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    15: ((4, 0, 0), (4, 0, 0)),
    22: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    23: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    24: ((1, 1, 1), (1, 1, 1)),
    25: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    27: ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    30: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    60: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    105: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}


@lru_cache(maxsize=64)
def _areas(spacing: tuple[float, ...]) -> np.ndarray:
    """(256,) float64, the area of the surface in a cell by its code; in 2D the length."""
    areas = np.zeros(256)
    if len(spacing) == 2:
        vertical, horizontal = spacing
        diagonal = math.sqrt(vertical**2 + horizontal**2) / 2
        for code in range(1, 15):
            rows, columns = code in (3, 12), code in (5, 10)
            areas[code] = horizontal if rows else vertical if columns else diagonal * (2 if code in (6, 9) else 1)
        return areas
    z, y, x = spacing
    faces = (y * x, z * x, z * y)
    for axes in itertools.permutations(range(3)):
        for flips in range(8):
            for kind, triangles in _TRIANGLES.items():
                vectors = (
                    [vector[axis] * face / 8 for axis, face in zip(axes, faces, strict=True)] for vector in triangles
                )
                area = math.fsum(sorted(math.sqrt(sum(part * part for part in vector)) for vector in vectors))
                code = sum(1 << 7 - _moved(7 - bit, axes, flips) for bit in range(8) if kind >> bit & 1)
                areas[code] = areas[255 - code] = area
    return areas


def _moved(corner: int, axes: tuple[int, ...], flips: int) -> int:
    """A corner of a cell, 4 z + 2 y + x, after its axes have been exchanged and mirrored."""
    bits = [corner >> 2 & 1, corner >> 1 & 1, corner & 1]
    return sum(bits[axis] << 2 - k for k, axis in enumerate(axes)) ^ flips
