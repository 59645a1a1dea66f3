"""Random trials of operations in blocks: volume, blocks, their order, workers, engine and kills, all out of one number.

    python tests/trials.py 10000                 # so many, with fresh numbers; ends with a table
    python tests/trials.py 10000 --first 70000   # these numbers: 70000, 70001, …
    python tests/trials.py 1 --first 71234       # that one again

What comes out must be what the call in memory gives for the whole volume, to the bit. A trial with kills is done by a
process that dies of SIGKILL at a random moment, then by another that goes on, and so forth; the last one is not killed.
On a cluster a worker is killed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import emfast
from emfast import blockwise

OPERATIONS = ("components", "watershed", "graph", "tree", "edt", "contingency")
NAMES = {"graph": "region_graph", "tree": "agglomerate", "components": "connected_components"}
WRITING = ("components", "watershed", "edt")
MOST_BLOCKS = 200
MOST_FILES = 27  # blocks of a volume in files, where each costs milliseconds


@dataclass
class Trial:
    """What a number stands for."""

    number: int
    operation: str
    sources: dict[str, np.ndarray]
    options: dict[str, Any]
    block: tuple[int, ...]
    order: list[int]
    workers: int
    engine: str  # "memory", "files", "cluster"
    kills: list[tuple[int, float]] = field(default_factory=list)  # after so many tidings of progress and seconds
    limits: dict[str, int] = field(default_factory=dict)  # of the modules: as if volumes were large

    def __str__(self) -> str:
        shape = next(iter(self.sources.values())).shape
        return (
            f"trial {self.number}: {self.operation} {self.options} of {shape} in blocks of {self.block}, "
            f"{self.workers} workers, {self.engine}, kills {self.kills}, {self.limits}"
        )


def trial_of(number: int, operation: str | None = None, cluster: bool = True) -> Trial:
    rng = random.Random(number)
    draw = np.random.default_rng(number)
    operation = operation or rng.choice(OPERATIONS)
    engine = rng.choices(["memory", "files", "cluster"], [50, 42, 8 if cluster else 0])[0]
    kills: list[tuple[int, float]] = []
    if engine == "files" and rng.random() < 0.6:
        moments = (rng.randrange(1, 8), rng.choice([0.0, rng.uniform(0, 0.03)]))  # at once: not by the clock
        kills = [moments, *((rng.randrange(20), rng.uniform(0, 0.03)) for _ in range(rng.choice([0, 0, 1, 2])))]
    if engine == "cluster" and rng.random() < 0.15:
        kills = [(rng.randrange(6), rng.uniform(0, 0.02))]
    shape = _shape(rng)
    block = _block(rng, shape, MOST_BLOCKS if engine == "memory" else MOST_FILES)
    count = int(np.prod([-(-n // side) for n, side in zip(shape, block, strict=True)]))
    sources, options = _problem(operation, shape, rng, draw)
    limits = {"_VOXELS": rng.choice([1, 200, 2000, 1 << 26]), "_GROUP": rng.choice([1, 100, 1000, 1 << 26])}
    order = list(range(count))
    if rng.random() < 0.8:
        rng.shuffle(order)
    workers = rng.choice([1, 2, 3, 5])
    return Trial(number, operation, sources, options, block, order, workers, engine, kills, limits)


def _shape(rng: random.Random) -> tuple[int, ...]:
    dims = rng.choice([2, 3, 3])
    if rng.random() < 0.1:  # long rows, beyond the words of the bodies
        return (*[rng.randint(1, 4) for _ in range(dims - 1)], rng.randint(60, 200))
    most = rng.choice([3, 9, 9, 17, 30])
    return tuple(rng.randint(1, most) for _ in range(dims))


def _block(rng: random.Random, shape: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Sides of blocks that are not too many, now and then beyond the volume."""
    sides = [rng.randint(1, n + 1) for n in shape]
    if rng.random() < 0.5:
        sides = [min(side, rng.randint(1, 6)) for side in sides]
    while np.prod([-(-n // side) for n, side in zip(shape, sides, strict=True)]) > most:
        axis = rng.randrange(len(shape))
        sides[axis] += 1 + sides[axis] // 2
    return tuple(sides)


def _labels(shape: tuple[int, ...], rng: random.Random, draw: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(rng.choice(["u1", "u2", "u4", "u8", "i4", "i8"]))
    ids = draw.integers(0, rng.choice([1, 2, 3, 8, 100]) + 1, shape).astype(dtype)
    for axis in range(len(shape)):  # smoother, so that there are objects
        ids = np.repeat(ids, rng.choice([1, 1, 2, 3]), axis)
    ids = ids[tuple(slice(0, n) for n in shape)]
    if rng.random() < 0.2:
        ids = np.where(ids, np.iinfo(dtype).max - ids, ids)
    return np.ascontiguousarray(ids.astype(dtype))


def _affinities(shape: tuple[int, ...], rng: random.Random, draw: np.random.Generator) -> np.ndarray:
    """Of few values, so that most are equal to others."""
    if len(shape) == 3 and rng.random() < 0.15:
        return emfast.phantom.make(tuple(max(4, n) for n in shape), seed=rng.randrange(10**6)).affinities[
            (slice(None), *(slice(0, n) for n in shape))
        ]
    levels = rng.choice([1, 3, 5, 200])
    values = draw.integers(0, levels + 1, (len(shape), *shape)) / levels
    dtype = np.dtype(rng.choice(["u1", "f2", "f4"]))
    return (values * 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def _problem(
    operation: str, shape: tuple[int, ...], rng: random.Random, draw: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if operation == "components":
        ways = [4, 8] if len(shape) == 2 else [6, 18, 26]
        options = {"connectivity": rng.choice(ways), "background": rng.choice([0, 0, None, 1])}
        return {"labels": _labels(shape, rng, draw)}, {**options, "periodic": rng.random() < 0.3}
    if operation == "edt":
        spacing = rng.choice([(1, 1, 1), (40, 4, 4), (2.5, 1, 1.5)])[-len(shape) :]
        return {"labels": _labels(shape, rng, draw)}, {"spacing": spacing, "border": rng.random() < 0.5}
    if operation == "contingency":
        sources = {"truth": _labels(shape, rng, draw), "labels": _labels(shape, rng, draw)}
        if rng.random() < 0.3:
            sources["mask"] = draw.random(shape) < 0.7
        return sources, {"ignore": rng.choice([(), (0,), (1, 2)])}
    sources = {"affinities": np.ascontiguousarray(_affinities(shape, rng, draw))}
    if operation == "watershed":
        options = {"low": rng.choice([0, 0.1, 0.4]), "high": rng.choice([0.5, 0.8, 1.0, 1.5])}
        options |= {"dust": rng.choice([0, 0, 2, 5]), "per_section": len(shape) == 3 and rng.random() < 0.3}
        if rng.random() < 0.3:
            sources["mask"] = draw.random(shape) < 0.8
        if rng.random() < 0.2:
            options |= {"quantile": True, "high": rng.choice([0.5, 0.9, 1.0])}
        if rng.random() < 0.3:
            options |= {"merge_size": rng.randint(1, 20), "merge_threshold": 0.3}
        return sources, options
    sources["fragments"] = emfast.watershed(sources["affinities"], low=rng.choice([0, 0.3]), high=1.5)
    if operation == "graph":
        return sources, {"histogram": rng.random() < 0.5, "boxes": rng.random() < 0.5}
    return sources, {"until": rng.choice([None, None, 0.3])}


# ---- in memory, and in blocks


def wanted(trial: Trial) -> Any:
    if trial.operation == "tree":
        return emfast.agglomerate(emfast.region_graph(**trial.sources), score="mean", **trial.options)
    return getattr(emfast, NAMES.get(trial.operation, trial.operation))(**trial.sources, **trial.options)


def found(trial: Trial, folder: Path | None = None, client: Any = None, progress: Any = None) -> Any:
    """In blocks; the volumes lie in the folder, if there is one."""
    options = {**trial.options, "block": trial.block, "order": trial.order, "progress": progress}
    if trial.operation == "tree":
        options["score"] = "mean"
    options |= {"client": client} if client is not None else {"workers": trial.workers}
    call = getattr(blockwise, NAMES.get(trial.operation, trial.operation))
    sources: dict[str, Any] = trial.sources
    if folder is not None:
        sources = {name: folder / f"{name}.zarr" for name in sources}
        options |= {"target": folder / "out.zarr"} if trial.operation in WRITING else {"work": folder / "work"}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(blockwise.distance, "_VOXELS", trial.limits["_VOXELS"]))
        stack.enter_context(mock.patch.object(blockwise.trees, "_GROUP", trial.limits["_GROUP"]))
        result = call(**sources, **options)
    if hasattr(result, "uri"):
        with result:
            return result[...]
    return result


def put(trial: Trial, folder: Path) -> None:
    """Its volumes, in files."""
    for name, array in trial.sources.items():
        with emfast.open_volume(folder / f"{name}.zarr", mode="x", shape=array.shape, dtype=array.dtype) as volume:
            volume[...] = array


def same(a: Any, b: Any) -> bool:
    if isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


# ---- kills


class Mortal:
    """A process of its own that does trials in children; with a kill, the child dies so at that moment.

    It holds all modules and no threads, so that a child is there at once.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()

    def run(self, trial: Trial, folder: Path, kill: tuple[int, float]) -> bool:
        """Whether it was killed; it may have come to its end before."""
        self.ours.send((trial, folder, kill))
        if not self.ours.poll(120):
            raise TimeoutError(f"{trial} hangs")
        status = self.ours.recv()
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{trial} ended with {status} before it was killed")
        return status != 0

    def close(self) -> None:
        self.ours.send(None)
        self.process.join()


def _serve(connection: Any) -> None:
    import zarr  # noqa: F401 - once for all

    while (asked := connection.recv()) is not None:
        pid = os.fork()
        if pid == 0:
            _die_in(*asked)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _die_in(trial: Trial, folder: Path, kill: tuple[int, float]) -> None:
    status = 1
    try:
        found(trial, folder, progress=_Doomed(*kill, os.getpid()))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class _Doomed:
    """Kills a process so many tidings and seconds from now."""

    def __init__(self, steps: int, seconds: float, pid: int) -> None:
        self.steps, self.seconds, self.pid = itertools.count(-steps), seconds, pid
        self(0, 0)

    def __call__(self, *_: int) -> None:
        if next(self.steps) != 0:
            return
        if self.seconds == 0:
            self._kill()
        else:
            timer = threading.Timer(self.seconds, self._kill)
            timer.daemon = True
            timer.start()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # a worker that has ended by itself
            os.kill(self.pid, signal.SIGKILL)


# ---- runs


class Runs:
    """Trials one after another; what they need is made when the first asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stack, self.dask = folder, ExitStack(), ExitStack()
        self.mortal: Mortal | None = None
        self.client: Any = None
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: Any) -> None:
        self.dask.close()
        self.stack.close()

    def run(self, trial: Trial) -> bool:
        """Whether it gave the same."""
        right = wanted(trial)
        if trial.engine == "memory":
            result = found(trial)
        else:
            folder = self.folder / f"{trial.number}-{trial.operation}"
            folder.mkdir()
            put(trial, folder)
            try:
                result = self._on_cluster(trial, folder) if trial.engine == "cluster" else self._in_files(trial, folder)
            finally:
                shutil.rmtree(folder)
        self.counts.update([trial.operation, trial.engine, "all"])
        return same(result, right)

    def _in_files(self, trial: Trial, folder: Path) -> Any:
        for kill in trial.kills:
            if self.mortal is None:
                self.mortal = Mortal()
                self.stack.callback(self.mortal.close)
            self.counts["kills"] += self.mortal.run(trial, folder, kill)
        return found(trial, folder)

    def _on_cluster(self, trial: Trial, folder: Path) -> Any:
        client = self._cluster()
        progress = None
        for steps, seconds in trial.kills:
            pids = [worker.pid for worker in client.cluster.workers.values() if worker.pid]
            if len(pids) < 2:  # one that was killed before has not come again in time
                client = self._cluster(anew=True)
                pids = [worker.pid for worker in client.cluster.workers.values()]
            progress = _Doomed(steps, seconds, pids[trial.number % 2])
            self.counts["kills of workers"] += 1
        return found(trial, folder, client, progress)

    def _cluster(self, anew: bool = False) -> Any:
        if self.client is None or anew:
            import distributed

            self.dask.close()
            options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
            cluster = self.dask.enter_context(distributed.LocalCluster(2, threads_per_worker=1, **options))
            self.client = self.dask.enter_context(distributed.Client(cluster))
        return self.client


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, help="the first number; by default one of the clock")
    parser.add_argument("--no-cluster", action="store_true", help="without Dask")
    asked = parser.parse_args(words)
    first = time.time_ns() // 10**6 if asked.first is None else asked.first
    different, begun = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Runs(Path(folder)) as runs:
        for number in range(first, first + asked.count):
            trial = trial_of(number, cluster=not asked.no_cluster)
            try:
                right = runs.run(trial)
            except Exception:
                traceback.print_exc()
                right = False
            if not right:
                different.append(number)
                print(f"DIFFERENT {trial}", flush=True)
            if (number - first + 1) % 100 == 0:
                print(f"{number - first + 1} trials, {len(different)} different, {runs.counts}", flush=True)
        seconds = time.monotonic() - begun
        print(f"{asked.count} trials from {first}, {len(different)} different, {seconds:.0f} s: {dict(runs.counts)}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
