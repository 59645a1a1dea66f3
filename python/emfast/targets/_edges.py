"""Which voxels belong together: affinities, and instances by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import take
from ..edges import NEAREST, offsets_of
from ..labels import renumber
from ._target import Made, Target, certain, check, depth, known_of, positive, voxels_of

_VOXEL = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Affinities(Target):
    """1 where a voxel and the one at an offset from it are of the same object; background has no affinity.

    An edge counts where both its ends are known.

    Attributes
    ----------
    offsets : tuple of (z, y, x)
        The nearest and any longer ones, in this order: one channel each.
    border : float
        So many voxels of an object beside another label count as background. Where objects touch, what has no affinity
        is then a seam of some voxels, which is easier to learn than one of none.
    per_section : bool
        The border is that within sections.
    """

    offsets: tuple[tuple[int, ...], ...] = NEAREST
    border: float = 0.0
    per_section: bool = False

    def __post_init__(self) -> None:
        offsets_of(self.offsets, 3)
        positive(self.border, "border", or_zero=True)
        if 0 < self.border < 1:
            raise ValueError(f"border must be 0 or at least 1 voxel, got {self.border:g}: less marks nothing")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("affinity " + " ".join(map(str, offset)) for offset in self.offsets)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        around = voxels_of(self.border, _VOXEL, self.per_section)
        z, y, x = (max(abs(offset[axis]) for offset in self.offsets) + around[axis] for axis in range(3))
        return z, y, x

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        return self.make_inner(labels, mask, spacing=spacing, margin=(0, 0, 0))

    def make_inner(
        self,
        labels: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        spacing: Sequence[float] = (1, 1, 1),
        margin: Sequence[int],
    ) -> Made:
        check(labels, mask, spacing)
        core = [n - 2 * m for m, n in zip(margin, labels.shape, strict=True)]
        if min(margin) < 0 or min(core) < 0:
            raise ValueError(f"margin must leave something of {labels.shape}, got {tuple(margin)}")
        if self.border:
            distances = depth(labels, _VOXEL, self.per_section)
            if mask is not None:
                mask = certain(distances, mask, self.border, _VOXEL, self.per_section)
            labels = np.where(distances > self.border, labels, labels.dtype.type(0))
        taken = take(labels, "labels")
        known = None if mask is None or mask.all() else np.ascontiguousarray(mask)
        values, valid = taken.native.affinities_within(
            taken.library, taken.array, known, offsets_of(self.offsets, 3), list(margin), core
        )
        return np.asarray(values), np.asarray(valid)


@dataclass(frozen=True)
class Instances(Target):
    """The number of each voxel's object, 0 for background: what losses of embeddings compare.

    Numbers are those of the first appearance in the crop; they tell objects apart and mean no more.
    """

    @property
    def names(self) -> tuple[str, ...]:
        return ("instance",)

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        check(labels, mask, spacing)
        numbers, _ = renumber(labels.astype(np.uint8) if labels.dtype == bool else labels)
        if numbers.max(initial=0) >= 2**24:
            raise ValueError(f"labels must hold fewer than 2**24 objects, got {numbers.max()}")
        return numbers[None].astype(np.float32), known_of(labels, mask)
