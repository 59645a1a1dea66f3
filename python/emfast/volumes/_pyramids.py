"""Pyramids: volumes in several resolutions as OME-Zarr has them, each from the one before.

Windows of two voxels along an axis start at the volume's origin, so that blocks cannot change the result. A label is
that of most voxels of its window, the smallest of those that are equally many; an image is the mean, of integers
rounded half up.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import _ngff
from ._places import parse
from ._pool import each
from ._source import SPACE, About, Source, product
from ._stores import Store, open_store
from ._volume import Volume, open_volume
from ._zarr import MARK, Node, make_groups, meta_v2, meta_v3, open_array, put_node, said_of, sides_for

_VERSIONS = ("0.5", "0.4")
_LEAST = 64  # voxels along the longest axis of the last level, about


def downsample(array: np.ndarray, factors: Sequence[int], *, labels: bool | None = None) -> np.ndarray:
    """An array in half the resolution along some axes.

    Parameters
    ----------
    array : ndarray
        Integers, floats or bool.
    factors : sequence of int
        1 or 2 for each axis. Windows that the end of the array cuts have the voxels that are there.
    labels : bool, optional
        Whether values are names: the most common of a window is kept, the smallest of several. Otherwise the mean, of
        integers rounded half up. Default: bool and integers of 32 bits or more are labels.

    Returns
    -------
    ndarray
        Of the same dtype.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.volumes.downsample(np.array([[3, 3, 9], [5, 3, 7]]), (2, 2)).tolist()
    [[3, 7]]
    >>> emfast.volumes.downsample(np.array([[3, 4, 9], [5, 3, 7]], np.uint8), (2, 2)).tolist()
    [[4, 8]]
    """
    array = np.asarray(array)
    if len(factors) != array.ndim or any(f not in (1, 2) for f in factors):
        raise ValueError(f"factors must be 1 or 2 for each of {array.ndim} axes, got {tuple(factors)}")
    labels = is_labels(array.dtype) if labels is None else labels
    if 0 in array.shape or max(factors, default=1) == 1:
        return array[tuple(slice(None, None, f) for f in factors)].copy()
    # a voxel at the end stands for its missing neighbour too: so it counts as much as the others of its window
    wide = [(0, -n % f) for n, f in zip(array.shape, factors, strict=True)]
    padded = np.pad(array, wide, mode="edge") if any(b for _, b in wide) else array
    places = itertools.product(*(range(f) for f in factors))
    parts = [padded[tuple(slice(i, None, f) for i, f in zip(p, factors, strict=True))] for p in places]
    return _mode(parts) if labels else _mean(parts)


def is_labels(dtype: np.dtype) -> bool:
    """What is taken for names where nobody says."""
    return dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize >= 4)


def _mode(parts: list[np.ndarray]) -> np.ndarray:
    """The most common value of each place; the smallest of those that are equally common."""
    counts = [np.ones(parts[0].shape, np.uint8) for _ in parts]
    for i, j in itertools.combinations(range(len(parts)), 2):
        same = parts[i] == parts[j]
        counts[i] += same
        counts[j] += same
    best, most = parts[0].copy(), counts[0]
    for part, count in zip(parts[1:], counts[1:], strict=True):
        better = (count > most) | ((count == most) & (part < best))
        np.copyto(best, part, where=better)
        np.copyto(most, count, where=better)
    return best


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    dtype, n = parts[0].dtype, len(parts)
    if dtype.kind == "f":
        total = sum((p.astype(np.float64) for p in parts[1:]), parts[0].astype(np.float64))
        return np.asarray(total / n).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(2 * sum(p.astype(np.uint8) for p in parts) >= n)
    wide: type[np.signedinteger[Any]] | np.dtype = np.int64 if dtype.itemsize < 8 else dtype
    whole = np.zeros(parts[0].shape, wide)
    rest = np.zeros(parts[0].shape, np.int64)
    for part in parts:  # quotients and rests apart: sums of 64 bits would not hold
        whole += part // n
        rest += (part % n).astype(np.int64)
    return np.asarray(whole + ((2 * rest + n) // (2 * n)).astype(wide)).astype(dtype)


def factors_of(axes: str, shape: Sequence[int], spacing: Sequence[float] | None) -> tuple[int, ...]:
    """Which axes are halved next: those of space that are less than twice as coarse as the finest, to even them out."""
    sizes = dict(zip((a for a in axes if a in SPACE), spacing or (), strict=False))
    finest = min(sizes.values(), default=1.0)
    return tuple(
        2 if a in SPACE and n > 1 and sizes.get(a, finest) < 2 * finest else 1 for a, n in zip(axes, shape, strict=True)
    )


def write_pyramid(
    source: Any,
    target: str,
    *,
    levels: int | None = None,
    labels: bool | None = None,
    version: str = "0.5",
    mode: str = "x",
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = "zstd",
    progress: Callable[[int, int], None] | None = None,
) -> Volume:
    """Write a volume as OME-Zarr, in several resolutions.

    Parameters
    ----------
    source : Volume, array or str
        What to write, or where it is.
    target : str
        A ``.zarr`` folder, or a group in one after a colon.
    levels : int, optional
        How many resolutions, the finest included. Default: until no axis has more than about 64 voxels. Axes that are
        much coarser than others are halved later: 40 × 4 × 4 nm becomes 40 × 8 × 8 nm.
    labels : bool, optional
        As in :func:`downsample`.
    version : {"0.5", "0.4"}
        Of NGFF: in Zarr 3 with shards and checksums, or in Zarr 2.
    mode : {"x", "w"}
        Whether what is there may be replaced.
    chunks, shards : sequence of int, optional
        Of every level.
    codec : str or None
        As in :func:`open_volume`.
    progress : callable, optional
        Called with the voxels done and the voxels in all.

    Returns
    -------
    Volume
        The finest level. Its group names the levels when all are written, not before.

    Examples
    --------
    >>> import emfast, numpy as np, tempfile
    >>> place = tempfile.mkdtemp() + "/labels.zarr"
    >>> fine = emfast.volumes.write_pyramid(np.ones((64, 256, 256), np.uint64), place, levels=3)
    >>> [emfast.open_volume(place, level=k).shape for k in range(3)]
    [(64, 256, 256), (32, 128, 128), (16, 64, 64)]
    """
    if version not in _VERSIONS:
        raise ValueError(f"version must be '0.5' or '0.4', got {version!r}")
    if mode not in ("x", "w"):
        raise ValueError(f"mode must be 'x' or 'w', got {mode!r}")
    place = parse(target, new=True)
    if place.format != "zarr":
        raise ValueError(f"target must be a place in a .zarr folder, got {target!r}")
    volume = open_volume(source) if isinstance(source, str) or hasattr(source, "__fspath__") else source
    if not hasattr(volume, "shape"):
        volume = np.asarray(volume)
    about = _about(volume, chunks, shards)
    steps = _steps(about, levels)
    labels = is_labels(about.dtype) if labels is None else labels
    store = open_store(place.path)
    make_groups(store, place.name, 2 if version == "0.4" else 3)
    _put_group(store, place.name, version, {MARK: {"pyramid": "not finished"}}, mode == "w")
    total, done, before = sum(product(shape) for shape, *_ in steps), 0, volume
    found = []
    for k, (shape, factors, spacing, offset) in enumerate(steps):
        level = replace(about, shape=shape)
        if about.spacing is not None:
            level = replace(level, spacing=spacing, offset=offset)
        new = _new_level(store, f"{place.name}/{k}".lstrip("/"), level, version, codec)
        for window in _windows(shape, new.about.shards or new.about.chunks or shape):
            new.write(window, _read_reduced(before, window, factors, labels))
            done += product([w.stop - w.start for w in window])
            if progress is not None:
                progress(done, total)
        before = _Read(new)
        found.append((str(k), spacing, offset))
    unit = None if about.spacing is None else "nanometer"
    said = _ngff.said_of(about.axes, found, version, unit, "mode" if labels else "mean", place.name.rpartition("/")[2])
    _say(store, place.name, version, {**said, MARK: {"format": 1}})
    return open_volume(target)


class _Read:
    """A level that was written, to be sliced."""

    def __init__(self, source: Source) -> None:
        self.source, self.shape = source, source.about.shape

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        return self.source.read(tuple(slice(w.start, w.stop, 1) for w in window))


def _about(volume: Any, chunks: Any, shards: Any) -> About:
    shape = tuple(int(n) for n in volume.shape)
    axes = getattr(volume, "axes", "") if isinstance(volume, Volume) else ""
    about = About(shape, np.dtype(volume.dtype), axes=axes)
    if isinstance(volume, Volume):
        about = replace(about, spacing=volume.spacing, offset=volume.offset)
    if not any(a in SPACE for a in about.axes):
        raise ValueError(f"source must have axes of space, got {about.axes!r}")
    for name, sides in (("chunks", chunks), ("shards", shards)):
        if sides is not None and (len(sides) != len(shape) or min(sides) < 1):
            raise ValueError(f"{name} must be positive, one for each of {len(shape)} axes, got {sides}")
    chunks, shards = (None if sides is None else tuple(sides) for sides in (chunks, shards))
    return replace(about, chunks=chunks, shards=shards)


def _steps(about: About, levels: int | None) -> list[tuple[Any, ...]]:
    """Shape, factors from the level before, spacing and offset of every level. Offsets are of voxels' centres."""
    if levels is not None and (isinstance(levels, bool) or not isinstance(levels, int) or levels < 1):
        raise ValueError(f"levels must be an integer, at least 1, got {levels!r}")
    ones = (1,) * len(about.shape)
    count = sum(a in SPACE for a in about.axes)
    steps: list[tuple[Any, ...]] = [
        (about.shape, ones, about.spacing or (1.0,) * count, about.offset or (0.0,) * count)
    ]
    while len(steps) < (levels or 32):
        shape, _, spacing, offset = steps[-1]
        factors = factors_of(about.axes, shape, spacing)
        space = [n for n, a in zip(shape, about.axes, strict=True) if a in SPACE]
        if max(factors) == 1 or (levels is None and max(space) <= _LEAST):
            break
        halved = [f for f, a in zip(factors, about.axes, strict=True) if a in SPACE]
        offset = tuple(o + (f - 1) / 2 * s for o, f, s in zip(offset, halved, spacing, strict=True))
        spacing = tuple(f * s for f, s in zip(halved, spacing, strict=True))
        steps.append((tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)), factors, spacing, offset))
    return steps


def _windows(shape: Sequence[int], sides: Sequence[int]) -> Any:
    if 0 in shape:
        return iter(())
    ranges = [[slice(a, min(a + s, n), 1) for a in range(0, n, s)] for n, s in zip(shape, sides, strict=True)]
    return itertools.product(*ranges)


def _read_reduced(volume: Any, window: Any, factors: Sequence[int], labels: bool) -> np.ndarray:
    """A window of the next level, slab by slab in threads."""
    if max(factors) == 1:
        return np.asarray(volume[window])
    axis = next(i for i, w in enumerate(window) if w.stop - w.start > 1 or i == len(window) - 1)
    sides = [w.stop - w.start for w in window]
    out = np.empty(sides, getattr(volume, "dtype", None) or volume.source.about.dtype)
    slabs = range(0, sides[axis], 32)

    def reduce(start: int) -> None:
        stop = min(start + 32, sides[axis])
        part = [slice(w.start, w.stop) for w in window]
        part[axis] = slice(window[axis].start + start, window[axis].start + stop)
        fine = tuple(
            slice(p.start * f, min(p.stop * f, n)) for p, f, n in zip(part, factors, volume.shape, strict=True)
        )
        target = [slice(None)] * len(sides)
        target[axis] = slice(start, stop)
        out[tuple(target)] = downsample(np.asarray(volume[fine]), factors, labels=labels)

    each(reduce, slabs)
    return out


def _new_level(store: Store, key: str, about: About, version: str, codec: str | None) -> Source:
    attributes = {**said_of(about), MARK: {"format": 1}}
    if version == "0.5":
        chunks, shards = sides_for(about)
        meta = meta_v3(replace(about, chunks=chunks, shards=shards), attributes, codec, 0)
        put_node(store, key, {"zarr.json": meta}, replaces=False)
        return open_array(store, key, Node(3, True, meta, attributes), "r+")
    if about.shards is not None:
        raise ValueError("shards must be None for version 0.4: Zarr 2 has none")
    meta = meta_v2(replace(about, chunks=sides_for(about)[0]), codec)
    put_node(store, key, {".zarray": meta, ".zattrs": attributes}, replaces=False)
    return open_array(store, key, Node(2, True, meta, attributes), "r+")


def _put_group(store: Store, key: str, version: str, attributes: dict[str, Any], replaces: bool) -> None:
    put_node(store, key, _group(version, attributes), replaces)


def _group(version: str, attributes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if version == "0.5":
        return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
    return {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}


def _say(store: Store, key: str, version: str, attributes: dict[str, Any]) -> None:
    """The header with the levels, when they are all there."""
    for name, meta in _group(version, attributes).items():
        store.put(f"{key}/{name}".lstrip("/"), json.dumps(meta, indent=2).encode())


__all__ = ["downsample", "factors_of", "is_labels", "write_pyramid"]
