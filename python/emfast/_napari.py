"""The reader that napari finds (napari.yaml): volumes as layers, read as they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The reader of these places; None where one of them holds no volume that emfast opens."""
    from .volumes import volumes_in

    try:
        found = all(volumes_in(place) for place in _listed(path))
    except (ValueError, OSError, ModuleNotFoundError):
        return None
    return read if found else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """A layer for each volume: labels where it holds integers but uint8; channels have a slider of their own."""
    from .volumes import open_volume, volumes_in

    return [_layer(open_volume(place)) for each in _listed(path) for place in volumes_in(each)]


def _layer(volume: Any) -> LayerData:
    kind = "labels" if volume.dtype.kind in "biu" and volume.dtype != "u1" and "c" not in volume.axes else "image"
    options: dict[str, Any] = {"name": volume.uri.rpartition("/")[2], "metadata": {"emfast": volume.attributes}}
    if volume.spacing is not None:
        before = volume.ndim - len(volume.spacing)
        options["scale"] = (1.0,) * before + volume.spacing
        options["translate"] = (0.0,) * before + (volume.offset or (0.0,) * len(volume.spacing))
        options["units"] = ("pixel",) * before + ("nm",) * len(volume.spacing)
    return volume, options, kind


def _listed(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
