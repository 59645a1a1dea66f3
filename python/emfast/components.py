"""Connected components."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ._arrays import Operand, take
from ._options import number_of

__all__ = ["connected_components"]

_CONNECTIVITY = {2: {4: 6, 8: 26, 6: 6, 18: 26, 26: 26}, 3: {6: 6, 18: 18, 26: 26}}


def connected_components(
    labels: Any,
    *,
    connectivity: int = 6,
    background: int | None = 0,
    periodic: bool = False,
    delta: float | None = None,
    dtype: Any = None,
    return_count: bool = False,
) -> Any:
    """Label the connected components of equal value.

    Components are numbered from 1 in order of first appearance in raster (z, y, x) order, whatever the memory layout,
    the number of threads or the device.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
        Neighbours belong together if they hold the same value. With ``delta`` also floats.
    connectivity : {6, 18, 26}, or {4, 8} for 2D
        Which neighbours touch: through faces, faces and edges, or faces, edges and corners. In 2D, 6 means 4 and
        18 and 26 mean 8.
    background : int or None
        The value that is not labelled and becomes 0. None: every value is labelled.
    periodic : bool
        Opposite faces of the volume touch.
    delta : number, optional
        Neighbours belong together if their values differ by at most this much. NaN belongs with nothing.
    dtype : integer dtype, optional
        Of the result. Default: the smallest of uint8, uint16, uint32, uint64 that holds the count.
    return_count : bool
        Return the number of components as well.

    Returns
    -------
    components : array of the shape of ``labels``
    count : int
        Only with ``return_count``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> emfast.connected_components(np.array([[5, 5, 0], [0, 0, 5]]), connectivity=4)
    array([[1, 1, 0],
           [0, 0, 2]], dtype=uint8)
    """
    values = take(labels, "labels", kinds="biu" if delta is None else "biuf")
    ways = _CONNECTIVITY[len(values.shape)]
    if isinstance(connectivity, bool) or not isinstance(connectivity, (int, np.integer)) or connectivity not in ways:
        wanted = ", ".join(str(c) for c in sorted(ways))
        raise ValueError(f"connectivity must be one of {wanted} in {len(values.shape)}D, got {connectivity!r}")
    kind = _output_dtype(dtype)
    if delta is None:
        out, count = values.native.components(
            values.library, values.array, ways[connectivity], _bits(background, values), bool(periodic), kind
        )
    else:
        values = _as_number(values)
        out, count = values.native.components_near(
            values.library,
            values.array,
            ways[connectivity],
            _delta(delta),
            _zero_background(background),
            bool(periodic),
            kind,
        )
    result = values.give(out)
    return (result, count) if return_count else result


def _output_dtype(dtype: Any) -> str:
    if dtype is None:
        return ""
    kind = np.dtype(str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype)
    if kind.kind not in "iu" or not kind.isnative:
        raise TypeError(f"dtype must be an integer dtype in native byte order, got {kind}")
    return f"{kind.kind}{kind.itemsize}"


def _bits(background: int | None, values: Operand) -> int | None:
    """The background's bit pattern in the width of the labels; None where no voxel can hold it."""
    if background is None:
        return None
    try:
        value = operator.index(background)
    except TypeError:
        raise TypeError(f"background must be an integer or None, got {background!r}") from None
    if values.dtype.kind == "b":
        low, high = 0, 1
    else:
        low, high = int(np.iinfo(values.dtype).min), int(np.iinfo(values.dtype).max)
    if not low <= value <= high:
        raise ValueError(f"background must be a value of {values.dtype} ({low} to {high}), got {value}")
    return value % (1 << 8 * values.dtype.itemsize)


def _as_number(values: Operand) -> Operand:
    """bool and float16 in a type the native modules subtract."""
    if values.dtype.kind == "b":
        raise TypeError("labels must be numbers when delta is given, got bool")
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        raise TypeError(f"labels with delta must be integers, float32 or float64, got {values.dtype}")
    return values


def _delta(delta: float) -> float:
    return number_of(delta, "delta", 0)


def _zero_background(background: int | None) -> bool:
    if background is not None and background != 0:
        raise ValueError(f"background must be 0 or None when delta is given, got {background!r}")
    return background == 0
