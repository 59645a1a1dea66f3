"""Arrays in files: .npy, .npz, HDF5 and TIFF; Zarr to read (``_targets.py`` writes it). What is written appears whole
or not at all.

A place is a path; of an archive (.npz, .h5, .hdf5, .zarr) with the name of the array after a colon, as in
``volume.h5:raw/image``. It can be left out where a file holds one array.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

_KINDS = {".npy": "npy", ".npz": "npz", ".h5": "h5", ".hdf5": "h5", ".tif": "tif", ".tiff": "tif", ".zarr": "zarr"}
_LIBRARIES = {"h5": "h5py", "tif": "tifffile", "zarr": "zarr"}
_ARCHIVES = ("npz", "h5", "zarr")
_DEFAULT = "array"


class _NoSuchArray(ValueError):
    """The file is sound, but does not hold what was asked for."""


_TOLD = (FileNotFoundError, PermissionError, IsADirectoryError, ModuleNotFoundError, MemoryError, _NoSuchArray)


def load(place: str | os.PathLike[str]) -> np.ndarray:
    """The array at a place; that of an .npy file comes into memory where and when it is read."""
    with opened(place) as volume, _telling(parse(place)[0]):
        return volume if isinstance(volume, np.ndarray) else np.asarray(volume[...])


@contextmanager
def opened(place: str | os.PathLike[str]) -> Iterator[Any]:
    """What is at a place, to be sliced: of .npy, HDF5 and Zarr nothing is read before."""
    path, name, kind = parse(place)
    readers = {"npy": _read_npy, "npz": _read_npz, "h5": _open_h5, "tif": _read_tif, "zarr": _open_zarr}
    with ExitStack() as stack:
        with _telling(path):
            volume = _native_order(readers[kind](path, name, stack))
        yield volume


def _native_order(volume: Any) -> Any:
    """In the byte order of this machine: read at once where it is another."""
    dtype = np.dtype(volume.dtype)
    return volume if dtype.isnative else np.asarray(volume[...]).astype(dtype.newbyteorder("="))


@contextmanager
def _telling(path: str) -> Iterator[None]:
    """Says which file it was that could not be read."""
    try:
        yield
    except _TOLD:
        raise
    except Exception as error:
        raise ValueError(f"{path} must be a file of its kind, got another one or a damaged one ({error})") from error


def _read_npy(path: str, *_: Any) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r")
    return array


def _read_npz(path: str, name: str, _: ExitStack) -> np.ndarray:
    with open(path, "rb") as file, np.load(file) as arrays:
        array: np.ndarray = arrays[_choose(arrays.files, name, path)]
        return array


def _open_h5(path: str, name: str, stack: ExitStack) -> Any:
    h5 = library("h5", path)
    with open(path, "rb"):  # says plainly what cannot be opened
        pass
    file = stack.enter_context(h5.File(path, "r"))
    names: list[str] = []
    file.visititems(lambda key, item: names.append(key) if isinstance(item, h5.Dataset) else None)
    return file[_choose(names, name, path)]


def _open_zarr(path: str, name: str, _: ExitStack) -> Any:
    zarr = library("zarr", path)
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"{path} must be a folder of Zarr, got {'a file' if os.path.exists(path) else 'nothing'}"
        )
    found = zarr.open(path, mode="r")
    if not name and hasattr(found, "ndim"):
        return found
    names = [] if hasattr(found, "ndim") else _arrays_below(found)
    return found[_choose(names, name, path)]


def _arrays_below(group: Any) -> list[str]:
    """The arrays of a Zarr group and the groups in it."""
    below = [f"{name}/{found}" for name, part in group.groups() for found in _arrays_below(part)]
    return [name for name, _ in group.arrays()] + below


def _read_tif(path: str, *_: Any) -> np.ndarray:
    return np.asarray(library("tif", path).imread(path))


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
    """Write an array; other arrays of an HDF5 file stay, other files are replaced."""
    path, name, kind = _parse_target(place)
    if kind == "h5":
        with edited(path) as file:
            file.create_dataset(freed(file, path, name), data=array)
        return
    with beside(path) as part:
        if kind in ("npy", "npz"):
            import zipfile  # not at the top, for a quick start of the package

            with open(part, "wb") as file:
                if kind == "npy":
                    np.save(file, array)
                else:
                    with (  # np.savez takes some names for itself
                        zipfile.ZipFile(file, "w", allowZip64=True) as archive,
                        archive.open(f"{name or _DEFAULT}.npy", "w", force_zip64=True) as member,
                    ):
                        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        else:
            pages = array.astype(np.uint8) if array.dtype == bool else array
            library(kind, path).imwrite(part, pages, photometric="minisblack")


@contextmanager
def edited(path: str) -> Iterator[Any]:
    """An HDF5 file with what is in it, to add to; it takes the place of the other in the end."""
    with beside(path) as part:
        if os.path.exists(path):
            import shutil  # not at the top, for a quick start of the package

            shutil.copyfile(path, part)
        with library("h5", path).File(part, "a") as file:
            yield file


def freed(file: Any, path: str, name: str) -> str:
    """The name of an array in an HDF5 file, where there is none any more."""
    name = name or _DEFAULT
    _check_place(file, path, name)
    if name in file:
        del file[name]
    return name


def check(place: str | os.PathLike[str]) -> None:
    """Refuse a place that cannot be written, before any work is done."""
    path, name, kind = _parse_target(place)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"{path} must lie in an existing folder, got {folder!r}")
    if os.path.isdir(path):
        raise ValueError(f"{path} must be a file, got a folder")
    found = library(kind, path)
    if kind == "h5" and os.path.exists(path):
        try:
            file = found.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} must be an HDF5 file, got another kind or a damaged one ({error})") from error
        with file:
            _check_place(file, path, name or _DEFAULT)


def _check_place(file: Any, path: str, name: str) -> None:
    """An array may take an array's place in an HDF5 file; not that of a group, nor a place below an array."""
    parts = name.split("/")
    for k in range(1, len(parts) + 1):
        place = "/".join(parts[:k])
        if place not in file:
            return
        if hasattr(file[place], "keys") == (k == len(parts)):
            found = "a group" if k == len(parts) else "an array"
            raise ValueError(f"{path}:{name} must be free or an array, but {place} is {found}")


def overwrites(target: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether what is written to the target takes the place of the other array; HDF5 files hold many."""
    (path, name, kind), (path_, name_, kind_) = parse(target), parse(other)
    if os.path.exists(path) and os.path.exists(path_):
        same = os.path.samefile(path, path_)
    else:
        same = os.path.realpath(path) == os.path.realpath(path_)
    if not (same and kind == kind_ == "h5"):
        return same
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
    """Path, name of the array or nothing, and kind."""
    text = os.fspath(place)
    ending = re.search(r"(\.\w+)(?::(.*))?$", text)
    kind = _KINDS.get(ending[1].lower(), "") if ending else ""
    if not ending or not kind or (ending[2] is not None and kind not in _ARCHIVES):
        raise ValueError(f"files must end in {', '.join(_KINDS)}, archives with :name or without, got {text!r}")
    return text[: ending.end(1)], (ending[2] or "").strip("/"), kind


def _parse_target(place: str | os.PathLike[str]) -> tuple[str, str, str]:
    path, name, kind = parse(place)
    if kind == "zarr":
        raise ValueError(f"{path} must end in .npy, .npz, .h5 or .tif: Zarr is only read here")
    return path, name, kind


def _choose(names: list[str], name: str, path: str) -> str:
    if name in names:
        return name
    if name or len(names) != 1:
        listed = ", ".join(sorted(names)) or "no arrays"
        raise _NoSuchArray(f"{path}:name must name an array of the file, got {name!r}; it holds {listed}")
    return names[0]


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
    "beside",
    "check",
    "edited",
    "freed",
    "holds",
    "library",
    "load",
    "opened",
    "overwrites",
    "parse",
    "save",
]
