"""Operations in blocks beside the same in memory: ``python -m benchmarks.bench_pipeline [--side 256]``.

The volume fits, so what blocks cost can be seen: the same arrays, taking turns, medians of the ratio of neighbours in
time, and of the processors' seconds, which say the same on a machine that others use too; answers are compared first.
Then the whole way, from affinities in Zarr to segments in Zarr, with the seconds of each pass.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import emfast
from emfast import blockwise
from emfast.blockwise import _run

LIMITS = {"low": 0.1, "high": 0.98}


def tissue(side: int) -> np.ndarray:
    """Affinities of a synthetic volume, repeated where it is large."""
    piece = emfast.phantom.make((min(side, 128), min(side, 256), min(side, 256)), seed=1).affinities
    times = [-(-side // n) for n in piece.shape[1:]]
    return np.tile(piece, (1, *times))[:, :side, :side, :side]


def pairs(affinities: np.ndarray) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """In memory and in blocks."""
    fragments = emfast.watershed(affinities, **LIMITS)
    segments = emfast.segment_affinities(affinities, threshold=0.5, **LIMITS)
    return {
        "connected_components": (
            lambda: emfast.connected_components(segments),
            lambda: blockwise.connected_components(segments),
        ),
        "watershed": (
            lambda: emfast.watershed(affinities, **LIMITS),
            lambda: blockwise.watershed(affinities, **LIMITS),
        ),
        "region_graph": (
            lambda: emfast.region_graph(affinities, fragments),
            lambda: blockwise.region_graph(affinities, fragments),
        ),
        "region_graph and agglomerate": (
            lambda: emfast.agglomerate(emfast.region_graph(affinities, fragments)),
            lambda: blockwise.agglomerate(affinities, fragments),
        ),
        "affinities to segments": (
            lambda: emfast.segment_affinities(affinities, threshold=0.5, **LIMITS),
            lambda: emfast.segment(affinities, thresholds=0.5),
        ),
    }


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, seconds of processors, result."""
    start, used = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - start, time.process_time() - used, result


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b)


def compare(
    calls: dict[str, tuple[Callable[[], Any], Callable[[], Any]]],
    voxels: int,
    rounds: int,
    answer: Callable[[Any], Any] = lambda result: result,
) -> None:
    print(f"{'':<30}{'in memory':>12}{'in blocks':>12}{'ratio':>8}{'processors':>12}{'Mvox/s':>9}")
    for name, (whole, blocks) in calls.items():
        if not same(answer(whole()), answer(blocks())):
            raise SystemExit(f"{name}: blocks give another result")
        times = [(*timed(whole)[:2], *timed(blocks)[:2]) for _ in range(rounds)]
        ratio = statistics.median(b / w for w, _, b, _ in times)
        used = statistics.median(b / w for _, w, _, b in times)
        w, _, b, _ = (min(column) for column in zip(*times, strict=True))
        print(f"{name:<30}{w:>10.3f} s{b:>10.3f} s{ratio:>8.2f}{used:>12.2f}{voxels / b / 1e6:>9.1f}")


def written(place: Path, array: np.ndarray, *lead: int) -> Path:
    """An array as a Zarr volume."""
    sides = [min(128, n) for n in array.shape[len(lead) :]]
    options = {"shape": array.shape, "dtype": array.dtype, "shards": (*lead, *sides), "chunks": (*lead, 64, 64, 64)}
    with emfast.open_volume(place, mode="w", **options) as volume:
        volume[...] = array
    return place


def between_files(affinities: np.ndarray, rounds: int) -> None:
    """The same where the arrays lie in Zarr before and after."""
    folder = Path(tempfile.mkdtemp(prefix="emfast-"))
    segments = written(folder / "l.zarr", emfast.segment_affinities(affinities, threshold=0.5, **LIMITS))
    source = written(folder / "a.zarr", affinities, 1)
    out = folder / "out.zarr"

    def whole(call: Callable[..., Any], place: Path, **options: Any) -> Callable[[], Any]:
        return lambda: written(out, call(emfast.open_volume(place)[...], **options))

    def blocks(call: Callable[..., Any], place: Path, **options: Any) -> Callable[[], Any]:
        return lambda: call(place, out, **options)

    def segment(place: Path, out: Path) -> Any:
        shutil.rmtree(f"{out}.work", ignore_errors=True)
        return emfast.segment(place, out, recipe={"agglomeration": {"until": 0.5}})

    calls = {
        "connected_components": (
            whole(emfast.connected_components, segments),
            blocks(blockwise.connected_components, segments),
        ),
        "watershed": (whole(emfast.watershed, source, **LIMITS), blocks(blockwise.watershed, source, **LIMITS)),
        "affinities to segments": (
            whole(emfast.segment_affinities, source, threshold=0.5, **LIMITS),
            blocks(segment, source),
        ),
    }
    try:
        compare(calls, affinities[0].size, rounds, lambda _: emfast.open_volume(out)[...])
    finally:
        shutil.rmtree(folder)


def in_files(affinities: np.ndarray, memory: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="emfast-"))
    voxels = affinities[0].size
    try:
        written(folder / "a.zarr", affinities, 1)
        passes: list[tuple[str, float, float]] = []
        plain = _run.Run.map

        def watched(run: _run.Run, name: str, *args: Any, **named: Any) -> Any:
            start, used = time.perf_counter(), time.process_time()
            result = plain(run, name, *args, **named)
            passes.append((name, time.perf_counter() - start, time.process_time() - used))
            return result

        _run.Run.map = watched  # type: ignore[method-assign]
        seconds, _, found = timed(lambda: emfast.segment(folder / "a.zarr", folder / "s.zarr", memory=memory))
        _run.Run.map = plain  # type: ignore[method-assign]
        if not same(found[...], emfast.segment_affinities(affinities, threshold=0.5, **LIMITS)):
            raise SystemExit("from files to files: another result")
        print(f"\nfrom Zarr to Zarr: {seconds:.1f} s, {voxels / seconds / 1e6:.1f} Mvox/s, with memory={memory}")
        for name, wall, cpu in passes:
            print(f"  {name:<28}{wall:>8.2f} s{cpu:>8.2f} s of processors, {cpu / voxels * 1e9:.0f} ns a voxel")
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="voxels along each axis (default: 256)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", default="4GB")
    chosen = parser.parse_args()
    affinities = tissue(chosen.side)
    load = os.getloadavg()[0]
    print(f"{chosen.side}³ voxels of uint8 affinities, {emfast.get_threads()} threads, load {load:.1f}")
    compare(pairs(affinities), affinities[0].size, chosen.rounds)
    print("\nthe arrays in Zarr, read and written as a whole or by blocks")
    between_files(affinities, chosen.rounds)
    in_files(affinities, chosen.memory)


if __name__ == "__main__":
    main()
