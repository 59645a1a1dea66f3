"""Watershed: fragments of affinities beside waterz, seeded watershed beside bioimage-cpp and scikit-image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, quiet, same
from .inputs import Inputs

bioimage = optional("bioimage_cpp.segmentation")
skimage = optional("skimage.segmentation")
waterz = optional("waterz")

LOW, HIGH = 1e-4, 0.9999


def _waterz(affinities: np.ndarray) -> np.ndarray:
    """waterz hands out its fragments after it has built a region graph, which is timed with them. It prints."""
    with quiet():
        steps = waterz.agglomerate(affinities, [0.0], aff_threshold_low=LOW, aff_threshold_high=HIGH)
        return next(iter(steps))


def _fragments(name: str, affinities: np.ndarray, floats: np.ndarray, plateau: str) -> Case:
    return Case(
        "watershed",
        name,
        affinities[0].size,
        lambda: emfast.watershed(affinities, low=LOW, high=HIGH, plateau=plateau),
        [waterz and Contender("waterz (with its graph)", lambda: _waterz(floats))],
        same if plateau == "waterz" else _strict,
    )


def _strict(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Plateaus are divided otherwise, and nothing else: the same voxels are in fragments."""
    return same(ours != 0, theirs != 0)


def _narrow(affinities: np.ndarray) -> np.ndarray:
    return np.round(affinities * np.float32(255)).astype(np.uint8)


def _grown(seeds: np.ndarray, theirs: np.ndarray) -> bool:
    """Peers order ties otherwise (bioimage-cpp sorts heights into 65,536 bins), so voxels between seeds may differ: but
    seeds have kept their labels, and every voxel has one."""
    return bool((theirs != 0).all()) and same(theirs[seeds != 0], seeds[seeds != 0])


def cases(inputs: Inputs) -> Iterator[Case]:
    floats = inputs.affinities
    narrow = _narrow(floats)
    exact = narrow.astype(np.float32) / np.float32(255)
    for plateau in ("strict", "waterz"):
        yield _fragments(f"fragments, float32, {plateau}", floats, floats, plateau)
        yield _fragments(f"fragments, uint8, {plateau}", narrow, exact, plateau)

    distance = emfast.edt((floats.min(axis=0) > 0.5).view(np.uint8))
    seeds = emfast.distance_peaks(distance, separation=12)
    for name, height in (("distance", -distance), ("mean affinity", np.float32(1) - floats.mean(axis=0))):
        peers = [
            bioimage and Contender("bioimage-cpp", lambda height=height: bioimage.watershed(height, seeds)),
            skimage and Contender("scikit-image", lambda height=height: skimage.watershed(height, seeds), slow=True),
        ]
        yield Case(
            "watershed",
            f"seeded watershed on {name}",
            seeds.size,
            lambda height=height: emfast.seeded_watershed(height, seeds),
            peers,
            lambda _, theirs: _grown(seeds, theirs),
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    affinities = cupy.asarray(_narrow(inputs.affinities))
    for plateau in ("strict", "waterz"):
        yield DeviceCase(
            "watershed",
            f"fragments, uint8, {plateau}",
            affinities[0].size,
            lambda plateau=plateau: emfast.watershed(affinities, low=LOW, high=HIGH, plateau=plateau),
            [],
            lambda plateau=plateau: emfast.watershed(_narrow(inputs.affinities), low=LOW, high=HIGH, plateau=plateau),
            same,
            33,
        )
