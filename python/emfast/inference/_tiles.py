"""Tiles along an axis: where each is read, which voxels it gives, and how much it counts there.

Tiles lie on one grid of the whole volume: tile k gives the voxels from k * step on, its core, and cores lie side by
side. Which tiles make a voxel, and in which order, is so the same whatever blocks the volume is worked on in. Tiles
begin at multiples of the network's stride, as the volume itself would. What lies beyond the volume is mirrored.

Where tiles are blended each reaches beyond its core, and a voxel is the sum of those that reach it, weighted. Along
each axis weights are multiples of 1/256 whose sum is 1, so that the product of three of them, and any sum of such
products, is exact in float32: the weights of a voxel sum to 1, not nearly so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

from ..sampling._pieces import _mirrored

__all__ = ["Axis", "Blend"]

Blend = Literal["crop", "linear", "gaussian", "bump"]
_PARTS = 256


@dataclass(frozen=True)
class Axis:
    """Tiles of one axis.

    Attributes
    ----------
    size : voxels of the volume
    tile : voxels that a tile reads
    step : from one core to the next
    lead : voxels that a tile gives before its core
    use : voxels that a tile gives, before, in and after its core
    edge : voxels that a tile reads before the first that it gives
    blend : how tiles are joined
    """

    size: int
    tile: int
    step: int
    lead: int
    use: int
    edge: int
    blend: Blend = "crop"

    @property
    def count(self) -> int:
        return -(-self.size // self.step)

    @property
    def blended(self) -> bool:
        """Whether a voxel may be of several tiles."""
        return self.blend != "crop" and self.count > 1 and self.use > self.step

    def start(self, k: int) -> int:
        """The first voxel that tile k reads."""
        return k * self.step - self.lead - self.edge

    def span(self, k: int) -> tuple[int, int]:
        """The voxels of the volume that tile k gives."""
        if not self.blended:
            return k * self.step, min(self.size, (k + 1) * self.step)
        first = k * self.step - self.lead
        return max(0, first), min(self.size, first + self.use)

    def tiles(self, start: int, stop: int) -> range:
        """Those that give any voxel from start to stop."""
        if not self.blended:
            return range(start // self.step, -(-stop // self.step))
        first = (start + self.lead - self.use) // self.step + 1
        return range(max(0, first), min(self.count, -(-(stop + self.lead) // self.step)))

    def weights(self, k: int) -> np.ndarray:
        """How much tile k counts at each voxel of its span."""
        return _weights(self, k)

    @cached_property
    def window(self) -> np.ndarray:
        """What a voxel of a tile counts by itself, above 0 everywhere."""
        at = (np.arange(self.use) + 0.5) / self.use
        if self.blend == "linear":
            return np.minimum(at, 1 - at)
        if self.blend == "gaussian":
            return np.exp(-0.5 * ((at - 0.5) * 8) ** 2)
        bump = np.exp(4 - 1 / (at * (1 - at)))
        return np.maximum(bump, np.finfo(float).tiny * 1e3)

    def read(self, start: int, stop: int) -> tuple[int, int]:
        """The voxels from which those of all tiles of a region are taken: those before the volume's first voxel are
        mirrored, and so are those after its last."""
        found = self.places(start, stop)
        return int(found.min()), int(found.max()) + 1

    def places(self, start: int, stop: int) -> np.ndarray:
        """Where in the volume each voxel is taken from that the tiles of a region read, from the first to the last."""
        tiles = self.tiles(start, stop)
        first, last = self.start(tiles[0]), self.start(tiles[-1]) + self.tile
        return _mirrored(first, last - first, self.size)


@lru_cache(1 << 14)
def _weights(axis: Axis, k: int) -> np.ndarray:
    low, high = axis.span(k)
    if not axis.blended:
        return np.ones(high - low, np.float32)
    reach = math.ceil(axis.use / axis.step)  # how many tiles further there may be one that gives the same voxel
    near = range(max(0, k - reach), min(axis.count, k + reach + 1))
    voxels = np.arange(low, high)
    raw = np.zeros((len(near), len(voxels)))
    for row, other in enumerate(near):
        at = voxels - (other * axis.step - axis.lead)
        inside = (at >= 0) & (at < axis.use)
        raw[row, inside] = axis.window[at[inside]]
    # What is left of the sum goes to the largest, the first of equals.
    parts = np.floor(raw / raw.sum(0) * _PARTS).astype(np.int64)
    parts[raw.argmax(0), np.arange(len(voxels))] += _PARTS - parts.sum(0)
    found = np.asarray(parts[k - near.start] / np.float32(_PARTS), np.float32)
    found.flags.writeable = False
    return found
