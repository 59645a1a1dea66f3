"""FusionNet: every level has a convolution, a residual block of three and a convolution, and skips are sums. Units in
a chain each see what the one before says, and correct it."""

from __future__ import annotations

from ..augmentation import Augmentation, Elastic, Flip, Noise
from ..nn import Fusion, UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Membrane
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import cells as decode
from ._sections import levels

RECIPE = Recipe(
    name="quan2021",
    title="FusionNet, a chain of four units",
    paper="Quan et al.: FusionNet: a deep fully residual convolutional neural network for image segmentation in "
    "connectomics (Frontiers in Computer Science, 2021)",
    number=8,
    task="neurons, by membranes",
    method=Method(
        network=UNet(levels=levels(64, 128, 256, 512, 1024), block=Fusion(), skip="sum", up="transposed", units=4),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 512, 512),
        augmentation=Augmentation((Flip("xy8"), Elastic((0.0, 64.0, 64.0), (0.0, 4.0, 4.0)), Noise(0.0, 0.1))),
        optimiser=Optimiser("adam", 1e-4),
        inference=Inference(symmetries="xy8"),
        spacing=(50.0, 4.0, 4.0),
        auxiliary=(1.0, 1.0, 1.0),
    ),
    decode=decode,
    changed="All units learn together, each with a loss of its own. Membranes are not the end: what they enclose in a "
    "section is labelled, grown until membranes are thin, and linked across sections.",
    unknown="Patch, batch, rate, steps and strengths of the augmentation: ours. Vrand .978 and Vinfo .990 on ISBI 2012 "
    "are from memory.",
    small={
        "network.levels": levels(8, 16, 32),
        "network.units": 2,
        "auxiliary": (1.0,),
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
