"""MALA: affinities by a 3D U-Net without padding, taught by constrained MALIS, which weighs each edge by the pairs of
voxels that it alone parts or joins.

Fragments are merged by a quantile of their affinities. CREMI, FIB-25, SegEM.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..augmentation import gunpowder
from ..nn import Level, UNet
from ..nn.losses import Malis, SquaredError
from ..targets import Affinities
from ._blocks import segment_nearest
from ._decoders import Outputs, Probability, nearest_affinities
from ._method import Head, Method, Optimiser, Recipe, Term

SCORE = "quantile:0.5"


def levels(*widths: int) -> tuple[Level, ...]:
    """Each three times coarser in the section than the one before."""
    return tuple(Level(width, stride=(1, 3, 3)) for width in widths)


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    low: Probability = 0.1,
    high: Probability = 0.98,
    score: str = SCORE,
) -> Any:
    """Watershed of affinities, agglomeration by their median between fragments."""
    return nearest_affinities(outputs, threshold=threshold, low=low, high=high, score=score)


RECIPE = Recipe(
    name="funke2018",
    title="MALA",
    paper="Funke et al.: Large scale image segmentation with structured loss based deep learning for connectome "
    "reconstruction (2018)",
    number=13,
    task="neurons",
    method=Method(
        network=UNet(levels=levels(12, 60, 300, 1500), norm="none", up="constant", padding="valid"),
        heads=(
            Head(
                "affinities",
                Affinities(border=4.0, per_section=True),
                (Term(SquaredError(balanced=True, activation="sigmoid", above=0.5)), Term(Malis())),
            ),
        ),
        patch=(84, 268, 268),
        spacing=(40.0, 4.0, 4.0),
        augmentation=gunpowder(),
        optimiser=Optimiser(rate=5e-5, betas=(0.95, 0.999)),
        steps=500_000,
    ),
    decode=decode,
    segment=partial(segment_nearest, score=SCORE),
    small={
        "network.levels": levels(8, 16, 32),
        "network.norm": "batch",
        "patch": (28, 124, 124),
        "heads[0].target.border": 0.0,  # which small phantoms have no room for
        "augmentation.steps": (),
        "optimiser.rate": 1e-3,
    },
    changed="Squared errors and MALIS are added all along; the paper begins with the first and goes on with the other. "
    "Boundaries are grown by 4 voxels in a straight line, there by as many steps from voxel to voxel. Artefacts are "
    "stains that are drawn, unless ``bank`` names pictures of them.",
    unknown="Which quantile wins is found by validation; the median stands here. Number of steps. That features go up "
    "by repetition, and the gains over earlier methods, are from memory.",
)
