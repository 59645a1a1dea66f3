"""The demo: affinities of a phantom to segments at three thresholds. ``run`` computes, ``Report`` tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

import emfast

from . import _png

THRESHOLDS = (0.7, 0.4, 0.2)
_LOW, _HIGH = 0.1, 0.98  # what is surely membrane, what surely holds together
_DUST = 40  # segments of fewer voxels are left out


@dataclass
class Report:
    phantom: emfast.phantom.Phantom
    fragments: np.ndarray
    segments: list[np.ndarray]  # one per threshold
    errors: list[tuple[float, float]]  # bits split and merged, of each
    widest: float
    largest: float

    def lines(self) -> list[str]:
        made = self.phantom
        return [
            f"volume        {made.image.shape} voxels of {made.spacing} nm",
            f"truth         {int(made.labels.max())} cells, {int(made.mitochondria.max())} mitochondria",
            f"fragments     {int(self.fragments.max(initial=0))}",
            *(
                f"segments {t:<4} {_count(s)} of {_DUST} voxels or more; {split:.2f} bits split, "
                f"{merge:.2f} bits merged"
                for t, s, (split, merge) in zip(THRESHOLDS, self.segments, self.errors, strict=True)
            ),
            f"of {THRESHOLDS[1]}        the largest {self.largest:.3f} µm³, the widest {self.widest:.0f} nm",
        ]

    def save(self, path: str | PathLike[str]) -> None:
        _png.write(path, self.picture())

    def picture(self) -> np.ndarray:
        """The middle section: image, affinities, fragments; below, the segments at three thresholds."""
        made = self.phantom
        z = made.image.shape[0] // 2
        grey = np.repeat(made.image[z][..., None], 3, axis=-1)
        affinities = np.moveaxis(made.affinities[:, z], 0, -1)
        tinted = [_png.overlay(made.image[z], labels[z], 0.6) for labels in (self.fragments, *self.segments)]
        enlarge = max(1, 256 // max(grey.shape[:2]))
        panels = [p.repeat(enlarge, 0).repeat(enlarge, 1) for p in (grey, affinities, *tinted)]
        bar = 500.0 if panels[0].shape[1] * made.spacing[2] / enlarge > 1000 else 100.0  # nm
        length = min(round(bar / made.spacing[2] * enlarge), panels[0].shape[1])
        bottom = panels[0].shape[0] - 6
        if bottom > 14:
            panels[0][bottom - 6 : bottom, 6 : 6 + length] = 255
        beside = np.full((panels[0].shape[0], 6, 3), 255, np.uint8)
        rows = [np.concatenate([a, beside, b, beside, c], axis=1) for a, b, c in (panels[:3], panels[3:])]
        between = np.full((6, rows[0].shape[1], 3), 255, np.uint8)
        whole = np.concatenate([rows[0], between, rows[1]])
        return whole & 0xF8 | whole >> 5  # five bits a colour: the grain hides the steps and halves the file


def run(shape: tuple[int, int, int], seed: int, clock: Callable[..., Any]) -> Report:
    """Make, segment and measure; ``clock(name, function, *arguments)`` calls and times each step."""
    made = clock("phantom.make", emfast.phantom.make, shape, seed=seed)
    fragments = clock("watershed", emfast.watershed, made.affinities, low=_LOW, high=_HIGH)
    graph = clock("region_graph", emfast.region_graph, made.affinities, fragments, spacing=made.spacing)
    tree = clock("agglomerate", emfast.agglomerate, graph)
    segments = [clock(f"segments at {t}", _segments, tree, fragments, t) for t in THRESHOLDS]
    _, counts = emfast.unique(segments[1][segments[1] > 0], counts=True)
    radius = clock("edt of the segments", emfast.edt, segments[1], spacing=made.spacing)
    return Report(
        made,
        fragments,
        segments,
        [_information(made.labels, labels) for labels in segments],
        2.0 * float(radius.max(initial=0)),
        float(counts.max(initial=0)) * float(np.prod(made.spacing)) / 1e9,
    )


def _segments(tree: emfast.MergeTree, fragments: np.ndarray, threshold: float) -> np.ndarray:
    labels = tree.relabel(fragments, threshold)
    ids, counts = emfast.unique(labels, counts=True)
    kept: np.ndarray = emfast.mask(labels, ids[counts < _DUST])  # names are fragments: colours stay from cut to cut
    return kept


def _count(labels: np.ndarray) -> int:
    return int((emfast.unique(labels) != 0).sum())


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
