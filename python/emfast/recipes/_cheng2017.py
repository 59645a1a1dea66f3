"""What the twins of Cheng and Varshney share."""

from __future__ import annotations

from collections.abc import Sequence

from ..augmentation import flips
from ..nn import Level, PreActivated, StridedOrPooled, UNet
from ..nn.losses import Jaccard
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term


def network(flat: bool, *widths: int, blocks: Sequence[int] = (2, 3, 6)) -> UNet:
    """Blocks of the encoder grow by 8 channels each; the decoder has 64, then 32 channels, each behind a transposed
    convolution with norm and activation, and sees no skips."""
    kernel, stride = ((1, 3, 3), (1, 2, 2)) if flat else ((3, 3, 3), (2, 2, 2))
    return UNet(
        levels=tuple(
            Level(
                width, kernel=kernel, stride=stride, blocks=count, decoder_width=32 if k == 0 else 64, decoder_blocks=0
            )
            for k, (width, count) in enumerate(zip(widths, blocks, strict=True))
        ),
        block=PreActivated(1, factorised=True, growth=8),
        stem=StridedOrPooled(16, kernel, stride),
        activation="prelu",
        skip="none",
        down="stochastic",
        window=4,
    )


def recipe(name: str, title: str, *, flat: bool) -> Recipe:
    """One of the twins."""
    return Recipe(
        name=name,
        title=title,
        paper="Cheng, Varshney: Volume segmentation using convolutional neural networks with limited training data "
        "(2017)",
        number=10,
        task="mitochondria",
        method=Method(
            network=network(flat, 32, 56, 104),
            heads=(
                Head(
                    "mask",
                    Semantic(background=True),
                    (Term(Jaccard(activation="softmax")),),
                    activation="softmax",
                ),
            ),
            patch=(1, 512, 512) if flat else (96, 96, 96),
            spacing=(5.0, 5.0, 5.0),
            augmentation=flips("xy8" if flat else "cube"),
            optimiser=Optimiser(name="sgd", rate=1e-3, momentum=0.9),
        ),
        decode=decode,
        segment=segment_components,
        small={
            "network": network(flat, 24, 40, blocks=(1, 2)),
            "patch": (1, 64, 64) if flat else (16, 64, 64),
            "augmentation.steps": (),
            "optimiser.name": "adam",
            "optimiser.rate": 5e-3,
        },
        changed="Back to full resolution by two three times, not by four and two; norm and activation follow each; the "
        "shortcut of a block is not drawn at random by itself, all that goes to the coarser level is.",
        unknown="Patch, batch, steps, augmentation; how many convolutions a residual block has (here one, factorised "
        "by axis). The scores on Lucchi (IoU .865 and .889) are from memory.",
    )
