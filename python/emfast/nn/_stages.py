"""What a level of an encoder or decoder runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from ._layers import Chain, Style
from .blocks import Block

if TYPE_CHECKING:
    from .unet import Level


def stage(style: Style, level: Level, block: Block, inputs: int, width: int, blocks: int) -> tuple[Chain, int]:
    """Some blocks and their dropout, and the channels behind them."""
    layers = []
    for here in block.widths(inputs, width, blocks):
        layers.append(block.make(style, inputs, here, level.kernel, level.dilation))
        inputs = here
    return Chain(*layers, *([style.dropout(level.dropout)] if level.dropout and blocks else [])), inputs


def closed(style: Style, width: int) -> tuple[nn.Module, nn.Module]:
    """The norm and activation that pre-activated blocks leave to what follows."""
    return style.normalised(width), style.activated()
