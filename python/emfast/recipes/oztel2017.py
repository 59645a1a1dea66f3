"""A classifier of patches, run on whole sections at once: four layers see about 32 voxels around, and what they say at
an eighth of the resolution is repeated. Spurious objects are removed, and a watershed moves borders to edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import segmentation
from ..augmentation import flips
from ..nn import Level, Plain, UNet
from ..nn.losses import CrossEntropy
from ..targets import Semantic
from ._decoders import Outputs, Probability, Voxels, object_of
from ._method import Head, Method, Optimiser, Recipe, Term
from ._sections import HALF, Sections


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    reach: Sections = 1,
    seed: Probability = 0.8,
    inside: Probability = 0.5,
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """A median over sections; what is surely an object grows over what probably is one."""
    probability = segmentation.z_median(object_of(outputs), size=2 * reach + 1)
    return segmentation.boundary_contour_watershed(
        probability, 1 - probability, seed=seed, seed_contour=1.0, inside=inside, seed_size=seed_size, below=below
    )


def _levels(first: int, second: int) -> tuple[Level, ...]:
    sides = {first: (5, 5), second: (5, 4)}
    pairs = [(width, side) for width, both in sides.items() for side in both]
    return tuple(Level(width, kernel=(1, k, k), stride=HALF, decoder_blocks=0) for width, k in pairs)


RECIPE = Recipe(
    name="oztel2017",
    title="Classifier of patches, run as a convolution",
    paper="Oztel et al.: Mitochondria segmentation in electron microscopy volumes using deep convolutional neural "
    "network (BIBM, 2017)",
    number=2,
    task="mitochondria",
    method=Method(
        network=UNet(levels=_levels(32, 64), block=Plain(1), skip="none", up="constant"),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), "softmax"),),
        patch=(1, 256, 256),
        augmentation=flips("xy8"),
        optimiser=Optimiser("adam", 1e-3),
        spacing=(5.0, 5.0, 5.0),
        batch=8,
    ),
    decode=decode,
    changed="It learns from all voxels of sections, not from patches that are at least 80 % or at most 20 % object; "
    "layers are padded, and all pools take the largest. The watershed floods the probability, not the image. No "
    "dropout.",
    unknown="Optimiser, batch and steps: ours. The score on the FIB-SEM hippocampus, IoU 0.907, is from memory.",
    small={"network.levels": _levels(8, 16), "patch": (1, 64, 64), "batch": 1},
)
