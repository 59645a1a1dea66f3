"""Arrays that small verbs read and write: read from wherever volumes are, written to .npy, .npz, HDF5, TIFF and Zarr.
What is written appears whole or not at all.

Places are those of :func:`emfast.open_volume`: a path; of an archive with the name of the array after a colon, as in
``volume.h5:raw/image``. It can be left out where a file holds one array.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from .volumes import Volume

_KINDS = {"npy": "npy", "npz": "npz", "hdf5": "h5", "tiff": "tif", "zarr": "zarr"}
_LIBRARIES = {"h5": "h5py", "tif": "tifffile", "zarr": "zarr"}
_WRITTEN = ".npy, .npz, .h5, .hdf5, .tif, .tiff or .zarr"
_DEFAULT = "array"


def load(place: str | os.PathLike[str]) -> np.ndarray:
    """The array at a place that :func:`emfast.open_volume` knows."""
    with opened(place) as volume:
        array: np.ndarray = volume[...]
        return array


@contextmanager
def opened(place: str | os.PathLike[str]) -> Iterator[Volume]:
    """The volume at a place, to be sliced."""
    from .volumes import open_volume  # not at the top, for a quick start of the package

    with open_volume(place) as volume:
        yield volume


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file; of a folder, that of a line ``sha256  name`` for each file below it, by name."""
    import hashlib  # not at the top, for a quick start of the package

    digest = hashlib.sha256()
    if os.path.isdir(path):
        below = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        for name in sorted(os.path.relpath(file, path).replace(os.sep, "/") for file in below):
            digest.update(f"{checksum(os.path.join(path, name))}  {name}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def save(place: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array; other arrays of an HDF5 file stay, and where it is named those of an archive of NumPy; other
    files are replaced."""
    path, name, kind = _parse_target(place)
    if kind == "h5":
        with added(path, name) as (file, inside):
            file.create_dataset(inside, data=array)
        return
    from .volumes import saved  # not at the top, for a quick start of the package

    saved(place, array)


def check_table(place: str | os.PathLike[str], name: str) -> None:
    """Refuse what is no place of a table; ``name`` is that of the argument."""
    path = os.fspath(place)
    if not path.endswith((".csv", ".parquet")):
        raise ValueError(f"{name} must be a file .csv or .parquet, got {path!r}")
    if os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or "."):
        raise ValueError(f"{name} must be a file in an existing folder, got {path!r}")


def save_table(place: str | os.PathLike[str], table: Any) -> None:
    """Write a table as .csv or .parquet."""
    with beside(place) as part:
        (table.to_parquet if os.fspath(place).endswith(".parquet") else table.to_csv)(part)


@contextmanager
def added(path: str, name: str) -> Iterator[tuple[Any, str]]:
    """An HDF5 file and a name for an array in it, which comes into the file at the path in the end."""
    library("h5", path)
    from .volumes import _hdf5  # not at the top, for a quick start of the package

    name = name or _DEFAULT
    with _hdf5.added(path, name) as file:
        yield file, name


def check(place: str | os.PathLike[str]) -> None:
    """Refuse a place that cannot be written, before any work is done."""
    path, name, kind = _parse_target(place)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{path} must lie in an existing folder, got {folder!r}")
    if os.path.isdir(path) and kind != "zarr":
        raise ValueError(f"{path} must be a file, got a folder")
    found = library(kind, path)
    if kind == "zarr":
        from .volumes import check_free

        check_free(place)
    if kind == "h5" and os.path.exists(path):
        try:
            file = found.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} must be an HDF5 file, got another kind or a damaged one ({error})") from error
        from .volumes._hdf5 import check_place

        with file:
            check_place(file, path, name or _DEFAULT)


def overwrites(target: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether what is written to the target takes the place of the other array; HDF5 files hold many."""
    (path, name, kind), (path_, name_, kind_) = _parse_target(target), parse(other)
    if os.path.exists(path) and os.path.exists(path_):
        same = os.path.samefile(path, path_)
    else:
        same = os.path.realpath(path) == os.path.realpath(path_)
    if not (same and kind == kind_ and kind in ("h5", "zarr")):
        return same
    if kind == "zarr":
        ours, theirs = _words(name), _words(name_)
        return ours[: len(theirs)] == theirs or theirs[: len(ours)] == ours
    if not name_ and os.path.exists(path_):
        with opened(other) as found:
            name_ = found.name
    return _words(name or _DEFAULT) == _words(name_ or _DEFAULT)


def holds(place: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Whether a path is the file of a place, by whatever name, or lies in its folder."""
    text = os.fspath(place)
    ending = re.search(r"(\.\w+)(?::(.*))?$", text)
    ours, theirs = os.path.realpath(text[: ending.end(1)] if ending else text), os.path.realpath(path)
    return ours == theirs or theirs.startswith(ours + os.sep)


def _words(name: str) -> list[str]:
    return [word for word in name.split("/") if word not in ("", ".")]


@contextmanager
def beside(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of a file to write, which takes the place of ``path`` in the end; what fails leaves nothing."""
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f".{name}.{os.getpid()}-{threading.get_ident()}.part")  # nobody else's
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def parse(place: str | os.PathLike[str]) -> tuple[str, str, str]:
    """Path, name of the array or nothing, and kind: npy, npz, h5, tif, zarr or that of another volume."""
    from .volumes import parse as parsed

    found = parsed(place)
    return found.path, found.name, _KINDS.get(found.format, found.format)


def _parse_target(place: str | os.PathLike[str]) -> tuple[str, str, str]:
    from .volumes import parse as parsed

    try:
        found = parsed(place, new=True)
    except ValueError as error:
        raise ValueError(f"files must end in {_WRITTEN}, archives with :name or without ({error})") from error
    if found.format not in _KINDS or found.remote:
        raise ValueError(f"files must end in {_WRITTEN}, archives with :name or without, got {os.fspath(place)!r}")
    return found.path, found.name, _KINDS[found.format]


def library(kind: str, path: str) -> Any:
    """What reads and writes a kind of file; None where that is NumPy."""
    name = _LIBRARIES.get(kind)
    if name is None:
        return None
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(f"{path} needs {name}: pip install 'emfast[io]'", name=name) from None


__all__ = [
    "added",
    "beside",
    "check",
    "check_table",
    "holds",
    "library",
    "load",
    "opened",
    "overwrites",
    "parse",
    "save",
    "save_table",
]
