"""Where a volume is: a path or an address, the name inside an archive, and the format that follows from both.

``a.h5:volumes/raw`` and ``a.h5/volumes/raw`` are one place. Archives are files and folders that hold named arrays.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

ENDINGS = {
    ".zarr": "zarr",
    ".n5": "n5",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".mat": "hdf5",  # of MATLAB from 7.3 on
    ".npz": "npz",
    ".npy": "npy",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".mrc": "mrc",
    ".mrcs": "mrc",
    ".map": "mrc",
    ".rec": "mrc",
    ".st": "mrc",
    ".ali": "mrc",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".png": "slices",
    ".jpg": "slices",
    ".jpeg": "slices",
}
PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
ARCHIVES = (".zarr", ".n5", ".h5", ".hdf5", ".hdf", ".mat", ".npz")
_FORCED = ("precomputed", "zarr", "n5", "wkw")
_LAYERS = "datasource-properties.json"  # of a WebKnossos dataset, whose layers and magnifications are folders in it
_MARKS = (  # what a folder of a format holds, in the order of asking
    ("zarr.json", "zarr"),
    (".zarray", "zarr"),
    (".zgroup", "zarr"),
    ("attributes.json", "n5"),
    ("info", "precomputed"),
    (_LAYERS, "webknossos"),
    ("header.wkw", "wkw"),
)


@dataclass(frozen=True)
class Place:
    """``path`` is absolute where it is local; ``name`` is that inside an archive, without slashes around it."""

    path: str
    name: str
    format: str

    @property
    def remote(self) -> bool:
        return is_remote(self.path)

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" if self.name else self.path


def parse(uri: str | os.PathLike[str], new: bool = False) -> Place:
    """The place that a user names; ``new`` where nothing need be there yet."""
    if not isinstance(uri, (str, os.PathLike)) or not isinstance(os.fspath(uri), str):
        raise TypeError(f"uri must be a path or an address, got {type(uri).__name__}")
    if not os.fspath(uri):
        raise ValueError("uri must be a path or an address, got ''")
    forced, text = _bare(uri)
    path, name, ending = _located(text)
    found = forced or (_of_pattern(path, new) and "slices") or ENDINGS.get(ending, "")
    if not found:
        found = "" if new else _of_contents(path)
    if not found:
        raise ValueError(f"{text} must {_wanted(path)}, or end in {', '.join(ENDINGS)}")
    if name and ending not in ARCHIVES and not forced:
        raise ValueError(f"{text} names an array in a file of one: only {', '.join(ARCHIVES)} hold several")
    return Place(path, name, found)


def located(uri: str | os.PathLike[str]) -> tuple[str, str]:
    """The path, absolute where it is local, or the address of what holds an array, and the name of that inside.

    Nothing is looked for, but for a file whose name has a colon or an ending in its midst.
    """
    path, name, _ = _located(_bare(uri)[1])
    return path, name


def local_path(uri: str | os.PathLike[str]) -> str | None:
    """The absolute path of the file or folder that holds an array; None where it is at an address."""
    path, _ = located(uri)
    return None if is_remote(path) else path


def _bare(uri: str | os.PathLike[str]) -> tuple[str, str]:
    """The format that is said before it, and a path or an address without that: ``file://`` is a path as people type
    it, once its %20 and the like are read."""
    text = os.fspath(uri)
    forced = next((name for name in _FORCED if text.startswith(f"{name}://")), "")
    text = text[len(forced) + 3 :] if forced else text
    if text.startswith("file://"):
        text = unquote(text[len("file://") :])
        text = text.removeprefix("localhost") if text.startswith("localhost/") else text
    return forced, re.sub("^memory:/+", "memory://", text)


def _located(text: str) -> tuple[str, str, str]:
    """Path, name inside and ending."""
    path, name, ending = _split(text)
    return path if is_remote(path) else os.path.abspath(os.path.expanduser(path)), name, ending


def is_remote(path: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def ending_of(path: str) -> str:
    """The known ending of a path, in small letters, or nothing."""
    last = path.rstrip("/").rpartition("/")[2].lower()
    return max((end for end in ENDINGS if last.endswith(end) and last != end), key=len, default="")


def is_pattern(path: str) -> bool:
    return not is_remote(path) and any(sign in path for sign in "*?[") and not os.path.exists(path)


def _split(text: str) -> tuple[str, str, str]:
    """Path, name inside and ending."""
    ends = "|".join(re.escape(end) for end in sorted(ENDINGS, key=len, reverse=True))
    if colon := re.match(rf"(.*?({ends}))/?:(?!//)(.*)$", text, re.IGNORECASE | re.DOTALL):
        return colon[1], colon[3].strip("/"), colon[2].lower()
    if os.path.isfile(text) or os.path.isfile(os.path.expanduser(text)):
        return text, "", ending_of(text)
    start = len(re.match(r"([A-Za-z][A-Za-z0-9+.-]*://[^/]*)?", text)[0])  # type: ignore[index]
    parts = text[start:].split("/")
    for k in range(len(parts), 0, -1):
        if (ending := ending_of(parts[k - 1])) in ARCHIVES:
            return text[:start] + "/".join(parts[:k]), "/".join(p for p in parts[k:] if p), ending
    return text.rstrip("/") or text, "", ending_of(text)


def _of_contents(path: str) -> str:
    """What a folder or a pattern holds."""
    if is_remote(path):
        from ._stores import open_store  # not at the top: it needs nothing of this file but this does of it

        store = open_store(path)
        return next((kind for mark, kind in _MARKS if store.open(mark) is not None), "")
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file or folder: {path}")
    if not os.path.isdir(path):
        return ""
    if any(os.path.isfile(os.path.join(path, up, _LAYERS)) for up in ("..", "../..")):
        return "webknossos"
    for mark, kind in _MARKS:
        if os.path.isfile(os.path.join(path, mark)) and (kind != "precomputed" or _is_precomputed(path)):
            return kind
    names = os.listdir(path)
    if any(os.path.splitext(name)[1].lower() in PICTURES and not name.startswith(".") for name in names):
        return "slices"
    return "n5" if _below_n5(path) else ""


def _below_n5(path: str) -> bool:
    """Groups of N5 need no file of their own; the root has one with the version."""
    while (parent := os.path.dirname(path)) != path:
        path = parent
        if path.endswith(".n5"):
            return True
    return False


def _is_precomputed(path: str) -> bool:
    try:
        with open(os.path.join(path, "info"), encoding="utf-8") as file:
            about: Any = json.load(file)
    except (OSError, ValueError):
        return True  # its own reader says what is wrong with it
    return isinstance(about, dict) and "scales" in about


def _of_pattern(path: str, new: bool) -> bool:
    """Whether it is a pattern of pictures, found or to be written."""
    return is_pattern(path) and (not new or os.path.splitext(path)[1].lower() in PICTURES)


def _wanted(path: str) -> str:
    return "hold slices or a volume of a known format" if os.path.isdir(path) else "be a folder or a pattern of slices"


__all__ = [
    "ARCHIVES",
    "ENDINGS",
    "PICTURES",
    "Place",
    "ending_of",
    "is_pattern",
    "is_remote",
    "local_path",
    "located",
    "parse",
]
