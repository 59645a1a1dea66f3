"""Matchings and what counts them: vectors computed by other people's programs, plain oracles, laws, errors."""

import math
import warnings
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
import vision
from emfast import _native, metrics
from emfast._arrays import Host
from emfast.metrics._objects import by_quotient, objects_of, reach, threshold_of
from vectors import VECTORS, object_images, pictures, runs, vector

fractions = st.fractions(0, 1, max_denominator=12)


def counts(found):
    return [part.tolist() for part in (found.true_positives, found.false_positives, found.false_negatives)]


# Vectors


def test_vector_b():
    table = vector("B")
    found = metrics.match(table)
    assert [Fraction(int(n), int(u)) for n, u in zip(found.overlap, found.union, strict=True)] == [
        Fraction(5, 8),
        Fraction(1),
        Fraction(5, 7),
    ]
    assert (found.truth.tolist(), found.labels.tolist()) == ([1, 2, 3], [5, 7, 9])
    assert counts(table.average_precision(thresholds=[0.5, 0.7])) == [[3, 2], [0, 1], [0, 1]]
    assert table.panoptic().pq == pytest.approx(0.7797619047619048, abs=1e-15)
    assert table.aji() == table.aji(variant="plus") == 16 / 21
    assert table.aji(variant="cellpose") == 0.8


def test_vector_k():
    table = vector("K")
    assert metrics.match(table).iou.tolist() == [5 / 8, 6 / 11, 4 / 5]
    found = table.average_precision(thresholds=[0.5, 0.6, 0.7, 0.8])
    assert counts(found) == [[3, 2, 1, 1], [1, 2, 3, 3], [0, 1, 2, 2]]
    assert found.accuracy.tolist() == [0.75, 0.4, 1 / 6, 1 / 6]
    assert found.f1[0] == 6 / 7
    parts = table.panoptic()
    assert parts.pq == pytest.approx(0.562987012987013, abs=1e-15)
    assert parts.sq == pytest.approx(0.6568181818181819, abs=1e-15)
    assert parts.rq == 6 / 7
    assert table.aji() == table.aji(variant="plus") == 19 / 32
    assert table.aji(variant="cellpose") == 19 / 27
    assert table.average_precision().mean == pytest.approx(0.22166666666666668, abs=1e-15)
    assert table.average_precision(thresholds=np.arange(0.5, 1, 0.05)).mean == table.average_precision().mean
    coco = table.score_ordered_precision(rule="mitoem")
    assert coco.mean[0] == pytest.approx(0.345545, abs=5e-7)
    assert coco.at(0.5)[0] == 1.0
    assert coco.at(0.75)[0] == pytest.approx(0.336634, abs=5e-7)


def test_vector_g():
    table = vector("G")
    assert table.aji() == 10 / 22
    assert table.aji(variant="plus") == 5 / 17
    assert table.aji(variant="cellpose") == 5 / 12


def test_vector_e():
    table = vector("E")
    assert metrics.match(table).labels.tolist() == [1]  # of equal ones the smaller id
    assert metrics.match(table, rule="greedy").labels.tolist() == [1]
    assert counts(table.average_precision(thresholds=0.5)) == [[1], [1], [0]]
    assert counts(table.average_precision(thresholds=0.5, strict=True)) == [[0], [2], [1]]
    assert table.panoptic().true_positives == 0
    assert table.panoptic(strict=False).true_positives == 1
    assert table.score_ordered_precision(rule="mitoem", thresholds=0.5).recall.tolist() == [[2.0]]
    assert table.score_ordered_precision(rule="coco", thresholds=0.5).recall.tolist() == [[1.0]]
    assert metrics.match(table, rule="best truth").labels.tolist() == [1, 2]
    assert table.aji() == 1 / 3


def test_vector_f():
    table = vector("F")
    assert table.average_precision(thresholds=0.7).true_positives.tolist() == [1]
    assert table.average_precision(thresholds=0.7, strict=True).true_positives.tolist() == [0]
    assert table.average_precision(thresholds=np.arange(0.5, 1, 0.05)).mean == 0.5
    assert table.score_ordered_precision(rule="mitoem").mean.tolist() == [0.5]


def test_vector_h():
    """Without background nothing is lost."""
    table = vector("H")
    found = table.average_precision()
    assert (found.accuracy == 1).all()
    assert (found.false_positives == 0).all()
    assert table.panoptic().pq == table.panoptic().sq == table.panoptic().rq == 1
    assert [table.aji(variant=v) for v in ("kumar", "plus", "cellpose")] == [1, 1, 1]


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("offset", [2**31, 2**32, 2**53, 2**63, 2**64 - 10])
def test_large_ids_change_nothing(name, offset):
    truth, labels = VECTORS[name]
    large = np.where(labels > 0, labels.astype(np.uint64) + np.uint64(offset), np.uint64(0))
    plain, moved = emfast.contingency(truth, labels), emfast.contingency(truth, large)
    assert metrics.match(moved).labels.tolist() == [i + offset for i in metrics.match(plain).labels.tolist()]
    assert repr(scores(moved)) == repr(scores(plain))  # NaN is NaN


def scores(table):
    """Many scores at once."""
    edits, dice = metrics.edits(table), table.best_dice()
    return [
        table.average_precision().accuracy.tolist(),
        table.average_precision(thresholds=[0.1, 0.3, 0.5, 0.9]).f1.tolist(),
        (table.panoptic().pq, table.panoptic().sq, table.panoptic().rq),
        table.aji(),
        (dice.truth, dice.labels, dice.symmetric),
        metrics.seg_score(table),
        metrics.ensemble_dice(table),
        (edits.splits, edits.merges),
        repr(metrics.associations(table)),
        table.score_ordered_precision(bounds=[5]).average.tolist(),
    ]


# Oracles


@given(object_images(), fractions, st.booleans())
def test_optimal_is_the_best_of_all_matchings(pair, threshold, strict):
    overlaps = oracles.Overlaps(*pair)
    pairs = overlaps.reaching(threshold, strict)[:14]
    table = emfast.contingency(*pair)
    if len(overlaps.reaching(threshold, strict)) > len(pairs):
        return
    best = max((len(m), *overlaps.gain(m)) for m in oracles.matchings(pairs))
    found = metrics.match(table, threshold=threshold, strict=strict)
    chosen = list(zip(found.truth.tolist(), found.labels.tolist(), strict=True))
    assert set(chosen) <= set(pairs)
    assert len({t for t, _ in chosen}) == len({s for _, s in chosen}) == len(chosen)
    assert (len(chosen), *overlaps.gain(chosen)) == best
    assert chosen == sorted(chosen)
    assert set(found.missed.tolist()) == set(overlaps.truth) - {t for t, _ in chosen}
    assert set(found.spurious.tolist()) == set(overlaps.labels) - {s for _, s in chosen}


@given(object_images(), fractions, st.booleans())
def test_other_rules(backend, pair, threshold, strict):
    overlaps = oracles.Overlaps(*pair)
    pairs = overlaps.reaching(threshold, strict)
    expected = {
        "greedy": overlaps.greedy(pairs),
        "best label": sorted(p for p in overlaps.best_label().items() if p in pairs),
        "best truth": sorted((t, s) for s, t in overlaps.best_truth().items() if (t, s) in pairs),
    }
    for rule, wanted in expected.items():
        found = metrics.match(emfast.contingency(*pair), threshold=threshold, strict=strict, rule=rule)
        assert list(zip(found.truth.tolist(), found.labels.tolist(), strict=True)) == wanted
        assert found.overlap.tolist() == [overlaps.pairs[p] for p in wanted]
        assert found.union.tolist() == [overlaps.union[p] for p in wanted]


# Exactness


@given(
    st.lists(st.tuples(st.integers(0, 2**54), st.integers(1, 2**54)), max_size=12),
    st.one_of(fractions, st.fractions(0, 1, max_denominator=10**6)),
    st.booleans(),
)
def test_comparisons_are_exact_at_any_size(pairs, threshold, strict):
    part, whole = (np.array([f(n, u) for n, u in pairs], np.int64) for f in (min, max))
    values = [Fraction(int(n), int(u)) for n, u in zip(part, whole, strict=True)]
    expected = [v > threshold if strict else v >= threshold for v in values]
    assert reach(part, whole, threshold, strict=strict).tolist() == expected
    order = sorted(range(len(values)), key=lambda k: (-values[k], k))
    assert by_quotient(part, whole).tolist() == order


def test_fractions_that_are_one_float_are_ordered():
    n = 2**40
    part, whole = np.array([n - 1, n, 3, n - 1, n]), np.array([n + 1, n + 2, 5, n + 1, n + 2])
    assert (part / whole).tolist()[0] == (part / whole).tolist()[1]
    assert by_quotient(part, whole).tolist() == [1, 4, 0, 3, 2]


def test_fractions_whose_floats_are_in_the_wrong_order_are_ordered():
    part = np.array([12644221946617823, 12644221946617822])
    whole = np.array([56699640869370675, 56699640869370669])
    assert part[0] / whole[0] > part[1] / whole[1]
    assert Fraction(int(part[0]), int(whole[0])) < Fraction(int(part[1]), int(whole[1]))
    assert by_quotient(part, whole).tolist() == [1, 0]


def test_thresholds_are_fractions():
    assert threshold_of(0.7) == threshold_of(np.float32(0.7)) == threshold_of(0.7000000000000001) == Fraction(7, 10)
    assert threshold_of(1 / 3) == Fraction(1, 3)
    assert threshold_of(0.123456) == Fraction(123456, 10**6)
    assert threshold_of(np.int64(1)) == 1


def test_a_soma_of_ten_teravoxels():
    n = 10**13
    table = emfast.Contingency.from_pairs([1, 1, 2], [1, 0, 2], [7 * n, 3 * n, 1])
    assert table.average_precision(thresholds=[0.7, Fraction(700001, 10**6)]).true_positives.tolist() == [2, 1]
    assert table.aji() == (7 * n + 1) / (10 * n + 1)
    whole = np.array([2**45])
    assert reach(whole, whole, Fraction(1, 10**6)).tolist() == [True]  # 2**45 * 10**6 has more than 64 bits


# Laws


@given(object_images(), st.integers(0, 2**32 - 1))
def test_ids_do_not_matter(pair, seed):
    """Where no two pairs tie, names do not matter; those that do not look at ties never care."""
    truth, labels = pair
    rng = np.random.default_rng(seed)
    names = [np.concatenate([[0], rng.permutation(np.arange(1, 20)) * 3]) for _ in range(2)]
    before, after = emfast.contingency(truth, labels), emfast.contingency(names[0][truth], names[1][labels])
    for table, other in ((before, after), (before.swapped(), after.swapped())):
        thresholds = [0.1, 0.3, 0.5, 0.6, 0.8]
        a, b = (t.average_precision(thresholds=thresholds, empty=0) for t in (table, other))
        assert counts(a) == counts(b)
        assert table.panoptic(empty=0).pq == other.panoptic(empty=0).pq
        assert table.aji(variant="plus", empty=0) == other.aji(variant="plus", empty=0)
        assert table.best_dice(empty=0) == other.best_dice(empty=0)
        assert metrics.seg_score(table, empty=0) == metrics.seg_score(other, empty=0)


@given(object_images())
def test_sides_swap(pair):
    table = emfast.contingency(*pair)
    swapped = table.swapped()
    thresholds = [0.1, 0.25, 0.5, 0.75]
    a, b = (t.average_precision(thresholds=thresholds, empty=0) for t in (table, swapped))
    assert counts(a) == [counts(b)[k] for k in (0, 2, 1)]
    assert a.precision.tolist() == b.recall.tolist()
    assert (a.accuracy.tolist(), a.f1.tolist()) == (b.accuracy.tolist(), b.f1.tolist())
    assert table.panoptic(empty=0).pq == swapped.panoptic(empty=0).pq
    assert table.aji(variant="plus", empty=0) == swapped.aji(variant="plus", empty=0)
    assert table.best_dice(empty=0).symmetric == swapped.best_dice(empty=0).symmetric
    assert metrics.ensemble_dice(table, empty=0) == metrics.ensemble_dice(swapped, empty=0)
    edits = metrics.edits(swapped)
    assert metrics.edits(table) == metrics.Edits(edits.merges, edits.splits)


@given(object_images())
def test_an_image_against_itself_is_perfect(pair):
    table = emfast.contingency(pair[0], pair[0])
    if not pair[0].any():
        return
    assert table.average_precision(thresholds=[0, 0.5, 1]).accuracy.tolist() == [1, 1, 1]
    parts = table.panoptic()
    assert (parts.pq, parts.sq, parts.rq) == (1, 1, 1)
    assert [table.aji(variant=v) for v in ("kumar", "plus", "cellpose")] == [1, 1, 1]
    assert table.best_dice() == metrics.BestDice(1, 1)
    assert metrics.seg_score(table) == metrics.ensemble_dice(table) == 1
    assert metrics.edits(table) == metrics.Edits(0, 0)
    assert metrics.associations(table).one_to_one == len(np.unique(pair[0][pair[0] > 0]))
    for rule in ("coco", "mitoem"):
        assert table.score_ordered_precision(rule=rule).mean.tolist() == [1]


@given(object_images())
def test_bounds_and_nesting(pair):
    table = emfast.contingency(*pair)
    thresholds = [k / 20 for k in range(21)]
    for rule in ("optimal", "greedy"):
        found = table.average_precision(thresholds=thresholds, rule=rule, empty=0)
        assert (np.diff(found.true_positives) <= 0).all()
        for values in (found.accuracy, found.f1, found.precision, found.recall):
            assert ((values >= 0) & (values <= 1)).all()
        assert (found.accuracy <= found.f1).all()
    parts = table.panoptic(empty=0)
    assert parts.pq == pytest.approx(parts.sq * parts.rq, abs=1e-15)
    assert 0 <= table.aji(variant="plus", empty=0) <= table.aji(variant="cellpose", empty=0) <= 1


@given(object_images(), object_images())
def test_images_add_up(first, second):
    a, b = (emfast.contingency(*pair).average_precision() for pair in (first, second))
    shifted = [np.where(image > 0, image + 100, 0) for image in second]
    both = emfast.contingency(*(np.concatenate(p) for p in zip(first, shifted, strict=True)))
    assert counts(a + b) == counts(both.average_precision())


@given(object_images(most=8, size=60))
def test_the_assignment_is_scipys(backend, pair):
    optimize = pytest.importorskip("scipy.optimize")
    objects = objects_of(emfast.contingency(*pair))
    matrix = np.zeros((objects.height, objects.width))
    matrix[objects.rows, objects.columns] = objects.iou
    rows, columns = optimize.linear_sum_assignment(matrix, maximize=True)
    gains = np.stack([np.zeros_like(objects.rows), np.rint(objects.iou * 2**32), objects.overlap], 1).astype(np.int64)
    graph = (objects.height, objects.width, objects.rows, objects.columns)
    taken = _native.host.matching_assign(Host, *graph, gains).view(bool)
    assert objects.iou[taken].sum() == pytest.approx(matrix[rows, columns].sum(), abs=1e-8)


@pytest.mark.parametrize("extra", [1, 6])
def test_a_large_assignment_is_scipys(backend, extra):
    """Long chains of objects that overlap their neighbours: paths of many steps."""
    optimize = pytest.importorskip("scipy.optimize")
    n, rng = 300, np.random.default_rng(extra)
    truth = np.tile(np.arange(1, n + 1), extra + 1)
    labels = np.concatenate([(np.arange(n) + k) % n + 1 for k in range(extra + 1)])
    table = emfast.Contingency.from_pairs(truth, labels, rng.integers(1, 100, len(truth)))
    objects = objects_of(table)
    matrix = np.zeros((n, n))
    matrix[objects.rows, objects.columns] = objects.iou
    rows, columns = optimize.linear_sum_assignment(matrix, maximize=True)
    found = metrics.match(table, threshold=0)
    # As many pairs as possible comes first: all, with so many ways to go round.
    assert len(found) == n
    plus = table.aji(variant="plus")
    overlap = np.zeros((n, n), int)
    overlap[objects.rows, objects.columns] = objects.overlap
    total = int(overlap[rows, columns].sum())
    assert plus == total / (2 * table.voxels - total)


# Void, classes, sizes


def test_void_voxels_do_not_count():
    truth = runs((1, 4), (9, 6), (2, 4), (0, 2))
    labels = runs((5, 6), (6, 4), (7, 2), (0, 2), (7, 2))
    table = emfast.contingency(truth, labels)
    found = table.panoptic(void=9)
    # 5 covers 1, its other two voxels are void; 6 lies in the void; 7 shares two voxels with 2 and has two beside it.
    assert (found.true_positives, found.false_positives, found.false_negatives) == (1, 1, 1)
    assert found.iou_sum == 1
    plain = table.panoptic()
    assert (plain.true_positives, plain.false_positives, plain.false_negatives) == (2, 1, 1)
    mirrored = table.swapped().panoptic(void_labels=9)
    assert (mirrored.true_positives, mirrored.false_positives, mirrored.false_negatives) == (1, 1, 1)
    assert mirrored.iou_sum == 1


def test_half_in_the_void_is_still_wrong():
    table = emfast.contingency(runs((0, 3), (9, 3), (1, 1)), runs((5, 6), (6, 1)))
    assert table.panoptic(void=9).false_positives == 1
    table = emfast.contingency(runs((0, 3), (9, 4), (1, 1)), runs((5, 7), (6, 1)))
    assert table.panoptic(void=9).false_positives == 0


def test_classes_do_not_match_each_other():
    truth, labels = runs((1, 4), (2, 4), (0, 1)), runs((1, 4), (2, 3), (0, 1), (3, 1))
    table = emfast.contingency(truth, labels)
    found = metrics.by_class(table, metrics.panoptic, {1: "a", 2: "b"}, {1: "b", 2: "b", 3: "a"})
    assert list(found) == ["a", "b"]
    a, b = found["a"], found["b"]
    assert (a.true_positives, a.false_positives, a.false_negatives) == (0, 1, 1)
    assert (b.true_positives, b.false_positives, b.false_negatives, b.iou_sum) == (1, 1, 0, 0.75)
    same = metrics.by_class(table, metrics.aji, {1: "x", 2: "x", 3: "x"})
    assert same == {"x": table.aji()}


@given(object_images(), st.sets(st.integers(1, 20), max_size=3))
def test_sizes_sum_to_the_whole(pair, bounds):
    table = emfast.contingency(*pair)
    found, whole = metrics.by_size(table, sorted(bounds)), metrics.match(table)
    assert found["above"].tolist() == [0, *sorted(bounds)]
    assert found["truth_matched"].sum() == found["labels_matched"].sum() == len(whole)
    assert (found["truth"] - found["truth_matched"]).sum() == len(whole.missed)
    assert (found["labels"] - found["labels_matched"]).sum() == len(whole.spurious)
    one = metrics.by_size(table, [])
    expected = [whole.precision, whole.recall, whole.f1, whole.accuracy]
    np.testing.assert_array_equal([one[k][0] for k in ("precision", "recall", "f1", "accuracy")], expected)


def test_partners_of_another_size():
    """A true object of 6 voxels with a segment of 4; a spurious one of 1, one of 7."""
    table = emfast.Contingency.from_pairs([1, 1, 0, 0], [2, 0, 3, 4], [4, 2, 1, 7])
    found = metrics.by_size(table, [5])
    assert found["truth"].tolist() == [0, 1]
    assert found["labels"].tolist() == [2, 1]
    assert found["precision"].tolist() == [0.5, 0]
    assert found["recall"].tolist() == [0, 1]
    assert found["accuracy"].tolist() == [0, 0.5]  # one found, one spurious
    assert found["f1"].tolist() == [0, 2 / 3]


def test_sizes_in_cubic_nanometres():
    table = emfast.contingency(runs((1, 2), (2, 3), (3, 4)), runs((1, 2), (2, 3), (3, 4)))
    spacing = (0.1, 10, 3)
    assert metrics.by_size(table, [3]).truth.tolist() == [2, 1]
    assert metrics.by_size(table, [9.0 + 1e-9], spacing=spacing).truth.tolist() == [2, 1]
    assert metrics.by_size(table, [8.9], spacing=spacing).truth.tolist() == [1, 2]


# Nothing there


@pytest.mark.parametrize("truth, labels", [([], []), ([0, 0], [0, 0])])
def test_no_objects(truth, labels):
    table = emfast.contingency(np.array(truth, int), np.array(labels, int))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for empty in (math.nan, 0.0, 1.0):
            found = table.average_precision(empty=empty)
            parts = table.panoptic(empty=empty)
            dice = table.best_dice(empty=empty)
            values = [*found.accuracy, *found.f1, found.mean, parts.pq, parts.sq, parts.rq, dice.truth, dice.symmetric]
            values += [table.aji(variant=v, empty=empty) for v in ("kumar", "plus", "cellpose")]
            values += [metrics.seg_score(table, empty=empty), metrics.ensemble_dice(table, empty=empty)]
            values += [table.match(empty=empty).f1, *table.score_ordered_precision(empty=empty).mean]
            np.testing.assert_array_equal(values, [empty] * len(values))
        assert metrics.edits(table) == metrics.Edits(0, 0)
        assert metrics.associations(table).background == 0
        assert len(metrics.by_size(table, [3])) == 2


@pytest.mark.parametrize("swapped", [False, True])
def test_objects_on_one_side_only(swapped):
    table = emfast.contingency(np.array([1, 1, 2]), np.array([0, 0, 0]))
    table = table.swapped() if swapped else table
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, parts = table.average_precision(), table.panoptic()
        values = [*found.accuracy, *found.precision, *found.recall, *found.f1, parts.pq, parts.sq, parts.rq]
        values += [table.aji(variant=v) for v in ("kumar", "plus", "cellpose")]
        values += [table.best_dice().symmetric, metrics.seg_score(table), metrics.ensemble_dice(table)]
        assert values == [0] * len(values)
        assert table.match().mean_iou == 0
        average = table.score_ordered_precision(rule="mitoem").mean[0]
        assert math.isnan(average) if swapped else average == 0
        kinds = metrics.associations(table)
        assert (kinds.missing, kinds.background) == ((0, 2) if swapped else (2, 0))


def test_every_id_may_be_an_object():
    table = emfast.contingency(np.array([0, 0, 1]), np.array([0, 0, 2]))
    assert table.match(background=None).truth.tolist() == [0, 1]
    assert table.match().truth.tolist() == [1]
    assert table.match(background=1).truth.tolist() == [0]


# Peers


@pytest.mark.parametrize("seed", range(5))
def test_panoptic_quality_is_torchmetrics(seed):
    torch = pytest.importorskip("torch")
    vision.load()  # torchmetrics looks at it
    functional = pytest.importorskip("torchmetrics.functional.detection")
    truth, labels = pictures(seed)
    truth[:5] = 0
    truth[:3, :8] = 50  # void
    pairs = [np.stack([np.where(image == 50, 9, image > 0), image], -1) for image in (labels, truth)]
    options = dict(things={1}, stuffs={2}, allow_unknown_preds_category=True, return_sq_and_rq=True)
    # What is neither thing nor stuff is void to them; the background is one thing more.
    for image, pair in zip((labels, truth), pairs, strict=True):
        pair[..., 0][image == 0] = 2
    everything = functional.panoptic_quality(*(torch.tensor(p)[None] for p in pairs), **options, return_per_class=True)
    expected = everything.reshape(-1, 3)[0].tolist()
    found = emfast.contingency(truth, labels).panoptic(void=50)
    assert [found.pq, found.sq, found.rq] == pytest.approx(expected, abs=1e-6)
    assert found.true_positives > 0


# Shown


def test_results_show_themselves():
    table = vector("K")
    found = table.match(threshold=0.6)
    assert repr(found) == "Matching (optimal, IoU >= 0.6): 2 pairs, 1 missed, 2 spurious"
    assert found.to_table().columns == ("truth", "label", "overlap", "union", "iou")
    assert found.mean_iou == (5 / 8 + 4 / 5) / 2
    assert repr(table.average_precision(thresholds=[0.5, 0.6])) == "AveragePrecision: mean 0.575 (0.5: 0.75, 0.6: 0.4)"
    assert table.average_precision().to_table()["accuracy"].tolist() == table.average_precision().accuracy.tolist()
    assert "mean by size 0 to inf: 1" in repr(vector("H").score_ordered_precision())


# Errors


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda t: t.match(threshold=1.5), ValueError, "threshold must be from 0 to 1, got 1.5"),
        (lambda t: t.match(threshold="half"), TypeError, "threshold must be a number, got 'half'"),
        (lambda t: t.match(threshold=math.nan), TypeError, "threshold must be a number, got nan"),
        (
            lambda t: t.match(rule="best"),
            ValueError,
            "rule must be one of optimal, greedy, best label, best truth, got",
        ),
        (lambda t: t.average_precision(rule="best label"), ValueError, "rule must be one of optimal, greedy, got"),
        (lambda t: t.average_precision(thresholds=[]), ValueError, "thresholds must be at least one, got none"),
        (lambda t: t.average_precision(thresholds=[0.5, 2]), ValueError, "thresholds must be from 0 to 1, got 2"),
        (lambda t: t.average_precision().at(0.51), ValueError, "threshold must be one of 0.5, 0.55, .*got 0.51"),
        (lambda t: t.score_ordered_precision().at(0.51), ValueError, "threshold must be one of 0.5, 0.55, .*got 0.51"),
        (lambda t: t.aji(variant="mine"), ValueError, "variant must be one of kumar, plus, cellpose, got 'mine'"),
        (lambda t: t.score_ordered_precision(rule="voc"), ValueError, "rule must be one of coco, mitoem, got 'voc'"),
        (
            lambda t: t.score_ordered_precision(scores={1: 1}),
            ValueError,
            "scores must have every label, got none for 2",
        ),
        (
            lambda t: t.score_ordered_precision(scores=[1, 2]),
            ValueError,
            r"scores must have the shape of label_ids \(5,\)",
        ),
        (lambda t: t.score_ordered_precision(scores=[math.nan] * 5), ValueError, "scores must not be NaN"),
        (
            lambda t: t.score_ordered_precision(bounds=[5, 3]),
            ValueError,
            "bounds must be positive, finite and ascending",
        ),
        (
            lambda t: metrics.by_size(t, [5, 3]),
            ValueError,
            r"bounds must be positive, finite and ascending, got \[5.0, 3.0\]",
        ),
        (lambda t: metrics.by_size(t, [math.inf]), ValueError, "bounds must be positive, finite and ascending"),
        (lambda t: metrics.by_size(t, [5], spacing=(0, 1, 1)), ValueError, "spacing must be positive"),
        (
            lambda t: metrics.by_size(t, [5], spacing=(1, math.inf, 1)),
            ValueError,
            "spacing must be positive and finite",
        ),
        (lambda t: metrics.by_size(t, [5], spacing=(1e300, 1, 1)), ValueError, "spacing must be from 1e-30 to 1e30"),
        (
            lambda t: metrics.by_class(t, metrics.aji, {}, background=None),
            ValueError,
            "background must be an id that both sides of the table can hold, got None",
        ),
        (
            lambda t: metrics.by_class(t, metrics.aji, {1: "a"}, background=2**70),
            ValueError,
            "background must be an id that both sides of the table can hold, got 1180591620717411303424",
        ),
        (lambda t: metrics.by_class(t, metrics.aji, {}, background=math.nan), TypeError, "must be an integer or None"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(vector("K"))


OF_OBJECTS = (
    metrics.aji,
    metrics.associations,
    metrics.average_precision,
    metrics.best_dice,
    metrics.edits,
    metrics.ensemble_dice,
    metrics.match,
    metrics.panoptic,
    metrics.score_ordered_precision,
    metrics.seg_score,
    partial(metrics.by_size, bounds=[2]),
)


@pytest.mark.parametrize("background", ["x", math.nan, 1.5, [0]])
@pytest.mark.parametrize("score", OF_OBJECTS)
def test_the_background_is_an_id(score, background):
    with pytest.raises(TypeError, match="background must be an integer or None, got"):
        score(vector("K"), background=background)


@pytest.mark.parametrize("background", [-1, 2**70])
def test_a_background_that_cannot_occur_does_not(background):
    assert vector("K").aji(background=background) == vector("K").aji(background=None)


@pytest.mark.parametrize("table", [None, np.eye(3), {}])
@pytest.mark.parametrize("score", [*OF_OBJECTS, partial(metrics.by_class, score=metrics.aji, classes={})])
def test_scores_are_of_tables(score, table):
    with pytest.raises(TypeError, match=f"table must be a Contingency, got {type(table).__name__}"):
        score(table)


def test_counts_at_different_thresholds_do_not_add_up():
    table = vector("K")
    with pytest.raises(ValueError, match="only counts at the same thresholds add up"):
        table.average_precision(thresholds=0.5) + table.average_precision(thresholds=0.6)


def test_the_native_door_refuses_what_is_outside(backend):
    pairs = np.array([0, 1]), np.array([0, 3])
    with pytest.raises(ValueError, match="pair 1 is outside of 2 rows and 3 columns"):
        _native.host.matching_greedy(Host, 2, 3, *pairs)
    with pytest.raises(ValueError, match="rows must ascend, pair 1 does not"):
        _native.host.matching_assign(Host, 2, 3, pairs[0][::-1].copy(), pairs[0], np.zeros((2, 3), np.int64))


def test_bounds_of_more_voxels_than_there_are():
    found = metrics.by_size(vector("K"), [1, 2], spacing=(1e-30, 1e-30, 1))
    assert found.truth.tolist() == [metrics.by_size(vector("K"), []).truth[0], 0, 0]


def test_the_mean_of_f1_is_over_the_thresholds():
    table = emfast.contingency(np.array([1, 1, 1, 2, 2, 0]), np.array([7, 7, 7, 7, 8, 9]))  # IoU 3/4 and 1/2
    found = table.average_precision(thresholds=[0.5, 0.6])
    assert found.f1.tolist() == [4 / 5, 2 / 5]  # two, then one right; one, then two segments are nothing's
    assert found.mean_f1 == (4 / 5 + 2 / 5) / 2
