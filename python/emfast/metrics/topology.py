"""Scores of topology: warping error, thinned sections, centre lines, and edits that a shifted border does not need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._arrays import take
from .._options import number_of
from ..components import connected_components
from ..distance import edt
from ..edges import mask_of
from ..morphology import erode
from ..seeds import seeded_watershed
from ..skeletons import Skeletons, skeletonize
from .instances import Edits, edits
from .tables import contingency

# ---- warping error


@dataclass(frozen=True, eq=False)
class Warping:
    """What is left of the difference between a truth and a prediction when borders may shift; see :func:`warping`.

    Clusters are parts of the voxels left that are joined over faces, edges or corners and ask for the same flip.

    Attributes
    ----------
    error : float
        The warping error: voxels left, divided by voxels looked at; NaN where there are none.
    left : int
        Voxels left.
    mismatches : int
        Voxels that differed before, so ``mismatches / voxels`` is the pixel error.
    voxels : int
        Voxels looked at.
    splits, mergers : int
        Clusters that part an object of the truth, and such that join objects.
    objects_added, objects_deleted : int
        Clusters that are objects of their own in the prediction, and objects of the truth that are gone.
    holes_added, holes_deleted : int
        Clusters that open or close a hole in an object (in a volume also a tunnel).
    warped : array of uint8, shape of the truth
        The truth after its flips.
    """

    error: float
    left: int
    mismatches: int
    voxels: int
    splits: int
    mergers: int
    objects_added: int
    objects_deleted: int
    holes_added: int
    holes_deleted: int
    warped: np.ndarray


def warping(
    truth: Any, prediction: Any, *, threshold: float = 0.5, per_section: bool = True, mask: Any = None
) -> Warping:
    """Flip voxels of the truth towards the prediction as long as no flip changes the topology (Jain et al. 2010).

    Voxels where the two differ are tried in descending ``|prediction - threshold|``, equal ones by their index, and
    flipped if they are simple: no part, hole or tunnel comes or goes. Sweeps over those left follow until one flips
    nothing. A border that has shifted costs nothing then; what is left is splits, mergers and the like. The object is
    joined over faces, the background over faces, edges and corners (4 and 8 in sections, 6 and 26 in a volume), and
    outside of the volume lies background. This is Fiji's ``WarpingError``.

    Parameters
    ----------
    truth : (z, y, x) or (y, x) array of integers or bool
        The object, for instance the inside of cells: everything but 0. Touching labels count as one.
    prediction : array of bool, integers or floats, shape of ``truth``
        Probability of the object; uint8 means 0 to 255 for 0 to 1. Above ``threshold`` lies the object.
    threshold : float
    per_section : bool
        Take each section by itself, as the challenges do; else flips are simple in the volume.
    mask : array of bool, shape of ``truth``, optional
        Voxels that may flip and are looked at.

    Returns
    -------
    Warping

    Notes
    -----
    A cluster that would delete voxels of the truth is a split if two or more parts of what the two have in common
    touch it over faces, a deleted object if none does; else a hole, deleted if it touches background, added if not. A
    cluster that would add voxels likewise: two or more parts of the warped truth make a merger, none an added object;
    else a hole, added if common background touches the cluster, deleted if not.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import warping
    >>> truth = np.ones((5, 9), int)
    >>> truth[:, 4] = 0
    >>> bridge = truth.copy()
    >>> bridge[2, 4] = 1
    >>> found = warping(truth, bridge)
    >>> found.left, found.mergers, warping(truth, np.roll(truth, 1, axis=1)).error
    (1, 1, 0.0)
    """
    ours, theirs = take(truth, "truth"), take(prediction, "prediction", kinds="biuf")
    if theirs.shape != ours.shape:
        raise ValueError(f"prediction must have the shape of truth {ours.shape}, got {theirs.shape}")
    threshold = _threshold(threshold)
    planar = bool(per_section) or len(ours.shape) == 2
    wanted, found = (op.library.to_numpy(op.array) for op in (ours, theirs))
    allowed = None if mask is None else ours.library.to_numpy(mask_of(mask, ours, ours.shape, "truth").array) != 0
    above, limit = _above(found, threshold)
    warped = (wanted != 0).astype(np.uint8)
    differ = (warped != 0) != above
    if allowed is not None:
        differ &= allowed
    places = np.flatnonzero(differ)
    margin = np.abs(found.reshape(-1)[places].astype(np.float64) - limit)
    if np.isnan(margin).any():
        raise ValueError(
            f"prediction must not be NaN, but is at {int(places[np.argmax(np.isnan(margin))])} (flat index)"
        )
    ranked = np.argsort(-margin, kind="stable").astype(np.uint32)
    host = take(warped, "truth")
    host.native.warp(host.library, host.array, places, ranked, planar)
    rest = (warped != 0) != above
    if allowed is not None:
        rest &= allowed
    left, voxels = int(np.count_nonzero(rest)), wanted.size if allowed is None else int(np.count_nonzero(allowed))
    return Warping(
        left / voxels if voxels else math.nan,
        left,
        len(places),
        voxels,
        **_events(warped != 0, rest, planar),
        warped=warped,
    )


def _threshold(value: Any) -> float:
    threshold = number_of(value, "threshold")
    if math.isinf(threshold):
        raise ValueError(f"threshold must be finite, got {value!r}")
    return threshold


def _above(values: np.ndarray, threshold: float) -> tuple[np.ndarray, float]:
    """Where values are above the threshold, exactly, and the threshold on their scale: uint8 stands for 0 to 1."""
    limit = threshold * 255 if values.dtype == np.uint8 else threshold
    if values.dtype == bool:
        values = values.astype(np.int8)
    if values.dtype.kind != "f":
        return values > math.floor(limit), limit
    nearest = values.dtype.type(limit)  # the largest value of this type that is not above the limit
    if float(nearest) > limit:
        nearest = np.nextafter(nearest, values.dtype.type(-np.inf))
    return values > nearest, limit


def _events(warped: np.ndarray, rest: np.ndarray, planar: bool) -> dict[str, int]:
    """What the voxels left stand for, counted by clusters."""
    counts = dict.fromkeys(("splits", "mergers", "objects_added", "objects_deleted", "holes_added", "holes_deleted"), 0)
    if not rest.any():
        return counts
    inside, left = (np.pad(part[None] if part.ndim == 2 else part, 1) for part in (warped, rest))
    lost, gained = left & inside, left & ~inside
    kept, common = inside & ~lost, ~inside & ~gained
    for cluster, parts, background, (many, none, closed, opened) in (
        (lost, kept, ~inside, ("splits", "objects_deleted", "holes_added", "holes_deleted")),
        (gained, inside, common, ("mergers", "objects_added", "holes_deleted", "holes_added")),
    ):
        clusters = _numbered(cluster, 26, planar)
        at = np.flatnonzero(clusters)
        if not len(at):
            continue
        names, numbers = clusters.reshape(-1)[at], _numbered(parts, 6, planar).reshape(-1)
        touching = _distinct_around(at, names, numbers, _steps(inside.shape, 6, planar))
        open_to = _distinct_around(at, names, background.reshape(-1).view(np.uint8), _steps(inside.shape, 26, planar))
        counts[many] += int((touching > 1).sum())
        counts[none] += int((touching == 0).sum())
        counts[closed] += int(((touching == 1) & (open_to == 0)).sum())
        counts[opened] += int(((touching == 1) & (open_to > 0)).sum())
    return counts


def _numbered(mask: np.ndarray, connectivity: int, planar: bool) -> np.ndarray:
    """Components of a mask; ``planar``: of each section by itself."""
    if planar:  # other sections have other values, and only equal ones are joined
        return connected_components(_by_section(mask), connectivity=connectivity)
    return connected_components(mask, connectivity=connectivity)


def _by_section(mask: np.ndarray) -> np.ndarray:
    """The number of its section, from 1 on, in every voxel of the mask."""
    return mask * np.arange(1, len(mask) + 1, dtype=np.uint32)[:, None, None]


def _steps(shape: tuple[int, ...], connectivity: int, planar: bool) -> list[int]:
    """To the neighbours, in flat indices."""
    near = 1 if connectivity == 6 else 3
    return [
        (z * shape[1] + y) * shape[2] + x
        for z in ((0,) if planar else (-1, 0, 1))
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if 0 < abs(z) + abs(y) + abs(x) <= near
    ]


def _distinct_around(at: np.ndarray, names: np.ndarray, numbers: np.ndarray, steps: list[int]) -> np.ndarray:
    """How many different numbers other than 0 there are around each name, 1 to the largest."""
    pairs = np.concatenate([np.stack([names, numbers[at + step]], axis=1) for step in steps])
    pairs = np.unique(pairs[pairs[:, 1] != 0], axis=0)
    return np.bincount(pairs[:, 0], minlength=int(names.max()) + 1)[1:]


# ---- sections


def section_components(mask: Any) -> np.ndarray:
    """Parts of a mask that are joined over faces within a section, numbered through all sections.

    Parameters
    ----------
    mask : (z, y, x) or (y, x) array of bool or integers

    Returns
    -------
    array of uint32, shape of ``mask``

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import section_components
    >>> section_components(np.array([[[1, 0, 1]], [[1, 1, 1]]])).tolist()
    [[[1, 0, 2]], [[3, 3, 3]]]
    """
    operand = take(mask, "mask")
    inside = operand.library.to_numpy(operand.array) != 0
    return _numbered(inside if inside.ndim == 3 else inside[None], 6, True).reshape(inside.shape)


def thin_boundaries(prediction: Any, *, threshold: float = 0.5) -> np.ndarray:
    """Segments of each section, with boundaries thinned to lines: what ISBI 2012 scores (Arganda-Carreras et al. 2015).

    The parts of ``prediction > threshold`` (joined over faces within a section) grow over the boundaries between them
    until they meet, by the watershed of the inverted mask, and leave lines of 0.

    Parameters
    ----------
    prediction : (z, y, x) or (y, x) array of bool, integers or floats
        Probability of the inside of cells; uint8 means 0 to 255 for 0 to 1.
    threshold : float

    Returns
    -------
    array of uint32, shape of ``prediction``
        Segments are numbered through all sections.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import thin_boundaries
    >>> thin_boundaries(np.array([[1, 1, 0, 0, 0, 1, 1]])).tolist()
    [[1, 1, 1, 0, 2, 2, 2]]
    """
    operand = take(prediction, "prediction", kinds="biuf")
    inside, _ = _above(operand.library.to_numpy(operand.array), _threshold(threshold))
    stack = inside if inside.ndim == 3 else inside[None]
    seeds = _numbered(stack, 6, True)
    grown = seeded_watershed(
        (~stack).view(np.uint8), seeds, connectivity=6, per_section=True, lines=True, order="scikit-image"
    )
    return grown.reshape(inside.shape)


# ---- centre lines


class CenterlineScore(NamedTuple):
    """The shares of the centre lines of the labels (precision) and of the truth (recall) that are covered by the other
    one, and their harmonic mean: clDice."""

    precision: float
    recall: float
    cl_dice: float


def centerline_score(
    truth: Any,
    labels: Any,
    *,
    tolerance: float = 0.0,
    spacing: Sequence[float] = (1, 1, 1),
    truth_lines: Any = None,
    label_lines: Any = None,
) -> CenterlineScore:
    """Whether the centre lines of each lie within the other one: clDice (Shit et al., CVPR 2021), precision and recall.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers or bool, of one shape
        Every label has centre lines of its own; give masks for those of all together. What covers a line is everything
        but 0.
    tolerance : float
        In nanometres: a voxel of a line is covered if the other one is no farther. With 0 it must lie inside.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    truth_lines, label_lines : emfast.Skeletons or array of bool, optional
        Centre lines, where they are known already; otherwise those of :func:`emfast.skeletonize`.

    Returns
    -------
    CenterlineScore
        The share of no voxels is NaN; clDice is 0 then, and NaN if there are no lines at all.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import centerline_score
    >>> truth = np.zeros((7, 30), bool)
    >>> truth[2:5, 2:28] = True
    >>> labels = truth & (np.arange(30) < 15)
    >>> score = centerline_score(truth, labels)
    >>> score.precision, score.recall
    (1.0, 0.5)
    """
    ours, theirs = take(truth, "truth"), take(labels, "labels")
    if ours.shape != theirs.shape:
        raise ValueError(f"labels must have the shape of truth {ours.shape}, got {theirs.shape}")
    tolerance = number_of(tolerance, "tolerance", 0)
    covers = [op.library.to_numpy(op.array) for op in (ours, theirs)]
    shares = [
        _covered(_line_voxels(lines, volume, spacing, name), other, tolerance, spacing)
        for lines, volume, other, name in (
            (label_lines, covers[1], covers[0], "label_lines"),
            (truth_lines, covers[0], covers[1], "truth_lines"),
        )
    ]
    precision, recall = shares
    known = [share for share in shares if not math.isnan(share)]
    if len(known) < 2 or sum(known) == 0:
        return CenterlineScore(precision, recall, 0.0 if known else math.nan)
    return CenterlineScore(precision, recall, 2 * precision * recall / (precision + recall))


def _line_voxels(lines: Any, volume: np.ndarray, spacing: Sequence[float], name: str) -> tuple[np.ndarray, ...]:
    """Coordinates of the voxels of centre lines, each once."""
    if lines is None:
        lines = skeletonize(volume, spacing=spacing)
    if isinstance(lines, Skeletons):
        return tuple(np.unique(lines.voxels, axis=0).T)
    operand = take(lines, name)
    if operand.shape != volume.shape:
        raise ValueError(f"{name} must have the shape of truth {volume.shape}, got {operand.shape}")
    return np.nonzero(operand.library.to_numpy(operand.array))


def _covered(voxels: tuple[np.ndarray, ...], volume: np.ndarray, tolerance: float, spacing: Sequence[float]) -> float:
    count = len(voxels[0])
    if not count:
        return math.nan
    if tolerance == 0:
        return int(np.count_nonzero(volume[voxels])) / count
    distances = edt(volume == 0, spacing=spacing)[voxels]
    return int(np.count_nonzero(distances <= np.float32(tolerance))) / count


# ---- edits


def tolerant_edits(truth: Any, labels: Any, *, tolerance: float = 0.0, spacing: Sequence[float] = (1, 1, 1)) -> Edits:
    """Splits and merges that no shift of borders by up to ``tolerance`` nanometres explains.

    An object and a segment count as overlapping only where the segment is deeper than the tolerance: where its nearest
    voxel with another label is farther away. An object in n segments is n − 1 splits, a segment over n objects n − 1
    merges. Label 0 is no object on either side.

    The tolerant edit distance (Funke et al. 2017) seeks, by an integer program, the fewest splits and merges over all
    labellings in which every voxel may take the label of a voxel within the tolerance. A voxel deeper than that keeps
    its label in all of them, so the edits counted here are needed in any case: a lower bound, and equal with
    tolerance 0.

    Parameters
    ----------
    truth, labels : (z, y, x) or (y, x) arrays of integers, of one shape
    tolerance : float
        In nanometres.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    Edits

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import tolerant_edits
    >>> truth, labels = np.array([[1, 1, 1, 1, 2, 2, 2, 2]]), np.array([[5, 5, 5, 5, 5, 6, 6, 6]])
    >>> [tolerant_edits(truth, labels, tolerance=t, spacing=(4, 4)).merges for t in (0, 4)]
    [1, 0]
    """
    ours, theirs = take(truth, "truth"), take(labels, "labels")
    if ours.shape != theirs.shape:
        raise ValueError(f"labels must have the shape of truth {ours.shape}, got {theirs.shape}")
    deep = erode(labels, radius=number_of(tolerance, "tolerance", 0), spacing=spacing)
    return edits(contingency(truth, deep))


__all__ = [
    "CenterlineScore",
    "Warping",
    "centerline_score",
    "section_components",
    "thin_boundaries",
    "tolerant_edits",
    "warping",
]
