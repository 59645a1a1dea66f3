"""Scores of masks and of classes, voxel by voxel, from a table of two volumes of classes.

Of one class against the rest, TP are the voxels where both volumes have it, FP those of the labels alone, FN those of
the truth alone and TN the others. All counts are exact, and each score is one quotient of integers, rounded once. The
value of 0 / 0 is NaN: a class that neither volume has is neither right nor wrong. ``Binary.filled(1.0)`` puts a value
there, for those who compare with programs that have one.

``f1`` is the Dice coefficient, ``iou`` the Jaccard index, ``recall`` the true positive rate or sensitivity, ``tnr`` the
specificity. ``pixel_error`` is the share of voxels that differ (Fiji's, for masks); the survey and ISBI 2012 use the
name for one minus the largest F1 over all thresholds, which is ``1 - max(threshold_curve(...)["f1"])``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._table import Table
from ._numbers import ratio
from .tables import Contingency, _fits, _listed, _places, checked

_COUNTS = ("tp", "fp", "fn", "tn")
_RATES = ("precision", "recall", "tnr", "f1", "iou", "accuracy", "conformity", "pixel_error")


@dataclass(frozen=True)
class Binary:
    """The four counts of a class against the rest, and what is made of them; see :func:`binary`.

    Attributes
    ----------
    tp, fp, fn, tn : int
    empty : float
        The value of 0 / 0; NaN unless :meth:`filled` was asked.
    """

    tp: int
    fp: int
    fn: int
    tn: int
    empty: float = math.nan

    def filled(self, empty: float) -> Binary:
        """The same, with this value for 0 / 0."""
        return Binary(self.tp, self.fp, self.fn, self.tn, float(empty))

    @property
    def precision(self) -> float:
        return self._ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """The true positive rate."""
        return self._ratio(self.tp, self.tp + self.fn)

    @property
    def tnr(self) -> float:
        """The true negative rate."""
        return self._ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        """The Dice coefficient."""
        return self._ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """The Jaccard index."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        return self._ratio(self.tp + self.tn, self.voxels)

    @property
    def pixel_error(self) -> float:
        """The share of voxels that differ."""
        return self._ratio(self.fp + self.fn, self.voxels)

    @property
    def conformity(self) -> float:
        """1 - (FP + FN) / TP; minus infinity where all is wrong."""
        wrong = self.fp + self.fn
        return -math.inf if wrong and not self.tp else self._ratio(self.tp - wrong, self.tp)

    @property
    def voxels(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    def to_dict(self) -> dict[str, float]:
        """All counts and scores by name."""
        return {name: getattr(self, name) for name in (*_COUNTS, *_RATES)}

    def _ratio(self, part: int, whole: int) -> float:
        return ratio(part, whole, self.empty)


def binary(table: Contingency, positive: Any = None) -> Binary:
    """Compare two masks, or one class of two volumes against the rest.

    Parameters
    ----------
    table : Contingency
        Of masks, classes or objects.
    positive : int or iterable of ints, optional
        The ids, in both volumes, that are inside. Default: all but 0.

    Returns
    -------
    Binary
        Counts and scores by name.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth, mask = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 1, 0, 1, 0])
    >>> scores = emfast.metrics.binary(emfast.contingency(truth, mask))
    >>> scores.tp, scores.fp, scores.fn, scores.tn, scores.f1, scores.iou
    (3, 1, 1, 1, 0.75, 0.6)
    """
    table = checked(table)
    if positive is None:
        in_truth, in_labels = ~_places(table.truth_ids, 0, "positive"), ~_places(table.label_ids, 0, "positive")
    else:
        ids = _listed(positive, "positive")
        in_truth, in_labels = _places(table.truth_ids, ids, "positive"), _places(table.label_ids, ids, "positive")
    t, s = in_truth[table.rows], in_labels[table.columns]
    return Binary(*(int(table.counts[where].sum()) for where in (t & s, ~t & s, t & ~s, ~t & ~s)))


def per_class(table: Contingency, classes: Any = None) -> Table:
    """Score every class against the rest.

    Parameters
    ----------
    table : Contingency
        Of two volumes of classes.
    classes : iterable of ints, optional
        Default: all ids of either volume.

    Returns
    -------
    Table
        A row per class, ascending: ``label`` (Python integers where neither int64 nor uint64 holds all of them), the
        counts ``tp, fp, fn, tn`` and the scores of :class:`Binary`; 0 / 0 is NaN.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    >>> table = emfast.metrics.per_class(emfast.contingency(truth, labels))
    >>> table.label.tolist(), table.iou.tolist()
    ([0, 1, 2], [0.3333333333333333, 0.6666666666666666, 0.5])
    """
    ids = _classes_of(checked(table), classes)
    same = {id: count for id, other, count in zip(*(p.tolist() for p in table.pairs), strict=True) if id == other}
    in_truth = dict(zip(table.truth_ids.tolist(), table.truth_sizes.tolist(), strict=True))
    in_labels = dict(zip(table.label_ids.tolist(), table.label_sizes.tolist(), strict=True))
    rows, n = [], table.voxels
    for id in ids:
        tp, a, b = same.get(id, 0), in_truth.get(id, 0), in_labels.get(id, 0)
        rows.append(Binary(tp, b - tp, a - tp, n - a - b + tp))
    dtype = np.dtype(np.int64 if min(ids, default=0) < 0 else np.uint64)
    column = np.array(ids, dtype if all(_fits(id, dtype) for id in ids) else object)
    return _columns("label", column, rows)


def mean_iou(table: Contingency, classes: Any = None, *, absent: float | None = None) -> float:
    """The mean Jaccard index over classes. Of two masks that is the VOC score, mean of foreground and background.

    Parameters
    ----------
    table : Contingency
    classes : iterable of ints, optional
        Default: all ids of either volume.
    absent : float, optional
        What a class counts for that neither volume has. Default: such classes are left out.

    Returns
    -------
    float
        NaN without classes.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    >>> emfast.metrics.mean_iou(table), emfast.metrics.mean_iou(table, [0, 1, 5], absent=1)
    (0.5833333333333333, 0.7222222222222222)
    """
    values = [absent if math.isnan(iou) else iou for iou in per_class(table, classes).iou.tolist()]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def threshold_curve(table: Contingency, *, positive: Any = None) -> Table:
    """The scores of a map of grades at every threshold, from one table.

    Parameters
    ----------
    table : Contingency
        Of a truth and a map of integers, ``contingency(truth, grades)``: probabilities as uint8, say.
    positive : int or iterable of ints, optional
        The true ids that are inside. Default: all but 0.

    Returns
    -------
    Table
        A row per grade that occurs, ascending: ``threshold``, then the counts and scores of :class:`Binary` for the
        mask of all grades from the threshold up.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth, grades = np.array([0, 0, 0, 1, 1]), np.array([10, 20, 200, 150, 250], np.uint8)
    >>> curve = emfast.metrics.threshold_curve(emfast.contingency(truth, grades))
    >>> curve.threshold[curve.f1.argmax()].item(), curve.f1.max().item()
    (150, 0.8)
    """
    table = checked(table)
    ids = 0 if positive is None else _listed(positive, "positive")
    inside = _places(table.truth_ids, ids, "positive") != (positive is None)
    right = np.zeros(len(table.label_ids), np.int64)
    at = inside[table.rows]
    np.add.at(right, table.columns[at], table.counts[at])
    all_inside, n = int(right.sum()), table.voxels
    tp, chosen = np.cumsum(right[::-1])[::-1], np.cumsum(table.label_sizes[::-1])[::-1]
    rows = [
        Binary(t, c - t, all_inside - t, n - all_inside - c + t)
        for t, c in zip(tp.tolist(), chosen.tolist(), strict=True)
    ]
    return _columns("threshold", table.label_ids, rows)


def _columns(key: str, ids: np.ndarray, rows: list[Binary]) -> Table:
    counts = {name: np.array([getattr(row, name) for row in rows], np.int64) for name in _COUNTS}
    rates = {name: np.array([getattr(row, name) for row in rows], np.float64) for name in _RATES}
    return Table({key: ids, **counts, **rates})


def _classes_of(table: Contingency, classes: Iterable[int] | None) -> list[int]:
    if classes is not None:
        return sorted(set(_listed(classes, "classes")))
    return sorted({*table.truth_ids.tolist(), *table.label_ids.tolist()})


__all__ = ["Binary", "binary", "mean_iou", "per_class", "threshold_curve"]
