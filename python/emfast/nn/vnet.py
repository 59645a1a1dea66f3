"""V-Net (Milletari and others, 2016): wide kernels, residual stages, strided convolutions down, transposed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ._network import Module, Network
from .blocks import Residual
from .unet import Level, UNet

__all__ = ["VNet"]


@dataclass(frozen=True)
class VNet(Network):
    """As an encoder-decoder of five levels, ``width`` to 16 times that; stages of 1, 1, 2, 3, 2 convolutions, and back
    of 2, 2, 1, 1 twice as wide. With one channel in and one out it has 45.6 million parameters, as MONAI's has."""

    width: int = 16
    kernel: tuple[int, ...] = (5, 5, 5)
    stride: tuple[int, ...] = (2, 2, 2)
    norm: Literal["none", "batch", "group", "instance"] = "batch"
    activation: Literal["relu", "leaky", "elu", "prelu", "silu", "gelu"] = "prelu"
    dropout: float = 0.0

    def unet(self) -> UNet:
        """The same as settings of an encoder-decoder."""
        levels = []
        for k, (down, up) in enumerate(((1, 1), (1, 1), (2, 2), (3, 2), (2, 2))):
            levels.append(
                Level(
                    self.width * 2**k,
                    self.kernel,
                    self.stride,
                    block=Residual(down),
                    decoder_block=Residual(up),
                    decoder_width=self.width * 2 ** (k + 1),
                    dropout=self.dropout if k >= 3 else 0.0,
                )
            )
        return UNet(tuple(levels), norm=self.norm, activation=self.activation, down="strided")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        return self.unet().build(channels, heads)
