"""Labels of blocks as runs: what the native modules give, beside the labels of the same calls."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast._engine.grid import Grid
from emfast.blockwise._runs import Runs, components_runs, fragments_runs, writes_in_place

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 2, 7, 63, 64, 65, 130]))
pytestmark = pytest.mark.usefixtures("backend")


def within(array: np.ndarray, rng: np.random.Generator, dims: int) -> np.ndarray:
    """The same values as a box of a larger array."""
    pads = [(0, 0)] * (array.ndim - dims) + [tuple(rng.integers(0, 3, 2)) for _ in range(dims)]
    large = np.pad(array, pads)
    return large[tuple(slice(a, n - b) for (a, b), n in zip(pads, large.shape, strict=True))]


def first_and_sizes(labels: np.ndarray, core: tuple[slice, ...]) -> tuple[list[int], list[int]]:
    count = int(labels.max(initial=0))
    flat = labels.ravel().tolist()
    inside = labels[core].ravel().tolist()
    return [flat.index(k) for k in range(1, count + 1)], [inside.count(k) for k in range(1, count + 1)]


def agree(runs: Runs, labels: np.ndarray, core: tuple[slice, ...]) -> None:
    everything = tuple(slice(0, n) for n in labels.shape)
    assert np.array_equal(runs.window(everything), labels)
    first, sizes = first_and_sizes(labels, core)
    assert runs.first.tolist() == first
    assert runs.sizes.tolist() == sizes


@given(seeds, shapes, st.sampled_from([6, 18, 26]), st.sampled_from([None, 0, 1]), st.sampled_from("?1248"))
def test_components_as_runs(seed, shape, connectivity, background, kind):
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.integers(0, 3, shape), rng.integers(1, 4), axis=2)
    labels = within(values > 0 if kind == "?" else values.astype(f"u{kind}"), rng, 3)
    runs = components_runs(labels, connectivity=connectivity, background=background, sizes=True)
    whole = emfast.connected_components(labels, connectivity=connectivity, background=background, dtype="u4")
    agree(runs, whole, tuple(slice(0, n) for n in labels.shape))


@given(seeds, shapes, st.sampled_from(["u1", "f2", "f4"]), st.booleans(), st.booleans())
def test_fragments_as_runs(seed, shape, dtype, masked, per_section):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 6, (3, *shape)) * 51
    affinities = within(values.astype("u1") if dtype == "u1" else (values / 255).astype(dtype), rng, 3)
    mask = rng.random(shape) < 0.8 if masked else None
    grid = Grid(shape, [int(rng.integers(1, n + 1)) for n in shape], halo=1)
    block = grid[int(rng.integers(len(grid)))]
    outer = affinities[(slice(None), *block.outer)]
    near = None if mask is None else mask[block.outer]
    halo = [(i.start, n - i.stop) for i, n in zip(block.inner, block.outer_shape, strict=True)]
    options = {"low": 0.1, "high": 0.9, "per_section": per_section}
    runs = fragments_runs(outer, block, near, *options.values(), True)
    agree(runs, emfast.watershed(outer, mask=near, halo=halo, **options), block.inner)


@given(seeds, shapes, st.sampled_from(["u1", "u2", "i4", "u8"]))
def test_a_window_is_written_under_other_names(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    labels = emfast.connected_components(rng.integers(0, 3, shape).astype("u1"), dtype="u4")
    runs = components_runs(labels, connectivity=6, background=0, sizes=False)
    count = int(labels.max(initial=0))
    table = np.concatenate([[0], rng.integers(0, 100, count)]).astype(dtype)
    window = tuple(slice(*sorted(rng.integers(0, n + 1, 2).tolist())) for n in shape)
    large = np.full([n + 2 for n in shape], 7, dtype)
    expected = large.copy()
    here = tuple(slice(w.start + 1, w.stop + 1) for w in window)
    expected[here] = table[labels[window]]
    runs.write(window, table, large[here])
    assert np.array_equal(large, expected)


def test_what_does_not_belong_together_is_refused():
    labels = np.array([[1, 1, 0, 2]], "u4")
    runs = components_runs(labels, connectivity=4, background=0, sizes=False)
    window, out = (slice(0, 1), slice(0, 4)), np.zeros((1, 4), "u4")
    with pytest.raises(ValueError, match="table must have label 2, got 2 rows"):
        runs.write(window, np.zeros(2, "u4"), out)
    for other in ({"labels": runs.labels[:1]}, {"before": runs.before - 1}, {"bits": runs.bits | np.uint64(4)}):
        with pytest.raises(ValueError, match="runs must be as their bits say, got others in row 0"):
            replace(runs, **other).write(window, np.zeros(3, "u4"), out)
    for other in ({"shape": (2, 4)}, {"before": runs.before[:1]}, {"labels": runs.labels.astype("u8")}):
        with pytest.raises(ValueError, match="those of a block of their shape"):
            replace(runs, **other).write(window, np.zeros(3, "u4"), out)
    with pytest.raises(ValueError, match="box must lie within"):
        runs.write((slice(0, 1), slice(0, 5)), np.zeros(3, "u4"), np.zeros((1, 5), "u4"))
    with pytest.raises(ValueError, match="out must have the shape of the box"):
        runs.write(window, np.zeros(3, "u4"), out[:, :2])
    with pytest.raises(ValueError, match="out must have the dtype of table"):
        runs.write(window, np.zeros(3, "u8"), out)


def test_affinities_that_are_refused():
    bad = np.full((2, 2, 3), 0.5, "f4")
    bad[1, 1, 2] = 1.5
    with pytest.raises(ValueError, match=r"affinities must be from 0 to 1, got 1\.5"):
        fragments_runs(bad, Grid((2, 3), (2, 3))[0], None, 0.1, 0.9, False, False)


def test_arrays_that_are_written_in_place():
    array = np.zeros((4, 6), "i4")
    assert writes_in_place(array) and writes_in_place(array[:, 1:4]) and writes_in_place(array[::2])
    assert not writes_in_place(array.T) and not writes_in_place(array[:, ::2])
    assert not writes_in_place(array.astype(">i4")) and not writes_in_place(array.astype("f4"))
