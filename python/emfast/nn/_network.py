"""What all networks are: settings that build a torch module, which knows how far it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from .._settings import Kind


@dataclass(frozen=True)
class Geometry:
    """How the output of a network lies in its input, along z, y, x.

    Attributes
    ----------
    field : the least window around an output voxel that holds all it may depend on, in voxels of the input; odd, and
        the same for all voxels, though behind pooling some see further to one side and some to the other
    stride : a shift of the input by this many voxels shifts the output alike
    margin : voxels that the output is smaller than the input on either side; 0 with padding
    sides : sides of inputs that fit are ``least + k * stride``
    least : the smallest input
    local : False where statistics of the whole input come in (instance and group norms, squeeze and excitation): then
        voxels beyond the field have an influence, if a weak one
    """

    field: tuple[int, int, int]
    stride: tuple[int, int, int]
    margin: tuple[int, int, int]
    least: tuple[int, int, int]
    local: bool = True

    @property
    def context(self) -> tuple[int, int, int]:
        """Voxels on either side of an output voxel that it may depend on."""
        z, y, x = (f // 2 for f in self.field)
        return z, y, x

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether the network takes inputs of this shape."""
        steps = zip(shape, self.least, self.stride, strict=True)
        return all(n >= least and (n - least) % step == 0 for n, least, step in steps)

    def output(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """The shape of the output for an input that fits."""
        if not self.fits(shape):
            raise ValueError(f"shape must be {self.least} and multiples of {self.stride} more, got {tuple(shape)}")
        z, y, x = (n - 2 * m for n, m in zip(shape, self.margin, strict=True))
        return z, y, x


@dataclass(frozen=True)
class Place:
    """Where an output lies: its voxel ``i`` stands for ``step`` voxels of the input from ``corner + i * step``."""

    step: tuple[int, int, int]
    corner: tuple[int, int, int]


class Module(torch.nn.Module):  # type: ignore[misc]
    """A built network: (n, c, z, y, x) to logits (n, c, z, y, x) by head. ``"mask"`` is the output of head ``mask``;
    while training, auxiliary outputs are there as ``"mask@1"``, ``"mask@2"`` …, from the finest, in their own
    resolution, at their own ``places``. ``inputs`` are the channels it takes, where they are not those of the image."""

    geometry: Geometry
    places: Mapping[str, Place] = MappingProxyType({})
    inputs: int | None = None

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        raise NotImplementedError


def checked(heads: Mapping[str, int]) -> Mapping[str, int]:
    """Heads of which there are some, of a channel each at least."""
    if not heads or min(heads.values()) < 1:
        raise ValueError(f"heads must be at least one, of at least one channel each, got {dict(heads)}")
    return heads


@dataclass(frozen=True)
class Network(Kind):
    """A kind of network, as settings."""

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """For images with so many channels and heads of so many each. Its weights are those of torch's random state."""
        raise NotImplementedError
