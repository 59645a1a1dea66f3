"""The mutex watershed: segments from weights that attract and weights that repel, without a threshold.

Edges are ordered by the size of their weight, descending, then by id, ascending. Taken in this order, an attractive
edge joins the clusters at its ends unless a mutex stands between them, and a repulsive edge puts a mutex between
them. The result is exactly that of this sequential rule (Wolf et al., arXiv:1904.12654), whatever the number of
threads and the device.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import Operand, fetch, take
from ._ids import array_from, places_of
from .edges import mask_of, offsets_of
from .labels import LabelMap, remap, renumber

__all__ = ["mutex_watershed", "mutex_watershed_graph"]

_AT_ONCE = 0  # edges the host sorts at once, 0 for what suits; tests choose few


def mutex_watershed(
    affinities: Any,
    offsets: Sequence[Sequence[int]],
    *,
    attractive: Sequence[int] | None = None,
    signed: bool = False,
    strides: Sequence[int] | None = None,
    randomize: int | None = None,
    mask: Any = None,
    seeds: Any = None,
) -> Any:
    """Segment affinities of near and far neighbours.

    Parameters
    ----------
    affinities : (c, z, y, x) or (c, y, x) array of uint8, float16 or float32
        From 0 to 1 (0 to 255), 1 for surely the same object: channel k at voxel p is the edge between p and
        p + offsets[k]. What is held where an edge leaves the volume is never read.
    offsets : sequence of (z, y, x) or (y, x)
        One per channel.
    attractive : sequence of int, optional
        The channels that attract; the others repel. Default: those of one step along one axis.
    signed : bool
        The values are weights of any finite size (float16, float32): positive ones attract, negative ones repel, in
        any channel. Without it an attractive channel weighs a and a repulsive one 1 - a (255 - a in uint8).
    strides : (z, y, x) or (y, x), optional
        Keep repulsive channels only at voxels whose coordinates are multiples of these.
    randomize : int, optional
        With ``strides``: keep a repulsive edge not on that grid but by chance, one in as many, with this seed.
    mask : array of bool, shape of one channel, optional
        Voxels outside become 0 and have no edges.
    seeds : array of integers, shape of one channel, optional
        Voxels of one seed are one segment, different seeds different ones. 0 is no seed.

    Returns
    -------
    segments : array of uint32 (uint64 where seeds need it), shape of one channel
        Numbered from 1 by their first voxels. With ``seeds`` seeded segments bear their seeds' ids, the others
        follow after the largest seed.

    Notes
    -----
    Edges have the id voxel * channels + channel. Edges of weight 0 decide nothing, so that a voxel without any
    attraction stays alone. Floats that repel are taken as ``1 - a`` rounded to float32. With ``signed``, the choice of
    ``attractive`` only says which channels ``strides`` thins. Segments of blocks, made one by one, do not add up to
    the segments of the whole: what wins far away may decide here.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> near = np.array([[[0, 0.9, 0.6, 0.8]]], "float32")
    >>> far = np.array([[[0, 0, 0.2, 0.9]]], "float32")  # voxels 0 and 2 differ, 1 and 3 do not
    >>> emfast.mutex_watershed(np.concatenate([near, far]), [(0, -1), (0, -2)])
    array([[1, 1, 2, 2]], dtype=uint32)
    """
    values = affinities_of(affinities)
    if signed and values.dtype.kind != "f":
        raise TypeError(f"affinities must be float16 or float32 where signed, got {values.dtype}")
    shape = values.shape[1:]
    steps = offsets_of(offsets, len(shape))
    if len(steps) != values.shape[0]:
        raise ValueError(f"offsets must be one per channel of affinities ({values.shape[0]}), got {len(steps)}")
    pulls = attractive_of(attractive, steps)
    grid = _strides(strides, len(shape))
    if randomize is not None and strides is None:
        raise ValueError("randomize needs strides, which say how many repulsive edges stay")
    chance = _chance(randomize)
    inside = None if mask is None else mask_of(mask, values, shape, "each channel of affinities").array
    seeded, ids = _seeds(seeds, values)
    result = values.native.mutex_watershed(
        values.library,
        values.array,
        steps,
        [k not in pulls for k in range(len(steps))],
        inside,
        None if seeded is None else seeded.array,
        len(ids),
        bool(signed),
        grid,
        randomize is not None,
        chance,
        _AT_ONCE,
    )
    if isinstance(result, int):
        place = (result // math.prod(shape), *(int(i) for i in np.unravel_index(result % math.prod(shape), shape)))
        came = values.library.to_numpy(values.array)[place]
        wanted = "finite" if signed else "from 0 to 1"
        raise ValueError(f"affinities must be {wanted}, got {came} at {place}")
    out, count = result
    segments = values.give(out, plain=True)
    if not len(ids):
        return segments
    largest, others = int(ids.max()), count - len(ids)
    if largest + others >= 2**64:
        raise ValueError(f"seeds must be below 2**64 - {others}, for so many other segments follow, got {largest}")
    names = [0, *ids.tolist(), *range(largest + 1, largest + 1 + others)]
    return remap(segments, np.array(names, "u4" if names[-1] < 2**32 and largest < 2**32 else "u8"))


def mutex_watershed_graph(graph: Any, weights: Any) -> LabelMap:
    """The mutex watershed of a graph with signed weights.

    Parameters
    ----------
    graph : RegionGraph, or (n, 2) array of integers
        Edges between nodes of any ids. Of several edges between two nodes each counts.
    weights : (n,) array of float
        Positive ones attract, negative ones repel. Ties go to the edge that comes first.

    Returns
    -------
    table : LabelMap
        From node ids, ascending, to segments, numbered from 1 by their smallest node. For
        ``emfast.remap(fragments, table, missing=0)``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> edges = np.array([[10, 20], [20, 30], [10, 30]])
    >>> dict(emfast.mutex_watershed_graph(edges, np.array([0.9, 0.5, -0.7])))
    {10: 1, 20: 1, 30: 2}
    """
    nodes, ends = nodes_and_ends(graph)
    values = weights_of(weights, "weights", len(ends.array))
    if not values.meets(ends):
        raise ValueError("weights must live where graph lives")
    out, _ = ends.native.mutex_watershed_graph(ends.library, len(nodes), ends.array, values.array)
    return LabelMap(nodes, ends.library.to_numpy(out))


def nodes_and_ends(graph: Any) -> tuple[np.ndarray, Operand]:
    """The node ids, ascending, and the ends of edges as places among them, uint32 (n, 2)."""
    edges = array_from(getattr(graph, "edges", graph), "graph")
    if edges.size == 0 and edges.ndim < 2:
        edges = np.zeros((0, 2), np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(f"graph must be a RegionGraph or an (n, 2) array of integers, got {_described(edges)}")
    nodes = np.asarray(graph.nodes) if hasattr(graph, "nodes") else _nodes_of(edges)
    places = places_of(edges, nodes, "graph must have every end of an edge among its nodes")
    if max(len(nodes), len(edges)) >= 2**32 - 1:
        raise ValueError(f"graph must have fewer than 2**32 - 1 nodes and edges, got {len(nodes)} and {len(edges)}")
    return nodes, take(places.astype(np.uint32, copy=False), "graph", dims=(2,))


def _nodes_of(edges: np.ndarray) -> np.ndarray:
    """The ids at the ends of edges, ascending."""
    if edges.size and int(edges.min()) >= 0 and int(edges.max()) < 4 * edges.size + 1000:  # a table is faster
        there = np.zeros(int(edges.max()) + 1, bool)
        there[edges] = True
        return np.flatnonzero(there).astype(edges.dtype)
    return np.unique(edges)


def weights_of(weights: Any, name: str, count: int) -> Operand:
    """Finite float64 weights, one per edge, on the host."""
    values, _ = fetch(weights, name)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be numbers, got {values.dtype}")
    if values.shape != (count,):
        raise ValueError(f"{name} must be one per edge, of shape ({count},), got {values.shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{name} must be finite, got {values[place]} at {place}")
    return take(values, name, kinds="f", dims=(1,))


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def affinities_of(affinities: Any) -> Operand:
    values = take(affinities, "affinities", kinds="uf", dims=(3, 4))
    if values.dtype.name not in ("uint8", "float16", "float32"):
        raise TypeError(f"affinities must be uint8, float16 or float32, got {values.dtype}")
    return values


def attractive_of(channels: Any, steps: list[tuple[int, ...]]) -> set[int]:
    if channels is None:
        return {k for k, step in enumerate(steps) if sum(map(abs, step)) == 1}
    try:
        if any(isinstance(k, (bool, np.bool_)) for k in channels):
            raise TypeError
        chosen = {operator.index(k) for k in channels}
    except TypeError:
        raise TypeError(f"attractive must be a sequence of channels, numbers from 0, got {channels!r}") from None
    if not chosen <= set(range(len(steps))):
        raise ValueError(f"attractive must name channels from 0 to {len(steps) - 1}, got {channels!r}")
    return chosen


def _strides(strides: Any, dims: int) -> list[int]:
    if strides is None:
        return [1, 1, 1]
    try:
        sides = [operator.index(s) for s in strides]
    except TypeError:
        raise TypeError(f"strides must be {dims} integers, got {strides!r}") from None
    if len(sides) != dims or min(sides) < 1 or math.prod(sides) >= 2**62:
        raise ValueError(f"strides must be {dims} integers of at least 1, got {strides!r}")
    return [1] * (3 - dims) + sides


def _chance(randomize: Any) -> int:
    if randomize is None:
        return 0
    try:
        chance = operator.index(randomize)
    except TypeError:
        raise TypeError(f"randomize must be an integer, the seed of chance, got {randomize!r}") from None
    if not 0 <= chance < 2**63:
        raise ValueError(f"randomize must be from 0 to 2**63 - 1, got {randomize!r}")
    return chance


def _seeds(seeds: Any, values: Operand) -> tuple[Operand | None, np.ndarray]:
    """Seeds numbered from 1, and their ids in that order."""
    if seeds is None:
        return None, np.zeros(0, np.uint64)
    given = take(seeds, "seeds", kinds="iu")
    if given.shape != values.shape[1:]:
        raise ValueError(
            f"seeds must have the shape of each channel of affinities {values.shape[1:]}, got {given.shape}"
        )
    if not given.meets(values):
        raise ValueError("seeds must live where affinities live")
    dense, table = renumber(seeds, dtype="uint32")
    pairs = {new: old for old, new in table.items() if old != 0}
    if pairs and min(pairs.values()) < 0:
        raise ValueError(f"seeds must not be negative, got {min(pairs.values())}")
    ids = np.array([pairs[k] for k in sorted(pairs)], np.uint64)
    return (take(dense, "seeds", kinds="u"), ids) if len(ids) else (None, ids)
