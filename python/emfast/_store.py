"""Results on disk: files and folders that say what they hold, and appear whole or not at all.

The ending chooses: ``.zarr`` is a Zarr group with an array per name; ``.parquet`` a folder with a Parquet file per
table, for pandas, polars or DuckDB; anything else an .npz file. All come back equal.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from ._files import beside

Tables = Mapping[str, Sequence[str]]  # of a Parquet folder: which arrays are its columns, all of one length
_META = b"emfast"


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write beside ``path``, which takes its place when all is written."""
    with beside(path) as part, open(part, "wb") as file:
        yield file


def save(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any], tables: Tables | None = None) -> None:
    """Write the arrays and what kind they are. Those that are None are not there; those that no table has are small."""
    own = {*arrays, *(f"{table}.parquet" for table in tables or ())}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    ending = _ending(path)
    if ending == ".parquet" and tables is None:
        raise ValueError(f"{os.fspath(path)} must end in .npz or .zarr: this has no Parquet tables")
    if ending == ".zarr":
        with folder(path, kind, kind_of_zarr, own) as part:
            _save_zarr(part, kind, arrays)
    elif ending == ".parquet" and tables is not None:
        with folder(path, kind, _kind_of_parquet, own) as part:
            _save_parquet(part, kind, arrays, tables)
    else:
        with whole(path) as file:
            np.savez(file, format=kind, **arrays)


def load(
    path: str | os.PathLike[str], kind: str, writer: str, names: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of what :func:`save` wrote as this kind.

    ``writer`` is how users know it, ``names`` what it holds, all but the optional ones in any case.
    """
    names = set(names)
    read = {".zarr": _load_zarr, ".parquet": _load_parquet}.get(_ending(path), _load_npz)
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {os.fspath(path)}")
    try:
        found, arrays = read(os.fspath(path))
    except (ModuleNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # each library has its own for what is damaged
        raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got a damaged one ({error})") from error
    if found != kind:
        raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got another kind")
    if strangers := sorted(set(arrays) - names):
        raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got one that also holds {strangers[0]!r}")
    if missing := sorted(names - set(arrays) - set(optional)):
        raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got one without {missing[0]!r}")
    return arrays


@contextmanager
def naming(path: str | os.PathLike[str], writer: str) -> Iterator[None]:
    """Checks of what a file held: what they refuse names the file too."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} must be a file of {writer}, but {error}") from error


def _load_npz(path: str) -> tuple[str, dict[str, np.ndarray]]:
    with open(path, "rb") as file, np.load(file) as arrays:
        if "format" not in arrays:
            return "", {}
        return str(arrays["format"]), {name: arrays[name] for name in arrays.files if name != "format"}


def _save_zarr(folder: str, kind: str, arrays: Mapping[str, Any]) -> None:
    group = _library("zarr", "'emfast[io]'").open_group(folder, mode="w")
    create = getattr(group, "create_array", None) or group.create_dataset  # Zarr 3, Zarr 2
    for name, array in arrays.items():
        create(name, data=np.asarray(array))
    group.attrs["format"] = kind


def kind_of_zarr(path: str) -> str:
    """What a Zarr group or array says that it is."""
    return str(_library("zarr", "'emfast[io]'").open(path, mode="r").attrs.get("format"))


def _load_zarr(path: str) -> tuple[str, dict[str, np.ndarray]]:
    group = _library("zarr", "'emfast[io]'").open_group(path, mode="r")
    return kind_of_zarr(path), {name: np.asarray(array[...]) for name, array in group.arrays()}


def _save_parquet(folder: str, kind: str, arrays: Mapping[str, Any], tables: Tables) -> None:
    import json  # not at the top, for a quick start of the package

    arrow, parquet = _library("pyarrow", "pyarrow"), _library("pyarrow.parquet", "pyarrow")
    os.makedirs(folder)
    rest = {name: np.asarray(array) for name, array in arrays.items()}
    for table, names in tables.items():
        columns, dtypes = {}, {}
        for name in names:
            if name not in rest:
                continue
            array = rest.pop(name)
            flat = arrow.array(array.ravel())
            columns[name] = flat if array.ndim == 1 else arrow.FixedSizeListArray.from_arrays(flat, array.shape[1])
            dtypes[name] = array.dtype.str
        if columns:
            about = json.dumps({"format": kind, "dtypes": dtypes}).encode()
            made = arrow.table(columns).replace_schema_metadata({_META: about})
            parquet.write_table(made, os.path.join(folder, f"{table}.parquet"))
    others = {name: [array.dtype.str, array.tolist()] for name, array in rest.items()}
    with open(os.path.join(folder, "about.json"), "w") as file:
        json.dump({"format": kind, "others": others}, file)


def _kind_of_parquet(path: str) -> str:
    import json

    with open(os.path.join(path, "about.json")) as file:
        return str(json.load(file)["format"])


def _load_parquet(path: str) -> tuple[str, dict[str, np.ndarray]]:
    import json

    parquet = _library("pyarrow.parquet", "pyarrow")
    with open(os.path.join(path, "about.json")) as file:
        about = json.load(file)
    arrays = {name: np.array(values, dtype) for name, (dtype, values) in about["others"].items()}
    for part in sorted(os.listdir(path)):
        if not part.endswith(".parquet"):
            continue
        table = parquet.read_table(os.path.join(path, part)).combine_chunks()
        for name, dtype in json.loads(table.schema.metadata[_META])["dtypes"].items():
            column = table.column(name)
            width = getattr(column.type, "list_size", None)
            flat = column.combine_chunks().flatten() if width is not None else column
            values = flat.to_numpy().astype(dtype, copy=False)
            arrays[name] = values if width is None else values.reshape(-1, width)
    return _kind_of_parquet(path), arrays


@contextmanager
def folder(
    path: str | os.PathLike[str], kind: str, kind_of: Callable[[str], str], own: set[str] | None = None
) -> Iterator[str]:
    """The path of a folder to write, which takes the place of ``path`` in the end; what fails leaves nothing. A folder
    that is there already must be of the same kind and, where such are listed, hold nothing but what such folders may
    hold, ``own``: a volume with that name is not overwritten."""
    import tempfile

    place = os.fspath(path).rstrip("/")
    check_kind(place, kind, kind_of)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(place) or ".", prefix=".emfast-") as beside_it:
        new, old = os.path.join(beside_it, "new"), os.path.join(beside_it, "old")
        yield new
        if not os.path.exists(place):
            os.rename(new, place)
            return
        if own is not None and (strangers := set(os.listdir(place)) - set(os.listdir(new)) - own):
            raise FileExistsError(f"{place} also holds {min(strangers)}: choose another name or remove it")
        os.rename(place, old)
        try:
            os.rename(new, place)
        except BaseException:
            os.rename(old, place)
            raise


def check_kind(place: str, kind: str, kind_of: Callable[[str], str]) -> None:
    """Whether a place is free or holds something of that kind, to be replaced."""
    if not os.path.exists(place):
        return
    try:
        found = kind_of(place)
    except Exception:  # each library has its own for what is damaged
        found = ""
    if found != kind:
        raise FileExistsError(f"{place} is there and holds something else: choose another name or remove it")


def _ending(path: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.fspath(path).rstrip("/"))[1].lower()


def _library(name: str, wanted: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or error.name != name.partition(".")[0]:
            raise
        raise ModuleNotFoundError(f"this needs {error.name}: pip install {wanted}", name=name) from None


__all__ = ["check_kind", "folder", "kind_of_zarr", "load", "naming", "save", "whole"]
