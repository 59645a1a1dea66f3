import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import LABEL_DTYPES, layouts

SPACINGS = st.sampled_from([(1, 1, 1), (30, 8, 8), (4.6, 2.3, 0.7)])
RADII = st.sampled_from([0, 0.7, 1, 1.5, 2, 2.3, 8, 8.0001, 30, 31.04, float("inf")])


@st.composite
def sparse(draw):
    shape = draw(st.sampled_from([2, 3]).flatmap(lambda d: st.tuples(*[st.integers(0, 5 if d == 3 else 9)] * d)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(1, 4, shape) * (rng.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.9, 1])))
    if draw(st.booleans()):
        labels = np.minimum(labels, 1)
    return labels.astype(draw(st.sampled_from(LABEL_DTYPES)))


@given(labels=sparse(), radius=RADII, spacing=SPACINGS, layout=st.integers(0, 3))
def test_erosion_is_the_oracle(backend, labels, radius, spacing, layout):
    spacing = spacing[3 - labels.ndim :]
    result = backend.host(emfast.erode(backend(layouts(labels)[layout]), radius=radius, spacing=spacing))
    assert result.dtype == labels.dtype
    assert np.array_equal(result, oracles.erode(labels, min(radius, 1e6), spacing))


@given(labels=sparse(), radius=RADII, spacing=SPACINGS, layout=st.integers(0, 3))
def test_dilation_is_the_oracle(backend, labels, radius, spacing, layout):
    spacing = spacing[3 - labels.ndim :]
    result = backend.host(emfast.dilate(backend(layouts(labels)[layout]), radius=radius, spacing=spacing))
    assert result.dtype == labels.dtype
    assert np.array_equal(result, oracles.dilate(labels, min(radius, 1e6), spacing))


@given(labels=sparse(), radius=RADII)
def test_erosion_with_a_border_is_erosion_within_a_shell(backend, labels, radius):
    if labels.size == 0:
        return
    inner = backend.host(emfast.erode(backend(labels), radius=radius, border=True))
    around = np.pad(labels, 1)
    assert np.array_equal(
        inner, oracles.erode(around, min(radius, 1e6), (1.0,) * labels.ndim)[(slice(1, -1),) * labels.ndim]
    )


@pytest.mark.parametrize("radius", [8999.9999, 9000, 9000.0001, 9013])
def test_squares_that_share_a_float_are_told_apart(backend, radius):
    """Beyond 2^24 neighbouring integers become one float32; the decision is on the integers."""
    labels = np.full((1901, 3101), 2, "u1")
    labels[0, 0] = 1
    y, x = np.ogrid[: labels.shape[0], : labels.shape[1]]
    squares = 25 * y * y + 9 * x * x
    limit = math.floor(Fraction(repr(float(radius))) ** 2)
    shared = np.float32(squares) == np.float32(limit)
    assert shared.any()
    wanted = np.where(squares <= limit, 0, 2).astype("u1")
    result = backend.host(emfast.erode(backend(labels), radius=radius, spacing=(5, 3)))
    assert np.array_equal(result, wanted)


@given(labels=sparse(), radius=st.floats(0, 6), more=st.floats(0, 3))
def test_larger_radii_reach_farther(backend, labels, radius, more):
    small, large = (backend.host(emfast.dilate(backend(labels), radius=r)) for r in (radius, radius + more))
    assert np.array_equal(large[small != 0], small[small != 0])
    small, large = (backend.host(emfast.erode(backend(labels), radius=r)) for r in (radius, radius + more))
    assert np.array_equal(small[large != 0], large[large != 0])
    assert np.array_equal(labels[small != 0], small[small != 0])


@given(labels=sparse(), radius=st.floats(0, 6))
def test_eroded_then_dilated_stays_within_a_lone_label(backend, labels, radius):
    alone = np.minimum(labels != 0, 1).astype("u1")
    opened = backend.host(emfast.dilate(emfast.erode(backend(alone), radius=radius), radius=radius))
    assert (alone[opened != 0] == 1).all()


@given(labels=sparse())
def test_radius_zero_changes_nothing(backend, labels):
    assert np.array_equal(backend.host(emfast.erode(backend(labels), radius=0)), labels)
    assert np.array_equal(backend.host(emfast.dilate(backend(labels), radius=0)), labels)


@pytest.mark.parametrize("function", [emfast.erode, emfast.dilate])
@pytest.mark.parametrize(
    ("error", "radius", "message"),
    [
        (ValueError, -1, "radius must not be negative, got -1"),
        (ValueError, float("nan"), "radius must not be negative, got nan"),
        (TypeError, "far", "radius must be a number, got 'far'"),
    ],
)
def test_wrong_radii_are_named(function, error, radius, message):
    with pytest.raises(error, match=message):
        function(np.zeros((2, 2), "u1"), radius=radius)
