"""Samples and losses of detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..training._supervised import Supervised
from ._detection import boxes_of

__all__ = ["Lessons"]

Tensors = Mapping[str, torch.Tensor]


class Lessons(Supervised):
    """Sections with the numbers of their objects. While it learns the network gives its losses, by name."""

    def outputs(self, forward: Callable[[torch.Tensor], Tensors], batch: Tensors) -> Tensors:
        """Losses with gradients; without, the likeliest object at each pixel."""
        if not torch.is_grad_enabled():
            return forward(batch["image"])
        module: Any = getattr(forward, "module", forward)
        numbers = batch[f"target/{self.method.heads[0].name}"]
        sections = numbers[:, 0].flatten(0, 1)
        losses: dict[str, torch.Tensor] = module.losses(batch["image"], [boxes_of(section) for section in sections])
        return losses

    def loss(self, outputs: Tensors, batch: Tensors) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Their sum; of validations the loss of the head, voxel by voxel."""
        head = self.method.heads[0]
        if head.name not in outputs:
            found = dict(outputs)
        else:
            sought = (batch[f"target/{head.name}"] > 0).float()
            weight = batch[f"weight/{head.name}"]
            terms = [term.weight * term.loss(outputs[head.name], sought, weight) for term in head.terms]
            found = {head.name: torch.stack(terms).sum()}
        return torch.stack(list(found.values())).sum(), found
