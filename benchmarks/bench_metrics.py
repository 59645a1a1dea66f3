"""The contingency table, and scores from it, beside scikit-image, NumPy and bioimage-cpp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional
from .inputs import Inputs

skimage = optional("skimage.metrics")
bioimage = optional("bioimage_cpp.utils")

SIDES = (22, 12)  # of grains: 10^4 and 10^5 of them in 512³
PAIRS = 10_000_000  # of each of the tables that are added


def grains(size: int, side: int, seed: int) -> np.ndarray:
    """A dense label volume, uint64: boxes with wavy walls, and membranes of 0 between them."""
    phases = np.random.default_rng(seed).uniform(0, 6, (3, 3))
    across = [np.arange(size, dtype=np.float32).reshape(shape) for shape in ((-1, 1), (1, -1))]
    out = np.empty((size,) * 3, np.uint64)
    for z in range(size):
        point = [np.float32(z), *across]
        ids, walls = np.zeros((size, size), np.uint64), np.zeros((size, size), bool)
        for a in range(3):
            waves = [3 * np.sin(point[b] / (8 + b) + phases[a, b]) for b in range(3) if b != a]
            place = (point[a] + waves[0] + waves[1] + 12) / side
            ids = ids * np.uint64(size // side + 3) + np.floor(place).astype(np.uint64)
            walls |= place % 1 < 1 / side
        out[z] = np.where(walls, 0, ids + np.uint64(1))
    return out


def ours(truth: Any, labels: Any) -> list[float]:
    table = emfast.contingency(truth, labels)
    return [*table.voi(), table.adapted_rand().error, table.adapted_rand("pairs").error]


def by_skimage(truth: np.ndarray, labels: np.ndarray) -> list[float]:
    """Its table alone: its scores would make it twice."""
    table = skimage.contingency_table(truth, labels, normalize=False).tocoo()
    return from_pairs(*table.coords, table.data.astype(np.int64))


def from_pairs(truth: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> list[float]:
    """What one writes by hand once there is a table."""
    n = counts.sum()
    a, b = (np.bincount(np.unique(ids, return_inverse=True)[1].ravel(), counts) for ids in (truth, labels))
    entropies = [float((p * np.log2(p)).sum()) for p in (a / n, b / n, counts / n)]
    voi = entropies[0] - entropies[2], entropies[1] - entropies[2]
    joint, sums = float((counts.astype(float) ** 2).sum()), float((a**2).sum() + (b**2).sum())
    return [*voi, 1 - 2 * joint / sums, 1 - 2 * (joint - n) / (sums - 2 * n)]


def by_numpy(truth: np.ndarray, labels: np.ndarray) -> list[float]:
    packed, counts = np.unique(truth << np.uint64(32) | labels, return_counts=True)
    return from_pairs(packed >> np.uint64(32), packed & np.uint64(2**32 - 1), counts)


def by_bioimage(truth: np.ndarray, labels: np.ndarray) -> list[float]:
    rows = bioimage.segmentation_overlap(truth, labels).overlap_table()
    return from_pairs(rows["label_a"], rows["label_b"], rows["count"].astype(np.int64))


def close(a: list[float], b: list[float]) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12))


def table_of(pairs: int, seed: int) -> emfast.Contingency:
    """As many pairs of 10^5 objects with 10^5 segments, or a few less."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 100_000, pairs)
    return emfast.Contingency.from_pairs(truth, truth + rng.integers(0, 1000, pairs), rng.integers(1, 99, pairs))


def added_by_numpy(a: emfast.Contingency, b: emfast.Contingency) -> np.ndarray:
    """The counts of the sum."""
    truth, labels, counts = (np.concatenate(both) for both in zip(a.pairs, b.pairs, strict=True))
    order = np.lexsort((labels, truth))
    truth, labels = truth[order], labels[order]
    starts = np.flatnonzero(np.r_[True, (truth[1:] != truth[:-1]) | (labels[1:] != labels[:-1])])
    return np.add.reduceat(counts[order], starts)


def cases(inputs: Inputs) -> Iterator[Case]:
    for side in SIDES:
        truth, labels = grains(inputs.size, side, inputs.seed), grains(inputs.size, side + 1, inputs.seed + 1)
        table = emfast.contingency(truth, labels)
        name = f"{len(table.truth_ids)} x {len(table.label_ids)} ids, {len(table)} pairs"
        pair = truth, labels
        yield Case(
            "metrics",
            f"contingency, VOI and both ARAND, {name}",
            truth.size,
            lambda pair=pair: ours(*pair),
            [
                skimage and Contender("skimage", lambda pair=pair: by_skimage(*pair), slow=True),
                Contender("numpy", lambda pair=pair: by_numpy(*pair), slow=True),
                bioimage and Contender("bioimage-cpp", lambda pair=pair: by_bioimage(*pair)),
            ],
            close,
        )
        spread = truth * np.uint64(0x9E3779B97F4A7C15), labels * np.uint64(0xD6E8FEB86659FD93)
        yield Case(
            "metrics",
            f"the same, ids spread over 2^64, {name}",
            truth.size,
            lambda pair=spread: ours(*pair),
            [bioimage and Contender("bioimage-cpp", lambda pair=spread: by_bioimage(*pair))],
            close,
        )
        del truth, labels, pair, spread
    a, b = table_of(PAIRS, 1), table_of(PAIRS, 2)
    yield Case(
        "metrics",
        f"sum of two tables of {len(a)} and {len(b)} pairs",
        len(a) + len(b),
        lambda: a + b,
        [Contender("numpy", lambda: added_by_numpy(a, b))],
        lambda ours, theirs: np.array_equal(ours.counts, getattr(theirs, "counts", theirs)),
    )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    for side in SIDES:
        host = grains(inputs.size, side, inputs.seed), grains(inputs.size, side + 1, inputs.seed + 1)
        for dtype in (np.uint32, np.uint64):
            truth, labels = (cupy.asarray(v.astype(dtype)) for v in host)
            yield DeviceCase(
                "metrics",
                f"contingency, grains of {side}, {np.dtype(dtype).name}",
                truth.size,
                lambda truth=truth, labels=labels: emfast.contingency(truth, labels),
                [],
                lambda host=host: emfast.contingency(*host),
                lambda ours, theirs: ours == theirs,
                2 * np.dtype(dtype).itemsize,
            )
