"""New files that are written at once: until they are closed, what goes into them waits beside them."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable

import numpy as np

from ._source import About, Source, Window, product


class Scratch(Source):
    """An array on disk beside the target. ``finish(array)`` puts it into the target, whole or not at all."""

    def __init__(self, target: str, about: About, finish: Callable[[np.ndarray], None], fill: object = 0) -> None:
        folder = os.path.dirname(target) or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"{target} must lie in an existing folder, got {folder!r}")
        self.about, self.finish = about, finish
        fd, path = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(target)}.", suffix=".part")
        self._remove = weakref.finalize(self, _unlinked, path)
        with os.fdopen(fd, "r+b") as file:
            file.truncate(max(1, product(about.shape) * about.dtype.itemsize))
        self.array = np.memmap(path, about.dtype, "r+", shape=about.shape) if product(about.shape) else None
        if self.array is not None and fill:
            self.array[...] = fill

    def read(self, window: Window) -> np.ndarray:
        return np.array(self._array()[window])

    def write(self, window: Window, values: np.ndarray) -> None:
        self._array()[window] = values

    def close(self) -> None:
        try:
            self.finish(self._array())
        finally:
            self.discard()

    def discard(self) -> None:
        self.array = None
        self._remove()

    def _array(self) -> np.ndarray:
        return np.empty(self.about.shape, self.about.dtype) if self.array is None else self.array


def _unlinked(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def check_new(path: str, mode: str) -> None:
    """Refuse what is there already, if it may not be replaced, and folders."""
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} must be a file, got a folder")
    if mode == "x" and os.path.lexists(path):
        raise FileExistsError(f"{path} is there: mode 'w' replaces it")


__all__ = ["Scratch", "check_new"]
