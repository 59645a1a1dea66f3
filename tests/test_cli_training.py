"""The verbs of networks: from an image and labels to evaluated segments, by commands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("yaml")
pytest.importorskip("zarr")

import emfast  # noqa: E402
from emfast import _settings, cli  # noqa: E402
from emfast.nn.losses import BinaryCrossEntropy  # noqa: E402
from emfast.recipes import Head, Method, Normalisation, Optimiser, Term  # noqa: E402
from emfast.targets import Semantic  # noqa: E402
from networks import Edges, Perfect, Tiny, Weighted  # noqa: E402

TERMS = (Term(BinaryCrossEntropy()),)


@pytest.fixture
def places(tmp_path):
    """A stack of sections and its labels; the image of the second one is the labels."""
    made = emfast.phantom.make((8, 40, 48), seed=1)
    labels = np.asarray(made.labels)
    for name, array in (("image.tif", made.image), ("labels.tif", labels), ("told.zarr", labels.astype(np.uint8))):
        with emfast.open_volume(tmp_path / name, mode="w", like=array, spacing=(30, 8, 8)) as volume:
            volume[...] = array
    return tmp_path


def write(path, network, heads, **settings):
    method = Method(network, heads, **({"patch": (4, 12, 12), "steps": 4} | settings))
    _settings.write(method, path)
    return str(path)


def run(*words):
    return cli.main([str(word) for word in words])


def test_from_a_stack_to_evaluated_segments(places, capsys):
    """The network is right from the start, and learns nothing: what is tested is the way."""
    offsets = ((-1, 0, 0), (0, 1, 0), (0, 0, -1), (0, 0, 3))
    recipe = write(
        places / "method.yaml",
        Perfect(offsets),
        (Head("edges", Edges(offsets), TERMS),),
        normalisation=Normalisation("unit"),
        optimiser=Optimiser(rate=0.0),
    )
    data = ["--image", places / "told.zarr", "--labels", places / "labels.tif"]
    assert run("train", "--recipe", recipe, *data, "--run", places / "run", "--validation", "0.25") == 0
    best, model, report, following = capsys.readouterr().out.splitlines()
    judged = json.loads((places / "run" / "log.jsonl").read_text().splitlines()[-1])["validation"]
    told = ", ".join(f"{n} {judged[n]:.4g}" for n in ("edges/iou", "edges/accuracy", "edges/dice", "loss"))
    assert best == f"best at step 4: {told}"
    assert model.endswith("best.pt") and report.endswith("report.html")
    assert following == f"next: emfast segment IMAGE OUT --model {places / 'run'}"
    assert "adapted Rand error" in (places / "run" / "report.html").read_text()
    segments = places / "segments.zarr"
    assert run("segment", places / "told.zarr", segments, "--model", places / "run", "--threshold", "0.5") == 0
    assert run("evaluate", places / "labels.tif", segments, "--protocol", "general") == 0
    truth = emfast.connected_components(np.asarray(emfast.open_volume(places / "told.zarr")[...]))
    found = np.asarray(emfast.open_volume(segments)[...])
    counts = emfast.contingency(truth, found)
    assert counts.voi() == (0.0, 0.0) and ((found > 0) == (truth > 0)).all()
    # In memory, in blocks and by the call it is the same.
    again = emfast.segment(truth.astype(np.uint8), model=places / "run")
    assert (np.asarray(again) == emfast.renumber(found)[0]).all()
    assert run("predict", places / "run", places / "told.zarr", places / "out.zarr", "--dtype", "uint8") == 0
    out = emfast.open_volume(places / "out.zarr")
    assert out.shape == (4, 8, 40, 48) and out.dtype == np.uint8 and out.spacing == (30, 8, 8)


def test_a_decoder_is_tuned_where_the_truth_is_known(places, capsys):
    """The mask is the image itself: its threshold parts what is bright from what is less so."""
    image = np.zeros((4, 16, 16), np.uint8)
    image[:, 2:8, 2:8], image[:, 10:14, 2:14] = 200, 90
    for name, array in (("bright.tif", image), ("truth.tif", (image > 100).astype(np.uint8))):
        with emfast.open_volume(places / name, mode="w", like=array, spacing=(30, 8, 8)) as volume:
            volume[...] = array
    settings = {"normalisation": Normalisation("unit"), "optimiser": Optimiser(rate=0.0)}
    head = Head("mask", Semantic(), TERMS, activation="none")
    recipe = write(places / "method.yaml", Weighted(), (head,), **settings)
    data = ["--image", places / "bright.tif", "--labels", places / "truth.tif"]
    assert run("train", "--recipe", recipe, *data, "--run", places / "run", "--set", "normalisation.kind=unit") == 0
    capsys.readouterr()
    assert run("tune", places / "run", places / "bright.tif", places / "truth.tif", "--set", "tile=null") == 0
    told = capsys.readouterr().out
    assert "iou: 1.0000 by default, 1.0000 in the best of" in told and "--decoding threshold=0.5" in told
    with emfast.open_volume(places / "all.tif", mode="w", like=image, spacing=(30, 8, 8)) as volume:
        volume[...] = image > 0
    assert run("tune", places / "run", places / "bright.tif", places / "all.tif", "--budget", 8) == 0
    told = capsys.readouterr().out
    assert "iou: 0.4286 by default, 1.0000 in the best of 8 with" in told and "--decoding threshold=0.25" in told
    for name, array in (("flat.png", image[0]), ("flat-truth.png", (image[0] > 0).astype(np.uint8))):
        with emfast.open_volume(places / name, mode="w", like=array) as volume:
            volume[...] = array
    assert run("tune", places / "run", places / "flat.png", places / "flat-truth.png", "--budget", 8) == 0
    assert "iou: 0.4286 by default, 1.0000 in the best of 8 with" in capsys.readouterr().out
    assert run("tune", places / "run", places / "bright.tif", places / "labels.tif") == 2
    assert "truth must have the shape of source, (4, 16, 16), got (8, 40, 48)" in capsys.readouterr().err
    # What is found is what `segment` makes of it, and what is said of the decoder stays.
    words = ("--decoding", "below=3", "--label", 1, "--which", "last", "--set", "tile=null")
    assert run("tune", places / "run", places / "bright.tif", places / "all.tif", "--budget", 8, *words) == 0
    told = capsys.readouterr().out.splitlines()[-1].split()
    assert told[:2] == ["--decoding", "below=3"] and told.count("--decoding") == 2
    more = ("--model", places / "run", "--which", "last", "--set", "tile=null", *told)
    assert run("segment", places / "bright.tif", places / "found.zarr", *more) == 0
    assert ((emfast.open_volume(places / "found.zarr")[...] > 0) == (image > 0)).all()
    assert run("segment", places / "bright.tif", places / "other.zarr", "--which", "last") == 2
    assert "--which needs --model" in capsys.readouterr().err


def test_a_run_is_told_how_to_go_on_and_does(places, capsys):
    recipe = write(places / "method.yaml", Tiny(dropout=0.2), (Head("mask", Semantic(), TERMS),), steps=6)
    words = ["train", "--recipe", recipe, "--image", places / "image.tif", "--labels", places / "labels.tif"]
    assert run(*words, "--run", places / "run", "--set", "batch=2", "--validation", "0.25", "--seed", 3) == 0
    assert run(*words, "--run", places / "run", "--set", "batch=2", "--validation", "0.25", "--seed", 3) == 0
    capsys.readouterr()
    assert run(*words, "--run", places / "run", "--validation", "0.25", "--seed", 3) == 2
    assert "batch was 2 and is 1" in capsys.readouterr().err
    assert run(*words, "--run", places / "run", "--resume", "never") == 2
    assert "--run must be a new folder" in capsys.readouterr().err
    assert run("segment", places / "image.tif", places / "s.zarr", "--model", places / "run", "--memory", "1kB") == 2
    assert "must fit into memory for the decoder of this model" in capsys.readouterr().err
    assert run("segment", places / "image.tif", places / "s.zarr", "--model", places / "run") == 0
    assert emfast.open_volume(places / "s.zarr").shape == (8, 40, 48)
    assert run("recipes") == 0


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import networks, torch
torch.set_num_threads(1)
from emfast import cli, training
log = training._log.Log.report
def report(self, loop, told):
    log(self, loop, told)
    if told["step"] == 3:
        os.kill(os.getpid(), signal.SIGINT)
training._log.Log.report = report
sys.exit(cli.main(sys.argv[1:]))
"""


def test_ctrl_c_keeps_what_was_learnt(places):
    recipe = write(places / "method.yaml", Tiny(), (Head("mask", Semantic(), TERMS),), steps=1000)
    words = ["train", "--recipe", recipe, "--image", str(places / "image.tif"), "--labels", str(places / "labels.tif")]
    code = INTERRUPTED.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, *words, "--run", str(places / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "the same command goes on" in done.stderr and len(done.stderr.splitlines()) == 1
    assert 3 <= torch.load(places / "run" / "last.pt", weights_only=True)["step"] <= 5


@pytest.mark.skipif(not hasattr(emfast.nn, "cost"), reason="costs are counted by emfast.nn")
def test_methods_are_explained_and_planned(places, capsys):
    data = ["--image", places / "image.tif", "--labels", places / "labels.tif"]
    out = places / "plan.yaml"
    assert run("plan", *data, "--out", out, "--memory", "1GB", "--steps", 2) == 0
    told = capsys.readouterr()
    assert "dense" in told.out and "augmentation: flips" in told.out and told.err == ""
    train = f"emfast train --recipe {out} --image {data[1]} --labels {data[3]} --run run"
    assert told.out.splitlines()[-1].startswith(f"next: emfast explain {out} ") and told.out.endswith(f"{train}\n")
    with emfast.open_volume(places / "silent.tif", mode="w", like=np.zeros((8, 40, 48), np.uint8)) as volume:
        volume[...] = emfast.open_volume(data[1])[...]
    silent = ["--image", places / "silent.tif", "--labels", places / "labels.tif", "--memory", "1GB"]
    assert run("plan", *silent, "--out", places / "silent.yaml") == 0
    assert "emfast plan: " in (told := capsys.readouterr().err) and "voxels of 1 nm are meant" in told
    assert run("plan", *silent, "--out", places / "said.yaml", "--spacing", "30,8,8") == 0
    told = capsys.readouterr()
    assert told.err == "" and "--spacing 30,8,8 --run run" in told.out
    assert run("explain", out, "--no-times") == 0
    told = capsys.readouterr().out
    assert "parameters" in told and "Mvoxels/s" not in told
    assert run("plan", *data, "--out", out) == 2
    assert "--out must be a new file" in capsys.readouterr().err
    method = _settings.read(Method, out)
    assert method.heads[0].name == "affinities" and method.batch >= 2
    assert all(p <= n for p, n in zip(method.patch, (8, 40, 48), strict=True))


@pytest.mark.slow
def test_processes_share_batches(places):
    """Two processes with half of each batch learn what one does, up to rounding."""
    recipe = write(places / "method.yaml", Tiny(), (Head("mask", Semantic(), TERMS),), batch=4)
    words = ["train", "--recipe", recipe, "--image", str(places / "image.tif"), "--labels", str(places / "labels.tif")]
    start = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import networks, torch; torch.set_num_threads(1)\nfrom emfast import cli\nsys.exit(cli.main(sys.argv[1:]))\n"
    )
    (places / "start.py").write_text(start)
    common = [str(places / "start.py"), *words, "--device", "cpu", "--run"]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run([sys.executable, *common, str(places / "one")], check=True, timeout=120, env=environment)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--"]
    subprocess.run([*torchrun, *common, str(places / "two")], check=True, timeout=200, env=environment)
    one, two = (torch.load(places / name / "last.pt", weights_only=True)["model"] for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "--recipe", "x", "--run", "r"], "--data or --image and --labels must be given"),
        (["train", "--recipe", "x", "--run", "r", "--image", "a"], "--labels must be given once for each of 1"),
        (["predict", "nowhere", "a", "b"], "there is none in nowhere"),
        (["explain", "nothing"], "recipe must be one of"),
        (["segment", "a", "b", "--decoding", "x=1"], "--decoding needs --model"),
        (["segment", "a", "b", "--model", "r", "--recipe", "x"], "--recipe must be left out with --model"),
    ],
)
def test_mistakes_have_one_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert told in capsys.readouterr().err
