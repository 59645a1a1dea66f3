"""COSEM: all organelles of whole cells at once, by a 3D U-Net without padding that says of each class how far a voxel
is from its border.

One network for all classes did better than one for each. Isotropic voxels of 4 nm, OpenOrganelle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from .._options import integer_of
from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Rotate
from ..nn import Level, UNet
from ..nn.losses import SquaredError
from ..segmentation import distance_threshold
from ..targets import SignedDistance
from ._blocks import segment_components
from ._decoders import Between, Distance, Outputs, Voxels
from ._method import Head, Method, Optimiser, Recipe, Term


def levels(*widths: int) -> tuple[Level, ...]:
    strides = ((2, 2, 2), (3, 3, 3), (3, 3, 3), (1, 1, 1))
    return tuple(Level(width, stride=stride) for width, stride in zip(widths, strides, strict=False))


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Distance = 0.0,
    below: Voxels = 0,
    organelle: Annotated[int, Between(1, 35)] = 1,
) -> Any:
    """Connected components of one class, counted from 1."""
    distances = outputs["organelles"]
    channel = integer_of(organelle, "organelle", 1, len(distances)) - 1
    return distance_threshold(distances[channel], threshold=threshold, below=below)


def segment(
    outputs: Mapping[str, Any], target: Any = None, *, organelle: int = 1, threshold: float = 0.0, **more: Any
) -> Any:
    """What ``decode`` gives, block by block."""
    channel = integer_of(organelle, "organelle", 1) - 1
    return segment_components(
        outputs, target, head="organelles", channel=channel, threshold=threshold, above=True, **more
    )


RECIPE = Recipe(
    name="heinrich2021",
    title="COSEM",
    paper="Heinrich et al.: Whole-cell organelle segmentation in volume electron microscopy (2021)",
    number=16,
    task="organelles",
    method=Method(
        network=UNet(levels=levels(12, 72, 432, 2592), norm="none", up="constant", padding="valid", equivariant=True),
        heads=(
            Head(
                "organelles",
                SignedDistance(scale=50.0, classes=35),
                (Term(SquaredError(balanced=True, activation="tanh")),),
                activation="tanh",
            ),
        ),
        patch=(216, 216, 216),
        spacing=(4.0, 4.0, 4.0),
        augmentation=Augmentation(
            (
                Elastic((25.0, 25.0, 25.0), (2.0, 2.0, 2.0), probability=0.5),
                Rotate(180, axes="zyx", probability=0.5),
                Flip("cube"),
                Contrast(0.75, 1.5),
                Brightness(0.1),
            )
        ),
        optimiser=Optimiser(rate=5e-5, betas=(0.95, 0.999)),
        steps=500_000,
    ),
    decode=decode,
    segment=segment,
    small={
        "network.levels": levels(12, 24),
        "network.norm": "batch",
        "heads[0].target.classes": 2,
        "patch": (40, 48, 48),
        "augmentation.steps": (),
        "optimiser.rate": 1e-3,
    },
    changed="Labels have the resolution of the image; the paper's have half its voxel. One volume says which class a "
    "voxel is, where the paper has a mask for each. Outputs go through tanh, where the paper's are linear. The loss is "
    "one weighted mean over all channels, where the paper sums those of the classes, each balanced and within its own "
    "mask. Crops are drawn anywhere, not from a list by class. Touching objects stay one, as there.",
    unknown="Which classes are taken together. Augmentation stands here after the same group's earlier programs.",
)
