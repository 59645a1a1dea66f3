"""emfast.evaluate: protocols against their definitions and published values, cards, intervals."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import emfast
from emfast import metrics
from emfast.compat import cremi
from emfast.metrics import PROTOCOLS

GRADES = {"labels": np.zeros((4, 6), np.float32)}
B_TRUTH = np.array([[int(c) for c in row] for row in ("011122", "011122", "033322", "033300")])
B_LABELS = np.array([[int(c) for c in row] for row in ("555077", "055577", "059977", "099990")])
D_TRUTH = np.array([[int(c) for c in "111111222200"]])
D_LABELS = np.array([[int(c) for c in "333004444004"]])

volumes = st.integers(0, 2**32 - 1).map(
    lambda seed: tuple(np.random.default_rng(seed).integers(0, 4, (2, 2, 5, 6)).astype("u8"))
)


def test_general_has_the_vectors_of_the_field():
    scores = emfast.evaluate(B_TRUTH, B_LABELS)
    assert scores["voi_split"] == pytest.approx(0.4333482810989029, abs=1e-15)
    assert scores["voi_merge"] == pytest.approx(0.2166741405494515, abs=1e-15)
    assert scores["adapted_rand_error"] == pytest.approx(0.1456310679611651, abs=1e-15)
    assert scores["vinfo"] == pytest.approx(0.8080604186103774, abs=1e-15)
    assert scores["pq"] == pytest.approx(0.7797619047619048, abs=1e-15)
    assert scores["aji"] == 16 / 21
    assert scores["accuracy_50"] == scores["f1_50"] == 1
    assert scores["accuracy_75"] == 1 / 5
    assert (scores["objects_truth"], scores["objects_labels"]) == (3, 3)


def test_snemi3d_takes_label_0_as_single_voxels():
    assert emfast.evaluate(D_TRUTH, D_LABELS, protocol="snemi3d")["adapted_rand_error"] == pytest.approx(
        0.45, abs=1e-15
    )


def _cremi_mask(truth, within, spacing):
    """By SciPy, section by section."""
    ndimage = pytest.importorskip("scipy.ndimage")
    kept = np.zeros(truth.shape, bool)
    for z, section in enumerate(truth):
        padded = np.pad(section, 1, mode="edge")
        inner = np.ones(section.shape, bool)
        for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            inner &= neighbour == section
        far = ndimage.distance_transform_edt(inner, sampling=spacing[1:]) if not inner.all() else np.inf
        kept[z] = far > within
    return kept


@given(seed=st.integers(0, 2**32 - 1), within=st.sampled_from([0, 4, 5, 9]))
def test_the_border_of_cremi_is_that_of_its_definition(seed, within):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, (3, 4, 5)).repeat(3, axis=1).repeat(3, axis=2)
    mask = metrics.border_mask(truth, within=within, spacing=(40, 4, 4))
    assert np.array_equal(mask, _cremi_mask(truth, within, (40, 4, 4)))
    assert np.array_equal(metrics.border_mask(truth[0], within=within, spacing=(4, 4)), mask[0])


def test_cremi_counts_what_is_far_from_borders_and_known():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, (2, 3, 3)).repeat(16, axis=1).repeat(16, axis=2).astype("u8")
    truth[0, :10, :10] = 2**64 - 1
    labels = rng.integers(0, 4, truth.shape).astype("u8")
    scores = emfast.evaluate(truth, labels, protocol="cremi", spacing=(40, 4, 4))
    kept = _cremi_mask(truth, 25, (40, 4, 4)) & (truth != 2**64 - 1)
    table = emfast.contingency(truth[kept], labels[kept])
    assert 0 < table.voxels < truth.size
    assert scores.table == table
    assert (scores["voi_split"], scores["voi_merge"]) == tuple(table.voi())
    assert scores["cremi_score"] == pytest.approx(math.sqrt(scores["voi"] * scores["adapted_rand_error"]))
    signed = emfast.evaluate(truth.view("i8"), labels.view("i8"), protocol="cremi", spacing=(40, 4, 4))
    assert signed.scores == scores.scores
    some = rng.random(truth.shape) < 0.5
    part = emfast.evaluate(truth, labels, protocol="cremi", spacing=(40, 4, 4), mask=some)
    assert part.table == emfast.contingency(truth[kept & some], labels[kept & some])


@given(seed=st.integers(0, 2**32 - 1))
def test_cremi_legacy_is_what_cremi_python_computes(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (2, 2, 2)).repeat(16, axis=1).repeat(16, axis=2).astype("u8")
    truth[0, :9, :9] = 2**64 - 1
    labels = rng.integers(0, 4, truth.shape).astype("u8")
    scores = emfast.evaluate(truth, labels, protocol="cremi-legacy", spacing=(40, 4, 4))
    ids = cremi.NeuronIds(cremi.Volume(truth, resolution=(40, 4, 4)), 25)
    found = cremi.Volume(labels, resolution=(40, 4, 4))
    assert (scores["voi_split"], scores["voi_merge"]) == pytest.approx(ids.voi(found), abs=1e-15)
    assert scores["adapted_rand_error"] == pytest.approx(ids.adapted_rand(found), abs=1e-15)


def test_errors_are_those_of_the_voxels_that_count():
    truth = np.repeat([[1, 2]], 40, axis=1).repeat(40, axis=0).astype("u8")
    labels = truth.copy()
    labels[:20, :40] = 9
    truth[30:, :] = 2**64 - 1
    cut = np.ones(truth.shape, bool)
    cut[:, :40] = False
    found = metrics.compare_by("cremi", truth, labels, spacing=(4, 4))
    assert found.events.kind.tolist() == ["split"]
    assert not (found.events.truth == 2**64 - 1).any()
    assert len(metrics.compare_by("cremi", truth, labels, spacing=(4, 4), mask=cut).events) == 0
    assert metrics.compare_by("general", truth, labels) == emfast.compare(truth, labels)
    with pytest.raises(ValueError, match="protocol must take objects"):
        metrics.compare_by("lucchi", truth, labels)


def _warped():
    """The truth of METRICS.md's example, and its four predictions."""
    truth = np.ones((7, 9), np.uint8)
    truth[:, 4] = 0
    filled, cut, shifted, wide = truth.copy(), truth.copy(), np.ones_like(truth), truth.copy()
    filled[2:4, 4] = 1
    cut[3, :5] = 0
    shifted[:, 5] = 0
    wide[:, 3:6] = 0
    return truth, [filled, cut, shifted, wide]


def test_isbi2012_thins_boundaries_before_it_compares():
    truth, predictions = _warped()
    found = [emfast.evaluate(truth, p.astype(np.float32), protocol="isbi2012")["vrand"] for p in predictions]
    assert found == pytest.approx([0.6666666667, 0.8139183056, 0.88, 1.0], abs=1e-10)
    bytes_ = emfast.evaluate(truth, predictions[1] * np.uint8(255), protocol="isbi2012")
    assert bytes_["vrand"] == found[1]
    assert emfast.evaluate(truth, truth.astype(np.float32), protocol="isbi2012")["vinfo"] == 1


def test_isbi2012_takes_the_best_threshold_over_all_sections():
    truth, (filled, *_) = _warped()
    stack = np.stack([truth, truth])
    grades = np.stack([np.where(truth, 0.55, 0.05), np.where(filled, 0.75, 0.05)]).astype(np.float32)
    scores = emfast.evaluate(stack, grades, protocol="isbi2012")
    one = emfast.evaluate(truth, filled.astype(np.float32), protocol="isbi2012")
    assert one["vrand"] < scores["vrand"] < 1
    assert scores["vrand_threshold"] in (0.1, 0.2, 0.3, 0.4, 0.5)


@pytest.mark.parametrize("protocol", ["isbi2012", "isbi2012-warping"])
def test_thresholds_of_isbi2012_can_be_chosen(protocol):
    truth, predictions = _warped()
    grades = np.where(predictions[0], 0.73, 0.05).astype(np.float32)
    fixed = emfast.evaluate(truth, grades, protocol=protocol)
    assert fixed.about["thresholds"] == list(PROTOCOLS[protocol].thresholds)
    same = emfast.evaluate(truth, grades, protocol=protocol, thresholds=fixed.about["thresholds"][::-1])
    assert same.scores == fixed.scores and same.card() == fixed.card()
    one = emfast.evaluate(truth, grades, protocol=protocol, thresholds=[0.95])  # all is boundary
    assert one.about["thresholds"] == [0.95]
    assert one.scores != fixed.scores
    with pytest.raises(ValueError, match="thresholds must be numbers from 0 to 1"):
        emfast.evaluate(truth, grades, protocol=protocol, thresholds=[-1])


def test_isbi2012_warping_has_the_vectors():
    truth, predictions = _warped()
    found = [emfast.evaluate(truth, p.astype(np.float32), protocol="isbi2012-warping") for p in predictions]
    assert [s["warping_left"] for s in found] == [2 / 63, 1 / 63, 0, 0]
    assert [s["warping_error"] for s in found] == [1 / 63, 1 / 63, 0, 0]  # one merger, one split
    assert all(s["pixel_error"] > 0 for s in found)
    assert found[0]["rand_error"] > 0


def test_mitoem_is_coco_s_by_size():
    truth = np.repeat([1, 2, 3, 0], [8, 8, 8, 4])
    labels = np.repeat([1, 2, 3, 4, 0], [5, 9, 10, 3, 1])
    scores = emfast.evaluate(truth[None], labels[None], protocol="mitoem")
    assert scores["ap_mean"] == pytest.approx(0.345545, abs=1e-6)
    assert scores["ap_50"] == 1
    assert scores["ap_75"] == scores["ap_75_small"] == pytest.approx(0.336634, abs=1e-6)
    assert math.isnan(scores["ap_75_medium"])
    accuracy = emfast.evaluate(truth[None], labels[None], protocol="mitoem-accuracy")
    assert accuracy["accuracy_75"] == 1 / 6
    assert accuracy["accuracy_75_small"] == 1 / 6 and math.isnan(accuracy["recall_75_large"])
    nucmm = emfast.evaluate(truth[None], labels[None], protocol="nucmm")
    assert nucmm["ap_75"] == scores["ap_75"]


def test_mitoem_accuracy_has_ranges_of_sizes():
    """Found: one of 5000 voxels, one of 15001 by a segment of 15000; missed: one of 15000."""
    truth = np.repeat([1, 2, 3, 0], [5000, 15000, 15001, 999])
    labels = np.repeat([1, 0, 3, 0], [5000, 15000, 15000, 1000])
    scores = emfast.evaluate(truth[None], labels[None], protocol="mitoem-accuracy")
    assert [scores[f"recall_75_{size}"] for size in ("small", "medium", "large")] == [1, 0, 1]
    assert scores["precision_75_small"] == scores["precision_75_medium"] == 1
    assert scores["recall_75"] == 2 / 3


def test_mitoem_orders_by_size_where_no_scores_are_given():
    truth = np.repeat([1, 2, 0], [8, 8, 9])
    labels = np.repeat([1, 2, 9], [8, 8, 9])
    scores = emfast.evaluate(truth[None], labels[None], protocol="mitoem")
    table = emfast.contingency(truth, labels)
    given = {"rule": "mitoem", "bounds": (5000, 15000)}
    sizes = metrics.score_ordered_precision(table, scores={1: 8, 2: 8, 9: 9}, **given)
    best = metrics.score_ordered_precision(table, scores={1: 0.9, 2: 0.8, 9: 0.1}, **given)
    assert scores["ap_75"] == sizes.at(0.75)[0] < best.at(0.75)[0] == 1


def test_calls_for_challenges_without_a_protocol_run():
    text = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text.split("## Which call for which challenge")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(blocks) == 4
    found: dict = {}
    for block in blocks:
        exec(block, found)
    assert found["runs"].erl == pytest.approx(50 / 9)
    assert found["nerl"] == pytest.approx(50 / 9 / (290 / 9))
    assert found["partners"].f1 == pytest.approx(2 / 3)
    assert found["instance"] == pytest.approx(math.sqrt(found["f1"] * found["closeness"]))
    assert 0 < found["xpress"].erl_rand < 1


@pytest.mark.parametrize("protocol", ["lucchi", "kasthuri", "urocell"])
def test_masks_are_compared_voxel_by_voxel(protocol):
    truth = np.zeros((12, 12, 12), np.uint8)
    labels = truth.copy()
    truth[2:7, 2:7, 2:7] = 7
    labels[2:7, 2:7, 4:10] = 255
    scores = emfast.evaluate(truth, labels, protocol=protocol)
    assert scores["iou"] == 75 / 200
    assert scores["dice"] == 150 / 275
    assert scores["voc"] == (75 / 200 + 1528 / 1653) / 2
    kept = np.zeros_like(truth)
    kept[2:7] = 1
    inside = emfast.evaluate(truth, labels, protocol=protocol, mask=kept)
    assert inside["iou"] == 75 / 200 and inside["tnr"] < scores["tnr"]
    assert emfast.evaluate(truth, (labels / 255).astype(np.float16), protocol=protocol).scores == scores.scores


def test_platelets_are_the_mean_over_organelles():
    truth = np.array([[0, 1, 2, 2, 3, 3, 6]])
    labels = np.array([[1, 1, 2, 3, 3, 3, 4]])
    scores = emfast.evaluate(truth, labels, protocol="platelet")
    assert (scores["iou_2"], scores["iou_3"], scores["iou_6"]) == (1 / 2, 2 / 3, 0)
    assert scores["mean_iou"] == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_clefts_are_measured_in_nanometres():
    truth = np.full((1, 1, 6), 2**64 - 1, np.uint64)
    labels = truth.copy()
    truth[..., 0], labels[..., 5] = 1, 9
    scores = emfast.evaluate(truth, labels, protocol="cremi-clefts", spacing=(40, 4, 100))
    assert (scores["adgt"], scores["adf"], scores["cremi_clefts"], scores["false_positives"]) == (500, 500, 500, 1)
    plain = emfast.evaluate(truth == 1, labels == 9, protocol="cremi-clefts", spacing=(40, 4, 100))
    assert plain.scores == scores.scores
    signed = emfast.evaluate(truth.view("i8"), labels.view("i8"), protocol="cremi-clefts", spacing=(40, 4, 100))
    assert signed.scores == scores.scores
    nothing = emfast.evaluate(truth, np.full_like(truth, 2**64 - 1), protocol="cremi-clefts", spacing=(40, 4, 100))
    assert nothing["cremi_clefts"] == math.inf


PERFECT = {
    "voi": 0,
    "adapted_rand_error": 0,
    "cremi_score": 0,
    "pq": 1,
    "aji": 1,
    "accuracy_50": 1,
    "iou": 1,
    "vrand": 1,
}


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@given(volumes=volumes)
def test_equal_volumes_are_perfect_and_scores_are_in_bounds(protocol, volumes):
    truth, labels = (v.repeat(16, axis=1).repeat(16, axis=2) for v in volumes)
    if PROTOCOLS[protocol].takes == "probability":
        truth, labels = (truth > 1).astype("u1"), (labels > 1).astype("f4")
    spacing = (40, 4, 4)
    found = emfast.evaluate(truth, truth.astype(labels.dtype), protocol=protocol, spacing=spacing)
    nothing = not truth.any() or (found.table is not None and found.table.empty)
    for name, value in PERFECT.items():
        if name in found and not (protocol == "cremi-legacy" and name != "voi"):  # its error is not 0
            assert found[name] == value or (nothing and math.isnan(found[name]))
    other = emfast.evaluate(truth, labels, protocol=protocol, spacing=spacing)
    assert all(math.isnan(v) or v >= 0 for v in other.scores.values())
    assert list(other) == list(found) or protocol == "platelet"
    assert json.loads(other.to_json())["protocol"] == protocol


@given(volumes=volumes, seed=st.integers(0, 99))
def test_names_of_objects_do_not_matter(volumes, seed):
    truth, labels = volumes
    rng = np.random.default_rng(seed)
    names = np.r_[0, np.sort(rng.choice(10**6, 3, replace=False)) + 1].astype("u8")  # ties of AJI go by id
    for protocol in ("general", "snemi3d", "mitoem-accuracy"):
        assert emfast.evaluate(truth, names[labels], protocol=protocol).scores == pytest.approx(
            emfast.evaluate(truth, labels, protocol=protocol).scores, nan_ok=True, rel=1e-14
        )


class Sliced:
    """A volume that can only be sliced."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, box):
        return self.array[box]


@given(volumes=volumes)
def test_volumes_may_be_read_in_blocks(volumes):
    truth, labels = volumes
    whole = emfast.evaluate(truth, labels)
    parts = emfast.evaluate(Sliced(truth), Sliced(labels), block=(1, 3, 4))
    assert parts.table == whole.table
    assert parts.about["table_sha256"] == whole.about["table_sha256"]
    assert "truth_sha256" in whole.about and "truth_sha256" not in parts.about
    options = {"protocol": "cremi", "spacing": (40, 4, 4)}
    far = emfast.evaluate(truth, labels, mask=truth > 0, **options)
    assert emfast.evaluate(Sliced(truth), Sliced(labels), mask=Sliced(truth > 0), **options).table == far.table
    masks = emfast.evaluate(truth, labels, protocol="lucchi")
    assert emfast.evaluate(Sliced(truth), Sliced(labels), protocol="lucchi").scores == masks.scores


@given(truth=hnp.arrays(bool, (4, 5)), grades=hnp.arrays(np.uint8, (4, 5)))
def test_thresholds_give_a_curve_and_the_best(truth, grades):
    thresholds = [0.2, 0.5, 0.75]
    scores = emfast.evaluate(truth, grades, protocol="lucchi", thresholds=thresholds)
    each = [emfast.evaluate(truth, grades > t * 255, protocol="lucchi")["iou"] for t in thresholds]
    assert np.array_equal(scores.curve["iou"], each, equal_nan=True)
    known = [iou for iou in each if not math.isnan(iou)]
    assert scores["iou"] == max(known) if known else math.isnan(scores["iou"])
    floats = emfast.evaluate(truth, grades / np.float64(255), protocol="lucchi", thresholds=thresholds)
    assert floats.scores == pytest.approx(scores.scores, nan_ok=True)


def test_intervals_hold_the_score_and_are_the_same_every_time():
    made = emfast.phantom.make((16, 64, 64), seed=3)
    labels = emfast.watershed(made.affinities, low=0.2)
    once, again = (emfast.evaluate(made.labels, labels, bootstrap=40, block=(8, 16, 16)) for _ in range(2))
    assert once.intervals == again.intervals
    assert once.table == emfast.evaluate(made.labels, labels).table
    for name in ("voi", "adapted_rand_error", "voi_split"):
        low, high = once.intervals[name]
        assert low < once[name] < high
        assert high - low < once[name]
    more = emfast.evaluate(made.labels, labels, bootstrap=40, block=(16, 32, 64))
    assert more.intervals["voi"] != once.intervals["voi"]
    perfect = emfast.evaluate(made.labels, made.labels, protocol="snemi3d", bootstrap=5)
    assert perfect.intervals["adapted_rand_error"] == (0, 0)


def test_intervals_are_of_scores_that_blocks_do_not_cut_and_within_their_range():
    rng = np.random.default_rng(1)
    truth = np.kron(np.arange(1, 65).reshape(4, 4, 4), np.ones((4, 4, 4), int))
    labels = np.where(rng.random(truth.shape) < 0.02, truth % 3, truth)
    scores = emfast.evaluate(truth, labels, bootstrap=30, block=(4, 4, 4))
    assert set(scores.intervals) == {
        "voi_split",
        "voi_merge",
        "voi",
        "adapted_rand_error",
        "rand_split",
        "rand_merge",
        "vinfo",
    }
    for name, (low, high) in scores.intervals.items():
        assert 0 <= low <= scores[name] <= high
        assert high <= 1 or name.startswith("voi")
    mask = emfast.evaluate(truth > 60, labels > 60, protocol="lucchi", bootstrap=30, block=(4, 4, 4))
    assert set(mask.intervals) == set(mask)
    assert all(0 <= low <= mask[name] <= high <= 1 for name, (low, high) in mask.intervals.items())
    for protocol in ("mitoem", "mitoem-accuracy", "nucmm"):
        with pytest.raises(ValueError, match="bootstrap needs a protocol with scores of voxels"):
            emfast.evaluate(truth, labels, protocol=protocol, bootstrap=3)


def test_a_bootstrap_tells_how_far_it_is():
    calls = []
    truth = np.arange(64).reshape(4, 4, 4)
    emfast.evaluate(truth, truth, bootstrap=3, block=(2, 4, 4), progress=lambda *done: calls.append(done))
    assert calls == [(32, 64), (64, 64), (1, 3), (2, 3), (3, 3)]


def test_a_curve_is_on_the_card():
    truth, labels = np.array([[0, 1, 1, 1]]), np.array([[0.1, 0.4, 0.6, 0.9]])
    scores = emfast.evaluate(truth, labels, protocol="lucchi", thresholds=[0.3, 0.5])
    card = json.loads(scores.to_json())
    assert card["curve"]["threshold"] == [0.3, 0.5]
    assert card["curve"]["iou"] == [1, 2 / 3]
    assert "curve" not in json.loads(emfast.evaluate(truth, truth).to_json())


def test_masks_of_torch_count_too():
    torch = pytest.importorskip("torch")
    truth, labels = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 2]])
    mask = np.array([[True, True, False, True]])
    expected = emfast.evaluate(truth, labels, mask=mask)
    found = emfast.evaluate(torch.from_numpy(truth), torch.from_numpy(labels), mask=torch.from_numpy(mask))
    assert found.scores == expected.scores
    with pytest.raises(TypeError, match="mask must"):
        emfast.evaluate(torch.from_numpy(truth), torch.from_numpy(labels), mask=torch.ones(1, 4))


def test_clefts_have_no_errors_of_objects():
    with pytest.raises(ValueError, match="protocol must take objects"):
        emfast.metrics.compare_by("cremi-clefts", np.ones((2, 2), int), np.ones((2, 2), int), spacing=(4, 4))


def test_a_cremi_score_of_nothing_has_no_value():
    truth = np.ones((1, 8, 8), np.uint8)
    truth[:, :, 4:] = 2
    for protocol in ("cremi", "cremi-legacy"):  # all is within 25 nm of the border
        scores = emfast.evaluate(truth, truth, protocol=protocol, spacing=(40, 4, 4))
        assert all(np.isnan(value) for value in scores.values())


def test_a_card_says_what_a_number_means():
    scores = emfast.evaluate(B_TRUTH, B_LABELS, spacing=(4, 4))
    card = json.loads(scores.to_json())
    assert card["scores"] == scores.scores
    assert card["emfast"] == emfast.__version__
    assert card["conventions"] == list(PROTOCOLS["general"].conventions)
    assert card["spacing_nm"] == [4, 4]
    assert card["truth_sha256"] == emfast.evaluate(np.asfortranarray(B_TRUTH), B_LABELS).about["truth_sha256"]
    assert card["truth_sha256"] != card["labels_sha256"]
    assert "| aji | 0.761905 |" in scores.to_markdown()
    assert "aji" in repr(scores) and len(scores) == len(list(scores))
    empty = emfast.evaluate(np.zeros((2, 2), int), np.zeros((2, 2), int))
    assert json.loads(empty.to_json())["scores"]["aji"] == "nan"
    assert "truth_sha256" not in emfast.evaluate(B_TRUTH, B_LABELS, checksums=False).about


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"protocol": "cremy"}, ValueError, "protocol must be one of general, cremi"),
        ({"protocol": "cremi"}, ValueError, "spacing must be given for the protocol cremi"),
        ({"labels": np.zeros((2, 3), int)}, ValueError, r"labels must have the shape of truth \(4, 6\), got \(2, 3\)"),
        ({"truth": np.zeros(3, int), "labels": np.zeros(3, int)}, ValueError, "truth must be 2D or 3D"),
        ({"spacing": (1, 2, 3)}, ValueError, "spacing"),
        ({"thresholds": [0.5]}, ValueError, "thresholds are for the protocols that take masks"),
        ({"thresholds": [2], "protocol": "lucchi"}, ValueError, "thresholds must be numbers from 0 to 1"),
        ({"thresholds": [], "protocol": "lucchi"}, ValueError, "thresholds must be numbers from 0 to 1"),
        ({"bootstrap": -1}, ValueError, "bootstrap must be at least 0"),
        ({"bootstrap": 1}, ValueError, "bootstrap must be 0 or at least 2"),
        ({"bootstrap": 2.5}, TypeError, "bootstrap must be an integer"),
        ({"bootstrap": 2, "block": (4, 6)}, ValueError, "block must be so small"),
        ({"bootstrap": 2, "block": (-1, 2)}, ValueError, "block must be a positive number"),
        ({"bootstrap": 2, "block": (2,)}, ValueError, "block must be a positive number"),
        ({"bootstrap": 3, "protocol": "isbi2012"} | GRADES, ValueError, "bootstrap needs a protocol whose scores come"),
        ({"block": (2, 2), "protocol": "isbi2012"} | GRADES, ValueError, "block needs a protocol whose scores come of"),
        ({"mask": np.ones((4, 6), int), "protocol": "isbi2012"} | GRADES, ValueError, "mask must be left out"),
        ({"mask": np.ones((4, 6))}, TypeError, "mask must be bool or integers, got float64"),
        ({"mask": np.ones((2, 6), int)}, ValueError, r"mask must have the shape of truth \(4, 6\), got \(2, 6\)"),
        ({"mask": True, "protocol": "cremi", "spacing": (4, 4)}, ValueError, "mask must have the shape of truth"),
        (
            {"protocol": "isbi2012", "labels": B_LABELS.astype("u2")},
            TypeError,
            "labels must be a probability, in floats",
        ),
        (
            {"protocol": "isbi2012", "labels": np.full((4, 6), np.nan)},
            ValueError,
            r"labels must not be NaN, but are at",
        ),
        ({"protocol": "lucchi", "labels": np.full((4, 6), np.nan)}, ValueError, r"labels must not be NaN, but are at"),
        (
            {"protocol": "lucchi", "labels": B_LABELS.astype("u2"), "thresholds": [0.5]},
            TypeError,
            "labels must be floats or uint8 where thresholds are given, got uint16",
        ),
        ({"labels": B_LABELS / 2}, TypeError, "labels must be"),
    ],
)
def test_errors_name_the_argument(options, error, match):
    given_arrays = {"truth": B_TRUTH, "labels": B_LABELS} | {k: options[k] for k in ("truth", "labels") if k in options}
    rest = {k: v for k, v in options.items() if k not in given_arrays}
    with pytest.raises(error, match=match):
        emfast.evaluate(given_arrays["truth"], given_arrays["labels"], **rest)
