"""MRC (2014) with its kin of IMOD: a header of 1024 bytes, then sections of rows of columns.

Which axis each of them is along is in the header (mapc, mapr, maps); lengths there are in Ångström. IMOD's bytes
without a sign are known by its stamp. https://www.ccpem.ac.uk/mrc_format/mrc2014.php
"""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from .._files import beside
from ._places import Place
from ._scratch import Scratch, check_new
from ._source import About, Source, Whole, numbers_or_none, product

_HEADER = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_WRITTEN = {"int8": (0, "i1"), "int16": (1, "i2"), "float32": (2, "f4"), "uint16": (6, "u2"), "float16": (12, "f2")}
_WIDER = {"uint8": "uint16", "bool": "int8"}
_IMOD = 1146047817
_FIELDS = np.dtype(
    {
        "names": ["n", "mode", "start", "m", "cell", "map", "ispg", "extra", "imod", "flags", "origin", "stamp"],
        "formats": ["3i4", "i4", "3i4", "3i4", "3f4", "3i4", "i4", "i4", "i4", "i4", "3f4", "4u1"],
        "offsets": [0, 12, 16, 28, 40, 64, 88, 92, 152, 156, 196, 212],
        "itemsize": _HEADER,
    }
)


def open_source(place: Place, mode: str, level: int | None) -> Source:
    if place.remote:
        raise ValueError(f"{place.path} must be a local file: copy it first")
    with open(place.path, "rb") as file:
        head = file.read(_HEADER)
        size = os.fstat(file.fileno()).st_size
    if len(head) < _HEADER:
        raise ValueError(f"its header of {_HEADER} bytes is cut short")
    order = _byte_order(head)
    fields = np.frombuffer(head, _FIELDS.newbyteorder(order))[0]
    kind, imod = int(fields["mode"]), int(fields["imod"]) == _IMOD
    if kind not in _MODES:
        raise ValueError(f"its mode must be one of {', '.join(map(str, _MODES))}, got {kind}")
    dtype = np.dtype(_MODES[kind] if kind or not imod or int(fields["flags"]) & 1 else "u1").newbyteorder(order)
    shape = tuple(int(n) for n in fields["n"][::-1])
    start = _HEADER + int(fields["extra"])
    if min(shape) < 0 or start < _HEADER or start + product(shape) * dtype.itemsize > size:
        raise ValueError(f"it is cut short: {shape} of {dtype} from byte {start} on do not fit into {size}")
    about = _about(fields, shape, dtype, imod)
    if not product(shape):
        return Whole(np.empty(shape, about.dtype), about)
    return Whole(np.memmap(place.path, dtype, "r" if mode == "r" else "r+", start, shape), about)


def _byte_order(head: bytes) -> Literal["<", ">"]:
    """By the stamp, else by what makes a mode."""
    if head[212:214] in (b"DD", b"DA"):
        return "<"
    if head[212:214] == b"\x11\x11":
        return ">"
    return "<" if int.from_bytes(head[12:16], "little") in _MODES else ">"


def _about(fields: Any, shape: tuple[int, ...], dtype: np.dtype, imod: bool) -> About:
    letters = {1: "x", 2: "y", 3: "z"}
    axes = "".join(letters.get(int(k), "?") for k in fields["map"][::-1])
    if sorted(axes) != ["x", "y", "z"]:
        if any(fields["map"]):
            raise ValueError(f"its axes (mapc, mapr, maps) must be 1, 2 and 3, got {fields['map'].tolist()}")
        axes = "zyx"
    intervals, cell = (dict(zip("xyz", (float(v) for v in fields[name]), strict=True)) for name in ("m", "cell"))
    sizes = {a: cell[a] / intervals[a] / 10 if intervals[a] > 0 else 0.0 for a in "xyz"}
    if int(fields["ispg"]) == 0 and intervals["z"] == 1 and shape[0] > 1:
        sizes["z"] = 0.0  # a pile of pictures: nothing is said of what is between them
    spacing = numbers_or_none([sizes[a] for a in axes], 3)
    sign = -1 if imod and int(fields["flags"]) & 4 else 1
    origin = dict(zip("xyz", (sign * float(v) / 10 for v in fields["origin"]), strict=True))
    if not any(origin.values()) and spacing is not None:
        first = dict(zip(axes, (int(v) for v in fields["start"][::-1]), strict=True))
        origin = {a: first[a] * sizes[a] for a in "xyz"}
    offset = numbers_or_none([origin[a] for a in axes], 3, positive=False)
    attributes = {"mode": int(fields["mode"]), "ispg": int(fields["ispg"]), "imod": imod}
    return About(shape, dtype.newbyteorder("="), None, None, spacing, offset, axes, attributes)


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    if about.axes != "zyx":
        raise ValueError(f"axes must be 'zyx' for {place.path}, got {about.axes!r}")
    if _WIDER.get(about.dtype.name, about.dtype.name) not in _WRITTEN:
        raise TypeError(f"dtype must be one of {', '.join((*_WRITTEN, *_WIDER))} for {place.path}, got {about.dtype}")
    check_new(place.path, mode)
    return Scratch(place.path, about, lambda array: save(place.path, array, about), fill)


def save(path: str, array: np.ndarray, about: About) -> None:
    """Write a volume; bytes without a sign become 16 bits wide, since the format has none."""
    kind, dtype = _WRITTEN[_WIDER.get(about.dtype.name, about.dtype.name)]
    head = np.zeros((), _FIELDS)
    head["n"], head["mode"], head["m"], head["map"] = array.shape[::-1], kind, array.shape[::-1], (1, 2, 3)
    head["ispg"], head["stamp"] = 1, (0x44, 0x44, 0, 0)
    if about.spacing is not None:
        head["cell"] = [10 * s * n for s, n in zip(about.spacing[::-1], array.shape[::-1], strict=True)]
    if about.offset is not None:
        head["origin"] = [10 * v for v in about.offset[::-1]]
    data = bytearray(head.tobytes())
    data[104:108], data[208:212] = b"MRCO", b"MAP "
    data[108:112] = (20141).to_bytes(4, "little")
    data[76:88] = np.array([0, -1, -2], "<f4").tobytes()  # of values: not worked out
    data[216:220] = np.array([-1], "<f4").tobytes()
    with beside(path) as part, open(part, "wb") as file:
        file.write(data)
        for section in array:
            file.write(np.ascontiguousarray(section, np.dtype(dtype).newbyteorder("<")).tobytes())


__all__ = ["create", "open_source", "save"]
