"""Where the voxels of a patch come from: what steps say of it is gathered here, and made by one native resample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import Host
from ..sampling import Crop


class Motion:
    """The map of one patch.

    A voxel at ``o`` from the centre of the patch comes from ``linear @ (section(o) + displacement(o))`` from the centre
    of the source: sections are shifted, turned and skipped in the frame of the patch. All is in voxels; the centre of a
    map that only flips and transposes lies on voxels, so that it copies.
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float], pitch: int) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.spacing = np.asarray(spacing, float)
        self.linear = np.eye(3)
        z = self.shape[0]
        self.depth = np.arange(z, dtype=float)  # from which section of the patch, if it were not turned
        self.angles = np.zeros(z)
        self.shifts = np.zeros((z, 2))
        self.label_shifts = np.zeros((z, 2))
        self.step = pitch
        self.displacements: np.ndarray | None = None  # (z, 3, rows, columns)
        self.unknown: list[tuple[int, ...]] = []  # boxes (from, to along z, y, x) where masks become False

    def turn(self, matrix: np.ndarray) -> None:
        """Compose with a matrix in voxels: output to source."""
        self.linear = self.linear @ matrix

    def shift(self, shifts: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Move sections by (z, 2) voxels; labels by others."""
        self.shifts += shifts
        self.label_shifts += shifts if labels is None else labels

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the nodes of displacements, in voxels."""
        rows, columns = ((n - 1) // self.step + 2 for n in self.shape[1:])
        return np.arange(rows) * self.step, np.arange(columns) * self.step

    def displace(self, field: np.ndarray) -> None:
        """Add displacements (z, 3, rows, columns) in voxels."""
        self.displacements = field if self.displacements is None else self.displacements + field

    def resample(self, crop: Crop) -> Crop:
        """The patch, out of a crop around it: arrays of its own, the image as float32."""
        fits = all(n >= s for n, s in zip(crop.image.shape[1:], self.shape, strict=True))
        out = self._kept(crop) if fits and self._is_still() else self._moved(crop)
        for z0, z1, y0, y1, x0, x1 in self.unknown:
            for mask in out.masks.values():
                mask[z0:z1, y0:y1, x0:x1] = False
        return out

    def _kept(self, crop: Crop) -> Crop:
        margin = [(n - s) // 2 for n, s in zip(crop.image.shape[1:], self.shape, strict=True)]
        z, y, x = (slice(m, m + n) for m, n in zip(margin, self.shape, strict=True))
        return Crop(
            np.ascontiguousarray(crop.image[:, z, y, x].astype(np.float32)),
            {name: array[z, y, x].copy() for name, array in crop.labels.items()},
            {name: array[z, y, x].copy() for name, array in crop.masks.items()},
            crop.spacing,
        )

    def _moved(self, crop: Crop) -> Crop:
        source = crop.image.shape[1:]
        grid = self._grid()
        names = [*crop.labels]
        labels = [_box(crop.labels[name])[None] for name in names]
        masks = [None if _is_true(mask) else _box(mask)[None] for mask in (crop.masks[name] for name in names)]
        image = _box(_readable(crop.image))[None]
        together = np.array_equal(self.shifts, self.label_shifts)

        def run(image: np.ndarray | None, both: bool, shifts: np.ndarray) -> Any:
            table = self.sections(source, shifts)[None]
            sides = [list(self.shape), list(source)]
            ids, known = (labels, masks) if both else ([], [])
            return Host().native().resample(Host(), image, ids, known, table, grid, max(self.step, 1), *sides)

        if together:
            moved, ids, known = run(image, True, self.shifts)
        else:
            moved = run(image, False, self.shifts)[0]
            _, ids, known = run(None, True, self.label_shifts)
        return Crop(
            moved[0],
            {name: each[0] for name, each in zip(names, ids, strict=True)},
            {name: each[0] for name, each in zip(names, known, strict=True)},
            crop.spacing,
        )

    def sections(self, source: Sequence[int], shifts: np.ndarray) -> np.ndarray:
        """The affine of each section, as :mod:`csrc/resample` has it: (z, 9)."""
        center = (np.asarray(self.shape) - 1) / 2
        origin = (np.asarray(source) - 1) / 2
        if is_permutation(self.linear):
            origin = np.floor(origin - self.linear @ center) + self.linear @ center
        cos, sin = np.cos(self.angles), np.sin(self.angles)
        aspect = self.spacing[2] / self.spacing[1]
        by_y = np.stack([np.zeros_like(cos), cos, sin / aspect], 1)
        by_x = np.stack([np.zeros_like(cos), -sin * aspect, cos], 1)
        start = -by_y * center[1] - by_x * center[2]
        start[:, 0] += self.depth - center[0]
        start[:, 1:] += shifts
        table = [origin + start @ self.linear.T, by_y @ self.linear.T, by_x @ self.linear.T]
        return np.ascontiguousarray(np.concatenate(table, 1), np.float32)

    def _grid(self) -> np.ndarray | None:
        if self.displacements is None:
            return None
        field = np.einsum("ab,zbjk->zajk", self.linear, self.displacements)
        if not field[:, 0].any():
            field = field[:, 1:]
        return np.ascontiguousarray(field[None], np.float32)

    def _is_still(self) -> bool:
        stays = np.array_equal(self.linear, np.eye(3)) and np.array_equal(self.depth, np.arange(self.shape[0]))
        moves = self.shifts.any() or self.label_shifts.any() or self.angles.any()
        return stays and not moves and self.displacements is None


def is_permutation(matrix: np.ndarray) -> bool:
    """Whether it only flips and transposes."""
    return bool(np.isin(matrix, (-1, 0, 1)).all() and (np.abs(matrix).sum(0) == 1).all())


def _readable(image: np.ndarray) -> np.ndarray:
    """As the native resample reads images."""
    return image if image.dtype in (np.uint8, np.uint16, np.float32) else image.astype(np.float32)


def _box(array: np.ndarray) -> np.ndarray:
    """The array itself where the native resample can read it in its place: dense along x, below 2^31 elements
    across."""
    steps = [step // array.itemsize for step in array.strides[-3:]]
    last = sum((n - 1) * step for n, step in zip(array.shape[-3:], steps, strict=True))
    fits = min(array.strides) >= 0 and steps[-1] == 1 and 0 < last < 2**31 and array.flags.aligned
    return array if fits and array.dtype.isnative else np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _is_true(mask: np.ndarray) -> bool:
    """Whether it is one True all over, without looking at more than that."""
    return mask.size > 0 and not any(mask.strides) and bool(mask.flat[0])
