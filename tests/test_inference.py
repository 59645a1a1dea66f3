"""Inference: results that do not depend on blocks, equal those of the whole volume, and keep what is perfect."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import emfast  # noqa: E402
from emfast import inference, nn  # noqa: E402
from emfast._engine.grid import Grid  # noqa: E402
from emfast._locks import alone  # noqa: E402
from emfast.inference import Model, _job, _layout, _tiles  # noqa: E402
from emfast.inference._constants import Constants  # noqa: E402
from emfast.inference._tune import SCORES  # noqa: E402
from emfast.recipes import Head, Inference, Method  # noqa: E402
from emfast.sampling._pieces import mirrored  # noqa: E402
from emfast.segmentation import Between  # noqa: E402
from emfast.targets import Affinities, Membrane, Semantic, Target  # noqa: E402
from networks import Edges, Identity, Perfect, Tiny  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(_job, "usual_precision", lambda device: "float32")  # whatever this machine is quick in
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(network, heads=None, patch=(6, 12, 12), constants=None, channels=1, **inference):
    heads = heads or (Head("mask", Semantic(), ()),)
    method = Method(network, heads, patch, inference=Inference(**inference), channels=channels)
    torch.manual_seed(0)
    module = network.build(channels, method.outputs()).eval()
    return Model(module, method, constants or Constants(100.0, 50.0))


def image(shape=(13, 30, 27), seed=0):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def whole(of, source):
    """The network on the whole volume at once, mirrored by its margin."""
    z, y, x = (mirrored(-m, n + 2 * m, n) for m, n in zip(of.module.geometry.margin, source.shape, strict=True))
    given = of.constants.normalised(source[np.ix_(z, y, x)])
    with torch.inference_mode():
        return torch.sigmoid(of.module(torch.from_numpy(given)[None, None])["mask"])[0].numpy()


BLENDS = ["crop", "linear", "gaussian", "bump"]


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("padded", [True, False], ids=["same", "valid"])
def test_neither_blocks_nor_workers_make_a_difference(blend, padded):
    of = model(Tiny(padded=padded), blend=blend, symmetries="flips" if blend == "bump" and padded else "none")
    source = image((13, 24, 20))
    first = emfast.predict(of, source, block=source.shape)["mask"]
    for block, workers in (((5, 13, 11), 1), ((13, 7, 20), 3), ("auto", 2)):
        assert (emfast.predict(of, source, block=block, workers=workers)["mask"] == first).all()
    assert first.shape == (1, *source.shape) and first.dtype == np.float32


@pytest.mark.parametrize("padded", [True, False], ids=["same", "valid"])
@pytest.mark.parametrize("tile", [None, (9, 15, 11)])
def test_cropped_tiles_are_the_whole_volume(padded, tile):
    """Where the receptive field (5 voxels, 2 on either side) stays inside, for beyond the border padding has zeros."""
    of = model(Tiny(padded=padded), tile=tile)
    source = image()
    found, wanted = emfast.predict(of, source)["mask"], whole(of, source)
    inner = (slice(None), *(slice(2, -2),) * 3) if padded else (slice(None),)
    np.testing.assert_allclose(found[inner], wanted[inner], rtol=1e-5, atol=1e-6)
    assert padded or found.shape == wanted.shape


@dataclass(frozen=True)
class Pooled(nn.Network):
    """A step down and up: what a voxel sees depends on where it lies in its pair."""

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Pooled(channels, heads)


class _Pooled(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.first = torch.nn.Conv3d(channels, 3, 3, padding=1)
        self.up = torch.nn.ConvTranspose3d(3, 3, 2, 2)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Conv3d(3, n, 1) for name, n in heads.items()})
        self.geometry = nn.Geometry((4, 4, 4), (2, 2, 2), (0, 0, 0), (2, 2, 2))

    def forward(self, image):
        found = self.up(torch.nn.functional.max_pool3d(self.first(image), 2))
        return {name: head(found) for name, head in self.heads.items()}


@pytest.mark.parametrize("tile", [None, (8, 10, 12)])
def test_tiles_begin_where_the_steps_of_the_whole_volume_do(tile):
    """A voxel sees 1 voxel around its pair: at most 2 away."""
    of, source = model(Pooled(), patch=(4, 6, 6), tile=tile), image((12, 22, 26))
    found, wanted = emfast.predict(of, source)["mask"], whole(of, source)
    inner = (slice(None), *(slice(2, -2),) * 3)
    np.testing.assert_allclose(found[inner], wanted[inner], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
def test_weights_are_an_exact_partition(blend, overlap):
    """Ones stay ones to the bit, wherever tiles join."""
    of = model(Identity(field=5), (Head("mask", Semantic(), (), activation="none"),), blend=blend, overlap=overlap)
    of.constants = Constants(0.0, 1.0)
    found = emfast.predict(of, np.ones((14, 31, 45), np.uint8), settings={"tile": (5, 9, 16)})["mask"]
    assert (found == 1).all()


@pytest.mark.parametrize("blend", ["linear", "gaussian", "bump"])
def test_weights_of_an_axis(blend):
    axis = _tiles.Axis(50, 16, 6, 5, 16, 0, blend)
    total = np.zeros(50)
    for k in range(axis.count):
        low, high = axis.span(k)
        assert k in axis.tiles(low, high)
        total[low:high] += axis.weights(k)
        assert (axis.weights(k) * 256 % 1 == 0).all()
    assert (total == 1).all()
    for start in range(49):
        near = [k for k in range(axis.count) if axis.span(k)[0] < start + 2 and axis.span(k)[1] > start]
        assert list(axis.tiles(start, start + 2)) == near
    middle = axis.weights(4)
    assert middle.argmax() in (7, 8) and middle[0] < 0.1


# ---- symmetries


OFFSETS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 3, 0), (0, 0, 3), (-2, 0, 0))


@pytest.mark.parametrize("symmetries", ["none", "flips", "xy8", "xy8z"])
@pytest.mark.parametrize("blend", ["crop", "bump"])
def test_perfect_affinities_stay_perfect_in_all_positions(symmetries, blend):
    labels = np.asarray(emfast.phantom.make((11, 24, 26), seed=4).labels).astype(np.uint8)
    head = Head("edges", Edges(OFFSETS), (), activation="sigmoid")
    # Blended tiles are right up to their border only where their overlap hides it: their border is wrong by itself.
    of = model(
        Perfect(OFFSETS),
        (head,),
        constants=Constants(0.0, 255.0),
        blend=blend,
        symmetries=symmetries,
        patch=(8, 16, 16),
    )
    if blend == "bump":
        of.module.geometry = replace(of.module.geometry, margin=(3, 3, 3), least=(7, 7, 7))
        inner = of.module.forward
        of.module.forward = lambda x: {k: v[..., 3:-3, 3:-3, 3:-3] for k, v in inner(x).items()}
    found = emfast.predict(of, labels)["edges"]
    wanted, valid = emfast.affinities(labels, offsets=OFFSETS, dtype="float32", return_valid=True)
    assert (found.round(6)[valid] == wanted[valid]).all()
    assert 0.2 < wanted[valid].mean() < 0.95


def test_offsets_without_a_twin_are_refused():
    head = Head("edges", Edges(((0, -1, 0), (0, 0, -3))), (), activation="none")
    of = model(Perfect(((0, -1, 0), (0, 0, -3))), (head,), symmetries="flips")
    emfast.predict(of, image())
    with pytest.raises(ValueError, match=r"symmetries must keep the offsets of head edges, .* twin of \(0, -1, 0\)"):
        emfast.predict(of, image(), settings={"symmetries": "xy8"})


@dataclass(frozen=True)
class Way(Target):
    @property
    def names(self) -> tuple[str, ...]:
        return "centre", "offset z", "offset y", "offset x"


@dataclass(frozen=True)
class Slopes(nn.Network):
    """The image, and how it rises along z, y, x: a vector that turns with it."""

    def build(self, channels: int, heads: Mapping[str, int]) -> nn.Module:
        return _Slopes()


class _Slopes(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
        self.geometry = nn.Geometry((3, 3, 3), (1, 1, 1), (0, 0, 0), (1, 1, 1))

    def forward(self, image):
        slopes = [(image.roll(-1, axis) - image.roll(1, axis)) / 2 for axis in (2, 3, 4)]
        return {"way": torch.cat([image, *slopes], 1)}


@pytest.mark.parametrize("symmetries", ["flips", "xy8", "xy8z"])
def test_vectors_turn_with_the_tile(symmetries):
    of = model(Slopes(), (Head("way", Way(), (), activation="none"),), constants=Constants())
    source = image()
    plain = emfast.predict(of, source)["way"]
    assert (emfast.predict(of, source, settings={"symmetries": symmetries})["way"] == plain).all()
    inner = source.astype(np.float32)
    assert (plain[1, 1:-1] == (inner[2:] - inner[:-2]) / 2).all()


def test_outputs_are_reduced_as_asked():
    of, source = model(Tiny(), tile=(6, 9, 9), blend="crop"), image((6, 9, 9))
    of.module.geometry = nn.Geometry((1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1))  # one tile, as it is
    given = torch.from_numpy(of.constants.normalised(source))[None, None]
    turned = []
    for flip in ((), (3,), (4,), (3, 4)):
        with torch.inference_mode():
            turned.append(torch.sigmoid(of.module(given.flip(flip))["mask"]).flip(flip)[0].numpy())
    for reduce in ("mean", "min", "max", "median"):
        found = emfast.predict(of, source, settings={"symmetries": "flips", "reduce": reduce})["mask"]
        np.testing.assert_allclose(found, getattr(np, reduce)(turned, axis=0), rtol=1e-6)


# ---- sections


def test_sections_along_three_axes():
    """A network that adds up along x and y of a section sees another plane along each axis."""
    of = model(Tiny(depth=1), patch=(1, 12, 12))
    source = image((14, 15, 16))
    found = emfast.predict(of, source, settings={"axes": "zyx"})["mask"]
    parts = []
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        back = [1 + order.index(a) for a in range(3)]
        parts.append(emfast.predict(of, np.ascontiguousarray(source.transpose(order)))["mask"].transpose(0, *back))
    np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-6)
    assert (emfast.predict(of, source, settings={"axes": "zyx"}, block=(5, 6, 7))["mask"] == found).all()
    head = Head("edges", Edges(OFFSETS), ())
    with pytest.raises(ValueError, match="axes must be z for heads that speak of directions"):
        emfast.predict(model(Perfect(OFFSETS), (head,), axes="zyx"), source)


def test_the_median_along_z_is_that_of_sections():
    of, source = model(Tiny(depth=1), patch=(1, 12, 12)), image((9, 15, 16))
    plain = emfast.predict(of, source)["mask"]
    found = emfast.predict(of, source, settings={"z_median": 5}, block=(2, 8, 16))["mask"]
    for z in range(9):
        near = plain[:, mirrored(z - 2, 5, 9)]
        assert (found[:, z] == np.median(near, axis=1)).all()


# ---- what comes out


def test_dtypes_round_as_they_say():
    of, source = model(Tiny()), image()
    plain = emfast.predict(of, source)["mask"]
    assert (emfast.predict(of, source, dtype="uint8")["mask"] == np.rint(plain * np.float32(255))).all()
    assert (emfast.predict(of, source, dtype="float16")["mask"] == plain.astype(np.float16)).all()
    with pytest.raises(ValueError, match="which is no probability"):
        emfast.predict(model(Slopes(), (Head("way", Way(), (), activation="none"),)), source, dtype="uint8")


def test_pictures_are_volumes_of_depth_one(tmp_path):
    of, source = model(Tiny(depth=1), patch=(1, 12, 12)), image((30, 27))
    found = emfast.predict(of, source)["mask"]
    assert found.shape == (1, 30, 27)
    assert (found == emfast.predict(of, source[None])["mask"][:, 0]).all()
    left = emfast.predict(of, source, tmp_path / "out.npy")["mask"]
    assert (np.asarray(left[...]) == found).all()


def test_batches_are_filled_up_and_halved_where_there_is_no_room():
    of, source = model(Tiny(), tile=(6, 9, 9)), image()
    plain = emfast.predict(of, source)["mask"]
    forward, sizes = of.module.forward, []

    def small(tiles):
        sizes.append(len(tiles))
        if len(tiles) > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(tiles)

    of.module.forward = small
    with pytest.warns(UserWarning, match="no room for the batch: 2 tiles at once now"), warnings.catch_warnings():
        warnings.filterwarnings("always")
        found = emfast.predict(of, source, batch=4)["mask"]
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
    assert sizes[0] == 4 and set(sizes[1:]) == {2}
    of.module.forward = lambda tiles: (_ for _ in ()).throw(torch.OutOfMemoryError("no room"))
    with pytest.raises(emfast.errors.BlocksFailed, match="choose a smaller tile"):
        emfast.predict(of, source, retries=0)


def test_what_broke_off_goes_on(tmp_path):
    pytest.importorskip("zarr")
    of, source = model(Tiny()), image()
    with emfast.open_volume(tmp_path / "in.zarr", mode="w", like=source, spacing=(30, 8, 8)) as volume:
        volume[...] = source
    plain = emfast.predict(of, source)["mask"]
    forward, calls, went = of.module.forward, [], []

    def fails(tiles):
        calls.append(1)
        if len(calls) == 20 and not went:
            went.append(1)
            raise RuntimeError("power cut")
        return forward(tiles)

    of.module.forward = fails
    options = {"block": (8, 16, 16), "workers": 1, "retries": 0}
    with pytest.raises(emfast.errors.BlocksFailed, match="power cut"):
        emfast.predict(of, tmp_path / "in.zarr", tmp_path / "out.zarr", **options)
    del calls[:]
    found = emfast.predict(of, tmp_path / "in.zarr", tmp_path / "out.zarr", **options)["mask"]
    assert (np.asarray(found[...]) == plain).all()
    assert found.spacing == (30, 8, 8)
    assert not (tmp_path / "out.zarr.journal").exists()
    resumed = len(calls)
    of.module.forward = lambda tiles: (calls.append(1), forward(tiles))[1]
    emfast.predict(of, source, **options)
    assert 0 < resumed < len(calls) - resumed  # some blocks were not done again


def test_heads_are_arrays_of_one_store(tmp_path):
    pytest.importorskip("zarr")
    heads = (Head("mask", Semantic(), ()), Head("far", Semantic(2), (), activation="tanh"))
    of, source = model(Tiny(), heads), image()
    plain = emfast.predict(of, source)
    found = emfast.predict(of, source, tmp_path / "out.zarr")
    assert {name: v.shape for name, v in found.items()} == {"mask": (1, *source.shape), "far": (2, *source.shape)}
    assert all((np.asarray(found[name][...]) == plain[name]).all() for name in plain)
    assert set(emfast.predict(of, source, heads=["far"])) == {"far"}
    given = {"mask": np.zeros((1, *source.shape), np.float32)}
    assert emfast.predict(of, source, given, heads=["mask"])["mask"] is given["mask"]
    assert (given["mask"] == plain["mask"]).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"heads": ["other"]}, "heads must be of mask"),
        ({"dtype": "int8"}, "dtype must be one of float32"),
        ({"settings": {"tile": (0, 1, 1)}}, "tile must fit the network"),
        ({"settings": {"z_median": 2}}, "z_median must be an odd number"),
        ({"settings": {"overlap": 1.0}}, "overlap must be from 0"),
        ({"source": np.zeros((3, 0, 5))}, r"source must have voxels, got the shape \(3, 0, 5\)"),
        ({"source": np.zeros((2, 3, 4, 5))}, r"source must be \(z, y, x\)"),
        ({"target": 3}, "target must be a place"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"block": "large"}, 'block must be sides or "auto"'),
        ({"block": 0}, "block must be at least 1, got 0"),
        ({"block": (8, 8)}, r"block must have three sides \(z, y, x\), got \(8, 8\)"),
        ({"settings": Inference(overlap=1.0)}, "overlap must be from 0"),
    ],
)
def test_mistakes_have_one_clear_error(wrong, words):
    options = {"source": image()} | wrong
    with pytest.raises((ValueError, TypeError), match=words):
        emfast.predict(model(Tiny()), options.pop("source"), **options)


def test_a_head_is_the_same_whatever_else_is_asked():
    heads = (Head("mask", Semantic(), ()), Head("far", Affinities(((0, 0, -5), (0, -5, 0))), ()))
    of, source = model(Tiny(), heads, symmetries="flips"), image()
    every = emfast.predict(of, source)
    for name, values in every.items():
        assert (emfast.predict(of, source, heads=[name])[name] == values).all()


@pytest.mark.parametrize(("dtype", "told"), [("u1", False), ("u2", True), ("f4", True)])
def test_images_of_another_dtype_than_learnt_are_told(dtype, told):
    of = replace(model(Tiny()), dtype="uint8")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        emfast.predict(of, image().astype(dtype))
    assert [f"source is {np.dtype(dtype)}, and the network learnt from uint8" in str(w.message) for w in found] == [
        True
    ] * told


def test_tiles_are_as_large_as_the_context_asks_for():
    geometry = nn.Geometry((1, 45, 45), (1, 8, 8), (0, 0, 0), (1, 8, 8))
    z, y, x = _layout.layout(geometry, (50, 500, 500), (1, 64, 64), Inference())
    # Along y and x 22 voxels of context, rounded up to 24; 64 + 2 * 22 = 108, fitting 112, of which 64 are left.
    assert (z.tile, z.step) == (1, 1)
    assert (y.tile, y.step, y.lead) == (x.tile, x.step, x.lead) == (112, 64, 24)
    # A field of 400 would make tiles of more than 8 patches: then a quarter of 64 on either side, half of overlap.
    far = nn.Geometry((1, 400, 400), (1, 8, 8), (0, 0, 0), (1, 8, 8))
    _, y, _ = _layout.layout(far, (50, 500, 500), (1, 64, 64), Inference())
    assert (y.tile, y.step, y.lead) == (64, 32, 16)


@pytest.mark.parametrize("symmetries", ["flips", "xy8", "xy8z"])
def test_descriptors_of_shape_turn_with_the_tile(symmetries):
    """An ellipsoid that lies askew, turned: its offset, variances and correlations are those of the turned one."""
    from emfast.inference._symmetry import group, moves

    class Descriptors(Target):
        names = (
            *("offset z", "offset y", "offset x", "variance z", "variance y", "variance x"),
            *("correlation zy", "correlation zx", "correlation yx", "size"),
        )

    def of(points):
        covariance, mean = np.cov(points, bias=True), points.mean(1)
        pairs = [covariance[a, b] for a, b in ((0, 1), (0, 2), (1, 2))]
        signed = [*(mean / 2 + 0.5), *np.diag(covariance), *(np.array(pairs) / 2 + 0.5), 1.0]
        return torch.tensor(signed)

    points = np.random.default_rng(0).normal(size=(3, 50)) * [[0.1], [0.2], [0.3]] + [[0.1], [0.3], [-0.2]]
    points[1] += points[0] + 0.5 * points[2]
    head = Head("shape", Descriptors(), ())
    for member in group(symmetries):
        turned = points[[0, 2, 1]] if member.transposed else points.copy()
        for axis in member.flips:
            turned[axis] *= -1
        seen = of(turned)
        back = [2 * m.centre - seen[m.source] if m.turned else seen[m.source] for m in moves(head, member)]
        torch.testing.assert_close(torch.stack(back), of(points))


def test_a_network_that_cannot_be_made_ready_is_an_error_and_no_wait(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no room")

    monkeypatch.setattr(nn, "ready", fails)
    with pytest.raises(emfast.errors.BlocksFailed, match="no room"):
        emfast.predict(model(Tiny()), image(), retries=1)


def test_a_job_that_was_sent_elsewhere_is_the_same():
    """As a cluster does; and what a block gave is not changed by a thread of its own."""
    of, source = model(Tiny(), blend="linear"), image()
    job = _job.Job(of, list(of.method.heads), of.method.inference, source.shape, np.dtype("f4"), None, None, None)
    blocks = Grid(source.shape, (8, 30, 27), job.halo((8, 30, 27)))
    first = [job(source[block.outer], block).copy() for block in blocks]
    job = pickle.loads(pickle.dumps(job))
    for block, wanted in zip(blocks, first, strict=True):
        assert (job(source[block.outer], block) == wanted).all()


def test_what_is_not_finite_is_refused():
    source = image().astype(np.float32)
    source[3, 4, 5] = np.nan
    with pytest.raises(emfast.errors.BlocksFailed, match=r"source must be finite, got NaN .* block at \(0, 0, 0\)"):
        emfast.predict(model(Tiny()), source)


def test_sixteen_bits_are_close(monkeypatch):
    of, source = model(Tiny()), image()
    plain = emfast.predict(of, source)["mask"]
    monkeypatch.setattr(_job, "usual_precision", lambda device: "bfloat16")
    found = emfast.predict(of, source)["mask"]
    assert (found != plain).any()
    np.testing.assert_allclose(found, plain, atol=0.03)
    assert (emfast.predict(of, source, precision="float32")["mask"] == plain).all()


# ---- from images to segments, with a folder for what lies between


def normed(tmp_path):
    """A model with batch norms, whose counters have no axes, and an image in a store."""
    pytest.importorskip("zarr")
    net = nn.UNet(levels=(nn.Level(4), nn.Level(4)))
    of = model(net, (Head("affinities", Affinities(), ()),), patch=(8, 16, 16))
    of.decode = decode
    place = tmp_path / "in.zarr"
    with emfast.open_volume(place, mode="w", shape=(8, 24, 20), dtype="u1", spacing=(30, 8, 8)) as volume:
        volume[...] = image((8, 24, 20))
    return of, place


def decode(outputs, *, spacing=None, threshold=0.5, low=0.1, high=0.98, turned=emfast.NEAREST):
    outputs = {name: emfast.convert_affinities(array, turned)[0] for name, array in outputs.items()}
    return emfast.segment_affinities(outputs["affinities"], threshold=threshold, low=low, high=high)


def test_the_same_call_does_not_predict_again(tmp_path, monkeypatch):
    of, place = normed(tmp_path)
    first = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out.zarr.work" / "prediction.zarr").rglob("*")}
    assert times
    again = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    assert np.array_equal(first, again)
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "out.zarr.work" / "prediction.zarr").rglob("*")}
    other = emfast.segment(place, tmp_path / "out.zarr", model=of, decoding={"threshold": 0.9})[...]
    assert np.array_equal(other, emfast.segment(place, model=of, decoding={"threshold": 0.9}))


def test_affinities_that_look_forward_are_turned_once(tmp_path):
    of, place = normed(tmp_path)
    forward = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    of.method = replace(of.method, heads=(Head("affinities", Affinities(forward), ()),))
    of.decode = partial(decode, turned=forward)
    first = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    assert np.array_equal(first, emfast.segment(place, tmp_path / "out.zarr", model=of)[...])
    other = emfast.segment(place, tmp_path / "out.zarr", model=of, thresholds=0.8)[...]
    assert np.array_equal(other, emfast.segment(place, model=of, thresholds=0.8))


def test_other_parameters_of_the_decoder_begin_anew(tmp_path):
    of, place = normed(tmp_path)
    for options in ({"low": 0.3}, {"high": 0.9}, {"low": 0.3, "high": 0.9}):
        found = emfast.segment(place, tmp_path / "out.zarr", model=of, decoding=options)[...]
        assert np.array_equal(found, emfast.segment(place, model=of, decoding=options))


@pytest.mark.parametrize("name", ["objects", "lee2017"])
def test_a_recipe_decodes_in_blocks_what_it_decodes_in_memory(tmp_path, name):
    """With one folder for what lies between, whatever was asked before."""
    recipe = emfast.recipes.get(name)
    found = model(Tiny(), recipe.method.heads, patch=(8, 16, 16))
    found.decode, found.recipe = recipe.decode, name
    _, place = normed(tmp_path)
    for options in ({}, {"threshold": 0.4}, {"threshold": 0.4}, {"threshold": 0.6}):
        whole = emfast.segment(place, model=found, decoding=options)
        parts = emfast.segment(place, tmp_path / "out.zarr", model=found, decoding=options, block=(8, 12, 20))[...]
        table = emfast.contingency(np.asarray(whole), np.asarray(parts))
        assert ((whole > 0) == (parts > 0)).all() and table.adapted_rand().error == 0


def test_what_was_damaged_is_not_taken_for_sound(tmp_path):
    of, place = normed(tmp_path)
    chunk = max((p for p in place.rglob("*") if p.is_file() and "c" in p.parts), key=lambda p: p.stat().st_size)
    state = chunk.stat()
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    os.utime(chunk, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.warns(UserWarning):
        emfast.segment(place, tmp_path / "out.zarr", model=of, on_corrupt="skip")
    with pytest.raises(emfast.errors.BlocksFailed):
        emfast.segment(place, tmp_path / "out.zarr", model=of)


def kept_run(tmp_path):
    """A model whose affinities are turned, its image, and what came of them in a folder."""
    of, place = normed(tmp_path)
    forward = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    of.method = replace(of.method, heads=(Head("affinities", Affinities(forward), ()),))
    of.decode = partial(decode, turned=forward)
    return of, place, emfast.segment(place, tmp_path / "out.zarr", model=of)[...]


def check_it_recovers(tmp_path, of, place, wanted):
    """That a call does anew what is missing, and the one after it nothing."""
    assert np.array_equal(emfast.segment(place, tmp_path / "out.zarr", model=of)[...], wanted)
    volumes = [tmp_path / "out.zarr.work" / name for name in ("prediction.zarr", "affinities.zarr")]
    times = {p: p.stat().st_mtime_ns for volume in volumes for p in volume.rglob("*")}
    assert np.array_equal(emfast.segment(place, tmp_path / "out.zarr", model=of)[...], wanted)
    assert times == {p: p.stat().st_mtime_ns for p in times}


@pytest.mark.parametrize("name", ["asked", "predicted", "affinities", "decoding"])
def test_stamps_that_cannot_be_read_count_as_absent(tmp_path, name):
    of, place, wanted = kept_run(tmp_path)
    for damage in ("", "[]", "{}", "7", '{"affinities": 7}'):
        (tmp_path / "out.zarr.work" / f"{name}.json").write_text(damage)
        check_it_recovers(tmp_path, of, place, wanted)


@pytest.mark.parametrize("name", ["prediction", "affinities"])
def test_a_prediction_that_is_gone_is_made_again(tmp_path, name):
    of, place, wanted = kept_run(tmp_path)
    volume = tmp_path / "out.zarr.work" / f"{name}.zarr"
    shutil.rmtree(volume)
    check_it_recovers(tmp_path, of, place, wanted)
    (volume / "zarr.json").unlink()
    check_it_recovers(tmp_path, of, place, wanted)


def test_a_prediction_of_which_a_head_is_gone_is_made_again(tmp_path):
    of, place = normed(tmp_path)
    of.method = replace(of.method, heads=tuple(Head(name, Affinities(), ()) for name in ("a", "b")))
    of.module = of.method.network.build(1, of.method.outputs()).eval()
    of.decode = lambda outputs, *, spacing=None: (outputs["a"][0] > 0.5).astype("u1") + (outputs["b"][0] > 0.5)
    wanted = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    prediction = tmp_path / "out.zarr.work" / "prediction.zarr"
    shutil.rmtree(prediction / "b")
    assert np.array_equal(emfast.segment(place, tmp_path / "out.zarr", model=of)[...], wanted)
    (prediction.parent / "predicted.json").write_text('{"a": "prediction.zarr/a"}')
    assert np.array_equal(emfast.segment(place, tmp_path / "out.zarr", model=of)[...], wanted)
    assert (prediction / "b").exists()


def test_segments_in_blocks_of_a_prediction_that_is_made_again(tmp_path):
    recipe = emfast.recipes.get("objects")
    found = model(Tiny(), recipe.method.heads, patch=(8, 16, 16))
    found.decode, found.recipe = recipe.decode, "objects"
    _, place = normed(tmp_path)
    wanted = emfast.segment(place, tmp_path / "out.zarr", model=found, block=(8, 12, 20))[...]
    shutil.rmtree(tmp_path / "out.zarr.work" / "prediction.zarr")
    for _ in range(2):
        again = emfast.segment(place, tmp_path / "out.zarr", model=found, block=(8, 12, 20))[...]
        assert np.array_equal(again, wanted)


def test_a_prediction_that_was_cut_short_goes_on(tmp_path, monkeypatch):
    of, place = normed(tmp_path)
    options = {"model": of, "block": (8, 8, 20), "workers": 1, "retries": 0}
    wanted = emfast.segment(place, **options)
    seen, forward = [], of.module.forward

    def counted(values):
        seen.append(None)
        if len(seen) == stop:
            raise OSError("a disk went")
        return forward(values)

    stop = 10  # of 18
    monkeypatch.setattr(of.module, "forward", counted)
    with pytest.raises(emfast.errors.BlocksFailed):
        emfast.segment(place, tmp_path / "out.zarr", **options)
    first, stop = len(seen), 0
    assert np.array_equal(emfast.segment(place, tmp_path / "out.zarr", **options)[...], wanted)
    rest = len(seen) - first
    assert np.array_equal(emfast.segment(place, **options), wanted)
    assert rest < len(seen) - first - rest


def test_a_folder_serves_one_run_at_a_time(tmp_path):
    of, place = normed(tmp_path)
    emfast.segment(place, tmp_path / "out.zarr", model=of)
    with alone(str(tmp_path / "out.zarr.work" / ".lock"), "another"), pytest.raises(emfast.errors.InUse):
        emfast.segment(place, tmp_path / "out.zarr", model=of)


def test_another_model_or_image_begins_anew(tmp_path):
    of, place = normed(tmp_path)
    emfast.segment(place, tmp_path / "out.zarr", model=of)
    with torch.no_grad():
        for values in of.module.parameters():
            values.mul_(-1.5)
    found = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    assert np.array_equal(found, emfast.segment(place, model=of))
    with emfast.open_volume(place, mode="r+") as volume:
        volume[...] = 255 - volume[...]
    found = emfast.segment(place, tmp_path / "out.zarr", model=of)[...]
    assert np.array_equal(found, emfast.segment(place, model=of))


@pytest.mark.parametrize("by_blocks", [True, False])
def test_an_image_is_never_its_own_target(tmp_path, by_blocks):
    of, place = normed(tmp_path)
    if not by_blocks:
        of.decode = lambda outputs, *, spacing=None: decode(outputs)
    before = emfast.open_volume(place)[...]
    with pytest.raises(ValueError, match="target must not be where source is"):
        emfast.segment(place, place, model=of)
    with pytest.raises(ValueError, match="work must not be where source is"):
        emfast.segment(place, tmp_path / "out.zarr", model=of, work=place)
    assert np.array_equal(emfast.open_volume(place)[...], before)


@pytest.mark.parametrize("by_blocks", [True, False])
def test_pictures_become_segments(tmp_path, by_blocks):
    of, _ = normed(tmp_path)
    if not by_blocks:
        of.decode = lambda outputs, *, spacing=None: decode(outputs)
    picture = image((24, 20))
    found = emfast.segment(picture, model=of)
    assert np.array_equal(found, emfast.segment(picture[None], model=of)[0])
    np.save(tmp_path / "flat.npy", picture)
    written = emfast.segment(tmp_path / "flat.npy", tmp_path / "flat.zarr", model=of)
    assert written.shape == (24, 20) and np.array_equal(written[...], found)


# ---- the spacing of what is decoded, and the search for parameters


def told(spacings):
    """A model whose output is the image from 0 to 1, and a decoder that notes the spacing it is given."""

    def decode(outputs, *, spacing=(1, 1, 1), threshold: Annotated[float, Between(0.0, 1.0)] = 0.5):
        spacings.append(tuple(spacing))
        return emfast.connected_components(outputs["mask"][0] >= threshold)

    of = model(Identity(), (Head("mask", Semantic(), (), activation="none"),), constants=Constants(0.0, 255.0))
    of.decode, of.spacing = decode, (30.0, 8.0, 8.0)
    return of


@pytest.mark.filterwarnings("ignore:source has voxels")
@pytest.mark.parametrize(
    ("shape", "said", "known"),
    [
        ((4, 16, 16), (100, 50, 50), (100, 50, 50)),
        ((4, 16, 16), None, (30, 8, 8)),
        ((16, 16), (50, 50), (30, 50, 50)),
        ((16, 16), None, (30, 8, 8)),
    ],
)
def test_objects_are_decoded_with_the_spacing_of_the_image(tmp_path, shape, said, known):
    place = tmp_path / "in.npy" if said is None else tmp_path / "in.tif"
    with emfast.open_volume(place, mode="w", shape=shape, dtype="u1", spacing=said) as volume:
        volume[...] = image(shape)
    spacings = []
    of = told(spacings)
    emfast.segment(place, tmp_path / "out.npy", model=of)
    emfast.segment(emfast.open_volume(place), model=of)
    inference.tune_model(of, place, image(shape) > 100, budget=1)
    assert spacings == [known] * 3


def three_objects():
    """Of 0.78, 0.47 and 0.24, and one of 0.35 that is none."""
    picture, truth = np.zeros((1, 12, 40), np.uint8), np.zeros((1, 12, 40), np.uint8)
    for k, (value, number) in enumerate(((200, 1), (120, 2), (60, 3), (90, 0))):
        picture[0, 2:10, 10 * k + 2 : 10 * k + 8] = value
        truth[0, 2:10, 10 * k + 2 : 10 * k + 8] = number
    return picture, truth


@pytest.mark.parametrize("score", sorted(SCORES))
def test_scores_see_what_is_missed(score):
    _, truth = three_objects()
    missed = np.where(truth == 2, 0, truth)
    assert SCORES[score](truth, missed) < SCORES[score](truth, truth)


@pytest.mark.parametrize("score", ["pq", "iou"])
def test_scores_of_objects_see_what_is_not_there(score):
    picture, truth = three_objects()
    more = emfast.connected_components(picture > 0)
    assert SCORES[score](truth, more) < SCORES[score](truth, truth)


def test_the_score_is_that_of_what_is_sought():
    picture, truth = three_objects()
    of = told([])
    name, found = inference.tune_model(of, picture, truth, budget=12)
    assert name == "pq"
    with_one = [SCORES["pq"](truth, of.decode({"mask": picture[None] / 255}, threshold=t)) for t in (0.2, 0.3, 0.4)]
    assert found.score >= max(with_one)
    assert inference.tune_model(of, picture, truth > 0, budget=2)[0] == "iou"
    assert inference.tune_model(of, picture, truth, label=2, budget=2)[0] == "iou"
    of.recipe = "lee2017"  # neurons
    assert inference.tune_model(of, picture, truth, budget=2)[0] == "voi"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"truth": np.zeros((1, 12, 40), np.uint8)}, "truth must have labels, got none"),
        ({"label": 9}, "truth must have label 9, got none"),
        ({"truth": np.ones((1, 12, 41), np.uint8)}, r"truth must have the shape of source, \(1, 12, 40\), got"),
        ({"budget": 0}, "budget must be at least 1, got 0"),
        ({"score": "dice"}, "score must be one of automatic, voi, rand, pq, iou, got 'dice'"),
        ({"decoding": {"threshold": 0.5}}, "decoding must leave a parameter to vary, of threshold"),
    ],
)
def test_what_cannot_be_tuned_is_said_before_anything_is_predicted(monkeypatch, options, words):
    monkeypatch.setattr(emfast.inference._tune, "predict", None)
    picture, truth = three_objects()
    with pytest.raises(ValueError, match=words):
        inference.tune_model(**{"model": told([]), "source": picture, "truth": truth} | options)


@pytest.mark.parametrize("sections", [False, True])
def test_a_truth_of_one_label_is_a_mask(sections):
    """Two cells of two sections, a wall of one voxel between them: joined they are not perfect."""
    picture = np.full((2, 12, 20), 200, np.uint8)
    picture[:, :, 10] = 100
    of = told([])
    of.recipe = "lee2017"  # neurons
    if sections:
        of.method = replace(of.method, heads=(Head("mask", Membrane(per_section=True), (), activation="none"),))
    name, found = inference.tune_model(of, picture, picture > 150, decoding={}, budget=10)
    assert name == "voi" and found.score == 0 and found.options["threshold"] > 100 / 255
    assert min(value for _, value in found.tried) < -0.5  # those that join both


def test_axes_of_a_picture_in_colours_may_be_sections(tmp_path):
    """TIFF says so of three or four sections."""
    tifffile = pytest.importorskip("tifffile")
    values = image((4, 16, 16))
    tifffile.imwrite(tmp_path / "in.tif", values, photometric="rgb", planarconfig="separate")
    assert emfast.open_volume(tmp_path / "in.tif").axes == "cyx"
    of = told([])
    with pytest.warns(UserWarning, match=r"in.tif says that its axes are \(c, y, x\): they are taken for \(z, y, x\)"):
        found = emfast.predict(of, tmp_path / "in.tif", tmp_path / "out.npy")["mask"]
    assert np.array_equal(found, emfast.predict(of, values)["mask"])
    with pytest.warns(UserWarning, match="they are taken for"):
        segments = emfast.segment(tmp_path / "in.tif", tmp_path / "segments.zarr", model=of)
    assert np.array_equal(segments[...], emfast.segment(values, model=of))


@pytest.mark.parametrize(("said", "warned"), [((50, 4, 4), True), ((30, 8, 8), False), (None, False)])
def test_voxels_of_another_size_are_told(said, warned, tmp_path, recwarn):
    with emfast.open_volume(tmp_path / "in.tif", mode="w", shape=(4, 16, 16), dtype="u1", spacing=said) as volume:
        volume[...] = image((4, 16, 16))
    emfast.predict(told([]), tmp_path / "in.tif")
    words = [str(each.message) for each in recwarn.list]
    known = "source has voxels of 50 x 4 x 4 nm, and the network learnt from voxels of 30 x 8 x 8 nm"
    assert words == [known] * warned
