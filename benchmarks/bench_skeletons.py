"""Centre lines of cells and of blobs, without a peer: those at hand thin a mask, which gives another line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast

from .harness import Case, DeviceCase
from .inputs import SPACING, Inputs


def cases(inputs: Inputs) -> Iterator[Case]:
    side = min(inputs.size, 128)
    for name, labels in (("blobs", inputs.blobs), ("cells", inputs.cells)):
        part = np.ascontiguousarray(labels[(slice(side),) * 3])
        yield Case(
            "skeletons",
            f"skeletonize {name}, {side}³",
            part.size,
            lambda part=part: emfast.skeletonize(part, spacing=SPACING),
            [],
            lambda one_thread, more: bool(one_thread == more),
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """Lines are searched on the host."""
    yield from ()
