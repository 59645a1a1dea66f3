"""Which wrong voxels have the label that is right some nanometres away.

The nearest voxels are tried one by one. What is left goes tile by tile and label by label: a distance transform of the
voxels where that label is right tells the nearest one of each, in time that hardly depends on the distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ..distance import nearest_background

_NEAR = 1  # steps along each axis that are tried one by one
_TILE = 32  # the least side of a tile


def reach_of(nm: float, shape: tuple[int, ...], spacing: Sequence[float]) -> list[int]:
    """The longest steps along each axis that stay in the volume."""
    return [int(min(max(0, n - 1), nm / step)) for n, step in zip(shape, spacing, strict=True)]


def shifted(
    at: np.ndarray, label: np.ndarray, right: np.ndarray, known: np.ndarray, nm: float, spacing: Sequence[float]
) -> np.ndarray:
    """Whether some voxels, where their labels are wrong, have another one within ``nm`` where they are right.

    Parameters
    ----------
    at, label : (n, d) places, (n,) their labels
    right, known : the label that is right at each voxel of a block, and whether there is one
    nm, spacing : nanometres

    Returns
    -------
    (n,) bool
    """
    found = np.zeros(len(at), bool)
    reach = reach_of(nm, right.shape, spacing)
    for step in itertools.product(*(range(-min(_NEAR, r), min(_NEAR, r) + 1) for r in reach)):
        if any(step) and _is_within(np.array([step]), nm, spacing).all():
            rows = np.flatnonzero(~found)
            found[rows] = _is_right(at[rows] + np.array(step), label[rows], right, known)
    if all(r <= _NEAR for r in reach):
        return found
    for group in _groups(np.flatnonzero(~found), at, label, reach):
        found[group] = _by_distance(at[group], label[group[0]], right, known, reach, nm, spacing)
    return found


def _is_within(steps: np.ndarray, nm: float, spacing: Sequence[float]) -> np.ndarray:
    squares: np.ndarray = ((steps * np.array(spacing)) ** 2).sum(axis=1)
    within: np.ndarray = squares <= nm * nm
    return within


def _is_right(places: np.ndarray, label: np.ndarray, right: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether a label is right at a place, which may lie outside."""
    inside = np.asarray(((places >= 0) & (places < np.array(right.shape))).all(axis=1))
    place = tuple(np.where(inside[:, None], places, 0).T)
    is_right: np.ndarray = inside & known[place] & (right[place] == label)
    return is_right


def _groups(rows: np.ndarray, at: np.ndarray, label: np.ndarray, reach: Sequence[int]) -> Iterator[np.ndarray]:
    """Rows of one tile and one label each; tiles are as large as what must be looked at around them, or more."""
    tiles = at[rows] // np.maximum(_TILE, 2 * np.array(reach))
    columns = [*tiles.T, label[rows]]
    order = np.lexsort(columns)
    new = np.zeros(len(rows), bool)
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    return iter(np.split(rows[order], np.flatnonzero(new)) if len(rows) else ())


def _by_distance(
    at: np.ndarray,
    label: np.generic,
    right: np.ndarray,
    known: np.ndarray,
    reach: Sequence[int],
    nm: float,
    spacing: Sequence[float],
) -> np.ndarray:
    """The same of voxels of one label, by the nearest voxel in their box."""
    low = np.maximum(at.min(axis=0) - np.array(reach), 0)
    high = np.minimum(at.max(axis=0) + np.array(reach) + 1, right.shape)
    box = tuple(map(slice, low, high))
    wanted = known[box] & (right[box] == label)
    if not wanted.any():
        return np.zeros(len(at), bool)
    nearest = nearest_background(~wanted, spacing=spacing)[tuple((at - low).T)]
    steps = np.stack(np.unravel_index(nearest, wanted.shape), axis=1) - (at - low)
    return _is_within(steps, nm, spacing)


__all__ = ["reach_of", "shifted"]
