"""The contingency table: how many voxels every true object shares with every segment.

One pass over both volumes makes it, tables of blocks add up, and nearly every score is a function of it.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _store
from .._table import Table

if TYPE_CHECKING:
    from .detection import ScoreOrderedPrecision
    from .instances import Associations, BestDice
    from .matching import AveragePrecision, Matching, Panoptic

_FORMAT = "emfast contingency 1"
_TABLES = {
    "truth": ("truth_ids", "truth_sizes"),
    "labels": ("label_ids", "label_sizes"),
    "pairs": ("rows", "columns", "counts"),
}


@dataclass(eq=False, repr=False)
class Contingency:
    """The voxels that true objects and segments share; made by :func:`emfast.contingency`.

    The background is an id like any other: functions of a table say what they do with it.

    Attributes
    ----------
    truth_ids, label_ids : (t,), (s,) uint64 or int64, ascending
        The ids that occur among the counted voxels.
    truth_sizes, label_sizes : (t,), (s,) int64
        Their counted voxels.
    rows, columns : (n,) int64
        The pairs that occur, as places in ``truth_ids`` and ``label_ids``; ascending by row, then column.
    counts : (n,) int64
        The voxels of each pair.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> a = emfast.contingency(np.array([1, 1, 2, 2]), np.array([7, 7, 7, 9]))
    >>> a.truth_ids.tolist(), a.label_ids.tolist(), a.label_sizes.tolist()
    ([1, 2], [7, 9], [3, 1])
    >>> [part.tolist() for part in a.pairs]
    [[1, 2, 2], [7, 7, 9], [2, 1, 1]]
    >>> (a + a).voxels
    8
    """

    truth_ids: np.ndarray
    label_ids: np.ndarray
    truth_sizes: np.ndarray
    label_sizes: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    @staticmethod
    def from_pairs(truth: Any, labels: Any, counts: Any = None) -> Contingency:
        """The table of pairs of ids with counts; in any order, and a pair that comes several times is added up.

        Parameters
        ----------
        truth, labels : (n,) integers
        counts : (n,) integers, optional
            Not negative; pairs with 0 are left out. Default: 1 each.

        Returns
        -------
        Contingency
        """
        truth, labels = _ids(truth, "truth"), _ids(labels, "labels")
        counts = np.ones(len(truth), np.int64) if counts is None else np.asarray(counts)
        if not truth.shape == labels.shape == counts.shape:
            raise ValueError(
                "truth, labels and counts must be of one length, "
                f"got shapes {truth.shape}, {labels.shape} and {counts.shape}"
            )
        if len(counts) and (counts.dtype.kind not in "biu" or counts.min() < 0):
            raise ValueError("counts must be integers that are not negative")
        counted = counts != 0
        truth, labels, counts = truth[counted], labels[counted], counts[counted].astype(np.int64)
        truth_ids, rows = np.unique(truth, return_inverse=True)
        label_ids, columns = np.unique(labels, return_inverse=True)
        order = np.lexsort((columns, rows))
        rows, columns, counts = rows[order].astype(np.int64), columns[order].astype(np.int64), counts[order]
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        starts = np.flatnonzero(first)
        counts = np.add.reduceat(counts, starts) if len(starts) else counts
        return _with_sizes(truth_ids, label_ids, rows[starts], columns[starts], counts)

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.counts)

    def __repr__(self) -> str:
        return (
            f"Contingency of {len(self.truth_ids)} true objects and {len(self.label_ids)} segments: "
            f"{len(self)} pairs, {self.voxels} voxels"
        )

    def __eq__(self, other: object) -> bool:
        """Equal in every array, dtypes included."""
        if not isinstance(other, Contingency):
            return NotImplemented
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)

    __hash__ = None  # type: ignore[assignment]

    @property
    def voxels(self) -> int:
        """How many voxels were counted."""
        return int(self.truth_sizes.sum())

    @property
    def empty(self) -> bool:
        """Whether no voxel was counted."""
        return len(self.counts) == 0

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The true object, the segment and the voxels of every pair: three arrays of (n,)."""
        return self.truth_ids[self.rows], self.label_ids[self.columns], self.counts

    @property
    def hash(self) -> str:
        """The SHA-256 of the content in hexadecimal digits: equal for equal tables."""
        import hashlib  # not at the top, for a quick start of the package

        digest = hashlib.sha256()
        for f in fields(self):
            array = getattr(self, f.name)
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{f.name} {little.dtype.str} {len(array)};".encode())
            digest.update(little.data)
        return digest.hexdigest()

    # ---- other tables

    def __add__(self, other: Contingency) -> Contingency:
        """The table of both: of two blocks, the table of the two together."""
        if not isinstance(other, Contingency):
            return NotImplemented
        parts = [(self, other)[k].pairs for k in (0, 1)]
        return Contingency.from_pairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def without(self, *, truth: Any = (), labels: Any = ()) -> Contingency:
        """The table without the voxels of some ids.

        Parameters
        ----------
        truth, labels : int or iterable of ints
            Voxels with such a true id, or with such a label, are not counted. Ids that do not occur change nothing.

        Returns
        -------
        Contingency
        """
        lost_rows, lost_columns = _places(self.truth_ids, truth, "truth"), _places(self.label_ids, labels, "labels")
        if not (lost_rows.any() or lost_columns.any()):
            return self
        kept = ~(lost_rows[self.rows] | lost_columns[self.columns])
        return _compacted(self.truth_ids, self.label_ids, self.rows[kept], self.columns[kept], self.counts[kept])

    def swapped(self) -> Contingency:
        """The table with truth and labels exchanged."""
        order = np.lexsort((self.rows, self.columns))
        return Contingency(
            self.label_ids,
            self.truth_ids,
            self.label_sizes,
            self.truth_sizes,
            self.columns[order],
            self.rows[order],
            self.counts[order],
        )

    def to_table(self) -> Table:
        """A :class:`emfast.Table` with a row per pair: ``truth``, ``label`` (its key) and ``voxels``."""
        truth, labels, counts = self.pairs
        return Table({"truth": truth, "label": labels, "voxels": counts}, keys=2)

    # ---- scores of objects

    def match(self, **options: Any) -> Matching:
        """See :func:`emfast.metrics.match`."""
        return _of_objects().match(self, **options)

    def average_precision(self, **options: Any) -> AveragePrecision:
        """See :func:`emfast.metrics.average_precision`."""
        return _of_objects().average_precision(self, **options)

    def panoptic(self, **options: Any) -> Panoptic:
        """See :func:`emfast.metrics.panoptic`."""
        return _of_objects().panoptic(self, **options)

    def score_ordered_precision(self, **options: Any) -> ScoreOrderedPrecision:
        """See :func:`emfast.metrics.score_ordered_precision`."""
        return _of_objects().score_ordered_precision(self, **options)

    def aji(self, **options: Any) -> float:
        """See :func:`emfast.metrics.aji`."""
        return _of_objects().aji(self, **options)

    def best_dice(self, **options: Any) -> BestDice:
        """See :func:`emfast.metrics.best_dice`."""
        return _of_objects().best_dice(self, **options)

    def associations(self, **options: Any) -> Associations:
        """See :func:`emfast.metrics.associations`."""
        return _of_objects().associations(self, **options)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or after its ending a Zarr group (``.zarr``)
        or a folder of Parquet tables (``.parquet``)."""
        _store.save(path, _FORMAT, {f.name: getattr(self, f.name) for f in fields(self)}, _TABLES)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Contingency:
        """Read what :meth:`save` wrote."""
        return Contingency(**_store.load(path, _FORMAT, "Contingency.save", (f.name for f in fields(Contingency))))


def contingency(truth: Any, labels: Any, *, ignore: Any = (), mask: Any = None) -> Contingency:
    """Count how many voxels every true object shares with every segment.

    Parameters
    ----------
    truth, labels : arrays of integers or bool, of one shape
        Any integers, not necessarily of one dtype, with any ids: memory depends on the number of pairs.
    ignore : int or iterable of ints
        True ids whose voxels are not counted.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 are not counted.

    Returns
    -------
    Contingency
        Its ids are int64 where the dtype is signed, else uint64.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth = np.array([[1, 1, 2, 2], [0, 0, 0, 2]])
    >>> labels = np.array([[5, 5, 5, 2**64 - 1], [5, 0, 0, 2**64 - 1]], np.uint64)
    >>> table = emfast.contingency(truth, labels, ignore=0)
    >>> [part.tolist() for part in table.pairs]
    [[1, 2, 2], [5, 5, 18446744073709551615], [2, 1, 2]]
    """
    truth, labels = np.asarray(truth), np.asarray(labels)
    if truth.shape != labels.shape:
        raise ValueError(f"truth and labels must have one shape, got {truth.shape} and {labels.shape}")
    kept = np.ones(truth.shape, bool) if mask is None else np.asarray(mask) != 0
    return Contingency.from_pairs(truth[kept], labels[kept]).without(truth=ignore)


def _ids(array: Any, name: str) -> np.ndarray:
    """Integers as the table has them: (n,) uint64 or int64."""
    ids = np.asarray(array).ravel()
    if ids.size == 0 and ids.dtype.kind == "f":
        ids = ids.astype(np.uint64)
    if ids.dtype.kind not in "biu":
        raise TypeError(f"{name} must be integers, got {ids.dtype}")
    return ids.astype(np.int64 if ids.dtype.kind == "i" else np.uint64)


def _listed(ids: Any, name: str) -> list[int]:
    """What a user gave as an id or several."""
    listed = ids if isinstance(ids, Iterable) else (ids,)
    try:
        return [operator.index(i) for i in listed]
    except TypeError:
        raise TypeError(f"{name} must be an integer or several, got {ids!r}") from None


def _places(ids: np.ndarray, wanted: Any, name: str) -> np.ndarray:
    """Which of the ids are wanted: (len(ids),) bool."""
    limits = np.iinfo(ids.dtype)
    possible = [i for i in _listed(wanted, name) if limits.min <= i <= limits.max]
    return np.isin(ids, np.array(possible, ids.dtype))


def _compacted(
    truth_ids: np.ndarray, label_ids: np.ndarray, rows: np.ndarray, columns: np.ndarray, counts: np.ndarray
) -> Contingency:
    """A table of sorted pairs, without the ids that none of them has."""
    used_rows, used_columns = np.zeros(len(truth_ids), bool), np.zeros(len(label_ids), bool)
    used_rows[rows] = used_columns[columns] = True
    rows, columns = (np.cumsum(used_rows) - 1)[rows], (np.cumsum(used_columns) - 1)[columns]
    return _with_sizes(truth_ids[used_rows], label_ids[used_columns], rows, columns, counts)


def _with_sizes(
    truth_ids: np.ndarray, label_ids: np.ndarray, rows: np.ndarray, columns: np.ndarray, counts: np.ndarray
) -> Contingency:
    truth_sizes, label_sizes = np.zeros(len(truth_ids), np.int64), np.zeros(len(label_ids), np.int64)
    np.add.at(truth_sizes, rows, counts)
    np.add.at(label_sizes, columns, counts)
    return Contingency(truth_ids, label_ids, truth_sizes, label_sizes, rows, columns, counts)


def _of_objects() -> ModuleType:
    """The scores of objects; they are functions of a table and so import this module."""
    from .. import metrics

    return metrics


__all__ = ["Contingency", "contingency"]
