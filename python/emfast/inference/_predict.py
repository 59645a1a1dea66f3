"""``emfast.predict``: a model over a volume of any size, block by block."""

from __future__ import annotations

import hashlib
import math
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from .. import _settings
from .._engine.grid import Block
from .._engine.identity import check_apart
from .._engine.journal import remove
from .._engine.plan import bytes_of, file_sides
from .._options import integer_of
from ..blocks import map_blocks
from ..blockwise._run import _chunk, beside, is_local, is_place
from ..errors import AnotherJob
from ..recipes import Head, Inference
from ._engine import Runner, middle, reduced, regions
from ._layout import layout
from ._model import Model
from ._symmetry import Symmetry, group, shift_of

__all__ = ["predict"]

_making = threading.Lock()
_DTYPES = ("float32", "float16", "uint8")
_BLOCK = 1 << 25  # voxels of the outputs of a block, about, where no bound of memory says otherwise
_ORDERS = {"z": ((0, 1, 2),), "zyx": ((0, 1, 2), (1, 0, 2), (2, 0, 1))}  # the axis that a 2D network sees sections of


def predict(
    model: Any,
    source: Any,
    target: Any = None,
    *,
    heads: Sequence[str] | None = None,
    dtype: str = "float32",
    settings: dict[str, Any] | Inference | None = None,
    block: Sequence[int] | int | str = "auto",
    batch: int | None = None,
    devices: Any = None,
    precision: str | None = None,
    memory: str | float | None = None,
    workers: int | None = None,
    client: Any = None,
    journal: str | os.PathLike[str] | bool | None = None,
    retries: int = 2,
    on_corrupt: str = "error",
    progress: Any = None,
) -> dict[str, Any]:
    """What a network says of a volume, in memory or larger.

    A voxel depends on the volume, the model and the settings alone: tiles lie on one grid of the whole volume, and are
    added in its raster order, so that neither blocks nor workers make a difference. What lies beyond the volume is
    mirrored. Images are normalised by the constants of the training images.

    Parameters
    ----------
    model : Model or path
        Of :func:`emfast.training.load`, or the folder of a run.
    source : array, Volume or place, shape (z, y, x), (c, z, y, x) or (y, x)
    target : place, or arrays or Volumes by head, optional
        A place for one head, or a Zarr or HDF5 file in which each head is an array by its name. New arrays if there is
        none. A Zarr store is written block by block: the same call after a crash goes on where that stopped.
    heads : sequence of str, optional
        By default all.
    dtype : {"float32", "float16", "uint8"}
        Of the outputs. uint8 holds probabilities p as the integer nearest to 255 p.
    settings : mapping or Inference, optional
        In the place of the method's: ``tile``, ``blend``, ``overlap``, ``symmetries``, ``reduce``, ``axes``,
        ``z_median``.
    block : sequence of int, int or "auto"
        As of :func:`emfast.map_blocks`; "auto" takes whole tiles.
    batch : int, optional
        Tiles at once; by default 1 on the CPU and 4 on CUDA devices. Half of it where a device has no room.
    devices : device or sequence of them, optional
        By default that of the model; ``"all"`` for all CUDA devices.
    precision : {"float32", "bfloat16", "float16"}, optional
        By default bfloat16 on CUDA devices that have it, float32 elsewhere.
    memory, workers, client, retries, on_corrupt, progress
        As of :func:`emfast.map_blocks`. By default two workers for each device: one reads and writes while the network
        is at the block of the other.
    journal : path, bool, optional
        A file of finished blocks that stays. By default one beside a Zarr store, which goes when all is done.

    Returns
    -------
    dict of str to (c, z, y, x)
        The activated outputs by head: arrays, or volumes opened where the target is a place. (c, y, x) of a picture.
    """
    if isinstance(model, (str, os.PathLike)):
        from ..training import load

        model = load(model)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}")
    chosen = _heads(model, heads, dtype)
    wanted = _inference(model, settings)
    with ExitStack() as stack:
        volume, flat = _source(source, model, stack)
        if target is not None:
            for each in target.values() if isinstance(target, dict) else [target]:
                check_apart(each, "target", {"source": volume})
        shape = tuple(int(n) for n in volume.shape[-3:])
        job = _Job(model, chosen, wanted, shape, np.dtype(dtype), batch, devices, precision)
        options: dict[str, Any] = {
            "memory": memory,
            "retries": retries,
            "on_corrupt": on_corrupt,
            "progress": "predicting" if progress is True else progress,
            "workers": (2 * len(job.devices) if workers is None else workers) if client is None else None,
            "client": client,
        }
        outs = _Targets(target, chosen, shape, dtype, volume, flat)
        sides = _block(block, job, outs, memory, options["workers"] or 1)
        outs.open(stack, sides, journal)
        options |= {"block": sides, "halo": job.halo(sides), "journal": outs.journal, "cost": job.cost(volume)}
        try:
            map_blocks(job, volume, tuple(outs.volumes), shape=shape, **options)
        except AnotherJob:
            if not outs.own_journal:
                raise
            outs.anew(stack, sides)
            map_blocks(job, volume, tuple(outs.volumes), shape=shape, **options)
        return outs.result()


def _heads(model: Model, names: Sequence[str] | None, dtype: str) -> list[Head]:
    known = {head.name: head for head in model.method.heads}
    for name in names or ():
        if name not in known:
            raise ValueError(f"heads must be of {', '.join(known)}, got {name!r}")
    chosen = [known[name] for name in (names or known)]
    for head in chosen:
        if dtype == "uint8" and head.activation not in ("sigmoid", "softmax"):
            raise ValueError(f"dtype must be float32 or float16 for head {head.name}, which is no probability")
    return chosen


def _inference(model: Model, settings: Any) -> Inference:
    if isinstance(settings, Inference):
        return settings
    found = model.method.inference
    for name, value in (settings or {}).items():
        found = _settings.override(found, name, value)
    if not 0 <= found.overlap < 1:
        raise ValueError(f"overlap must be from 0 to less than 1, got {found.overlap}")
    if found.z_median < 1 or found.z_median % 2 == 0:
        raise ValueError(f"z_median must be an odd number of sections, got {found.z_median}")
    return found


def _source(source: Any, model: Model, stack: ExitStack) -> tuple[Any, bool]:
    """The source as something with three or four axes, and whether it was a picture."""
    from ..volumes import open_volume

    if is_place(source):
        source = stack.enter_context(open_volume(source))
    elif not hasattr(source, "shape"):
        source = np.asarray(source)
    flat = len(source.shape) == 2
    if flat:
        source = np.asarray(source[...])[None]
    channels = source.shape[0] if len(source.shape) == 4 else 1
    if len(source.shape) not in (3, 4) or channels != model.method.channels:
        wanted = "(z, y, x)" if model.method.channels == 1 else f"({model.method.channels}, z, y, x)"
        raise ValueError(f"source must be {wanted} for this model, got the shape {tuple(source.shape)}")
    return source, flat


class _Job:
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
        self.shift = shift_of(heads, self.members)
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

    # ---- what the engine asks

    def job_words(self) -> str:
        """For a journal: what makes a difference."""
        found = hashlib.sha256()
        for name, tensor in self.model.module.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        words = [_settings.dumps(self.settings), [h.name for h in self.heads], str(self.dtype), self.model.constants]
        words += [self.precision, self.batch, _settings.dumps(self.model.method), self.devices[0].type]
        found.update(repr(words).encode())
        return found.hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runners": None}

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
        return np.dtype(source.dtype).itemsize * 2 + outputs * (4.0 * (len(self.orders) + 1) + self.dtype.itemsize)

    def __call__(self, voxels: np.ndarray, where: Block) -> Any:
        with self._runner() as runner:
            outputs = self._block(runner, voxels, where)
            return tuple(outputs) if len(outputs) > 1 else outputs[0]

    # ---- a block

    def _block(self, runner: Runner, voxels: np.ndarray, where: Block) -> list[np.ndarray]:
        there = _tensor(voxels if voxels.ndim == 4 else voxels[None]).to(runner.device)
        corner = [w.start for w in where.outer]
        core = [(w.start, w.stop) for w in where.core]
        box = [self._sections(side, place) for place, side in enumerate(core)]
        found: dict[str, list[torch.Tensor]] = {head.name: [] for head in self.heads}
        for order, axes in zip(self.orders, self.axes, strict=True):
            turned = there.permute(0, *(1 + a for a in order))
            outputs = regions(
                runner,
                self.model.constants,
                turned,
                [corner[a] for a in order],
                [box[a] for a in order],
                axes,
                self.batch,
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
                self._runners = queue.SimpleQueue()
                for device in self.devices:
                    self._runners.put(self._made(device))
        runner = self._runners.get()
        try:
            yield runner
        finally:
            self._runners.put(runner)

    def _made(self, device: torch.device) -> Runner:
        import copy

        module = self.model.module
        if device != self.model.device or module.training:
            module = copy.deepcopy(module).to(device).eval()
        return Runner(
            module,
            self.heads,
            self.members,
            self.shift,
            reduce=self.settings.reduce,
            precision=_KINDS[self.precision],
            batch=self.batch,
        )


_KINDS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if precision not in _KINDS:
        raise ValueError(f"precision must be one of {', '.join(_KINDS)}, got {precision!r}")
    return precision


def _members(settings: Inference, model: Model) -> list[Symmetry]:
    """Those of the group; a network that takes sections by themselves does not see which way they follow."""
    found = group(settings.symmetries)
    return [m for m in found if 0 not in m.flips] if model.module.geometry.field[0] == 1 else found


def _is_directed(head: Head) -> bool:
    return hasattr(head.target, "offsets") or any(name.startswith("offset ") for name in head.target.names)


def _tensor(voxels: np.ndarray) -> torch.Tensor:
    """A copy that torch may own, of a dtype it computes with."""
    kind = voxels.dtype if voxels.dtype in (np.uint8, np.int8, np.int16, np.float16, np.float32) else np.float32
    return torch.from_numpy(np.array(voxels, dtype=kind, order="C"))


def _z_median(values: torch.Tensor, half: int, core: tuple[int, int], box: tuple[int, int], depth: int) -> torch.Tensor:
    """The median of so many sections on either side, mirrored at the ends of the volume."""
    from ..sampling import _mirrored

    places = _mirrored(core[0] - half, core[1] - core[0] + 2 * half, depth) - box[0]
    sections = values.index_select(1, torch.from_numpy(places).to(values.device))
    n = core[1] - core[0]
    return middle([sections[:, k : k + n] for k in range(2 * half + 1)])


# ---- blocks and targets


def _block(block: Any, job: _Job, outs: _Targets, memory: Any, workers: int) -> tuple[int, ...]:
    """Sides of blocks: whole tiles and whole files of the targets, as many as there is room for."""
    if not isinstance(block, str):
        sides = (block,) * 3 if isinstance(block, int) else tuple(block)
        return tuple(min(s, n) for s, n in zip(sides, job.shape, strict=True))
    if block != "auto":
        raise ValueError(f'block must be sides or "auto", got {block!r}')
    outputs = sum(head.outputs for head in job.heads)
    most = _BLOCK // outputs
    if memory is not None:
        most = min(most, max(1, int(0.5 * bytes_of(memory) / workers / job.cost(np.empty(0, np.float32)))))
    unit = outs.unit()
    sides = tuple(min(n, _common(s, u)) for s, u, n in zip(job.steps(), unit, job.shape, strict=True))
    start = sides
    while True:
        for axis in sorted((a for a in range(3) if sides[a] < job.shape[a]), key=lambda a: sides[a]):
            longer = tuple(min(job.shape[a], s + start[a]) if a == axis else s for a, s in enumerate(sides))
            if math.prod(longer) <= most:
                sides = longer
                break
        else:
            return sides


def _common(step: int, unit: int) -> int:
    """A multiple of both, or where that is much larger of the file's side alone: tiles are then run twice at times."""
    both = math.lcm(step, unit)
    return both if both <= 8 * max(step, unit) else -(-2 * step // unit) * unit


class _Targets:
    """Where the heads are written: given, made at a place, or in memory."""

    def __init__(
        self, target: Any, heads: list[Head], shape: tuple[int, ...], dtype: str, source: Any, flat: bool
    ) -> None:
        self.target, self.heads, self.shape, self.dtype, self.flat = target, heads, shape, dtype, flat
        self.source = source
        self.volumes: list[Any] = []
        self.journal: Any = None
        self.own_journal = False
        if isinstance(target, dict):
            for head in heads:
                if head.name not in target:
                    raise ValueError(f"target must have all heads, got none for {head.name}")
                wanted, came = (head.outputs, *shape), tuple(target[head.name].shape)
                if came != wanted:
                    raise ValueError(f"target of {head.name} must have the shape {wanted}, got {came}")
        elif target is not None and not is_place(target):
            raise TypeError(f"target must be a place, or arrays by head, got {type(target).__name__}")

    def unit(self) -> tuple[int, ...]:
        """Sides of what lies in one file."""
        found = [1, 1, 1]
        if isinstance(self.target, dict):
            for volume in self.target.values():
                found = [math.lcm(a, b) for a, b in zip(found, file_sides(volume, 3) or (1, 1, 1), strict=True)]
        return tuple(found)

    def places(self) -> list[str]:
        place = os.fspath(self.target).rstrip("/")
        if len(self.heads) == 1:
            return [place]
        if not any(kind in place for kind in (".zarr", ".h5", ".hdf5", ".n5")):
            names = ", ".join(head.name for head in self.heads)
            raise ValueError(f"target must be a Zarr or HDF5 file for the heads {names}, got {place!r}")
        return [f"{place}/{head.name}" for head in self.heads]

    def open(self, stack: ExitStack, block: Sequence[int], journal: Any) -> None:
        if isinstance(self.target, dict):
            self.volumes, self.journal = [self.target[head.name] for head in self.heads], journal
            return
        if self.target is None or self.flat:
            self.volumes = [np.empty((head.outputs, *self.shape), self.dtype) for head in self.heads]
            return
        from ..conversion import RESUMED
        from ..volumes import parse

        places = self.places()
        resumed = is_local(self.target) and parse(places[0], new=True).format in RESUMED
        if journal is None and resumed:
            journal, self.own_journal = beside(os.fspath(self.target), "journal"), True
        elif journal is True:
            journal = beside(os.fspath(self.target), "journal")
        self.journal = journal or None
        goes_on = self.journal is not None and os.path.exists(self.journal)
        self._made(stack, block, again=goes_on)

    def anew(self, stack: ExitStack, block: Sequence[int]) -> None:
        """Without what another call left that failed."""
        remove(self.journal)
        self._made(stack, block, again=False)

    def _made(self, stack: ExitStack, block: Sequence[int], *, again: bool) -> None:
        from ..volumes import open_volume

        self.volumes = []
        for place, head in zip(self.places(), self.heads, strict=True):
            shape = (head.outputs, *self.shape)
            if again:
                try:
                    self.volumes.append(
                        stack.enter_context(open_volume(place, mode="r+", shape=shape, dtype=self.dtype))
                    )
                    continue
                except (FileNotFoundError, ValueError):  # gone, or another
                    remove(self.journal)
            chunks = (head.outputs, *map(_chunk, block))
            options: dict[str, Any] = {"shards": (head.outputs, *block)} if ".zarr" in place else {}
            for name in ("spacing", "offset"):
                if getattr(self.source, name, None) is not None:
                    options[name] = getattr(self.source, name)
            made = open_volume(place, mode="w", shape=shape, dtype=self.dtype, axes="czyx", chunks=chunks, **options)
            self.volumes.append(stack.enter_context(made))

    def result(self) -> dict[str, Any]:
        from ..volumes import open_volume

        names = [head.name for head in self.heads]
        if self.flat:
            self.volumes = [volume[:, 0] for volume in self.volumes]
        if not is_place(self.target):
            return dict(zip(names, self.volumes, strict=True))
        if self.flat:
            for place, volume in zip(self.places(), self.volumes, strict=True):
                with open_volume(place, mode="w", like=volume, axes="cyx") as out:
                    out[...] = volume
        else:
            for volume in self.volumes:
                volume.close()
            if self.own_journal:
                remove(self.journal)
        return {name: open_volume(place) for name, place in zip(names, self.places(), strict=True)}
