"""The constants by which images become numbers around 0: one shift and one scale for all images of a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..sampling import Piece

__all__ = ["Constants", "constants_of"]

_AT_ONCE = 1 << 24  # voxels that are counted at a time


@dataclass(frozen=True)
class Constants:
    """``(image - shift) / scale``."""

    shift: float = 0.0
    scale: float = 1.0

    def normalised(self, image: np.ndarray) -> np.ndarray:
        """In float32, in two roundings: less the shift, times one over the scale."""
        out = np.subtract(image, np.float32(self.shift), dtype=np.float32)
        out *= np.float32(1 / self.scale)
        return out


def constants_of(kind: str, pieces: Sequence[Piece]) -> Constants:
    """Of the training images, as :class:`emfast.recipes.Normalisation` says."""
    if kind == "standard":
        return _standard(pieces)
    kinds = {np.dtype(piece.image.dtype) for piece in pieces}
    if len(kinds) > 1:
        raise TypeError(f"images must be of one dtype for the normalisation {kind!r}, got {sorted(map(str, kinds))}")
    (dtype,) = kinds
    most = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
    return Constants(0.0, most) if kind == "unit" else Constants(most / 2, most / 2)


def _standard(pieces: Sequence[Piece]) -> Constants:
    """Mean and deviation of all voxels. Sums of integers are exact, so nothing depends on what is summed first."""
    count, total, squares = 0, [], []
    for piece in pieces:
        for part in _sections(piece.image):
            exact = part.dtype.kind in "biu" and part.dtype.itemsize <= 2
            values = part.astype(np.int64 if exact else np.float64).ravel()
            count += values.size
            total.append(float(values.sum()))
            squares.append(float(np.dot(values, values)))
    mean = math.fsum(total) / count
    variance = math.fsum(squares) / count - mean * mean
    if not math.isfinite(mean) or not math.isfinite(variance):
        raise ValueError("images must be finite, got NaN or infinity among their voxels")
    return Constants(mean, math.sqrt(variance) if variance > 1e-12 * max(1.0, mean * mean) else 1.0)


def _sections(image: Any) -> Any:
    """Slabs of sections that are not too large."""
    depth = max(1, _AT_ONCE // max(1, math.prod(image.shape) // image.shape[1]))
    for z in range(0, image.shape[1], depth):
        yield np.asarray(image[:, z : min(z + depth, image.shape[1])])
