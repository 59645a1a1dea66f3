"""Damaged pieces of a user's volume: an error by default; with on_corrupt="skip" zeros, the same in every pass, told in
the end and beside the target."""

import json
import warnings
from functools import partial

import numpy as np
import pytest

import emfast
from emfast import blockwise
from emfast._engine.mended import Mended, Notes

pytest.importorskip("zarr")

SHAPE, CHUNKS, BLOCK = (16, 24, 20), (8, 8, 10), (8, 16, 20)
BAD = (slice(8, 16), slice(8, 16), slice(0, 10))  # the chunk 1, 1, 0


def damage(place, chunk):
    """Flip a bit in the middle of the file of a chunk."""
    path = place.joinpath("c", *map(str, chunk))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def stored(place, array, chunks):
    with emfast.open_volume(place, mode="w", like=array, chunks=chunks, shards=chunks, spacing=(30, 8, 8)) as volume:
        volume[...] = array
    return place


@pytest.fixture(scope="module")
def tissue():
    return emfast.phantom.make(SHAPE, seed=5, spacing=(30, 8, 8))


@pytest.fixture
def labels(tissue, tmp_path):
    """A store of labels of which a chunk is damaged, and what it holds for those who skip that."""
    place = stored(tmp_path / "labels.zarr", tissue.labels, CHUNKS)
    damage(place, (1, 1, 0))
    sound = tissue.labels.copy()
    sound[BAD] = 0
    assert (sound != tissue.labels).any()
    return place, sound


def test_the_store_is_damaged_as_the_tests_want_it(labels):
    with emfast.open_volume(labels[0]) as volume, pytest.raises(emfast.errors.CorruptData, match=r"1, 1, 0|1/1/0"):
        volume[...]


VOLUMES = {
    "connected_components": {},
    "edt": {"spacing": (30, 8, 8)},
    "signed_distance": {"clip": 40.0, "spacing": (30, 8, 8)},
    "dust": {"below": 30},
    "fill_holes": {},
    "renumber": {"order": "size"},
    "remap": {"table": {1: 7, 2: 9}, "missing": "keep"},
}
TABLES = {
    "statistics": {"surface": True, "radius": True},
    "contacts": {},
    "unique": {"counts": True},
    "skeletonize": {"spacing": (30, 8, 8)},
}


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("in_files", [True, False])
def test_volumes_are_those_of_zeros_there(name, in_files, labels, tmp_path):
    place, sound = labels
    target = tmp_path / "out.zarr" if in_files else None
    call = partial(getattr(blockwise, name), place, target=target, block=BLOCK, **VOLUMES[name])
    with pytest.raises(emfast.errors.BlocksFailed, match="CorruptData"):
        call()
    with pytest.warns(UserWarning, match=r"1 damaged piece was taken for zeros: .*labels\.zarr.*8:16, 8:16, 0:10"):
        found = call(on_corrupt="skip")
    wanted = getattr(emfast, name)(sound, **VOLUMES[name])
    found, wanted = (both[0] if name == "renumber" else both for both in (found, wanted))
    assert found.dtype == wanted.dtype
    assert np.array_equal(found[...], wanted)
    beside = tmp_path / "out.zarr.lost.json"
    assert beside.exists() == in_files
    if in_files:
        (lost,) = json.loads(beside.read_text())
        assert lost["box"] == [[8, 16], [8, 16], [0, 10]]
        assert lost["volume"] == str(place) and str(place) in lost["cause"]
        assert not (tmp_path / "out.zarr.work").exists()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_zeros_there(name, labels):
    place, sound = labels
    call = partial(getattr(blockwise, name), place, block=BLOCK, **TABLES[name])
    with pytest.raises(emfast.errors.BlocksFailed, match="CorruptData"):
        call()
    with pytest.warns(UserWarning, match="1 damaged piece was taken for zeros"):
        found = call(on_corrupt="skip")
    wanted = getattr(emfast, name)(sound, **TABLES[name])
    if name == "unique":
        assert all(map(np.array_equal, found, wanted))
    else:
        assert found == wanted


def test_a_run_that_failed_goes_on_with_what_it_has(labels, tmp_path):
    place, sound = labels
    target, done = tmp_path / "out.zarr", []
    with pytest.raises(emfast.errors.BlocksFailed):
        blockwise.edt(place, target, block=BLOCK, work=tmp_path / "work")
    with pytest.warns(UserWarning, match="taken for zeros"):
        blockwise.edt(
            place, target, block=BLOCK, work=tmp_path / "work", on_corrupt="skip", progress=lambda k, n: done.append(k)
        )
    assert done[0] > 0
    assert np.array_equal(emfast.open_volume(target)[...], emfast.edt(sound))


def test_what_is_sound_is_told_no_more(labels, tissue, tmp_path):
    place, _ = labels
    target = tmp_path / "out.zarr"
    with pytest.warns(UserWarning):
        blockwise.connected_components(place, target, block=BLOCK, on_corrupt="skip")
    stored(place, tissue.labels, CHUNKS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = blockwise.connected_components(place, target, block=BLOCK, on_corrupt="skip")
    assert np.array_equal(found[...], emfast.connected_components(tissue.labels))
    assert not (tmp_path / "out.zarr.lost.json").exists()


def test_crops_lose_no_more_than_the_chunk(labels, tissue, tmp_path):
    place, _ = labels
    window = (slice(3, 15), slice(5, 24), slice(1, 19))
    sound = tissue.labels.copy()
    sound[BAD] = 0
    with emfast.open_volume(place) as volume:
        notes = Notes(None)
        part = Mended(volume.crop(window), notes)
        assert np.array_equal(part[...], sound[window])
        assert np.array_equal(part[6:9, 4, ::2], sound[window][6:9, 4, ::2])
    (lost,) = notes.all()
    assert lost.box == ((5, 12), (3, 11), (0, 9))


@pytest.fixture
def affinities(tissue, tmp_path):
    """Affinities of which a chunk of one channel is damaged, with what they are to those who skip that."""
    place = stored(tmp_path / "affinities.zarr", tissue.affinities, (1, *CHUNKS))
    damage(place, (2, 1, 1, 0))
    sound = tissue.affinities.copy()
    sound[(2, *BAD)] = 0
    return place, sound


def test_segment_skips_and_tells(affinities, tmp_path):
    place, sound = affinities
    target = tmp_path / "segments.zarr"
    with pytest.raises(emfast.errors.BlocksFailed, match="CorruptData"):
        emfast.segment(place, target, block=BLOCK)
    wanted = emfast.segment_affinities(sound)
    for _ in range(2):  # the second time nothing is read, and it is still known
        with pytest.warns(UserWarning, match=r"1 damaged piece was taken for zeros: .*affinities\.zarr"):
            found = emfast.segment(place, target, block=BLOCK, on_corrupt="skip")
        assert np.array_equal(found[...], wanted)
    (line,) = [line for line in (tmp_path / "segments.zarr.yaml").read_text().splitlines() if "damaged" in line]
    assert line.startswith("# damaged, taken for zeros: ") and str(place) in line
    assert emfast.pipeline.read_recipe(tmp_path / "segments.zarr.yaml") == emfast.pipeline.Recipe()


def test_segment_never_skips_what_it_wrote(affinities, tissue, tmp_path):
    place, _ = affinities
    stored(place, tissue.affinities, (1, *CHUNKS))
    emfast.segment(place, tmp_path / "a.zarr", block=BLOCK, work=tmp_path / "work")
    shard = next(path for path in sorted((tmp_path / "work" / "fragments.zarr" / "c").rglob("*")) if path.is_file())
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(emfast.errors.BlocksFailed, match="CorruptData"):
        emfast.segment(place, tmp_path / "b.zarr", work=tmp_path / "work", thresholds=0.7, on_corrupt="skip")


def test_other_words_are_refused(labels):
    with pytest.raises(ValueError, match="on_corrupt must be 'error' or 'skip', got 'drop'"):
        blockwise.unique(labels[0], on_corrupt="drop")
