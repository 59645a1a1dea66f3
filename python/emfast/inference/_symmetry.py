"""Symmetries: a network sees a tile in several positions, and its outputs are brought back.

Most channels say something of a voxel, and are turned back with it. An affinity says something of an edge: channel k
at voxel p of the edge from p to p + offset. In another position that is another edge, which another channel speaks of,
or the same one at its other end: then the channel is moved by its offset too (as :func:`emfast.convert_affinities`
does). A component of a vector becomes that of another axis, or its opposite.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..recipes import Head

__all__ = ["Symmetry", "group", "moves", "shift_of"]

Offset = tuple[int, int, int]
Move = tuple[int, int, Offset]  # from which channel, with which sign, found how far away


@dataclass(frozen=True)
class Symmetry:
    """First y and x may change places, then axes are turned around."""

    transposed: bool
    flips: tuple[int, ...]  # of 0, 1, 2 for z, y, x

    def put(self, tile: torch.Tensor) -> torch.Tensor:
        """The tile (…, z, y, x) in this position."""
        turned = tile.transpose(-1, -2) if self.transposed else tile
        return turned.flip([axis - 3 for axis in self.flips]) if self.flips else turned

    def back(self, output: torch.Tensor) -> torch.Tensor:
        """The output in the position of the tile."""
        turned = output.flip([axis - 3 for axis in self.flips]) if self.flips else output
        return turned.transpose(-1, -2) if self.transposed else turned

    def vector(self, offset: Sequence[int]) -> Offset:
        """What a vector of the turned tile is in the tile."""
        z, y, x = (-o if axis in self.flips else o for axis, o in enumerate(offset))
        return (z, x, y) if self.transposed else (z, y, x)


def group(name: str) -> list[Symmetry]:
    """The members of a group by its name, beginning with the tile as it is: 1, 8, 8 or 16 of them."""
    if name == "none":
        return [Symmetry(False, ())]
    axes = (1, 2) if name == "xy8" else (0, 1, 2)
    flips = [tuple(c) for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
    return [Symmetry(turned, flip) for turned in ((False,) if name == "flips" else (False, True)) for flip in flips]


def moves(head: Head, symmetry: Symmetry) -> list[Move] | None:
    """Where each channel of a head comes from; None where all stay."""
    offsets = getattr(head.target, "offsets", None)
    if offsets is not None:
        return _edges([tuple(offset) for offset in offsets], symmetry, head.name)
    names = head.target.names
    vectors = {name[-1]: k for k, name in enumerate(names) if name in ("offset z", "offset y", "offset x")}
    if not vectors:
        return None
    found: list[Move] = [(k, 1, (0, 0, 0)) for k in range(len(names))]
    for axis, at in vectors.items():
        unit = [int(a == axis) for a in "zyx"]
        # Of the turned vector, the component that lies along this axis in the tile.
        for other, source in vectors.items():
            moved = symmetry.vector([int(a == other) for a in "zyx"])
            along = sum(a * b for a, b in zip(moved, unit, strict=True))
            if along:
                found[at] = (source, along, (0, 0, 0))
                break
        else:
            raise ValueError(f"symmetries must keep the offsets of head {head.name}, got one that mixes in {axis}")
    return found


def _edges(offsets: list[tuple[int, ...]], symmetry: Symmetry, name: str) -> list[Move]:
    moved = [symmetry.vector(offset) for offset in offsets]
    found: list[Move] = []
    for offset in offsets:
        z, y, x = offset
        if offset in moved:
            found.append((moved.index((z, y, x)), 1, (0, 0, 0)))
        elif (-z, -y, -x) in moved:
            found.append((moved.index((-z, -y, -x)), 1, (z, y, x)))
        else:
            raise ValueError(f"symmetries must keep the offsets of head {name}, got one without a twin of {offset}")
    return found


def shift_of(heads: Sequence[Head], members: Sequence[Symmetry]) -> Offset:
    """How far outputs are moved along each axis at most."""
    most = [0, 0, 0]
    for head, symmetry in itertools.product(heads, members):
        for _, _, step in moves(head, symmetry) or ():
            most = [max(m, abs(s)) for m, s in zip(most, step, strict=True)]
    z, y, x = most
    return z, y, x


def rearranged(output: torch.Tensor, found: list[Move] | None, edge: Offset) -> torch.Tensor:
    """An output (n, c, z, y, x) that was turned back, less ``edge`` voxels on either side, with each channel from where
    it comes."""

    def cut(array: torch.Tensor, step: Offset) -> torch.Tensor:
        z, y, x = (slice(e + s, n - e + s) for e, s, n in zip(edge, step, array.shape[-3:], strict=True))
        return array[..., z, y, x]

    if found is None:
        return cut(output, (0, 0, 0))
    planes = [sign * cut(output[:, k], step) for k, sign, step in found]
    more = [cut(output[:, k], (0, 0, 0)) for k in range(len(found), output.shape[1])]
    return torch.stack(planes + more, 1)
