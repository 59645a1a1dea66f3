"""Mitochondria by Mask R-CNN: objects of sections with their boxes and masks, linked from section to section.

Needs torchvision: ``pip install torchvision``. Lucchi.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from ..augmentation import Augmentation, Brightness, Contrast, Flip
from ..nn import MaskRCNN
from ..nn.losses import BinaryCrossEntropy
from ..segmentation import link_slices
from ..targets import Instances
from ._decoders import Between, Outputs, Voxels, kept
from ._detection import Detection
from ._method import Head, Method, Optimiser, Recipe, Term


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    overlap: Annotated[float, Between(0.0, 1.0)] = 0.25,
    below: Voxels = 0,
) -> Any:
    """Objects of sections, linked where they overlap."""
    return kept(link_slices(outputs["object"][0].astype("uint32"), overlap=overlap), below)


RECIPE = Recipe(
    name="liu2020",
    title="Mask R-CNN",
    paper="Liu et al.: Automatic mitochondria segmentation by recursive instance segmentation (2020)",
    number=18,
    task="mitochondria",
    method=Method(
        network=MaskRCNN(),
        heads=(Head("object", Instances(), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 512, 512),
        procedure=Detection(),
        spacing=(5.0, 5.0, 5.0),
        augmentation=Augmentation((Flip("xy8"), Contrast(), Brightness(0.1))),
        optimiser=Optimiser(name="sgd", rate=5e-3, momentum=0.9, weight_decay=5e-4, schedule="step", milestones=(0.7,)),
        batch=2,
        steps=20_000,
    ),
    decode=decode,
    small={
        "network": MaskRCNN(size=128, largest=128, detections=20, regions=32),
        "patch": (1, 128, 128),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 1e-3,
        "optimiser.weight_decay": 0.0,
    },
    changed="No recursive refinement that widens the field of view, and one box for an object, not several; objects "
    "are linked by their overlap. Weights begin at random, not with those of photographs.",
    unknown="The title and all settings but the network are not verified, nor are the scores on Lucchi.",
)
