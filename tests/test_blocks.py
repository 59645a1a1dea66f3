"""Volumes in blocks: the answer never depends on the blocks, their order, the workers, or on what fails meanwhile."""

import io
import itertools
import math
import operator
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import blocks
from emfast._engine import grid as _grid
from emfast._engine import plan as _plan
from emfast._engine.reduce import Pairs
from emfast._progress import Progress
from emfast.blocks import Block, Grid, Made, Results, map_blocks, plan_blocks
from emfast.errors import BlocksFailed, CorruptData


@st.composite
def grids(draw, dims=(1, 2, 3), min_side=0):
    n = draw(st.sampled_from(dims))
    shape = draw(st.tuples(*[st.integers(min_side, 9)] * n))
    block = draw(st.tuples(*[st.integers(1, 10)] * n))
    pair = st.tuples(st.integers(0, 4), st.integers(0, 4))
    halo = draw(st.one_of(st.integers(0, 12), st.tuples(*[st.integers(0, 4)] * n), st.tuples(*[pair] * n)))
    return Grid(shape, block, halo)


def neighbourhood(voxels, halo):
    """Sums of every box around a voxel, as far as the volume goes: a function that needs its halo."""
    out = np.zeros(voxels.shape, np.int64)
    for place in np.ndindex(voxels.shape):
        out[place] = voxels[tuple(slice(max(0, k - a), k + b + 1) for k, (a, b) in zip(place, halo, strict=True))].sum()
    return out


# --- grids


@given(grids())
def test_cores_cover_every_voxel_once(grid):
    seen = np.zeros(grid.shape, int)
    for index, block in enumerate(grid):
        assert block == grid[index] == grid[index - len(grid)]
        assert block.index == index == grid.index_of(block.place)
        assert min(block.shape) > 0
        assert block.whole == grid.shape
        assert all(side <= most for side, most in zip(block.outer_shape, grid.largest, strict=True))
        seen[block.core] += 1
    assert (seen == 1).all()
    assert [b.place for b in grid] == list(np.ndindex(grid.counts))  # raster order
    assert len(grid) == sum(1 for _ in grid)


@given(grids(min_side=1), st.data())
def test_boxes_of_a_block(grid, data):
    volume = np.arange(math.prod(grid.shape)).reshape(grid.shape)
    block = grid[data.draw(st.integers(0, len(grid) - 1))]
    assert np.array_equal(volume[block.outer][block.inner], volume[block.core])
    inside = {tuple(place) for place in np.argwhere(np.isin(volume, volume[block.outer]))}
    near = set()
    for place in np.argwhere(np.isin(volume, volume[block.core])):
        reach = [range(k - a, k + b + 1) for k, (a, b) in zip(place, grid.halo, strict=True)]
        near |= {p for p in np.ndindex(grid.shape) if all(k in r for k, r in zip(p, reach, strict=True))}
    assert inside == near


@given(grids(min_side=1), st.data(), st.booleans())
def test_neighbours_touch(grid, data, diagonal):
    i = data.draw(st.integers(0, len(grid) - 1))
    far = [np.abs(np.subtract(grid[i].place, other.place)) for other in grid]
    touching = [k for k, d in enumerate(far) if d.max() == 1 and (diagonal or d.sum() == 1)]
    assert list(grid.neighbours(i, diagonal=diagonal)) == touching


def test_grids_refuse():
    for bad in (0, (1,), (1, 0), "a", 1.5):
        with pytest.raises((ValueError, TypeError), match="block must be a"):
            Grid((4, 4), bad)
    for bad in (-1, (1,), (1, (1, 2, 3)), "ab", 1.5, (0, -1)):
        with pytest.raises((ValueError, TypeError), match="halo must be"):
            Grid((4, 4), 2, bad)
    with pytest.raises(IndexError, match="index must be one of 4 blocks, got 4"):
        Grid((4, 4), 2)[4]
    with pytest.raises(ValueError, match="shape must not be negative"):
        Grid((4, -1), 2)
    assert list(Grid((4, 0), 2)) == []
    assert Grid((4, 4), 2)[1:3] == [Grid((4, 4), 2)[1], Grid((4, 4), 2)[2]]


# --- the answer


@given(grids(), st.data(), st.integers(1, 4))
def test_blocks_are_the_whole(grid, data, workers):
    volume = np.random.default_rng(0).integers(0, 100, grid.shape)
    order = data.draw(st.permutations(range(len(grid))))
    target = np.full(grid.shape, -1)
    halo = grid.halo

    def fn(voxels, where):
        out = neighbourhood(voxels, halo)
        assert voxels.shape == where.outer_shape
        return out if where.index % 2 else out[where.inner]

    done = map_blocks(fn, volume, target, block=grid.block, halo=halo, order=order, workers=workers)
    assert done == [None] * len(grid)
    assert np.array_equal(target, neighbourhood(volume, halo))


@given(st.integers(0, 40), st.data(), st.integers(1, 5))
def test_values_come_in_block_order(n, data, workers):
    order = data.draw(st.permutations(range(n)))
    values = map_blocks(lambda a: a.tolist(), np.arange(n), block=1, order=order, workers=workers)
    assert values == [[k] for k in range(n)]


def in_pairs(values, combine):
    """The oracle of a reduction: pairs of neighbours, then pairs of these."""
    while len(values) > 1:
        values = [combine(*values[k : k + 2]) if k + 1 < len(values) else values[k] for k in range(0, len(values), 2)]
    return values[0] if values else None


@given(st.integers(0, 70), st.data(), st.integers(1, 5))
def test_reductions_know_no_order(n, data, workers):
    """The function is neither commutative nor associative."""
    order = data.draw(st.permutations(range(n)))
    expected = in_pairs([str(k) for k in range(n)], "({}{})".format)
    found = map_blocks(
        lambda where: str(where.index), None, shape=(n,), block=1, order=order, workers=workers, reduce="({}{})".format
    )
    assert found == expected
    pairs = Pairs(n, "({}{})".format)
    for index in order:
        pairs.put(index, str(index))
    assert pairs.result() == expected


def test_few_values_wait():
    pairs = Pairs(1000, operator.add)
    for k in range(1000):
        pairs.put(k, 1)
        assert len(pairs.waiting) <= 10
    assert pairs.result() == 1000


def test_reductions_add():
    volume = np.random.default_rng(1).integers(0, 5, (7, 8, 9), np.uint8)
    table = map_blocks(lambda a: emfast.contingency(a, a % 3), volume, block=4, reduce="+")
    assert table == emfast.contingency(volume, volume % 3)
    with pytest.raises(ValueError, match=r"reduce must be '\+' or a function"):
        map_blocks(np.sum, volume, block=4, reduce="sum")


@given(grids(min_side=1), st.data(), st.integers(1, 4))
def test_each_block_after_those_it_waits_for(grid, data, workers):
    before = {i: data.draw(st.sets(st.integers(0, i - 1))) if i else set() for i in range(len(grid))}
    order = data.draw(st.permutations(range(len(grid))))
    done, lock = set(), threading.Lock()

    def fn(where):
        with lock:
            assert before[where.index] <= done
        time.sleep(0)
        with lock:
            done.add(where.index)

    map_blocks(
        fn,
        None,
        shape=grid.shape,
        block=grid.block,
        order=order,
        workers=workers,
        after=lambda block: before[block.index],
        retries=0,
    )
    assert len(done) == len(grid)


def test_circles_are_refused():
    with pytest.raises(ValueError, match="after must not lead in circles, got block 0 that waits for 1"):
        map_blocks(lambda: 0, None, shape=(3,), block=1, after=lambda block: {0: [1], 1: [0], 2: []}[block.index])


@given(grids(min_side=1), st.integers(0, 2**32), st.integers(1, 4))
def test_failures_on_the_way_change_nothing(grid, seed, workers):
    """Every block fails twice at most, sometimes after half of it was written."""
    volume = np.random.default_rng(0).integers(0, 100, grid.shape)
    rng, lock = random.Random(seed), threading.Lock()
    left = {i: rng.choice([0, 0, 1, 2]) for i in range(len(grid))}

    def fn(voxels, where):
        with lock:
            left[where.index] -= 1
            if left[where.index] >= 0:
                raise OSError("not now")
        return neighbourhood(voxels, grid.halo)

    target = np.full(grid.shape, -1)
    map_blocks(fn, volume, target, block=grid.block, halo=grid.halo, workers=workers, retries=2)
    assert np.array_equal(target, neighbourhood(volume, grid.halo))


# --- sources and targets


def test_channels_are_not_cut():
    volume = np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6)
    shapes = []
    total = map_blocks(lambda a: shapes.append(a.shape) or int(a.sum()), volume, block=(2, 5, 3), reduce="+")
    assert shapes == [(3, 2, 5, 3)] * 4
    assert total == volume.sum()
    target = np.zeros((4, 5, 6), int)
    map_blocks(lambda a: a.sum(0), volume, target, block=3, halo=1)
    assert np.array_equal(target, volume.sum(0))
    pairs, single = np.zeros((2, 4, 5, 6), int), np.zeros((4, 5, 6), int)
    map_blocks(lambda a: (a[:2], a[2]), volume, (pairs, single), block=3, halo=1)
    assert np.array_equal(pairs, volume[:2]) and np.array_equal(single, volume[2])
    flat = map_blocks(lambda a: a.shape, volume, block=(5, 6))
    assert list(flat) == [(3, 4, 5, 6)]
    assert map_blocks(lambda a: a.shape, volume, shape=(6,), block=6) == [(3, 4, 5, 6)]


def test_sources_by_place_and_by_name():
    a, b = np.arange(8), np.arange(8) * 10
    assert map_blocks(lambda a, b: int((a + b).sum()), (a, b), block=4) == [66, 242]
    assert map_blocks(lambda *, one, two: int((two - one).sum()), {"one": a, "two": b}, block=4) == [54, 198]
    with pytest.raises(ValueError, match="source 'target' must end in the axes"):
        map_blocks(lambda *, target: target, {"target": np.zeros(9)}, np.zeros(8), shape=(8,), block=4)
    assert map_blocks(lambda where: where.offset, None, shape=(8,), block=4) == [(0,), (4,)]
    assert map_blocks(lambda: 1, None, shape=(8,), block=4, reduce="+") == 2
    assert map_blocks(partial(np.add, 1), a, block=4)[1].tolist() == [5, 6, 7, 8]
    assert map_blocks(lambda a, where=None: where, a, block=4) == [None, None]  # as of NumPy's own functions


def test_voxels_and_values():
    volume, target = np.arange(10), np.zeros(10, int)
    made = map_blocks(lambda a: Made(-a, int(a.max())), volume, target, block=4)
    assert made == [3, 7, 9]
    assert np.array_equal(target, -volume)
    with pytest.raises(BlocksFailed, match="fn must not return voxels where there is no target"):
        map_blocks(lambda a: Made(a, 1), volume, block=4)


def test_sources_are_not_written():
    volume = np.arange(4)

    def fn(voxels):
        voxels[0] = 9

    with pytest.raises(BlocksFailed, match="read-only"):
        map_blocks(fn, volume, block=2)
    assert volume.flags.writeable


def test_lazy_volumes_are_sliced():
    class Lazy:
        shape, dtype, chunks, ndim = (4, 6), np.dtype("i8"), (2, 3), 2

        def __init__(self):
            self.array, self.read = np.arange(24).reshape(4, 6), []

        def __getitem__(self, window):
            self.read.append(window)
            part = self.array[window]
            return part.tolist() and np.array(part)

        def __setitem__(self, window, values):
            self.array[window] = values

    source, target = Lazy(), Lazy()
    map_blocks(np.negative, source, target, block=(2, 3))
    assert np.array_equal(target.array, -source.array)
    assert len(source.read) == 4
    with pytest.raises(ValueError, match=r"block must be a multiple of \(2, 3\), which lie in one file of target"):
        map_blocks(np.negative, source, target, block=(2, 4))
    map_blocks(np.positive, source, target, block=(2, 6))  # the volume ends there
    map_blocks(np.positive, source, target, block=(8, 9))
    assert plan_blocks(source, target, workers=1).block == (4, 6)
    assert plan_blocks(source, target, workers=2).block == (4, 3)


@pytest.mark.parametrize("shards", [None, (8, 8, 16)])
def test_zarr_by_path(tmp_path, shards):
    zarr = pytest.importorskip("zarr")
    volume = np.random.default_rng(0).integers(0, 255, (20, 18, 30), np.uint8)
    common = dict(shape=volume.shape, chunks=(4, 8, 8), shards=shards)
    zarr.create_array(tmp_path / "in.zarr", dtype="u1", **common)[...] = volume
    zarr.create_array(tmp_path / "out.zarr", dtype="u4", **common)
    block = (8, 16, 16)
    map_blocks(lambda a: a.astype("u4") * 3, tmp_path / "in.zarr", str(tmp_path / "out.zarr"), block=block, halo=2)
    assert np.array_equal(zarr.open_array(tmp_path / "out.zarr")[...], volume.astype("u4") * 3)
    unit = shards or (4, 8, 8)
    with pytest.raises(ValueError, match=f"block must be a multiple of .{unit[0]}, {unit[1]}"):
        map_blocks(np.copy, tmp_path / "in.zarr", tmp_path / "out.zarr", block=(6, 16, 16))


def test_what_does_not_fit_is_refused():
    volume, target = np.arange(10), np.zeros(10, "u1")
    for value, words in ((300, "can hold, got 300"), (-1, "can hold, got -1"), (0.5, "can hold, got float64")):
        with pytest.raises(BlocksFailed, match=words):
            map_blocks(lambda a, value=value: np.full(a.shape, value), volume, target, block=5, retries=0)
    with pytest.raises(BlocksFailed, match=r"voxels of shape \(5,\) or with the halo \(6,\) for target, got float64"):
        map_blocks(lambda a: np.zeros(3), volume, target, block=5, halo=1, retries=0)
    with pytest.raises(BlocksFailed, match="for each of 2 targets, got 3 of them"):
        map_blocks(lambda a: (a, a, a), volume, (target, target), block=5, retries=0)
    map_blocks(lambda a: a > 3, volume, target, block=5)
    assert target.tolist() == [0] * 4 + [1] * 6
    floats = np.zeros(10, "f4")
    map_blocks(np.sqrt, volume, floats, block=5)
    assert np.array_equal(floats, np.sqrt(volume).astype("f4"))


def test_arguments_are_checked():
    volume = np.zeros((4, 4))
    for bad, words in (
        (dict(retries=-1), "retries must be at least 0"),
        (dict(workers=0), "workers must be from 1"),
        (dict(on_corrupt="drop"), "on_corrupt must be 'error' or 'skip', got 'drop'"),
        (dict(block="whole"), "block must be 'auto' or sides"),
        (dict(order=[0, 0, 1, 2]), "order must hold each of 4 blocks once"),
        (dict(order=[0]), "order must hold each of 4 blocks once, got 1 numbers"),
        (dict(shape=(4, 5)), r"source must end in the axes \(4, 5\)"),
        (dict(cost=0), "cost must be above 0"),
        (dict(memory="lots"), "memory must be like '4GB'"),
        (dict(memory="1B"), "memory must be at least"),
    ):
        with pytest.raises(ValueError, match=words):
            map_blocks(np.sum, volume, **{"block": 2, **bad})
    with pytest.raises(TypeError, match="progress must be"):
        map_blocks(np.sum, volume, block=2, progress=3)
    with pytest.raises(TypeError, match="source must be an array, a volume or where it lies, got int"):
        map_blocks(np.sum, 3)
    with pytest.raises(ValueError, match="shape must be given"):
        map_blocks(np.sum, None)
    with pytest.raises(ValueError, match=r"target must end in the axes \(4, 4\)"):
        map_blocks(np.sum, volume, np.zeros((4, 5)))


# --- faults


def test_a_block_that_fails_is_told():
    tries = []

    def fn(a):
        if a[0] in (2, 6):
            tries.append(int(a[0]))
            raise ZeroDivisionError("of this block")
        return int(a.sum())

    with pytest.raises(
        BlocksFailed, match=r"1 of 4 blocks failed:\n  block 1 \[2:4\]: ZeroDivisionError: of this"
    ) as e:
        map_blocks(fn, np.arange(8), block=2, workers=1)
    assert tries == [2, 2, 2, 6] or tries.count(2) == 3  # the other may have been under way
    assert e.value.failed[0].index == 1 and e.value.failed[0].box == (slice(2, 4),)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    tries.clear()
    values = map_blocks(fn, np.arange(8), block=2, keep_going=True, retries=1)
    assert isinstance(values, Results)
    assert values == [1, None, 9, None]
    assert [failure.index for failure in values.failed] == [1, 3]
    assert sorted(tries) == [2, 2, 6, 6]
    with pytest.raises(BlocksFailed, match="2 of 4 blocks") as e:
        map_blocks(fn, np.arange(8), block=2, keep_going=True, reduce="+")
    assert e.value.result == 10


def test_those_that_wait_for_a_failed_block_are_not_done():
    def fn(where):
        if where.index == 1:
            raise ValueError("no")
        return where.index

    found = map_blocks(fn, None, shape=(4,), block=1, keep_going=True, after=lambda b: range(b.index))
    assert found == [0, None, None, None]
    assert [(f.index, str(f.cause)) for f in found.failed] == [
        (1, "no"),
        (2, "it waits for block 1"),
        (3, "it waits for block 1"),
    ]


def test_nothing_is_under_way_when_a_run_has_failed():
    running, lock = [0], threading.Lock()

    def fn(where):
        with lock:
            running[0] += 1
        try:
            if where.index == 0:
                raise ValueError("no")
            time.sleep(0.05)
        finally:
            with lock:
                running[0] -= 1

    with pytest.raises(BlocksFailed):
        map_blocks(fn, None, shape=(50,), block=1, workers=4, retries=0)
    assert running == [0]

    def show(done, total):
        raise LookupError("the caller's own")

    with pytest.raises(LookupError):
        map_blocks(fn, None, shape=(50,), block=1, workers=4, keep_going=True, progress=show)
    assert running == [0]


class Damaged:
    """A volume of which some chunks cannot be read."""

    def __init__(self, array, chunks, damaged):
        self.array, self.chunks, self.damaged = array, chunks, damaged
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, window):
        touched = np.zeros(self.shape, bool)
        touched[window] = True
        for place in self.damaged:
            if touched[self.box(place)].any():
                raise CorruptData(f"chunk {place} is damaged")
        return self.array[window]

    def box(self, place):
        return tuple(slice(k * c, (k + 1) * c) for k, c in zip(place, self.chunks, strict=True))


@given(st.data())
def test_damaged_pieces_are_zeros_where_asked(data):
    volume = np.arange(1, 1 + 6 * 8).reshape(6, 8)
    chunks = data.draw(st.sampled_from([(2, 2), (3, 4), (4, 3)]))
    counts = [-(-n // c) for n, c in zip(volume.shape, chunks, strict=True)]
    damaged = data.draw(st.sets(st.tuples(*(st.integers(0, c - 1) for c in counts)), min_size=1, max_size=3))
    source = Damaged(volume, chunks, damaged)
    block = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 8)))
    expected = volume.copy()
    for place in damaged:
        expected[source.box(place)] = 0
    target = np.full(volume.shape, -1)
    with pytest.warns(UserWarning, match="damaged, read as zeros: source"):
        done = map_blocks(np.copy, source, target, block=block, halo=1, on_corrupt="skip")
    assert np.array_equal(target, expected)
    lost = np.zeros(volume.shape, bool)
    for name, box in done.lost:
        assert name == "source"
        lost[box] = True
    assert np.array_equal(lost, expected == 0)
    with pytest.raises(BlocksFailed, match="is damaged"):
        map_blocks(np.copy, source, target, block=block)


STOPPED = """
    import os, signal, threading, time
    import numpy as np
    from emfast.blocks import map_blocks
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begun, ended = [], []
    def fn(where):
        begun.append(where.index)
        if len(begun) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        ended.append(where.index)
    try:
        map_blocks(fn, None, shape=(1000,), block=1, workers=3)
    except KeyboardInterrupt:
        restored = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(sorted(begun) == sorted(ended) and len(begun) < 10, restored)
"""


def test_ctrl_c_ends_after_the_blocks_under_way():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STOPPED)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "True True", done.stderr


# --- workers


def test_no_more_than_the_workers_at_once():
    now, most, lock = [0], [0], threading.Lock()

    def fn():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    map_blocks(fn, None, shape=(60,), block=1, workers=3)
    assert most == [3]


@pytest.mark.parametrize("workers, each", [(1, 6), (2, 3), (4, 1), (5, 1), (20, 1)])
def test_workers_share_the_threads(workers, each):
    """Calls in a block use as many as leave the others theirs; outside all is as it was."""
    emfast.set_threads(6)
    try:
        found = map_blocks(emfast.get_threads, None, shape=(40,), block=1, workers=workers)
        assert found == [each] * 40
        assert map_blocks(emfast.get_threads, None, shape=(2,), block=1, workers=workers)[0] == max(3, each)
        assert emfast.get_threads() == 6
    finally:
        emfast.set_threads(0)


def test_blocks_in_blocks():
    """A pool of threads must not wait for itself."""
    volume = np.arange(64)

    def fn(part):
        return map_blocks(np.sum, part, block=4, reduce="+", workers=4)

    assert map_blocks(fn, volume, block=16, reduce="+", workers=4) == volume.sum()


def test_runs_beside_each_other():
    volume = np.arange(200)
    found = []
    runs = [
        threading.Thread(target=lambda: found.append(map_blocks(np.sum, volume, block=3, reduce="+"))) for _ in "abc"
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert found == [volume.sum()] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_works_after_fork():
    volume = np.arange(20)
    assert map_blocks(np.sum, volume, block=3, reduce="+", workers=2) == 190
    child = os.fork()
    if not child:
        os._exit(0 if map_blocks(np.sum, volume, block=3, reduce="+", workers=2) == 190 else 1)
    deadline = time.time() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.time() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
    assert ended == (child, 0)


# --- plans and progress


@pytest.mark.parametrize(
    "words, n",
    [("4GB", 4 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("7k", 7000), ("12", 12), (2.5e3, 2500)],
)
def test_sizes_in_words(words, n):
    assert _plan.bytes_of(words) == n


@pytest.mark.parametrize("words", ["", "GB", "-1GB", "1PB", "4I", True, None, 0, math.inf, [], "0GB"])
def test_sizes_are_refused(words):
    with pytest.raises(ValueError, match="memory must be like '4GB'"):
        _plan.bytes_of(words)


class Files:
    """A volume as a plan sees it."""

    def __init__(self, shape, dtype="u1", chunks=None, shards=None):
        self.shape, self.dtype, self.chunks, self.shards = shape, np.dtype(dtype), chunks, shards

    def __getitem__(self, window):
        raise AssertionError("a plan reads nothing")


@given(st.data())
def test_plans_stay_within_the_memory(data):
    shape = data.draw(st.tuples(*[st.integers(1, 2000)] * 3))
    shard = data.draw(st.tuples(*[st.sampled_from([1, 16, 48, 64, 256])] * 3))
    chunk = data.draw(st.tuples(*[st.sampled_from([1, 16, 30, 64, 500])] * 3))
    halo = data.draw(st.tuples(*[st.integers(0, 20)] * 3))
    cost = data.draw(st.floats(0.5, 100))
    workers = data.draw(st.integers(1, 8))
    memory = data.draw(st.integers(10**8, 10**10))
    source, target = Files(shape, chunks=chunk), Files(shape, "u8", (1, 1, 1), shard)
    try:
        plan = plan_blocks(source, target, halo=halo, cost=cost, workers=workers, memory=memory)
    except ValueError as error:
        assert "memory must be at least" in str(error)
        smallest = Grid(shape, shard, halo).largest
        need = math.prod(smallest) * cost
        assert need + min(need, _plan.LITTLE) + _plan.LATE > memory - _plan._resident() - 10**7  # held as before
        return
    assert plan.bytes <= memory
    need = cost * math.prod(plan.grid.largest)
    most = plan.workers * (need + min(need, _plan.LITTLE))
    assert plan.bytes <= plan.base + _plan.LATE + math.ceil(most)
    if min(plan.grid.counts) > 16:  # with fewer it is seen that some are smaller
        assert plan.bytes == plan.base + _plan.LATE + math.ceil(most)
    assert plan.cost == cost
    assert 1 <= plan.workers <= min(workers, plan.blocks)
    for side, s, n in zip(plan.block, shard, shape, strict=True):
        assert side == n or side % s == 0


def test_plans_fill_the_memory(monkeypatch):
    """Blocks grow with what they may take, and are alike in all axes; no workers stand idle for it."""
    source = Files((2048, 2048, 2048), chunks=(64, 64, 64))
    base = 10**8
    monkeypatch.setattr(_plan, "_resident", lambda: base)
    plans = [plan_blocks(source, cost=10, workers=2, memory=base + n * 10**8) for n in (2, 20, 200)]
    sizes = [math.prod(plan.block) for plan in plans]
    assert sizes == sorted(set(sizes))
    assert all(max(plan.block) <= 2 * min(plan.block) for plan in plans)
    assert all(plan.workers == 2 for plan in plans)
    assert all((plan.bytes - plan.base) / (n * 10**8) > 0.4 for plan, n in zip(plans[:2], (2, 20), strict=True))
    assert math.prod(plans[2].block) == 2**27
    assert plan_blocks(Files((256, 256, 256)), workers=4, memory="100GB").blocks >= 4
    assert math.prod(plan_blocks(source).block) == 2**24
    one = plan_blocks(source, cost=200, workers=8, memory=base + 120 * 10**6)
    assert (one.workers, one.block) == (1, (64, 64, 64))


def test_blocks_do_not_depend_on_what_is_held(monkeypatch):
    """A run that goes on must find the blocks it began with."""
    source = Files((2048, 2048, 2048), chunks=(64, 64, 64))
    blocks = set()
    for held in (40, 97, 130, 244):
        monkeypatch.setattr(_plan, "_resident", lambda held=held: held * 10**6)
        plan = plan_blocks(source, cost=11, workers=2, memory="2GB")
        assert plan.base == held * 10**6
        blocks.add(plan.block)
    assert len(blocks) == 1


def test_plans_count_the_blocks_that_there_are():
    """Of a grid of one large block and small ones, two at once are not two large ones."""
    options = dict(block=(8, 10), halo=1, cost=10**6)
    one, two = (plan_blocks(np.zeros((10, 10), "u1"), workers=k, **options) for k in (1, 2))
    assert (one.workers, two.workers) == (1, 2)
    first, second = 9 * 10 * 10**6, 3 * 10 * 10**6
    assert one.bytes - one.base == _plan.LATE + first + _plan.KEPT
    assert two.bytes - two.base == _plan.LATE + first + _plan.KEPT + second + min(second, _plan.KEPT)


def test_plans_in_words():
    plan = plan_blocks(np.zeros((64, 64, 64), "u1"), block=32, halo=(2, 2, (2, 3)), workers=2)
    assert str(plan).startswith("8 blocks of 32 x 32 x 32 voxels with a halo of 2, 2, 2+3, 2 at once with ")
    plan = plan_blocks(np.zeros((64, 64, 64), "u1"), block=32, halo=1, workers=1, memory="100GB")
    assert " with a halo of 1, 1 at once" in str(plan)
    assert str(plan).endswith("of 100 GB of memory")


MEASURED = """
    import sys
    import numpy as np
    import emfast
    from emfast.blocks import map_blocks, plan_blocks
    folder, memory, workers, side, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    fn, dtype = {
        "copy": (lambda voxels: voxels.astype("u8"), "u8"),
        "components": (lambda voxels: emfast.connected_components(voxels, dtype="u8"), "u8"),
        "edt": (emfast.edt, "f4"),
        "noise": (lambda voxels: np.random.default_rng(0).integers(0, 2**63, voxels.shape), "i8"),
    }[name]
    files = dict(shape=(side,) * 3, chunks=(32, 32, 32), shards=(64, 64, 64))
    source = emfast.open_volume(folder + "/in.zarr", mode="x", dtype="u1", **files)
    for z in range(0, side, 64):
        source[z : z + 64] = np.random.default_rng(z).integers(0, 9, (min(64, side - z), side, side), "u1") > 0
    target = emfast.open_volume(folder + "/out.zarr", mode="x", dtype=dtype, **files)
    fn(np.zeros((2, 2, 2), "u1"))
    options = dict(memory=memory, workers=workers, halo=8)
    plan = plan_blocks(source, target, **options)
    map_blocks(fn, source, target, journal=True, **options)
    with open("/proc/self/status") as file:
        peak = 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    print(plan.bytes, peak)
"""


def measured(folder, memory, workers, side, name):
    """Bytes planned, and the most that the process held."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    arguments = [str(folder), memory, str(workers), str(side), name]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURED), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return map(int, done.stdout.split())


needs_proc = pytest.mark.skipif(
    sys.platform != "linux" or "EMFAST_SANITIZER" in os.environ, reason="peak memory is read in /proc, unsanitized"
)


@needs_proc
@pytest.mark.parametrize("name", ["copy", "edt", "noise"])
def test_no_more_memory_than_planned(tmp_path, name):
    planned, peak = measured(tmp_path, "120MB", 2, 160, name)
    assert peak <= planned <= 120 * 10**6


@needs_proc
@pytest.mark.slow
def test_plans_are_near_what_is_held(tmp_path):
    ratios = []
    for case in itertools.product(["250MB", "400MB", "700MB"], [1, 3], ["copy", "components", "edt", "noise"]):
        memory, workers, name = case
        folder = tmp_path / "-".join(map(str, case))
        folder.mkdir()
        planned, peak = measured(folder, memory, workers, 384, name)
        assert peak <= planned, case
        ratios.append(planned / peak)
        shutil.rmtree(folder)
    assert np.mean(np.array(ratios) <= 1.5) >= 0.9


def test_progress_is_told():
    seen = []
    map_blocks(np.sum, np.zeros(50), block=5, progress=lambda *at: seen.append(at))
    assert seen[-1] == (10, 10)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


class Screen(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("stream, wipe", [(Screen, "\r\x1b[K"), (Notebook, "\r"), (io.StringIO, None)])
def test_bars_are_shown_where_somebody_looks(monkeypatch, stream, wipe):
    monkeypatch.setattr(sys, "stderr", stream())
    map_blocks(np.sum, np.zeros(50), block=5, progress="adding")
    text = sys.stderr.getvalue()
    if wipe is None:
        assert text == ""
    else:
        assert text.startswith(f"{wipe}adding [") and "100 %" in text and text.endswith(wipe)


def test_the_time_left_counts_what_this_run_has_done():
    bar = Progress("adding", io.StringIO())
    assert bar.line(50, 100, 10).endswith("50 %, 10 s, 10 s left")
    bar.begin(40)
    assert bar.line(50, 100, 10).endswith("50 %, 10 s, 50 s left")
    assert bar.line(40, 100, 0).endswith("40 %, 0 s")
    assert bar.line(100, 100, 10).endswith("100 %, 10 s")


def test_names():
    assert emfast.map_blocks is map_blocks
    assert emfast.blocks is blocks
    assert blocks.Grid is _grid.Grid is Grid and blocks.Block is Block
