"""The formats of EM: what we write, the peer library reads; what it writes, we read; spacing and offset with it."""

import json
import shutil

import numpy as np
import pytest

import emfast
from emfast import open_volume
from emfast.errors import CorruptData

pytest.importorskip("numcodecs")
SPACING, OFFSET = (30.0, 8.0, 4.0), (-60.0, 16.0, 400.0)


def noise(shape=(5, 13, 7), dtype="u1", seed=0):
    return np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 200, shape).astype(dtype)


def written(place, array, **settings):
    with open_volume(place, mode="x", like=array, spacing=SPACING, offset=OFFSET, **settings) as volume:
        volume[:2, 3:] = array[:2, 3:]
        volume[2:] = array[2:]
        volume[:2, :3] = array[:2, :3]


def same(place, array, dtype=None, spacing=SPACING, offset=OFFSET, **settings):
    with open_volume(place, **settings) as volume:
        assert (volume.shape, volume.axes) == (array.shape, "zyx" if array.ndim == 3 else "czyx")
        assert volume.dtype == (dtype or array.dtype)
        assert np.array_equal(volume[...], array)
        assert np.array_equal(volume[..., 1::2, 3], array[..., 1::2, 3])
        assert volume.spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-6))
        assert volume.offset == pytest.approx(offset, rel=1e-6)


# N5

N5_TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def n5(path, **spec):
    ts = pytest.importorskip("tensorstore")
    kvstore = {"driver": "file", "path": str(path)}
    return ts.open({"driver": "n5", "kvstore": kvstore, **spec.pop("spec", {})}, **spec).result()


@pytest.mark.parametrize("codec", ["zstd", "gzip", "blosc", "lz4", "raw"])
@pytest.mark.parametrize("dtype", N5_TYPES)
def test_n5_is_read_by_tensorstore(dtype, codec, tmp_path):
    array = noise(dtype=dtype)
    written(tmp_path / "a.n5:volumes/raw", array, codec=codec, chunks=(2, 8, 4))
    assert np.array_equal(n5(tmp_path / "a.n5/volumes/raw")[...].read().result(), array.T)
    same(tmp_path / "a.n5:volumes/raw", array)
    same(tmp_path / "a.n5", array)
    with open_volume(tmp_path / "a.n5/volumes/raw", mode="r+") as volume:
        volume[1:4, 2, 3:] = array[1:4, 2, 3:] = 7
    assert np.array_equal(n5(tmp_path / "a.n5/volumes/raw")[...].read().result(), array.T)


@pytest.mark.parametrize("kind", ["raw", "gzip", "zlib", "bzip2", "xz", "blosc", "zstd"])
@pytest.mark.parametrize("dtype", ["u1", "u8", "f4"])
def test_n5_of_tensorstore_is_read(dtype, kind, tmp_path):
    array = noise(dtype=dtype)
    compression = {"type": kind}
    if kind == "zlib":
        compression = {"type": "gzip", "useZlib": True}
    if kind == "blosc":
        compression |= {"cname": "lz4", "clevel": 3, "shuffle": 1}
    about = {
        "dimensions": array.shape[::-1],
        "blockSize": [4, 8, 2],
        "dataType": array.dtype.name,
        "compression": compression,
        "axes": ["x", "y", "z"],
    }
    store = n5(tmp_path / "a.n5", spec={"metadata": about}, create=True)
    store[...].write(array.T).result()
    more = json.loads((tmp_path / "a.n5/attributes.json").read_text())
    more |= {"resolution": SPACING[::-1], "offset": OFFSET[::-1]}
    (tmp_path / "a.n5/attributes.json").write_text(json.dumps(more))
    same(tmp_path / "a.n5", array)


def test_n5_says_its_resolution_in_several_ways(tmp_path):
    array = noise()
    written(tmp_path / "a.n5:s1", array)
    header = tmp_path / "a.n5/s1/attributes.json"
    plain = {k: v for k, v in json.loads(header.read_text()).items() if k in ("dimensions", "blockSize", "dataType")}
    plain["compression"] = {"type": "zstd"}
    cosem = {"axes": ["z", "y", "x"], "scale": [3, 2, 1], "translate": [6, 5, 4], "units": ["nm"] * 3}
    for own, above, spacing, offset in (
        ({}, {}, None, (0, 0, 0)),
        ({"pixelResolution": {"dimensions": [1, 2, 3], "unit": "um"}}, {}, (3000, 2000, 1000), (0, 0, 0)),
        ({"transform": cosem}, {}, (3, 2, 1), (6, 5, 4)),
        ({"downsamplingFactors": [2, 2, 1]}, {"resolution": [4, 4, 40]}, (40, 8, 8), (0, 0, 0)),
    ):
        header.write_text(json.dumps(plain | own))
        (tmp_path / "a.n5/attributes.json").write_text(json.dumps({"n5": "2.0.0"} | above))
        same(tmp_path / "a.n5/s1", array, spacing=spacing, offset=offset)
        same(tmp_path / "a.n5", array, spacing=spacing, offset=offset, level=1)


# MRC


@pytest.mark.parametrize("dtype, mode", [("i1", 0), ("i2", 1), ("f4", 2), ("u2", 6), ("u1", 6), ("f2", 12)])
def test_mrc_is_read_by_mrcfile(dtype, mode, tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    array = noise(dtype=dtype) if dtype != "i1" else noise(dtype="u1").astype("i1")
    written(tmp_path / "a.mrc", array)
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert np.array_equal(file.data, array)
        assert int(file.header.mode) == mode
        assert [float(file.voxel_size[a]) for a in "zyx"] == pytest.approx([10 * v for v in SPACING])
        assert [float(file.header.origin[a]) for a in "zyx"] == pytest.approx([10 * v for v in OFFSET])
    same(tmp_path / "a.mrc", array, "u2" if dtype == "u1" else None)


@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", "u2", "f2"])
def test_mrc_of_mrcfile_is_read(dtype, tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    array = noise(dtype=dtype if dtype != "i1" else "u1").astype(dtype)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(array)
        file.set_volume()
        file.voxel_size = tuple(10 * v for v in SPACING[::-1])
        for a, v in zip("zyx", OFFSET, strict=True):
            file.header.origin[a] = 10 * v
    same(tmp_path / "a.mrc", array)
    with open_volume(tmp_path / "a.mrc", mode="r+") as volume:
        volume[1, 2:5] = array[1, 2:5] = 3
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert np.array_equal(file.data, array)


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_mrc_says_which_axis_is_which(order, tmp_path):
    """Columns, rows and sections run along the axes that the header names: the array is turned to z, y, x."""
    mrcfile = pytest.importorskip("mrcfile")
    array = noise(dtype="i2")  # z, y, x
    sides = dict(zip((3, 2, 1), array.shape, strict=True))
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.ascontiguousarray(array.transpose([3 - axis for axis in order[::-1]])))
        file.set_volume()
        header = file.header
        header.mapc, header.mapr, header.maps = order
        header.mx, header.my, header.mz = sides[1], sides[2], sides[3]
        header.cella.x, header.cella.y, header.cella.z = sides[1] * 40, sides[2] * 80, sides[3] * 300
        header.origin.x, header.origin.y, header.origin.z = 4000, 160, -600
    same(tmp_path / "a.mrc", array)


def test_mrc_of_imod_and_of_big_endian_machines(tmp_path):
    array = noise(dtype="u1")
    written(tmp_path / "a.mrc", array.astype("i1").astype("i2"))
    head = bytearray((tmp_path / "a.mrc").read_bytes()[:1024])
    head[12:16] = (0).to_bytes(4, "little")
    (tmp_path / "signed.mrc").write_bytes(bytes(head) + array.tobytes())
    same(tmp_path / "signed.mrc", array.astype("i1"))
    head[152:160] = (1146047817).to_bytes(4, "little") + (4).to_bytes(4, "little")
    (tmp_path / "imod.mrc").write_bytes(bytes(head) + array.tobytes())
    same(tmp_path / "imod.mrc", array, offset=[-v for v in OFFSET])
    words = np.frombuffer(bytes(head[:208]), "<u4").byteswap().tobytes()
    big = words + b"MAP \x11\x11\0\0" + bytes(head[216:])
    big = big[:152] + bytes(8) + big[160:]
    big = big[:12] + (1).to_bytes(4, "big") + big[16:]
    (tmp_path / "big.mrc").write_bytes(big + array.astype(">i2").tobytes())
    same(tmp_path / "big.mrc", array.astype("i2"))


# NIfTI


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "?"])
def test_nifti_is_read_by_nibabel(dtype, ending, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = noise(dtype=dtype)
    written(tmp_path / f"a{ending}", array)
    found = nibabel.load(tmp_path / f"a{ending}")
    assert found.get_data_dtype() == ("u1" if dtype == "?" else array.dtype)
    assert np.array_equal(np.asanyarray(found.dataobj), array.T)
    assert found.header.get_zooms() == pytest.approx([v / 1e3 for v in SPACING[::-1]])
    assert found.header.get_xyzt_units()[0] == "micron"
    assert found.affine[:3, 3] == pytest.approx([v / 1e3 for v in OFFSET[::-1]])
    same(tmp_path / f"a{ending}", array, "u1" if dtype == "?" else None)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u8", "f4", "f8"])
def test_nifti_of_nibabel_is_read(dtype, second, ending, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = noise(dtype=dtype)
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    for signs in ((1, 1, 1), (-1, -1, 1)):  # as nibabel and as ITK have their world
        affine = np.diag([*(s * v / 1e6 for s, v in zip(signs, SPACING[::-1], strict=True)), 1])
        affine[:3, 3] = [s * v / 1e6 for s, v in zip(signs, OFFSET[::-1], strict=True)]
        image = kind(array.T, affine, dtype=array.dtype)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / f"a{ending}")
        same(tmp_path / f"a{ending}", array)
    image.header.set_xyzt_units("unknown")
    nibabel.save(image, tmp_path / f"a{ending}")
    same(tmp_path / f"a{ending}", array, spacing=None, offset=(0, 0, 0))


def test_nifti_scales_values(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(noise(dtype="i2").T, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "a.nii")
    assert np.array_equal(open_volume(tmp_path / "a.nii")[...], nibabel.load(tmp_path / "a.nii").get_fdata().T)


# NRRD


@pytest.mark.parametrize("codec", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_nrrd_is_read_by_pynrrd(dtype, codec, tmp_path):
    nrrd = pytest.importorskip("nrrd")
    array = noise(dtype=dtype)
    written(tmp_path / "a.nrrd", array, codec=codec)
    data, header = nrrd.read(str(tmp_path / "a.nrrd"))
    assert data.dtype == array.dtype
    assert np.array_equal(data, array.T)
    assert np.array_equal(header["space directions"], np.diag(SPACING[::-1]))
    assert header["space origin"].tolist() == list(OFFSET[::-1])
    assert header["space units"] == ["nm"] * 3
    same(tmp_path / "a.nrrd", array)


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("dtype", ["u1", "u8", "f4", ">i2"])
def test_nrrd_of_pynrrd_is_read(dtype, encoding, ending, tmp_path):
    nrrd = pytest.importorskip("nrrd")
    array = noise(dtype=dtype)
    header = {
        "encoding": encoding,
        "space directions": np.diag([v / 1e3 for v in SPACING[::-1]]),
        "space origin": [v / 1e3 for v in OFFSET[::-1]],
        "space units": ["um"] * 3,
    }
    nrrd.write(str(tmp_path / f"a{ending}"), array.T, header, index_order="F")
    same(tmp_path / f"a{ending}", array, array.dtype.newbyteorder("="))
    (tmp_path / "b").mkdir()
    nrrd.write(str(tmp_path / "b" / f"a{ending}"), array.T, {"encoding": encoding, "spacings": SPACING[::-1]})
    same(tmp_path / "b" / f"a{ending}", array, array.dtype.newbyteorder("="), spacing=None, offset=(0, 0, 0))


def test_nrrd_with_channels(tmp_path):
    nrrd = pytest.importorskip("nrrd")
    array = noise((3, 5, 6, 7))
    header = {
        "kinds": ["vector", "domain", "domain", "domain"],
        "spacings": [np.nan, 4, 8, 30],
        "units": ["", *["nm"] * 3],
    }
    nrrd.write(str(tmp_path / "a.nrrd"), array.transpose(0, 3, 2, 1), header)
    same(tmp_path / "a.nrrd", array, offset=(0, 0, 0))
    written(tmp_path / "b.nrrd", array)
    same(tmp_path / "b.nrrd", array)


# Neuroglancer


def neuroglancer(path, **spec):
    ts = pytest.importorskip("tensorstore")
    kvstore = {"driver": "file", "path": str(path)}
    return ts.open({"driver": "neuroglancer_precomputed", "kvstore": kvstore, **spec}, create=bool(spec)).result()


@pytest.mark.parametrize("codec", ["zstd", "raw"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f4"])
def test_precomputed_is_read_by_tensorstore(dtype, codec, tmp_path):
    array = noise(dtype=dtype)
    pytest.importorskip("tensorstore")
    written(f"precomputed://{tmp_path}/a", array, codec=codec)
    store = neuroglancer(tmp_path / "a")
    assert store.domain.origin[:3] == (100, 2, -2)
    assert np.array_equal(store[..., 0].read().result(), array.T)
    info = json.loads((tmp_path / "a/info").read_text())
    packed = dtype in ("u4", "u8") and codec == "zstd"
    assert info["scales"][0]["encoding"] == ("compressed_segmentation" if packed else "raw")
    for place in (f"precomputed://{tmp_path}/a", f"precomputed://file://{tmp_path}/a", tmp_path / "a"):
        same(place, array)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("dtype, encoding", [("u1", "raw"), ("u8", "raw"), ("u4", "compressed_segmentation")])
def test_precomputed_of_tensorstore_is_read(dtype, encoding, sharded, tmp_path):
    array = noise(dtype=dtype)
    scale = {
        "resolution": SPACING[::-1],
        "voxel_offset": [100, 2, -2],
        "size": array.shape[::-1],
        "chunk_size": [4, 8, 2],
        "encoding": encoding,
    }
    if encoding != "raw":
        scale["compressed_segmentation_block_size"] = [4, 4, 2]
    if sharded:
        scale["sharding"] = {
            "@type": "neuroglancer_uint64_sharded_v1",
            "preshift_bits": 1,
            "minishard_bits": 1,
            "shard_bits": 1,
            "hash": "identity",
            "minishard_index_encoding": "gzip",
            "data_encoding": "gzip",
        }
    about = {"data_type": array.dtype.name, "num_channels": 1, "type": "image" if dtype == "u1" else "segmentation"}
    store = neuroglancer(tmp_path / "a", multiscale_metadata=about, scale_metadata=scale)
    store[..., 0].write(array.T).result()
    same(tmp_path / "a", array)
    assert (open_volume(tmp_path / "a").shards is not None) == sharded
    coarse = {**scale, "resolution": [8, 16, 60], "size": [4, 7, 3], "voxel_offset": [50, 1, -1]}
    store = neuroglancer(tmp_path / "a", multiscale_metadata=about, scale_metadata=coarse)
    store[..., 0].write(array[:3, :7, :4].T).result()
    same(tmp_path / "a", array[:3, :7, :4], spacing=(60, 16, 8), level=1)


def test_precomputed_with_channels(tmp_path):
    pytest.importorskip("tensorstore")
    array = noise((3, 5, 6, 7))
    written(f"precomputed://{tmp_path}/a", array)
    same(tmp_path / "a", array)
    assert np.array_equal(neuroglancer(tmp_path / "a").read().result(), array.T)


def test_precomputed_needs_whole_voxels(tmp_path):
    pytest.importorskip("tensorstore")
    for settings, words in (
        ({}, "spacing must be given"),
        ({"spacing": SPACING, "offset": (1, 2, 3)}, "offset must be whole voxels"),
        ({"spacing": SPACING, "shards": (64,) * 3}, "shards must be None"),
        ({"spacing": SPACING, "dtype": "f8"}, "dtype must be one of uint8"),
    ):
        with pytest.raises((ValueError, TypeError), match=words):
            open_volume(f"precomputed://{tmp_path}/a", mode="w", like=noise(), **settings)


# WebKnossos


def webknossos(folder, layers, unit="nanometer"):
    said = {
        "id": {"name": "a", "team": "t"},
        "dataLayers": layers,
        "scale": {"factor": list(SPACING[::-1]), "unit": unit},
    }
    folder.mkdir(exist_ok=True)
    (folder / "datasource-properties.json").write_text(json.dumps(said))


def box(array, first=(100, 2, 3)):
    return {"topLeft": list(first), **dict(zip(("width", "height", "depth"), array.shape[::-1], strict=True))}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "f4"])
def test_webknossos_layers_in_wkw_are_read(dtype, packed, tmp_path):
    wkw = pytest.importorskip("wkw")
    array = noise(dtype=dtype)
    folder = tmp_path / "ds"
    for mag, part in (("1", array), ("2-2-1", array[:, ::2, ::2])):
        kind = wkw.Header(array.dtype, block_len=8, file_len=4)
        first = (100, 2, 3) if mag == "1" else (50, 1, 3)
        with wkw.Dataset.create(str(folder / "color" / mag), kind) as dataset:
            dataset.write(first, np.asfortranarray(part.T))
            if packed:
                dataset.compress(str(folder / "packed"), compress_files=True).close()
        if packed:
            shutil.rmtree(folder / "color" / mag)
            (folder / "packed").rename(folder / "color" / mag)
    mags = [{"resolution": [1, 1, 1]}, {"resolution": [2, 2, 1]}]
    webknossos(folder, [{"name": "color", "boundingBox": box(array), "wkwResolutions": mags, "dataFormat": "wkw"}])
    offset = (3 * 30, 2 * 8, 100 * 4)
    for place in (folder, folder / "color", folder / "color" / "1"):
        same(place, array, offset=offset)
    same(folder, array[:, ::2, ::2], spacing=(30, 16, 8), offset=offset, level=1)
    same(f"wkw://{folder}/color/1", np.pad(array, ((3, 24), (2, 17), (100, 21))), spacing=None, offset=(0, 0, 0))
    with pytest.raises(ValueError, match="level must be from 0 to 1"):
        open_volume(folder, level=2)


def test_webknossos_layers_in_zarr_are_read(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    array = noise(dtype="u4")
    folder = tmp_path / "ds"
    stored = np.pad(array, ((3, 0), (2, 0), (100, 0))).T[None]
    zarr.create_array(folder / "ids" / "1", data=stored, dimension_names=["c", "x", "y", "z"])
    zarr.create_array(folder / "color" / "1", data=stored[:, ::-1], dimension_names=["c", "x", "y", "z"])
    mags = [{"mag": [1, 1, 1], "path": "./ids/1"}]
    layers = [{"name": "ids", "boundingBox": box(array), "mags": mags, "dataFormat": "zarr3"}]
    webknossos(folder, [*layers, {**layers[0], "name": "color", "mags": [{"mag": 1}]}], unit="micrometer")
    spacing = tuple(1e3 * v for v in SPACING)
    same(folder / "ids", array, spacing=spacing, offset=(3 * 30e3, 2 * 8e3, 100 * 4e3))
    with pytest.raises(ValueError, match="must name a layer, got ''; it holds color, ids"):
        open_volume(folder)
    webknossos(folder, [{**layers[0], "boundingBox": box(array, (101, 2, 3))}])
    with pytest.raises(ValueError, match="goes beyond what is stored"):
        open_volume(folder / "ids")


# TIFF


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_imagej_reads_what_we_write(dtype, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array = noise(dtype=dtype)
    written(tmp_path / "a.tif", array)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        said = file.imagej_metadata
        assert np.array_equal(file.asarray(), array)
        assert (said["slices"], said["unit"], said["spacing"]) == (5, "nm", 30)
        x, y = (file.pages[0].tags[f"{a}Resolution"].value for a in "XY")
        assert (x[1] / x[0], y[1] / y[0]) == (4, 8)
        assert [-said[f"{a}origin"] * s for a, s in zip("zyx", SPACING, strict=True)] == pytest.approx(OFFSET)
    same(tmp_path / "a.tif", array)


@pytest.mark.parametrize("packed", [None, "zlib", "lzw"])
@pytest.mark.parametrize("kind", ["imagej", "ome", "plain", "bigtiff", "tiled"])
def test_tiff_of_tifffile_is_read(kind, packed, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    if packed == "lzw":
        pytest.importorskip("imagecodecs")
    array = noise((5, 20, 17), "u2")
    settings, spacing, offset = {"metadata": None}, None, (0, 0, 0)
    if kind == "imagej":
        said = {"axes": "ZYX", "unit": "um", "spacing": 0.03, "xorigin": -100, "yorigin": -2, "zorigin": 2}
        settings = {"imagej": True, "resolution": (250, 125), "metadata": said}
        spacing, offset = SPACING, OFFSET
    elif kind == "ome":
        sizes = {f"PhysicalSize{a}": v / 1e3 for a, v in zip("ZYX", SPACING, strict=True)}
        settings, spacing = {"ome": True, "metadata": {"axes": "ZYX", **sizes}}, SPACING
    elif kind == "bigtiff":
        settings = {"bigtiff": True, "byteorder": ">"}
    elif kind == "tiled":
        settings = {"tile": (16, 16)}
    tifffile.imwrite(
        tmp_path / "a.ome.tif" if kind == "ome" else tmp_path / "a.tif", array, compression=packed, **settings
    )
    same(next(tmp_path.glob("*.tif")), array, spacing=spacing, offset=offset)


def test_tiff_without_a_depth_says_no_spacing(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(
        tmp_path / "a.tif", noise(), imagej=True, resolution=(1, 1), metadata={"axes": "ZYX", "unit": "nm"}
    )
    assert open_volume(tmp_path / "a.tif").spacing is None
    tifffile.imwrite(tmp_path / "b.tif", noise((20, 30)), resolution=(72, 72), resolutionunit="INCH")
    assert open_volume(tmp_path / "b.tif").spacing is None


def test_tiff_that_lost_pages_is_noticed(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array = noise((6, 20, 30), "u1")
    for name, settings in (("a", {}), ("b", {"compression": "zlib"})):
        file = tmp_path / f"{name}.tif"
        with tifffile.TiffWriter(file) as writer:
            for page in array:
                writer.write(page, contiguous=False, metadata=None, **settings)
        good = file.read_bytes()
        same(file, array, spacing=None, offset=(0, 0, 0))
        for length in range(8, len(good) - 1, 97):
            file.write_bytes(good[:length])
            with pytest.raises(ValueError, match=rf"{name}\.tif"):
                open_volume(file)[...]


def test_precomputed_volumes_that_are_not_whole_say_so(tmp_path):
    pytest.importorskip("tensorstore")
    place, array = f"precomputed://{tmp_path}/a", np.zeros((70, 70, 70), "u2")
    array[66, 66, 66] = 300
    with pytest.raises(ValueError, match="dtype must hold all values"):
        emfast.convert(array, place, dtype="u1", spacing=(30, 8, 8), block=64)
    with emfast.open_volume(place) as volume:
        assert not volume[:64, :64, :64].any()
        with pytest.raises(CorruptData, match="a has lost a chunk, or it was not written"):
            volume[...]
    emfast.convert(array, place, spacing=(30, 8, 8), block=64, overwrite=True)
    assert np.array_equal(emfast.open_volume(place), array)
    with emfast.open_volume(place, mode="r+") as volume:
        volume[3:5] = 7
        volume[3:5] = 0
    assert np.array_equal(emfast.open_volume(place), array)


def test_precomputed_volumes_keep_their_meshes(tmp_path):
    pytest.importorskip("tensorstore")
    place, array = f"precomputed://{tmp_path}/a", np.ones((4, 5, 6), "u4")
    emfast.convert(array, place, spacing=(30, 8, 8))
    emfast.convert(array + 1, place, spacing=(40, 8, 8), overwrite=True)
    (tmp_path / "a" / "mesh").mkdir()
    with pytest.raises(FileExistsError, match="also holds mesh"):
        emfast.convert(array, place, spacing=(30, 8, 8), overwrite=True)
    assert (tmp_path / "a" / "mesh").exists()
    assert np.array_equal(emfast.open_volume(place), array + 1)


# What other programs write


@pytest.mark.parametrize("unit", ["\\u00B5m", "\\u00b5m", "\\u03BCm", "µm", "um", "MICRONS"])
def test_micrometres_of_imagej(unit, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    said = {"spacing": 0.04, "unit": unit if unit.isascii() else "\\u00B5m", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "a.tif", noise((3, 4, 5)), imagej=True, resolution=(125, 125), metadata=said)
    assert open_volume(tmp_path / "a.tif").spacing == pytest.approx((40, 8, 8))


@pytest.mark.parametrize("packed", [None, "zlib"])
@pytest.mark.parametrize("shape", [(5, 16, 32), (5, 16, 32, 3)])
def test_pages_that_were_written_one_by_one(shape, packed, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array, colour = noise(shape), "rgb" if len(shape) == 4 else "minisblack"
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in array:
            file.write(page, contiguous=False, compression=packed, photometric=colour)
    with open_volume(tmp_path / "a.tif") as volume:
        expected = array if len(shape) == 3 else array.transpose(3, 0, 1, 2)
        assert volume.axes == ("zyx" if len(shape) == 3 else "czyx")
        assert np.array_equal(volume, expected)
        assert np.array_equal(volume[..., 1:4, 3:9, 5:30:3], expected[..., 1:4, 3:9, 5:30:3])


def test_images_that_make_no_stack_are_told(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for other in (noise((8, 32)), noise((16, 32)).astype("u2")):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for page in (noise((16, 32)), other):
                file.write(page, contiguous=False)
        with pytest.warns(
            UserWarning, match=r"a\.tif holds 2 images that make no stack: the first is read, \(16, 32\)"
        ):
            assert open_volume(tmp_path / "a.tif").shape == (16, 32)


@pytest.mark.parametrize(("kind", "expected"), [(None, (80, 10, 8)), ("node", (80, 10, 8)), ("cell", (100, 12.5, 10))])
def test_the_least_places_of_nrrd(kind, expected, tmp_path):
    nrrd, array = pytest.importorskip("nrrd"), noise((3, 4, 5))
    said = {"spacings": [4, 5, 40], "units": ["nm"] * 3, "axis mins": [8, 10, 80]}
    said |= {} if kind is None else {"centerings": [kind] * 3}
    nrrd.write(str(tmp_path / "a.nrrd"), array.T, said)
    volume = open_volume(tmp_path / "a.nrrd")
    assert (volume.spacing, volume.offset) == ((40, 5, 4), expected)
    assert np.array_equal(volume, array)


def test_each_axis_of_n5_may_have_its_unit(tmp_path):
    said = {"dimensions": [5, 4, 3], "blockSize": [5, 4, 3], "dataType": "uint8", "compression": {"type": "raw"}}
    said |= {"axes": ["x", "y", "z"], "units": ["um", "nm", "mm"], "resolution": [0.5, 5, 2], "offset": [1, 2, 3]}
    (tmp_path / "a.n5").mkdir()
    (tmp_path / "a.n5" / "attributes.json").write_text(json.dumps(said))
    volume = open_volume(tmp_path / "a.n5")
    assert (volume.spacing, volume.offset) == ((2e6, 5, 500), (3e6, 2, 1000))
    (tmp_path / "a.n5" / "attributes.json").write_text(json.dumps(said | {"units": ["um", "nm"]}))
    assert open_volume(tmp_path / "a.n5").spacing is None


def test_links_in_hdf5_are_names(tmp_path):
    h5py, array = pytest.importorskip("h5py"), noise((3, 4, 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/raw"], file["other"] = array, array + 1
        file["alias"], file["group"] = h5py.SoftLink("/deep/raw"), h5py.SoftLink("/deep")
        file["hard"], file["nowhere"] = file["deep/raw"], h5py.SoftLink("/gone")
    for name in ("alias", "hard", "group/raw", "deep/raw"):
        assert np.array_equal(open_volume(f"{tmp_path}/a.h5:{name}"), array)
    for name in ("nowhere", "group"):
        with pytest.raises(ValueError, match="name must name an array of the file"):
            open_volume(f"{tmp_path}/a.h5:{name}")


@pytest.mark.parametrize(
    ("place", "settings", "error", "words"),
    [
        ("a.mrc", {"dtype": "u4"}, TypeError, r"dtype must be one of int8.*a\.mrc, got uint32"),
        ("a.nrrd", {"dtype": "f2"}, TypeError, r"dtype must be .*a\.nrrd, got float16"),
        ("a.nii", {"dtype": "f2"}, TypeError, r"dtype must be .*a\.nii, got float16"),
        ("a.n5", {"dtype": "?"}, TypeError, r"dtype must be one of uint8.*a\.n5, got bool"),
        ("s/*.png", {"dtype": "f4"}, TypeError, r"dtype must be uint8.*png, got float32"),
        ("a.zarr", {"chunks": (4, 4, 4), "shards": (6, 8, 8)}, ValueError, r"shards must be whole chunks.*a\.zarr"),
        ("a.n5", {"shards": (4, 4, 4)}, ValueError, r"shards must be None for .*a\.n5.*got \(4, 4, 4\)"),
        ("a.zarr", {"codec": "zip"}, ValueError, r"codec must be .*a\.zarr"),
    ],
)
def test_mistakes_in_what_is_wanted_are_no_damage(place, settings, error, words, tmp_path):
    with pytest.raises(error, match=words) as told:
        open_volume(tmp_path / place, **{"mode": "w", "shape": (8, 8, 8), "dtype": "u1"} | settings)
    assert "damaged" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_named_array_joins_the_others_of_an_archive(tmp_path):
    """As in HDF5; an archive that is written without a name is new."""
    path = f"{tmp_path}/a.npz"
    np.savez_compressed(path, raw=np.arange(24).reshape(2, 3, 4), truth=np.ones((2, 3, 4), "?"))
    for value in (7, 8):
        with emfast.open_volume(f"{path}:labels", mode="w", shape=(2, 3, 4), dtype="u1") as labels:
            labels[...] = value
    with np.load(path) as found:
        assert sorted(found.files) == ["labels", "raw", "truth"]
        assert (found["labels"] == 8).all() and found["truth"].all()
        assert np.array_equal(found["raw"], np.arange(24).reshape(2, 3, 4))
    with pytest.raises(FileExistsError):
        emfast.open_volume(f"{path}:raw", mode="x", shape=(2, 3, 4), dtype="u1")
    with emfast.open_volume(f"{path}:more", mode="x", shape=(1, 1, 1), dtype="u1") as more:
        more[...] = 3
    assert len(np.load(path).files) == 4
    with emfast.open_volume(path, mode="w", shape=(1, 1, 1), dtype="u1") as alone:
        alone[...] = 1
    assert len(np.load(path).files) == 1
