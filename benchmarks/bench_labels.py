"""Ids, sizes and holes beside fastremap, cc3d, fill_voids, SciPy and scikit-image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, same
from .inputs import Inputs

cc3d = optional("cc3d")
fastremap = optional("fastremap")
fill_voids = optional("fill_voids")
scipy_ndimage = optional("scipy.ndimage")
skimage = optional("skimage.segmentation")
fastmorph = optional("fastmorph")

SMALL = 200  # voxels: what dust removes
LARGE = 10  # how many largest_k keeps


def _pair(ours: tuple, theirs: tuple) -> bool:
    return all(same(a, b) for a, b in zip(ours, theirs, strict=True))


def _ids(inputs: Inputs) -> Iterator[tuple[str, np.ndarray]]:
    yield "cells", inputs.cells
    yield "cells, 64-bit ids", inputs.cells64
    if inputs.real is not None:
        yield "cortex (real)", inputs.real


def _numbering(name: str, labels: np.ndarray) -> Iterator[Case]:
    n = labels.size
    yield Case(
        "labels",
        f"unique with counts, {name}",
        n,
        lambda: emfast.unique(labels, counts=True),
        [
            fastremap and Contender("fastremap", lambda: fastremap.unique(labels, return_counts=True)),
            Contender("numpy", lambda: np.unique(labels, return_counts=True), slow=True),
        ],
        _pair,
    )
    yield Case(
        "labels",
        f"renumber, {name}",
        n,
        lambda: emfast.renumber(labels)[0],
        [
            fastremap and Contender("fastremap", lambda: fastremap.renumber(labels, preserve_zero=True)[0]),
            skimage and Contender("skimage", lambda: skimage.relabel_sequential(labels)[0], slow=True),
        ],
        lambda ours, theirs: same(ours, theirs) or int(ours.max()) == int(theirs.max()),
    )
    ids = np.unique(labels)
    new = np.random.default_rng(0).permutation(len(ids)).astype(labels.dtype)
    table = dict(zip(ids.tolist(), new.tolist(), strict=True))
    yield Case(
        "labels",
        f"remap, {name}",
        n,
        lambda: emfast.remap(labels, table),
        [fastremap and Contender("fastremap", lambda: fastremap.remap(labels, table))],
        same,
    )


def cases(inputs: Inputs) -> Iterator[Case]:
    for name, labels in _ids(inputs):
        yield from _numbering(name, labels)
    blobs = inputs.blobs
    yield Case(
        "labels",
        "dust, blobs",
        blobs.size,
        lambda: emfast.dust(blobs, below=SMALL),
        [
            cc3d and Contender("cc3d", lambda: cc3d.dust(blobs, threshold=SMALL, connectivity=6, binary_image=True)),
        ],
        same,
    )
    cells = inputs.cells
    yield Case(
        "labels",
        "dust, cells",
        cells.size,
        lambda: emfast.dust(cells, below=SMALL),
        [cc3d and Contender("cc3d", lambda: cc3d.dust(cells, threshold=SMALL, connectivity=6))],
        same,
    )
    yield Case(
        "labels",
        "largest k, blobs",
        blobs.size,
        lambda: emfast.largest_k(blobs, LARGE),
        [cc3d and Contender("cc3d", lambda: cc3d.largest_k(blobs, k=LARGE, connectivity=6, binary_image=True))],
        lambda ours, theirs: same(ours != 0, theirs != 0),
    )
    hollow = _hollow(blobs)
    yield Case(
        "labels",
        "fill holes, hollow blobs",
        hollow.size,
        lambda: emfast.fill_holes(hollow),
        [
            fill_voids and Contender("fill_voids", lambda: fill_voids.fill(hollow)),
            scipy_ndimage and Contender("scipy", lambda: scipy_ndimage.binary_fill_holes(hollow), slow=True),
            fastmorph and Contender("fastmorph", lambda: fastmorph.fill_holes(hollow), 0),
        ],
        lambda ours, theirs: same(ours != 0, theirs != 0),
    )


def _hollow(blobs: np.ndarray) -> np.ndarray:
    """The shells of blobs: voxels with a neighbour outside."""
    inner = blobs.astype(bool)
    for axis in range(3):
        for step in (1, -1):
            inner &= np.roll(blobs, step, axis).astype(bool)
    return (blobs.astype(bool) & ~inner).view(np.uint8)


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    cells = cupy.asarray(inputs.cells)
    yield DeviceCase(
        "labels",
        "unique with counts, cells",
        cells.size,
        lambda: emfast.unique(cells, counts=True),
        [Contender("CuPy", lambda: cupy.unique(cells, return_counts=True))],
        lambda: emfast.unique(inputs.cells, counts=True),
        _pair,
        4,
    )
    yield DeviceCase(
        "labels",
        "renumber, cells",
        cells.size,
        lambda: emfast.renumber(cells)[0],
        [],
        lambda: emfast.renumber(inputs.cells)[0],
        same,
        8,
    )
