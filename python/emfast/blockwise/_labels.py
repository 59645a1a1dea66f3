"""Runs over one volume of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine.plan import _resident, bytes_of
from .._native import get_threads
from ._run import Engine, Run

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


def most_voxels(engine: Engine, cost: float, otherwise: int) -> int:
    """How many voxels a block may have at so many bytes each, so that all that are worked on fit into memory."""
    if engine.memory is None:
        return otherwise
    workers = engine.workers or get_threads()
    return max(1, int((bytes_of(engine.memory) - _resident()) / (workers * cost)))


__all__ = ["labels_run", "most_voxels"]
