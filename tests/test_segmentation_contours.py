"""Contours: the filter and the surfaces that move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from emfast import segmentation
from emfast.segmentation import contours as module
from strategies import label_arrays, shapes


@given(
    data=st.data(),
    sigma=st.sampled_from([0.5, 1.3]),
    ring=st.sampled_from([(0, 1), (1, 3), (2, 9)]),
    alpha=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_surround_suppression(data, sigma, ring, alpha):
    shape = data.draw(shapes(7))
    shape = tuple(min(n, 12) for n in shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(0, 256, shape).astype("u1")
    if data.draw(st.booleans()):
        image = (image / 7 - 10).astype(data.draw(st.sampled_from(["f4", "f8"])))
    out = segmentation.surround_suppression(image, sigma=sigma, inner=ring[0], outer=ring[1], alpha=alpha)
    assert out.dtype == np.float32
    sections = image if image.ndim == 3 else image[None]
    for z, section in enumerate(sections):
        expected = oracles.surround_suppression(section, *module._taps(sigma), *ring, alpha)
        assert np.array_equal(out[z] if image.ndim == 3 else out, expected)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0, 3.7])
def test_taps(sigma):
    smooth, slope = module._taps(sigma)
    places = np.arange(len(smooth)) - len(smooth) // 2
    assert sum(smooth) == pytest.approx(1, abs=1e-8)
    assert sum(slope) == 0
    assert (places * slope).sum() == pytest.approx(1, abs=1e-7)  # a ramp of 1
    assert smooth == smooth[::-1] and slope == [-s for s in slope[::-1]]


def test_contours_stay_and_texture_goes():
    rng = np.random.default_rng(0)
    image = np.zeros((60, 120))
    image[:, 30:] = 1.0
    image[:, 60:] = rng.random((60, 60))
    plain = segmentation.surround_suppression(image, alpha=0.0)
    out = segmentation.surround_suppression(image, alpha=1.0)
    assert out[20:40, 29:31].mean() > 0.7 * plain[20:40, 29:31].mean()
    assert out[:, 75:105].mean() < 0.4 * plain[:, 75:105].mean()


@given(
    labels=label_arrays(max_side=5, values=3),
    iterations=st.integers(0, 3),
    balloon=st.sampled_from([-1, 0, 1]),
    smoothing=st.integers(0, 2),
    per_section=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_refine_contours(backend, labels, iterations, balloon, smoothing, per_section, seed):
    labels = labels[tuple(slice(7) for _ in labels.shape)]
    rng = np.random.default_rng(seed)
    contour = rng.integers(0, 256, labels.shape).astype("u1")
    if rng.random() < 0.5:
        contour = (contour / 256).astype("f4")  # whole steps of the grid
    heights = contour.astype(int) if contour.dtype == np.uint8 else (contour * 2.0**20).astype(int)
    free = contour < 127.5 if contour.dtype == np.uint8 else contour < 0.5
    axes = tuple(range(labels.ndim))[1 if per_section and labels.ndim == 3 else 0 :]
    expected = oracles.refine_contours(labels, heights, free, axes, iterations, balloon, smoothing)
    out = segmentation.refine_contours(
        backend(labels),
        backend(contour),
        iterations=iterations,
        balloon=balloon,
        smoothing=smoothing,
        per_section=per_section,
    )
    assert np.array_equal(backend.host(out), expected)


def test_a_small_ball_swells_to_its_contour():
    z, y, x = np.indices((25, 25, 25)) - 12
    radius = np.sqrt(z**2 + y**2 + x**2)
    contour = np.exp(-((radius - 8) ** 2) / 4)
    seed = np.where(radius <= 3, 9, 0)
    out = segmentation.refine_contours(seed, contour, iterations=12, balloon=1, threshold=0.3)
    assert (out[radius <= 6] == 9).all()
    assert (out[radius >= 9.5] == 0).all()
    assert (segmentation.refine_contours(seed, contour, iterations=0) == seed).all()


def test_errors_name_the_argument():
    ones, labels = np.ones((2, 3, 3)), np.ones((2, 3, 3), int)
    for call, error, words in [
        (lambda: segmentation.surround_suppression(ones, sigma=0.1), ValueError, "sigma must be from 0.25"),
        (
            lambda: segmentation.surround_suppression(ones, inner=5, outer=5),
            ValueError,
            "inner must be less than outer",
        ),
        (lambda: segmentation.surround_suppression(ones, outer=2.5), ValueError, "outer must be a whole number"),
        (lambda: segmentation.surround_suppression(ones * np.inf), ValueError, "image must be finite"),
        (lambda: segmentation.surround_suppression(labels.astype("u2")), TypeError, "image must be uint8 or floats"),
        (lambda: segmentation.refine_contours(labels, ones[:1]), ValueError, "contour must have the shape"),
        (lambda: segmentation.refine_contours(labels, 2 * ones), ValueError, "contour must be from 0 to 1"),
        (lambda: segmentation.refine_contours(labels, ones, balloon=2), ValueError, "balloon must be"),
        (lambda: segmentation.refine_contours(labels, ones, iterations=-1), ValueError, "iterations must be"),
        (lambda: segmentation.refine_contours(ones, ones), TypeError, "labels must be"),
    ]:
        with pytest.raises(error, match=words):
            call()
