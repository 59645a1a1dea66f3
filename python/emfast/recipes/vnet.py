"""V-Net: a residual 3D network of large kernels that goes down by strided convolutions, taught by the Dice overlap,
which asks for no weights of classes."""

from __future__ import annotations

from ..augmentation import Augmentation, Elastic, Flip
from ..nn import VNet
from ..nn.losses import Dice
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term

RECIPE = Recipe(
    name="vnet",
    title="V-Net",
    paper="Milletari, Navab, Ahmadi: V-Net, fully convolutional neural networks for volumetric medical image "
    "segmentation (2016)",
    number=0,
    task="mitochondria",
    method=Method(
        network=VNet(),
        heads=(Head("mask", Semantic(), (Term(Dice(squared=True)),)),),
        patch=(64, 128, 128),
        augmentation=Augmentation((Flip("cube"), Elastic((32.0, 32.0, 32.0), (4.0, 4.0, 4.0)))),
        optimiser=Optimiser(name="sgd", rate=1e-4, momentum=0.99),
        batch=2,
    ),
    decode=decode,
    segment=segment_components,
    small={
        "network": VNet(4, kernel=(3, 3, 3)),
        "patch": (16, 64, 64),
        "batch": 1,
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 2e-3,
    },
    changed="Stages and batch norms as in the implementations that are used today; one channel and a sigmoid, not two "
    "and a softmax.",
    unknown="All numbers of this baseline are from memory; steps.",
)
