"""The table of formats: which module reads which, and what can be done with it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ._places import Place
from ._source import About, Source


@dataclass(frozen=True)
class Format:
    """``module`` has ``open_source(place, mode, level)``, and of what can be written ``create(place, about, mode,
    codec, fill)``. ``edits``: what is there can be written into. ``grows``: a new one is there from the start, so that
    other processes can open it."""

    module: str
    writes: bool = True
    edits: bool = False
    grows: bool = False


FORMATS = {
    "zarr": Format("_zarr", edits=True, grows=True),
    "hdf5": Format("_hdf5", edits=True),
    "npy": Format("_numpy", edits=True),
    "npz": Format("_numpy"),
    "tiff": Format("_tiff", edits=True),
    "slices": Format("_slices"),
    "n5": Format("_n5", edits=True, grows=True),
    "mrc": Format("_mrc", edits=True),
    "nifti": Format("_nifti"),
    "nrrd": Format("_nrrd"),
    "precomputed": Format("_precomputed", edits=True, grows=True),
    "webknossos": Format("_webknossos", writes=False),
    "wkw": Format("_webknossos", writes=False),
}
_CHUNKED = ("zarr", "hdf5", "n5", "precomputed")


def open_source(place: Place, mode: str, level: int | None) -> Source:
    """The array at a place, as the file has it."""
    found = _format(place)
    if mode == "r+" and not found.edits:
        raise ValueError(f"{place} must be opened with mode 'r', 'x' or 'w': {place.format} is written at once")
    if mode == "r+":
        _check_writable(place)
    source: Source = _module(found).open_source(place, mode, level)
    return source


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    """A new array."""
    found = _format(place)
    if not found.writes:
        raise ValueError(f"{place} must be of a format that emfast writes, {place.format} is only read")
    _check_writable(place)
    source: Source = _module(found).create(place, about, mode, codec, fill)
    return source


def _check_writable(place: Place) -> None:
    """At an address only stores of many files are written, and none over http."""
    if place.remote and (place.format not in ("zarr", "n5") or place.path.startswith(("http://", "https://"))):
        raise ValueError(f"{place} is at an address, where {place.format} is only read")


def in_place(name: str) -> bool:
    """Whether a new volume is there from the start."""
    return FORMATS[name].grows


def has_chunks(name: str) -> bool:
    return name in _CHUNKED


def _format(place: Place) -> Format:
    return FORMATS[place.format]


def _module(found: Format) -> Any:
    return importlib.import_module(f".{found.module}", __package__)


__all__ = ["FORMATS", "create", "has_chunks", "in_place", "open_source"]
