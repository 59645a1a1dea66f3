"""fastremap's names on emfast: ``from emfast.compat import fastremap``.

Values, dtypes and the order of ids are those of fastremap 1.21 (``renumber`` goes by first appearance in the order of
memory). Where they differ:

- ``in_place`` writes the result into the array, and returns that array where its dtype fits; no memory is saved. A
  call that raises leaves the array as it was.
- ``transpose``, ``asfortranarray`` and ``ascontiguousarray`` are NumPy's: a view, and copies where the layout differs.
  fastremap permutes the array's own memory, which leaves the array that was passed in disorder.
- ``unique`` returns the first index in C order, as NumPy does, and always in ascending order. Floats and all options
  with ``axis`` are left to NumPy, as in fastremap.
- ``component_map`` takes the parent at a component's first voxel, fastremap the last that it sees; they are one where
  every component has one parent.
- ``point_cloud`` lists the voxels of a label in raster order (fastremap: as its sort leaves them), with coordinates in
  uint16, or uint32 where an axis is longer than 65535.
- Lists of labels may be any iterable or array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast

from .._arrays import take
from ._shared import as_integers, as_numbers, by_memory

__all__ = [
    "ascontiguousarray",
    "asfortranarray",
    "component_map",
    "fit_dtype",
    "foreground",
    "indices",
    "inverse_component_map",
    "is_solid",
    "is_sorted",
    "mask",
    "mask_except",
    "minmax",
    "narrow_dtype",
    "pixel_pairs",
    "point_cloud",
    "refit",
    "remap",
    "remap_from_array",
    "remap_from_array_kv",
    "renumber",
    "tobytes",
    "transpose",
    "unique",
    "widen_dtype",
]

_SIZES: dict[str, list[Any]] = {
    "u": [np.uint8, np.uint16, np.uint32, np.uint64],
    "i": [np.int8, np.int16, np.int32, np.int64],
    "f": [np.float16, np.float32, np.float64, np.longdouble],
    "c": [np.complex64, np.complex128, np.clongdouble],
}
_BLOCK = 2**22


def unique(
    labels: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The different values, ascending; with options as ``numpy.unique`` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fastremap
    >>> fastremap.unique(np.array([7, 3, 7]), return_counts=True)
    (array([3, 7]), array([1, 2], dtype=uint64))
    """
    array = np.asarray(labels)
    alone = not (return_index or return_inverse or return_counts)
    if axis == 0 and alone and array.ndim == 2 and array.shape[1] == 2 and _narrow(array.dtype):
        return _unique_pairs(array)
    if axis is not None or array.dtype.kind not in "iu":
        numpys: Any = np.unique  # its overloads know constants alone
        return numpys(array, return_index, return_inverse, return_counts, axis=axis, equal_nan=equal_nan)
    taken = take(array, "labels", dims=None, order="C" if return_index else "any")
    ids, counts, first = taken.native.labels_unique(taken.library, taken.array, "value")
    results = [ids]
    if return_index:
        results.append(first.astype(np.uintp))
    if return_inverse:
        places = np.arange(len(ids), dtype=np.uintp)
        results.append(emfast.remap(array, (ids, places)) if array.size else np.zeros(array.shape, np.uintp))
    if return_counts:
        results.append(counts.astype(np.uint64))
    return tuple(results) if len(results) > 1 else ids


def _narrow(dtype: np.dtype) -> bool:
    return dtype.kind in "iu" and dtype.itemsize < 8


def _unique_pairs(array: np.ndarray) -> np.ndarray:
    """Rows of two as one number each, in the same order."""
    least, bits = int(np.iinfo(array.dtype).min), 8 * array.dtype.itemsize
    first, second = ((array[:, k].astype(np.int64) - least).astype(np.uint64) for k in (0, 1))
    keys = emfast.unique((first << bits) | second)
    pairs = np.stack([keys >> bits, keys & (2**bits - 1)], axis=1).astype(np.int64)
    return np.asarray((pairs + least).astype(array.dtype))


def renumber(
    arr: Any, start: int = 1, preserve_zero: bool = True, in_place: bool = False
) -> tuple[np.ndarray, dict[Any, Any]]:
    """Consecutive ids from ``start`` on, by first appearance in the order of memory, and the table from old to new.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fastremap
    >>> fastremap.renumber(np.array([900, 900, 0, 17], np.uint32))
    (array([1, 1, 0, 2], dtype=uint8), {0: 0, 900: 1, 17: 2})
    """
    array = np.asarray(arr)
    if array.size == 0:
        return array, {}
    if array.dtype == bool:
        if preserve_zero:
            return array, {0: 0, 1: start}
        array = array.view(np.uint8)
    start = int(start)
    base, turned = by_memory(array)
    least = 1 if preserve_zero else 0
    out, table = emfast.renumber(as_integers(base), start=least, keep_zero=preserve_zero)
    old, new = np.asarray(table.old), np.asarray(table.new)
    fresh = len(old) - int(preserve_zero and (old == 0).any())
    after = start + fresh
    dtype = np.dtype(fit_dtype(array.dtype, start if abs(start) > abs(after) else after))
    if start != least:
        shift = start - least
        new = np.where((new == 0) & preserve_zero, 0, new.astype(np.int64) + shift)
        wide = out.astype(dtype if dtype.kind == "f" or dtype.itemsize == 8 else np.int64)
        out = np.where((out == 0) & preserve_zero, 0, wide + wide.dtype.type(shift)).astype(dtype)
    mapping = dict(zip(as_numbers(old, array.dtype).tolist(), new.astype(dtype).tolist(), strict=True))
    if preserve_zero:
        mapping = {dtype.type(0).item(): dtype.type(0).item(), **mapping}
    same = out.dtype.itemsize == dtype.itemsize and dtype.kind in "iu"
    out = out.view(dtype) if same else out.astype(dtype)
    result = out.T if turned else out
    if in_place and (array.flags.c_contiguous or array.flags.f_contiguous):
        array[...] = result
        result = array if array.dtype == dtype else result
    return result, mapping


def remap(arr: Any, table: dict[Any, Any], preserve_missing_labels: bool = False, in_place: bool = False) -> np.ndarray:
    """Replace values by what a dict says; what it does not name stays or raises KeyError.

    The dtype grows, within its kind, where a new value needs it.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fastremap
    >>> fastremap.remap(np.array([1, 2, 3]), {1: 10, 2: 20}, preserve_missing_labels=True)
    array([10, 20,  3])
    """
    array = np.asarray(arr)
    if array.size == 0:
        return array
    array = array.view(np.uint8) if array.dtype == bool else array
    dtype = array.dtype
    if table:
        largest = max(table.values(), key=abs)
        wanted = np.dtype(fit_dtype(dtype, largest))
        dtype = wanted if wanted.itemsize > dtype.itemsize else dtype
    if dtype.kind == "f":
        return _remap_floats(array.astype(dtype, copy=False), table, preserve_missing_labels, array, in_place)
    out = _remap(array, table, preserve_missing_labels, dtype)
    return _written(array, out, in_place)


def _remap(array: np.ndarray, table: Any, keep: bool, dtype: np.dtype) -> np.ndarray:
    return np.asarray(emfast.remap(array, table, missing="keep" if keep else "error", dtype=dtype))


def _remap_floats(wide: np.ndarray, table: dict[Any, Any], keep: bool, array: np.ndarray, in_place: bool) -> np.ndarray:
    bits = as_integers(wide)
    old, new = (as_integers(np.array(list(side), wide.dtype)) for side in (table.keys(), table.values()))
    return _written(array, _remap(bits, (old, new), keep, bits.dtype).view(wide.dtype), in_place)


def _written(array: np.ndarray, out: np.ndarray, in_place: bool) -> np.ndarray:
    if not in_place or array.dtype != out.dtype:
        return out
    array[...] = out
    return array


def remap_from_array(arr: np.ndarray, vals: np.ndarray, in_place: bool = True) -> np.ndarray:
    """Label k becomes ``vals[k]``; labels beyond its end stay."""
    return _written(arr, _remap(arr, np.asarray(vals), True, arr.dtype), in_place)


def remap_from_array_kv(
    arr: np.ndarray,
    keys: np.ndarray,
    vals: np.ndarray,
    preserve_missing_labels: bool = True,
    in_place: bool = True,
) -> np.ndarray:
    """Label ``keys[k]`` becomes ``vals[k]``; what is not among the keys stays or raises KeyError."""
    table = (np.asarray(keys).reshape(-1), np.asarray(vals).reshape(-1))
    assert len(table[0]) == len(table[1])
    return _written(arr, _remap(arr, table, preserve_missing_labels, arr.dtype), in_place)


def mask(arr: Any, labels: Any, in_place: bool = False, value: float = 0) -> np.ndarray:
    """Set the voxels of some labels to ``value``.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fastremap
    >>> fastremap.mask(np.array([1, 2, 3]), [1, 3])
    array([0, 2, 0])
    """
    array = np.asarray(arr)
    whole = array.dtype.kind in "iu" and np.iinfo(array.dtype).min <= value <= np.iinfo(array.dtype).max
    if not whole:
        return remap(array, dict.fromkeys(np.asarray(_listed(labels)).tolist(), value), True, in_place)
    return _written(array, np.asarray(emfast.mask(array, _listed(labels), int(value))), in_place)


def mask_except(arr: Any, labels: Any, in_place: bool = False, value: float = 0) -> np.ndarray:
    """Set all voxels to ``value`` but those of some labels."""
    array = np.asarray(arr)
    return _written(array, np.asarray(emfast.mask_except(array, _listed(labels), int(value))), in_place)


def _listed(labels: Any) -> Any:
    return labels if isinstance(labels, np.ndarray) else list(labels)


def minmax(arr: Any) -> tuple[Any, Any]:
    """The least and the largest value; (None, None) of an empty array."""
    array = np.asarray(arr)
    if array.size == 0:
        return None, None
    if array.dtype.kind in "iu":
        return emfast.minmax(array)
    return array.min().item(), array.max().item()


def component_map(component_labels: Any, parent_labels: Any) -> dict[int, int]:
    """The parent of each component.

    Examples
    --------
    >>> from emfast.compat import fastremap
    >>> fastremap.component_map([1, 2, 3, 4], [5, 5, 6, 7])
    {1: 5, 2: 5, 3: 6, 4: 7}
    """
    components, parents = _pair(component_labels, parent_labels)
    return emfast.component_map(components, parents).to_dict() if components.size else {}


def inverse_component_map(parent_labels: Any, component_labels: Any) -> dict[int, list[int]]:
    """The components of each parent, ascending; a component may lie in several.

    Examples
    --------
    >>> from emfast.compat import fastremap
    >>> fastremap.inverse_component_map([1, 2, 1, 3], [4, 4, 5, 6])
    {1: [4, 5], 2: [4], 3: [6]}
    """
    parents, components = _pair(parent_labels, component_labels)
    if not parents.size:
        return {}
    ids = [emfast.unique(side) for side in (parents, components)]
    count = len(ids[1])
    dtype = np.min_scalar_type(len(ids[0]) * count)
    keys = emfast.remap(parents, (ids[0], np.arange(len(ids[0]), dtype=dtype) * dtype.type(count)), dtype=dtype)
    keys = keys + emfast.remap(components, (ids[1], np.arange(count, dtype=dtype)), dtype=dtype)
    found = emfast.unique(keys)
    of, part = np.divmod(found, dtype.type(count))
    starts = np.flatnonzero(np.diff(of, prepend=of[:1] + dtype.type(1)))
    parts = np.split(ids[1][part], starts[1:])
    return dict(zip(ids[0].tolist(), (p.tolist() for p in parts), strict=True))


def _pair(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise ValueError(f"both arrays must have one shape, got {a.shape} and {b.shape}")
    return a, b


def refit(arr: np.ndarray, value: Any = None, increase_only: bool = False, exotics: bool = False) -> np.ndarray:
    """The array in the smallest dtype of its kind that holds ``value`` (default: its own largest in size)."""
    if value is None:
        low, high = minmax(arr)
        value = 0 if low is None else high if abs(high) > abs(low) else low
    dtype = np.dtype(fit_dtype(arr.dtype, value, exotics=exotics))
    if dtype == arr.dtype or (increase_only and dtype.itemsize <= arr.dtype.itemsize):
        return arr
    return arr.astype(dtype)


def fit_dtype(dtype: Any, value: Any, exotics: bool = False) -> Any:
    """The smallest dtype of the same kind that holds ``value``; ``exotics`` adds float16 and complex128."""
    kind = np.dtype(dtype).kind
    if kind not in _SIZES:
        raise ValueError(f"dtype must be integers, floats or complex numbers, got {np.dtype(dtype)}")
    sizes = {"f": [*_SIZES["f"][0 if exotics else 1 : 3]], "c": [*_SIZES["c"][: 2 if exotics else 1]]}.get(
        kind, _SIZES[kind]
    )
    if kind == "u" and value < 0:
        raise ValueError(f"value must not be negative for {np.dtype(dtype)}, got {value}")
    part = value.item() if isinstance(value, np.generic) else value
    if isinstance(part, complex):
        part = max(part.real, part.imag, key=abs)
    for size in sizes:
        info: Any = np.iinfo(size) if kind in "iu" else np.finfo(size)
        low, high = (info.min, info.max) if kind in "iu" else (info.min.item(), info.max.item())
        if low <= part <= high:
            return size
    raise ValueError(f"no dtype of the kind of {np.dtype(dtype)} holds {value}")


def widen_dtype(dtype: Any, exotics: bool = False) -> Any:
    """The next larger dtype of the same kind, or the same where it is the largest."""
    return _beside(dtype, 1, {"f": _SIZES["f"][: 4 if exotics else 3], "c": _SIZES["c"][: 3 if exotics else 1]})


def narrow_dtype(dtype: Any, exotics: bool = False) -> Any:
    """The next smaller dtype of the same kind, or the same where it is the smallest."""
    if np.dtype(dtype).itemsize == 1:
        return np.dtype(dtype)
    return _beside(dtype, -1, {"f": _SIZES["f"][0 if exotics else 1 :]})


def _beside(dtype: Any, step: int, sizes: dict[str, list[Any]]) -> Any:
    dtype = np.dtype(dtype)
    row = {**_SIZES, **sizes}.get(dtype.kind)
    if row is None or dtype not in row:
        raise ValueError(f"dtype must be integers, floats or complex numbers, got {dtype}")
    return row[min(max(row.index(dtype) + step, 0), len(row) - 1)]


def transpose(arr: np.ndarray) -> np.ndarray:
    """The transposed array, a view."""
    return arr.T


def asfortranarray(arr: np.ndarray) -> np.ndarray:
    """The array in Fortran order; a copy where it is not."""
    return np.asfortranarray(arr)


def ascontiguousarray(arr: np.ndarray) -> np.ndarray:
    """The array in C order; a copy where it is not."""
    return np.ascontiguousarray(arr)


def foreground(arr: Any) -> int:
    """The number of voxels that are not 0."""
    return int(np.count_nonzero(arr))


def is_solid(arr: np.ndarray, value: Any = None) -> bool:
    """Whether all voxels have one value (and, if given, that one); True of an empty array."""
    array = np.asarray(arr)
    if array.size == 0:
        return True
    flat = by_memory(array)[0].reshape(-1)
    first = flat[0] if value is None else value
    return all(bool((flat[i : i + _BLOCK] == first).all()) for i in range(0, flat.size, _BLOCK))


def is_sorted(arr: np.ndarray, asc: bool = True) -> bool:
    """Whether the values ascend (or descend) in the order of memory."""
    flat = by_memory(np.asarray(arr))[0].reshape(-1)
    compare = np.less_equal if asc else np.greater_equal
    for i in range(0, flat.size - 1, _BLOCK):
        after = flat[i + 1 : i + 1 + _BLOCK]
        if not compare(flat[i : i + len(after)], after).all():
            return False
    return True


def pixel_pairs(labels: np.ndarray) -> int:
    """How many voxels equal the next one in memory."""
    flat = by_memory(np.asarray(labels))[0].reshape(-1)
    total = 0
    for i in range(0, flat.size - 1, _BLOCK):
        after = flat[i + 1 : i + 1 + _BLOCK]
        total += int(np.count_nonzero(flat[i : i + len(after)] == after))
    return total


def indices(arr: Any, value: float) -> np.ndarray:
    """Where a row holds ``value``."""
    return np.flatnonzero(np.asarray(arr) == value).astype(np.uint64)


def point_cloud(arr: np.ndarray, shell: bool = False) -> dict[int, np.ndarray]:
    """The coordinates of the voxels of every label but 0, an (n, dims) array each.

    Parameters
    ----------
    arr : array of integers or bool, 2D or 3D
    shell : bool
        Only voxels with a face towards another label or the outside.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import fastremap
    >>> fastremap.point_cloud(np.array([[5, 0], [5, 2]]))[5].tolist()
    [[0, 0], [1, 0]]
    """
    array = np.asarray(arr)
    array = array.view(np.uint8) if array.dtype == bool else array
    if shell and array.size:
        inner = ~emfast.boundaries(array, connectivity=6)
        rim = np.ones(array.shape, bool)
        rim[(slice(1, -1),) * array.ndim] = False
        array = np.where(inner & ~rim, array.dtype.type(0), array)
    dtype = np.uint16 if max(array.shape, default=0) < 2**16 else np.uint32
    cloud = emfast.point_cloud(array)
    return {label: points.astype(dtype) for label, points in cloud.items()}


def tobytes(image: np.ndarray, chunk_size: Sequence[int], order: str = "C") -> list[bytes]:
    """The bytes of each cutout of a regular grid; grid points in Fortran order."""
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C' or 'F', got {order!r}")
    if len(chunk_size) != 3 or image.ndim != 3:
        raise ValueError(f"image and chunk_size must have three axes, got {image.shape} and {tuple(chunk_size)}")
    if any(n % int(c) for n, c in zip(image.shape, chunk_size, strict=True)):
        raise ValueError(f"chunk_size {tuple(chunk_size)} must divide the shape of image, {image.shape}")
    cx, cy, cz = (int(c) for c in chunk_size)
    order_: Any = order
    return [
        image[x : x + cx, y : y + cy, z : z + cz].tobytes(order_)
        for z in range(0, image.shape[2], cz)
        for y in range(0, image.shape[1], cy)
        for x in range(0, image.shape[0], cx)
    ]
