"""One small network for each kind of feature (membranes, mitochondria, vesicles, microtubules): four convolutions, of
which the first two see 15 voxels, at half the resolution. It learns from a handful of tiles."""

from __future__ import annotations

from ..augmentation import flips
from ..nn import FCN, FCNLayer
from ..nn.losses import SquaredError
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Method, Optimiser, Recipe, Term
from ._sections import HALF


def layers(width: int, side: int) -> tuple[FCNLayer, ...]:
    wide = (1, side, side)
    return FCNLayer(width, wide, HALF), FCNLayer(width, wide), FCNLayer(width, (1, 1, 1))


RECIPE = Recipe(
    name="chen2017",
    title="A small network per feature (EMAN2)",
    paper="Chen et al.: Convolutional neural networks for automated annotation of cellular cryo-electron tomograms "
    "(Nature Methods, 2017)",
    number=3,
    task="mitochondria, or another kind of feature; a network for each",
    method=Method(
        network=FCN(layers=layers(40, 15), padding="same"),
        heads=(Head("mask", Semantic(), (Term(SquaredError(activation="sigmoid")),)),),
        patch=(1, 64, 64),
        augmentation=flips("xy8"),
        optimiser=Optimiser("adam", 1e-3),
        batch=8,
        steps=10_000,
    ),
    decode=decode,
    segment=segment_components,
    changed="The fourth convolution is the head, of one voxel; its output is interpolated to full resolution. Several "
    "features are not joined by their largest value: each model says what it finds.",
    unknown="Width, the last two kernels, loss, optimiser, batch, steps and augmentation: ours. The paper reports no "
    "scores.",
    small={"network.layers": layers(8, 7), "batch": 1},
)
