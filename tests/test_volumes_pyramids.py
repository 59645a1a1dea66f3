"""Pyramids: each level is what a slow look at every window says; OME-Zarr is read as its specification has it."""

import itertools
import json
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import emfast
from emfast import open_volume
from emfast.volumes import downsample, write_pyramid

zarr = pytest.importorskip("zarr", minversion="3")


def slowly(array, factors, labels):
    """Every window by itself."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for place in np.ndindex(*out.shape):
        window = array[tuple(slice(i * f, i * f + f) for i, f in zip(place, factors, strict=True))]
        values = [v.item() for v in window.flat]
        if labels:
            counts = Counter(values)
            out[place] = min(v for v in values if counts[v] == max(counts.values()))
        elif array.dtype.kind == "f":
            out[place] = sum(values) / len(values)
        else:
            out[place] = (2 * sum(values) + len(values)) // (2 * len(values))
    return out


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
    few = st.sampled_from([0, 1]) if dtype == bool else st.sampled_from([0, 1, 2, int(np.iinfo(dtype).max)])
    some = few if dtype == bool else st.one_of(few, st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)))
    array = draw(hnp.arrays(dtype, shape, elements=draw(st.sampled_from([few, some]))))
    return array, tuple(draw(st.integers(1, 2)) for _ in shape)


@given(case=arrays(), labels=st.booleans())
def test_downsampling_looks_at_every_window(case, labels):
    array, factors = case
    before = array.copy()
    found = downsample(array, factors, labels=labels)
    assert found.dtype == array.dtype
    assert np.array_equal(found, slowly(array, factors, labels))
    assert np.array_equal(array, before)


@given(values=hnp.arrays("f4", (4, 6), elements=st.integers(-1000, 1000)))
def test_means_of_floats(values):
    assert np.array_equal(downsample(values, (2, 2)), slowly(values, (2, 2), False))


def test_labels_are_known_by_their_dtype():
    for dtype, labels in (("?", True), ("u1", False), ("u2", False), ("u4", True), ("i8", True), ("f4", False)):
        array = np.array([0, 3, 3, 5], dtype)
        assert np.array_equal(downsample(array, (2,)), slowly(array, (2,), labels))


@pytest.mark.parametrize("factors", [(3,), (2, 2), (0,), ()])
def test_other_factors_are_refused(factors):
    with pytest.raises(ValueError, match="factors must be 1 or 2 for each of 1 axes"):
        downsample(np.zeros(4), factors)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("dtype", ["u1", "u8"])
def test_pyramids_are_written_and_read(dtype, version, tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 4, (11, 50, 37)).astype(dtype)
    with open_volume(tmp_path / "a.zarr", mode="x", like=array, spacing=(40, 10, 10), offset=(400, 0, 5)) as source:
        source[...] = array
    seen = []
    shards = (8, 16, 16) if version == "0.5" else None
    sides = {"chunks": (4, 8, 8), "shards": shards}
    place = f"{tmp_path}/p.zarr:em/raw"
    fine = write_pyramid(source.uri, place, version=version, levels=4, progress=lambda *a: seen.append(a), **sides)
    assert np.array_equal(fine[...], array)
    assert seen[-1][0] == seen[-1][1] == sum(open_volume(place, level=k).size for k in range(4))
    expected, spacing, offset = array, (40, 10, 10), (400, 0, 5)
    for k, factors in enumerate([(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2)]):  # even at 40 × 40 × 40
        expected = slowly(expected, factors, dtype == "u8")
        offset = tuple(o + (f - 1) / 2 * s for o, f, s in zip(offset, factors, spacing, strict=True))
        spacing = tuple(f * s for f, s in zip(factors, spacing, strict=True))
        level = open_volume(place, level=k)
        assert np.array_equal(level[...], expected)
        assert (level.spacing, level.offset, level.axes) == (spacing, offset, "zyx")
        assert (level.chunks, level.shards) == ((4, 8, 8), shards)
        direct = open_volume(f"{place}/{k}")
        assert (direct.spacing, direct.offset) == (spacing, offset)
        assert np.array_equal(zarr.open_array(tmp_path / "p.zarr", path=f"em/raw/{k}", mode="r")[...], expected)
    group = zarr.open_group(tmp_path / "p.zarr", path="em/raw", mode="r")
    assert group.metadata.zarr_format == (3 if version == "0.5" else 2)
    assert ("ome" in group.attrs) == (version == "0.5")
    with pytest.raises(ValueError, match="level must be from 0 to 3"):
        open_volume(place, level=4)
    with pytest.raises(FileExistsError):
        write_pyramid(array, place, version=version)
    assert write_pyramid(array[0], place, version=version, mode="w", levels=1).shape == (50, 37)


def test_a_pyramid_that_is_not_finished_is_none(tmp_path):
    def stop(done, total):
        if done > 100:
            raise RuntimeError("stop")

    array = np.arange(4096, dtype="u8").reshape(16, 16, 16)
    with pytest.raises(RuntimeError, match="stop"):
        write_pyramid(array, f"{tmp_path}/a.zarr", levels=3, progress=stop)
    with pytest.raises(ValueError, match="level must be 0 where there is no pyramid"):
        open_volume(tmp_path / "a.zarr", level=1)
    assert write_pyramid(array, f"{tmp_path}/a.zarr", levels=3, mode="w").shape == array.shape


def test_without_a_spacing_levels_are_in_voxels(tmp_path):
    write_pyramid(np.zeros((8, 8, 8), "u1"), f"{tmp_path}/a.zarr", levels=2)
    said = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert [d["coordinateTransformations"][0]["scale"] for d in said["datasets"]] == [[1, 1, 1], [2, 2, 2]]
    assert said["datasets"][1]["coordinateTransformations"][1]["translation"] == [0.5, 0.5, 0.5]
    assert open_volume(tmp_path / "a.zarr", level=1).spacing is None


def ome(path, array, axes, units, transforms, above=(), version="0.5"):
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    group.create_array("s0", data=array)
    kinds = {"t": "time", "c": "channel"}
    listed = [{"name": a, "type": kinds.get(a, "space"), "unit": u} for a, u in zip(axes, units, strict=True)]
    scales = {"axes": listed, "datasets": [{"path": "s0", "coordinateTransformations": transforms}]}
    if above:
        scales["coordinateTransformations"] = above
    group.attrs.update(
        {"ome": {"version": version, "multiscales": [scales]}} if version == "0.5" else {"multiscales": [scales]}
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_of_others_is_read(version, tmp_path):
    array = np.arange(120, dtype="u2").reshape(4, 5, 6)
    um = ["micrometer"] * 3
    scale, shift = {"type": "scale", "scale": [0.03, 0.008, 0.004]}, {"type": "translation", "translation": [3, 2, 1]}
    ome(tmp_path / "a.zarr", array, "zyx", um, [scale, shift], version=version)
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.spacing == pytest.approx((30, 8, 4))
    assert volume.offset == pytest.approx((3000, 2000, 1000))
    both = [{"type": "scale", "scale": [2, 2, 2]}, {"type": "translation", "translation": [1, 1, 1]}]
    ome(tmp_path / "b.zarr", array, "zyx", um, [scale, shift], both, version=version)
    volume = open_volume(tmp_path / "b.zarr")
    assert volume.spacing == pytest.approx((60, 16, 8))
    assert volume.offset == pytest.approx((7000, 5000, 3000))
    turned = [{"type": "scale", "scale": [4, 8, 30]}]
    ome(tmp_path / "c.zarr", array.T, "xyz", ["nanometer"] * 3, turned, version=version)
    volume = open_volume(tmp_path / "c.zarr/s0")
    assert (volume.axes, volume.spacing) == ("zyx", (30, 8, 4))
    assert np.array_equal(volume[...], array)
    five = [{"type": "scale", "scale": [1, 1, 30, 8, 4]}]
    units = [None, None, *["nanometer"] * 3]
    ome(tmp_path / "d.zarr", array[None, None], "tczyx", units, five, version=version)
    volume = open_volume(tmp_path / "d.zarr")
    assert (volume.shape, volume.axes, volume.spacing) == (array.shape, "zyx", (30, 8, 4))
    assert np.array_equal(volume[1:3, 2, ::2], array[1:3, 2, ::2])
    ome(tmp_path / "e.zarr", np.stack([array] * 2)[None], "tczyx", units, five, version=version)
    assert open_volume(tmp_path / "e.zarr").axes == "czyx"
    ome(tmp_path / "f.zarr", array, "zyx", [None] * 3, [{"type": "scale", "scale": [3, 2, 1]}], version=version)
    assert open_volume(tmp_path / "f.zarr").spacing is None


def test_mistakes_in_pyramids_are_told(tmp_path):
    array = np.zeros((4, 4, 4), "u1")
    for settings, words in (
        ({"version": "0.6"}, "version must be"),
        ({"levels": 0}, "levels must be"),
        ({"mode": "r"}, "mode must be"),
        ({"chunks": (4, 4)}, "chunks must be"),
        ({"version": "0.4", "shards": (4, 4, 4)}, "shards must be None"),
    ):
        with pytest.raises(ValueError, match=words):
            write_pyramid(array, f"{tmp_path}/a.zarr", **settings)
    with pytest.raises(ValueError, match="target must be a place in a"):
        write_pyramid(array, f"{tmp_path}/a.npy")
    for scales, words in (
        ([{}], "must list datasets"),
        ([{"datasets": [{"path": "../s0"}]}], "must lie below it"),
        ([{"datasets": [{"path": "s1"}]}], "is not there"),
        ([{"axes": ["a"], "datasets": [{"path": "s0"}]}], "must name 3 axes"),
        ([{"datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1]}]}]}], "3 numbers"),
    ):
        group = zarr.create_group(tmp_path / "b.zarr", overwrite=True)
        group.create_array("s0", data=array)
        group.attrs["ome"] = {"multiscales": scales}
        with pytest.raises(ValueError, match=rf"b\.zarr.*{words}"):
            open_volume(tmp_path / "b.zarr")


def test_axes_are_halved_to_become_even():
    from emfast.volumes._pyramids import factors_of

    for axes, shape, spacing, factors in (
        ("zyx", (9, 9, 9), (40, 4, 4), (1, 2, 2)),
        ("zyx", (9, 9, 9), (40, 32, 32), (2, 2, 2)),
        ("zyx", (9, 9, 9), None, (2, 2, 2)),
        ("czyx", (3, 9, 1, 9), (8, 8, 8), (1, 2, 1, 2)),
        ("yx", (9, 9), (4, 8), (2, 1)),
    ):
        assert factors_of(axes, shape, spacing) == factors


def test_windows_begin_at_the_origin():
    """So that blocks of whole windows are those of the whole."""
    rng = np.random.default_rng(1)
    array = rng.integers(0, 3, (9, 8, 7)).astype("u4")
    whole = downsample(array, (2, 2, 2))
    for z, y in itertools.product(range(0, 9, 4), range(0, 8, 2)):
        part = downsample(array[z : z + 4, y : y + 2], (2, 2, 2))
        assert np.array_equal(part, whole[z // 2 : z // 2 + 2, y // 2 : y // 2 + 1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_lies_beside_the_levels_is_not_replaced(version, tmp_path):
    place, new = tmp_path / "a.zarr", {"mode": "w", "shape": (3, 4, 5), "dtype": "u1"}
    emfast.volumes.write_pyramid(np.ones((4, 5, 6), "u1"), str(place), version=version)
    emfast.volumes.write_pyramid(np.ones((4, 5, 6), "u1"), str(place), version=version, mode="w")
    (place / "labels").mkdir()
    (place / "labels" / "kept").write_text("")
    with pytest.raises(FileExistsError, match=r"a\.zarr also holds labels"):
        emfast.volumes.write_pyramid(np.ones((4, 5, 6), "u1"), str(place), version=version, mode="w")
    with pytest.raises((FileExistsError, ValueError), match=r"a\.zarr"):
        emfast.open_volume(place, **new)
    with pytest.raises(FileExistsError, match=r"a\.zarr also holds labels"):
        emfast.volumes.check_free(place)
    assert (place / "labels" / "kept").exists()
    assert emfast.open_volume(place).shape == (4, 5, 6)
    (place / "labels" / "kept").unlink()
    (place / "labels").rmdir()
    emfast.open_volume(place, **new).close()
    assert emfast.open_volume(place).shape == (3, 4, 5)


def test_levels_may_lie_deeper_beside_others(tmp_path):
    place = tmp_path / "a.zarr"
    for name in ("deep/0", "deep/other"):
        emfast.convert(np.ones((4, 5, 6), "u1"), f"{place}:{name}")
    said = json.loads((place / "zarr.json").read_text())
    said["attributes"] = {"ome": {"version": "0.5", "multiscales": [{"datasets": [{"path": "deep/0"}]}]}}
    (place / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(FileExistsError, match="also holds deep/other"):
        emfast.open_volume(place, mode="w", shape=(3, 4, 5), dtype="u1")
    assert emfast.open_volume(f"{place}:deep/other").shape == (4, 5, 6)


@pytest.mark.parametrize("ending", ["n5", "zarr"])
def test_an_array_with_others_below_it_is_not_replaced(ending, tmp_path):
    place = tmp_path / f"a.{ending}"
    emfast.convert(np.ones((4, 5, 6), "u1"), f"{place}:x")
    emfast.convert(np.ones((4, 5, 6), "u1"), f"{tmp_path}/b.{ending}")
    os.rename(tmp_path / f"b.{ending}", place / "x" / "inside")
    with pytest.raises(FileExistsError, match="also holds inside"):
        emfast.convert(np.ones((2, 2, 2), "u1"), f"{place}:x", overwrite=True)
    assert emfast.open_volume(f"{place}:x/inside").shape == (4, 5, 6)
