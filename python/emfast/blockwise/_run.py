"""One operation over the blocks of a volume: the same blocks in each of its passes, and a place for what they leave."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._engine.identity import check_apart, parted
from ..blocks import Grid, map_blocks, plan_blocks, verified
from ._shelf import Shelf

_CHUNK = 64  # voxels along an axis


@dataclass(frozen=True)
class Engine:
    """The options of :func:`emfast.map_blocks` that every operation in blocks has."""

    client: Any = None
    memory: str | float | None = None
    workers: int | None = None
    retries: int = 2
    order: Iterable[int] | None = None
    progress: Any = None

    @staticmethod
    def of(options: dict[str, Any]) -> Engine:
        names = [field.name for field in fields(Engine)]
        for name in options:
            if name not in names:
                raise TypeError(f"{name} is no option of these: block, work, {', '.join(names)}")
        return Engine(**options)


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
        self._stack = ExitStack()
        with self._stack:
            self.sources = {name: self._opened(source) for name, source in sources.items() if source is not None}
            if target is not None:
                check_apart(target, "target", self.sources)
            self.wanted = target
            self.shape = tuple(int(n) for n in shape(self.sources))
            self._made = work is None and is_place(target)
            folder = beside(os.fspath(target), "work") if self._made else work
            self.folder = None if folder is None else os.fspath(folder)
            if self.folder is not None:
                os.makedirs(self.folder, exist_ok=True)
            elif self.engine.client is not None:
                raise ValueError(
                    "work must be a folder that all workers see, got none with a client and a target in memory"
                )
            self.shelf = Shelf(self.folder)
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

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._stack.close()
        if kind is None and self._made and self.folder is not None:
            shutil.rmtree(self.folder)

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
        **options: Any,
    ) -> Any:
        """:func:`emfast.map_blocks` over the run's blocks, or those of another grid, with the journal of that name.

        Without a ``cost`` memory is not looked at where the grid is another.
        """
        grid = self.grid if grid is None else grid
        cost = self.cost if grid is self.grid and cost is None else cost
        engine = self.engine
        if grid is self.grid and engine.order is not None:
            options["order"] = engine.order
        if engine.client is not None:
            options["client"] = engine.client
        if self.folder is not None and not isinstance(target, np.ndarray):  # which would not outlive a crash
            options["journal"] = self._journal(name)
        return map_blocks(
            fn,
            source,
            target,
            shape=grid.shape,
            block=grid.block,
            halo=halo,
            memory=None if cost is None else engine.memory,
            cost=cost,
            workers=engine.workers,
            retries=engine.retries,
            progress=f"{name}" if engine.progress is True else engine.progress,
            **options,
        )

    def volume(self, name: str, dtype: Any) -> Any:
        """A volume between two passes, in the folder or in memory."""
        if self.folder is None:
            return np.empty(self.shape, dtype)
        return self._created(os.path.join(self.folder, f"{name}.zarr"), name, dtype, None)

    def written(self, name: str, volume: Any) -> Any:
        """A volume that the pass of that name has written, to be read: in a folder, what was not written is noticed."""
        return volume if self.folder is None else verified(volume, journal=self._journal(name))

    def target(self, name: str, dtype: Any, like: Any = None, over: Any = None) -> Any:
        """What the pass of that name writes to and the operation returns: made now, or checked where it was given.

        ``over`` is a volume that this pass is the last to read, each block by itself; in memory it may be the target.
        """
        wanted, dtype = self.wanted, np.dtype(dtype)
        if wanted is None:
            return over if isinstance(over, np.ndarray) and over.dtype == dtype else np.empty(self.shape, dtype)
        if is_place(wanted):
            return self._created(os.fspath(wanted), name, dtype, like)
        if tuple(wanted.shape) != self.shape:
            raise ValueError(f"target must have the shape {self.shape}, got {tuple(wanted.shape)}")
        if not np.can_cast(dtype, wanted.dtype, "safe"):
            raise ValueError(f"target must hold {dtype}, got {wanted.dtype}")
        return wanted

    def result(self, out: Any) -> Any:
        """What an operation returns: its target; one at a place is opened to be read."""
        if not is_place(self.wanted):
            return out
        from ..volumes import open_volume

        out.close()
        return open_volume(self.wanted)

    def drop(self, name: str) -> None:
        """A volume that no pass reads any more."""
        if self.folder is not None:
            self.shelf.drop(f"made/{name}")
            shutil.rmtree(os.path.join(self.folder, f"{name}.zarr"), ignore_errors=True)

    def _created(self, place: str, name: str, dtype: Any, like: Any) -> Any:
        """A volume to write: the one that a run before began, or a new one."""
        from ..volumes import open_volume

        begun = f"made/{name}"
        if self.shelf.has(begun):
            with suppress(FileNotFoundError):
                return self._stack.enter_context(open_volume(place, mode="r+", shape=self.shape, dtype=dtype))
        journal = self._journal(name)
        if os.path.exists(journal):
            os.unlink(journal)  # of a volume that is there no more
        block = self.grid.block
        options: dict[str, Any] = {"chunks": tuple(map(_chunk, block))}
        if ".zarr" in place:
            options["shards"] = block
        if like is not None and hasattr(like, "spacing"):
            options |= {"spacing": like.spacing, "offset": like.offset}
        volume = open_volume(place, mode="w", shape=self.shape, dtype=dtype, **options)
        self.shelf.put(begun)
        return self._stack.enter_context(volume)

    def _journal(self, name: str) -> str:
        assert self.folder is not None
        return os.path.join(self.folder, f"{name}.journal")

    def _opened(self, source: Any) -> Any:
        if is_place(source):
            from ..volumes import open_volume

            return self._stack.enter_context(open_volume(source))
        return source if hasattr(source, "shape") else np.asarray(source)


def beside(place: str, ending: str) -> str:
    """A file or folder beside the one that holds a volume: out.zarr.work, or out.zarr.raw.work for out.zarr:raw."""
    place = re.sub(r"^file:/*/", "/", place)
    if "://" in place:
        raise ValueError(f"work must be a folder where the target is none of this machine, got none for {place}")
    path, name = parted(place)
    return f"{path}{'.' if name else ''}{re.sub('[:/]+', '.', name)}.{ending}"


def is_place(target: Any) -> bool:
    return isinstance(target, (str, os.PathLike))


def _chunk(side: int) -> int:
    """A side of chunks that divides a block's."""
    return next((n for n in range(min(side, _CHUNK), 15, -1) if side % n == 0), side)


__all__ = ["Engine", "Run", "beside", "is_place"]
