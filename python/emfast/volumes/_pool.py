"""One pool of threads for the process, for work in small pieces: chunks to decode and to encode."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from .._native import get_threads

T = TypeVar("T")
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def each(work: Callable[[T], None], items: Iterable[T]) -> None:
    """Do the work for each item; the first error stops the rest. The caller works too, so a full pool blocks nobody."""
    threads = get_threads()
    if threads == 1:
        for item in items:
            work(item)
        return
    queue = _Queue(items)
    first = queue.next()
    second = queue.next()
    more = threads - 1 if second else 0  # for a single item no thread is woken
    helpers = [_pool(threads).submit(queue.drain, work) for _ in range(more)]
    try:
        for item in (*first, *second):
            work(item)
        queue.drain(work)
    except BaseException:
        queue.stop()
        raise
    finally:
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)
    for helper in started:
        helper.result()


class _Queue(Generic[T]):
    """Items for several threads, made when they are asked for."""

    def __init__(self, items: Iterable[T]) -> None:
        self.items: Iterator[T] | None = iter(items)
        self.lock = threading.Lock()

    def next(self) -> tuple[T, ...]:
        with self.lock:
            if self.items is not None:
                for item in self.items:
                    return (item,)
            return ()

    def stop(self) -> None:
        with self.lock:
            self.items = None

    def drain(self, work: Callable[[T], None]) -> None:
        try:
            while item := self.next():
                work(item[0])
        except BaseException:
            self.stop()
            raise


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="emfast-volumes")
        return _pools[threads]


if hasattr(os, "register_at_fork"):  # the threads of a pool stay behind in the parent
    os.register_at_fork(after_in_child=_pools.clear)

__all__ = ["each"]
