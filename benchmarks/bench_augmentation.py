"""Augmentation of training samples beside MONAI: patches of 32x160x160 voxels out of a larger piece, one after another.

The peers' random numbers differ from ours, so that answers agree in shape alone; tests compare ours with an oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import emfast
from emfast import augmentation
from emfast.augmentation import Augmentation, Elastic, Flip, Rotate, Scale
from emfast.sampling import Piece, Uniform, cut, generator

from .harness import Case, Contender, DeviceCase, optional
from .inputs import Inputs

monai = optional("monai.transforms")
torch = optional("torch")

PATCH, SAMPLES = (32, 160, 160), 4
SPACING = (30.0, 6.0, 6.0)
OFFSETS = (
    [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]
    + [(0, -d, 0) for d in (3, 9, 27)]
    + [(0, 0, -d) for d in (3, 9, 27)]
    + [(-d, 0, 0) for d in (2, 3, 4)]
)


def _piece() -> Piece:
    made = emfast.phantom.make((48, 480, 480), seed=3, spacing=SPACING)
    return Piece(made.image[None], {"cells": made.labels}, spacing=SPACING)


def _ours(piece: Piece, steps: Augmentation, *, targets: bool) -> Callable[[], tuple[int, ...]]:
    """Cut, augment and, if asked, make affinities with their weights."""
    margin = steps.margin(PATCH, SPACING)
    shape = tuple(n + 2 * m for n, m in zip(PATCH, margin, strict=True))

    def call() -> tuple[int, ...]:
        for k in range(SAMPLES):
            rng = generator(0, k)
            _, corner = Uniform().draw([piece], shape, rng, None)
            crop = steps.apply(cut(piece, corner, shape), PATCH, rng)
            if targets:
                emfast.affinities(crop.labels["cells"], offsets=OFFSETS, mask=crop.masks["cells"])
        return crop.image.shape

    return call


def _peer(piece: Piece, transform: Any) -> Callable[[], tuple[int, ...]]:
    """The same of MONAI, with one thread: image and labels as float32, as its transforms take them."""
    box = (slice(8, 40), slice(160, 320), slice(160, 320))
    image = torch.as_tensor(np.asarray(piece.image[(0, *box)], np.float32))[None]
    labels = torch.as_tensor(piece.labels["cells"][box].astype(np.float32))[None]

    def call() -> tuple[int, ...]:
        torch.set_num_threads(1)
        for _ in range(SAMPLES):
            out = transform({"image": image, "labels": labels})
        return tuple(out["image"].shape)

    return call


def _transforms() -> dict[str, Any]:
    """MONAI's of the same effect, each made in every sample."""
    if monai is None or torch is None:
        return {}
    keys, modes = ("image", "labels"), ("bilinear", "nearest")
    turn = (np.pi / 4, 0.0, 0.0)
    return {
        "elastic": monai.Rand3DElasticd(keys, sigma_range=(5, 7), magnitude_range=(50, 100), prob=1.0, mode=modes),
        "affine": monai.RandAffined(keys, prob=1.0, rotate_range=turn, scale_range=(0.0, 0.1, 0.1), mode=modes),
        "flips": monai.RandFlipd(keys, prob=1.0, spatial_axis=(1, 2)),
    }


def cases(inputs: Inputs) -> Iterator[Case]:
    piece, transforms = _piece(), _transforms()
    voxels = SAMPLES * int(np.prod(PATCH))
    elastic = Augmentation((Elastic((4.0, 40.0, 40.0), (0.0, 2.0, 2.0)),))
    affine = Augmentation((Rotate(45), Scale(0.9, 1.1)))
    lines = [
        ("DeepEM mixture + 12 affinities (MONAI: elastic)", augmentation.deepem(), True, "elastic"),
        ("DeepEM mixture", augmentation.deepem(), False, None),
        ("gunpowder mixture", augmentation.gunpowder(), False, None),
        ("elastic", elastic, False, "elastic"),
        ("rotation and scale", affine, False, "affine"),
        ("flips", Augmentation((Flip("xy8z"),)), False, "flips"),
    ]
    for name, steps, targets, peer in lines:
        transform = transforms.get(peer) if peer else None
        theirs = [Contender("monai", _peer(piece, transform))] if transform else [None]
        ours = _ours(piece, steps, targets=targets)
        yield Case("augmentation", name, voxels, ours, theirs, lambda a, b: a == b)


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    yield from ()
