"""Statistics and contacts beside cc3d and SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, cupy_or_none, optional, same
from .inputs import SPACING, Inputs

cc3d = optional("cc3d")


def _equal_tables(ours: Any, theirs: Any) -> bool:
    return all(same(getattr(ours, name), getattr(theirs, name)) for name in ours.columns)


def _like_cc3d(ours: Any, theirs: dict[str, np.ndarray]) -> bool:
    """Ours has a row per label that is there, cc3d one for every number up to the largest, 0 included."""
    if isinstance(theirs, type(ours)):  # ours again, with other threads
        return _equal_tables(ours, theirs)
    ids = ours.label.astype(np.int64)
    boxes = theirs["bounding_boxes"]
    starts = np.array([[s.start for s in boxes[i]] for i in ids])
    return (
        same(ours.voxels, theirs["voxel_counts"][ids])
        and same(ours.start, starts)
        and bool(np.allclose(ours.centroid, theirs["centroids"][ids]))
    )


def _like_contacts(ours: Any, theirs: dict[tuple[int, int], float]) -> bool:
    if isinstance(theirs, type(ours)):
        return _equal_tables(ours, theirs)
    pairs = dict(zip(zip(ours.a.tolist(), ours.b.tolist(), strict=True), ours.area.tolist(), strict=True))
    return pairs.keys() == theirs.keys() and all(abs(pairs[k] - v) <= 1e-3 * v for k, v in theirs.items())


def cases(inputs: Inputs) -> Iterator[Case]:
    for name, labels in (("cells", inputs.cells), ("cortex (real)", inputs.real)):
        if labels is None:
            continue
        small = emfast.renumber(labels, dtype="uint32")[0]  # cc3d takes no ids above the number of voxels
        yield Case(
            "statistics",
            f"statistics, {name}",
            small.size,
            lambda a=small: emfast.statistics(a),
            [cc3d and Contender("cc3d", lambda a=small: cc3d.statistics(a))],
            _like_cc3d,
        )
        yield Case(
            "statistics",
            f"contacts, {name}",
            small.size,
            lambda a=small: emfast.contacts(a, spacing=SPACING),
            [
                cc3d
                and Contender(
                    "cc3d",
                    lambda a=small: cc3d.contacts(a, connectivity=6, surface_area=True, anisotropy=SPACING),
                )
            ],
            _like_contacts,
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    cells = cupy.asarray(inputs.cells)
    yield DeviceCase(
        "statistics",
        "statistics, cells",
        cells.size,
        lambda: emfast.statistics(cells),
        [],
        lambda: emfast.statistics(inputs.cells),
        lambda ours, theirs: same(ours.voxels, theirs.voxels) and same(ours.centroid, theirs.centroid),
        4,
    )
