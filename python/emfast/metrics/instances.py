"""Scores of objects by how well they are covered: AJI, best Dice, SEG, edits, associations.

All are functions of a table (:func:`emfast.contingency`). Objects, background and ties are those of
:mod:`emfast.metrics.matching`.

Where conventions differ
------------------------
AJI has three meanings in use, all here by name: ``"kumar"``, ``"plus"`` and ``"cellpose"``. The AJI of HoVer-Net
loses objects where no voxel is background; here it does not. Where there is no object on either side all scores are
``empty``, NaN unless told otherwise; with objects on one side only they are 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._objects import HALF, Objects, objects_of, one_to_one, share
from .tables import Contingency

__all__ = [
    "Associations",
    "BestDice",
    "Edits",
    "aji",
    "associations",
    "best_dice",
    "edits",
    "ensemble_dice",
    "seg_score",
]

_VARIANTS = ("kumar", "plus", "cellpose")


def aji(table: Contingency, *, variant: str = "kumar", background: int | None = 0, empty: float = math.nan) -> float:
    """Aggregated Jaccard index.

    Parameters
    ----------
    table : Contingency
    variant : {"kumar", "plus", "cellpose"}
        ``"kumar"`` (Kumar et al., IEEE TMI 2017): every true object goes with the segment of largest IoU, which may
        serve several; overlaps are summed and divided by the sum of unions, of true objects without overlap and of
        segments that were never chosen. ``"plus"`` (AJI+, HoVer-Net): the same with the one-to-one matching of
        largest sum of IoU. ``"cellpose"``: the overlaps of the one-to-one matching with most pairs of IoU >= 1/2,
        then the largest sum, divided by the voxels where truth or labels are objects.
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value where there is no object at all.

    Returns
    -------
    float

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> truth, labels = np.repeat([1, 2, 0], [6, 6, 2]), np.repeat([0, 1, 0], [1, 10, 3])
    >>> metrics.aji(emfast.contingency(truth, labels)) == 10 / 22
    True
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(_VARIANTS)}, got {variant!r}")
    objects = objects_of(table, background)
    if variant == "kumar":
        best = objects.best_of_rows()
        pairs = best[best >= 0]
    else:
        halves = objects.reach(HALF) if variant == "cellpose" else np.zeros(len(objects.rows), bool)
        pairs = one_to_one(objects, np.arange(len(objects.rows)), "optimal", halves)
    overlap = int(objects.overlap[pairs].sum())
    everything = int(objects.truth_sizes.sum()) + int(objects.label_sizes.sum())
    if variant == "cellpose":
        whole = everything - int(objects.overlap.sum())
    else:
        unmatched, unused = np.ones(objects.height, bool), np.ones(objects.width, bool)
        unmatched[objects.rows[pairs]] = unused[objects.columns[pairs]] = False
        alone = int(objects.truth_sizes[unmatched].sum()) + int(objects.label_sizes[unused].sum())
        whole = int(objects.union[pairs].sum()) + alone
    return overlap / whole if whole else empty


@dataclass(frozen=True)
class BestDice:
    """The mean best Dice of both sides; made by :func:`best_dice`.

    Attributes
    ----------
    truth : float
        The mean over true objects of the largest Dice with a segment.
    labels : float
        The mean over segments of the largest Dice with a true object.
    """

    truth: float
    labels: float

    @property
    def symmetric(self) -> float:
        """The smaller of both: SBD, the score of the CVPPP challenge."""
        return min(self.truth, self.labels)


def best_dice(table: Contingency, *, background: int | None = 0, empty: float = math.nan) -> BestDice:
    """Best Dice of either side; the smaller one is symmetric best Dice (SBD).

    Parameters
    ----------
    table : Contingency
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value where there is no object at all.

    Returns
    -------
    BestDice

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> metrics.best_dice(emfast.contingency(np.array([1, 1, 2, 2]), np.array([7, 7, 0, 0])))
    BestDice(truth=0.5, labels=1.0)
    """
    objects = objects_of(table, background)
    dice = 2 * objects.overlap / (objects.overlap + objects.union)  # the sizes of both add up to that

    def mean(best: np.ndarray) -> float:
        total = math.fsum(dice[best[best >= 0]].tolist())
        return float(share(total, len(best), objects.height + objects.width, empty))

    return BestDice(mean(objects.best_of_rows()), mean(objects.best_of_columns()))


def seg_score(table: Contingency, *, background: int | None = 0, empty: float = math.nan) -> float:
    """SEG of the cell tracking challenge: mean IoU of true objects with the segment that has more than half of them.

    A true object of which no segment has more than half counts 0; segments that are nothing's partner do not count.

    Parameters
    ----------
    table : Contingency
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value where there is no object at all.

    Returns
    -------
    float

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> metrics.seg_score(emfast.contingency(np.array([1, 1, 1, 2, 2]), np.array([7, 7, 0, 7, 8])))
    0.25
    """
    objects = objects_of(table, background)
    half = 2 * objects.overlap > objects.truth_sizes[objects.rows]
    total = math.fsum(objects.iou[half].tolist())
    return float(share(total, objects.height, objects.height + objects.width, empty))


def ensemble_dice(table: Contingency, *, background: int | None = 0, empty: float = math.nan) -> float:
    """Dice summed over all pairs that overlap (HoVer-Net's DICE 2): 2 sum of overlaps / sum of both sizes.

    A measure of how pure pairs are; objects that overlap nothing do not count.

    Parameters
    ----------
    table : Contingency
    background : int or None
        The id on both sides that is no object; None: every id is one.
    empty : float
        The value where there is no object at all.

    Returns
    -------
    float

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> metrics.ensemble_dice(emfast.contingency(np.array([1, 1, 2, 2]), np.array([7, 7, 7, 8]))) == 8 / 13
    True
    """
    objects = objects_of(table, background)
    overlap, union = int(objects.overlap.sum()), int(objects.union.sum())
    return float(share(2 * overlap, overlap + union, objects.height + objects.width, empty))


@dataclass(frozen=True)
class Edits:
    """Splits and merges that would repair a segmentation; made by :func:`edits`."""

    splits: int
    merges: int


def edits(table: Contingency, *, above: int = 0, background: int | None = 0) -> Edits:
    """Count false splits and false merges (as gala does): for each object, how many partners it has beyond one.

    Parameters
    ----------
    table : Contingency
    above : int
        A partner shares more voxels than that.
    background : int or None
        The id on both sides that is no object; None: every id is one.

    Returns
    -------
    Edits
        ``splits`` sums over true objects, ``merges`` over segments. Both are 0 where there are no objects.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> metrics.edits(emfast.contingency(np.array([1, 1, 2, 2]), np.array([7, 8, 8, 8])))
    Edits(splits=1, merges=1)
    """
    objects = objects_of(table, background)
    counted = objects.overlap > above

    def beyond_one(owners: np.ndarray) -> int:
        return int(counted.sum()) - len(np.unique(owners[counted]))

    return Edits(beyond_one(objects.rows), beyond_one(objects.columns))


@dataclass(frozen=True, eq=False)
class Associations:
    """How true objects and segments go together; made by :func:`associations`.

    Attributes
    ----------
    one_to_one, over, under, many, missing : int
        True objects of each kind.
    background : int
        Segments that overlap no true object.
    truth_ids : (t,) ids
    kinds : (t,) str
        Of each true object: ``"one-to-one"``, ``"over"``, ``"under"``, ``"many"`` or ``"missing"``.
    groups : (t,) int64
        Which of them go together: the number, in ``truth_ids``, of the one that the group is named after.
    """

    one_to_one: int
    over: int
    under: int
    many: int
    missing: int
    background: int
    truth_ids: np.ndarray
    kinds: np.ndarray
    groups: np.ndarray

    def __repr__(self) -> str:
        return (
            f"Associations: {self.one_to_one} one-to-one, {self.over} over, {self.under} under, {self.many} many, "
            f"{self.missing} missing; {self.background} segments in the background"
        )


def associations(table: Contingency, *, background: int | None = 0) -> Associations:
    """Over- and under-segmentation as the MitoEM toolbox of 2023 (TIMISE) counts it.

    Each segment goes with its true object of largest IoU, however small; a true object that no segment has chosen,
    but some overlap, goes with its segment of largest IoU. Of what hangs together by that, several segments on one
    true object are ``over``, one segment on several ``under``, several on several ``many``. Where two IoU are equal
    the smaller id is chosen; TIMISE takes the larger segment.

    Parameters
    ----------
    table : Contingency
    background : int or None
        The id on both sides that is no object; None: every id is one.

    Returns
    -------
    Associations

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import metrics
    >>> table = emfast.contingency(np.array([1, 1, 2, 2, 3, 0]), np.array([7, 8, 9, 9, 9, 6]))
    >>> found = metrics.associations(table)
    >>> found
    Associations: 0 one-to-one, 1 over, 2 under, 0 many, 0 missing; 1 segments in the background
    >>> found.kinds.tolist()
    ['over', 'under', 'under']
    """
    objects = objects_of(table, background)
    of_label, of_truth = objects.best_of_columns(), objects.best_of_rows()
    found = of_label >= 0
    center = np.full(objects.width, -1, np.int64)  # the true object that each segment goes with
    center[found] = objects.rows[of_label[found]]
    groups = _groups(objects, center, of_truth)
    labels = np.bincount(center[found], minlength=objects.height)[groups]
    truth = np.bincount(groups, minlength=objects.height)[groups]
    names = ["missing", "one-to-one", "over", "under", "many"]
    kinds = np.array(names)[np.where(labels == 0, 0, 1 + (labels > 1) + 2 * (truth > 1))]
    missing, one, over, under, many = (int((kinds == name).sum()) for name in names)
    return Associations(one, over, under, many, missing, int((~found).sum()), objects.truth_ids, kinds, groups)


def _groups(objects: Objects, center: np.ndarray, of_truth: np.ndarray) -> np.ndarray:
    """The true object whose segments each one goes with: itself where a segment chose it or none overlaps it."""
    groups = np.arange(objects.height)
    chosen = np.zeros(objects.height, bool)
    chosen[center[center >= 0]] = True
    others = ~chosen & (of_truth >= 0)
    groups[others] = center[objects.columns[of_truth[others]]]
    return groups
