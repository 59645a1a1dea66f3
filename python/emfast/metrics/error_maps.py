"""Errors in space: what is wrong at each voxel, and where errors gather.

With the *main* segment of a true object the one that has most of its voxels, and the main object of a segment likewise
(of equal ones the smaller id; the background is neither), a voxel of true object i under segment j is

=========  ===========================================================================================
correct    each is the other's main one; or both are background
split      i is j's main object, but another segment is i's
merge      another object is j's main one
missed     j is the background
spurious   i is the background
shift      wrong, but its label is the right one within some nanometres (only if that is asked for)
ignored    i is ignored, or the mask is 0; where the background is ignored it is spurious under a segment
           that lies there as a whole
=========  ===========================================================================================

All but shift is a function of the two ids alone, and shift looks a fixed way around: maps do not depend on blocks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from .._arrays import take
from .._options import number_of
from ..labels import remap
from . import _blocks
from ._events import KINDS, Parts
from ._shifts import reach_of, shifted
from .errors import Errors
from .sites import _groups
from .tables import Contingency, contingency


class ErrorClass(IntEnum):
    """What the values of :func:`error_map` mean."""

    CORRECT = 0
    SPLIT = 1
    MERGE = 2
    MISSED = 3
    SPURIOUS = 4
    SHIFT = 5
    IGNORED = 255


def error_map(
    truth: Any,
    labels: Any,
    errors: Errors,
    *,
    mask: Any = None,
    shift: float = 0,
    out: Any = None,
    check: bool = True,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Any:
    """Say of every voxel whether it is right, and if not, what is wrong; the module tells what each value means.

    Parameters
    ----------
    truth, labels : arrays of integers or bool, of one shape, (z, y, x) or (y, x)
        What was compared. Volumes that are no arrays but can be sliced (of Zarr, h5py, dask …) are read block by block.
    errors : Errors
        Of both, made by :func:`emfast.compare`.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 are ignored.
    shift : float
        Nanometres. A wrong voxel is called shifted if no further away lies a voxel of a true object that has its label
        as main segment and is that segment's main object, or if its label is the background and a voxel of the
        background is as near. So an object that is wholly merged into another's segment stays a merge but for its
        border. 0: none is. Blocks are read with so much around them; the time hardly depends on the distance.
    out : volume of uint8, optional
        What the map is written to, block by block: anything that takes ``out[slices] = array``; not what is read.
        Default: a new array.
    check : bool
        Whether nothing is written to ``out`` where the errors turn out to be of other volumes: unless one block is all,
        volumes are then read once before, to see that the errors know each pair of ids. False saves that pass, for
        volumes that were compared just now; the blocks before the first unknown pair are written then.
    block : sequence of int, optional
        The voxels of a block along each axis. The map does not depend on it.
    progress : callable, optional
        Called with the voxels that are done and those in all, after each block; of both passes where there are two.

    Returns
    -------
    array of uint8, or ``out``
        Values of :class:`emfast.metrics.ErrorClass`.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 0, 0]])
    >>> labels = np.array([[5, 5, 5, 7, 5, 6, 6, 0, 0, 6]])
    >>> errors = emfast.compare(truth, labels, ignore=())
    >>> emfast.metrics.error_map(truth, labels, errors)
    array([[0, 0, 0, 1, 2, 0, 0, 3, 0, 4]], dtype=uint8)
    """
    volumes, shape = _blocks.same_shapes({"truth": truth, "labels": labels, "mask": mask})
    if shape != errors.shape:
        raise ValueError(f"errors must be of truth and labels of shape {shape}, got those of shape {errors.shape}")
    nm = number_of(shift, "shift", 0)
    sides = _blocks.sides_of(block, shape, volumes)
    given = out is not None
    if given:
        _check_out(out, volumes, shape)
    else:
        out = np.empty(shape, np.uint8)
    match = _Match(errors)
    whole = all(side >= n for side, n in zip(sides, shape, strict=True))
    if check and given and not whole:
        found = contingency(truth, labels, mask=mask, block=sides, progress=_blocks.part_of(progress, 0, 2))
        match.check(found)
        progress = _blocks.part_of(progress, 1, 2)
    halo = reach_of(nm, shape, errors.spacing)
    done = 0
    for core, wide, parts in _blocks.read_ahead(volumes, shape, sides, before=halo, after=halo):
        inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, wide, strict=True))
        classes = match.classes({name: part[inner] for name, part in parts.items()})
        if any(halo):
            _mark_shifts(classes, parts, inner, match, nm, errors.spacing)
        out[core] = classes
        done += classes.size
        if progress is not None:
            progress(done, math.prod(shape))
    return out


def density(
    errors: Errors, cell: Sequence[int] | int, *, weight: str = "cost", kind: str | Sequence[str] | None = None
) -> np.ndarray:
    """Where errors gather: their cost, or their number, in each cell of a coarse grid.

    Parameters
    ----------
    errors : Errors
    cell : int or sequence of int
        The voxels of a cell along each axis.
    weight : {"cost", "count"}
        What an error adds to the cell of its point: bits, or one.
    kind : str or several, optional
        Only errors of these kinds.

    Returns
    -------
    array, float64 (``"cost"``) or int64 (``"count"``)
        As many cells along each axis as the volume needs.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> errors = emfast.compare(np.array([[1, 1, 1, 1, 2, 2, 2, 2]]), np.array([[5, 5, 7, 7, 7, 0, 0, 0]]))
    >>> emfast.metrics.density(errors, (1, 4), weight="count")
    array([[1, 2]])
    """
    dims = len(errors.shape)
    try:
        sides = tuple(operator.index(s) for s in cell) if isinstance(cell, Sequence) else (operator.index(cell),) * dims
    except TypeError:
        raise TypeError(f"cell must be an integer or one per axis, got {cell!r}") from None
    if len(sides) != dims or min(sides) < 1:
        raise ValueError(f"cell must be a positive number of voxels for each axis ({dims}), got {cell!r}")
    if weight not in ("cost", "count"):
        raise ValueError(f"weight must be 'cost' or 'count', got {weight!r}")
    kinds = KINDS if kind is None else (kind,) if isinstance(kind, str) else tuple(kind)
    if strangers := [k for k in kinds if k not in KINDS]:
        raise ValueError(f"kind must be of {', '.join(KINDS)}, got {strangers[0]!r}")
    events = errors.events.select(np.isin(errors.events.kind, kinds))
    cells = tuple((events.point // np.array(sides)).T)
    out = np.zeros([-(-n // side) for n, side in zip(errors.shape, sides, strict=True)], np.int64)
    if weight == "count":
        np.add.at(out, cells, 1)
        return out
    costs = out.astype(np.float64)
    np.add.at(costs, cells, events.cost)
    return costs


class _Match:
    """The class of every pair of ids, and the label that is right for every true id."""

    def __init__(self, errors: Errors) -> None:
        p = Parts(errors.table, errors.background, errors.ignore)
        numbers = np.arange(len(p.counts))
        of_truth, of_label = (p.main[side][p.places[side]] == numbers for side in (0, 1))
        classes = np.where(of_label, np.where(of_truth, ErrorClass.CORRECT, ErrorClass.SPLIT), ErrorClass.MERGE)
        nothing = [p.is_background[side][p.places[side]] for side in (0, 1)]
        classes[nothing[0]] = ErrorClass.SPURIOUS
        classes[nothing[1]] = ErrorClass.MISSED
        classes[nothing[0] & nothing[1]] = ErrorClass.CORRECT
        alone = nothing[0] & ~nothing[1] & (p.sizes[1][p.places[1]] == 0)
        classes[~p.counted & ~alone] = ErrorClass.IGNORED
        self.values = classes.astype(np.uint8)
        self.pairs = _bits(errors.table)
        self.right = self._right(p)

    @staticmethod
    def _right(p: Parts) -> tuple[np.ndarray, np.ndarray]:
        """True ids whose main segment has them as its main object, and it; the background with itself."""
        rows = np.flatnonzero(p.main[0] >= 0)
        pairs = p.main[0][rows]
        mutual = p.main[1][p.places[1][pairs]] == pairs
        rows, right = rows[mutual], p.ids[1][p.places[1][pairs[mutual]]]
        nothing = np.flatnonzero(p.is_background[0])
        own = np.full(len(nothing), 0 if p.background is None else p.background).astype(right.dtype)
        return p.ids[0][np.concatenate([rows, nothing])], np.concatenate([right, own])

    def check(self, table: Contingency) -> None:
        """Whether all pairs of a table are known."""
        both = np.concatenate([self.pairs, _bits(table)])
        order, starts = _groups(list(both.T))
        first = order[starts]  # of equal pairs the known one
        strangers = first[first >= len(self.pairs)] - len(self.pairs)
        if len(strangers):
            truth, labels, _ = table.pairs
            raise _unknown(truth[strangers[0]], labels[strangers[0]])

    def classes(self, parts: dict[str, Any]) -> np.ndarray:
        """The classes of a block's voxels but for shifts."""
        operands = {name: take(array, name) for name, array in parts.items()}
        truth, labels, mask = (operands.get(name) for name in ("truth", "labels", "mask"))
        assert truth is not None and labels is not None
        if not all(truth.meets(other) for other in operands.values()):
            raise ValueError("truth, labels and mask must live on one device and stream")
        library = truth.library
        pairs, values = (library.from_numpy(np.ascontiguousarray(a)) for a in (self.pairs, self.values))
        given = None if mask is None else mask.array
        raw, missing = truth.native.sites_paint(
            library, truth.array, labels.array, given, pairs, values, int(ErrorClass.IGNORED)
        )
        if missing >= 0:
            at = np.unravel_index(missing, truth.shape)
            raise _unknown(*(library.to_numpy(operand.array)[at] for operand in (truth, labels)))
        classes: np.ndarray = library.to_numpy(raw)
        return classes


def _bits(table: Contingency) -> np.ndarray:
    """The pairs of a table as bit patterns: (n, 2) uint64."""
    return np.stack([ids.view(np.uint64) for ids in table.pairs[:2]], axis=1)


def _unknown(truth: Any, label: Any) -> ValueError:
    return ValueError(
        f"errors must be of truth and labels: they know no voxel of true id {int(truth)} and label {int(label)}"
    )


def _check_out(out: Any, volumes: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Whether classes can be written there while the volumes are read."""
    if tuple(out.shape) != shape:
        raise ValueError(f"out must have the shape of truth {shape}, got {tuple(out.shape)}")
    dtype = getattr(out, "dtype", None)
    if isinstance(dtype, np.dtype) and not np.can_cast(np.uint8, dtype):
        raise TypeError(f"out must hold the values of uint8, got {dtype}")
    for name, volume in volumes.items():
        arrays = isinstance(out, np.ndarray) and isinstance(volume, np.ndarray)
        if out is volume or (arrays and np.shares_memory(out, volume)):
            raise ValueError(f"out must not share memory with {name}, which is read while it is written")


def _mark_shifts(
    classes: np.ndarray,
    parts: dict[str, Any],
    inner: _blocks.Window,
    match: _Match,
    nm: float,
    spacing: Sequence[float],
) -> None:
    """Wrong voxels whose label is right within so many nanometres. Only they are looked at."""
    truth, labels = (np.asarray(parts[name]) for name in ("truth", "labels"))
    ids, right = match.right
    known = np.isin(truth, ids) if "mask" not in parts else np.isin(truth, ids) & (np.asarray(parts["mask"]) != 0)
    expected = remap(truth, (ids.astype(truth.dtype), right), missing=0)
    wrong = np.stack(np.nonzero((classes != ErrorClass.CORRECT) & (classes != ErrorClass.IGNORED)), axis=1)
    at = wrong + np.array([s.start for s in inner])
    label = labels[tuple(at.T)].astype(right.dtype)
    somewhere = np.isin(label, right)  # most fragments of a split are right nowhere
    wrong, at, label = wrong[somewhere], at[somewhere], label[somewhere]
    classes[tuple(wrong[shifted(at, label, expected, known, nm, spacing)].T)] = ErrorClass.SHIFT


__all__ = ["ErrorClass", "density", "error_map"]
