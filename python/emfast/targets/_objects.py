"""What is said of whole objects: their centres, and how round they are.

A target that asks for all of an object must see all of it. So an object counts at those of its voxels from which it
lies within ``reach`` along each axis, and nowhere if an unknown voxel touches it. Objects are the connected parts of
labels (26 neighbours; 8 in a section).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..components import connected_components
from ..measurement import Statistics, statistics
from ._target import Made, Spacing, Target, check, positive, steps_of, voxels_of


@dataclass(frozen=True)
class _Whole(Target):
    """Shared: margins, objects and where they count."""

    reach: float = 1000.0
    per_section: bool = True

    def __post_init__(self) -> None:
        positive(self.reach, "reach")

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        z, y, x = voxels_of(self.reach, steps_of(spacing), self.per_section)
        return 0 if self.per_section else z + 1, y + 1, x + 1

    def _parts(
        self, labels: np.ndarray, mask: np.ndarray | None, spacing: Spacing
    ) -> tuple[np.ndarray, Statistics, np.ndarray]:
        """Objects numbered from 1, a row for each, and where they count, background included."""
        parts = _components(labels, self.per_section)
        table = statistics(parts, spacing=spacing, moments=True)
        known = np.ones(labels.shape, bool) if mask is None else mask.copy()
        if mask is not None and not mask.all():
            touched = np.zeros(len(table) + 1, bool)
            touched[np.unique(parts[_beside(~mask, self.per_section)])] = True
            touched[0] = False
            known &= ~touched[parts]
        reaches = voxels_of(self.reach, spacing, self.per_section)
        objects = parts != 0
        for axis, (place, far) in enumerate(zip(np.ogrid[tuple(map(slice, labels.shape))], reaches, strict=True)):
            first, last = (_of(table, ends[:, axis], parts) for ends in (table["start"], table["stop"] - 1))
            known &= ~objects | ((place - first <= far) & (last - place <= far))
        return parts, table, known


def _of(table: Statistics, values: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """What the rows say of each voxel; 0 on background."""
    return np.concatenate([np.zeros(1, values.dtype), values])[parts]


def _components(labels: np.ndarray, per_section: bool) -> np.ndarray:
    if not per_section:
        whole: np.ndarray = connected_components(labels, connectivity=26, dtype=np.uint32)
        return whole
    parts = np.zeros(labels.shape, np.uint32)
    count = 0
    for section, out in zip(labels, parts, strict=True):
        found, more = connected_components(section, connectivity=8, dtype=np.uint32, return_count=True)
        out[...] = np.where(found != 0, found + count, 0)
        count += more
    return parts


def _beside(marked: np.ndarray, per_section: bool) -> np.ndarray:
    """What is marked, and all its neighbours."""
    for axis in range(1 if per_section else 0, 3):
        wide = marked.copy()
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        wide[tuple(ahead)] |= marked[tuple(behind)]
        wide[tuple(behind)] |= marked[tuple(ahead)]
        marked = wide
    return marked


@dataclass(frozen=True)
class Centre(_Whole):
    """A Gaussian around the centroid of each object, and from each of its voxels the way there, in voxels.

    What :func:`emfast.segmentation.centre_offset` takes. The Gaussian ends with the object: background is 0. Offsets
    count in objects only.

    Attributes
    ----------
    sigma : float
        Of the Gaussian, in nanometres.
    reach : float
        How far an object may extend from a voxel, in nanometres.
    per_section : bool
        Objects are those of each section, and offsets have y and x only.
    """

    sigma: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.sigma, "sigma")

    @property
    def names(self) -> tuple[str, ...]:
        return ("centre", *(f"offset {axis}" for axis in ("yx" if self.per_section else "zyx")))

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = check(labels, mask, spacing)
        parts, table, known = self._parts(labels, mask, nm)
        objects = parts != 0
        values = np.zeros((self.channels, *labels.shape), np.float32)
        squares = np.zeros(np.count_nonzero(objects))
        owner = parts[objects] - 1
        axes = (1, 2) if self.per_section else (0, 1, 2)
        # Centroids are taken from the start of the object's box, so that where the crop begins is of no account.
        start, voxels = table["start"], table["voxels"][:, None]
        centres = (np.rint(table["centroid"] * voxels) - start * voxels) / voxels
        for channel, axis, place in zip(values[1:], axes, np.nonzero(objects)[-len(axes) :], strict=True):
            way = centres[owner, axis] - (place - start[owner, axis])
            channel[objects] = way
            squares += (way * nm[axis]) ** 2
        values[0][objects] = np.exp(-squares / (2 * self.sigma**2))
        return values, np.stack([known, *[known & objects] * len(axes)]).astype(np.float32)


@dataclass(frozen=True)
class Ovality(_Whole):
    """Objects, split softly by shape: "round" is the ratio of the shortest to the longest axis, "long" the rest to 1.

    Axes are those of the ellipse (the ellipsoid) that has the object's covariance; voxels have an extent.

    Attributes
    ----------
    reach : float
        How far an object may extend from a voxel, in nanometres.
    per_section : bool
        Objects are those of each section.
    """

    @property
    def names(self) -> tuple[str, ...]:
        return "round", "long"

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = check(labels, mask, spacing)
        parts, table, known = self._parts(labels, mask, nm)
        first = 1 if self.per_section else 0
        extent = np.diag(np.square(nm[first:]) / 12)  # the variance of a voxel
        axes = np.linalg.eigvalsh(table["covariance"][:, first:, first:] + extent)
        ratio = _of(table, np.sqrt(axes[:, 0] / axes[:, -1]), parts)
        values = np.stack([ratio, np.where(parts != 0, 1 - ratio, 0)]).astype(np.float32)
        return values, known[None].astype(np.float32)
