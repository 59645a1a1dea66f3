"""watershed on affinities: oracles, laws, blocks, waterz."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import layouts, shapes


@st.composite
def affinity_arrays(draw, max_side=5, dims=(2, 3), dtypes=("uint8", "float16", "float32")):
    """Few distinct values, so that plateaus are common, or all values; -0 too. Long rows now and then."""
    shape = draw(shapes(max_side, dims))
    while np.prod(shape) > 260:
        shape = (*shape[:-1], shape[-1] // 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    full = (len(shape), *shape)
    steps = draw(st.sampled_from([1, 2, 4, 255, None]))
    values = rng.random(full) if steps is None else rng.integers(0, steps + 1, full) / steps
    if dtype == "uint8":
        return np.round(values * 255).astype("u1")
    out = values.astype(dtype)
    out[(out == 0) & (rng.random(full) < 0.3)] = -0.0
    return out


def as_float(affinities):
    """What thresholds are compared with."""
    return affinities.astype("f4") / np.float32(255) if affinities.dtype == np.uint8 else affinities.astype("f4")


thresholds = st.sampled_from([(0.0, 1.0), (0.0, 2.0), (0.25, 0.75), (0.2, 0.4), (1e-4, 0.9999), (0.5, 51 / 64)])


@given(data=st.data(), affinities=affinity_arrays(), limits=thresholds, plateau=st.sampled_from(["strict", "waterz"]))
def test_equals_the_oracle(backend, data, affinities, limits, plateau):
    low, high = limits
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(affinities.shape[1:]) < 0.8
    per_section = affinities.ndim == 4 and data.draw(st.booleans())
    out, count = emfast.watershed(
        backend(affinities),
        low=low,
        high=high,
        plateau=plateau,
        mask=None if mask is None else backend(mask),
        per_section=per_section,
        return_count=True,
    )
    oracle = oracles.strict_watershed if plateau == "strict" else oracles.waterz_watershed
    expected = oracle(as_float(affinities), np.float32(low), np.float32(high), mask, per_section)
    out = backend.host(out)
    assert out.dtype == np.uint32
    assert np.array_equal(out, expected)
    assert count == expected.max(initial=0)


def smooth(shape, seed, levels=None):
    """Affinities that make fragments of some size; with few levels also plateaus."""
    values = np.random.default_rng(seed).random((3, *shape))
    for axis in (1, 2, 3):
        values = sum(np.roll(values, k, axis) for k in (0, 1, 2)) / 3
    values = np.clip((values - 0.3) * 2.5, 0, 1)
    return (values if levels is None else np.round(values * levels) / levels).astype("f4")


@pytest.mark.parametrize("plateau", ["strict", "waterz"])
@pytest.mark.parametrize("levels", [None, 40, 6])
def test_threads_and_plain_schedule_agree(backend, threads, plateau, levels, monkeypatch):
    """Enough rows that several slabs, seams and plateaus across seams come about; backends are compared by == here."""
    affinities = smooth((96, 9, 70), 1, levels)
    emfast.set_threads(1)
    monkeypatch.setattr(emfast._native, "host", emfast._core)
    expected = emfast.watershed(affinities, low=0.1, high=0.95, plateau=plateau)
    monkeypatch.undo()
    emfast.set_threads(threads)
    out = emfast.watershed(backend(affinities), low=0.1, high=0.95, plateau=plateau)
    assert np.array_equal(backend.host(out), expected)


@pytest.mark.parametrize("levels", [None, 255, 40, 6, 1])
def test_equals_waterz_bit_for_bit(backend, threads, levels, capfd):
    waterz = pytest.importorskip("waterz")
    for shape, limits in [((70, 9, 33), (1e-4, 0.9999)), ((9, 64, 65), (0.2, 0.8))]:
        affinities = smooth(shape, 2, levels)
        low, high = limits
        runs = waterz.agglomerate(affinities, [0.0], aff_threshold_low=low, aff_threshold_high=high)
        fragments = next(runs).copy()
        out = emfast.watershed(backend(affinities), low=low, high=high, plateau="waterz")
        assert np.array_equal(backend.host(out), fragments)
        if levels == 255:
            narrow = np.round(affinities * 255).astype("u1")
            exact = narrow.astype("f4") / np.float32(255)
            runs = waterz.agglomerate(exact, [0.0], aff_threshold_low=low, aff_threshold_high=high)
            fragments = next(runs).copy()
            out = emfast.watershed(backend(narrow), low=low, high=high, plateau="waterz")
            assert np.array_equal(backend.host(out), fragments)
    capfd.readouterr()


@given(affinities=affinity_arrays(dims=(3,)), seed=st.integers(0, 2**32 - 1), limits=thresholds)
def test_blocks_joined_through_their_halo_equal_the_whole(backend, affinities, seed, limits):
    low, high = limits
    shape = affinities.shape[1:]
    whole = backend.host(emfast.watershed(backend(affinities), low=low, high=high))
    rng = np.random.default_rng(seed)
    cuts = [[0, *sorted(rng.choice(np.arange(1, n), rng.integers(0, min(n, 4)), False)), n] if n else [] for n in shape]
    first, place, links = {}, {}, []  # the first label of each voxel, as (block, label); numbers of labels; unions
    for block, corner in enumerate(np.ndindex(*[max(len(c) - 1, 0) for c in cuts])):
        begin = [c[k] for c, k in zip(cuts, corner, strict=True)]
        end = [c[k + 1] for c, k in zip(cuts, corner, strict=True)]
        halo = [(int(b > 0), int(e < n)) for b, e, n in zip(begin, end, shape, strict=True)]
        box = tuple(slice(b - h, e + g) for b, e, (h, g) in zip(begin, end, halo, strict=True))
        part = backend.host(emfast.watershed(backend(affinities[(slice(None), *box)]), low=low, high=high, halo=halo))
        for where in np.argwhere(part > 0):
            voxel = tuple(where + [s.start for s in box])
            name = (block, int(part[tuple(where)]))
            here = place.setdefault(name, len(place))
            links.append((first.setdefault(voxel, here), here))
    joined = oracles.labels_of_links(len(place), links)
    out = np.zeros(shape, np.int64)
    for voxel, label in first.items():
        out[voxel] = joined[label]
    numbers = {0: 0}
    for label in out.ravel():
        numbers.setdefault(int(label), len(numbers))
    assert np.array_equal(np.vectorize(numbers.get, otypes=[np.int64])(out), whole)


@given(affinities=affinity_arrays(dims=(3,)), plateau=st.sampled_from(["strict", "waterz"]))
def test_sections_are_pictures(backend, affinities, plateau):
    out = backend.host(emfast.watershed(backend(affinities), low=0.1, per_section=True, plateau=plateau))
    before = 0
    for z in range(affinities.shape[1]):
        section = np.ascontiguousarray(affinities[1:, z])
        own, count = emfast.watershed(backend(section), low=0.1, plateau=plateau, return_count=True)
        own = backend.host(own).astype(np.int64)
        assert np.array_equal(out[z], np.where(own > 0, own + before, 0))
        before += count


@given(affinities=affinity_arrays(), low=st.sampled_from([0.0, 0.2, 0.4]))
def test_fragments_nest_in_components(backend, affinities, low):
    """A fragment lies in one component of the edges above low; raising high never splits."""
    values = as_float(affinities)
    coarse = backend.host(emfast.watershed(backend(affinities), low=low, high=np.nextafter(np.float32(low), 1)))
    fine = backend.host(emfast.watershed(backend(affinities), low=low, high=2))
    assert np.array_equal(coarse > 0, fine > 0)
    pairs = {(int(a), int(b)) for a, b in zip(fine.ravel(), coarse.ravel(), strict=True) if a}
    assert len(pairs) == fine.max(initial=0)
    links = [e[2:4] for e in oracles.nearest_edges(values) if e[0] > np.float32(low)]
    assert np.array_equal(coarse, oracles.labels_of_links(fine.size, links).reshape(fine.shape))


@given(affinities=affinity_arrays(dtypes=("uint8",)), limits=thresholds)
def test_uint8_is_float32_over_255(backend, affinities, limits):
    low, high = limits
    out = [backend.host(emfast.watershed(backend(a), low=low, high=high)) for a in (affinities, as_float(affinities))]
    assert np.array_equal(*out)


@given(affinities=affinity_arrays(max_side=4))
def test_layout_does_not_matter(backend, affinities):
    expected = backend.host(emfast.watershed(backend(affinities)))
    for same in layouts(affinities):
        assert np.array_equal(backend.host(emfast.watershed(backend(same))), expected)


@given(data=st.data(), affinities=affinity_arrays())
def test_quantile_thresholds(backend, data, affinities):
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(affinities.shape[1:]) < 0.8
    low, high = data.draw(st.sampled_from([(0.1, 0.9), (0.0, 1.0), (0.5, 0.75)]))
    values = np.sort([float(e[0]) for e in oracles.nearest_edges(as_float(affinities), mask)])

    def at(q):  # the smallest value with a share of q at or below it
        return values[max(int(np.ceil(q * len(values))), 1) - 1] if len(values) else 0

    limits = (np.float32(at(low)), np.float32(at(high)))
    if limits[0] == limits[1]:
        limits = (limits[0], np.nextafter(limits[0], np.float32(2)))
    given_mask = None if mask is None else backend(mask)
    out = emfast.watershed(backend(affinities), low=low, high=high, quantile=True, mask=given_mask)
    expected = emfast.watershed(backend(affinities), low=limits[0], high=limits[1], mask=given_mask)
    assert np.array_equal(backend.host(out), backend.host(expected))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.25, 1.5])
def test_values_outside_the_range_are_refused(backend, threads, dtype, bad):
    affinities = smooth((5, 6, 70), 0).astype(dtype)
    affinities[2, 1, 2, 3] = affinities[1, 4, 5, 69] = bad
    shown = {"nan": "nan", "inf": "inf"}.get(str(bad), f"{bad:f}")
    with pytest.raises(ValueError, match=rf"affinities must be from 0 to 1, got {shown} in channel y at \(4, 5, 69\)"):
        emfast.watershed(backend(affinities))
    with pytest.raises(ValueError, match=rf"from 0 to 1, got {bad:g} in channel y at \(4, 5, 69\)"):
        emfast.distance_watershed(backend(affinities))
    with pytest.raises(ValueError, match=rf"from 0 to 1, got {bad:g} in channel x at \(0, 2, 3\)"):
        emfast.distance_watershed(backend(affinities[[0, 2], 1]))
    mask = np.ones(affinities.shape[1:], bool)
    mask[4, 5, 69] = mask[1, 2, 3] = False
    emfast.watershed(backend(affinities), mask=backend(mask))


def test_what_the_first_faces_hold_is_not_read(backend):
    affinities = smooth((4, 5, 70), 0)
    expected = backend.host(emfast.watershed(backend(affinities)))
    affinities[0, 0], affinities[1, :, 0], affinities[2, :, :, 0] = np.nan, -5, 7
    assert np.array_equal(backend.host(emfast.watershed(backend(affinities))), expected)
    emfast.distance_watershed(backend(affinities))
    affinities[0] = np.nan
    emfast.watershed(backend(affinities), per_section=True)
    emfast.distance_watershed(backend(affinities), per_section=True)


def test_one_plateau_and_no_edge(backend):
    for plateau in ("strict", "waterz"):
        flat = np.full((3, 4, 5, 66), 0.5, "f4")
        assert (backend.host(emfast.watershed(backend(flat), plateau=plateau)) == 1).all()
        assert not backend.host(emfast.watershed(backend(flat), plateau=plateau, low=0.5)).any()
        assert not backend.host(emfast.watershed(backend(np.ones((3, 1, 1, 1), "f4")), plateau=plateau)).any()
        outside = backend(np.zeros((4, 5, 66), bool))
        assert not backend.host(emfast.watershed(backend(flat), plateau=plateau, mask=outside)).any()


def test_errors_name_the_argument():
    affinities = np.zeros((3, 4, 5, 6), "f4")
    run = emfast.watershed
    with pytest.raises(TypeError, match="affinities must be uint8, float16 or float32, got float64"):
        run(affinities.astype("f8"))
    with pytest.raises(TypeError, match="affinities must be an array of unsigned integers, floats, got int64"):
        run(affinities.astype("i8"))
    with pytest.raises(ValueError, match="affinities must be 3D or 4D, got 2D"):
        run(affinities[0, 0])
    with pytest.raises(ValueError, match=r"affinities must have 3 channels \(nearest, along z, y, x\), got 2"):
        run(affinities[:2])
    with pytest.raises(ValueError, match=r"affinities must have 2 channels \(nearest, along y, x\), got 3"):
        run(affinities[:, 0])
    with pytest.raises(ValueError, match=r"mask must have the shape of each channel of affinities \(4, 5, 6\), got"):
        run(affinities, mask=np.ones((4, 5), bool))
    with pytest.raises(ValueError, match=r"low and high must satisfy 0 <= low < high in float32, got 0\.5 and 0\.5"):
        run(affinities, low=0.5, high=0.5)
    with pytest.raises(ValueError, match=r"low and high must satisfy 0 <= low < high in float32, got -1\.0 and 1\.0"):
        run(affinities, low=-1)
    with pytest.raises(ValueError, match="low must be a number, got nan"):
        run(affinities, low=float("nan"))
    with pytest.raises(TypeError, match="high must be a number, got 'much'"):
        run(affinities, high="much")
    with pytest.raises(ValueError, match=r"low and high must be quantiles, 0 <= low < high <= 1, got 0\.5 and 2\.0"):
        run(affinities, low=0.5, high=2, quantile=True)
    with pytest.raises(ValueError, match='plateau must be "strict" or "waterz", got \'soft\''):
        run(affinities, plateau="soft")
    with pytest.raises(ValueError, match=r"per_section needs a volume \(3, z, y, x\), got a picture"):
        run(affinities[:2, 0], per_section=True)
    with pytest.raises(ValueError, match=r"halo must be 0 or 1, one per axis \(3\) or a pair per axis, got 2"):
        run(affinities, halo=2)
    with pytest.raises(ValueError, match=r"halo must leave a voxel of \(2, 5, 6\), got 1"):
        run(affinities[:, :2], halo=1)
    with pytest.raises(ValueError, match='halo must be 0 with plateau="waterz"'):
        run(affinities, halo=1, plateau="waterz")


@given(data=st.data(), affinities=affinity_arrays(max_side=4, dtypes=("uint8", "float32")))
def test_distance_watershed_equals_the_oracle(backend, data, affinities):
    if affinities[0].size > 80 or affinities.size == 0:
        return
    dims = affinities.ndim - 1
    per_section = dims == 3 and data.draw(st.booleans())
    spacing = data.draw(st.sampled_from([(1, 1, 1), (4, 1, 1)]))[3 - dims :]
    separation = data.draw(st.sampled_from([0, 2, 3.5]))
    out, count = emfast.distance_watershed(
        backend(affinities),
        threshold=0.375,
        separation=separation,
        spacing=spacing,
        per_section=per_section,
        return_count=True,
    )
    grid = affinities.astype("f8") if affinities.dtype == np.uint8 else np.floor(affinities.astype("f8") * 2**24 + 0.5)
    limit = 0.375 * (255 if affinities.dtype == np.uint8 else 2**24)
    expected = oracles.distance_watershed(grid, limit, separation, spacing, per_section)
    assert np.array_equal(backend.host(out), expected)
    assert count == expected.max(initial=0)


@given(data=st.data(), affinities=affinity_arrays())
def test_linkage_by_size_equals_the_oracle(backend, data, affinities):
    merge_size, dust = data.draw(st.sampled_from([(0, 3), (3, 0), (10, 2), (1000, 4)]))
    threshold = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    per_section = affinities.ndim == 4 and data.draw(st.booleans())
    plain = {"low": 0.1, "per_section": per_section}
    out, count = emfast.watershed(
        backend(affinities), merge_size=merge_size, merge_threshold=threshold, dust=dust, return_count=True, **plain
    )
    fragments = backend.host(emfast.watershed(backend(affinities), **plain))
    limit = np.float32(threshold)
    expected = oracles.link_by_size(as_float(affinities), fragments, merge_size, limit, dust, per_section)
    out = backend.host(out)
    assert out.dtype == np.uint32
    assert np.array_equal(out, expected)
    assert count == expected.max(initial=0)


def test_errors_of_linkage_name_the_argument():
    affinities = np.zeros((3, 4, 5, 6), "f4")
    with pytest.raises(TypeError, match=r"merge_size must be an integer, got 2\.5"):
        emfast.watershed(affinities, merge_size=2.5)
    with pytest.raises(ValueError, match=r"dust must be at least 0, got -1"):
        emfast.watershed(affinities, dust=-1)
    with pytest.raises(ValueError, match=r"merge_threshold must be from 0 to 1, got 2"):
        emfast.watershed(affinities, merge_threshold=2)
    with pytest.raises(ValueError, match=r"halo must be 0 with merge_size or dust"):
        emfast.watershed(affinities, dust=5, halo=1)
