"""What a run over blocks has done: a file of lines, one for each finished block, that outlives every crash.

The first line names the job; a journal of another job is refused. A line is the CRC-32 of its text, then JSON:

    [index, [checksums of what was written], [start, length, CRC-32 of the value], [[source, box read as zeros] …]]

the last two where there are any, and ``[index]`` alone takes a block back. It is written after the voxels of its block,
and after its value, which is in ``<journal>.values``: what a line says is so. A line that a crash has torn is no line.
One run at a time: the file is locked, by the kernel, so a killed run leaves no lock behind.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import pickle
import re
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from .._locks import lock
from ..errors import AnotherJob, CorruptData
from .grid import Window
from .job import Outcome

_BETWEEN = 1.0  # seconds from one fsync to the next; what a power failure may take back
_AT_ONCE = 1 << 14  # lines
_FORMAT = "emfast journal 1"

_TORN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\{.*)?", re.DOTALL)  # how the first line of a journal may end early


class Finished:
    """The blocks that a journal says are done, of ``n``, where there are so many targets.

    Attributes
    ----------
    done : bytearray
        A 1 for each block that is done.
    sums : (n, targets) uint32 array
        The checksums of what they wrote.
    lost : dict
        The boxes of sources that were read as zeros, by block.
    """

    def __init__(self, n: int, targets: int) -> None:
        self.done = bytearray(n)
        self.sums = np.zeros((n, targets), np.uint32)
        self.lost: dict[int, tuple[tuple[str, Window], ...]] = {}
        self.places = np.zeros((n, 3), np.int64)  # of the values: start, length, checksum; a length of 0 is None

    def read(self, file: BinaryIO, size: int) -> int:
        """The lines of a file after its first; those that are damaged say nothing, their blocks are done again. Gives
        back how many bytes were whole lines. ``size`` is that of the values."""
        whole = 0
        while lines := list(itertools.islice(file, _AT_ONCE)):
            whole += sum(len(line) for line in lines if line.endswith(b"\n"))
            found = json.loads(b"[%s]" % b",".join(line[9:-1] for line in lines if _is_sound(line)))
            usual = [line for line in found if len(line) == 2 or (len(line) == 3 and sum(line[2][:2]) <= size)]
            if len(usual) == len(found):
                self._note_usual(usual)
            else:
                for line in found:
                    self._note(line, size)
        return whole

    def _note_usual(self, lines: list[Any]) -> None:
        """The same as one by one, many times faster."""
        indices = np.array([line[0] for line in lines], np.int64)
        self.sums[indices] = np.array([line[1] for line in lines], np.uint32).reshape(len(lines), self.sums.shape[1])
        np.frombuffer(self.done, np.uint8)[indices] = 1
        if valued := [line for line in lines if len(line) == 3]:
            self.places[[line[0] for line in valued]] = [line[2] for line in valued]

    def _note(self, line: Any, size: int) -> None:
        index = line[0]
        if len(line) == 1:
            self.done[index] = 0
            return
        if len(line) > 2 and line[2] is not None:
            if line[2][0] + line[2][1] > size:
                return
            self.places[index] = line[2]
        if len(line) > 3:
            self.lost[index] = tuple((name, tuple(slice(a, b) for a, b in box)) for name, box in line[3])
        self.sums[index] = line[1]
        self.done[index] = 1


class Journal(Finished):
    """The journal of a job, which ``about`` describes, for its run. A context; all is on disk at its end."""

    def __init__(self, path: str, about: Mapping[str, Any], n: int) -> None:
        super().__init__(n, len(about["targets"]))
        self.path = path
        self.synced = time.monotonic()
        self.lines = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            lock(self.lines, f"journal {path}")
            self.values = os.open(f"{path}.values", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except BaseException:
            os.close(self.lines)
            raise
        try:
            self._read(about)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._sync()
        finally:
            self._close()

    def add(self, ended: Iterable[tuple[int, Outcome]]) -> None:
        """Blocks that are done. Their values are pickled already."""
        lines, values = [], []
        end = os.fstat(self.values).st_size
        for index, outcome in ended:
            line: list[Any] = [index, outcome.sums]
            if outcome.value is not None:
                place = (end, len(outcome.value), zlib.crc32(outcome.value))
                self.places[index] = place
                end += place[1]
                values.append(outcome.value)
                line.append(place)
            if outcome.lost:
                self.lost[index] = outcome.lost
                boxes = [[name, [[w.start, w.stop] for w in window]] for name, window in outcome.lost]
                line += [None] * (3 - len(line)) + [boxes]
            self.done[index] = 1
            self.sums[index] = outcome.sums
            lines.append(_line(line))
        _write(self.values, b"".join(values))
        _write(self.lines, b"".join(lines))
        if time.monotonic() - self.synced > _BETWEEN:
            self._sync()

    def forget(self, indices: Iterable[int]) -> None:
        """These blocks are to be done again."""
        _write(self.lines, b"".join(_line([index]) for index in indices))

    def value(self, index: int) -> Any:
        """Of a finished block."""
        start, length, sum_ = map(int, self.places[index])
        if not length:
            return None
        data = os.pread(self.values, length, start)
        if zlib.crc32(data) != sum_ or len(data) != length:
            raise CorruptData(f"{self.path}.values is damaged at the value of block {index}: remove {self.path}")
        return pickle.loads(data)

    def all_values(self) -> Iterator[tuple[int, Any]]:
        """Of the finished blocks, in block order."""
        return ((index, self.value(index)) for index, done in enumerate(self.done) if done)

    def _read(self, about: Mapping[str, Any]) -> None:
        """What there is; a journal that begins gets its first line. The rest of a torn line is cut off."""
        sound = 0
        size = os.fstat(self.values).st_size
        with open(self.path, "rb") as file:
            first = file.readline()
            found = _parsed(first)
            if found is None and not _TORN.fullmatch(first):
                raise ValueError(f"journal must be a journal of emfast or a new file, got {self.path}")
            if found is not None:
                _check_same(self.path, found, json.loads(json.dumps(about)))
                sound = len(first) + self.read(file, size)
        os.ftruncate(self.lines, sound)
        if not sound:
            os.ftruncate(self.values, 0)
            _write(self.lines, _line({"format": _FORMAT, **about}))

    def _sync(self) -> None:
        os.fsync(self.values)
        os.fsync(self.lines)
        self.synced = time.monotonic()

    def _close(self) -> None:
        os.close(self.values)
        os.close(self.lines)


def about_of(path: str) -> dict[str, Any] | None:
    """What a journal says of its job; None where there is none yet."""
    try:
        with open(path, "rb") as file:
            found = _parsed(file.readline())
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) else None


def remove(path: str) -> None:
    """Without its journal a target is one that is whole."""
    for name in (path, f"{path}.values"):
        if os.path.exists(name):
            os.unlink(name)


def finished(path: str) -> tuple[dict[str, Any], Finished]:
    """What a journal says, for a reader."""
    about = about_of(path)
    if about is None:
        raise FileNotFoundError(f"journal must be that of a run, there is none at {path}")
    counts = [-(-n // side) for n, side in zip(about["shape"], about["block"], strict=True)]
    found = Finished(math.prod(counts), len(about["targets"]))
    with open(path, "rb") as file:
        file.readline()
        found.read(file, sys.maxsize)
    return about, found


def _line(content: Any) -> bytes:
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _is_sound(line: bytes) -> bool:
    """Whether it is as it was written."""
    return line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(line[9:-1])


def _parsed(line: bytes) -> Any:
    """The content of a line, or None where it is damaged."""
    return json.loads(line[9:-1]) if _is_sound(line) else None


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _check_same(path: str, found: Any, wanted: Mapping[str, Any]) -> None:
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise ValueError(f"journal must be a journal of emfast or a new file, got {path}")
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise AnotherJob(
                f"journal {path} is that of another job: its {name} was {found.get(name)}, now it is {wanted[name]}. "
                f"Remove it to start anew, or choose another"
            )


__all__ = ["Finished", "Journal", "about_of", "finished", "remove"]
