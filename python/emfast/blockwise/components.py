"""Connected components of volumes larger than memory.

Each block is labelled by itself; labels that touch across faces, edges and corners of blocks are united.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._engine.grid import Block
from .._options import connectivity_of
from ..components import connected_components as label
from ._run import Run
from ._runs import components_runs, kept_runs, writes_in_place
from ._shelf import Shelf
from ._unite import United, keep_found, touching, unite

__all__ = ["connected_components"]


def connected_components(
    labels: Any,
    target: Any = None,
    *,
    connectivity: int = 6,
    background: int | None = 0,
    periodic: bool = False,
    dtype: Any = None,
    return_count: bool = False,
    block: Any = "auto",
    work: Any = None,
    **engine: Any,
) -> Any:
    """:func:`emfast.connected_components`, block by block, with the same result.

    Parameters
    ----------
    labels : array, Volume or place, shape (z, y, x) or (y, x)
    target : array, Volume or place, optional
        Written; a new array if there is none.
    connectivity, background, periodic, dtype, return_count
        As in memory. ``delta`` there is not for blocks.
    block : sequence of int or "auto"
    work : path, optional
        A folder for what lies between the passes, kept; by default ``<target>.work``, which goes in the end, or memory
        where the target is no place.
    **engine
        ``client, memory, workers, retries, on_corrupt, order, progress``, as of :func:`emfast.map_blocks`.

    Returns
    -------
    components : what the target is opened as
        In ``dtype``; by default, where the target does not say, the smallest that holds the count.
    count : int
        Only with ``return_count``.

    Notes
    -----
    Exact: two voxels that touch are in one block, or are compared across the seam. In memory at once, beside the
    blocks: 40 bytes for each part of a component that a block has.

    Examples
    --------
    >>> import numpy as np, emfast
    >>> labels = np.array([[5, 5, 0, 5], [0, 5, 5, 5], [5, 0, 0, 0]])
    >>> emfast.blockwise.connected_components(labels, block=(2, 2))
    array([[1, 1, 0, 1],
           [0, 1, 1, 1],
           [2, 0, 0, 0]], dtype=uint8)
    """
    with Run(
        {"labels": labels},
        target,
        shape=lambda of: of["labels"].shape,
        cost=lambda of: np.dtype(of["labels"].dtype).itemsize + 8,  # labels, parts, and what is written or a little
        block=block,
        work=work,
        engine=engine,
    ) as run:
        source = run.sources["labels"]
        united = find_components(run, source, connectivity=connectivity, background=background, periodic=periodic)
        wanted = np.dtype(dtype) if dtype is not None else _smallest(united.count)
        if wanted.kind not in "iu" or united.count > np.iinfo(wanted).max:
            raise ValueError(f"dtype must hold {united.count} components, got {wanted}")
        out = run.target("components", wanted, like=source)
        rename(run, "components", united, out)
        out = run.result(out)
    return (out, united.count) if return_count else out


def find_components(
    run: Run,
    labels: Any,
    *,
    connectivity: int = 6,
    background: int | None = 0,
    periodic: bool = False,
    sizes: bool = False,
) -> United:
    """The components of each block, as runs on the shelf, and what they are in the whole.

    The parts have the column ``values``, and with ``sizes`` that too.
    """
    connectivity = connectivity_of(connectivity, len(run.shape))
    one = np.zeros((1,) * len(run.shape), labels.dtype)
    label(one, connectivity=connectivity, background=background)  # what is refused in memory is refused before any work
    counts = run.map("parts", _Part(run.shelf, connectivity, background, sizes), labels)
    seams = run.map("seams", _Touch(run, connectivity, periodic))
    return unite(run.shelf, counts, seams)


def rename(run: Run, name: str, united: United, out: Any) -> None:
    """Write the labels that blocks have left as those of the whole volume."""
    if writes_in_place(out):
        run.map(name, _InPlace(united, out), journal=False)
    else:
        run.map(name, Renamed(united, np.dtype(out.dtype).str), None, out)


class Renamed:
    """The labels of a block as those of the whole volume."""

    def __init__(self, united: United, dtype: str) -> None:
        self.united, self.dtype = united, dtype

    def __call__(self, where: Block) -> np.ndarray:
        out = np.empty(where.shape, self.dtype)
        _write(self.united, where, out)
        return out


class _InPlace:
    """The same, written where it belongs in an array."""

    def __init__(self, united: United, out: np.ndarray) -> None:
        self.united, self.out = united, out

    def __call__(self, where: Block) -> None:
        _write(self.united, where, self.out[where.core])


def _write(united: United, where: Block, out: np.ndarray) -> None:
    runs, core = kept_runs(united.shelf, where.index)
    runs.write(core, united.table(where.index).astype(out.dtype), out)


class _Part:
    def __init__(self, shelf: Shelf, connectivity: int, background: int | None, sizes: bool) -> None:
        self.shelf, self.connectivity, self.background, self.sizes = shelf, connectivity, background, sizes

    def __call__(self, labels: np.ndarray, where: Block) -> int:
        runs = components_runs(labels, connectivity=self.connectivity, background=self.background, sizes=self.sizes)
        return keep_found(self.shelf, where, runs, values=labels, sizes=self.sizes)


class _Touch:
    def __init__(self, run: Run, connectivity: int, periodic: bool) -> None:
        self.shelf, self.grid, self.connectivity, self.periodic = run.shelf, run.grid, connectivity, periodic

    def __call__(self, where: Block) -> list[tuple[int, np.ndarray]]:
        options: dict[str, Any] = {"connectivity": self.connectivity, "periodic": self.periodic}
        return touching(self.shelf, self.grid, where.index, **options)


def _smallest(count: int) -> np.dtype[Any]:
    return np.dtype(next(f"u{n}" for n in (1, 2, 4, 8) if count < 1 << 8 * n))
