"""Hypothesis strategies shared by the tests: small odd shapes find most mistakes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

LABEL_DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]


def shapes(max_side: int = 9, dims: tuple[int, ...] = (2, 3), min_side: int = 0) -> st.SearchStrategy:
    """2D and 3D shapes, empty axes included; now and then a long row, past the 64-voxel words of the bodies."""
    small = st.sampled_from(dims).flatmap(lambda d: st.tuples(*[st.integers(min_side, max_side)] * d))
    long = st.sampled_from(dims).flatmap(
        lambda d: st.tuples(*[st.integers(max(1, min_side), 3)] * (d - 1), st.integers(60, 200))
    )
    return st.one_of(small, small, long)


def label_arrays(
    max_side: int = 9, dtypes: list[str] | None = None, values: int = 3, dims: tuple[int, ...] = (2, 3)
) -> st.SearchStrategy:
    """Label arrays of few distinct ids, so that equal neighbours are common; now and then the dtype's extremes."""

    @st.composite
    def build(draw):
        dtype = np.dtype(draw(st.sampled_from(dtypes or LABEL_DTYPES)))
        shape = draw(shapes(max_side, dims))
        top = 1 if dtype == bool else int(np.iinfo(dtype).max)
        low = 0 if dtype == bool else int(np.iinfo(dtype).min)
        pool = draw(st.sampled_from([list(range(values)), [0, 0, 1], [0, top, low, 1]]))
        pool = np.array([v for v in pool if low <= v <= top], dtype)
        seed = draw(st.integers(0, 2**32 - 1))
        rng = np.random.default_rng(seed)
        array = pool[rng.integers(0, len(pool), shape)]
        if draw(st.booleans()):  # smoother: repeat along x
            array = np.repeat(array, draw(st.integers(1, 4)), axis=-1)[..., : shape[-1]]
        return np.ascontiguousarray(array)

    return build()


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """Equal arrays that lie differently in memory: C, Fortran, reversed, stepped."""
    stepped = np.repeat(array, 2, axis=-1)[..., ::2]
    flipped = np.ascontiguousarray(array[::-1])[::-1]
    return [array, np.asfortranarray(array), flipped, stepped]


def block_sides(shape: tuple[int, ...], max_side: int = 6) -> st.SearchStrategy:
    """Sides of blocks of a volume, now and then beyond it; single voxels among them where that is not too many."""
    least = 1 if np.prod(shape, dtype=float) < 200 else 2
    return st.tuples(*[st.integers(min(least, max(1, n)), max(max_side, least)) for n in shape])


def block_orders(shape: tuple[int, ...], block: tuple[int, ...]) -> st.SearchStrategy:
    """Orders in which the blocks of a volume are done."""
    count = int(np.prod([-(-n // side) for n, side in zip(shape, block, strict=True)]))
    return st.permutations(range(count))


__all__ = ["LABEL_DTYPES", "block_orders", "block_sides", "hnp", "label_arrays", "layouts", "shapes"]
