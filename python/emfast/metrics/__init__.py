"""Scores of segmentations. Nearly all are functions of one table: how many voxels each pair of ids shares."""

from .tables import Contingency, contingency

__all__ = ["Contingency", "contingency"]
