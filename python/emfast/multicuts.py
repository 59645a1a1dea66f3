"""Multicut: the partition of a graph for which the costs of the edges between its parts sum to the least.

A positive cost attracts, a negative one repels; how many parts there are follows from the costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import fetch
from ._ids import array_from, places_of
from ._options import number_of
from .labels import LabelMap
from .mutex import nodes_and_ends, weights_of

__all__ = ["Multicut", "multicut", "multicut_costs"]

_SOLVERS = ("gaec", "greedy_fixation", "rounds", "kernighan_lin")
_PATIENCE = 8  # moves in vain after which Kernighan-Lin ends a sequence; tests choose few


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
        No partition has a lower energy. The sum of all negative costs, or a better one: see ``cycles``.
    """

    table: LabelMap
    energy: float
    bound: float


def multicut(
    graph: Any,
    costs: Any = None,
    *,
    solver: str = "gaec",
    start: Any = None,
    lifted: Any = None,
    lifted_costs: Any = None,
    cycles: int = 0,
    bias: float = 0.5,
    size_exponent: float = 0.0,
) -> Multicut:
    """Partition a graph by its edges' costs.

    Parameters
    ----------
    graph : RegionGraph, or (n, 2) array of integers
        Edges between nodes of any ids. Edges between the same two nodes count as one, with the sum of their costs.
    costs : (n,) array of float, optional
        Positive ones attract. Where they live on a device, rounds run there. Default, for a RegionGraph:
        ``multicut_costs`` of its mean affinities.
    solver : {"gaec", "greedy_fixation", "rounds", "kernighan_lin"}
        Greedy additive edge contraction joins along the largest cost while one is positive. Greedy fixation takes
        costs by their size and keeps apart for good what a negative one separates. Rounds join many nodes at once:
        faster, with an energy about one per cent above that of the greedy ways. Kernighan-Lin improves a partition
        by moving nodes between neighbouring parts, joining and splitting parts, until nothing helps.
    start : LabelMap, mapping from nodes to integers, or (nodes,) array of integers, optional
        For Kernighan-Lin: the partition to improve, an array by ascending node. Of a part that does not hang together
        each piece is one. Default: what greedy additive edge contraction finds.
    lifted : (m, 2) array of integers, optional
        Lifted edges between nodes of the graph: their costs count, but they do not make parts hang together.
    lifted_costs : (m,) array of float, optional
        One per lifted edge.
    cycles : int
        For a better bound: conflicted cycles of up to so many edges are packed (Lange et al., ICML 2018), which takes
        time. Below 3 there are none, and the bound is the sum of all negative costs.
    bias, size_exponent : float
        For the default costs, see :func:`multicut_costs`; sizes are the graph's counts.

    Returns
    -------
    Multicut

    Notes
    -----
    Costs are rounded to the nearest multiple of a power of two, between 2**-60 and 2**-59 of the sum of their sizes, so
    that sums are exact. Ties go to the edge that comes first, plain ones before lifted ones; edges that become one
    count as the later. Kernighan-Lin's order is stated in csrc/multicut/kernighan_lin.h; its energy never exceeds that
    of where it starts.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> edges = np.array([[1, 2], [2, 3], [1, 3]])
    >>> found = emfast.multicut(edges, np.array([2.0, 1.0, -1.5]))
    >>> dict(found.table), found.energy
    ({1: 1, 2: 1, 3: 2}, -0.5)
    >>> far = emfast.multicut(edges[:2], np.array([2.0, 1.0]), lifted=[[1, 3]], lifted_costs=[-1.5])
    >>> dict(far.table), far.energy
    ({1: 1, 2: 1, 3: 2}, -0.5)
    """
    if solver not in _SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(_SOLVERS)}, got {solver!r}")
    if start is not None and solver != "kernighan_lin":
        raise ValueError(f"start is for the solver kernighan_lin, got solver {solver!r}")
    if not isinstance(cycles, (int, np.integer)) or not 0 <= cycles < 2**32:
        raise ValueError(f"cycles must be an integer from 0 to 2**32 - 1, got {cycles!r}")
    nodes, ends = nodes_and_ends(graph)
    if costs is None:
        if not hasattr(graph, "means"):
            raise ValueError("costs must be given where graph is not a RegionGraph")
        costs = multicut_costs(graph.means, bias=bias, sizes=graph.counts, size_exponent=size_exponent)
    costs, where = fetch(costs, "costs")
    pairs, values = ends.array, weights_of(costs, "costs", len(ends.array)).array
    plain = len(pairs)
    if lifted is not None or lifted_costs is not None:
        if solver in ("greedy_fixation", "rounds"):
            raise ValueError(f"lifted edges need the solver gaec or kernighan_lin, got solver {solver!r}")
        if lifted is None or lifted_costs is None:
            raise ValueError("lifted and lifted_costs must be given together")
        far = _lifted_ends(lifted, nodes)
        pairs = np.concatenate([pairs, far])
        values = np.concatenate([values, weights_of(lifted_costs, "lifted_costs", len(far)).array])
    whole, step = _on_grid(values)
    problem = (ends.library, len(nodes), plain, pairs, whole)
    if start is not None:
        parts = _start_of(start, nodes)
    elif solver == "rounds":
        there = (where.from_numpy(pairs), where.from_numpy(whole))
        found, _ = where.native().multicut_rounds(where, len(nodes), plain, *there)
        parts = where.to_numpy(found)
    else:
        parts, _ = ends.native.multicut_greedy(*problem, solver == "greedy_fixation")
    if solver == "kernighan_lin":
        ends.native.multicut_kernighan_lin(*problem, parts, _PATIENCE)
    cut = parts[pairs[:, 0]] != parts[pairs[:, 1]]
    energy = int(whole[cut].sum())
    bound = ends.native.multicut_bound(*problem, cycles) if cycles > 2 else int(whole[whole < 0].sum())
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
    values = _floats(affinities, "affinities")
    if values.ndim != 1:
        raise ValueError(f"affinities must be 1D, got shape {values.shape}")
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"affinities must be from 0 to 1, got {values[place]} at {place}")
    size_exponent = number_of(size_exponent, "size_exponent", -1000, 1000)
    if not 0 < number_of(bias, "bias") < 1:
        raise ValueError(f"bias must be between 0 and 1, got {bias!r}")
    if not 0 < number_of(limit, "limit") < 0.5:
        raise ValueError(f"limit must be between 0 and 0.5, got {limit!r}")
    held = np.clip(values, limit, 1 - limit)
    costs: np.ndarray = np.log(held / (1 - held)) - math.log(bias / (1 - bias))
    if sizes is None:
        return costs
    weights = _floats(sizes, "sizes")
    if weights.shape != values.shape:
        raise ValueError(f"sizes must have the shape of affinities {values.shape}, got {weights.shape}")
    if not ((weights > 0) & np.isfinite(weights)).all():
        raise ValueError("sizes must be positive and finite")
    return costs * (weights / weights.max(initial=1.0)) ** size_exponent


def _floats(values: Any, name: str) -> np.ndarray:
    array, _ = fetch(values, name)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be numbers, got {array.dtype}")
    return array.astype(np.float64, copy=False)


def _on_grid(costs: np.ndarray) -> tuple[np.ndarray, int]:
    """Costs as integers, and the power of two that one of them stands for."""
    with np.errstate(over="ignore"):
        total = float(np.abs(costs).sum())
    if not math.isfinite(total):
        raise ValueError("costs must have a finite sum, got one beyond float64")
    step = math.frexp(total)[1] - 60
    return np.rint(np.ldexp(costs, -step)).astype(np.int64), step


def _lifted_ends(lifted: Any, nodes: np.ndarray) -> np.ndarray:
    """The ends of lifted edges as places among the nodes."""
    edges = array_from(lifted, "lifted")
    if edges.size == 0:
        return np.zeros((0, 2), np.uint32)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(f"lifted must be an (m, 2) array of integers, got {edges.dtype} of shape {edges.shape}")
    return places_of(edges, nodes, "lifted must name nodes of graph only").astype(np.uint32)


def _start_of(start: Any, nodes: np.ndarray) -> np.ndarray:
    """A partition as numbers below the number of nodes, by ascending node."""
    if isinstance(start, Mapping):
        missing = next((v for v in nodes.tolist() if v not in start), None)
        if missing is not None:
            raise ValueError(f"start must have every node of graph, got none for {missing}")
        start = [start[v] for v in nodes.tolist()]
    labels = array_from(start, "start")
    if labels.shape != nodes.shape or (labels.size and labels.dtype.kind not in "iu"):
        wanted = f"start must be one integer per node, of shape {nodes.shape}"
        raise ValueError(f"{wanted}, got {labels.dtype} of shape {labels.shape}")
    return np.unique(labels, return_inverse=True)[1].astype(np.uint32).reshape(-1)
