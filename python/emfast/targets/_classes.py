"""Classes of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._options import integer_of
from ._target import Made, Target, check, known_of


@dataclass(frozen=True)
class Semantic(Target):
    """What a voxel is: 1 where there is an object, or a channel for each of several classes.

    With ``background=True`` channel 0 is the background, and of the channels of a voxel one is 1: for softmax and cross
    entropy. Without, channels are asked one by one: for sigmoids.

    Attributes
    ----------
    classes : int
        1: all labels but 0. More: class k is label k.
    groups : tuple of tuple of int
        Instead, the labels of each class. A label may be in several where there is no background channel.
    background : bool
    """

    classes: int = 1
    groups: tuple[tuple[int, ...], ...] = ()
    background: bool = False

    def __post_init__(self) -> None:
        integer_of(self.classes, "classes", 1)
        if self.groups and self.classes not in (1, len(self.groups)):
            raise ValueError(f"groups must be one per class ({self.classes}), got {len(self.groups)}")
        labels = [label for group in self.groups for label in group]
        if not all(self.groups) or (self.background and (0 in labels or len(set(labels)) < len(labels))):
            raise ValueError(f"groups must hold labels, with a background none twice and not 0, got {self.groups!r}")

    @property
    def names(self) -> tuple[str, ...]:
        count = len(self.groups) or self.classes
        own = ("object",) if count == 1 else tuple(f"class {k}" for k in range(1, count + 1))
        return ("background", *own) if self.background else own

    def make(self, labels: np.ndarray, mask: np.ndarray | None = None, *, spacing: Sequence[float] = (1, 1, 1)) -> Made:
        check(labels, mask, spacing)
        groups = self.groups or [(k,) for k in range(1, self.classes + 1)]
        values = np.empty((self.channels, *labels.shape), np.float32)
        own = values[self.channels - len(groups) :]
        for channel, group in zip(own, groups, strict=True):
            channel[...] = labels != 0 if not self.groups and self.classes == 1 else np.isin(labels, group)
        if self.background:
            values[0] = ~own.any(0)
        return values, known_of(labels, mask)
