"""Affinities of serial sections by an anisotropic residual U-Net (RSUNet), the first better than people on SNEMI3D.

Long-range affinities are learnt beside the nearest ones and are not used afterwards; fragments of a watershed are
merged by their mean affinity. Its maintained form is DeepEM, whose augmentation stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..augmentation import deepem
from ..nn import Convolved, Symmetric, UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Affinities
from ._blocks import segment_nearest
from ._decoders import Outputs, Probability, nearest_affinities
from ._levels import levels
from ._method import Head, Inference, Method, Optimiser, Recipe, Term

LONG = (
    *((-k, 0, 0) for k in (2, 3, 4)),
    *((0, -k, 0) for k in (3, 9, 27)),
    *((0, 0, -k) for k in (3, 9, 27)),
)  # fmt: skip
LOSS = (Term(BinaryCrossEntropy(balanced=True)),)
NETWORK = UNet(
    levels=levels(24, 32, 48, 72, 104, stride=(1, 2, 2)),
    block=Symmetric(),
    stem=Convolved(24, (1, 5, 5)),
    activation="elu",
    skip="sum",
    up="linear",
    head_kernel=(1, 5, 5),
)


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    low: Probability = 0.1,
    high: Probability = 0.98,
) -> Any:
    """Watershed of the nearest affinities, mean affinity agglomeration."""
    return nearest_affinities(outputs, threshold=threshold, low=low, high=high)


RECIPE = Recipe(
    name="lee2017",
    title="RSUNet",
    paper="Lee, Zung, Li, Jain, Seung: Superhuman accuracy on the SNEMI3D connectomics challenge (2017)",
    number=12,
    task="neurons",
    method=Method(
        network=NETWORK,
        heads=(
            Head("affinities", Affinities(), LOSS),
            Head("long", Affinities(LONG), LOSS, weight=3.0),  # nine channels, each as much as one of the three
        ),
        patch=(32, 160, 160),
        spacing=(30.0, 6.0, 6.0),
        augmentation=deepem(),
        optimiser=Optimiser(rate=1e-3),
        inference=Inference(blend="bump", symmetries="xy8z"),
        steps=500_000,
    ),
    decode=decode,
    segment=segment_nearest,
    small={
        "network": replace(NETWORK, levels=levels(8, 12, 16, stride=(1, 2, 2)), stem=Convolved(8)),
        "patch": (8, 64, 64),
        "augmentation.steps": (),
    },
    changed="Augmentation is the mixture of DeepEM, the successor of the paper's program. The twelve affinities are "
    "two heads, so that the nearest can be segmented block by block.",
    unknown="Batch, number of steps and learning rate; results on the human annotators are from memory.",
)
