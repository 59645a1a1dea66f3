"""Layers that know their geometry: ``forward`` runs them, ``trace`` says what they do to a grid.

A layer is made for 2 or 3 axes; kernels and strides are given along z, y, x either way, and those of z left out in 2D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ._geometry import Axis, Grid, padding

Triple = tuple[int, int, int]
ONE: Triple = (1, 1, 1)


class Layer(nn.Module):  # type: ignore[misc]
    """A module with a geometry."""

    def trace(self, grid: Grid) -> Grid:
        """Of what comes out, for a grid that goes in."""
        raise NotImplementedError


class Chain(Layer):
    """One after the other. Modules without a geometry work voxel by voxel."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def trace(self, grid: Grid) -> Grid:
        for part in self.parts:
            grid = part.trace(grid) if isinstance(part, Layer) else grid
        return grid


class Convolution(Layer):
    """With padding that keeps the size (by zeros), or none; ``padded`` for all axes, or for each."""

    def __init__(
        self,
        axes: int,
        inputs: int,
        outputs: int,
        kernel: Sequence[int] = ONE,
        *,
        stride: Sequence[int] = ONE,
        dilation: Sequence[int] = ONE,
        padded: bool | Sequence[bool] = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)
        self.padded = (padded,) * 3 if isinstance(padded, bool) else tuple(padded)
        self.dilation = tuple(d if k > 1 else 1 for k, d in zip(kernel, dilation, strict=True))
        every = zip(self.kernel, self.stride, self.dilation, self.padded, strict=True)
        sides = [padding(k, s, d) if p else (0, 0) for k, s, d, p in every][-axes:]
        # What torch cannot pad alike on both sides is padded before; padding that a stride leaves out is none.
        even = [left == right or s > 1 for (left, right), s in zip(sides, self.stride[-axes:], strict=True)]
        self.before = [side for pair in reversed(sides) for side in pair] if not all(even) else []
        kind = nn.Conv2d if axes == 2 else nn.Conv3d
        self.convolution = kind(
            inputs,
            outputs,
            self.kernel[-axes:],
            self.stride[-axes:],
            0 if self.before else tuple(left for left, _ in sides),
            self.dilation[-axes:],
            bias=bias,
        )
        start(self.convolution)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(functional.pad(x, self.before) if self.before else x)

    def trace(self, grid: Grid) -> Grid:
        def behind(axis: Axis, kernel: int, stride: int, dilation: int, padded: int) -> Axis:
            return (axis.same if padded else axis.window)(kernel, stride, dilation)

        return grid.each(behind, self.kernel, self.stride, self.dilation, self.padded)


class Pool(Layer):
    """The largest or the mean of each box, of the stride's size or another, with padding that does not count."""

    def __init__(
        self,
        axes: int,
        stride: Sequence[int],
        kernel: Sequence[int] | None = None,
        *,
        mean: bool = False,
        padded: bool = True,
    ) -> None:
        super().__init__()
        self.axes, self.stride, self.kernel, self.padded = axes, tuple(stride), tuple(kernel or stride), padded
        sides = [padding(k, s) if padded else (0, 0) for k, s in zip(self.kernel, self.stride, strict=True)]
        # Torch pads alike on both sides. With a stride it leaves the last voxel out; an even kernel without one gives a
        # voxel too many, the first.
        wide = tuple(max(pair) if s == 1 else pair[0] for pair, s in zip(sides, self.stride, strict=True))
        first = tuple(w - left for w, (left, _) in zip(wide, sides, strict=True))
        self.more = Crop(axes, first, (0, 0, 0))
        kinds = (nn.AvgPool2d, nn.AvgPool3d) if mean else (nn.MaxPool2d, nn.MaxPool3d)
        options = {"count_include_pad": False} if mean else {}
        self.pool = kinds[axes - 2](self.kernel[-axes:], self.stride[-axes:], wide[-axes:], **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.more(self.pool(x))

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.same if self.padded else Axis.window, self.kernel, self.stride)


class StochasticPool(Pool):
    """While training, of every ``window`` rows a share of 1 / stride stays, drawn anew each time, in order; the same
    along each axis. Else the mean, which is what may be expected."""

    def __init__(self, axes: int, stride: Sequence[int], window: int) -> None:
        super().__init__(axes, stride, mean=True)
        self.window = window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return self.pool(x)
        for axis, stride in enumerate(self.stride[-self.axes :], start=2):
            if stride > 1:
                x = x.index_select(axis, self._rows(x.shape[axis], stride).to(x.device))
        return x

    def _rows(self, n: int, stride: int) -> torch.Tensor:
        window = -(-self.window // stride) * stride
        rows = []
        for first in range(0, n, window):
            here = min(window, n - first)
            rows.append(first + torch.randperm(here)[: here // stride].sort().values)
        return torch.cat(rows)


class Up(Layer):
    """Finer by a factor: transposed convolution, nearest or linear interpolation."""

    def __init__(self, axes: int, factor: Sequence[int], kind: str, inputs: int = 0, outputs: int = 0) -> None:
        super().__init__()
        self.factor, self.linear = tuple(factor), kind == "linear"
        self.own = self.factor[-axes:]
        self.mode = {2: "bilinear", 3: "trilinear"}[axes] if self.linear else "nearest"
        self.convolution = None
        if kind == "transposed":
            made = nn.ConvTranspose2d if axes == 2 else nn.ConvTranspose3d
            self.convolution = start(made(inputs, outputs, self.own, self.own))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.convolution is not None:
            return self.convolution(x)
        if all(f == 1 for f in self.own):
            return x
        # Of a size, not of a factor: compiled with dynamic shapes, factors would become floats.
        size = [n * f for n, f in zip(x.shape[2:], self.own, strict=True)]
        return functional.interpolate(x, size=size, mode=self.mode, align_corners=False if self.linear else None)

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.linear if self.linear else Axis.repeated, self.factor)


class Crop(Layer):
    """Without so many voxels before and behind, along z, y, x."""

    def __init__(self, axes: int, left: Sequence[int], right: Sequence[int]) -> None:
        super().__init__()
        self.left, self.right, self.axes = tuple(left), tuple(right), axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = zip(self.left[-self.axes :], self.right[-self.axes :], strict=True)
        for axis, (left, right) in enumerate(sides, start=2):
            if left or right:
                x = x.narrow(axis, left, x.shape[axis] - left - right)
        return x

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.cropped, self.left, self.right)


class Excitation(Layer):
    """Squeeze and excitation: channels are weighed by what their means over all voxels say."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = max(width // reduction, 1)
        self.squeeze, self.excite = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.flatten(2).mean(2)
        weights = torch.sigmoid(self.excite(functional.relu(self.squeeze(means))))
        return x * weights.unflatten(1, (-1, *[1] * (x.dim() - 2)))

    def trace(self, grid: Grid) -> Grid:
        return grid.globally()


class Whole(Layer):
    """A norm over all voxels of a tensor, in so many groups of channels. One value alone is its own mean: there the
    norm gives its bias, where torch would refuse."""

    def __init__(self, norm: nn.Module, groups: int) -> None:
        super().__init__()
        self.norm, self.groups = norm, groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if math.prod(x.shape[1:]) > self.groups:
            return self.norm(x)
        shape = (-1, *[1] * (x.dim() - 2))
        alone = torch.addcmul(self.norm.bias.view(shape), x - x, self.norm.weight.view(shape))
        return alone.to(x.dtype)

    def trace(self, grid: Grid) -> Grid:
        return grid.globally()


class Shuffle(nn.Module):  # type: ignore[misc]
    """Channels dealt out anew: those of a group come to lie among those of the others."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


@dataclass(frozen=True)
class Style:
    """What the layers of a network have in common."""

    axes: int = 3
    norm: str = "batch"
    groups: int = 8
    activation: str = "relu"
    slope: float = 0.01
    padded: bool = True

    def convolution(self, inputs: int, outputs: int, kernel: Sequence[int] = ONE, **options: Any) -> Convolution:
        """Without a bias where a norm follows (the default is that it does)."""
        options = {"padded": self.padded, "bias": self.norm == "none"} | options
        return Convolution(self.axes, inputs, outputs, kernel, **options)

    def normalised(self, width: int) -> nn.Module:
        if self.norm == "none":
            return nn.Identity()
        if self.norm == "batch":
            return (nn.BatchNorm2d if self.axes == 2 else nn.BatchNorm3d)(width)
        if self.norm == "group":
            groups = math.gcd(self.groups, width)
            return Whole(nn.GroupNorm(groups, width), groups)
        return Whole((nn.InstanceNorm2d if self.axes == 2 else nn.InstanceNorm3d)(width, affine=True), width)

    def activated(self, *, inplace: bool = False) -> nn.Module:
        kinds = {
            "relu": lambda: nn.ReLU(inplace),
            "leaky": lambda: nn.LeakyReLU(self.slope, inplace),
            "elu": lambda: nn.ELU(inplace=inplace),
            "prelu": nn.PReLU,
            "silu": lambda: nn.SiLU(inplace),
            "gelu": nn.GELU,
        }
        return kinds[self.activation]()

    def layer(self, inputs: int, outputs: int, kernel: Sequence[int] = ONE, **options: Any) -> Chain:
        """Convolution, norm, activation."""
        return Chain(
            self.convolution(inputs, outputs, kernel, **options),
            self.normalised(outputs),
            self.activated(inplace=True),
        )

    def dropout(self, share: float) -> nn.Module:
        return nn.Dropout(share) if share else nn.Identity()


def upsampling(style: Style, factor: Sequence[int], kind: str, inputs: int = 0, outputs: int = 0) -> Layer:
    """Finer. At its ends linear interpolation lacks a neighbour and repeats the last voxel: padding, cut off where
    there is to be none."""
    layer = Up(style.axes, factor, kind, inputs, outputs)
    if kind != "linear" or style.padded:
        return layer
    ends = [(f + 1) // 2 if f > 1 else 0 for f in factor]
    return Chain(layer, Crop(style.axes, ends, ends))


def start(convolution: nn.Module) -> nn.Module:
    """Weights that keep the variance behind a rectifier (He), and no bias. A transposed convolution has its stride as
    kernel, so that a voxel is the sum of one for each channel."""
    if isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / convolution.in_channels))
    else:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def folded(x: torch.Tensor) -> torch.Tensor:
    """Sections as further images: (n, c, z, y, x) to (n * z, c, y, x)."""
    return x.transpose(1, 2).flatten(0, 1)


def unfolded(x: torch.Tensor, sections: int) -> torch.Tensor:
    """The way back, to volumes of so many sections."""
    return x.unflatten(0, (-1, sections)).transpose(1, 2)


def middle(x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Cropped to those sizes; :meth:`Grid.cropped_like` says the same."""
    for axis, size in enumerate(sizes, start=2):
        less = x.shape[axis] - size
        if less:
            x = x.narrow(axis, less // 2, size)
    return x
