"""MALIS: what each affinity decides about which voxels come together (Turaga 2009; constrained, Funke 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ._arrays import refuse_masked, take
from .edges import NEAREST, offsets_of
from .labels import renumber

__all__ = ["malis_weights"]


def malis_weights(
    affinities: Any,
    target: Any,
    *,
    labels: Any = None,
    mask: Any = None,
    offsets: Sequence[Sequence[int]] = NEAREST,
    normalise: Literal["pass", "pairs", "none"] = "pass",
) -> tuple[np.ndarray, np.ndarray]:
    """How many pairs of voxels each affinity decides, in two passes.

    An edge joins voxel p and p + offset. Taken in the order of their affinity, the largest first, those that join two
    parts make a maximum spanning tree, and each of them decides all pairs of a voxel on either side. In the positive
    pass, over ``minimum(affinities, target)``, edges whose target is 1 count the pairs within an object that they
    decide; in the negative pass, over ``maximum(affinities, target)``, edges whose target is 0 count the pairs of two
    objects. The loss is ``sum(weights * (affinities - target)**2)``.

    Parameters
    ----------
    affinities : (c, z, y, x) or (n, c, z, y, x) array of float32, from 0 to 1
        What is said of the edges.
    target : array of bool, of the same shape
        What is so.
    labels : (z, y, x) or (n, z, y, x) array of integers, optional
        The objects; voxels of 0 are in no pair. Default: what edges of target 1 connect, where that is more than one
        voxel.
    mask : array of bool, of the shape of ``affinities``, optional
        Edges outside are unknown: they keep their affinity in both passes and count nothing.
    offsets : sequence of (z, y, x)
        One step per channel.
    normalise : {"pass", "pairs", "none"}
        ``"pass"`` divides by the pairs counted in that pass, so that the weights of each pass sum to 1 (the malis
        package, pytorch_connectomics); ``"pairs"`` by all pairs there are of that kind;
        ``"none"`` gives the counts.

    Returns
    -------
    positive, negative : float32 arrays of the shape of ``affinities``
        uint64 with ``"none"``.

    Notes
    -----
    Equal affinities count by the smaller edge id, voxel times channels plus channel. Counts are exact.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> said = np.array([[[[0, 0.9, 0.4, 0.8, 0.7]]]], np.float32)  # between each voxel and the one before it
    >>> target = np.array([[[[0, 1, 1, 0, 1]]]], bool)
    >>> positive, negative = emfast.malis_weights(said, target, offsets=[(0, 0, -1)], normalise="none")
    >>> positive.ravel(), negative.ravel()  # the weak edge within the first object; the strong one between the two
    (array([0, 1, 2, 0, 1], dtype=uint64), array([0, 0, 0, 6, 0], dtype=uint64))
    """
    if normalise not in ("pass", "pairs", "none"):
        raise ValueError(f'normalise must be "pass", "pairs" or "none", got {normalise!r}')
    refuse_masked(affinities, "affinities")
    said = np.asarray(affinities)
    if said.dtype != np.float32 or said.ndim not in (4, 5):
        raise TypeError(f"affinities must be (n, c, z, y, x) float32, got {said.dtype} of shape {said.shape}")
    steps = offsets_of(offsets, 3)
    if said.shape[-4] != len(steps):
        raise ValueError(f"affinities must have a channel per offset ({len(steps)}), got {said.shape[-4]}")
    so = _beside(target, "target", said)
    known = None if mask is None else _beside(mask, "mask", said)
    batch = said if said.ndim == 5 else said[None]
    ids = None if labels is None else _numbers(labels, batch.shape[:1] + batch.shape[2:], said.ndim == 5)
    operand = take(np.empty((1, 1), np.uint8), "affinities")
    said_, so_ = (np.ascontiguousarray(array).reshape(batch.shape) for array in (said, so))
    known_ = None if known is None else np.ascontiguousarray(known).reshape(batch.shape)
    counts, sums = operand.native.malis_pairs(operand.library, said_, so_, known_, ids, steps)
    if normalise != "none":
        # In float32, of counts and sums rounded to it.
        whole = np.maximum(sums[:, 2:] if normalise == "pass" else sums[:, :2], 1).astype(np.float32)
        counts = counts.astype(np.float32)
        counts /= np.where(so_, *(column[:, None, None, None, None] for column in whole.T))
    counts = counts.reshape(said.shape)
    return np.where(so, counts, counts.dtype.type(0)), np.where(so, counts.dtype.type(0), counts)


def _beside(array: Any, name: str, said: np.ndarray) -> np.ndarray:
    values = np.asarray(array)
    if values.dtype != bool or values.shape != said.shape:
        raise ValueError(f"{name} must be bool of the shape {said.shape}, got {values.dtype} of shape {values.shape}")
    return values


def _numbers(labels: Any, shape: tuple[int, ...], batch: bool) -> np.ndarray:
    values = np.asarray(labels)
    if values.dtype.kind not in "iu" or values.shape != (shape if batch else shape[1:]):
        wanted = shape if batch else shape[1:]
        raise ValueError(f"labels must be integers of shape {wanted}, got {values.dtype} of shape {values.shape}")
    return np.stack([renumber(item)[0] for item in values.reshape(shape)]).astype(np.uint32)
