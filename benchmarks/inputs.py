"""The inputs of the benchmarks, made from seeds; real label volumes where a developer has them.

``Inputs(size).blobs`` and so on are made on first use and kept. None of them needs SciPy.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np

import emfast

SHARED = Path(os.environ.get("EMFAST_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
SPACING = (30.0, 8.0, 8.0)
MADE = 256  # the largest phantom that is made; larger volumes are tiled from its mirror images


def _box(values: np.ndarray, axis: int, width: int) -> np.ndarray:
    """Sums over `width` neighbours along an axis, wrapping round."""
    sums = np.cumsum(values, axis=axis, dtype=np.int32)
    total = np.take(sums, [-1], axis)
    later = np.roll(sums, -width, axis)
    end = [slice(None)] * values.ndim
    end[axis] = slice(-width, None)
    later[tuple(end)] += total
    return later - sums


class Inputs:
    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.shape = (size, size, size)
        self.seed = seed

    @cached_property
    def blobs(self) -> np.ndarray:
        """About 11 % foreground: smooth noise above a threshold, uint8."""
        values = np.random.default_rng(self.seed).integers(0, 16, self.shape, np.int32)
        for width in (9, 7):
            for axis in range(3):
                values = _box(values, axis, width) >> 2
        step = max(1, values.size // 1_000_000)
        return (values > np.quantile(values.ravel()[::step], 0.89)).astype(np.uint8)

    @cached_property
    def noise(self) -> np.ndarray:
        """Half of the voxels at random, uint8: the hardest input of a component labelling."""
        bits = np.random.default_rng(self.seed + 1).integers(0, 256, -(-(self.size**3) // 8), np.uint8)
        return np.unpackbits(bits)[: self.size**3].reshape(self.shape)

    @cached_property
    def cells(self) -> np.ndarray:
        """A dense label volume with thin membranes, uint32: the cells of a phantom, tiled and mirrored when large."""
        side = min(self.size, MADE)
        tile = emfast.phantom.make((side,) * 3, seed=self.seed, spacing=(16, 8, 8)).labels
        if side == self.size:
            return tile
        out = np.empty(self.shape, np.uint32)
        offset = 0
        for z in range(0, self.size, side):
            for y in range(0, self.size, side):
                for x in range(0, self.size, side):
                    flips = tuple(slice(None, None, -1 if (k // side) % 2 else 1) for k in (z, y, x))
                    part = out[z : z + side, y : y + side, x : x + side]
                    copy = tile[flips][: part.shape[0], : part.shape[1], : part.shape[2]]
                    part[...] = np.where(copy > 0, copy + np.uint32(offset), 0)
                    offset += int(tile.max())
        return out

    @cached_property
    def cells64(self) -> np.ndarray:
        """The same with ids scattered over 64 bits, as proofreading servers hand them out."""
        return self.cells.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)

    @cached_property
    def affinities(self) -> np.ndarray:
        """Nearest affinities like a network's, float32, at most 256³: a phantom's, smoothed over 3³ voxels and
        stretched until the inside of cells is 1, with noise below a grey value to part ties. A fragment in 100 voxels.
        """
        side = min(self.size, MADE)
        made = emfast.phantom.make((side,) * 3, seed=self.seed, spacing=(16, 8, 8)).affinities
        noise = np.random.default_rng(self.seed + 2)
        out = np.empty(made.shape, np.float32)
        for channel, values in zip(out, made, strict=True):
            sums = values.astype(np.int32)
            for axis in range(3):
                sums = _box(sums, axis, 3)
            np.divide(sums, np.float32(27 * 255 * 0.97), out=channel)
            channel += (noise.random(channel.shape, np.float32) - np.float32(0.5)) / np.float32(255)
            np.clip(channel, 0, 1, out=channel)
        return out

    @cached_property
    def fragments(self) -> np.ndarray:
        """Their watershed, uint32."""
        return np.asarray(emfast.watershed(self.affinities)).astype(np.uint32)

    @cached_property
    def real(self) -> np.ndarray | None:
        """A dense automatic segmentation of mouse cortex (pinky40), uint32, if it is at hand."""
        return _read("pinky40_labels_dev.h5", "labels")

    @cached_property
    def mitochondria(self) -> np.ndarray | None:
        """Mitochondria of hippocampus (EPFL), mask, if at hand."""
        labels = _read("lucchi_test_instances_dev.h5", "groundtruth")
        return None if labels is None else (labels > 0).astype(np.uint8)

    def forget(self) -> None:
        """Give back the memory of what was made."""
        for name in ("blobs", "noise", "cells", "cells64", "affinities", "fragments", "real", "mitochondria"):
            self.__dict__.pop(name, None)


def _read(file: str, name: str) -> np.ndarray | None:
    path = SHARED / file
    if not path.is_file():
        return None
    try:
        import h5py
    except ImportError:
        return None
    with h5py.File(path) as opened:
        return np.asarray(opened[name])
