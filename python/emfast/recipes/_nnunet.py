"""What nnU-Net has whatever the data: blocks, losses, augmentation, optimiser, inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..augmentation import Augmentation, Blur, Contrast, Flip, Gamma, Noise, Rotate, Scale
from ..nn import Level, Plain, UNet
from ..nn.losses import CrossEntropy, Dice
from ..sampling import Foreground
from ..targets import Semantic
from ._method import Head, Inference, Method, Optimiser, Term

__all__ = ["CHANGED", "PAPER", "UNKNOWN", "levels", "method"]

PAPER = (
    "Isensee et al.: nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation "
    "(Nature Methods, 2021)"
)
CHANGED = (
    "One plan, not one made of the data; images are normalised by all of the training images, not each by itself; no "
    "simulation of low resolution and no inverted images; noise in shares of the range of grey values. Convolutions "
    "before a norm have no bias. The largest component is not singled out. No cascade of two resolutions; one network, "
    "not five of as many folds."
)
UNKNOWN = (
    "From memory are the losses (cross entropy and Dice), deep supervision, the optimiser, its rate and steps, which "
    "norm of gradients it clips at, and the blending of tiles."
)


def levels(*widths: int, axes: int) -> tuple[Level, ...]:
    """Two convolutions each; below the first level one of them is that which makes it coarser."""
    kernel, stride = ((1, 3, 3), (1, 2, 2)) if axes == 2 else ((3, 3, 3), (2, 2, 2))
    first, rest = Level(widths[0], kernel, stride), Level(widths[0], kernel, stride, block=Plain(1))
    return (first, *(replace(rest, width=width) for width in widths[1:]))


def method(widths: Sequence[int], patch: tuple[int, int, int], batch: int, axes: int) -> Method:
    """Deep supervision at all levels but the two coarsest, each with half the weight of the one before."""
    deep = len(widths) - 3
    shares = tuple(0.5 ** (k + 1) for k in range(deep))
    dice = Dice("softmax", by_sample=axes == 3)
    network = UNet(
        levels=levels(*widths, axes=axes),
        decoder_block=Plain(2),
        norm="instance",
        activation="leaky",
        down="strided",
        down_kernel=(1, 3, 3) if axes == 2 else (3, 3, 3),
        auxiliary=deep,
    )
    turns: Any = Rotate(180, "z", probability=0.2) if axes == 2 else Rotate(30, "zyx", probability=0.2)
    head = Head("mask", Semantic(background=True), (Term(CrossEntropy()), Term(dice)), "softmax")
    return Method(
        network=network,
        heads=(replace(head, weight=1 / (1 + sum(shares))),),
        patch=patch,
        augmentation=Augmentation(
            (
                turns,
                Scale(0.7, 1.4, "yx" if axes == 2 else "zyx", probability=0.2),
                Flip("xyflips" if axes == 2 else "flips"),
                Noise(0.0, 0.06, probability=0.1),
                Blur(0.5, 1.0, axes="yx" if axes == 2 else "zyx", probability=0.2),
                Contrast(0.75, 1.25, about="black", probability=0.15),
                Contrast(0.75, 1.25, probability=0.15),
                Gamma(0.7, 1.5, probability=0.3),
            )
        ),
        sampler=Foreground(0.33),
        optimiser=Optimiser("sgd", 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5, schedule="poly", clip=12.0),
        inference=Inference(blend="gaussian", symmetries="flips"),
        batch=batch,
        steps=250_000,
        auxiliary=shares,
    )
