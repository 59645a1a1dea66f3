"""The napari plug-in: a manifest that is valid, and layers that lie where the volumes do."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import emfast
from emfast import _napari, cli
from emfast.volumes import volumes_in

pytest.importorskip("zarr")


def test_the_manifest_is_valid_and_named_by_the_package():
    pytest.importorskip("yaml")
    import yaml

    path = Path(emfast.__file__).parent / "napari.yaml"
    manifest = yaml.safe_load(path.read_text())
    module, _, name = manifest["contributions"]["commands"][0]["python_name"].partition(":")
    assert getattr(importlib.import_module(module), name) is _napari.get_reader
    readers = manifest["contributions"]["readers"]
    assert manifest["name"] == "emfast"
    assert [reader["command"] for reader in readers] == [manifest["contributions"]["commands"][0]["id"]]
    try:
        found = metadata.entry_points(group="napari.manifest")
        named = [point.value for point in found if point.name == "emfast"]
    except metadata.PackageNotFoundError:
        named = []
    assert named in ([], ["emfast:napari.yaml"])  # none where emfast runs from its sources


@pytest.fixture
def folder(tmp_path):
    place = f"{tmp_path}/a.zarr"
    emfast.convert(np.arange(24, dtype="u1").reshape(2, 3, 4), f"{place}:raw", spacing=(30, 8, 4), offset=(60, 0, 4))
    emfast.convert(np.zeros((2, 3, 4), "u8"), f"{place}:labels/cells")
    emfast.convert(np.zeros((3, 2, 3, 4), "f4"), f"{place}:aff", spacing=(30, 8, 4))
    np.save(tmp_path / "b.npy", np.ones((2, 3), bool))
    (tmp_path / "c.txt").write_text("no volume")
    return tmp_path


def test_layers_have_kinds_and_places(folder):
    layers = {options["name"]: (data, options, kind) for data, options, kind in _napari.read(f"{folder}/a.zarr")}
    kinds = {name: kind for name, (_, _, kind) in layers.items()}
    assert kinds == {"a.zarr:aff": "image", "cells": "labels", "a.zarr:raw": "image"}
    data, options, _ = layers["a.zarr:raw"]
    assert isinstance(data, emfast.Volume) and np.array_equal(data, np.arange(24).reshape(2, 3, 4))
    assert options["scale"] == (30, 8, 4) and options["translate"] == (60, 0, 4)
    assert layers["a.zarr:aff"][1]["scale"] == (1, 30, 8, 4) and layers["a.zarr:aff"][1]["translate"] == (0, 0, 0, 0)
    assert "scale" not in layers["cells"][1]


def test_other_files_are_left_to_other_readers(folder):
    assert _napari.get_reader(f"{folder}/c.txt") is None
    assert _napari.get_reader(f"{folder}/none.zarr") is None
    assert _napari.get_reader([f"{folder}/b.npy", f"{folder}/c.txt"]) is None
    reader = _napari.get_reader([f"{folder}/b.npy", f"{folder}/a.zarr:raw"])
    assert [kind for _, _, kind in reader([f"{folder}/b.npy", f"{folder}/a.zarr:raw"])] == ["labels", "image"]


def test_volumes_in_files_are_listed(folder):
    place = f"{folder}/a.zarr"
    assert volumes_in(place) == [f"{place}:aff", f"{place}:labels/cells", f"{place}:raw"]
    assert volumes_in(f"{place}:raw") == [f"{place}:raw"]
    assert volumes_in(f"{folder}/b.npy") == [f"{folder}/b.npy"]
    np.savez(folder / "d.npz", x=np.zeros(3), y=np.zeros(3))
    assert volumes_in(folder / "d.npz") == [f"{folder}/d.npz:x", f"{folder}/d.npz:y"]
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "e.h5", "w") as file:
        file["volumes/raw"], file["z"] = np.zeros((2, 2)), np.zeros((2, 2))
    assert volumes_in(folder / "e.h5") == [f"{folder}/e.h5:volumes/raw", f"{folder}/e.h5:z"]


def test_info_says_what_a_file_holds(folder, capsys):
    assert cli.main(["info", f"{folder}/a.zarr", f"{folder}/b.npy"]) == 0
    text = capsys.readouterr().out
    assert "zarr, 2 x 3 x 4 (z, y, x) of uint8" in text
    assert "spacing (30.0, 8.0, 4.0) nm, offset (60.0, 0.0, 4.0) nm" in text
    assert "zarr, 3 x 2 x 3 x 4 (c, z, y, x) of float32" in text
    assert "npy, 2 x 3 (y, x) of bool" in text and "spacing unknown: --spacing says it" in text
    assert cli.main(["info", f"{folder}/none.zarr"]) == 2
    assert "none.zarr" in capsys.readouterr().err
