"""The image of a patch while steps change its grey values: tones are gathered and made in one native pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from .._arrays import Host

_GAIN, _OFFSET, _LOW, _RANGE, _GAMMA, _NOISE, _FLOOR, _CEILING = range(8)
_STILL = np.array([1, 0, 0, 1, 1, 0, -np.inf, np.inf], np.float64)


class Canvas:
    """An image (c, z, y, x) float32 that is changed in place. ``black`` and ``white`` are the ends of its grey
    values; ``beyond`` says how far it goes beyond one that nobody gave, which is refused where it is asked for."""

    def __init__(
        self, image: np.ndarray, black: float, white: float, beyond: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self.image = image
        self._ends = {"black": float(black), "white": float(white)}
        self._beyond = beyond
        self.depth, self.height, self.width = image.shape[1:]
        self._library = Host()
        self._native = self._library.native()
        self._means: np.ndarray | None = None
        self._clear()

    @property
    def black(self) -> float:
        return self._end("black")

    @property
    def white(self) -> float:
        return self._end("white")

    def _end(self, name: str) -> float:
        if name in self._beyond:
            raise ValueError(f"{name} must be given for float images that reach {self._beyond[name]:g}")
        return self._ends[name]

    @property
    def unit(self) -> float:
        return self.white - self.black

    def scale(self, gain: np.ndarray, offset: np.ndarray) -> None:
        """``v * gain + offset``, one of each for a section."""
        self._at(0)
        self._tones[:, _GAIN] *= gain
        self._tones[:, _OFFSET] = self._tones[:, _OFFSET] * gain + offset

    def raise_to(self, gamma: np.ndarray) -> None:
        """The power of grey values between black and white, one for each section."""
        self._at(1)
        self._tones[:, _LOW], self._tones[:, _RANGE], self._tones[:, _GAMMA] = self.black, self.unit, gamma

    def disturb(self, sigma: np.ndarray, keys: np.ndarray) -> None:
        """Add normal deviates."""
        self._at(2)
        self._tones[:, _NOISE], self._keys = sigma, keys

    def bound(self) -> None:
        """Keep within black and white."""
        self._at(3)
        self._tones[:, _FLOOR], self._tones[:, _CEILING] = self.black, self.white

    def means(self) -> np.ndarray:
        """Of the sections as they are by now, over all channels."""
        if self._stage > 0:
            self.flush()
        if self._means is None:
            self._means = np.asarray(self._native.retouch_means(self._library, self.image[None]))[0].mean(0)
        return self._means * self._tones[:, _GAIN] + self._tones[:, _OFFSET]

    def blank(self, sections: Sequence[int], value: float) -> None:
        """Sections of one grey value."""
        self.fill([(z, z + 1, 0, self.height, 0, self.width) for z in sections], [value] * len(sections))

    def fill(self, boxes: Sequence[Sequence[int]], values: Sequence[float]) -> None:
        """Boxes (from, to along z, y, x), each of a grey value."""
        if boxes:
            self.flush()
            self._native.retouch_fill(self._library, self.image[None], [[0, *box] for box in boxes], list(values))

    def smooth(self, taps: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
        """Sections as weighted sums: steps (n, 3) and weights (n,) by section."""
        if taps:
            self.flush()
            steps = np.concatenate([steps for steps, _ in taps.values()]).astype(np.int32)
            weights = np.concatenate([weights for _, weights in taps.values()]).astype(np.float32)
            starts = np.cumsum([0] + [len(weights) for _, weights in taps.values()], dtype=np.int64)
            sections = np.array([*taps], np.int64)
            self._native.retouch_smooth(self._library, self.image[None], sections, starts, steps, weights)

    def overlay(self, sections: Sequence[int], values: np.ndarray, covers: np.ndarray) -> None:
        """Something (n, y, x) that lies over sections, as far as it covers them, from 0 to 1."""
        if len(sections):
            self.flush()
            arrays = [np.ascontiguousarray(array, np.float32) for array in (values, covers)]
            self._native.retouch_overlay(self._library, self.image[None], np.array(sections, np.int64), *arrays)

    def equalise(self, amounts: dict[int, float]) -> None:
        """Sections moved towards a flat histogram, by a share each."""
        if amounts:
            self.flush()
            sections, shares = np.array([*amounts], np.int64), np.array([*amounts.values()], np.float32)
            self._native.retouch_equalise(self._library, self.image[None], sections, shares, self.black, self.white)

    def flush(self) -> None:
        """Make what was gathered."""
        if not np.array_equal(self._tones, np.broadcast_to(_STILL, self._tones.shape)):
            tones = np.ascontiguousarray(self._tones, np.float32)
            self._native.retouch_tone(self._library, self.image[None], tones, self._keys)
        self._clear()

    def _clear(self) -> None:
        self._tones = np.tile(_STILL, (self.depth, 1))
        self._keys = np.zeros(self.depth, np.uint64)
        self._stage = 0
        self._means = None

    def _at(self, stage: int) -> None:
        """The native pass makes gains, powers, noise, bounds in this order; all but gains once."""
        if stage < self._stage or stage == self._stage > 0:
            self.flush()
        self._stage = stage
