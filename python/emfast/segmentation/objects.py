"""From instances to better ones: their shapes, their sections, and several opinions about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .._arrays import take
from .._options import number_of, spacing_of
from ..components import connected_components
from ..distance import edt
from ..labels import each, fill_holes, mask, refit, renumber, unique
from ..morphology import dilate, erode
from ..seeds import distance_peaks, h_maxima, seeded_watershed
from ._shared import Between, Nanometres, Voxels, whole_number


def smooth(
    labels: Any,
    *,
    opening: Nanometres = 0.0,
    closing: Nanometres = 0.0,
    gap: Annotated[int, Between(0, 3)] = 0,
    run: Annotated[int, Between(1, 5)] = 1,
    holes: bool = False,
    spacing: Sequence[float] = (1, 1, 1),
) -> Any:
    """Tidy the shapes of labels: opening, closing, continuity along z, holes, in this order.

    No label takes another's voxel. ``morphology`` is the same function.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    opening : float
        Remove of each label what no ball of this radius (nm) inside it covers.
    closing : float
        Grow labels by this radius (nm) and shrink them again: fills clefts and small holes with background.
    gap : int
        Background of at most so many sections between two voxels of one label, in one column, becomes that label.
    run : int
        After that, a label that has fewer sections than these in a row, in one column, is removed there.
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
    gap, run = whole_number(gap, "gap", 0), whole_number(run, "run", 0)
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
    if run > 1:
        labels = _drop_runs(labels, run)
    return fill_holes(labels) if holes else labels


morphology = smooth


def filter_size(labels: Any, *, below: Voxels = 0, above: int | None = None) -> Any:
    """Remove labels by their number of voxels, connected or not.

    Parameters
    ----------
    labels : array of integers or bool
    below : int
        Labels of fewer voxels become 0.
    above : int, optional
        And so do those of more.

    Returns
    -------
    labels : array of the same shape and dtype
        With the ids they had.

    See Also
    --------
    emfast.dust : by connected parts

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.segmentation.filter_size(np.array([[7, 7, 0, 3, 7, 9, 9]]), below=2, above=2)
    array([[0, 0, 0, 0, 0, 9, 9]])
    """
    take(labels, "labels", dims=None)
    below = whole_number(below, "below", 0)
    most = number_of(above, "above", 0) if above is not None else float("inf")
    ids, counts = unique(labels, counts=True)
    return mask(labels, ids[(counts < below) | (counts > most)])


def split_by_shape(
    labels: Any,
    *,
    depth: Nanometres = 1.0,
    separation: Nanometres = 0.0,
    below: Voxels = 0,
    spacing: Sequence[float] = (1, 1, 1),
) -> Any:
    """Split labels where they are narrow: blobs that touch become objects of their own.

    Each label is split by itself; what is not connected is apart. Parts are the maxima of the distance to the
    boundary that stand out by ``depth`` or more from the neck towards a higher one, grown by a watershed on the
    distance.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    depth : float, above 0
        In nanometres. How much narrower, in radius, a neck is than the thinner part.
    separation : float
        Of two maxima that are closer than this the lower one is dropped; in nanometres.
    below : int
        A label whose split would leave a part of fewer voxels stays whole.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> blobs = np.zeros((7, 13), int)
    >>> blobs[1:6, 1:6] = blobs[1:6, 7:12] = blobs[3, 6] = 5
    >>> emfast.segmentation.split_by_shape(blobs)[3]
    array([0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0], dtype=uint8)
    """
    values = take(labels, "labels")
    image = values.library.to_numpy(values.array)
    nm = spacing_of(spacing, image.ndim)
    depth, separation = number_of(depth, "depth", 0), number_of(separation, "separation", 0)
    if depth == 0:
        raise ValueError("depth must be above 0, got 0")
    distance = edt(image, spacing=nm, border=True)
    out, count = np.zeros(image.shape, np.uint64), 0
    for _, box, inside in each(image):
        height = np.where(inside, distance[box], np.float32(0))
        parts = _parts(height, inside, depth, separation, nm)
        if np.bincount(parts[inside])[1:].min() < below:
            parts = inside.astype(parts.dtype)
        out[box] += np.where(inside, parts + count, 0).astype(np.uint64)
        count += int(parts.max())
    return values.give(values.library.from_numpy(refit(renumber(out)[0])))


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


def _drop_runs(labels: Any, least: int) -> Any:
    values = take(labels, "labels", dims=(3,))
    stack = values.library.to_numpy(values.array)
    same = stack[1:] == stack[:-1]
    before, after = np.ones(stack.shape, np.int64), np.ones(stack.shape, np.int64)  # sections in a row, up to here
    for z in range(1, len(stack)):
        before[z] += before[z - 1] * same[z - 1]
        after[-1 - z] += after[-z] * same[-z]
    return values.give(values.library.from_numpy(np.where(before + after - 1 >= least, stack, stack.dtype.type(0))))


def _parts(
    distance: np.ndarray, inside: np.ndarray, depth: float, separation: float, spacing: tuple[float, ...]
) -> np.ndarray:
    """One object, split: parts from 1 inside."""
    high = h_maxima(distance, depth, mask=inside)
    seeds = connected_components(high, connectivity=26).astype(np.int64)
    for top in np.unique(distance[high]):
        same = np.unique(seeds[high & (distance == top)])
        if len(same) > 1:  # none is higher than the other: they are one if the neck between them is not deep
            near = connected_components(inside & (top - distance.astype(np.float64) < depth), connectivity=26)
            for seed in same.tolist():
                plateau = seeds == seed
                seeds[plateau] = seeds[near == near[plateau][0]].max()
    if separation:
        peaks = distance_peaks(np.where(high, distance, 0), separation=separation, spacing=spacing, mask=inside)
        seeds[~np.isin(seeds, seeds[peaks != 0])] = 0
    return seeded_watershed(-distance, seeds, mask=inside, connectivity=26)


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
