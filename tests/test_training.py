"""Training: runs that go on are the runs that never stopped, and what a run leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("yaml")

import emfast  # noqa: E402
import vision  # noqa: E402
from emfast import _locks, nn, recipes, training  # noqa: E402
from emfast.augmentation import Augmentation, Noise, deepem  # noqa: E402
from emfast.errors import AnotherJob, Diverged, InUse  # noqa: E402
from emfast.nn.losses import BinaryCrossEntropy  # noqa: E402
from emfast.recipes import Head, Method, Optimiser, Term  # noqa: E402
from emfast.sampling import Piece  # noqa: E402
from emfast.targets import Centre, CentreLine, Membrane, Semantic, Shape  # noqa: E402
from emfast.training import Loop  # noqa: E402
from networks import Tiny  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def method(**settings):
    heads = (Head("mask", Semantic(), (Term(BinaryCrossEntropy()),)),)
    given = {"network": Tiny(dropout=0.3), "heads": heads, "patch": (4, 10, 12), "batch": 2, "steps": 6}
    return Method(**(given | settings))


def tissue(seed=0, shape=(8, 24, 30)):
    made = emfast.phantom.make(shape, seed=seed)
    return np.asarray(made.image), np.asarray(made.labels)


def weights(run, which="last"):
    return {k: v.numpy() for k, v in training.load(run, which, device="cpu").module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


def lines(run):
    """The log without what depends on the clock."""
    timed = ("seconds", "samples_per_s", "wait", "memory")
    return [{k: v for k, v in line.items() if k not in timed} for line in training._log.entries(run)]


class StopAt(training.Hook):
    """Ends a process after a step, as if somebody had pressed Ctrl-C."""

    def __init__(self, step, error=KeyboardInterrupt):
        self.at, self.error = step, error

    def step(self, loop):
        if loop.step == self.at:
            raise self.error


def go(run, of=None, data=None, **options):
    options = {"validate_every": 3, "save_every": 3, "device": "cpu"} | options
    return training.train(of or method(), data or tissue(), run=run, **{"validation": 0.25, **options})


@pytest.mark.parametrize(
    "settings",
    [{}, {"ema": 0.9, "accumulate": 2, "optimiser": Optimiser("sgd", 0.1, nesterov=True, schedule="poly", clip=0.1)}],
    ids=["plain", "rich"],
)
def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path, settings):
    of = method(**settings)
    go(tmp_path / "whole", of)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", of, hooks=[StopAt(5)])
    go(tmp_path / "parts", of)
    for which in ("last", "best"):
        assert same(weights(tmp_path / "whole", which), weights(tmp_path / "parts", which))
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    whole, parts = (training._checkpoint.read(tmp_path / run / "last.pt") for run in ("whole", "parts"))
    assert str(whole["optimiser"]) == str(parts["optimiser"])
    # Dropout is on, and seeds matter: another seed is another run.
    go(tmp_path / "other", of, seed=1)
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "other"))


def test_the_number_of_workers_makes_no_difference(tmp_path):
    for workers in (0, 1, 3):
        go(tmp_path / str(workers), workers=workers)
    assert same(weights(tmp_path / "0"), weights(tmp_path / "1"))
    assert same(weights(tmp_path / "0"), weights(tmp_path / "3"))


def test_what_is_asked_of_another_run_is_refused(tmp_path):
    go(tmp_path)
    with pytest.raises(AnotherJob, match=r"optimiser\.rate was 0\.001 and is 0\.01"):
        go(tmp_path, settings={"optimiser.rate": 0.01})
    with pytest.raises(AnotherJob, match=r"other data .*give another run, or remove this one"):
        go(tmp_path, data=tissue(seed=3))
    with pytest.raises(AnotherJob, match=r"spacing of train\[0\]: \[1.0, 1.0, 1.0\]; now \[30.0, 8.0, 8.0\], "):
        go(tmp_path, spacing=(30, 8, 8))
    with pytest.raises(AnotherJob, match=r"another seed \(0; now 1\)"):
        go(tmp_path, seed=1)
    with _locks.alone(str(tmp_path / ".lock"), "run"), pytest.raises(InUse):
        go(tmp_path)


def test_what_was_refused_or_has_learnt_nothing_is_no_other_run(tmp_path):
    colours = (np.zeros((3, 8, 24, 30), "u1"), tissue()[1])
    with pytest.raises(ValueError, match=r"images must have 1 channels for this method, got \[3\]; .* with channels=3"):
        go(tmp_path / "run", data=colours)
    with pytest.raises(ValueError, match="patch must be"):
        go(tmp_path / "run", method(patch=(4, 4, 4), network=Tiny(padded=False)))
    assert not (tmp_path / "run" / "about.json").exists()
    with pytest.raises(RuntimeError, match="early"):
        go(tmp_path / "run", data=tissue(seed=3), seed=5, hooks=[StopAt(2, RuntimeError("early"))])
    assert (tmp_path / "run" / "about.json").exists()
    go(tmp_path / "run")
    go(tmp_path / "new")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "new"))
    assert lines(tmp_path / "run") == lines(tmp_path / "new")


def test_more_steps_go_on_with_the_same_run(tmp_path):
    go(tmp_path / "whole")
    go(tmp_path / "parts", steps=3)
    go(tmp_path / "parts", steps=6)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    go(tmp_path, steps=4)
    before = (tmp_path / "method.yaml").read_text()
    with pytest.raises(ValueError, match=r"steps must be at least the 4 that .* has done, got 3"):
        go(tmp_path, steps=3)
    assert (tmp_path / "method.yaml").read_text() == before
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"run must be a folder, .* is a file"):
        go(tmp_path / "file")


def test_a_network_learns(tmp_path):
    """The mask is the image above its mean: one threshold, which two convolutions learn."""
    image = np.random.default_rng(0).integers(0, 2, (8, 24, 30), dtype=np.uint8) * 200
    image[:, 0, 0] = 10  # an image of two values would be taken for labels
    of = method(network=Tiny(), steps=60, batch=4, optimiser=Optimiser(rate=0.03))
    go(tmp_path, of, (image, (image > 100).astype(np.uint32)), validate_every=20)
    found = [line for line in training._log.entries(tmp_path) if "validation" in line]
    assert [line["step"] for line in found] == [20, 40, 60]
    assert found[-1]["validation"]["mask/iou"] > 0.95
    assert found[-1]["validation"]["loss"] < 0.2 < found[0]["validation"]["loss"] + 0.2


def test_a_run_leaves_all_that_is_needed(tmp_path):
    model = go(tmp_path, settings={"heads[0].weight": 2.0})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"method.yaml", "about.json", "log.jsonl", "last.pt", "best.pt", "previews", "report.html"}
    assert model.method.heads[0].weight == 2.0
    assert model.method == training.load(tmp_path, device="cpu").method
    first = training._log.entries(tmp_path)[0]
    assert first["loss"] == pytest.approx(2 * first["losses"]["mask"])
    pages = (tmp_path / "report.html").read_text()
    assert "<svg" in pages and "data:image/png" in pages and "http" not in pages
    assert len(list((tmp_path / "previews").glob("*.png"))) == 2
    about = json.loads((tmp_path / "about.json").read_text())
    image = tissue()[0][:6]
    assert about["normalisation"]["shift"] == pytest.approx(image.mean(), rel=1e-12)
    assert about["normalisation"]["scale"] == pytest.approx(image.std(), rel=1e-9)


def test_what_is_not_finite_stops_the_run_and_is_kept(tmp_path):
    image = np.zeros((4, 12, 12), np.float32)
    image[0, 0, 0], image[:, 1, 1] = 1e30, 1e-30
    with pytest.raises(Diverged, match=r"at step 1; its batch is .*diverged-1-0\.npz"):
        go(
            tmp_path,
            method(patch=(3, 12, 12), normalisation=emfast.recipes.Normalisation("unit")),
            (image * 1e8, image > 0),
        )
    with np.load(tmp_path / "diverged-1-0.npz") as kept:
        assert set(kept) == {"0/image", "0/target/mask", "0/weight/mask"}
        assert kept["0/image"].shape == (2, 1, 3, 12, 12)
    assert not (tmp_path / "last.pt").exists()


def test_a_run_without_patience_left_stops(tmp_path):
    of = method(optimiser=Optimiser(rate=0.0), steps=50, network=Tiny())
    go(tmp_path, of, validate_every=2, patience=3)
    assert [line["step"] for line in lines(tmp_path) if "validation" in line] == [2, 4, 6, 8]


def test_auxiliary_outputs_count_as_much_as_the_method_says(tmp_path):
    go(tmp_path, method(network=Tiny(auxiliary=True), auxiliary=(0.5,)))
    first = training._log.entries(tmp_path)[0]
    assert set(first["losses"]) == {"mask", "mask@1"}
    assert first["loss"] == pytest.approx(first["losses"]["mask"] + first["losses"]["mask@1"])
    assert first["losses"]["mask@1"] == pytest.approx(0.5 * first["losses"]["mask"], rel=0.2)  # nearly as hard


@pytest.mark.parametrize(
    ("padding", "strides", "patch"),
    [
        ("valid", ((2, 2, 2), (2, 2, 2)), None),
        ("valid", ((1, 2, 2), (2, 3, 2)), None),
        ("same", ((1, 2, 2), (2, 2, 2)), (4, 8, 12)),
    ],
)
def test_auxiliary_outputs_learn_what_lies_beneath_them(padding, strides, patch):
    """Targets that are places in the image: each coarse voxel has the one of its first voxel, or none."""
    from emfast.inference._constants import Constants
    from emfast.nn.losses import AbsoluteError
    from emfast.training._supervised import Supervised

    levels = tuple(nn.Level(2, stride=stride) for stride in (*strides, (1, 1, 1)))
    network = nn.UNet(levels=levels, norm="none", padding=padding, auxiliary=2)
    geometry = network.geometry()
    if patch is None:
        patch = tuple(n + 20 // s * s for n, s in zip(geometry.least, geometry.stride, strict=True))
    module = network.build(1, {"mask": 3}).train()
    heads = (Head("mask", Semantic(), (Term(AbsoluteError()),)),)
    of = method(network=network, patch=patch, heads=heads, auxiliary=(1.0, 1.0))
    image, labels = tissue(shape=tuple(n + 2 for n in patch))
    teaching = Supervised(of, [Piece(image[None], {"cells": labels})], geometry, Constants(), 0)
    outputs = {}
    with torch.no_grad():
        shapes = {name: x.shape[2:] for name, x in module(torch.zeros(1, 1, *patch)).items()}
    for name, sides in shapes.items():
        place = module.places[name]
        axes = [c + s * torch.arange(n) for c, s, n in zip(place.corner, place.step, sides, strict=True)]
        outputs[name] = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].float()
    target = outputs["mask"].clone()
    batch = {"target/mask": target, "weight/mask": torch.ones_like(target[:, :1])}
    _, by_name = teaching.loss(outputs, batch)
    assert set(by_name) == set(shapes) == {"mask", "mask@1", "mask@2"} and len({*shapes.values()}) == 3
    assert all(float(value) == 0 for value in by_name.values())
    for k in (1, 2):  # and it is all that has a target
        name, place = f"mask@{k}", module.places[f"mask@{k}"]
        inside = [
            [o <= c + s * i < o + full for i in range(n)]
            for c, s, n, o, full in zip(
                place.corner, place.step, shapes[name], module.places["mask"].corner, shapes["mask"], strict=True
            )
        ]
        known = torch.stack(torch.meshgrid(*map(torch.tensor, inside), indexing="ij")).all(0)
        assert known.any()
        wrong = dict(outputs, **{name: outputs[name] + known})
        assert float(teaching.loss(wrong, batch)[1][name]) == 1
        wrong = dict(outputs, **{name: outputs[name] + ~known})
        assert float(teaching.loss(wrong, batch)[1][name]) == 0


def test_a_network_must_say_where_its_auxiliary_outputs_lie():
    outputs = {name: torch.zeros(1, 1, 2, 4, 4) for name in ("mask", "mask@1")}
    batch = {"target/mask": outputs["mask"], "weight/mask": torch.ones(1, 1, 2, 4, 4)}
    whole = {"mask": nn.Place((1, 1, 1), (0, 0, 0))}
    with pytest.raises(ValueError, match="places must say where the output mask@1 lies, got mask"):
        training._supervised.losses(method(auxiliary=(1.0,)), outputs, batch, whole)


def test_targets_of_valid_networks_are_those_of_their_output():
    from emfast.inference._constants import Constants
    from emfast.training._supervised import Supervised

    image, labels = tissue()
    piece = Piece(image[None], {"cells": labels})
    of = method(network=Tiny(padded=False, kernel=5, depth=1), patch=(2, 12, 14))
    geometry = of.network.build(1, of.outputs()).geometry
    crop = Supervised(of, [piece], geometry, Constants(), 0).crop(piece, (3, 1, 2))
    assert (crop["image"][0] == image[3:5, 1:13, 2:16]).all()
    assert (crop["target/mask"][0] == (labels[3:5, 5:9, 6:12] != 0)).all()
    assert crop["weight/mask"].all()


def test_averages_follow_their_formula(tmp_path):
    """One step: w = d * w0 + (1 - d) * w1 with d = 2 / 11, the lesser of .9 and (1 + 1) / (10 + 1)."""
    start = method(ema=0.9, steps=1)
    torch.manual_seed(0)
    before = {k: v.clone() for k, v in start.network.build(1, start.outputs()).state_dict().items()}
    go(tmp_path, start)
    state = training._checkpoint.read(tmp_path / "last.pt")
    for name, value in state["model"].items():
        wanted = 2 / 11 * before[name] + 9 / 11 * state["module"][name]
        torch.testing.assert_close(value, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"best": "nothing"}, "best must be one of loss"),
        ({"precision": "int8"}, "precision must be one of float32"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"settings": {"optimizer.rate": 1}}, "did you mean optimiser"),
        ({"settings": {"channels": 3}}, "images must have 3 channels"),
        ({"of": method(patch=(4, 4, 4), network=Tiny(padded=False))}, r"patch must be \(5, 5, 5\)"),
        ({"of": "nothing"}, "recipe must be one of"),
        ({"data": "nothing"}, "data must be a dataset"),
        ({"seed": 2**64}, "seed must be from 0 to"),
        ({"validation": 1}, "validation must be a share between 0 and 1, got 1"),
        ({"validation": []}, r"validation must have something to judge by, \[\] has no samples"),
        ({"data": (np.zeros((8, 9, 9), "u1"), np.zeros((8, 9, 9), int))}, "data must have labels other than 0"),
        ({"data": (*tissue(), np.zeros((8, 24, 30), bool))}, "data must have labels other than 0 where they are known"),
        ({"data": (tissue()[0], tissue()[1].astype("i2") - 1)}, "labels must be ids from 0 on, got -1 in .*mask"),
        ({"data": (np.zeros((3, 4, 5)), np.zeros((3, 4, 6), int))}, "must have the shape of the image"),
        ({"data": (np.zeros((3, 4, 5)), np.zeros((3, 4, 5)))}, "must be integers"),
    ],
)
def test_mistakes_have_one_clear_error(tmp_path, wrong, words):
    with pytest.raises((ValueError, TypeError), match=words):
        go(tmp_path, **wrong)


def test_labels_below_0_may_be_where_nothing_is_known(tmp_path):
    image, labels = tissue()
    given = labels.astype("i2") - 1
    go(tmp_path, data=(image, given, given >= 0))
    with pytest.raises(ValueError, match="labels must be ids from 0 on, got -1"):
        training.plan((image, given))
    with pytest.raises(ValueError, match="labels must be ids from 0 on, got -1"):
        go(tmp_path / "judged", validation=(image, given))


def test_images_like_labels_are_told(tmp_path):
    image, labels = tissue()
    cells = (labels > 0).astype("u1")
    with pytest.warns(UserWarning, match="has only the values 0 and 1: are image and labels exchanged?"):
        go(tmp_path, data=(cells, image))
    with pytest.warns(UserWarning, match="has only the value 7: are image and labels exchanged?"):
        training.plan((np.full_like(cells, 7), cells))
    dark = image.copy()
    dark[:-1] = 0  # one section is enough, and others need not differ
    dark[-1, 0, :3] = 0, 1, 2
    training.plan((dark, labels))


def test_rates_are_those_of_steps(tmp_path, monkeypatch):
    """By a clock that goes on by half a second in a step and by a hundred between steps."""
    now = [0.0]
    monkeypatch.setattr(training._loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    update = Loop._update

    def slow(self, batches):
        now[0] += 0.5
        return update(self, batches)

    class Away(training.Hook):
        def validate(self, loop, scores):
            now[0] += 100.0

    monkeypatch.setattr(Loop, "_update", slow)
    go(tmp_path, hooks=[Away()], steps=7)
    steps = [line for line in training._log.entries(tmp_path) if "loss" in line]
    assert [line["samples_per_s"] for line in steps] == 7 * [2 / 0.5]
    assert steps[-1]["seconds"] == 203.5


def test_logs_without_a_terminal_have_a_line_for_each_validation(tmp_path, capsys):
    go(tmp_path)
    told = capsys.readouterr().err.splitlines()
    steps = [line for line in training._log.entries(tmp_path) if "loss" in line]
    judged = [line for line in training._log.entries(tmp_path) if "validation" in line]
    assert len(told) == len(judged) == 2
    for line, found in zip(told, judged, strict=True):
        step, scores = found["step"], found["validation"]
        best = ", the best so far" if found["best"] else ""
        named = ", ".join(f"{n} {scores[n]:.4g}" for n in ("mask/iou", "mask/accuracy", "mask/dice", "loss"))
        assert line == f"step {step} of 6: loss {steps[step - 1]['loss']:.4g}; validation: {named}{best}"
    go(tmp_path / "silent", progress=False)
    assert capsys.readouterr().err == ""


def planned(image, labels, **options):
    found, words = training.plan((image, labels), memory="1GB", steps=2, **options)
    return found, "\n".join(words), [type(step).__name__ for step in found.augmentation.steps]


def test_plans_augment_as_patch_and_voxels_allow(tmp_path):
    made = emfast.phantom.make((16, 48, 48), seed=2)
    image, labels = np.asarray(made.image), np.asarray(made.labels)
    usual = ["Flip", "Rotate", "Elastic", "Contrast", "Brightness", "Gamma", "Noise"]
    thick, told, steps = planned(image, labels, spacing=(40, 8, 8))
    assert steps == usual and thick.patch[1] == thick.patch[2]
    flip, turn, bend = thick.augmentation.steps[:3]
    assert (flip.group, turn.angle, bend.distance[0], bend.sigma[0]) == ("xy8z", 180.0, 0.0, 0.0)
    assert "augmentation: flips and quarter turns of sections, turns of sections by up to 180 degrees" in told
    cubic, told, steps = planned(image[:, :16, :16], labels[:, :16, :16], spacing=(8, 8, 8))
    flip, turn, bend = cubic.augmentation.steps[:3]
    assert steps == usual and (flip.group, turn.angle) == ("cube", 180.0)
    assert bend.distance == (32.0, 32.0, 32.0) and bend.sigma == (2.0, 2.0, 2.0)
    long, told, steps = planned(image[:1, :16], labels[:1, :16], spacing=(40, 8, 8))
    flip, turn, bend = long.augmentation.steps[:3]
    assert (flip.group, turn.angle, bend.sigma[0]) == ("xyflips", 15.0, 0.0)
    # It is learnt with.
    small = replace(cubic, network=Tiny(), batch=1, patch=(8, 8, 8))
    emfast.train(small, (image, labels), run=tmp_path, spacing=(8, 8, 8), device="cpu", progress=False)


def test_plans_name_the_recipe_of_cells_that_fill_the_image():
    image, _ = tissue()
    assert "20 % of the image" not in planned(image, np.arange(image.size).reshape(image.shape) % 5 == 0)[1]
    told = planned(image, (np.arange(image.size).reshape(image.shape) % 5 != 0).astype("u1"))[1]
    assert "its mask; it is 80 % of the image: if these are cells parted by membranes, the recipe membranes" in told


def test_pieces_are_read_from_files_and_datasets(tmp_path):
    image, labels = tissue()
    for name, array in (("image", image), ("labels", labels)):
        with emfast.open_volume(tmp_path / f"{name}.tif", mode="w", like=array) as volume:
            volume[...] = array
    found = training.pieces_of((tmp_path / "image.tif", str(tmp_path / "labels.tif")))
    assert len(found) == 1 and found[0].shape == image.shape
    assert (found[0].image[:, 2:5, 3:9, ::] == image[None, 2:5, 3:9]).all()
    first, last = training._pieces.held_out(found, 0.25)
    assert (np.asarray(last[0].labels["labels"][:]) == labels[6:]).all()
    assert first[0].shape[0] == 6


def supervised(target, piece, patch=(4, 10, 12), **settings):
    from emfast.inference._constants import Constants
    from emfast.training._supervised import Supervised

    of = method(heads=(Head("out", target, (Term(BinaryCrossEntropy()),)),), patch=patch, **settings)
    return Supervised(of, [piece], of.network.build(1, of.outputs()).geometry, Constants(), 0)


def thin(shape, spacing=(30.0, 8.0, 8.0), known=None):
    image, labels = tissue(shape=shape)
    masks = {} if known is None else {"cells": np.zeros(shape, bool)}
    for box in known or ():
        masks["cells"][box] = True
    return Piece(image[None], {"cells": labels}, masks, spacing)


def columns(shape):
    """Objects that end nowhere along z."""
    piece = thin(shape)
    return replace(piece, labels={"cells": np.broadcast_to(piece.labels["cells"][:1], shape)})


def named(value):
    """Short ids for tests."""
    return f"{value.shape}" if isinstance(value, Piece) else repr(value)[:40]


ALL = slice(None)


@pytest.mark.parametrize(
    ("target", "piece", "patch", "words"),
    [
        (
            Shape(),
            thin((16, 70, 75)),
            (4, 10, 12),
            r"looks \(8, 30, 30\) voxels around, and in a piece of \(16, 70, 75\)",
        ),
        (CentreLine(), thin((1, 40, 40)), (1, 20, 20), "larger pieces or per_section=True"),
        (Membrane(), thin((1, 40, 40)), (1, 20, 20), "larger pieces or per_section=True"),
        (Membrane(), thin((1, 24, 24)), (1, 24, 24), "known voxels of objects for head out: .* per_section=True"),
        (Centre(per_section=False), columns((20, 30, 30)), (4, 10, 12), "known voxels of objects for head out"),
        (Membrane(), thin((8, 24, 24), known=[(3,)]), (4, 12, 12), "known voxels of objects for head out"),
    ],
    ids=named,
)
def test_heads_of_which_background_alone_counts_are_refused(target, piece, patch, words):
    with pytest.raises(ValueError, match=words):
        supervised(target, piece, patch)


@pytest.mark.parametrize(
    ("target", "piece", "patch"),
    [
        (Shape(), thin((17, 70, 75)), (4, 10, 12)),  # one section counts
        (Shape(), thin((17, 70, 75)), (1, 10, 12)),
        (CentreLine(per_section=True, radius=50.0), thin((1, 60, 60)), (1, 20, 20)),
        (Membrane(per_section=True), thin((1, 24, 24)), (1, 24, 24)),
        (Membrane(), thin((3, 24, 24)), (1, 24, 24)),
        (Membrane(), thin((8, 24, 24), known=[(slice(0, 1), slice(4, 6), slice(20, 23)), (slice(4, 7),)]), (2, 12, 12)),
        (Membrane(), thin((4, 90, 90), known=[(ALL, slice(60, 63), slice(71, 74))]), (2, 6, 6)),  # no crop can tell
        (Semantic(), thin((8, 24, 24), known=[(3, 5, slice(0, 20))]), (4, 12, 12)),
    ],
    ids=named,
)
def test_heads_of_which_something_counts_are_not(target, piece, patch):
    supervised(target, piece, patch)


def test_crops_that_are_looked_at_hold_every_voxel_or_the_middle():
    from emfast.training._supervised import _corners

    for whole, patch, output in (((5, 20, 23), (5, 8, 8), (3, 8, 6)), ((1, 9, 9), (1, 9, 12), (1, 9, 12))):
        corners, complete = _corners(whole, patch, output)
        seen, margin = np.zeros(np.maximum(whole, patch), bool), np.subtract(patch, output) // 2
        for first in np.add(corners, margin):
            seen[tuple(map(slice, first, first + output))] = True
        assert complete and seen[tuple(map(slice, margin, seen.shape - margin))].all()
    corners, complete = _corners((99, 500, 500), (8, 50, 50), (8, 50, 50))
    assert not complete and 24 <= len(corners) <= 32
    assert (np.abs(np.array(corners[0]) - [45.5, 225, 225]) <= [8, 50, 50]).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_values_are_those_of_the_images(dtype):
    """Of 12 bits in 16, and of floats that go from 80 to 170."""
    image, labels = tissue()
    low, high = {"u1": (0, 255), "u2": (0, 4095), "f4": (80, 170)}[dtype]
    image = (low + (image - float(image.min())) / np.ptp(image) * (high - low)).astype(dtype)
    piece = Piece(image[None], {"cells": labels}, {}, (30.0, 8.0, 8.0))
    teaching = supervised(Semantic(), piece, augmentation=Augmentation((Noise(0.05, 0.05),)))
    with_noise = np.concatenate([teaching.sample(k)["image"].ravel() for k in range(20)]).astype(float)
    found = teaching.augmentations[image.dtype]
    assert (found.black is None) == (dtype == "u1")
    if dtype != "u1":
        assert low <= found.black < low + 0.2 * (high - low) and high - 0.2 * (high - low) < found.white <= high
    assert with_noise.min() > low - 0.3 * (high - low) and with_noise.max() < high + 0.3 * (high - low)
    spoilt = supervised(Semantic(), piece, augmentation=deepem())
    assert np.mean([spoilt.sample(k)["image"].max() <= low + 0.02 * (high - low) for k in range(30)]) < 0.2


KILLED = """
import os, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import test_training as t
class Kill(t.training.Hook):
    def step(self, loop):
        if loop.step == 5:
            os.kill(os.getpid(), 9)
t.go({run!r}, hooks=[Kill()], save_every=1)
"""


def test_a_killed_run_goes_on(tmp_path):
    go(tmp_path / "whole", save_every=1)
    code = KILLED.format(tests=str(__import__("pathlib").Path(__file__).parent), run=str(tmp_path / "parts"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == -9, done.stderr
    go(tmp_path / "parts", save_every=1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


def test_gradients_that_processors_get_wrong_are_refused(tmp_path):
    """In 16 bits torch's gradient of a kernel's weights over fewer voxels than it has is not the same twice."""
    image, labels = np.arange(6 * 900).reshape(6, 30, 30).astype("u1"), np.ones((6, 30, 30), "u4")
    head = Head("mask", Semantic(), (Term(BinaryCrossEntropy()),))
    deep = Method(nn.UNet(levels=(nn.Level(4), nn.Level(4))), (head,), (4, 8, 8), steps=1)
    with pytest.raises(ValueError, match=r"precision must be float32 .* \(3, 3, 3\) sees \(2, 4, 4\)"):
        emfast.train(deep, (image, labels), run=tmp_path / "a", precision="bfloat16", device="cpu", progress=False)
    emfast.train(deep, (image, labels), run=tmp_path / "b", device="cpu", progress=False)
    wide = replace(deep, patch=(6, 8, 8))
    emfast.train(wide, (image, labels), run=tmp_path / "c", precision="bfloat16", device="cpu", progress=False)


def test_what_is_judged_must_be_known(tmp_path):
    image, labels = tissue()
    mask = np.zeros(labels.shape, bool)
    with pytest.raises(ValueError, match="validation must have voxels that are known"):
        emfast.train(method(), (image, labels), validation=(image, labels, mask), run=tmp_path / "a", progress=False)
    mask[:2] = True  # most crops have nothing to say
    emfast.train(method(), (image, labels), validation=(image, labels, mask), run=tmp_path / "b", progress=False)
    [*_, last] = [line for line in training._log.entries(tmp_path / "b") if "validation" in line]
    assert last["validation"]["loss"] > 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"best": "mask/typo", "validation": 0.25}, "best must be one of loss, loss/mask, mask/iou, .* 'mask/typo'"),
        ({"best": "mask/iou"}, "best must be left out where nothing is judged"),
        ({"patience": 2}, "patience must be left out where nothing is judged"),
    ],
)
def test_scores_to_choose_by_are_checked_at_once(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        emfast.train(method(), tissue(), run=tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_another_score_to_choose_by_begins_anew(tmp_path):
    options = {"validation": 0.25, "run": tmp_path, "progress": False, "validate_every": 1}
    emfast.train(method(), tissue(), steps=3, best="mask/accuracy", **options)
    emfast.train(method(), tissue(), steps=6, best="loss", **options)
    judged = [line for line in training._log.entries(tmp_path) if "validation" in line]
    assert judged[3]["best"]  # a loss is not compared with an accuracy


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_explained(name):
    """Without weights, also where the network sees more than the image."""
    recipe = recipes.get(name)
    if isinstance(recipe.method.network, nn.MaskRCNN):
        vision.torchvision()
    if isinstance(recipe.method.network, nn.Monai):
        pytest.importorskip("monai")
    found = training.explain(name, calibrate=False)
    assert found.name == name and found.parameters > 0 and found.flops > 0 and found.training > 0
    assert f"{found.parameters:,}" in str(found)
