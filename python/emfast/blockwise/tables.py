"""What two volumes share, and what touches in one, of volumes larger than memory: counts of blocks, which add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._engine.grid import Block
from .._options import connectivity_of, spacing_of
from .._table import Table
from ..measurement import _overlaps, contact_area
from ..measurement import contacts as contacts_of
from ..metrics.tables import Contingency, _counted, _listed
from ._labels import labels_run
from ._run import Run

__all__ = ["contacts", "contingency"]


def contingency(
    truth: Any,
    labels: Any,
    *,
    ignore: Any = (),
    mask: Any = None,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Contingency:
    """:func:`emfast.contingency`, block by block: the same table, and so every score that comes of it.

    :func:`emfast.contingency` reads volumes block by block too. This one works on several blocks at once, on a cluster,
    and goes on where it was cut short.

    Parameters
    ----------
    truth, labels : arrays, Volumes or places, of one shape of up to three axes
    ignore : int or iterable of ints
        As in memory.
    mask : array, Volume or place, optional
    block : sequence of int or "auto"
    work : path, optional
        A folder for a journal, kept; none by default.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    Contingency

    Examples
    --------
    >>> import numpy as np, emfast
    >>> truth, labels = np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 7]])
    >>> emfast.blockwise.contingency(truth, labels, block=(1, 3)).voi().split
    0.5
    """
    volumes = {"truth": truth, "labels": labels, "mask": mask}
    with Run(volumes, None, shape=_one_shape, cost=_cost_of, block=block, work=work, engine=engine) as run:
        count = partial(_counted, ignore=_listed(ignore, "ignore"))
        found = run.map("contingency", count, dict(run.sources), reduce="+")
        if found is None:
            found = count(**{name: np.zeros(run.shape, volume.dtype) for name, volume in run.sources.items()})
    table: Contingency = found
    return table


def contacts(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    connectivity: int = 6,
    background: int | None = 0,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Table:
    """:func:`emfast.contacts`, block by block, with the same table.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    spacing, connectivity, background
        As in memory; ``periodic`` there is not for blocks.
    block, work, **engine
        As in :func:`emfast.blockwise.contingency`.

    Returns
    -------
    Table

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.array([[[1, 1, 2], [1, 7, 2]]])
    >>> table = emfast.blockwise.contacts(labels, spacing=(30, 8, 10), block=1)
    >>> list(table), table[1, 7]["faces"].tolist(), table[1, 7]["area"].item()
    ([(1, 2), (1, 7), (2, 7)], [0, 1, 1], 540.0)
    """
    with labels_run(labels, block=block, work=work, engine=engine) as run:
        source, dims = run.sources["labels"], len(run.shape)
        nm = spacing_of(spacing, dims)
        options: dict[str, Any] = {"connectivity": connectivity_of(connectivity, dims), "background": background}
        found = run.map("contacts", _Touch(**options), source, halo=[(0, 1)] * dims, reduce="+")
        if found is None:
            found = _pairs_of(contacts_of(np.zeros(run.shape, source.dtype), **options))
    there = found.cells[:, -1] > 0
    a, b, cells = found.a[there], found.b[there], found.cells[there]
    faces = np.ascontiguousarray(cells[:, :-1])
    return Table({"a": a, "b": b, "faces": faces, "neighbours": cells[:, -1].copy(), **contact_area(faces, nm)}, keys=2)


@dataclass(frozen=True)
class _Pairs:
    """Rows by pair of ids, ascending: the faces along each axis and the neighbours."""

    a: np.ndarray
    b: np.ndarray
    cells: np.ndarray

    def __add__(self, other: _Pairs) -> _Pairs:
        a, b = np.concatenate([self.a, other.a]), np.concatenate([self.b, other.b])
        cells = np.concatenate([self.cells, other.cells])
        if not len(a):
            return self
        order = np.lexsort((b, a))
        a, b = a[order], b[order]
        new = np.ones(len(a), bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        return _Pairs(a[new], b[new], np.add.reduceat(cells[order], np.flatnonzero(new), axis=0))


def _pairs_of(table: Table, sign: int = 1) -> _Pairs:
    return _Pairs(table["a"], table["b"], sign * np.concatenate([table["faces"], table["neighbours"][:, None]], axis=1))


@dataclass(frozen=True)
class _Touch:
    """Pairs that blocks share are counted once, as those of :func:`emfast.statistics` are."""

    connectivity: int
    background: int | None

    def __call__(self, labels: np.ndarray, where: Block) -> _Pairs:
        found = None
        for sign, window in _overlaps(where.core, where.outer):
            inner = tuple(slice(a.start - w.start, a.stop - w.start) for a, w in zip(window, where.outer, strict=True))
            table = contacts_of(labels[inner], connectivity=self.connectivity, background=self.background)
            part = _pairs_of(table, sign)
            found = part if found is None else found + part
        assert found is not None  # the block itself comes first
        return found


def _cost_of(sources: dict[str, Any]) -> float:
    """Bytes a voxel: what is read, and pairs under way."""
    return sum(np.dtype(volume.dtype).itemsize for volume in sources.values()) + 4.0


def _one_shape(sources: dict[str, Any]) -> tuple[int, ...]:
    shape = tuple(sources["truth"].shape)
    for name, volume in sources.items():
        if tuple(volume.shape) != shape:
            raise ValueError(f"{name} must have the shape of truth {shape}, got {tuple(volume.shape)}")
    return shape
