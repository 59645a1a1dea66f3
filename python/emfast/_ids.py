"""Ids as users give them, and their places among sorted ids. No id becomes a float on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import fetch


def ids_from(values: Any, name: str) -> np.ndarray:
    """Integers from an array or from nested sequences, on the host; of a list int64, or uint64 if that is needed."""
    array = array_from(values, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {array.dtype}")
    return array


def array_from(values: Any, name: str) -> np.ndarray:
    """The same for what may turn out not to hold integers."""
    try:
        array = fetch(values, name)[0]
        if array.dtype.kind in "fO" and not hasattr(values, "dtype"):  # NumPy makes floats of [1, 2**63]
            exact = np.array(values, object)
            if all(isinstance(v, (int, np.integer)) for v in exact.flat):
                array = exact.astype(np.uint64 if max(exact.flat, default=0) >= 2**63 else np.int64)
    except (ValueError, OverflowError):
        raise TypeError(f"{name} must hold integers that int64 or uint64 holds, all of them") from None
    return array if array.size else array.astype(np.int64)


def cast_exactly(ids: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The ids in another integer dtype, and which of them it holds."""
    cast = ids.astype(dtype)
    return cast, (cast.astype(ids.dtype) == ids) & ((cast < 0) == (ids < 0))


def places_of(ids: np.ndarray, nodes: np.ndarray, wanted: str) -> np.ndarray:
    """Where ids lie among the nodes, which ascend. An id that is none of them: ``wanted`` opens the message."""
    places, there = find(ids, nodes)
    if not there.all():
        raise ValueError(f"{wanted}, got {ids[~there].flat[0]}")
    return places


def find(ids: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where ids lie among the nodes, which ascend; and which of them are there at all, the other places say nothing."""
    if ids.dtype != nodes.dtype:
        cast, held = cast_exactly(ids, nodes.dtype)
        places, there = find(cast, nodes)
        return places, there & held
    span = int(nodes[-1]) - int(nodes[0]) if len(nodes) else 0
    if len(nodes) == 0:
        return np.zeros(ids.shape, np.uint32), np.zeros(ids.shape, bool)
    if span >= 4 * len(nodes) + 1024:
        places = np.minimum(np.searchsorted(nodes, ids), len(nodes) - 1)
        return places, nodes[places] == ids
    unsigned = f"u{nodes.dtype.itemsize}"
    places = (ids - nodes[0]).view(unsigned)  # right modulo 2**bits
    there = places <= span
    if span < len(nodes):
        return places, there
    table = np.full(span + 1, len(nodes), np.uint32)
    table[(nodes - nodes[0]).view(unsigned)] = np.arange(len(nodes), dtype=np.uint32)
    places = table[places if there.all() else np.where(there, places, 0)]
    there &= places < len(nodes)
    return places, there


__all__ = ["array_from", "cast_exactly", "find", "ids_from", "places_of"]
