"""The mutex watershed beside bioimage-cpp and mwatershed, on six channels: three nearest, three far."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, same
from .inputs import Inputs

OFFSETS = (*emfast.NEAREST, (-3, 0, 0), (0, -9, 0), (0, 0, -9))
LEAST = 6 * 4 + 4  # bytes a voxel: six channels in, labels out


def _affinities(side: int, seed: int) -> np.ndarray:
    """A phantom's affinities; a far edge is as good as the worst on its way. No two weights are equal: peers order ties
    in ways of their own."""
    near = emfast.phantom.make((side,) * 3, seed=seed, spacing=(16, 8, 8)).affinities
    rng = np.random.default_rng(seed)
    out = np.empty((6, *near.shape[1:]), np.float32)
    for k in range(3):
        out[k] = near[k] / np.float32(255)
        out[3 + k] = out[k]
        for step in range(1, -OFFSETS[3 + k][k]):
            later = [slice(None)] * 3
            before = [slice(None)] * 3
            later[k], before[k] = slice(step, None), slice(None, -step)
            np.minimum(out[3 + k][tuple(later)], out[k][tuple(before)], out=out[3 + k][tuple(later)])
    for channel in out:
        channel *= 0.999
        channel += 1e-3 * rng.random(channel.shape, np.float32)
    return np.clip(out, 1e-4, 1 - 1e-4)


def cases(inputs: Inputs) -> Iterator[Case]:
    side = min(inputs.size, 256)
    values = _affinities(side, inputs.seed)
    peers = []
    segmentation = optional("bioimage_cpp.segmentation")
    if segmentation is not None:
        weights = values.copy()
        weights[3:] = 1 - weights[3:]
        peers.append(
            Contender("bioimage-cpp", lambda: segmentation.mutex_watershed(weights, OFFSETS, 3), slow=side > 128)
        )
    mwatershed = optional("mwatershed")
    if mwatershed is not None:
        signed = values.astype(np.float64)
        signed[3:] = (values[3:] - np.float32(1)).astype(np.float64)
        peers.append(Contender("mwatershed", lambda: mwatershed.agglom(signed, OFFSETS), slow=side > 128))
    yield Case(
        "mutex",
        f"mutex watershed, 6 channels, {side}³",
        side**3,
        lambda: emfast.mutex_watershed(values, OFFSETS),
        peers,
        _same_segments,
    )


def _same_segments(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """The same partition. mwatershed names segments in its own way and makes voxels without attraction 0."""
    return same(ours, theirs) or same(ours, emfast.renumber(theirs, keep_zero=False)[0])


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    side = min(inputs.size, 256)
    values = _affinities(side, inputs.seed)
    there = cupy.asarray(values)
    yield DeviceCase(
        "mutex",
        f"mutex watershed, 6 channels, {side}³",
        side**3,
        lambda: emfast.mutex_watershed(there, OFFSETS),
        [],
        lambda: emfast.mutex_watershed(values, OFFSETS),
        same,
        LEAST,
    )
