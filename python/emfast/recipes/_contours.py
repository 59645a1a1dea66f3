"""What the recipes of masks and contours share: heads and levels (papers 21, 23 and 24)."""

from __future__ import annotations

from ..nn import Level
from ..nn.losses import BinaryCrossEntropy, Dice
from ..targets import Contour, Semantic
from ._method import Head, Term

__all__ = ["heads", "levels"]


def heads(*, overlap: float = 0.5) -> tuple[Head, Head]:
    """Mask and contour, by balanced cross entropy and so much of a Dice loss."""
    terms = (Term(BinaryCrossEntropy(balanced=True)), *((Term(Dice(), overlap),) if overlap else ()))
    return Head("mask", Semantic(), terms), Head("contour", Contour(), terms)


def levels(*widths: int, planes: int = 1) -> tuple[Level, ...]:
    """Twice as coarse within sections from level to level; the first ones see sections only."""
    kernels = ((1, 3, 3),) * planes + ((3, 3, 3),) * (len(widths) - planes)
    return tuple(Level(width, kernel=kernel, stride=(1, 2, 2)) for width, kernel in zip(widths, kernels, strict=True))
