"""Instances from masks, contours and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._arrays import take
from .._options import number_of
from ..labels import renumber
from ..morphology import dilate
from ..seeds import seeded_watershed
from ._shared import (
    Distance,
    Probability,
    Voxels,
    as_array,
    at_least,
    cast,
    components_of,
    finite,
    height_of,
    probability_of,
    same_shape,
    sized,
    whole_number,
)


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
    below = whole_number(below, "below", 0)
    inside = at_least(probability_of(probability, "probability"), threshold, "threshold")
    return components_of(inside, connectivity, below)


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
    distance, below = as_array(distance), whole_number(below, "below", 0)
    values = take(distance, "distance", kinds="f", dims=(2, 3, 4))
    if len(values.shape) == 4:
        return [
            distance_threshold(one, threshold=threshold, connectivity=connectivity, below=below) for one in distance
        ]
    threshold = number_of(threshold, "threshold")
    finite(distance, "distance")
    return components_of(distance > threshold, connectivity, below)


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
    seed_size, below = whole_number(seed_size, "seed_size", 0), whole_number(below, "below", 0)
    seed_distance = number_of(seed_distance, "seed_distance")
    inside_distance = number_of(inside_distance, "inside_distance")
    probability, contour = probability_of(probability, "probability"), probability_of(contour, "contour")
    same_shape(probability, contour, "contour")
    seeds = at_least(probability, seed, "seed") & ~at_least(contour, seed_contour, "seed_contour")
    mask = at_least(probability, inside, "inside")
    if distance is not None:
        distance = as_array(distance)
        take(distance, "distance", kinds="f")
        same_shape(probability, distance, "distance")
        finite(distance, "distance")
        seeds, mask = seeds & (distance > seed_distance), mask & (distance > inside_distance)
    marks = cast(components_of(seeds, connectivity, seed_size), "int64")
    height = height_of(probability) if flood == "probability" else cast(-distance, "float32")
    labels = seeded_watershed(height, marks, mask=mask, connectivity=connectivity)
    return sized(labels, below)


def boundary_contour_distance_watershed(
    probability: Any,
    contour: Any,
    distance: Any,
    *,
    seed: Probability = 0.9,
    seed_contour: Probability = 0.8,
    seed_distance: Distance = 0.5,
    inside: Probability = 0.85,
    inside_distance: Distance = 0.0,
    flood: str = "distance",
    connectivity: int = 6,
    seed_size: Voxels = 0,
    below: Voxels = 0,
) -> Any:
    """Instances from masks, their contours and signed distances, flooded from the middle of objects.

    :func:`boundary_contour_watershed` with ``distance``, which floods on the distance as the paper says it (Lin et
    al. 2021); its code floods on the probability.

    Parameters
    ----------
    probability, contour, distance : (z, y, x) or (y, x) arrays
        As of :func:`boundary_contour_watershed`.
    seed, seed_contour, seed_distance, inside, inside_distance : float
    flood : {"distance", "probability"}
    connectivity : 6, 18 or 26; 4 or 8 for pictures, where 6 means 4
    seed_size, below : int
        All as of :func:`boundary_contour_watershed`.

    Returns
    -------
    labels : array of the same shape
        Numbered by first appearance.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> inside, contour = np.full((1, 5), 0.95), np.full((1, 5), 0.1)
    >>> distance = np.array([[0.9, 0.4, 0.1, 0.6, 0.8]])
    >>> emfast.segmentation.boundary_contour_distance_watershed(inside, contour, distance)
    array([[1, 1, 2, 2, 2]], dtype=uint8)
    """
    return boundary_contour_watershed(
        probability,
        contour,
        distance=distance,
        seed=seed,
        seed_contour=seed_contour,
        seed_distance=seed_distance,
        inside=inside,
        inside_distance=inside_distance,
        flood=flood,
        connectivity=connectivity,
        seed_size=seed_size,
        below=below,
    )


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
    same_shape(probability, contour, "contour")
    seed_size = whole_number(seed_size, "seed_size", 0)
    seeds = at_least(probability, seed, "seed") & ~at_least(contour, seed_contour, "seed_contour")
    labels = dilate(components_of(seeds, connectivity, seed_size), radius=radius, spacing=spacing)
    return renumber(labels * at_least(probability, inside, "inside"))[0]
