"""HIVE-Net: mitochondria by a light 3D network of convolutions in planes, each seeing what the plane before it found.

Beside the mask it learns how near the centre line of its object a voxel is, which parts what touches. Lucchi.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import Augmentation, Brightness, Flip, Rotate
from ..nn import HVEC, Level, UNet
from ..nn.losses import Jaccard, SquaredError
from ..targets import CentreLine, Semantic
from ._decoders import Outputs, Probability, Voxels, object_of, probability, seeded_by
from ._method import Head, Method, Optimiser, Recipe, Term


def levels(*widths: int, blocks: int = 2) -> tuple[Level, ...]:
    """The last step is one within sections."""
    strides = ((2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 1, 1))[-len(widths) :]
    return tuple(Level(width, stride=stride, blocks=blocks) for width, stride in zip(widths, strides, strict=True))


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    seed: Probability = 0.5,
    below: Voxels = 0,
) -> Any:
    """The mask, flooded from the components of what lies near a centre line."""
    return seeded_by(object_of(outputs), probability(outputs, "centre"), seed=seed, inside=threshold, below=below)


RECIPE = Recipe(
    name="yuan2021",
    title="HIVE-Net",
    paper="Yuan, Ma, Yi, Chang, Wang: HIVE-Net, centerline-aware hierarchical view-ensemble convolutional network for "
    "mitochondria segmentation in EM images (2021)",
    number=19,
    task="mitochondria",
    method=Method(
        network=UNet(
            levels=levels(64, 128, 256, 512),
            block=HVEC(),
            norm="instance",
            activation="prelu",
            skip="sum",
            up="linear",
            up_plain=True,
            decoders=(("mask",), ("centre",)),
        ),
        heads=(
            Head("mask", Semantic(), (Term(Jaccard()),), weight=0.7),
            Head("centre", CentreLine(), (Term(SquaredError(activation="sigmoid")),), weight=0.3),
        ),
        patch=(40, 144, 144),
        spacing=(5.0, 5.0, 5.0),
        augmentation=Augmentation((Flip("xy8z"), Rotate(180, probability=0.5), Brightness(0.1))),
        optimiser=Optimiser(rate=1e-4, weight_decay=1e-5, schedule="poly"),
        batch=2,
    ),
    decode=decode,
    small={
        "network.levels": levels(8, 16, 16, blocks=1),
        "patch": (8, 64, 64),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.rate": 2e-3,
    },
    changed="Patches are 144 wide, not 136: sections are halved once more in the deepest block. The learning rate "
    "falls by a power, where the paper takes a tenth off every 15 epochs. Mask and centre line have a decoder each of "
    "the encoder's widths; in the program that of the centre line is half as wide, and the mask is said from both. The "
    "two blocks of a level have no sum with their input, and the views are added as they are, without a convolution of "
    "one voxel between. The first level begins without a full convolution, and attention gates, which the program has "
    "and does not use, are left out. One channel and a sigmoid, not two and a softmax. Predictions are of one view, "
    "not the mean of three. The paper's masks are not parted; here the centre lines do that, as far as they lie apart.",
    unknown="Steps; how the nearness to the centre line falls off.",
)
