"""Steps by which sections do not lie where they should: misaligned, slipped, shaken, lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._canvas import Canvas
from ._geometry import FARTHEST, TINY, Rotate
from ._motion import Motion
from ._step import Step, ascending, within


@dataclass(frozen=True)
class Misalign(Step):
    """From a random section on all lie elsewhere: by ``low`` to ``high`` whole voxels along y and x, either way, and
    turned by up to ``angle`` degrees. The two sides share the way.

    With a ``rate``, each section is the beginning of such a move with that probability; moves add up to ``high`` at
    most. ``missing``: the first section that moved, or also the one before, is black, and its labels go half the way.
    """

    low: int = 0
    high: int = 17
    angle: float = 0.0
    rate: float = 0.0
    missing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 1e6)
        within(self.angle, "angle", 0, 45)
        within(self.rate, "rate", 0, 1)
        if self.rate and (self.angle or self.missing):
            raise ValueError(f"rate must be 0 with angle or missing, got {self.rate!r}")

    def spread(self) -> np.ndarray:
        side = float(self.high if self.rate else (self.high + 1) // 2)
        return np.array([0.0, side, side])

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        return Rotate(self.angle / 2).reach(half, spacing) if self.angle else half

    def move(self, motion: Motion, rng: np.random.Generator) -> list[int]:
        n = motion.shape[0]
        if n < 2:
            return []
        if self.rate:
            starts = rng.random(n) < self.rate
            steps = np.where(starts[:, None], _either_way(rng, self.low, self.high, (n, 2)), 0)
            motion.shift(np.clip(np.cumsum(steps, 0), -self.high, self.high))
            return []
        first = int(rng.integers(1, n))
        way = _either_way(rng, self.low, self.high, (2,))
        after = np.arange(n)[:, None] >= first
        shifts = np.where(after, way - way // 2, -(way // 2))
        if self.angle:
            turn = math.radians(rng.uniform(-self.angle, self.angle)) / 2
            motion.angles += np.where(after[:, 0], turn, -turn)
        if not self.missing:
            motion.shift(shifts)
            return []
        blank = [first - 1, first] if rng.random() < 0.5 else [first]
        labels = shifts.astype(float)
        for k, section in enumerate(blank):
            part = (k + 1) / (len(blank) + 1)
            labels[section] = np.round(-(way // 2) + part * way)
        motion.shift(shifts, labels)
        return blank

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: list[int]) -> None:
        if moved:
            canvas.blank(moved, canvas.black)


@dataclass(frozen=True)
class Slip(Step):
    """One section that is not the first or last lies elsewhere, by ``low`` to ``high`` whole voxels along y and x,
    either way.

    With a ``rate``, each section does with that probability. ``labels``: they slip with it; else they say where
    things would be.
    """

    low: int = 0
    high: int = 17
    rate: float = 0.0
    labels: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 1e6)
        within(self.rate, "rate", 0, 1)

    def spread(self) -> np.ndarray:
        return np.array([0.0, self.high, self.high])

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        n = motion.shape[0]
        if n < 3 and not self.rate:
            return
        slips = rng.random(n) < self.rate if self.rate else np.arange(n) == rng.integers(1, n - 1)
        shifts = np.where(slips[:, None], _either_way(rng, self.low, self.high, (n, 2)), 0)
        motion.shift(shifts, None if self.labels else np.zeros((n, 2)))


@dataclass(frozen=True)
class Jitter(Step):
    """Each section moves a little, by a normal deviate of ``sigma`` voxels along y and x, and labels with it."""

    sigma: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.sigma, "sigma", 0, 1e6)

    def spread(self) -> np.ndarray:
        return np.array([0, FARTHEST * self.sigma + TINY, FARTHEST * self.sigma + TINY])

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        deviates = rng.standard_normal((motion.shape[0], 2))
        motion.shift(np.clip(deviates, -FARTHEST, FARTHEST) * self.sigma)


@dataclass(frozen=True)
class Lost(Step):
    """At a random place 1 to ``sections`` sections are not there: the next one follows at once.

    ``missing``: one beside the gap is black.
    """

    sections: int = 1
    missing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.sections, "sections", 1, 1000)

    def spread(self) -> np.ndarray:
        return np.array([(self.sections + 1) // 2, 0.0, 0.0])

    def move(self, motion: Motion, rng: np.random.Generator) -> list[int]:
        n = motion.shape[0]
        if n < 2:
            return []
        first, count = int(rng.integers(1, n)), int(rng.integers(1, self.sections + 1))
        motion.depth += np.where(np.arange(n) >= first, count - count // 2, -(count // 2))
        return [first] if self.missing else []

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: list[int]) -> None:
        if moved:
            canvas.blank(moved, canvas.black)


def _either_way(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    signs = np.where(rng.random(shape) < 0.5, -1, 1)
    return rng.integers(low, high, shape, endpoint=True) * signs
