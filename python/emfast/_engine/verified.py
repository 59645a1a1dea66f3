"""A volume that is compared with the journal of the run that wrote it, whenever it is read."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..errors import CorruptData
from ..volumes._volume import normalised
from .grid import Grid, Window, words_of
from .identity import volume_words
from .job import checksum, last
from .journal import finished


class Verified:
    """Reads of a volume: the blocks of the journal that a read covers must have their checksums.

    What lies within one block is read with all of it. A block of which a read has a part only, as the halo of others,
    is taken as it is: who reads a volume in blocks covers each of them once.
    """

    def __init__(self, volume: Any, path: str) -> None:
        self.volume, self.path = volume, path
        self.shape, self.dtype, self.ndim = tuple(volume.shape), volume.dtype, len(volume.shape)
        about, self._finished = finished(path)
        words = [*volume_words(volume)]
        names = [name for name, found in about["targets"].items() if found == words]
        if not names:
            raise ValueError(f"journal must be that of {words[0]}, got {path} of {[*about['targets'].values()]}")
        self._column = list(about["targets"]).index(names[0])
        self._grid = Grid(about["shape"], about["block"])
        self.chunks = (*self.shape[: self.ndim - len(self._grid.shape)], *self._grid.block)  # damaged as a whole

    def __reduce__(self) -> Any:
        return Verified, (self.volume, self.path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "volume" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.volume, name)

    def __getitem__(self, key: Any) -> np.ndarray:
        window, gone = normalised(key, self.shape)
        lead = self.ndim - len(self._grid.shape)
        box = tuple(slice(w.start, w.stop) for w in window[lead:])
        sides = [(b.stop - b.start, part.step) for b, part in zip(box, window[lead:], strict=True)]
        steps = (*window[:lead], *(slice(0, n, step) for n, step in sides))
        part = self._read(box)[steps]
        return part.reshape([n for n, single in zip(part.shape, gone, strict=True) if not single])

    def _read(self, box: Window) -> np.ndarray:
        touched = [range(b.start // side, -(-b.stop // side)) for b, side in zip(box, self._grid.block, strict=True)]
        blocks = [self._grid[self._grid.index_of(place)] for place in itertools.product(*touched)]
        wide = blocks[0].core if len(blocks) == 1 else box
        found = np.asarray(self.volume[last(wide)])
        for block in blocks:
            if all(w.start <= c.start and c.stop <= w.stop for w, c in zip(wide, block.core, strict=True)):
                self._check(block.index, found[last(_within(wide, block.core))])
        return found[last(_within(wide, box))]

    def _check(self, index: int, voxels: np.ndarray) -> None:
        core = words_of(self._grid[index].core)
        if not self._finished.done[index]:
            raise CorruptData(f"{self.volume.uri} was not written in {core}: {self.path} has no such block")
        if checksum(voxels) != self._finished.sums[index, self._column]:
            raise CorruptData(f"{self.volume.uri} does not hold in {core} what {self.path} says was written")


def _within(outer: Window, inner: Window) -> Window:
    return tuple(slice(i.start - o.start, i.stop - o.start) for o, i in zip(outer, inner, strict=True))
