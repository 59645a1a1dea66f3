"""Distance transforms beside edt and SciPy; on a GPU beside CuPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, close, cupy_or_none, optional
from .inputs import SPACING, Inputs

edt = optional("edt")
scipy_ndimage = optional("scipy.ndimage")
diplib = optional("diplib")

# Three passes that read and write four bytes, and the input: what a separable transform moves, in bytes a voxel.
LEAST_MASK, LEAST_LABELS = 25, 28
UNIT = (1.0, 1.0, 1.0)


def _edt(name: str, labels: np.ndarray, spacing: tuple[float, ...], *, binary: bool) -> Case:
    every = emfast.get_threads()
    peers = [edt and Contender("edt", lambda: edt.edt(labels, anisotropy=spacing, black_border=False, parallel=1))]
    if every > 1:
        peers.append(
            edt
            and Contender("edt", lambda: edt.edt(labels, anisotropy=spacing, black_border=False, parallel=every), every)
        )
    if binary:
        peers.append(
            scipy_ndimage
            and Contender("scipy", lambda: scipy_ndimage.distance_transform_edt(labels, sampling=spacing), slow=True)
        )
        mask = diplib and diplib.Image(labels.view(bool))
        peers.append(diplib and Contender("DIPlib", lambda: diplib.EuclideanDistanceTransform(mask, "object"), 0))
    return Case(
        "distance",
        f"edt, {name}",
        labels.size,
        lambda: emfast.edt(labels, spacing=spacing),
        peers,
        close,
    )


def cases(inputs: Inputs) -> Iterator[Case]:
    every = emfast.get_threads()
    blobs = inputs.blobs
    yield _edt("blobs", blobs, UNIT, binary=True)
    yield _edt("background of blobs", (blobs == 0).view(np.uint8), UNIT, binary=True)
    yield _edt("cells, anisotropic", inputs.cells, SPACING, binary=False)
    yield _edt("cells, 64-bit ids, anisotropic", inputs.cells64, SPACING, binary=False)
    if inputs.real is not None:
        yield _edt("cortex (real), anisotropic", inputs.real, (40.0, 32.0, 32.0), binary=False)
    signed = [edt and Contender("edt", lambda: edt.sdf(blobs, black_border=False, parallel=1))]
    if every > 1:
        signed.append(edt and Contender("edt", lambda: edt.sdf(blobs, black_border=False, parallel=every), every))
    yield Case("distance", "signed distance, blobs", blobs.size, lambda: emfast.signed_distance(blobs), signed, close)
    yield Case(
        "distance",
        "nearest background, blobs",
        blobs.size,
        lambda: emfast.nearest_background(blobs),
        [
            scipy_ndimage
            and Contender(
                "scipy",
                lambda: scipy_ndimage.distance_transform_edt(blobs, return_distances=False, return_indices=True),
                slow=True,
            )
        ],
        lambda ours, theirs: _as_near(blobs.shape, ours, theirs),
    )


def _as_near(shape: tuple[int, ...], ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Both indices are equally far from their voxel: there may be several nearest ones."""
    if ours.shape == theirs.shape:
        return bool(np.array_equal(ours, theirs))
    rest, far = ours, np.zeros(shape, np.int64)
    for axis in (2, 1, 0):
        rest, coordinate = np.divmod(rest, shape[axis])
        steps = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        far += (coordinate - steps) ** 2 - (theirs[axis].astype(np.int64) - steps) ** 2
    return not far.any()


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    from cupyx.scipy import ndimage

    blobs, cells = cupy.asarray(inputs.blobs), cupy.asarray(inputs.cells)
    yield DeviceCase(
        "distance",
        "edt, blobs",
        blobs.size,
        lambda: emfast.edt(blobs),
        [Contender("CuPy", lambda: ndimage.distance_transform_edt(blobs))],
        lambda: emfast.edt(inputs.blobs),
        close,
        LEAST_MASK,
    )
    yield DeviceCase(
        "distance",
        "edt, cells, anisotropic",
        cells.size,
        lambda: emfast.edt(cells, spacing=SPACING),
        [],
        lambda: emfast.edt(inputs.cells, spacing=SPACING),
        close,
        LEAST_LABELS,
    )
    yield DeviceCase(
        "distance",
        "signed distance, blobs",
        blobs.size,
        lambda: emfast.signed_distance(blobs),
        [Contender("CuPy", lambda: ndimage.distance_transform_edt(blobs) - ndimage.distance_transform_edt(blobs == 0))],
        lambda: emfast.signed_distance(inputs.blobs),
        close,
        LEAST_MASK,
    )
