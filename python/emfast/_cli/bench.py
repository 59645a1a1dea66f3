"""``emfast bench``: how fast the main calls are on this machine, on a synthetic volume."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__, _files
from .._progress import Progress
from .options import add_threads

__all__ = ["add", "steps"]


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "bench",
        help="how fast the main calls are on this machine",
        description="Time the main calls on a synthetic volume: medians, in seconds and million voxels a second.",
        epilog="How this compares with other libraries is in benchmarks/README.md of the repository; "
        "python -m benchmarks measures that.",
    )
    verb.add_argument("--size", type=int, default=128, metavar="N", help="voxels along each axis (default: 128)")
    verb.add_argument("--rounds", type=int, default=3, metavar="N", help="the median of so many (default: 3)")
    add_threads(verb)
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON too")
    verb.set_defaults(run=run)


def steps(size: int) -> dict[str, Callable[[], Any]]:
    """The calls by name, on a synthetic volume and what they make of it."""
    import emfast

    made = emfast.phantom.make((size,) * 3, spacing=(8, 8, 8))
    affinities, truth = made.affinities, made.labels
    fragments = emfast.watershed(affinities, low=0.1, high=0.98)
    graph = emfast.region_graph(affinities, fragments)
    tree = emfast.agglomerate(graph)
    segments = tree.relabel(fragments, 0.5)
    return {
        "connected_components": lambda: emfast.connected_components(truth),
        "edt": lambda: emfast.edt(truth),
        "statistics": lambda: emfast.statistics(truth),
        "affinities": lambda: emfast.affinities(truth),
        "watershed": lambda: emfast.watershed(affinities, low=0.1, high=0.98),
        "region_graph": lambda: emfast.region_graph(affinities, fragments),
        "agglomerate": lambda: emfast.agglomerate(graph),
        "relabel": lambda: tree.relabel(fragments, 0.5),
        "contingency": lambda: emfast.contingency(truth, segments),
        "compare": lambda: emfast.compare(truth, segments),
        "skeletonize": lambda: emfast.skeletonize(truth, spacing=(8, 8, 8)),
    }


def run(chosen: argparse.Namespace) -> int:
    import json
    import platform
    import statistics

    from .. import _native
    from .._options import integer_of

    size, rounds = integer_of(chosen.size, "--size", 1, 4096), integer_of(chosen.rounds, "--rounds", 1)
    if chosen.json and (chosen.json.is_dir() or not chosen.json.absolute().parent.is_dir()):
        raise ValueError(f"--json must be a file in an existing folder, got {str(chosen.json)!r}")
    found: dict[str, float] = {}
    with Progress("timing") as progress:
        calls = steps(size)
        for done, (name, call) in enumerate(calls.items(), 1):
            found[name] = statistics.median(_seconds(call) for _ in range(rounds))
            progress(done, len(calls))
    voxels = size**3
    print(f"emfast {__version__}, {_native.get_threads()} threads, {size}³ voxels, median of {rounds}")
    print(f"{'call':<24}{'seconds':>10}{'Mvoxel/s':>10}")
    for name, seconds in found.items():
        print(f"{name:<24}{seconds:>10.4f}{voxels / max(seconds, 1e-9) / 1e6:>10.1f}")
    if chosen.json:
        about = {"emfast": __version__, "threads": _native.get_threads(), "machine": platform.machine(), "size": size}
        text = json.dumps({**about, "rounds": rounds, "seconds": found}, indent=2) + "\n"
        with _files.beside(chosen.json) as part, open(part, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
