"""The whole way from affinities to segments: as in memory, kept, gone on with, told beforehand."""

import json
import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import pipeline
from emfast.blockwise._run import clear
from emfast.cli import main
from test_blockwise import affinity_arrays, equal, layout

SHARP = {"watershed": {"low": 0.2, "high": 0.9}}


@pytest.fixture(scope="module")
def tissue():
    return emfast.phantom.make((40, 64, 72), seed=5).affinities


@pytest.fixture
def source(tmp_path, tissue):
    pytest.importorskip("zarr")
    place = tmp_path / "affinities.zarr"
    with emfast.open_volume(place, mode="w", shape=tissue.shape, dtype=tissue.dtype, spacing=(40, 4, 4)) as volume:
        volume[...] = tissue
    return place


@given(st.data(), affinity_arrays())
def test_segments_are_those_of_memory(data, affinities):
    shape = affinities.shape[1:]
    thresholds = data.draw(st.lists(st.sampled_from([0, 0.3, 0.5, 1.0]), min_size=1, max_size=3, unique=True))
    score = data.draw(st.sampled_from(["mean", "max", "median"]))
    low, high = data.draw(st.sampled_from([(0, 0.9), (0.1, 1.0), (0.3, 0.6)]))
    mask = None
    if data.draw(st.booleans()):
        mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < 0.8
    recipe = {"watershed": {"low": float(low), "high": high}, "agglomeration": {"score": score}}
    found = emfast.segment(affinities, thresholds=thresholds, recipe=recipe, mask=mask, **layout(data.draw, shape))
    wanted = emfast.segment_affinities(affinities, threshold=thresholds, score=score, low=low, high=high, mask=mask)
    for a, b in zip(found if len(thresholds) > 1 else [found], wanted, strict=True):
        equal(a, b)


def test_from_a_file_to_a_file(tmp_path, tissue, source):
    found = emfast.segment(source, tmp_path / "segments.zarr", thresholds=0.6, recipe=SHARP, block=(16, 32, 32))
    equal(found[...], emfast.segment_affinities(tissue, threshold=0.6, low=0.2, high=0.9))
    assert found.spacing == (40, 4, 4)
    recipe = pipeline.read_recipe(tmp_path / "segments.zarr.yaml")
    assert recipe == pipeline.Recipe(thresholds=(0.6,), watershed=pipeline.Watershed(low=0.2, high=0.9))
    text = (tmp_path / "segments.zarr.yaml").read_text()
    assert text.startswith(f"# emfast {emfast.__version__}, Python 3")
    kept = sorted(p.name for p in (tmp_path / "segments.zarr.work").iterdir())
    assert kept == [
        "emfast.txt",
        "fragments",
        "fragments.json",
        "fragments.zarr",
        "graphs",
        "segments-mean-0.6",
        "source.json",
        "tree-mean-0.6.npz",
    ]


def test_other_thresholds_begin_with_the_tree(tmp_path, tissue, source, monkeypatch):
    recipe = {"agglomeration": {"until": 0.25}}
    emfast.segment(source, tmp_path / "a.zarr", recipe=recipe, work=tmp_path / "work", block=(16, 32, 32))
    monkeypatch.setattr(emfast.blockwise, "watershed", None)
    monkeypatch.setattr(emfast.blockwise, "agglomerate", None)
    found = emfast.segment(source, tmp_path / "b.zarr", thresholds=(0.3, 0.8), work=tmp_path / "work")
    for volume, threshold in zip(found, (0.3, 0.8), strict=True):
        equal(volume[...], emfast.segment_affinities(tissue, threshold=threshold))
        assert np.array_equal(emfast.open_volume(f"{tmp_path}/b.zarr/{threshold}")[...], volume[...])


def test_another_score_begins_with_the_graphs(tmp_path, tissue, source, monkeypatch):
    emfast.segment(source, tmp_path / "a.zarr", work=tmp_path / "work", block=(16, 32, 32))
    monkeypatch.setattr(emfast.blockwise, "watershed", None)
    found = emfast.segment(source, tmp_path / "c.zarr", thresholds=0.2, work=tmp_path / "work")  # the tree ends at 0.5
    equal(found[...], emfast.segment_affinities(tissue, threshold=0.2))
    recipe = {"agglomeration": {"score": "max"}}
    found = emfast.segment(source, tmp_path / "b.zarr", recipe=recipe, work=tmp_path / "work")
    equal(found[...], emfast.segment_affinities(tissue, score="max"))


def test_tables_that_do_not_fit_are_told(tissue, monkeypatch):
    plan = pipeline.plan_segment(tissue, memory="2GB")
    monkeypatch.setattr(pipeline, "_TABLES", 2e9 / plan.fragments)  # bytes for each fragment
    with pytest.warns(UserWarning, match=r"memory 2GB may not do: .* tables of about [\d,]+ fragments, \d"):
        emfast.segment(tissue, memory="2GB")


def test_another_watershed_needs_another_folder(tmp_path, tissue, source):
    emfast.segment(source, work=tmp_path / "work", block=(16, 32, 32))
    with pytest.raises(ValueError, match=r"where watershed was .*choose another or remove it"):
        emfast.segment(source, work=tmp_path / "work", recipe=SHARP)
    with pytest.raises(ValueError, match=r"where source was .*choose another or remove it"):
        emfast.segment(tissue, work=tmp_path / "work")


def _segment(source, target):
    emfast.segment(source, target, block=(16, 16, 24), recipe=SHARP)


@pytest.mark.parametrize("seconds", [0.8, 1.2, 1.6])
def test_a_run_that_was_killed_goes_on(tmp_path, tissue, source, seconds):
    target = tmp_path / "segments.zarr"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_segment, args=(str(source), str(target)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    found = emfast.segment(source, target, block=(16, 16, 24), recipe=SHARP)
    equal(found[...], emfast.segment_affinities(tissue, low=0.2, high=0.9))


def test_recipes_come_back_and_name_their_mistakes(tmp_path):
    recipe = pipeline.Recipe(
        thresholds=(0.2, 0.4),
        watershed=pipeline.Watershed(low=0.05, quantile=True, dust=7),
        agglomeration=pipeline.Agglomeration(score="quantile:0.75", until=0.1, big_size=100),
    )
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert pipeline.read_recipe(tmp_path / "r.yaml") == recipe
    for text, words in [
        ("watershed: {lo: 0.1}", "watershed.lo is no setting of these: .* did you mean low?"),
        ("tresholds: [0.5]", "tresholds is no setting of these: .* did you mean thresholds?"),
        ("thresholds: [0.5, 0.5]", "thresholds must differ"),
        ("thresholds: [1.5]", "thresholds must be from 0 to 1"),
        ("thresholds: []", "thresholds must be at least one"),
        ("thresholds: [0.2]\nagglomeration: {until: 0.3}", "thresholds must not be below agglomeration.until"),
        ("agglomeration: {score: mean * contact}", "score must be mean, min, max, median or a quantile"),
        ("watershed: {low: 0.5, high: 0.4}", "low and high must satisfy"),
    ]:
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(ValueError, match=words):
            pipeline.read_recipe(tmp_path / "r.yaml")


def test_targets_are_as_many_as_thresholds(tmp_path):
    affinities = np.zeros((2, 3, 3), "f4")
    with pytest.raises(ValueError, match=r"target must be one for each threshold \(2\), got 1"):
        emfast.segment(affinities, [np.zeros((3, 3), "u4")], thresholds=(0.2, 0.4))
    with pytest.raises(ValueError, match="or a Zarr or HDF5 file"):
        emfast.segment(affinities, tmp_path / "a.tif", thresholds=(0.2, 0.4))
    with pytest.raises(TypeError, match="recipe must be a Recipe, a mapping or the path"):
        emfast.segment(affinities, recipe=7)


def test_the_plan(source):
    plan = pipeline.plan_segment(source, memory="2GB", block=(16, 32, 32))
    assert plan.plan.blocks == 3 * 2 * 3
    assert plan.bytes <= 2e9
    assert plan.disk == 40 * 64 * 72 * (4 + 4 + 4)
    lines = str(plan).splitlines()
    assert lines[0] == "volume   40 by 64 by 72, 0.2 Mvoxels"
    assert [line.split()[0] for line in lines] == ["volume", "blocks", "tables", "disk", "time"]
    with pytest.raises(ValueError, match="memory must be at least"):
        pipeline.plan_segment(source, memory="1MB")


# ---- the command


def test_the_command(tmp_path, tissue, source, capsys):
    (tmp_path / "r.yaml").write_text("watershed: {low: 0.2}\n")
    words = ["segment", str(source), str(tmp_path / "s.zarr"), "--recipe", str(tmp_path / "r.yaml"), "--high", "0.9"]
    words += ["--threshold", "0.4,0.6", "--block", "16,32,32", "--memory", "2GB"]
    assert main([*words, "--dry-run"]) == 0
    assert "18 blocks" in capsys.readouterr().out
    assert not (tmp_path / "s.zarr").exists()
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "(40, 64, 72) uint32, threshold 0.4" in out
    assert "Mvoxels/s" in out
    for threshold in (0.4, 0.6):
        wanted = emfast.segment_affinities(tissue, threshold=threshold, low=0.2, high=0.9)
        equal(emfast.open_volume(tmp_path / f"s.zarr/{threshold}")[...], wanted)
        assert (tmp_path / f"s.zarr.{threshold}.yaml").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--memory", "1kB"], "memory must be at least"),
        (["--threshold", "2"], "thresholds must be from 0 to 1"),
        (["--score", "sum"], "score must be mean, min, max"),
        (["--low", "0.99"], "low and high must satisfy"),
    ],
)
def test_mistakes_in_the_command(tmp_path, source, capsys, options, words):
    assert main(["segment", str(source), str(tmp_path / "s.zarr"), *options]) == 2
    assert words in capsys.readouterr().err


# ---- what is damaged between two calls


def test_a_damaged_piece_of_the_fragments_is_noticed(tmp_path, source):
    emfast.segment(source, work=tmp_path / "work", block=(16, 32, 32))
    with emfast.open_volume(tmp_path / "work" / "fragments.zarr", mode="r+") as volume:
        volume[:16, :32, :32] = volume[:16, :32, :32] + 1
    with pytest.raises(emfast.errors.BlocksFailed, match="CorruptData"):
        emfast.segment(source, work=tmp_path / "work", thresholds=0.7)


@pytest.fixture
def small(tissue):
    pytest.importorskip("zarr")
    return np.ascontiguousarray(tissue[:, :12, :24, :24])


def _same(found, affinities, threshold=0.5):
    equal(found, emfast.segment_affinities(affinities, threshold=threshold))


@pytest.mark.parametrize("damage", [None, "", "null", "[]", "7", '"x"', '{"emfast": ', "[" * 100_000])
def test_a_folder_that_does_not_say_of_which_source_is_refused(tmp_path, small, damage):
    work = tmp_path / "work"
    _same(emfast.segment(small, work=work, block=12), small)
    other = 1 - small
    if damage is None:
        (work / "source.json").unlink()
    else:
        (work / "source.json").write_text(damage)
    before = sorted(work.rglob("*"))
    for source in (other, small):
        with pytest.raises(ValueError, match=r"got .*work, which holds fragments but no source.json .*or remove it"):
            emfast.segment(source, work=work, block=12)
    assert sorted(work.rglob("*")) == before
    shutil.rmtree(work)
    _same(emfast.segment(other, work=work, block=12), other)


@pytest.mark.parametrize("kept", ["lost", "graphs", "tree-mean-0.5.npz", "segments-mean-0.5", "fragments.json"])
def test_anything_of_a_former_source_is_refused(tmp_path, small, kept):
    work = tmp_path / "work"
    work.mkdir()
    (work / "emfast.txt").write_text("emfast.segment")
    (work / kept).mkdir()
    with pytest.raises(ValueError, match=f"which holds {kept} but no source.json"):
        emfast.segment(small, work=work)


def test_a_stamp_of_other_names_is_compared_by_those_wanted(tmp_path, small):
    work = tmp_path / "work"
    emfast.segment(small, work=work, block=12)
    found = json.loads((work / "source.json").read_text())
    (work / "source.json").write_text(json.dumps({**found, "more": None}))
    _same(emfast.segment(small, work=work, block=12), small)
    (work / "source.json").write_text("{}")
    with pytest.raises(ValueError, match="where emfast was None and not"):
        emfast.segment(small, work=work, block=12)


@pytest.mark.parametrize("mark", [None, "", "emfast.seg", "emfast.segment"])
@pytest.mark.parametrize("begun", [[], [".lock"], [".lock", ".source.json.7-7.part"], [".lock", "source.json"]])
def test_a_run_that_was_killed_at_its_beginning_goes_on(tmp_path, small, mark, begun):
    """The mark comes first, then the stamp; either may be half written."""
    whole = mark == "emfast.segment"
    work = tmp_path / "work"
    work.mkdir()
    for name in begun if whole else begun[:1]:
        (work / name).touch()
    if mark is not None:
        (work / "emfast.txt").write_text(mark)
    for _ in range(2):
        _same(emfast.segment(small, work=work, block=12), small)


def test_the_stamp_is_written_before_anything_else(tmp_path, small, monkeypatch):
    work = tmp_path / "work"
    with monkeypatch.context() as patched:
        patched.setattr(emfast.blockwise, "watershed", None)
        with pytest.raises(TypeError):
            emfast.segment(small, work=work, block=12)
    assert sorted(p.name for p in work.iterdir()) == ["emfast.txt", "source.json"]
    _same(emfast.segment(small, work=work, block=12), small)


def test_a_mark_and_a_stamp_that_are_there_are_not_written_again(tmp_path, small):
    work = tmp_path / "work"
    emfast.segment(small, work=work, block=12)
    written = [(work / name).stat() for name in ("emfast.txt", "source.json")]
    emfast.segment(small, work=work, block=12)
    again = [(work / name).stat() for name in ("emfast.txt", "source.json")]
    assert [(s.st_ino, s.st_mtime_ns) for s in again] == [(s.st_ino, s.st_mtime_ns) for s in written]


@pytest.mark.parametrize("damage", ["", "[]", "{}", "other", "no stamp", "no volume", "no header", "no journal"])
def test_fragments_that_are_gone_or_unknown_are_made_again(tmp_path, small, damage):
    """And what was made of them, but nothing else."""
    work = tmp_path / "work"
    emfast.segment(small, work=work, block=12, thresholds=(0.5, 0.7))
    stamp = work / "fragments.json"
    if damage == "other":
        stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "emfast": "0.0.1"}))
    elif damage == "no stamp":
        stamp.unlink()
    elif damage == "no volume":
        shutil.rmtree(work / "fragments.zarr")
    elif damage == "no header":
        (work / "fragments.zarr" / "zarr.json").unlink()
    elif damage == "no journal":
        shutil.rmtree(work / "fragments")
    else:
        stamp.write_text(damage)
    (work / "mine.txt").touch()
    tables = (work / "segments-mean-0.5.yaml").read_text()
    for _ in range(2):
        _same(emfast.segment(small, work=work, block=12), small)
        assert not (work / "segments-mean-0.7").exists()
    assert (work / "mine.txt").exists() and (work / "segments-mean-0.7.yaml").exists()
    assert (work / "segments-mean-0.5.yaml").read_text() == tables
    _same(emfast.segment(small, work=work, block=12, thresholds=0.7), small, 0.7)


def test_stamps_are_removed_before_what_they_speak_of(tmp_path, monkeypatch):
    for name in ("a", "z"):
        (tmp_path / name).mkdir()
    for name in ("b.json", "y.json", ".lock"):
        (tmp_path / name).touch()

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear(str(tmp_path), but=("y.json",))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "a", "y.json", "z"]
