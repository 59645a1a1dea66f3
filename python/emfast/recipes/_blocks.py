"""From predictions in a store to instances, block by block: for decoders that look no further than a voxel or its
neighbours. What they give is what ``decode`` gives in memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from .._options import number_of
from ..segmentation._shared import at_least, finite
from ._decoders import as_probability, channel_of

__all__ = ["segment_components", "segment_nearest"]


def segment_nearest(
    outputs: Mapping[str, Any],
    target: Any = None,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    head: str = "affinities",
    threshold: float = 0.5,
    low: float = 0.1,
    high: float = 0.98,
    score: str = "mean",
    per_section: bool = False,
    **engine: Any,
) -> Any:
    """Watershed of nearest affinities, region graph, agglomeration (:func:`emfast.segment`)."""
    from .. import pipeline

    recipe = pipeline.Recipe(
        thresholds=(threshold,),
        watershed=pipeline.Watershed(low=low, high=high, per_section=per_section),
        agglomeration=pipeline.Agglomeration(score=score),
    )
    return pipeline.segment(outputs[head], target, recipe=recipe, **engine)


def segment_components(
    outputs: Mapping[str, Any],
    target: Any = None,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    head: str = "mask",
    channel: int | None = None,
    threshold: float = 0.5,
    connectivity: int = 6,
    below: int = 0,
    above: bool = False,
    **engine: Any,
) -> Any:
    """Connected components of where a channel reaches a threshold, or lies ``above`` it (signed distances). Without a
    ``channel`` it is the only one, or that behind the background's."""
    from .. import blockwise
    from ..blockwise._run import beside, is_place
    from ..volumes import open_volume

    with ExitStack() as stack:
        source = outputs[head]
        if is_place(source):
            source = stack.enter_context(open_volume(source))
        inside = Reached(source, channel_of(source.shape[0], channel, head), threshold, above, f"outputs of {head}")
        if not below:
            return blockwise.connected_components(inside, target, connectivity=connectivity, **engine)
        place = beside(os.fspath(target), "parts.zarr") if is_place(target) else None
        parts = blockwise.connected_components(inside, place, connectivity=connectivity, **engine)
        ids, counts = blockwise.unique(parts, counts=True, **{k: v for k, v in engine.items() if k != "work"})
        kept = (counts >= below) & (ids != 0)
        new = np.where(kept, np.cumsum(kept), 0)  # ids ascend by first appearance
        table = (ids, new.astype(np.min_scalar_type(int(new.max(initial=0)))))
        result = blockwise.remap(parts, table, target, **engine)
        if place is not None:
            parts.close()
            shutil.rmtree(place)
        return result


class Reached:
    """Where a channel of a volume (c, z, y, x) reaches a threshold or lies ``above`` it, as it is sliced:
    probabilities, of which uint8 are shares of 255, or distances. Values are checked as
    :func:`emfast.recipes._decoders.components` and :func:`emfast.segmentation.distance_threshold` check them."""

    def __init__(self, volume: Any, channel: int, threshold: float, above: bool, name: str = "outputs") -> None:
        if above and np.dtype(volume.dtype).kind != "f":
            raise TypeError(f"{name} must be floats where distances are meant, got {volume.dtype}")
        self.threshold = number_of(threshold, "threshold") if above else number_of(threshold, "threshold", 0, 1)
        self.volume, self.channel, self.above, self.name = volume, channel, above, name
        self.shape, self.dtype, self.ndim = tuple(volume.shape[1:]), np.dtype(bool), len(volume.shape) - 1
        self.chunks = getattr(volume, "chunks", None) and volume.chunks[1:]
        self.spacing, self.offset = (getattr(volume, name, None) for name in ("spacing", "offset"))

    @property
    def uri(self) -> str:
        name = getattr(self.volume, "uri", type(self.volume).__name__)
        return f"{name}[{self.channel}] {'>' if self.above else '>='} {self.threshold}"

    def __getitem__(self, window: Any) -> np.ndarray:
        window = window if isinstance(window, tuple) else (window,)
        place = (self.channel, *window)
        values = np.asarray(self.volume[place])
        if self.above:
            finite(values, self.name)
            return values > self.threshold
        found: np.ndarray = at_least(as_probability(values, self.name), self.threshold, "threshold")
        return found
