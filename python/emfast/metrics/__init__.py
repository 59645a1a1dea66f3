"""Scores of segmentations. Nearly all are functions of one table: how many voxels each pair of ids shares."""

from .detection import ScoreOrderedPrecision, score_ordered_precision
from .instances import (
    Associations,
    BestDice,
    Edits,
    aji,
    associations,
    best_dice,
    edits,
    ensemble_dice,
    seg_score,
)
from .matching import AveragePrecision, Matching, Panoptic, average_precision, by_class, by_size, match, panoptic
from .tables import Contingency, contingency

__all__ = [
    "Associations",
    "AveragePrecision",
    "BestDice",
    "Contingency",
    "Edits",
    "Matching",
    "Panoptic",
    "ScoreOrderedPrecision",
    "aji",
    "associations",
    "average_precision",
    "best_dice",
    "by_class",
    "by_size",
    "contingency",
    "edits",
    "ensemble_dice",
    "match",
    "panoptic",
    "score_ordered_precision",
    "seg_score",
]
