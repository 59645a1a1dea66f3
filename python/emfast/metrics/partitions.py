"""Scores of two partitions: information and pairs of voxels. Each is a function of a :class:`Contingency`.

With n_ij the voxels that true object i shares with segment j, a_i and b_j the sizes, N all voxels, everything comes of
three sums of squares, S_ab = Σ n_ij², S_a = Σ a_i² and S_b = Σ b_j², and of sums like Σ n_ij log₂(a_i / n_ij). Squares
are added up as integers of any size, logarithms without rounding on the way, so that no order of ids or blocks changes
a bit of a score, and equal partitions score exactly 0 or 1.

All count what the table holds. Where the background of the truth is not meant to count, leave it out of the table:
``contingency(..., ignore=0)`` or ``table.without(truth=0)``. What becomes of voxels with *label* 0 that are left is
said by ``label_zero``:

- ``"segment"``: they are one segment (scikit-image, funlib, elf, CREMI's VOI);
- ``"singletons"``: each is a segment of its own (SNEMI3D, ISBI 2012, segascorus);
- ``"ignore"``: they are not counted (gala's ``split_vi``, nifty).

A table without voxels has no scores: they are NaN.

=========================  =============================================================================
here                       elsewhere
=========================  =============================================================================
``split``                  over-segmentation: how far true objects are cut into parts
``merge``                  under-segmentation: how far segments hold several objects
``voi(...).split``         H(labels | truth); the first of scikit-image's pair where truth is ``image0``
``vrand(...).split``       scikit-image's "precision", CREMI's "recall"
``adapted_rand(...)``      1 - F of ``vrand``; ``"pairs"`` in scikit-image and gala, ``"plain"`` in elf and funlib
=========================  =============================================================================

References
----------
Meilă, "Comparing clusterings: an information based distance", 2007.
Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics", 2015.
Hubert & Arabie, "Comparing partitions", 1985.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._options import number_of
from .._table import Table
from ._numbers import ratio
from .tables import Contingency, checked

if TYPE_CHECKING:
    from fractions import Fraction

_LN2 = math.log(2)
_VARIANTS = ("plain", "pairs", "singletons", "pairs+singletons", "snemi3d", "cremi_legacy")


class Voi(NamedTuple):
    """Variation of information; see :func:`voi`."""

    split: float
    merge: float

    @property
    def total(self) -> float:
        return self.split + self.merge


class Entropies(NamedTuple):
    """See :func:`entropies`."""

    truth: float
    labels: float
    joint: float


class NormalisedVoi(NamedTuple):
    """See :func:`normalised_voi`."""

    split: float
    merge: float
    distance: float

    @property
    def total(self) -> float:
        return self.split + self.merge


@dataclass(frozen=True)
class Rand:
    """See :func:`rand`."""

    index: float

    @property
    def error(self) -> float:
        return 1 - self.index


class FScore(NamedTuple):
    """A split and a merge score, and the F-score of both; 1 is perfect. See :func:`vrand` and :func:`vinfo`."""

    split: float
    merge: float
    f: float

    @property
    def error(self) -> float:
        return 1 - self.f


class AdaptedRand(NamedTuple):
    """See :func:`adapted_rand`: 0 is perfect for the error, 1 for the split and the merge score."""

    error: float
    split: float
    merge: float


class Squares(NamedTuple):
    """The sums that all of Rand's family is made of, exact. See :func:`squares`."""

    voxels: int
    joint: int
    truth: int
    labels: int


# ---- information


def voi(table: Contingency, *, unit: str = "bits", label_zero: str = "segment") -> Voi:
    """Variation of information, by its two halves.

    Parameters
    ----------
    table : Contingency
    unit : {"bits", "nats"}
    label_zero : {"segment", "singletons", "ignore"}
        What voxels with label 0 are.

    Returns
    -------
    Voi
        ``split`` = H(labels | truth), ``merge`` = H(truth | labels), ``total``.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1] * 8), np.array([1, 1, 1, 1, 2, 2, 3, 3]))
    >>> emfast.metrics.voi(table)
    Voi(split=1.5, merge=0.0)
    """
    parts, scale = _Parts(table, label_zero), _unit_of(unit)
    if parts.table.empty:
        return Voi(math.nan, math.nan)
    sums = (_exact_sum(terms) for terms in (parts.split_terms(), parts.merge_terms()))
    return Voi(*(scale * (s / parts.voxels) for s in sums))


def entropies(table: Contingency, *, unit: str = "bits", label_zero: str = "segment") -> Entropies:
    """The entropies of the truth, of the labels and of both together. Parameters are those of :func:`voi`."""
    parts, scale = _Parts(table, label_zero), _unit_of(unit)
    if parts.table.empty:
        return Entropies(math.nan, math.nan, math.nan)
    return Entropies(*(scale * h for h in parts.entropies()))


def voi_per_object(table: Contingency, *, side: str = "truth", unit: str = "bits") -> Table:
    """What each object adds to the variation of information, and how much it is cut or merged by itself.

    Parameters
    ----------
    table : Contingency
    side : {"truth", "labels"}
        Whose objects.
    unit : {"bits", "nats"}

    Returns
    -------
    Table
        A row per object, ascending:

        ``truth`` or ``label`` : the id;  voxels : its size
        partners : how many ids of the other side it overlaps
        split, merge : what its voxels add to the halves of :func:`voi`: the columns' sums are the scores
        split_alone, merge_alone : the mean over the object's own voxels, whatever its size. Of true objects
            ``split_alone`` is the entropy of the segments within it; of segments ``merge_alone`` is that of the true
            objects within it.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 2, 3, 3]))
    >>> objects = emfast.metrics.voi_per_object(table)
    >>> objects.split.tolist(), objects.split_alone.tolist()
    ([0.5, 0.0], [1.0, 0.0])
    """
    if side not in ("truth", "labels"):
        raise ValueError(f"side must be 'truth' or 'labels', got {side!r}")
    parts, scale = _Parts(table, "segment"), _unit_of(unit)
    of_truth = side == "truth"
    ids, sizes, places = (
        (table.truth_ids, table.truth_sizes, table.rows)
        if of_truth
        else (table.label_ids, table.label_sizes, table.columns)
    )
    sums = {}
    for name, terms in (("split", parts.split_terms()), ("merge", parts.merge_terms())):
        # Ascending within each object: then ids, which give the pairs their order, change nothing.
        order = np.lexsort((terms, places))
        starts = np.searchsorted(places[order], np.arange(len(ids)))
        sums[name] = np.add.reduceat(terms[order], starts) * scale if len(ids) else np.zeros(0)
    return Table(
        {
            "truth" if of_truth else "label": ids,
            "voxels": sizes,
            "partners": np.bincount(places, minlength=len(ids)).astype(np.int64),
            "split": sums["split"] / max(1, parts.voxels),
            "merge": sums["merge"] / max(1, parts.voxels),
            "split_alone": sums["split"] / sizes,
            "merge_alone": sums["merge"] / sizes,
        }
    )


def normalised_voi(table: Contingency, *, label_zero: str = "segment") -> NormalisedVoi:
    """Variation of information as a share of the joint entropy, and the normalised information distance.

    Parameters
    ----------
    table : Contingency
    label_zero : {"segment", "singletons", "ignore"}

    Returns
    -------
    NormalisedVoi
        ``split``, ``merge`` and ``total`` from 0 to 1 (funlib's NVI); ``distance`` = 1 - I / max(H(truth), H(labels)).
        All are 0 for equal partitions.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.metrics.normalised_voi(emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3])))
    NormalisedVoi(split=0.3333333333333333, merge=0.0, distance=0.3333333333333333)
    """
    parts = _Parts(table, label_zero)
    if parts.table.empty:
        return NormalisedVoi(math.nan, math.nan, math.nan)
    split, merge = voi(table, label_zero=label_zero)
    h = parts.entropies()
    # max(H) - I = H(truth) - (H(truth) - merge) or H(labels) - (H(labels) - split)
    lost = merge if h.truth >= h.labels else split
    largest = max(h.truth, h.labels)
    # Where the partitions share nothing, rounding may leave a little more than there is.
    return NormalisedVoi(
        *(min(1.0, part / of) if of else 0.0 for part, of in ((split, h.joint), (merge, h.joint), (lost, largest)))
    )


def vinfo(table: Contingency, *, alpha: float = 0.5, label_zero: str = "segment") -> FScore:
    """Information-theoretic score of Arganda-Carreras et al.: mutual information as a share of the entropies.

    Parameters
    ----------
    table : Contingency
    alpha : float
        The weight of the merge score in ``f``, from 0 to 1.
    label_zero : {"segment", "singletons", "ignore"}

    Returns
    -------
    FScore
        ``split`` = I / H(labels), ``merge`` = I / H(truth), ``f`` = I / ((1 - alpha) H(labels) + alpha H(truth)).
        Where an entropy is 0 the score with it is NaN, and ``f`` is 1 if the partitions are equal, else 0.

    Notes
    -----
    These are scikit-learn's completeness, homogeneity and V-measure.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.metrics.vinfo(emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3])))
    FScore(split=0.6666666666666667, merge=1.0, f=0.8)
    """
    alpha = number_of(alpha, "alpha", 0, 1)
    parts = _Parts(table, label_zero)
    if parts.table.empty:
        return FScore(math.nan, math.nan, math.nan)
    split, merge = voi(table, label_zero=label_zero)
    h = parts.entropies()
    if h.truth == 0 or h.labels == 0:  # one segment shares no information
        return FScore(
            max(0.0, 1 - split / h.labels) if h.labels else math.nan,
            max(0.0, 1 - merge / h.truth) if h.truth else math.nan,
            float(h.truth == h.labels),
        )
    lost = (1 - alpha) * split + alpha * merge
    whole = (1 - alpha) * h.labels + alpha * h.truth
    return FScore(*(max(0.0, 1 - part / of) for part, of in ((split, h.labels), (merge, h.truth), (lost, whole))))


# ---- pairs of voxels


def squares(table: Contingency, *, label_zero: str = "segment") -> Squares:
    """N, S_ab, S_a and S_b as Python integers: everything Rand's family is made of.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.metrics.squares(emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3])))
    Squares(voxels=4, joint=6, truth=8, labels=6)
    """
    parts = _Parts(table, label_zero)
    sums = [_sum_of_squares(v) for v in (parts.n, parts.table.truth_sizes, parts.b)]
    single = int(parts.singles.sum()) if parts.singles is not None else 0
    return Squares(parts.voxels, sums[0] + single, sums[1], sums[2] + single)


def rand(table: Contingency, *, form: str = "distinct", label_zero: str = "segment") -> Rand:
    """Rand index: the share of pairs of voxels on which the partitions agree.

    Parameters
    ----------
    table : Contingency
    form : {"distinct", "ordered"}
        Pairs of two voxels, N (N - 1) of them (scikit-learn, gala, nifty, segascorus); or all N² pairs, in which each
        voxel also agrees with itself (elf, Fiji).
    label_zero : {"segment", "singletons", "ignore"}

    Returns
    -------
    Rand
        ``index``, ``error``. Without a pair NaN.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3]))
    >>> emfast.metrics.rand(table).index, emfast.metrics.rand(table, form="ordered").error
    (0.8333333333333334, 0.125)
    """
    if form not in ("distinct", "ordered"):
        raise ValueError(f"form must be 'distinct' or 'ordered', got {form!r}")
    s = squares(table, label_zero=label_zero)
    pairs = s.voxels * (s.voxels - (form == "distinct"))
    return Rand(ratio(pairs - (s.truth + s.labels - 2 * s.joint), pairs))


def vrand(table: Contingency, *, alpha: float = 0.5, label_zero: str = "segment") -> FScore:
    """Rand score of Arganda-Carreras et al.

    Parameters
    ----------
    table : Contingency
    alpha : float
        The weight of the merge score in ``f``, from 0 to 1.
    label_zero : {"segment", "singletons", "ignore"}

    Returns
    -------
    FScore
        ``split`` = S_ab / S_a, ``merge`` = S_ab / S_b, ``f`` = S_ab / (alpha S_b + (1 - alpha) S_a).

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.metrics.vrand(emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3])))
    FScore(split=0.75, merge=1.0, f=0.8571428571428571)
    """
    s = squares(table, label_zero=label_zero)
    whole = _weighted(s, alpha)
    return FScore(ratio(s.joint, s.truth), ratio(s.joint, s.labels), float(s.joint / whole) if whole else math.nan)


def adapted_rand(table: Contingency, variant: str = "plain", *, alpha: float = 0.5) -> AdaptedRand:
    """Adapted Rand error, 1 - F of the Rand scores, in every form that is in use.

    Parameters
    ----------
    table : Contingency
    variant : str
        - ``"plain"``: 1 - 2 S_ab / (S_a + S_b); label 0 is a segment (elf, funlib);
        - ``"pairs"``: pairs of distinct voxels, N less in each sum (scikit-image, gala, cuCIM);
        - ``"singletons"``: as plain, each voxel with label 0 a segment of its own (Fiji 2D, segascorus);
        - ``"pairs+singletons"``: both (Fiji's ``adaptedRandIndexStats3D``);
        - ``"snemi3d"``: true id 0 is not counted, then as singletons;
        - ``"cremi_legacy"``: true id 0 is not counted, and voxels with label 0 add their number *divided by that of all
          voxels*, true id 0 included, to S_ab and S_b: not a measure of anything, but what CREMI's and PyTorch
          Connectomics' scripts compute. The table must hold true id 0.
    alpha : float
        The weight of the merge score, from 0 to 1.

    Returns
    -------
    AdaptedRand
        ``error``, ``split``, ``merge``. A score 0 / 0 (no pair of voxels is together) is NaN; the error is 0 if that is
        so on both sides, and NaN if all its weight lies on such a side.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3]))
    >>> emfast.metrics.adapted_rand(table, "pairs")
    AdaptedRand(error=0.3333333333333333, split=0.5, merge=1.0)
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(map(repr, _VARIANTS))}, got {variant!r}")
    if variant == "cremi_legacy":
        return _cremi_legacy(table, alpha)
    if variant == "snemi3d":
        table = checked(table).without(truth=0)
    s = squares(table, label_zero="singletons" if variant.endswith(("singletons", "snemi3d")) else "segment")
    if variant.startswith("pairs"):
        s = Squares(s.voxels, s.joint - s.voxels, s.truth - s.voxels, s.labels - s.voxels)
    whole = _weighted(s, alpha)
    alone = s.voxels > 0 and s.truth == s.labels == 0  # no two voxels are together, on either side
    error = float((whole - s.joint) / whole) if whole else 0.0 if alone else math.nan
    return AdaptedRand(error, ratio(s.joint, s.truth), ratio(s.joint, s.labels))


def adjusted_rand_index(table: Contingency, *, label_zero: str = "segment") -> float:
    """Rand index adjusted for chance (Hubert and Arabie): 0 is expected of random labels of these sizes, 1 is perfect.

    Not to be taken for the *adapted* Rand error. Exact to the last bit for any number of voxels.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3]))
    >>> emfast.metrics.adjusted_rand_index(table)
    0.5714285714285714
    """
    s = squares(table, label_zero=label_zero)
    n = s.voxels
    if n == 0:
        return math.nan
    together, a, b, pairs = s.joint - n, s.truth - n, s.labels - n, n * (n - 1)
    # (together - a b / pairs) / ((a + b) / 2 - a b / pairs), without quotients
    by_chance = 2 * a * b
    if (a + b) * pairs == by_chance:  # both one segment, or both all single voxels
        return 1.0
    return ratio(2 * together * pairs - by_chance, (a + b) * pairs - by_chance)


def cremi_score(table: Contingency, variant: str = "plain") -> float:
    """√(VOI · adapted Rand error), VOI in bits; the variant is that of :func:`adapted_rand`.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> table = emfast.contingency(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 3]))
    >>> emfast.metrics.cremi_score(table)
    0.2672612419124244
    """
    error = adapted_rand(table, variant).error
    if variant in ("snemi3d", "cremi_legacy"):
        table = table.without(truth=0)
    square = voi(table).total * error
    return 0.0 if square < 0 else math.sqrt(square)  # below 0 by CREMI's correction


# ---- inside


class _Parts:
    """A table as ``label_zero`` wants it: pairs n with sizes a and b, and voxels that are segments by themselves."""

    def __init__(self, table: Contingency, label_zero: str) -> None:
        if label_zero not in ("segment", "singletons", "ignore"):
            raise ValueError(f"label_zero must be 'segment', 'singletons' or 'ignore', got {label_zero!r}")
        table = checked(table).without(labels=0) if label_zero == "ignore" else checked(table)
        self.table, self.voxels = table, table.voxels
        self.n, self.rows, self.columns = table.counts, table.rows, table.columns
        self.b = table.label_sizes
        self.singles: np.ndarray | None = None  # voxels, and the size of the true object each such pair lies in
        self.around: np.ndarray | None = None
        zero = int(np.searchsorted(table.label_ids, table.label_ids.dtype.type(0)))
        if label_zero == "singletons" and zero < len(table.label_ids) and table.label_ids[zero] == 0:
            single = table.columns == zero
            self.singles, self.around = table.counts[single], table.truth_sizes[table.rows[single]]
            self.n, self.rows, self.columns = (v[~single] for v in (self.n, self.rows, self.columns))
            self.b = self.b.copy()
            self.b[zero] = 0

    def split_terms(self) -> np.ndarray:
        """What the pairs add to N · H(labels | truth), in bits."""
        terms = _information(self.n, self.table.truth_sizes[self.rows])
        if self.singles is None or self.around is None:
            return terms
        return np.concatenate([terms, self.singles * np.log2(self.around)])

    def merge_terms(self) -> np.ndarray:
        """What the pairs add to N · H(truth | labels), in bits."""
        return _information(self.n, self.b[self.columns])

    def entropies(self) -> Entropies:
        n = self.voxels
        single = 0.0 if self.singles is None else float(self.singles.sum()) * math.log2(n)
        parts = ((self.table.truth_sizes, 0.0), (self.b[self.b > 0], single), (self.n, single))
        return Entropies(*(_exact_sum(np.append(_information(v, np.int64(n)), s)) / n for v, s in parts))


def _unit_of(unit: str) -> float:
    """That of a score in bits."""
    if unit not in ("bits", "nats"):
        raise ValueError(f"unit must be 'bits' or 'nats', got {unit!r}")
    return 1.0 if unit == "bits" else _LN2


def _information(part: np.ndarray, whole: np.ndarray | np.int64) -> np.ndarray:
    """part · log2(whole / part), accurate where they are nearly equal, 0 where they are equal."""
    ratio = whole / part
    bits: np.ndarray = np.log2(ratio)
    near = np.flatnonzero(ratio < 2)
    part_near = part[near]
    whole_near = whole if isinstance(whole, np.int64) else whole[near]
    bits[near] = np.log1p((whole_near - part_near) / part_near) / _LN2
    bits *= part
    return bits


def _exact_sum(terms: np.ndarray) -> float:
    """What math.fsum gives, the sum rounded once, in a fifth of its time: mantissas are added up as integers, those of
    one exponent together, in two halves so that doubles hold their sums."""
    total, unit = 0, -1200  # in units of 2^unit
    for start in range(0, len(terms), 1 << 26):
        fraction, exponent = np.frexp(terms[start : start + (1 << 26)])
        mantissa = (fraction * 2.0**53).astype(np.int64)
        least = int(exponent.min())
        exponent -= least
        for half, shift in ((mantissa >> 27, 27), (mantissa & (2**27 - 1), 0)):
            sums = np.bincount(exponent, half).tolist()
            total += sum(int(v) << (k + least - 53 + shift - unit) for k, v in enumerate(sums))
    return total / 2**-unit if total else 0.0


def _sum_of_squares(values: np.ndarray) -> int:
    """Exact: as int64 where that cannot overflow, the few large values as Python integers."""
    small = values <= math.isqrt((2**63 - 1) // max(1, len(values)))
    few = values[~small].tolist()
    return int(np.square(values[small]).sum()) + sum(v * v for v in few)


def _weighted(s: Squares, alpha: float) -> Fraction:
    """alpha S_b + (1 - alpha) S_a, exact."""
    from fractions import Fraction  # not at the top, for a quick start of the package

    weight = Fraction(number_of(alpha, "alpha", 0, 1))
    return weight * s.labels + (1 - weight) * s.truth


def _cremi_legacy(table: Contingency, alpha: float) -> AdaptedRand:
    alpha = number_of(alpha, "alpha", 0, 1)
    known = checked(table).without(truth=0)
    dropped = squares(known.without(labels=0))
    rest = known.voxels - dropped.voxels
    extra = rest / table.voxels if table.voxels else 0.0
    a = _sum_of_squares(known.truth_sizes)
    joint, b = dropped.joint + extra, dropped.labels + extra
    if not a:
        return AdaptedRand(math.nan, math.nan, math.nan)
    return AdaptedRand(1 - joint / (alpha * b + (1 - alpha) * a), joint / a, joint / b if b else math.nan)


__all__ = [
    "AdaptedRand",
    "Entropies",
    "FScore",
    "NormalisedVoi",
    "Rand",
    "Squares",
    "Voi",
    "adapted_rand",
    "adjusted_rand_index",
    "cremi_score",
    "entropies",
    "normalised_voi",
    "rand",
    "squares",
    "vinfo",
    "voi",
    "voi_per_object",
    "vrand",
]
