"""NRRD: axes from the fastest on, x, y, z where nothing else is said. Raw data are memory mapped.

https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from .._files import beside
from ._codecs import packer
from ._places import Place
from ._scratch import Scratch, check_new
from ._source import SPACE, About, Source, Window, library, nanometres, numbers_or_none, product
from ._zarr import codec_of

_SPATIAL = ("domain", "space", "none", "???", "")
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bz2", "bz2": "bz2"}
_TYPES = {"int8": "signed char", "uint8": "uchar", "float32": "float", "float64": "double"}
_MOST_HEADER = 1 << 20


class Nrrd(Source):
    """The array in the order of the file: the fastest axis first."""

    def __init__(self, path: str, nrrd: Any) -> None:
        self.path, self.lock = path, threading.Lock()
        self.array: np.ndarray | None = None
        with open(path, "rb") as file:
            lines = _lines(file)
            self.start = file.tell()
        header = nrrd.read_header(lines)
        shape = tuple(int(n) for n in header["sizes"])
        encoding = _ENCODINGS.get(str(header["encoding"]).lower())
        if encoding is None:
            raise ValueError(f"its encoding must be raw, gzip or bzip2, got {header['encoding']}")
        self.encoding, self.data = encoding, path
        if (detached := header.get("data file", header.get("datafile"))) is not None:
            self.data, self.start = _beside(path, str(detached)), 0
        if int(header.get("line skip", header.get("lineskip", 0))):
            raise ValueError("it skips lines, which is not read here")
        self.skip = int(header.get("byte skip", header.get("byteskip", 0)))
        self.stored = np.dtype(nrrd.reader._determine_datatype(header))
        if self.stored.kind not in "iuf" or min(shape, default=1) < 0 or len(shape) != int(header["dimension"]):
            raise ValueError(f"it must hold numbers in {header['dimension']} axes, got {shape} of {self.stored}")
        self.needed = product(shape) * self.stored.itemsize
        self._check_size()
        axes = _axes(header, len(shape))
        spacing, offset = _geometry(header, axes)
        said = {str(k): str(v) for k, v in header.items() if k not in ("sizes", "dimension")}
        self.about = About(shape, self.stored.newbyteorder("="), None, None, spacing, offset, axes, said)

    def _check_size(self) -> None:
        size = os.path.getsize(self.data) - self.start
        if self.skip == -1 and self.encoding == "raw":
            self.start, self.skip, size = self.start + size - self.needed, 0, min(size, self.needed)
        if self.skip < 0 or self.skip + self.needed > (size if self.encoding == "raw" else size * (1 << 14)):
            raise ValueError(f"it is cut short: {self.needed} bytes of data do not fit into {size}")

    def read(self, window: Window) -> np.ndarray:
        with self.lock:
            if self.array is None:
                self.array = self._loaded()
            array: np.ndarray = self.array
        return np.array(array[window]).astype(self.about.dtype, copy=False)

    def _loaded(self) -> np.ndarray:
        shape = self.about.shape
        if not product(shape):
            return np.empty(shape, self.stored)
        if self.encoding == "raw":
            return np.memmap(self.data, self.stored, "r", self.start + self.skip, shape, "F")
        with open(self.data, "rb") as file:
            file.seek(self.start)
            data = packer(self.encoding, {}).unpack(file.read(), self.needed + self.skip)
        if len(data) < self.needed + self.skip:
            raise ValueError(f"it is cut short: {self.needed} bytes were wanted, {len(data) - self.skip} are there")
        return np.frombuffer(data, self.stored, product(shape), self.skip).reshape(shape, order="F")

    def close(self) -> None:
        self.array = None


def _lines(file: Any) -> list[str]:
    """The header, to the empty line that ends it."""
    if file.read(7)[:5] != b"NRRD0":
        raise ValueError("it is no NRRD")
    file.seek(0)
    lines = []
    while line := file.readline(_MOST_HEADER).rstrip(b"\r\n"):
        lines.append(line.decode("utf-8", "replace"))
        if file.tell() > _MOST_HEADER:
            raise ValueError("its header is too long")
    return lines


def _beside(path: str, name: str) -> str:
    """Data in a file of its own: one, in the folder of the header."""
    if "%" in name or name.upper().startswith("LIST") or os.path.isabs(name) or ".." in name.split("/"):
        raise ValueError(f"its data must lie in one file beside it, got {name[:80]}")
    return os.path.join(os.path.dirname(path), name)


def _axes(header: Any, dims: int) -> str:
    kinds = [str(k).lower() for k in header.get("kinds", [])] or ["domain"] * dims
    directions = header.get("space directions")
    if len(kinds) != dims:
        raise ValueError(f"its kinds must be {dims}, got {len(kinds)}")
    if "kinds" not in header and directions is not None and len(directions) == dims:
        kinds = ["list" if d is None or np.isnan(np.asarray(d, float)).any() else "domain" for d in directions]
    spatial, others = iter("xyz"), iter("ctuvw")
    if sum(k in _SPATIAL for k in kinds) > 3:
        kinds = ["domain"] * 3 + ["list"] * (dims - 3)
    return "".join(next(spatial) if k in _SPATIAL else next(others) for k in kinds)


def _geometry(header: Any, axes: str) -> tuple[Any, Any]:
    """Spacing and offset in the order of the axes of space, where a unit is said and the axes are straight."""
    space = [i for i, a in enumerate(axes) if a in SPACE]
    directions = header.get("space directions")
    if directions is None:
        sizes, units = header.get("spacings"), [str(u) for u in header.get("units", [])]
        if sizes is None or len(units) != len(axes) or len(sizes) != len(axes):
            return None, None
        scales = [nanometres(units[i]) or 0 for i in space]
        spacing = numbers_or_none([float(sizes[i]) * k for i, k in zip(space, scales, strict=True)], len(space))
        return spacing, _of_mins(header, space, spacing, scales)
    lengths = [nanometres(str(u)) or 0.0 for u in header.get("space units", [])]
    if len(directions) != len(axes) or len(lengths) != len(space) or 0.0 in lengths:
        return None, None
    rows = np.array([np.zeros(len(space)) if directions[i] is None else directions[i] for i in space], float)
    if rows.shape != (len(space),) * 2:
        return None, None
    scale = np.array(lengths)
    spacing = numbers_or_none(np.linalg.norm(rows * scale, axis=1), len(space))
    origin = header.get("space origin")
    straight = np.count_nonzero(rows) == len(space) and np.all(np.diag(rows) != 0)
    if origin is None or len(origin) != len(space) or not straight:
        return spacing, None
    return spacing, numbers_or_none(
        np.asarray(origin, float) * scale * np.sign(np.diag(rows)), len(space), positive=False
    )


def _of_mins(header: Any, space: list[int], spacing: Any, scales: list[float]) -> Any:
    """Where the first voxels are; the axes of cells begin half a voxel before them."""
    mins = header.get("axis mins", header.get("axismins"))
    kinds = [str(k).lower() for k in header.get("centerings", header.get("centers", []))]
    if spacing is None or mins is None or len(mins) <= max(space, default=-1):
        return None
    half = [0.5 if len(kinds) == len(mins) and kinds[i] == "cell" else 0.0 for i in space]
    found = [float(mins[i]) * k + h * s for i, k, h, s in zip(space, scales, half, spacing, strict=True)]
    return numbers_or_none(found, len(space), positive=False)


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.remote:
        raise ValueError(f"{place.path} must be a local file: copy it first")
    with open(place.path, "rb"):  # says plainly what cannot be opened
        pass
    return Nrrd(place.path, library("nrrd", place.path, "formats"))


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    if about.dtype == np.float16:
        raise TypeError(f"dtype must be bool, integers or floats of 32 or 64 bits for {place.path}, got {about.dtype}")
    if not place.path.lower().endswith(".nrrd"):
        raise ValueError(f"{place.path} must end in .nrrd to be written")
    if about.axes not in ("yx", "zyx", "cyx", "czyx"):
        raise ValueError(f"axes for {place.path} must be 'yx', 'zyx' or those with channels before, got {about.axes!r}")
    packed = codec_of(codec)[0] == "gzip"
    check_new(place.path, mode)
    return Scratch(place.path, about, lambda array: save(place.path, array, about, packed), fill)


def save(path: str, array: np.ndarray, about: About, packed: bool = False) -> None:
    """Write a volume; raw, to be mapped, unless gzip is asked for. Truth values as bytes."""
    import gzip

    dtype = np.dtype("u1") if array.dtype == bool else array.dtype
    axes = about.axes[::-1]
    lines = [
        "NRRD0005",
        f"type: {_TYPES.get(dtype.name, dtype.name)}",
        f"dimension: {array.ndim}",
        f"sizes: {' '.join(str(n) for n in array.shape[::-1])}",
        f"encoding: {'gzip' if packed else 'raw'}",
        *(["endian: little"] if dtype.itemsize > 1 else []),
        f"kinds: {' '.join('domain' if a in SPACE else 'list' for a in axes)}",
    ]
    if about.spacing is not None:
        sizes = about.spacing[::-1]
        rows = [_vector([v if i == j else 0.0 for j in range(len(sizes))]) for i, v in enumerate(sizes)]
        lines += [
            f"space dimension: {len(sizes)}",
            f"space directions: {' '.join(rows + ['none'] * (len(axes) - len(sizes)))}",
            f"space origin: {_vector((about.offset or (0.0,) * len(sizes))[::-1])}",
            "space units: " + " ".join(['"nm"'] * len(sizes)),
        ]
    with beside(path) as part, open(part, "wb") as raw:
        raw.write(("\n".join(lines) + "\n\n").encode())
        file: Any = gzip.GzipFile("", "wb", 4, raw, mtime=0) if packed else raw
        for section in array:
            file.write(np.ascontiguousarray(section, dtype.newbyteorder("<")).tobytes())
        if packed:
            file.close()


def _vector(values: Any) -> str:
    return f"({','.join(repr(float(v)) for v in values)})"


__all__ = ["create", "open_source", "save"]
