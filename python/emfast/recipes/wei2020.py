"""U3D-BC: instances of mitochondria from masks and contours of a residual 3D U-Net, the baseline of MitoEM.

Seeds are what is surely inside and no contour; a watershed lets them grow over the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Missing, OutOfFocus, Rotate
from ..segmentation import boundary_contour_watershed
from ._contours import CHANGED, SMALL, heads, network
from ._decoders import Outputs, Probability, Voxels, object_of, probability
from ._method import Inference, Method, Optimiser, Recipe


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    seed: Probability = 0.85,
    seed_contour: Probability = 0.6,
    inside: Probability = 0.8,
    seed_size: Voxels = 0,
    below: Voxels = 128,
) -> Any:
    """Watershed from what is surely inside and no contour."""
    return boundary_contour_watershed(
        object_of(outputs),
        probability(outputs, "contour"),
        seed=seed,
        seed_contour=seed_contour,
        inside=inside,
        seed_size=seed_size,
        below=below,
    )


RECIPE = Recipe(
    name="wei2020",
    title="U3D-BC",
    paper="Wei et al.: MitoEM dataset, large-scale 3D mitochondria instance segmentation from EM images (2020)",
    number=21,
    task="mitochondria",
    method=Method(
        network=network(32, 64, 96, 128, 160),
        heads=heads(),
        patch=(16, 224, 224),
        spacing=(30.0, 8.0, 8.0),
        augmentation=Augmentation(
            (
                Flip("xy8z"),
                Rotate(180, probability=0.5),
                Elastic((0.0, 40.0, 40.0), (0.0, 4.0, 4.0), probability=0.5),
                Contrast(0.7, 1.3, probability=0.5),
                Brightness(0.15, probability=0.5),
                Missing(sections=2, probability=0.3),
                OutOfFocus(sections=2, probability=0.3),
            )
        ),
        optimiser=Optimiser(name="sgd", rate=0.04, schedule="cosine", warmup=1000, weight_decay=1e-4),
        inference=Inference(tile=(16, 256, 256), blend="bump", symmetries="xyflips"),
        batch=2,
        steps=150_000,
    ),
    decode=decode,
    small={
        **SMALL,
        "patch": (9, 64, 64),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 2e-3,
        "optimiser.warmup": 0,
    },
    changed="Patches are 16x224x224, not 17x225x225, and 256 wide at inference, not 257: sides of the levels are even. "
    "The program adds a non-local block and the coarsest features to all levels. " + CHANGED,
    unknown="The share of squeeze and excitation, the length of the warm-up, weight decay and momentum, how often each "
    "augmentation comes and how strong it is, which four symmetries are averaged (here flips within sections).",
)
