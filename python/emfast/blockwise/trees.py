"""Agglomeration of volumes larger than memory: each block merges what nothing outside it can influence, and hands on
the rest; eight blocks then do the same together, and so on to the whole (see :func:`emfast.agglomerate_block`).

A fragment is open in a group of blocks if it comes near a face of the group beyond which the volume goes on. An open
fragment is not merged, so it keeps its name until it lies within a group; what a group hands on are mostly fragments
at its surface.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._engine.grid import Block, Grid
from .._engine.plan import bytes_of
from ..edges import NEAREST
from ..graphs import RegionGraph, open_fragments
from ..graphs import region_graph as graph_in_memory
from ..labels import unique
from ..trees import MergeTree, agglomerate_block, is_reducible, needs_histograms
from ..trees import agglomerate as in_memory
from ._run import Run
from ._shelf import Shelf
from .graphs import GraphOf, asked, cost_of, place_of, read_by

_GROUP = 1 << 24  # voxels of the groups of blocks that merge first: most that need not wait is done in them
_EDGE = 270  # bytes for each edge of a group, while it is merged
_SHARE = 8  # of a bound on the memory, what the graphs of a group take

__all__ = ["Level", "agglomerate"]


@dataclass(frozen=True)
class Level:
    """What one level of groups did.

    Attributes
    ----------
    blocks : int
        Groups of that level.
    merges : int
    edges, fragments : int
        Of all graphs that were handed on.
    largest : int
        The most edges that one group took in.
    """

    blocks: int
    merges: int
    edges: int
    fragments: int
    largest: int


def agglomerate(
    affinities: Any,
    fragments: Any,
    *,
    offsets: Sequence[Sequence[int]] = NEAREST,
    score: str = "mean",
    until: float | None = None,
    big_size: int | None = None,
    big_score: float = 1.0,
    return_levels: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """``emfast.agglomerate(emfast.region_graph(affinities, fragments))``, block by block, with the same result.

    Parameters
    ----------
    affinities : array, Volume or place, shape (c, z, y, x) or (c, y, x)
    fragments : array, Volume or place, shape (z, y, x) or (y, x)
        Each connected, as those of a watershed are.
    offsets : sequence of (z, y, x) or (y, x)
        As :func:`emfast.region_graph` takes them.
    score, until, big_size, big_score
        As of :func:`emfast.agglomerate`; the score must be reducible: mean, min, max, median or a quantile.
    return_levels : bool
        Return too what each level did, blocks first: a list of :class:`Level`.
    block, work, **engine
        As of :func:`connected_components`. The graphs of blocks stay in ``work``: another score needs no voxels.

    Returns
    -------
    tree : MergeTree
    levels : list of Level
        Only with ``return_levels``.

    Notes
    -----
    Exact: two segments that are whole and each other's best are merged in any order of work. In memory at once,
    beside the blocks: the graph of a group, and at the end the tree, 60 bytes for each fragment.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> fragments = np.array([[1, 2, 3, 4, 5, 6]], np.uint32)
    >>> affinities = np.array([[[0, 0, 0, 0, 0, 0]], [[0, 0.9, 0.5, 0.7, 0.4, 0.8]]], np.float32)
    >>> tree = emfast.blockwise.agglomerate(affinities, fragments, block=(1, 2))
    >>> tree == emfast.agglomerate(emfast.region_graph(affinities, fragments))
    True
    """
    histogram = needs_histograms(score)
    if not is_reducible(score):
        raise ValueError(
            f"score must be reducible in blocks: mean, min, max, median or a quantile, got {score!r}; "
            "emfast.agglomerate takes it, with the graph of emfast.blockwise.region_graph"
        )
    rules: dict[str, Any] = {"score": score, "until": until, "big_size": big_size, "big_score": big_score}
    with Run(
        {"affinities": affinities, "fragments": fragments},
        None,
        shape=lambda of: of["fragments"].shape,
        cost=cost_of,
        block=block,
        work=work,
        engine=engine,
    ) as run:
        graph_of = asked(run, offsets, histogram, False, (1,) * len(run.shape))
        _check_rules(run, rules)
        if len(run.grid) == 0:
            voxels = (np.asarray(source) for source in run.sources.values())
            tree = in_memory(graph_in_memory(*voxels, offsets=offsets, histogram=histogram), **rules)
            return (tree, []) if return_levels else tree
        graphs = "graphs-bins" if histogram else "graphs"
        kept = _Kept(run.shelf, graph_of, graphs)
        edges = run.map(graphs, kept, **read_by(run, graph_of.steps, run.sources["fragments"]))
        tree, levels = agglomerate_graphs(run, graphs, rules, edges)
    return (tree, levels) if return_levels else tree


def agglomerate_graphs(
    run: Run, graphs: str, rules: dict[str, Any], edges_of: Sequence[int]
) -> tuple[MergeTree, list[Level]]:
    """The tree of the graphs that blocks left on the shelf, with so many edges each, by groups of more and more of
    them."""
    levels: list[Level] = []
    names: list[str] = []
    below, grid = run.grid, Grid(run.grid.counts, _first_group(run, max(edges_of)))
    while True:
        level = len(levels)
        folder = f"{graphs}-{_words(rules)}/{level}"
        merge = _Merge(run.shelf, graphs if level == 0 else names[-1], folder, below.counts, rules)
        made = np.array(run.map(folder.replace("/", "-"), merge, grid=grid), np.int64)
        merges, edges, nodes = made[:, :3].sum(axis=0).tolist()
        levels.append(Level(len(grid), merges, edges, nodes, largest=int(made[:, 3].max())))
        names.append(folder)
        if len(grid) == 1:
            break
        below, grid = grid, Grid(grid.counts, 2)
    trees = [
        run.shelf.tree(f"{name}/tree/{i}")
        for name, level in zip(names, levels, strict=True)
        for i in range(level.blocks)
    ]
    return MergeTree.total(trees), levels


def _first_group(run: Run, edges: int) -> tuple[int, ...]:
    """How many blocks along each axis the first groups have: small blocks have little that is whole in them, and the
    graphs of large groups take memory. ``edges`` are those of a block."""
    grid, memory = run.grid, run.engine.memory
    most = _GROUP // math.prod(grid.block)
    if memory is not None:
        most = min(most, bytes_of(memory) // (_SHARE * _EDGE * max(1, edges)))
    sides = [1] * len(grid.shape)
    for axis in itertools.cycle(range(len(sides))):
        if all(side >= n for side, n in zip(sides, grid.counts, strict=True)) or math.prod(sides) * 2 > most:
            break
        sides[axis] = min(2 * sides[axis], grid.counts[axis])
    return tuple(sides)


class _Kept:
    """The graph of a block and its open fragments, by the face they come near, left on the shelf."""

    def __init__(self, shelf: Shelf, graph_of: GraphOf, name: str) -> None:
        self.shelf, self.graph_of, self.name = shelf, graph_of, name

    def __call__(self, affinities: np.ndarray, fragments: np.ndarray, where: Block) -> int:
        graph = self.graph_of(affinities, fragments, where)
        self.shelf.keep(f"{self.name}/rest/{where.index}", graph)
        self.shelf.put(f"{self.name}/open/{where.index}", **dict(_open_sides(fragments, where, self.graph_of.steps)))
        return len(graph)


def _open_sides(
    fragments: np.ndarray, where: Block, steps: Sequence[Sequence[int]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The open fragments of a block at each face beyond which the volume goes on."""
    place = place_of(where)
    for axis, (start, stop) in enumerate((c.start, c.stop) for c in where.core):
        for side, more in (("<", start > 0), (">", stop < where.whole[axis])):
            if more:
                yield f"{axis}{side}", open_fragments(fragments, offsets=steps, sides=[(axis, side)], **place)


class _Merge:
    """One group: the rests of the groups in it together, merged as far as they are whole."""

    def __init__(self, shelf: Shelf, below: str, name: str, counts: tuple[int, ...], rules: dict[str, Any]) -> None:
        self.shelf, self.below, self.name, self.counts, self.rules = shelf, below, name, counts, rules

    def __call__(self, where: Block) -> tuple[int, int, int, int]:
        inside = [range(c.start, c.stop) for c in where.core]
        grid = Grid(self.counts, 1)
        parts = [(place, grid.index_of(place)) for place in itertools.product(*inside)]
        graph = RegionGraph.total([self.shelf.graph(f"{self.below}/rest/{i}") for _, i in parts])
        sides: dict[str, list[np.ndarray]] = {}
        for place, i in parts:
            for side, ids in self.shelf.get(f"{self.below}/open/{i}").items():
                axis = int(side[0])
                if place[axis] == (inside[axis].start if side[1] == "<" else inside[axis].stop - 1):
                    sides.setdefault(side, []).append(ids)
        faces = {side: unique(np.concatenate(ids)) for side, ids in sides.items()}
        closed = np.zeros(0, graph.nodes.dtype)
        tree, rest = agglomerate_block(graph, np.concatenate([closed, *faces.values()]), **self.rules)
        self.shelf.keep(f"{self.name}/tree/{where.index}", tree)
        self.shelf.keep(f"{self.name}/rest/{where.index}", rest)
        self.shelf.put(f"{self.name}/open/{where.index}", **faces)
        return len(tree), len(rest), len(rest.nodes), len(graph)


def _check_rules(run: Run, rules: dict[str, Any]) -> None:
    """What the call in memory refuses is refused before any work: it is asked with no fragments."""
    dims = len(run.shape)
    none = graph_in_memory(
        np.zeros((1, *(1,) * dims), "u1"), np.zeros((1,) * dims, "u1"), offsets=[(1,) * dims], histogram=True
    )
    agglomerate_block(none, np.zeros(0, "u1"), **rules)


def _words(rules: dict[str, Any]) -> str:
    """The rules as part of the name of a folder: results of others lie beside."""
    given = [f"{value}" for name, value in rules.items() if value is not None and (name, value) != ("big_score", 1.0)]
    return "-".join(given).replace(":", "")
