"""Losses, each against plain loops over voxels; and what all of them keep: masks, extremes, precision."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emfast import _settings, malis_weights  # noqa: E402
from emfast.nn import losses  # noqa: E402
from emfast.nn.losses import (  # noqa: E402
    AbsoluteError,
    BinaryCrossEntropy,
    CrossEntropy,
    Dice,
    Discriminative,
    Focal,
    Jaccard,
    Loss,
    Malis,
    SquaredError,
    Tversky,
)

VOXELWISE = [
    BinaryCrossEntropy(),
    BinaryCrossEntropy(balanced=True),
    BinaryCrossEntropy(balanced=True, least=0.4),
    Focal(),
    Focal(gamma=0.5, balanced=True),
    SquaredError(),
    SquaredError(activation="tanh", balanced=True),
    SquaredError(activation="sigmoid", balanced=True, above=0.3),
    SquaredError(activation="softmax"),
    AbsoluteError(activation="sigmoid"),
    CrossEntropy(),
    CrossEntropy(classes=(0.5, 1.0, 2.0)),
]
OVERLAP = [
    Dice(),
    Dice(squared=True, inverted=True),
    Dice(activation="softmax"),
    Dice(activation="softmax", background=True, by_sample=False),
    Jaccard(),
    Jaccard(by_sample=False, smooth=1.0),
    Tversky(false_positives=0.3, false_negatives=0.7),
]
OTHERS = [
    Malis(),
    Malis(positive=0.5, negative=2.0, normalise="pairs"),
    Discriminative(),
    Discriminative(background=True),
]
EVERY = pytest.mark.parametrize("loss", VOXELWISE + OVERLAP + OTHERS, ids=repr)
SHAPE = (2, 3, 2, 3, 4)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sample(loss, seed=0, dtype=torch.float64):
    """Logits, a target as the loss takes it, and weights, some of them 0."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (2, 1, 2, 3, 4))
    if isinstance(loss, Discriminative):
        target = classes
    elif isinstance(loss, CrossEntropy) or getattr(loss, "activation", "") == "softmax":
        target = classes == np.arange(3).reshape(3, 1, 1, 1)
    elif isinstance(loss, (SquaredError, Focal)):
        target = rng.random(SHAPE)
    else:
        target = rng.random(SHAPE) < 0.3
    weight = rng.random((2, 1, 2, 3, 4)) * (rng.random((2, 1, 2, 3, 4)) < 0.8)
    logits = torch.tensor(rng.normal(0, 2, SHAPE), dtype=dtype, requires_grad=True)
    return logits, torch.tensor(target, dtype=torch.float32), torch.tensor(weight, dtype=torch.float32)


# The oracles: p is a probability, t what is so.


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(x):
    heights = [math.exp(v - max(x)) for v in x]
    return [h / math.fsum(heights) for h in heights]


def said(loss, x, n, at):
    """What the activation makes of the channels of a voxel."""
    values = [float(x[(n, c, *at)]) for c in range(x.shape[1])]
    kind = getattr(loss, "activation", "sigmoid")
    if kind == "softmax":
        return softmax(values)
    return [{"sigmoid": sigmoid, "tanh": math.tanh, "none": float}[kind](v) for v in values]


def voxel_loss(loss, p, t):
    if isinstance(loss, AbsoluteError):
        return abs(p - t)
    if isinstance(loss, SquaredError):
        return (p - t) ** 2
    if isinstance(loss, Focal):
        return -t * (1 - p) ** loss.gamma * math.log(p) - (1 - t) * p**loss.gamma * math.log(1 - p)
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def voxelwise(loss, x, t, w):
    above = loss.above if isinstance(loss, SquaredError) else 0.5
    lost, weights = [], []
    for n, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
        places = [at for at in np.ndindex(*x.shape[2:]) if w[(n, 0, *at)] > 0]
        whole = math.fsum(w[(n, 0, *at)] for at in places)
        positive = math.fsum(w[(n, 0, *at)] for at in places if t[(n, c, *at)] > above) / whole
        part = min(max(positive, loss.least), 1 - loss.least)
        for at in places:
            weight = float(w[(n, 0, *at)])
            if loss.balanced:
                weight *= 0.5 / part if t[(n, c, *at)] > above else 0.5 / (1 - part)
            lost.append(weight * voxel_loss(loss, said(loss, x, n, at)[c], float(t[(n, c, *at)])))
            weights.append(weight)
    return math.fsum(lost) / math.fsum(weights)


def cross_entropy(loss, x, t, w):
    lost, weights = [], []
    for n, at in itertools.product(range(x.shape[0]), np.ndindex(*x.shape[2:])):
        p = softmax([float(x[(n, c, *at)]) for c in range(x.shape[1])])
        right = int(np.argmax(t[(n, slice(None), *at)]))
        weight = float(w[(n, 0, *at)]) * (loss.classes[right] if loss.classes else 1)
        lost.append(-weight * math.log(p[right]))
        weights.append(weight)
    return math.fsum(lost) / math.fsum(weights)


def overlap(loss, x, t, w):
    channels = range(1 if loss.activation == "softmax" and not loss.background else 0, x.shape[1])
    groups = [[n] for n in range(x.shape[0])] if loss.by_sample else [range(x.shape[0])]
    lost = []
    for group, c in itertools.product(groups, channels):
        tp = fp = fn = squares = 0.0
        for n, at in itertools.product(group, np.ndindex(*x.shape[2:])):
            weight = float(w[(n, 0, *at)])
            p, so = said(loss, x, n, at)[c], float(t[(n, c, *at)])
            p, so = (1 - p, 1 - so) if loss.inverted else (p, so)
            tp, fp, fn = tp + weight * p * so, fp + weight * p * (1 - so), fn + weight * (1 - p) * so
            squares += weight * (p * p + so * so)
        above, below = tp, tp + fp + fn
        if isinstance(loss, Dice):
            above, below = 2 * tp, squares if loss.squared else 2 * tp + fp + fn
        elif isinstance(loss, Tversky):
            below = tp + loss.false_positives * fp + loss.false_negatives * fn
        lost.append(1 - (above + loss.smooth) / (below + loss.smooth))
    return math.fsum(lost) / len(lost)


def discriminative(loss, x, t, w):
    lost = []
    for n in range(x.shape[0]):
        members = {}
        for at in np.ndindex(*x.shape[2:]):
            if w[(n, 0, *at)] > 0 and (loss.background or t[(n, 0, *at)] != 0):
                members.setdefault(float(t[(n, 0, *at)]), []).append((x[(n, slice(None), *at)], w[(n, 0, *at)]))
        means = {k: sum(e * share for e, share in v) / sum(share for _, share in v) for k, v in members.items()}
        pull = [
            sum(max(0.0, math.dist(e, means[k]) - loss.pull_margin) ** 2 * share for e, share in v)
            / sum(share for _, share in v)
            for k, v in members.items()
        ]
        push = [
            max(0.0, 2 * loss.push_margin - math.dist(means[a], means[b])) ** 2
            for a, b in itertools.permutations(means, 2)
        ]
        regular = [math.hypot(*m) for m in means.values()]
        terms = ((loss.pull, pull), (loss.push, push), (loss.regular, regular))
        lost.append(sum(weight * np.mean(values) for weight, values in terms if values))
    return np.mean(lost)


def malis(loss, x, t, w):
    p = 1 / (1 + np.exp(-x))
    w = np.broadcast_to(w, x.shape).astype(float)
    lost = []
    for said, so, weight in zip(p, t > 0.5, w, strict=True):
        counts = malis_weights(said.astype(np.float32), so, mask=weight > 0, normalise="none")
        most = malis_weights(said.astype(np.float32), so, mask=weight > 0, normalise="pairs")
        for factor, pairs, shares in zip((loss.positive, loss.negative), counts, most, strict=True):
            weighed = pairs * weight
            sums = weighed.sum() if loss.normalise == "pass" else pairs.sum() / max(shares.sum(dtype=float), 1e-30)
            lost.append(factor * (weighed * (said - so) ** 2).sum() / sums if weighed.any() else 0.0)
    return math.fsum(lost) / len(x)


def oracle_of(loss):
    if isinstance(loss, CrossEntropy):
        return cross_entropy
    if loss in OVERLAP:
        return overlap
    return {Malis: malis, Discriminative: discriminative}.get(type(loss), voxelwise)


@EVERY
@pytest.mark.parametrize("seed", range(3))
def test_values_are_those_of_loops(loss, seed):
    logits, target, weight = sample(loss, seed)
    expected = oracle_of(loss)(loss, *(v.detach().numpy() for v in (logits, target, weight)))
    found = loss(logits, target, weight)
    assert found.ndim == 0 and found.dtype == torch.float64
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-6, abs=1e-9)
    single = loss(logits.float(), target, weight)
    assert single.dtype == torch.float32
    assert float(single.detach()) == pytest.approx(float(expected), rel=1e-4)


@EVERY
def test_gradients_are_those_of_differences(loss):
    logits, target, weight = sample(loss, 5)
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weight), logits)


@EVERY
def test_what_does_not_count_does_not_count(loss):
    logits, target, weight = sample(loss, 6)
    (before,) = torch.autograd.grad(loss(logits, target, weight), logits)
    hidden = weight.expand_as(logits) == 0
    assert not before[hidden].any()
    assert before[~hidden].any()
    # Nothing counts: 0, with a gradient of 0, whatever the logits.
    for values in (logits, logits.detach().mul(1e30).requires_grad_()):
        nothing = loss(values, target, torch.zeros_like(weight))
        assert float(nothing.detach()) == 0
        assert not torch.autograd.grad(nothing, values)[0].any()
    if not isinstance(loss, Malis):  # there, unknown edges still join voxels
        other = torch.where(hidden, 9.0, logits.detach())
        so = torch.where(hidden[:, :1].expand_as(target), 2.0, target)
        assert torch.equal(loss(other, so, weight), loss(logits, target, weight))


@EVERY
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_and_does_not_count_is_nowhere(loss, value):
    """In logits or targets where the weight is 0: value and gradient are those without it."""
    logits, target, weight = sample(loss, 10)
    hidden = (weight == 0).expand_as(logits)
    strange = logits.detach().masked_fill(hidden, value).requires_grad_()
    plain = logits
    if isinstance(loss, Malis):  # there, unknown edges still join voxels: by an affinity of 0 where there is none
        plain = logits.detach().masked_fill(hidden, 1e4 if value == math.inf else -1e4).requires_grad_()
    found = loss(strange, target.masked_fill(hidden[:, : target.shape[1]], value), weight)
    expected = loss(plain, target, weight)
    assert torch.equal(found, expected) and found.isfinite()
    gradients = (torch.autograd.grad(each, of)[0] for each, of in ((found, strange), (expected, plain)))
    assert torch.equal(*gradients)


def test_channels_of_a_softmax_count_by_themselves():
    """What one channel says still matters for the others of its voxel where it does not count itself."""
    logits, target, _ = sample(SquaredError(activation="softmax"), 11)
    weight = torch.rand(logits.shape, generator=torch.Generator().manual_seed(2)).double()
    weight[:, 1, ..., ::2] = 0
    weight[..., 0, 0] = 0
    each = (torch.softmax(logits, 1) - target) ** 2
    expected = (each * weight).sum() / weight.sum()
    assert torch.allclose(SquaredError(activation="softmax")(logits, target, weight), expected)
    strange = logits.detach().clone().requires_grad_()
    strange.data[..., 0, 0] = math.nan
    found = SquaredError(activation="softmax")(strange, target, weight)
    assert torch.allclose(found, expected)
    assert torch.autograd.grad(found, strange)[0].isfinite().all()


def test_few_bits_hold_no_sum():
    ones = torch.ones(70000, dtype=torch.float16)
    assert losses.weighted(ones, ones) == losses.weighted(ones, ones.float()) == 1
    assert losses.weighted(ones, ones).dtype == torch.float32


@EVERY
@pytest.mark.parametrize("size", [100.0, 1e4])
def test_extreme_logits_have_finite_gradients(loss, size):
    logits, target, weight = sample(loss, 7, torch.float32)
    logits = (logits.detach().sign() * size).requires_grad_()
    found = loss(logits, target, weight)
    (gradient,) = torch.autograd.grad(found, logits)
    assert torch.isfinite(found) and torch.isfinite(gradient).all()


@EVERY
def test_autocast_computes_in_float32(loss):
    logits, target, weight = sample(loss, 8, torch.float32)
    low = logits.detach().bfloat16()
    expected = loss(low.float(), target, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        leaf = low.clone().requires_grad_()
        found = loss(leaf, target, weight)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    found.backward()
    assert torch.isfinite(leaf.grad).all() and leaf.grad.any()


@EVERY
def test_settings_come_back(loss):
    assert _settings.from_dict(Loss, _settings.to_dict(loss)) == loss


def test_every_loss_is_tested():
    named = {getattr(losses, name) for name in losses.__all__} - {Loss, losses.weighted}
    assert {type(loss) for loss in VOXELWISE + OVERLAP + OTHERS} == named


def test_what_losses_share_is_no_kind():
    with pytest.raises(ValueError, match=r"^kind must be one of AbsoluteError, Binary.*, got '_Voxelwise'") as caught:
        _settings.from_dict(Loss, {"kind": "_Voxelwise"})
    assert ", _" not in str(caught.value).partition(", got")[0]


def test_a_weight_may_differ_by_channel():
    """Two channels count in other places, as distances of several classes do."""
    logits, target, _ = sample(BinaryCrossEntropy(), 9)
    weight = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)).double()
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.double(), reduction="none")
    assert torch.allclose(BinaryCrossEntropy()(logits, target, weight), (each * weight).sum() / weight.sum())


def test_malis_pushes_the_weakest_link():
    """A row of two objects: an edge counts as much as what falls apart without it."""
    logits = torch.tensor([0.0, 2.0, 1.0, 3.0, -2.0, 1.0, 2.0]).reshape(1, 1, 1, 1, 7).requires_grad_()
    target = torch.tensor([0.0, 1, 1, 1, 0, 1, 1]).reshape(1, 1, 1, 1, 7)
    loss = Malis(offsets=((0, 0, -1),), negative=0.0)
    loss(logits, target, torch.ones_like(target)).backward()
    gradient = logits.grad.ravel()
    # Edge k joins voxels k - 1 and k. 3 comes first and joins two voxels, then 1 as well, and 2 joins both pairs. In
    # the other object 6 joins two, and 5 brings the third.
    pairs = torch.tensor([0.0, 1, 4, 1, 0, 2, 1])
    p, so = torch.sigmoid(logits.detach().ravel()), target.ravel()
    assert torch.allclose(gradient, pairs / pairs.sum() * 2 * (p - so) * p * (1 - p), atol=1e-7)


def test_malis_keeps_what_is_no_number_in_sight():
    logits = torch.zeros(1, 3, 2, 2, 2)
    logits[0, 2, 0, 0, 1] = float("nan")
    target = torch.ones_like(logits)
    assert torch.isnan(Malis()(logits, target, target))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BinaryCrossEntropy(least=0.0), "least must be above 0"),
        (lambda: BinaryCrossEntropy(least=0.6), "least must be from 0 to 0.5, got 0.6"),
        (lambda: Focal(gamma=-1.0), "gamma must be at least 0, got -1"),
        (lambda: CrossEntropy(classes=(0.0, 0.0)), "classes must not all weigh 0"),
        (lambda: CrossEntropy(classes=(1.0, -1.0)), "classes must be at least 0"),
        (lambda: Dice(smooth=0.0), "smooth must be above 0"),
        (lambda: Tversky(false_positives=math.inf), "false_positives must be finite, got inf"),
        (lambda: Discriminative(pull_margin=-0.5), "pull_margin must be at least 0"),
        (lambda: Malis(offsets=()), "offsets must name at least one step"),
        (lambda: Malis(negative=math.nan), "negative must be a number, got nan"),
    ],
)
def test_settings_out_of_range(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("loss", "logits", "target", "words"),
    [
        (Dice(), (1, 2, 1, 1, 3), (1, 1, 1, 1, 3), r"target must have the shape of logits \(1, 2, 1, 1, 3\)"),
        (CrossEntropy(), (1, 1, 1, 1, 3), (1, 1, 1, 1, 3), "logits must have a channel per class, background included"),
        (CrossEntropy((1.0, 1.0)), (1, 3, 1, 1, 3), (1, 3, 1, 1, 3), r"classes must be one per channel \(3\), got 2"),
        (Discriminative(), (1, 4, 1, 1, 3), (1, 2, 1, 1, 3), r"target must be instances of shape \(1, 1, 1, 1, 3\)"),
        (Discriminative(), (1, 4, 1, 1, 3), (2, 1, 1, 1, 3), r"target must be instances of shape \(1, 1, 1, 1, 3\)"),
        (Malis(), (1, 2, 1, 1, 3), (1, 2, 1, 1, 3), r"logits must have a channel per offset \(3\), got 2"),
    ],
)
def test_shapes_that_do_not_fit(loss, logits, target, words):
    with pytest.raises(ValueError, match=words):
        loss(torch.zeros(logits), torch.zeros(target), torch.ones(1))


@EVERY
def test_weights_of_any_shape_that_can_be_broadcast(loss):
    logits, target, _ = sample(loss, 12)
    expected = loss(logits, target, torch.ones(2, 1, 2, 3, 4))
    assert torch.equal(loss(logits, target, torch.ones(1)), expected)
    assert torch.equal(loss(logits, target, torch.ones(())), expected)
    wanted = r"weight must have the shape \(2, 3, 2, 3, 4\) or one that can be broadcast to it, got \(2, 1, 5\)"
    with pytest.raises(ValueError, match=wanted):
        loss(logits, target, torch.ones(2, 1, 5))
