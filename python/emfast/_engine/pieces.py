"""Volumes of which pieces are damaged: what is sound is read, the rest is zeros."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import CorruptData
from .grid import Window


def read_sound(volume: Any, box: Window) -> tuple[np.ndarray, list[tuple[Window, str]]]:
    """A box of a volume, slices for all axes; the pieces of it that are damaged are zeros, and told with the cause."""
    found = np.zeros([w.stop - w.start for w in box], volume.dtype)
    lost: list[tuple[Window, str]] = []
    for piece in pieces_of(box, *_chunks_of(volume)):
        at = tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(piece, box, strict=True))
        try:
            found[at] = volume[piece]
        except CorruptData as error:
            lost.append((piece, str(error)))
    return found, lost


def pieces_of(box: Window, sides: Sequence[int], starts: Sequence[int]) -> Iterator[Window]:
    """A box cut at the borders of chunks with these sides, of which one begins so many voxels before the volume."""

    def cuts(w: slice, side: int, start: int) -> list[slice]:
        borders = range(((w.start + start) // side + 1) * side - start, w.stop, side)
        return [slice(a, b) for a, b in itertools.pairwise([w.start, *borders, w.stop])]

    yield from itertools.product(*map(cuts, box, sides, starts))


def piece_at(volume: Any, voxel: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The ends along each axis of the piece that a voxel is in."""
    found = []
    for at, n, side, start in zip(voxel, volume.shape, *_chunks_of(volume), strict=True):
        first = (at + start) // side * side - start
        found.append((max(0, first), min(n, first + side)))
    return tuple(found)


def _chunks_of(volume: Any) -> tuple[Sequence[int], Sequence[int]]:
    """Their sides, and where the volume begins among them: the crop of a file begins where it likes."""
    shape = tuple(volume.shape)
    sides, starts = getattr(volume, "chunks", None), (0,) * len(shape)
    if sides is None and hasattr(volume, "_window"):
        sides, starts = volume._source.about.chunks, tuple(w.start for w in volume._window)
    return [max(1, n) for n in sides or shape], starts if sides else (0,) * len(shape)


__all__ = ["piece_at", "pieces_of", "read_sound"]
