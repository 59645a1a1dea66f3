"""What decoders of several recipes share: from outputs by head to instances.

Outputs are arrays (c, z, y, x) by head, activated. What is here composes :mod:`emfast.segmentation`; parameters that a
recipe gives on have their ranges there, so that :func:`emfast.segmentation.ranges` finds them in its ``decode``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import segmentation
from .._options import integer_of
from ..components import connected_components
from ..edges import NEAREST
from ..labels import renumber
from ..segmentation._shared import Between, Distance, Nanometres, Probability, Voxels, cast, probability_of

__all__ = [
    "Between",
    "Distance",
    "Nanometres",
    "Outputs",
    "Probability",
    "Voxels",
    "alone_too",
    "as_probability",
    "channel_of",
    "classes_of",
    "components",
    "kept",
    "mutex_affinities",
    "nearest_affinities",
    "object_of",
    "objects",
    "probabilities",
    "probability",
    "seeded_by",
]

Outputs = Mapping[str, Any]


def as_probability(values: Any, name: str = "outputs") -> Any:
    """Numbers from 0 to 1; uint8 as shares of 255, in float32."""
    found = probability_of(values, name)
    return cast(found, "float32") / 255 if str(found.dtype).endswith("uint8") else found


def probability(outputs: Outputs, head: str, channel: int = 0) -> Any:
    """A channel of a head, from 0 to 1."""
    return as_probability(outputs[head][channel], f"outputs of {head}")


def probabilities(outputs: Outputs, head: str) -> np.ndarray:
    """All channels of a head, from 0 to 1."""
    return np.stack([np.asarray(probability(outputs, head, channel)) for channel in range(len(outputs[head]))])


def channel_of(count: int, channel: int | None = None, head: str = "mask") -> int:
    """Which of so many channels says where objects are: the one that is named, or the only one, or that behind the
    background's."""
    if channel is not None:
        return integer_of(channel, "channel", 0, count - 1)
    if count > 2:
        raise ValueError(f"channel must be named where there are several classes, got none for {count} in {head}")
    return count - 1


def object_of(outputs: Outputs, head: str = "mask", channel: int | None = None) -> Any:
    """The probability of lying in an object (:func:`channel_of`)."""
    return probability(outputs, head, channel_of(len(outputs[head]), channel, head))


def components(
    outputs: Outputs,
    *,
    head: str = "mask",
    channel: int | None = None,
    threshold: float = 0.5,
    connectivity: int = 6,
    below: int = 0,
) -> Any:
    """Connected components of what is probably an object."""
    return segmentation.threshold_components(
        object_of(outputs, head, channel), threshold=threshold, connectivity=connectivity, below=below
    )


def objects(
    outputs: Outputs,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    channel: int | None = None,
    threshold: Probability = 0.5,
    below: Voxels = 0,
) -> Any:
    """Connected components of head ``mask`` above a threshold.

    Of one class by its ``channel``, where there are several.
    """
    return components(outputs, channel=channel, threshold=threshold, below=below)


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
        probability, 1 - middle, seed=inside, seed_contour=1 - seed, inside=inside
    )
    return alone_too(grown, np.asarray(probability) >= inside, below)


def alone_too(grown: Any, mask: np.ndarray, below: int) -> Any:
    """Instances, and as further ones the components of a mask that none of them reached."""
    found = np.asarray(grown, np.int64)
    parts = np.asarray(connected_components(mask), np.int64)
    reached = np.zeros(parts.max(initial=0) + 1, bool)
    reached[parts[found > 0]] = True
    return kept(np.where(reached[parts], found, parts + (parts > 0) * found.max(initial=0)), below)


def mutex_affinities(
    outputs: Outputs, offsets: Sequence[Sequence[int]], *, near: float, merge: float, below: int
) -> Any:
    """Mutex watershed: head ``affinities`` has nearest ones, that join; ``long`` those at offsets, that keep apart.

    Then segments are merged, best first, while the mean of all affinities between two of them is above ``merge``.
    """
    both = np.concatenate([probabilities(outputs, head) for head in ("affinities", "long")])
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
