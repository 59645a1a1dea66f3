"""Steps that change grey values of whole patches or of each section: brightness, contrast, noise, blur."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._canvas import Canvas
from ._step import Step, ascending, within

Per = Literal["volume", "section", "either"]


@dataclass(frozen=True)
class Brightness(Step):
    """All grey values rise or fall by up to ``amount``, a share of the range from black to white."""

    amount: float = 0.1
    per: Per = "volume"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.amount, "amount", 0, 1)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        offset = drawn(self.per, canvas.depth, rng, -self.amount, self.amount)
        canvas.scale(np.ones(canvas.depth), offset * canvas.unit)


@dataclass(frozen=True)
class Contrast(Step):
    """Differences from the mean of a section, or from black, are multiplied by ``low`` to ``high``."""

    low: float = 0.9
    high: float = 1.1
    per: Per = "volume"
    about: Literal["mean", "black"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 100)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        gain = drawn(self.per, canvas.depth, rng, self.low, self.high)
        canvas.scale(gain, (canvas.means() if self.about == "mean" else canvas.black) * (1 - gain))


@dataclass(frozen=True)
class Gamma(Step):
    """The power ``low`` to ``high`` of grey values between 0 (black) and 1 (white); it is as often above 1 as below
    where ``low * high`` is 1. Values beyond black and white end there."""

    low: float = 0.5
    high: float = 2.0
    per: Per = "volume"

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0.01, 100)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        canvas.raise_to(np.exp2(drawn(self.per, canvas.depth, rng, math.log2(self.low), math.log2(self.high))))


@dataclass(frozen=True)
class Noise(Step):
    """Independent normal deviates are added, of ``low`` to ``high`` times the range from black to white."""

    low: float = 0.0
    high: float = 0.05
    per: Per = "volume"

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 10)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        sigma = drawn(self.per, canvas.depth, rng, self.low, self.high)
        canvas.disturb(sigma * canvas.unit, rng.integers(2**64, size=(canvas.depth,), dtype=np.uint64))


@dataclass(frozen=True)
class Clip(Step):
    """Grey values beyond black and white end there."""

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        canvas.bound()


@dataclass(frozen=True)
class Blur(Step):
    """A Gaussian of ``low`` to ``high`` voxels within sections, or along z too. It sees the patch alone."""

    low: float = 0.0
    high: float = 2.0
    per: Per = "volume"
    axes: Literal["yx", "zyx"] = "yx"

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 100)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        sigma = drawn(self.per, canvas.depth, rng, self.low, self.high)
        blur(canvas, dict(enumerate(sigma)), (0, 1, 2) if self.axes == "zyx" else (1, 2))


@dataclass(frozen=True)
class Equalise(Step):
    """Sections are moved towards a flat histogram between black and white, by a share of ``low`` to ``high``."""

    low: float = 0.0
    high: float = 1.0
    per: Per = "volume"

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 1)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        canvas.equalise(dict(enumerate(drawn(self.per, canvas.depth, rng, self.low, self.high))))


def drawn(per: str, depth: int, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A number for each section: one for all, or one each; or either, as often."""
    alike = per == "volume" or (per == "either" and rng.random() < 0.5)
    return np.full(depth, rng.uniform(low, high)) if alike else rng.uniform(low, high, depth)


def blur(canvas: Canvas, sigmas: dict[int, float], axes: tuple[int, ...] = (1, 2)) -> None:
    """Gaussians by section, one axis after another; those below a tenth of a voxel change nothing."""
    for axis in axes:
        canvas.smooth({z: gaussian(sigma, axis) for z, sigma in sigmas.items() if sigma >= 0.1})


def gaussian(sigma: float, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and weights up to three deviations; the weights sum to 1 before they are rounded to 32 bits."""
    radius = max(1, math.ceil(3 * sigma))
    steps = np.zeros((2 * radius + 1, 3), np.int32)
    steps[:, axis] = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps[:, axis] / sigma) ** 2)
    return steps, weights / weights.sum()
