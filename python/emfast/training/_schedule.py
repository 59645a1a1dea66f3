"""The optimiser of a method, and how its rate goes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..recipes import Optimiser

__all__ = ["factor", "optimiser_of"]


def optimiser_of(settings: Optimiser, parameters: Iterable[Any]) -> torch.optim.Optimizer:
    """Over the parameters, as the settings say."""
    shared: dict[str, Any] = {"lr": settings.rate, "weight_decay": settings.weight_decay}
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.momentum, nesterov=settings.nesterov, **shared)
    if len(settings.betas) != 2:
        raise ValueError(f"optimiser.betas must be two numbers, got {settings.betas}")
    first, second = settings.betas
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
    return kind(parameters, betas=(first, second), **shared)


def factor(settings: Optimiser, step: int, steps: int) -> float:
    """What the rate of step ``step``, counted from 0, is multiplied by.

    Examples
    --------
    >>> from emfast.recipes import Optimiser
    >>> from emfast.training._schedule import factor
    >>> [factor(Optimiser(schedule="step", milestones=(0.5,), warmup=2), k, 8) for k in (0, 1, 2, 4)]
    [0.5, 1.0, 1.0, 0.1]
    """
    rise = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    done = step / max(1, steps)
    if settings.schedule == "poly":
        return float(rise * (1 - done) ** settings.power)
    if settings.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * done))
    if settings.schedule == "step":
        return float(rise * settings.gamma ** sum(done >= at for at in settings.milestones))
    return rise
