"""Constrained MALIS: squared errors of affinities, weighted by the pairs of voxels that each decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ..edges import NEAREST, offsets_of
from ..malis import malis_weights
from ._loss import Loss, full, in_range, share, wide


@dataclass(frozen=True)
class Malis(Loss):
    """Of affinities, over sigmoids, in the patch (:func:`emfast.malis_weights`).

    The loss of a pass is sum(w * l) / sum(w), w being the pairs that an edge decides times its weight; with "pairs" it
    is sum(w * l) over all pairs there are of that kind. Both passes of all samples are added, and divided by the
    samples. Edges of weight 0 join voxels by what is said of them, and count nothing. Objects are what affinities of 1
    connect in the patch. The pairs change with the order of the logits alone, so between two changes the gradient is
    that of the squares.

    Attributes
    ----------
    offsets : tuple of (z, y, x)
        Of the first channels; what comes after them does not count.
    positive, negative : float
        Weights of the passes: against splits, and against mergers.
    normalise : {"pass", "pairs"}
        As :func:`emfast.malis_weights` has it.
    """

    offsets: tuple[tuple[int, ...], ...] = NEAREST
    positive: float = 1.0
    negative: float = 1.0
    normalise: Literal["pass", "pairs"] = "pass"

    def __post_init__(self) -> None:
        offsets_of(self.offsets, 3)
        in_range(self.positive, "positive")
        in_range(self.negative, "negative")

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        count = len(self.offsets)
        if logits.shape[1] < count:
            raise ValueError(f"logits must have a channel per offset ({count}), got {logits.shape[1]}")
        said, so, known = (values[:, :count] for values in wide(logits, target, weight))
        passes = malis_weights(
            # Of unknown edges, too. What is no number has no order; it stays in the loss, where it is seen.
            torch.nan_to_num(torch.sigmoid(full(logits[:, :count].detach()))).float().cpu().numpy(),
            (so > 0.5).cpu().numpy(),
            mask=(known > 0).cpu().numpy(),
            offsets=self.offsets,
            normalise=self.normalise,
        )
        squares = (torch.sigmoid(said) - so) ** 2
        total = squares.new_zeros(())
        for factor, pairs in zip((self.positive, self.negative), passes, strict=True):
            counted = torch.from_numpy(pairs).to(squares) * known
            lost = (counted * squares).flatten(1).sum(1)
            if self.normalise == "pass":
                lost = share(lost, counted.flatten(1).sum(1))
            total = total + factor * lost.sum()
        return total / max(1, len(said))
