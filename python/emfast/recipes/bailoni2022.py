"""GASP: short and long affinities of a 3D U-Net as a signed graph, agglomerated by one of five linkages.

The mean is the most robust; the absolute maximum is the mutex watershed, the sum greedy additive clustering. Affinities
are taught by the Sørensen-Dice overlap of what is cut. CREMI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import segmentation
from ..augmentation import gunpowder
from ..nn import Convolved, Symmetric, UNet
from ..nn.losses import Dice
from ..targets import Affinities
from ._decoders import Outputs, Probability, Voxels, together
from ._levels import levels
from ._method import Head, Inference, Method, Optimiser, Recipe, Term

OFFSETS = (
    *((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    *((-2, 0, 0), (0, -3, 0), (0, 0, -3)),
    *((-3, 0, 0), (0, -9, 0), (0, 0, -9)),
    *((-4, 0, 0), (0, -27, 0), (0, 0, -27)),
)


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    linkage: str = "mean",
    constrained: bool = False,
    bias: Probability = 0.5,
    low: Probability = 0.1,
    high: Probability = 0.98,
    below: Voxels = 0,
) -> Any:
    """Agglomeration of the signed graph of a watershed's fragments."""
    return segmentation.gasp(
        together(outputs, ("affinities",)),
        OFFSETS,
        linkage=linkage,
        constrained=constrained,
        bias=bias,
        low=low,
        high=high,
        below=below,
    )


RECIPE = Recipe(
    name="bailoni2022",
    title="GASP",
    paper="Bailoni et al.: GASP, a generalized framework for agglomerative clustering of signed graphs and its "
    "application to instance segmentation (2022)",
    number=17,
    task="neurons",
    method=Method(
        network=UNet(
            levels=levels(16, 32, 64, 128, stride=(1, 2, 2)),
            block=Symmetric(),
            stem=Convolved(16),
            norm="group",
            skip="sum",
        ),
        heads=(Head("affinities", Affinities(OFFSETS), (Term(Dice(inverted=True, squared=True, smooth=1e-3)),)),),
        patch=(24, 160, 160),
        spacing=(40.0, 4.0, 4.0),
        augmentation=gunpowder(),
        optimiser=Optimiser(name="adam", rate=1e-4),
        inference=Inference(blend="linear"),
    ),
    decode=decode,
    copies=32,
    small={
        "network.levels": levels(8, 12, 16, stride=(1, 2, 2)),
        "patch": (8, 64, 64),
        "augmentation.steps": (),
        "optimiser.rate": 1e-3,
    },
    changed="Nodes are fragments of a watershed; the paper has single voxels too. No linkage by quantiles, and long "
    "edges merge as nearest ones do, where the paper can keep them from it. The network has symmetric residual blocks, "
    "group norms and sums as skips, where the paper has a plain 3D U-Net. Artefacts are stains that are drawn, unless "
    "``bank`` names pictures of them.",
    unknown="Widths, patch, learning rate, augmentation and offsets; that the loss is Sørensen-Dice is from memory.",
)
