"""HDF5: ``file.h5:path``. ``resolution`` and ``offset`` as in CREMI: nanometres along z, y, x.

New arrays come into a copy of the file, which takes its place when the volume is closed: HDF5 does not survive a crash.
What is there already is edited in place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import numpy as np

from ._ngff import letters_of
from ._numpy import DEFAULT, choose
from ._places import Place
from ._scratch import check_new
from ._source import About, Source, Window, library, numbers_or_none, space_in, usual_axes
from ._zarr import codec_of, resolution_of, sides_for


class Dataset(Source):
    """A dataset of an open file; HDF5 lets one thread in at a time."""

    def __init__(self, file: Any, dataset: Any, about: About, path: str) -> None:
        self.file, self.dataset, self.about, self.path = file, dataset, about, path
        self.name = str(dataset.name).strip("/")

    def read(self, window: Window) -> np.ndarray:
        return np.asarray(self.dataset[window]).astype(self.about.dtype, copy=False)

    def write(self, window: Window, values: np.ndarray) -> None:
        self.dataset[window] = values

    def close(self) -> None:
        self.file.close()


class _New(Dataset):
    """In a file beside the target."""

    part = ""

    def close(self) -> None:
        try:
            self.file.close()
            with open(self.part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(self.part, self.path)
        finally:
            self.discard()

    def discard(self) -> None:
        self.file.close()
        if os.path.exists(self.part):
            os.unlink(self.part)

    def __del__(self) -> None:
        if self.part:
            self.discard()


def open_source(place: Place, mode: str, level: int | None) -> Source:
    h5py = library("h5py", place.path)
    if place.remote:
        fsspec = library("fsspec", place.path, "remote")
        files, path = fsspec.core.url_to_fs(place.path)
        file = h5py.File(files.open(path), "r")
    else:
        with open(place.path, "rb"):  # says plainly what cannot be opened
            pass
        file = h5py.File(place.path, mode)
    try:
        dataset = file[choose(_names(h5py, file), place.name, place.path)]
        return Dataset(file, dataset, _about(dataset, place), place.path)
    except BaseException:
        file.close()
        raise


def names_in(place: Place) -> list[str]:
    """The arrays of a file on this machine."""
    h5py = library("h5py", place.path)
    with h5py.File(place.path, "r") as file:
        return _names(h5py, file)


def _names(h5py: Any, file: Any) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _about(dataset: Any, place: Place) -> About:
    dtype = np.dtype(dataset.dtype)
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dataset.shape is None:
        raise ValueError(f"{place} must hold bool, integers or floats of up to 64 bits, got {dtype}")
    attributes = {str(name): _plain(dataset.attrs, name) for name in dataset.attrs}
    dims = len(dataset.shape)
    said = attributes.get("axes")
    axes = letters_of(list(said), dims) if isinstance(said, str) else ""
    axes = axes or usual_axes(dims)
    spacing, offset = resolution_of(attributes, space_in(axes))
    if spacing is None and isinstance(micrometres := attributes.get("element_size_um"), list):
        spacing = numbers_or_none(micrometres, space_in(axes), 1e3)  # as ilastik and PlantSeg write it
    return About(tuple(dataset.shape), dtype.newbyteorder("="), dataset.chunks, None, spacing, offset, axes, attributes)


def _plain(attributes: Any, name: str) -> Any:
    """An attribute as JSON would have it."""
    try:
        value = attributes[name]
    except Exception:  # of a type that h5py does not know
        return None
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    h5py = library("h5py", place.path)
    name = place.name or DEFAULT
    check_new(place.path, "w")
    folder = os.path.dirname(place.path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{place.path} must lie in an existing folder, got {folder!r}")
    fd, part = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(place.path)}.", suffix=".part")
    os.close(fd)
    try:
        if os.path.exists(place.path):
            shutil.copyfile(place.path, part)
            os.chmod(part, os.stat(place.path).st_mode)
        else:
            os.chmod(part, 0o666 & ~_umask())
        file = h5py.File(part, "a" if os.path.getsize(part) else "w")
        try:
            check_place(file, place.path, name)
            if name in file:
                if mode == "x":
                    raise FileExistsError(f"{place.path}:{name} is there: mode 'w' replaces it")
                del file[name]
            dataset = file.create_dataset(name, about.shape, about.dtype, **_packing(about, codec, fill))
            for key, values in (("resolution", about.spacing), ("offset", about.offset)):
                if values is not None:
                    dataset.attrs[key] = values
            if about.axes != usual_axes(len(about.shape)):
                dataset.attrs["axes"] = about.axes
            new = _New(file, dataset, _about(dataset, place), place.path)
        except BaseException:
            file.close()
            raise
    except BaseException:
        os.unlink(part)
        raise
    new.part = part
    return new


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _packing(about: About, codec: str | None, fill: Any) -> dict[str, Any]:
    """gzip for whatever is asked for, and a checksum; nothing of an array that has no chunks."""
    if not about.shape or 0 in about.shape:
        return {"fillvalue": fill}
    name, level = codec_of(codec)
    chunks = tuple(min(c, n) for c, n in zip(sides_for(about)[0], about.shape, strict=True))
    packed = {} if name == "raw" else {"compression": "gzip", "compression_opts": min(9, level or 4), "shuffle": True}
    return {"chunks": chunks, "fletcher32": True, "fillvalue": fill, **packed}


def check_place(file: Any, path: str, name: str) -> None:
    """An array may take an array's place in an HDF5 file; not that of a group, nor a place below an array."""
    parts = name.split("/")
    for k in range(1, len(parts) + 1):
        place = "/".join(parts[:k])
        if place not in file:
            return
        if hasattr(file[place], "keys") == (k == len(parts)):
            found = "a group" if k == len(parts) else "an array"
            raise ValueError(f"{path}:{name} must be free or an array, but {place} is {found}")


__all__ = ["check_place", "create", "open_source"]
