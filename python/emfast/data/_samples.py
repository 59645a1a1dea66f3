"""Samples: an image with its labels and masks, each a lazy volume, aligned by nanometres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..volumes import Volume


@dataclass(frozen=True)
class Provenance:
    """Where a sample comes from: the dataset, its files, and what was done to them."""

    dataset: str
    files: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Sample:
    """An image with its labels.

    Attributes
    ----------
    name : str
    raw : Volume or None
        The image; None where only labels are there.
    labels : mapping of str to Volume
        0 is background, or nobody knows where the mask says so.
    mask : mapping of str to Volume
        For some of the labels: True where they are known. Others are known all over.
    split : str
        ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
    provenance : Provenance
    points : mapping of str to array
        Places in nanometres along z, y, x.

    The volumes need not cover the same box: offsets say which. :meth:`aligned` cuts them to what they share.
    """

    name: str
    raw: Volume | None
    labels: Mapping[str, Volume] = field(default_factory=dict)
    mask: Mapping[str, Volume] = field(default_factory=dict)
    split: str = "all"
    provenance: Provenance = field(default_factory=lambda: Provenance("", ()))
    points: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Of the image, else of the labels."""
        return self._first().spacing

    @property
    def offset(self) -> tuple[float, ...] | None:
        """Of the image, else of the labels."""
        return self._first().offset

    def _first(self) -> Volume:
        if self.raw is not None:
            return self.raw
        return next(iter(self.labels.values()))

    def volumes(self) -> list[Volume]:
        """All of them."""
        return [*([] if self.raw is None else [self.raw]), *self.labels.values(), *self.mask.values()]

    def aligned(self, *names: str) -> Sample:
        """Image, these labels (default: all) and their masks, cut to the box that they share.

        Voxels of different sizes are cut at whole voxels of the largest, the nearest ones: shifts below half of a voxel
        (a grid of 2 nm whose first centre is half a voxel beside that of 4 nm) are not seen.
        """
        chosen = self._chosen(names)
        volumes = chosen.volumes()
        if len({volume.spacing is None for volume in volumes}) > 1:
            raise ValueError(f"{self.name} must have volumes that all say their spacing, or none: give it with add")
        boxes = [_box(volume) for volume in volumes]
        if len({len(box) for box in boxes}) > 1:
            raise ValueError(f"{self.name} must have volumes of as many axes each, got {[v.axes for v in volumes]}")
        low = [max(box[i][0] for box in boxes) for i in range(len(boxes[0]))]
        high = [min(box[i][1] for box in boxes) for i in range(len(boxes[0]))]
        step = [max(box[i][2] for box in boxes) for i in range(len(boxes[0]))]
        counts = [max(0, round((b - a) / s)) for a, b, s in zip(low, high, step, strict=True)]
        if 0 in counts:
            came = [volume.offset for volume in volumes]
            raise ValueError(f"{self.name} must have volumes that share a box, got the offsets {came}")
        return chosen._cut(lambda v: _window(v, low, [a + n * s for a, n, s in zip(low, counts, step, strict=True)]))

    def cut(self, at: int, *, splits: Sequence[str] = ("train", "validation")) -> tuple[Sample, Sample]:
        """The sections before one, and those from it on; ``at`` counts sections of the image.

        Parameters
        ----------
        at : int
        splits : pair of str
            What each is for.

        Returns
        -------
        pair of Sample
        """
        first = self._first()
        if not 0 < at < first.shape[first.axes.index("z")]:
            raise ValueError(f"at must be a section inside {self.name}, from 1 to {first.shape[0] - 1}, got {at}")
        start, _, step = _box(first)[0]
        z = start + at * step
        parts = []
        for name, low, high in ((splits[0], -math.inf, z), (splits[1], z, math.inf)):
            part = self._cut(lambda v, low=low, high=high: _window(v, [low], [high]))
            parts.append(replace(part, name=f"{self.name}/{name}", split=name))
        return parts[0], parts[1]

    def _chosen(self, names: Sequence[str]) -> Sample:
        for name in names:
            if name not in self.labels:
                raise ValueError(f"names must be of {', '.join(self.labels) or 'no labels'}, got {name!r}")
        labels = {n: v for n, v in self.labels.items() if not names or n in names}
        return replace(self, labels=labels, mask={n: v for n, v in self.mask.items() if n in labels})

    def _cut(self, window: Any) -> Sample:
        def cut(volume: Volume) -> Volume:
            return volume.crop(window(volume))

        labels = {name: cut(volume) for name, volume in self.labels.items()}
        mask = {name: cut(volume) for name, volume in self.mask.items()}
        return replace(self, raw=None if self.raw is None else cut(self.raw), labels=labels, mask=mask)

    def close(self) -> None:
        """Done with its files."""
        for volume in self.volumes():
            volume.close()

    def __enter__(self) -> Sample:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        image = "no image" if self.raw is None else f"{self.raw.shape} {self.raw.dtype}"
        return f"<Sample {self.name} ({self.split}): {image}, labels {', '.join(self.labels) or 'none'}>"


def _box(volume: Volume) -> list[tuple[float, float, float]]:
    """Start, end and voxel along each axis of space; voxels count where nobody says how large they are."""
    sizes = [n for n, a in zip(volume.shape, volume.axes, strict=True) if a in "zyx"]
    spacing = volume.spacing or (1.0,) * len(sizes)
    offset = volume.offset or (0.0,) * len(sizes)
    return [(o, o + n * s, s) for n, s, o in zip(sizes, spacing, offset, strict=True)]


def _window(volume: Volume, low: Sequence[float], high: Sequence[float]) -> tuple[Any, ...]:
    """The voxels between two corners; of the axes of space that are not named, all."""
    window: list[Any] = []
    for (start, end, step), a, b in zip(_box(volume), low, high, strict=False):
        size = round((end - start) / step)
        first = 0 if a == -math.inf else min(size, max(0, round((a - start) / step)))
        last = size if b == math.inf else min(size, max(first, round((b - start) / step)))
        window.append(slice(first, last))
    space = sum(a in "zyx" for a in volume.axes)
    return (slice(None),) * (volume.ndim - space) + tuple(window) + (slice(None),) * (space - len(window))


def fit(array: Any, shape: Sequence[int], *, fill: Any = 0) -> np.ndarray:
    """The middle of an array, as large as wanted: too much is cut off on both sides, too little filled up.

    Parameters
    ----------
    array : array
    shape : sequence of int
        Of the last axes; those before them stay.
    fill : number, default 0

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.data.fit(np.ones((2, 3)), (3, 2)).tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """
    found = np.asarray(array)
    if len(shape) > found.ndim or any(n < 1 for n in shape):
        raise ValueError(f"shape must be up to {found.ndim} sizes, at least 1 each, got {tuple(shape)}")
    lead = found.ndim - len(shape)
    out = np.full((*found.shape[:lead], *shape), fill, found.dtype)
    source, target = [slice(None)] * lead, [slice(None)] * lead
    for have, want in zip(found.shape[lead:], shape, strict=True):
        n = min(have, want)
        source.append(slice((have - n) // 2, (have - n) // 2 + n))
        target.append(slice((want - n) // 2, (want - n) // 2 + n))
    out[tuple(target)] = found[tuple(source)]
    return out


__all__ = ["Provenance", "Sample", "fit"]
