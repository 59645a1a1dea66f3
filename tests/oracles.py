"""The slowest, most obvious Python that could be right: one oracle per operation, each the definition of its contract."""

from __future__ import annotations

import numpy as np


def scale_add(a: np.ndarray, b: np.ndarray, factor: int) -> np.ndarray:
    bits = a.dtype.itemsize * 8
    values = [(int(x) + factor * int(y)) % 2**bits for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return np.array(values, a.dtype).reshape(a.shape)


# --- components


def neighbours(connectivity: int) -> list[tuple[int, int, int]]:
    steps = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    most = {6: 1, 18: 2, 26: 3}[connectivity]
    return [s for s in steps if 0 < abs(s[0]) + abs(s[1]) + abs(s[2]) <= most]


def connected_components(
    labels: np.ndarray,
    connectivity: int,
    background: int | None = 0,
    periodic: bool = False,
    delta: float | None = None,
) -> np.ndarray:
    """Flood from each voxel not yet labelled, in raster order."""
    volume = labels.reshape((1,) * (3 - labels.ndim) + labels.shape)
    values = volume.tolist()
    out = np.zeros(volume.shape, np.int64)
    count = 0
    for seed in np.ndindex(*volume.shape):
        if out[seed] or (background is not None and values[seed[0]][seed[1]][seed[2]] == background):
            continue
        count += 1
        out[seed] = count
        stack = [seed]
        while stack:
            p = stack.pop()
            a = values[p[0]][p[1]][p[2]]
            for step in neighbours(connectivity):
                q = tuple(c + s for c, s in zip(p, step, strict=True))
                if periodic:
                    q = tuple(c % n for c, n in zip(q, volume.shape, strict=True))
                elif any(c < 0 or c >= n for c, n in zip(q, volume.shape, strict=True)):
                    continue
                b = values[q[0]][q[1]][q[2]]
                if out[q] or (background is not None and b == background):
                    continue
                if a == b if delta is None else abs(a - b) <= delta:
                    out[q] = count
                    stack.append(q)
    return out.reshape(labels.shape)
