"""Matchings of true objects with segments, and the scores that count them: average precision, F1, panoptic quality.

All are functions of a table (:func:`emfast.contingency`). Objects are ids that are not the background, whose voxels
count in the sizes of objects all the same: make the table without ``ignore=0``, or what segments have in the background
costs them nothing.

Rules of matching, by name. Only pairs that overlap and reach the threshold are matched; of equal overlaps over union
(IoU) the smaller true id comes first, then the smaller label.

``"optimal"``
    One to one: as many pairs as possible, and of these matchings the one with the largest sum of IoU (in steps of
    2**-32, then with the largest sum of overlap). Above a threshold of 1/2 no object has two partners, and this is
    all pairs.
``"greedy"``
    One to one: pairs are taken by descending IoU where neither object is taken yet.
``"best label"``
    Every true object with its best segment, which may serve several: Kumar's, for the aggregated Jaccard index.
``"best truth"``
    Every segment with its best true object, which several may share: the MitoEM challenge's of 2020.

Thresholds are fractions. A float stands for the nearest fraction with a denominator up to 10**6, so that 0.7, and
what ``numpy.arange`` makes of it, is 7/10, which an IoU of exactly 7/10 reaches.

Where conventions differ
------------------------
- Average precision is TP / (TP + FP + FN), of the Data Science Bowl 2018, StarDist ("accuracy"), Cellpose and elf.
  COCO's, an area under a curve of precision, is :func:`score_ordered_precision`.
- Reaching a threshold: IoU >= for average precision and F1, > for panoptic quality, as most have it; HoVer-Net, MONAI
  and torchmetrics have > in all. ``strict`` changes either.
- Comparisons are in integers. Elsewhere IoU are floats of 16 to 64 bits; HoVer-Net and MONAI add 1e-6 to the union.
- Without any object scores are ``empty``, NaN unless told otherwise; 0 in StarDist and elf, an error in HoVer-Net. With
  objects on one side only they are 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from .._options import background_of, spacing_of
from .._table import Table
from ._objects import HALF, THRESHOLDS, Objects, objects_of, one_to_one, share, threshold_of, thresholds_of
from .tables import Contingency, checked

__all__ = [
    "AveragePrecision",
    "Matching",
    "Panoptic",
    "average_precision",
    "by_class",
    "by_size",
    "match",
    "panoptic",
]

_RULES = ("optimal", "greedy", "best label", "best truth")

T = TypeVar("T")


class _Counts:
    """Scores of detections that are counted; numbers, or arrays of them."""

    true_positives: Any
    false_positives: Any
    false_negatives: Any
    empty: float

    def _share(self, part: Any, whole: Any) -> Any:
        return share(part, whole, self.true_positives + self.false_positives + self.false_negatives, self.empty)

    @property
    def precision(self) -> Any:
        """TP / (TP + FP)."""
        return self._share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Any:
        """TP / (TP + FN)."""
        return self._share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> Any:
        """2 TP / (2 TP + FP + FN)."""
        return self._share(
            2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives
        )

    @property
    def accuracy(self) -> Any:
        """TP / (TP + FP + FN)."""
        return self._share(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True, eq=False, repr=False)
class Matching(_Counts):
    """Which true object goes with which segment; made by :func:`match`.

    Attributes
    ----------
    truth, labels : (n,) ids
        The pairs, ascending by true id, then label.
    overlap, union : (n,) int64
        Their voxels.
    missed, spurious : ids
        True objects and segments that no pair has, ascending.
    threshold : Fraction
    rule : str
    strict : bool
    empty : float
        The value of scores where there is no object at all.
    """

    truth: np.ndarray
    labels: np.ndarray
    overlap: np.ndarray
    union: np.ndarray
    missed: np.ndarray
    spurious: np.ndarray
    threshold: Fraction
    rule: str
    strict: bool
    empty: float = math.nan

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.truth)

    @property
    def iou(self) -> np.ndarray:
        """Overlap over union of each pair: (n,) float64."""
        return self.overlap / self.union

    @property
    def mean_iou(self) -> float:
        """Over the pairs; 0 where there are none."""
        return math.fsum(self.iou.tolist()) / max(len(self), 1)

    @property
    def true_positives(self) -> int:
        """The number of pairs."""
        return len(self.truth)

    @property
    def false_positives(self) -> int:
        """The number of segments that no pair has."""
        return len(self.spurious)

    @property
    def false_negatives(self) -> int:
        """The number of true objects that no pair has."""
        return len(self.missed)

    def to_table(self) -> Table:
        """A row per pair: ``truth``, ``label`` (its key), ``overlap``, ``union`` and ``iou``."""
        columns = {"truth": self.truth, "label": self.labels, "overlap": self.overlap, "union": self.union}
        return Table({**columns, "iou": self.iou}, keys=2)

    def __repr__(self) -> str:
        sign = ">" if self.strict else ">="
        return (
            f"Matching ({self.rule}, IoU {sign} {float(self.threshold):g}): {len(self)} pairs, "
            f"{len(self.missed)} missed, {len(self.spurious)} spurious"
        )


@dataclass(frozen=True, eq=False, repr=False)
class AveragePrecision(_Counts):
    """Detections counted at several thresholds; made by :func:`average_precision`.

    ``precision``, ``recall``, ``f1`` and ``accuracy``, which is average precision, have a value for each threshold.
    ``a + b`` counts the objects of two images together.

    Attributes
    ----------
    thresholds : tuple of Fraction
    true_positives, false_positives, false_negatives : (n,) int64
    empty : float
    """

    thresholds: tuple[Fraction, ...]
    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray
    empty: float = math.nan

    @property
    def mean(self) -> float:
        """Of average precision over the thresholds: mAP."""
        return _mean(self.accuracy)

    @property
    def mean_f1(self) -> float:
        """Of F1 over the thresholds."""
        return _mean(self.f1)

    def at(self, threshold: Any) -> float:
        """Average precision at one of the thresholds, AP-50 at 0.5."""
        wanted = threshold_of(threshold)
        if wanted not in self.thresholds:
            listed = ", ".join(f"{float(t):g}" for t in self.thresholds)
            raise ValueError(f"threshold must be one of {listed}, got {threshold!r}")
        return float(self.accuracy[self.thresholds.index(wanted)])

    def __add__(self, other: AveragePrecision) -> AveragePrecision:
        if not isinstance(other, AveragePrecision):
            return NotImplemented
        if self.thresholds != other.thresholds:
            raise ValueError("only counts at the same thresholds add up")
        return AveragePrecision(
            self.thresholds,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.empty,
        )

    def to_table(self) -> Table:
        """A row per threshold."""
        columns = {"threshold": np.array([float(t) for t in self.thresholds])}
        for name in ("true_positives", "false_positives", "false_negatives", "precision", "recall", "f1", "accuracy"):
            columns[name] = getattr(self, name)
        return Table(columns)

    def __repr__(self) -> str:
        values = ", ".join(
            f"{float(t):g}: {v:.4g}" for t, v in zip(self.thresholds, self.accuracy.tolist(), strict=True)
        )
        return f"AveragePrecision: mean {self.mean:.4g} ({values})"


@dataclass(frozen=True)
class Panoptic(_Counts):
    """Panoptic quality; made by :func:`panoptic`.

    Attributes
    ----------
    true_positives, false_positives, false_negatives : int
    iou_sum : float
        Of the pairs.
    empty : float
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    iou_sum: float
    empty: float = math.nan

    @property
    def pq(self) -> float:
        """Panoptic quality: sum of IoU / (TP + FP / 2 + FN / 2), which is SQ RQ."""
        halves = 2 * self.true_positives + self.false_positives + self.false_negatives
        return float(self._share(2 * self.iou_sum, halves))

    @property
    def sq(self) -> float:
        """Segmentation quality: the mean IoU of the pairs."""
        return float(self._share(self.iou_sum, self.true_positives))

    @property
    def rq(self) -> float:
        """Recognition quality: F1."""
        return float(self.f1)


def match(
    table: Contingency,
    *,
    threshold: Any = HALF,
    rule: str = "optimal",
    strict: bool = False,
    background: int | None = 0,
    empty: float = math.nan,
) -> Matching:
    """Match true objects with segments.

    Parameters
    ----------
    table : Contingency
    threshold : number from 0 to 1
        The least IoU of a pair.
    rule : {"optimal", "greedy", "best label", "best truth"}
        See the module.
    strict : bool
        Whether the IoU must be more than the threshold.
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value of scores where there is no object at all.

    Returns
    -------
    Matching

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found = metrics.match(table)
    >>> found.truth.tolist(), found.labels.tolist(), found.iou.tolist(), found.spurious.tolist()
    ([1, 2], [7, 8], [0.75, 0.5], [9])
    >>> found.precision, found.recall
    (0.6666666666666666, 1.0)
    """
    if rule not in _RULES:
        raise ValueError(f"rule must be one of {', '.join(_RULES)}, got {rule!r}")
    t = threshold_of(threshold)
    objects = objects_of(table, background)
    return _matching(objects, _pairs(objects, t, strict, rule), t, rule, strict, empty)


def _pairs(objects: Objects, threshold: Fraction, strict: bool, rule: str) -> np.ndarray:
    """The pairs of a matching."""
    if rule in ("best label", "best truth"):
        best = objects.best_of_rows() if rule == "best label" else objects.best_of_columns()
        best = best[best >= 0]
        found: np.ndarray = np.sort(best[objects.reach(threshold, strict=strict)[best]])
        return found
    pairs = np.flatnonzero(objects.reach(threshold, strict=strict))
    if threshold > HALF or (threshold == HALF and strict):  # two objects cannot both have more than half of a third
        return pairs
    return one_to_one(objects, pairs, rule)


def _matching(
    objects: Objects, pairs: np.ndarray, threshold: Fraction, rule: str, strict: bool, empty: float
) -> Matching:
    missed, spurious = np.ones(objects.height, bool), np.ones(objects.width, bool)
    rows, columns = objects.rows[pairs], objects.columns[pairs]
    missed[rows] = spurious[columns] = False
    return Matching(
        objects.truth_ids[rows],
        objects.label_ids[columns],
        objects.overlap[pairs],
        objects.union[pairs],
        objects.truth_ids[missed],
        objects.label_ids[spurious],
        threshold,
        rule,
        strict,
        empty,
    )


def average_precision(
    table: Contingency,
    *,
    thresholds: Any = THRESHOLDS,
    rule: str = "optimal",
    strict: bool = False,
    background: int | None = 0,
    empty: float = math.nan,
) -> AveragePrecision:
    """Count detections at thresholds of IoU: average precision TP / (TP + FP + FN), precision, recall, F1.

    Parameters
    ----------
    table : Contingency
    thresholds : number from 0 to 1, or several
        Default: 0.5, 0.55 … 0.95.
    rule : {"optimal", "greedy"}
        See the module; they differ at thresholds up to 1/2 only.
    strict : bool
        Whether IoU must be more than the threshold.
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value of scores where there is no object at all.

    Returns
    -------
    AveragePrecision

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found = metrics.average_precision(table, thresholds=[0.5, 0.7, 0.9])
    >>> found.accuracy.tolist(), found.true_positives.tolist()
    ([0.6666666666666666, 0.25, 0.0], [2, 1, 0])
    >>> found.at(0.7)
    0.25
    """
    if rule not in ("optimal", "greedy"):
        raise ValueError(f"rule must be one of optimal, greedy, got {rule!r}")
    wanted = thresholds_of(thresholds)
    objects = objects_of(table, background)
    found = np.array([len(_pairs(objects, t, strict, rule)) for t in wanted], np.int64)
    return AveragePrecision(wanted, found, objects.width - found, objects.height - found, empty)


def panoptic(
    table: Contingency,
    *,
    threshold: Any = HALF,
    strict: bool = True,
    void: Any = (),
    void_labels: Any = (),
    background: int | None = 0,
    empty: float = math.nan,
) -> Panoptic:
    """Panoptic quality and its parts (Kirillov et al., CVPR 2019).

    Parameters
    ----------
    table : Contingency
        Not made with ``ignore`` of the void ids, or segments that lie in them are counted.
    threshold : number from 0 to 1
    strict : bool
        Whether IoU must be more than the threshold; at 1/2 that makes partners unique.
    void, void_labels : int or iterable of ints
        Ids of truth, and of labels, that stand for "not to be judged". Their voxels do not count in overlaps and
        sizes, and an object that has no partner and lies in them by more than half is neither wrong nor missed.
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value of scores where there is no object at all.

    Returns
    -------
    Panoptic

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found = metrics.panoptic(table)
    >>> found.pq, found.sq, found.rq
    (0.3, 0.75, 0.4)
    """
    t = threshold_of(threshold)
    judged = checked(table).without(truth=void, labels=void_labels)
    objects = objects_of(judged, background)
    found = _matching(objects, _pairs(objects, t, strict, "optimal"), t, "optimal", strict, empty)
    missed, spurious = found.missed, found.spurious
    if judged is not table:
        missed = missed[~_mostly_lost(missed, table.truth_ids, table.truth_sizes, judged.truth_ids, judged.truth_sizes)]
        spurious = spurious[
            ~_mostly_lost(spurious, table.label_ids, table.label_sizes, judged.label_ids, judged.label_sizes)
        ]
    return Panoptic(len(found), len(spurious), len(missed), math.fsum(found.iou.tolist()), empty)


def _mostly_lost(
    wanted: np.ndarray, ids: np.ndarray, sizes: np.ndarray, kept_ids: np.ndarray, kept_sizes: np.ndarray
) -> np.ndarray:
    """Which of some ids have kept less than half of their voxels; all that are wanted are kept."""
    lost: np.ndarray = 2 * kept_sizes[np.searchsorted(kept_ids, wanted)] < sizes[np.searchsorted(ids, wanted)]
    return lost


def by_class(
    table: Contingency,
    score: Callable[..., T],
    classes: Mapping[int, Any],
    label_classes: Mapping[int, Any] | None = None,
    *,
    background: int = 0,
    **options: Any,
) -> dict[Any, T]:
    """A score of each class of objects: all others are background to it.

    Parameters
    ----------
    table : Contingency
    score : function of a table
        ``panoptic``, ``average_precision``, ``aji`` …
    classes : mapping from ids to classes
        Of true objects. Ids that it does not have are of no class.
    label_classes : mapping from ids to classes, optional
        Of segments. Default: ``classes``.
    background : int
    **options
        For ``score``.

    Returns
    -------
    dict
        From classes, in the order in which they first come in the mappings, to scores.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 2, 2, 3, 3]), np.array([1, 1, 2, 0, 4, 4]))
    >>> kinds = {1: "cell", 2: "cell", 3: "debris", 4: "cell"}
    >>> {kind: scores.f1 for kind, scores in metrics.by_class(table, metrics.panoptic, kinds).items()}
    {'cell': 0.4, 'debris': 0.0}
    """
    labels = classes if label_classes is None else label_classes
    sides = checked(table).truth_ids, table.label_ids
    if background is None or any(background_of(background, ids.dtype) is None for ids in sides):
        raise ValueError(f"background must be an id that both sides of the table can hold, got {background}")
    truth_kinds = [classes.get(i) for i in table.truth_ids.tolist()]
    label_kinds = [labels.get(i) for i in table.label_ids.tolist()]
    out = {}
    for kind in dict.fromkeys([*classes.values(), *labels.values()]):
        in_truth, in_labels = (
            np.array([k == kind for k in kinds], bool) & (ids != background)
            for kinds, ids in ((truth_kinds, table.truth_ids), (label_kinds, table.label_ids))
        )
        truth, label, counts = table.pairs
        shown = Contingency.from_pairs(
            np.where(in_truth[table.rows], truth, truth.dtype.type(background)),
            np.where(in_labels[table.columns], label, label.dtype.type(background)),
            counts,
        )
        out[kind] = score(shown, background=background, **options)
    return out


def by_size(
    table: Contingency,
    bounds: Iterable[float],
    *,
    threshold: Any = HALF,
    rule: str = "optimal",
    strict: bool = False,
    spacing: Sequence[float] | None = None,
    background: int | None = 0,
    empty: float = math.nan,
) -> Table:
    """Detections by the size of objects.

    All objects are matched first, so an object may have a partner of another class. Recall is a score of the true
    objects of a class, precision of its segments; ``f1`` and ``accuracy`` count the pairs by their true object.

    Parameters
    ----------
    table : Contingency
    bounds : numbers, ascending
        Classes are up to the first (included), above it up to the second, and so on, and above the last. MitoEM's are
        5000 and 15000 voxels.
    threshold, rule, strict, background, empty
        As in :func:`match`.
    spacing : tuple of float, optional
        Of voxels, in nanometres; then bounds are in cubic nanometres. Default: they are in voxels.

    Returns
    -------
    Table
        A row per class: ``above`` (its key), ``up_to``, the numbers ``truth``, ``truth_matched``, ``labels`` and
        ``labels_matched``, and ``precision``, ``recall``, ``f1``, ``accuracy``.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found = metrics.by_size(table, [2])
    >>> found.truth.tolist(), found.labels.tolist(), found.recall.tolist(), found.precision.tolist()
    ([1, 1], [2, 1], [1.0, 1.0], [0.5, 1.0])
    """
    edges = np.array([0.0, *bounds])
    if not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
        raise ValueError(f"bounds must be positive, finite and ascending, got {edges[1:].tolist()}")
    found = match(table, threshold=threshold, rule=rule, strict=strict, background=background)
    objects = objects_of(table, background)
    sides = () if spacing is None else spacing_of(spacing, len(spacing))
    voxel = math.prod(map(Fraction, sides), start=Fraction(1))
    whole = [math.floor(Fraction(float(b)) / voxel) for b in edges[1:]]
    limits = np.array([min(voxels, 2**63 - 1) for voxels in whole], np.int64)
    truth_class, label_class = (np.searchsorted(limits, s) for s in (objects.truth_sizes, objects.label_sizes))

    def count(kinds: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return np.bincount(kinds[wanted], minlength=len(edges))

    truth, labels = (count(k, np.full(len(k), True)) for k in (truth_class, label_class))
    truth_matched = count(truth_class, np.isin(objects.truth_ids, found.truth))
    labels_matched = count(label_class, np.isin(objects.label_ids, found.labels))
    counted = truth + labels - labels_matched
    return Table(
        {
            "above": edges,
            "up_to": np.append(edges[1:], np.inf),
            "truth": truth,
            "truth_matched": truth_matched,
            "labels": labels,
            "labels_matched": labels_matched,
            "precision": share(labels_matched, labels, truth + labels, empty),
            "recall": share(truth_matched, truth, truth + labels, empty),
            "f1": share(2 * truth_matched, truth_matched + counted, truth + labels, empty),
            "accuracy": share(truth_matched, counted, truth + labels, empty),
        }
    )


def _mean(values: np.ndarray) -> float:
    return math.fsum(values.tolist()) / len(values)
