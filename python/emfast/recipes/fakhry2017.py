"""Residual deconvolutional network: a residual encoder-decoder in 2D says where membranes are; a watershed makes
sections of cells of that, and merging joins them across sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import segmentation
from ..augmentation import flips
from ..nn import Residual, UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Membrane
from ._decoders import Nanometres, Outputs, Probability, Voxels, probability
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import levels


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    separation: Nanometres = 50.0,
    merge: Probability = 0.5,
    below: Voxels = 0,
) -> Any:
    """Watershed of the membranes in each section, and merging over weak ones within and across sections."""
    return segmentation.membrane_watershed(
        probability(outputs, "membrane"),
        threshold=threshold,
        separation=separation,
        merge=merge,
        spacing=spacing,
        per_section=True,
        below=below,
    )


RECIPE = Recipe(
    name="fakhry2017",
    title="RDN: residual deconvolutional network",
    paper="Fakhry et al.: Residual deconvolutional networks for brain electron microscopy image segmentation (IEEE "
    "TMI, 2017)",
    number=1,
    task="neurons, by membranes",
    method=Method(
        network=UNet(levels=levels(64, 128, 256, 512, 1024), block=Residual(), skip="sum", up="transposed"),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 256, 256),
        augmentation=flips("xy8"),
        optimiser=Optimiser("adam", 1e-4),
        inference=Inference(symmetries="xy8"),
        spacing=(50.0, 4.0, 4.0),
        batch=4,
    ),
    decode=decode,
    copies=12,
    changed="The full-resolution stream and the pooled one are one encoder-decoder whose skips are sums. One sigmoid "
    "instead of two softmax channels, which is the same function.",
    unknown="Widths, depth, optimiser, batch, steps and the mean of eight symmetries: ours. The scores on ISBI 2012 "
    "and SNEMI3D are not verified.",
    small={"network.levels": levels(8, 16, 32), "patch": (1, 64, 64), "batch": 1},
)
