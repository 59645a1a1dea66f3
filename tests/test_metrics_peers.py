"""Scores beside those of installed peers, score by score, on made-up tissue.

=============================================  ======================================================================
scores                                         peers
=============================================  ======================================================================
VOI, Rand, adapted Rand, CREMI, by object      elf, scikit-image, scikit-learn (test_compat_waterz: waterz)
V-Rand, V-Info, ISBI 2012                      elf, scikit-learn, scikit-image's watershed
precision … pixel error, mean IoU, curves      MONAI, scikit-learn
accuracy, F1, AP at IoU, counts, by size       StarDist, elf (test_metrics_detection: pycocotools)
PQ, SQ, RQ; best Dice                          MONAI, StarDist (test_metrics_matching: torchmetrics); elf
Hausdorff, HD95, ASSD, surface Dice            MONAI, DeepMind's surface-distance (test_metrics_surfaces: scikit-image)
boundaries, clefts, partners, tolerant edits   built of scikit-image, SciPy, scikit-learn, edt
clDice; warping                                MONAI; scikit-image's Euler number
=============================================  ======================================================================

AJI has peers that cannot be declared: cellpose asks for torchvision, OpenCV and segment_anything, and
cellseg_models.pytorch for timm, rasterio and more. Their tests run where these are installed by hand; elsewhere, and
for AJI+, the vectors of test_metrics_matching stand. Not on the package index, and so present as pinned vectors alone,
are funlib.evaluate and em_erl (expected run length), cremi_python, gala, HoVer-Net, Fiji and segascorus.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import metrics
from emfast.metrics import contingency, surface_distances

SPACING = (30.0, 8.0, 4.0)
SEEDS = range(6)
peer = pytest.importorskip
# MONAI warns of an argument that it gives itself.
pytestmark = pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")


def tissue(seed, shape=(6, 22, 26), membrane=6.0, ids=np.int64):
    """Cells around random points with membrane between, and a segmentation with every kind of error."""
    rng = np.random.default_rng(seed)
    spacing = SPACING[-len(shape) :]
    places = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"), -1)
    points = rng.random((rng.integers(4, 14), len(shape))) * places.reshape(-1, len(shape)).max(0)

    def cells(points):
        apart = np.sort(np.linalg.norm(places[..., None, :] - points, axis=-1), axis=-1)
        nearest = np.linalg.norm(places[..., None, :] - points, axis=-1).argmin(-1) + 1
        return np.where(apart[..., 1] - apart[..., 0] < membrane, 0, nearest)

    truth = cells(points)
    moved = np.concatenate([points, rng.random((2, len(shape))) * points.max(0)])  # two cells more: splits
    labels = cells(moved + rng.normal(0, 4, moved.shape))
    labels[labels == 1] = 2  # merged
    labels[labels == 3] = 0  # lost
    truth[truth == 4] = 0  # made up
    return truth.astype(ids), (labels + 100 * (labels > 0)).astype(ids)


def close(value, tolerance=1e-12):
    return pytest.approx(value, rel=tolerance, abs=tolerance, nan_ok=True)


def singles(labels, first=10**6):
    """Each voxel with label 0 becomes a segment of its own."""
    labels = labels.copy()
    alone = labels == 0
    labels[alone] = first + np.arange(alone.sum())
    return labels


# Partitions


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dropped", [None, [0]])
def test_partitions_are_elfs(seed, dropped):
    elf = peer("elf.evaluation")
    truth, labels = tissue(seed, ids=np.uint64)
    table = contingency(truth, labels, ignore=dropped or ())
    arguments = (labels, truth, None, dropped)
    for bits, unit in ((True, "bits"), (False, "nats")):
        assert tuple(table.voi(unit=unit)) == close(elf.variation_of_information(*arguments, use_log2=bits))
    error, index = elf.rand_index(*arguments)
    assert table.adapted_rand().error == close(error)
    assert table.vrand().f == close(1 - error)
    assert table.rand(form="ordered").index == close(index)
    split, merge, error, score = elf.cremi_score(*arguments)
    assert (*table.voi(), table.adapted_rand().error, table.cremi_score()) == close((split, merge, error, score))
    objects = metrics.voi_per_object(table)
    for i, (by_labels, alone) in elf.object_vi(*arguments).items():
        row = objects.truth.tolist().index(i)
        # What elf calls the merge of an object is how far segments cut it.
        assert objects.split_alone[row] == close(alone)
        assert by_labels >= 0 and objects.voxels[row] == (truth == i).sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_partitions_are_scikit_learns(seed):
    theirs = peer("sklearn.metrics")
    truth, labels = (volume.ravel() for volume in tissue(seed))
    table = contingency(truth, labels)
    assert table.rand().index == close(theirs.rand_score(truth, labels))
    assert table.adjusted_rand_index() == close(theirs.adjusted_rand_score(truth, labels))
    for alpha in (0.5, 0.2, 0.9):
        homogeneity, completeness, v = theirs.homogeneity_completeness_v_measure(
            truth, labels, beta=(1 - alpha) / alpha
        )
        assert tuple(table.vinfo(alpha=alpha)) == close((completeness, homogeneity, v))
    shared = theirs.mutual_info_score(truth, labels)
    parts = metrics.entropies(table, unit="nats")
    assert parts.truth + parts.labels - parts.joint == close(shared)
    found = metrics.normalised_voi(table)
    assert found.distance == close(1 - theirs.normalized_mutual_info_score(truth, labels, average_method="max"))
    assert found.total == close(1 - shared / parts.joint)
    (apart, _), (_, together) = theirs.pair_confusion_matrix(truth, labels).tolist()
    sides = [np.sum(np.unique(side, return_counts=True)[1] ** 2) - len(truth) for side in (truth, labels)]
    assert table.adapted_rand("pairs") == close((1 - 2 * together / sum(sides), *(together / s for s in sides)))
    assert table.rand().index == close((apart + together) / (len(truth) * (len(truth) - 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_label_0_as_single_voxels_is_a_segment_each(seed):
    elf, skimage = peer("elf.evaluation"), peer("skimage.metrics")
    truth, labels = tissue(seed, ids=np.uint64)
    alone = singles(labels)
    table = contingency(truth, labels, ignore=0)
    error, _ = elf.rand_index(alone, truth, None, [0])
    assert table.adapted_rand("singletons").error == close(error)
    assert contingency(truth, labels).adapted_rand("snemi3d").error == close(error)
    assert emfast.evaluate(truth, labels, protocol="snemi3d")["adapted_rand_error"] == close(error)
    assert table.vrand(label_zero="singletons").f == close(1 - error)
    assert tuple(table.voi(label_zero="singletons")) == close(elf.variation_of_information(alone, truth, ignore_gt=[0]))
    paired = skimage.adapted_rand_error(truth.astype(np.int64), alone.astype(np.int64), ignore_labels=(0,))
    assert tuple(table.adapted_rand("pairs+singletons")) == close(paired)
    kept = labels != 0
    assert tuple(table.voi(label_zero="ignore")) == close(
        elf.variation_of_information(labels[kept], truth[kept], ignore_gt=[0])
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_isbi2012_is_watershed_and_v_rand(seed):
    """Each threshold by scikit-image's watershed and elf's Rand error, the best of them."""
    elf, ndimage = peer("elf.evaluation"), peer("scipy.ndimage")
    watershed = peer("skimage.segmentation").watershed
    truth, labels = tissue(seed, shape=(40, 44))
    rng = np.random.default_rng(seed)
    probability = ndimage.gaussian_filter((labels > 0) + rng.normal(0, 0.4, labels.shape), 1).clip(0, 1)
    objects = ndimage.label(truth)[0].astype(np.uint64)
    best, shared = -1.0, -1.0
    for threshold in np.arange(11) / 10:
        inside = probability > threshold
        parts = watershed(~inside, ndimage.label(inside)[0], connectivity=1, watershed_line=True)
        alone = singles(parts).astype(np.uint64)
        best = max(best, 1 - elf.rand_index(alone, objects, None, [0])[0])
        kept = objects != 0
        shared = max(shared, peer("sklearn.metrics").v_measure_score(objects[kept], alone[kept]))
    found = emfast.evaluate((truth != 0).astype(np.uint8), probability, protocol="isbi2012")
    assert (found["vrand"], found["vinfo"]) == close((best, shared), 1e-9)
    assert best > 0.3


# Masks and classes


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_are_monais(seed):
    torch, monai = peer("torch"), peer("monai.metrics")
    truth, labels = (volume > 0 for volume in tissue(seed))
    ours = contingency(truth, labels).binary()
    batch = [torch.tensor(mask, dtype=torch.float32)[None, None] for mask in (labels, truth)]
    counts = monai.get_confusion_matrix(*batch)
    assert counts.flatten().tolist() == [ours.tp, ours.fp, ours.tn, ours.fn]
    for name, value in (
        ("precision", ours.precision),
        ("recall", ours.recall),
        ("specificity", ours.tnr),
        ("f1 score", ours.f1),
        ("threat score", ours.iou),
        ("accuracy", ours.accuracy),
    ):
        assert value == close(monai.compute_confusion_matrix_metric(name, counts).item(), 1e-6)
    assert ours.pixel_error == close((labels != truth).mean())
    dice = monai.compute_dice(*batch).item()
    assert ours.f1 == close(dice, 1e-6) and ours.conformity == close(3 - 2 / dice, 1e-5)
    assert ours.iou == close(monai.compute_iou(*batch).item(), 1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_classes_and_curves_are_scikit_learns(seed):
    theirs = peer("sklearn.metrics")
    truth, labels = (volume.ravel() % 4 for volume in tissue(seed))
    table = contingency(truth, labels)
    classes = metrics.per_class(table)
    assert classes.iou == close(theirs.jaccard_score(truth, labels, average=None))
    assert metrics.mean_iou(table) == close(theirs.jaccard_score(truth, labels, average="macro"))
    for name, matrix in zip(classes.label, theirs.multilabel_confusion_matrix(truth, labels), strict=True):
        row = metrics.binary(table, int(name))
        assert matrix.tolist() == [[row.tn, row.fp], [row.fn, row.tp]]
    both = theirs.precision_recall_fscore_support(truth, labels, average=None, zero_division=np.nan)
    assert (classes.precision, classes.recall, classes.f1) == (close(both[0]), close(both[1]), close(both[2]))
    inside, grades = truth > 0, np.random.default_rng(seed).integers(0, 256, truth.shape).astype(np.uint8)
    precision, recall, thresholds = theirs.precision_recall_curve(inside, grades)
    curve = metrics.threshold_curve(contingency(inside, grades))
    assert curve.threshold.tolist() == thresholds.tolist()
    assert curve.precision == close(precision[:-1]) and curve.recall == close(recall[:-1])


# Objects


@pytest.mark.parametrize("seed", SEEDS)
def test_detections_are_stardists(seed):
    theirs = peer("stardist.matching")
    truth, labels = tissue(seed)
    table, thresholds = contingency(truth, labels), [0.1, 0.3, 0.5, 0.55, 0.7, 0.8, 0.9]
    ours = table.average_precision(thresholds=thresholds)
    for k, found in enumerate(theirs.matching(truth, labels, thresh=thresholds)):
        assert (found.tp, found.fp, found.fn) == (
            ours.true_positives[k],
            ours.false_positives[k],
            ours.false_negatives[k],
        )
        for name in ("precision", "recall", "f1", "accuracy"):
            value = getattr(ours, name)[k]
            assert value == getattr(found, name)
        mean = table.match(threshold=thresholds[k]).mean_iou
        # As many pairs in any case. Below 1/2 their solver also looks at pairs that do not count.
        assert mean == close(found.mean_matched_score, 1e-6) or (
            thresholds[k] < 0.5 and mean > found.mean_matched_score
        )
    assert table.panoptic(strict=False).pq == close(theirs.matching(truth, labels).panoptic_quality, 1e-6)


@given(seed=st.integers(0, 2**32 - 1), side=st.integers(0, 2))
def test_detections_of_noise_are_stardists(seed, side):
    """Small objects have many equal overlaps, and either side may be empty."""
    theirs = peer("stardist.matching")
    rng = np.random.default_rng(seed)
    truth, labels = rng.integers(0, 5, (2, 4, 9))
    if side < 2:
        (truth, labels)[side][...] = 0
    table, thresholds = contingency(truth, labels), [0.2, 0.25, 0.5, 0.75]
    ours = table.average_precision(thresholds=thresholds, empty=0)
    for k, found in enumerate(theirs.matching(truth, labels, thresh=thresholds)):
        assert (found.tp, found.fp, found.fn) == (
            ours.true_positives[k],
            ours.false_positives[k],
            ours.false_negatives[k],
        )
        assert (ours.accuracy[k], ours.f1[k]) == (found.accuracy, found.f1)


@pytest.mark.parametrize("seed", SEEDS)
def test_detections_by_size_are_those_of_its_objects(seed):
    theirs, measure = peer("stardist.matching"), peer("skimage.measure")
    truth, labels = tissue(seed)
    bounds = [150, 300]
    ours = metrics.by_size(contingency(truth, labels), bounds, threshold=0.6)
    found = theirs.matching(truth, labels, thresh=0.6, report_matches=True)
    taken = [found.matched_pairs[k] for k in found.matched_tps]
    for volume, side, name in ((truth, 0, "truth"), (labels, 1, "labels")):
        sizes = {region.label: int(region.num_pixels) for region in measure.regionprops(volume)}
        classes = np.searchsorted(bounds, list(sizes.values()))
        assert ours[name].tolist() == np.bincount(classes, minlength=3).tolist()
        matched = np.searchsorted(bounds, [sizes[pair[side]] for pair in taken]).astype(int)
        assert ours[f"{name}_matched"].tolist() == np.bincount(matched, minlength=3).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_are_elfs(seed):
    elf = peer("elf.evaluation")
    truth, labels = tissue(seed, ids=np.uint64)
    table = contingency(truth, labels)
    for threshold in (0.3, 0.5, 0.6, 0.75):
        theirs, ours = elf.matching(labels, truth, threshold=threshold), table.match(threshold=threshold)
        assert (ours.precision, ours.recall, ours.f1) == close([theirs[k] for k in ("precision", "recall", "f1")])
    ours = table.average_precision()
    thresholds = [float(t) for t in ours.thresholds]  # elf's own are 0.7000000000000001 and the like
    mean, each = elf.mean_segmentation_accuracy(labels, truth, thresholds=thresholds, return_accuracies=True)
    assert ours.mean == close(mean) and ours.accuracy == close(np.array(each))
    assert metrics.best_dice(table).symmetric == close(elf.symmetric_best_dice_score(labels, truth), 1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_panoptic_quality_is_monais(seed):
    """MONAI adds 1e-6 to what it divides by; its counts are exact."""
    torch, monai = peer("torch"), peer("monai.metrics.panoptic_quality")
    truth, labels = tissue(seed)
    table = contingency(truth, labels)
    pair = [torch.tensor(volume) for volume in (labels, truth)]
    ours = table.panoptic()
    counts = monai.compute_panoptic_quality(*pair, output_confusion_matrix=True).tolist()
    assert counts[:3] == [ours.true_positives, ours.false_positives, ours.false_negatives]
    assert ours.iou_sum == close(counts[3], 1e-6)
    for name in ("pq", "sq", "rq") if ours.true_positives else ():
        theirs = monai.compute_panoptic_quality(*pair, metric_name=name, smooth_numerator=0).item()
        assert getattr(ours, name) == close(theirs, 1e-6)
    stricter = table.panoptic(threshold=0.7)
    counts = monai.compute_panoptic_quality(*pair, match_iou_threshold=0.7, output_confusion_matrix=True).tolist()
    assert counts[:3] == [stricter.true_positives, stricter.false_positives, stricter.false_negatives]


@pytest.mark.parametrize("seed", SEEDS)
def test_aji_is_cellposes(seed):
    """Not among the development requirements: cellpose asks for torchvision, OpenCV and a package of weights. What
    it measures takes ``pip install --no-deps cellpose opencv-python-headless``."""
    theirs = peer("cellpose.metrics", reason="cellpose is installed by hand alone")
    # cellpose needs ids without gaps.
    truth, labels = (np.unique(v, return_inverse=True)[1].reshape(v.shape) for v in tissue(seed))
    expected = theirs.aggregated_jaccard_index([truth], [labels])[0]
    assert contingency(truth, labels).aji(variant="cellpose") == close(expected)
    thresholds = [0.3, 0.5, 0.75]
    found = contingency(truth, labels).average_precision(thresholds=thresholds)
    wanted = theirs.average_precision([truth], [labels], threshold=thresholds)
    counts = (found.accuracy, found.true_positives, found.false_positives, found.false_negatives)
    assert all(ours.tolist() == close(part[0], 1e-6) for ours, part in zip(counts, wanted, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_aji_is_that_of_cellseg_models(seed):
    """Not among the development requirements: the package asks for some twenty others, torchvision and timm among them.
    What it measures takes ``pip install --no-deps cellseg-models.pytorch``. Of each object it takes the segment of
    the largest overlap, or all such, not that of the largest IoU as the paper does: so pictures where it is one."""
    theirs = peer("cellseg_models_pytorch.metrics", reason="cellseg_models.pytorch is installed by hand alone")
    truth, labels = tissue(seed, shape=(40, 44))
    table = contingency(truth, labels)
    assert metrics.ensemble_dice(table) == close(theirs.dice2(truth, labels), 1e-7)
    overlap, extra, lost = theirs.pairwise_pixel_stats(truth, labels)
    largest = overlap == np.maximum(overlap.max(1, keepdims=True), 1)
    chosen = (overlap / (overlap + extra + lost).clip(1)).argmax(1) == overlap.argmax(1)
    if chosen.all() and (largest.sum(1) <= 1).all():
        assert table.aji() == close(theirs.aggregated_jaccard_index(truth, labels), 1e-7)


# Surfaces


def masks(seed, shape=(6, 22, 26)):
    """An object and its segmentation, some of them at the border of the volume."""
    truth, labels = tissue(seed, shape=shape)
    rng = np.random.default_rng(seed)
    return truth == rng.choice(truth[truth > 0]), (labels == rng.choice(labels[labels > 0])) | (labels == 102)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shape", [(6, 22, 26), (40, 44)])
def test_distances_of_voxels_are_monais(seed, shape):
    """In float32 on their side."""
    torch, monai = peer("torch"), peer("monai.metrics")
    truth, labels = masks(seed, shape)
    spacing = SPACING[-len(shape) :]
    batch = [torch.tensor(mask)[None, None] for mask in (labels, truth)]
    options = dict(include_background=True, spacing=spacing)
    found = surface_distances(truth, labels, spacing=spacing)
    for percentile in (None, 95, 50, 12.5):
        theirs = monai.compute_hausdorff_distance(*batch, percentile=percentile, **options).item()
        assert found.hausdorff(1 if percentile is None else percentile / 100) == close(theirs, 1e-4)
    one_way = monai.compute_hausdorff_distance(*batch, directed=True, percentile=95, **options).item()
    assert found.from_labels.quantile(0.95) == close(one_way, 1e-4)
    for symmetric, kind in ((True, "pooled"), (False, "labels")):
        theirs = monai.compute_average_surface_distance(*batch, symmetric=symmetric, **options).item()
        assert found.mean(kind) == close(theirs, 1e-5)
    for tolerance in (0.0, 4.0, 9.0, 33.0):
        theirs = monai.compute_surface_dice(*batch, class_thresholds=[tolerance], **options).item()
        assert found.overlap(tolerance).dice == close(theirs, 1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_of_objects_are_monais_channels(seed):
    torch, monai = peer("torch"), peer("monai.metrics")
    truth, labels = tissue(seed)
    pairs = contingency(truth, labels).match(threshold=0.2)
    assert len(pairs) > 0
    stacks = [
        torch.tensor(np.stack([volume == i for i in ids]))[None]
        for volume, ids in ((labels, pairs.labels), (truth, pairs.truth))
    ]
    options = dict(include_background=True, spacing=SPACING)
    table = metrics.object_distances(
        truth, labels, np.stack([pairs.truth, pairs.labels], 1), spacing=SPACING, tolerance=9
    )
    columns = {
        "hausdorff": monai.compute_hausdorff_distance(*stacks, **options),
        "hausdorff_95": monai.compute_hausdorff_distance(*stacks, percentile=95, **options),
        "mean": monai.compute_average_surface_distance(*stacks, symmetric=True, **options),
        "mean_from_labels": monai.compute_average_surface_distance(*stacks, **options),
        "surface_dice": monai.compute_surface_dice(*stacks, class_thresholds=[9.0] * len(pairs), **options),
    }
    for name, theirs in columns.items():
        assert table[name] == close(theirs[0].numpy(), 1e-4)


@pytest.mark.filterwarnings("ignore:the (ground truth|prediction) of class")
def test_empty_masks_are_monais():
    """One missing: infinite, and no overlap; both: nothing to say. MONAI's quantiles of infinities alone are NaN."""
    torch, monai = peer("torch"), peer("monai.metrics")
    some, none = np.ones((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
    options = dict(include_background=True)
    for truth, labels in ((some, none), (none, some), (none, none)):
        batch = [torch.tensor(mask)[None, None] for mask in (labels, truth)]
        found = surface_distances(truth, labels)
        assert found.hausdorff() == close(monai.compute_hausdorff_distance(*batch, **options).item())
        assert np.isnan(monai.compute_hausdorff_distance(*batch, percentile=95, **options).item())
        assert found.hausdorff(0.95) == close(found.hausdorff())
        mean = monai.compute_average_surface_distance(*batch, symmetric=True, **options).item()
        assert found.mean() == close(mean)
        dice = monai.compute_surface_dice(*batch, class_thresholds=[1.0], **options).item()
        assert found.overlap(1).dice == close(dice)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shape", [(6, 22, 26), (40, 44)])
def test_distances_of_cells_are_deepminds(seed, shape):
    """Masks that are not empty: there surface-distance 0.1 asks NumPy 2 for a name that is gone."""
    theirs = peer("surface_distance")
    truth, labels = masks(seed, shape)
    spacing = SPACING[-len(shape) :]
    wanted = theirs.compute_surface_distances(truth, labels, spacing)
    found = surface_distances(truth, labels, spacing=spacing, surface="cells")
    for percent in (100, 95, 61.3):
        assert found.hausdorff(percent / 100) == close(theirs.compute_robust_hausdorff(wanted, percent))
    assert (found.mean("truth"), found.mean("labels")) == close(theirs.compute_average_surface_distance(wanted))
    for tolerance in (0.0, 4.0, 9.0, 33.0):
        overlap = found.overlap(tolerance)
        recall, precision = theirs.compute_surface_overlap_at_tolerance(wanted, tolerance)
        assert (overlap.precision, overlap.recall) == close((precision, recall))
        assert overlap.dice == close(theirs.compute_surface_dice_at_tolerance(wanted, tolerance))
        assert metrics.surface_dice(truth, labels, tolerance=tolerance, spacing=spacing) == overlap.dice


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tolerance", [0.0, 8.0, 30.0])
def test_boundaries_are_scikit_images(seed, tolerance):
    """Which voxels are a boundary; how far they are apart, by SciPy."""
    segmentation, ndimage = peer("skimage.segmentation"), peer("scipy.ndimage")
    truth, labels = tissue(seed)
    edges = [segmentation.find_boundaries(v, connectivity=1, mode="inner") for v in (truth, labels)]
    away = [ndimage.distance_transform_edt(~edge, sampling=SPACING) for edge in edges]
    recall, precision = ((away[1 - k][edges[k]] <= tolerance).mean() for k in (0, 1))
    found = metrics.boundary_score(truth, labels, tolerance=tolerance, spacing=SPACING)
    assert (found.precision, found.recall) == close((precision, recall))
    assert found.f1 == close(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("seed", SEEDS)
def test_partners_are_scipys_assignment(seed):
    """CREMI's own script solves the matching by SciPy as well."""
    solve, cdist = peer("scipy.optimize").linear_sum_assignment, peer("scipy.spatial.distance").cdist
    rng = np.random.default_rng(seed)
    truth, found = rng.random((40, 2, 3)) * 1500, rng.random((35, 2, 3)) * 1500
    found[:25] = truth[:25] + rng.normal(0, 120, (25, 2, 3))
    segments = rng.integers(1, 3, (40, 2)), rng.integers(1, 3, (35, 2))
    apart = [cdist(truth[:, end], found[:, end]) for end in (0, 1)]
    allowed = (np.maximum(*apart) <= 400) & (segments[0][:, None] == segments[1]).all(axis=2)
    costs = np.where(allowed, sum(apart) / 2, 800)
    rows, columns = solve(costs)
    matched = allowed[rows, columns]
    ours = metrics.partner_score(truth, found, segments=segments)
    assert ours.matches.tolist() == np.stack([rows, columns], 1)[matched].tolist()
    assert ours.costs == close(costs[rows, columns][matched])
    hits = int(matched.sum())
    assert (ours.true_positives, ours.false_positives, ours.false_negatives) == (hits, 35 - hits, 40 - hits)
    assert hits > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tolerance", [0.0, 4.0, 9.0])
def test_tolerant_edits_are_deep_overlaps(seed, tolerance):
    """How deep a voxel lies, by edt; what still overlaps, by scikit-learn."""
    edt, cluster = peer("edt"), peer("sklearn.metrics.cluster")
    truth, labels = tissue(seed)
    deep = edt.edt(labels + 1, anisotropy=SPACING) > tolerance  # the background has a depth too, and is left out after
    kept = (truth > 0) & (labels > 0) & deep
    overlaps = cluster.contingency_matrix(truth[kept], labels[kept]) > 0
    found = metrics.tolerant_edits(truth, labels, tolerance=tolerance, spacing=SPACING)
    assert found.splits == (overlaps.sum(1) - 1).sum() and found.merges == (overlaps.sum(0) - 1).sum()


# Topology


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(12, 22, 26), (40, 44)])
def test_cl_dice_is_monais(seed, shape):
    """Of the centre lines that its loss draws; made of masks, and without what it adds against 0 / 0."""
    torch, monai = peer("torch"), peer("monai.losses.cldice")
    masks = [torch.tensor((v > 0)[None, None], dtype=torch.float32) for v in tissue(seed, shape)]
    lines = [monai.soft_skel(mask, 4)[0, 0].numpy() for mask in masks]
    assert all(set(np.unique(line)) == {0, 1} for line in lines)
    loss = monai.SoftclDiceLoss(iter_=4, smooth_nr=0, smooth_dr=0, smooth=1e-9)(masks[1], masks[0]).item()
    truth, labels = (mask[0, 0].numpy() != 0 for mask in masks)
    found = metrics.centerline_score(truth, labels, truth_lines=lines[0] != 0, label_lines=lines[1] != 0)
    assert found.cl_dice == close(1 - loss, 1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_warping_keeps_the_euler_number(seed):
    """In sections a flip changes it if and only if the voxel is not simple; scikit-image counts it."""
    euler, ndimage = peer("skimage.measure").euler_number, peer("scipy.ndimage")
    truth, labels = (v > 0 for v in tissue(seed, shape=(24, 26)))
    found = metrics.warping(truth, labels.astype(np.uint8) * 255)
    padded = np.pad(found.warped != 0, 1)
    start = np.pad(truth, 1)
    assert euler(padded, connectivity=1) == euler(start, connectivity=1)
    assert ndimage.label(padded)[1] == ndimage.label(start)[1]
    left = np.argwhere(padded != np.pad(labels, 1))
    assert len(left) == found.left < found.mismatches
    for p in map(tuple, left):
        flipped = padded.copy()
        flipped[p] = not flipped[p]
        assert euler(flipped, connectivity=1) != euler(padded, connectivity=1)
