"""Where the errors are, beside the contingency table of the same volumes: nobody else lists them in 3D."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast
from emfast import metrics

from .harness import Case, Contender, DeviceCase, cupy_or_none
from .inputs import SPACING, Inputs


def segmented(cells: np.ndarray) -> np.ndarray:
    """A segmentation of cells with errors: borders moved by a voxel or two, an eighth of the cells cut every 48
    sections, an eighth merged with another."""
    labels = np.roll(cells, (0, 2, 1), (0, 1, 2))
    top = cells.max() + cells.dtype.type(1)
    cut = (labels & 7) == 1
    for z in range(48, len(labels), 96):
        labels[z : z + 48] += cut[z : z + 48] * top
    return np.where((labels & 7) == 2, labels + labels.dtype.type(1), labels)


def _same_voxels(ours: Any, theirs: Any) -> bool:
    """Of a list of errors, its table is the peer's."""
    if isinstance(theirs, np.ndarray):
        return bool(np.array_equal(ours, theirs))
    ours, theirs = (getattr(found, "table", found) for found in (ours, theirs))
    return bool(ours == theirs)


def cases(inputs: Inputs) -> Iterator[Case]:
    pairs = {
        "moved, cut and merged cells": (inputs.cells, segmented(inputs.cells)),
        "the same, 64-bit ids": (inputs.cells64, segmented(inputs.cells).astype(np.uint64) * np.uint64(3**40)),
    }
    if inputs.size <= 256:
        pairs["fragments"] = inputs.cells, inputs.fragments
    for name, (truth, labels) in pairs.items():
        table = Contender("emfast.contingency", lambda t=truth, s=labels: emfast.contingency(t, s))
        shape = "x".join(map(str, truth.shape))
        yield Case(
            "sites",
            f"sites, {name}, {shape}",
            truth.size,
            lambda t=truth, s=labels: metrics.error_sites(t, s),
            [table],
            _same_voxels,
        )
        yield Case(
            "sites",
            f"compare, {name}, {shape}",
            truth.size,
            lambda t=truth, s=labels: emfast.compare(t, s, spacing=SPACING),
            [table],
            _same_voxels,
        )
        errors = emfast.compare(truth, labels, spacing=SPACING)
        yield Case(
            "sites",
            f"error_map, {name}, {shape}",
            truth.size,
            lambda t=truth, s=labels, e=errors: metrics.error_map(t, s, e),
            [],
            _same_voxels,
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    cupy = cupy_or_none()
    labels = segmented(inputs.cells)
    truth_there, labels_there = cupy.asarray(inputs.cells), cupy.asarray(labels)
    yield DeviceCase(
        "sites",
        "sites, moved, cut and merged cells",
        labels.size,
        lambda: metrics.error_sites(truth_there, labels_there),
        [],
        lambda: metrics.error_sites(inputs.cells, labels),
        lambda ours, theirs: bool(ours == theirs),
        8,
    )
