"""Volumes that are made of others where they are read: codes turned to labels, masks, tables of ids, sections."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from ..volumes import Volume
from ..volumes._source import About, Source, Window, lengths


@dataclass(frozen=True)
class Step:
    """A function of voxels. ``dtype`` is what it gives; ``colours``: it takes the leading channel axis away;
    ``sections``: it is given whole sections and the number of the first."""

    @property
    def dtype(self) -> np.dtype | None:
        return None

    @property
    def colours(self) -> bool:
        return False

    @property
    def sections(self) -> bool:
        return False

    def __call__(self, array: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class Inside(Step):
    """1 where a value is one of these, else 0."""

    values: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return _any_of(array, self.values).astype(np.uint8)


@dataclass(frozen=True)
class Positive(Step):
    """1 where a value is not 0."""

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return (array != 0).astype(np.uint8)


@dataclass(frozen=True)
class Known(Step):
    """A mask: True where a value is none of these."""

    values: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return ~_any_of(array, self.values)


@dataclass(frozen=True)
class Recode(Step):
    """Values changed by a table, at once; others stay."""

    table: tuple[tuple[int, int], ...]
    to: str | None = None

    @property
    def dtype(self) -> np.dtype | None:
        return None if self.to is None else np.dtype(self.to)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        out = array.astype(self.dtype or array.dtype)
        for old, new in self.table:
            out[array == old] = new
        return out


@dataclass(frozen=True)
class White(Step):
    """1 where all colours are full; what is transparent counts as it is coloured."""

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    @property
    def colours(self) -> bool:
        return True

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return (array[:3] == 255).all(0).astype(np.uint8)


@dataclass(frozen=True)
class OtherColour(Step):
    """A mask: True where the colour is another."""

    colour: tuple[int, int, int]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool)

    @property
    def colours(self) -> bool:
        return True

    def __call__(self, array: np.ndarray) -> np.ndarray:
        wanted = np.array(self.colour, array.dtype).reshape(3, *(1,) * (array.ndim - 1))
        return np.asarray((array[:3] != wanted).any(0))


@dataclass(frozen=True)
class Grey(Step):
    """The first colour, of pictures that are grey in all."""

    @property
    def colours(self) -> bool:
        return True

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array[0])


@dataclass(frozen=True, eq=False)
class Mapped(Step):
    """Ids by a table with ascending keys; those that are not in it stay."""

    keys: np.ndarray
    values: np.ndarray

    def __call__(self, array: np.ndarray) -> np.ndarray:
        if not len(self.keys):
            return array
        places = np.minimum(np.searchsorted(self.keys, array), len(self.keys) - 1)
        return np.where(self.keys[places] == array, self.values[places], array).astype(array.dtype)


@dataclass(frozen=True)
class Scaled(Step):
    """Values from low to high as 0 to 255."""

    low: float
    high: float

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        span = self.high - self.low
        scaled = (np.asarray(array, np.float64) - self.low) * (255 / span) if span > 0 else np.zeros(array.shape)
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


_PER_SECTION = 1 << 16


@dataclass(frozen=True)
class SectionObjects(Step):
    """Parts of each section that are joined over sides and not 0, each by itself: section × 65536 + 1, 2, …"""

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint32)

    @property
    def sections(self) -> bool:
        return True

    def __call__(self, array: np.ndarray, first: int = 0) -> np.ndarray:
        from ..components import connected_components

        out = np.zeros(array.shape, np.uint32)
        for k, section in enumerate(array):
            parts = connected_components((section != 0).astype(np.uint8), connectivity=4).astype(np.uint32)
            if parts.max(initial=0) >= _PER_SECTION:
                raise ValueError(f"section {first + k} must have fewer than {_PER_SECTION} objects")
            out[k] = np.where(parts, parts + np.uint32((first + k) * _PER_SECTION), 0)
        return out


class _Made(Source):
    """What a step makes of another volume."""

    def __init__(self, part: Volume, step: Step) -> None:
        self.part, self.step = part, step
        skip = 1 if step.colours else 0
        if step.colours and not part.axes.startswith("c"):
            raise ValueError(f"{part.uri} must have colours, got the axes {part.axes!r}")
        self.about = About(
            part.shape[skip:],
            step.dtype or part.dtype,
            None if part.chunks is None else part.chunks[skip:],
            None if part.shards is None else part.shards[skip:],
            part.spacing,
            part.offset,
            part.axes[skip:],
            part.attributes,
        )

    def read(self, window: Window) -> np.ndarray:
        if self.step.colours:
            everything: tuple[slice, ...] = (slice(None), *window)
            return self.step(self.part[everything])
        if not self.step.sections:
            return self.step(self.part[window])
        out = np.empty(lengths(window), self.about.dtype)
        for k, z in enumerate(range(window[0].start, window[0].stop, window[0].step)):
            section = self.step(self.part[z : z + 1], z)[0]  # type: ignore[call-arg]
            out[k] = section[window[1:]]
        return out

    def close(self) -> None:
        self.part.close()


class Derived(Volume):
    """A volume that a step makes of another one; it pickles as both. Its ``uri`` names both, for journals tell volumes
    apart by that."""

    def __init__(self, part: Volume, step: Step) -> None:
        source = _Made(part, step)
        super().__init__(source, part._place, "r", {}, tuple(slice(0, n, 1) for n in source.about.shape))
        self._part, self._step = part, step

    @property
    def origin(self) -> Volume:
        """The same box as the file has it, sentinels and all: what protocols take that know these themselves."""
        if self._whole:
            return self._part
        lead = (slice(None),) if self._step.colours else ()
        return self._part.crop((*lead, *self._window))

    @property
    def uri(self) -> str:
        words = f"{type(self._step).__name__} {crc32(pickle.dumps(self._step, 4)):08x}"
        return f"{self._part.uri} [{words}]"

    def crop(self, window: Any) -> Volume:
        return self._cut(super().crop(window)._window)

    def _cut(self, window: Window) -> Derived:
        found = Derived(self._part, self._step)
        found._window, found._whole = window, False
        return found

    def __reduce__(self) -> Any:
        bounds = None if self._whole else tuple((w.start, w.stop) for w in self._window)
        return _made_again, (self._part, self._step, bounds)


def _made_again(part: Volume, step: Step, bounds: tuple[tuple[int, int], ...] | None) -> Derived:
    found = Derived(part, step)
    return found if bounds is None else found._cut(tuple(slice(a, b, 1) for a, b in bounds))


def _any_of(array: np.ndarray, values: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(array.shape, bool)
    for value in values:
        found |= array == value
    return found


__all__ = [
    "Derived",
    "Grey",
    "Inside",
    "Known",
    "Mapped",
    "OtherColour",
    "Positive",
    "Recode",
    "Scaled",
    "SectionObjects",
    "Step",
    "White",
]
