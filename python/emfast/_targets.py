"""Volumes that are written block by block to a file: Zarr, HDF5, .npy and TIFF. They appear whole or not at all.

Places are those of ``_files.py``. In a Zarr group, as in an HDF5 file, what else is there stays. A Zarr array that is
there is replaced only where it says that it is of the same kind: a volume with that name is not overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _files, _store

_CHUNK = 128  # voxels along an axis
_KINDS = ("zarr", "h5", "npy", "tif")


def check(place: str | os.PathLike[str], kind: str) -> None:
    """Refuse a place that cannot be written, before any work is done."""
    path, name, ending = _parse(place)
    if ending == "zarr":
        _check_zarr(path, name, kind)
    else:
        _files.check(place)


@contextmanager
def created(
    place: str | os.PathLike[str],
    shape: tuple[int, ...],
    dtype: Any,
    *,
    kind: str,
    about: Mapping[str, Any],
    chunks: Sequence[int] | None = None,
) -> Iterator[Any]:
    """A volume of zeros at a place, to assign blocks to; it is there when the context ends, unless by an error.

    ``kind`` and what else ``about`` tells are attributes of it where the format has some; chunks too.
    """
    path, name, ending = _parse(place)
    attributes = {"format": kind, **about}
    sides = tuple(max(1, min(n, side)) for n, side in zip(shape, chunks or [_CHUNK] * len(shape), strict=True))
    if ending == "zarr":
        with _zarr(path, name, shape, dtype, sides, attributes) as volume:
            yield volume
    elif ending == "h5":
        with _files.added(path, name) as (file, inside):
            packed = {"chunks": sides, "compression": "gzip", "compression_opts": 1} if all(shape) else {}
            volume = file.create_dataset(inside, shape, dtype, **packed)
            volume.attrs.update(attributes)
            yield volume
    else:
        with _files.beside(path) as part:
            volume = _mapped(part, path, ending, shape, dtype)
            yield volume
            volume.flush()


def file_of(place: str | os.PathLike[str]) -> str:
    """The path of the file or folder of a place."""
    return _parse(place)[0]


def _parse(place: str | os.PathLike[str]) -> tuple[str, str, str]:
    path, name, ending = _files.parse(place)
    if ending not in _KINDS:
        raise ValueError(f"{path} must end in .zarr, .h5, .npy or .tif: no other kind is written block by block")
    if any(word in ("", ".", "..") for word in (name.split("/") if name else ())):
        raise ValueError(f"{path}:name must be names with / between them, got {name!r}")
    return path, name, ending


def _mapped(part: str, path: str, ending: str, shape: tuple[int, ...], dtype: Any) -> Any:
    if ending == "npy":
        return np.lib.format.open_memmap(part, "w+", np.dtype(dtype), shape)
    return _files.library(ending, path).memmap(part, shape=shape, dtype=dtype, photometric="minisblack")


def _check_zarr(path: str, name: str, kind: str) -> None:
    """A new folder, a place in a group that is there, or an array of the same kind."""
    library = _files.library("zarr", path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{path} must lie in an existing folder, got {folder!r}")
    if not os.path.exists(path):
        return
    place = os.path.join(path, name) if name else path
    if name:
        try:
            library.open_group(os.path.dirname(place), mode="r")
        except Exception as error:  # Zarr has several for what is none
            raise ValueError(f"{path}:{name} must lie in a Zarr group that is there, got none ({error})") from error
    _store.check_kind(place, kind, _store.kind_of_zarr)


@contextmanager
def _zarr(
    path: str, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...], attributes: dict[str, Any]
) -> Iterator[Any]:
    library = _files.library("zarr", path)
    kind = attributes["format"]
    _check_zarr(path, name, kind)
    inside = bool(name) and os.path.exists(path)
    place = os.path.join(path, name) if inside else path
    options = {"shape": shape, "dtype": dtype, "chunks": chunks}
    with _store.folder(place, kind, _store.kind_of_zarr) as part:
        if inside:
            metadata = getattr(library.open_group(path, mode="r"), "metadata", None)  # Zarr 2 has none
            options |= {} if metadata is None else {"zarr_format": metadata.zarr_format}
        elif name:
            group = library.open_group(part, mode="w")
            if "/" in name:
                group.require_group(os.path.dirname(name))
        volume = library.open_array(part if inside else os.path.join(part, name), mode="w", **options)
        volume.attrs.update(attributes)
        yield volume


__all__ = ["check", "created", "file_of"]
