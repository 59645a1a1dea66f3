"""Volumes: arrays in files, read and written where they are sliced."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._ids import cast_exactly
from . import _formats
from ._places import Place, parse
from ._source import (
    SPACE,
    About,
    Cut,
    Source,
    Turned,
    Window,
    axes_of,
    lengths,
    making,
    numbers_or_none,
    order_of,
    product,
    space_in,
    telling,
    usual_axes,
)

_MODES = ("r", "r+", "x", "w")


class Volume:
    """An array in a file that is read where it is sliced; :func:`open_volume` makes it.

    Axes are in the order z, y, x whatever the file's, channels before them. ``v[...]`` takes integers, slices forwards
    and Ellipsis and gives an array of its own; ``v[...] = array`` writes, where the mode allows it. ``np.asarray(v)``
    reads all. A volume is a context manager; a new file of one array (``.npy``, ``.tif``, …) appears when it is closed,
    and does not when the context ends with an error. Many threads may read at once. Pickled, it goes as its place and
    is opened anew, a new one as ``"r+"``.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes
        As of an array.
    chunks, shards : tuple of int or None
        The least that is read at once, and the files of a sharded store: what should be written at once.
    spacing : tuple of float or None
        Nanometres between voxels along z, y, x (those of them that the volume has); None where the file does not say.
    offset : tuple of float or None
        Nanometres from the origin to the first voxel; 0 where the file does not say. None of a crop without spacing.
    axes : str
        A letter for each axis, such as ``"zyx"`` or ``"czyx"``.
    uri, format, mode : str
        Where it is, of which format, and whether it may be written.
    attributes : dict
        What else the file says.
    """

    def __init__(self, source: Source, place: Place, mode: str, options: dict[str, Any], window: Window) -> None:
        self._source, self._place, self._options, self._window = source, place, options, window
        self._whole = True
        self._closed = False
        self.mode = mode

    @property
    def shape(self) -> tuple[int, ...]:
        return lengths(self._window)

    @property
    def dtype(self) -> np.dtype:
        return self._source.about.dtype

    @property
    def ndim(self) -> int:
        return len(self._window)

    @property
    def size(self) -> int:
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...] | None:
        return self._aligned(self._source.about.chunks)

    @property
    def shards(self) -> tuple[int, ...] | None:
        return self._aligned(self._source.about.shards)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        return self._source.about.spacing

    @property
    def offset(self) -> tuple[float, ...] | None:
        starts = [w.start for w, a in zip(self._window, self.axes, strict=True) if a in SPACE]
        offset = self._source.about.offset or (0.0,) * len(starts)
        if not any(starts):
            return offset
        if self.spacing is None:
            return None
        return tuple(o + n * s for o, n, s in zip(offset, starts, self.spacing, strict=True))

    @property
    def axes(self) -> str:
        return self._source.about.axes

    @property
    def uri(self) -> str:
        return f"{self._place.format}://{self._place}" if self._options.get("forced") else str(self._place)

    @property
    def name(self) -> str:
        """That of the array inside of its archive, also where the uri leaves it out; else nothing."""
        source = self._source
        while isinstance(source, (Turned, Cut)):
            source = source.source
        return source.name or self._place.name

    @property
    def format(self) -> str:
        return self._place.format

    @property
    def attributes(self) -> dict[str, Any]:
        return self._source.about.attributes

    def __getitem__(self, key: Any) -> np.ndarray:
        window, squeezed = normalised(key, self.shape)
        shape = lengths(window)
        if 0 in shape:
            array = np.empty(shape, self.dtype)
        else:
            self._check_open()
            with telling(self._place.path):
                array = self._source.read(_within(self._window, window))
            array = array.astype(self.dtype, copy=False)  # the file's byte order may be another
        return array.reshape([n for n, gone in zip(shape, squeezed, strict=True) if not gone])

    def __setitem__(self, key: Any, values: Any) -> None:
        if self.mode == "r":
            raise ValueError(f"{self.uri} must be opened with mode 'r+', 'x' or 'w' to be written, got 'r'")
        self._check_open()
        window, squeezed = normalised(key, self.shape)
        if any(w.step != 1 for w in window):
            raise ValueError(f"{self.uri} is written in slices of step 1, got {key!r}")
        shape = lengths(window)
        seen = tuple(n for n, gone in zip(shape, squeezed, strict=True) if not gone)
        array = _fitting(values, self.dtype, self.uri)
        try:
            array = np.broadcast_to(array, seen)
        except ValueError:
            raise ValueError(f"{self.uri}[...] must be given values of shape {seen}, got {array.shape}") from None
        if 0 not in shape:
            with telling(self._place.path):
                self._source.write(_within(self._window, window), array.reshape(shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self.uri} cannot be an array without a copy: it is in a file")
        array = self[...]
        return array if dtype is None else array.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self._window:
            raise TypeError("a volume without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        spacing = "" if self.spacing is None else f", spacing={self.spacing}"
        return f"<Volume {self.uri} {self.axes} {self.shape} {self.dtype}{spacing}, mode {self.mode!r}>"

    def crop(self, window: Any) -> Volume:
        """A part of the volume, not read yet: slices of step 1, for all axes or the last ones, or with an Ellipsis.

        Its offset is that of its first voxel. It lives as long as the volume is open.
        """
        if not isinstance(window, tuple):
            window = (window,)
        if len(window) < self.ndim and Ellipsis not in window:
            window = (Ellipsis, *window)
        cut, squeezed = normalised(window, self.shape)
        if any(squeezed) or any(w.step != 1 for w in cut):
            raise ValueError(f"window must be slices of step 1, got {window!r}")
        part = Volume(self._source, self._place, self.mode, self._options, _within(self._window, cut))
        part._whole = False
        return part

    def close(self) -> None:
        """Done with the file; what is new appears. A crop leaves the file to its volume."""
        self._end(self._source.close)

    def __enter__(self) -> Volume:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._end(self._source.discard if kind else self._source.close)

    def _end(self, how: Any) -> None:
        if self._whole and not self._closed:
            self._closed = True
            with telling(self._place.path):
                how()
            self._source = _Closed(self._source.about, self.uri)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.uri} is closed")

    def _aligned(self, sides: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Chunks of the file are those of a part only if it begins with one."""
        if sides is None or any(w.start % side for w, side in zip(self._window, sides, strict=True) if side):
            return None
        return sides

    def __reduce__(self) -> Any:
        if self.mode in ("x", "w") and not _formats.in_place(self.format):
            raise TypeError(f"{self.uri} must be closed before other processes can open it: it is not there yet")
        bounds = None if self._whole else tuple((w.start, w.stop) for w in self._window)
        return _reopened, (self.uri, "r" if self.mode == "r" else "r+", self._options, bounds)


class _Closed(Source):
    """What stays of a closed file, for its crops: its name."""

    def __init__(self, about: About, uri: str) -> None:
        self.about, self.uri = about, uri

    def read(self, window: Window) -> np.ndarray:
        raise ValueError(f"{self.uri} is closed")

    def write(self, window: Window, values: np.ndarray) -> None:
        raise ValueError(f"{self.uri} is closed")


def _reopened(uri: str, mode: str, options: dict[str, Any], bounds: tuple[tuple[int, int], ...] | None) -> Volume:
    volume = open_volume(uri, mode=mode, **{k: v for k, v in options.items() if k != "forced"})
    if bounds is not None:
        volume._window = tuple(slice(a, b, 1) for a, b in bounds)
    return volume


def open_volume(
    uri: str | os.PathLike[str],
    *,
    mode: str = "r",
    like: Any = None,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    axes: str | None = None,
    codec: str | None = "zstd",
    fill: Any = 0,
    level: int | None = None,
) -> Volume:
    """Open a volume in a file, in a folder or at an address. Nothing but its header is read.

    Parameters
    ----------
    uri : str or path
        Where it is. Of an archive (``.zarr``, ``.n5``, ``.h5``, ``.npz``) with the name of the array after a colon or a
        slash: ``a.h5:volumes/raw``, ``a.zarr/volumes/raw``; the name can be left out where there is one array. A folder
        of slices or a pattern (``em/*.png``). An address: ``http(s)://``, ``s3://``, ``gs://``, ``file://``;
        ``precomputed://`` before the path or address of such a folder. The format follows from the ending, else from
        what the folder holds.
    mode : {"r", "r+", "x", "w"}
        Read; read and write what is there; make, where nothing is; make, in the place of what is there.
    like : Volume or array, optional
        Gives shape, dtype, spacing, offset, axes and chunks of a new volume where they are not said otherwise.
    shape : sequence of int, optional
        Of a new volume. One that is there must have it, if it is given; so with ``dtype``.
    dtype : dtype, optional
        Of a new volume: bool, integers or floats.
    chunks, shards : sequence of int, optional
        Of a new volume in a format that has them; shards are whole chunks.
    spacing, offset : sequence of float, optional
        Nanometres along z, y, x. Of a volume that is there: instead of what the file says.
    axes : str, optional
        Of a volume that is there: what its axes are, in the order of the file, as ``"xyz"`` or ``"zyxc"``. The volume
        is turned to z, y, x. Of a new one: ``"zyx"``, ``"czyx"``, …, time and channels first.
    codec : {"zstd", "gzip", "blosc", "lz4", "raw"} or None
        How chunks of a new volume are packed, with a level if one is wanted (``"zstd:9"``); formats that do not have it
        take what they have (docs/volumes.md).
    fill : number, default 0
        The value of what is not written in a chunk that is written in parts.
    level : int, optional
        Which resolution of a pyramid, 0 for the finest.

    Returns
    -------
    Volume

    Examples
    --------
    >>> import emfast, numpy as np, tempfile
    >>> place = tempfile.mkdtemp() + "/em.zarr:raw"
    >>> with emfast.open_volume(place, mode="w", shape=(40, 50, 60), dtype="uint8", spacing=(30, 8, 8)) as volume:
    ...     volume[...] = 7
    >>> volume = emfast.open_volume(place)
    >>> volume.shape, volume.spacing, int(volume[3, 4, 5])
    ((40, 50, 60), (30.0, 8.0, 8.0), 7)
    >>> volume.crop((slice(10, 20), slice(None), slice(None))).offset
    (300.0, 0.0, 0.0)
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be 'r', 'r+', 'x' or 'w', got {mode!r}")
    new = mode in ("x", "w")
    place = parse(uri, new)
    if new and level is not None:
        raise ValueError("level must be None for a new volume: emfast.volumes.write_pyramid makes pyramids")
    if new:
        about = _wanted(place, like, shape, dtype, chunks, shards, spacing, offset, axes)
        with making(place.path):
            source = _formats.create(place, about, mode, codec, fill)
        options: dict[str, Any] = {}
    else:
        options = {"spacing": spacing, "offset": offset, "axes": axes, "level": level}
        options = {name: value for name, value in options.items() if value is not None}
        with telling(place.path):
            source = _formats.open_source(place, mode, level)
        try:
            source = _told(source, place, axes, spacing, offset)
            _check_same(source.about, place, like, shape, dtype)
        except BaseException:
            source.close()
            raise
    if str(uri).startswith(f"{place.format}://"):
        options["forced"] = True
    window = tuple(slice(0, n, 1) for n in source.about.shape)
    return Volume(source, place, mode, options, window)


def _told(source: Source, place: Place, axes: Any, spacing: Any, offset: Any) -> Source:
    """The source in our order of axes, with what the user knows better."""
    dims = len(source.about.shape)
    if axes is not None:
        source.about = replace(source.about, axes=axes_of(axes, dims))
    elif "t" in source.about.axes:  # files with time have it, and channels, for form's sake too
        shape = source.about.shape
        gone = [i for i, a in enumerate(source.about.axes) if a in "tc" and shape[i] == 1]
        source = Cut(source, [0] * dims, shape, gone) if gone else source
        dims -= len(gone)
    if order_of(source.about.axes) != tuple(range(dims)):
        source = Turned(source)
    count = space_in(source.about.axes)
    if spacing is not None:
        source.about = replace(source.about, spacing=_numbers(spacing, "spacing", count))
    if offset is not None:
        source.about = replace(source.about, offset=_numbers(offset, "offset", count))
    return source


def _numbers(values: Any, name: str, count: int) -> tuple[float, ...]:
    found = numbers_or_none(values, count, positive=name == "spacing")
    if found is None:
        kind = "positive finite" if name == "spacing" else "finite"
        raise ValueError(f"{name} must be {count} {kind} numbers, in nanometres along z, y, x, got {values!r}")
    return found


def _check_same(about: About, place: Place, like: Any, shape: Any, dtype: Any) -> None:
    if shape is None and like is not None:
        shape = np.shape(like) if not hasattr(like, "shape") else like.shape
    if shape is not None and tuple(shape) != about.shape:
        raise ValueError(f"{place} must have the shape {tuple(shape)}, got {about.shape} ({about.axes})")
    if dtype is not None and np.dtype(dtype) != about.dtype:
        raise ValueError(f"{place} must hold {np.dtype(dtype)}, got {about.dtype}")


def _wanted(
    place: Place, like: Any, shape: Any, dtype: Any, chunks: Any, shards: Any, spacing: Any, offset: Any, axes: Any
) -> About:
    """What a new volume shall be."""
    if like is not None and not hasattr(like, "shape"):
        like = np.asarray(like)
    same = like is not None and (shape is None or len(shape) == len(like.shape))
    if shape is None and like is not None:
        shape = like.shape
    if dtype is None and like is not None:
        dtype = like.dtype
    if shape is None or dtype is None:
        raise ValueError(f"{'shape' if shape is None else 'dtype'} must be given for the new volume {place}, or like=")
    shape = _sizes(shape, "shape", None, 0)
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"dtype must be bool, integers or floats of up to 64 bits, got {dtype}")
    if same and isinstance(like, Volume):
        axes = like.axes if axes is None else axes
        if space_in(axes) == space_in(like.axes):
            spacing = like.spacing if spacing is None else spacing
            offset = like.offset if offset is None else offset
        chunked = _formats.has_chunks(place.format) and _formats.has_chunks(like.format)  # slices are no chunks to keep
        if chunks is None and shards is None and chunked:
            chunks, shards = like.chunks, like.shards
    axes = usual_axes(len(shape)) if axes is None else axes_of(axes, len(shape))
    if order_of(axes) != tuple(range(len(axes))):
        raise ValueError(f"axes must be time, channels, then z, y, x in a new volume, got {axes!r}")
    count = space_in(axes)
    return About(
        shape,
        dtype,
        None if chunks is None else _sizes(chunks, "chunks", len(shape), 1),
        None if shards is None else _sizes(shards, "shards", len(shape), 1),
        None if spacing is None else _numbers(spacing, "spacing", count),
        None if offset is None else _numbers(offset, "offset", count),
        axes,
    )


def _sizes(values: Any, name: str, count: int | None, least: int) -> tuple[int, ...]:
    try:
        found = tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{name} must be a tuple of integers, got {values!r}") from None
    if (count is not None and len(found) != count) or any(v < least for v in found):
        each = "one per axis" if count is None else f"{count}, one per axis"
        raise ValueError(f"{name} must be integers, at least {least}, {each}, got {values!r}")
    return found


def _fitting(values: Any, dtype: np.dtype, uri: str) -> np.ndarray:
    """Values in the volume's dtype, which must hold them exactly; floats are rounded to fewer digits."""
    array = np.asarray(values)
    if array.dtype == dtype or np.can_cast(array.dtype, dtype, "safe"):
        return array.astype(dtype, copy=False)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{uri} must be given numbers, got {array.dtype}")
    if dtype.kind == "f":
        return array.astype(dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        cast, held = cast_exactly(array, dtype)
    if not held.all():
        raise ValueError(f"{uri} holds {dtype}, which cannot hold {array[~held].flat[0]} of the values given")
    return cast


def normalised(key: Any, shape: tuple[int, ...]) -> tuple[Window, tuple[bool, ...]]:
    """A slice inside the shape for each axis, and which axes an integer takes away."""
    parts = key if isinstance(key, tuple) else (key,)
    dots = sum(part is Ellipsis for part in parts)
    if dots > 1 or len(parts) - dots > len(shape):
        raise IndexError(f"a volume of {len(shape)} axes takes that many integers or slices, got {key!r}")
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    middle = (slice(None),) * (len(shape) - (len(parts) - dots))
    parts = (*parts[:place], *middle, *parts[place + 1 :])
    window, squeezed = [], []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            if part.step is not None and operator.index(part.step) < 1:
                raise IndexError(f"a volume is read forwards, with steps of at least 1, got {part!r}")
            start, stop, step = part.indices(n)
            window.append(slice(start, max(start, stop), step))
        else:
            window.append(_single(part, n, key))
        squeezed.append(not isinstance(part, slice))
    return tuple(window), tuple(squeezed)


def _single(part: Any, n: int, key: Any) -> slice:
    if isinstance(part, (bool, np.bool_)):
        raise IndexError(f"a volume takes integers, slices and Ellipsis, got {key!r}")
    try:
        index = operator.index(part)
    except TypeError:
        raise IndexError(f"a volume takes integers, slices and Ellipsis, got {key!r}") from None
    if not -n <= index < n:
        raise IndexError(f"index {index} is outside of an axis of {n} voxels")
    index += n if index < 0 else 0
    return slice(index, index + 1, 1)


def _within(outer: Window, inner: Window) -> Window:
    """The inner window, counted from the outer's start; the last step ends where the last voxel does."""
    found = []
    for o, w in zip(outer, inner, strict=True):
        count = max(0, math.ceil((w.stop - w.start) / w.step))
        stop = w.start + (count - 1) * w.step + 1 if count else w.start
        found.append(slice(o.start + w.start, o.start + stop, w.step))
    return tuple(found)


__all__ = ["Volume", "normalised", "open_volume"]
