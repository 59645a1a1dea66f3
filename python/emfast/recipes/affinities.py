"""Neurons of serial sections by a small residual U-Net: what to begin with, and what the demo trains.

Nearest and long affinities are learnt together. A mutex watershed joins voxels along the surest nearest ones, unless a
long one that is surer says that they are apart: networks that learnt for minutes take some membrane for sure inside,
where a watershed would leak. Its segments are rather small, and are merged by the mean of all affinities between them.
That needs the outputs in memory; larger volumes can go by the recipe lee2017. Two minutes on two processors teach it a
phantom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import Augmentation, Brightness, Contrast, Flip, Noise
from ..nn import Level, Residual, UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Affinities
from ._decoders import Outputs, Probability, Voxels, mutex_affinities
from ._method import Head, Inference, Method, Optimiser, Recipe, Term

LONG = ((-2, 0, 0), (0, -4, 0), (0, 0, -4), (-3, 0, 0), (0, -12, 0), (0, 0, -12))
LOSS = (Term(BinaryCrossEntropy()),)


def levels(*widths: int) -> tuple[Level, ...]:
    """Sections first, then space; twice as coarse within sections from level to level."""
    kernels = ((1, 3, 3), *((3, 3, 3),) * (len(widths) - 1))
    return tuple(Level(width, kernel=kernel, stride=(1, 2, 2)) for width, kernel in zip(widths, kernels, strict=True))


def decode(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    near: Probability = 0.1,
    merge: Probability = 0.6,
    below: Voxels = 100,
) -> Any:
    """Mutex watershed, where nearest affinities join and long ones keep apart; then what all of them join is merged."""
    return mutex_affinities(outputs, LONG, near=near, merge=merge, below=below)


RECIPE = Recipe(
    name="affinities",
    title="Affinities: the default",
    paper="emfast's own, after Lee et al. 2017 and Funke et al. 2018, and for the mutex watershed Wolf et al. 2018",
    number=0,
    task="neurons",
    method=Method(
        network=UNet(levels=levels(16, 32, 64), block=Residual(), skip="sum", up="nearest"),
        heads=(Head("affinities", Affinities(), LOSS), Head("long", Affinities(LONG), LOSS)),
        patch=(16, 96, 96),
        spacing=(30.0, 8.0, 8.0),
        augmentation=Augmentation((Flip("xy8z"), Contrast(0.8, 1.25), Brightness(0.1), Noise(0.0, 0.05))),
        optimiser=Optimiser("adamw", 3e-3, weight_decay=1e-4, schedule="cosine", warmup=20),
        inference=Inference(blend="linear", overlap=0.25),
        steps=600,
    ),
    decode=decode,
    copies=12,
    small={"network.levels": levels(8, 16, 16), "patch": (8, 64, 64), "augmentation.steps": ()},
    changed="",
    unknown="How well it does on your data: see on a labelled part.",
)
