"""Decoders: from features of an encoder, finest first, to features of as many resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import nn

from ._geometry import Axis, Grid
from ._layers import ONE, Chain, Convolution, Crop, Layer, Style, upsampling
from ._stages import closed, stage

if TYPE_CHECKING:
    from .unet import UNet


class Decoder(nn.Module):  # type: ignore[misc]
    """From level to level, each with the encoder's features of its resolution."""

    def __init__(self, style: Style, settings: UNet, widths: Sequence[int], features: Sequence[Grid]) -> None:
        super().__init__()
        self.widths, self.steps = [widths[-1]], nn.ModuleList()
        grid = features[-1]
        for k in reversed(range(len(widths) - 1)):
            step = Step(style, settings, k, self.widths[0], widths[k], grid, features[k])
            grid = step.trace([grid, features[k]])
            self.steps.append(step)
            self.widths.insert(0, step.width)

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        found = [features[-1]]
        for step, skip in zip(self.steps, reversed(features[:-1]), strict=True):
            found.insert(0, step([found[0], skip]))
        return found

    def trace(self, features: Sequence[Grid]) -> list[Grid]:
        found = [features[-1]]
        for step, skip in zip(self.steps, reversed(features[:-1]), strict=True):
            found.insert(0, step.trace([found[0], skip]))
        return found


class Step(nn.Module):  # type: ignore[misc]
    """One level: finer, cropped, joined with the encoder's features, and through the blocks."""

    def __init__(
        self, style: Style, settings: UNet, k: int, below: int, skip: int, grid: Grid, skipped: Grid
    ) -> None:
        super().__init__()
        level = settings.levels[k]
        width = level.decoder_width or level.width
        blocks = level.blocks if level.decoder_blocks is None else level.decoder_blocks
        up, here = finer(style, settings, level.stride, below, level.width if blocks else width)
        if not blocks and settings.up == "transposed":
            up = Chain(up, *closed(style, here))  # else several would be one linear map
        self.skip = settings.skip
        self.gate = Gate(style, skip, here) if settings.gate and self.skip != "none" else None
        self.fit = nn.Identity()
        if self.skip == "sum" and skip != here:
            self.fit = style.convolution(skip, here, bias=True)
        block = settings.decodes(level)
        inputs = here + skip if self.skip == "cat" else here
        self.stage, self.width = stage(style, level, block, inputs, width, blocks)
        self.up = up
        if settings.equivariant:
            self.up = Chain(up, _equivariant(style, up.trace(grid), self.stage))
        self.crop = _cropping(style, skipped, self.up.trace(grid)) if self.skip != "none" else None

    def forward(self, both: Sequence[torch.Tensor]) -> torch.Tensor:
        x, skip = both
        x = self.up(x)
        if self.crop is None:
            return self.stage(x)
        skip = self.crop(skip)
        if self.gate is not None:
            skip = self.gate(skip, x)
        return self.stage(torch.cat([skip, x], 1) if self.skip == "cat" else self.fit(skip) + x)

    def trace(self, both: Sequence[Grid]) -> Grid:
        grid, skip = both
        grid = self.up.trace(grid)
        return self.stage.trace(grid if self.crop is None else grid.joined(self.crop.trace(skip)))


class Gate(nn.Module):  # type: ignore[misc]
    """Attention: features of the encoder are weighed, voxel by voxel, by what they and the decoder's say together."""

    def __init__(self, style: Style, skip: int, width: int) -> None:
        super().__init__()
        inner = max(skip // 2, 1)
        self.skip = Convolution(style.axes, skip, inner, bias=False)
        self.decoded = Convolution(style.axes, width, inner)
        self.weight = Convolution(style.axes, inner, 1)

    def forward(self, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return skip * torch.sigmoid(self.weight(torch.relu(self.skip(skip) + self.decoded(x))))


class Nested(nn.Module):  # type: ignore[misc]
    """Decoders at all depths: node (level, turn) sees the nodes of its level before it, and the one below."""

    def __init__(self, style: Style, settings: UNet, widths: Sequence[int], features: Sequence[Grid]) -> None:
        super().__init__()
        self.depth = len(widths)
        self.nodes, self.ups = nn.ModuleDict(), nn.ModuleDict()
        for turn in range(1, self.depth):
            for k in range(self.depth - turn):
                level = settings.levels[k]
                block = settings.decodes(level)
                up, here = finer(style, settings, level.stride, widths[k + 1], widths[k])
                node, _ = stage(style, level, block, here + widths[k] * turn, widths[k], max(level.blocks, 1))
                self.ups[f"{k}-{turn}"], self.nodes[f"{k}-{turn}"] = up, node
        # The longest path first, then the shorter ones.
        self.widths = [widths[0]] * max(self.depth - 1, 1)

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        rows = [[x] for x in features]
        for turn in range(1, self.depth):
            for k in range(self.depth - turn):
                below = self.ups[f"{k}-{turn}"](rows[k + 1][turn - 1])
                rows[k].append(self.nodes[f"{k}-{turn}"](torch.cat([*rows[k], below], 1)))
        return rows[0][:0:-1] or rows[0]

    def trace(self, features: Sequence[Grid]) -> list[Grid]:
        rows = [[grid] for grid in features]
        for turn in range(1, self.depth):
            for k in range(self.depth - turn):
                below = self.ups[f"{k}-{turn}"].trace(rows[k + 1][turn - 1])
                rows[k].append(self.nodes[f"{k}-{turn}"].trace(below.joined(*rows[k])))
        return rows[0][:0:-1] or rows[0]


def finer(style: Style, settings: UNet, stride: Sequence[int], below: int, width: int) -> tuple[Layer, int]:
    """To the resolution of the level above, and the channels there."""
    if settings.up == "constant":
        return upsampling(style, stride, "nearest"), below
    if settings.up == "transposed":
        return upsampling(style, stride, "transposed", below, width), width
    up = upsampling(style, stride, settings.up)
    kernel = settings.up_kernel
    convolved = style.convolution(below, width, kernel, bias=True) if settings.up_plain else None
    layer = convolved or style.layer(below, width, kernel)
    # Voxel by voxel it is the same before repeating, and a bare convolution before any interpolation: fewer voxels.
    early = tuple(kernel) == ONE and (settings.up == "nearest" or settings.up_plain)
    return (Chain(layer, up) if early else Chain(up, layer)), width


def _cropping(style: Style, skip: Grid, grid: Grid) -> Crop:
    """Of features of the encoder, to lie where the decoder's do."""
    sides = []
    for axis, other in zip(skip, grid, strict=True):
        less = (other.lost - axis.lost) // axis.step
        left = min(max(int((other.origin - axis.origin) // axis.step), 0), less)
        sides.append((left, less - left))
    return Crop(style.axes, *zip(*sides, strict=True))


def _equivariant(style: Style, grid: Grid, layer: Layer) -> Crop:
    """What to cut so that behind the layer sides are multiples of the total stride, evenly as far as may be."""
    sides = []
    for axis, behind in zip(grid, layer.trace(grid), strict=True):
        sides.append(_cut(axis, (axis.anchor - behind.lost) // axis.step % (axis.unit // axis.step)))
    return Crop(style.axes, *zip(*sides, strict=True))


def _cut(axis: Axis, total: int) -> tuple[int, int]:
    left = round((Fraction(axis.lost + axis.step * total, 2) - axis.origin) / axis.step)
    left = min(max(left, 0), total)
    return left, total - left
