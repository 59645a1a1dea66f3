"""An augmentation: its steps, how much context they need, and how they are made on a crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..sampling import Crop
from ._canvas import Canvas
from ._motion import Motion
from ._step import All, Step


@dataclass(frozen=True)
class Augmentation:
    """Steps, one after another.

    Attributes
    ----------
    steps : tuple of Step
    black, white : float, optional
        The ends of the grey values, of which steps take shares. Default: 0 and the largest value of the dtype; of
        floats 1.

    Examples
    --------
    >>> import emfast, numpy as np
    >>> from emfast import augmentation, sampling
    >>> phantom = emfast.phantom.make((16, 96, 96), seed=1)
    >>> piece = sampling.Piece(phantom.image[None], {"cells": phantom.labels}, spacing=phantom.spacing)
    >>> steps = augmentation.Augmentation((augmentation.Flip("xy8z"), augmentation.Rotate(10), augmentation.Noise()))
    >>> shape, rng = (8, 48, 48), sampling.generator(0, 7)
    >>> margin = steps.margin(shape, piece.spacing)
    >>> margin
    (0, 4, 4)
    >>> crop = sampling.cut(piece, [4 - margin[0], 24 - margin[1], 24 - margin[2]], np.add(shape, 2 * np.array(margin)))
    >>> changed = steps.apply(crop, shape, rng)
    >>> changed.image.shape, changed.image.dtype.name, bool(changed.masks["cells"].all())
    ((1, 8, 48, 48), 'float32', True)
    """

    steps: tuple[Step, ...] = ()
    black: float | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        if self.black is not None and self.white is not None and not self.black < self.white:
            raise ValueError(f"white must be above black ({self.black:g}), got {self.white!r}")

    def margin(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, int, int]:
        """Voxels around a crop of that shape that the steps may bring into it."""
        half = (np.asarray(shape, float) - 1) / 2
        steps = All(self.steps)
        spread = steps.spread()
        reach = steps.reach(half + spread, spacing)
        z, y, x = (max(0, int(v)) for v in np.ceil(np.round(reach - half, 6)))
        return z, y, x

    def apply(self, crop: Crop, shape: Sequence[int], rng: np.random.Generator) -> Crop:
        """The inner voxels of that shape, changed. The image comes as float32, in the units it came in.

        Parameters
        ----------
        crop : Crop
            With the margin around; with less of it the image is continued by its last voxels, and labels are unknown.
        shape : (z, y, x)
        rng : numpy.random.Generator
            All that is drawn comes from it.

        Returns
        -------
        Crop
        """
        chosen = [each for step in self.steps for each in step.chosen(rng)]
        motion = Motion(shape, crop.spacing, int(np.gcd.reduce([step.pitch() for step in chosen] or [0])))
        moved = [step.move(motion, rng) for step in chosen]
        out = motion.resample(crop)
        canvas = Canvas(out.image, *self._range(crop.image.dtype))
        for step, what in zip(chosen, moved, strict=True):
            step.change(canvas, rng, what)
        canvas.flush()
        return out

    def _range(self, dtype: np.dtype) -> tuple[float, float]:
        low, high = (0, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 1)
        return low if self.black is None else self.black, high if self.white is None else self.white
