"""What a model says that is used otherwise than tile by tile (:class:`emfast.recipes.Procedure`): in memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..blockwise._run import is_place
from ._model import Model

__all__ = ["by_procedure"]


def by_procedure(model: Model, volume: Any, target: Any, *, flat: bool) -> dict[str, Any]:
    """Outputs by head, (c, z, y, x): arrays, or written to a place, a part of it for each where they are several."""
    if target is not None and not is_place(target):
        raise TypeError(f"target must be a place for this model, got {type(target).__name__}")
    image = np.asarray(volume[...])
    image = image[None] if image.ndim == 3 else image
    spacing = getattr(volume, "spacing", None) or model.spacing
    procedure: Any = model.method.procedure
    module = model.module.eval()
    outputs = procedure.infer(module, model.constants.normalised(image), spacing=tuple(spacing)[-3:])
    if flat:
        outputs = {name: array[:, 0] for name, array in outputs.items()}
    return outputs if target is None else _written(outputs, os.fspath(target), spacing)


def _written(outputs: dict[str, np.ndarray], target: str, spacing: Any) -> dict[str, Any]:
    from ..volumes import open_volume

    found = {}
    for name, array in outputs.items():
        place = target if len(outputs) == 1 else f"{target}/{name}"
        told = {"axes": "czyx"[:1] + "zyx"[-(array.ndim - 1) :], "spacing": spacing}
        with open_volume(place, mode="w", shape=array.shape, dtype=array.dtype, **told) as volume:
            volume[...] = array
        found[name] = open_volume(place)
    return found
