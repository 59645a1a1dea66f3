"""An augmentation: its steps, how much context they need, and how they are made on a crop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..sampling import Crop
from ._canvas import Canvas
from ._motion import Motion
from ._step import All, Step

_AT_ONCE = 1 << 20  # voxels of all images that grey values are told by, and in eight sections so many


@dataclass(frozen=True)
class Augmentation:
    """Steps, one after another.

    Attributes
    ----------
    steps : tuple of Step
    black, white : float, optional
        The ends of the grey values, of which steps take shares. Default: 0 and the largest value of the dtype; of
        floats 1, and images that go beyond are refused by steps that ask for the end. Training finds them in the
        training images, where both are left out and these are not of 8 bits (:func:`of_images`).

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
        canvas = Canvas(out.image, *self._range(crop.image.dtype), self._beyond(crop.image))
        for step, what in zip(chosen, moved, strict=True):
            step.change(canvas, rng, what)
        canvas.flush()
        return out

    def _range(self, dtype: np.dtype) -> tuple[float, float]:
        low, high = (0.0, float(np.iinfo(dtype).max)) if dtype.kind in "iu" else (0.0, 1.0)
        black, white = low if self.black is None else self.black, high if self.white is None else self.white
        if not black < white:
            raise ValueError(f"black must be below white, got {black:g} and {white:g} for images of {dtype}")
        return black, white

    def _beyond(self, image: np.ndarray) -> dict[str, float]:
        """How far floats go beyond the ends that nobody gave."""
        found: dict[str, float] = {}
        if image.dtype.kind == "f" and image.size:
            if self.black is None and image.min() < 0:
                found["black"] = float(image.min())
            if self.white is None and image.max() > 1:
                found["white"] = float(image.max())
        return found

    def of_images(self, images: Sequence[Any]) -> Augmentation:
        """With black and white of images (c, z, y, x) that are alike in dtype, where both are left out and that is not
        uint8: the values below and above which a thousandth of the voxels lies, as of some sections of each."""
        dtype = np.dtype(images[0].dtype)
        said = self.black is not None or self.white is not None
        if said or not self.steps or dtype == np.uint8 or dtype.kind not in "iuf":
            return self
        values = np.concatenate([_some(image, _AT_ONCE // len(images)) for image in images])
        values = values[np.isfinite(values)] if dtype.kind == "f" else values
        if not values.size:
            return self
        black = float(np.percentile(values, 0.1, method="lower"))
        white = float(np.percentile(values, 99.9, method="higher"))
        return replace(self, black=black, white=white if white > black else black + 1)


def _some(image: Any, most: int) -> np.ndarray:
    """Voxels of up to eight sections, of each about so many at most."""
    depth, height, width = image.shape[1:]
    step = max(1, math.isqrt(height * width // max(1, most)))
    sections = np.unique(np.linspace(0, depth - 1, 8).round().astype(int)).tolist()
    return np.concatenate([np.asarray(image[:, z : z + 1, :, :])[..., ::step, ::step].ravel() for z in sections])
