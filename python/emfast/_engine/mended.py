"""Volumes of the user with damaged pieces, which are zeros to whoever reads them, and noted."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._files import beside as written_beside
from ..errors import CorruptData
from ..volumes._volume import normalised
from .grid import words_of
from .pieces import piece_at, read_sound
from .verified import Verified

_SHOWN = 3  # pieces in a warning


@dataclass(frozen=True)
class Lost:
    """A damaged piece: of which volume, which box of it, and what was said of it."""

    volume: str
    box: tuple[tuple[int, int], ...]
    cause: str

    def __str__(self) -> str:
        return f"{self.cause}, {words_of(tuple(slice(*ends) for ends in self.box))}"


class Notes:
    """What was found damaged in a run. In a folder each piece is a file: workers of a cluster may note it, and a run
    that goes on still knows it. Without one they are in memory."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder
        self._held: dict[str, Lost] = {}

    def add(self, lost: Lost) -> None:
        """The same piece is found by several blocks and passes, and kept once."""
        key = hashlib.sha256(repr((lost.volume, lost.box)).encode()).hexdigest()[:24]
        if self.folder is None:
            self._held[key] = lost
            return
        path = os.path.join(self.folder, f"{key}.json")
        if not os.path.exists(path):
            os.makedirs(self.folder, exist_ok=True)
            with written_beside(path) as part, open(part, "w", encoding="utf-8") as file:
                json.dump(asdict(lost), file)

    def all(self) -> list[Lost]:
        """By volume and box."""
        found = list(self._held.values())
        if self.folder is not None and os.path.isdir(self.folder):
            for name in os.listdir(self.folder):
                if name.endswith(".json") and not name.startswith("."):
                    with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                        held = json.load(file)
                    found.append(Lost(held["volume"], tuple(map(tuple, held["box"])), held["cause"]))
        return sorted(found, key=lambda lost: (lost.volume, lost.box))

    def tell(self, path: str | None) -> None:
        """A warning, and all of it in a file beside the target; one of a run before goes where nothing is damaged."""
        found = self.all()
        if path is not None:
            if found:
                with written_beside(path) as part, open(part, "w", encoding="utf-8") as file:
                    json.dump([asdict(lost) for lost in found], file, indent=1)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(path)
        if found:
            warnings.warn(self.words(found, path), stacklevel=5)

    @staticmethod
    def words(found: Sequence[Lost], path: str | None = None) -> str:
        """How many there are, and the first of them with their names."""
        boxes = [str(lost) for lost in found[:_SHOWN]]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        where = f"; all are in {path}" if path else ""
        count = f"{len(found)} damaged {'piece was' if len(found) == 1 else 'pieces were'} taken for zeros"
        return f"{count}: {'; '.join(boxes)}{more}{where}"


class Mended:
    """A volume of the user in which damaged pieces are zeros, whoever reads them in whatever blocks."""

    def __init__(self, volume: Any, notes: Notes) -> None:
        self.volume, self.notes = volume, notes
        self.shape, self.dtype, self.ndim = tuple(volume.shape), np.dtype(volume.dtype), len(volume.shape)

    def __reduce__(self) -> Any:
        return Mended, (self.volume, self.notes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "volume" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.volume, name)

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self.volume[key])
        except CorruptData:
            window, gone = normalised(key, self.shape)
        box = tuple(slice(w.start, w.stop) for w in window)
        voxels, lost = read_sound(self.volume, box)
        for piece, cause in lost:
            self.notes.add(Lost(self.volume.uri, piece_at(self.volume, [p.start for p in piece]), cause))
        found = voxels[tuple(slice(None, None, w.step) for w in window)]
        return found.reshape([n for n, single in zip(found.shape, gone, strict=True) if not single])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...] if dtype is None else self[...].astype(dtype, copy=False)


def mended(volume: Any, notes: Notes | None) -> Any:
    """The volume with zeros where it is damaged. What a run of emfast wrote and checks is never mended."""
    if notes is None or not hasattr(volume, "uri") or isinstance(volume, Verified):
        return volume
    return Mended(volume, notes)


__all__ = ["Lost", "Mended", "Notes", "mended"]
