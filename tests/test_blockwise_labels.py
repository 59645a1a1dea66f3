"""Ids of labels block by block: equal to the calls in memory, whatever the blocks and their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import strategies
from emfast import blockwise


@st.composite
def cut(draw, dims=(1, 2, 3), **options):
    """Labels, and options of blocks: their sides, how many at once, and an order."""
    labels = draw(strategies.label_arrays(9, **options))
    if 1 in dims and draw(st.booleans()):
        labels = labels.reshape(-1)
    block = draw(strategies.block_sides(labels.shape))
    order = draw(strategies.block_orders(labels.shape, block))
    return labels, {"block": block, "order": order, "workers": draw(st.integers(1, 3))}


def equal_tables(a, b):
    return np.array_equal(a.old, b.old) and np.array_equal(a.new, b.new) and a.new.dtype == b.new.dtype


@given(cut(values=9))
def test_unique(labels_blocks):
    labels, blocks = labels_blocks
    ids, counts = blockwise.unique(labels, counts=True, **blocks)
    wanted, numbers = emfast.unique(labels, counts=True)
    assert ids.dtype == wanted.dtype and counts.dtype == numbers.dtype
    assert np.array_equal(ids, wanted) and np.array_equal(counts, numbers)
    assert np.array_equal(blockwise.unique(labels, **blocks), wanted)


@given(
    cut(values=9),
    st.sampled_from(["first", "size"]),
    st.sampled_from([1, 7, 250, 2**32]),
    st.booleans(),
    st.sampled_from([None, "u8", "i8"]),
)
def test_renumber(labels_blocks, order, start, keep_zero, dtype):
    labels, blocks = labels_blocks
    blocks = {name: value for name, value in blocks.items() if name != "order"}
    options = {"order": order, "start": start, "keep_zero": keep_zero, "dtype": dtype}
    found, table = blockwise.renumber(labels, **blocks, **options)
    wanted, wanted_table = emfast.renumber(labels, **options)
    assert found.dtype == wanted.dtype and np.array_equal(found, wanted)
    assert equal_tables(table, wanted_table) and table.old.dtype == wanted_table.old.dtype


def test_renumber_refuses_as_in_memory():
    labels = np.arange(300).reshape(3, 100)
    for options in ({"dtype": "u1"}, {"start": 2**64 - 5}, {"start": 0}, {"order": "last"}, {"dtype": "f4"}):
        with pytest.raises((ValueError, TypeError)) as wanted:
            emfast.renumber(labels, **options)
        with pytest.raises(type(wanted.value)) as found:
            blockwise.renumber(labels, block=(2, 50), **options)
        assert str(found.value) == str(wanted.value)


@given(cut(dims=(2, 3), values=6), st.data())
def test_remap(labels_blocks, data):
    labels, blocks = labels_blocks
    ids = emfast.unique(labels)
    chosen = ids[data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))] if len(ids) else ids
    new = np.array(data.draw(st.lists(st.integers(0, 300), min_size=len(chosen), max_size=len(chosen))), "u2")
    table = data.draw(
        st.sampled_from(
            [
                (chosen, new),
                dict(zip(chosen.tolist(), new.tolist(), strict=True)),
                emfast.LabelMap(chosen, new),
                (np.r_[chosen, chosen], np.r_[new[::-1], new]),  # the last one counts
                np.arange(8, dtype="u4")[::-1],  # indexed by label
            ]
        )
    )
    options = {"missing": data.draw(st.sampled_from(["error", "keep", 0, 200]))}
    options["dtype"] = data.draw(st.sampled_from([None, "i8", "u8"]))
    try:
        wanted = emfast.remap(labels, table, **options)
    except (KeyError, ValueError, TypeError) as error:
        with pytest.raises(type(error)):
            blockwise.remap(labels, table, retries=0, **options, **blocks)
        return
    found = blockwise.remap(labels, table, **options, **blocks)
    assert found.dtype == wanted.dtype and np.array_equal(found, wanted)


def test_remap_by_a_cut_of_a_tree():
    affinities = np.random.default_rng(0).random((3, 6, 9, 12), np.float32)
    fragments = emfast.watershed(affinities, low=0.3, high=0.9)
    tree = emfast.agglomerate(emfast.region_graph(affinities, fragments))
    wanted = tree.relabel(fragments, 0.5)
    found = blockwise.remap(fragments, tree.cut(0.5), missing=0, block=4)
    assert len(emfast.unique(wanted)) < len(emfast.unique(fragments)), "a cut that joins something"
    assert found.dtype == wanted.dtype and np.array_equal(found, wanted)


def test_a_label_that_is_not_in_the_table_is_named():
    labels = np.ones((4, 6), int)
    labels[3, 5] = 77
    with pytest.raises(KeyError, match="labels holds 77"):
        blockwise.remap(labels, {1: 2}, block=2, retries=0)


def test_errors_name_the_argument():
    with pytest.raises(TypeError, match="labels must be integers or bool, got float64"):
        blockwise.unique(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="labels must be 1D or 2D or 3D, got 4D"):
        blockwise.unique(np.zeros((1, 1, 1, 1), int))
    with pytest.raises(ValueError, match="missing must be"):
        blockwise.remap(np.zeros((3, 3), int), {0: 0}, missing="no")
