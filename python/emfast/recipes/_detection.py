"""How Mask R-CNN is taught and used: boxes and masks of the objects of sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..sampling import Piece
from ._method import Method, Procedure

if TYPE_CHECKING:
    from ..nn import Geometry

__all__ = ["Detection", "boxes_of"]


@dataclass(frozen=True)
class Detection(Procedure):
    """Objects of a section with a score of ``least`` or more; of two that overlap the one of higher score has the
    voxels. A voxel is in an object from a mask of ``inside`` on."""

    least: float = 0.5
    inside: float = 0.5

    def teach(self, method: Method, pieces: Sequence[Piece], geometry: Geometry, constants: Any, seed: int) -> Any:
        """See :meth:`Procedure.teach`."""
        from ._detection_lessons import Lessons

        return Lessons(method, pieces, geometry, constants, seed)

    def infer(self, module: Any, image: np.ndarray, *, spacing: Sequence[float] = (1, 1, 1)) -> dict[str, np.ndarray]:
        """Objects of each section by number, (1, z, y, x), of a normalised image (c, z, y, x)."""
        device = next(module.parameters()).device
        labels = np.zeros(image.shape[1:], np.uint32)
        with torch.inference_mode():
            for z in range(image.shape[1]):
                (found,) = module.detect(torch.from_numpy(np.ascontiguousarray(image[None, :, z : z + 1])).to(device))
                labels[z] = self.painted(
                    {name: value.float().cpu().numpy() for name, value in found.items()}, labels[z]
                )
        return dict.fromkeys(module.places, labels[None])

    def painted(self, found: Mapping[str, np.ndarray], section: np.ndarray) -> np.ndarray:
        """A section with its objects, the likeliest on top, numbered from it on."""
        out = np.zeros_like(section)
        order = np.argsort(-found["scores"], kind="stable")
        order = order[found["scores"][order] >= self.least]
        for number, k in reversed(list(enumerate(order, 1))):
            out[found["masks"][k, 0] >= self.inside] = number
        return out


def boxes_of(numbers: torch.Tensor) -> dict[str, torch.Tensor]:
    """The objects of a section (y, x) as torchvision has them: boxes (x, y, x, y) that end beyond the last voxel, the
    class 1, and masks."""
    ids = numbers.unique()
    masks = numbers == ids[ids > 0][:, None, None]
    boxes = []
    for mask in masks:
        y, x = mask.nonzero(as_tuple=True)
        boxes.append(torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]))
    found = torch.stack(boxes).float() if boxes else numbers.new_zeros((0, 4)).float()
    return {
        "boxes": found,
        "labels": torch.ones(len(masks), dtype=torch.int64, device=numbers.device),
        "masks": masks.to(torch.uint8),
    }
