"""The command line: exit codes, friendly errors, and a demo that leaves a picture."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emfast
from emfast import cli


def test_info_names_version_threads_and_cuda(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert emfast.__version__ in text
    assert "_core" in text
    assert f"{emfast.get_threads()} of" in text
    assert "CUDA is" in text


def test_doctor_finds_a_working_install(capsys):
    assert cli.main(["doctor"]) == 0
    assert "All is well." in capsys.readouterr().out


def test_doctor_reports_what_fails(capsys, monkeypatch):
    monkeypatch.setattr(cli, "PHANTOM_CRC", 1)
    monkeypatch.setattr(cli, "__version__", "0")
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "2 of" in text
    assert "two installations are mixed" in text


def test_demo_writes_a_picture_and_a_page(capsys, tmp_path):
    assert cli.main(["demo", "--out", str(tmp_path), "--shape", "9,70,60", "--seed", "4", "--steps", "0"]) == 0
    text = capsys.readouterr().out
    assert "affinities given" in text and "bits merged" in text
    data = (tmp_path / "emfast-demo" / "emfast-demo.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:4] == b"\x89PNG"
    assert (width, height) == (2 * 3 * 60 + 6, 2 * 3 * 70 + 6)  # two panels by two, three pixels for a voxel
    page = (tmp_path / "emfast-demo" / "report.html").read_text()
    assert page.count("<img") > 4 and "adapted_rand_error" in page


def test_demo_trains_a_network(capsys, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("yaml")
    words = ["demo", "--out", str(tmp_path), "--shape", "3,40,30", "--steps", "2"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "affinities by a network" in text and "emfast train --recipe affinities" in text
    folder = tmp_path / "emfast-demo"
    arrays = {f"{name}.npy" for name in ("image", "segments", "truth", "train-image", "train-labels")}
    assert {path.name for path in folder.iterdir()} == {"emfast-demo.png", "report.html", "run", *arrays}
    before = np.load(folder / "segments.npy")
    assert cli.main(words) == 0  # what was learnt is kept
    assert np.array_equal(np.load(folder / "segments.npy"), before)
    assert cli.main([*words, "--seed", "1"]) == 0  # another one begins anew


@pytest.mark.parametrize("shape", ["1,1,1", "1,40,3", "3,1,200"])
def test_demo_takes_any_shape(shape, tmp_path):
    assert cli.main(["demo", "--out", str(tmp_path), "--shape", shape, "--steps", "0"]) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["demo", "--out", "/no/such/folder"], "--out must be an existing folder, got '/no/such/folder'"),
        (["demo", "--seed", "-1", "--steps", "0"], "seed must be from 0"),
        (["demo", "--threads", "-2"], "n must be an integer from 0"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("arguments", [["demo", "--shape", "3,4"], ["demo", "--shape", "0,4,4"], ["nonsense"], []])
def test_unreadable_arguments_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_interrupts_end_with_code_130(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "info", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


# Verbs on files


@pytest.fixture
def tissue(tmp_path, monkeypatch):
    """A phantom whose affinities and labels lie in the current folder."""
    made = emfast.phantom.make((8, 40, 50), seed=3)
    monkeypatch.chdir(tmp_path)
    np.save("affinities.npy", made.affinities)
    np.savez("labels.npz", a=made.labels)
    return made


def written(path="out.npy"):
    return np.load(path)


@pytest.mark.parametrize(
    "arguments, options",
    [
        ([], {}),
        (["--low", "0.2", "--high", "0.9", "--plateau", "waterz"], dict(low=0.2, high=0.9, plateau="waterz")),
        (["--low", "0.1", "--quantile", "--per-section"], dict(low=0.1, quantile=True, per_section=True)),
        (["--merge-size", "9", "--merge-threshold", "0.3"], dict(merge_size=9, merge_threshold=0.3)),
        (["--dust", "5", "--threads", "1"], dict(dust=5)),
    ],
)
def test_watershed_is_the_call(arguments, options, tissue, capsys):
    assert cli.main(["watershed", "affinities.npy", "out.npy", *arguments]) == 0
    emfast.set_threads(0)
    wanted, count = emfast.watershed(tissue.affinities, return_count=True, **options)
    assert written().dtype == wanted.dtype
    assert np.array_equal(written(), wanted)
    text = capsys.readouterr()
    assert text.out.startswith(f"{count} fragments; out.npy: (8, 40, 50) uint32, ")
    assert text.err == ""  # progress is for those who look


def test_masks_are_files_too(tissue):
    mask = (np.indices((8, 40, 50)).sum(axis=0) % 7 > 1).astype(np.uint8) * 255
    np.save("mask.npy", mask)
    assert cli.main(["watershed", "affinities.npy", "out.npy", "--mask", "mask.npy"]) == 0
    assert np.array_equal(written(), emfast.watershed(tissue.affinities, mask=mask != 0))


@pytest.mark.parametrize(
    "mask, message",
    [(np.full((8, 40, 50), np.nan), "NaN"), (np.full((8, 40, 50), "a"), "<U1"), (np.array(["b"]), "<U1")],
)
def test_masks_are_numbers(mask, message, tissue, capsys):
    np.save("mask.npy", mask)
    assert cli.main(["watershed", "affinities.npy", "out.npy", "--mask", "mask.npy"]) == 2
    assert message in capsys.readouterr().err


def test_agglomerate_is_the_steps_in_one(tissue, capsys):
    assert cli.main(["agglomerate", "affinities.npy", "out.npy"]) == 0
    wanted = emfast.segment_affinities(tissue.affinities)
    assert np.array_equal(written(), wanted)
    assert f"{wanted.max()} segments; out.npy" in capsys.readouterr().out
    assert cli.main(["agglomerate", "affinities.npy", "out.npy", "--threshold=0.3", "--score=median", "--low=0.2"]) == 0
    assert np.array_equal(
        written(), emfast.segment_affinities(tissue.affinities, threshold=0.3, score="median", low=0.2)
    )


def test_agglomerate_takes_fragments_and_saves_the_tree(tissue):
    fragments = emfast.watershed(tissue.affinities, low=0.3)
    np.save("fragments.npy", fragments)
    command = ["agglomerate", "affinities.npy", "out.npy", "--fragments", "fragments.npy", "--tree", "tree.npz"]
    assert cli.main(command) == 0
    tree = emfast.MergeTree.load("tree.npz")
    assert tree == emfast.agglomerate(emfast.region_graph(tissue.affinities, fragments))
    assert np.array_equal(written(), emfast.renumber(tree.relabel(fragments, 0.5))[0])


def test_components_is_the_call(tissue, capsys):
    assert cli.main(["components", "labels.npz:a", "out.npy"]) == 0
    wanted, count = emfast.connected_components(tissue.labels, return_count=True)
    assert written().dtype == wanted.dtype
    assert np.array_equal(written(), wanted)
    assert capsys.readouterr().out.startswith(f"{count} components; ")
    options = ["--connectivity", "26", "--background", "none", "--periodic", "--dtype", "uint64"]
    assert cli.main(["components", "labels.npz", "out.npy", *options]) == 0
    wanted = emfast.connected_components(tissue.labels, connectivity=26, background=None, periodic=True, dtype="uint64")
    assert written().dtype == wanted.dtype
    assert np.array_equal(written(), wanted)
    assert cli.main(["components", "labels.npz", "out.npy", "--delta", "1"]) == 0
    assert np.array_equal(written(), emfast.connected_components(tissue.labels, delta=1))


def test_distance_is_the_call(tissue):
    spaced = dict(spacing=(30, 8, 8), border=True)
    assert cli.main(["distance", "labels.npz", "out.npy"]) == 0
    assert np.array_equal(written(), emfast.edt(tissue.labels))
    assert cli.main(["distance", "labels.npz", "out.npy", "--spacing", "30,8,8", "--border", "--squared"]) == 0
    assert np.array_equal(written(), emfast.edt(tissue.labels, squared=True, **spaced))
    assert cli.main(["distance", "labels.npz", "out.npy", "--spacing", "30,8,8", "--border", "--signed"]) == 0
    assert np.array_equal(written(), emfast.signed_distance(tissue.labels, **spaced))


@pytest.mark.parametrize(
    "arguments, options",
    [
        ([], {}),
        (["--spacing", "30,8,8", "--scale", "2", "--const", "50"], dict(spacing=(30, 8, 8), scale=2, const=50)),
        (["--penalty", "100", "--exponent", "2", "--border"], dict(penalty=100, exponent=2, border=True)),
        (["--dust", "60", "--min-length", "9"], dict(dust=60, min_length=9)),
    ],
)
def test_skeletonize_is_the_call(arguments, options, tissue, capsys, tmp_path):
    wanted = emfast.skeletonize(tissue.labels, **options)
    assert (wanted == emfast.skeletonize(tissue.labels)) == (not options)
    wanted.to_swc("wanted")
    assert cli.main(["skeletonize", "labels.npz", "out", *arguments]) == 0
    assert capsys.readouterr().out.startswith(f"{len(wanted)} skeletons; out: {len(wanted.voxels)} vertices, ")
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "wanted").iterdir()}
    assert sorted(files) == sorted(f"{label}.swc" for label in wanted)
    for _ in range(2):  # a file may be written again
        assert cli.main(["skeletonize", "labels.npz:a", "all.swc", *arguments]) == 0
    wanted.to_swc("wanted.swc")
    assert (tmp_path / "all.swc").read_bytes() == (tmp_path / "wanted.swc").read_bytes()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["watershed", "no.npy", "out.npy"], "/no.npy'"),
        (["watershed", "affinities.npy", "out.png"], "files must end in .npy"),
        (["watershed", "affinities.npy", "no/out.npy"], "no/out.npy must lie in an existing folder"),
        (["watershed", "labels.npz", "out.npy"], "affinities must be"),
        (["watershed", "affinities.npy", "out.npy", "--low", "2"], "low and high must satisfy"),
        (["agglomerate", "affinities.npy", "out.npy", "--score", "best"], "score must be"),
        (
            ["agglomerate", "affinities.npy", "out.npy", "--score", "quantile:1/0"],
            "score quantile:q needs q from 0 to 1",
        ),
        (["agglomerate", "affinities.npy", "out.npy", "--score", "9" * 400], "score must be a name or a formula"),
        (["agglomerate", "affinities.npy", "out.npy", "--threshold", "nan"], "--threshold must be a number, got nan"),
        (["agglomerate", "affinities.npy", "out.npy", "--tree", "tree.txt"], "--tree must be a file that ends in .npz"),
        (["agglomerate", "affinities.npy", "out.npy", "--fragments", "affinities.npy"], "fragments must"),
        (["components", "labels.npz:b", "out.npy"], "got 'b'; it holds a"),
        (["components", "labels.npz", "out.npy", "--connectivity", "5"], "connectivity must be one of 6, 18, 26"),
        (["distance", "labels.npz", "out.npy", "--spacing", "1,0,1"], "spacing must be positive"),
        (["skeletonize", "no.npy", "out"], "/no.npy'"),
        (["skeletonize", "affinities.npy", "out"], "labels must be 2D or 3D"),
        (["skeletonize", "labels.npz", "no/out"], "no/out must lie in an existing folder, got 'no'"),
        (["skeletonize", "labels.npz", "affinities.npy"], "OUT must be a new or empty folder, or a file that ends in"),
        (["skeletonize", "labels.npz", "."], "OUT must be a new or empty folder"),
        (["skeletonize", "labels.npz", "out.swc", "--scale", "nan"], "scale must be a number, got nan"),
        (["skeletonize", "labels.npz", "out.swc", "--dust", "-1"], "dust must be a whole number"),
    ],
)
def test_mistakes_on_files_leave_nothing(arguments, message, tissue, capsys, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    assert cli.main(arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.startswith(f"emfast {arguments[0]}: ")
    assert text.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["watershed", "affinities.npy", "affinities.npy"], "OUT must not be the file of the input too"),
        (["components", "labels.npz:a", "labels.npz:b"], "OUT must not be the file of the input too"),
        (["watershed", "affinities.npy", "mask.npy", "--mask", "mask.npy"], "OUT must not be the file of --mask too"),
        (
            ["agglomerate", "affinities.npy", "f.npy", "--fragments", "./f.npy"],
            "OUT must not be the file of --fragments too",
        ),
        (["agglomerate", "affinities.npz:a", "out.npy", "--tree", "affinities.npz"], "--tree must not be the file of"),
        (["agglomerate", "affinities.npy", "out.npz", "--tree", "out.npz"], "OUT must not be the file of --tree too"),
        (
            ["agglomerate", "affinities.npy", "out.npy", "--fragments", "labels.npz:a", "--tree", "link.npz"],
            "--tree must not be the file of --fragments too",
        ),
    ],
)
def test_inputs_are_not_overwritten(arguments, message, tissue, capsys, tmp_path):
    np.save("mask.npy", np.ones((8, 40, 50), bool))
    np.save("f.npy", tissue.labels)
    np.savez("affinities.npz", a=tissue.affinities)
    (tmp_path / "link.npz").symlink_to("labels.npz")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert cli.main(arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_hdf5_files_take_another_array(tissue, capsys):
    h5py = pytest.importorskip("h5py")
    with h5py.File("volume.h5", "w") as file:
        file["labels"] = tissue.labels
    assert cli.main(["distance", "volume.h5", "volume.h5:labels"]) == 2
    assert "OUT must not be the file of the input too, got 'volume.h5' for both" in capsys.readouterr().err
    assert cli.main(["distance", "volume.h5:labels", "volume.h5:distance"]) == 0
    with h5py.File("volume.h5") as file:
        assert np.array_equal(file["labels"], tissue.labels)
        assert np.array_equal(file["distance"], emfast.edt(tissue.labels))


def test_scores_are_read_before_the_work(tissue, monkeypatch, capsys):
    monkeypatch.setattr("emfast.fragments.watershed", lambda *_, **__: 1 / 0)
    assert cli.main(["agglomerate", "affinities.npy", "out.npy", "--score", "best"]) == 2
    assert "score must be a name or a formula" in capsys.readouterr().err


@pytest.mark.parametrize("spacing", ["1,x,3", ""])
def test_spacings_that_are_none(spacing, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["distance", "a.npy", "b.npy", "--spacing", spacing])
    assert stop.value.code == 2
    assert "must be numbers like 40,4,4" in capsys.readouterr().err


def test_a_missing_library_says_how_to_get_it(tissue, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert cli.main(["distance", "labels.npz", "out.tif"]) == 2
    assert "out.tif needs tifffile: pip install 'emfast[io]'" in capsys.readouterr().err


def test_progress_is_shown_on_a_terminal(tissue, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["agglomerate", "affinities.npy", "out.npy"]) == 0
    text = capsys.readouterr().err
    assert all(f"  {step} …" in text for step in ("reading", "watershed", "region graph", "merging", "writing"))
    assert text.endswith("\r\x1b[K")


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "emfast", "--version"],
        env=dict(os.environ, PYTHONPATH=str(Path(emfast.__file__).parents[1])),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"emfast {emfast.__version__}\n"


def test_bench_times_the_main_calls(capsys, tmp_path):
    assert cli.main(["bench", "--size", "24", "--rounds", "1", "--json", str(tmp_path / "b.json")]) == 0
    text, found = capsys.readouterr().out, json.loads((tmp_path / "b.json").read_text())
    assert found["size"] == 24 and found["threads"] == emfast.get_threads()
    assert len(found["seconds"]) == 11
    for name, seconds in found["seconds"].items():
        assert seconds > 0
        assert f"\n{name} " in text and callable(getattr(emfast, name, None) or emfast.MergeTree.relabel)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--size", "0"], "--size must be from 1 to 4096, got 0"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--json", "/no/such/b.json"], "--json must be a file in an existing folder"),
    ],
)
def test_bench_says_what_it_wants(arguments, words, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err
