"""The 2D U-Net as it was: 64 to 1024 channels, no padding, 572 voxels in and 388 out; it learns from few sections by
elastic deformation."""

from __future__ import annotations

from ..augmentation import unet
from ..nn import UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Membrane
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import cells as decode
from ._sections import levels

RECIPE = Recipe(
    name="unet2d",
    title="2D U-Net",
    paper="Ronneberger et al.: U-Net: convolutional networks for biomedical image segmentation (MICCAI, 2015)",
    number=0,
    task="neurons, by membranes",
    method=Method(
        network=UNet(
            levels=levels(64, 128, 256, 512, 1024, dropout=(0.0, 0.0, 0.0, 0.0, 0.5)), norm="none", padding="valid"
        ),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 572, 572),
        augmentation=unet(),
        optimiser=Optimiser("adam", 1e-4),
        inference=Inference(symmetries="xy8"),
        spacing=(50.0, 4.0, 4.0),
        steps=50_000,
    ),
    decode=decode,
    changed="One sigmoid instead of two softmax channels; adam instead of SGD; no map of weights at borders between "
    "cells. Cells are linked across sections.",
    unknown="Share of dropout, rate and steps: ours. Warping error .000353 and Rand error .0382 on ISBI 2012 are from "
    "memory.",
    small={"network.levels": levels(8, 16, 32), "patch": (1, 104, 104), "optimiser.rate": 3e-3},
)
