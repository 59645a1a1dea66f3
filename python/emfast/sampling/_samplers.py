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
Found = tuple[Census, np.ndarray]  # where ids are, and the sums of what each row is drawn by


@dataclass(frozen=True)
class Uniform(Sampler):
    """Each crop that lies inside a piece is as likely as any other; pieces by the number of their crops and weight.

    With ``by="weight"`` pieces are drawn by their weight alone: small ones as often as large ones.
    """

    by: Literal["size", "weight"] = "size"

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """How many corners a crop may have in each piece, and the pieces as they are drawn."""
        rooms = np.array([room(piece, shape) for piece in pieces])
        return rooms, _summed(_weights(pieces) * (rooms.prod(1) if self.by == "size" else 1))

    def draw(
        self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: tuple[np.ndarray, np.ndarray]
    ) -> Drawn:
        rooms, sums = known
        chosen = _row(sums, rng)
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

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> tuple[Any, Found]:
        found = census(pieces, self.label)
        sums = _summed(found.counts * _weights(pieces)[found.pieces])
        return Uniform().prepare(pieces, shape), (found, sums)

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: tuple[Any, Found]) -> Drawn:
        anywhere, objects = known
        if rng.random() >= self.share:
            return Uniform().draw(pieces, shape, rng, anywhere)
        return _drawn(*objects, pieces, self.label, shape, rng)


@dataclass(frozen=True)
class Instances(Sampler):
    """Crops with a voxel of an object, each object as likely, however large; objects of a piece by its weight."""

    label: str = ""

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> Found:
        found = census(pieces, self.label)
        both = np.stack([found.pieces.astype(np.uint64), found.ids], 1)
        _, objects = np.unique(both, axis=0, return_inverse=True)
        share = _within(found.counts, objects.ravel())
        return found, _summed(share * _weights(pieces)[found.pieces])

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Found) -> Drawn:
        return _drawn(*known, pieces, self.label, shape, rng)


@dataclass(frozen=True)
class Classes(Sampler):
    """Crops with a voxel of a class, each class (an id above 0) as likely, or by ``weights`` from class 1 on."""

    label: str = ""
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.weights and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise ValueError(f"weights must not be negative and not all 0, got {self.weights}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> Found:
        found = census(pieces, self.label)
        share = found.counts * _weights(pieces)[found.pieces]
        _, classes = np.unique(found.ids, return_inverse=True)
        share = _within(share, classes)
        if self.weights:
            among = found.ids <= len(self.weights)
            table = np.array([0.0, *self.weights])
            weighed = share * np.where(among, table[np.where(among, found.ids, 0).astype(np.int64)], 0.0)
            if share.any() and not weighed.any():
                raise ValueError(f"weights must not be 0 for all classes that are there, got {self.weights}")
            share = weighed
        return found, _summed(share)

    def draw(self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Found) -> Drawn:
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
    once, known voxels alone, and then a bin is drawn, each as likely, and one of its voxels by the weight of its
    piece."""

    bounds: tuple[float, ...] = (0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    candidates: int = 2000
    label: str = ""

    def __post_init__(self) -> None:
        ends = (0.0, *self.bounds)
        if not self.bounds or any(a >= b for a, b in zip(ends, ends[1:], strict=False)) or ends[-1] > 1:
            raise ValueError(f"bounds must ascend, above 0 and up to 1, got {self.bounds}")
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each bin that is not empty its candidates, piece and corner (n, 4), and sums of their weights."""
        found = census(pieces, self.label)
        weights = _weights(pieces)
        _summed(weights[found.pieces])
        rows = []
        for number in np.unique(found.pieces[weights[found.pieces] > 0]):
            piece, own = pieces[number], np.flatnonzero(found.pieces == number)
            rng, sums = generator(0, int(number)), np.cumsum(found.counts[own])
            for _ in range(self.candidates):
                row = int(own[_row(sums, rng)])
                corner = found.voxel(row, pieces, self.label, rng) - np.array(shape) // 2
                if (corner >= 0).all() and (corner + shape <= piece.shape).all():
                    rows.append((number, *corner, self._fraction(piece, corner, shape)))
        if not rows:
            raise ValueError(f"pieces must hold crops of {tuple(shape)} around objects, got none of that size")
        table = np.array(rows)
        bins = np.searchsorted(self.bounds, table[:, 4])
        kept = [table[bins == b, :4].astype(np.int64) for b in range(len(self.bounds))]
        return [(each, _summed(weights[each[:, 0]])) for each in kept if len(each)]

    def _fraction(self, piece: Piece, corner: np.ndarray, shape: Shape) -> float:
        box = tuple(slice(int(a), int(a + n)) for a, n in zip(corner, shape, strict=True))
        name = named(piece, self.label)
        labels = np.asarray(piece.labels[name][box])
        known = np.asarray(piece.masks[name][box]).astype(bool) if name in piece.masks else np.True_
        z, y, x = (n // 2 for n in shape)
        return float(((labels == labels[z, y, x]) & known).mean())

    def draw(
        self,
        pieces: Sequence[Piece],
        shape: Shape,
        rng: np.random.Generator,
        known: list[tuple[np.ndarray, np.ndarray]],
    ) -> Drawn:
        rows, sums = known[int(rng.integers(len(known)))]
        number, z, y, x = rows[_row(sums, rng)]
        return int(number), (int(z), int(y), int(x))


def _weights(pieces: Sequence[Piece]) -> np.ndarray:
    return np.array([piece.weight for piece in pieces], float)


def _within(counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The part each row has of its group; none of a group that has none."""
    whole = np.bincount(groups, weights=counts)[groups]
    shares: np.ndarray = np.divide(counts, whole, out=np.zeros_like(whole), where=whole > 0)
    return shares


def _summed(share: np.ndarray) -> np.ndarray:
    """The sums up to each row, by which rows are drawn."""
    sums: np.ndarray = np.cumsum(share, dtype=float)
    if not sums[-1] > 0:
        raise ValueError("weight must be above 0 for some piece with what is asked for, got 0")
    return sums


def _row(sums: np.ndarray, rng: np.random.Generator) -> int:
    """A row, by its share."""
    below = min(rng.random() * sums[-1], np.nextafter(float(sums[-1]), 0))  # a product may be rounded up
    return int(np.searchsorted(sums, below, "right"))


def _drawn(
    found: Census, sums: np.ndarray, pieces: Sequence[Piece], label: str, shape: Shape, rng: np.random.Generator
) -> Drawn:
    row = _row(sums, rng)
    voxel = found.voxel(row, pieces, label, rng)
    number = int(found.pieces[row])
    return number, around(voxel, pieces[number].shape, shape, rng)
