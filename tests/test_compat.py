"""The drop-ins against the peers whose names they bear: equal results, dtypes and layouts, function by function."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import compat
from emfast.compat import cc3d, edt, fastremap, fill_voids, skimage
from strategies import LABEL_DTYPES, label_arrays

INTEGERS = [d for d in LABEL_DTYPES if d != "?"]
ORDERS = st.sampled_from("CF")


def peer(name):
    return pytest.importorskip(name)


def laid(array, order):
    return np.asfortranarray(array) if order == "F" else np.ascontiguousarray(array)


def same(ours, theirs, layout=True):
    """Equal values, dtypes, shapes, and the order of memory."""
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    if layout and ours.size:
        assert ours.flags.f_contiguous == theirs.flags.f_contiguous


@st.composite
def volumes(draw, dtypes=None, dims=(1, 2, 3), values=4, max_side=7, empty=False):
    """Label arrays of one to three axes in C or Fortran order."""
    array = draw(label_arrays(max_side=max_side, dtypes=dtypes, values=values))
    if not empty and array.size == 0:
        array = np.ones((2, 1, 3)[: array.ndim], array.dtype)
    want = draw(st.sampled_from(dims))
    if want == 1:
        array = array.reshape(-1)
    elif want < array.ndim:
        array = array[0] if array.shape[0] else np.ones((2, 3), array.dtype)
    elif want > array.ndim:
        array = np.stack([array, np.roll(array, 1, 0)])
    return laid(array, draw(ORDERS))


def near(draw, dims, welcome=None):
    return draw(st.sampled_from((welcome or {1: [6, 18, 26], 2: [4, 8, 6, 18, 26], 3: [6, 18, 26]})[dims]))


# The package


def test_modules_come_when_asked_for():
    assert set(compat.__all__) <= set(dir(compat))
    assert emfast.compat.cc3d is cc3d
    with pytest.raises(AttributeError, match="no attribute 'waterzz'"):
        compat.waterzz  # noqa: B018


@pytest.mark.parametrize("name", compat.__all__)
def test_every_public_name_is_there(name):
    module = getattr(compat, name)
    assert all(hasattr(module, public) for public in module.__all__)


def test_names_of_the_peers_are_covered():
    assert set(peer("cc3d").__all__) == set(cc3d.__all__)
    assert set(peer("fastremap").__all__) == set(fastremap.__all__)
    assert set(peer("fill_voids").__all__) - set(fill_voids.__all__) == {"void_shard"}


# cc3d


def same_labels(ours, theirs):
    """cc3d's dtype follows its estimate, ours the count: ours may be the smaller one."""
    assert ours.dtype in (np.uint16, np.uint32, np.uint64)
    assert ours.dtype.itemsize <= theirs.dtype.itemsize
    same(ours.astype(theirs.dtype), theirs)


def plain(labels):
    """What cc3d 4.1.1 labels without fault: masks as integers, and ids below 2⁶³."""
    if labels.dtype.itemsize == 8:
        return labels % labels.dtype.type(2**62 - 25)  # no two of them become one
    return labels.astype(np.uint8) if labels.dtype == bool else labels


@given(data=st.data(), labels=volumes())
def test_cc3d_connected_components(backend, data, labels):
    connectivity = near(data.draw, labels.ndim)
    ours, count = cc3d.connected_components(labels, connectivity=connectivity, return_N=True)
    theirs, number = peer("cc3d").connected_components(plain(labels), connectivity=connectivity, return_N=True)
    same_labels(ours, theirs)
    assert count == number
    same_labels(cc3d.connected_components(labels), peer("cc3d").connected_components(plain(labels)))


@given(data=st.data(), labels=volumes(dims=(2, 3)), dtype=st.sampled_from([np.uint32, np.uint64, np.uint16]))
def test_cc3d_out_dtype_and_binary_image(data, labels, dtype):
    options = dict(connectivity=near(data.draw, labels.ndim), out_dtype=dtype)
    same(cc3d.connected_components(labels, **options), peer("cc3d").connected_components(plain(labels), **options))
    wanted = peer("cc3d").connected_components(plain(labels != 0), **options)
    same(cc3d.connected_components(labels, binary_image=True, **options), wanted)


@given(
    data=st.data(),
    labels=volumes(dtypes=[*INTEGERS], dims=(2, 3), values=6),
    kind=st.sampled_from(["", "f4", "f8", "f2"]),
    delta=st.sampled_from([0, 1, 2, 5, 100, "max"]),
)
def test_cc3d_delta_and_floats(data, labels, kind, delta):
    labels = (labels % 100).astype(kind) if kind else labels
    if kind == "f2" and delta in (1, 2):
        with pytest.raises(TypeError, match="float16"):
            cc3d.connected_components(labels, delta=delta)
        return
    labels = plain(labels) if labels.dtype.itemsize == 8 else labels
    source, connectivity = labels, near(data.draw, labels.ndim)
    if delta == "max":
        delta, source = (np.finfo(kind).max if kind else np.iinfo(labels.dtype).max), plain(labels != 0)
    elif (kind == "f2" and delta) or not (kind or delta < np.iinfo(labels.dtype).max):
        return
    ours = cc3d.connected_components(labels, delta=delta, connectivity=connectivity)
    connectivity = 26 if connectivity == 8 else connectivity  # the same neighbours, where cc3d 4.1.1 makes no mistake
    options = dict(connectivity=connectivity, delta=0 if source is not labels else delta)
    same_labels(ours, peer("cc3d").connected_components(source, **options))


def test_cc3d_nan_belongs_with_nothing():
    values = np.array([[1, np.nan, np.nan, 1, -0.0, 0.0]], "f4")
    assert cc3d.connected_components(values).tolist() == [[1, 2, 3, 4, 0, 0]]
    assert peer("cc3d").connected_components(values).tolist() == [[1, 2, 3, 4, 0, 0]]


@given(data=st.data(), labels=volumes(dims=(2, 3), values=2))
def test_cc3d_periodic(data, labels):
    _, first, last = peer("cc3d").estimate_provisional_labels(plain(labels))
    if first == last:
        return  # cc3d does not close a single row to a ring
    options = dict(connectivity=near(data.draw, labels.ndim, {2: [4, 8], 3: [6]}), periodic_boundary=True)
    ours, count = cc3d.connected_components(labels, return_N=True, **options)
    theirs, number = peer("cc3d").connected_components(plain(labels), return_N=True, **options)
    same_labels(ours, theirs)
    assert count == number


def test_cc3d_components_of_many_sizes():
    rng = np.random.default_rng(0)
    for shape, values in [((300, 300), 2), ((70, 80, 90), 2), ((70, 80, 90), 3), ((41, 41, 41), 70_000)]:
        for order in "CF":
            labels = laid(rng.integers(0, values, shape, "u4"), order)
            for connectivity in (6, 26):
                options = dict(connectivity=connectivity, return_N=True)
                ours, theirs = cc3d.connected_components(labels, **options), None
                theirs = peer("cc3d").connected_components(labels, **options)
                same_labels(ours[0], theirs[0])
                assert ours[1] == theirs[1]


def test_cc3d_refuses():
    ones = np.ones((3, 3), "u1")
    with pytest.raises(ValueError, match="out_dtype must be uint16, uint32 or uint64, got uint8"):
        cc3d.connected_components(ones, out_dtype=np.uint8)
    with pytest.raises(ValueError, match="hold 68921 components"):
        cc3d.connected_components(np.arange(1, 41**3 + 1), out_dtype=np.uint16)
    with pytest.raises(ValueError, match="connectivity must be one of"):
        cc3d.connected_components(ones, connectivity=5)
    with pytest.raises(ValueError, match="connectivity must be one of"):
        cc3d.connected_components(ones[None], connectivity=4)
    with pytest.raises(cc3d.DimensionError):
        cc3d.connected_components(np.ones((1, 1, 1, 1)))
    with pytest.raises(TypeError, match="data must be integers, bool or floats"):
        cc3d.connected_components(np.ones((2, 2), complex))
    with pytest.raises(NotImplementedError, match="out_file"):
        cc3d.connected_components_stack([ones[None]])


def test_cc3d_of_nothing():
    for shape in [(0,), (0, 3), (2, 0, 4)]:
        out, count = cc3d.connected_components(np.zeros(shape, "u1"), return_N=True, connectivity=6)
        assert out.shape == shape
        assert count == 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_cc3d_out_file(tmp_path, order):
    labels = laid(np.random.default_rng(1).integers(0, 3, (5, 6, 7), "u1"), order)
    wanted = peer("cc3d").connected_components(labels)
    path = tmp_path / "out.bin"
    out = cc3d.connected_components(labels, out_file=str(path))
    assert isinstance(out, np.memmap)
    assert np.array_equal(out, wanted)
    out.flush()
    assert np.array_equal(np.fromfile(path, out.dtype).reshape(labels.shape, order=order), wanted)
    with open(tmp_path / "other.bin", "w+b") as file:
        assert np.array_equal(cc3d.connected_components(labels, out_file=file), wanted)


def test_cc3d_takes_torch():
    torch = peer("torch")
    out = cc3d.connected_components(torch.tensor([[1, 1, 0, 1]]))
    assert isinstance(out, torch.Tensor)
    assert out.tolist() == [[1, 1, 0, 2]]


@given(labels=volumes(dims=(2, 3)))
def test_cc3d_estimate(labels):
    assert cc3d.estimate_provisional_labels(labels) == peer("cc3d").estimate_provisional_labels(labels)


@given(labels=volumes(dtypes=["?", "u1", "u2", "u4", "u8", "i4", "i8"]), slices=st.booleans())
def test_cc3d_statistics(labels, slices):
    labels = (
        labels if labels.dtype == bool else np.where(labels > 4, 1, abs(labels.astype("i8")) % 5).astype(labels.dtype)
    )
    labels = labels if labels.size >= 5 or labels.dtype == bool else labels % 1
    ours = cc3d.statistics(labels, no_slice_conversion=not slices)
    theirs = peer("cc3d").statistics(labels, no_slice_conversion=not slices)
    same(ours["voxel_counts"], theirs["voxel_counts"])
    same(ours["centroids"], theirs["centroids"])
    if slices:
        assert ours["bounding_boxes"] == theirs["bounding_boxes"]
    else:
        same(ours["bounding_boxes"], theirs["bounding_boxes"])


def test_cc3d_statistics_of_long_axes_and_of_nothing():
    labels = np.zeros((3, 66_000), "u1")
    labels[1, 65_900:] = 2
    ours, theirs = (m.statistics(labels, no_slice_conversion=True) for m in (cc3d, peer("cc3d")))
    for key, value in theirs.items():
        same(ours[key], value)
    assert cc3d.statistics(np.zeros((0, 1, 1), "u1")) == dict.fromkeys(theirs)
    with pytest.raises(ValueError, match="must not exceed the voxels"):
        cc3d.statistics(np.array([[9]]))
    with pytest.raises(ValueError, match="must not be negative"):
        cc3d.statistics(np.array([[-1, 0]]))


@given(data=st.data(), labels=volumes(dtypes=[*INTEGERS], dims=(2, 3)))
def test_cc3d_contacts(data, labels):
    connectivity = near(data.draw, labels.ndim)
    anisotropy = data.draw(st.sampled_from([(1, 1, 1), (4, 4, 40), (1.5, 10, 10)]))
    options = dict(connectivity=connectivity, anisotropy=anisotropy)
    assert cc3d.contacts(labels, **options) == peer("cc3d").contacts(labels, **options)
    assert cc3d.region_graph(labels, connectivity) == peer("cc3d").region_graph(labels, connectivity)
    counts = cc3d.contacts(labels, 6, surface_area=False)
    assert counts == peer("cc3d").contacts(labels, 6, surface_area=False)


@given(data=st.data(), labels=volumes(dtypes=[*INTEGERS]))
def test_cc3d_voxel_connectivity_graph(data, labels):
    connectivity = near(data.draw, labels.ndim)
    ours = cc3d.voxel_connectivity_graph(labels, connectivity)
    same(ours, peer("cc3d").voxel_connectivity_graph(labels, connectivity), layout=False)


@given(
    shape=st.one_of(st.tuples(*[st.integers(1, 7)] * 2), st.tuples(*[st.integers(2, 5)] * 3)),
    kind=st.sampled_from(["u1", "u4"]),
    order=ORDERS,
    data=st.data(),
)
def test_cc3d_color_connectivity_graph(shape, kind, order, data):
    connectivity = near(data.draw, len(shape), {2: [4, 8], 3: [6, 26] if kind == "u4" else [6]})
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    graph = laid((rng.integers(0, 2**26, shape) & rng.integers(0, 2**26, shape)).astype(kind), order)
    ours, count = cc3d.color_connectivity_graph(graph, connectivity, return_N=True)
    theirs, number = peer("cc3d").color_connectivity_graph(graph, connectivity, return_N=True)
    assert count == number
    same(ours, theirs)


def test_cc3d_color_connectivity_graph_refuses():
    with pytest.raises(cc3d.DimensionError):
        cc3d.color_connectivity_graph(np.zeros(3, "u1"))
    with pytest.raises(ValueError, match="connectivity must be 6 or 26"):
        cc3d.color_connectivity_graph(np.zeros((2, 2, 2), "u4"), 18)
    with pytest.raises(ValueError, match="vcg must be uint8 or uint32"):
        cc3d.color_connectivity_graph(np.zeros((2, 2), "u2"), 4)
    assert cc3d.color_connectivity_graph(np.zeros((0, 2), "u1"), 4).shape == (0, 2)


@given(
    data=st.data(),
    labels=volumes(dtypes=LABEL_DTYPES, values=3),
    threshold=st.sampled_from([0, 1, 2, 3.5, 10, 10**9, (2, 4), [1, 2.5], (0, 3), (3, 3)]),
    binary=st.booleans(),
    invert=st.booleans(),
    in_place=st.booleans(),
    as_float=st.booleans(),
)
def test_cc3d_dust(data, labels, threshold, binary, invert, in_place, as_float):
    labels = plain(labels) if labels.dtype.itemsize == 8 else labels
    labels = labels.astype("f4") if as_float and labels.dtype.itemsize < 4 else labels
    connectivity = near(data.draw, labels.ndim)
    mine, yours = labels.copy(order="K"), labels.copy(order="K")
    options = dict(connectivity=connectivity, invert=invert, in_place=in_place, return_N=True)
    ours, count = cc3d.dust(mine, threshold, binary_image=binary, **options)
    theirs, number = peer("cc3d").dust(plain(yours != 0 if binary else yours), threshold, **options)
    assert ours.dtype == labels.dtype
    assert np.array_equal(ours, np.where(theirs != 0, labels, labels.dtype.type(0)))
    assert count == number
    assert (ours is mine) == in_place
    if not in_place:
        assert np.array_equal(mine, labels)
        assert ours.flags.f_contiguous == labels.flags.f_contiguous


@given(
    labels=volumes(dtypes=["u1", "u2", "u4", "u8"]),
    threshold=st.sampled_from([0, 1, 5, 20, (2, 30), (0, 7)]),
    invert=st.booleans(),
)
def test_cc3d_dust_of_components(labels, threshold, invert):
    components = cc3d.connected_components(labels)
    if labels.size > 20:  # with ids that do not occur
        components = np.where(components % 2, components, 0)
    options = dict(precomputed_ccl=True, invert=invert, return_N=True)
    ours, count = cc3d.dust(components, threshold, **options)
    theirs, number = peer("cc3d").dust(components, threshold, **options)
    same(ours, theirs, layout=False)
    assert count == number


@given(data=st.data(), labels=volumes(), k=st.integers(1, 6), binary=st.booleans(), own=st.booleans())
def test_cc3d_largest_k(data, labels, k, binary, own):
    source = plain(labels != 0 if binary else labels)
    components = peer("cc3d").connected_components(source, connectivity=6)
    sizes = np.sort(np.bincount(components.ravel())[1:])[::-1]
    if len(sizes) > k and sizes[k - 1] == sizes[k]:
        k = int(np.count_nonzero(sizes > sizes[k])) or len(sizes)  # where ties decide nothing
    options = dict(connectivity=6, return_N=True, precomputed_ccl=own)
    ours, count = cc3d.largest_k(components if own else labels, k, binary_image=binary, **options)
    theirs, number = peer("cc3d").largest_k(components if own else source, k, **options)
    assert count == number
    assert np.array_equal(ours, theirs)
    if count < len(sizes):
        assert ours.dtype == theirs.dtype


def test_cc3d_largest_k_of_equals():
    labels = np.array([[1, 0, 1, 1, 0, 2, 2, 0, 1, 1]])
    assert cc3d.largest_k(labels, 2, connectivity=8).tolist() == [[0, 0, 0, 0, 0, 1, 1, 0, 2, 2]]
    labels = np.array([[1, 0, 1, 1, 0, 2, 2, 0, 1]])
    assert cc3d.largest_k(labels, 1).tolist() == [[False, False, True, True, False, False, False, False, False]]
    assert cc3d.largest_k(labels, 0, return_N=True)[1] == 0
    assert not cc3d.largest_k(labels, 0).any()
    with pytest.raises(AssertionError):
        cc3d.largest_k(labels, -1)


@given(labels=volumes(dtypes=["?", "u1", "u2", "u4", "u8"]), binary=st.booleans(), in_place=st.booleans())
def test_cc3d_each(labels, binary, in_place):
    ours = cc3d.each(labels, binary=binary, in_place=in_place)
    theirs = peer("cc3d").each(labels, binary=binary, in_place=in_place)
    assert len(ours) == len(theirs)
    for (label, image), (number, picture) in zip(ours, theirs, strict=True):
        assert label == number
        same(image, picture)
        assert image.flags.writeable != in_place


# edt


def same_distances(ours, theirs):
    same(ours, theirs)


@given(
    data=st.data(),
    labels=volumes(dtypes=[*LABEL_DTYPES]),
    kind=st.sampled_from(["", "", "f4", "f8"]),
    border=st.booleans(),
)
def test_edt(backend, data, labels, kind, border):
    labels = labels.astype(kind) if kind else labels
    spacing = data.draw(st.sampled_from([None, (1, 2, 3), (5, 4, 4), (0.5, 2.0, 1.0)]))
    spacing = spacing if spacing is None else spacing[0] if labels.ndim == 1 else spacing[: labels.ndim]
    for name in ("edt", "edtsq", "sdf", "sdfsq"):
        ours = getattr(edt, name)(labels, anisotropy=spacing, black_border=border)
        same(ours, getattr(peer("edt"), name)(labels, anisotropy=spacing, black_border=border))


@given(data=st.data(), labels=volumes(dims=(2, 3)), border=st.booleans(), signed=st.booleans())
def test_edt_of_a_voxel_graph(data, labels, border, signed):
    seed = data.draw(st.integers(0, 2**32 - 1))
    kind = data.draw(st.sampled_from(["u1", "u4", "i8"]))
    rng = np.random.default_rng(seed)
    graph = laid(rng.integers(0, 64, labels.shape) | rng.integers(0, 64, labels.shape), data.draw(ORDERS)).astype(kind)
    spacing = data.draw(st.sampled_from([(1, 1, 1), (2, 4, 6)]))[: labels.ndim]
    name = "sdf" if signed else "edt"
    ours = getattr(edt, name)(labels, spacing, border, voxel_graph=graph)
    theirs = getattr(peer("edt"), name)(labels, spacing, border, voxel_graph=graph)
    assert ours.dtype == theirs.dtype
    assert np.allclose(ours, theirs, rtol=1e-6, atol=0, equal_nan=True)


def test_edt_by_dimension():
    row, picture, volume = (np.ones((5, 4, 3)[:d], "u1") for d in (1, 2, 3))
    for array, name in [(row, "edt1d"), (picture, "edt2d"), (volume, "edt3d")]:
        for squared in ("", "sq"):
            ours, theirs = (getattr(m, name + squared)(array, black_border=True) for m in (edt, peer("edt")))
            same(ours, theirs)
            assert np.array_equal(getattr(edt, "edt" + squared)(array, black_border=True), theirs)


def test_edt_refuses_and_takes_nothing():
    with pytest.raises(TypeError, match="must be 1D, 2D or 3D"):
        edt.edt(np.ones((1, 1, 1, 1)))
    with pytest.raises(TypeError, match="got float16"):
        edt.edt(np.ones(3, "f2"))
    with pytest.raises(TypeError, match="needs data of 2D or 3D"):
        edt.edt(np.ones(3), voxel_graph=np.ones(3, "u1"))
    with pytest.raises(TypeError, match="voxel_graph must be integers"):
        edt.edt(np.ones((3, 3)), voxel_graph=np.ones((3, 3)))
    for shape in [(0,), (1, 0), (2, 0, 3)]:
        assert edt.edt(np.zeros(shape)).shape == edt.sdf(np.zeros(shape)).shape == shape
    assert edt.edt([1, 1, 0]).tolist() == [2, 1, 0]


@given(labels=volumes(dtypes=["?", "u1", "u2", "i4", "u8"]), in_place=st.booleans(), kind=st.sampled_from(["", "f4"]))
def test_edt_each(labels, in_place, kind):
    labels = labels.astype(kind) if kind else labels
    distances = edt.edt(labels, black_border=True)
    theirs = peer("edt").each(labels, distances, in_place=in_place)
    for (label, image), (number, picture) in zip(edt.each(labels, distances, in_place=in_place), theirs, strict=True):
        assert label == number
        same(image, picture)
    with pytest.raises(ValueError, match="dt must have the shape"):
        edt.each(labels, distances[:0])


@given(labels=volumes(dtypes=["u1", "u4"]))
def test_edt_runs(labels):
    runs = edt.runs(labels)
    assert runs == {k: [tuple(r) for r in v] for k, v in peer("edt").runs(labels).items()}
    image = np.zeros_like(labels)
    for label, where in runs.items():
        assert edt.draw(label, where, image) is image
    assert np.array_equal(image, labels)
    copy = np.zeros_like(labels)
    for where in runs.values():
        edt.transfer(where, labels, copy)
        edt.erase(where, image)
    assert np.array_equal(copy, labels)
    assert not image.any()


# fastremap


def listed(results):
    return results if isinstance(results, tuple) else (results,)


@given(labels=volumes(dtypes=INTEGERS, empty=True), flags=st.tuples(*[st.booleans()] * 3))
def test_fastremap_unique(labels, flags):
    names = [name for name, on in zip(("return_index", "return_inverse", "return_counts"), flags, strict=True) if on]
    options = dict.fromkeys(names, True)
    for a, b in zip(*(listed(m.unique(labels, **options)) for m in (fastremap, np)), strict=True):
        assert np.array_equal(a, b)
    labels = labels % 100  # fastremap writes beyond its tables where ids reach the ends of their dtype
    ours, theirs = (f(labels, **options) for f in (fastremap.unique, peer("fastremap").unique))
    numpys = np.unique(labels, **options)
    if not names:
        same(ours, theirs)
        return
    same(ours[0], theirs[0])
    for name, a, b, n in zip(names, ours[1:], theirs[1:], numpys[1:], strict=True):
        if name == "return_index":  # fastremap's are of the first in memory
            b = n
        assert a.dtype == np.uint64
        if labels.size:
            same(a, b.astype(np.uint64), layout=False)  # uint32, uint64 or int64 in fastremap, by its ways


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"]), few=st.booleans())
def test_fastremap_unique_pairs(seed, kind, few):
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind)
    pairs = rng.choice(np.array([info.min, info.max, 0, 1, 2], kind), (30, 2))
    if not few:
        pairs = rng.integers(info.min, info.max, (30, 2), kind, endpoint=True)
    assert np.array_equal(fastremap.unique(pairs, axis=0), np.unique(pairs, axis=0))
    assert fastremap.unique(pairs, axis=0).dtype == pairs.dtype
    assert np.array_equal(fastremap.unique(pairs, axis=1), np.unique(pairs, axis=1))


@given(
    labels=volumes(dtypes=LABEL_DTYPES, empty=True),
    start=st.sampled_from([1, 1, 0, 5, 100, 250]),
    zero=st.booleans(),
    in_place=st.booleans(),
    kind=st.sampled_from(["", "", "f4", "f8"]),
)
def test_fastremap_renumber(labels, start, zero, in_place, kind):
    labels = (labels % 100).astype(kind) if kind else labels
    if labels.dtype.kind in "iub" and start + 10 > (127 if labels.dtype.kind == "i" else 255):
        start = 1 if labels.dtype.itemsize == 1 else start
    mine, yours = labels.copy(order="K"), labels.copy(order="K")
    ours, table = fastremap.renumber(mine, start=start, preserve_zero=zero, in_place=in_place)
    theirs, mapping = peer("fastremap").renumber(yours, start=start, preserve_zero=zero, in_place=in_place)
    same(ours, theirs)
    assert table == mapping
    assert np.array_equal(mine, yours)


def test_fastremap_renumber_grows_at_the_limits():
    for count in (126, 127, 128, 254, 255, 256, 300):
        for kind in ("u2", "i2", "i8", "u4"):
            labels = np.arange(1, count + 1).astype(kind)
            same(fastremap.renumber(labels)[0], peer("fastremap").renumber(labels)[0])


@given(
    labels=volumes(dtypes=INTEGERS, values=5, empty=True),
    table=st.dictionaries(st.integers(0, 5), st.sampled_from([0, 1, 7, 100, 300, 70_000]), max_size=6),
    keep=st.booleans(),
    in_place=st.booleans(),
    kind=st.sampled_from(["", "", "f4", "f8"]),
)
def test_fastremap_remap(labels, table, keep, in_place, kind):
    labels = labels.astype(kind) if kind else labels
    missing = not keep and not set(np.unique(labels).tolist()) <= set(table)
    mine, yours = labels.copy(order="K"), labels.copy(order="K")
    options = dict(preserve_missing_labels=keep, in_place=in_place)
    if missing:
        with pytest.raises(KeyError):
            fastremap.remap(mine, table, **options)
        assert np.array_equal(mine, labels)
        return
    ours = fastremap.remap(mine, table, **options)
    theirs = peer("fastremap").remap(yours, table, **options)
    if labels.size:
        same(ours, theirs)
    assert np.array_equal(mine, yours)
    assert (ours is mine) == (labels.size == 0 or (in_place and ours.dtype == labels.dtype))


@given(labels=volumes(dtypes=["u1", "u2", "u4", "u8"], values=6), seed=st.integers(0, 99), in_place=st.booleans())
def test_fastremap_remap_from_arrays(labels, seed, in_place):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 200, 4).astype(labels.dtype)
    flat = labels.reshape(-1)
    mine, yours = flat.copy(), flat.copy()
    ours = fastremap.remap_from_array(mine, values, in_place=in_place)
    same(ours, peer("fastremap").remap_from_array(yours, values, in_place=in_place))
    assert np.array_equal(mine, yours)
    keys = np.array([3, 0, 3, 1], labels.dtype)
    ours = fastremap.remap_from_array_kv(flat, keys, values, in_place=False)
    same(ours, peer("fastremap").remap_from_array_kv(flat, keys, values, in_place=False))
    if not set(flat.tolist()) <= set(keys.tolist()):
        with pytest.raises(KeyError):
            fastremap.remap_from_array_kv(flat, keys, values, preserve_missing_labels=False)


@given(
    labels=volumes(dtypes=INTEGERS, values=6),
    some=st.lists(st.integers(0, 7), max_size=5),
    value=st.sampled_from([0, 1, 100, 127, 300]),
    in_place=st.booleans(),
)
def test_fastremap_mask(labels, some, value, in_place):
    mine, yours = labels.copy(order="K"), labels.copy(order="K")
    same(fastremap.mask(mine, some, in_place, value), peer("fastremap").mask(yours, some, in_place, value))
    assert np.array_equal(mine, yours)
    if value <= np.iinfo(labels.dtype).max:
        mine, yours = labels.copy(order="K"), labels.copy(order="K")
        ours = fastremap.mask_except(mine, np.array(some, int), in_place, value)
        same(ours, peer("fastremap").mask_except(yours, some, in_place, value))
        assert np.array_equal(mine, yours)


@given(labels=volumes(dtypes=INTEGERS, empty=True), kind=st.sampled_from(["", "f4"]))
def test_fastremap_small_questions(labels, kind):
    theirs = peer("fastremap")
    numbers = labels.astype(kind) if kind else labels
    assert fastremap.minmax(numbers) == theirs.minmax(numbers)
    assert fastremap.foreground(labels) == theirs.foreground(labels)
    assert fastremap.pixel_pairs(labels) == theirs.pixel_pairs(labels)
    for value in (None, 0, 1):
        assert fastremap.is_solid(labels, value) == theirs.is_solid(labels, value)
    flat = np.ascontiguousarray(numbers.reshape(-1))
    assert np.array_equal(fastremap.indices(flat, 1), theirs.indices(flat, 1))
    for array in (flat, np.sort(flat), np.sort(flat)[::-1]):
        for ascending in (True, False):
            row = np.ascontiguousarray(array)
            assert fastremap.is_sorted(row, ascending) == theirs.is_sorted(row, ascending)
    same(fastremap.refit(numbers), theirs.refit(numbers))


def test_fastremap_questions_of_several_blocks(monkeypatch):
    monkeypatch.setattr(fastremap, "_BLOCK", 4)
    row = np.array([1, 1, 2, 2, 2, 2, 2, 3, 3, 5])
    assert fastremap.pixel_pairs(row) == 6
    assert fastremap.is_sorted(row)
    assert not fastremap.is_sorted(row[::-1])
    assert fastremap.is_sorted(row[::-1], asc=False)
    assert not fastremap.is_solid(row)
    assert fastremap.is_solid(np.full(10, 3), 3)


@given(components=volumes(dtypes=INTEGERS, values=6), order=ORDERS, kind=st.sampled_from(INTEGERS))
def test_fastremap_component_maps(components, order, kind):
    theirs = peer("fastremap")
    parents = laid((components % 2 + 3).astype(kind), order)
    assert fastremap.component_map(components, parents) == theirs.component_map(components, parents)
    for a, b in [(parents, components), (components, parents), (components, np.roll(parents, 1))]:
        ours = fastremap.inverse_component_map(a, b)
        assert ours == {k: sorted(v) for k, v in theirs.inverse_component_map(a, b).items()}


def test_fastremap_component_maps_of_lists():
    assert fastremap.component_map([], []) == fastremap.inverse_component_map([], []) == {}
    assert fastremap.inverse_component_map([1, 1, 1, 1], [4, 2, 5, 6]) == {1: [2, 4, 5, 6]}
    with pytest.raises(ValueError, match="one shape"):
        fastremap.component_map([1], [1, 2])


KINDS = [*INTEGERS, "f2", "f4", "f8", "c8", "c16"]


@pytest.mark.parametrize("exotics", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "?", "g", "S1"])
def test_fastremap_dtypes(kind, exotics):
    theirs = peer("fastremap")

    def outcome(call, *values):
        with warnings.catch_warnings():  # fastremap's, of overflows
            warnings.simplefilter("ignore")
            try:
                return np.dtype(call(*values, exotics=exotics))
            except ValueError:
                return ValueError

    for name in ("widen_dtype", "narrow_dtype"):
        assert outcome(getattr(fastremap, name), kind) == outcome(getattr(theirs, name), kind)
    values = [
        0,
        1,
        -1,
        127,
        128,
        -128,
        -129,
        255,
        256,
        2**15,
        2**16,
        2**31,
        2**32,
        2**63 - 1,
        2**64,
        1e30,
        1e300,
    ]
    for value in [*values, 3j, -(2**20) + 1j]:
        if isinstance(value, complex) and np.dtype(kind).kind != "c":
            continue
        assert outcome(fastremap.fit_dtype, kind, value) == outcome(theirs.fit_dtype, kind, value), value


@pytest.mark.parametrize("increase_only", [False, True])
def test_fastremap_refit_to_a_value(increase_only):
    array = np.ones(3, "u2")
    for value in (0, 200, 300, 70_000):
        ours, theirs = (m.refit(array, value, increase_only) for m in (fastremap, peer("fastremap")))
        same(ours, theirs)
    assert fastremap.refit(np.zeros(0, "i4")).dtype == np.int8


def test_fastremap_layouts():
    for shape in [(5,), (4, 6), (3, 4, 5), (2, 3, 4, 5)]:
        array = np.arange(np.prod(shape)).reshape(shape)
        same(fastremap.asfortranarray(array), peer("fastremap").asfortranarray(array.copy()))
        turned = np.asfortranarray(array)
        same(fastremap.ascontiguousarray(turned), peer("fastremap").ascontiguousarray(turned.copy(order="F")))
        assert np.array_equal(fastremap.transpose(array), array.T)


@given(labels=volumes(dtypes=LABEL_DTYPES, dims=(2, 3)), shell=st.booleans())
def test_fastremap_point_cloud(labels, shell):
    ours = fastremap.point_cloud(labels, shell=shell)
    array = labels.astype(np.int64) if labels.dtype.kind != "u" else labels
    for label, points in ours.items():
        assert points.dtype == np.uint16
        assert points.shape[1] == labels.ndim
        inside = np.argwhere(labels == label)
        if shell:
            padded = np.pad(labels == label, 1)
            steps = [np.roll(padded, s, a) for a in range(labels.ndim) for s in (1, -1)]
            core = np.logical_and.reduce(steps)[(slice(1, -1),) * labels.ndim]
            inside = np.argwhere((labels == label) & ~core)
        assert np.array_equal(points, inside)
    assert set(ours) == set(np.unique(array).tolist()) - {0}
    if not shell:
        theirs = peer("fastremap").point_cloud(labels)
        assert set(theirs) == set(ours)
        assert all(np.array_equal(np.unique(theirs[k], axis=0), np.unique(v, axis=0)) for k, v in ours.items())


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_fastremap_tobytes(order, layout):
    image = laid(np.arange(8 * 4 * 6, dtype="u2").reshape(8, 4, 6), layout)
    assert fastremap.tobytes(image, (4, 2, 3), order) == peer("fastremap").tobytes(image, (4, 2, 3), order)
    with pytest.raises(ValueError, match="must divide"):
        fastremap.tobytes(image, (3, 2, 3))
    with pytest.raises(ValueError, match="order must be"):
        fastremap.tobytes(image, (4, 2, 3), "K")


# fill_voids


@given(labels=volumes(values=2, dtypes=LABEL_DTYPES), kind=st.sampled_from(["", "f4", "f8"]), in_place=st.booleans())
def test_fill_voids(backend, labels, kind, in_place):
    labels = labels.astype(kind) if kind else labels
    mine = labels.copy(order="K")
    ours, count = fill_voids.fill(mine, in_place=in_place, return_fill_count=True)
    theirs = peer("fill_voids").fill(labels)
    assert ours.dtype == theirs.dtype == labels.dtype
    inner = (slice(1, -1),) * labels.ndim  # on the edge fill_voids now and then fills what nothing encloses
    assert np.array_equal(ours[inner], theirs[inner])
    wanted = labels != 0
    if labels.ndim > 1:  # a row is a picture of one column to fill_voids
        wanted = peer("scipy.ndimage").binary_fill_holes(wanted)
    assert np.array_equal(ours, wanted.astype(labels.dtype))
    assert count == np.count_nonzero(wanted) - np.count_nonzero(labels)
    assert ours.flags.f_contiguous == labels.flags.f_contiguous
    assert np.array_equal(mine, ours if in_place else labels)


def test_fill_voids_of_any_number_of_axes():
    ring = np.ones((5, 5), "u1")
    ring[2, 2] = 0
    for shape in [(5, 5), (5, 5, 1, 1), (5, 5, 1, 1, 1)]:
        ours, theirs = (m.fill(ring.reshape(shape)) for m in (fill_voids, peer("fill_voids")))
        assert ours.shape == theirs.shape == shape
    assert fill_voids.fill(ring).all()
    with pytest.raises(fill_voids.DimensionError):
        fill_voids.fill(np.ones((2, 2, 2, 2)))
    for shape in [(0,), (0, 3), (4,), (3, 0, 2)]:
        assert fill_voids.fill(np.zeros(shape), return_fill_count=True)[1] == 0
    with pytest.raises(TypeError, match="labels must be integers, floats or bool"):
        fill_voids.fill(np.ones((2, 2), complex))


# scikit-image


@given(data=st.data(), labels=volumes(), background=st.sampled_from([None, 0, 1, -1, 2]))
def test_skimage_label(backend, data, labels, background):
    connectivity = data.draw(st.sampled_from([None, *range(1, labels.ndim + 1)]))
    options = dict(background=background, return_num=True, connectivity=connectivity)
    ours, count = skimage.label(labels, **options)
    if labels.dtype == np.uint64 and labels.max(initial=0) >= 2**63:
        return  # scikit-image does not take these
    if labels.ndim == 3 and 1 in labels.shape:
        return  # scikit-image turns these before it numbers
    theirs, number = peer("skimage.measure").label(labels, **options)
    same(ours, theirs, layout=False)
    assert count == number


@given(labels=volumes(dtypes=["u1", "u2", "i4", "u8"]), offset=st.sampled_from([1, 5, 200, 70_000]))
def test_skimage_relabel_sequential(labels, offset):
    labels = labels % 100
    ours = skimage.relabel_sequential(labels, offset)
    with warnings.catch_warnings():  # scikit-image's, of overflows
        warnings.simplefilter("ignore")
        theirs = peer("skimage.segmentation").relabel_sequential(labels, offset)
    same(ours[0], theirs[0], layout=False)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        same(a.in_values, b.in_values)
        same(a.out_values, b.out_values)
        assert a.dtype == b.dtype
        assert len(a) == len(b)
        assert np.array_equal(np.asarray(a), np.asarray(b))
        assert str(a) == str(b)
    forward, inverse = ours[1:]
    assert np.array_equal(forward[labels], ours[0])
    assert np.array_equal(inverse(ours[0]), labels)
    assert forward[1 : len(forward)].tolist() == theirs[1][1 : len(forward)].tolist()
    assert forward[int(labels.flat[0])] == ours[0].flat[0]


def test_skimage_refuses():
    with pytest.raises(ValueError, match="offset must be positive"):
        skimage.relabel_sequential(np.array([1]), 0)
    with pytest.raises(ValueError, match="must not hold negative"):
        skimage.relabel_sequential(np.array([-1]))
    with pytest.raises(TypeError, match="integer dtype"):
        skimage.relabel_sequential(np.array([1.0]))
    with pytest.raises(NotImplementedError, match="4D"):
        skimage.label(np.ones((1, 1, 1, 1), int))
    with pytest.raises(ValueError, match="connectivity must be from 1 to 2"):
        skimage.label(np.ones((1, 1), int), connectivity=3)
    with pytest.raises(TypeError, match="ar must be bool or integers"):
        skimage.remove_small_objects(np.ones((2, 2)))
    with pytest.raises(ValueError, match="negative"):
        skimage.remove_small_objects(np.array([[-1]]))
    with pytest.raises(NotImplementedError, match=r"emfast\.boundaries"):
        skimage.find_boundaries(np.ones((2, 2), int), mode="subpixel")
    with pytest.raises(TypeError, match="out must be bool"):
        skimage.remove_small_holes(np.ones((2, 2), bool), out=np.ones((2, 2)))


@given(data=st.data(), labels=volumes(dtypes=["?", "u1", "u2", "i4"]), size=st.integers(0, 12), into=st.booleans())
def test_skimage_small_objects_and_holes(data, labels, size, into):
    theirs = peer("skimage.morphology")
    labels = labels if labels.dtype == bool else labels % 7
    connectivity = data.draw(st.integers(1, labels.ndim))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = theirs.remove_small_objects(labels, max_size=size, connectivity=connectivity)
        holes = theirs.remove_small_holes(labels, max_size=size, connectivity=connectivity)
        older = theirs.remove_small_objects(labels, max_size=max(0, size - 1), connectivity=connectivity)
    out = np.empty_like(labels) if into else None
    ours = skimage.remove_small_objects(labels, max_size=size, connectivity=connectivity, out=out)
    assert (ours is out) == into
    same(ours, wanted, layout=False)
    same(skimage.remove_small_objects(labels, size, connectivity), older, layout=False)
    out = np.empty(labels.shape, bool) if into else None
    ours = skimage.remove_small_holes(labels, max_size=size, connectivity=connectivity, out=out)
    same(ours, holes, layout=False)
    assert (ours is out) == into


@given(data=st.data(), labels=volumes(dtypes=["?", "u1", "u2", "i4"], dims=(2, 3)), background=st.integers(0, 2))
def test_skimage_find_boundaries(data, labels, background):
    labels = labels if labels.dtype == bool else labels % 7
    connectivity = data.draw(st.integers(1, labels.ndim))
    for mode in ("thick", "inner"):
        options = dict(connectivity=connectivity, mode=mode, background=background)
        theirs = peer("skimage.segmentation").find_boundaries(labels, **options)
        same(skimage.find_boundaries(labels, **options), theirs, layout=False)


@given(labels=volumes(dtypes=["u1", "i4"], dims=(2, 3)), distance=st.sampled_from([1, 1.5, 3]), wide=st.booleans())
def test_skimage_expand_labels(labels, distance, wide):
    spacing = (1, 2, 3)[: labels.ndim] if wide else 1
    ours = skimage.expand_labels(labels, distance, spacing)
    theirs = peer("skimage.segmentation").expand_labels(labels, distance, spacing)
    assert ours.dtype == theirs.dtype
    if labels.any():
        assert np.array_equal(ours != 0, theirs != 0)


@st.composite
def landscapes(draw):
    """Images with many ties or none, 1D to 3D, and markers of each kind."""
    shape = tuple(draw(st.lists(st.integers(1, 8), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = (
        rng.random(shape)
        if draw(st.booleans())
        else rng.integers(0, 4, shape).astype(draw(st.sampled_from(["u1", "i4", "f4"])))
    )
    kind = draw(st.sampled_from([None, "count", "i1", "u2", "i4", "u8"]))
    if kind is None:
        markers = None
    elif kind == "count":
        markers = draw(st.integers(1, 12))
    else:
        markers = (rng.integers(1, 9, shape) * (rng.random(shape) < 0.2)).astype(kind)
        if kind == "i1":
            markers = -markers
    mask = rng.random(shape) < 0.8 if draw(st.booleans()) else None
    if mask is not None and not mask.any():
        mask = None
    return image, markers, mask


@given(landscape=landscapes(), data=st.data(), compactness=st.sampled_from([0, 0, 0.1, 3]), lines=st.booleans())
def test_skimage_watershed(landscape, data, compactness, lines):
    image, markers, mask = landscape
    near = 1 if lines else data.draw(st.integers(1, image.ndim))
    options = dict(connectivity=near, mask=mask, compactness=compactness, watershed_line=lines)
    theirs = peer("skimage.segmentation").watershed(image, markers, **options)
    given_markers = markers.copy() if isinstance(markers, np.ndarray) else None
    same(skimage.watershed(image, markers, **options), theirs, layout=False)
    if given_markers is not None:
        assert np.array_equal(markers, given_markers)
    footprint = peer("scipy.ndimage").generate_binary_structure(image.ndim, near)
    options.update(connectivity=footprint, offset=(1,) * image.ndim)
    same(skimage.watershed(image, markers, **options), theirs, layout=False)


def test_skimage_watershed_on_level_ground():
    assert not skimage.watershed(np.ones((3, 4))).any()
    assert skimage.watershed(np.array([[0, 1, 3, 2, 0]])).tolist() == [[1, 1, 1, 2, 2]]
    assert skimage.watershed(np.ones((3, 4)), 1).tolist() == [[1] * 4] * 3
    assert skimage.watershed(np.ones((2, 2)), 9).tolist() == [[1, 2], [3, 4]]


def test_skimage_watershed_refuses():
    flat = np.zeros((3, 4))
    marks = np.eye(3, 4, dtype=int)
    with pytest.raises(ValueError, match=r"markers must have the shape of image \(3, 4\), got \(3, 3\)"):
        skimage.watershed(flat, np.eye(3, dtype=int))
    with pytest.raises(TypeError, match="markers must be integers, got float64"):
        skimage.watershed(flat, np.eye(3, 4))
    with pytest.raises(ValueError, match=r"mask must have the shape of image \(3, 4\), got \(3,\)"):
        skimage.watershed(flat, marks, mask=np.ones(3))
    with pytest.raises(ValueError, match="connectivity must be from 1 to 2"):
        skimage.watershed(flat, marks, 3)
    with pytest.raises(ValueError, match="connectivity must have the axes of image, 2, got 1"):
        skimage.watershed(flat, marks, np.ones(3))
    with pytest.raises(NotImplementedError, match="the 3 x 3"):
        skimage.watershed(flat, marks, np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]]))
    with pytest.raises(NotImplementedError, match="offset must be the centre"):
        skimage.watershed(flat, marks, np.ones((3, 3)), offset=(0, 1))
    with pytest.raises(OverflowError, match="markers must have voxels of the mask to lie on, got 3 and an empty mask"):
        skimage.watershed(flat, 3, mask=np.zeros((3, 4), bool))
    with pytest.raises(NotImplementedError, match="4D"):
        skimage.watershed(np.zeros((1, 1, 1, 1)), 1)
    with pytest.raises(ValueError, match="NaN"):
        skimage.watershed(np.full((3, 4), np.nan), marks)


# Layouts that are neither C nor Fortran, and real data


@pytest.mark.parametrize("view", [lambda a: a[::2, ::-1], lambda a: a.transpose(1, 0, 2), lambda a: a[:, 1:-1]])
def test_views(view):
    labels = view(np.random.default_rng(3).integers(0, 3, (6, 7, 8)).astype("u4"))
    assert not labels.flags.c_contiguous
    assert not labels.flags.f_contiguous
    same_labels(cc3d.connected_components(labels), peer("cc3d").connected_components(labels))
    same(cc3d.dust(labels, 5), peer("cc3d").dust(labels, 5), layout=False)
    assert cc3d.contacts(labels) == peer("cc3d").contacts(labels)
    graph = peer("cc3d").voxel_connectivity_graph(labels)
    for options in (dict(), dict(voxel_graph=graph)):
        ours, theirs = (m.edt(labels, (4, 4, 40), True, **options) for m in (edt, peer("edt")))
        assert np.allclose(ours, theirs, rtol=1e-6)
    for (a, image), (b, picture) in zip(cc3d.each(labels), peer("cc3d").each(labels.copy()), strict=True):
        assert a == b
        assert np.array_equal(image, picture)
    ours, theirs = (m.renumber(labels, in_place=True) for m in (fastremap, peer("fastremap")))
    assert np.array_equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]
    assert np.array_equal(fill_voids.fill(labels == 1), peer("scipy.ndimage").binary_fill_holes(labels == 1))


def test_real_labels_agree_with_the_peers(shared_data):
    h5py = peer("h5py")
    with h5py.File(shared_data / "pinky40_labels_dev.h5") as file:
        volume = file["labels"][:40, :200, :220]
    for order in "CF":
        labels = laid(volume, order)
        ours, theirs = (m.connected_components(labels, return_N=True) for m in (cc3d, peer("cc3d")))
        same_labels(ours[0], theirs[0])
        assert ours[1] == theirs[1]
        a, b = (m.statistics(theirs[0], no_slice_conversion=True) for m in (cc3d, peer("cc3d")))
        for key, value in b.items():
            same(a[key], value)
        assert cc3d.contacts(theirs[0]) == peer("cc3d").contacts(theirs[0])
        same(cc3d.dust(labels, 100), peer("cc3d").dust(labels, 100))
        ours, theirs = (m.edt(labels, anisotropy=(40, 32, 32)) for m in (edt, peer("edt")))
        assert np.allclose(ours, theirs, rtol=1e-6)
        ours, theirs = (m.renumber(labels) for m in (fastremap, peer("fastremap")))
        same(ours[0], theirs[0])
        assert ours[1] == theirs[1]


def test_skimage_takes_integers_only():
    with pytest.raises(TypeError, match="label_image must have an integer dtype"):
        skimage.label(np.ones((2, 2)))
    with pytest.raises(ValueError, match="label_field must hold a label"):
        skimage.relabel_sequential(np.zeros((0, 2), int))
