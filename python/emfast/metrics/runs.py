"""How far one can follow a neuron before an error: expected run length, and partition scores on skeletons.

Skeletons are of the truth; a segmentation is known by its label at every node. Peers agree on the idea (Januszewski et
al., Nature Methods 2018) and on little else, so every choice has a name here:

================  =============================  ====================================================
choice            default                        peers
================  =============================  ====================================================
merge_threshold   1, any shared node             funlib 1; em_erl 1 (its helpers 50); AIND 51
omitted           "either" end has label 0       funlib, em_erl; AIND "both"
pieces            "summed" over one skeleton     funlib, em_erl; AIND "first"
weights           "length" of the skeleton       funlib, em_erl; AIND "labelled"
forbidden         none                           em_erl: ids on a no-merge mask (:func:`ids_within`)
================  =============================  ====================================================

Lengths are float64 and summed with ``math.fsum``, so no order of edges changes a bit.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import labels as _labels
from .._arrays import take
from .._options import spacing_of
from .._table import Table
from ..skeletons import Skeletons
from .partitions import normalised_voi, vrand
from .tables import Contingency, _places


@dataclass(frozen=True, eq=False)
class SkeletonGraph:
    """Skeletons as plain arrays, where they do not come from :func:`emfast.skeletonize`.

    Attributes
    ----------
    nodes : (n, d) float64
        Positions in nanometres, in axis order.
    edges : (m, 2) int64
        Rows of ``nodes``; both ends must belong to one skeleton.
    skeletons : (n,) integers
        The skeleton of each node.
    edge_lengths : (m,) float64
        In nanometres; the distance between the ends if not given.
    """

    nodes: np.ndarray
    edges: np.ndarray
    skeletons: np.ndarray
    edge_lengths: Any = None

    def __post_init__(self) -> None:
        nodes = np.asarray(self.nodes, np.float64)
        if nodes.ndim != 2 or nodes.shape[1] not in (2, 3):
            raise ValueError(f"nodes must be (n, 2) or (n, 3) positions, got shape {nodes.shape}")
        edges, skeletons = np.asarray(self.edges), np.asarray(self.skeletons)
        if edges.size == 0:
            edges = edges.reshape(0, 2).astype(np.int64)
        if edges.dtype.kind not in "iu" or edges.ndim != 2 or edges.shape[1] != 2:
            raise ValueError(f"edges must be (m, 2) integers, got {edges.dtype} of shape {edges.shape}")
        edges = edges.astype(np.int64)
        if edges.size and (edges.min() < 0 or edges.max() >= len(nodes)):
            raise ValueError(f"edges must name nodes from 0 to {len(nodes) - 1}, got {edges.min()} to {edges.max()}")
        if skeletons.shape != (len(nodes),) or (skeletons.size and skeletons.dtype.kind not in "iu"):
            raise ValueError(
                f"skeletons must be one integer for each of {len(nodes)} nodes, "
                f"got {skeletons.dtype} of shape {skeletons.shape}"
            )
        if (skeletons[edges[:, 0]] != skeletons[edges[:, 1]]).any():
            raise ValueError("edges must join nodes of one skeleton")
        if self.edge_lengths is None:
            lengths = np.sqrt(((nodes[edges[:, 0]] - nodes[edges[:, 1]]) ** 2).sum(axis=1))
        else:
            lengths = np.asarray(self.edge_lengths, np.float64)
            if lengths.shape != (len(edges),) or not (np.isfinite(lengths).all() and (lengths >= 0).all()):
                raise ValueError(f"edge_lengths must be {len(edges)} lengths, finite and not negative")
        for name, value in zip(self.__annotations__, (nodes, edges, skeletons, lengths), strict=True):
            object.__setattr__(self, name, value)

    @staticmethod
    def of(skeletons: Skeletons) -> SkeletonGraph:
        """The graph of :func:`emfast.skeletonize`'s skeletons, each named by its label."""
        children = np.flatnonzero(skeletons.parents >= 0)
        return SkeletonGraph(
            skeletons.voxels * np.array(skeletons.spacing),
            np.stack([skeletons.parents[children], children], axis=1),
            np.repeat(skeletons.labels, np.diff(skeletons.starts)),
        )


@dataclass(frozen=True, eq=False)
class RunLengths:
    """Expected run lengths; made by :func:`expected_run_length`.

    Attributes
    ----------
    erl : float
        The expected run length in nanometres: of a point drawn at random on the skeletons, how long the run is that it
        lies on. 0 where there is no length.
    best : float
        That of a perfect segmentation.
    skeletons : Table
        A row for each skeleton: ``skeleton``, its ``length``, its own ``erl``, and the length of edges that are
        ``correct``, ``split``, ``merged`` and ``omitted``, all in nanometres.
    merging : array
        The segments that merge skeletons or are forbidden, ascending.
    """

    erl: float
    best: float
    skeletons: Table
    merging: np.ndarray

    @property
    def nerl(self) -> float:
        """The normalised expected run length, ``erl / best``, from 0 to 1; NaN where there is no length."""
        return self.erl / self.best if self.best else math.nan


def node_labels(
    skeletons: Skeletons | SkeletonGraph, labels: Any, *, spacing: Any = (1, 1, 1), offset: Sequence[float] = (0, 0, 0)
) -> np.ndarray:
    """The label of a segmentation at every node of skeletons.

    Parameters
    ----------
    skeletons : emfast.Skeletons or SkeletonGraph
        Of the first kind the voxels are taken as they are.
    labels : (z, y, x) or (y, x) array of integers
    spacing : sequence of float
        Nanometres per voxel, in axis order (SkeletonGraph). A node belongs to the voxel whose corner comes before it:
        ``floor((position - offset) / spacing)``, up to a millionth of a voxel for rounding.
    offset : sequence of float
        The position of the first corner of the volume, in nanometres.

    Returns
    -------
    (n,) array of the dtype of ``labels``

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import SkeletonGraph, node_labels
    >>> graph = SkeletonGraph([[0, 5], [0, 25]], [[0, 1]], [1, 1])
    >>> node_labels(graph, np.array([[7, 7, 8]]), spacing=(10, 10)).tolist()
    [7, 8]
    """
    operand = take(labels, "labels")
    volume = operand.library.to_numpy(operand.array)
    if isinstance(skeletons, Skeletons):
        voxels = skeletons.voxels
    else:
        nm = np.array(spacing_of(spacing, volume.ndim))
        start = np.array(offset, np.float64)[-volume.ndim :]
        if skeletons.nodes.shape[1] != volume.ndim:
            raise ValueError(f"labels must have the {skeletons.nodes.shape[1]} axes of the nodes, got {volume.ndim}")
        voxels = np.floor((skeletons.nodes - start) / nm + 1e-6).astype(np.int64)
    if ((voxels < 0) | (voxels >= volume.shape)).any():
        k = int(np.argmax(((voxels < 0) | (voxels >= volume.shape)).any(axis=1)))
        raise ValueError(f"labels must hold every node, but node {k} lies at voxel {tuple(voxels[k].tolist())}")
    return volume[tuple(voxels.T)]


def ids_within(labels: Any, mask: Any, *, more_than: int = 0) -> np.ndarray:
    """The ids that have more than so many voxels in a mask, ascending, without 0.

    Parameters
    ----------
    labels : array of integers
    mask : array of bool, shape of ``labels``
        Where no segment should be, for instance between neurons: em_erl's mask of places that only a merge covers.
    more_than : int

    Returns
    -------
    (n,) array

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import ids_within
    >>> ids_within(np.array([3, 3, 4, 0]), np.array([1, 1, 1, 1], bool), more_than=1).tolist()
    [3]
    """
    operand, where = take(labels, "labels", dims=None), take(mask, "mask", dims=None)
    if operand.shape != where.shape:
        raise ValueError(f"mask must have the shape of labels {operand.shape}, got {where.shape}")
    values = operand.library.to_numpy(operand.array)[where.library.to_numpy(where.array) != 0]
    ids, counts = _labels.unique(values, counts=True)
    return np.asarray(ids)[(counts > operator.index(more_than)) & (ids != 0)]


def expected_run_length(
    skeletons: Skeletons | SkeletonGraph,
    labels: Any,
    *,
    merge_threshold: int = 1,
    omitted: str = "either",
    pieces: str = "summed",
    weights: str = "length",
    forbidden: Iterable[int] = (),
) -> RunLengths:
    """Expected run length (ERL) of a segmentation on skeletons, as a whole and for each skeleton.

    An edge is omitted where its label is 0, split where its ends have different labels, merged where their one label is
    of a merging segment, and correct otherwise. With l the length of a segment's correct edges on a skeleton of length
    L, the skeleton's ERL is the sum of l² / L, and the whole is their mean weighted by L.

    Parameters
    ----------
    skeletons : emfast.Skeletons or SkeletonGraph
        Of the truth.
    labels : (n,) integers
        The segment at every node, see :func:`node_labels`; 0 is none.
    merge_threshold : int
        A segment merges if two skeletons or more have at least so many of its nodes.
    omitted : {"either", "both"}
        Whether one end with label 0 makes an edge omitted, or only both (then it is split otherwise).
    pieces : {"summed", "apart", "first"}
        What counts as one run where a segment leaves a skeleton and comes back: all its pieces together, each by
        itself, or only the piece that holds the first node.
    weights : {"length", "labelled"}
        Whether L is the whole length of a skeleton, or its length without omitted edges.
    forbidden : iterable of int
        Segments that count as merging in any case.

    Returns
    -------
    RunLengths

    Examples
    --------
    >>> from emfast.metrics import SkeletonGraph, expected_run_length
    >>> graph = SkeletonGraph([[0, 0], [0, 10], [0, 20], [0, 30]], [[0, 1], [1, 2], [2, 3]], [1, 1, 1, 1])
    >>> runs = expected_run_length(graph, [5, 5, 5, 6])
    >>> round(runs.erl, 3), runs.best, runs.skeletons.split.tolist()
    (13.333, 30.0, [10.0])
    """
    graph = SkeletonGraph.of(skeletons) if isinstance(skeletons, Skeletons) else skeletons
    segments = _segments(labels, len(graph.nodes))
    for name, value, welcome in (
        ("omitted", omitted, ("either", "both")),
        ("pieces", pieces, ("summed", "apart", "first")),
        ("weights", weights, ("length", "labelled")),
    ):
        if value not in welcome:
            raise ValueError(f"{name} must be one of {', '.join(welcome)}, got {value!r}")
    if operator.index(merge_threshold) < 1:
        raise ValueError(f"merge_threshold must be at least 1, got {merge_threshold!r}")
    ids, rows = np.unique(graph.skeletons, return_inverse=True)
    merging = _merging(rows, segments, merge_threshold, forbidden)
    begin, end = segments[graph.edges[:, 0]], segments[graph.edges[:, 1]]
    lost = (begin == 0) | (end == 0) if omitted == "either" else (begin == 0) & (end == 0)
    split = ~lost & (begin != end)
    merged = ~lost & ~split & np.isin(begin, merging)
    correct = ~lost & ~split & ~merged
    owner = rows[graph.edges[:, 0]] if len(graph.edges) else np.zeros(0, np.int64)

    def per_skeleton(which: np.ndarray) -> np.ndarray:
        return _sums(owner[which], graph.edge_lengths[which], len(ids))

    lengths = per_skeleton(np.ones(len(owner), bool))
    table = {"skeleton": ids, "length": lengths}
    kinds = {"correct": correct, "split": split, "merged": merged, "omitted": lost}
    parts = {name: per_skeleton(which) for name, which in kinds.items()}
    whole = lengths if weights == "length" else per_skeleton(~lost)
    squares = _squares_of_runs(graph, begin, owner, correct, pieces, len(ids))
    own = np.divide(squares, whole, out=np.zeros(len(ids)), where=whole > 0)
    total = math.fsum(whole)
    return RunLengths(
        math.fsum(squares) / total if total else 0.0,
        math.fsum(whole * whole) / total if total else 0.0,
        Table({**table, "erl": own, **parts}),
        merging,
    )


def skeleton_table(skeletons: Skeletons | SkeletonGraph, labels: Any) -> Contingency:
    """The contingency table of nodes: skeletons are the truth, every node counts one.

    ``skeleton_table(…).voi()`` is the variation of information on skeletons, and all other scores of a table work
    likewise. A skeleton with the number 0 is an object like any other until it is left out (``without(truth=0)``).

    Parameters
    ----------
    skeletons : emfast.Skeletons or SkeletonGraph
    labels : (n,) integers
        The segment at every node; 0 is a segment like any other here.

    Returns
    -------
    Contingency

    Examples
    --------
    >>> from emfast.metrics import SkeletonGraph, skeleton_table
    >>> graph = SkeletonGraph([[0, 0], [0, 10]], [[0, 1]], [4, 4])
    >>> skeleton_table(graph, [5, 6]).label_ids.tolist()
    [5, 6]
    """
    graph = SkeletonGraph.of(skeletons) if isinstance(skeletons, Skeletons) else skeletons
    return Contingency.from_pairs(graph.skeletons, _segments(labels, len(graph.nodes)))


class Xpress(NamedTuple):
    """The scores of the XPRESS challenge, from 0 to 1, higher is better; made by :func:`xpress`."""

    rand: float
    voi: float
    erl_rand: float
    erl_voi: float


def xpress(runs: RunLengths, table: Contingency) -> Xpress:
    """The scores of the XPRESS challenge: half normalised run length, half a score of the nodes' partition.

    Parameters
    ----------
    runs : RunLengths
    table : Contingency
        Of the nodes, see :func:`skeleton_table`.

    Returns
    -------
    Xpress
        ``rand`` is the mean of V-Rand's split and merge scores, ``voi`` is 1 less the mean of the two halves of the
        normalised VOI; ``erl_rand`` (the leaderboard) and ``erl_voi`` are their means with ``runs.nerl``.

    Notes
    -----
    The challenge's script numbers skeletons from 0, so it leaves out the nodes of the first one, and counts nodes that
    share a voxel once. Leave it out likewise (``table.without(truth=…)``) to get its very number.

    Examples
    --------
    >>> from emfast.metrics import SkeletonGraph, expected_run_length, skeleton_table, xpress
    >>> graph = SkeletonGraph([[0, 0], [0, 10], [0, 20], [0, 30]], [[0, 1], [2, 3]], [1, 1, 2, 2])
    >>> labels = [5, 5, 6, 7]
    >>> xpress(expected_run_length(graph, labels), skeleton_table(graph, labels)).erl_rand
    0.6875
    """
    pairs, information = vrand(table), normalised_voi(table)
    rand, voi = (pairs.split + pairs.merge) / 2, 1 - (information.split + information.merge) / 2
    return Xpress(rand, voi, (rand + runs.nerl) / 2, (voi + runs.nerl) / 2)


def _segments(labels: Any, count: int) -> np.ndarray:
    segments = np.asarray(labels)
    if segments.shape != (count,) or (count and segments.dtype.kind not in "iu"):
        raise ValueError(
            f"labels must be one integer for each of {count} nodes, got {segments.dtype} of shape {segments.shape}"
        )
    return segments if count else segments.astype(np.int64)


def _merging(rows: np.ndarray, segments: np.ndarray, threshold: int, forbidden: Iterable[int]) -> np.ndarray:
    table = Contingency.from_pairs(rows, segments)
    _, found, counts = table.pairs
    many, times = np.unique(found[counts >= threshold], return_counts=True)
    known = table.label_ids[_places(table.label_ids, forbidden, "forbidden")]
    merging = np.union1d(many[times > 1], known)
    return merging[merging != 0].astype(segments.dtype)


def _sums(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The exact sum of the values of each group, rounded once."""
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.arange(count + 1)).tolist()
    listed = values[order].tolist()
    return np.array([math.fsum(listed[bounds[k] : bounds[k + 1]]) for k in range(count)], np.float64)


def _squares_of_runs(
    graph: SkeletonGraph, segments: np.ndarray, owner: np.ndarray, correct: np.ndarray, pieces: str, count: int
) -> np.ndarray:
    """For each skeleton the sum of the squared lengths of its runs."""
    _, segment = np.unique(segments[correct], return_inverse=True)
    keys = [owner[correct], segment]
    if pieces != "summed":
        keys.append(_pieces(graph.edges[correct], len(graph.nodes)))
    order = np.lexsort(keys[::-1])
    columns = np.stack([key[order] for key in keys], axis=1)
    first = np.ones(len(columns), bool)
    first[1:] = (columns[1:] != columns[:-1]).any(axis=1)
    runs = np.cumsum(first) - 1
    lengths = _sums(runs, graph.edge_lengths[correct][order], int(first.sum()))
    owners = columns[first, 0]
    if pieces == "first":  # of each skeleton and segment the piece with the smallest node
        leading = np.ones(len(owners), bool)
        leading[1:] = (columns[first][1:, :2] != columns[first][:-1, :2]).any(axis=1)
        lengths, owners = lengths[leading], owners[leading]
    return _sums(owners, lengths * lengths, count)


def _pieces(edges: np.ndarray, count: int) -> np.ndarray:
    """For each edge the smallest node of its connected part."""
    parents = list(range(count))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for a, b in edges.tolist():
        a, b = sorted((root(a), root(b)))
        parents[b] = a
    return np.array([root(a) for a in edges[:, 0].tolist()], np.int64)


__all__ = [
    "RunLengths",
    "SkeletonGraph",
    "Xpress",
    "expected_run_length",
    "ids_within",
    "node_labels",
    "skeleton_table",
    "xpress",
]
