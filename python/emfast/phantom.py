"""A synthetic EM volume with its ground truth, for demos, tests and benchmarks that need no real data.

The tissue is endless, a function of the seed alone, and a volume is a window of it: ``origin`` moves the window, and
where two windows overlap their images agree voxel by voxel. Every number is the same on every machine, with any number
of threads and on a GPU. ``csrc/phantom/phantom.h`` tells how it is made.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Host, take
from .components import connected_components
from .labels import dust

__all__ = ["Phantom", "make"]

_FARTHEST = 1e6  # nm from the origin: beyond that 32-bit floats no longer resolve a membrane


@dataclass(frozen=True)
class Phantom:
    """A window of synthetic tissue.

    Attributes
    ----------
    image : (z, y, x) uint8
        What the microscope shows: membranes and mitochondria dark.
    labels : (z, y, x) uint32
        Cells, 1 to n in raster order of first appearance, 0 in membranes. Each id is one 6-connected piece: a neurite
        that leaves the window and comes back has two ids.
    mitochondria : (z, y, x) uint32
        Mitochondria inside the cells, 1 to n, 0 elsewhere. Pieces too small to be told from a shadow are left out, so
        one that the window's face cuts may miss its rest.
    affinities : (3, z, y, x) uint8
        What a network would predict: channel c of voxel v is the affinity between v and the voxel before it along
        axis c (z, y, x), 255 for surely the same cell. 0 on the first face, where there is no such voxel.
    spacing : (z, y, x) nanometres
    """

    image: Any
    labels: Any
    mitochondria: Any
    affinities: Any
    spacing: tuple[float, float, float]


def make(
    shape: Sequence[int] = (128, 256, 256),
    *,
    seed: int = 0,
    spacing: Sequence[float] = (30, 8, 8),
    origin: Sequence[int] = (0, 0, 0),
    calibre: float = 350.0,
    membrane: float = 24.0,
    mitochondria: float = 1.0,
    noise: float = 1.0,
    defects: float = 0.0,
    errors: float = 1.0,
    like: Any = None,
) -> Phantom:
    """Make a synthetic EM volume with labels, mitochondria and predicted affinities.

    With thick sections (the default spacing) it looks like ssTEM: oblique membranes are smeared out. With equal
    spacing it looks like FIB-SEM.

    Parameters
    ----------
    shape : (z, y, x) or (y, x)
        Of the volume. A picture is a volume of depth one; its affinities have the channels y and x.
    seed : int
        From 0 to 2**64 - 1; another seed is another tissue.
    spacing : (z, y, x) in nanometres
        Of the voxels. The first one is the thickness of a section, of a picture too.
    origin : (z, y, x) in voxels
        The window's first voxel in the endless tissue.
    calibre : float
        The usual width of a neurite in nanometres. Everything scales with it but membranes, vesicles and grain.
    membrane : float
        The thickness of a membrane in nanometres, at most a quarter of ``calibre``.
    mitochondria : float
        How many, from 0 (none) to 2; 1 is as in neuropil.
    noise : float
        The grain of the image, from 0 to 5.
    defects : float
        The share of sections that are missing, dark or shifted, from 0 to 1.
    errors : float
        How often the affinities overlook a membrane or see one that is not there, from 0 to 2.
    like : array, optional
        The results come in the library and on the device of this array. Default: NumPy.

    Returns
    -------
    phantom : Phantom

    Examples
    --------
    >>> import emfast
    >>> phantom = emfast.phantom.make((8, 64, 64), seed=1)
    >>> phantom.image.shape, phantom.affinities.shape
    ((8, 64, 64), (3, 8, 64, 64))
    >>> bool((phantom.labels[phantom.mitochondria > 0] > 0).all())
    True
    """
    sides = _integers(shape, "shape", (2, 3), low=0)
    steps = _numbers(spacing, "spacing")
    first = _integers(origin, "origin", (3,))
    flat = len(sides) == 2
    volume = (1, *sides) if flat else sides
    number = _integer(seed, "seed")
    if not 0 <= number < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed!r}")
    for start, side, step in zip(first, volume, steps, strict=True):
        if max(abs(start), abs(start + side)) * step > _FARTHEST:
            raise ValueError(
                f"origin, shape and spacing must stay within a millimetre of the tissue's origin, "
                f"got {first}, {volume} and {steps}"
            )
    options = [
        _within(calibre, "calibre", 10.0, 1e5),
        _within(membrane, "membrane", 1.0, calibre / 4),
        _within(mitochondria, "mitochondria", 0.0, 2.0),
        _within(noise, "noise", 0.0, 5.0),
        _within(defects, "defects", 0.0, 1.0),
        _within(errors, "errors", 0.0, 2.0),
    ]
    library = Host() if like is None else take(like, "like", kinds="biuf", dims=None).library
    made = library.native().phantom(library, list(volume), list(first), list(steps), number, options)
    image, owner, organelles, affinities = (library.give(array) for array in made)
    labels = connected_components(owner, dtype="uint32")
    least = round((0.15 * calibre) ** 3 / math.prod(steps))  # voxels: what is smaller is a shred at a membrane
    organelles = connected_components(dust(organelles, below=least), dtype="uint32")
    if flat:
        image, labels, organelles, affinities = image[0], labels[0], organelles[0], affinities[1:, 0]
    return Phantom(image, labels, organelles, affinities, steps)


def _integer(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def _integers(values: Any, name: str, lengths: tuple[int, ...], low: int | None = None) -> tuple[int, ...]:
    try:
        numbers = tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"{name} must be integers, one per axis, got {values!r}") from None
    if len(numbers) not in lengths:
        wanted = " or ".join(str(n) for n in lengths)
        raise ValueError(f"{name} must have {wanted} numbers, got {values!r}")
    if low is not None and min(numbers) < low:
        raise ValueError(f"{name} must be {low} or more along each axis, got {values!r}")
    return numbers


def _numbers(values: Any, name: str) -> tuple[float, float, float]:
    try:
        z, y, x = (float(v) for v in values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be three numbers (z, y, x), got {values!r}") from None
    if not all(math.isfinite(v) and v > 0 for v in (z, y, x)):
        raise ValueError(f"{name} must be positive and finite, got {values!r}")
    return z, y, x


def _within(value: Any, name: str, low: float, high: float) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating)) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)
