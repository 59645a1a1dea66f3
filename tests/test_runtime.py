"""Threads, forks, Ctrl-C, and calls from many Python threads."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import emfast
from emfast import _core, _native


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_default_is_what_this_process_may_use():
    assert 1 <= _core.available_processors() <= len(os.sched_getaffinity(0))
    one = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import emfast; print(emfast.get_threads())"
    )
    assert run(one, EMFAST_THREADS="") == "1"


def test_environment_and_call():
    assert run("import emfast; print(emfast.get_threads())", EMFAST_THREADS="3") == "3"
    assert run("import emfast; emfast.set_threads(5); print(emfast.get_threads())", EMFAST_THREADS="3") == "5"
    assert (
        run(
            "import emfast; emfast.set_threads(5); emfast.set_threads(0); print(emfast.get_threads())",
            EMFAST_THREADS="3",
        )
        == "3"
    )


@pytest.mark.parametrize("bad", [-1, 1.5, "2", True, 10**6])
def test_set_threads_refuses(bad):
    with pytest.raises(ValueError, match="n must be an integer from 0 to 4096, got"):
        emfast.set_threads(bad)


def test_a_limit_of_one_thread_is_its_own():
    """It lowers the number for calls of the Python thread that sets it, and for no other."""
    emfast.set_threads(6)
    try:
        with _native.limited_threads(2):
            assert emfast.get_threads() == 2
            with _native.limited_threads(4):
                assert emfast.get_threads() == 4
            assert emfast.get_threads() == 2
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                assert pool.submit(emfast.get_threads).result() == 6
            emfast.set_threads(1)
            assert emfast.get_threads() == 1
            emfast.set_threads(6)
        assert emfast.get_threads() == 6
        with pytest.raises(KeyError), _native.limited_threads(3):
            raise KeyError
        assert emfast.get_threads() == 6
    finally:
        emfast.set_threads(0)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitizer has threads of its own")
def test_native_calls_keep_to_the_limit():
    code = """
        import os, threading, time
        import numpy as np, emfast
        from emfast import _native
        emfast.set_threads(5)
        labels = np.random.default_rng(0).integers(0, 2, (200, 256, 256), "u1")
        most = [0]
        done = threading.Event()
        def count():
            while not done.is_set():
                most[0] = max(most[0], len(os.listdir("/proc/self/task")))
        counter = threading.Thread(target=count)
        counter.start()
        found = []
        for limit in (1, 3, 0):
            most[0] = 0
            with _native.limited_threads(limit):
                emfast.connected_components(labels, connectivity=26)
            found.append(most[0])
        done.set()
        print(found[1] - found[0], found[2] - found[0])
    """
    assert run(code, OPENBLAS_NUM_THREADS="1") == "2 4"


def volume():
    return np.random.default_rng(0).integers(0, 2, (64, 64, 128), "u1")


def test_calls_from_many_python_threads(backend):
    labels = backend(volume())
    expected = backend.host(emfast.connected_components(labels))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for out in pool.map(lambda _: emfast.connected_components(labels), range(12)):
            assert np.array_equal(backend.host(out), expected)


def _in_child(expected):
    assert np.array_equal(emfast.connected_components(volume()), expected)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_works_after_fork(threads):
    expected = emfast.connected_components(volume())
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(expected,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_the_gil_is_released():
    """A counting thread gets on while a native call runs."""
    labels = np.random.default_rng(0).integers(0, 2, (200, 256, 256), "u1")
    ticks, done = [0], threading.Event()

    def count():
        while not done.is_set():
            ticks[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        time.sleep(0.01)
        before = ticks[0]
        emfast.connected_components(labels, connectivity=26)
        during = ticks[0] - before
    finally:
        done.set()
        counter.join()
    assert during >= 3


unsanitized = pytest.mark.skipif(
    "EMFAST_SANITIZER" in os.environ, reason="a sanitizer takes too much time or memory of its own"
)


@unsanitized
def test_ctrl_c_ends_a_long_call():
    """SIGINT during a native loop comes back as KeyboardInterrupt well before the loop would have ended."""
    code = """
        import os, signal, threading, time
        import numpy as np, emfast
        signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background start with it ignored
        emfast.set_threads(2)
        labels = np.random.default_rng(0).integers(0, 2, (64, 512, 512), "u1")
        labels = np.tile(labels, (12, 1, 1))
        sent = []
        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        timer = threading.Timer(0.4, interrupt)
        try:
            timer.start()
            while True:
                emfast.connected_components(labels, connectivity=26)
        except KeyboardInterrupt:
            print(time.perf_counter() - sent[0])
    """
    assert float(run(code)) < 5  # half a second on an idle machine; a busy one may take its time


@unsanitized
def test_out_of_memory_is_an_error(monkeypatch):
    resource = pytest.importorskip("resource")
    code = f"""
        import resource, numpy as np, emfast
        labels = np.zeros((300, 1000, 1000), "u1")
        resource.setrlimit(resource.RLIMIT_AS, (900 << 20, {resource.RLIM_INFINITY}))
        try:
            emfast.connected_components(labels)
        except MemoryError:
            print("MemoryError")
    """
    assert run(code, EMFAST_THREADS="1", OPENBLAS_NUM_THREADS="1") == "MemoryError"
