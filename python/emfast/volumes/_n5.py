"""N5: blocks with a header of their own, axes named from the last. https://github.com/saalfeldlab/n5

Sizes, resolution and offset in its attributes are x, y, z; so they are written, by Java's writers and by funlib.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ._codecs import Chain, Packer, packer
from ._ngff import letters_of
from ._places import Place
from ._source import SPACE, About, Source, nanometres, numbers_or_none, sizes_of, space_in, usual_axes
from ._stores import Local, Store, open_store
from ._zarr import (
    MARK,
    Chunked,
    Layout,
    check_alone,
    cname_of,
    codec_of,
    node_at,
    put_files,
    read_json,
    resolution_of,
    sides_for,
)

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
_NAMES = {"bzip2": "bz2", "xz": "lzma"}


class Blocks(Chunked):
    """Every block says how large it is; at the end of the volume they may be cut."""

    def _unpacked(self, chunk: Sequence[int], data: bytes) -> np.ndarray:
        dims = len(self.layout.shape)
        mode, count = (int.from_bytes(data[i : i + 2], "big") for i in (0, 2))
        start = 4 + 4 * dims + (4 if mode == 1 else 0)
        if mode not in (0, 1) or count != dims or len(data) < start:
            raise ValueError(f"its header says mode {mode} and {count} axes")
        sides = tuple(int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))[::-1]
        least = self._inside(chunk)
        if any(not a <= n <= c for a, n, c in zip(least, sides, self.layout.chunks, strict=True)):
            raise ValueError(f"its header says {sides}, for {least} in chunks of {self.layout.chunks}")
        return self.layout.chain.decode(data[start:], sides)

    def _packed(self, chunk: Sequence[int], array: np.ndarray) -> bytes:
        sides = self._inside(chunk)
        head = b"".join(n.to_bytes(4, "big") for n in sides[::-1])
        body = self.layout.chain.encode(array[tuple(slice(n) for n in sides)])
        return (0).to_bytes(2, "big") + len(sides).to_bytes(2, "big") + head + body

    def _inside(self, chunk: Sequence[int]) -> tuple[int, ...]:
        layout = self.layout
        return tuple(min(c, n - i * c) for i, c, n in zip(chunk, layout.chunks, layout.shape, strict=True))

    def _filled(self, part: Any, values: np.ndarray, old: np.ndarray | None = None) -> np.ndarray:
        if old is not None and old.shape != self.layout.chunks:
            whole = np.full(self.layout.chunks, self.layout.fill, self.layout.dtype)
            whole[tuple(slice(n) for n in old.shape)] = old
            old = whole
        return super()._filled(part, values, old)


def open_source(place: Place, mode: str, level: int | None) -> Source:
    store = open_store(place.path)
    if isinstance(store, Local) and not os.path.isdir(place.path):
        raise FileNotFoundError(f"{place.path} must be a folder of N5, got nothing or a file")
    key, attributes = _chosen(store, place, level)
    return _opened(store, key, attributes)


def _attributes(store: Store, key: str) -> dict[str, Any]:
    return read_json(store, f"{key}/attributes.json" if key else "attributes.json") or {}


def _chosen(store: Store, place: Place, level: int | None) -> tuple[str, dict[str, Any]]:
    """The array that a place means: itself, a level below it, or the only one of a group."""
    key, found = place.name, _attributes(store, place.name)
    if "dimensions" in found:
        if level:
            raise ValueError(f"level must be 0 where there is no pyramid, got {level} for {place}")
        return key, found
    below = f"{key}/s{level or 0}".lstrip("/")
    if "dimensions" in (scaled := _attributes(store, below)):
        return below, scaled
    if level:
        raise ValueError(f"level {level} of {place} is not there")
    names = _arrays_below(store, key)
    if len(names) != 1:
        held = ", ".join(names) or "no arrays that can be listed"
        raise ValueError(f"{place.path}:name must name an array, got {place.name!r}; it holds {held}")
    return names[0], _attributes(store, names[0])


def _arrays_below(store: Store, key: str, depth: int = 6) -> list[str]:
    found = []
    for name in store.below(key):
        below = f"{key}/{name}".lstrip("/")
        if "dimensions" in _attributes(store, below):
            found.append(below)
        elif depth:
            found += _arrays_below(store, below, depth - 1)
    return found


def _opened(store: Store, key: str, attributes: dict[str, Any]) -> Source:
    shape = sizes_of(attributes["dimensions"], "dimensions")[::-1]
    chunks = sizes_of(attributes.get("blockSize"), "blockSize")[::-1]
    if len(chunks) != len(shape) or 0 in chunks:
        raise ValueError(f"its blockSize must be positive, one for each of {len(shape)} axes, got {chunks[::-1]}")
    if (name := attributes.get("dataType")) not in _TYPES:
        raise ValueError(f"its dataType must be one of {', '.join(_TYPES)}, got {str(name)[:80]}")
    dtype = np.dtype(str(name))
    chain = Chain(dtype.newbyteorder(">"), _packers(attributes.get("compression", attributes.get("compressionType"))))
    layout = Layout(shape, dtype, chunks, chain, dtype.type(0), "", "/", turned=True)
    axes, spacing, offset = _geometry(store, key, attributes, len(shape))
    about = About(shape, dtype, chunks, None, spacing, offset, axes, attributes)
    return Blocks(store, key, layout, about, MARK in attributes)


def _packers(said: Any) -> tuple[Packer, ...]:
    settings: Any = {"type": said} if isinstance(said, str) else said
    if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
        raise ValueError(f"its compression must have a type, got {str(said)[:80]}")
    name: str = settings["type"]
    if name == "raw":
        return ()
    if name == "gzip" and settings.get("useZlib"):
        name = "zlib"
    if name == "bzip2":
        settings = {"level": settings.get("blockSize", 9)}
    if name not in ("gzip", "zlib", "bzip2", "xz", "blosc", "zstd"):
        raise ValueError(f"its compression must be raw, gzip, bzip2, xz, blosc or zstd, got {name[:80]}")
    return (packer(_NAMES.get(name, name), {k: v for k, v in settings.items() if k != "type"}),)


def _geometry(store: Store, key: str, attributes: dict[str, Any], dims: int) -> tuple[str, Any, Any]:
    """Axes, spacing and offset in our order; of a level by its factors, where only its group says them."""
    if isinstance(transform := attributes.get("transform"), dict):  # of the COSEM project
        found = _of_transform(transform, dims)
        if found is not None:
            return found
    axes = letters_of(list(reversed(a)), dims) if isinstance(a := attributes.get("axes"), list) else ""
    axes = axes or usual_axes(dims)
    count = space_in(axes)
    spacing, offset = _said(attributes, count)
    factors = numbers_or_none(attributes.get("downsamplingFactors"), count)
    if spacing is None and key:
        spacing, offset = _said(_attributes(store, key.rpartition("/")[0]), count)
        if spacing is not None and factors is not None:
            spacing = tuple(a * b for a, b in zip(spacing, factors[::-1], strict=True))
    return axes, spacing, offset


def _said(attributes: dict[str, Any], count: int) -> tuple[Any, Any]:
    pixel = attributes.get("pixelResolution")
    spacing, offset = resolution_of(attributes, count)
    if isinstance(pixel, dict) and (unit := nanometres(pixel.get("unit"))) is not None:
        spacing = numbers_or_none(pixel.get("dimensions"), count, unit) or spacing
    return None if spacing is None else spacing[::-1], None if offset is None else offset[::-1]


def _of_transform(said: dict[str, Any], dims: int) -> tuple[str, Any, Any] | None:
    turn = 1 if said.get("ordering", "C") == "C" else -1
    lists = [said.get(name) for name in ("axes", "scale", "translate", "units")]
    if not all(isinstance(values, list) and len(values) == dims for values in lists):
        return None
    names, scale, shift, units = (values[::turn] for values in lists if isinstance(values, list))
    axes = letters_of(names, dims)
    space = [i for i, a in enumerate(axes) if a in SPACE]
    sizes = [nanometres(units[i]) for i in space]
    if not axes or None in sizes:
        return None
    try:
        spacing = [float(scale[i]) * (u or 1) for i, u in zip(space, sizes, strict=True)]
        offset = [float(shift[i]) * (u or 1) for i, u in zip(space, sizes, strict=True)]
    except (TypeError, ValueError):
        return None
    return axes, numbers_or_none(spacing, len(space)), numbers_or_none(offset, len(space), positive=False)


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    if about.dtype.name not in _TYPES:
        raise TypeError(f"dtype must be one of {', '.join(_TYPES)} for {place}, got {about.dtype}")
    if about.shards is not None:
        raise ValueError(f"shards must be None for {place}, N5 has none, got {about.shards}")
    if fill:
        raise ValueError(f"fill must be 0 for {place}, N5 has no other, got {fill}")
    store = open_store(place.path)
    if node_at(store, "") is not None:
        raise FileExistsError(f"{place.path} is of Zarr: choose another folder")
    old = _attributes(store, place.name)
    if "dimensions" in old and mode == "x":
        raise FileExistsError(f"{place} is there: mode 'w' replaces it")
    if "dimensions" not in old and place.name and store.below(place.name):
        raise FileExistsError(f"{place} must be free or an array, but is a group")
    if "dimensions" in old:
        check_alone(str(place), [name for name in store.below(place.name) if not name.isdigit()])
    name, level = codec_of(codec)
    compression: dict[str, Any] = {"type": name}
    if name in ("blosc", "lz4"):
        packer = {"cname": cname_of(name), "clevel": level or 5, "shuffle": int(name == "blosc"), "blocksize": 0}
        compression = {"type": "blosc", **packer}
    elif name == "gzip":
        compression |= {"level": level or 4, "useZlib": False}
    elif name == "zstd":
        compression |= {"level": level or 3}
    chunks = sides_for(replace(about, shards=None))[0]
    attributes: dict[str, Any] = {
        "dimensions": list(about.shape[::-1]),
        "blockSize": list(chunks[::-1]),
        "dataType": about.dtype.name,
        "compression": compression,
        "axes": list(about.axes[::-1]),
        MARK: {"format": 1},
    }
    if about.spacing is not None:
        attributes["resolution"] = list(about.spacing[::-1])
        attributes["units"] = ["nm"] * len(about.spacing)
        attributes["pixelResolution"] = {"dimensions": list(about.spacing[::-1]), "unit": "nm"}
    if about.offset is not None:
        attributes["offset"] = list(about.offset[::-1])
    if place.name and not _attributes(store, ""):
        store.put("attributes.json", json.dumps({"n5": "2.0.0"}).encode())
    if not place.name:
        attributes = {"n5": "2.0.0", **attributes}
    put_files(store, place.name, {"attributes.json": attributes}, replaces="dimensions" in old)
    return _opened(store, place.name, attributes)


__all__ = ["create", "open_source"]
