"""What a method learns from a sample, by its heads: crops with targets, and the losses of them.

Sample k is a function of the run's seed and of k alone. Procedures that learn otherwise have an object of this shape of
their own (:class:`emfast.recipes.Procedure`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..augmentation import Augmentation
from ..inference._constants import Constants
from ..nn import Geometry, Place
from ..recipes import Head, Method
from ..sampling import Crop, Piece, cut, generator

__all__ = ["Supervised", "labels_of", "losses"]

Outputs = Mapping[str, torch.Tensor]
Shape = tuple[int, int, int]

# How many pieces are looked at before a head is refused, how many crops of each, and how many of these with objects
# are enough where there are more crops.
_PIECES, _CROPS, _ENOUGH = 8, 32, 8


class Supervised:
    """Samples, losses of batches of them, and crops to judge the network by.

    A sample is a dict of float32 arrays: ``image`` (c, z, y, x), and for each head ``target/NAME`` and ``weight/NAME``.
    """

    def __init__(
        self, method: Method, pieces: Sequence[Piece], geometry: Geometry, constants: Constants, seed: int
    ) -> None:
        self.method, self.pieces, self.geometry, self.constants, self.seed = method, pieces, geometry, constants, seed
        self.patch = shape_of(method.patch)
        if not geometry.fits(self.patch):
            raise ValueError(
                f"patch must be {geometry.least} and multiples of {geometry.stride} more for this network, "
                f"got {self.patch}"
            )
        self.output = geometry.output(self.patch)
        channels = {int(piece.image.shape[0]) for piece in pieces}
        if channels != {method.channels}:
            most = max(channels)
            remedy = f"; a colour picture must be saved as grey values, or be learnt from with channels={most}"
            raise ValueError(
                f"images must have {method.channels} channels for this method, got {sorted(channels)}"
                f"{remedy if most > 1 else ''}"
            )
        for piece in pieces:
            for head in method.heads:
                labels_of(piece, head)
        self.known = method.sampler.prepare(pieces, self.patch)
        self.augmentations = _augmentations(method, pieces)
        for head in method.heads:
            self._check(head)
        self.places: Mapping[str, Place] = {}
        if any(method.auxiliary):
            with torch.device("meta"):
                self.places = method.network.build(method.channels, method.outputs()).places

    def sample(self, k: int) -> dict[str, np.ndarray]:
        """Sample k of the run."""
        rng = generator(self.seed, k)
        number, corner = self.method.sampler.draw(self.pieces, self.patch, rng, self.known)
        piece = self.pieces[number]
        augmentation = self.augmentations[np.dtype(piece.image.dtype)]
        around = self._around(piece)
        shape = _plus(self.patch, around)
        more = augmentation.margin(shape, piece.spacing)
        total = tuple(a + b for a, b in zip(around, more, strict=True))
        crop = cut(piece, [c - m for c, m in zip(corner, total, strict=True)], _plus(self.patch, total))
        return self.made(augmentation.apply(crop, shape, rng), around)

    def crop(self, piece: Piece, corner: Sequence[int]) -> dict[str, np.ndarray]:
        """The sample at a corner of a piece, as it is."""
        around = self._around(piece)
        return self.made(
            cut(piece, [c - m for c, m in zip(corner, around, strict=True)], _plus(self.patch, around)), around
        )

    def made(self, crop: Crop, around: Shape) -> dict[str, np.ndarray]:
        """The sample of a crop with so many voxels around the patch."""
        z, y, x = (slice(m, m + n) for m, n in zip(around, self.patch, strict=True))
        image = crop.image[:, z, y, x]
        sample = {"image": self.constants.normalised(image)}
        for head in self.method.heads:
            values, weights, _ = self._taught(head, crop, around)
            sample[f"target/{head.name}"], sample[f"weight/{head.name}"] = values, weights
        return sample

    def _taught(self, head: Head, crop: Crop, around: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a head is to say of the output voxels of a crop, its weights, and the labels there."""
        margin = head.target.margin(crop.spacing)
        room = zip(around, self.geometry.margin, margin, self.output, strict=True)
        box = tuple(slice(a + m - t, a + m + n + t) for a, m, t, n in room)
        name = head.labels or next(iter(crop.labels))
        labels, mask = (np.ascontiguousarray(a[name][box]) for a in (crop.labels, crop.masks))
        values, weights = _made(head.target, labels, mask, crop.spacing, margin)
        return values, weights, labels[tuple(slice(m, m + n) for m, n in zip(margin, self.output, strict=True))]

    def outputs(self, forward: Callable[[torch.Tensor], Outputs], batch: Outputs) -> Outputs:
        """What the network says of a batch; ``forward`` is the module, or what shares it among processes."""
        return forward(batch["image"])

    def loss(self, outputs: Outputs, batch: Outputs) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Of what the network says of a batch: all told, and by head."""
        return losses(self.method, outputs, batch, self.places)

    def _check(self, head: Head) -> None:
        """Refuse data of which a head would learn background alone, because its target looks farther around than pieces
        reach. What a few crops cannot tell is let pass; pieces and crops with the most room come first."""

        def room(piece: Piece) -> float:
            margin = head.target.margin(piece.spacing)
            return min(n / (2 * m + 1) for n, m in zip(piece.shape, margin, strict=True))

        found = False
        for piece in sorted(self.pieces, key=room, reverse=True)[:_PIECES]:
            corners, all_there_are = _corners(piece.shape, self.patch, self.output)
            counts = 0
            for corner in corners:
                says = self._says_of_objects(head, piece, corner)
                if says:
                    return
                counts += says is not None
            certain = all_there_are or (counts >= _ENOUGH and labels_of(piece, head) not in piece.masks)
            if not certain:
                return
            found = found or counts > 0
        if found:
            largest = max(self.pieces, key=room)
            margin = head.target.margin(largest.spacing)
            flat = " or per_section=True" if margin[0] and not getattr(head.target, "per_section", True) else ""
            raise ValueError(
                f"data must have known voxels of objects for head {head.name}: its target looks {margin} voxels "
                f"around, and in a piece of {largest.shape} none is left that counts; it takes larger pieces{flat}"
            )

    def _says_of_objects(self, head: Head, piece: Piece, corner: Sequence[int]) -> bool | None:
        """Whether voxels of objects count in a crop; None where it has none that are known."""
        around = self._around(piece)
        crop = cut(piece, [c - m for c, m in zip(corner, around, strict=True)], _plus(self.patch, around))
        name, inner = labels_of(piece, head), crop.inner(around)
        if not ((inner.labels[name] != 0) & inner.masks[name]).any():
            return None
        _, weights, labels = self._taught(head, crop, around)
        return bool(((weights > 0).any(0) & (labels != 0)).any())

    def _around(self, piece: Piece) -> Shape:
        """Voxels around the patch that targets must see, beyond what the network leaves away at its border."""
        margins = [head.target.margin(piece.spacing) for head in self.method.heads]
        most = (max(m[axis] for m in margins) for axis in range(3))
        z, y, x = (max(0, t - m) for t, m in zip(most, self.geometry.margin, strict=True))
        return z, y, x


def _augmentations(method: Method, pieces: Sequence[Piece]) -> dict[np.dtype, Augmentation]:
    """By the dtype of images: with their grey values, where the method says none."""
    by_dtype: dict[np.dtype, list[Any]] = {}
    for piece in pieces:
        by_dtype.setdefault(np.dtype(piece.image.dtype), []).append(piece.image)
    return {dtype: method.augmentation.of_images(images) for dtype, images in by_dtype.items()}


def _corners(whole: Shape, patch: Shape, output: Shape) -> tuple[list[tuple[int, ...]], bool]:
    """Corners of crops of which every voxel that is ever asked for is in one, and True; or some of them, where there
    are many: the middle ones, and others all over. From the middle to the ends."""
    axes = []
    for n, side, out in zip(whole, patch, output, strict=True):
        most = max(0, n - side)
        axes.append(np.unique(np.linspace(0, most, -(-most // out) + 1).round().astype(int)))
    middle = [(int(axis[-1]) / 2, n) for axis, n in zip(axes, whole, strict=True)]

    def far(corner: tuple[int, ...]) -> float:
        return max(abs(c - m) / n for c, (m, n) in zip(corner, middle, strict=True))

    count = math.prod(map(len, axes))
    if count > _CROPS:
        rows = np.unravel_index(np.linspace(0, count - 1, _CROPS - 8).round().astype(int), [len(a) for a in axes])
        some = zip(*(axis[row].tolist() for axis, row in zip(axes, rows, strict=True)), strict=True)
        inner = [axis[max(0, len(axis) // 2 - 1) :][:2].tolist() for axis in axes]
        return sorted({*some, *itertools.product(*inner)}, key=lambda c: (far(c), c)), False
    return sorted(itertools.product(*(axis.tolist() for axis in axes)), key=lambda c: (far(c), c)), True


def _made(target: Any, labels: np.ndarray, mask: np.ndarray, spacing: Any, margin: Shape) -> tuple[Any, Any]:
    """Values and weights without the margin; some targets need not make these voxels at all."""
    inner = getattr(target, "make_inner", None)
    if inner is not None:
        values, weights = inner(labels, mask, spacing=spacing, margin=margin)
        return values, weights
    values, weights = target.make(labels, mask, spacing=spacing)
    z, y, x = (slice(m, n - m) for m, n in zip(margin, labels.shape, strict=True))
    return values[:, z, y, x], weights[:, z, y, x]


def losses(
    method: Method, outputs: Outputs, batch: Outputs, places: Mapping[str, Place]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The sum over heads of their weight times the sum of their terms; and by head that sum of terms.

    Auxiliary outputs ``NAME@k`` count ``auxiliary[k - 1]`` times; the target of a voxel is that of the first voxel it
    stands for, by the ``places`` of outputs, and beyond the full target there is none.
    """
    by_head: dict[str, torch.Tensor] = {}
    for head in method.heads:
        target, weight = batch[f"target/{head.name}"], batch[f"weight/{head.name}"]
        by_head[head.name] = _terms(head, outputs[head.name], target, weight)
        for k, share in enumerate(method.auxiliary, 1):
            name = f"{head.name}@{k}"
            if share and name in outputs:
                if name not in places:
                    raise ValueError(f"places must say where the output {name} lies, got {', '.join(places) or 'none'}")
                coarse, fine = _shared(outputs[name].shape[2:], target.shape[2:], places[name], places[head.name])
                by_head[name] = share * _terms(head, outputs[name][coarse], target[fine], weight[fine])
    weights = {head.name: head.weight for head in method.heads}
    parts = [weights[name.partition("@")[0]] * value for name, value in by_head.items()]
    return torch.stack(parts).sum(), by_head


def _terms(head: Head, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.stack([term.weight * term.loss(logits, target, weight) for term in head.terms]).sum()


def _shared(coarse: Sequence[int], fine: Sequence[int], place: Place, whole: Place) -> tuple[Any, Any]:
    """Where an auxiliary output has a target, and where in the full one that is."""
    here, there = [], []
    for n, full, step, corner, origin in zip(coarse, fine, place.step, place.corner, whole.corner, strict=True):
        at = [k for k in range(n) if 0 <= corner + k * step - origin < full]
        if not at:
            raise ValueError(f"patch must be larger for auxiliary outputs: of {tuple(coarse)} voxels none has a target")
        here.append(slice(at[0], at[-1] + 1))
        there.append(slice(corner + at[0] * step - origin, corner + at[-1] * step - origin + 1, step))
    return (..., *here), (..., *there)


def labels_of(piece: Piece, head: Head) -> str:
    """The name of the labels of a piece that a head learns from."""
    name = head.labels
    if name and name not in piece.labels:
        raise ValueError(f"head {head.name} must have labels {name!r}, got {', '.join(piece.labels)} in {piece.name}")
    if not name and len(piece.labels) != 1:
        raise ValueError(f"head {head.name} must say which of {', '.join(piece.labels)} it learns from (labels)")
    return name or next(iter(piece.labels))


def shape_of(patch: Sequence[int]) -> Shape:
    """A patch as three sides."""
    if len(patch) != 3 or min(patch) < 1:
        raise ValueError(f"patch must be three sides (z, y, x), got {tuple(patch)}")
    z, y, x = patch
    return z, y, x


def _plus(shape: Shape, margin: Sequence[int]) -> Shape:
    z, y, x = (n + 2 * m for n, m in zip(shape, margin, strict=True))
    return z, y, x


def as_numpy(batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """For a file."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in batch.items()}
