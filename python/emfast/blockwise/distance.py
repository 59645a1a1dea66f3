"""Exact distances in volumes larger than memory.

A distance is as long as it is, so no halo is wide enough for every volume. But the transform is separable: along x the
nearest change of label, along y and z lower envelopes of parabolas, all in integers. So there is a pass for each axis,
over blocks that hold whole lines of it, and a word per voxel lies in a volume between them. Memory is bounded by the
length of lines, whatever the labels are. Where blocks can hold whole sections, x and y are one pass; a volume that fits
is one block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import take
from .._engine.grid import Block, Grid
from .._engine.plan import file_sides
from ..distance import fractions_of, limits_of, metric_of
from ._labels import labels_run, most_voxels
from ._run import Run

__all__ = ["edt", "signed_distance"]

_VOXELS = 1 << 26  # of the lines of a block where no memory is given
_WIDEST = 64  # voxels of a halo that is cheaper than passes
_NARROW = 1 << 28  # squared distances below this fit the words of 32 bits that row_words knows


def edt(
    labels: Any,
    target: Any = None,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    border: bool = False,
    squared: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.edt`, block by block, with the same result to the last bit.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    spacing, border, squared
        As in memory.
    block : sequence of int or "auto"
        What is read at once is longer: whole lines of an axis over the other sides of a block.
    work : path, optional
        A folder for what lies between the passes, kept; by default ``<target>.work``, which goes in the end, or memory
        where the target is no place.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    distances : what the target is opened as, float32

    Notes
    -----
    Exact for any content. Between passes lie 4 bytes a voxel (8 where squared distances reach 2²⁸ units): once where
    blocks can hold whole sections, else twice.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.edt(np.array([[0, 5, 5, 5, 7, 7]]), spacing=(1, 4), block=(1, 2))
    array([[0., 4., 8., 4., 4., 8.]], dtype=float32)
    """
    return _distances(labels, target, spacing, Style(border, False, squared), block, work, engine)


def signed_distance(
    labels: Any,
    target: Any = None,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    border: bool = False,
    squared: bool = False,
    clip: float | None = None,
    tanh: float | None = None,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.signed_distance`, block by block, with the same result to the last bit.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    spacing, border, squared, clip, tanh
        As in memory. A ``clip`` of no more than 64 voxels makes it one pass: what is farther away does not matter.
    block, work, **engine
        As in :func:`emfast.blockwise.edt`.

    Returns
    -------
    distances : what the target is opened as, float32

    Examples
    --------
    >>> import numpy as np, emfast
    >>> emfast.blockwise.signed_distance(np.array([[0, 0, 0, 3, 3, 8]]), clip=2, block=(1, 3))
    array([[-2., -2., -1.,  1.,  1.,  1.]], dtype=float32)
    """
    style = Style(border, True, squared, *limits_of(clip, tanh))
    return _distances(labels, target, spacing, style, block, work, engine)


@dataclass(frozen=True)
class Style:
    """What distances shall be, beside the spacing."""

    border: bool
    with_sign: bool
    squared: bool = False
    clip: float = math.inf
    tanh: float = 0.0


@dataclass(frozen=True)
class _Pass:
    """What the native modules are told, of the whole volume."""

    weights: tuple[int, ...]
    unit: float
    unit_squared: float
    style: Style

    @property
    def metric(self) -> tuple[tuple[int, ...], float, float]:
        return self.weights, self.unit, self.unit_squared


class _Whole(_Pass):
    def __call__(self, labels: np.ndarray) -> Any:
        t, s = take(labels, "labels"), self.style
        out = t.native.distance_transform(
            t.library, t.array, *self.metric, s.border, s.with_sign, s.squared, s.clip, s.tanh
        )
        return t.give(out)


@dataclass(frozen=True)
class _Rows(_Pass):
    """Along x, and along y where its lines are whole too."""

    wide: bool
    columns: bool

    def __call__(self, labels: np.ndarray, where: Block) -> Any:
        t, s = take(labels, "labels"), self.style
        words = t.native.distance_rows(t.library, t.array, self.weights, s.border, s.with_sign, self.wide)
        return _Columns(*self.metric, s)(words[where.inner]) if self.columns else words


class _Columns(_Pass):
    def __call__(self, words: np.ndarray) -> Any:
        t = take(words, "words")
        return t.native.distance_columns(t.library, t.array, self.weights, self.style.border)


class _LastColumns(_Pass):
    def __call__(self, words: np.ndarray) -> Any:
        t, s = take(words, "words"), self.style
        out = t.native.distance_last_columns(t.library, t.array, *self.metric, s.border, s.squared, s.clip, s.tanh)
        return t.give(out)


def _distances(
    labels: Any, target: Any, spacing: Sequence[float], style: Style, block: Any, work: Any, engine: dict[str, Any]
) -> Any:
    with labels_run(labels, target, block=block, work=work, engine=engine, beside=0) as run:  # it cuts by itself
        source = run.sources["labels"]
        out = distances(run, source, lambda: run.target("distances", "f4", like=source), spacing, style, block)
        return run.result(out)


def distances(run: Run, labels: Any, target: Any, spacing: Any, style: Style, block: Any) -> Any:
    """The passes; ``target()`` makes what the last one writes to."""
    shape = run.shape
    spacings = fractions_of(spacing, len(shape))
    metric = metric_of(spacings, shape)
    wide = sum(w * n * n for w, n in zip(metric[0], shape, strict=True)) >= _NARROW
    word = 8 if wide else 4
    cost = max(np.dtype(labels.dtype).itemsize, 4) + 2 * word + 1  # from labels to words, and over to others
    after = word + max(word, 4) + 1  # from words to words, or to distances
    unit = file_sides(run.wanted, len(shape)) if hasattr(run.wanted, "shape") else None
    sides, passes = _kept_layout(run, unit, block, cost)
    run.grid = Grid(shape, sides)
    halo = _halo(spacings, style)
    if len(passes) > 1 and halo is not None:
        run.map("distances", _Whole(*metric, style), labels, out := target(), halo=halo, cost=cost)
        return out

    def over(axes: Sequence[int]) -> Grid:
        return Grid(shape, [max(1, n) if a in axes else s for a, (n, s) in enumerate(zip(shape, sides, strict=True))])

    if len(passes) == 1:
        run.map("distances", _Whole(*metric, style), labels, out := target(), grid=over(passes[0]), cost=cost)
        return out
    last = len(shape) - 1
    both = last - 1 in passes[0]
    words = run.volume("rows", f"u{word}")
    beyond = [(0, 0) if a in passes[0] else (0, 1) for a in range(len(shape))]
    rows = _Rows(*metric, style, wide, both)
    run.map("rows", rows, labels, words, grid=over(passes[0]), halo=beyond, cost=cost)
    if len(passes) == 3:
        along_x, words = words, run.volume("columns", f"u{word}")
        run.map("columns", _Columns(*metric, style), along_x, words, grid=over(passes[1]), cost=after)
    run.map("distances", _LastColumns(*metric, style), words, out := target(), grid=over(passes[-1]), cost=after)
    return out


def _halo(spacings: Sequence[Any], style: Style) -> tuple[int, ...] | None:
    """So wide that what lies beyond it is clipped anyway; None where passes are cheaper."""
    if math.isinf(style.clip):
        return None
    reach = math.sqrt(style.clip) if style.squared else style.clip
    halo = tuple(int(reach / float(s)) + 2 for s in spacings)
    return halo if max(halo) <= _WIDEST else None


def _kept_layout(
    run: Run, unit: Sequence[int] | None, block: Any, cost: int
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The layout that a run before chose, whatever memory there is now; or a new one."""
    if not run.shelf.has("lines"):
        most = most_voxels(run.engine, cost, _VOXELS)
        sides, passes = _layout(run.shape, unit, block, most)
        run.shelf.put("lines", sides=np.array(sides), passes=np.array(len(passes)))
    found = run.shelf.get("lines")
    return tuple(found["sides"].tolist()), _ways(len(run.shape))[int(found["passes"]) - 1]


def _ways(dims: int) -> list[list[tuple[int, ...]]]:
    """The axes of which each pass holds whole lines: in one pass, in two, in three."""
    axes = tuple(range(dims))
    lines: list[tuple[int, ...]] = [(axis,) for axis in reversed(axes)]
    return [[axes], [axes[-2:], axes[:1]], lines] if dims == 3 else [[axes], lines]


def _layout(
    shape: tuple[int, ...], unit: Sequence[int] | None, block: Any, most: int
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Sides of blocks, and as few passes as ``most`` voxels of a pass's blocks allow."""
    axes, ways = range(len(shape)), _ways(len(shape))
    fixed = not isinstance(block, str)
    first = Grid(shape, block).block if fixed else tuple(unit or (1,) * len(shape))

    def fit(sides: Sequence[int], passes: list[tuple[int, ...]]) -> bool:
        blocks = ([n if a in p else s for a, (n, s) in enumerate(zip(shape, sides, strict=True))] for p in passes)
        return all(math.prod(map(min, block, shape)) <= most for block in blocks)

    passes = next((way for way in ways if fit(first, way)), ways[-1])
    sides = first
    while not fixed:
        longer = [
            tuple(2 * s if a == axis else s for a, s in enumerate(sides))
            for axis in sorted(axes, key=lambda axis: sides[axis])
            if sides[axis] < shape[axis]
        ]
        grown = next((candidate for candidate in longer if fit(candidate, passes)), None)
        if grown is None:
            break
        sides = grown
    return Grid(shape, sides).block, passes
