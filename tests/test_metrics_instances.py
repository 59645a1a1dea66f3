"""AJI, best Dice, SEG, edits, associations beside plain oracles; vectors and laws are in test_metrics_matching."""

import math
from fractions import Fraction

from hypothesis import given

import emfast
import oracles
from emfast import metrics
from vectors import object_images

HALF = Fraction(1, 2)


def test_equal_sums_of_iou_go_to_the_larger_overlap():
    """Of a true object of 6 voxels one segment shares 2 of a union of 8, another 3 of 12."""
    table = emfast.Contingency.from_pairs([1, 1, 1, 0, 0], [5, 6, 0, 5, 6], [2, 3, 1, 2, 6])
    assert table.match(threshold=0).labels.tolist() == [6]
    assert table.aji(variant="plus") == 3 / (6 + 4 + 9 - 3)
    assert table.match(threshold=0, rule="greedy").labels.tolist() == [5]


@given(object_images(most=4, size=25))
def test_aji(pair):
    overlaps, table = oracles.Overlaps(*pair), emfast.contingency(*pair)
    if not overlaps.truth and not overlaps.labels:
        assert math.isnan(table.aji())
        return

    def jaccard(chosen):
        alone = sum(n for t, n in overlaps.truth.items() if t not in {p[0] for p in chosen})
        alone += sum(n for s, n in overlaps.labels.items() if s not in {p[1] for p in chosen})
        return sum(overlaps.pairs[p] for p in chosen) / (sum(overlaps.union[p] for p in chosen) + alone)

    everything = list(oracles.matchings(sorted(overlaps.pairs)))
    assert table.aji() == jaccard(list(overlaps.best_label().items()))
    assert table.aji(variant="plus") == jaccard(max(everything, key=overlaps.gain))
    halves = set(overlaps.reaching(HALF))
    chosen = max(everything, key=lambda m: (len(halves.intersection(m)), *overlaps.gain(m)))
    whole = int(((pair[0] > 0) | (pair[1] > 0)).sum())
    assert table.aji(variant="cellpose") == sum(overlaps.pairs[p] for p in chosen) / whole


@given(object_images())
def test_covering_scores(pair):
    overlaps, table = oracles.Overlaps(*pair), emfast.contingency(*pair)
    partners = {p: overlaps.pairs[p] for p in overlaps.pairs}
    splits = sum(max(sum(t == i for t, _ in partners) - 1, 0) for i in overlaps.truth)
    merges = sum(max(sum(s == i for _, s in partners) - 1, 0) for i in overlaps.labels)
    assert metrics.edits(table) == metrics.Edits(splits, merges)
    for above in (1, 3):
        left = [p for p, n in partners.items() if n > above]
        splits = len(left) - len({t for t, _ in left})
        assert metrics.edits(table, above=above) == metrics.Edits(splits, len(left) - len({s for _, s in left}))
    if not overlaps.truth or not overlaps.labels:
        return
    dice = {(t, s): 2 * n / (overlaps.truth[t] + overlaps.labels[s]) for (t, s), n in partners.items()}

    def mean_best(ids, place):
        return math.fsum(max((v for p, v in dice.items() if p[place] == i), default=0) for i in ids) / len(ids)

    found = table.best_dice()
    assert found.truth == mean_best(overlaps.truth, 0)
    assert found.labels == mean_best(overlaps.labels, 1)
    assert found.symmetric == min(found.truth, found.labels)
    halves = [n / overlaps.union[p] for p, n in partners.items() if 2 * n > overlaps.truth[p[0]]]
    assert metrics.seg_score(table) == math.fsum(halves) / len(overlaps.truth)
    if partners:
        sizes = sum(overlaps.truth[t] + overlaps.labels[s] for t, s in partners)
        assert metrics.ensemble_dice(table) == 2 * sum(partners.values()) / sizes


@given(object_images(most=6, size=20))
def test_associations(pair):
    overlaps = oracles.Overlaps(*pair)
    found = metrics.associations(emfast.contingency(*pair))
    kinds, partners, background = {}, {}, 0
    for truth, labels in oracles.association_groups(overlaps):
        background += not truth
        for t in truth:
            several = len(labels) > 1, len(truth) > 1
            names = {(False, False): "one-to-one", (True, False): "over", (False, True): "under", (True, True): "many"}
            kinds[t] = names[several] if labels else "missing"
            partners[t] = truth
    assert dict(zip(found.truth_ids.tolist(), found.kinds.tolist(), strict=True)) == kinds
    assert found.background == background
    for t, group in zip(found.truth_ids.tolist(), found.groups.tolist(), strict=True):
        assert found.truth_ids[group] in partners[t]
        assert {
            i for i, g in zip(found.truth_ids.tolist(), found.groups.tolist(), strict=True) if g == group
        } == partners[t]
    assert [found.one_to_one, found.over, found.under, found.many, found.missing] == [
        sum(k == name for k in kinds.values()) for name in ("one-to-one", "over", "under", "many", "missing")
    ]
