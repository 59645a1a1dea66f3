"""Blocks of encoders and decoders: what a level does, as settings of their own.

Each makes a layer from so many channels to so many, with the kernel and dilation of its level. ``excite`` adds squeeze
and excitation with this reduction of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from .._settings import Kind
from ._geometry import Axis, Grid
from ._layers import ONE, Chain, Excitation, Layer, Pool, Shuffle, Style, Up, middle

__all__ = [
    "HVEC",
    "Block",
    "Dense",
    "Dilated",
    "Fusion",
    "Inception",
    "Plain",
    "PreActivated",
    "Residual",
    "Symmetric",
]


@dataclass(frozen=True)
class Block(Kind):
    """A kind of block."""

    def widths(self, inputs: int, width: int, blocks: int) -> list[int]:
        """Channels behind each of the blocks of a level."""
        return [width] * blocks

    @property
    def preactivated(self) -> bool:
        """Whether what comes out still wants a norm and an activation."""
        return False

    @property
    def planar(self) -> bool:
        """Whether it stays within sections where its kernel does."""
        return True

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        raise NotImplementedError


class Sum(Layer):
    """A branch and its shortcut, which is cropped to the branch; then what is to follow."""

    def __init__(self, branch: Layer, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.after = branch, shortcut, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.branch(x)
        return self.after(branch + middle(self.shortcut(x), branch.shape[2:]))

    def trace(self, grid: Grid) -> Grid:
        branch = self.branch.trace(grid)
        if isinstance(self.shortcut, Layer):
            grid = self.shortcut.trace(grid)
        return branch.joined(grid.cropped_like(branch))


class Beside(Layer):
    """Several branches of one input side by side, cropped to the smallest."""

    def __init__(self, *branches: Layer) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [branch(x) for branch in self.branches]
        return side_by_side(found)

    def trace(self, grid: Grid) -> Grid:
        return trace_side_by_side([branch.trace(grid) for branch in self.branches])


@dataclass(frozen=True)
class Plain(Block):
    """Convolution, norm, activation, some times. The ``first`` kernel may be another than the level's, and have only a
    ``share`` of its width (3D features at the start of a 2D block)."""

    convolutions: int = 2
    first: tuple[int, ...] | None = None
    share: float = 1.0
    excite: int = 0

    def __post_init__(self) -> None:
        _check(self.convolutions, self.excite)
        _check_first(self.first)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")

    @property
    def planar(self) -> bool:
        return self.first is None or self.first[0] == 1

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        layers = []
        for k in range(self.convolutions):
            last = k == self.convolutions - 1
            here = width if k or last else max(round(width * self.share), 1)
            layers.append(style.layer(inputs, here, kernel if k else self.first or kernel, dilation=dilation))
            inputs = here
        return Chain(*layers, *_excited(width, self.excite))


@dataclass(frozen=True)
class Residual(Block):
    """Convolutions with norm, then the sum with the input (through a 1³ convolution where widths differ), then the
    activation."""

    convolutions: int = 2
    excite: int = 0

    def __post_init__(self) -> None:
        _check(self.convolutions, self.excite)

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        layers: list[nn.Module] = []
        for k in range(self.convolutions - 1):
            layers.append(style.layer(width if k else inputs, width, kernel, dilation=dilation))
        before = width if self.convolutions > 1 else inputs
        layers += [style.convolution(before, width, kernel, dilation=dilation), style.normalised(width)]
        branch = Chain(*layers, *_excited(width, self.excite))
        return Sum(branch, _shortcut(style, inputs, width), style.activated(inplace=True))


@dataclass(frozen=True)
class PreActivated(Block):
    """Norm, activation, convolution, some times, then the sum with the input. ``factorised`` takes a kernel axis by
    axis, and counts as one; ``growth`` lets each block of a level have so many channels more than the one before, up to
    the level's width."""

    convolutions: int = 2
    factorised: bool = False
    growth: int = 0
    excite: int = 0

    def __post_init__(self) -> None:
        _check(self.convolutions, self.excite)
        if self.growth < 0:
            raise ValueError(f"growth must not be negative, got {self.growth}")

    @property
    def preactivated(self) -> bool:
        return True

    def widths(self, inputs: int, width: int, blocks: int) -> list[int]:
        found = [width - self.growth * (blocks - 1 - k) for k in range(blocks)]
        if found and found[0] < 1:
            raise ValueError(f"width must hold {blocks} blocks that grow by {self.growth}, got {width}")
        return found

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        layers: list[nn.Module] = []
        before = inputs
        for _ in range(self.convolutions):
            for part in _factors(kernel) if self.factorised else [kernel]:
                convolution = style.convolution(before, width, part, dilation=dilation, bias=True)
                layers += [style.normalised(before), style.activated(inplace=False), convolution]
                before = width
        branch = Chain(*layers, *_excited(width, self.excite))
        shortcut = nn.Identity() if inputs == width else style.convolution(inputs, width, bias=True)
        return Sum(branch, shortcut, nn.Identity())


@dataclass(frozen=True)
class Symmetric(Block):
    """Three convolutions; what the first gives is added to what the third gives. ``first`` may be another kernel."""

    first: tuple[int, ...] | None = None
    excite: int = 0

    def __post_init__(self) -> None:
        _check(3, self.excite)
        _check_first(self.first)

    @property
    def planar(self) -> bool:
        return self.first is None or self.first[0] == 1

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        first = style.layer(inputs, width, self.first or kernel, dilation=dilation)
        rest = Residual(2, self.excite).make(style, width, width, kernel, dilation)
        return Chain(first, rest)


@dataclass(frozen=True)
class Fusion(Block):
    """A convolution, a residual block of three, a convolution."""

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        return Chain(
            style.layer(inputs, width, kernel, dilation=dilation),
            Residual(3).make(style, width, width, kernel, dilation),
            style.layer(width, width, kernel, dilation=dilation),
        )


class DenseLayers(Layer):
    """Each layer sees the input and all before it."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = side_by_side([x, layer(x)])
        return x

    def trace(self, grid: Grid) -> Grid:
        for layer in self.layers:
            grid = trace_side_by_side([grid, layer.trace(grid)])
        return grid


@dataclass(frozen=True)
class Dense(Block):
    """Layers of ``growth`` channels that see all before them, then a 1³ convolution to the level's width."""

    layers: int = 4
    growth: int = 16
    excite: int = 0

    def __post_init__(self) -> None:
        _check(self.layers, self.excite, "layers")
        if self.growth < 1:
            raise ValueError(f"growth must be at least 1, got {self.growth}")

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        layers = [
            style.layer(inputs + k * self.growth, self.growth, kernel, dilation=dilation) for k in range(self.layers)
        ]
        end = style.layer(inputs + self.layers * self.growth, width)
        return Chain(DenseLayers(*layers), end, *_excited(width, self.excite))


@dataclass(frozen=True)
class Inception(Block):
    """Branches side by side: 1³ then the kernel, 1³ then a kernel two wider, and the largest of 3³ then 1³; with the
    input by ``join``: added to their 1³ convolution, or beside them before it."""

    join: Literal["sum", "cat"] = "sum"
    excite: int = 0

    def __post_init__(self) -> None:
        _check(1, self.excite)

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        parts = [(width + 2) // 3, (width + 1) // 3, max(width // 3, 1)]
        wider = [k + 2 if k > 1 else 1 for k in kernel]
        branches: list[Layer] = [
            Chain(style.layer(inputs, parts[0]), style.layer(parts[0], parts[0], kernel, dilation=dilation)),
            Chain(style.layer(inputs, parts[1]), style.layer(parts[1], parts[1], wider, dilation=dilation)),
            Chain(Largest(style, kernel), style.layer(inputs, parts[2])),
        ]
        excited = _excited(width, self.excite)
        if self.join == "cat":
            return Chain(Beside(*branches, Chain()), style.layer(sum(parts) + inputs, width), *excited)
        end = style.convolution(sum(parts), width)
        branch = Chain(Beside(*branches), end, style.normalised(width), *excited)
        return Sum(branch, _shortcut(style, inputs, width), style.activated(inplace=True))


class Largest(Layer):
    """The largest value around each voxel, in a box of the kernel's axes, three wide."""

    def __init__(self, style: Style, kernel: Sequence[int]) -> None:
        super().__init__()
        self.kernel = tuple(3 if k > 1 else 1 for k in kernel)
        self.padded = style.padded
        own = self.kernel[-style.axes :]
        kind = nn.MaxPool2d if style.axes == 2 else nn.MaxPool3d
        self.pool = kind(own, 1, tuple(k // 2 for k in own) if self.padded else 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(x)

    def trace(self, grid: Grid) -> Grid:
        return grid.each(Axis.same if self.padded else Axis.window, self.kernel)


class Views(Layer):
    """The four groups of :class:`HVEC`."""

    def __init__(self, style: Style, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> None:
        super().__init__()
        self.quarter = width // 4
        (a, b, c), q = kernel, width // 4
        self.planes = nn.ModuleList(
            style.layer(q, q, plane, dilation=dilation) for plane in ((1, b, c), (a, 1, c), (a, b, 1))
        )
        half = (1, 2, 2)
        self.coarse = Chain(
            Pool(style.axes, half),
            style.layer(q, q, kernel, dilation=dilation),
            Up(style.axes, half, "nearest"),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = x.split(self.quarter, 1)
        found: list[torch.Tensor] = []
        for part, plane in zip(parts, self.planes, strict=False):
            found.append(plane(middle(part, found[-1].shape[2:]) + found[-1] if found else part))
        return side_by_side([*found, self.coarse(parts[-1])])

    def trace(self, grid: Grid) -> Grid:
        found: list[Grid] = []
        for plane in self.planes:
            found.append(plane.trace(found[-1].joined(grid.cropped_like(found[-1])) if found else grid))
        return trace_side_by_side([*found, self.coarse.trace(grid)])


@dataclass(frozen=True)
class HVEC(Block):
    """Channels in four groups: three see the planes across z, y and x, each with what the one before gave; the fourth
    sees all at half the resolution of sections. Side by side, ``shuffle``d, then a 1³ convolution. Sides of sections
    must be even."""

    shuffle: bool = True
    excite: int = 0

    def __post_init__(self) -> None:
        _check(1, self.excite)

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        if width % 4:
            raise ValueError(f"width must be a multiple of 4 for HVEC, got {width}")
        entry = [] if inputs == width else [style.layer(inputs, width)]
        shuffle = [Shuffle(4)] if self.shuffle else []
        views = Views(style, width, kernel, dilation)
        return Chain(*entry, views, *shuffle, style.layer(width, width), *_excited(width, self.excite))


@dataclass(frozen=True)
class Dilated(Block):
    """Residual pairs of pre-activated convolutions, a pair for each dilation: far sight without pooling."""

    rates: tuple[int, ...] = (1, 2, 4)
    excite: int = 0

    def __post_init__(self) -> None:
        _check(1, self.excite)
        if not self.rates or min(self.rates) < 1:
            raise ValueError(f"rates must be some numbers of at least 1, got {self.rates}")

    @property
    def preactivated(self) -> bool:
        return True

    def make(self, style: Style, inputs: int, width: int, kernel: Sequence[int], dilation: Sequence[int]) -> Layer:
        pair = PreActivated(2, excite=self.excite)
        return Chain(
            *(
                pair.make(style, width if k else inputs, width, kernel, [rate * d for d in dilation])
                for k, rate in enumerate(self.rates)
            )
        )


def side_by_side(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """In one tensor, cropped to the smallest along each axis."""
    least = [min(sizes) for sizes in zip(*(t.shape[2:] for t in tensors), strict=True)]
    return torch.cat([middle(t, least) for t in tensors], 1)


def trace_side_by_side(grids: Sequence[Grid]) -> Grid:
    """What :func:`side_by_side` does to grids."""
    z, y, x = (max(axes, key=lambda axis: axis.lost) for axes in zip(*grids, strict=True))
    smallest = Grid(z, y, x)
    first, *others = (grid.cropped_like(smallest) for grid in grids)
    return first.joined(*others)


def _shortcut(style: Style, inputs: int, width: int) -> nn.Module:
    if inputs == width:
        return nn.Identity()
    return Chain(style.convolution(inputs, width), style.normalised(width))


def _factors(kernel: Sequence[int]) -> list[tuple[int, ...]]:
    """One kernel for each axis along which there is something to see."""
    found = [tuple(k if i == axis else 1 for i in range(3)) for axis, k in enumerate(kernel) if k > 1]
    return found or [ONE]


def _excited(width: int, reduction: int) -> list[Layer]:
    return [Excitation(width, reduction)] if reduction else []


def _check(count: int, excite: int, name: str = "convolutions") -> None:
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    if excite < 0:
        raise ValueError(f"excite must not be negative, got {excite}")


def _check_first(first: tuple[int, ...] | None) -> None:
    if first is not None and (len(first) != 3 or min(first) < 1):
        raise ValueError(f"first must be three numbers of at least 1, got {first}")
