"""Volumes larger than memory, block by block: a function is called with each block, on threads or on a cluster.

The result never depends on the order of blocks, on the number of workers or on what works on them.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ._engine.grid import Block, Grid
from ._engine.identity import check_apart, in_memory, job_words, local_path, volume_words
from ._engine.job import Job, Made, Outcome, takes_where
from ._engine.journal import Journal, about_of
from ._engine.plan import Plan, Team, keep_little, make_plan, team_here
from ._engine.reduce import combiner
from ._engine.threads import Engine, Queue, drive, threads_engine
from ._engine.values import Kept, Results, Values, wrong_block
from ._locks import lock
from ._options import integer_of
from ._progress import shown
from .errors import BlocksFailed


def map_blocks(
    fn: Callable[..., Any],
    source: Any,
    target: Any = None,
    *,
    shape: Sequence[int] | None = None,
    block: Sequence[int] | int | str = "auto",
    halo: Any = 0,
    client: Any = None,
    journal: str | os.PathLike[str] | bool | None = None,
    memory: str | float | None = None,
    cost: float | None = None,
    workers: int | None = None,
    retries: int = 2,
    keep_going: bool = False,
    on_corrupt: str = "error",
    order: Iterable[int] | None = None,
    after: Callable[[Block], Iterable[int]] | None = None,
    reduce: str | Callable[[Any, Any], Any] | None = None,
    progress: bool | str | Callable[[int, int], object] | None = None,
) -> Any:
    """Call a function with every block of a volume; write what it makes, or bring its values together.

    Parameters
    ----------
    fn : callable
        Called with the voxels of a block and the halo around it, as far as the volume goes: ``fn(voxels)``, with a
        tuple of sources ``fn(a, b)``, with a dict ``fn(raw=a, mask=b)``, without sources ``fn()``. Where it has a
        parameter ``where`` without a default it is told its :class:`Block`. With a target it returns the voxels of the
        core, or those of the outer box, whose halo is then cut off; a tuple of them for a tuple of targets; or
        :class:`Made`, these and a value. Without a target what it returns is its value. It must give the same whenever
        it is called.
    source : array, Volume, str, tuple, dict or None
        Anything with a shape that can be sliced, or where it lies. Blocks are cut from the last axes; axes before them,
        as the channels of affinities, are never cut.
    target : array, Volume, str or tuple of them, optional
        Written block by block.
    shape : sequence of int, optional
        Of the volume that is cut: the last axes of all sources and targets. Needed where there are none; elsewhere as
        many axes are cut as ``block`` has sides or the array with the fewest has axes, at most three.
    block : sequence of int, int or "auto"
        Sides of a block. Each must be a multiple of the target's shard (or chunk) or reach the volume's end: no two
        blocks write to one file. "auto" takes whole shards, as many as ``memory`` lets.
    halo : int, sequence of int or of pairs
        Voxels that are read around each block: one number, one for each axis, or before and after in each.
    client : distributed.Client, optional
        The Dask cluster whose workers do the blocks, by default threads of this process. Sources and targets must be
        where all workers can open them. ``with dask.annotate(resources={"GPU": 1}):`` around the call asks for workers
        that have these.
    journal : path or True, optional
        A file of finished blocks, with what they wrote and their values; True is ``<target>.journal``. The same call
        after a crash does only what is missing. A journal of another job is refused: another function (or another
        helper or CONSTANT of its module), options, sources (or files of theirs that were written since), targets or
        blocks; so is one that is in use.
    memory : str or number, optional
        A bound like "4GB" for all that this process holds, or each worker of a cluster. The blocks, and how many are
        worked on at once, follow.
    cost : float, optional
        Bytes that a call takes for each voxel of its outer box, all told; by default what it reads and writes and a
        quarter more, beside a packed file of each target: enough for a function without much scratch.
    workers : int, optional
        How many blocks are worked on at once; by default as many as emfast may use threads, and in a cluster what it
        has. Calls of emfast in a block use fewer threads, so that all together are no more than that.
    retries : int
        How often a block that fails is tried again.
    keep_going : bool
        Do the others before those that failed are told: in the result, or where values are reduced by BlocksFailed,
        whose ``result`` is that of the others.
    on_corrupt : "error" or "skip"
        What a damaged piece of a source is: a block that fails; or zeros, told in the result and by a warning.
    order : iterable of int, optional
        A permutation of the blocks; by default raster order. No result depends on it.
    after : callable, optional
        The numbers of the blocks that must be done before a :class:`Block` begins.
    reduce : "+" or callable, optional
        Bring the values together: in pairs of block order, so the result is the same in every run. None where there are
        no blocks.
    progress : bool, str or callable, optional
        True or words show a bar in a terminal or notebook; else it is called with the number of blocks done and of all.

    Returns
    -------
    Results or object
        The values in block order, a list; where ``reduce`` is given, what they make.

    Raises
    ------
    BlocksFailed
        A block failed after all its tries.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.blocks import map_blocks
    >>> volume, doubled = np.arange(24).reshape(4, 6), np.zeros((4, 6), int)
    >>> map_blocks(lambda voxels: 2 * voxels, volume, doubled, block=(2, 3))
    [None, None, None, None]
    >>> int(doubled.sum()), int(map_blocks(np.sum, volume, block=(2, 3), reduce="+"))
    (552, 276)
    """
    retries = integer_of(retries, "retries", 0)
    if on_corrupt not in ("error", "skip"):
        raise ValueError(f"on_corrupt must be 'error' or 'skip', got {on_corrupt!r}")
    combine = None if reduce is None else combiner(reduce)
    with ExitStack() as stack:
        called, sources = _named_sources(source, stack)
        targets = _named_targets(target, stack)
        path = _journal_path(journal, targets)
        whole = _common_shape(_all(sources, targets), shape, block)
        if isinstance(block, str) and path and (before := about_of(path)):
            block = before.get("block", block)  # "auto" goes on with the blocks that it chose
        team = _team_of(client, _all(sources, targets), workers)
        plan = make_plan(sources, targets, whole, block, halo, memory, cost, team)
        if plan.memory is not None and client is None:  # the workers of a cluster do so by Dask
            keep_little()
        job = Job(fn, called, sources, targets, plan.grid, takes_where(fn), on_corrupt == "skip", path is not None)
        wide = any(side for pair in plan.grid.halo for side in pair)
        # In memory each block may be written where it was read, as long as no other block reads it too.
        around = {name: source for name, source in sources.items() if not in_memory(source) or wide}
        for name, volume in targets.items():
            check_apart(volume, name, around)
            _lock(name, volume, stack)
        values: Values | Kept = Values(len(plan.grid), combine)
        if path:
            values = Kept(stack.enter_context(_journal_of(job, path)), combine)
            values.check(job)
        engine = threads_engine(job, plan) if client is None else _dask_engine(client, job, stack)
        show = stack.enter_context(shown(progress, values.done.count(1)))
        return _run(job, engine, values, order, after, retries, keep_going, show)


def plan_blocks(
    source: Any,
    target: Any = None,
    *,
    shape: Sequence[int] | None = None,
    block: Sequence[int] | int | str = "auto",
    halo: Any = 0,
    memory: str | float | None = None,
    cost: float | None = None,
    client: Any = None,
    workers: int | None = None,
) -> Plan:
    """What :func:`map_blocks` would do with the same arguments: the blocks, how many at once, the memory.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.blocks import plan_blocks
    >>> plan = plan_blocks(np.zeros((64, 64, 64), "u1"), block=32, halo=2, workers=2)
    >>> len(plan.grid), plan.workers
    (8, 2)
    """
    with ExitStack() as stack:
        _, sources = _named_sources(source, stack)
        targets = _named_targets(target, stack)
        whole = _common_shape(_all(sources, targets), shape, block)
        team = _team_of(client, _all(sources, targets), workers)
        return make_plan(sources, targets, whole, block, halo, memory, cost, team)


def check_blocks(
    target: Any,
    *,
    journal: str | os.PathLike[str] | bool = True,
    forget: bool = False,
    progress: bool | str | Callable[[int, int], object] | None = None,
) -> tuple[Block, ...]:
    """The finished blocks of a journal that no longer hold what was written.

    Parameters
    ----------
    target : Volume, array, str or tuple of them
        As :func:`map_blocks` was given it.
    journal : path or True
        Of that run.
    forget : bool
        Take these blocks out of the journal: the next run does them again.
    progress : bool, str or callable, optional
        As of :func:`map_blocks`.
    """
    with ExitStack() as stack:
        targets = _named_targets(target, stack, "r")
        path = _journal_path(journal, targets)
        about = None if path is None else about_of(path)
        if path is None or about is None:
            raise FileNotFoundError(f"journal must be that of a run, there is none at {path}")
        grid = Grid(about["shape"], about["block"])
        about["targets"] = {name: volume_words(volume) for name, volume in targets.items()}
        kept = stack.enter_context(Journal(path, about, len(grid)))
        show = stack.enter_context(shown(progress, 0))
        wrong = []
        for index, done in enumerate(kept.done):
            if done and wrong_block(targets, grid, kept, index):
                wrong.append(index)
            show(index + 1, len(grid))
        if forget:
            kept.forget(wrong)
        return tuple(grid[index] for index in wrong)


def verified(volume: Any, *, journal: str | os.PathLike[str] | bool = True) -> Any:
    """A volume that a run wrote, to be the source of another: what it holds is compared with the journal as it is read.

    The checksums in a store find bits that have changed; those of the journal also find chunks that were put in each
    other's place, or are those of another run. A box that covers a block of that run, or lies within one, and that does
    not hold what was written is CorruptData.

    Parameters
    ----------
    volume : Volume or str
    journal : path or True
        Of the run that wrote it.
    """
    from ._engine.verified import Verified

    opened = _opened(volume, "volume", "r", ExitStack())
    path = _journal_path(journal, {"volume": opened})
    assert path is not None
    return Verified(opened, path)


def _run(
    job: Job,
    engine: Engine,
    values: Values | Kept,
    order: Iterable[int] | None,
    after: Callable[[Block], Iterable[int]] | None,
    retries: int,
    keep_going: bool,
    show: Callable[[int, int], object],
) -> Any:
    n = len(job.grid)
    first = _order_of(order, n)
    queue = Queue(first, values.done, None if after is None else lambda index: after(job.grid[index]))
    count = values.done.count(1)

    def record(ended: list[tuple[int, Outcome]]) -> None:
        nonlocal count
        if ended:
            values.add(ended)
            count += len(ended)
            show(count, n)

    failed = drive(engine, queue, record, lambda i: job.grid[i].core, retries=retries, keep_going=keep_going)
    if failed and not keep_going:
        raise BlocksFailed(failed, n) from failed[0].cause
    result = values.result(failed)
    if failed and not isinstance(result, Results):
        raise BlocksFailed(failed, n, result) from failed[0].cause
    return result


def _team_of(client: Any, volumes: Mapping[str, Any], workers: int | None) -> Team:
    if client is None:
        return team_here(workers)
    if workers is not None:
        raise ValueError(f"workers must be left to the cluster where there is a client, got {workers!r}")
    dask = _dask()
    dask.check_client(client, volumes)
    most, of_one = dask.threads_of(client)
    return Team(most, of_one, base=None)


def _dask_engine(client: Any, job: Job, stack: ExitStack) -> Engine:
    return stack.enter_context(_dask().Dask(client, job))


def _dask() -> Any:
    from importlib import import_module

    try:
        return import_module(f"{__package__}._engine.cluster")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(__package__):
            raise
        raise ModuleNotFoundError(f"client needs {error.name}: pip install 'emfast[scale]'", name=error.name) from None


def _journal_path(journal: Any, targets: Mapping[str, Any]) -> str | None:
    if journal is None or journal is False:
        return None
    for name, target in targets.items():
        if in_memory(target):
            raise ValueError(f"{name} must lie in a file for a journal, got an array in memory")
        try:
            pickle.dumps(target)
        except TypeError as error:  # a file that appears when it is closed
            raise ValueError(f"{name} must be there already for a journal: {error}") from error
    if journal is not True:
        return os.fspath(journal)
    place = local_path(next(iter(targets.values()))) if targets else None
    if place is None:
        raise ValueError("journal must be a path where there is no target on this machine, got True")
    path, name = place
    return f"{path}{'.' if name else ''}{re.sub('[:/]+', '.', name)}.journal"


def _journal_of(job: Job, path: str) -> Journal:
    from . import __version__

    return Journal(path, job_words(job, __version__), len(job.grid))


def _lock(name: str, target: Any, stack: ExitStack) -> None:
    """A folder that is written by one run alone. Files of other kinds have locks of their own, or none."""
    place = local_path(target)
    folder = os.path.join(*filter(None, place)) if place else ""
    if os.path.isdir(folder):
        file = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, file)
        lock(file, f"{name} {folder}")


def _named_sources(source: Any, stack: ExitStack) -> tuple[str, dict[str, Any]]:
    """How the function takes its sources, and these by the names that messages use."""
    if source is None:
        return "many", {}
    if isinstance(source, Mapping):
        return "names", {str(name): _opened(part, f"source {name!r}", "r", stack) for name, part in source.items()}
    if isinstance(source, (tuple, list)):
        return "many", {f"source {i}": _opened(part, f"source {i}", "r", stack) for i, part in enumerate(source)}
    return "one", {"source": _opened(source, "source", "r", stack)}


def _named_targets(target: Any, stack: ExitStack, mode: str = "r+") -> dict[str, Any]:
    if target is None:
        return {}
    if isinstance(target, (tuple, list)):
        return {f"target {i}": _opened(part, f"target {i}", mode, stack) for i, part in enumerate(target)}
    return {"target": _opened(target, "target", mode, stack)}


def _opened(volume: Any, name: str, mode: str, stack: ExitStack) -> Any:
    """An array as it is; what a path or address names is opened, and closed in the end."""
    if isinstance(volume, str) or hasattr(volume, "__fspath__"):
        from .volumes import open_volume

        return stack.enter_context(open_volume(volume, mode=mode))
    if not (hasattr(volume, "shape") and hasattr(volume, "dtype") and hasattr(volume, "__getitem__")):
        raise TypeError(f"{name} must be an array, a volume or where it lies, got {type(volume).__name__}")
    return volume


def _all(sources: Mapping[str, Any], targets: Mapping[str, Any]) -> dict[str, Any]:
    """By names that tell them apart, whatever the user's are."""
    named = {f"source {name!r}" if name in targets else name: volume for name, volume in sources.items()}
    return {**named, **targets}


def _common_shape(volumes: Mapping[str, Any], shape: Sequence[int] | None, block: Any) -> tuple[int, ...]:
    """Of the last axes that all have in common; those are cut."""
    if shape is not None:
        whole = tuple(integer_of(n, "shape", 0) for n in shape)
    elif not volumes:
        raise ValueError("shape must be given where there is neither source nor target")
    else:
        dims = min(3, *(_spatial(volume) for volume in volumes.values()))
        if hasattr(block, "__len__") and not isinstance(block, str):
            dims = min(dims, len(block))
        whole = tuple(next(iter(volumes.values())).shape)
        whole = whole[len(whole) - dims :]
    for name, volume in volumes.items():
        found = tuple(volume.shape)
        if found[max(0, len(found) - len(whole)) :] != whole:
            raise ValueError(f"{name} must end in the axes {whole} that are cut into blocks, got shape {found}")
    return whole


def _spatial(volume: Any) -> int:
    """How many axes are of space, at most."""
    axes = getattr(volume, "axes", None)
    return sum(axis in "zyx" for axis in axes) if isinstance(axes, str) else len(volume.shape)


def _order_of(order: Iterable[int] | None, n: int) -> Iterator[int]:
    if order is None:
        return iter(range(n))
    given = np.fromiter(order, np.int64)
    if not np.array_equal(np.sort(given), np.arange(n)):
        raise ValueError(f"order must hold each of {n} blocks once, got {len(given)} numbers")
    return map(int, given)


__all__ = [
    "Block",
    "Grid",
    "Made",
    "Plan",
    "Results",
    "check_blocks",
    "map_blocks",
    "plan_blocks",
    "verified",
]
