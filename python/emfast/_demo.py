"""The demo: the whole way on synthetic tissue. A network learns from one volume, another is predicted, segmented and
evaluated. ``run`` does it, ``Report`` tells. Without torch, or in no steps, affinities are the phantom's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import emfast

from . import _png
from .errors import AnotherJob
from .metrics.report import write_page

THRESHOLDS = (0.7, 0.5, 0.3)  # the middle one is judged
RECIPE = "affinities"
_LEARNT = (48, 224, 224)  # voxels to learn from
_LOW, _HIGH = 0.1, 0.98  # what is surely membrane, what surely holds together
_DUST = 40  # segments of fewer voxels are left out


@dataclass
class Report:
    phantom: emfast.phantom.Phantom
    affinities: np.ndarray  # (3, z, y, x) uint8
    fragments: np.ndarray
    segments: list[np.ndarray]  # one per threshold
    errors: list[tuple[float, float]]  # bits split and merged, of each
    scores: emfast.Scores
    predicted: bool

    def lines(self) -> list[str]:
        made = self.phantom
        by = "a network predicted" if self.predicted else "made"
        return [
            f"volume        {made.image.shape} voxels of {made.spacing} nm, affinities {by}",
            f"truth         {int(made.labels.max())} cells, {int(made.mitochondria.max())} mitochondria",
            f"fragments     {int(self.fragments.max(initial=0))}",
            *(
                f"segments {t:<4} {_count(s)} of {_DUST} voxels or more; {split:.2f} bits split, "
                f"{merge:.2f} bits merged"
                for t, s, (split, merge) in zip(THRESHOLDS, self.segments, self.errors, strict=True)
            ),
            f"at {THRESHOLDS[1]}        adapted Rand error {self.scores['adapted_rand_error']:.3f}",
        ]

    def picture(self) -> np.ndarray:
        """The middle section: image, affinities, fragments; below, the segments at three thresholds."""
        grey, affinities, fragments, *segments = (picture for _, picture in self.panels())
        bar = 500.0 if grey.shape[1] * self._pixel > 1000 else 100.0  # nm
        length = min(round(bar / self._pixel), grey.shape[1])
        bottom = grey.shape[0] - 6
        if bottom > 14:
            grey[bottom - 6 : bottom, 6 : 6 + length] = 255
        between = np.full((grey.shape[0], 6, 3), 255, np.uint8)
        rows = [
            np.concatenate([a, between, b, between, c], axis=1) for a, b, c in ((grey, affinities, fragments), segments)
        ]
        whole = np.concatenate([rows[0], np.full((6, rows[0].shape[1], 3), 255, np.uint8), rows[1]])
        return whole & 0xF8 | whole >> 5  # five bits a colour: the grain hides the steps and halves the file

    @property
    def _enlarged(self) -> int:
        return max(1, 256 // max(self.phantom.image.shape[1:]))

    @property
    def _pixel(self) -> float:
        """Nanometres."""
        return self.phantom.spacing[2] / self._enlarged

    def panels(self) -> list[tuple[str, np.ndarray]]:
        """Pictures of the middle section, with their names."""
        made = self.phantom
        z = made.image.shape[0] // 2
        found = [("image", np.repeat(made.image[z][..., None], 3, axis=-1))]
        found.append(("affinities (z, y, x in red, green, blue)", np.moveaxis(self.affinities[:, z], 0, -1)))
        found.append(("fragments", _png.overlay(made.image[z], self.fragments[z], 0.6)))
        for threshold, labels in zip(THRESHOLDS, self.segments, strict=True):
            found.append((f"segments at {threshold}", _png.overlay(made.image[z], labels[z], 0.6)))
        return [(name, picture.repeat(self._enlarged, 0).repeat(self._enlarged, 1)) for name, picture in found]

    def write(self, folder: Path) -> None:
        """The picture, and a page of the evaluation with the errors that cost most."""
        _png.write(folder / "emfast-demo.png", self.picture())
        made, labels = self.phantom, self.segments[1]
        errors = emfast.compare(made.labels, labels, spacing=made.spacing)
        write_page(
            folder / "report.html",
            self.scores,
            errors=errors,
            truth=made.labels,
            labels=labels,
            image=made.image,
            title="emfast demo",
            pictures=self.panels(),
        )


def run(shape: tuple[int, int, int], seed: int, steps: int, folder: Path, clock: Callable[..., Any]) -> Report:
    """Make, learn, predict, segment and measure; ``clock(name, shape, function, *arguments)`` calls and times each
    step. The volumes are kept in the folder."""
    made = clock("phantom", shape, emfast.phantom.make, shape, seed=seed)
    affinities = clock("train and predict", shape, _predicted, made, seed, steps, folder) if steps else made.affinities
    fragments = clock("watershed", shape, emfast.watershed, affinities, low=_LOW, high=_HIGH)
    graph = clock("region_graph", shape, emfast.region_graph, affinities, fragments, spacing=made.spacing)
    tree = clock("agglomerate", shape, emfast.agglomerate, graph)
    segments = [clock(f"segments at {t}", shape, _segments, tree, fragments, t) for t in THRESHOLDS]
    scores = clock("evaluate", shape, emfast.evaluate, made.labels, segments[1], protocol="snemi3d")
    for name, array in (("image", made.image), ("truth", made.labels), ("segments", segments[1])):
        np.save(folder / f"{name}.npy", array)
    errors = [_information(made.labels, labels) for labels in segments]
    return Report(made, affinities, fragments, segments, errors, scores, bool(steps))


def _predicted(made: emfast.phantom.Phantom, seed: int, steps: int, folder: Path) -> np.ndarray:
    """Nearest affinities by a network that has seen other tissue."""
    learnt = emfast.phantom.make(_LEARNT, seed=seed + 1)
    names = folder / "train-image.npy", folder / "train-labels.npy"
    for name, array in zip(names, (learnt.image, learnt.labels), strict=True):
        np.save(name, array)

    def train() -> Any:
        return emfast.train(RECIPE, (learnt.image, learnt.labels), run=folder / "run", steps=steps, seed=seed)

    try:
        model = train()
    except AnotherJob:  # a demo before, with another seed
        shutil.rmtree(folder / "run")
        model = train()
    outputs = emfast.predict(model, made.image, heads=["affinities"], dtype="uint8", progress=True)
    found: np.ndarray = outputs["affinities"]
    return found


def _segments(tree: emfast.MergeTree, fragments: np.ndarray, threshold: float) -> np.ndarray:
    labels = tree.relabel(fragments, threshold)
    ids, counts = emfast.unique(labels, counts=True)
    kept: np.ndarray = emfast.mask(labels, ids[counts < _DUST])  # names are fragments: colours stay from cut to cut
    return kept


def _count(labels: np.ndarray) -> int:
    return int((emfast.unique(labels) != 0).sum())


def _information(truth: np.ndarray, segments: np.ndarray) -> tuple[float, float]:
    """Variation of information in bits over the voxels of the truth's cells: (split, merge)."""
    found = emfast.contingency(truth, segments, ignore=(0,)).voi()
    return float(found.split), float(found.merge)
