"""Arrays in files: what is written comes back, appears whole or not at all, and mistakes are told in words."""

import sys

import numpy as np
import pytest

from emfast import _files

PLACES = ["a.npy", "a.npz", "a.npz:deep", "a.h5", "a.hdf5:raw/image", "a.tif", "a.tiff", "a.zarr", "a.zarr:b/c"]
LIBRARIES = {"h5": "h5py", "hdf5": "h5py", "tif": "tifffile", "tiff": "tifffile", "zarr": "zarr"}


def needs(place):
    library = LIBRARIES.get(place.partition(":")[0].rpartition(".")[2])
    if library:
        pytest.importorskip(library)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("place", PLACES)
def test_arrays_come_back(place, dtype, tmp_path):
    needs(place)
    array = (np.arange(2 * 3 * 4 * 5) % 100).reshape(2, 3, 4, 5).astype(dtype)
    for values in (array, array[:, ::2], array[0], np.asfortranarray(array[0, 0])):
        _files.save(tmp_path / place, values)
        back = _files.load(tmp_path / place)
        assert back.dtype == values.dtype
        assert np.array_equal(back, values)
    assert sorted(p.name for p in tmp_path.iterdir()) == [place.partition(":")[0]]


@pytest.mark.parametrize("place", PLACES)
def test_masks_come_back(place, tmp_path):
    needs(place)
    mask = np.array([[True, False], [False, True]])
    _files.save(tmp_path / place, mask)
    assert np.array_equal(_files.load(tmp_path / place), mask)


def test_an_output_may_be_the_input(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(4))
    loaded = _files.load(tmp_path / "a.npy")
    _files.save(tmp_path / "a.npy", loaded[::-1])
    assert loaded.tolist() == [0, 1, 2, 3]
    assert _files.load(tmp_path / "a.npy").tolist() == [3, 2, 1, 0]


def test_hdf5_files_keep_their_other_arrays(tmp_path):
    pytest.importorskip("h5py")
    for name, value in (("raw/image", 1), ("labels", 2), ("labels", 3)):
        _files.save(tmp_path / f"a.h5:{name}", np.full(3, value))
    assert _files.load(tmp_path / "a.h5:/raw/image").tolist() == [1, 1, 1]
    assert _files.load(tmp_path / "a.h5:labels").tolist() == [3, 3, 3]
    with pytest.raises(ValueError, match=r"must name an array of the file, got ''; it holds labels, raw/image"):
        _files.load(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"got 'raw'; it holds"):  # a group
        _files.load(tmp_path / "a.h5:raw")


@pytest.mark.parametrize("place", PLACES)
def test_what_fails_leaves_the_old_file(place, tmp_path):
    needs(place)
    _files.save(tmp_path / place, np.arange(4).reshape(2, 2))
    with pytest.raises(ValueError, match="not now"):
        _files.save(tmp_path / place, Bomb())
    assert _files.load(tmp_path / place).tolist() == [[0, 1], [2, 3]]
    assert len(list(tmp_path.iterdir())) == 1


class Bomb:
    dtype = np.dtype("u1")

    def __array__(self, *_, **__):
        raise ValueError("not now")


@pytest.mark.parametrize("place", [place for place in PLACES if "zarr" not in place])
def test_damaged_and_missing_files_are_named(place, tmp_path):
    needs(place)
    path = tmp_path / place.partition(":")[0]
    with pytest.raises(FileNotFoundError, match=path.name):
        _files.load(tmp_path / place)
    for content in (b"", b"nothing of this kind"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path.name} must be a file of its kind, got another one or a damaged"):
            _files.load(tmp_path / place)


def test_archives_of_several_arrays_want_a_name(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(2), y=np.arange(3))
    assert _files.load(tmp_path / "a.npz:y").tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"a\.npz:name must name an array of the file, got ''; it holds x, y"):
        _files.load(tmp_path / "a.npz")


@pytest.mark.parametrize("place", ["a", "a.png", "a.npy:x", "a.tif:1", "", "a.h5x"])
def test_other_places_are_refused(place):
    with pytest.raises(ValueError, match=r"files must end in \.npy, \.npz, \.h5"):
        _files.check(place)


def test_outputs_are_checked_before_the_work(tmp_path):
    _files.check(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="must lie in an existing folder"):
        _files.check(tmp_path / "no" / "a.npy")
    (tmp_path / "b.npy").mkdir()
    with pytest.raises(ValueError, match="must be a file, got a folder"):
        _files.check(tmp_path / "b.npy")


@pytest.mark.parametrize("place, library", [("a.h5", "h5py"), ("a.tif", "tifffile")])
def test_missing_libraries_are_named_with_the_way_to_them(place, library, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / place).touch()
    for call in (_files.check, _files.load, lambda p: _files.save(p, np.arange(2))):
        with pytest.raises(ModuleNotFoundError, match=rf"{place} needs {library}: pip install 'emfast\[io\]'"):
            call(tmp_path / place)
    assert [p.name for p in tmp_path.iterdir()] == [place]


def test_an_array_takes_no_place_of_a_group(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volumes/raw"] = np.arange(3)
    for name in ("volumes", "volumes/raw/x"):
        for call in (_files.check, lambda place: _files.save(place, np.arange(2))):
            with pytest.raises(ValueError, match=rf"a\.h5:{name} must be free or an array, but volumes"):
                call(tmp_path / f"a.h5:{name}")
    _files.save(tmp_path / "a.h5:volumes/labels", np.arange(2))
    assert _files.load(tmp_path / "a.h5:volumes/raw").tolist() == [0, 1, 2]
    (tmp_path / "b.h5").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"b\.h5 must be an HDF5 file"):
        _files.check(tmp_path / "b.h5")


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args"])
def test_any_name_in_an_archive(name, tmp_path):
    _files.save(tmp_path / f"a.npz:{name}", np.arange(3))
    assert _files.load(tmp_path / f"a.npz:{name}").tolist() == [0, 1, 2]


def test_other_files_beside_stay(tmp_path):
    (tmp_path / "a.npy.part").write_text("mine")
    _files.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(ValueError, match="not now"):
        _files.save(tmp_path / "a.npy", Bomb())
    assert (tmp_path / "a.npy.part").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_would_be_overwritten_is_known(tmp_path):
    (tmp_path / "b.npy").touch()
    (tmp_path / "link.npy").symlink_to("b.npy")
    (tmp_path / "hard.npy").hardlink_to(tmp_path / "b.npy")
    for target, other in (
        ("a.npz:x", f"../{tmp_path.name}/a.npz"),
        ("a.npz:x", "a.npz:y"),
        ("b.npy", "b.npy"),
        ("b.npy", "link.npy"),
        ("link.npy", "hard.npy"),
        ("none.h5", "none.h5:array"),
        ("none.h5:a/b", "none.h5:/a/./b/"),
    ):
        assert _files.overwrites(tmp_path / target, tmp_path / other), (target, other)
    for target, other in (("a.npz", "b.npz"), ("b.npy", "c.npy"), ("none.h5:a", "none.h5:b"), ("a.h5:x", "b.h5:x")):
        assert not _files.overwrites(tmp_path / target, tmp_path / other), (target, other)


def test_arrays_in_zarr_replace_arrays_alone(tmp_path):
    pytest.importorskip("zarr")
    for name in ("raw", "labels/ids"):
        for value in (1, 2):
            _files.save(tmp_path / f"a.zarr:{name}", np.full((2, 3), value))
    assert _files.load(tmp_path / "a.zarr/raw").tolist() == [[2] * 3] * 2
    for place in ("a.zarr", "a.zarr:labels", "a.zarr:raw/below"):
        for call in (_files.check, lambda place: _files.save(place, np.arange(2))):
            with pytest.raises((ValueError, FileExistsError), match="must be free or an array"):
                call(tmp_path / place)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "mine").touch()
    with pytest.raises(FileExistsError, match="is there and is no array"):
        _files.check(tmp_path / "b.zarr")
    assert not _files.overwrites(tmp_path / "a.zarr:raw", tmp_path / "a.zarr:labels")
    assert _files.overwrites(tmp_path / "a.zarr:raw", tmp_path / "a.zarr:raw/")
    assert _files.overwrites(tmp_path / "a.zarr:labels", tmp_path / "a.zarr:labels/ids")


def test_the_only_array_of_an_hdf5_file_is_known(tmp_path):
    pytest.importorskip("h5py")
    _files.save(tmp_path / "a.h5:raw", np.arange(3))
    assert _files.overwrites(tmp_path / "a.h5:raw", tmp_path / "a.h5")
    assert not _files.overwrites(tmp_path / "a.h5", tmp_path / "a.h5")  # from raw to array
