"""seeded_watershed: oracles, laws, scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import layouts, shapes

DTYPES = ["u1", "u2", "u4", "i2", "i4", "f2", "f4"]


def axes_of(connectivity):
    return {4: 1, 6: 1, 8: 2, 18: 2, 26: 3}[connectivity]


@st.composite
def maps(draw, max_side=5, dtypes=tuple(DTYPES)):
    """(height, seeds): few heights, so that plateaus are common, or many; the dtype's ends; some seeds or none."""
    shape = draw(shapes(max_side))
    while np.prod(shape) > 220:
        shape = (*shape[:-1], shape[-1] // 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    levels = draw(st.sampled_from([1, 2, 3, 6, 200]))
    values = rng.integers(0, levels, shape)
    if dtype.kind == "f":
        height = ((values - levels // 2) / 2).astype(dtype)
        height[(height == 0) & (rng.random(shape) < 0.3)] = -0.0
        height[rng.random(shape) < draw(st.sampled_from([0, 0.1]))] = np.inf
        height[rng.random(shape) < draw(st.sampled_from([0, 0.1]))] = -np.inf
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        where = draw(st.sampled_from(["low", "high", "middle"]))
        first = {"low": low, "high": high - levels + 1, "middle": (low + high) // 2 - levels // 2}[where]
        height = (values + first).astype(dtype)
    share = draw(st.sampled_from([0, 0.05, 0.3]))
    seeds = np.where(rng.random(shape) < share, rng.integers(1, 5, shape), 0)
    seeds = seeds.astype(draw(st.sampled_from(["u1", "u2", "i4", "i8"])))
    return height, seeds


@given(data=st.data(), pair=maps())
def test_equals_the_oracle(backend, data, pair):
    height, seeds = pair
    connectivity = data.draw(st.sampled_from([6, 18, 26] if height.ndim == 3 else [4, 8]))
    per_section = height.ndim == 3 and data.draw(st.booleans())
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(height.shape) < 0.8
    lines = data.draw(st.booleans())
    out = emfast.seeded_watershed(
        backend(height),
        backend(seeds),
        mask=None if mask is None else backend(mask),
        connectivity=connectivity,
        per_section=per_section,
        lines=lines,
    )
    axes = axes_of(connectivity)
    expected = oracles.seeded_watershed(height, seeds, axes, mask, per_section)
    if lines:
        expected = oracles.lines_between(expected, height, seeds, axes, mask, per_section)
    out = backend.host(out)
    assert out.dtype == seeds.dtype
    assert np.array_equal(out, expected)


def smooth(shape, seed, levels=None):
    values = np.random.default_rng(seed).random(shape)
    for axis in range(len(shape)):
        values = sum(np.roll(values, k, axis) for k in (0, 1, 2)) / 3
    return values.astype("f4") if levels is None else np.floor(values * levels).astype("u1")


def scattered(shape, seed, share=0.002):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, rng.integers(1, 200, shape), 0).astype("i4")


@pytest.mark.parametrize("levels", [None, 40, 6, 2])
@pytest.mark.parametrize("connectivity", [6, 26])
def test_threads_and_plain_schedule_agree(backend, threads, levels, connectivity, monkeypatch):
    shape = (60, 40, 70) if backend.name == "core" else (6, 10, 70)
    height, seeds = smooth(shape, 1, levels), scattered(shape, 2)
    emfast.set_threads(1)
    monkeypatch.setattr(emfast._native, "host", emfast._core)
    expected = emfast.seeded_watershed(height, seeds, connectivity=connectivity)
    monkeypatch.undo()
    emfast.set_threads(threads)
    out = emfast.seeded_watershed(backend(height), backend(seeds), connectivity=connectivity)
    assert np.array_equal(backend.host(out), expected)


def test_a_long_plateau(backend):
    """Steps end at 65,534; beyond, edges go by id."""
    if backend.name == "emu":
        pytest.skip("65,534 rounds of scrambled threads take a minute")
    height = np.zeros((1, 140_000), "u1")
    seeds = np.zeros(height.shape, "u1")
    seeds[0, 0] = 1
    assert (backend.host(emfast.seeded_watershed(backend(height), backend(seeds))) == 1).all()
    seeds[0, -1] = 2
    out = backend.host(emfast.seeded_watershed(backend(height), backend(seeds)))
    assert (out[0, :65_535] == 1).all() and (out[0, -65_535:] == 2).all()
    assert (np.diff(out[0]) != 0).sum() == 1


@given(pair=maps())
def test_heights_count_by_order_alone(backend, pair):
    height, seeds = pair
    ranks = np.unique(height, return_inverse=True)[1].reshape(height.shape).astype("i4") - 3
    out = [backend.host(emfast.seeded_watershed(backend(h), backend(seeds))) for h in (height, ranks)]
    assert np.array_equal(*out)


@given(pair=maps(max_side=4))
def test_layout_does_not_matter(backend, pair):
    height, seeds = pair
    expected = backend.host(emfast.seeded_watershed(backend(height), backend(seeds)))
    for same in layouts(height):
        assert np.array_equal(backend.host(emfast.seeded_watershed(backend(same), backend(seeds))), expected)


@given(pair=maps())
def test_labels_are_reached_over_the_lowest_pass(backend, pair):
    """No other seed can be reached over a lower pass than the one a voxel went to."""
    height, seeds = pair
    if height.dtype.kind == "f" or height.size > 60 or not seeds.any():
        return
    out = backend.host(emfast.seeded_watershed(backend(height), backend(seeds)))
    best = np.full(height.shape, np.iinfo(np.int64).max)
    own = best.copy()
    for level in np.unique(height):
        parts = emfast.connected_components((height <= level).astype("u1"), connectivity=6 if height.ndim == 3 else 4)
        for p in np.argwhere(height <= level):
            p = tuple(p)
            held = set(seeds[parts == parts[p]].tolist()) - {0}
            if held and best[p] > level:
                best[p] = level
            if int(out[p]) in held and own[p] > level:
                own[p] = level
    assert np.array_equal(best, own)


@pytest.mark.parametrize("levels", [None, 40, 6, 1])
@pytest.mark.parametrize("connectivity", [4, 6, 8, 18, 26])
@pytest.mark.parametrize("way", ["plain", "lines", "compact"])
def test_scikit_image_order_gives_its_pixels(backend, levels, connectivity, way):
    skimage = pytest.importorskip("skimage.segmentation")
    if way == "lines" and connectivity > 8:
        pytest.skip("scikit-image does not end here")
    shape = (37, 41) if connectivity in (4, 8) else (9, 17, 21)
    mask = smooth(shape, 5) < 0.6
    for seed in range(3):
        height, seeds = smooth(shape, seed, levels), scattered(shape, seed, 0.02)
        for inside in (None, mask):
            expected = skimage.watershed(
                height,
                seeds,
                connectivity=axes_of(connectivity),
                mask=inside,
                watershed_line=way == "lines",
                compactness=0.01 if way == "compact" else 0,
            )
            out = emfast.seeded_watershed(
                backend(height),
                backend(seeds),
                connectivity=connectivity,
                mask=None if inside is None else backend(inside),
                lines=way == "lines",
                compactness=0.01 if way == "compact" else 0,
                order="scikit-image",
            )
            assert np.array_equal(backend.host(out), expected)


def test_scikit_image_order_per_section(backend):
    height, seeds = smooth((3, 20, 20), 0), scattered((3, 20, 20), 0, 0.02)
    out = emfast.seeded_watershed(backend(height), backend(seeds), per_section=True, order="scikit-image")
    for z in range(3):
        part = emfast.seeded_watershed(backend(height[z]), backend(seeds[z]), order="scikit-image")
        assert np.array_equal(backend.host(out)[z], backend.host(part))


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_nan_is_refused(backend, threads, dtype):
    height = smooth((5, 6, 70), 0).astype(dtype)
    height[4, 5, 69] = height[1, 2, 3] = np.nan
    seeds = scattered(height.shape, 0)
    with pytest.raises(ValueError, match=r"height must not be NaN, got one at \(1, 2, 3\)"):
        emfast.seeded_watershed(backend(height), backend(seeds))
    emfast.seeded_watershed(backend(height), backend(seeds), mask=backend(~np.isnan(height)))


def test_errors_name_the_argument():
    height, seeds = np.zeros((3, 4, 5), "f4"), np.zeros((3, 4, 5), "i4")
    run = emfast.seeded_watershed
    with pytest.raises(TypeError, match=r"height must be integers of 8 .* or float32, got float64"):
        run(height.astype("f8"), seeds)
    with pytest.raises(TypeError, match="seeds must be an array of signed integers, unsigned integers, got float32"):
        run(height, height)
    with pytest.raises(ValueError, match=r"seeds must have the shape of height \(3, 4, 5\), got \(4, 5\)"):
        run(height, seeds[0])
    with pytest.raises(ValueError, match=r"mask must have the shape of height \(3, 4, 5\), got \(4, 5\)"):
        run(height, seeds, mask=np.ones((4, 5), bool))
    with pytest.raises(ValueError, match="connectivity must be 6, 18 or 26"):
        run(height, seeds, connectivity=7)
    with pytest.raises(ValueError, match=r"per_section needs a volume \(z, y, x\), got a picture"):
        run(height[0], seeds[0], per_section=True)
    with pytest.raises(ValueError, match='order must be "exact" or "scikit-image", got \'fast\''):
        run(height, seeds, order="fast")
    with pytest.raises(ValueError, match='compactness needs order="scikit-image"'):
        run(height, seeds, compactness=1)
    with pytest.raises(ValueError, match="compactness must be finite and at least 0, got -1"):
        run(height, seeds, compactness=-1, order="scikit-image")
    with pytest.raises(TypeError, match="compactness must be a number, got 'much'"):
        run(height, seeds, compactness="much")


@given(data=st.data(), pair=maps(max_side=4))
def test_h_maxima_equal_the_oracle(backend, data, pair):
    values, _ = pair
    if values.size > 70 or not np.isfinite(values.astype("f8")).all():
        return
    connectivity = data.draw(st.sampled_from([6, 18, 26] if values.ndim == 3 else [4, 8]))
    per_section = values.ndim == 3 and data.draw(st.booleans())
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(values.shape) < 0.8
    h = data.draw(st.sampled_from([0.5, 1, 2, 100]))
    out = emfast.h_maxima(
        backend(values),
        h,
        mask=None if mask is None else backend(mask),
        connectivity=connectivity,
        per_section=per_section,
    )
    expected = oracles.h_maxima(values.astype("f8"), h, axes_of(connectivity), mask, per_section)
    assert np.array_equal(backend.host(out), expected)


@pytest.mark.parametrize("h", [1, 3, 10])
def test_h_maxima_equal_those_of_scikit_image(backend, h):
    morphology = pytest.importorskip("skimage.morphology")
    for shape in ((40, 50), (12, 20, 24)):
        values = smooth(shape, 3, 60)
        out = backend.host(emfast.h_maxima(backend(values), h))
        assert np.array_equal(out, morphology.h_maxima(values, h) > 0)


@given(data=st.data(), pair=maps(max_side=5))
def test_distance_peaks_equal_the_oracle(backend, data, pair):
    values, _ = pair
    dims = values.ndim
    per_section = dims == 3 and data.draw(st.booleans())
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(values.shape) < 0.6
    separation = data.draw(st.sampled_from([0, 1, 1.5, 2, 3.7]))
    spacing = data.draw(st.sampled_from([(1, 1, 1), (3, 1, 0.5)]))[3 - dims :]
    threshold = data.draw(st.sampled_from([-1e30, 0, 1, 2.5, 1e30]))
    out, count = emfast.distance_peaks(
        backend(values),
        separation=separation,
        threshold=threshold,
        spacing=spacing,
        mask=None if mask is None else backend(mask),
        per_section=per_section,
        return_count=True,
    )
    expected = oracles.distance_peaks(values.astype("f8"), separation, threshold, spacing, mask, per_section)
    assert np.array_equal(backend.host(out), expected)
    assert count == expected.max(initial=0)


def test_errors_of_markers_name_the_argument():
    values = np.zeros((3, 4, 5), "f4")
    with pytest.raises(TypeError, match=r"values must be integers of 8 .* or float32, got float64; convert it"):
        emfast.h_maxima(values.astype("f8"), 1)
    with pytest.raises(ValueError, match=r"h must be above 0, got 0"):
        emfast.h_maxima(values, 0)
    with pytest.raises(TypeError, match=r"h must be a number, got 'deep'"):
        emfast.h_maxima(values, "deep")
    with pytest.raises(ValueError, match=r"per_section needs a volume"):
        emfast.h_maxima(values[0], 1, per_section=True)
    with pytest.raises(ValueError, match=r"separation must be finite and at least 0, got -1"):
        emfast.distance_peaks(values, separation=-1)
    with pytest.raises(ValueError, match=r"threshold must be a number, got nan"):
        emfast.distance_peaks(values, threshold=float("nan"))
    with pytest.raises(ValueError, match=r"spacing must have one number per axis \(3\)"):
        emfast.distance_peaks(values, spacing=(1, 1))
    values[1, 2, 3] = np.nan
    for call in (emfast.distance_peaks, lambda v: emfast.h_maxima(v, 1)):
        with pytest.raises(ValueError, match=r"values must not be NaN, got one at \(1, 2, 3\)"):
            call(values)
