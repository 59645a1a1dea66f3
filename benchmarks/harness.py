"""Measures a call beside its peers.

Rules: one process, the same arrays; the first call of each contender is not timed but checked against
emfast's answer; then the contenders take turns, so that a noisy minute hits all of them; medians of k rounds (one
round where a call takes more than ten seconds). Peak memory is what the kernel saw in a forked child: VmHWM reset
through /proc/self/clear_refs, minus what was resident before the call, output included. On a GPU times come from
CUDA events.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import statistics
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import emfast

PATIENCE = 10.0  # seconds of one call after which it is not repeated


@dataclass
class Contender:
    """One way to get the answer. ``threads`` is what it uses; 0: a team of its own that outlives the call (OpenMP),
    and so does not survive a fork: its memory is not measured."""

    name: str
    call: Callable[[], Any]
    threads: int = 1
    slow: bool = False


@dataclass
class Case:
    """One line of the table. ``agree(ours, theirs)`` says whether a peer's answer is ours. None among the peers stands
    for one that is not installed."""

    group: str
    name: str
    voxels: int
    ours: Callable[[], Any]
    peers: list[Contender | None]
    agree: Callable[[Any, Any], bool]


@dataclass
class Timing:
    name: str
    threads: int
    seconds: float
    peak: int | None = None  # bytes beyond the input
    agrees: bool = True


@dataclass
class Row:
    group: str
    name: str
    voxels: int
    timings: list[Timing] = field(default_factory=list)
    limit: float | None = None  # seconds the bytes alone would take (device)

    def ours(self, threads: int) -> Timing:
        found = [t for t in self.timings if t.name == "emfast" and t.threads == threads]
        return found[0] if found else next(t for t in self.timings if t.name == "emfast")

    def best_peer(self, *, single: bool) -> Timing | None:
        peers = [t for t in self.timings if t.name != "emfast" and t.agrees and (t.threads == 1 or not single)]
        return min(peers, key=lambda t: t.seconds, default=None)


def optional(module: str) -> Any:
    """A peer's module, None where it is not installed: not all go everywhere that emfast goes."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing on standard output, from compiled code neither."""
    kept = os.dup(1)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def measure(case: Case, *, repeat: int, memory: bool, slow: bool) -> Row:
    """Check, then time. emfast runs with one thread and with all."""
    every = emfast.get_threads()

    def ours(threads: int) -> Callable[[], Any]:
        def call() -> Any:
            emfast.set_threads(threads)
            try:
                return case.ours()
            finally:
                emfast.set_threads(0)

        return call

    contenders = [Contender("emfast", ours(1), 1)]
    if every > 1:
        contenders.append(Contender("emfast", ours(every), every))
    contenders += [peer for peer in case.peers if peer and (slow or not peer.slow)]
    row = Row(case.group, case.name, case.voxels)
    answer, rounds = None, {}
    for k, contender in enumerate(contenders):
        start = time.perf_counter()
        result = contender.call()
        rounds[k] = repeat if time.perf_counter() - start < PATIENCE else 1
        if answer is None:
            answer = result
        agrees = k == 0 or bool(case.agree(answer, result))
        row.timings.append(Timing(contender.name, contender.threads or every, 0.0, agrees=agrees))
        del result
    del answer
    times: dict[int, list[float]] = {k: [] for k in rounds}
    for turn in range(max(rounds.values())):
        for k, contender in enumerate(contenders):
            if turn >= rounds[k]:
                continue
            gc.collect()
            start = time.perf_counter()
            result = contender.call()
            times[k].append(time.perf_counter() - start)
            del result
    for k, timing in enumerate(row.timings):
        timing.seconds = statistics.median(times[k])
        if memory and contenders[k].threads:
            timing.peak = peak_memory(contenders[k].call)
    return row


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Bytes a call needs at its peak beyond what is there before it; None where the system does not tell."""
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        peak = -1
        with contextlib.suppress(BaseException):
            os.close(read)
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # else the call would find freed memory and seem to need none
            before = _status("VmRSS")
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
            result = call()
            peak = max(0, _status("VmHWM") - before)
            del result
        os.write(write, struct.pack("q", peak))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if len(data) != 8:
        return None
    peak = struct.unpack("q", data)[0]
    return None if peak < 0 else peak


# ---- A GPU -------------------------------------------------------------------------------------------------


def cupy_or_none() -> Any:
    """CuPy where a device answers, emfast was built with CUDA and CuPy is installed."""
    if not emfast.cuda.is_available():
        return None
    try:
        import cupy
    except ImportError:
        return None
    return cupy


def bandwidth() -> float:
    """Bytes a second that a copy on the device reads and writes."""
    cupy = cupy_or_none()
    source = cupy.zeros(1 << 28, cupy.uint8)
    target = cupy.empty_like(source)
    return 2 * source.nbytes / seconds_on_device(lambda: cupy.copyto(target, source), 10)


def seconds_on_device(call: Callable[[], Any], repeat: int) -> float:
    """The median of `repeat` calls between CUDA events, after one to warm up."""
    cupy = cupy_or_none()
    call()
    times = []
    for _ in range(repeat):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        result = call()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 1e3)
        del result
    return statistics.median(times)


@dataclass
class DeviceCase:
    """A line of the device's table. ``bytes_per_voxel`` is the least an algorithm must move."""

    group: str
    name: str
    voxels: int
    ours: Callable[[], Any]
    peers: list[Contender]
    expected: Callable[[], Any]  # the host's answer
    agree: Callable[[Any, Any], bool]
    bytes_per_voxel: float


def measure_on_device(case: DeviceCase, *, repeat: int, speed: float) -> Row:
    row = Row(case.group, case.name, case.voxels, limit=case.voxels * case.bytes_per_voxel / speed)
    expected = case.expected()
    for contender in [Contender("emfast", case.ours), *case.peers]:
        agrees = bool(case.agree(expected, to_host(contender.call())))
        row.timings.append(Timing(contender.name, 1, seconds_on_device(contender.call, repeat), agrees=agrees))
    return row


def to_host(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(to_host(part) for part in result)
    return result.get() if hasattr(result, "get") and hasattr(result, "dtype") else result


# ---- Agreement ---------------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    """Equal in every element, whatever the dtypes."""
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """The same components, perhaps under other numbers; 0 is background in both."""
    if int(a.max(initial=0)) != int(b.max(initial=0)):
        return False
    table = np.zeros(int(a.max(initial=0)) + 1, np.int64)
    table[a.ravel()] = b.ravel()
    return table[0] == 0 and bool((table[a] == b).all())


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Distances alike to one part in 10^5, infinities included."""
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-4))


# ---- The table ---------------------------------------------------------------------------------------------


def table(rows: Iterable[Row], threads: int) -> str:
    """Markdown, a row per case."""
    lines = [
        "| work | emfast, 1 thread | Mvoxel/s | best peer, 1 thread | ratio "
        f"| emfast, {threads} threads | best peer, any | ratio | MiB beyond input (peer) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one, every = row.ours(1), row.ours(threads)
        peer, any_peer = row.best_peer(single=True), row.best_peer(single=False)
        wrong = "".join(f" ({t.name} disagrees)" for t in row.timings if not t.agrees)
        lines.append(
            f"| {row.name}{wrong} | {_seconds(one)} | {row.voxels / one.seconds / 1e6:.0f} "
            f"| {_named(peer)} | {_ratio(peer, one)} | {_seconds(every)} | {_named(any_peer)} "
            f"| {_ratio(any_peer, every)} | {_mebibytes(one)} ({_mebibytes(peer)}) |"
        )
    return "\n".join(lines)


def device_table(rows: Iterable[Row]) -> str:
    lines = [
        "| work | emfast | Gvoxel/s | best peer | ratio | limit by bytes | share of the limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one, peer = row.ours(1), row.best_peer(single=False)
        wrong = "".join(f" ({t.name} disagrees)" for t in row.timings if not t.agrees)
        limit = row.limit or 0.0
        lines.append(
            f"| {row.name}{wrong} | {one.seconds * 1e3:.2f} ms | {row.voxels / one.seconds / 1e9:.1f} "
            f"| {f'{peer.name} {peer.seconds * 1e3:.2f} ms' if peer else '-'} | {_ratio(peer, one)} "
            f"| {limit * 1e3:.2f} ms | {100 * limit / one.seconds:.0f} % |"
        )
    return "\n".join(lines)


def _seconds(timing: Timing) -> str:
    return f"{timing.seconds:.3f} s"


def _named(timing: Timing | None) -> str:
    return "-" if timing is None else f"{timing.name} {timing.seconds:.3f} s"


def _ratio(peer: Timing | None, ours: Timing) -> str:
    return "-" if peer is None else f"{peer.seconds / ours.seconds:.1f}x"


def _mebibytes(timing: Timing | None) -> str:
    return "-" if timing is None or timing.peak is None else f"{timing.peak / 2**20:.0f}"
