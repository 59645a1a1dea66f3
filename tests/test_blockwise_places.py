"""What lies where block-wise operations write: nothing of anybody else's is lost, and nothing old is taken for new."""

import itertools
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import emfast
from emfast import blockwise
from emfast.errors import CorruptData, InUse

pytest.importorskip("zarr")
BLOCK = (8, 8, 8)
TABLE = {0: 0, 1: 3, 2: 2, 3: 1, 4: 4}


@pytest.fixture
def labels():
    return np.random.default_rng(1).integers(0, 5, (16, 17, 9), "u1")


@pytest.fixture
def source(tmp_path, labels):
    return stored(tmp_path / "in.zarr", labels)


def stored(place, array):
    chunks = {"chunks": (*array.shape[:-3], *BLOCK), "shards": (*array.shape[:-3], *BLOCK)}
    with emfast.open_volume(
        place, mode="w", shape=array.shape, dtype=array.dtype, spacing=(40, 4, 4), **chunks
    ) as volume:
        volume[...] = array
    return place


@pytest.mark.parametrize("name", ["out.npy", "out.h5:labels", "out.tif", "out.n5", "out.nrrd", "out.npz:labels"])
def test_files_that_are_not_written_by_blocks(tmp_path, source, labels, name):
    if name.endswith((".h5:labels", ".tif")):
        pytest.importorskip("h5py" if "h5" in name else "tifffile")
    place = f"{tmp_path}/{name}"
    found = blockwise.remap(source, TABLE, place, block=BLOCK)
    wanted = emfast.remap(labels, TABLE)
    assert found.dtype == wanted.dtype and np.array_equal(found[...], wanted)
    assert np.array_equal(emfast.open_volume(place)[...], wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", name.partition(":")[0]]


@pytest.mark.parametrize("name", ["out.npy", "out.h5:labels", "out.zarr"])
def test_what_was_there_outlives_a_call_that_is_refused(tmp_path, source, name):
    place = f"{tmp_path}/{name}"
    emfast.convert(np.arange(1, 25).reshape(2, 3, 4), place)
    with pytest.raises((TypeError, ValueError)):
        blockwise.connected_components(source, place, connectivity=5, block=BLOCK)
    with pytest.raises((TypeError, ValueError)):
        blockwise.watershed(source, place, block=BLOCK)
    assert np.array_equal(emfast.open_volume(place)[...], np.arange(1, 25).reshape(2, 3, 4))


def test_somebody_s_folder_stays(tmp_path, source):
    """A folder beside a target or for what lies between may be a user's own."""
    mine = tmp_path / "out.zarr.work"
    mine.mkdir()
    (mine / "notes.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"work must be a new or empty folder, .*, one that holds notes\.txt"):
        blockwise.connected_components(source, tmp_path / "out.zarr", block=BLOCK)
    affinities = stored(tmp_path / "a.zarr", np.zeros((3, 16, 16, 16), "u1"))
    with pytest.raises(ValueError, match=r"work must be a new or empty folder"):
        emfast.segment(affinities, tmp_path / "segments.zarr", work=mine)
    emfast.segment(affinities, tmp_path / "segments.zarr", block=BLOCK)
    with pytest.raises(ValueError, match=r"work must be .*, one of emfast\.segment"):
        blockwise.renumber(tmp_path / "segments.zarr.work" / "fragments.zarr", tmp_path / "segments.zarr")
    assert (mine / "notes.txt").read_text() == "years of work"
    assert (tmp_path / "segments.zarr.work" / "fragments.zarr").exists()


def test_a_corrected_call_begins_anew(tmp_path, source, labels, monkeypatch):
    """Other options after a failure: what the first call left is not taken for part of the second."""
    place = tmp_path / "out.zarr"
    rename = blockwise.components.Renamed.__call__
    calls = []

    def failing(self, *voxels):
        calls.append(1)
        if len(calls) == 3:
            raise OSError("no more")
        return rename(self, *voxels)

    monkeypatch.setattr(blockwise.components.Renamed, "__call__", failing)
    with pytest.raises(emfast.errors.BlocksFailed):
        blockwise.connected_components(source, place, block=BLOCK, workers=1, retries=0)
    monkeypatch.undo()
    found = blockwise.connected_components(source, place, connectivity=26, block=BLOCK)
    assert np.array_equal(found[...], emfast.connected_components(labels, connectivity=26))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


def test_from_another_directory(tmp_path, monkeypatch):
    """Relative and absolute places of one run."""
    made = emfast.phantom.make((16, 32, 32), seed=1).affinities
    stored(tmp_path / "a.zarr", made)
    monkeypatch.chdir(tmp_path)
    emfast.segment("a.zarr", "s.zarr", block=BLOCK)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = emfast.segment("../a.zarr", f"{tmp_path}/s.zarr", block=BLOCK)
    assert np.array_equal(found[...], emfast.segment_affinities(made, threshold=0.5))
    assert os.listdir() == []


def test_thresholds_in_turn_at_one_place(tmp_path):
    made = emfast.phantom.make((16, 32, 32), seed=1).affinities
    source = stored(tmp_path / "a.zarr", made)
    for threshold in (0.5, 0.9, 0.5, 0.9, 0.90000001):
        found = emfast.segment(source, tmp_path / "s.zarr", thresholds=threshold, block=BLOCK)
        assert np.array_equal(found[...], emfast.segment_affinities(made, threshold=threshold))
    near = emfast.segment(source, tmp_path / "many.zarr", thresholds=(0.9, 0.90000001), block=BLOCK)
    assert near[0].uri != near[1].uri


def test_a_source_that_was_changed(tmp_path):
    made = emfast.phantom.make((16, 32, 32), seed=1).affinities
    source = stored(tmp_path / "a.zarr", made)
    emfast.segment(source, tmp_path / "s.zarr", block=BLOCK)
    stored(source, made[:, ::-1])
    with pytest.raises(ValueError, match=r"work must be a folder of this source .*where source was"):
        emfast.segment(source, tmp_path / "s.zarr", block=BLOCK)


def test_what_blocks_left_is_known_by_name(tmp_path):
    """Every file that blocks leave for others, put in another's place, cut short or changed in one bit."""
    made = emfast.phantom.make((16, 32, 32), seed=1).affinities
    source = stored(tmp_path / "a.zarr", made)
    wanted = emfast.segment(source, tmp_path / "s.zarr", block=BLOCK)[...]
    work, kept = tmp_path / "s.zarr.work", tmp_path / "kept"
    shutil.rmtree(work / "segments-mean-0.5")
    (work / "tree-mean-0.5.npz").unlink()
    shutil.rmtree(work / "graphs" / "graphs-mean-0.5")
    shutil.copytree(work, kept)
    rng = np.random.default_rng(2)
    for path in sorted((work / "graphs").rglob("*.npz"))[::7]:
        sisters = [p for p in sorted(path.parent.glob("*.npz")) if p.read_bytes() != path.read_bytes()]
        for damage in ("swap", "cut", "flip", "remove"):
            shutil.rmtree(work)
            shutil.copytree(kept, work)
            data = bytearray(path.read_bytes())
            if damage == "swap" and sisters:
                path.write_bytes(sisters[0].read_bytes())
            elif damage == "cut":
                path.write_bytes(data[: len(data) // 2])
            elif damage == "flip":
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
                path.write_bytes(data)
            elif damage == "remove":
                path.unlink()
            try:
                found = emfast.segment(source, tmp_path / "t.zarr", work=work, block=BLOCK, retries=0)[...]
            except (ValueError, OSError, RuntimeError):
                continue
            assert np.array_equal(found, wanted), (path, damage)


def test_a_damaged_column_is_noticed(tmp_path):
    shelf = blockwise._shelf.Shelf(tmp_path)
    shelf.put_column("table", np.arange(1000))
    assert shelf.column("table")[7] == 7
    path = tmp_path / "table.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptData, match=r"table\.npy must be as it was written"):
        shelf.column("table")


RUN = """
import sys, time, emfast
table, slow = {k: k for k in range(5)}, lambda i, n: time.sleep(0.2)
emfast.blockwise.remap(sys.argv[1], table, "out.zarr", block=8, workers=1, progress=slow)
"""


@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitized import is slow")
def test_the_second_run_on_a_target_refuses(tmp_path, source, labels):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen([sys.executable, "-c", RUN, "in.zarr"], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out.zarr").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(InUse, match="in use by another run"):
        blockwise.remap(source, TABLE, tmp_path / "out.zarr", block=8)
    with pytest.raises(InUse, match="in use by another run"):
        emfast.convert(source, tmp_path / "out.zarr", overwrite=True)
    assert first.wait() == 0
    assert np.array_equal(emfast.open_volume(tmp_path / "out.zarr")[...], labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


def _pairs():
    """Calls of block-wise operations that differ in one option, with what the second of them gives in memory."""
    rng = np.random.default_rng(3)
    affinities = rng.integers(0, 256, (3, 16, 17, 9), "u1")
    segments = emfast.watershed(affinities, low=0.4, high=0.7)
    merging = [{"merge_size": 40, "merge_threshold": t} for t in (0.1, 0.8)]
    seeds = {"watershed": [{}, {"low": 0.5}, {"dust": 5}, {"quantile": True}, *merging]}
    objects = {
        "connected_components": [{}, {"connectivity": 26}, {"background": 1}],
        "dust": [{"below": 3}, {"below": 30}, {"below": 300}],  # as largest_k
        "fill_holes": [{}, {"per_section": True}],
        "renumber": [{}, {"order": "size"}],
        "edt": [{}, {"spacing": (3, 1, 1)}, {"border": True}, {"squared": True}],
        "signed_distance": [{}, {"spacing": (3, 1, 1)}, {"border": True}],
    }
    for source, calls in ((affinities, seeds), (segments, objects)):
        for name, options in calls.items():
            for first, second in itertools.permutations(options, 2):
                yield pytest.param(source, name, first, second, id=f"{name} {first} {second}")


@pytest.mark.parametrize(("source", "name", "first", "second"), list(_pairs()))
def test_a_kept_folder_never_gives_the_result_of_other_options(tmp_path, source, name, first, second):
    place, target, work = stored(tmp_path / "in.zarr", source), tmp_path / "out.zarr", tmp_path / "work"
    operation = getattr(blockwise, name)
    operation(place, target, block=BLOCK, work=work, **first)
    try:
        found = operation(place, target, block=BLOCK, work=work, **second)
    except ValueError:  # another job: refused, or what was there is of another type
        return
    assert np.array_equal(found[...], getattr(emfast, name)(source, **second))
