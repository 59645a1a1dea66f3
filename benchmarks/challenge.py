"""``python -m benchmarks.challenge``: every score of a challenge's volume, 100 x 4096 x 4096, streamed from Zarr.

Makes the two volumes in a temporary folder from a phantom (about 350 MB, a minute), then times the table and all scores
that are made of it, in a process of its own for its memory; writes its line into README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import emfast
from emfast import metrics

from .harness import _status

TILE, CHUNK = 512, (25, 512, 512)
VARIANTS = ("plain", "pairs", "singletons", "pairs+singletons", "cremi_legacy")


def make(folder: Path, side: int) -> None:
    """Tiles of one phantom, with ids of their own."""
    import zarr

    made = emfast.phantom.make((100, TILE, TILE), seed=1)
    segments = emfast.dust(emfast.segment_affinities(made.affinities, threshold=0.3), below=100)
    for name, tile in (("truth", made.labels), ("labels", segments)):
        store = zarr.create_array(folder / name, shape=(100, side, side), dtype="u4", chunks=CHUNK)
        width = int(tile.max())
        for k, (y, x) in enumerate((y, x) for y in range(0, side, TILE) for x in range(0, side, TILE)):
            store[:, y : y + TILE, x : x + TILE] = np.where(tile > 0, tile + np.uint32(k * width), 0).astype("u4")


def score(folder: Path) -> str:
    import zarr

    truth, labels = (zarr.open_array(folder / name, mode="r") for name in ("truth", "labels"))
    start = time.perf_counter()
    table = emfast.evaluate(truth, labels).table
    assert table is not None
    inside = table.without(truth=0)
    for of in (metrics.binary, metrics.mean_iou, metrics.best_dice, metrics.seg_score, metrics.associations):
        of(table)
    for of in (metrics.rand, metrics.vrand, metrics.normalised_voi, metrics.adjusted_rand_index, metrics.cremi_score):
        of(inside)
    for variant in VARIANTS:
        metrics.adapted_rand(inside, variant)
    for rule in ("coco", "mitoem"):
        metrics.score_ordered_precision(table, rule=rule, bounds=(5000, 15000))
    metrics.by_size(table, bounds=(5000, 15000))
    seconds = time.perf_counter() - start
    peak = _status("VmHWM") / 2**20  # what getrusage tells is the parent's where that had more
    return (
        f"{' x '.join(map(str, truth.shape))} voxels, {len(table.truth_ids)} objects, {len(table.label_ids)} segments: "
        f"{seconds:.1f} s, {peak:.0f} MiB in all, {emfast.get_threads()} threads."
    )


def main() -> int:
    from .__main__ import HERE, write_between

    parser = argparse.ArgumentParser(prog="python -m benchmarks.challenge", description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="a multiple of 512 (default: 4096)")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder:
        print(score(chosen.folder))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), chosen.side)
        command = [sys.executable, "-m", "benchmarks.challenge", "--in", folder]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    print(line)
    if chosen.side == 4096:
        write_between(HERE / "README.md", "challenge", line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
