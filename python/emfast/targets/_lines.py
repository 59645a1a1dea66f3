"""The middle of objects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import each
from ._target import Made, Spacing, Target, certain, check, depth, positive, steps_of, voxels_of

# Along a line between two opposite walls the distance grows by what one goes, over the ridge it does not. Voxels from
# which no neighbour is farther from the boundary by more than this share of the way are ridge. From a voxel that sticks
# out of a smooth surface the distance grows by sqrt(2) - 1 of it, and from such voxels no ridges go to the middle.
_RISE = 0.35


@dataclass(frozen=True)
class CentreLine(Target):
    """How near the middle of its object a voxel is: 1 on the ridge of the distance to the boundary, 0 from ``reach``
    on, and 0 on background.

    Attributes
    ----------
    reach : float
        Nanometres.
    radius : float
        Distances to the boundary are cut here, in nanometres, which bounds what must be seen: what is deeper inside an
        object counts as its middle.
    per_section : bool
    """

    reach: float = 100.0
    radius: float = 250.0
    per_section: bool = False

    def __post_init__(self) -> None:
        positive(self.reach, "reach")
        positive(self.radius, "radius")

    @property
    def names(self) -> tuple[str, ...]:
        return ("centre line",)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        nm = steps_of(spacing)
        ways = zip(*(voxels_of(r, nm, self.per_section) for r in (self.reach, self.radius)), strict=True)
        z, y, x = (a + b + 1 for a, b in ways)
        return 0 if self.per_section else z, y, x

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = check(labels, mask, spacing)
        inside = np.minimum(depth(labels, nm, self.per_section), np.float32(self.radius))
        ridge = _ridge(labels, inside, nm, self.per_section)
        distances = np.full(labels.shape, np.float32(np.inf))
        for _, box, own in each(labels):
            z, y, x = box
            to_ridge = depth(~(own & ridge[box]), nm, self.per_section)  # of this object alone
            np.copyto(distances[z, y, x], to_ridge, where=own)
        near = np.maximum(0, 1 - distances / np.float32(self.reach))
        known = np.ones(labels.shape, bool)
        if mask is not None and not mask.all():
            right = certain(inside, mask, self.radius, nm, self.per_section)
            ridges = ~_any_neighbour(~right, self.per_section)  # what is known of the ridge
            known = mask & ((labels == 0) | certain(distances, ridges, self.reach, nm, self.per_section))
        return near[None].astype(np.float32), known[None].astype(np.float32)


def _steps(per_section: bool) -> list[tuple[int, int, int]]:
    """To the neighbours, 26 or 8."""
    return [
        (z, y, x)
        for z, y, x in itertools.product((-1, 0, 1), repeat=3)
        if (z, y, x) != (0, 0, 0) and not (per_section and z)
    ]


def _pair(step: tuple[int, int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Voxels that have a neighbour there, and that."""
    here = tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)
    there = tuple(slice(max(0, s), s if s < 0 else None) for s in step)
    return here, there


def _ridge(labels: np.ndarray, inside: np.ndarray, spacing: Spacing, per_section: bool) -> np.ndarray:
    ridge = labels != 0
    for step in _steps(per_section):
        here, there = _pair(step)
        way = np.float32(_RISE * math.hypot(*(s * nm for s, nm in zip(step, spacing, strict=True))))
        ridge[here] &= (inside[there] - inside[here] <= way) | (labels[there] != labels[here])
    return ridge


def _any_neighbour(marked: np.ndarray, per_section: bool) -> np.ndarray:
    """What is marked or has a neighbour that is."""
    wide = marked.copy()
    for step in _steps(per_section):
        here, there = _pair(step)
        wide[here] |= marked[there]
    return wide
