"""Organelles of urothelial cells: the network of mekuc2020, whose mitochondria are parted and smoothed by geodesic
active contours.

What touches is parted where it is narrow, then the surfaces of the parts move to the borders that the network sees.
The paper adds the Golgi apparatus and fusiform vesicles, and an analysis of shapes (:mod:`emfast.morphology`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from ..segmentation import refine_contours, split_by_shape
from ._decoders import Between, Nanometres, Outputs, Probability, Voxels, components, kept, object_of
from ._method import Recipe
from .mekuc2020 import RECIPE as BEFORE


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    depth: Nanometres = 15.0,
    iterations: Annotated[int, Between(0, 30)] = 5,
    balloon: Annotated[int, Between(-1, 1)] = 0,
    smoothing: Annotated[int, Between(0, 4)] = 1,
    below: Voxels = 0,
) -> Any:
    """Components, parted by shape; then their surfaces move to where the network is least sure."""
    labels = split_by_shape(components(outputs, threshold=threshold), depth=depth, spacing=spacing)
    border = 1 - abs(2 * object_of(outputs) - 1)
    moved = refine_contours(labels, border, iterations=iterations, balloon=balloon, smoothing=smoothing)
    return kept(moved, below)


RECIPE = Recipe(
    name="mekuc2022",
    title="HighRes3DZMNet and active contours",
    paper="Žerovnik Mekuč et al.: Automatic segmentation and reconstruction of intracellular compartments in "
    "volumetric electron microscopy data (2022)",
    number=25,
    task="mitochondria",
    method=BEFORE.method,
    decode=decode,
    copies=16,
    small=BEFORE.small,
    changed="One class is taught here, where the paper adds the Golgi apparatus and vesicles. Seeds of the contours "
    "are parts by shape, and the contours are those of Márquez-Neila with majorities.",
    unknown="How the paper places the first contours, their parameters, and all that mekuc2020 does not tell.",
)
