"""What the engine of blocks costs: ``python -m benchmarks.bench_blocks``; each line in a process of its own.

The driver is run dry, over a million blocks that an engine calls done at once: its seconds and memory are those of the
book-keeping alone, journal included. Then blocks that do nothing go through threads and through two Dask processes, for
what a task costs; and a function of ordinary work, whose blocks are compared with one call for each of them in a loop.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import emfast
from emfast import blocks
from emfast._engine import values as _values
from emfast._engine.grid import Grid
from emfast._engine.identity import job_words
from emfast._engine.job import Job, Outcome
from emfast._engine.journal import Journal
from emfast._engine.threads import Ended


class Dry:
    """An engine whose blocks are done at once."""

    slots = 8

    def __init__(self, value: Any = None) -> None:
        self.indices: list[int] = []
        self.outcome = Outcome(value, (), ())
        self.first: float | None = None

    def submit(self, index: int) -> None:
        self.first = self.first or time.perf_counter()
        self.indices.append(index)

    def wait(self) -> Ended:
        ended = [(index, self.outcome) for index in self.indices]
        self.indices.clear()
        return ended


def nothing() -> None:
    """A block that does nothing."""


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def dry(n: int, kept: bool = False, value: bytes | None = None, resumed: bool = False) -> dict[str, Any]:
    """The driver alone, over ``n`` blocks of 512³."""
    side = 512
    job = Job(nothing, "many", {}, {}, Grid((side, side, n * side), side), kept=kept)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "journal")

        def go(engine: Dry) -> float:
            begun = time.perf_counter()
            if not kept:
                values: Any = _values.Values(n, None if value is None else lambda a, b: a)
                blocks._run(job, engine, values, None, None, 2, False, lambda done, total: None)
                return begun
            with Journal(path, job_words(job, emfast.__version__), n) as journal:
                values = _values.Kept(journal, lambda a, b: a)
                blocks._run(job, engine, values, None, None, 2, False, lambda done, total: None)
            return begun

        engine = Dry(value)
        begun = go(engine)
        seconds = time.perf_counter() - begun
        if resumed:
            with open(path, "rb+") as file:  # all but the last thousand lines
                content = file.read()
                file.truncate(len(content) - 1000 * 20)
            engine = Dry(value)
            begun = go(engine)
            assert engine.first is not None
            return {"seconds to the first block": round(engine.first - begun, 2), "peak MB": peak() // 10**6}
    return {"us a block": round(1e6 * seconds / n, 1), "peak MB": peak() // 10**6}


def threads(n: int) -> dict[str, Any]:
    begun = time.perf_counter()
    blocks.map_blocks(nothing, None, shape=(n,), block=1, workers=2)
    return {"us a block": round(1e6 * (time.perf_counter() - begun) / n, 1), "peak MB": peak() // 10**6}


def dask(n: int) -> dict[str, Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        blocks.map_blocks(nothing, None, shape=(50,), block=1, client=client)
        begun, busy = time.perf_counter(), time.process_time()
        blocks.map_blocks(nothing, None, shape=(n,), block=1, client=client)
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    return {
        "us a block": round(1e6 * seconds / n, 1),
        "driver and scheduler, us": round(1e6 * busy / n, 1),
        "peak MB": peak() // 10**6,
    }


def work(side: int) -> dict[str, Any]:
    """Components of blocks of ``side``³ in memory, in turns with a plain loop over them."""
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 2, (side, side, 4 * side), np.uint8)
    grid = Grid(volume.shape, side)

    def fn(voxels: np.ndarray) -> int:
        return int(emfast.connected_components(voxels).max())

    def loop() -> list[int]:
        return [fn(volume[block.core]) for block in grid]

    def ours() -> list[int]:
        return list(blocks.map_blocks(fn, volume, block=side, workers=1))

    expected = loop()
    assert ours() == expected
    seconds: dict[Callable[[], list[int]], list[float]] = {loop: [], ours: []}
    for _ in range(5):
        for call in (loop, ours):
            begun = time.perf_counter()
            call()
            seconds[call].append(time.perf_counter() - begun)
    plain, mapped = (sorted(times)[2] for times in seconds.values())
    return {"loop, s": round(plain, 3), "map_blocks, s": round(mapped, 3), "ratio": round(mapped / plain, 4)}


def measured(n: int, tasks: int, side: int) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    return [
        (f"driver, {n:,} blocks", lambda: dry(n)),
        (f"driver with a journal, {n:,} blocks", lambda: dry(n, kept=True)),
        (f"driver with a journal of values of 100 bytes, {n:,} blocks", lambda: dry(n, True, pickled(100))),
        (f"a journal of {n:,} blocks read again", lambda: dry(n, kept=True, resumed=True)),
        (f"threads, {tasks:,} blocks that do nothing", lambda: threads(tasks)),
        (f"Dask, two processes, {tasks // 10:,} blocks that do nothing", lambda: dask(tasks // 10)),
        (f"components of four blocks of {side}³, one worker", lambda: work(side)),
    ]


def pickled(n: int) -> bytes:
    import pickle

    return pickle.dumps(b"x" * n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=10**6)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--line", type=int, help="measure this one here")
    asked = parser.parse_args()
    lines = measured(asked.blocks, asked.tasks, asked.side)
    if asked.line is not None:
        print(json.dumps(lines[asked.line][1]()))
        return
    for k, (name, _) in enumerate(lines):
        command = [sys.executable, "-m", "benchmarks.bench_blocks", "--line", str(k), *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        if done.returncode:
            sys.exit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {name} | {', '.join(f'{value} {what}' for what, value in found.items())} |", flush=True)


if __name__ == "__main__":
    main()
