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

    # waterz must have our partition. bioimage-cpp adds and divides in doubles and breaks ties by other numbers: it may
    # put one fragment in ten thousand elsewhere.
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
            return pairs.shape[1] - segments <= len(table[1]) * 1e-4

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
        "signed absolute maximum",
        fragments.size,
        lambda: emfast.agglomerate(graph, score="absolute", weights=weights),
        [],
        at(0.0),
    )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    yield from ()
