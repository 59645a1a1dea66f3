"""Scores of segmentations. Nearly all are functions of one table: how many voxels each pair of ids shares."""

from .runs import RunLengths, SkeletonGraph, expected_run_length, ids_within, node_labels, skeleton_table
from .surfaces import BoundaryScore, Directed, SurfaceDistances, boundary_score, hausdorff_distance, object_distances, surface_dice, surface_distances
from .topology import CenterlineScore, Warping, centerline_score, section_components, thin_boundaries, tolerant_edits, warping
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
    "BoundaryScore",
    "CenterlineScore",
    "Contingency",
    "Directed",
    "Edits",
    "Matching",
    "Panoptic",
    "RunLengths",
    "ScoreOrderedPrecision",
    "SkeletonGraph",
    "SurfaceDistances",
    "Warping",
    "aji",
    "associations",
    "average_precision",
    "best_dice",
    "boundary_score",
    "by_class",
    "by_size",
    "centerline_score",
    "contingency",
    "edits",
    "ensemble_dice",
    "expected_run_length",
    "hausdorff_distance",
    "ids_within",
    "match",
    "node_labels",
    "object_distances",
    "panoptic",
    "score_ordered_precision",
    "section_components",
    "seg_score",
    "skeleton_table",
    "surface_dice",
    "surface_distances",
    "thin_boundaries",
    "tolerant_edits",
    "warping",
]
