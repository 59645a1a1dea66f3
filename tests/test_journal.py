"""Journals of runs over blocks: whatever a run is killed by, the next one does what is missing and no more."""

import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import zlib
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emfast
from emfast._engine import journal as _journal
from emfast._engine.identity import function_words, local_path, volume_words
from emfast._engine.job import Outcome, checksum
from emfast._engine.journal import Journal
from emfast.blocks import Made, check_blocks, map_blocks
from emfast.errors import AnotherJob, BlocksFailed, CorruptData
from strategies import hnp, layouts, shapes

zarr = pytest.importorskip("zarr")

ABOUT = {"function": "f", "block": [1], "targets": {"target": 0}}
SHAPE, CHUNKS, BLOCK = (24, 30, 40), (4, 8, 10), (8, 8, 10)


def store(path, dtype="u4", shape=SHAPE, chunks=CHUNKS, **more):
    return zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunks, **more)


def volume(shape=SHAPE):
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def around(voxels):
    """A function that needs its halo, and whose values are not all alike."""
    out = voxels.astype("u4")
    out[1:] += voxels[:-1]
    out[:, :, :-1] += voxels[:, :, 1:]
    return Made(out, {"sum": int(out.sum()), "max": out.max()})


def whole(array):
    target = np.zeros(array.shape, "u4")
    values = map_blocks(around, array, target, block=BLOCK, halo=1)
    return target, values


class Counted:
    """A function that counts its calls, and may stop."""

    def __init__(self, fn=around, stop=None):
        self.fn, self.stop, self.calls = fn, stop, 0

    def __call__(self, voxels):
        self.calls += 1
        if self.stop is not None and self.calls > self.stop:
            raise OSError("stopped")
        return self.fn(voxels)

    def __getstate__(self):  # what a journal knows it by
        return function_words(self.fn)


# --- lines


@given(st.data())
def test_a_journal_holds_what_was_done(tmp_path_factory, data):
    """Through any number of runs, each ending with a torn line."""
    path = str(tmp_path_factory.mktemp("journal") / "a.journal")
    n = data.draw(st.integers(1, 12))
    at_once = data.draw(st.integers(1, 5))
    value = st.one_of(st.none(), st.binary(max_size=4), st.integers(), st.just(np.float32(0.1)))
    expected = {}
    for _ in range(data.draw(st.integers(1, 4))):
        with mock.patch("emfast._engine.journal._AT_ONCE", at_once), Journal(path, ABOUT, n) as journal:
            assert {i for i, done in enumerate(journal.done) if done} == set(expected)
            assert dict(journal.all_values()) == {i: v for i, (v, _, _) in sorted(expected.items())}
            assert all(journal.sums[i].tolist() == [s] for i, (_, s, _) in expected.items())
            assert {i: boxes for i, (_, _, boxes) in expected.items() if boxes} == journal.lost
            for group in data.draw(st.lists(st.lists(st.integers(0, n - 1), max_size=3), max_size=3)):
                outcomes = []
                for index in group:
                    made, sum_ = data.draw(value), data.draw(st.integers(0, 2**32 - 1))
                    boxes = (("source", (slice(0, index), slice(2, 3))),) if data.draw(st.booleans()) else ()
                    if index in expected and (expected[index][0] is None) != (made is None):
                        continue  # a block makes the same whenever it is done
                    expected[index] = (made, sum_, boxes or expected.get(index, (0, 0, ()))[2])
                    kept = None if made is None else pickle.dumps(made)
                    outcomes.append((index, Outcome(kept, (sum_,), boxes)))
                journal.add(outcomes)
        size = os.path.getsize(path)
        torn = data.draw(st.sampled_from([b"", b"0", b"\xff\n", b"00000000 [0,[1]]\n", b"12348678 [0,[1"]))
        with open(path, "ab") as file:
            file.write(torn)
        assert os.path.getsize(path) == size + len(torn)


@given(st.data())
def test_a_damaged_line_is_a_block_to_do(tmp_path_factory, data):
    """Any one byte of any line but the first."""
    path = str(tmp_path_factory.mktemp("journal") / "a.journal")
    with Journal(path, ABOUT, 20) as journal:
        for index in range(20):
            journal.add([(index, Outcome(None, (index,), ()))])
    content = bytearray(Path(path).read_bytes())
    first = content.index(b"\n") + 1
    at = data.draw(st.integers(first, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    Path(path).write_bytes(content)
    line = content[first:at].count(b"\n")
    with Journal(path, ABOUT, 20) as journal:
        undone = {i for i, done in enumerate(journal.done) if not done}
        assert undone - {line, line + 1} == set()  # a newline made or lost costs two lines
        assert undone
        assert all(journal.sums[i].tolist() == [i] for i in set(range(20)) - undone)


def test_damaged_values_are_noticed(tmp_path):
    path = str(tmp_path / "a.journal")
    with Journal(path, ABOUT, 3) as journal:
        journal.add([(i, Outcome(pickle.dumps([i] * 10), (0,), ())) for i in range(3)])
    values = bytearray(Path(f"{path}.values").read_bytes())
    values[len(values) // 2] ^= 1
    Path(f"{path}.values").write_bytes(values)
    with Journal(path, ABOUT, 3) as journal:
        assert journal.value(0) == [0] * 10
        with pytest.raises(CorruptData, match=r"a\.journal\.values is damaged at the value of block 1"):
            journal.value(1)
    os.truncate(f"{path}.values", len(values) - 1)
    with Journal(path, ABOUT, 3) as journal:
        assert list(journal.done) == [1, 1, 0]


def test_other_files_are_no_journals(tmp_path):
    others = (b"something else\n", b"\x00\n\n", b"{}\n", b'{"no": "line end"}', b"text", b"0123abcd text")
    for content in others:
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(ValueError, match="journal must be a journal of emfast or a new file, got"):
            Journal(str(tmp_path / "a"), ABOUT, 3)
        assert (tmp_path / "a").read_bytes() == content
    with Journal(str(tmp_path / "b"), ABOUT, 3):
        whole = (tmp_path / "b").read_bytes()
    for torn in (whole[:n] for n in range(len(whole))):
        (tmp_path / "b").write_bytes(torn)
        with Journal(str(tmp_path / "b"), ABOUT, 3) as journal:
            assert not any(journal.done)


@given(hnp.arrays(st.sampled_from(["u1", "u8", "f4", "?"]), shapes(dims=(1, 2, 3, 4), max_side=5)))
def test_checksums_know_voxels_not_memory(array):
    expected = zlib.crc32(array.tobytes())
    assert [checksum(found) for found in layouts(array)] == [expected] * 4 if array.ndim else True
    assert checksum(array.T) == zlib.crc32(array.T.tobytes())


# --- runs that stop and go on


@given(st.data())
@settings(max_examples=max(4, settings().max_examples // 8))
def test_a_run_goes_on_where_it_stopped(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    source, target, path = volume(), store(folder / "out.zarr"), folder / "journal"
    expected, values = whole(source)
    total = None
    left = 48
    for _ in range(3):
        fn = Counted(stop=data.draw(st.integers(0, 40)))
        order = data.draw(st.permutations(range(48)))
        workers = data.draw(st.integers(1, 3))
        with pytest.raises(BlocksFailed, match="stopped") if fn.stop < left else nothing():
            map_blocks(fn, source, target, block=BLOCK, halo=1, journal=path, retries=0, order=order, workers=workers)
        left -= min(fn.stop, left)
    fn = Counted()
    total = map_blocks(fn, source, target, block=BLOCK, halo=1, journal=path)
    assert fn.calls == left
    assert np.array_equal(target[...], expected)
    assert total == values
    fn = Counted()
    assert map_blocks(fn, source, target, block=BLOCK, halo=1, journal=path) == values
    assert fn.calls == 0


class nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def test_values_are_kept_and_reduced_alike(tmp_path):
    source, fn = volume(), lambda a: str(int(a.sum()))
    combine = "({}{})".format
    expected = map_blocks(fn, source, block=BLOCK, reduce=combine)
    for _ in range(2):
        assert (
            map_blocks(fn, source, block=BLOCK, reduce=combine, journal=tmp_path / "a", order=range(47, -1, -1))
            == expected
        )
    tables = [
        map_blocks(lambda a: emfast.contingency(a, a % 2), source, block=BLOCK, reduce="+", journal=tmp_path / "b")
        for _ in range(2)
    ]
    assert tables == [emfast.contingency(source, source % 2)] * 2


def test_blocks_chosen_by_memory_stay(tmp_path):
    """The memory a process holds differs from run to run; its blocks must not."""
    source, target = volume(), store(tmp_path / "out.zarr")
    with pytest.raises(BlocksFailed):
        map_blocks(Counted(stop=2), source, target, journal=True, retries=0, memory="10GB", cost=1e6)
    block = _journal.about_of(tmp_path / "out.zarr.journal")["block"]
    map_blocks(Counted(), source, target, journal=True, memory="1TB")
    assert _journal.about_of(tmp_path / "out.zarr.journal")["block"] == block


def test_failed_blocks_are_done_by_the_next_run(tmp_path):
    target = store(tmp_path / "out.zarr")

    def fn(where, bad=(3, 7)):
        if where.index in bad and not (tmp_path / "repaired").exists():
            raise ValueError("not yet")
        return np.full(where.shape, where.index)

    run = partial(map_blocks, fn, None, target, block=BLOCK, journal=True, retries=0, keep_going=True)
    assert [failure.index for failure in run().failed] == [3, 7]
    (tmp_path / "repaired").touch()
    assert run().failed == ()
    assert np.unique(target[...]).tolist() == list(range(48))


def test_where_a_journal_lies(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    target = group.create_array("volumes/labels", shape=(4,), dtype="u1", chunks=(2,))
    map_blocks(np.negative, np.zeros(4, "i1"), target, block=2, journal=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.zarr",
        "a.zarr.volumes.labels.journal",
        "a.zarr.volumes.labels.journal.values",
    ]
    for bad, words in (
        (
            dict(target=np.zeros(4, "i1"), journal=True),
            "target must lie in a file for a journal, got an array in memory",
        ),
        (dict(journal=True), "journal must be a path where there is no target on this machine"),
    ):
        with pytest.raises(ValueError, match=words):
            map_blocks(np.negative, np.zeros(4, "i1"), block=2, **bad)


def test_targets_that_are_not_there_yet_have_no_journal(tmp_path):
    with emfast.open_volume(tmp_path / "a.npy", mode="w", shape=(4,), dtype="i1", axes="x") as target:
        with pytest.raises(ValueError, match=r"target must be there already for a journal: .*a\.npy must be closed"):
            map_blocks(np.negative, np.zeros(4, "i1"), target, block=2, journal=True)
        map_blocks(np.negative, np.ones(4, "i1"), target, block=2)
    assert np.load(tmp_path / "a.npy").tolist() == [-1] * 4


# --- other jobs, other runs, other targets


def test_other_jobs_are_refused(tmp_path):
    source, target = volume(), store(tmp_path / "out.zarr")
    source[0] += 1
    options = dict(block=BLOCK, halo=1, journal=tmp_path / "journal")
    map_blocks(around, source, target, **options)
    for change, words in (
        (dict(block=(8, 8, 20)), r"its block was \[8, 8, 10\], now it is \[8, 8, 20\]"),
        (dict(halo=2), "its halo was"),
        (dict(fn=lambda a: a), "its function was test_journal.around"),
        (dict(fn=partial(around)), "its function was"),
        (dict(source=source + 1), "its sources was|its sources were"),
        (dict(target=store(tmp_path / "two.zarr")), "its targets was"),
        (dict(on_corrupt="skip"), "its on_corrupt was error, now it is skip"),
    ):
        arguments = {"fn": around, "source": source, "target": target, **options, **change}
        with pytest.raises(ValueError, match=words):
            map_blocks(**arguments)
    map_blocks(around, source.copy(), zarr.open_array(tmp_path / "out.zarr", mode="r+"), **options)


def test_functions_in_words():
    def double(a, factor=2):
        return a * factor

    def triple(a, factor=3):
        return a * factor

    bound = [partial(double, factor=k) for k in (4, 4, 5)]
    words = list(map(function_words, (double, triple, *bound, np.sqrt, np.sum, emfast.edt, Counted(double))))
    assert words[2] == words[3]
    assert len(set(words)) == len(words) - 1
    assert all("0x" not in word for word in words)  # no addresses
    closures = [function_words(lambda a, k=k: a + k) for k in (1, 1, 2)]
    assert closures[0] == closures[1] != closures[2]
    arrays = [function_words(partial(double, factor=np.full(10**6, k))) for k in (1, 1, 2)]
    assert arrays[0] == arrays[1] != arrays[2]
    assert len(arrays[0]) < 200


def test_volumes_in_words(tmp_path):
    array = store(tmp_path / "a.zarr")
    assert volume_words(array) == volume_words(zarr.open_array(tmp_path / "a.zarr"))
    assert volume_words(array)[0] == str(tmp_path / "a.zarr")
    assert volume_words(volume()) == volume_words(volume()) != volume_words(volume() + 1)
    assert local_path(array) == (str(tmp_path / "a.zarr"), "")
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", "u1", (3,))
    assert volume_words(mapped)[0] == str(tmp_path / "a.npy")


def test_a_source_that_was_changed_makes_another_job(tmp_path):
    """A run that was cut short does not go on with voxels of another day."""
    source, target = store(tmp_path / "in.zarr"), store(tmp_path / "out.zarr")
    source[...] = volume()
    run = partial(map_blocks, np.copy, str(tmp_path / "in.zarr"), target, block=BLOCK, journal=True)
    run()
    run()
    source[0, 0, 0] = 77
    with pytest.raises(AnotherJob, match=r"its sources was .*now it is"):
        run()


def test_helpers_and_constants_make_another_job():
    def module(code):
        names = {"__name__": "mine"}
        exec(code, names)  # a script in two states
        return function_words(names["fn"])

    code = "\n".join(
        [
            "LIMIT = 3",
            "state = 1",
            "def more(x, n=1):",
            "    return more(x, n - 1) if n else x + LIMIT",
            "def fn(x, *, k=2):",
            "    return more(x) + state",
        ]
    )
    assert module(code) == module(code) == module(code.replace("state = 1", "state = 2"))
    for old, new in (("LIMIT = 3", "LIMIT = 4"), ("x + LIMIT", "x - LIMIT"), ("k=2", "k=3"), ("n=1", "n=2")):
        assert module(code) != module(code.replace(old, new))


def test_a_target_made_anew_is_noticed(tmp_path):
    source, target = volume(), store(tmp_path / "out.zarr")
    run = partial(map_blocks, around, source, block=BLOCK, halo=1, journal=tmp_path / "journal")
    run(target=target)
    target = store(tmp_path / "out.zarr", overwrite=True)
    with pytest.raises(CorruptData, match=r"target does not hold in \[0:8, 0:8, 0:10\] what .*journal says"):
        run(target=target)


def test_the_second_run_refuses(tmp_path):
    """With one journal or two, in one process or in others."""
    source, target = volume(), store(tmp_path / "out.zarr")
    refused = []

    def fn(voxels, where):
        if where.index == 0:
            for journal in (tmp_path / "a", tmp_path / "b", None):
                with pytest.raises(RuntimeError, match=r"target .*out\.zarr is in use by another run") as error:
                    map_blocks(np.copy, source, target, block=BLOCK, journal=journal)
                refused.append(str(error.value))
            with pytest.raises(RuntimeError, match=r"journal .*a is in use by another run"):
                map_blocks(np.copy, source, block=BLOCK, journal=tmp_path / "a")
        return voxels

    map_blocks(fn, source, target, block=BLOCK, journal=tmp_path / "a")
    assert len(refused) == 3
    map_blocks(np.copy, source, target, block=BLOCK)  # afterwards it is free


# --- stores that fail


class Store:
    """A target in memory that says where it lies, and what goes wrong with it."""

    def __init__(self, uri, shape=SHAPE, room=None, chance=0.0, seed=0):
        self.uri, self.array = str(uri), np.zeros(shape, "u4")
        self.shape, self.dtype, self.ndim, self.chunks = shape, self.array.dtype, len(shape), CHUNKS
        self.room, self.chance, self.random = room, chance, random.Random(seed)

    def fail(self):
        if self.random.random() < self.chance:
            raise OSError(errno.EIO, "the store does not answer")

    def __getitem__(self, window):
        self.fail()
        return self.array[window].copy()

    def __setitem__(self, window, values):
        self.fail()
        if self.room is not None:
            if self.room < values.nbytes:
                self.array[window][:1] = 7  # half of it is there
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= values.nbytes
        self.array[window] = values


def test_a_full_disk(tmp_path):
    source = volume()
    expected, values = whole(source)
    target = Store(tmp_path / "nowhere", room=20 * 8 * 8 * 10 * 4)
    run = partial(map_blocks, around, source, target, block=BLOCK, halo=1, journal=tmp_path / "journal")
    with pytest.raises(BlocksFailed, match="No space left on device"):
        run()
    done = (tmp_path / "journal").read_bytes().count(b"\n") - 1
    assert 10 < done < 30
    target.room = 10**9
    seen = []
    assert run(progress=lambda *at: seen.append(at)) == values
    assert seen[0][0] > done
    assert np.array_equal(target.array, expected)


@pytest.mark.parametrize("broken", ["lines", "values"])
def test_no_room_for_the_journal(tmp_path, monkeypatch, broken):
    """Nothing is under way any more when the error comes, and the next run goes on."""
    source, target = volume(), store(tmp_path / "out.zarr")
    expected, values = whole(source)
    room, write = [700], _journal._write

    def short(file, data):
        if len(data) > room[0]:
            write(file, data[: room[0]])
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= len(data)
        write(file, data)

    monkeypatch.setattr(_journal, "_write", short)
    run = partial(map_blocks, around, source, target, block=BLOCK, halo=1, journal=True)
    for _ in range(3):
        room[0] = 700 if broken == "lines" else 1500
        with pytest.raises(OSError, match="No space left"):
            run()
    monkeypatch.setattr(_journal, "_write", write)
    assert run() == values
    assert np.array_equal(target[...], expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_store_that_fails_one_request_in_twenty(tmp_path, seed):
    source = Store(tmp_path / "in", chance=0.05, seed=seed)
    source.array[...] = volume()
    target = Store(tmp_path / "out", chance=0.05, seed=seed + 100)
    expected, values = whole(source.array)
    run = partial(map_blocks, around, source, target, block=BLOCK, halo=1, journal=tmp_path / "journal")
    source.chance = target.chance = 0.05
    assert run(retries=8) == values
    assert np.array_equal(target.array, expected)


# --- what is damaged later


def test_finished_blocks_can_be_checked(tmp_path):
    source, target = volume(), store(tmp_path / "out.zarr")
    expected, _ = whole(source)
    map_blocks(Counted(), source, target, block=BLOCK, halo=1, journal=True)
    assert check_blocks(target) == ()
    target[9, 9, 9] += 1
    target[20:, 0, 0] = 0
    wrong = check_blocks(tmp_path / "out.zarr")
    assert [block.place for block in wrong] == [(1, 1, 0), (2, 0, 0)]
    assert check_blocks(target, forget=True) == wrong
    fn = Counted()
    map_blocks(fn, source, target, block=BLOCK, halo=1, journal=True)
    assert fn.calls == 2
    assert np.array_equal(target[...], expected)
    assert check_blocks(target) == ()
    with pytest.raises(FileNotFoundError, match=r"none\.journal"):
        check_blocks(target, journal=tmp_path / "none.journal")


# --- kills


KILLED = """
import os, sys, time
import numpy as np
from emfast.blocks import Made, map_blocks
folder, seconds = sys.argv[1], float(sys.argv[2])
log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
begun = time.monotonic()
first = []
def fn(voxels, where):
    if not first:
        first.append(1)
        os.write(log, b"first %f\\n" % (time.monotonic() - begun))
    os.write(log, b"block %d\\n" % where.index)
    time.sleep(seconds)
    out = voxels.astype("u4")
    out[1:] += voxels[:-1]
    out[:, :, :-1] += voxels[:, :, 1:]
    return Made(out, (int(out.sum()), where.index))
values = map_blocks(fn, folder + "/in.zarr", folder + "/out.zarr", block=(8, 8, 10), halo=1, journal=True, workers=3)
np.save(folder + "/values.npy", np.array(values))
"""
# what is done twice besides counts is `log` itself: a file descriptor, not part of the job


def kill_and_resume(folder, kills, seed):
    """Killed so often at random moments; the log of all runs."""
    rng = random.Random(seed)
    (folder / "run.py").write_text(KILLED)
    source = volume()
    store(folder / "in.zarr", "u1")[...] = source
    store(folder / "out.zarr")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = 0
    while True:
        run = subprocess.Popen([sys.executable, str(folder / "run.py"), str(folder), "0.01"], env=environment)
        log = folder / "log"
        size = log.stat().st_size if log.exists() else 0
        if killed < kills:
            deadline = time.monotonic() + 60  # from its first block on, at any moment
            while run.poll() is None and (not log.exists() or log.stat().st_size == size):
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.6 / kills))
            if run.poll() is None:
                run.send_signal(signal.SIGKILL)
                killed += 1
        if run.wait(120) == 0:
            break
        assert run.returncode == -signal.SIGKILL
    expected, values = whole(source)
    assert np.array_equal(zarr.open_array(folder / "out.zarr")[...], expected)
    assert np.load(folder / "values.npy").tolist() == [[v["sum"], i] for i, v in enumerate(values)]
    lines = (folder / "log").read_text().split("\n")[:-1]
    firsts = [float(line.split()[1]) for line in lines if line.startswith("first")]
    assert max(firsts) < 5
    blocks = [line for line in lines if line.startswith("block")]
    assert len(set(blocks)) == 48
    assert len(blocks) <= 48 + 3 * killed  # no more than those that were under way
    assert check_blocks(folder / "out.zarr") == ()
    return killed


@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitized import is slow")
def test_killed_at_random_moments(tmp_path):
    assert kill_and_resume(tmp_path, 5, 1) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_a_hundred_times(tmp_path, seed):
    assert kill_and_resume(tmp_path, 5, seed) >= 3


def test_names():
    line = _journal._line([3, [1]])
    assert json.loads(line[9:]) == [3, [1]]
