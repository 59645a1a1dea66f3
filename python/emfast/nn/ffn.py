"""Flood-filling networks (Januszewski and others, 2018): a network that grows one object at a time from a seed, moving
its field of view to where the object goes on.

The network sees the image and the object as it is known so far (a logit a voxel), and gives that logit anew. From a
place it moves on to the likeliest voxel of each face of the box that reaches a step to all sides. Places lie in the
cells of a grid of steps about the seed, and each cell is looked at once.

The procedure is that of the published program, and has one order: seeds as they are given; of the voxels of a face the
likeliest, of equal ones the nearest to its middle (there: the first), then the first; of the faces the likelier first,
of equal ones that which leads farther along z, then y, then x; places in the order in which they were found.

>>> import numpy as np
>>> from emfast import nn
>>> net = nn.FloodFilling(depth=2, width=4).build(1, {"object": 1})
>>> flood = nn.FloodFill(field=(9, 9, 9), step=(2, 2, 2), least=1)
>>> labels = flood.segment(net, np.zeros((1, 12, 12, 12), np.float32), [(6, 6, 6)])
>>> labels.shape, labels.dtype
((12, 12, 12), dtype('uint32'))
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ..distance import edt
from ..seeds import distance_peaks
from ._geometry import Grid
from ._layers import Chain, Style
from ._network import Module, Network, Place
from .blocks import PreActivated

__all__ = ["FloodFill", "FloodFilling", "edges", "peaks"]

Point = tuple[int, int, int]


@dataclass(frozen=True)
class FloodFilling(Network):
    """The network: a convolution, another, then residual modules of two, all of ``kernel`` and ``width``.

    It takes the image's channels and one more, the state, behind them; its only head is the new state.
    """

    depth: int = 9
    width: int = 32
    kernel: tuple[int, ...] = (3, 3, 3)

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width < 1:
            raise ValueError(f"depth must be at least 1, as width, got {self.depth} and {self.width}")
        if len(self.kernel) != 3 or any(k < 1 or k % 2 == 0 for k in self.kernel):
            raise ValueError(f"kernel must be three odd numbers, got {self.kernel}")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`; ``channels`` are those of the image."""
        if list(heads.values()) != [1]:
            raise ValueError(f"heads must be one of one channel, got {dict(heads)}")
        return Growing(self, channels, next(iter(heads)))


class Growing(Module):
    """(n, channels + 1, z, y, x), the last the state, to the new state."""

    def __init__(self, settings: FloodFilling, channels: int, head: str) -> None:
        super().__init__()
        style, width, kernel = Style(norm="none"), settings.width, settings.kernel
        block = PreActivated(2)
        self.head, self.inputs = head, channels + 1
        self.body = Chain(
            style.layer(self.inputs, width, kernel),
            style.convolution(width, width, kernel),
            *(block.make(style, width, width, kernel, (1, 1, 1)) for _ in range(settings.depth - 1)),
            nn.ReLU(),
            style.convolution(width, 1),
        )
        self.grid = self.body.trace(Grid())
        self.geometry = self.grid.geometry()
        self.places = {head: Place((1, 1, 1), (0, 0, 0))}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {self.head: image[:, -1:] + self.body(image)}


@dataclass(frozen=True)
class FloodFill:
    """How objects are grown.

    Attributes
    ----------
    field : what the network sees at a time
    step : how far it moves
    inside, outside : probabilities that the state begins with, at the seed and elsewhere
    move : the least probability of a voxel to go there, when it is found and when its turn has come; an object whose
        seed falls below is given up
    take : the least probability of a voxel of the object
    settled : where a larger share than this of what is seen is likely enough to move, voxels that were seen below one
        half before do not rise; 1: they may
    least : smaller objects are left out; their voxels are then free
    """

    field: tuple[int, ...] = (33, 33, 33)
    step: tuple[int, ...] = (8, 8, 8)
    inside: float = 0.95
    outside: float = 0.05
    move: float = 0.9
    take: float = 0.6
    settled: float = 0.005
    least: int = 1000

    def __post_init__(self) -> None:
        if len(self.field) != 3 or any(n < 1 or n % 2 == 0 for n in self.field):
            raise ValueError(f"field must be three odd numbers, got {self.field}")
        if len(self.step) != 3 or any(not 0 <= s <= n // 2 for s, n in zip(self.step, self.field, strict=True)):
            raise ValueError(f"step must lie within half of the field {self.field}, got {self.step}")
        for name in ("inside", "outside", "move", "take"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.inside < self.move:
            raise ValueError(f"inside must be at least move, {self.move}, got {self.inside}")
        if not 0 <= self.settled <= 1:
            raise ValueError(f"settled must be from 0 to 1, got {self.settled}")

    def begun(self, shape: Sequence[int], seed: Sequence[int]) -> np.ndarray:
        """The state before the first step: logits in float32."""
        state = np.full(tuple(shape), _logit(self.outside), np.float32)
        state[tuple(seed)] = _logit(self.inside)
        return state

    def box(self, centre: Sequence[int]) -> tuple[slice, slice, slice]:
        """What the network sees there."""
        z, y, x = (slice(c - n // 2, c + n // 2 + 1) for c, n in zip(centre, self.field, strict=True))
        return z, y, x

    def onward(self, state: np.ndarray, centre: Point) -> list[Point]:
        """Where to go from a place whose state is new, likeliest first."""
        around = [slice(c - s, c + s + 1) for c, s in zip(centre, self.step, strict=True)]
        found = set()
        for axis, step in enumerate(self.step):
            for place in (centre[axis] - step, centre[axis] + step) if step else ():
                box = [*around[:axis], slice(place, place + 1), *around[axis + 1 :]]
                face = state[tuple(box)]
                logit = float(face.max())
                if logit >= _logit(self.move):
                    here = np.argwhere(face == logit)
                    away = ((here - np.array(face.shape) // 2) ** 2).sum(1)
                    z, y, x = (s.start + int(i) for s, i in zip(box, here[away.argmin()], strict=True))
                    found.add((logit, (z, y, x)))
        return [place for _, place in sorted(found, reverse=True)]

    def grow(self, say: Callable[[np.ndarray], np.ndarray], image: np.ndarray, seed: Point, free: np.ndarray) -> Any:
        """The state of one object from a seed. ``say`` is the network: (c + 1, z, y, x) to (z, y, x). Fields of view
        lie within the image, with centres in ``free``. The second array tells which voxels were seen."""
        canvas = _Canvas(self, image)
        self._spread(say, canvas, seed, lambda place: bool(free[place]))
        return canvas.state, canvas.seen

    def _spread(
        self, say: Callable[[np.ndarray], np.ndarray], canvas: _Canvas, seed: Point, free: Callable[[Point], bool]
    ) -> None:
        """From a seed as far as it goes: once to each cell of the grid at most."""
        image, state, least = canvas.image, canvas.state, _logit(self.move)
        state[seed] = _logit(self.inside)
        todo, done = deque([seed]), set()
        while todo and state[seed] >= least:
            centre = todo.popleft()
            cell = tuple((c - s + n // 2) // max(n, 1) for c, s, n in zip(centre, seed, self.step, strict=True))
            if cell in done or state[centre] < least or not free(centre) or not self.holds(image.shape[1:], centre):
                continue
            done.add(cell)
            box = self.box(centre)
            old, seen = state[box], canvas.seen[box]
            new = say(np.concatenate([image[:, box[0], box[1], box[2]], old[None]]))
            if (new >= least).mean() > self.settled:
                new = np.where(seen & (old < 0), np.minimum(new, old), new)
            canvas.put(box, new)
            todo.extend(self.onward(state, centre))

    def holds(self, shape: Sequence[int], centre: Sequence[int]) -> bool:
        """Whether what the network sees there lies within an image of that shape."""
        return all(s.start >= 0 and s.stop <= n for s, n in zip(self.box(centre), shape, strict=True))

    def segment(self, module: Module, image: Any, seeds: Iterable[Sequence[int]]) -> np.ndarray:
        """Objects of an image (c, z, y, x), normalised as the network was taught: one after the other, voxels that are
        taken left to those before.

        Seeds lie half a field from the border at least, else they are passed over; so are those in objects. Returns
        labels (z, y, x) in uint32, numbered in the order of their seeds.
        """
        image = np.asarray(image, np.float32)
        if image.ndim != 4:
            raise ValueError(f"image must be (c, z, y, x), got {image.ndim} axes")
        labels, canvas = np.zeros(image.shape[1:], np.uint32), _Canvas(self, image)
        say, count = _saying(module), 0
        for z, y, x in seeds:
            seed = (int(z), int(y), int(x))
            if not self.holds(labels.shape, seed) or labels[seed]:
                continue
            self._spread(say, canvas, seed, lambda place: not labels[place])
            box = canvas.touched
            taken = canvas.seen[box] & (canvas.state[box] >= _logit(self.take)) & (labels[box] == 0)
            if canvas.state[seed] >= _logit(self.move) and int(taken.sum()) >= self.least:
                count += 1
                labels[box][taken] = count
            canvas.clear()
        return labels

    def visits(self, fill: np.ndarray, *, order: Sequence[int] = range(6)) -> Iterator[Point]:
        """For training on crops with room for a step to each side: the middle, then the faces in that order (0 to 5 for
        -z to +x), where the state, ``fill``, is by then likely enough to move. It is looked at anew for each."""
        z, y, x = (n // 2 for n in fill.shape)
        yield z, y, x
        for face in order:
            axis, sign = divmod(face, 2)
            place = [z, y, x]
            place[axis] += (2 * sign - 1) * self.step[axis]
            if self.step[axis] and fill[tuple(place)] >= _logit(self.move):
                yield place[0], place[1], place[2]


class _Canvas:
    """The state of an image and which voxels were seen, cleared where they were ``touched`` for each object anew."""

    def __init__(self, flood: FloodFill, image: np.ndarray) -> None:
        self.image, self.outside = image, _logit(flood.outside)
        self.state = np.full(image.shape[1:], self.outside, np.float32)
        self.seen = np.zeros(image.shape[1:], bool)
        self.touched: tuple[slice, ...] = (slice(0, 0),) * 3

    def put(self, box: tuple[slice, ...], state: np.ndarray) -> None:
        """What was seen there."""
        self.state[box], self.seen[box] = state, True
        self.touched = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop)) if a.stop else b
            for a, b in zip(self.touched, box, strict=True)
        )

    def clear(self) -> None:
        self.state[self.touched], self.seen[self.touched] = self.outside, False
        self.touched = (slice(0, 0),) * 3


def peaks(
    membrane: Any, *, spacing: Sequence[float] = (1, 1, 1), separation: float = 0.0, least: float = 0.0
) -> list[Point]:
    """Seeds: peaks of the distance to membranes, the farthest first, equal ones in C order.

    Parameters
    ----------
    membrane : (z, y, x) array of bool
    spacing : in the unit of the others
    separation, least : of peaks from each other, and from membranes
    """
    away = np.asarray(edt((~np.asarray(membrane, bool)).view(np.uint8), spacing=spacing))
    found = np.asarray(distance_peaks(away, separation=separation, threshold=least, spacing=spacing))
    places = np.flatnonzero(found)
    order = np.argsort(-away.ravel()[places], kind="stable")
    return [tuple(int(i) for i in at) for at in zip(*np.unravel_index(places[order], away.shape), strict=True)]  # type: ignore[misc]


def edges(image: Any, *, window: int = 49, kind: Literal["above", "below"] = "above") -> np.ndarray:
    """Where an image (z, y, x) changes more than on the average around, within sections: membranes for :func:`peaks`
    where nothing better is known. ``below``: where it is darker than around. ``window`` is the side of what is around,
    an odd number."""
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be an odd number, got {window}")
    if kind not in ("above", "below"):
        raise ValueError(f'kind must be "above" or "below", got {kind!r}')
    values = torch.as_tensor(np.asarray(image, np.float32))[:, None]
    if kind == "above":
        y, x = torch.gradient(values, dim=(2, 3))
        values = torch.sqrt(y * y + x * x)
    around = nn.functional.avg_pool2d(values, window, 1, window // 2, count_include_pad=False)
    result: np.ndarray = (values > around if kind == "above" else values < around)[:, 0].numpy()
    return result


def _saying(module: Module) -> Callable[[np.ndarray], np.ndarray]:
    """A module as a function of one array, where its weights are."""
    first = next(module.parameters())
    name = next(iter(module.places))

    def say(values: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found = module(torch.from_numpy(values)[None].to(first.device))[name]
        result: np.ndarray = found[0, 0].float().cpu().numpy()
        return result

    return say


def _logit(probability: float) -> float:
    return float(np.float32(math.log(probability / (1 - probability))))
