"""A source of which blocks need less of the halo than of others: what nobody looks at is not read.

A halo of one voxel costs a whole chunk on each side of a block. Affinities look back from their voxel, so the watershed
needs them only after a block, and the region graph not around it at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine.grid import is_lazy
from .._engine.job import last

Pairs = Sequence[tuple[int, int]]


def spared(volume: Any, block: Sequence[int], halo: Pairs, wanted: Pairs) -> Any:
    """The volume, whose boxes hold zeros beyond the wanted halo; one in memory as it is."""
    return Spared(volume, block, halo, wanted) if is_lazy(volume) else volume


class Spared:
    """See :func:`spared`. It is sliced with the outer boxes of blocks only."""

    def __init__(self, volume: Any, block: Sequence[int], halo: Pairs, wanted: Pairs) -> None:
        self.volume, self.block = volume, tuple(block)
        self.halo, self.wanted = list(halo), list(wanted)
        self.shape, self.dtype, self.ndim = tuple(volume.shape), np.dtype(volume.dtype), len(volume.shape)
        self.chunks, self.shards = getattr(volume, "chunks", None), getattr(volume, "shards", None)

    @property
    def uri(self) -> str:
        return str(getattr(self.volume, "uri", type(self.volume).__name__))

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        window = index[-len(self.block) :]
        lead = self.shape[: self.ndim - len(window)]
        read, there = [], []
        for w, n, side, (before, _), (low, high) in zip(
            window, self.shape[len(lead) :], self.block, self.halo, self.wanted, strict=True
        ):
            if w.start == 0 and side <= before:  # which block this is cannot be told
                read.append(w)
                there.append(slice(0, w.stop))
                continue
            start = w.start + before if w.start else 0  # of the core
            begin, end = max(w.start, start - low), min(w.stop, min(start + side, n) + high)
            read.append(slice(begin, end))
            there.append(slice(begin - w.start, end - w.start))
        out = np.zeros((*lead, *(w.stop - w.start for w in window)), self.dtype)
        out[last(tuple(there))] = self.volume[last(tuple(read))]
        return out


__all__ = ["spared"]
