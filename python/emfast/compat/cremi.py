"""CREMI's evaluation on emfast: ``from emfast.compat import cremi`` in the place of ``cremi`` and ``cremi.evaluation``.

Results are those of cremi_python's last commit (2017), whose adapted Rand error is not the published one: it counts
voxels of label 0 wrongly, and ``NeuronIds.adapted_rand`` does the same (``emfast.metrics.adapted_rand`` has the right
one). Where results differ:

- Sums are exact, so equal partitions score exactly 0.
- Distances to a side that holds no cleft are infinite; there SciPy gives distances to a place that is not there.
  Statistics of no voxels are NaN, where NumPy raises.
- An F-score of nothing is NaN, and 0 where nothing matches, where cremi_python divides by zero.
- Where several matchings of partners are equally good SciPy's solver takes whichever it finds.
- Nothing is printed.

Files are not read here: ``Volume`` takes arrays or h5py datasets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import emfast
from emfast import metrics

__all__ = ["Annotations", "Clefts", "NeuronIds", "SynapticPartners", "Volume", "create_border_mask"]

_BACKGROUND = np.uint64(2**64 - 1)


class Volume:
    """An array with the size of its voxels and its place: ``data``, ``resolution``, ``offset``, ``comment``."""

    def __init__(
        self,
        data: Any,
        resolution: Sequence[float] = (1.0, 1.0, 1.0),
        offset: Sequence[float] = (0.0, 0.0, 0.0),
        comment: str = "",
    ) -> None:
        self.data, self.resolution, self.offset, self.comment = data, resolution, offset, comment

    def _index(self, location: Sequence[float]) -> tuple[int, ...]:
        index = tuple(round(place / size) for place, size in zip(location, self.resolution, strict=True))
        if not all(0 <= i < n for i, n in zip(index, self.data.shape, strict=True)):
            raise IndexError(f"location {location} does not lie inside volume")
        return index

    def __getitem__(self, location: Sequence[float]) -> Any:
        """The value nearest to a location, in nanometres from the volume's offset."""
        return self.data[self._index(location)]

    def __setitem__(self, location: Sequence[float], value: Any) -> None:
        self.data[self._index(location)] = value


class Annotations:
    """Places of synapses, and which belong together: ``pre_post_partners`` are pairs of ids."""

    def __init__(self, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        self.comments: dict[Any, bytes] = {}
        self.pre_post_partners: list[tuple[Any, Any]] = []
        self.offset = offset
        self._types: dict[Any, bytes] = {}
        self._locations: dict[Any, Sequence[float]] = {}

    def _check(self, id: Any) -> None:
        if id not in self._types:
            raise KeyError(f"there is no annotation with id {id}")

    def add_annotation(self, id: Any, type: str, location: Sequence[float]) -> None:
        """A new one; ``type`` is "presynaptic_site" or "postsynaptic_site", the location is from the offset."""
        self._types[id], self._locations[id] = type.encode("utf8"), location

    def add_comment(self, id: Any, comment: str) -> None:
        self._check(id)
        self.comments[id] = comment.encode("utf8")

    def set_pre_post_partners(self, pre_id: Any, post_id: Any) -> None:
        self._check(pre_id)
        self._check(post_id)
        self.pre_post_partners.append((pre_id, post_id))

    def ids(self) -> Any:
        return self._types.keys()

    def types(self) -> Any:
        return self._types.values()

    def locations(self) -> Any:
        return self._locations.values()

    def get_annotation(self, id: Any) -> tuple[bytes, Sequence[float]]:
        self._check(id)
        return self._types[id], self._locations[id]


class NeuronIds:
    """Scores of neuron ids.

    Parameters
    ----------
    groundtruth : Volume
        Of uint64 ids; 2^64 − 1 does not count. 0 is a neuron.
    border_threshold : float, optional
        In nanometres: voxels no farther from a border in their section do not count either. The challenge takes 25.
    """

    def __init__(self, groundtruth: Any, border_threshold: float | None = None) -> None:
        if groundtruth.resolution[1] != groundtruth.resolution[2]:
            raise AssertionError(f"resolutions along y and x must be the same, got {tuple(groundtruth.resolution)}")
        self.groundtruth, self.border_threshold = groundtruth, border_threshold
        truth = np.array(groundtruth.data)
        if border_threshold:
            truth = truth.astype(np.uint64)
            create_border_mask(truth, truth, float(border_threshold) / groundtruth.resolution[1], _BACKGROUND)
        # As cremi_python has it: 2^64 − 1 becomes 0, which does not count, and every other id one more.
        self.gt = truth + truth.dtype.type(1)

    def voi(self, segmentation: Any) -> tuple[float, float]:
        """(split, merge) in bits."""
        found = metrics.voi(self._table(segmentation).without(truth=0))
        return found.split, found.merge

    def adapted_rand(self, segmentation: Any) -> float:
        """The adapted Rand error as cremi_python has it."""
        return metrics.adapted_rand(self._table(segmentation), "cremi_legacy").error

    def _table(self, segmentation: Any) -> emfast.Contingency:
        for name in ("shape", "resolution"):
            ours, theirs = (
                tuple(volume.data.shape if name == "shape" else volume.resolution)
                for volume in (self.groundtruth, segmentation)
            )
            if ours != theirs:
                raise AssertionError(f"segmentation must have the {name} of the ground truth {ours}, got {theirs}")
        return emfast.contingency(self.gt, np.asarray(segmentation.data))


def create_border_mask(input_data: Any, target: Any, max_dist: float, background_label: Any, axis: int = 0) -> None:
    """Write labels to ``target``, with a background label where a border is near.

    Parameters
    ----------
    input_data, target : arrays of integers, of one shape
        May be one.
    max_dist : float
        In pixels of a section, whose borders are where one of the four neighbours has another label.
    background_label : int
    axis : int
        Across sections.
    """
    labels = np.moveaxis(np.asarray(input_data), axis, 0)
    far = metrics.border_mask(labels, within=max(max_dist, 0), spacing=(1, 1, 1))
    target[...] = np.moveaxis(np.where(far, labels, labels.dtype.type(background_label)), 0, axis)


class Clefts:
    """Distances between the synaptic clefts of a prediction and the truth, in nanometres.

    Parameters
    ----------
    test, truth : Volume
        Of uint64; 2^64 − 1 is no cleft, and where the truth is 2^64 − 2 there is none on either side.
    """

    def __init__(self, test: Any, truth: Any) -> None:
        if tuple(test.resolution) != tuple(truth.resolution):
            raise ValueError(f"test must have the resolution of truth {truth.resolution}, got {test.resolution}")
        self._found = metrics.cleft_score(
            np.asarray(truth.data), np.asarray(test.data), spacing=truth.resolution, convention="cremi"
        )

    def count_false_positives(self, threshold: float = 200) -> int:
        """Predicted voxels farther than this from every true one."""
        return _beyond(self._found.from_labels, threshold)

    def count_false_negatives(self, threshold: float = 200) -> int:
        """True voxels farther than this from every predicted one."""
        return _beyond(self._found.from_truth, threshold)

    def acc_false_positives(self) -> dict[str, Any]:
        """Mean (ADGT), std, max, count and median of the distances of predicted voxels to true ones."""
        return _statistics(self._found.from_labels)

    def acc_false_negatives(self) -> dict[str, Any]:
        """The same of true voxels to predicted ones; the mean is ADF."""
        return _statistics(self._found.from_truth)


def _beyond(side: metrics.Directed, threshold: float) -> int:
    return side.places - int(side.counts[side.distances <= threshold].sum())


def _statistics(side: metrics.Directed) -> dict[str, Any]:
    mean = side.mean()
    if math.isfinite(mean):
        spread = math.sqrt(math.fsum((side.distances - mean) ** 2 * side.counts) / side.places)
    else:
        spread = math.nan
    return {
        "mean": mean,
        "std": spread,
        "max": side.quantile(1.0),
        "count": side.places,
        "median": side.quantile(0.5),
    }


class SynapticPartners:
    """The F-score of synaptic partners.

    Parameters
    ----------
    matching_threshold : float
        In nanometres.
    """

    def __init__(self, matching_threshold: float = 400) -> None:
        self.matching_threshold = matching_threshold

    def fscore(self, rec_annotations: Any, gt_annotations: Any, gt_segmentation: Any, all_stats: bool = False) -> Any:
        """The F-score; with ``all_stats`` also precision, recall, FP, FN and the matches (found, true, cost).

        Parameters
        ----------
        rec_annotations, gt_annotations : Annotations
        gt_segmentation : Volume
            True neurons: partners match only if they join the same ones.
        all_stats : bool

        Returns
        -------
        float, or tuple
        """
        places, neurons = {}, {}
        for name, given in (("found", rec_annotations), ("truth", gt_annotations)):
            shift = np.subtract(given.offset, gt_segmentation.offset)
            pairs = [
                [np.add(given.get_annotation(end)[1], shift) for end in partners]
                for partners in given.pre_post_partners
            ]
            places[name] = np.array(pairs, np.float64)
            neurons[name] = np.array([[int(gt_segmentation[tuple(end)]) for end in pair] for pair in pairs], np.uint64)
        score = metrics.partner_score(
            places["truth"],
            places["found"],
            segments=(neurons["truth"], neurons["found"]),
            threshold=self.matching_threshold,
        )
        if not all_stats:
            return score.f1
        matches = sorted(
            (found, true, cost)
            for (true, found), cost in zip(score.matches.tolist(), score.costs.tolist(), strict=True)
        )
        return score.f1, score.precision, score.recall, score.false_positives, score.false_negatives, matches
