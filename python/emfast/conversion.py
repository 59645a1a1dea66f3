"""Volumes from one format, layout or dtype to another, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._engine.identity import check_apart
from ._engine.journal import about_of, remove
from ._locks import alone
from .blocks import Block, map_blocks
from .errors import BlocksFailed
from .volumes import Volume, open_volume
from .volumes._formats import in_place
from .volumes._places import is_remote, located

__all__ = ["convert"]



def convert(
    source: Any,
    target: str | os.PathLike[str],
    *,
    dtype: Any = None,
    window: Sequence[slice] | None = None,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = "zstd",
    spacing: Sequence[float] | None = None,
    offset: Sequence[float] | None = None,
    axes: str | None = None,
    level: int | None = None,
    overwrite: bool = False,
    block: Sequence[int] | int | str = "auto",
    memory: str | float | None = None,
    workers: int | None = None,
    client: Any = None,
    on_corrupt: str = "error",
    progress: bool | str | Callable[[int, int], object] | None = None,
) -> Volume:
    """Write a volume anew: in another format, with other chunks, packed in another way, in another dtype.

    A target that is written chunk by chunk (Zarr, N5, Neuroglancer's) has a journal beside it until it is whole; the
    same call after a crash goes on where that stopped. Other files appear when they are whole.

    Parameters
    ----------
    source : str, path, Volume or array
        What :func:`emfast.open_volume` opens.
    target : str or path
        Where there is nothing yet.
    dtype : dtype, optional
        Every value must be the same in it, but that floats may be rounded to shorter ones.
    window : sequence of slice, optional
        Only this part.
    chunks, shards, codec
        Of the target, as of :func:`emfast.open_volume`.
    spacing, offset, axes, level
        Of the source, instead of what the file says.
    overwrite : bool
        Whether what is at the target may be replaced.
    block, memory, workers, client, on_corrupt, progress
        As of :func:`emfast.map_blocks`. With a client the target must be one that is written chunk by chunk.

    Returns
    -------
    Volume
        The target, open to be read.

    Examples
    --------
    >>> import emfast, numpy as np, tempfile
    >>> place = tempfile.mkdtemp() + "/a.zarr"
    >>> made = emfast.convert(np.arange(24).reshape(2, 3, 4), place, dtype="uint8", spacing=(30, 8, 8))
    >>> made.shape, made.dtype.name, made.spacing, int(made[1, 2, 3])
    ((2, 3, 4), 'uint8', (30.0, 8.0, 8.0), 23)
    """
    told = {"spacing": spacing, "offset": offset, "axes": axes, "level": level}
    told = {name: value for name, value in told.items() if value is not None}
    with ExitStack() as stack:
        opened = _source_of(source, told, stack)
        check_apart(target, "target", {"source": opened})
        taken = opened if window is None else _cropped(opened, window, told)
        wanted = np.dtype(taken.dtype if dtype is None else dtype)
        places = {} if isinstance(opened, Volume) else told
        made: dict[str, Any] = {
            "like": taken,
            "dtype": wanted,
            "chunks": chunks,
            "shards": shards,
            "codec": codec,
            **places,
        }
        path = _journal_beside(target)
        if path is not None and os.path.isdir(os.path.dirname(path)):  # else the target says what is missing
            stack.enter_context(alone(f"{path.removesuffix('journal')}lock", f"target {target}"))
        with _target_of(target, path, made, overwrite) as new:
            journal = path if in_place(new.format) else None
            shared: dict[str, Any] = {
                "memory": memory,
                "workers": workers,
                "client": client,
                "on_corrupt": on_corrupt,
                "progress": progress,
            }
            try:
                map_blocks(_Copy(wanted), taken, new, block=block, journal=journal, retries=0, **shared)
            except BlocksFailed as failure:
                cause = failure.failed[0].cause
                raise cause if isinstance(cause, ValueError) else failure from None  # it names the voxel itself
        if journal:
            remove(journal)
    return open_volume(target)


def _source_of(source: Any, told: dict[str, Any], stack: ExitStack) -> Any:
    if isinstance(source, (str, os.PathLike)):
        return stack.enter_context(open_volume(source, **told))
    if not (hasattr(source, "shape") and hasattr(source, "dtype")):
        raise TypeError(f"source must be a volume, an array or where it lies, got {type(source).__name__}")
    if known := sorted(told if isinstance(source, Volume) else set(told) & {"axes", "level"}):
        raise ValueError(f"{known[0]} is for a source that is opened here, got {type(source).__name__}")
    return source


def _cropped(source: Any, window: Sequence[slice], told: dict[str, Any]) -> Any:
    """A part, which says where it lies."""
    if any(isinstance(s, slice) and s.step not in (None, 1) for s in window):
        raise ValueError(f"window must be slices of step 1, got {window!r}")
    if isinstance(source, Volume):
        return source.crop(window)
    part = source[tuple(window)]
    if nm := told.get("spacing"):
        starts = [s.indices(n)[0] for s, n in zip(window, source.shape, strict=True)][-len(nm) :]
        before = told.get("offset", (0.0,) * len(nm))
        told["offset"] = tuple(o + s * a for o, s, a in zip(before, nm, starts, strict=True))
    return part


def _journal_beside(target: str | os.PathLike[str]) -> str | None:
    """Where the journal of a target on this machine lies."""
    path, name = located(target)
    if "*" in os.path.basename(path):  # slices, which are a folder
        path = os.path.dirname(path)
    return None if is_remote(path) else f"{path}{'.' if name else ''}{name.replace('/', '.')}.journal"


def _target_of(target: Any, journal: str | None, made: dict[str, Any], overwrite: bool) -> Volume:
    """A new one, or the one that a former call has begun."""
    if journal is not None and about_of(journal) is not None:
        if not overwrite:
            return open_volume(target, mode="r+", shape=made["like"].shape, dtype=made["dtype"])
        remove(journal)
    return open_volume(target, mode="w" if overwrite else "x", **made)


@dataclass(frozen=True)
class _Copy:
    """Voxels in another dtype, unless one of them would be another number in it."""

    target: np.dtype

    def __call__(self, voxels: np.ndarray, where: Block) -> np.ndarray:
        cast, same = _cast(voxels, self.target)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            first = [0] * (voxels.ndim - len(where.outer)) + [s.start for s in where.outer]
            place = tuple(i + start for i, start in zip(at, first, strict=True))
            raise ValueError(f"dtype must hold all values of source, but {self.target} has no {voxels[at]}, at {place}")
        return cast


def _cast(voxels: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The values in a dtype, and which of them are the same there; of shorter floats those that are still finite."""
    with np.errstate(all="ignore"):
        cast = voxels.astype(dtype)
        back = cast.astype(voxels.dtype)
    if voxels.dtype.kind == dtype.kind == "f":
        return cast, np.isfinite(cast) | ~np.isfinite(voxels)
    same = back == voxels
    if "f" in (voxels.dtype.kind, dtype.kind):
        floats, whole = (voxels, dtype) if voxels.dtype.kind == "f" else (cast, voxels.dtype)
        limit = np.float64(2.0 ** (8 * whole.itemsize - (whole.kind == "i")) if whole.kind in "iu" else 2.0)
        return cast, same & (floats < limit) & np.isfinite(floats)  # elsewhere what is compared means nothing
    return cast, same & ((cast < 0) == (voxels < 0))
