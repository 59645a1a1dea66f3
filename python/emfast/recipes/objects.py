"""Mitochondria and other organelles by a 2D U-Net, section by section: what to begin with where masks are wanted."""

from __future__ import annotations

from dataclasses import replace

from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Term
from .membranes import RECIPE as MEMBRANES

RECIPE = replace(
    MEMBRANES,
    name="objects",
    title="Objects: the default in 2D",
    paper="emfast's own, after Casser et al. 2018 and Franco-Barranco et al. 2022",
    task="mitochondria",
    method=replace(
        MEMBRANES.method,
        heads=(Head("mask", Semantic(), (Term(BinaryCrossEntropy()), Term(Dice(), 0.5))),),
        spacing=(30.0, 6.0, 6.0),
    ),
    decode=decode,
    segment=segment_components,
)
