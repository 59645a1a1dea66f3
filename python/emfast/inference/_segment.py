"""From an image to segments by a model: predicted, then decoded, whatever lies between in a folder."""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._engine.identity import check_apart
from .._engine.plan import bytes_of, in_words
from .._locks import alone
from ..blocks import map_blocks
from ..blockwise._run import beside, claim, clear, drop, is_kept, is_place, place_words, read_stamp, write_stamp
from ..recipes import Head, Recipe, get
from ._decode import affinities_of, nearest
from ._model import Model
from ._predict import predict

__all__ = ["by_agglomeration", "segment_image", "spacing_of", "three_axes"]

_KIND = "emfast.segment with a model"
_ENGINE = ("block", "memory", "workers", "client", "progress", "retries")  # make no difference
_OF_AFFINITIES = ("decoding.json", "segments")  # what is made of what, in a folder
_OF_PREDICTION = ("affinities.json", "affinities.zarr", *_OF_AFFINITIES)


def segment_image(
    model: Any,
    source: Any,
    target: Any = None,
    *,
    work: Any = None,
    decoding: Mapping[str, Any] | None = None,
    memory: str | float | None = None,
    workers: int | None = None,
    client: Any = None,
    block: Any = "auto",
    on_corrupt: str = "error",
    progress: Any = None,
    **options: Any,
) -> Any:
    """Segments of an image.

    Where the model's decoder is watershed and agglomeration of nearest affinities (it has the parameters ``threshold``,
    ``low`` and ``high``), affinities are written as uint8 into the folder ``work`` and :func:`emfast.segment` does the
    rest block by block, whatever the size. So does the recipe's own way, where it has one
    (:attr:`emfast.recipes.Recipe.segment`). Other decoders work in memory, and a volume that does not fit there is
    refused before anything runs.

    Parameters
    ----------
    model : Model or path of a run
    source : array, Volume or place, (z, y, x), (c, z, y, x) or (y, x)
    target : place, optional
        Where segments are written; an array comes back without one.
    work : path, optional
        For what lies between, kept; by default ``<target>.work``, or memory where there is no target.
    decoding : mapping, optional
        Parameters of the decoder in the place of its defaults.
    memory, workers, client, block, on_corrupt, progress
        As of :func:`emfast.map_blocks`.
    options
        Others of :func:`emfast.predict`.

    Returns
    -------
    segments : array, or the target opened
    """
    if isinstance(model, (str, os.PathLike)):
        from ..training import load

        model = load(model)
    if model.decode is None:
        raise ValueError("model must have a decoder, got one whose recipe and targets say none: use emfast.predict")
    given = dict(decoding or {})
    known = _parameters(model)
    for name in given:
        if name not in known:
            raise ValueError(f"decoding must be of {', '.join(known)}, got {name!r}")
    if target is not None and not is_place(target):
        raise TypeError(f"target must be a place, got {type(target).__name__}")
    for name, place in (("target", target), ("work", work)):
        if place is not None:
            check_apart(place, name, {"source": source})
    shared = {"memory": memory, "workers": workers, "client": client, "on_corrupt": on_corrupt, "progress": progress}
    spacing = spacing_of(model, source)
    if _is_picture(source):  # in memory, as a volume of depth one
        found = _segmented(model, three_axes(source), None, None, known | given, spacing, block, shared, options)
        labels = np.asarray(found)[0]
        return labels if target is None else _saved(target, labels, source)
    with ExitStack() as stack:
        folder = _folder(work, target)
        if folder is not None:
            stack.enter_context(alone(os.path.join(folder, ".lock"), f"work {folder}"))
        return _segmented(model, source, target, folder, known | given, spacing, block, shared, options)


def _segmented(
    model: Model,
    source: Any,
    target: Any,
    folder: str | None,
    decoding: dict[str, Any],
    spacing: Sequence[float],
    block: Any,
    shared: dict[str, Any],
    options: dict[str, Any],
) -> Any:
    """Of a volume, by the way that its decoder goes."""
    head = by_agglomeration(model)
    if head is not None:
        return _Blockwise(model, head, decoding, folder).run(source, target, block, shared, options)
    if model.recipe is None or get(model.recipe).segment is None:
        _check_room(model, source, shared["memory"])
    outputs = _predicted(model, source, folder, block=block, **shared, **options)
    by_blocks = get(model.recipe).segment if model.recipe else None
    if by_blocks is not None:
        work = _decoded_in(folder, decoding)
        return by_blocks(outputs, target, spacing=spacing, work=work, **decoding, **shared)
    made = np.asarray if model.method.procedure is not None else _floats  # numbers of objects stay what they are
    arrays = {name: made(volume[...]) for name, volume in outputs.items()}
    labels = model.decode(arrays, spacing=spacing, **decoding)  # type: ignore[misc]
    return labels if target is None else _saved(target, labels, next(iter(outputs.values())))


def _floats(values: np.ndarray) -> np.ndarray:
    """Outputs in float32; uint8 holds probabilities, as shares of 255."""
    found = np.asarray(values, np.float32)
    return found / np.float32(255) if values.dtype == np.uint8 else found


def _is_picture(source: Any) -> bool:
    """Whether a source has no axis z."""
    if is_place(source):
        from ..volumes import open_volume

        with open_volume(source) as opened:
            return len(opened.shape) == 2
    return len(source.shape) == 2


def three_axes(source: Any) -> np.ndarray:
    """The voxels of a source in memory; a picture is a volume of depth one."""
    if is_place(source):
        from ..volumes import open_volume

        with open_volume(source) as opened:
            return three_axes(opened[...])
    found = np.asarray(source[...])
    return found[None] if found.ndim == 2 else found


def spacing_of(model: Model, source: Any) -> tuple[float, ...]:
    """Nanometres per voxel, (z, y, x): those of a source that says them, else those of training."""
    if is_place(source):
        from ..volumes import open_volume

        with open_volume(source) as opened:
            return spacing_of(model, opened)
    said = tuple(getattr(source, "spacing", None) or ())
    return (*model.spacing[: 3 - len(said)], *said)


def _predicted(model: Model, source: Any, folder: str | None, **options: Any) -> dict[str, Any]:
    """What the model says, kept in the folder. What is there of the same model, image and settings is not done again;
    nothing that came of another is left."""
    if folder is None:
        return predict(model, source, None, **options)
    settings = {name: repr(value) for name, value in options.items() if name not in _ENGINE}
    wanted = {"model": model.words(), "source": json.loads(json.dumps(place_words(source))), "settings": settings}
    asked, done = os.path.join(folder, "asked.json"), os.path.join(folder, "predicted.json")
    if read_stamp(asked) != wanted:
        clear(folder, but=())
        write_stamp(asked, wanted)
    found = _kept(model, folder, read_stamp(done), options.get("heads"))
    if found is None:
        place = os.path.join(folder, "prediction.zarr")
        begun = os.path.exists(beside(place, "journal"))  # by a run that was cut short
        drop(folder, ("predicted.json", *_OF_PREDICTION, *(() if begun else ("prediction.zarr",))))
        found = predict(model, source, place, **options)
        write_stamp(done, {name: os.path.relpath(str(volume.uri), folder) for name, volume in found.items()})
    return found


def _kept(
    model: Model, folder: str, places: Mapping[str, Any] | None, heads: Sequence[str] | None
) -> dict[str, Any] | None:
    """The prediction that a stamp tells of, opened; None where it is not of all heads, or gone."""
    from ..volumes import open_volume

    wanted = heads or [head.name for head in model.method.heads]
    other = model.method.procedure is None and set(places or ()) != set(wanted)  # a procedure has names of its own
    if not places or other:
        return None
    paths = {name: os.path.join(folder, f"{place}") for name, place in places.items()}
    return {name: open_volume(path) for name, path in paths.items()} if all(map(is_kept, paths.values())) else None


def _decoded_in(folder: str | None, decoding: Mapping[str, Any]) -> str | None:
    """Where a decoder keeps what lies between: anew where that is of other parameters."""
    if folder is None:
        return None
    place, stamp = os.path.join(folder, "segments"), os.path.join(folder, "decoding.json")
    wanted = {name: repr(value) for name, value in decoding.items()}
    if read_stamp(stamp) != wanted:
        drop(folder, _OF_AFFINITIES)
        write_stamp(stamp, wanted)
    return place


def _parameters(model: Model) -> dict[str, Any]:
    """Of a decoder, with their defaults."""
    found = inspect.signature(model.decode).parameters.values() if model.decode else ()
    return {p.name: p.default for p in found if p.default is not p.empty and p.name != "spacing"}


def by_agglomeration(model: Model) -> Head | None:
    """The head whose nearest affinities are watershed and agglomerated; None where another thing is done."""
    if not {"threshold", "low", "high"} <= set(_parameters(model)):
        return None
    return next((head for head in model.method.heads if affinities_of(head)), None)


def _folder(work: Any, target: Any) -> str | None:
    if work is None and target is None:
        return None
    folder = beside(os.fspath(target), "work") if work is None else os.fspath(work)
    claim(folder, _KIND)
    return folder


def _place(folder: str | None, name: str) -> str | None:
    return None if folder is None else os.path.join(folder, name)


@dataclass(frozen=True)
class _Blockwise:
    """Watershed and agglomeration of what is predicted, block by block."""

    model: Model
    head: Head
    decoding: dict[str, Any]
    folder: str | None

    def run(self, source: Any, target: Any, block: Any, shared: dict[str, Any], options: dict[str, Any]) -> Any:
        from .. import pipeline

        names: Sequence[str] = (self.head.name,)
        options = {**options, "heads": names, "dtype": "uint8"}
        found = _predicted(self.model, source, self.folder, block=block, **shared, **options)
        affinities = self._nearest(found[self.head.name], shared)
        kept = {name: value for name, value in self.decoding.items() if name != "threshold"}  # trees serve several
        return pipeline.segment(
            affinities, target, recipe=self._recipe(), work=_decoded_in(self.folder, kept), **shared
        )

    def _recipe(self) -> Any:
        from .. import pipeline

        watershed = {name: self.decoding[name] for name in ("low", "high")}
        if "per_section" in self.decoding:
            watershed["per_section"] = self.decoding["per_section"]
        thresholds = (float(self.decoding["threshold"]),)
        agglomeration = pipeline.Agglomeration(score=self.decoding.get("score", "mean"))
        return pipeline.Recipe(thresholds, pipeline.Watershed(**watershed), agglomeration)

    def _nearest(self, volume: Any, shared: dict[str, Any]) -> Any:
        """The nearest affinities, looking back, as :func:`emfast.segment` takes them."""
        if _is_plain(self.head):
            return volume
        shape = tuple(volume.shape[1:])
        if self.folder is None:
            return nearest(self.head, np.asarray(volume))
        from ..volumes import open_volume

        place, stamp = (os.path.join(self.folder, name) for name in ("affinities.zarr", "affinities.json"))
        if read_stamp(stamp) is not None and is_kept(place):  # of the same prediction, else it would not be there
            return open_volume(place)
        drop(self.folder, _OF_PREDICTION)
        sides = tuple(getattr(volume, "shards", None) or (1, *shape))[1:]
        more = {"shards": (3, *sides), "chunks": (3, *tuple(volume.chunks)[1:]), "spacing": volume.spacing}
        with open_volume(place, mode="w", shape=(3, *shape), dtype="uint8", axes="czyx", **more) as out:
            told = {name: value for name, value in shared.items() if name not in ("progress", "on_corrupt")}
            map_blocks(_Nearest(self.head), volume, out, shape=shape, block=sides, halo=1, **told)
        write_stamp(stamp, {"of": self.head.name})
        return open_volume(place)


def _is_plain(head: Head) -> bool:
    from ..edges import NEAREST

    return tuple(tuple(step) for step in getattr(head.target, "offsets", ())) == NEAREST


@dataclass(frozen=True)
class _Nearest:
    """Of a block with a halo of one."""

    head: Head

    def __call__(self, voxels: np.ndarray) -> np.ndarray:
        return nearest(self.head, voxels)


def _check_room(model: Model, source: Any, memory: Any) -> None:
    """That outputs fit into memory, before anything runs."""
    from ..volumes import open_volume

    shape = open_volume(source).shape if is_place(source) else source.shape
    outputs = sum(head.outputs for head in model.method.heads)
    copies = get(model.recipe).copies if model.recipe else Recipe.copies
    wanted = 4 * copies * outputs * math.prod(shape[-3:])
    room = bytes_of(memory) if memory is not None else _available()
    if wanted > room:
        raise MemoryError(
            f"source must fit into memory for the decoder of {model.recipe or 'this model'}: it takes about "
            f"{in_words(wanted)}, and there are {in_words(room)}. Predict it and decode parts, or use a recipe that is "
            "decoded block by block, as lee2017 for affinities and objects for masks are"
        )


def _available() -> int:
    """Bytes of memory that are free."""
    try:
        with open("/proc/meminfo") as file:
            line = next(line for line in file if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):  # not Linux
        return 1 << 62


def _saved(target: Any, labels: Any, like: Any) -> Any:
    from ..volumes import open_volume

    found = np.asarray(labels)
    spacing = getattr(like, "spacing", None)
    with open_volume(target, mode="w", shape=found.shape, dtype=found.dtype, spacing=spacing) as volume:
        volume[...] = found
    return open_volume(target)
