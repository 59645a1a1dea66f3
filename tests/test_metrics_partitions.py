"""Scores of partitions: vectors of independent programs, definitions voxel by voxel, and laws."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import Contingency, contingency, metrics
from emfast.metrics import adapted_rand, adjusted_rand_index, rand, voi, voi_per_object, vrand
from emfast.metrics.partitions import _exact_sum

TOLERANCE = 1e-14


def digits(text):
    return np.array([int(c) for c in text.replace("/", "").replace(" ", "")])


def made_of(*runs):
    """(id, length) one after another."""
    return np.concatenate([np.full(n, i) for i, n in runs])


# The vectors of ../shared/METRICS.md, under their letters: truth, labels.
A = digits("1122/1122"), digits("1112/1112")
B = digits("011122/011122/033322/033300"), digits("555077/055577/059977/099990")
D = digits("111111222200"), digits("333004444004")
S = digits("11111111"), digits("11112233")
M = S[1], S[0]
K = made_of((1, 8), (2, 8), (3, 8), (0, 4)), made_of((1, 5), (2, 9), (3, 10), (4, 3), (0, 1))
H = digits("112233"), digits("112233")
B_BOTH = (6 * math.log2(6) - 5 * math.log2(5)) / 17  # its VOI without zeros, split and merge


def near(value):
    return pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)


def test_vector_a():
    table = contingency(*A)
    assert table.squares() == (8, 24, 32, 40)
    assert table.voi().split == 0.5
    assert table.voi() == near((0.5, 0.6887218755408672))
    assert table.voi().total == near(1.1887218755408672)
    assert table.voi(unit="nats").total == near(0.8239592165010823)
    assert table.vrand()[:2] == (0.75, 0.6)
    assert table.adapted_rand().error == 1 / 3
    assert table.adapted_rand("pairs").error == 3 / 7
    assert table.rand(form="ordered").index == 0.625
    assert table.vinfo() == near((0.3836885465963443, 0.3112781244591329, 0.3437110184854507))
    assert table.cremi_score() == near(0.6294764691235799)


@pytest.mark.parametrize("step", [2**31, 2**32, 2**53, 2**63])
def test_vector_a_with_large_ids(step):
    table, large = contingency(*A), contingency(*(v.astype(np.uint64) + np.uint64(step) for v in A))
    assert large.voi() == table.voi()
    assert large.adapted_rand() == table.adapted_rand()
    assert large.vinfo() == table.vinfo()
    assert large.counts.tolist() == table.counts.tolist()


@pytest.mark.parametrize(
    ("dropped", "squares", "information", "error", "pairs"),
    [
        ({"truth": 0}, (18, 88, 108, 98), (0.4333482810989029, 0.2166741405494515), 15 / 103, 0.1764705882352942),
        ({}, (24, 106, 144, 146), (0.6379185026711327, 0.6479841243455564), 0.2689655172413793, 0.3223140495867769),
        (
            {"truth": 0, "labels": 0},
            (17, 87, 97, 97),
            ((6 * math.log2(6) - 5 * math.log2(5)) / 17,) * 2,
            10 / 97,
            0.125,
        ),
    ],
)
def test_vector_b(dropped, squares, information, error, pairs):
    table = contingency(*B).without(**dropped)
    assert table.squares() == squares
    assert table.voi() == near(information)
    assert table.adapted_rand().error == near(error)
    assert table.adapted_rand("pairs").error == near(pairs)


def test_vector_b_in_other_conventions():
    whole = contingency(*B)
    table = whole.without(truth=0)
    assert whole.adapted_rand("cremi_legacy").error == near(0.1509855720382036)
    assert table.vrand().f == near(0.8543689320388349)
    assert table.vinfo() == near((0.7594696559938505, 0.8632938378978271, 0.8080604186103774))
    both = contingency(*B, mask=(B[0] != 0) | (B[1] != 0))  # elf with both ignore lists
    assert both.voi() == near((0.4900134529890126, 0.5970989254928274))


def test_vector_d_has_seven_adapted_rand_errors():
    whole = contingency(*D)
    table = whole.without(truth=0)
    errors = [table.adapted_rand(v).error for v in ("singletons", "plain", "pairs", "pairs+singletons")]
    errors += [
        whole.adapted_rand("cremi_legacy").error,
        table.without(labels=0).adapted_rand().error,
        whole.adapted_rand().error,
    ]
    wanted = [0.45, 0.4418604651162791, 0.5757575757575757, 0.6, 0.5016181229773463, 0.24, 0.5094339622641509]
    assert errors == near(wanted)
    assert whole.adapted_rand("snemi3d").error == table.adapted_rand("singletons").error
    assert table.voi() == near((1.2, 0.6))
    assert table.voi(label_zero="singletons") == near((1.4, 0.32451124978365264))
    assert table.voi(label_zero="singletons", unit="nats") == near((0.9704060527839236, 0.2249340578475234))


def test_vectors_s_and_m_are_mirrors():
    split, merge = contingency(*S), contingency(*M)
    assert split.voi() == (1.5, 0)
    assert merge.voi() == (0, 1.5)
    assert split.vrand()[:2] == (0.375, 1)
    assert merge.vrand()[:2] == (1, 0.375)
    for table in (split, merge):
        assert table.adapted_rand().error == 5 / 11
        assert table.adapted_rand("pairs").error == 5 / 9


def test_vector_k():
    table = contingency(*K, ignore=0)
    assert table.voi() == near((0.588570709128033, 0.6451643106401681))
    assert table.adapted_rand().error == near(0.3065326633165829)
    assert table.adapted_rand("pairs").error == near(0.3485714285714285)
    assert table.vinfo(label_zero="singletons") == table.vinfo()
    assert table.vinfo() == pytest.approx((0.6149027179, 0.5929466405, 0.6037251223), abs=1e-10)


def test_vector_h_is_perfect():
    table = contingency(*H)
    assert table.voi() == (0, 0)
    assert table.vrand() == table.vinfo() == (1, 1, 1)
    assert table.normalised_voi() == (0, 0, 0)
    assert all(table.adapted_rand(v).error == 0 for v in ("plain", "pairs", "singletons", "snemi3d", "cremi_legacy"))
    assert table.rand().index == table.adjusted_rand_index() == 1
    assert table.cremi_score() == 0


# ---- definitions, voxel by voxel


@st.composite
def labelled(draw, most=24):
    n = draw(st.integers(1, most))
    ids = st.lists(st.integers(0, draw(st.integers(0, 6))), min_size=n, max_size=n)
    return draw(ids), draw(ids)


def as_table(truth, labels):
    return contingency(np.array(truth), np.array(labels))


def variants(truth, labels):
    """Each ``label_zero`` with the lists that say what it means."""
    kept = [(t, s) for t, s in zip(truth, labels, strict=True) if s]
    yield "segment", truth, labels
    yield "singletons", truth, oracles.with_singletons(labels)
    if kept:
        yield "ignore", [t for t, _ in kept], [s for _, s in kept]


@given(pair=labelled())
def test_voi_is_conditional_entropy(pair):
    table = as_table(*pair)
    for label_zero, truth, labels in variants(*pair):
        assert voi(table, label_zero=label_zero) == near(oracles.voi(truth, labels))
        h = table.entropies(label_zero=label_zero)
        one = [0] * len(truth)
        joint = list(zip(truth, labels, strict=True))
        assert h == near(tuple(oracles.voi(one, v)[0] for v in (truth, labels, joint)))
        assert h.truth + table.voi(label_zero=label_zero).split == near(h.joint)


@given(pair=labelled(), alpha=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_rand_scores_count_pairs(pair, alpha):
    table = as_table(*pair)
    for label_zero, truth, labels in variants(*pair):
        for form, variant in (("ordered", "plain"), ("distinct", "pairs")):
            both, a, b, all_pairs = oracles.voxel_pairs(truth, labels, form)
            index = Fraction(all_pairs - a - b + 2 * both, all_pairs) if all_pairs else math.nan
            assert rand(table, form=form, label_zero=label_zero).index == pytest.approx(float(index), nan_ok=True)
            if label_zero == "ignore":
                continue
            whole = Fraction(alpha) * b + (1 - Fraction(alpha)) * a
            name = {("plain", "singletons"): "singletons", ("pairs", "singletons"): "pairs+singletons"}
            ours = adapted_rand(table, name.get((variant, label_zero), variant), alpha=alpha)
            nothing = math.nan if a or b else 0  # all weight lies on a side without pairs; or there are none at all
            assert ours.error == pytest.approx(float(1 - both / whole) if whole else nothing, abs=0, nan_ok=True)
            assert ours.split == pytest.approx(both / a if a else math.nan, nan_ok=True)
            assert ours.merge == pytest.approx(both / b if b else math.nan, nan_ok=True)
            if form == "ordered":
                assert vrand(table, alpha=alpha, label_zero=label_zero).f == float(both / whole)


@given(pair=labelled(12))
def test_adjusted_rand_is_zero_on_average(pair):
    """The mean of the index over all ways to pair the voxels, which is what it is adjusted for."""
    truth, labels = pair
    both, a, b, pairs = oracles.voxel_pairs(truth, labels, "distinct")
    if a == b == pairs or a == b == 0:
        assert adjusted_rand_index(as_table(truth, labels)) == 1
        return
    by_chance = Fraction(a * b, pairs)
    wanted = (both - by_chance) / (Fraction(a + b, 2) - by_chance)
    assert adjusted_rand_index(as_table(truth, labels)) == pytest.approx(float(wanted), abs=1e-15)


@given(pair=labelled())
def test_information_scores_follow_from_entropies(pair):
    table = as_table(*pair)
    h, v = table.entropies(), table.voi()
    mutual = h.truth + h.labels - h.joint
    normal, score = table.normalised_voi(), table.vinfo(alpha=0.25)
    if h.joint:
        assert normal.total == near(v.total / h.joint)
        assert normal.distance == near(1 - mutual / max(h.truth, h.labels))
    else:
        assert normal == (0, 0, 0)
    if h.truth and h.labels:
        wanted = mutual / h.labels, mutual / h.truth, mutual / (0.75 * h.labels + 0.25 * h.truth)
        assert score == near(wanted)
    else:
        assert score.f == (h.truth == h.labels)
        assert math.isnan(score.split if h.labels == 0 else score.merge)


@given(pair=labelled())
def test_objects_add_up(pair):
    truth, labels = pair
    table = as_table(truth, labels)
    for side in ("truth", "labels"):
        objects = voi_per_object(table, side=side)
        assert (math.fsum(objects.split), math.fsum(objects.merge)) == near(tuple(table.voi()))
        mine, others = (truth, labels) if side == "truth" else (labels, truth)
        for row, i in enumerate(objects):
            at = [k for k, other in enumerate(mine) if other == i]
            assert objects.voxels[row] == len(at)
            assert objects.partners[row] == len({others[k] for k in at})
            parts = [others[k] for k in at]
            alone = objects.split_alone if side == "truth" else objects.merge_alone
            assert alone[row] == near(oracles.voi([0] * len(at), parts)[0])
    nats = voi_per_object(table, unit="nats")
    assert nats.split == pytest.approx(voi_per_object(table).split * math.log(2))


# ---- laws


def every_score(table):
    out = [*table.voi(), *table.voi(label_zero="singletons"), *table.entropies(), *table.normalised_voi()]
    out += [*table.vinfo(), *table.vrand(), table.rand().index, table.rand(form="ordered").error]
    out += [table.adjusted_rand_index(), table.cremi_score(), table.cremi_score("snemi3d")]
    for variant in ("plain", "pairs", "singletons", "pairs+singletons", "snemi3d", "cremi_legacy"):
        out += [*table.adapted_rand(variant)]
    return [repr(float(v)) for v in out]  # NaN equals itself


def random_table(seed, ids=40, n=4000):
    rng = np.random.default_rng(seed)
    return rng.integers(0, ids, n) ** 2 // ids, rng.integers(0, ids, n)


@given(seed=st.integers(0, 2**32 - 1))
def test_names_and_order_change_no_bit(seed):
    truth, labels = random_table(seed)
    rng = np.random.default_rng(seed)
    new = np.concatenate([[0], 1 + rng.permutation(39)]).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    order = rng.permutation(len(truth))
    other = contingency(new[truth[order]], new[labels[order]])
    table = contingency(truth, labels)
    assert every_score(other) == every_score(table)
    objects, others = voi_per_object(table), voi_per_object(other)
    rows = [others.row_of(int(new[i])) for i in objects.truth.tolist()]
    assert others.split[rows].tolist() == objects.split.tolist()
    assert others.merge_alone[rows].tolist() == objects.merge_alone.tolist()


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 4000))
def test_blocks_change_no_bit(seed, cut):
    truth, labels = random_table(seed)
    parts = contingency(truth[:cut], labels[:cut]) + contingency(truth[cut:], labels[cut:])
    assert every_score(parts) == every_score(contingency(truth, labels))


@given(pair=labelled())
def test_symmetry(pair):
    table = as_table(*pair)
    swapped = table.swapped()
    assert swapped.voi() == table.voi()[::-1]
    assert swapped.vrand()[:2] == pytest.approx(table.vrand()[1::-1])
    assert swapped.rand() == table.rand()
    assert swapped.adjusted_rand_index() == table.adjusted_rand_index()
    assert swapped.adapted_rand("pairs").error == table.adapted_rand("pairs").error
    assert swapped.normalised_voi().distance == near(table.normalised_voi().distance)


@given(seed=st.integers(0, 2**32 - 1))
def test_equal_partitions_are_perfect(seed):
    truth, _ = random_table(seed)
    table = contingency(truth, 3 * truth + 5)
    assert table.voi() == (0, 0)
    assert table.vinfo() == table.vrand() == (1, 1, 1)
    assert table.normalised_voi() == (0, 0, 0)
    assert table.rand().index == table.adjusted_rand_index() == 1
    assert table.adapted_rand() == table.adapted_rand("pairs") == (0, 1, 1)
    assert table.cremi_score() == 0


@given(pair=labelled())
@example(pair=([0] * 6 + [1] * 9, [0] * 2 + [1] * 4 + [0] * 3 + [1] * 6))  # the total is rounded above 1
def test_bounds(pair):
    table = as_table(*pair)
    n = table.voxels
    for v in (table.voi(), table.voi(label_zero="singletons")):
        assert 0 <= v.split <= math.log2(n) + TOLERANCE
        assert 0 <= v.merge <= math.log2(n) + TOLERANCE
    for label_zero in ("segment", "singletons"):
        scores = [*table.vinfo(label_zero=label_zero), *table.vrand(label_zero=label_zero)]
        scores += [*table.normalised_voi(label_zero=label_zero), table.rand(label_zero=label_zero).index]
        assert all(math.isnan(s) or 0 <= s <= 1 for s in scores)
    assert all(0 <= table.adapted_rand(v).error <= 1 for v in ("plain", "pairs", "singletons", "pairs+singletons"))


def test_voi_is_a_metric():
    rng = np.random.default_rng(1)
    for _ in range(30):
        a, b, c = rng.integers(0, 4, (3, 50))
        ab, bc, ac = (contingency(*p).voi().total for p in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + TOLERANCE


# ---- sizes at which others overflow, and accuracy


@given(values=st.lists(st.floats(0, 1e30), max_size=40))
def test_sums_are_rounded_once(values):
    assert _exact_sum(np.array(values, np.float64)) == math.fsum(values)


def test_large_counts_are_exact():
    """Squares beyond 2^64 and 2^128."""
    big = 3_100_000_000  # voxels of a soma: its square is beyond int64
    table = Contingency.from_pairs([1, 1, 2], [1, 2, 2], [big, big + 1, 2**40])
    n, b = 2 * big + 1 + 2**40, big + 1 + 2**40
    joint, a, b2 = big**2 + (big + 1) ** 2 + 2**80, (2 * big + 1) ** 2 + 2**80, big**2 + b**2
    assert table.squares() == (n, joint, a, b2)
    assert table.adapted_rand().error == float(1 - Fraction(2 * joint, a + b2))
    assert table.rand(form="ordered").index == float(Fraction(n * n - (a + b2 - 2 * joint), n * n))


def test_a_voxel_in_a_trillion():
    """One wrong voxel of 10^12: the logarithm of nearly one is taken without losing digits."""
    n = 10**12
    v = Contingency.from_pairs([1, 1], [1, 2], [n - 1, 1]).voi()
    wanted = (math.log2(n) - (n - 1) * math.log1p(-1 / n) / math.log(2)) / n
    assert v.split == pytest.approx(wanted, rel=1e-15)
    assert v.merge == 0


def test_pairs_of_many_objects():
    """2·10^5 samples of random classes, where 64-bit products of pairs overflow elsewhere."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200_000)
    labels = np.where(rng.random(200_000) < 0.2, rng.integers(0, 3, 200_000), truth)
    assert 0.6 < adjusted_rand_index(contingency(truth, labels)) < 0.7


# ---- nothing to score, and errors


def test_empty_tables_have_no_scores():
    for table in (contingency(np.zeros((0, 4), int), np.zeros((0, 4), int)), contingency(*S).without(truth=1)):
        assert table.empty
        assert all(map(math.isnan, [*table.voi(), *table.vrand(), *table.vinfo(), *table.entropies()]))
        assert all(map(math.isnan, [*table.normalised_voi(), table.rand().index, table.adjusted_rand_index()]))
        for variant in ("plain", "pairs", "singletons", "pairs+singletons", "snemi3d", "cremi_legacy"):
            assert all(map(math.isnan, table.adapted_rand(variant)))
        assert math.isnan(table.cremi_score())
        assert len(voi_per_object(table)) == len(voi_per_object(table, side="labels")) == 0
    nothing_left = contingency(np.array([1, 1]), np.array([0, 0]))
    assert math.isnan(nothing_left.voi(label_zero="ignore").split)
    assert nothing_left.voi(label_zero="singletons") == (1, 0)


def test_one_voxel():
    table = as_table([5], [7])
    assert table.voi() == (0, 0)
    assert math.isnan(table.rand().index)
    assert table.adapted_rand("pairs")[0] == 0
    assert math.isnan(table.adapted_rand("pairs").split)


def test_errors():
    table = contingency(*A)
    with pytest.raises(ValueError, match="unit must be 'bits' or 'nats', got 'bytes'"):
        table.voi(unit="bytes")
    with pytest.raises(ValueError, match="label_zero must be 'segment', 'singletons' or 'ignore', got 'x'"):
        table.vrand(label_zero="x")
    with pytest.raises(ValueError, match=r"variant must be one of 'plain', .*, got 'x'"):
        table.adapted_rand("x")
    with pytest.raises(ValueError, match="form must be 'distinct' or 'ordered', got 'x'"):
        table.rand(form="x")
    with pytest.raises(ValueError, match="side must be 'truth' or 'labels', got 'x'"):
        table.voi_per_object(side="x")
    for alpha in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="alpha must be"):
            table.vinfo(alpha=alpha)
        with pytest.raises(ValueError, match="alpha must be"):
            table.adapted_rand("cremi_legacy", alpha=alpha)
    for variant in ("plain", "snemi3d", "cremi_legacy"):
        with pytest.raises(TypeError, match="table must be a Contingency, got NoneType"):
            adapted_rand(None, variant)
    with pytest.raises(TypeError, match="table must be a Contingency, got ndarray"):
        emfast.metrics.voi(np.zeros((2, 2)))


# ---- peers


@pytest.mark.parametrize("seed", range(3))
def test_scikit_image_agrees(seed):
    metrics = pytest.importorskip("skimage.metrics")
    truth, labels = random_table(seed)
    table = contingency(truth, labels)
    assert metrics.variation_of_information(truth, labels) == pytest.approx(tuple(table.voi()))
    assert metrics.variation_of_information(truth, labels, ignore_labels=(0,)) == pytest.approx(
        tuple(table.without(truth=0).voi())
    )
    error, precision, recall = metrics.adapted_rand_error(truth, labels)
    ours = table.without(truth=0).adapted_rand("pairs")
    assert (error, precision, recall) == pytest.approx(tuple(ours))
    error, _, _ = metrics.adapted_rand_error(truth, labels, alpha=0.3)
    assert error == pytest.approx(table.without(truth=0).adapted_rand("pairs", alpha=1 - 0.3).error)


def test_an_adapted_rand_error_whose_weight_lies_on_nothing_is_not_perfect():
    scattered = emfast.contingency(np.ones(4, int), np.arange(4))
    for table, alpha in ((scattered, 1.0), (emfast.contingency(np.arange(4), np.ones(4, int)), 0.0)):
        assert np.isnan(metrics.adapted_rand(table, "pairs", alpha=alpha).error)
        assert metrics.adapted_rand(table, "pairs", alpha=1 - alpha).error == 1
    alone = emfast.contingency(np.arange(4), np.arange(4))
    assert [metrics.adapted_rand(alone, "pairs", alpha=a).error for a in (0, 0.5, 1)] == [0, 0, 0]


def test_the_cremi_score_of_nothing_has_no_value():
    nothing = emfast.contingency(np.zeros(0, int), np.zeros(0, int))
    assert np.isnan(metrics.cremi_score(nothing))
    assert np.isnan(metrics.cremi_score(nothing, "cremi_legacy"))
