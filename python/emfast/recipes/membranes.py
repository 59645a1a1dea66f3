"""Membranes of serial sections by a 2D U-Net: what to begin with where labels are of single sections."""

from __future__ import annotations

from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Gamma, Noise, Rotate
from ..nn import UNet
from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Membrane
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import cells as decode
from ._sections import levels

RECIPE = Recipe(
    name="membranes",
    title="Membranes: the default in 2D",
    paper="emfast's own, after Ronneberger et al. 2015 and Franco-Barranco et al. 2022",
    number=0,
    task="neurons, by membranes",
    method=Method(
        network=UNet(levels=levels(16, 32, 64, 128, 256), up="linear", up_kernel=(1, 3, 3)),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()), Term(Dice(), 0.5))),),
        patch=(1, 256, 256),
        augmentation=Augmentation(
            (
                Flip("xy8"),
                Rotate(180.0),
                Elastic((0.0, 48.0, 48.0), (0.0, 5.0, 5.0)),
                Contrast(0.8, 1.25),
                Brightness(0.1),
                Gamma(0.8, 1.25),
                Noise(0.0, 0.05),
            )
        ),
        optimiser=Optimiser("adamw", 2e-3, weight_decay=1e-4, schedule="cosine", warmup=50),
        inference=Inference(blend="linear", overlap=0.25, symmetries="xy8"),
        spacing=(50.0, 4.0, 4.0),
        batch=2,
        steps=3000,
        ema=0.995,
    ),
    decode=decode,
    unknown="How well it does on your data: choose the threshold on labelled sections.",
    small={"network.levels": levels(8, 16, 32), "patch": (1, 64, 64), "batch": 1, "augmentation.steps": ()},
)
