"""Measures of labelled volumes larger than memory: exact integers of blocks, which add up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import take
from .._engine.grid import Block
from .._options import background_of, spacing_of
from ..measurement import Statistics, _added, _cells_of, _columns, _measure, _overlaps
from ..measurement import statistics as statistics_of
from ._labels import labels_run
from ._run import Run
from .distance import Style, distances

__all__ = ["statistics"]


def statistics(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    background: int | None = 0,
    moments: bool = False,
    surface: bool = False,
    radius: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Statistics:
    """:func:`emfast.statistics`, block by block, with the same table to the last bit.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    spacing, background, moments, surface, radius
        As in memory. ``radius`` makes distances first, as :func:`emfast.blockwise.edt` does.
    block : sequence of int or "auto"
    work : path, optional
        A folder for journals and, with ``radius``, the distances; kept. By default those are in memory.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    Statistics

    Notes
    -----
    Memory, beside the blocks: 90 bytes for each label, up to 260 with all options.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.zeros((4, 6, 6), np.uint64)
    >>> labels[1:3, 1:5, 2:4] = 9
    >>> table = emfast.blockwise.statistics(labels, spacing=(30, 8, 8), block=2)
    >>> table.voxels.tolist(), table.volume.tolist()
    ([16], [30720.0])
    """
    with labels_run(labels, block=block, work=work, engine=engine, beside=6) as run:
        source = run.sources["labels"]
        shape, dtype = run.shape, np.dtype(source.dtype)
        nm = spacing_of(spacing, len(shape))
        pattern = background_of(background, dtype)
        options: dict[str, Any] = {"background": background, "moments": moments, "surface": surface}
        if not math.prod(shape):
            return statistics_of(np.zeros(shape, dtype), spacing=spacing, radius=radius, **options)
        beyond = [(0, int(surface))] * len(shape)
        found = run.map("statistics", _Measure(**options), source, halo=beyond, reduce="+")
        ids, cells = found.ids, found.cells
        if radius:
            deepest = _deepest(run, source, spacing, pattern)
            cells = np.concatenate([cells, deepest.cells], axis=1)
    return Statistics(_columns(ids, cells, shape, nm, moments, surface, radius))


@dataclass(frozen=True)
class _Cells:
    """Rows of integers by id, ids ascending, that add up as those of :func:`emfast.statistics` do."""

    ids: np.ndarray
    cells: np.ndarray

    def __add__(self, other: _Cells) -> _Cells:
        return _Cells(*_added([(self.ids, self.cells), (other.ids, other.cells)]))


@dataclass(frozen=True)
class _Measure:
    background: int | None
    moments: bool
    surface: bool

    def __call__(self, labels: np.ndarray, where: Block) -> _Cells:
        parts = []
        for sign, window in _overlaps(where.core, where.outer):
            inner = tuple(slice(a.start - w.start, a.stop - w.start) for a, w in zip(window, where.outer, strict=True))
            parts.append(
                _cells_of(labels[inner], window, sign, self.background, self.moments, self.surface, where.whole)
            )
        return _Cells(*_added(parts))


@dataclass(frozen=True)
class _Deepest:
    """By id, ascending: the bits of the largest distance, and the first voxel that has it."""

    ids: np.ndarray
    cells: np.ndarray

    def __add__(self, other: _Deepest) -> _Deepest:
        ids, cells = np.concatenate([self.ids, other.ids]), np.concatenate([self.cells, other.cells])
        order = np.lexsort((cells[:, 1], -cells[:, 0], ids))
        ids, cells = ids[order], cells[order]
        first = np.ones(len(ids), bool)
        first[1:] = ids[1:] != ids[:-1]
        return _Deepest(ids[first], cells[first])


def _deepest(run: Run, labels: Any, spacing: Sequence[float], pattern: int | None) -> _Deepest:
    grid = run.grid
    depths = run.volume("depths", "f4")
    distances(run, labels, lambda: depths, spacing, Style(border=True, with_sign=pattern != 0), grid.block)
    run.grid = grid
    found: _Deepest = run.map("radius", _Look(pattern), (labels, depths), reduce="+")
    return found


class _Look:
    def __init__(self, pattern: int | None) -> None:
        self.pattern = pattern

    def __call__(self, labels: np.ndarray, depths: np.ndarray, where: Block) -> _Deepest:
        operand = take(labels, "labels")
        ids, cells = _measure(operand, self.pattern, False, False, take(depths, "depths", kinds="f").array, where.shape)
        peaks = np.array(cells[:, -2:], np.int64)
        if len(ids):
            places = zip(np.unravel_index(peaks[:, 1], where.shape), where.offset, strict=True)
            peaks[:, 1] = np.ravel_multi_index([place + start for place, start in places], where.whole)
        return _Deepest(ids, peaks)
