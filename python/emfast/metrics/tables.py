"""The contingency table: how many voxels every true object shares with every segment.

One pass over both volumes makes it, tables of blocks add up, and nearly every score is a function of it.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _native, _store
from .._arrays import Host, take
from .._table import Table
from . import _blocks

if TYPE_CHECKING:
    from .classes import Binary
    from .detection import ScoreOrderedPrecision
    from .instances import Associations, BestDice
    from .matching import AveragePrecision, Matching, Panoptic
    from .partitions import AdaptedRand, Entropies, FScore, NormalisedVoi, Rand, Squares, Voi

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
        truth, labels = np.asarray(truth), np.asarray(labels)
        counts = np.ones(truth.shape, np.int64) if counts is None else np.asarray(counts)
        if not (truth.ndim == 1 and truth.shape == labels.shape == counts.shape):
            raise ValueError(
                "truth, labels and counts must be of one length, "
                f"got shapes {truth.shape}, {labels.shape} and {counts.shape}"
            )
        if truth.size == 0:
            truth, labels, counts = (a.astype(np.uint64) if a.dtype.kind == "f" else a for a in (truth, labels, counts))
        if counts.dtype.kind not in "biu" or (counts.size and counts.min() < 0):
            raise ValueError("counts must be integers that are not negative")
        if counts.dtype.itemsize == 8 and counts.sum(dtype=np.float64) >= 2.0**63:  # near enough: no volume is so large
            raise ValueError("counts must add up to less than 2^63")
        return _counted(truth, labels, counts=counts.astype(np.int64))

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
        return Contingency.total((self, other))

    @staticmethod
    def total(tables: Iterable[Contingency]) -> Contingency:
        """The sum of tables, in any order; an iterator is used up one by one, and only few sums are kept.

        Parameters
        ----------
        tables : Contingencies with ids of the same dtypes

        Returns
        -------
        Contingency

        Examples
        --------
        >>> import emfast, numpy as np
        >>> truth, labels = np.array([1, 1, 2, 2]), np.array([7, 7, 7, 9])
        >>> blocks = [emfast.contingency(truth[at], labels[at]) for at in (slice(0, 3), slice(3, 4))]
        >>> emfast.Contingency.total(blocks) == emfast.contingency(truth, labels)
        True
        """
        sums: list[tuple[int, Contingency]] = []  # how many tables each holds: powers of two, falling
        for table in tables:
            count = 1
            while sums and sums[-1][0] == count:
                table = _sum(sums.pop()[1], table)
                count *= 2
            sums.append((count, table))
        out = sums.pop()[1] if sums else Contingency.from_pairs([], [])
        while sums:
            out = _sum(sums.pop()[1], out)
        return out

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

    def relabel(self, *, truth: Any = None, labels: Any = None) -> Contingency:
        """The table as it would be if ids had been replaced in the volumes.

        Parameters
        ----------
        truth, labels : tables of :func:`emfast.remap`, optional
            From old to new ids: a dict, or a pair of arrays as :meth:`emfast.MergeTree.cut` gives them. Other ids stay
            as they are.

        Returns
        -------
        Contingency

        Examples
        --------
        >>> import emfast, numpy as np
        >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([7, 8, 9, 9]))
        >>> table.relabel(labels={8: 7}).label_ids.tolist()
        [7, 9]
        """
        truth_ids, label_ids = _renamed(self.truth_ids, truth, "truth"), _renamed(self.label_ids, labels, "labels")
        return Contingency.from_pairs(truth_ids[self.rows], label_ids[self.columns], self.counts)

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
        return _scores().match(self, **options)

    def average_precision(self, **options: Any) -> AveragePrecision:
        """See :func:`emfast.metrics.average_precision`."""
        return _scores().average_precision(self, **options)

    def panoptic(self, **options: Any) -> Panoptic:
        """See :func:`emfast.metrics.panoptic`."""
        return _scores().panoptic(self, **options)

    def score_ordered_precision(self, **options: Any) -> ScoreOrderedPrecision:
        """See :func:`emfast.metrics.score_ordered_precision`."""
        return _scores().score_ordered_precision(self, **options)

    def aji(self, **options: Any) -> float:
        """See :func:`emfast.metrics.aji`."""
        return _scores().aji(self, **options)

    def best_dice(self, **options: Any) -> BestDice:
        """See :func:`emfast.metrics.best_dice`."""
        return _scores().best_dice(self, **options)

    def associations(self, **options: Any) -> Associations:
        """See :func:`emfast.metrics.associations`."""
        return _scores().associations(self, **options)

    # ---- scores: the functions of the same names, where their options are explained

    def voi(self, *, unit: str = "bits", label_zero: str = "segment") -> Voi:
        """:func:`emfast.metrics.voi`: variation of information, ``split`` and ``merge``."""
        return _scores().voi(self, unit=unit, label_zero=label_zero)

    def entropies(self, *, unit: str = "bits", label_zero: str = "segment") -> Entropies:
        """:func:`emfast.metrics.entropies`: of the truth, the labels and both."""
        return _scores().entropies(self, unit=unit, label_zero=label_zero)

    def voi_per_object(self, *, side: str = "truth", unit: str = "bits") -> Table:
        """:func:`emfast.metrics.voi_per_object`: what each object adds, and its own entropies."""
        return _scores().voi_per_object(self, side=side, unit=unit)

    def normalised_voi(self, *, label_zero: str = "segment") -> NormalisedVoi:
        """:func:`emfast.metrics.normalised_voi`: as a share of the joint entropy."""
        return _scores().normalised_voi(self, label_zero=label_zero)

    def vinfo(self, *, alpha: float = 0.5, label_zero: str = "segment") -> FScore:
        """:func:`emfast.metrics.vinfo`: mutual information as a share of the entropies."""
        return _scores().vinfo(self, alpha=alpha, label_zero=label_zero)

    def squares(self, *, label_zero: str = "segment") -> Squares:
        """:func:`emfast.metrics.squares`: the sums that Rand's family is made of."""
        return _scores().squares(self, label_zero=label_zero)

    def rand(self, *, form: str = "distinct", label_zero: str = "segment") -> Rand:
        """:func:`emfast.metrics.rand`: the share of pairs of voxels that agree."""
        return _scores().rand(self, form=form, label_zero=label_zero)

    def vrand(self, *, alpha: float = 0.5, label_zero: str = "segment") -> FScore:
        """:func:`emfast.metrics.vrand`: Rand score, ``split``, ``merge`` and ``f``."""
        return _scores().vrand(self, alpha=alpha, label_zero=label_zero)

    def adapted_rand(self, variant: str = "plain", *, alpha: float = 0.5) -> AdaptedRand:
        """:func:`emfast.metrics.adapted_rand`: the ``error`` in one of its variants."""
        return _scores().adapted_rand(self, variant, alpha=alpha)

    def adjusted_rand_index(self, *, label_zero: str = "segment") -> float:
        """:func:`emfast.metrics.adjusted_rand_index`: Rand index adjusted for chance."""
        return _scores().adjusted_rand_index(self, label_zero=label_zero)

    def cremi_score(self, variant: str = "plain") -> float:
        """:func:`emfast.metrics.cremi_score`: the geometric mean of VOI and adapted Rand error."""
        return _scores().cremi_score(self, variant)

    def binary(self, positive: Any = None) -> Binary:
        """:func:`emfast.metrics.binary`: precision, recall, Dice and the like of one class against the rest."""
        return _scores().binary(self, positive)

    def per_class(self, classes: Any = None) -> Table:
        """:func:`emfast.metrics.per_class`: the same for every class."""
        return _scores().per_class(self, classes)

    def mean_iou(self, classes: Any = None, *, absent: float | None = None) -> float:
        """:func:`emfast.metrics.mean_iou`: the mean over classes."""
        return _scores().mean_iou(self, classes, absent=absent)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or after its ending a Zarr group (``.zarr``)
        or a folder of Parquet tables (``.parquet``)."""
        _store.save(path, _FORMAT, {f.name: getattr(self, f.name) for f in fields(self)}, _TABLES)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Contingency:
        """Read what :meth:`save` wrote."""
        return Contingency(**_store.load(path, _FORMAT, "Contingency.save", (f.name for f in fields(Contingency))))


def contingency(
    truth: Any,
    labels: Any,
    *,
    ignore: Any = (),
    mask: Any = None,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Contingency:
    """Count how many voxels every true object shares with every segment.

    Parameters
    ----------
    truth, labels : arrays of integers or bool, of one shape
        Any integers, not necessarily of one dtype, with any ids: memory depends on the number of pairs. Volumes that
        are no arrays but can be sliced (of Zarr, h5py, dask …) are read block by block, the next while one is counted.
    ignore : int or iterable of ints
        True ids whose voxels are not counted.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 are not counted.
    block : sequence of int, optional
        The voxels of a block along each axis, which bounds memory: two blocks of each volume are held. Default: arrays
        are taken whole, other volumes in whole chunks of about 16 million voxels.
    progress : callable, optional
        Called with the voxels that are done and those in all, after each block.

    Returns
    -------
    Contingency
        On the host. Its ids are int64 where the dtype is signed, else uint64.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth = np.array([[1, 1, 2, 2], [0, 0, 0, 2]])
    >>> labels = np.array([[5, 5, 5, 2**64 - 1], [5, 0, 0, 2**64 - 1]], np.uint64)
    >>> table = emfast.contingency(truth, labels, ignore=0)
    >>> [part.tolist() for part in table.pairs]
    [[1, 2, 2], [5, 5, 18446744073709551615], [2, 1, 2]]
    """
    volumes, shape = _blocks.same_shapes({"truth": truth, "labels": labels, "mask": mask})
    sides = _blocks.sides_of(block, shape, volumes)
    return Contingency.total(_counted_blocks(volumes, shape, sides, _listed(ignore, "ignore"), progress))


def _counted(truth: Any, labels: Any, mask: Any = None, counts: Any = None, *, ignore: Any = ()) -> Contingency:
    """The table of arrays of one shape; ``counts`` are what voxels count for."""
    first = take(truth, "truth", dims=None, order="any")
    others: list[Any] = []
    for array, name in ((labels, "labels"), (mask, "mask"), (counts, "counts")):
        if array is None:
            others.append(None)
            continue
        if first.axes != tuple(range(len(first.axes))):  # as the truth lies in memory
            array = array.permute(*first.axes) if hasattr(array, "permute") else array.transpose(first.axes)
        other = take(array, name, dims=None)
        if not first.meets(other):
            raise ValueError(f"truth and {name} must live on one device and stream")
        others.append(other.array)
    ignored = [i % 2**64 for i in _listed(ignore, "ignore") if _fits(i, first.dtype)]
    raw = first.native.contingency(first.library, first.array, *others, ignored)
    return Contingency(*map(first.library.to_numpy, raw))


def _counted_blocks(
    volumes: Mapping[str, Any],
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    ignored: list[int],
    progress: Callable[[int, int], object] | None,
) -> Iterator[Contingency]:
    """The tables of blocks in C order."""
    done = 0
    for _, _, parts in _blocks.read_ahead(volumes, shape, sides):
        yield _counted(**parts, ignore=ignored)
        done += math.prod(parts["truth"].shape)
        if progress is not None:
            progress(done, math.prod(shape))


def _sum(a: Contingency, b: Contingency) -> Contingency:
    if a.empty or b.empty:
        return b if a.empty else a
    for name in ("truth_ids", "label_ids"):
        x, y = getattr(a, name).dtype, getattr(b, name).dtype
        if x != y:
            raise TypeError(f"tables must have {name} of one dtype, got {x} and {y}")
    parts = [[getattr(table, f.name) for f in fields(table)] for table in (a, b)]
    return Contingency(*_native.host.contingency_sum(Host(), *parts))


def _renamed(ids: np.ndarray, table: Any, name: str) -> np.ndarray:
    from ..labels import remap

    if table is None:
        return ids
    renamed: np.ndarray = remap(ids, table, missing="keep", dtype=ids.dtype)
    return renamed


def _fits(value: int, dtype: np.dtype) -> bool:
    limits = np.iinfo("u1" if dtype.kind == "b" else dtype)
    return int(limits.min) <= value <= int(limits.max)


def _scores() -> ModuleType:
    """The scores, which are functions of a table and so import this module."""
    from .. import metrics

    return metrics


def checked(table: Any) -> Contingency:
    """What a score was asked of, which must be a table."""
    if not isinstance(table, Contingency):
        raise TypeError(f"table must be a Contingency, got {type(table).__name__}")
    return table


def _listed(ids: Any, name: str) -> list[int]:
    """What a user gave as an id or several."""
    listed = ids if isinstance(ids, Iterable) else (ids,)
    try:
        return [operator.index(i) for i in listed]
    except TypeError:
        raise TypeError(f"{name} must be an integer or several, got {ids!r}") from None


def _places(ids: np.ndarray, wanted: Any, name: str) -> np.ndarray:
    """Which of the ids are wanted: (len(ids),) bool."""
    possible = [i for i in _listed(wanted, name) if _fits(i, ids.dtype)]
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


__all__ = ["Contingency", "contingency"]
