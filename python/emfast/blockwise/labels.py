"""Other ids for the labels of volumes larger than memory, and which ids there are.

What blocks find adds up: the ids, their voxels and the first of them. Memory grows with the number of different ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .._arrays import take
from .._engine.grid import Block
from .._engine.job import checksum
from ..errors import BlocksFailed
from ..labels import LabelMap, check_numbering, numbers_dtype, table_of
from ..labels import remap as remap_array
from ..labels import unique as unique_of
from ._labels import labels_run
from ._run import Run
from ._shelf import Shelf
from ._unite import _global

__all__ = ["remap", "renumber", "unique"]


def unique(labels: Any, *, counts: bool = False, block: Any = "auto", work: Any = None, **engine: Any) -> Any:
    """:func:`emfast.unique`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, up to three axes
    counts : bool
        Also return how many voxels each label has.
    block : sequence of int or "auto"
    work : path, optional
        A folder for a journal, kept; none by default.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    ids : (n,) array of the dtype of ``labels``
    counts : (n,) int64 array, only if ``counts``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.unique(np.array([[7, -1, 7]]), counts=True, block=(1, 2))
    (array([-1,  7]), array([1, 2]))
    """
    with _run(labels, None, block, work, engine, beside=4) as run:
        seen = _seen(run)
    return (seen.ids, seen.counts) if counts else seen.ids


def renumber(
    labels: Any,
    target: Any = None,
    *,
    order: Literal["first", "size"] = "first",
    start: int = 1,
    keep_zero: bool = True,
    dtype: Any = None,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> tuple[Any, LabelMap]:
    """:func:`emfast.renumber`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, up to three axes
    target : array, Volume or place, optional
        Written; a new array if there is none.
    order, start, keep_zero, dtype
        As in memory. ``order`` is that of ids; blocks come in raster order.
    block, work, **engine
        As in :func:`emfast.blockwise.connected_components`.

    Returns
    -------
    labels : what the target is opened as
    table : LabelMap
        From old ids to new ids, ascending by new id.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.renumber(np.array([[900, 900, 0, 17]]), block=(1, 3))[0]
    array([[1, 1, 0, 2]], dtype=uint8)
    """
    check_numbering(order, start, keep_zero)
    with _run(labels, target, block, work, engine) as run:
        seen = _seen(run)
        key = seen.first if order == "first" else -seen.counts
        rank = np.lexsort((seen.first, key))
        zero = np.zeros(0, np.intp)
        if keep_zero:
            zero, rank = rank[seen.ids[rank] == 0], rank[seen.ids[rank] != 0]
        most = int(start) + len(rank) - 1 if len(rank) else 0
        if most >= 2**64:
            raise ValueError(f"start must leave room for {len(rank)} ids below 2**64, got {start}")
        wanted = numbers_dtype(most, dtype)
        new = np.arange(len(rank), dtype=np.uint64) + np.uint64(start)
        table = LabelMap(seen.ids[np.r_[zero, rank]], np.r_[np.zeros(len(zero), np.uint64), new].astype(wanted))
        return _look_up(run, table.old, table.new, "error"), table


def remap(
    labels: Any,
    table: Any,
    target: Any = None,
    *,
    missing: Literal["error", "keep"] | int = "error",
    dtype: Any = None,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.remap`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, up to three axes
    table : LabelMap, dict, pair of 1D arrays, or 1D array
        As in memory; so a cut of a :class:`emfast.MergeTree` too.
    target : array, Volume or place, optional
        Written; a new array if there is none. It must not be ``labels``: a run that was cut short goes on.
    missing, dtype
        As in memory. With ``"error"`` the blocks before the one with such a label are written.
    block, work, **engine
        As in :func:`emfast.blockwise.connected_components`.

    Returns
    -------
    labels : what the target is opened as

    Notes
    -----
    A block looks up only the ids that it has, so large tables cost their memory once.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.remap(np.array([[1, 2, 3]]), {1: 10, 2: 20}, missing=0, block=(1, 2))
    array([[10, 20,  0]])
    """
    with _run(labels, target, block, work, engine) as run:
        operand = take(np.zeros(0, run.sources["labels"].dtype), "labels", dims=None)
        old, new = table_of(operand, table, missing, dtype)
        if old is None:  # indexed by label
            ids = np.arange(len(new))
            old, new = table_of(operand, (ids, new), missing, new.dtype)
        return _look_up(run, old, new, missing)


@dataclass(frozen=True)
class Seen:
    """The ids of some voxels, ascending: how many voxels each has, and which is its first in the volume."""

    ids: np.ndarray
    counts: np.ndarray
    first: np.ndarray

    def __add__(self, other: Seen) -> Seen:
        ids = np.concatenate([self.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, np.intp)
        if not len(starts):
            return self
        counts = np.add.reduceat(np.concatenate([self.counts, other.counts])[order], starts)
        first = np.minimum.reduceat(np.concatenate([self.first, other.first])[order], starts)
        return Seen(ids[starts], counts, first)


def _find(labels: np.ndarray, where: Block) -> Seen:
    t = take(labels, "labels", dims=None)
    ids, counts, first = t.native.labels_unique(t.library, t.array, "value")
    return Seen(ids, counts, _global(first, where.core, where.whole))


def _seen(run: Run) -> Seen:
    """Of all blocks."""
    labels = run.sources["labels"]
    nothing = np.zeros(0, np.int64)
    found = run.map("unique", _find, labels, reduce="+")
    return Seen(np.zeros(0, labels.dtype), nothing, nothing) if found is None else found


class _LookUp:
    """New ids from a table, whose old ids ascend; a block reads what it needs of it."""

    def __init__(self, shelf: Shelf, old: np.ndarray, new: np.ndarray, missing: Any) -> None:
        self.shelf, self.missing = shelf, missing
        self.sums = checksum(old), checksum(new)  # so that a journal knows one table from another
        shelf.put_column("old", old)
        shelf.put_column("new", new)

    def __call__(self, labels: np.ndarray) -> Any:
        labels = np.ascontiguousarray(labels)  # it is read twice
        ids = unique_of(labels)
        old, new = self.shelf.column("old"), self.shelf.column("new")
        places = np.searchsorted(old, ids)
        there = places < len(old)
        there[there] = old[places[there]] == ids[there]
        return remap_array(labels, (ids[there], new[places[there]]), missing=self.missing, dtype=new.dtype)


def _look_up(run: Run, old: np.ndarray, new: np.ndarray, missing: str | int) -> Any:
    order = np.argsort(old, kind="stable")
    last = np.ones(len(order), bool)  # of equal old ids the last one counts
    last[:-1] = old[order[1:]] != old[order[:-1]]
    table = _LookUp(run.shelf, old[order[last]], new[order[last]], missing)
    labels = run.sources["labels"]
    out = run.target("remap", new.dtype, like=labels)
    try:
        run.map("remap", table, labels, out)
    except BlocksFailed as failed:
        if isinstance(failed.failed[0].cause, KeyError):
            raise failed.failed[0].cause from None
        raise
    return run.result(out)


def _run(labels: Any, target: Any, block: Any, work: Any, engine: dict[str, Any], beside: float = 8) -> Run:
    """Beside labels there are others, or a few bytes."""
    return labels_run(labels, target, block=block, work=work, engine=engine, dims=(1, 2, 3), beside=beside)
