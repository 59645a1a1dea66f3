"""A U-Net of dense blocks whose skips are sums. The paper takes what it says of membranes as it is; here cells are made
of that."""

from __future__ import annotations

from ..augmentation import Augmentation, Elastic, Flip
from ..nn import Dense, UNet
from ..nn.losses import BinaryCrossEntropy
from ..targets import Membrane
from ._method import Head, Method, Optimiser, Recipe, Term
from ._sections import cells as decode
from ._sections import levels

RECIPE = Recipe(
    name="cao2020",
    title="DenseUNet",
    paper="Cao et al.: DenseUNet: densely connected UNet for electron microscopy image segmentation (IET Image "
    "Processing, 2020)",
    number=7,
    task="neurons, by membranes",
    method=Method(
        network=UNet(levels=levels(32, 64, 128, 256, 512), block=Dense(layers=4, growth=16), skip="sum"),
        heads=(Head("membrane", Membrane((2.0,), per_section=True), (Term(BinaryCrossEntropy()),)),),
        patch=(1, 256, 256),
        augmentation=Augmentation((Flip("xy8"), Elastic((0.0, 40.0, 40.0), (0.0, 3.0, 3.0), probability=0.5))),
        optimiser=Optimiser("adam", 1e-4),
        spacing=(50.0, 4.0, 4.0),
        batch=4,
    ),
    decode=decode,
    changed="One sigmoid instead of two softmax channels. Membranes are not the end: what they enclose in a section is "
    "labelled, grown until membranes are thin, and linked across sections.",
    unknown="Widths, layers, growth, augmentation, optimiser, batch and steps: ours. Its scores on ISBI 2012 are not "
    "verified.",
    small={
        "network.levels": levels(8, 16, 32),
        "network.block": Dense(layers=2, growth=8),
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
