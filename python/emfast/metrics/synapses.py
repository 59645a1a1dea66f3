"""Synapses as the CREMI challenge scores them: distances of clefts, and pairs of partners."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _native
from .._arrays import Host, take
from .._options import number_of
from ._numbers import ratio
from .surfaces import Directed, surface_distances

# Which labels are no cleft, and which true one says that nothing is known there.
_CONVENTIONS: dict[str, tuple[int, int | None]] = {"zero": (0, None), "cremi": (2**64 - 1, 2**64 - 2)}
_GRID = 2.0**36  # steps of a gain of one, so that sums of many stay exact in 64 bits


class CleftScore(NamedTuple):
    """Distances between clefts, in nanometres; made by :func:`cleft_score`.

    Attributes
    ----------
    adgt : float
        The mean distance of a predicted cleft voxel to the nearest true one. NaN if nothing is predicted.
    adf : float
        The mean distance of a true cleft voxel to the nearest predicted one. NaN if there is none.
    false_positives, false_negatives : int
        Predicted voxels farther than ``tolerance`` from every true one, and the other way round.
    from_labels, from_truth : Directed
        All these distances, for medians and the like.
    """

    adgt: float
    adf: float
    false_positives: int
    false_negatives: int
    from_labels: Directed
    from_truth: Directed

    @property
    def score(self) -> float:
        """The number of the leaderboard: the mean of ``adgt`` and ``adf``; infinite where one side has no cleft."""
        return math.inf if math.inf in (self.adgt, self.adf) else (self.adgt + self.adf) / 2


def cleft_score(
    truth: Any,
    labels: Any,
    *,
    tolerance: float = 200.0,
    spacing: Sequence[float] = (1, 1, 1),
    convention: str = "zero",
) -> CleftScore:
    """How far predicted and true synaptic clefts lie from each other.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers, of one shape
        Clefts; which one a voxel belongs to is of no account.
    tolerance : float
        In nanometres: what is farther is false.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    convention : {"zero", "cremi"}
        ``"zero"``: 0 is no cleft. ``"cremi"``: 2^64 − 1 is no cleft, and where the truth is 2^64 − 2 nothing is known:
        there is no cleft on either side.

    Returns
    -------
    CleftScore
        Where one side has no cleft at all, distances to it are infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import cleft_score
    >>> truth, labels = np.array([[0, 0, 0, 7, 7]]), np.array([[3, 0, 0, 3, 0]])
    >>> found = cleft_score(truth, labels, spacing=(100, 100))
    >>> found.adgt, found.adf, found.false_positives, found.false_negatives, found.score
    (150.0, 50.0, 1, 0, 100.0)
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f"convention must be zero or cremi, got {convention!r}")
    tolerance = number_of(tolerance, "tolerance", 0)
    ours, theirs = take(truth, "truth"), take(labels, "labels")
    if ours.shape != theirs.shape:
        raise ValueError(f"labels must have the shape of truth {ours.shape}, got {theirs.shape}")
    background, unknown = _CONVENTIONS[convention]
    values, found = (op.library.to_numpy(op.array) for op in (ours, theirs))
    clefts = [~_equal(values, background), ~_equal(found, background)]
    if unknown is not None:
        known = ~_equal(values, unknown)
        clefts = [cleft & known for cleft in clefts]
    distances = surface_distances(*clefts, spacing=spacing, surface="points")
    sides = distances.from_labels, distances.from_truth
    false = [side.places - int(side.counts[side.distances <= tolerance].sum()) for side in sides]
    return CleftScore(sides[0].mean(), sides[1].mean(), false[0], false[1], *sides)


def _equal(values: np.ndarray, number: int) -> np.ndarray:
    """Where integers are a number; −1 of signed 64-bit integers is the 2^64 − 1 that was cast to them."""
    if values.dtype == np.int64 and number >= 2**63:
        number -= 2**64
    return np.asarray(values == number)


@dataclass(frozen=True, eq=False)
class PartnerScore:
    """Synaptic partners found; made by :func:`partner_score`.

    Attributes
    ----------
    true_positives, false_positives, false_negatives : int
    matches : (k, 2) int64
        Rows of ``truth`` and of ``found`` that belong together, ascending.
    costs : (k,) float64
        The mean distance of the two ends of each match, in nanometres.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    matches: np.ndarray
    costs: np.ndarray

    @property
    def precision(self) -> float:
        """Found pairs that are true, of all found; NaN if nothing is found."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """True pairs that are found, of all; NaN if there are none."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if there is nothing on either side."""
        return ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


def partner_score(
    truth: Any, found: Any, *, segments: tuple[Any, Any] | None = None, threshold: float = 400.0
) -> PartnerScore:
    """Match predicted synaptic partners with true ones, and count.

    Two pairs may match if both ends are no farther than ``threshold`` from each other and, with ``segments``, lie in
    the same true neurons. Of all ways to match one to one, that with the largest sum of ``2 * threshold - cost`` is
    taken, where the cost is the mean of the two distances (CREMI's Hungarian assignment). Sums are in steps of 2^-36 of
    twice the threshold, so that the answer is one.

    Parameters
    ----------
    truth : (n, 2, 3) floats
        Places of the presynaptic and the postsynaptic end, in nanometres.
    found : (m, 2, 3) floats
    segments : ((n, 2), (m, 2)) integers, optional
        The true neuron at each of these places.
    threshold : float
        In nanometres.

    Returns
    -------
    PartnerScore

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import partner_score
    >>> truth = np.array([[[0, 0, 0], [0, 0, 100]], [[0, 500, 0], [0, 500, 100]]])
    >>> score = partner_score(truth, truth[:1] + [0, 30, 0])
    >>> score.f1, score.matches.tolist(), score.costs.tolist()
    (0.6666666666666666, [[0, 0]], [30.0])
    """
    threshold = number_of(threshold, "threshold", 0)
    if not 0 < threshold < math.inf:
        raise ValueError(f"threshold must be positive and finite, got {threshold!r}")
    true_places, found_places = _places(truth, "truth"), _places(found, "found")
    sizes = len(true_places), len(found_places)
    rows, columns = _near(true_places, found_places, threshold)
    if segments is not None:
        ids = [np.asarray(part) for part in segments]
        for part, size, name in zip(ids, sizes, ("truth", "found"), strict=True):
            if part.shape != (size, 2) and size:
                raise ValueError(f"segments of {name} must have shape ({size}, 2), got {part.shape}")
        alike = np.ones(len(rows), bool)
        if len(rows):
            alike = (ids[0][rows] == ids[1][columns]).all(axis=1)
        rows, columns = rows[alike], columns[alike]
    apart = np.sqrt(((true_places[rows] - found_places[columns]) ** 2).sum(axis=2))
    close = (apart <= threshold).all(axis=1)
    rows, columns, costs = rows[close], columns[close], apart[close].sum(axis=1) / 2
    gains = np.zeros((len(rows), 3), np.int64)
    gains[:, 0] = np.rint((1 - costs / (2 * threshold)) * _GRID)
    taken = _native.host.matching_assign(Host, *sizes, rows, columns, gains).view(bool)
    matched = int(taken.sum())
    matches = np.stack([rows[taken], columns[taken]], axis=1)
    return PartnerScore(matched, sizes[1] - matched, sizes[0] - matched, matches, costs[taken])


def _places(value: Any, name: str) -> np.ndarray:
    places = np.asarray(value, np.float64)
    if places.size == 0:
        return np.zeros((0, 2, 3))
    if places.ndim != 3 or places.shape[1:] != (2, 3) or not np.isfinite(places).all():
        raise ValueError(f"{name} must be (n, 2, 3) finite places, got shape {places.shape}")
    return places


def _near(truth: np.ndarray, found: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both whose first ends are within the threshold along z, in ascending order."""
    order = np.argsort(found[:, 0, 0], kind="stable")
    heights, mine = found[order, 0, 0], truth[:, 0, 0]
    first, last = np.searchsorted(heights, mine - threshold), np.searchsorted(heights, mine + threshold, "right")
    # Rounding of the sums must lose no pair: one more on both sides, and the distances decide.
    first, last = (first - 1).clip(0), (last + 1).clip(max=len(heights))
    counts = (last - first).clip(0)
    rows = np.repeat(np.arange(len(truth)), counts)
    columns = order[np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)]
    both = np.lexsort((columns, rows))
    return rows[both].astype(np.int64), columns[both].astype(np.int64)


__all__ = ["CleftScore", "PartnerScore", "cleft_score", "partner_score"]
