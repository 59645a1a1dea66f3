"""What is read is never written over: targets apart from sources, by whatever name."""

from __future__ import annotations

import os

import numpy as np
import pytest

import emfast
from emfast import blockwise, cli
from emfast._engine.identity import check_apart

pytest.importorskip("zarr")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.random.default_rng(0).integers(0, 5, (12, 14, 16)).astype("u4")
    emfast.convert(labels, "a.zarr")
    emfast.convert(labels, "g.zarr:x/y")
    np.save("a.npy", labels)
    os.symlink("a.zarr", "link.zarr")
    return labels


SAME = [
    ("a.zarr", "a.zarr"),
    ("a.zarr", "./a.zarr/"),
    ("a.zarr", "link.zarr"),
    ("link.zarr", "a.zarr"),
    ("g.zarr:x/y", "g.zarr/x/y"),
    ("g.zarr:x/y", "g.zarr:x"),
    ("g.zarr:x/y", "g.zarr:x/y/z"),
    ("a.npy", "a.npy"),
]


def in_blocks(name):
    return lambda source, target: getattr(blockwise, name)(source, target)


OPERATIONS = {
    "convert": lambda source, target: emfast.convert(source, target, overwrite=True),
    "map_blocks": lambda source, target: emfast.map_blocks(np.negative, source, target),
    "segment": lambda source, target: emfast.segment(source, target),
    **{name: in_blocks(name) for name in ("connected_components", "edt", "renumber", "dust", "fill_holes")},
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("source", "target"), SAME)
def test_nothing_is_written_over_what_is_read(name, source, target, folder):
    if name == "map_blocks" and target in ("g.zarr:x", "g.zarr:x/y/z"):
        pytest.skip("map_blocks opens targets that are there, and there is no array")
    before = {place: np.asarray(emfast.open_volume(place)) for place in ("a.zarr", "g.zarr:x/y", "a.npy")}
    with pytest.raises(ValueError, match="must not be where"):
        OPERATIONS[name](source, target)
    for place, array in before.items():
        assert np.array_equal(emfast.open_volume(place), array)
    if target == "a.zarr":
        with pytest.raises(ValueError, match="must not be where"):
            OPERATIONS[name](emfast.open_volume(source), target)


def test_others_may_be_written(folder):
    emfast.convert("g.zarr:x/y", "g.zarr:x/z")
    emfast.convert("g.zarr:x/y", "g.zarr:xy")
    blockwise.renumber("a.zarr", "a.zarr.zarr")
    assert np.array_equal(emfast.open_volume("g.zarr:x/z"), folder)


def test_arrays_are_written_in_place_only_where_no_other_block_reads_them(folder):
    array, expected = folder.astype(np.int64), -folder.astype(np.int64)
    emfast.map_blocks(np.negative, array, array, block=5)
    assert np.array_equal(array, expected)
    with pytest.raises(ValueError, match="target must not be where source is, got one array for both"):
        emfast.map_blocks(np.negative, array, array[:], block=5, halo=1)
    with pytest.raises(ValueError, match="target must not be where labels is"):
        blockwise.connected_components(folder, folder)
    half = np.zeros((2, 4, 5, 6))
    check_apart(half[0], "target", {"source": half[1]})


def test_the_command_keeps_its_input(folder, capsys):
    for verb in (["convert", "a.zarr", "a.zarr", "--overwrite"], ["segment", "a.zarr", "a.zarr"]):
        assert cli.main(verb) == 2
        assert "must not be where" in capsys.readouterr().err
    assert np.array_equal(emfast.open_volume("a.zarr"), folder)


def refused(source, target):
    with pytest.raises(ValueError, match="must not be where source is"):
        emfast.convert(source, target, overwrite=True)


@pytest.mark.parametrize("whole", [False, True], ids=["relative", "absolute"])
def test_arrays_of_other_libraries_tell_where_they_lie(whole, folder, tmp_path):
    zarr, h5py = pytest.importorskip("zarr"), pytest.importorskip("h5py")
    at = f"{tmp_path}/" if whole else ""
    os.rename("g.zarr", "g h.zarr")
    refused(zarr.open(f"{at}a.zarr"), "a.zarr")
    refused(zarr.open(f"{at}g h.zarr")["x/y"], f"file://{tmp_path}/g%20h.zarr:x/y")
    emfast.convert("a.npy", "a.h5:x/y")
    with h5py.File(f"{at}a.h5") as file:
        refused(file["x/y"], "a.h5:x")
    for mapped in (np.load(f"{at}a.npy", mmap_mode="r"), np.asarray(np.load(f"{at}a.npy", mmap_mode="r"))[2:, 1]):
        refused(mapped, "a.npy")
    assert np.array_equal(emfast.open_volume("g h.zarr:x/y"), folder)


def test_stores_of_tensorstore_tell_where_they_lie(folder, tmp_path):
    tensorstore = pytest.importorskip("tensorstore")
    os.rename("g.zarr", "g h.zarr")
    file = {"driver": "file", "path": f"{tmp_path}/g h.zarr/x/y"}
    store = tensorstore.open({"driver": "zarr3", "kvstore": file}).result()
    for source in (store, store[2:5], tensorstore.cast(store, tensorstore.int64)):
        refused(source, "g h.zarr:x/y")
    check_apart("b.zarr", "target", {"source": store})


def test_arrays_of_dask_tell_what_they_read(folder):
    dask, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    array = zarr.open("a.zarr")
    for source in (
        dask.from_array(array, chunks=6),
        dask.from_array(array, chunks=6, inline_array=True),
        dask.from_zarr("a.zarr"),
        dask.concatenate([dask.zeros((2, 14, 16), dtype="u4"), (dask.from_array(array)[1:] + 1).rechunk(4)]),
    ):
        refused(source, "a.zarr")
    emfast.convert(dask.from_array(array, chunks=6), "b.zarr")
    assert np.array_equal(emfast.open_volume("b.zarr"), folder)


def test_slices_lie_in_the_folder_that_is_replaced(folder):
    pytest.importorskip("PIL")
    emfast.convert(folder.astype("u1"), "st/*.png")
    os.symlink("st", "other")
    for source in ("st", "st/*.png", "st/000*.png", "st/0003.png", "other/001*.png", "other"):
        refused(source, "st/*.png")
        refused(emfast.open_volume(source), "st/*.png")
    refused("st", "st/0003.png")
    emfast.convert("st/0003.png", "st/0099.png")
    assert len(os.listdir("st")) == 13


def test_places_are_read_once(folder, tmp_path, monkeypatch):
    from emfast.volumes._places import local_path, located

    monkeypatch.setenv("HOME", str(tmp_path))
    os.rename("a.zarr", "a%20b.zarr")
    names = (
        "a%20b.zarr",
        "~/a%20b.zarr",
        f"file://{tmp_path}/a%2520b.zarr",
        "zarr://~/a%20b.zarr",
        "file://a%2520b.zarr",
    )
    for place in names:
        assert local_path(place) == f"{tmp_path}/a%20b.zarr"
        assert np.array_equal(emfast.open_volume(place), folder)
        refused(place, emfast.open_volume(place).uri)
    assert located("~/x.h5:a/b") == (f"{tmp_path}/x.h5", "a/b")
    assert located("s3://bucket/a b.zarr/raw") == ("s3://bucket/a b.zarr", "raw")
    assert local_path("https://a.org/b.zarr") is None
    emfast.convert(folder, "~/c.zarr")
    assert os.path.isdir("c.zarr") and not os.path.exists("~")
