import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from emfast._arrays import take


def run(backend, image, labels, masks, sections, grid, step, shape):
    """Arrays of samples (n, ...) through the native call; back as NumPy."""
    t = take(backend(sections), "sections", kinds="f", dims=None)

    def native(array):
        return None if array is None else backend(array)

    source = next(a for a in (image, *labels, *masks) if a is not None).shape[-3:]
    images, ids, known = t.native.resample(
        t.library,
        native(image),
        [native(a) for a in labels],
        [native(a) for a in masks],
        t.array,
        native(grid),
        step,
        list(shape),
        list(source),
    )

    def back(array):
        return backend.host(t.library.give(array))

    return (None if images is None else back(images)), [back(a) for a in ids], [back(a) for a in known]


def still(shape, at=(0, 0, 0)):
    """The table of a map that moves nothing but by whole voxels."""
    table = np.zeros((1, shape[0], 9), np.float32)
    table[0, :, 0] = np.arange(shape[0]) + at[0]
    table[0, :, 1], table[0, :, 2] = at[1:]
    table[0, :, 4] = table[0, :, 8] = 1
    return table


sides = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 9))


@given(
    source=sides,
    shape=sides,
    axes=st.sampled_from([0, 2, 3]),
    planar=st.booleans(),
    step=st.integers(1, 5),
    pixel=st.sampled_from(["u1", "u2", "f4"]),
    width=st.sampled_from(["u1", "i2", "u4", "i8", "?"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_oracle(backend, source, shape, axes, planar, step, pixel, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (2, 2, *source)).astype(pixel)
    labels = rng.integers(-3, 100, (2, *source)).astype(width)
    mask = rng.random((2, *source)) < 0.7
    sections = rng.uniform(-1.5, 1.5, (2, shape[0], 9)).astype("f4")
    sections[..., :3] += np.array(source, "f4") / 2
    if planar:  # z is that of a whole section in some rows, between two in others
        sections[..., [3, 6]] = 0
        sections[0, :, 0] = np.round(sections[0, :, 0])
    rows, columns = (-(-n // step) + 1 for n in shape[1:])
    grid = rng.uniform(-2, 2, (2, shape[0], axes, rows, columns)).astype("f4") if axes else None
    out, (ids,), (known,) = run(backend, image, [labels], [mask], sections, grid, step, shape)
    assert out.dtype == np.float32 and ids.dtype == labels.dtype and known.dtype == bool
    for k in range(2):
        field = None if grid is None else grid[k]
        expected = oracles.resample(image[k], labels[k], mask[k], sections[k], field, step, shape)
        for ours, theirs in zip((out[k], ids[k], known[k]), expected, strict=True):
            assert np.array_equal(ours, theirs)


@given(source=sides, data=st.data())
def test_whole_shifts_are_slices(backend, source, data):
    shape = tuple(data.draw(st.integers(1, n)) for n in source)
    at = tuple(data.draw(st.integers(0, n - s)) for n, s in zip(source, shape, strict=True))
    image = np.random.default_rng(0).standard_normal((1, 1, *source)).astype("f4")
    labels = np.arange(np.prod(source), dtype="u8").reshape(1, *source)
    out, (ids,), (known,) = run(backend, image, [labels], [None], still(shape, at), None, 1, shape)
    box = tuple(slice(a, a + n) for a, n in zip(at, shape, strict=True))
    assert np.array_equal(out[0, 0], image[(0, 0, *box)])
    assert np.array_equal(ids[0], labels[(0, *box)]) and known.all()


def test_outside_is_clamped_and_unknown(backend):
    image = np.arange(4, dtype="u1").reshape(1, 1, 1, 1, 4)
    labels = np.arange(1, 5, dtype="u4").reshape(1, 1, 1, 4)
    table = still((1, 1, 8), (0, 0, -2))
    out, (ids,), (known,) = run(backend, image, [labels], [np.ones_like(labels, bool)], table, None, 1, (1, 1, 8))
    assert out.ravel().tolist() == [0, 0, 0, 1, 2, 3, 3, 3]
    assert ids.ravel().tolist() == [0, 0, 1, 2, 3, 4, 0, 0]
    assert known.ravel().tolist() == [False] * 2 + [True] * 4 + [False] * 2
    far = still((1, 1, 8), (-9, 0, 0))
    assert not run(backend, None, [], [np.ones_like(labels, bool)], far, None, 1, (1, 1, 8))[2][0].any()


def test_positions_that_no_integer_holds_are_outside(backend):
    table = np.full((1, 2, 9), 3e38, "f4")
    table[0, 1] = np.nan
    labels = np.ones((1, 2, 3, 4), "u2")
    out, (ids,), (known,) = run(backend, labels.astype("f4")[None], [labels], [None], table, None, 1, (2, 3, 4))
    assert (out == 1).all() and not ids.any() and not known.any()


def test_boxes_inside_larger_arrays_are_read_in_place(backend):
    rng = np.random.default_rng(1)
    image, labels = rng.integers(0, 255, (2, 9, 11, 13), "u1"), rng.integers(0, 99, (9, 11, 13), "i8")
    wide = np.zeros((9, 11, 26), bool)  # of other strides than the labels
    wide[:, :, :13] = rng.random((9, 11, 13)) < 0.5
    box = (slice(2, 7), slice(3, 9), slice(1, 12))
    table = rng.uniform(-1, 1, (1, 4, 9)).astype("f4") + np.array([2, 3, 4, 0, 0, 0, 0, 0, 0], "f4")
    views = [image[(slice(None), *box)][None], labels[box][None], wide[box][None]]
    dense = [np.ascontiguousarray(a) for a in views]
    one, two = (run(backend, a[0], [a[1]], [a[2]], table, None, 1, (4, 5, 6)) for a in (views, dense))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1][0], two[1][0]) and np.array_equal(one[2][0], two[2][0])


def test_refused_arguments(backend):
    image, labels = np.zeros((1, 1, 2, 3, 4), "u1"), np.zeros((1, 2, 3, 4), "u4")
    table, shape = still((2, 3, 4)), (2, 3, 4)
    with pytest.raises(ValueError, match="image must be uint8, uint16 or float32, got f8"):
        run(backend, image.astype("f8"), [], [], table, None, 1, shape)
    with pytest.raises(ValueError, match=r"sections must be float32 of shape \(samples, z, 9\)"):
        run(backend, image, [], [], table, None, 1, (3, 3, 4))
    with pytest.raises(ValueError, match="labels must have one volume for each sample, of the shape of the source"):
        run(backend, image, [labels[:, :1]], [], table, None, 1, shape)
    with pytest.raises(ValueError, match="grid must reach beyond the last voxel, got 2 by 2 nodes"):
        run(backend, image, [], [], table, np.zeros((1, 2, 2, 2, 2), "f4"), 3, shape)
    with pytest.raises(ValueError, match="grid must have 2 or 3 axes, got 1"):
        run(backend, image, [], [], table, np.zeros((1, 2, 1, 9, 9), "f4"), 3, shape)
    with pytest.raises(ValueError, match="masks must have one byte for each voxel, got u4"):
        run(backend, image, [], [labels], table, None, 1, shape)
