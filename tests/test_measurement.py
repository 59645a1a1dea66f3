import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast._arrays import take
from emfast._options import background_of
from emfast.measurement import _crofton_weights, _measure
from strategies import label_arrays, layouts

DENSE = label_arrays(max_side=7, values=4)


def native_cells(array, background, *, moments=True, surface=True):
    operand = take(array, "labels", order="any")
    shape = tuple(array.shape)
    ids, cells = _measure(operand, background_of(background, operand.dtype), moments, surface, None, shape)
    return dict(zip(ids.tolist(), cells.tolist(), strict=True))


def modulo(cells):
    """Products as the native sums keep them: modulo 2^64, read as signed."""
    return [(v + 2**63) % 2**64 - 2**63 for v in cells]


@given(labels=DENSE, background=st.sampled_from([0, 1, None, 2**64 - 1, -(2**63)]), layout=st.integers(0, 3))
def test_cells_are_the_oracle(backend, labels, background, layout):
    array = layouts(labels)[layout]
    native = native_cells(backend(array), background)
    wanted = oracles.statistics_cells(labels, background)
    assert list(native) == list(wanted)
    assert native == {label: modulo(cells) for label, cells in wanted.items()}


@given(labels=DENSE, moments=st.booleans(), surface=st.booleans())
def test_groups_of_cells_come_alone(backend, labels, moments, surface):
    everything = native_cells(backend(labels), 0)
    some = native_cells(backend(labels), 0, moments=moments, surface=surface)
    keep = [*range(11), *(range(11, 17) if moments else ()), *(range(17, 30) if surface else ())]
    assert some == {label: [cells[k] for k in keep] for label, cells in everything.items()}


@given(seed=st.integers(0, 2**32 - 1))
def test_cells_do_not_depend_on_threads(threads, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 50, (40, 60, 12), "u4"), 7, axis=2)
    assert native_cells(labels, 0) == native_cells(labels, 0)
    table = emfast.statistics(labels, moments=True, surface=True)
    emfast.set_threads(1)
    assert table == emfast.statistics(labels, moments=True, surface=True)


@given(labels=DENSE, spacing=st.sampled_from([(1, 1, 1), (30, 8, 8), (40.5, 4.25, 3)]))
def test_columns_follow_from_the_voxels(backend, labels, spacing):
    dims = labels.ndim
    spacing = spacing[3 - dims :]
    table = emfast.statistics(backend(labels), spacing=spacing, background=None, moments=True)
    assert table.label.dtype == ("u1" if labels.dtype == bool else labels.dtype)
    assert table.label.tolist() == np.unique(labels).tolist()
    size = table["volume" if dims == 3 else "area"]
    for row, (label, box) in enumerate(zip(table, table.slices(), strict=True)):
        places = np.argwhere(labels == label)
        members = [tuple(p) for p in places.tolist()]
        assert table.voxels[row] == len(members)
        assert size[row] == len(members) * np.prod(spacing)
        assert box == tuple(slice(a, b + 1) for a, b in zip(places.min(0), places.max(0), strict=True))
        assert table.centroid[row].tolist() == [int(s) / len(members) for s in places.sum(0)]
        assert table.centroid_nm[row].tolist() == (table.centroid[row] * spacing).tolist()
        edge = (places == 0) | (places == np.array(labels.shape) - 1)
        assert table.touches_border[row] == edge.any()
        assert tuple(table.inside[row]) == members[0]
        exact = oracles.covariance(members, spacing)
        np.testing.assert_allclose(table.covariance[row], exact, rtol=1e-12, atol=1e-9)
        vectors = table.directions[row]
        factor = 20 if dims == 3 else 16
        np.testing.assert_allclose(vectors.T @ np.diag(table.axes[row] ** 2 / factor) @ vectors, exact, atol=1e-6)
        assert (np.diff(table.axes[row]) <= 0).all()


class Sliced:
    """A volume that can only be sliced."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, box):
        return self.array[box]


@given(
    labels=DENSE,
    background=st.sampled_from([0, 1, None]),
    moments=st.booleans(),
    surface=st.booleans(),
    lazy=st.booleans(),
    data=st.data(),
)
def test_blocks_are_the_whole(labels, background, moments, surface, lazy, data):
    block = [data.draw(st.integers(1, max(1, n))) for n in labels.shape]
    options = {"background": background, "moments": moments, "surface": surface, "spacing": (30, 8, 7)[-labels.ndim :]}
    steps = []
    found = emfast.statistics(
        Sliced(labels) if lazy else labels, block=block, progress=lambda *step: steps.append(step), **options
    )
    assert found == emfast.statistics(labels, **options)
    assert found.label.dtype == emfast.statistics(labels, **options).label.dtype
    assert steps[-1] == (labels.size, labels.size)


def test_blocks_are_the_whole_on_a_large_volume(backend):
    made = emfast.phantom.make((20, 70, 90), seed=1)
    options = {"spacing": (30, 8, 8), "moments": True, "surface": True}
    whole = emfast.statistics(made.labels, **options)
    assert emfast.statistics(backend(made.labels), block=(7, 32, 32), **options) == whole
    zarr = pytest.importorskip("zarr")
    assert emfast.statistics(zarr.array(made.labels, chunks=(8, 32, 32)), **options) == whole
    with pytest.raises(ValueError, match="radius must be False for volumes that are read block by block"):
        emfast.statistics(made.labels, radius=True, block=(7, 32, 32))
    with pytest.raises(ValueError, match="block must be a positive number of voxels for each axis"):
        emfast.statistics(made.labels, block=(7, 32))


def test_moments_stay_exact_far_from_the_origin(backend):
    labels = np.zeros((3, 2, 200_001), "u1")
    labels[:, :, 200_000 - 50 :] = 1
    near = emfast.statistics(backend(labels[:, :, -51:]), moments=True)
    far = emfast.statistics(backend(labels), moments=True)
    assert np.array_equal(far.covariance, near.covariance)


def test_too_long_a_label_is_refused():
    labels = np.ones((1, 1 << 21), "u1")
    with pytest.raises(ValueError, match=r"exact below 2\^62 voxels .* the box of label 1 is too large"):
        emfast.statistics(labels, moments=True)
    assert emfast.statistics(labels).voxels.tolist() == [1 << 21]


@given(labels=DENSE, layout=st.integers(0, 3))
def test_voxels_sum_to_the_volume(backend, labels, layout):
    table = emfast.statistics(backend(layouts(labels)[layout]), background=None)
    assert table.voxels.sum() == labels.size


@given(labels=label_arrays(max_side=6, dims=(3,)), order=st.permutations(range(3)))
def test_transposed_labels_give_permuted_columns(backend, labels, order):
    spacing = (30.0, 8.0, 6.0)
    plain = emfast.statistics(backend(labels), spacing=spacing, moments=True, surface=True)
    moved = emfast.statistics(
        backend(labels).transpose(order), spacing=[spacing[a] for a in order], moments=True, surface=True
    )
    for name in ("start", "stop", "centroid", "centroid_nm"):
        assert np.array_equal(moved[name], plain[name][:, order])
    assert np.array_equal(moved.voxels, plain.voxels)
    np.testing.assert_allclose(moved.surface, plain.surface, rtol=1e-9)
    np.testing.assert_allclose(moved.covariance, plain.covariance[:, order][:, :, order], rtol=1e-9, atol=1e-9)


@given(labels=DENSE, spacing=st.sampled_from([(1, 1, 1), (30, 8, 8)]), background=st.sampled_from([0, 1, None]))
def test_radius_is_the_largest_distance(backend, labels, spacing, background):
    spacing = spacing[3 - labels.ndim :]
    table = emfast.statistics(backend(labels), spacing=spacing, background=background, radius=True)
    plain = emfast.statistics(backend(labels), spacing=spacing, background=background)
    assert list(table) == list(plain)
    around = np.pad(labels.astype(object), 1, constant_values=None)
    places = list(np.ndindex(around.shape))
    for row, label in enumerate(table):
        outside = np.array([p for p in places if around[p] != label]) - 1
        members = np.argwhere(labels == label)
        squares = ((members[:, None] - outside) ** 2 * np.square(spacing)).sum(axis=2).min(axis=1)
        assert table.radius[row] == np.float32(np.sqrt(float(squares.max())))
        assert tuple(table.inside[row]) == tuple(members[squares.argmax()])


@pytest.mark.parametrize("spacing", [(1, 1, 1), (30, 8, 8), (3, 1, 2)])
def test_surface_of_a_ball(spacing):
    radius = 120.0
    grid = [np.arange(-radius // s - 2, radius // s + 3) * s for s in spacing]
    ball = sum(np.square(g).reshape([-1 if a == b else 1 for b in range(3)]) for a, g in enumerate(grid)) <= radius**2
    table = emfast.statistics(ball, spacing=spacing, surface=True, moments=True)
    assert table.surface[0] == pytest.approx(4 * np.pi * radius**2, rel=0.03)
    assert table.axes[0] == pytest.approx(2 * radius, rel=0.04)


def test_perimeter_of_a_disc():
    y, x = np.ogrid[-50:51, -60:61]
    table = emfast.statistics(4 * x * x + y * y <= 1600, spacing=(4, 8), surface=True, moments=True)
    assert table.perimeter[0] == pytest.approx(2 * np.pi * 160, rel=0.02)
    assert table.axes[0] == pytest.approx(320, rel=0.02)


def test_crofton_weights_of_cubes_are_the_known_ones():
    """The shares of the sphere that Legland, Kiêu and Devaux (2007) list for 13 directions."""
    weights = dict(zip(oracles.STEPS, _crofton_weights((1.0, 1.0, 1.0)), strict=True))
    for step, share, length in [
        ((0, 0, 1), 0.04577789, 1),
        ((0, 1, 1), 0.03698062, 2**0.5),
        ((1, 1, 1), 0.03519563, 3**0.5),
    ]:
        assert weights[step] == pytest.approx(8 * share / length, rel=1e-6)


def test_axes_agree_with_scikit_image():
    measure = pytest.importorskip("skimage.measure")
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(0, 4, (4, 3, 5)), np.ones((5, 6, 4), int)).astype("i4")
    table = emfast.statistics(labels, moments=True)
    for region in measure.regionprops(labels):
        row = table[region.label]
        assert tuple(row["centroid"]) == pytest.approx(region.centroid)
        assert row["axes"][0] == pytest.approx(region.axis_major_length)
        assert row["axes"][2] == pytest.approx(region.axis_minor_length)
        assert region.bbox == (*row["start"], *row["stop"])
    picture = labels[3]
    table = emfast.statistics(picture, moments=True)
    for region in measure.regionprops(picture):
        assert table[region.label]["axes"] == pytest.approx([region.axis_major_length, region.axis_minor_length])


def test_real_labels_agree_with_cc3d(shared_data):
    cc3d = pytest.importorskip("cc3d")
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "fib25_medulla_train.h5") as file:
        labels = file["watershed"][:]
    table = emfast.statistics(labels)
    theirs = cc3d.statistics(labels)
    assert np.array_equal(theirs["voxel_counts"][table.label], table.voxels)
    assert [theirs["bounding_boxes"][label] for label in table] == table.slices()
    np.testing.assert_allclose(theirs["centroids"][table.label], table.centroid)


def test_wide_ids_need_no_wide_table(shared_data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "uint64_label_blocks.h5") as file:
        blocks = [file[name][:] for name in sorted(file)]
    for block in blocks:
        ids, counts = np.unique(block, return_counts=True)
        table = emfast.statistics(block, background=None)
        assert np.array_equal(table.label, ids)
        assert np.array_equal(table.voxels, counts)


def test_every_voxel_its_own_label(backend):
    labels = np.random.default_rng(0).permutation(np.arange(20_000, dtype="u8") * 2**49).reshape(10, 40, 50)
    table = emfast.statistics(backend(labels), background=None)
    assert np.array_equal(table.label, np.sort(labels.ravel()))
    assert np.array_equal(labels[tuple(table.inside.T)], table.label)
    assert (table.voxels == 1).all()


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0), (0, 0, 0)])
def test_nothing_gives_an_empty_table(backend, shape):
    table = emfast.statistics(backend(np.zeros(shape, "u4")), background=None, moments=True, surface=True)
    assert len(table) == 0
    assert table.start.shape == (0, len(shape))
    assert table.covariance.shape == (0, len(shape), len(shape))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, r"spacing must have one number per axis \(3\), got \(1, 2\)", {"spacing": (1, 2)}),
        (ValueError, r"spacing must be positive and finite, got \(1, 0, 1\)", {"spacing": (1, 0, 1)}),
        (TypeError, r"spacing must be 3 numbers, got 4", {"spacing": 4}),
        (TypeError, r"background must be an integer or None, got 0.5", {"background": 0.5}),
    ],
)
def test_wrong_options_are_named(error, message, options):
    with pytest.raises(error, match=message):
        emfast.statistics(np.zeros((2, 2, 2), "u1"), **options)


def test_floats_are_refused():
    with pytest.raises(TypeError, match=r"labels must be an array of .*, got float32"):
        emfast.statistics(np.zeros((2, 2), "f4"))


# --- contacts


TOUCHING = label_arrays(max_side=6, values=5)
RINGS = st.one_of(st.booleans(), st.tuples(st.booleans(), st.booleans(), st.booleans()))


def as_dict(table):
    return {
        (a, b): (faces, neighbours)
        for a, b, faces, neighbours in zip(
            table.a.tolist(), table.b.tolist(), table.faces.tolist(), table.neighbours.tolist(), strict=True
        )
    }


@given(
    labels=TOUCHING,
    connectivity=st.sampled_from([6, 18, 26]),
    background=st.sampled_from([0, 1, None]),
    periodic=RINGS,
    layout=st.integers(0, 3),
)
def test_contacts_are_the_oracle(backend, labels, connectivity, background, periodic, layout):
    if not isinstance(periodic, bool):
        periodic = periodic[: labels.ndim]
    table = emfast.contacts(
        backend(layouts(labels)[layout]), connectivity=connectivity, background=background, periodic=periodic
    )
    wanted = oracles.contacts(labels, connectivity, background, periodic)
    assert as_dict(table) == wanted
    assert list(table) == sorted(wanted)


@given(seed=st.integers(0, 2**32 - 1), connectivity=st.sampled_from([6, 26]))
def test_contacts_do_not_depend_on_threads(threads, seed, connectivity):
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(-9, 9, (30, 50, 15), "i8"), 7, axis=2)
    table = emfast.contacts(labels, connectivity=connectivity)
    emfast.set_threads(1)
    assert table == emfast.contacts(labels, connectivity=connectivity)


@given(labels=TOUCHING, axis=st.integers(0, 1), connectivity=st.sampled_from([6, 26]))
def test_contacts_are_the_same_in_a_mirror(backend, labels, axis, connectivity):
    plain = emfast.contacts(backend(labels), connectivity=connectivity)
    assert plain == emfast.contacts(backend(np.flip(labels, axis)), connectivity=connectivity)


@given(labels=label_arrays(max_side=6, values=5, dims=(3,)), order=st.permutations(range(3)))
def test_contacts_of_transposed_labels(backend, labels, order):
    plain = emfast.contacts(backend(labels))
    moved = emfast.contacts(backend(labels).transpose(order))
    assert np.array_equal(moved.faces, plain.faces[:, order])
    assert list(moved) == list(plain)


@given(
    labels=label_arrays(max_side=8, values=5, dims=(3,)), cut=st.integers(0, 8), connectivity=st.sampled_from([6, 26])
)
def test_contacts_of_blocks_sum_to_the_whole(backend, labels, cut, connectivity):
    """Two blocks that share a section count its inner contacts twice."""
    cut = min(cut, max(0, labels.shape[0] - 1))
    parts = [labels[: cut + 1], labels[cut:], labels[cut : cut + 1]]
    total: dict = {}
    for part, sign in zip(parts, (1, 1, -1), strict=True):
        for key, (faces, neighbours) in as_dict(emfast.contacts(backend(part), connectivity=connectivity)).items():
            before = total.get(key, ([0, 0, 0], 0))
            total[key] = ([p + sign * q for p, q in zip(before[0], faces, strict=True)], before[1] + sign * neighbours)
    assert total == as_dict(emfast.contacts(backend(labels), connectivity=connectivity))


@given(
    labels=label_arrays(max_side=6, values=5, dtypes=["u1", "u2", "u4", "u8"]),
    connectivity=st.sampled_from([6, 18, 26]),
)
def test_contacts_agree_with_cc3d(backend, labels, connectivity):
    cc3d = pytest.importorskip("cc3d")
    if labels.size == 0:
        return
    spacing = (5.0, 3.0, 2.0)[: labels.ndim]
    if labels.ndim == 2:
        connectivity = {6: 4}.get(connectivity, 8)
    table = emfast.contacts(backend(labels), connectivity=connectivity, spacing=spacing)
    area = dict(zip(table, (table.area if labels.ndim == 3 else table.length).tolist(), strict=True))
    # cc3d's third number stands for the axis a picture does not have
    anisotropy = (5.0, 3.0, 2.0) if labels.ndim == 3 else (5.0, 3.0, 1.0)
    assert area == cc3d.contacts(labels, connectivity=connectivity, anisotropy=anisotropy)
    assert set(table) == cc3d.region_graph(labels, connectivity=connectivity)


def test_contacts_of_real_labels_agree_with_cc3d(shared_data):
    cc3d = pytest.importorskip("cc3d")
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "fib25_medulla_train.h5") as file:
        labels = file["watershed"][:]
    for connectivity in (6, 18, 26):
        table = emfast.contacts(labels, connectivity=connectivity)
        area, count = (dict(zip(table, column.tolist(), strict=True)) for column in (table.area, table.neighbours))
        assert area == cc3d.contacts(labels, connectivity=connectivity)
        if connectivity > 6:  # cc3d also counts edges and corners across the border of the volume
            continue
        assert count == cc3d.contacts(labels, connectivity=connectivity, surface_area=False)


def test_area_is_faces_times_their_size(backend):
    labels = np.zeros((4, 5, 6), "u2")
    labels[:2], labels[2:] = 7, 9
    labels[:, :2, 3:] = 8
    table = emfast.contacts(backend(labels), spacing=(30, 8, 4))
    assert table[7, 9]["area"] == (5 * 6 - 2 * 3) * 8 * 4
    assert table[7, 8]["area"] == 2 * 3 * (30 * 4) + 2 * 2 * (30 * 8)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0), (1, 1)])
def test_no_contacts_give_an_empty_table(backend, shape):
    table = emfast.contacts(backend(np.ones(shape, "i2")), background=None)
    assert len(table) == 0
    assert table.a.dtype == np.int16
    assert table.faces.shape == (0, len(shape))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"connectivity must be 6, 18 or 26 for a 3D array, got 8", {"connectivity": 8}),
        (r"periodic must be True, False or one of them per axis \(3\), got \(True,\)", {"periodic": (True,)}),
    ],
)
def test_wrong_options_of_contacts_are_named(message, options):
    with pytest.raises(ValueError, match=message):
        emfast.contacts(np.zeros((2, 2, 2), "u1"), **options)
