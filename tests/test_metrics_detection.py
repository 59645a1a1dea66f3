"""Score-ordered precision beside a plain oracle and pycocotools; its vectors are in test_metrics_matching."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from vectors import object_images, pictures

HALF = Fraction(1, 2)


@given(object_images(), st.data(), st.sampled_from(["coco", "mitoem"]))
def test_score_ordered_precision(pair, data, rule):
    overlaps, table = oracles.Overlaps(*pair), emfast.contingency(*pair)
    given_scores = {s: data.draw(st.integers(0, 3)) for s in overlaps.labels}
    thresholds = [Fraction(1, 5), HALF, Fraction(3, 5)]
    bounds = sorted(data.draw(st.sets(st.integers(1, 12), max_size=2)))
    found = table.score_ordered_precision(scores=given_scores, thresholds=thresholds, bounds=bounds, rule=rule)
    edges = [0, *bounds, math.inf]
    ranges = [(0, math.inf)] + (list(zip(edges, edges[1:], strict=False)) if bounds else [])
    assert found.ranges == tuple(ranges)
    for r, limits in enumerate(ranges):
        for t, threshold in enumerate(thresholds):
            expected = oracles.score_ordered(overlaps, given_scores, threshold, limits, rule)
            if expected is None:
                assert math.isnan(found.recall[t, r])
                continue
            assert found.precision[t, r].tolist() == expected[0]
            assert found.recall[t, r] == expected[1]
            assert found.average[t, r] == math.fsum(expected[0]) / 101


def test_a_segment_prefers_true_objects_of_the_range():
    """Of a segment of 6 voxels 4 lie in a true object of 10, 2 in one of 3."""
    table = emfast.Contingency.from_pairs([1, 1, 2, 2], [7, 0, 7, 0], [4, 6, 2, 1])
    for rule in ("coco", "mitoem"):
        found = table.score_ordered_precision(thresholds=0.25, bounds=[5], rule=rule)
        assert found.recall.tolist() == [[0.5, 1, 1]]


def test_segments_without_partner_are_ignored_outside_of_the_range():
    table = emfast.Contingency.from_pairs([0, 0, 9], [1, 2, 3], [9, 2, 4])
    found = table.score_ordered_precision(scores={1: 0.7, 2: 0.9, 3: 0.8}, bounds=[5], thresholds=0.5)
    assert found.average.tolist() == [pytest.approx([0.5, 0.5, math.nan], nan_ok=True)]
    found = table.score_ordered_precision(scores=[0.9, 0.7, 0.8], bounds=[5], thresholds=0.5)
    assert found.average.tolist() == [pytest.approx([0.5, 1, math.nan], nan_ok=True)]


@pytest.mark.parametrize("seed", range(5))
def test_score_ordered_precision_is_cocos(seed):
    mask = pytest.importorskip("pycocotools.mask")
    coco = pytest.importorskip("pycocotools.coco").COCO
    evaluator = pytest.importorskip("pycocotools.cocoeval").COCOeval
    truth, labels = pictures(seed)
    rng = np.random.default_rng(seed)
    given_scores = {int(i): float(rng.random()) for i in np.unique(labels[labels > 0])}

    def entries(image, first):
        return [
            {
                "id": first + k,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": int((image == i).sum()),
                "segmentation": mask.encode(np.asfortranarray(image == i, np.uint8)),
                "score": given_scores.get(int(i), 0),
            }
            for k, i in enumerate(np.unique(image[image > 0]))
        ]

    theirs = coco()
    height, width = truth.shape
    theirs.dataset = {
        "images": [{"id": 1, "height": height, "width": width}],
        "categories": [{"id": 1}],
        "annotations": entries(truth, 1),
    }
    theirs.createIndex()
    evaluation = evaluator(theirs, theirs.loadRes(entries(labels, 1)), "segm")
    thresholds = [0.25, 0.5, 0.6, 0.75, 0.9]
    evaluation.params.iouThrs = np.array(thresholds)
    evaluation.params.recThrs = np.arange(101) / 100
    evaluation.params.maxDets = [1000]
    evaluation.params.areaRng = [[0, 1e9], [0, 20], [20.5, 1e9]]  # both limits included
    evaluation.params.areaRngLbl = ["all", "small", "large"]
    evaluation.evaluate()
    evaluation.accumulate()
    expected = evaluation.eval["precision"][:, :, 0, :, 0].transpose(0, 2, 1)
    found = emfast.contingency(truth, labels).score_ordered_precision(
        scores=given_scores, thresholds=thresholds, bounds=[20], empty=-1
    )
    assert found.precision.max() > 0
    np.testing.assert_allclose(found.precision, expected, atol=1e-12)
    np.testing.assert_allclose(found.recall, evaluation.eval["recall"][:, 0, :, 0], atol=1e-12)
