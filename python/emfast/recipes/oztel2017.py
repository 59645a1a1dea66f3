"""A classifier of patches, run on whole sections at once: four layers see some 40 voxels around, and what they
say at an eighth of the resolution is interpolated. A median over sections removes what is in one alone, and sure
objects grow over what probably is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import segmentation
from ..augmentation import flips
from ..nn import FCN, FCNLayer
from ..nn.losses import CrossEntropy
from ..targets import Semantic
from ._decoders import Outputs, Probability, Voxels, object_of
from ._method import Head, Inference, Method, Optimiser, Recipe, Term
from ._sections import HALF, PLANE


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    seed: Probability = 0.8,
    inside: Probability = 0.5,
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """What is surely an object grows over what probably is one."""
    sure = object_of(outputs)
    return segmentation.boundary_contour_watershed(
        sure, 1 - sure, seed=seed, seed_contour=1.0, inside=inside, seed_size=seed_size, below=below
    )


def layers(first: int, second: int) -> tuple[FCNLayer, ...]:
    wide = (1, 5, 5)
    return (
        FCNLayer(first, wide, HALF, PLANE),
        FCNLayer(first, wide, HALF, PLANE, mean=True, dropout=0.5),
        FCNLayer(second, wide, HALF, PLANE, mean=True),
        FCNLayer(second, (1, 4, 4)),
    )


RECIPE = Recipe(
    name="oztel2017",
    title="Classifier of patches, run as a convolution",
    paper="Oztel et al.: Mitochondria segmentation in electron microscopy volumes using deep convolutional neural "
    "network (BIBM, 2017)",
    number=2,
    task="mitochondria",
    method=Method(
        network=FCN(layers=layers(32, 64), norm="batch", padding="same"),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), "softmax"),),
        patch=(1, 256, 256),
        augmentation=flips("xy8"),
        optimiser=Optimiser("adam", 1e-3),
        inference=Inference(z_median=3),
        spacing=(5.0, 5.0, 5.0),
        batch=8,
    ),
    decode=decode,
    changed="It learns from all voxels of sections, not from patches that are at least 80 % or at most 20 % object; "
    "layers are padded, and each has a batch norm, where the paper has one in all. The watershed floods the "
    "probability, not the image; votes of blocks are left out, and objects that are spurious are not removed unless "
    "they are small (``below``). The median over sections is that of probabilities, before the watershed.",
    unknown="Optimiser, batch, steps and augmentation: ours. The score on FIB-SEM of hippocampus, IoU 0.907, is from "
    "memory.",
    small={"network.layers": layers(16, 32), "patch": (1, 64, 64), "batch": 1},
)
