"""The scores of scikit-image's ``metrics``; :mod:`emfast.compat.skimage` hands them out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast
from emfast.metrics._numbers import ratio

__all__ = [
    "adapted_rand_error",
    "contingency_table",
    "hausdorff_distance",
    "hausdorff_pair",
    "variation_of_information",
]


def variation_of_information(
    image0: Any = None, image1: Any = None, *, table: Any = None, ignore_labels: Sequence[int] = ()
) -> np.ndarray:
    """Conditional entropies in bits.

    Parameters
    ----------
    image0, image1 : arrays of integers, of one shape
    table : sparse matrix of SciPy, optional
        In their place, as ``contingency_table`` makes it.
    ignore_labels : sequence of int
        Voxels with such a label in ``image0`` do not count.

    Returns
    -------
    (2,) float64
        H(image1 | image0), H(image0 | image1): splits come first where ``image0`` is the truth.
    """
    if table is not None:
        return np.array(_conditional_entropies(table))
    voi = emfast.contingency(image0, image1, ignore=ignore_labels).voi()
    return np.array([voi.split, voi.merge])


def adapted_rand_error(
    image_true: Any = None,
    image_test: Any = None,
    *,
    table: Any = None,
    ignore_labels: Sequence[int] = (0,),
    alpha: float = 0.5,
) -> tuple[float, float, float]:
    """Adapted Rand error, precision and recall of pairs of different voxels.

    Parameters
    ----------
    image_true, image_test : arrays of integers, of one shape
    table : sparse matrix of SciPy, optional
        In their place, as ``contingency_table`` makes it.
    ignore_labels : sequence of int
        Voxels with such a true label do not count.
    alpha : float
        The weight of precision.

    Returns
    -------
    are, prec, rec : float
    """
    if table is not None:
        joint, truth, test = (_pairs(np.asarray(v, np.float64)) for v in _marginals(table))
    else:
        squares = emfast.metrics.squares(emfast.contingency(image_true, image_test, ignore=ignore_labels))
        joint, truth, test = (s - squares.voxels for s in (squares.joint, squares.truth, squares.labels))
    f = ratio(joint, alpha * truth + (1 - alpha) * test)
    return 1 - f, ratio(joint, truth), ratio(joint, test)


def contingency_table(
    im_true: Any,
    im_test: Any,
    *,
    ignore_labels: Sequence[int] | None = None,
    normalize: bool = False,
    sparse_type: str = "matrix",
) -> Any:
    """How many voxels every true label shares with every other, as a sparse matrix of SciPy.

    Parameters
    ----------
    im_true, im_test : arrays of non-negative integers, of one shape
        SciPy's matrix has a row for each id up to the largest.
    ignore_labels : sequence of int, optional
        Voxels with such a true label do not count.
    normalize : bool
        Divide by the number of voxels that count.
    sparse_type : {"matrix", "array"}

    Returns
    -------
    csr_matrix or csr_array of float64
    """
    from scipy import sparse

    kinds = {"matrix": sparse.csr_matrix, "array": sparse.csr_array}
    if sparse_type not in kinds:
        raise ValueError(f"`sparse_type` must be 'array' or 'matrix', got {sparse_type}")
    whole = emfast.contingency(im_true, im_test)
    table = whole.without(truth=() if ignore_labels is None else ignore_labels)
    if min(whole.truth_ids.min(initial=0), whole.label_ids.min(initial=0)) < 0:
        raise ValueError("im_true and im_test must not be negative")
    truth, test, counts = table.pairs
    values = counts / table.voxels if normalize else counts.astype(np.float64)
    shape = (int(whole.truth_ids.max(initial=0)) + 1, int(whole.label_ids.max(initial=0)) + 1)
    places = (truth.astype(np.int64), test.astype(np.int64))
    return kinds[sparse_type]((values, places), shape=shape)


def hausdorff_distance(image0: Any, image1: Any, method: str = "standard") -> float:
    """The Hausdorff distance of two masks, in voxels.

    Parameters
    ----------
    image0, image1 : arrays, of one shape
        What is not 0 is inside.
    method : {"standard", "modified"}
        The largest distance, or the larger of the two mean distances.

    Returns
    -------
    float
        0 for two empty masks, infinite if one is empty.
    """
    if method not in ("standard", "modified"):
        raise ValueError(f"unrecognized method {method}")
    masks = [np.asarray(image) != 0 for image in (image0, image1)]
    if not all(mask.any() for mask in masks):
        return 0.0 if not any(mask.any() for mask in masks) else math.inf
    fold = np.max if method == "standard" else np.mean
    return float(max(fold(_distances(to)[at]) for at, to in (masks, masks[::-1])))


def hausdorff_pair(image0: Any, image1: Any) -> tuple[Any, Any]:
    """A pair of voxels, one of each mask, that are the Hausdorff distance apart.

    Parameters
    ----------
    image0, image1 : arrays, of one shape

    Returns
    -------
    point_a, point_b : (d,) int64
        Empty tuples, and a warning, if a mask is empty.
    """
    masks = [np.asarray(image) != 0 for image in (image0, image1)]
    if not all(mask.any() for mask in masks):
        warnings.warn("One or both of the images is empty.", stacklevel=2)
        return (), ()
    found = []
    for at, to in (masks, masks[::-1]):
        distances = np.where(at, _distances(to), -1.0)
        place = np.unravel_index(int(distances.argmax()), at.shape)
        nearest = np.unravel_index(int(_as_volume(emfast.nearest_background, to)[place]), at.shape)
        found.append((distances[place], np.array(place), np.array(nearest)))
    (from_0, a, b), (from_1, d, c) = found
    return (a, b) if from_0 > from_1 else (c, d)


def _distances(mask: np.ndarray) -> np.ndarray:
    """From every voxel to the nearest of a mask: float64."""
    squares = _as_volume(lambda outside: emfast.edt(outside, squared=True), mask)
    return np.sqrt(np.asarray(squares, np.float64))


def _as_volume(call: Any, mask: np.ndarray) -> np.ndarray:
    """A call on what is outside a mask of one, two or three axes."""
    outside = (~mask).view(np.uint8)
    return np.asarray(call(outside if mask.ndim > 1 else outside[None])).reshape(mask.shape)


def _marginals(table: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of a sparse matrix, and the sums of its rows and columns."""
    return table.tocoo().data, np.asarray(table.sum(axis=1)).ravel(), np.asarray(table.sum(axis=0)).ravel()


def _conditional_entropies(table: Any) -> tuple[float, float]:
    entries = table.tocoo()
    rows, columns = (np.asarray(table.sum(axis=axis)).ravel() for axis in (1, 0))
    known = entries.data > 0
    joint = entries.data[known]

    def entropy(whole: np.ndarray) -> float:
        return math.fsum(-joint * np.log2(joint / whole[known]))

    return entropy(rows[entries.row]), entropy(columns[entries.col])


def _pairs(sizes: np.ndarray) -> float:
    return math.fsum(sizes * sizes) - math.fsum(sizes)
