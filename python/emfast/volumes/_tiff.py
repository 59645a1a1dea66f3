"""TIFF: stacks of pages, with the voxel size of ImageJ or OME where it is said for every axis.

Stacks that are not packed are memory mapped; of others the pages that a window needs are read.
"""

from __future__ import annotations

import os
import threading
import warnings
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from .._files import beside
from ._places import Place
from ._pool import each
from ._scratch import Scratch, check_new
from ._source import (
    SPACE,
    About,
    Source,
    Whole,
    Window,
    lengths,
    library,
    nanometres,
    numbers_or_none,
    product,
    usual_axes,
)
from ._stores import Reader
from ._zarr import codec_of

_LETTERS = {"S": "c", "C": "c", "I": "z", "Q": "z", "Z": "z", "Y": "y", "X": "x", "T": "t"}
_MOST_RATIO = 1 << 15
_IMAGEJ = ("uint8", "uint16", "float32")
_KEY = "emfast"  # of our numbers in ImageJ's description, whose own are rounded


def open_source(place: Place, mode: str, level: int | None) -> Source:
    tifffile = library("tifffile", place.path)
    if place.remote:
        fsspec = library("fsspec", place.path, "remote")
        files, path = fsspec.core.url_to_fs(place.path)
        file: Any = files.open(path)
        size = file.size
    else:
        file = Reader(place.path)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
    try:
        check_chain(file, size)
        file.seek(0)
        tif = tifffile.TiffFile(file, name=os.path.basename(place.path))
        if not tif.series:
            raise ValueError("it has no image")
        series = _stacked(tif.series, place.path)
        about = _about(tif, series)
        mapped = None if place.remote else _mapped(place.path, series, about, mode, size)
    except BaseException:
        file.close()
        raise
    if mapped is not None:
        file.close()
        return Whole(mapped, about)
    if mode != "r":
        file.close()
        raise ValueError(f"{place.path} is packed: mode 'r+' takes files that are not")
    return _Pages(file, tif, series, about, size)


class _Stack:
    """Pages that were written one by one, each an image of its own to tifffile."""

    dataoffset = None  # they lie apart

    def __init__(self, series: list[Any]) -> None:
        first = series[0]
        self.shape, self.dtype = (len(series), *first.shape), first.dtype
        self.axes, self.keyframe, self.pages = f"Z{first.axes}", first.keyframe, [s.pages[0] for s in series]


def _stacked(series: list[Any], path: str) -> Any:
    """All pages, where they are alike; else the first image, of several that are none of its resolutions."""
    first = series[0]
    others = [s for s in series[1:] if not s.keyframe.is_reduced]
    if not others or first.kind in ("ome", "lsm", "svs", "scn", "ndpi", "imagej"):
        return first
    if all(len(s.pages) == 1 and (s.shape, s.dtype, s.axes) == (first.shape, first.dtype, first.axes) for s in series):
        return _Stack(series)
    told = (
        f"{path} holds {1 + len(others)} images that make no stack: the first is read, {first.shape} of {first.dtype}"
    )
    warnings.warn(told, stacklevel=2)
    return first


def check_chain(file: Any, size: int) -> None:
    """Follow the directories to the last: a file that is cut short loses pages, and readers would not say so."""
    head = file.read(16)
    order: Any = {b"II": "little", b"MM": "big"}.get(head[:2])
    version = int.from_bytes(head[2:4], order) if order and len(head) >= 8 else 0
    if version not in (42, 43):
        raise ValueError("it is no TIFF")
    big = version == 43
    width, count_width, entry = (8, 8, 20) if big else (4, 2, 12)
    at = int.from_bytes(head[8:16] if big else head[4:8], order)
    seen: set[int] = set()
    while at:
        if at in seen or at + count_width > size:
            raise ValueError(f"it is cut short or damaged: page {len(seen)} would be at byte {at} of {size}")
        seen.add(at)
        file.seek(at)
        count = int.from_bytes(file.read(count_width), order)
        end = at + count_width + count * entry
        if end + width > size:
            raise ValueError(f"it is cut short or damaged: the header of page {len(seen) - 1} goes beyond its end")
        file.seek(end)
        at = int.from_bytes(file.read(width), order)


def _about(tif: Any, series: Any) -> About:
    shape = tuple(int(n) for n in series.shape)
    dtype = np.dtype(series.dtype)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"it must hold integers or floats of up to 64 bits, got {dtype}")
    axes = "".join(_LETTERS.get(a, "?") for a in series.axes)
    if "?" in axes or len(set(axes)) != len(shape) or len(axes) != len(shape):
        axes = usual_axes(len(shape))
    spatial = [a for a in axes if a in SPACE]
    spacing: dict[str, float] = {}
    offset: dict[str, float] = {}
    attributes: dict[str, Any] = {}
    if tif.imagej_metadata:
        attributes = {k: v for k, v in tif.imagej_metadata.items() if isinstance(v, (str, int, float, bool))}
        spacing, offset = _of_imagej(tif.imagej_metadata, series.keyframe)
    elif tif.ome_metadata:
        attributes = {"ome": tif.ome_metadata}
        spacing = _of_ome(tif.ome_metadata)
    elif tif.shaped_metadata:
        attributes = {k: v for k, v in tif.shaped_metadata[0].items() if k not in ("shape", "truncated")}
        spacing, offset = _of_ours(attributes.get(_KEY), "".join(a for a in SPACE if a in spatial))
    found = numbers_or_none([spacing.get(a, 0) for a in spatial], len(spatial))
    shift = numbers_or_none([offset.get(a, 0) for a in spatial], len(spatial), positive=False) if offset else None
    return About(shape, dtype.newbyteorder("="), None, None, found, shift, axes, attributes)


def _of_imagej(said: Any, page: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The unit counts for all axes; x and y are pixels per unit, z is a distance."""
    spacing: dict[str, float] = {}
    exact = _of_ours(said.get(_KEY), "")
    unit = nanometres(said.get("unit"))
    if unit is None:
        return exact
    for axis, name in (("x", "XResolution"), ("y", "YResolution")):
        tag = page.tags.get(name)
        value = tag.value if tag is not None else None
        if isinstance(value, tuple) and len(value) == 2 and value[0] and value[1]:
            spacing[axis] = unit * value[1] / value[0]
    if isinstance(said.get("spacing"), (int, float)):
        spacing["z"] = unit * said["spacing"]
    if all(abs(exact[0].get(a, v) - v) <= 1e-3 * abs(v) for a, v in spacing.items()) and exact[0]:
        return exact
    origin = {a: said.get(f"{a}origin", 0) for a in spacing}  # in voxels, of what is at 0
    good = all(isinstance(v, (int, float)) for v in origin.values())
    return spacing, {a: -origin[a] * v for a, v in spacing.items()} if good and any(origin.values()) else {}


def _of_ours(said: Any, axes: str) -> tuple[dict[str, float], dict[str, float]]:
    """Spacing and offset as we write them: ``axes spacing offset``, numbers in nanometres."""
    words = said.split() if isinstance(said, str) else []
    if not words:
        return {}, {}
    axes, numbers = words[0], words[1:]
    try:
        values = [float(n) for n in numbers]
    except ValueError:
        return {}, {}
    if len(values) not in (len(axes), 2 * len(axes)):
        return {}, {}
    rest = values[len(axes) :]
    return dict(zip(axes, values, strict=False)), dict(zip(axes, rest, strict=False))


def _ours(about: About) -> str:
    axes = "".join(a for a in about.axes if a in SPACE)
    return " ".join([axes, *(repr(v) for v in (*(about.spacing or ()), *(about.offset or ())))])


def _of_ome(text: str) -> dict[str, float]:
    """Physical sizes of the first image, in micrometres where no unit is said."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can grow without end
        return {}
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return {}
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    found = {}
    for axis in SPACE if pixels is not None else "":
        assert pixels is not None
        size, unit = (pixels.get(f"PhysicalSize{axis.upper()}{part}") for part in ("", "Unit"))
        scale = nanometres(unit or "µm")
        try:
            found[axis] = float(size or 0) * (scale or 0)
        except ValueError:
            continue
    return {a: v for a, v in found.items() if v > 0}


def _mapped(path: str, series: Any, about: About, mode: str, size: int) -> np.ndarray | None:
    """The pages in one piece, or None."""
    start = series.dataoffset
    if start is None or not product(about.shape) or getattr(series, "is_multifile", False):
        return None
    if start + product(about.shape) * about.dtype.itemsize > size:
        raise ValueError(f"it is cut short: {about.shape} of {about.dtype} from byte {start} on do not fit into {size}")
    dtype = about.dtype.newbyteorder(series.keyframe.parent.byteorder)
    return np.memmap(path, dtype, "r" if mode == "r" else "r+", start, about.shape)


class _Pages(Source):
    """Pages that are packed, or lie apart: each is read whole."""

    def __init__(self, file: Any, tif: Any, series: Any, about: About, size: int) -> None:
        self.file, self.tif, self.about, self.size = file, tif, about, size
        self.pages, self.lock = series.pages, threading.RLock()
        page = tuple(int(n) for n in series.keyframe.shape)
        lead = len(about.shape) - len(page)
        if about.shape[lead:] != page or product(about.shape[:lead]) != len(self.pages):
            squeezed = tuple(n for n in page if n != 1)
            lead = len(about.shape) - len(squeezed)
            if about.shape[lead:] != squeezed or product(about.shape[:lead]) != len(self.pages):
                raise ValueError(f"it has {len(self.pages)} pages of {page}, which make no {about.shape}")
        self.lead = lead
        page_bytes = product(about.shape[lead:]) * about.dtype.itemsize
        if page_bytes > size * _MOST_RATIO:
            raise ValueError(f"its pages of {page_bytes} bytes cannot come from a file of {size}")

    def read(self, window: Window) -> np.ndarray:
        out = np.empty(lengths(window), self.about.dtype)
        lead = [range(w.start, w.stop, w.step) for w in window[: self.lead]]

        def fetch(place: tuple[int, ...]) -> None:
            number = 0
            for at, axis, n in zip(place, lead, self.about.shape, strict=False):
                number = number * n + axis[at]
            out[place] = self._page(number)[window[self.lead :]]

        each(fetch, np.ndindex(*(len(axis) for axis in lead)))
        return out

    def _page(self, number: int) -> np.ndarray:
        with self.lock:
            page = self.pages[number]
            if page is None:
                raise ValueError(f"page {number} is missing")
            pieces = len(page.dataoffsets)
            if pieces != product(page.chunked) or sum(page.databytecounts) > self.size:
                raise ValueError(f"page {number} is damaged: {pieces} pieces of {product(page.chunked)}, or too large")
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                if start <= 0 or count <= 0 or start + count > page.parent.filehandle.size:
                    raise ValueError(f"page {number} is cut short: bytes {start} to {start + count} of {self.size}")
        array = page.asarray(lock=self.lock, maxworkers=1)
        return np.asarray(array).reshape(self.about.shape[self.lead :])

    def close(self) -> None:
        self.tif.close()
        self.file.close()

    def __del__(self) -> None:
        self.close()


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    library("tifffile", place.path)
    check_new(place.path, mode)

    def finish(array: np.ndarray) -> None:
        save(place.path, array, about, codec)

    return Scratch(place.path, about, finish, fill)


def save(path: str, array: np.ndarray, about: About, codec: str | None = "raw") -> None:
    """Write a stack; ImageJ's kind where it knows the dtype. Not packed unless gzip is asked for, to be mapped."""
    tifffile = library("tifffile", path)
    pages = np.asarray(array).astype(np.uint8) if array.dtype == bool else np.asarray(array)
    packed = {"compression": "zlib"} if codec_of(codec)[0] == "gzip" else {}
    imagej = (
        about.spacing is not None
        and about.axes in ("yx", "zyx")
        and pages.dtype.name in _IMAGEJ
        and 0 < pages.nbytes < 2**31
    )
    settings: dict[str, Any]
    if imagej and about.spacing is not None:
        z = {"spacing": about.spacing[0]} if about.axes == "zyx" else {}
        settings = {
            "imagej": True,
            "resolution": (1 / about.spacing[-1], 1 / about.spacing[-2]),
            "metadata": {"axes": about.axes.upper(), "unit": "nm", **z, **_origin(about), _KEY: _ours(about)},
        }
    else:
        said = {} if about.spacing is None else {_KEY: _ours(about)}
        settings = {"metadata": {"axes": _upper(about.axes), **said}, "bigtiff": pages.nbytes >= 2**31}
    with beside(path) as part:
        tifffile.imwrite(part, pages, photometric="minisblack", **packed, **settings)


def _origin(about: About) -> dict[str, float]:
    if about.spacing is None or about.offset is None:
        return {}
    axes = [a for a in about.axes if a in SPACE]
    return {f"{a}origin": -o / s for a, o, s in zip(axes, about.offset, about.spacing, strict=True)}


def _upper(axes: str) -> str:
    return "".join(a.upper() if a in "tczyx" else "Q" for a in axes)


__all__ = ["check_chain", "create", "open_source", "save"]
