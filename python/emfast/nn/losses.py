"""Losses: how far logits are from targets.

Logits and targets are (n, c, z, y, x); the weight can be broadcast to them, and is 0 where nothing is known. Voxelwise
losses are sum(w * l) / sum(w), so that masks compose; others take their sums with the same weights. Where no voxel
counts, a loss is 0 with a gradient of 0. All compute in float32 at least, whatever autocast says.
"""

from ._loss import Loss, weighted
from ._losses_embedding import Discriminative
from ._losses_malis import Malis
from ._losses_overlap import Dice, Jaccard, Tversky
from ._losses_voxels import AbsoluteError, BinaryCrossEntropy, CrossEntropy, Focal, SquaredError

__all__ = [
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dice",
    "Discriminative",
    "Focal",
    "Jaccard",
    "Loss",
    "Malis",
    "SquaredError",
    "Tversky",
    "weighted",
]
