"""A volume cut into blocks: which they are, and where each lies with and without the voxels around it."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

Window = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a grid.

    Attributes
    ----------
    index : int
        Its number in raster order of the grid.
    place : tuple of int
        Its coordinates in the grid.
    core : tuple of slice
        Its own voxels, in the volume. The cores of a grid cover every voxel once.
    outer : tuple of slice
        The core with its halo, as far as the volume goes.
    inner : tuple of slice
        The core within ``outer``.
    whole : tuple of int
        The shape of the volume.
    """

    index: int
    place: tuple[int, ...]
    core: Window
    outer: Window
    inner: Window
    whole: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the core."""
        return tuple(c.stop - c.start for c in self.core)

    @property
    def outer_shape(self) -> tuple[int, ...]:
        """Of the core with its halo."""
        return tuple(c.stop - c.start for c in self.outer)

    @property
    def offset(self) -> tuple[int, ...]:
        """The first voxel of the core."""
        return tuple(c.start for c in self.core)

    def __str__(self) -> str:
        return words_of(self.core)


class Grid(Sequence[Block]):
    """The blocks of a volume in raster order.

    Parameters
    ----------
    shape : sequence of int
        Of the volume.
    block : sequence of int or int
        The sides of a block, or one for all axes; the last blocks of an axis are smaller where it does not divide.
    halo : int or sequence of int or pair of int
        How many voxels around a block are read with it: one number, one for each axis, or before and after in each.

    Examples
    --------
    >>> from emfast.blocks import Grid
    >>> grid = Grid((10, 6), block=(4, 6), halo=1)
    >>> len(grid), grid.counts
    (3, (3, 1))
    >>> grid[1].core, grid[1].outer, grid[1].inner
    ((slice(4, 8, None), slice(0, 6, None)), (slice(3, 9, None), slice(0, 6, None)), (slice(1, 5, None), slice(0, 6, None)))
    >>> grid.neighbours(1)
    (0, 2)
    """  # noqa: E501 - the example prints a long line

    __slots__ = ("after", "before", "block", "counts", "shape")

    def __init__(self, shape: Sequence[int], block: Sequence[int] | int, halo: Any = 0) -> None:
        self.shape = tuple(operator.index(n) for n in shape)
        if min(self.shape, default=0) < 0:
            raise ValueError(f"shape must not be negative, got {tuple(shape)!r}")
        sides = sides_of_block(block, len(self.shape))
        self.block = tuple(min(side, max(1, n)) for side, n in zip(sides, self.shape, strict=True))
        self.before, self.after = _halo_of(halo, len(self.shape))
        self.counts = tuple(-(-n // side) for n, side in zip(self.shape, self.block, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    @overload
    def __getitem__(self, index: int) -> Block: ...

    @overload
    def __getitem__(self, index: slice) -> list[Block]: ...

    def __getitem__(self, index: int | slice) -> Block | list[Block]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = operator.index(index)
        if number < 0:
            number += len(self)
        place = self.place_of(number)
        core = tuple(
            slice(k * side, min((k + 1) * side, n)) for k, side, n in zip(place, self.block, self.shape, strict=True)
        )
        outer = with_halo(core, self.shape, self.before, self.after)
        inner = tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(core, outer, strict=True))
        return Block(number, place, core, outer, inner, self.shape)

    def place_of(self, index: int) -> tuple[int, ...]:
        """The coordinates of a block in the grid."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be one of {len(self)} blocks, got {index}")
        place = []
        for count in reversed(self.counts):
            index, k = divmod(index, count)
            place.append(k)
        return tuple(reversed(place))

    def index_of(self, place: Sequence[int]) -> int:
        """The number of the block at these coordinates of the grid."""
        index = 0
        for k, count in zip(place, self.counts, strict=True):
            if not 0 <= k < count:
                raise IndexError(f"place must be in a grid of {self.counts}, got {tuple(place)}")
            index = index * count + k
        return index

    def neighbours(self, index: int, *, diagonal: bool = False) -> tuple[int, ...]:
        """The blocks that share a face with this one, or with ``diagonal`` any corner; ascending."""
        place = self.place_of(index)
        found = []
        for step in itertools.product((-1, 0, 1), repeat=len(place)):
            moved = [k + s for k, s in zip(place, step, strict=True)]
            inside = all(0 <= k < count for k, count in zip(moved, self.counts, strict=True))
            faces = sum(map(abs, step))
            if inside and faces and (diagonal or faces == 1):
                found.append(self.index_of(moved))
        return tuple(found)

    @property
    def halo(self) -> tuple[tuple[int, int], ...]:
        """Voxels before and after a block, for each axis."""
        return tuple(zip(self.before, self.after, strict=True))

    @property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest outer box."""
        sides = zip(self.shape, self.block, self.before, self.after, strict=True)
        return tuple(min(n, a + side + b) for n, side, a, b in sides)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Grid({self.shape}, block={self.block}, halo={self.halo})"


def with_halo(window: Window, shape: Sequence[int], before: Sequence[int], after: Sequence[int]) -> Window:
    """A block with what lies around it, as far as the volume goes."""
    parts = zip(window, shape, before, after, strict=True)
    return tuple(slice(max(0, w.start - a), min(n, w.stop + b)) for w, n, a, b in parts)


def sides_of_block(block: Any, dims: int) -> tuple[int, ...]:
    """Positive sides, one for each axis; one number holds for all."""
    try:
        sides = (operator.index(block),) * dims if not hasattr(block, "__len__") else tuple(map(operator.index, block))
    except TypeError:
        raise TypeError(f"block must be a number of voxels for each axis, got {block!r}") from None
    if len(sides) != dims or min(sides, default=1) < 1:
        raise ValueError(f"block must be a positive number of voxels for each axis ({dims}), got {block!r}")
    return sides


def _halo_of(halo: Any, dims: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Voxels before and after a block, in each axis."""
    axes = list(halo) if hasattr(halo, "__len__") else [halo] * dims
    try:
        pairs = [(operator.index(h),) * 2 if not hasattr(h, "__len__") else tuple(map(operator.index, h)) for h in axes]
    except TypeError:
        raise TypeError(f"halo must be a number of voxels for each axis, got {halo!r}") from None
    if len(pairs) != dims or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(f"halo must be 0 or more voxels for each axis ({dims}), or pairs of them, got {halo!r}")
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def is_lazy(volume: Any) -> bool:
    """Whether a volume must be sliced to be an array: it is no array of a library that shows its memory."""
    import numpy as np

    if isinstance(volume, np.ndarray) or type(volume).__module__.partition(".")[0] in ("torch", "cupy"):
        return False
    return not (hasattr(volume, "__dlpack__") or hasattr(volume, "__cuda_array_interface__"))


def words_of(window: Window) -> str:
    """A box as people write it: [0:64, 64:100, 0:32]."""
    return f"[{', '.join(f'{w.start}:{w.stop}' for w in window)}]"


__all__ = ["Block", "Grid", "Window", "is_lazy", "sides_of_block", "with_halo", "words_of"]
