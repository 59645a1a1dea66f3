"""kill -9 of workers, of the driver, or of both at random moments of a segmentation: it goes on to the same bytes.

Five kills; EMFAST_KILLS=100 in the environment does as many. Each is a process that segments a phantom on threads or on
two Dask workers. A log has a line for each block that is begun, so that it can be said what was done twice.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter

import numpy as np
import pytest

import emfast

pytest.importorskip("zarr")
pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized processes")

KILLS = int(os.environ.get("EMFAST_KILLS", "5"))
KINDS = ("workers", "both", "driver on threads", "driver", "workers")
SHAPE, BLOCK = (40, 64, 72), (16, 16, 24)
BEGINS = 5.0  # seconds from the call to its first block
WORKERS, PER_WORKER = 2, 4  # tasks that are under way for each worker of Dask; a thread has one

RUN = """
    import os, sys, time
    from contextlib import ExitStack
    import emfast
    from emfast._engine.job import Job

    folder, engine = sys.argv[1:]
    log = os.open(folder + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(*words):
        os.write(log, (" ".join(map(str, (*words, os.getpid(), time.monotonic()))) + chr(10)).encode())

    def noted(job, index):
        note("block", f"{type(job.fn).__name__}/{'x'.join(map(str, job.grid.block))}/{index}")
        return done(job, index)

    done, Job.__call__ = Job.__call__, noted  # in workers too, for they begin with this file

    if __name__ == "__main__":
        with ExitStack() as stack:
            client = None
            if engine == "cluster":
                from distributed import Client, LocalCluster
                options = dict(host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50)
                cluster = stack.enter_context(LocalCluster(WORKERS, threads_per_worker=1, **options))
                client = stack.enter_context(Client(cluster))
            note("call", engine)
            engine = dict(workers=WORKERS) if client is None else dict(client=client)
            emfast.segment(folder + "/affinities.zarr", folder + "/segments.zarr", block=BLOCK, **engine)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run that nobody kills: its folder, and how many blocks it begins."""
    folder = tmp_path_factory.mktemp("sound")
    affinities = begin(folder)
    assert finished(start(folder, "threads")) == 0
    with emfast.open_volume(folder / "segments.zarr") as volume:
        assert np.array_equal(volume[...], emfast.segment_affinities(affinities))
    return folder, len(begun(folder))


def begin(folder):
    affinities = emfast.phantom.make(SHAPE, seed=5).affinities
    options = {"mode": "x", "shape": affinities.shape, "dtype": affinities.dtype}
    with emfast.open_volume(folder / "affinities.zarr", **options) as volume:
        volume[...] = affinities
    (folder / "run.py").write_text(textwrap.dedent(RUN).replace("WORKERS", str(WORKERS)).replace("BLOCK", str(BLOCK)))
    return affinities


def start(folder, engine):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(folder / "run.py"), str(folder), engine]
    with open(folder / "errors", "ab") as errors:
        return subprocess.Popen(command, env=environment, stderr=errors, start_new_session=True)


def finished(run):
    return run.wait(180)


def lines(folder):
    log = folder / "log"
    return [line.split() for line in log.read_text().split("\n")[:-1]] if log.exists() else []


def begun(folder):
    return [line[1] for line in lines(folder) if line[0] == "block"]


def stored(folder):
    """The bytes of each file of the segments; what a killed write has left under another name is none of them."""
    files = sorted(p for p in (folder / "segments.zarr").rglob("*") if p.is_file() and p.suffix != ".part")
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def kill(folder, run, kind, rng):
    """Of the run that is at its work; whether there was somebody to kill."""
    if run.poll() is not None:
        return False
    workers = sorted({int(line[2]) for line in lines(folder) if line[0] == "block"} - {run.pid})
    try:
        if kind == "both":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            os.kill(rng.choice(workers) if kind == "workers" else run.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed(tmp_path, sound, seed):
    check_kill(tmp_path, sound, KINDS[seed % len(KINDS)], random.Random(seed))


def check_kill(folder, sound, kind, rng):
    before, total = sound
    begin(folder)
    engine = "threads" if kind == "driver on threads" else "cluster"
    run = start(folder, engine)
    moment, deadline = rng.randrange(1, total), time.monotonic() + 120
    while run.poll() is None and len(begun(folder)) < moment:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.03))
    killed = kill(folder, run, kind, rng)
    code = finished(run)
    if kind == "workers" or not killed:
        assert code == 0, (folder / "errors").read_text()[-2000:]
    else:
        assert code == -signal.SIGKILL
        assert finished(start(folder, engine)) == 0, (folder / "errors").read_text()[-2000:]
    assert stored(folder) == stored(before)
    found = begun(folder)
    assert set(found) == set(begun(before))
    # Of each that is under way one is at work, and one may have ended that has not yet its line in the journal.
    under_way = 2 * WORKERS * (1 if engine == "threads" else PER_WORKER)
    assert len(found) - len(set(found)) <= under_way * killed, Counter(found).most_common(3)
    busy = max(1.0, os.getloadavg()[0] / os.cpu_count())  # others who want the same processors
    assert all(wait < BEGINS * busy for wait in waits(folder)), list(waits(folder))


def waits(folder):
    """Seconds from each call to its first block, where it had any to do."""
    found = lines(folder)
    for line, after in zip(found, found[1:], strict=False):
        if line[0] == "call" and after[0] == "block":
            yield float(after[3]) - float(line[3])
