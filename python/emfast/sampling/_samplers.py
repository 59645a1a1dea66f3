"""Samplers: which crops are drawn, and how often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ._census import Census, around, census, named
from ._pieces import Piece, Sampler, Shape, generator, room

Drawn = tuple[int, tuple[int, int, int]]


@dataclass(frozen=True)
class Uniform(Sampler):
    """Each crop that lies inside a piece is as likely as any other; pieces by the number of their crops and weight.

    With ``by="weight"`` pieces are drawn by their weight alone: small ones as often as large ones.
    """

    by: Literal["size", "weight"] = "size"

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Any) -> Drawn:
        rooms = np.array([room(piece, shape) for piece in pieces])
        share = np.array([piece.weight for piece in pieces]) * (rooms.prod(1) if self.by == "size" else 1)
        chosen = int(rng.choice(len(pieces), p=share / share.sum()))
        z, y, x = (int(rng.integers(n)) for n in rooms[chosen])
        return chosen, (z, y, x)


@dataclass(frozen=True)
class Foreground(Sampler):
    """A ``share`` of crops has a voxel of an object at a random place, each such voxel as likely; others are
    uniform."""

    share: float = 0.9
    label: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share!r}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> Census:
        return census(pieces, self.label)

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Census) -> Drawn:
        if rng.random() >= self.share:
            return Uniform().draw(pieces, shape, rng, None)
        return _drawn(known, known.counts * _weights(pieces)[known.pieces], pieces, self.label, shape, rng)


@dataclass(frozen=True)
class Instances(Sampler):
    """Crops with a voxel of an object, each object as likely, however large; objects of a piece by its weight."""

    label: str = ""

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> tuple[Census, np.ndarray]:
        found = census(pieces, self.label)
        both = np.stack([found.pieces.astype(np.uint64), found.ids], 1)
        _, objects = np.unique(both, axis=0, return_inverse=True)
        return found, _within(found.counts, objects.ravel())

    def draw(
        self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: tuple[Census, np.ndarray]
    ) -> Drawn:
        found, share = known
        return _drawn(found, share * _weights(pieces)[found.pieces], pieces, self.label, shape, rng)


@dataclass(frozen=True)
class Classes(Sampler):
    """Crops with a voxel of a class, each class (an id above 0) as likely, or by ``weights`` from class 1 on."""

    label: str = ""
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise ValueError(f"weights must not be negative and not all 0, got {self.weights}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> tuple[Census, np.ndarray]:
        found = census(pieces, self.label)
        share = found.counts * _weights(pieces)[found.pieces]
        _, classes = np.unique(found.ids, return_inverse=True)
        share = _within(share, classes)
        if self.weights:
            among = found.ids <= len(self.weights)
            table = np.array([0.0, *self.weights])
            share = share * np.where(among, table[np.where(among, found.ids, 0).astype(np.int64)], 0.0)
            if not share.sum():
                raise ValueError(f"weights must not be 0 for all classes that are there, got {self.weights}")
        return found, share

    def draw(
        self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: tuple[Census, np.ndarray]
    ) -> Drawn:
        return _drawn(*known, pieces, self.label, shape, rng)


@dataclass(frozen=True)
class NonEmpty(Sampler):
    """What another sampler draws, but for crops in which less than ``known`` of the voxels is known, or less than
    ``labelled`` belongs to an object. After ``tries`` of them ValueError says so."""

    sampler: Sampler = field(default_factory=Uniform)
    known: float = 0.1
    labelled: float = 0.0
    label: str = ""
    tries: int = 1000

    def __post_init__(self) -> None:
        for name in ("known", "labelled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)!r}")
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> Any:
        return self.sampler.prepare(pieces, shape)

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Any) -> Drawn:
        for _ in range(self.tries):
            chosen, corner = self.sampler.draw(pieces, shape, rng, known)
            piece = pieces[chosen]
            name = named(piece, self.label)
            box = tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, shape, piece.shape, strict=True))
            where = np.asarray(piece.masks[name][box]).astype(bool) if name in piece.masks else np.True_
            objects = (np.asarray(piece.labels[name][box]) != 0) & where
            whole = math.prod(shape)
            if (
                np.broadcast_to(where, objects.shape).sum() >= self.known * whole
                and objects.sum() >= self.labelled * whole
            ):
                return chosen, corner
        raise ValueError(
            f"known ({self.known:g}) and labelled ({self.labelled:g}) must be reached by some crops of {tuple(shape)}, "
            f"got none in {self.tries} tries"
        )


@dataclass(frozen=True)
class FillFraction(Sampler):
    """Crops around voxels of objects, balanced by how much of the crop the object of the middle fills, as flood-filling
    networks are taught. The bins end at ``bounds``; of ``candidates`` voxels of each piece the fraction is measured
    once, and then a bin and one of its voxels are drawn, each as likely."""

    bounds: tuple[float, ...] = (0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    candidates: int = 2000
    label: str = ""

    def __post_init__(self) -> None:
        ends = (0.0, *self.bounds)
        if not self.bounds or any(a >= b for a, b in zip(ends, ends[1:], strict=False)) or ends[-1] > 1:
            raise ValueError(f"bounds must ascend, above 0 and up to 1, got {self.bounds}")
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> list[np.ndarray]:
        """For each bin that is not empty its candidates: piece and corner (n, 4)."""
        found = census(pieces, self.label)
        rows = []
        for number, piece in enumerate(pieces):
            share = found.counts * (found.pieces == number)
            rng = generator(0, number)
            for _ in range(self.candidates if share.any() else 0):
                row = int(rng.choice(len(share), p=share / share.sum()))
                corner = found.voxel(row, pieces, self.label, rng) - np.array(shape) // 2
                if (corner >= 0).all() and (corner + shape <= piece.shape).all():
                    rows.append((number, *corner, self._fraction(piece, corner, shape)))
        if not rows:
            raise ValueError(f"pieces must hold crops of {tuple(shape)} around objects, got none of that size")
        table = np.array(rows)
        bins = np.searchsorted(self.bounds, table[:, 4])
        kept = [table[bins == b, :4].astype(np.int64) for b in range(len(self.bounds))]
        return [each for each in kept if len(each)]

    def _fraction(self, piece: Piece, corner: np.ndarray, shape: Shape) -> float:
        box = tuple(slice(int(a), int(a + n)) for a, n in zip(corner, shape, strict=True))
        labels = np.asarray(piece.labels[named(piece, self.label)][box])
        z, y, x = (n // 2 for n in shape)
        return float((labels == labels[z, y, x]).mean())

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: list[np.ndarray]) -> Drawn:
        rows = known[int(rng.integers(len(known)))]
        number, z, y, x = rows[int(rng.integers(len(rows)))]
        return int(number), (int(z), int(y), int(x))


def _weights(pieces: Sequence[Piece]) -> np.ndarray:
    return np.array([piece.weight for piece in pieces], float)


def _within(counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The part each row has of its group."""
    shares: np.ndarray = counts / np.bincount(groups, weights=counts)[groups]
    return shares


def _drawn(
    found: Census, share: np.ndarray, pieces: Sequence[Piece], label: str, shape: Shape, rng: np.random.Generator
) -> Drawn:
    row = int(rng.choice(len(share), p=share / share.sum()))
    voxel = found.voxel(row, pieces, label, rng)
    number = int(found.pieces[row])
    return number, around(voxel, pieces[number].shape, shape, rng)
