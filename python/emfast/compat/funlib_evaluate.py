"""funlib.evaluate on emfast: ``from emfast.compat import funlib_evaluate`` for ``from funlib import evaluate``.

Results are those of funlib.evaluate's main branch of 2024. Where they differ:

- ``rand_voi`` sums without rounding on the way, so equal partitions score exactly 0 and 1; funlib adds up float64. With
  one cluster on both sides the normalised scores are 0.
- Lengths of edges are float64 sums, funlib's are float32: equal to seven digits. Lengths stored on edges are floats.
- ``detection_scores`` never matches components that do not overlap, which funlib does where the threshold is 0 and the
  solver pairs up what is left; where several matchings are equally good funlib takes whichever its solver finds.
  Components are counted, not read off the largest id: without ``label_ids``, ids that are left out are no false
  positives. Nothing is allocated by id or for all pairs, except with ``matching_score="distance"``.
- ``split_graph`` is not offered.

Graphs are networkx's or anything with its ``nodes`` and ``edges``; networkx itself is not needed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import emfast
from emfast import metrics

from .. import _native
from .._arrays import Host

__all__ = [
    "detection_scores",
    "evaluate_skeletons",
    "expected_run_length",
    "get_skeleton_lengths",
    "rand_voi",
    "split_graph",
]


def rand_voi(truth: np.ndarray, test: np.ndarray, return_cluster_scores: bool = False) -> dict[str, Any]:
    """Rand and VOI scores of a segmentation, over voxels whose truth is not 0.

    Parameters
    ----------
    truth, test : arrays of uint64, of one shape
    return_cluster_scores : bool
        Fill ``voi_split_i`` and ``voi_merge_j``: what each true cluster adds to ``voi_split`` and each test cluster to
        ``voi_merge``.

    Returns
    -------
    dict
        rand_split, rand_merge, voi_split, voi_merge (bits), nvi_split, nvi_merge, nid, voi_split_i, voi_merge_j.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import funlib_evaluate
    >>> scores = funlib_evaluate.rand_voi(np.array([1, 1, 2, 2], np.uint64), np.array([2, 2, 2, 2], np.uint64))
    >>> scores["rand_merge"], scores["voi_merge"], scores["nid"]
    (0.5, 1.0, 1.0)
    """
    for name, array in (("truth", truth), ("test", test)):
        if np.asarray(array).dtype != np.uint64:
            raise ValueError(f"{name} must be uint64, got {np.asarray(array).dtype}")
    if np.shape(truth) != np.shape(test):
        raise AssertionError(f"shapes of truth and test must match, got {np.shape(truth)} and {np.shape(test)}")
    table = emfast.contingency(truth, test, ignore=0)
    pairs, information = metrics.vrand(table), metrics.voi(table)
    normalised = metrics.normalised_voi(table)
    out: dict[str, Any] = {
        "rand_split": pairs.split,
        "rand_merge": pairs.merge,
        "voi_split": 0.0 if table.empty else information.split,
        "voi_merge": 0.0 if table.empty else information.merge,
        "nvi_split": normalised.split,
        "nvi_merge": normalised.merge,
        "nid": normalised.distance,
        "voi_split_i": {},
        "voi_merge_j": {},
    }
    if return_cluster_scores:
        clusters = metrics.voi_per_object(table), metrics.voi_per_object(table, side="labels")
        out["voi_split_i"] = dict(zip(clusters[0].truth.tolist(), clusters[0].split.tolist(), strict=True))
        out["voi_merge_j"] = dict(zip(clusters[1].label.tolist(), clusters[1].merge.tolist(), strict=True))
    return out


# ---- skeletons


def get_skeleton_lengths(
    skeletons: Any, skeleton_position_attributes: Any, skeleton_id_attribute: Any, store_edge_length: Any = None
) -> dict[Any, float]:
    """The length of each skeleton of a graph, by its id.

    Parameters
    ----------
    skeletons : networkx-like graph
    skeleton_position_attributes : list of str
        The node attributes that hold the coordinates.
    skeleton_id_attribute : str
    store_edge_length : str, optional
        The edge attribute to write lengths to.

    Returns
    -------
    dict
    """
    parts: dict[Any, list[float]] = {}
    for u, v, data in skeletons.edges(data=True):
        ends = [[float(skeletons.nodes[n][a]) for a in skeleton_position_attributes] for n in (u, v)]
        length = math.dist(*ends)
        if store_edge_length:
            data[store_edge_length] = length
        parts.setdefault(skeletons.nodes[u][skeleton_id_attribute], []).append(length)
    return {skeleton: math.fsum(lengths) for skeleton, lengths in parts.items()}


def expected_run_length(
    skeletons: Any,
    skeleton_id_attribute: Any,
    edge_length_attribute: Any,
    node_segment_lut: Any,
    skeleton_lengths: Any = None,
    skeleton_position_attributes: Any = None,
    return_merge_split_stats: bool = False,
) -> Any:
    """Expected run length on skeletons, from the segment at each node.

    Parameters
    ----------
    skeletons : networkx-like graph
    skeleton_id_attribute : str
        Of nodes.
    edge_length_attribute : str
        Of edges: written if ``skeleton_position_attributes`` is given, else read.
    node_segment_lut : dict
        Segments of nodes; 0 is none.
    skeleton_lengths : dict, optional
        Lengths of skeletons, as :func:`get_skeleton_lengths` gives them, with lengths read from edges.
    skeleton_position_attributes : list of str, optional
    return_merge_split_stats : bool
        Also return which skeletons each segment merges, and which segments meet at the splits of each skeleton.

    Returns
    -------
    float, or (float, dict)
    """
    if skeleton_position_attributes is not None:
        if skeleton_lengths is not None:
            raise ValueError("skeleton_lengths must not be given with skeleton_position_attributes")
        skeleton_lengths = get_skeleton_lengths(
            skeletons, skeleton_position_attributes, skeleton_id_attribute, edge_length_attribute
        )
    elif skeleton_lengths is None:
        raise ValueError("skeleton_lengths or skeleton_position_attributes must be given")
    nodes = list(skeletons.nodes())
    rows = {node: k for k, node in enumerate(nodes)}
    names: dict[Any, int] = {}
    owners = [names.setdefault(skeletons.nodes[n][skeleton_id_attribute], len(names)) for n in nodes]
    edges = [(rows[u], rows[v]) for u, v in skeletons.edges()]
    lengths = [float(data[edge_length_attribute]) for _, _, data in skeletons.edges(data=True)]
    graph = metrics.SkeletonGraph(np.zeros((len(nodes), 3)), np.array(edges, np.int64), np.array(owners), lengths)
    runs = metrics.expected_run_length(graph, np.array([int(node_segment_lut[n]) for n in nodes], np.uint64))
    known = np.array([skeleton_lengths.get(name, 0) for name in names], np.float64)
    total = math.fsum(skeleton_lengths.values())
    # A skeleton's share is its given length, and its own run length is over that length too: the two cancel.
    erl = math.fsum((runs.skeletons.erl * runs.skeletons.length)[known > 0]) / total if total else 0.0
    if not return_merge_split_stats:
        return erl
    _, stats = evaluate_skeletons(skeletons, skeleton_id_attribute, node_segment_lut, return_merge_split_stats=True)
    return erl, stats


class SkeletonScores:
    """How many edges of a skeleton are omitted, split, merged and correct, and the correct ones by segment."""

    def __init__(self) -> None:
        self.ommitted = 0
        self.split = 0
        self.merged = 0
        self.correct = 0
        self.correct_edges: dict[Any, list[tuple[Any, Any]]] = {}


def evaluate_skeletons(
    skeletons: Any, skeleton_id_attribute: Any, node_segment_lut: Any, return_merge_split_stats: bool = False
) -> Any:
    """Count the edges of each skeleton by what a segmentation makes of them.

    Parameters
    ----------
    skeletons : networkx-like graph
    skeleton_id_attribute : str
    node_segment_lut : dict
    return_merge_split_stats : bool

    Returns
    -------
    dict of SkeletonScores by skeleton, or (dict, dict)
    """
    on: dict[Any, set[Any]] = {}
    for node, data in skeletons.nodes(data=True):
        on.setdefault(node_segment_lut[node], set()).add(data[skeleton_id_attribute])
    merges = {segment: sorted(found) for segment, found in sorted(on.items()) if len(found) > 1}
    splits: dict[Any, list[tuple[Any, Any]]] = {}
    out: dict[Any, SkeletonScores] = {}
    for u, v in skeletons.edges():
        skeleton = skeletons.nodes[u][skeleton_id_attribute]
        scores = out.setdefault(skeleton, SkeletonScores())
        a, b = node_segment_lut[u], node_segment_lut[v]
        if a == 0 or b == 0:
            scores.ommitted += 1
        elif a != b:
            scores.split += 1
            splits.setdefault(skeleton, []).append((a, b))
        elif a in merges:
            scores.merged += 1
        else:
            scores.correct += 1
            scores.correct_edges.setdefault(a, []).append((u, v))
    if not return_merge_split_stats:
        return out
    return out, {"merge_stats": merges, "split_stats": splits}


def split_graph(*args: Any, **kwargs: Any) -> Any:
    """Not offered: min-cuts of graphs are networkx's."""
    raise NotImplementedError("split_graph is not offered; networkx.minimum_cut finds the cuts it is made of")


# ---- detection


def detection_scores(
    truth: np.ndarray,
    test: np.ndarray,
    label_ids: Any = None,
    matching_score: str = "overlap",
    matching_threshold: float = 0,
    voxel_size: Any = None,
    return_matches: bool = False,
) -> dict[str, Any]:
    """Match components of two label images one to one, and count.

    Parameters
    ----------
    truth, test : arrays of integers, of one shape with one to three axes
    label_ids : sequence of int, optional
        The labels whose connected components (over faces) are matched, each label by itself. None: the ids of both
        arrays are components already.
    matching_score : {"overlap", "iou", "distance"}
        Voxels in common, intersection over union, or the distance of centres. The sum over all matches is the best.
    matching_threshold : float
        Matches with a smaller overlap or a larger distance do not count.
    voxel_size : sequence of float, optional
    return_matches : bool
        Also return components and matches.

    Returns
    -------
    dict
        tp, fp, fn, avg_distance, avg_iou; with ``label_ids`` also for each label, as ``tp_1`` and so on. Averages over
        labels are plain means.

    Examples
    --------
    >>> import numpy as np
    >>> from emfast.compat import funlib_evaluate
    >>> truth, test = np.array([[1, 1, 0, 2]]), np.array([[1, 1, 1, 0]])
    >>> scores = funlib_evaluate.detection_scores(truth, test, matching_threshold=1)
    >>> scores["tp"], scores["fp"], scores["fn"], round(float(scores["avg_iou"]), 3)
    (1, 0, 1, 0.667)
    """
    if matching_score not in ("overlap", "iou", "distance"):
        raise RuntimeError(f"Unknown matching score {matching_score}")
    options = (matching_score, matching_threshold, voxel_size, return_matches)
    if label_ids is None:
        return _components(truth, test, "", *options)
    out: dict[str, Any] = {"tp": 0, "fp": 0, "fn": 0, "avg_distance": 0.0, "avg_iou": 0.0}
    for label in label_ids:
        true_parts, test_parts = (_connected(np.asarray(array) == label) for array in (truth, test))
        out |= _components(true_parts, test_parts, f"_{label}", *options)
        for name in ("tp", "fp", "fn", "avg_distance", "avg_iou"):
            out[name] += out[f"{name}_{label}"]
    for name in ("avg_distance", "avg_iou"):
        out[name] /= len(label_ids)
    return out


def _connected(mask: np.ndarray) -> np.ndarray:
    parts: np.ndarray = emfast.connected_components(_as_volume(mask)).reshape(mask.shape)
    return parts


def _as_volume(array: np.ndarray) -> np.ndarray:
    return array[None] if array.ndim == 1 else array


def _components(
    truth: np.ndarray,
    test: np.ndarray,
    suffix: str,
    matching_score: str,
    threshold: float,
    voxel_size: Any,
    return_matches: bool,
) -> dict[str, Any]:
    truth, test = np.asarray(truth), np.asarray(test)
    table = emfast.contingency(truth, test)
    objects = table.without(truth=0, labels=0)
    true_ids, test_ids = (ids[ids != 0] for ids in (table.truth_ids, table.label_ids))
    rows, columns = (
        np.searchsorted(ids, part) for ids, part in zip((true_ids, test_ids), objects.pairs[:2], strict=True)
    )
    sizes = [
        size[ids != 0] for size, ids in ((table.truth_sizes, table.truth_ids), (table.label_sizes, table.label_ids))
    ]
    overlaps = objects.counts
    ious = (overlaps / (sizes[0][rows] + sizes[1][columns] - overlaps)).astype(np.float32)
    centers = [_centers(array, voxel_size) for array in (truth, test)]
    if matching_score == "distance":
        rows, columns = (part.ravel() for part in np.indices((len(true_ids), len(test_ids))))
    distances = np.sqrt(((centers[0][rows] - centers[1][columns]) ** 2).sum(axis=1)).astype(np.float32)
    if matching_score == "distance":
        far = float(distances.max(initial=0)) or 1.0
        taken = _best(rows, columns, len(true_ids), len(test_ids), np.ones(len(rows)), 1 - distances / (2 * far))
        taken &= distances <= np.float32(threshold)
        shared = np.zeros((len(true_ids), len(test_ids)), np.float32)
        pairs = (np.searchsorted(ids, part) for ids, part in zip((true_ids, test_ids), objects.pairs[:2], strict=True))
        shared[tuple(pairs)] = ious
        ious = shared.ravel()
    else:
        scores = overlaps if matching_score == "overlap" else ious
        first = overlaps if matching_score == "overlap" else np.zeros(len(rows))
        taken = _best(rows, columns, len(true_ids), len(test_ids), first, ious)
        taken &= scores >= (threshold if matching_score == "overlap" else np.float32(threshold))
    matched = int(taken.sum())
    out: dict[str, Any] = {
        f"tp{suffix}": matched,
        f"fp{suffix}": len(test_ids) - matched,
        f"fn{suffix}": len(true_ids) - matched,
        f"avg_distance{suffix}": np.mean(distances[taken]) if matched else 0,
        f"avg_iou{suffix}": np.mean(ious[taken]) if matched else 0,
    }
    if return_matches:
        pairs_taken = test_ids[columns[taken]].tolist(), true_ids[rows[taken]].tolist()
        out[f"matches{suffix}"] = sorted(zip(*pairs_taken, strict=True))
        out[f"components_truth{suffix}"], out[f"components_test{suffix}"] = truth, test
    return out


def _best(rows: np.ndarray, columns: np.ndarray, height: int, width: int, first: Any, second: Any) -> np.ndarray:
    """Which pairs make the one-to-one matching with the largest sum of ``first``, then of ``second``."""
    gains = np.zeros((len(rows), 3), np.int64)
    gains[:, 0], gains[:, 1] = first, np.rint(np.asarray(second, np.float64) * 2.0**32)
    graph = (np.ascontiguousarray(part, np.int64) for part in (rows, columns))
    taken: np.ndarray = _native.host.matching_assign(Host, height, width, *graph, gains).view(bool)
    return taken


def _centers(components: np.ndarray, voxel_size: Any) -> np.ndarray:
    """The centroids of the ids other than 0, ascending, in axis order."""
    centers = emfast.statistics(_as_volume(components)).centroid[:, -components.ndim :]
    return centers if voxel_size is None else centers * np.asarray(voxel_size, np.float64)
