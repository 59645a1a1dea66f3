"""Segments from affinities and from maps of boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from .. import multicuts
from .._arrays import take
from .._options import number_of, spacing_of
from ..distance import edt
from ..edges import NEAREST, convert_affinities, offsets_of
from ..fragments import watershed
from ..graphs import RegionGraph, region_graph
from ..labels import remap
from ..mutex import affinities_of, attractive_of, mutex_watershed
from ..seeds import distance_peaks, seeded_watershed
from ..trees import agglomerate, needs_histograms
from ._shared import Between, Nanometres, Probability, Voxels, at_least, cast, probability_of, sized, whole_number

_LINKAGES = ("mean", "max", "min", "sum", "absolute")


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
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0.15]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.segment_affinities(affinities, threshold=0.5)
    array([[1, 1, 2, 2, 2]], dtype=uint32)
    """
    several = np.ndim(threshold) > 0
    thresholds: list[Any] = list(threshold) if several else [threshold]  # type: ignore[arg-type]
    if not thresholds:
        raise ValueError("threshold must be from 0 to 1, one or several, got none")
    thresholds = [number_of(t, "threshold", 0, 1) for t in thresholds]
    histogram = needs_histograms(score)
    fragments = watershed(affinities, low=low, high=high, plateau=plateau, mask=mask, per_section=per_section)
    graph = region_graph(affinities, fragments, histogram=histogram)
    tree = agglomerate(graph, score=score, until=min(thresholds))
    found = []
    for t in thresholds:
        old, names = tree.cut(t)
        _, ranks = np.unique(names, return_inverse=True)  # names are smallest fragments: their order is appearance
        found.append(remap(fragments, (old, (ranks + 1).astype(old.dtype)), missing=0))
    return found if several else found[0]


def gasp(
    affinities: Any,
    offsets: Sequence[Sequence[int]] = NEAREST,
    *,
    linkage: str = "mean",
    constrained: bool = False,
    bias: Probability = 0.5,
    low: Probability = 0.1,
    high: Probability = 0.98,
    fragments: Any = None,
    mask: Any = None,
    per_section: bool = False,
    below: Voxels = 0,
) -> Any:
    """Segments by agglomeration of a signed graph (GASP, Bailoni et al. 2022).

    Fragments of a watershed on the nearest affinities are the nodes. The weight of an edge is the mean of all
    affinities between two fragments, far ones too, less ``bias``; what attracts is merged, best first.

    Parameters
    ----------
    affinities : (c, z, y, x) or (c, y, x) array of uint8, float16 or float32
        1 (255) for surely the same object: channel k at voxel p is the edge between p and p + offsets[k].
    offsets : sequence of (z, y, x) or (y, x)
        One per channel; among them, without ``fragments``, a step of one voxel along each axis.
    linkage : {"mean", "max", "min", "sum", "absolute"}
        The weight of joined edges. The mean counts voxel edges; "sum" takes mean weights times voxel edges;
        "absolute", the weight of largest magnitude, is the mutex watershed.
    constrained : bool
        Edges are taken by magnitude, and one that repels parts its two segments for good.
    bias : float
        The affinity that neither attracts nor repels.
    low, high, mask, per_section
        Of the fragments, as of :func:`emfast.watershed`.
    fragments : array of integers, shape of one channel, optional
        Use these.
    below : int
        Segments of fewer voxels are dropped.

    Returns
    -------
    labels : array of the shape of one channel
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0.15]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.segmentation.gasp(affinities, [(-1, 0), (0, -1)])
    array([[1, 1, 2, 2, 2]], dtype=uint8)
    """
    if linkage not in _LINKAGES:
        raise ValueError(f"linkage must be one of {', '.join(_LINKAGES)}, got {linkage!r}")
    bias, below = number_of(bias, "bias", 0, 1), whole_number(below, "below", 0)
    fragments, graph = _graph(affinities, offsets, fragments, low, high, mask, per_section)
    weights = graph.means - bias
    if linkage == "sum":
        weights = weights * graph.counts
    tree = agglomerate(graph, score=linkage, weights=weights, constrained=constrained)
    return sized(remap(fragments, tree.after(len(tree)), missing=0), below)


def multicut(
    affinities: Any,
    offsets: Sequence[Sequence[int]] = NEAREST,
    *,
    solver: str = "gaec",
    bias: Annotated[float, Between(0.05, 0.95)] = 0.5,
    size_exponent: Annotated[float, Between(0.0, 2.0)] = 1.0,
    low: Probability = 0.1,
    high: Probability = 0.98,
    fragments: Any = None,
    mask: Any = None,
    per_section: bool = False,
    below: Voxels = 0,
) -> Any:
    """Segments by a multicut of fragments.

    Parameters
    ----------
    affinities, offsets, low, high, fragments, mask, per_section, below
        As of :func:`gasp`.
    solver, bias, size_exponent
        As of :func:`emfast.multicut`: costs are log-odds of mean affinities, weighted by the size of contacts.

    Returns
    -------
    labels : array of the shape of one channel
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> along_x = np.array([[[0, 0.9, 0.2, 0.8, 0.15]]], "float32")
    >>> affinities = np.concatenate([np.zeros_like(along_x), along_x])
    >>> emfast.segmentation.multicut(affinities, [(-1, 0), (0, -1)])
    array([[1, 1, 2, 2, 2]], dtype=uint8)
    """
    below = whole_number(below, "below", 0)
    fragments, graph = _graph(affinities, offsets, fragments, low, high, mask, per_section)
    found = multicuts.multicut(graph, solver=solver, bias=bias, size_exponent=size_exponent)
    return sized(remap(fragments, found.table, missing=0), below)


def mutex(
    affinities: Any,
    offsets: Sequence[Sequence[int]],
    *,
    near: Probability = 0.0,
    far: Probability = 1.0,
    attractive: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    mask: Any = None,
    below: Voxels = 0,
) -> Any:
    """Segments by the mutex watershed, small ones dropped.

    Parameters
    ----------
    affinities, offsets, attractive, strides, mask
        As of :func:`emfast.mutex_watershed`, where more can be chosen.
    near, far : float
        The affinity from which an edge attracts, in attractive channels and in the others; below it repels. Edges
        count by how far they are from it. A higher ``near`` or ``far`` as a rule makes more segments.
    below : int
        Segments of fewer voxels are dropped.

    Returns
    -------
    labels : array of the shape of one channel
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> near = np.array([[[0, 0.9, 0.6, 0.8, 0.1]]], "float32")
    >>> far = np.array([[[0, 0, 0.2, 0.9, 0.3]]], "float32")
    >>> emfast.segmentation.mutex(np.concatenate([near, far]), [(0, -1), (0, -2)], below=2)
    array([[1, 1, 2, 2, 0]], dtype=uint8)
    >>> emfast.segmentation.mutex(np.concatenate([near, far]), [(0, -1), (0, -2)], far=0.6)
    array([[1, 1, 1, 1, 2]], dtype=uint8)
    """
    below = whole_number(below, "below", 0)
    near, far = number_of(near, "near", 0, 1), number_of(far, "far", 0, 1)
    options: dict[str, Any] = {"attractive": attractive, "strides": strides, "mask": mask}
    if (near, far) != (0, 1):
        if not _from_0_to_1(affinities):
            mutex_watershed(affinities, offsets, **options)  # says where, unless no edge has it
        affinities = _weights(affinities, offsets, near, far, attractive)
        options["signed"] = True
    return sized(mutex_watershed(affinities, offsets, **options), below)


def _from_0_to_1(affinities: Any) -> bool:
    values = affinities_of(affinities)
    given = values.library.to_numpy(values.array)
    return given.dtype == np.uint8 or given.size == 0 or bool(given.min() >= 0 and given.max() <= 1)


def _weights(
    affinities: Any, offsets: Sequence[Sequence[int]], near: float, far: float, attractive: Sequence[int] | None
) -> Any:
    """Affinities less what neither attracts nor repels, in float32."""
    values = affinities_of(affinities)
    pulls = attractive_of(attractive, offsets_of(offsets, len(values.shape) - 1))
    given = values.library.to_numpy(values.array)
    out = given.astype(np.float32)
    if given.dtype == np.uint8:
        out /= np.float32(255)
    for k, channel in enumerate(out):
        channel -= np.float32(near if k in pulls else far)
    return values.give(values.library.from_numpy(out))


def membrane_watershed(
    membrane: Any,
    *,
    threshold: Probability = 0.5,
    separation: Nanometres = 0.0,
    merge: Probability = 0.5,
    score: str = "mean",
    spacing: Sequence[float] = (1, 1, 1),
    per_section: bool = False,
    below: Voxels = 0,
) -> Any:
    """Segments from a map of membranes: watershed from the middle of cells, then merging over weak membranes.

    Seeds are the peaks of the distance to membranes. They flood the map, and two regions are merged while what lies
    between them is membrane with a probability of at most ``1 - merge``.

    Parameters
    ----------
    membrane : (z, y, x) or (y, x) array of uint8 or floats
        Probability of membrane. Every voxel becomes part of a segment.
    threshold : float
        Membranes, for the distance, have at least this probability.
    separation : float
        The least distance between two seeds of one cell, in nanometres.
    merge : float
        Regions are merged while their score is this or more. The affinity of two neighbours is one minus the larger
        of their probabilities.
    score : str
        Of two touching regions, as :func:`emfast.agglomerate` names it.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    per_section : bool
        Seeds and flooding in each section by itself; merging joins sections.
    below : int
        Segments of fewer voxels are dropped.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance; 0 everywhere where all is membrane.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> membrane = np.array([[0.1, 0.1, 0.9, 0.1, 0.6, 0.1, 0.1]])
    >>> emfast.segmentation.membrane_watershed(membrane, merge=0.2)
    array([[1, 1, 1, 2, 2, 2, 2]], dtype=uint8)
    """
    merge, histogram = number_of(merge, "merge", 0, 1), needs_histograms(score)
    below = whole_number(below, "below", 0)
    membrane = probability_of(membrane, "membrane")
    values = take(membrane, "membrane", kinds="uf")
    nm = spacing_of(spacing, len(values.shape))
    if per_section and len(values.shape) == 2:
        raise ValueError("per_section needs a volume (z, y, x), got a picture")
    if values.dtype != np.uint8:
        membrane = cast(membrane, "float32")
    inside = ~at_least(membrane, threshold, "threshold")
    distance = edt(inside, spacing=nm[1:] if per_section else nm, border=True, batch=per_section)
    seeds = distance_peaks(distance, separation=separation, spacing=nm, mask=inside, per_section=per_section)
    fragments = seeded_watershed(membrane, seeds, per_section=per_section)
    graph = region_graph(membrane_affinities(membrane), fragments, histogram=histogram)
    tree = agglomerate(graph, score=score, until=merge)
    return sized(remap(fragments, tree.cut(merge), missing=0), below)


def membrane_affinities(membrane: Any) -> Any:
    """Nearest affinities of a map of membranes: one minus the larger probability of two neighbours."""
    values = take(membrane, "membrane", kinds="uf")
    map_ = values.library.to_numpy(values.array)
    most = 255 if map_.dtype == np.uint8 else np.float32(1)
    out = np.zeros((map_.ndim, *map_.shape), map_.dtype)
    for axis in range(map_.ndim):
        after, before = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
        out[axis][after] = most - np.maximum(map_[after], map_[before])
    return values.library.give(values.library.from_numpy(out))


def _graph(
    affinities: Any,
    offsets: Sequence[Sequence[int]],
    fragments: Any,
    low: float,
    high: float,
    mask: Any,
    per_section: bool,
) -> tuple[Any, RegionGraph]:
    """Fragments, made of the nearest affinities if there are none, and their region graph over all offsets."""
    shape = take(affinities, "affinities", kinds="uf", dims=(3, 4)).shape
    steps = [step[4 - len(shape) :] for step in offsets_of(offsets, len(shape) - 1)]
    if len(steps) != shape[0]:
        raise ValueError(f"offsets must be one per channel of affinities ({shape[0]}), got {len(steps)}")
    if fragments is None:
        nearest = _nearest(affinities, steps)
        fragments = watershed(nearest, low=low, high=high, mask=mask, per_section=per_section)
    elif mask is not None:
        raise ValueError("mask goes with fragments that are made here, not with given ones")
    return fragments, region_graph(affinities, fragments, offsets=steps)


def _nearest(affinities: Any, steps: list[tuple[int, ...]]) -> Any:
    """The channels of one step along each axis, as the watershed takes them."""
    channels = []
    for axis in range(len(steps[0])):
        found = [k for k, step in enumerate(steps) if [abs(s) for s in step] == [a == axis for a in range(len(step))]]
        if not found:
            raise ValueError(f"offsets must hold one step along axis {axis}, or fragments be given, got {steps}")
        channels.append(found[0])
    chosen = [steps[k] for k in channels]
    ours = affinities[: len(channels)] if channels == list(range(len(channels))) else affinities[channels]
    return ours if all(sum(step) < 0 for step in chosen) else convert_affinities(ours, chosen)[0]
