"""Operations in blocks beside the same calls in memory: from array to array, and from one Zarr to another."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

import emfast
from emfast import blockwise
from emfast.blocks import Grid

from .harness import Case, Contender, optional, same
from .inputs import SPACING, Inputs

BLOCK = 128


def cases(inputs: Inputs) -> Iterator[Case]:
    yield from segmentation(inputs)
    yield from distances(inputs)
    yield from objects(inputs)


def _case(name: str, labels: np.ndarray, ours: Callable[[], Any], whole: Callable[[], Any], *more: Contender) -> Case:
    every = emfast.get_threads()
    return Case("blockwise", name, labels.size, ours, [Contender("in memory", whole, every), *more], _equal)


def _equal(ours: Any, theirs: Any) -> bool:
    return same(np.asarray(ours), np.asarray(theirs)) if hasattr(theirs, "shape") else bool(ours == theirs)


def segmentation(inputs: Inputs) -> Iterator[Case]:
    """From affinities to segments, step by step and whole; between Zarr volumes: ``python -m benchmarks.scale``."""
    affinities, fragments, limits = inputs.affinities, inputs.fragments, {"low": 0.1, "high": 0.98}
    blocks = {"block": BLOCK}
    yield _case(
        "components, cells",
        inputs.cells,
        lambda: blockwise.connected_components(inputs.cells, **blocks),
        lambda: emfast.connected_components(inputs.cells),
    )
    yield _case(
        "watershed",
        fragments,
        lambda: blockwise.watershed(affinities, **limits, **blocks),
        lambda: emfast.watershed(affinities, **limits),
    )
    yield _case(
        "region graph",
        fragments,
        lambda: blockwise.region_graph(affinities, fragments, **blocks),
        lambda: emfast.region_graph(affinities, fragments),
    )
    yield _case(
        "region graph and mean tree",
        fragments,
        lambda: blockwise.agglomerate(affinities, fragments, **blocks),
        lambda: emfast.agglomerate(emfast.region_graph(affinities, fragments)),
    )
    yield _case(
        "affinities to segments",
        fragments,
        lambda: emfast.segment(affinities, thresholds=0.5, **blocks),
        lambda: emfast.segment_affinities(affinities, threshold=0.5, **limits),
    )


def distances(inputs: Inputs) -> Iterator[Case]:
    """In two passes, as where sections fit but the volume does not, and in three; with a halo that is certified."""
    for name, labels, spacing in (("cells", inputs.cells, SPACING), ("background of blobs", 1 - inputs.blobs, None)):
        nm = spacing or (1.0, 1.0, 1.0)

        def whole(labels: np.ndarray = labels, nm: Any = nm) -> Any:
            return emfast.edt(labels, spacing=nm)

        def lines(most: int, labels: np.ndarray = labels, nm: Any = nm) -> Any:
            with mock.patch.object(blockwise.distance, "_VOXELS", most):
                return blockwise.edt(labels, spacing=nm, block=BLOCK)

        section = BLOCK * labels.shape[1] * labels.shape[2]
        halo = Contender("certified halo", lambda labels=labels, nm=nm: _certified(labels, nm)[0], 1, slow=True)
        yield _case(f"edt, {name}, 2 passes", labels, lambda f=lines, n=section: f(n), whole, halo)
        yield _case(f"edt, {name}, 3 passes", labels, lambda f=lines: f(1), whole)
    if optional("zarr"):
        yield _from_file(
            "edt, cells",
            inputs.cells,
            lambda *of, **how: blockwise.edt(*of, spacing=SPACING, **how),
            lambda labels: emfast.edt(labels, spacing=SPACING),
        )


def objects(inputs: Inputs) -> Iterator[Case]:
    cells, blobs = inputs.cells, inputs.blobs
    table = np.arange(int(cells.max()) + 1, dtype=np.uint32)[::-1].copy()
    blocks = {"block": BLOCK}
    yield _case("unique, cells", cells, lambda: blockwise.unique(cells, **blocks), lambda: emfast.unique(cells))
    yield _case(
        "renumber, cells", cells, lambda: blockwise.renumber(cells, **blocks)[0], lambda: emfast.renumber(cells)[0]
    )
    yield _case(
        "remap, cells", cells, lambda: blockwise.remap(cells, table, **blocks), lambda: emfast.remap(cells, table)
    )
    yield _case(
        "dust, blobs", blobs, lambda: blockwise.dust(blobs, below=500, **blocks), lambda: emfast.dust(blobs, below=500)
    )
    yield _case(
        "fill holes, blobs", blobs, lambda: blockwise.fill_holes(blobs, **blocks), lambda: emfast.fill_holes(blobs)
    )
    yield _case(
        "statistics, cells",
        cells,
        lambda: blockwise.statistics(cells, moments=True, surface=True, **blocks),
        lambda: emfast.statistics(cells, moments=True, surface=True),
    )
    yield _case(
        "skeletons, cells",
        cells,
        lambda: blockwise.skeletonize(cells, spacing=SPACING, **blocks),
        lambda: emfast.skeletonize(cells, spacing=SPACING),
    )
    if optional("zarr"):
        yield _from_file(
            "dust, cells",
            cells,
            lambda *of, **how: blockwise.dust(*of, below=500, **how),
            lambda labels: emfast.dust(labels, below=500),
        )


def _from_file(name: str, labels: np.ndarray, ours: Callable[..., Any], whole: Callable[[Any], Any]) -> Case:
    """Both read one Zarr and write another."""
    folder = tempfile.TemporaryDirectory(prefix="emfast-bench-")
    source, target = (os.path.join(folder.name, place) for place in ("source.zarr", "target.zarr"))
    layout: dict[str, Any] = {"mode": "w", "chunks": (64,) * 3, "shards": (BLOCK,) * 3}
    with emfast.open_volume(source, like=labels, **layout) as volume:
        volume[...] = labels

    def in_blocks() -> Any:
        assert folder.name  # kept as long as the case
        return np.asarray(ours(source, target, block=BLOCK))

    def in_memory() -> Any:
        with emfast.open_volume(source) as volume:
            result = whole(volume[...])
        with emfast.open_volume(target, like=result, **layout) as volume:
            volume[...] = result
        with emfast.open_volume(target) as volume:
            return volume[...]

    return _case(f"{name}, Zarr to Zarr", labels, in_blocks, in_memory)


def _certified(labels: np.ndarray, spacing: tuple[float, ...], halo: int = 16) -> tuple[np.ndarray, float]:
    """The way not taken: blocks with a halo, final where no voxel is farther than the faces that cut it off, the others
    again with twice the halo. Also how many voxels were read for each voxel of the volume."""
    out, read = np.empty(labels.shape, np.float32), 0
    waiting = [(index, halo) for index in range(len(Grid(labels.shape, BLOCK)))]
    while waiting:
        index, width = waiting.pop()
        block = Grid(labels.shape, BLOCK, halo=width)[index]
        read += math.prod(block.outer_shape)
        found = np.asarray(emfast.edt(labels[block.outer], spacing=spacing))[block.inner]
        far = np.full(found.shape, np.inf, np.float32)
        for axis, (core, outer, nm) in enumerate(zip(block.core, block.outer, spacing, strict=True)):
            steps = np.arange(core.start, core.stop)
            below = steps - outer.start + 1 if outer.start else np.inf
            above = outer.stop - steps if outer.stop < labels.shape[axis] else np.inf
            edge = (np.minimum(below, above) * nm).astype(np.float32) * np.ones(len(steps), np.float32)
            np.minimum(far, edge.reshape([-1 if a == axis else 1 for a in range(found.ndim)]), out=far)
        if (found <= far).all():
            out[block.core] = found
        else:
            waiting.append((index, 2 * width))
    return out, read / labels.size
