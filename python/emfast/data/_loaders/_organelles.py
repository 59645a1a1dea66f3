"""Organelles: NucMM, OpenOrganelle, ASEM, UroCell, Perez, platelets."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from ...volumes import Volume
from .._finding import find, find_all, find_folder, folders, natural, needed, stem
from .._records import Dataset
from .._samples import Sample
from .._volumes import Derived, Known, Positive, Recode, Scaled
from ._shared import opened, places, provenance, same_shape, spacing_of

_UROCELL = (("mitochondria", "mito"), ("lysosomes", "lyso"), ("golgi", "golgi"), ("vesicles", "fv"))
_UROCELL_FORMS = ("instance", "precise", "binary", "approximate")
_BLANK = {"fib1-0-0-0": 12, "fib1-1-0-3": 54}  # the first row with an image
_UROCELL_TEST = "fib1-0-0-0"
_PEREZ = (("train", "training_images", "training_labels"), ("test", "test_images", "ground_truth"))


def nucmm(dataset: Dataset, folder: str) -> list[Sample]:
    """Image/{train,val}/*_z_y_x.h5 with Label of the same names, key main; names carry places in voxels."""
    samples = []
    for part, split in (("train", "train"), ("val", "validation")):
        for image in find_all(folder, f"Image/{part}/*.h5"):
            name = os.path.basename(image)
            offset = places(_place_in(name, image), spacing_of(dataset))
            raw = opened(f"{image}:main", spacing_of(dataset), offset)
            base = os.path.dirname(os.path.dirname(os.path.dirname(image)))
            truth = _label_of(os.path.join(base, "Label", part), name)
            labels = {"nuclei": same_shape(raw, opened(f"{truth}:main", spacing_of(dataset), offset))}
            said = provenance(dataset, folder, image, truth)
            samples.append(Sample(f"{part}/{stem(name)}", raw, labels, split=split, provenance=said))
    if not samples:
        needed(None, folder, "folders Image/train and Image/val")
    return samples


def _place_in(name: str, path: str) -> tuple[int, int, int]:
    found = re.search(r"(\d+)[_-](\d+)[_-](\d+)\.h5$", name)
    if found is None:
        raise ValueError(f"{path} must be named after its place, as img_0_64_128.h5")
    return int(found[1]), int(found[2]), int(found[3])


def _label_of(folder: str, name: str) -> str:
    """The labels of an image: the file of the same place, whatever comes before it."""
    place = _place_in(name, os.path.join(folder, name))
    there = os.listdir(folder) if os.path.isdir(folder) else []
    found = [n for n in there if n.endswith(".h5") and _place_in(n, os.path.join(folder, n)) == place]
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} must hold one file of labels for {name}, got {len(found)}")
    return os.path.join(folder, found[0])


def openorganelle(dataset: Dataset, folder: str) -> list[Sample]:
    """A sample for each crop: Zarr (recon-1/labels/groundtruth/crop{N}/{class}) or N5 (volumes/labels/0003/{crop})."""
    samples = []
    for place in folders(folder):
        if place.endswith(".zarr"):
            samples += _zarr_crops(dataset, folder, place)
        elif place.endswith(".n5"):
            samples += _n5_crops(dataset, folder, place)
    if not samples:
        needed(None, folder, "folders {name}.zarr or {name}.n5 with crops")
    return samples


def _zarr_crops(dataset: Dataset, folder: str, store: str) -> list[Sample]:
    base = os.path.join(store, "recon-1")
    images = os.path.join(base, "em")
    names = sorted(os.listdir(images)) if os.path.isdir(images) else []
    image = next((n for n in ("fibsem-uint8", *names) if n in names and not n.startswith(".")), None)
    samples = []
    crops = os.path.join(base, "labels", "groundtruth")
    for crop in _below(crops):
        labels, mask = {}, {}
        for name in _below(os.path.join(crops, crop)):
            volume = opened(f"{store}:recon-1/labels/groundtruth/{crop}/{name}/s0")
            labels[name], mask[name] = _annotated(volume)
        raw = None if image is None else opened(f"{store}:recon-1/em/{image}/s0")
        said = provenance(dataset, folder, store, note="unknown voxels are out of the mask")
        samples.append(Sample(f"{stem(store)}/{crop}", raw, labels, mask, "all", said))
    return samples


def _n5_crops(dataset: Dataset, folder: str, store: str) -> list[Sample]:
    samples = []
    base = os.path.join(store, "volumes", "labels", "0003")
    for crop in _below(base):
        raw = opened(f"{store}:volumes/raw")
        labels = {
            name: opened(f"{store}:volumes/labels/0003/{crop}/labels/{name}")
            for name in _below(os.path.join(base, crop, "labels"))
        }
        said = provenance(dataset, folder, store)
        samples.append(Sample(f"{stem(store)}/{crop}", raw, labels, split="all", provenance=said))
    return samples


def _annotated(volume: Volume) -> tuple[Volume, Volume]:
    """Labels whose largest value says that nobody knows; and the mask of that."""
    if volume.dtype.kind not in "iu":
        raise TypeError(f"{volume.uri} must hold integers, got {volume.dtype}")
    unknown = int(np.iinfo(volume.dtype).max)
    return Derived(volume, Recode(((unknown, 0),))), Derived(volume, Known((unknown,)))


def _below(folder: str) -> list[str]:
    """The folders in a folder, in the order of their numbers."""
    there = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted((n for n in there if os.path.isdir(os.path.join(folder, n)) and not n.startswith(".")), key=natural)


def asem(dataset: Dataset, folder: str) -> list[Sample]:
    """A sample for each Zarr with volumes/raw and volumes/labels/{name}; the arrays say where they are."""
    samples = []
    for place in folders(folder):
        if not place.endswith(".zarr") or not os.path.isdir(os.path.join(place, "volumes", "raw")):
            continue
        names = _below(os.path.join(place, "volumes", "labels"))
        labels = {name: opened(f"{place}:volumes/labels/{name}") for name in names}
        raw = opened(f"{place}:volumes/raw")
        samples.append(Sample(stem(place), raw, labels, split="all", provenance=provenance(dataset, folder, place)))
    if not samples:
        needed(None, folder, "folders cell_N.zarr with volumes/raw")
    return samples


def urocell(dataset: Dataset, folder: str) -> list[Sample]:
    """data/*.nii.gz with {mito,lyso,golgi,fv}/{form}/ of the same names; x, y, z in the files."""
    spacing = spacing_of(dataset)
    samples = []
    for image in find_all(folder, "data/*.nii.gz"):
        name, base = os.path.basename(image), os.path.dirname(os.path.dirname(image))
        raw = _grey(opened(image, spacing))
        labels: dict[str, Any] = {}
        files = [image]
        for ours, theirs in _UROCELL:
            found = [p for form in _UROCELL_FORMS if os.path.exists(p := os.path.join(base, theirs, form, name))]
            if found:
                labels[ours] = same_shape(raw, _whole_numbers(opened(found[0], spacing)))
                files.append(found[0])
        block = stem(image)
        split = "test" if block == _UROCELL_TEST else "train" if labels else "all"
        said = provenance(dataset, folder, *files, note="image scaled to 0 … 255")
        sample = Sample(block, raw, labels, split=split, provenance=said)
        samples.append(_without_band(sample, _BLANK.get(block, 0)))
    if not samples:
        needed(None, folder, "a folder data with .nii.gz files")
    return samples


def _grey(volume: Volume) -> Volume:
    """Floats as uint8: from the least to the greatest value, which a pass over the volume finds."""
    if volume.dtype == np.uint8:
        return volume
    low, high = np.inf, -np.inf
    for section in volume:
        low, high = min(low, float(section.min())), max(high, float(section.max()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{volume.uri} must hold finite values, got {low} to {high}")
    return Derived(volume, Scaled(low, high))


def _whole_numbers(volume: Volume) -> Volume:
    """Labels that are stored as floats, as integers."""
    return volume if volume.dtype.kind in "iub" else Derived(volume, Recode((), "uint32"))


def _without_band(sample: Sample, rows: int) -> Sample:
    if not rows:
        return sample
    assert sample.raw is not None
    window = (slice(None), slice(rows, None), slice(None))
    labels = {name: volume.crop(window) for name, volume in sample.labels.items()}
    return Sample(sample.name, sample.raw.crop(window), labels, {}, sample.split, sample.provenance)


def perez(dataset: Dataset, folder: str) -> list[Sample]:
    """{training_images,training_labels,test_images,ground_truth}/{organelle}/: a sample for each tile."""
    samples = []
    for split, images, truths in _PEREZ:
        for task in dataset.labels:
            place = find_folder(folder, f"{images}/{task}")
            if place is None:
                continue
            there = find_folder(folder, f"{truths}/{task}")
            truth_of = _pairs(place, needed(there, folder, f"a folder {truths}/{task}"))
            for image, truth in truth_of:
                raw = opened(image, spacing_of(dataset))
                label = Derived(same_shape(raw, opened(truth, spacing_of(dataset))), Positive())
                said = provenance(dataset, folder, image, truth)
                samples.append(Sample(f"{task}/{split}/{stem(image)}", raw, {task: label}, {}, split, said))
    if not samples:
        needed(None, folder, "folders training_images/{organelle} and training_labels/{organelle}")
    return samples


def _pairs(images: str, truths: str) -> list[tuple[str, str]]:
    """Pictures and their labels: of the same names, else in the order of their numbers."""
    first, second = (sorted(find_all(place, "*.*"), key=natural) for place in (images, truths))
    names = {stem(p): p for p in second}
    if all(stem(p) in names for p in first):
        return [(p, names[stem(p)]) for p in first]
    if len(first) != len(second):
        raise ValueError(f"{truths} must hold {len(first)} files as {images}, got {len(second)}")
    return list(zip(first, second, strict=True))


def platelet(dataset: Dataset, folder: str) -> list[Sample]:
    """{train,eval,test}-{images,labels}.tif, and train-error-weights.tif if it is there."""
    spacing = spacing_of(dataset)
    samples = []
    for name, split in (("train", "train"), ("eval", "validation"), ("test", "test")):
        image = find(folder, f"{name}-images.tif*")
        if image is None:
            continue
        raw, labels, files = opened(image, spacing), {}, [image]
        for ours, theirs in (("classes", "labels"), ("error_weights", "error-weights")):
            found = find(folder, f"{name}-{theirs}.tif*")
            if found is not None:
                labels[ours] = same_shape(raw, opened(found, spacing))
                files.append(found)
        samples.append(Sample(name, raw, labels, split=split, provenance=provenance(dataset, folder, *files)))
    if not samples:
        needed(None, folder, "train-images.tif and train-labels.tif")
    return samples


__all__ = ["asem", "nucmm", "openorganelle", "perez", "platelet", "urocell"]
