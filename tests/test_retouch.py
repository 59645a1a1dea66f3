import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from emfast._arrays import take

INF = math.inf


def changed(backend, name, image, *arguments):
    """The image (samples, c, z, y, x) after a native call."""
    t = take(backend(image.copy()), "image", kinds="f", dims=None)
    given_arrays = [backend(a) if isinstance(a, np.ndarray) else a for a in arguments]
    getattr(t.native, name)(t.library, t.array, *given_arrays)
    return backend.host(t.library.give(t.array))


def tones(*rows):
    return np.array(rows, "f4")


STILL = (1, 0, 0, 1, 1, 0, -INF, INF)


def images(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype("f4")


def test_gains_and_bounds_go_by_section(backend):
    image = images((2, 2, 2, 3, 5))
    table = tones(STILL, (2, -0.5, 0, 1, 1, 0, -INF, INF), (1, 0, 0, 1, 1, 0, 0.25, 0.5), (3, 0, 0, 1, 1, 0, -INF, 1))
    out = changed(backend, "retouch_tone", image, table, np.zeros(4, "u8"))
    assert np.array_equal(out[0, :, 0], image[0, :, 0])
    assert np.array_equal(out[0, :, 1], image[0, :, 1] * np.float32(2) + np.float32(-0.5))
    assert np.array_equal(out[1, :, 0], np.clip(image[1, :, 0], np.float32(0.25), np.float32(0.5)))
    assert np.array_equal(out[1, :, 1], np.minimum(image[1, :, 1] * np.float32(3), 1))


@given(gamma=st.floats(0.05, 20), low=st.floats(-50, 50), unit=st.floats(0.5, 300))
def test_powers_are_those_of_double_precision(backend, gamma, low, unit):
    low, unit, gamma = (float(np.float32(v)) for v in (low, unit, gamma))
    image = (low + unit * np.linspace(-0.1, 1.1, 60)).astype("f4").reshape(1, 1, 1, 1, 60)
    out = changed(backend, "retouch_tone", image, tones((1, 0, low, unit, gamma, 0, -INF, INF)), np.zeros(1, "u8"))
    u = np.clip((image.astype("f8") - low) / unit, 0, 1)
    # u is known to a few 2^-24 of |low| / unit + 1, which the power makes up to gamma times as large.
    slack = 2**-20 * (abs(low) + unit)
    error = np.abs(out - (low + unit * u**gamma))
    assert (error[u >= 0.01] <= slack * max(1, gamma, 1 / gamma) * 100 ** max(0, 1 - gamma)).all()
    assert (out[u == 0] <= low + unit * 1e-30**gamma + slack).all()


def test_noise_is_normal_and_a_function_of_key_and_place(backend):
    shape = (1, 2, 3, 64, 65)
    table = tones(*[(1, 0, 0, 1, 1, sigma, -INF, INF) for sigma in (1, 1, 4)])
    keys = np.array([5, 6, 5], "u8")
    out = changed(backend, "retouch_tone", np.zeros(shape, "f4"), table, keys).astype("f8")
    n = 64 * 65
    for plane in out.reshape(6, n) / np.array([1, 1, 4] * 2)[:, None]:
        assert abs(plane.mean()) < 5 / math.sqrt(n)
        assert abs(plane.var() - 1) < 5 * math.sqrt(2 / n)
        assert abs((plane**4).mean() - 3) < 5 * math.sqrt(96 / n)  # the fourth moment of a deviate has variance 105 - 9
        assert abs((plane[1:] * plane[:-1]).mean()) < 5 / math.sqrt(n)
    assert np.array_equal(out[0, 0, 0] * 4, out[0, 0, 2])  # one key
    flat = [out[0, c, z].ravel() for c, z in ((0, 0), (0, 1), (1, 0))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs((flat[a] * flat[b]).mean()) < 5 / math.sqrt(n)
    again = changed(backend, "retouch_tone", np.zeros((1, 1, 1, 64, 65), "f4"), table[:1], keys[:1])
    assert np.array_equal(again[0, 0, 0], out[0, 0, 0])


def test_modules_agree_on_all_tones(backend):
    from emfast import _core
    from emfast._arrays import Host

    image = images((2, 2, 3, 5, 37))
    table = np.random.default_rng(3).random((6, 8)).astype("f4") + np.array([0, 0, -1, 1, 0.1, 0, -2, 1], "f4")
    keys = np.arange(6, dtype="u8") * 77
    here = image.copy()
    _core.retouch_tone(Host(), here, table, keys)
    assert np.array_equal(changed(backend, "retouch_tone", image, table, keys), here)


def test_means(backend):
    image = images((2, 2, 2, 7, 19)) - np.float32(0.5)
    t = take(backend(image), "image", kinds="f", dims=None)
    means = backend.host(t.library.give(t.native.retouch_means(t.library, t.array)))
    assert means.shape == (2, 2, 2)
    assert np.allclose(means, image.astype("f8").mean((3, 4)), rtol=0, atol=1e-15)


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 8)), seed=st.integers(0, 2**32 - 1))
def test_sums_of_neighbours(backend, shape, seed):
    rng = np.random.default_rng(seed)
    image = rng.random((2, 2, *shape)).astype("f4")
    sections = rng.permutation(2 * shape[0])[: rng.integers(1, 2 * shape[0] + 1)].astype("i8")
    starts = np.cumsum([0, *rng.integers(1, 5, len(sections))]).astype("i8")
    steps = rng.integers(-9, 10, (starts[-1], 3)).astype("i4")
    weights = rng.uniform(-1, 1, starts[-1]).astype("f4")
    out = changed(backend, "retouch_smooth", image, sections, starts, steps, weights)
    for sample in range(2):
        mine = [k for k, s in enumerate(sections) if s // shape[0] == sample]
        expected = image[sample]
        for k in mine:  # each from what was there before
            one = oracles.weighted_neighbours(
                image[sample], [sections[k] % shape[0]], starts[k : k + 2], steps, weights
            )
            expected = np.where((np.arange(shape[0]) == sections[k] % shape[0])[:, None, None], one, expected)
        assert np.array_equal(out[sample], expected)


def test_boxes_are_filled_one_after_another(backend):
    image = images((2, 2, 3, 4, 5))
    boxes = [[1, 0, 2, 1, 3, 2, 5], [1, 1, 3, 0, 4, 4, 5], [0, 1, 1, 0, 4, 0, 5]]
    out = changed(backend, "retouch_fill", image, boxes, [7.0, 8.0, 9.0])
    image[1, :, 0:2, 1:3, 2:5] = 7
    image[1, :, 1:3, 0:4, 4:5] = 8
    assert np.array_equal(out, image)
    with pytest.raises(ValueError, match="boxes must lie within the image"):
        changed(backend, "retouch_fill", image, [[0, 0, 4, 0, 1, 0, 1]], [1.0])


def test_layers_cover(backend):
    image = images((1, 2, 3, 4, 5))
    values, covers = images((2, 4, 5), 1), images((2, 4, 5), 2)
    out = changed(backend, "retouch_overlay", image, np.array([2, 0], "i8"), values, covers)
    for k, z in enumerate((2, 0)):
        image[:, :, z] += covers[k] * (values[k] - image[:, :, z])
    assert np.array_equal(out, image)


def test_flat_histograms(backend):
    image = images((1, 2, 3, 20, 30)) ** 2 * 255
    out = changed(backend, "retouch_equalise", image, np.array([2, 0], "i8"), np.array([1, 0.25], "f4"), 0.0, 255.0)
    for c in range(2):
        assert np.array_equal(out[0, c, 1], image[0, c, 1])
        for z, amount in ((2, 1.0), (0, 0.25)):
            assert np.allclose(out[0, c, z], oracles.equalised(image[0, c, z], amount, 0, 255), rtol=0, atol=1e-3)
    share = np.sort(out[0, 0, 2].ravel()) / 255
    fullest = np.bincount(np.minimum(image[0, 0, 2].ravel() * 256 / 255, 255).astype(int)).max()
    assert np.abs(share - np.arange(600) / 600).max() <= fullest / 600  # a voxel stays within the part of its bin
