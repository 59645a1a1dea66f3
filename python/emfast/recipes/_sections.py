"""What recipes for single sections share: levels in the plane, and decoders that take sections for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .. import segmentation
from .._options import number_of
from ..components import connected_components
from ..labels import dust
from ..nn import Level
from ..seeds import seeded_watershed
from . import _levels
from ._decoders import Between, Outputs, Probability, Voxels, probability

__all__ = ["HALF", "PLANE", "cells", "levels"]

PLANE, HALF = (1, 3, 3), (1, 2, 2)


def levels(*widths: int, **more: Any) -> tuple[Level, ...]:
    """In the plane, each half as fine as the one before."""
    return _levels.levels(*widths, **{"kernel": PLANE, "stride": HALF} | more)


def cells(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    threshold: Probability = 0.5,
    overlap: Annotated[float, Between(0.0, 1.0)] = 0.25,
    least: Annotated[int, Between(1, 200)] = 1,
    below: Voxels = 0,
) -> Any:
    """Cells of each section are what membranes enclose, grown until membranes are thin, as scores of them take it; they
    are linked from section to section where they overlap.

    Cells of fewer than ``least`` voxels in a section do not grow.
    """
    threshold = number_of(threshold, "threshold", 0, 1)
    membrane = np.asarray(probability(outputs, "membrane"), np.float32)
    seeds = np.zeros(membrane.shape, np.int64)
    for inside, section in zip(membrane < threshold, seeds, strict=True):
        section[...] = dust(connected_components(inside, connectivity=4), below=least, connectivity=4)
    grown = seeded_watershed(membrane, seeds, per_section=True)
    return segmentation.filter_size(segmentation.link_slices(grown, overlap=overlap), below=below)
