"""A method as settings: network, heads, augmentation, optimiser, inference. A recipe is a method with its paper and a
decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .._settings import Checked, Kind, override
from ..augmentation import Augmentation
from ..nn import Network
from ..nn.losses import Loss
from ..sampling import Piece, Sampler, Uniform
from ..targets import Target


@dataclass(frozen=True)
class Term:
    """A loss of a head, and what it counts."""

    loss: Loss
    weight: float = 1.0


@dataclass(frozen=True)
class Head(Checked):
    """An output of the network: what it is to say, how that is judged, and what is made of the logits in the end.

    ``labels`` names the labels of a piece it learns from; empty for the only ones there are. The first output channels
    are the target's, in its order; ``channels`` where there are others (embeddings).
    """

    name: str
    target: Target
    terms: tuple[Term, ...]
    activation: Literal["sigmoid", "softmax", "tanh", "none"] = "sigmoid"
    weight: float = 1.0
    labels: str = ""
    channels: int | None = None

    @property
    def outputs(self) -> int:
        return self.target.channels if self.channels is None else self.channels


@dataclass(frozen=True)
class Optimiser(Checked):
    """``rate`` is multiplied by the schedule: ``constant``, ``poly`` (1 - t)^power, ``cosine``, ``step`` (times
    ``gamma`` at each of ``milestones``, shares of all steps); ``warmup`` steps rise from 0."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.999)
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Literal["constant", "poly", "cosine", "step"] = "constant"
    power: float = 0.9
    gamma: float = 0.1
    milestones: tuple[float, ...] = ()
    warmup: int = 0
    clip: float | None = None


@dataclass(frozen=True)
class Normalisation(Checked):
    """How images become numbers around 0: ``(image - shift) / scale``; ``standard`` takes mean and deviation of all
    training images, ``unit`` 0 and the dtype's largest value, ``symmetric`` maps that range to -1 … 1. Never per
    patch."""

    kind: Literal["standard", "unit", "symmetric"] = "standard"


@dataclass(frozen=True)
class Inference(Checked):
    """How a volume is predicted: tiles of ``tile`` voxels of input (None: what fits), joined by ``blend``; the mean of
    the outputs for all members of a symmetry group (``xyflips``: 4, ``flips`` along z too and ``xy8`` of the square: 8,
    ``xy8z``: 16); on one or three axes (a 2D network)."""

    tile: tuple[int, ...] | None = None
    blend: Literal["crop", "linear", "gaussian", "bump"] = "crop"
    overlap: float = 0.5
    symmetries: Literal["none", "xyflips", "flips", "xy8", "xy8z"] = "none"
    reduce: Literal["mean", "min", "max", "median"] = "mean"
    axes: Literal["z", "zyx"] = "z"
    z_median: int = 1


@dataclass(frozen=True)
class Procedure(Kind):
    """How a network is taught and used, where it is not simply by its heads (flood filling, detection).

    ``teach`` returns an object with the methods of ``emfast.training._supervised.Supervised``: ``sample(k)``, arrays by
    name; ``crop(piece, corner)``, a sample to judge by; ``outputs(forward, batch)``, what the network says;
    ``loss(outputs, batch)``, a scalar and its parts; and ``patch`` and ``method``.
    """

    def teach(self, method: Method, pieces: Sequence[Piece], geometry: Any, constants: Any, seed: int) -> Any:
        """Samples and losses of a run."""
        raise NotImplementedError

    def infer(self, module: Any, image: Any, *, spacing: Sequence[float] = (1, 1, 1)) -> dict[str, Any]:
        """Outputs by name, (c, z, y, x), of a normalised image (c, z, y, x) that is in memory."""
        raise NotImplementedError


@dataclass(frozen=True)
class Method:
    """All settings of a method; as YAML too.

    ``patch`` is what the network is given, (z, y, x); ``spacing`` what its authors had, in nanometres. ``auxiliary``
    weighs the auxiliary outputs of the network, from the finest. ``steps`` and ``batch`` are the paper's where known;
    ``ema`` is the decay of averaged weights.
    """

    network: Network
    heads: tuple[Head, ...]
    patch: tuple[int, ...]
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampler: Sampler = field(default_factory=Uniform)
    optimiser: Optimiser = field(default_factory=Optimiser)
    normalisation: Normalisation = field(default_factory=Normalisation)
    inference: Inference = field(default_factory=Inference)
    procedure: Procedure | None = None
    spacing: tuple[float, ...] | None = None
    channels: int = 1
    batch: int = 1
    accumulate: int = 1
    steps: int = 100_000
    auxiliary: tuple[float, ...] = ()
    ema: float | None = None

    def outputs(self) -> dict[str, int]:
        """Channels by head, as :meth:`emfast.nn.Network.build` takes them."""
        return {head.name: head.outputs for head in self.heads}


@dataclass(frozen=True)
class Recipe:
    """A method of the literature: ``emfast.recipes.NAME`` as an object.

    ``number`` is that of the survey's method cards; 0 for a baseline. ``decode(outputs, *, spacing, ...)`` makes labels
    of activated outputs by head, arrays (c, z, y, x) in float32; its further parameters have defaults and ranges, as
    the decoders of :mod:`emfast.segmentation` have.

    ``segment(outputs, target, *, spacing, ...)`` does so block by block, where that is possible: volumes or places by
    head in, a volume or place out, further options as of :func:`emfast.map_blocks`. It gives what the target is opened
    as. None: labels are made in memory.

    ``copies`` is how much memory ``decode`` takes, as a multiple of the outputs in float32, they included: measured
    on volumes of which half is background.

    ``changed`` says what differs from the paper, ``unknown`` what it does not tell. ``small`` has other settings, by
    place as :func:`emfast._settings.override` has them, in that order: narrow levels and small patches, for laptops and
    tests.
    """

    name: str
    title: str
    paper: str
    number: int
    task: str
    method: Method
    decode: Callable[..., Any]
    changed: str = ""
    unknown: str = ""
    segment: Callable[..., Any] | None = None
    small: Mapping[str, Any] = field(default_factory=dict)
    copies: int = 8

    def shrunk(self) -> Method:
        """The small variant of the method."""
        method = self.method
        for place, value in self.small.items():
            method = override(method, place, value)
        return method
