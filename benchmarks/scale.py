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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import emfast

from .__main__ import machine
from .harness import _status

TILE = 256
SHARD, CHUNK = 256, 64
SIZES = ((256, 256, 256), (512, 512, 512), (512, 1024, 1024))
THRESHOLD = 0.5  # that of a recipe by default
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
    engine = {"memory": memory, "workers": None, "client": None, "retries": 0, "on_corrupt": "error", "order": None}
    engine["progress"] = None
    pipeline.claim(f"{target}.work", "emfast.segment")
    steps = pipeline._Steps(place, None, pipeline.Recipe(), "auto", f"{target}.work", engine)
    fragments = steps.fragments()
    found["fragments"] = time.perf_counter() - start
    tree = steps.tree(fragments)
    found["tree"] = time.perf_counter() - start - found["fragments"]
    steps.segments(fragments, tree, THRESHOLD, target)
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


def group_of(affinities: np.ndarray) -> dict[str, Any]:
    """A group of blocks amid a volume, all its faces open: what it takes in, what it hands on, how long it takes."""
    side = affinities.shape[1]
    fragments = emfast.watershed(affinities, low=0.1, high=0.98)
    core = (slice(1, side - 1),) * 3  # a face of voxels around it is read too
    place: dict[str, Any] = {"core": core, "origin": (side,) * 3, "whole_shape": (3 * side,) * 3}
    graph = emfast.region_graph(affinities, fragments, **place)
    start = time.perf_counter()
    tree, rest = emfast.agglomerate_block(graph, emfast.open_fragments(fragments, **place), until=THRESHOLD)
    seconds = time.perf_counter() - start
    return {
        "side": side,
        "fragments": len(graph.nodes),
        "median": float(np.median(graph.sizes)),
        "edges": len(graph),
        "merges": len(tree),
        "rest": len(rest),
        "seconds": seconds,
    }


def groups_of(sides: Iterable[int]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        sides = sorted(sides)
        make(f"{folder}/a.zarr", (sides[-1],) * 3)
        with emfast.open_volume(f"{folder}/a.zarr") as volume:
            return [group_of(volume[:, :side, :side, :side]) for side in sides]


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


def simulate(rows: list[dict[str, Any]], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """A run over MILLIMETRE: blocks are worked on as workers are free; groups of eight, level by level, once the level
    below is done.

    Stages of voxels cost what they cost in the largest volume. What a group hands on grows with its side as from the
    second largest measured group to the largest; merging takes its time for each edge taken in.
    """
    largest = max(rows, key=lambda row: math.prod(row["shape"]))
    per_voxel = {name: largest["seconds"][name] * 2 / math.prod(largest["shape"]) for name in STAGES}  # of one core
    small, large = groups[-2:]
    power = math.log(large["rest"] / small["rest"]) / math.log(large["side"] / small["side"])
    per_edge = large["seconds"] / large["edges"]
    counts, side = [-(-n // BLOCK) for n in MILLIMETRE], BLOCK
    levels = []
    while math.prod(counts) > 1:
        above = [-(-n // 2) for n in counts]
        inside = math.prod(counts) / math.prod(above)
        edges = inside * large["rest"] * (side / large["side"]) ** power
        levels.append({"groups": math.prod(above), "edges": edges, "seconds": edges * per_edge})
        counts, side = above, 2 * side
    total = {}
    for workers in WORKERS:
        stages = sum(math.prod(MILLIMETRE) * cost / workers for cost in per_voxel.values())
        merging = sum(math.ceil(level["groups"] / workers) * level["seconds"] for level in levels)
        total[workers] = {"voxels": stages, "merging": merging}
    blocks = math.prod(-(-n // BLOCK) for n in MILLIMETRE)
    return {"power": power, "levels": levels, "total": total, "blocks": blocks}


# ---- the page


def page(rows: list[dict[str, Any]], groups: list[dict[str, Any]], plan: dict[str, Any]) -> str:
    about = machine()
    lines = [
        "# Scale",
        "",
        f"`python -m benchmarks.scale`, {about['date']}, {about['processor']}, {about['threads']} threads, "
        f"emfast {about['versions']['emfast']}, numpy {about['versions']['numpy']}.",
        "",
        "uint8 affinities in Zarr (sharded, zstd, crc32c) to segments in Zarr by `emfast.segment`, mirrored tiles of a "
        "phantom. Seconds of all stages, reading and writing included. A row with a bound is that of "
        "`--size Z,Y,X --memory SIZE`; `--rows FILE` brings rows of several runs together.",
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
        f"What a group of blocks amid a volume takes in and hands on, merging down to {THRESHOLD} "
        "(`agglomerate_block`): fragments that touch its faces are not whole, and what they are best for waits for "
        "them; of the rest only what may yet be merged goes on.",
        "",
        "| side | fragments | voxels of the median one | edges in | merges | edges on | share | on / side² | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for group in groups:
        share, dense = group["rest"] / group["edges"], group["rest"] / group["side"] ** 2
        lines.append(
            f"| {group['side']} | {group['fragments']} | {group['median']:g} | {group['edges']} | {group['merges']} | "
            f"{group['rest']} | {share:.0%} | {dense:.2f} | {group['seconds']:.2f} |"
        )
    lines += [
        "",
        f"## 1 mm³ at 40 x 4 x 4 nm, simulated: {math.prod(MILLIMETRE):.3g} voxels, {plan['blocks']} blocks",
        "",
        f"Voxels cost what they cost above on one core; blocks of {BLOCK}³ are merged in an octree, each level once "
        f"the one below is done; what a group hands on grows with its side to the power of {plan['power']:.2f}. "
        "A worker is one core.",
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
        f"The last group holds {last['edges'] * 40 / 1e12:.3g} TB of edges at 40 bytes each: the global step.",
        "",
    ]
    return "\n".join(lines)


def _span(seconds: float) -> str:
    for size, name in ((365.25 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--size", action="append", metavar="Z,Y,X", help="instead of the three; may be given again")
    parser.add_argument("--memory", help="a bound like 4GB")
    parser.add_argument("--folder", help="for the volumes (default: a temporary one)")
    parser.add_argument("--groups", default="64,128,256,512", help="sides of groups (default: 64,128,256,512)")
    parser.add_argument("--rows", help="a file of former rows, a line of JSON each: volumes are not measured again")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(segment(*chosen.child, chosen.memory)))
        return
    sizes = [tuple(map(int, size.split(","))) for size in chosen.size] if chosen.size else SIZES
    rows = [json.loads(line) for line in Path(chosen.rows).read_text().splitlines()] if chosen.rows else []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for shape in () if chosen.rows else sizes:
            rows.append(measure(shape, chosen.memory, folder))
            print(json.dumps(rows[-1]), flush=True)
    groups = groups_of(map(int, chosen.groups.split(",")))
    text = page(rows, groups, simulate(rows, groups))
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
