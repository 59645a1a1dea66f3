"""Losses: how far logits are from targets. All are means weighted by voxel, sum(w * l) / sum(w), so that masks compose;
where no voxel counts, 0 with a gradient of 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from .._settings import Kind

__all__ = ["BinaryCrossEntropy", "Loss"]


@dataclass(frozen=True)
class Loss(Kind):
    """A kind of loss, as settings."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Of logits and target (n, c, z, y, x) and a weight that can be broadcast to them: a scalar in float32."""
        raise NotImplementedError


def weighted(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """sum(w * l) / sum(w)."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(torch.finfo(values.dtype).tiny)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Of each channel by itself, over sigmoids."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return weighted(functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none"), weight)
