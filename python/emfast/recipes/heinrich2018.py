"""Synaptic clefts of a whole fly brain: a U-Net without padding says how far each voxel is from the edge of a cleft.

The signed distance goes through tanh at 50 nm, so that all voxels teach, and what is above 0 is cleft. CREMI, FAFB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..augmentation import gunpowder
from ..nn import Level, UNet
from ..nn.losses import SquaredError
from ..segmentation import distance_threshold
from ..targets import SignedDistance
from ._blocks import segment_components
from ._decoders import Distance, Outputs, Voxels
from ._method import Head, Method, Optimiser, Recipe, Term


def levels(*widths: int) -> tuple[Level, ...]:
    """Within sections first, then in space."""
    planes, section = ((1, 3, 3),) * 2 + ((3, 3, 3),) * 2, (1, 3, 3)
    strides = (section, section, (3, 3, 3), (1, 1, 1))
    return tuple(Level(w, kernel=k, stride=s) for w, k, s in zip(widths, planes, strides, strict=False))


def decode(
    outputs: Outputs, *, spacing: Sequence[float] = (1, 1, 1), threshold: Distance = 0.0, below: Voxels = 0
) -> Any:
    """Connected components of what lies above the threshold."""
    return distance_threshold(outputs["clefts"][0], threshold=threshold, below=below)


RECIPE = Recipe(
    name="heinrich2018",
    title="Clefts by signed distance",
    paper="Heinrich, Funke, Pape, Nunez-Iglesias, Saalfeld: Synaptic cleft segmentation in non-isotropic volume "
    "electron microscopy of the complete Drosophila brain (2018)",
    number=14,
    task="clefts",
    method=Method(
        network=UNet(levels=levels(12, 72, 432, 2592), norm="none", up="transposed", padding="valid"),
        heads=(
            Head(
                "clefts",
                SignedDistance(scale=50.0, instances=False),
                (Term(SquaredError(balanced=True, activation="tanh")),),
                activation="tanh",
            ),
        ),
        patch=(43, 430, 430),
        spacing=(40.0, 4.0, 4.0),
        augmentation=gunpowder(),
        optimiser=Optimiser(rate=5e-5, betas=(0.95, 0.999)),
        steps=500_000,
    ),
    decode=decode,
    segment=partial(segment_components, head="clefts", threshold=0.0, above=True),
    small={
        "network.levels": levels(8, 16, 32),
        "network.norm": "batch",
        "patch": (12, 142, 142),
        "augmentation.steps": (),
        "optimiser.rate": 1e-3,
    },
    changed="The output goes through tanh, where the paper's is linear. Crops without clefts come as often as chance "
    "has it, where the program rejects 95 % of them. Augmentation is the mixture that affinities are learnt with: "
    "flips along z too, where the program has those within sections, and low contrast of 0.1 where it has 0.5; "
    "artefacts are stains that are drawn, unless ``bank`` names pictures of them.",
    unknown="Steps. That the optimiser is Adam with a rate of 5e-5 and a first beta of 0.95 is of its program.",
)
