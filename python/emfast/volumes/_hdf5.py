"""HDF5: ``file.h5:path``. ``resolution`` and ``offset`` as in CREMI: nanometres along z, y, x.

New arrays wait in files of their own. One that is closed comes into a copy of the file as it is then, and the copy
takes its place: HDF5 does not survive a crash. That is done one at a time, in this process and among others.
What is there already is edited in place; edits that are open go on in the copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from .._files import beside
from .._locks import alone
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


class _Edited(Dataset):
    """Open to be written, in a file that a copy may take the place of meanwhile."""

    def __init__(self, file: Any, dataset: Any, about: About, path: str) -> None:
        super().__init__(file, dataset, about, path)
        self.real, self.lock = os.path.realpath(path), threading.RLock()
        _edits.add(self)

    def read(self, window: Window) -> np.ndarray:
        with self.lock:
            return super().read(window)

    def write(self, window: Window, values: np.ndarray) -> None:
        with self.lock:
            super().write(window, values)

    def close(self) -> None:
        with self.lock:
            _edits.discard(self)
            super().close()

    def reopen(self) -> None:
        self.file = library("h5py", self.path).File(self.real, "r+")
        self.dataset = self.file[self.name]


_edits: weakref.WeakSet[_Edited] = weakref.WeakSet()
_one = threading.Lock()
_PATIENCE = 60.0  # seconds that another process may go on to write into a file


class _New(Dataset):
    """In a file beside the target."""

    part, mode = "", "w"

    def close(self) -> None:
        try:
            self.file.close()
            _put_in(self.part, self.path, self.name, self.mode)
        finally:
            self.discard()

    def discard(self) -> None:
        self.file.close()
        if os.path.exists(self.part):
            os.unlink(self.part)

    def __del__(self) -> None:
        if self.part:
            self.discard()


@contextmanager
def added(path: str, name: str) -> Iterator[Any]:
    """A file of its own for an array, which comes into the file at the path in the end, by this name."""
    h5py = library("h5py", path)
    part = _begun(h5py, path, name, "w")
    try:
        with h5py.File(part, "a") as file:
            yield file
        _put_in(part, path, name, "w")
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _begun(h5py: Any, path: str, name: str, mode: str) -> str:
    """An empty file beside the one at the path, where the name may be taken."""
    check_new(path, "w")
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path} must lie in an existing folder, got {folder!r}")
    if os.path.exists(path):
        for source in list(_edits):
            if source.real == os.path.realpath(path):
                source.file.flush()
        with open(path, "rb") as raw, h5py.File(raw, "r") as file:  # so it asks for no lock, which an edit may hold
            _check_name(file, path, name, mode)
    fd, part = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.", suffix=".part")
    os.close(fd)
    with h5py.File(part, "w"):
        return part


def _put_in(part: str, path: str, name: str, mode: str) -> None:
    """The array of a file into another, or the file itself where there is none."""
    h5py, real = library("h5py", path), os.path.realpath(path)
    with _alone(real), _paused(real):
        if not os.path.exists(real):
            os.chmod(part, 0o666 & ~_umask())
            _synced(part)
            os.replace(part, real)
            return
        with _still(real, part), beside(real) as copy:
            shutil.copyfile(real, copy)
            os.chmod(copy, os.stat(real).st_mode)
            with h5py.File(copy, "r+") as file, h5py.File(part, "r") as new:
                _check_name(file, path, name, mode)
                if name in file:
                    del file[name]
                group, _, last = name.rpartition("/")
                file.copy(new[name], file.require_group(f"/{group}"), last)
            _synced(copy)


@contextmanager
def _alone(real: str) -> Iterator[None]:
    """For one thread of one process: a file beside it is locked, and goes when that is done."""
    path = os.path.join(os.path.dirname(real), f".{os.path.basename(real)}.lock")
    with _one, ExitStack() as stack:
        with suppress(PermissionError):  # in a folder where nobody can put anything
            stack.enter_context(alone(path))
        yield


@contextmanager
def _paused(real: str) -> Iterator[None]:
    """The edits of this process: they are all in the file, and go on in what is there in the end."""
    ours = [source for source in list(_edits) if source.real == real]
    for source in ours:
        source.lock.acquire()
    try:
        for source in ours:
            source.file.close()
        yield
    finally:
        for source in ours:
            source.reopen()
        for source in ours:
            source.lock.release()


@contextmanager
def _still(real: str, part: str) -> Iterator[None]:
    """A file that no other process writes into: HDF5 locks what it edits."""
    with open(real, "rb") as file:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < end:
                    time.sleep(0.05)
                    continue
            kept = f"{part.removesuffix('.part')}.h5"
            os.rename(part, kept)
            raise BlockingIOError(f"{real} is written by another process: the new array waits in {kept}")
        yield


def _synced(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def open_source(place: Place, mode: str, level: int | None) -> Source:
    h5py = library("h5py", place.path)
    if place.remote:
        fsspec = library("fsspec", place.path, "remote")
        files, path = fsspec.core.url_to_fs(place.path)
        file = h5py.File(files.open(path), "r")
    else:
        with open(place.path, "rb"):  # says plainly what cannot be opened
            pass
        if mode != "r":
            with _alone(os.path.realpath(place.path)):
                try:
                    file = h5py.File(place.path, mode)
                except BlockingIOError:
                    raise BlockingIOError(f"{place.path} is open in another process: wait for its end") from None
                return _opened(h5py, file, place, _Edited)
        file = h5py.File(place.path, mode)
    return _opened(h5py, file, place, Dataset)


def _opened(h5py: Any, file: Any, place: Place, kind: type[Dataset]) -> Source:
    try:
        linked = place.name and isinstance(file.get(place.name), h5py.Dataset)  # by another name, too
        dataset = file[place.name if linked else choose(_names(h5py, file), place.name, place.path)]
        return kind(file, dataset, _about(dataset, place), place.path)
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
    part = _begun(h5py, place.path, name, mode)
    try:
        file = h5py.File(part, "a")
        try:
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
    new.part, new.mode = part, mode
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


def _check_name(file: Any, path: str, name: str, mode: str) -> None:
    check_place(file, path, name)
    if mode == "x" and name in file:
        raise FileExistsError(f"{path}:{name} is there: mode 'w' replaces it")


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


__all__ = ["added", "check_place", "create", "open_source"]
