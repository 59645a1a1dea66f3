"""Pieces out of what people have: arrays, volumes, samples and datasets by name; and pieces at another spacing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .._arrays import Host
from .._options import spacing_of
from ._pieces import Piece, cut

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
    data : str, Sample, Piece, arrays, or several of them
        A dataset's name (:func:`emfast.data.open`); a sample of one; a piece; ``(image, labels)`` or ``(image,
        labels, mask)`` of arrays or volumes, where labels and masks may be mappings by name. An image is (y, x), (z,
        y, x) or (c, z, y, x), its labels the same without channels. labels : sequence of str Which of the labels are
        wanted. Default: all. split : {"all", "train", "validation"} Samples that say what they are for are kept
        accordingly. Where no sample says ``"validation"``, the last sections of each are for that. validation : float
        The share of sections that are then cut off. spacing : (z, y, x) in nanometres, optional Of arrays that do not
        say it. Default: (1, 1, 1). path : path, optional Of the dataset's files. load : bool, optional Read all into
        memory. Default: a piece below two gibibytes is.

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
    found = [(piece, said) for each in _several(data, path) for piece, said in _pieces(each, labels, spacing)]
    if split != "all":
        if any(said == "validation" for _, said in found):
            found = [(piece, said) for piece, said in found if said == split]
        else:
            found = [(_sections(piece, split, validation), said) for piece, said in found if said in ("all", "train")]
    if not found:
        raise ValueError(
            f"data must have images with labels {', '.join(labels) or 'of any name'} for {split}, got none"
        )
    return [_loaded(piece, load) for piece, _ in found]


def _several(data: Any, path: Any) -> list[Any]:
    if isinstance(data, str):
        from .. import data as datasets

        return [sample for sample in datasets.open(data, path) if sample.raw is not None and sample.labels]
    is_pair = isinstance(data, tuple) and len(data) in (2, 3) and hasattr(data[0], "shape")
    if isinstance(data, Piece) or is_pair or hasattr(data, "provenance"):
        return [data]
    if isinstance(data, Sequence):
        return [item for each in data for item in _several(each, path)]
    raise TypeError(f"data must be a dataset's name, samples, pieces or (image, labels), got {type(data).__name__}")


def _pieces(data: Any, labels: Sequence[str], spacing: Sequence[float] | None) -> list[tuple[Piece, str]]:
    """With what each is said to be for."""
    if isinstance(data, Piece):
        return [(replace(data, labels=_chosen(data.labels, labels)), "all")]
    if hasattr(data, "provenance"):
        wanted = [name for name in data.labels if not labels or name in labels]
        if data.raw is None or not wanted:
            return []
        sample = data.aligned(*wanted)
        steps = sample.spacing if spacing is None else spacing
        return [(_piece(sample.raw, sample.labels, sample.mask, steps, sample.name), sample.split)]
    image, ids, *rest = data
    named = ids if isinstance(ids, Mapping) else {"labels": ids}
    masks = rest[0] if rest and rest[0] is not None else {}
    if not isinstance(masks, Mapping):
        masks = dict.fromkeys(named, masks)
    return [(_piece(image, _chosen(named, labels), masks, spacing, ""), "all")]


def _chosen(named: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    for name in labels:
        if name not in named:
            raise ValueError(f"labels must be of {', '.join(named) or 'no labels'}, got {name!r}")
    return {name: array for name, array in named.items() if not labels or name in labels}


def _piece(image: Any, labels: Mapping[str, Any], masks: Mapping[str, Any], spacing: Any, name: str) -> Piece:
    image = image if hasattr(image, "shape") else np.asarray(image)
    if not 2 <= len(image.shape) <= 4:
        raise ValueError(f"image must be (y, x), (z, y, x) or (c, z, y, x), got shape {tuple(image.shape)}")
    sides = tuple(image.shape[-3:]) if len(image.shape) > 2 else (1, *image.shape)
    dims = min(len(image.shape), 3)
    steps = spacing_of((1.0,) * dims if spacing is None else spacing, len(tuple(spacing)) if spacing else dims)
    steps = steps if len(steps) == 3 else (steps[0], *steps)
    for kind, arrays in (("labels", labels), ("masks", masks)):
        for key, array in arrays.items():
            if tuple(array.shape) not in (sides, sides[1:] if sides[0] == 1 else sides):
                raise ValueError(f"{kind} {key} must have the shape of the image {sides}, got {tuple(array.shape)}")
            if np.dtype(array.dtype).kind not in ("iub" if kind == "labels" else "iubf"):
                raise TypeError(f"{kind} {key} must be integers, got {array.dtype}")
    lead = {2: (None, None), 3: (None,), 4: ()}[len(image.shape)]
    return Piece(
        _Window(image, lead),
        {key: _Window(array, (None,) * (3 - len(array.shape))) for key, array in labels.items()},
        {key: _Window(array, (None,) * (3 - len(array.shape))) for key, array in masks.items() if key in labels},
        (steps[0], steps[1], steps[2]),
        name,
    )


class _Window:
    """An array with axes of one in front, and from one section to another, that is read where it is sliced."""

    def __init__(self, array: Any, lead: tuple[None, ...], start: int = 0, stop: int | None = None) -> None:
        self.array, self.lead = array, lead
        whole = (1,) * len(lead) + tuple(array.shape)
        self.start, self.stop = start, whole[-3] if stop is None else stop
        self.shape = (*whole[:-3], self.stop - self.start, *whole[-2:])
        self.dtype = np.dtype(array.dtype)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> np.ndarray:
        if key is Ellipsis:
            key = ()
        key = key if isinstance(key, tuple) else (key,)
        key = (*key, *(slice(None),) * (len(self.shape) - len(key)))
        z = len(self.shape) - 3
        first, last, _ = key[z].indices(self.shape[z])
        window = [*key[:z], slice(self.start + first, self.start + max(first, last)), *key[z + 1 :]]
        inner = tuple(window[len(self.lead) :])
        return np.asarray(self.array[inner])[(None,) * len(self.lead)]

    def between(self, start: int, stop: int) -> _Window:
        return _Window(self.array, self.lead, self.start + start, self.start + stop)


def _sections(piece: Piece, split: str, share: float) -> Piece:
    """The first or the last sections of a piece; rows of a picture."""
    depth = piece.shape[0]
    at = depth - max(1, round(depth * share))
    if at < 1:
        raise ValueError(f"split must be all for a piece of {depth} section, got {split!r}")
    start, stop = (0, at) if split == "train" else (at, depth)

    def part(array: Any, lead: tuple[slice, ...]) -> Any:
        if isinstance(array, _Window):
            return array.between(start, stop)
        box = (*lead, slice(start, stop))
        return array[box]

    return replace(
        piece,
        image=part(piece.image, (slice(None),)),
        labels={name: part(array, ()) for name, array in piece.labels.items()},
        masks={name: part(array, ()) for name, array in piece.masks.items()},
    )


def _loaded(piece: Piece, load: bool | None) -> Piece:
    arrays = [piece.image, *piece.labels.values(), *piece.masks.values()]
    if load is None:
        load = sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays) < _AT_HAND
    if not load:
        return piece
    return replace(
        piece,
        image=np.asarray(piece.image[...]),
        labels={name: np.asarray(array[...]) for name, array in piece.labels.items()},
        masks={name: np.asarray(array[...]).astype(bool, copy=False) for name, array in piece.masks.items()},
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
    table[:, :3] = factors / 2 - 0.5
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
