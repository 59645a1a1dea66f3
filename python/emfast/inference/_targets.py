"""Where the outputs of heads are written: volumes or arrays that are given, made at a place, or in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from .._engine.journal import remove
from .._engine.plan import file_sides
from ..blockwise._run import _chunk, beside, is_local, is_place
from ..recipes import Head

__all__ = ["Targets"]


class Targets:
    """Where the heads are written: given, made at a place, or in memory."""

    def __init__(
        self, target: Any, heads: list[Head], shape: tuple[int, ...], dtype: str, source: Any, flat: bool
    ) -> None:
        self.target, self.heads, self.shape, self.dtype, self.flat = target, heads, shape, dtype, flat
        self.source = source
        self.volumes: list[Any] = []
        self.journal: Any = None
        self.own_journal = False
        if isinstance(target, dict):
            for head in heads:
                if head.name not in target:
                    raise ValueError(f"target must have all heads, got none for {head.name}")
                wanted, came = (head.outputs, *shape), tuple(target[head.name].shape)
                if came != wanted:
                    raise ValueError(f"target of {head.name} must have the shape {wanted}, got {came}")
        elif target is not None and not is_place(target):
            raise TypeError(f"target must be a place, or arrays by head, got {type(target).__name__}")

    def unit(self) -> tuple[int, ...]:
        """Sides of what lies in one file."""
        found = [1, 1, 1]
        if isinstance(self.target, dict):
            for volume in self.target.values():
                found = [math.lcm(a, b) for a, b in zip(found, file_sides(volume, 3) or (1, 1, 1), strict=True)]
        return tuple(found)

    def places(self) -> list[str]:
        place = os.fspath(self.target).rstrip("/")
        if len(self.heads) == 1:
            return [place]
        if not any(kind in place for kind in (".zarr", ".h5", ".hdf5", ".n5")):
            names = ", ".join(head.name for head in self.heads)
            raise ValueError(f"target must be a Zarr or HDF5 file for the heads {names}, got {place!r}")
        return [f"{place}/{head.name}" for head in self.heads]

    def open(self, stack: ExitStack, block: Sequence[int], journal: Any) -> None:
        if isinstance(self.target, dict):
            self.volumes, self.journal = [self.target[head.name] for head in self.heads], journal
            return
        if self.target is None or self.flat:
            self.volumes = [np.empty((head.outputs, *self.shape), self.dtype) for head in self.heads]
            return
        from ..volumes import parse
        from ..volumes._formats import in_place

        places = self.places()
        resumed = is_local(self.target) and in_place(parse(places[0], new=True).format)
        if journal is None and resumed:
            journal, self.own_journal = beside(os.fspath(self.target), "journal"), True
        elif journal is True:
            journal = beside(os.fspath(self.target), "journal")
        self.journal = journal or None
        goes_on = self.journal is not None and os.path.exists(self.journal)
        self._made(stack, block, again=goes_on)

    def anew(self, stack: ExitStack, block: Sequence[int]) -> None:
        """Without what another call left that failed."""
        remove(self.journal)
        self._made(stack, block, again=False)

    def _made(self, stack: ExitStack, block: Sequence[int], *, again: bool) -> None:
        from ..volumes import open_volume

        self.volumes = []
        for place, head in zip(self.places(), self.heads, strict=True):
            shape = (head.outputs, *self.shape)
            if again:
                try:
                    self.volumes.append(
                        stack.enter_context(open_volume(place, mode="r+", shape=shape, dtype=self.dtype))
                    )
                    continue
                except (FileNotFoundError, ValueError):  # gone, or another
                    remove(self.journal)
            chunks = (head.outputs, *map(_chunk, block))
            options: dict[str, Any] = {"shards": (head.outputs, *block)} if ".zarr" in place else {}
            for name in ("spacing", "offset"):
                if getattr(self.source, name, None) is not None:
                    options[name] = getattr(self.source, name)
            made = open_volume(place, mode="w", shape=shape, dtype=self.dtype, axes="czyx", chunks=chunks, **options)
            self.volumes.append(stack.enter_context(made))

    def result(self) -> dict[str, Any]:
        from ..volumes import open_volume

        names = [head.name for head in self.heads]
        if self.flat:
            self.volumes = [volume[:, 0] for volume in self.volumes]
        if not is_place(self.target):
            return dict(zip(names, self.volumes, strict=True))
        if self.flat:
            for place, volume in zip(self.places(), self.volumes, strict=True):
                with open_volume(place, mode="w", like=volume, axes="cyx") as out:
                    out[...] = volume
        else:
            for volume in self.volumes:
                volume.close()
            if self.own_journal:
                remove(self.journal)
        return {name: open_volume(place) for name, place in zip(names, self.places(), strict=True)}
