"""Agglomeration: segments merged best score first, and the tree of all merges, from which any threshold is a cut."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from . import _store
from ._arrays import fetch, take
from ._checks import checked_graph, checked_tree
from ._ids import cast_exactly, find, ids_from, places_of
from ._options import integer_of, number_of
from .graphs import RegionGraph, contracted
from .labels import unique

_FORMAT = "emfast merge tree 1"
_SCHEDULES = ("any", "chains", "queue")
_SCORES = {"mean": 0, "max": 1, "min": 2, "quantile": 3, "absolute": 4, "sum": 5, "formula": 6}
_TABLES = {"fragments": ("fragments",), "merges": ("a", "b", "scores", "ids", "sums", "counts")}
_REDUCIBLE = ("mean", "max", "min", "quantile", "absolute")
_LONGEST = 1000  # characters of a formula, and so of what it nests
_NAMED = {"mean_by_size": "mean * (1 / smaller + 1 / larger)", "mean_by_contact": "mean * sqrt(contact)"}


@dataclass(eq=False, repr=False)
class MergeTree:
    """All merges of an agglomeration in their order; made by :func:`emfast.agglomerate`.

    A segment is named after its smallest fragment. Merge i joins the segments ``a[i]`` and ``b[i]``, as they are then,
    to one named ``a[i]``.

    Attributes
    ----------
    fragments : (m,) labels, ascending: all fragments of the graph
    a, b : (n,) labels, a < b
    scores : (n,) float64, of each merge; infinite for pairs that had to be merged
    ids : (n,) int64, the id of the merged edge; -1 for pairs that had to be merged
    sums, counts : (n,) int64
        With the score ``"mean"`` the exact quotient: the sum over the merged edge on the grid of the graph (see
        :class:`RegionGraph`), and its voxel edges; else 0.
    """

    fragments: np.ndarray
    a: np.ndarray
    b: np.ndarray
    scores: np.ndarray
    ids: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        """The number of merges."""
        return len(self.a)

    def __repr__(self) -> str:
        return f"MergeTree of {len(self.fragments)} fragments and {len(self)} merges"

    def __eq__(self, other: object) -> bool:
        """Equal in every array, dtypes included."""
        if not isinstance(other, MergeTree):
            return NotImplemented
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)

    __hash__ = None  # type: ignore[assignment]

    @property
    def heights(self) -> np.ndarray:
        """(n,) float64, the scores made to fall: each the smallest so far."""
        heights: np.ndarray = np.minimum.accumulate(self.scores) if len(self) else self.scores
        return heights

    def cut(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Which segment each fragment belongs to when merging stops below a threshold.

        Parameters
        ----------
        threshold : float
            The first merge with a lower score is the end.

        Returns
        -------
        fragments, segments : (m,) labels
            A table for :func:`emfast.remap`; segments are named after their smallest fragments.

        Examples
        --------
        >>> import emfast, numpy as np
        >>> fragments = np.array([[1, 2, 3, 4]], np.uint32)
        >>> affinities = np.array([[[0, 0, 0, 0]], [[0, 0.9, 0.2, 0.6]]], np.float32)
        >>> tree = emfast.agglomerate(emfast.region_graph(affinities, fragments))
        >>> emfast.remap(fragments, tree.cut(0.5))
        array([[1, 1, 3, 3]], dtype=uint32)
        """
        return self.after(self._merges_at(threshold))

    def cut_many(self, thresholds: Iterable[float]) -> list[tuple[np.ndarray, np.ndarray]]:
        """The cuts at several thresholds, in their order."""
        return [self.cut(threshold) for threshold in thresholds]

    def after(self, merges: int) -> tuple[np.ndarray, np.ndarray]:
        """The table of fragments and segments after so many merges."""
        merges = integer_of(merges, "merges", 0, len(self))
        parents = np.arange(len(self.fragments))
        parents[self._numbers(self.b[:merges])] = self._numbers(self.a[:merges])
        while True:  # parents are smaller, so this ends; each round halves the way to the root
            above = parents[parents]
            if np.array_equal(above, parents):
                return self.fragments, self.fragments[parents]
            parents = above

    def relabel(self, volume: Any, threshold: float, *, missing: Any = 0) -> Any:
        """The segments of a volume of fragments at a threshold: :func:`emfast.remap` by :meth:`cut`."""
        from .labels import remap

        return remap(volume, self.cut(threshold), missing=missing)

    def check(self) -> MergeTree:
        """The tree if its arrays fit together, of other dtypes turned to those above where that changes no value.

        :meth:`load` and :meth:`curve` check by themselves.

        Returns
        -------
        MergeTree
            This one if nothing had to be turned. TypeError and ValueError name the array that is wrong.
        """
        return checked_tree(self)[0]

    def curve(self, contingency: Any) -> dict[str, np.ndarray]:
        """Variation of information and adapted Rand error after every merge, in one pass.

        Parameters
        ----------
        contingency : Contingency, or (fragments, truths, counts), three arrays of one length
            How many voxels each fragment shares with each true object: the table of
            ``emfast.contingency(truth, fragments)``, fragments as the labels, or its pairs the other way round. Rows
            of truth 0 are left out; a fragment that the tree does not know (0, say) is a segment of its own that is
            never merged.

        Returns
        -------
        dict of (n + 1,) float64
            ``"threshold"``: inf, then the height of each merge: :meth:`cut` there gives this merge and all with the
            same height; ``"split"`` and ``"merge"``: conditional entropies in bits, of objects cut into parts and of
            segments with several objects; ``"rand"``: one minus the F-score of pairs of voxels.

        Examples
        --------
        >>> import emfast, numpy as np
        >>> fragments = np.array([[1, 2, 3, 4]], np.uint32)
        >>> affinities = np.array([[[0, 0, 0, 0]], [[0, 0.9, 0.2, 0.6]]], np.float32)
        >>> tree = emfast.agglomerate(emfast.region_graph(affinities, fragments))
        >>> truth = np.array([[7, 7, 8, 8]])
        >>> curve = tree.curve(emfast.contingency(truth, fragments))
        >>> (curve["split"] + curve["merge"]).tolist()
        [1.0, 0.5, 0.0, 1.0]
        """
        from .metrics.tables import Contingency  # whose package imports nearly all others

        if isinstance(contingency, Contingency):
            truths, fragments, counts = contingency.pairs
            contingency = fragments, truths, counts
        parts = tuple(contingency)
        if len(parts) != 3:
            raise ValueError(f"contingency must be (fragments, truths, counts), got {len(parts)} arrays")
        names = ("fragments", "truths", "counts")
        fragments, truths, counts = (
            ids_from(part, f"contingency's {name}") for name, part in zip(names, parts, strict=True)
        )
        if not fragments.shape == truths.shape == counts.shape or fragments.ndim != 1:
            lengths = f"{fragments.size}, {truths.size} and {counts.size}"
            raise ValueError(f"contingency must be three arrays of one length, got {lengths}")
        if (counts < 0).any() or counts.sum(dtype=np.float64) >= 2.0**62:
            raise ValueError("contingency's counts must not be negative, and fewer than 2**62 in all")
        fragments, truths, counts = (part[truths != 0] for part in (fragments, truths, counts))
        _, a, b = checked_tree(self)
        places, there = find(fragments, self.fragments)
        others, rows = np.unique(fragments[~there], return_inverse=True)  # segments of their own
        places = places.astype("u4")
        places[~there] = len(self.fragments) + rows
        objects, truth = np.unique(truths, return_inverse=True)
        library = (anchor := take(np.zeros(1, "u4"), "fragments", dims=(1,))).library
        split, merge, rand = anchor.native.agglomerate_curve(
            library,
            len(self.fragments) + len(others),
            len(objects),
            places,
            truth.astype("u4").ravel(),
            counts.astype("i8"),
            a.astype("u4"),
            b.astype("u4"),
        )
        return {"threshold": np.r_[math.inf, self.heights], "split": split, "merge": merge, "rand": rand}

    def to_scipy(self) -> np.ndarray:
        """A linkage matrix as :mod:`scipy.cluster.hierarchy` reads it.

        Returns
        -------
        (m - 1, 4) float64
            Distances are the first height less each height, so they rise from 0. Segments that the tree leaves apart
            are joined at infinite distance, in the order of their names.
        """
        n, rows = len(self.fragments), []
        cluster, size = list(range(n)), [1] * n
        heights = np.where(np.isinf(self.heights), np.nan, self.heights)
        top = np.nanmax(heights) if np.isfinite(heights).any() else 0.0
        distances = np.nan_to_num(top - heights, nan=0.0)
        for i, j, distance in zip(
            self._numbers(self.a).tolist(), self._numbers(self.b).tolist(), distances.tolist(), strict=True
        ):
            rows.append((cluster[i], cluster[j], distance, size[i] + size[j]))
            size[i] += size[j]
            cluster[i] = n + len(rows) - 1
        left = np.ones(n, bool)
        left[self._numbers(self.b)] = False
        first, *others = np.flatnonzero(left).tolist() or [0]
        for j in others:
            rows.append((cluster[first], cluster[j], math.inf, size[first] + size[j]))
            size[first] += size[j]
            cluster[first] = n + len(rows) - 1
        return np.array(rows, np.float64).reshape(-1, 4)

    # ---- blocks

    @staticmethod
    def total(trees: Iterable[MergeTree]) -> MergeTree:
        """The merges of several trees in one order: those of blocks, and of what they left.

        Parameters
        ----------
        trees : MergeTrees of one reducible score, at least one
            See :func:`agglomerate_block`.

        Returns
        -------
        MergeTree
        """
        parts = list(trees)
        if not parts:
            raise ValueError("trees must hold at least one MergeTree, got none")
        for part in parts:
            if not isinstance(part, MergeTree):
                raise TypeError(f"trees must be MergeTrees, got {type(part).__name__}")
            if part.fragments.dtype != parts[0].fragments.dtype:
                dtypes = f"{parts[0].fragments.dtype} and {part.fragments.dtype}"
                raise ValueError(f"trees must agree in the dtype of fragments, got {dtypes}")

        def together(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        scores, ids, sums, counts = map(together, ("scores", "ids", "sums", "counts"))
        order = np.lexsort((ids, -scores))
        # Quotients may differ where doubles do not; such runs are put in order by cross products.
        near = np.flatnonzero(np.diff(scores[order]) == 0) if len(order) > 1 else np.zeros(0, np.int64)
        p, q = order[near], order[near + 1]
        unlike = near[(sums[p].astype(object) * counts[q] != sums[q].astype(object) * counts[p]).astype(bool)]
        for start in unlike.tolist():
            run = np.flatnonzero(scores[order] == scores[order[start]])
            order[run] = sorted(order[run].tolist(), key=lambda i: (-_quotient(sums[i], counts[i]), ids[i]))
        fragments, a, b = unique(together("fragments")), together("a")[order], together("b")[order]
        ends = np.bincount(places_of(b, fragments, "trees must merge their own fragments"), minlength=len(fragments))
        if (ends > 1).any():
            raise ValueError(f"trees must be of different blocks, got several that merge {fragments[ends > 1][0]}")
        return MergeTree(fragments, a, b, *(values[order] for values in (scores, ids, sums, counts)))

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or after its ending a Zarr group (``.zarr``)
        or a folder of Parquet tables (``.parquet``) with the fragments and the merges."""
        _store.save(path, _FORMAT, {f.name: getattr(self, f.name) for f in fields(self)}, _TABLES)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> MergeTree:
        """Read what :meth:`save` wrote."""
        arrays = _store.load(path, _FORMAT, "MergeTree.save", (f.name for f in fields(MergeTree)))
        with _store.naming(path, "MergeTree.save"):
            return MergeTree(**arrays).check()

    # ---- inside

    def _merges_at(self, threshold: float) -> int:
        """How many merges come before the first with a score below the threshold."""
        return int(np.searchsorted(-self.heights, -number_of(threshold, "threshold"), side="right"))

    def _numbers(self, labels: np.ndarray) -> np.ndarray:
        return places_of(labels, self.fragments, "a tree must merge its own fragments")


def agglomerate(
    graph: RegionGraph,
    *,
    score: str = "mean",
    until: float | None = None,
    weights: Any = None,
    must_link: Any = (),
    cannot_link: Any = (),
    seeds: Mapping[int, int] | None = None,
    big_size: int | None = None,
    big_score: float = 1.0,
    constrained: bool = False,
) -> MergeTree:
    """Merge the two segments with the best score, again and again.

    Edges are ordered by score, descending, and among equals by id, ascending. When a merge makes two edges one, it
    keeps the larger id. Scores named below without an asterisk are compared exactly, so the tree does not depend on
    threads, device or blocks.

    Parameters
    ----------
    graph : RegionGraph
        One that was made of affinities on a device is agglomerated there, where score and rules allow.
    score : str
        - ``"mean"``, ``"min"``, ``"max"`` of the affinities between two segments;
        - ``"median"`` or ``"quantile:0.75"``, of graphs with histograms (see :meth:`RegionGraph.quantiles`);
        - ``"absolute"``: the weight of largest magnitude; with signed weights the mutex watershed;
        - ``"sum"`` (not reducible): with signed weights greedy additive edge contraction;
        - a formula* of ``mean``, ``min``, ``max``, ``sum``, ``median``, ``quantile(0.75)``, ``contact`` (voxel edges),
          ``smaller`` and ``larger`` (the two segments' voxels), with ``+ - * /``, ``sqrt``, ``least(x, y)``,
          ``greatest(x, y)``, ``step(x)`` (1 above 0, else 0) and numbers; in double precision. A formula without value
          (0 / 0) is worst. Not reducible, so taken strictly in order, and slower; with ``smaller`` or ``larger`` much
          slower, for every merge gives new scores to all edges of a segment;
        - ``"mean_by_size"``* is ``"mean * (1 / smaller + 1 / larger)"``, ``"mean_by_contact"``* is
          ``"mean * sqrt(contact)"``.
    until : float, optional
        Merge while the score is not below. Default: 0, and with ``weights`` while it is positive.
    weights : (n,) array of floats, optional
        One per edge, in the place of the affinities, signed ones welcome: the family of GASP with ``"mean"`` (average,
        weighted by ``graph.counts``), ``"sum"``, ``"absolute"``, ``"max"`` and ``"min"``. For the mean and the sum they
        are rounded to multiples of 2**-24.
    must_link, cannot_link : (k, 2) fragments
        Pairs that are merged first, touching or not; pairs whose segments are never merged.
    seeds : mapping from fragments to ids, optional
        Fragments of one id are merged first, segments with different ids never.
    big_size, big_score
        Two segments with ``big_size`` voxels or more each are merged only if their score is ``big_score`` or more.
    constrained : bool
        With ``weights``: edges are taken by magnitude, and one that is not positive parts its two segments for good
        (GASP with cannot-link constraints).

    Returns
    -------
    MergeTree

    References
    ----------
    Müllner, "Modern hierarchical, agglomerative clustering algorithms", arXiv:1109.2378.
    Bailoni et al., "GASP", arXiv:1906.11713.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> fragments = np.array([[1, 2, 3, 4]], np.uint32)
    >>> affinities = np.array([[[0, 0, 0, 0]], [[0, 0.75, 0.25, 0.5]]], np.float32)
    >>> tree = emfast.agglomerate(emfast.region_graph(affinities, fragments))
    >>> list(zip(tree.a.tolist(), tree.b.tolist(), tree.scores.tolist()))
    [(1, 2, 0.75), (3, 4, 0.5), (1, 3, 0.25)]
    """
    return _agglomerate(
        *_checked(graph),
        score=score,
        until=until,
        weights=weights,
        must_link=must_link,
        cannot_link=cannot_link,
        seeds=seeds,
        big_size=big_size,
        big_score=big_score,
        constrained=constrained,
    )


def agglomerate_block(
    graph: RegionGraph,
    open_fragments: Any,
    *,
    score: str = "mean",
    until: float | None = None,
    big_size: int | None = None,
    big_score: float = 1.0,
) -> tuple[MergeTree, RegionGraph]:
    """Merge within a block what nothing outside can influence, and hand on the rest.

    Two segments are merged if each is the other's best, and both are whole: they hold none of the open fragments.
    Scores are reducible, so whatever happens outside, the two stay each other's best. The graphs that blocks leave
    add up, level by level if there are many; the last is agglomerated as it is, and the total of all trees is the tree
    of the whole volume.

    Parameters
    ----------
    graph : RegionGraph
        Of a block (:func:`region_graph` with ``core``), or the sum of what blocks left.
    open_fragments : array of fragments
        Those about which others may know more: :func:`open_fragments`. Fragments of the halo that the graph does not
        have may be among them.
    score, until, big_size, big_score
        As of :func:`agglomerate`, the same for all blocks; a reducible score.

    Returns
    -------
    tree : MergeTree
    rest : RegionGraph
        Of the segments that may yet be merged, each named after its smallest fragment. One that is whole and has no
        edge with a score of ``until`` or more never will be: it is left out with all its edges, for joined with others
        these are no better. So a high ``until`` makes small graphs.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> fragments = np.array([[1, 2, 3, 4, 5, 6]], np.uint32)
    >>> affinities = np.array([[[0, 0, 0, 0, 0, 0]], [[0, 0.9, 0.5, 0.7, 0.4, 0.8]]], np.float32)
    >>> trees, rests = [], []
    >>> for part, core in ((slice(0, 3), slice(0, 3)), (slice(2, 6), slice(1, 4))):
    ...     block = dict(core=(slice(0, 1), core), origin=(0, part.start), whole_shape=(1, 6))
    ...     graph = emfast.region_graph(affinities[..., part], fragments[:, part], **block)
    ...     tree, rest = emfast.agglomerate_block(graph, emfast.open_fragments(fragments[:, part], **block))
    ...     trees.append(tree)
    ...     rests.append(rest)
    >>> [len(tree) for tree in trees]
    [1, 1]
    >>> last = emfast.agglomerate(rests[0] + rests[1])
    >>> emfast.MergeTree.total([*trees, last]) == emfast.agglomerate(emfast.region_graph(affinities, fragments))
    True
    """
    if not is_reducible(score):
        raise ValueError(f"score must be reducible in blocks: mean, min, max, median or a quantile, got {score!r}")
    graph, ends = _checked(graph)
    ids = ids_from(open_fragments, "open_fragments")
    ids, held = cast_exactly(ids, graph.nodes.dtype)
    tree, pending = _agglomerated(
        graph,
        ends,
        score=score,
        until=until,
        weights=None,
        must_link=(),
        cannot_link=(),
        seeds=None,
        big_size=big_size,
        big_score=big_score,
        constrained=False,
        frozen=np.isin(graph.nodes, ids[held]),
    )
    fragments, segments = tree.after(len(tree))
    if big_size is not None:  # what is too big for one edge may not be for that edge and another together
        pending[:] = True
    return tree, contracted(graph, ends, segments, pending[find(segments, fragments)[0]])


def _checked(graph: Any) -> tuple[RegionGraph, np.ndarray]:
    if not isinstance(graph, RegionGraph):
        raise TypeError(f"graph must be a RegionGraph, got {type(graph).__name__}")
    return checked_graph(graph)


def _agglomerate(graph: RegionGraph, ends: np.ndarray, **rules: Any) -> MergeTree:
    return _agglomerated(graph, ends, **rules)[0]


def _agglomerated(
    graph: RegionGraph,
    ends: np.ndarray,
    *,
    score: str,
    until: float | None,
    weights: Any,
    must_link: Any,
    cannot_link: Any,
    seeds: Mapping[int, int] | None,
    big_size: int | None,
    big_score: float,
    constrained: bool,
    frozen: np.ndarray | None = None,
    schedule: str = "any",
) -> tuple[MergeTree, np.ndarray]:
    """As :func:`agglomerate`, of what :func:`_checked` gives; ``frozen`` (bool per node) are not merged; ``schedule``
    is for tests. With the tree, where nodes are frozen, for each node whether it names a segment that may yet be
    merged."""
    kind, quantile, program = _parse(score)
    if kind not in ("mean", "max", "min", "absolute", "sum") and weights is not None:
        raise ValueError(f"weights go with the scores mean, max, min, absolute and sum, got {score!r}")
    if kind == "absolute" and weights is None:
        raise ValueError("score 'absolute' needs signed weights")
    if constrained and weights is None:
        raise ValueError("constrained=True needs signed weights")
    if big_size is not None:
        big_size = integer_of(big_size, "big_size", -(2**62), 2**62)
    if until is None:
        until = 0.0 if weights is None else math.ulp(0.0)
    until, big_score = number_of(until, "until"), number_of(big_score, "big_score")
    if seeds is not None and not isinstance(seeds, Mapping):
        raise TypeError(f"seeds must be a mapping from fragments to ids, got {type(seeds).__name__}")
    needs_bins = needs_histograms(score)
    if needs_bins and not graph.has_histograms:
        raise ValueError(f"score {score!r} needs a graph with histograms: make it with histogram=True")
    sums, counts, low, high = graph.sums, graph.counts, None, None
    unit = float(graph.unit)
    if weights is not None:
        low = high = _weights(weights, len(graph))
        sums, unit = _on_grid(low, counts if kind == "mean" else None), 2.0**24
    elif kind in ("max", "min", "formula"):
        steps = 255.0 if graph.unit == 255 else 1.0
        low, high = (values.astype(np.float64) / steps for values in (graph.minima, graph.maxima))
    must = [*_pairs(must_link, "must_link", graph.nodes)]
    cannot = [*_pairs(cannot_link, "cannot_link", graph.nodes)]
    if any(a == b for a, b in zip(cannot[::2], cannot[1::2], strict=True)):
        raise ValueError("cannot_link must pair different fragments, got one with itself")
    groups = None
    if seeds:
        groups = np.zeros(len(graph.nodes), "u4")
        places = _places(list(seeds), "seeds", graph.nodes)
        _, groups[places] = np.unique(ids_from(list(seeds.values()), "the ids of seeds"), return_inverse=True)
        groups[places] += 1
        order = places[np.argsort(groups[places], kind="stable")]
        same = groups[order[1:]] == groups[order[:-1]]
        must += np.stack([order[:-1][same], order[1:][same]], 1).ravel().tolist()
    bins = (graph.starts, graph.bins, graph.bin_counts) if needs_bins else (None, None, None)
    arrays = [
        ends.astype("u4", copy=False),
        graph.ids,
        sums,
        counts,
        low,
        high,
        *bins,
        graph.sizes,
        groups,
        None if frozen is None else frozen.astype("u1"),
    ]
    library = graph._library
    merges = library.native().agglomerate(
        library,
        len(graph.nodes),
        len(graph),
        [None if array is None else library.from_numpy(array) for array in arrays],
        _SCORES[kind],
        quantile,
        program,
        unit,
        until,
        -1 if big_size is None else max(0, big_size),
        big_score,
        bool(constrained),
        _SCHEDULES.index(schedule),
        must,
        cannot,
    )
    a, b, scores, rows, merged_sums, merged_counts, pending = map(library.to_numpy, merges)
    known = rows >= 0
    ids = np.full(len(rows), -1, np.int64)
    ids[known] = graph.ids[rows[known]]
    tree = MergeTree(graph.nodes, graph.nodes[a], graph.nodes[b], scores, ids, merged_sums, merged_counts)
    return tree, pending.astype(bool)


# ---- what the user says, as the native modules read it

_WORDS = ["number", "mean", "sum", "contact", "min", "max", "quantile", "smaller", "larger"]
_WORDS += ["add", "subtract", "multiply", "divide", "negate", "sqrt", "least", "greatest", "step"]
_OPS = {word: i for i, word in enumerate(_WORDS)}  # enum Op of agglomerate.h
_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
_CALLS = {"sqrt": 1, "step": 1, "least": 2, "greatest": 2}


def needs_histograms(score: Any) -> bool:
    """Whether a score needs a graph with histograms; one that :func:`agglomerate` would refuse is refused."""
    kind, _, program = _parse(score)
    return kind == "quantile" or any(op == _OPS["quantile"] for op, _ in program)


def is_reducible(score: Any) -> bool:
    """Whether blocks may merge by a score; one that :func:`agglomerate` refuses is refused."""
    kind, _, _ = _parse(score)
    return kind in _REDUCIBLE and kind != "absolute"


def _parse(score: Any) -> tuple[str, tuple[int, int], list[tuple[int, float]]]:
    """The kind of score, the quantile as a fraction, and the program of a formula."""
    if not isinstance(score, str):
        raise TypeError(f"score must be a string, got {score!r}")
    if score in ("mean", "max", "min", "absolute", "sum"):
        return score, (1, 2), []
    if score == "median":
        score = "quantile:0.5"
    name, _, share = score.partition(":")
    if name == "quantile":
        from fractions import Fraction  # not at the top, for a quick start of the package

        try:
            q = Fraction(repr(float(share)) if "e" in share.lower() else share)  # 1e999999 would take for ever
        except (ValueError, ZeroDivisionError):
            q = Fraction(-1)
        if not 0 <= q <= 1 or q.denominator > 10**6:
            raise ValueError(f"score quantile:q needs q from 0 to 1 with at most six digits, got {score!r}")
        return "quantile", (q.numerator, q.denominator), []
    formula = _NAMED.get(score, score)
    if len(formula) > _LONGEST:
        raise ValueError(f"score must be a formula of at most {_LONGEST} characters, got {len(formula)}")
    try:
        program = _compile(ast.parse(formula, mode="eval").body)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"score must be a name or a formula of those in the documentation, got {score!r}") from error
    if len(program) > 31:
        raise ValueError(f"score must be a formula of at most 31 operations and terms, got {len(program)}")
    return "formula", (1, 2), program


def _compile(node: ast.AST) -> list[tuple[int, float]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        if not math.isfinite(node.value):
            raise ValueError(f"{node.value} is not finite")
        return [(_OPS["number"], float(node.value))]
    if isinstance(node, ast.Name) and node.id == "median":
        return [(_OPS["quantile"], 0.5)]
    if isinstance(node, ast.Name) and node.id in ("mean", "sum", "contact", "min", "max", "smaller", "larger"):
        return [(_OPS[node.id], 0.0)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [*_compile(node.operand), (_OPS["negate"], 0.0)]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return [*_compile(node.left), *_compile(node.right), (_OPS[_BINARY[type(node.op)]], 0.0)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "quantile" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
            q = node.args[0].value
            if isinstance(q, (int, float)) and 0 <= q <= 1:
                return [(_OPS["quantile"], float(q))]
        if _CALLS.get(node.func.id) == len(node.args):
            return [*(op for arg in node.args for op in _compile(arg)), (_OPS[node.func.id], 0.0)]
    raise ValueError(f"cannot read {ast.dump(node)}")


def _places(fragments: Any, name: str, nodes: np.ndarray) -> np.ndarray:
    """The places among the nodes of fragments that a user gave."""
    return places_of(ids_from(fragments, name), nodes, f"{name} must hold fragments of the graph")


def _pairs(pairs: Any, name: str, nodes: np.ndarray) -> list[int]:
    array = ids_from(pairs, name)
    if array.size == 0:
        return []
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} must be pairs of fragments, of shape (k, 2), got shape {array.shape}")
    places: list[int] = _places(array, name, nodes).ravel().tolist()
    return places


def _quotient(total: Any, count: Any) -> Any:
    from fractions import Fraction

    return Fraction(int(total), int(count)) if count else Fraction(0)


def _weights(weights: Any, n: int) -> np.ndarray:
    array, _ = fetch(weights, "weights")
    if array.dtype.kind not in "fiu" or array.shape != (n,):
        raise ValueError(f"weights must be one number per edge, of shape ({n},), got {array.dtype} {array.shape}")
    array = np.ascontiguousarray(array, np.float64)
    if not (np.abs(array) <= 2.0**20).all():
        raise ValueError("weights must be numbers of magnitude at most 2**20")
    return array


def _on_grid(weights: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Sums of weights in steps of 2**-24, to the nearest, halves up."""
    steps = np.floor(weights * 2.0**24 + 0.5).astype(np.int64)
    if counts is None:
        return steps
    if float(np.abs(steps).max(initial=0)) * float(counts.sum(dtype=np.float64)) >= 2.0**62:
        raise ValueError("weights times the voxel edges of the graph must stay below 2**38")
    return steps * counts


__all__ = ["MergeTree", "agglomerate", "agglomerate_block"]
