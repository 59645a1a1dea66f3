"""3D U-Net, the first of its kind: no padding, channels doubled before each pooling, and voxels that nobody labelled
weigh nothing, so that a few labelled sections will do."""

from __future__ import annotations

from ..augmentation import Augmentation, Brightness, Elastic, Flip, Rotate, Scale
from ..nn import Plain, UNet
from ..nn.losses import CrossEntropy
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._levels import levels
from ._method import Head, Method, Optimiser, Recipe, Term

RECIPE = Recipe(
    name="unet3d",
    title="3D U-Net",
    paper="Çiçek, Abdulkadir, Lienkamp, Brox, Ronneberger: 3D U-Net, learning dense volumetric segmentation from "
    "sparse annotation (2016)",
    number=0,
    task="mitochondria",
    method=Method(
        network=UNet(levels=levels(64, 128, 256, 512), block=Plain(share=0.5), decoder_block=Plain(), padding="valid"),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), activation="softmax"),),
        patch=(116, 132, 132),
        augmentation=Augmentation(
            (
                Flip("cube"),
                Rotate(180, probability=0.5),
                Scale(0.9, 1.1),
                Elastic((32.0, 32.0, 32.0), (4.0, 4.0, 4.0)),
                Brightness(0.1),
            )
        ),
        optimiser=Optimiser(name="sgd", rate=1e-2, momentum=0.99, schedule="poly"),
        steps=70_000,
    ),
    decode=decode,
    segment=segment_components,
    small={
        "network.levels": levels(8, 16, 24, stride=(1, 2, 2)),
        "patch": (26, 92, 92),
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 2e-3,
    },
    changed="Features have the width of their level once they are up; in the paper they keep that of the level below.",
    unknown="The widths are from memory of the figure, as are the optimiser and the number of steps.",
)
