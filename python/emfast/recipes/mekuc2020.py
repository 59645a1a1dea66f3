"""HighRes3DZMNet: mitochondria at full resolution, by residual pairs of growing dilation and no pooling.

The kernels of the first layer have a mean of zero, so that brightness does not count. The last layer alone is taught
again for endolysosomes, which is not part of this recipe. UroCell, Lucchi++.
"""

from __future__ import annotations

from ..augmentation import flips
from ..nn import HighRes3D
from ..nn.losses import Dice
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term

RECIPE = Recipe(
    name="mekuc2020",
    title="HighRes3DZMNet",
    paper="Žerovnik Mekuč et al.: Automatic segmentation of mitochondria and endolysosomes in volumetric electron "
    "microscopy data (2020)",
    number=15,
    task="mitochondria",
    method=Method(
        network=HighRes3D(zero_mean=True),
        heads=(Head("mask", Semantic(), (Term(Dice()),)),),
        patch=(96, 96, 96),
        spacing=(15.0, 15.0, 15.0),
        augmentation=flips("cube"),
        optimiser=Optimiser(rate=1e-3),
    ),
    decode=decode,
    segment=segment_components,
    small={
        "network": HighRes3D((8, 12), (1, 2), pairs=1, last=16, zero_mean=True),
        "patch": (16, 32, 32),
        "augmentation.steps": (),
        "optimiser.rate": 2e-3,
    },
    changed="The mean is taken off the kernels in every pass, in the place of a projection after each step.",
    unknown="Patch, batch, steps, learning rate and augmentation; scores are not verified. That the network has 20 "
    "layers and is taught with a Dice loss is from memory of its model, HighRes3DNet.",
)
