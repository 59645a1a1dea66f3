"""One operation over the blocks of a volume: the same blocks in each of its passes, and a place for what they leave."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .._engine.identity import check_apart, parted, source_words
from .._engine.journal import remove
from .._engine.mended import Notes, mended
from .._engine.plan import Plan
from .._files import beside as written_beside
from .._locks import alone
from ..blocks import Grid, map_blocks, plan_blocks, verified
from ..errors import AnotherJob
from ._shelf import Shelf

_CHUNK = 64  # voxels along an axis
_MARK = "emfast.txt"  # in a folder that a run made: for what
_KIND = "an operation in blocks of emfast"


@dataclass(frozen=True)
class Engine:
    """The options of :func:`emfast.map_blocks` that every operation in blocks has.

    ``on_corrupt`` is "error", "skip" or the notes of a caller who tells by itself what was skipped. With ``planned``
    the first pass is planned instead of done.
    """

    client: Any = None
    memory: str | float | None = None
    workers: int | None = None
    retries: int = 2
    on_corrupt: str | Notes = "error"
    order: Iterable[int] | None = None
    progress: Any = None
    planned: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.on_corrupt, Notes) and self.on_corrupt not in ("error", "skip"):
            raise ValueError(f"on_corrupt must be 'error' or 'skip', got {self.on_corrupt!r}")

    @staticmethod
    def of(options: dict[str, Any]) -> Engine:
        names = [field.name for field in fields(Engine) if field.name != "planned" or "planned" in options]
        for name in options:
            if name not in names:
                raise TypeError(f"{name} is no option of these: block, work, {', '.join(names)}")
        return Engine(**options)


class Planned(Exception):
    """What is raised in the place of a first pass that was to be planned only."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(str(plan))
        self.plan = plan


def plan(operation: Callable[..., Any], *arguments: Any, **options: Any) -> Plan:
    """What an operation of this package would do with these arguments: the blocks of its first pass, how many of them
    at once, and the memory. Nothing is read but headers, nothing is written.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> plan = emfast.blockwise.plan(emfast.blockwise.dust, np.zeros((64, 64, 64), bool), block=32, workers=2)
    >>> plan.blocks, plan.block, plan.workers
    (8, (32, 32, 32), 2)
    """
    try:
        operation(*arguments, planned=True, **options)
    except Planned as found:
        return found.plan
    raise ValueError(f"{operation.__name__} has no blocks to plan: it would be done at once")


class Run:
    """The passes of one operation.

    With a folder, ``work``, volumes and arrays between the passes lie there, each pass has a journal, and a run that
    was cut short goes on where it stood; without one they are in memory. The folder ``<target>.work`` is taken for a
    target that is a file, and goes when all is done; one that was asked for stays.

    Parameters
    ----------
    sources : dict of arrays, Volumes or places
        Opened as ``run.sources``.
    target : array, Volume, place or None
        Where the operation writes, see :meth:`target`.
    shape : function of the opened sources
        The shape of the volume that is cut.
    cost : float, or a function of the opened sources
        Bytes for each voxel of a block and its halo in the most costly pass.
    """

    def __init__(
        self,
        sources: dict[str, Any],
        target: Any,
        *,
        shape: Callable[[dict[str, Any]], Sequence[int]],
        cost: float | Callable[[dict[str, Any]], float],
        halo: Any = 0,
        block: Any = "auto",
        work: Any = None,
        engine: dict[str, Any],
    ) -> None:
        self.engine = Engine.of(engine)
        self._stack, self._begun = ExitStack(), set[str]()
        with self._stack:
            self.sources = {name: self._opened(source) for name, source in sources.items() if source is not None}
            if target is not None:
                check_apart(target, "target", self.sources)
            if self.engine.planned:
                work, target = None, None if is_place(target) else target
            self.wanted = target
            self.shape = tuple(int(n) for n in shape(self.sources))
            self._made = work is None and is_place(target)
            folder = beside(os.fspath(target), "work") if self._made else work
            self.folder = None if folder is None else os.path.abspath(folder)
            if is_local(target) and self._place() == os.fspath(target):  # else it is written in the end
                self._stack.enter_context(alone(beside(os.fspath(target), "lock"), f"target {target}"))
            if self.folder is not None:
                if self._made:
                    shutil.rmtree(_gone(self.folder), ignore_errors=True)  # where its removal was cut short
                claim(self.folder, _KIND)
                self._stack.enter_context(alone(os.path.join(self.folder, ".lock"), f"work {self.folder}"))
            elif self.engine.client is not None and not self.engine.planned:
                raise ValueError(
                    "work must be a folder that all workers see, got none with a client and a target in memory"
                )
            self.shelf = Shelf(self.folder)
            self.notes = self._notes()
            self.sources = {name: mended(source, self.notes) for name, source in self.sources.items()}
            targets = target if hasattr(target, "shape") else None
            self.cost = cost(self.sources) if callable(cost) else cost
            if isinstance(block, str) and self.shelf.has("blocks"):  # a run that goes on keeps the blocks it chose
                block = self.shelf.get("blocks")["block"].tolist()
            plan = plan_blocks(
                self.sources or None,
                targets,
                shape=self.shape,
                block=block,
                halo=halo,
                memory=self.engine.memory,
                cost=self.cost,
                workers=self.engine.workers,
                client=self.engine.client,
            )
            self.grid = Grid(self.shape, plan.block)
            if self.folder is not None:
                self.shelf.put("blocks", block=np.array(self.grid.block))
            self._stack = self._stack.pop_all()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)  # a file that appears when it is closed does not where all failed
        if kind is None and self.notes is not None and self.notes is not self.engine.on_corrupt:
            self.notes.tell(beside(os.fspath(self.wanted), "lost.json") if is_local(self.wanted) else None)
        if kind is None and self._made and self.folder is not None:
            gone = _gone(self.folder)
            os.rename(self.folder, gone)  # a kill leaves all of it or nothing that a run would go on with
            shutil.rmtree(gone)

    def map(
        self,
        name: str,
        fn: Callable[..., Any],
        source: Any = None,
        target: Any = None,
        *,
        grid: Grid | None = None,
        halo: Any = 0,
        cost: float | None = None,
        journal: bool = True,
        **options: Any,
    ) -> Any:
        """:func:`emfast.map_blocks` over the run's blocks, or those of another grid, with the journal of that name.

        Without a ``cost`` memory is not looked at where the grid is another. What is written in memory has no journal,
        as it would not outlive a crash: a function that does so by itself says ``journal=False``.
        """
        grid = self.grid if grid is None else grid
        cost = self.cost if grid is self.grid and cost is None else cost
        engine = self.engine
        shared: dict[str, Any] = {
            "shape": grid.shape,
            "block": grid.block,
            "halo": halo,
            "memory": None if cost is None else engine.memory,
            "cost": cost,
            "workers": engine.workers,
        }
        if engine.planned:
            raise Planned(plan_blocks(None, client=engine.client, **shared))
        if grid is self.grid and engine.order is not None:
            options["order"] = engine.order
        if engine.client is not None:
            options["client"] = engine.client
        if self.folder is not None and journal and not isinstance(target, np.ndarray):
            options["journal"] = self._journal(name)
        shared["retries"] = engine.retries
        shared["progress"] = f"{name}" if engine.progress is True else engine.progress
        try:
            return map_blocks(fn, source, target, **shared, **options)
        except AnotherJob:
            if not self._made:
                raise
        self._forget_later(name)  # of a call with other options that failed: nobody wants what it left
        return map_blocks(fn, source, target, **shared, **options)

    def _forget_later(self, name: str) -> None:
        """Passes of an earlier call, from the one of that name on."""
        for journal in glob.glob(os.path.join(glob.escape(str(self.folder)), "*.journal")):
            if os.path.basename(journal) not in self._begun or os.path.basename(journal) == f"{name}.journal":
                remove(journal)

    def volume(self, name: str, dtype: Any) -> Any:
        """A volume between two passes, in the folder or in memory."""
        if self.folder is None:
            return self._held(dtype)
        return self._created(os.path.join(self.folder, f"{name}.zarr"), name, dtype, None, codec="lz4")

    def written(self, name: str, volume: Any) -> Any:
        """A volume that the pass of that name has written, to be read: in a folder, what was not written is noticed."""
        return volume if self.folder is None else verified(volume, journal=self._journal(name))

    def target(self, name: str, dtype: Any, like: Any = None, over: Any = None) -> Any:
        """What the pass of that name writes to and the operation returns: made now, or checked where it was given.

        ``over`` is a volume that this pass is the last to read, each block by itself; in memory it may be the target.
        """
        wanted, dtype = self.wanted, np.dtype(dtype)
        if wanted is None:
            return over if isinstance(over, np.ndarray) and over.dtype == dtype else self._held(dtype)
        if is_place(wanted):
            return self._created(self._place(), name, dtype, like)
        if tuple(wanted.shape) != self.shape:
            raise ValueError(f"target must have the shape {self.shape}, got {tuple(wanted.shape)}")
        if not np.can_cast(dtype, wanted.dtype, "safe"):
            raise ValueError(f"target must hold {dtype}, got {wanted.dtype}")
        return wanted

    def result(self, out: Any) -> Any:
        """What an operation returns: its target; one at a place is opened to be read."""
        if not is_place(self.wanted):
            return out
        from ..conversion import convert
        from ..volumes import open_volume

        out.close()
        if self._place() != os.fspath(self.wanted):
            convert(self._place(), self.wanted, overwrite=True, progress=self.engine.progress)
        return open_volume(self.wanted)

    def _place(self) -> str:
        """Where the target is written: itself, or a store in the folder where its format is not written by blocks."""
        from ..volumes import parse
        from ..volumes._formats import in_place

        place = os.fspath(self.wanted)
        if self.folder is None or in_place(parse(place, new=True).format):
            return place
        return os.path.join(self.folder, "target.zarr")

    def _held(self, dtype: Any) -> np.ndarray:
        """A volume in memory; of a plan one that takes none."""
        return np.broadcast_to(np.zeros((), dtype), self.shape) if self.engine.planned else np.empty(self.shape, dtype)

    def _notes(self) -> Notes | None:
        """Of damaged pieces of the sources, where these are to be taken for zeros."""
        asked = self.engine.on_corrupt
        if isinstance(asked, Notes):
            return asked
        return Notes(None if self.folder is None else os.path.join(self.folder, "lost")) if asked == "skip" else None

    def _created(self, place: str, name: str, dtype: Any, like: Any, codec: str = "zstd") -> Any:
        """A volume to write: the one that a run before began, or a new one. What is soon read again and then gone is
        packed by lz4, which is quicker than zstd."""
        from ..volumes import open_volume

        begun = f"made/{name}"
        if self.shelf.has(begun) and np.array_equal(self.shelf.get(begun)["born"], _born(place)):
            with suppress(FileNotFoundError, ValueError):  # gone, or of a call with other options
                return self._stack.enter_context(open_volume(place, mode="r+", shape=self.shape, dtype=dtype))
        remove(self._journal(name))  # of a volume that is there no more
        block = self.grid.block
        options: dict[str, Any] = {"chunks": tuple(map(_chunk, block))}
        if ".zarr" in place:
            options["shards"] = block
        if like is not None and hasattr(like, "spacing"):
            options |= {name: _last(getattr(like, name), len(block)) for name in ("spacing", "offset")}
        volume = self._stack.enter_context(
            open_volume(place, mode="w", shape=self.shape, dtype=dtype, codec=codec, **options)
        )
        self.shelf.put(begun, born=_born(place))
        return volume

    def _journal(self, name: str) -> str:
        assert self.folder is not None
        self._begun.add(f"{name}.journal")
        return os.path.join(self.folder, f"{name}.journal")

    def _opened(self, source: Any) -> Any:
        if is_place(source):
            from ..volumes import open_volume

            return self._stack.enter_context(open_volume(source))
        return source if hasattr(source, "shape") else np.asarray(source)


def beside(place: str, ending: str) -> str:
    """A file or folder beside the one that holds a volume: out.zarr.work, or out.zarr.raw.work for out.zarr:raw."""
    from ..volumes import parse

    found = parse(place, new=True)
    if found.remote:
        raise ValueError(f"work must be a folder where the target is none of this machine, got none for {place}")
    path, name = parted(str(found))
    return f"{path}{'.' if name else ''}{re.sub('[:/]+', '.', name)}.{ending}"


def place_words(volume: Any) -> Any:
    """Which volume it is, as JSON has it: where it lies, or a checksum of what it holds."""
    from ..volumes import open_volume

    if volume is None:
        return None
    if is_place(volume):
        with open_volume(volume) as opened:
            return source_words(opened)
    return source_words(volume if hasattr(volume, "shape") else np.asarray(volume))


def read_stamp(path: str) -> dict[str, Any] | None:
    """What is said beside what a run left, as JSON has it; None where nothing is, or nothing that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_stamp(path: str, content: dict[str, Any]) -> None:
    with written_beside(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)


def is_place(target: Any) -> bool:
    return isinstance(target, (str, os.PathLike))


def is_local(target: Any) -> bool:
    """Whether it is a place on this machine, beside which there may be a file."""
    from ..volumes import parse

    return is_place(target) and not parse(target, new=True).remote


def claim(folder: str, kind: str) -> None:
    """Take a folder for what lies between: a new or empty one, or one that was taken for the same kind before. One
    that holds something else is somebody's, and nothing in it is removed."""
    mark = os.path.join(folder, _MARK)
    if os.path.exists(folder):
        there = sorted(set(os.listdir(folder)) - {_MARK, ".lock"})
        found = Path(mark).read_text() if os.path.exists(mark) else ""
        if there and found != kind:
            what = f"one of {found}" if found else f"one that holds {there[0]}"
            raise ValueError(f"work must be a new or empty folder, or one of {kind}, got {folder}, {what}")
        if found == kind:  # a mark that is there is not written again: a kill or a full disk would leave half of it
            return
    os.makedirs(folder, exist_ok=True)
    Path(mark).write_text(kind)


def clear(folder: str, but: Sequence[str]) -> None:
    """Remove what lies in a folder of ours that nobody reads any more."""
    drop(folder, set(os.listdir(folder)) - {_MARK, ".lock", *but})


def drop(folder: str, names: Iterable[str]) -> None:
    """Remove what there is of these names in a folder of ours. Files go first, for stamps are among them: a kill leaves
    none that says more than is there."""
    paths = [os.path.join(folder, name) for name in names]
    for path in sorted(filter(os.path.lexists, paths), key=os.path.isdir):
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def is_kept(place: str) -> bool:
    """Whether there is a volume at a place in a folder of ours."""
    with suppress(ValueError):  # no place of a volume at all
        return bool(_born(place).any())
    return False


def _born(place: str) -> np.ndarray:
    """Which volume of several that were at a place after each other: the file that was written when it was made."""
    from ..volumes import parse

    found = parse(place, new=True)
    for header in ("zarr.json", ".zarray", "attributes.json", "info"):
        path = os.path.join(found.path, found.name, header)
        if os.path.exists(path):
            about = os.stat(path)
            return np.array([about.st_ino, about.st_mtime_ns])
    return np.zeros(2, np.int64)


def _gone(folder: str) -> str:
    """The name of a folder that is being removed."""
    above, name = os.path.split(folder)
    return os.path.join(above, f".{name}.gone")


def _last(numbers: Any, count: int) -> Any:
    """Those of the axes that are cut: affinities of a picture (2, y, x) may be said to have three axes of space."""
    return None if numbers is None else tuple(numbers[len(numbers) - count :])


def _chunk(side: int) -> int:
    """A side of chunks that divides a block's."""
    return next((n for n in range(min(side, _CHUNK), 15, -1) if side % n == 0), side)


__all__ = [
    "Engine",
    "Planned",
    "Run",
    "beside",
    "claim",
    "clear",
    "drop",
    "is_kept",
    "is_local",
    "is_place",
    "place_words",
    "plan",
    "read_stamp",
    "write_stamp",
]
