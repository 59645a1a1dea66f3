"""``python -m benchmarks.memory``: what was planned to be held at most, and what was held, operation by operation.

Each case is a process of its own, with a bound of memory and so many workers, on a phantom in Zarr. Planned is the most
that any pass of the operation planned, the peak is that of the system (VmHWM). Writes memory.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import emfast
from emfast import blocks, blockwise

from .__main__ import machine
from .harness import _status

SIDE, TILE = 320, 160
MEMORY, WORKERS = ("160MB", "400MB"), (1, 2)
PAGE = Path(__file__).parent / "memory.md"


def copy(voxels: np.ndarray) -> np.ndarray:
    return voxels.astype("u8")


def parts(voxels: np.ndarray) -> np.ndarray:
    return emfast.connected_components(voxels, dtype="u8")


def noise(voxels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**63, voxels.shape)


def mapped(fn: Any, dtype: str) -> Any:
    """A function without a cost of its own."""

    def run(folder: str, **options: Any) -> None:
        files: dict[str, Any] = {"chunks": (32,) * 3, "shards": (64,) * 3}
        source = emfast.open_volume(f"{folder}/mask.zarr")
        with emfast.open_volume(f"{folder}/out.zarr", mode="x", shape=source.shape, dtype=dtype, **files) as target:
            blocks.map_blocks(fn, source, target, halo=8, journal=True, **options)

    return run


def of_labels(name: str, writes: bool = True, **more: Any) -> Any:
    def run(folder: str, **options: Any) -> None:
        place = {"target": f"{folder}/out.zarr"} if writes else {"work": f"{folder}/work"}
        getattr(blockwise, name)(f"{folder}/labels.zarr", **place, **more, **options)

    return run


def of_affinities(name: str, **more: Any) -> Any:
    def run(folder: str, **options: Any) -> None:
        place = {"target": f"{folder}/out.zarr"} if name == "watershed" else {"work": f"{folder}/work"}
        sources = [f"{folder}/affinities.zarr"] + ([] if name == "watershed" else [f"{folder}/fragments.zarr"])
        getattr(blockwise, name)(*sources, **place, **more, **options)

    return run


def counted(folder: str, **options: Any) -> None:
    blockwise.contingency(f"{folder}/labels.zarr", f"{folder}/labels.zarr", work=f"{folder}/work", **options)


CASES = {
    "map_blocks: copy": mapped(copy, "u8"),
    "map_blocks: components": mapped(parts, "u8"),
    "map_blocks: edt": mapped(emfast.edt, "f4"),
    "map_blocks: noise": mapped(noise, "i8"),
    "connected_components": of_labels("connected_components"),
    "edt": of_labels("edt"),
    "signed_distance, clip 8": of_labels("signed_distance", clip=8),
    "dust": of_labels("dust", below=1000),
    "fill_holes": of_labels("fill_holes"),
    "renumber": of_labels("renumber"),
    "unique": of_labels("unique", writes=False),
    "statistics": of_labels("statistics", writes=False, surface=True),
    "contingency": counted,
    "watershed": of_affinities("watershed", low=0.1, high=0.98),
    "region_graph": of_affinities("region_graph"),
    "agglomerate": of_affinities("agglomerate"),
}


def make(folder: str) -> None:
    """A phantom of SIDE voxels along each axis, in tiles."""
    phantom = emfast.phantom.make((TILE,) * 3, seed=1)
    fragments = emfast.watershed(np.tile(phantom.affinities, (1, *(SIDE // TILE,) * 3)), low=0.1, high=0.98)
    arrays = {
        "labels": phantom.labels.astype("u4"),
        "affinities": phantom.affinities,
        "mask": (phantom.labels % 3 > 0).astype("u1"),
    }
    for name, tile in arrays.items():
        lead = tile.shape[:-3]
        files = {"chunks": (*lead, 32, 32, 32), "shards": (*lead, 160, 160, 160)}
        with emfast.open_volume(
            f"{folder}/{name}.zarr", mode="x", shape=(*lead, *(SIDE,) * 3), dtype=tile.dtype, **files
        ) as volume:
            for corner in np.ndindex(*(SIDE // TILE,) * 3):
                window = tuple(slice(k * TILE, (k + 1) * TILE) for k in corner)
                volume[(..., *window)] = tile
    with emfast.open_volume(
        f"{folder}/fragments.zarr", mode="x", like=fragments, chunks=(32,) * 3, shards=(TILE,) * 3
    ) as volume:
        volume[...] = fragments


def one(folder: str, case: str, memory: str, workers: int) -> dict[str, Any]:
    """In this process."""
    planned: list[Any] = []
    make_plan = blocks.make_plan

    def noted(*arguments: Any) -> Any:
        planned.append(make_plan(*arguments))
        return planned[-1]

    blocks.make_plan = noted  # type: ignore[assignment]
    CASES[case](folder, memory=memory, workers=workers)
    most = max(planned, key=lambda plan: plan.bytes)
    voxels = int(np.prod(most.grid.largest))
    return {"planned": most.bytes, "base": most.base, "block": most.block, "peak": _status("VmHWM"), "voxels": voxels}


def measured(folder: str, case: str, memory: str, workers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        for name in ("labels", "affinities", "mask", "fragments"):
            os.symlink(f"{folder}/{name}.zarr", f"{inner}/{name}.zarr")
        words = [sys.executable, "-m", "benchmarks.memory", "--one", inner, case, memory, str(workers)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{case}, {memory}, {workers} workers: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        shutil.rmtree(f"{inner}/out.zarr", ignore_errors=True)
        return found


def page(rows: list[tuple[str, str, int, dict[str, Any]]]) -> str:
    ratios = [found["planned"] / found["peak"] for *_, found in rows]
    about = machine()
    near, under = sum(r <= 1.5 for r in ratios), sum(r >= 1 for r in ratios)
    lines = [
        "# Memory planned and held",
        "",
        f"`python -m benchmarks.memory`, {date.today()}, {about['processor']}, {about['threads']} threads, emfast "
        f"{about['versions']['emfast']}, numpy {about['versions']['numpy']}.",
        "",
        f"A phantom of {SIDE}³ voxels in Zarr, each case a process of its own. Planned is no less than the peak "
        f"in {under} of {len(rows)} cases, and at most 1.5 times it in {near}. `region_graph` and `agglomerate` hold "
        "the graph of the whole volume or of a group too, which is no part of the plan of their blocks: here a "
        "fragment has some hundred voxels, and a bound of 160 MB is not kept.",
        "",
        "| operation | memory | workers | block | planned | peak | planned / peak |",
        "|---|---|---|---|---|---|---|",
    ]
    for (case, memory, workers, found), ratio in zip(rows, ratios, strict=True):
        sides = " x ".join(map(str, found["block"]))
        mega = [f"{found[name] / 1e6:.0f} MB" for name in ("planned", "peak")]
        lines.append(f"| {case} | {memory} | {workers} | {sides} | {mega[0]} | {mega[1]} | {ratio:.2f} |")
    return "\n".join([*lines, ""])


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=4, metavar=("FOLDER", "CASE", "MEMORY", "WORKERS"), help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="names of cases, with a | between them")
    parser.add_argument("--dir", help="where volumes are made (default: the system's temporary folder)")
    asked = parser.parse_args(words)
    if asked.one:
        folder, case, memory, workers = asked.one
        print(json.dumps(one(folder, case, memory, int(workers))))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=asked.dir) as folder:
        make(folder)
        for case, memory, workers in itertools.product(CASES, MEMORY, WORKERS):
            if not asked.only or case in asked.only.split("|"):
                rows.append((case, memory, workers, measured(folder, case, memory, workers)))
                found = rows[-1][-1]
                planned, peak = found["planned"], found["peak"]
                held = f"{found['base'] / 1e6:.0f} before, {planned / 1e6:.0f} planned, {peak / 1e6:.0f} MB held"
                each = (peak - found["base"]) / found["voxels"] / workers
                words = f"{found['block']}, {held}, {each:.1f} bytes a voxel, {planned / peak:.2f}"
                print(f"{case}, {memory}, {workers}: {words}", flush=True)
    if not asked.only:
        PAGE.write_text(page(rows))


if __name__ == "__main__":
    main()
