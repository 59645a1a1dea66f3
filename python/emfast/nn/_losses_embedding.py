"""The discriminative loss (De Brabandere 2017): voxels of an object close together, objects far apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ._loss import Loss, full, in_range, share, spread


@dataclass(frozen=True)
class Discriminative(Loss):
    """Of embeddings, the logits as they are, and instances by number (:class:`emfast.targets.Instances`).

    With the mean m of the embeddings e of each object, the mean over samples that have one of

    - pull: mean over objects of the mean over voxels of max(0, ||e - m|| - pull_margin)^2
    - push: mean over pairs of objects of max(0, 2 push_margin - ||m - m'||)^2
    - regular: mean over objects of ||m||

    each times its weight. Means over voxels are weighted by ``weight``. Background is no object, unless ``background``.
    """

    pull: float = 1.0
    push: float = 1.0
    regular: float = 0.001
    pull_margin: float = 0.5
    push_margin: float = 1.5
    background: bool = False

    def __post_init__(self) -> None:
        for name in ("pull", "push", "regular", "pull_margin", "push_margin"):
            in_range(getattr(self, name), name)

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        shape = (len(logits), 1, *logits.shape[2:])
        if tuple(target.shape) != shape:
            raise ValueError(f"target must be instances of shape {shape}, got {tuple(target.shape)}")
        logits = full(logits)
        weight = spread(weight, logits.shape).to(logits.dtype)[:, :1]
        losses = [self._sample(*item) for item in zip(logits, target, weight, strict=True)]
        found = [loss for loss in losses if loss is not None]
        return torch.stack(found).mean() if found else logits.flatten()[:0].sum()

    def _sample(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor | None:
        counts = weight > 0 if self.background else (weight > 0) & (target != 0)
        places = counts.flatten().nonzero()[:, 0]
        if len(places) == 0:
            return None
        voxels = logits.flatten(1).index_select(1, places).T  # (v, d)
        shares = weight.flatten().index_select(0, places)
        objects, owner = target.flatten().index_select(0, places).unique(return_inverse=True)
        sums = shares.new_zeros(len(objects)).index_add(0, owner, shares)
        means = voxels.new_zeros(len(objects), voxels.shape[1]).index_add(0, owner, voxels * shares[:, None])
        means = means / sums[:, None]
        apart = torch.linalg.vector_norm(voxels - means.index_select(0, owner), dim=1)
        pulled = (apart - self.pull_margin).clamp_min(0) ** 2 * shares
        pull = (sums.new_zeros(len(objects)).index_add(0, owner, pulled) / sums).mean()
        first, second = torch.triu_indices(len(objects), len(objects), 1, device=logits.device)
        gaps = torch.linalg.vector_norm(means[first] - means[second], dim=1)
        pushed = (2 * self.push_margin - gaps).clamp_min(0) ** 2
        push = share(pushed.sum(), pushed.new_tensor(float(len(first))))
        regular = torch.linalg.vector_norm(means, dim=1).mean()
        return self.pull * pull + self.push * push + self.regular * regular
