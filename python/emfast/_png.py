"""Pictures without dependencies: a PNG writer (zlib is in the standard library) and colours for labels."""

from __future__ import annotations

import struct
import zlib
from os import PathLike

import numpy as np


def encode(picture: np.ndarray) -> bytes:
    """The PNG file of a (y, x) grey or (y, x, 3) colour picture of uint8."""
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
        raise ValueError(f"picture must be (y, x) or (y, x, 3) uint8, got {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    if height == 0 or width == 0:
        raise ValueError(f"picture must not be empty, got {picture.shape}")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = picture.reshape(height, -1)
    before = np.zeros_like(rows)
    before[1:] = rows[:-1]  # each row as its difference from the one above, PNG's filter 2
    lines = np.empty((height, rows.shape[1] + 1), np.uint8)
    lines[:, 0] = 2
    lines[:, 1:] = rows - before
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if picture.ndim == 2 else 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def write(path: str | PathLike[str], picture: np.ndarray) -> None:
    """Write a grey or colour picture as PNG."""
    data = encode(picture)
    with open(path, "wb") as file:
        file.write(data)


def colours(labels: np.ndarray) -> np.ndarray:
    """(y, x, 3) uint8: each id in a colour of its own that never changes, 0 black."""
    h = labels.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    h ^= h >> np.uint64(29)
    hue = (h >> np.uint64(8)).astype(np.uint16).astype(np.float32) * (6.0 / 65536.0)
    shift = np.array([0.0, 2.0, 4.0], np.float32)
    ramp = np.clip(np.abs((hue[..., None] - shift) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    pale = ((h >> np.uint64(24)) & np.uint64(255)).astype(np.float32)[..., None] / 255.0
    colour = 255.0 * (1.0 - (0.45 + 0.4 * pale) * (1.0 - ramp)) * (0.75 + 0.25 * pale)
    return np.where(labels[..., None] != 0, colour, 0.0).astype(np.uint8)


def overlay(image: np.ndarray, labels: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """(y, x, 3) uint8: a grey picture tinted by its labels; it stays grey where they are 0."""
    grey = np.repeat(image[..., None], 3, axis=-1).astype(np.float32)
    tint = colours(labels).astype(np.float32)
    mixed = (1.0 - strength) * grey + strength * tint * (0.35 + 0.65 * grey / 255.0)
    return np.where(labels[..., None] != 0, mixed, grey).astype(np.uint8)
