"""MALIS: what each affinity decides about which voxels come together (Turaga 2009; constrained, Funke 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ._arrays import Operand, fetch, take
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
) -> tuple[Any, Any]:
    """How many pairs of voxels each affinity decides, in two passes.

    An edge joins voxel p and p + offset. Taken in the order of their affinity, the largest first, those that join two
    parts make a maximum spanning tree, and each of them decides all pairs of a voxel on either side. In the positive
    pass, over ``minimum(affinities, target)``, edges whose target is 1 count the pairs within an object that they
    decide; in the negative pass, over ``maximum(affinities, target)``, edges whose target is 0 count the pairs of two
    objects. The loss is ``sum(weights * (affinities - target)**2)``.

    Parameters
    ----------
    affinities : (c, y, x), (c, z, y, x) or (n, c, z, y, x) array of float32, from 0 to 1
        What is said of the edges. On a device the host does the work, since edges are joined one after another.
    target : array of bool, of the same shape
        What is so.
    labels : array of integers, of the shape without channels, optional
        The objects; voxels of 0 are in no pair. Default: what edges of target 1 connect, where that is more than one
        voxel.
    mask : array of bool, of the shape of ``affinities``, optional
        Edges outside are unknown: they keep their affinity in both passes and count nothing.
    offsets : sequence of (z, y, x) or (y, x)
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
    said = take(affinities, "affinities", kinds="biuf", dims=None)
    if said.dtype != np.float32 or len(said.shape) not in (3, 4, 5):
        wanted = "(c, y, x), (c, z, y, x) or (n, c, z, y, x) float32"
        raise TypeError(f"affinities must be {wanted}, got {said.dtype} of shape {said.shape}")
    dims = 2 if len(said.shape) == 3 else 3
    steps, channels = offsets_of(offsets, dims), said.shape[-1 - dims]
    if channels != len(steps):
        raise ValueError(f"affinities must have a channel per offset ({len(steps)}), got {channels}")
    so = _beside(target, "target", said)
    known = None if mask is None else _beside(mask, "mask", said)
    volume = (1,) * (3 - dims) + said.shape[-dims:]
    whole = (said.shape[0] if len(said.shape) == 5 else 1, channels, *volume)
    ids = None if labels is None else _numbers(labels, said, dims, (whole[0], *volume))
    counts, sums = said.native.malis_pairs(
        said.library,
        *(None if each is None else each.array.reshape(*whole) for each in (said, so, known)),
        ids,
        steps,
    )
    pairs, decided, yes = (said.library.to_numpy(array) for array in (counts, sums, so.array.reshape(*whole)))
    if normalise != "none":
        # In float32, of counts and sums rounded to it.
        kinds = np.maximum(decided[:, 2:] if normalise == "pass" else decided[:, :2], 1).astype(np.float32)
        pairs = pairs.astype(np.float32)
        pairs /= np.where(yes, *(column[:, None, None, None, None] for column in kinds.T))
    nothing = pairs.dtype.type(0)
    passes = (np.where(yes, pairs, nothing), np.where(yes, nothing, pairs))
    positive, negative = (said.give(said.library.from_numpy(each.reshape(said.shape)), plain=True) for each in passes)
    return positive, negative


def _beside(array: Any, name: str, said: Operand) -> Operand:
    values = take(array, name, kinds="biuf", dims=None)
    if values.dtype != bool or values.shape != said.shape:
        raise ValueError(f"{name} must be bool of the shape {said.shape}, got {values.dtype} of shape {values.shape}")
    if not values.meets(said):
        raise ValueError(f"{name} must live where affinities live")
    return values


def _numbers(labels: Any, said: Operand, dims: int, whole: tuple[int, ...]) -> Any:
    """Objects of each sample, numbered from 1."""
    values, _ = fetch(labels, "labels")
    wanted = said.shape[: -1 - dims] + said.shape[-dims:]
    if values.dtype.kind not in "iu" or values.shape != wanted:
        raise ValueError(f"labels must be integers of shape {wanted}, got {values.dtype} of shape {values.shape}")
    numbers = np.zeros(whole, np.uint32)
    for item, given in zip(numbers, values.reshape(whole), strict=True):
        item[...] = renumber(given)[0]
    return said.library.from_numpy(numbers)
