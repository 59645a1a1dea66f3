"""What a network learns from: pieces of labelled volumes, and which crops of them are drawn.

A piece is an image with its labels; a sampler draws where to cut; a crop is what is cut. All arrays are (z, y, x), an
image (c, z, y, x); a picture has depth 1. Sample k of a run is a function of the run's seed and of k alone, whatever
cuts it and how many do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._settings import Kind

__all__ = ["Crop", "Piece", "Sampler", "Uniform", "cut", "generator"]

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Piece:
    """An image with what is known of it.

    Attributes
    ----------
    image : (c, z, y, x)
        Anything that is sliced and gives NumPy: a Volume, an HDF5 dataset, an array.
    labels : mapping of str to (z, y, x)
        Ids by name; 0 is background.
    masks : mapping of str to (z, y, x)
        For some of the labels: True where they are known. Others are known all over.
    spacing : (z, y, x) in nanometres
    name : str
    weight : float
        How often it is drawn, relative to its size.
    """

    image: Any
    labels: Mapping[str, Any]
    masks: Mapping[str, Any] = field(default_factory=dict)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    name: str = ""
    weight: float = 1.0

    @property
    def shape(self) -> Shape:
        """Of the image, without channels."""
        z, y, x = self.image.shape[-3:]
        return z, y, x


@dataclass(frozen=True)
class Crop:
    """A box that was cut of a piece, or what became of it. Arrays in memory; masks for all labels.

    ``labels`` keep the dtype of the piece's. What lies outside the piece is mirrored in the image, and unknown.
    """

    image: np.ndarray
    labels: Mapping[str, np.ndarray]
    masks: Mapping[str, np.ndarray]
    spacing: tuple[float, float, float]

    def inner(self, margin: Sequence[int]) -> Crop:
        """Without so many voxels on either side."""
        z, y, x = (slice(m, n - m) for m, n in zip(margin, self.image.shape[1:], strict=True))
        return Crop(
            self.image[:, z, y, x],
            {name: array[z, y, x] for name, array in self.labels.items()},
            {name: array[z, y, x] for name, array in self.masks.items()},
            self.spacing,
        )


def generator(seed: int, index: int) -> np.random.Generator:
    """The random numbers of sample ``index`` in the run of that seed."""
    return np.random.Generator(np.random.Philox(key=[seed, index]))


def cut(piece: Piece, corner: Sequence[int], shape: Sequence[int]) -> Crop:
    """The box of that shape whose first voxel is at ``corner``, which may lie outside the piece."""
    whole = piece.shape
    places = [_mirrored(start, n, side) for start, n, side in zip(corner, shape, whole, strict=True)]
    ranges = [start + np.arange(n) for start, n in zip(corner, shape, strict=True)]
    inside = [(at >= 0) & (at < side) for at, side in zip(ranges, whole, strict=True)]
    z, y, x = (slice(int(p.min()), int(p.max()) + 1) for p in places)
    take = np.ix_(*(p - p.min() for p in places))
    known = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    image = np.stack([channel[take] for channel in np.asarray(piece.image[:, z, y, x])])
    labels, masks = {}, {}
    for name, array in piece.labels.items():
        labels[name] = np.where(known, np.asarray(array[z, y, x])[take], 0)
        here = piece.masks.get(name)
        masks[name] = known if here is None else known & np.asarray(here[z, y, x])[take].astype(bool)
    return Crop(image, labels, masks, piece.spacing)


def _mirrored(start: int, n: int, side: int) -> np.ndarray:
    """Places along an axis; beyond its ends it goes back, without the last voxel twice."""
    if side == 1:
        return np.zeros(n, np.int64)
    period = 2 * (side - 1)
    places = (start + np.arange(n)) % period
    return np.where(places < side, places, period - places)


@dataclass(frozen=True)
class Sampler(Kind):
    """Draws where to cut. Subclasses are settings; what they need to know of the pieces is prepared once."""

    def prepare(self, pieces: Sequence[Piece], shape: Shape) -> Any:
        """What ``draw`` is given as ``known``: computed once for pieces and the shape of crops."""
        return None

    def draw(
        self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Any
    ) -> tuple[int, tuple[int, int, int]]:
        """The number of a piece, and the corner of a crop of that shape in it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(Sampler):
    """Each crop that lies inside a piece is as likely as any other; pieces by the number of their crops and weight."""

    def draw(
        self, pieces: Sequence[Piece], shape: Shape, rng: np.random.Generator, known: Any
    ) -> tuple[int, tuple[int, int, int]]:
        room = np.array([[max(n - s, 0) + 1 for n, s in zip(p.shape, shape, strict=True)] for p in pieces])
        share = room.prod(1) * np.array([p.weight for p in pieces])
        chosen = int(rng.choice(len(pieces), p=share / share.sum()))
        z, y, x = (int(rng.integers(n)) for n in room[chosen])
        return chosen, (z, y, x)
