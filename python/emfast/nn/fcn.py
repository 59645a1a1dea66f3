"""Classifiers of patches, run over whole images: convolutions and pools in a row, no skips (papers 2, 3 and 22)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ._geometry import Axis, Grid
from ._layers import ONE, Chain, Crop, Layer, Style, upsampling
from ._layers import Pool as Pooling
from ._network import Module, Network
from ._straight import Straight

__all__ = ["FCN", "FCNLayer"]


@dataclass(frozen=True)
class FCNLayer:
    """A convolution, norm, activation; then a pool where ``pool``, its stride, or ``pool_kernel`` is not 1; then
    dropout."""

    width: int
    kernel: tuple[int, ...] = (3, 3, 3)
    pool: tuple[int, ...] = ONE
    pool_kernel: tuple[int, ...] | None = None
    mean: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("kernel", "pool", "pool_kernel"):
            value = getattr(self, name)
            if value is not None and (len(value) != 3 or min(value) < 1):
                raise ValueError(f"{name} must be three numbers of at least 1, got {value}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")


@dataclass(frozen=True)
class FCN(Network):
    """Layers in a row.

    Pools make the output coarser, and ``up`` brings it back. ``dense`` instead pools at every voxel and spreads the
    kernels behind, which gives each voxel what the classifier says of the patch around it (what max-fragment pooling
    computes); the output is then cut by a voxel where fields are even.
    """

    layers: tuple[FCNLayer, ...]
    norm: Literal["none", "batch", "group", "instance"] = "none"
    groups: int = 8
    activation: Literal["relu", "leaky", "elu", "prelu", "silu", "gelu"] = "relu"
    padding: Literal["same", "valid"] = "valid"
    dense: bool = False
    up: Literal["nearest", "linear"] = "linear"

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers must be at least one, got none")
        if self.dense and any(layer.mean for layer in self.layers):
            raise ValueError("dense must come with pools of the largest, got a mean")

    @property
    def planar(self) -> bool:
        """Whether it stays within sections."""
        return all(layer.kernel[0] == layer.pool[0] == (layer.pool_kernel or ONE)[0] == 1 for layer in self.layers)

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        padded = self.padding == "same"
        style = Style(2 if self.planar else 3, self.norm, self.groups, self.activation, padded=padded)
        parts: list[nn.Module] = []
        stride, width = ONE, channels
        for layer in self.layers:
            spread = stride if self.dense else ONE
            parts.append(style.layer(width, layer.width, layer.kernel, dilation=spread))
            width = layer.width
            kernel = layer.pool_kernel or layer.pool
            if max(*layer.pool, *kernel) > 1:
                if self.dense:
                    parts.append(SpreadPool(style, kernel, spread))
                else:
                    parts.append(Pooling(style.axes, layer.pool, kernel, mean=layer.mean, padded=padded))
                stride = tuple(a * b for a, b in zip(stride, layer.pool, strict=True))  # type: ignore[assignment]
            parts.append(style.dropout(layer.dropout))
        body = Chain(*parts)
        behind: Layer = Chain()
        if self.dense:
            odd = [axis.lost % 2 for axis in body.trace(Grid())]
            behind = Crop(style.axes, (0, 0, 0), odd)
        elif math.prod(stride) > 1:
            behind = upsampling(style, stride, self.up)
        return Straight(style, body, width, heads, behind)


class SpreadPool(Layer):
    """The largest of voxels that lie so far apart, at every voxel; beyond the border are zeros."""

    def __init__(self, style: Style, kernel: tuple[int, ...], spread: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.padded = tuple(kernel), style.padded
        self.spread = tuple(s if k > 1 else 1 for k, s in zip(kernel, spread, strict=True))
        own = slice(-style.axes, None)
        sides = [(s * (k - 1) // 2, -(-s * (k - 1) // 2)) for k, s in zip(self.kernel, self.spread, strict=True)][own]
        self.before = [side for pair in reversed(sides) for side in pair] if style.padded else []
        kind = nn.MaxPool2d if style.axes == 2 else nn.MaxPool3d
        self.pool = kind(self.kernel[own], 1, dilation=self.spread[own])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(nn.functional.pad(x, self.before) if self.before else x)

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.same if self.padded else Axis.window, self.kernel, ONE, self.spread)
