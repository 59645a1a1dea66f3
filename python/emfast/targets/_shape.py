"""Local shape descriptors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._arrays import take
from ..labels import renumber
from ._target import Made, Spacing, Target, check, positive, steps_of


@dataclass(frozen=True)
class Shape(Target):
    """What a Gaussian window around each voxel of an object holds of that object (local shape descriptors, Sheridan
    2023): ten numbers about 0 to 1, in a section six.

    The mean place as seen from the voxel, the variances along the axes and the correlations of the axes, and the share
    of the window that the object fills; lengths in units of sigma, signed ones halved and moved by one half. On
    background signed ones are one half, the others 0. Networks learn it beside affinities. A voxel counts if all of
    its window is known.

    Attributes
    ----------
    sigma : float
        Of the window, in nanometres.
    cut : float
        The window ends after so many sigmas.
    per_section : bool
    """

    sigma: float = 80.0
    cut: float = 3.0
    per_section: bool = False

    def __post_init__(self) -> None:
        positive(self.sigma, "sigma")
        positive(self.cut, "cut")

    @property
    def names(self) -> tuple[str, ...]:
        axes, pairs = ("yx", ["yx"]) if self.per_section else ("zyx", ["zy", "zx", "yx"])
        named = (("offset", axes), ("variance", axes), ("correlation", pairs))
        return (*(f"{word} {which}" for word, of in named for which in of), "size")

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        z, y, x = (math.floor(self.cut * self.sigma / step) for step in steps_of(spacing))
        return 0 if self.per_section else z, y, x

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = check(labels, mask, spacing)
        radii = self.margin(spacing)
        numbers = np.zeros(labels.shape, np.uint32)
        if labels.size:
            numbers[...] = renumber(labels.astype(np.uint8) if labels.dtype == bool else labels)[0]
        operand = take(numbers, "labels")
        scale = [step / self.sigma for step in nm]
        values = operand.native.shape_descriptors(
            operand.library,
            operand.array,
            int(numbers.max(initial=0)),
            weights_of(radii, nm, self.sigma),
            scale,
            self.per_section,
        )
        signed = [name.startswith(("offset", "correlation")) for name in self.names]
        values = np.asarray(values)
        values[np.outer(signed, numbers == 0).reshape(values.shape)] = 0.5  # the same when it is turned around
        known = np.ones(labels.shape, bool)
        if mask is not None and not mask.all():
            known = mask & ((labels == 0) | ~_near(~mask, radii))
        return values, known[None].astype(np.float32)


def weights_of(radii: tuple[int, int, int], spacing: Spacing, sigma: float) -> list[list[int]]:
    """Gaussians as whole numbers, as fine as leaves all sums of products with squares of distances below 2^53."""
    far = max(1, *radii) ** 2
    least = math.prod(2 * r + 1 for r in radii)
    for bits in range(40, 0, -1) if least * far < 2**53 else ():
        rows = [_row(r, step / sigma, bits) for r, step in zip(radii, spacing, strict=True)]
        if math.prod(map(sum, rows)) * far < 2**53:
            return rows
    raise ValueError(f"sigma must be smaller: a window of {radii} voxels on either side has sums beyond 2**53")


def _row(radius: int, step: float, bits: int) -> list[int]:
    heights = [math.exp(-((d * step) ** 2) / 2) for d in range(-radius, radius + 1)]
    whole = math.fsum(heights)
    return [max(1, round(2**bits * height / whole)) for height in heights]


def _near(marked: np.ndarray, radii: tuple[int, int, int]) -> np.ndarray:
    """Whether a voxel is marked within the box of these radii around."""
    for axis, (radius, n) in enumerate(zip(radii, marked.shape, strict=True)):
        counts = np.concatenate([np.zeros_like(marked.take([0], axis), np.int32), marked.cumsum(axis, np.int32)], axis)
        place = np.arange(n)
        ahead = counts.take(np.minimum(place + radius + 1, n), axis)
        marked = ahead > counts.take(np.maximum(place - radius, 0), axis)
    return marked
