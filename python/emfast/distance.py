"""Exact Euclidean distances: to the nearest other label, with sign, and the nearest background voxel itself.

Distances are between voxel centres, in the unit of ``spacing``. All arithmetic is in integers: the spacings are
read as decimal numbers (4.6 is 23/5, not the nearest double) and brought to a common unit, so equal calls give equal
bits on any number of threads and on the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ._arrays import Operand, over_items, take
from ._options import bounded

# Squared distances, summed over the axes and with room to spare, stay below this.
_LIMIT = 2**60


def fractions_of(spacing: Any, ndim: int) -> tuple[Fraction, ...]:
    try:
        values = tuple(spacing)
    except TypeError:
        raise TypeError(f"spacing must be a sequence of one number per axis, got {spacing!r}") from None
    if len(values) != ndim:
        if ndim == 2 and values == (1, 1, 1):  # the default
            return (Fraction(1), Fraction(1))
        raise ValueError(f"spacing must have one value per axis ({ndim}), got {len(values)}: {values}")
    exact = []
    value: Any
    for value in values:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"spacing must hold numbers, got {value!r}") from None
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"spacing must be positive and finite, got {value!r}")
        bounded(number, value)
        exact.append(Fraction(str(value) if isinstance(value, np.floating) else repr(number)))
    return tuple(exact)


def _metric(spacing: Sequence[float], operand: Operand, limit: int = _LIMIT) -> tuple[tuple[int, ...], float, float]:
    """Of an operand, in the order of memory."""
    return metric_of(operand.permute(fractions_of(spacing, len(operand.axes))), operand.shape, limit)


def metric_of(
    spacings: Sequence[Fraction], shape: Sequence[int], limit: int = _LIMIT
) -> tuple[tuple[int, ...], float, float]:
    """Squared spacings as integers, and the unit they have, plain and squared.

    Exact where the spacings have a common unit that leaves every squared distance below 2**60. Where they have none,
    squares are rounded to a grid of about 2**-58 of the largest possible squared distance, far below the float32 of
    the results unless spacings or sides differ by factors of thousands.
    """
    denominator = math.lcm(*(s.denominator for s in spacings))
    unit = Fraction(math.gcd(*(int(s * denominator) for s in spacings)), denominator)
    sides = [max(1, n) for n in shape]
    longest = sum((s * n) ** 2 for s, n in zip(spacings, sides, strict=True))
    if longest / unit**2 < limit:
        return tuple(int(s / unit) ** 2 for s in spacings), float(unit), float(unit**2)
    unit = Fraction(1)  # a power of two, so that the unit itself is exact
    while longest / unit**2 >= limit // 2:
        unit *= 2
    while longest / unit**2 < limit // 8:
        unit /= 2
    return tuple(max(1, round((s / unit) ** 2)) for s in spacings), float(unit), float(unit**2)


def edt(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    border: bool = False,
    squared: bool = False,
    voxel_graph: Any = None,
    batch: bool = False,
) -> Any:
    """Distance of every voxel to the nearest voxel of another label; 0 where the label is 0.

    Parameters
    ----------
    labels : (y, x) or (z, y, x) array of integers or bool
        Labels are each other's background. Any dense layout is read in place.
    spacing : sequence of float
        Size of a voxel along each axis of ``labels``, in nanometres. The default is 1 along every axis.
    border : bool
        Outside of the volume lies background: a voxel at the border is one spacing away from it. Otherwise the
        border is no boundary, and a volume of one label is infinitely far from everything.
    squared : bool
        Squared distances: exact for integer spacings up to 2**53, then rounded once to float32.
    voxel_graph : array of unsigned integers, of the shape of ``labels``, optional
        Faces that cannot be crossed, as :func:`voxel_graph` numbers them: bit 0, 2, 4 of a voxel is clear where its
        face towards the next voxel along axis 0, 1, 2 is blocked (bits 1, 3, 5 are not looked at). Then all labels but
        0 count as one foreground, a blocked face is background at half a spacing, a background voxel fills its cell up
        to its faces on the positive side, and the border, where asked for, lies half a spacing outside. Needs 72 bytes
        a voxel.
    batch : bool
        The first axis of ``labels`` counts separate pictures (y, x) or volumes (z, y, x), as networks have them.

    Returns
    -------
    distances : float32 array of the shape of ``labels``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.edt(np.array([[0, 5, 5, 5, 7, 7]]), spacing=(1, 4))
    array([[0., 4., 8., 4., 4., 8.]], dtype=float32)
    """
    if voxel_graph is None:
        return _transform(labels, spacing, border, squared=squared, batch=batch)
    if batch:
        raise ValueError("batch=True and a voxel_graph do not go together: call edt for each item and its graph")
    taken = take(labels, "labels")
    graph = take(voxel_graph, "voxel_graph", kinds="u")
    if graph.shape != taken.shape:
        raise ValueError(f"voxel_graph must have the shape of labels {taken.shape}, got {graph.shape}")
    if type(graph.library) is not type(taken.library) or not graph.meets(taken):
        raise TypeError("voxel_graph must be an array of the library and on the device of labels")
    metric = _metric(spacing, taken)
    out = taken.native.distance_barrier(taken.library, taken.array, graph.array, *metric, bool(border), bool(squared))
    return taken.give(out)


def signed_distance(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    border: bool = False,
    squared: bool = False,
    clip: float | None = None,
    tanh: float | None = None,
    batch: bool = False,
) -> Any:
    """Distance to the nearest voxel of another label, positive on labels and negative on background.

    Background (0) is one more label here. So the result is ``edt(labels) - edt(labels == 0)``, in one go.

    Parameters
    ----------
    labels : (y, x) or (z, y, x) array of integers or bool
        Labels are each other's background.
    spacing : sequence of float
        Size of a voxel along each axis of ``labels``, in nanometres. The default is 1 along every axis.
    border : bool
        Outside of the volume lies something that is neither a label nor background: every voxel at the border, of
        either sign, is one spacing away from a boundary.
    squared : bool
        Squared distances, with the same sign.
    clip : float, optional
        The largest distance (or square) returned; what is farther becomes this, with its sign.
    tanh : float, optional
        Returns ``tanh(distance / tanh)``, smooth targets within −1 and 1 for networks. Applied after ``clip``.
    batch : bool
        The first axis of ``labels`` counts separate pictures (y, x) or volumes (z, y, x), as networks have them.

    Returns
    -------
    distances : float32 array of the shape of ``labels``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.signed_distance(np.array([[0, 0, 0, 3, 3, 8]]), clip=2)
    array([[-2., -2., -1.,  1.,  1.,  1.]], dtype=float32)
    """
    return _transform(labels, spacing, border, True, squared, *limits_of(clip, tanh), batch)


def limits_of(clip: float | None, tanh: float | None) -> tuple[float, float]:
    """As the native modules take them: infinity and 0 where there are none."""
    for name, value in (("clip", clip), ("tanh", tanh)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
    return math.inf if clip is None else float(clip), 0.0 if tanh is None or math.isinf(tanh) else float(tanh)


def _transform(
    labels: Any,
    spacing: Sequence[float],
    border: bool,
    with_sign: bool = False,
    squared: bool = False,
    clip: float = math.inf,
    tanh: float = 0.0,
    batch: bool = False,
) -> Any:
    if batch:
        rest = (spacing, border, with_sign, squared, clip, tanh)
        return over_items(lambda item: _transform(item, *rest), labels, "labels")
    taken = take(labels, "labels", order="any")
    out = taken.native.distance_transform(
        taken.library,
        taken.array,
        *_metric(spacing, taken),
        bool(border),
        with_sign,
        bool(squared),
        clip,
        tanh,
    )
    return taken.give(out)


def nearest_background(labels: Any, *, spacing: Sequence[float] = (1, 1, 1), return_distance: bool = False) -> Any:
    """Flat index of the background voxel nearest to each voxel, and of a background voxel itself.

    Parameters
    ----------
    labels : (y, x) or (z, y, x) array of integers or bool
        Background is 0; labels are not told apart.
    spacing : sequence of float
        Size of a voxel along each axis of ``labels``, in nanometres. The default is 1 along every axis.
    return_distance : bool
        Return the distances as well, float32.

    Returns
    -------
    indices : int64 array of the shape of ``labels``
        Indices into ``labels.ravel()`` (C order). Of equally near voxels the one with the smallest index; −1 everywhere
        if there is no background.
    distances : float32 array of the shape of ``labels``
        With ``return_distance``; as ``edt(labels != 0)`` has them.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.nearest_background(np.array([[0, 1, 1, 1, 0]]))
    array([[0, 0, 0, 4, 4]])
    """
    taken = take(labels, "labels")
    metric = _metric(spacing, taken)
    native, library = taken.native, taken.library
    indices = native.distance_nearest(library, taken.array, metric[0])
    if not return_distance:
        return taken.give(indices)
    return taken.give(indices), taken.give(native.distance_measure(library, indices, *metric, False))
