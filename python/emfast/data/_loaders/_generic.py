"""Any data: a folder of slices with one of labels, volumes with labels beside them, or arrays of one file."""

from __future__ import annotations

import os
import re

from ...volumes._places import ARCHIVES, PICTURES, ending_of
from .._finding import find_folder, folders, natural, needed, stem, walk
from .._records import Dataset
from .._samples import Sample
from ._shared import hdf5, opened, provenance, same_shape

IMAGES = ("images", "image", "raw", "im", "img")
LABELS = ("labels", "label", "masks", "mask", "seg", "groundtruth", "ground_truth", "gt")
_LABEL_WORDS = re.compile(r"(label|mask|seg|truth|lbl|annot)", re.IGNORECASE)
_RAW_NAMES = ("raw", "image", "volumes/raw", "main", "data")
_LABEL_NAMES = ("labels", "label", "final_lbl", "volumes/labels/neuron_ids", "main", "data")


def generic(dataset: Dataset, folder: str) -> list[Sample]:
    """Folders named images and labels (or the like) of slices; else volumes, those with label, mask or seg in their
    names being labels of the others: of the only one, or in the order of their numbers."""
    images = find_folder(folder, *IMAGES)
    if images is not None and _has_pictures(images):
        return [_of_slices(dataset, folder, images)]
    stores = [p for p in folders(folder) if ending_of(p) in (".zarr", ".n5")]
    files = [p for p in walk(folder) if ending_of(p) and not p.lower().endswith((".png", ".jpg", ".jpeg"))]
    volumes = sorted([*stores, *files], key=natural)
    truths = [p for p in volumes if _LABEL_WORDS.search(os.path.basename(p))]
    raws = [p for p in volumes if p not in truths]
    if not raws:
        needed(None, folder, "a folder images with slices, or volumes")
    if len(raws) > 1 and truths and len(truths) != len(raws):
        raise ValueError(f"{folder} must hold labels for each of {len(raws)} volumes, got {len(truths)}")
    if len(raws) == 1:
        return [_of_files(dataset, folder, raws[0], truths)]
    pairs = zip(raws, truths, strict=True) if truths else ((raw, None) for raw in raws)
    return [_of_files(dataset, folder, raw, [truth] if truth else []) for raw, truth in pairs]


def _has_pictures(folder: str) -> bool:
    return any(name.lower().endswith(PICTURES) for name in os.listdir(folder))


def _of_slices(dataset: Dataset, folder: str, images: str) -> Sample:
    raw = opened(images, dataset.spacing)
    there = find_folder(folder, *LABELS)
    labels, files = {}, [images]
    if there is not None and _has_pictures(there):
        labels[_label_name(dataset)] = same_shape(raw, opened(there, dataset.spacing))
        files.append(there)
    return Sample(dataset.name, raw, labels, split="all", provenance=provenance(dataset, folder, *files))


def _of_files(dataset: Dataset, folder: str, raw: str, truths: list[str]) -> Sample:
    image = opened(_inside(raw, _RAW_NAMES), *_spacing(dataset, raw))
    labels = {}
    for path in truths:
        name = _label_name(dataset) if len(truths) == 1 else stem(path)
        labels[name] = same_shape(image, opened(_inside(path, _LABEL_NAMES), *_spacing(dataset, path)))
    if not truths and ending_of(raw) in (".h5", ".hdf5", ".hdf", ".mat"):
        with hdf5(raw) as file:
            both = [n for n in _LABEL_NAMES[:-2] if n in file and hasattr(file[n], "shape")]
        if both:
            place = f"{raw}:{both[0]}"
            labels[_label_name(dataset)] = same_shape(image, opened(place, *_spacing(dataset, raw)))
    said = provenance(dataset, folder, raw, *truths)
    return Sample(stem(raw), image, labels, split="all", provenance=said)


def _spacing(dataset: Dataset, path: str) -> tuple[tuple[float, ...] | None]:
    """That of the dataset; of files whose headers are to be believed, theirs."""
    believed = ending_of(path) not in (".tif", ".tiff", ".h5", ".hdf5", ".hdf", ".mat", ".npy", ".npz")
    return (None if believed else dataset.spacing,)


def _inside(path: str, names: tuple[str, ...]) -> str:
    """With the name of an array, where the file holds several."""
    if ending_of(path) not in ARCHIVES or ending_of(path) in (".zarr", ".n5", ".npz"):
        return path
    with hdf5(path) as file:
        found = [name for name in names if name in file and hasattr(file[name], "shape")]
    return f"{path}:{found[0]}" if found else path


def _label_name(dataset: Dataset) -> str:
    return dataset.labels[0] if dataset.labels else "labels"


__all__ = ["generic"]
