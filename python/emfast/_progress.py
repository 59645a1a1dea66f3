"""A line that says how far a long work is, and how long it may take yet; only where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_BETWEEN = 0.1  # seconds from one line to the next


class Progress:
    """``Progress("counting")(done, total)`` writes a bar over its last one; as a context it wipes it in the end.

    Nothing is written where the stream is no terminal and no notebook. ``begin(done)`` tells what was done before.
    """

    def __init__(self, words: str, stream: TextIO | None = None) -> None:
        self.words = words
        self.stream = sys.stderr if stream is None else stream
        self.start, self.last = time.perf_counter(), 0.0
        self.first = 0
        notebook = type(self.stream).__module__.partition(".")[0] == "ipykernel"
        self.shown = notebook or bool(self.stream.isatty())
        self.wipe, self.width = ("\r", 79) if notebook else ("\r\x1b[K", 0)  # a notebook cannot wipe a line

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.shown:
            print(self.wipe, end="", file=self.stream, flush=True)

    def begin(self, done: int) -> None:
        self.first = done

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if not self.shown or (done < total and now - self.last < _BETWEEN):
            return
        self.last = now
        print(
            f"{self.wipe}{self.line(done, total, now - self.start):<{self.width}}", end="", file=self.stream, flush=True
        )

    def line(self, done: int, total: int, seconds: float) -> str:
        """As it is shown after so many seconds."""
        share = done / total if total else 1.0
        bar = "#" * round(24 * share)
        now = (done - self.first) / total if total else 1.0
        left = f", {span(seconds * (1 - share) / now)} left" if now > 0 and share < 1 else ""
        return f"{self.words} [{bar:<24}] {100 * share:3.0f} %, {span(seconds)}{left}"


def span(seconds: float) -> str:
    """A time in words: 7 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def shown(progress: Any, done: int = 0, words: str = "blocks") -> Iterator[Callable[[int, int], object]]:
    """What is told how much is done: by a call's ``progress``, which is True, words or a function of two numbers."""
    if progress is None or progress is False:
        yield lambda done, total: None
    elif progress is True or isinstance(progress, str):
        with Progress(words if progress is True else progress) as bar:
            bar.begin(done)
            yield bar
    elif callable(progress):
        yield progress
    else:
        raise TypeError(f"progress must be True, words or a function of two numbers, got {progress!r}")
