"""connected_components against its oracle, its laws, and other people's implementations."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import label_arrays, layouts

CONNECTIVITY = {2: [4, 8], 3: [6, 18, 26]}


def to_3d(connectivity):
    return {4: 6, 8: 26}.get(connectivity, connectivity)


@given(data=st.data(), labels=label_arrays(), background=st.sampled_from([0, None, 1]), periodic=st.booleans())
def test_equals_the_oracle(backend, data, labels, background, periodic):
    connectivity = data.draw(st.sampled_from(CONNECTIVITY[labels.ndim]))
    out, count = emfast.connected_components(
        backend(labels), connectivity=connectivity, background=background, periodic=periodic, return_count=True
    )
    expected = oracles.connected_components(labels, to_3d(connectivity), background, periodic)
    assert np.array_equal(backend.host(out), expected)
    assert count == expected.max(initial=0)


@given(
    data=st.data(),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]),
    delta=st.sampled_from([0, 1, 2.5, 100]),
    background=st.sampled_from([0, None]),
    periodic=st.booleans(),
)
def test_delta_equals_the_oracle(backend, data, dtype, delta, background, periodic):
    values = data.draw(label_arrays(max_side=6, dtypes=["u1"], values=6)).astype(np.int64) % 8
    values = (values - 3 if np.dtype(dtype).kind != "u" else values).astype(dtype)
    connectivity = data.draw(st.sampled_from(CONNECTIVITY[values.ndim]))
    out = emfast.connected_components(
        backend(values), connectivity=connectivity, delta=delta, background=background, periodic=periodic
    )
    expected = oracles.connected_components(values, to_3d(connectivity), background, periodic, delta)
    assert np.array_equal(backend.host(out), expected)


def test_delta_at_the_ends_of_the_dtype(backend):
    ends = np.array([[-128, 127, 126]], "i1")
    run = lambda delta: backend.host(emfast.connected_components(backend(ends), delta=delta)).tolist()  # noqa: E731
    assert run(1) == [[1, 2, 2]]
    assert run(254) == [[1, 2, 2]]
    assert run(255) == [[1, 1, 1]]
    big = np.array([[0, 2**64 - 1, 1, 2**63]], "u8")
    assert backend.host(emfast.connected_components(backend(big), delta=2.0**70)).tolist() == [[0, 1, 1, 1]]


def test_nan_belongs_with_nothing(backend):
    values = np.array([[1.0, np.nan, np.nan, 1.0]], "f4")
    assert backend.host(emfast.connected_components(backend(values), delta=9)).tolist() == [[1, 2, 3, 4]]


def noisy(shape, values, seed, dtype="u4", smooth=1):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, values, [-(-n // smooth) for n in shape]).astype(dtype)
    for axis in range(len(shape)):
        small = np.repeat(small, smooth, axis=axis)
    return np.ascontiguousarray(small[tuple(slice(0, n) for n in shape)])


@functools.cache
def known(shape, values, smooth, connectivity):
    labels = noisy(shape, values, 3, smooth=smooth)
    return labels, oracles.connected_components(labels, connectivity)


@pytest.mark.parametrize("smooth", [1, 3])
@pytest.mark.parametrize("values", [2, 5])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_threads_do_not_matter(backend, threads, connectivity, values, smooth):
    """Enough rows that several slabs, and seams between them, come about."""
    labels, expected = known((70, 3, 70), values, smooth, connectivity)
    assert np.array_equal(
        backend.host(emfast.connected_components(backend(labels), connectivity=connectivity)), expected
    )


@pytest.mark.parametrize("dtype", [bool, "u1", "i2", "u4", "i8"])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_agrees_with_cc3d(backend, threads, connectivity, dtype):
    cc3d = pytest.importorskip("cc3d")
    for shape, smooth in [((65, 66, 67), 1), ((64, 30, 193), 5), ((3, 5, 2000), 2)]:
        labels = noisy(shape, 2 if dtype is bool else 4, 1, dtype, smooth)
        peer, number = cc3d.connected_components(labels, connectivity=connectivity, return_N=True)
        out, count = emfast.connected_components(backend(labels), connectivity=connectivity, return_count=True)
        assert count == number
        assert np.array_equal(backend.host(out), peer)


@functools.cache
def known_mask(shape, density):
    mask = np.random.default_rng(7).random(shape) < density
    return mask, oracles.connected_components(mask, 26)


@pytest.mark.parametrize("density", [0.02, 0.2, 0.6])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 9, 200), (2, 1, 64), (3, 2, 1), (5, 7, 130), (9, 1, 65), (33, 34, 129), (70, 3, 70)]
)
def test_masks_of_any_shape(backend, threads, shape, density):
    """Masks with 26 neighbours go by thick rows on the host: rows that miss their partners, words that miss bits."""
    mask, expected = known_mask(shape, density)
    signed = mask * np.int16(-3)
    large = np.where(mask, np.uint64(9), np.uint64(2**63))
    for values, background in [(mask, 0), (signed, 0), (large, 2**63)]:
        out = emfast.connected_components(backend(values), connectivity=26, background=background)
        assert np.array_equal(backend.host(out), expected)


@pytest.mark.parametrize("place", [0, 1, 12_345, 30_718, 30_719])
def test_a_second_value_seen_late(backend, threads, place):
    """What looks like a mask at first, and is none."""
    labels = noisy((24, 32, 40), 2, 5, "u2", 2)
    labels.flat[place] = 7
    expected = emfast.connected_components(labels, connectivity=26, delta=0)  # the plain schedule
    out = emfast.connected_components(backend(labels), connectivity=26)
    assert np.array_equal(backend.host(out), expected)


def test_real_volumes_agree_with_cc3d(backend, shared_data):
    cc3d = pytest.importorskip("cc3d")
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "pinky40_labels_dev.h5") as file:
        labels = file["labels"][:40, :256, :256]
    with h5py.File(shared_data / "uint64_label_blocks.h5") as file:
        blocks = [file[name][:] for name in sorted(file)]
    for volume in [labels, *blocks]:
        for connectivity in (6, 18, 26):
            out = emfast.connected_components(backend(volume), connectivity=connectivity)
            assert np.array_equal(backend.host(out), cc3d.connected_components(volume, connectivity=connectivity))


@given(labels=label_arrays(max_side=6))
def test_layout_does_not_matter(backend, labels):
    expected = oracles.connected_components(labels, 6)
    for same in layouts(labels):
        assert np.array_equal(backend.host(emfast.connected_components(backend(same))), expected)


@given(labels=label_arrays(max_side=7))
def test_idempotent(backend, labels):
    once = emfast.connected_components(backend(labels))
    assert np.array_equal(backend.host(emfast.connected_components(once)), backend.host(once))


@given(labels=label_arrays(max_side=7, dims=(3,)))
def test_more_neighbours_merge_components(backend, labels):
    """Every 6-component lies in one 18-component, and that in one 26-component."""
    levels = [backend.host(emfast.connected_components(backend(labels), connectivity=c)) for c in (6, 18, 26)]
    for fine, coarse in zip(levels, levels[1:], strict=False):
        pairs = set(zip(fine.ravel().tolist(), coarse.ravel().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs})


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0, 0), (2, 0, 5), (2, 5, 0)])
def test_empty(backend, shape):
    out, count = emfast.connected_components(backend(np.zeros(shape, "u4")), return_count=True)
    assert backend.host(out).shape == shape
    assert count == 0


def test_output_dtype(backend):
    def dtype_of(n, **options):
        many = (np.arange(n) % 2 + 1).astype("u1").reshape(1, n)
        return backend.host(emfast.connected_components(backend(many), **options)).dtype

    assert [dtype_of(n) for n in (255, 256, 65535, 65536)] == ["u1", "u2", "u2", "u4"]
    assert dtype_of(300, dtype="i8") == "i8"
    assert dtype_of(300, dtype=np.uint16) == "u2"
    with pytest.raises(ValueError, match="dtype must hold 300 components, got u1"):
        dtype_of(300, dtype="u1")
    with pytest.raises(ValueError, match="dtype must hold 128 components, got i1"):
        dtype_of(128, dtype="i1")
    with pytest.raises(TypeError, match="dtype must be an integer dtype"):
        dtype_of(3, dtype="f4")


def test_errors_name_the_argument():
    picture = np.zeros((3, 3), "u4")
    for bad, error, words in [
        (dict(labels=np.zeros(3, "u4")), ValueError, r"labels must be 2D or 3D, got 1D of shape \(3,\)"),
        (dict(labels=np.zeros((1, 2, 3, 4), "u4")), ValueError, "labels must be 2D or 3D, got 4D"),
        (dict(labels=np.zeros((3, 3), "f4")), TypeError, "labels must be an array of bool, .* got float32"),
        (dict(labels=np.zeros((3, 3), object)), TypeError, "labels must be .* got object"),
        (dict(labels=np.zeros((3, 3), ">u4")), TypeError, "labels must be in native byte order, got >u4"),
        (dict(connectivity=5), ValueError, "connectivity must be one of 4, 6, 8, 18, 26 in 2D, got 5"),
        (dict(background=1.5), TypeError, "background must be an integer or None, got 1.5"),
        (dict(background=-1), ValueError, "background must be a value of uint32"),
        (dict(labels=np.ma.array(picture)), TypeError, "labels must be a plain array, got a masked one"),
        (dict(labels=[[1, 2], [3]]), TypeError, "labels must be an array: "),
        (dict(delta="x"), TypeError, "delta must be a number, got 'x'"),
        (dict(delta=-1), ValueError, "delta must be at least 0, got -1"),
        (dict(delta=1, background=3), ValueError, "background must be 0 or None when delta is given, got 3"),
    ]:
        arguments = {"labels": picture, **bad}
        with pytest.raises(error, match=words):
            emfast.connected_components(arguments.pop("labels"), **arguments)


@pytest.mark.parametrize("connectivity", [[6], "6", 6.0, True, None, np.array([6, 6])])
def test_connectivity_is_a_number(connectivity):
    labels = np.ones((2, 2, 2), int)
    for call in (emfast.connected_components, emfast.contacts, lambda x, **how: emfast.h_maxima(x, 1, **how)):
        with pytest.raises(ValueError, match="connectivity must be"):
            call(labels.astype("u1"), connectivity=connectivity)
