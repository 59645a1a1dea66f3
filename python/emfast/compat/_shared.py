"""What the drop-ins share: the order of memory, labels that are floats, images label by label, edges and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..labels import point_cloud


class DimensionError(Exception):
    """The array has the wrong number of dimensions."""


def by_memory(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """The array with its axes from the slowest to the fastest, and whether that turned them round.

    The peers work in the order of memory: a Fortran array is to them the C array of reversed axes.
    """
    turned = array.flags.f_contiguous and not array.flags.c_contiguous
    return (array.T, True) if turned else (array, False)


def as_integers(array: np.ndarray) -> np.ndarray:
    """Labels that are floats as the integers of their bits, which are equal where they are; -0 becomes 0."""
    if array.dtype.kind != "f":
        return array
    if array.dtype.itemsize > 8:
        raise TypeError(f"labels must be integers or floats of at most 64 bits, got {array.dtype}")
    return (array + array.dtype.type(0)).view(f"u{array.dtype.itemsize}")


def as_numbers(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The way back from ``as_integers``."""
    return bits.view(dtype) if dtype.kind == "f" else bits


def as_unsigned(array: np.ndarray) -> np.ndarray:
    """Integers or bool as unsigned integers of the same bits."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind in "ib" else array


class Images:
    """An image per label: ``paint(label, where)`` in the voxels ``where`` of the label, 0 elsewhere.

    The voxels are found once for all labels. With ``in_place`` there is one image, read-only, and the next label takes
    the place of the last.
    """

    def __init__(
        self, labels: np.ndarray, paint: Callable[[Any, np.ndarray], Any], dtype: np.dtype, in_place: bool
    ) -> None:
        array, self._turned = by_memory(labels)
        self._shape, self._dtype, self._paint, self._in_place = array.shape, dtype, paint, in_place
        cloud = point_cloud(as_integers(array))
        ids = as_numbers(np.asarray(cloud.ids), labels.dtype)
        bounds = cloud.offsets.tolist()
        ranges = list(zip(ids.tolist(), bounds, bounds[1:], strict=False))
        self._ranges = sorted(ranges) if labels.dtype.kind == "f" else ranges  # bits ascend otherwise than floats
        self._indices = cloud.indices

    def __len__(self) -> int:
        return len(self._ranges)

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray]]:
        image = np.zeros(self._shape, self._dtype)
        for label, start, stop in self._ranges:
            where = self._indices[start:stop]
            if not self._in_place:
                image = np.zeros(self._shape, self._dtype)
            image.reshape(-1)[where] = self._paint(label, where)
            shown = image.T if self._turned else image
            if not self._in_place:
                yield label, shown
                continue
            shown = shown.view()
            shown.flags.writeable = False
            yield label, shown
            image.reshape(-1)[where] = 0


def ends(step: Sequence[int], shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where edges with this step begin and end that lie in the volume."""
    begin = tuple(slice(max(0, -s), max(0, min(n, n - s))) for s, n in zip(step, shape, strict=True))
    end = tuple(slice(max(0, s), max(0, min(n, n + s))) for s, n in zip(step, shape, strict=True))
    return begin, end


def smallest_members(nodes: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """For each of ascending nodes the smallest node of its segment."""
    _, first, places = np.unique(segments, return_index=True, return_inverse=True)
    return nodes[first][places.ravel()]


__all__ = [
    "DimensionError",
    "Images",
    "as_integers",
    "as_numbers",
    "as_unsigned",
    "by_memory",
    "ends",
    "smallest_members",
]
