"""``emfast segment`` on affinities ten times as large as the memory it may use: the peak of the process is below."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import emfast

pytest.importorskip("zarr")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or "EMFAST_SANITIZER" in os.environ, reason="peak memory is read in /proc, unsanitized"
    ),
]

TILE = 128
# Prints what the interpreter holds with the modules of the command, and what it held at most after it.
RUN = """
import sys
import emfast.blockwise, emfast.pipeline
from emfast._engine.plan import _resident
from emfast.cli import main

base = _resident()
code = main(sys.argv[1:]) if len(sys.argv) > 1 else 0
with open("/proc/self/status") as file:
    peak = 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(base, peak)
sys.exit(code)
"""


def run(*words):
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return map(int, done.stdout.splitlines()[-1].split())


def tile():
    """Affinities with a fragment for each cell: edges are high in cells, low between them."""
    labels = emfast.phantom.make((TILE,) * 3, seed=1).labels
    affinities = np.random.default_rng(0).integers(210, 256, (3, *labels.shape), np.uint8)
    for axis in range(3):
        before = np.roll(labels, 1, axis)
        affinities[axis][labels != before] = 60
        affinities[axis][(labels == 0) & (before == 0)] = 5
    return affinities


def make(place, tiles):
    shape = tuple(TILE * n for n in tiles)
    files = {"chunks": (3, 32, 32, 32), "shards": (3, TILE, TILE, TILE)}
    one = tile()
    with emfast.open_volume(place, mode="x", shape=(3, *shape), dtype="u1", **files) as volume:
        for corner in np.ndindex(*tiles):
            volume[(slice(None), *(slice(TILE * k, TILE * (k + 1)) for k in corner))] = one
    return 3 * math.prod(shape)


def check(folder, tiles, memory):
    assert make(folder / "affinities.zarr", tiles) >= 10 * memory
    words = ["segment", folder / "affinities.zarr", folder / "segments.zarr", "--high", "0.8", "--workers", "1"]
    _, peak = run(*words, "--memory", memory)
    assert peak <= memory
    with emfast.open_volume(folder / "segments.zarr") as volume:
        part = volume[:TILE, :TILE, :TILE]
        assert volume.shape == tuple(TILE * n for n in tiles)
    assert len(emfast.unique(part)) > 2


def test_ten_times_the_memory(tmp_path):
    """Ten times all that the process holds, its interpreter included."""
    check(tmp_path, (5, 6, 7), 130_000_000)
