"""What is read is never written over: targets apart from sources, by whatever name."""

from __future__ import annotations

import os

import numpy as np
import pytest

import emfast
from emfast import blockwise, cli
from emfast._engine.identity import check_apart

pytest.importorskip("zarr")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.random.default_rng(0).integers(0, 5, (12, 14, 16)).astype("u4")
    emfast.convert(labels, "a.zarr")
    emfast.convert(labels, "g.zarr:x/y")
    np.save("a.npy", labels)
    os.symlink("a.zarr", "link.zarr")
    return labels


SAME = [
    ("a.zarr", "a.zarr"),
    ("a.zarr", "./a.zarr/"),
    ("a.zarr", "link.zarr"),
    ("link.zarr", "a.zarr"),
    ("g.zarr:x/y", "g.zarr/x/y"),
    ("g.zarr:x/y", "g.zarr:x"),
    ("g.zarr:x/y", "g.zarr:x/y/z"),
    ("a.npy", "a.npy"),
]


def in_blocks(name):
    return lambda source, target: getattr(blockwise, name)(source, target)


OPERATIONS = {
    "convert": lambda source, target: emfast.convert(source, target, overwrite=True),
    "map_blocks": lambda source, target: emfast.map_blocks(np.negative, source, target),
    "segment": lambda source, target: emfast.segment(source, target),
    **{name: in_blocks(name) for name in ("connected_components", "edt", "renumber", "dust", "fill_holes")},
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("source", "target"), SAME)
def test_nothing_is_written_over_what_is_read(name, source, target, folder):
    if name == "map_blocks" and target in ("g.zarr:x", "g.zarr:x/y/z"):
        pytest.skip("map_blocks opens targets that are there, and there is no array")
    before = {place: np.asarray(emfast.open_volume(place)) for place in ("a.zarr", "g.zarr:x/y", "a.npy")}
    with pytest.raises(ValueError, match="must not be where"):
        OPERATIONS[name](source, target)
    for place, array in before.items():
        assert np.array_equal(emfast.open_volume(place), array)
    if target == "a.zarr":
        with pytest.raises(ValueError, match="must not be where"):
            OPERATIONS[name](emfast.open_volume(source), target)


def test_others_may_be_written(folder):
    emfast.convert("g.zarr:x/y", "g.zarr:x/z")
    emfast.convert("g.zarr:x/y", "g.zarr:xy")
    blockwise.renumber("a.zarr", "a.zarr.zarr")
    assert np.array_equal(emfast.open_volume("g.zarr:x/z"), folder)


def test_arrays_are_written_in_place_only_where_no_other_block_reads_them(folder):
    array, expected = folder.astype(np.int64), -folder.astype(np.int64)
    emfast.map_blocks(np.negative, array, array, block=5)
    assert np.array_equal(array, expected)
    with pytest.raises(ValueError, match="target must not be where source is, got one array for both"):
        emfast.map_blocks(np.negative, array, array[:], block=5, halo=1)
    with pytest.raises(ValueError, match="target must not be where labels is"):
        blockwise.connected_components(folder, folder)
    half = np.zeros((2, 4, 5, 6))
    check_apart(half[0], "target", {"source": half[1]})


def test_the_command_keeps_its_input(folder, capsys):
    for verb in (["convert", "a.zarr", "a.zarr", "--overwrite"], ["segment", "a.zarr", "a.zarr"]):
        assert cli.main(verb) == 2
        assert "must not be where" in capsys.readouterr().err
    assert np.array_equal(emfast.open_volume("a.zarr"), folder)
