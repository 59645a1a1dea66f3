"""Volumes written block by block: each format comes back, appears whole or not at all, and spares what is there."""

import numpy as np
import pytest

from emfast import _files, _targets

PLACES = ["a.npy", "a.h5", "a.h5:b/c", "a.tif", "a.zarr", "a.zarr:c", "a.zarr:b/c"]


def needs(place):
    for ending, library in ((".h5", "h5py"), (".tif", "tifffile"), (".zarr", "zarr")):
        if ending in place:
            pytest.importorskip(library)


def write(place, array, kind="kind 1", about=()):
    with _targets.created(place, array.shape, array.dtype, kind=kind, about=dict(about), chunks=(2, 3, 64)) as volume:
        for z in range(len(array)):
            volume[z : z + 1] = array[z : z + 1]


@pytest.mark.parametrize("place", PLACES)
def test_blocks_come_back(place, tmp_path):
    needs(place)
    arrays = [np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % k for k in (7, 5)]
    for array in arrays:  # the second takes the place of the first
        _targets.check(tmp_path / place, "kind 1")
        write(tmp_path / place, array)
        assert np.array_equal(_files.load(tmp_path / place), array)
    assert [p.name for p in tmp_path.iterdir()] == [place.partition(":")[0]]


@pytest.mark.parametrize("place", PLACES)
def test_what_fails_leaves_what_was_there(place, tmp_path):
    needs(place)
    for before in (False, True):
        if before:
            write(tmp_path / place, np.ones((2, 2, 2), np.uint8))
        with pytest.raises(RuntimeError), _targets.created(
            tmp_path / place, (2, 2, 2), "u1", kind="kind 1", about={}
        ) as volume:  # fmt: skip
            volume[:1] = 7
            raise RuntimeError
        assert len(list(tmp_path.iterdir())) == before
    assert (_files.load(tmp_path / place) == 1).all()


@pytest.mark.parametrize("format", [2, 3])
def test_a_group_keeps_its_other_arrays(format, tmp_path):
    zarr = pytest.importorskip("zarr", "3")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=format)
    group.create_array("raw", data=np.arange(4))
    group.require_group("sub")
    made = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    for name in ("map", "sub/map"):
        write(f"{tmp_path}/a.zarr:{name}", made, about={"classes": "{}"})
        assert np.array_equal(_files.load(f"{tmp_path}/a.zarr:{name}"), made)
    assert _files.load(f"{tmp_path}/a.zarr:raw").tolist() == [0, 1, 2, 3]
    found = zarr.open(f"{tmp_path}/a.zarr/map", mode="r")
    assert dict(found.attrs) == {"format": "kind 1", "classes": "{}"}
    assert found.chunks == (2, 2, 2) and found.metadata.zarr_format == format
    before = sorted(map(str, tmp_path.rglob("*")))
    for name, error, words in (
        ("raw", FileExistsError, "is there and holds something else"),
        ("sub", FileExistsError, "is there and holds something else"),
        ("", FileExistsError, "is there and holds something else"),
        ("none/map", ValueError, "must lie in a Zarr group that is there"),
        ("raw/map", ValueError, "must lie in a Zarr group that is there"),
    ):
        for call in (lambda place: _targets.check(place, "kind 1"), lambda place: write(place, made)):
            with pytest.raises(error, match=words):
                call(f"{tmp_path}/a.zarr:{name}")
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_arrays_of_another_kind_stay(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.open_array(str(tmp_path / "raw.zarr"), mode="w", shape=(2, 2, 2), dtype="u1")[...] = 3
    with pytest.raises(FileExistsError, match=r"raw\.zarr is there and holds something else: choose another name"):
        _targets.check(tmp_path / "raw.zarr", "kind 1")
    write(tmp_path / "b.zarr", np.zeros((2, 2, 2), np.uint8), kind="kind 2")
    with pytest.raises(FileExistsError, match=r"b\.zarr is there and holds something else"):
        write(tmp_path / "b.zarr", np.zeros((2, 2, 2), np.uint8))
    (tmp_path / "c.zarr").mkdir()
    with pytest.raises(FileExistsError, match=r"c\.zarr is there and holds something else"):
        _targets.check(tmp_path / "c.zarr", "kind 1")


@pytest.mark.parametrize("place", ["a.npy", "a.h5", "a.zarr"])
def test_volumes_without_voxels(place, tmp_path):
    needs(place)
    with _targets.created(tmp_path / place, (0, 3), "u1", kind="kind 1", about={}):
        pass
    assert _files.load(tmp_path / place).shape == (0, 3)


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.npz must end in \.zarr, \.h5, \.npy or \.tif: no other kind is written"):
        _targets.check(tmp_path / "a.npz", "kind 1")
    with pytest.raises(ValueError, match=r"a\.zarr:name must be names with / between them, got '\.\./b'"):
        _targets.check(tmp_path / "a.zarr:../b", "kind 1")
    pytest.importorskip("zarr")
    with pytest.raises(ValueError, match="must lie in an existing folder"):
        _targets.check(tmp_path / "no" / "a.zarr", "kind 1")
