"""Every score of every protocol against a number that this file derives by itself.

``CASES`` has a volume per protocol and each of its scores by hand; ``ORACLES`` has all scores of random volumes from
their definitions, in plain Python. Neither calls emfast.
"""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast.metrics import PROTOCOLS

NAN = math.nan
NOTHING = 2**64 - 1  # CREMI's id of voxels of which nothing is known, and of no cleft


def agree(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-12, abs=1e-12, nan_ok=True), name


def entropy(*sizes):
    """Of parts of these sizes, in bits."""
    return math.fsum(n * math.log2(sum(sizes) / n) for n in sizes if n) / sum(sizes)


# ---- by hand: objects

# True id, label, hundreds of voxels. The pairs that overlap, with their IoU:
#   one to one    1-1  14/17   8-8  1   9-9  4/5   10-10  3/4   16-17  2/3
#   split         2-2  7/12, 2-3  5/12
#   merged        3-4  3/5, 4-4  2/5
#   many          5-5  6/11, 5-6  1/3, 6-6  1/4, 11-5  1/9
# 7 and 12 to 15 are missed, 20 to 26 lie in the background.
CELLS = [
    *((1, 1, 140), (1, 0, 20), (0, 1, 10), (8, 8, 200), (9, 9, 24), (9, 0, 6), (10, 10, 60), (10, 0, 20)),
    *((16, 17, 160), (16, 0, 80), (2, 2, 70), (2, 3, 50), (3, 4, 60), (4, 4, 40)),
    *((5, 5, 30), (5, 6, 20), (6, 6, 10), (6, 0, 10), (11, 5, 5), (11, 0, 10)),
    *((7, 0, 30), (12, 0, 2), (13, 0, 2), (14, 0, 2), (15, 0, 2)),
    *((0, 20 + k, k + 1) for k in range(7)),
    (0, 0, 9),
]


def objects():
    voxels = [100 * n for *_, n in CELLS]
    shape = (10, 10, sum(voxels) // 100)
    return tuple(np.repeat([cell[side] for cell in CELLS], voxels).reshape(shape) for side in (0, 1))


IOU_50 = (1, Fraction(14, 17), Fraction(4, 5), Fraction(3, 4), Fraction(2, 3), Fraction(3, 5))
IOU_50 = (*IOU_50, Fraction(7, 12), Fraction(6, 11))  # those of at least a half: of 16 true objects and 17 segments
MATCHED = (8, 7, 6, 5, 4, 4, 3, 1, 1, 1)  # of which 0.5, 0.55 … 0.95 leave so many
PARTS = (
    *((140, 20), (200,), (24, 6), (60, 20), (160, 80), (70, 50), (60,), (40,)),
    *((30, 20), (10, 10), (5, 10), (30,), (2,), (2,), (2,), (2,)),
)  # of true objects, in hundreds of voxels
MERGED = (
    *((140,), (200,), (24,), (60,), (160,), (70,), (50,), (60, 40), (30, 5), (20, 10)),
    (20, 6, 20, 80, 10, 10, 30, 2, 2, 2, 2),
)  # of segments, within true objects; the last is label 0
INSIDE = 1053  # hundreds of voxels with truth


def general():
    split, merge = (math.fsum(sum(p) * entropy(*p) for p in side) / INSIDE for side in (PARTS, MERGED))
    h_truth, h_labels = (entropy(*map(sum, side)) for side in (PARTS, MERGED))
    joint, of_truth = (sum(f(p) for p in PARTS) for f in (lambda p: sum(n * n for n in p), lambda p: sum(p) ** 2))
    of_labels = sum(sum(p) ** 2 for p in MERGED)
    return {
        "voi_split": split,
        "voi_merge": merge,
        "voi": split + merge,
        "adapted_rand_error": 1 - Fraction(2 * joint, of_truth + of_labels),
        "rand_split": Fraction(joint, of_truth),
        "rand_merge": Fraction(joint, of_labels),
        "vinfo": 2 * (h_truth - merge) / (h_truth + h_labels),
        "accuracy_50": Fraction(8, 16 + 17 - 8),
        "accuracy_75": Fraction(4, 16 + 17 - 4),
        "accuracy_mean": sum(Fraction(n, 33 - n) for n in MATCHED) / 10,
        "f1_50": Fraction(16, 33),
        "pq": 2 * sum(IOU_50) / 33,
        "sq": sum(IOU_50) / 8,
        "rq": Fraction(16, 33),
        # Each true object with its best segment: overlaps 14 + 7 + 6 + 4 + 3 + 1 + 20 + 2.4 + 6 + 0.5 + 16, unions
        # 17 + 12 + 10 + 10 + 5.5 + 4 + 20 + 3 + 8 + 4.5 + 24, missed ones 3.8, segments 3 and 20 to 26 5 + 2.8
        "aji": Fraction(799, 1180 + 38 + 78),
        "objects_truth": 16,
        "objects_labels": 17,
    }


def snemi3d():
    alone = 100 * sum(MERGED[-1])  # voxels with truth and label 0, each a segment; squares are of single voxels now
    joint = 10**4 * sum(n * n for part in MERGED[:-1] for n in part) + alone
    of_truth = 10**4 * sum(sum(p) ** 2 for p in PARTS)
    of_labels = 10**4 * sum(sum(p) ** 2 for p in MERGED[:-1]) + alone
    return {
        "adapted_rand_error": 1 - Fraction(2 * joint, of_truth + of_labels),
        "rand_split": Fraction(joint, of_truth),
        "rand_merge": Fraction(joint, of_labels),
    }


# By size come segments 8, 17, 1, 4, 2, 10, 3, 5, 6, 9, then those of the background. Of 16 true objects the first h
# are found up to a recall of 0.06, 0.12, 0.18, 0.25, 0.31, 0.37, 0.43, 0.50: 7, 6, 6, 7, 6, 6, 6, 7 of 101 recalls.
AP_50 = 38 + 6 * Fraction(7, 8) + 7 * Fraction(8, 10)  # all but 3 and 6 find one
AP_75 = 7 + 6 * Fraction(2, 3) + 6 * Fraction(3, 6) + 7 * Fraction(4, 10)  # 8, 1, 10, 9 do
AP_SUMS = (
    AP_50,
    38 + 6 * Fraction(7, 10),  # without 5
    26 + 6 * Fraction(5, 6) + 6 * Fraction(6, 10),  # without 2
    19 + 7 * Fraction(4, 6) + 6 * Fraction(5, 10),  # without 4
    *(AP_75, AP_75),  # without 17
    7 + 6 * Fraction(2, 3) + 6 * Fraction(3, 10),  # without 10
    *(7, 7, 7),  # 8 alone
)


def nucmm():
    return {"ap_50": AP_50 / 101, "ap_75": AP_75 / 101, "ap_mean": sum(AP_SUMS) / 1010}


def mitoem():
    return {
        "ap_75": AP_75 / 101,
        "ap_75_small": 11 * Fraction(1, 4) / 101,  # 3, 5, 6 miss, 9 finds one of ten
        "ap_75_medium": 34 * Fraction(1, 3) / 101,  # 4 and 2 miss, 10 finds one of three; 1 found a large one
        "ap_75_large": (34 + 33 * Fraction(2, 3)) / 101,  # 8 finds, 17 misses, 1 finds, of three
        "ap_50": AP_50 / 101,
        "ap_mean": sum(AP_SUMS) / 1010,
    }


def mitoem_accuracy():
    return {
        "accuracy_75": Fraction(4, 16 + 17 - 4),
        "precision_75": Fraction(4, 17),
        "recall_75": Fraction(4, 16),
        "f1_75": Fraction(8, 33),
        "pq": 2 * sum(IOU_50) / 33,
        "truth_one_to_one": 5,
        "truth_over": 1,
        "truth_under": 2,
        "truth_many": 3,
        "truth_missing": 5,
        "labels_background": 7,
        # Ten true objects are small, one of them found, and 11 segments, one of which, 9, finds one
        "accuracy_75_small": Fraction(1, 10 + 11 - 1),
        "precision_75_small": Fraction(1, 11),
        "recall_75_small": Fraction(1, 10),
        "f1_75_small": Fraction(2, 10 + 11),
        # 2, 3 and 10 are medium, as are 1, 4, 2 and 10, of which two find one; pairs go by their true object
        "accuracy_75_medium": Fraction(1, 3 + 4 - 2),
        "precision_75_medium": Fraction(2, 4),
        "recall_75_medium": Fraction(1, 3),
        "f1_75_medium": Fraction(2, 1 + 3 + 4 - 2),
        # 1, 8 and 16 are large, as are 8 and 17
        "accuracy_75_large": Fraction(2, 3 + 2 - 1),
        "precision_75_large": Fraction(1, 2),
        "recall_75_large": Fraction(2, 3),
        "f1_75_large": Fraction(4, 2 + 3 + 2 - 1),
    }


# ---- by hand: CREMI


def neurons():
    """Two sections of 40 x 60 voxels of 40 x 4 x 4 nm, each of two halves: 1 and 2, and 0 and what is not known.

    Columns 29 and 30 are borders, and the six on either side within 25 nm: 0 to 22 and 37 to 59 count, 920 voxels
    in each half. 5 and 6 have half of 1 and of 2 each; 7 has column 22 of 0, and 0 the other 22.
    """
    truth = np.zeros((2, 40, 60), np.uint64)
    truth[0, :, :30], truth[0, :, 30:], truth[1, :, 30:] = 1, 2, NOTHING
    labels = np.zeros_like(truth)
    labels[0, :20], labels[0, 20:], labels[1, :, 22] = 5, 6, 7
    labels[1, :, 37:] = 8
    labels[:, :, 23:37] = 9
    return truth, labels


CREMI_SPLIT, CREMI_MERGE = (2 + entropy(22, 1)) / 3, 2 / 3  # bits in 1, 2 and 0; two of three in 5 and 6 alike


def cremi():
    # In units of 20 voxels: joint 23, 23, 23, 23, 44, 2; true 46, 46, 46; segments 46, 46, 44, 2
    joint, of_truth, of_labels = 4 * 23**2 + 44**2 + 2**2, 3 * 46**2, 2 * 46**2 + 44**2 + 2**2
    error, voi = 1 - Fraction(2 * joint, of_truth + of_labels), CREMI_SPLIT + CREMI_MERGE
    scores = {"voi_split": CREMI_SPLIT, "voi_merge": CREMI_MERGE, "voi": voi, "adapted_rand_error": error}
    return scores | {"cremi_score": math.sqrt(voi * error)}


def cremi_legacy():
    # Label 0 is dropped: joint 23, 23, 23, 23, 2, segments 46, 46, 2; its 880 of 4800 voxels are added as their share
    joint, of_truth, of_labels = (400 * n for n in (4 * 23**2 + 2**2, 3 * 46**2, 2 * 46**2 + 2**2))
    share = Fraction(880, 4800)
    error = 1 - 2 * (joint + share) / (of_truth + of_labels + share)
    return cremi() | {"adapted_rand_error": error, "cremi_score": math.sqrt((CREMI_SPLIT + CREMI_MERGE) * error)}


def clefts():
    """A true line of four voxels, and three predicted ones; voxels of 40 x 30 x 10 nm."""
    truth, labels = np.zeros((2, 3, 4, 40), np.uint8)
    truth[1, 1, 2:6] = 1
    labels[1, 1, 4] = labels[1, 2, 5] = labels[2, 0, 38] = 3
    return truth, labels


def cremi_clefts():
    # Predicted: one on the line, one 30 nm beside it, one 40 and 30 nm beside and 330 along from its end
    far = math.hypot(40, 30, 330)
    adgt, adf = (0 + 30 + far) / 3, Fraction(20 + 10 + 0 + 10, 4)
    return {
        "cremi_clefts": (adgt + adf) / 2,
        "adgt": adgt,
        "adf": adf,
        "false_positives": 1,
        "false_negatives": 0,
    }


# ---- by hand: ISBI 2012


def membranes():
    """Two sections, all of whose lines are columns of 6 voxels.

    The first has cells of 18 and 102 voxels, and the line between them, column 3, is 0.45 inside. The second has 30 and
    90 with column 5 at 0.05; column 17 at 0.35 would cut the latter into 66 and 18.
    """
    truth, inside = np.ones((2, 6, 21), np.uint8), np.full((2, 6, 21), 0.95, np.float32)
    truth[0, :, 3] = truth[1, :, 5] = 0
    inside[0, :, 3], inside[1, :, 5], inside[1, :, 17] = 0.45, 0.05, 0.35
    return truth, inside


def isbi2012():
    # Above 0.1 the first section is one segment of 120 true voxels and the second is right, above 0.5 the first is
    # right and the second cut. The former is better by pairs, the latter by information; all others are worse.
    first, second = 18**2 + 102**2, 30**2 + 90**2
    cut = entropy(30, 66, 18, *[1] * 6)
    right = entropy(18, 102), entropy(30, 90)
    return {
        "vrand": Fraction(2 * (first + second), (first + second) + (120**2 + second)),
        "vrand_threshold": Fraction(1, 10),
        "vinfo": 2 * sum(right) / (sum(right) + right[0] + cut),
        "vinfo_threshold": Fraction(1, 2),
    }


def cells():
    """Two sections of 7 x 9, each two cells of 28 voxels with column 4 between them.

    In the first, two voxels of the line are 0.55 inside; in the second, two rows of the left cell are 0.25.
    """
    truth, inside = np.ones((2, 7, 9), np.uint8), np.full((2, 7, 9), 0.95, np.float64)
    truth[:, :, 4], inside[:, :, 4] = 0, 0.05
    inside[0, 2:4, 4] = 0.55
    inside[1, (1, 5), :4] = 0.25
    return truth, inside


def isbi2012_warping():
    # Above 0.1 and 0.2 the first is one part by one merger of two voxels; above 0.6 the second has two splits of which
    # a voxel each is left, its left cell in rows of 4, 12 and 4 voxels, and eight alone. Between, there is both.
    return {
        "warping_error": Fraction(1, 126),
        "warping_left": Fraction(2, 126),
        "rand_error": 1 - Fraction(2 * (3 * 28**2 + 184), 4 * 28**2 + (3 * 28**2 + 184)),  # 184 = 16 + 144 + 16 + 8
        "pixel_error": 1 - Fraction(2 * 112, 112 + 114),
    }


# ---- by hand: masks and classes


def boxes():
    """Boxes of 125 and 150 voxels in 12³ with 75 in common; one half is not above a half."""
    truth, labels = np.zeros((12, 12, 12), np.uint8), np.full((12, 12, 12), 0.5, np.float32)
    truth[2:7, 2:7, 2:7] = 7
    labels[2:7, 2:7, 4:10] = 0.625
    return truth, labels


def mask():
    return {
        "iou": Fraction(75, 200),
        "voc": (Fraction(75, 200) + Fraction(1528, 1653)) / 2,
        "dice": Fraction(150, 275),
        "precision": Fraction(75, 150),
        "recall": Fraction(75, 125),
        "tnr": Fraction(1528, 1603),
        "accuracy": Fraction(75 + 1528, 1728),
    }


def organelles():
    """Columns of 20 voxels: classes 0 and 1 are none, 5 is in the labels alone."""
    truth = np.array([[[0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 6]] * 20])
    labels = np.array([[[1, 1, 2, 2, 2, 3, 3, 3, 3, 5, 4, 0]] * 20])
    return truth, labels


def platelet():
    ious = {"iou_2": Fraction(2, 4), "iou_3": Fraction(3, 5), "iou_4": Fraction(1), "iou_6": Fraction(0)}
    return {"mean_iou": sum(ious.values()) / 4, **ious}


# Volumes, their spacing, and all scores.
CASES = {
    "general": (objects, None, general),
    "snemi3d": (objects, None, snemi3d),
    "mitoem": (objects, None, mitoem),
    "mitoem-accuracy": (objects, None, mitoem_accuracy),
    "nucmm": (objects, None, nucmm),
    "cremi": (neurons, (40, 4, 4), cremi),
    "cremi-legacy": (neurons, (40, 4, 4), cremi_legacy),
    "cremi-clefts": (clefts, (40, 30, 10), cremi_clefts),
    "isbi2012": (membranes, None, isbi2012),
    "isbi2012-warping": (cells, None, isbi2012_warping),
    "lucchi": (boxes, None, mask),
    "kasthuri": (boxes, None, mask),
    "urocell": (boxes, None, mask),
    "platelet": (organelles, None, platelet),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_score_of_every_protocol_has_its_number(protocol):
    volumes, spacing, scores = CASES[protocol]
    truth, labels = volumes()
    expected = scores()
    found = emfast.evaluate(truth, labels, protocol=protocol, spacing=spacing)
    agree(found, expected)
    assert all(math.isfinite(value) for value in expected.values())
    assert not [name for name, value in expected.items() if value in (0, 1) and name not in MAY_BE_PLAIN]


MAY_BE_PLAIN = ("iou_4", "iou_6", "truth_over", "false_positives", "false_negatives")  # others never score 0 or 1 here


# ---- by definition


def pairs_of(truth, labels):
    return list(zip(np.ravel(truth).tolist(), np.ravel(labels).tolist(), strict=True))


def information(pairs):
    """Halves of VOI, and V-Info."""
    n, both, a, b = len(pairs), Counter(pairs), Counter(t for t, _ in pairs), Counter(s for _, s in pairs)
    if not n:
        return NAN, NAN, NAN
    split = math.fsum(c * math.log2(a[t] / c) for (t, _), c in both.items()) / n
    merge = math.fsum(c * math.log2(b[s] / c) for (_, s), c in both.items()) / n
    sides = entropy(*a.values()) + entropy(*b.values())
    return split, merge, 2 * (entropy(*a.values()) - merge) / sides if sides else 1.0


def rand(pairs, singletons):
    """The error, S_ab / S_a and S_ab / S_b; with singletons each label 0 is another."""
    if not pairs:
        return NAN, NAN, NAN
    if singletons:
        pairs = [(t, s or ("single", at)) for at, (t, s) in enumerate(pairs)]
    sums = [
        sum(c * c for c in Counter(part).values()) for part in (pairs, [t for t, _ in pairs], [s for _, s in pairs])
    ]
    joint, a, b = sums
    return 1 - Fraction(2 * joint, a + b), Fraction(joint, a), Fraction(joint, b)


def fraction(part, whole, objects):
    return part / whole if whole else 0 if objects else NAN


class Detections:
    """Counts of objects by IoU."""

    def __init__(self, truth, labels):
        self.overlaps = oracles.Overlaps(truth, labels)
        self.sizes = len(self.overlaps.truth), len(self.overlaps.labels)
        self.any = sum(self.sizes)

    def hits(self, threshold):
        return max(len(m) for m in oracles.matchings(self.overlaps.reaching(threshold)))

    def accuracy(self, threshold):
        hits = Fraction(self.hits(threshold))
        return fraction(hits, sum(self.sizes) - hits, self.any)

    def f1(self, hits):
        return fraction(2 * Fraction(hits), sum(self.sizes), self.any)

    def quality(self):
        """PQ, SQ and RQ."""
        ious = [self.overlaps.iou[p] for p in self.overlaps.reaching(Fraction(1, 2), strict=True)]
        sq = fraction(Fraction(sum(ious)), len(ious), self.any)
        return sq * self.f1(len(ious)), sq, self.f1(len(ious))

    def aji(self):
        o = self.overlaps
        best = o.best_label().items()
        alone = sum(n for t, n in o.truth.items() if t not in dict(best))
        alone += sum(n for s, n in o.labels.items() if s not in dict(best).values())
        shared, joined = sum(o.pairs[p] for p in best), sum(o.union[p] for p in best)
        return fraction(Fraction(shared), joined + alone, self.any)

    def ordered(self, threshold, low=0, high=math.inf):
        """Average precision in the order of sizes."""
        found = oracles.score_ordered(self.overlaps, self.overlaps.labels, threshold, (low, high), "mitoem")
        return NAN if found is None else math.fsum(found[0]) / 101

    def by_size(self, name, low, high):
        """What is matched at 0.75, with a partner of any size."""
        pairs = self.overlaps.reaching(THREE_QUARTERS)
        truth, labels = (
            [k for k, n in sizes.items() if low < n <= high] for sizes in (self.overlaps.truth, self.overlaps.labels)
        )
        found, right = (
            Fraction(sum(k in {pair[side] for pair in pairs} for k in kept))
            for side, kept in enumerate((truth, labels))
        )
        counted, some = len(truth) + len(labels) - right, bool(truth or labels)
        return {
            f"accuracy_75{name}": fraction(found, counted, some),
            f"precision_75{name}": fraction(right, len(labels), some),
            f"recall_75{name}": fraction(found, len(truth), some),
            f"f1_75{name}": fraction(2 * found, found + counted, some),
        }

    def associations(self):
        kinds = dict.fromkeys(("one_to_one", "over", "under", "many", "missing"), 0)
        background = 0
        for truth, labels in oracles.association_groups(self.overlaps):
            names = ("one_to_one", "over"), ("under", "many")
            if not truth:
                background += len(labels)
            else:
                kinds["missing" if not labels else names[len(truth) > 1][len(labels) > 1]] += len(truth)
        return {f"truth_{kind}": n for kind, n in kinds.items()} | {"labels_background": background}


STEPS = [Fraction(k, 20) for k in range(10, 20)]
HALF, THREE_QUARTERS = Fraction(1, 2), Fraction(3, 4)


def general_of(truth, labels, spacing):
    inside = [pair for pair in pairs_of(truth, labels) if pair[0]]
    split, merge, vinfo = information(inside)
    error, rand_split, rand_merge = rand(inside, False)
    found = Detections(truth, labels)
    pq, sq, rq = found.quality()
    return {
        "voi_split": split,
        "voi_merge": merge,
        "voi": split + merge,
        "adapted_rand_error": error,
        "rand_split": rand_split,
        "rand_merge": rand_merge,
        "vinfo": vinfo,
        "accuracy_50": found.accuracy(HALF),
        "accuracy_75": found.accuracy(THREE_QUARTERS),
        "accuracy_mean": sum(map(found.accuracy, STEPS)) / 10,
        "f1_50": found.f1(found.hits(HALF)),
        "pq": pq,
        "sq": sq,
        "rq": rq,
        "aji": found.aji(),
        "objects_truth": found.sizes[0],
        "objects_labels": found.sizes[1],
    }


def snemi3d_of(truth, labels, spacing):
    found = rand([pair for pair in pairs_of(truth, labels) if pair[0]], True)
    return dict(zip(("adapted_rand_error", "rand_split", "rand_merge"), found, strict=True))


def mitoem_of(truth, labels, spacing):
    found = Detections(truth, labels)
    return {
        "ap_75": found.ordered(THREE_QUARTERS),
        "ap_75_small": found.ordered(THREE_QUARTERS, 0, 5000),
        "ap_75_medium": found.ordered(THREE_QUARTERS, 5000, 15000),
        "ap_75_large": found.ordered(THREE_QUARTERS, 15000),
        "ap_50": found.ordered(HALF),
        "ap_mean": math.fsum(map(found.ordered, STEPS)) / 10,
    }


def nucmm_of(truth, labels, spacing):
    found = mitoem_of(truth, labels, spacing)
    return {name: found[name] for name in ("ap_50", "ap_75", "ap_mean")}


def mitoem_accuracy_of(truth, labels, spacing):
    found = Detections(truth, labels)
    hits = Fraction(found.hits(THREE_QUARTERS))
    return {
        "accuracy_75": found.accuracy(THREE_QUARTERS),
        "precision_75": fraction(hits, found.sizes[1], found.any),
        "recall_75": fraction(hits, found.sizes[0], found.any),
        "f1_75": found.f1(hits),
        "pq": found.quality()[0],
        **found.associations(),
        **found.by_size("_small", 0, 5000),
        **found.by_size("_medium", 5000, 15000),
        **found.by_size("_large", 15000, math.inf),
    }


def far_from_borders(truth, spacing):
    """Farther than 25 nm from every voxel of the section that has another id beside it."""
    out = np.zeros(truth.shape, bool)
    for z, section in enumerate(truth.tolist()):
        places = list(np.ndindex(truth.shape[1:]))
        at = {p: section[p[0]][p[1]] for p in places}
        steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
        border = [p for p in places if any(at.get((p[0] + y, p[1] + x), at[p]) != at[p] for y, x in steps)]
        for y, x in places:
            squares = ((y - v) ** 2 * spacing[1] ** 2 + (x - u) ** 2 * spacing[2] ** 2 for v, u in border)
            out[z, y, x] = all(square > 25**2 for square in squares)
    return out


def cremi_of(truth, labels, spacing):
    kept = far_from_borders(truth, spacing) & (truth != NOTHING)
    pairs = pairs_of(truth[kept], labels[kept])
    split, merge, _ = information(pairs)
    error = rand(pairs, False)[0]
    scores = {"voi_split": split, "voi_merge": merge, "voi": split + merge, "adapted_rand_error": error}
    return scores | {"cremi_score": math.sqrt((split + merge) * error)}


def cremi_legacy_of(truth, labels, spacing):
    scores = cremi_of(truth, labels, spacing)
    kept = far_from_borders(truth, spacing) & (truth != NOTHING)
    pairs = pairs_of(truth[kept], labels[kept])
    named = [pair for pair in pairs if pair[1]]
    joint, b = (sum(n * n for n in Counter(part).values()) for part in (named, [s for _, s in named]))
    a = sum(n * n for n in Counter(t for t, _ in pairs).values())
    share = Fraction(len(pairs) - len(named), truth.size)
    error = 1 - 2 * (joint + share) / (a + b + share) if a else NAN
    return scores | {"adapted_rand_error": error, "cremi_score": math.sqrt(scores["voi"] * error)}


def cremi_clefts_of(truth, labels, spacing):
    sides = [[p for p in np.ndindex(v.shape) if v[p]] for v in (labels, truth)]
    means, far = [], []
    for places, others in (sides, sides[::-1]):
        squares = oracles.squares_between(places, others, spacing)
        distances = [math.inf if square is None else math.sqrt(square) for square in squares]
        means.append(math.fsum(distances) / len(distances) if distances else NAN)
        far.append(sum(d > 200 for d in distances))
    score = math.inf if math.inf in means else sum(means) / 2
    return {
        "cremi_clefts": score,
        "adgt": means[0],
        "adf": means[1],
        "false_positives": far[0],
        "false_negatives": far[1],
    }


class Heap:
    """A binary heap of (key, item) as scikit-image has it: its moves decide which of equal keys comes first."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        at = len(self.items) - 1
        while at and item[0] < self.items[(at - 1) // 2][0]:
            self.items[at], at = self.items[(at - 1) // 2], (at - 1) // 2
        self.items[at] = item

    def pop(self):
        first, last, at = self.items[0], self.items.pop(), 0
        while children := range(2 * at + 1, min(2 * at + 3, len(self.items))):
            child = min(children, key=lambda c: self.items[c][0])
            if not self.items[child][0] < last[0]:
                break
            self.items[at], at = self.items[child], child
        if self.items:
            self.items[at] = last
        return first


def thinned(inside):
    """The parts of a section, grown from a queue over what is not inside; who has two for neighbours is a line."""
    out = oracles.connected_components(inside, 6)
    around = {p: list(oracles.neighbours_around(p, inside.shape, 1)) for p in np.ndindex(inside.shape)}
    lines, queue, ages = set(), Heap(), itertools.count(1)
    for p in around:
        if out[p]:
            queue.push((0, (p, p)))
    while queue.items:
        _, (p, source) = queue.pop()
        if p in lines or (out[p] and p != source):
            continue
        if {int(out[q]) for q in around[p] if q not in lines} - {0, int(out[source])}:
            lines.add(p)
        else:
            out[p] = out[source]
        for q in around[p]:
            if not out[q] and q not in lines:
                queue.push((next(ages), (q, source)))
    return out


def isbi2012_of(truth, inside, spacing):
    best = {"vrand": (NAN, NAN), "vinfo": (NAN, NAN)}
    for k in range(11):
        joint = sides = shared = entropies = 0
        for section, grades in zip(truth, inside, strict=True):
            pairs = pairs_of(oracles.connected_components(section != 0, 6), thinned(grades > k / 10))
            pairs = [(t, s or ("single", at)) for at, (t, s) in enumerate(pairs) if t]
            if not pairs:
                continue
            parts = [list(Counter(side).values()) for side in (pairs, [t for t, _ in pairs], [s for _, s in pairs])]
            squares = [sum(n * n for n in part) for part in parts]
            joint, sides = joint + squares[0], sides + squares[1] + squares[2]
            h = [entropy(*part) for part in parts]
            shared, entropies = shared + h[1] + h[2] - h[0], entropies + h[1] + h[2]
        if sides:
            found = {"vrand": 2 * joint / sides, "vinfo": 2 * shared / entropies if entropies else 1.0}
            for name, value in found.items():
                if not value <= best[name][0] + 1e-12:
                    best[name] = value, k / 10
    scores = {}
    for name, (value, threshold) in best.items():
        scores |= {name: value} | ({} if math.isnan(value) else {f"{name}_threshold": threshold})
    return scores


def events(warped, above):
    """Clusters of what is left in a section: those that part what is kept, and those that join."""
    found = 0
    for lost in (True, False):
        left = (warped != above) & (warped == lost)
        kept = oracles.connected_components(warped & ~left if lost else warped, 6)
        clusters = oracles.connected_components(left, 26)
        for number in range(1, int(clusters.max(initial=0)) + 1):
            places = np.argwhere(clusters == number).tolist()
            touching = {int(kept[q]) for p in places for q in oracles.neighbours_around(tuple(p), left.shape, 1)}
            found += len(touching - {0}) > 1
    return found


def isbi2012_warping_of(truth, inside, spacing):
    kinds = ("warping_error", "warping_left", "rand_error", "pixel_error")
    each = {name: [] for name in kinds}
    for k in range(10):
        above, left, count, pairs = inside > k / 10, 0, 0, []
        for z, section in enumerate(truth != 0):
            margin = np.abs(inside[z].astype(float) - k / 10).ravel()
            order = sorted(np.flatnonzero(section != above[z]).tolist(), key=lambda i: (-margin[i], i))
            warped = oracles.warped(section, above[z], order, True)
            left, count = left + int((warped != above[z]).sum()), count + events(warped, above[z])
            parts = (oracles.connected_components(v, 6) for v in (section, above[z]))
            pairs += [((z, t), s and (z, s)) for t, s in pairs_of(*parts) if t]
        both = int(((truth != 0) & above).sum())
        sizes = int((truth != 0).sum()) + int(above.sum())
        scores = count / truth.size, left / truth.size, rand(pairs, True)[0], 1 - 2 * both / sizes if sizes else NAN
        for name, score in zip(kinds, scores, strict=True):
            each[name].append(float(score))
    return {name: min((s for s in scores if not math.isnan(s)), default=NAN) for name, scores in each.items()}


def over(part, whole):
    return Fraction(part, whole) if whole else NAN


def mask_of(truth, labels, spacing):
    n = Counter((bool(t), s > 0.5) for t, s in pairs_of(truth, labels))
    tp, fp, fn, tn = n[True, True], n[False, True], n[True, False], n[False, False]
    sides = [over(hit, hit + fp + fn) for hit in (tp, tn)]
    return {
        "iou": sides[0],
        "voc": (sides[0] + sides[1]) / 2,
        "dice": over(2 * tp, 2 * tp + fp + fn),
        "precision": over(tp, tp + fp),
        "recall": over(tp, tp + fn),
        "tnr": over(tn, tn + fp),
        "accuracy": over(tp + tn, tp + fp + fn + tn),
    }


def platelet_of(truth, labels, spacing):
    pairs = pairs_of(truth, labels)
    ious = {
        f"iou_{k}": over(pairs.count((k, k)), sum(k in pair for pair in pairs))
        for k in sorted({t for t, _ in pairs} - {0, 1})
    }
    return {"mean_iou": sum(ious.values()) / len(ious) if ious else NAN, **ious}


ORACLES = {
    "general": general_of,
    "snemi3d": snemi3d_of,
    "mitoem": mitoem_of,
    "mitoem-accuracy": mitoem_accuracy_of,
    "nucmm": nucmm_of,
    "cremi": cremi_of,
    "cremi-legacy": cremi_legacy_of,
    "cremi-clefts": cremi_clefts_of,
    "isbi2012": isbi2012_of,
    "isbi2012-warping": isbi2012_warping_of,
    "lucchi": mask_of,
    "kasthuri": mask_of,
    "urocell": mask_of,
    "platelet": platelet_of,
}
SPACING = (40, 7, 4)


def random_volumes(protocol, seed):
    """Small volumes in which all that the protocol knows of occurs."""
    rng = np.random.default_rng(seed)
    takes = PROTOCOLS[protocol].takes
    if protocol in ("cremi", "cremi-legacy"):  # halves, so that voxels lie far from borders
        truth = np.array([1, 2, 0, NOTHING], np.uint64)[rng.integers(0, 4, (2, 1, 2))].repeat(6, axis=1)
        labels = rng.integers(0, 4, (2, 6, 8)).astype(np.uint64).repeat(4, axis=2)
        return truth.repeat(16, axis=2), labels
    if protocol == "cremi-clefts":
        return tuple((rng.random((3, 4, 30)) < rng.choice([0, 0.02, 0.1])).astype(np.uint8) for _ in range(2))
    if takes == "probability":
        truth = rng.random((2, 5, 6)) < rng.choice([0.5, 0.8, 1])
        return truth.astype(np.uint8), np.where(
            rng.random(truth.shape) < 0.6, truth, rng.integers(0, 11, truth.shape) / 10
        )
    if takes in ("mask", "classes"):
        truth = rng.integers(0, rng.integers(1, 6), (2, 3, 4))
        labels = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 6, truth.shape))
        return truth, labels if takes == "classes" else (labels / 4).astype(np.float32)
    counts = rng.choice([0, 0, 0, 1, 2, 7], (4, 5)) * int(rng.choice([1, 30, 900]))
    counts[np.arange(4), rng.integers(0, 5, 4)] *= 4
    both = np.repeat(np.arange(20), counts.ravel())
    return (both // 5)[None], (both % 5)[None]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(seed=st.integers(0, 2**32 - 1))
def test_scores_are_those_of_their_definitions(protocol, seed):
    truth, labels = random_volumes(protocol, seed)
    found = emfast.evaluate(truth, labels, protocol=protocol, spacing=SPACING[-truth.ndim :])
    agree(found, ORACLES[protocol](truth, labels, SPACING[-truth.ndim :]))


# ---- bounds

# All others are shares, from 0 to 1.
INFORMATION = ("voi_split", "voi_merge", "voi", "cremi_score")
COUNTS = (
    *("objects_truth", "objects_labels", "false_positives", "false_negatives", "labels_background"),
    *("truth_one_to_one", "truth_over", "truth_under", "truth_many", "truth_missing"),
)
NANOMETRES = ("cremi_clefts", "adgt", "adf")


def test_no_score_is_without_a_number():
    assert set(CASES) == set(ORACLES) == set(PROTOCOLS)
    by_hand = {(protocol, name) for protocol, (*_, scores) in CASES.items() for name in scores()}
    for protocol in PROTOCOLS:
        for seed in range(20):
            truth, labels = random_volumes(protocol, seed)
            found = emfast.evaluate(truth, labels, protocol=protocol, spacing=SPACING[-truth.ndim :])
            assert {(protocol, name) for name in found if not name.startswith("iou_")} <= by_hand
    assert {name for _, name in by_hand} >= {*INFORMATION, *COUNTS, *NANOMETRES, *MAY_BE_PLAIN}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(seed=st.integers(0, 2**32 - 1))
def test_shares_are_shares(protocol, seed):
    truth, labels = random_volumes(protocol, seed)
    found = emfast.evaluate(truth, labels, protocol=protocol, spacing=SPACING[-truth.ndim :])
    for name, value in found.items():
        if math.isnan(value):
            continue
        if name in COUNTS:
            assert 0 <= value <= truth.size and value == int(value)
        elif name in INFORMATION:
            assert 0 <= value <= 2 * math.log2(truth.size)
        elif name in NANOMETRES:
            assert (
                0 <= value <= math.hypot(*(s * n for s, n in zip(SPACING, truth.shape, strict=True)))
                or value == math.inf
            )
        else:
            assert 0 <= value <= 1, name


# ---- intervals


def random_blocks(rng, n=7, side=8):
    """A truth and a mask of n² independent blocks; what share of a block is wrong differs from block to block."""
    wrong, filled = (np.kron(rng.beta(*shape, (n, n)), np.ones((side, side))) for shape in ((1, 4), (2, 2)))
    truth = rng.random(wrong.shape) < filled
    return truth, truth ^ (rng.random(wrong.shape) < wrong)


def test_intervals_are_as_wide_as_volumes_differ():
    rng = np.random.default_rng(5)
    ious = []
    for _ in range(1000):
        truth, labels = random_blocks(rng)
        ious.append(np.count_nonzero(truth & labels) / np.count_nonzero(truth | labels))
    intervals = [
        emfast.evaluate(*random_blocks(rng), protocol="lucchi", bootstrap=40, block=(8, 8)).intervals["iou"]
        for _ in range(6)
    ]
    assert np.mean([high - low for low, high in intervals]) / 2 == pytest.approx(1.96 * np.std(ious), rel=0.25)
    assert sum(low <= np.mean(ious) <= high for low, high in intervals) >= 5
