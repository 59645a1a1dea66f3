"""Where a segmentation differs from the truth: one pass over both volumes, whose results add up over blocks.

A *region* is what a true object shares with a segment. A *site* is where two segments touch inside one true object (a
split), or two true objects inside one segment (a merge): the voxel faces between them. :func:`emfast.compare` makes of
both the list of errors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import take
from . import _blocks
from .tables import Contingency, _fits, _listed

SPLIT, MERGE = 0, 1
# The cells of a row of the native `sites`, as csrc/sites/sites.h lays them out.
_SUM, _LOW, _HIGH, _FIRST, _SAMPLES, _WIDTH = 3, 6, 9, 12, 13, 21
_NONE = np.uint64(2**64 - 1)
_PIECE = 1 << 13  # rows that fit the nearest memory
_SIGN = np.uint64(2**63)


@dataclass(eq=False, repr=False)
class Sites:
    """Regions and sites of two volumes; made by :func:`emfast.metrics.error_sites`.

    Those of blocks that tile a volume add up (``a + b``, :meth:`total`) to those of the whole.

    Attributes
    ----------
    shape : tuple of int
        Of the whole volume.
    background : int or None
    ignore : tuple of int
        True ids that are at no site.
    truth, labels : (r,) uint64 or int64
        The pair of ids of each region, ascending.
    regions : (r, 21) uint64
        Cells of the regions: voxels, sums of coordinates, boxes and samples.
    kinds : (s,) uint8
        0 for a split, 1 for a merge.
    keys : (s, 3) uint64
        The id that holds the site, and the two that meet there, as bit patterns; ascending by value within a kind.
    sites : (s, 21) uint64
        Cells of the sites: faces across each axis, then as those of regions.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth, labels = np.array([[1, 1, 1, 2]]), np.array([[5, 5, 7, 7]])
    >>> sites = emfast.metrics.error_sites(truth, labels)
    >>> sites
    Sites of a volume of 1 x 4 voxels: 3 regions, 1 split, 1 merge
    """

    shape: tuple[int, ...]
    background: int | None
    ignore: tuple[int, ...]
    truth: np.ndarray
    labels: np.ndarray
    regions: np.ndarray
    kinds: np.ndarray
    keys: np.ndarray
    sites: np.ndarray

    def __repr__(self) -> str:
        splits, merges = ((self.kinds == kind).sum() for kind in (SPLIT, MERGE))
        side = " x ".join(map(str, self.shape))
        counts = ", ".join(
            f"{n} {name}{'' if n == 1 else 's'}"
            for n, name in ((len(self.truth), "region"), (splits, "split"), (merges, "merge"))
        )
        return f"Sites of a volume of {side} voxels: {counts}"

    def __eq__(self, other: object) -> bool:
        """Equal in everything, dtypes included."""
        if not isinstance(other, Sites):
            return NotImplemented
        return self._about() == other._about() and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("truth", "labels", *_CELLS)
        )

    __hash__ = None  # type: ignore[assignment]

    def _about(self) -> tuple[Any, ...]:
        return self.shape, self.background, self.ignore, self.truth.dtype, self.labels.dtype

    def __add__(self, other: Sites) -> Sites:
        """The sites of two blocks of one volume."""
        if not isinstance(other, Sites):
            return NotImplemented
        return Sites.total((self, other))

    @staticmethod
    def total(parts: Iterable[Sites]) -> Sites:
        """The sum of at least one, in any order; an iterator is used up one by one, and only few sums are kept.

        Parameters
        ----------
        parts : Sites of one volume, made with the same options

        Returns
        -------
        Sites
        """
        waiting: list[Sites] = []  # each has more than twice the rows of the next
        for part in parts:
            waiting.append(part)
            while len(waiting) > 1 and len(waiting[-2].truth) <= 2 * len(waiting[-1].truth):
                waiting[-2:] = [_sum(waiting[-2:])]
        if not waiting:
            raise ValueError("parts must be at least one, got none")
        return _sum(waiting) if len(waiting) > 1 else waiting[0]

    @property
    def table(self) -> Contingency:
        """The contingency table of all voxels that were looked at, ignored ids and background too."""
        return Contingency.from_pairs(self.truth, self.labels, self.regions[:, 0].astype(np.int64))


_CELLS = ("regions", "kinds", "keys", "sites")


def error_sites(
    truth: Any,
    labels: Any,
    *,
    ignore: Any = (0,),
    mask: Any = None,
    background: int | None = 0,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Sites:
    """Regions and sites of two volumes, in one pass; :func:`emfast.compare` makes errors of them.

    Parameters
    ----------
    truth, labels : arrays of integers or bool, of one shape, (z, y, x) or (y, x)
        Any integers, not necessarily of one dtype. Volumes that are no arrays but can be sliced (of Zarr, h5py, dask …)
        are read block by block, the next while one is worked on.
    ignore : int or iterable of ints
        True ids that are at no site.
    mask : array of bool or integers, of the same shape, optional
        Voxels where it is 0 are not looked at.
    background : int or None
        The id of no object, in both volumes; it is at no site. None: every id is an object.
    block : sequence of int, optional
        The voxels of a block along each axis. The result does not depend on it.
    progress : callable, optional
        Called with the voxels that are done and those in all, after each block.

    Returns
    -------
    Sites

    Examples
    --------
    >>> import emfast, numpy as np
    >>> truth, labels = np.array([[1, 1, 1, 2]]), np.array([[5, 5, 7, 7]])
    >>> emfast.metrics.error_sites(truth, labels, block=(1, 2)) == emfast.metrics.error_sites(truth, labels)
    True
    """
    volumes, shape = _blocks.same_shapes({"truth": truth, "labels": labels, "mask": mask})
    if len(shape) not in (2, 3):
        raise ValueError(f"truth must be 2D or 3D, got {len(shape)}D of shape {shape}")
    ignored = tuple(sorted(set(_listed(ignore, "ignore"))))
    if background is not None:
        try:
            background = operator.index(background)
        except TypeError:
            raise TypeError(f"background must be an integer or None, got {background!r}") from None
    return Sites.total(
        _of_blocks(volumes, shape, _blocks.sides_of(block, shape, volumes), ignored, background, progress)
    )


def _of_blocks(
    volumes: dict[str, Any],
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    ignored: tuple[int, ...],
    background: int | None,
    progress: Callable[[int, int], object] | None,
) -> Iterator[Sites]:
    """The sites of each block: a face belongs to its higher voxel, so a block is read with the voxels before it."""
    done = 0
    for core, wide, parts in _blocks.read_ahead(volumes, shape, sides, before=[1] * len(shape)):
        low = [c.start - w.start for c, w in zip(core, wide, strict=True)]
        yield _of_block(parts, low, [w.start for w in wide], shape, ignored, background)
        done += math.prod(c.stop - c.start for c in core)
        if progress is not None:
            progress(done, math.prod(shape))


def _of_block(
    parts: dict[str, Any],
    low: list[int],
    origin: list[int],
    whole: tuple[int, ...],
    ignored: tuple[int, ...],
    background: int | None,
) -> Sites:
    operands = {name: take(array, name) for name, array in parts.items()}
    truth, labels, mask = (operands.get(name) for name in ("truth", "labels", "mask"))
    assert truth is not None and labels is not None
    for name, other in operands.items():
        if not truth.meets(other):
            raise ValueError(f"truth and {name} must live on one device and stream")
    if background is not None and not (_fits(background, truth.dtype) and _fits(background, labels.dtype)):
        raise ValueError(f"background must be an id of {truth.dtype} and of {labels.dtype}, got {background}")
    flat = [0] * (3 - len(whole))
    raw = truth.native.sites(
        truth.library,
        truth.array,
        labels.array,
        None if mask is None else mask.array,
        [*flat, *low],
        [*flat, *origin],
        [*(1 for _ in flat), *whole],
        None if background is None else background % 2**64,
        [i % 2**64 for i in ignored if _fits(i, truth.dtype)],
    )
    region_keys, regions, site_keys, sites = map(truth.library.to_numpy, raw)
    kinds, keys = site_keys[:, 0].astype(np.uint8), site_keys[:, 1:]
    truth_ids, label_ids = (
        region_keys[:, k].view(np.int64 if operand.dtype.kind == "i" else np.uint64).copy()
        for k, operand in enumerate((truth, labels))
    )
    return _ordered(Sites(whole, background, ignored, truth_ids, label_ids, regions, kinds, keys, sites))


def _sum(parts: Sequence[Sites]) -> Sites:
    first = parts[0]
    for part in parts[1:]:
        if part._about() != first._about():
            raise ValueError("sites must be of one volume, found with the same options and of ids of the same dtypes")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("truth", "labels", *_CELLS)}
    return _ordered(Sites(first.shape, first.background, first.ignore, **joined))


def _ordered(s: Sites) -> Sites:
    """Rows in order, and those of one key added up."""
    order, starts = _groups([s.truth, s.labels])
    at = order[starts]
    truth, labels, regions = s.truth[at], s.labels[at], _folded(s.regions, order, starts)
    order, starts = _groups([s.kinds, *_by_value(s)])
    at = order[starts]
    sites = _folded(s.sites, order, starts)
    return Sites(s.shape, s.background, s.ignore, truth, labels, regions, s.kinds[at], s.keys[at], sites)


def _by_value(s: Sites) -> list[np.ndarray]:
    """Keys of sites as unsigned numbers that ascend as the ids do."""
    flips = [_SIGN if ids.dtype.kind == "i" else np.uint64(0) for ids in (s.truth, s.labels)]
    owner, pair = (np.where(s.kinds == SPLIT, flips[k], flips[1 - k]) for k in (0, 1))
    return [s.keys[:, 0] ^ owner, s.keys[:, 1] ^ pair, s.keys[:, 2] ^ pair]


def _groups(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The order of rows, and where in it a new key begins."""
    order = np.lexsort(columns[::-1])
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(new)


def _folded(cells: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    cells = cells[order]
    if len(starts) == len(cells):
        return cells
    out = np.empty((len(starts), _WIDTH), np.uint64)
    for part, fold in (
        (slice(0, _LOW), np.add),
        (slice(_LOW, _HIGH), np.minimum),
        (slice(_HIGH, _FIRST), np.maximum),
        (slice(_FIRST, _WIDTH), np.minimum),
    ):
        out[:, part] = fold.reduceat(cells[:, part], starts, axis=0)
    return out


@dataclass(frozen=True, eq=False)
class Places:
    """What cells say about places: (n, d) each, in the axes of the volume."""

    start: np.ndarray
    stop: np.ndarray
    centroid: np.ndarray
    point: np.ndarray


def places_of(cells: np.ndarray, shape: tuple[int, ...], *, faces: bool) -> Places:
    """Boxes, centroids and a voxel of regions, or of sites, whose faces are at the middle between voxels.

    The voxel is that of the samples which is nearest to the centroid, rounded down to half voxels; of equal ones that
    with the smallest index. Where there are no samples it is the first voxel.
    """
    pieces = [_places(cells[k : k + _PIECE], shape, faces) for k in range(0, max(1, len(cells)), _PIECE)]
    return Places(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def _places(cells: np.ndarray, shape: tuple[int, ...], faces: bool) -> tuple[np.ndarray, ...]:
    axes = slice(3 - len(shape), 3)
    count = cells[:, :3].sum(axis=1).astype(np.int64)[:, None]
    double = 2 * cells[:, _SUM:_LOW].astype(np.int64)  # of coordinates, so that faces are at integers
    if faces:
        double -= cells[:, :3].astype(np.int64)
    samples = cells[:, _SAMPLES:_WIDTH]
    there = samples != _NONE
    index = np.where(there, unmixed(samples), cells[:, _FIRST : _FIRST + 1]).astype(np.int64)
    there[~there.any(axis=1)] = True
    middle, away = double // count, np.zeros(index.shape, np.int64)
    for axis, points in zip(range(3)[axes], np.unravel_index(index, shape), strict=True):
        away += (2 * points - middle[:, axis, None]) ** 2
    away[~there] = np.iinfo(np.int64).max
    nearest = away == away.min(axis=1, keepdims=True, initial=np.iinfo(np.int64).max)
    best = np.where(nearest, index, np.iinfo(np.int64).max).min(axis=1)
    point = np.stack(np.unravel_index(best, shape), axis=1).astype(np.int64, copy=False)
    low, high = (cells[:, at : at + 3].astype(np.int64)[:, axes] for at in (_LOW, _HIGH))
    return low, high, (double / (2 * count))[:, axes], point


def unmixed(mixed: np.ndarray) -> np.ndarray:
    """The numbers that csrc/core/key_table.h has mixed."""
    key = mixed ^ (mixed >> np.uint64(32))
    key = key * np.uint64(pow(0xBF58476D1CE4E5B9, -1, 2**64))
    key = key ^ (key >> np.uint64(29)) ^ (key >> np.uint64(58))
    key = key * np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
    return key ^ (key >> np.uint64(32))


__all__ = ["MERGE", "SPLIT", "Places", "Sites", "error_sites", "places_of", "unmixed"]
