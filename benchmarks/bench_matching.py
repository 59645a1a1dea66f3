"""Scores of objects from a table, beside the dense matrices and the assignment that most of the field makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import emfast
from emfast import metrics

from .harness import Case, Contender, DeviceCase, optional
from .inputs import Inputs

MANY, FEW = 100_000, 2_500
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def made(objects: int, seed: int) -> emfast.Contingency:
    """Objects of some thousand voxels, each with a partner, good or bad, and scraps of neighbours and background."""
    rng = np.random.default_rng(seed)
    own = np.arange(1, objects + 1)
    truth, labels, counts = [own], [own], [rng.integers(100, 3000, objects)]
    for _ in range(5):
        truth.append(own)
        labels.append(np.clip(own + rng.integers(-40, 41, objects), 1, objects))
        counts.append(rng.integers(1, 200, objects))
    truth += [own, 0 * own]
    labels += [0 * own, own]
    counts += [rng.integers(1, 200, objects)] * 2
    return emfast.Contingency.from_pairs(*(np.concatenate(part) for part in (truth, labels, counts)))


def usual(table: emfast.Contingency) -> dict[str, Any]:
    """AP, F1, PQ, AJI+ as StarDist, Cellpose, elf and HoVer-Net have them: of a matrix of all objects with all."""
    solve = optional("scipy.optimize").linear_sum_assignment
    overlap = np.zeros((len(table.truth_ids), len(table.label_ids)), np.int64)
    overlap[table.rows, table.columns] = table.counts
    sums = table.truth_sizes[:, None] + table.label_sizes
    iou = (overlap / (sums - overlap))[1:, 1:]
    height, width = iou.shape
    found = []
    for threshold in THRESHOLDS:
        reached = iou >= threshold
        rows, columns = solve(-reached.astype(float) - iou / (2 * min(iou.shape)))
        found.append(int(reached[rows, columns].sum()))
    true = np.array(found)
    good = iou[iou > 0.5]
    rows, columns = solve(-iou)
    both = overlap[1:, 1:][rows, columns].sum()
    return {
        "ap": true / (height + width - true),
        "f1": 2 * true / (height + width),
        "pq": 2 * good.sum() / (height + width),
        "aji+": both / (table.truth_sizes[1:].sum() + table.label_sizes[1:].sum() - both),
    }


def ours(table: emfast.Contingency) -> dict[str, Any]:
    found = table.average_precision(thresholds=THRESHOLDS)
    return {"ap": found.accuracy, "f1": found.f1, "pq": table.panoptic().pq, "aji+": table.aji(variant="plus")}


def alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.allclose(a[name], b[name], rtol=1e-12, atol=0) for name in a)


def cases(inputs: Inputs) -> Iterator[Case]:
    few, many = made(FEW, inputs.seed), made(MANY, inputs.seed)
    if optional("scipy.optimize") is not None:
        peers = [Contender("dense, SciPy", lambda: usual(few))]
        yield Case("matching", f"AP, F1, PQ, AJI+, {FEW}² objects", few.voxels, lambda: ours(few), peers, alike)
    parts: dict[str, Callable[[], Any]] = {
        "AP, F1, PQ, AJI+": lambda: ours(many),
        "AP": lambda: many.average_precision(thresholds=THRESHOLDS),
        "AP at 0.1 and 0.3": lambda: many.average_precision(thresholds=[0.1, 0.3]),
        "PQ": many.panoptic,
        "AJI": many.aji,
        "AJI+": lambda: many.aji(variant="plus"),
        "best Dice": many.best_dice,
        "associations": lambda: metrics.associations(many),
        "COCO's AP": many.score_ordered_precision,
    }
    for name, call in parts.items():
        title = f"{name}, {MANY}² objects, {len(many)} pairs"
        yield Case("matching", title, many.voxels, call, [], lambda a, b: True)


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """Tables live on the host."""
    yield from ()
