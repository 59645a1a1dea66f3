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

RECIPE = "affinities"
_LEARNT = (64, 256, 256)  # voxels to learn from
_DUST = 40  # segments of fewer voxels are left out


@dataclass
class Report:
    phantom: emfast.phantom.Phantom
    affinities: np.ndarray  # (3, z, y, x), from 0 to 1 or 255
    segments: np.ndarray
    scores: emfast.Scores
    predicted: bool

    def lines(self) -> list[str]:
        made = self.phantom
        by = "by a network" if self.predicted else "given"
        split, merge = (float(bits) for bits in emfast.contingency(made.labels, self.segments, ignore=(0,)).voi())
        return [
            f"volume     {made.image.shape} voxels of {made.spacing} nm, affinities {by}",
            f"truth      {int(made.labels.max())} cells, {int(made.mitochondria.max())} mitochondria",
            f"segments   {int((emfast.unique(self.segments) != 0).sum())} of {_DUST} voxels or more",
            f"scores     adapted Rand error {self.scores['adapted_rand_error']:.3f}; {split:.2f} bits split, "
            f"{merge:.2f} bits merged",
        ]

    def picture(self) -> np.ndarray:
        """The middle section: image, affinities; below, segments and the truth."""
        panels = [picture for _, picture in self.panels()]
        enlarge = max(1, 256 // max(panels[0].shape[:2]))
        image, affinities, segments, truth = (p.repeat(enlarge, 0).repeat(enlarge, 1) for p in panels)
        pixel = self.phantom.spacing[2] / enlarge  # nm
        bar = 500.0 if image.shape[1] * pixel > 1000 else 100.0
        length = min(round(bar / pixel), image.shape[1])
        bottom = image.shape[0] - 6
        if bottom > 14:
            image[bottom - 6 : bottom, 6 : 6 + length] = 255
        between = np.full((image.shape[0], 6, 3), 255, np.uint8)
        rows = [np.concatenate([a, between, b], axis=1) for a, b in ((image, affinities), (segments, truth))]
        whole = np.concatenate([rows[0], np.full((6, rows[0].shape[1], 3), 255, np.uint8), rows[1]])
        return whole & 0xF8 | whole >> 5  # five bits a colour: the grain hides the steps and halves the file

    def panels(self) -> list[tuple[str, np.ndarray]]:
        """Pictures of the middle section, with their names."""
        made = self.phantom
        z = made.image.shape[0] // 2
        edges = self.affinities[:, z] if self.affinities.dtype == np.uint8 else np.rint(255 * self.affinities[:, z])
        return [
            ("image", np.repeat(made.image[z][..., None], 3, axis=-1)),
            ("affinities (z, y, x in red, green, blue)", np.moveaxis(edges, 0, -1).astype(np.uint8)),
            ("segments", _png.overlay(made.image[z], self.segments[z], 0.6)),
            ("truth", _png.overlay(made.image[z], made.labels[z], 0.6)),
        ]

    def write(self, folder: Path) -> None:
        """The picture, and a page of the evaluation with the errors that cost most."""
        _png.write(folder / "emfast-demo.png", self.picture())
        made, labels = self.phantom, self.segments
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
    if steps:
        model = clock("train", _LEARNT, _trained, seed, steps, folder)
        outputs = clock("predict", shape, emfast.predict, model, made.image)
        affinities, found = outputs["affinities"], clock("decode", shape, model.decode, outputs)
    else:
        affinities = made.affinities
        found = clock("segment", shape, emfast.segment_affinities, affinities)
    segments = clock("dust", shape, emfast.segmentation.filter_size, found, below=_DUST)
    scores = clock("evaluate", shape, emfast.evaluate, made.labels, segments, protocol="snemi3d")
    for name, array in (("image", made.image), ("truth", made.labels), ("segments", segments)):
        np.save(folder / f"{name}.npy", array)
    return Report(made, affinities, segments, scores, bool(steps))


def _trained(seed: int, steps: int, folder: Path) -> Any:
    """A model that has seen other tissue."""
    from .nn.running import usual_precision
    from .training._team import device_of

    learnt = emfast.phantom.make(_LEARNT, seed=seed + 1)
    for name, array in (("image", learnt.image), ("labels", learnt.labels)):
        np.save(folder / f"train-{name}.npy", array)

    def train() -> Any:
        precision = usual_precision(device_of(None))
        options: dict[str, Any] = {"steps": steps, "seed": seed, "precision": precision}
        return emfast.train(RECIPE, (learnt.image, learnt.labels), run=folder / "run", **options)

    try:
        return train()
    except AnotherJob:  # a demo before, with another seed
        shutil.rmtree(folder / "run")
        return train()
