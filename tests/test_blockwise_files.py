"""Operations in blocks on volumes in files: what is written, what is left, and what a second run does with it."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import emfast
from emfast import blockwise

SHAPE = (40, 48, 56)
BLOCK = (16, 32, 32)


@pytest.fixture(scope="module")
def labels():
    """Cells with holes in their middle; ids far apart."""
    phantom = emfast.phantom.make(SHAPE, seed=3)
    labels = (phantom.labels.astype(np.uint64) * 1001) * (phantom.mitochondria == 0)
    labels[emfast.edt(labels) >= 6] = 0
    return labels


@pytest.fixture
def source(tmp_path, labels):
    pytest.importorskip("zarr")
    place = tmp_path / "labels.zarr"
    with emfast.open_volume(place, mode="w", shape=SHAPE, dtype=labels.dtype, spacing=(40, 4, 4)) as volume:
        volume[...] = labels
    return place


def half(labels):
    ids = emfast.unique(labels)
    return ids, ids // 2


OPERATIONS = {
    "edt": lambda module, labels, *target, **options: module.edt(labels, *target, spacing=(40, 4, 4), **options),
    "signed_distance": lambda module, labels, *target, **options: module.signed_distance(labels, *target, **options),
    "clipped": lambda module, labels, *target, **options: module.signed_distance(labels, *target, clip=5, **options),
    "renumber": lambda module, labels, *target, **options: module.renumber(labels, *target, **options)[0],
    "remap": lambda module, labels, *target, **options: module.remap(labels, half(LABELS), *target, **options),
    "dust": lambda module, labels, *target, **options: module.dust(labels, *target, below=3000, **options),
    "largest_k": lambda module, labels, *target, **options: module.largest_k(labels, 3, *target, **options),
    "fill_holes": lambda module, labels, *target, **options: module.fill_holes(labels, *target, **options),
    "sections": lambda module, labels, *target, **options: module.fill_holes(
        labels, *target, per_section=True, **options
    ),
}
LABELS = np.arange(100_000, dtype=np.uint64)


@pytest.mark.parametrize("name", OPERATIONS)
def test_from_file_to_file(tmp_path, source, labels, name, monkeypatch):
    monkeypatch.setattr(blockwise.distance, "_VOXELS", 60_000)  # so that there are passes
    call = OPERATIONS[name]
    block = (40, 48, 56) if name == "sections" else BLOCK
    found = call(blockwise, source, tmp_path / "out.zarr", block=block)
    wanted = call(emfast, labels)
    assert found.dtype == wanted.dtype and np.array_equal(found[...], wanted)
    assert not np.array_equal(wanted, labels), "an operation that does something"
    assert found.spacing == (40, 4, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "out.zarr"]


@pytest.mark.parametrize("voxels", [1, 60_000, 1 << 20])
def test_distances_in_any_number_of_passes(tmp_path, source, labels, voxels, monkeypatch):
    monkeypatch.setattr(blockwise.distance, "_VOXELS", voxels)
    found = blockwise.edt(source, tmp_path / "out.zarr", spacing=(40, 4, 4), block=BLOCK)
    assert np.array_equal(found[...], emfast.edt(labels, spacing=(40, 4, 4)))


def test_distances_in_little_memory(tmp_path, source, labels):
    """Lines as short as memory asks for; what it cannot hold at all is refused."""
    held = emfast._engine.plan._resident()
    found = blockwise.edt(source, tmp_path / "out.zarr", spacing=(40, 4, 4), memory=held + 50_000_000)
    assert np.array_equal(found[...], emfast.edt(labels, spacing=(40, 4, 4)))
    with pytest.raises(ValueError, match="memory must be at least"):
        blockwise.edt(labels, memory="1KB")


def test_statistics_of_a_file(tmp_path, source, labels):
    options = {"spacing": (40, 4, 4), "moments": True, "surface": True, "radius": True}
    found = blockwise.statistics(source, block=BLOCK, work=tmp_path / "work", **options)
    assert found == emfast.statistics(labels, **options)
    assert np.array_equal(blockwise.unique(source, block=BLOCK), emfast.unique(labels))


class Stopped(Exception):
    pass


@pytest.mark.parametrize("name", ["edt", "dust", "fill_holes", "renumber", "remap"])
def test_a_run_that_was_cut_short_goes_on(tmp_path, source, labels, name, monkeypatch):
    """After every few blocks, in any pass."""
    monkeypatch.setattr(blockwise.distance, "_VOXELS", 60_000)
    call, target, stops = OPERATIONS[name], tmp_path / "out.zarr", []

    def stop(done, total):
        stops.append(done)
        if len(stops) % 3 == 0:
            raise Stopped

    for _ in range(50):
        try:
            found = call(blockwise, source, target, block=BLOCK, workers=1, progress=stop)
            break
        except Stopped:
            assert target.with_suffix(".zarr.work").is_dir()
    assert len(stops) > 6, "it was stopped more than once"
    assert np.array_equal(found[...], call(emfast, labels))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "out.zarr"]


def test_a_folder_that_goes_is_gone_at_once(tmp_path, source, labels, monkeypatch):
    """A kill while it is removed leaves nothing that the next run takes for a beginning."""
    call, target = OPERATIONS["dust"], tmp_path / "out.zarr"

    remove = shutil.rmtree

    def killed(folder, **options):
        if not str(folder).endswith(".gone") or not os.path.exists(folder):
            return remove(folder, **options)
        (Path(folder) / "local.zarr" / "zarr.json").unlink()
        raise Stopped

    monkeypatch.setattr(blockwise._run.shutil, "rmtree", killed)
    with pytest.raises(Stopped):
        call(blockwise, source, target, block=BLOCK)
    monkeypatch.undo()
    assert np.array_equal(call(blockwise, source, target, block=BLOCK)[...], call(emfast, labels))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "out.zarr"]


@pytest.mark.parametrize("below", [[10, 5000], [5000, 10]])
def test_a_kept_folder_is_not_taken_for_another_job(tmp_path, source, labels, below):
    """Another question with the same folder is answered anew, or refused; never by what was left there."""
    for k, most in enumerate(below):
        try:
            found = blockwise.dust(source, tmp_path / f"{k}.zarr", below=most, block=BLOCK, work=tmp_path / "work")
        except ValueError as error:
            assert "journal" in str(error)
        else:
            assert np.array_equal(found[...], emfast.dust(labels, below=most))


# ---- on a cluster


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    address = "127.0.0.1:0"
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=address,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def on_a_cluster(test):
    """Slow, and with Dask's own warnings and threads."""
    for mark in (
        pytest.mark.slow,
        pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized threads and processes"),
        pytest.mark.filterwarnings("default"),
    ):
        test = mark(test)
    return test


@on_a_cluster
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_a_cluster(tmp_path, source, labels, name, client, monkeypatch):
    monkeypatch.setattr(blockwise.distance, "_VOXELS", 60_000)
    call = OPERATIONS[name]
    found = call(
        blockwise, source, tmp_path / "out.zarr", block=(40, 48, 56) if name == "sections" else BLOCK, client=client
    )
    wanted = call(emfast, labels)
    assert found.dtype == wanted.dtype and np.array_equal(found[...], wanted)


@on_a_cluster
def test_tables_and_lines_on_a_cluster(tmp_path, source, labels, client):
    options = {"spacing": (40, 4, 4), "moments": True, "surface": True, "radius": True}
    blocks = {"block": BLOCK, "client": client, "work": tmp_path / "work"}
    assert blockwise.statistics(source, **options, **blocks) == emfast.statistics(labels, **options)
    ids, counts = blockwise.unique(source, counts=True, **{**blocks, "work": tmp_path / "ids"})
    assert np.array_equal(ids, emfast.unique(labels)) and counts.sum() == labels.size
    blocks["work"] = tmp_path / "lines"
    found = blockwise.skeletonize(source, spacing=(40, 4, 4), **blocks)
    assert found == emfast.skeletonize(labels, spacing=(40, 4, 4))
    blocks["work"] = tmp_path / "pieces"
    pieces = blockwise.skeletonize(source, spacing=(40, 4, 4), largest=8000, **blocks)
    assert pieces == blockwise.skeletonize(labels, spacing=(40, 4, 4), largest=8000)
    assert pieces != found
