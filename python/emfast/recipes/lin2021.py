"""U3D-BCD: nuclei of whole brains from masks, contours and signed distances of a residual 3D U-Net (NucMM).

As U3D-BC, with group norms; the distance says where the middle of an object is, and a watershed floods from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import plain
from ..nn.losses import SquaredError
from ..segmentation import boundary_contour_watershed
from ..targets import SignedDistance
from ._contours import CHANGED, SMALL, heads, network
from ._decoders import Distance, Outputs, Probability, Voxels, object_of, probability
from ._method import Head, Inference, Method, Optimiser, Recipe, Term


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    seed: Probability = 0.9,
    seed_contour: Probability = 0.8,
    seed_distance: Distance = 0.5,
    inside: Probability = 0.85,
    inside_distance: Distance = 0.0,
    flood: str = "probability",
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """Watershed from what is surely inside, no contour and deep; ``flood="distance"`` is as the paper says it."""
    return boundary_contour_watershed(
        object_of(outputs),
        probability(outputs, "contour"),
        distance=outputs["distance"][0],
        seed=seed,
        seed_contour=seed_contour,
        seed_distance=seed_distance,
        inside=inside,
        inside_distance=inside_distance,
        flood=flood,
        seed_size=seed_size,
        below=below,
    )


DISTANCE = Head(
    "distance",
    SignedDistance(scale=2000.0, clip=2.0),
    (Term(SquaredError(activation="tanh")),),
    activation="tanh",
    weight=5.0,
)
RECIPE = Recipe(
    name="lin2021",
    title="U3D-BCD",
    paper="Lin et al.: NucMM dataset, 3D neuronal nuclei instance segmentation at sub-cubic millimeter scale (2021)",
    number=23,
    task="nuclei",
    method=Method(
        network=network(32, 64, 96, 128, 160, norm="group"),
        heads=(*heads(), DISTANCE),
        patch=(32, 96, 96),
        spacing=(480.0, 512.0, 512.0),
        augmentation=plain(),
        optimiser=Optimiser(name="sgd", rate=0.02, schedule="cosine", warmup=1000, weight_decay=1e-4),
        inference=Inference(blend="bump"),
        batch=2,
        steps=100_000,
    ),
    decode=decode,
    small={
        **SMALL,
        "heads[2].target.scale": 100.0,
        "patch": (8, 64, 64),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 2e-3,
        "optimiser.warmup": 0,
    },
    changed="Sides of patches are one less, and the image is not made twice as fine within sections beforehand; crops "
    "without nuclei are not rejected. " + CHANGED,
    unknown="The scale of the distance (here 2 µm), the share of squeeze and excitation, warm-up, weight decay and "
    "augmentation; AP on NucMM-Z is from memory.",
)
