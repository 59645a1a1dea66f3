"""The module of a :class:`emfast.nn.UNet`: encoder, decoders, heads; one unit or a chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from ._decoders import Decoder, Nested
from ._geometry import Grid
from ._layers import ONE, Chain, Layer, Pool, StochasticPool, Style, Up, folded, unfolded, upsampling
from ._network import Module, Place, checked
from ._stages import closed, stage
from .blocks import Beside

if TYPE_CHECKING:
    from .unet import UNet


def grids(settings: UNet) -> dict[str, Grid]:
    """Of the outputs of a network, without its weights."""
    with torch.device("meta"):
        return EncoderDecoder(replace(settings, decoders=()), 1, {"": 1}).grids


class EncoderDecoder(Module):
    """One unit, or several in a chain."""

    def __init__(self, settings: UNet, channels: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.heads = tuple(checked(heads))
        said, last = sum(heads.values()), settings.units - 1
        self.units = nn.ModuleList(
            Unit(settings, channels + (said if k else 0), heads, auxiliary=k == last) for k in range(settings.units)
        )
        seen, found = Grid(), []
        for unit in self.units:
            found.append(unit.trace(seen))
            if settings.units > 1:
                seen = Grid().joined(*(found[-1][name] for name in self.heads))
        self.grids: dict[str, Grid] = self._named(found)
        self.geometry = self.grids[self.heads[0]].geometry()
        self.places = {name: place(grid) for name, grid in self.grids.items()}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found: list[dict[str, torch.Tensor]] = []
        for unit in self.units:
            before = [torch.sigmoid(found[-1][name]).to(image.dtype) for name in self.heads] if found else []
            found.append(unit(torch.cat([image, *before], 1) if before else image))
        return self._named(found if self.training else found[-1:])

    def _named(self, found: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The last unit's outputs; then the heads of those before it, as further auxiliary ones."""
        result = dict(found[-1])
        for outputs in reversed(found[:-1]):
            for name in self.heads:
                number = sum(key.startswith(f"{name}@") for key in result) + 1
                result[f"{name}@{number}"] = outputs[name]
        return result


class Unit(nn.Module):  # type: ignore[misc]
    """An encoder with its decoders and heads; ``auxiliary`` ones too, which the last unit of a chain has alone."""

    def __init__(self, settings: UNet, channels: int, heads: Mapping[str, int], *, auxiliary: bool) -> None:
        super().__init__()
        planar = settings.planar
        style = Style(
            axes=2 if planar else 3,
            norm=settings.norm,
            groups=settings.groups,
            activation=settings.activation,
            slope=settings.slope,
            padded=settings.padding == "same",
        )
        self.stem, self.before, self.behind = Chain(), planar, False
        width = channels
        if settings.stem is not None:
            axes = 2 if planar and settings.stem.planar else 3
            self.stem, width = settings.stem.make(replace(style, axes=axes), channels)
            self.before, self.behind = axes == 2, planar and axes == 3
        self.planar = planar
        self.stages, self.downs = nn.ModuleList(), nn.ModuleList()
        widths = []
        for k, level in enumerate(settings.levels):
            layer, width = stage(style, level, level.block or settings.block, width, level.width, level.blocks)
            self.stages.append(layer)
            widths.append(width)
            if k + 1 < len(settings.levels):
                down, width = _down(style, settings, k, width)
                self.downs.append(down)
        last = settings.levels[-1]
        self.bottleneck = settings.bottleneck.make(style, width, last.kernel) if settings.bottleneck else Chain()
        kind = Nested if settings.nested else Decoder
        features = self._encoded(Grid())
        groups = settings.decoders or (tuple(heads),)
        self.decoders = nn.ModuleList(kind(style, settings, widths, features) for _ in groups)
        up = getattr(settings.stem, "stride", ONE)
        self.heads = nn.ModuleList(
            Heads(style, settings, up, decoder.widths, {name: heads[name] for name in names}, auxiliary)
            for decoder, names in zip(self.decoders, groups, strict=True)
        )
        self.names = tuple(heads)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        sections = image.shape[2]
        x = self.stem(folded(image) if self.before else image)
        if self.behind:
            sections = x.shape[2]
            x = folded(x)
        features = []
        for k, layer in enumerate(self.stages):
            x = layer(self.downs[k - 1](x) if k else x)
            features.append(x)
        features[-1] = self.bottleneck(x)
        found: dict[str, torch.Tensor] = {}
        for decoder, heads in zip(self.decoders, self.heads, strict=True):
            found |= heads(decoder(features))
        return {key: unfolded(x, sections) if self.planar else x for key, x in self._ordered(found).items()}

    def trace(self, grid: Grid) -> dict[str, Grid]:
        """Of the outputs by name."""
        features = self._encoded(grid)
        found: dict[str, Grid] = {}
        for decoder, heads in zip(self.decoders, self.heads, strict=True):
            found |= heads.trace(decoder.trace(features))
        return self._ordered(found)

    def _encoded(self, grid: Grid) -> list[Grid]:
        grid = self.stem.trace(grid)
        features = []
        for k, layer in enumerate(self.stages):
            grid = layer.trace(self.downs[k - 1].trace(grid) if k else grid)
            features.append(grid)
        features[-1] = self.bottleneck.trace(grid)
        return features

    def _ordered(self, found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """As the heads were given, auxiliary outputs behind."""
        return {key: found[key] for key in (*self.names, *(key for key in found if key not in self.names))}


class Heads(nn.Module):  # type: ignore[misc]
    """The last convolutions of a decoder, and those of its auxiliary outputs."""

    def __init__(
        self,
        style: Style,
        settings: UNet,
        up: Sequence[int],
        widths: Sequence[int],
        heads: Mapping[str, int],
        auxiliary: bool,
    ) -> None:
        super().__init__()
        kind = {"constant": "nearest"}.get(settings.up, settings.up)
        width = widths[0]
        back = upsampling(style, up, kind, width, width) if any(f > 1 for f in up) else Chain()
        self.back = Chain(back, *_closing(style, settings, 0, width))
        self.heads = nn.ModuleDict()
        self.auxiliary, self.closed = nn.ModuleList(), nn.ModuleList()
        for name, outputs in heads.items():
            self.heads[f"to_{name}"] = style.convolution(width, outputs, settings.head_kernel, bias=True)
        # Nested decoders all end at the finest level.
        depths = len(widths) - 1 if settings.nested else settings.auxiliary
        for depth in range(1, depths + 1) if auxiliary else ():
            self.closed.append(Chain(*_closing(style, settings, 0 if settings.nested else depth, widths[depth])))
            self.auxiliary.append(
                nn.ModuleList(style.convolution(widths[depth], outputs, bias=True) for outputs in heads.values())
            )
        self.names = tuple(heads)
        self.up = Up(style.axes, up, "nearest") if settings.nested else Chain()

    def forward(self, features: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        finest = self.back(features[0])
        found = {name: head(finest) for name, head in zip(self.names, self.heads.values(), strict=True)}
        if self.training:
            for depth, (close, heads) in enumerate(zip(self.closed, self.auxiliary, strict=True), start=1):
                coarse = close(features[depth])
                said = (self.up(head(coarse)) for head in heads)
                found |= {f"{name}@{depth}": x for name, x in zip(self.names, said, strict=True)}
        return found

    def trace(self, features: Sequence[Grid]) -> dict[str, Grid]:
        finest = self.back.trace(features[0])
        found = {name: head.trace(finest) for name, head in zip(self.names, self.heads.values(), strict=True)}
        for depth, (close, heads) in enumerate(zip(self.closed, self.auxiliary, strict=True), start=1):
            grid = self.up.trace(close.trace(features[depth]))
            found |= {f"{name}@{depth}": head.trace(grid) for name, head in zip(self.names, heads, strict=True)}
        return found


def _closing(style: Style, settings: UNet, k: int, width: int) -> tuple[nn.Module, ...]:
    """What the features of level k still want before a head."""
    level = settings.levels[k]
    deepest = k == len(settings.levels) - 1  # it has no decoder
    block = (level.block or settings.block) if deepest else settings.decodes(level)
    return closed(style, width) if block.preactivated else ()


def place(grid: Grid) -> Place:
    """Where an output lies in the input."""
    z, y, x = (int(axis.origin) for axis in grid)
    return Place(grid.step, (z, y, x))


def _down(style: Style, settings: UNet, k: int, width: int) -> tuple[Layer, int]:
    """From level k to the next, and the channels there."""
    stride, following = settings.levels[k].stride, settings.levels[k + 1].width
    kernel = settings.down_kernel or stride
    if settings.down == "strided":
        return style.layer(width, following, kernel, stride=stride), following
    if settings.down == "both":
        if not style.padded and tuple(kernel) != tuple(stride):
            raise ValueError(f"down_kernel must be the stride without padding, got {kernel} and {stride}")
        more = following - width if following > width else following
        return Beside(Pool(style.axes, stride), style.layer(width, more, kernel, stride=stride)), width + more
    if settings.down == "stochastic":
        return StochasticPool(style.axes, stride, settings.window), width
    return Pool(style.axes, stride, mean=settings.down == "mean"), width
