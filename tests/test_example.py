import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from emfast._arrays import take


@given(
    data=st.data(), dtype=st.sampled_from(["u1", "u2", "u4", "u8"]), n=st.integers(0, 300), factor=st.integers(0, 99)
)
def test_scale_add_is_modular(backend, data, dtype, n, factor):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = (rng.integers(0, np.iinfo(dtype).max, n, dtype, endpoint=True) for _ in range(2))
    ta, tb = (take(backend(v), "a", dims=None) for v in (a, b))
    out = ta.native.example_scale_add(ta.library, ta.array, tb.array, factor)
    assert np.array_equal(backend.host(ta.give(out)), oracles.scale_add(a, b, factor))


@given(n=st.integers(0, 1000), seed=st.integers(0, 2**32 - 1))
def test_tile_minimum(backend, n, seed):
    a = np.random.default_rng(seed).integers(0, 2**32, n, "u4")
    t = take(backend(a), "a", dims=None)
    out = backend.host(t.give(t.native.example_tile_minimum(t.library, t.array), plain=True))
    assert out.tolist() == [a[i : i + 64].min() for i in range(0, n, 64)]


def test_disagreeing_shapes_are_named(backend):
    a, b = (take(backend(np.zeros(n, "u4")), "a", dims=None) for n in (3, 4))
    with pytest.raises(ValueError, match=r"b must have the shape of a \(3,\), got \(4,\)"):
        a.native.example_scale_add(a.library, a.array, b.array, 1)
