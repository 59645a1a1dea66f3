"""HED-Net: nested decoders of three levels, taught by the mask of mitochondria and by two soft masks of the same that
tell round sections from long ones."""

from __future__ import annotations

from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip
from ..nn import UNet
from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Ovality, Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term
from ._sections import levels

RECIPE = Recipe(
    name="luo2021",
    title="HED-Net: hierarchical encoder-decoder, with shapes as a further teacher",
    paper="Luo et al.: Hierarchical encoder-decoder with soft label-decomposition for mitochondria segmentation in EM "
    "images (Frontiers in Neuroscience, 2021)",
    number=20,
    task="mitochondria",
    method=Method(
        network=UNet(levels=levels(32, 64, 128, 256), nested=True),
        heads=(
            Head("mask", Semantic(), (Term(BinaryCrossEntropy()), Term(Dice()))),
            Head("shape", Ovality(1000.0), (Term(BinaryCrossEntropy()),), weight=0.5),
        ),
        patch=(1, 256, 256),
        augmentation=Augmentation(
            (
                Flip("xy8"),
                Elastic((0.0, 40.0, 40.0), (0.0, 3.0, 3.0), probability=0.5),
                Brightness(0.1),
                Contrast(0.8, 1.25),
            )
        ),
        optimiser=Optimiser("adam", 1e-3),
        spacing=(5.0, 5.0, 5.0),
        batch=4,
        auxiliary=(0.5, 0.5),
    ),
    decode=decode,
    segment=segment_components,
    changed="Shapes are those of an ellipse with the object's covariance; both soft masks are outputs beside the mask, "
    "of one decoder.",
    unknown="How the levels are nested, widths, weights of the losses, augmentation, optimiser, batch and steps: ours. "
    "Its scores are not verified.",
    small={
        "network.levels": levels(8, 16, 32),
        "heads[1].target.reach": 300.0,
        "auxiliary": (0.5,),
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
