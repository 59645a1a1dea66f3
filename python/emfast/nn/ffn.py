"""Flood-filling networks (Januszewski and others, 2018): a network that grows one object at a time from a seed, moving
its field of view to where the object goes on.

The network sees the image and the object as it is known so far (a logit a voxel), and gives that logit anew. The
procedure has one order: seeds as they are given; of the faces of a field of view those first that are likelier, equal
ones in the order -z, +z, -y, +y, -x, +x; places in the order in which they were found.

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
        self.head = head
        self.body = Chain(
            style.layer(channels + 1, width, kernel),
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
    move : the least probability at the centre of a face to go there
    take : the least probability of a voxel of the object
    settled : a voxel that was once seen below this probability does not rise again; 0: may do so
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
        if not 0 <= self.settled < 1:
            raise ValueError(f"settled must be at least 0 and below 1, got {self.settled}")

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
        found = []
        for face, (axis, sign) in enumerate((axis, sign) for axis in range(3) for sign in (-1, 1)):
            if self.step[axis]:
                place = list(centre)
                place[axis] += sign * self.step[axis]
                logit = float(state[tuple(place)])
                if logit >= _logit(self.move):
                    found.append((-logit, face, (place[0], place[1], place[2])))
        return [place for _, _, place in sorted(found)]

    def grow(self, say: Callable[[np.ndarray], np.ndarray], image: np.ndarray, seed: Point, free: np.ndarray) -> Any:
        """The state of one object from a seed. ``say`` is the network: (c + 1, z, y, x) to (z, y, x). Fields of view
        lie within the image, with centres in ``free``. The second array tells which voxels were seen."""
        shape = image.shape[1:]
        state, seen = self.begun(shape, seed), np.zeros(shape, bool)
        todo, known = deque([seed]), {seed}
        while todo:
            centre = todo.popleft()
            box = self.box(centre)
            if not free[centre] or any(s.start < 0 or s.stop > n for s, n in zip(box, shape, strict=True)):
                continue
            old = state[box].copy()
            new = say(np.concatenate([image[:, box[0], box[1], box[2]], old[None]]))
            if self.settled > 0:
                new = np.where(seen[box] & (old < _logit(self.settled)), np.minimum(new, old), new)
            state[box], seen[box] = new, True
            for place in self.onward(state, centre):
                if place not in known:
                    known.add(place)
                    todo.append(place)
        return state, seen

    def segment(self, module: Module, image: Any, seeds: Iterable[Sequence[int]]) -> np.ndarray:
        """Objects of an image (c, z, y, x), normalised as the network was taught: one after the other, voxels that are
        taken left to those before.

        Seeds lie half a field from the border at least, else they are passed over; so are those in objects. Returns
        labels (z, y, x) in uint32, numbered in the order of their seeds.
        """
        image = np.asarray(image, np.float32)
        if image.ndim != 4:
            raise ValueError(f"image must be (c, z, y, x), got {image.ndim} axes")
        labels = np.zeros(image.shape[1:], np.uint32)
        say, count = _saying(module), 0
        for z, y, x in seeds:
            seed = (int(z), int(y), int(x))
            if labels[seed]:
                continue
            state, seen = self.grow(say, image, seed, labels == 0)
            taken = seen & (state >= _logit(self.take)) & (labels == 0)
            if taken[seed] and int(taken.sum()) >= self.least:
                count += 1
                labels[taken] = count
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
    where nothing better is known. ``below``: where it is darker than around."""
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
