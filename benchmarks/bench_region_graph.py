"""Region graphs beside bioimage-cpp and waterz, on the watershed's fragments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, quiet, same_partition
from .inputs import Inputs

bic = optional("bioimage_cpp.graph")
waterz = optional("waterz")

MEDIAN = "OneMinus<HistogramQuantileAffinity<RegionGraphType, 50, ScoreValue, 256, false>>"


def _bic(affinities: np.ndarray, fragments: np.ndarray, threads: int) -> Any:
    graph = bic.region_adjacency_graph(fragments, number_of_threads=threads)
    offsets = [list(step) for step in emfast.NEAREST]
    features = bic.features.affinity_features(graph, fragments, affinities, offsets, number_of_threads=threads)
    return graph.uv_ids(), features


def waterz_until(affinities: np.ndarray, fragments: np.ndarray, thresholds: list[float], **options: Any) -> Any:
    """Its segments; at threshold 0 nothing is merged and the time is that of the graph, the scores and the queue."""
    with quiet():
        return list(waterz.agglomerate(affinities, thresholds, fragments=fragments.astype("u8"), **options))[-1]


def _agree(ours: emfast.RegionGraph, theirs: Any, fragments: np.ndarray) -> bool:
    if isinstance(theirs, emfast.RegionGraph):
        return ours == theirs
    if isinstance(theirs, np.ndarray):  # waterz hands out no graph without more work: the fragments as they were
        return same_partition(fragments, emfast.renumber(theirs)[0])
    edges, features = theirs
    inner = (edges != 0).all(axis=1)  # ours has no edges of the background
    same = np.array_equal(edges[inner], ours.edges) and np.array_equal(features[inner][:, 1], ours.counts)
    return same and bool(np.allclose(features[inner][:, 0], ours.means, atol=1e-5))


def cases(inputs: Inputs) -> Iterator[Case]:
    affinities, fragments = inputs.affinities, inputs.fragments

    def agree(ours: emfast.RegionGraph, theirs: Any) -> bool:
        return _agree(ours, theirs, fragments)

    for name, values in (("float32", affinities), ("uint8", (affinities * 255).astype("u1"))):
        yield Case(
            "region_graph",
            f"region graph, mean, {name}",
            fragments.size,
            lambda a=values: emfast.region_graph(a, fragments),
            [
                bic and Contender("bioimage-cpp", lambda: _bic(affinities, fragments, 1)),
                waterz and Contender("waterz", lambda: waterz_until(affinities, fragments, [0.0])),
            ]
            if name == "float32"
            else [],
            agree,
        )
    yield Case(
        "region_graph",
        "region graph, 256-bin histograms",
        fragments.size,
        lambda: emfast.region_graph(affinities, fragments, histogram=True),
        [waterz and Contender("waterz", lambda: waterz_until(affinities, fragments, [0.0], scoring_function=MEDIAN))],
        agree,
    )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    affinities, fragments = (inputs.affinities * 255).astype("u1"), inputs.fragments
    a, f = cupy.asarray(affinities), cupy.asarray(fragments)
    yield DeviceCase(
        "region_graph",
        "region graph, mean, uint8",
        fragments.size,
        lambda: emfast.region_graph(a, f),
        [],
        lambda: emfast.region_graph(affinities, fragments),
        lambda ours, theirs: ours == theirs,
        7,
    )
