"""Results on disk: .npz files that say what they hold, and appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from ._files import beside


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write beside ``path``, which takes its place when all is written."""
    with beside(path) as part, open(part, "wb") as file:
        yield file


def save(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any]) -> None:
    """Write the arrays and what kind they are."""
    with whole(path) as file:
        np.savez(file, format=kind, **arrays)


def load(path: str | os.PathLike[str], kind: str, writer: str) -> dict[str, np.ndarray]:
    """The arrays of a file that :func:`save` wrote as this kind; ``writer`` is how users know it."""
    import zipfile  # not at the top, for a quick start of the package

    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            if "format" in arrays and str(arrays["format"]) == kind:
                return {name: arrays[name] for name in arrays.files if name != "format"}
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
        pass  # no .npz, or a damaged one
    raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got another kind or a damaged one")


__all__ = ["load", "save", "whole"]
