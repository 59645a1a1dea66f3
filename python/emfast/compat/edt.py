"""edt's names on emfast: ``from emfast.compat import edt``.

Distances, signs and borders are those of edt 3.1; results are float32 and lie in memory as the input does. Where they
differ:

- emfast computes in integers and rounds once. edt computes in floats, so its last bits may differ from these where
  spacings are no small integers or squares exceed 2²⁴.
- ``parallel`` is not looked at: ``emfast.set_threads`` (or ``EMFAST_THREADS``) says how many threads all calls share.
  The result does not depend on it.
- NaN is a label like any other; edt makes every NaN its own. float16 and complex are refused, where edt returns zeros.

A ``voxel_graph`` has edt's bits: bit 0 and 1 belong to the fastest axis in memory, which is the **last** axis of a C
array and the first of a Fortran one. (``emfast.edt`` numbers bits by axis, whatever the layout.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import emfast

from ._shared import Images, as_integers, by_memory

__all__ = [
    "draw",
    "each",
    "edt",
    "edt1d",
    "edt1dsq",
    "edt2d",
    "edt2dsq",
    "edt3d",
    "edt3dsq",
    "edtsq",
    "erase",
    "runs",
    "sdf",
    "sdfsq",
    "transfer",
]


def edt(
    data: Any,
    anisotropy: Any = None,
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
    order: Any = None,
) -> np.ndarray:
    """Distance of every voxel to the nearest voxel of another label; 0 where the label is 0.

    Parameters
    ----------
    data : array of integers, floats or bool, 1D to 3D
    anisotropy : number (1D) or a number per axis
        In the order of the axes.
    black_border : bool
        Outside of the volume lies background.
    parallel, order : int, str
        Not looked at.
    voxel_graph : array of integers of the shape of ``data``, optional

    Returns
    -------
    float32 array of the shape of ``data``

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import edt
    >>> edt.edt(np.array([0, 5, 5, 5, 7, 7]), anisotropy=4)
    array([0., 4., 8., 4., 4., 8.], dtype=float32)
    """
    return _distance(data, anisotropy, black_border, voxel_graph, squared=False)


def edtsq(
    data: Any,
    anisotropy: Any = None,
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
    order: Any = None,
) -> np.ndarray:
    """The squares of the distances of ``edt``."""
    return _distance(data, anisotropy, black_border, voxel_graph, squared=True)


def sdf(
    data: Any,
    anisotropy: Any = None,
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
    order: Any = None,
) -> np.ndarray:
    """``edt(data) - edt(data == 0)``: distances to the nearest boundary, negative on background.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import edt
    >>> edt.sdf(np.array([0, 0, 3, 3, 8]))
    array([-2., -1.,  1.,  1.,  1.], dtype=float32)
    """
    return _signed(data, anisotropy, black_border, voxel_graph, squared=False)


def sdfsq(
    data: Any,
    anisotropy: Any = None,
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
) -> np.ndarray:
    """``edtsq(data) - edtsq(data == 0)``."""
    return _signed(data, anisotropy, black_border, voxel_graph, squared=True)


def edt1d(data: Any, anisotropy: float = 1.0, black_border: bool = False) -> np.ndarray:
    """``edt`` of a row."""
    return edt(data, anisotropy, black_border)


def edt1dsq(data: Any, anisotropy: float = 1.0, black_border: bool = False) -> np.ndarray:
    """``edtsq`` of a row."""
    return edtsq(data, anisotropy, black_border)


def edt2d(
    data: Any, anisotropy: Any = (1.0, 1.0), black_border: bool = False, parallel: int = 1, voxel_graph: Any = None
) -> np.ndarray:
    """``edt`` of a picture."""
    return edt(data, anisotropy, black_border, voxel_graph=voxel_graph)


def edt2dsq(
    data: Any, anisotropy: Any = (1.0, 1.0), black_border: bool = False, parallel: int = 1, voxel_graph: Any = None
) -> np.ndarray:
    """``edtsq`` of a picture."""
    return edtsq(data, anisotropy, black_border, voxel_graph=voxel_graph)


def edt3d(
    data: Any,
    anisotropy: Any = (1.0, 1.0, 1.0),
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
) -> np.ndarray:
    """``edt`` of a volume."""
    return edt(data, anisotropy, black_border, voxel_graph=voxel_graph)


def edt3dsq(
    data: Any,
    anisotropy: Any = (1.0, 1.0, 1.0),
    black_border: bool = False,
    parallel: int = 1,
    voxel_graph: Any = None,
) -> np.ndarray:
    """``edtsq`` of a volume."""
    return edtsq(data, anisotropy, black_border, voxel_graph=voxel_graph)


def _distance(data: Any, anisotropy: Any, border: bool, graph: Any, squared: bool) -> np.ndarray:
    array = _labels(data)
    if array.size == 0:
        return np.zeros(array.shape, np.float32)
    if array.ndim == 1:
        return _row(array, anisotropy, border, graph, squared)
    spacing = (1.0,) * array.ndim if anisotropy is None else tuple(anisotropy)[: array.ndim]
    if graph is not None:
        graph = _graph_by_axis(np.asarray(graph), array)
    return np.asarray(emfast.edt(array, spacing=spacing, border=bool(border), squared=squared, voxel_graph=graph))


def _signed(data: Any, anisotropy: Any, border: bool, graph: Any, squared: bool) -> np.ndarray:
    array = _labels(data)
    if graph is not None or array.ndim == 1 or array.size == 0:
        rest = anisotropy, border, graph, squared
        return _distance(array, *rest) - _distance(array == 0, *rest)
    spacing = (1.0,) * array.ndim if anisotropy is None else tuple(anisotropy)[: array.ndim]
    return np.asarray(emfast.signed_distance(array, spacing=spacing, border=bool(border), squared=squared))


def _labels(data: Any) -> np.ndarray:
    array = np.asarray(data)
    if array.ndim not in (1, 2, 3):
        raise TypeError(f"data must be 1D, 2D or 3D, got {array.ndim}D")
    if array.dtype.kind not in "biuf" or array.dtype == np.float16:
        raise TypeError(f"data must be integers, bool, float32 or float64, got {array.dtype}")
    return as_integers(array)


def _row(array: np.ndarray, anisotropy: Any, border: bool, graph: Any, squared: bool) -> np.ndarray:
    """A row is a picture of one row, whose upper and lower border are too far to matter."""
    if graph is not None:
        raise TypeError("a voxel_graph needs data of 2D or 3D, got 1D")
    step = 1.0 if anisotropy is None else float(np.asarray(anisotropy).reshape(-1)[0])
    voxels = emfast.edt(array[None], spacing=(len(array) + 1, 1), border=bool(border))[0].astype(np.float64)
    return np.asarray(((voxels * step) ** 2 if squared else voxels * step).astype(np.float32))


def _graph_by_axis(graph: np.ndarray, array: np.ndarray) -> np.ndarray:
    """The bits that look forward (0, 2, 4), from the fastest axis on, put in the order of the axes."""
    if graph.dtype.kind not in "iu":
        raise TypeError(f"voxel_graph must be integers, got {graph.dtype}")
    graph = graph.astype(np.uint8, copy=False)
    if array.flags.f_contiguous:
        return graph
    last = 2 * (array.ndim - 1)
    turned = ((graph >> last) & 1) | ((graph & 1) << last)
    return turned | (graph & 4) if array.ndim == 3 else turned


def each(labels: Any, dt: Any, in_place: bool = False) -> Images:
    """Iterate over (label, distances of that label alone), ascending; 0 is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import edt
    >>> labels = np.array([[1, 1, 2, 2]])
    >>> for label, image in edt.each(labels, edt.edt(labels)):
    ...     print(label, image.tolist())
    1 [[2.0, 1.0, 0.0, 0.0]]
    2 [[0.0, 0.0, 1.0, 2.0]]
    """
    array, distances = np.asarray(labels), np.asarray(dt)
    if array.shape != distances.shape:
        raise ValueError(f"dt must have the shape of labels {array.shape}, got {distances.shape}")
    turned = by_memory(array)[1]
    flat = np.ascontiguousarray(distances.T if turned else distances).reshape(-1)
    return Images(array, lambda label, where: flat[where], distances.dtype, in_place)


def runs(labels: Any) -> dict[Any, list[tuple[int, int]]]:
    """Where each label lies in memory: a list of (start, stop) per label, 0 included."""
    array = np.asarray(labels)
    flat = by_memory(array)[0].reshape(-1)
    if flat.size == 0:
        return {}
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    stops = np.append(starts[1:], flat.size)
    out: dict[Any, list[tuple[int, int]]] = {}
    order = np.argsort(flat[starts], kind="stable")
    for label, start, stop in zip(
        flat[starts][order].tolist(), starts[order].tolist(), stops[order].tolist(), strict=True
    ):
        out.setdefault(label, []).append((start, stop))
    return out


def draw(label: Any, runs: Iterable[tuple[int, int]], image: np.ndarray) -> np.ndarray:
    """Write the label where the runs lie; ``image`` is changed and returned."""
    flat = _flat(image)
    for start, stop in runs:
        flat[start:stop] = label
    return image


def erase(runs: Iterable[tuple[int, int]], image: np.ndarray) -> np.ndarray:
    """Write 0 where the runs lie; ``image`` is changed and returned."""
    return draw(0, runs, image)


def transfer(runs: Iterable[tuple[int, int]], src: np.ndarray, dest: np.ndarray) -> np.ndarray:
    """Copy what lies in the runs from ``src`` to ``dest``, which is changed and returned."""
    source, target = _flat(src), _flat(dest)
    for start, stop in runs:
        target[start:stop] = source[start:stop]
    return dest


def _flat(image: np.ndarray) -> np.ndarray:
    if not (image.flags.c_contiguous or image.flags.f_contiguous):
        raise ValueError("image must be contiguous in C or Fortran order")
    return by_memory(image)[0].reshape(-1)
