"""The folder of a run: what it is of, so that the same call goes on and another one is refused."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__, _files, _settings
from .._engine.identity import source_words
from ..errors import AnotherJob
from ..inference._constants import Constants
from ..recipes import Method
from ..sampling import Piece
from ..sampling._gathering import Part
from . import _checkpoint

__all__ = ["about_of", "claim", "words_of"]

_REMEDY = "give another run, or remove this one"


def words_of(pieces: Sequence[Piece]) -> list[Any]:
    """Which data they are: where they lie, or checksums of what is in memory."""
    return [
        {
            "image": _words(piece.image),
            "labels": {name: _words(array) for name, array in piece.labels.items()},
            "masks": {name: _words(array) for name, array in piece.masks.items()},
            "spacing": list(piece.spacing),
            "weight": piece.weight,
        }
        for piece in pieces
    ]


def _words(array: Any) -> Any:
    if isinstance(array, Part):
        return [*source_words(array.source), [[w.start, w.stop] for w in array.window]]
    return source_words(array)


def about_of(
    method: Method, recipe: str | None, constants: Constants, pieces: Sequence[Piece], data: Any, **more: Any
) -> dict[str, Any]:
    """What is written of a run beside its settings."""
    dtypes = {str(np.dtype(piece.image.dtype)) for piece in pieces}
    return {
        "emfast": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "recipe": recipe,
        "normalisation": {"shift": constants.shift, "scale": constants.scale},
        "spacing": list(pieces[0].spacing),
        "dtype": dtypes.pop() if len(dtypes) == 1 else "",
        "images": [piece.name for piece in pieces],
        **more,
        "data": data,
    }


def claim(folder: Path, method: Method, about: Mapping[str, Any]) -> None:
    """Write what the run is of; or make sure that the one that is there is the same, but for the number of steps.
    A run that has no checkpoint has learnt nothing: another one takes its place."""
    found_method, found_about = folder / "method.yaml", folder / "about.json"
    if found_about.exists() and (folder / _checkpoint.LAST).exists():
        with open(found_about, encoding="utf-8") as file:
            before = json.load(file)
        for name in ("recipe", "seed", "data", "precision"):
            if before.get(name) != json.loads(json.dumps(about.get(name))):
                told = _told(name, before, about)
                raise AnotherJob(f"run must be a folder of its own, {folder} is that of {told}; {_REMEDY}")
        _compare(folder, _settings.to_dict(_settings.read(Method, found_method)), _settings.to_dict(method))
    with _files.beside(found_about) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(about, file, indent=1)
    title = f"recipe {about['recipe']}" if about["recipe"] else "a method of its own"
    _settings.write(method, found_method, comment=f"{title}, as it is trained here")


def _told(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name == "data":
        was, came = ", ".join(before.get("images", [])), ", ".join(now["images"])
        words = _other_data(before["data"], now["data"]) if was == came else f"{was or 'other ones'}; now {came}"
        return f"other data ({words})"
    return f"another {name} ({before.get(name)}; now {now.get(name)})"


def _other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs where the images have the same names: numbers as they are, of arrays that they do."""
    found = []
    for part in ("train", "validation"):
        if len(before[part]) != len(now[part]):
            return f"{len(before[part])} pieces for {part}; now {len(now[part])}"
        for k, (was, came) in enumerate(zip(before[part], json.loads(json.dumps(now[part])), strict=True)):
            for name in (name for name in was if was[name] != came[name]):
                told = f"{was[name]}; now {came[name]}" if name in ("spacing", "weight") else "written since, or moved"
                found.append(f"{name} of {part}[{k}]: {told}")
    return ", ".join(found[:3])


def _compare(folder: Path, before: Any, now: Any) -> None:
    differing = [each for each in _differing(before, now, "") if each[0] != "steps"]
    if differing:
        words = "; ".join(f"{place} was {was!r} and is {came!r}" for place, was, came in differing[:3])
        raise AnotherJob(f"run must be a folder of its own, {folder} is that of another method: {words}; {_REMEDY}")


def _differing(before: Any, now: Any, place: str) -> list[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = list(dict.fromkeys([*before, *now]))
        join = f"{place}." if place else ""
        return [d for n in names for d in _differing(before.get(n), now.get(n), f"{join}{n}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [d for k, (a, b) in enumerate(zip(before, now, strict=True)) for d in _differing(a, b, f"{place}[{k}]")]
    return [] if before == now else [(place, before, now)]
