"""``python -m benchmarks.scale``: affinities in Zarr to segments in Zarr, and what a cubic millimetre would take.

Makes uint8 affinities of each size from a phantom (tiles, mirrored so that they go on beyond their faces), segments
them by ``emfast.segment`` in a process of its own, and measures every stage: seconds, bytes, the peak of memory. From
the largest graphs of groups and their slope with the size of a group follows a simulated run over a cubic millimetre.
Writes scale.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import emfast

from .__main__ import machine
from .harness import _status

TILE = 256
SHARD, CHUNK = 256, 64
SIZES = ((256, 256, 256), (512, 512, 512), (512, 1024, 1024))
STAGES = ("fragments", "tree", "segments")
PAGE = Path(__file__).parent / "scale.md"

# 1 mm³ at 40 x 4 x 4 nm.
MILLIMETRE = (25_000, 250_000, 250_000)
BLOCK = 512
WORKERS = (1, 100, 10_000)


def make(place: str, shape: tuple[int, ...]) -> None:
    """Tiles of one phantom, every other one mirrored: what is an edge within a tile stays one, and a voxel is joined
    with its image beyond a face."""
    tile = emfast.phantom.make((TILE,) * 3, seed=1).affinities
    tile = emfast.convert_affinities(tile, dtype="uint8") if tile.dtype != np.uint8 else tile
    with emfast.open_volume(
        place,
        mode="w",
        shape=(3, *shape),
        dtype="uint8",
        chunks=(3, CHUNK, CHUNK, CHUNK),
        shards=(3, SHARD, SHARD, SHARD),
        spacing=(8, 8, 8),
    ) as volume:
        for corner in np.ndindex(*(-(-n // TILE) for n in shape)):
            window = tuple(slice(c * TILE, min(n, (c + 1) * TILE)) for c, n in zip(corner, shape, strict=True))
            part = mirrored(tile, [c % 2 == 1 for c in corner])
            volume[(slice(None), *window)] = part[(slice(None), *(slice(0, w.stop - w.start) for w in window))]


def mirrored(tile: np.ndarray, flips: list[bool]) -> np.ndarray:
    """Channel k at a voxel is the edge to the voxel before it along axis k: mirrored, that is the next one's."""
    out = tile.copy()
    for axis, flip in enumerate(flips):
        if flip:
            out = np.flip(out, axis + 1).copy()
            out[axis] = np.roll(out[axis], 1, axis)
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        out[(axis, *first)] = 255  # to its image beyond the face
    return out


def segment(place: str, target: str, memory: str | None) -> dict[str, Any]:
    """The stages one after another, as emfast.segment does them; in this process."""
    from emfast import pipeline

    start, found = time.perf_counter(), {}
    engine = {"memory": memory, "workers": None, "client": None, "retries": 0, "order": None, "progress": None}
    steps = pipeline._Steps(place, None, pipeline.Recipe(), "auto", f"{target}.work", engine)
    fragments = steps.fragments()
    found["fragments"] = time.perf_counter() - start
    tree = steps.tree(fragments)
    found["tree"] = time.perf_counter() - start - found["fragments"]
    steps.segments(fragments, tree, 0.5, target)
    found["segments"] = time.perf_counter() - start - found["fragments"] - found["tree"]
    return {
        "seconds": found,
        "fragments": len(tree.fragments),
        "peak": _status("VmHWM"),
        "bytes": {name: size_of(path) for name, path in parts_of(target).items()},
    }


def parts_of(target: str) -> dict[str, str]:
    work = f"{target}.work"
    return {"segments": target, **{name: f"{work}/{name}" for name in sorted(os.listdir(work))}}


def size_of(path: str) -> int:
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def levels_of(shape: tuple[int, ...], block: int) -> Iterator[dict[str, int]]:
    """What each level of groups does in a volume that memory holds: how the rests grow with a group."""
    with tempfile.TemporaryDirectory() as folder:
        make(f"{folder}/a.zarr", shape)
        affinities = np.asarray(emfast.open_volume(f"{folder}/a.zarr"))
    fragments = emfast.watershed(affinities, low=0.1, high=0.98)
    _, levels = emfast.blockwise.agglomerate(affinities, fragments, block=(block,) * 3, return_levels=True)
    for k, level in enumerate(levels):
        yield {
            "side": block * 2**k,
            "groups": level.blocks,
            "edges": level.edges,
            "fragments": level.fragments,
            "largest": level.largest,
        }


def child(arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(shape: tuple[int, ...], memory: str | None, folder: str) -> dict[str, Any]:
    place, target = f"{folder}/affinities.zarr", f"{folder}/segments.zarr"
    make(place, shape)
    found = child(["--child", place, target, *(["--memory", memory] if memory else [])])
    found |= {"shape": shape, "memory": memory, "affinities": size_of(place)}
    for path in (place, target, f"{target}.work"):
        shutil.rmtree(path)
    return found


# ---- a cubic millimetre


def simulate(rows: list[dict[str, Any]], levels: list[dict[str, int]], seconds_per_edge: float) -> dict[str, Any]:
    """A run over MILLIMETRE: blocks are worked on as workers are free, groups once their eight are done.

    Stages of voxels cost what they cost in the largest volume. What a group takes in grows with its surface, as the
    levels show; its time is in proportion.
    """
    largest = max(rows, key=lambda row: math.prod(row["shape"]))
    voxels = math.prod(largest["shape"])
    per_voxel = {name: largest["seconds"][name] * 2 / voxels for name in STAGES}  # of one core
    counts = [-(-n // BLOCK) for n in MILLIMETRE]
    per_area = [row["largest"] / row["side"] ** 2 for row in levels[1:]]
    growth = max(per_area)
    groups, side, tree = [math.prod(counts)], BLOCK, []
    while groups[-1] > 1:
        counts = [-(-n // 2) for n in counts]
        groups.append(math.prod(counts))
        side *= 2
        edges = growth * min(side**2 * 6, _surface(MILLIMETRE, side)) / 6
        tree.append({"groups": groups[-1], "edges": edges, "seconds": edges * seconds_per_edge})
    total = {}
    for workers in WORKERS:
        stages = sum(math.prod(MILLIMETRE) * cost / workers for cost in per_voxel.values())
        merging = sum(math.ceil(level["groups"] / workers) * level["seconds"] for level in tree)
        total[workers] = {"voxels": stages, "merging": merging}
    return {"per_voxel": per_voxel, "levels": tree, "total": total, "blocks": groups[0]}


def _surface(shape: tuple[int, ...], side: int) -> float:
    """Of a group of that side, as far as the volume goes."""
    a, b, c = (min(n, side) for n in shape)
    return 2.0 * (a * b + b * c + a * c)


# ---- the page


def page(rows: list[dict[str, Any]], levels: list[dict[str, int]], plan: dict[str, Any]) -> str:
    about = machine()
    lines = [
        "# Scale",
        "",
        f"`python -m benchmarks.scale`, {about['date']}, {about['processor']}, {about['threads']} threads, "
        f"emfast {about['versions']['emfast']}, numpy {about['versions']['numpy']}.",
        "",
        "uint8 affinities in Zarr (sharded, zstd, crc32c) to segments in Zarr by `emfast.segment`, mirrored tiles of a "
        "phantom. Seconds of all stages, reading and writing included.",
        "",
        "| voxels | memory asked | fragments | tree | segments | Mvoxel/s | peak | affinities | work and segments |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = [row["seconds"][name] for name in STAGES]
        voxels = math.prod(row["shape"])
        kept = sum(row["bytes"].values())
        lines.append(
            f"| {' x '.join(map(str, row['shape']))} | {row['memory'] or 'none'} | "
            + " | ".join(f"{s:.1f} s" for s in seconds)
            + f" | {voxels / sum(seconds) / 1e6:.1f} | {row['peak'] / 2**20:.0f} MiB | "
            f"{row['affinities'] / voxels:.2f} B/voxel | {kept / voxels:.2f} B/voxel |"
        )
    lines += [
        "",
        "What a level of groups takes in (blocks of "
        f"{levels[0]['side']}³ in {levels[-1]['side']}³, in memory): edges grow with the surface of a group.",
        "",
        "| side of a group | groups | largest graph, edges | per square of the side | handed on, fragments |",
        "|---|---|---|---|---|",
    ]
    for level in levels:
        lines.append(
            f"| {level['side']} | {level['groups']} | {level['largest']} | "
            f"{level['largest'] / level['side'] ** 2:.3f} | {level['fragments']} |"
        )
    lines += [
        "",
        f"## 1 mm³ at 40 x 4 x 4 nm, simulated: {math.prod(MILLIMETRE):.3g} voxels, {plan['blocks']} blocks",
        "",
        f"Voxels cost what they cost above on one core; blocks of {BLOCK}³ are merged in an octree, each level once "
        "the one below is done. A worker is one core.",
        "",
        "| workers | stages of voxels | merging | the last group |",
        "|---|---|---|---|",
    ]
    last = plan["levels"][-1]
    for workers, found in plan["total"].items():
        lines.append(
            f"| {workers} | {_span(found['voxels'])} | {_span(found['merging'])} | "
            f"{last['edges']:.2g} edges, {_span(last['seconds'])} |"
        )
    lines += [
        "",
        f"The critical path, one group of each level: {_span(sum(level['seconds'] for level in plan['levels']))}. "
        f"The last group holds {last['edges'] * 40 / 1e9:.3g} GB of edges at 40 bytes each: that must fit one machine.",
        "",
    ]
    return "\n".join(lines)


def _span(seconds: float) -> str:
    for size, name in ((365.25 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def seconds_per_edge() -> float:
    """Of adding up graphs and merging them, by the graph of one volume."""
    made = emfast.phantom.make((TILE,) * 3, seed=1)
    fragments = emfast.watershed(made.affinities, low=0.1, high=0.98)
    graph = emfast.region_graph(made.affinities, fragments)
    start = time.perf_counter()
    emfast.agglomerate_block(emfast.RegionGraph.total([graph]), np.zeros(0, graph.nodes.dtype))
    return (time.perf_counter() - start) / len(graph)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--size", action="append", metavar="Z,Y,X", help="instead of the three; may be given again")
    parser.add_argument("--memory", help="a bound like 4GB")
    parser.add_argument("--folder", help="for the volumes (default: a temporary one)")
    parser.add_argument("--levels", type=int, default=512, help="side of the volume whose levels are measured")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(segment(*chosen.child, chosen.memory)))
        return
    sizes = [tuple(map(int, size.split(","))) for size in chosen.size] if chosen.size else SIZES
    rows = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for shape in sizes:
            rows.append(measure(shape, chosen.memory, folder))
            print(json.dumps(rows[-1]), flush=True)
    levels = list(levels_of((chosen.levels,) * 3, chosen.levels // 8))
    text = page(rows, levels, simulate(rows, levels, seconds_per_edge()))
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
