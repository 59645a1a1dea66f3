"""StarDist's matching on emfast, beside its definition: a dense matrix and SciPy's solver."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emfast.compat import stardist_matching
from vectors import VECTORS, object_images

THRESHOLDS = [0.1, 0.25, 0.3, 0.5, 0.55, 0.7, 0.8, 0.9]


def dense(truth, labels):
    """Overlaps of all objects with all, and their sizes."""
    rows, columns = (np.unique(image[image != 0]) for image in (truth, labels))
    overlap = np.array([[((truth == t) & (labels == s)).sum() for s in columns] for t in rows], np.int64)
    sizes = [np.array([(image == i).sum() for i in ids], np.int64) for image, ids in ((truth, rows), (labels, columns))]
    return overlap.reshape(len(rows), len(columns)), *sizes


def solved(scores, threshold):
    """StarDist's and elf's matching: the scores of the pairs that the solver chose."""
    solve = pytest.importorskip("scipy.optimize").linear_sum_assignment
    smaller = min(scores.shape)
    if not smaller or not (scores >= threshold).any():
        return np.zeros(0), 0, *scores.shape
    rows, columns = solve(-(scores >= threshold).astype(float) - scores / (2 * smaller))
    found = scores[rows, columns]
    return found[found >= threshold], int((found >= threshold).sum()), *scores.shape


def scores_of(overlap, truth, labels, criterion):
    whole = {
        "iou": truth[:, None] + labels - overlap,
        "iot": truth[:, None] + 0 * overlap,
        "iop": labels + 0 * overlap,
    }[criterion]
    return overlap / whole


# StarDist


@pytest.mark.parametrize("criterion", ["iou", "iot", "iop"])
@given(pair=object_images(size=60))
def test_stardist(criterion, pair):
    overlap, truth, labels = dense(*pair)
    scores = scores_of(overlap, truth, labels, criterion)
    for threshold, found in zip(
        THRESHOLDS, stardist_matching.matching(*pair, thresh=THRESHOLDS, criterion=criterion), strict=True
    ):
        good, tp, n_true, n_pred = solved(scores.astype(np.float32), np.float32(threshold))
        assert (found.criterion, found.thresh) == (criterion, threshold)
        assert (found.tp, found.fp, found.fn) == (tp, n_pred - tp, n_true - tp)
        assert (found.n_true, found.n_pred) == (n_true, n_pred)
        assert found.accuracy == (tp / (n_true + n_pred - tp) if tp else 0)
        assert found.precision == (tp / n_pred if tp else 0)
        assert found.recall == (tp / n_true if tp else 0)
        assert found.f1 == (2 * tp / (n_true + n_pred) if tp else 0)
        if threshold > 0.5:  # else matchings of one sum of all scores may differ in those that count
            assert found.mean_matched_score == pytest.approx(good.mean() if tp else 0, rel=1e-6)
            assert found.mean_true_score == pytest.approx(good.sum() / n_true if tp else 0, rel=1e-6)
            expected = 2 * good.sum() / (n_true + n_pred) if tp else 0
            assert found.panoptic_quality == pytest.approx(expected, rel=1e-6)


@given(pair=object_images(most=9, size=120))
def test_stardist_itself(pair):
    peer = pytest.importorskip("stardist.matching")
    assume(pair[0].size)  # of no voxels StarDist has no smallest score
    ours, theirs = (m.matching(*(v[None] for v in pair), thresh=THRESHOLDS) for m in (stardist_matching, peer))
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine._fields == wanted._fields
        assert [v for v in mine if v != "iou"] == pytest.approx([v for v in wanted if v != "iou"], rel=1e-6)


def test_stardists_fields_and_matches():
    found = stardist_matching.matching(*VECTORS["K"], thresh=0.6, report_matches=True)
    assert found._fields == (
        *("criterion", "thresh", "fp", "tp", "fn", "precision", "recall", "accuracy", "f1", "n_true", "n_pred"),
        *("mean_true_score", "mean_matched_score", "panoptic_quality"),
        *("matched_pairs", "matched_scores", "matched_tps"),
    )
    assert found.matched_pairs == ((1, 1), (2, 2), (3, 3))
    assert found.matched_scores == (5 / 8, 6 / 11, 4 / 5)
    assert found.matched_tps == (0, 2)
    none = stardist_matching.matching(*VECTORS["K"], thresh=0.9, report_matches=True)
    assert (none.matched_pairs, none.matched_scores, none.matched_tps, none.precision) == ((), (), (), 0)


@pytest.mark.parametrize(
    "name, thresholds, counts",
    [
        ("B", [0.5, 0.7], [(3, 0, 0), (2, 1, 1)]),
        ("K", [0.5, 0.6, 0.7, 0.8], [(3, 1, 0), (2, 2, 1), (1, 3, 2), (1, 3, 2)]),
        ("E", [0.5], [(1, 1, 0)]),
        ("F", [0.7, 0.75], [(1, 0, 0), (0, 1, 1)]),
        ("H", [1.0], [(3, 0, 0)]),
    ],
)
def test_stardists_vectors(name, thresholds, counts):
    found = stardist_matching.matching(*VECTORS[name], thresh=thresholds)
    assert [(f.tp, f.fp, f.fn) for f in found] == counts


def test_stardists_panoptic_quality():
    assert stardist_matching.matching(*VECTORS["B"]).panoptic_quality == pytest.approx(0.7797619047619048, abs=1e-15)
    assert stardist_matching.matching(*VECTORS["K"]).panoptic_quality == pytest.approx(0.562987012987013, abs=1e-15)


def test_stardist_at_no_threshold():
    """At 0 objects that do not overlap match too."""
    truth, labels = np.array([1, 1, 2, 0]), np.array([5, 0, 0, 6])
    for thresh in (None, 0):
        found = stardist_matching.matching(truth, labels, thresh=thresh)
        assert (found.thresh, found.tp, found.mean_matched_score) == (0, 2, 0.25)


@given(st.lists(object_images(size=20), min_size=1, max_size=3))
def test_stardists_datasets(pairs):
    truth, labels = zip(*pairs, strict=True)
    single = [stardist_matching.matching(*pair, thresh=0.6) for pair in pairs]
    found = stardist_matching.matching_dataset(truth, labels, thresh=0.6, show_progress=False)
    assert not found.by_image
    assert (found.tp, found.fp, found.fn) == tuple(sum(getattr(s, k) for s in single) for k in ("tp", "fp", "fn"))
    total = sum(s.mean_matched_score * s.tp for s in single)
    assert found.panoptic_quality == pytest.approx(2 * total / max(1, found.n_true + found.n_pred), abs=1e-15)
    means = stardist_matching.matching_dataset(truth, labels, thresh=(0.6, 0.9), by_image=True)
    assert means[0].by_image
    assert means[0].accuracy == pytest.approx(np.mean([s.accuracy for s in single]), abs=1e-15)
    assert [m.thresh for m in means] == [0.6, 0.9]
    assert means[0].tp == found.tp


def test_stardist_without_images():
    assert stardist_matching.matching_dataset([], []).tp == 0
    with pytest.raises(ValueError, match="y_gen must have an image at least"):
        stardist_matching.matching_dataset([], [], by_image=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros(2), np.zeros(2, int)), "y_true must be an array of non-negative integers"),
        ((np.zeros(2, int), np.array([0, -1])), "y_pred must be an array of non-negative integers"),
        ((np.zeros(2, int), np.zeros(3, int)), "have different shapes"),
        ((np.zeros(2, int), np.zeros(2, int), 0.5, "ioq"), "Matching criterion 'ioq' not supported"),
    ],
)
def test_stardists_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        stardist_matching.matching(*arguments)


def test_stardist_needs_as_many_of_both():
    with pytest.raises(ValueError, match="must have the same length"):
        stardist_matching.matching_dataset([np.zeros(1, int)], [])
