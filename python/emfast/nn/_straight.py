"""Networks that are a body and heads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ._geometry import Grid
from ._layers import Layer, Style, folded, unfolded
from ._network import Module, Place, checked


class Straight(Module):
    """A body of that width, then a 1³ convolution for each head, then what is behind them (upsampling)."""

    def __init__(self, style: Style, body: Layer, width: int, heads: Mapping[str, int], behind: Layer) -> None:
        super().__init__()
        self.body, self.behind, self.planar, self.names = body, behind, style.axes == 2, tuple(heads)
        self.heads = nn.ModuleDict()
        for name, outputs in checked(heads).items():
            self.heads[f"to_{name}"] = style.convolution(width, outputs, bias=True)
        self.grid: Grid = behind.trace(body.trace(Grid()))
        self.geometry = self.grid.geometry()
        self.places = {name: Place((1, 1, 1), self.geometry.margin) for name in self.names}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        sections = image.shape[2]
        x = self.body(folded(image) if self.planar else image)
        found = {}
        for name, head in zip(self.names, self.heads.values(), strict=True):
            y = self.behind(head(x))
            found[name] = unfolded(y, sections) if self.planar else y
        return found
