"""Pieces, crops, and what draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._settings import Kind

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
        How often it is drawn, relative to its size; 0 for never.
    """

    image: Any
    labels: Mapping[str, Any]
    masks: Mapping[str, Any] = field(default_factory=dict)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    name: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight must be a finite number from 0, got {self.weight!r}")

    @property
    def shape(self) -> Shape:
        """Of the image, without channels."""
        z, y, x = self.image.shape[-3:]
        return z, y, x


@dataclass(frozen=True)
class Crop:
    """A box that was cut of a piece, or what became of it. Arrays in memory; masks for all labels.

    Image and labels keep the dtype of the piece's, in the byte order of this machine. What lies outside the piece is
    mirrored in the image, and unknown. Arrays may be views of the piece's: they are not to be written to.
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
    if all(start >= 0 and start + n <= side for start, n, side in zip(corner, shape, whole, strict=True)):
        return _inside(piece, tuple(slice(int(start), int(start + n)) for start, n in zip(corner, shape, strict=True)))
    places = [mirrored(start, n, side) for start, n, side in zip(corner, shape, whole, strict=True)]
    z, y, x = (slice(int(p.min()), int(p.max()) + 1) for p in places)
    image = native(np.asarray(piece.image[:, z, y, x]))
    for axis, (at, kept) in enumerate(zip(places, (z, y, x), strict=True)):
        if not np.array_equal(at, np.arange(kept.start, kept.stop)):
            image = image.take(at - kept.start, axis=1 + axis)
    there = [(max(a, 0), max(a, 0, min(a + n, m))) for a, n, m in zip(corner, shape, whole, strict=True)]
    box = tuple(slice(a, b) for a, b in there)
    within = tuple(slice(a - c, b - c) for (a, b), c in zip(there, corner, strict=True))
    labels, masks = {}, {}
    for name, array in piece.labels.items():
        labels[name] = np.zeros(tuple(shape), np.dtype(array.dtype).newbyteorder("="))
        masks[name] = np.zeros(tuple(shape), bool)
        if all(a < b for a, b in there):
            labels[name][within] = array[box]
            masks[name][within] = True if name not in piece.masks else piece.masks[name][box]
    return Crop(np.ascontiguousarray(image), labels, masks, piece.spacing)


def _inside(piece: Piece, box: tuple[slice, ...]) -> Crop:
    """A crop that needs nothing beyond the piece: views of arrays, and of labels that are known all over a single
    True."""
    masks = {}
    for name in piece.labels:
        here = piece.masks.get(name)
        if here is None:
            masks[name] = np.broadcast_to(np.True_, tuple(s.stop - s.start for s in box))
        else:
            masks[name] = np.asarray(here[box]).astype(bool, copy=False)
    of_image = (slice(None), *box)
    image = native(np.asarray(piece.image[of_image]))
    labels = {name: native(np.asarray(array[box])) for name, array in piece.labels.items()}
    return Crop(image, labels, masks, piece.spacing)


def native(array: np.ndarray) -> np.ndarray:
    """The same in the byte order of this machine; the array itself where it is."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def mirrored(start: int, n: int, side: int) -> np.ndarray:
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


def room(piece: Piece, shape: Shape) -> np.ndarray:
    """How many corners a crop may have along each axis; one, where the piece is smaller."""
    return np.array([max(n - s, 0) + 1 for n, s in zip(piece.shape, shape, strict=True)])
