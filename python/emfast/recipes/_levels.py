"""Levels of one kernel and one stride, which most networks have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn import Level

__all__ = ["levels"]


def levels(
    *widths: int, stride: tuple[int, ...] = (2, 2, 2), dropout: Sequence[float] = (), **more: Any
) -> tuple[Level, ...]:
    """From the finest; ``dropout`` for each or for none."""
    shares = dropout or [0.0] * len(widths)
    return tuple(Level(width, stride=stride, dropout=s, **more) for width, s in zip(widths, shares, strict=True))
