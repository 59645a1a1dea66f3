"""Volumes of Zarr, ten times and more what may be held in memory: scores, errors and their map keep below that."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emfast

SHAPE, CHUNKS, BLOCK = (64, 1024, 512), (8, 64, 64), (8, 64, 256)  # two volumes of 256 MiB, blocks of 1 MiB
CAP = 48 << 20

TASKS = {
    "contingency": "result = emfast.contingency(truth, labels, block=block).voxels",
    "evaluate": "result = emfast.evaluate(truth, labels, protocol='snemi3d', block=block)['adapted_rand_error']",
    "general": "result = emfast.evaluate(truth, labels, block=block)['voi_split']",
    "bootstrap": "result = emfast.evaluate(truth, labels, protocol='snemi3d', block=block, bootstrap=20).intervals",
    "compare": "result = len(emfast.compare(truth, labels, spacing=(30, 8, 8), block=block).events)",
    "error_map": "emfast.metrics.error_map(truth, labels, errors, out=out, block=block)",
    "shifts": "emfast.metrics.error_map(truth, labels, errors, out=out, block=block, shift=8)",
}

CAPPED = """
import ctypes, gc, sys
import zarr
import emfast

def memory(of):  # not getrusage: its peak begins with that of the process this one was started from
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(of))

def work(truth, labels, out, errors, block):
    {task}
    return locals().get("result")

volumes = [zarr.open_array(path, mode="r+" if path.endswith("out") else "r") for path in sys.argv[1:4]]
mapped = len(sys.argv) > 4
few = [zarr.array(volume[:16, :64], chunks=volume.chunks) for volume in volumes]
work(*few, mapped and emfast.compare(*few[:2]), {block})  # what is needed once
errors = mapped and emfast.Errors.load(sys.argv[4])
del few
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak begins anew
before = memory("VmRSS")
print(work(*volumes, errors, {block}))
print(memory("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Bricks of 32 voxels; the segmentation has shifted borders, and every eighth row is merged in pairs. And room for
    a map."""
    zarr = pytest.importorskip("zarr")
    folder = tmp_path_factory.mktemp("streamed")
    for name, shift in (("truth", 0), ("labels", 2)):
        volume = zarr.create_array(folder / name, shape=SHAPE, dtype="u8", chunks=CHUNKS)
        y, x = (((np.arange(n) + shift) // 32).astype("u8") for n in SHAPE[1:])
        x = np.where(shift and y[:, None] % 8 == 3, x // 2 * 2, x)
        for start in range(0, SHAPE[0], CHUNKS[0]):
            z = (np.arange(start, start + CHUNKS[0]) // 32).astype("u8")
            volume[start : start + len(z)] = (z[:, None, None] * 1000 + y[:, None]) * 1000 + x + 1
    zarr.create_array(folder / "out", shape=SHAPE, dtype="u1", chunks=CHUNKS)
    return folder


@pytest.mark.slow
@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitizer's memory is its own")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells how much memory was used")
@pytest.mark.parametrize("task", TASKS)
def test_streaming_from_zarr_keeps_to_its_memory(volumes, task, tmp_path):
    """What it takes is two blocks of each volume (4 MiB), the chunks they are cut out of, and the tables."""
    code = CAPPED.format(task=TASKS[task], block=BLOCK)
    arguments = [str(volumes / name) for name in ("truth", "labels", "out")]
    if task in ("error_map", "shifts"):
        zarr = pytest.importorskip("zarr")
        opened = [zarr.open_array(volumes / name, mode="r") for name in ("truth", "labels")]
        errors = emfast.compare(*opened, spacing=(30, 8, 8))
        errors.save(tmp_path / "errors.npz")
        arguments.append(str(tmp_path / "errors.npz"))
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, grown = done.stdout.split("\n")[:2]
    assert 2 * 8 * np.prod(SHAPE) > 10 * CAP
    assert found and int(grown) < CAP, grown
