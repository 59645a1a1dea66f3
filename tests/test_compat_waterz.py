"""compat.waterz: against waterz where it is installed, and against merging by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import emfast
from emfast.compat import waterz

MEAN = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"
QUANTILE = "OneMinus<HistogramQuantileAffinity<RegionGraphType, {}, ScoreValue, 256, {}>>"
RATIO = (
    "Divide<Subtract<MaxSize<RegionGraphType>, MinSize<RegionGraphType>>, "
    "Add<MaxSize<RegionGraphType>, MinSize<RegionGraphType>>>"
)


@pytest.fixture
def peer():
    return pytest.importorskip("waterz")


def steps_of(module, affs, thresholds, **options):
    """All that is yielded, with copies of the segmentations."""
    everything = dict(return_merge_history=True, return_region_graph=True)
    return [(out[0].copy(), *out[1:]) for out in module.agglomerate(affs, thresholds, **everything, **options)]


def noise(seed, shape):
    return np.random.default_rng(seed).random((3, *shape), dtype=np.float32)


def tissue(shape, seed=0):
    """Affinities of a phantom without ties, and its labels."""
    made = emfast.phantom.make(shape, seed=seed)
    jitter = np.random.default_rng(seed).random(made.affinities.shape) - 0.5
    return np.clip((made.affinities + jitter) / 255, 0, 1).astype(np.float32), made.labels


def blocks(shape, side):
    """Fragments that are blocks of a grid."""
    grid = np.indices(shape) // side
    return (np.ravel_multi_index(grid, tuple(-(-n // side) for n in shape)) + 1).astype(np.uint64)


# Against waterz


def same_steps(ours, theirs):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0].dtype == other[0].dtype
        assert np.array_equal(mine[0], other[0])
        assert [(m["a"], m["b"], m["c"]) for m in mine[-2]] == [(m["a"], m["b"], m["c"]) for m in other[-2]]
        assert np.allclose([m["score"] for m in mine[-2]], [m["score"] for m in other[-2]], atol=1e-5)
        graphs = [{(e["u"], e["v"]): e["score"] for e in graph} for graph in (mine[-1], other[-1])]
        assert set(graphs[0]) == set(graphs[1])
        assert all(math.isclose(graphs[0][key], graphs[1][key], abs_tol=1e-5) for key in graphs[0])


@pytest.mark.parametrize("seed, shape", [(0, (8, 20, 24)), (1, (1, 40, 40)), (2, (20, 20, 20)), (3, (3, 1, 50))])
def test_segments_of_noise_are_waterz_s(peer, backend, seed, shape):
    affs = noise(seed, shape)
    options = dict(aff_threshold_low=0.1, aff_threshold_high=0.95)
    thresholds = [0.6, 0.1, 0.3, 0.3]
    # one threshold at a time with region graphs: in waterz they keep what follows from being merged
    for threshold in thresholds:
        same_steps(*(steps_of(m, affs.copy(), [threshold], **options) for m in (waterz, peer)))
    ours, theirs = (
        [(s.copy(), h) for s, h in m.agglomerate(affs, thresholds, return_merge_history=True, **options)]
        for m in (waterz, peer)
    )
    for (a, merges), (b, others) in zip(ours, theirs, strict=True):
        assert np.array_equal(a, b)
        assert [(m["a"], m["b"]) for m in merges] == [(m["a"], m["b"]) for m in others]


@pytest.mark.parametrize("seed", [0, 1])
def test_segments_of_tissue_are_waterz_s(peer, seed):
    affs, truth = tissue((64, 64, 64), seed)
    thresholds = [0.05, 0.2, 0.4, 0.6, 0.8]
    pairs = [
        [(s.copy(), m) for s, m in module.agglomerate(affs, thresholds, gt=truth.astype(np.uint32))]
        for module in (waterz, peer)
    ]
    for (ours, mine), (theirs, metrics) in zip(*pairs, strict=True):
        assert np.array_equal(ours, theirs)
        assert mine.keys() == metrics.keys()
        assert all(math.isclose(mine[key], metrics[key], rel_tol=1e-9, abs_tol=1e-12) for key in metrics)


@pytest.mark.parametrize("init", ["true", "false"])
@pytest.mark.parametrize("percent", [10, 50, 85])
@pytest.mark.parametrize("bins", [0, 256])
def test_quantiles_without_ties_are_waterz_s(peer, percent, init, bins):
    def score(values, *_):
        return 1 - quantile(values, percent)

    compared = 0
    for seed in range(20):
        affs, fragments = noise(seed, (3, 9, 9)) ** (1 + seed % 3), blocks((3, 9, 9), 3)
        orders = [merge_by_hand(affs, fragments, score, 1.0, init == "true", ties) for ties in (1, -1)]
        if orders[0] != orders[1]:
            continue  # ties
        compared += 1
        options = dict(scoring_function=QUANTILE.format(percent, init), discretize_queue=bins)
        same_steps(*(steps_of(m, affs, [1.0], fragments=fragments.copy(), **options) for m in (waterz, peer)))
    assert compared >= 5


def test_given_fragments_are_waterz_s(peer):
    affs = noise(5, (6, 20, 20))
    fragments = blocks((6, 20, 20), 3)
    fragments[:, 10:12] = 0
    fragments[fragments == 7] = 900
    for threshold in (0.45, 0.5, 0.55):
        same_steps(*(steps_of(m, affs, [threshold], fragments=fragments.copy()) for m in (waterz, peer)))


def test_ties_are_taken_by_place(peer):
    """With ties everywhere both merge as much, and as well, in another order."""
    made = emfast.phantom.make((24, 48, 48), seed=1)
    affs, truth = made.affinities.astype(np.float32) / np.float32(255), made.labels.astype(np.uint64)
    differs = 0
    for (ours, merges), (theirs, others) in zip(
        *(m.agglomerate(affs, [0.2, 0.4, 0.6], return_merge_history=True) for m in (waterz, peer)), strict=True
    ):
        differs += not np.array_equal(ours, theirs)
        assert abs(len(merges) - len(others)) <= 0.02 * len(merges) + 5
        mine, metrics = waterz.evaluate(ours, truth), waterz.evaluate(theirs, truth)
        for name in ("voi_split", "voi_merge"):
            assert abs(mine[name] - metrics[name]) < 0.05
    assert differs


@given(seed=st.integers(0, 2**32), values=st.integers(1, 9))
def test_evaluate_is_waterz_s(seed, values):
    theirs = pytest.importorskip("waterz")
    segmentation, truth = np.random.default_rng(seed).integers(0, values, (2, 3, 4, 5), dtype=np.uint64)
    assume(truth.any())
    ours, wanted = (m.evaluate(segmentation, truth) for m in (waterz, theirs))
    assert list(ours) == list(wanted)
    assert all(math.isclose(ours[key], wanted[key], rel_tol=1e-9, abs_tol=1e-12) for key in wanted)


def test_the_names_are_waterz_s(peer):
    assert set(peer.__all__) == set(waterz.__all__)


# Against merging by hand


def crossing(affs, fragments):
    """The affinities between fragments, and the id of the first voxel face: {(u, v): ([...], id)}."""
    found = {}
    for index in np.ndindex(fragments.shape):
        for axis in range(3):
            if index[axis] == 0:
                continue
            before = tuple(i - (a == axis) for a, i in enumerate(index))
            u, v = sorted((int(fragments[index]), int(fragments[before])))
            if u != v and u != 0:
                face = int(np.ravel_multi_index(index, fragments.shape)) * 3 + axis
                found.setdefault((u, v), ([], face))[0].append(float(affs[axis][index]))
    return found


def merge_by_hand(affs, fragments, score, threshold, maxima_alone=False, ties=1):
    """Every merge below a threshold, lowest score first: [(a, b, score)]. With ``ties=-1`` the last face wins."""
    edges = {k: (([max(v)] if maxima_alone else v), i) for k, (v, i) in crossing(affs, fragments).items()}
    sizes = {int(k): int(n) for k, n in zip(*np.unique(fragments, return_counts=True), strict=True)}
    merges = []
    while edges:
        scores = {k: score(values, sizes[k[0]], sizes[k[1]]) for k, (values, _) in edges.items()}
        a, b = min(edges, key=lambda k: (scores[k], ties * edges[k][1]))
        if not np.float32(scores[a, b]) < np.float32(threshold):
            break
        merges.append((a, b, scores[a, b]))
        sizes[a] += sizes.pop(b)
        joined = {}
        for key, (values, face) in edges.items():
            u, v = sorted(a if end == b else end for end in key)
            if u != v:
                old, first = joined.get((u, v), ([], face))
                joined[u, v] = (old + values, max(first, face))
        edges = joined
    return merges


def quantile(values, percent):
    return (min(int(sorted(values)[percent * len(values) // 100] * 256), 255) + 0.5) / 256


BY_HAND = {
    MEAN: lambda v, m, n: 1 - sum(v) / len(v),
    "MeanAffinity<RegionGraphType, ScoreValue>": lambda v, m, n: sum(v) / len(v),
    "OneMinus<MaxAffinity<RegionGraphType, ScoreValue>>": lambda v, m, n: 1 - max(v),
    "OneMinus<MeanMaxKAffinity<RegionGraphType, 1, ScoreValue>>": lambda v, m, n: 1 - max(v),
    "OneMinus<MinAffinity<RegionGraphType, ScoreValue>>": lambda v, m, n: 1 - min(v),
    "Invert<MinAffinity<RegionGraphType, ScoreValue>>": lambda v, m, n: 1 / min(v),
    "MinSize<RegionGraphType>": lambda v, m, n: min(m, n),
    "MaxSize<RegionGraphType>": lambda v, m, n: max(m, n),
    "ContactArea<RegionGraphType>": lambda v, m, n: len(v),
    "Multiply<OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>, Square<MinSize<RegionGraphType>>>": (
        lambda v, m, n: (1 - sum(v) / len(v)) * min(m, n) ** 2
    ),
    "Add<Step<MaxSize<RegionGraphType>, Constant<RegionGraphType, 12>>, "
    "OneMinus<MaxAffinity<RegionGraphType, ScoreValue>>>": lambda v, m, n: (max(m, n) >= 12) + (1 - max(v)),
    "Subtract<Constant<RegionGraphType, -2>, MeanAffinity<RegionGraphType,ScoreValue>>": (
        lambda v, m, n: -2 - sum(v) / len(v)
    ),
    RATIO: lambda v, m, n: (max(m, n) - min(m, n)) / (m + n),
    QUANTILE.format(50, "false"): lambda v, m, n: 1 - quantile(v, 50),
    QUANTILE.format(5, "false"): lambda v, m, n: 1 - quantile(v, 5),
    QUANTILE.format(75, "true"): lambda v, m, n: 1 - quantile(v, 75),
    "OneMinus<HistogramQuantileAffinity<RegionGraphType, 25, ScoreValue, 256>>": lambda v, m, n: 1 - quantile(v, 25),
    "Multiply<Constant<RegionGraphType, 2>, " + QUANTILE.format(50, "false") + ">": (
        lambda v, m, n: 2 * (1 - quantile(v, 50))
    ),
}


@pytest.mark.parametrize("function", BY_HAND)
@pytest.mark.parametrize("seed", range(4))
def test_scoring_functions(backend, function, seed):
    rng = np.random.default_rng(seed)
    shape = (3, 4, 5)
    affs = np.maximum(rng.random((3, *shape), dtype=np.float32), np.float32(0.01))
    fragments = rng.integers(0, 9, shape).astype(np.uint64)
    alone = "true" in function or function.endswith("256>>")
    every = merge_by_hand(affs, fragments, BY_HAND[function], 1e9, alone)
    scores = sorted(score for _, _, score in every)
    thresholds = [scores[len(scores) // 3] + 1e-3, scores[-1] + 1e-3]
    segmentation, done = fragments.copy(), 0
    runs = waterz.agglomerate(
        affs, thresholds, fragments=segmentation, scoring_function=function, return_merge_history=True
    )
    for threshold, (out, history) in zip(thresholds, runs, strict=True):
        wanted = merge_by_hand(affs, fragments, BY_HAND[function], threshold, alone)
        assert [(m["a"], m["b"]) for m in history] == [(a, b) for a, b, _ in wanted[done:]]
        assert all(m["c"] == m["a"] for m in history)
        assert np.allclose([m["score"] for m in history], [s for *_, s in wanted[done:]], rtol=1e-5)
        done = len(wanted)
        expected = fragments.copy()
        for a, b, _ in wanted:
            expected[expected == b] = a
        assert np.array_equal(out, expected)


@pytest.mark.parametrize("function", BY_HAND)
def test_region_graphs(function):
    affs = np.maximum(noise(1, (3, 4, 5)), np.float32(0.01))
    fragments = blocks((3, 4, 5), 2)
    alone = "true" in function or function.endswith("256>>")
    (_, graph) = next(
        waterz.agglomerate(affs, [-1e9], fragments=fragments, scoring_function=function, return_region_graph=True)
    )
    edges = crossing(affs, fragments)
    sizes = dict(zip(*(part.tolist() for part in np.unique(fragments, return_counts=True)), strict=True))
    assert [(e["u"], e["v"]) for e in graph] == sorted(edges)
    for edge in graph:
        values = edges[edge["u"], edge["v"]][0]
        values = [max(values)] if alone else values
        wanted = BY_HAND[function](values, sizes[edge["u"]], sizes[edge["v"]])
        assert math.isclose(edge["score"], wanted, rel_tol=1e-5)
        assert {type(v) for v in edge.values()} == {int, float}


def test_region_graphs_after_merges():
    affs, fragments = noise(2, (4, 6, 6)), blocks((4, 6, 6), 2)
    alone = waterz.agglomerate(affs, [0.45, 0.5], fragments=fragments.copy())
    for segmentation, graph in waterz.agglomerate(affs, [0.45, 0.5], fragments=fragments, return_region_graph=True):
        assert np.array_equal(segmentation, next(alone))
        edges = crossing(affs, segmentation)
        assert [(e["u"], e["v"]) for e in graph] == sorted(edges)
        scores = [1 - np.mean(edges[e["u"], e["v"]][0]) for e in graph]
        assert np.allclose([e["score"] for e in graph], scores, atol=1e-6)


# Arrays in and out


def test_fragments_are_written_to():
    affs, fragments = noise(0, (2, 6, 6)), blocks((2, 6, 6), 2)
    before = fragments.copy()
    runs = waterz.agglomerate(affs, [0.0, 1.0], fragments=fragments)
    assert next(runs) is fragments
    assert np.array_equal(fragments, before)
    assert next(runs) is fragments
    assert (fragments == 1).all()
    turned = np.asfortranarray(before)
    (out,) = waterz.agglomerate(affs, [1.0], fragments=turned)
    assert out is not turned
    assert np.array_equal(turned, before)


def test_one_array_is_yielded_with_new_contents():
    affs = noise(0, (2, 8, 8))
    runs = waterz.agglomerate(affs, [0.0, 0.9], aff_threshold_high=0.99)
    first = next(runs)
    kept = first.copy()
    assert first.dtype == np.uint64
    assert np.array_equal(kept, emfast.watershed(affs, low=1e-4, high=0.99, plateau="waterz"))
    assert next(runs) is first
    assert not np.array_equal(first, kept)
    with pytest.raises(StopIteration):
        next(runs)


def test_what_is_yielded():
    affs, truth = noise(0, (2, 8, 8)), np.ones((2, 8, 8), np.uint32)
    for gt, history, graph in itertools.product([None, truth], [False, True], [False, True]):
        out = next(waterz.agglomerate(affs, [0.5], gt, return_merge_history=history, return_region_graph=graph))
        count = 1 + (gt is not None) + history + graph
        assert isinstance(out, np.ndarray) if count == 1 else len(out) == count
    assert list(waterz.agglomerate(affs, [])) == []
    assert len(list(waterz.agglomerate(affs, range(3)))) == 3
    assert len(list(waterz.agglomerate(affs, np.array([0.5, np.inf, 1e300])))) == 3


def test_metrics_are_those_of_evaluate():
    affs, truth = tissue((12, 30, 30))
    for segmentation, metrics in waterz.agglomerate(affs, [0.2, 0.6], gt=truth):
        found = waterz.evaluate(segmentation, truth.astype(np.uint64))
        assert metrics == {
            "V_Rand_split": pytest.approx(found["rand_split"], rel=1e-12),
            "V_Rand_merge": pytest.approx(found["rand_merge"], rel=1e-12),
            "V_Info_split": pytest.approx(found["voi_split"], rel=1e-9, abs=1e-12),
            "V_Info_merge": pytest.approx(found["voi_merge"], rel=1e-9, abs=1e-12),
        }


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_other_affinities(dtype):
    affs = np.random.default_rng(0).integers(0, 256, (4, 4, 9, 9))
    given = (affs / 256).astype(dtype) if dtype == "float16" else affs.astype(dtype)
    plain = given.astype(np.float32) / np.float32(255 if dtype == "uint8" else 1)
    options = dict(aff_threshold_low=0.05, aff_threshold_high=0.9)
    for a, b in zip(*(waterz.agglomerate(x, [0.1, 0.3, 0.5], **options) for x in (given, plain)), strict=True):
        assert np.array_equal(a, b)


def test_channels_beyond_three_and_views():
    affs = noise(0, (6, 8, 8))
    more = np.concatenate([affs, np.full((2, 6, 8, 8), np.nan, np.float32)])
    (wanted,) = waterz.agglomerate(affs, [0.4])
    assert all(np.array_equal(next(waterz.agglomerate(a, [0.4])), wanted) for a in (more, np.asfortranarray(affs)))


def test_empty_volumes():
    out, metrics, history, graph = next(
        waterz.agglomerate(
            np.zeros((3, 0, 4, 4), np.float32),
            [0.5],
            gt=np.zeros((0, 4, 4), np.uint32),
            return_merge_history=True,
            return_region_graph=True,
        )
    )
    assert out.shape == (0, 4, 4)
    assert history == graph == []
    assert math.isnan(metrics["V_Rand_split"])


# Mistakes


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(affs=np.zeros((2, 2, 2, 2), "f4")), r"affs must have the shape \(channels, z, y, x\)"),
        (dict(affs=np.zeros((3, 2, 2), "f4")), r"affs must have the shape \(channels, z, y, x\)"),
        (dict(affs=np.zeros((3, 2, 2, 2))), "affs must have the dtype float32, float16 or uint8, got float64"),
        (dict(gt=np.zeros((2, 2, 3), "u4")), "gt must have the shape of the affinities without the channels"),
        (dict(fragments=np.zeros((2, 2), "u8")), "fragments must have the shape of the affinities"),
        (dict(fragments=np.zeros((2, 2, 2), "u4")), "fragments must have the dtype uint64, got uint32"),
        (
            dict(aff_threshold_low=0.5, aff_threshold_high=0.5),
            r"aff_threshold_low \(0.5\) must not be negative",
        ),
        (dict(aff_threshold_low=-1), r"aff_threshold_low \(-1\) must not be negative"),
        (dict(discretize_queue=-1), "discretize_queue must be 0"),
        (dict(discretize_queue=2**16 + 1), "at most 65536, not 65537"),
        (dict(discretize_queue=0.5), "discretize_queue must be 0"),
        (dict(discretize_queue="x"), "not 'x'"),
        (dict(discretize_queue=True), "not True"),
        (dict(discretize_queue=None), "not None"),
        (dict(scoring_function="Mean<"), "scoring_function must be a type of waterz"),
        (dict(scoring_function="OneMinus<MeanAffinity<RegionGraphType, ScoreValue>"), "must be a type of waterz"),
        (dict(scoring_function="Add<MinSize<RegionGraphType>"), "must be a type of waterz"),
        (dict(scoring_function=""), "must be a type of waterz"),
        (dict(scoring_function="MinSize<RegionGraphType>>"), "must be a type of waterz"),
        (dict(scoring_function="Add<MinSize<RegionGraphType>>"), "must give Add its operands, got 1"),
        (dict(scoring_function=QUANTILE.format(100, "true")), "a quantile from 0 to 99, got 100"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        waterz.agglomerate(**{"affs": np.zeros((3, 2, 2, 2), np.float32), "thresholds": [0.5], **options})


@pytest.mark.parametrize("bins", [0, 256, "256", " 4 ", 256.0, np.float32(256), np.uint8(0)])
def test_queues_are_welcome(bins):
    affs = noise(0, (2, 6, 6))
    wanted = next(waterz.agglomerate(affs, [0.4]))
    assert np.array_equal(next(waterz.agglomerate(affs, [0.4], discretize_queue=bins)), wanted)


@pytest.mark.parametrize(
    "function, came",
    [
        ("Random<RegionGraphType>", "Random<RegionGraphType>"),
        ("OneMinus<QuantileAffinity<RegionGraphType, 50, ScoreValue>>", "QuantileAffinity<RegionGraphType, 50, Score"),
        ("MeanMaxKAffinity<RegionGraphType, 10, ScoreValue>", "MeanMaxKAffinity<RegionGraphType, 10, ScoreValue>"),
        (QUANTILE.format(50, "true").replace("256", "128"), "HistogramQuantileAffinity<RegionGraphType, 50, Score"),
        ("OneMinus<Mine>", "Mine"),
        ("MeanAffinity", "MeanAffinity"),
    ],
)
def test_scoring_functions_without_counterpart(function, came):
    with pytest.raises(NotImplementedError, match=rf"holds {came}.*no exact counterpart; there are MeanAffinity, Max"):
        waterz.agglomerate(np.zeros((3, 2, 2, 2), np.float32), [0.5], scoring_function=function)


def test_histograms_that_begin_with_the_maximum_stand_alone():
    function = f"Add<{QUANTILE.format(50, 'true')}, {MEAN}>"
    with pytest.raises(NotImplementedError, match="begins with the maximum beside"):
        waterz.agglomerate(np.zeros((3, 2, 2, 2), np.float32), [0.5], scoring_function=function)


@pytest.mark.parametrize(
    "spelling",
    [
        " OneMinus< MeanAffinity<RegionGraphType,ScoreValue> > ",
        "OneMinus<  // one minus...\n  MeanAffinity<RegionGraphType, /* of */ ScoreValue>  // ...the mean\n>",
        "OneMinus<EdgeStatisticValue<RegionGraphType, MeanAffinityProvider<RegionGraphType, ScoreValue>>>",
    ],
)
def test_spellings(spelling):
    read, wanted = waterz._read_score(spelling), waterz._read_score(MEAN)
    assert (read.formula, read.uses) == (wanted.formula, wanted.uses) == ("(1 - mean)", {"counts"})


def test_scoring_functions_are_strings():
    with pytest.raises(TypeError, match="scoring_function must be a string, got 3"):
        waterz.agglomerate(np.zeros((3, 2, 2, 2), np.float32), [0.5], scoring_function=3)


@pytest.mark.parametrize("name", ["affs", "gt", "fragments"])
def test_arrays_are_arrays(name):
    volume = np.zeros((3, 2, 2, 2), np.float32)
    with pytest.raises(TypeError, match=f"{name} must be a numpy array, got list"):
        waterz.agglomerate(**{"affs": volume, "thresholds": [0.5], name: volume.tolist()})
    with pytest.raises(TypeError, match="affs must be a numpy array, got NoneType"):
        waterz.agglomerate(None, [0.5])


def test_fragments_that_cannot_be_written():
    fragments = np.ones((2, 2, 2), np.uint64)
    fragments.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        waterz.agglomerate(np.zeros((3, 2, 2, 2), np.float32), [0.5], fragments=fragments)


def test_evaluate_refuses():
    labels = np.ones((3, 3, 3), np.uint64)
    for other in (labels.tolist(), None):
        with pytest.raises(TypeError, match="Argument 'gt' has incorrect type"):
            waterz.evaluate(labels, other)
        with pytest.raises(TypeError, match="Argument 'segmentation' has incorrect type"):
            waterz.evaluate(other, labels)
    with pytest.raises(ValueError, match="segmentation has a wrong number of dimensions"):
        waterz.evaluate(labels[0], labels[0])
    with pytest.raises(ValueError, match="gt has a wrong dtype"):
        waterz.evaluate(labels, labels.astype(np.int64))
    with pytest.raises(ValueError, match="Shapes do not match"):
        waterz.evaluate(labels, labels[:2])


@pytest.mark.parametrize("thresholds", [[np.nan], 0.5, ["a"], "ab"])
def test_thresholds_are_numbers(thresholds):
    affs = np.ones((3, 1, 2, 2), np.float32)
    with pytest.raises((TypeError, ValueError), match="thresholds must be"):
        list(waterz.agglomerate(affs, thresholds))


def test_a_score_without_end_is_refused():
    deep = "OneMinus<" * 2000 + "MeanAffinity<RegionGraphType, ScoreValue>" + ">" * 2000
    with pytest.raises(ValueError, match="scoring_function"):
        waterz.agglomerate(np.ones((3, 1, 2, 2), np.float32), [0.5], scoring_function=deep)
