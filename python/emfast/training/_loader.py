"""Samples made ahead of the network by threads of this process, in order.

Sample k is a function of k alone, so it makes no difference which thread makes it, nor how many there are. What makes
samples is native code that holds no lock of Python, so threads do as well as processes and copy nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .. import _native

__all__ = ["Loader"]

Sample = Mapping[str, np.ndarray]
Batch = dict[str, torch.Tensor]


class Loader:
    """Batches of samples in the order of their numbers: ``for batch in Loader(make, numbers)``.

    Parameters
    ----------
    make : callable
        ``make(k)`` gives sample k, arrays by name.
    numbers : iterable of sequences of int
        The samples of each batch.
    workers : int
        Threads that make them. 0: the caller's own, when a batch is asked for.
    ahead : int
        Batches that may be ready or in the making; so much memory they take, and no more.
    pinned : bool
        Whether batches lie in memory that a CUDA device copies from by itself.

    ``waited`` counts the seconds that the caller has waited for a batch.
    """

    def __init__(
        self,
        make: Callable[[int], Sample],
        numbers: Iterable[Sequence[int]],
        *,
        workers: int,
        ahead: int = 3,
        pinned: bool = False,
    ) -> None:
        self.make, self.numbers, self.workers, self.ahead, self.pinned = make, numbers, workers, ahead, pinned
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:
        if not self.workers:
            for numbers in self.numbers:
                start = time.perf_counter()
                batch = _Batch(len(numbers), self.pinned)
                for slot, k in enumerate(numbers):
                    batch.put(slot, self.make(k))
                self.waited += time.perf_counter() - start
                yield batch.tensors
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="emfast-sample") as pool:
            yield from self._ahead(pool)

    def _ahead(self, pool: ThreadPoolExecutor) -> Iterator[Batch]:
        numbers = iter(self.numbers)
        ready: deque[tuple[_Batch, list[Future[None]]]] = deque()

        def fill() -> None:
            while len(ready) < self.ahead:
                wanted = next(numbers, None)
                if wanted is None:
                    return
                batch = _Batch(len(wanted), self.pinned)
                ready.append((batch, [pool.submit(self._one, batch, slot, k) for slot, k in enumerate(wanted)]))

        try:
            fill()
            while ready:
                batch, made = ready.popleft()
                start = time.perf_counter()
                for each in made:
                    each.result()
                self.waited += time.perf_counter() - start
                fill()
                yield batch.tensors
        finally:
            for _, made in ready:
                for each in made:
                    each.cancel()

    def _one(self, batch: _Batch, slot: int, k: int) -> None:
        with _native.limited_threads(1):  # the threads are these
            batch.put(slot, self.make(k))


class _Batch:
    """Tensors that samples are written into, made when the first of them is there."""

    def __init__(self, size: int, pinned: bool) -> None:
        self.size, self.pinned = size, pinned
        self.tensors: Batch = {}
        self.views: dict[str, np.ndarray] = {}
        self.lock = threading.Lock()

    def put(self, slot: int, sample: Sample) -> None:
        with self.lock:
            if not self.views:
                for name, array in sample.items():
                    kind: Any = torch.from_numpy(np.empty(0, array.dtype)).dtype
                    self.tensors[name] = torch.empty((self.size, *array.shape), dtype=kind, pin_memory=self.pinned)
                    self.views[name] = self.tensors[name].numpy()
        for name, array in sample.items():
            if array.shape != self.views[name].shape[1:]:
                came, first = array.shape, self.views[name].shape[1:]
                raise ValueError(f"samples of a batch must be alike: {name} must have the shape {first}, got {came}")
            self.views[name][slot] = array
