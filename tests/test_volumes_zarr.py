"""Zarr: equal to what the zarr library reads and writes; what is missing or damaged is told, never filled in."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emfast import open_volume
from emfast.errors import CorruptData

zarr = pytest.importorskip("zarr", minversion="3")
DTYPES = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2 if np.dtype(dtype) == bool else 100, shape).astype(dtype)


def chunk_files(place):
    return sorted(p for p in Path(place).rglob("*") if p.is_file() and not p.name.startswith(("zarr.json", ".")))


@pytest.mark.parametrize("codec", ["zstd", "zstd:9", "gzip", "blosc", "raw", None])
@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_reads_what_we_write(dtype, codec, tmp_path):
    array = noise((9, 14, 11), dtype)
    sides = {"chunks": (2, 4, 8), "shards": (4, 8, 8)}
    with open_volume(tmp_path / "a.zarr:deep/raw", mode="x", like=array, codec=codec, **sides) as volume:
        volume[...] = array
        assert (volume.chunks, volume.shards) == ((2, 4, 8), (4, 8, 8))
    found = zarr.open_array(tmp_path / "a.zarr", path="deep/raw", mode="r")
    assert (found.chunks, found.shards, found.dtype) == ((2, 4, 8), (4, 8, 8), array.dtype)
    assert np.array_equal(found[...], array)


V2 = ["default", "none", "zlib", "gzip", "zstd", "blosc", "lz4", "bz2", "lzma", "F", "/", "delta", ">"]
V3 = ["default", "none", "zstd", "gzip", "blosc", "transpose", "v2 keys", "shards", "shards first", "big", "nested"]


def made_by_zarr(path, array, version, kind):
    import numcodecs
    from zarr import codecs as c

    settings = {"shape": array.shape, "dtype": array.dtype, "chunks": (4, 5, 3), "zarr_format": version}
    packed = {
        (2, "none"): None,
        (2, "zlib"): numcodecs.Zlib(),
        (2, "gzip"): numcodecs.GZip(),
        (2, "zstd"): numcodecs.Zstd(),
        (2, "blosc"): numcodecs.Blosc(),
        (2, "lz4"): numcodecs.LZ4(),
        (2, "bz2"): numcodecs.BZ2(),
        (2, "lzma"): numcodecs.LZMA(),
        (3, "none"): None,
        (3, "zstd"): c.ZstdCodec(level=1, checksum=True),
        (3, "gzip"): c.GzipCodec(),
        (3, "blosc"): c.BloscCodec(),
    }
    if (version, kind) in packed:
        settings["compressors"] = packed[version, kind]
    settings |= {
        "F": {"order": "F"},
        "/": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        "delta": {"filters": numcodecs.Delta(dtype=array.dtype)},
        ">": {"dtype": array.dtype.newbyteorder(">")},
        "transpose": {"filters": c.TransposeCodec(order=(2, 0, 1))},
        "v2 keys": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
        "shards": {"shards": (8, 10, 9)},
        "shards first": {"shards": c and {"shape": (8, 10, 9), "index_location": "start"}},
        "big": {"serializer": c.BytesCodec(endian="big")},
    }.get(kind, {})
    if kind == "nested":
        inner = c.ShardingCodec(chunk_shape=(2, 5, 3), codecs=[c.BytesCodec(), c.ZstdCodec()])
        settings |= {"serializer": c.ShardingCodec(chunk_shape=(4, 5, 3), codecs=[inner]), "compressors": None}
        settings["chunks"] = (8, 10, 9)
    found = zarr.create_array(path, fill_value=3, **settings)
    found[:5] = array[:5]
    found[5:, 3:] = array[5:, 3:]


@pytest.mark.parametrize("dtype", ["u1", "u8", "f4", "bool"])
@pytest.mark.parametrize("version, kind", [(2, kind) for kind in V2] + [(3, kind) for kind in V3])
@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_we_read_what_zarr_writes(version, kind, dtype, tmp_path):
    if dtype == "bool" and kind == "delta":
        pytest.skip("numcodecs has no differences of truth values")
    array = noise((9, 14, 11), dtype)
    made_by_zarr(tmp_path / "a.zarr", array, version, kind)
    expected = zarr.open_array(tmp_path / "a.zarr", mode="r")
    with open_volume(tmp_path / "a.zarr") as volume:
        assert (volume.shape, volume.dtype) == (array.shape, array.dtype)
        assert np.array_equal(volume[...], expected[...])
        assert np.array_equal(volume[1::3, 2, 4:10:5], expected[1::3, 2, 4:10:5])
    with open_volume(tmp_path / "a.zarr", mode="r+") as volume:
        volume[2:7, 3, 2:9] = 1
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[2:7, 3, 2:9], np.ones((5, 7), dtype))


@pytest.mark.parametrize("value", [0, 7, -1.5, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("version", [2, 3])
def test_what_is_not_there_has_the_fill_value(value, version, tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(2,), dtype="f4", fill_value=value, zarr_format=version)
    assert np.array_equal(open_volume(tmp_path / "a.zarr")[...], np.full(4, value, "f4"), equal_nan=True)


@st.composite
def histories(draw):
    """Sides of chunks and shards, a shape, and windows to write."""
    chunks = draw(st.tuples(*[st.integers(1, 4)] * 3))
    shards = tuple(c * draw(st.integers(1, 3)) for c in chunks)
    shape = draw(st.tuples(*[st.integers(1, 12)] * 3))
    windows = [
        tuple(slice(*sorted(draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in shape)
        for _ in range(draw(st.integers(0, 4)))
    ]
    return chunks, shards, shape, windows


@given(history=histories(), version=st.sampled_from([2, 3, "sharded"]))
def test_any_window_can_be_written(history, version, tmp_path):
    chunks, shards, shape, windows = history
    shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)
    if version == "sharded":
        open_volume(tmp_path / "a.zarr", mode="x", shape=shape, dtype="u2", chunks=chunks, shards=shards)
    else:
        zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=chunks, dtype="u2", zarr_format=version)
    expected = np.zeros(shape, "u2")
    with open_volume(tmp_path / "a.zarr", mode="r+") as volume:
        for k, window in enumerate(windows):
            volume[window] = expected[window] = noise(expected[window].shape, "u2", k)
            assert np.array_equal(volume[window], expected[window])
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], expected)


@pytest.fixture
def ours(tmp_path):
    """A store of ours in four shards of eight chunks, and its voxels."""
    array = noise((8, 8, 4), "u8")
    with open_volume(tmp_path / "a.zarr", mode="x", like=array, chunks=(2, 2, 2), shards=(4, 4, 4)) as volume:
        volume[...] = array
    return tmp_path / "a.zarr", array


def test_every_flipped_bit_is_noticed(ours):
    place, array = ours
    volume = open_volume(place)
    rng = np.random.default_rng(0)
    for _ in range(200):
        file = rng.choice(chunk_files(place))
        good = file.read_bytes()
        at = int(rng.integers(8 * len(good)))
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        file.write_bytes(bad)
        with pytest.raises(CorruptData, match=rf"a\.zarr.*{file.name}.* is damaged"):
            volume[...]
        file.write_bytes(good)
    assert np.array_equal(volume[...], array)


def test_every_shortened_file_is_noticed(ours):
    place, _ = ours
    file = chunk_files(place)[1]
    good = file.read_bytes()
    for length in range(len(good)):
        file.write_bytes(good[:length])
        with pytest.raises(CorruptData, match=rf"a\.zarr.*{file.name} is (damaged|cut short)"):
            open_volume(place)[...]


def test_a_missing_chunk_is_named(ours):
    place, array = ours
    (place / "c/1/0/0").unlink()
    volume = open_volume(place)
    assert np.array_equal(volume[:4], array[:4])
    with pytest.raises(CorruptData, match=r"a\.zarr has no chunk \(2, 0, 0\) in .*a\.zarr/c/1/0/0: it was not written"):
        volume[...]


def test_chunks_in_the_wrong_place_are_read_as_they_are(ours):
    """A checksum says what a chunk is, not whose; the engine's journal does that."""
    place, array = ours
    first, second = place / "c/0/0/0", place / "c/0/1/0"
    first.rename(place / "x"), second.rename(first), (place / "x").rename(second)
    assert np.array_equal(open_volume(place)[:4, :4], array[:4, 4:])


def test_shards_that_are_not_written_are_missing(tmp_path):
    volume = open_volume(tmp_path / "a.zarr", mode="x", shape=(8, 8), dtype="u1", chunks=(2, 2), shards=(4, 4))
    volume[:4, :2] = 1
    with pytest.raises(CorruptData, match=r"has no chunk \(0, 1\) in"):
        volume[:4, :4]
    volume[:4, 3:4] = 2
    assert volume[0, :4].tolist() == [1, 1, 0, 2]
    with pytest.raises(CorruptData, match="has no chunk"):
        volume[7, 7]


def test_the_default_store_is_sharded_and_checked(tmp_path):
    volume = open_volume(tmp_path / "a.zarr", mode="x", shape=(600, 600, 600), dtype="u8", spacing=(40, 4, 4))
    assert (volume.chunks, volume.shards) == ((64,) * 3, (256,) * 3)
    meta = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    inner = meta["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in inner] == ["bytes", "zstd", "crc32c"]
    assert inner[1]["configuration"]["level"] == 3
    assert meta["attributes"]["resolution"] == [40, 4, 4]
    assert open_volume(tmp_path / "b.zarr", mode="x", shape=(600, 600, 600), dtype="u1").shards == (512,) * 3
    affinities = open_volume(tmp_path / "c.zarr", mode="x", shape=(3, 300, 600, 600), dtype="u1")
    assert (affinities.chunks, affinities.shards) == ((1, 64, 64, 64), (3, 256, 256, 256))
    small = open_volume(tmp_path / "d.zarr", mode="x", shape=(10, 70, 0), dtype="u1")
    assert (small.chunks, small.shards) == ((10, 64, 1), (10, 128, 1))


def test_groups_and_other_folders_are_not_replaced(tmp_path):
    for name in ("raw", "labels"):
        open_volume(tmp_path / f"a.zarr:{name}", mode="x", shape=(2, 2), dtype="u1")[...] = 1
    for uri in ("a.zarr", "a.zarr:raw/below"):
        with pytest.raises((FileExistsError, ValueError), match="must be free or an array"):
            open_volume(tmp_path / uri, mode="w", shape=(2, 2), dtype="u1")
    with pytest.raises(FileExistsError, match="mode 'w' replaces it"):
        open_volume(tmp_path / "a.zarr/raw", mode="x", shape=(2, 2), dtype="u1")
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="is no array"):
        open_volume(tmp_path / "b.zarr", mode="w", shape=(2, 2), dtype="u1")
    zarr.create_group(tmp_path / "c.zarr", zarr_format=2)
    with pytest.raises(ValueError, match="is of Zarr 2, new arrays are of Zarr 3"):
        open_volume(tmp_path / "c.zarr:raw", mode="w", shape=(2, 2), dtype="u1")
    with pytest.raises(ValueError, match=r"must name an array, got 'none'; it holds labels, raw"):
        open_volume(tmp_path / "a.zarr:none")
    with pytest.raises(ValueError, match=r"must name an array of it, got ''; it holds labels, raw"):
        open_volume(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="shards must be whole chunks"):
        open_volume(tmp_path / "d.zarr", mode="w", shape=(8,), dtype="u1", chunks=(4,), shards=(6,))
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr", "c.zarr"]


def test_resolution_of_other_writers(tmp_path):
    for name, attributes, spacing, offset in (
        ("a", {"resolution": [40, 4, 4], "offset": [80, 0, 4]}, (40, 4, 4), (80, 0, 4)),
        ("b", {"voxel_size": [0.04, 0.004, 0.004], "units": ["um"] * 3}, (40, 4, 4), (0, 0, 0)),
        ("c", {"resolution": [40, 4]}, None, (0, 0, 0)),
        ("d", {"resolution": [40, 4, 4], "units": "parsec"}, None, (0, 0, 0)),
        ("e", {"resolution": [40, -4, 4]}, None, (0, 0, 0)),
    ):
        found = zarr.create_array(tmp_path / f"{name}.zarr", shape=(2, 2, 2), dtype="u1")
        found.attrs.update(attributes)
        volume = open_volume(tmp_path / f"{name}.zarr")
        assert (volume.spacing, volume.offset, volume.attributes) == (spacing, offset, attributes)


def test_named_dimensions_are_turned(tmp_path):
    array = noise((2, 3, 4), "u1")
    found = zarr.create_array(tmp_path / "a.zarr", data=array, dimension_names=["x", "y", "z"])
    found.attrs["resolution"] = [1, 2, 3]
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.shape, volume.axes, volume.spacing) == ((4, 3, 2), "zyx", (3, 2, 1))
    assert np.array_equal(volume[...], array.T)
