"""Mitochondria by a residual 3D U-Net for thick sections, whose coarser levels are taught too.

Sections are registered and their histograms made flat before; what is found is joined along z. Its own sections of
50 nm, and Lucchi.
"""

from __future__ import annotations

from ..augmentation import Augmentation, Equalise, Flip
from ..nn import Convolved, Residual, UNet
from ..nn.losses import CrossEntropy
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._levels import levels
from ._method import Head, Inference, Method, Optimiser, Recipe, Term

RECIPE = Recipe(
    name="xiao2018a",
    title="Anisotropic residual U-Net",
    paper="Xiao et al.: Automatic mitochondria segmentation for EM data using a 3D supervised convolutional network "
    "(2018)",
    number=11,
    task="mitochondria",
    method=Method(
        network=UNet(
            levels=levels(32, 48, 64, 80, stride=(1, 2, 2)),
            block=Residual(),
            stem=Convolved(32, (3, 3, 3)),
            activation="elu",
            skip="sum",
            auxiliary=2,
        ),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), activation="softmax"),),
        patch=(20, 256, 256),
        augmentation=Augmentation((Flip("xy8z"), Equalise(0.0, 1.0))),
        optimiser=Optimiser(rate=1e-4),
        inference=Inference(blend="linear", symmetries="xy8z"),
        batch=2,
        auxiliary=(0.3, 0.15),
    ),
    decode=decode,
    segment=segment_components,
    small={
        "network.levels": levels(8, 12, 16, stride=(1, 2, 2)),
        "network.stem": Convolved(8, (3, 3, 3)),
        "patch": (8, 64, 64),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.rate": 2e-3,
    },
    changed="Histograms are made more or less flat as augmentation, not before. Registration is left to the data.",
    unknown="Number of steps, flips, blending.",
)
