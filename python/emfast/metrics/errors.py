"""Errors of a segmentation as a list: where it splits, merges, misses and invents, by what each costs.

Costs are in bits of variation of information. With n_ij the counted voxels that true object i shares with segment j,
a_i and b_j the sizes, N all counted voxels, and

    info(m, n) = m log₂((m + n) / m) + n log₂((m + n) / n),

the bits that tell m voxels of one thing from n of another, an error costs

========  =====================================  =========================================================
kind      its two parts                          cost x N
========  =====================================  =========================================================
split     (i, j) and (i, k)                      info(n_ij, n_ik)
merge     (i, j) and (k, j)                      info(n_ij, n_kj)
missed    (i, background) and the rest of i      info(n_i0, a_i - n_i0) + info(n_i0, b_0 - n_i0)
spurious  (background, j) and the rest of j      info(n_0j, b_j - n_0j) + info(n_0j, a_0 - n_0j)
========  =====================================  =========================================================

The cost of a split is what the split half falls by when both parts of the object have one label, that of a merge what
the merge half falls by when both objects of the segment are one or, where it holds no others, when the segment is cut
between them. Exchange truth and labels, and splits become merges of the same cost. ``gain`` is something else: what all
of VOI falls by when one mends the labels and nothing else, by moving the voxels of one part:

- split: the smaller part gets the label of the larger;
- merge: the smaller part gets a label of its own;
- missed: the voxels get the label that has most of the object, or one of their own where none has any;
- spurious: the voxels become background.

It is below 0 where a segment has other errors that make this one a help.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _store
from .._options import integer_of, spacing_of
from .._table import Table
from ..measurement import statistics
from . import _blocks
from ._events import KINDS, Parts, events_of, objects_of_side
from .sites import Sites, error_sites
from .tables import Contingency

_FORMAT = "emfast errors 1"


@dataclass(eq=False, repr=False)
class Errors:
    """The errors of a segmentation; made by :func:`emfast.compare`.

    Attributes
    ----------
    events : Table
        A row per error, the costliest first; errors of one cost by size, kind and ids. An error has two parts, each the
        voxels of a true object under a label. n rows, d axes:

        event : (n,) the number of the row
        kind : (n,) "split", "merge", "missed" or "spurious"
        truth, label, voxels : (n,) the ids of one part and its voxels; of what is missed or spurious, that part
        truth_2, label_2, voxels_2 : (n,) the other part; of what is missed or spurious, the largest other part of the
            object or segment (the same ids again where there is none), and the voxels of all the rest
        cost, gain : (n,) bits
        faces : (n, d) voxel faces between the parts, across each axis; 0 where they do not touch
        area : (n,) nm² of these faces (in 2D ``length``, nm)
        start, stop, start_nm, stop_nm : (n, d) the box of the faces, or of the smaller part where there are none
        centroid_nm : (n, d) of the same
        point, point_nm : (n, d) a voxel that is there, near the centroid
    objects : Table
        A row per true object: ``truth``, ``voxels``, ``best`` (the segment of the largest overlap over union; the
        background where there is none), ``iou``, ``recall``, ``precision``, ``pieces`` (segments with more than
        ``tolerance`` of its voxels), ``missed`` (the share of its voxels on the background), ``volume``, ``diameter``
        (of the ball of that volume; in 2D ``area``, of the disc), ``start``, ``stop``, ``centroid_nm``. With
        ``morphology`` also ``surface`` (``perimeter``), ``axes``, ``aspect`` (the longest axis over the shortest) and
        ``shift``, nm: the volume between the borders of the object and its best segment, by the mean of their areas.
    labels : Table
        The same of every segment: ``label``; ``best`` is a true object, ``pieces`` true objects, ``spurious`` the share
        of its voxels on the background. Voxels of ignored ids are not counted in ``voxels``.
    table : Contingency
        Of all voxels that were looked at, ignored ids too.
    shape, spacing : of the volume
    background : int or None
    ignore : tuple of int
    tolerance : int
    """

    events: Table
    objects: Table
    labels: Table
    table: Contingency
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    background: int | None
    ignore: tuple[int, ...]
    tolerance: int

    def __repr__(self) -> str:
        kinds = self.events.kind.tolist()
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS)
        return f"Errors of {len(self.labels)} segments against {len(self.objects)} true objects: {counts}"

    def __eq__(self, other: object) -> bool:
        """Equal in everything."""
        if not isinstance(other, Errors):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__)

    __hash__ = None  # type: ignore[assignment]

    @property
    def counted(self) -> Contingency:
        """The table without ignored ids: what costs are made of."""
        return self.table.without(truth=self.ignore)

    @property
    def volume_distance(self) -> float:
        """The Kolmogorov–Smirnov distance of the sizes of true objects and of segments."""
        return kolmogorov_distance(self.objects.voxels, self.labels.voxels)

    @staticmethod
    def of(sites: Sites, *, spacing: Sequence[float] = (1, 1, 1), tolerance: int = 0) -> Errors:
        """The errors at sites, those of blocks that were added up, say. Options are those of :func:`emfast.compare`."""
        nm = spacing_of(spacing, len(sites.shape))
        parts = Parts(sites.table, sites.background, sites.ignore, integer_of(tolerance, "tolerance", 0))
        objects, labels = (objects_of_side(parts, sites, side, nm) for side in (0, 1))
        about = sites.shape, nm, sites.background, sites.ignore, parts.tolerance
        return Errors(events_of(parts, sites, nm), objects, labels, parts.table, *about)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or after its ending a Zarr group (``.zarr``) or a
        folder of Parquet tables (``.parquet``). Each table by itself: ``errors.events.to_csv(path)``,
        ``.to_parquet(path)``, ``.to_pandas()``, ``.to_records()``."""
        about = {name: getattr(self, name) for name in _OPTIONS}
        about["columns"] = {name: getattr(self, name).columns for name in _TABLES}
        arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        tables = {}
        for name in _TABLES:
            columns = {f"{name}_{column}": getattr(self, name)[column] for column in getattr(self, name).columns}
            if name == "events":
                columns["events_kind"] = np.array([KINDS.index(kind) for kind in self.events.kind], np.uint8)
            arrays |= columns
            tables[name] = list(columns)
        arrays |= dict(zip(_PAIRS, self.table.pairs, strict=True))
        _store.save(path, _FORMAT, arrays, tables | {"pairs": _PAIRS})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Errors:
        """Read what :meth:`save` wrote."""
        columns = [f"{table}_{column}" for table, names in _TABLES.items() for column in names]
        names = ["about", *_PAIRS, *columns]
        found = _store.load(path, _FORMAT, "Errors.save", names, columns)
        with _store.naming(path, "Errors.save"):
            about = json.loads(found["about"].tobytes())
            if missing := {f"{t}_{name}" for t in _TABLES for name in about["columns"][t]} - set(found):
                raise ValueError(f"it has no {min(missing)!r}")
            found["events_kind"] = np.array(KINDS)[found["events_kind"]]
            made: dict[str, Any] = {
                name: Table({column: found[f"{name}_{column}"] for column in columns})
                for name, columns in about.pop("columns").items()
            }
            about |= {name: tuple(about[name]) for name in ("shape", "spacing", "ignore")}
            return Errors(**made, table=Contingency.from_pairs(*(found[name] for name in _PAIRS)), **about)


def compare(
    truth: Any,
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    ignore: Any = (0,),
    mask: Any = None,
    background: int | None = 0,
    tolerance: int = 0,
    morphology: bool = False,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Errors:
    """Find the errors of a segmentation and order them by what they cost.

    Parameters
    ----------
    truth, labels : arrays of integers or bool, of one shape, (z, y, x) or (y, x)
        Any integers, not necessarily of one dtype. Volumes that are no arrays but can be sliced (of Zarr, h5py, dask …)
        are read block by block, the next while one is worked on.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    ignore : int or iterable of ints
        True ids whose voxels are not counted. What lies on the background is listed as spurious even so, at no cost, if
        all of a segment lies there.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 are not looked at.
    background : int or None
        The id of no object, in both volumes. None: every id is an object.
    tolerance : int
        Parts of at most so many voxels make no errors and are no pieces.
    morphology : bool
        Whether tables of objects tell surfaces and axes too; each volume is read once more for that.
    block : sequence of int, optional
        The voxels of a block along each axis, which bounds memory. The result does not depend on it. Default: arrays
        are taken whole, other volumes in whole chunks of about 16 million voxels.
    progress : callable, optional
        Called with the voxels that are done and those in all, after each block; with ``morphology`` each voxel is done
        three times.

    Returns
    -------
    Errors
        On the host: ``events``, ``objects``, ``labels`` and more; see there.

    Notes
    -----
    Parts of one object that touch make one split each, so of three parts in a row there are two. Where parts do not
    touch, directly or through others, each such group has one more split, between its largest part and the largest
    part of the object. Merges likewise.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    >>> labels = np.array([[5, 5, 7, 7, 7, 0, 0, 0]])
    >>> errors = emfast.compare(truth, labels, spacing=(8, 8))
    >>> errors
    Errors of 2 segments against 2 true objects: 1 split, 1 merge, 1 missed, 0 spurious
    >>> errors.events.kind.tolist(), errors.events.cost.round(3).tolist()
    (['split', 'missed', 'merge'], [0.5, 0.406, 0.344])
    >>> int(errors.events.label[0]), int(errors.events.label_2[0]), errors.events.point_nm[0].tolist()
    (5, 7, [0.0, 16.0])
    """
    _, shape = _blocks.same_shapes({"truth": truth, "labels": labels, "mask": mask})
    nm = spacing_of(spacing, len(shape))
    integer_of(tolerance, "tolerance", 0)
    steps = [_blocks.part_of(progress, k, 3 if morphology else 1) for k in range(3)]
    sites = error_sites(truth, labels, ignore=ignore, mask=mask, background=background, block=block, progress=steps[0])
    errors = Errors.of(sites, spacing=nm, tolerance=tolerance)
    return _with_morphology(errors, (truth, labels), block, steps[1:]) if morphology else errors


def kolmogorov_distance(a: Any, b: Any) -> float:
    """The largest difference between the shares of two samples that are at most some value, over all values.

    Parameters
    ----------
    a, b : (n,), (m,) numbers

    Returns
    -------
    float
        From 0 to 1; NaN where one of them is empty. Counted in integers; equal values are taken together.

    Examples
    --------
    >>> import emfast
    >>> emfast.metrics.kolmogorov_distance([1, 2, 2, 3], [2, 2, 3, 4])
    0.25
    """
    a, b = np.sort(np.asarray(a)), np.sort(np.asarray(b))
    if len(a) == 0 or len(b) == 0:
        return math.nan
    values = np.concatenate([a, b])
    below = np.searchsorted(a, values, "right") * len(b) - np.searchsorted(b, values, "right") * len(a)
    return int(np.abs(below).max()) / (len(a) * len(b))


def _with_morphology(errors: Errors, volumes: Sequence[Any], block: Any, steps: Sequence[Any]) -> Errors:
    tables, measured = (errors.objects, errors.labels), []
    options: dict[str, Any] = {
        "block": block,
        "spacing": errors.spacing,
        "background": errors.background,
        "moments": True,
        "surface": True,
    }
    for table, volume, progress in zip(tables, volumes, steps, strict=True):
        found = statistics(volume, progress=progress, **options)
        ids = found.label.astype(table[table.keys[0]].dtype)
        measured.append(found.select(np.searchsorted(ids, table[table.keys[0]])))
    objects, segments = (_morphology(side, tables, measured, math.prod(errors.spacing)) for side in (0, 1))
    about = {name: getattr(errors, name) for name in _OPTIONS}
    return Errors(errors.events, objects, segments, errors.table, **about)


def _morphology(side: int, tables: Sequence[Table], measured: Sequence[Table], voxel: float) -> Table:
    """The table of one side with what was measured of both; a voxel has that volume."""
    table, own, other = tables[side], measured[side], tables[1 - side]
    volume, surface = ("volume", "surface") if "volume" in table.columns else ("area", "perimeter")
    shift, aspect = np.full(len(table), math.nan), np.full(len(table), math.inf)
    rows = np.flatnonzero(table.iou > 0)
    best = np.searchsorted(other[other.keys[0]], table.best[rows])
    objects = table.voxels[rows] if side == 0 else other.voxels[best]  # of which recall is the share
    overlap = np.rint(table.recall[rows] * objects) * voxel
    between = table[volume][rows] + other[volume][best] - 2 * overlap
    shift[rows] = between / ((own[surface][rows] + measured[1 - side][surface][best]) / 2)
    np.divide(own.axes[:, 0], own.axes[:, -1], out=aspect, where=own.axes[:, -1] > 0)
    columns = {name: table[name] for name in table.columns}
    return Table(columns | {surface: own[surface], "axes": own.axes, "aspect": aspect, "shift": shift})


_OPTIONS = ("shape", "spacing", "background", "ignore", "tolerance")
_PAIRS = ("pairs_truth", "pairs_label", "pairs_voxels")
_PLACES = ("start", "stop", "centroid_nm", "point")
_MORPHOLOGY = ("volume", "area", "diameter", "surface", "perimeter", "axes", "aspect", "shift")
_SCORES = ("voxels", "best", "iou", "recall", "precision", "pieces")
_ENDS = ("truth", "label", "voxels", "truth_2", "label_2", "voxels_2", "cost", "gain")
_TABLES = {
    "events": ("event", "kind", *_ENDS, "faces", "area", "length", *_PLACES, "start_nm", "stop_nm", "point_nm"),
    "objects": ("truth", *_SCORES, "missed", *_MORPHOLOGY, *_PLACES),
    "labels": ("label", *_SCORES, "spurious", *_MORPHOLOGY, *_PLACES),
}

__all__ = ["KINDS", "Errors", "compare", "kolmogorov_distance"]
