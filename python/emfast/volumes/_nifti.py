"""NIfTI: axes x, y, z, then time. ``.nii`` is memory mapped; ``.nii.gz`` comes into memory when read."""

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

_AXES = "xyztcuvw"  # in the order of the file; the fifth is for vectors
_UNITS = {"meter": "m", "mm": "mm", "micron": "um"}
_MOST = 32767  # of voxels along an axis in NIfTI-1


class Nifti(Source):
    """The array in the order of the file, scaled as its header says."""

    def __init__(self, path: str, nibabel: Any) -> None:
        self.path, self.packed = path, path.lower().endswith(".gz")
        self.lock = threading.Lock()
        self.array: np.ndarray | None = None
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(1 << 12) if not self.packed else _start(path, file.read(1 << 16))
        header = _header(nibabel, head)
        shape = tuple(int(n) for n in header.get_data_shape())
        self.stored, self.start = header.get_data_dtype(), int(header.get_data_offset())
        if self.stored.kind not in "biuf" or self.stored.itemsize > 8:
            raise ValueError(f"it must hold integers or floats of up to 64 bits, got {self.stored}")
        slope, inter = header.get_slope_inter()
        self.scale = (1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter))
        needed = self.start + product(shape) * self.stored.itemsize
        if min(shape, default=0) < 0 or self.start < 0 or needed > (size * 1100 if self.packed else size):
            raise ValueError(f"it is cut short: {shape} of {self.stored} do not fit into {size} bytes")
        self.needed = needed
        dtype = self.stored.newbyteorder("=") if self.scale == (1.0, 0.0) else np.dtype("f8")
        axes = _AXES[: len(shape)]
        spacing, offset = _geometry(header, sum(a in SPACE for a in axes))
        about = {"descrip": bytes(header["descrip"]).rstrip(b"\0").decode("latin1")}
        self.about = About(shape, dtype, None, None, spacing, offset, axes, about)

    def read(self, window: Window) -> np.ndarray:
        part = np.array(self._array()[window])
        if self.scale == (1.0, 0.0):
            return part.astype(self.about.dtype, copy=False)
        return part.astype(np.float64) * self.scale[0] + self.scale[1]

    def _array(self) -> np.ndarray:
        with self.lock:
            if self.array is None:
                self.array = self._loaded()
            return self.array

    def _loaded(self) -> np.ndarray:
        shape = self.about.shape
        if not product(shape):
            return np.empty(shape, self.stored)
        if not self.packed:
            return np.memmap(self.path, self.stored, "r", self.start, shape, "F")
        with open(self.path, "rb") as file:
            data = packer("gzip", {}).unpack(file.read(), self.needed + (1 << 20))
        if len(data) < self.needed:
            raise ValueError(f"it is cut short: {self.needed} bytes were wanted, {len(data)} are there")
        return np.frombuffer(data, self.stored, product(shape), self.start).reshape(shape, order="F")

    def close(self) -> None:
        self.array = None


def _start(path: str, packed: bytes) -> bytes:
    """The first bytes of a packed file."""
    import zlib

    return zlib.decompressobj(31).decompress(packed, 1 << 12)


def _header(nibabel: Any, head: bytes) -> Any:
    kinds = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    found = {int.from_bytes(head[:4], order) for order in ("little", "big")} & set(kinds)
    if not found:
        raise ValueError("it is no NIfTI")
    kind = kinds[found.pop()]
    if len(head) < kind.template_dtype.itemsize:
        raise ValueError("its header is cut short")
    return kind(head[: kind.template_dtype.itemsize], check=False)


def _geometry(header: Any, count: int) -> tuple[Any, Any]:
    """Spacing and offset along x, y, z. World axes against the voxels' (ITK writes them) are turned about."""
    unit = nanometres(_UNITS.get(str(header.get_xyzt_units()[0]), ""))
    if unit is None:
        return None, None
    spacing = numbers_or_none([float(v) for v in header.get_zooms()[:count]], count, unit)
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        return spacing, None
    affine = header.get_best_affine()
    turn, shift = affine[:3, :3], affine[:3, 3]
    signs = np.sign(np.diag(turn))
    if not np.isfinite(affine).all() or np.count_nonzero(turn - np.diag(np.diag(turn))) or not signs.all():
        return spacing, None
    return spacing, numbers_or_none([float(v) for v in (signs * shift)[:count]], count, unit, positive=False)


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.remote:
        raise ValueError(f"{place.path} must be a local file: copy it first")
    with open(place.path, "rb"):  # says plainly what cannot be opened
        pass
    return Nifti(place.path, library("nibabel", place.path, "formats"))


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    library("nibabel", place.path, "formats")
    if about.axes not in ("zyx", "tzyx", "ctzyx", "yx"):
        raise ValueError(f"axes for {place.path} must be 'zyx', 'tzyx' or 'yx', got {about.axes!r}")
    if about.dtype == np.float16:
        raise TypeError(f"dtype must be bool, integers or floats of 32 or 64 bits for {place.path}, got {about.dtype}")
    codec_of(codec)
    check_new(place.path, mode)
    return Scratch(place.path, about, lambda array: save(place.path, array, about), fill)


def save(path: str, array: np.ndarray, about: About) -> None:
    """Write a volume, in micrometres. Packed where the name ends in .gz; truth values as bytes."""
    import gzip

    nibabel = library("nibabel", path, "formats")
    shape = array.shape[::-1]
    second = max(shape, default=0) > _MOST
    header = (nibabel.Nifti2Header if second else nibabel.Nifti1Header)()
    dtype = np.dtype("u1") if array.dtype == bool else array.dtype
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["vox_offset"] = start = 544 if second else 352
    header["magic"] = b"n+2\0\r\n\x1a\n" if second else b"n+1"
    header["scl_slope"], header["scl_inter"] = 1, 0
    if about.spacing is not None:
        sizes = [v / 1e3 for v in about.spacing[::-1]]
        header.set_zooms([*sizes, *[1.0] * (len(shape) - len(sizes))])
        header.set_xyzt_units("micron")
        if about.offset is not None:
            header.set_sform(_affine(sizes, about.offset[::-1]), code=1)
    with beside(path) as part, open(part, "wb") as raw:
        packed = gzip.GzipFile("", "wb", 4, raw, mtime=0) if path.lower().endswith(".gz") else None
        file: Any = packed or raw
        file.write(header.binaryblock.ljust(start, b"\0"))
        for section in array:
            file.write(np.ascontiguousarray(section, dtype.newbyteorder("<")).tobytes())
        if packed:
            packed.close()


def _affine(sizes: list[float], offset: tuple[float, ...]) -> np.ndarray:
    affine = np.eye(4)
    for i, (size, shift) in enumerate(zip(sizes, offset, strict=True)):
        affine[i, i], affine[i, 3] = size, shift / 1e3
    return affine


__all__ = ["create", "open_source", "save"]
