"""Deep contextual residual network: a residual encoder, a decoder with sums, and losses at several depths say where
membranes are; superpixels of sections are joined in 3D by a multicut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from .. import segmentation
from ..augmentation import flips
from ..nn import Residual, UNet
from ..nn.losses import BinaryCrossEntropy
from ..segmentation.affinities import membrane_affinities
from ..targets import Membrane
from ._decoders import Between, Nanometres, Outputs, Probability, Voxels, probability
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import levels


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    separation: Nanometres = 50.0,
    bias: Annotated[float, Between(0.05, 0.95)] = 0.5,
    below: Voxels = 0,
) -> Any:
    """Superpixels by a watershed in each section, joined by a multicut over all of them."""
    membrane = probability(outputs, "membrane")
    superpixels = segmentation.membrane_watershed(
        membrane, threshold=threshold, separation=separation, merge=1.0, spacing=spacing, per_section=True
    )
    return segmentation.multicut(membrane_affinities(membrane), fragments=superpixels, bias=bias, below=below)


RECIPE = Recipe(
    name="xiao2018b",
    title="DCR: deep contextual residual network",
    paper="Xiao et al.: Deep contextual residual network for electron microscopy image segmentation in connectomics "
    "(ISBI, 2018)",
    number=4,
    task="neurons, by membranes",
    method=Method(
        network=UNet(
            levels=levels(64, 64, 128, 256, 512, blocks=2, decoder_blocks=1),
            block=Residual(),
            skip="sum",
            up="transposed",
            auxiliary=3,
        ),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 320, 320),
        augmentation=flips("xy8"),
        optimiser=Optimiser("sgd", 1e-2, schedule="poly", weight_decay=1e-4),
        inference=Inference(symmetries="xy8"),
        spacing=(50.0, 4.0, 4.0),
        batch=4,
        auxiliary=(1.0, 1.0, 1.0),
    ),
    decode=decode,
    copies=12,
    changed="Outputs at several depths have losses, but are not fused. One sigmoid instead of two softmax channels.",
    unknown="Widths, blocks, weights of the losses, optimiser, batch, steps, augmentation and the mean of eight "
    "symmetries: ours. The paper's Vrand .98356 and Vinfo .99063 on ISBI 2012 are those of its abstract.",
    small={"network.levels": levels(8, 16, 32, 32), "patch": (1, 64, 64), "batch": 1},
)
