"""What a format gives: its array as the file has it. Volumes turn axes, cut windows and say which file failed."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import CorruptData

Window = tuple[slice, ...]
SPACE = "zyx"
_ORDER = "tczyx"
_OTHERS = "abdefghijklmnopqrsuvw"
_TOLD = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ModuleNotFoundError,
    MemoryError,
    ConnectionError,
    BlockingIOError,
    CorruptData,
)


@dataclass(frozen=True)
class About:
    """An array in a file. ``spacing`` and ``offset`` are in nanometres, one number per axis of space, in the order of
    ``axes``; None where the file says nothing."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    axes: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.axes:
            object.__setattr__(self, "axes", usual_axes(len(self.shape)))


class Source:
    """The array of one file. Windows are slices with start, stop and step (at least 1) inside the shape, none empty."""

    about: About
    name = ""  # inside of an archive

    def read(self, window: Window) -> np.ndarray:
        raise NotImplementedError

    def write(self, window: Window, values: np.ndarray) -> None:
        """Values are C-contiguous or not, of the dtype, and fill the window, whose steps are 1."""
        raise NotImplementedError

    def close(self) -> None:
        """Done: what is new appears under its name, where it did not before."""

    def discard(self) -> None:
        """Done in vain: what is new goes away, where that can be."""
        self.close()


class Whole(Source):
    """An array that can be sliced: in memory or mapped."""

    def __init__(self, array: Any, about: About) -> None:
        self.array, self.about = array, about

    def read(self, window: Window) -> np.ndarray:
        return np.array(self.array[window])  # a copy: what is read stays when the file goes

    def write(self, window: Window, values: np.ndarray) -> None:
        self.array[window] = values

    def close(self) -> None:
        if isinstance(self.array, np.memmap) and self.array.flags.writeable:
            self.array.flush()


class Turned(Source):
    """A source with its axes in our order."""

    def __init__(self, source: Source) -> None:
        self.source: Source = source
        about = source.about
        self.order = order_of(about.axes)  # our axis i is the file's axis order[i]
        self.back = tuple(int(i) for i in np.argsort(self.order))
        spatial = [about.axes[i] for i in range(len(about.axes)) if about.axes[i] in SPACE]
        places = [spatial.index(a) for a in SPACE if a in spatial]
        self.about = replace(
            about,
            axes="".join(about.axes[i] for i in self.order),
            shape=tuple(about.shape[i] for i in self.order),
            chunks=_picked(about.chunks, self.order),
            shards=_picked(about.shards, self.order),
            spacing=_picked(about.spacing, places),
            offset=_picked(about.offset, places),
        )

    def read(self, window: Window) -> np.ndarray:
        return self.source.read(tuple(window[i] for i in self.back)).transpose(self.order)

    def write(self, window: Window, values: np.ndarray) -> None:
        self.source.write(tuple(window[i] for i in self.back), values.transpose(self.back))

    def close(self) -> None:
        self.source.close()

    def discard(self) -> None:
        self.source.discard()


class Cut(Source):
    """A part of a source: from ``starts`` on, of a shape; axes in ``gone``, of length one there, are left out."""

    def __init__(
        self, source: Source, starts: Sequence[int], shape: Sequence[int], gone: Sequence[int] = (), **more: Any
    ) -> None:
        self.source, self.starts, self.gone = source, tuple(starts), frozenset(gone)
        about = source.about
        kept = [i for i in range(len(about.shape)) if i not in self.gone]
        aligned = not any(starts)
        self.about = replace(
            about,
            axes="".join(about.axes[i] for i in kept),
            shape=tuple(shape[i] for i in kept),
            chunks=_picked(about.chunks, kept) if aligned else None,
            shards=_picked(about.shards, kept) if aligned else None,
            **more,
        )
        self.whole = tuple(shape)

    def _outer(self, window: Window) -> Window:
        rest = iter(window)
        inner = [slice(0, 1, 1) if i in self.gone else next(rest) for i in range(len(self.whole))]
        return tuple(slice(s + w.start, s + w.stop, w.step) for s, w in zip(self.starts, inner, strict=True))

    def read(self, window: Window) -> np.ndarray:
        return self.source.read(self._outer(window)).reshape(lengths(window))

    def write(self, window: Window, values: np.ndarray) -> None:
        outer = self._outer(window)
        self.source.write(outer, values.reshape(lengths(outer)))

    def close(self) -> None:
        self.source.close()

    def discard(self) -> None:
        self.source.discard()


def _picked(values: Sequence[Any] | None, places: Sequence[int]) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values[i] for i in places)


def usual_axes(dims: int) -> str:
    """Axes of an array that names none: the last are z, y, x, before them channels, before those time."""
    return _OTHERS[: max(0, dims - len(_ORDER))] + (_ORDER[-dims:] if dims else "")


def order_of(axes: str) -> tuple[int, ...]:
    """Where our axes are among those of a file: others as they come, then time, channels, z, y, x."""
    return tuple(sorted(range(len(axes)), key=lambda i: _ORDER.find(axes[i])))


def axes_of(axes: Any, dims: int) -> str:
    """A letter for each axis, no letter twice."""
    if not isinstance(axes, str):
        raise TypeError(f"axes must be letters like 'zyx', got {axes!r}")
    if len(axes) != dims or len(set(axes)) != dims or not (axes.isascii() and axes.islower()):
        raise ValueError(f"axes must have one letter for each of {dims} axes, like {usual_axes(dims)!r}, got {axes!r}")
    return axes


def space_in(axes: str) -> int:
    """The number of axes of space."""
    return sum(a in SPACE for a in axes)


def numbers_or_none(values: Any, count: int, scale: float = 1.0, positive: bool = True) -> tuple[float, ...] | None:
    """What a file says of spacing (or offset) in nanometres; None where it is no such thing."""
    try:
        found = tuple(float(v) * scale for v in values)
    except (TypeError, ValueError, OverflowError):
        return None
    good = len(found) == count and all(math.isfinite(v) and (not positive or 1e-30 <= v <= 1e30) for v in found)
    return found if good else None


_UNITS = {
    "angstrom": 0.1,
    "Å": 0.1,
    "å": 0.1,
    "a": 0.1,
    "picometer": 1e-3,
    "pm": 1e-3,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "nm": 1.0,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "micron": 1e3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "mm": 1e6,
    "centimeter": 1e7,
    "centimetre": 1e7,
    "cm": 1e7,
    "inch": 2.54e7,
    "meter": 1e9,
    "metre": 1e9,
    "m": 1e9,
}


def nanometres(unit: Any) -> float | None:
    """How many nanometres a unit is; None where nobody says, or not as a length."""
    name = unit.strip().strip('"') if isinstance(unit, str) else ""
    name = re.sub(r"\\u(00b5|03bc|00c5|212b)", lambda said: chr(int(said[1], 16)), name, flags=re.IGNORECASE)
    return _UNITS.get(name) or _UNITS.get(name.lower()) or _UNITS.get(name.lower().removesuffix("s"))


def lengths(window: Window) -> tuple[int, ...]:
    """The shape of what a window holds."""
    return tuple(len(range(w.start, w.stop, w.step or 1)) for w in window)


def product(shape: Sequence[int]) -> int:
    return math.prod(int(n) for n in shape)


def sizes_of(values: Any, what: str) -> tuple[int, ...]:
    """Sizes out of a header, no more than NumPy can hold."""
    if not isinstance(values, (list, tuple)) or not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise ValueError(f"its {what} must be a list of sizes, got {str(values)[:80]}")
    return tuple(values)


@contextmanager
def telling(name: str, wanted: str = "") -> Iterator[None]:
    """Errors of libraries as ValueError with the name of the file."""
    try:
        yield
    except _TOLD:
        raise
    except ValueError as error:
        if name in str(error):
            raise
        raise ValueError(_damaged(name, error)) from error
    except Exception as error:
        raise ValueError(_damaged(name, error)) from error


@contextmanager
def making(name: str) -> Iterator[None]:
    """Of something new, which no file can be blamed for: what was asked for and cannot be, with the place."""
    try:
        yield
    except _TOLD:
        raise
    except (TypeError, ValueError) as error:
        if name in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{error}, for {name}") from error
    except Exception as error:
        raise ValueError(_damaged(name, error)) from error


def _damaged(name: str, error: Exception) -> str:
    return f"{name} must be a file of its kind, got another one or a damaged one ({error or type(error).__name__})"


def library(name: str, path: str, extra: str = "io") -> Any:
    """A library that a format needs, or which extra brings it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ModuleNotFoundError(f"{path} needs {error.name}: pip install 'emfast[{extra}]'", name=name) from None
