"""Stable networks for mitochondria: a plain 2D U-Net of 16 to 256 channels, with settings whose scores vary little from
run to run."""

from __future__ import annotations

from ..augmentation import Augmentation, Flip, Rotate
from ..nn import UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Inference, Method, Normalisation, Optimiser, Recipe, Term
from ._sections import levels

DROPOUT = (0.1, 0.1, 0.2, 0.2, 0.3)

RECIPE = Recipe(
    name="franco2022",
    title="Stable 2D U-Net",
    paper="Franco-Barranco et al.: Stable deep neural network architectures for mitochondria segmentation on electron "
    "microscopy volumes (Neuroinformatics, 2022)",
    number=33,
    task="mitochondria",
    method=Method(
        network=UNet(levels=levels(16, 32, 64, 128, 256, dropout=DROPOUT), norm="none", activation="elu"),
        heads=(Head("mask", Semantic(), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 256, 256),
        augmentation=Augmentation((Flip("xyflips"), Rotate(180))),
        optimiser=Optimiser("sgd", 2e-3, momentum=0.99),
        normalisation=Normalisation("unit"),
        inference=Inference(blend="linear", symmetries="xy8", z_median=3),
        spacing=(5.0, 5.0, 5.0),
        batch=6,
        steps=100_000,
    ),
    decode=decode,
    segment=segment_components,
    changed="Its 360 epochs are a number of steps, since an epoch is a number of crops. The paper's networks in 3D (28 "
    "to 80 channels, patches of about 80³, Adam at 1e-4) are not here, nor are its ten repeats.",
    unknown="Momentum, augmentation and number of steps: ours. Scores near .89 (Lucchi), .92 (Lucchi++) and .91 "
    "(Kasthuri++) are from memory.",
    small={"network.levels": levels(8, 16, 32), "optimiser.rate": 0.02, "optimiser.momentum": 0.9}
    | {"patch": (1, 64, 64), "batch": 1},
)
