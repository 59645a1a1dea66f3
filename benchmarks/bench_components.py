"""Connected components beside cc3d, SciPy and scikit-image; on a GPU beside CuPy and cuCIM."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, same, same_partition
from .inputs import Inputs

cc3d = optional("cc3d")
scipy_ndimage = optional("scipy.ndimage")
skimage = optional("skimage.measure")

# Read the input, write the labels: what any algorithm must move, in bytes a voxel.
LEAST_MASK, LEAST_LABELS = 1 + 4, 4 + 4


def _case(name: str, labels: np.ndarray, connectivity: int, *, binary: bool) -> Case:
    order = {6: 1, 18: 2, 26: 3}[connectivity]
    peers = [
        cc3d
        and Contender(
            "cc3d", lambda: cc3d.connected_components(labels, connectivity=connectivity, binary_image=binary)
        ),
        skimage
        and Contender("skimage", lambda: skimage.label(labels, connectivity=order, background=0), slow=not binary),
    ]
    if binary and scipy_ndimage:
        shape = scipy_ndimage.generate_binary_structure(3, order)
        peers.append(scipy_ndimage and Contender("scipy", lambda: scipy_ndimage.label(labels, structure=shape)[0]))
    return Case(
        "components",
        f"components {connectivity}, {name}",
        labels.size,
        lambda: emfast.connected_components(labels, connectivity=connectivity, dtype="uint32"),
        peers,
        lambda ours, theirs: same(ours, theirs) or same_partition(ours, theirs),
    )


def cases(inputs: Inputs) -> Iterator[Case]:
    for connectivity in (6, 26):
        yield _case("blobs", inputs.blobs, connectivity, binary=True)
    for connectivity in (6, 26):
        yield _case("noise", inputs.noise, connectivity, binary=True)
    for connectivity in (6, 26):
        yield _case("cells", inputs.cells, connectivity, binary=False)
    yield _case("cells, 64-bit ids", inputs.cells64, 6, binary=False)
    if inputs.real is not None:
        yield _case("cortex (real)", inputs.real, 6, binary=False)
    if inputs.mitochondria is not None:
        yield _case("mitochondria (real)", inputs.mitochondria, 26, binary=True)


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    from cupyx.scipy import ndimage

    try:
        from cucim.skimage import measure
    except ImportError:
        measure = None
    for name, labels, least in (
        ("blobs", inputs.blobs, LEAST_MASK),
        ("noise", inputs.noise, LEAST_MASK),
        ("cells", inputs.cells, LEAST_LABELS),
    ):
        there = cupy.asarray(labels)
        for connectivity in (6, 26):
            order = {6: 1, 26: 3}[connectivity]
            peers = []
            if least == LEAST_MASK:
                shape = cupy.asarray(scipy_ndimage.generate_binary_structure(3, order))
                peers.append(Contender("CuPy", lambda t=there, s=shape: ndimage.label(t, structure=s)[0]))
            if measure is not None:
                peers.append(
                    Contender("cuCIM", lambda t=there, o=order: measure.label(t, connectivity=o, background=0))
                )
            yield DeviceCase(
                "components",
                f"components {connectivity}, {name}",
                labels.size,
                lambda t=there, c=connectivity: emfast.connected_components(t, connectivity=c, dtype="uint32"),
                peers,
                lambda a=labels, c=connectivity: emfast.connected_components(a, connectivity=c, dtype="uint32"),
                lambda ours, theirs: same(ours, theirs) or same_partition(ours, theirs),
                least,
            )
