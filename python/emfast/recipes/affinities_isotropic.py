"""Neurons of volumes that are as fine along z as within sections (FIB-SEM): the default recipe, in space throughout."""

from __future__ import annotations

from dataclasses import replace

from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Noise
from ..nn import Level, Residual, UNet
from ..targets import Affinities
from ._method import Head, Inference
from .affinities import LOSS
from .affinities import RECIPE as SECTIONS
from .affinities import decode as decode

LONG = ((-4, 0, 0), (0, -4, 0), (0, 0, -4), (-12, 0, 0), (0, -12, 0), (0, 0, -12))


def levels(*widths: int) -> tuple[Level, ...]:
    return tuple(Level(width) for width in widths)


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
    small={"network.levels": levels(8, 16, 16), "patch": (24, 32, 32), "augmentation.steps": ()},
)
