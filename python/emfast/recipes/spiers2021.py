"""The nuclear envelope, from labels of volunteers: a 2D U-Net of inception blocks that sees twelve sections as channels
of one picture, run along all three axes of isotropic data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import Augmentation, Blur, Brightness, Contrast, Flip, Noise, Scale
from ..nn import Inception, Slices, UNet
from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Contour
from ._decoders import Outputs, Probability, Voxels, components
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import levels


def decode(
    outputs: Outputs, *, spacing: Sequence[float] = (1, 1, 1), threshold: Probability = 0.5, below: Voxels = 0
) -> Any:
    """Connected components of the envelope."""
    return components(outputs, head="envelope", threshold=threshold, below=below)


RECIPE = Recipe(
    name="spiers2021",
    title="Nuclear envelope, by volunteers",
    paper="Spiers et al.: Deep learning for automatic segmentation of the nuclear envelope in electron microscopy "
    "data, trained with volunteer segmentations (Traffic, 2021)",
    number=9,
    task="nuclear envelope",
    method=Method(
        network=UNet(
            levels=levels(32, 64, 128, 256, 512, dropout=(0.3,) * 5),
            block=Inception("cat"),
            stem=Slices(12),
            activation="leaky",
            slope=0.1,
        ),
        heads=(Head("envelope", Contour(50.0, 50.0, "nm"), (Term(BinaryCrossEntropy()), Term(Dice()))),),
        patch=(12, 256, 256),
        augmentation=Augmentation(
            (
                Flip("xy8z"),
                Scale(0.95, 1.05),
                Contrast(0.9, 1.1),
                Brightness(0.1),
                Blur(0.0, 0.2),
                Noise(0.0, 0.02),
            )
        ),
        optimiser=Optimiser("adam", 5e-4),
        inference=Inference(axes="zyx"),
        spacing=(50.0, 50.0, 50.0),
    ),
    decode=decode,
    changed="The envelope is the contour of nuclei, a voxel on either side, not a drawn line made 70 nm thick. A "
    "patch is twelve neighbouring sections, each with its neighbours, instead of a batch of twelve.",
    unknown="Which sections of the twelve are said; flips and strength of the noise: ours. How labels of volunteers "
    "are joined is no part of this.",
    small={
        "network.levels": levels(9, 18, 36),
        "network.stem.count": 3,
        "patch": (3, 64, 64),
    },
)
