"""The demo: a phantom segmented by thresholds, cores and growth, then measured. ``run`` computes, ``Report`` tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

import emfast

from . import _png

_SURE = 150  # affinity from which two voxels hold together (of 255)
_CORE = 30.0  # nm: what is farther than this from doubt is the core of one cell; the holes of a membrane are narrower
_WALL = 60  # mean affinity below which a voxel is membrane


@dataclass
class Report:
    phantom: emfast.phantom.Phantom
    segments: np.ndarray
    found: int
    split: float
    merge: float
    widest: float
    largest: float

    def lines(self) -> list[str]:
        made = self.phantom
        return [
            f"volume        {made.image.shape} voxels of {made.spacing} nm",
            f"truth         {int(made.labels.max())} cells, {int(made.mitochondria.max())} mitochondria",
            f"segments      {self.found}, the largest {self.largest:.3f} µm³, the widest {self.widest:.0f} nm",
            f"against truth {self.split:.2f} bits split, {self.merge:.2f} bits merged (variation of information)",
        ]

    def save(self, path: str | PathLike[str]) -> None:
        _png.write(path, self.picture())

    def picture(self) -> np.ndarray:
        """Image, affinities and segments of the middle section side by side, with a scale bar."""
        made = self.phantom
        z = made.image.shape[0] // 2
        grey = np.repeat(made.image[z][..., None], 3, axis=-1)
        affinities = np.moveaxis(made.affinities[:, z], 0, -1)
        panels = [grey, affinities, _png.overlay(made.image[z], self.segments[z], 0.6)]
        enlarge = max(1, 512 // max(grey.shape[:2]))
        panels = [p.repeat(enlarge, 0).repeat(enlarge, 1) for p in panels]
        bar = 500.0 if panels[0].shape[1] * made.spacing[2] / enlarge > 1000 else 100.0  # nm
        length = min(round(bar / made.spacing[2] * enlarge), panels[0].shape[1])
        bottom = panels[0].shape[0] - 6
        if bottom > 14:
            panels[0][bottom - 6 : bottom, 6 : 6 + length] = 255
        gap = np.full((panels[0].shape[0], 6, 3), 255, np.uint8)
        whole = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
        return whole & 0xF8 | whole >> 5  # five bits a colour: the grain hides the steps and halves the file


def run(shape: tuple[int, int, int], seed: int, clock: Callable[..., Any]) -> Report:
    """Make, segment and measure; ``clock(name, function, *arguments)`` calls and times each step."""
    made = clock("phantom.make", emfast.phantom.make, shape, seed=seed)
    inside = clock("threshold of the affinities", _inside, made.affinities)
    depth = clock("edt", emfast.edt, inside, spacing=made.spacing)
    cores = clock("connected_components", emfast.connected_components, depth > _CORE, dtype="uint32")
    cores = clock("dust", emfast.dust, cores, below=40)
    nearest = clock("nearest_background", emfast.nearest_background, cores == 0, spacing=made.spacing)
    segments = clock("growth of the cores", _grow, cores, nearest, made.affinities)
    segments = clock("fill_holes", emfast.fill_holes, segments)
    segments, _ = clock("renumber", emfast.renumber, segments)
    _, sizes = clock("unique", emfast.unique, segments[segments > 0], counts=True)
    radius = clock("edt of the segments", emfast.edt, segments, spacing=made.spacing)
    split, merge = _information(made.labels, segments)
    return Report(
        made,
        segments,
        len(sizes),
        split,
        merge,
        2.0 * float(radius.max(initial=0)),
        float(sizes.max(initial=0)) * float(np.prod(made.spacing)) / 1e9,
    )


def _inside(affinities: np.ndarray) -> np.ndarray:
    """True where a voxel holds together with all three neighbours before it."""
    inside = np.ones(affinities.shape[1:], bool)
    for axis in range(3):
        sure = affinities[axis] >= _SURE
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        sure[tuple(first)] = True  # the first face has no neighbour before it
        inside &= sure
    return inside


def _grow(cores: np.ndarray, nearest: np.ndarray, affinities: np.ndarray) -> np.ndarray:
    """The nearest core's id, 0 where the affinities say membrane."""
    wall = affinities.sum(0, dtype=np.uint16) < 3 * _WALL
    return np.where(wall | (nearest < 0), np.uint32(0), cores.ravel()[nearest.clip(0)])


def _information(truth: np.ndarray, segments: np.ndarray) -> tuple[float, float]:
    """Variation of information in bits over the voxels of the truth's cells: (split, merge)."""
    cells = truth > 0
    if not cells.any():
        return 0.0, 0.0
    a, b = truth[cells].astype(np.uint64), segments[cells].astype(np.uint64)
    _, pair, pairs = np.unique(a << np.uint64(32) | b, return_inverse=True, return_counts=True)
    size_a, size_b = np.bincount(a.astype(np.intp)), np.bincount(b.astype(np.intp))
    joint = pairs[pair] / a.size
    split = -np.log2(joint / (size_a[a.astype(np.intp)] / a.size)).mean()
    merge = -np.log2(joint / (size_b[b.astype(np.intp)] / a.size)).mean()
    return float(split), float(merge)
