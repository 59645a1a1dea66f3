"""WebKnossos: a dataset with its ``datasource-properties.json``, layers in WKW or in Zarr; or one folder of WKW.

Axes are (channel,) x, y, z; the bounding box is in voxels of the finest magnification.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import numpy as np

from ._places import Place
from ._source import About, Cut, Source, Window, library, nanometres, numbers_or_none
from ._stores import open_store
from ._zarr import node_at, open_array

PROPERTIES = "datasource-properties.json"


class Wkw(Source):
    """A magnification of a layer in WKW, from the origin to the end of its files."""

    def __init__(self, path: str) -> None:
        wkw = library("wkw", path, "formats")
        self.dataset = wkw.Dataset.open(path)
        header = self.dataset.header
        dtype = np.dtype(header.voxel_type)
        if dtype.kind not in "iuf" or header.num_channels < 1:
            raise ValueError(f"it must hold numbers, got {dtype}")
        side = int(header.block_len) * int(header.file_len)
        ends = [max((n + 1) * side for n in found) for found in _cubes(path)]
        channels = int(header.num_channels)
        shape = (channels, *ends)
        self.about = About(shape, dtype, (channels, *[int(header.block_len)] * 3), (channels, *[side] * 3), axes="cxyz")

    def read(self, window: Window) -> np.ndarray:
        starts = [w.start for w in window[1:]]
        sides = [w.stop - w.start for w in window[1:]]
        found = np.asarray(self.dataset.read(starts, sides))
        steps = (window[0], *(slice(None, None, w.step) for w in window[1:]))
        return found[steps]

    def close(self) -> None:
        self.dataset.close()


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
        return _single_channel(_checked(place.path))
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
    source = _checked(path) if os.path.isfile(os.path.join(path, "header.wkw")) else _zarr_mag(path)
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


def _checked(path: str) -> Source:
    """Its files are as large as their headers say: the library maps what they name."""
    with open(os.path.join(path, "header.wkw"), "rb") as file:
        head = file.read(16)
    if len(head) < 16 or head[:3] != b"WKW":
        raise ValueError(f"{path}/header.wkw must begin with WKW, got another file or one that is cut short")
    return Wkw(path)


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
