"""Tiny files in the layouts of the public datasets: ``write_<loader>(folder, seed)`` gives what the loader must find.

Each has the trap of its dataset in it, as METHODS of the survey and readers of the files tell them.
"""

import json
from pathlib import Path

import numpy as np


def rng(seed):
    return np.random.default_rng(seed)


def noise(seed, shape, high=256, dtype="u1"):
    return rng(seed).integers(0, high, shape).astype(dtype)


def tiff(path, array):
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")


def png(path, array):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(array)).save(path)


def hdf5(path, arrays, attributes=None):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        for name, values in (attributes or {}).items():
            file[name].attrs.update(values)


def nifti(path, array, spacing=(1, 1, 1)):
    """An array z, y, x as files have it, x, y, z."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.ascontiguousarray(array.T), np.diag([*spacing[::-1], 1]))
    nibabel.save(image, path)


def write_isbi2012(folder, seed):
    image, inside = noise(seed, (4, 32, 32)), noise(seed + 1, (4, 32, 32), 2) * np.uint8(255)
    tiff(folder / "train-volume.tif", image)
    tiff(folder / "train-labels.tif", inside)
    tiff(folder / "test-volume.tif", image[::-1])
    return image, inside


def write_isbi2012_hdf5(folder, seed):
    image, inside, ids = noise(seed, (4, 32, 32)), noise(seed + 1, (4, 32, 32), 2), noise(seed, (4, 32, 32), 9, "u8")
    hdf5(folder / "isbi.h5", {"raw": image, "labels/membranes": inside, "labels/gt_segmentation": ids})
    return image, inside, ids


def write_vnc(folder, seed):
    codes = np.array([0, 32, 64, 96, 128, 159, 191, 223, 255], np.uint8)[noise(seed, (4, 24, 20), 9)]
    image = noise(seed + 1, codes.shape)
    base = folder / "groundtruth-drosophila-vnc-master" / "stack1"
    for k in range(4):
        tiff(base / "raw" / f"{k:02d}.tif", image[k])
        png(base / "labels" / f"labels{k:08d}.png", codes[k])
        png(base / "mitochondria" / f"{k:02d}.png", (codes[k] == 191) * np.uint8(255))
        png(base / "synapses" / f"{k:02d}.png", (codes[k] == 223) * np.uint8(255))
        png(base / "membranes" / f"{k:02d}.png", (codes[k] > 128) * np.uint8(255))
        tiff(base.parent / "stack2" / "raw" / f"{k:02d}.tif", image[3 - k])
    return image, codes


def write_cremi(folder, seed):
    """Padded: labels begin two sections, four rows and four columns inside."""
    image = noise(seed, (12, 48, 48))
    ids = noise(seed, (8, 2, 2), 5, "u8").repeat(20, 1).repeat(20, 2) + np.uint64(2**40)
    clefts = np.full((8, 40, 40), 2**64 - 1, np.uint64)
    clefts[2, 3:6] = 0
    clefts[3, 3:6] = 7
    clefts[4] = 2**64 - 2
    inside = {"resolution": (40.0, 4.0, 4.0), "offset": (80.0, 16.0, 16.0)}
    marks = np.array([[0, 0, 0], [40, 4, 4], [80, 8, 8], [120, 12, 12], [160, 16, 16], [200, 20, 20]], float)
    hdf5(
        folder / "sample_A_padded_20160501.hdf",
        {
            "volumes/raw": image,
            "volumes/labels/neuron_ids": ids,
            "volumes/labels/clefts": clefts,
            "annotations/ids": np.array([15, 14, 13, 12, 11, 10], np.uint64),
            "annotations/types": np.array([b"presynaptic_site"] * 6),
            "annotations/locations": marks,
            "annotations/presynaptic_site/partners": np.array([[10, 15], [11, 14], [12, 13]], np.uint64),
        },
        {
            "volumes/raw": {"resolution": (40.0, 4.0, 4.0)},
            "volumes/labels/neuron_ids": inside,
            "volumes/labels/clefts": inside,
            "annotations": {"offset": (80.0, 16.0, 16.0)},
        },
    )
    hdf5(folder / "sample_A+_20160601.hdf", {"volumes/raw": image}, {"volumes/raw": {"resolution": (40.0, 4.0, 4.0)}})
    return image, ids, clefts, marks


def write_snemi3d(folder, seed):
    image, ids = noise(seed, (6, 20, 24)), noise(seed, (6, 20, 24), 40, "u2")
    tiff(folder / "image" / "train-input.tif", image)
    tiff(folder / "seg" / "train-labels.tif", ids)
    tiff(folder / "image" / "test-input.tif", image[::-1])
    return image, ids


def write_lucchi(folder, seed):
    image, inside = noise(seed, (5, 12, 16)), noise(seed + 1, (5, 12, 16), 2) * np.uint8(255)
    for name, step in (("training", 1), ("testing", -1)):
        tiff(folder / f"{name}.tif", image[::step])
        tiff(folder / f"{name}_groundtruth.tif", inside[::step])
    return image, inside


def write_lucchi_pp(folder, seed):
    """Eleven slices, so that 10.png comes before 2.png by letters; coloured to train, grey for the test."""
    image, inside = noise(seed, (11, 12, 16)), noise(seed + 1, (11, 12, 16), 2).astype(bool)
    base = folder / "Lucchi++"
    for k in range(11):
        colours = np.zeros((12, 16, 4), np.uint8)
        colours[..., 3] = 255
        colours[inside[k]] = 255
        png(base / "Train_In" / f"mask{k:04d}.png", image[k])
        png(base / "Train_Out" / f"{k}.png", colours)
        png(base / "Test_In" / f"mask{k:04d}.png", 255 - image[k])
        png(base / "Test_Out" / f"{k}.png", ~inside[k] * np.uint8(255))
    return image, inside


def write_kasthuri_pp(folder, seed):
    image, kinds = noise(seed, (11, 12, 16)), noise(seed + 1, (11, 12, 16), 5)
    base = folder / "Kasthuri++"
    for k in range(11):  # the last two colours are neither white nor (2, 2, 2), if in one part only
        colours = np.array([(0, 0, 0), (255,) * 3, (2, 2, 2), (2, 2, 7), (255, 255, 2)], np.uint8)[kinds[k]]
        for half, step in (("Train", 1), ("Test", -1)):
            png(base / f"{half}_In" / f"{half}_in{k}.png", image[k][:, ::step])
            png(base / f"{half}_Out" / f"{half}_out{k}.png", colours[:, ::step])
    return image, kinds


def write_mitoem(folder, seed):
    """Six sections: three to train, one to validate, two for the test."""
    image, ids = noise(seed, (6, 10, 12)), noise(seed, (4, 10, 12), 900, "u2")
    for k in range(6):
        png(folder / "rat" / "im" / f"im{k:04d}.png", image[k])
    for k in range(3):
        tiff(folder / "rat" / "mito-train-v2" / f"seg{k:04d}.tif", ids[k])
    tiff(folder / "rat" / "mito-val-v2" / "seg0003.tif", ids[3])
    return image, ids


def write_mitoem2(folder, seed):
    image, ids = noise(seed, (3, 4, 5)), noise(seed, (3, 4, 5), 9, "u2")
    base = folder / "Dataset002_ME2-Jurkat"
    for name, kind in (("me2-jurkat_train01", "Tr"), ("me2-jurkat_train02", "Tr"), ("me2-jurkat_test01", "Ts")):
        nifti(base / f"images{kind}" / f"{name}_0000.nii.gz", image, (16, 8, 8))
        turned = ids.T if name.endswith("train02") else ids
        nifti(base / f"labels{kind}" / f"{name}.nii.gz", turned, (16, 8, 8))
    split = [{"train": ["me2-jurkat_train02"], "val": ["me2-jurkat_train01"], "test": ["me2-jurkat_test01"]}]
    (base / "split.json").write_text(json.dumps(split))
    return image, ids


def write_nucmm(folder, seed):
    blocks = {}
    for part, place in (("train", (0, 64, 128)), ("train", (64, 0, 0)), ("val", (128, 64, 0))):
        image, ids = noise(seed + place[0], (8, 8, 8)), noise(seed + place[0], (8, 8, 8), 5, "u2")
        z, y, x = place
        base = folder / "Zebrafish (NucMM-Z)"
        hdf5(base / "Image" / part / f"img_{z:04d}_{y:04d}_{x:04d}.h5", {"main": image})
        hdf5(base / "Label" / part / f"seg_{z:04d}_{y:04d}_{x:04d}.h5", {"main": ids})
        blocks[place] = part, image, ids
    return blocks


def write_fib25(folder, seed):
    """Supervoxel 3 and 5 are of body 100, 4 is its own, 7 is in no table; 2 is of body 5, which is a supervoxel too."""
    image = noise(seed, (6, 7, 8))
    stack = np.array([2, 3, 4, 5, 7], np.uint64)[noise(seed, (6, 7, 8), 5)]
    table = np.array([[5, 100], [3, 100], [4, 4], [2, 5]], np.uint64)
    hdf5(folder / "training_sample2" / "grayscale_maps.h5", {"raw": image})
    hdf5(folder / "training_sample2" / "groundtruth.h5", {"stack": stack, "transforms": table})
    hdf5(folder / "tstvol-520-1" / "raw.h5", {"raw": image})
    hdf5(folder / "tstvol-520-1" / "groundtruth.h5", {"stack": stack, "transforms": table})
    return image, stack, {2: 5, 3: 100, 4: 4, 5: 100, 7: 7}


def write_segem(folder, seed):
    image, target = noise(seed, (12, 16, 16)), rng(seed).integers(-1, 2, (4, 8, 8)).astype(np.int8)
    hdf5(folder / "cube_1.h5", {"raw": image, "target": target})
    hdf5(folder / "cube_2.mat", {"raw": image, "target": target})
    return image, target


def write_axonem(folder, seed):
    image, ids = noise(seed, (8, 20, 24)), noise(seed, (4, 12, 16), 5, "u4")
    hdf5(folder / "mouse" / "im_0-0-0_pad.h5", {"main": image})
    hdf5(folder / "mouse" / "seg_0-0-0_pad.h5", {"main": ids})
    hdf5(folder / "mouse" / "im_675-800-800_pad.h5", {"main": image})
    return image, ids


def write_zarr(path, array, multiscales=None, axes="zyx"):
    """Zarr v2, not packed: an array, or the first level of a pyramid with its scale and translation."""
    place = path / "s0" if multiscales else path
    place.mkdir(parents=True)
    about = {
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": array.shape,
        "dtype": array.dtype.str,
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    (place / ".zarray").write_text(json.dumps(about))
    (place / ".zattrs").write_text("{}")
    (place / ".".join("0" * array.ndim)).write_bytes(np.ascontiguousarray(array).tobytes())
    if multiscales:
        scale, shift = multiscales
        moves = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        names = [{"name": a, "type": "space", "unit": "nanometer"} for a in axes]
        levels = [{"path": "s0", "coordinateTransformations": moves}]
        attributes = {"multiscales": [{"version": "0.4", "axes": names, "datasets": levels}]}
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))


def write_openorganelle(folder, seed):
    """The image has 4 nm; labels 2 nm, from 16, 24, 32 nm on, as a grid of half voxels has it: 1 nm less."""
    image, kinds = noise(seed, (12, 16, 20)), noise(seed, (6, 8, 10), 3)
    mito = np.array([0, 1, 255], np.uint8)[kinds]
    base = folder / "jrc_toy" / "jrc_toy.zarr" / "recon-1"
    write_zarr(base / "em" / "fibsem-uint8", image, ([4, 4, 4], [0, 0, 0]))
    for name, array in (("mito", mito), ("all", kinds.astype(np.uint32))):
        write_zarr(base / "labels" / "groundtruth" / "crop1" / name, array, ([2, 2, 2], [15, 23, 31]))
    return image, mito


def write_asem(folder, seed):
    image, mito = noise(seed, (6, 7, 8)), noise(seed, (2, 3, 4), 2)
    base = folder / "cell_1" / "cell_1.zarr" / "volumes"
    write_zarr(base / "raw", image)
    write_zarr(base / "labels" / "mito", mito)
    (base / "raw" / ".zattrs").write_text('{"resolution": [5, 5, 5], "offset": [100, 100, 100]}')
    (base / "labels" / "mito" / ".zattrs").write_text('{"resolution": [5, 5, 5], "offset": [110, 115, 120]}')
    return image, mito


def write_nisb(folder, seed):
    image, ids = noise(seed, (4, 5, 6)), noise(seed, (4, 5, 6), 9, "u2")
    for split, number in (("train", 0), ("val", 100)):
        base = folder / "base" / split / f"seed{number}" / "data.zarr"
        write_zarr(base / "img", image.T[..., None])
        write_zarr(base / "seg", ids.T)
    return image, ids


def write_urocell(folder, seed):
    """Five blocks, the last without labels; the first has a blank band and no vesicles."""
    made = {}
    base = folder / "UroCell-master"
    for k, name in enumerate(("fib1-0-0-0", "fib1-1-0-3", "fib1-3-2-1", "fib1-3-3-0", "fib1-4-3-0")):
        image = rng(seed + k).random((4, 60, 6)) * 500 - 20
        mito = noise(seed + k, image.shape, 4, "f8")
        nifti(base / "data" / f"{name}.nii.gz", image, (15, 16, 16))
        if k < 4:
            nifti(base / "mito" / "instance" / f"{name}.nii.gz", mito, (15, 16, 16))
            nifti(base / "mito" / "binary" / f"{name}.nii.gz", (mito > 0) * 1.0, (15, 16, 16))
        if 0 < k < 4:
            nifti(base / "fv" / "instance" / f"{name}.nii.gz", mito[::-1], (15, 16, 16))
        made[name] = image, mito
    return made


def write_perez(folder, seed):
    made = {}
    base = folder / "supplemental_data"
    folders = (("train", "training_images", "training_labels"), ("test", "test_images", "ground_truth"))
    for t, task in enumerate(("mitochondria", "lysosomes", "nuclei", "nucleoli")):
        for s, (split, images, truths) in enumerate(folders):
            for k in (2, 10):
                image = noise(seed + 10 * t + s + k, (8 + t, 9))
                png(base / images / task / f"{k}.png", image)
                png(base / truths / task / f"{k}.png", (image > 128) * np.uint8(255))
                made[f"{task}/{split}/{k}"] = image
    return made


def write_platelet(folder, seed):
    image, classes = noise(seed, (4, 8, 10)), noise(seed, (4, 8, 10), 7)
    base = folder / "platelet_data"
    for name in ("train", "eval", "test"):
        tiff(base / f"{name}-images.tif", image)
        tiff(base / f"{name}-labels.tif", classes)
    tiff(base / "train-error-weights.tif", np.full((4, 8, 10), 0.5, np.float32))
    return image, classes


def write_tiles(folder, seed):
    """Pictures of unequal size and kind."""
    made = {"a/1": noise(seed, (224, 224)), "a/2": noise(seed, (138, 224)), "b/1": noise(seed, (300, 100))}
    for k, (name, image) in enumerate(made.items()):
        (png if k % 2 else tiff)(folder / f"{name}.{'png' if k % 2 else 'tiff'}", image)
    return made


def write_mitolab(folder, seed):
    made = {}
    for k in range(3):
        image, ids = noise(seed + k, (8 + k, 9)), noise(seed + k, (8 + k, 9), 4, "u2")
        tiff(folder / "cem_mitolab" / f"set{k % 2}" / "images" / f"tile_{k}.tiff", image)
        tiff(folder / "cem_mitolab" / f"set{k % 2}" / "masks" / f"tile_{k}.tiff", ids)
        made[f"cem_mitolab/set{k % 2}/images/tile_{k}"] = image, ids
    return made


def write_mrc(path, array, spacing=(28.0, 28.0, 28.0), axes=(1, 2, 3), start=(0, 0, 0), origin=(0, 0, 0)):
    """MRC2014 by hand: ``axes`` says which of x, y, z the fastest, middle and slowest axis of the array is."""
    modes = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6}
    header = np.zeros(256, "<i4")
    floats = header.view("<f4")
    header[0:3] = array.shape[::-1]
    header[3] = modes[array.dtype.name]
    header[4:7] = start
    sizes = [0, 0, 0]
    for letter, n in zip(axes, array.shape[::-1], strict=True):
        sizes[letter - 1] = n
    header[7:10] = sizes
    floats[10:13] = [n * s for n, s in zip(sizes, spacing, strict=True)]  # in Angstrom, x y z
    floats[13:16] = 90
    header[16:19] = axes
    header[22] = 1
    header[27] = 20140
    floats[49:52] = origin
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = 0x00004444
    Path(path).write_bytes(header.tobytes() + np.ascontiguousarray(array).tobytes())
