"""Losses voxel by voxel: cross entropies, focal, squared and absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from ._loss import Loss, activated, balance, in_range, spread, weighted, wide


@dataclass(frozen=True)
class _Voxelwise(Loss):
    """Each channel by itself.

    ``balanced`` weighs positive and negative voxels alike in each channel of each sample (Lee 2017), by their shares of
    the voxels that count; the smaller share counts as ``least`` if it is less.
    """

    balanced: bool = False
    least: float = 0.01

    def __post_init__(self) -> None:
        in_range(self.least, "least", 0.0, 0.5)
        if self.least == 0:
            raise ValueError("least must be above 0, got 0")

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits, target, weight = wide(logits, target, weight, together=self._together())
        values = self._values(logits, target)
        return weighted(values, balance(target, weight, self._above(), self.least) if self.balanced else weight)

    def _above(self) -> float:
        """Targets above this are positive."""
        return 0.5

    def _together(self) -> bool:
        """Whether logits of one channel matter for others."""
        return False

    def _values(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class BinaryCrossEntropy(_Voxelwise):
    """Of each channel by itself, over sigmoids. Positive is what is above one half."""

    def _values(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


@dataclass(frozen=True)
class Focal(_Voxelwise):
    """Binary cross entropy times (1 - p)^gamma, p being the probability given to what is right (Lin 2017)."""

    gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range(self.gamma, "gamma")

    def _values(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        # (1 - p)^gamma as an exponential, whose derivative has no pole where p is 1.
        yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        return -target * torch.exp(self.gamma * no) * yes - (1 - target) * torch.exp(self.gamma * yes) * no


@dataclass(frozen=True)
class SquaredError(_Voxelwise):
    """Of what is left of the logits after the activation. Positive is what is above ``above``."""

    activation: Literal["none", "sigmoid", "softmax", "tanh"] = "none"
    above: float = 0.0

    def _above(self) -> float:
        return self.above

    def _together(self) -> bool:
        return self.activation == "softmax"

    def _values(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (activated(logits, self.activation) - target) ** 2


@dataclass(frozen=True)
class AbsoluteError(SquaredError):
    """The same without the square."""

    def _values(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (activated(logits, self.activation) - target).abs()


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Over a softmax of the channels, of which the target says the shares: ``Semantic(…, background=True)``.

    Attributes
    ----------
    classes : tuple of float
        What a voxel of each channel weighs, the background first; none: all alike.
    """

    classes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for value in self.classes:
            in_range(value, "classes")
        if self.classes and not any(self.classes):
            raise ValueError("classes must not all weigh 0")

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if logits.shape[1] < 2:
            raise ValueError("logits must have a channel per class, background included, got 1 channel")
        if self.classes and len(self.classes) != logits.shape[1]:
            raise ValueError(f"classes must be one per channel ({logits.shape[1]}), got {len(self.classes)}")
        weight = spread(weight, logits.shape).amin(1, keepdim=True)  # a voxel counts with all its channels
        logits, target, weight = wide(logits, target, weight)
        weight = weight[:, 0]
        if self.classes:
            scale = torch.tensor(self.classes, dtype=logits.dtype, device=logits.device)
            weight = weight * (target.movedim(1, -1) * scale).sum(-1)
        return weighted(-(target * functional.log_softmax(logits, 1)).sum(1), weight)


__all__ = ["AbsoluteError", "BinaryCrossEntropy", "CrossEntropy", "Focal", "SquaredError"]
