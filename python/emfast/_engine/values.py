"""What comes of a run over blocks: a list of their values or one that they make, in memory or out of a journal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import CorruptData, Failure
from .grid import Grid, Window, words_of
from .job import Job, Outcome, checksum, last
from .journal import Journal
from .reduce import Pairs


class Results(list[Any]):
    """The values of blocks in block order: a list, and what else there is to say about a run.

    Attributes
    ----------
    failed : tuple of Failure
        The blocks that could not be done, where the run went on without them; their value is None.
    lost : tuple of (str, tuple of slice)
        Which source was damaged and in which boxes of the volume, where these were read as zeros.
    """

    failed: tuple[Failure, ...] = ()
    lost: tuple[tuple[str, Window], ...] = ()


class Values:
    """What comes of the values of blocks: a list of them, or one."""

    def __init__(self, n: int, combine: Callable[[Any, Any], Any] | None) -> None:
        self.done = bytearray(n)
        self.list = Results([None] * n) if combine is None else None
        self.pairs = None if combine is None else Pairs(n, combine)
        self.lost: dict[int, tuple[tuple[str, Window], ...]] = {}

    def add(self, ended: list[tuple[int, Outcome]]) -> None:
        for index, outcome in ended:
            self.put(index, outcome.value)
            if outcome.lost:
                self.lost[index] = outcome.lost

    def put(self, index: int, value: Any) -> None:
        if self.list is not None:
            self.list[index] = value
        if self.pairs is not None:
            self.pairs.put(index, value)

    def result(self, failed: list[Failure]) -> Any:
        boxes = [box for index in sorted(self.lost) for box in self.lost[index]]
        lost = list({repr(box): box for box in boxes}.values())  # once each, where blocks have read the same
        if lost:
            words = "; ".join(f"{name} {words_of(window)}" for name, window in lost)
            warnings.warn(f"damaged, read as zeros: {words}", stacklevel=4)
        if self.pairs is not None:
            for failure in failed:
                self.pairs.skip(failure.index)
            return self.pairs.result()
        assert self.list is not None
        self.list.failed, self.list.lost = tuple(failed), tuple(lost)
        return self.list


class Kept:
    """The same out of a journal: values wait there, and are brought together in the end."""

    def __init__(self, journal: Journal, combine: Callable[[Any, Any], Any] | None) -> None:
        self.journal, self.combine, self.done = journal, combine, journal.done
        self.add = journal.add

    def result(self, failed: list[Failure]) -> Any:
        values = Values(len(self.done), self.combine)
        values.lost = self.journal.lost
        for index, value in self.journal.all_values():
            values.put(index, value)
        return values.result(failed)

    def check(self, job: Job) -> None:
        """A few of the finished blocks: a target that was made anew does not hold what the journal says."""
        done = np.flatnonzero(np.frombuffer(self.done, np.uint8))
        for index in np.unique(done[np.linspace(0, len(done) - 1, 4).astype(int)]) if len(done) else ():
            if wrong := wrong_block(job.targets, job.grid, self.journal, int(index)):
                raise CorruptData(f"{wrong}: remove the journal to start anew, or emfast.blocks.check_blocks")


def wrong_block(targets: Mapping[str, Any], grid: Grid, journal: Journal, index: int) -> str | None:
    """What is wrong with a finished block, in words; None where it is as it was written."""
    window = last(grid[index].core)
    try:
        if all(
            checksum(target[window]) == sum_ for target, sum_ in zip(targets.values(), journal.sums[index], strict=True)
        ):
            return None
    except CorruptData as error:
        return f"target is damaged in {grid[index]} ({error})"
    return f"target does not hold in {grid[index]} what {journal.path} says was written"


__all__ = ["Kept", "Results", "Values", "wrong_block"]
