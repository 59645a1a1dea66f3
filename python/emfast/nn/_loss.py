"""The base of all losses, and what they share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from .._options import number_of
from .._settings import Kind


@dataclass(frozen=True)
class Loss(Kind):
    """A kind of loss, as settings."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Of logits and target (n, c, z, y, x) and a weight that can be broadcast to them: a scalar, in float32 or
        wider."""
        raise NotImplementedError


def weighted(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """sum(w * l) / sum(w), in float32 at least."""
    values = full(values)
    weight = spread(weight, values.shape).to(values.dtype)
    counted = torch.where(weight > 0, values, 0)  # what is beyond all numbers there must not count either
    return (counted * weight).sum() / _at_least_tiny(weight.sum())


def wide(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, *, together: bool = False
) -> tuple[torch.Tensor, ...]:
    """All three in float32, or float64 where the logits are, and the weight in the shape of the logits.

    Where nothing counts logits and target are 0, for what is no number would come into gradients even so: a gradient
    of 0 times infinity. Logits of channels that are taken ``together`` (a softmax) stay where one of them counts.
    """
    if logits.shape != target.shape:
        raise ValueError(f"target must have the shape of logits {tuple(logits.shape)}, got {tuple(target.shape)}")
    logits = full(logits)
    weight = spread(weight, logits.shape).to(logits.dtype)
    counts = weight > 0
    said = torch.where(counts.any(1, keepdim=True) if together else counts, logits, 0)
    return said, torch.where(counts, target.to(logits.dtype), 0), weight


def spread(weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A weight in that shape."""
    try:
        return weight.expand(shape)
    except RuntimeError:
        wanted = f"{tuple(shape)} or one that can be broadcast to it"
        raise ValueError(f"weight must have the shape {wanted}, got {tuple(weight.shape)}") from None


def full(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()


def activated(logits: torch.Tensor, activation: str) -> torch.Tensor:
    """What the network says: sigmoid, softmax over channels, tanh or none."""
    if activation == "sigmoid":
        return torch.sigmoid(logits)
    if activation == "softmax":
        return torch.softmax(logits, 1)
    return torch.tanh(logits) if activation == "tanh" else logits


def share(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """part / whole, 0 where both are."""
    return part / _at_least_tiny(whole)


def balance(target: torch.Tensor, weight: torch.Tensor, above: float, least: float) -> torch.Tensor:
    """Weights with which positive and negative voxels of each channel of each sample weigh alike.

    A side weighs as if it had a share of ``least`` at least: a rare voxel does not become all there is.
    """
    positive = target > above
    axes = tuple(range(2, target.ndim))
    part = share((weight * positive).sum(axes, keepdim=True), weight.sum(axes, keepdim=True)).clamp(least, 1 - least)
    return weight * torch.where(positive, 0.5 / part, 0.5 / (1 - part))


def in_range(value: Any, name: str, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse a setting that is no finite number from ``low`` to ``high``."""
    if not math.isfinite(number_of(value, name, low, high)):
        raise ValueError(f"{name} must be finite, got {value!r}")


def _at_least_tiny(values: torch.Tensor) -> torch.Tensor:
    return values.clamp_min(torch.finfo(values.dtype).tiny)
