"""Multicuts beside bioimage-cpp, on the region graph of a phantom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, optional
from .inputs import Inputs

SOLVERS = {
    "gaec": "GreedyAdditiveMulticut",
    "greedy_fixation": "GreedyFixationMulticut",
    "rounds": "GreedyAdditiveMulticut",
    "kernighan_lin": "KernighanLinMulticut",
}


def cases(inputs: Inputs) -> Iterator[Case]:
    side = min(inputs.size, 128)  # a strict watershed of a phantom leaves many fragments
    affinities = emfast.phantom.make((side,) * 3, seed=inputs.seed, spacing=(16, 8, 8)).affinities / np.float32(255)
    # No two affinities are equal: peers order ties in ways of their own.
    affinities = affinities * np.float32(0.999) + 1e-3 * np.random.default_rng(0).random(affinities.shape, np.float32)
    fragments = emfast.watershed(affinities, low=0.1)
    graph = emfast.region_graph(affinities, fragments)
    costs = emfast.multicut_costs(graph.means)
    peer = optional("bioimage_cpp.graph")
    ends = np.searchsorted(graph.nodes, graph.edges).astype(np.uint64)

    def energy(labels: Any) -> float:
        """Of labels per node, of emfast's result as it is."""
        if isinstance(labels, emfast.Multicut):
            return labels.energy
        return float(costs[labels[ends[:, 0]] != labels[ends[:, 1]]].sum())

    for solver, name in SOLVERS.items():
        # Greedy ways agree; searches end in different places, now one and now the other lower; rounds end higher.
        tolerance = {"kernighan_lin": 1e-4, "rounds": 1e-2}.get(solver, 1e-6)
        peers = []
        if peer is not None:
            plain = peer.UndirectedGraph.from_edges(len(graph.nodes), ends)

            def theirs(plain: Any = plain, name: str = name) -> Any:
                objective = peer.multicut.MulticutObjective(plain, costs)
                return getattr(peer.multicut, name)().optimize(objective)

            long = solver == "kernighan_lin" and side > 64
            peers.append(Contender("bioimage-cpp", theirs, slow=long))
        yield Case(
            "multicut",
            f"multicut {solver}, {len(graph)} edges",
            side**3,
            lambda s=solver: emfast.multicut(graph, costs, solver=s),
            peers,
            lambda ours, labels, t=tolerance: energy(ours) <= energy(labels) + t * abs(energy(labels)),
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """Multicuts take their graphs on the host, and all but the rounds run there."""
    yield from ()
