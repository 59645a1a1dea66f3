"""What a run learns from, as pieces: from arrays, places, samples of a dataset or pieces themselves.

What is small enough is read into memory once; of the rest each crop is read when it is needed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._engine.plan import bytes_of
from .._options import spacing_of
from ..sampling import Piece

__all__ = ["has_labels", "held_out", "in_memory", "pieces_of"]


class Part:
    """A box of an array, with as many axes as are wanted: ones are put before those that it has."""

    def __init__(self, source: Any, dims: int, window: Sequence[slice] | None = None) -> None:
        self.source, self.dims = source, dims
        have = tuple(int(n) for n in source.shape)
        self.added = dims - len(have)
        lead = (slice(0, 1),) * self.added
        self.window = tuple(window) if window is not None else (*lead, *(slice(0, n) for n in have))
        self.shape = tuple(w.stop - w.start for w in self.window)
        self.dtype = np.dtype(source.dtype)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        whole = [slice(None)] * (self.dims - len(keys)) if Ellipsis not in keys else []
        keys = tuple(k for k in keys if k is not Ellipsis) + tuple(whole)
        if len(keys) < self.dims:
            keys = keys + (slice(None),) * (self.dims - len(keys))
        box = []
        for k, w in zip(keys, self.window, strict=True):
            start, stop, _ = k.indices(w.stop - w.start)
            box.append(slice(w.start + start, w.start + stop))
        found = np.asarray(self.source[tuple(box[self.added :])])
        return found.reshape((1,) * self.added + found.shape)

    def cut(self, axis: int, start: int, stop: int) -> Part:
        """Of the last three axes one, from one voxel to another."""
        window = list(self.window)
        at = self.dims - 3 + axis
        window[at] = slice(window[at].start + start, window[at].start + stop)
        return Part(self.source, self.dims, window)


def pieces_of(data: Any, name: str = "data", *, split: str = "train", spacing: Any = None) -> list[Piece]:
    """Pieces of what the user gave.

    Parameters
    ----------
    data : Piece, str, tuple or a list of these
        Pieces; the name of a dataset of :mod:`emfast.data`, of which the samples of that split are taken; or image,
        labels and perhaps a mask: arrays, volumes or places, labels and masks also by name.
    split : "train" or "validation"
    spacing : (z, y, x) in nanometres, optional
        In the place of what files and datasets say.

    Returns
    -------
    list of Piece
    """
    if isinstance(data, Piece):
        found = [data]
    elif isinstance(data, str):
        found = _dataset(data, name, split)
    elif isinstance(data, tuple) and data and not isinstance(data[0], (Piece, tuple)):
        found = [_triple(data, name)]
    elif isinstance(data, Iterable) and not isinstance(data, Mapping):
        found = [piece for k, each in enumerate(data) for piece in pieces_of(each, f"{name}[{k}]", split=split)]
    else:
        raise TypeError(f"{name} must be pieces, the name of a dataset, or (image, labels[, mask]), got {data!r}")
    if spacing is not None:
        z, y, x = spacing_of(spacing, 3)
        found = [replace(piece, spacing=(z, y, x)) for piece in found]
    for piece in found:
        _check(piece, name)
    return found


def _dataset(data: str, name: str, split: str) -> list[Piece]:
    from .. import data as datasets
    from ..data import _own

    if data not in datasets.DATASETS and data not in _own.names():
        raise ValueError(f"{name} must be a dataset of `emfast data list` or (image, labels), got {data!r}")
    samples = [s for s in datasets.open(data) if s.raw is not None and s.labels]
    wanted = {"train": ("train", "all"), "validation": ("validation",)}[split]
    return [_of_sample(sample) for sample in samples if sample.split in wanted]


def _of_sample(sample: Any) -> Piece:
    aligned = sample.aligned()
    return Piece(
        Part(aligned.raw, 4),
        {name: Part(volume, 3) for name, volume in aligned.labels.items()},
        {name: Part(volume, 3) for name, volume in aligned.mask.items()},
        _spacing(aligned.spacing),
        f"{sample.provenance.dataset}/{sample.name}",
    )


def _triple(data: tuple[Any, ...], name: str) -> Piece:
    if len(data) not in (2, 3):
        raise ValueError(f"{name} must be (image, labels) or (image, labels, mask), got {len(data)} of them")
    image = _opened(data[0])
    labels = data[1] if isinstance(data[1], Mapping) else {"labels": data[1]}
    masks = data[2] if len(data) == 3 and data[2] is not None else {}
    if not isinstance(masks, Mapping):
        masks = dict.fromkeys(labels, masks)
    return Piece(
        Part(image, 4),
        {label: Part(_opened(array), 3) for label, array in labels.items()},
        {label: Part(_opened(array), 3) for label, array in masks.items()},
        _spacing(getattr(image, "spacing", None)),
        str(getattr(image, "uri", name)),
    )


def _opened(place: Any) -> Any:
    from ..volumes import open_volume

    if isinstance(place, (str, os.PathLike)):
        return open_volume(place)
    return place if hasattr(place, "shape") and hasattr(place, "dtype") else np.asarray(place)


def _spacing(spacing: Any) -> tuple[float, float, float]:
    if spacing is None:
        return 1.0, 1.0, 1.0
    values = tuple(float(v) for v in spacing)
    z, y, x = values if len(values) == 3 else (values[0], *values)
    return z, y, x


def _check(piece: Piece, name: str) -> None:
    shape = tuple(piece.image.shape[-3:])
    for label, array in piece.labels.items():
        if tuple(array.shape) != shape:
            raise ValueError(f"{name}: labels {label!r} must have the shape of the image {shape}, got {array.shape}")
        if np.dtype(array.dtype).kind not in "biu":
            raise TypeError(f"{name}: labels {label!r} must be integers, got {array.dtype}")
    for label, array in piece.masks.items():
        if label not in piece.labels:
            raise ValueError(f"{name}: masks must be of {', '.join(piece.labels)}, got {label!r}")
        if tuple(array.shape) != shape:
            raise ValueError(f"{name}: mask {label!r} must have the shape of the image {shape}, got {array.shape}")


def has_labels(piece: Piece, name: str = "") -> bool:
    """Whether any voxel that is known bears a label; read section by section, up to the first."""
    name = name or next(iter(piece.labels), "")
    if name not in piece.labels:
        return False
    labels, known = piece.labels[name], piece.masks.get(name)
    for z in range(piece.shape[0]):
        found = np.asarray(labels[z : z + 1]) != 0
        if known is not None:
            found &= np.asarray(known[z : z + 1]).astype(bool, copy=False)
        if found.any():
            return True
    return False


def held_out(pieces: Sequence[Piece], share: float) -> tuple[list[Piece], list[Piece]]:
    """Each piece in two: its first sections, and its last share of them; of pictures rows in the place of sections."""
    if not 0 < share < 1:
        raise ValueError(f"validation must be a share between 0 and 1, got {share}")
    first, last = [], []
    for piece in pieces:
        axis = 0 if piece.shape[0] > 1 else 1
        n = piece.shape[axis]
        at = n - max(1, round(n * share))
        if at < 1:
            raise ValueError(f"validation must leave something to learn from, got {share} of {n} sections")
        first.append(_cut(piece, axis, 0, at))
        last.append(_cut(piece, axis, at, n))
    return first, last


def _cut(piece: Piece, axis: int, start: int, stop: int) -> Piece:
    def part(array: Any, dims: int) -> Part:
        return (array if isinstance(array, Part) else Part(array, dims)).cut(axis, start, stop)

    return replace(
        piece,
        image=part(piece.image, 4),
        labels={name: part(array, 3) for name, array in piece.labels.items()},
        masks={name: part(array, 3) for name, array in piece.masks.items()},
        name=f"{piece.name}[{'zy'[axis]} {start}:{stop}]",
    )


def in_memory(pieces: Sequence[Piece], memory: str | float) -> list[Piece]:
    """The pieces, read into memory where all of them together take no more than that."""

    def size(array: Any) -> int:
        return int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize

    total = sum(size(a) for p in pieces for a in (p.image, *p.labels.values(), *p.masks.values()))
    if total > bytes_of(memory):
        return list(pieces)
    return [
        replace(
            piece,
            image=np.asarray(piece.image[:]),
            labels={name: np.asarray(array[:]) for name, array in piece.labels.items()},
            masks={name: np.asarray(array[:]) for name, array in piece.masks.items()},
        )
        for piece in pieces
    ]
