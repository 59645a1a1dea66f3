"""What a method learns from a sample, by its heads: crops with targets, and the losses of them.

Sample k is a function of the run's seed and of k alone. Procedures that learn otherwise have an object of this shape of
their own (:class:`emfast.recipes.Procedure`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..inference._constants import Constants
from ..nn import Geometry, Place
from ..recipes import Head, Method
from ..sampling import Crop, Piece, cut, generator

__all__ = ["Supervised", "labels_of", "losses"]

Outputs = Mapping[str, torch.Tensor]
Shape = tuple[int, int, int]


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
            raise ValueError(f"images must have {method.channels} channels for this method, got {sorted(channels)}")
        for piece in pieces:
            for head in method.heads:
                labels_of(piece, head)
        self.known = method.sampler.prepare(pieces, self.patch)
        self.places: Mapping[str, Place] = {}
        if any(method.auxiliary):
            with torch.device("meta"):
                self.places = method.network.build(method.channels, method.outputs()).places

    def sample(self, k: int) -> dict[str, np.ndarray]:
        """Sample k of the run."""
        rng = generator(self.seed, k)
        number, corner = self.method.sampler.draw(self.pieces, self.patch, rng, self.known)
        piece = self.pieces[number]
        around = self._around(piece)
        shape = _plus(self.patch, around)
        more = self.method.augmentation.margin(shape, piece.spacing)
        total = tuple(a + b for a, b in zip(around, more, strict=True))
        crop = cut(piece, [c - m for c, m in zip(corner, total, strict=True)], _plus(self.patch, total))
        return self.made(self.method.augmentation.apply(crop, shape, rng), around)

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
            margin = head.target.margin(crop.spacing)
            room = zip(around, self.geometry.margin, margin, self.output, strict=True)
            box = tuple(slice(a + m - t, a + m + n + t) for a, m, t, n in room)
            name = head.labels or next(iter(crop.labels))
            labels, mask = (np.ascontiguousarray(a[name][box]) for a in (crop.labels, crop.masks))
            values, weights = _made(head.target, labels, mask, crop.spacing, margin)
            sample[f"target/{head.name}"], sample[f"weight/{head.name}"] = values, weights
        return sample

    def outputs(self, forward: Callable[[torch.Tensor], Outputs], batch: Outputs) -> Outputs:
        """What the network says of a batch; ``forward`` is the module, or what shares it among processes."""
        return forward(batch["image"])

    def loss(self, outputs: Outputs, batch: Outputs) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Of what the network says of a batch: all told, and by head."""
        return losses(self.method, outputs, batch, self.places)

    def _around(self, piece: Piece) -> Shape:
        """Voxels around the patch that targets must see, beyond what the network leaves away at its border."""
        margins = [head.target.margin(piece.spacing) for head in self.method.heads]
        most = (max(m[axis] for m in margins) for axis in range(3))
        z, y, x = (max(0, t - m) for t, m in zip(most, self.geometry.margin, strict=True))
        return z, y, x


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
