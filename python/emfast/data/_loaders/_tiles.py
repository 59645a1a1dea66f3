"""Many small pictures of unequal size, as samples one after the other: in folders, or in a tar that stays packed."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ...volumes import Volume
from ...volumes._places import PICTURES, Place
from ...volumes._source import About, Whole, library, telling
from .._finding import needed, walk
from .._records import Dataset
from .._samples import Provenance, Sample
from ._shared import opened, same_shape

_PAIRS = (("images", "masks"), ("images", "labels"), ("image", "label"), ("raw", "labels"))


def tiles(dataset: Dataset, folder: str) -> Sequence[Sample]:
    """A sample for each picture below the folder, opened when it is asked for; with the mask beside it, if any.

    Pictures in a folder ``images`` have their labels in ``masks`` or ``labels`` beside it, under the same name.
    """
    archives = [p for p in walk(folder) if p.endswith((".tar", ".tar.gz", ".tgz"))]
    pictures = [p for p in walk(folder) if p.lower().endswith(PICTURES)]
    labels = {p for p in pictures if any(os.path.basename(os.path.dirname(p)) == m for _, m in _PAIRS)}
    pictures = [p for p in pictures if p not in labels]
    if not pictures and len(archives) == 1:
        return TarTiles(dataset, archives[0])
    if not pictures:
        needed(None, folder, "pictures (.tif, .png), or one .tar of them")
    return Tiles(dataset, folder, pictures, _by_stem(labels))


def _by_stem(paths: set[str]) -> dict[tuple[str, str], str]:
    return {(os.path.dirname(p), os.path.splitext(os.path.basename(p))[0]): p for p in paths}


class Tiles(Sequence[Sample]):
    """Samples that are opened when they are asked for."""

    def __init__(self, dataset: Dataset, folder: str, pictures: list[str], labels: dict[tuple[str, str], str]) -> None:
        self.dataset, self.folder, self.pictures, self.labels = dataset, folder, pictures, labels

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Tiles: ...
    def __getitem__(self, index: int | slice) -> Sample | Tiles:
        if isinstance(index, slice):
            return Tiles(self.dataset, self.folder, self.pictures[index], self.labels)
        path = self.pictures[index]
        raw = opened(path, self.dataset.spacing)
        labels, files = {}, [os.path.relpath(path, self.folder)]
        if (truth := self._label_of(path)) is not None:
            labels[self.dataset.labels[0]] = same_shape(raw, opened(truth, self.dataset.spacing))
            files.append(os.path.relpath(truth, self.folder))
        name = os.path.splitext(os.path.relpath(path, self.folder))[0]
        return Sample(name, raw, labels, split="all", provenance=Provenance(self.dataset.name, tuple(files)))

    def _label_of(self, path: str) -> str | None:
        base, name = os.path.split(path)
        parent, last = os.path.split(base)
        for images, masks in _PAIRS:
            if last == images:
                found = self.labels.get((os.path.join(parent, masks), os.path.splitext(name)[0]))
                if found is not None:
                    return found
        return None


class TarTiles(Sequence[Sample]):
    """The pictures of a tar, read out of it when they are asked for; a first pass finds where they are."""

    def __init__(self, dataset: Dataset, path: str) -> None:
        self.dataset, self.path = dataset, path
        with telling(path), tarfile.open(path) as archive:
            self.members = [m for m in archive if m.isreg() and m.name.lower().endswith(PICTURES)]

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        member = self.members[index]
        with telling(self.path), tarfile.open(self.path) as archive:
            stream = archive.extractfile(member)
            assert stream is not None  # a plain file, as all of them
            array = _picture(stream.read(), f"{self.path}:{member.name}")
        said = Provenance(self.dataset.name, (os.path.basename(self.path), member.name))
        raw = Held(array, f"{self.path}:{member.name}")
        return Sample(os.path.splitext(member.name)[0], raw, split="all", provenance=said)


class Held(Volume):
    """A picture in memory, as a volume; it pickles with its voxels."""

    def __init__(self, array: np.ndarray, name: str) -> None:
        source = Whole(array, About(array.shape, array.dtype, axes="yx" if array.ndim == 2 else "cyx"))
        super().__init__(source, Place(name, "", "slices"), "r", {}, tuple(slice(0, n, 1) for n in array.shape))

    def crop(self, window: Any) -> Volume:
        return Held(self[super().crop(window)._window], str(self._place))

    def __reduce__(self) -> Any:
        return Held, (self[...], str(self._place))


def _picture(data: bytes, name: str) -> np.ndarray:
    """A picture out of its bytes."""
    if name.lower().endswith((".tif", ".tiff")):
        tifffile = library("tifffile", name)
        with telling(name):
            return np.asarray(tifffile.imread(io.BytesIO(data)))
    image = library("PIL.Image", name)
    with telling(name), image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
        array = np.array(picture)
    return array if array.ndim == 2 else np.moveaxis(array, -1, 0)


__all__ = ["Held", "TarTiles", "Tiles", "tiles"]
