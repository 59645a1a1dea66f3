"""Blocks on the workers of a Dask cluster.

The job goes to each worker once, as a plugin, which the scheduler also gives to workers that come later or come again.
A task is then a name and a number: no array and no graph passes the scheduler.
"""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from distributed import Client, Future, as_completed, get_worker
from distributed.comm import get_address_host
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.pickle import dumps

from .. import _native
from .job import Job
from .threads import Ended

_PER_THREAD = 4  # tasks under way for each thread of the cluster: what keeps it busy while results travel
_BETWEEN = 2.0  # seconds from one look at the cluster to the next
_TRIES = 5


class Spec(WorkerPlugin):  # type: ignore[misc]
    """The job as bytes, and how many threads of Dask share each host."""

    def __init__(self, name: str, job: bytes, sharing: Mapping[str, int]) -> None:
        self.name, self.bytes, self.sharing = name, job, dict(sharing)

    def setup(self, worker: Any) -> None:
        self.worker, self.lock = worker, threading.Lock()
        self.job: Job | None = None

    def run(self, index: int) -> Any:
        with self.lock:
            if self.job is None:  # its volumes are opened when the first block needs them
                self.job = pickle.loads(self.bytes)
        host = get_address_host(self.worker.address)
        beside = max(self.sharing.get(host, 1), self.worker.state.nthreads)
        with _native.limited_threads(max(1, _native.get_threads() // beside)):
            return self.job(index)


class Dask:
    """An engine: see ``threads``. A context, at whose end the workers forget the job."""

    def __init__(self, client: Client, job: Job) -> None:
        self.client = client
        self.name = f"emfast-{uuid.uuid4().hex[:12]}"
        self.threads = client.nthreads()
        self.looked = time.monotonic()
        self.indices: dict[str, int] = {}
        self.tasks = 0
        self.ended = as_completed()
        sharing = Counter[str]()
        for address, threads in self.threads.items():
            sharing[get_address_host(address)] += threads
        _register(client, Spec(self.name, dumps(job), sharing))

    def __enter__(self) -> Dask:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.client.status == "running":
            with suppress(OSError):  # of a worker that dies now, which forgets too; the others are told
                self.client.unregister_worker_plugin(self.name)

    @property
    def slots(self) -> int:
        """Clusters grow and shrink."""
        if time.monotonic() - self.looked > _BETWEEN:
            self.threads, self.looked = self.client.nthreads(), time.monotonic()
        return _PER_THREAD * max(1, sum(self.threads.values()))

    def submit(self, index: int) -> None:
        self.tasks += 1
        key = f"{self.name}-{self.tasks}"
        self.indices[key] = index
        self.ended.add(self.client.submit(_run, self.name, index, key=key, pure=False))

    def wait(self) -> Ended:
        futures: list[Future] = self.ended.next_batch()
        done = [future for future in futures if future.status == "finished"]
        try:
            found = dict(zip([future.key for future in done], self.client.gather(done), strict=True))
        except Exception:  # one of them was lost since, with its worker: they are asked one by one
            found = {}
        return [(self.indices.pop(future.key), found.get(future.key) or _outcome(future)) for future in futures]


def check_client(client: Any, volumes: Mapping[str, Any]) -> None:
    """Workers open volumes themselves."""
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(f"client must be a Client of Dask, not an asynchronous one, got {type(client).__name__}")
    for name, volume in volumes.items():
        if isinstance(volume, np.ndarray):
            raise ValueError(f"{name} must be where a volume lies for a client, got an array in memory")


def threads_of(client: Client) -> tuple[int, int]:
    """Of all workers, and the most of one; a cluster that has none yet counts as one."""
    threads = [*client.nthreads().values(), 1]
    return max(1, sum(threads) - 1), max(threads)


def _register(client: Client, spec: Spec) -> None:
    """Tell all workers. One that dies at this moment makes the call fail; the next call no more knows of it."""
    for left in reversed(range(_TRIES)):
        try:
            client.register_plugin(spec, name=spec.name)
            return
        except OSError:
            if not left:
                raise
            time.sleep(0.2)


def _run(name: str, index: int) -> Any:
    """The task."""
    return get_worker().plugins[name].run(index)


def _outcome(future: Future) -> Any:
    """The result of a task, or what it or its worker failed with."""
    try:
        return future.result(timeout=60)
    except Exception as error:
        return error
