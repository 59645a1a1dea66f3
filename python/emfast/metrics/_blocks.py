"""Volumes that are read block by block: which blocks, and the next one while one is worked on."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_BLOCK_VOXELS = 1 << 24
Window = tuple[slice, ...]


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


def is_lazy(volume: Any) -> bool:
    """Whether a volume must be sliced to be an array: it is no array of a library that shows its memory."""
    if isinstance(volume, np.ndarray) or type(volume).__module__.partition(".")[0] in ("torch", "cupy"):
        return False
    return not (hasattr(volume, "__dlpack__") or hasattr(volume, "__cuda_array_interface__"))


def sides_of(block: Sequence[int] | None, shape: tuple[int, ...], volumes: Mapping[str, Any]) -> tuple[int, ...]:
    """The sides of blocks: those asked for; all at once where no volume is lazy; else whole chunks, doubled from the
    last axis on while they are small."""
    if block is not None:
        sides = tuple(operator.index(side) for side in block)
        if len(sides) != len(shape) or min(sides, default=1) < 1:
            raise ValueError(f"block must be a positive number of voxels for each axis ({len(shape)}), got {block!r}")
        return sides
    lazy = [volume for volume in volumes.values() if is_lazy(volume)]
    if not lazy:
        return tuple(max(1, side) for side in shape)
    grown = [1] * len(shape)
    for chunk in (getattr(volume, "chunks", None) for volume in lazy):
        if chunk is not None and all(isinstance(side, int) for side in chunk):
            grown = [max(side, a) for side, a in zip(grown, chunk, strict=True)]
    grown = [max(1, min(side, n)) for side, n in zip(grown, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        while grown[axis] < shape[axis] and 2 * math.prod(grown) <= _BLOCK_VOXELS:
            grown[axis] = min(2 * grown[axis], shape[axis])
    return tuple(grown)


def windows(shape: tuple[int, ...], sides: tuple[int, ...]) -> Iterator[Window]:
    """The blocks in C order; one that is empty where the volume is, for it tells the dtypes."""
    ranges = [range(0, n, side) for n, side in zip(shape, sides, strict=True)]
    if math.prod(shape) == 0:
        ranges = [range(1)] * len(shape)
    for start in itertools.product(*ranges):
        yield tuple(slice(a, min(a + side, n)) for a, side, n in zip(start, sides, shape, strict=True))


def with_halo(window: Window, shape: tuple[int, ...], before: Sequence[int], after: Sequence[int]) -> Window:
    """A block with what lies around it, as far as the volume goes."""
    parts = zip(window, shape, before, after, strict=True)
    return tuple(slice(max(0, w.start - a), min(n, w.stop + b)) for w, n, a, b in parts)


def read_ahead(
    volumes: Mapping[str, Any],
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    before: Sequence[int] | None = None,
    after: Sequence[int] | None = None,
) -> Iterator[tuple[Window, Window, dict[str, Any]]]:
    """Each block, the same with its halo, and the arrays of that. The next is read while one is worked on."""
    from concurrent.futures import ThreadPoolExecutor  # not at the top, for a quick start of the package

    none = [0] * len(shape)
    if all(side >= n for side, n in zip(sides, shape, strict=True)):  # one block: no thread is needed
        whole = tuple(slice(0, n) for n in shape)
        yield whole, whole, {name: np.asarray(v[whole]) if is_lazy(v) else v for name, v in volumes.items()}
        return

    def read(name: str, window: Window) -> Any:
        part = volumes[name][window]
        return np.asarray(part) if is_lazy(volumes[name]) else part

    with ThreadPoolExecutor(len(volumes)) as pool:
        waiting: tuple[Window, Window, dict[str, Any]] | None = None
        for window in itertools.chain(windows(shape, sides), [None]):
            now, waiting = waiting, None
            if window is not None:
                wide = with_halo(window, shape, before or none, after or none)
                waiting = window, wide, {name: pool.submit(read, name, wide) for name in volumes}
            if now is not None:
                yield now[0], now[1], {name: reading.result() for name, reading in now[2].items()}


__all__ = ["Window", "is_lazy", "read_ahead", "same_shapes", "sides_of", "windows", "with_halo"]
