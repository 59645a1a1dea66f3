"""Label volumes: which ids there are, other ids for them, and whole objects kept, removed or filled.

Every function takes integers of any width and sign, or bool; ids may be anything up to 2⁶⁴−1, for no table is
as long as the largest id. Results come back in the library and on the device of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ._arrays import Operand, take

__all__ = [
    "LabelMap",
    "PointCloud",
    "component_map",
    "dust",
    "each",
    "fill_holes",
    "inverse_component_map",
    "largest_k",
    "mask",
    "mask_except",
    "minmax",
    "point_cloud",
    "refit",
    "remap",
    "renumber",
    "unique",
]


class LabelMap(Mapping[int, int]):
    """A table from old ids to new ids: two arrays of one length, read like a dict.

    ``remap`` takes it as it is. The arrays stay in the library and on the device they were made in; reading
    single entries brings them to the host once.

    Attributes
    ----------
    old, new : (n,) arrays of integers
        Label ``old[k]`` becomes ``new[k]``.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels, table = emfast.renumber(np.array([[40, 40, 0, 7]]))
    >>> dict(table)
    {0: 0, 40: 1, 7: 2}
    >>> emfast.remap(labels, table.inverse())
    array([[40, 40,  0,  7]])
    """

    def __init__(self, old: Any, new: Any) -> None:
        if old.shape != new.shape or len(old.shape) != 1:
            raise ValueError(f"old and new must be 1D and of one length, got shapes {old.shape} and {new.shape}")
        self.old, self.new = old, new
        self._dict: dict[int, int] | None = None

    def to_dict(self) -> dict[int, int]:
        """The table as a dict of Python integers."""
        if self._dict is None:
            self._dict = dict(zip(_host(self.old).tolist(), _host(self.new).tolist(), strict=True))
        return self._dict

    def inverse(self) -> LabelMap:
        """The table that leads back, of use where no two old ids share a new one."""
        return LabelMap(self.new, self.old)

    def __getitem__(self, label: int) -> int:
        return self.to_dict()[label]

    def __iter__(self) -> Iterator[int]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return int(self.old.shape[0])

    def __repr__(self) -> str:
        shown = ", ".join(f"{a}: {b}" for a, b in list(zip(_host(self.old[:5]), _host(self.new[:5]), strict=True)))
        return f"LabelMap({{{shown}{', …' if len(self) > 5 else ''}}}, {len(self)} ids)"


class PointCloud(Mapping[int, Any]):
    """The voxels of every label, read like a dict: ``cloud[label]`` has shape (n, dims).

    Attributes
    ----------
    ids : (k,) array
        The labels, ascending.
    offsets : (k + 1,) int64 array
        Label ``ids[j]`` owns ``indices[offsets[j]:offsets[j + 1]]``.
    indices : (n,) int32 array, int64 from 2³¹ voxels on
        Flat indices in raster order, ascending within a label.
    shape : tuple
        The shape of the label array.
    """

    def __init__(self, ids: Any, offsets: Any, indices: Any, shape: tuple[int, ...]) -> None:
        self.ids, self.offsets, self.indices, self.shape = ids, offsets, indices, shape
        self._place: dict[int, int] | None = None
        self._bounds: list[int] = []

    def flat(self, label: int) -> Any:
        """The flat indices of a label, ascending."""
        if self._place is None:
            self._place = {int(v): k for k, v in enumerate(_host(self.ids).tolist())}
            self._bounds = _host(self.offsets).tolist()
        k = self._place[label]
        return self.indices[self._bounds[k] : self._bounds[k + 1]]

    def __getitem__(self, label: int) -> Any:
        columns = _coordinates(self.flat(label), self.shape)
        if isinstance(self.indices, np.ndarray):
            return np.stack(columns, -1)
        import sys

        return sys.modules[type(self.indices).__module__.partition(".")[0]].stack(columns, -1)

    def __iter__(self) -> Iterator[int]:
        return iter(_host(self.ids).tolist())

    def __len__(self) -> int:
        return int(self.ids.shape[0])


def unique(labels: Any, *, counts: bool = False) -> Any:
    """The different labels, ascending by value.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    counts : bool
        Also return how many voxels each label has.

    Returns
    -------
    ids : (n,) array of the dtype of ``labels``
    counts : (n,) int64 array, only if ``counts``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.unique(np.array([[7, -1, 7]]), counts=True)
    (array([-1,  7]), array([1, 2]))
    """
    t = take(labels, "labels", dims=None, order="any")
    ids, numbers, _ = t.native.labels_unique(t.library, t.array, "value")
    return (t.library.give(ids), t.library.give(numbers)) if counts else t.library.give(ids)


def renumber(
    labels: Any,
    *,
    order: Literal["first", "size"] = "first",
    start: int = 1,
    keep_zero: bool = True,
    dtype: Any = None,
) -> tuple[Any, LabelMap]:
    """Give the labels consecutive ids.

    Returns both the labels and the table that leads there (``labels, table = renumber(…)``), as fastremap
    does.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    order : "first" or "size"
        Number by first appearance in raster order (the order of the axes, whatever the layout of memory), or
        the label with most voxels first, ties by first appearance.
    start : int
        The first new id.
    keep_zero : bool
        Label 0 stays 0 and takes no number.
    dtype : dtype, optional
        Of the result. By default the smallest unsigned one that holds the largest new id.

    Returns
    -------
    labels : array of the shape of ``labels``
    table : LabelMap
        From old ids to new ids, ascending by new id.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels, table = emfast.renumber(np.array([[900, 900, 0, 17]]))
    >>> labels
    array([[1, 1, 0, 2]], dtype=uint8)
    >>> table[900]
    1
    """
    check_numbering(order, start, keep_zero)
    t = take(labels, "labels", dims=None)
    kind, limit = ("", 0) if dtype is None else _kind(dtype)
    out, old, new = t.native.labels_renumber(t.library, t.array, order, int(start), bool(keep_zero), kind, limit)
    return t.give(out), LabelMap(t.library.give(old), t.library.give(new))


def remap(labels: Any, table: Any, *, missing: Literal["error", "keep"] | int = "error", dtype: Any = None) -> Any:
    """Replace every label by what a table says.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    table : LabelMap, dict, pair of 1D arrays, or 1D array
        From old to new ids: a mapping; a tuple ``(old, new)``, where the last of equal old ids counts; or an
        array that holds the new id of label ``k`` at index ``k``.
    missing : "error", "keep" or an integer
        What becomes of labels that are not in the table: KeyError, themselves, or that value (0, say).
    dtype : dtype, optional
        Of the result. By default that of the table's new ids where they are an array (with ``missing="keep"``
        the one that also holds the labels); for a dict that of ``labels`` if it holds the new ids, else the
        smallest that does.

    Returns
    -------
    array of the shape of ``labels``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.remap(np.array([[1, 2, 3]]), {1: 10, 2: 20}, missing=0)
    array([[10, 20,  0]])
    """
    t = take(labels, "labels", dims=None, order="any")
    return _remap(t, *table_of(t, table, missing, dtype), missing)


def table_of(t: Operand, table: Any, missing: Any, dtype: Any) -> tuple[Any, Any]:
    """The old ids (None: the new ones are indexed by label) and the new ids, in the dtype of the result, of `remap`."""
    if not (missing in ("error", "keep") if isinstance(missing, str) else _is_integer(missing)):
        raise ValueError(f"missing must be 'error', 'keep' or an integer, got {missing!r}")
    old, new = _table(t, table)
    extra = [] if isinstance(missing, str) else [int(missing)]
    if dtype is not None:
        wanted = np.dtype(dtype)
        _kind(wanted)
        if missing == "keep" and not np.can_cast(t.dtype, wanted):
            raise ValueError(f"dtype must hold every {t.dtype} with missing='keep', got {wanted}")
    elif isinstance(new, list):
        ids = [*new, *extra]
        kept = _limits(t.dtype) if missing == "keep" else ()
        wanted = t.dtype if _fits(ids, t.dtype) else _smallest([*ids, *kept])
    else:
        wanted = np.promote_types(t.dtype, new.dtype) if missing == "keep" else new.dtype
        if wanted.kind == "f":
            raise TypeError(f"labels ({t.dtype}) and table ({new.dtype}) have no integer dtype in common; give dtype=")
    if not _fits(extra, wanted):
        raise ValueError(f"missing must fit the dtype of the result, {wanted}, got {missing}")
    return old, _as_values(t, new, wanted)


def mask(labels: Any, ids: Any, value: int = 0) -> Any:
    """Set the voxels of some labels to ``value``.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    ids : int or array-like of int
        The labels to replace; ids that do not occur are of no account.
    value : int
        Must fit the dtype of ``labels``.

    Returns
    -------
    array like ``labels``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.mask(np.array([[1, 2, 3]]), [1, 3])
    array([[0, 2, 0]])
    """
    t = take(labels, "labels", dims=None, order="any")
    old = _keys(t, _integers(ids, "ids"))[0]
    return _remap(t, old, np.full(len(old), _value(value, t.dtype)), "keep")


def mask_except(labels: Any, ids: Any, value: int = 0) -> Any:
    """Set all voxels to ``value`` but those of some labels.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    ids : int or array-like of int
        The labels to keep.
    value : int
        Must fit the dtype of ``labels``.

    Returns
    -------
    array like ``labels``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.mask_except(np.array([[1, 2, 3]]), [2])
    array([[0, 2, 0]])
    """
    t = take(labels, "labels", dims=None, order="any")
    old = _keys(t, _integers(ids, "ids"))[0]
    return _remap(t, old, old, int(_value(value, t.dtype)))


def minmax(labels: Any) -> tuple[int, int]:
    """The least and the largest label, as Python integers.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.minmax(np.array([[3, -4, 9]]))
    (-4, 9)
    """
    t = take(labels, "labels", dims=None, order="any")
    if t.size == 0:
        raise ValueError("labels must not be empty")
    least, most = t.native.labels_extremes(t.library, t.array)
    return _signed(least, t.dtype), _signed(most, t.dtype)


def refit(labels: Any) -> Any:
    """The labels in the smallest dtype that holds them: unsigned, or signed where one is negative.

    An array that has that dtype already, or is empty or bool, comes back as it is, without a copy.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.refit(np.array([[1, 300]])).dtype
    dtype('uint16')
    """
    t = take(labels, "labels", dims=None, order="any")
    if t.size == 0 or t.dtype == bool:
        return labels
    least, most = t.native.labels_extremes(t.library, t.array)
    wanted = _smallest([_signed(least, t.dtype), _signed(most, t.dtype)])
    if wanted == t.dtype:
        return labels
    return t.give(t.native.labels_narrow(t.library, t.array, _kind(wanted)[0]))


def point_cloud(labels: Any, *, background: bool = False) -> PointCloud:
    """The voxels of every label: an inverse of the label array, made by one counting sort.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
    background : bool
        List label 0 too.

    Returns
    -------
    PointCloud
        ``cloud[label]`` is an (n, dims) array of coordinates in raster order; ``ids``, ``offsets`` and
        ``indices`` are the arrays behind it.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> cloud = emfast.point_cloud(np.array([[5, 0], [5, 2]]))
    >>> cloud[5].tolist()
    [[0, 0], [1, 0]]
    >>> cloud.ids, cloud.offsets, cloud.indices
    (array([2, 5]), array([0, 1, 3]), array([3, 0, 2], dtype=int32))
    """
    t = take(labels, "labels", dims=None)
    ids, offsets, indices = (t.library.give(a) for a in t.native.labels_points(t.library, t.array, not background))
    return PointCloud(ids, offsets, indices, t.shape)


def component_map(components: Any, parents: Any) -> LabelMap:
    """Which label each component lies in.

    Parameters
    ----------
    components, parents : arrays of integers of one shape
        Every component is thought to lie in one parent; the parent at its first voxel in raster order is
        taken.

    Returns
    -------
    LabelMap
        From component to parent, ascending by component, 0 included where it occurs.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> dict(emfast.component_map(np.array([1, 1, 2, 3]), np.array([5, 5, 5, 9])))
    {1: 5, 2: 5, 3: 9}
    """
    c, p = take(components, "components", dims=None), take(parents, "parents", dims=None)
    if c.shape != p.shape:
        raise ValueError(f"parents must have the shape of components {c.shape}, got {p.shape}")
    if not c.meets(p):
        raise TypeError("parents must live where components do, on the host or on one device and stream")
    ids, _, first = c.native.labels_unique(c.library, c.array, "value")
    return LabelMap(c.library.give(ids), p.library.give(p.native.labels_gather(p.library, p.array, first)))


def inverse_component_map(parents: Any, components: Any) -> dict[int, np.ndarray]:
    """Which components each label consists of: the inverse of ``component_map``.

    Parameters
    ----------
    parents, components : arrays of integers of one shape

    Returns
    -------
    dict of int to (n,) NumPy array
        From parent, ascending, to its components, ascending.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.inverse_component_map(np.array([5, 5, 5, 9]), np.array([1, 1, 2, 3]))
    {5: array([1, 2]), 9: array([3])}
    """
    table = component_map(components, parents)
    old, new = _host(table.old), _host(table.new)
    order = np.argsort(new, kind="stable")
    ids, starts = np.unique(new[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(old[order], starts[1:]), strict=True)) if len(ids) else {}


def dust(
    labels: Any,
    *,
    below: int | tuple[int, int] = 0,
    connectivity: int = 6,
    touching_border: Literal["keep", "remove"] | None = None,
    invert: bool = False,
    in_place: bool = False,
    return_count: bool = False,
) -> Any:
    """Remove small connected components.

    Parameters
    ----------
    labels : 2D or 3D array of integers or bool
        A component is a connected set of one label; 0 is background.
    below : int or pair of int
        Components of fewer voxels are set to 0. A pair ``(low, high)`` keeps those of ``low <= voxels <
        high``.
    connectivity : 6, 18 or 26; 4 or 8 for pictures
    touching_border : "keep" or "remove", optional
        What to do with components that touch the border of the array, whatever their size. With ``"remove"``
        alone only those that lie wholly inside stay.
    invert : bool
        Keep exactly what would be removed.
    in_place : bool
        Write the result into ``labels`` and return it.
    return_count : bool
        Also return the number of components kept.

    Returns
    -------
    labels : array like ``labels``
    count : int, only if ``return_count``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.dust(np.array([[3, 3, 0, 3, 4]]), below=2)
    array([[3, 3, 0, 0, 0]])
    """
    low, high = sieve_of(below, touching_border)
    bounds = (low, -1 if high is None else high)
    t = take(labels, "labels")
    out, kept = t.native.labels_dust(
        t.library, t.array, _connectivity(t, connectivity), *bounds, touching_border or "ignore", bool(invert)
    )
    return _result(labels, t.give(out), in_place, return_count, kept)


def largest_k(labels: Any, k: int, *, connectivity: int = 6, in_place: bool = False, return_count: bool = False) -> Any:
    """Keep the ``k`` largest connected components, ties by the first voxel in raster order.

    Parameters
    ----------
    labels : 2D or 3D array of integers or bool
        A component is a connected set of one label; 0 is background.
    k : int
    connectivity : 6, 18 or 26; 4 or 8 for pictures
    in_place : bool
        Write the result into ``labels`` and return it.
    return_count : bool
        Also return the number of components kept, fewer than ``k`` where there are no more.

    Returns
    -------
    labels : array like ``labels``
        The kept components with the labels they had.
    count : int, only if ``return_count``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.largest_k(np.array([[3, 3, 0, 3, 4]]), 1)
    array([[3, 3, 0, 0, 0]])
    """
    check_k(k)
    t = take(labels, "labels")
    out, kept = t.native.labels_largest(t.library, t.array, _connectivity(t, connectivity), min(int(k), 2**62))
    return _result(labels, t.give(out), in_place, return_count, kept)


def fill_holes(labels: Any, *, per_section: bool = False, in_place: bool = False, return_count: bool = False) -> Any:
    """Give everything that an object encloses the object's label.

    An object is a 26-connected set of one label, a cavity a 6-connected set of background (in sections 8 and
    4). An object encloses whatever cannot get out of the volume but through it, stepping through faces, or
    within one object or cavity; where several objects enclose each other, the outermost takes all. Objects
    are enclosed whole or not at all. For a mask this is ``scipy.ndimage.binary_fill_holes``. The result is
    unique, and filling it again changes nothing.

    Parameters
    ----------
    labels : 2D or 3D array of integers or bool
    per_section : bool
        Fill every section of a volume on its own.
    in_place : bool
        Write the result into ``labels`` and return it.
    return_count : bool
        Also return the number of voxels that changed.

    Returns
    -------
    labels : array like ``labels``
    count : int, only if ``return_count``

    Examples
    --------
    >>> import numpy as np, emfast
    >>> ring = np.full((3, 3), 5)
    >>> ring[1, 1] = 0
    >>> emfast.fill_holes(ring, return_count=True)
    (array([[5, 5, 5],
           [5, 5, 5],
           [5, 5, 5]]), 1)
    """
    t = take(labels, "labels")
    planar = len(t.shape) == 2
    out, changed = t.native.labels_fill_holes(t.library, t.array, bool(per_section) or planar)
    return _result(labels, t.give(out), in_place, return_count, changed)


def each(labels: Any) -> Iterator[tuple[int, tuple[slice, ...], Any]]:
    """Go through the labels, each cut out, without a scan of the volume for each.

    Parameters
    ----------
    labels : array of integers or bool, any number of axes
        0 is background and left out.

    Yields
    ------
    label : int
        Ascending.
    box : tuple of slices
        The label's bounding box.
    mask : bool array of the shape of the box
        Where ``labels[box]`` is this label.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> for label, box, mask in emfast.each(np.array([[0, 2, 2], [0, 0, 2]])):
    ...     print(label, box, mask.tolist())
    2 (slice(0, 2, None), slice(1, 3, None)) [[True, True], [False, True]]
    """
    t = take(labels, "labels", dims=None)
    cloud = point_cloud(labels)
    for label in cloud:
        columns = _coordinates(cloud.flat(label), t.shape)
        box = tuple(slice(int(c.min()), int(c.max()) + 1) for c in columns)
        inside = labels[box] if hasattr(labels, "__array_namespace__") or hasattr(labels, "shape") else t.array[box]
        yield label, box, inside == label


# What the functions above share, and the same on blocks.


def check_numbering(order: Any, start: Any, keep_zero: bool) -> None:
    """The options of `renumber`."""
    if order not in ("first", "size"):
        raise ValueError(f"order must be 'first' or 'size', got {order!r}")
    if not _is_integer(start) or not (1 if keep_zero else 0) <= start < 2**64:
        wanted = "1 with keep_zero=True" if keep_zero else "0"
        raise ValueError(f"start must be an integer from {wanted} to 2**64 - 1, got {start!r}")


def numbers_dtype(most: int, dtype: Any) -> np.dtype:
    """The dtype of ids up to ``most``: the smallest unsigned one, or the one asked for."""
    if dtype is None:
        return next(d for d in map(np.dtype, ("u1", "u2", "u4", "u8")) if most <= _limits(d)[1])
    limit = _kind(dtype)[1]
    if most > limit:
        raise ValueError(f"dtype must hold ids up to {most}, got one that holds up to {limit}")
    return np.dtype(dtype)


def sieve_of(below: Any, touching_border: Any) -> tuple[int, int | None]:
    """The options of `dust`: sizes from the first on and below the second stay, None being no end."""
    low, high = below if isinstance(below, tuple) and len(below) == 2 else (below, None)
    if not (_is_integer(low) and low >= 0 and (high is None or (_is_integer(high) and high >= low))):
        raise ValueError(f"below must be a number of voxels or a pair (low, high) with 0 <= low <= high, got {below!r}")
    if touching_border not in (None, "keep", "remove"):
        raise ValueError(f"touching_border must be 'keep', 'remove' or None, got {touching_border!r}")
    return int(low), None if high is None else int(high)


def check_k(k: Any) -> None:
    """The option of `largest_k`."""
    if not _is_integer(k) or k < 0:
        raise ValueError(f"k must be an integer of at least 0, got {k!r}")


def _host(array: Any) -> np.ndarray:
    """An array of any library as NumPy's."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "get"):
        return np.asarray(array.get())
    return np.asarray(array.cpu().numpy() if hasattr(array, "cpu") else array)


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def _signed(bits: int, dtype: np.dtype) -> int:
    """A label's bits, as a number."""
    top = 1 << (dtype.itemsize * 8 - 1)
    return bits - 2 * top if dtype.kind == "i" and bits & top else bits


def _limits(dtype: np.dtype) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _kind(dtype: Any) -> tuple[str, int]:
    """The native name of an integer dtype and the largest id it holds."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iub" or not dtype.isnative:
        raise TypeError(f"dtype must be an integer type in native byte order, got {dtype}")
    return dtype.str[1:], _limits(dtype)[1]


def _fits(values: Sequence[int], dtype: np.dtype) -> bool:
    low, high = _limits(dtype)
    return not len(values) or (low <= min(values) and max(values) <= high)


def _smallest(values: Sequence[int]) -> np.dtype:
    signed = len(values) and min(values) < 0
    for name in ("i1", "i2", "i4", "i8") if signed else ("u1", "u2", "u4", "u8"):
        if _fits(values, np.dtype(name)):
            return np.dtype(name)
    raise ValueError(f"ids must fit 64 bits together, got {min(values)} to {max(values)}")


def _value(value: Any, dtype: np.dtype) -> Any:
    if not _is_integer(value) and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"value must be an integer, got {type(value).__name__}")
    if not _fits([int(value)], dtype):
        raise ValueError(f"value must fit {dtype}, got {value}")
    return dtype.type(value)


def _integers(ids: Any, name: str) -> Any:
    """Ids as a 1D NumPy array of integers, or a list of Python integers that no dtype holds together."""
    array = ids if isinstance(ids, np.ndarray) else _host(ids) if hasattr(ids, "shape") else None
    if array is None:
        values = list(ids) if hasattr(ids, "__iter__") else [ids]
        for value in values:
            if not _is_integer(value) and not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name} must be integers, got {value!r}")
        if not values:
            return np.empty(0, "u1")
        try:
            array = np.array(values)
        except OverflowError:
            return [int(v) for v in values]
        if array.dtype.kind not in "iub":
            return [int(v) for v in values]
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    return array.ravel()


def _keys(t: Operand, ids: Any, values: Any = None) -> tuple[np.ndarray, Any]:
    """Those ids that labels of this dtype can have, in that dtype, and the values that go with them."""
    low, high = _limits(t.dtype)
    if isinstance(ids, list):
        fits = np.array([low <= v <= high for v in ids], bool)
        keys = np.array([v for v in ids if low <= v <= high], t.dtype)
    elif ids.dtype == t.dtype:
        return ids, values
    else:
        own_low, own_high = _limits(ids.dtype)
        fits = np.ones(len(ids), bool)
        if own_low < low:
            fits &= ids >= ids.dtype.type(max(low, own_low))
        if own_high > high:
            fits &= ids <= ids.dtype.type(high)
        keys = ids[fits].astype(t.dtype)
    if isinstance(values, list):
        values = [v for v, keep in zip(values, fits.tolist(), strict=True) if keep]
    elif values is not None:
        values = values[fits]
    return keys, values


def _table(t: Operand, table: Any) -> tuple[Any, Any]:
    """The old ids (None: an index) and the new ids of whatever the user gave.

    NumPy arrays, a list of Python integers for new ids of a dict, or arrays on the labels' own device.
    """
    if isinstance(table, Mapping) and not isinstance(table, LabelMap):
        values = _integers(table.values(), "table")
        return _keys(t, _integers(table.keys(), "table"), values if isinstance(values, list) else values.tolist())
    if isinstance(table, LabelMap) or (isinstance(table, tuple) and len(table) == 2):
        old, new = (table.old, table.new) if isinstance(table, LabelMap) else table
        ours, theirs = _own(t, old, "table"), _own(t, new, "table")
        if ours is not None and theirs is not None and ours.dtype == t.dtype:
            if ours.shape != theirs.shape:
                raise ValueError(f"table must hold two arrays of one length, got {ours.shape} and {theirs.shape}")
            return ours.array, theirs.array
        old, new = _integers(old, "table"), _integers(new, "table")
        if len(old) != len(new):
            raise ValueError(f"table must hold two arrays of one length, got {len(old)} and {len(new)} ids")
        return _keys(t, old, new)
    own = _own(t, table, "table")
    if own is not None:
        return None, own.array
    new = _integers(table, "table")
    if not isinstance(new, np.ndarray) or (hasattr(table, "shape") and len(table.shape) != 1):
        raise ValueError("table must be a mapping, a pair of 1D arrays, or a 1D array that is indexed by label")
    return None, new


def _own(t: Operand, array: Any, name: str) -> Operand | None:
    """A 1D array on the labels' own device as it is; None for whatever goes by way of the host."""
    if t.library.device < 0 or not hasattr(array, "shape") or isinstance(array, np.ndarray):
        return None
    own = take(array, name, dims=(1,))
    return own if own.meets(t) else None


def _as_values(t: Operand, new: Any, dtype: np.dtype) -> Any:
    """New ids in the dtype of the result."""
    if isinstance(new, list):
        if not _fits(new, dtype):
            raise ValueError(f"table must hold ids that fit {dtype}, got {min(new)} to {max(new)}")
        return np.array(new, dtype)
    if new.dtype == dtype:
        return new
    new = new if isinstance(new, np.ndarray) else t.library.to_numpy(new)
    if len(new) and not _fits([int(new.min()), int(new.max())], dtype):
        raise ValueError(f"table must hold ids that fit {dtype}, got {new.min()} to {new.max()}")
    return new.astype(dtype)


def _remap(t: Operand, old: Any, new: Any, missing: str | int) -> Any:
    def bring(array: Any) -> Any:
        return t.library.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array

    out, lost, bits = t.native.labels_remap(
        t.library, t.array, None if old is None else bring(old), bring(new), missing
    )
    if lost >= 0:
        raise KeyError(f"labels holds {_signed(bits, t.dtype)}, which table does not map (missing='error')")
    return t.give(out)


def _connectivity(t: Operand, connectivity: Any) -> int:
    planar = len(t.shape) == 2
    known = {4: 6, 8: 26, 6: 6, 18: 26, 26: 26} if planar else {6: 6, 18: 18, 26: 26}
    if not _is_integer(connectivity) or int(connectivity) not in known:
        wanted = "4 or 8 (6, 18, 26 are taken as such)" if planar else "6, 18 or 26"
        raise ValueError(f"connectivity must be {wanted} for {len(t.shape)}D labels, got {connectivity!r}")
    return known[int(connectivity)]


def _coordinates(flat: Any, shape: tuple[int, ...]) -> list[Any]:
    """One array per axis, in any library."""
    columns = []
    for side in reversed(shape):
        columns.append(flat % side)
        flat = flat // side
    return columns[::-1]


def _result(labels: Any, out: Any, in_place: bool, return_count: bool, count: int) -> Any:
    if in_place:
        if not hasattr(labels, "shape"):
            raise TypeError(f"labels must be an array to be written in place, got {type(labels).__name__}")
        labels[...] = out
        out = labels
    return (out, int(count)) if return_count else out
