"""Checks of options that many calls share. Each names the argument, what was wanted and what came."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


def spacing_of(spacing: Any, dims: int) -> tuple[float, ...]:
    """Positive finite floats, one per axis. The default of three is cut to the last two for a picture."""
    try:
        values = tuple(float(v) for v in spacing)
    except (TypeError, OverflowError):
        raise TypeError(f"spacing must be {dims} numbers, got {spacing!r}") from None
    if dims == 2 and values == (1.0, 1.0, 1.0):
        values = values[1:]
    if len(values) != dims:
        raise ValueError(f"spacing must have one number per axis ({dims}), got {spacing!r}")
    if not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"spacing must be positive and finite, got {spacing!r}")
    return tuple(bounded(v, spacing) for v in values)


def bounded(value: float, spacing: Any) -> float:
    """One number of a spacing, within what keeps squares and volumes of any number of voxels finite and above 0."""
    if not 1e-30 <= value <= 1e30:
        raise ValueError(f"spacing must be from 1e-30 to 1e30, got {spacing!r}")
    return value


def background_of(background: Any, dtype: np.dtype) -> int | None:
    """The bit pattern of the background in labels of that dtype; None where no voxel can be background."""
    if background is None:
        return None
    try:
        value = operator.index(background)
    except TypeError:
        raise TypeError(f"background must be an integer or None, got {background!r}") from None
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return value % 2 ** (8 * dtype.itemsize) if low <= value <= high else None


def connectivity_of(connectivity: Any, dims: int) -> int:
    """6, 18 or 26 in a volume, 4 or 8 in a picture; in a picture 6 means 4, and 18 and 26 mean 8."""
    welcome = {3: {6: 6, 18: 18, 26: 26}, 2: {4: 4, 8: 8, 6: 4, 18: 8, 26: 8}}[dims]
    if isinstance(connectivity, bool) or not isinstance(connectivity, (int, np.integer)) or connectivity not in welcome:
        names = "4 or 8" if dims == 2 else "6, 18 or 26"
        raise ValueError(f"connectivity must be {names} for a {dims}D array, got {connectivity!r}")
    return welcome[int(connectivity)]


def periodic_of(periodic: Any, dims: int) -> tuple[bool, ...]:
    """Which axes are closed to a ring; one answer holds for all."""
    if isinstance(periodic, (bool, np.bool_)):
        return (bool(periodic),) * dims
    if not isinstance(periodic, Sequence) or len(periodic) != dims:
        raise ValueError(f"periodic must be True, False or one of them per axis ({dims}), got {periodic!r}")
    return tuple(bool(p) for p in periodic)


def ids_of(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Bit patterns, as the native modules give them, as ids of the labels' dtype (bool becomes uint8)."""
    return bits.astype(f"u{dtype.itemsize}").view("u1" if dtype.kind == "b" else dtype)


def number_of(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A real number of the user, within its range; infinities pass where the range has them."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if isinstance(value, str):
        raise TypeError(f"{name} must be a number, got the string {value!r}")
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, got nan")
    if not low <= number <= high:
        ends = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name} must be {ends}, got {value!r}")
    return number


def integer_of(value: Any, name: str, low: int, high: int | None = None) -> int:
    """An integer of the user, within its range, ends included."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        ends = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be {ends}, got {value}")
    return int(value)


__all__ = [
    "background_of",
    "bounded",
    "connectivity_of",
    "ids_of",
    "integer_of",
    "number_of",
    "periodic_of",
    "spacing_of",
]
