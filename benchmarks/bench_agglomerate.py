"""Agglomeration beside bioimage-cpp (GASP) and waterz, from one region graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import emfast

from .bench_region_graph import waterz, waterz_until
from .harness import Case, Contender, DeviceCase, optional, same_partition
from .inputs import Inputs

bic = optional("bioimage_cpp.graph")
gasp_of = optional("bioimage_cpp.graph.agglomeration")

THRESHOLD = 0.5


def cases(inputs: Inputs) -> Iterator[Case]:
    affinities, fragments = inputs.affinities, inputs.fragments
    graph = emfast.region_graph(affinities, fragments, histogram=True)
    numbers = np.searchsorted(graph.nodes, graph.edges).astype("u8")
    theirs = bic and bic.UndirectedGraph.from_edges(len(graph.nodes), numbers)
    weights, counts = graph.means - THRESHOLD, graph.counts.astype("f8")

    def gasp(linkage: str, values: np.ndarray) -> Any:
        return np.asarray(gasp_of.GaspClusterPolicy(linkage=linkage).optimize(theirs, values, edge_sizes=counts))

    # Peers add and divide in doubles and break ties by other numbers; the inputs have hardly any.
    def at(threshold: float) -> Callable[[emfast.MergeTree, Any], bool]:
        def agree(ours: emfast.MergeTree, other: Any) -> bool:
            if isinstance(other, emfast.MergeTree):
                return ours == other
            table = ours.cut(threshold)
            if other.ndim == 3:  # waterz gives the volume
                return same_partition(
                    *(emfast.renumber(v)[0] for v in (emfast.remap(fragments, table, missing=0), other))
                )
            return same_partition(*(emfast.renumber(v + 1)[0] for v in (table[1], other.astype(table[1].dtype))))

        return agree

    yield Case(
        "agglomerate",
        "mean, whole tree (peers: one cut)",
        fragments.size,
        lambda: emfast.agglomerate(graph),
        [
            bic and Contender("bioimage-cpp", lambda: gasp("mean", weights)),
            waterz and Contender("waterz, graph too", lambda: waterz_until(affinities, fragments, [1 - THRESHOLD])),
        ],
        at(THRESHOLD),
    )
    yield Case(
        "agglomerate",
        "mean, until 0.5",
        fragments.size,
        lambda: emfast.agglomerate(graph, until=THRESHOLD),
        [bic and Contender("bioimage-cpp", lambda: gasp("mean", weights))],
        at(THRESHOLD),
    )
    yield Case(
        "agglomerate",
        "median, whole tree",
        fragments.size,
        lambda: emfast.agglomerate(graph, score="median"),
        [],
        at(0.0),
    )
    yield Case(
        "agglomerate",
        "signed sum (GAEC)",
        fragments.size,
        lambda: emfast.agglomerate(graph, score="sum", weights=np.round(weights * 2**24) / 2**24),
        [bic and Contender("bioimage-cpp", lambda: gasp("sum", np.round(weights * 2**24) / 2**24))],
        at(0.0),
    )
    yield Case(
        "agglomerate",
        "signed absolute maximum",
        fragments.size,
        lambda: emfast.agglomerate(graph, score="absolute", weights=weights),
        [],
        at(0.0),
    )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    yield from ()
