"""Errors in space: a plain oracle voxel by voxel, blocks, shifts by trying all places, densities by hand."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast.metrics import ErrorClass, density, error_map
from emfast.metrics.error_maps import _Match


@st.composite
def volumes(draw):
    shape = draw(st.sampled_from([(1, 12), (5, 7), (3, 4, 5), (2, 1, 70), (0, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth, labels = (np.repeat(rng.integers(0, 5, shape), 2, axis=-1)[..., : shape[-1]] for _ in range(2))
    if draw(st.booleans()):
        labels = np.where(rng.random(shape) < 0.7, truth * 2, labels)
    mask = rng.integers(0, 4, shape) > 0 if draw(st.booleans()) else None
    return truth, labels, mask


ignores = st.sampled_from([(), (0,), (2,), (0, 3)])


def plain_map(truth, labels, mask, ignore, spacing, shift):
    """Class by class, and every place within the shift tried."""
    shown = np.ones(truth.shape, bool) if mask is None else mask
    counts = Counter((int(t), int(j)) for t, j, m in zip(truth.flat, labels.flat, shown.flat, strict=True) if m)
    objects = {key: n for key, n in counts.items() if 0 not in key and key[0] not in ignore}
    main = [{}, {}]
    for side in (0, 1):
        for key, n in objects.items():
            best = main[side].get(key[side])
            if best is None or (-n, key[1 - side]) < (-objects[best], best[1 - side]):
                main[side][key[side]] = key
    counted = {j for (t, j) in counts if t not in ignore}
    out = np.zeros(truth.shape, np.uint8)
    for p in np.ndindex(*truth.shape):
        t, j = int(truth[p]), int(labels[p])
        if not shown[p] or (t in ignore and not (t == 0 and j != 0 and j not in counted)):
            out[p] = ErrorClass.IGNORED
        elif t == 0 or j == 0:
            out[p] = ErrorClass.CORRECT if t == j else ErrorClass.MISSED if j == 0 else ErrorClass.SPURIOUS
        elif main[1][j] != (t, j):
            out[p] = ErrorClass.MERGE
        else:
            out[p] = ErrorClass.CORRECT if main[0][t] == (t, j) else ErrorClass.SPLIT
    wrong = [p for p in np.ndindex(*truth.shape) if out[p] not in (ErrorClass.CORRECT, ErrorClass.IGNORED)]
    for p, q in itertools.product(wrong, np.ndindex(*truth.shape)):
        near = sum(((a - b) * s) ** 2 for a, b, s in zip(p, q, spacing, strict=True)) <= shift**2
        t = int(truth[q])
        mutual = t in main[0] and main[1][main[0][t][1]] == main[0][t]
        known = shift and near and shown[q] and (t == 0 or mutual)
        if known and int(labels[p]) == (0 if t == 0 else main[0][t][1]):
            out[p] = ErrorClass.SHIFT
    return out


@given(volumes(), ignores, st.sampled_from([0, 0, 4, 9.5, 17, 1000]))
def test_like_the_oracle(backend, both, ignore, shift):
    truth, labels, mask = both
    spacing = (9, 4, 4)[-truth.ndim :]
    errors = emfast.compare(truth, labels, mask=mask, ignore=ignore, spacing=spacing)
    given_mask = None if mask is None else backend(mask)
    found = error_map(backend(truth), backend(labels), errors, mask=given_mask, shift=shift)
    assert found.dtype == np.uint8
    assert np.array_equal(found, plain_map(truth, labels, mask, ignore, spacing, shift))


@given(volumes(), ignores, st.sampled_from([0, 4, 9.5, 30]), st.data())
def test_blocks_are_the_whole(both, ignore, shift, data):
    truth, labels, mask = both
    block = [data.draw(st.integers(1, max(1, n))) for n in truth.shape]
    errors = emfast.compare(truth, labels, mask=mask, ignore=ignore, spacing=(9, 4, 4)[-truth.ndim :])
    out, steps = np.full(truth.shape, 77, np.uint8), []
    found = error_map(
        truth, labels, errors, mask=mask, shift=shift, block=block, out=out, progress=lambda *s: steps.append(s)
    )
    passes = 1 if all(side >= n for side, n in zip(block, truth.shape, strict=True)) else 2
    assert found is out and steps[-1] == (passes * truth.size, passes * truth.size)
    assert np.array_equal(out, error_map(truth, labels, errors, mask=mask, shift=shift))


def test_any_ids_and_long_rows(backend, threads):
    rng = np.random.default_rng(1)
    ids = np.array([0, 1, 2**63, 2**64 - 1, 5], np.uint64)
    truth, labels = (np.repeat(ids[rng.integers(0, 5, (3, 40, 900))], 17, axis=-1)[..., :9000] for _ in range(2))
    errors = emfast.compare(truth, labels)
    found = error_map(backend(truth), backend(labels), errors)
    signed = emfast.compare(truth.view("i8"), labels)
    assert np.array_equal(found, error_map(backend(truth.view("i8")), backend(labels), signed))
    wrong = {kind: int((found == kind).sum()) for kind in ErrorClass}
    events = {kind: errors.events.voxels[errors.events.kind == kind].sum() for kind in ("missed", "spurious")}
    assert wrong[ErrorClass.MISSED] == events["missed"] > 0 and wrong[ErrorClass.SPURIOUS] == events["spurious"] == 0


def test_streams(tmp_path):
    zarr = pytest.importorskip("zarr")
    rng = np.random.default_rng(2)
    truth, labels = (np.kron(rng.integers(0, 5, (4, 5, 6)), np.ones((3, 2, 4), int)) for _ in range(2))
    errors = emfast.compare(truth, labels)
    out = zarr.create_array(tmp_path / "map.zarr", shape=truth.shape, dtype="u1", chunks=(4, 4, 4))
    volumes = [zarr.array(volume, chunks=(4, 4, 4)) for volume in (truth, labels)]
    error_map(*volumes, errors, out=out, block=(4, 8, 8), shift=2)
    assert np.array_equal(out[...], error_map(truth, labels, errors, shift=2))


def test_density():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 3]])
    labels = np.array([[5, 5, 7, 7, 7, 0, 0, 0, 0]])
    errors = emfast.compare(truth, labels)
    cost = dict(zip(errors.events.kind.tolist(), errors.events.cost.tolist(), strict=True))
    assert density(errors, 4, weight="count").tolist() == [[1, 2, 1]]
    assert density(errors, (1, 4), kind="split").tolist() == [[cost["split"], 0, 0]]
    assert density(errors, (1, 9)).sum() == pytest.approx(errors.events.cost.sum())
    assert density(errors, (1, 9), kind=("missed", "merge"), weight="count").tolist() == [[3]]


def test_errors():
    a = np.ones((2, 3), int)
    errors = emfast.compare(a, a)
    with pytest.raises(ValueError, match=r"errors must be of truth and labels of shape \(2, 4\), got those of shape"):
        error_map(np.ones((2, 4), int), np.ones((2, 4), int), errors)
    with pytest.raises(ValueError, match="they know no voxel of true id 1 and label 2"):
        error_map(a, 2 * a, errors)
    with pytest.raises(ValueError, match="shift must be at least 0"):
        error_map(a, a, errors, shift=-1)
    with pytest.raises(ValueError, match="out must have the shape of truth"):
        error_map(a, a, errors, out=np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="cell must be a positive number of voxels for each axis"):
        density(errors, (1, 0))
    with pytest.raises(TypeError, match="cell must be an integer or one per axis"):
        density(errors, 1.5)
    with pytest.raises(ValueError, match="weight must be 'cost' or 'count', got 'bits'"):
        density(errors, 1, weight="bits")
    with pytest.raises(ValueError, match="kind must be of split, merge, missed, spurious, got 'shift'"):
        density(errors, 1, kind="shift")


@pytest.mark.parametrize("shift", [40, 1e300, np.inf])
def test_shifts_beyond_the_volume(shift):
    """Steps end where the volume does; without that the first of these takes seconds and the others never end."""
    rng = np.random.default_rng(3)
    truth, labels = (rng.integers(0, 4, (6, 7, 8)) for _ in range(2))
    errors = emfast.compare(truth, labels)
    found = error_map(truth, labels, errors, shift=shift, block=(3, 7, 8))
    assert np.array_equal(found, error_map(truth, labels, errors, shift=14))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_what_holds_the_classes_is_written(dtype):
    truth, labels = np.array([[1, 1, 1, 2, 0]]), np.array([[5, 5, 7, 0, 0]])
    errors = emfast.compare(truth, labels)
    out = np.full(truth.shape, 77, dtype)
    assert error_map(truth, labels, errors, out=out) is out
    assert out.tolist() == [[0, 0, 1, 3, 255]]


@pytest.mark.parametrize(
    "out, kind, message",
    [
        (lambda a, b: np.zeros(a.shape, bool), TypeError, "out must hold the values of uint8, got bool"),
        (lambda a, b: np.zeros(a.shape, np.int8), TypeError, "out must hold the values of uint8, got int8"),
        (lambda a, b: np.zeros((2, 5), np.uint8), ValueError, r"out must have the shape of truth \(2, 4\), got"),
        (lambda a, b: a, ValueError, "out must not share memory with truth, which is read while it is written"),
        (lambda a, b: b[...], ValueError, "out must not share memory with labels"),
    ],
)
def test_what_cannot_be_written_is_left_alone(out, kind, message):
    a, b = np.array([[1, 1, 2, 2]] * 2, np.uint8), np.array([[1, 2, 2, 2]] * 2, np.uint8)
    given, before = out(a, b), out(a, b).copy()
    with pytest.raises(kind, match=message):
        error_map(a, b, emfast.compare(a, b), out=given, block=(1, 2), shift=1)
    assert np.array_equal(given, before)


@pytest.mark.parametrize("streamed", [False, True])
def test_nothing_is_written_for_errors_of_other_volumes(streamed):
    """The pair that is not known comes last; other errors of the same ids go through."""
    truth, labels = np.array([[1, 1, 2, 2, 2, 2]]), np.array([[5, 5, 5, 5, 6, 6]])
    errors, other = emfast.compare(truth, labels), np.where(np.arange(6) == 5, 7, labels)
    out = np.full(truth.shape, 77, np.uint8)
    options = {"out": out, "block": (1, 2) if streamed else None}
    with pytest.raises(ValueError, match="they know no voxel of true id 2 and label 7"):
        error_map(truth, other, errors, **options)
    assert (out == 77).all()
    mask = other != 7
    error_map(truth, other, errors, mask=mask, **options)
    assert out.tolist() == [[0, 0, 2, 2, 1, 255]]
    with pytest.raises(ValueError, match="they know no voxel of true id 2 and label 7"):
        error_map(truth, other, errors, check=False, out=out, block=(1, 2))
    with pytest.raises(ValueError, match="they know no voxel of true id 2 and label -7"):
        error_map(truth, -other, errors, out=out, mask=~mask, block=(1, 2))
    signs = emfast.compare(truth.astype("u8"), labels.astype("u8"))
    error_map(truth, labels, signs, **options)
    nothing = emfast.compare(truth, labels, mask=np.zeros_like(truth))
    with pytest.raises(ValueError, match="they know no voxel of true id 1 and label 5"):
        error_map(truth, labels, nothing, **options)


@pytest.mark.parametrize("shift", [25, 70])
def test_far_shifts_over_many_tiles(shift):
    """As if every step within the distance were tried."""
    made = emfast.phantom.make((6, 96, 110), seed=2)
    truth = made.labels
    labels = np.roll(truth, 5, axis=2)
    labels[:, :9] = np.where(labels[:, :9] == 0, 0, truth.max() + 1)
    spacing = (30.0, 8.0, 9.0)
    errors = emfast.compare(truth, labels, spacing=spacing)
    plain = error_map(truth, labels, errors)
    match = _Match(errors)
    expected = np.full(truth.shape, -1, np.int64)
    for i, j in zip(*match.right, strict=True):
        expected[truth == i] = j
    near = np.zeros(truth.shape, bool)
    reach = [int(shift / side) for side in spacing]
    for step in itertools.product(*(range(-r, r + 1) for r in reach)):
        if any(step) and sum((s * a) ** 2 for s, a in zip(step, spacing, strict=True)) <= shift**2:
            here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, truth.shape, strict=True))
            there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, truth.shape, strict=True))
            near[here] |= labels[here] == expected[there]
    wanted = np.where(near & ~np.isin(plain, (0, 255)), ErrorClass.SHIFT, plain)
    found = error_map(truth, labels, errors, shift=shift)
    assert np.array_equal(found, wanted)
    assert len(np.unique(found)) > 4
    assert np.array_equal(error_map(truth, labels, errors, shift=shift, block=(3, 40, 50)), found)


def test_a_merged_object_is_no_shift_but_for_its_border():
    truth, labels = np.repeat([[1, 2]], (5, 4), axis=1), np.full((1, 9), 5)
    errors = emfast.compare(truth, labels, spacing=(8, 8))
    assert error_map(truth, labels, errors, shift=16).tolist() == [[0, 0, 0, 0, 0, 5, 5, 2, 2]]
