"""What decoders of several recipes share: from outputs by head to instances.

Outputs are arrays (c, z, y, x) by head, activated. What is here composes :mod:`emfast.segmentation`; parameters that a
recipe gives on have their ranges there, so that :func:`emfast.segmentation.ranges` finds them in its ``decode``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import segmentation
from ..components import connected_components
from ..edges import NEAREST
from ..labels import renumber
from ..segmentation._shared import Between, Distance, Nanometres, Probability, Voxels

__all__ = [
    "Between",
    "Distance",
    "Nanometres",
    "Outputs",
    "Probability",
    "Voxels",
    "classes_of",
    "components",
    "kept",
    "mutex_affinities",
    "nearest_affinities",
    "object_of",
    "seeded_by",
]

Outputs = Mapping[str, Any]


def object_of(outputs: Outputs, head: str = "mask") -> Any:
    """The probability of lying in an object: the only channel, or that behind the background's."""
    return outputs[head][-1]


def components(
    outputs: Outputs, *, head: str = "mask", threshold: float = 0.5, connectivity: int = 6, below: int = 0
) -> Any:
    """Connected components of what is probably an object."""
    return segmentation.threshold_components(
        object_of(outputs, head), threshold=threshold, connectivity=connectivity, below=below
    )


def classes_of(outputs: Outputs, head: str) -> np.ndarray:
    """The most probable class of each voxel, by number: 0 is the background's channel."""
    classes: np.ndarray = np.asarray(outputs[head]).argmax(0).astype(np.uint8)
    return classes


def kept(labels: Any, below: int) -> Any:
    """Objects of at least so many voxels, numbered by first appearance."""
    return renumber(segmentation.filter_size(labels, below=below))[0]


def seeded_by(probability: Any, middle: Any, *, seed: float, inside: float, below: int) -> Any:
    """Instances that grow from the components of their middles over what is probably an object; objects without such a
    middle are instances of their own."""
    grown = segmentation.boundary_contour_watershed(
        probability, 1 - middle, seed=0.0, seed_contour=1 - seed, inside=inside
    )
    grown = np.asarray(grown, np.int64)
    rest = connected_components((np.asarray(probability) >= inside) & (grown == 0)).astype(np.int64)
    together = np.where(rest > 0, rest + grown.max(initial=0), grown)
    return kept(together, below)


def mutex_affinities(
    outputs: Outputs, offsets: Sequence[Sequence[int]], *, near: float, merge: float, below: int
) -> Any:
    """Mutex watershed: head ``affinities`` has nearest ones, that join; ``long`` those at offsets, that keep apart.

    Then segments are merged, best first, while the mean of all affinities between two of them is above ``merge``.
    """
    both = np.concatenate([np.asarray(outputs["affinities"]), np.asarray(outputs["long"])])
    every = (*NEAREST, *offsets)
    fragments = segmentation.mutex(both, every, near=near)
    return segmentation.gasp(both, every, fragments=fragments, bias=merge, below=below)


def nearest_affinities(
    outputs: Outputs,
    *,
    head: str = "affinities",
    threshold: float = 0.5,
    low: float = 0.1,
    high: float = 0.98,
    score: str = "mean",
    per_section: bool = False,
) -> Any:
    """Watershed of nearest affinities, and agglomeration of the fragments."""
    return segmentation.segment_affinities(
        outputs[head], threshold=threshold, low=low, high=high, score=score, per_section=per_section
    )
