"""Verbs on volumes larger than memory: what they write into stores is what they write into files; they go on after a
crash, say what they would do, and refuse what they cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emfast
from emfast import blockwise, cli

pytest.importorskip("zarr")

SHAPE, SPACING = (12, 40, 48), (30, 8, 8)
BLOCK = "8,16,24"


@pytest.fixture
def tissue(tmp_path, monkeypatch):
    """A phantom whose affinities and labels lie in the current folder, as a store and as a file each."""
    made = emfast.phantom.make(SHAPE, seed=3, spacing=SPACING)
    monkeypatch.chdir(tmp_path)
    for name, array in (("affinities", made.affinities), ("labels", made.labels), ("mask", made.labels % 5)):
        np.save(f"{name}.npy", array)
        sides = (*array.shape[:-3], 8, 16, 24)
        with emfast.open_volume(f"{name}.zarr", mode="w", like=array, chunks=sides, shards=sides) as volume:
            volume[...] = array
    return made


def run(words, capsys=None):
    assert cli.main(words.split() if isinstance(words, str) else words) == 0, words
    return capsys.readouterr() if capsys else None


def stored(place):
    with emfast.open_volume(place) as volume:
        return volume[...]


@pytest.mark.parametrize(
    "verb, source, options",
    [
        ("components", "labels", ""),
        ("components", "labels", "--connectivity 26 --background none --periodic --dtype uint64"),
        ("distance", "labels", ""),
        ("distance", "labels", "--spacing 30,8,8 --border --squared"),
        ("distance", "labels", "--spacing 30,8,8 --signed"),
        ("watershed", "affinities", ""),
        ("watershed", "affinities", "--low 0.2 --high 0.9 --per-section --dust 5"),
        ("watershed", "affinities", "--low 0.1 --quantile --merge-size 9 --merge-threshold 0.3"),
        ("watershed", "affinities", "--mask mask"),
        ("agglomerate", "affinities", ""),
        ("agglomerate", "affinities", "--threshold=0.3 --score=median --low=0.2 --mask mask"),
        ("agglomerate", "affinities", "--fragments labels"),
        ("dust", "labels", "--below 40"),
        ("dust", "labels", "--below 90 --connectivity 26"),
        ("largest", "labels", "--count 3"),
        ("fill-holes", "labels", ""),
        ("fill-holes", "labels", "--per-section"),
        ("renumber", "labels", "--order size --start 7 --dtype uint32"),
        ("remap", "labels", "--table table.csv --missing keep"),
    ],
)
def test_stores_hold_what_files_hold(verb, source, options, tissue, capsys):
    Path("table.csv").write_text("old,new\n1,70\n2,1\n")
    text = " ".join(f"{w}.npy" if w in ("mask", "labels") else w for w in options.split())
    told = run(f"{verb} {source}.npy out.npy {text}", capsys).out
    wanted = np.load("out.npy")
    text = " ".join(f"{w}.zarr" if w in ("mask", "labels") else w for w in options.split())
    also = run(f"{verb} {source}.zarr out.zarr --block {BLOCK} {text}", capsys)
    assert np.array_equal(stored("out.zarr"), wanted)
    assert stored("out.zarr").dtype == wanted.dtype
    if verb not in ("distance", "remap"):
        assert also.out.partition(";")[0] == told.partition(";")[0]
    assert f"out.zarr: {wanted.shape} {wanted.dtype}, " in also.out
    assert also.err == ""
    assert not os.path.exists("out.zarr.work")
    assert not os.path.exists("out.zarr.lost.json")


@pytest.mark.parametrize("out", ["out.n5", "out.zarr:a/b", "sub/out.zarr"])
def test_other_places_of_stores(out, tissue):
    os.mkdir("sub")
    run(["components", "labels.npy", out, "--memory", "1GB", "--workers", "2"])
    assert np.array_equal(stored(out), emfast.connected_components(tissue.labels))


@pytest.mark.parametrize("out", ["out.npy", "out.npz:a", "out.tif", "out.h5:a/b"])
@pytest.mark.parametrize("verb", ["components labels.zarr", "agglomerate affinities.npy"])
def test_files_are_made_in_blocks_where_that_is_asked_for(out, verb, tissue):
    pytest.importorskip("h5py")
    pytest.importorskip("tifffile")
    run([*verb.split(), out, "--memory", "1GB", "--block", BLOCK])
    run([*verb.split(), "wanted.npy"])
    assert np.array_equal(stored(out), np.load("wanted.npy"))
    assert not [name for name in os.listdir() if name.endswith(".work")]


def test_spacing_and_offset_are_handed_on(tissue):
    whole = emfast.open_volume("labels.zarr", mode="w", like=tissue.labels, spacing=SPACING, offset=(60, 0, 16))
    with whole as volume:
        volume[...] = tissue.labels
    run("components labels.zarr out.zarr")
    with emfast.open_volume("out.zarr") as volume:
        assert (volume.spacing, volume.offset) == (SPACING, (60, 0, 16))


def test_a_tree_is_saved_and_cuts_labels(tissue):
    run("agglomerate affinities.npy one.npy --tree one.npz")
    run(f"agglomerate affinities.zarr out.zarr --tree two.npz --block {BLOCK} --work work")
    assert emfast.MergeTree.load("one.npz") == emfast.MergeTree.load("two.npz")
    assert os.path.isdir("work/fragments.zarr")
    run("remap work/fragments.zarr cut.zarr --tree two.npz --threshold 0.7")
    fragments = stored("work/fragments.zarr")
    assert np.array_equal(stored("cut.zarr"), emfast.MergeTree.load("one.npz").relabel(fragments, 0.7))


@pytest.mark.parametrize(
    "words, ending",
    [
        ("statistics {} out.csv --spacing 30,8,8 --surface --moments --radius", "out.csv"),
        ("contacts {} out.csv --connectivity 26", "out.csv"),
        ("skeletonize {} out.swc --spacing 30,8,8 --dust 20", "out.swc"),
        ("skeletonize {} out.swc --spacing 30,8,8 --memory 1GB", "out.swc"),
    ],
)
def test_tables_and_lines_are_the_same(words, ending, tissue, capsys):
    run(words.format("labels.npy").replace("--memory 1GB", ""))
    wanted = Path(ending).read_bytes()
    os.unlink(ending)
    first = capsys.readouterr().out.partition(";")[0]
    assert run(f"{words.format('labels.zarr')} --block {BLOCK}", capsys).out.partition(";")[0] == first
    assert Path(ending).read_bytes() == wanted
    assert not os.path.exists(f"{ending}.work")


def test_tables_are_those_of_the_calls(tissue):
    run("statistics labels.zarr out.csv --spacing 30,8,8")
    table = emfast.statistics(tissue.labels, spacing=SPACING)
    rows = np.genfromtxt("out.csv", delimiter=",", names=True)
    assert rows["label"].tolist() == table["label"].tolist()
    assert rows["volume"].tolist() == table["volume"].tolist()


def test_parquet_tables(tissue):
    parquet = pytest.importorskip("pyarrow.parquet")
    run("contacts labels.zarr out.parquet")
    table = emfast.contacts(tissue.labels)
    assert parquet.read_table("out.parquet").column("b").to_pylist() == table["b"].tolist()


def test_meshes_of_stores_are_those_of_files(tissue):
    pytest.importorskip("zmesh")
    run("mesh labels.npy one --spacing 30,8,8")
    run(f"mesh labels.zarr two --spacing 30,8,8 --block {BLOCK}")
    one, two = ({path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert sorted(one) == sorted(f"{label}.ply" for label in np.unique(tissue.labels) if label)


# ---- what would be done


@pytest.mark.parametrize(
    "words, plan",
    [
        ("components labels.zarr out.zarr --block 8,16,24 --workers 2", "12 blocks of 8 x 16 x 24 voxels, 2 at once"),
        ("distance labels.zarr out.zarr --block 8,16,24", "1 blocks of 12 x 40 x 48 voxels"),
        ("agglomerate affinities.zarr out.zarr --block 8,16,24", "12 blocks of 8 x 16 x 24 voxels with a halo of 1"),
        ("agglomerate affinities.zarr out.zarr --fragments labels.zarr --block 8,16,24", "12 blocks of 8 x 16 x 24"),
        ("statistics labels.npy out.csv --block 12,20,48 --memory 1GB", "of 1 GB of memory"),
        ("skeletonize labels.zarr out --block 12,20,48", "2 blocks of 12 x 20 x 48 voxels"),
        ("mesh labels.zarr out --block 12,20,48", "2 blocks of 12 x 20 x 48 voxels"),
        ("segment affinities.zarr out.zarr --block 8,16,24", "12 blocks of 8 x 16 x 24 voxels"),
    ],
)
def test_dry_runs_say_the_plan_and_leave_nothing(words, plan, tissue, capsys):
    before = sorted(os.listdir())
    assert plan in run(f"{words} --dry-run", capsys).out
    assert sorted(os.listdir()) == before


def test_plans_read_and_write_nothing(tmp_path):
    shape = (1 << 20, 1 << 15, 1 << 15)  # a petavoxel

    class Empty:
        dtype, ndim = np.dtype("u8"), 3

        def __init__(self):
            self.shape = shape

        def __getitem__(self, _):
            raise AssertionError("it must not be read")

    for operation, options in [
        (blockwise.connected_components, {}),
        (blockwise.edt, {}),
        (blockwise.signed_distance, {"clip": 40}),
        (blockwise.dust, {"below": 3}),
        (blockwise.fill_holes, {}),
        (blockwise.renumber, {}),
        (blockwise.statistics, {"radius": True}),
        (blockwise.contacts, {}),
        (blockwise.skeletonize, {}),
    ]:
        plan = blockwise.plan(operation, Empty(), block=512, memory="400GB", workers=2, **options)
        assert plan.blocks >= 64 * 64 and plan.workers <= 2
    plan = blockwise.plan(blockwise.edt, Empty(), tmp_path / "out.zarr", block=512, memory="400GB", workers=2)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="memory must be at least"):
        blockwise.plan(blockwise.contacts, Empty(), block=512, memory="1GB")


# ---- what goes wrong


@pytest.mark.parametrize(
    "words, message",
    [
        ("components labels.zarr out.zarr --memory much", "memory must be like '4GB'"),
        ("components labels.zarr out.zarr --connectivity 5", "connectivity must be 6, 18 or 26"),
        ("components labels.zarr out.zarr --delta 2", "--delta is not for work in blocks"),
        ("components labels.zarr labels.zarr", "OUT must not be the file of the input too"),
        ("components no.zarr out.zarr", "no.zarr"),
        ("components labels.zarr no/out.zarr", "no/out.zarr must lie in an existing folder"),
        ("components labels.npy no/out.n5", "no/out.n5 must lie in an existing folder"),
        ("watershed affinities.zarr out.zarr --plateau waterz", 'plateau must be "strict" in blocks'),
        ("watershed affinities.zarr out.zarr --mask labels.npy:a", "labels.npy"),
        (
            "agglomerate affinities.zarr out.zarr --score sum",
            "--score must be mean, min, max, median or a quantile in blocks",
        ),
        ("agglomerate affinities.zarr out.zarr --threshold nan", "--threshold must be a number, got nan"),
        ("statistics labels.zarr out.txt", "OUT must be a file .csv or .parquet, got 'out.txt'"),
        ("statistics labels.zarr no/out.csv", "OUT must be a file in an existing folder"),
        ("remap labels.zarr out.zarr", "--table or --tree must be given"),
        ("remap labels.zarr out.zarr --table mask.npy", "mask.npy must have two whole numbers in each line"),
        ("remap labels.npy out.npy --table table.csv", "labels holds 0, which table does not map"),
        (
            "remap labels.npy out.npy --table table.csv --missing none",
            "--missing must be error, keep or a whole number",
        ),
        ("mesh labels.zarr out", "--spacing must be given: labels.zarr does not say"),
    ],
)
def test_mistakes_leave_nothing(words, message, tissue, capsys):
    if words.startswith("mesh"):
        pytest.importorskip("zmesh")
    Path("table.csv").write_text("1,2\n")
    before = sorted(os.listdir())
    assert cli.main(words.split()) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1
    assert sorted(os.listdir()) == before


def damage(place, chunk):
    path = Path(place).joinpath("c", *map(str, chunk))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    "words",
    [
        "components labels.zarr out.zarr",
        "distance labels.zarr out.zarr",
        "watershed affinities.zarr out.zarr",
        "agglomerate affinities.zarr out.zarr",
        "dust labels.zarr out.zarr --below 40",
    ],
)
def test_the_same_command_goes_on(words, tissue, capsys):
    """A damaged chunk stops the run in the middle; mended, the same command ends it."""
    source = words.split()[1]
    sound = {path: path.read_bytes() for path in Path(source).rglob("*") if path.is_file()}
    chunk = damage(source, (0, 1, 1, 1) if source.startswith("aff") else (1, 1, 1))
    words = f"{words} --block {BLOCK}"
    assert cli.main(words.split()) == 1
    assert f"{source}" in capsys.readouterr().err
    assert os.path.isdir("out.zarr.work")
    chunk.write_bytes(sound[chunk])
    run(words)
    assert not os.path.exists("out.zarr.work")
    run(words.replace("out.zarr", "out.npy").replace(f"--block {BLOCK}", "").replace(".zarr", ".npy"))
    assert np.array_equal(stored("out.zarr"), np.load("out.npy"))


@pytest.mark.parametrize("verb", ["components", "segment", "statistics", "skeletonize", "convert", "mesh"])
def test_damaged_chunks_are_skipped_and_told(verb, tissue, capsys, recwarn):
    source, chunk = ("affinities.zarr", (0, 1, 1, 1)) if verb == "segment" else ("labels.zarr", (1, 1, 1))
    out = {"statistics": "out.csv", "skeletonize": "out.swc", "mesh": "out"}.get(verb, "out.zarr")
    if verb == "mesh":
        pytest.importorskip("zmesh")
    damage(source, chunk)
    words = [verb, source, out, *(["--spacing", "30,8,8"] if verb == "mesh" else [])]
    assert cli.main([*words, "--block", BLOCK, "--overwrite"] if verb == "convert" else [*words, "--block", BLOCK]) != 0
    assert source in capsys.readouterr().err
    extra = ["--overwrite"] if verb == "convert" else []
    run([*words, *extra, "--block", BLOCK, "--on-corrupt", "skip"])
    told = [str(warning.message) for warning in recwarn]
    assert any(source in words or "damaged, read as zeros" in words for words in told)
    array = tissue.affinities.copy() if verb == "segment" else tissue.labels.copy()
    array[..., 8:, 16:32, 24:] = 0
    if verb == "segment":
        assert np.array_equal(stored(out), emfast.segment_affinities(array))
        assert source in Path("out.zarr.yaml").read_text()
    elif verb == "components":
        assert np.array_equal(stored(out), emfast.connected_components(array))
    elif verb == "convert":
        assert np.array_equal(stored(out), array)
    elif verb == "statistics":
        rows = np.genfromtxt("out.csv", delimiter=",", names=True)
        assert rows["voxels"].tolist() == emfast.statistics(array)["voxels"].tolist()
    if verb not in ("segment", "convert"):
        (lost,) = json.loads(Path(f"{out}.lost.json").read_text())
        assert lost["box"] == [[8, 12], [16, 32], [24, 48]]


def test_warnings_are_one_line(tissue, monkeypatch):
    damage("labels.zarr", (0, 0, 0))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = ["components", "labels.zarr", "out.zarr", "--on-corrupt", "skip"]
    done = subprocess.run(
        [sys.executable, "-m", "emfast", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.startswith("emfast: 1 damaged piece was taken for zeros: ")
    assert done.stderr.count("\n") == 1


# ---- on a cluster, and in little memory


@pytest.fixture
def address():
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.mark.parametrize(
    "words",
    [
        "components labels.zarr {}",
        "distance labels.zarr {} --spacing 30,8,8",
        "agglomerate affinities.zarr {} --mask mask.zarr",
        "convert labels.zarr {} --dtype uint64 --chunks 8,16,24 --shards 8,16,24",
        "segment affinities.zarr {}",
    ],
)
def test_a_cluster_makes_what_threads_make(words, tissue, address):
    run(f"{words.format('one.zarr')} --block {BLOCK} --workers 2")
    run(f"{words.format('two.zarr')} --block {BLOCK} --dask {address}")
    assert np.array_equal(stored("one.zarr"), stored("two.zarr"))


LIMITED = r"""
import re, sys
from emfast import cli
code = cli.main(sys.argv[1:])
with open("/proc/self/status") as file:
    print(code, int(re.search(r"VmHWM:\s*(\d+) kB", file.read())[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="memory of sanitized runs is another")
@pytest.mark.parametrize(
    "words", ["components", "distance", "dust --below 50", "fill-holes", "renumber", "statistics", "convert"]
)
def test_memory_is_bounded(words, tmp_path, monkeypatch):
    """A volume of 302 MB, of which components alone need four times that in memory."""
    monkeypatch.chdir(tmp_path)
    tissue = emfast.phantom.make((48, 256, 256), seed=1).labels.astype("u8")
    shape = (144, 512, 512)
    options = dict(chunks=(32, 64, 64), shards=(32, 128, 128))
    with emfast.open_volume("labels.zarr", mode="w", shape=shape, dtype="u8", **options) as volume:
        for z in range(0, 144, 48):
            for y in (0, 256):
                for x in (0, 256):
                    volume[z : z + 48, y : y + 256, x : x + 256] = tissue + np.uint64(1000 * (z + y + x))
    verb, *options = words.split()
    out = "out.csv" if verb == "statistics" else "out.zarr"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EMFAST_THREADS": "2"}
    command = [sys.executable, "-c", LIMITED, verb, "labels.zarr", out, *options, "--memory", "250MB"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    code, most = map(int, done.stdout.split("\n")[-2].split())
    assert code == 0, done.stderr
    assert most <= 250e6
