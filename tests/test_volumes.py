"""Volumes in files: sliced as arrays are, whatever the format; what is wrong with a file is said with its name."""

import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import open_volume
from emfast.volumes import Volume

pytest.importorskip("numcodecs")

ROUND = {  # place, dtypes, and whether it keeps spacing and offset
    "a.zarr": ("? u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8", True),
    "a.zarr:deep/raw": ("u1 u8 f4", True),
    "a.h5": ("? u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8", True),
    "a.hdf/volumes/raw": ("u1 u8", True),
    "a.tif": ("u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8", True),
    "a.npy": ("? u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8", False),
    "a.npz": ("? u1 u8 f4", False),
    "a.npz:x": ("u1", False),
    "s/z*.png": ("? u1 u2", False),
    "s/z*.tif": ("u1 u2 u8 f4", False),
}
CASES = [(place, dtype) for place, (dtypes, _) in ROUND.items() for dtype in dtypes.split()]
NEEDS = {"h5": "h5py", "hdf": "h5py", "tif": "tifffile", "png": "PIL"}


def needs(place):
    ending = place.partition(":")[0].partition("/")[0].rpartition(".")[2]
    library = NEEDS.get(ending) or NEEDS.get(place.rpartition(".")[2])
    if library:
        pytest.importorskip(library)


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)


@pytest.mark.parametrize("place, dtype", CASES)
def test_what_is_written_comes_back(place, dtype, tmp_path):
    needs(place)
    array = noise((5, 13, 7), dtype)
    with open_volume(tmp_path / place, mode="x", like=array, spacing=(30, 8, 4.6), offset=(-60, 0.5, 9)) as volume:
        volume[:2] = array[:2]
        volume[2:, 5:] = array[2:, 5:]
        volume[2:, :5] = array[2:, :5]
        assert np.array_equal(volume[...], array)
    with open_volume(tmp_path / place) as volume:
        assert (volume.shape, volume.dtype, volume.axes) == (array.shape, array.dtype, "zyx")
        assert np.array_equal(volume[...], array)
        if ROUND[place][1]:
            assert volume.spacing == (30, 8, 4.6)
            assert volume.offset == (-60, 0.5, 9)
        else:
            assert volume.spacing is None
            assert volume.offset == (0, 0, 0)
    assert [n for n in os.listdir(tmp_path) if n.startswith(".")] == []


@pytest.fixture(scope="module", params=["a.zarr", "a.h5", "a.tif", "a.npy", "a.npz", "s/*.png"])
def stored(request, tmp_path_factory):
    needs(request.param)
    array = noise((7, 20, 17), "u1")
    place = tmp_path_factory.mktemp("stored") / request.param
    chunked = request.param in ("a.zarr", "a.h5")
    sides = {"chunks": (2, 8, 4)} if chunked else {}
    with open_volume(place, mode="w", like=array, spacing=(3, 2, 1) if chunked else None, **sides) as volume:
        volume[...] = array
    with open_volume(place) as volume:
        yield volume, array


KEYS = st.one_of(st.integers(-30, 30), st.slices(25).filter(lambda s: s.step is None or s.step > 0), st.just(Ellipsis))


@given(key=st.one_of(KEYS, st.lists(KEYS, max_size=4).map(tuple)))
def test_slices_are_those_of_arrays(stored, key):
    volume, array = stored
    try:
        expected = array[key]
    except IndexError:
        with pytest.raises(IndexError):
            volume[key]
        return
    found = volume[key]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("key", [slice(None, None, -1), None, True, [1, 2], 1.5, "a", np.array([1])])
def test_other_keys_are_refused(stored, key):
    with pytest.raises(IndexError, match="a volume"):
        stored[0][key]


def test_volumes_are_arrays_to_numpy(stored):
    volume, array = stored
    assert np.array_equal(np.asarray(volume), array)
    assert np.asarray(volume, dtype="f4").dtype == np.float32
    assert (len(volume), volume.ndim, volume.size, volume.nbytes) == (7, 3, array.size, array.nbytes)
    assert np.array_equal(np.stack(list(volume)), array)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(volume, copy=False)


def test_volumes_stand_where_scores_take_arrays(stored):
    volume, array = stored
    assert emfast.contingency(volume, volume) == emfast.contingency(array, array)


def test_crops_are_views_that_move_the_offset(stored):
    volume, array = stored
    part = volume.crop((slice(2, 6), slice(None), slice(4, 16)))
    assert np.array_equal(part[...], array[2:6, :, 4:16])
    inner = part.crop(slice(1, 5))  # the last axis
    assert np.array_equal(inner[1:, ::3], array[3:6, ::3, 5:9])
    if volume.spacing:
        assert (part.offset, inner.offset) == ((6, 0, 4), (6, 0, 5))
    else:
        assert part.offset is None
    if volume.chunks == (2, 8, 4):
        assert (part.chunks, inner.chunks) == ((2, 8, 4), None)
    with pytest.raises(ValueError, match="window must be slices of step 1"):
        volume.crop((1, 2, 3))
    inner.close()
    assert np.array_equal(part[0], array[2, :, 4:16])


def test_volumes_go_to_other_processes(stored):
    volume, array = stored
    for view, expected in (
        (volume, array),
        (volume.crop((slice(2, 6), slice(1, 9), slice(4, 16))), array[2:6, 1:9, 4:16]),
    ):
        with pickle.loads(pickle.dumps(view)) as again:
            assert isinstance(again, Volume)
            assert (again.offset, again.mode) == (view.offset, "r")
            assert np.array_equal(again[...], expected)
            again._whole = True  # so that the file is closed here


def test_many_threads_read_at_once(stored):
    volume, array = stored
    wrong = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            start = rng.integers(0, array.shape)
            window = tuple(slice(int(a), int(a) + 9) for a in start)
            if not np.array_equal(volume[window], array[window]):
                wrong.append(window)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("place", ["a.zarr", "a.h5", "a.npy", "a.tif"])
def test_what_is_there_is_edited(place, tmp_path):
    needs(place)
    array = noise((6, 10, 9), "u2")
    with open_volume(tmp_path / place, mode="w", like=array) as volume:
        volume[...] = array
    with open_volume(tmp_path / place, mode="r+", shape=array.shape, dtype="u2") as volume:
        volume[1:3, 4, ::1] = array[1:3, 4] = 7
        volume[-1] = array[-1] = np.arange(9)
        assert np.array_equal(volume[...], array)
    with open_volume(tmp_path / place) as volume:
        assert np.array_equal(volume[...], array)


@pytest.mark.parametrize("place", [p for p in ROUND if p != "a.zarr:deep/raw"])
def test_modes_keep_what_they_must(place, tmp_path):
    needs(place)
    array = noise((3, 4, 5), "u1")
    place = tmp_path / place
    with pytest.raises(FileNotFoundError):
        open_volume(place)
    for mode, value in (("x", 0), ("w", 1)):
        with open_volume(place, mode=mode, like=array) as volume:
            volume[...] = array + value
    with pytest.raises(FileExistsError):
        open_volume(place, mode="x", like=array)
    with open_volume(place) as volume:
        assert np.array_equal(volume[...], array + 1)
        with pytest.raises(ValueError, match=r"must be opened with mode 'r\+', 'x' or 'w'"):
            volume[...] = 0


@pytest.mark.parametrize("place", ["a.npy", "a.npz", "a.h5", "a.tif", "s/*.png"])
def test_new_files_appear_whole_or_not_at_all(place, tmp_path):
    needs(place)
    with (
        pytest.raises(RuntimeError, match="stop"),
        open_volume(tmp_path / place, mode="w", like=noise((2, 3, 4), "u1")),
    ):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    volume = open_volume(tmp_path / place, mode="w", like=noise((2, 3, 4), "u1"))
    with pytest.raises(TypeError, match="must be closed before"):
        pickle.dumps(volume)
    volume.close()
    assert len(list(tmp_path.iterdir())) == 1
    volume.close()
    with pytest.raises(ValueError, match="is closed"):
        volume[...]


def test_values_must_fit(tmp_path):
    with open_volume(tmp_path / "a.zarr", mode="w", shape=(2, 3), dtype="u1") as volume:
        volume[...] = np.int64(7)
        volume[0] = [1, 2, 255]
        volume[1] = np.array([0.0, 3.0, 4.0])
        assert volume[...].tolist() == [[1, 2, 255], [0, 3, 4]]
        for wrong in (256, -1, 1.5, np.nan):
            with pytest.raises(ValueError, match="holds uint8, which cannot hold"):
                volume[...] = wrong
        with pytest.raises(ValueError, match=r"must be given values of shape \(2, 3\), got \(5,\)"):
            volume[...] = np.zeros(5, "u1")
        with pytest.raises(ValueError, match="step 1"):
            volume[:, ::2] = 0
        with pytest.raises(TypeError, match="must be given numbers"):
            volume[...] = "a"


def test_axes_of_files_are_turned(tmp_path):
    array = noise((4, 5, 6), "u1")
    np.save(tmp_path / "xyz.npy", array.T)
    volume = open_volume(tmp_path / "xyz.npy", axes="xyz", spacing=(3, 2, 1))
    assert (volume.shape, volume.axes, volume.spacing) == (array.shape, "zyx", (3, 2, 1))
    assert np.array_equal(volume[1:, 2, ::2], array[1:, 2, ::2])
    channels = noise((4, 5, 6, 2), "u1")
    np.save(tmp_path / "last.npy", channels)
    volume = open_volume(tmp_path / "last.npy", axes="zyxc")
    assert np.array_equal(volume[1, 2:], np.moveaxis(channels, -1, 0)[1, 2:])
    for wrong in ("zy", "zyz", "ZYX", 3):
        with pytest.raises((ValueError, TypeError), match="axes must"):
            open_volume(tmp_path / "xyz.npy", axes=wrong)


def test_mistakes_are_told(tmp_path):
    np.save(tmp_path / "a.npy", noise((2, 3, 4), "u1"))
    for settings, words in (
        ({"mode": "a"}, "mode must be"),
        ({"shape": (2, 3, 5)}, r"a\.npy must have the shape \(2, 3, 5\), got \(2, 3, 4\)"),
        ({"like": np.zeros(3)}, r"a\.npy must have the shape \(3,\)"),
        ({"dtype": "u2"}, r"a\.npy must hold uint16, got uint8"),
        ({"spacing": (1, 2)}, "spacing must be 3 positive"),
        ({"spacing": (1, 2, 0)}, "spacing must be 3 positive"),
        ({"offset": (1, 2)}, "offset must be 3 finite"),
        ({"mode": "w"}, "shape must be given"),
        ({"mode": "w", "shape": (2, 2)}, "dtype must be given"),
        ({"mode": "w", "shape": (2, -2), "dtype": "u1"}, "shape must be integers"),
        ({"mode": "w", "shape": (2, 2), "dtype": "c8"}, "dtype must be"),
        ({"mode": "w", "shape": (2, 2), "dtype": "u1", "axes": "xy"}, "axes must be time, channels"),
        ({"mode": "w", "shape": (2, 2), "dtype": "u1", "level": 1}, "level must be None"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            open_volume(tmp_path / "a.npy", **settings)
    for place, words in (("a.npy:x", "only .zarr"), ("a.xyz", "no such file"), ("", "uri must"), (3, "uri must")):
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
            open_volume(tmp_path / place if isinstance(place, str) and place else place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold slices or a volume of a known format"):
        open_volume(tmp_path / "empty")


def test_like_gives_what_is_not_said(tmp_path):
    like = open_volume(tmp_path / "a.zarr", mode="w", shape=(8, 8, 8), dtype="u1", spacing=(4, 2, 1), chunks=(4, 4, 4))
    with open_volume(tmp_path / "b.zarr", mode="w", like=like.crop((slice(4, 8),) * 3), dtype="u4") as volume:
        assert (volume.shape, volume.dtype, volume.spacing) == ((4, 4, 4), np.uint32, (4, 2, 1))
        assert (volume.offset, volume.chunks, volume.mode) == ((16, 8, 4), (4, 4, 4), "w")


def test_chunks_of_stores_alone_are_kept(tmp_path):
    pytest.importorskip("PIL")
    with open_volume(tmp_path / "s" / "*.png", mode="w", shape=(3, 70, 80), dtype="u1") as volume:
        volume[...] = 1
    assert open_volume(tmp_path / "s").chunks == (1, 70, 80)
    with open_volume(tmp_path / "a.zarr", mode="w", like=open_volume(tmp_path / "s")) as volume:
        assert (volume.chunks, volume.shards) == ((3, 64, 64), (3, 128, 128))


def test_slices_are_sorted_by_number_and_none_is_missing(tmp_path):
    pytest.importorskip("PIL")
    array = noise((12, 3, 4), "u1")
    with open_volume(tmp_path / "s" / "*.png", mode="w", like=array) as volume:
        volume[...] = array
    for k in range(12):  # without zeros in front
        (tmp_path / "s" / f"{k:04d}.png").rename(tmp_path / "s" / f"em_{k + 5}_v2.png")
    assert np.array_equal(open_volume(tmp_path / "s")[...], array)
    assert np.array_equal(open_volume(tmp_path / "s" / "em_1*.png")[...], array[5:])
    (tmp_path / "s" / "em_9_v2.png").unlink()
    with pytest.raises(ValueError, match=r"slice 9 of .* is missing, between em_8_v2\.png and em_10_v2\.png"):
        open_volume(tmp_path / "s")
    (tmp_path / "s" / "em_9_v2.png").write_bytes((tmp_path / "s" / "em_8_v2.png").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"em_9_v2\.png"):
        open_volume(tmp_path / "s")[...]
    with open_volume(tmp_path / "s" / "em_9_v2.png", mode="w", shape=(3, 5), dtype="u1") as picture:
        picture[...] = 1
    with pytest.raises(ValueError, match=r"em_9_v2\.png must be \(3, 4\) of uint8 as the first, got \(3, 5\)"):
        open_volume(tmp_path / "s")[...]
    (tmp_path / "s" / "other.png").write_bytes(b"")
    with pytest.raises(ValueError, match="must differ in their number alone"):
        open_volume(tmp_path / "s")


def test_hdf5_files_keep_their_other_arrays(tmp_path):
    pytest.importorskip("h5py")
    for name in ("raw", "labels/ids"):
        with open_volume(tmp_path / f"a.h5:{name}", mode="x", shape=(2, 2), dtype="u1") as volume:
            volume[...] = len(name)
    assert open_volume(tmp_path / "a.h5/raw")[...].max() == 3
    with pytest.raises(ValueError, match=r"must name an array of the file, got ''; it holds labels/ids, raw"):
        open_volume(tmp_path / "a.h5")
    with pytest.raises(ValueError, match="must be free or an array, but labels is a group"):
        open_volume(tmp_path / "a.h5:labels", mode="w", shape=(2, 2), dtype="u1")


def test_cremi_files_say_where_they_are(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf", "w") as file:
        ids = file.create_dataset("volumes/labels/neuron_ids", data=noise((3, 4, 5), "u8"))
        ids.attrs["resolution"], ids.attrs["offset"] = (40.0, 4.0, 4.0), (1480.0, 3644.0, 3644.0)
        file.create_dataset("volumes/raw", data=noise((3, 4, 5), "u1"))
    volume = open_volume(tmp_path / "a.hdf:volumes/labels/neuron_ids")
    assert (volume.spacing, volume.offset) == ((40, 4, 4), (1480, 3644, 3644))
    assert open_volume(tmp_path / "a.hdf:volumes/raw").spacing is None


def by_library(place):
    """How others write and read a file."""
    ending = place.rpartition(".")[2].partition(":")[0]
    if ending == "h5":
        h5py = pytest.importorskip("h5py")

        def write(path, array):
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=array, chunks=(2, 4, 4), compression="lzf")

        def read(path):
            with h5py.File(path) as file:
                return file["x"][...]

        return write, read
    if ending == "npz":
        return lambda path, array: np.savez_compressed(path, x=array), lambda path: np.load(path)["x"]
    if ending == "npy":
        return lambda path, array: np.save(path, np.asfortranarray(array)), np.load
    tifffile = pytest.importorskip("tifffile")
    return lambda path, array: tifffile.imwrite(path, array, photometric="minisblack"), tifffile.imread


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("place", ["a.h5:x", "a.npz:x", "a.npy", "a.tif"])
def test_libraries_and_we_read_one_another(place, dtype, tmp_path):
    write, read = by_library(place)
    array = noise((5, 13, 7), dtype)
    if place == "a.tif" and dtype == "?":
        pytest.skip("TIFF has single bits, which need more")
    with open_volume(tmp_path / place, mode="x", like=array, spacing=(3, 2, 1)) as volume:
        volume[...] = array
    path = tmp_path / place.partition(":")[0]
    assert np.array_equal(read(path), array)
    write(path, array)
    with open_volume(tmp_path / place) as volume:
        assert volume.dtype == array.dtype
        assert np.array_equal(volume[...], array)
        assert np.array_equal(volume[1:4, ::3, 2], array[1:4, ::3, 2])


@pytest.mark.parametrize("dtype", ["?", "u1", "u2"])
def test_pictures_and_we_read_one_another(dtype, tmp_path):
    image = pytest.importorskip("PIL.Image")
    array = noise((3, 13, 7), dtype)
    with open_volume(tmp_path / "s" / "*.png", mode="x", like=array) as volume:
        volume[...] = array
    for k, picture in enumerate(array):
        with image.open(tmp_path / "s" / f"{k:04d}.png") as file:
            assert np.array_equal(np.array(file), picture)
        image.fromarray(picture[::-1].copy()).save(tmp_path / "s" / f"{k:04d}.png")
    assert np.array_equal(open_volume(tmp_path / "s")[...], array[:, ::-1])


def test_pictures_in_colour_and_jpeg(tmp_path):
    image = pytest.importorskip("PIL.Image")
    colour = noise((2, 8, 9, 3), "u1")
    for k, picture in enumerate(colour):
        image.fromarray(picture).save(tmp_path / f"c{k}.png")
        image.fromarray(picture[..., 0]).save(tmp_path / f"grey{k}.jpg", quality=95)
    volume = open_volume(tmp_path / "c*.png")
    assert volume.axes == "czyx"
    assert np.array_equal(volume[...], np.moveaxis(colour, -1, 0))
    for k in range(2):
        with image.open(tmp_path / f"grey{k}.jpg") as file:
            assert np.array_equal(open_volume(tmp_path / "grey*.jpg")[k], np.array(file))
    with pytest.raises(ValueError, match=r"must hold slices of one kind, got \.jpg, \.png"):
        open_volume(tmp_path)
    with pytest.raises(ValueError, match="JPEG changes values"):
        open_volume(tmp_path / "new.jpg", mode="x", shape=(4, 4), dtype="u1")


@pytest.mark.parametrize("dtype", [">i2", ">u4", ">i8", ">f4", ">f8"])
def test_arrays_are_in_the_byte_order_of_the_machine(dtype, tmp_path):
    """Whatever the file's: native code takes no other."""
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", values)
    places = ["a.npy", "a.npz"]
    if h5py := importorskip_or_none("h5py"):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["x"] = values
        places.append("a.h5")
    if tifffile := importorskip_or_none("tifffile"):
        tifffile.imwrite(tmp_path / "a.tif", values, byteorder=">", photometric="minisblack")
        places.append("a.tif")
    for place in places:
        with emfast.open_volume(tmp_path / place) as volume:
            assert volume.dtype.isnative and volume.dtype == values.dtype.newbyteorder("=")
            for array in (volume[...], volume[1, :, 2], np.asarray(volume), volume[:0]):
                assert array.dtype.isnative and array.dtype == volume.dtype
            assert np.array_equal(volume[...], values)


def importorskip_or_none(name):
    try:
        return __import__(name)
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize("key", [slice(1, 1), slice(30, 40), slice(3, 2), slice(0, 0)])
def test_empty_parts_are_empty(key, stored):
    volume, array = stored
    for window in ((key, ...), (..., key)):
        assert volume.crop(window).shape == array[window].shape
        assert np.array_equal(volume.crop(window), array[window])
        assert volume.crop(window).crop((slice(0, 3), ...)).size == 0
