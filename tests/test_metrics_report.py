"""The page of an evaluation, the command that writes it, and its progress."""

import base64
import hashlib
import io
import json
import re
import shutil
import zlib

import numpy as np
import pytest

import emfast
from emfast import _files, metrics
from emfast._progress import Progress, span
from emfast.cli import main


@pytest.fixture(scope="module")
def volumes():
    made = emfast.phantom.make((8, 96, 160), seed=5)
    return made.labels, emfast.segment_affinities(made.affinities, threshold=0.3), made.image


def pictures(text):
    """Widths and heights of the PNG files in a page, each of which is sound."""
    found = []
    for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text):
        png = base64.b64decode(data)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        start = png.index(b"IDAT")
        size = int.from_bytes(png[start - 4 : start], "big")
        zlib.decompress(png[start + 4 : start + 4 + size])
        found.append((int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")))
    return found


def test_a_page_has_scores_conventions_and_slices_of_the_worst_errors(volumes):
    truth, labels, image = volumes
    scores = emfast.evaluate(truth, labels)
    errors = emfast.compare(truth, labels)
    text = metrics.page(scores, errors=errors, truth=truth, labels=labels, image=image, worst=5, title="a < b")
    assert "<title>a &lt; b</title>" in text
    assert all(f"<td>{name}" in text for name in scores)
    assert all(line in text for line in scores.protocol.conventions if not set(line) & set("<>&'"))
    assert (
        pictures(text) == [(128, 96)] * 20
    )  # image, truth, segments, error; as wide as the window, as high as the volume
    assert f"The worst 5 of {len(errors.events)} errors" in text
    assert "http" not in text.replace("http-equiv", "")
    assert pictures(metrics.page(scores, errors=errors, truth=truth, labels=labels, worst=2)) == [(128, 96)] * 6
    assert pictures(metrics.page(scores)) == []


def test_the_parts_of_an_error_are_seen():
    truth = np.zeros((20, 20), np.uint8)
    truth[5:15, 2:18] = 1
    labels = truth.copy()
    labels[:, 10:] *= 2
    errors = emfast.compare(truth, labels)
    tinted = metrics.report._tinted(np.full(truth.shape, 90, np.uint8), _event(errors, 0), truth, labels)
    first, second, outside = tinted[7, 4], tinted[7, 15], tinted[0, 0]
    assert (outside == 90).all()
    assert first[0] > first[2] and second[2] > second[0]  # red, blue
    swapped = emfast.compare(labels, truth)
    other = metrics.report._tinted(np.full(truth.shape, 90, np.uint8), _event(swapped, 0), labels, truth)
    assert np.array_equal(other, tinted)


def test_a_cross_marks_the_place():
    picture = np.zeros((12, 9, 3), np.uint8)
    marked = metrics.report._marked(picture, (3, 14, 26), (3, slice(10, 22), slice(20, 29)))
    assert sorted(zip(*np.nonzero(marked[..., 0]), strict=True)) == sorted(
        [(4 + d, 6) for d in (-4, -3, -2, 2, 3, 4, 5)] + [(4, 6 + d) for d in (-5, -4, -3, -2, 2)]
    )


def _event(errors, row):
    return {name: errors.events[name][row] for name in metrics.report._SHOWN}


def test_no_errors_and_two_dimensions():
    truth = np.array([[1, 1, 2, 2]])
    scores = emfast.evaluate(truth, truth)
    assert "None: both volumes" in metrics.page(scores, errors=emfast.compare(truth, truth), truth=truth, labels=truth)
    other = np.array([[1, 1, 1, 2]])
    text = metrics.page(scores, errors=emfast.compare(truth, other), truth=truth, labels=other)
    assert pictures(text) == [(4, 1)] * (3 * len(emfast.compare(truth, other).events))
    with pytest.raises(ValueError, match="truth and labels must be given to show slices"):
        metrics.page(scores, errors=emfast.compare(truth, other))


def test_a_curve_of_thresholds_is_drawn():
    truth = np.array([[0, 0, 1, 1]])
    scores = emfast.evaluate(truth, np.array([[0.1, 0.4, 0.3, 0.9]]), protocol="lucchi", thresholds=[0.2, 0.35, 0.5])
    assert metrics.page(scores).count("<svg") == 1


def run(capsys, *arguments):
    code = main(["evaluate", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_the_command_prints_writes_and_shows(volumes, tmp_path, capsys):
    truth, labels, image = volumes
    for name, array in (("truth", truth), ("labels", labels), ("image", image)):
        np.save(tmp_path / f"{name}.npy", array)
    out, page, table = tmp_path / "scores.json", tmp_path / "page.html", tmp_path / "errors.csv"
    code, text, _ = run(
        capsys, tmp_path / "truth.npy", tmp_path / "labels.npy", "--protocol", "snemi3d", "--json", out,
        "--report", page, "--errors", table, "--image", tmp_path / "image.npy", "--worst", 3, "--spacing", "30,8,8",
    )  # fmt: skip
    scores = emfast.evaluate(truth, labels, protocol="snemi3d", spacing=(30, 8, 8))
    assert code == 0
    assert f"{scores['adapted_rand_error']:.6g}" in text
    assert json.loads(out.read_text())["scores"] == scores.scores
    assert len(pictures(page.read_text())) == 12
    errors = emfast.compare(truth, labels, spacing=(30, 8, 8))
    assert len(table.read_text().splitlines()) == len(errors.events) + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "errors.csv", "image.npy", "labels.npy", "page.html", "scores.json", "truth.npy",
    ]  # fmt: skip


def test_the_command_reads_zarr_and_hdf5_in_blocks(volumes, tmp_path, capsys):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    truth, labels, _ = volumes
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["volumes/truth"] = truth
    group = zarr.open_group(tmp_path / "pred.zarr", mode="w")
    stored = group.create_array("labels", shape=labels.shape, dtype=labels.dtype, chunks=(4, 32, 32))
    stored[...] = labels
    code, text, _ = run(
        capsys, f"{tmp_path}/truth.h5:volumes/truth", tmp_path / "pred.zarr", "--block", "4,32,32", "--report",
        tmp_path / "page.html", "--worst", 1,
    )  # fmt: skip
    assert code == 0
    assert f"{emfast.evaluate(truth, labels)['voi']:.6g}" in text
    assert len(pictures((tmp_path / "page.html").read_text())) == 3


@pytest.mark.parametrize("place", ["map.zarr", "map.zarr:errors", "map.h5:errors", "map.npy", "map.tif"])
def test_the_command_writes_the_class_of_every_voxel(place, volumes, tmp_path, capsys):
    for library in ("h5py", "zarr", "tifffile"):
        pytest.importorskip(library)
    truth, labels, _ = volumes
    _files.save(tmp_path / "truth.h5", truth)
    np.save(tmp_path / "labels.npy", labels)
    files = [tmp_path / "truth.h5", tmp_path / "labels.npy", "--error-map", tmp_path / place]
    code, text, _ = run(capsys, *files, "--block", "4,32,32", "--spacing", "30,8,8", "--shift", 9)
    assert code == 0 and f"error map: {tmp_path / place}" in text
    errors = emfast.compare(truth, labels, spacing=(30, 8, 8))
    assert np.array_equal(_files.load(tmp_path / place), metrics.error_map(truth, labels, errors, shift=9))
    assert run(capsys, *files)[0] == 0  # over the one before
    assert np.array_equal(_files.load(tmp_path / place), metrics.error_map(truth, labels, errors))
    assert run(capsys, *files, "--protocol", "cremi", "--spacing", "30,8,8")[0] == 0
    errors = metrics.compare_by("cremi", truth, labels, spacing=(30, 8, 8))
    shown = metrics.error_map_by("cremi", truth, labels, errors, spacing=(30, 8, 8))
    assert np.array_equal(_files.load(tmp_path / place), shown) and (shown == 255).mean() > 0.1
    assert len(list(tmp_path.iterdir())) == 3


def test_an_error_map_says_what_it_is(tmp_path, capsys):
    zarr = pytest.importorskip("zarr")
    np.save(tmp_path / "truth.npy", np.ones((2, 3), int))
    files = [tmp_path / "truth.npy", tmp_path / "truth.npy", "--error-map", tmp_path / "map.zarr"]
    assert run(capsys, *files)[0] == 0
    about = dict(zarr.open(str(tmp_path / "map.zarr"), mode="r").attrs)
    assert json.loads(about["classes"])["merge"] == 2
    assert (about["protocol"], about["shift_nm"]) == ("general", 0)


def test_an_error_map_that_fails_is_not_there(volumes, tmp_path, capsys, monkeypatch):
    pytest.importorskip("zarr")
    for name, array in (("truth", volumes[0]), ("labels", volumes[1])):
        np.save(tmp_path / f"{name}.npy", array)

    def fails(*_, out, **__):
        out[:1] = 1
        raise OSError("no space left")

    monkeypatch.setattr(metrics, "error_map_by", fails)
    files = [tmp_path / "truth.npy", tmp_path / "labels.npy", "--error-map", tmp_path / "map.zarr"]
    code, _, told = run(capsys, *files)
    assert code == 2 and "no space left" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.npy", "truth.npy"]


def test_the_command_never_writes_over_what_it_reads(tmp_path, capsys):
    np.save(tmp_path / "truth.npy", np.ones((2, 3), int))
    (tmp_path / "link.npy").symlink_to("truth.npy")
    zarr = pytest.importorskip("zarr")
    zarr.create_array(f"{tmp_path}/labels.zarr", data=np.ones((2, 3), int))
    for target in ("link.npy", "labels.zarr/x.html"):
        code, _, told = run(capsys, tmp_path / "link.npy", tmp_path / "labels.zarr", "--report", tmp_path / target)
        assert code == 2 and "must be a file of its own" in told
    assert run(capsys, tmp_path / "truth.npy", tmp_path / "labels.zarr")[0] == 0


def test_the_command_shows_the_errors_of_the_voxels_that_count(tmp_path, capsys):
    truth, labels = np.ones((4, 6), int), np.repeat([[1, 1, 1, 2, 2, 2]], 4, axis=0)
    for name, array in (("truth", truth.astype(">i8")), ("labels", labels), ("mask", labels == 1)):
        np.save(tmp_path / f"{name}.npy", array)
    files = [tmp_path / "truth.npy", tmp_path / "labels.npy", "--errors", tmp_path / "e.csv"]
    assert run(capsys, *files)[0] == 0
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 2
    assert run(capsys, *files, "--mask", tmp_path / "mask.npy")[0] == 0
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 1


def test_errors_as_parquet_read_back_equal(tmp_path, capsys, volumes):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, array in zip(("truth", "labels"), volumes, strict=False):
        np.save(tmp_path / f"{name}.npy", array)
    assert run(capsys, tmp_path / "truth.npy", tmp_path / "labels.npy", "--errors", tmp_path / "e.parquet")[0] == 0
    table, events = parquet.read_table(tmp_path / "e.parquet"), emfast.compare(*volumes[:2]).events
    assert table["cost"].to_pylist() == events["cost"].tolist()
    assert table.column_names == list(events.flat())


def test_the_card_of_the_command_names_the_files_and_what_they_were(tmp_path, capsys):
    zarr = pytest.importorskip("zarr")
    truth = np.array([[1, 1, 2, 2]], np.uint32)
    np.save(tmp_path / "truth.npy", truth)
    zarr.save_array(str(tmp_path / "labels.zarr"), truth)
    places, card = [tmp_path / "truth.npy", tmp_path / "labels.zarr"], tmp_path / "card.json"
    found = []
    for options in ([], [], ["--no-checksums"]):
        assert run(capsys, *places, "--json", card, *options)[0] == 0
        found.append(json.loads(card.read_text()))
    assert found[0] == found[1]
    assert found[0]["truth"] == str(places[0]) and found[0]["labels"] == str(places[1])
    assert found[0]["truth_file_sha256"] == hashlib.sha256(places[0].read_bytes()).hexdigest()
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(places[1]).as_posix()}\n"
        for path in sorted(p for p in places[1].rglob("*") if p.is_file())
    ]
    assert found[0]["labels_file_sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert not any("sha256" in name for name in found[2] if name != "table_sha256")
    shutil.rmtree(places[1])
    zarr.save_array(str(places[1]), truth[:, ::-1].copy())
    assert run(capsys, *places, "--json", card)[0] == 0
    assert json.loads(card.read_text())["labels_file_sha256"] != found[0]["labels_file_sha256"]


@pytest.mark.parametrize(
    ("protocol", "options"),
    [("lucchi", {}), ("lucchi", {"thresholds": [0.2, 0.6]}), ("platelet", {}), ("isbi2012", {}), ("cremi-clefts", {})],
)
def test_masks_and_classes_show_the_worst_sections(protocol, options):
    rng = np.random.default_rng(0)
    truth = np.zeros((5, 20, 30), np.int64)
    truth[:, 5:15, 5:20] = 1
    labels = truth.copy()
    labels[3, :9] = 0  # 60 voxels are missing
    labels[1, 15:17, 5:20] = 1  # 30 are too many
    image = rng.integers(0, 255, truth.shape).astype(np.uint8)
    if protocol == "isbi2012" or options:
        labels = labels * 0.9
    if protocol == "cremi-clefts":
        truth, labels = (np.where(v, np.uint64(v), np.uint64(2**64 - 1)) for v in (truth, labels))
        options = {"spacing": (40, 4, 4)}
    scores = emfast.evaluate(truth, labels, protocol=protocol, **options)
    text = metrics.page(scores, truth=truth, labels=labels, image=image, worst=9)
    assert "The worst 2 of 5 sections" in text
    assert text.index("Section 3: 60 of 600 voxels are wrong") < text.index("Section 1: 30 of 600 voxels are wrong")
    assert pictures(text) == [(30, 20)] * 8
    assert pictures(metrics.page(scores, truth=truth, labels=labels, worst=1)) == [(30, 20)] * 3
    assert "None: both volumes are the same" in metrics.page(scores, truth=truth, labels=truth)


def test_wide_sections_are_shown_with_fewer_pixels():
    truth = np.ones((2, 1100, 700), np.uint8)
    text = metrics.page(emfast.evaluate(truth, 1 - truth, protocol="lucchi"), truth=truth, labels=1 - truth)
    assert pictures(text) == [(234, 367)] * 6


def test_the_command_lists_protocols(capsys):
    code, text, _ = run(capsys, "--list")
    assert code == 0
    assert all(f"{name}: {protocol.about}" in text for name, protocol in metrics.PROTOCOLS.items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["truth.npy"], "TRUTH and LABELS must be given"),
        (["truth.npy", "none.npy"], "none.npy"),
        (["truth.npy", "truth.npy", "--protocol", "x"], "protocol must be one of"),
        (["truth.npy", "truth.npy", "--protocol", "cremi"], "spacing must be given"),
        (["truth.npy", "truth.npy", "--json", "truth.npy"], "must be a file of its own"),
        (["truth.npy", "truth.npy", "--json", "{here}/truth.npy"], "must be a file of its own"),
        (["truth.npy", "truth.npy", "--json", "x", "--report", "x"], "must be a file of its own"),
        (["truth.npy", "truth.npy", "--image", "truth.npy", "--report", "x"], "--image must be uint8 of the shape of"),
        (["truth.npy", "truth.npy", "--image", "none.npy", "--report", "x"], "none.npy"),
        (["truth.npy", "truth.npy", "--image", "truth.npy", "--json", "x"], "--image needs --report"),
        (["truth.npy", "truth.npy", "--errors", "e.txt"], "--errors must be a file .csv or .parquet"),
        (["truth.npy", "truth.npy", "--protocol", "mitoem", "--bootstrap", "9"], "bootstrap needs a protocol with"),
        (
            ["truth.npy", "truth.npy", "--protocol", "cremi-clefts", "--spacing", "4,4", "--errors", "e.csv"],
            "--errors needs a protocol that takes objects",
        ),
        (["truth.npy", "truth.npy", "--worst", "-1"], "--worst must be at least 0"),
        (["truth.npy", "truth.npy", "--report", "no/page.html"], "must lie in an existing folder"),
        (["truth.npy", "truth.npy", "--protocol", "lucchi", "--errors", "e.csv"], "--errors needs a protocol"),
        (["truth.npy", "truth.npy", "--protocol", "lucchi", "--error-map", "e.npy"], "--error-map needs a protocol"),
        (["truth.npy", "truth.npy", "--error-map", "truth.npy"], "must be a file of its own"),
        (["truth.npy", "truth.npy", "--error-map", "e.npy", "--json", "e.npy"], "must be a file of its own"),
        (["truth.npy", "truth.npy", "--error-map", "e.npz"], "e.npz must end in .zarr, .h5, .npy or .tif"),
        (["truth.npy", "truth.npy", "--error-map", "no/e.npy"], "must lie in an existing folder"),
        (["truth.npy", "truth.npy", "--error-map", "e.npy", "--shift", "9"], "--shift needs --error-map, which it"),
        (["truth.npy", "truth.npy", "--spacing", "9,9", "--shift", "9"], "--shift needs --error-map, which it"),
        (["truth.npy", "truth.npy", "--error-map", "e.npy", "--shift", "-9"], "--shift must be at least 0"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("truth.npy", np.ones((2, 3), int))
    before = (tmp_path / "truth.npy").read_bytes()
    code, _, told = run(capsys, *(a.format(here=tmp_path) for a in arguments))
    assert code == 2
    assert words in told and told.count("\n") == 1
    assert (tmp_path / "truth.npy").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["truth.npy"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_tells_what_is_left_on_a_terminal_alone():
    assert Progress("counting").line(1, 4, 10) == "counting [######                  ]  25 %, 10 s, 30 s left"
    assert Progress("counting").line(4, 4, 10) == "counting [########################] 100 %, 10 s"
    assert [span(s) for s in (0.4, 61, 7300)] == ["0 s", "1 min 1 s", "2 h 1 min"]
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with Progress("counting", stream) as progress:
            progress(1, 2)
            progress(2, 2)
    assert file.getvalue() == ""
    assert "100 %" in terminal.getvalue() and terminal.getvalue().endswith("\x1b[K")


def test_the_command_takes_what_predict_writes_and_tells_of_masks(tmp_path, capsys):
    """One channel; a truth of one label is hardly one object."""
    truth = np.zeros((2, 8, 9), np.uint8)
    truth[:, 1:4, 1:4] = truth[:, 5:7, 5:8] = 1
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "probability.npy", np.float32(truth)[None] * 0.9)
    np.save(tmp_path / "two.npy", np.stack([truth, truth]))
    where = [str(tmp_path / name) for name in ("truth.npy", "probability.npy")]
    assert main(["evaluate", *where, "--protocol", "lucchi", "--json", str(tmp_path / "card.json")]) == 0
    assert json.loads((tmp_path / "card.json").read_text())["scores"]["iou"] == 1
    assert "one label" not in capsys.readouterr().err
    assert main(["evaluate", where[0], where[0]]) == 0
    assert "TRUTH holds one label" in capsys.readouterr().err
    np.save(tmp_path / "objects.npy", emfast.connected_components(truth))
    assert main(["evaluate", str(tmp_path / "objects.npy"), where[0]]) == 0
    assert "one label" not in capsys.readouterr().err
    assert main(["evaluate", where[0], str(tmp_path / "two.npy")]) == 2
    assert "labels must have the shape of truth (2, 8, 9), got (2, 2, 8, 9)" in capsys.readouterr().err
