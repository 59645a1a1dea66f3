"""Zarr v2 and v3, sharded or not: read and written chunk by chunk with the codecs that numcodecs has.

Arrays that need more (other codecs, nested shards) go through the zarr library. Our own stores are Zarr v3, packed with
zstd, then a crc32c, in shards that are written whole; they carry a mark, and of those with it a missing chunk is an
error, for every chunk is written, empty ones too.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import CorruptData
from . import _ngff
from ._codecs import Chain, Packer, Unknown, chain_of_v3, packer
from ._grids import Part, covers, grouped, joined, parts_of, row_of
from ._places import Place
from ._pool import each
from ._source import (
    About,
    Source,
    Window,
    lengths,
    library,
    nanometres,
    numbers_or_none,
    product,
    sizes_of,
    space_in,
    usual_axes,
)
from ._stores import Handle, Local, Store, open_store, read_all

MARK = "emfast"
_MISSING = 2**64 - 1
_INDEX = np.dtype("<u8")
_SIDE = 64  # of a chunk, along the axes of space
_SHARD_BYTES = 1 << 27


@dataclass(frozen=True)
class Layout:
    """Where the chunks of an array are and how they are packed. ``per`` is how many a shard has along each axis."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    chain: Chain
    fill: Any
    prefix: str
    separator: str
    per: tuple[int, ...] | None = None
    index: Chain | None = None
    index_first: bool = False
    turned: bool = False  # keys name the last axis first

    @property
    def shards(self) -> tuple[int, ...] | None:
        return None if self.per is None else tuple(a * b for a, b in zip(self.chunks, self.per, strict=True))

    def key(self, place: Sequence[int]) -> str:
        words = [self.prefix] if self.prefix else []
        words += [str(i) for i in (reversed(place) if self.turned else place)]
        return self.separator.join(words) or "0"

    def index_bytes(self) -> int:
        assert self.per is not None and self.index is not None
        return 16 * product(self.per) + 4 * len(self.index.packers)


class Chunked(Source):
    """An array of a layout, in a store below a key."""

    def __init__(self, store: Store, key: str, layout: Layout, about: About, complete: bool) -> None:
        self.store, self.prefix, self.layout, self.about = store, f"{key}/" if key else "", layout, about
        self.complete = complete  # whether a missing chunk is an error
        self.lock = threading.Lock()
        self.name, self.label = key, f"{store.root}:{key}" if key else store.root

    def read(self, window: Window) -> np.ndarray:
        out = np.empty(lengths(window), self.layout.dtype)

        def fetch(piece: tuple[Part, Handle | None, int, int]) -> None:
            part, handle, start, length = piece
            if handle is None:
                out[part.target] = self.layout.fill
            else:
                out[part.target] = self._decoded(part.place, handle, start, length)[part.within]

        each(fetch, self._pieces(window))
        return out

    def _pieces(self, window: Window) -> Iterator[tuple[Part, Handle | None, int, int]]:
        """What to read: the part, the file or None, and which bytes of it."""
        layout = self.layout
        if layout.per is None:
            for part in parts_of(window, layout.chunks, layout.shape):
                handle = self.store.open(self.prefix + layout.key(part.place))
                if handle is None:
                    self._demand_incomplete(part.place, layout.key(part.place))
                yield part, handle, 0, 0 if handle is None else handle.size
            return
        for place, rows in grouped(window, layout.chunks, layout.per, layout.shape):
            key = layout.key(place)
            handle = self.store.open(self.prefix + key)
            index = None if handle is None else self._index(handle)
            for part in joined(rows):
                start, length = self._entry(index, part.place)
                if start == _MISSING:
                    self._demand_incomplete(part.place, key)
                yield part, None if start == _MISSING else handle, start, length

    def _demand_incomplete(self, index: Sequence[int], key: str) -> None:
        if self.complete:
            file = f"{self.store.root}/{self.prefix}{key}"
            raise CorruptData(f"{self.label} has no chunk {tuple(index)} in {file}: it was not written, or is lost")

    def _index(self, handle: Handle) -> np.ndarray:
        """Start and length of every chunk of a shard."""
        layout = self.layout
        assert layout.per is not None and layout.index is not None
        size = layout.index_bytes()
        if size > handle.size:
            raise CorruptData(f"{self.label}: {handle.name} is cut short, its index has {size} bytes, it {handle.size}")
        data = handle.read(0 if layout.index_first else handle.size - size, size)
        try:
            return layout.index.decode(data, (*layout.per, 2))
        except ValueError as error:
            raise CorruptData(f"{self.label}: the index of {handle.name} is damaged ({error})") from error

    def _entry(self, index: np.ndarray | None, chunk: Sequence[int]) -> tuple[int, int]:
        if index is None:
            return _MISSING, 0
        assert self.layout.per is not None
        found = index[tuple(i % n for i, n in zip(chunk, self.layout.per, strict=True))]
        return int(found[0]), int(found[1])

    def _decoded(self, chunk: Sequence[int], handle: Handle, start: int, length: int) -> np.ndarray:
        try:
            return self._unpacked(chunk, handle.read(start, length))
        except (CorruptData, ValueError, RuntimeError, EOFError, OSError) as error:
            raise CorruptData(f"{self.label}: chunk {tuple(chunk)} in {handle.name} is damaged ({error})") from error
        except Exception as error:  # zlib and lzma have errors of their own, of no common kind
            if type(error).__module__ in ("zlib", "_lzma", "lzma"):
                raise CorruptData(
                    f"{self.label}: chunk {tuple(chunk)} in {handle.name} is damaged ({error})"
                ) from error
            raise

    def _unpacked(self, chunk: Sequence[int], data: bytes) -> np.ndarray:
        return self.layout.chain.decode(data, self.layout.chunks)

    def _packed(self, chunk: Sequence[int], array: np.ndarray) -> bytes:
        return self.layout.chain.encode(array)

    def write(self, window: Window, values: np.ndarray) -> None:
        layout = self.layout
        if layout.per is None:
            each(lambda part: self._write_chunk(part, values), parts_of(window, layout.chunks, layout.shape))
            return
        shards = layout.shards
        assert shards is not None
        for part in parts_of(window, shards, layout.shape):
            if covers(part, shards, layout.shape):
                self._write_shard(part, values[part.target], None)
            else:
                with self.lock:
                    self._write_shard(part, values[part.target], self.store.open(self.prefix + layout.key(part.place)))

    def _write_chunk(self, part: Part, values: np.ndarray) -> None:
        layout = self.layout
        key = self.prefix + layout.key(part.place)
        if covers(part, layout.chunks, layout.shape):
            self.store.put(key, self._packed(part.place, self._filled(part, values)))
            return
        with self.lock:
            handle = self.store.open(key)
            old = None if handle is None else self._decoded(part.place, handle, 0, handle.size)
            self.store.put(key, self._packed(part.place, self._filled(part, values, old)))

    def _filled(self, part: Part, values: np.ndarray, old: np.ndarray | None = None) -> np.ndarray:
        """A whole chunk: the values where they belong, around them what was there."""
        new = values[part.target]
        if new.shape == self.layout.chunks:
            return new
        whole = np.full(self.layout.chunks, self.layout.fill, self.layout.dtype) if old is None else old.copy()
        whole[part.within] = new
        return whole

    def _write_shard(self, shard: Part, values: np.ndarray, old: Handle | None) -> None:
        """One file: the chunks that are new, those of the old file that stay, then the index."""
        layout = self.layout
        assert layout.per is not None and layout.index is not None and layout.shards is not None
        index = None if old is None else self._index(old)
        packed: dict[tuple[int, ...], bytes] = {}
        inside = tuple(
            min(side, n - i * side) for i, side, n in zip(shard.place, layout.shards, layout.shape, strict=True)
        )

        def encode(part: Part) -> None:
            before = None
            if index is not None and old is not None and not covers(part, layout.chunks, inside):
                start, length = self._entry(index, part.place)
                before = None if start == _MISSING else self._decoded(part.place, old, start, length)
            packed[part.place] = self._packed(part.place, self._filled(part, values, before))

        each(encode, joined([row_of(w, c, n) for w, c, n in zip(shard.within, layout.chunks, inside, strict=True)]))
        table = np.full((*layout.per, 2), _MISSING, _INDEX)
        pieces: list[bytes] = []
        at = layout.index_bytes() if layout.index_first else 0
        for place in np.ndindex(*layout.per):
            piece = packed.get(place)
            if piece is None and index is not None and old is not None:
                start, length = self._entry(index, place)
                piece = None if start == _MISSING else old.read(start, length)
            if piece is not None:
                table[place] = at, len(piece)
                at += len(piece)
                pieces.append(piece)
        ends = layout.index.encode(table)
        pieces = [ends, *pieces] if layout.index_first else [*pieces, ends]
        self.store.put(self.prefix + layout.key(shard.place), pieces)


class Library(Source):
    """What only the zarr library can read."""

    def __init__(self, path: str, about: About, mode: str) -> None:
        zarr = library("zarr", path)
        self.array, self.about = zarr.open_array(path, mode=mode), about
        if tuple(self.array.shape) != about.shape:
            raise ValueError(f"{path} has the shape {about.shape} in its header, zarr finds {self.array.shape}")

    def read(self, window: Window) -> np.ndarray:
        return np.asarray(self.array[window])

    def write(self, window: Window, values: np.ndarray) -> None:
        self.array[window] = values


def open_source(place: Place, mode: str, level: int | None) -> Source:
    store = open_store(place.path)
    if isinstance(store, Local) and not os.path.isdir(place.path):
        found = "a file" if os.path.exists(place.path) else "nothing"
        raise FileNotFoundError(f"{place.path} must be a folder of Zarr, got {found}")
    key, node = _chosen(store, place, level)
    return open_array(store, key, node, mode)


def open_array(store: Store, key: str, node: Node, mode: str = "r") -> Source:
    """The array of a node."""
    about = _about(store, key, node)
    try:
        layout = _layout_v3(node.meta, about) if node.version == 3 else _layout_v2(node.meta, about)
    except Unknown as error:
        if not isinstance(store, Local):
            raise ValueError(f"{store.root} needs the codec {error}, which is only read from local files") from None
        return Library(os.path.join(store.root, key), about, mode)
    about = replace(about, chunks=layout.chunks, shards=layout.shards)
    return Chunked(store, key, layout, about, MARK in node.attributes)


@dataclass(frozen=True)
class Node:
    """A group or an array: what its header says."""

    version: int
    is_array: bool
    meta: dict[str, Any]
    attributes: dict[str, Any]


def node_at(store: Store, key: str) -> Node | None:
    """What is below a key, or None."""
    prefix = f"{key}/" if key else ""
    if (meta := read_json(store, f"{prefix}zarr.json")) is not None:
        kind = meta.get("node_type")
        if meta.get("zarr_format") != 3 or kind not in ("array", "group"):
            raise ValueError(f"{store.root}/{prefix}zarr.json must be of Zarr 3, an array or a group, got {kind!r}")
        return Node(3, kind == "array", meta, _dict(meta.get("attributes"), "attributes"))
    for name in (".zarray", ".zgroup"):
        if (meta := read_json(store, prefix + name)) is not None:
            return Node(2, name == ".zarray", meta, read_json(store, f"{prefix}.zattrs") or {})
    return None


def read_json(store: Store, key: str) -> dict[str, Any] | None:
    """A header, or None where there is none."""
    data = read_all(store, key)
    if data is None:
        return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{store.root}/{key} must hold JSON ({error})") from error
    return _dict(found, key)


def _dict(found: Any, what: str) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"its {what} must be a JSON object, got {str(found)[:80]}")
    return found


def _chosen(store: Store, place: Place, level: int | None) -> tuple[str, Node]:
    """The array that a place means: itself, a level of a pyramid, or the only one of a group."""
    key, node = place.name, node_at(store, place.name)
    if node is None:
        held = ", ".join(arrays_below(store, "")) or "no arrays"
        if place.name:
            raise ValueError(f"{place.path}:name must name an array, got {place.name!r}; it holds {held}")
        raise ValueError(f"{place.path} must be a folder of Zarr: it has no zarr.json, .zarray or .zgroup")
    if not node.is_array and (pyramid := _ngff.pyramid_of(node.attributes)) is not None:
        key = _joined(key, _ngff.path_of(pyramid, level or 0, str(place)))
        node = node_at(store, key)
        if node is None or not node.is_array:
            raise ValueError(f"{place} names the array {key!r} as level {level or 0}, which is not there")
        return key, node
    if level:
        raise ValueError(f"level must be 0 where there is no pyramid, got {level} for {place}")
    if node.is_array:
        return key, node
    names = arrays_below(store, key)
    if len(names) != 1:
        held = ", ".join(names) or "no arrays that can be listed"
        raise ValueError(f"{place.path}:name must name an array of it, got {place.name!r}; it holds {held}")
    found = node_at(store, names[0])
    assert found is not None
    return names[0], found


def arrays_below(store: Store, key: str, depth: int = 6) -> list[str]:
    """The arrays of a group and of the groups in it."""
    found = []
    for name in store.below(key):
        below = _joined(key, name)
        node = node_at(store, below)
        if node is not None and node.is_array:
            found.append(below)
        elif depth > 0 and (node is not None or isinstance(store, Local)):
            found += arrays_below(store, below, depth - 1)
    return found


def _joined(*keys: str) -> str:
    return "/".join(key for key in keys if key)


def _about(store: Store, key: str, node: Node) -> About:
    shape = sizes_of(node.meta.get("shape"), "shape")
    dtype = _dtype(node.meta.get("data_type" if node.version == 3 else "dtype"), node.version)
    axes, spacing, offset = _geometry(store, key, node, len(shape))
    return About(shape, dtype, None, None, spacing, offset, axes, node.attributes)


def _geometry(store: Store, key: str, node: Node, dims: int) -> tuple[str, Any, Any]:
    """Axes, spacing and offset: of the pyramid that the array belongs to, else as CREMI and funlib write them."""
    parent, _, name = key.rpartition("/")
    if key and (above := node_at(store, parent)) is not None and not above.is_array:
        pyramid = _ngff.pyramid_of(above.attributes)
        if pyramid is not None and (found := _ngff.geometry_of(pyramid, name, dims)) is not None:
            return found
    names = node.meta.get("dimension_names") or node.attributes.get("axis_names")
    axes = _ngff.letters_of(names or node.attributes.get("_ARRAY_DIMENSIONS"), dims) or usual_axes(dims)
    return axes, *resolution_of(node.attributes, space_in(axes))


def resolution_of(attributes: dict[str, Any], count: int) -> tuple[Any, Any]:
    """Spacing and offset in attributes: ``resolution`` or ``voxel_size``, ``offset``, in nanometres or ``units``."""
    units = attributes.get("units")
    units = units if isinstance(units, list) else [units or "nm"]
    scales = [nanometres(unit) for unit in units if unit]
    if None in scales or not (len(set(scales)) == 1 or len(scales) == count):
        return None, None
    each = [float(s or 1.0) for s in (scales if len(scales) == count else scales[:1] * count)]
    said = next((attributes[n] for n in ("resolution", "voxel_size") if n in attributes), None)
    found = numbers_or_none(said if isinstance(said, list) else None, count)
    spacing = None if found is None else numbers_or_none([v * s for v, s in zip(found, each, strict=True)], count)
    said = attributes.get("offset")
    found = numbers_or_none(said if isinstance(said, list) else None, count, positive=False)
    return spacing, None if found is None else tuple(v * s for v, s in zip(found, each, strict=True))


def _dtype(said: Any, version: int) -> np.dtype:
    good = r"bool|u?int(8|16|32|64)|float(16|32|64)" if version == 3 else r"[<>|](b1|[iu][1248]|f[248])"
    if not isinstance(said, str) or not re.fullmatch(good, said):
        raise ValueError(f"its dtype must be bool, integers or floats, got {str(said)[:80]}")
    return np.dtype(said).newbyteorder("=")


def _fill(value: Any, dtype: np.dtype) -> Any:
    """The number that a header means."""
    if value is None:
        return dtype.type(0)
    try:
        if isinstance(value, str):
            if value.startswith("0x"):
                bits = np.dtype(f"u{dtype.itemsize}").type(int(value, 16))
                return bits.view(dtype)
            value = float(value)
        if dtype.kind == "f" or isinstance(value, (bool, int)):
            return dtype.type(value)
        if value == int(value):
            return dtype.type(int(value))
    except (ValueError, TypeError, OverflowError):
        pass
    raise ValueError(f"its fill value must be a {dtype}, got {str(value)[:80]}")


def _layout_v3(meta: dict[str, Any], about: About) -> Layout:
    dims = len(about.shape)
    grid, keys = (
        _dict(meta.get("chunk_grid"), "chunk_grid"),
        _dict(meta.get("chunk_key_encoding"), "chunk_key_encoding"),
    )
    if grid.get("name") != "regular" or meta.get("storage_transformers"):
        raise Unknown(f"grid {grid.get('name')}")
    outer = _chunks(_dict(grid.get("configuration"), "chunk_grid").get("chunk_shape"), dims)
    if keys.get("name", "default") not in ("default", "v2"):
        raise ValueError(f"its chunk_key_encoding must be default or v2, got {str(keys)[:80]}")
    dotted = keys.get("name") == "v2"
    separator = _dict(keys.get("configuration"), "chunk_key_encoding").get("separator", "." if dotted else "/")
    if separator not in (".", "/"):
        raise ValueError(f"its separator must be . or /, got {str(separator)[:80]}")
    codecs: Any = meta.get("codecs")
    fill = _fill(meta.get("fill_value"), about.dtype)
    base = Layout(about.shape, about.dtype, outer, Chain(about.dtype), fill, "" if dotted else "c", separator)
    first = codecs[0] if isinstance(codecs, list) and codecs and isinstance(codecs[0], dict) else {}
    if first.get("name") != "sharding_indexed":
        return replace(base, chain=chain_of_v3(codecs, about.dtype, dims))
    if len(codecs) > 1:
        raise Unknown("sharding with other codecs around it")
    inner = _dict(first.get("configuration"), "configuration")
    chunks = _chunks(inner.get("chunk_shape"), dims)
    if any(a % b for a, b in zip(outer, chunks, strict=True)):
        raise ValueError(f"its shards {outer} must be whole chunks {chunks}")
    location = inner.get("index_location", "end")
    if location not in ("start", "end"):
        raise ValueError(f"its index_location must be start or end, got {str(location)[:80]}")
    index = chain_of_v3(inner.get("index_codecs"), _INDEX, dims + 1)
    if any(p.name != "crc32c" for p in index.packers):
        raise Unknown("a packed index")
    chain = chain_of_v3(inner.get("codecs"), about.dtype, dims)
    per = tuple(a // b for a, b in zip(outer, chunks, strict=True))
    return replace(base, chunks=chunks, chain=chain, per=per, index=index, index_first=location == "start")


def _layout_v2(meta: dict[str, Any], about: About) -> Layout:
    dims = len(about.shape)
    separator = meta.get("dimension_separator", ".")
    if separator not in (".", "/") or meta.get("order", "C") not in ("C", "F"):
        raise ValueError("its order must be C or F, its dimension_separator . or /")
    if meta.get("filters"):
        raise Unknown("filters")
    packers: tuple[Packer, ...] = ()
    if (compressor := meta.get("compressor")) is not None:
        compressor = _dict(compressor, "compressor")
        packers = (packer(str(compressor.get("id")), compressor),)
    order = tuple(range(dims))[::-1] if meta.get("order") == "F" and dims > 1 else None
    chain = Chain(np.dtype(meta["dtype"]), packers, order)
    fill = _fill(meta.get("fill_value"), about.dtype)
    return Layout(about.shape, about.dtype, _chunks(meta.get("chunks"), dims), chain, fill, "", separator)


def _chunks(values: Any, dims: int) -> tuple[int, ...]:
    sides = sizes_of(values, "chunks")
    if len(sides) != dims or 0 in sides:
        raise ValueError(f"its chunks must be positive, one for each of {dims} axes, got {sides}")
    return sides


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    """A new array of Zarr 3; its groups are made where they are not there."""
    store = open_store(place.path)
    chunks, shards = sides_for(about)
    attributes = {**said_of(about), MARK: {"format": 1}}
    meta = meta_v3(replace(about, chunks=chunks, shards=shards), attributes, codec, fill)
    make_groups(store, place.name)
    put_node(store, place.name, {"zarr.json": meta}, replaces=mode == "w")
    node = Node(3, True, meta, attributes)
    return open_array(store, place.name, node, "r+")


def said_of(about: About) -> dict[str, Any]:
    """Spacing and offset as others read them too."""
    said: dict[str, Any] = {}
    if about.spacing is not None:
        said = {"resolution": list(about.spacing), "units": ["nm"] * len(about.spacing)}
    if about.offset is not None:
        said["offset"] = list(about.offset)
    return said


def sides_for(about: About) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunks and shards: as wanted, else cubes of 64 in shards of about 128 MB, no larger than the volume needs."""
    dims = len(about.shape)
    chunks = about.chunks
    if chunks is None:
        usual = tuple(_SIDE if a in "zyx" else 1 for a in about.axes)
        if about.shards is not None:
            chunks = tuple(math.gcd(s, u) for s, u in zip(about.shards, usual, strict=True))
        else:
            chunks = tuple(max(1, min(u, n)) for u, n in zip(usual, about.shape, strict=True))
    shards = about.shards
    if shards is None:
        counts = [max(1, math.ceil(n / c)) for n, c in zip(about.shape, chunks, strict=True)]
        per = [n if a not in "zyx" else 1 for n, a in zip(counts, about.axes, strict=True)]
        while True:
            grown = [min(2 * p, n) for p, n in zip(per, counts, strict=True)]
            if grown == per or product(grown) * product(chunks) * about.dtype.itemsize > _SHARD_BYTES:
                break
            per = grown
        shards = tuple(p * c for p, c in zip(per, chunks, strict=True))
    if any(s % c for s, c in zip(shards, chunks, strict=True)):
        raise ValueError(f"shards must be whole chunks along each of {dims} axes, got {shards} of chunks {chunks}")
    return chunks, shards


def meta_v3(about: About, attributes: dict[str, Any], codec: str | None, fill: Any) -> dict[str, Any]:
    """The header of an array whose chunks (and shards) are given."""
    assert about.chunks is not None
    little = (
        [{"name": "bytes", "configuration": {"endian": "little"}}] if about.dtype.itemsize > 1 else [{"name": "bytes"}]
    )
    crc = {"name": "crc32c"}
    codecs: list[dict[str, Any]] = [*little, *_packed(codec, about.dtype), crc]
    if about.shards is not None:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, crc]
        inner = {"chunk_shape": list(about.chunks), "codecs": codecs, "index_codecs": index, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(about.shape),
        "data_type": about.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(about.shards or about.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill_said(fill, about.dtype),
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": list(about.axes),
        "storage_transformers": [],
    }


def _fill_said(fill: Any, dtype: np.dtype) -> Any:
    value = _fill(fill.item() if isinstance(fill, np.generic) else fill, dtype)
    if dtype.kind != "f" or np.isfinite(value):
        return value.item()
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _packed(codec: str | None, dtype: np.dtype) -> list[dict[str, Any]]:
    name, level = codec_of(codec)
    if name == "raw":
        return []
    if name in ("blosc", "lz4"):  # lz4 by itself is none of Zarr's codecs
        shuffle = "shuffle" if name == "blosc" else "noshuffle"
        settings = {
            "cname": cname_of(name),
            "clevel": 5 if level is None else level,
            "shuffle": shuffle,
            "blocksize": 0,
        }
        return [{"name": "blosc", "configuration": {**settings, "typesize": dtype.itemsize}}]
    if name == "gzip":
        return [{"name": "gzip", "configuration": {"level": 4 if level is None else level}}]
    return [{"name": "zstd", "configuration": {"level": 3 if level is None else level, "checksum": False}}]


def codec_of(codec: str | None) -> tuple[str, int | None]:
    """The name and the level, if one is said."""
    name, _, level = ("raw" if codec is None else str(codec)).partition(":")
    if name not in ("zstd", "gzip", "blosc", "lz4", "raw") or (level and not re.fullmatch(r"\d{1,2}", level)):
        wanted = "'zstd', 'gzip', 'blosc', 'lz4' or 'raw', with a level as in 'zstd:9'"
        raise ValueError(f"codec must be {wanted}, got {codec!r}")
    return name, int(level) if level else None


def cname_of(name: str) -> str:
    """What Blosc packs with."""
    return "lz4" if name == "lz4" else "zstd"


def meta_v2(about: About, codec: str | None) -> dict[str, Any]:
    """The header of an array of Zarr 2, for readers that know no other; zstd brings a checksum of its own."""
    assert about.chunks is not None
    name, level = codec_of(codec)
    packed: dict[str, Any] | None = {"id": "zstd", "level": 3 if level is None else level, "checksum": True}
    if name == "gzip":
        packed = {"id": "gzip", "level": 4 if level is None else level}
    elif name in ("blosc", "lz4"):
        settings = {"cname": cname_of(name), "clevel": 5 if level is None else level, "shuffle": int(name == "blosc")}
        packed = {"id": "blosc", **settings, "blocksize": 0}
    return {
        "zarr_format": 2,
        "shape": list(about.shape),
        "chunks": list(about.chunks),
        "dtype": about.dtype.newbyteorder("<").str,
        "compressor": None if name == "raw" else packed,
        "fill_value": False if about.dtype.kind == "b" else 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def missing_groups(store: Store, key: str, version: int = 3) -> list[str]:
    """The groups above an array that are not there; an error where one cannot be."""
    words = key.split("/") if key else []
    missing = []
    for above in ("/".join(words[:k]) for k in range(len(words))):
        node = node_at(store, above)
        if node is None:
            missing.append(above)
        elif node.is_array:
            raise ValueError(f"{store.root}:{key} must be free or an array, but {above or store.root} is an array")
        elif node.version != version:
            told = f"{store.root} is of Zarr {node.version}, new arrays are of Zarr {version}"
            raise ValueError(f"{told}: choose another folder")
    return missing


def make_groups(store: Store, key: str, version: int = 3) -> None:
    """The groups above an array, where they are not there."""
    for above in missing_groups(store, key, version):
        if version == 2:
            store.put(_joined(above, ".zgroup"), json.dumps({"zarr_format": 2}).encode())
        else:
            meta = {"zarr_format": 3, "node_type": "group", "attributes": {}}
            store.put(_joined(above, "zarr.json"), json.dumps(meta, indent=2).encode())


def put_files(store: Store, key: str, files: dict[str, dict[str, Any]], replaces: bool) -> None:
    """A folder with these headers alone, in the place of the folder that is there, if it may be replaced."""
    if isinstance(store, Local):
        with replaced(store, key, replaces) as new:
            for name, meta in files.items():
                Local(new).put(name, json.dumps(meta, indent=2).encode())
        return
    if replaces:
        where = f"{store.root}:{key}" if key else store.root
        raise FileExistsError(f"{where} is there: remove it, what is at an address is not replaced")
    for name, meta in files.items():
        store.put(_joined(key, name), json.dumps(meta, indent=2).encode())


@contextmanager
def replaced(store: Local, key: str, replaces: bool) -> Iterator[str]:
    """An empty folder to write into, which takes the place of that below the key in the end."""
    target = os.path.join(store.root, key) if key else store.root
    if not replaces and os.path.exists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise FileExistsError(f"{target} is there and is no array: choose another name or remove it")
    parent = os.path.dirname(target)
    if not os.path.isdir(os.path.dirname(store.root) or "."):
        raise FileNotFoundError(f"{store.root} must lie in an existing folder")
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".emfast-") as beside:
        new = os.path.join(beside, "new")
        os.mkdir(new)
        yield new
        if os.path.isdir(target):
            os.rename(target, os.path.join(beside, "old"))
        os.rename(new, target)


def check_free(store: Store, key: str, replaces: bool = True) -> bool:
    """Whether there is an array (or a pyramid, or what we left unfinished) that a new one may replace; an error where
    there is something else."""
    where = f"{store.root}:{key}" if key else store.root
    node = node_at(store, key)
    if node is not None and not replaces:
        raise FileExistsError(f"{where} is there: mode 'w' replaces it")
    ours = node is not None and (MARK in node.attributes or _ngff.pyramid_of(node.attributes) is not None)
    if node is not None and not node.is_array and not ours:
        raise FileExistsError(f"{where} must be free or an array, but is a group")
    if node is not None and isinstance(store, Local):
        check_alone(where, _others(store, key, node))
    return node is not None


def check_alone(where: str, others: list[str]) -> None:
    """Refuse to replace a folder that holds more than the volume."""
    if others:
        raise FileExistsError(f"{where} also holds {others[0]}: remove that first, or choose another name")


def _others(store: Local, key: str, node: Node) -> list[str]:
    """What lies in an array or a pyramid and belongs to neither."""
    if node.is_array:
        names = [name for name in store.below(key) if name != "c" and not name.isdigit()]
        return [name for name in names if node_at(store, _joined(key, name)) is not None]
    pyramid = _ngff.pyramid_of(node.attributes)
    if pyramid is None:  # one of ours that was not finished: its levels have numbers
        return [name for name in _listed(store, key) if not name.isdigit()]
    levels = [level["path"].strip("/") for level in _ngff.levels_of(pyramid)]
    return _beside_levels(store, key, "", levels)


def _beside_levels(store: Local, key: str, inside: str, levels: list[str]) -> list[str]:
    found = []
    for name in _listed(store, _joined(key, inside)):
        path = _joined(inside, name)
        if any(level.startswith(f"{path}/") for level in levels):
            found += _beside_levels(store, key, path, levels)
        elif path not in levels:
            found.append(path)
    return found


def _listed(store: Local, key: str) -> list[str]:
    """All but headers and what is hidden."""
    names = os.listdir(os.path.join(store.root, key) if key else store.root)
    return sorted(name for name in names if name != "zarr.json" and not name.startswith("."))


def put_node(store: Store, key: str, files: dict[str, dict[str, Any]], replaces: bool) -> None:
    """Headers of a new array or group, all at once, in the place of what may go."""
    put_files(store, key, files, check_free(store, key, replaces))


def save(place: Place, array: np.ndarray) -> None:
    """Write an array, which appears when all of it is there."""
    store = Local(place.path)
    about = About(array.shape, array.dtype.newbyteorder("="))
    chunks, shards = sides_for(about)
    attributes = {MARK: {"format": 1}}
    meta = meta_v3(replace(about, chunks=chunks, shards=shards), attributes, "zstd", 0)
    there = check_free(store, place.name)
    make_groups(store, place.name)
    with replaced(store, place.name, there) as new:
        Local(new).put("zarr.json", json.dumps(meta, indent=2).encode())
        if array.size:
            source = open_array(Local(new), "", Node(3, True, meta, attributes), "r+")
            source.write(tuple(slice(0, n, 1) for n in array.shape), array)


__all__ = ["Chunked", "Layout", "Node", "check_alone", "create", "open_array", "open_source"]
