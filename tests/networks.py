"""Small networks for tests of training and inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

import emfast
from emfast import nn
from emfast.targets import Target


@dataclass(frozen=True)
class Tiny(nn.Network):
    """Two convolutions, with or without padding, and a head of 1³; dropout between them."""

    width: int = 4
    kernel: int = 3
    depth: int = 3
    padded: bool = True
    dropout: float = 0.0
    auxiliary: bool = False

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Tiny(self, channels, heads)


class _Tiny(nn.Module):
    def __init__(self, of: Tiny, channels: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        sides = (of.depth, of.kernel, of.kernel)
        pad = tuple(k // 2 for k in sides) if of.padded else (0, 0, 0)
        self.first = torch.nn.Conv3d(channels, of.width, sides, padding=pad)
        self.second = torch.nn.Conv3d(of.width, of.width, sides, padding=pad)
        self.dropout = torch.nn.Dropout(of.dropout)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Conv3d(of.width, n, 1) for name, n in heads.items()})
        self.auxiliary = of.auxiliary
        field = tuple(2 * k - 1 for k in sides)
        margin = (0, 0, 0) if of.padded else tuple(k - 1 for k in sides)
        least = (1, 1, 1) if of.padded else field
        self.geometry = nn.Geometry(field, (1, 1, 1), margin, least)
        self.places = {name: nn.Place((1, 1, 1), margin) for name in heads}
        if of.auxiliary:
            self.places |= {f"{name}@1": nn.Place((1, 2, 2), margin) for name in heads}

    def forward(self, image):
        found = self.dropout(torch.relu(self.first(image)))
        found = torch.relu(self.second(found))
        outputs = {name: head(found) for name, head in self.heads.items()}
        if self.auxiliary and self.training:
            outputs |= {f"{name}@1": head(found[..., ::2, ::2]) for name, head in self.heads.items()}
        return outputs


@dataclass(frozen=True)
class Identity(nn.Network):
    """Gives its input, as many times as there are channels."""

    field: int = 1

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Identity(self, heads)


class _Identity(nn.Module):
    def __init__(self, of: Identity, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(heads)
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
        self.geometry = nn.Geometry((of.field,) * 3, (1, 1, 1), (0, 0, 0), (1, 1, 1))

    def forward(self, image):
        return {name: image.expand(-1, n, -1, -1, -1) for name, n in self.sizes.items()}


@dataclass(frozen=True)
class Weighted(Identity):
    """The same, with something to learn: a weight that begins with one."""

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Weighted(self, heads)


class _Weighted(_Identity):
    def forward(self, image):
        return super().forward(image * (1 + self.unused))


@dataclass(frozen=True)
class Edges(Target):
    """Nearest affinities, and perhaps others."""

    offsets: tuple[tuple[int, ...], ...] = emfast.NEAREST

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(str, self.offsets))

    def margin(self, spacing):
        return tuple(max(abs(step[axis]) for step in self.offsets) for axis in range(3))

    def make(self, labels, mask=None, *, spacing=(1, 1, 1)):
        found, valid = emfast.affinities(labels, offsets=self.offsets, mask=mask, dtype="float32", return_valid=True)
        return found, valid.astype(np.float32)


@dataclass(frozen=True)
class Perfect(nn.Network):
    """Exact affinities of an image that is the labels, as logits of ±30."""

    offsets: tuple[tuple[int, ...], ...] = emfast.NEAREST

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Perfect(self.offsets, heads)


class _Perfect(nn.Module):
    def __init__(self, offsets, heads) -> None:
        super().__init__()
        self.offsets, self.heads = offsets, list(heads)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.far = max(abs(s) for step in offsets for s in step)
        self.geometry = nn.Geometry((2 * self.far + 1,) * 3, (1, 1, 1), (0, 0, 0), (1, 1, 1))

    def forward(self, image):
        image = (255 * image[:, 0]).round()
        far = torch.nn.functional.pad(image, (self.far,) * 6)
        found = []
        for step in self.offsets:
            z, y, x = (slice(self.far + s, self.far + s + n) for s, n in zip(step, image.shape[1:], strict=True))
            found.append((image == far[:, z, y, x]) & (image != 0))
        return {name: self.scale * (60 * torch.stack(found, 1).float() - 30) for name in self.heads}
