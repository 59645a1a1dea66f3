"""Measures of labelled volumes: statistics of each label, and the contacts between labels.

The native modules return exact integers; every float here is derived from them by one expression, so results are equal
on any number of threads and on the device.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ._arrays import Operand, take
from ._engine.grid import is_lazy
from ._options import background_of, connectivity_of, ids_of, periodic_of, spacing_of
from ._table import Table
from .distance import _metric

# The cells of a row of the native `statistics`, as csrc/statistics/statistics.h lays them out.
_VOXELS, _FIRST, _LOW, _HIGH, _SUM, _BASIC = 0, 1, 2, 5, 8, 11
_PRODUCTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_STEPS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


class Statistics(Table):
    """A Table with a row per label; see :func:`emfast.statistics` for its columns."""

    def slices(self) -> list[tuple[slice, ...]]:
        """The bounding box of each label, in the order of rows, ready to index the volume with."""
        boxes = zip(self["start"].tolist(), self["stop"].tolist(), strict=True)
        return [tuple(map(slice, start, stop)) for start, stop in boxes]


def statistics(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    background: int | None = 0,
    moments: bool = False,
    surface: bool = False,
    radius: bool = False,
    block: Sequence[int] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Statistics:
    """Measure every label of a volume.

    Work and memory depend on the number of labels, not on the size of their ids. The columns without options come from
    one pass.

    Parameters
    ----------
    labels : array of integers or bool, shape (z, y, x) or (y, x)
        Any memory order; C and Fortran order are read in place. Volumes that are no arrays but can be sliced (of Zarr,
        h5py, dask …) are read block by block, the next while one is measured.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    background : int or None
        The id that is left out; None measures every id.
    moments, surface, radius : bool
        Add the columns named below; ``radius`` of an array that is taken whole.
    block : sequence of int, optional
        The voxels of a block along each axis, which bounds memory. The result does not depend on it. Default: arrays
        are taken whole, other volumes in whole chunks of about 16 million voxels.
    progress : callable, optional
        Called with the voxels that are done and those in all, after each block.

    Returns
    -------
    Statistics
        A :class:`Table` on the host with a row per id, ascending. n rows, d axes:

        label : (n,) the ids, in the dtype of ``labels`` (uint8 for bool)
        voxels : (n,) int64
        volume : (n,) nm³ (in 2D ``area``, nm²)
        start, stop : (n, d) int64, the bounding box; ``.slices()`` has it as slices
        centroid : (n, d) mean of the voxels' coordinates;  centroid_nm : (n, d) times spacing
        touches_border : (n,) bool, whether a voxel lies on the edge of the volume
        inside : (n, d) int64, a voxel of the label: its first in C order; the deepest with ``radius=True``
        covariance : (n, d, d) nm², of the voxels' centres (``moments``)
        axes : (n, d) nm, the full lengths of the axes of the ellipsoid (ellipse) with that covariance, longest first
            (``moments``)
        directions : (n, d, d), unit vectors of these axes, a row each; the component of largest size is positive
            (``moments``)
        surface : (n,) nm², the surface area; in 2D ``perimeter``, nm (``surface``)
        radius : (n,) nm, the distance from the deepest voxel to the nearest voxel centre that is outside (``radius``)

    Notes
    -----
    Centroids are exact integer sums, divided once. The covariance comes from exact integers too, as long as voxels
    times the square of the longest side of the label's box stays below 2^62; beyond that a ValueError says so.

    The surface is the Cauchy–Crofton estimate: along the 13 directions (4 in 2D) the places where lines leave the label
    are counted, and weighted by the directions' shares of the sphere in nanometres. The outside of the volume counts as
    another label, so surfaces are closed. Balls and smooth cells come out within a few per cent; a face along the
    axes comes out too small (a large cube by about a tenth).

    ``radius`` counts the outside of the volume as another label as well.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> labels = np.zeros((4, 6, 6), np.uint64)
    >>> labels[1:3, 1:5, 2:4] = 2**64 - 1
    >>> table = emfast.statistics(labels, spacing=(30, 8, 8))
    >>> table.voxels.tolist(), table.volume.tolist(), table.slices()
    ([16], [30720.0], [(slice(1, 3, None), slice(1, 5, None), slice(2, 4, None))])
    >>> table[2**64 - 1]["centroid"].tolist()
    [1.5, 2.5, 2.5]
    """
    if block is not None or is_lazy(labels):
        if radius:
            raise ValueError("radius must be False for volumes that are read block by block; give an array")
        return Statistics(_columns_of_blocks(labels, spacing, background, moments, surface, block, progress))
    operand = take(labels, "labels", order="C" if radius else "any")
    dims = len(operand.shape)
    steps_nm = spacing_of(spacing, dims)
    shape = tuple(int(s) for s in np.array(operand.shape)[np.argsort(operand.axes)])
    pattern = background_of(background, operand.dtype)
    depths = _depths(operand, spacing, pattern) if radius else None
    ids, cells = _measure(operand, pattern, moments, surface, depths, shape)
    if progress is not None:
        progress(math.prod(shape), math.prod(shape))
    return Statistics(_columns(ids, cells, shape, steps_nm, moments, surface, radius))


def contacts(
    labels: Any,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    connectivity: int = 6,
    background: int | None = 0,
    periodic: bool | Sequence[bool] = False,
) -> Table:
    """Which labels touch, and on what area.

    Parameters
    ----------
    labels : array of integers or bool, shape (z, y, x) or (y, x)
        Any memory order; C and Fortran order are read in place.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    connectivity : {6, 18, 26}, in 2D {4, 8}
        Which voxels are neighbours. Only faces have an area: a pair that meets at edges or corners alone is listed with
        area 0.
    background : int or None
        Pairs with this id are left out; None keeps all.
    periodic : bool or a bool per axis
        Whether the last voxel of an axis touches the first.

    Returns
    -------
    Table
        On the host, a row per pair, ascending; ``table[a, b]`` is a row, ``list(table)`` the region graph:

        a, b : (n,) ids, a < b
        faces : (n, d) int64, the voxel faces they share across each axis
        neighbours : (n,) int64, pairs of voxels that are neighbours under the connectivity
        area : (n,) nm², faces times their areas (in 2D ``length``, nm)

    Examples
    --------
    >>> import emfast, numpy as np
    >>> labels = np.array([[[1, 1, 2], [1, 7, 2]]])
    >>> table = emfast.contacts(labels, spacing=(30, 8, 10))
    >>> list(table), table[1, 7]["faces"].tolist(), table[1, 7]["area"].item()
    ([(1, 2), (1, 7), (2, 7)], [0, 1, 1], 540.0)
    """
    operand = take(labels, "labels", order="any")
    dims = len(operand.shape)
    nm = spacing_of(spacing, dims)
    reach = {4: 1, 6: 1, 8: 2, 18: 2, 26: 3}[connectivity_of(connectivity, dims)]
    raw_a, raw_b, raw_cells = operand.native.contacts(
        operand.library,
        operand.array,
        background_of(background, operand.dtype),
        operand.dtype.kind == "i",
        reach,
        operand.permute(periodic_of(periodic, dims)),
    )
    a, b = (ids_of(operand.library.to_numpy(raw), operand.dtype) for raw in (raw_a, raw_b))
    cells = operand.library.to_numpy(raw_cells)
    faces = cells[:, 3 - dims : 3][:, np.argsort(operand.axes)]
    return Table(
        {
            "a": a,
            "b": b,
            "faces": faces,
            "neighbours": cells[:, 3].copy(),
            **contact_area(faces, nm),
        },
        keys=2,
    )


def contact_area(faces: np.ndarray, nm: tuple[float, ...]) -> dict[str, np.ndarray]:
    """The column ``area`` (in 2D ``length``) of contacts with these faces along each axis."""
    dims = len(nm)
    areas = [math.prod(nm[:axis] + nm[axis + 1 :]) for axis in range(dims)]
    total = sum((faces[:, k] * areas[k] for k in range(dims)), np.zeros(len(faces)))
    return {"area" if dims == 3 else "length": total}


def _measure(
    operand: Operand,
    background: int | None,
    moments: bool,
    surface: bool,
    depths: Any,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Ids, and the native cells with axes, products and directions in the order of the caller's axes."""
    strides = [math.prod(shape[a + 1 :]) for a in range(len(shape))]
    raw_ids, raw_cells = operand.native.statistics(
        operand.library,
        operand.array,
        background,
        operand.dtype.kind == "i",
        [strides[a] for a in operand.axes],
        moments,
        surface,
        depths,
    )
    ids = ids_of(operand.library.to_numpy(raw_ids), operand.dtype)
    cells = operand.library.to_numpy(raw_cells)
    if len(shape) == 2:
        where = (0, *(1 + int(a) for a in np.argsort(operand.axes)))
    else:
        where = tuple(int(a) for a in np.argsort(operand.axes))
    if where == (0, 1, 2):
        return ids, cells
    # where[a] is the place in memory of the caller's axis a (a picture has a leading axis of length one).
    order = list(range(cells.shape[1]))
    for group in (_LOW, _HIGH, _SUM):
        order[group : group + 3] = [group + w for w in where]
    at = _BASIC
    if moments:
        order[at : at + 6] = [at + _product(where[a], where[b]) for a, b in _PRODUCTS]
        at += 6
    if surface:
        order[at : at + 13] = [at + _step(step, where) for step in _STEPS]
    return ids, cells[:, order]


def _columns_of_blocks(
    labels: Any,
    spacing: Sequence[float],
    background: int | None,
    moments: bool,
    surface: bool,
    block: Sequence[int] | None,
    progress: Callable[[int, int], object] | None,
) -> dict[str, np.ndarray]:
    """The columns of cells that are added up over blocks.

    Pairs of neighbours that blocks share are counted once: each block is measured with the plane after it along every
    axis, and the planes where such blocks overlap are taken away again, where planes cross added, and so on.
    """
    from .metrics import _blocks  # not at the top, for the metrics import this

    if not hasattr(labels, "shape"):
        labels = np.asarray(labels)
    shape = tuple(map(int, labels.shape))
    if len(shape) not in (2, 3):
        raise ValueError(f"labels must be 2D or 3D, got {len(shape)}D of shape {shape}")
    nm = spacing_of(spacing, len(shape))
    sides, total = _blocks.sides_of(block, shape, {"labels": labels}), math.prod(shape)
    sums: list[tuple[np.ndarray, np.ndarray]] = []  # each has more than twice the rows of the next
    done = 0
    for core, wide, parts in _blocks.read_ahead({"labels": labels}, shape, sides, after=[int(surface)] * len(shape)):
        for sign, window in _overlaps(core, wide):
            inner = tuple(slice(a.start - w.start, a.stop - w.start) for a, w in zip(window, wide, strict=True))
            sums.append(_cells_of(parts["labels"][inner], window, sign, background, moments, surface, shape))
            while len(sums) > 1 and len(sums[-2][0]) <= 2 * len(sums[-1][0]):
                sums[-2:] = [_added(sums[-2:])]
        done += math.prod(w.stop - w.start for w in core)
        if progress is not None:
            progress(done, total)
    ids, cells = _added(sums)
    return _columns(ids, cells, shape, nm, moments, surface, radius=False)


def _overlaps(core: tuple[slice, ...], wide: tuple[slice, ...]) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """A block with the planes after it, and these planes with the sign by which they count."""
    after = [slice(c.stop, w.stop) for c, w in zip(core, wide, strict=True)]
    for thin in itertools.product((False, True), repeat=len(core)):
        window = tuple(a if t else w for t, a, w in zip(thin, after, wide, strict=True))
        if all(w.stop > w.start for t, w in zip(thin, window, strict=True) if t):
            yield (-1) ** sum(thin), window


def _cells_of(
    part: Any,
    window: tuple[slice, ...],
    sign: int,
    background: int | None,
    moments: bool,
    surface: bool,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and cells of a part, in the coordinates of the whole; what is added up has a sign."""
    operand = take(part, "labels")
    local = tuple(w.stop - w.start for w in window)
    ids, cells = _measure(operand, background_of(background, operand.dtype), moments, surface, None, local)
    cells = np.array(cells, np.int64)
    origin = [0] * (3 - len(shape)) + [w.start for w in window]
    voxels, sums = cells[:, _VOXELS].copy(), cells[:, _SUM : _SUM + 3].copy()
    if len(ids):
        places = zip(np.unravel_index(cells[:, _FIRST], local), window, strict=True)
        cells[:, _FIRST] = np.ravel_multi_index([place + w.start for place, w in places], shape)
    for axis, low in enumerate(origin):
        cells[:, [_LOW + axis, _HIGH + axis]] += low
        cells[:, _SUM + axis] += low * voxels
    for k, (a, b) in enumerate(_PRODUCTS if moments else ()):  # modulo 2^64, as the native sums are
        cells[:, _BASIC + k] += origin[a] * sums[:, b] + origin[b] * sums[:, a] + origin[a] * origin[b] * voxels
    added = [_VOXELS, *range(_SUM, cells.shape[1])]
    cells[:, added] *= sign
    return ids, cells


def _added(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Cells of equal ids put together; ids ascend."""
    if len(parts) == 1:
        return parts[0]
    ids, cells = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(ids):
        return ids, cells
    order = np.argsort(ids, kind="stable")
    ids, cells = ids[order], cells[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    out = np.add.reduceat(cells, starts, axis=0)
    for columns, fold in ((slice(_FIRST, _HIGH), np.minimum), (slice(_HIGH, _SUM), np.maximum)):
        out[:, columns] = fold.reduceat(cells[:, columns], starts, axis=0)
    return ids[starts], out


def _product(a: int, b: int) -> int:
    return _PRODUCTS.index((min(a, b), max(a, b)))


def _step(step: tuple[int, ...], where: tuple[int, ...]) -> int:
    """The number, in the order of memory, of a step in the caller's axes; opposite steps are one direction."""
    moved = [0, 0, 0]
    for a, w in enumerate(where):
        moved[w] = step[a]
    positive = max(tuple(moved), tuple(-m for m in moved))
    return _STEPS.index(positive)


def _columns(
    ids: np.ndarray,
    cells: np.ndarray,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    moments: bool,
    surface: bool,
    radius: bool,
) -> dict[str, np.ndarray]:
    dims = len(shape)
    axes = slice(3 - dims, 3)
    voxels = cells[:, _VOXELS].copy()
    start = cells[:, _LOW : _LOW + 3][:, axes].copy()
    stop = cells[:, _HIGH : _HIGH + 3][:, axes] + 1
    centroid = cells[:, _SUM : _SUM + 3][:, axes] / voxels[:, None]
    inside = cells[:, -1] if radius else cells[:, _FIRST]
    columns = {
        "label": ids,
        "voxels": voxels,
        "volume" if dims == 3 else "area": voxels * math.prod(spacing),
        "start": start,
        "stop": stop,
        "centroid": centroid,
        "centroid_nm": centroid * np.array(spacing),
        "touches_border": ((start == 0) | (stop == np.array(shape))).any(axis=1),
        "inside": np.stack(np.unravel_index(inside, shape), axis=1).astype(np.int64, copy=False).reshape(-1, dims),
    }
    at = _BASIC
    if moments:
        columns |= _moments(ids, cells[:, at : at + 6], cells[:, _SUM : _SUM + 3], voxels, start, stop, spacing)
        at += 6
    if surface:
        columns["surface" if dims == 3 else "perimeter"] = _surface(cells[:, at : at + 13], voxels, spacing)
        at += 13
    if radius:
        columns["radius"] = cells[:, at].astype(np.uint32).view(np.float32).astype(np.float64)
    return columns


def _moments(
    ids: np.ndarray,
    products: np.ndarray,
    sums: np.ndarray,
    voxels: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    spacing: tuple[float, ...],
) -> dict[str, np.ndarray]:
    dims = len(spacing)
    side = (stop - start).max(axis=1, initial=1).astype(np.float64)
    if (voxels * side * side >= 2.0**62).any():
        label = ids[np.argmax(voxels * side * side)]
        raise ValueError(f"moments are exact below 2^62 voxels times side²; the box of label {label} is too large")
    # About the rounded centroid everything is small, and equal to what arithmetic modulo 2^64 gives:
    # cov = Σ (a − ā)(b − b̄) / n, less the product of what rounding took from the means.
    total = sums[:, 3 - dims :]
    middle = total // voxels[:, None]
    rest = (total - voxels[:, None] * middle) / voxels[:, None]
    n, middle, total = (values.astype(np.uint64) for values in (voxels, middle, total))
    covariance = np.empty((len(ids), dims, dims))
    for k, (a, b) in enumerate((a - 3 + dims, b - 3 + dims) for a, b in _PRODUCTS):
        if a < 0 or b < 0:
            continue
        second = products[:, k].astype(np.uint64)
        second = second - middle[:, a] * total[:, b] - middle[:, b] * total[:, a] + n * middle[:, a] * middle[:, b]
        value = second.view(np.int64) / voxels - rest[:, a] * rest[:, b]
        covariance[:, a, b] = covariance[:, b, a] = value * (spacing[a] * spacing[b])
    values, vectors = np.linalg.eigh(covariance)
    values, directions = values[:, ::-1].clip(0), vectors[:, :, ::-1].transpose(0, 2, 1)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=2)[:, :, None], axis=2)
    return {
        "covariance": covariance,
        "axes": np.sqrt((20 if dims == 3 else 16) * values),
        "directions": directions * np.where(largest < 0, -1.0, 1.0),
    }


def _surface(equal: np.ndarray, voxels: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Σ over directions of weight × exits: each line leaves as often as it enters."""
    area = np.zeros(len(voxels))
    for step, weight in zip(_STEPS, _crofton_weights(spacing), strict=True):
        if weight > 0:
            area += weight * (voxels - equal[:, _STEPS.index(step)])
    return area


@lru_cache(maxsize=64)
def _crofton_weights(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """Area (length in 2D) that one exit along each of the 13 directions stands for.

    Lines along a step of length |s| nanometres lie one per V / |s| of perpendicular area, V the volume of a voxel. The
    mean over the sphere of the number of crossings, times two, is the surface; crossings are exits times two; a
    direction's share of the sphere is the part that is nearer to ±step than to any other step (in 2D: of the circle).
    """
    dims = len(spacing)
    voxel = math.prod(spacing)
    if dims == 2:
        used = [
            (step, math.atan2(step[1] * spacing[0], step[2] * spacing[1]) % math.pi) for step in _STEPS if step[0] == 0
        ]
        used.sort(key=lambda pair: pair[1])
        angles = [angle for _, angle in used]
        shares = {}
        for k, (step, _) in enumerate(used):
            after = angles[(k + 1) % 4] + (math.pi if k == 3 else 0)
            before = angles[k - 1] - (math.pi if k == 0 else 0)
            shares[step] = (after - before) / 2 / math.pi
        return tuple(
            math.pi * shares[s] * voxel / math.hypot(s[1] * spacing[0], s[2] * spacing[1]) if s in shares else 0.0
            for s in _STEPS
        )
    metric = np.array(_STEPS) * np.array(spacing)
    lengths = np.sqrt((metric**2).sum(axis=1))
    points = np.concatenate([metric / lengths[:, None], -metric / lengths[:, None]])
    shares_3d = _sphere_shares(points)
    return tuple(float(4 * 2 * share * voxel / length) for share, length in zip(shares_3d[:13], lengths, strict=True))


def _sphere_shares(points: np.ndarray) -> list[float]:
    """The share of the unit sphere that is nearest to each point: spherical Voronoi cells, corner by corner."""
    a, b, c = (points[list(i)] for i in zip(*itertools.combinations(range(len(points)), 3), strict=True))
    corners = np.cross(b - a, c - a)
    size = np.sqrt((corners**2).sum(axis=1))
    proper = size > 1e-12
    corners, of = corners[proper] / size[proper, None], a[proper]
    corners, of = np.concatenate([corners, -corners]), np.concatenate([of, of])
    nearest = (corners @ points.T).max(axis=1)
    true = (corners * of).sum(axis=1) >= nearest - 1e-9  # no other point is nearer than the three
    corners, nearest = corners[true], nearest[true]
    shares = []
    for p in points:
        mine = corners[corners @ p >= nearest - 1e-9]
        u = np.cross(p, (0.0, 0.0, 1.0) if abs(p[2]) < 0.9 else (0.0, 1.0, 0.0))
        v = np.cross(p, u)
        ring = mine[np.argsort(np.arctan2(mine @ v, mine @ u))]
        after = np.roll(ring, -1, axis=0)
        # The solid angle of the triangle (p, ring, after); corners that coincide add nothing.
        volume = np.abs((np.cross(ring, after) * p).sum(axis=1))
        below = 1 + ring @ p + after @ p + (ring * after).sum(axis=1)
        shares.append(float((2 * np.arctan2(volume, below)).sum() / (4 * math.pi)))
    return shares


def _depths(operand: Operand, spacing: Sequence[float], background: int | None) -> Any:
    """Distances to the nearest voxel of another label, as the native module takes them; 0 is one if measured."""
    with_sign = background != 0
    metric = _metric(spacing, operand)
    return operand.native.distance_transform(
        operand.library, operand.array, *metric, True, with_sign, False, math.inf, 0.0
    )
