"""Who works on blocks: the threads of this process, or others (``cluster``). An engine has

    slots           how many blocks may be under way at once
    submit(index)   starts one and returns at once
    wait()          blocks that have ended, at least one: (index, outcome or exception)

and ``drive`` keeps it busy: the one loop for all engines.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from .. import _native
from ..errors import Failure
from .plan import Plan

_MOST_THREADS = 4096
_pool: ThreadPoolExecutor | None = None
_here = threading.local()

Ended = list[tuple[int, Any]]


class Engine(Protocol):
    @property
    def slots(self) -> int: ...

    def submit(self, index: int) -> None: ...

    def wait(self) -> Ended: ...


class Inline:
    """In the thread of the caller: where blocks are themselves cut into blocks, a pool would wait for itself."""

    slots = 1

    def __init__(self, work: Callable[[int], Any]) -> None:
        self.work = work
        self.next: int | None = None

    def submit(self, index: int) -> None:
        self.next = index

    def wait(self) -> Ended:
        assert self.next is not None
        return [(self.next, _outcome(self.work, self.next))]


class Threads:
    """The threads of this process, each with ``threads`` native threads in its calls."""

    def __init__(self, work: Callable[[int], Any], workers: int, threads: int) -> None:
        self.work, self.slots, self.threads = work, workers, threads
        self.ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def submit(self, index: int) -> None:
        _shared_pool().submit(self._run, index)

    def _run(self, index: int) -> None:
        _here.inside = True
        try:
            with _native.limited_threads(self.threads):
                outcome = _outcome(self.work, index)
        finally:
            _here.inside = False
        self.ended.put((index, outcome))

    def wait(self) -> Ended:
        ended = [self.ended.get()]
        while not self.ended.empty():
            ended.append(self.ended.get())
        return ended


def threads_engine(work: Callable[[int], Any], plan: Plan) -> Engine:
    """Threads, or the caller's own where that is one of them."""
    return Inline(work) if getattr(_here, "inside", False) else Threads(work, plan.workers, plan.threads)


def _outcome(work: Callable[[int], Any], index: int) -> Any:
    try:
        return work(index)
    except BaseException as error:  # handed to the driver; a thread has nobody else to tell
        traceback.clear_frames(error.__traceback__)  # which hold the voxels of the block
        return error


def _shared_pool() -> ThreadPoolExecutor:
    """One for the process. It grows to as many threads as blocks were ever under way at once."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="emfast-block")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not live on in a child


class Queue:
    """Which block is next: in the given order, each after those it waits for. Those that are tried again come last.

    ``after(index)`` names the blocks that must be done first; ``done`` holds a 1 for each that is.
    """

    def __init__(self, order: Iterable[int], done: bytearray, after: Callable[[int], Iterable[int]] | None) -> None:
        self.order, self.done, self.after = iter(order), done, after
        self.ready: deque[int] = deque()
        self.again: deque[int] = deque()
        self.parked: dict[int, list[int]] = {}  # by one of the blocks they wait for

    def pop(self) -> int | None:
        """The next block that can start; None where all that are left wait for others, or none is left."""
        if self.ready:
            return self.ready.popleft()
        for index in self.order:
            if not self.done[index] and self._may_start(index):
                return index
        return self.again.popleft() if self.again else None

    def retry(self, index: int) -> None:
        self.again.append(index)

    def finish(self, index: int) -> None:
        self.done[index] = 1
        self.ready.extend(i for i in self.parked.pop(index, ()) if self._may_start(i))

    def _may_start(self, index: int) -> bool:
        for other in self.after(index) if self.after else ():
            if not self.done[other]:
                self.parked.setdefault(other, []).append(index)
                return False
        return True

    def left(self) -> dict[int, int]:
        """The blocks that wait for one that never came, and for which."""
        return {index: other for other, waiting in self.parked.items() for index in waiting}


def drive(
    engine: Engine,
    blocks: Queue,
    record: Callable[[Ended], None],
    box_of: Callable[[int], Any],
    *,
    retries: int,
    keep_going: bool,
) -> list[Failure]:
    """Work on all blocks. ``record`` gets what was done, several at once where they ended together.

    A block that fails is tried again, ``retries`` times; then no other is begun unless ``keep_going``. Ctrl-C too lets
    the blocks under way end and be recorded; a second one does not.
    """
    tries: dict[int, int] = {}
    failed: list[Failure] = []
    ended: Ended = []
    under_way: set[int] = set()

    def begin() -> None:
        while len(under_way) < engine.slots and not interrupts.asked and (keep_going or not failed):
            index = blocks.pop()
            if index is None:
                return
            engine.submit(index)
            under_way.add(index)

    def end() -> None:
        for index, outcome in engine.wait():
            under_way.remove(index)
            if not isinstance(outcome, BaseException):
                blocks.finish(index)
                ended.append((index, outcome))
                continue
            tries[index] = tries.get(index, 0) + 1
            if tries[index] <= retries:
                blocks.retry(index)
            else:
                failed.append(Failure(index, box_of(index), outcome))

    with _Interrupts() as interrupts:
        try:
            begin()
            while under_way:
                end()
                begin()  # and then the bookkeeping, while they are worked on
                record(ended)
                ended.clear()
        except KeyboardInterrupt:  # the second
            raise
        except BaseException:
            while under_way:  # nobody writes once this has returned
                end()
            raise
    if interrupts.asked:
        raise KeyboardInterrupt
    left = blocks.left()
    if left and not failed:
        raise ValueError(f"after must not lead in circles, got block {min(left)} that waits for {left[min(left)]}")
    if keep_going:
        failed += [Failure(i, box_of(i), RuntimeError(f"it waits for block {k}")) for i, k in left.items()]
    return sorted(failed, key=lambda failure: failure.index)


class _Interrupts:
    """Ctrl-C is noted here, once; the second one is raised as ever."""

    asked = False

    def __enter__(self) -> _Interrupts:
        import signal

        self.before: Any = None
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        import signal

        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
