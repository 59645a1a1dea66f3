"""Volumes that are read block by block: which blocks, and the next one while one is worked on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._engine.grid import Block, Grid, Window, is_lazy, sides_of_block

_BLOCK_VOXELS = 1 << 24
_ARRAY_VOXELS = 1 << 28  # of a block in memory: long enough to pay, short enough to tell that it goes on


def same_shapes(volumes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Volumes with a shape, and that shape: all must have that of the first. A mask that is None is left out."""
    for name, volume in volumes.items():
        if volume is None and name != "mask":
            raise TypeError(f"{name} must be an array, got None")
    found = {name: v if hasattr(v, "shape") else np.asarray(v) for name, v in volumes.items() if v is not None}
    first = next(iter(found))
    shape = tuple(found[first].shape)
    for name, volume in found.items():
        if tuple(volume.shape) != shape:
            raise ValueError(f"{name} must have the shape of {first} {shape}, got {tuple(volume.shape)}")
    return found, shape


def sides_of(block: Sequence[int] | None, shape: tuple[int, ...], volumes: Mapping[str, Any]) -> tuple[int, ...]:
    """The sides of blocks: those asked for; for arrays a few sections, as many voxels as pay; else whole chunks.

    While these are few voxels they are doubled from the last axis on. Volumes whose chunks have different shapes meet
    in blocks that may be too large: they are halved where that makes the least to be read twice.
    """
    if block is not None:
        return sides_of_block(block, len(shape))
    lazy = [volume for volume in volumes.values() if is_lazy(volume)]
    if not lazy:
        rows = max(1, _ARRAY_VOXELS // max(1, math.prod(shape[1:])))
        return (max(1, min(rows, shape[0])), *(max(1, side) for side in shape[1:]))
    found = [getattr(volume, "chunks", None) for volume in lazy]
    whole = [chunk for chunk in found if chunk is not None and all(isinstance(side, int) for side in chunk)]
    chunks = [[max(1, min(side, n)) for side, n in zip(chunk, shape, strict=True)] for chunk in whole]
    grown = [max(sides) for sides in zip([1] * len(shape), *chunks, strict=True)]
    most = max([_BLOCK_VOXELS, *map(math.prod, chunks)])
    while math.prod(grown) > most:
        choices = [_halved(grown, axis) for axis, side in enumerate(grown) if side > 1]
        grown = min(choices, key=lambda sides: _read_again(sides, chunks))
    for axis in reversed(range(len(shape))):
        while grown[axis] < shape[axis] and 2 * math.prod(grown) <= _BLOCK_VOXELS:
            grown[axis] = min(2 * grown[axis], shape[axis])
    return tuple(grown)


def _halved(sides: list[int], axis: int) -> list[int]:
    return [-(-side // 2) if k == axis else side for k, side in enumerate(sides)]


def _read_again(sides: list[int], chunks: list[list[int]]) -> float:
    """How often the chunks of all volumes are read in such blocks, about."""
    return sum(math.prod(max(1.0, a / side) for a, side in zip(chunk, sides, strict=True)) for chunk in chunks)


def blocks_of(
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    before: Sequence[int] | None = None,
    after: Sequence[int] | None = None,
) -> Iterator[Block]:
    """The blocks in C order; one that is empty where the volume is, for it tells the dtypes."""
    none = [0] * len(shape)
    halo = tuple(zip(before or none, after or none, strict=True))
    if math.prod(shape):
        yield from Grid(shape, sides, halo)
    else:
        empty = tuple(slice(0, min(side, n)) for side, n in zip(sides, shape, strict=True))
        yield Block(0, tuple(none), empty, empty, empty, shape)


def read_ahead(
    volumes: Mapping[str, Any],
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    before: Sequence[int] | None = None,
    after: Sequence[int] | None = None,
) -> Iterator[tuple[Window, Window, dict[str, Any]]]:
    """Each block, the same with its halo, and the arrays of that. The next is read while one is worked on."""
    from concurrent.futures import ThreadPoolExecutor  # not at the top, for a quick start of the package

    if all(side >= n for side, n in zip(sides, shape, strict=True)):  # one block: no thread is needed
        whole = tuple(slice(0, n) for n in shape)
        yield whole, whole, {name: np.asarray(v[whole]) if is_lazy(v) else v for name, v in volumes.items()}
        return

    def read(name: str, window: Window) -> Any:
        part = volumes[name][window]
        return np.asarray(part) if is_lazy(volumes[name]) else part

    with ThreadPoolExecutor(len(volumes)) as pool:
        waiting: tuple[Block, dict[str, Any]] | None = None
        for block in itertools.chain(blocks_of(shape, sides, before, after), [None]):
            now, waiting = waiting, None
            if block is not None:
                waiting = block, {name: pool.submit(read, name, block.outer) for name in volumes}
            if now is not None:
                yield now[0].core, now[0].outer, {name: reading.result() for name, reading in now[1].items()}


def part_of(progress: Callable[[int, int], object] | None, k: int, parts: int) -> Callable[[int, int], object] | None:
    """What to call in the k-th of some passes over the same voxels."""
    return None if progress is None else lambda done, total: progress(k * total + done, parts * total)


__all__ = ["Window", "blocks_of", "is_lazy", "part_of", "read_ahead", "same_shapes", "sides_of"]
