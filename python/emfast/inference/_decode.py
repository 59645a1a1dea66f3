"""Labels of the outputs of a network: by the decoder of its recipe, or one that its targets ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..edges import NEAREST, convert_affinities
from ..recipes import Head, Method
from ..segmentation._shared import Probability, Voxels

__all__ = ["affinities_of", "decoder_of", "nearest"]


def decoder_of(method: Method) -> Callable[..., Any] | None:
    """A decoder for a method without a recipe: affinities are agglomerated, contours divide a mask, a mask or
    boundaries alone give connected components. None for others."""
    heads = {head.name: head for head in method.heads}
    for head in heads.values():
        if affinities_of(head):
            return partial(_segment, head)
    if "mask" in heads and "contour" in heads:
        return _divide
    return _components if "mask" in heads and heads["mask"].outputs == 1 else None


def affinities_of(head: Head) -> tuple[int, ...]:
    """Which channels are the nearest affinities along z, y and x; of sections along y and x. Empty without them."""
    offsets = [tuple(offset) for offset in getattr(head.target, "offsets", ())]

    def channel(step: tuple[int, ...]) -> int:
        opposite = tuple(-s for s in step)
        return offsets.index(step) if step in offsets else offsets.index(opposite) if opposite in offsets else -1

    found = tuple(channel(step) for step in NEAREST)
    if found[0] < 0:
        found = found[1:]
    return found if offsets and min(found) >= 0 else ()


def nearest(head: Head, values: np.ndarray) -> np.ndarray:
    """The nearest affinities of an output (c, z, y, x), all looking back: (3, z, y, x)."""
    channels = affinities_of(head)
    picked = np.stack([values[c] for c in channels])
    steps = [tuple(getattr(head.target, "offsets", ())[c]) for c in channels]
    found, _ = convert_affinities(picked, steps)
    if len(channels) == 2:  # sections by themselves
        found = np.concatenate([np.zeros_like(found[:1]), found])
    return np.asarray(found)


def _segment(
    head: Head,
    outputs: Mapping[str, Any],
    *,
    spacing: Any = None,
    threshold: Probability = 0.5,
    score: str = "mean",
    low: Probability = 0.1,
    high: Probability = 0.98,
) -> Any:
    from ..segmentation import segment_affinities

    given = nearest(head, np.asarray(outputs[head.name]))
    return segment_affinities(given, threshold=threshold, score=score, low=low, high=high)


def _divide(outputs: Mapping[str, Any], *, spacing: Any = None, **options: Any) -> Any:
    from ..segmentation import boundary_contour_watershed

    mask, contour = (np.asarray(outputs[name])[0] for name in ("mask", "contour"))
    return boundary_contour_watershed(mask, contour, **options)


def _components(
    outputs: Mapping[str, Any], *, spacing: Any = None, threshold: Probability = 0.5, below: Voxels = 0
) -> Any:
    from ..segmentation import threshold_components

    return threshold_components(np.asarray(outputs["mask"])[0], threshold=threshold, below=below)
