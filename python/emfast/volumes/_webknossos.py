"""WebKnossos: a dataset with its ``datasource-properties.json``, layers in WKW or in Zarr; or one folder of WKW.

Axes are (channel,) x, y, z; the bounding box is in voxels of the finest magnification.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CorruptData
from ._codecs import Chain, Packer, packer
from ._places import Place
from ._source import About, Cut, Source, nanometres, numbers_or_none, product
from ._stores import Handle, Local, open_store
from ._zarr import Chunked, Layout, node_at, open_array

PROPERTIES = "datasource-properties.json"
_HEADER = 16
_TYPES = ("u1", "u2", "u4", "u8", "f4", "f8", "i1", "i2", "i4", "i8")


class Wkw(Chunked):
    """A magnification of a layer in WKW, from the origin to the end of its files: blocks in Morton order, packed with
    LZ4 or not. https://github.com/scalableminds/webknossos-wrap

    Its library is not used to read: of a file that is cut short it gives zeros, a damaged one aborts the process.
    """

    def __init__(self, path: str) -> None:
        with open(os.path.join(path, "header.wkw"), "rb") as file:
            self.head = file.read(_HEADER)
        if len(self.head) < _HEADER or self.head[:4] != b"WKW\1":
            raise ValueError(f"{path}/header.wkw must begin with WKW, got another file or one that is cut short")
        sides, self.kind, voxel, size = self.head[4:8]
        block, per = 1 << (sides & 15), 1 << (sides >> 4)
        if self.kind not in (1, 2, 3) or not 1 <= voxel <= len(_TYPES):
            raise ValueError(f"{path}/header.wkw must name a block type and a voxel type, got {self.kind} and {voxel}")
        dtype = np.dtype(_TYPES[voxel - 1])
        channels, rest = divmod(size, dtype.itemsize)
        if rest or not channels:
            raise ValueError(f"{path}/header.wkw must have voxels of whole {dtype}, got {size} bytes")
        shape = (channels, *(max((n + 1) * block * per for n in found) for found in _cubes(path)))
        chunks = (channels, block, block, block)
        packers = () if self.kind == 1 else (_lz4(product(chunks) * dtype.itemsize),)
        chain = Chain(dtype.newbyteorder("<"), packers, (3, 2, 1, 0))
        layout = Layout(shape, dtype, chunks, chain, dtype.type(0), "", "/", (1, per, per, per))
        about = About(shape, dtype, chunks, layout.shards, axes="cxyz")
        super().__init__(Local(path), "", _Cubes(**vars(layout)), about, complete=False)

    def _index(self, handle: Handle) -> np.ndarray:
        """Where each block of a file is; the file is as long as that takes."""
        layout = self.layout
        assert layout.per is not None
        per, count = layout.per[1], layout.per[1] ** 3
        head = handle.read(0, _HEADER) if handle.size >= _HEADER else b""
        if head[:8] != self.head[:8]:
            raise CorruptData(f"{handle.name} must begin as header.wkw does, got another file or one that is cut short")
        start = int.from_bytes(head[8:], "little")
        whole = product(layout.chunks) * layout.dtype.itemsize
        if self.kind == 1:
            if start + count * whole != handle.size:  # before a table of all blocks is made
                raise CorruptData(f"{handle.name} is cut short: it should have {start + count * whole} bytes")
            ends = start + np.arange(1, count + 1) * whole
        else:
            ends = np.frombuffer(handle.read(_HEADER, 8 * count), "<u8")
        starts = np.concatenate([np.array([start], ends.dtype), ends[:-1]])
        if np.any(starts > ends) or int(ends[-1]) != handle.size:
            raise CorruptData(
                f"{handle.name} is cut short or damaged: its blocks end at {ends[-1]}, it at {handle.size}"
            )
        x, y, z = np.indices((per,) * 3)
        order = _morton(x, y, z)
        return np.stack([starts[order], (ends - starts)[order]], axis=-1)[None]


@dataclass(frozen=True)
class _Cubes(Layout):
    """Files by their place along z, y, x."""

    def key(self, place: Sequence[int]) -> str:
        return f"z{place[3]}/y{place[2]}/x{place[1]}.wkw"


def _morton(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Bits of the places interleaved, those of x the lowest."""
    order = np.zeros(x.shape, np.int64)
    for bit in range(16):
        for k, places in enumerate((x, y, z)):
            order |= ((places >> bit) & 1) << (3 * bit + k)
    return order


def _lz4(size: int) -> Packer:
    """Blocks without the length that numcodecs puts before them."""
    known = packer("lz4", {})
    head = size.to_bytes(4, "little")
    return Packer("lz4", known.pack, lambda data, most: known.unpack(head + bytes(data), most))


def _cubes(path: str) -> tuple[set[int], set[int], set[int]]:
    """Which files there are along x, y and z."""
    places = []
    for folder, _, names in os.walk(path):
        for name in names:
            where = os.path.relpath(os.path.join(folder, name), path)
            if found := re.fullmatch(r"z(\d{1,9})/y(\d{1,9})/x(\d{1,9})\.wkw", where):
                places.append(tuple(int(n) for n in found.groups()[::-1]))
    if not places:
        return {-1}, {-1}, {-1}
    x, y, z = zip(*places, strict=True)
    return set(x), set(y), set(z)


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.remote:
        raise ValueError(f"{place.path} must be a local folder")
    if place.format == "wkw":
        if level:
            raise ValueError(f"level must be 0 for one folder of WKW, got {level}")
        return _single_channel(Wkw(place.path))
    folder, layer, mag = root_of(place.path)
    with open(os.path.join(folder, PROPERTIES), encoding="utf-8") as file:
        said = json.load(file)
    layers = said.get("dataLayers") if isinstance(said, dict) else None
    if not isinstance(layers, list) or not all(isinstance(k, dict) and isinstance(k.get("name"), str) for k in layers):
        raise ValueError(f"its {PROPERTIES} must list dataLayers with a name each")
    names = [k["name"] for k in layers]
    if layer is None and len(names) == 1:
        layer = names[0]
    if layer not in names:
        raise ValueError(f"{folder}/layer must name a layer, got {layer or ''!r}; it holds {', '.join(sorted(names))}")
    return _layer(folder, said, layers[names.index(layer)], mag, level)


def root_of(path: str) -> tuple[str, str | None, str | None]:
    """The dataset, the layer and the magnification of a path inside of one."""
    inside: list[str] = []
    for _ in range(3):
        if os.path.isfile(os.path.join(path, PROPERTIES)):
            return path, inside[0] if inside else None, inside[1] if len(inside) > 1 else None
        path, name = os.path.split(path)
        inside.insert(0, name)
    raise FileNotFoundError(f"{path} must lie in a folder with {PROPERTIES}")


def _layer(folder: str, said: dict[str, Any], layer: dict[str, Any], mag: str | None, level: int | None) -> Source:
    mags = [_mag(m) for m in layer.get("mags") or layer.get("wkwResolutions") or layer.get("resolutions") or []]
    mags.sort(key=lambda m: m[0])
    if mag is not None:
        mags = [m for m in mags if mag in (_name(m[0]), "-".join(map(str, m[0])), m[1])]
    k = level or 0
    if isinstance(k, bool) or not isinstance(k, int) or not 0 <= k < len(mags):
        raise ValueError(f"level must be from 0 to {len(mags) - 1} for {folder}/{layer['name']}, got {level!r}")
    factors, inside = mags[k]
    path = os.path.normpath(os.path.join(folder, layer["name"], _name(factors)))
    if inside is not None:
        found = [os.path.join(folder, layer["name"], inside), os.path.join(folder, inside)]
        path = os.path.normpath(next((p for p in found if os.path.isdir(p)), path))
    if not path.startswith(folder + os.sep):
        raise ValueError(f"its layers must lie in its folder, got {path}")
    source = Wkw(path) if os.path.isfile(os.path.join(path, "header.wkw")) else _zarr_mag(path)
    return _in_box(source, said, layer, factors)


def _mag(said: Any) -> tuple[tuple[int, ...], str | None]:
    value = said.get("mag", said.get("resolution")) if isinstance(said, dict) else said
    factors = (value,) * 3 if type(value) is int else tuple(value) if isinstance(value, list) else ()
    if isinstance(value, str) and re.fullmatch(r"\d{1,6}(-\d{1,6}-\d{1,6})?", value):
        numbers = [int(n) for n in value.split("-")]
        factors = tuple(numbers * 3 if len(numbers) == 1 else numbers)
    if len(factors) != 3 or not all(type(f) is int and f > 0 for f in factors):
        raise ValueError(f"its magnifications must be three numbers, got {str(value)[:80]}")
    path = said.get("path") if isinstance(said, dict) else None
    return factors, path if isinstance(path, str) else None


def _name(factors: tuple[int, ...]) -> str:
    return str(factors[0]) if len(set(factors)) == 1 else "-".join(map(str, factors))


def _zarr_mag(path: str) -> Source:
    store = open_store(path)
    node = node_at(store, "")
    if node is None or not node.is_array:
        raise FileNotFoundError(f"{path} must be a magnification in WKW or Zarr, got none")
    source = open_array(store, "", node)
    if source.about.axes not in ("cxyz", "xyz", "zyx", "czyx"):
        raise ValueError(f"{path} must have the axes c, x, y, z, got {source.about.axes}")
    return source


def _in_box(source: Source, said: dict[str, Any], layer: dict[str, Any], factors: tuple[int, ...]) -> Source:
    box = layer.get("boundingBox")
    try:
        first = [int(v) for v in box["topLeft"]]  # type: ignore[index]
        sides = [int(box[name]) for name in ("width", "height", "depth")]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"its boundingBox must have topLeft, width, height and depth, got {str(box)[:80]}") from None
    axes, shape = source.about.axes, source.about.shape
    starts, ends = [0] * len(axes), list(shape)
    for letter, start, side, factor in zip("xyz", first, sides, factors, strict=True):
        i = axes.index(letter)
        starts[i], ends[i] = start // factor, -(-(start + side) // factor)
    if min(starts) < 0 or any(b > n or a > b for a, b, n in zip(starts, ends, shape, strict=True)):
        raise ValueError(f"its boundingBox {first} {sides} goes beyond what is stored, {shape} ({axes})")
    spacing, offset = _geometry(said, factors, [starts[axes.index(a)] for a in "xyz"])
    turned = [i for i, a in enumerate(axes) if a in "xyz"]
    order = ["xyz".index(axes[i]) for i in turned]
    more = {
        "spacing": None if spacing is None else tuple(spacing[i] for i in order),
        "offset": None if offset is None else tuple(offset[i] for i in order),
        "attributes": {key: value for key, value in layer.items() if key != "adminViewConfiguration"},
    }
    gone = [i for i, a in enumerate(axes) if a == "c" and shape[i] == 1]
    return Cut(source, starts, [b - a for a, b in zip(starts, ends, strict=True)], gone, **more)


def _geometry(said: dict[str, Any], factors: tuple[int, ...], starts: list[int]) -> tuple[Any, Any]:
    """Along x, y, z. Older datasets give three numbers, in nanometres."""
    scale = said.get("scale")
    values, unit = (scale.get("factor"), scale.get("unit")) if isinstance(scale, dict) else (scale, "nm")
    size = nanometres(unit)
    base = None if size is None or not isinstance(values, list) else numbers_or_none(values, 3, size)
    if base is None:
        return None, None
    spacing = tuple(a * b for a, b in zip(base, factors, strict=True))
    return spacing, tuple(a * b for a, b in zip(spacing, starts, strict=True))


def _single_channel(source: Source) -> Source:
    shape = source.about.shape
    return Cut(source, [0] * 4, shape, [0]) if shape[0] == 1 else source


__all__ = ["PROPERTIES", "open_source", "root_of"]
