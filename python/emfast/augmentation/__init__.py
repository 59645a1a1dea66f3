"""Augmentation: what else the same tissue could have looked like. Settings; the work is native.

An augmentation is a list of steps. All that move voxels make one resample of image, labels and masks together; others
change the image alone. What comes out is a function of the crop and the random numbers it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._settings import Kind
from ..sampling import Crop

__all__ = ["Augmentation", "Step"]


@dataclass(frozen=True)
class Step(Kind):
    """One kind of change, as settings."""


@dataclass(frozen=True)
class Augmentation:
    """Steps, one after another."""

    steps: tuple[Step, ...] = ()

    def margin(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, int, int]:
        """Voxels around a crop of that shape that the steps may bring into it."""
        return 0, 0, 0

    def apply(self, crop: Crop, shape: Sequence[int], rng: np.random.Generator) -> Crop:
        """The inner voxels of that shape, changed. The image comes as float32, in the units it came in."""
        margin = [(n - s) // 2 for n, s in zip(crop.image.shape[1:], shape, strict=True)]
        inner = crop.inner(margin)
        return Crop(inner.image.astype(np.float32), inner.labels, inner.masks, inner.spacing)
