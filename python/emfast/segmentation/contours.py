"""Contours: a filter that keeps them and drops texture, and labels that move towards them."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from .._arrays import take
from .._options import number_of
from ..labels import each
from ._shared import Between, Probability, at_least, probability_of, whole_number

_UNIT = 2.0**20  # grid steps in 1


def surround_suppression(
    image: Any,
    *,
    sigma: Annotated[float, Between(0.5, 5.0)] = 1.5,
    inner: Annotated[int, Between(1, 20)] = 4,
    outer: Annotated[int, Between(2, 60)] = 12,
    alpha: Annotated[float, Between(0.0, 4.0)] = 1.0,
) -> Any:
    """Contours of pictures, without texture: each edge is inhibited by the edges around it.

    The strength of an edge is the length of the gradient at a scale ``sigma``. From it ``alpha`` times the mean
    strength in a ring around the pixel is taken, and what is negative becomes 0 (isotropic surround inhibition,
    Grigorescu et al. 2003, with a square ring). A contour that stands alone stays; one among many of its strength goes.

    Parameters
    ----------
    image : (z, y, x) or (y, x) array of uint8 or floats, at most 65536 in size
        Each section is filtered by itself.
    sigma : float
        In pixels, from 0.25 to 50.
    inner, outer : int
        The ring is what is more than ``inner`` and at most ``outer`` pixels away along y or x, whichever is more. Only
        pixels of the picture count.
    alpha : float

    Returns
    -------
    contours : array of float32, of the same shape
        In units of ``image`` per pixel.

    Notes
    -----
    Strengths are rounded to multiples of 2**-20, so that means of rings do not depend on an order. Beyond the border
    the picture is as at the border.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> image = np.zeros((1, 40))
    >>> image[:, 5:] = 1.0
    >>> image[:, 20::2] = 0.5
    >>> out = emfast.segmentation.surround_suppression(image, sigma=0.5, inner=2, outer=6)
    >>> int(out.argmax()), bool(out[0, 30] < out[0, 5] / 4)
    (4, True)
    """
    values = take(image, "image", kinds="uf")
    if values.dtype.kind == "u" and values.dtype != np.uint8:
        raise TypeError(f"image must be uint8 or floats, got {values.dtype}")
    sigma, alpha = number_of(sigma, "sigma", 0.25, 50), number_of(alpha, "alpha", 0, 1e6)
    inner, outer = whole_number(inner, "inner", 0), whole_number(outer, "outer", 1)
    if inner >= outer:
        raise ValueError(f"inner must be less than outer, got {inner} and {outer}")
    sections = values.library.to_numpy(values.array).astype(np.float64)
    if not (np.abs(sections) <= 65536).all():
        raise ValueError("image must be finite and at most 65536 in size")
    smooth, slope = _taps(sigma)
    along_y = _convolve(_convolve(sections, slope, -2), smooth, -1)
    along_x = _convolve(_convolve(sections, slope, -1), smooth, -2)
    strength = np.rint(np.sqrt(along_y * along_y + along_x * along_x) * _UNIT).astype(np.int64)
    total = _box(strength, outer) - _box(strength, inner)
    ones = np.ones(strength.shape[-2:], np.int64)
    count = np.maximum(_box(ones, outer) - _box(ones, inner), 1)
    out = (np.maximum(strength - alpha * (total / count), 0) / _UNIT).astype(np.float32)
    return values.give(values.library.from_numpy(out))


def refine_contours(
    labels: Any,
    contour: Any,
    *,
    iterations: Annotated[int, Between(0, 30)] = 5,
    balloon: Annotated[int, Between(-1, 1)] = 0,
    threshold: Probability = 0.5,
    smoothing: Annotated[int, Between(0, 4)] = 1,
    per_section: bool = False,
) -> Any:
    """Move the surfaces of labels to the contours near them (morphological geodesic active contours).

    Each label evolves by itself, within what was its own or background. In every iteration its surface first swells or
    shrinks by a voxel where there is no contour, then moves by a voxel uphill on the map of contours, then it is
    smoothed by majorities of 3 x 3 x 3 voxels, which is motion by curvature. (Márquez-Neila et al. 2014, with
    majorities in the place of their curvature operator.)

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    contour : array of uint8 or floats from 0 to 1, of the same shape
        High at contours: a network's map, or the strength of edges.
    iterations : int
        Fewer where nothing moves any more.
    balloon : {-1, 0, 1}
        Shrink, stay or swell where ``contour`` is below ``threshold``.
    threshold : float
    smoothing : int
        Rounds of majorities in an iteration.
    per_section : bool
        Every section as a picture: nothing moves along z.

    Returns
    -------
    labels : array of the same shape and dtype
        Background that several labels reach goes to the smallest of them.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> contour = np.array([[0, 0, 0.2, 1, 0.2, 0, 0, 0.0]])
    >>> emfast.segmentation.refine_contours(np.array([[5, 5, 0, 0, 0, 0, 0, 0]]), contour, smoothing=0)
    array([[5, 5, 5, 0, 0, 0, 0, 0]])
    """
    values = take(labels, "labels")
    image = values.library.to_numpy(values.array)
    given = take(probability_of(contour, "contour"), "contour", kinds="uf")
    if given.shape != values.shape:
        raise ValueError(f"contour must have the shape of labels {values.shape}, got {given.shape}")
    iterations, smoothing = whole_number(iterations, "iterations", 0), whole_number(smoothing, "smoothing", 0)
    if balloon not in (-1, 0, 1):
        raise ValueError(f"balloon must be -1, 0 or 1, got {balloon!r}")
    map_ = given.library.to_numpy(given.array)
    free = ~at_least(map_, threshold, "threshold")
    heights = (
        map_.astype(np.int64) if map_.dtype == np.uint8 else np.rint(map_.astype(np.float64) * _UNIT).astype(np.int64)
    )
    axes = tuple(range(image.ndim))[1 if per_section and image.ndim == 3 else 0 :]
    slopes = [_slope(heights, axis) for axis in axes]
    out = np.zeros_like(image)
    for label, box, _ in each(image):
        margin = (2 + smoothing) * iterations + 1  # farther than the surface can come
        wide = tuple(
            slice(max(0, s.start - margin), s.stop + margin) if axis in axes else s for axis, s in enumerate(box)
        )
        here = image[wide]
        shape = _evolve(
            here == label,
            (here == label) | (here == 0),
            free[wide],
            [slope[wide] for slope in slopes],
            axes,
            iterations,
            int(balloon),
            smoothing,
        )
        part = out[wide]
        part[shape & (part == 0)] = label
    return values.give(values.library.from_numpy(out))


def _evolve(
    inside: np.ndarray,
    allowed: np.ndarray,
    free: np.ndarray,
    slopes: list[np.ndarray],
    axes: tuple[int, ...],
    iterations: int,
    balloon: int,
    smoothing: int,
) -> np.ndarray:
    for _ in range(iterations):
        before = inside
        if balloon > 0:
            inside = inside | (_any_neighbour(inside, axes) & free & allowed)
        elif balloon < 0:
            inside = inside & ~(_any_neighbour(~inside, axes) & free)
        number = inside.astype(np.int64)
        pull = sum(slope * _slope(number, axis) for slope, axis in zip(slopes, axes, strict=True))
        inside = (inside & (pull <= 0)) | ((pull < 0) & allowed)
        for _ in range(smoothing):
            inside = _majority(inside, axes) & allowed
        if np.array_equal(inside, before):
            break
    return inside


def _any_neighbour(mask: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Where one of the neighbours over faces is set."""
    out = np.zeros_like(mask)
    for axis in axes:
        ours, theirs = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
        ours[1:] |= theirs[:-1]
        ours[:-1] |= theirs[1:]
    return out


def _shifted(values: np.ndarray, axis: int, by: int) -> np.ndarray:
    """At each place the value so many places on; beyond the border it is as at the border."""
    n = values.shape[axis]
    return np.take(values, np.clip(np.arange(n) + by, 0, n - 1), axis=axis)


def _majority(mask: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """What more than half of the neighbourhood is."""
    total = mask.astype(np.int64)
    for axis in axes:
        total = _shifted(total, axis, -1) + total + _shifted(total, axis, 1)
    return 2 * total > 3 ** len(axes)


def _slope(values: np.ndarray, axis: int) -> np.ndarray:
    """Central differences, not halved."""
    return _shifted(values, axis, 1) - _shifted(values, axis, -1)


def _taps(sigma: float) -> tuple[list[float], list[float]]:
    """A Gaussian and its slope, on a grid of 2**-30 so that they are the same everywhere."""
    reach = math.ceil(4 * sigma)
    bell = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)]
    area = sum(bell)
    moment = sum(k * k * b for k, b in zip(range(-reach, reach + 1), bell, strict=True))  # a ramp of 1 has slope 1
    smooth = [math.ldexp(round(math.ldexp(b / area, 30)), -30) for b in bell]
    slope = [
        math.ldexp(round(math.ldexp(k * b / moment, 30)), -30)
        for k, b in zip(range(-reach, reach + 1), bell, strict=True)
    ]
    return smooth, slope


def _convolve(values: np.ndarray, taps: list[float], axis: int) -> np.ndarray:
    """The sum of shifted copies, in the order of the taps."""
    out = np.zeros_like(values)
    for k, tap in enumerate(taps):
        out += tap * _shifted(values, axis, k - len(taps) // 2)
    return out


def _box(values: np.ndarray, reach: int) -> np.ndarray:
    """Sums over squares of 2 reach + 1 pixels within the picture."""
    for axis in (values.ndim - 2, values.ndim - 1):
        n = values.shape[axis]
        sums = np.cumsum(np.pad(values, [(1, 0) if a == axis else (0, 0) for a in range(values.ndim)]), axis=axis)
        places = np.arange(n)
        upper, lower = np.minimum(places + reach + 1, n), np.maximum(places - reach, 0)
        values = np.take(sums, upper, axis=axis) - np.take(sums, lower, axis=axis)
    return values
