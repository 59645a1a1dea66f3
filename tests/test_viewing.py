"""Volumes in Neuroglancer: what its page is told and what it reads; a screenshot where there is a browser."""

from __future__ import annotations

import json
import shutil
import struct
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest

from emfast import cli, convert, phantom, viewing

neuroglancer = pytest.importorskip("neuroglancer")


@pytest.fixture(autouse=True)
def _stop():
    yield
    neuroglancer.stop()


def state_of(viewer) -> dict:
    return json.loads(json.dumps(viewer.state.to_json(), default=str))


def test_the_page_comes_from_this_machine_and_names_no_other():
    viewer = viewing.view({"image": np.zeros((3, 4, 5), np.uint8)})
    assert str(viewer).startswith("http://127.0.0.1:")
    with urllib.request.urlopen(str(viewer)) as page:
        text = page.read().decode()
    assert "neuroglancer" in text.lower()
    assert 'src="http' not in text


def test_layers_have_their_kinds_places_and_scales():
    layers = [
        viewing.Layer("raw", np.zeros((4, 8, 8), np.uint8), spacing=(40, 4, 4)),
        viewing.Layer("half", np.zeros((2, 4, 4), np.uint16), spacing=(80, 8, 8), offset=(40, 2, 4)),
        viewing.Layer("edges", np.zeros((3, 4, 8, 8), np.uint8), spacing=(40, 4, 4)),
    ]
    assert [layer.kind for layer in layers] == ["image", "labels", "affinities"]
    state = state_of(viewing.view(layers))
    assert state["dimensions"] == {"z": [4e-8, "m"], "y": [4e-9, "m"], "x": [4e-9, "m"]}
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["position"] == [2, 4, 4]
    assert [layer["type"] for layer in state["layers"]] == ["image", "segmentation", "image"]
    assert state["layers"][2]["visible"] is False
    transform = state["layers"][1]["source"][0]["transform"]
    assert [row[-1] for row in transform["matrix"]] == [0.5, 0.25, 0.5]  # in voxels of the layer
    assert "getDataValue(2)" in state["layers"][2]["shader"]


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u4", ">i8"])
def test_ids_keep_their_bits(dtype):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2 if dtype == "?" else 100, (5, 6, 7)).astype(dtype)
    labels[0, 0, 0] = 1 if dtype == "?" else np.iinfo(dtype).max
    if np.dtype(dtype).kind == "i":
        labels[0, 0, 1] = -2
    layer = viewing.Layer("labels", labels, kind="labels")
    part = layer[1:3, :, 2:]
    assert part.dtype == layer.dtype and layer.dtype.kind == "u" and layer.dtype.isnative
    native = labels.astype(labels.dtype.newbyteorder("="))
    expected = native.view(f"u{labels.dtype.itemsize}") if native.dtype.kind != "u" else native
    np.testing.assert_array_equal(layer[:], expected)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "u2", "i8"])
def test_images_fill_the_range_of_their_middle_section(dtype):
    image = np.zeros((3, 10, 10), dtype)
    image[1] = np.arange(100).reshape(10, 10)
    layer = viewing.Layer("image", image, kind="image")
    assert layer[1].dtype.name in ("float32", "uint16")
    shader = state_of(viewing.view([layer]))["layers"][0]["shader"]
    assert "range=[0.99, 98.01]" in shader


def test_images_without_a_finite_value_or_of_one_value_have_a_range():
    for value, ends in ((np.nan, "[0, 1]"), (3.0, "[3, 4]")):
        layer = viewing.Layer("image", np.full((2, 3), value, np.float32))
        assert ends in state_of(viewing.view([layer]))["layers"][0]["shader"]


def test_what_a_volume_says_of_itself_is_taken():
    class Volume:
        shape, dtype, spacing, offset = (2, 3, 4), np.dtype(np.uint8), (30.0, 8.0, 8.0), (60.0, 0.0, 16.0)

    layer = viewing.Layer("a", Volume())
    assert (layer.spacing, layer.offset, layer.has_spacing) == ((30.0, 8.0, 8.0), (60.0, 0.0, 16.0), True)
    assert viewing.Layer("a", Volume(), spacing=(1, 2, 3)).spacing == (1, 2, 3)
    assert not viewing.Layer("a", np.zeros((2, 2), np.uint8)).has_spacing


def test_large_volumes_have_no_meshes_but_small_ones_do():
    class Volume:
        dtype = np.dtype(np.uint64)

        def __init__(self, shape):
            self.shape = shape

        def __getitem__(self, window):
            raise AssertionError("read whole")

    viewer = viewing.view([viewing.Layer("large", Volume((2048, 2048, 2048)))])
    volume = next(iter(viewer.volume_manager.volumes.values()))
    with pytest.raises(neuroglancer.local_volume.MeshesNotSupportedForVolume):
        volume.get_object_mesh(1)
    labels = np.zeros((6, 6, 6), np.uint32)
    labels[2:4, 2:4, 2:4] = 7
    viewer = viewing.view([viewing.Layer("small", labels)])
    volume = next(iter(viewer.volume_manager.volumes.values()))
    assert len(volume.get_object_mesh(7)) > 0


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: viewing.Layer("a", np.zeros(3, np.uint8)), ValueError, r"a must be numbers \(z, y, x\)"),
        (lambda: viewing.Layer("a", np.zeros((2, 2), complex)), ValueError, "got complex128"),
        (lambda: viewing.Layer("a", np.zeros((2, 2)), kind="labels"), TypeError, "must be integers to be labels"),
        (lambda: viewing.Layer("a", np.zeros((2, 2)), kind="mesh"), ValueError, "kind must be one of image"),
        (lambda: viewing.Layer("a", np.zeros((2, 2)), kind="affinities"), ValueError, "must have four axes"),
        (lambda: viewing.Layer("a", np.zeros((3, 2, 2, 2)), kind="image"), ValueError, "must have no channels"),
        (lambda: viewing.Layer("a", np.zeros((2, 2)), spacing=(1,)), ValueError, "spacing must have one number"),
        (lambda: viewing.Layer("a", np.zeros((2, 2)), offset=(1,)), ValueError, "offset must have one number"),
        (lambda: viewing.view({}), ValueError, "layers must be at least one"),
    ],
)
def test_bad_layers_say_what_was_wanted(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.skipif(not any(map(shutil.which, viewing._BROWSERS)), reason="no Chromium or Chrome on PATH")
def test_a_screenshot_shows_image_and_labels(tmp_path: Path, capsys):
    pytest.importorskip("zarr")
    made = phantom.make((16, 48, 48), seed=1)
    convert(made.image, tmp_path / "image.zarr", spacing=(30, 8, 8))
    np.save(tmp_path / "labels.npy", made.labels)
    picture = tmp_path / "shot.png"
    places = [str(tmp_path / "image.zarr"), "--labels", str(tmp_path / "labels.npy")]
    code = cli.main(["view", *places, "--screenshot", str(picture), "--size", "400,300"])
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "labels.npy does not say how large its voxels are: that of the others, (30.0, 8.0, 8.0) nm" in told.out
    assert "image.zarr does not say" not in told.out
    pixels = _pixels(picture.read_bytes())
    assert pixels.shape == (300, 400, 3)
    colours = (pixels.max(axis=2).astype(int) - pixels.min(axis=2)) > 30
    assert colours.mean() > 0.1  # labels in their colours, over a grey image


def _pixels(png: bytes) -> np.ndarray:
    """Of a PNG of 8 bits per channel, colours alone."""
    pillow = pytest.importorskip("PIL.Image")
    import io

    assert png[:8] == b"\x89PNG\r\n\x1a\n" and zlib.crc32(png[12:29]) == struct.unpack(">I", png[29:33])[0]
    return np.asarray(pillow.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "VOLUME must be given"),
        (["a.npy", "--port", "70000"], "--port must be from 0 to 65535"),
        (["a.npy", "--screenshot", "x.jpg"], "--screenshot must be a file .png"),
        (["a.npy", "--screenshot", "/no/such/x.png"], "--screenshot must be a file .png in an existing folder"),
        (["no.npy"], "no.npy"),
    ],
)
def test_mistakes_on_the_command_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.zeros((2, 3, 4), np.uint8))
    assert cli.main(["view", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_neuroglancer_it_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "neuroglancer", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'emfast\[view\]'"):
        viewing.view({"a": np.zeros((2, 2), np.uint8)})
