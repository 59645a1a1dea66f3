"""Losses of overlap: one less the soft index of what is said and what is so, over all voxels that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ._loss import Loss, activated, in_range, share, wide


@dataclass(frozen=True)
class _Overlap(Loss):
    """The mean over channels (and samples) in which a voxel counts.

    Attributes
    ----------
    activation : {"sigmoid", "softmax", "none"}
    background : bool
        Channel 0 of a softmax counts too.
    inverted : bool
        Overlap of what is not: of boundaries, where channels are affinities (Sørensen–Dice of GASP, with ``squared``).
    by_sample : bool
        Each sample by itself; else sums run over the batch.
    smooth : float
        Added above and below, so that nothing found where nothing is makes no loss.
    """

    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    background: bool = False
    inverted: bool = False
    by_sample: bool = True
    smooth: float = 1e-5

    def __post_init__(self) -> None:
        in_range(self.smooth, "smooth")
        if self.smooth == 0:
            raise ValueError("smooth must be above 0, got 0")

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits, target, weight = wide(logits, target, weight, together=self.activation == "softmax")
        said = activated(logits, self.activation)
        if self.activation == "softmax" and not self.background and said.shape[1] > 1:
            said, target, weight = said[:, 1:], target[:, 1:], weight[:, 1:]
        if self.inverted:
            said, target = 1 - said, 1 - target
        axes = tuple(range(2, said.ndim)) if self.by_sample else (0, *range(2, said.ndim))
        said = torch.where(weight > 0, said, 0)
        above, below = self._index(said, target, weight, axes)
        counts = (weight.sum(axes) > 0).to(said.dtype)
        lost = 1 - (above + self.smooth) / (below + self.smooth)
        return share((lost * counts).sum(), counts.sum())

    def _index(
        self, said: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, axes: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Numerator and denominator."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dice(_Overlap):
    """2 sum(p t) / (sum(p) + sum(t)); with ``squared`` the sums below are of squares (V-Net; Sørensen–Dice)."""

    squared: bool = False

    def _index(
        self, said: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, axes: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts = said**2 + target**2 if self.squared else said + target
        return 2 * (weight * said * target).sum(axes), (weight * parts).sum(axes)


@dataclass(frozen=True)
class Tversky(_Overlap):
    """TP / (TP + false_positives FP + false_negatives FN), of soft counts. One half each is Dice, one each Jaccard."""

    false_positives: float = 0.5
    false_negatives: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.false_positives, "false_positives")
        in_range(self.false_negatives, "false_negatives")

    def _index(
        self, said: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, axes: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = (weight * said * target).sum(axes)
        extra, missed = (weight * said * (1 - target)).sum(axes), (weight * (1 - said) * target).sum(axes)
        return found, found + self.false_positives * extra + self.false_negatives * missed


@dataclass(frozen=True)
class Jaccard(_Overlap):
    """TP / (TP + FP + FN), of soft counts: intersection over union."""

    def _index(
        self, said: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, axes: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return Tversky(false_positives=1.0, false_negatives=1.0)._index(said, target, weight, axes)
