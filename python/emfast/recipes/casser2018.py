"""A light 2D U-Net for mitochondria, fast enough to run while one looks: 16 to 256 channels, bilinear upsampling,
dropout where it is deepest. Sections are joined by a median along z."""

from __future__ import annotations

from ..augmentation import Augmentation, Flip
from ..nn import UNet
from ..nn.losses import BinaryCrossEntropy
from ..sampling import Foreground
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Inference, Method, Normalisation, Optimiser, Recipe, Term
from ._sections import levels

RECIPE = Recipe(
    name="casser2018",
    title="Fast mitochondria segmentation",
    paper="Casser et al.: Fast mitochondria detection for connectomics (arXiv 1812.06024, 2018)",
    number=5,
    task="mitochondria",
    method=Method(
        network=UNet(
            levels=levels(16, 32, 64, 128, 256, dropout=(0.0, 0.0, 0.0, 0.2, 0.2)),
            norm="none",
            up="linear",
            up_kernel=(1, 2, 2),
        ),
        heads=(Head("mask", Semantic(), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 512, 512),
        augmentation=Augmentation((Flip("xyflips"),)),
        sampler=Foreground(0.94),
        optimiser=Optimiser("adam", 5e-4),
        normalisation=Normalisation("unit"),
        inference=Inference(z_median=3),
        spacing=(5.0, 5.0, 5.0),
        batch=4,
    ),
    decode=decode,
    segment=segment_components,
    changed="Dropout also in the decoder's level next to the deepest.",
    unknown="Batch and steps: ours. Jaccard up to 0.90 is that of the abstract; 0.845 on Kasthuri++ is from memory.",
    small={
        "network.levels": levels(8, 16, 32),
        "optimiser.rate": 3e-3,
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
