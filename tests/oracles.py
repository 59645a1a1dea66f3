"""The slowest, most obvious Python that could be right: one oracle per operation, each the definition of its contract."""

from __future__ import annotations

import numpy as np


def scale_add(a: np.ndarray, b: np.ndarray, factor: int) -> np.ndarray:
    bits = a.dtype.itemsize * 8
    values = [(int(x) + factor * int(y)) % 2**bits for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return np.array(values, a.dtype).reshape(a.shape)
