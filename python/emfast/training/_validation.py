"""What a network is judged by while it learns: losses and simple scores on fixed crops of the validation pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..recipes import Head
from ..sampling import Piece

__all__ = ["Validation", "corners_of"]


def corners_of(pieces: Sequence[Piece], patch: Sequence[int], most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Corners of patches that lie side by side in the pieces, evenly chosen where there are more than that."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for number, piece in enumerate(pieces):
        axes = []
        for n, side in zip(piece.shape, patch, strict=True):
            count = max(1, n // side)
            spare = max(0, n - count * side)
            axes.append([k * side + round(spare * (k + 0.5) / count) if n >= side else 0 for k in range(count)])
        found += [(number, corner) for corner in itertools.product(*axes)]
    if len(found) <= most:
        return found
    return [found[int(k)] for k in np.linspace(0, len(found) - 1, most).round()]


class Validation:
    """``Validation(...)(module)`` is a dict of scores: ``loss``, ``loss/HEAD`` and others of each head.

    Counts are of all crops together: ``iou`` and ``dice`` of what a sigmoid says at 0.5, for affinities those of the
    edges that are cut; ``accuracy`` and the mean ``iou`` of the classes after background of a softmax; of a tanh those
    of the voxels above 0.
    """

    def __init__(self, teaching: Any, pieces: Sequence[Piece], device: Any, kind: Any, most: int = 16) -> None:
        self.teaching, self.device, self.kind = teaching, device, kind
        self.pieces = pieces
        self.corners = corners_of(pieces, teaching.patch, most)
        crops = [teaching.crop(pieces[number], corner) for number, corner in self.corners]
        known = [_known(crop) for crop in crops]
        if not any(known):
            raise ValueError("validation must have voxels that are known, the masks leave none in its crops")
        self.crops = [crop for crop, count in zip(crops, known, strict=True) if count]
        self.corners = [corner for corner, count in zip(self.corners, known, strict=True) if count]
        self.losses: list[float] = []  # of each crop, the last time

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, module: Any) -> dict[str, float]:
        before = module.training
        module.eval()
        totals: dict[str, list[float]] = {}
        counts: dict[str, np.ndarray] = {}
        self.losses = []
        for crop in self.crops:
            batch, outputs = self.outputs(module, crop)
            total, by_name = self.teaching.loss(outputs, batch)
            self.losses.append(float(total))
            for name, value in {"loss": total, **{f"loss/{n}": v for n, v in by_name.items()}}.items():
                totals.setdefault(name, []).append(float(value))
            for head in self.teaching.method.heads:
                found = _counts(head, outputs[head.name], batch[f"target/{head.name}"], batch[f"weight/{head.name}"])
                if found is not None:
                    counts[head.name] = counts.get(head.name, 0) + found
        module.train(before)
        scores = {name: float(np.mean(values)) for name, values in totals.items()}
        for name, table in counts.items():
            scores |= {f"{name}/{score}": value for score, value in _scores(table).items()}
        return scores

    def outputs(self, module: Any, crop: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A batch of one crop, and what the module says of it."""
        batch = {name: torch.from_numpy(np.ascontiguousarray(array))[None] for name, array in crop.items()}
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with torch.autocast(torch.device(self.device).type, self.kind, enabled=self.kind is not None):
            outputs = self.teaching.outputs(module, batch)
        return batch, {name: value.float() for name, value in outputs.items()}


def _known(crop: dict[str, np.ndarray]) -> int:
    """Voxels that count; 1 where a procedure has weights of its own."""
    weights = [array for name, array in crop.items() if name.startswith("weight/")]
    return max((int(np.count_nonzero(array)) for array in weights), default=1)


def _counts(head: Head, logits: Any, target: Any, weight: Any) -> np.ndarray | None:
    """Known voxels by class of the target and of the output: (c, 2, 2), or (classes, classes) of a softmax."""
    channels = target.shape[1]
    known = (weight > 0).expand_as(target)
    if head.activation == "none" or logits.shape[1] < channels:
        return None
    if head.activation == "softmax" and logits.shape[1] > 1:
        size = logits.shape[1]
        truth = target.argmax(1) if channels == size else _classes(target, size)
        found = logits.argmax(1) + size * truth
        counted = torch.bincount(found[known[:, 0]].flatten(), minlength=size * size)
        return np.asarray(counted.cpu().numpy().reshape(size, size))
    limit = 0.0 if head.activation == "tanh" else 0.5
    cut = hasattr(head.target, "offsets")
    truth, found = target > limit, logits[:, :channels] > 0
    pairs = (2 * (truth ^ cut).long() + (found ^ cut).long())[known]
    return np.asarray(torch.bincount(pairs.flatten(), minlength=4).cpu().numpy().reshape(2, 2))


def _classes(target: Any, size: int) -> Any:
    """Of a channel for each class after background, or one of class numbers."""
    if target.shape[1] == 1:
        return target[:, 0].long().clamp(0, size - 1)
    return torch.where(target.amax(1) > 0, target.argmax(1) + 1, 0)


def _scores(table: np.ndarray) -> dict[str, float]:
    """Of a table of truth by output; the first class is background."""
    both = np.diag(table).astype(float)
    union = table.sum(0) + table.sum(1) - both
    ious = [float(b / u) for b, u in zip(both[1:], union[1:], strict=True) if u]
    scores = {"iou": float(np.mean(ious)) if ious else 1.0, "accuracy": float(both.sum() / max(1, table.sum()))}
    if len(table) == 2:
        scores["dice"] = 2 * scores["iou"] / (1 + scores["iou"])
    return scores
