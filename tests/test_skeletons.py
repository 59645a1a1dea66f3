"""skeletonize against an oracle and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from strategies import LABEL_DTYPES, label_arrays, shapes

SPACINGS = st.sampled_from([(1, 1, 1), (40, 4, 4), (30, 8, 9.5), (1, 2, 3)])


@st.composite
def thick(draw, dims=(2, 3)):
    """Labels in which objects are thick enough to have a middle: grown points."""
    shape = draw(shapes(8, dims, min_side=1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    seeds = (rng.random(shape) < 0.04) * rng.integers(1, 4, shape)
    return emfast.dilate(seeds.astype(draw(st.sampled_from(LABEL_DTYPES[1:]))), radius=draw(st.sampled_from([1, 2, 3])))


def expected(labels, spacing, border=False, scale=1.5, const=None, penalty=100000, exponent=4):
    """label -> (voxels, parents, radii) by the oracle."""
    spacing = tuple(map(float, spacing))
    const = 4 * max(spacing) if const is None else const
    full = labels.size and (labels == labels.flat[0]).all() and labels.flat[0] != 0
    radii = emfast.edt(labels, spacing=spacing, border=bool(border or full))
    radius = {p: float(r) for p, r in np.ndenumerate(radii)}
    out: dict = {}
    parts = oracles.connected_components(labels, 26)
    for part in range(1, int(parts.max(initial=0)) + 1):
        members = set(zip(*(a.tolist() for a in np.nonzero(parts == part)), strict=True))
        tree = oracles.skeleton_tree(members, radius, spacing, scale, const, penalty, exponent)
        voxels, parents, depths = out.setdefault(int(labels[min(members)]), ([], [], []))
        first, places = len(voxels), {p: k for k, p in enumerate(tree)}
        voxels += list(tree)
        parents += [-1 if parent is None else first + places[parent] for parent in tree.values()]
        depths += [radius[p] for p in tree]
    return out


def as_lists(found):
    return {
        k: (list(map(tuple, s.voxels.tolist())), s.parents.tolist(), s.radii.tolist()) for k, s in found_items(found)
    }


def found_items(found):
    return [(label, found[label]) for label in found]


@given(
    labels=st.one_of(label_arrays(max_side=6), thick()),
    spacing=SPACINGS,
    const=st.sampled_from([0.0, 3.0, None]),
    scale=st.sampled_from([0.0, 1.0, 1.5]),
    penalty=st.sampled_from([0, 7, 100000]),
    border=st.booleans(),
)
def test_equals_the_oracle(backend, labels, spacing, const, scale, penalty, border):
    options = dict(spacing=spacing[3 - labels.ndim :], const=const, scale=scale, penalty=penalty, border=border)
    found = emfast.skeletonize(backend(labels), **options)
    assert found.labels.tolist() == sorted(set(labels.astype(object).ravel().tolist()) - {0})
    assert as_lists(found) == expected(labels, **options)


@given(labels=thick(), spacing=SPACINGS)
def test_trees_inside_their_objects(labels, spacing):
    found = emfast.skeletonize(labels, spacing=spacing[3 - labels.ndim :])
    for label, line in found_items(found):
        parts = oracles.connected_components(labels == label, 26)
        at = parts[tuple(line.voxels.T)]
        assert (at > 0).all()
        assert np.array_equal(np.sort(at[line.parents < 0]), np.arange(1, parts.max() + 1))  # a root in each part
        assert len(np.unique(line.voxels, axis=0)) == len(line) == len(line.edges) + parts.max()
        ends = line.voxels[line.edges]
        assert (np.abs(ends[:, 0] - ends[:, 1]).max(axis=1, initial=0) == 1).all()
        assert (at[line.edges[:, 0]] == at[line.edges[:, 1]]).all()
        assert (line.edges[:, 0] < line.edges[:, 1]).all()
        steps = np.linalg.norm(line.vertices[line.edges[:, 0]] - line.vertices[line.edges[:, 1]], axis=1)
        assert line.length == pytest.approx(steps.sum(), rel=1e-12)


@given(labels=thick(), spacing=SPACINGS)
def test_a_label_alone_has_the_same_lines(labels, spacing):
    """Other labels are background, and their names are of no account."""
    spacing = spacing[3 - labels.ndim :]
    found = emfast.skeletonize(labels, spacing=spacing)
    for label, line in found_items(found):
        alone = emfast.skeletonize(
            np.where(labels == label, 9, 0) if (labels != label).any() else labels, spacing=spacing
        )
        (other,) = (alone[k] for k in alone)
        assert np.array_equal(other.voxels, line.voxels)
        assert np.array_equal(other.parents, line.parents)
        assert np.array_equal(other.radii, line.radii)


@given(labels=thick(), spacing=SPACINGS)
def test_a_rim_of_background_is_the_border(labels, spacing):
    spacing = spacing[3 - labels.ndim :]
    inside = emfast.skeletonize(labels, spacing=spacing, border=True)
    padded = emfast.skeletonize(np.pad(labels, 1), spacing=spacing)
    assert np.array_equal(inside.voxels, padded.voxels - 1)
    assert np.array_equal(inside.parents, padded.parents)
    assert np.array_equal(inside.radii, padded.radii)


def test_threads_change_nothing(threads):
    labels = emfast.phantom.make((24, 64, 64), seed=3).labels
    found = emfast.skeletonize(labels, spacing=(30, 8, 8))
    emfast.set_threads(3)
    assert found == emfast.skeletonize(labels, spacing=(30, 8, 8))
    assert len(found) == len(np.unique(labels[labels > 0]))


def test_a_bar_is_a_line():
    labels = np.zeros((7, 7, 40), "u2")
    labels[1:6, 1:6, 2:38] = 300
    line = emfast.skeletonize(labels, spacing=(2, 2, 2))[300]
    middle = line.voxels[(line.voxels[:, 2] > 6) & (line.voxels[:, 2] < 33)]
    assert (middle[:, :2] == 3).all()
    assert sorted(middle[:, 2].tolist()) == list(range(7, 33))
    assert line.radii.max() == 6


def test_dust_and_short_trees_go():
    labels = np.zeros((9, 30), int)
    labels[4, 2:27] = 5
    labels[0, 0] = 5
    labels[8, 3:6] = 7
    everything = emfast.skeletonize(labels)
    assert (everything.labels.tolist(), everything.lengths.tolist()) == ([5, 7], [24.0, 2.0])
    assert len(everything[5].edges) == len(everything[5]) - 2
    assert emfast.skeletonize(labels, dust=2)[5].length == 24
    assert len(emfast.skeletonize(labels, dust=2)[5]) == 25
    assert emfast.skeletonize(labels, dust=4).labels.tolist() == [5]
    assert emfast.skeletonize(labels, min_length=2).labels.tolist() == [5, 7]
    assert emfast.skeletonize(labels, min_length=2.5).labels.tolist() == [5]
    assert len(emfast.skeletonize(labels, min_length=25)) == 0


def test_files(tmp_path):
    labels = emfast.phantom.make((12, 40, 40), seed=1).labels
    found = emfast.skeletonize(labels, spacing=(30, 8, 8))
    found.save(tmp_path / "lines.npz")
    assert emfast.Skeletons.load(tmp_path / "lines.npz") == found
    found.to_swc(tmp_path / "swc")
    assert sorted(p.name for p in (tmp_path / "swc").iterdir()) == sorted(f"{k}.swc" for k in found)
    for label, line in found_items(found):
        rows = np.loadtxt(tmp_path / "swc" / f"{label}.swc", ndmin=2)
        assert np.array_equal(rows[:, 0], np.arange(1, len(line) + 1))
        assert np.array_equal(rows[:, 2:5], line.vertices[:, ::-1])
        assert np.array_equal(rows[:, 5], line.radii)
        assert np.array_equal(np.where(rows[:, 6] < 0, -1, rows[:, 6] - 1), line.parents)
    found.to_swc(tmp_path / "all.swc")
    rows = np.loadtxt(tmp_path / "all.swc", ndmin=2)
    assert np.array_equal(rows[:, 0], np.arange(1, len(found.voxels) + 1))
    assert np.array_equal(rows[:, 2:5], (found.voxels * (30, 8, 8))[:, ::-1])
    assert np.array_equal(np.where(rows[:, 6] < 0, -1, rows[:, 6] - 1), found.parents)
    lines = (tmp_path / "all.swc").read_text().split("\n")
    for label, start in zip(found, found.starts.tolist(), strict=False):
        assert lines[lines.index(f"# label {label}") + 1].startswith(f"{start + 1} 0 ")
    with pytest.raises(ValueError, match=r"must be a file of Skeletons\.save"):
        emfast.Skeletons.load(tmp_path / "swc" / f"{next(iter(found))}.swc")


def test_lookups():
    found = emfast.skeletonize(np.array([[3, 3, 0, -1]]))
    assert list(found) == [-1, 3]
    assert 3 in found and 2 not in found
    with pytest.raises(KeyError):
        found[2]
    assert "2 labels" in repr(found) and "2 vertices" in repr(found[3])


@pytest.mark.parametrize("shape", [(0,) * 3, (0, 4), (2, 0, 3), (3, 3)])
def test_nothing_gives_nothing(backend, shape):
    found = emfast.skeletonize(backend(np.zeros(shape, "u4")))
    assert len(found) == len(found.voxels) == len(found.lengths) == 0
    assert found.voxels.shape == (0, len(shape))
    assert found.starts.tolist() == [0]


def test_errors_name_the_argument():
    labels = np.ones((3, 3), int)
    for options, error, words in [
        (dict(spacing=(1, 0)), ValueError, "spacing must be positive"),
        (dict(spacing=(1, 2, 3)), ValueError, "spacing must have one number per axis"),
        (dict(scale=-1), ValueError, "scale must be from 0"),
        (dict(const="4"), TypeError, "const must be a number"),
        (dict(penalty=1e7), ValueError, "penalty must be from 0"),
        (dict(exponent=1.5), ValueError, "exponent must be a whole number"),
        (dict(dust=-1), ValueError, "dust must be a whole number"),
        (dict(min_length=-1), ValueError, "min_length must be"),
    ]:
        with pytest.raises(error, match=words):
            emfast.skeletonize(labels, **options)
    with pytest.raises(TypeError, match="labels must be an array of"):
        emfast.skeletonize(labels / 2)


def test_huge_ids_are_found_again():
    labels = np.arange(2**60 + 1, 2**60 + 6, dtype="u8").reshape(1, 5)
    found = emfast.skeletonize(labels)
    assert [len(found[label]) for label in found] == [1] * 5
    assert len(found[2**60 + 2]) == 1
    for wrong in (2**60 + 9, 2**70, -1, 1.5, "a"):
        with pytest.raises(KeyError):
            found[wrong]


def test_skeletons_have_no_tables(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.npz or \.zarr"):
        emfast.skeletonize(np.ones((2, 3), "u1")).save(tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())
