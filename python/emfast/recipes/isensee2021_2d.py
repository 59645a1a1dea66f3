"""nnU-Net for sections: a plain U-Net made well, with the settings its rules give for sections of 512 voxels."""

from __future__ import annotations

from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Recipe
from ._nnunet import CHANGED, PAPER, UNKNOWN, levels, method

RECIPE = Recipe(
    name="isensee2021_2d",
    title="nnU-Net, 2D",
    paper=PAPER,
    number=32,
    task="mitochondria, or another class",
    method=method((32, 64, 128, 256, 512, 512, 512, 512), (1, 512, 512), batch=12, axes=2),
    decode=decode,
    segment=segment_components,
    changed=CHANGED,
    unknown=UNKNOWN,
    small={
        "network.auxiliary": 1,
        "network.levels": levels(8, 16, 32, 32, axes=2),
        "auxiliary": (0.5,),
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
