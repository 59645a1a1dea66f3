"""How large tiles are and how they lie, from the geometry of a network and the settings of a method."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..nn import Geometry
from ..recipes import Inference
from ._tiles import Axis

__all__ = ["layout"]

_MOST = 8  # times the voxels of a patch that a tile may have for the sake of its context


def layout(
    geometry: Geometry,
    shape: Sequence[int],
    patch: Sequence[int],
    settings: Inference,
    shift: Sequence[int] = (0, 0, 0),
    *,
    square: bool = False,
) -> tuple[Axis, Axis, Axis]:
    """Tiles of a volume.

    Parameters
    ----------
    geometry : Geometry
        Of the network. With a margin a tile gives all of its output. Without one, where tiles are cropped, it gives
        what its border does not reach: the receptive field on either side is left away, so that the result is that of
        the whole volume at once. Where ``settings.tile`` is too small for that, or none is asked for and it would have
        more than 8 times the voxels of a patch, half of ``overlap`` on either side is left away in its place.
    shape : (z, y, x)
        Of the volume.
    patch : (z, y, x)
        Of training: the tile where none is asked for.
    settings : Inference
    shift : (z, y, x)
        Voxels by which outputs are moved, which are lost at the border of a tile.
    square : bool
        Whether tiles must be as high as wide.
    """
    if settings.tile is not None:
        sides = _given(geometry, settings.tile)
        halos = [_halo(geometry, axis, sides[axis], shift[axis], settings.overlap) for axis in range(3)]
    else:
        halos = [_exact(geometry, axis) if settings.blend == "crop" else 0 for axis in range(3)]
        sides = [_fitting(geometry, axis, patch[axis] + 2 * (halos[axis] + shift[axis])) for axis in range(3)]
        if math.prod(sides) > _MOST * math.prod(patch):
            sides = [_fitting(geometry, axis, patch[axis] + 2 * shift[axis]) for axis in range(3)]
            halos = [_halo(geometry, axis, sides[axis], shift[axis], settings.overlap) for axis in range(3)]
    if square:
        sides[1] = sides[2] = max(sides[1:])
        halos[1] = halos[2] = max(halos[1:])
    z, y, x = (
        _axis(geometry, axis, shape[axis], sides[axis], halos[axis], shift[axis], settings, shrink=not square)
        for axis in range(3)
    )
    return z, y, x


def _axis(
    geometry: Geometry, axis: int, size: int, side: int, halo: int, shift: int, settings: Inference, *, shrink: bool
) -> Axis:
    margin, stride = geometry.margin[axis], geometry.stride[axis]
    edge = margin + shift
    if shrink:  # of a volume that is smaller no more is read than it takes
        around = halo or (0 if margin else min(_exact(geometry, axis), side // 4))
        side = min(side, _fitting(geometry, axis, size + 2 * (_up(around + shift, stride) - shift + edge)))
    use = side - 2 * edge
    if use < 1:
        raise ValueError(f"tile must be more than {2 * edge} voxels along {'zyx'[axis]} for this network, got {side}")
    if settings.blend == "crop" or geometry.field[axis] == 1:
        lead = _up(halo + shift, stride) - shift if halo else _up(shift, stride) - shift
        step = _down(use - 2 * lead if halo else use - lead, stride)
        if step < 1:
            raise ValueError(f"tile must be more than {2 * (edge + lead)} voxels along {'zyx'[axis]}, got {side}")
        # As many tiles, but no larger than so many must be: the last one would else be mirrored for its most part.
        even = min(step, _up(-(-size // -(-size // step)), stride))
        spare = (step - even) // stride * stride if shrink else 0
        spare = min(spare, (side - geometry.least[axis]) // stride * stride)
        return Axis(size, side - spare, step - spare, lead, use - spare, edge)
    step = min(_down(use, stride), max(1, round(use * (1 - settings.overlap) / stride)) * stride)
    lead = max(0, _down((use - step) // 2 + shift, stride) - shift) if stride > 1 else (use - step) // 2
    return Axis(size, side, step, lead, use, edge, settings.blend)


def _exact(geometry: Geometry, axis: int) -> int:
    """Voxels at the border of a tile that would be others in the whole volume; none where the network leaves them
    away itself."""
    return 0 if geometry.margin[axis] else geometry.field[axis] // 2


def _halo(geometry: Geometry, axis: int, side: int, shift: int, overlap: float) -> int:
    """The same, or less where that would leave nothing of a tile."""
    wanted = _exact(geometry, axis)
    stride, room = geometry.stride[axis], side - 2 * (geometry.margin[axis] + shift)
    if room - 2 * (_up(wanted + shift, stride) - shift) >= stride:
        return wanted
    return min(wanted, int(room * overlap / 2) // stride * stride)


def _fitting(geometry: Geometry, axis: int, side: int) -> int:
    """The smallest side of an input that is no less."""
    least, stride = geometry.least[axis], geometry.stride[axis]
    return least + max(0, -(-(side - least) // stride)) * stride


def _given(geometry: Geometry, tile: Sequence[int]) -> list[int]:
    if len(tile) != 3:
        raise ValueError(f"tile must be three sides (z, y, x), got {tuple(tile)}")
    fitting = [_fitting(geometry, axis, tile[axis]) for axis in range(3)]
    if list(tile) != fitting:
        raise ValueError(f"tile must fit the network, as {tuple(fitting)} does, got {tuple(tile)}")
    return fitting


def _up(n: int, stride: int) -> int:
    return -(-n // stride) * stride


def _down(n: int, stride: int) -> int:
    """A multiple of the stride, or what there is where that is less."""
    return n // stride * stride if n >= stride else n
