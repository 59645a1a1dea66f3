from __future__ import annotations

import math

import numpy as np
import pytest

from emfast.compat import cremi

NONE, UNKNOWN = 2**64 - 1, 2**64 - 2


def volume(rows, resolution=(40.0, 4.0, 4.0)):
    return cremi.Volume(np.array(rows, np.uint64), resolution)


def test_vectors_of_neuron_ids():
    # Vector A: 0 is a neuron, so ids one less change nothing
    truth, segmentation = volume([[[0, 0, 1, 1]] * 2]), volume([[[1, 1, 1, 2]] * 2])
    scores = cremi.NeuronIds(truth)
    split, merge = scores.voi(segmentation)
    assert split == 0.5 and merge == pytest.approx(0.6887218755408672, abs=1e-15)
    assert scores.adapted_rand(segmentation) == pytest.approx(1 / 3)
    # Vector D, 2^64 − 1 in the place of the truth's 0: the legacy adapted Rand error
    truth, segmentation = ([int(c) for c in text] for text in ("111111222200", "333004444004"))
    truth = volume([[[NONE if i == 0 else i - 1 for i in truth]]])
    scores = cremi.NeuronIds(truth)
    assert scores.adapted_rand(volume([[segmentation]])) == pytest.approx(0.5016181229773463, abs=1e-15)
    assert scores.voi(volume([[segmentation]])) == pytest.approx((1.2, 0.6))
    assert scores.voi(volume(np.arange(12).reshape(1, 1, 12)))[1] == 0


def test_borders_do_not_count():
    rows = np.repeat([[3, 9]], [6, 6], axis=1)[None]
    truth = volume(np.repeat(rows, 5, axis=1))
    # pixels within 4 nm, one pixel, of the border pixels 5 and 6
    scores = cremi.NeuronIds(truth, border_threshold=4)
    assert (scores.gt[0, 0] == 0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    shifted = volume(np.roll(truth.data, 1, axis=2))
    assert cremi.NeuronIds(truth, 8).voi(shifted)[0] > 0  # the other ends have shifted too
    target = np.zeros_like(truth.data)
    cremi.create_border_mask(truth.data, target, 0, NONE)
    assert (target == NONE).sum() == 10 and (truth.data != NONE).all()
    whole = np.full((2, 3, 4), 5, np.uint64)
    cremi.create_border_mask(whole, whole, 100, NONE)
    assert (whole == 5).all()


def test_border_mask_is_of_sections():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (3, 12, 13)).repeat(4, axis=1).repeat(5, axis=2).astype(np.uint64)
    target = np.zeros_like(labels)
    cremi.create_border_mask(labels, target, 1.5, NONE)
    for z in range(3):
        padded = np.pad(labels[z], 1, mode="edge")
        inner = [labels[z] == padded[s] for s in (np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:])]
        near = ndimage.distance_transform_edt(np.all(inner, axis=0)) <= 1.5
        assert np.array_equal(target[z], np.where(near, np.uint64(NONE), labels[z]))


def test_clefts():
    truth = volume([[[NONE, 4, NONE, NONE, UNKNOWN, NONE, 6]]], (40.0, 4.0, 100.0))
    test = volume([[[8, NONE, NONE, NONE, 8, NONE, NONE]]], (40.0, 4.0, 100.0))
    clefts = cremi.Clefts(test, truth)
    assert clefts.acc_false_positives() == {"mean": 100, "std": 0, "max": 100, "count": 1, "median": 100}
    assert clefts.acc_false_negatives() == {"mean": 350, "std": 250, "max": 600, "count": 2, "median": 350}
    assert (clefts.count_false_positives(), clefts.count_false_negatives()) == (0, 1)
    assert (clefts.count_false_positives(99), clefts.count_false_negatives(600)) == (1, 0)
    none = cremi.Clefts(volume([[[NONE] * 7]], truth.resolution), truth)
    assert none.count_false_negatives() == 2 and none.acc_false_negatives()["mean"] == math.inf
    assert none.acc_false_positives()["count"] == 0 and math.isnan(none.acc_false_positives()["mean"])
    with pytest.raises(ValueError, match="test must have the resolution of truth"):
        cremi.Clefts(volume([[[NONE] * 7]]), truth)


def annotations(pairs, offset=(0.0, 0.0, 0.0)):
    out = cremi.Annotations(offset)
    for k, (pre, post) in enumerate(pairs):
        out.add_annotation(2 * k, "presynaptic_site", pre)
        out.add_annotation(2 * k + 1, "postsynaptic_site", post)
        out.set_pre_post_partners(2 * k, 2 * k + 1)
    return out


def test_partners():
    segmentation = cremi.Volume(np.zeros((4, 10, 200), np.uint64), (40.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    segmentation.data[:, :, 100:] = 5
    true = annotations([((40, 0, 0), (40, 0, 400)), ((80, 0, 100), (80, 0, 500))])
    found = annotations([((80, 0, 80), (80, 0, 500)), ((40, 0, 400), (40, 0, 0)), ((40, 4, 0), (40, 0, 400))])
    scores = cremi.SynapticPartners()
    result = scores.fscore(found, true, segmentation, all_stats=True)
    assert result == (0.8, 2 / 3, 1.0, 1, 0, [(0, 1, 10.0), (2, 0, 2.0)])
    assert scores.fscore(found, true, segmentation) == 0.8
    moved = annotations([((0, 0, 0), (0, 0, 400)), ((40, 0, 100), (40, 0, 500))], offset=(40.0, 0.0, 0.0))
    assert scores.fscore(moved, true, segmentation) == 1
    assert cremi.SynapticPartners(9).fscore(found, true, segmentation) == 0.4
    with pytest.raises(IndexError, match="does not lie inside volume"):
        scores.fscore(annotations([((0, 0, -8), (0, 0, 0))]), true, segmentation)
    assert sorted(true.ids()) == [0, 1, 2, 3] and set(true.types()) == {b"presynaptic_site", b"postsynaptic_site"}


def test_shapes_and_resolutions_must_agree():
    truth = volume([[[1, 2]]])
    scores = cremi.NeuronIds(truth)
    with pytest.raises(AssertionError, match=r"shape of the ground truth \(1, 1, 2\), got \(1, 2, 1\)"):
        scores.voi(volume([[[1], [2]]]))
    with pytest.raises(AssertionError, match="resolution of the ground truth"):
        scores.adapted_rand(volume([[[1, 2]]], (1.0, 1.0, 1.0)))
    with pytest.raises(AssertionError, match="resolutions along y and x must be the same"):
        cremi.NeuronIds(volume([[[1]]], (1.0, 1.0, 2.0)))


def test_comments_belong_to_annotations():
    made = annotations([((0, 0, 0), (0, 0, 4))])
    known = next(iter(made.ids()))
    made.add_comment(known, "a synapse")
    assert made.comments[known] == b"a synapse"
    with pytest.raises(KeyError, match="12345"):
        made.add_comment(12345, "nobody's")
