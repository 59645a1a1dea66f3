"""What is done with one block: its voxels are read, a function is called, and what it made is written."""

from __future__ import annotations

import inspect
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._ids import cast_exactly
from ..errors import CorruptData
from .grid import Block, Grid, Window, is_lazy
from .pieces import read_sound


class Made(NamedTuple):
    """What a function of blocks returns where it makes both: voxels for the target or targets, and a value."""

    voxels: Any
    value: Any


class Outcome(NamedTuple):
    """Of a block that is done."""

    value: Any
    sums: tuple[int, ...]  # checksums of what was written, by target
    lost: tuple[tuple[str, Window], ...]  # which source was damaged where, and read as zeros


@dataclass(frozen=True)
class Job:
    """The work on any block of a grid: ``job(index)``.

    ``sources`` and ``targets`` are by name; ``called`` says how the function takes its sources: "one", "many", "names".
    """

    fn: Callable[..., Any]
    called: str
    sources: Mapping[str, Any]
    targets: Mapping[str, Any]
    grid: Grid
    where: bool = False  # whether the function is told its block
    skip_corrupt: bool = False
    kept: bool = False  # in a journal: what is written is summed, values are pickled

    def __call__(self, index: int) -> Outcome:
        block = self.grid[index]
        lost: list[tuple[str, Window]] = []
        parts = {name: self._read(name, source, block, lost) for name, source in self.sources.items()}
        positional = () if self.called == "names" else tuple(parts.values())
        named: dict[str, Any] = dict(parts) if self.called == "names" else {}
        if self.where:
            named["where"] = block
        made = self.fn(*positional, **named)
        del parts, positional, named
        value = made
        sums: tuple[int, ...] = ()
        if self.targets:
            voxels, value = made if isinstance(made, Made) else (made, None)
            sums = self._write(voxels, block)
        elif isinstance(made, Made):
            raise ValueError(f"fn must not return voxels where there is no target, got {type(made).__name__}")
        if self.kept and value is not None:
            value = pickle.dumps(value, protocol=5)
        return Outcome(value, sums, tuple(lost))

    def _read(self, name: str, source: Any, block: Block, lost: list[tuple[str, Window]]) -> Any:
        try:
            part = source[last(block.outer)]
            if is_lazy(source):
                return np.asarray(part)
        except CorruptData:
            if not self.skip_corrupt:
                raise
            return _read_sound(name, source, block.outer, lost)
        if isinstance(part, np.ndarray):
            part = part.view()
            part.flags.writeable = False  # the source is never written, nor a halo that others read
        return part

    def _write(self, voxels: Any, block: Block) -> tuple[int, ...]:
        given = voxels if len(self.targets) > 1 else (voxels,)
        if not isinstance(given, (tuple, list)) or len(given) != len(self.targets):
            raise ValueError(f"fn must return voxels for each of {len(self.targets)} targets, got {_kind(voxels)}")
        sound = [
            _fitting(part, name, target, block)
            for part, (name, target) in zip(given, self.targets.items(), strict=True)
        ]
        for part, target in zip(sound, self.targets.values(), strict=True):
            target[last(block.core)] = part
        return tuple(checksum(part) for part in sound) if self.kept else ()


def checksum(voxels: Any) -> int:
    """The CRC-32 of voxels in C order."""
    array = np.asarray(voxels)
    if array.size == 0:
        return 0
    if array.flags.c_contiguous or array.ndim < 2:
        return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))
    sum_ = 0
    for plane in array:  # the whole is never copied
        sum_ = zlib.crc32(np.ascontiguousarray(plane).data.cast("B"), sum_)
    return sum_


def last(window: Window) -> tuple[Any, ...]:
    """A box in the last axes of an array."""
    return (..., *window)


def takes_where(fn: Callable[..., Any]) -> bool:
    """Whether a function has a parameter of that name and no default for it, as NumPy's own have."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):  # of some built-in functions
        return False
    return "where" in parameters and parameters["where"].default is inspect.Parameter.empty


def _fitting(voxels: Any, name: str, target: Any, block: Block) -> np.ndarray:
    """Voxels of the core in the dtype of the target, which must hold them exactly."""
    array = np.asarray(voxels)
    dims, lead = len(block.core), tuple(target.shape[: target.ndim - len(block.core)])
    core, outer = (*lead, *block.shape), (*lead, *block.outer_shape)
    if array.shape == outer:
        array = array[last(block.inner)]
    elif array.shape != core:
        halo = "" if core == outer else f" or with the halo {outer}"
        raise ValueError(f"fn must return voxels of shape {core}{halo} for {name}, got {_kind(voxels)}")
    assert array.ndim == len(lead) + dims
    wanted = np.dtype(target.dtype)
    if array.dtype == wanted:
        return array
    if array.dtype.kind in "iub" and wanted.kind in "iu":
        cast, held = cast_exactly(array.view("u1") if array.dtype == bool else array, wanted)
        if not held.all():
            raise ValueError(f"fn must return voxels that {name} ({wanted}) can hold, got {array[~held].flat[0]}")
        return cast
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise TypeError(f"fn must return voxels that {name} ({wanted}) can hold, got {array.dtype}")
    return array.astype(wanted)


def _kind(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"{len(value)} of them"
    return type(value).__name__


def _read_sound(name: str, source: Any, window: Window, lost: list[tuple[str, Window]]) -> np.ndarray:
    """A box of which some pieces are damaged: these are zeros, and noted by what they are in the axes that are cut."""
    lead = source.ndim - len(window)
    found, pieces = read_sound(source, (*(slice(0, n) for n in source.shape[:lead]), *window))
    lost += {repr(piece[lead:]): (name, piece[lead:]) for piece, _ in pieces}.values()
    return found


__all__ = ["Job", "Made", "Outcome", "checksum", "last", "takes_where"]
