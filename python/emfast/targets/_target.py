"""The base of all targets, and what they share: reaches in voxels, distances by section, and what is known of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._options import number_of, spacing_of
from .._settings import Kind
from ..distance import edt, signed_distance

Spacing = tuple[float, float, float]
Made = tuple[np.ndarray, np.ndarray]


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
        """What a network is to say.

        Parameters
        ----------
        labels : (z, y, x) array of integers or bool
            0 is background.
        mask : (z, y, x) bool, optional
            Where labels are known.
        spacing : (z, y, x) in nanometres

        Returns
        -------
        values, weights : (c, z, y, x) float32
            Weights may have one channel for all.
        """
        raise NotImplementedError

    def make_inner(
        self,
        labels: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        spacing: Sequence[float] = (1, 1, 1),
        margin: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same without so many voxels on either side, which some kinds then need not make."""
        values, weights = self.make(labels, mask, spacing=spacing)
        box = (slice(None), *(slice(m, n - m) for m, n in zip(margin, labels.shape, strict=True)))
        return values[box], weights[box]


def check(labels: np.ndarray, mask: np.ndarray | None, spacing: Sequence[float]) -> Spacing:
    """The spacing, after a look at all three.

    It is rounded to a thousandth of its smallest value's first digit: then squared distances are exact integers in any
    crop, and do not depend on its shape.
    """
    if labels.ndim != 3 or labels.dtype.kind not in "biu":
        raise ValueError(f"labels must be (z, y, x) integers or bool, got {labels.dtype} of shape {labels.shape}")
    if mask is not None and (mask.shape != labels.shape or mask.dtype != bool):
        raise ValueError(f"mask must be bool of the shape of labels {labels.shape}, got {mask.dtype} {mask.shape}")
    return steps_of(spacing)


def steps_of(spacing: Sequence[float]) -> Spacing:
    nm = spacing_of(spacing, 3)
    digits = 3 - math.floor(math.log10(min(nm)))
    z, y, x = (round(step, digits) for step in nm)
    return z, y, x


def known_of(labels: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(1, z, y, x) float32, 1 where labels are known."""
    return np.ones((1, *labels.shape), np.float32) if mask is None else mask[None].astype(np.float32)


def voxels_of(reach: float, spacing: Spacing, per_section: bool) -> tuple[int, int, int]:
    """How many voxels a distance is, rounded up; none along z where sections are taken by themselves."""
    z, y, x = (math.ceil(reach / step) for step in spacing)
    return 0 if per_section else z, y, x


def depth(labels: np.ndarray, spacing: Spacing, per_section: bool) -> np.ndarray:
    """Distance of every voxel to the nearest of another label; 0 on background. The border is no boundary."""
    nm = spacing[1:] if per_section else spacing
    distances: np.ndarray = edt(labels, spacing=nm, batch=per_section)
    return distances


def signed(labels: np.ndarray, spacing: Spacing, per_section: bool, **options: Any) -> np.ndarray:
    """The same with background as one more label, negative there."""
    nm = spacing[1:] if per_section else spacing
    distances: np.ndarray = signed_distance(labels, spacing=nm, batch=per_section, **options)
    return distances


def certain(
    distances: np.ndarray, mask: np.ndarray | None, reach: float | np.ndarray, spacing: Spacing, per_section: bool
) -> np.ndarray:
    """Where a distance, which matters up to ``reach`` (one for all voxels, or one each), is what it is whatever the
    unknown voxels hold.

    Voxels nearer than the nearest unknown one are all known. So a distance below that is right; and where the nearest
    unknown voxel is beyond ``reach``, so is a boundary that is not seen before it.
    """
    if mask is None or mask.all():
        return np.ones(distances.shape, bool)
    unknown = depth(mask, spacing, per_section)
    return np.asarray(mask & ((np.minimum(np.abs(distances), reach) < unknown) | (unknown > reach)))


def positive(value: Any, name: str, *, or_zero: bool = False) -> None:
    """Refuse what is no positive finite number."""
    number = number_of(value, name, 0)
    if not math.isfinite(number) or (number == 0 and not or_zero):
        raise ValueError(f"{name} must be a {'number from 0' if or_zero else 'positive number'}, got {value!r}")
