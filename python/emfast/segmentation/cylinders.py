"""Tubes parted where they meet: a small cylindrical shape decomposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .._arrays import take
from .._options import number_of, spacing_of
from ..labels import each, refit, renumber
from ..seeds import seeded_watershed
from ..skeletons import Skeleton, skeletonize
from ._shared import Between, Voxels, whole_number


def split_cylinders(
    labels: Any,
    *,
    ratio: Annotated[float, Between(1.2, 5.0)] = 2.0,
    window: Annotated[int, Between(2, 50)] = 8,
    bend: Annotated[float, Between(0.0, 90.0)] = 45.0,
    scale: Annotated[float, Between(0.5, 4.0)] = 1.5,
    const: float | None = None,
    below: Voxels = 0,
    spacing: Sequence[float] = (1, 1, 1),
) -> Any:
    """Part labels that are several tubes, such as axons merged by mistake (after DeepACSON, Abdollahzadeh et al. 2021).

    Each label is parted by itself, along its centre lines (:func:`emfast.skeletonize`). Where lines meet, the two that
    go on straightest stay together, then the next two, and the others become parts of their own. Then every line is
    swept: it is cut where the cross-section changes by ``ratio`` or more, between the ``window`` vertices before and
    those after, if both lie farther than a radius from its ends. Voxels go with the nearest vertex inside the label.

    This is a plain relative of the published method: the cross-section at a vertex is the volume of the voxels that go
    with it per length of line, not a fitted contour; where two tubes share a stretch, that is a part of its own, and
    nothing is drawn through it. Every side branch that the skeleton has becomes a part, so it suits tubes without
    spines; raise ``scale``, ``const`` or ``below`` where there are bumps.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    ratio : float, above 1
        Of the larger to the smaller cross-section.
    window : int
        Vertices to either side over which sections and directions are taken.
    bend : float
        The angle, in degrees, by which a line may turn where lines meet; from 0 to 180.
    scale, const
        As of :func:`emfast.skeletonize`: how long side branches are before they count.
    below : int
        Parts of fewer voxels are shared out among the others that they touch, over parts of fewer voxels too.
    spacing : sequence of float
        Nanometres per voxel, in axis order.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.zeros((13, 80), int)
    >>> labels[5:8, 2:40] = labels[1:12, 40:78] = 3
    >>> parts = emfast.segmentation.split_cylinders(labels, const=20)
    >>> parts[6, [5, 35, 45, 75]]
    array([2, 2, 1, 1], dtype=uint8)
    """
    values = take(labels, "labels")
    image = values.library.to_numpy(values.array)
    nm = spacing_of(spacing, image.ndim)
    ratio, bend = number_of(ratio, "ratio", 1), number_of(bend, "bend", 0, 180)
    if ratio == 1:
        raise ValueError("ratio must be above 1, got 1")
    window, below = whole_number(window, "window", 1), whole_number(below, "below", 0)
    lines = skeletonize(image, spacing=nm, scale=scale, const=const)
    out, count = np.zeros(image.shape, np.uint64), 0
    for label, box, inside in each(image):
        line = lines[label]
        vertices = tuple((line.voxels - [s.start for s in box]).T)
        sizes = np.bincount(_nearest(inside, vertices, np.arange(1, len(line) + 1))[inside], minlength=len(line) + 1)
        parts = _parts(line, sizes[1:], ratio, window, math.cos(math.radians(bend)))
        found = _nearest(inside, vertices, parts)
        large = np.bincount(found[inside])[parts] >= below
        if large.any() and not large.all():
            shared = _nearest(inside, tuple(v[large] for v in vertices), parts[large])
            found = np.where(shared == 0, found, shared)  # 0 where no large part can be reached
        out[box] += np.where(inside, found + count, 0).astype(np.uint64)
        count += int(parts.max())
    return values.give(values.library.from_numpy(refit(renumber(out)[0])))


def _nearest(inside: np.ndarray, places: tuple[np.ndarray, ...], names: np.ndarray) -> np.ndarray:
    """The name of the place nearest to each voxel, in steps inside."""
    seeds = np.zeros(inside.shape, np.int64)
    seeds[places] = names
    return seeded_watershed(np.zeros(inside.shape, np.uint8), seeds, mask=inside, connectivity=26)


def _parts(line: Skeleton, sizes: np.ndarray, ratio: float, window: int, straight: float) -> np.ndarray:
    """The number of each vertex's part, from 1. sizes: voxels that go with each vertex."""
    points = line.vertices
    numbers, count = np.zeros(len(line), np.int64), 0
    for path in _paths(points, line.edges.tolist(), window, straight):
        for piece in np.split(path, _cuts(points[path], line.radii[path], sizes[path], ratio, window)):
            count += 1
            numbers[piece] = count
    return numbers


def _paths(points: np.ndarray, edges: list[list[int]], window: int, straight: float) -> list[list[int]]:
    """The vertices of trees in paths that go straight on where more than two edges meet; each vertex is in one."""
    at: list[list[int]] = [[] for _ in points]
    for edge, ends in enumerate(edges):
        for end in ends:
            at[end].append(edge)
    onward: dict[tuple[int, int], int] = {}  # from an edge, over a vertex, to an edge
    owner = [ways[0] if ways else -1 for ways in at]  # a vertex is in the path of this edge
    for vertex, ways in enumerate(at):
        pairs = [(ways[0], ways[1])] if len(ways) == 2 else _pairs(points, edges, at, vertex, window, straight)
        for one, other in pairs:
            onward[one, vertex], onward[other, vertex] = other, one
        if pairs:
            owner[vertex] = pairs[0][0]
    paths = [[vertex] for vertex, ways in enumerate(at) if not ways]
    seen: set[int] = set()
    for first, ends in enumerate(edges):
        for start in ends:
            if first in seen or (first, start) in onward:
                continue
            edge, vertex, path = first, start, [start] if owner[start] == first else []
            while edge >= 0:
                seen.add(edge)
                vertex = sum(edges[edge]) - vertex
                following = onward.get((edge, vertex), -1)
                if owner[vertex] in (edge, following):
                    path.append(vertex)
                edge = following
            paths.append(path)
    return [path for path in paths if path]


def _pairs(
    points: np.ndarray, edges: list[list[int]], at: list[list[int]], joint: int, window: int, straight: float
) -> list[tuple[int, int]]:
    """Edges that go on as each other where more than two meet, the straightest first."""
    ways = at[joint]
    if len(ways) < 3:
        return []
    ahead = {way: _direction(points, edges, at, joint, way, window) for way in ways}
    turns = sorted((float((ahead[a] * ahead[b]).sum()), a, b) for k, a in enumerate(ways) for b in ways[k + 1 :])
    found: list[tuple[int, int]] = []
    for cosine, a, b in turns:
        if cosine <= -straight and not any(a in pair or b in pair for pair in found):
            found.append((a, b))
    return found


def _direction(
    points: np.ndarray, edges: list[list[int]], at: list[list[int]], joint: int, way: int, window: int
) -> np.ndarray:
    """From a joint along an edge, so many vertices on or to the next joint or end; of length 1."""
    vertex = sum(edges[way]) - joint
    for _ in range(window - 1):
        if len(at[vertex]) != 2:
            break
        way = sum(at[vertex]) - way
        vertex = sum(edges[way]) - vertex
    along = points[vertex] - points[joint]
    out: np.ndarray = along / math.sqrt(float((along * along).sum()))
    return out


def _cuts(points: np.ndarray, radii: np.ndarray, sizes: np.ndarray, ratio: float, window: int) -> list[int]:
    """Places along a path before which it is cut: where sections change most within a window.

    Sections no farther than a radius from the ends of the path are left out, for tips taper and side branches begin
    inside another tube.
    """
    steps = np.sqrt(((points[1:] - points[:-1]) ** 2).sum(axis=1))
    lengths, along = (np.r_[0, steps] + np.r_[steps, 0]) / 2, np.r_[0, np.cumsum(steps)]
    changes = np.zeros(len(points))
    for k in range(window, len(points) - window + 1):
        before, after = slice(k - window, k), slice(k, k + window)
        reach = max(radii[before].max(), radii[after].max())
        if min(along[before.start], along[-1] - along[after.stop - 1]) >= reach:
            sections = [sizes[part].sum() / lengths[part].sum() for part in (before, after)]
            changes[k] = max(sections) / min(sections)
    low = [max(0, k - window) for k in range(len(points))]
    return [
        k for k in np.flatnonzero(changes >= ratio).tolist() if k == low[k] + changes[low[k] : k + window + 1].argmax()
    ]
