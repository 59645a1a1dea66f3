"""A loader for each dataset: ``load(dataset, folder)`` gives its samples. Nothing but headers is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module

from .._records import Dataset
from .._samples import Sample

Load = Callable[[Dataset, str], Sequence[Sample]]

_LOADERS = {  # the module of each, and its function
    "isbi2012": ("_neurons", "isbi2012"),
    "vnc": ("_neurons", "vnc"),
    "cremi": ("_neurons", "cremi"),
    "snemi3d": ("_neurons", "snemi3d"),
    "fib25": ("_neurons", "fib25"),
    "segem": ("_neurons", "segem"),
    "axonem": ("_neurons", "axonem"),
    "nisb": ("_neurons", "nisb"),
    "lucchi": ("_mitochondria", "lucchi"),
    "lucchi++": ("_mitochondria", "lucchi_pp"),
    "kasthuri++": ("_mitochondria", "kasthuri_pp"),
    "mitoem": ("_mitochondria", "mitoem"),
    "mitoem2": ("_mitochondria", "mitoem2"),
    "nucmm-z": ("_organelles", "nucmm"),
    "openorganelle": ("_organelles", "openorganelle"),
    "asem": ("_organelles", "asem"),
    "urocell": ("_organelles", "urocell"),
    "perez": ("_organelles", "perez"),
    "platelet": ("_organelles", "platelet"),
    "cem500k": ("_tiles", "tiles"),
    "mitolab": ("_tiles", "tiles"),
}


def load(dataset: Dataset, folder: str) -> Sequence[Sample]:
    """The samples of a dataset in a folder, or in one file of the recoded form (``_recoded``)."""
    if not os.path.exists(folder):
        raise FileNotFoundError(f"no such folder: {folder}; emfast data get {dataset.name} fetches it")
    if os.path.isfile(folder):
        return _function("_recoded", "recoded")(dataset, folder)
    return _function(*_LOADERS.get(dataset.name, ("_generic", "generic")))(dataset, folder)


def _function(module: str, name: str) -> Load:
    found: Load = getattr(import_module(f".{module}", __name__), name)
    return found


__all__ = ["load"]
