"""Region graphs: which fragments touch, and what the affinities between them say.

A voxel edge joins a voxel p, its source, to p + offset; channel k of the affinities holds at p the edge with
``offsets[k]``, so the nearest offsets look back. A voxel edge belongs to its source: graphs of blocks whose cores tile
a volume add up to the graph of the whole.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from . import _store
from ._arrays import Host, Operand, take
from ._checks import checked_graph
from ._ids import cast_exactly, find, ids_from, places_of
from ._options import ids_of, spacing_of
from ._table import Table
from .edges import NEAREST, offsets_of
from .labels import unique
from .measurement import statistics

_FORMAT = "emfast region graph 1"
_PER_EDGE = ("counts", "sums", "minima", "maxima", "faces", "ids")
_PER_NODE = ("nodes", "sizes", "box_starts", "box_stops")
_TABLES = {
    "edges": ("edges", *_PER_EDGE),
    "nodes": _PER_NODE,
    "histograms": ("bins", "bin_counts"),
    "histogram_starts": ("starts",),
}


@dataclass(eq=False, repr=False)
class RegionGraph:
    """Edges between touching fragments, as plain NumPy arrays; made by :func:`emfast.region_graph`.

    ``a + b`` is the graph of two blocks together, ``RegionGraph.total(graphs)`` that of many.

    Attributes
    ----------
    edges : (n, 2) labels, u < v, rows ascending; no pair comes twice
    counts : (n,) int64, voxel edges between u and v
    sums : (n,) int64, the sum of their affinities in steps of 1 / ``unit``
    minima, maxima : (n,) in the dtype of the affinities
    faces : (n, d) int64, voxel faces shared across each axis: voxel edges of one step along it
    ids : (n,) int64, the smallest id of a voxel edge: voxel * channels + channel, in the whole volume
    nodes : (m,) labels, ascending: every fragment in the core or at an edge
    sizes : (m,) int64, voxels of each in the core
    unit : int, 255 for uint8 affinities, 2**24 for floats
    spacing : nanometres per voxel, in axis order
    box_starts, box_stops : (m, d) int64, or None
        The bounding box of each node's voxels in the core, in the coordinates of the whole volume, ends excluded; one
        without voxels there has the start ``whole_shape`` and the stop 0.
    starts, bins, bin_counts : (n + 1,) int64, (k,) uint8, (k,) int64, or None
        Histograms of the affinities: edge i has ``bin_counts[j]`` voxel edges in bin ``bins[j]``, for j from
        ``starts[i]`` to ``starts[i + 1]``; bins are ascending and none is empty. Of uint8 affinities bin k holds the
        value k; of floats the values from k / 256 up to (k + 1) / 256, and 1 in the last.
    """

    edges: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    minima: np.ndarray
    maxima: np.ndarray
    faces: np.ndarray
    ids: np.ndarray
    nodes: np.ndarray
    sizes: np.ndarray
    unit: int
    spacing: tuple[float, ...]
    starts: np.ndarray | None = None
    bins: np.ndarray | None = None
    bin_counts: np.ndarray | None = None
    box_starts: np.ndarray | None = None
    box_stops: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._library: Any = Host()  # of the affinities: agglomeration runs where they lived

    def __len__(self) -> int:
        """The number of edges."""
        return len(self.edges)

    def __repr__(self) -> str:
        with_bins = ", with histograms" if self.has_histograms else ""
        return f"RegionGraph of {len(self.nodes)} fragments and {len(self)} edges{with_bins}"

    def __eq__(self, other: object) -> bool:
        """Equal in every array, dtypes included."""
        if not isinstance(other, RegionGraph):
            return NotImplemented
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    @property
    def has_histograms(self) -> bool:
        return self.starts is not None

    @property
    def has_boxes(self) -> bool:
        return self.box_starts is not None

    @property
    def means(self) -> np.ndarray:
        """(n,) float64, the mean affinity of each edge."""
        means: np.ndarray = self.sums / (self.counts * float(self.unit))
        return means

    @property
    def areas(self) -> np.ndarray:
        """(n,) float64, the contact area in nm² (in 2D the length in nm): faces times their areas."""
        nm = self.spacing
        areas = [math.prod(nm[:axis] + nm[axis + 1 :]) for axis in range(len(nm))]
        return self.faces @ np.array(areas, np.float64)

    def histogram(self, edge: int) -> np.ndarray:
        """The 256 counts of one edge, given by its row: (256,) int64."""
        if self.starts is None or self.bins is None or self.bin_counts is None:
            raise ValueError("the graph has no histograms: make it with histogram=True")
        row = slice(self.starts[edge], self.starts[edge + 1])
        out = np.zeros(256, np.int64)
        out[self.bins[row]] = self.bin_counts[row]
        return out

    def quantiles(self, q: float) -> np.ndarray:
        """(n,) float64, a quantile of the affinities of each edge, from the histograms.

        Of n affinities that is the bin of the one with rank ``floor(q n)`` from 0 (the last for q = 1), as in waterz:
        0.5 is the upper median. Exact for uint8; for floats the middle of one of 256 bins.
        """
        if self.starts is None or self.bins is None or self.bin_counts is None:
            raise ValueError("the graph has no histograms: make it with histogram=True")
        if not 0 <= q <= 1:
            raise ValueError(f"q must be from 0 to 1, got {q}")
        from fractions import Fraction  # not at the top, for a quick start of the package

        upto = np.cumsum(self.bin_counts)
        before = np.r_[0, upto][self.starts[:-1]]
        share = Fraction(str(q))  # 0.3 means three tenths, not the nearest binary number
        ranks = self.counts // share.denominator * share.numerator
        ranks += self.counts % share.denominator * share.numerator // share.denominator
        bins = self.bins[np.searchsorted(upto, before + np.minimum(ranks, self.counts - 1), side="right")]
        values: np.ndarray = bins / 255.0 if self.unit == 255 else (bins + 0.5) / 256.0
        return values

    def adjacency(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The edges as compressed sparse rows, each in both directions: ``(starts, neighbours, rows)``.

        The neighbours of ``nodes[i]`` are ``nodes[neighbours[starts[i] : starts[i + 1]]]``, ascending; ``rows`` tells
        which edge joins them. With ``weights[rows]`` that is ``scipy.sparse.csr_array((weights, neighbours, starts))``.
        """
        ends = np.searchsorted(self.nodes, self.edges)
        rows = np.r_[np.arange(len(self)), np.arange(len(self))]
        source, target = np.r_[ends[:, 0], ends[:, 1]], np.r_[ends[:, 1], ends[:, 0]]
        order = np.lexsort((target, source))
        starts = np.searchsorted(source[order], np.arange(len(self.nodes) + 1))
        return starts.astype(np.int64), target[order].astype(np.int64), rows[order]

    def to_table(self) -> Table:
        """A :class:`Table` with a row per edge, its key the two fragments."""
        return Table(
            {
                "u": self.edges[:, 0].copy(),
                "v": self.edges[:, 1].copy(),
                "mean": self.means,
                "count": self.counts,
                "minimum": self.minima,
                "maximum": self.maxima,
                "faces": self.faces,
                "area": self.areas,
                "id": self.ids,
            },
            keys=2,
        )

    def check(self) -> RegionGraph:
        """The graph if its arrays fit together, of other dtypes turned to those above where that changes no value.

        :func:`emfast.agglomerate` and :meth:`load` check by themselves, for kernels rely on it.

        Returns
        -------
        RegionGraph
            This one if nothing had to be turned. TypeError and ValueError name the array that is wrong.
        """
        return checked_graph(self)[0]

    # ---- sums

    def __add__(self, other: RegionGraph) -> RegionGraph:
        if not isinstance(other, RegionGraph):
            return NotImplemented
        return RegionGraph.total([self, other])

    @staticmethod
    def total(graphs: Iterable[RegionGraph]) -> RegionGraph:
        """The sum of the graphs of disjoint blocks, in any order.

        Parameters
        ----------
        graphs : RegionGraphs of the same dtypes, unit and spacing, at least one

        Returns
        -------
        RegionGraph
        """
        parts = list(graphs)
        if not parts:
            raise ValueError("graphs must hold at least one RegionGraph, got none")
        first = parts[0]
        for part in parts[1:]:
            for name in ("unit", "spacing", "has_histograms", "has_boxes"):
                if getattr(part, name) != getattr(first, name):
                    wanted, came = getattr(first, name), getattr(part, name)
                    raise ValueError(f"graphs must agree in {name} to be added, got {wanted} and {came}")
            for name in ("edges", "minima"):
                if getattr(part, name).dtype != getattr(first, name).dtype:
                    kind = {"edges": "fragments", "minima": "affinities"}[name]
                    wanted, came = getattr(first, name).dtype, getattr(part, name).dtype
                    raise ValueError(f"graphs must agree in the dtype of {kind} to be added, got {wanted} and {came}")
        return first if len(parts) == 1 else _total(parts)

    def contract(self, table: tuple[np.ndarray, np.ndarray]) -> RegionGraph:
        """The graph of segments: fragments become what a table says, edges between the same two become one.

        Parameters
        ----------
        table : (fragments, segments), as of :meth:`MergeTree.cut`
            Fragments that it does not name stay as they are, those that the graph does not have are passed over.

        Returns
        -------
        RegionGraph
            A joined edge has the larger id, as in :func:`agglomerate`.
        """
        old, new = (ids_from(part, "table") for part in table)
        if old.shape != new.shape or old.ndim != 1:
            raise ValueError(f"table must be two arrays of one length, got shapes {old.shape} and {new.shape}")
        old, held = cast_exactly(old, self.nodes.dtype)
        old, wanted = old[held], new[held]
        new, held = cast_exactly(wanted, self.nodes.dtype)
        if not held.all():
            raise ValueError(f"table must give segments that {self.nodes.dtype} holds, got {wanted[~held][0]}")
        order = np.argsort(old, kind="stable")
        old, new = old[order], new[order]

        names = self.nodes
        if len(old):
            place, there = find(self.nodes, old)
            names = np.where(there, new[np.where(there, place, 0)], self.nodes)
        ends = places_of(self.edges, self.nodes, "graph.edges must hold nodes of the graph")
        return contracted(self, ends, names, np.ones(len(names), bool))

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or after its ending a Zarr group (``.zarr``)
        or a folder of Parquet tables (``.parquet``) with the edges, the nodes and the histograms."""
        _store.save(path, _FORMAT, {f.name: getattr(self, f.name) for f in fields(self)}, _TABLES)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> RegionGraph:
        """Read what :meth:`save` wrote."""
        names = [f.name for f in fields(RegionGraph)]
        optional = [f.name for f in fields(RegionGraph) if f.default is None]
        arrays: dict[str, Any] = _store.load(path, _FORMAT, "RegionGraph.save", names, optional)
        with _store.naming(path, "RegionGraph.save"):
            arrays["unit"] = int(arrays["unit"])
            arrays["spacing"] = tuple(arrays["spacing"].tolist())
            return RegionGraph(**arrays).check()


def region_graph(
    affinities: Any,
    fragments: Any,
    *,
    offsets: Sequence[Sequence[int]] = NEAREST,
    histogram: bool = False,
    boxes: bool = False,
    spacing: Sequence[float] = (1, 1, 1),
    core: Sequence[slice] | None = None,
    origin: Sequence[int] | None = None,
    whole_shape: Sequence[int] | None = None,
) -> RegionGraph:
    """Find which fragments touch, and gather the affinities between them.

    Exact and independent of threads, device and blocks: sums are integers.

    Parameters
    ----------
    affinities : array of uint8, float16 or float32, shape (c, z, y, x) or (c, y, x)
        1 (255) for surely the same object. Channel k at voxel p is the edge between p and p + ``offsets[k]``; where
        that lies outside, the value is not read. Values that are read must be from 0 to 1; those between voxels of
        one fragment, or beside background, are not read.
    fragments : array of integers, shape (z, y, x) or (y, x)
        0 is background and has no edges. Ids may be of any size.
    offsets : sequence of (z, y, x) or (y, x)
        One per channel; long ones are welcome.
    histogram : bool
        Gather histograms of 256 bins too; quantiles need them.
    boxes : bool
        Gather the bounding boxes of the fragments too.
    spacing : sequence of float
        Nanometres per voxel, in axis order; for contact areas.
    core : slice per axis, optional
        For blocks: only voxel edges whose source lies there are added, and only voxels there counted as sizes. The
        array must go on beyond it as far as the offsets are long, except at the faces of the whole volume. Default:
        all.
    origin, whole_shape : ints per axis, optional
        Where the array's first voxel lies in the whole volume, and the shape of that: ids of edges are the whole
        volume's.

    Returns
    -------
    RegionGraph
        On the host.

    Notes
    -----
    Sums count uint8 affinities as they are and floats in steps of 2**-24, rounded to the nearest, halves up.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> fragments = np.array([[[1, 1, 2], [1, 7, 2]]], np.uint64)
    >>> affinities = np.full((3, 1, 2, 3), 0.25, np.float32)
    >>> graph = emfast.region_graph(affinities, fragments)
    >>> graph.edges.tolist(), graph.counts.tolist(), graph.means.tolist()
    ([[1, 2], [1, 7], [2, 7]], [1, 2, 1], [0.25, 0.25, 0.25])

    In blocks: each is read with a voxel more at its low faces, and adds what has its source in its core.

    >>> blocks = [
    ...     emfast.region_graph(affinities[..., :2], fragments[..., :2], origin=(0, 0, 0), whole_shape=(1, 2, 3)),
    ...     emfast.region_graph(
    ...         affinities[..., 1:],
    ...         fragments[..., 1:],
    ...         core=(slice(0, 1), slice(0, 2), slice(1, 2)),
    ...         origin=(0, 0, 1),
    ...         whole_shape=(1, 2, 3),
    ...     ),
    ... ]
    >>> blocks[0] + blocks[1] == graph
    True
    """
    labels = take(fragments, "fragments", kinds="biu")
    values = take(affinities, "affinities", kinds="fu", dims=(3, 4))
    _check_pair(values, labels)
    dims = len(labels.shape)
    steps = [step[3 - dims :] for step in offsets_of(offsets, dims)]
    if len(steps) != values.shape[0]:
        raise ValueError(f"offsets must be one per channel of affinities ({values.shape[0]}), got {len(steps)}")
    nm = spacing_of(spacing, dims)
    low, high = _core_of(core, labels.shape)
    begin = _ints_of(origin, "origin", dims, (0,) * dims)
    whole = _ints_of(whole_shape, "whole_shape", dims, tuple(np.add(begin, labels.shape).tolist()))
    for b, n, w in zip(begin, labels.shape, whole, strict=True):
        if b < 0 or b + n > w:
            raise ValueError(
                f"the array at origin {begin} with shape {labels.shape} must lie within whole_shape, got {whole}"
            )
    if math.prod(whole) * values.shape[0] >= 2**63:
        raise ValueError(f"whole_shape must hold fewer than 2**63 voxel edges, got {whole}")
    _check_halo(steps, low, high, begin, labels.shape, whole)
    pad = [0] * (3 - dims)
    result = labels.native.region_graph(
        labels.library,
        labels.array,
        values.array,
        [[*pad, *step] for step in steps],
        [*pad, *low],
        [*([1] * (3 - dims)), *high],
        [*pad, *begin],
        [*([1] * (3 - dims)), *whole],
        labels.dtype.kind == "i",
        bool(histogram),
    )
    if isinstance(result, int):
        channels = values.shape[0]
        place = (result % channels, *(int(i) for i in np.unravel_index(result // channels, labels.shape)))
        came = labels.library.to_numpy(values.array)[place]
        raise ValueError(f"affinities must be from 0 to 1, got {came} at {place}")
    to_numpy = labels.library.to_numpy
    edges, counts, sums, low_value, high_value, faces, ids, nodes, sizes = map(to_numpy, result[:9])
    starts, bins, bin_counts = map(to_numpy, result[9:]) if histogram else (None, None, None)
    names = ids_of(nodes, labels.dtype)
    box_starts, box_stops = _boxes(fragments, names, low, high, begin, whole) if boxes else (None, None)
    graph = RegionGraph(
        edges=ids_of(edges, labels.dtype),
        counts=counts,
        sums=sums,
        minima=low_value,
        maxima=high_value,
        faces=faces if dims == 3 else np.ascontiguousarray(faces[:, 1:]),
        ids=ids,
        nodes=names,
        sizes=sizes,
        box_starts=box_starts,
        box_stops=box_stops,
        unit=255 if values.dtype == np.uint8 else 2**24,
        spacing=nm,
        starts=starts,
        bins=bins,
        bin_counts=bin_counts,
    )
    graph._library = labels.library
    return graph


def open_fragments(
    fragments: Any,
    *,
    core: Sequence[slice] | None = None,
    origin: Sequence[int] | None = None,
    whole_shape: Sequence[int] | None = None,
    offsets: Sequence[Sequence[int]] = NEAREST,
    sides: Sequence[tuple[int, str]] | None = None,
) -> np.ndarray:
    """The fragments of a block about which other blocks may know more, for :func:`emfast.agglomerate_block`.

    Those with a voxel outside the core, or as near to a face of the core as the offsets are long, where the whole
    volume goes on beyond that face. Fragments must be connected, as those of a watershed are.

    Parameters
    ----------
    fragments, core, origin, whole_shape, offsets
        As given to :func:`region_graph`.
    sides : sequence of (axis, "<" or ">"), optional
        Only of these faces, before and after the core. Default: all.

    Returns
    -------
    (n,) labels, ascending

    Examples
    --------
    >>> import emfast, numpy as np
    >>> fragments = np.array([[1, 1, 2, 3, 3]], np.uint32)
    >>> emfast.open_fragments(fragments, whole_shape=(1, 9)).tolist()
    [3]
    """
    taken = take(fragments, "fragments", kinds="biu")
    labels = taken.library.to_numpy(taken.array)
    dims = labels.ndim
    low, high = _core_of(core, labels.shape)
    begin = _ints_of(origin, "origin", dims, (0,) * dims)
    whole = _ints_of(whole_shape, "whole_shape", dims, tuple(np.add(begin, labels.shape).tolist()))
    steps = np.abs([step[3 - dims :] for step in offsets_of(offsets, dims)])
    found = [np.zeros(0, labels.dtype)]
    for axis in range(dims):
        reach = max(1, int(steps[:, axis].max(initial=1)))
        first = low[axis] + (reach if begin[axis] + low[axis] > 0 else 0)
        last = high[axis] - (reach if begin[axis] + high[axis] < whole[axis] else 0)
        along = [slice(None)] * dims
        for side, part in (("<", slice(0, first)), (">", slice(max(last, 0), None))):
            if sides is not None and (axis, side) not in sides:
                continue
            along[axis] = part
            found.append(unique(labels[tuple(along)]))
    ids: np.ndarray = np.unique(np.concatenate(found))
    return ids[ids != 0]


def _boxes(
    fragments: Any,
    nodes: np.ndarray,
    low: tuple[int, ...],
    high: tuple[int, ...],
    origin: tuple[int, ...],
    whole: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    starts = np.tile(np.array(whole, np.int64), (len(nodes), 1))
    stops = np.zeros_like(starts)
    if all(a < b for a, b in zip(low, high, strict=True)):
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        found = statistics((np.asarray(fragments) if isinstance(fragments, list) else fragments)[inside])
        rows = np.searchsorted(nodes, found.label.astype(nodes.dtype, copy=False))
        shift = np.add(low, origin)
        starts[rows], stops[rows] = found.start + shift, found.stop + shift
    return starts, stops


def _check_pair(values: Operand, labels: Operand) -> None:
    if values.dtype not in (np.uint8, np.float16, np.float32):
        raise TypeError(f"affinities must be uint8, float16 or float32, got {values.dtype}")
    if values.shape[1:] != labels.shape:
        raise ValueError(
            f"affinities must have the shape (channels, *fragments.shape), here (…, {str(labels.shape)[1:]}, "
            f"got {values.shape}"
        )
    if not values.meets(labels):
        raise ValueError("affinities and fragments must live on one device, and in one stream")


def _ints_of(values: Any, name: str, dims: int, default: tuple[int, ...]) -> tuple[int, ...]:
    if values is None:
        return default
    try:
        out = tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{name} must be {dims} integers, got {values!r}") from None
    if len(out) != dims:
        raise ValueError(f"{name} must have one integer per axis ({dims}), got {values!r}")
    return out


def _core_of(core: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if core is None:
        return (0,) * len(shape), shape
    parts = tuple(core) if isinstance(core, Sequence) else (core,)
    if len(parts) != len(shape) or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
        raise ValueError(f"core must be a slice of step 1 per axis ({len(shape)}), got {core!r}")
    ranges = [p.indices(n) for p, n in zip(parts, shape, strict=True)]
    low = tuple(r[0] for r in ranges)
    return low, tuple(max(r[0], r[1]) for r in ranges)


def _check_halo(
    steps: Sequence[Sequence[int]],
    low: Sequence[int],
    high: Sequence[int],
    origin: Sequence[int],
    shape: Sequence[int],
    whole: Sequence[int],
) -> None:
    """Every voxel of the whole volume that a voxel edge of the core ends at must be in the array."""
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    for step in steps:
        for axis, (o, a, b, start, n, w) in enumerate(zip(step, low, high, origin, shape, whole, strict=True)):
            before = a + o < 0 and min(b - 1 + o, -1) >= -start
            after = b - 1 + o >= n and max(a + o, n) < w - start
            if before or after:
                raise ValueError(
                    f"the array must go on beyond core as far as offset {tuple(step)} is long, "
                    f"got {a if before else n - b} voxels {'before' if before else 'after'} it on axis {axis}"
                )


def contracted(graph: RegionGraph, ends: np.ndarray, names: np.ndarray, kept: np.ndarray) -> RegionGraph:
    """The graph of segments: each node has the name of one, and whether that one is kept; the ends of edges as places
    among the nodes."""
    edges = np.sort(names[ends], axis=1)
    inside = kept[ends].all(axis=1) & (edges[:, 0] != edges[:, 1])
    by_node: dict[str, Any] = {name: getattr(graph, name) for name in _PER_NODE} | {"nodes": names}
    by_node = {name: None if values is None else values[kept] for name, values in by_node.items()}
    part = replace(replace(graph, edges=edges), **by_node)
    return _total([replace(part, **_edges_of(part, inside))], np.maximum)


def _edges_of(graph: RegionGraph, kept: np.ndarray) -> dict[str, Any]:
    """The arrays of some edges, given as bools."""
    rows = {name: getattr(graph, name)[kept] for name in ("edges", *_PER_EDGE)}
    if graph.starts is None or graph.bins is None or graph.bin_counts is None:
        return rows
    lengths = np.diff(graph.starts)
    inside = np.repeat(kept, lengths)
    starts = np.r_[0, np.cumsum(lengths[kept])]
    return rows | {"starts": starts, "bins": graph.bins[inside], "bin_counts": graph.bin_counts[inside]}


def _total(parts: Sequence[RegionGraph], ids: np.ufunc = np.minimum) -> RegionGraph:
    first = parts[0]

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    edges = together("edges")
    order = _order_of(edges)
    edges = edges[order]
    begins = np.flatnonzero(np.r_[True, (edges[1:] != edges[:-1]).any(axis=1)][: len(edges)])

    def fold(name: str, by: np.ufunc) -> np.ndarray:
        values = together(name)[order]
        return by.reduceat(values, begins, axis=0) if len(begins) else values

    nodes = together("nodes")
    among = np.argsort(nodes, kind="stable")  # quick where each part is sorted
    nodes = nodes[among]
    heads = np.flatnonzero(np.r_[True, nodes[1:] != nodes[:-1]][: len(nodes)])

    def gather(name: str, by: np.ufunc) -> np.ndarray:
        values = together(name)[among]
        return by.reduceat(values, heads, axis=0) if len(heads) else values

    sizes = gather("sizes", np.add)
    box_starts = box_stops = None
    if first.has_boxes:
        box_starts, box_stops = gather("box_starts", np.minimum), gather("box_stops", np.maximum)
    starts = bins = bin_counts = None
    if first.has_histograms:
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(order)]))
        lengths = np.concatenate([np.diff(part.starts) for part in parts if part.starts is not None])
        keys, where = np.unique(np.repeat(row_of, lengths) * 256 + together("bins"), return_inverse=True)
        bin_counts = np.zeros(len(keys), np.int64)
        np.add.at(bin_counts, where, together("bin_counts"))
        bins = (keys & 255).astype(np.uint8)
        starts = np.searchsorted(keys, np.arange(len(begins) + 1) * 256).astype(np.int64)
    total = RegionGraph(
        edges=edges[begins],
        counts=fold("counts", np.add),
        sums=fold("sums", np.add),
        minima=fold("minima", np.minimum),
        maxima=fold("maxima", np.maximum),
        faces=fold("faces", np.add),
        ids=fold("ids", ids),
        nodes=nodes[heads],
        sizes=sizes,
        box_starts=box_starts,
        box_stops=box_stops,
        unit=first.unit,
        spacing=first.spacing,
        starts=starts,
        bins=bins,
        bin_counts=bin_counts,
    )
    total._library = first._library
    return total


def _order_of(edges: np.ndarray) -> np.ndarray:
    """The order that sorts pairs, those of equal ones kept; by one key where two ids fit it, which is quicker."""
    if edges.size and int(edges.min()) >= 0 and int(edges.max()) < 2**32:
        return np.argsort(edges[:, 0].astype(np.uint64) << np.uint64(32) | edges[:, 1].astype(np.uint64), kind="stable")
    return np.lexsort((edges[:, 1], edges[:, 0]))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)


__all__ = ["RegionGraph", "open_fragments", "region_graph"]
