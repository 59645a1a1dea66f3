"""Stems: what the image meets before the first level, as settings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .._settings import Kind
from ._geometry import Axis, Grid
from ._layers import Chain, Convolution, Layer, Pool, Style
from .blocks import Beside

__all__ = ["Collapse", "Convolved", "Slices", "Stem", "StridedOrPooled", "ZeroMean"]


@dataclass(frozen=True)
class Stem(Kind):
    """A kind of stem. Its ``stride`` is undone before the heads."""

    @property
    def planar(self) -> bool:
        """Whether it stays within sections."""
        return True

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        """The layer, and its channels."""
        raise NotImplementedError


@dataclass(frozen=True)
class Convolved(Stem):
    """One convolution, norm, activation."""

    width: int
    kernel: tuple[int, ...] = (1, 5, 5)

    def __post_init__(self) -> None:
        _check(self.width, self.kernel)

    @property
    def planar(self) -> bool:
        return self.kernel[0] == 1

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        return style.layer(inputs, self.width, self.kernel), self.width


@dataclass(frozen=True)
class StridedOrPooled(Stem):
    """A strided convolution beside the largest of each box: half the resolution, ``width`` and the image's channels."""

    width: int = 16
    kernel: tuple[int, ...] = (3, 3, 3)
    stride: tuple[int, ...] = (2, 2, 2)

    def __post_init__(self) -> None:
        _check(self.width, self.kernel)
        _check(self.width, self.stride, "stride")

    @property
    def planar(self) -> bool:
        return self.kernel[0] == self.stride[0] == 1

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        if not style.padded and any(k != s for k, s in zip(self.kernel, self.stride, strict=True)):
            raise ValueError(f"kernel must be the stride without padding, got {self.kernel} and {self.stride}")
        strided = style.convolution(inputs, self.width, self.kernel, stride=self.stride)
        width = self.width + inputs
        both = Beside(strided, Pool(style.axes, self.stride))
        return Chain(both, style.normalised(width), style.activated(inplace=True)), width


class ZeroMeanConvolution(Layer):
    """A convolution that sees no brightness: the mean of each kernel is taken off it. Padded by the border's voxels,
    for zeros would be an edge."""

    def __init__(self, style: Style, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.padded = tuple(kernel), style.padded
        self.inner = Convolution(style.axes, inputs, outputs, kernel, padded=False).convolution
        own = self.kernel[-style.axes :]
        self.before = [side for k in reversed(own) for side in ((k - 1) // 2, k // 2)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.inner.weight
        weight = weight - weight.mean(tuple(range(2, weight.dim())), keepdim=True)
        x = functional.pad(x, self.before, mode="replicate") if self.padded else x
        return (functional.conv2d if x.dim() == 4 else functional.conv3d)(x, weight, self.inner.bias)

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.same if self.padded else Axis.window, self.kernel)


@dataclass(frozen=True)
class ZeroMean(Convolved):
    """A convolution whose kernels are projected to a mean of zero: what is added to an image changes nothing."""

    kernel: tuple[int, ...] = (3, 3, 3)

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        layer = ZeroMeanConvolution(style, inputs, self.width, self.kernel)
        return Chain(layer, style.normalised(self.width), style.activated(inplace=True)), self.width


class Stacked(Layer):
    """Each section with its neighbours as further channels, channel by channel in their order."""

    def __init__(self, count: int, *, padded: bool) -> None:
        super().__init__()
        self.count, self.padded = count, padded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.padded:
            x = functional.pad(x, (0, 0, 0, 0, (self.count - 1) // 2, self.count // 2))
        windows = x.unfold(2, self.count, 1)  # (n, c, z, y, x, count)
        return windows.movedim(-1, 2).flatten(1, 2)

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.same if self.padded else Axis.window, (self.count, 1, 1))


@dataclass(frozen=True)
class Slices(Stem):
    """Neighbouring sections as channels: ``count`` of them, this one in the middle."""

    count: int

    def __post_init__(self) -> None:
        _check(self.count, (), "count")

    @property
    def planar(self) -> bool:
        return self.count == 1

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        return Stacked(self.count, padded=style.padded), inputs * self.count


@dataclass(frozen=True)
class Collapse(Stem):
    """From 3D to 2D: ``depth`` sections go through 3D convolutions without padding along z, and the sections that are
    left become channels."""

    depth: int
    widths: tuple[int, ...] = (32, 64)
    kernel: tuple[int, ...] = (3, 3, 3)

    def __post_init__(self) -> None:
        _check(min(self.widths, default=0), self.kernel, "kernel")
        left = self.depth - len(self.widths) * (self.kernel[0] - 1)
        if self.depth % 2 == 0 or left < 1:
            raise ValueError(f"depth must be odd and hold {len(self.widths)} kernels, got {self.depth}")

    @property
    def planar(self) -> bool:
        return self.depth == 1

    def make(self, style: Style, inputs: int) -> tuple[Layer, int]:
        layers: list[nn.Module] = []
        for width in self.widths:
            within = style.convolution(inputs, width, self.kernel, padded=(False, style.padded, style.padded))
            layers += [within, style.normalised(width), style.activated(inplace=True)]
            inputs = width
        left = self.depth - len(self.widths) * (self.kernel[0] - 1)
        before = [Padded(self.depth)] if style.padded else []
        return Chain(*before, *layers, Stacked(left, padded=False)), inputs * left


class Padded(Layer):
    """Zeros before and behind along z, for a window of that depth."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.sides = ((depth - 1) // 2, depth // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x, (0, 0, 0, 0, *self.sides))

    def trace(self, grid: Grid) -> Grid:
        left, right = self.sides
        return grid.each(Axis.cropped, (-left, 0, 0), (-right, 0, 0))


def _check(width: int, kernel: Sequence[int], name: str = "kernel") -> None:
    if width < 1:
        raise ValueError(f"{'count' if name == 'count' else 'width'} must be at least 1, got {width}")
    if kernel and (len(kernel) != 3 or min(kernel) < 1):
        raise ValueError(f"{name} must be three numbers of at least 1, got {tuple(kernel)}")
