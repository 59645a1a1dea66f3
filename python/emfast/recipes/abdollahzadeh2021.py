"""DeepACSON: axons of white matter at 50 nm; what the network takes for axons is parted into tubes by their shape.

Low resolution leaves gaps in myelin through which axons run together; cylindrical shape decomposition takes them apart
along their centre lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from ..augmentation import Augmentation, Brightness, Contrast, Flip, Noise, Rotate
from ..components import connected_components
from ..labels import dust
from ..nn import Residual, UNet
from ..nn.losses import CrossEntropy
from ..segmentation import split_cylinders
from ..targets import Semantic
from ._decoders import Between, Outputs, Voxels, classes_of, kept
from ._levels import levels
from ._method import Head, Inference, Method, Optimiser, Recipe, Term


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    ratio: Annotated[float, Between(1.2, 5.0)] = 2.0,
    bend: Annotated[float, Between(0.0, 90.0)] = 45.0,
    scale: Annotated[float, Between(0.5, 4.0)] = 1.5,
    below: Voxels = 0,
) -> Any:
    """Connected components of axons (class 1), parted into tubes."""
    axons = connected_components(classes_of(outputs, "classes") == 1)
    parts = split_cylinders(dust(axons, below=below), ratio=ratio, bend=bend, scale=scale, below=below, spacing=spacing)
    return kept(parts, below)


RECIPE = Recipe(
    name="abdollahzadeh2021",
    title="DeepACSON",
    paper="Abdollahzadeh, Belevich, Jokitalo, Sierra, Tohka: DeepACSON automated segmentation of white matter in 3D "
    "electron microscopy (2021)",
    number=22,
    task="axons",
    method=Method(
        network=UNet(levels=levels(64, 128, 256, 512), block=Residual(), skip="cat"),
        heads=(
            Head(
                "classes",
                Semantic(classes=3, background=True),
                (Term(CrossEntropy((0.2, 0.5, 1.0, 1.0))),),
                activation="softmax",
            ),
        ),
        patch=(64, 64, 64),
        spacing=(50.0, 50.0, 50.0),
        augmentation=Augmentation(
            (Flip("cube"), Rotate(180, axes="zyx", probability=0.3), Contrast(), Brightness(0.1), Noise())
        ),
        optimiser=Optimiser(rate=5e-5),
        inference=Inference(blend="linear"),
    ),
    decode=decode,
    small={
        "network.levels": levels(8, 16, 24),
        "patch": (16, 32, 32),
        "augmentation.steps": (),
        "optimiser.rate": 2e-3,
    },
    changed="Axons alone are decoded; what is myelin or mitochondrion is learnt and left. The residual 3D U-Net of the "
    "program, not the flat network of the paper; images are not denoised (BM4D); no deformable model for nuclei. The "
    "decomposition is emfast's plain relative of the published one.",
    unknown="Which weight is which class's; here those of background, axons, myelin and mitochondria. Patch, batch, "
    "steps, augmentation and blending: ours.",
)
