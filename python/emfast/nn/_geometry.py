"""How voxels of a tensor depend on voxels of the input, along one axis at a time, worked out without running anything.

Voxel ``i`` of a tensor depends on input voxels between ``low(i)`` and ``high(i)``. Both grow with ``i``, and they
repeat: a voxel that is a period further depends on what lies ``period * step`` further. So a few numbers say all, also
behind pooling and upsampling, where neighbours see the same. Voxels beyond the border count as if the input were
endless: with padding, clip to the input.

Sizes are ``(n - lost) / step`` for an input of ``n``, and must be whole: that tells which inputs fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ._network import Geometry


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor.

    Attributes
    ----------
    step : voxels of the input per voxel
    lost : the tensor has ``(n - lost) / step`` voxels
    origin : where its first voxel begins, in voxels of the input; between two of them behind an even valid kernel
    lows, highs : what the first voxels depend on, for one period
    least, unit, anchor : inputs have at least ``least`` voxels, and ``anchor`` plus a multiple of ``unit``
    """

    step: int = 1
    lost: int = 0
    origin: Fraction = Fraction(0)
    lows: tuple[int, ...] = (0,)
    highs: tuple[int, ...] = (0,)
    least: int = 1
    unit: int = 1
    anchor: int = 0

    def low(self, i: int) -> int:
        return self._at(self.lows, i)

    def high(self, i: int) -> int:
        return self._at(self.highs, i)

    def window(self, kernel: int, stride: int = 1, dilation: int = 1, left: int = 0, right: int = 0) -> Axis:
        """Behind a kernel (of a convolution or a pool), with so much padding; what is cut is negative padding."""
        extent = dilation * (kernel - 1)
        period = len(self.lows) // math.gcd(len(self.lows), stride)
        return self._with(
            step=self.step * stride,
            lost=self.lost + self.step * (extent + 1 - stride - left - right),
            origin=self.origin + Fraction(self.step * (extent + 1 - stride), 2) - self.step * left,
            lows=tuple(self.low(i * stride - left) for i in range(period)),
            highs=tuple(self.high(i * stride - left + extent) for i in range(period)),
        )

    def same(self, kernel: int, stride: int = 1, dilation: int = 1) -> Axis:
        """Behind a kernel padded so that ``stride`` alone makes the tensor smaller."""
        left, right = padding(kernel, stride, dilation)
        return replace(self.window(kernel, stride, dilation, left, right), origin=self.origin)

    def repeated(self, factor: int) -> Axis:
        """Each voxel ``factor`` times: nearest, or a transposed convolution whose kernel is its stride."""
        return self._finer(factor, lambda i: (i // factor, i // factor))

    def linear(self, factor: int) -> Axis:
        """Between voxel centres. Where a centre is hit, rounding may bring in a neighbour on either side."""

        def between(i: int) -> tuple[int, int]:
            at, rest = divmod(2 * i + 1 - factor, 2 * factor)
            return (at - 1, at + 1) if rest == 0 else (at, at + 1)

        return self if factor == 1 else self._finer(factor, between)

    def cropped(self, left: int, right: int) -> Axis:
        return self.window(1, 1, 1, -left, -right)

    def cropped_like(self, other: Axis) -> Axis:
        """In the middle, to the size of another tensor of this step."""
        less = (other.lost - self.lost) // self.step
        return self.cropped(less // 2, less - less // 2)

    def joined(self, *others: Axis) -> Axis:
        """Of tensors of one size, by sum or side by side."""
        result = self
        for other in others:
            if (result.step, result.lost) != (other.step, other.lost):
                raise ValueError(f"branches must have one size, got {result} and {other}")
            period = math.lcm(len(result.lows), len(other.lows))
            unit, anchor = _agreed((result.unit, result.anchor), (other.unit, other.anchor))
            result = replace(
                result,
                lows=tuple(min(result.low(i), other.low(i)) for i in range(period)),
                highs=tuple(max(result.high(i), other.high(i)) for i in range(period)),
                least=max(result.least, other.least),
                unit=unit,
                anchor=anchor,
            )
        return result

    def _at(self, values: tuple[int, ...], i: int) -> int:
        turn, place = divmod(i, len(values))
        return values[place] + turn * len(values) * self.step

    def _finer(self, factor: int, between: Callable[[int], tuple[int, int]]) -> Axis:
        if self.step % factor:
            raise ValueError(f"stride must be undone by upsampling, got a step of {self.step} and a factor of {factor}")
        ends = [between(i) for i in range(len(self.lows) * factor)]
        return self._with(
            step=self.step // factor,
            lost=self.lost,
            origin=self.origin,
            lows=tuple(self.low(first) for first, _ in ends),
            highs=tuple(self.high(last) for _, last in ends),
        )

    def _with(
        self, *, step: int, lost: int, origin: Fraction, lows: tuple[int, ...], highs: tuple[int, ...]
    ) -> Axis:
        unit, anchor = _agreed((self.unit, self.anchor), (step, lost))
        return Axis(step, lost, origin, lows, highs, max(self.least, lost + step), unit, anchor)


@dataclass(frozen=True)
class Grid:
    """The three axes of a tensor, and whether statistics of all of it came in."""

    z: Axis = Axis()
    y: Axis = Axis()
    x: Axis = Axis()
    local: bool = True

    def __iter__(self) -> Iterator[Axis]:
        return iter((self.z, self.y, self.x))

    @property
    def step(self) -> tuple[int, int, int]:
        return self.z.step, self.y.step, self.x.step

    def each(self, change: Callable[..., Axis], *arguments: Sequence[int]) -> Grid:
        """Every axis changed, by its own of each of the arguments."""
        z, y, x = (change(axis, *own) for axis, *own in zip(self, *arguments, strict=True))
        return Grid(z, y, x, self.local)

    def cropped_like(self, other: Grid) -> Grid:
        z, y, x = (a.cropped_like(b) for a, b in zip(self, other, strict=True))
        return Grid(z, y, x, self.local)

    def joined(self, *others: Grid) -> Grid:
        z, y, x = (a.joined(*b) for a, *b in zip(self, *others, strict=True))
        return Grid(z, y, x, self.local and all(other.local for other in others))

    def globally(self) -> Grid:
        """Behind a statistic of the whole tensor."""
        return replace(self, local=False)

    def geometry(self) -> Geometry:
        """Of a network with this output, which must have the resolution of the input and lie in its middle."""
        fields, strides, margins, leasts = zip(*(_geometry(axis) for axis in self), strict=True)
        return Geometry(fields, strides, margins, leasts, self.local)


def padding(kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Voxels to the left and to the right with which a kernel makes n voxels n / stride. With a stride the left side
    has the odd one, since torch then leaves out the last of its equal paddings; else the right one."""
    total = dilation * (kernel - 1) + 1 - stride
    left = total // 2 if stride == 1 else max((total + 1) // 2, 0)
    return left, total - left


def _agreed(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    """Both demands on the input: an anchor plus multiples of a unit."""
    (small, first), (large, second) = sorted((one, two))
    unit = math.lcm(small, large)
    for n in range(second % large, unit + large, large):
        if (n - first) % small == 0:
            return unit, n % unit
    raise ValueError(f"padding must leave sizes that fit: none is {first} mod {small} and {second} mod {large}")


def _geometry(axis: Axis) -> tuple[int, int, int, int]:
    if axis.step != 1:
        raise ValueError(f"output must have the resolution of the input, got one voxel for {axis.step}")
    if abs(2 * axis.origin - axis.lost) > 1 or axis.lost % 2:  # half a voxel is the least that an even kernel moves
        sides = f"{axis.origin} and {axis.lost - axis.origin} voxels"
        raise ValueError(f"margin must be equal on both sides, got {sides}; odd kernels help")
    margin = axis.lost // 2
    before = max(margin + i - low for i, low in enumerate(axis.lows))
    after = max(high - margin - i for i, high in enumerate(axis.highs))
    least = axis.least + (axis.anchor - axis.least) % axis.unit
    return 2 * max(before, after) + 1, axis.unit, margin, least
