"""Files of every format, small, and ways to damage them: for tests that no reader may crash, hang or lie about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from emfast import open_volume
from emfast.volumes import write_pyramid

SHAPE = (3, 5, 6)
ODD = [None, True, -1, 0, 1, 2**31, 2**62, 2**80, 1.5, float("nan"), "", "x", "uint8", [], [1], [0, 0, 0], {}, {"a": 1}]
LIBRARIES = {
    "hdf5": "h5py",
    "tiff": "tifffile",
    "tiff packed": "tifffile",
    "slices png": "PIL",
    "slices tif": "tifffile",
    "nifti": "nibabel",
    "nifti gz": "nibabel",
    "nrrd": "nrrd",
    "nrrd gz": "nrrd",
    "precomputed": "tensorstore",
    "labels": "tensorstore",
    "wkw": "wkw",
    "webknossos": "wkw",
}


def make(kind: str, folder: Path) -> str:
    """A sound volume of a kind in a folder, and where it is."""
    array = np.arange(90, dtype="u2").reshape(SHAPE)
    if kind in ("wkw", "webknossos"):
        return _webknossos(kind, folder, array)
    if kind in ("ome 0.4", "ome 0.5"):
        place = f"{folder}/a.zarr"
        write_pyramid(array, place, version=kind[-3:], levels=2)
        return place
    if kind in ("zarr 2", "zarr 2 blosc", "zarr lz4"):
        return _zarr(kind, folder, array)
    place = {
        "zarr": "a.zarr",
        "zarr raw": "a.zarr",
        "zarr blosc": "a.zarr",
        "zarr gzip": "a.zarr",
        "n5": "a.n5",
        "n5 raw": "a.n5",
        "n5 blosc": "a.n5",
        "hdf5": "a.h5",
        "npy": "a.npy",
        "npz": "a.npz",
        "tiff": "a.tif",
        "tiff packed": "a.tif",
        "slices png": "s/*.png",
        "slices tif": "s/*.tif",
        "mrc": "a.mrc",
        "nifti": "a.nii",
        "nifti gz": "a.nii.gz",
        "nrrd": "a.nrrd",
        "nrrd gz": "a.nrrd",
        "precomputed": "a",
        "labels": "a",
    }[kind]
    if kind == "labels":
        array = array.astype("u8")
    uri = f"precomputed://{folder}/a" if place == "a" else f"{folder}/{place}"
    codecs = {"gz": "gzip", "gzip": "gzip", "packed": "gzip", "raw": "raw", "blosc": "blosc"}
    codec = codecs.get(kind.rpartition(" ")[2], "zstd")
    sides = {"chunks": (2, 3, 4)} if place in ("a.zarr", "a.n5", "a") else {}
    if place == "a.zarr":
        sides["shards"] = (4, 6, 4)
    with open_volume(uri, mode="x", like=array, spacing=(30, 8, 4), codec=codec, **sides) as volume:
        volume[...] = array
    return f"{folder}/s" if place.startswith("s/") else uri


def _zarr(kind, folder, array):
    import numcodecs
    import zarr

    packed = {"zarr 2": numcodecs.Zstd(), "zarr 2 blosc": numcodecs.Blosc(), "zarr lz4": numcodecs.LZ4()}[kind]
    chunks = {"chunks": (2, 3, 4), "zarr_format": 2, "compressors": packed}
    zarr.create_array(folder / "a.zarr", shape=array.shape, dtype=array.dtype, **chunks)[...] = array
    return f"{folder}/a.zarr"


def _webknossos(kind, folder, array):
    import wkw

    place = folder / "ds" / "color" / "1"
    place.parent.mkdir(parents=True)
    with wkw.Dataset.create(str(place), wkw.Header(np.uint16, block_len=2, file_len=4)) as dataset:
        dataset.write((0, 0, 0), np.asfortranarray(array.T))
    if kind == "wkw":
        return f"wkw://{place}"
    box = {"topLeft": [0, 0, 0], "width": 6, "height": 5, "depth": 3}
    layer = {"name": "color", "boundingBox": box, "wkwResolutions": [{"resolution": 1}]}
    said = {"scale": {"factor": [4, 8, 30], "unit": "nanometer"}, "dataLayers": [layer]}
    (folder / "ds" / "datasource-properties.json").write_text(json.dumps(said))
    return f"{folder}/ds"


KINDS = [
    "zarr",
    "zarr raw",
    "zarr blosc",
    "zarr gzip",
    "zarr 2",
    "zarr 2 blosc",
    "zarr lz4",
    "ome 0.4",
    "ome 0.5",
    "n5",
    "n5 raw",
    "n5 blosc",
    "npy",
    "npz",
    "tiff",
    "tiff packed",
    "slices png",
    "slices tif",
    "mrc",
    "nifti",
    "nifti gz",
    "nrrd",
    "nrrd gz",
    "precomputed",
    "labels",
    "webknossos",
    "wkw",
    "hdf5",
]


def files_below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def damaged(data: bytes, name: str, rng: np.random.Generator) -> bytes:
    """The content of a file, changed in one way or in a few."""
    if name.endswith(("json", "info", ".zarray", ".zattrs", ".zgroup")) and rng.random() < 0.7:
        return _odd_json(data, rng)
    content = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not content:
            return b""
        # half of the time in the first bytes, where headers are
        limit = min(len(content), 64) if rng.random() < 0.5 else len(content)
        at = int(rng.integers(limit))
        way = rng.integers(7)
        if way == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            content[at] = int(rng.integers(256))
        elif way == 2:
            width = int(rng.choice([2, 4, 8]))
            content[at : at + width] = rng.choice([b"\xff", b"\x00", b"\x7f"]) * width
        elif way == 3:
            del content[int(rng.integers(len(content))) :]
        elif way == 4:
            del content[at : at + int(rng.integers(1, 16))]
        elif way == 5:
            content[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 16)), dtype=np.uint8))
        else:
            other = int(rng.integers(len(content)))
            content[at : at + 8] = content[other : other + 8]
    return bytes(content)


def _odd_json(data: bytes, rng: np.random.Generator) -> bytes:
    """One value of the tree replaced or taken away."""
    tree = json.loads(data)
    places = list(_places(tree))
    if not places:
        return b"[]"
    holder, key = places[int(rng.integers(len(places)))]
    if rng.random() < 0.2:
        del holder[key]
    elif isinstance(holder[key], (int, float)) and rng.random() < 0.5:
        holder[key] = [0, -1, 1, 7, 2**20, 2**31, 2**40, 2**62, 2**64][int(rng.integers(9))]
    else:
        holder[key] = ODD[int(rng.integers(len(ODD)))]
    return json.dumps(tree).encode()


def _places(tree):
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from _places(tree[key])


def damage(folder: Path, rng: np.random.Generator) -> Path:
    """Damage one file of a folder (or take it away), and say which."""
    file = files_below(folder)[int(rng.integers(len(files_below(folder))))]
    if rng.random() < 0.05:
        file.unlink()
    else:
        file.write_bytes(damaged(file.read_bytes(), file.name, rng))
    return file


def read(uri: str) -> np.ndarray:
    """The volume, or its first voxels where its header says that it is large."""
    with open_volume(uri) as volume:
        few = volume.nbytes <= 1 << 16
        window = Ellipsis if few else tuple(slice(0, min(n, 6)) for n in volume.shape)
        array = volume[window]
        expected = tuple(volume.shape if few else (min(n, 6) for n in volume.shape))
        assert (array.shape, array.dtype) == (expected, volume.dtype)
        assert volume.spacing is None or all(np.isfinite(v) and v > 0 for v in volume.spacing)
        return array


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
