"""What emfast raises, beside the built-in ones.

Exception
├── ValueError            a value out of range, shapes that do not agree
│   ├── AnotherJob        a journal is not that of this run
│   └── CorruptData       what is stored is damaged, or not all there; names the array, the piece and the file
├── TypeError             a dtype or object that cannot be taken
├── MemoryError           scratch or output does not fit
├── KeyboardInterrupt     Ctrl-C during a native call; outputs under way are dropped
└── RuntimeError
    ├── BlocksFailed          blocks of a volume that could not be done; lists them and why
    ├── Diverged              a network that learns no longer gives finite numbers
    ├── InUse                 another run writes there
    └── DeviceUnavailable     a device was asked for and there is none, or this build has no CUDA module
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class CorruptData(ValueError):
    """What is stored is damaged, or not all there; the message names the array, the piece and the file."""


class AnotherJob(ValueError):
    """A journal is not that of this run: what it says is done is something else."""


class DeviceUnavailable(RuntimeError):
    """A CUDA device was asked for and cannot be used; the message says what is missing."""


class Diverged(RuntimeError):
    """What a network learns is no longer finite; the message names the step and the file with its batch."""


class InUse(RuntimeError):
    """Another run writes to the same place."""


@dataclass(frozen=True)
class Failure:
    """A block that could not be done: its number, its box in the volume, and what was raised the last time."""

    index: int
    box: tuple[slice, ...]
    cause: BaseException


class BlocksFailed(RuntimeError):
    """Blocks of a volume could not be done, each after all its tries.

    Attributes
    ----------
    failed : tuple of Failure
        In block order.
    result : object
        What the other blocks make, where they were all done first (``keep_going``); else None.
    """

    _SHOWN = 5

    def __init__(self, failed: Sequence[Failure], total: int, result: Any = None) -> None:
        super().__init__(failed, total, result)
        self.failed, self.total, self.result = tuple(failed), total, result

    def __str__(self) -> str:
        lines = [f"{len(self.failed)} of {self.total} blocks failed:"]
        for failure in self.failed[: self._SHOWN]:
            where = ", ".join(f"{w.start}:{w.stop}" for w in failure.box)
            lines.append(f"block {failure.index} [{where}]: {type(failure.cause).__name__}: {failure.cause}")
        if len(self.failed) > self._SHOWN:
            lines.append(f"and {len(self.failed) - self._SHOWN} more")
        return "\n  ".join(lines)
