"""``emfast.predict``: a model over a volume of any size, block by block."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from .. import _settings
from .._engine.identity import check_apart
from .._engine.plan import bytes_of
from .._options import integer_of
from ..blocks import map_blocks
from ..blockwise._run import is_place
from ..errors import AnotherJob
from ..recipes import Head, Inference
from ._job import Job
from ._model import Model
from ._procedure import by_procedure
from ._targets import Targets

__all__ = ["predict"]

_DTYPES = ("float32", "float16", "uint8")
# Voxels of the outputs of a block, about, where no bound of memory says otherwise: small ones stay in caches, but
# where tiles are blended those at the border of a block are run for its neighbour too.
_SMALL, _LARGE = 1 << 22, 1 << 25


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
        Tiles at once; by default 1 on the CPU and 4 on CUDA devices. Half of it where a device has no room. Sums of
        torch depend on it in their last bits.
    devices : device or sequence of them, optional
        By default that of the model; ``"all"`` for all CUDA devices.
    precision : {"float32", "bfloat16", "float16"}, optional
        By default bfloat16 where a device is quick in it, float32 elsewhere.
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
        if model.method.procedure is not None:
            told = {"heads": heads, "settings": settings, "batch": batch, "precision": precision, "journal": journal}
            told |= {"client": client, "dtype": None if dtype == "float32" else dtype}
            for name, value in told.items():
                if value not in (None, {}):
                    raise ValueError(f"{name} must be left out for this model, whose network goes its own way")
            return by_procedure(model, volume, target, flat=flat)
        job = Job(model, chosen, wanted, shape, np.dtype(dtype), batch, devices, precision)
        options: dict[str, Any] = {
            "memory": memory,
            "retries": retries,
            "on_corrupt": on_corrupt,
            "progress": "predicting" if progress is True else progress,
            "workers": (2 * len(job.devices) if workers is None else workers) if client is None else None,
            "client": client,
        }
        outs = Targets(target, chosen, shape, dtype, volume, flat)
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
    found = settings if isinstance(settings, Inference) else model.method.inference
    for name, value in {} if found is settings else (settings or {}).items():
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
        place, source = source, stack.enter_context(open_volume(source))
        if len(source.shape) == 3 and "z" not in source.axes:  # as plain TIFF says of three or four sections
            words = f"{place} says that its axes are ({', '.join(source.axes)}): they are taken for (z, y, x)"
            warnings.warn(words, stacklevel=3)
            source = stack.enter_context(open_volume(place, axes="zyx"))
    elif not hasattr(source, "shape"):
        source = np.asarray(source)
    flat = len(source.shape) == 2
    if flat:
        source = np.asarray(source[...])[None]
    channels = source.shape[0] if len(source.shape) == 4 else 1
    if len(source.shape) not in (3, 4) or channels != model.method.channels:
        wanted = "(z, y, x)" if model.method.channels == 1 else f"({model.method.channels}, z, y, x)"
        raise ValueError(f"source must be {wanted} for this model, got the shape {tuple(source.shape)}")
    if 0 in source.shape:
        raise ValueError(f"source must have voxels, got the shape {tuple(source.shape)}")
    dtype = np.dtype(source.dtype)
    if model.dtype and dtype != model.dtype and not dtype.kind == np.dtype(model.dtype).kind == "f":
        shift, scale = model.constants.shift, model.constants.scale
        words = f"source is {dtype}, and the network learnt from {model.dtype}: values must mean the same, for what it "
        warnings.warn(f"{words}sees is (value - {shift:.4g}) / {scale:.4g}", stacklevel=3)
    _check_spacing(getattr(source, "spacing", None), model.spacing)
    return source, flat


def _check_spacing(said: Any, learnt: Sequence[float]) -> None:
    """That voxels are about as large as those of training, where both are known."""
    if said is None or len(said) != 3 or tuple(learnt) == (1.0, 1.0, 1.0):
        return
    if any(not 0.75 <= a / b <= 4 / 3 for a, b in zip(said, learnt, strict=True)):
        given, known = (" x ".join(f"{n:g}" for n in each) for each in (said, learnt))
        words = f"source has voxels of {given} nm, and the network learnt from voxels of {known} nm"
        warnings.warn(words, stacklevel=4)


def _block(block: Any, job: Job, outs: Targets, memory: Any, workers: int) -> tuple[int, ...]:
    """Sides of blocks: whole tiles and whole files of the targets, as many as there is room for."""
    if not isinstance(block, str):
        sides = tuple(integer_of(s, "block", 1) for s in ((block,) * 3 if isinstance(block, int) else block))
        if len(sides) != 3:
            raise ValueError(f"block must have three sides (z, y, x), got {sides}")
        return tuple(min(s, n) for s, n in zip(sides, job.shape, strict=True))
    if block != "auto":
        raise ValueError(f'block must be sides or "auto", got {block!r}')
    outputs = sum(head.outputs for head in job.heads)
    small = job.devices[0].type == "cpu" and not any(axis.blended for axes in job.axes for axis in axes)
    most = (_SMALL if small else _LARGE) // outputs
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
