"""What a network is to say of labels: a target makes it, with a weight that is 0 where nothing is known.

A target is made on a crop with ``margin`` voxels around what is asked for, so that what it says at the border of a
patch is what it would say inside the volume. NumPy in, NumPy out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._settings import Kind

__all__ = ["Semantic", "Target"]


@dataclass(frozen=True)
class Target(Kind):
    """A kind of target, as settings."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        return len(self.names)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        """Voxels around that it must see."""
        return 0, 0, 0

    def make(
        self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights, both (c, z, y, x) float32 of the shape of ``labels``; weights may have one channel."""
        raise NotImplementedError


@dataclass(frozen=True)
class Semantic(Target):
    """1 where there is an object; of several classes one channel each, class k being the voxels of label k."""

    classes: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return ("object",) if self.classes == 1 else tuple(f"class {k}" for k in range(1, self.classes + 1))

    def make(
        self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = range(1, self.classes + 1)
        values = [labels != 0] if self.classes == 1 else [labels == k for k in ids]
        weights = np.ones(labels.shape, np.float32) if mask is None else mask.astype(np.float32)
        return np.stack(values).astype(np.float32), weights[None]
