"""Runs over one volume of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._run import Run

_COST = 40  # bytes for each voxel of a block: 64-bit labels, parts and what is written, in and out


def labels_run(
    labels: Any,
    target: Any = None,
    *,
    block: Any,
    work: Any,
    engine: dict[str, Any],
    dims: Sequence[int] = (2, 3),
    cost: float = _COST,
) -> Run:
    """A :class:`Run` whose source ``labels`` is a volume of integers or bool with so many axes."""

    def shape(sources: dict[str, Any]) -> tuple[int, ...]:
        volume = sources["labels"]
        found, dtype = tuple(volume.shape), np.dtype(volume.dtype)
        if dtype.kind not in "biu":
            raise TypeError(f"labels must be integers or bool, got {dtype}")
        if len(found) not in dims:
            wanted = " or ".join(f"{n}D" for n in dims)
            raise ValueError(f"labels must be {wanted}, got {len(found)}D of shape {found}")
        return found

    return Run({"labels": labels}, target, shape=shape, cost=cost, block=block, work=work, engine=engine)


__all__ = ["labels_run"]
