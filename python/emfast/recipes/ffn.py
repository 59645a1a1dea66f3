"""Flood-filling network: objects one by one, grown from seeds by a network that sees the image and what it has found so
far, and moves to where the object goes on.

Samples are balanced by how much of the crop the object of the middle fills. FIB-25, and the neurons of whole brains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..augmentation import flips
from ..nn import FloodFill, FloodFilling
from ..nn.losses import BinaryCrossEntropy
from ..sampling import FillFraction
from ..targets import Instances
from ._decoders import Outputs, Voxels, kept
from ._flooding import Flooding
from ._method import Head, Method, Optimiser, Recipe, Term


def decode(outputs: Outputs, *, spacing: Sequence[float] = (1, 1, 1), below: Voxels = 0) -> Any:
    """The objects that were grown, but for small ones."""
    return kept(outputs["object"][0].astype("uint32"), below)


RECIPE = Recipe(
    name="ffn",
    title="Flood-filling network",
    paper="Januszewski et al.: High-precision automated reconstruction of neurons with flood-filling networks (2018)",
    number=0,
    task="neurons",
    method=Method(
        network=FloodFilling(depth=9, width=32),
        heads=(Head("object", Instances(), (Term(BinaryCrossEntropy()),)),),
        patch=(49, 49, 49),
        procedure=Flooding(),
        spacing=(8.0, 8.0, 8.0),
        augmentation=flips("cube"),
        sampler=FillFraction(),
        optimiser=Optimiser(name="sgd", rate=1e-3, momentum=0.0),
        batch=4,
        steps=1_000_000,
    ),
    decode=decode,
    small={
        "network": FloodFilling(depth=4, width=12),
        "procedure": Flooding(FloodFill(field=(9, 17, 17), step=(3, 6, 6), least=50), separation=16.0),
        "patch": (15, 29, 29),
        "batch": 2,
        "augmentation.steps": (),
        "optimiser.name": "adam",
        "optimiser.rate": 2e-3,
    },
    changed="A step of the optimiser sums all moves of a sample, where the published program takes a step for each. "
    "Consensus, of two orders of seeds, is only where ``agreement`` is asked for, since it takes twice the time; "
    "segments are not agglomerated.",
    unknown="The optimiser and its rate, which are from memory of the published program; the number of steps.",
)
