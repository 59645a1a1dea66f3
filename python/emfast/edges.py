"""Affinities: how surely two voxels belong to the same object. Made from labels as targets, and brought from one
convention to another.

Affinities are (c, z, y, x), or (c, y, x) of a picture. Channel k at voxel p speaks of the edge between p and
p + offsets[k]; 1 means the same object. Channels with negative offsets look back, as in waterz and LSD. uint8
affinities mean 0 to 255 as 0 to 1. What an array holds where an edge leaves the volume is never read.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arrays import Operand, refuse_masked, take
from ._options import background_of, connectivity_of

__all__ = ["NEAREST", "affinities", "boundaries", "convert_affinities"]

NEAREST = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))

_DTYPES = {np.dtype("u1"): "u1", np.dtype(bool): "b1", np.dtype("f4"): "f4"}


def affinities(
    labels: Any,
    *,
    offsets: Sequence[Sequence[int]] = NEAREST,
    ignore: int | Sequence[int] | None = None,
    mask: Any = None,
    dtype: Any = "uint8",
    return_valid: bool = False,
) -> Any:
    """Affinities of a label volume, as targets for a network or as perfect input for what comes after one.

    Channel k at voxel p is 1 where p and p + offsets[k] hold the same label other than 0. An edge that leaves the
    volume or has an ignored or masked end is not valid; its affinity is 0.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
        Objects; 0 is background, which has no affinity to itself.
    offsets : sequence of (z, y, x) or (y, x)
        One step per channel, any length. Default: the nearest voxel before, along each axis.
    ignore : int or sequence of int, optional
        Labels of which nothing is known: edges that touch them are not valid.
    mask : array of bool, shape of ``labels``, optional
        Voxels outside the mask are ignored likewise.
    dtype : {"uint8", "float32", "bool"}
        Of the affinities. One is 255 in uint8, the convention for predictions too.
    return_valid : bool
        Return as well which edges are valid.

    Returns
    -------
    affinities : (c, z, y, x) or (c, y, x)
    valid : the same shape, bool
        Only with ``return_valid``.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> emfast.affinities(np.array([[1, 1, 2, 2]]), offsets=[(0, -1)])
    array([[[  0, 255,   0, 255]]], dtype=uint8)
    """
    values = take(labels, "labels")
    steps = offsets_of(offsets, len(values.shape))
    kind = _kind(dtype)
    if kind is None:
        raise ValueError(f"dtype must be uint8, float32 or bool, got {dtype!r}")
    inside = None if mask is None else mask_of(mask, values, values.shape, "labels").array
    made, valid = values.native.affinities(
        values.library, values.array, inside, _ignored(ignore, values.dtype), steps, kind, bool(return_valid)
    )
    result = values.give(made, plain=True)
    return (result, values.give(valid, plain=True)) if return_valid else result


def boundaries(labels: Any, *, connectivity: int = 6, mode: str = "thick") -> Any:
    """Voxels at the boundary of objects: boundary and contour targets.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
    connectivity : {6, 18, 26}, or {4, 8} for 2D
        A voxel is at a boundary if one of these neighbours holds another label.
    mode : {"thick", "inner"}
        ``"thick"`` marks both sides of every boundary. ``"inner"`` marks objects only, never voxels of label 0: the
        contours of instances.

    Returns
    -------
    marked : bool array of the shape of ``labels``

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> emfast.boundaries(np.array([[0, 0, 3, 3, 3]]), mode="inner").astype(int)
    array([[0, 0, 1, 0, 0]])
    """
    values = take(labels, "labels", order="any")
    near = connectivity_of(connectivity, len(values.shape))
    if mode not in ("thick", "inner"):
        raise ValueError(f'mode must be "thick" or "inner", got {mode!r}')
    near = {4: 6, 8: 26}.get(near, near)
    return values.give(values.native.boundaries(values.library, values.array, near, mode == "inner"))


def convert_affinities(affinities: Any, offsets: Sequence[Sequence[int]] = NEAREST, *, looks: str = "back") -> Any:
    """Affinities whose channels all look back, or all look forward.

    The edge between p and p + offset can be stored at either end: at p with the offset, or at p + offset with its
    opposite. emfast, waterz and LSD look back (offsets that begin with a negative number); others look forward.
    Channels that look the wrong way are moved to the other end of their edges, the rest is left as it is. Voxels
    that have no edge in a moved channel get 0.

    Parameters
    ----------
    affinities : (c, z, y, x) or (c, y, x) array
    offsets : sequence of (z, y, x) or (y, x)
        What the channels mean now.
    looks : {"back", "forward"}
        Which way they shall look.

    Returns
    -------
    affinities : array of the same shape, always a new one
    offsets : tuple of tuples
        What the channels mean then.

    Examples
    --------
    >>> import numpy as np
    >>> import emfast
    >>> forward = np.array([[[1, 2, 3, 0]]])  # edges 0-1, 1-2, 2-3, each at its first voxel
    >>> emfast.convert_affinities(forward, [(0, 1)])
    (array([[[0, 1, 2, 3]]]), ((0, -1),))
    """
    refuse_masked(affinities, "affinities")
    dims = getattr(affinities, "ndim", np.ndim(affinities)) - 1
    if dims not in (2, 3):
        raise ValueError(f"affinities must be 3D or 4D (channels first), got {dims + 1}D")
    if looks not in ("back", "forward"):
        raise ValueError(f'looks must be "back" or "forward", got {looks!r}')
    steps = [tuple(step[3 - dims :]) for step in offsets_of(offsets, dims)]
    if len(steps) != len(affinities):
        raise ValueError(f"offsets must be one per channel ({len(affinities)}), got {len(steps)}")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(affinities, torch.Tensor):
        out = affinities.clone()
    else:
        affinities = affinities if hasattr(affinities, "shape") else np.asarray(affinities)
        out = affinities.copy()
    for k, step in enumerate(steps):
        first = next(s for s in step if s)
        if (first < 0) == (looks == "back"):
            continue
        # What stood at p goes to p + step.
        to = tuple(slice(max(s, 0), max(n + min(s, 0), 0)) for s, n in zip(step, out.shape[1:], strict=True))
        at = tuple(slice(max(-s, 0), max(n - max(s, 0), 0)) for s, n in zip(step, out.shape[1:], strict=True))
        out[k] = 0
        if all(abs(s) < n for s, n in zip(step, out.shape[1:], strict=True)):
            out[k][to] = affinities[k][at]
        steps[k] = tuple(-s for s in step)
    return out, tuple(steps)


def offsets_of(offsets: Any, dims: int) -> list[tuple[int, ...]]:
    """Offsets as (z, y, x), one per channel. The default is cut to y and x for a picture."""
    try:
        steps = [tuple(operator.index(s) for s in step) for step in offsets]
    except TypeError:
        raise TypeError(f"offsets must be a sequence of integer steps, got {offsets!r}") from None
    if dims == 2 and tuple(steps) == NEAREST:
        steps = [step[1:] for step in steps[1:]]
    if not steps:
        raise ValueError("offsets must name at least one step, got none")
    for step in steps:
        if len(step) != dims or not any(step):
            raise ValueError(f"offsets must have {dims} numbers each, not all 0, got {step}")
        if max(map(abs, step)) >= 2**31:
            raise ValueError(f"offsets must be smaller than 2**31, got {step}")
    return [(0,) * (3 - dims) + step for step in steps]


def mask_of(mask: Any, beside: Operand, shape: tuple[int, ...], name: str) -> Operand:
    """The mask as bytes, where the array beside it lives. ``shape`` is wanted, that of ``name``."""
    inside = take(mask, "mask", kinds="b")
    if inside.shape != shape:
        raise ValueError(f"mask must have the shape of {name} {shape}, got {inside.shape}")
    if not inside.meets(beside):
        raise ValueError(f"mask must live where {name} lives")
    return inside


def _kind(dtype: Any) -> str | None:
    try:
        return _DTYPES.get(np.dtype(str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype))
    except TypeError:
        return None


def _ignored(ignore: Any, dtype: np.dtype) -> list[int]:
    if ignore is None:
        return []
    try:
        ids = [operator.index(ignore)]
    except TypeError:
        try:
            ids = [operator.index(i) for i in ignore]
        except TypeError:
            raise TypeError(f"ignore must be a label or a sequence of labels, got {ignore!r}") from None
    bits = [background_of(i, dtype) for i in ids]
    return sorted({b for b in bits if b is not None})
