"""Arithmetic that scores share."""

from __future__ import annotations

import math

__all__ = ["ratio"]


def ratio(part: float, whole: float, empty: float = math.nan) -> float:
    """part / whole, and ``empty`` where there is no whole."""
    return part / whole if whole else empty
