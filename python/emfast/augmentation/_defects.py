"""Steps that spoil sections: missing, out of focus, faint, soiled, and boxes cut out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ._canvas import Canvas
from ._motion import Motion
from ._step import Step, ascending, numbers, within
from ._tones import blur

Value = Literal["black", "mean", "random"]


@dataclass(frozen=True)
class Defect(Step):
    """Some sections are spoilt: 1 to ``sections`` of them, or each with probability ``rate`` where that is not 0.

    Of these a share ``partial`` is spoilt in some of the four parts only into which a random point divides a section.
    """

    sections: int = 1
    rate: float = 0.0
    partial: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.sections, "sections", 1, 1e6)
        within(self.rate, "rate", 0, 1)
        within(self.partial, "partial", 0, 1)

    def where(self, depth: int, rng: np.random.Generator) -> list[int]:
        """Sections in ascending order."""
        if self.rate:
            return [int(z) for z in np.flatnonzero(rng.random(depth) < self.rate)]
        count = int(rng.integers(1, min(self.sections, depth) + 1))
        return sorted(int(z) for z in rng.choice(depth, count, replace=False))

    def parts(self, canvas: Canvas, z: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """The boxes of a section that are spoilt."""
        if not self.partial or rng.random() >= self.partial:
            return [(z, z + 1, 0, canvas.height, 0, canvas.width)]
        y, x = int(rng.integers(canvas.height + 1)), int(rng.integers(canvas.width + 1))
        sides = [(a, b) for a in ((0, y), (y, canvas.height)) for b in ((0, x), (x, canvas.width))]
        return [(z, z + 1, *a, *b) for (a, b), taken in zip(sides, rng.random(4) < 0.5, strict=True) if taken]

    def keep_rest(self, canvas: Canvas, spoilt: Sequence[int], before: np.ndarray, rng: np.random.Generator) -> None:
        """Undo what was made of sections, outside of the parts that are to be spoilt."""
        if not self.partial:
            return
        canvas.flush()
        for k, z in enumerate(spoilt):
            whole = np.ones(before.shape[-2:], bool)
            for _, _, y0, y1, x0, x1 in self.parts(canvas, z, rng):
                whole[y0:y1, x0:x1] = False
            canvas.image[:, z, whole] = before[:, k, whole]


@dataclass(frozen=True)
class Missing(Defect):
    """Sections of one grey value: ``black``, the ``mean`` of the section, or a ``random`` one between black and
    white."""

    value: Value = "black"

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        means = canvas.means() if self.value == "mean" else None
        boxes, values = [], []
        for z in self.where(canvas.depth, rng):
            value = canvas.black if means is None else float(means[z])
            if self.value == "random":
                value = canvas.black + rng.random() * canvas.unit
            parts = self.parts(canvas, z, rng)
            boxes += parts
            values += [value] * len(parts)
        canvas.fill(boxes, values)


@dataclass(frozen=True)
class OutOfFocus(Defect):
    """Sections blurred by a Gaussian of ``low`` to ``high`` voxels."""

    low: float = 0.5
    high: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 100)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        spoilt = self.where(canvas.depth, rng)
        sigmas = rng.uniform(self.low, self.high, len(spoilt))
        canvas.flush()
        before = canvas.image[:, spoilt]
        blur(canvas, dict(zip(spoilt, sigmas, strict=True)))
        self.keep_rest(canvas, spoilt, before, rng)


@dataclass(frozen=True)
class MotionBlur(Defect):
    """Sections drawn out along a random direction, by ``low`` to ``high`` voxels."""

    low: float = 2.0
    high: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 1000)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        spoilt = self.where(canvas.depth, rng)
        canvas.flush()
        before = canvas.image[:, spoilt]
        ways = [(rng.uniform(self.low, self.high), rng.uniform(0, math.pi)) for _ in spoilt]
        canvas.smooth({z: _line(*way) for z, way in zip(spoilt, ways, strict=True)})
        self.keep_rest(canvas, spoilt, before, rng)


def _line(length: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Whole steps along a line through 0, all of one weight."""
    count = max(1, 2 * round(length / 2) + 1)
    at = np.linspace(-length / 2, length / 2, count)
    steps = np.stack([0 * at, at * math.sin(angle), at * math.cos(angle)], 1)
    return np.round(steps).astype(np.int32), np.full(count, 1 / count)


@dataclass(frozen=True)
class LowContrast(Defect):
    """Faint sections: differences from their mean are multiplied by ``low`` to ``high``."""

    low: float = 0.1
    high: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0, 1)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        spoilt = self.where(canvas.depth, rng)
        if not spoilt:
            return
        gain = np.ones(canvas.depth)
        gain[spoilt] = rng.uniform(self.low, self.high, len(spoilt))
        if self.partial:
            canvas.flush()
        before = canvas.image[:, spoilt]
        canvas.scale(gain, np.where(gain == 1, 0, canvas.means() * (1 - gain)))
        self.keep_rest(canvas, spoilt, before, rng)


@dataclass(frozen=True)
class Artefact(Defect):
    """Dirt and folds on sections.

    ``bank`` names pictures (n, y, x) of them, a ``.npy`` file or what :func:`emfast.open_volume` reads: grey values
    from 0 (black) to the largest of the dtype or 1 (white), which cover a section where they are dark. A random one
    is placed, flipped and transposed at random. Without a bank dark stains are drawn.
    """

    bank: str = ""
    strength: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.strength, "strength", 0, 1)

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: Any) -> None:
        spoilt = self.where(canvas.depth, rng)
        shape = (canvas.height, canvas.width)
        pictures = _bank(self.bank) if self.bank else None
        values = np.empty((len(spoilt), *shape), np.float32)
        covers = np.empty_like(values)
        for k in range(len(spoilt)):
            dark = _stains(shape, rng) if pictures is None else _placed(pictures, shape, rng)
            values[k] = canvas.black + (1 - dark) * canvas.unit
            covers[k] = dark * self.strength
        if self.partial:
            canvas.flush()
        before = canvas.image[:, spoilt]
        canvas.overlay(spoilt, values, covers)
        self.keep_rest(canvas, spoilt, before, rng)


@lru_cache(maxsize=4)
def _bank(path: str) -> np.ndarray:
    """Pictures (n, y, x), 0 where bright and 1 where dark."""
    if os.fspath(path).endswith(".npy"):
        pictures = np.load(path)
    else:
        from ..volumes import open_volume

        with open_volume(path) as volume:
            pictures = np.asarray(volume[...])
    if pictures.ndim != 3 or not pictures.size:
        raise ValueError(f"bank must be pictures (n, y, x), got shape {pictures.shape} in {path}")
    white = np.iinfo(pictures.dtype).max if pictures.dtype.kind in "iu" else 1
    return np.clip(1 - pictures.astype(np.float32) / np.float32(white), 0, 1)


def _placed(pictures: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random picture somewhere on an empty section."""
    picture = pictures[int(rng.integers(len(pictures)))]
    if rng.random() < 0.5:
        picture = picture.T
    picture = picture[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    out = np.zeros(shape, np.float32)
    places = []
    for n, size in zip(shape, picture.shape, strict=True):
        start = int(rng.integers(min(0, n - size), max(0, n - size) + 1))  # of the picture on the section
        first = max(-start, 0)
        places.append((slice(max(start, 0), min(start + size, n)), slice(first, first + min(size, n))))
    out[places[0][0], places[1][0]] = picture[places[0][1], places[1][1]]
    return out


def _stains(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A few round stains with soft edges."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    out = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        cy, cx = rng.random(2) * shape
        radius = rng.uniform(0.03, 0.2) * max(shape)
        squared = ((y - cy) ** 2 + (x - cx) ** 2) / radius**2
        out = np.maximum(out, np.clip(2 - 2 * squared, 0, 1))
    return out.astype(np.float32)


@dataclass(frozen=True)
class CutOut(Step):
    """``boxes`` of ``low`` to ``high`` voxels along z, y, x are filled with one grey value.

    ``known``: labels are still asked for there; else masks are False in the boxes.
    """

    boxes: int = 1
    low: tuple[int, ...] = (1, 8, 8)
    high: tuple[int, ...] = (4, 32, 32)
    value: Value = "mean"
    known: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.boxes, "boxes", 1, 1e6)
        numbers(self.low, "low", 3, 1)
        numbers(self.high, "high", 3, 1)
        if any(a > b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"high must not be below low ({self.low}), got {self.high}")

    def move(self, motion: Motion, rng: np.random.Generator) -> list[tuple[int, ...]]:
        made = []
        for _ in range(self.boxes):
            box: list[int] = []
            for low, high, n in zip(self.low, self.high, motion.shape, strict=True):
                size = min(int(rng.integers(low, high, endpoint=True)), n)
                start = int(rng.integers(n - size + 1))
                box += [start, start + size]
            made.append(tuple(box))
        if not self.known:
            motion.unknown += made
        return made

    def change(self, canvas: Canvas, rng: np.random.Generator, moved: list[tuple[int, ...]]) -> None:
        mean = float(canvas.means().mean()) if self.value == "mean" else canvas.black
        values = [canvas.black + rng.random() * canvas.unit if self.value == "random" else mean for _ in moved]
        canvas.fill(moved, values)
