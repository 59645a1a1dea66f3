"""Multicut: the partition of a graph for which the costs of the edges between its parts sum to the least.

A positive cost attracts, a negative one repels; how many parts there are follows from the costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import take
from .labels import LabelMap
from .mutex import nodes_and_ends, weights_of

__all__ = ["Multicut", "multicut", "multicut_costs"]

_SOLVERS = ("gaec", "greedy_fixation")


@dataclass(frozen=True)
class Multicut:
    """What :func:`multicut` found.

    Attributes
    ----------
    table : LabelMap
        From node ids, ascending, to parts, numbered from 1 by their smallest node. For
        ``emfast.remap(fragments, table, missing=0)``.
    energy : float
        The sum of the costs of edges between parts.
    bound : float
        No partition has a lower energy. A plain bound: the sum of all negative costs.
    """

    table: LabelMap
    energy: float
    bound: float


def multicut(
    graph: Any, costs: Any = None, *, solver: str = "gaec", bias: float = 0.5, size_exponent: float = 0.0
) -> Multicut:
    """Partition a graph by its edges' costs.

    Parameters
    ----------
    graph : RegionGraph, or (n, 2) array of integers
        Edges between nodes of any ids. Edges between the same two nodes count as one, with the sum of their costs.
    costs : (n,) array of float, optional
        Positive ones attract. Default, for a RegionGraph: ``multicut_costs`` of its mean affinities.
    solver : {"gaec", "greedy_fixation"}
        Greedy additive edge contraction joins along the largest cost while one is positive. Greedy fixation takes
        costs by their size and keeps apart for good what a negative one separates.
    bias, size_exponent : float
        For the default costs, see :func:`multicut_costs`; sizes are the graph's counts.

    Returns
    -------
    Multicut

    Notes
    -----
    Costs are rounded to the nearest multiple of a power of two, between 2**-60 and 2**-59 of the sum of their sizes, so
    that sums are exact. Ties go to the edge that comes first; edges that become one count as the later.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> edges = np.array([[1, 2], [2, 3], [1, 3]])
    >>> found = emfast.multicut(edges, np.array([2.0, 1.0, -1.5]))
    >>> dict(found.table), found.energy
    ({1: 1, 2: 1, 3: 2}, -0.5)
    """
    if solver not in _SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(_SOLVERS)}, got {solver!r}")
    nodes, ends = nodes_and_ends(graph)
    if costs is None:
        if not hasattr(graph, "means"):
            raise ValueError("costs must be given where graph is not a RegionGraph")
        costs = multicut_costs(graph.means, bias=bias, sizes=graph.counts, size_exponent=size_exponent)
    values = weights_of(costs, "costs", len(ends.array)).array
    whole, step = _on_grid(values)
    out, _ = ends.native.multicut_greedy(
        ends.library, len(nodes), ends.array, take(whole, "costs", dims=(1,)).array, solver == "greedy_fixation"
    )
    parts = ends.library.to_numpy(out)
    cut = parts[ends.array[:, 0]] != parts[ends.array[:, 1]]
    energy, bound = int(whole[cut].sum()), int(whole[whole < 0].sum())
    return Multicut(LabelMap(nodes, parts), math.ldexp(energy, step), math.ldexp(bound, step))


def multicut_costs(
    affinities: Any, *, bias: float = 0.5, sizes: Any = None, size_exponent: float = 1.0, limit: float = 1e-4
) -> np.ndarray:
    """Costs of a multicut from affinities, as log-odds.

    Parameters
    ----------
    affinities : (n,) array of float
        From 0 to 1, 1 for surely the same object: ``RegionGraph.means``, say.
    bias : float
        The affinity that costs nothing; a larger one makes more parts.
    sizes : (n,) array, optional
        Of the contacts. Costs are multiplied by (size / largest size) ** size_exponent.
    size_exponent : float
        0 makes no difference between contacts.
    limit : float
        Affinities are held this far away from 0 and 1.

    Returns
    -------
    costs : (n,) float64
        log(a / (1 - a)) - log(bias / (1 - bias)), weighted.

    Examples
    --------
    >>> import emfast
    >>> emfast.multicut_costs([0.5, 0.8, 0.2]).round(3).tolist()
    [0.0, 1.386, -1.386]
    """
    values = np.asarray(affinities, np.float64)
    if values.ndim != 1:
        raise ValueError(f"affinities must be 1D, got shape {values.shape}")
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"affinities must be from 0 to 1, got {values[place]} at {place}")
    if not 0 < bias < 1:
        raise ValueError(f"bias must be between 0 and 1, got {bias!r}")
    if not 0 < limit < 0.5:
        raise ValueError(f"limit must be between 0 and 0.5, got {limit!r}")
    held = np.clip(values, limit, 1 - limit)
    costs: np.ndarray = np.log(held / (1 - held)) - math.log(bias / (1 - bias))
    if sizes is None:
        return costs
    weights = np.asarray(sizes, np.float64)
    if weights.shape != values.shape:
        raise ValueError(f"sizes must have the shape of affinities {values.shape}, got {weights.shape}")
    if not (weights > 0).all():
        raise ValueError("sizes must be positive")
    return costs * (weights / weights.max(initial=1.0)) ** float(size_exponent)


def _on_grid(costs: np.ndarray) -> tuple[np.ndarray, int]:
    """Costs as integers, and the power of two that one of them stands for."""
    with np.errstate(over="ignore"):
        total = float(np.abs(costs).sum())
    if not math.isfinite(total):
        raise ValueError("costs must have a finite sum, got one beyond float64")
    step = math.frexp(total)[1] - 60
    return np.rint(np.ldexp(costs, -step)).astype(np.int64), step
