"""elf's evaluation on emfast: ``from emfast.compat import elf_evaluation``, for ``elf.evaluation``.

The names of ``elf.evaluation`` and of its modules ``matching`` and ``dice``, with the segmentation first as there.
Results are those of elf 0.9, floats and thresholds of ``numpy.arange`` included: by default 0.7 and 0.8 stand for the
next floats above, which an IoU of exactly 7/10 or 8/10 does not reach. Where results differ:

- Sums are exact or compensated: the last digits differ, and what is 0 is 0 where elf has 1e-16.
- ``rand_index`` and ``cremi_score`` keep their digits where squares of sizes exceed 2**53.
- Without any voxel scores are what emfast.metrics documents, NaN mostly; elf divides by zero.
- Where several matchings are equally good elf takes whichever the solver finds; scores are the same.

``emfast.metrics`` has the same from one table, exact thresholds, and names in place of pairs of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast

from .. import metrics
from ..metrics import Contingency
from ..metrics._objects import Objects
from ._objects import assigned, scored
from .stardist_matching import accuracy as segmentation_accuracy
from .stardist_matching import f1, precision, recall

__all__ = [
    "cremi_score",
    "dice_score",
    "f1",
    "matching",
    "mean_segmentation_accuracy",
    "object_vi",
    "precision",
    "rand_index",
    "recall",
    "segmentation_accuracy",
    "symmetric_best_dice_score",
    "variation_of_information",
]

# elf's functions for "true" and "predicted" are given the two images the other way round.
_CRITERIA = {"iou": "iou", "iot": "iop", "iop": "iot"}
_EPSILON = 1e-7  # what elf adds to divisors of Dice

Ids = Sequence[int] | None


def _table(segmentation: Any, groundtruth: Any, ignore_seg: Ids, ignore_gt: Ids) -> Contingency:
    """Without the voxels to be ignored; with both lists only those that are to be ignored on both sides."""
    table = emfast.contingency(groundtruth, segmentation)
    if ignore_seg is None or ignore_gt is None:
        return table.without(truth=ignore_gt or (), labels=ignore_seg or ())
    truth, labels, counts = table.pairs
    kept = ~(np.isin(truth, list(ignore_gt)) & np.isin(labels, list(ignore_seg)))
    return Contingency.from_pairs(truth[kept], labels[kept], counts[kept])


def variation_of_information(
    segmentation: Any, groundtruth: Any, ignore_seg: Ids = None, ignore_gt: Ids = None, use_log2: bool = True
) -> tuple[float, float]:
    """Split and merge variation of information.

    Parameters
    ----------
    segmentation, groundtruth : arrays of integers, of one shape
    ignore_seg, ignore_gt : sequences of ids, optional
        Voxels to leave out; with both, those only that are ignored on both sides.
    use_log2 : bool
        Bits, else nats.

    Returns
    -------
    split, merge : float

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.variation_of_information(np.array([1, 1, 2, 3]), np.array([1, 1, 2, 2]))
    (0.5, 0.0)
    """
    found = metrics.voi(_table(segmentation, groundtruth, ignore_seg, ignore_gt), unit=_unit(use_log2))
    return found.split, found.merge


def object_vi(
    segmentation: Any, groundtruth: Any, ignore_seg: Ids = None, ignore_gt: Ids = None, use_log2: bool = True
) -> dict[int, tuple[float, float]]:
    """Two variations of information of each object of the ground truth, whatever its size.

    As in elf the first is what others merge with the object, the second how it is split: the other way round than in
    :func:`variation_of_information`.

    Parameters
    ----------
    segmentation, groundtruth, ignore_seg, ignore_gt, use_log2
        As in :func:`variation_of_information`.

    Returns
    -------
    dict from ids to (float, float)

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.object_vi(np.array([1, 1, 2, 3]), np.array([1, 1, 2, 2]))
    {1: (0.0, 0.0), 2: (0.0, 1.0)}
    """
    table = metrics.voi_per_object(_table(segmentation, groundtruth, ignore_seg, ignore_gt), unit=_unit(use_log2))
    columns = (table.truth.tolist(), table.merge_alone.tolist(), table.split_alone.tolist())
    return {i: (merge, split) for i, merge, split in zip(*columns, strict=True)}


def rand_index(
    segmentation: Any, groundtruth: Any, ignore_seg: Ids = None, ignore_gt: Ids = None
) -> tuple[float, float]:
    """Adapted Rand error and Rand index.

    Parameters
    ----------
    segmentation, groundtruth, ignore_seg, ignore_gt
        As in :func:`variation_of_information`.

    Returns
    -------
    error, index : float
        The index is that of ordered pairs of voxels, each with itself too.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.rand_index(np.array([1, 1, 2, 3]), np.array([1, 1, 2, 2]))
    (0.14285714285714285, 0.875)
    """
    table = _table(segmentation, groundtruth, ignore_seg, ignore_gt)
    return metrics.adapted_rand(table).error, metrics.rand(table, form="ordered").index


def cremi_score(
    segmentation: Any, groundtruth: Any, ignore_seg: Ids = None, ignore_gt: Ids = None
) -> tuple[float, float, float, float]:
    """Split and merge variation of information, adapted Rand error, and the root of its product with the sum of both.

    Parameters
    ----------
    segmentation, groundtruth, ignore_seg, ignore_gt
        As in :func:`variation_of_information`.

    Returns
    -------
    split, merge, error, score : float

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.cremi_score(np.array([1, 1, 2, 3]), np.array([1, 1, 2, 2]))[:3]
    (0.5, 0.0, 0.14285714285714285)
    """
    table = _table(segmentation, groundtruth, ignore_seg, ignore_gt)
    halves, error = metrics.voi(table), metrics.adapted_rand(table).error
    return halves.split, halves.merge, error, math.sqrt(error * halves.total)


def _unit(use_log2: bool) -> str:
    return "bits" if use_log2 else "nats"


def _matched(objects: Objects, threshold: float) -> tuple[int, int, int]:
    """TP, FP, FN."""
    reached = objects.iou >= threshold
    smaller = min(objects.height, objects.width)
    tp = int(reached[assigned(objects, reached)].sum()) if threshold > 0 else smaller  # at 0 all reach it
    return tp, objects.width - tp, objects.height - tp


def _scored(segmentation: Any, groundtruth: Any, criterion: str, ignore_label: int | None) -> Objects:
    if criterion not in _CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(_CRITERIA)}, got {criterion!r}")
    return scored(emfast.contingency(groundtruth, segmentation), _CRITERIA[criterion], ignore_label)


def matching(
    segmentation: Any, groundtruth: Any, threshold: float = 0.5, criterion: str = "iou", ignore_label: int | None = 0
) -> dict[str, float]:
    """Scores of objects that are matched one to one.

    Parameters
    ----------
    segmentation, groundtruth : arrays of integers, of one shape
    threshold : float
        The least score of a pair.
    criterion : {"iou", "iot", "iop"}
        Overlap over union; "iot" is overlap over the *predicted* object and "iop" over the true one, as in elf.
    ignore_label : int or None
        The id on both sides that is no object.

    Returns
    -------
    dict
        ``precision``, ``recall``, ``segmentation_accuracy``, ``f1``.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.matching(np.array([7, 7, 7, 7, 8, 9]), np.array([1, 1, 1, 2, 2, 0]))["recall"]
    1.0
    """
    counts = _matched(_scored(segmentation, groundtruth, criterion, ignore_label), threshold)
    return {
        "precision": precision(*counts),
        "recall": recall(*counts),
        "segmentation_accuracy": segmentation_accuracy(*counts),
        "f1": f1(*counts),
    }


def mean_segmentation_accuracy(
    segmentation: Any,
    groundtruth: Any,
    thresholds: Sequence[float] | None = None,
    return_accuracies: bool = False,
    ignore_label: int | None = 0,
) -> Any:
    """The mean over thresholds of TP / (TP + FP + FN).

    Parameters
    ----------
    segmentation, groundtruth : arrays of integers, of one shape
    thresholds : sequence of floats, optional
        Of IoU. Default: ``numpy.arange(0.5, 1.0, 0.05)``.
    return_accuracies : bool
        Return those at the thresholds as well.
    ignore_label : int or None
        The id on both sides that is no object.

    Returns
    -------
    float, or (float, list of float)

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> elf_evaluation.mean_segmentation_accuracy(np.array([1, 1, 2, 2]), np.array([5, 5, 6, 6]))
    1.0
    """
    objects = _scored(segmentation, groundtruth, "iou", ignore_label)
    wanted = np.arange(0.5, 1.0, 0.05) if thresholds is None else thresholds
    accuracies = [segmentation_accuracy(*_matched(objects, float(t))) for t in wanted]
    mean = float(np.mean(accuracies))
    return (mean, accuracies) if return_accuracies else mean


def dice_score(
    segmentation: Any, groundtruth: Any, threshold_seg: float | None = 0, threshold_gt: float | None = 0
) -> float:
    """Dice of two masks, or of two maps of probability.

    Parameters
    ----------
    segmentation, groundtruth : arrays, of one shape
    threshold_seg, threshold_gt : float or None
        What is more than that is foreground; None takes the values as they are.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> round(elf_evaluation.dice_score(np.array([1, 1, 0]), np.array([1, 0, 0])), 6)
    0.666667
    """
    first, second = np.asarray(segmentation), np.asarray(groundtruth)
    if first.shape != second.shape:
        raise AssertionError(f"{first.shape}, {second.shape}")
    if threshold_seg is not None:
        first = first > threshold_seg
    if threshold_gt is not None:
        second = second > threshold_gt
    return float(2 * np.sum(second * first)) / float(np.sum(second) + np.sum(first) + _EPSILON)


def symmetric_best_dice_score(segmentation: Any, groundtruth: Any, impl: str = "bic") -> float:
    """The mean over objects of the best Dice with an object of the other side; the smaller of both ways.

    Parameters
    ----------
    segmentation, groundtruth : arrays of integers, of one shape
    impl : {"bic", "numpy"}
        Changes nothing.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import elf_evaluation
    >>> round(elf_evaluation.symmetric_best_dice_score(np.array([7, 7, 0, 0]), np.array([1, 1, 2, 2])), 6)
    0.5
    """
    if impl not in ("bic", "numpy"):
        raise AssertionError(f"impl must be 'bic' or 'numpy', got {impl!r}")
    objects = scored(emfast.contingency(groundtruth, segmentation), "iou")
    if objects.height == 0 or objects.width == 0:
        return 0.0
    dice = 2 * objects.overlap / (objects.overlap + objects.union + _EPSILON)

    def mean(owners: np.ndarray, count: int) -> float:
        best = np.zeros(count)
        np.maximum.at(best, owners, dice)
        return float(np.mean(best))

    return min(mean(objects.rows, objects.height), mean(objects.columns, objects.width))
