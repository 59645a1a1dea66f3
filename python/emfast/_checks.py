"""What kernels may rely on in graphs and trees, whose arrays may come from files or be changed by their owners."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._ids import cast_exactly, places_of
from ._options import spacing_of

if TYPE_CHECKING:
    from .graphs import RegionGraph
    from .trees import MergeTree

_MOST = 2.0**62  # of counts and of sums in all, so that no merge leaves int64
_HISTOGRAM = ("starts", "bins", "bin_counts")
_BOXES = ("box_starts", "box_stops")


def checked_graph(graph: RegionGraph) -> tuple[RegionGraph, np.ndarray]:
    """The graph with its arrays as :class:`RegionGraph` documents them; the ends of edges as places among its nodes.

    Arrays of another dtype are turned where that changes no value. TypeError and ValueError name the array.
    """
    if isinstance(graph.unit, bool) or graph.unit not in (255, 2**24):
        raise ValueError(f"graph.unit must be 255 or 2**24, got {graph.unit!r}")
    dims = len(graph.spacing)
    if dims not in (2, 3):
        raise ValueError(f"graph.spacing must have 2 or 3 numbers, got {graph.spacing!r}")
    spacing_of(graph.spacing, dims)
    for names in (_HISTOGRAM, _BOXES):
        there = [getattr(graph, name) is not None for name in names]
        if any(there) and not all(there):
            raise ValueError(f"graph must have {', '.join(names)} all or none, got no {names[there.index(False)]}")
    arrays = {"nodes": (nodes := _array(graph, "nodes", None, -1))}
    arrays["edges"] = _array(graph, "edges", nodes.dtype, -1, 2)
    n, m = len(arrays["edges"]), len(nodes)
    for name in ("counts", "sums", "ids"):
        arrays[name] = _array(graph, name, "int64", n)
    for name in ("minima", "maxima"):
        arrays[name] = _affinities(graph, name, n)
    arrays["faces"] = _array(graph, "faces", "int64", n, dims)
    arrays["sizes"] = _array(graph, "sizes", "int64", m)
    if graph.has_boxes:
        arrays |= {name: _array(graph, name, "int64", m, dims) for name in _BOXES}
    if graph.has_histograms:
        arrays["starts"] = _array(graph, "starts", "int64", n + 1)
        arrays["bins"] = _array(graph, "bins", "uint8", -1)
        arrays["bin_counts"] = _array(graph, "bin_counts", "int64", len(arrays["bins"]))

    _demand(nodes[1:] > nodes[:-1], "graph.nodes must ascend, each once", nodes[1:])
    ends = places_of(arrays["edges"], nodes, "graph.edges must hold nodes of the graph")
    u, v = ends[:, 0], ends[:, 1]
    _demand(u < v, "graph.edges must be pairs u < v", arrays["edges"])
    rising = (u[1:] > u[:-1]) | ((u[1:] == u[:-1]) & (v[1:] > v[:-1]))
    _demand(rising, "graph.edges must ascend, no pair twice", arrays["edges"][1:])
    _demand(arrays["counts"] > 0, "graph.counts must be above 0", arrays["counts"])
    for name in ("counts", "sums", "sizes"):
        total = _size(arrays[name])
        if total >= _MOST:
            raise ValueError(f"graph.{name} must stay below 2**62 in all, got {total:g}")
    _demand(arrays["ids"] >= 0, "graph.ids must not be negative", arrays["ids"])
    _demand(arrays["minima"] <= arrays["maxima"], "graph.minima must not exceed maxima", arrays["minima"])
    _demand(arrays["sizes"] >= 0, "graph.sizes must not be negative", arrays["sizes"])
    if graph.has_histograms:
        _check_histograms(arrays["starts"], arrays["bins"], arrays["bin_counts"], arrays["counts"])
    if all(array is getattr(graph, name) for name, array in arrays.items()):
        return graph, ends
    turned = replace(graph, **arrays)  # type: ignore[arg-type]
    turned._library = graph._library
    return turned, ends


def checked_tree(tree: MergeTree) -> tuple[MergeTree, np.ndarray, np.ndarray]:
    """The same for a tree, and the places of ``a`` and ``b`` among its fragments."""
    fragments = _array(tree, "fragments", None, -1)
    arrays = {"fragments": fragments, "a": _array(tree, "a", fragments.dtype, -1)}
    n = len(arrays["a"])
    arrays["b"] = _array(tree, "b", fragments.dtype, n)
    arrays["scores"] = _array(tree, "scores", "float64", n)
    arrays |= {name: _array(tree, name, "int64", n) for name in ("ids", "sums", "counts")}
    _demand(fragments[1:] > fragments[:-1], "tree.fragments must ascend, each once", fragments[1:])
    _demand(~np.isnan(arrays["scores"]), "tree.scores must be numbers", arrays["scores"])
    a, b = (places_of(arrays[name], fragments, f"tree.{name} must hold fragments of the tree") for name in "ab")
    _demand(a < b, "tree.a must be below tree.b", arrays["a"])
    merged = np.full(len(fragments), n)  # by which merge a segment ends
    merged[b] = np.arange(n)
    _demand(merged[b] == np.arange(n), "tree.b must end every segment once", arrays["b"])
    _demand(merged[a] > np.arange(n), "tree.a must not hold segments that ended before", arrays["a"])
    same = all(array is getattr(tree, name) for name, array in arrays.items())
    return tree if same else replace(tree, **arrays), a, b


def _check_histograms(starts: np.ndarray, bins: np.ndarray, bin_counts: np.ndarray, counts: np.ndarray) -> None:
    if starts[0] != 0 or starts[-1] != len(bins):
        came = f"{starts[0]} to {starts[-1]}"
        raise ValueError(f"graph.starts must go from 0 to the number of bins ({len(bins)}), got {came}")
    _demand(starts[1:] > starts[:-1], "graph.starts must ascend: every edge has a bin", starts[1:])
    _demand(bin_counts > 0, "graph.bin_counts must be above 0", bin_counts)
    rising = bins[1:] > bins[:-1]
    rising[starts[1:-1] - 1] = True  # from one edge to the next
    _demand(rising, "graph.bins must ascend in each edge", bins[1:])
    if len(counts):
        totals = np.add.reduceat(bin_counts, starts[:-1])
        _demand(totals == counts, "graph.bin_counts must sum to the counts of each edge", totals)


def _size(values: np.ndarray) -> float:
    """No less than the sum of magnitudes, and about that where it may be large."""
    most = max(int(values.max(initial=0)), -int(values.min(initial=0))) * len(values)
    return most if most < _MOST else float(np.abs(values.astype(np.float64)).sum())


def _array(owner: RegionGraph | MergeTree, name: str, dtype: Any, *shape: int) -> np.ndarray:
    """An array of a graph or tree, C-contiguous; a length of -1 and the dtype None (integers) are the array's own."""
    array, name = getattr(owner, name), f"{'tree' if hasattr(owner, 'scores') else 'graph'}.{name}"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.ndim != len(shape) or any(n not in (-1, k) for n, k in zip(shape, array.shape, strict=True)):
        wanted = str(tuple("n" if n == -1 else n for n in shape)).replace("'", "")
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    if array.dtype.kind not in ("iu" if dtype is None else "iuf"):
        raise TypeError(f"{name} must be {dtype or 'integers'}, got {array.dtype}")
    wanted_dtype = np.dtype(dtype or array.dtype).newbyteorder("=")
    if array.dtype != wanted_dtype:
        with np.errstate(invalid="ignore", over="ignore"):
            cast, held = cast_exactly(array, wanted_dtype)
        if not held.all():
            raise TypeError(f"{name} must be {wanted_dtype}, got {array.dtype} with {array[~held].flat[0]}")
        array = cast
    return np.ascontiguousarray(array)


def _affinities(graph: RegionGraph, name: str, length: int) -> np.ndarray:
    """Values of voxel edges: uint8 or floats of 16 or 32 bits, as the user's affinities were."""
    fits = ("uint8",) if graph.unit == 255 else ("float16", "float32")
    dtype = str(getattr(getattr(graph, name), "dtype", None))
    values = _array(graph, name, dtype if dtype in fits else fits[-1], length)
    if graph.unit != 255:
        _demand(np.isfinite(values), f"graph.{name} must be finite", values)
    return values


def _demand(fulfilled: np.ndarray, wanted: str, values: np.ndarray) -> None:
    if not fulfilled.all():
        place = int(np.argmin(fulfilled))
        raise ValueError(f"{wanted}, got {values[place].tolist()}")


__all__ = ["checked_graph", "checked_tree"]
