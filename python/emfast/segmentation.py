"""Instances from what networks predict: the decoders of the literature, as small compositions of emfast's steps.

Every decoder is a function of arrays whose parameters have defaults and ranges; :func:`ranges` lists them, so that a
search over them needs to know nothing else. Probabilities are floats from 0 to 1, or uint8 where 255 means 1. Axes are
(z, y, x) or (y, x). Results come back in the library of the input.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, get_type_hints

import numpy as np

from ._arrays import take
from .components import connected_components
from .labels import dust, renumber

__all__ = [
    "Between",
    "consensus",
    "distance_threshold",
    "link_slices",
    "ranges",
    "threshold_components",
    "z_median",
]


@dataclass(frozen=True)
class Between:
    """The range of a parameter, ends included, as a search should try it."""

    low: float
    high: float


Probability = Annotated[float, Between(0.0, 1.0)]
Distance = Annotated[float, Between(-1.0, 1.0)]
Voxels = Annotated[int, Between(0, 2000)]


def ranges(decoder: Callable[..., Any]) -> dict[str, tuple[float, float, Any]]:
    """The parameters of a decoder that a search may vary.

    Parameters
    ----------
    decoder : function of this module

    Returns
    -------
    dict
        Name -> (lowest, highest, default).

    Examples
    --------
    >>> import emfast
    >>> emfast.segmentation.ranges(emfast.segmentation.threshold_components)
    {'threshold': (0.0, 1.0, 0.5), 'below': (0, 2000, 0)}
    """
    hints = get_type_hints(decoder, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(decoder).parameters.items():
        for note in getattr(hints.get(name), "__metadata__", ()):
            if isinstance(note, Between):
                found[name] = (note.low, note.high, parameter.default)
    return found


def threshold_components(
    probability: Any, *, threshold: Probability = 0.5, connectivity: int = 6, below: Voxels = 0
) -> Any:
    """Connected components of what is at least as probable as the threshold.

    Parameters
    ----------
    probability : (z, y, x) or (y, x) array of uint8 or floats
    threshold : float, 0 to 1
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
    below : int
        Components of fewer voxels are removed.

    Returns
    -------
    labels : array of the same shape, the smallest unsigned integers that hold the count

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.threshold_components(np.array([[0.9, 0.2, 0.7, 0.6]]), threshold=0.6)
    array([[1, 0, 2, 2]], dtype=uint8)
    """
    inside = at_least(probability_of(probability, "probability"), threshold, "threshold")
    return _components(inside, connectivity, below)


def distance_threshold(distance: Any, *, threshold: Distance = 0.0, connectivity: int = 6, below: Voxels = 0) -> Any:
    """Connected components of each class where its signed distance exceeds the threshold.

    Parameters
    ----------
    distance : (z, y, x), (y, x) or (classes, z, y, x) array of floats
        Signed distances, positive inside, as networks predict them after ``signed_distance(…, clip=…)``: -1 to 1.
    threshold : float
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
    below : int
        Components of fewer voxels are removed.

    Returns
    -------
    labels : array of the shape of ``distance``, or a list of them, one per class, where there is an axis of classes

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.distance_threshold(np.array([[0.3, -0.2, 0.1]]))
    array([[1, 0, 2]], dtype=uint8)
    """
    values = take(distance, "distance", kinds="f", dims=(2, 3, 4))
    if len(values.shape) == 4:
        return [
            distance_threshold(one, threshold=threshold, connectivity=connectivity, below=below) for one in distance
        ]
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be finite, got {threshold}")
    _finite(distance, "distance")
    return _components(distance > threshold, connectivity, below)


def z_median(probability: Any, *, size: Annotated[int, Between(1, 9)] = 3) -> Any:
    """Median along z over a sliding window of sections, which evens out what single sections predict.

    Parameters
    ----------
    probability : (z, y, x) array of any real dtype, on the host
    size : int
        Sections in the window, odd. At the ends of the stack the window is cut; of an even number of values the
        lower one in the middle is taken, so every result is one of the values.

    Returns
    -------
    array of the same shape and dtype

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.z_median(np.array([1, 9, 2, 3], "uint8").reshape(4, 1, 1)).ravel()
    array([1, 2, 3, 2], dtype=uint8)
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be an odd number of sections, got {size}")
    values = take(probability, "probability", kinds="biuf", dims=(3,))
    stack = values.library.to_numpy(values.array)
    out = np.empty_like(stack)
    reach = size // 2
    for z in range(len(stack)):
        window = stack[max(0, z - reach) : z + reach + 1]
        out[z] = np.partition(window, (len(window) - 1) // 2, axis=0)[(len(window) - 1) // 2]
    return values.give(values.library.from_numpy(out))


def link_slices(labels: Any, *, overlap: Annotated[float, Between(0.0, 1.0)] = 0.25) -> Any:
    """Objects of a stack from the objects of its sections, linked where they overlap.

    Two objects of consecutive sections are linked if their intersection is at least ``overlap`` of their union.
    Of the pairs that could be, the one of largest share is taken first (equal ones by first appearance of the upper,
    then of the lower object), and every object has at most one partner on each side.

    Parameters
    ----------
    labels : (z, y, x) array of integers
        0 is background; ids of different sections have nothing to do with each other.
    overlap : float, 0 to 1
        Intersection over union; objects that do not touch are never linked.

    Returns
    -------
    labels : (z, y, x) array of uint32
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> stack = np.array([[[1, 1, 0, 2]], [[7, 7, 7, 3]]])
    >>> emfast.segmentation.link_slices(stack)
    array([[[1, 1, 0, 2]],
    <BLANKLINE>
           [[1, 1, 1, 2]]], dtype=uint32)
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap must be from 0 to 1, got {overlap}")
    values = take(labels, "labels", dims=(3,))
    stack = values.library.to_numpy(values.array)
    out = np.zeros(stack.shape, np.uint32)
    names, before, count = np.zeros(1, np.uint32), np.zeros(stack.shape[1:], np.int64), 0
    for z, section in enumerate(stack):
        here = renumber(section)[0].astype(np.int64)
        new_names = np.zeros(int(here.max(initial=0)) + 1, np.uint32)
        for a, b in _partners(before, here, overlap):
            new_names[b] = names[a]
        fresh = np.flatnonzero(new_names[1:] == 0) + 1
        new_names[fresh] = np.arange(count + 1, count + 1 + len(fresh))
        count += len(fresh)
        out[z] = new_names[here]
        names, before = new_names, here
    return values.give(values.library.from_numpy(out))


def consensus(segmentations: Sequence[Any], *, connectivity: int = 6) -> Any:
    """What all segmentations agree on: voxels stay together where each of them has them together.

    Parameters
    ----------
    segmentations : sequence of label arrays of one shape, (z, y, x) or (y, x)
        A voxel that is background in one of them is background.
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
        Pieces that are left without a path between them become objects of their own.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.consensus([np.array([[1, 1, 1, 2]]), np.array([[5, 5, 6, 6]])])
    array([[1, 1, 2, 3]], dtype=uint8)
    """
    if not len(segmentations):
        raise ValueError("segmentations must hold at least one array of labels, got none")
    operands = [take(s, f"segmentations[{k}]") for k, s in enumerate(segmentations)]
    together: np.ndarray | None = None
    for k, values in enumerate(operands):
        if values.shape != operands[0].shape:
            raise ValueError(
                f"segmentations must have one shape, got {operands[0].shape} and, at place {k}, {values.shape}"
            )
        here = renumber(values.library.to_numpy(values.array))[0].astype(np.uint64)
        if together is None:
            together = here
            continue
        both = together * (here.max(initial=0) + np.uint64(1)) + here
        both[(together == 0) | (here == 0)] = 0
        together = renumber(both)[0]
    first = operands[0]
    joined = connected_components(together, connectivity=connectivity)
    return first.give(first.library.from_numpy(joined))


# ---- what decoders share


def probability_of(array: Any, name: str) -> Any:
    """The array as it is, if it holds probabilities: uint8, or floats from 0 to 1."""
    values = take(array, name, kinds="uf")
    if values.dtype.kind == "u":
        if values.dtype != np.uint8:
            raise TypeError(f"{name} must be uint8 or floats, got {values.dtype}")
        return array
    if values.size and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        raise ValueError(f"{name} must be from 0 to 1, got values from {float(array.min())} to {float(array.max())}")
    return array


def at_least(probability: Any, threshold: float, name: str) -> Any:
    """Where probabilities reach the threshold; v of uint8 counts as v / 255, exactly."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {threshold}")
    if str(probability.dtype).endswith("uint8"):
        return probability >= math.ceil(Fraction(threshold) * 255)
    return probability >= threshold


def _components(inside: Any, connectivity: int, below: int) -> Any:
    labels = connected_components(inside, connectivity=connectivity)
    return renumber(dust(labels, below=below))[0] if below else labels


def _finite(array: Any, name: str) -> None:
    low, high = (float(array.min()), float(array.max())) if math.prod(array.shape) else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} must be finite, got values from {low} to {high}")


def _partners(above: np.ndarray, below: np.ndarray, overlap: float) -> list[tuple[int, int]]:
    """Pairs of objects of two sections, each in one pair at most, best shares first."""
    wide = int(below.max(initial=0)) + 1
    both = (above > 0) & (below > 0)
    pairs, shared = np.unique(above[both] * wide + below[both], return_counts=True)
    a, b = pairs // wide, pairs % wide
    union = np.bincount(above.ravel())[a] + np.bincount(below.ravel())[b] - shared
    share = shared / union  # equal shares are equal floats, other shares differ while unions are below 2**26
    found, used_a, used_b = [], set(), set()
    for k in np.lexsort((b, a, -share)).tolist():
        if share[k] >= overlap and a[k] not in used_a and b[k] not in used_b:
            found.append((int(a[k]), int(b[k])))
            used_a.add(a[k])
            used_b.add(b[k])
    return found
