"""Pieces out of what people have: arrays, volumes, samples and datasets by name; in two, in memory, and at another
spacing."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._arrays import Host
from .._options import spacing_of
from ._pieces import Piece, cut

WANTED = {"train": ("train", "all", ""), "validation": ("validation",)}  # what samples say, by what they are wanted for
_AT_HAND = 1 << 31  # bytes of a piece up to which it is read into memory


def pieces_of(
    data: Any,
    *,
    labels: Sequence[str] = (),
    split: Literal["train", "validation", "all"] = "all",
    validation: float = 0.2,
    spacing: Sequence[float] | None = None,
    path: str | os.PathLike[str] | None = None,
    load: bool | None = None,
) -> list[Piece]:
    """Pieces to learn from.

    Parameters
    ----------
    data : str, Sample, Piece, tuple, or several of them
        A dataset's name (:func:`emfast.data.open`); a sample of one; a piece; ``(image, labels)`` or ``(image,
        labels, mask)`` of arrays, volumes or places, where labels and masks may be mappings by name. An image is
        (y, x), (z, y, x) or (c, z, y, x), its labels the same without channels.
    labels : sequence of str
        Which of the labels are wanted. Default: all.
    split : {"all", "train", "validation"}
        Samples that say what they are for are kept accordingly; those that do not are to learn from. Where no sample
        says ``"validation"``, the last sections of each piece are for that; of a picture the last rows.
    validation : float
        The share of sections that are then cut off.
    spacing : (z, y, x) in nanometres, optional
        In the place of what volumes and samples say; of pictures (y, x) too. Arrays say nothing, and have (1, 1, 1).
    path : path, optional
        Of the dataset's files.
    load : bool, optional
        Read all into memory. Default: a piece below two gibibytes is.

    Returns
    -------
    list of Piece

    Examples
    --------
    >>> import emfast
    >>> from emfast import sampling
    >>> phantom = emfast.phantom.make((20, 32, 32), seed=0)
    >>> [piece] = sampling.pieces_of((phantom.image, phantom.labels), split="train", spacing=phantom.spacing)
    >>> piece.shape, piece.image.shape, [*piece.labels]
    ((16, 32, 32), (1, 16, 32, 32), ['labels'])
    """
    if split not in ("train", "validation", "all"):
        raise ValueError(f"split must be train, validation or all, got {split!r}")
    if not 0 < validation < 1:
        raise ValueError(f"validation must be between 0 and 1, got {validation!r}")
    found = gathered(data, labels=labels, spacing=spacing, path=path)
    pieces = [piece for piece, said in found if split == "all" or said in WANTED[split]]
    if split != "all" and not any(said == "validation" for _, said in found):
        both = held_out([piece for piece, said in found if said in WANTED["train"]], validation)
        pieces = both[split == "validation"]
    if not pieces:
        raise ValueError(
            f"data must have images with labels {', '.join(labels) or 'of any name'} for {split}, got none"
        )
    return [in_memory(piece) if load or (load is None and nbytes(piece) < _AT_HAND) else piece for piece in pieces]


def gathered(
    data: Any,
    name: str = "data",
    *,
    labels: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> list[tuple[Piece, str]]:
    """Pieces, as :func:`pieces_of` takes them, that are read where they are sliced; and the split that each is said to
    be of, ``""`` where nobody says. ``name`` is that of the argument."""

    def of_sample(sample: Any) -> list[Piece]:
        wanted = [label for label in sample.labels if not labels or label in labels]
        return [_settled(_of_sample(sample, wanted), (), spacing, name)] if wanted and sample.raw is not None else []

    if isinstance(data, str):
        return [(piece, sample.split) for sample in _dataset(data, name, path) for piece in of_sample(sample)]
    if hasattr(data, "provenance"):
        return [(piece, "" if data.split == "all" else data.split) for piece in of_sample(data)]
    if isinstance(data, Piece):
        return [(_settled(data, labels, spacing, name), "")]
    if isinstance(data, tuple) and data and not (isinstance(data[0], (Piece, tuple)) or hasattr(data[0], "provenance")):
        return [(_settled(_of_arrays(data, name), labels, spacing, name), "")]
    if isinstance(data, Iterable) and not isinstance(data, Mapping) and not hasattr(data, "shape"):
        several = enumerate(data)
        return [
            one
            for k, each in several
            for one in gathered(each, f"{name}[{k}]", labels=labels, spacing=spacing, path=path)
        ]
    raise TypeError(
        f"{name} must be pieces, samples, the name of a dataset, or (image, labels[, mask]), got {type(data).__name__}"
    )


def _dataset(data: str, name: str, path: str | os.PathLike[str] | None) -> Sequence[Any]:
    from .. import data as datasets
    from ..data import _own

    if data not in datasets.DATASETS and data not in _own.names():
        raise ValueError(f"{name} must be a dataset of `emfast data list` or (image, labels), got {data!r}")
    return datasets.open(data, path)


def _of_sample(sample: Any, labels: Sequence[str]) -> Piece:
    aligned = sample.aligned(*labels)
    return Piece(
        Part(aligned.raw, 4),
        {name: Part(volume, 3) for name, volume in aligned.labels.items()},
        {name: Part(volume, 3) for name, volume in aligned.mask.items()},
        _spacing(aligned.spacing),
        f"{sample.provenance.dataset}/{sample.name}",
    )


def _of_arrays(data: tuple[Any, ...], name: str) -> Piece:
    if len(data) not in (2, 3):
        raise ValueError(f"{name} must be (image, labels) or (image, labels, mask), got {len(data)} of them")
    image = _opened(data[0])
    if not 2 <= len(image.shape) <= 4:
        raise ValueError(f"{name}: image must be (y, x), (z, y, x) or (c, z, y, x), got shape {tuple(image.shape)}")
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


def _spacing(spacing: Any, *, pair: bool = True) -> tuple[float, float, float]:
    """Of sections as far apart as rows where a ``pair`` of numbers is welcome, and comes."""
    if spacing is None:
        return 1.0, 1.0, 1.0
    values = spacing_of(spacing, 2 if pair and np.size(spacing) == 2 else 3)
    z, y, x = values if len(values) == 3 else (values[0], *values)
    return z, y, x


def _settled(piece: Piece, labels: Sequence[str], spacing: Any, name: str) -> Piece:
    """The piece with these labels alone (empty: all), and another spacing where one is given; checked."""
    for label in labels:
        if label not in piece.labels:
            raise ValueError(f"labels must be of {', '.join(piece.labels) or 'no labels'}, got {label!r}")
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
    if spacing is not None:
        piece = replace(piece, spacing=_spacing(spacing, pair=shape[0] == 1))
    if not labels:
        return piece
    return replace(
        piece,
        labels={label: array for label, array in piece.labels.items() if label in labels},
        masks={label: array for label, array in piece.masks.items() if label in labels},
    )


class Part:
    """A box of an array, with as many axes as are wanted: ones are put before those that it has. It is read where it is
    sliced."""

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
        at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
        named = (*keys[:at], *keys[at + 1 :])
        keys = (*named[:at], *(slice(None),) * (self.dims - len(named)), *named[at:])
        box = []
        for k, w in zip(keys, self.window, strict=True):
            start, stop, _ = k.indices(w.stop - w.start)
            box.append(slice(w.start + start, w.start + max(start, stop)))
        found = np.asarray(self.source[tuple(box[self.added :])])
        return found.reshape((1,) * self.added + found.shape)

    def cut(self, axis: int, start: int, stop: int) -> Part:
        """Of the last three axes one, from one voxel to another."""
        window = list(self.window)
        at = self.dims - 3 + axis
        window[at] = slice(window[at].start + start, window[at].start + stop)
        return Part(self.source, self.dims, window)


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


def nbytes(piece: Piece) -> int:
    """Of the image with its labels and masks."""
    arrays = (piece.image, *piece.labels.values(), *piece.masks.values())
    return sum(math.prod(array.shape) * np.dtype(array.dtype).itemsize for array in arrays)


def in_memory(piece: Piece) -> Piece:
    """The piece with arrays that were read."""
    return replace(
        piece,
        image=np.asarray(piece.image[:]),
        labels={name: np.asarray(array[:]) for name, array in piece.labels.items()},
        masks={name: np.asarray(array[:]).astype(bool, copy=False) for name, array in piece.masks.items()},
    )


def resampled(piece: Piece, spacing: Sequence[float]) -> Piece:
    """The piece with voxels of another size, in memory, so that datasets of different microscopes can be mixed.

    The image is read linearly, after a Gaussian along axes whose voxels grow (it takes the place of the larger
    voxel's mean); labels and masks at the nearest voxel, so that no id appears that was not there. A piece of that
    spacing is returned as it is.

    Parameters
    ----------
    piece : Piece
    spacing : (z, y, x) in nanometres

    Returns
    -------
    Piece

    Examples
    --------
    >>> import numpy as np
    >>> from emfast import sampling
    >>> piece = sampling.Piece(np.zeros((1, 2, 4, 4), np.uint8), {}, spacing=(30, 8, 8))
    >>> sampling.resampled(piece, (30, 4, 4)).shape
    (2, 8, 8)
    """
    steps = spacing_of(spacing, 3)
    factors = np.array(steps) / np.array(piece.spacing)
    if (factors == 1).all():
        return piece
    shape = [max(1, int(n / f + 1e-6)) for n, f in zip(piece.shape, factors, strict=True)]
    whole = cut(piece, (0, 0, 0), piece.shape)
    image = _softened(whole.image, factors)
    table = np.zeros((shape[0], 9))
    table[:, :3] = np.minimum(factors, piece.shape) / 2 - 0.5  # a piece thinner than a voxel is read in its middle
    table[:, 0] += np.arange(shape[0]) * factors[0]
    table[:, 4], table[:, 8] = factors[1], factors[2]
    names = [*piece.labels]
    labels = [np.ascontiguousarray(whole.labels[name])[None] for name in names]
    masks = [np.ascontiguousarray(piece.masks[name][...])[None] for name in names if name in piece.masks]
    moved, ids, known = (
        Host()
        .native()
        .resample(Host(), image[None], labels, masks, table[None].astype(np.float32), None, 1, shape, list(piece.shape))
    )
    kept = [name for name in names if name in piece.masks]
    moved = moved[0] if piece.image.dtype.kind == "f" else np.rint(moved[0]).astype(piece.image.dtype)
    return replace(
        piece,
        image=moved,
        labels={name: each[0] for name, each in zip(names, ids, strict=True)},
        masks={name: each[0] for name, each in zip(kept, known, strict=True)},
        spacing=(steps[0], steps[1], steps[2]),
    )


def _softened(image: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """As float32; what a larger voxel cannot show is smoothed away."""
    from ..augmentation._canvas import Canvas
    from ..augmentation._tones import gaussian

    out = np.array(image, np.float32, order="C")
    canvas = Canvas(out, 0, 1)
    for axis, factor in enumerate(factors):
        if factor > 1:
            sigma = math.sqrt(factor**2 - 1) / math.sqrt(12)  # what boxes of one and of `factor` voxels differ by
            canvas.smooth(dict.fromkeys(range(canvas.depth), gaussian(sigma, axis)))
    return out
