"""The affinity watershed of volumes larger than memory.

Whether two voxels are joined is seen from the two alone. So a block with one voxel of its neighbours around it joins
what the whole volume joins there, and labels that name one voxel in two blocks are one fragment.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._engine.grid import Block
from ..edges import NEAREST, offsets_of
from ..fragments import above, affinities_of, linked
from ..fragments import watershed as in_memory
from ..graphs import RegionGraph
from ..labels import remap
from ._run import Run
from ._runs import fragments_runs
from ._shelf import Shelf
from ._spared import spared
from ._unite import keep_found, overlapping, unite
from .components import rename
from .graphs import GraphOf, read_by

__all__ = ["watershed"]


def watershed(
    affinities: Any,
    target: Any = None,
    *,
    low: float = 0.0,
    high: float = 1.0,
    plateau: str = "strict",
    mask: Any = None,
    per_section: bool = False,
    quantile: bool = False,
    merge_size: int = 0,
    merge_threshold: float = 0.0,
    dust: int = 0,
    return_count: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.watershed`, block by block, with the same result.

    Parameters
    ----------
    affinities : array, Volume or place, shape (3, z, y, x) or (2, y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    low, high, plateau, mask, per_section, quantile, merge_size, merge_threshold, dust, return_count
        As in memory; a plateau must be ``"strict"``, for those of waterz reach across blocks.
    block, work, **engine
        As of :func:`connected_components`.

    Returns
    -------
    fragments : what the target is opened as
    count : int
        Only with ``return_count``.

    Notes
    -----
    Exact. Quantiles come of histograms of all affinities, counted first, to the last bit. In memory at once, beside
    the blocks: 40 bytes for each part of a fragment that a block has; with ``merge_size`` the region graph of the
    whole too, 100 bytes for each pair of touching fragments.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.blockwise.watershed(affinities, low=0.1, block=(1, 2))
    array([[1, 1, 2, 2, 0]], dtype=uint32)
    """
    if plateau != "strict":
        raise ValueError(f'plateau must be "strict" in blocks, got {plateau!r}: plateaus of waterz reach across blocks')
    with Run(
        {"affinities": affinities, "mask": mask},
        target,
        shape=lambda of: of["affinities"].shape[1:],
        cost=cost_of,
        halo=1,
        block=block,
        work=work,
        engine=engine,
    ) as run:
        source = run.sources["affinities"]
        _check(run, low, high, per_section, quantile, merge_size, merge_threshold, dust)
        if quantile:
            low, high, merge_threshold = _quantiles(run, per_section, [low, high, merge_threshold])
            high = above(low, high)
        voxels = math.prod(run.shape)
        fragment = _Fragments(run.shelf, float(low), float(high), bool(per_section), bool(dust))
        around = [(1, 1)] * len(run.shape)
        sources = {**run.sources, "affinities": spared(source, run.grid.block, around, [(0, 1)] * len(run.shape))}
        counts = run.map("local", fragment, sources, halo=around)
        seams = run.map("seams", _Overlap(run))
        united = unite(run.shelf, counts, seams, dust=0 if merge_size else dust)
        if not merge_size or len(run.grid) == 0:
            wide = united.count >= 2**32 if dust else voxels > 2**32 - 2
            out = run.target("fragments", "u8" if wide else "u4", like=source)
            rename(run, "fragments", united, out)
            out = run.result(out)
            return (out, united.count) if return_count else out
        whole = run.volume("unmerged", "u8" if voxels > 2**32 - 2 else "u4")
        rename(run, "unmerged", united, whole)
        whole = run.written("unmerged", whole)
        graph = _graph(run, whole, per_section)
        table, count = linked(graph, united.count, merge_size, merge_threshold, dust)
        run.shelf.put_column("regions", table)
        out = run.target("fragments", table.dtype, like=source, over=whole)
        run.map("fragments", Looked(run.shelf, "regions"), whole, out)
        out = run.result(out)
    return (out, count) if return_count else out


class Looked:
    """Labels by a column that is indexed by label."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.shelf, self.name = shelf, name

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        out: np.ndarray = remap(labels, self.shelf.column(self.name))
        return out


class _Fragments:
    """The fragments of a block, and of the voxels around it that they reach."""

    def __init__(self, shelf: Shelf, low: float, high: float, per_section: bool, sizes: bool) -> None:
        self.shelf, self.low, self.high, self.per_section, self.sizes = shelf, low, high, per_section, sizes

    def __call__(self, affinities: np.ndarray, where: Block, mask: np.ndarray | None = None) -> int:
        runs = fragments_runs(affinities, where, mask, self.low, self.high, self.per_section, self.sizes)
        return keep_found(self.shelf, where, runs, sizes=self.sizes)


class _Overlap:
    def __init__(self, run: Run) -> None:
        self.shelf, self.grid = run.shelf, run.grid

    def __call__(self, where: Block) -> list[tuple[int, np.ndarray]]:
        return overlapping(self.shelf, self.grid, where.index)


def _check(
    run: Run,
    low: float,
    high: float,
    per_section: bool,
    quantile: bool,
    merge_size: int,
    merge_threshold: float,
    dust: int,
) -> None:
    """What the call in memory refuses is refused before any work: it is asked with one voxel."""
    source, mask = run.sources["affinities"], run.sources.get("mask")
    if len(source.shape) not in (3, 4):
        raise ValueError(f"affinities must have shape (3, z, y, x) or (2, y, x), got {tuple(source.shape)}")
    one = np.zeros((source.shape[0], *(1,) * len(run.shape)), source.dtype)
    affinities_of(one)
    if mask is not None and (tuple(mask.shape) != run.shape or mask.dtype != bool):
        raise ValueError(f"mask must be bool of shape {run.shape}, got {mask.dtype} of shape {tuple(mask.shape)}")
    in_memory(
        one,
        low=low,
        high=high,
        per_section=per_section,
        quantile=quantile,
        merge_size=merge_size,
        merge_threshold=merge_threshold,
        dust=dust,
    )


def cost_of(sources: dict[str, Any]) -> float:
    """Bytes a voxel: the affinities twice, labels and what the kernel holds beside them."""
    affinities = sources["affinities"]
    return 2.0 * affinities.shape[0] * np.dtype(affinities.dtype).itemsize + 28


def _graph(run: Run, fragments: Any, per_section: bool) -> RegionGraph:
    """The region graph of the whole, over the edges that the watershed knows."""
    dims = len(run.shape)
    steps = [step[3 - dims :] for step in offsets_of(NEAREST, dims)]
    channels = slice(1, None) if per_section else slice(None)
    graph = GraphOf(steps[channels], channels=channels)
    return RegionGraph.total(run.map("graph", graph, **read_by(run, steps, fragments)))


# ---- quantiles: the value of a rank, found by its upper bits and then by its lower ones


def _quantiles(run: Run, per_section: bool, shares: list[float]) -> list[float]:
    """As ``affinity_quantiles`` of the native modules, of the whole volume."""
    upper = run.map("histogram", _Counts(per_section, None), run.sources, halo=[(1, 0)] * len(run.shape), reduce="+")
    total = int(upper.sum()) if upper is not None else 0
    if total == 0:
        return [0.0] * len(shares)
    ranks = [min(max(math.ceil(share * float(total)), 1), total) for share in shares]  # from 1
    bins = [int(np.searchsorted(np.cumsum(upper), rank)) for rank in ranks]
    if run.sources["affinities"].dtype == np.uint8:
        return [float(np.float32(b) / np.float32(255)) for b in bins]
    lower = run.map(
        "histogram-2",
        _Counts(per_section, tuple(sorted(set(bins)))),
        run.sources,
        halo=[(1, 0)] * len(run.shape),
        reduce="+",
    )
    found = []
    for rank, b in zip(ranks, bins, strict=True):
        row = lower[sorted(set(bins)).index(b)]
        rest = rank - int(upper[:b].sum())
        bits = np.uint32(b << 16 | int(np.searchsorted(np.cumsum(row), rest)))
        found.append(float(bits.view(np.float32)))
    return found


class _Counts:
    """How many edges of a block have each value: of uint8 itself, of floats the upper 16 bits, or within each of some
    of these the lower 16."""

    def __init__(self, per_section: bool, within: tuple[int, ...] | None) -> None:
        self.per_section, self.within = per_section, within

    def __call__(self, affinities: np.ndarray, where: Block, mask: np.ndarray | None = None) -> np.ndarray:
        parts = [self._edges(affinities[axis], axis, where, mask) for axis in range(len(where.core))]
        values = np.concatenate(parts[1:] if self.per_section else parts)
        if values.dtype == np.uint8:
            return np.bincount(values, minlength=256)
        bits = np.abs(values.astype(np.float32)).view(np.uint32)
        if self.within is None:
            return np.bincount(bits >> 16, minlength=1 << 16)
        rows = [np.bincount(bits[bits >> 16 == b] & 0xFFFF, minlength=1 << 16) for b in self.within]
        return np.stack(rows)

    @staticmethod
    def _edges(values: np.ndarray, axis: int, where: Block, mask: np.ndarray | None) -> np.ndarray:
        """The edges along an axis to the voxels of the core."""
        to = list(where.inner)
        if where.core[axis].start == 0:
            to[axis] = slice(to[axis].start + 1, to[axis].stop)
        edges = values[tuple(to)]
        if mask is None:
            return edges.ravel()
        before = list(to)
        before[axis] = slice(to[axis].start - 1, to[axis].stop - 1)
        kept: np.ndarray = edges[mask[tuple(to)] & mask[tuple(before)]]
        return kept
