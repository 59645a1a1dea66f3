"""Symmetries: a network sees a tile in several positions, and its outputs are brought back.

Most channels say something of a voxel, and are turned back with it. An affinity says something of an edge: channel k
at voxel p of the edge from p to p + offset. In another position that is another edge, which another channel speaks of,
or the same one at its other end: then the channel is moved by its offset too (as :func:`emfast.convert_affinities`
does). A component of a vector becomes that of another axis, or its opposite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..recipes import Head

__all__ = ["Symmetry", "group", "moves", "shift_of"]

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Move:
    """Where a channel comes from: which, found how far away, and whether it changes its sign about ``centre``."""

    source: int
    step: Offset = (0, 0, 0)
    turned: bool = False
    centre: float = 0.0


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
    """The members of a group by its name, beginning with the tile as it is: 1 of ``none``, 4 of ``xyflips``, 8 of
    ``flips`` and ``xy8``, 16 of ``xy8z``."""
    if name == "none":
        return [Symmetry(False, ())]
    axes = (1, 2) if name in ("xyflips", "xy8") else (0, 1, 2)
    flips = [tuple(c) for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]
    return [Symmetry(turned, flip) for turned in ((False,) if "flips" in name else (False, True)) for flip in flips]


def moves(head: Head, symmetry: Symmetry) -> list[Move] | None:
    """Where each channel of a head comes from; None where all stay."""
    offsets = getattr(head.target, "offsets", None)
    if offsets is not None:
        return _edges([tuple(offset) for offset in offsets], symmetry, head.name)
    names = head.target.names
    if not any(name.startswith("offset ") for name in names):
        return None
    # Local shape descriptors are from 0 to 1, what is signed about one half; ways to a centre are about 0.
    centre = 0.5 if any(name.startswith("correlation ") for name in names) else 0.0
    return [_component(name, list(names), symmetry, centre) for name in names]


def _component(name: str, names: list[str], symmetry: Symmetry, centre: float) -> Move:
    """Of ``offset a``, ``variance a`` or ``correlation ab``, of the axes that lie there when the tile is turned."""
    word, _, axes = name.partition(" ")
    if word not in ("offset", "variance", "correlation"):
        return Move(names.index(name))
    signed = {axis: symmetry.vector([int(a == axis) for a in "zyx"]) for axis in "zyx"}
    there = {"zyx"[[abs(v) for v in vector].index(1)]: (axis, sum(vector)) for axis, vector in signed.items()}
    pairs = [there[axis] for axis in axes]
    source = "".join(sorted((axis for axis, _ in pairs), reverse=True))
    if f"{word} {source}" not in names:
        raise ValueError(f"symmetries must keep the channels of a head, got {name!r} without {word} {source}")
    sign = 1 if word == "variance" else math.prod(sign for _, sign in pairs)
    return Move(names.index(f"{word} {source}"), turned=sign < 0, centre=centre)


def _edges(offsets: list[tuple[int, ...]], symmetry: Symmetry, name: str) -> list[Move]:
    moved = [symmetry.vector(offset) for offset in offsets]
    found: list[Move] = []
    for offset in offsets:
        z, y, x = offset
        if offset in moved:
            found.append(Move(moved.index((z, y, x))))
        elif (-z, -y, -x) in moved:
            found.append(Move(moved.index((-z, -y, -x)), (z, y, x)))
        else:
            raise ValueError(f"symmetries must keep the offsets of head {name}, got one without a twin of {offset}")
    return found


def shift_of(heads: Sequence[Head], members: Sequence[Symmetry]) -> Offset:
    """How far outputs are moved along each axis at most."""
    most = [0, 0, 0]
    for head, symmetry in itertools.product(heads, members):
        for move in moves(head, symmetry) or ():
            most = [max(m, abs(s)) for m, s in zip(most, move.step, strict=True)]
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
    planes = []
    for move in found:
        plane = cut(output[:, move.source], move.step)
        planes.append(2 * move.centre - plane if move.turned else plane)
    more = [cut(output[:, k], (0, 0, 0)) for k in range(len(found), output.shape[1])]
    return torch.stack(planes + more, 1)
