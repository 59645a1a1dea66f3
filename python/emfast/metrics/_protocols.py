"""Protocols by name: what a challenge or a benchmark fixes, so that a number means the same wherever it is quoted.

A protocol says which voxels count, what is done to both volumes before, which scores there are and by which
conventions. ``PROTOCOLS`` holds them; :func:`emfast.evaluate` runs one. A new one is a ``Protocol`` and, where it needs
it, a function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._options import number_of, spacing_of
from . import classes, detection, instances, matching, partitions, synapses, topology
from .tables import Contingency, contingency

__all__ = ["PROTOCOLS", "Protocol", "border_mask", "protocols"]

_CREMI_BORDER = 25.0  # nanometres, as the organisers' own scripts have it
_CREMI_IGNORED = (2**64 - 1, -1)  # one bit pattern; signed where ids were cast
_MITOEM_BOUNDS, _MITOEM_SIZES = (5000, 15000), ("_small", "_medium", "_large")
_THRESHOLDS = tuple(k / 10 for k in range(11))
_SIGNED, _UNSIGNED = np.dtype("i8"), np.dtype("u8")


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate.

    Attributes
    ----------
    name, about : str
    conventions : tuple of str
        All that it fixes, printed with every result.
    takes : {"objects", "mask", "classes", "probability", "clefts"}
        What the labels are. Where masks are taken, probabilities are too.
    of_table : function from a Contingency to scores, or None
        What is left once the voxels that do not count are left out.
    of_volumes : function from (truth, labels, spacing) to scores, or None
        For what a table cannot tell; where a probability is taken, from (truth, labels, thresholds).
    thresholds : tuple of float
        Of a probability, where the protocol fixes them.
    ignore : tuple of int
        True ids whose voxels do not count.
    mask : function from (truth, spacing) to an array of bool, or None
        The voxels that count.
    prepare : function from (truth, voxels that count) to a truth, or None
        What the table is made of, where the voxels that do not count are in it after all.
    background : int or None
        Of objects, for :func:`emfast.compare`.
    unseen : tuple of int
        True ids whose voxels make no errors, for the same.
    needs_spacing : bool
    of_objects : tuple of str
        The scores that count whole objects, ``"*"`` for all: blocks cut these, so a bootstrap of blocks says nothing.
    """

    name: str
    about: str
    conventions: tuple[str, ...]
    takes: str = "objects"
    of_table: Callable[[Contingency], dict[str, float]] | None = None
    of_volumes: Callable[[np.ndarray, np.ndarray, tuple[float, ...]], dict[str, float]] | None = None
    thresholds: tuple[float, ...] = ()
    ignore: tuple[int, ...] = ()
    mask: Callable[[np.ndarray, tuple[float, ...]], np.ndarray] | None = None
    prepare: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    background: int | None = 0
    unseen: tuple[int, ...] = (0,)
    needs_spacing: bool = False
    of_objects: tuple[str, ...] = ()

    def counts_objects(self, score: str) -> bool:
        """Whether a score counts whole objects."""
        return self.of_objects == ("*",) or score in self.of_objects


# ---- scores of a table


def _information(table: Contingency) -> dict[str, float]:
    voi = partitions.voi(table)
    return {"voi_split": voi.split, "voi_merge": voi.merge, "voi": voi.total}


def _rand(table: Contingency, variant: str) -> dict[str, float]:
    found = partitions.adapted_rand(table, variant)
    return {"adapted_rand_error": found.error, "rand_split": found.split, "rand_merge": found.merge}


def _everything(table: Contingency) -> dict[str, float]:
    inside = table.without(truth=0)
    found = matching.average_precision(table)
    quality = matching.panoptic(table)
    vinfo = partitions.vinfo(inside)
    return {
        **_information(inside),
        **_rand(inside, "plain"),
        "vinfo": vinfo.f,
        "accuracy_50": found.at(0.5),
        "accuracy_75": found.at(0.75),
        "accuracy_mean": found.mean,
        "f1_50": float(found.f1[0]),
        "pq": quality.pq,
        "sq": quality.sq,
        "rq": quality.rq,
        "aji": instances.aji(table),
        "objects_truth": float(found.true_positives[0] + found.false_negatives[0]),
        "objects_labels": float(found.true_positives[0] + found.false_positives[0]),
    }


def _cremi(table: Contingency, variant: str = "plain") -> dict[str, float]:
    inside = table.without(truth=0) if variant == "cremi_legacy" else table
    error, score = partitions.adapted_rand(table, variant).error, partitions.cremi_score(table, variant)
    return {**_information(inside), "adapted_rand_error": error, "cremi_score": score}


def _mitoem(table: Contingency) -> dict[str, float]:
    found = detection.score_ordered_precision(table, rule="mitoem", bounds=_MITOEM_BOUNDS)
    at_75 = {f"ap_75{name}": float(v) for name, v in zip(("", *_MITOEM_SIZES), found.at(0.75), strict=True)}
    return at_75 | {"ap_50": float(found.at(0.5)[0]), "ap_mean": float(found.mean[0])}


def _mitoem_accuracy(table: Contingency) -> dict[str, float]:
    found = matching.match(table, threshold=0.75)
    kinds = instances.associations(table)
    counts = {f"truth_{k}": float(getattr(kinds, k)) for k in ("one_to_one", "over", "under", "many", "missing")}
    return {
        "accuracy_75": float(found.accuracy),
        "precision_75": float(found.precision),
        "recall_75": float(found.recall),
        "f1_75": float(found.f1),
        "pq": matching.panoptic(table).pq,
        **counts,
        "labels_background": float(kinds.background),
        **_by_size(table),
    }


def _by_size(table: Contingency) -> dict[str, float]:
    """Detections at 0.75 in each range of sizes."""
    rows = matching.by_size(table, _MITOEM_BOUNDS, threshold=0.75)
    return {
        f"{name}_75{size}": float(rows[name][k])
        for k, size in enumerate(_MITOEM_SIZES)
        for name in ("accuracy", "precision", "recall", "f1")
    }


def _nucmm(table: Contingency) -> dict[str, float]:
    found = detection.score_ordered_precision(table, rule="mitoem")
    return {"ap_50": float(found.at(0.5)[0]), "ap_75": float(found.at(0.75)[0]), "ap_mean": float(found.mean[0])}


def _foreground(table: Contingency) -> dict[str, float]:
    found = classes.binary(table)
    background = classes.Binary(found.tn, found.fn, found.fp, found.tp)
    return {
        "iou": found.iou,
        "voc": _mean([found.iou, background.iou]),
        "dice": found.f1,
        "precision": found.precision,
        "recall": found.recall,
        "tnr": found.tnr,
        "accuracy": found.accuracy,
    }


def _organelles(table: Contingency) -> dict[str, float]:
    ids = sorted(set(table.truth_ids.tolist()) - {0, 1})
    ious = {f"iou_{i}": classes.binary(table, i).iou for i in ids}
    return {"mean_iou": _mean(list(ious.values())), **ious}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


# ---- scores of volumes


def border_mask(truth: Any, *, within: float, spacing: Sequence[float]) -> np.ndarray:
    """The voxels farther than ``within`` nanometres from a border of the truth, measured in each section.

    A border voxel has a neighbour of another id over a face in its section; the edge of the image is no border.

    Parameters
    ----------
    truth : (z, y, x) or (y, x) array of integers
    within : float
    spacing : nanometres per voxel, in axis order

    Returns
    -------
    array of bool, shape of ``truth``

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.metrics import border_mask
    >>> border_mask(np.array([[1, 1, 1, 1, 2, 2, 2]]), within=4, spacing=(4, 4)).tolist()
    [[True, True, False, False, False, False, True]]
    """
    from ..distance import edt

    volume = np.asarray(truth)
    if volume.ndim not in (2, 3) or volume.dtype.kind not in "biu":
        raise ValueError(f"truth must be a 2D or 3D array of integers, got {volume.dtype} of shape {volume.shape}")
    spacing, within = spacing_of(spacing, volume.ndim), number_of(within, "within", 0)
    if not volume.size:
        return np.ones(volume.shape, bool)
    inside = np.ones(volume.shape, np.uint8)
    for axis in (-1, -2):
        lines, flags = np.moveaxis(volume, axis, 0), np.moveaxis(inside, axis, 0)
        same = lines[1:] == lines[:-1]
        flags[1:] &= same
        flags[:-1] &= same
    stack = inside if inside.ndim == 3 else inside[None]
    far = np.asarray(edt(stack, spacing=spacing[-2:], batch=True)) > within
    return far.reshape(volume.shape)


def _far_from_borders(truth: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    return border_mask(truth, within=_CREMI_BORDER, spacing=spacing)


def _shifted(truth: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """As cremi_python has it: what does not count becomes 0, and every other id one more."""
    return np.where(counted, truth.astype(np.uint64) + np.uint64(1), np.uint64(0))


def _isbi2012(truth: np.ndarray, probability: np.ndarray, thresholds: tuple[float, ...]) -> dict[str, float]:
    objects = topology.section_components(truth)
    best = {"vrand": -1.0, "vinfo": -1.0}
    found: dict[str, float] = {}
    for threshold in thresholds:
        segments = topology.thin_boundaries(probability, threshold=threshold)
        for name, value in _over_sections(objects, segments).items():
            if value > best[name]:
                best[name] = value
                found |= {name: value, f"{name}_threshold": threshold}
    return {"vrand": math.nan, "vinfo": math.nan} | found


def _over_sections(truth: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """V-Rand and V-Info whose sums run over all sections, each of which is a volume of its own."""
    stacks = (v if v.ndim == 3 else v[None] for v in (truth, labels))
    tables = [contingency(t, s, ignore=(0,)) for t, s in zip(*stacks, strict=True)]
    squares = [partitions.squares(t, label_zero="singletons") for t in tables if not t.empty]
    entropies = [partitions.entropies(t, label_zero="singletons") for t in tables if not t.empty]
    joint, both = sum(s.joint for s in squares), sum(s.truth + s.labels for s in squares)
    shared = math.fsum(e.truth + e.labels - e.joint for e in entropies)
    sides = math.fsum(e.truth + e.labels for e in entropies)
    equal = all(partitions.voi(t, label_zero="singletons").total == 0 for t in tables if not t.empty)
    vinfo = 2 * shared / sides if sides else float(equal)
    return {"vrand": 2 * joint / both if both else math.nan, "vinfo": min(vinfo, 1.0) if squares else math.nan}


def _isbi2012_warping(truth: np.ndarray, probability: np.ndarray, thresholds: tuple[float, ...]) -> dict[str, float]:
    mask = np.asarray(truth) != 0
    objects = topology.section_components(mask)
    found = dict.fromkeys(("warping_error", "warping_left", "rand_error", "pixel_error"), math.inf)
    for threshold in thresholds:
        inside = as_mask(probability, threshold, graded=True)
        warped = topology.warping(mask, probability, threshold=threshold)
        table = contingency(objects, topology.section_components(inside), ignore=(0,))
        scores = {
            "warping_error": (warped.splits + warped.mergers) / warped.voxels if warped.voxels else math.nan,
            "warping_left": warped.error,
            "rand_error": partitions.adapted_rand(table, "singletons").error,
            "pixel_error": 1 - classes.binary(contingency(mask, inside)).f1,
        }
        found = {name: min(found[name], value) if value == value else found[name] for name, value in scores.items()}
    return {name: value if value < math.inf else math.nan for name, value in found.items()}


def as_mask(labels: Any, threshold: float, *, graded: bool) -> np.ndarray:
    """Where a probability is above the threshold: of floats, and where ``graded`` of uint8 too; else what is not 0."""
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            place = np.unravel_index(int(np.isnan(values).argmax()), values.shape)
            raise ValueError(f"labels must not be NaN, but are at {tuple(int(i) for i in place)}")
        return np.asarray(values > threshold)
    if graded and values.dtype == np.uint8:
        return np.asarray(values > threshold * 255)
    return np.asarray(values != 0)


def _clefts(truth: np.ndarray, labels: np.ndarray, spacing: tuple[float, ...]) -> dict[str, float]:
    marked = _is_marked(truth) or _is_marked(labels)
    found = synapses.cleft_score(truth, labels, spacing=spacing, convention="cremi" if marked else "zero")
    return {
        "cremi_clefts": found.score,
        "adgt": found.adgt,
        "adf": found.adf,
        "false_positives": float(found.false_positives),
        "false_negatives": float(found.false_negatives),
    }


def cleft_masks(truth: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where there are clefts, as that protocol has it."""
    if not (_is_marked(truth) or _is_marked(labels)):
        return truth != 0, labels != 0
    signed = (values.astype(_UNSIGNED).view(_SIGNED) for values in (truth, labels))
    first, second = (values != -1 for values in signed)
    return first, second


def _is_marked(values: np.ndarray) -> bool:
    """Whether background is all bits of 64, CREMI's, whatever the sign."""
    return values.dtype in (_SIGNED, _UNSIGNED) and bool((values.view(_SIGNED) == -1).any())


# ---- the list

_BITS = "VOI in bits; adapted Rand error is 1 - F of V-Rand, pairs of a voxel with itself included"
_MATCHED = "objects are matched one to one; IoU is compared in integers; background 0 is no object but counts in unions"

_OF_OBJECTS = (
    *("accuracy_50", "accuracy_75", "accuracy_mean", "f1_50", "pq", "sq", "rq", "aji"),
    *("objects_truth", "objects_labels"),
)

_ALL = (
    Protocol(
        "general",
        "No challenge's: the scores most in use, from one table.",
        (
            "VOI, adapted Rand error, V-Info: voxels with truth 0 do not count, label 0 is one segment",
            _BITS,
            _MATCHED,
            "accuracy = TP / (TP + FP + FN) at IoU >= 0.5, 0.75 and on average over 0.5, 0.55 … 0.95",
            "PQ at IoU > 0.5; AJI is Kumar's",
        ),
        of_table=_everything,
        of_objects=_OF_OBJECTS,
    ),
    Protocol(
        "cremi",
        "CREMI 2016, neurons: cremi.org.",
        (
            "voxels within 25 nm of a border of the truth, in its section, do not count, nor does 2**64 - 1",
            "0 is an object like any other on both sides",
            _BITS,
            "CREMI score = sqrt(VOI x adapted Rand error); the error as the paper defines it: see cremi-legacy",
        ),
        of_table=_cremi,
        ignore=_CREMI_IGNORED,
        mask=_far_from_borders,
        background=None,
        unseen=_CREMI_IGNORED,
        needs_spacing=True,
    ),
    Protocol(
        "cremi-legacy",
        "CREMI 2016 with the adapted Rand error that cremi_python computes, for its leaderboard.",
        (
            "as cremi, but label 0 is dropped from the squares with a correction scaled by the number of voxels",
            _BITS,
        ),
        of_table=lambda table: _cremi(table, "cremi_legacy"),
        mask=_far_from_borders,
        prepare=_shifted,
        background=None,
        unseen=_CREMI_IGNORED,
        needs_spacing=True,
    ),
    Protocol(
        "cremi-clefts",
        "CREMI 2016, synaptic clefts.",
        (
            "ADGT: mean distance of predicted cleft voxels to true ones in nm; ADF: back; the score is their mean",
            "false is what is farther than 200 nm",
            "no cleft is 2**64 - 1 where that occurs (then nothing is known where the truth is 2**64 - 2), else 0",
        ),
        takes="clefts",
        of_volumes=_clefts,
        needs_spacing=True,
    ),
    Protocol(
        "snemi3d",
        "SNEMI3D: adapted Rand error.",
        ("voxels with truth 0 do not count", "each voxel with label 0 is a segment of its own", _BITS),
        of_table=lambda table: _rand(table, "singletons"),
        ignore=(0,),
    ),
    Protocol(
        "isbi2012",
        "ISBI 2012 (Arganda-Carreras et al. 2015): V-Rand and V-Info after thinning of boundaries.",
        (
            "section by section: objects are parts of the truth joined over faces; truth 0 does not count",
            "predictions above thresholds 0, 0.1 … 1 grow together by watershed; each voxel of a line is a segment",
            "sums run over all sections; the best threshold counts, for each score by itself; alpha 0.5",
        ),
        takes="probability",
        of_volumes=_isbi2012,
        thresholds=_THRESHOLDS,
    ),
    Protocol(
        "isbi2012-warping",
        "ISBI 2012 as first held: warping error, Rand error of the foreground, pixel error.",
        (
            "section by section, at the best of the thresholds 0, 0.1 … 0.9 for each score",
            "warping by simple points, 4-connected; error = (splits + mergers) / voxels, left = all / voxels",
            "pixel error = 1 - F1 of the inside",
            "Rand error = 1 - V-Rand of parts joined over faces, truth 0 left out, label 0 as single voxels",
        ),
        takes="probability",
        of_volumes=_isbi2012_warping,
        thresholds=_THRESHOLDS[:-1],  # nothing is above 1
    ),
    Protocol(
        "mitoem",
        "MitoEM 2020: average precision in the order of sizes.",
        (
            "segments are ordered by size, as the challenge has it without scores; of equal ones the smaller id",
            "each goes with its best true object; IoU >= 0.75 (0.5 … 0.95 for the mean)",
            "101 recalls; sizes up to 5000, up to 15000 and above are small, medium, large",
        ),
        of_table=_mitoem,
        of_objects=("*",),
    ),
    Protocol(
        "mitoem-accuracy",
        "MitoEM 2023: accuracy at IoU 0.75, with associations.",
        (
            _MATCHED,
            "accuracy = TP / (TP + FP + FN) at IoU >= 0.75; PQ at IoU > 0.5",
            "associations as TIMISE's",
            "sizes up to 5000, up to 15000 voxels and above are small, medium, large: recall is of true objects of the "
            "size, precision of segments; all are matched together",
        ),
        of_table=_mitoem_accuracy,
        of_objects=("*",),
    ),
    Protocol(
        "nucmm",
        "NucMM 2021, one of its two volumes: average precision in the order of sizes.",
        (
            "segments are ordered by size; each goes with its best true object; 101 recalls",
            "the challenge averages its volumes",
        ),
        of_table=_nucmm,
        of_objects=("*",),
    ),
    *(
        Protocol(
            name,
            about,
            (
                "foreground is what is not 0; of a probability in floats what is above 0.5",
                "VOC is the mean IoU of fore- and background",
            ),
            takes="mask",
            of_table=_foreground,
        )
        for name, about in (
            ("lucchi", "EPFL hippocampus (Lucchi, Lucchi++): mitochondria, voxel by voxel."),
            ("kasthuri", "Kasthuri++: mitochondria, voxel by voxel. Give what was annotated as mask."),
            ("urocell", "UroCell: one kind of organelle, voxel by voxel."),
        )
    ),
    Protocol(
        "platelet",
        "Guay platelets: mean IoU of organelles.",
        (
            "classes 0 (background) and 1 (cell) are not among the organelles",
            "the mean is over those that the truth has",
        ),
        takes="classes",
        of_table=_organelles,
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def protocols() -> dict[str, str]:
    """The names of all protocols, with a sentence each.

    Examples
    --------
    >>> import emfast
    >>> emfast.metrics.protocols()["snemi3d"]
    'SNEMI3D: adapted Rand error.'
    """
    return {name: protocol.about for name, protocol in PROTOCOLS.items()}
