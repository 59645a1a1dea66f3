"""What the drop-ins of StarDist's and elf's matching share: criteria, and the assignment that both make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..metrics import Contingency
from ..metrics._objects import Objects, objects_of, one_to_one

CRITERIA = ("iou", "iot", "iop")  # overlap over union, over the true object, over the predicted one


def scored(table: Contingency, criterion: str, background: int | None = 0) -> Objects:
    """Objects whose ``union`` is what the criterion divides by, so that their ``iou`` is its score."""
    objects = objects_of(table, background)
    if criterion == "iot":
        return replace(objects, union=objects.truth_sizes[objects.rows])
    if criterion == "iop":
        return replace(objects, union=objects.label_sizes[objects.columns])
    return objects


def assigned(objects: Objects, reached: np.ndarray) -> np.ndarray:
    """The pairs of the one-to-one matching with most that reached a threshold, then with the largest sum of scores."""
    return one_to_one(objects, np.arange(len(reached)), "optimal", reached)
