"""OME-Zarr (NGFF 0.4 and 0.5): what a group says of its pyramid. https://ngff.openmicroscopy.org"""

from __future__ import annotations

from typing import Any

from ._source import SPACE, nanometres, numbers_or_none

Geometry = tuple[str, tuple[float, ...] | None, tuple[float, ...] | None]
_LETTERS = {"channel": "c", "time": "t"}


def pyramid_of(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The first multiscale of a group's attributes, of 0.5 below ``ome``."""
    for holder in (attributes.get("ome"), attributes):
        scales = holder.get("multiscales") if isinstance(holder, dict) else None
        if isinstance(scales, list) and scales and isinstance(scales[0], dict):
            return scales[0]
    return None


def levels_of(pyramid: dict[str, Any]) -> list[dict[str, Any]]:
    levels = pyramid.get("datasets")
    if not isinstance(levels, list) or not all(isinstance(k, dict) and isinstance(k.get("path"), str) for k in levels):
        raise ValueError("its multiscales must list datasets with a path each")
    return levels


def path_of(pyramid: dict[str, Any], level: int, name: str) -> str:
    """Where a level is."""
    levels = levels_of(pyramid)
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level < len(levels):
        raise ValueError(f"level must be from 0 to {len(levels) - 1} for {name}, got {level!r}")
    path = levels[level]["path"].strip("/")
    if ".." in path.split("/"):
        raise ValueError(f"its datasets must lie below it, got {path!r}")
    return path


def letters_of(names: Any, dims: int) -> str:
    """Axes by their names, or nothing where they are not one each of those that we know."""
    if not isinstance(names, (list, tuple)) or len(names) != dims:
        return ""
    axes = [_LETTERS.get(str(n).lower().removesuffix("^"), str(n).lower().removesuffix("^")) for n in names]
    good = len(set(axes)) == dims and all(len(a) == 1 and a.isascii() and a.islower() for a in axes)
    return "".join(axes) if good else ""


def geometry_of(pyramid: dict[str, Any], path: str, dims: int) -> Geometry | None:
    """Axes, spacing and offset of a level, in the order of its axes; None where it is no level of the pyramid."""
    level = next((k for k in levels_of(pyramid) if k["path"].strip("/") == path), None)
    if level is None:
        return None
    said = pyramid.get("axes") or ["t", "c", "z", "y", "x"][-dims:]  # versions before 0.4 name none or only letters
    if not isinstance(said, list):
        raise ValueError(f"its axes must be a list, got {str(said)[:80]}")
    found = [a if isinstance(a, dict) else {"name": a} for a in said]
    axes = letters_of([a.get("name") for a in found], dims)
    if not axes:
        raise ValueError(f"its multiscales must name {dims} axes, one letter each, got {str(said)[:80]}")
    scale, shift = [1.0] * dims, [0.0] * dims
    scaled = False
    for transform in [*_transforms(level), *_transforms(pyramid)]:
        values = transform.get(kind := str(transform.get("type")))
        if kind not in ("scale", "translation"):
            continue
        numbers = numbers_or_none(values if isinstance(values, list) else None, dims, positive=False)
        if numbers is None:
            raise ValueError(f"its {kind} must be {dims} numbers, got {str(values)[:80]}")
        if kind == "scale":
            scaled = True
            scale = [a * b for a, b in zip(scale, numbers, strict=True)]
            shift = [a * b for a, b in zip(shift, numbers, strict=True)]
        else:
            shift = [a + b for a, b in zip(shift, numbers, strict=True)]
    space = [i for i in range(dims) if axes[i] in SPACE]
    units = [nanometres(found[i].get("unit")) for i in space]
    if not scaled or None in units:
        return axes, None, None
    spacing = numbers_or_none([scale[i] * (u or 1) for i, u in zip(space, units, strict=True)], len(space))
    offset = [shift[i] * (u or 1) for i, u in zip(space, units, strict=True)]
    return axes, spacing, numbers_or_none(offset, len(space), positive=False)


def said_of(
    axes: str, levels: list[tuple[str, Any, Any]], version: str, unit: str | None, kind: str, name: str
) -> dict[str, Any]:
    """The attributes of a group with these levels: path, spacing and offset. Without a unit they are in voxels."""
    space = [i for i, a in enumerate(axes) if a in SPACE]
    kinds = {"t": "time", "c": "channel"}
    listed: list[dict[str, Any]] = [{"name": a, "type": kinds.get(a, "space")} for a in axes]
    for i in space if unit else ():
        listed[i]["unit"] = unit
    datasets = []
    for path, spacing, offset in levels:
        scale, shift = [1.0] * len(axes), [0.0] * len(axes)
        for i, size, first in zip(space, spacing, offset, strict=True):
            scale[i], shift[i] = size, first
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": path, "coordinateTransformations": transforms})
    scales = [{"name": name or "volume", "axes": listed, "datasets": datasets, "type": kind}]
    if version == "0.5":
        return {"ome": {"version": version, "multiscales": scales}}
    return {"multiscales": [{"version": version, **scales[0]}]}


def _transforms(holder: dict[str, Any]) -> list[dict[str, Any]]:
    found = holder.get("coordinateTransformations") or []
    if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
        raise ValueError("its coordinateTransformations must be a list of objects")
    return found
