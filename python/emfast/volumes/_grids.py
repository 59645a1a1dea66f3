"""Windows and chunks: which of them overlap, and where."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ._source import Window


class Part(NamedTuple):
    """A chunk's overlap with a window: its place in the grid, where it lies in what is read, and where in the chunk."""

    place: tuple[int, ...]
    target: tuple[slice, ...]
    within: tuple[slice, ...]


Row = list[tuple[int, slice, slice]]


def row_of(window: slice, side: int, n: int) -> Row:
    """Along one axis."""
    a, b, step = window.start, window.stop, window.step or 1
    row = []
    k = 0  # of the window's voxels
    while (at := a + k * step) < b:
        index = at // side
        end = min((index + 1) * side, b, n)
        stop = k + -(-(end - at) // step)
        start = at - index * side
        row.append((index, slice(k, stop), slice(start, start + (stop - 1 - k) * step + 1, step)))
        k = stop
    return row


def parts_of(window: Window, sides: Sequence[int], shape: Sequence[int]) -> Iterator[Part]:
    """Every chunk that holds a voxel of the window, in C order."""
    return joined([row_of(w, side, n) for w, side, n in zip(window, sides, shape, strict=True)])


def joined(rows: Sequence[Row]) -> Iterator[Part]:
    for places in itertools.product(*rows):
        yield Part(tuple(p[0] for p in places), tuple(p[1] for p in places), tuple(p[2] for p in places))


def grouped(
    window: Window, sides: Sequence[int], per: Sequence[int], shape: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], list[Row]]]:
    """The same, shard by shard of ``per`` chunks: the shard's place and its parts."""
    rows = []
    for w, side, count, n in zip(window, sides, per, shape, strict=True):
        groups: dict[int, Row] = {}
        for entry in row_of(w, side, n):
            groups.setdefault(entry[0] // count, []).append(entry)
        rows.append(list(groups.items()))
    for groups_ in itertools.product(*rows):
        yield tuple(g[0] for g in groups_), [g[1] for g in groups_]


def covers(part: Part, sides: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether the window holds all voxels of the chunk that the array has."""
    return all(
        w.start == 0 and w.step == 1 and w.stop == min(side, n - i * side)
        for i, w, side, n in zip(part.place, part.within, sides, shape, strict=True)
    )


__all__ = ["Part", "covers", "grouped", "joined", "parts_of", "row_of"]
