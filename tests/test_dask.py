"""Blocks on Dask workers: the same stores and values as on threads, whichever worker dies."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

import emfast
from emfast._engine.plan import LATE
from emfast.blocks import Grid, Made, check_blocks, map_blocks, plan_blocks
from emfast.errors import BlocksFailed

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized threads and processes"),
    pytest.mark.filterwarnings("default"),  # those of Dask are its own
]

LOCAL = "127.0.0.1:0"
SHAPE, BLOCK = (24, 30, 40), (8, 16, 16)


@pytest.fixture
def client():
    """A cluster in this process, of two threads."""
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=LOCAL
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def processes():
    """A cluster of two processes of one thread each."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=LOCAL,
            silence_logs=logging.CRITICAL,
            resources={"GPU": 1},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def around(voxels, factor=1):
    out = voxels.astype("u4") * factor
    out[1:] += voxels[:-1]
    out[:, :, :-1] += voxels[:, :, 1:]
    return Made(out, int(out.sum()))


@pytest.fixture
def stores(tmp_path):
    """A source on disk, and what threads make of it in memory."""
    volume = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    common = dict(shape=SHAPE, chunks=(4, 8, 8), shards=(8, 16, 16))
    with emfast.open_volume(tmp_path / "in.zarr", mode="x", dtype="u1", **common) as source:
        source[...] = volume
    for name in ("one", "two"):
        emfast.open_volume(tmp_path / f"{name}.zarr", mode="x", dtype="u4", **common).close()
    expected = np.zeros(SHAPE, "u4")
    values = map_blocks(partial(around, factor=3), volume, expected, block=BLOCK, halo=1)
    return tmp_path, expected, values


def read(path):
    with emfast.open_volume(path) as volume:
        return volume[...]


def files(folder):
    """The bytes of every file of a store."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_cluster_makes_what_threads_make(client, stores):
    folder, expected, values = stores
    run = partial(map_blocks, partial(around, factor=3), folder / "in.zarr", block=BLOCK, halo=1, journal=True)
    assert run(target=folder / "one.zarr", client=client) == values
    assert np.array_equal(read(folder / "one.zarr"), expected)
    run(target=folder / "two.zarr")
    assert files(folder / "one.zarr") == files(folder / "two.zarr")
    journals = [(folder / f"{name}.zarr.journal").read_text().split("\n")[1:-1] for name in ("one", "two")]
    blocks = [sorted(json.loads(line[9:])[:2] for line in lines) for lines in journals]
    assert blocks[0] == blocks[1]
    sums = map_blocks(lambda a, where: (where.index, int(a.sum())), folder / "in.zarr", block=BLOCK, client=client)
    volume = read(folder / "in.zarr")
    assert sums == [(block.index, int(volume[block.core].sum())) for block in Grid(SHAPE, BLOCK)]
    combine = "({}{})".format
    texts = [
        map_blocks(lambda where: str(where.index), None, shape=(37,), block=1, reduce=combine, client=which)
        for which in (client, None)
    ]
    assert texts[0] == texts[1]
    assert not [name for worker in client.cluster.workers.values() for name in worker.plugins if "emfast" in name]


def test_the_job_goes_once_and_few_tasks_are_under_way(client, monkeypatch):
    from emfast._engine import cluster as _dask

    sent, most, tasks = [], [0], []
    dumps, submit = _dask.dumps, _dask.Dask.submit

    def counted(job):
        sent.append(len(dumps(job)))
        return dumps(job)

    def counting(self, index):
        submit(self, index)
        most[0] = max(most[0], len(self.indices))
        tasks.append(index)

    monkeypatch.setattr(_dask, "dumps", counted)
    monkeypatch.setattr(_dask.Dask, "submit", counting)
    weight = os.urandom(10**6)
    map_blocks(lambda where: len(weight), None, shape=(60,), block=1, client=client)
    assert len(sent) == 1 and sent[0] > 10**6
    assert len(tasks) == 60
    assert most[0] == 8  # four for each of two threads


def test_what_fails_on_a_cluster_is_told(client, stores):
    folder, _, _ = stores

    def fn(where):
        if where.index in (2, 5):
            raise ZeroDivisionError("of this block")
        return where.index

    found = map_blocks(fn, None, shape=(8,), block=1, client=client, keep_going=True)
    assert found == [0, 1, None, 3, 4, None, 6, 7]
    assert [failure.index for failure in found.failed] == [2, 5]
    with pytest.raises(BlocksFailed, match="ZeroDivisionError: of this block"):
        map_blocks(fn, None, shape=(8,), block=1, client=client, retries=0)
    with pytest.raises(ValueError, match="source must be where a volume lies for a client, got an array in memory"):
        map_blocks(np.copy, np.zeros(3), block=1, client=client)
    with pytest.raises(ValueError, match="target must be where a volume lies for a client"):
        map_blocks(np.copy, folder / "in.zarr", np.zeros(SHAPE), block=8, client=client)
    with pytest.raises(TypeError, match="client must be a Client of Dask"):
        map_blocks(np.copy, folder / "in.zarr", block=8, client="tcp://somewhere")
    with pytest.raises(ValueError, match="workers must be left to the cluster"):
        map_blocks(np.copy, folder / "in.zarr", block=8, client=client, workers=3)


def test_workers_share_the_threads_of_their_host(client):
    emfast.set_threads(6)
    try:
        assert map_blocks(emfast.get_threads, None, shape=(9,), block=1, client=client) == [3] * 9
    finally:
        emfast.set_threads(0)


def test_plans_of_clusters(client, stores):
    folder, _, _ = stores
    plan = plan_blocks(folder / "in.zarr", folder / "one.zarr", client=client, memory="1GB", cost=10)
    assert plan.workers == 2
    blocks = sorted((10 * np.prod(block.shape) for block in plan.grid), reverse=True)
    assert plan.bytes == plan.base + LATE + 2 * sum(blocks[:2])  # so small ones the C library keeps
    with pytest.raises(ValueError, match="memory must be at least"):
        plan_blocks(folder / "in.zarr", folder / "one.zarr", client=client, memory="1GB", cost=10**6)


@pytest.mark.slow
def test_threads_and_processes_make_identical_stores(processes, stores):
    folder, expected, values = stores
    run = partial(map_blocks, partial(around, factor=3), folder / "in.zarr", block=BLOCK, halo=1)
    order = np.random.default_rng(1).permutation(len(Grid(SHAPE, BLOCK)))
    assert run(target=folder / "one.zarr", client=processes, order=order) == values
    run(target=folder / "two.zarr", workers=2)
    assert files(folder / "one.zarr") == files(folder / "two.zarr")
    assert np.array_equal(read(folder / "one.zarr"), expected)


def deadly(voxels, where, folder, chance):
    """Kills its worker at some blocks, the first time they are done."""
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"%d\n" % where.index)
    os.close(log)
    mark = f"{folder}/mark-{where.index}"
    if np.random.default_rng(where.index).random() < chance and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return around(voxels, 3)


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_blocks_only(processes, stores):
    folder, expected, values = stores
    fn = partial(deadly, folder=str(folder), chance=0.3)
    done = map_blocks(
        fn, folder / "in.zarr", folder / "one.zarr", block=BLOCK, halo=1, client=processes, journal=True, retries=5
    )
    killed = len(list(folder.glob("mark-*")))
    assert killed >= 3
    assert done == values
    assert np.array_equal(read(folder / "one.zarr"), expected)
    assert check_blocks(folder / "one.zarr") == ()
    calls = (folder / "log").read_text().split()
    # Beside the block that killed it, results that the worker had not yet handed over are made again.
    assert len(calls) <= len(values) + killed * 9


def test_a_worker_that_dies_while_it_is_told(client, monkeypatch):
    """Dask breaks off the call that tells all workers of a job, or to forget it."""
    from distributed.comm import CommClosedError

    register, forget, calls = client.register_plugin, client.unregister_worker_plugin, []

    def broken(call, times):
        def fails(*arguments, **options):
            calls.append(call.__name__)
            if calls.count(call.__name__) <= times:
                raise CommClosedError("Stream is closed")
            return call(*arguments, **options)

        return fails

    monkeypatch.setattr(client, "register_plugin", broken(register, 2))
    monkeypatch.setattr(client, "unregister_worker_plugin", broken(forget, 1))
    assert map_blocks(lambda where: where.index, None, shape=(3,), block=1, client=client) == [0, 1, 2]
    assert calls == ["register_plugin"] * 3 + ["unregister_worker_plugin"]
    monkeypatch.setattr(client, "register_plugin", broken(register, 99))
    with pytest.raises(CommClosedError):
        map_blocks(lambda where: where.index, None, shape=(3,), block=1, client=client)


@pytest.mark.slow
def test_workers_with_a_device(processes):
    """One task at a time for each device."""

    def fn(where):
        begun = time.time()
        time.sleep(0.05)
        return os.getpid(), begun, time.time()

    with dask.annotate(resources={"GPU": 1}):
        spans = map_blocks(fn, None, shape=(12,), block=1, client=processes)
    for pid in {span[0] for span in spans}:
        mine = sorted(span[1:] for span in spans if span[0] == pid)
        assert all(before[1] <= after[0] for before, after in zip(mine, mine[1:], strict=False))


DRIVER = """
import os, sys, time
from functools import partial
import numpy as np
from distributed import Client, LocalCluster
from emfast.blocks import Made, map_blocks
folder = sys.argv[1]

def slow(voxels, where, folder):
    log = os.open(folder + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"%d\\n" % where.index)
    os.close(log)
    time.sleep(0.05)
    out = voxels.astype("u4") * 3
    out[1:] += voxels[:-1]
    out[:, :, :-1] += voxels[:, :, 1:]
    return Made(out, int(out.sum()))

if __name__ == "__main__":
    with LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as client:
            values = map_blocks(partial(slow, folder=folder), folder + "/in.zarr", folder + "/one.zarr",
                                block=(8, 16, 16), halo=1, client=client, journal=True)
    np.save(folder + "/values.npy", values)
"""


@pytest.mark.slow
def test_a_driver_that_dies_goes_on(stores):
    """With all its workers, a few blocks after its first."""
    folder, expected, values = stores
    (folder / "run.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    log = folder / "log"
    for kills in range(4):
        run = subprocess.Popen(
            [sys.executable, str(folder / "run.py"), str(folder)], env=environment, stderr=subprocess.DEVNULL
        )
        before = log.stat().st_size if log.exists() else 0
        deadline = time.monotonic() + 60
        while kills < 3 and run.poll() is None and (log.stat().st_size if log.exists() else 0) < before + 6:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        if kills < 3 and run.poll() is None:
            run.kill()
        code = run.wait(120)
        if code == 0:
            break
        time.sleep(0.5)  # its workers notice, and end
    assert code == 0 and kills >= 1
    assert np.load(folder / "values.npy").tolist() == values
    assert np.array_equal(read(folder / "one.zarr"), expected)
    calls = log.read_text().split()
    assert len(set(calls)) == len(values)
    assert len(calls) <= len(values) + 8 * kills
