"""StarDist's matching on emfast: ``from emfast.compat import stardist_matching``, for ``stardist.matching``.

Results are those of StarDist 0.9: one-to-one matchings with most pairs at the threshold and then the largest sum of
scores, which are compared with thresholds in float32. Memory is in the number of pairs that overlap, whatever the ids.
Where results differ:

- ``matched_pairs`` leave out pairs that do not overlap, which StarDist adds to them.
- Where several matchings are equally good StarDist takes whichever the solver finds, emfast that of largest overlap.
- Means of scores are of float64, and rounded once; StarDist adds up float32. They agree to six digits.
- ``show_progress`` shows nothing; ``parallel`` changes nothing.

``emfast.metrics.average_precision`` counts at many thresholds from one table.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import emfast

from ..metrics._objects import Objects
from ._objects import CRITERIA, assigned, scored

__all__ = ["accuracy", "f1", "matching", "matching_dataset", "matching_dataset_lazy", "precision", "recall"]


def precision(tp: int, fp: int, fn: int) -> float:
    """TP / (TP + FP), 0 without TP."""
    return tp / (tp + fp) if tp > 0 else 0


def recall(tp: int, fp: int, fn: int) -> float:
    """TP / (TP + FN), 0 without TP."""
    return tp / (tp + fn) if tp > 0 else 0


def accuracy(tp: int, fp: int, fn: int) -> float:
    """TP / (TP + FP + FN), 0 without TP."""
    return tp / (tp + fp + fn) if tp > 0 else 0


def f1(tp: int, fp: int, fn: int) -> float:
    """2 TP / (2 TP + FP + FN), 0 without TP."""
    return 2 * tp / (2 * tp + fp + fn) if tp > 0 else 0


def matching(y_true: Any, y_pred: Any, thresh: Any = 0.5, criterion: str = "iou", report_matches: bool = False) -> Any:
    """Match objects of two label images and score the result.

    Parameters
    ----------
    y_true, y_pred : arrays of non-negative integers, of one shape
    thresh : float or sequence of floats
        The least score of a pair. None is 0.
    criterion : {"iou", "iot", "iop"}
        Overlap over union, over the true object or over the predicted one.
    report_matches : bool
        Add ``matched_pairs``, ``matched_scores`` and ``matched_tps``, the places among these that reach the threshold.

    Returns
    -------
    namedtuple, or a tuple of them for several thresholds

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import stardist_matching
    >>> found = stardist_matching.matching(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))
    >>> found.tp, found.fp, found.fn, found.panoptic_quality
    (2, 1, 0, 0.5)
    """
    for name, array in (("y_true", y_true), ("y_pred", y_pred)):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
            raise ValueError(f"{name} must be an array of non-negative integers.")
    if y_true.shape != y_pred.shape:
        raise ValueError(f"y_true ({y_true.shape}) and y_pred ({y_pred.shape}) have different shapes")
    if criterion not in CRITERIA:
        raise ValueError(f"Matching criterion '{criterion}' not supported.")
    objects = scored(emfast.contingency(y_true, y_pred), criterion)
    thresh = 0 if thresh is None else thresh
    if np.ndim(thresh) == 0:
        return _single(objects, float(thresh), criterion, report_matches)
    return tuple(_single(objects, float(t), criterion, report_matches) for t in thresh)


def _single(objects: Objects, thresh: float, criterion: str, report_matches: bool) -> Any:
    scores = objects.iou.astype(np.float32)
    pairs = assigned(objects, scores >= np.float32(thresh))
    ok = scores[pairs] >= np.float32(thresh)
    found = objects.iou[pairs]
    total = math.fsum(found[ok].tolist())
    n_true, n_pred = objects.height, objects.width
    tp = int(ok.sum()) if thresh > 0 else min(n_true, n_pred)  # at 0 those that do not overlap match as well
    values = {
        "criterion": criterion,
        "thresh": thresh,
        **_scores(tp, n_pred - tp, n_true - tp, total),
    }
    if report_matches:
        ids = zip(objects.truth_ids[objects.rows[pairs]], objects.label_ids[objects.columns[pairs]], strict=True)
        shown = bool(tp)
        values["matched_pairs"] = tuple((int(t), int(s)) for t, s in ids) if shown else ()
        values["matched_scores"] = tuple(found) if shown else ()
        values["matched_tps"] = tuple(np.flatnonzero(ok).tolist()) if shown else ()
    return namedtuple("Matching", values)(**values)


def _scores(tp: int, fp: int, fn: int, total: float) -> dict[str, Any]:
    """The fields that counts and the sum of scores give."""
    return {
        "fp": fp,
        "tp": tp,
        "fn": fn,
        "precision": precision(tp, fp, fn),
        "recall": recall(tp, fp, fn),
        "accuracy": accuracy(tp, fp, fn),
        "f1": f1(tp, fp, fn),
        "n_true": tp + fn,
        "n_pred": tp + fp,
        "mean_true_score": total / (tp + fn) if tp + fn else 0.0,
        "mean_matched_score": total / tp if tp else 0.0,
        "panoptic_quality": total / (tp + fp / 2 + fn / 2) if tp + fp + fn else 0.0,
    }


def matching_dataset(
    y_true: Sequence[Any],
    y_pred: Sequence[Any],
    thresh: Any = 0.5,
    criterion: str = "iou",
    by_image: bool = False,
    show_progress: bool = True,
    parallel: bool = False,
) -> Any:
    """Match objects of many images.

    Parameters
    ----------
    y_true, y_pred : sequences of arrays, as many in either
    thresh, criterion
        As in :func:`matching`.
    by_image : bool
        Whether scores are means over images; otherwise objects of all images are counted together.
    show_progress, parallel
        Change nothing.

    Returns
    -------
    namedtuple, or a tuple of them for several thresholds

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import stardist_matching
    >>> images = [np.array([1, 1, 2]), np.array([3, 3, 3])]
    >>> found = stardist_matching.matching_dataset(images, [images[0], images[1] * 0])
    >>> found.tp, found.fn, found.recall
    (2, 1, 0.6666666666666666)
    """
    if len(y_true) != len(y_pred):
        raise ValueError("y_true and y_pred must have the same length.")
    return matching_dataset_lazy(zip(y_true, y_pred, strict=True), thresh, criterion, by_image, show_progress, parallel)


def matching_dataset_lazy(
    y_gen: Iterable[tuple[Any, Any]],
    thresh: Any = 0.5,
    criterion: str = "iou",
    by_image: bool = False,
    show_progress: bool = True,
    parallel: bool = False,
) -> Any:
    """As :func:`matching_dataset`, of pairs that come one after another."""
    thresholds = (thresh,) if np.ndim(thresh) == 0 else tuple(thresh)
    images = [matching(t, p, thresholds, criterion) for t, p in y_gen]
    if not images and by_image:
        raise ValueError("y_gen must have an image at least, got none")
    found = []
    for t, results in zip(thresholds, zip(*images, strict=True) if images else ((),) * len(thresholds), strict=True):
        tp, fp, fn = (sum(getattr(r, name) for r in results) for name in ("tp", "fp", "fn"))
        values = _scores(tp, fp, fn, math.fsum(r.mean_true_score * r.n_true for r in results))
        if by_image:
            for name in _MEANS:
                values[name] = math.fsum(getattr(r, name) for r in results) / len(results)
        values = {"criterion": criterion, "thresh": t, **values, "by_image": bool(by_image)}
        found.append(namedtuple("DatasetMatching", values)(**values))
    return found[0] if np.ndim(thresh) == 0 else tuple(found)


_MEANS = ("precision", "recall", "accuracy", "f1", "mean_true_score", "mean_matched_score", "panoptic_quality")
