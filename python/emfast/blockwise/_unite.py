"""Labels of blocks made labels of the whole volume.

Each block numbers its own objects from 1; ``keep_found`` and ``keep_part`` leave on a shelf what others must know of
it. Where two blocks touch, pairs of labels are found that are one object (``touching``, ``overlapping``). ``unite``
joins them: an object of the whole is named by its first voxel in raster order, as the calls in memory do, so the result
depends neither on the blocks nor on their order. Each block then reads its own piece of one table.

In memory at once: 40 bytes for each local label and 16 for each pair, whatever the volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .. import _native
from .._arrays import Host
from .._engine.grid import Block, Grid, Window
from ._runs import Runs, keep_runs
from ._shelf import Shelf

_ALWAYS = 1 << 62  # a size that no object has: all pairs are joined
Step = tuple[int, ...]


@dataclass(frozen=True)
class United:
    """Which object of the whole volume each local label belongs to.

    Attributes
    ----------
    starts : (blocks + 1,) int64
        Label k of block b is row ``starts[b] + k - 1``.
    count : int
        Of objects; they are numbered from 1 in the order of their first voxels.
    shelf : Shelf
        Holds the column ``united``: the object of each row, uint32 or uint64, 0 where it is dropped.
    """

    starts: np.ndarray
    count: int
    shelf: Shelf

    def table(self, block: int) -> np.ndarray:
        """(n + 1,) the object of each label of a block, indexed by label; 0 for 0."""
        rows = self.rows
        part = rows[self.starts[block] : self.starts[block + 1]]
        return np.concatenate([np.zeros(1, rows.dtype), part])

    @property
    def rows(self) -> np.ndarray:
        return self.shelf.column("united")

    def totals(self, name: str = "sizes") -> np.ndarray:
        """(count + 1,) the sum over each object's parts of a column of theirs; row 0 is of what is dropped."""
        totals: np.ndarray = np.zeros(self.count + 1, np.int64)
        rows = self.rows
        for b in range(len(self.starts) - 1):
            part = rows[self.starts[b] : self.starts[b + 1]]
            np.add.at(totals, part.astype(np.int64), self.shelf.get(f"parts/{b}")[name])
        return totals

    def values(self, name: str = "values") -> np.ndarray | None:
        """(count,) a column of the parts, such as ``values``, of any part of each object; None without blocks."""
        found: np.ndarray | None = None
        rows = self.rows
        for b in range(len(self.starts) - 1):
            column = self.shelf.get(f"parts/{b}")[name]
            if found is None:
                found = np.zeros(self.count + 1, column.dtype)
            found[rows[self.starts[b] : self.starts[b + 1]].astype(np.int64)] = column
        return None if found is None else found[1:]


def keep_part(
    shelf: Shelf, block: Block, labels: np.ndarray, *, values: np.ndarray | None = None, sizes: bool = False
) -> int:
    """Leave on the shelf what others must know of a block, and return the number of its labels.

    Parameters
    ----------
    shelf : Shelf
    block : Block
    labels : array of uint32
        From 1 on without gaps, of the core.
    values : array, optional
        Of the core's shape: the value of each label is kept, read at its first voxel.
    sizes : bool
        Keep the voxels of each.
    """
    first, voxels = first_and_sizes(np.ascontiguousarray(labels))
    layers = {f"{axis}{side}": labels[_layer(axis, side, labels.ndim)] for axis in range(labels.ndim) for side in "<>"}
    return _keep(shelf, block, block.core, first, voxels if sizes else None, values, layers)


def keep_found(shelf: Shelf, block: Block, runs: Runs, *, values: np.ndarray | None = None, sizes: bool = False) -> int:
    """The same of labels as runs, which are kept too. They may be those of the outer box, one voxel thick around the
    core, for :func:`overlapping`; every one lies in the core."""
    keep_runs(shelf, block, runs)
    layers = {}
    for axis, (core, n) in enumerate(zip(block.inner, block.outer_shape, strict=True)):
        places = {"<": core.start, ">": core.stop - 1, "<<": core.start - 1, ">>": core.stop}
        for side, at in places.items():
            if 0 <= at < n:
                layer = (*block.inner[:axis], slice(at, at + 1), *block.inner[axis + 1 :])
                layers[f"{axis}{side}"] = runs.window(layer).squeeze(axis)
    return _keep(shelf, block, block.outer, runs.first, runs.sizes if sizes else None, values, layers)


def _keep(
    shelf: Shelf,
    block: Block,
    box: Window,
    first: np.ndarray,
    sizes: np.ndarray | None,
    values: np.ndarray | None,
    layers: dict[str, np.ndarray],
) -> int:
    """``first`` and ``values`` are of the box."""
    part = {"first": _global(first, box, block.whole)}
    if values is not None:
        part["values"] = values[np.unravel_index(first, values.shape)]
        layers = {**layers, "values": part["values"]}
    if sizes is not None:
        part["sizes"] = sizes
    shelf.put(f"parts/{block.index}", **part)
    shelf.put(f"seams/{block.index}", **{name: np.ascontiguousarray(layer) for name, layer in layers.items()})
    return len(first)


def first_and_sizes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 each, of labels 1 to n: the first voxel in C order, and how many there are."""
    ids, counts, first = _native.host.labels_unique(Host(), labels, "value")
    from_one = 1 if len(ids) and ids[0] == 0 else 0
    return first[from_one:], counts[from_one:]


def _global(first: np.ndarray, box: Window, whole: Sequence[int]) -> np.ndarray:
    """Places in a box as places in the whole volume."""
    index = np.zeros(len(first), np.int64)
    step = 1
    for w, n in zip(box[::-1], whole[::-1], strict=True):
        first, along = np.divmod(first, w.stop - w.start)
        index += (along + w.start) * step
        step *= n
    return index


def _layer(axis: int, side: str, dims: int) -> tuple[slice | int, ...]:
    return (*(slice(None),) * axis, 0 if side == "<" else -1, *(slice(None),) * (dims - axis - 1))


# ---- which labels of two blocks are one


def overlapping(shelf: Shelf, grid: Grid, index: int) -> list[tuple[int, np.ndarray]]:
    """Pairs of labels that name one voxel, the halo of a block over its neighbours' cores: (block, (n, 2) labels)."""
    own, found = shelf.get(f"seams/{index}"), []
    for axis, side, other in _faces(grid, index):
        layer = own.get(f"{axis}{side}{side}")
        if layer is not None:
            theirs = shelf.get(f"seams/{other}")[f"{axis}{'>' if side == '<' else '<'}"]
            found.append((other, _pairs(layer, theirs)))
    return found


def touching(
    shelf: Shelf, grid: Grid, index: int, *, connectivity: int, periodic: bool = False
) -> list[tuple[int, np.ndarray]]:
    """Pairs of labels of equal value that touch across the upper faces of a block: (neighbour, (n, 2) labels)."""
    own, dims = shelf.get(f"seams/{index}"), len(grid.shape)
    place = grid.place_of(index)
    found = []
    for axis in range(dims):
        layer = own[f"{axis}>"]
        for step in _steps(dims - 1, connectivity):
            for turn, ours, theirs in _meetings(layer.shape, step):
                beyond = [*turn[:axis], 1, *turn[axis:]]
                other = _place(grid, place, beyond, periodic)
                if other is None:
                    continue
                their = shelf.get(f"seams/{other}")
                pairs = _pairs(layer[ours], their[f"{axis}<"][theirs])
                if "values" in own:
                    pairs = pairs[own["values"][pairs[:, 0] - 1] == their["values"][pairs[:, 1] - 1]]
                found.append((other, pairs))
    return found


def _steps(dims: int, connectivity: int) -> Iterator[Step]:
    """From a voxel of a layer to those of the next layer that it touches."""
    most = {4: 0, 6: 0, 8: 1, 18: 1, 26: 2}[connectivity]
    return (step for step in itertools.product((-1, 0, 1), repeat=dims) if sum(map(abs, step)) <= most)


def _meetings(shape: Sequence[int], step: Step) -> Iterator[tuple[Step, tuple[slice, ...], tuple[slice, ...]]]:
    """Where a layer, moved by a step, lies over the next one and over those beside it: (turn, ours, theirs)."""
    ways = []
    for n, s in zip(shape, step, strict=True):
        ours, theirs = slice(max(0, -s), n - max(0, s)), slice(max(0, s), n + min(0, s))
        along = [(0, ours, theirs)]
        if s:
            along.append((s, slice(n - 1, n), slice(0, 1)) if s > 0 else (s, slice(0, 1), slice(-1, None)))
        ways.append(along)
    for way in itertools.product(*ways):
        yield tuple(w[0] for w in way), tuple(w[1] for w in way), tuple(w[2] for w in way)


def _place(grid: Grid, place: Sequence[int], turn: Sequence[int], periodic: bool) -> int | None:
    moved = [p + t for p, t in zip(place, turn, strict=True)]
    if periodic:
        moved = [m % n for m, n in zip(moved, grid.counts, strict=True)]
    if all(0 <= m < n for m, n in zip(moved, grid.counts, strict=True)):
        return grid.index_of(moved)
    return None


def _faces(grid: Grid, index: int) -> Iterator[tuple[int, str, int]]:
    """The neighbours across faces: (axis, side, block)."""
    place = grid.place_of(index)
    for axis, side in itertools.product(range(len(place)), "<>"):
        turn = [0] * len(place)
        turn[axis] = -1 if side == "<" else 1
        other = _place(grid, place, turn, False)
        if other is not None:
            yield axis, side, other


def _pairs(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(n, 2) int64 different pairs of labels that lie over each other, none of them 0."""
    both = (ours != 0) & (theirs != 0)
    keys = (ours[both].astype(np.uint64) << np.uint64(32)) | theirs[both]
    if len(keys) > 1:  # neighbours along a row are mostly the same pair
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    keys = np.unique(keys)
    return np.stack([keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


# ---- the whole


def unite(
    shelf: Shelf, counts: Sequence[int], seams: Iterable[Iterable[tuple[int, np.ndarray]]], *, dust: int = 0
) -> United:
    """Objects of the whole volume from the labels of its blocks.

    Parameters
    ----------
    shelf : Shelf
        With a part for each block (:func:`keep_part`).
    counts : sequence of int
        The number of labels of each block.
    seams : for each block, pairs of its labels and a neighbour's
        As :func:`overlapping` and :func:`touching` give them.
    dust : int
        Objects of fewer voxels are dropped; parts must have sizes then.
    """
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(counts, np.int64))])
    pairs = [np.zeros((0, 2), np.int64)]
    for block, found in enumerate(seams):
        pairs += [part + np.array([starts[block] - 1, starts[other] - 1]) for other, part in found if len(part)]
    joined = np.concatenate(pairs)
    del pairs
    first = np.empty(int(starts[-1]), np.int64)
    sizes = np.ones(len(first) + 1, np.int64)
    for block, (start, stop) in enumerate(itertools.pairwise(starts.tolist())):
        part = shelf.get(f"parts/{block}")
        first[start:stop] = part["first"]
        if dust:
            sizes[start + 1 : stop + 1] = part["sizes"]
    order = np.argsort(first, kind="stable")
    del first
    rank = np.empty(len(order), np.int64)  # of each row by first voxel, from 1
    rank[order] = np.arange(1, len(order) + 1)
    if dust:
        sizes[1:] = sizes[1:][order]
    joined = np.ascontiguousarray(rank[joined]) if len(joined) else joined
    table, count = _native.host.link_by_size(Host(), joined, sizes, _ALWAYS, dust)
    shelf.put_column("united", table[rank].astype("u4" if count < 2**32 else "u8"))
    return United(starts, int(count), shelf)


__all__ = ["United", "first_and_sizes", "keep_found", "keep_part", "overlapping", "touching", "unite"]
