"""Scores of masks and classes: by hand, against counts voxel by voxel, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emfast import Contingency, contingency
from emfast.metrics import Binary, binary, mean_iou, per_class, threshold_curve


def boxes():
    """The boxes of ../shared/METRICS.md."""
    truth, labels = np.zeros((2, 12, 12, 12), np.uint8)
    truth[2:7, 2:7, 2:7] = 1
    labels[2:7, 2:7, 4:10] = 1
    return truth, labels


def test_vector_of_boxes():
    scores = contingency(*boxes()).binary()
    assert (scores.tp, scores.fp, scores.fn, scores.tn) == (75, 75, 50, 1528)
    assert scores.f1 == 6 / 11
    assert scores.iou == 0.375
    assert scores.conformity == -2 / 3
    assert scores.precision == 0.5
    assert scores.recall == 0.6
    assert scores.tnr == 1528 / 1603
    assert scores.accuracy == 1603 / 1728
    assert scores.pixel_error == 125 / 1728
    assert scores.voxels == 1728
    assert scores.to_dict()["iou"] == 0.375
    assert contingency(*boxes()).mean_iou() == (0.375 + 1528 / 1653) / 2  # VOC


@st.composite
def classes(draw, most=40):
    n = draw(st.integers(0, most))
    dtypes = [draw(st.sampled_from(["u1", "i2", "u8", "i8"])) for _ in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return [rng.integers(0, 4, n).astype(d) for d in dtypes]


@given(pair=classes(), positive=st.sampled_from([None, 1, 7, (1, 2), ()]))
def test_counts_voxel_by_voxel(pair, positive):
    ids = {1, 2, 3} if positive is None else set(np.atleast_1d(np.array(positive, int)).tolist())
    t, s = (np.array([int(v) in ids for v in volume], bool) for volume in pair)
    scores = binary(contingency(*pair), positive)
    wanted = [int(x.sum()) for x in (t & s, ~t & s, t & ~s, ~t & ~s)]
    assert [scores.tp, scores.fp, scores.fn, scores.tn] == wanted
    swapped = binary(contingency(*pair).swapped(), positive)
    assert (swapped.fp, swapped.fn) == (scores.fn, scores.fp)
    assert repr(swapped.precision) == repr(scores.recall)
    for name in ("f1", "iou", "accuracy", "conformity", "pixel_error"):
        assert repr(getattr(swapped, name)) == repr(getattr(scores, name))
    if scores.voxels:
        assert scores.accuracy + scores.pixel_error == pytest.approx(1)
    if not math.isnan(scores.iou):
        assert scores.f1 == pytest.approx(2 * scores.iou / (1 + scores.iou))
        if scores.tp:
            assert scores.conformity == pytest.approx((3 * scores.f1 - 2) / scores.f1)


@given(pair=classes())
def test_a_class_is_one_against_the_rest(pair):
    table = contingency(*pair)
    rows = per_class(table)
    assert list(rows) == sorted({int(v) for volume in pair for v in volume})
    for i in [*rows]:
        one = binary(table, i)
        for name, value in rows[i].items():
            if name != "label":
                assert repr(float(value)) == repr(float(getattr(one, name)))
    known = [v for v in rows.iou.tolist() if not math.isnan(v)]
    assert table.mean_iou() == pytest.approx(math.fsum(known) / len(known) if known else math.nan, nan_ok=True)


def test_classes_that_are_asked_for():
    table = contingency(np.array([0, 1, 1, -1]), np.array([0, 1, 0, -1]))
    rows = table.per_class([1, 5, -1])
    assert rows.label.tolist() == [-1, 1, 5]
    assert rows.iou.tolist()[:2] == [1, 0.5]
    assert math.isnan(rows[5]["iou"])
    assert rows[5]["tn"] == 4
    assert table.mean_iou([1, 5]) == 0.5
    assert mean_iou(table, [1, 5], absent=1) == 0.75
    assert math.isnan(mean_iou(table, [5, 6]))
    assert mean_iou(table, [5], absent=0) == 0


def test_nothing_and_everything():
    nobody = binary(contingency(np.zeros(4, int), np.zeros(4, int)))
    assert nobody.accuracy == 1
    assert math.isnan(nobody.f1)
    assert math.isnan(nobody.conformity)
    assert nobody.filled(1).f1 == nobody.filled(1).precision == 1
    assert nobody.filled(0).iou == 0
    missed = binary(contingency(np.ones(4, int), np.zeros(4, int)))
    assert (missed.f1, missed.recall, missed.conformity) == (0, 0, -math.inf)
    assert math.isnan(missed.precision)
    perfect = binary(contingency(np.array([0, 3, 3]), np.array([0, 3, 3])))
    assert [perfect.f1, perfect.iou, perfect.accuracy, perfect.conformity, perfect.tnr] == [1] * 5
    assert perfect.pixel_error == 0
    empty = contingency(np.zeros(0, int), np.zeros(0, int))
    assert math.isnan(binary(empty).accuracy)
    assert len(empty.per_class()) == 0
    assert math.isnan(empty.mean_iou())


def test_counts_beyond_int64_products():
    n = 2**61
    scores = Contingency.from_pairs([1, 1, 0], [1, 0, 1], [n, n, n]).binary()
    assert scores.f1 == 0.5
    assert scores.iou == 1 / 3


@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["u1", "u2", "i4"]))
def test_every_threshold_at_once(seed, dtype):
    rng = np.random.default_rng(seed)
    truth, grades = rng.integers(0, 3, 60), rng.integers(0, 9, 60).astype(dtype)
    for positive in (None, [2]):
        curve = threshold_curve(contingency(truth, grades), positive=positive)
        assert curve.threshold.tolist() == sorted(set(grades.tolist()))
        inside = truth != 0 if positive is None else truth == 2
        for row, at in enumerate(curve.threshold.tolist()):
            wanted = binary(contingency(inside, grades >= at))
            assert [curve[name][row] for name in ("tp", "fp", "fn", "tn")] == [
                wanted.tp,
                wanted.fp,
                wanted.fn,
                wanted.tn,
            ]
            assert repr(float(curve.f1[row])) == repr(wanted.f1)


def test_pixel_error_of_the_survey():
    """One minus the largest F1 over thresholds, by way of the curve."""
    truth, grades = np.array([0, 0, 0, 1, 1]), np.array([10, 20, 200, 150, 250], np.uint8)
    assert 1 - threshold_curve(contingency(truth, grades)).f1.max() == pytest.approx(0.2)


def test_errors():
    table = contingency(*boxes())
    with pytest.raises(TypeError, match="positive must be an integer or several, got 'a'"):
        binary(table, "a")
    with pytest.raises(TypeError, match=r"classes must be an integer or several, got 1\.5"):
        per_class(table, 1.5)
    assert Binary(1, 0, 0, 0).filled(2.0).tnr == 2.0


def test_scikit_learn_agrees():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, labels = np.random.default_rng(0).integers(0, 4, (2, 200))
    table = contingency(truth, labels)
    assert table.per_class().f1 == pytest.approx(metrics.f1_score(truth, labels, average=None))
    assert table.mean_iou() == pytest.approx(metrics.jaccard_score(truth, labels, average="macro"))


@pytest.mark.parametrize("score", [binary, per_class, mean_iou, threshold_curve])
def test_scores_are_of_tables(score):
    with pytest.raises(TypeError, match="table must be a Contingency, got NoneType"):
        score(None)


@pytest.mark.parametrize("strangers", [[2**70], [-1, 2**64 - 1], [-(2**70)]])
def test_classes_that_cannot_occur(strangers):
    table = contingency(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    found = per_class(table, [1, *strangers])
    assert found.label.tolist() == sorted([1, *strangers])
    assert found[1] | {"label": 1} == per_class(table, [1])[1]
    assert [found[id]["tn"] for id in strangers] == [4] * len(strangers) and 5 not in found
    assert mean_iou(table, [1, *strangers], absent=0) == pytest.approx(2 / 3 / (1 + len(strangers)))


def test_classes_of_both_signs():
    table = contingency(np.array([-1, -1, 3]), np.array([2**64 - 1, 3, 3], np.uint64))
    found = per_class(table)
    assert found.label.tolist() == [-1, 3, 2**64 - 1] and found.tp.tolist() == [0, 1, 0]
