"""Whole objects of volumes larger than memory, kept, removed or filled.

Each block finds its parts of objects; parts that touch across blocks are united. Nothing is decided about an object
before its size, its place and its neighbours in the whole volume are known. Then each block writes its parts again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from .. import _native
from .._arrays import Host
from .._engine.grid import Block, Grid
from .._engine.job import checksum
from .._options import connectivity_of
from ..blocks import Made
from ..components import connected_components as label
from ..labels import check_k, remap, sieve_of
from ..labels import fill_holes as fill
from ..measurement import contacts
from ._labels import labels_run
from ._run import Run
from ._shelf import Shelf
from ._unite import United, _pairs, keep_part, touching, unite

__all__ = ["dust", "fill_holes", "largest_k"]

_NOBODY = 2**32 - 1


def dust(
    labels: Any,
    target: Any = None,
    *,
    below: int | tuple[int, int] = 0,
    connectivity: int = 6,
    touching_border: Literal["keep", "remove"] | None = None,
    invert: bool = False,
    return_count: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.dust`, block by block, with the same result: no component is judged by a part of it.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    below, connectivity, touching_border, invert, return_count
        As in memory; the border is that of the volume.
    block, work, **engine
        As in :func:`emfast.blockwise.connected_components`.

    Returns
    -------
    labels : what the target is opened as
    count : int, only if ``return_count``
        The number of components kept.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.dust(np.array([[3, 3, 0, 3, 4]]), below=2, block=(1, 1))
    array([[3, 3, 0, 0, 0]])
    """
    low, high = sieve_of(below, touching_border)

    def chosen(parts: _Parts) -> np.ndarray:
        sizes = parts.united.totals("sizes")[1:]
        stays = (sizes >= low) & (sizes < (math.inf if high is None else high))
        if touching_border is not None:
            stays[parts.on_border()] = touching_border == "keep"
        return stays != invert

    return _keep(labels, target, chosen, connectivity, return_count, block, work, engine)


def largest_k(
    labels: Any,
    k: int,
    target: Any = None,
    *,
    connectivity: int = 6,
    return_count: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.largest_k`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    k : int
    target : array, Volume or place, optional
        Written; a new array if there is none.
    connectivity, return_count
        As in memory.
    block, work, **engine
        As in :func:`emfast.blockwise.connected_components`.

    Returns
    -------
    labels : what the target is opened as
    count : int, only if ``return_count``
        The number of components kept.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.largest_k(np.array([[3, 3, 0, 3, 4]]), 1, block=(1, 1))
    array([[3, 3, 0, 0, 0]])
    """
    check_k(k)

    def chosen(parts: _Parts) -> np.ndarray:
        sizes = parts.united.totals("sizes")[1:]
        stays = np.zeros(len(sizes), bool)
        stays[np.argsort(-sizes, kind="stable")[:k]] = True  # objects are numbered by their first voxels
        return stays

    return _keep(labels, target, chosen, connectivity, return_count, block, work, engine)


def fill_holes(
    labels: Any,
    target: Any = None,
    *,
    per_section: bool = False,
    return_count: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.fill_holes`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    per_section : bool
        Fill every section of a volume on its own. A block is then whole sections: one of them must fit into memory.
    return_count : bool
        Also return the number of voxels that changed.
    block, work, **engine
        As in :func:`emfast.blockwise.connected_components`.

    Returns
    -------
    labels : what the target is opened as
    count : int, only if ``return_count``

    Notes
    -----
    Exact. The objects and cavities of all blocks, and which of them touch, are one graph, searched in one process: some
    60 bytes for each part that a block has and each pair that touches.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> ring = np.full((3, 3), 5)
    >>> ring[1, 1] = 0
    >>> emfast.blockwise.fill_holes(ring, return_count=True, block=2)
    (array([[5, 5, 5],
           [5, 5, 5],
           [5, 5, 5]]), 1)
    """
    with labels_run(labels, target, block=block, work=work, engine=engine) as run:
        source = run.sources["labels"]
        if per_section and len(run.shape) == 3:
            sections = Grid(run.shape, (run.grid.block[0], *(max(1, n) for n in run.shape[1:])))
            out = run.target("filled", source.dtype, like=source)
            changed = run.map("filled", _fill_sections, source, out, grid=sections)
        else:
            parts = _Parts(run, source, None)
            values = parts.values()
            by = _enclosures(parts, values)
            inside = by != _NOBODY
            filled = values.copy()
            filled[inside] = values[by[inside]]
            out = run.target("filled", source.dtype, like=source)
            changed = run.map("filled", _Written(parts.united, filled, filled != values), parts.local, out)
        out = run.result(out)
    return (out, sum(changed)) if return_count else out


def _keep(
    labels: Any,
    target: Any,
    chosen: Callable[[_Parts], np.ndarray],
    connectivity: int,
    return_count: bool,
    block: Any,
    work: Any,
    engine: dict[str, Any],
) -> Any:
    """The components that are chosen, by number, with the labels they had; 0 elsewhere."""
    with labels_run(labels, target, block=block, work=work, engine=engine, beside=12) as run:
        source = run.sources["labels"]
        parts = _Parts(run, source, connectivity_of(connectivity, len(run.shape)))
        stays = chosen(parts)
        values = parts.values() * stays.astype(source.dtype)
        out = run.target("kept", source.dtype, like=source)
        run.map("kept", _Written(parts.united, values), parts.local, out)
        out = run.result(out)
    return (out, int(stays.sum())) if return_count else out


class _Parts:
    """The objects of a volume: components of equal labels, of the connectivity; or, where that is None, the objects
    and cavities of :func:`emfast.fill_holes`.

    Attributes
    ----------
    local : volume of uint32
        The parts of each block, numbered from 1.
    united : United
        The objects that they are.
    """

    def __init__(self, run: Run, labels: Any, connectivity: int | None) -> None:
        self.run = run
        self.local = run.volume("local", "u4")
        self.dtype = np.dtype(labels.dtype)
        counts = run.map("local", _Find(run.shelf, connectivity), labels, self.local)
        seams = run.map("seams", _Meet(run.shelf, run.grid, connectivity))
        self.united = unite(run.shelf, counts, seams)

    def values(self) -> np.ndarray:
        """(count,) the label of each object, which all its parts have."""
        found = self.united.values()
        return np.zeros(0, self.dtype) if found is None else found

    def on_border(self) -> np.ndarray:
        """(count,) whether each reaches the border of the volume."""
        return self.united.totals("border")[1:] > 0


class _Find:
    """The parts of a block. On the shelf are left those that reach the volume's border and, without a connectivity, the
    pairs that share a face."""

    def __init__(self, shelf: Shelf, connectivity: int | None) -> None:
        self.shelf, self.connectivity = shelf, connectivity

    def __call__(self, labels: np.ndarray, where: Block) -> Made:
        if self.connectivity is None:
            local = _objects_and_cavities(labels)
            table = contacts(local, connectivity=6 if local.ndim == 3 else 4, background=None)
            self.shelf.put(f"faces/{where.index}", pairs=np.stack([table["a"], table["b"]], axis=1).astype(np.int64))
        else:
            local = label(labels, connectivity=self.connectivity, dtype="u4")
        count = keep_part(self.shelf, where, local, values=labels, sizes=True)
        part = self.shelf.get(f"parts/{where.index}")
        self.shelf.put(f"parts/{where.index}", **part, border=_on_border(local, count, where))
        return Made(local, count)


def _objects_and_cavities(labels: np.ndarray) -> np.ndarray:
    """Objects joined over faces, edges and corners; after them cavities, joined over faces."""
    whole = labels.ndim == 3
    objects, count = label(labels, connectivity=26 if whole else 8, dtype="u4", return_count=True)
    cavities = label(labels == 0, connectivity=6 if whole else 4, dtype="u4")
    found: np.ndarray = np.where(cavities, cavities + np.uint32(count), objects)
    return found


def _on_border(local: np.ndarray, count: int, where: Block) -> np.ndarray:
    """(count,) int64, 1 for the parts that reach the border of the volume."""
    found = np.zeros(count + 1, np.int64)
    for axis, (core, n) in enumerate(zip(where.core, where.whole, strict=True)):
        for at, there in ((0, core.start == 0), (-1, core.stop == n)):
            if there and local.size:
                found[local.take(at, axis)] = 1
    return found[1:]


class _Meet:
    """The parts on both sides of a block's upper faces that are one. Without a connectivity, pairs that share a face
    are left on the shelf."""

    def __init__(self, shelf: Shelf, grid: Grid, connectivity: int | None) -> None:
        self.shelf, self.grid, self.connectivity = shelf, grid, connectivity

    def __call__(self, where: Block) -> list[tuple[int, np.ndarray]]:
        def pairs(connectivity: int) -> list[tuple[int, np.ndarray]]:
            return touching(self.shelf, self.grid, where.index, connectivity=connectivity)

        if self.connectivity is not None:
            return pairs(self.connectivity)
        values = self.shelf.get(f"parts/{where.index}")["values"]
        self._keep_faces(where)
        whole = len(self.grid.shape) == 3
        found = [(other, p[values[p[:, 0] - 1] != 0]) for other, p in pairs(26 if whole else 8)]
        return found + [(other, p[values[p[:, 0] - 1] == 0]) for other, p in pairs(6 if whole else 4)]

    def _keep_faces(self, where: Block) -> None:
        own = self.shelf.get(f"seams/{where.index}")
        for axis in range(len(where.place)):
            place = list(where.place)
            place[axis] += 1
            if place[axis] < self.grid.counts[axis]:
                other = self.shelf.get(f"seams/{self.grid.index_of(place)}")
                self.shelf.put(f"faces/{where.index}-{axis}", pairs=_pairs(own[f"{axis}>"], other[f"{axis}<"]))


def _enclosures(parts: _Parts, values: np.ndarray) -> np.ndarray:
    """The object that encloses each object or cavity, from 0; _NOBODY where there is none."""
    run, united = parts.run, parts.united
    if united.count >= _NOBODY:
        raise ValueError(f"labels must fall into fewer than 2**32 - 1 objects and cavities, got {united.count}")
    outside = parts.on_border()
    rows = united.rows

    def global_of(block: int, local: np.ndarray) -> np.ndarray:
        return rows[united.starts[block] + local - 1].astype(np.int64) - 1

    edges = [np.zeros(0, np.uint64)]
    for a, b in _faces(run, global_of):
        inner = (a != b) & ~(outside[a] & outside[b])
        low, high = np.minimum(a, b)[inner], np.maximum(a, b)[inner]
        edges.append(np.unique((low.astype(np.uint64) << np.uint64(32)) | high.astype(np.uint64)))
    keys = np.unique(np.concatenate(edges))
    pairs = np.stack([keys >> np.uint64(32), keys & np.uint64(_NOBODY)], axis=1).astype(np.uint32)
    by: np.ndarray = _native.host.labels_enclosures(
        Host(), np.ascontiguousarray(pairs), outside.view(np.uint8), (values != 0).view(np.uint8)
    )
    return by


def _faces(run: Run, global_of: Callable[[int, np.ndarray], np.ndarray]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Pairs of objects that share a face, in blocks and across their seams."""
    grid = run.grid
    for block in range(len(grid)):
        inside = run.shelf.get(f"faces/{block}")["pairs"]
        yield global_of(block, inside[:, 0]), global_of(block, inside[:, 1])
        for axis in range(len(grid.shape)):
            place = list(grid.place_of(block))
            place[axis] += 1
            if place[axis] < grid.counts[axis]:
                across = run.shelf.get(f"faces/{block}-{axis}")["pairs"]
                yield global_of(block, across[:, 0]), global_of(grid.index_of(place), across[:, 1])


class _Written:
    """The labels of a block after what was decided: the ``values`` of objects; and the number of voxels in those that
    are ``changed``."""

    def __init__(self, united: United, values: np.ndarray, changed: np.ndarray | None = None) -> None:
        self.united = united
        self.sums = [checksum(values)]  # so that a journal knows one decision from another
        self.counts = changed is not None
        united.shelf.put_column("values", np.concatenate([np.zeros(1, values.dtype), values]))
        if changed is not None:
            united.shelf.put_column("changed", np.concatenate([np.zeros(1, bool), changed]))

    def __call__(self, local: np.ndarray, where: Block) -> Made:
        rows, shelf = self.united.table(where.index), self.united.shelf
        written = remap(local, shelf.column("values")[rows])
        if not self.counts:
            return Made(written, None)
        sizes = shelf.get(f"parts/{where.index}")["sizes"]
        return Made(written, int(sizes[shelf.column("changed")[rows[1:]]].sum()))


def _fill_sections(labels: np.ndarray) -> Made:
    return Made(*fill(labels, per_section=True, return_count=True))
