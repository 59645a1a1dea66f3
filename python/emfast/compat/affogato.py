"""The names of affogato.segmentation on emfast: ``from emfast.compat.affogato import compute_mws_segmentation``.

Partitions are those of affogato 0.4. Where results differ:

- Ties. affogato sorts in no particular order among equal weights; emfast takes the edge of the first voxel first, of
  one voxel that of the first channel, and of lists of edges the first. Attractive edges of weight 0 join last of all.
- Labels are numbered from 1 in raster order, 0 is outside of the mask alone; of graphs they are the smallest node of
  each cluster. affogato's are indices of a voxel or node, from 0.
- Weights are rounded to float32, and must not be negative where attractive and repulsive channels are told apart.
- ``randomize_strides`` draws the same edges every time.
- ``algorithm`` is not used: both give one partition.
- ``compute_zws_segmentation`` is the watershed of Zlateski and Seung as published. affogato's own joins and parts
  otherwise, and takes its last two arguments by each other's names: they are given here by what they are.

connected_components, MWSGridGraph, InteractiveMWS and the semantic mutex watershed are not offered.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast

from ._shared import ends, smallest_members

__all__ = [
    "compute_mws_clustering",
    "compute_mws_segmentation",
    "compute_mws_segmentation_from_affinities",
    "compute_mws_segmentation_from_signed_affinities",
    "compute_single_linkage_clustering",
    "compute_zws_segmentation",
]

_LEAST = np.finfo(np.float32).tiny  # what an attractive weight of 0 becomes, for emfast's 0 decides nothing


def compute_mws_segmentation(
    weights: np.ndarray,
    offsets: Sequence[Sequence[int]],
    number_of_attractive_channels: int,
    strides: Sequence[int] | None = None,
    randomize_strides: bool = False,
    algorithm: str = "kruskal",
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Segment by the mutex watershed.

    Parameters
    ----------
    weights : (c, z, y, x) or (c, y, x) array
        High where attractive channels join and where repulsive ones part.
    offsets : sequence of steps
        One per channel.
    number_of_attractive_channels : int
        These come first.
    strides : one number per axis, optional
        Keep repulsive edges of voxels on this grid alone.
    randomize_strides : bool
        Keep as many by chance instead.
    algorithm : {"kruskal", "prim"}
        Not used.
    mask : array of bool, shape of one channel, optional
        Voxels outside become 0.

    Returns
    -------
    segments : array of uint64, shape of one channel

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.affogato import compute_mws_segmentation
    >>> weights = np.array([[[0, 0, 0, 0]], [[0, 0.9, 0.6, 0.8]], [[0, 0, 0.8, 0.1]]])
    >>> compute_mws_segmentation(weights, [(-1, 0), (0, -1), (0, -2)], 2)
    array([[1, 1, 2, 2]], dtype=uint64)
    """
    if algorithm not in ("kruskal", "prim"):
        raise ValueError(f'algorithm must be "kruskal" or "prim", got {algorithm!r}')
    attractive = operator.index(number_of_attractive_channels)
    signed = np.array(weights, np.float32)
    if not 0 <= attractive <= len(signed):
        raise ValueError(f"number_of_attractive_channels must be from 0 to {len(signed)}, got {attractive}")
    if not signed.min(initial=0) >= 0:
        raise ValueError("weights must be numbers from 0 up, got negative ones or NaN")
    np.maximum(signed[:attractive], _LEAST, out=signed[:attractive])
    np.negative(signed[attractive:], out=signed[attractive:])
    found = emfast.mutex_watershed(
        signed,
        offsets,
        attractive=range(attractive),
        signed=True,
        strides=strides,
        randomize=0 if randomize_strides and strides is not None else None,
        mask=mask,
    )
    return np.asarray(found).astype(np.uint64)


def compute_mws_segmentation_from_signed_affinities(
    signed_affinities: np.ndarray,
    offsets: Sequence[Sequence[int]],
    foreground_mask: np.ndarray | None = None,
    edge_mask: np.ndarray | None = None,
    return_valid_edge_mask: bool = False,
) -> Any:
    """Segment by the mutex watershed, where negative affinities part and others join.

    Parameters
    ----------
    signed_affinities : (c, z, y, x) or (c, y, x) array
    offsets : sequence of steps, one per channel
    foreground_mask : array of bool, shape of one channel, optional
        Voxels outside become 0.
    edge_mask : array of bool, shape of ``signed_affinities``, optional
        Edges that count.
    return_valid_edge_mask : bool
        Return as well which edges counted.

    Returns
    -------
    segments : array of uint64, shape of one channel
    valid : array of bool, shape of ``signed_affinities``
    """
    signed = np.array(signed_affinities, np.float32)
    if edge_mask is not None and np.shape(edge_mask) != signed.shape:
        raise ValueError(f"edge_mask must have the shape of the affinities {signed.shape}, got {np.shape(edge_mask)}")
    signed[(signed >= 0) & (signed < _LEAST)] = _LEAST
    if edge_mask is not None:
        signed[~np.asarray(edge_mask, bool)] = 0
    found = emfast.mutex_watershed(signed, offsets, signed=True, mask=foreground_mask)
    segments = np.asarray(found).astype(np.uint64)
    if not return_valid_edge_mask:
        return segments
    return segments, _valid_edges(signed.shape, offsets, foreground_mask, edge_mask)


def _valid_edges(shape: tuple[int, ...], offsets: Any, mask: Any, edge_mask: Any) -> np.ndarray:
    valid = np.zeros(shape, bool)
    for k, step in enumerate(offsets):
        begin, end = ends(step, shape[1:])
        valid[k][begin] = True if mask is None else mask[begin] & mask[end]
    return valid if edge_mask is None else valid & np.asarray(edge_mask, bool)


def compute_mws_segmentation_from_affinities(
    affinities: np.ndarray,
    offsets: Sequence[Sequence[int]],
    beta_parameter: float = 0.5,
    foreground_mask: np.ndarray | None = None,
    edge_mask: np.ndarray | None = None,
    return_valid_edge_mask: bool = False,
) -> Any:
    """As from signed affinities, of ``affinities - beta_parameter``."""
    return compute_mws_segmentation_from_signed_affinities(
        np.asarray(affinities) - beta_parameter, offsets, foreground_mask, edge_mask, return_valid_edge_mask
    )


def compute_mws_clustering(
    number_of_labels: int, uvs: np.ndarray, mutex_uvs: np.ndarray, weights: np.ndarray, mutex_weights: np.ndarray
) -> np.ndarray:
    """The mutex watershed of a graph.

    Parameters
    ----------
    number_of_labels : int
        Nodes are 0 to this less one.
    uvs, mutex_uvs : (n, 2), (m, 2) arrays of integers
        Edges that join, and that part.
    weights, mutex_weights : (n,), (m,) arrays
        The highest comes first.

    Returns
    -------
    labels : (number_of_labels,) array of uint64

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat.affogato import compute_mws_clustering
    >>> edges, mutexes = np.array([[0, 1], [1, 2]]), np.array([[0, 2]])
    >>> compute_mws_clustering(4, edges, mutexes, np.array([0.9, 0.5]), np.array([0.7]))
    array([0, 0, 2, 3], dtype=uint64)
    """
    pairs, sizes = _edges(number_of_labels, uvs, weights, "uvs")
    parting, more = _edges(number_of_labels, mutex_uvs, mutex_weights, "mutex_uvs")
    order = np.argsort(-np.concatenate([sizes, more]), kind="stable")
    ranks = np.empty(len(order), np.float64)
    ranks[order] = np.arange(len(order), 0, -1)
    ranks[len(pairs) :] *= -1
    return _clusters(number_of_labels, np.concatenate([pairs, parting]), ranks)


def compute_single_linkage_clustering(
    number_of_labels: int, uvs: np.ndarray, mutex_uvs: np.ndarray, weights: np.ndarray, mutex_weights: np.ndarray
) -> np.ndarray:
    """Join what edges connect that are at least as strong as the first mutex, which has the weight of minus its own.

    Parameters and result as of :func:`compute_mws_clustering`.
    """
    pairs, sizes = _edges(number_of_labels, uvs, weights, "uvs")
    _, more = _edges(number_of_labels, mutex_uvs, mutex_weights, "mutex_uvs")
    kept = pairs[sizes >= np.max(-more, initial=-np.inf)]
    return _clusters(number_of_labels, kept, np.ones(len(kept)))


def _edges(count: int, pairs: Any, weights: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    ends, sizes = np.asarray(pairs), np.asarray(weights, np.float32)
    if ends.size == 0:
        ends = np.zeros((0, 2), np.int64)
    if ends.ndim != 2 or ends.shape[1] != 2 or ends.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers of shape (n, 2), got {ends.dtype} of shape {ends.shape}")
    if len(ends) != len(sizes):
        raise ValueError(f"{name} must have one edge per weight ({len(sizes)}), got {len(ends)}")
    if len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < count:
        raise ValueError(f"{name} must hold nodes from 0 to {count - 1}, got {ends.min()} to {ends.max()}")
    if np.isnan(sizes).any():
        raise ValueError(f"weights of {name} must be numbers, got NaN")
    return ends.astype(np.int64), sizes


def _clusters(count: int, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    labels = np.arange(count, dtype=np.uint64)
    if len(pairs):
        table = emfast.mutex_watershed_graph(pairs, weights)
        labels[table.old] = smallest_members(table.old, table.new)
    return labels


def compute_zws_segmentation(
    edge_weights: np.ndarray,
    lower_threshold: float,
    upper_threshold: float,
    merge_threshold: float,
    size_threshold: int,
) -> tuple[np.ndarray, int]:
    """The watershed of Zlateski and Seung with size-dependent merging.

    Parameters
    ----------
    edge_weights : (3, z, y, x) or (2, y, x) array
        Nearest affinities, looking back.
    lower_threshold, upper_threshold, merge_threshold : float
    size_threshold : int
        What is smaller in the end is 0.

    Returns
    -------
    labels : array of uint64, shape of one channel
    count : int
        One more than the largest label.

    See Also
    --------
    emfast.watershed
    """
    labels, count = emfast.watershed(
        np.asarray(edge_weights, np.float32),
        low=lower_threshold,
        high=upper_threshold,
        merge_size=size_threshold,
        merge_threshold=merge_threshold,
        dust=size_threshold,
        return_count=True,
    )
    return np.asarray(labels).astype(np.uint64), count + 1
