"""What all steps share: when they are made, how far they reach, and the two moments at which they work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._settings import Kind

if TYPE_CHECKING:
    from ._canvas import Canvas
    from ._motion import Motion


@dataclass(frozen=True)
class Step(Kind):
    """One kind of change, as settings: made with that ``probability``."""

    probability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        within(self.probability, "probability", 0, 1)

    def chosen(self, rng: np.random.Generator) -> tuple[Step, ...]:
        """The steps that are made this time."""
        return (self,) if self.probability >= 1 or rng.random() < self.probability else ()

    def spread(self) -> np.ndarray:
        """Voxels (z, y, x) by which a voxel may be moved in the frame of the patch."""
        return np.zeros(3)

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        """Half the sides of the box that a box around the centre, given by half its sides, comes from."""
        return half

    def pitch(self) -> int:
        """Voxels between the nodes that a displacement needs; 0 where there is none."""
        return 0

    def move(self, motion: Motion, rng: np.random.Generator) -> Any:
        """Say where voxels come from. What is returned is handed to :meth:`change`."""
        return None

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        """Change the image."""


@dataclass(frozen=True)
class All(Step):
    """Steps that are made together or not at all."""

    steps: tuple[Step, ...] = ()

    def chosen(self, rng: np.random.Generator) -> tuple[Step, ...]:
        return tuple(each for step in self.steps for each in step.chosen(rng)) if super().chosen(rng) else ()

    def spread(self) -> np.ndarray:
        return sum((step.spread() for step in self.steps), np.zeros(3))

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        inner = half
        for step in reversed(self.steps):
            inner = np.maximum(inner, step.reach(inner, spacing))
        return inner

    def pitch(self) -> int:
        return int(np.gcd.reduce([step.pitch() for step in self.steps] or [0]))


@dataclass(frozen=True)
class OneOf(Step):
    """One of several steps, drawn by ``weights`` (empty: all alike)."""

    steps: tuple[Step, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps:
            raise ValueError("steps must be one or more, got none")
        if self.weights and len(self.weights) != len(self.steps):
            raise ValueError(f"weights must be {len(self.steps)}, one for each of steps, got {len(self.weights)}")
        if self.weights and (min(self.weights) < 0 or not 0 < sum(self.weights) < float("inf")):
            raise ValueError(f"weights must not be negative and not all 0, got {self.weights}")

    def chosen(self, rng: np.random.Generator) -> tuple[Step, ...]:
        if not super().chosen(rng):
            return ()
        share = np.array(self.weights or [1.0] * len(self.steps))
        return self.steps[int(rng.choice(len(self.steps), p=share / share.sum()))].chosen(rng)

    def spread(self) -> np.ndarray:
        return np.max([step.spread() for step in self.steps], axis=0)

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        return np.max([half, *(step.reach(half, spacing) for step in self.steps)], axis=0)

    def pitch(self) -> int:
        return int(np.gcd.reduce([step.pitch() for step in self.steps]))


def within(value: float, name: str, low: float, high: float) -> None:
    """ValueError unless a number lies in a range."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value!r}")


def ascending(low: float, high: float, least: float, most: float) -> None:
    """ValueError unless the fields ``low`` and ``high`` are a range within another one."""
    within(low, "low", least, most)
    if not low <= high <= most:
        raise ValueError(f"high must be from low ({low:g}) to {most:g}, got {high!r}")


def numbers(values: Sequence[float], name: str, n: int, low: float = 0.0, high: float = 1e6) -> None:
    """ValueError unless they are n numbers in a range."""
    if len(values) != n or not all(low <= v <= high for v in values):
        raise ValueError(f"{name} must be {n} numbers from {low:g} to {high:g}, got {tuple(values)}")
