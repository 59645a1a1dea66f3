"""One encoder-decoder for most of the literature: levels with a width, a kernel and a stride each, joined.

What a paper calls 2D, hybrid, anisotropic or isotropic is in the kernels and strides (z, y, x) alone. A network none of
whose levels looks along z runs section by section, as convolutions in 2D.

>>> from emfast import nn
>>> plane, half = (1, 3, 3), (1, 2, 2)
>>> unet = nn.UNet(  # in 2D, 16 to 256 channels
...     levels=tuple(nn.Level(16 * 2**k, kernel=plane, stride=half) for k in range(5)), norm="none"
... )
>>> rsunet = nn.UNet(  # anisotropic, residual, with sums (Lee and others, 2017)
...     levels=tuple(nn.Level(width, stride=half) for width in (24, 32, 48, 72, 104)),
...     block=nn.Symmetric(), stem=nn.Convolved(24), activation="elu", skip="sum", up="nearest", head_kernel=(1, 5, 5)
... )
>>> mala = nn.UNet(  # without padding: the output is smaller (Funke and others, 2018)
...     levels=tuple(nn.Level(12 * 5**k, stride=(1, 3, 3)) for k in range(4)),
...     norm="none", up="constant", padding="valid"
... )
>>> mala.geometry().output((84, 268, 268))
(56, 56, 56)
>>> sorted(rsunet.build(1, {"affinities": 12}).places)
['affinities']

Blocks are in :mod:`emfast.nn.blocks` (Plain, Residual, PreActivated, Symmetric, Fusion, Dense, Inception, HVEC,
Dilated), stems in :mod:`emfast.nn.stems` (Convolved, StridedOrPooled, ZeroMean, Slices, Collapse), bottlenecks in
:mod:`emfast.nn.bottlenecks` (ASPP, Pyramid); all of them are names of ``emfast.nn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ._encoder_decoder import EncoderDecoder, grids
from ._layers import ONE
from ._network import Geometry, Module, Network
from .blocks import Block, Plain
from .bottlenecks import Bottleneck
from .stems import Stem

__all__ = ["Level", "UNet"]


@dataclass(frozen=True)
class Level:
    """One resolution.

    Attributes
    ----------
    width : channels
    kernel : of the blocks, (z, y, x)
    stride : how much coarser the next level is; of the last level it does not count
    blocks : of the encoder; of the last level, all there are
    block : another kind than the network's, here
    dilation : of the blocks
    dropout : share of values dropped behind the blocks, encoder and decoder
    decoder_width, decoder_blocks, decoder_block : where the decoder has others; without blocks, the width of what comes
        up
    """

    width: int
    kernel: tuple[int, ...] = (3, 3, 3)
    stride: tuple[int, ...] = (2, 2, 2)
    blocks: int = 1
    block: Block | None = None
    dilation: tuple[int, ...] = (1, 1, 1)
    dropout: float = 0.0
    decoder_width: int | None = None
    decoder_blocks: int | None = None
    decoder_block: Block | None = None

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            value = getattr(self, name)
            if len(value) != 3 or min(value) < 1:
                raise ValueError(f"{name} must be three numbers of at least 1, got {value}")
        for name, least in (("width", 1), ("blocks", 0), ("decoder_width", 1), ("decoder_blocks", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")


@dataclass(frozen=True)
class UNet(Network):
    """An encoder-decoder.

    Attributes
    ----------
    levels : from the finest
    block, decoder_block : what levels do that do not say so themselves; the decoder as the encoder unless it is given
    stem : before the first level; None: the first block sees the image
    norm : over what values are normalised; ``group`` in ``groups`` (or the largest divisor of both)
    activation : ``leaky`` with ``slope``
    skip : what becomes of the encoder's features: beside the decoder's, added (through a 1³ convolution where widths
        differ), or left
    gate : attention gates on skips
    down : the largest of each box, their mean, a strided convolution (``down_kernel``; None: of the stride's size) with
        norm and activation, largest beside strided convolution (``both``), or ``stochastic``: rows are chosen at random
        out of ``window`` while training, else the mean
    up : ``transposed`` convolution, with norm and activation where the level has no blocks; ``nearest`` or ``linear``
        interpolation, then a convolution of ``up_kernel`` with norm and activation (``up_plain``: without these);
        ``constant``: repeated, no convolution
    padding : ``same`` or ``valid``
    equivariant : without padding, crop in the decoder so that sides of outputs are multiples of the total stride, so
        that tiles put side by side are what one large tile would be
    bottleneck : behind the blocks of the last level
    decoders : names of the heads each decoder has; empty: one decoder for all
    auxiliary : how many levels below the finest have heads too, while training
    units : networks in a chain: each sees the image and the sigmoid of what the one before says, whose outputs are
        auxiliary, from the last but one
    nested : decoders at all depths, each level seeing all before it at its resolution (UNet++); those that end at the
        finest level are auxiliary, from the deepest but one
    head_kernel : of the last convolutions
    """

    levels: tuple[Level, ...]
    block: Block = field(default_factory=Plain)
    decoder_block: Block | None = None
    stem: Stem | None = None
    norm: Literal["none", "batch", "group", "instance"] = "batch"
    groups: int = 8
    activation: Literal["relu", "leaky", "elu", "prelu", "silu", "gelu"] = "relu"
    slope: float = 0.01
    skip: Literal["cat", "sum", "none"] = "cat"
    gate: bool = False
    down: Literal["max", "mean", "strided", "both", "stochastic"] = "max"
    down_kernel: tuple[int, ...] | None = None
    window: int = 4
    up: Literal["transposed", "nearest", "linear", "constant"] = "transposed"
    up_kernel: tuple[int, ...] = ONE
    up_plain: bool = False
    padding: Literal["same", "valid"] = "same"
    equivariant: bool = False
    bottleneck: Bottleneck | None = None
    decoders: tuple[tuple[str, ...], ...] = ()
    auxiliary: int = 0
    units: int = 1
    nested: bool = False
    head_kernel: tuple[int, ...] = ONE

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("levels must be at least one, got none")
        for name in ("down_kernel", "up_kernel", "head_kernel"):
            value = getattr(self, name)
            if value is not None and (len(value) != 3 or min(value) < 1):
                raise ValueError(f"{name} must be three numbers of at least 1, got {value}")
        for name in ("groups", "window", "units"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.auxiliary < len(self.levels):
            raise ValueError(f"auxiliary must be below the number of levels, {len(self.levels)}, got {self.auxiliary}")
        if self.equivariant and self.padding == "same":
            raise ValueError("equivariant must be false where padding is same")
        if self.padding == "valid" and (self.units > 1 or self.nested):
            raise ValueError("padding must be same for a chain or nested decoders")
        if self.nested and (self.auxiliary or self.gate or self.skip != "cat" or self.up == "constant"):
            raise ValueError("nested must come with skip cat, some convolution in up, no gate and no auxiliary levels")
        if self.nested and any(level.decoder_width or level.decoder_blocks is not None for level in self.levels):
            raise ValueError("nested must come with decoders as wide as the encoder")

    @property
    def planar(self) -> bool:
        """Whether its levels stay within sections."""
        kernels = [self.up_kernel, self.head_kernel, self.down_kernel or ONE]
        kernels += [level.kernel for level in self.levels] + [level.stride for level in self.levels[:-1]]
        blocks = [self.block, self.decoder_block]
        blocks += [block for level in self.levels for block in (level.block, level.decoder_block)]
        stem = self.stem is None or getattr(self.stem, "stride", ONE)[0] == 1
        return stem and all(k[0] == 1 for k in kernels) and all(b is None or b.planar for b in blocks)

    def geometry(self) -> Geometry:
        """Without weights."""
        return grids(self)[""].geometry()

    def decodes(self, level: Level) -> Block:
        """The blocks of the decoder there."""
        return level.decoder_block or self.decoder_block or level.block or self.block

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        named = [name for names in self.decoders for name in names]
        if self.decoders and sorted(named) != sorted(heads):
            raise ValueError(f"decoders must have each of the heads {sorted(heads)} once, got {sorted(named)}")
        return EncoderDecoder(self, channels, heads)


