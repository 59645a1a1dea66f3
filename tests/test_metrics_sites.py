"""Regions and sites: a plain oracle, laws, blocks, errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast.metrics.sites import places_of, unmixed
from strategies import LABEL_DTYPES, shapes

MASK64 = 2**64 - 1


def mixed(key):
    """`mix` of csrc/core/key_table.h."""
    key ^= key >> 32
    key = key * 0x9E3779B97F4A7C15 & MASK64
    key ^= key >> 29
    key = key * 0xBF58476D1CE4E5B9 & MASK64
    return key ^ key >> 32


@st.composite
def pairs(draw, max_side=6):
    """Two volumes of one shape, of any dtypes, and perhaps a mask."""
    shape = draw(shapes(max_side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtypes = [np.dtype(draw(st.sampled_from(LABEL_DTYPES))) for _ in range(2)]
    volumes = []
    for dtype in dtypes:
        limits = (0, 1) if dtype == bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        pool = np.array([0, 1, 1, limits[1], limits[0], *([2, 3] if limits[1] > 2 else [])], dtype)
        drawn = np.repeat(pool[rng.integers(0, len(pool), shape)], rng.integers(1, 4), axis=-1)
        volumes.append(drawn[..., : shape[-1]])
    truth, labels = volumes
    if draw(st.booleans()):  # mostly right
        labels = np.where(rng.random(shape) < 0.8, truth, truth.dtype.type(1))
    mask = draw(st.sampled_from([None, rng.integers(0, 4, shape) > 0, rng.integers(0, 2, shape).astype("i4")]))
    return truth, labels, mask


options = st.fixed_dictionaries(
    {"ignore": st.sampled_from([(), (0,), (1, 2**64 - 1), (0, -1)]), "background": st.sampled_from([0, 0, None, 1])}
)


def cells(places, shape, whole):
    """The row that csrc/sites/sites.h describes, of voxels or of (voxel, axis)."""
    dims = len(shape)
    row = [0] * 6 + [MASK64] * 3 + [0] * 3 + [MASK64] * 9
    for place in places:
        voxel, axis = place if isinstance(place[0], tuple) else (place, None)
        row[0 if axis is None else 3 - dims + axis] += 1
        for a, c in enumerate((0,) * (3 - dims) + voxel):
            row[3 + a] += c
            row[6 + a] = min(row[6 + a], c - (axis is not None and a == 3 - dims + axis))
            row[9 + a] = max(row[9 + a], c + 1)
        index = int(np.ravel_multi_index(voxel, whole))
        row[12] = min(row[12], index)
        if sum(voxel[:-1]) % 8 == 0:
            row[13 + mixed(index) % 8] = min(row[13 + mixed(index) % 8], mixed(index))
    return row


def as_dict(keys, rows):
    return dict(zip(map(tuple, keys), rows.tolist(), strict=True))


def keys_of(sites):
    """Sites' keys as numbers."""
    out = []
    for kind, key in zip(sites.kinds.tolist(), sites.keys, strict=True):
        dtypes = [(sites.truth.dtype, sites.labels.dtype)[side] for side in (kind, 1 - kind, 1 - kind)]
        out.append((kind, *(int(np.array([k]).view(d)[0]) for k, d in zip(key, dtypes, strict=True))))
    return out


@given(pairs(), options)
def test_like_the_oracle(backend, both, options):
    truth, labels, mask = both
    given_mask = None if mask is None else backend(mask)
    found = emfast.metrics.error_sites(backend(truth), backend(labels), mask=given_mask, **options)
    regions, sites = oracles.error_places(truth, labels, mask, **options)
    shape = truth.shape
    assert as_dict(zip(found.truth.tolist(), found.labels.tolist(), strict=True), found.regions) == {
        key: cells(places, shape, shape) for key, places in regions.items()
    }
    assert as_dict(keys_of(found), found.sites) == {key: cells(places, shape, shape) for key, places in sites.items()}
    assert list(zip(found.truth.tolist(), found.labels.tolist(), strict=True)) == sorted(regions)
    assert keys_of(found) == sorted(sites)
    assert found.shape == shape


@given(pairs(), options, st.data())
def test_blocks_are_the_whole(both, options, data):
    truth, labels, mask = both
    block = [data.draw(st.integers(1, max(1, n))) for n in truth.shape]
    whole = emfast.metrics.error_sites(truth, labels, mask=mask, **options)
    steps = []
    found = emfast.metrics.error_sites(
        truth, labels, mask=mask, block=block, progress=lambda done, all_: steps.append((done, all_)), **options
    )
    assert found == whole
    assert steps[-1] == (truth.size, truth.size)


def test_threads_change_nothing(backend, threads):
    rng = np.random.default_rng(3)
    truth, labels = (np.kron(rng.integers(0, 6, (9, 8, 7)), np.ones((3, 5, 11), int)) for _ in range(2))
    found = emfast.metrics.error_sites(backend(truth), backend(labels))
    emfast.set_threads(1)
    assert found == emfast.metrics.error_sites(truth, labels)


@given(pairs(), options)
def test_exchange_of_the_volumes(both, options):
    truth, labels, _ = both
    options |= {"ignore": ()}
    a, b = emfast.metrics.error_sites(truth, labels, **options), emfast.metrics.error_sites(labels, truth, **options)
    exchanged = {(1 - kind, *ids): row for (kind, *ids), row in as_dict(keys_of(b), b.sites).items()}
    assert as_dict(keys_of(a), a.sites) == exchanged


def test_an_id_that_truth_cannot_have_is_not_ignored(backend):
    truth = backend(np.full((1, 4), 2**64 - 1, np.uint64))
    found = emfast.metrics.error_sites(truth, backend(np.array([[1, 1, 2, 2]])), ignore=-1)
    assert found.kinds.tolist() == [0]


def test_equal_volumes_have_no_sites(backend):
    labels = np.kron(np.arange(27).reshape(3, 3, 3), np.ones((4, 5, 6), int))
    found = emfast.metrics.error_sites(backend(labels), backend(labels))
    assert len(found.sites) == 0 and len(found.truth) == 27
    assert found.table == emfast.contingency(labels, labels)


@given(st.lists(st.integers(0, MASK64), max_size=20))
def test_mixed_numbers_come_back(numbers):
    assert unmixed(np.array([mixed(n) for n in numbers], np.uint64)).tolist() == numbers


@given(pairs(), options)
def test_places_are_there(both, options):
    truth, labels, mask = both
    found = emfast.metrics.error_sites(truth, labels, mask=mask, **options)
    regions, sites = oracles.error_places(truth, labels, mask, **options)
    for keys, rows, expected, faces in (
        (list(zip(found.truth.tolist(), found.labels.tolist(), strict=True)), found.regions, regions, False),
        (keys_of(found), found.sites, sites, True),
    ):
        places = places_of(rows, truth.shape, faces=faces)
        for k, key in enumerate(keys):
            voxels = [p[0] if faces else p for p in expected[key]]
            assert tuple(places.point[k].tolist()) in voxels
            middles = [[c - (axis == a) / 2 for a, c in enumerate(q)] for q, axis in expected[key]] if faces else voxels
            assert places.centroid[k].tolist() == pytest.approx(np.mean(middles, axis=0).tolist())


def test_the_point_of_a_large_site_is_near_its_middle():
    truth = np.ones((40, 40, 40), int)
    labels = np.where(np.arange(40)[:, None, None] < 20, 1, 2) * truth
    found = emfast.metrics.error_sites(truth, labels)
    places = places_of(found.sites, truth.shape, faces=True)
    assert places.start.tolist() == [[19, 0, 0]] and places.stop.tolist() == [[21, 40, 40]]
    assert places.centroid.tolist() == [[19.5, 19.5, 19.5]]
    assert places.point[0, 0] == 20 and math.dist(places.point[0, 1:], (19.5, 19.5)) < 12


@pytest.mark.parametrize("library", ["zarr", "h5py"])
def test_volumes_that_are_sliced(library, tmp_path):
    module = pytest.importorskip(library)
    rng = np.random.default_rng(5)
    arrays = {name: np.kron(rng.integers(0, 5, (4, 5, 6)), np.ones((3, 2, 4), int)) for name in ("truth", "labels")}
    if library == "zarr":
        file = module.open_group(tmp_path / "v.zarr", mode="w")
        volumes = []
        for name, array in arrays.items():
            volumes.append(file.create_array(name, shape=array.shape, dtype=array.dtype, chunks=(5, 4, 7)))
            volumes[-1][...] = array
    else:
        file = module.File(tmp_path / "v.h5", "w")
        volumes = [file.create_dataset(name, data=array, chunks=(5, 4, 7)) for name, array in arrays.items()]
    assert emfast.metrics.error_sites(*volumes) == emfast.metrics.error_sites(*arrays.values())


def test_errors():
    a = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"labels must have the shape of truth \(2, 3\), got \(3, 2\)"):
        emfast.metrics.error_sites(a, a.T)
    with pytest.raises(ValueError, match=r"truth must be 2D or 3D, got 1D"):
        emfast.metrics.error_sites(a[0], a[0])
    with pytest.raises(TypeError, match="labels must be an array of"):
        emfast.metrics.error_sites(a, a.astype(float))
    with pytest.raises(TypeError, match="ignore must be an integer or several"):
        emfast.metrics.error_sites(a, a, ignore=0.5)
    with pytest.raises(ValueError, match="block must be a positive number of voxels for each axis"):
        emfast.metrics.error_sites(a, a, block=(0, 1))
    with pytest.raises(TypeError, match=r"background must be an integer or None, got \(0, 1\)"):
        emfast.metrics.error_sites(a, a, background=(0, 1))
    with pytest.raises(ValueError, match="background must be an id of uint8 and of int64, got -1"):
        emfast.metrics.error_sites(a.astype("u1"), a, background=-1)
    with pytest.raises(ValueError, match="sites must be of one volume"):
        emfast.metrics.error_sites(a, a) + emfast.metrics.error_sites(a, a, ignore=1)
    with pytest.raises(ValueError, match="parts must be at least one"):
        emfast.metrics.Sites.total([])
