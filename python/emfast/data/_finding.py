"""Finding the files of a dataset, wherever in its folder an archive has put them."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator

_SKIPPED = ("__MACOSX",)


def walk(folder: str) -> Iterator[str]:
    """All files below, in the order of their names; hidden ones, unfinished ones and those of stores are left out."""
    for place in folders(folder):
        if place != folder and _is_store(place):
            continue
        for name in sorted(os.listdir(place)):
            path = os.path.join(place, name)
            if not name.startswith(".") and not name.endswith((".part", ".part.json")) and os.path.isfile(path):
                yield path


def folders(folder: str) -> Iterator[str]:
    """The folder and all below it, in order. A store of chunks is one, whatever is in it."""
    for place, below, _ in os.walk(folder):
        leaf = place != folder and _is_store(place)
        below[:] = [] if leaf else sorted(f for f in below if not f.startswith(".") and f not in _SKIPPED)
        yield place


def _is_store(place: str) -> bool:
    return place.endswith((".zarr", ".n5"))


def find(folder: str, *patterns: str) -> str | None:
    """The one file whose name fits a pattern, the first pattern that any does; None where there is none."""
    for pattern in patterns:
        found = find_all(folder, pattern)
        if len(found) > 1:
            raise ValueError(f"{folder} must hold one {pattern}, got {', '.join(found[:4])}")
        if found:
            return found[0]
    return None


def find_all(folder: str, pattern: str) -> list[str]:
    """The files whose last parts fit a pattern such as ``Image/train/*.h5``; numbers in names count as numbers."""
    wanted = pattern.split("/")
    found = [p for p in walk(folder) if _fits(os.path.relpath(p, folder), wanted)]
    return sorted(found, key=natural)


def find_folder(folder: str, *names: str) -> str | None:
    """The folder of that name, at any depth, or the folder itself; the first name that there is."""
    for name in names:
        wanted = name.split("/")
        found = [p for p in folders(folder) if _fits(os.path.abspath(p), wanted)]
        if len(found) > 1:
            raise ValueError(f"{folder} must hold one folder {name}, got {', '.join(found[:4])}")
        if found:
            return found[0]
    return None


def _fits(path: str, wanted: list[str]) -> bool:
    parts = path.split(os.sep)
    if len(parts) < len(wanted):
        return False
    return all(fnmatch.fnmatchcase(p, w) for p, w in zip(parts[-len(wanted) :], wanted, strict=True))


def needed(found: str | None, folder: str, what: str) -> str:
    """What was found; else an error that says what was looked for and what is there."""
    if found is None:
        there = sorted(n for n in os.listdir(folder) if not n.startswith(".")) if os.path.isdir(folder) else []
        came = ", ".join(there[:8]) or "nothing"
        raise FileNotFoundError(f"{folder} must hold {what}, got {came}")
    return found


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key by which 9 comes before 10."""
    parts = re.split(r"(\d+)", text)
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts]


def stem(path: str) -> str:
    """The name of a file without its ending, ``.nii.gz`` and the like included."""
    name = os.path.basename(path)
    return re.sub(r"(\.nii|\.map|\.mrc)?\.[A-Za-z0-9]+$", "", name)


__all__ = ["find", "find_all", "find_folder", "folders", "natural", "needed", "stem", "walk"]
