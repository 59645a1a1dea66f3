"""Excerpts of datasets in one HDF5 file each, with ``voxel_size_nm`` and what the arrays are as attributes.

This is the form of the files that this project was made with; anybody can make more. A file, or each of its groups, has
the array ``image`` and arrays of labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...volumes import Volume
from .._finding import stem
from .._records import Dataset
from .._samples import Sample
from .._volumes import Derived, Positive, Recode, SectionObjects, Step
from ._neurons import VNC_CODES
from ._shared import hdf5, opened, provenance, same_shape

_Named = tuple[str, str, Step | None]  # our name, the array, and what becomes of it

_LABELS: dict[str, tuple[_Named, ...]] = {
    "fib25": (("neurons", "groundtruth", None), ("watershed", "watershed", None), ("ffn", "ffn", None)),
    "snemi3d": (("mitochondria", "mitochondria", None), ("neurons", "neurons", Recode(((1, 0),)))),
    "isbi2012": (("interior", "cell_interior", Positive()), ("cells", "cell_interior", SectionObjects())),
    "vnc": (
        ("classes", "labels", Recode(tuple((code, k) for k, code in enumerate(VNC_CODES)))),
        ("mitochondria", "mitochondria", None),
        ("synapses", "synapses", None),
        ("membrane", "membrane", None),
    ),
    "lucchi": (("mitochondria", "groundtruth", None), ("unet", "unet", None)),
    "urocell": (
        ("mitochondria", "mitochondria", None),
        ("vesicles", "fusiform_vesicles", None),
        ("lysosomes", "endolysosomes", None),
    ),
    "cdeep3m-s": (("mitochondria", "mitochondria", None),),
    "cem500k": (("mask", "mask", None),),
    "cardiac": (("mitochondria", "mitochondria", None),),
}
_ONE_BACKGROUND = "corner"  # a group whose labels belong to the first corner of the image of the file


def recoded(dataset: Dataset, path: str) -> list[Sample]:
    """A sample of the file itself and of each group in it."""
    with hdf5(path) as file:
        groups: list[tuple[str, list[str], tuple[float, ...] | None]] = []
        _look(file, "", _voxel(file), groups)
    samples = []
    for group, names, spacing in groups:
        labels = _labels(dataset, path, group, names, spacing)
        image = f"{path}:{group}image" if "image" in names else None
        raw = None if image is None else opened(image, spacing)
        if raw is not None:
            labels = {name: same_shape(raw, volume) for name, volume in labels.items()}
        if raw is None and group == f"{_ONE_BACKGROUND}/" and labels:
            whole = opened(f"{path}:image", spacing)
            raw = whole.crop(tuple(slice(0, n) for n in next(iter(labels.values())).shape))
        if raw is not None or labels:
            name = (stem(path) + "/" + group).rstrip("/")
            said = provenance(dataset, path, path, note="recoded excerpt")
            samples.append(Sample(name, raw, labels, split="all", provenance=said))
    if not samples:
        raise ValueError(f"{path} must hold arrays of {dataset.name}, image or labels, got none")
    return samples


def _look(
    group: Any,
    name: str,
    spacing: tuple[float, ...] | None,
    found: list[tuple[str, list[str], tuple[float, ...] | None]],
) -> None:
    arrays = [key for key, item in group.items() if hasattr(item, "shape")]
    if arrays:
        found.append((name, arrays, spacing))
    for key, item in group.items():
        if not hasattr(item, "shape"):
            _look(item, f"{name}{key}/", _voxel(item) or spacing, found)


def _voxel(group: Any) -> tuple[float, ...] | None:
    said = group.attrs.get("voxel_size_nm")
    return None if said is None else tuple(float(v) for v in said)


def _labels(
    dataset: Dataset, path: str, group: str, names: list[str], spacing: tuple[float, ...] | None
) -> dict[str, Volume]:
    made: Callable[[str], Volume] = lambda name: opened(f"{path}:{group}{name}", spacing)  # noqa: E731
    found: dict[str, Volume] = {}
    for ours, theirs, step in _LABELS.get(dataset.name, ()):
        if theirs in names:
            found[ours] = made(theirs) if step is None else Derived(made(theirs), step)
    return found


__all__ = ["recoded"]
