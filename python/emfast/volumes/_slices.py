"""Folders and patterns of slices: PNG, JPEG or TIFF files in the order of their numbers, none missing."""

from __future__ import annotations

import glob
import os
import re
import tempfile
from typing import Any

import numpy as np

from ._places import PICTURES, Place, is_pattern
from ._pool import each
from ._scratch import Scratch
from ._source import About, Source, Window, lengths, library, product, telling
from ._stores import Reader

_MOST_RATIO = 1 << 15
_NUMBERS = re.compile(r"\d+")


class Slices(Source):
    """One picture per z. All must have the shape and dtype of the first, which is found when they are read."""

    def __init__(self, place: str, files: list[str]) -> None:
        first = read_picture(files[0])
        self.place, self.files, self.single = place, files, len(files) == 1 and os.path.isfile(place)
        self.picture, dtype = first.shape, first.dtype
        axes = "yx" if first.ndim == 2 else "yxc"
        if not self.single:
            axes = f"z{axes}"
        self.about = About(first.shape if self.single else (len(files), *first.shape), dtype, axes=axes)
        chunks = self.about.shape if self.single else (1, *first.shape)
        self.about = About(self.about.shape, dtype, chunks, axes=axes)

    def read(self, window: Window) -> np.ndarray:
        if self.single:
            return self._picture(0)[window].copy()
        out = np.empty(lengths(window), self.about.dtype)
        chosen = range(window[0].start, window[0].stop, window[0].step)

        def fetch(k: int) -> None:
            out[k] = self._picture(chosen[k])[window[1:]]

        each(fetch, range(len(chosen)))
        return out

    def _picture(self, k: int) -> np.ndarray:
        found = read_picture(self.files[k])
        if found.shape != self.picture or found.dtype != self.about.dtype:
            came = f"{found.shape} of {found.dtype}"
            raise ValueError(f"{self.files[k]} must be {self.picture} of {self.about.dtype} as the first, got {came}")
        return found


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.remote:
        raise ValueError(f"{place.path} must be a local folder: slices at an address cannot be listed")
    return Slices(place.path, files_of(place.path))


def files_of(path: str) -> list[str]:
    """The slices of a folder, of a pattern or the one picture, sorted by number; one that is missing is an error."""
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        names = [n for n in os.listdir(path) if not n.startswith(".")]
        found = [os.path.join(path, n) for n in names if os.path.splitext(n)[1].lower() in PICTURES]
    else:
        found = glob.glob(path) if is_pattern(path) else []
    if not found:
        raise FileNotFoundError(f"no such slices: {path}")
    endings = sorted({os.path.splitext(f)[1].lower() for f in found})
    if len(endings) > 1:
        raise ValueError(f"{path} must hold slices of one kind, got {', '.join(endings)}: choose by a pattern as *.png")
    unknown = [f for f in found if os.path.splitext(f)[1].lower() not in PICTURES]
    if unknown:
        raise ValueError(f"slices must end in {', '.join(PICTURES)}, got {unknown[0]}")
    return in_order(found, path)


def in_order(files: list[str], where: str) -> list[str]:
    """Sorted by the one number in which their names differ."""
    if len(files) == 1:
        return files
    named = {f: _NUMBERS.split(os.path.basename(f)) for f in files}
    numbers = {f: [int(n) for n in _NUMBERS.findall(os.path.basename(f))] for f in files}
    first = files[0]
    odd = next((f for f in files if named[f] != named[first]), None)
    if odd is not None:
        names = f"{os.path.basename(first)} and {os.path.basename(odd)}"
        raise ValueError(f"slices of {where} must differ in their number alone, got {names}: choose by a pattern")
    varying = [i for i in range(len(numbers[first])) if len({numbers[f][i] for f in files}) > 1]
    if len(varying) != 1:
        raise ValueError(f"slices of {where} must differ in one number, got {len(varying)} that vary: use a pattern")
    place = varying[0]
    files = sorted(files, key=lambda f: numbers[f][place])
    values = [numbers[f][place] for f in files]
    steps = [b - a for a, b in zip(values, values[1:], strict=False)]
    if min(steps) == 0:
        twin = steps.index(0)
        names = f"{os.path.basename(files[twin])} and {os.path.basename(files[twin + 1])}"
        raise ValueError(f"slices of {where} must have a number each, got {names}")
    gap = next((i for i, step in enumerate(steps) if step != min(steps)), None)
    if gap is not None:
        missing = values[gap] + min(steps)
        sides = f"{os.path.basename(files[gap])} and {os.path.basename(files[gap + 1])}"
        raise ValueError(f"slice {missing} of {where} is missing, between {sides}: add it, or choose by a pattern")
    return files


def read_picture(path: str) -> np.ndarray:
    """A picture as (y, x) or (y, x, c)."""
    with telling(path):
        if path.lower().endswith((".tif", ".tiff")):
            from . import _tiff

            source = _tiff.open_source(Place(path, "", "tiff"), "r", None)
            try:
                array = source.read(tuple(slice(0, n, 1) for n in source.about.shape))
            finally:
                source.close()
            if source.about.axes in ("cyx",):
                array = np.moveaxis(array, 0, -1)
            if array.ndim == 3 and source.about.axes not in ("cyx", "yxc"):
                raise ValueError(f"a slice must be one picture, got a stack {array.shape}")
        else:
            array = _read_pillow(path)
        if array.ndim not in (2, 3):
            raise ValueError(f"a slice must be one picture, got {array.shape}")
        return array


def _read_pillow(path: str) -> np.ndarray:
    plugins = _plugins(path)
    with Reader(path) as file, plugins(file) as picture:  # opened as what it is called: no guess, no limit but ours
        size = file.handle.size
        if product(picture.size) > size * _MOST_RATIO:
            raise ValueError(f"a picture of {picture.size} cannot come from a file of {size} bytes")
        array = np.array(picture)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"a picture must hold numbers, got {array.dtype}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _plugins(path: str) -> Any:
    if path.lower().endswith(".png"):
        return library("PIL.PngImagePlugin", path).PngImageFile
    return library("PIL.JpegImagePlugin", path).JpegImageFile


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    """A folder of slices by a pattern with one ``*``, which becomes their number; or one picture."""
    single = "*" not in place.path
    ending = os.path.splitext(place.path)[1].lower()
    wanted = "yx" if single else "zyx"
    if about.axes != wanted:
        raise ValueError(f"axes must be {wanted!r} for {place.path}, got {about.axes!r}")
    if ending in (".png",) and about.dtype.name not in ("bool", "uint8", "uint16"):
        raise TypeError(f"dtype must be uint8, uint16 or bool for {place.path}, got {about.dtype}: .tif takes all")
    if ending in (".jpg", ".jpeg"):
        raise ValueError(f"{place.path} must end in .png or .tif to be written: JPEG changes values")
    if single:
        from ._scratch import check_new

        check_new(place.path, mode)
        return Scratch(place.path, about, lambda array: _write_single(place.path, array), fill)
    folder, pattern = os.path.split(place.path)
    if pattern.count("*") != 1 or any(sign in place.path for sign in "?["):
        raise ValueError(f"new slices must be named by a pattern with one *, as em/*.png, got {place.path}")
    _check_folder(folder, pattern, mode)
    return Scratch(folder, about, lambda array: _write_all(folder, pattern, array), fill)


def _check_folder(folder: str, pattern: str, mode: str) -> None:
    """Slices take the place of slices by the same pattern, of nothing else."""
    if not os.path.exists(folder):
        return
    if not os.path.isdir(folder):
        raise FileExistsError(f"{folder} must be a folder")
    names = [n for n in os.listdir(folder) if not n.startswith(".")]
    ours = re.compile(re.escape(pattern).replace(r"\*", r"\d+") + r"\Z")
    strange = [n for n in names if not ours.match(n)]
    if strange or (names and mode == "x"):
        raise FileExistsError(f"{folder} also holds {(strange or names)[0]}: choose another folder")


def _write_all(folder: str, pattern: str, array: np.ndarray) -> None:
    digits = max(4, len(str(len(array))))
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder) or ".", prefix=".emfast-") as beside_it:
        new = os.path.join(beside_it, "new")
        os.mkdir(new)
        for k, picture in enumerate(array):
            _write_single(os.path.join(new, pattern.replace("*", f"{k:0{digits}d}")), picture)
        if os.path.exists(folder):
            os.rename(folder, os.path.join(beside_it, "old"))
        os.rename(new, folder)


def _write_single(path: str, array: np.ndarray) -> None:
    from .._files import beside

    if path.lower().endswith((".tif", ".tiff")):
        from . import _tiff

        _tiff.save(path, array, About(array.shape, array.dtype))
        return
    image = library("PIL.Image", path)
    with beside(path) as part:
        image.fromarray(np.ascontiguousarray(array)).save(part, format="png")


__all__ = ["Slices", "create", "files_of", "in_order", "open_source"]
