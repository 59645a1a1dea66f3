"""How a flood-filling network is taught and used: one object at a time, from a seed, in moves.

A sample is a crop with room for a step to each side, and the object of its middle. The network sees the middle first,
then each face where the object is by then likely enough to go on; what it says there is judged, and is what the next
move begins with. Gradients do not go from move to move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..nn import FloodFill, edges, peaks
from ..sampling import Piece
from ..segmentation import consensus
from ._method import Method, Procedure

if TYPE_CHECKING:
    from ..nn import Geometry, Module

__all__ = ["Flooding"]

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Flooding(Procedure):
    """Flood filling.

    Attributes
    ----------
    flood : how objects are grown, and what the network sees at a time
    separation : of seeds from each other, in voxels of a section
    window : side of the box, within sections, whose mean tells how strong an edge must be
    agreement : objects are grown twice, from the seeds in their order and in the opposite one, and are what both agree
        on (oversegmentation consensus)
    """

    flood: FloodFill = field(default_factory=FloodFill)
    separation: float = 8.0
    window: int = 49
    agreement: bool = False

    def teach(self, method: Method, pieces: Sequence[Piece], geometry: Geometry, constants: Any, seed: int) -> Any:
        """See :meth:`Procedure.teach`."""
        from ._flooding_lessons import Lessons

        return Lessons(self, method, pieces, geometry, constants, seed)

    def infer(
        self, module: Module, image: np.ndarray, *, spacing: Sequence[float] = (1, 1, 1)
    ) -> dict[str, np.ndarray]:
        """Objects by number, (1, z, y, x), of a normalised image (c, z, y, x); its borders are mirrored around it."""
        half = [n // 2 for n in self.flood.field]
        wide = np.pad(np.asarray(image, np.float32), [(0, 0), *((h, h) for h in half)], mode="reflect")
        places = self.seeds(image[0], spacing)
        seeds = [tuple(p + h for p, h in zip(place, half, strict=True)) for place in places]
        inner = tuple(slice(h, h + n) for h, n in zip(half, image.shape[1:], strict=True))
        labels = self.flood.segment(module, wide, seeds)[inner]
        if self.agreement:
            again = self.flood.segment(module, wide, seeds[::-1])[inner]
            labels = consensus([labels, again])
        return dict.fromkeys(module.places, labels[None])

    def seeds(self, image: np.ndarray, spacing: Sequence[float]) -> list[tuple[int, int, int]]:
        """Middles of what lies between edges, the widest first."""
        found = edges(image, window=self.window)
        return peaks(found, spacing=spacing, separation=self.separation * spacing[-1])


def visited(
    flood: FloodFill, say: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, faces: Sequence[int]
) -> dict[str, torch.Tensor]:
    """The moves of a batch (n, c, z, y, x), side by side: what the network says at each, where, and whether a sample
    goes there; and the state they leave.

    Returns ``state`` (n, 1, z, y, x), ``moves`` (n, m, z, y, x) of the field of view, ``moved`` (n, m) and ``places``
    (m, 3).
    """
    shape = tuple(image.shape[2:])
    middle = tuple(n // 2 for n in shape)
    state = torch.from_numpy(flood.begun(shape, middle)).to(image).expand(len(image), 1, *shape).clone()
    least = float(np.log(flood.move / (1 - flood.move)))
    places, moves, moved = [middle], [], [torch.ones(len(image), dtype=torch.bool, device=image.device)]
    for face in faces:
        axis, sign = divmod(face, 2)
        if flood.step[axis]:
            way = (2 * sign - 1) * flood.step[axis]
            places.append(tuple(n + way * (k == axis) for k, n in enumerate(middle)))
    for k, place in enumerate(places):
        z, y, x = flood.box(place)
        if k:
            here = (slice(None), 0, *place)
            moved.append(state[here] >= least)
        new = say(torch.cat([image[:, :, z, y, x], state[:, :, z, y, x]], 1)).float()
        moves.append(new)
        goes = moved[-1][:, None, None, None, None]
        state[:, :, z, y, x] = torch.where(goes, new.detach(), state[:, :, z, y, x])
    return {
        "state": state,
        "moves": torch.cat(moves, 1),
        "moved": torch.stack(moved, 1).float(),
        "places": torch.tensor(places, device=image.device).float(),
    }
