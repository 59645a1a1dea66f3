"""Distances: against the oracle by ==, laws, peers, and the ways out of the fast paths."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import emfast
import oracles
import strategies
from emfast import _arrays


@pytest.fixture
def edt_peer():
    """Asked for by the tests that need it alone: sanitized runs hide it and must still run the others."""
    return pytest.importorskip("edt")


SPACINGS = st.sampled_from([(1, 1, 1), (1, 1, 1), (2, 2, 2), (3, 1, 2), (40, 4, 4), ("40", "4.6", "4.6")])


def spaced(spacing, dims):
    """(as passed, squared integers, unit) of the last `dims` axes."""
    exact = [Fraction(s) for s in spacing[-dims:]]
    unit = Fraction(1, 5) if any(s.denominator > 1 for s in exact) else Fraction(1)
    return tuple(float(s) for s in exact), tuple(int(s / unit) ** 2 for s in exact), float(unit)


def as_float(squares, unit, squared=False):
    """The contract's conversion, NumPy's doubles being the same as everyone's."""
    d = np.maximum(squares, 0).astype(np.float64)
    d = d * (unit * unit) if squared else np.sqrt(d) * unit
    return np.where(squares < 0, np.inf, d).astype(np.float32)


def smooth(shape, seed=0, share=0.5, sigma=3.0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), sigma)
    return noise > np.quantile(noise, 1 - share)


def cells(shape, seed=0, count=40):
    """A dense label volume: voxels go to the nearest of some random points."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    far = np.full(shape, np.inf)
    out = np.zeros(shape, np.uint32)
    for i, point in enumerate(points):
        d = ((grid - point) ** 2).sum(-1)
        out[d < far] = i + 1
        far = np.minimum(far, d)
    return out


# The oracle


@given(
    labels=strategies.label_arrays(6),
    spacing=SPACINGS,
    border=st.booleans(),
    with_sign=st.booleans(),
    squared=st.booleans(),
)
def test_equals_the_oracle(backend, labels, spacing, border, with_sign, squared):
    given_spacing, weights, unit = spaced(spacing, labels.ndim)
    call = emfast.signed_distance if with_sign else emfast.edt
    out = backend.host(call(backend(labels), spacing=given_spacing, border=border, squared=squared))
    wanted = as_float(oracles.squared_distances(labels, weights, border, with_sign), unit, squared)
    if with_sign:
        wanted = np.where(labels == 0, -wanted, wanted)
    assert out.dtype == np.float32
    if not squared or unit == 1:
        assert np.array_equal(out, wanted)
    else:
        np.testing.assert_allclose(out, wanted, rtol=1.2e-7)


@given(labels=strategies.label_arrays(6), spacing=SPACINGS)
def test_nearest_background_equals_the_oracle(backend, labels, spacing):
    given_spacing, weights, unit = spaced(spacing, labels.ndim)
    index, distance = emfast.nearest_background(backend(labels), spacing=given_spacing, return_distance=True)
    index, distance = backend.host(index), backend.host(distance)
    assert index.dtype == np.int64
    assert np.array_equal(index, oracles.nearest_background(labels, weights))
    binary = as_float(oracles.squared_distances(labels != 0, weights, False, False), unit)
    assert np.array_equal(distance, binary)


@given(labels=strategies.label_arrays(4, values=2), data=st.data(), spacing=SPACINGS, border=st.booleans())
def test_voxel_graph_equals_the_oracle(backend, labels, data, spacing, border):
    given_spacing, weights, unit = spaced(spacing, labels.ndim)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dtype = data.draw(st.sampled_from(["u1", "u2", "u4"]))
    labels = labels[..., :12]
    graph = (rng.integers(0, 256, labels.shape) | rng.integers(0, 256, labels.shape)).astype(dtype)
    out = backend.host(emfast.edt(backend(labels), voxel_graph=backend(graph), spacing=given_spacing, border=border))
    assert np.array_equal(out, as_float(oracles.blocked_distances(labels, graph, weights, border), unit / 2))


@pytest.mark.parametrize("squared", [False, True])
def test_integer_squares_are_exact_far_beyond_float(backend, squared):
    """One background voxel at the end of a long row: k * 3000 nm, whose square leaves 32 bits and 2**24."""
    labels = np.ones((2, 20_000), np.uint8)
    labels[0, 0] = 0
    out = backend.host(emfast.edt(backend(labels), spacing=(7000, 3000), squared=squared))
    k = np.arange(20_000, dtype=np.int64)
    squares = np.stack([k * k * 3000**2, k * k * 3000**2 + 7000**2])
    assert np.array_equal(out, (squares.astype(np.float64) if squared else np.sqrt(squares)).astype(np.float32))


@given(spacing=st.tuples(*[st.floats(0.01, 100)] * 3), border=st.booleans())
def test_any_spacing_is_right_to_the_last_bit_but_one(backend, spacing, border):
    labels = smooth((6, 9, 30), share=0.9, sigma=1).astype(np.uint8)
    labels[0, 0, 0] = 0
    padded = np.pad(labels, int(border))
    wanted = ndimage.distance_transform_edt(padded, sampling=spacing)
    wanted = wanted[(slice(1, -1),) * 3] if border else wanted
    out = backend.host(emfast.edt(backend(labels), spacing=spacing, border=border))
    np.testing.assert_allclose(out, wanted, rtol=1.2e-7)


def test_spacings_are_read_as_decimals():
    """Three tenths is three times a tenth, also in float32."""
    labels = np.array([[0, 1, 1, 1]])
    for spacing in [(1, 0.3), np.array([1, 0.3], np.float32), (Fraction(1), 0.3)]:
        assert np.array_equal(emfast.edt(labels, spacing=spacing)[0], np.array([0, 0.3, 0.6, 0.9], np.float32))


# Laws


@given(labels=strategies.label_arrays(9), border=st.booleans())
def test_labels_are_each_others_background(backend, labels, border):
    whole = backend.host(emfast.edt(backend(labels), border=border))
    wanted = np.zeros(labels.shape, np.float32)
    for label in np.unique(labels[labels != 0]):
        alone = labels == label
        wanted[alone] = backend.host(emfast.edt(backend(alone), border=border))[alone]
    assert np.array_equal(whole, wanted)


@given(labels=strategies.label_arrays(9), spacing=SPACINGS, border=st.booleans())
def test_signed_is_the_difference_of_two(backend, labels, spacing, border):
    spacing = spaced(spacing, labels.ndim)[0]
    signed = backend.host(emfast.signed_distance(backend(labels), spacing=spacing, border=border))
    inside = backend.host(emfast.edt(backend(labels), spacing=spacing, border=border))
    outside = backend.host(emfast.edt(backend(labels == 0), spacing=spacing, border=border))
    assert np.array_equal(signed, inside - outside)


@given(labels=strategies.label_arrays(9), spacing=SPACINGS, data=st.data())
def test_axes_may_be_exchanged(backend, labels, spacing, data):
    spacing = spaced(spacing, labels.ndim)[0]
    axes = data.draw(st.permutations(range(labels.ndim)))
    turned = emfast.edt(backend(np.ascontiguousarray(labels.transpose(axes))), spacing=[spacing[a] for a in axes])
    assert np.array_equal(
        backend.host(emfast.edt(backend(labels), spacing=spacing)).transpose(axes), backend.host(turned)
    )


@given(labels=strategies.label_arrays(9, dtypes=["u2"]), border=st.booleans())
def test_any_layout_of_memory(backend, labels, border):
    spacing = (40, 4, 5)[: labels.ndim]
    calls = [
        lambda a: emfast.edt(a, spacing=spacing, border=border),
        lambda a: emfast.signed_distance(a, spacing=spacing, border=border),
        lambda a: emfast.nearest_background(a, spacing=spacing),
    ]
    for call in calls:
        results = [backend.host(call(backend(layout))) for layout in strategies.layouts(labels)]
        assert all(np.array_equal(r, results[0]) for r in results)


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 4, 5, 6)])
@pytest.mark.parametrize("call", [emfast.edt, emfast.signed_distance])
def test_a_batch_is_its_items(backend, call, shape):
    stack = np.random.default_rng(2).integers(0, 3, shape).astype("u2")
    expected = [backend.host(call(backend(item), border=True)) for item in stack]
    assert np.array_equal(backend.host(call(backend(stack), border=True, batch=True)), np.stack(expected))


def test_a_batch_of_torch_comes_back_as_torch():
    torch = pytest.importorskip("torch")
    stack = torch.ones((2, 3, 4), dtype=torch.uint8)
    out = emfast.edt(stack, border=True, batch=True)
    assert isinstance(out, torch.Tensor) and out.shape == stack.shape


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 4), "labels with batch=True must be a 3D or 4D"), ((0, 3, 4), "labels with batch=True must hold at least")],
)
def test_errors_of_batches(shape, message):
    with pytest.raises(ValueError, match=message):
        emfast.signed_distance(np.zeros(shape, "u1"), batch=True)
    with pytest.raises(ValueError, match="batch=True and a voxel_graph"):
        emfast.edt(np.zeros((1, 2, 3), "u1"), voxel_graph=np.zeros((1, 2, 3), "u1"), batch=True)


def test_fortran_order_stays():
    labels = np.asfortranarray(smooth((9, 20, 30)))
    assert emfast.edt(labels).flags.f_contiguous


def test_threads_do_not_matter(backend, threads):
    for labels in [smooth((40, 45, 70)), cells((40, 45, 70)), cells((300, 170))]:
        spacing = (30, 8, 7)[-labels.ndim :]
        assert np.array_equal(
            backend.host(emfast.signed_distance(backend(labels), spacing=spacing)),
            emfast.edt(labels, spacing=spacing) - emfast.edt(labels == 0, spacing=spacing),
        )


@given(labels=strategies.label_arrays(9), clip=st.floats(0.5, 5), border=st.booleans())
def test_clip_and_tanh(backend, labels, clip, border):
    plain = backend.host(emfast.signed_distance(backend(labels), border=border))
    clipped = backend.host(emfast.signed_distance(backend(labels), border=border, clip=clip))
    assert np.array_equal(clipped, np.clip(plain, -np.float32(clip), np.float32(clip)))
    scaled = backend.host(emfast.signed_distance(backend(labels), border=border, tanh=clip))
    np.testing.assert_allclose(scaled, np.tanh(plain.astype(np.float64) / clip), rtol=1e-7)


def test_tanh_is_accurate_from_tiny_to_large(backend):
    labels = np.ones((2, 3000), np.uint8)
    labels[:, 0] = 0
    for scale in [1e-2, 1.0, 37.0, 3e3, 1e7]:
        out = backend.host(emfast.signed_distance(backend(labels), tanh=scale))
        wanted = np.tanh(np.maximum(np.arange(3000.0), 1) / scale) * np.where(np.arange(3000), 1, -1)
        np.testing.assert_allclose(out[0], wanted, rtol=6.1e-8)


# The ways through the fast paths, against the definition or SciPy


def test_long_rows_and_columns(backend):
    """More than 2**16 voxels along one axis: rows done by one thread, single columns, envelopes."""
    n = 70_001
    line = np.ones(n, np.uint16)
    line[[5, 9, 40_000]] = [0, 7, 0]
    k = np.arange(n)
    change = np.array([5, 9, 40_000])  # a voxel of its own label on either side of each
    wanted = np.abs(k[:, None] - change).min(1)
    wanted[[5, 40_000]] = 0
    wanted[9] = 1
    for labels in [
        line.reshape(1, n),
        line.reshape(n, 1),
        line.reshape(1, 1, n),
        line.reshape(1, n, 1),
        line.reshape(n, 1, 1),
    ]:
        out = backend.host(emfast.edt(backend(labels)))
        assert np.array_equal(out.ravel(), wanted.astype(np.float32))
        nearest = backend.host(emfast.nearest_background(backend(labels))).ravel()
        assert np.array_equal(nearest, np.where(k <= 20_002, 5, 40_000))


@pytest.mark.parametrize("shape", [(1, 9, 1500), (1, 1500, 9), (1500, 9, 1), (300, 9, 40), (5, 300, 33), (400, 400)])
@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (30, 4, 5), (1, 1000, 1)])
def test_sparse_seeds_take_the_envelope(backend, shape, seeds, spacing):
    """Far from every boundary the search is cut off, and 16 and 32 bits overflow in turn."""
    spacing = spacing[-len(shape) :]
    rng = np.random.default_rng(seeds)
    labels = np.ones(shape, np.uint8)
    labels.ravel()[rng.integers(0, labels.size, seeds)] = 0
    wanted = ndimage.distance_transform_edt(labels, sampling=spacing).astype(np.float32)
    assert np.array_equal(backend.host(emfast.edt(backend(labels), spacing=spacing)), wanted)
    signed = backend.host(emfast.signed_distance(backend(labels), spacing=spacing))
    assert np.array_equal(np.maximum(signed, 0), wanted)
    index, distance = emfast.nearest_background(backend(labels), spacing=spacing, return_distance=True)
    assert np.array_equal(backend.host(distance), wanted)
    sites = np.stack(np.unravel_index(backend.host(index).ravel(), shape), -1)
    steps = (sites - np.stack(np.indices(shape), -1).reshape(sites.shape)) * np.array(spacing)
    assert np.array_equal(np.sqrt((steps**2).sum(1)).astype(np.float32).reshape(shape), wanted)


@pytest.mark.parametrize("share", [0.0, 0.11, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("shape", [(70, 75, 133), (3, 200, 210), (200, 3, 64), (150, 70, 5), (260, 250)])
def test_backends_agree_on_blobs_and_cells(backend, edt_peer, share, border, shape):
    blobs = smooth(shape, share=share) if 0 < share < 1 else np.full(shape, share > 0)
    labels = np.where(blobs, cells(shape), 0).astype(np.uint32)
    spacing = (40, 4, 4)[-len(shape) :]
    assert np.array_equal(backend.host(emfast.edt(backend(labels), border=border)), emfast.edt(labels, border=border))
    ours = backend.host(emfast.signed_distance(backend(labels), spacing=spacing, border=border))
    assert np.array_equal(ours, emfast.signed_distance(labels, spacing=spacing, border=border))
    peer = edt_peer.sdf(labels, anisotropy=spacing, black_border=border)
    np.testing.assert_allclose(ours, peer, rtol=1e-6)


def test_infinity_is_where_nothing_differs(backend):
    one = np.full((3, 4, 5), 9, np.uint64)
    assert np.all(backend.host(emfast.edt(backend(one))) == np.inf)
    assert np.all(backend.host(emfast.edt(backend(one), spacing=(1e6, 1, 1e-3))) == np.inf)
    assert np.all(backend.host(emfast.signed_distance(backend(one * 0))) == -np.inf)
    assert np.all(backend.host(emfast.signed_distance(backend(one * 0), clip=3)) == -3)
    assert np.all(backend.host(emfast.signed_distance(backend(one), tanh=3)) == 1)
    assert np.all(backend.host(emfast.edt(backend(one * 0))) == 0)
    assert np.all(backend.host(emfast.nearest_background(backend(one))) == -1)


def test_the_border_is_one_spacing_away(backend):
    out = backend.host(emfast.edt(backend(np.ones((1, 7), bool)), border=True, spacing=(9, 2)))
    assert out.tolist() == [[2, 4, 6, 8, 6, 4, 2]]
    out = backend.host(emfast.signed_distance(backend(np.zeros((5, 7), bool)), border=True))
    assert out[2].tolist() == [-1, -2, -3, -3, -3, -2, -1]


# Peers and real data


def test_voxel_graph_agrees_with_edt(backend, edt_peer):
    rng = np.random.default_rng(5)
    for shape, spacing in [((9, 14, 20), (4, 2, 3)), ((30, 41), (2, 5))]:
        labels = smooth(shape, share=0.8, sigma=1).astype(np.uint8)
        graph = rng.integers(0, 256, shape, np.uint8) | rng.integers(0, 256, shape, np.uint8)
        for border in (False, True):
            # edt's bits follow memory: in Fortran order they are ours
            peer_labels, peer_graph = np.asfortranarray(labels), np.asfortranarray(graph)
            wanted = edt_peer.edt(peer_labels, voxel_graph=peer_graph, anisotropy=spacing, black_border=border)
            out = backend.host(emfast.edt(backend(labels), voxel_graph=backend(graph), spacing=spacing, border=border))
            np.testing.assert_allclose(out, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "array", "crop", "spacing"),
    [
        ("fib25_medulla_train.h5", "groundtruth", np.s_[:80, :100, :120], (10, 10, 10)),
        ("vnc_sstem_train14.h5", "labels", np.s_[:, :200, :210], (45, 4.6, 4.6)),
        ("pinky40_labels_dev.h5", "labels", np.s_[:60, 100:200, 100:230], (40, 32, 32)),
        ("uint64_label_blocks.h5", None, np.s_[:], (1, 1, 1)),
    ],
)
def test_real_labels_agree_with_edt(backend, edt_peer, shared_data, name, array, crop, spacing):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / name) as f:
        labels = f[array or next(iter(f))][crop]
    for border in (False, True):
        ours = backend.host(emfast.edt(backend(labels), spacing=spacing, border=border))
        np.testing.assert_allclose(ours, edt_peer.edt(labels, anisotropy=spacing, black_border=border), rtol=1e-6)
        signed = backend.host(emfast.signed_distance(backend(labels), spacing=spacing, border=border))
        np.testing.assert_allclose(signed, edt_peer.sdf(labels, anisotropy=spacing, black_border=border), rtol=1e-6)


# Errors


@pytest.mark.parametrize("call", [emfast.edt, emfast.signed_distance, emfast.nearest_background])
def test_errors_name_the_argument(backend, call):
    good = backend(np.ones((3, 4), np.uint8))
    with pytest.raises(
        TypeError, match="labels must be an array of bool, signed integers, unsigned integers, got float32"
    ):
        call(backend(np.ones((3, 4), np.float32)))
    with pytest.raises(ValueError, match="labels must be 2D or 3D, got 1D"):
        call(backend(np.ones(3, np.uint8)))
    with pytest.raises(ValueError, match=r"spacing must have one value per axis \(2\), got 1"):
        call(good, spacing=(1,))
    with pytest.raises(ValueError, match="spacing must be positive and finite, got 0"):
        call(good, spacing=(1, 0))
    for value in (1e300, 1e-300):
        with pytest.raises(ValueError, match=f"spacing must be from 1e-30 to 1e30, got {value}".replace("+", r"\+")):
            call(good, spacing=(1, value))
    with pytest.raises(ValueError, match="spacing must be positive and finite, got nan"):
        call(good, spacing=(1, float("nan")))
    with pytest.raises(TypeError, match="spacing must be a sequence of one number per axis, got 3"):
        call(good, spacing=3)
    with pytest.raises(TypeError, match="spacing must hold numbers, got 'x'"):
        call(good, spacing=("x", 1))


def test_errors_of_single_functions(backend):
    good = backend(np.ones((3, 4), np.uint8))
    with pytest.raises(ValueError, match="clip must be positive, got -1"):
        emfast.signed_distance(good, clip=-1)
    with pytest.raises(ValueError, match="tanh must be positive, got 0"):
        emfast.signed_distance(good, tanh=0)
    with pytest.raises(ValueError, match=r"voxel_graph must have the shape of labels \(3, 4\), got \(4, 3\)"):
        emfast.edt(good, voxel_graph=backend(np.ones((4, 3), np.uint8)))
    with pytest.raises(TypeError, match="voxel_graph must be an array of unsigned integers, got int32"):
        emfast.edt(good, voxel_graph=backend(np.ones((3, 4), np.int32)))


# Axis by axis


@given(
    labels=strategies.label_arrays(9),
    spacing=SPACINGS,
    border=st.booleans(),
    with_sign=st.booleans(),
    wide=st.booleans(),
    clip=st.sampled_from([np.inf, 3.0]),
)
def test_axis_by_axis_is_the_whole_transform(backend, labels, spacing, border, with_sign, wide, clip):
    """Each pass on single lines of its axis, which is as small as blocks get."""
    given_spacing, weights, unit = spaced(spacing, labels.ndim)
    operand = _arrays.take(backend(np.ascontiguousarray(labels)), "labels")
    native, library = operand.native, operand.library

    def send(part):
        return _arrays.take(backend(np.ascontiguousarray(part)), "part").array

    words = np.zeros(labels.shape, "u8" if wide else "u4")
    for at in np.ndindex(labels.shape[:-1]):  # a line and the next one in each direction
        box = tuple(slice(k, k + 2) for k in at)
        out = native.distance_rows(library, send(labels[box]), weights, border, with_sign, wide)
        words[at] = backend.host(operand.give(out))[(0,) * len(at)]
    if labels.ndim == 3:
        for z, x in np.ndindex(labels.shape[0], labels.shape[2]):
            out = native.distance_columns(library, send(words[z : z + 1, :, x : x + 1]), weights, border)
            words[z, :, x] = backend.host(operand.give(out)).reshape(-1)
    found = np.empty(labels.shape, np.float32)
    for at in np.ndindex(labels.shape[1:]):
        box = (slice(None), *(slice(k, k + 1) for k in at))
        out = native.distance_last_columns(library, send(words[box]), weights, unit, unit**2, border, False, clip, 0.0)
        found[box] = backend.host(operand.give(out))
    call = emfast.signed_distance if with_sign else emfast.edt
    whole = backend.host(call(backend(labels), spacing=given_spacing, border=border))
    if clip < np.inf:
        whole = np.clip(whole, -clip, clip)
    assert found.tobytes() == whole.astype(np.float32).tobytes() or np.array_equal(found, whole)
