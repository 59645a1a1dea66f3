"""Surfaces of objects as triangles, by zmesh: marching cubes on each object in its box, then fewer if wanted."""

from __future__ import annotations

import importlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._files import beside
from ._ids import ids_from
from ._options import integer_of, number_of, spacing_of
from .measurement import Statistics, statistics

__all__ = ["FORMATS", "Mesh", "each_mesh", "mesh"]

FORMATS = ("ply", "obj", "precomputed")


@dataclass(frozen=True, eq=False)
class Mesh:
    """The surface of an object.

    Attributes
    ----------
    vertices : (n, 3) float32
        In nanometres, z, y, x; the centre of the first voxel is at the offset, as vertices of skeletons have it.
    faces : (m, 3) uint32
        Rows of vertices a, b, c: (b - a) x (c - a) points outwards, with z, y, x as first to third axis.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def __len__(self) -> int:
        """The number of triangles."""
        return len(self.faces)

    def __repr__(self) -> str:
        return f"Mesh of {len(self.vertices)} vertices and {len(self.faces)} faces"

    @property
    def area(self) -> float:
        """In square nanometres."""
        a, b, c = self._corners()
        return math.fsum((np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2).tolist())

    @property
    def volume(self) -> float:
        """In cubic nanometres, of a closed mesh."""
        middle = self.vertices.mean(axis=0, dtype=np.float64) if len(self) else 0.0
        a, b, c = (corner - middle for corner in self._corners())
        return math.fsum((np.einsum("ij,ij->i", a, np.cross(b, c)) / 6).tolist())

    def _corners(self) -> Iterator[np.ndarray]:
        return (self.vertices[self.faces[:, k]].astype(np.float64) for k in range(3))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a PLY or OBJ file, x, y, z in nanometres; another ending is Neuroglancer's binary form."""
        ending = os.path.splitext(os.fspath(path))[1].lower()
        data = {".ply": self._ply, ".obj": self._obj}.get(ending, self._precomputed)()
        with beside(path) as part, open(part, "wb") as file:
            file.write(data)

    def _xyz(self) -> tuple[np.ndarray, np.ndarray]:
        """With x first. That mirrors, so corners change their order too."""
        return np.ascontiguousarray(self.vertices[:, ::-1], "<f4"), np.ascontiguousarray(self.faces[:, ::-1], "<u4")

    def _ply(self) -> bytes:
        vertices, faces = self._xyz()
        head = (
            f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
            "property float x\nproperty float y\nproperty float z\n"
            f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
        )
        rows = np.empty(len(faces), [("count", "u1"), ("corners", "<u4", 3)])
        rows["count"], rows["corners"] = 3, faces
        return head.encode() + vertices.tobytes() + rows.tobytes()

    def _obj(self) -> bytes:
        vertices, faces = self._xyz()
        lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices.tolist()]
        lines += [f"f {a} {b} {c}" for a, b, c in (faces.astype(np.int64) + 1).tolist()]
        return "".join(f"{line}\n" for line in lines).encode()

    def _precomputed(self) -> bytes:
        vertices, faces = self._xyz()
        return np.uint32(len(vertices)).astype("<u4").tobytes() + vertices.tobytes() + faces.tobytes()


def mesh(labels: Any, **options: Any) -> dict[int, Mesh]:
    """The surfaces of all labels, or of some; see :func:`each_mesh` for the options, and for more than memory holds.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> labels = np.zeros((8, 8, 8), np.uint8)
    >>> labels[2:6, 2:6, 2:6] = 7
    >>> found = emfast.mesh(labels, spacing=(40, 10, 10))  # doctest: +SKIP
    >>> found  # doctest: +SKIP
    {7: Mesh of 96 vertices and 188 faces}
    """
    return dict(each_mesh(labels, **options))


def each_mesh(
    labels: Any,
    *,
    ids: Any = None,
    spacing: Sequence[float] = (1, 1, 1),
    offset: Sequence[float] = (0, 0, 0),
    simplify: int = 0,
    max_error: float | None = None,
    closed: bool = True,
    dust: int = 0,
    table: Statistics | None = None,
    largest: int = 1 << 28,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[tuple[int, Mesh]]:
    """Go through the surfaces of labels, one at a time.

    Parameters
    ----------
    labels : (z, y, x) array of integers or bool
        0 is background. Of a volume that can be sliced blocks are read, then the box of one object at a time.
    ids : labels, optional
        Only these; those that do not occur are left out. Default: all.
    spacing : nanometres per voxel, in axis order
    offset : nanometres
        Of the first voxel.
    simplify : int
        Make about this many times fewer triangles; 0 keeps all.
    max_error : float, optional
        How far a vertex may move for that, in nanometres. Default: about a voxel.
    closed : bool
        Close the surface where an object ends with the volume.
    dust : int
        Leave out what has fewer voxels.
    table : Statistics, optional
        Of the labels, where it is there already: as of :func:`emfast.blockwise.statistics`.
    largest : int
        Of an object whose box has more voxels no more are read at once. Its surface is the same, with vertices and
        triangles in another order; simplified, one that is as near. All of them are in memory.
    progress : callable, optional
        Called with the labels that are done and those in all.

    Yields
    ------
    label : int
        Ascending.
    mesh : Mesh
    """
    shape = tuple(labels.shape) if hasattr(labels, "shape") else np.shape(labels)  # which would read a volume
    if len(shape) != 3:
        raise ValueError(f"labels must be a volume (z, y, x), got {len(shape)}D of shape {shape}")
    shift = tuple(number_of(v, "offset", -math.inf) for v in offset)
    if len(shift) != 3:
        raise ValueError(f"offset must have one number per axis (3), got {offset!r}")
    making = _Making(
        _zmesh(),
        shape,
        spacing_of(spacing, 3),
        shift,
        integer_of(simplify, "simplify", 0),
        None if max_error is None else number_of(max_error, "max_error", 0),
        closed,
    )
    wanted = None if ids is None else set(ids_from(ids, "ids").ravel().tolist())
    most = integer_of(largest, "largest", 8)
    return _each(labels, making, wanted, integer_of(dust, "dust", 0), table, most, progress)


def _each(
    labels: Any,
    making: _Making,
    wanted: set[int] | None,
    dust: int,
    table: Statistics | None,
    largest: int,
    progress: Callable[[int, int], object] | None,
) -> Iterator[tuple[int, Mesh]]:
    table = statistics(labels) if table is None else table
    rows = zip(table["label"].tolist(), table["voxels"].tolist(), table.slices(), strict=True)
    chosen = [(label, box) for label, n, box in rows if n >= dust and (wanted is None or label in wanted)]
    for done, (label, box) in enumerate(chosen, 1):
        if math.prod(s.stop - s.start for s in box) <= largest:
            yield label, making.surface(np.asarray(labels[box]) == label, box)
        else:
            yield label, making.stitched(labels, label, box, largest)
        if progress is not None:
            progress(done, len(chosen))


@dataclass(frozen=True)
class _Making:
    """How surfaces are made of the objects of a volume."""

    zmesh: Any
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    offset: tuple[float, ...]
    simplify: int
    max_error: float | None
    closed: bool

    def surface(self, inside: np.ndarray, box: tuple[slice, ...]) -> Mesh:
        """Of an object in its box. Background around closes it; not where the volume ends, if it is to be open."""
        around = self._around(box)
        mesher = self.zmesh.Mesher(self.spacing)
        mesher.mesh(np.pad(inside, around).astype(np.uint8, order="C"), close=False)
        if not mesher.ids():  # it fills an open volume
            return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32))
        made = mesher.get(1, normals=False, reduction_factor=self.simplify, max_error=self.max_error)
        first = np.array([s.start - low for s, (low, _) in zip(box, around, strict=True)])
        vertices = made.vertices + (first * np.array(self.spacing) + np.array(self.offset))
        return Mesh(vertices.astype(np.float32), made.faces.astype(np.uint32))

    def stitched(self, labels: Any, label: int, box: tuple[slice, ...], largest: int) -> Mesh:
        """The same, a cell after the other. Marching cubes look at 2 x 2 x 2 voxels, so cells that share a section have
        each of these once; vertices are half-way between voxels, so those of two cells are equal to the bit."""
        wide = [slice(s.start - a, s.stop + b) for s, (a, b) in zip(box, self._around(box), strict=True)]
        side = max(1, int(largest ** (1 / 3)) - 1)
        vertices, faces = np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64)
        for first in itertools.product(*(range(w.start, max(w.start + 1, w.stop - 1), side) for w in wide)):
            cell = tuple(slice(a, min(a + side + 1, w.stop)) for a, w in zip(first, wide, strict=True))
            mesher = self.zmesh.Mesher((1, 1, 1))
            mesher.mesh(_padded(labels, label, cell, box), close=False)
            if mesher.ids():
                made = mesher.get(1, normals=False)
                doubled = np.rint(2 * made.vertices.astype(np.float64)).astype(np.int64) + 2 * np.array(first)
                vertices, faces = _united(vertices, faces, doubled, made.faces.astype(np.int64))
        found = vertices / 2 * np.array(self.spacing)
        if self.simplify and len(faces):
            plain = self.zmesh.Mesh(found.astype(np.float32), faces.astype(np.uint32), None)
            most = max(self.spacing) if self.max_error is None else self.max_error
            less = self.zmesh.Mesher((1, 1, 1)).simplify(plain, self.simplify, most)
            found, faces = less.vertices, less.faces
        return Mesh((found + np.array(self.offset)).astype(np.float32), faces.astype(np.uint32))

    def _around(self, box: tuple[slice, ...]) -> list[tuple[int, int]]:
        """Background before and after along each axis."""
        ends = zip(box, self.shape, strict=True)
        return [(int(self.closed or s.start > 0), int(self.closed or s.stop < n)) for s, n in ends]


def _padded(labels: Any, label: int, cell: tuple[slice, ...], box: tuple[slice, ...]) -> np.ndarray:
    """An object in a cell, of which some voxels lie around its box."""
    found = np.zeros([c.stop - c.start for c in cell], np.uint8)
    there = tuple(slice(max(c.start, b.start), min(c.stop, b.stop)) for c, b in zip(cell, box, strict=True))
    if all(t.start < t.stop for t in there):
        inside = tuple(slice(t.start - c.start, t.stop - c.start) for t, c in zip(there, cell, strict=True))
        found[inside] = np.asarray(labels[there]) == label
    return found


def _united(
    vertices: np.ndarray, faces: np.ndarray, others: np.ndarray, of_others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two pieces of a surface, in integers, as one: equal vertices are the same."""
    together, rows = np.unique(np.concatenate([vertices, others]), axis=0, return_inverse=True)
    return together, rows.reshape(-1)[np.concatenate([faces, of_others + len(vertices)])]


def _zmesh() -> Any:
    try:
        return importlib.import_module("zmesh")
    except ModuleNotFoundError as error:
        if error.name != "zmesh":
            raise
        raise ModuleNotFoundError("meshes need zmesh: pip install 'emfast[view]'", name="zmesh") from None
