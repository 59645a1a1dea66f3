"""Scores with geometry: surface distances beside MONAI, DeepMind's surface-distance and scikit-image; topology and runs
beside nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

import emfast
from emfast import metrics

from .harness import Case, Contender, DeviceCase, optional
from .inputs import SPACING, Inputs

monai = optional("monai.metrics")
torch = optional("torch")
deepmind = optional("surface_distance")
skimage = optional("skimage.metrics")


class _Masks:
    """A mask and a prediction whose borders are off by a voxel or two."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    @cached_property
    def truth(self) -> np.ndarray:
        return self.inputs.blobs.astype(bool)

    @cached_property
    def labels(self) -> np.ndarray:
        return np.roll(self.truth, 2, axis=1) | np.roll(self.truth, 1, axis=2)


def _as_tensor(mask: np.ndarray) -> Any:
    return torch.from_numpy(mask)[None, None]


def _monai(masks: _Masks, function: str, spacing: tuple[float, ...], **options: Any) -> Contender | None:
    if monai is None or torch is None:
        return None

    def call() -> float:
        torch.set_num_threads(1)
        score = getattr(monai, function)
        pair = _as_tensor(masks.labels), _as_tensor(masks.truth)
        return float(score(*pair, include_background=True, spacing=spacing, **options))

    return Contender("MONAI", call)


def _deepmind(masks: _Masks, spacing: tuple[float, ...], score: Callable[[Any, Any], float]) -> Contender | None:
    if deepmind is None or not hasattr(np, "Inf"):  # the release on the registry needs NumPy 1
        return None
    return Contender(
        "surface-distance",
        lambda: score(deepmind, deepmind.compute_surface_distances(masks.truth, masks.labels, spacing)),
        slow=True,
    )


def _close(ours: float, theirs: float) -> bool:
    return bool(np.isclose(ours, theirs, rtol=1e-5))


def cases(inputs: Inputs) -> Iterator[Case]:
    masks = _Masks(inputs)
    voxels = masks.truth.size
    for name, spacing in (("", (1.0, 1.0, 1.0)), (", anisotropic", SPACING)):
        yield Case(
            "surfaces",
            f"Hausdorff 95 %, blobs{name}",
            voxels,
            lambda spacing=spacing: metrics.hausdorff_distance(
                masks.truth, masks.labels, quantile=0.95, spacing=spacing
            ),
            [_monai(masks, "compute_hausdorff_distance", spacing, percentile=95)],
            _close,
        )
    unit = (1.0, 1.0, 1.0)
    yield Case(
        "surfaces",
        "average surface distance, blobs",
        voxels,
        lambda: metrics.surface_distances(masks.truth, masks.labels).mean(),
        [_monai(masks, "compute_average_surface_distance", unit, symmetric=True)],
        _close,
    )
    yield Case(
        "surfaces",
        "surface Dice by area, blobs",
        voxels,
        lambda: metrics.surface_dice(masks.truth, masks.labels, tolerance=1),
        [_deepmind(masks, unit, lambda peer, found: peer.compute_surface_dice_at_tolerance(found, 1))],
        _close,
    )
    yield Case(
        "surfaces",
        "Hausdorff of all voxels, blobs",
        voxels,
        lambda: metrics.hausdorff_distance(masks.truth, masks.labels, surface="points"),
        [
            skimage
            and Contender("scikit-image", lambda: skimage.hausdorff_distance(masks.truth, masks.labels), slow=True)
        ],
        _close,
    )
    yield from _objects(inputs)
    yield _warping(inputs)


def _objects(inputs: Inputs) -> Iterator[Case]:
    """Every cell with its shifted self, and MONAI on the first of them, cropped to its box."""
    truth = inputs.cells
    labels = np.roll(truth, 1, axis=2)
    ids = emfast.unique(truth)
    ids = ids[ids != 0]
    pairs = np.stack([ids, ids], axis=1)
    boxes = emfast.statistics(truth), emfast.statistics(labels)

    def one_by_one() -> Any:
        torch.set_num_threads(1)
        out = []
        for k in range(len(ids)):
            start = np.minimum(boxes[0].start[k], boxes[1].start[k])
            stop = np.maximum(boxes[0].stop[k], boxes[1].stop[k])
            box = tuple(map(slice, start, stop))
            pair = (_as_tensor(np.pad(volume[box] == ids[k], 1)) for volume in (labels, truth))
            distance = monai.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=SPACING)
            out.append(float(distance))
        return np.array(out)

    yield Case(
        "surfaces",
        f"Hausdorff 95 %, {len(ids)} cells by pairs",
        truth.size,
        lambda: metrics.object_distances(truth, labels, pairs, spacing=SPACING, border=True),
        [Contender("MONAI", one_by_one) if monai and torch else None],
        lambda ours, theirs: bool(np.allclose(ours.hausdorff_95, getattr(theirs, "hausdorff_95", theirs), rtol=1e-5)),
    )


def _warping(inputs: Inputs) -> Case:
    truth = inputs.cells != 0
    noise = np.random.default_rng(inputs.seed + 3).random(truth.shape, np.float32)
    prediction = (0.6 * np.roll(truth, 1, axis=2) + 0.4 * noise).astype(np.float32)
    return Case(
        "surfaces",
        "warping error, cells in sections",
        truth.size,
        lambda: metrics.warping(truth, prediction),
        [],
        lambda ours, theirs: bool(np.array_equal(ours.warped, theirs.warped)),
    )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """These scores are computed on the host."""
    yield from ()


__all__ = ["cases", "device_cases"]
