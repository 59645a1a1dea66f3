"""A residual encoder with an atrous spatial pyramid behind it, and a decoder by interpolation that takes the fine
features back in: for somata and nuclei, large objects that need far sight."""

from __future__ import annotations

from ..augmentation import flips
from ..nn import ASPP, Residual, UNet
from ..nn.losses import CrossEntropy
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term
from ._sections import levels

RECIPE = Recipe(
    name="jiang2019",
    title="Residual encoder with an atrous pyramid, for somata and nuclei",
    paper="Jiang et al.: An effective encoder-decoder network for neural cell bodies and cell nucleus segmentation of "
    "EM images (EMBC, 2019)",
    number=6,
    task="nuclei or somata; a network for each",
    method=Method(
        network=UNet(
            levels=levels(64, 128, 256, 512, blocks=2, decoder_blocks=1),
            block=Residual(),
            bottleneck=ASPP((6, 12, 18)),
            up="linear",
        ),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), "softmax"),),
        patch=(1, 512, 512),
        augmentation=flips("xy8"),
        optimiser=Optimiser("sgd", 1e-2, schedule="poly"),
        batch=4,
    ),
    decode=decode,
    segment=segment_components,
    changed="The pyramid has no mean of the whole image, so that tiles agree.",
    unknown="Widths, rates, optimiser, batch, steps, augmentation and voxels: ours. Data and scores are private.",
    small={
        "network.levels": levels(8, 16, 32),
        "network.bottleneck.rates": (1, 2, 4),
        "network.bottleneck.width": 16,
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
