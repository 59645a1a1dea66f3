"""What Res-UNet-R and Res-UNet-H share (Li et al. 2022, first in the MitoEM challenge of ISBI 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..augmentation import Augmentation, Brightness, Contrast, Flip, Missing, OutOfFocus, Scale
from ..nn import Level, Symmetric, UNet
from ..segmentation import seeds_grow
from ._contours import heads, levels
from ._decoders import Outputs, Probability, Voxels, kept, object_of
from ._method import Inference, Method, Optimiser, Recipe

SMALL = {
    "network.levels": levels(8, 16, 24),
    "patch": (8, 64, 64),
    "batch": 1,
    "augmentation.steps": (),
    "optimiser.rate": 2e-3,
}
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
    """Components of what is inside and no contour, each grown to the voxels of the mask that lie nearest to it."""
    labels = seeds_grow(
        object_of(outputs),
        outputs["contour"][0],
        seed=seed,
        seed_contour=seed_contour,
        inside=inside,
        radius=radius,
        spacing=spacing,
        seed_size=seed_size,
    )
    return kept(labels, below)


def recipe(name: str, title: str, *, decoders: tuple[tuple[str, ...], ...] = ()) -> Recipe:
    """The one with so many decoders."""
    return Recipe(
        name=name,
        title=title,
        paper="Li, Chen, Liu, Zhang, Wang, Wu, Xiong: Advanced deep networks for 3D mitochondria instance "
        "segmentation (2022)",
        number=24,
        task="mitochondria",
        method=Method(
            network=UNet(
                levels=tuple(Level(width, stride=(1, 2, 2)) for width in (28, 36, 48, 64, 80)),
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
        changed="Patches of several sizes are scales of one; noisy sections are not repaired by a second network.",
        unknown="How far seeds grow and which augmentation comes how often.",
    )
