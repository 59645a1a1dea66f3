"""Bottlenecks: what the deepest level does beyond its blocks, as settings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .._settings import Kind
from ._geometry import Grid
from ._layers import Chain, Layer, Pool, Style, Up
from .blocks import Beside

__all__ = ["ASPP", "Bottleneck", "Pyramid"]


@dataclass(frozen=True)
class Bottleneck(Kind):
    """A kind of bottleneck: keeps the width and, but for the loss without padding, the size."""

    def make(self, style: Style, width: int, kernel: Sequence[int]) -> Layer:
        raise NotImplementedError


class Mean(Layer):
    """The mean of all voxels, at each."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(2, x.dim()))
        return self.layer(x.mean(axes, keepdim=True)).expand(-1, -1, *x.shape[2:])

    def trace(self, grid: Grid) -> Grid:
        return grid.globally()


@dataclass(frozen=True)
class ASPP(Bottleneck):
    """Atrous spatial pyramid: a 1³ convolution and one for each dilation side by side, then a 1³ convolution.

    ``pooled`` adds the mean of the whole image; then tiles differ from each other, so it is off unless asked for. A
    mean has one voxel: it has no norm.
    """

    rates: tuple[int, ...] = (6, 12, 18)
    width: int = 256
    pooled: bool = False

    def __post_init__(self) -> None:
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"rates must be some numbers of at least 1, got {self.rates}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")

    def make(self, style: Style, width: int, kernel: Sequence[int]) -> Layer:
        branches: list[Layer] = [style.layer(width, self.width)]
        branches += [style.layer(width, self.width, kernel, dilation=(rate,) * 3) for rate in self.rates]
        if self.pooled:
            one = style.convolution(width, self.width, bias=True)
            branches.append(Mean(Chain(one, style.activated(inplace=True))))
        return Chain(Beside(*branches), style.layer(self.width * len(branches), width))


class Scales(Layer):
    """The input plus what layers see of it at coarser and coarser scales."""

    def __init__(self, branches: Sequence[Layer]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + sum(branch(x) for branch in self.branches)

    def trace(self, grid: Grid) -> Grid:
        return grid.joined(*(branch.trace(grid) for branch in self.branches))


@dataclass(frozen=True)
class Pyramid(Bottleneck):
    """Spatial pyramid: at each scale the mean of boxes, a convolution, and back by repetition; added to the input.
    Needs padding."""

    scales: tuple[int, ...] = (1, 2, 4)

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales must be some numbers of at least 1, got {self.scales}")

    def make(self, style: Style, width: int, kernel: Sequence[int]) -> Layer:
        if not style.padded:
            raise ValueError("bottleneck must not be Pyramid without padding")
        branches = []
        for scale in self.scales:
            box = tuple(scale if k > 1 else 1 for k in kernel)
            layer = style.layer(width, width, kernel)
            around = (Pool(style.axes, box, mean=True), layer, Up(style.axes, box, "nearest"))
            branches.append(Chain(*around) if scale > 1 else layer)
        return Scales(branches)
