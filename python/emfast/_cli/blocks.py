"""How verbs work block by block: when they do, on which engine, and what they leave beside what they write."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["EPILOG", "anew", "asked", "client_of", "engine", "grows", "in_blocks", "nonzero", "options_of", "stem_of"]

EPILOG = (
    "Places: docs/volumes.md. A target that is written in chunks (.zarr, .n5, precomputed://…) is made block by block, "
    "whatever its size: memory is bounded, and the same command after a crash goes on where that stopped, with what it "
    "left in OUT.work. Others (.npy, .npz, .h5, .tif) are made in memory, or in a store in OUT.work where one of the "
    "options for larger volumes is given, and appear when they are whole."
)
_ASKED = ("memory", "workers", "block", "dask", "work", "dry_run")


def asked(chosen: argparse.Namespace) -> bool:
    """Whether one of the options is given that only work in blocks has."""
    return chosen.on_corrupt != "error" or any(getattr(chosen, name) for name in _ASKED)


def grows(place: str) -> bool:
    """Whether a volume there is written block by block, and is there from the start."""
    from ..volumes import parse
    from ..volumes._formats import in_place

    try:
        return in_place(parse(place, new=not os.path.exists(place)).format)
    except ValueError:  # others say what is wrong with it
        return False


def in_blocks(chosen: argparse.Namespace) -> bool:
    """Whether OUT is made block by block: it is written so, or that is asked for."""
    from ..volumes import parse

    found = parse(chosen.out, new=True)
    if not found.remote and not os.path.isdir(os.path.dirname(found.path) or "."):
        raise ValueError(f"{chosen.out} must lie in an existing folder, got {os.path.dirname(found.path)!r}")
    return asked(chosen) or grows(chosen.out)


def stem_of(out: str) -> str:
    """What files beside a volume begin with."""
    from ..blockwise._run import beside

    return beside(out, "")[:-1]


def options_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the engine is told, but for the client and what is damaged."""
    return {
        "memory": chosen.memory,
        "workers": chosen.workers,
        "block": chosen.block or "auto",
        "progress": True,
    }


@contextmanager
def engine(chosen: argparse.Namespace, stem: str | None = None) -> Iterator[dict[str, Any]]:
    """The options of an operation in blocks that writes OUT, and leaves nothing where it could not begin.

    With a ``stem`` it is no such operation but one with another result, or several: the folder for what lies between is
    that with .work, and goes when all is done; what is damaged is told in the end and in that with .lost.json.
    """
    import shutil

    from .._engine.mended import Notes
    from ..blockwise._run import beside

    folder = chosen.work or (beside(chosen.out, "work") if stem is None else f"{stem}.work")
    new = not os.path.exists(folder)
    options: dict[str, Any] = {**options_of(chosen), "on_corrupt": chosen.on_corrupt, "work": chosen.work}
    if stem is not None:
        notes = Notes(os.path.join(folder, "lost"))
        options |= {"on_corrupt": notes if chosen.on_corrupt == "skip" else "error", "work": folder}
    with client_of(chosen.dask) as client:
        try:
            yield options | {"client": client}
        except BaseException:
            if new and not _begun(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
    if stem is None or chosen.dry_run:
        return
    notes.tell(f"{stem}.lost.json")
    if not chosen.work:
        shutil.rmtree(folder, ignore_errors=True)


def anew(run: Callable[[argparse.Namespace, str], int], chosen: argparse.Namespace, stem: str) -> int:
    """A verb that keeps a folder with that stem: once more without it where a call before that failed had other options
    or another source, and nobody asked for the folder."""
    import shutil

    from ..errors import AnotherJob

    try:
        return run(chosen, stem)
    except AnotherJob:
        if chosen.work:
            raise
    shutil.rmtree(f"{stem}.work")
    return run(chosen, stem)


def _begun(folder: str) -> bool:
    """Whether a run has done anything there."""
    return any(name.endswith(".journal") for _, _, names in os.walk(folder) for name in names)


@contextmanager
def client_of(address: str | None) -> Iterator[Any]:
    """The client of a Dask cluster, or None."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--dask needs distributed: pip install 'emfast[scale]'", name=error.name) from None
    with Client(address) as client:
        yield client


def nonzero(place: str | None, stack: ExitStack) -> Any:
    """The mask at a place: where it is not 0. Nothing is read yet."""
    if place is None:
        return None
    from ..volumes import open_volume

    return _Nonzero(stack.enter_context(open_volume(place)))


class _Nonzero:
    """Where a volume is not 0."""

    def __init__(self, volume: Any) -> None:
        import numpy as np

        if volume.dtype.kind not in "biuf":
            raise ValueError(f"--mask must hold numbers, got {volume.dtype}")
        self.volume, self.dtype = volume, np.dtype(bool)
        self.shape, self.ndim, self.chunks, self.uri = volume.shape, volume.ndim, volume.chunks, volume.uri

    def __getitem__(self, key: Any) -> Any:
        import numpy as np

        values = self.volume[key]
        if np.isnan(values).any():
            raise ValueError("--mask must hold numbers, got NaN")
        return values != 0
