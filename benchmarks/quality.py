"""``python -m benchmarks.quality``: how good, beside how fast; writes its table into README.md.

Variation of information from the truth, split + merge in bits, background of the truth left out: of fragments with
strict and with waterz's plateaus, and of segments by mean affinity at the best of nineteen thresholds. A phantom from
its seed; real volumes where a developer has them, with affinities that are the smaller of two voxels' probability of
the inside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .__main__ import HERE, write_between
from .bench_segments import theirs
from .bench_watershed import HIGH, LOW, waterz
from .inputs import _read

THRESHOLDS = [k / 20 for k in range(1, 20)]


def volumes() -> Iterator[tuple[str, np.ndarray, np.ndarray, bool]]:
    """Name, affinities, truth, whether each section is a picture of its own for the watershed."""
    made = emfast.phantom.make((128, 128, 128), seed=0, spacing=(16, 8, 8))
    yield "phantom 128³", made.affinities / np.float32(255), made.labels, False
    fly, truth = _read("gala_fib_small.h5", "test/boundary_probability"), _read("gala_fib_small.h5", "test/groundtruth")
    if fly is not None and truth is not None:
        yield "fly, FIB-SEM (gala)", between(1 - fly.astype(np.float32)), truth, False
    cortex, truth = _read("snemi3d_ac4_dev.h5", "corner/boundary_map"), _read("snemi3d_ac4_dev.h5", "corner/neurons")
    if cortex is not None and truth is not None:
        truth = np.where(truth == 1, 0, truth)
        yield "mouse cortex, ssSEM (SNEMI3D)", between(cortex / np.float32(255)), truth, True


def between(interior: np.ndarray) -> np.ndarray:
    """Affinities to the voxel before along each axis."""
    out = np.zeros((3, *interior.shape), np.float32)
    for axis in range(3):
        inner = [slice(None)] * 3
        inner[axis] = slice(1, None)
        before = [slice(None)] * 3
        before[axis] = slice(None, -1)
        out[(axis, *inner)] = np.minimum(interior[tuple(inner)], interior[tuple(before)])
    return out


def score(truth: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    voi = emfast.contingency(truth, labels, ignore=(0,)).voi()
    return voi.split, voi.merge


def text_of(voi: tuple[float, float]) -> str:
    return f"{voi[0]:.3f} + {voi[1]:.3f}"


def best(truth: np.ndarray, found: list[np.ndarray]) -> str:
    scores = [score(truth, labels) for labels in found]
    k = min(range(len(scores)), key=lambda k: sum(scores[k]))
    return f"{text_of(scores[k])} at {sorted(THRESHOLDS, reverse=True)[k]:.2f}"


def row(name: str, affinities: np.ndarray, truth: np.ndarray, flat: bool) -> str:
    cells = []
    for plateau in ("strict", "waterz"):
        fragments = emfast.watershed(affinities, low=LOW, high=HIGH, plateau=plateau, per_section=flat)
        tree = emfast.agglomerate(emfast.region_graph(affinities, fragments))
        tables = tree.cut_many(sorted(THRESHOLDS, reverse=True))
        segments = [emfast.remap(fragments, table, missing=0) for table in tables]
        cells += [text_of(score(truth, fragments)), best(truth, segments)]
    if waterz and not flat:
        cells += [best(truth, theirs(affinities, THRESHOLDS))]
    return f"| {name} | {' | '.join([*cells, '-'][:5])} |"


def main() -> int:
    lines = [
        "| data | fragments, strict | segments | fragments, waterz's plateaus | segments | waterz's own segments |",
        "|---|---|---|---|---|---|",
        *(row(*volume) for volume in volumes()),
    ]
    print("\n".join(lines))
    write_between(HERE / "README.md", "table-quality", "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
