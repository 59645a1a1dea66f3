"""MALIS of a patch of 64³, both passes, beside the malis package where it is installed, and beside the plain way that
goes (``malis_plain.cpp``, compiled here)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, DeviceCase, optional
from .inputs import Inputs

malis = optional("malis")
SIDE = 64


@cache
def _plain() -> Any:
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        return None
    made = Path(tempfile.mkdtemp()) / "plain.so"
    source = Path(__file__).with_name("malis_plain.cpp")
    subprocess.run([compiler, "-std=c++17", "-O3", "-shared", "-fPIC", "-o", made, source], check=True)
    return ctypes.CDLL(str(made)).malis_pass


def _nodes(shape: tuple[int, ...]) -> np.ndarray:
    """Both voxels of every nearest edge, (2, 3, z, y, x); 0 and 0 where it leaves the volume."""
    places = np.arange(np.prod(shape)).reshape(shape)
    nodes = np.zeros((2, 3, *shape), np.int64)
    for axis in range(3):
        here, before = ([slice(None)] * 3 for _ in range(2))
        here[axis], before[axis] = slice(1, None), slice(None, -1)
        nodes[(0, axis, *here)], nodes[(1, axis, *here)] = places[tuple(here)], places[tuple(before)]
    return nodes


def _both(
    one: Callable[[np.ndarray, bool], np.ndarray], said: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both passes of something that makes one, constrained and normalised as the malis package does it."""
    made = []
    for positive in (True, False):
        counts = one(np.where(target == positive, said, np.float32(not positive)), positive)
        counts = np.where(target == positive, counts, 0).astype(np.float32)
        made.append(counts / max(counts.sum(dtype=np.float64), 1).astype(np.float32))
    return made[0], made[1]


def _plain_pass(labels: np.ndarray, nodes: np.ndarray, values: np.ndarray, positive: bool) -> np.ndarray:
    pairs = np.zeros(values.shape, np.uint64)
    arrays = [a.ctypes.data_as(ctypes.c_void_p) for a in (labels, nodes[0], nodes[1], values, pairs)]
    sizes = ctypes.c_int64(labels.size), ctypes.c_int64(values.size)
    _plain()(sizes[0], arrays[0], sizes[1], *arrays[1:4], int(positive), arrays[4])
    return pairs


def _package_pass(labels: np.ndarray, nodes: np.ndarray, values: np.ndarray, positive: bool) -> np.ndarray:
    flat = [a.astype(np.uint64).ravel() for a in (labels, nodes[0], nodes[1])]
    weights: np.ndarray = malis.malis_loss_weights(*flat, values.ravel(), int(positive))
    return weights.reshape(values.shape)


def _equal(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def cases(inputs: Inputs) -> Iterator[Case]:
    shape = (SIDE,) * 3
    labels = emfast.phantom.make(shape, seed=1, spacing=(16, 8, 8)).labels
    labels = emfast.connected_components(labels).astype(np.uint64)
    target = emfast.affinities(labels, dtype=bool)
    labels[np.bincount(labels.ravel().astype(np.int64))[labels] == 1] = 0  # a voxel on its own is in no pair
    noise = np.random.default_rng(0).random(target.shape, np.float32)
    nodes = _nodes(shape)
    # Affinities of a network that has learned nothing, and of one that knows a good deal. All differ.
    for name, share in (("untrained", 0.0), ("half trained", 0.5)):
        ranks = (share * target + (1 - share) * noise).ravel().argsort(kind="stable").argsort()
        said = (ranks / 2**20).astype(np.float32).reshape(target.shape)

        def plain(said: np.ndarray = said) -> Any:
            return _both(lambda values, positive: _plain_pass(labels, nodes, values, positive), said, target)

        def package(said: np.ndarray = said) -> Any:
            return _both(lambda values, positive: _package_pass(labels, nodes, values, positive), said, target)

        yield Case(
            "malis",
            f"MALIS {SIDE}³, both passes, {name}",
            labels.size,
            lambda said=said: emfast.malis_weights(said, target),
            [_plain() and Contender("plain C++", plain), malis and Contender("malis", package)],
            _equal,
        )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """Edges are joined on the host."""
    yield from ()
