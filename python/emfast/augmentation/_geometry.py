"""Steps that move voxels: flips, turns, scales and elastic fields."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ._motion import Motion
from ._step import Step, ascending, numbers, within

TINY = 0.01  # voxels that 32-bit positions may be off
FARTHEST = 3.0  # standard deviations at which displacements end


@dataclass(frozen=True)
class Flip(Step):
    """One of a group of flips and transpositions, all alike: exact copies.

    ``xyflips`` (4): along y and x; ``flips`` (8): along z too; ``xy8``: the symmetries of the square; ``xy8z`` (16):
    those and along z; ``cube`` (48): all there are, for voxels and patches of equal sides. Axes along which voxels are
    of different lengths (by a hundredth or more) are not exchanged: of ``xy8`` flips are left then.
    """

    group: Literal["xyflips", "flips", "xy8", "xy8z", "cube"] = "xy8z"

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        sides = np.array([np.abs(matrix) @ half for matrix in members(self.group, spacing)])
        # A side that is odd and one that is even have no common centre on voxels.
        return sides.max(0) + np.where(((sides - half) % 1 != 0).any(0), 0.5, 0.0)

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        group = members(self.group, motion.spacing.tolist())
        motion.turn(group[int(rng.integers(len(group)))])


def members(group: str, spacing: Sequence[float] = (1, 1, 1)) -> list[np.ndarray]:
    """The matrices of a group of flips and transpositions, output to source, the one that changes nothing first; those
    that exchange axes along which voxels are as long."""
    orders = [*itertools.permutations(range(3))]  # the first keeps the axes, the second exchanges y and x
    orders = orders[: {"xy8": 2, "xy8z": 2, "cube": 6}.get(group, 1)]
    steps = np.asarray(spacing, float)
    orders = [order for order in orders if np.allclose(steps[list(order)], steps, rtol=0.01, atol=0)]
    along_z = (1, -1) if group in ("flips", "xy8z", "cube") else (1,)
    signs = [*itertools.product(along_z, (1, -1), (1, -1))]
    return [np.eye(3)[list(order)] * np.array(sign)[:, None] for sign in signs for order in orders]


@dataclass(frozen=True)
class Rotate(Step):
    """A turn by up to ``angle`` degrees either way, as the tissue lies in nanometres: of sections in their plane, or
    about all three axes one after another."""

    angle: float = 180.0
    axes: Literal["z", "zyx"] = "z"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.angle, "angle", 0, 180)

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        lengths = half * np.asarray(spacing)
        if self.axes == "zyx":
            return np.linalg.norm(lengths) / np.asarray(spacing) + TINY
        y, x = lengths[1:]
        most = math.radians(self.angle)
        turned = np.array([lengths[0], _farthest(y, x, most), _farthest(x, y, most)])
        return turned / np.asarray(spacing) + [0, TINY, TINY]

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        most = math.radians(self.angle)
        for axis in (0, 1, 2) if self.axes == "zyx" else (0,):
            angle = rng.uniform(-most, most)
            a, b = (k for k in range(3) if k != axis)
            turn = np.eye(3)
            turn[[a, b], [a, b]] = math.cos(angle)
            turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
            motion.turn(turn * motion.spacing / motion.spacing[:, None])


def _farthest(along: float, across: float, most: float) -> float:
    """The greatest ``along * |cos| + across * |sin|`` of angles up to ``most``."""
    best = min(math.atan2(across, along), most)
    return along * math.cos(best) + across * math.sin(best)


@dataclass(frozen=True)
class Scale(Step):
    """Objects become that many times as large: a factor from ``low`` to ``high``, one for all ``axes`` or one for
    each."""

    low: float = 0.9
    high: float = 1.1
    axes: Literal["yx", "zyx"] = "yx"
    each: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending(self.low, self.high, 0.1, 10)

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        moved = np.array([self.axes == "zyx", True, True])
        return np.where(moved, half / min(self.low, 1.0) + TINY, half)

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        factors = rng.uniform(self.low, self.high, 3) if self.each else np.full(3, rng.uniform(self.low, self.high))
        if self.axes == "yx":
            factors[0] = 1.0
        motion.turn(np.diag(1 / factors))


@dataclass(frozen=True)
class Shear(Step):
    """Sections are slanted in their plane by up to ``angle`` degrees either way, along y and along x."""

    angle: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.angle, "angle", 0, 45)

    def reach(self, half: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        most, aspect = math.tan(math.radians(self.angle)), spacing[2] / spacing[1]
        extra = np.array([0, half[2] * most * aspect + TINY, half[1] * most / aspect + TINY])
        return half + extra

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        slants = np.tan(np.radians(rng.uniform(-self.angle, self.angle, 2)))
        matrix = np.eye(3)
        matrix[1, 2], matrix[2, 1] = slants
        motion.turn(matrix * motion.spacing / motion.spacing[:, None])


@dataclass(frozen=True)
class Elastic(Step):
    """A smooth field of displacements: normal, of ``sigma`` voxels, at control points ``distance`` voxels apart, with
    B-splines between them. 0 as the first distance: all sections move alike."""

    distance: tuple[float, ...] = (4.0, 40.0, 40.0)
    sigma: tuple[float, ...] = (0.0, 2.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers(self.distance, "distance", 3)
        numbers(self.sigma, "sigma", 3)
        if min(self.distance[1:]) < 1:
            raise ValueError(f"distance must be at least 1 voxel along y and x, got {self.distance}")

    def spread(self) -> np.ndarray:
        return np.array([FARTHEST * s + TINY if s else 0.0 for s in self.sigma])

    def pitch(self) -> int:
        # Between nodes displacements are linear: four nodes from one control point to the next keep the splines.
        return max(1, min(8, int(min(self.distance[1:])) // 4))

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        rows, columns = motion.nodes()
        places = [np.arange(motion.shape[0]), rows, columns]
        bases = [_splines(p, d) for p, d in zip(places, self.distance, strict=True)]
        motion.displace(_field(bases, self.sigma, rng))


@dataclass(frozen=True)
class PiecewiseAffine(Step):
    """Control points ``distance`` voxels apart in a section move by a normal deviate of ``sigma`` voxels, along y and
    x, all sections alike; linear between them."""

    distance: int = 32
    sigma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self.distance, "distance", 1, 1e6)
        within(self.sigma, "sigma", 0, 1e6)

    def spread(self) -> np.ndarray:
        return np.array([0, FARTHEST * self.sigma + TINY, FARTHEST * self.sigma + TINY])

    def pitch(self) -> int:
        return self.distance

    def move(self, motion: Motion, rng: np.random.Generator) -> None:
        rows, columns = motion.nodes()
        bases = [np.ones((motion.shape[0], 1)), _hats(rows, self.distance), _hats(columns, self.distance)]
        motion.displace(_field(bases, (0.0, self.sigma, self.sigma), rng))


def _field(bases: Sequence[np.ndarray], sigma: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Displacements (z, 3, rows, columns) of random control points, within three deviations."""
    z, y, x = bases
    points = rng.standard_normal((3, z.shape[1], y.shape[1], x.shape[1]))
    # One axis after another without BLAS, whose sums may depend on its threads.
    field = np.einsum("zi,aijk->zajk", z, np.einsum("aijk,xk->aijx", np.einsum("aijk,yj->aiyk", points, y), x))
    return np.clip(field, -FARTHEST, FARTHEST) * np.asarray(sigma)[:, None, None]


def _splines(places: np.ndarray, distance: float) -> np.ndarray:
    """The part of each control point in the cubic B-spline at places; of variance 1 at a control point."""
    if distance == 0 or places[-1] == 0:
        return np.ones((len(places), 1))
    t = np.abs(places[:, None] / distance + 1 - np.arange(int(places[-1] / distance) + 4))
    near, far = 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    values: np.ndarray = np.where(t < 1, near, far) * math.sqrt(2)
    return values


def _hats(places: np.ndarray, distance: float) -> np.ndarray:
    count = int(places[-1] / distance) + 2
    values: np.ndarray = np.clip(1 - np.abs(places[:, None] / distance - np.arange(count)), 0, None)
    return values
