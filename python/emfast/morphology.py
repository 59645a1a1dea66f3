"""Labels grown and shrunk by a radius in nanometres, decided on exact distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ._arrays import take
from .distance import _metric


def erode(labels: Any, *, radius: float, spacing: Sequence[float] = (1, 1, 1), border: bool = False) -> Any:
    """Remove the voxels of each label that lie within ``radius`` of another label or of background.

    Parameters
    ----------
    labels : array of integers or bool, shape (z, y, x) or (y, x)
        Background is 0.
    radius : float
        In nanometres, not negative. A voxel goes if the distance from its centre to the nearest voxel centre of another
        label is ``radius`` or less; distances are compared as exact squares.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    border : bool
        Whether the outside of the volume counts as another label.

    Returns
    -------
    array, shape and dtype of ``labels``

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.erode(np.array([[3, 3, 3, 3, 8, 8]]), radius=4, spacing=(4, 4)).tolist()
    [[3, 3, 3, 0, 0, 8]]
    """
    operand = take(labels, "labels")
    weights, unit, unit_squared = metric = _metric(spacing, operand)
    limit = _limit(radius, unit)
    squared = operand.native.distance_transform(
        operand.library, operand.array, *metric, bool(border), False, True, math.inf, 0.0
    )
    threshold, offsets = _threshold(limit, weights, unit_squared, operand.shape)
    table = operand.library.from_numpy(offsets)
    return operand.give(
        operand.native.morphology_shrink(operand.library, operand.array, squared, threshold, bool(border), table)
    )


def dilate(labels: Any, *, radius: float, spacing: Sequence[float] = (1, 1, 1)) -> Any:
    """Grow labels into the background by ``radius``, without touching each other's voxels.

    Parameters
    ----------
    labels : array of integers or bool, shape (z, y, x) or (y, x)
        Background is 0.
    radius : float
        In nanometres, not negative. A background voxel whose nearest labelled voxel is ``radius`` away or less takes
        that voxel's label; of equally near ones that with the smallest flat index in C order. Distances are between
        voxel centres and compared as exact squares.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    array, shape and dtype of ``labels``

    Notes
    -----
    Needs 9 bytes a voxel beside the result.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.dilate(np.array([[3, 0, 0, 0, 0, 8]]), radius=4, spacing=(4, 4)).tolist()
    [[3, 3, 0, 0, 8, 8]]
    """
    operand = take(labels, "labels")
    weights, unit, _ = _metric(spacing, operand)
    limit = _limit(radius, unit)
    native, library = operand.native, operand.library
    background = native.morphology_background(library, operand.array)
    nearest = native.distance_nearest(library, background, weights)
    return operand.give(native.morphology_grow(library, operand.array, nearest, weights, limit))


def _limit(radius: float, unit: float) -> int:
    """The largest integer square within the radius. Radii are read as decimal numbers, as spacings are."""
    try:
        value = float(radius)
    except (TypeError, ValueError):
        raise TypeError(f"radius must be a number, got {radius!r}") from None
    if math.isnan(value) or value < 0:
        raise ValueError(f"radius must not be negative, got {radius!r}")
    most = 2**62
    if math.isinf(value):
        return most
    binary = math.frexp(unit)[0] == 0.5  # a power of two is what it says, other units stand for their decimals
    exact = Fraction(repr(value)) / (Fraction(unit) if binary else Fraction(repr(unit)))
    return min(most, math.floor(exact * exact))


def _threshold(
    limit: int, weights: Sequence[int], unit_squared: float, shape: Sequence[int]
) -> tuple[float, np.ndarray]:
    """What the float32 squares of the distance transform are compared with, and the offsets that decide a tie.

    The transform rounds each integer square once, so the order is kept, but the last square within the limit and the
    first beyond may become one float. Then that float is a tie, and the offsets (z, y, x) with a square within the
    limit that became it tell who goes. There are none otherwise.
    """

    def rounded(square: int) -> np.float32:
        return np.float32(float(square) * unit_squared)

    none = np.zeros((0, 3), np.int64)
    threshold = rounded(limit)
    farthest = sum(w * n * n for w, n in zip(weights, shape, strict=True))
    if limit >= farthest or rounded(limit + 1) > threshold:
        return float(threshold), none
    # All squares of the lattice that become this float, within the limit and beyond.
    low, high = _preimage(threshold, limit, unit_squared)
    offsets = _shell(low, high, weights, shape)
    squares = (offsets**2 * np.array((0,) * (3 - len(weights)) + tuple(weights))).sum(axis=1)
    if not (squares > limit).any():
        return float(threshold), none
    if not (squares <= limit).any():
        return float(np.nextafter(threshold, np.float32(-1))), none
    return float(threshold), np.ascontiguousarray(offsets[squares <= limit])


def _preimage(value: np.float32, inside: int, unit_squared: float) -> tuple[int, int]:
    """The smallest and largest integers that round to the same float as ``inside`` does."""

    def edge(sign: int) -> int:
        step, at = 1, inside
        while np.float32(float(at + sign * step) * unit_squared) == value:
            step *= 2
        while step:
            if np.float32(float(at + sign * step) * unit_squared) == value:
                at += sign * step
            step //= 2
        return at

    return edge(-1), edge(1)


def _shell(low: int, high: int, weights: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """The offsets (z, y, x) within the volume whose square lies from low to high."""
    if len(weights) == 2:
        weights, shape = (1, *weights), (1, *shape)
    rows = []
    for z in range(min(shape[0] - 1, math.isqrt(high // weights[0])) + 1):
        for y in range(min(shape[1] - 1, math.isqrt((high - weights[0] * z * z) // weights[1])) + 1):
            rest = weights[0] * z * z + weights[1] * y * y
            first = math.isqrt(max(0, low - rest - 1) // weights[2])
            for x in range(first, min(shape[2] - 1, math.isqrt((high - rest) // weights[2])) + 1):
                if low <= rest + weights[2] * x * x:
                    rows += [
                        (sz * z, sy * y, sx * x)
                        for sz in ((1, -1) if z else (1,))
                        for sy in ((1, -1) if y else (1,))
                        for sx in ((1, -1) if x else (1,))
                    ]
    return np.array(rows, np.int64).reshape(-1, 3)


__all__ = ["dilate", "erode"]
