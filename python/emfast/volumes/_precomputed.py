"""Neuroglancer's precomputed volumes, through tensorstore: raw, JPEG, compressed segmentation; sharded or not.

Axes are x, y, z, channel in the file. https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from typing import Any

import numpy as np

from ..errors import CorruptData
from ._places import Place
from ._source import About, Source, Window, library, numbers_or_none, sizes_of
from ._stores import open_store
from ._zarr import MARK, check_alone, codec_of, read_json

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32")
_LABELS = ("uint32", "uint64")
_contexts: dict[int, Any] = {}
_lock = threading.Lock()


class Precomputed(Source):
    """One resolution."""

    def __init__(self, store: Any, about: About, start: tuple[int, ...], single: bool, path: str) -> None:
        self.store, self.about, self.start, self.single, self.path = store, about, start, single, path

    def _part(self, window: Window) -> Any:
        at: list[Any] = [slice(s + w.start, s + w.stop, w.step) for s, w in zip(self.start, window, strict=False)]
        key = (*at, 0 if self.single else window[3])
        return self.store[key]

    def read(self, window: Window) -> np.ndarray:
        try:
            return np.asarray(self._part(window).read().result())
        except ValueError as error:
            if "NOT_FOUND" in str(error):  # of ours, which have every chunk
                raise CorruptData(f"{self.path} has lost a chunk, or it was not written ({error})") from error
            raise

    def write(self, window: Window, values: np.ndarray) -> None:
        self._part(window).write(values).result()


def open_source(place: Place, mode: str, level: int | None) -> Source:
    tensorstore = library("tensorstore", place.path, "formats")
    path = "/".join(part for part in (place.path, place.name) if part)
    info = read_json(open_store(path), "info")
    if info is None:
        raise FileNotFoundError(f"{path} must be a folder with an info file, got none")
    scales = info.get("scales")
    if not isinstance(scales, list) or not all(isinstance(s, dict) for s in scales) or not scales:
        raise ValueError("its info must list scales")
    k = level or 0
    if isinstance(k, bool) or not isinstance(k, int) or not 0 <= k < len(scales):
        raise ValueError(f"level must be from 0 to {len(scales) - 1} for {place}, got {level!r}")
    return _opened(tensorstore, path, info, scales[k], k)


def _opened(tensorstore: Any, path: str, info: dict[str, Any], scale: dict[str, Any], k: int) -> Source:
    said = info.get("data_type")
    if said not in _TYPES:
        raise ValueError(f"its data_type must be one of {', '.join(_TYPES)}, got {str(said)[:80]}")
    channels = info.get("num_channels", 1)
    size, first = sizes_of(scale.get("size"), "size"), scale.get("voxel_offset", [0, 0, 0])
    if len(size) != 3 or not isinstance(first, list) or [type(v) for v in first] != [int] * 3:
        raise ValueError(f"its size and voxel_offset must be three integers, got {size} and {str(first)[:80]}")
    kvstore = {"driver": "http", "base_url": path} if "://" in path else {"driver": "file", "path": path}
    if "://" in path and not path.startswith(("http://", "https://")):
        kvstore = {"driver": path.partition("://")[0], **_bucket(path)}
    spec = {"driver": "neuroglancer_precomputed", "kvstore": kvstore, "scale_index": k, "open": True}
    if MARK in info:  # a missing chunk is an error, and every chunk is written
        spec |= {"fill_missing_data_reads": False, "store_data_equal_to_fill_value": True}
    store = tensorstore.open(spec, context=_context(tensorstore)).result()
    if tuple(store.shape) != (*size, channels):
        raise ValueError(f"its size must be {(*size, channels)}, got {tuple(store.shape)}")
    single = channels == 1
    dims = 3 if single else 4
    chunks, shards = tuple(store.chunk_layout.read_chunk.shape), tuple(store.chunk_layout.write_chunk.shape)
    spacing = numbers_or_none(scale.get("resolution"), 3)
    offset = None if spacing is None else tuple(a * b for a, b in zip(spacing, first, strict=True))
    about = About(
        tuple(store.shape[:dims]),
        np.dtype(said),
        chunks[:dims],
        shards[:dims] if shards != chunks else None,
        spacing,
        offset,
        "xyz" if single else "xyzc",
        {key: value for key, value in info.items() if key != "scales"} | {"scale": scale},
    )
    return Precomputed(store, about, tuple(first), single, path)


def _bucket(path: str) -> dict[str, str]:
    bucket, _, inside = path.partition("://")[2].partition("/")
    return {"bucket": bucket, "path": inside}


def _context(tensorstore: Any) -> Any:
    """One for the process: threads as many as emfast may use."""
    from .._native import get_threads

    with _lock:
        threads = get_threads()
        if threads not in _contexts:
            limit = {"limit": threads}
            _contexts[threads] = tensorstore.Context({"data_copy_concurrency": limit, "file_io_concurrency": limit})
        return _contexts[threads]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_contexts.clear)


def create(place: Place, about: About, mode: str, codec: str | None, fill: Any) -> Source:
    tensorstore = library("tensorstore", place.path, "formats")
    if about.dtype.name not in _TYPES:
        raise TypeError(f"dtype must be one of {', '.join(_TYPES)} for {place.path}, got {about.dtype}")
    if about.axes not in ("zyx", "czyx"):
        raise ValueError(f"axes must be 'zyx' or 'czyx' for {place.path}, got {about.axes!r}")
    if about.shards is not None:
        raise ValueError(f"shards must be None for {place.path}, whose kind is written without, got {about.shards}")
    if about.spacing is None:
        raise ValueError(f"spacing must be given for {place.path}: its places are in nanometres")
    info = _info(place, about, codec)
    if os.path.exists(place.path):
        if os.listdir(place.path) and not os.path.isfile(os.path.join(place.path, "info")):
            raise FileExistsError(f"{place.path} is there and is no precomputed volume: choose another name")
        if mode == "x" and os.listdir(place.path):
            raise FileExistsError(f"{place.path} is there: mode 'w' replaces it")
        check_alone(place.path, _others(place.path))
    parent = os.path.dirname(place.path)
    if not os.path.isdir(parent):
        raise FileNotFoundError(f"{place.path} must lie in an existing folder, got {parent!r}")
    with tempfile.TemporaryDirectory(dir=parent, prefix=".emfast-") as beside_it:
        new = os.path.join(beside_it, "new")
        os.mkdir(new)
        with open(os.path.join(new, "info"), "w", encoding="utf-8") as file:
            json.dump(info, file, indent=1)
        if os.path.exists(place.path):
            os.rename(place.path, os.path.join(beside_it, "old"))
        os.rename(new, place.path)
    from ._source import Turned

    return Turned(_opened(tensorstore, place.path, info, info["scales"][0], 0))


def _others(path: str) -> list[str]:
    """What lies in a folder beside the info and the scales that it names."""
    scales = (read_json(open_store(path), "info") or {}).get("scales")
    keys = [str(s.get("key")).strip("/").partition("/")[0] for s in scales if isinstance(s, dict)] if scales else []
    return sorted(n for n in os.listdir(path) if n not in ("info", "provenance", *keys) and not n.startswith("."))


def _info(place: Place, about: About, codec: str | None) -> dict[str, Any]:
    assert about.spacing is not None
    name = about.dtype.name
    packed = name in _LABELS and about.axes == "zyx" and codec_of(codec)[0] != "raw"
    resolution = list(about.spacing[::-1])
    offset = (about.offset or (0.0,) * 3)[::-1]
    first = [round(o / r) for o, r in zip(offset, resolution, strict=True)]
    if any(abs(f * r - o) > 1e-6 * max(r, abs(o)) for f, r, o in zip(first, resolution, offset, strict=True)):
        raise ValueError(f"offset must be whole voxels for {place.path}, got {about.offset} at spacing {about.spacing}")
    chunks = about.chunks[-3:] if about.chunks else (64,) * 3
    scale: dict[str, Any] = {
        "key": "_".join(f"{r:g}" for r in resolution),
        "size": list(about.shape[::-1][:3]),
        "resolution": resolution,
        "voxel_offset": first,
        "chunk_sizes": [list(chunks[::-1])],
        "encoding": "compressed_segmentation" if packed else "raw",
    }
    if packed:
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": "segmentation" if name in _LABELS and about.axes == "zyx" else "image",
        "data_type": name,
        "num_channels": about.shape[0] if about.axes == "czyx" else 1,
        "scales": [scale],
        MARK: {"format": 1},
    }


__all__ = ["create", "open_source"]
