"""Region graphs of volumes larger than memory: those of blocks, added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine.grid import Block
from .._options import spacing_of
from ..edges import NEAREST, offsets_of
from ..graphs import RegionGraph
from ..graphs import region_graph as in_memory
from ._run import Run
from ._spared import spared

__all__ = ["region_graph"]


def region_graph(
    affinities: Any,
    fragments: Any,
    *,
    offsets: Sequence[Sequence[int]] = NEAREST,
    histogram: bool = False,
    boxes: bool = False,
    spacing: Sequence[float] = (1, 1, 1),
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> RegionGraph:
    """:func:`emfast.region_graph`, block by block, with the same result.

    Parameters
    ----------
    affinities : array, Volume or place, shape (c, z, y, x) or (c, y, x)
    fragments : array, Volume or place, shape (z, y, x) or (y, x)
    offsets, histogram, boxes, spacing
        As in memory.
    block, work, **engine
        As of :func:`connected_components`.

    Returns
    -------
    RegionGraph

    Notes
    -----
    Exact: a voxel edge belongs to the block of its source, and sums are integers. The whole graph is in memory, about
    100 bytes for each pair of touching fragments; :func:`agglomerate` of this package does without it.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> fragments = np.array([[1, 1, 2], [1, 7, 2]], np.uint64)
    >>> affinities = np.full((2, 2, 3), 0.25, np.float32)
    >>> graph = emfast.blockwise.region_graph(affinities, fragments, block=(1, 2))
    >>> graph == emfast.region_graph(affinities, fragments)
    True
    """
    with Run(
        {"affinities": affinities, "fragments": fragments},
        None,
        shape=lambda of: of["fragments"].shape,
        cost=cost_of,
        block=block,
        work=work,
        engine=engine,
    ) as run:
        graph_of = asked(run, offsets, histogram, boxes, spacing)
        if len(run.grid) == 0:
            return in_memory(
                *(np.asarray(source) for source in run.sources.values()),
                offsets=offsets,
                histogram=histogram,
                boxes=boxes,
                spacing=spacing,
            )
        return RegionGraph.total(run.map("graph", graph_of, **read_by(run, graph_of.steps, run.sources["fragments"])))


class GraphOf:
    """The region graph of a block."""

    def __init__(self, steps: Sequence[Sequence[int]], *, channels: slice = slice(None), **options: Any) -> None:
        self.steps, self.channels, self.options = [tuple(step) for step in steps], channels, options

    def __call__(self, affinities: np.ndarray, fragments: np.ndarray, where: Block) -> RegionGraph:
        return in_memory(affinities[self.channels], fragments, offsets=self.steps, **place_of(where), **self.options)


def place_of(block: Block) -> dict[str, Any]:
    """Where a block lies, as region graphs are told."""
    return {"core": block.inner, "origin": [o.start for o in block.outer], "whole_shape": block.whole}


def read_by(run: Run, steps: Sequence[Sequence[int]], fragments: Any) -> dict[str, Any]:
    """The sources of the graphs of blocks, and how far their edges reach before and after a block along each axis.

    Affinities lie at the sources of edges, so none around the block is looked at.
    """
    halo = [(max(0, -min(along)), max(0, *along)) for along in zip(*steps, strict=True)]
    affinities = spared(run.sources["affinities"], run.grid.block, halo, [(0, 0)] * len(halo))
    return {"source": {"affinities": affinities, "fragments": fragments}, "halo": halo}


def asked(
    run: Run, offsets: Sequence[Sequence[int]], histogram: bool, boxes: bool, spacing: Sequence[float]
) -> GraphOf:
    """The graph of a block as it was asked for; what does not fit is refused before any work."""
    values, labels = run.sources["affinities"], run.sources["fragments"]
    dims = len(run.shape)
    if len(values.shape) != dims + 1:
        raise ValueError(f"affinities must have channels and {dims} axes, got shape {tuple(values.shape)}")
    steps = [step[3 - dims :] for step in offsets_of(offsets, dims)]
    if len(steps) != values.shape[0]:
        raise ValueError(f"offsets must be one per channel of affinities ({values.shape[0]}), got {len(steps)}")
    options: dict[str, Any] = {"histogram": bool(histogram), "boxes": bool(boxes), "spacing": spacing_of(spacing, dims)}
    one = (1,) * dims
    in_memory(np.zeros((len(steps), *one), values.dtype), np.zeros(one, labels.dtype), offsets=steps)
    return GraphOf(steps, **options)


def cost_of(sources: dict[str, Any]) -> float:
    """Bytes a voxel: both volumes twice, and pairs under way."""
    affinities, fragments = sources["affinities"], sources["fragments"]
    each = affinities.shape[0] * np.dtype(affinities.dtype).itemsize + np.dtype(fragments.dtype).itemsize
    return 2.0 * each + 16
