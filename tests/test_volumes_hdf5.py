"""HDF5: what several have open at once is all there in the end."""

import multiprocessing
import os
import threading

import numpy as np
import pytest

import emfast
from emfast import open_volume
from emfast.volumes import _hdf5

h5py = pytest.importorskip("h5py")

NEW = {"mode": "w", "shape": (4, 5, 6), "dtype": "u1"}


def held(path):
    """All arrays of a file, of one value each."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    assert all(len(np.unique(array)) == 1 for array in found.values())
    return {name: int(array.flat[0]) for name, array in found.items()}


@pytest.mark.parametrize("there", [False, True])
def test_new_arrays_that_are_open_at_once_are_all_kept(there, tmp_path):
    path = tmp_path / "a.h5"
    if there:
        emfast.convert(np.full((2, 2), 9, "u1"), f"{path}:old")
    with open_volume(f"{path}:raw", **NEW) as raw, open_volume(f"{path}:deep/labels", **NEW) as labels:
        raw[...] = 1
        labels[...] = 2
        emfast.convert(np.full((2, 2), 3, "u1"), f"{path}:deep/between")
    expected = {"raw": 1, "deep/labels": 2, "deep/between": 3}
    assert held(path) == (expected | {"old": 9} if there else expected)
    assert sorted(os.listdir(tmp_path)) == ["a.h5"]


def test_two_targets_of_one_file(tmp_path):
    path = tmp_path / "a.h5"
    with open_volume(f"{path}:a", **NEW) as a, open_volume(f"{path}:b", **NEW) as b:
        emfast.map_blocks(lambda v: (v, v * 2), np.ones((4, 5, 6), "u1"), (a, b), block=6)
    assert held(path) == {"a": 1, "b": 2}


def test_edits_go_on_while_new_arrays_come(tmp_path):
    path = tmp_path / "a.h5"
    emfast.convert(np.zeros((4, 5, 6), "u1"), f"{path}:old")
    with open_volume(f"{path}:old", mode="r+") as old:
        old[:2] = 7
        with open_volume(f"{path}:new", **NEW) as new:
            new[...] = 1
            old[2] = 7
        assert np.all(old[:3] == 7)
        old[3] = 7
    assert held(path) == {"old": 7, "new": 1}


def test_saved_arrays_are_kept_too(tmp_path):
    from emfast import _files, _targets

    place = f"{tmp_path}/a.h5"
    with open_volume(f"{place}:raw", **NEW) as raw:
        raw[...] = 1
        with _targets.created(f"{place}:map", (4, 5, 6), "u1", kind="map", about={}) as target:
            target[...] = 2
            _files.save(f"{place}:x", np.full((2, 2), 3, "u1"))
    assert held(place) == {"raw": 1, "map": 2, "x": 3}


def test_threads_put_in_one_after_the_other(tmp_path):
    path = tmp_path / "a.h5"

    def write(k):
        emfast.convert(np.full((4, 5, 6), k, "u1"), f"{path}:a{k}")

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(path) == {f"a{k}": k for k in range(8)}


def _write(path, barrier, k):
    with open_volume(f"{path}:a{k}", **NEW) as new:
        new[...] = k
        barrier.wait(60)


def _edit(path, begun, go_on):
    with open_volume(f"{path}:old", mode="r+") as old:
        begun.set()
        go_on.wait(60)
        old[...] = 7


def test_processes_put_in_one_after_the_other(tmp_path):
    path, spawn = tmp_path / "a.h5", multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    tasks = [spawn.Process(target=_write, args=(path, barrier, k)) for k in range(3)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(120)
    assert held(path) == {"a0": 0, "a1": 1, "a2": 2}


def test_an_edit_in_another_process_is_waited_for_or_told(tmp_path, monkeypatch):
    path, spawn = tmp_path / "a.h5", multiprocessing.get_context("spawn")
    emfast.convert(np.zeros((4, 5, 6), "u1"), f"{path}:old")
    begun, go_on = spawn.Event(), spawn.Event()
    task = spawn.Process(target=_edit, args=(path, begun, go_on))
    task.start()
    try:
        assert begun.wait(60)
        with pytest.raises(BlockingIOError, match=r"a\.h5 is open in another process"):
            open_volume(f"{path}:old", mode="r+")
        monkeypatch.setattr(_hdf5, "_PATIENCE", 0.2)
        with pytest.raises(BlockingIOError, match="the new array waits in ") as told:
            emfast.convert(np.full((4, 5, 6), 3, "u1"), f"{path}:late")
        assert held(str(told.value).rpartition(" waits in ")[2]) == {"late": 3}
        monkeypatch.undo()
        threading.Timer(0.5, go_on.set).start()
        emfast.convert(np.full((4, 5, 6), 4, "u1"), f"{path}:new")
    finally:
        go_on.set()
        task.join(60)
    assert held(path) == {"old": 7, "new": 4}


def test_what_may_not_be_replaced_stays(tmp_path):
    path = tmp_path / "a.h5"
    with open_volume(f"{path}:raw", **NEW | {"mode": "x"}) as first:
        second = open_volume(f"{path}:raw", **NEW | {"mode": "x"})
        first[...] = 1
    second[...] = 2
    with pytest.raises(FileExistsError, match="raw is there"):
        second.close()
    assert held(path) == {"raw": 1}
    assert sorted(os.listdir(tmp_path)) == ["a.h5"]


def test_a_link_names_the_same_file(tmp_path):
    emfast.convert(np.full((2, 2), 1, "u1"), tmp_path / "a.h5:a")
    (tmp_path / "b.h5").symlink_to("a.h5")
    emfast.convert(np.full((2, 2), 2, "u1"), f"{tmp_path}/b.h5:b")
    assert held(tmp_path / "a.h5") == {"a": 1, "b": 2}
    assert (tmp_path / "b.h5").is_symlink()
