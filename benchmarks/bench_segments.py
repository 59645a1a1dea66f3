"""From affinities to segments in one go beside waterz: fragments, region graph, agglomeration, volumes of labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .bench_watershed import HIGH, LOW, waterz
from .harness import Case, Contender, DeviceCase, quiet, same_partition
from .inputs import Inputs

NINE = [k / 10 for k in range(1, 10)]


def ours(affinities: np.ndarray, thresholds: list[float]) -> list[np.ndarray]:
    """Segments at thresholds on affinities, descending, from waterz's fragments."""
    fragments = emfast.watershed(affinities, low=LOW, high=HIGH, plateau="waterz")
    tree = emfast.agglomerate(emfast.region_graph(affinities, fragments), until=min(thresholds))
    return [emfast.remap(fragments, table, missing=0) for table in tree.cut_many(sorted(thresholds, reverse=True))]


def theirs(affinities: np.ndarray, thresholds: list[float]) -> list[np.ndarray]:
    scores = [1 - t for t in sorted(thresholds, reverse=True)]
    with quiet():
        steps = waterz.agglomerate(affinities, scores, aff_threshold_low=LOW, aff_threshold_high=HIGH)
        return [volume.copy() for volume in steps]


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(same_partition(*(emfast.renumber(v)[0] for v in pair)) for pair in zip(a, b, strict=True))


def cases(inputs: Inputs) -> Iterator[Case]:
    affinities = inputs.affinities
    for name, thresholds in (("at 0.5", [0.5]), ("at nine thresholds", NINE)):
        yield Case(
            "segments",
            f"affinities to segments {name}",
            affinities[0].size,
            lambda thresholds=thresholds: ours(affinities, thresholds),
            [waterz and Contender("waterz", lambda thresholds=thresholds: theirs(affinities, thresholds))],
            _same,
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    yield from ()
