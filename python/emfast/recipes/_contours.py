"""What the recipes of masks and contours share: heads, and the network of papers 21 and 23."""

from __future__ import annotations

from typing import Any

from ..nn import Convolved, Level, Residual, UNet
from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Contour, Semantic
from ._method import Head, Term

__all__ = ["CHANGED", "SMALL", "heads", "levels", "network"]


def heads(*, overlap: float = 0.5) -> tuple[Head, Head]:
    """Mask and contour, by balanced cross entropy and so much of a Dice loss."""
    terms = (Term(BinaryCrossEntropy(balanced=True)), *((Term(Dice(), overlap),) if overlap else ()))
    return Head("mask", Semantic(), terms), Head("contour", Contour(), terms)


def levels(*widths: int, planes: int = 3) -> tuple[Level, ...]:
    """Twice as coarse within sections from level to level, below the third along z too; the first ones see sections
    only."""
    return tuple(
        Level(width, kernel=(1 if k < planes else 3, 3, 3), stride=(1 if k < 2 else 2, 2, 2))
        for k, width in enumerate(widths)
    )


def network(*widths: int, **more: Any) -> UNet:
    """Residual, with squeeze and excitation, strided convolutions and sums; the first and the last convolution see five
    voxels of a section."""
    return UNet(
        levels=levels(*widths),
        block=Residual(excite=4),
        stem=Convolved(widths[0], (1, 5, 5)),
        activation="elu",
        skip="sum",
        down="strided",
        up="linear",
        head_kernel=(1, 5, 5),
        **more,
    )


SMALL = {"network.levels": levels(8, 16, 24, planes=1), "network.stem": Convolved(8, (1, 5, 5))}
CHANGED = (
    "Strided convolutions are as wide as their strides, and what goes up is convolved by 1³; in the program both see "
    "1x3x3 or 3³, and all residual blocks 1x3x3. Padding is by zeros, interpolation does not align corners."
)
