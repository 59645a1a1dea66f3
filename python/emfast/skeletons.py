"""Centre lines of objects with their radii."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from . import _store
from ._arrays import take
from ._options import number_of, spacing_of
from .components import connected_components
from .distance import edt

__all__ = ["Skeleton", "Skeletons", "skeletonize"]

_FORMAT = "emfast skeletons 1"


@dataclass(frozen=True, eq=False)
class Skeleton:
    """The centre lines of one label: a tree for each of its connected parts.

    Attributes
    ----------
    voxels : (n, d) int64
        Places of the vertices. Every vertex lies behind its parent.
    parents : (n,) int64
        The row of each vertex's parent, -1 for the root of a tree.
    radii : (n,) float32
        Distance to the boundary, in nanometres.
    spacing : tuple of float
    """

    voxels: np.ndarray
    parents: np.ndarray
    radii: np.ndarray
    spacing: tuple[float, ...]

    def __len__(self) -> int:
        """The number of vertices."""
        return len(self.voxels)

    def __repr__(self) -> str:
        return f"Skeleton of {len(self)} vertices and {len(self.edges)} edges"

    @property
    def vertices(self) -> np.ndarray:
        """(n, d) float64, the centres of the voxels in nanometres, in axis order."""
        return self.voxels * np.array(self.spacing)

    @property
    def edges(self) -> np.ndarray:
        """(k, 2) int64, rows of a parent and its child."""
        children = np.flatnonzero(self.parents >= 0)
        return np.stack([self.parents[children], children], axis=1)

    @property
    def length(self) -> float:
        """Of all edges together, in nanometres."""
        return float(_lengths(self.voxels, self.parents, self.spacing, np.zeros(len(self), np.int64), 1)[0])

    def to_swc(self, path: str | os.PathLike[str]) -> None:
        """Write an SWC file: a line per vertex with its number, kind (0), x, y, z, radius and parent, in nanometres."""
        _write_swc(path, self._swc(1))

    def _swc(self, first: int) -> list[str]:
        """The lines of the vertices, numbered from ``first``."""
        points = self.vertices[:, ::-1].tolist()
        rows = zip(points, self.radii.tolist(), self.parents.tolist(), strict=True)
        lines = []
        for k, (point, radius, parent) in enumerate(rows, start=first):
            x, y, z = [*point, 0.0][:3]
            lines.append(f"{k} 0 {x!r} {y!r} {z!r} {radius!r} {parent + first if parent >= 0 else -1}")
        return lines


@dataclass(frozen=True, eq=False)
class Skeletons:
    """The centre lines of all labels; made by :func:`emfast.skeletonize`.

    ``skeletons[7]`` is the :class:`Skeleton` of label 7, iteration gives the labels.

    Attributes
    ----------
    labels : (m,) array, ascending
    starts : (m + 1,) int64
        The vertices of ``labels[k]`` are the rows ``starts[k]`` to ``starts[k + 1]``.
    voxels, parents, radii
        As in :class:`Skeleton`, of all labels; parents are rows of these arrays.
    spacing : tuple of float
    """

    labels: np.ndarray
    starts: np.ndarray
    voxels: np.ndarray
    parents: np.ndarray
    radii: np.ndarray
    spacing: tuple[float, ...]

    def __len__(self) -> int:
        """The number of labels."""
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        return iter(self.labels.tolist())

    def __contains__(self, label: object) -> bool:
        return label in self.labels.tolist()

    def __repr__(self) -> str:
        return f"Skeletons of {len(self)} labels with {len(self.voxels)} vertices"

    def __eq__(self, other: object) -> bool:
        """Equal in every array, dtypes included."""
        if not isinstance(other, Skeletons):
            return NotImplemented
        pairs = [(np.asarray(getattr(self, f.name)), np.asarray(getattr(other, f.name))) for f in fields(self)]
        return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, label: int) -> Skeleton:
        try:
            row = int(np.searchsorted(self.labels, self.labels.dtype.type(label)))
        except (OverflowError, TypeError, ValueError):
            raise KeyError(label) from None
        if row == len(self.labels) or self.labels[row] != label:
            raise KeyError(label)
        here = slice(self.starts[row], self.starts[row + 1])
        parents = self.parents[here]
        return Skeleton(
            self.voxels[here], np.where(parents < 0, -1, parents - here.start), self.radii[here], self.spacing
        )

    @property
    def lengths(self) -> np.ndarray:
        """(m,) float64, the length of all edges of each label in nanometres."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return _lengths(self.voxels, self.parents, self.spacing, rows, len(self))

    def to_swc(self, path: str | os.PathLike[str]) -> None:
        """Write one SWC file per label into a folder, which is made if need be: ``7.swc`` for label 7.

        With a path that ends in ``.swc``, one file with all of them, each after a line ``# label 7``.
        """
        if os.fspath(path).endswith(".swc"):
            lines: list[str] = []
            for label, start in zip(self, self.starts.tolist(), strict=False):
                lines += [f"# label {label}", *self[label]._swc(start + 1)]
            _write_swc(path, lines)
            return
        os.makedirs(path, exist_ok=True)
        for label in self:
            self[label].to_swc(os.path.join(path, f"{label}.swc"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`load` reads back equal: an .npz file, or with the ending ``.zarr`` a Zarr group."""
        _store.save(path, _FORMAT, {f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Skeletons:
        """Read what :meth:`save` wrote."""
        arrays = _store.load(path, _FORMAT, "Skeletons.save", (f.name for f in fields(Skeletons)))
        spacing = tuple(arrays.pop("spacing").tolist())
        return Skeletons(**arrays, spacing=spacing)


def skeletonize(
    labels: Any,
    *,
    spacing: Any = (1, 1, 1),
    scale: float = 1.5,
    const: float | None = None,
    penalty: float = 100000.0,
    exponent: int = 4,
    border: bool = False,
    dust: int = 0,
    min_length: float = 0.0,
) -> Skeletons:
    """Centre lines of every label, as trees of voxels with radii (after TEASAR, Sato et al. 2000).

    Each part of a label that is connected over faces, edges and corners is taken by itself. Its root is the voxel
    farthest from its first one, along steps inside it. Then, until every voxel is covered, a path leads from the
    voxel farthest from the root that is not covered yet to the tree so far, and covers what is within
    ``scale * radius + const`` of its voxels, again inside the object. Paths keep to the middle: a step between two
    voxels costs its length times the sum of ``1 + penalty * (1 - radius / largest radius) ** exponent`` at both.

    Parameters
    ----------
    labels : (z, y, x) or (y, x) array of integers or bool
        0 is background.
    spacing : sequence of float
        Nanometres per voxel, in axis order.
    scale, const : float
        Larger ones leave out more side branches: knobs and spines no longer than ``const`` nanometres beyond
        ``scale`` radii. ``const`` is four times the longest spacing if not given.
    penalty : float, 0 to 1e6
        0 gives shortest paths, which cut corners.
    exponent : int, 0 to 64
    border : bool
        Whether outside of the volume lies background, which keeps lines away from its faces. It does so in any case
        where one label fills the volume.
    dust : int
        Connected parts of fewer voxels are left out.
    min_length : float
        Trees shorter than this are left out, in nanometres.

    Returns
    -------
    Skeletons
        NumPy arrays, wherever ``labels`` lives.

    Notes
    -----
    The answer is unique: lengths of steps are integers (1024ths of the longest spacing), the factors of the cost are
    rounded to integers, and ties go to the first voxel in C order. Labels on a device are searched on the host.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.zeros((5, 20), int)
    >>> labels[1:4, 2:18] = 4
    >>> line = emfast.skeletonize(labels, spacing=(10, 10))[4]
    >>> line.voxels[:3].tolist(), line.radii[:3].tolist(), round(line.length)
    ([[3, 17], [2, 16], [2, 15]], [10.0, 20.0, 20.0], 158)
    """
    values = take(labels, "labels")
    nm = spacing_of(spacing, len(values.shape))
    rules = rules_of(nm, scale, const, penalty, exponent, dust)
    min_length = number_of(min_length, "min_length", 0)
    components, count = connected_components(labels, connectivity=26, dtype="uint32", return_count=True)
    _, starts, voxels, parents, depths = trees_of(components, count, _radii(labels, nm, border), nm, rules)
    roots = values.library.to_numpy(values.array).reshape(-1)[voxels[starts[:-1]]]
    return by_label(roots, starts, voxels, parents, depths, values.shape, nm, min_length)


def rules_of(
    nm: tuple[float, ...], scale: float, const: float | None, penalty: float, exponent: int, dust: int
) -> tuple[float, float, float, int, int]:
    """The options of `skeletonize` as the native modules take them."""
    return (
        number_of(scale, "scale", 0, 1e6),
        4 * max(nm) if const is None else number_of(const, "const", 0, 1e12),
        number_of(penalty, "penalty", 0, 1e6),
        _whole(exponent, "exponent", 64),
        _whole(dust, "dust", 2**62),
    )


def trees_of(
    components: Any, count: int, radii: Any, nm: tuple[float, ...], rules: tuple[Any, ...], ends: Sequence[int] = ()
) -> list[np.ndarray]:
    """The component of each tree, where it starts, and its voxels, parents and radii, as csrc/skeleton has them."""
    parts, depths = take(components, "components"), take(radii, "radii", kinds="f")
    spacing = (1.0,) * (3 - len(nm)) + nm
    found = parts.native.skeletonize(parts.library, parts.array, count, depths.array, spacing, *rules, list(ends))
    return [parts.library.to_numpy(array) for array in found]


def by_label(
    labels: np.ndarray,
    starts: np.ndarray,
    voxels: np.ndarray,
    parents: np.ndarray,
    radii: np.ndarray,
    shape: tuple[int, ...],
    nm: tuple[float, ...],
    min_length: float,
) -> Skeletons:
    """Trees, each with its label, as skeletons of labels; ``voxels`` are flat indices, ``parents`` rows of all."""
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    places = np.stack(np.unravel_index(voxels, shape), axis=1)
    trees = np.repeat(np.arange(len(labels)), np.diff(starts))
    kept = np.flatnonzero(_lengths(places, parents, nm, trees, len(labels)) >= min_length)
    kept = kept[np.argsort(labels[kept], kind="stable")]
    sizes = np.diff(starts)[kept]
    rows = _ranges(starts[kept], sizes)
    names, first = np.unique(labels[kept], return_index=True)
    begin = np.r_[0, np.cumsum(sizes)]
    moved = np.repeat(begin[:-1] - starts[kept], sizes)
    return Skeletons(
        names,
        np.r_[begin[first], begin[-1]].astype(np.int64),
        places[rows],
        np.where(parents[rows] < 0, -1, parents[rows] + moved),
        radii[rows],
        nm,
    )


def _write_swc(path: str | os.PathLike[str], lines: list[str]) -> None:
    with _store.whole(path) as file:
        file.write("\n".join(["# emfast skeleton, nanometres: number kind x y z radius parent", *lines, ""]).encode())


def _radii(labels: Any, spacing: tuple[float, ...], border: bool) -> Any:
    radii = edt(labels, spacing=spacing, border=border)
    full = math.prod(radii.shape) and math.isinf(float(radii.max()))
    return edt(labels, spacing=spacing, border=True) if full else radii


def _whole(value: Any, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most}, got {value!r}")
    return int(value)


def _ranges(begins: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """begins[0], begins[0] + 1, … for each of the sizes, one after another."""
    return np.repeat(begins - np.r_[0, np.cumsum(sizes)[:-1]][: len(sizes)], sizes) + np.arange(sizes.sum())


def _lengths(
    voxels: np.ndarray, parents: np.ndarray, spacing: tuple[float, ...], groups: np.ndarray, count: int
) -> np.ndarray:
    """Length of the edges of each group. Steps are counted by kind, so that no order of summation matters."""
    kinds = 2 ** len(spacing)
    children = np.flatnonzero(parents >= 0)
    steps = voxels[children] != voxels[parents[children]]
    codes = groups[children] * kinds + steps @ (1 << np.arange(len(spacing)))
    counts = np.bincount(codes, minlength=count * kinds).reshape(count, kinds)
    total = np.zeros(count)
    for kind in range(1, kinds):
        total += counts[:, kind] * math.sqrt(sum(nm**2 for axis, nm in enumerate(spacing) if kind >> axis & 1))
    return total
