"""What several loaders need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...volumes import Volume, open_volume
from ...volumes._source import library
from .._records import Dataset
from .._samples import Provenance

Spacing = Sequence[float] | None


def opened(place: str, spacing: Spacing = None, offset: Spacing = None, *, axes: str | None = None) -> Volume:
    """A volume whose voxels are as the dataset says; as its file says where that is nothing."""
    volume = open_volume(place, axes=axes)
    if spacing is None and offset is None:
        return volume
    count = sum(a in "zyx" for a in volume.axes)
    volume.close()
    told = {"spacing": spacing, "offset": offset}
    return open_volume(place, axes=axes, **{k: tuple(v)[-count:] for k, v in told.items() if v is not None})  # type: ignore[arg-type]


def places(voxels: Sequence[int], spacing: Sequence[float]) -> tuple[float, ...]:
    """Voxels as nanometres."""
    return tuple(n * s for n, s in zip(voxels, spacing, strict=True))


def spacing_of(dataset: Dataset) -> tuple[float, float, float]:
    """Of a dataset that has one."""
    if dataset.spacing is None:
        raise ValueError(f"{dataset.name} must have a spacing in the registry")
    return dataset.spacing


def provenance(dataset: Dataset, folder: str, *files: str, note: str = "") -> Provenance:
    """With files as they are named below the folder of the dataset."""
    base = folder if os.path.isdir(folder) else os.path.dirname(folder)
    return Provenance(dataset.name, tuple(os.path.relpath(f, base) for f in files), note)


def same_shape(raw: Volume, label: Volume) -> Volume:
    """The labels, which must be as large as the image."""
    shapes = [[n for n, a in zip(v.shape, v.axes, strict=True) if a in "zyx"] for v in (raw, label)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{label.uri} must be as large as {raw.uri}, {tuple(shapes[0])}, got {tuple(shapes[1])}")
    return label


@contextmanager
def hdf5(path: str) -> Iterator[Any]:
    """An HDF5 file to look into."""
    h5py = library("h5py", path)
    with open(path, "rb"):  # says plainly what cannot be opened
        pass
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} must be an HDF5 file, got another one or a damaged one ({error})") from error
    with file:
        yield file


__all__ = ["hdf5", "opened", "places", "provenance", "same_shape", "spacing_of"]
