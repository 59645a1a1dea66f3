"""Mitochondria: Lucchi, Lucchi++ and Kasthuri++, MitoEM and MitoEM 2.0."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

import numpy as np

from ..._files import beside
from ...volumes import open_volume
from ...volumes._slices import files_of
from ...volumes._source import library
from .._finding import find, find_folder, folders, natural, needed
from .._records import Dataset
from .._samples import Sample
from .._unpack import unpack
from .._volumes import Derived, Grey, OtherColour, Positive, White
from ._shared import hdf5, opened, places, provenance, same_shape, spacing_of

SUBMISSION = {"human": "0_human_instance_seg_pred.h5", "rat": "1_rat_instance_seg_pred.h5"}
_KEY = "main"
_HALVES = (("train", "Train_In", "Train_Out"), ("test", "Test_In", "Test_Out"))
_TURNED = ("me2-jurkat_train02",)  # whose labels have the axes z, y, x


def lucchi(dataset: Dataset, folder: str) -> list[Sample]:
    """training.tif and testing.tif with their groundtruths, 0 and 255."""
    samples = []
    for split, name in (("train", "training"), ("test", "testing")):
        image, truth = find(folder, f"{name}.tif*"), find(folder, f"{name}_groundtruth.tif*")
        if image is None:
            continue
        raw, labels, files = opened(image, spacing_of(dataset)), {}, [image]
        if truth is not None:
            stack = same_shape(raw, opened(truth, spacing_of(dataset)))
            labels["mitochondria"] = Derived(stack, Positive())
            files.append(truth)
        samples.append(Sample(split, raw, labels, split=split, provenance=provenance(dataset, folder, *files)))
    if not samples:
        needed(None, folder, "training.tif and testing.tif")
    return samples


def lucchi_pp(dataset: Dataset, folder: str) -> list[Sample]:
    """Folders of slices, outputs grey or coloured with white for mitochondria; or the HDF5 copy."""
    samples = []
    if find(folder, "*train_im.h5") is not None:
        return _of_hdf5(dataset, folder)
    for split, inputs, outputs in _HALVES:
        raw, out, files = _halves(dataset, folder, inputs, outputs)
        step = White() if out.axes.startswith("c") else Positive()
        labels = {"mitochondria": same_shape(raw, Derived(out, step))}
        samples.append(Sample(split, raw, labels, split=split, provenance=provenance(dataset, folder, *files)))
    return samples


def _of_hdf5(dataset: Dataset, folder: str) -> list[Sample]:
    """train_im.h5 with train_mito.h5, and test, of one array each."""
    samples = []
    for split in ("train", "test"):
        image = needed(find(folder, f"*{split}_im.h5"), folder, f"{split}_im.h5")
        truth = needed(find(folder, f"*{split}_mito.h5"), folder, f"{split}_mito.h5")
        raw = opened(image, spacing_of(dataset))
        labels = {"mitochondria": Derived(same_shape(raw, opened(truth, spacing_of(dataset))), Positive())}
        said = provenance(dataset, folder, image, truth)
        samples.append(Sample(split, raw, labels, split=split, provenance=said))
    return samples


def kasthuri_pp(dataset: Dataset, folder: str) -> list[Sample]:
    """Folders of slices; outputs are coloured: white is a mitochondrion, (2, 2, 2) nobody's."""
    samples = []
    for split, inputs, outputs in _HALVES:
        raw, out, files = _halves(dataset, folder, inputs, outputs)
        if not out.axes.startswith("c"):
            raise ValueError(f"{files[1]} must hold coloured pictures, got the axes {out.axes!r}")
        labels = {"mitochondria": same_shape(raw, Derived(out, White()))}
        mask = {"mitochondria": Derived(out, OtherColour((2, 2, 2)))}
        said = provenance(dataset, folder, *files, note="(2, 2, 2) is out of the mask")
        samples.append(Sample(split, raw, labels, mask, split, said))
    return samples


def _halves(dataset: Dataset, folder: str, inputs: str, outputs: str) -> tuple[Any, Any, tuple[str, str]]:
    found = tuple(needed(find_folder(folder, name), folder, f"a folder {name}") for name in (inputs, outputs))
    raw, out = (opened(place, spacing_of(dataset)) for place in found)
    return (Derived(raw, Grey()) if raw.axes.startswith("c") else raw), out, (found[0], found[1])


def mitoem(dataset: Dataset, folder: str) -> list[Sample]:
    """For each folder with ``im``: training, validation and test, paired by the numbers of their slices."""
    samples = []
    for place in folders(folder):
        images = os.path.join(place, "im")
        if not os.path.isdir(images):
            continue
        sample = os.path.relpath(place, folder)
        prefix = "" if sample == "." else f"{sample}/"
        raw = opened(images, spacing_of(dataset))
        numbers = _numbers(images)
        labelled = 0
        for split, name in (("train", "mito-train-v2"), ("validation", "mito-val-v2")):
            there = os.path.join(place, name)
            if not os.path.isdir(there):
                continue
            window = _matching(numbers, _numbers(there), there, images)
            offset = places((window.start, 0, 0), spacing_of(dataset))
            part = raw.crop((window, slice(None), slice(None)))
            truth = same_shape(part, opened(there, spacing_of(dataset), offset))
            said = provenance(dataset, folder, images, there)
            samples.append(Sample(f"{prefix}{split}", part, {"mitochondria": truth}, split=split, provenance=said))
            labelled = max(labelled, window.stop)
        if labelled < len(numbers):
            rest = raw.crop((slice(labelled, len(numbers)), slice(None), slice(None)))
            samples.append(Sample(f"{prefix}test", rest, split="test", provenance=provenance(dataset, folder, images)))
    if not samples:
        needed(None, folder, "folders im, mito-train-v2 and mito-val-v2")
    return samples


def _numbers(folder: str) -> list[int]:
    """Those of the slices in a folder, in order."""
    return [natural(os.path.basename(path))[1][1] for path in files_of(folder)]


def _matching(images: list[int], labels: list[int], there: str, where: str) -> slice:
    """Where the slices with labels are among those of the image."""
    missing = sorted(set(labels) - set(images))
    if missing:
        raise ValueError(f"{where} must hold slice {missing[0]}, for {there} has labels of it")
    start = images.index(labels[0])
    if images[start : start + len(labels)] != labels:
        raise ValueError(f"{there} must hold slices as close as {where}, got {labels[:3]} …")
    return slice(start, start + len(labels))


def write_submission(path: str | os.PathLike[str], *, human: Any, rat: Any) -> None:
    """Write what the server of MitoEM takes: one zip of two HDF5 files.

    Parameters
    ----------
    path : path
        Ends in ``.zip``.
    human, rat : (z, y, x) integers
        The objects of sections 500 to 999, arrays or volumes; read section by section.

    The key of the arrays, ``main``, is that of the organisers' own code; whether the server wants it is not verified.
    """
    place = os.fspath(path)
    if not place.endswith(".zip"):
        raise ValueError(f"path must end in .zip, got {place!r}")
    h5py = library("h5py", place)
    for name, array in (("human", human), ("rat", rat)):
        if len(array.shape) != 3 or np.dtype(array.dtype).kind not in "iu":
            raise ValueError(f"{name} must be integers of three axes, got {array.dtype} of {array.shape}")
    with beside(place) as part:
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                for name, array in (("human", human), ("rat", rat)):
                    with h5py.File(f"{part}.h5", "w") as file:
                        chunks = (1, *(min(256, n) for n in array.shape[1:]))
                        made = file.create_dataset(_KEY, array.shape, array.dtype, chunks=chunks, compression="gzip")
                        for z in range(array.shape[0]):
                            made[z] = array[z]
                    archive.write(f"{part}.h5", SUBMISSION[name])
        finally:
            if os.path.exists(f"{part}.h5"):
                os.unlink(f"{part}.h5")


def mitoem2(dataset: Dataset, folder: str) -> list[Sample]:
    """Folders as nnU-Net has them: imagesTr, labelsTr, imagesTs, labelsTs with split.json."""
    samples = []
    for place in folders(folder):
        if not os.path.isdir(os.path.join(place, "imagesTr")):
            continue
        for name, split in _split_of(os.path.join(place, "split.json")):
            kind = "Ts" if split == "test" else "Tr"
            image = os.path.join(place, f"images{kind}", f"{name}_0000.nii.gz")
            if not os.path.exists(image):
                raise FileNotFoundError(f"{place} must hold images{kind}/{name}_0000.nii.gz, which split.json names")
            raw, files, labels = opened(image), [image], {}
            truth = os.path.join(place, f"labels{kind}", f"{name}.nii.gz")
            if os.path.exists(truth):
                # the reader takes files for x, y, z: what is stored as z, y, x is named the other way round
                axes = "zyx" if name in _TURNED else None
                labels["mitochondria"] = same_shape(raw, open_volume(truth, axes=axes))
                files.append(truth)
            sample = f"{os.path.basename(place)}/{name}"
            samples.append(Sample(sample, raw, labels, split=split, provenance=provenance(dataset, folder, *files)))
    if not samples:
        needed(None, folder, "folders with imagesTr, labelsTr and split.json")
    return samples


def _split_of(path: str) -> list[tuple[str, str]]:
    """Names of samples and what each is for."""
    ours = {"train": "train", "val": "validation", "test": "test"}
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        folds = said[0] if isinstance(said, list) else said
        found = [(str(name), ours[key]) for key in ours for name in folds.get(key, [])]
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} must list names under train, val and test ({error})") from None
    return found


def read_submission(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What such a zip holds, unpacked into a folder: a volume for human and one for rat."""
    unpack(os.fspath(path), folder=os.fspath(folder))
    found = {}
    for name, file in SUBMISSION.items():
        place = os.path.join(folder, file)
        with hdf5(place) as archive:
            key = _KEY if _KEY in archive else next(iter(archive))
        found[name] = opened(f"{place}:{key}")
    return found


__all__ = ["kasthuri_pp", "lucchi", "lucchi_pp", "mitoem", "mitoem2", "read_submission", "write_submission"]
