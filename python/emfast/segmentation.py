"""Instances from what networks predict: the decoders of the literature, as small compositions of emfast's steps.

Every decoder is a function of arrays whose parameters have defaults and ranges; :func:`ranges` lists them, so that a
search over them needs to know nothing else. Probabilities are floats from 0 to 1, or uint8 where 255 means 1. Axes are
(z, y, x) or (y, x). Results come back in the library of the input.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, get_type_hints

import numpy as np

from ._arrays import take
from ._options import number_of
from .components import connected_components
from .fragments import watershed
from .graphs import region_graph
from .labels import dust, fill_holes, refit, remap, renumber, unique
from .labels import mask as mask_ids
from .morphology import dilate, erode
from .seeds import seeded_watershed
from .trees import agglomerate

__all__ = [
    "Between",
    "boundary_contour_watershed",
    "consensus",
    "distance_threshold",
    "link_slices",
    "ranges",
    "seeds_grow",
    "segment_affinities",
    "smooth",
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
    threshold = number_of(threshold, "threshold")
    _finite(distance, "distance")
    return _components(distance > threshold, connectivity, below)


def segment_affinities(
    affinities: Any,
    *,
    threshold: Annotated[float | Sequence[float], Between(0.0, 1.0)] = 0.5,
    score: str = "mean",
    low: Probability = 0.1,
    high: Probability = 0.98,
    plateau: str = "strict",
    mask: Any = None,
    per_section: bool = False,
) -> Any:
    """Segments from affinities in one call: watershed, region graph, agglomeration, cut.

    Parameters
    ----------
    affinities : (3, z, y, x) or (2, y, x) array of uint8, float16 or float32
        Nearest affinities, as :func:`emfast.watershed` takes them.
    threshold : float, or a sequence of them
        Segments are merged while their score is this or more.
    score : str
        Of two touching segments, as :func:`emfast.agglomerate` names it.
    low, high, plateau, mask, per_section
        As in :func:`emfast.watershed`. Pieces of one section each are merged across sections all the same.

    Returns
    -------
    labels : (z, y, x) or (y, x) array of uint32, uint64 beyond 2**32 - 2 voxels; a list of them for several thresholds
        Numbered by first appearance.

    See Also
    --------
    watershed, region_graph, agglomerate : the steps, where more can be chosen

    Examples
    --------
    >>> import numpy as np, emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0.1]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.segment_affinities(affinities, threshold=0.5)
    array([[1, 1, 2, 2, 2]], dtype=uint32)
    """
    several = np.ndim(threshold) > 0
    thresholds: list[Any] = list(threshold) if several else [threshold]  # type: ignore[arg-type]
    if not thresholds:
        raise ValueError("threshold must be from 0 to 1, one or several, got none")
    thresholds = [number_of(t, "threshold", 0, 1) for t in thresholds]
    fragments = watershed(affinities, low=low, high=high, plateau=plateau, mask=mask, per_section=per_section)
    graph = region_graph(affinities, fragments, histogram="median" in score or "quantile" in score)
    tree = agglomerate(graph, score=score, until=min(thresholds))
    found = []
    for t in thresholds:
        old, names = tree.cut(t)
        _, ranks = np.unique(names, return_inverse=True)  # names are smallest fragments: their order is appearance
        found.append(remap(fragments, (old, (ranks + 1).astype(old.dtype)), missing=0))
    return found if several else found[0]


def boundary_contour_watershed(
    probability: Any,
    contour: Any,
    *,
    distance: Any = None,
    seed: Probability = 0.9,
    seed_contour: Probability = 0.8,
    seed_distance: Distance = 0.5,
    inside: Probability = 0.85,
    inside_distance: Distance = 0.0,
    flood: str = "probability",
    connectivity: int = 6,
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """Instances from masks and their contours, and from distances where a network gives them.

    Seeds are the components of what is surely inside and no contour; they grow over what is inside, most probable
    voxels first. (Wei et al. 2020; with ``distance``, Lin et al. 2021.)

    Parameters
    ----------
    probability : (z, y, x) or (y, x) array of uint8 or floats
        Of being inside an object.
    contour : array of uint8 or floats, of the same shape
        Probability of lying at the contour of an object.
    distance : array of floats, of the same shape, optional
        Signed distance to the contour, positive inside, -1 to 1.
    seed, seed_contour, seed_distance : float
        Seeds have at least the probability ``seed``, less than ``seed_contour`` of being contour, and a distance of
        more than ``seed_distance``.
    inside, inside_distance : float
        Objects have at least the probability ``inside`` and a distance of more than ``inside_distance``.
    flood : {"probability", "distance"}
        What is flooded from its peaks.
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
    seed_size : int
        Seeds of fewer voxels are dropped.
    below : int
        Objects of fewer voxels are dropped.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> inside = np.array([[0.99, 0.95, 0.9, 0.95, 0.99]])
    >>> contour = np.array([[0.1, 0.4, 0.9, 0.4, 0.1]])
    >>> emfast.segmentation.boundary_contour_watershed(inside, contour)
    array([[1, 1, 1, 2, 2]], dtype=uint8)
    """
    if flood not in ("probability", "distance"):
        raise ValueError(f'flood must be "probability" or "distance", got {flood!r}')
    if flood == "distance" and distance is None:
        raise ValueError('flood="distance" needs distance')
    probability, contour = probability_of(probability, "probability"), probability_of(contour, "contour")
    _same_shape(probability, contour, "contour")
    seeds = at_least(probability, seed, "seed") & ~at_least(contour, seed_contour, "seed_contour")
    mask = at_least(probability, inside, "inside")
    if distance is not None:
        _same_shape(probability, distance, "distance")
        _finite(distance, "distance")
        seeds, mask = seeds & (distance > seed_distance), mask & (distance > inside_distance)
    marks = _as(_components(seeds, connectivity, seed_size), "int64")
    height = _height(probability) if flood == "probability" else _as(-distance, "float32")
    labels = seeded_watershed(height, marks, mask=mask, connectivity=connectivity)
    return _sized(labels, below)


def seeds_grow(
    probability: Any,
    contour: Any,
    *,
    seed: Probability = 0.5,
    seed_contour: Probability = 0.5,
    inside: Probability = 0.5,
    radius: float = math.inf,
    spacing: Sequence[float] = (1, 1, 1),
    connectivity: int = 6,
    seed_size: Voxels = 0,
) -> Any:
    """Instances from masks and contours: seeds as components, each grown to what lies nearest to it.

    (Li et al. 2022.)

    Parameters
    ----------
    probability, contour : (z, y, x) or (y, x) arrays of uint8 or floats
        Of being inside an object, and of lying at its contour.
    seed, seed_contour : float
        Seeds have at least the probability ``seed`` and less than ``seed_contour`` of being contour.
    inside : float
        Objects have at least this probability.
    radius : float
        Seeds grow so far at most, in nanometres.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
    seed_size : int
        Seeds of fewer voxels are dropped.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> inside = np.array([[0.9, 0.8, 0.7, 0.8, 0.9, 0.1]])
    >>> contour = np.array([[0.1, 0.2, 0.9, 0.8, 0.1, 0.9]])
    >>> emfast.segmentation.seeds_grow(inside, contour)
    array([[1, 1, 1, 2, 2, 0]], dtype=uint8)
    """
    probability, contour = probability_of(probability, "probability"), probability_of(contour, "contour")
    _same_shape(probability, contour, "contour")
    seeds = at_least(probability, seed, "seed") & ~at_least(contour, seed_contour, "seed_contour")
    labels = dilate(_components(seeds, connectivity, seed_size), radius=radius, spacing=spacing)
    return renumber(labels * at_least(probability, inside, "inside"))[0]


def smooth(
    labels: Any,
    *,
    opening: Annotated[float, Between(0.0, 100.0)] = 0.0,
    closing: Annotated[float, Between(0.0, 100.0)] = 0.0,
    gap: Annotated[int, Between(0, 3)] = 0,
    holes: bool = False,
    spacing: Sequence[float] = (1, 1, 1),
) -> Any:
    """Tidy the shapes of labels: opening, then closing, then gaps along z, then holes. No label takes another's voxel.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    opening : float
        Remove of each label what no ball of this radius (nm) inside it covers.
    closing : float
        Grow labels by this radius (nm) and shrink them again: fills clefts and small holes with background.
    gap : int
        Background of at most so many sections between two voxels of one label, in one column, becomes that label.
    holes : bool
        Fill the holes of every label.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    labels : array of the same shape and dtype

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.smooth(np.array([[4, 4, 4, 0, 4, 4, 4]]), closing=1)
    array([[4, 4, 4, 4, 4, 4, 4]])
    """
    take(labels, "labels")
    if opening:
        kernel = erode(labels, radius=opening, spacing=spacing)
        grown = dilate(kernel, radius=opening, spacing=spacing)
        labels = labels * (grown == labels)
    if closing:
        grown = dilate(labels, radius=closing, spacing=spacing)
        kept = erode(grown, radius=closing, spacing=spacing)
        labels = labels + kept * (labels == 0)
    if gap:
        labels = _close_gaps(labels, gap)
    return fill_holes(labels) if holes else labels


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
    if not isinstance(size, (int, np.integer)) or size < 1 or size % 2 == 0:
        raise ValueError(f"size must be an odd number of sections, got {size!r}")
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
    overlap = number_of(overlap, "overlap", 0, 1)
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
    """Where probabilities reach the threshold; v of uint8 counts as v / 255 exactly, the threshold as its decimals."""
    threshold = number_of(threshold, name, 0, 1)
    if str(probability.dtype).endswith("uint8"):
        return probability >= math.ceil(Fraction(repr(threshold)) * 255)
    return probability >= threshold


def _height(probability: Any) -> Any:
    """A map that is low where the probability is high, in a dtype the watershed takes."""
    if str(probability.dtype).endswith("uint8"):
        return 255 - probability
    return _as(-probability, "float32")


def _as(array: Any, dtype: str) -> Any:
    if hasattr(array, "astype"):
        return array.astype(dtype)
    return array.to(getattr(sys.modules["torch"], dtype))


def _same_shape(array: Any, other: Any, name: str) -> None:
    if tuple(array.shape) != tuple(other.shape):
        raise ValueError(f"{name} must have the shape of probability {tuple(array.shape)}, got {tuple(other.shape)}")


def _sized(labels: Any, below: int) -> Any:
    """Labels of at least so many voxels, numbered by first appearance in the smallest dtype that holds them."""
    if below:
        ids, counts = unique(labels, counts=True)
        labels = mask_ids(labels, ids[counts < below])
    return refit(renumber(labels)[0])


def _close_gaps(labels: Any, gap: int) -> Any:
    values = take(labels, "labels", dims=(3,))
    out = values.library.to_numpy(values.array).copy()
    last, age = (
        np.zeros(out.shape[1:], out.dtype),
        np.full(out.shape[1:], gap + 1),
    )  # the label seen last, and how long ago
    for z in range(len(out)):
        here = out[z] != 0
        between = here & (out[z] == last) & (age > 0) & (age <= gap)
        for back in range(1, min(gap, z) + 1):
            fill = between & (age >= back)
            out[z - back][fill] = last[fill]
        last, age = np.where(here, out[z], last), np.where(here, 0, age + 1)
    return values.give(values.library.from_numpy(out))


def _components(inside: Any, connectivity: int, below: int) -> Any:
    labels = connected_components(inside, connectivity=connectivity)
    return renumber(dust(labels, below=below, connectivity=connectivity))[0] if below else labels


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
