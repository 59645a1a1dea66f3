"""A method for a dataset, by rules of thumb: what is in the data decides patch, levels, batch and targets.

The rules for patch, pooling and batch are those of nnU-Net (Isensee 2021): the patch has the aspect of the median
image, is pooled along an axis while its features keep 4 voxels and its spacing is within twice the finest, and shrinks
until training fits into memory; a batch is at least 2, and at most 5 % of the voxels there are. The targets are chosen
from the labels: affinities where objects fill the volume; the mask and its contours where they are sparse; the mask
where there are no instances. Augmentation is that of the recipes of this package: turns where voxels and patch have
equal sides, flips elsewhere; bends and grey values of any data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn, targets
from .._engine.plan import bytes_of
from ..augmentation import Augmentation, Brightness, Contrast, Elastic, Flip, Gamma, Noise, Rotate
from ..nn import losses
from ..recipes import Head, Inference, Method, Optimiser, Term
from ..sampling import Piece
from ._pieces import check_ids, pieces_of, tell_odd_image

__all__ = ["Fingerprint", "fingerprint", "plan"]

_ANISOTROPIC = 3.0  # ratio of spacings from which sections are a plane of their own
_EDGE = 4  # voxels that features keep at least
_WIDTH, _WIDEST = 32, 320
_LOOK = 1 << 24  # voxels of labels that are looked at in a piece
_BEND, _BENT = 32.0, 2.0  # voxels of the finest spacing between control points, and by which these move
_LONG = ((0, -9, 0), (0, 0, -9), (-3, 0, 0))


@dataclass(frozen=True)
class Fingerprint:
    """What is in a dataset.

    Attributes
    ----------
    shape, spacing : (z, y, x)
        Medians.
    voxels : int
        In all.
    channels : int
    filled : float
        The share of voxels that are labelled.
    objects : int
        The most different ids in a piece.
    touching : float
        The share of voxels at a face between two objects.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    voxels: int
    channels: int
    filled: float
    objects: int
    touching: float

    @property
    def anisotropy(self) -> float:
        return max(self.spacing) / min(self.spacing)

    @property
    def apart(self) -> bool:
        """Whether sections are a plane of their own."""
        return self.anisotropy > _ANISOTROPIC or self.shape[0] == 1

    @property
    def kind(self) -> str:
        """``mask``, ``dense`` instances or ``sparse`` ones."""
        if self.objects <= 1:
            return "mask"
        return "dense" if self.filled > 0.5 else "sparse"

    def __str__(self) -> str:
        sides, nm = " x ".join(map(str, self.shape)), " x ".join(f"{s:g}" for s in self.spacing)
        return (
            f"median shape {sides}, spacing {nm} nm (ratio {self.anisotropy:.3g}); {100 * self.filled:.3g} % labelled, "
            f"{self.objects} objects: {self.kind}"
        )


def fingerprint(pieces: Sequence[Piece], labels: str = "") -> Fingerprint:
    """Of the labels of that name; empty for the only ones."""
    shape = np.median([piece.shape for piece in pieces], axis=0)
    spacing = np.median([piece.spacing for piece in pieces], axis=0)
    filled, objects, touching, seen = 0, 0, 0, 0
    for piece in pieces:
        name = labels or next(iter(piece.labels))
        depth = max(1, min(piece.shape[0], _LOOK // (piece.shape[1] * piece.shape[2])))
        first = (piece.shape[0] - depth) // 2
        found = np.asarray(piece.labels[name][first : first + depth, :, :])
        filled += int(np.count_nonzero(found))
        objects = max(objects, len(np.unique(found[found != 0])))
        ahead = (found[..., 1:] != found[..., :-1]) & (found[..., 1:] != 0) & (found[..., :-1] != 0)
        touching += int(np.count_nonzero(ahead))
        seen += found.size
    return Fingerprint(
        shape=tuple(int(n) for n in shape),
        spacing=tuple(float(s) for s in spacing),
        voxels=sum(math.prod(piece.shape) for piece in pieces),
        channels=int(pieces[0].image.shape[0]),
        filled=filled / max(1, seen),
        objects=objects,
        touching=touching / max(1, seen),
    )


def plan(
    data: Any, *, memory: str | float = "8GB", labels: str = "", steps: int = 20_000, spacing: Any = None
) -> tuple[Method, list[str]]:
    """A method for a dataset.

    Parameters
    ----------
    data : as of :func:`emfast.train`
    memory : str or number
        That training may take on its device.
    labels : str
        Which labels are learnt; empty for the only ones.
    steps : int
    spacing : (z, y, x) in nanometres, optional
        Of the voxels, in the place of what files say.

    Returns
    -------
    method : Method
    words : list of str
        What was found and decided, and why.
    """
    pieces = pieces_of(data, spacing=spacing)
    for piece in pieces:
        check_ids(piece, labels or next(iter(piece.labels)))
        tell_odd_image(piece)
    of = fingerprint(pieces, labels)
    heads, words = _heads(of, labels)
    patch, strides, kernels = _patch(of, bytes_of(memory), heads)
    network = _network(strides, kernels)
    cost = nn.cost(network, of.channels, {head.name: head.outputs for head in heads}, patch)
    room = bytes_of(memory) - 16 * cost.parameters
    share = int(0.05 * of.voxels / math.prod(patch))
    batch = max(2, min(int(room / cost.activations), share))
    said = [f"{of}", *words, f"patch {patch}, {len(strides)} levels, batch {batch}: {cost.parameters:,} parameters"]
    augmentation, told = _augmentation(of, patch)
    said.append(told)
    if math.prod(patch) < 0.25 * math.prod(of.shape):
        said.append("the patch is less than a quarter of an image: a first stage at low resolution may help")
    method = Method(
        network=network,
        heads=heads,
        patch=patch,
        augmentation=augmentation,
        optimiser=Optimiser("adamw", 1e-3, schedule="poly", weight_decay=1e-4, warmup=min(500, steps // 20), clip=12.0),
        inference=Inference(tile=patch, blend="gaussian", symmetries="flips"),
        spacing=of.spacing,
        channels=of.channels,
        batch=batch,
        steps=steps,
    )
    return method, said


def _heads(of: Fingerprint, labels: str) -> tuple[tuple[Head, ...], list[str]]:
    bce, overlap = Term(losses.BinaryCrossEntropy()), Term(losses.Dice())
    flat = of.shape[0] == 1
    if of.kind == "mask":
        words = "one kind of object: its mask"
        if of.filled > 0.5:
            words += (
                f"; it is {100 * of.filled:.0f} % of the image: if these are cells parted by membranes, the recipe "
                "membranes is for them"
            )
        return (Head("mask", targets.Semantic(), (bce, overlap), labels=labels),), [words]
    if of.kind == "dense":
        near = ((0, -1, 0), (0, 0, -1)) if flat else ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
        far = tuple(step for step in _LONG if not flat or step[0] == 0)
        affinities = targets.Affinities(offsets=near + far)
        words = "objects fill the volume: affinities, nearest and longer"
        return (Head("affinities", affinities, (bce,), labels=labels),), [words]
    contour = targets.Contour(per_section=of.apart)
    heads = (
        Head("mask", targets.Semantic(), (bce, overlap), labels=labels),
        Head("contour", contour, (bce,), labels=labels),
    )
    return heads, ["objects are sparse: their mask and contours, from whose difference seeds are grown"]


Sides = tuple[int, int, int]


def _augmentation(of: Fingerprint, patch: Sides) -> tuple[Augmentation, str]:
    """What leaves the data as they may be; and it in words."""

    def alike(axes: Sequence[int]) -> bool:
        lengths = [of.spacing[axis] for axis in axes]
        return len({patch[axis] for axis in axes}) == 1 and max(lengths) < 1.01 * min(lengths)

    square = alike((1, 2))
    if alike((0, 1, 2)):
        flip, words = Flip("cube"), "flips and exchanges of all axes"
    elif square:
        flip, words = Flip("xy8" if of.shape[0] == 1 else "xy8z"), "flips and quarter turns of sections"
    else:
        flip, words = Flip("xyflips" if of.shape[0] == 1 else "flips"), "flips"
    angle = 180.0 if square else 15.0  # in a patch that is longer than wide the corners of a turned one are missing
    finest = min(of.spacing)
    z, y, x = (finest / s for s in of.spacing)
    bend = Elastic(
        (0.0 if of.apart else _BEND * z, max(1.0, _BEND * y), max(1.0, _BEND * x)),
        (0.0 if of.apart else _BENT * z, _BENT * y, _BENT * x),
    )
    tones = (Contrast(0.8, 1.25), Brightness(0.1), Gamma(0.8, 1.25), Noise(0.0, 0.05))
    where = "within sections, all alike" if of.apart else "in space"
    said = (
        f"augmentation: {words}, turns of sections by up to {angle:.0f} degrees, elastic {where}; contrast, "
        "brightness, gamma, noise"
    )
    return Augmentation((flip, Rotate(angle), bend, *tones)), said


def _patch(of: Fingerprint, memory: int, heads: tuple[Head, ...]) -> tuple[Sides, list[Sides], list[Sides]]:
    """The largest patch of the aspect of the data whose training fits twice; strides and kernels of its levels."""
    finest = min(of.spacing)
    cube = 256.0 if of.shape[0] > 1 else 512.0
    sides = [min(float(n), cube * finest / s) for n, s in zip(of.shape, of.spacing, strict=True)]
    outputs = {head.name: head.outputs for head in heads}
    while True:
        patch, strides, kernels = _levels([max(1, int(side)) for side in sides], of.spacing)
        cost = nn.cost(_network(strides, kernels), of.channels, outputs, patch)
        if 16 * cost.parameters + 2 * cost.activations <= memory or max(patch) <= 2 * _EDGE:
            return patch, strides, kernels
        ratios = [p / n if p > 2 * _EDGE else 0.0 for p, n in zip(patch, of.shape, strict=True)]
        longest = max(range(3), key=lambda axis: (ratios[axis], patch[axis]))
        sides = [float(p) for p in patch]
        sides[longest] = max(1.0, patch[longest] - _total(strides, longest))


def _levels(sides: list[int], spacing: Sequence[float]) -> tuple[Sides, list[Sides], list[Sides]]:
    """Strides and kernels of the levels, and the patch as multiples of all strides."""
    now, apart = list(sides), list(spacing)
    strides: list[Sides] = []
    kernels: list[Sides] = []
    while True:
        finest = min(s for s, n in zip(apart, now, strict=True) if n > 1) if max(now) > 1 else min(apart)
        z, y, x = (3 if s < 2 * finest and n > 1 else 1 for s, n in zip(apart, now, strict=True))
        kernels.append((z, y, x))
        can = [n >= 2 * _EDGE and s < 2 * finest for s, n in zip(apart, now, strict=True)]
        if not any(can) or len(strides) == 5:
            strides.append((1, 1, 1))  # of the last level, where it does not count
            break
        z, y, x = (2 if c else 1 for c in can)
        strides.append((z, y, x))
        now = [n // f for n, f in zip(now, strides[-1], strict=True)]
        apart = [s * f for s, f in zip(apart, strides[-1], strict=True)]
    z, y, x = (max(1, n // _total(strides, axis)) * _total(strides, axis) for axis, n in enumerate(sides))
    return (z, y, x), strides, kernels


def _total(strides: Sequence[Sides], axis: int) -> int:
    return math.prod(stride[axis] for stride in strides)


def _network(strides: Sequence[Sides], kernels: Sequence[Sides]) -> Any:
    levels = tuple(
        nn.Level(min(_WIDEST, _WIDTH * 2**k), kernel=kernel, stride=stride)
        for k, (stride, kernel) in enumerate(zip(strides, kernels, strict=True))
    )
    return nn.UNet(levels=levels, norm="instance", activation="leaky")
