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
from ..segmentation._shared import Between, Distance, Nanometres, Probability, Voxels, cast, probability_of, sized

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
    "together",
]

Outputs = Mapping[str, Any]
_STEP = 2.0**-20  # means of affinities are in steps of 2**-24


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

    Then segments are merged, best first, while the mean of all affinities between two of them is above ``merge``. What
    can take no part is left out, which changes no answer and spares most of the memory that a background would take:
    of the watershed voxels that nothing attracts, of merging pieces without any affinity above ``merge`` to another. A
    single voxel within a cell, which far ones hold, so is merged into it as any other piece.
    """
    both, every = together(outputs, ("affinities", "long")), (*NEAREST, *offsets)
    drawn = _ends(both[: len(NEAREST)], NEAREST, near)
    pieces = segmentation.mutex(both, every, near=near, mask=drawn)
    pieces = pieces.astype(np.uint32 if pieces.size < 2**31 else np.uint64)
    first = int(pieces.max(initial=0)) + 1
    pieces[~drawn] = np.arange(first, first + np.count_nonzero(~drawn), dtype=pieces.dtype)
    joined = np.zeros(int(pieces.max(initial=0)) + 1, bool)
    joined[pieces[_ends(both, every, merge - _STEP, pieces)]] = True
    inside = joined[pieces]
    merged = segmentation.gasp(both, every, fragments=np.where(inside, pieces, 0), bias=merge)
    return sized(np.where(inside, merged, pieces + merged.max(initial=0)), below)


def _ends(affinities: np.ndarray, offsets: Sequence[Sequence[int]], level: float, pieces: Any = None) -> np.ndarray:
    """Voxels at the ends of edges above a level; with pieces, of edges between two of them."""
    found = np.zeros(affinities.shape[1:], bool)
    for channel, step in zip(affinities, offsets, strict=True):
        here, there = (_beside(found.shape, ahead) for ahead in (step, [-s for s in step]))
        above = channel[here] > np.float32(level)
        if pieces is not None:
            above &= pieces[here] != pieces[there]
        found[here] |= above
        found[there] |= above
    return found


def _beside(shape: Sequence[int], step: Sequence[int]) -> tuple[slice, ...]:
    """The voxels that have another a step away."""
    return tuple(slice(max(-s, 0), max(n - max(s, 0), 0)) for s, n in zip(step, shape, strict=True))


def together(outputs: Outputs, heads: Sequence[str]) -> np.ndarray:
    """All channels of several heads, from 0 to 1, in float32."""
    shape = outputs[heads[0]].shape[1:]
    out = np.empty((sum(len(outputs[head]) for head in heads), *shape), np.float32)
    channels = ((head, channel) for head in heads for channel in range(len(outputs[head])))
    for into, (head, channel) in zip(out, channels, strict=True):
        into[...] = np.asarray(probability(outputs, head, channel))
    return out


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
    affinities = outputs[head]
    if str(affinities.dtype).endswith("float64"):
        affinities = cast(affinities, "float32")
    return segmentation.segment_affinities(
        affinities, threshold=threshold, low=low, high=high, score=score, per_section=per_section
    )
