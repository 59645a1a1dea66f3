"""Runs over one volume of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine import plan
from .._native import get_threads
from ._run import Engine, Run

_BESIDE = 20  # bytes for each voxel of a block beside its labels: parts, contacts, what is written


def labels_run(
    labels: Any,
    target: Any = None,
    *,
    block: Any,
    work: Any,
    engine: dict[str, Any],
    dims: Sequence[int] = (2, 3),
    beside: float = _BESIDE,
) -> Run:
    """A :class:`Run` whose source ``labels`` is a volume of integers or bool with so many axes; ``beside`` labels a
    block takes so many bytes for each voxel."""

    def shape(sources: dict[str, Any]) -> tuple[int, ...]:
        volume = sources["labels"]
        found, dtype = tuple(volume.shape), np.dtype(volume.dtype)
        if dtype.kind not in "biu":
            raise TypeError(f"labels must be integers or bool, got {dtype}")
        if len(found) not in dims:
            wanted = " or ".join(f"{n}D" for n in dims)
            raise ValueError(f"labels must be {wanted}, got {len(found)}D of shape {found}")
        return found

    def cost(sources: dict[str, Any]) -> float:
        return np.dtype(sources["labels"].dtype).itemsize + beside

    return Run({"labels": labels}, target, shape=shape, cost=cost, block=block, work=work, engine=engine)


def most_voxels(engine: Engine, cost: float, otherwise: int) -> int:
    """How many voxels a block may have at so many bytes each, so that all that are worked on fit into memory."""
    if engine.memory is None:
        return otherwise
    return plan.most_voxels(engine.memory, engine.workers or get_threads(), cost)


__all__ = ["labels_run", "most_voxels"]
