"""Agglomeration beside bioimage-cpp (GASP) and waterz, from one region graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import bioimage_cpp.graph as bic
import numpy as np
from bioimage_cpp.graph.agglomeration import GaspClusterPolicy

import emfast

from .bench_region_graph import waterz_until
from .harness import Case, Contender, DeviceCase, same_partition
from .inputs import Inputs

THRESHOLD = 0.5


def cases(inputs: Inputs) -> Iterator[Case]:
    affinities, fragments = inputs.affinities, inputs.fragments
    graph = emfast.region_graph(affinities, fragments, histogram=True)
    numbers = np.searchsorted(graph.nodes, graph.edges).astype("u8")
    theirs = bic.UndirectedGraph.from_edges(len(graph.nodes), numbers)
    weights, counts = graph.means - THRESHOLD, graph.counts.astype("f8")

    def gasp(linkage: str, values: np.ndarray) -> Any:
        return np.asarray(GaspClusterPolicy(linkage=linkage).optimize(theirs, values, edge_sizes=counts))

    # waterz must have our partition. bioimage-cpp breaks ties by other numbers, and adds and divides in doubles: there
    # a fragment in a thousand may differ.
    def at(threshold: float) -> Callable[[emfast.MergeTree, Any], bool]:
        def agree(ours: emfast.MergeTree, other: Any) -> bool:
            if isinstance(other, emfast.MergeTree):
                return ours == other
            table = ours.cut(threshold)
            if other.ndim == 3:  # waterz gives the volume
                return same_partition(
                    *(emfast.renumber(v)[0] for v in (emfast.remap(fragments, table, missing=0), other))
                )
            pairs = np.unique(np.stack([table[1], other.astype(table[1].dtype)]), axis=1)
            segments = max(len(np.unique(pairs[0])), len(np.unique(pairs[1])))
            return pairs.shape[1] - segments <= len(table[1]) * 1e-3

        return agree

    yield Case(
        "agglomerate",
        "mean, whole tree (peers: one cut)",
        fragments.size,
        lambda: emfast.agglomerate(graph),
        [
            Contender("bioimage-cpp", lambda: gasp("mean", weights)),
            Contender("waterz, graph too", lambda: waterz_until(affinities, fragments, [1 - THRESHOLD])),
        ],
        at(THRESHOLD),
    )
    yield Case(
        "agglomerate",
        "mean, until 0.5",
        fragments.size,
        lambda: emfast.agglomerate(graph, until=THRESHOLD),
        [Contender("bioimage-cpp", lambda: gasp("mean", weights))],
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
        [Contender("bioimage-cpp", lambda: gasp("sum", np.round(weights * 2**24) / 2**24))],
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
