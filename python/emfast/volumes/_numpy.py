"""NumPy's own files: ``.npy`` is memory mapped, an array of an ``.npz`` comes into memory when it is first read."""

from __future__ import annotations

import ast
import os
import shutil
import threading
import zipfile
from typing import IO, Any

import numpy as np

from .._files import beside
from ._places import Place
from ._scratch import Scratch, check_new
from ._source import About, Source, Whole, Window, product
from ._stores import Reader, open_store, read_all

_MOST_RATIO = 1100  # deflate packs no tighter
DEFAULT = "array"


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.format == "npz":
        return _Member(place)
    if place.remote:
        return _remote(place)
    with open(place.path, "rb") as file:
        shape, fortran, dtype = read_header(file, os.fstat(file.fileno()).st_size)
        start = file.tell()
    order: Any = "F" if fortran else "C"
    array: np.ndarray
    if product(shape):
        array = np.memmap(place.path, dtype, "r" if mode == "r" else "r+", start, shape, order)
    else:
        array = np.empty(shape, dtype)
    return Whole(array, About(shape, dtype.newbyteorder("=")))


def _remote(place: Place) -> Source:
    """At an address: read whole."""
    import io

    data = read_all(open_store(place.path), "")
    if data is None:
        raise FileNotFoundError(f"no such file: {place.path}")
    file = io.BytesIO(data)
    shape, fortran, dtype = read_header(file, len(data))
    array = np.frombuffer(data, dtype, product(shape), file.tell()).reshape(shape, order="F" if fortran else "C")
    return Whole(array, About(shape, dtype.newbyteorder("=")))


def read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and dtype; the file has as many bytes as that takes."""
    major, _ = np.lib.format.read_magic(file)
    if major not in (1, 2, 3):
        raise ValueError(f"its version must be 1 to 3, got {major}")
    width = 2 if major == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > 1 << 16 or length > size:
        raise ValueError(f"its header of {length} bytes is too long")
    said = ast.literal_eval(file.read(length).decode("latin1").strip())
    shape, fortran, descr = (said[name] for name in ("shape", "fortran_order", "descr"))
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
        raise ValueError(f"its shape must be sizes, got {str(shape)[:80]}")
    if not isinstance(descr, str) or not isinstance(fortran, bool):
        raise ValueError("it must hold numbers")
    dtype = np.dtype(descr)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"its dtype must be bool, integers or floats of up to 64 bits, got {dtype}")
    if product(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"it is cut short: {shape} of {dtype} do not fit into {size} bytes")
    return shape, fortran, dtype


class _Member(Source):
    """An array of an ``.npz``."""

    def __init__(self, place: Place) -> None:
        self.place, self.lock = place, threading.Lock()
        self.array: np.ndarray | None = None
        with self._archive() as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
            self.name = choose(names, place.name, place.path)
            info = archive.getinfo(f"{self.name}.npy")
            if info.file_size > (info.compress_size + 1) * _MOST_RATIO:
                raise ValueError(f"{info.compress_size} packed bytes cannot hold {info.file_size}")
            with archive.open(info) as file:
                shape, self.fortran, self.dtype = read_header(file, info.file_size)
        self.about = About(shape, self.dtype.newbyteorder("="))

    def _archive(self) -> zipfile.ZipFile:
        if self.place.remote:
            import io

            data = read_all(open_store(self.place.path), "")
            if data is None:
                raise FileNotFoundError(f"no such file: {self.place.path}")
            return zipfile.ZipFile(io.BytesIO(data))
        return zipfile.ZipFile(Reader(self.place.path))

    def read(self, window: Window) -> np.ndarray:
        with self.lock:
            if self.array is None:
                with self._archive() as archive, archive.open(f"{self.name}.npy") as file:
                    data = file.read()
                start = len(data) - product(self.about.shape) * self.dtype.itemsize
                order: Any = "F" if self.fortran else "C"
                self.array = np.frombuffer(data, self.dtype, offset=start).reshape(self.about.shape, order=order)
        return np.array(self.array[window])


_ADDING = threading.Lock()  # two arrays of one archive come into it one after the other


def choose(names: list[str], name: str, path: str) -> str:
    """The array that is asked for, or the only one."""
    if name in names:
        return name
    if name or len(names) != 1:
        listed = ", ".join(sorted(names)) or "no arrays"
        raise ValueError(f"{path}:name must name an array of the file, got {name!r}; it holds {listed}")
    return names[0]


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    check_new(place.path, mode if f"{place.name}.npy" in _members(place) or not place.name else "w")

    def finish(array: np.ndarray) -> None:
        save(place, array)

    return Scratch(place.path, about, finish, fill)


def save(place: Place, array: np.ndarray) -> None:
    """Write a file of one array; an array that is named joins the others of its archive."""
    with _ADDING, beside(place.path) as part, open(part, "wb") as file:
        if place.format == "npy":
            np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
            return
        name = f"{place.name or DEFAULT}.npy"  # np.savez takes some names for itself
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            with archive.open(name, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            if others := _members(place) - {name}:
                with zipfile.ZipFile(place.path) as old:
                    for about in (old.getinfo(other) for other in sorted(others)):
                        with old.open(about) as source, archive.open(about, "w", force_zip64=True) as member:
                            shutil.copyfileobj(source, member, 1 << 20)


def _members(place: Place) -> set[str]:
    """The files of an archive into which a named array goes."""
    if not place.name or not os.path.exists(place.path):
        return set()
    try:
        with zipfile.ZipFile(place.path) as archive:
            return set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{place.path} must be an archive of NumPy, got another kind or a damaged one") from error


__all__ = ["DEFAULT", "choose", "create", "open_source", "read_header", "save"]
