"""A region of a volume through a network: tiles are read, turned, run in batches, brought back and joined.

Everything a voxel depends on is decided by the volume: its tiles (see ``_tiles``), the order in which they are added,
and the number of tiles in a batch, which is filled up where there are fewer. So a region is what it is in the whole
volume.
"""

from __future__ import annotations

import itertools
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from ..nn import Module
from ..recipes import Head
from ._activation import activated
from ._constants import Constants
from ._symmetry import Symmetry, moves, rearranged
from ._tiles import Axis

__all__ = ["Buffers", "Runner", "regions"]

Box = Sequence[tuple[int, int]]


class Buffers(threading.local):
    """Memory by name that a thread uses for block after block, since new memory is slow when it is first touched: what
    was asked for by a name is good until the same is asked for again."""

    def __init__(self) -> None:
        self.held: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        if device.type != "cpu":  # torch keeps that of devices by itself
            return torch.empty(tuple(shape), dtype=dtype, device=device)
        size = math.prod(shape)
        held = self.held.get(name)
        if held is None or held.dtype != dtype or held.numel() < size:
            held = self.held[name] = torch.empty(size, dtype=dtype)
        return held[:size].view(tuple(shape))


class Runner:
    """A network on a device with all that makes outputs of tiles: ``runner(tiles)`` gives them by head, activated, the
    reduced outputs of all symmetries."""

    def __init__(
        self,
        module: Module,
        heads: Sequence[Head],
        members: Sequence[Symmetry],
        shift: tuple[int, int, int],
        *,
        reduce: str = "mean",
        precision: Any = None,
        batch: int = 1,
    ) -> None:
        self.module, self.heads, self.members, self.shift = module, heads, members, shift
        self.reduce, self.precision, self.batch = reduce, precision, batch
        self.device = next(iter(module.parameters())).device
        self.moves = {(h.name, m): moves(h, m) for h in heads for m in members}

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def __call__(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of (n, c, z, y, x)."""
        found: dict[str, list[torch.Tensor]] = {head.name: [] for head in self.heads}
        for member in self.members:
            outputs = self._run(member.put(tiles).contiguous())
            for head in self.heads:
                values = member.back(activated(head, outputs[head.name].float()))
                moved = rearranged(values, self.moves[head.name, member], self.shift)
                if found[head.name] and self.reduce != "median":
                    moved = _pair(self.reduce, found[head.name].pop(), moved)
                found[head.name].append(moved)
        return {name: self._reduced(values) for name, values in found.items()}

    def _reduced(self, values: list[torch.Tensor]) -> torch.Tensor:
        if self.reduce == "median":
            return middle(values)
        return values[0] / len(self.members) if self.reduce == "mean" and len(self.members) > 1 else values[0]

    def _run(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs of the network; where the device has no room, of half of the tiles at a time from now on."""
        while True:
            try:
                parts = [self._forward(part) for part in tiles.split(self.batch)]
                return {
                    name: torch.cat([p[name] for p in parts]) if len(parts) > 1 else parts[0][name] for name in parts[0]
                }
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    sides = tuple(tiles.shape[2:])
                    raise MemoryError(
                        f"{self.device} has no room for a tile of {sides}: choose a smaller tile"
                    ) from None
            torch.cuda.empty_cache()
            self.batch = -(-self.batch // 2)
            warnings.warn(f"{self.device} has no room for the batch: {self.batch} tiles at once now", stacklevel=2)

    def _forward(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        cast = torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        with cast:
            outputs: dict[str, torch.Tensor] = self.module(tiles)
        return outputs


def regions(
    runner: Runner,
    constants: Constants,
    voxels: torch.Tensor,
    corner: Sequence[int],
    box: Box,
    axes: Sequence[Axis],
    size: int,
    buffer: Buffers,
    name: str = "",
) -> dict[str, torch.Tensor]:
    """The outputs of a region of the volume.

    Parameters
    ----------
    voxels : (c, z, y, x) on the device of the runner
        All that the tiles of the region read, and perhaps more.
    corner : (z, y, x)
        Where they begin in the volume.
    box : start and stop along each axis
    axes : tiles along each axis
    size : int
        Tiles in a batch.
    buffer, name
        Outputs are in buffers whose names begin so.
    """
    tiles = [axis.tiles(*side) for axis, side in zip(axes, box, strict=True)]
    firsts = [axis.start(there[0]) for axis, there in zip(axes, tiles, strict=True)]
    around = _taken(voxels, corner, [axis.places(*side) for axis, side in zip(axes, box, strict=True)])
    sides = [stop - start for start, stop in box]
    out: dict[str, torch.Tensor] = {}
    blended = any(axis.blended for axis in axes)
    shape = (size, len(voxels), *(axis.tile for axis in axes))
    stack = buffer(f"{name} tiles", shape, torch.float32, voxels.device)
    weigh = _Weights(axes, box, voxels.device) if blended else None
    if blended:  # each voxel is in several tiles
        around = _normalised(around, buffer(f"{name} around", around.shape, torch.float32, voxels.device), constants)
    for batch in _batches(itertools.product(*tiles), size):
        for slot, places in enumerate(batch):
            z, y, x = (
                slice(axis.start(k) - first, axis.start(k) - first + axis.tile)
                for axis, k, first in zip(axes, places, firsts, strict=True)
            )
            tile = around[:, z, y, x]
            _copied(tile, stack[slot]) if blended else _normalised(tile, stack[slot], constants)
        stack[len(batch) :].zero_()
        for head, values in runner(stack).items():
            if head not in out:
                shape = (values.shape[1], *sides)
                out[head] = buffer(f"{name} of {head}", shape, torch.float32, voxels.device)
                if blended:
                    out[head].zero_()
            for slot, places in enumerate(batch):
                there, here = zip(*(_meets(*each) for each in zip(axes, places, box, strict=True)), strict=True)
                whole, part = (a[:, b[0], b[1], b[2]] for a, b in ((out[head], there), (values[slot], here)))
                if weigh is None:
                    _copied(part, whole)
                else:
                    product = buffer(f"{name} product", part.shape, torch.float32, voxels.device)
                    _added(part, weigh(places), product, whole)
    return out


# What is done with a tile beside the network is too little for several threads: torch's would wait for each other, and
# for those that read and write. On the host NumPy does it by one.


def _normalised(voxels: torch.Tensor, out: torch.Tensor, constants: Constants) -> torch.Tensor:
    """As :meth:`Constants.normalised` does, to the bit."""
    shift, scale = np.float32(constants.shift), np.float32(1 / constants.scale)
    if out.device.type == "cpu":
        values = out.numpy()
        np.subtract(voxels.numpy(), shift, out=values, dtype=np.float32)
        np.multiply(values, scale, out=values)
        return out
    torch.sub(voxels, shift.item(), out=out)
    return out.mul_(scale.item())


def _copied(part: torch.Tensor, out: torch.Tensor) -> None:
    if out.device.type == "cpu":
        np.copyto(out.numpy(), part.numpy())
    else:
        out.copy_(part)


def _added(part: torch.Tensor, weights: torch.Tensor, product: torch.Tensor, out: torch.Tensor) -> None:
    """A product and a sum, each rounded by itself: what a processor does in one is not the same."""
    if out.device.type == "cpu":
        np.multiply(part.numpy(), weights.numpy(), out=product.numpy())
        np.add(out.numpy(), product.numpy(), out=out.numpy())
    else:
        out.add_(torch.mul(part, weights, out=product))


def _meets(axis: Axis, k: int, side: tuple[int, int]) -> tuple[slice, slice]:
    """The voxels that a tile gives of a region, in the region and in what the tile gives."""
    low, high = axis.span(k)
    first, last = max(low, side[0]), min(high, side[1])
    begin = k * axis.step - axis.lead
    return slice(first - side[0], last - side[0]), slice(first - begin, last - begin)


class _Weights:
    """How much each voxel that a tile gives of a region counts; tiles that are alike share an array."""

    def __init__(self, axes: Sequence[Axis], box: Box, device: torch.device) -> None:
        self.axes, self.box, self.device = axes, box, device
        self.known: dict[tuple[bytes, ...], torch.Tensor] = {}

    def __call__(self, places: Sequence[int]) -> torch.Tensor:
        lines = []
        for axis, k, (start, stop) in zip(self.axes, places, self.box, strict=True):
            low, high = axis.span(k)
            lines.append(axis.weights(k)[max(low, start) - low : min(high, stop) - low])
        name = tuple(line.tobytes() for line in lines)
        if name not in self.known:
            z, y, x = lines
            product = z[:, None, None] * y[:, None] * x
            self.known[name] = torch.from_numpy(product).to(self.device)
        return self.known[name]


def _taken(voxels: torch.Tensor, corner: Sequence[int], places: Sequence[np.ndarray]) -> torch.Tensor:
    """The voxels at places of the volume along each axis; where these are side by side nothing is copied."""
    found = voxels
    for number, (first, at) in enumerate(zip(corner, places, strict=True), 1):
        inside = at - first
        run = _run(inside)
        middle = found.narrow(number, int(inside[run.start]), run.stop - run.start)
        ends = [torch.from_numpy(part).to(found.device) for part in (inside[: run.start], inside[run.stop :])]
        if not len(ends[0]) and not len(ends[1]):
            found = middle
        else:
            before, after = (found.index_select(number, end) for end in ends)
            found = torch.cat([before, middle, after], number)
    return found


def _run(places: np.ndarray) -> slice:
    """The longest part in which each place is the one after the last."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    edges = np.concatenate([[0], breaks, [len(places)]])
    longest = int(np.diff(edges).argmax())
    return slice(int(edges[longest]), int(edges[longest + 1]))


def _batches(places: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while batch := list(itertools.islice(places, size)):
        yield batch


def _pair(reduce: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return {"mean": torch.add, "min": torch.minimum, "max": torch.maximum}[reduce](a, b)


def reduced(reduce: str, values: list[torch.Tensor]) -> torch.Tensor:
    """The mean, minimum, maximum or median of several outputs."""
    if reduce == "median":
        return middle(values)
    found = values[0]
    for value in values[1:]:
        found = _pair(reduce, found, value)
    return found / len(values) if reduce == "mean" and len(values) > 1 else found


def middle(values: list[torch.Tensor]) -> torch.Tensor:
    """The median; of an even number the mean of the two in the middle."""
    ordered = torch.stack(values).sort(0).values
    n = len(values)
    return ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
