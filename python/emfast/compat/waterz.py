"""waterz's names on emfast: ``from emfast.compat import waterz``.

Fragments are those of waterz 0.10 to the voxel, and segments are named as there: after their smallest fragment. The
array that is yielded is the same one every time, with new contents; given ``fragments`` are that array and are written
to. Scoring functions are read, not compiled. Where results differ:

- Ties. Of edges with equal scores waterz takes what its heap or its bins happen to hold first; emfast the edge whose
  first voxel face comes first. Scores of quantiles have no more than 256 values, so that ties abound there and
  partitions differ in places; with means of float affinities they hardly ever do.
- Rounding. waterz adds affinities in float32, one after the other, emfast exactly. Two edges whose means differ by less
  than that rounding may come in the other order, and the scores that are returned differ in their last digits.
- ``discretize_queue`` is checked and not used: the order is that of the scores, which bins approximate.
- Scoring functions with sizes, or that are put together otherwise than ``OneMinus`` of a statistic, are computed in
  double precision and taken strictly in order. waterz looks at an edge anew only when it comes to the front, so that
  an edge that got better by a merge waits there until its old place.
- There are no counterparts of QuantileAffinity, of histograms with other than 256 bins, of MeanMaxKAffinity beyond
  K = 1 and of Random. A histogram that begins with the maximum (``true``, the default) goes with no mean, contact area
  or other histogram in one function.
- Affinities may be float16 and uint8 (0 to 255 as 0 to 1; thresholds are from 0 to 1 all the same, and quantiles are
  exact), and must be from 0 to 1 where they are read. ``aff_threshold_low`` must not be negative.
- The region graph is ordered by its fragments. In waterz 0.10.1 asking for it changes what comes after: it scores edges
  anew without moving them in the queue, so that merging stops short at the following thresholds.
- Nothing is printed. Metrics are sums in another order: their last digits may differ.
"""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import emfast
from emfast import MergeTree, RegionGraph
from emfast._options import number_of

__all__ = ["agglomerate", "evaluate"]

_MEAN = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"


def agglomerate(
    affs: np.ndarray,
    thresholds: Iterable[float],
    gt: np.ndarray | None = None,
    fragments: np.ndarray | None = None,
    aff_threshold_low: float = 0.0001,
    aff_threshold_high: float = 0.9999,
    return_merge_history: bool = False,
    return_region_graph: bool = False,
    scoring_function: str = _MEAN,
    discretize_queue: int = 0,
    force_rebuild: bool = False,
) -> Iterator[Any]:
    """Segment affinities at several thresholds.

    Parameters
    ----------
    affs : (c, z, y, x) array of float32, float16 or uint8
        The first three channels are the edges to the voxel before, along z, y and x.
    thresholds : floats
        Segments are merged while their score is less. They are taken in ascending order.
    gt : (z, y, x) array of integers, optional
        The truth, for metrics. What is 0 is not looked at.
    fragments : (z, y, x) array of uint64, optional
        In the place of the watershed's. It is written to; one that is not C-contiguous is copied and stays as it is.
    aff_threshold_low, aff_threshold_high : float
        Of the watershed.
    return_merge_history, return_region_graph : bool
    scoring_function : str
        A type of waterz: ``MeanAffinity``, ``MaxAffinity``, ``MinAffinity``, ``HistogramQuantileAffinity``,
        ``ContactArea``, ``MinSize``, ``MaxSize``, ``Constant``, and ``OneMinus``, ``Invert``, ``Square``, ``Add``,
        ``Subtract``, ``Multiply``, ``Divide``, ``Step`` of these.
    discretize_queue : int
        Not used.
    force_rebuild : bool
        Not used.

    Yields
    ------
    segmentation : (z, y, x) array of uint64
        The same array for each threshold.
    metrics : dict
        Only with ``gt``: V_Rand_split, V_Rand_merge, V_Info_split and V_Info_merge.
    merge_history : list of dict
        Only with ``return_merge_history``: a and b became c with this score, since the last threshold.
    region_graph : list of dict
        Only with ``return_region_graph``: edges between u and v, with their score.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import waterz
    >>> affs = np.zeros((3, 1, 1, 5), np.float32)
    >>> affs[2] = [0, 0.9, 0.2, 0.8, 0.1]
    >>> for segmentation, history in waterz.agglomerate(affs, [0.5, 0.85], return_merge_history=True):
    ...     print(segmentation.tolist(), [merge["score"] > 0.79 for merge in history])
    [[[1, 1, 2, 2, 2]]] []
    [[[1, 1, 1, 1, 1]]] [True]
    """
    _check_queue(discretize_queue)
    for name, array in (("affs", affs), ("gt", gt), ("fragments", fragments)):
        if not isinstance(array, np.ndarray) and (array is not None or name == "affs"):
            raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    shape = np.shape(affs)
    if len(shape) != 4 or shape[0] < 3:
        raise ValueError(f"affs must have the shape (channels, z, y, x), with at least 3 channels, not {shape}")
    for name, volume in (("gt", gt), ("fragments", fragments)):
        if volume is not None and np.shape(volume) != shape[1:]:
            raise ValueError(
                f"{name} must have the shape of the affinities without the channels, {shape[1:]}, "
                f"not {np.shape(volume)}"
            )
    if fragments is None and not 0 <= aff_threshold_low < aff_threshold_high:
        raise ValueError(
            f"aff_threshold_low ({aff_threshold_low}) must not be negative and smaller than aff_threshold_high "
            f"({aff_threshold_high})"
        )
    if affs.dtype not in (np.float32, np.float16, np.uint8):
        raise ValueError(f"affs must have the dtype float32, float16 or uint8, got {affs.dtype}")
    if fragments is not None:
        if fragments.dtype != np.uint64:
            raise ValueError(f"fragments must have the dtype uint64, got {fragments.dtype}")
        if not fragments.flags.writeable:
            raise ValueError("fragments are read-only, but the segmentation is written to them")
    return _segmentations(
        np.ascontiguousarray(affs[:3]),
        sorted(_thresholds(thresholds)),
        gt,
        None if fragments is None else np.ascontiguousarray(fragments),
        (float(aff_threshold_low), float(aff_threshold_high)),
        _read_score(scoring_function),
        return_merge_history,
        return_region_graph,
    )


def _thresholds(thresholds: Any) -> list[float]:
    if isinstance(thresholds, str) or not np.iterable(thresholds):
        raise TypeError(f"thresholds must be numbers, got {thresholds!r}")
    return [number_of(threshold, "thresholds") for threshold in thresholds]


def _segmentations(
    affs: np.ndarray,
    thresholds: list[float],
    gt: np.ndarray | None,
    fragments: np.ndarray | None,
    limits: tuple[float, float],
    score: _Score,
    with_history: bool,
    with_graph: bool,
) -> Iterator[Any]:
    missing: Any = "keep"
    segmentation = parts = fragments
    if parts is None:
        parts, missing = emfast.watershed(affs, low=limits[0], high=limits[1], plateau="waterz"), 0
    graph = score.prepare(emfast.region_graph(affs, parts, histogram=score.needs_bins))
    shared = None if gt is None else _overlaps(parts, gt)
    del affs
    tree, scores = score.merge(graph, max(thresholds, default=0.0))
    heights = np.maximum.accumulate(scores) if len(scores) else scores
    done = 0
    for threshold in thresholds:
        with np.errstate(over="ignore"):
            limit = np.float32(threshold)
        upto = max(done, int(np.searchsorted(heights, limit)))
        old, names = tree.after(upto)
        table = old, names.astype(np.uint64)
        if segmentation is None:
            segmentation = emfast.remap(parts, table, missing=missing)
        elif upto > done:  # of given fragments their own array, which holds names of before
            segmentation[...] = emfast.remap(parts, table, missing=missing)
        result: list[Any] = [segmentation]
        if shared is not None:
            result.append(_metrics(*_renamed(shared, table)))
        if with_history:
            result.append(_history(tree, scores, done, upto))
        if with_graph:
            result.append(_edges(graph.contract(table), score, limit))
        done = upto
        yield result[0] if len(result) == 1 else tuple(result)


def _history(tree: MergeTree, scores: np.ndarray, start: int, stop: int) -> list[dict[str, Any]]:
    rows = slice(start, stop)
    return [
        {"a": a, "b": b, "c": a, "score": score}
        for a, b, score in zip(tree.a[rows].tolist(), tree.b[rows].tolist(), scores[rows].tolist(), strict=True)
    ]


def _edges(graph: RegionGraph, score: _Score, limit: np.float32) -> list[dict[str, Any]]:
    scores = score.of(graph)
    return [
        {"u": u, "v": v, "score": score}
        for (u, v), score in zip(graph.edges.tolist(), scores.tolist(), strict=True)
        if not score < limit
    ]


# ---- metrics


def evaluate(segmentation: np.ndarray, gt: np.ndarray) -> dict[str, float]:
    """Compare a segmentation with the truth.

    Parameters
    ----------
    segmentation, gt : (z, y, x) arrays of uint64
        Where ``gt`` is 0, nothing is looked at; 0 of the segmentation is a segment.

    Returns
    -------
    dict
        rand_split, rand_merge; voi_split and voi_merge in bits.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import waterz
    >>> waterz.evaluate(np.array([[[1, 1, 2, 3]]], np.uint64), np.array([[[1, 1, 2, 2]]], np.uint64))
    {'voi_split': 0.5, 'voi_merge': 0.0, 'rand_split': 0.75, 'rand_merge': 1.0}
    """
    for name, array in (("segmentation", segmentation), ("gt", gt)):
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"Argument '{name}' has incorrect type (expected numpy.ndarray, got {type(array).__name__})"
            )
        if array.ndim != 3:
            raise ValueError(f"{name} has a wrong number of dimensions (expected 3, got {array.ndim})")
        if array.dtype != np.uint64:
            raise ValueError(f"{name} has a wrong dtype (expected uint64, got {array.dtype})")
    if segmentation.shape != gt.shape:
        raise ValueError(f"Shapes do not match: segmentation {segmentation.shape}, gt {gt.shape}")
    found = _metrics(*_overlaps(segmentation, gt))
    return {name: found[f"V_{long}"] for name, long in _NAMES.items()}


_NAMES = {
    "voi_split": "Info_split",
    "voi_merge": "Info_merge",
    "rand_split": "Rand_split",
    "rand_merge": "Rand_merge",
}


def _overlaps(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which labels lie on which objects, and on how many voxels; by object, then by label. Object 0 is left out."""
    rows, columns = emfast.unique(truth), emfast.unique(labels)
    keys = emfast.remap(truth, (rows, np.arange(len(rows), dtype=np.uint64) * np.uint64(len(columns))))
    keys += emfast.remap(labels, (columns, np.arange(len(columns), dtype=np.uint64)))
    pairs, counts = emfast.unique(keys, counts=True)
    objects = rows[pairs // np.uint64(max(1, len(columns)))]
    known = objects != 0
    return columns[pairs % np.uint64(max(1, len(columns)))][known], objects[known], counts[known]


def _renamed(
    shared: tuple[np.ndarray, np.ndarray, np.ndarray], table: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The overlaps of segments, from those of fragments."""
    labels, truth, counts = shared
    labels = emfast.remap(labels, table, missing="keep")
    order = np.lexsort((labels, truth))
    labels, truth, counts = labels[order], truth[order], counts[order]
    begins = np.flatnonzero(np.r_[True, (labels[1:] != labels[:-1]) | (truth[1:] != truth[:-1])][: len(labels)])
    return labels[begins], truth[begins], np.add.reduceat(counts, begins) if len(begins) else counts


def _metrics(labels: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    total = float(counts.sum())
    joint = counts.astype(np.float64)
    segments, objects = (_totals(names, joint) for names in (labels, truth))

    def squares(sizes: np.ndarray) -> float:
        return float((sizes * sizes).sum())

    def entropy(sizes: np.ndarray) -> float:
        shares = sizes / total
        return float(-(shares * np.log2(shares)).sum())

    nothing = total == 0
    return {
        "V_Rand_split": float("nan") if nothing else squares(joint) / squares(objects),
        "V_Rand_merge": float("nan") if nothing else squares(joint) / squares(segments),
        "V_Info_split": 0.0 if nothing else entropy(joint) - entropy(objects),
        "V_Info_merge": 0.0 if nothing else entropy(joint) - entropy(segments),
    }


def _totals(names: np.ndarray, counts: np.ndarray) -> np.ndarray:
    _, places = np.unique(names, return_inverse=True)
    return np.bincount(places, counts)


# ---- scoring functions


@dataclass(frozen=True)
class _Score:
    """A scoring function of waterz, low for what is merged first.

    ``formula`` says it as :func:`emfast.agglomerate` reads it; ``values`` computes it for the edges of a graph.
    ``uses`` names what it needs of the graph: "counts", "bins" (histograms of all affinities) or "maxima" (histograms
    that begin with the largest one).
    """

    formula: str
    values: Callable[[RegionGraph], np.ndarray]
    uses: frozenset[str] = frozenset()

    @property
    def needs_bins(self) -> bool:
        return "bins" in self.uses

    def prepare(self, graph: RegionGraph) -> RegionGraph:
        if "maxima" not in self.uses:
            return graph
        bins = graph.maxima
        if bins.dtype != np.uint8:
            bins = np.minimum(bins.astype(np.float32) * 256, 255).astype(np.uint8)
        ones = np.ones(len(graph), np.int64)
        return replace(graph, counts=ones, starts=np.arange(len(graph) + 1), bins=bins, bin_counts=ones)

    def merge(self, graph: RegionGraph, threshold: float) -> tuple[MergeTree, np.ndarray]:
        """The tree of merges up to a threshold, at least, and waterz's score of each, in float32."""
        plain = _PLAIN.fullmatch(self.formula)
        if plain:  # falls as the statistic rises, so the tree of the statistic is the same
            kind = plain[1] or f"quantile:{plain[2]}"
            tree = emfast.agglomerate(graph, score=kind, until=max(0.0, 1.0 - threshold - 1e-5))
            return tree, np.float32(1) - tree.scores.astype(np.float32)
        tree = emfast.agglomerate(graph, score=f"-{self.formula}", until=-threshold)
        return tree, _as_float32(-tree.scores)

    def of(self, graph: RegionGraph) -> np.ndarray:
        """Waterz's scores of the edges of a graph, in float32."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return _as_float32(self.values(graph))


_PLAIN = re.compile(r"\(1 - (?:(mean|max|min)|quantile\((0\.\d+)\))\)")


def _as_float32(scores: np.ndarray) -> np.ndarray:
    largest = float(np.finfo(np.float32).max)
    return np.clip(np.nan_to_num(scores, nan=largest), -largest, largest).astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / 255.0 if values.dtype == np.uint8 else values.astype(np.float64)


def _ends(graph: RegionGraph) -> np.ndarray:
    """Voxels of the two ends of every edge, (n, 2)."""
    return graph.sizes[np.searchsorted(graph.nodes, graph.edges)].astype(np.float64)


_COUNTS = frozenset(["counts"])
_STATISTICS = {
    "MeanAffinity": _Score("mean", lambda graph: graph.means, _COUNTS),
    "MaxAffinity": _Score("max", lambda graph: _unit(graph.maxima)),
    "MinAffinity": _Score("min", lambda graph: _unit(graph.minima)),
    "ContactArea": _Score("contact", lambda graph: graph.counts.astype(np.float64), _COUNTS),
    "MinSize": _Score("smaller", lambda graph: _ends(graph).min(axis=1)),
    "MaxSize": _Score("larger", lambda graph: _ends(graph).max(axis=1)),
}
# How agglomerate writes them, and what they are.
_OPERATORS: dict[str, tuple[str, Callable[..., Any]]] = {
    "OneMinus": ("(1 - {0})", lambda a: 1.0 - a),
    "Invert": ("(1 / {0})", lambda a: np.divide(1.0, a)),
    "Square": ("({0} * {0})", lambda a: a * a),
    "Add": ("({0} + {1})", np.add),
    "Subtract": ("({0} - {1})", np.subtract),
    "Multiply": ("({0} * {1})", np.multiply),
    "Divide": ("({0} / {1})", np.divide),
    "Step": ("(1 - step({1} - {0}))", lambda a, b: 1.0 * ~(a < b)),
}
_PROVIDERS = {
    "MeanAffinityProvider": "MeanAffinity",
    "MaxAffinityProvider": "MaxAffinity",
    "MinAffinityProvider": "MinAffinity",
    "ContactAreaProvider": "ContactArea",
    "HistogramQuantileProvider": "HistogramQuantileAffinity",
}
_WELCOME = [*_STATISTICS, "HistogramQuantileAffinity", "Constant", *_OPERATORS]

# A type and its template arguments.
_Type = tuple[str, list[Any]]


def _read_score(text: Any) -> _Score:
    """The scoring function that a C++ type of waterz names."""
    if not isinstance(text, str):
        raise TypeError(f"scoring_function must be a string, got {text!r}")
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    tokens = re.findall(r"\w+|-\d+|\S", bare)[::-1]
    if len(tokens) > 400:
        raise _unreadable(text)
    tree = _read_type(tokens, text)
    if tokens:
        raise _unreadable(text)
    score = _score_of(tree)
    if "maxima" in score.uses and len(score.uses) > 1:
        raise NotImplementedError(
            "scoring_function has a histogram that begins with the maximum beside a mean, a contact area or another "
            "histogram, which emfast cannot have in one graph: give it false as the last argument"
        )
    return score


def _read_type(tokens: list[str], text: str) -> _Type:
    """Take a type off the end of the tokens, which are in reverse."""
    name = tokens.pop() if tokens else ""
    if not re.fullmatch(r"\w+|-\d+", name):
        raise _unreadable(text)
    arguments: list[Any] = []
    if tokens and tokens[-1] == "<":
        while tokens and tokens.pop() != ">":
            arguments.append(_read_type(tokens, text))
            if not tokens or tokens[-1] not in (",", ">"):
                raise _unreadable(text)
    return name, arguments


def _unreadable(text: str) -> ValueError:
    return ValueError(f"scoring_function must be a type of waterz such as {_MEAN!r}, got {text!r}")


def _score_of(tree: _Type) -> _Score:
    name, arguments = tree
    if name in _OPERATORS:
        return _operation(name, arguments)
    if name == "EdgeStatisticValue" and len(arguments) == 2:
        name, arguments = _PROVIDERS.get(arguments[1][0], arguments[1][0]), arguments[1][1]
    names = [argument[0] for argument in arguments]
    if not names or names[0] != "RegionGraphType":
        raise _no_counterpart(name, names)
    if name in _STATISTICS:
        return _STATISTICS[name]
    if name == "Constant" and len(names) == 2 and re.fullmatch(r"-?\d+", names[1]):
        return _Score(f"({names[1]})", lambda graph: np.full(len(graph), float(names[1])))
    if name == "MeanMaxKAffinity" and names[1:2] == ["1"]:
        return _STATISTICS["MaxAffinity"]
    if name == "HistogramQuantileAffinity":
        return _quantile(names)
    raise _no_counterpart(name, names)


def _operation(name: str, arguments: list[_Type]) -> _Score:
    template, function = _OPERATORS[name]
    parts = [_score_of(argument) for argument in arguments]
    if len(parts) != (2 if "{1}" in template else 1):
        raise ValueError(f"scoring_function must give {name} its operands, got {len(parts)}")
    return _Score(
        template.format(*(part.formula for part in parts)),
        lambda graph: function(*(part.values(graph) for part in parts)),
        frozenset().union(*(part.uses for part in parts)),
    )


def _quantile(names: list[str]) -> _Score:
    """Of HistogramQuantileAffinity<RegionGraphType, percent, ScoreValue, bins, with the maximum first>."""
    if len(names) not in (4, 5) or names[3] != "256" or names[4:] not in ([], ["true"], ["false"]):
        raise _no_counterpart("HistogramQuantileAffinity", names)
    if not names[1].isdigit() or int(names[1]) >= 100:
        raise ValueError(f"scoring_function must have a quantile from 0 to 99, got {names[1]}")
    share = f"0.{int(names[1]):02d}"
    uses = ["counts", "bins"] if names[4:] == ["false"] else ["maxima"]
    return _Score(f"quantile({share})", lambda graph: graph.quantiles(float(share)), frozenset(uses))


def _no_counterpart(name: str, arguments: list[str]) -> NotImplementedError:
    came = f"{name}<{', '.join(arguments)}>" if arguments else name
    return NotImplementedError(
        f"scoring_function holds {came}, of which emfast has no exact counterpart; there are {', '.join(_WELCOME)}, "
        "with RegionGraphType first, and histograms of 256 bins"
    )


# ---- the queue


def _check_queue(bins: Any) -> None:
    """Refuse what waterz refuses; numbers may come as text or as floats."""
    number: Any = None
    if isinstance(bins, str):
        number = int(bins) if bins.strip().isdecimal() else None
    elif isinstance(bins, (float, np.floating)):
        number = int(bins) if bins.is_integer() else None
    elif not isinstance(bins, bool):
        with contextlib.suppress(TypeError):
            number = operator.index(bins)
    if number is None or not 0 <= number <= 2**16:
        raise ValueError(f"discretize_queue must be 0 (no bins) or a number of bins of at most {2**16}, not {bins!r}")
