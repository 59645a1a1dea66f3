"""elf's evaluation on emfast, beside its definitions and the vectors it gave."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import emfast
from emfast.compat import elf_evaluation
from emfast.metrics._objects import objects_of
from test_compat_stardist import THRESHOLDS, dense, scores_of, solved
from vectors import VECTORS, object_images


@given(object_images(size=60))
def test_elfs_matching(pair):
    truth, labels = pair
    if not truth.any() or not labels.any():
        return
    overlap, sizes, others = dense(truth, labels)
    for criterion, ours in (("iou", "iou"), ("iot", "iop"), ("iop", "iot")):
        for threshold in THRESHOLDS:
            _, tp, n_true, n_pred = solved(scores_of(overlap, sizes, others, ours), threshold)
            found = elf_evaluation.matching(labels, truth, threshold, criterion)
            assert found == {
                "precision": tp / n_pred if tp else 0,
                "recall": tp / n_true if tp else 0,
                "segmentation_accuracy": tp / (n_true + n_pred - tp) if tp else 0,
                "f1": 2 * tp / (n_true + n_pred) if tp else 0,
            }


@pytest.mark.parametrize("name, mean", [("K", 0.205), ("F", 0.4), ("H", 1.0)])
def test_elfs_mean_accuracy_has_elfs_thresholds(name, mean):
    """0.7000000000000001 and 0.8000000000000002, which IoU of 7/10 and 8/10 do not reach."""
    truth, labels = VECTORS[name]
    assert elf_evaluation.mean_segmentation_accuracy(labels, truth) == pytest.approx(mean, abs=1e-15)
    value, each = elf_evaluation.mean_segmentation_accuracy(labels, truth, [0.5, 0.9], return_accuracies=True)
    assert value == sum(each) / 2


def test_elfs_ignore_label():
    truth, labels = np.array([0, 0, 1, 1, 9]), np.array([0, 0, 1, 9, 9])
    assert elf_evaluation.matching(labels, truth, ignore_label=None)["recall"] == 1
    assert elf_evaluation.matching(labels, truth, ignore_label=9)["precision"] == 1
    with pytest.raises(ValueError, match="criterion must be one of iou, iot, iop, got 'ioq'"):
        elf_evaluation.matching(labels, truth, criterion="ioq")


@given(object_images())
@example(
    (np.array([3, 4, 4, 2, 4, 4, 4, 0, 2, 3, 1, 1, 3, 4, 2]), np.array([3, 1, 1, 2, 4, 0, 1, 0, 2, 3, 1, 1, 1, 4, 2]))
)
def test_elfs_best_dice(pair):
    truth, labels = pair

    def best(gt, seg):
        ids, others = (np.unique(image[image > 0]) for image in (gt, seg))
        if not len(ids) or not len(others):
            return 0.0
        each = [max(elf_evaluation.dice_score(seg == s, gt == t) for s in others) for t in ids]
        return np.mean(each)

    expected = min(best(truth, labels), best(labels, truth))
    for impl in ("bic", "numpy"):
        assert elf_evaluation.symmetric_best_dice_score(labels, truth, impl=impl) == expected
    objects = objects_of(emfast.contingency(truth, labels))
    if objects.height and objects.width:
        exact = min(mean_dice(objects, objects.best_of_rows()), mean_dice(objects, objects.best_of_columns()))
        assert expected == pytest.approx(exact, abs=1e-6)


def mean_dice(objects, best):
    dice = 2 * objects.overlap / (objects.overlap + objects.union)
    return math.fsum(dice[best[best >= 0]].tolist()) / len(best)


def test_elfs_dice():
    a, b = np.array([0.0, 0.4, 0.9]), np.array([0, 1, 1])
    assert elf_evaluation.dice_score(a, b) == pytest.approx(1, abs=1e-7)
    assert elf_evaluation.dice_score(a, b, threshold_seg=0.5) == pytest.approx(2 / 3, abs=1e-7)
    assert elf_evaluation.dice_score(a, b, threshold_seg=None, threshold_gt=None) == pytest.approx(2.6 / 3.3, abs=1e-7)
    assert elf_evaluation.dice_score(0 * b, 0 * b) == 0
    with pytest.raises(AssertionError, match=r"\(3,\), \(2,\)"):
        elf_evaluation.dice_score(a, b[:2])
    with pytest.raises(AssertionError, match="impl must be"):
        elf_evaluation.symmetric_best_dice_score(b, b, impl="nifty")


# The vectors of partitions


def test_elfs_vectors_of_partitions():
    truth, labels = VECTORS["A"]
    assert elf_evaluation.variation_of_information(labels, truth) == pytest.approx((0.5, 0.6887218755408672), abs=1e-15)
    assert elf_evaluation.rand_index(labels, truth) == (1 / 3, 0.625)
    assert elf_evaluation.cremi_score(labels, truth)[3] == pytest.approx(0.6294764691235799, abs=1e-15)
    nats = elf_evaluation.variation_of_information(labels, truth, use_log2=False)
    assert sum(nats) == pytest.approx(0.8239592165010823, abs=1e-15)
    truth, labels = VECTORS["B"]
    dropped = elf_evaluation.variation_of_information(labels, truth, ignore_gt=[0])
    assert dropped == pytest.approx((0.4333482810989029, 0.2166741405494515), abs=1e-15)
    assert elf_evaluation.rand_index(labels, truth, ignore_gt=[0])[0] == pytest.approx(0.1456310679611651, abs=1e-15)
    whole = elf_evaluation.variation_of_information(labels, truth)
    assert whole == pytest.approx((0.6379185026711327, 0.6479841243455564), abs=1e-15)
    both = elf_evaluation.variation_of_information(labels, truth, ignore_seg=[0], ignore_gt=[0])
    assert both == pytest.approx((0.4900134529890126, 0.5970989254928274), abs=1e-15)
    truth, labels = VECTORS["K"]
    shown = elf_evaluation.variation_of_information(labels, truth, ignore_gt=[0])
    assert shown == pytest.approx((0.588570709128033, 0.6451643106401681), abs=1e-15)
    assert elf_evaluation.rand_index(labels, truth, ignore_gt=[0])[0] == pytest.approx(0.3065326633165829, abs=1e-15)


# The peer itself


@given(object_images(size=60), st.sampled_from([None, [0], [1, 2]]), st.sampled_from([None, [0], [1, 2]]))
def test_elf_itself(pair, ignore_seg, ignore_gt):
    elf = pytest.importorskip("elf.evaluation")
    truth, labels = (image.astype(np.uint64) for image in pair)
    if not truth.any() or not labels.any():
        return
    for threshold in THRESHOLDS:
        for criterion in ("iou", "iot", "iop"):
            for ignore in (0, 1, None):
                options = dict(threshold=threshold, criterion=criterion, ignore_label=ignore)
                if ignore == 1 and 1 in (truth.min(), labels.min()) and 1 in (truth.max(), labels.max()):
                    continue  # nothing is left, which elf cannot score
                assert elf_evaluation.matching(labels, truth, **options) == elf.matching(labels, truth, **options)
    assert elf_evaluation.mean_segmentation_accuracy(labels, truth) == elf.mean_segmentation_accuracy(labels, truth)
    for impl in ("bic", "numpy"):
        assert elf_evaluation.symmetric_best_dice_score(labels, truth, impl) == pytest.approx(
            elf.symmetric_best_dice_score(labels, truth, impl), abs=1e-15
        )
    assert elf_evaluation.dice_score(labels, truth) == elf.dice_score(labels, truth)
    images_of_elf = (labels, truth, ignore_seg, ignore_gt)
    lost_seg, lost_gt = np.isin(labels, ignore_seg or []), np.isin(truth, ignore_gt or [])
    if (lost_seg & lost_gt if ignore_seg and ignore_gt else lost_seg | lost_gt).all():
        return
    close = dict(abs=1e-12, rel=1e-12)
    for bits in (True, False):
        ours = elf_evaluation.variation_of_information(*images_of_elf, use_log2=bits)
        assert ours == pytest.approx(elf.variation_of_information(*images_of_elf, use_log2=bits), **close)
        objects, theirs = (m.object_vi(*images_of_elf, use_log2=bits) for m in (elf_evaluation, elf))
        assert objects.keys() == theirs.keys()
        for i, values in objects.items():
            assert values == pytest.approx(theirs[i], **close)
    assert elf_evaluation.rand_index(*images_of_elf) == pytest.approx(elf.rand_index(*images_of_elf), **close)
    assert elf_evaluation.cremi_score(*images_of_elf) == pytest.approx(elf.cremi_score(*images_of_elf), abs=1e-6)
