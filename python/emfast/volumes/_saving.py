"""Whole arrays put into files, for the verbs that have them in memory."""

from __future__ import annotations

import os

import numpy as np

from . import _numpy, _tiff, _zarr
from ._places import parse
from ._source import About
from ._stores import Local


def saved(place: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array to ``.npy``, ``.npz``, ``.tif`` or ``.zarr``: all of it, or what was there stays."""
    found, array = parse(place, new=True), np.asanyarray(array)
    if found.format in ("npy", "npz"):
        _numpy.save(found, array)
    elif found.format == "tiff":
        _tiff.save(found.path, array, About(array.shape, array.dtype))
    elif found.format == "zarr":
        _zarr.save(found, array)
    else:
        raise ValueError(f"{found} must end in .npy, .npz, .tif or .zarr")


def check_free(place: str | os.PathLike[str]) -> None:
    """Refuse a place in a ``.zarr`` folder that is taken by more than an array."""
    found = parse(place, new=True)
    store = Local(found.path)
    if os.path.exists(found.path) and not os.path.isdir(found.path):
        raise ValueError(f"{found.path} must be a folder of Zarr, got a file")
    _zarr.missing_groups(store, found.name)
    there = _zarr.check_free(store, found.name)
    target = os.path.join(found.path, found.name)
    if not there and os.path.isdir(target) and os.listdir(target):
        raise FileExistsError(f"{target} is there and is no array: choose another name or remove it")


__all__ = ["check_free", "saved"]
