"""The contingency table: equal to the oracle's on every executor, and a sum of its blocks."""

import operator
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import Contingency, contingency
from strategies import LABEL_DTYPES, layouts, shapes


def as_dict(table):
    truth, labels, counts = table.pairs
    return dict(zip(zip(truth.tolist(), labels.tolist(), strict=True), counts.tolist(), strict=True))


def check(table, expected):
    """Ids, sizes, places and order follow from the pairs."""
    assert as_dict(table) == expected
    assert list(as_dict(table)) == sorted(expected)
    for ids, sizes, side in ((table.truth_ids, table.truth_sizes, 0), (table.label_ids, table.label_sizes, 1)):
        sums = {}
        for pair, n in expected.items():
            sums[pair[side]] = sums.get(pair[side], 0) + n
        assert dict(zip(ids.tolist(), sizes.tolist(), strict=True)) == sums
        assert ids.tolist() == sorted(sums)
        assert ids.dtype in (np.int64, np.uint64)
    for array in (table.truth_sizes, table.label_sizes, table.rows, table.columns, table.counts):
        assert array.dtype == np.int64
    assert table.voxels == sum(expected.values())
    assert len(table) == len(expected)
    assert table.empty == (not expected)


def ids_of(dtype):
    """Few ids, or the extremes of the dtype."""
    if dtype == bool:
        return [0, 1]
    info = np.iinfo(dtype)
    return [0, 1, 2, int(info.min), int(info.max), int(info.max) - 1]


@st.composite
def pairs(draw, dims=(1, 2, 3, 4)):
    """Two volumes of one shape, each of any dtype."""
    shape = draw(shapes(6, dims))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = []
    for _ in range(2):
        dtype = np.dtype(draw(st.sampled_from(LABEL_DTYPES)))
        volume = np.array(ids_of(dtype), dtype)[rng.integers(0, len(ids_of(dtype)), shape)]
        if draw(st.booleans()):
            volume = np.repeat(volume, 4, axis=-1)[..., : shape[-1]]
        made.append(np.ascontiguousarray(volume))
    return made


# ---- the oracle


@given(
    volumes=pairs(),
    ignore=st.sets(st.sampled_from([0, 1, 2, -1, -128, 255, 2**64 - 1, 2**70])),
    mask=st.sampled_from([None, "?", "u1", "i8"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_against_the_oracle(backend, volumes, ignore, mask, seed):
    truth, labels = volumes
    inside = None if mask is None else np.random.default_rng(seed).integers(0, 2, truth.shape).astype(mask)
    given_mask = None if inside is None else backend(inside)
    table = contingency(backend(truth), backend(labels), ignore=ignore, mask=given_mask)
    check(table, oracles.contingency(truth, labels, ignore, inside))
    for ids, volume in ((table.truth_ids, truth), (table.label_ids, labels)):
        assert ids.dtype == (np.int64 if volume.dtype.kind == "i" else np.uint64)


def grains(shape, seed, sides=(7, 5, 9), zero=0.1):
    """Boxes of voxels with random ids of 64 bits, and some background."""
    rng = np.random.default_rng(seed)
    boxes = tuple(-(-n // s) for n, s in zip(shape, sides, strict=True))
    ids = rng.integers(0, 2**64, boxes, np.uint64)
    out = ids[tuple(np.indices(shape) // np.array(sides).reshape(-1, 1, 1, 1))]
    out[rng.random(shape) < zero] = 0
    return out


def by_numpy(truth, labels):
    """Pairs by way of ranks: for volumes too large for the oracle."""
    (a, i), (b, j) = (np.unique(v, return_inverse=True) for v in (truth, labels))
    keys, counts = np.unique(i.ravel() * np.int64(len(b)) + j.ravel(), return_counts=True)
    truth_ids, label_ids = a[keys // len(b)].tolist(), b[keys % len(b)].tolist()
    return dict(zip(zip(truth_ids, label_ids, strict=True), counts.tolist(), strict=True))


@pytest.mark.parametrize("shape", [(1, 1, 30_000), (19, 97, 101), (40, 30, 31), (2, 150, 160)])
def test_volumes_of_many_pieces(backend, threads, shape):
    truth, labels = grains(shape, 1), grains(shape, 2, (6, 8, 4))
    check(contingency(backend(truth), backend(labels)), by_numpy(truth, labels))


@pytest.mark.parametrize("dtypes", [("u1", "u8"), ("u8", "i2"), ("i4", "u2"), ("?", "i8")])
def test_long_runs_of_two_widths(backend, dtypes):
    """Runs past the words of 64 voxels and the pieces of 1024."""
    rng = np.random.default_rng(3)
    volumes = []
    for dtype in dtypes:
        lengths = rng.integers(1, 500, 60)
        ids = rng.integers(0, 2 if dtype == "?" else 100, 60).astype(dtype)
        volumes.append(np.repeat(ids, lengths)[:9000].reshape(3, 30, 100))
    check(contingency(*map(backend, volumes)), oracles.contingency(*volumes))


def test_ids_of_any_size_cost_nothing():
    small = np.random.default_rng(0).integers(0, 50, (8, 20, 20)).astype(np.uint64)
    for step in (2**31, 2**32, 2**53, 2**63):
        table = contingency(small + np.uint64(step), small)
        assert (table.truth_ids - np.uint64(step)).tolist() == np.unique(small).tolist()
        assert table.counts.tolist() == np.unique(small, return_counts=True)[1].tolist()


@given(volumes=pairs(dims=(2, 3)))
def test_any_layout_of_memory(backend, volumes):
    truth, labels = volumes
    expected = contingency(truth, labels)
    for a in layouts(truth):
        for b in layouts(labels):
            assert contingency(a, b, mask=np.asfortranarray(np.ones(truth.shape, bool))) == expected
            assert contingency(backend(a), backend(b)) == expected


# ---- laws


@given(volumes=pairs(dims=(2, 3)), seed=st.integers(0, 2**32 - 1))
def test_blocks_make_the_whole(backend, volumes, seed):
    truth, labels = volumes
    whole = contingency(backend(truth), backend(labels))
    sides = np.random.default_rng(seed).integers(1, 5, truth.ndim).tolist()
    assert contingency(truth, labels, block=sides) == whole
    cut = truth.shape[0] // 2
    parts = [contingency(truth[at], labels[at]) for at in (slice(0, cut), slice(cut, None))]
    assert parts[0] + parts[1] == parts[1] + parts[0] == whole
    assert Contingency.total(iter(parts)) == whole


@given(volumes=pairs(dims=(3,)))
def test_order_of_voxels_is_of_no_account(volumes):
    truth, labels = volumes
    table = contingency(truth, labels)
    assert contingency(truth.ravel()[::-1], labels.ravel()[::-1]) == table
    assert contingency(labels, truth) == table.swapped()
    assert table.swapped().swapped() == table
    assert Contingency.from_pairs(*(part[::-1] for part in table.pairs)) == table
    assert table.hash == contingency(truth.copy(), labels.copy()).hash


@given(volumes=pairs(dims=(2,)), threshold=st.integers(0, 3))
def test_from_pairs_adds_up(backend, volumes, threshold):
    truth, labels = (v.ravel() for v in volumes)
    counts = np.random.default_rng(threshold).integers(0, 5, truth.shape)
    check(Contingency.from_pairs(truth, labels, counts), oracles.contingency(truth, labels, counts=counts))


def test_total_of_many_tables(backend):
    rng = np.random.default_rng(5)
    blocks = [rng.integers(0, 2**64, (2, 40), np.uint64) % np.uint64(30) for _ in range(11)]
    whole = np.concatenate(blocks, axis=1)
    total = Contingency.total(contingency(*block) for block in blocks)
    assert total == contingency(*whole)
    assert total == sum((contingency(*block) for block in blocks[::-1]), Contingency.from_pairs([], []))


def test_sum_of_large_tables(backend, threads):
    tables = [contingency(grains((16, 60, 60), s), grains((16, 60, 60), s + 1, (3, 4, 5))) for s in (1, 2)]
    tables.append(contingency(grains((16, 60, 60), 1, zero=0.3), grains((16, 60, 60), 2, (3, 4, 5), zero=0.2)))
    for a, b in ((0, 1), (0, 2), (2, 2)):
        expected = as_dict(tables[a])
        for pair, n in as_dict(tables[b]).items():
            expected[pair] = expected.get(pair, 0) + n
        total = tables[a] + tables[b]
        assert as_dict(total) == dict(sorted(expected.items()))
        assert total == Contingency.from_pairs(
            *(np.concatenate(p) for p in zip(tables[a].pairs, tables[b].pairs, strict=True))
        )


# ---- a table's other forms


@given(volumes=pairs(dims=(2,)), ids=st.sets(st.sampled_from([0, 1, 2, -1, 255, 2**64 - 1, -(2**80)])))
def test_without_is_as_if_never_counted(volumes, ids):
    truth, labels = volumes
    table = contingency(truth, labels)
    assert table.without(truth=ids) == contingency(truth, labels, ignore=ids)
    assert table.without(labels=ids) == contingency(labels, truth, ignore=ids).swapped()
    assert table.without(truth=0, labels=0) == table.without(truth=[0]).without(labels=[0])
    assert table.without() == table


def test_relabel_is_as_if_volumes_had_been_remapped():
    rng = np.random.default_rng(2)
    truth, labels = rng.integers(0, 6, (2, 5, 20))
    names = {0: 3, 1: 1, 4: 3}
    expected = contingency(truth, emfast.remap(labels, names, missing="keep"))
    assert contingency(truth, labels).relabel(labels=names) == expected
    arrays = np.array([0, 1, 4]), np.array([3, 1, 3])
    assert contingency(labels, truth).relabel(truth=arrays) == expected.swapped()


def test_table_of_pairs():
    table = contingency(np.array([1, 1, 2]), np.array([5, 5, 0])).to_table()
    assert list(table) == [(1, 5), (2, 0)]
    assert table[1, 5]["voxels"] == 2


def test_what_a_table_says_of_itself():
    table = contingency(np.array([1, 1, 2]), np.array([5, 5, 0]))
    assert repr(table) == "Contingency of 2 true objects and 2 segments: 2 pairs, 3 voxels"
    assert table != contingency(np.array([1, 1, 2], np.uint8), np.array([5, 5, 0]))  # other ids: uint64
    assert table != 3
    assert table.hash != contingency(np.array([1, 1, 2]), np.array([5, 5, 1])).hash


@pytest.mark.parametrize("ending", [".npz", ".zarr", ".parquet"])
def test_files(tmp_path, ending):
    if ending != ".npz":
        pytest.importorskip({".zarr": "zarr", ".parquet": "pyarrow"}[ending])
    for truth in (np.array([3, 2**64 - 1, 3], np.uint64), np.array([-3, 4, -3]), np.array([], np.int8)):
        table = contingency(truth, np.arange(len(truth), dtype=np.int16))
        table.save(tmp_path / f"table{ending}")
        assert Contingency.load(tmp_path / f"table{ending}") == table
    with pytest.raises(FileNotFoundError):
        Contingency.load(tmp_path / "none.npz")


# ---- volumes that are no arrays


class Lazy:
    """A volume that is made as it is read, and notes what was read."""

    def __init__(self, array, chunks=None):
        self.array, self.chunks, self.read = array, chunks, []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, window):
        part = self.array[window]
        self.read.append(part.shape)
        return part.tolist() and np.array(part)


def test_lazy_volumes_are_read_block_by_block(backend):
    truth, labels = grains((20, 30, 40), 4), grains((20, 30, 40), 5)
    mask = truth % np.uint64(3) > 0
    expected = contingency(truth, labels, mask=mask, ignore=0)
    seen = []
    lazy = [Lazy(v) for v in (truth, labels, mask)]
    table = contingency(*lazy[:2], mask=lazy[2], ignore=0, block=(8, 16, 40), progress=lambda *at: seen.append(at))
    assert table == expected
    assert all(max(v.read) == (8, 16, 40) and len(v.read) == 6 for v in lazy)
    assert seen[-1] == (truth.size, truth.size)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert contingency(Lazy(truth), labels, mask=mask, ignore=0) == expected


def test_blocks_are_whole_chunks(monkeypatch):
    monkeypatch.setattr("emfast.metrics._blocks._BLOCK_VOXELS", 2000)
    truth = grains((20, 30, 40), 4)
    lazy = Lazy(truth, (5, 10, 10))
    assert contingency(lazy, truth) == contingency(truth, truth)
    assert lazy.read[0] == (5, 10, 40)
    lazy = Lazy(truth, (20, 30, 40))  # a chunk is never cut
    contingency(lazy, truth)
    assert lazy.read == [(20, 30, 40)]


@pytest.mark.parametrize("library", ["zarr", "h5py"])
def test_files_of_volumes(tmp_path, library):
    module = pytest.importorskip(library)
    truth, labels = grains((10, 20, 30), 4), grains((10, 20, 30), 5)
    if library == "zarr":
        group = module.open_group(tmp_path / "volumes.zarr", mode="w")
        create = getattr(group, "create_array", None) or group.create_dataset
        volumes = [create(name, data=v, chunks=(4, 8, 30)) for name, v in (("truth", truth), ("labels", labels))]
        assert contingency(*volumes) == contingency(truth, labels)
        assert contingency(*volumes, block=(3, 20, 7)) == contingency(truth, labels)
    else:
        with module.File(tmp_path / "volumes.h5", "w") as file:
            volumes = [file.create_dataset(name, data=v) for name, v in (("truth", truth), ("labels", labels))]
            assert contingency(*volumes) == contingency(truth, labels)


CAPPED = """
import sys
import numpy as np
import emfast

class Endless:  # ids from coordinates: nothing is stored
    shape, dtype, chunks = (64, 1024, 512), np.dtype("u8"), (8, 128, 128)
    def __init__(self, side): self.side = side
    def __getitem__(self, window):
        z, y, x = (np.arange(w.start, w.stop, dtype="u8") // np.uint64(self.side) for w in window)
        return (z[:, None, None] * np.uint64(10**6) + y[:, None] * np.uint64(1000) + x)

def peak():  # not getrusage: its peak begins with that of the process this one was started from
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

emfast.contingency(Endless(16), Endless(24), block=(1, 32, 512))  # what is needed once
before = peak()
table = emfast.contingency(Endless(16), Endless(24), block=(8, 128, 512))
print(table.voxels, peak() - before)
"""


@pytest.mark.skipif("EMFAST_SANITIZER" in __import__("os").environ, reason="a sanitizer's memory is its own")
@pytest.mark.skipif("not __import__('os').path.exists('/proc/self/status')", reason="Linux tells what memory was used")
def test_streaming_keeps_to_its_memory():
    """Volumes of 512 MiB, ten times and more what may be held: two blocks of each (16 MiB), what making them takes, and
    the tables."""
    done = subprocess.run([sys.executable, "-c", CAPPED], capture_output=True, text=True, check=True, timeout=120)
    voxels, grown = map(int, done.stdout.split())
    assert voxels == 64 * 1024 * 512
    assert grown < 48 * 2**20


def test_progress_of_arrays():
    seen = []
    contingency(np.zeros((2, 3), int), np.zeros((2, 3), int), progress=lambda *at: seen.append(at))
    assert seen == [(6, 6)]


# ---- errors


def test_errors():
    a = np.zeros((3, 4), np.uint8)
    with pytest.raises(ValueError, match=r"labels must have the shape of truth \(3, 4\), got \(4, 3\)"):
        contingency(a, a.T)
    with pytest.raises(ValueError, match=r"mask must have the shape of truth \(3, 4\), got \(3,\)"):
        contingency(a, a, mask=np.ones(3, bool))
    with pytest.raises(TypeError, match="labels must be an array of"):
        contingency(a, a.astype(float))
    with pytest.raises(TypeError, match="truth must be an array of"):
        contingency(Lazy(a.astype(float)), a)
    with pytest.raises(TypeError, match=r"ignore must be an integer or several, got 0\.5"):
        contingency(a, a, ignore=0.5)
    with pytest.raises(TypeError, match="ignore must be an integer or several, got 'a'"):
        contingency(a, a, ignore="a")
    for block in ((1,), (0, 2), (-1, 2)):
        with pytest.raises(ValueError, match=r"block must be a positive number of voxels for each axis \(2\)"):
            contingency(a, a, block=block)
    with pytest.raises(TypeError, match="tables must have truth_ids of one dtype, got uint64 and int64"):
        contingency(a, a) + contingency(a.astype(int), a)
    with pytest.raises(TypeError, match="unsupported operand"):
        operator.add(contingency(a, a), 1)
    with pytest.raises(ValueError, match=r"must be of one length, got shapes \(2,\), \(3,\) and \(2,\)"):
        Contingency.from_pairs([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="counts must be integers that are not negative"):
        Contingency.from_pairs([1, 2], [1, 2], [1, -1])


# ---- peers


def test_scikit_image_agrees():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(0, 30, (2, 10, 20, 20))
    theirs = metrics.contingency_table(truth, labels, normalize=False).tocoo()
    coords = theirs.coords if hasattr(theirs, "coords") else (theirs.row, theirs.col)
    assert Contingency.from_pairs(*(c.astype(int) for c in coords), theirs.data.astype(int)) == contingency(
        truth, labels
    )


def test_bioimage_cpp_agrees():
    utils = pytest.importorskip("bioimage_cpp.utils")
    truth, labels = grains((9, 30, 40), 1), grains((9, 30, 40), 2, (6, 8, 4))
    rows = utils.segmentation_overlap(truth, labels).overlap_table()
    theirs = Contingency.from_pairs(rows["label_a"], rows["label_b"], rows["count"])
    assert theirs == contingency(truth, labels)


class Chunked:
    """A volume that can only be sliced, and notes the largest piece."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.shape, self.dtype, self.largest = array, chunks, array.shape, array.dtype, 0

    def __getitem__(self, window):
        part = self.array[window]
        self.largest = max(self.largest, part.size)
        return part


@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.integers(1, 5000),
)
def test_blocks_of_volumes_with_other_chunks_stay_small(shape, first, second, most):
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(0, 4, (2, *shape))
    volumes = Chunked(truth, first), Chunked(labels, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emfast.metrics._blocks._BLOCK_VOXELS", most)
        table = emfast.contingency(*volumes)
    assert table == emfast.contingency(truth, labels)
    chunk = max(np.prod(np.minimum(sides, shape)) for sides in (first, second))
    assert max(volume.largest for volume in volumes) <= max(most, chunk)


def test_flat_and_deep_chunks_meet_in_between():
    from emfast.metrics._blocks import sides_of

    class Volume:
        shape = (100, 4096, 4096)

        def __init__(self, chunks):
            self.chunks = chunks

    sides = sides_of(None, Volume.shape, {"truth": Volume((1, 4096, 4096)), "labels": Volume((100, 128, 128))})
    assert np.prod(sides) <= 1 << 24
    again = [
        np.prod([max(1, a / s) for a, s in zip(c, sides, strict=True)]) for c in ((1, 4096, 4096), (100, 128, 128))
    ]
    assert sum(again) < 40  # halving one axis alone would read one of the two a hundred times


def test_arrays_in_memory_are_counted_in_pieces_that_tell_how_far_they_are(monkeypatch):
    monkeypatch.setattr("emfast.metrics._blocks._ARRAY_VOXELS", 60)
    truth, labels = np.random.default_rng(0).integers(0, 4, (2, 9, 5, 6))
    calls = []
    table = emfast.contingency(truth, labels, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(60, 270), (120, 270), (180, 270), (240, 270), (270, 270)]
    monkeypatch.undo()
    assert table == emfast.contingency(truth, labels)


@pytest.mark.parametrize("counts", [np.array([2**63], np.uint64), np.array([2**62, 2**62]), np.array([2**63 - 1, 1])])
def test_counts_that_no_volume_has_are_refused(counts):
    ids = np.zeros(len(counts), int)
    with pytest.raises(ValueError, match=r"counts must add up to less than 2\^63"):
        emfast.Contingency.from_pairs(ids, ids, counts)
