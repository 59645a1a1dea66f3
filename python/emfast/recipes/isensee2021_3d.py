"""nnU-Net for volumes at full resolution: a plain 3D U-Net made well, with the settings its rules give for isotropic
voxels and patches of 128³."""

from __future__ import annotations

from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Recipe
from ._nnunet import CHANGED, PAPER, UNKNOWN, levels, method

RECIPE = Recipe(
    name="isensee2021_3d",
    title="nnU-Net, 3D at full resolution",
    paper=PAPER,
    number=32,
    task="mitochondria, or another class",
    method=method((32, 64, 128, 256, 320, 320), (128, 128, 128), batch=2, axes=3),
    decode=decode,
    segment=segment_components,
    changed=CHANGED,
    unknown=UNKNOWN,
    small={
        "network.auxiliary": 1,
        "network.levels": levels(4, 8, 16, 16, axes=3),
        "auxiliary": (0.5,),
        "optimiser.rate": 0.05,
        "optimiser.momentum": 0.9,
        "patch": (16, 32, 32),
        "batch": 1,
    },
)
