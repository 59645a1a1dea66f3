"""Neurites: ISBI 2012 and VNC, CREMI, SNEMI3D, FIB-25, SegEM, AxonEM, NISB."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from ...volumes import Volume
from .._finding import find, find_all, find_folder, folders, needed, stem
from .._records import Dataset
from .._samples import Sample
from .._volumes import Derived, Inside, Known, Mapped, Positive, Recode, SectionObjects
from ._shared import hdf5, opened, places, provenance, same_shape, spacing_of

_NO_CLEFT, _UNKNOWN = 2**64 - 1, 2**64 - 2
_CLEFT_ZERO = 2**64 - 3
VNC_CODES = (0, 32, 64, 96, 128, 159, 191, 223, 255)


def isbi2012(dataset: Dataset, folder: str) -> list[Sample]:
    """The three TIFF stacks of the challenge, or the HDF5 copy (raw, labels/membranes, labels/gt_segmentation)."""
    spacing = spacing_of(dataset)
    found = find(folder, "train-volume.tif*")
    if found is None:
        path = needed(find(folder, "isbi*.h5"), folder, "train-volume.tif or isbi.h5")
        with hdf5(path) as file:
            later = "labels/gt_segmentation" in file
        raw = opened(f"{path}:raw", spacing)
        interior = same_shape(raw, opened(f"{path}:labels/membranes", spacing))
        labels = _of_membranes(interior)
        if later:
            labels["neurons"] = same_shape(raw, opened(f"{path}:labels/gt_segmentation", spacing))
        return [Sample("train", raw, labels, split="train", provenance=provenance(dataset, folder, path))]
    raw = opened(found, spacing)
    path = needed(find(folder, "train-labels.tif*"), folder, "train-labels.tif")
    interior = same_shape(raw, opened(path, spacing))
    labels = _of_membranes(interior)
    samples = [Sample("train", raw, labels, split="train", provenance=provenance(dataset, folder, found, path))]
    if test := find(folder, "test-volume.tif*"):
        samples.append(
            Sample("test", opened(test, spacing), split="test", provenance=provenance(dataset, folder, test))
        )
    return samples


def _of_membranes(interior: Volume) -> dict[str, Volume]:
    return {"interior": Derived(interior, Positive()), "cells": Derived(interior, SectionObjects())}


def vnc(dataset: Dataset, folder: str) -> list[Sample]:
    """stack1 with labels, stack2 without, folders of slices."""
    spacing = spacing_of(dataset)
    first = needed(find_folder(folder, "stack1"), folder, "a folder stack1")
    raw = opened(os.path.join(first, "raw"), spacing)
    labels: dict[str, Any] = {}
    codes = tuple((code, k) for k, code in enumerate(VNC_CODES))
    for name, there, step in (
        ("classes", "labels", Recode(codes)),
        ("mitochondria", "mitochondria", Positive()),
        ("synapses", "synapses", Positive()),
        ("membrane", "membranes", Inside((0,))),
    ):
        place = os.path.join(first, there)
        if os.path.isdir(place):
            labels[name] = Derived(same_shape(raw, opened(place, spacing)), step)
    samples = [Sample("stack1", raw, labels, split="train", provenance=provenance(dataset, folder, first))]
    second = find_folder(folder, "stack2")
    if second is not None:
        image = opened(os.path.join(second, "raw"), spacing)
        samples.append(Sample("stack2", image, split="test", provenance=provenance(dataset, folder, second)))
    return samples


def cremi(dataset: Dataset, folder: str) -> list[Sample]:
    """A sample for each file, padded ones too; spacing and offsets are the files' own."""
    paths = [*find_all(folder, "sample*.hdf"), *find_all(folder, "sample*.h5")]
    paths = [p for p in paths if "defects" not in os.path.basename(p)]
    if not paths:
        needed(None, folder, "files like sample_A_20160501.hdf")
    return [_cremi_sample(dataset, folder, path) for path in paths]


def _cremi_sample(dataset: Dataset, folder: str, path: str) -> Sample:
    with hdf5(path) as file:
        there = [name for name in ("neuron_ids", "clefts") if f"volumes/labels/{name}" in file]
        points = _cremi_points(file)
    labels: dict[str, Any] = {}
    mask: dict[str, Any] = {}
    outside = Recode(((_NO_CLEFT, 0), (_UNKNOWN, 0)))
    for name, ours, step, unknown in (
        ("neuron_ids", "neurons", outside, (_NO_CLEFT, _UNKNOWN)),
        ("clefts", "clefts", Recode(((0, _CLEFT_ZERO), *outside.table)), (_UNKNOWN,)),
    ):
        if name in there:
            volume = _of_64_bits(opened(f"{path}:volumes/labels/{name}"))
            labels[ours], mask[ours] = Derived(volume, step), Derived(volume, Known(unknown))
    raw = opened(f"{path}:volumes/raw")
    if raw.spacing is None:
        raise ValueError(f"{path}:volumes/raw must have the attribute resolution, got none")
    name, split = stem(path), "train" if labels else "test"
    said = provenance(dataset, folder, path, note="sentinels of clefts: 0, and out of the mask")
    return Sample(name, raw, labels, mask, split, said, points)


def _of_64_bits(volume: Any) -> Any:
    if volume.dtype != np.uint64:
        raise TypeError(f"{volume.uri} must be uint64, got {volume.dtype}")
    return volume


def _cremi_points(file: Any) -> dict[str, np.ndarray]:
    """Annotated places in nanometres; partners as pairs, presynaptic site first."""
    if "annotations/ids" not in file or "annotations/locations" not in file:
        return {}
    notes = file["annotations"]
    shift = np.asarray(notes.attrs.get("offset", (0, 0, 0)), np.float64)
    ids, locations = np.asarray(notes["ids"]), np.asarray(notes["locations"], np.float64) + shift
    found = {"annotations": locations}
    if "presynaptic_site/partners" in notes:
        pairs = np.asarray(notes["presynaptic_site/partners"])
        order = np.argsort(ids)
        at = np.minimum(np.searchsorted(ids[order], pairs), len(ids) - 1)
        if len(pairs) and not (ids[order][at] == pairs).all():
            raise ValueError(f"{file.filename}:annotations/presynaptic_site/partners must be ids of annotations")
        found["partners"] = locations[order[at]] if len(pairs) else np.empty((0, 2, 3))
    return found


def snemi3d(dataset: Dataset, folder: str) -> list[Sample]:
    """The TIFF stacks, in whatever folders, or the HDF5 copies."""
    spacing = spacing_of(dataset)
    samples = []
    for name in ("train", "test"):
        found = find(folder, f"{name}-input.tif*")
        if found is not None:
            raw, files, labels = opened(found, spacing), [found], {}
            path = find(folder, f"{name}-labels.tif*")
            if path is not None:
                labels["neurons"] = same_shape(raw, opened(path, spacing))
                files.append(path)
        elif (path := find(folder, f"snemi_{name}.h5")) is not None:
            raw, files, labels = opened(f"{path}:volumes/raw", spacing), [path], {}
            with hdf5(path) as file:
                labelled = "volumes/labels/neuron_ids" in file
            if labelled and name == "train":  # labels of the test are nobody's to tune on
                labels["neurons"] = same_shape(raw, opened(f"{path}:volumes/labels/neuron_ids", spacing))
        else:
            continue
        samples.append(Sample(name, raw, labels, split=name, provenance=provenance(dataset, folder, *files)))
    if not samples:
        needed(None, folder, "train-input.tif or snemi_train.h5")
    return samples


def fib25(dataset: Dataset, folder: str) -> list[Sample]:
    """A sample for each folder with a groundtruth.h5; supervoxels become bodies where they are read."""
    splits = {"training_sample2": "train", "validation_sample": "validation"}
    samples = []
    for truth in find_all(folder, "groundtruth.h5"):
        place = os.path.dirname(truth)
        image = needed(find(place, "grayscale_maps.h5", "raw.h5"), place, "grayscale_maps.h5 or raw.h5")
        raw = opened(f"{image}:raw", spacing_of(dataset))
        with hdf5(truth) as file:
            table = np.asarray(file["transforms"]) if "transforms" in file else np.empty((0, 2), np.uint64)
        if table.ndim != 2 or table.shape[1] != 2:
            raise ValueError(f"{truth}:transforms must have two columns, got {table.shape}")
        stack = opened(f"{truth}:stack", spacing_of(dataset))
        order = np.argsort(table[:, 0], kind="stable")
        keys, bodies = (table[order, k].astype(stack.dtype) for k in (0, 1))
        labels = {"neurons": same_shape(raw, Derived(stack, Mapped(keys, bodies)))}
        name = os.path.basename(place)
        said = provenance(dataset, folder, image, truth, note="supervoxels joined by transforms")
        samples.append(Sample(name, raw, labels, split=splits.get(name, "test"), provenance=said))
    if not samples:
        needed(None, folder, "folders with groundtruth.h5")
    return samples


def segem(dataset: Dataset, folder: str) -> list[Sample]:
    """A sample for each cube: HDF5 or MATLAB v7.3 files with raw and target."""
    spacing = spacing_of(dataset)
    samples = []
    for path in [*find_all(folder, "*.h5"), *find_all(folder, "*.mat")]:
        with hdf5(path) as file:
            if "raw" not in file or "target" not in file:
                raise ValueError(f"{path} must hold raw and target, got {', '.join(file)}")
        raw = opened(f"{path}:raw", spacing)
        target = opened(f"{path}:target", spacing)
        margin = [(n - m) // 2 for n, m in zip(raw.shape, target.shape, strict=True)]
        if min(margin) < 0 or any((n - m) % 2 for n, m in zip(raw.shape, target.shape, strict=True)):
            raise ValueError(f"{path}:target must lie in the middle of {raw.shape}, got {target.shape}")
        target.close()
        target = opened(f"{path}:target", spacing, places(margin, spacing))
        labels = {"interior": Derived(target, Inside((1,)))}
        mask = {"interior": Derived(target, Known((0,)))}
        said = provenance(dataset, folder, path, note="-1 is 0, unsure is out of the mask")
        samples.append(Sample(stem(path), raw, labels, mask, "train", said))
    if not samples:
        needed(None, folder, "cubes: .h5 or .mat files with raw and target")
    return samples


def axonem(dataset: Dataset, folder: str) -> list[Sample]:
    """im_*.h5 with seg_*.h5, key main; images are larger by their padding."""
    spacing = spacing_of(dataset)
    samples = []
    for image in find_all(folder, "im_*.h5"):
        raw = opened(f"{image}:main", spacing)
        truth = re.sub(r"im_([^/]*)$", r"seg_\1", image)
        name = os.path.relpath(image, folder).removesuffix(".h5")
        if not os.path.exists(truth):
            samples.append(Sample(name, raw, split="test", provenance=provenance(dataset, folder, image)))
            continue
        seg = opened(f"{truth}:main", spacing)
        margin = [(n - m) // 2 for n, m in zip(raw.shape, seg.shape, strict=True)]
        if min(margin) < 0 or any((n - m) % 2 for n, m in zip(raw.shape, seg.shape, strict=True)):
            raise ValueError(f"{truth} must lie in the middle of {raw.shape}, got {seg.shape}")
        seg.close()
        labels = {"axons": opened(f"{truth}:main", spacing, places(margin, spacing))}
        said = provenance(dataset, folder, image, truth)
        samples.append(Sample(name, raw, labels, split="train", provenance=said))
    if not samples:
        needed(None, folder, "files like im_*.h5")
    return samples


def nisb(dataset: Dataset, folder: str) -> list[Sample]:
    """{setting}/{split}/seed{N}/data.zarr with img (x, y, z, channel) and seg (x, y, z)."""
    splits = {"train": "train", "val": "validation", "test": "test"}
    samples = []
    for place in folders(folder):
        if os.path.basename(place) != "data.zarr":
            continue
        parts = os.path.relpath(os.path.dirname(place), folder).split(os.sep)
        spacing = (12.0, *spacing_of(dataset)[1:]) if "liconn" in parts else spacing_of(dataset)
        image = opened(f"{place}:img")
        axes = {3: "xyz", 4: "xyzc"}[image.ndim]
        image.close()
        raw = opened(f"{place}:img", spacing, axes=axes)
        labels = {}
        if os.path.isdir(os.path.join(place, "seg")):
            labels["neurons"] = same_shape(raw, opened(f"{place}:seg", spacing, axes="xyz"))
        split = next((splits[p] for p in parts if p in splits), "all")
        samples.append(Sample("/".join(parts), raw, labels, split=split, provenance=provenance(dataset, folder, place)))
    if not samples:
        needed(None, folder, "folders data.zarr")
    return samples


__all__ = ["axonem", "cremi", "fib25", "isbi2012", "nisb", "segem", "snemi3d", "vnc"]
