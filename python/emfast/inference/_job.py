"""What is done with a block of a volume: its tiles through the network of a device, their outputs in one dtype."""

from __future__ import annotations

import copy
import hashlib
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .. import _settings, nn
from .._engine.grid import Block
from .._options import integer_of
from ..nn.running import usual_precision
from ..recipes import Head, Inference
from ..sampling._pieces import mirrored
from ._engine import Buffers, Runner, middle, reduced, regions
from ._layout import layout
from ._model import Model
from ._symmetry import Symmetry, group, shift_of

__all__ = ["Job"]

_KINDS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ORDERS = {"z": ((0, 1, 2),), "zyx": ((0, 1, 2), (1, 0, 2), (2, 0, 1))}  # the axis that a 2D network sees sections of
_making = threading.Lock()


class Job:
    """What is done with a block: the function of :func:`emfast.map_blocks`."""

    def __init__(
        self,
        model: Model,
        heads: list[Head],
        settings: Inference,
        shape: tuple[int, ...],
        dtype: np.dtype,
        batch: int | None,
        devices: Any,
        precision: str | None,
    ) -> None:
        self.model, self.heads, self.settings, self.shape, self.dtype = model, heads, settings, shape, dtype
        self.devices = _devices(devices, model)
        on_gpu = self.devices[0].type == "cuda"
        self.batch = (4 if on_gpu else 1) if batch is None else integer_of(batch, "batch", 1)
        self.precision = _precision(precision, self.devices[0])
        self.members = _members(settings, model)
        self.shift = shift_of(model.method.heads, self.members)  # of all, so that tiles do not depend on what is asked
        self.orders = _ORDERS[settings.axes]
        if len(self.orders) > 1 and (any(self.shift) or any(_is_directed(head) for head in heads)):
            raise ValueError("axes must be z for heads that speak of directions, got zyx")
        square = settings.symmetries in ("xy8", "xy8z")
        patch, geometry = model.method.patch, model.module.geometry
        self.axes = [
            layout(geometry, [shape[a] for a in order], patch, settings, self.shift, square=square)
            for order in self.orders
        ]
        self._runners: queue.SimpleQueue[Runner] | None = None
        self._buffers = Buffers()

    # ---- what the engine asks

    def job_words(self) -> str:
        """For a journal: what makes a difference."""
        found = hashlib.sha256(self.model.words().encode())
        words = [_settings.dumps(self.settings), [h.name for h in self.heads], str(self.dtype), self.model.constants]
        words += [self.precision, self.batch, _settings.dumps(self.model.method), self.devices[0].type]
        found.update(repr(words).encode())
        return found.hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runners": None, "_buffers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "_buffers": Buffers()}

    def steps(self) -> tuple[int, ...]:
        """Sides of blocks in which no tile is run twice, as far as there is one grid of tiles."""
        return tuple(axis.step for axis in self.axes[0])

    def halo(self, block: Sequence[int]) -> list[tuple[int, int]]:
        """Voxels that blocks of those sides need around them."""
        most = [[0, 0] for _ in range(3)]
        for order, axes in zip(self.orders, self.axes, strict=True):
            for place, axis in zip(order, axes, strict=True):
                for start in range(0, axis.size, block[place]):
                    core = start, min(axis.size, start + block[place])
                    low, high = axis.read(*self._sections(core, place))
                    most[place] = [max(most[place][0], core[0] - low), max(most[place][1], high - core[1])]
        return [(before, after) for before, after in most]

    def cost(self, source: Any) -> float:
        """Bytes for each voxel: source and outputs, these in float32 for each axis, tiles and what is written."""
        outputs = sum(head.outputs for head in self.heads)
        return (
            np.dtype(source.dtype).itemsize * 2
            + 4.0 * self.model.method.channels
            + outputs * (4.0 * (len(self.orders) + 1) + self.dtype.itemsize)
        )

    def __call__(self, voxels: np.ndarray, where: Block) -> Any:
        with self._runner() as runner:
            outputs = self._block(runner, voxels, where)
            return tuple(outputs) if len(outputs) > 1 else outputs[0]

    # ---- a block

    def _block(self, runner: Runner, voxels: np.ndarray, where: Block) -> list[np.ndarray]:
        """Arrays that are good until the next block of the same thread."""
        there = _held(voxels if voxels.ndim == 4 else voxels[None], self._buffers).to(runner.device)
        corner = [w.start for w in where.outer]
        core = [(w.start, w.stop) for w in where.core]
        if there.is_floating_point() and not torch.isfinite(there).all():
            place = tuple(first for first, _ in core)
            raise ValueError(f"source must be finite, got NaN or infinity in or beside the block at {place}")
        box = [self._sections(side, place) for place, side in enumerate(core)]
        found: dict[str, list[torch.Tensor]] = {head.name: [] for head in self.heads}
        for turn, (order, axes) in enumerate(zip(self.orders, self.axes, strict=True)):
            turned = there.permute(0, *(1 + a for a in order))
            outputs = regions(
                runner,
                self.model.constants,
                turned,
                [corner[a] for a in order],
                [box[a] for a in order],
                axes,
                self.batch,
                self._buffers,
                f"turn {turn}",
            )
            back = [1 + order.index(a) for a in range(3)]
            for name, values in outputs.items():
                found[name].append(values.permute(0, *back))
        return [self._finished(reduced(self.settings.reduce, found[h.name]), core[0], box[0]) for h in self.heads]

    def _finished(self, values: torch.Tensor, core: tuple[int, int], box: tuple[int, int]) -> np.ndarray:
        """In the dtype of the output, after the median along z."""
        if self.settings.z_median > 1:
            values = _z_median(values, self.settings.z_median // 2, core, box, self.shape[0])
        if self.dtype == np.uint8:
            values = values.mul(255).round_().clamp_(0, 255).to(torch.uint8)
        elif self.dtype == np.float16:
            values = values.to(torch.float16)
        return np.asarray(values.contiguous().cpu().numpy())

    def _sections(self, core: tuple[int, int], place: int) -> tuple[int, int]:
        """The voxels along an axis that are predicted for a core: those of the median too."""
        more = self.settings.z_median // 2 if place == 0 else 0
        return max(0, core[0] - more), min(self.shape[place], core[1] + more)

    @contextmanager
    def _runner(self) -> Iterator[Runner]:
        """One of the networks, one for each device, for this block alone."""
        with _making:  # a process of a cluster makes them when it is first asked
            if self._runners is None:
                made = [self._made(device) for device in self.devices]
                self._runners = queue.SimpleQueue()
                for each in made:
                    self._runners.put(each)
        runner = self._runners.get()
        try:
            yield runner
        finally:
            self._runners.put(runner)

    def _made(self, device: torch.device) -> Runner:
        """The network on a device, as quick as it can be there."""
        module = self.model.module
        if device != self.model.device or module.training:
            module = copy.deepcopy(module).to(device).eval()
        precision = _KINDS[self.precision]
        ready = getattr(nn, "ready", None)
        if ready is not None:
            module, precision = ready(module, precision=self.precision), None
        options: dict[str, Any] = {"reduce": self.settings.reduce, "precision": precision, "batch": self.batch}
        return Runner(module, self.heads, self.members, self.shift, **options)


def _devices(devices: Any, model: Model) -> list[torch.device]:
    from ..training._team import device_of

    if devices is None:
        return [model.device]
    if devices == "all":
        found = [torch.device("cuda", k) for k in range(torch.cuda.device_count())]
        return found or [model.device]
    several = isinstance(devices, (list, tuple))
    return [device_of(device) for device in (devices if several else [devices])]


def _precision(precision: str | None, device: torch.device) -> str:
    if precision is None:
        return usual_precision(device)
    if precision not in _KINDS:
        raise ValueError(f"precision must be one of {', '.join(_KINDS)}, got {precision!r}")
    return precision


def _members(settings: Inference, model: Model) -> list[Symmetry]:
    """Those of the group; a network that takes sections by themselves does not see which way they follow."""
    found = group(settings.symmetries)
    return [m for m in found if 0 not in m.flips] if model.module.geometry.field[0] == 1 else found


def _is_directed(head: Head) -> bool:
    return hasattr(head.target, "offsets") or any(name.startswith("offset ") for name in head.target.names)


def _held(voxels: np.ndarray, buffer: Buffers) -> torch.Tensor:
    """Those of a dtype that torch computes with in that, others in float32."""
    kinds = {np.dtype(kind): getattr(torch, kind) for kind in ("uint8", "int8", "int16", "float16", "float32")}
    out = buffer("source", voxels.shape, kinds.get(voxels.dtype.newbyteorder("="), torch.float32), torch.device("cpu"))
    np.copyto(out.numpy(), voxels, casting="unsafe")
    return out


def _z_median(values: torch.Tensor, half: int, core: tuple[int, int], box: tuple[int, int], depth: int) -> torch.Tensor:
    """The median of so many sections on either side, mirrored at the ends of the volume."""
    places = mirrored(core[0] - half, core[1] - core[0] + 2 * half, depth) - box[0]
    sections = values.index_select(1, torch.from_numpy(places).to(values.device))
    n = core[1] - core[0]
    return middle([sections[:, k : k + n] for k in range(2 * half + 1)])
