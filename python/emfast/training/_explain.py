"""What a method will take, before anything runs: how far it sees, parameters, memory, time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .. import _settings, nn
from .._engine.plan import in_words
from .._progress import span
from ..inference._layout import layout
from ..inference._symmetry import group, shift_of
from ..nn.running import usual_precision
from ..recipes import Method
from ._supervised import shape_of
from ._team import device_of
from ._train import method_of

__all__ = ["Explanation", "explain"]

_STATES = {"adam": 2, "adamw": 2, "sgd": 1}  # numbers for each parameter that an optimiser keeps
_BACKWARD = 3  # times the work of a forward pass: itself, gradients of inputs, gradients of weights
_FAR = 10_000  # voxels of a large volume along each axis


@dataclass(frozen=True)
class Explanation:
    """Of a method.

    Attributes
    ----------
    field, patch, output : (z, y, x)
        What an output voxel sees; what the network is given, and what it says of it.
    tile, step : (z, y, x)
        What it is given when it predicts a large volume, and how far it is from one tile to the next.
    parameters : int
    flops : float
        Of a forward pass, for each voxel of output.
    training : int
        Bytes: weights, gradients, optimiser, and what a batch keeps for the backward pass.
    step_seconds : float or None
        Of a training step, from the rate at which this device does a convolution.
    rate : float or None
        That rate, in operations a second.
    steps, batch : int
    device : str
    """

    name: str
    field: tuple[int, ...]
    patch: tuple[int, ...]
    output: tuple[int, ...]
    tile: tuple[int, ...]
    step: tuple[int, ...]
    parameters: int
    flops: float
    training: int
    step_seconds: float | None
    rate: float | None
    steps: int
    batch: int
    members: int
    device: str

    @property
    def predicted(self) -> float | None:
        """Voxels in a second when it predicts a large volume."""
        if self.rate is None or not self.flops:
            return None
        waste = math.prod(self.tile) / math.prod(self.step)
        return self.rate / (self.flops * waste * self.members)

    def __str__(self) -> str:
        rows = [
            ("method", self.name),
            ("sees", f"{_sides(self.field)} voxels"),
            ("patch", f"{_sides(self.patch)}, output {_sides(self.output)}, batch {self.batch}"),
            ("predicts by", f"tiles of {_sides(self.tile)}, every {_sides(self.step)}, in {self.members} positions"),
            ("parameters", f"{self.parameters:,}"),
            ("work", f"{self.flops / 1e3:,.3g} kflop for each voxel of output"),
            ("training", f"about {in_words(self.training)}"),
        ]
        if self.step_seconds is not None and self.rate is not None and self.predicted is not None:
            whole = span(self.step_seconds * self.steps)
            rows += [
                ("time", f"about {self.step_seconds:.3g} s a step, {whole} for {self.steps:,} steps"),
                ("", f"about {self.predicted / 1e6:.3g} Mvoxels/s predicted"),
                ("device", f"{self.device}, {self.rate / 1e9:,.3g} Gflop/s in a convolution"),
            ]
        return "\n".join(f"{name:<12} {value}".rstrip() for name, value in rows)


def explain(
    method: Any,
    *,
    batch: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: Any = None,
    calibrate: bool = True,
) -> Explanation:
    """What training and prediction by a method take.

    Parameters
    ----------
    method : str, Recipe, Method or path
        As of :func:`emfast.train`.
    batch : int, optional
    settings : mapping, optional
        As of :func:`emfast.train`.
    device : device of torch, optional
        That is tried; by default CUDA where there is one.
    calibrate : bool
        Whether the device is tried for a moment; without that no times are told.

    Returns
    -------
    Explanation
        As text a table.
    """
    settled, recipe = method_of(method)
    for place, value in {**(settings or {}), **({} if batch is None else {"batch": batch})}.items():
        settled = _settings.override(settled, place, value)
    patch, here = shape_of(settled.patch), device_of(device)
    module, cost = _cost(settled, patch)
    geometry = module.geometry
    output = geometry.output(patch)
    members = group(settled.inference.symmetries)
    shift = shift_of(settled.heads, members)
    square = settled.inference.symmetries in ("xy8", "xy8z")
    axes = layout(geometry, (_FAR,) * 3, patch, settled.inference, shift, square=square)
    copies = 2 + _STATES[settled.optimiser.name] + (settled.ema is not None)
    rate = _rate(here) if calibrate else None
    work = _BACKWARD * cost["flops"] * math.prod(output) * settled.batch * settled.accumulate
    return Explanation(
        name=recipe.name if recipe else "a method of its own",
        field=geometry.field,
        patch=patch,
        output=output,
        tile=tuple(axis.tile for axis in axes),
        step=tuple(axis.step for axis in axes),
        parameters=int(cost["parameters"]),
        flops=cost["flops"],
        training=int(4 * copies * cost["parameters"] + cost["activations"] * settled.batch),
        step_seconds=None if rate is None else work / rate,
        rate=rate,
        steps=settled.steps,
        batch=settled.batch,
        members=len(members) * (3 if settled.inference.axes == "zyx" else 1),
        device=str(here),
    )


def _cost(method: Method, patch: tuple[int, int, int]) -> tuple[Any, dict[str, float]]:
    """The network without its weights, and its parameters, operations for each voxel of output, and bytes kept."""
    with torch.device("meta"):
        module = method.network.build(method.channels, method.outputs())
    found = nn.cost(method.network, method.channels, method.outputs(), patch)
    return module, {"parameters": found.parameters, "flops": found.flops, "activations": found.activations}


def _rate(device: torch.device) -> float:
    """Operations a second in convolutions of usual width, tried for a moment."""
    on_gpu = device.type == "cuda"
    sides, width = ((64, 128, 128), 64) if on_gpu else ((16, 64, 64), 32)
    kind = torch.bfloat16 if usual_precision(device) == "bfloat16" else torch.float32
    convolution = torch.nn.Conv3d(width, width, 3, padding=1).to(device, kind)
    image = torch.zeros((1, width, *sides), device=device, dtype=kind)

    def once() -> float:
        start = time.perf_counter()
        convolution(image)
        if on_gpu:
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    with torch.no_grad():
        once()
        best = min(once() for _ in range(5))
    return 2 * 27 * width * width * math.prod(sides) / best


def _sides(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))
