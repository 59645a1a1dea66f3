"""What a job is, in words that can be compared: two runs with the same words write the same."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import pickle
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np

from .job import Job, checksum

_ARCHIVE = re.compile(r"\.(zarr|n5|h5|hdf5|hdf|mat|npz|zip)(?=[:/]|$)", re.IGNORECASE)


def job_words(job: Job, version: str) -> dict[str, Any]:
    """Of the function, its options, sources, targets and blocks."""
    return {
        "emfast": version,
        "function": function_words(job.fn),
        "sources": {name: source_words(source, job.targets.values()) for name, source in job.sources.items()},
        "targets": {name: volume_words(target) for name, target in job.targets.items()},
        "shape": list(job.grid.shape),
        "block": list(job.grid.block),
        "halo": [list(pair) for pair in job.grid.halo],
        "on_corrupt": "skip" if job.skip_corrupt else "error",
    }


def source_words(volume: Any, targets: Iterable[Any] = ()) -> list[Any]:
    """The same of what is read, and which state of it: when its files were written. A file that a target lies in too
    changes as the target is written, so of such a one that is not known."""
    words = volume_words(volume)
    place = local_path(volume)
    if place is None or any(
        place[0] == (local_path(target) or ("",))[0] and os.path.isfile(place[0]) for target in targets
    ):
        return words
    return [*words, *_state_of(*place)]


def _state_of(path: str, name: str) -> list[str]:
    """A digest of the sizes and times of the files that hold an array."""
    folder = os.path.join(path, name)
    if os.path.isdir(path):
        files = sorted(_files_below(folder if os.path.isdir(folder) else path))
    elif os.path.isfile(path):
        if name:  # other arrays of that file may be written meanwhile
            return []
        files = [path]
    else:
        files = sorted(glob.glob(path))
    found = hashlib.sha256()
    for file in files:
        about = os.stat(file)
        found.update(f"{os.path.relpath(file, path)} {about.st_size} {about.st_mtime_ns}\n".encode())
    return [found.hexdigest()[:16]] if files else []


def _files_below(folder: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir():
            yield from _files_below(entry.path)
        else:
            yield entry.path


def function_words(fn: Any) -> str:
    """Its name, a digest of its code, of what it was bound to, and of the functions and constants of its module."""
    if isinstance(fn, functools.partial):
        bound = [_value_words(value) for value in fn.args]
        bound += [f"{name}={_value_words(value)}" for name, value in sorted(fn.keywords.items())]
        return f"{function_words(fn.func)}({', '.join(bound)})"
    if isinstance(fn, types.MethodType):
        return f"{function_words(fn.__func__)} of {_value_words(fn.__self__)}"
    name = f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"
    if isinstance(fn, types.FunctionType):
        return f"{name} [{_digest(repr(_inside(fn, [])).encode())}]"
    if hasattr(fn, "__qualname__") or isinstance(fn, np.ufunc):
        return name if hasattr(fn, "__qualname__") else f"numpy.{fn.__name__}"
    return _value_words(fn)


def _inside(fn: types.FunctionType, seen: list[Any]) -> Any:
    """What decides what a function does, as far as it is in its own module: the functions it calls and the constants,
    names in capitals, not the state of a run. ``seen`` are the functions around it."""
    if fn in seen:
        return seen.index(fn)
    seen = [*seen, fn]
    words = [_value_words(cell.cell_contents) for cell in fn.__closure__ or ()]
    words += [_value_words(value) for value in (fn.__defaults__ or ())]
    words += [f"{name}={_value_words(value)}" for name, value in sorted((fn.__kwdefaults__ or {}).items())]
    found: list[Any] = [_code(fn.__code__), words]
    for name in sorted(_names(fn.__code__) & set(fn.__globals__)):
        value = fn.__globals__[name]
        if isinstance(value, types.FunctionType):
            if value.__module__ == fn.__module__:
                found.append((name, _inside(value, seen)))
        elif name.isupper() and not callable(value) and not isinstance(value, types.ModuleType):
            found.append((name, _value_words(value)))
    return found


def _names(code: types.CodeType) -> set[str]:
    """All names of globals in a function and those within it."""
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """What a function does, wherever it was written."""
    constants = tuple(_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts)
    return code.co_code.hex(), code.co_names, constants


def _value_words(value: Any) -> str:
    """A short value as it is written, others by a digest."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return repr(value) if len(repr(value)) <= 40 else f"[{_digest(repr(value).encode())}]"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_value_words, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_value_words(k)}: {_value_words(v)}' for k, v in value.items())}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_value_words, value)))}}}"
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype} of shape {value.shape} [{checksum(value):08x}]"
    if callable(value) and isinstance(value, (types.FunctionType, types.MethodType, functools.partial, np.ufunc)):
        return function_words(value)
    if _place(value):
        return repr(volume_words(value))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "job_words"):  # it knows what of it makes no difference
        return f"{kind} [{value.job_words()}]"
    if type(value).__module__.partition(".")[0] == __name__.partition(".")[0] and hasattr(value, "__dict__"):
        return f"{kind} [{_digest(_value_words(vars(value)).encode())}]"
    try:
        return f"{kind} [{_digest(pickle.dumps(value))}]"
    except Exception:  # whatever cannot be pickled
        return f"{kind} [{_digest(_value_words(getattr(value, '__dict__', {})).encode())}]"


def volume_words(volume: Any) -> list[Any]:
    """Where it lies, or what it holds where that is in memory; its shape and dtype."""
    held = in_memory(volume)
    place = f"in memory [{checksum(volume):08x}]" if held else _place(volume) or type(volume).__name__
    window = getattr(volume, "_window", ())  # of a crop
    first = [w.start for w in window] if any(w.start for w in window) else []
    return [place, *first, list(map(int, volume.shape)), str(volume.dtype)]


def in_memory(volume: Any) -> bool:
    """Whether it ends with this process."""
    return isinstance(volume, np.ndarray) and not isinstance(volume, np.memmap)


def check_apart(target: Any, name: str, sources: Mapping[str, Any]) -> None:
    """Refuse a target that a source lies in, or the other way round: what is read would be gone before it is read."""
    for source, volume in sources.items():
        if _overlap(target, volume):
            raise ValueError(f"{name} must not be where {source} is, got {_told(target)} for both")


def _overlap(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b):
        return True
    if a is b:
        return True
    return any(
        path == other and (words[: len(others)] == others or others[: len(words)] == words)
        for path, words in _resolved(a)
        for other, others in _resolved(b)
    )


def _resolved(volume: Any) -> list[tuple[str, list[str]]]:
    """The real path or the address of what holds a volume, and the words of its name within, as far as it tells.

    Slices lie in their folder, which is what is replaced.
    """
    if isinstance(volume, (str, os.PathLike)):
        from ..volumes._places import located

        places = [":".join(filter(None, located(volume)))]
    else:
        places = [place for each in (volume, *_read_by(volume)) if (place := _place(each)) is not None]
    return [found for place in places for found in _held(*parted(place))]


def _held(path: str, name: str) -> list[tuple[str, list[str]]]:
    from ..volumes._places import PICTURES, is_pattern

    if "://" in path:
        return [(path, _words(name))]
    if is_pattern(path) and not name:
        folders = {os.path.dirname(file) for file in glob.glob(path)} or {os.path.dirname(path)}
        return [(os.path.realpath(folder), []) for folder in sorted(folders)]
    real = os.path.realpath(path)
    if real.lower().endswith(PICTURES):
        folder, file = os.path.split(real)
        return [(folder, [file])]
    return [(real, _words(name))]


def _words(name: str) -> list[str]:
    return [word for word in name.split("/") if word]


def _read_by(volume: Any) -> Iterator[Any]:
    """What a Dask array is made of, where its graph holds that as it is."""
    for layer in getattr(getattr(volume, "dask", None), "layers", {}).values():
        yield from (part for part, index in getattr(layer, "indices", ()) if index is None)
        for task in getattr(layer, "mapping", {}).values():
            yield task
            yield getattr(task, "value", None)
            yield from getattr(task, "args", ())


def _told(volume: Any) -> str:
    return os.fspath(volume) if isinstance(volume, (str, os.PathLike)) else str(getattr(volume, "uri", "one array"))


def local_path(volume: Any) -> tuple[str, str] | None:
    """The file or folder that holds a volume, and its name within; None where it is not one of this machine."""
    place = _place(volume)
    return None if place is None or "://" in place else parted(place)


def parted(place: str) -> tuple[str, str]:
    """A path as that of the file or folder, and the name of the array within."""
    found = _ARCHIVE.search(place)
    return (place[: found.end()], place[found.end() :].strip(":/")) if found else (place.rstrip("/"), "")


def _place(volume: Any) -> str | None:
    """The path or address of a volume; None where it does not say."""
    from ..volumes._places import is_remote, located

    if hasattr(volume, "uri"):
        return ":".join(filter(None, located(str(volume.uri))))
    if isinstance(volume, np.ndarray):
        place = _mapped(volume)
    elif hasattr(volume, "store_path"):  # of Zarr
        place = _in_store(volume.store_path)
    elif hasattr(volume, "file") and hasattr(volume, "name"):  # of HDF5
        place = f"{volume.file.filename}:{volume.name}"
    elif hasattr(volume, "kvstore") and hasattr(volume, "spec"):  # of tensorstore
        place = _in_kvstore(volume.spec().to_json())
    else:
        return None
    return place if place is None or is_remote(place) else os.path.abspath(place)


def _mapped(array: Any) -> str | None:
    """The file that an array is a part of."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.filename is not None:
            return os.fspath(array.filename)
        array = array.base
    return None


def _in_store(place: Any) -> str | None:
    store = place.store
    root = getattr(store, "root", None) or getattr(store, "path", None)  # of folders; of zip files and fsspec's
    if root is None:
        return str(place)
    files = getattr(store, "fs", None)
    kinds = getattr(files, "protocol", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    before = f"{kinds[0]}://" if kinds and not {"file", "local"} & set(kinds) else ""
    return before + "/".join(part for part in (str(root).rstrip("/"), place.path) if part)


def _in_kvstore(said: Any) -> str | None:
    """The folder that a specification names, in whatever it is wrapped."""
    if isinstance(said, str):
        return _in_kvstore({"driver": "file", "path": unquote(said[7:])}) if said.startswith("file://") else None
    if not isinstance(said, Mapping):
        return None
    if said.get("driver") == "file":
        return str(said.get("path", "")).rstrip("/") or None
    return next((found for part in ("kvstore", "base") if (found := _in_kvstore(said.get(part)))), None)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
