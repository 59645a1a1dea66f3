"""Augmentations by name: those of papers and of their software, with lengths in voxels as there."""

from __future__ import annotations

from typing import Literal

from ._augmentation import Augmentation
from ._defects import Artefact, LowContrast, Missing, OutOfFocus
from ._geometry import Elastic, Flip, Rotate, Scale
from ._sections import Lost, Misalign, Slip
from ._step import All, OneOf, Step
from ._tones import Brightness, Clip, Contrast, Gamma, Noise


def flips(group: Literal["xyflips", "flips", "xy8", "xy8z", "cube"] = "xy8z") -> Augmentation:
    """Flips and transpositions alone, all alike."""
    return Augmentation((Flip(group),))


def plain() -> Augmentation:
    """A modest one for any data: flips and transpositions in sections and along z, a little rotation, scale and elastic
    deformation, brightness, contrast and noise."""
    return Augmentation(
        (
            Flip("xy8z"),
            Rotate(15, probability=0.3),
            Scale(0.9, 1.1, probability=0.3),
            Elastic((0.0, 40.0, 40.0), (0.0, 2.0, 2.0), probability=0.5),
            Brightness(0.1, probability=0.5),
            Contrast(0.8, 1.25, probability=0.5),
            Noise(0.0, 0.05, probability=0.3),
        )
    )


def deepem(*, missing: int = 7, blur: int = 7) -> Augmentation:
    """The mixture of the DeepEM software for serial sections: grey values, one of misalignment, missing and lost
    sections, out-of-focus sections, a warp, flips. Box occlusion is not part of it, nor the warp's perspective."""
    grey: tuple[Step, ...] = tuple(
        All(
            (
                Contrast(0.75, 1.25, per=per, about="black"),
                Brightness(0.25, per=per),
                Clip(),
                Gamma(0.5, 2.0, per=per),
            )
        )
        for per in ("section", "volume")
    )
    shifts = (5, 15, 25)
    aligned = OneOf((All(tuple(Misalign(0, s) for s in shifts)), All(tuple(Slip(0, s) for s in shifts))), (0.7, 0.3))
    gaps: list[Step] = [aligned, Misalign(3, 15, missing=True)]
    if missing:
        gaps.append(Missing(sections=missing, partial=0.5))
    gaps.append(OneOf((Lost(1), Lost(1, missing=True)), (1.0, 2.0)))
    steps: list[Step] = [OneOf(grey, probability=0.7), OneOf(tuple(gaps))]
    if blur:
        steps.append(OutOfFocus(sections=blur, partial=0.5, low=0.0, high=5.0))
    steps.append(All((Rotate(45), Scale(0.9, 1.0)), probability=0.7))
    return Augmentation((*steps, Flip("xy8z")))


def gunpowder(*, bank: str = "") -> Augmentation:
    """The mixture that affinities for whole fly brains were learnt with (Funke et al. 2018): elastic deformation and
    a turn, slips and shifts of sections, flips, grey values by section, and section defects; artefacts from
    ``bank``."""
    return Augmentation(
        (
            Elastic((4.0, 40.0, 40.0), (0.0, 2.0, 2.0)),
            Rotate(90),
            Slip(0, 10, rate=0.05, labels=True),
            Misalign(0, 10, rate=0.05),
            Flip("xy8z"),
            Contrast(0.9, 1.1, per="section"),
            Brightness(0.1, per="section"),
            Missing(rate=0.03),
            LowContrast(rate=0.01, low=0.1, high=0.1),
            Artefact(rate=0.03, bank=bank),
        )
    )


def unet() -> Augmentation:
    """That of the first U-Net, for tiles of about 512 voxels: smooth displacements of 10 voxels with three control
    points along a tile, symmetries of the square, and a little of grey values."""
    return Augmentation(
        (
            Flip("xy8"),
            Elastic((0.0, 256.0, 256.0), (0.0, 10.0, 10.0)),
            Contrast(0.9, 1.1),
            Brightness(0.05),
        )
    )
