"""Watershed: fragments of affinities beside waterz, seeded watershed beside bioimage-cpp and scikit-image."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, same
from .inputs import Inputs

LOW, HIGH = 1e-4, 0.9999


def _waterz(waterz: Any, affinities: np.ndarray) -> np.ndarray:
    """waterz hands out its fragments after it has built a region graph, which is timed with them. It prints."""
    with _quiet():
        steps = waterz.agglomerate(affinities, [0.0], aff_threshold_low=LOW, aff_threshold_high=HIGH)
        return next(iter(steps))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    kept = os.dup(1)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _fragments(name: str, affinities: np.ndarray, floats: np.ndarray, plateau: str) -> Case:
    peers = []
    if waterz := optional("waterz"):
        peers.append(Contender("waterz (with its graph)", lambda: _waterz(waterz, floats)))
    return Case(
        "watershed",
        name,
        affinities[0].size,
        lambda: emfast.watershed(affinities, low=LOW, high=HIGH, plateau=plateau),
        peers,
        same if plateau == "waterz" else lambda ours, theirs: ours.shape == theirs.shape,
    )


def _narrow(affinities: np.ndarray) -> np.ndarray:
    return np.round(affinities * np.float32(255)).astype(np.uint8)


def _covers(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Peers share plateaus otherwise; all must have given every voxel a seed's label."""
    return set(np.unique(ours)) == set(np.unique(theirs))


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
        peers = []
        if bioimage := optional("bioimage_cpp"):
            peers.append(
                Contender("bioimage-cpp", lambda height=height: bioimage.segmentation.watershed(height, seeds))
            )
        if skimage := optional("skimage.segmentation"):
            peers.append(Contender("scikit-image", lambda height=height: skimage.watershed(height, seeds), slow=True))
        yield Case(
            "watershed",
            f"seeded watershed on {name}",
            seeds.size,
            lambda height=height: emfast.seeded_watershed(height, seeds),
            peers,
            _covers,
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
