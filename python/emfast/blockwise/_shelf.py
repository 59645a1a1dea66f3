"""Where the blocks of an operation leave what others of them need: arrays by name, in a folder or in memory."""

from __future__ import annotations

import os
import zlib
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from .. import _store
from .._files import beside
from ..errors import CorruptData
from ..graphs import RegionGraph
from ..trees import MergeTree

_FORMAT = "emfast blocks 1"
_SEEN: dict[str, tuple[int, int, int]] = {}  # columns that this process has looked at


class Shelf:
    """Arrays by name. In a folder each name is a file that appears whole or not at all, and a worker elsewhere finds
    it; without one they stay in memory.

    >>> import numpy as np
    >>> shelf = Shelf()
    >>> shelf.put("seams/3", low=np.zeros(2), high=np.ones(2))
    >>> shelf.get("seams/3")["high"].tolist()
    [1.0, 1.0]
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else os.path.abspath(folder)
        self._held: dict[str, Any] = {}
        self._sums: dict[str, int] = {}  # of columns

    def job_words(self) -> str:
        """Where it lies makes no difference to a job, but the columns do. What blocks have left comes of passes with
        words of their own."""
        return f"{sorted(self._sums.items())}"

    def put(self, name: str, **arrays: np.ndarray) -> None:
        """Keep arrays; those of that name before are replaced."""
        if self.folder is None:
            self._held[name] = arrays
            return
        with beside(self._path(name, ".npz")) as part:
            with open(part, "wb") as file:
                np.savez(file, format=np.array(_FORMAT), **arrays)  # type: ignore[arg-type]
            _name(part, name)

    def get(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of a name."""
        if self.folder is None:
            held: dict[str, np.ndarray] = self._held[name]
            return held
        path = self._named(name)
        with open(path, "rb") as file:
            try:
                with np.load(file) as arrays:
                    found = {key: arrays[key] for key in arrays.files}
            except Exception as error:  # zipfile and NumPy have their own for what is damaged
                raise CorruptData(f"{path} must be as it was written, got a damaged file ({error})") from error
        if str(found.pop("format", "")) != _FORMAT:
            raise CorruptData(f"{path} must be a file of {_FORMAT!r}, got another kind")
        return found

    def put_column(self, name: str, column: np.ndarray) -> None:
        """Keep one array of which parts are wanted later."""
        if self.folder is None:
            self._held[name] = column
            return
        path = self._path(name, ".npy")
        with _store.whole(path) as file:
            np.save(file, column)
        self._sums[name] = _sum_of(path)
        self.put(f"{name}.sum", sum=np.array(self._sums[name]))

    def column(self, name: str) -> np.ndarray:
        """That array; from a folder it comes into memory where and when it is read, after a first look at all of it."""
        if self.folder is None:
            held: np.ndarray = self._held[name]
            return held
        path = self._path(name, ".npy")
        about = os.stat(path)
        state = about.st_ino, about.st_size, about.st_mtime_ns
        if _SEEN.get(path) != state:
            if self.get(f"{name}.sum")["sum"] != _sum_of(path):
                raise CorruptData(f"{path} must be as it was written, got a damaged file")
            _SEEN[path] = state
        found: np.ndarray = np.load(path, mmap_mode="r")
        return found

    def keep(self, name: str, result: RegionGraph | MergeTree) -> None:
        """Keep a graph or a tree, as the file it saves itself to."""
        if self.folder is None:
            self._held[name] = result
        else:
            with beside(self._path(name, ".npz")) as part:
                result.save(part)
                _name(part, name)

    def graph(self, name: str) -> RegionGraph:
        if self.folder is not None:
            return RegionGraph.load(self._named(name))
        held: RegionGraph = self._held[name]
        return held

    def tree(self, name: str) -> MergeTree:
        if self.folder is not None:
            return MergeTree.load(self._named(name))
        held: MergeTree = self._held[name]
        return held

    def has(self, name: str) -> bool:
        if self.folder is None:
            return name in self._held
        return any(os.path.exists(self._path(name, ending)) for ending in (".npz", ".npy"))

    def _named(self, name: str) -> str:
        """The path of a file that must be of that name: two of them put in each other's place are noticed."""
        path = self._path(name, ".npz")
        try:
            with ZipFile(path) as file:
                found = file.comment.decode(errors="replace")
        except BadZipFile as error:
            raise CorruptData(f"{path} must be as it was written, got a damaged file ({error})") from error
        if found != name:
            raise CorruptData(f"{path} must hold {name}, got {found or 'a file without a name'}")
        return path

    def _path(self, name: str, ending: str) -> str:
        assert self.folder is not None
        path = os.path.join(self.folder, *name.split("/")) + ending
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path


def _name(path: str, name: str) -> None:
    """Note in a file of arrays what it is."""
    with ZipFile(path, "a") as file:
        file.comment = name.encode()


def _sum_of(path: str) -> int:
    total = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 22):
            total = zlib.crc32(part, total)
    return total


__all__ = ["Shelf"]
