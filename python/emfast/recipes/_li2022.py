"""What Res-UNet-R and Res-UNet-H share (Li et al. 2022, first in the MitoEM challenge of ISBI 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._options import number_of
from ..augmentation import Augmentation, Brightness, Contrast, Flip, Missing, OutOfFocus, Scale
from ..distance import edt
from ..nn import Symmetric, UNet
from ..seeds import seeded_watershed
from ..segmentation._shared import at_least, components_of, same_shape, whole_number
from ._contours import heads
from ._decoders import Outputs, Probability, Voxels, alone_too, object_of, probability
from ._levels import levels
from ._method import Inference, Method, Optimiser, Recipe

SMALL = {
    "network.levels": levels(8, 16, 24, stride=(1, 2, 2)),
    "patch": (8, 64, 64),
    "batch": 1,
    "augmentation.steps": (),
    "optimiser.rate": 2e-3,
}
FAR = 1e30  # nanometres from a seed where there is none
AUGMENTATION = Augmentation(
    (
        Flip("xy8z"),
        Scale(0.8, 1.25, probability=0.5),  # patches of several sizes
        Contrast(0.8, 1.2, probability=0.5),
        Brightness(0.1, probability=0.5),
        Missing(sections=1, probability=0.2),
        OutOfFocus(sections=1, probability=0.2),
    )
)


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    seed: Probability = 0.5,
    seed_contour: Probability = 0.5,
    inside: Probability = 0.5,
    radius: float = math.inf,
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """Components of what is inside and no contour, each grown over its part of the mask, nearest voxels first.

    They grow by ``radius`` nanometres at most. Parts of the mask without a seed are instances of their own.
    """
    sure, contour = object_of(outputs), probability(outputs, "contour")
    same_shape(sure, contour, "contour")
    radius, seed_size = number_of(radius, "radius", 0, math.inf), whole_number(seed_size, "seed_size", 0)
    mask = at_least(sure, inside, "inside")
    seeds = components_of(at_least(sure, seed, "seed") & ~at_least(contour, seed_contour, "seed_contour"), 6, seed_size)
    away = np.minimum(edt(seeds == 0, spacing=spacing), np.float32(FAR))
    grown = seeded_watershed(away, seeds.astype(np.int64), mask=mask & (away <= radius))
    return alone_too(grown, mask, below)


def recipe(name: str, title: str, *, decoders: tuple[tuple[str, ...], ...] = ()) -> Recipe:
    """The one with so many decoders."""
    return Recipe(
        name=name,
        title=title,
        paper="Li, Chen, Liu, Zhang, Wang, Wu, Xiong: Advanced deep networks for 3D mitochondria instance segmentation "
        "(2022)",
        number=24,
        task="mitochondria",
        method=Method(
            network=UNet(
                levels=levels(28, 36, 48, 64, 80, stride=(1, 2, 2)),
                block=Symmetric(first=(1, 3, 3)),
                norm="none",
                activation="elu",
                skip="sum",
                up="linear",
                decoders=decoders,
            ),
            heads=heads(overlap=0.0),
            patch=(32, 256, 256),
            spacing=(30.0, 8.0, 8.0),
            augmentation=AUGMENTATION,
            optimiser=Optimiser(rate=1e-4),
            inference=Inference(blend="bump", overlap=0.5),
            batch=2,
            steps=300_000,
        ),
        decode=decode,
        small=SMALL,
        changed="Patches of several sizes are scales of one; noisy sections are not repaired by a second network. "
        "Objects without a seed are kept.",
        unknown="How far seeds grow and which augmentation comes how often.",
    )
