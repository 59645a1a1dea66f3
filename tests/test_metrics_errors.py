"""Errors by what they cost: scores of changed volumes, laws, vectors by hand, files."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast.metrics import kolmogorov_distance

FRESH = 999  # an id that no volume has


@st.composite
def volumes(draw, background=True, most=4):
    """Small pictures and volumes with a few objects of some voxels."""
    shape = draw(st.sampled_from([(1, 12), (4, 7), (3, 4, 5), (2, 1, 9)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = 0 if background else 1
    drawn = (rng.integers(low, draw(st.integers(1, most)) + 1, shape) for _ in range(2))
    truth, labels = (np.repeat(ids, int(rng.integers(1, 4)), axis=-1)[..., : shape[-1]] for ids in drawn)
    if draw(st.booleans()):
        labels = np.where(rng.random(shape) < 0.7, truth, labels)
    return truth, labels


ignores = st.sampled_from([(), (0,), (2,)])


def rows(table):
    return [{name: table[name][k] for name in table.columns} for k in range(len(table))]


def voi(truth, labels, ignore):
    return oracles.voi_halves(truth.ravel().tolist(), labels.ravel().tolist(), ignore)


@given(volumes(), ignores)
def test_costs_are_falls_of_voi(both, ignore):
    truth, labels = both
    errors = emfast.compare(truth, labels, ignore=ignore)
    split, merge = voi(truth, labels, ignore)
    n = max(1, int((~np.isin(truth, ignore)).sum()))
    for e in rows(errors.events):
        first = (truth == e["truth"]) & (labels == e["label"])
        second = (truth == e["truth_2"]) & (labels == e["label_2"])
        assert first.sum() == e["voxels"]
        if e["kind"] == "split":
            assert e["truth"] == e["truth_2"] and e["label"] < e["label_2"] and second.sum() == e["voxels_2"]
            joined = np.where(second, e["label"], labels)
            assert split - voi(truth, joined, ignore)[0] == pytest.approx(e["cost"], abs=1e-12)
        elif e["kind"] == "merge":
            assert e["label"] == e["label_2"] and e["truth"] < e["truth_2"] and second.sum() == e["voxels_2"]
            joined = np.where(second, e["truth"], truth)
            assert merge - voi(joined, labels, ignore)[1] == pytest.approx(e["cost"], abs=1e-12)
            if ((labels == e["label"]) & ~np.isin(truth, ignore) & ~first & ~second).sum() == 0:
                cut = np.where(second, FRESH, labels)
                assert sum((split, merge)) - sum(voi(truth, cut, ignore)) == pytest.approx(e["cost"], abs=1e-12)
        elif e["kind"] == "missed":
            assert e["label"] == 0 and e["voxels_2"] == ((truth == e["truth"]) & (labels != 0)).sum()
            inside, outside = truth == e["truth"], (labels == 0) & ~np.isin(truth, ignore)
            cost = inside.sum() * voi(truth[inside], labels[inside] == 0, ())[0]
            cost += outside.sum() * voi(truth[outside] == e["truth"], labels[outside], ())[1]
            assert cost / n == pytest.approx(e["cost"], abs=1e-12)
        elif 0 in ignore:
            assert e["cost"] == e["gain"] == 0 and not ((labels == e["label"]) & ~np.isin(truth, ignore)).any()
        else:
            inside, outside = (labels == e["label"]) & ~np.isin(truth, ignore), truth == 0
            cost = inside.sum() * voi(truth[inside] == 0, labels[inside], ())[1]
            cost += outside.sum() * voi(truth[outside], labels[outside] == e["label"], ())[0]
            assert cost / n == pytest.approx(e["cost"], abs=1e-12)


@given(volumes(), ignores)
def test_gains_are_falls_of_voi_when_the_labels_are_mended(both, ignore):
    truth, labels = both
    before = sum(voi(truth, labels, ignore))
    for e in rows(emfast.compare(truth, labels, ignore=ignore).events):
        first = (truth == e["truth"]) & (labels == e["label"])
        second = (truth == e["truth_2"]) & (labels == e["label_2"])
        moving, to = second, e["label"]
        if e["kind"] in ("split", "merge") and e["voxels"] < e["voxels_2"]:
            moving, to = first, e["label_2"]
        if e["kind"] == "merge":
            to = FRESH
        if e["kind"] == "missed":
            moving, to = first, e["label_2"] if e["voxels_2"] else FRESH
        if e["kind"] == "spurious":
            moving, to = first, 0
        after = sum(voi(truth, np.where(moving, to, labels), ignore))
        assert before - after == pytest.approx(e["gain"], abs=1e-12)


def plain_events(truth, labels, ignore, tolerance):
    """Which errors there are, by kind, owner and partners."""
    found = Counter()
    regions, sites = oracles.error_places(truth, labels, None, ignore)
    size = {key: len(voxels) for key, voxels in regions.items()}
    parts = [key for key, n in size.items() if n > tolerance and 0 not in key and key[0] not in ignore]
    for kind in (0, 1):
        for owner in {key[kind] for key in parts}:
            own = sorted((key for key in parts if key[kind] == owner), key=lambda k: (-size[k], k[1 - kind]))
            group = {key: {key} for key in own}
            for site_kind, site_owner, a, b in sites:
                ends = [(owner, c) if kind == 0 else (c, owner) for c in (a, b)]
                if site_kind == kind and site_owner == owner and set(ends) <= set(own):
                    found[(("split", "merge")[kind], *sorted(ends))] += 1
                    joined = group[ends[0]] | group[ends[1]]
                    for key in joined:
                        group[key] = joined
            seen = group[own[0]] if own else set()
            for key in own:
                if key not in seen:
                    found[(("split", "merge")[kind], *sorted([own[0], key]))] += 1
                    seen = seen | group[key]
    for (t, j), n in size.items():
        if n > tolerance and t != 0 and j == 0 and t not in ignore:
            found["missed", (t, j)] += 1
        if n > tolerance and t == 0 and j != 0:
            counted = any(key[1] == j and key[0] not in ignore for key in size)
            if 0 not in ignore or not counted:
                found["spurious", (t, j)] += 1
    return found


@given(volumes(), ignores, st.integers(0, 3))
def test_which_errors_there_are(both, ignore, tolerance):
    truth, labels = both
    found = Counter()
    for e in rows(emfast.compare(truth, labels, ignore=ignore, tolerance=tolerance).events):
        ends = [(int(e["truth"]), int(e["label"])), (int(e["truth_2"]), int(e["label_2"]))]
        found[(str(e["kind"]), *(ends if e["kind"] in ("split", "merge") else ends[:1]))] += 1
    assert found == plain_events(truth, labels, ignore, tolerance)


@given(volumes(), ignores)
def test_order(both, ignore):
    events = emfast.compare(*both, ignore=ignore).events
    kinds = [emfast.metrics.errors.KINDS.index(kind) for kind in events.kind]
    keys = list(zip(-events.cost, -(events.voxels + events.voxels_2), kinds, events.truth, events.label, strict=True))
    assert keys == sorted(keys)
    assert events.event.tolist() == list(range(len(events)))


@given(volumes())
def test_exchange_of_the_volumes(both):
    truth, labels = both
    forth, back = (emfast.compare(*pair, ignore=()) for pair in ((truth, labels), (labels, truth)))
    names = {"split": "merge", "merge": "split", "missed": "spurious", "spurious": "missed"}

    def listed(events, kinds, order):
        columns = [events[name].tolist() for name in ("voxels", "voxels_2", "cost", *order)]
        return sorted(zip((kinds[kind] for kind in events.kind), *columns, strict=True))

    ids = ("truth", "label", "truth_2", "label_2")
    exchanged = ("label", "truth", "label_2", "truth_2")
    assert listed(forth.events, dict(zip(names, names, strict=True)), ids) == listed(back.events, names, exchanged)
    for a, b, own in ((forth.objects, back.labels, "truth"), (forth.labels, back.objects, "label")):
        assert np.array_equal(a[own], b[b.columns[0]]) and np.array_equal(a.iou, b.iou)
        assert np.array_equal(a.best, b.best) and np.array_equal(a.precision, b.recall)


@given(volumes(), st.randoms(use_true_random=False))
def test_permutation_of_ids(both, random):
    truth, labels = both
    names = list(range(1, 6))
    random.shuffle(names)
    new = np.array([0, *(2**40 * name for name in names)])
    a, b = emfast.compare(truth, labels), emfast.compare(truth, new[labels])
    for name in ("kind", "cost"):
        assert sorted(a.events[name].tolist()) == sorted(b.events[name].tolist())
    assert a.objects.pieces.tolist() == b.objects.pieces.tolist()
    assert a.objects.iou.tolist() == b.objects.iou.tolist()


@given(volumes(), ignores, st.data())
def test_blocks_are_the_whole(both, ignore, data):
    truth, labels = both
    block = [data.draw(st.integers(1, n)) for n in truth.shape]
    options = {"ignore": ignore, "spacing": (30, 8, 4)[-truth.ndim :]}
    assert emfast.compare(truth, labels, block=block, **options) == emfast.compare(truth, labels, **options)


@given(volumes())
def test_equal_volumes_have_no_errors(both):
    errors = emfast.compare(both[0], both[0])
    assert len(errors.events) == 0
    assert (errors.objects.iou == 1).all() and (errors.objects.pieces == 1).all()
    assert len(errors.objects) == 0 or errors.volume_distance == 0


def test_backends_agree(backend):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 9, (2, 4, 5, 6)).astype(np.uint64)
    truth, labels = (np.kron(part, np.ones((3, 4, 5), np.uint64)) for part in small)
    found = emfast.compare(backend(truth), backend(labels), spacing=(30, 8, 8))
    expected = emfast.compare(truth, labels, spacing=(30, 8, 8))
    assert found == expected
    assert len(found.events) > 90


def test_by_hand():
    truth = np.array([[[1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 3, 0, 0, 0]]], np.uint64)
    labels = np.array([[[5, 5, 7, 7, 7, 0, 0, 0], [5, 5, 7, 7, 0, 9, 9, 0]]], np.uint64)
    errors = emfast.compare(truth, labels, spacing=(30, 8, 4))
    events = errors.events
    listed = list(zip(events.kind.tolist(), events.truth.tolist(), events.label.tolist(), strict=True))
    assert listed == [("split", 1, 5), ("missed", 2, 0), ("merge", 1, 7), ("missed", 3, 0), ("spurious", 0, 9)]
    info = lambda m, n: m * math.log2((m + n) / m) + n * math.log2((m + n) / n)  # noqa: E731
    costs = [info(4, 4), info(3, 1) + info(3, 1), info(4, 1), info(1, 3), 0]
    assert events.cost.tolist() == pytest.approx([cost / 13 for cost in costs])
    assert events.label_2.tolist() == [7, 7, 7, 0, 9] and events.truth_2.tolist() == [1, 2, 2, 3, 0]
    assert events.voxels.tolist() == [4, 3, 4, 1, 2] and events.voxels_2.tolist() == [4, 1, 1, 0, 0]
    assert events.faces.tolist() == [[0, 0, 2], [0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert events.area.tolist() == [2 * 30 * 8, 0, 30 * 8, 0, 0]
    assert events.start[0].tolist() == [0, 0, 1] and events.stop_nm[0].tolist() == [30, 16, 12]
    assert events.centroid_nm[0].tolist() == [0, 4, 6]
    assert events.point[2].tolist() == [0, 0, 4] and events.point_nm[2].tolist() == [0, 0, 16]
    objects = errors.objects
    assert objects.truth.tolist() == [1, 2, 3] and objects.best.tolist() == [5, 7, 0]
    assert objects.iou.tolist() == [0.5, 1 / 8, 0] and objects.recall.tolist() == [0.5, 0.25, 0]
    assert objects.precision.tolist() == [1, 1 / 5, 0] and objects.pieces.tolist() == [2, 1, 0]
    assert objects.missed.tolist() == [0, 0.75, 1] and objects.volume.tolist() == [8 * 960, 4 * 960, 960]
    segments = errors.labels
    assert segments.label.tolist() == [5, 7, 9] and segments.best.tolist() == [1, 1, 0]
    assert segments.voxels.tolist() == [4, 5, 0] and segments.volume.tolist() == [4 * 960, 5 * 960, 2 * 960]
    assert segments.pieces.tolist() == [1, 2, 0] and segments.recall.tolist() == [0.5, 0.5, 0]
    assert errors.volume_distance == pytest.approx(1 / 3)


def test_parts_that_do_not_touch():
    labels = np.array([[5, 5, 5, 0, 7, 7, 0, 8, 9, 9]])
    errors = emfast.compare(np.ones_like(labels), labels)
    events = errors.events.select(np.flatnonzero(errors.events.kind == "split"))
    assert sorted(zip(events.label.tolist(), events.label_2.tolist(), strict=True)) == [(5, 7), (5, 9), (8, 9)]
    faces = {(5, 7): 0, (5, 9): 0, (8, 9): 1}
    found = zip(events.label.tolist(), events.label_2.tolist(), events.faces[:, 1].tolist(), strict=True)
    assert {(a, b): n for a, b, n in found} == faces
    k = events.label_2.tolist().index(7)  # the smaller part is where it is
    assert events.start[k].tolist() == [0, 4] and events.stop[k].tolist() == [1, 6]


def test_ids_of_any_size():
    truth = np.array([[-(2**63), -(2**63), -1, -1, 3]], np.int64)
    labels = np.array([[1, 2, 2, 2**64 - 1, 2**64 - 1]], np.uint64)
    events = emfast.compare(truth, labels, ignore=()).events
    assert sorted(zip(events.kind.tolist(), events.truth.tolist(), events.label_2.tolist(), strict=True)) == [
        ("merge", -(2**63), 2),
        ("merge", -1, 2**64 - 1),
        ("split", -(2**63), 2),
        ("split", -1, 2**64 - 1),
    ]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # SciPy, of one value each
@given(st.lists(st.integers(0, 5), max_size=9), st.lists(st.integers(0, 5), max_size=9))
def test_kolmogorov_distance(a, b):
    if not a or not b:
        assert math.isnan(kolmogorov_distance(a, b))
        return
    shares = lambda values, top: Fraction(sum(v <= top for v in values), len(values))  # noqa: E731
    assert kolmogorov_distance(a, b) == float(max(abs(shares(a, v) - shares(b, v)) for v in range(6)))
    stats = pytest.importorskip("scipy.stats")
    assert kolmogorov_distance(a, b) == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic)


def test_morphology():
    truth = np.zeros((20, 30, 30), int)
    truth[5:15, 5:25, 5:10], truth[5:15, 5:25, 12:22] = 1, 2
    labels = np.roll(truth, 1, axis=0) * 3
    errors = emfast.compare(truth, labels, spacing=(10, 10, 10), morphology=True)
    measured = emfast.statistics(truth, spacing=(10, 10, 10), moments=True, surface=True)
    assert np.array_equal(errors.objects.surface, measured.surface)
    assert np.array_equal(errors.objects.axes, measured.axes)
    assert np.array_equal(errors.objects.aspect, measured.axes[:, 0] / measured.axes[:, 2])
    # Two sheets of 20 x 5 and 20 x 10 voxels lie between the borders.
    assert errors.objects["shift"].tolist() == (np.array([200e3, 400e3]) / measured.surface).tolist()
    assert errors.labels["shift"].tolist() == errors.objects["shift"].tolist()
    assert errors.objects.diameter.tolist() == np.cbrt(np.array([1e6, 2e6]) * 6 / math.pi).tolist()
    flat = emfast.compare(truth[7], labels[7], spacing=(10, 10), morphology=True)
    assert {"perimeter", "area", "diameter"} <= set(flat.objects.columns)


def test_morphology_of_volumes_that_are_sliced():
    zarr = pytest.importorskip("zarr")
    made = emfast.phantom.make((12, 40, 50), seed=4)
    truth, labels = made.labels.astype("i4"), np.roll(made.labels, 3, axis=1)
    options = {"spacing": (30, 8, 8), "morphology": True}
    whole, steps = emfast.compare(truth, labels, **options), []
    volumes = [zarr.array(volume, chunks=(5, 16, 16)) for volume in (truth, labels)]
    assert emfast.compare(*volumes, progress=lambda *step: steps.append(step), **options) == whole
    assert emfast.compare(volumes[0], labels, block=(5, 20, 30), **options) == whole
    assert steps[-1] == (3 * truth.size, 3 * truth.size)


@pytest.mark.parametrize("ending", [".npz", ".zarr", ".parquet"])
@pytest.mark.parametrize("background", [0, None])
def test_save_and_load(tmp_path, ending, background):
    if ending != ".npz":
        pytest.importorskip({".zarr": "zarr", ".parquet": "pyarrow"}[ending])
    rng = np.random.default_rng(2)
    truth, labels = rng.integers(-2, 4, (2, 3, 4, 5))
    errors = emfast.compare(
        truth, labels, spacing=(30, 8, 8), ignore=(-2,), background=background, morphology=background == 0
    )
    errors.save(tmp_path / f"errors{ending}")
    assert emfast.Errors.load(tmp_path / f"errors{ending}") == errors
    equal = emfast.compare(labels, labels)
    equal.save(tmp_path / f"none{ending}")
    assert emfast.Errors.load(tmp_path / f"none{ending}") == equal


def test_a_file_that_lacks_a_column_is_refused(tmp_path):
    emfast.compare(np.array([[1, 1, 2]]), np.array([[1, 2, 2]])).save(tmp_path / "errors.npz")
    with np.load(tmp_path / "errors.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "events_cost"}
    np.savez(tmp_path / "errors.npz", **arrays)
    with pytest.raises(ValueError, match=r"must be a file of Errors\.save, but it has no 'events_cost'"):
        emfast.Errors.load(tmp_path / "errors.npz")


def test_tables_for_others(tmp_path):
    errors = emfast.compare(np.array([[1, 1, 2]]), np.array([[1, 2, 2]]))
    errors.events.to_csv(tmp_path / "events.csv")
    lines = (tmp_path / "events.csv").read_text().splitlines()
    assert lines[0].startswith("event,kind,truth,label,voxels") and lines[1].startswith("0,split,1,1,1")
    parquet = pytest.importorskip("pyarrow.parquet")
    errors.events.to_parquet(tmp_path / "events.parquet")
    table = parquet.read_table(tmp_path / "events.parquet")
    assert table.column("kind").to_pylist() == ["split", "merge"]
    assert table.column("point_x").to_pylist() == errors.events.point[:, 1].tolist()


def test_empty():
    for shape in ((0, 3), (2, 0, 2)):
        errors = emfast.compare(np.zeros(shape, int), np.zeros(shape, int))
        assert len(errors.events) == len(errors.objects) == len(errors.labels) == 0
        assert math.isnan(errors.volume_distance)
    errors = emfast.compare(np.ones((2, 2), int), np.zeros((2, 2), int))
    assert errors.events.kind.tolist() == ["missed"] and errors.objects.missed.tolist() == [1]


def test_errors():
    a = np.zeros((2, 3, 4), int)
    with pytest.raises(ValueError, match="spacing must have one number per axis"):
        emfast.compare(a, a, spacing=(1, 1))
    with pytest.raises(ValueError, match="tolerance must be at least 0, got -1"):
        emfast.compare(a, a, tolerance=-1)


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"truth": None}, TypeError, "truth must be an array, got None"),
        ({"labels": None}, TypeError, "labels must be an array, got None"),
        ({"tolerance": 1.5}, TypeError, r"tolerance must be an integer, got 1\.5"),
        ({"tolerance": math.inf}, TypeError, "tolerance must be an integer, got inf"),
        ({"spacing": (1, 1e300)}, ValueError, r"spacing must be from 1e-30 to 1e30, got \(1, 1e\+300\)"),
        ({"spacing": (1, 1e-300)}, ValueError, "spacing must be from 1e-30 to 1e30"),
        ({"spacing": (1, 10**400)}, TypeError, "spacing must be 2 numbers"),
    ],
)
def test_options_are_checked(options, kind, message):
    a = np.array([[1, 1, 2, 2]])
    with pytest.raises(kind, match=message):
        emfast.compare(**({"truth": a, "labels": a} | options))


@pytest.mark.parametrize("nm", [1e-30, 1e30])
def test_the_bounds_of_spacings_are_welcome(nm):
    truth, labels = np.array([[[1, 1, 2, 2]]]), np.array([[[1, 2, 2, 2]]])
    errors = emfast.compare(truth, labels, spacing=(nm, nm, nm), morphology=True)
    for table in (errors.objects, errors.labels):
        assert np.isfinite(table.volume).all() and (table.volume > 0).all()
