"""HighRes3DNet: far sight at full resolution, by dilation in place of pooling (papers 15 and 25)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from ._layers import Chain, Style
from ._network import Module, Network
from ._stages import closed
from ._straight import Straight
from .blocks import PreActivated
from .stems import Convolved, ZeroMean

__all__ = ["HighRes3D"]


@dataclass(frozen=True)
class HighRes3D(Network):
    """A convolution, then for each width so many residual pairs of pre-activated convolutions with its dilation, then
    1³ to ``last`` channels. ``zero_mean`` takes the mean off the first kernels, so that brightness does not count."""

    widths: tuple[int, ...] = (16, 32, 64)
    dilations: tuple[int, ...] = (1, 2, 4)
    pairs: int = 3
    last: int = 80
    kernel: tuple[int, ...] = (3, 3, 3)
    zero_mean: bool = False
    norm: Literal["none", "batch", "group", "instance"] = "batch"
    groups: int = 8
    activation: Literal["relu", "leaky", "elu", "prelu", "silu", "gelu"] = "relu"
    padding: Literal["same", "valid"] = "same"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.widths or len(self.widths) != len(self.dilations):
            raise ValueError(f"dilations must be one for each width, got {self.dilations} and {self.widths}")
        if len(self.kernel) != 3 or min(self.kernel) < 1:
            raise ValueError(f"kernel must be three numbers of at least 1, got {self.kernel}")
        for name in ("pairs", "last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        axes = 2 if self.kernel[0] == 1 else 3
        style = Style(axes, self.norm, self.groups, self.activation, padded=self.padding == "same")
        stem = ZeroMean if self.zero_mean else Convolved
        first, width = stem(self.widths[0], self.kernel).make(style, channels)
        parts: list[nn.Module] = [first]
        for there, dilation in zip(self.widths, self.dilations, strict=True):
            for _ in range(self.pairs):
                parts.append(PreActivated(2).make(style, width, there, self.kernel, (dilation,) * 3))
                width = there
        parts += [*closed(style, width), style.layer(width, self.last), style.dropout(self.dropout)]
        return Straight(style, Chain(*parts), self.last, heads, Chain())
