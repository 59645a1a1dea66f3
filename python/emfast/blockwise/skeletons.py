"""Centre lines in volumes larger than memory.

Components, their boxes and the distances of the whole volume are found block by block. Objects whose box fits into
memory are then taken whole, many at once where they are small: their lines are those of the call in memory. A larger
object is cut into cells that share the voxels of one section at each face. There each patch of the object is crossed at
its deepest voxel, on which both cells agree without a word, for they see the same patch. The tree of each piece holds
these voxels, so the trees of all pieces hang together; where they close a ring, a breadth-first search leaves the
farthest edge out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._engine.grid import Block, Grid
from .._options import integer_of, number_of, spacing_of
from ..components import connected_components as label
from ..labels import remap
from ..measurement import _HIGH, _LOW
from ..skeletons import Skeletons, by_label, rules_of, trees_of
from ._labels import labels_run, most_voxels
from ._run import Run
from ._shelf import Shelf
from .components import find_components, rename
from .distance import Style, distances
from .measurement import _Measure

__all__ = ["skeletonize"]

_VOXELS = 1 << 26  # of the box of an object that is taken whole, where no memory is given
_TOGETHER = 1 << 24  # of the box of small objects that are taken together
_COST = 32  # bytes for each voxel of a box: components, distances, and of an object that fills half of it the search


def skeletonize(
    labels: Any,
    *,
    spacing: Any = (1, 1, 1),
    scale: float = 1.5,
    const: float | None = None,
    penalty: float = 100000.0,
    exponent: int = 4,
    border: bool = False,
    dust: int = 0,
    min_length: float = 0.0,
    largest: int | None = None,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Skeletons:
    """:func:`emfast.skeletonize`, block by block: the same lines for objects that fit into memory.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    spacing, scale, const, penalty, exponent, border, dust, min_length
        As in memory. ``dust`` counts the voxels of whole objects, ``min_length`` is that of whole trees.
    largest : int, optional
        Objects whose box has more voxels are put together from pieces of about so many. By default what ``memory``
        allows, else 2²⁶.
    block : sequence of int or "auto"
    work : path, optional
        A folder for what lies between the passes, kept: components and distances of the whole volume, trees. By default
        they are in memory.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    Skeletons

    Notes
    -----
    Exact, to the last vertex, for objects whose box has at most ``largest`` voxels. Of larger ones: one tree for each;
    its vertices are voxels of the object, joined by steps to neighbours; and every voxel of the object is within
    ``scale * radius + const`` of a vertex with that radius, along steps inside the object, as in memory. So in either
    direction the lines of both calls are no farther apart than that. But paths are the cheapest within pieces only,
    cross each patch between two pieces at its deepest voxel, and a ring that leads through several pieces is opened
    where it is farthest from the root.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.zeros((5, 20), int)
    >>> labels[1:4, 2:18] = 4
    >>> line = emfast.blockwise.skeletonize(labels, spacing=(10, 10), block=8)[4]
    >>> line.voxels[:3].tolist(), round(line.length)
    ([[3, 17], [2, 16], [2, 15]], 158)
    """
    with labels_run(labels, block=block, work=work, engine=engine) as run:
        source, shape = run.sources["labels"], run.shape
        nm = spacing_of(spacing, len(shape))
        rules = rules_of(nm, scale, const, penalty, exponent, dust)
        min_length = number_of(min_length, "min_length", 0)
        most = most_voxels(run.engine, _COST, _VOXELS) if largest is None else integer_of(largest, "largest", 1)
        scene, low, high, sizes, names = _scene(run, source, spacing, nm, border)
        boxes = np.prod(high - low + 1, axis=1, dtype=np.float64)
        wanted = sizes >= rules[-1]
        trees = _whole(run, scene, rules, low, high, np.flatnonzero(wanted & (boxes <= most)))
        trees += _stitched(run, scene, rules, low, high, np.flatnonzero(wanted & (boxes > most)), most)
    trees.sort(key=lambda tree: tree.object)
    starts = np.cumsum([0, *(len(tree.voxels) for tree in trees)])
    parents = [np.where(t.parents < 0, -1, t.parents + start) for t, start in zip(trees, starts.tolist(), strict=False)]
    nothing = np.zeros(0, np.int64)
    return by_label(
        names[np.array([tree.object for tree in trees], np.int64)],
        starts,
        np.concatenate([nothing, *(tree.voxels for tree in trees)]),
        np.concatenate([nothing, *parents]),
        np.concatenate([np.zeros(0, np.float32), *(tree.radii for tree in trees)]),
        shape,
        nm,
        min_length,
    )


@dataclass(frozen=True)
class _Tree:
    """Of an object, or of a piece of one: voxels by their places in the whole volume, parents by their rows here."""

    object: int
    voxels: np.ndarray
    parents: np.ndarray
    radii: np.ndarray


@dataclass(frozen=True)
class _Scene:
    """What lines are drawn in: the objects, numbered from 1, and the distances to their boundaries."""

    components: Any
    radii: Any
    nm: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.components.shape)

    def trees(self, window: Any, parts: np.ndarray, objects: np.ndarray, rules: Any, ends: Any = ()) -> list[_Tree]:
        """The trees of the parts of a window, numbered from 1; ``objects`` says of which object each is."""
        radii = np.ascontiguousarray(self.radii[window])
        found, starts, voxels, parents, depths = trees_of(parts, len(objects), radii, self.nm, rules, ends)
        places = np.unravel_index(voxels, parts.shape)
        voxels = np.ravel_multi_index([p + w.start for p, w in zip(places, window, strict=True)], self.shape)
        rows = zip(found.tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        return [
            _Tree(int(objects[k - 1]), voxels[a:b], np.where(parents[a:b] < 0, -1, parents[a:b] - a), depths[a:b])
            for k, a, b in rows
        ]


def _scene(
    run: Run, labels: Any, spacing: Any, nm: tuple[float, ...], border: bool
) -> tuple[_Scene, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The scene; of its objects the first and the last corner of their boxes, their voxels and their labels."""
    dims, grid = len(run.shape), run.grid
    united = find_components(run, labels, connectivity=26 if dims == 3 else 8, sizes=True)
    dtype = "u4" if united.count < 2**32 else "u8"
    components = run.volume("components", dtype)
    rename(run, "components", united, components)
    boxes = run.map("boxes", _Measure(0, False, False), components, reduce="+")
    sizes = united.totals("sizes")[1:]
    names = united.values() if united.count else None
    filled = united.count == 1 and sizes[0] == math.prod(run.shape)  # no boundary but the border
    radii = run.volume("radii", "f4")
    distances(run, labels, lambda: radii, spacing, Style(border or bool(filled), False), grid.block)
    run.grid = grid
    cells = np.zeros((0, _HIGH + 3), np.int64) if boxes is None else boxes.cells
    low, high = (cells[:, at + 3 - dims : at + 3] for at in (_LOW, _HIGH))
    return _Scene(components, radii, nm), low, high, sizes, np.zeros(0, labels.dtype) if names is None else names


# ---- objects that fit into memory


def _whole(run: Run, scene: _Scene, rules: Any, low: np.ndarray, high: np.ndarray, objects: np.ndarray) -> list[_Tree]:
    groups = list(_groups(low, high, objects))
    for k, group in enumerate(groups):
        run.shelf.put(f"groups/{k}", objects=group, low=low[group].min(axis=0), stop=high[group].max(axis=0) + 1)
    if not groups:
        return []
    trees = run.map("trees", _Group(run.shelf, scene, rules, len(objects)), grid=Grid((len(groups),), 1))
    return [tree for found in trees for tree in found]


def _groups(low: np.ndarray, high: np.ndarray, objects: np.ndarray) -> Iterator[np.ndarray]:
    """Objects that lie together in a box, ascending; cut in halves along its longest side while it is too large."""
    waiting = [objects] if len(objects) else []
    while waiting:
        group = waiting.pop()
        sides = high[group].max(axis=0) + 1 - low[group].min(axis=0)
        if len(group) == 1 or np.prod(sides, dtype=np.float64) <= _TOGETHER:
            yield np.sort(group)
            continue
        order = group[np.argsort(low[group, int(sides.argmax())], kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]


@dataclass(frozen=True)
class _Group:
    shelf: Shelf
    scene: _Scene
    rules: tuple[Any, ...]
    count: int  # of objects in all groups, for the journal

    def __call__(self, where: Block) -> list[_Tree]:
        group = self.shelf.get(f"groups/{where.index}")
        window = tuple(map(slice, group["low"].tolist(), group["stop"].tolist()))
        parts = _only(self.scene.components[window], group["objects"])
        return self.scene.trees(window, parts, group["objects"], self.rules)


def _only(components: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Objects, which count from 0, numbered from 1 on; others are 0."""
    numbers = np.arange(1, len(objects) + 1, dtype=np.uint32)
    found: np.ndarray = remap(np.ascontiguousarray(components), (objects + 1, numbers), missing=0)
    return found


# ---- objects that do not


def _stitched(
    run: Run, scene: _Scene, rules: Any, low: np.ndarray, high: np.ndarray, objects: np.ndarray, most: int
) -> list[_Tree]:
    if not len(objects):
        return []
    side = max(2, int(most ** (1 / len(run.shape))) - 1)
    cells = Grid(run.shape, side, halo=[(0, 1)] * len(run.shape))
    met = sorted({k for o in objects for k in _cells_of(cells, low[o], high[o])})
    run.shelf.put("pieces", objects=objects, cells=np.array(met))
    pieces = run.map("pieces", _Piece(run.shelf, scene, cells, (*rules[:-1], 0)), grid=Grid((len(met),), 1))
    by_object: dict[int, list[_Tree]] = {}
    for found in pieces:
        for tree in found:
            by_object.setdefault(tree.object, []).append(tree)
    return [_joined(trees) for trees in by_object.values()]


def _cells_of(cells: Grid, low: np.ndarray, high: np.ndarray) -> Iterator[int]:
    """The cells that a box meets; the section that a cell shares with the next is that one's."""
    ranges = [range(a // s, b // s + 1) for a, b, s in zip(low.tolist(), high.tolist(), cells.block, strict=True)]
    return map(cells.index_of, itertools.product(*ranges))


@dataclass(frozen=True)
class _Piece:
    shelf: Shelf
    scene: _Scene
    cells: Grid
    rules: tuple[Any, ...]

    def __call__(self, where: Block) -> list[_Tree]:
        wanted = self.shelf.get("pieces")
        cell = self.cells[int(wanted["cells"][where.index])]
        there = _only(self.scene.components[cell.outer], wanted["objects"])
        pieces, count = label(there, connectivity=26 if there.ndim == 3 else 8, dtype="u4", return_count=True)
        if not count:
            return []
        radii = self.scene.radii[cell.outer]
        ends = np.unique(np.concatenate([np.zeros(0, np.int64), *_crossings(there, radii, cell)]))
        here = np.zeros(count + 1, bool)
        here[pieces[cell.inner]] = True
        here |= np.bincount(pieces.reshape(-1)[ends], minlength=count + 1) > 1
        here[0] = False  # a piece of the next cell alone is that one's, but where it joins what meets only here
        parts = remap(pieces, np.where(here, np.cumsum(here), 0).astype(np.uint32))
        ends = ends[parts.reshape(-1)[ends] > 0]
        first = np.zeros(count + 1, np.int64)
        first[pieces.reshape(-1)[::-1]] = np.arange(pieces.size)[::-1]
        objects = wanted["objects"][there.reshape(-1)[first[here]].astype(np.int64) - 1]
        return self.scene.trees(cell.outer, parts, objects, self.rules, ends.tolist())


def _crossings(there: np.ndarray, radii: np.ndarray, cell: Block) -> Iterator[np.ndarray]:
    """The deepest voxel, of equal ones the first, of each patch of an object on a face that two cells share."""
    index = np.arange(there.size).reshape(there.shape)
    for axis, (core, n) in enumerate(zip(cell.core, cell.whole, strict=True)):
        for at, shared in ((0, core.start > 0), (-1, core.stop < n)):
            if not shared:
                continue
            patches = label(np.atleast_2d(there.take(at, axis)), connectivity=8, dtype="u4").reshape(-1)
            depths, places = radii.take(at, axis).reshape(-1), index.take(at, axis).reshape(-1)
            order = np.lexsort((places, -depths, patches))
            order = order[patches[order] > 0]
            new = np.ones(len(order), bool)
            new[1:] = patches[order[1:]] != patches[order[:-1]]
            yield places[order[new]]


def _joined(trees: Sequence[_Tree]) -> _Tree:
    """One tree of trees that share voxels: breadth first, from a vertex that is far from the first one."""
    all_voxels = np.concatenate([tree.voxels for tree in trees])
    voxels, first, rows = np.unique(all_voxels, return_index=True, return_inverse=True)
    radii = np.concatenate([tree.radii for tree in trees])[first]
    starts = np.cumsum([0, *(len(tree.voxels) for tree in trees)])
    above = [np.where(t.parents < 0, -1, t.parents + start) for t, start in zip(trees, starts.tolist(), strict=False)]
    parents = np.concatenate(above)
    child = np.flatnonzero(parents >= 0)
    a, b = rows[child], rows[parents[child]]
    source, target = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((target, source))
    begins = np.searchsorted(source[order], np.arange(len(voxels) + 1))
    root = _breadth_first(begins, target[order], 0)[0][-1]
    found, up = _breadth_first(begins, target[order], int(root))
    place = np.empty(len(voxels), np.int64)
    place[found] = np.arange(len(found))
    return _Tree(trees[0].object, voxels[found], np.where(up < 0, -1, place[up]), radii[found])


def _breadth_first(begins: np.ndarray, target: np.ndarray, root: int) -> tuple[np.ndarray, np.ndarray]:
    """The vertices of a graph in the order of a search, and the one that led to each, -1 for the root."""
    seen = np.zeros(len(begins) - 1, bool)
    seen[root] = True
    found, ups = [np.array([root])], [np.array([-1])]
    while len(now := found[-1]):
        counts = begins[now + 1] - begins[now]
        edges = np.repeat(begins[now] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        to, by = target[edges], np.repeat(now, counts)
        to, by = to[~seen[to]], by[~seen[to]]
        new, first = np.unique(to, return_index=True)
        seen[new] = True
        found.append(new)
        ups.append(by[first])
    assert seen.all(), "an object is one piece"
    return np.concatenate(found), np.concatenate(ups)
