"""Samples and losses of flood filling."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..sampling import Crop, Piece
from ..training._supervised import Shape, Supervised
from ._flooding import Flooding, visited
from ._method import Method

__all__ = ["Lessons"]

Tensors = Mapping[str, torch.Tensor]


class Lessons(Supervised):
    """Crops, the object of whose middle is to be found. A crop has room for a step to each side."""

    def __init__(
        self, procedure: Flooding, method: Method, pieces: Sequence[Piece], geometry: Any, constants: Any, seed: int
    ) -> None:
        flood = procedure.flood
        least = tuple(n + 2 * s for n, s in zip(flood.field, flood.step, strict=True))
        if any(n < m or n % 2 == 0 for n, m in zip(method.patch, least, strict=True)):
            raise ValueError(
                f"patch must be odd and at least the field of view and two steps, {least}, got {method.patch}"
            )
        if any(n < m for n, m in zip(geometry.field, flood.field, strict=True)):
            warnings.warn(
                f"the network sees {geometry.field} voxels, less than the field of view, {flood.field}: at its ends "
                "the seed cannot be seen, and what is found there may be of another object. More depth mends that.",
                stacklevel=2,
            )
        if len(method.heads) != 1 or method.heads[0].outputs != 1:
            raise ValueError("heads must be one of one channel for flood filling")
        super().__init__(method, pieces, geometry, constants, seed)
        self.flood, self.head = flood, method.heads[0]

    def made(self, crop: Crop, around: Shape) -> dict[str, np.ndarray]:
        """A sample: the object of the middle is 1; where there is none, nothing counts."""
        sample = super().made(crop, around)
        ids = sample[f"target/{self.head.name}"]
        middle = (0, *(n // 2 for n in ids.shape[1:]))
        own = ids[middle]
        sample[f"target/{self.head.name}"] = ((ids == own) & (own > 0)).astype(np.float32)
        sample[f"weight/{self.head.name}"] = sample[f"weight/{self.head.name}"] * np.float32(own > 0)
        return sample

    def outputs(self, forward: Callable[[torch.Tensor], Tensors], batch: Tensors) -> dict[str, torch.Tensor]:
        """The moves; faces in a random order while the network learns. The head's output is the state they leave."""
        name = self.head.name
        faces = torch.randperm(6).tolist() if torch.is_grad_enabled() else range(6)
        found = visited(self.flood, lambda seen: forward(seen)[name], batch["image"], faces)
        return {name: found.pop("state"), **found}

    def loss(self, outputs: Tensors, batch: Tensors) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Of all moves that were made, against probabilities that leave room to doubt."""
        target, weight = batch[f"target/{self.head.name}"], batch[f"weight/{self.head.name}"]
        inside, outside = self.flood.inside, self.flood.outside
        sought, counted = [], []
        for k, place in enumerate(outputs["places"].int().tolist()):
            z, y, x = self.flood.box(place)
            sought.append(outside + (inside - outside) * target[:, :, z, y, x])
            counted.append(weight[:, :, z, y, x] * outputs["moved"][:, k, None, None, None, None])
        # A move is a sample: what comes beside others in a batch is one after the other here.
        moves, values, weights = (
            each.flatten(0, 1)[:, None] for each in (outputs["moves"], torch.cat(sought, 1), torch.cat(counted, 1))
        )
        total = torch.stack([term.weight * term.loss(moves, values, weights) for term in self.head.terms]).sum()
        return total, {self.head.name: total}
