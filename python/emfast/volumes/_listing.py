"""What volumes a file or a folder holds."""

from __future__ import annotations

import os
import zipfile

from . import _ngff
from ._hdf5 import names_in as hdf5_names
from ._places import Place, is_pattern, parse
from ._source import telling
from ._stores import Store, open_store
from ._zarr import node_at

__all__ = ["volumes_in"]


def volumes_in(uri: str | os.PathLike[str]) -> list[str]:
    """The places of all volumes in a file, folder or address, each as :func:`emfast.open_volume` takes it.

    A pyramid is one volume. Files that hold one are that.

    Parameters
    ----------
    uri : str or path

    Returns
    -------
    list of str

    Examples
    --------
    >>> import emfast, numpy as np, os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("raw", "labels/cells"):
    ...     made = emfast.convert(np.zeros((2, 3, 4), "u1"), f"{folder}/a.zarr:{name}")
    >>> [os.path.relpath(place, folder) for place in emfast.volumes.volumes_in(f"{folder}/a.zarr")]
    ['a.zarr:labels/cells', 'a.zarr:raw']
    """
    place = parse(uri)
    if not place.remote and not is_pattern(place.path) and not os.path.exists(place.path):
        raise FileNotFoundError(f"{place.path} must be a file or a folder, there is nothing")
    with telling(str(place)):
        names = _names(place)
    return [str(Place(place.path, name, place.format)) for name in names]


def _names(place: Place) -> list[str]:
    if place.name or place.format not in ("zarr", "hdf5", "npz"):
        return [place.name]
    if place.format == "zarr":
        return sorted(_in_zarr(open_store(place.path), ""))
    if place.format == "hdf5":
        return sorted(hdf5_names(place))
    with zipfile.ZipFile(place.path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def _in_zarr(store: Store, key: str, depth: int = 6) -> list[str]:
    node = node_at(store, key)
    if node is None and key:
        return []
    if node is not None and (node.is_array or _ngff.pyramid_of(node.attributes) is not None):
        return [key]
    below = [f"{key}/{name}" if key else name for name in store.below(key)]
    return [name for each in below for name in _in_zarr(store, each, depth - 1)] if depth else []
