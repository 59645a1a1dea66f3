"""mwatershed's names on emfast: ``from emfast.compat import mwatershed``.

Partitions are those of mwatershed 0.5.4: edges by magnitude, positive ones join, others part; voxels without a positive
edge are 0 unless they hold a seed. Where results differ:

- Ties. mwatershed sorts in no particular order among equal magnitudes; emfast takes the edge of the first voxel first,
  and of one voxel that of the first channel.
- Affinities are float64 in mwatershed alone. emfast takes float16 and float32 as they are, and rounds float64 to
  float32, which may make ties.
- Segments are numbered in raster order from 1, or from the largest seed on. mwatershed names them after the
  index of a voxel, so that one may be 0 as the background is, or bear the id of a seed. Where ``edges`` join seeds, the
  segment bears the smallest of their ids; in mwatershed any one. An edge that parts one of these seeds from a voxel
  parts them all from it; mwatershed sometimes joins that voxel all the same.
- ``randomized_strides`` draws the same edges every time.
- Arrays have one to three axes; mwatershed takes six.
- ``cluster`` and ``cluster_edges`` list ids in ascending order, and name a segment after its smallest member.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import emfast

from ._shared import ends, smallest_members

__all__ = ["agglom", "cluster", "cluster_edges"]


def agglom(
    affinities: np.ndarray,
    offsets: Sequence[Sequence[int]],
    seeds: np.ndarray | None = None,
    edges: Sequence[tuple[bool, int, int]] | None = None,
    strides: Sequence[Sequence[int]] | None = None,
    randomized_strides: bool = False,
) -> np.ndarray:
    """Segment by the mutex watershed.

    Parameters
    ----------
    affinities : (c, …) array of floats, of one to three axes beyond the first
        Positive ones attract, others repel.
    offsets : sequence of steps
        One per channel: the edge at p goes to p + offset.
    seeds : array of integers, shape of one channel, optional
        0 is no seed. Different seeds stay apart.
    edges : sequence of (bool, seed, seed), optional
        Seeds to join (True) or to part, in this order, before anything else.
    strides : sequence of steps, one per channel, optional
        Keep only edges so many voxels apart, from the first that lies in the volume.
    randomized_strides : bool
        Keep as many edges by chance instead.

    Returns
    -------
    segments : array of uint64, shape of one channel

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import mwatershed
    >>> mwatershed.agglom(np.array([[0.4, 0.1, -0.3, 0.2, 0], [0, -0.2, 0, 0, 0]]), [(1,), (2,)])
    array([1, 1, 1, 2, 2], dtype=uint64)
    """
    weights = np.asarray(affinities)
    if weights.dtype.kind != "f" or not 2 <= weights.ndim <= 4:
        raise TypeError(f"affinities must be floats of 2 to 4 axes, got {weights.dtype} of shape {weights.shape}")
    if weights.dtype.itemsize > 4:
        weights = weights.astype(np.float32)
    shape = weights.shape[1:]
    steps = _steps(offsets, "offsets", weights)
    if strides is not None:
        apart = _steps(strides, "strides", weights)
        if any(n < 1 for stride in apart for n in stride):
            raise ValueError(f"strides must be steps of at least 1, got {strides!r}")
        weights = _thinned(weights, steps, apart, randomized_strides)
    held = None if seeds is None else _joined(np.asarray(seeds), shape, edges)
    if edges and seeds is None:
        raise ValueError("edges need seeds, whose ids they name")
    inside = _attracted(weights, steps)
    if held is not None:
        inside |= held != 0
    if len(shape) == 1:
        weights, steps = weights[:, None], [(0, *step) for step in steps]
    planes = weights.shape[1:]
    found = emfast.mutex_watershed(  # others are alone, whatever repels them
        weights,
        steps,
        signed=True,
        mask=inside.reshape(planes),
        seeds=None if held is None else held.reshape(planes),
    )
    return np.asarray(found).reshape(shape).astype(np.uint64)


def _steps(steps: Any, name: str, weights: np.ndarray) -> list[tuple[int, ...]]:
    out = [tuple(int(s) for s in step) for step in steps]
    if len(out) != len(weights) or any(len(step) != weights.ndim - 1 for step in out):
        raise ValueError(
            f"{name} must be {len(weights)} steps of {weights.ndim - 1} numbers, one per channel, got {steps!r}"
        )
    return out


def _thinned(
    weights: np.ndarray, steps: list[tuple[int, ...]], strides: list[tuple[int, ...]], by_chance: bool
) -> np.ndarray:
    """A copy where edges off the strides are 0, which decides nothing."""
    out = np.zeros_like(weights)
    random = np.random.default_rng(0)
    for k, (step, stride) in enumerate(zip(steps, strides, strict=True)):
        if by_chance:
            kept = random.random(weights.shape[1:], np.float32) < 1 / math.prod(stride)
            np.copyto(out[k], weights[k], where=kept)
            continue
        begin, _ = ends(step, weights.shape[1:])
        grid = tuple(slice(part.start, part.stop, s) for part, s in zip(begin, stride, strict=True))
        out[k][grid] = weights[k][grid]
    return out


def _attracted(weights: np.ndarray, steps: list[tuple[int, ...]]) -> np.ndarray:
    """Voxels with a positive edge, or with one that is not finite, which is to be refused."""
    inside = np.zeros(weights.shape[1:], bool)
    for values, step in zip(weights, steps, strict=True):
        begin, end = ends(step, inside.shape)
        positive = ~((values[begin] <= 0) & (values[begin] > -math.inf))
        inside[begin] |= positive
        inside[end] |= positive
    return inside


def _joined(seeds: np.ndarray, shape: tuple[int, ...], edges: Sequence[tuple[bool, int, int]] | None) -> np.ndarray:
    """Seeds renamed where edges join them; all that are left are to stay apart."""
    if seeds.shape != shape:
        raise ValueError(f"seeds must have the shape of one channel {shape}, got {seeds.shape}")
    if not edges:
        return seeds
    names = dict(cluster(edges))
    unknown = set(names) - set(emfast.unique(seeds).tolist()) | ({0} & set(names))
    if unknown:
        raise ValueError(f"edges must name seeds, got {min(unknown)}")
    return np.asarray(emfast.remap(seeds, names, missing="keep", dtype=seeds.dtype))


def cluster(edges: Iterable[tuple[bool, int, int]]) -> list[tuple[int, int]]:
    """The mutex watershed of edges that come in their order.

    Parameters
    ----------
    edges : sequence of (bool, id, id)
        Joined where True, unless an earlier one parts them; parted where False.

    Returns
    -------
    list of (id, segment)

    Examples
    --------
    >>> from emfast.compat import mwatershed
    >>> mwatershed.cluster([(True, 1, 2), (False, 2, 3), (True, 1, 3)])
    [(1, 1), (2, 1), (3, 3)]
    """
    rows = list(edges)[::-1]
    return cluster_edges([(n if join else -n, u, v) for n, (join, u, v) in enumerate(rows, 1)][::-1])


def cluster_edges(edges: Iterable[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """The mutex watershed of weighted edges.

    Parameters
    ----------
    edges : sequence of (weight, id, id)
        Positive weights attract, others repel. Of equal ones the first comes first.

    Returns
    -------
    list of (id, segment)

    Examples
    --------
    >>> from emfast.compat import mwatershed
    >>> mwatershed.cluster_edges([(0.5, 1, 2), (-0.9, 2, 3), (0.7, 1, 3)])
    [(1, 1), (2, 2), (3, 1)]
    """
    rows = list(edges)
    pairs = np.array([row[1:] for row in rows], np.uint64).reshape(-1, 2)
    table = emfast.mutex_watershed_graph(pairs, np.array([row[0] for row in rows], np.float64))
    return list(zip(table.old.tolist(), smallest_members(table.old, table.new).tolist(), strict=True))
