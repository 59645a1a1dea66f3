"""In the manner of DeepLabv3+ (Chen and others, 2018): a residual encoder, dilated convolutions side by side, and a
light decoder with one skip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ._geometry import Grid
from ._layers import Chain, Layer, Pool, Style, upsampling
from ._network import Module, Network
from ._straight import Straight
from .blocks import Residual, side_by_side, trace_side_by_side
from .bottlenecks import ASPP

__all__ = ["DeepLab"]


@dataclass(frozen=True)
class DeepLab(Network):
    """Four stages of residual blocks at strides 4, 8, 16 and 16 (the last dilated), a pyramid of dilations, and the
    first stage's features (``low`` channels of them) beside its result, through two convolutions of ``decoder``
    channels. ``kernel`` and ``stride`` say whether it is 2D."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    rates: tuple[int, ...] = (6, 12, 18)
    pooled: bool = False
    pyramid: int = 256
    low: int = 48
    decoder: int = 256
    kernel: tuple[int, ...] = (1, 3, 3)
    stride: tuple[int, ...] = (1, 2, 2)
    norm: Literal["none", "batch", "group", "instance"] = "batch"
    groups: int = 8
    activation: Literal["relu", "leaky", "elu", "prelu", "silu", "gelu"] = "relu"

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.blocks) != 4 or min(self.widths + self.blocks) < 1:
            raise ValueError(f"widths must be four, as blocks, got {self.widths} and {self.blocks}")
        for name in ("kernel", "stride"):
            value = getattr(self, name)
            if len(value) != 3 or min(value) < 1:
                raise ValueError(f"{name} must be three numbers of at least 1, got {value}")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        axes = 2 if self.kernel[0] == self.stride[0] == 1 else 3
        style = Style(axes, self.norm, self.groups, self.activation)
        wide = tuple(7 if k > 1 else 1 for k in self.kernel)
        stem = Chain(style.layer(channels, self.widths[0], wide, stride=self.stride), Pool(axes, self.stride))
        stages = []
        inputs = self.widths[0]
        for k, (width, blocks) in enumerate(zip(self.widths, self.blocks, strict=True)):
            parts: list[nn.Module] = []
            if k in (1, 2):
                parts.append(style.layer(inputs, width, self.kernel, stride=self.stride))
                inputs = width
            for _ in range(blocks):
                dilation = (2, 2, 2) if k == 3 else (1, 1, 1)
                parts.append(Residual().make(style, inputs, width, self.kernel, dilation))
                inputs = width
            stages.append(Chain(*parts))
        square = tuple(s * s for s in self.stride)
        deep = Chain(
            *stages[1:],
            ASPP(self.rates, self.pyramid, self.pooled).make(style, inputs, self.kernel),
            style.layer(inputs, self.decoder),
            upsampling(style, square, "linear"),
        )
        body = Chain(
            stem,
            stages[0],
            Skipping(deep, style.layer(self.widths[0], self.low)),
            style.layer(self.decoder + self.low, self.decoder, self.kernel),
            style.layer(self.decoder, self.decoder, self.kernel),
        )
        return Straight(style, body, self.decoder, heads, upsampling(style, square, "linear"))


class Skipping(Layer):
    """A deep branch beside a shallow one."""

    def __init__(self, deep: Layer, low: Layer) -> None:
        super().__init__()
        self.deep, self.low = deep, low

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return side_by_side([self.deep(x), self.low(x)])

    def trace(self, grid: Grid) -> Grid:
        return trace_side_by_side([self.deep.trace(grid), self.low.trace(grid)])
