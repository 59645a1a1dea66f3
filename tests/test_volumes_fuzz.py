"""Damaged files of every format: an error that names the file, or an array as the header says it; nothing else.

Native libraries stand behind some formats: those are read in a process of their own, where a crash is seen.
"""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fuzz
import mutations

pytest.importorskip("numcodecs")
NATIVE = ("hdf5", "precomputed", "labels")
CHECKED = ("zarr", "zarr raw", "zarr blosc", "zarr gzip", "ome 0.5")  # with a crc32c of every chunk
TOLD = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
MOST = 32 << 20  # bytes, of files of some hundred


def needs(kind):
    pytest.importorskip(mutations.LIBRARIES.get(kind, "numpy"))
    if kind.startswith(("zarr", "ome")):  # a damaged header may name a codec that only the library knows
        pytest.importorskip("zarr", minversion="3")


@pytest.fixture(scope="module", params=[kind for kind in mutations.KINDS if kind not in NATIVE])
def sound(request, tmp_path_factory):
    needs(request.param)
    folder = tmp_path_factory.mktemp("sound")
    uri = mutations.make(request.param, folder)
    return request.param, folder, uri, mutations.read(uri)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_told_or_read(sound, seed, tmp_path, caplog):
    kind, folder, uri, array = sound
    caplog.set_level("CRITICAL")
    work = tmp_path / "work"
    mutations.copied(folder, work)
    file = mutations.damage(work, np.random.default_rng(seed))
    tracemalloc.start()
    try:
        found = mutations.read(uri.replace(str(folder), str(work)))
    except TOLD as error:
        assert str(work) in str(error)
    else:
        if kind in CHECKED and file.suffix != ".json":
            assert np.array_equal(found, array)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST


@pytest.mark.parametrize("kind", NATIVE)
def test_native_readers_do_not_crash(kind, tmp_path):
    needs(kind)
    command = [sys.executable, "-W", "ignore", __file__, kind, str(tmp_path), "40"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "40"


@pytest.mark.parametrize("kind", mutations.KINDS)
@pytest.mark.filterwarnings("ignore")
def test_every_shortened_file_is_noticed(kind, tmp_path, caplog):
    """Each file of a volume, at every length (or at some of many), alone."""
    needs(kind)
    caplog.set_level("CRITICAL")
    folder, work = tmp_path / "sound", tmp_path / "work"
    folder.mkdir()
    uri = mutations.make(kind, folder)
    array = mutations.read(uri)
    for file in mutations.files_below(folder):
        size = file.stat().st_size
        for length in sorted({0, 1, size // 3, size // 2, size - 9, size - 1} & set(range(size))):
            mutations.copied(folder, work)
            short = work / file.relative_to(folder)
            short.write_bytes(file.read_bytes()[:length])
            try:
                found = mutations.read(uri.replace(str(folder), str(work)))
            except TOLD as error:
                assert str(work) in str(error)
            else:  # what is cut off was of no account
                assert np.array_equal(found, array)


@pytest.mark.parametrize("kind", fuzz.OTHERS)
def test_files_of_our_own(kind):
    """Recipes, journals, graphs, trees, and names within a file; ``python tests/fuzz.py`` does all for longer."""
    pytest.importorskip({"recipe": "yaml", "hdf5 names": "h5py"}.get(kind, "numpy"))
    pytest.importorskip("zarr")
    assert fuzz.parser_of(kind, first=0, count=60, seconds=60)[::2] == (60, 0)


def main(kind, folder, count):
    import logging

    logging.disable(logging.CRITICAL)
    sound, work = Path(folder) / "sound", Path(folder) / "work"
    sound.mkdir()
    uri = mutations.make(kind, sound)
    for seed in range(int(count)):
        mutations.copied(sound, work)
        mutations.damage(work, np.random.default_rng(seed))
        try:
            mutations.read(uri.replace(str(sound), str(work)))
        except TOLD as error:
            assert str(work) in str(error), error
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
