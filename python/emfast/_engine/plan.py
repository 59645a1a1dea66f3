"""How a volume is cut so that the work fits into memory: sides of blocks, and how many are worked on at once."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _native
from .._options import integer_of
from .grid import Grid, is_lazy, sides_of_block

NEW = 200 * 10**6  # bytes of a worker before its first block: the interpreter, NumPy, Dask
KEPT = 1 << 25  # bytes: glibc gives larger arrays back to the system, and keeps smaller ones of each thread for later
LITTLE = 1 << 23  # and where it was told to keep little, as it is under a bound
LATE = 1 << 23  # bytes of modules that are imported when the first block needs them
AIM = 1 << 24  # voxels of a block where nothing else decides: 256³
MOST = 1 << 27  # and where there is memory for more: 512³; larger ones save nothing any more
_THICK = 32  # planes: a halo of one voxel on both sides is a sixteenth
_MANY = 8
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True)
class Team:
    """Who works: ``all`` at once, ``of_one`` in each process. ``base`` is what that holds before, None if it is new."""

    all: int
    of_one: int
    base: int | None
    fixed: bool = True  # whether fewer at once are not to be had


def team_here(workers: int | None) -> Team:
    """The threads of this process."""
    n = _native.get_threads() if workers is None else integer_of(workers, "workers", 1, 4096)
    return Team(n, n, _resident(), fixed=False)


@dataclass(frozen=True)
class Plan:
    """What a run over blocks will do.

    Attributes
    ----------
    grid : Grid
    workers : int
        How many blocks are worked on at once.
    threads : int
        How many threads the calls of emfast in each may use.
    cost : float
        Bytes for each voxel of a block with its halo.
    files : int
        Bytes for each worker beside those: a file of each target, packed.
    base : int
        Bytes that the process held before.
    memory : int or None
        The bound that was asked for.
    kept : int
        The most that the C library keeps of what each worker gave back.
    """

    grid: Grid
    workers: int
    threads: int
    cost: float
    files: int
    base: int
    memory: int | None
    kept: int = KEPT

    @property
    def block(self) -> tuple[int, ...]:
        """Sides of a block."""
        return self.grid.block

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.grid)

    @property
    def bytes(self) -> int:
        """The most that the process will hold."""
        return self.base + LATE + _together(self.grid, self.workers, self.cost, self.files, self.kept)

    def __str__(self) -> str:
        sides = " x ".join(map(str, self.block))
        halo = "" if not any(map(any, self.grid.halo)) else f" with a halo of {_halo_words(self.grid.halo)}"
        bound = "" if self.memory is None else f" of {in_words(self.memory)}"
        return (
            f"{self.blocks:,} blocks of {sides} voxels{halo}, {self.workers} at once "
            f"with {self.threads} {'thread' if self.threads == 1 else 'threads'} each, "
            f"at most {in_words(self.bytes)}{bound} of memory"
        )


def make_plan(
    sources: Mapping[str, Any],
    targets: Mapping[str, Any],
    shape: tuple[int, ...],
    block: Any,
    halo: Any,
    memory: str | float | None,
    cost: float | None,
    team: Team,
) -> Plan:
    """The blocks asked for, else as large as memory lets; fewer at once where even the smallest are too many."""
    bound = None if memory is None else bytes_of(memory)
    per_voxel = _cost_of([*sources.values(), *targets.values()], len(shape)) if cost is None else float(cost)
    files = _files_of(targets, len(shape)) if cost is None else 0
    if not per_voxel > 0:
        raise ValueError(f"cost must be above 0 bytes for each voxel, got {cost!r}")
    base = NEW if team.base is None else team.base
    kept = KEPT if bound is None else LITTLE
    counts = (team.of_one,) if team.fixed else range(team.of_one, 0, -1)

    def fits(sides: Sequence[int], at_once: int, held: int) -> bool:
        if bound is None:
            return True
        return held + _together(Grid(shape, sides, halo), at_once, per_voxel, files, kept) <= bound

    if isinstance(block, str):
        if block != "auto":
            raise ValueError(f"block must be 'auto' or sides of a block, got {block!r}")
        held = base if bound is None else _share(bound, base)
        unit = _unit_of(targets, shape)
        chunked = _with_chunks(unit, sources, shape)
        unit = chunked if fits(chunked, counts[-1], held) else unit
        at_once = next((k for k in counts if fits(unit, k, held)), counts[-1])
        together = at_once * (team.all // team.of_one)
        sides = _grown(unit, shape, MOST if bound else AIM, lambda s: fits(s, at_once, held), together)
        volumes = [*sources.values(), *targets.values()]
        if volumes and all(isinstance(volume, np.ndarray) for volume in volumes):
            slabs = _slabs(sides, shape, together)
            sides = slabs if fits(slabs, at_once, held) and len(Grid(shape, slabs)) >= together else sides
    else:
        sides = sides_of_block(block, len(shape))
        _check_aligned(sides, shape, targets)
        at_once = next((k for k in counts if fits(sides, k, base + LATE)), counts[-1])
    grid = Grid(shape, sides, halo)
    at_once = max(1, min(at_once, len(grid)))
    plan = Plan(grid, at_once, max(1, _native.get_threads() // at_once), per_voxel, files, base, bound, kept)
    if bound is not None and plan.bytes > bound:
        raise ValueError(
            f"memory must be at least {in_words(plan.bytes)} for blocks of {grid.block}, got {in_words(bound)}: "
            f"{in_words(base)} are held already and a block takes {in_words(plan.bytes - base)}"
        )
    return plan


def _share(bound: int, base: int) -> int:
    """What a process will hold beside blocks, with room for modules and small tables; as a share of the bound, so that
    the blocks do not differ from run to run by what it happens to hold."""
    held = base + LATE + 2 * LITTLE
    return next((bound // k for k in (8, 4, 2) if held <= bound // k), held)


def most_voxels(memory: str | float, workers: int, cost: float) -> int:
    """How many voxels a block may have at so many bytes each, that so many blocks fit into memory."""
    bound = bytes_of(memory)
    room = (bound - _share(bound, _resident())) / workers - LITTLE
    return max(1, int(room / cost))


def _together(grid: Grid, workers: int, cost: float, files: int, kept: int) -> int:
    """Bytes of so many workers: the largest blocks, files, and what the C library keeps of what was given back."""
    blocks = (cost * voxels for voxels in _most_voxels(grid, workers))
    return math.ceil(sum(block + min(block, kept) for block in blocks)) + workers * files


def _most_voxels(grid: Grid, workers: int) -> list[int]:
    """Of the largest outer boxes, one for each worker; of many blocks nearly all are as large as the largest."""
    if workers > _MANY:
        return [math.prod(grid.largest)] * workers
    axes = []
    for n, side, count, (before, after), most in zip(
        grid.shape, grid.block, grid.counts, grid.halo, grid.largest, strict=True
    ):
        cuts = range(count) if count <= 2 * _MANY else ()
        lengths = [min(n, (k + 1) * side + after) - max(0, k * side - before) for k in cuts] or [most] * workers
        axes.append(sorted(lengths, reverse=True)[:workers])
    sizes = sorted(map(math.prod, itertools.product(*axes)), reverse=True)
    return (sizes + [0] * workers)[:workers]


def keep_little() -> None:
    """From now on the C library gives all but small arrays back to the system when they are freed."""
    with suppress(AttributeError, OSError):  # not glibc
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LITTLE // 2)
        library.mallopt(_TRIM_THRESHOLD, LITTLE)


def bytes_of(memory: str | float) -> int:
    """A number of bytes; "4GB" is 4·10⁹ of them, "4GiB" 4·2³⁰."""
    if isinstance(memory, (int, float)) and not isinstance(memory, bool) and memory > 0 and math.isfinite(memory):
        return int(memory)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", str(memory).upper())
    if not isinstance(memory, str) or not found or found[2] == "I" or not float(found[1]):
        raise ValueError(f"memory must be like '4GB', '500MB' or a number of bytes, got {memory!r}")
    return int(float(found[1]) * _UNITS[found[2]])


def in_words(n: float) -> str:
    """A number of bytes as people say it."""
    for unit, words in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n >= unit:
            return f"{n / unit:.3g} {words}"
    return f"{n:.0f} bytes"


def _cost_of(volumes: Sequence[Any], dims: int) -> float:
    """What is read and written for each voxel, and a quarter of that for a little scratch."""
    per_voxel = sum(np.dtype(v.dtype).itemsize * math.prod(v.shape[: len(v.shape) - dims]) for v in volumes)
    return max(1.0, 1.25 * per_voxel)


def _files_of(targets: Mapping[str, Any], dims: int) -> int:
    """Bytes of a file of each target: packed it is hardly larger than its voxels."""
    total = 0
    for target in targets.values():
        sides = file_sides(target, dims)
        lead = math.prod(target.shape[: len(target.shape) - dims])
        total += 0 if sides is None else np.dtype(target.dtype).itemsize * lead * math.prod(sides)
    return total


def _unit_of(targets: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest sides of blocks: files of the targets are whole."""
    unit = (1,) * len(shape)
    for target in targets.values():
        unit = _common(unit, file_sides(target, len(shape)), shape)
    return unit


def _with_chunks(unit: tuple[int, ...], sources: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides for which files of the sources too are read once, where that does not make large blocks."""
    for source in sources.values():
        common = _common(unit, file_sides(source, len(shape)) if is_lazy(source) else None, shape)
        if math.prod(common) <= max(AIM, math.prod(unit)):
            unit = common
    return unit


def _common(unit: tuple[int, ...], sides: Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(math.lcm(a, b), max(1, n)) for a, b, n in zip(unit, sides or unit, shape, strict=True))


def file_sides(volume: Any, dims: int) -> tuple[int, ...] | None:
    """The last sides of what lies in one file: a shard, else a chunk; None of arrays in memory."""
    for name in ("shards", "chunks"):
        sides = getattr(volume, name, None)
        if isinstance(sides, tuple) and all(isinstance(side, (int, np.integer)) for side in sides):
            return tuple(int(side) for side in sides[len(sides) - dims :])
    return None


def _check_aligned(sides: tuple[int, ...], shape: tuple[int, ...], targets: Mapping[str, Any]) -> None:
    for name, target in targets.items():
        unit = file_sides(target, len(shape))
        if unit and any(side % u and side < n for side, u, n in zip(sides, unit, shape, strict=True)):
            raise ValueError(f"block must be a multiple of {unit}, which lie in one file of {name}, got {sides}")


def _grown(unit: tuple[int, ...], shape: tuple[int, ...], most: int, fits: Any, at_once: int) -> tuple[int, ...]:
    """Whole units, doubled along the shortest side while they fit and there are enough for all workers."""
    sides = unit
    while True:
        open_axes = [axis for axis in range(len(shape)) if sides[axis] < shape[axis]]
        for axis in sorted(open_axes, key=lambda axis: sides[axis]):
            longer = tuple(2 * s if a == axis else s for a, s in enumerate(sides))
            longer = tuple(min(s, max(1, -(-n // u)) * u) for s, n, u in zip(longer, shape, unit, strict=True))
            enough = len(Grid(shape, longer)) >= at_once
            if math.prod(map(min, longer, shape)) <= most and enough and fits(longer):
                sides = longer
                break
        else:
            return sides


def _slabs(sides: tuple[int, ...], shape: tuple[int, ...], at_once: int) -> tuple[int, ...]:
    """Blocks of as many voxels, or so many that no worker waits long for another, that are whole planes where these are
    thick: in memory such a block lies side by side, and need not be copied to be worked on."""
    depth = math.prod(map(min, sides, shape)) // max(1, math.prod(shape[1:]))
    depth = min(depth, max(_THICK, -(-shape[0] // (2 * at_once))))
    return (depth, *(max(1, n) for n in shape[1:])) if depth >= _THICK else sides


def _halo_words(halo: tuple[tuple[int, int], ...]) -> str:
    if all(pair == (halo[0][0],) * 2 for pair in halo):
        return str(halo[0][0])
    return ", ".join(f"{a}" if a == b else f"{a}+{b}" for a, b in halo)


def _resident() -> int:
    """Bytes of memory that this process holds, less what the C library keeps of memory that was given back."""
    with suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:  # not Linux
        return 0
    import resource

    return pages * resource.getpagesize()


__all__ = ["Plan", "bytes_of", "file_sides", "in_words", "keep_little", "make_plan", "most_voxels"]
