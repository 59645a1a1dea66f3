"""Results on disk: .npz files that say what they hold, and appear whole or not at all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np


def save(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any]) -> None:
    """Write the arrays beside ``path``, then put them in its place."""
    part = f"{os.fspath(path)}.part"
    try:
        with open(part, "wb") as file:
            np.savez(file, format=kind, **arrays)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise


def load(path: str | os.PathLike[str], kind: str, writer: str) -> dict[str, np.ndarray]:
    """The arrays of a file that :func:`save` wrote as this kind; ``writer`` is how users know it."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            if "format" in arrays and str(arrays["format"]) == kind:
                return {name: arrays[name] for name in arrays.files if name != "format"}
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
        pass  # no .npz, or a damaged one
    raise ValueError(f"{os.fspath(path)} must be a file of {writer}, got another kind or a damaged one")


__all__ = ["load", "save"]
