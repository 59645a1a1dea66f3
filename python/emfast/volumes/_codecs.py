"""How chunks are packed: chains of codecs as Zarr and N5 name them, the other way round to read.

A header may say anything: nothing is allocated before the sizes that packed data claims agree with the chunk's.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._source import library, product

_MOST_RATIO = 1 << 17  # no codec here packs tighter
_KEPT = 1 << 25  # bytes of scratch that a thread keeps
_CRC_OF_ALL = 0x48674BC7  # crc32c over any data that is followed by its own crc32c
_local = threading.local()


class Unknown(Exception):
    """A codec that only another library may know."""


@dataclass(frozen=True)
class Packer:
    """One step from bytes to bytes. ``unpack`` gets how many bytes may come out at most."""

    name: str
    pack: Callable[[Any], bytes]
    unpack: Callable[[Any, int], Any]


@dataclass(frozen=True)
class Chain:
    """From an array to bytes: ``stored`` is the dtype with its byte order, ``order`` that of the axes in the file."""

    stored: np.dtype
    packers: tuple[Packer, ...] = ()
    order: tuple[int, ...] | None = None

    def decode(self, data: bytes, shape: Sequence[int]) -> np.ndarray:
        """The array, in the axes' own order; it may lie in this thread's scratch until the next is decoded."""
        expected = product(shape) * self.stored.itemsize
        if self.packers and expected > (len(data) + 1) * _MOST_RATIO:
            raise ValueError(f"{len(data)} bytes cannot hold the {expected} of a chunk {tuple(shape)}")
        buffer: Any = data
        for packer in reversed(self.packers):
            buffer = packer.unpack(buffer, expected)
        array = np.frombuffer(buffer, np.uint8)
        if array.nbytes != expected:
            raise ValueError(f"a chunk {tuple(shape)} of {self.stored} has {expected} bytes, got {array.nbytes}")
        array = array.view(self.stored)
        if self.order is None:
            return array.reshape(shape)
        return array.reshape([shape[i] for i in self.order]).transpose(np.argsort(self.order))

    def encode(self, array: np.ndarray) -> bytes:
        turned = array if self.order is None else array.transpose(self.order)
        buffer: Any = np.ascontiguousarray(turned, self.stored)
        for packer in self.packers:
            buffer = packer.pack(buffer)
        return buffer if isinstance(buffer, bytes) else bytes(memoryview(buffer).cast("B"))


def packer(name: str, settings: Mapping[str, Any]) -> Packer:
    """A codec by the name and settings that numcodecs uses."""
    if name not in _PACKERS:
        raise Unknown(name)
    pack, unpack = _PACKERS[name](dict(settings))
    return Packer(name, pack, unpack)


def chain_of_v3(codecs: Any, dtype: np.dtype, dims: int) -> Chain:
    """The chain that a ``zarr.json`` lists, all but sharding."""
    order, stored, packers = None, dtype, []
    seen_bytes = False
    for codec in _listed(codecs):
        name, settings = codec.get("name"), codec.get("configuration") or {}
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise ValueError(f"its codecs must have a name and a configuration, got {str(codec)[:80]}")
        if name == "transpose" and not seen_bytes and order is None:
            order = _order(settings.get("order"), dims)
        elif name in ("bytes", "endian") and not seen_bytes:
            seen_bytes = True
            stored = dtype.newbyteorder(">" if settings.get("endian") == "big" else "<")
        elif seen_bytes:
            packers.append(packer(name.removeprefix("numcodecs."), _as_numcodecs(name, settings)))
        else:
            raise Unknown(name)
    if not seen_bytes:
        raise ValueError("its codecs must turn the array into bytes")
    return Chain(stored, tuple(packers), None if order == tuple(range(dims)) else order)


def scratch(size: int) -> np.ndarray:
    """Bytes of this thread, the same again for the next chunk: fresh memory costs more than to unpack into it."""
    if size > _KEPT:
        return np.empty(size, np.uint8)
    kept = getattr(_local, "kept", None)
    if kept is None or kept.nbytes < size:
        kept = _local.kept = np.empty(size, np.uint8)
    return kept[:size]


def _listed(codecs: Any) -> list[dict[str, Any]]:
    if not isinstance(codecs, list) or not all(isinstance(c, (dict, str)) for c in codecs):
        raise ValueError(f"its codecs must be a list, got {str(codecs)[:80]}")
    return [{"name": c} if isinstance(c, str) else c for c in codecs]


def _order(order: Any, dims: int) -> tuple[int, ...]:
    if order == "C":
        return tuple(range(dims))
    if order == "F":
        return tuple(range(dims))[::-1]
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(map(str, range(dims))):
        raise ValueError(f"its order of axes must be a permutation of {dims}, got {str(order)[:80]}")
    return tuple(order)


def _as_numcodecs(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    if name == "blosc":
        shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}.get(settings.get("shuffle", "noshuffle"))
        return {**settings, "shuffle": shuffle}
    return settings


def _level(settings: dict[str, Any], usual: int, low: int, high: int) -> int:
    level = settings.get("level", settings.get("clevel", usual))
    if type(level) is not int or not low <= level <= high:
        raise ValueError(f"its codec's level must be an integer from {low} to {high}, got {level!r}")
    return level


def _zstd(settings: dict[str, Any]) -> tuple[Any, Any]:
    zstd = library("numcodecs.zstd", "zstd")
    codec = zstd.Zstd(level=_level(settings, 3, -(1 << 17), 22), checksum=settings.get("checksum") is True)

    def unpack(data: Any, most: int) -> Any:
        size = _zstd_size(data)
        if size is None:
            return codec.decode(data)  # of a stream that does not say; the chain has checked what may come
        if size > most:
            raise ValueError(f"packed data of {size} bytes for a chunk of {most}")
        return codec.decode(data, scratch(size)) if size else b""

    return codec.encode, unpack


def _zstd_size(data: Any) -> int | None:
    """What a frame says of its content (RFC 8878, 3.1.1.1); None where it does not, or another one follows it."""
    head = bytes(data[:18])
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
        raise ValueError("no zstd frame")
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[head[4] & 3]
    length = (single, 2, 4, 8)[flag]
    if len(head) < start + length:
        raise ValueError("a zstd frame that is cut short")
    if not length:
        return None
    return int.from_bytes(head[start : start + length], "little") + (256 if length == 2 else 0)


def _zlib(bits: int) -> Callable[[dict[str, Any]], tuple[Any, Any]]:
    def made(settings: dict[str, Any]) -> tuple[Any, Any]:
        level = _level(settings, 1, -1, 9)

        def pack(data: Any) -> bytes:
            packing = zlib.compressobj(level, zlib.DEFLATED, bits)
            return packing.compress(data) + packing.flush()

        def unpack(data: Any, most: int) -> bytes:
            found, rest = b"", bytes(data)
            while rest:  # gzip files may be several, one after the other
                unpacking = zlib.decompressobj(bits)
                part = unpacking.decompress(rest, most + 1 - len(found))
                found = found + part if found else part
                if len(found) > most:
                    raise ValueError(f"packed data of more than {most} bytes")
                if not unpacking.eof:
                    raise ValueError("packed data that is cut short")
                rest = unpacking.unused_data.lstrip(b"\0")
            return found

        return pack, unpack

    return made


def _bounded(make: Callable[[], Any], pack: Callable[[Any], bytes]) -> tuple[Any, Any]:
    def unpack(data: Any, most: int) -> bytes:
        unpacking = make()
        found: bytes = unpacking.decompress(bytes(data), most + 1)
        if len(found) > most or not unpacking.eof:
            raise ValueError(f"packed data that is cut short or holds more than {most} bytes")
        return found

    return pack, unpack


def _bz2(settings: dict[str, Any]) -> tuple[Any, Any]:
    import bz2

    level = _level(settings, 1, 1, 9)
    return _bounded(bz2.BZ2Decompressor, lambda data: bz2.compress(data, level))


def _xz(settings: dict[str, Any]) -> tuple[Any, Any]:
    import lzma

    if settings.get("format", 1) != 1 or settings.get("filters"):
        raise Unknown("lzma")
    preset = settings.get("preset")
    limited = 1 << 28  # of memory for its dictionary
    return _bounded(lambda: lzma.LZMADecompressor(memlimit=limited), lambda data: lzma.compress(data, preset=preset))


def _lz4(settings: dict[str, Any]) -> tuple[Any, Any]:
    codec = library("numcodecs.lz4", "lz4").LZ4(acceleration=settings.get("acceleration", 1))

    def unpack(data: Any, most: int) -> Any:
        size = int.from_bytes(bytes(data[:4]), "little")
        if len(data) < 4 or size > most:
            raise ValueError(f"packed data of {size} bytes for a chunk of {most}")
        return codec.decode(data, scratch(size)) if size else b""

    return codec.encode, unpack


def _blosc(settings: dict[str, Any]) -> tuple[Any, Any]:
    blosc = library("numcodecs.blosc", "blosc")
    codec = blosc.Blosc(
        cname=settings.get("cname", "zstd"),
        clevel=_level(settings, 5, 0, 9),
        shuffle=settings.get("shuffle", 1),
        blocksize=settings.get("blocksize", 0),
    )

    def unpack(data: Any, most: int) -> Any:
        head = bytes(data[:16])
        size, packed = (int.from_bytes(head[i : i + 4], "little") for i in (4, 12))
        if len(head) < 16 or packed != len(data) or size > most:
            raise ValueError(
                f"packed data of {size} bytes for a chunk of {most}, {packed} packed where {len(data)} are"
            )
        return codec.decode(data, scratch(size)) if size else b""

    return codec.encode, unpack


def _crc32c(_: dict[str, Any]) -> tuple[Any, Any]:
    value = library("google_crc32c", "crc32c").value

    def pack(data: Any) -> bytes:
        data = bytes(memoryview(data).cast("B"))
        return data + int(value(data)).to_bytes(4, "little")

    def unpack(data: Any, _: int) -> Any:
        data = bytes(data)
        if len(data) < 4 or value(data) != _CRC_OF_ALL:
            raise ValueError("its crc32c is not that of the data")
        return memoryview(data)[:-4]

    return pack, unpack


_PACKERS: dict[str, Callable[[dict[str, Any]], tuple[Any, Any]]] = {
    "zstd": _zstd,
    "gzip": _zlib(31),
    "zlib": _zlib(15),
    "bz2": _bz2,
    "lzma": _xz,
    "lz4": _lz4,
    "blosc": _blosc,
    "crc32c": _crc32c,
}

__all__ = ["Chain", "Packer", "Unknown", "chain_of_v3", "packer", "scratch"]
