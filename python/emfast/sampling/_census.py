"""Which ids are where: counted once over blocks of all pieces, so that a voxel of an id is found by reading one
block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import unique
from ._pieces import Piece, Shape, native

_BLOCK = (32, 128, 128)


@dataclass(frozen=True)
class Census:
    """Rows of (piece, block, id) with the number of known voxels; background is left out.

    Attributes
    ----------
    pieces : (n,) int64
    corners : (n, 3) int64
        First voxels of the blocks.
    ids : (n,) of uint64
        As bit patterns.
    counts : (n,) int64
    """

    pieces: np.ndarray
    corners: np.ndarray
    ids: np.ndarray
    counts: np.ndarray

    def voxel(self, row: int, pieces: Sequence[Piece], name: str, rng: np.random.Generator) -> np.ndarray:
        """A known voxel of a row, each as likely as any other."""
        piece = pieces[int(self.pieces[row])]
        found = block(piece, named(piece, name), self.corners[row])
        voxels = np.flatnonzero(found.ravel().astype(np.uint64) == self.ids[row])
        place = voxels[int(rng.integers(len(voxels)))]
        return self.corners[row] + np.array(np.unravel_index(int(place), found.shape))


def census(pieces: Sequence[Piece], name: str) -> Census:
    """Of the labels of that name; empty for the only ones there are."""
    rows: list[tuple[int, tuple[int, ...], np.ndarray, np.ndarray]] = []
    for number, piece in enumerate(pieces):
        labels = named(piece, name)
        for corner in np.ndindex(*(-(-n // b) for n, b in zip(piece.shape, _BLOCK, strict=True))):
            start = tuple(int(k * b) for k, b in zip(corner, _BLOCK, strict=True))
            ids, counts = unique(block(piece, labels, start), counts=True)
            there = ids != 0
            rows.append((number, start, ids[there].astype(np.uint64), counts[there]))
    sizes = [len(ids) for _, _, ids, _ in rows]
    if not sum(sizes):
        raise ValueError(f"pieces must have known labels {name or 'that are not 0'}, got background alone")
    return Census(
        np.repeat([number for number, *_ in rows], sizes),
        np.repeat(np.array([start for _, start, _, _ in rows]), sizes, axis=0),
        np.concatenate([ids for _, _, ids, _ in rows]),
        np.concatenate([counts for *_, counts in rows]),
    )


def block(piece: Piece, name: str, corner: Sequence[int]) -> np.ndarray:
    """The labels of a block, 0 where they are not known."""
    box = tuple(slice(int(a), min(int(a) + b, n)) for a, b, n in zip(corner, _BLOCK, piece.shape, strict=True))
    found = native(np.asarray(piece.labels[name][box]))
    mask = piece.masks.get(name)
    return found if mask is None else np.where(np.asarray(mask[box]).astype(bool), found, found.dtype.type(0))


def named(piece: Piece, name: str) -> str:
    """The name of the labels meant; ValueError where there are none of it."""
    if name in piece.labels:
        return name
    if not name and len(piece.labels) == 1:
        return next(iter(piece.labels))
    raise ValueError(f"label must be one of {', '.join(piece.labels) or 'no labels'}, got {name!r}")


def around(voxel: np.ndarray, whole: Shape, shape: Shape, rng: np.random.Generator) -> tuple[int, int, int]:
    """The corner of a crop that has the voxel at a random place, and lies in the piece where it fits."""
    corner = [int(v) - int(rng.integers(s)) for v, s in zip(voxel, shape, strict=True)]
    z, y, x = (min(max(c, 0), max(n - s, 0)) for c, n, s in zip(corner, whole, shape, strict=True))
    return z, y, x
