"""What is made of the logits of a head."""

from __future__ import annotations

import torch

from ..recipes import Head

__all__ = ["activated"]


def activated(head: Head, logits: torch.Tensor) -> torch.Tensor:
    """Of (n, c, z, y, x), as the head says."""
    if head.activation == "sigmoid":
        return torch.sigmoid(logits)
    if head.activation == "softmax":
        return torch.softmax(logits, 1)
    return torch.tanh(logits) if head.activation == "tanh" else logits
