"""The objects of a table and the pairs of them that overlap: what all scores of objects are made from.

An object is an id that is not the background. The background counts in the sizes of objects all the same: a segment
that lies half in nothing has that half in its union with anything.

Overlap over union is a fraction of integers, and comparisons with thresholds and with each other are exact.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .. import _native
from .._arrays import Host
from .._options import background_of
from .tables import Contingency, checked

HALF = Fraction(1, 2)
THRESHOLDS = tuple(Fraction(k, 20) for k in range(10, 20))  # 0.5, 0.55 … 0.95
_FINEST = 10**6  # the largest denominator that a float is taken for
_QUALITY = 2.0**32  # steps of overlap over union in sums of gains
_SMALL = 2**26  # fractions up to 1 with smaller denominators are different floats when they differ


@dataclass(frozen=True, eq=False)
class Objects:
    """Numbers count objects from 0, in ascending order of ids.

    ``rows`` and ``columns`` are the numbers of the objects of each pair, ascending by row, then column; ``overlap`` and
    ``union`` its voxels.
    """

    truth_ids: np.ndarray
    label_ids: np.ndarray
    truth_sizes: np.ndarray
    label_sizes: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    overlap: np.ndarray
    union: np.ndarray

    @property
    def height(self) -> int:
        return len(self.truth_ids)

    @property
    def width(self) -> int:
        return len(self.label_ids)

    @property
    def iou(self) -> np.ndarray:
        """Overlap over union of each pair: (n,) float64."""
        return self.overlap / self.union

    def reach(self, threshold: Fraction, *, strict: bool = False) -> np.ndarray:
        """Whether overlap over union is at least the threshold, or more than it if ``strict``: (n,) bool."""
        return reach(self.overlap, self.union, threshold, strict=strict)

    def best_of_rows(self) -> np.ndarray:
        """The pair with the largest overlap over union of each true object, the smaller id first; -1 where none is."""
        return _best(self.rows, self.overlap, self.union, self.height)

    def best_of_columns(self) -> np.ndarray:
        """The same of each segment."""
        return _best(self.columns, self.overlap, self.union, self.width)


def objects_of(table: Contingency, background: int | None = 0) -> Objects:
    """All objects of a table; every id is one where there is no background."""
    table = checked(table)
    is_truth, is_label = (_is_object(ids, background) for ids in (table.truth_ids, table.label_ids))
    rows, columns, overlap = table.rows, table.columns, table.counts
    kept = is_truth[rows] & is_label[columns]
    rows, columns, overlap = rows[kept], columns[kept], overlap[kept]
    union = table.truth_sizes[rows] + table.label_sizes[columns] - overlap
    return Objects(
        table.truth_ids[is_truth],
        table.label_ids[is_label],
        table.truth_sizes[is_truth],
        table.label_sizes[is_label],
        (np.cumsum(is_truth) - 1)[rows],
        (np.cumsum(is_label) - 1)[columns],
        overlap,
        union,
    )


def _is_object(ids: np.ndarray, background: int | None) -> np.ndarray:
    nothing = background_of(background, ids.dtype)
    return np.ones(len(ids), bool) if nothing is None else ids.view(np.uint64) != nothing


def threshold_of(value: Any, name: str = "threshold") -> Fraction:
    """A threshold as a fraction: a float as the nearest one of a small denominator, so that 0.7 is 7/10."""
    if isinstance(value, numbers.Rational):
        fraction = Fraction(int(value.numerator), int(value.denominator))
    elif isinstance(value, numbers.Real) and math.isfinite(value):
        fraction = Fraction(float(value)).limit_denominator(_FINEST)
    else:
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}")
    return fraction


def thresholds_of(values: Any) -> tuple[Fraction, ...]:
    """One threshold or several."""
    if isinstance(values, numbers.Number):
        values = (values,)
    out = tuple(threshold_of(value, "thresholds") for value in values)
    if not out:
        raise ValueError("thresholds must be at least one, got none")
    return out


def reach(part: np.ndarray, whole: np.ndarray, threshold: Fraction, *, strict: bool = False) -> np.ndarray:
    """Whether part / whole >= threshold, or > if ``strict``, in integers."""
    p, q = threshold.numerator, threshold.denominator
    if int(whole.max(initial=0)) * max(p, q) < 2**63:
        left, right = part * q, whole * p
    else:
        left, right = part.astype(object) * q, whole.astype(object) * p
    reached: np.ndarray = left > right if strict else left >= right
    return reached.astype(bool)


def by_quotient(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The places in descending order of part / whole <= 1; of equal ones the first comes first."""
    quotients = part / whole
    order = np.argsort(-quotients, kind="stable")
    if int(whole.max(initial=0)) < _SMALL:
        return order
    if int(whole.max()) >= 2**53:  # even the order of floats is no order of fractions
        return np.array(sorted(order.tolist(), key=lambda k: (-Fraction(int(part[k]), int(whole[k])), k)), np.intp)
    sorted_quotients, divisors = quotients[order], np.gcd(part, whole)[order]
    parts, wholes = part[order] // divisors, whole[order] // divisors
    alike = sorted_quotients[1:] == sorted_quotients[:-1]
    unequal = alike & ((parts[1:] != parts[:-1]) | (wholes[1:] != wholes[:-1]))
    starts = np.flatnonzero(np.concatenate([[True], ~alike]))  # of runs of one float
    for run in np.unique(np.searchsorted(starts, np.flatnonzero(unequal), "right")).tolist():
        begin, end = starts[run - 1], starts[run] if run < len(starts) else len(order)
        places = order[begin:end].tolist()
        order[begin:end] = sorted(places, key=lambda k: (-Fraction(int(part[k]), int(whole[k])), k))
    return order


def _best(owners: np.ndarray, part: np.ndarray, whole: np.ndarray, count: int) -> np.ndarray:
    """The first place with the largest part / whole of each owner, -1 where it has none."""
    if int(whole.max(initial=0)) < _SMALL:
        quotients = part / whole
        largest = np.zeros(count)
        np.maximum.at(largest, owners, quotients)
        order = np.flatnonzero(quotients == largest[owners])
    else:
        order = by_quotient(part, whole)
    first = np.full(count, -1, np.int64)
    first[owners[order[::-1]]] = order[::-1]  # the last one written stays
    return first


def one_to_one(objects: Objects, pairs: np.ndarray, rule: str, wanted: np.ndarray | None = None) -> np.ndarray:
    """Those of some ascending pairs that match their objects one to one, by a rule.

    ``greedy`` takes the largest overlap over union first; ``optimal`` the matching with the most ``wanted`` pairs
    (default: all count), then the largest sum of overlap over union in steps of 2**-32, then of overlap.
    """
    rows, columns = objects.rows[pairs], objects.columns[pairs]
    alone = (np.bincount(rows, minlength=1)[rows] == 1) & (np.bincount(columns, minlength=1)[columns] == 1)
    rest = pairs[~alone]
    if len(rest) == 0:
        return pairs
    overlap, union = objects.overlap[rest], objects.union[rest]
    if rule == "greedy":
        rest = rest[by_quotient(overlap, union)]
    graph = (Host, objects.height, objects.width, objects.rows[rest], objects.columns[rest])
    if rule == "greedy":
        taken = _native.host.matching_greedy(*graph)
    else:
        gains = np.empty((len(rest), 3), np.int64)
        gains[:, 0] = 1 if wanted is None else wanted[~alone]
        gains[:, 1] = np.rint(overlap / union * _QUALITY)
        gains[:, 2] = overlap
        taken = _native.host.matching_assign(*graph, gains)
    return np.sort(np.concatenate([pairs[alone], rest[taken.view(bool)]]))


def share(part: Any, whole: Any, objects: Any, empty: float) -> Any:
    """part / whole, 0 where there is no whole, and ``empty`` where there are no objects at all."""
    part, whole, objects = (np.asarray(value, np.float64) for value in (part, whole, objects))
    out = np.where(objects > 0, 0.0, empty)
    np.divide(part, whole, out=out, where=(whole > 0) & (objects > 0))
    return out if out.ndim else float(out)
