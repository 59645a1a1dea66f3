"""Surfaces: closed, outwards, exactly where inside meets outside; files that read back."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import emfast
from emfast import cli, meshes

pytest.importorskip("zmesh")

volumes = hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 2))


def crossings(inside: np.ndarray) -> set[tuple[float, ...]]:
    """Half-way points between a voxel of the object and its neighbour outside, in voxels."""
    padded = np.pad(inside, 1)
    found = set()
    for place in np.argwhere(padded):
        for axis in range(3):
            for step in (-1, 1):
                other = place.copy()
                other[axis] += step
                if not padded[tuple(other)]:
                    found.add(tuple(((place + other) / 2 - 1).tolist()))
    return found


@given(volumes)
def test_vertices_are_where_inside_meets_outside(labels):
    found = meshes.mesh(labels)
    assert list(found) == [n for n in (1, 2) if (labels == n).any()]
    for label, mesh in found.items():
        assert {tuple(v) for v in mesh.vertices.tolist()} == crossings(labels == label)


@given(volumes)
def test_surfaces_are_closed_and_point_outwards(labels):
    for mesh in meshes.mesh(labels, spacing=(3, 2, 1)).values():
        edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        there, back = (sorted(map(tuple, e.tolist())) for e in (edges, edges[:, ::-1]))
        assert there == back  # every edge once in either direction
        assert mesh.volume > 0


@given(volumes, st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(-50, 50)] * 3))
def test_spacing_and_offset_scale_and_move(labels, spacing, offset):
    plain, moved = meshes.mesh(labels), meshes.mesh(labels, spacing=spacing, offset=offset)
    for label, mesh in plain.items():
        expected = {tuple((np.array(v) * spacing + offset).tolist()) for v in mesh.vertices.tolist()}
        assert {tuple(v) for v in moved[label].vertices.tolist()} == expected
        assert np.isclose(moved[label].volume, mesh.volume * np.prod(spacing))


def triangles(mesh):
    """In voxels doubled, each from its smallest corner on, sorted."""
    rows = np.rint(2 * mesh.vertices[mesh.faces].astype(np.float64)).astype(int).tolist()
    return sorted(min(tuple(map(tuple, row[k:] + row[:k])) for k in range(3)) for row in rows)


@given(volumes, st.integers(8, 60), st.booleans())
def test_large_boxes_are_put_together_from_cells(labels, largest, closed):
    whole = dict(meshes.each_mesh(labels, closed=closed))
    found = dict(meshes.each_mesh(labels, closed=closed, largest=largest, table=emfast.blockwise.statistics(labels)))
    assert list(found) == list(whole)
    for label, mesh in whole.items():
        assert triangles(found[label]) == triangles(mesh)
        assert len(found[label].vertices) == len(mesh.vertices)


def test_cells_know_spacing_offset_and_simplification():
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = z**2 + y**2 + x**2 <= 18.5**2
    options = dict(spacing=(30, 8.5, 8), offset=(5, 6, 7))
    (one,), (two,) = (dict(meshes.each_mesh(ball, **options, **o)).values() for o in ({}, {"largest": 2000}))
    assert np.allclose(np.sort(one.vertices, axis=0), np.sort(two.vertices, axis=0), rtol=1e-6)
    assert np.isclose(one.volume, two.volume)
    (less,) = dict(meshes.each_mesh(ball, **options, simplify=10, largest=2000)).values()
    assert len(less) < len(one) / 5
    assert np.isclose(less.volume, one.volume, rtol=0.05)


def test_a_ball_has_its_area_and_volume():
    z, y, x = np.ogrid[-20:21, -20:21, -20:21]
    ball = z**2 + y**2 + x**2 <= 18.5**2
    mesh = meshes.mesh(ball, spacing=(2, 2, 2))[1]
    assert np.isclose(mesh.volume, 4 / 3 * np.pi * 37**3, rtol=0.02)
    assert np.isclose(mesh.area, 4 * np.pi * 37**2, rtol=0.12)  # marching cubes on a mask is stepped
    less = meshes.mesh(ball, spacing=(2, 2, 2), simplify=10, max_error=4)[1]
    assert len(less) < len(mesh) / 5
    assert np.isclose(less.volume, mesh.volume, rtol=0.03)


def test_ids_dust_open_ends_and_large_ids():
    labels = np.zeros((4, 5, 6), np.uint64)
    labels[:2] = 2**64 - 1
    labels[3, 3, 3] = 9
    assert list(meshes.mesh(labels)) == [9, 2**64 - 1]
    assert list(meshes.mesh(labels, ids=[2**64 - 1, 3])) == [2**64 - 1]
    assert list(meshes.mesh(labels, dust=2)) == [2**64 - 1]
    slab = meshes.mesh(labels, closed=False)[2**64 - 1]
    assert set(slab.vertices[:, 0].tolist()) == {1.5}
    assert len(meshes.mesh(np.ones((3, 3, 3), int), closed=False)[1]) == 0
    assert meshes.mesh(np.zeros((3, 3, 3), int)) == {}


def test_memory_order_does_not_matter():
    labels = (np.random.default_rng(0).random((9, 8, 7)) < 0.4).astype(np.int32)
    a, b = meshes.mesh(labels)[1], meshes.mesh(np.asfortranarray(labels))[1]
    assert np.array_equal(a.vertices, b.vertices) and np.array_equal(a.faces, b.faces)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"spacing": (1, 2)}, ValueError, "spacing must have one number per axis"),
        ({"offset": (1, 2)}, ValueError, "offset must have one number per axis"),
        ({"simplify": -1}, ValueError, "simplify must be at least 0"),
        ({"max_error": -1}, ValueError, "max_error must be at least 0"),
        ({"dust": 1.5}, TypeError, "dust must be an integer"),
        ({"ids": [1.5]}, TypeError, "ids must hold integers"),
    ],
)
def test_bad_options_are_named_before_any_work(options, error, words):
    with pytest.raises(error, match=words):
        meshes.each_mesh(np.ones((2, 2, 2), int), **options)


def test_volumes_in_files_are_read_box_by_box(tmp_path, capsys):
    pytest.importorskip("zarr")
    labels = np.zeros((20, 30, 40), np.uint32)
    labels[2:5, 3:9, 4:30], labels[10:19, 20:29, 1:8] = 7, 9
    volume = emfast.convert(labels, tmp_path / "a.zarr", chunks=(8, 8, 8), spacing=(40, 10, 10), offset=(80, 0, 5))
    read, get = [], type(volume).__getitem__

    class Noting(type(volume)):
        def __getitem__(self, window):
            part = get(self, window)
            read.append(part.size)
            return part

    volume.__class__ = Noting
    found = emfast.mesh(volume, spacing=(40, 10, 10), offset=(80, 0, 5))
    expected = emfast.mesh(labels, spacing=(40, 10, 10), offset=(80, 0, 5))
    assert list(found) == [7, 9]
    for label, mesh in found.items():
        assert np.array_equal(mesh.vertices, expected[label].vertices)
        assert np.array_equal(mesh.faces, expected[label].faces)
    assert read[-2:] == [3 * 6 * 26, 9 * 9 * 7] and len(read) == 3  # once for the boxes
    assert cli.main(["mesh", str(tmp_path / "a.zarr"), str(tmp_path / "out")]) == 0
    vertices, _ = as_read(tmp_path / "out" / "7.ply")
    assert np.array_equal(vertices, expected[7].vertices[:, ::-1])


def test_a_picture_has_no_surface():
    with pytest.raises(ValueError, match=re.escape("labels must be a volume (z, y, x), got 2D of shape (2, 2)")):
        meshes.mesh(np.ones((2, 2), int))


def as_read(path) -> tuple[np.ndarray, np.ndarray]:
    """x, y, z and faces of a file."""
    data = path.read_bytes()
    if path.suffix == ".obj":
        rows = [line.split() for line in data.decode().splitlines()]
        vertices = np.array([[float(v) for v in r[1:]] for r in rows if r[0] == "v"], np.float32)
        return vertices, np.array([[int(v) - 1 for v in r[1:]] for r in rows if r[0] == "f"])
    if path.suffix == ".ply":
        head, _, body = data.partition(b"end_header\n")
        counts = [int(n) for n in re.findall(rb"element \w+ (\d+)", head)]
        rows = np.frombuffer(body, [("n", "u1"), ("corners", "<i4", 3)], counts[1], 12 * counts[0])
        assert (rows["n"] == 3).all() and len(body) == 12 * counts[0] + 13 * counts[1]
        return np.frombuffer(body, "<f4", 3 * counts[0]).reshape(-1, 3), rows["corners"]
    count = int(np.frombuffer(data, "<u4", 1)[0])
    return (
        np.frombuffer(data, "<f4", 3 * count, 4).reshape(-1, 3),
        np.frombuffer(data, "<u4", -1, 4 + 12 * count).reshape(-1, 3),
    )


@pytest.mark.parametrize("form, ending", [("ply", "ply"), ("obj", "obj"), ("precomputed", "ngmesh")])
def test_files_hold_x_first_and_point_outwards(form, ending, tmp_path, capsys):
    labels = np.zeros((5, 6, 7), np.uint32)
    labels[1:3, 1:4, 2:6] = 12
    np.save(tmp_path / "a.npy", labels)
    out = tmp_path / "out"
    code = cli.main(["mesh", str(tmp_path / "a.npy"), str(out), "--format", form, "--spacing", "40,10.5,10"])
    assert code == 0, capsys.readouterr().err
    assert "1 meshes" in capsys.readouterr().out
    vertices, faces = as_read(out / f"12.{ending}")
    mesh = emfast.mesh(labels, spacing=(40, 10.5, 10))[12]
    assert np.array_equal(vertices, mesh.vertices[:, ::-1])
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    assert np.isclose(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6, mesh.volume)
    if form == "precomputed":
        assert json.loads((out / "info").read_text()) == {"@type": "neuroglancer_legacy_mesh"}
        assert json.loads((out / "12:0").read_text()) == {"fragments": ["12.ngmesh"]}
    assert not list(out.glob(".*"))


def test_mistakes_on_the_command_line(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.ones((2, 2, 2), int))
    place = str(tmp_path / "a.npy")
    for arguments, words in [
        ([place, str(tmp_path)], "OUT must be a new or empty folder"),
        ([place, str(tmp_path / "no" / "out")], "OUT must be a new or empty folder"),
        ([place, str(tmp_path / "out")], "--spacing must be given"),
        ([place, str(tmp_path / "out"), "--spacing", "1,1,1", "--simplify", "-1"], "simplify must be at least 0"),
        ([str(tmp_path / "b.npy"), str(tmp_path / "out")], "b.npy"),
    ]:
        assert cli.main(["mesh", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_zmesh_it_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zmesh", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emfast\[view\]'"):
        meshes.mesh(np.ones((2, 2, 2), int))
