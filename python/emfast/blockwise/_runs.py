"""Labels of blocks as runs along x, as the native modules find them.

An operation that names objects block by block knows their names in the whole only when it has seen all blocks. What a
block has found waits as runs: a byte a voxel or less, where labels are four, and they become voxels once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _native
from .._arrays import Host, Operand
from .._engine.grid import Block, Window
from ..components import _CONNECTIVITY, _bits
from ..fragments import watershed
from ._shelf import Shelf

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Runs:
    """The labels of a box, uint32 from 1 on in the order of their first voxels.

    Attributes
    ----------
    shape : tuple of int
        Of the box.
    bits : (n,) uint64
        Where labels are, and where runs begin.
    labels : (runs,) uint32
    before : (rows + 1,) int64
        How many runs come before each row.
    first : (labels,) int64
        The first voxel of each label, in the box.
    sizes : (labels,) int64
        Their voxels within the core, or none.
    """

    shape: tuple[int, ...]
    bits: np.ndarray
    labels: np.ndarray
    before: np.ndarray
    first: np.ndarray
    sizes: np.ndarray

    def write(self, window: Window, table: np.ndarray, out: np.ndarray) -> None:
        """Write ``table[label]`` of a window to an array of its shape and the table's dtype, whose rows are dense."""
        depth = (1,) * (3 - len(self.shape))
        box = [0] * len(depth) + [w.start for w in window] + [1] * len(depth) + [w.stop for w in window]
        _native.host.runs_spread(Host(), (*depth, *self.shape), self.bits, self.labels, self.before, box, table, out)

    def window(self, window: Window) -> np.ndarray:
        """The labels of a window."""
        out = np.empty([w.stop - w.start for w in window], "u4")
        self.write(window, np.arange(len(self.first) + 1, dtype="u4"), out)
        return out


def components_runs(labels: np.ndarray, *, connectivity: int, background: int | None, sizes: bool) -> Runs:
    """The components of a block. ``connectivity`` as :func:`emfast.connected_components` takes it."""
    ways = _CONNECTIVITY[labels.ndim]
    bits = _bits(background, Operand(labels, Host(), (), labels.dtype))
    found = _native.host.components_runs(Host(), dense_rows(labels), ways[connectivity], bits, sizes)
    return Runs(labels.shape, *found)


def fragments_runs(
    affinities: np.ndarray,
    where: Block,
    mask: np.ndarray | None,
    low: float,
    high: float,
    per_section: bool,
    sizes: bool,
) -> Runs:
    """The fragments of a block, and of the voxels around it that they reach."""
    depth = 4 - affinities.ndim
    inner = [0] * depth + [w.start for w in where.inner] + [1] * depth + [w.stop for w in where.inner]
    near = None if mask is None else np.ascontiguousarray(mask)
    found = _native.host.watershed_runs(Host(), dense_rows(affinities), near, low, high, per_section, inner, sizes)
    if found is None:
        watershed(affinities, low=low, high=high, mask=mask, per_section=per_section)  # which says what is wrong
        raise AssertionError("affinities that are refused in blocks are refused as a whole")
    return Runs(where.outer_shape, *found)


def dense_rows(array: np.ndarray) -> np.ndarray:
    """An array as it lies, if its rows are side by side and in native byte order; else a copy."""
    fitting = array.dtype.isnative and all(step % array.itemsize == 0 for step in array.strides)
    if fitting and (array.shape[-1] < 2 or array.strides[-1] == array.itemsize):
        return array
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def writes_in_place(volume: Any) -> bool:
    """Whether blocks can be written where they belong, by :meth:`Runs.write`."""
    return (
        isinstance(volume, np.ndarray)
        and volume.dtype.kind in "iu"
        and volume.dtype.isnative
        and all(step % volume.itemsize == 0 for step in volume.strides)
        and (volume.shape[-1] < 2 or volume.strides[-1] == volume.itemsize)
    )


def keep_runs(shelf: Shelf, block: Block, runs: Runs) -> None:
    """Leave the labels of a block on the shelf."""
    box = np.array([(n, w.start, w.stop) for n, w in zip(runs.shape, block.inner, strict=True)], np.int64)
    shelf.put(f"runs/{block.index}", box=box, bits=runs.bits, labels=runs.labels, before=runs.before)


def kept_runs(shelf: Shelf, block: int) -> tuple[Runs, Window]:
    """The labels of a block, and the window of its core in them."""
    found = shelf.get(f"runs/{block}")
    box = found["box"].tolist()
    runs = Runs(tuple(n for n, _, _ in box), found["bits"], found["labels"], found["before"], _NONE, _NONE)
    return runs, tuple(slice(begin, end) for _, begin, end in box)


__all__ = ["Runs", "components_runs", "fragments_runs", "keep_runs", "kept_runs", "writes_in_place"]
