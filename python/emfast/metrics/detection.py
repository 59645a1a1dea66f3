"""Average precision over detections in the order of their scores: COCO's, and what the MitoEM challenge made of it.

Segments are taken by descending score. After each, precision is the share of the ones so far that found a true
object, and recall the share of true objects found; precision is made to fall (each value becomes the largest at this
recall or beyond) and read at the recalls 0, 0.01 … 1, 0 beyond the last. Average precision is the mean of these 101
values.

Score-ordered precision forgives segments of a low score that find nothing, which is why MitoEM's authors went over to
``average_precision(table, thresholds=0.75)``, TP / (TP + FP + FN), in 2023.

Where conventions differ
------------------------
- Who finds what. ``rule="coco"``: a segment takes the true object of largest IoU that none before it has taken.
  ``rule="mitoem"``: each segment has its true object of largest IoU, be it taken or not, so that recall may exceed 1
  at an IoU of exactly 1/2. Both agree above 1/2.
- Size ranges. Only true objects of the range count. A segment goes with one in the range if it can, else with one
  outside and is then ignored; a segment without partner is ignored where its own size is out of the range. COCO looks
  for the partner among the pairs that reach the threshold; MitoEM takes the largest IoU of the range even where it does
  not.
- Recalls are compared as fractions here; MitoEM's script makes them by 0.01 * arange, so that a recall of exactly 0.57
  misses 0.57. COCO's limit of 100 detections is not applied.
- Equal scores: the smaller id first. Equal IoU: the smaller true id; in COCO the larger.
- Without true objects in a range the value is ``empty``, NaN unless told otherwise, and -1 in COCO and MitoEM.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .. import _native
from .._arrays import Host
from ._objects import HALF, THRESHOLDS, Objects, by_quotient, objects_of, thresholds_of
from .matching import _mean
from .tables import Contingency

__all__ = ["ScoreOrderedPrecision", "score_ordered_precision"]

_RULES = ("coco", "mitoem")
_RECALLS = 100  # steps of recall


@dataclass(frozen=True, eq=False, repr=False)
class ScoreOrderedPrecision:
    """Precision at 101 recalls, for each threshold and range of sizes; made by :func:`score_ordered_precision`.

    Attributes
    ----------
    thresholds : tuple of Fraction, t of them
    ranges : tuple of (float, float), r of them
        Sizes above the first and up to the second.
    precision : (t, r, 101) float64
    recall : (t, r) float64
        In the end.
    """

    thresholds: tuple[Fraction, ...]
    ranges: tuple[tuple[float, float], ...]
    precision: np.ndarray
    recall: np.ndarray

    @property
    def average(self) -> np.ndarray:
        """Average precision: (t, r) float64."""
        values = self.precision.reshape(-1, _RECALLS + 1)
        return np.array([_mean(curve) for curve in values]).reshape(self.recall.shape)

    @property
    def mean(self) -> np.ndarray:
        """Of average precision over the thresholds, for each range: (r,) float64."""
        return np.array([_mean(column) for column in self.average.T])

    def at(self, threshold: Any) -> np.ndarray:
        """Average precision at one of the thresholds, for each range: (r,) float64; AP-75 at 0.75."""
        wanted = thresholds_of(threshold)[0]
        if wanted not in self.thresholds:
            listed = ", ".join(f"{float(t):g}" for t in self.thresholds)
            raise ValueError(f"threshold must be one of {listed}, got {threshold!r}")
        values: np.ndarray = self.average[self.thresholds.index(wanted)]
        return values

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{low:g} to {high:g}: {v:.4g}" for (low, high), v in zip(self.ranges, self.mean, strict=True)
        )
        return f"ScoreOrderedPrecision: mean by size {shown}"


def score_ordered_precision(
    table: Contingency,
    *,
    scores: Any = None,
    thresholds: Any = THRESHOLDS,
    bounds: Iterable[float] = (),
    rule: str = "coco",
    background: int | None = 0,
    empty: float = math.nan,
) -> ScoreOrderedPrecision:
    """Average precision of segments that have scores.

    Parameters
    ----------
    table : Contingency
    scores : mapping from ids to numbers, or array of shape (len(table.label_ids),), optional
        Of segments; an array has one for the background too, where that occurs. Default: their sizes, as in MitoEM.
    thresholds : number from 0 to 1, or several
        Of IoU, which must reach them. Default: 0.5, 0.55 … 0.95.
    bounds : numbers, ascending
        Of sizes in voxels: the ranges are all sizes, up to the first, above it up to the second, and so on. MitoEM's
        are 5000 and 15000. Default: all sizes alone.
    rule : {"coco", "mitoem"}
        See the module.
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value where no true object is in a range.

    Returns
    -------
    ScoreOrderedPrecision

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found = metrics.score_ordered_precision(table, scores={7: 0.9, 8: 0.2, 9: 0.5}, thresholds=0.5)
    >>> found.recall.tolist(), round(float(found.mean[0]), 4)
    ([[1.0]], 0.835)
    """
    if rule not in _RULES:
        raise ValueError(f"rule must be one of {', '.join(_RULES)}, got {rule!r}")
    wanted = thresholds_of(thresholds)
    edges = [0.0, *(float(b) for b in bounds), math.inf]
    if any(not low < high for low, high in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"bounds must be positive, finite and ascending, got {edges[1:-1]}")
    ranges = ((0.0, math.inf), *(zip(edges, edges[1:], strict=False) if len(edges) > 2 else ()))
    objects = objects_of(table, background)
    order = np.argsort(-_scores_of(scores, table, objects), kind="stable")
    ranks = np.empty(objects.width, np.int64)
    ranks[order] = np.arange(objects.width)
    precision = np.empty((len(wanted), len(ranges), _RECALLS + 1))
    recall = np.empty((len(wanted), len(ranges)))
    by_iou = by_quotient(objects.overlap, objects.union)
    for r, limits in enumerate(ranges):
        in_truth, in_labels = _within(objects.truth_sizes, limits), _within(objects.label_sizes, limits)
        chosen = _best_in_range(objects, in_truth, by_iou) if rule == "mitoem" else None
        for t, threshold in enumerate(wanted):
            pairs = _coco(objects, threshold, ranks, in_truth, by_iou) if chosen is None else chosen
            pairs = pairs[objects.reach(threshold)[pairs]]
            partner = np.full(objects.width, -1, np.int64)
            partner[objects.columns[pairs]] = objects.rows[pairs]
            partner = partner[order]
            found = partner >= 0
            counted = np.where(found, in_truth[partner] if objects.height else False, in_labels[order])
            precision[t, r], recall[t, r] = _curve(found[counted], int(in_truth.sum()), empty)
    return ScoreOrderedPrecision(wanted, ranges, precision, recall)


def _scores_of(scores: Any, table: Contingency, objects: Objects) -> np.ndarray:
    """One per segment that is an object."""
    if scores is None:
        return objects.label_sizes
    if isinstance(scores, Mapping):
        ids = objects.label_ids.tolist()
        missing = next((i for i in ids if i not in scores), None)
        if missing is not None:
            raise ValueError(f"scores must have every label, got none for {missing}")
        values = np.array([scores[i] for i in ids], np.float64)
    else:
        values = np.asarray(scores, np.float64)
        if values.shape != table.label_ids.shape:
            raise ValueError(f"scores must have the shape of label_ids {table.label_ids.shape}, got {values.shape}")
        values = values[np.isin(table.label_ids, objects.label_ids)]
    if np.isnan(values).any():
        raise ValueError("scores must not be NaN")
    return values


def _within(sizes: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    inside: np.ndarray = (sizes > limits[0]) & (sizes <= limits[1])
    return inside


def _best_in_range(objects: Objects, in_truth: np.ndarray, by_iou: np.ndarray) -> np.ndarray:
    """MitoEM's pairs: of each segment the largest IoU with a true object of the range, or of any without one."""
    first = np.full(objects.width, -1, np.int64)
    preferred = np.concatenate([by_iou[in_truth[objects.rows[by_iou]]], by_iou[~in_truth[objects.rows[by_iou]]]])
    first[objects.columns[preferred[::-1]]] = preferred[::-1]  # the last one written stays
    return first[first >= 0]


def _coco(
    objects: Objects, threshold: Fraction, ranks: np.ndarray, in_truth: np.ndarray, by_iou: np.ndarray
) -> np.ndarray:
    """COCO's pairs: segments in order of rank take what is free, first in the range, then the largest IoU."""
    reached = objects.reach(threshold)
    if threshold > HALF:  # no two want the same
        return np.flatnonzero(reached)
    pairs = by_iou[reached[by_iou]]
    pairs = pairs[np.lexsort((~in_truth[objects.rows[pairs]], ranks[objects.columns[pairs]]))]
    graph = (Host, objects.height, objects.width, objects.rows[pairs], objects.columns[pairs])
    return pairs[_native.host.matching_greedy(*graph).view(bool)]


def _curve(found: np.ndarray, total: int, empty: float) -> tuple[np.ndarray, float]:
    """Precision at each recall, and the recall in the end, of segments in the order of their scores."""
    if total == 0:
        return np.full(_RECALLS + 1, empty), empty
    hits = np.cumsum(found)
    falling = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(_RECALLS * hits, total * np.arange(_RECALLS + 1))
    return np.append(falling, 0.0)[places], (int(hits[-1]) if len(hits) else 0) / total
