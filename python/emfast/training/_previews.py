"""Pictures of how a network does: image, target and output of a validation crop, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _png
from ..inference._activation import activated
from ..recipes import Head
from ._hooks import Hook

if TYPE_CHECKING:
    from ._loop import Loop
    from ._validation import Validation

__all__ = ["Previews", "panels"]

_SMALLEST = 192  # pixels of a panel's shorter side at least


class Previews(Hook):
    """``previews/STEP.png`` at each validation, of its crop in the middle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "previews"

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        self.folder.mkdir(exist_ok=True)
        shown = panels(loop.validation, loop.judged, len(loop.validation.crops) // 2)
        _png.write(self.folder / f"{loop.step:07d}.png", beside([picture for _, picture in shown]))


def panels(validation: Validation, module: Any, number: int) -> list[tuple[str, np.ndarray]]:
    """The middle sections of a crop: image, and target and output of each head, with their names."""
    import torch

    before = module.training
    module.eval()
    with torch.no_grad():
        _, outputs = validation.outputs(module, validation.crops[number])
    module.train(before)
    crop, method = validation.crops[number], validation.teaching.method
    image = crop["image"]
    z, y, x = (slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(image.shape[1:], _inner(crop), strict=True))
    shown = [("image", _grey(image[:1, z, y, x]))]
    for head in method.heads:
        found = activated(head, outputs[head.name])[0].cpu().numpy()
        shown.append((f"{head.name}, target", _picture(crop[f"target/{head.name}"], head)))
        shown.append((f"{head.name}, output", _picture(found, head)))
    return [(name, _enlarged(picture)) for name, picture in shown]


def _inner(crop: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    first = next(array for name, array in crop.items() if name.startswith("target/"))
    return tuple(first.shape[1:])


def _grey(image: np.ndarray) -> np.ndarray:
    """A section from its darkest to its brightest hundredth."""
    section = image[0, image.shape[1] // 2]
    low, high = np.percentile(section, (1, 99))
    scaled = np.clip((section - low) / max(float(high - low), 1e-6), 0, 1)
    return np.repeat(np.rint(255 * scaled).astype(np.uint8)[..., None], 3, axis=-1)


def _picture(values: np.ndarray, head: Head) -> np.ndarray:
    """Up to three channels as colours; -1 to 1 of a tanh as black to white."""
    section = values[:3, values.shape[1] // 2].astype(np.float32)
    if head.activation == "tanh":
        section = (section + 1) * np.float32(0.5)
    elif head.activation in ("none", "softmax") or values.max() > 1:
        low, high = float(section.min()), float(section.max())
        section = (section - np.float32(low)) / np.float32(max(high - low, 1e-6))
    scaled = np.rint(255 * np.clip(section, 0, 1)).astype(np.uint8)
    if len(scaled) == 2:
        scaled = np.concatenate([scaled, np.zeros_like(scaled[:1])])
    return np.moveaxis(np.repeat(scaled, 3, axis=0) if len(scaled) == 1 else scaled, 0, -1)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    factor = max(1, -(-_SMALLEST // min(picture.shape[:2])))
    return np.ascontiguousarray(picture.repeat(factor, 0).repeat(factor, 1))


def beside(pictures: list[np.ndarray]) -> np.ndarray:
    """In a row, with white between them."""
    height = max(picture.shape[0] for picture in pictures)
    row: list[np.ndarray] = []
    for picture in pictures:
        filled = np.full((height, picture.shape[1], 3), 255, np.uint8)
        filled[: picture.shape[0]] = picture
        row += [filled, np.full((height, 4, 3), 255, np.uint8)]
    return np.concatenate(row[:-1], axis=1)
