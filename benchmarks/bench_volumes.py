"""Sharded Zarr with checksums through open_volume, beside tensorstore and zarr, on the same files.

Shards of 256³ in chunks of 64³, zstd level 3 and crc32c; 64-bit labels and 8-bit images. Files lie in the system's
temporary folder and are in the page cache when they are read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, optional, same
from .inputs import Inputs

tensorstore = optional("tensorstore")
zarr = optional("zarr")

CHUNK, SHARD, WINDOWS = 64, 256, 64


def _sides(array: np.ndarray) -> dict[str, tuple[int, ...]]:
    return {"chunks": (CHUNK,) * 3, "shards": tuple(CHUNK * -(-min(SHARD, n) // CHUNK) for n in array.shape)}


def _emfast(path: str, mode: str = "r", like: Any = None) -> Any:
    return emfast.open_volume(path, mode=mode, like=like, **(_sides(like) if like is not None else {}))


def _tensorstore(path: str) -> Any:
    limit = {"limit": emfast.get_threads()}
    context = tensorstore.Context({"data_copy_concurrency": limit, "file_io_concurrency": limit})
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}
    return tensorstore.open(spec, context=context).result()


def _zarr(path: str, mode: str = "r") -> Any:
    zarr.config.set({"threading.max_workers": emfast.get_threads(), "array.write_empty_chunks": True})
    return zarr.open_array(path, mode=mode)


def _emptied(path: str) -> str:
    """The header alone, as emfast wrote it."""
    shutil.rmtree(os.path.join(path, "c"), ignore_errors=True)
    return path


def _wrote(path: str, array: np.ndarray, write: Callable[[str], None]) -> Callable[[], np.ndarray]:
    """A call that writes and gives what is there then: seconds of reading are the same for all."""

    def call() -> np.ndarray:
        write(_emptied(path))
        return array

    return call


def _write_tensorstore(path: str, array: np.ndarray) -> None:
    _tensorstore(path)[...].write(array).result()


def _write_zarr(path: str, array: np.ndarray) -> None:
    _zarr(path, "r+")[...] = array


def _write_emfast(path: str, array: np.ndarray) -> None:
    with emfast.open_volume(path, mode="r+") as volume:
        volume[...] = array


def _corners(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, [max(1, n - CHUNK) for n in shape], (WINDOWS, 3))
    return [tuple(slice(int(a), int(a) + CHUNK) for a in start) for start in starts]


def _sum(read: Callable[[tuple[slice, ...]], Any], windows: list[tuple[slice, ...]]) -> int:
    return sum(int(np.asarray(read(window)).sum(dtype=np.uint64)) for window in windows)


def _cases(name: str, array: np.ndarray, folder: str) -> Iterator[Case]:
    paths = {who: os.path.join(folder, f"{who}.zarr") for who in ("read", "emfast", "tensorstore", "zarr")}
    for path in paths.values():
        with _emfast(path, "w", array) as volume:
            volume[...] = array
    with open(os.path.join(paths["read"], "zarr.json")) as file:
        assert "crc32c" in json.dumps(json.load(file))
    read, windows = paths["read"], _corners(array.shape)
    yield Case(
        "volumes",
        f"read sharded Zarr, {name}",
        array.size,
        lambda: _emfast(read)[...],
        [
            tensorstore and Contender("tensorstore", lambda: _tensorstore(read)[...].read().result(), 0),
            zarr and Contender("zarr", lambda: _zarr(read)[...], 0),
        ],
        same,
    )
    yield Case(
        "volumes",
        f"read {WINDOWS} windows of {CHUNK}³, {name}",
        sum(array[window].size for window in windows),
        lambda: _sum(_emfast(read).__getitem__, windows),
        [
            tensorstore
            and Contender("tensorstore", lambda: _sum(lambda w: _tensorstore(read)[w].read().result(), windows), 0),
            zarr and Contender("zarr", lambda: _sum(_zarr(read).__getitem__, windows), 0),
        ],
        lambda ours, theirs: ours == theirs,
    )
    theirs = {"tensorstore": (tensorstore, _write_tensorstore), "zarr": (zarr, _write_zarr)}
    yield Case(
        "volumes",
        f"write sharded Zarr, {name}",
        array.size,
        _wrote(paths["emfast"], array, lambda path: _write_emfast(path, array)),
        [
            library and Contender(who, _wrote(paths[who], array, lambda path, write=write: write(path, array)), 0)
            for who, (library, write) in theirs.items()
        ],
        lambda *_: all(same(_emfast(paths[who])[...], array) for who in paths if who in ("emfast", *theirs)),
    )


def cases(inputs: Inputs) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        yield from _cases("64-bit labels", inputs.cells.astype(np.uint64), folder)
        yield from _cases("8-bit image", inputs.affinities[0], folder)


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    return iter(())
