"""The nuclear envelope, from labels of volunteers: a 2D U-Net of inception blocks that sees twelve sections as channels
of one picture, run along all three axes of isotropic data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..augmentation import Augmentation, Blur, Brightness, Contrast, Noise, OneOf, Scale
from ..nn import Inception, Slices, UNet
from ..nn.losses import Dice
from ..targets import Contour
from ._blocks import segment_components
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
            levels=levels(32, 64, 128, 256, 512, dropout=(0.0, 0.0, 0.0, 0.0, 0.3)),
            block=Inception("cat"),
            stem=Slices(12),
            activation="leaky",
            slope=0.1,
        ),
        heads=(Head("envelope", Contour(50.0, 50.0, "nm"), (Term(Dice()),)),),
        patch=(12, 256, 256),
        augmentation=Augmentation(
            (
                Scale(0.9, 1.1, probability=0.5),
                OneOf((Blur(0.0, 0.4), Noise(0.047, 0.047)), probability=0.25),
                OneOf((Brightness(0.1), Contrast(0.8, 1.2, about="black")), probability=0.25),
            )
        ),
        optimiser=Optimiser("adam", 5e-4),
        inference=Inference(axes="zyx"),
        spacing=(50.0, 50.0, 50.0),
        steps=10_000,
    ),
    decode=decode,
    segment=partial(segment_components, head="envelope"),
    changed="A section is said from the twelve around it, those beyond a patch being zeros; in the paper's program "
    "twelve sections are channels, and so are their envelopes. A patch of twelve sections stands for its batch of "
    "twelve. The envelope is the contour of nuclei, a voxel on either side, not a drawn line made 70 nm thick. A block "
    "is brought to its width by a convolution of one voxel, behind which its norm is; its branches are each a third as "
    "wide as in the program. Zoom, contrast and blur are drawn between bounds, where the program has normal deviates "
    "of .05, .1 and .2; brightness changes by up to a tenth of the range, there by a tenth of a grey value. Images are "
    "not normalised patch by patch. The rate falls on plateaus there, which is not so here. How labels of volunteers "
    "are joined is no part of this.",
    unknown="Which scores it has: none are verified.",
    small={
        "network.levels": levels(6, 12, 24),
        "network.stem.count": 3,
        "optimiser.rate": 5e-3,
        "patch": (3, 64, 64),
    },
)
