"""Where objects end: membranes, contours and the distance to them.

Distances are between the centres of voxels, to the nearest voxel of another label: 1 beside a boundary. The end of the
crop is no boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .._options import integer_of
from ._target import Made, Spacing, Target, certain, check, depth, positive, signed, steps_of, voxels_of


def _unit(unit: str, spacing: Spacing) -> Spacing:
    return spacing if unit == "nm" else (1.0, 1.0, 1.0)


def _seen(reach: float, name: str, share: float, target: Membrane | Contour, steps: Spacing) -> None:
    """Refuse a reach, which is that share of a field, that ends before the nearest voxel: it would mark nothing."""
    least = min(steps[1:] if target.per_section else steps)
    if 0 < reach < least:
        words = f"{name} must be 0 or at least {least / share:g} {target.unit}, got {reach / share:g}"
        raise ValueError(f"{words}: less marks nothing where objects touch")


@dataclass(frozen=True)
class Membrane(Target):
    """What lies between objects: a voxel is membrane where another label is within half the thickness.

    So 2 voxels mark both sides of where two objects touch. Several thicknesses make several channels.

    Attributes
    ----------
    thickness : tuple of float
        Each in ``unit``, and at least twice the shortest side of a voxel (2 where the unit is voxels); 0 marks what is
        labelled 0, and no more.
    unit : {"voxel", "nm"}
    background : bool
        Label 0 is membrane. Otherwise it is one more object, which has a membrane too.
    per_section : bool
    """

    thickness: tuple[float, ...] = (2.0,)
    unit: Literal["voxel", "nm"] = "voxel"
    background: bool = True
    per_section: bool = False

    def __post_init__(self) -> None:
        if not self.thickness:
            raise ValueError("thickness must name at least one, got none")
        for value in self.thickness:
            positive(value, "thickness", or_zero=self.background)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"membrane {value:g} {self.unit}" for value in self.thickness)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        return voxels_of(max(self.thickness) / 2, _unit(self.unit, steps_of(spacing)), self.per_section)

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = _unit(self.unit, check(labels, mask, spacing))
        distances = np.abs((depth if self.background else signed)(labels, nm, self.per_section))
        reaches = [value / 2 for value in self.thickness]
        for reach in reaches:
            _seen(reach, "thickness", 0.5, self, nm)
        known = [certain(distances, mask, reach, nm, self.per_section) for reach in reaches]
        return np.stack([distances <= r for r in reaches]).astype(np.float32), np.stack(known).astype(np.float32)


@dataclass(frozen=True)
class Contour(Target):
    """The rim of each instance: its voxels within ``inner`` of what is not it, and background within ``outer`` of one.

    Attributes
    ----------
    inner, outer : float
        In ``unit``, and at least the shortest side of a voxel; 0 for none on that side.
    unit : {"voxel", "nm"}
    per_section : bool
    """

    inner: float = 1.0
    outer: float = 1.0
    unit: Literal["voxel", "nm"] = "voxel"
    per_section: bool = False

    def __post_init__(self) -> None:
        for name in ("inner", "outer"):
            positive(getattr(self, name), name, or_zero=True)
        if self.inner == self.outer == 0:
            raise ValueError("inner and outer must not both be 0")

    @property
    def names(self) -> tuple[str, ...]:
        return ("contour",)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        return voxels_of(max(self.inner, self.outer), _unit(self.unit, steps_of(spacing)), self.per_section)

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = _unit(self.unit, check(labels, mask, spacing))
        _seen(self.inner, "inner", 1, self, nm)
        _seen(self.outer, "outer", 1, self, nm)
        distances = signed(labels, nm, self.per_section)
        reaches = np.where(labels != 0, np.float32(self.inner), np.float32(self.outer))
        known = certain(distances, mask, reaches, nm, self.per_section)
        marked = (distances <= self.inner) & (distances >= -self.outer)
        return marked[None].astype(np.float32), known[None].astype(np.float32)


@dataclass(frozen=True)
class SignedDistance(Target):
    """tanh(d / scale) of the distance to the boundary: positive in objects, negative outside.

    Attributes
    ----------
    scale : float
        Nanometres.
    clip : float
        Distances are cut at so many scales, which bounds what must be seen: at 3, values end at 0.995.
    instances : bool
        Labels end where others begin. Otherwise all that is not 0 is one object.
    classes : int
        0: one channel for all labels. Otherwise one each, class k being the voxels of label k.
    groups : tuple of tuple of int
        Instead of ``classes``, the labels of each class.
    per_section : bool
    """

    scale: float = 50.0
    clip: float = 3.0
    instances: bool = True
    classes: int = 0
    groups: tuple[tuple[int, ...], ...] = ()
    per_section: bool = False

    def __post_init__(self) -> None:
        positive(self.scale, "scale")
        positive(self.clip, "clip")
        integer_of(self.classes, "classes", 0)
        if not all(self.groups) or (self.groups and self.classes not in (0, len(self.groups))):
            raise ValueError(f"groups must hold labels, one group per class, got {self.groups!r}")

    @property
    def names(self) -> tuple[str, ...]:
        count = len(self.groups) or self.classes
        return tuple(f"distance {k}" for k in range(1, count + 1)) if count else ("distance",)

    def margin(self, spacing: Sequence[float]) -> tuple[int, int, int]:
        return voxels_of(self.scale * self.clip, steps_of(spacing), self.per_section)

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        nm = check(labels, mask, spacing)
        reach = self.scale * self.clip
        values = np.empty((self.channels, *labels.shape), np.float32)
        known = np.ones((self.channels, *labels.shape), np.float32)
        for k, objects in enumerate(self._objects(labels)):
            values[k] = signed(objects, nm, self.per_section, clip=reach, tanh=self.scale)
            if mask is not None and not mask.all():
                distances = signed(objects, nm, self.per_section, clip=reach)
                known[k] = certain(distances, mask, reach, nm, self.per_section)
        return values, known

    def _objects(self, labels: np.ndarray) -> list[np.ndarray]:
        if self.groups:
            return [np.isin(labels, group) for group in self.groups]
        if self.classes:
            return [labels == k for k in range(1, self.classes + 1)]
        return [labels if self.instances else labels != 0]
