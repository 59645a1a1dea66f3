"""Neurons of volumes that are as fine along z as within sections (FIB-SEM): the default recipe, in space throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Noise
from ..nn import Residual, UNet
from ..targets import Affinities
from ._decoders import Outputs, Probability, Voxels, mutex_affinities
from ._levels import levels
from ._method import Head, Inference
from .affinities import LOSS
from .affinities import RECIPE as SECTIONS

LONG = ((-4, 0, 0), (0, -4, 0), (0, 0, -4), (-12, 0, 0), (0, -12, 0), (0, 0, -12))


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    near: Probability = 0.1,
    merge: Probability = 0.5,
    below: Voxels = 100,
) -> Any:
    """Mutex watershed, where nearest affinities join and long ones keep apart; then what all of them join is merged."""
    return mutex_affinities(outputs, LONG, near=near, merge=merge, below=below)


RECIPE = replace(
    SECTIONS,
    name="affinities_isotropic",
    title="Affinities: the default for isotropic voxels",
    method=replace(
        SECTIONS.method,
        network=UNet(levels=levels(16, 32, 64, 96), block=Residual(), skip="sum", up="nearest"),
        heads=(Head("affinities", Affinities(), LOSS), Head("long", Affinities(LONG), LOSS)),
        patch=(48, 64, 64),
        spacing=(8.0, 8.0, 8.0),
        augmentation=Augmentation(
            (
                Flip("cube"),
                Elastic(distance=(24.0, 24.0, 24.0), sigma=(1.5, 1.5, 1.5)),
                Contrast(0.8, 1.25),
                Brightness(0.1),
                Noise(0.0, 0.05),
            )
        ),
        inference=Inference(blend="linear", overlap=0.25, symmetries="flips"),
        steps=3000,
    ),
    decode=decode,
    small={"network.levels": levels(8, 16, 16), "patch": (24, 32, 32), "augmentation.steps": ()},
)
