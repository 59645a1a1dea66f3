"""What decoders of recipes share: the answers of plain steps, of any floats, within the memory that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import emfast
from emfast import segmentation

pytest.importorskip("torch")

from emfast import recipes
from emfast.inference._segment import _check_room
from emfast.recipes._decoders import mutex_affinities

LONG = ((-2, 0, 0), (0, -4, 0), (0, 0, 3))
SHAPE = (16, 128, 128)

# Decodes a phantom whose half is background, and prints what it took beside the outputs.
DECODE = """
import sys
import numpy as np, emfast
from emfast import recipes
from emfast.recipes.affinities import LONG

def memory(name):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(name))

shape = tuple(map(int, sys.argv[1:]))
labels = emfast.phantom.make(shape, seed=1).labels
labels[..., : shape[2] // 2] = 0
chance = np.random.default_rng(0)
def said(offsets):
    near = emfast.affinities(labels, offsets=offsets, dtype="float32")
    return np.where(near > 0, 1 - 0.2 * chance.random(near.shape, "f4"), 0.09 * chance.random(near.shape, "f4"))
outputs = {"affinities": said(emfast.NEAREST), "long": said(LONG)}
decode = recipes.get("affinities").decode
decode({name: values[..., :32, :32] for name, values in outputs.items()})
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak begins anew
before = memory("VmRSS")
assert decode(outputs).any()
print(memory("VmHWM") - before)
"""


def outputs_of(seed, scale):
    """Affinities, of which nearest ones are high or low as a whole, long ones as chance has it."""
    rng = np.random.default_rng(seed)
    near, far = rng.random((3, 4, 9, 11), "f4"), rng.random((len(LONG), 4, 9, 11), "f4")
    near[:, :, :, :5] *= scale
    return {"affinities": near, "long": far}


@pytest.mark.parametrize("below", [0, 1, 2, 6])
@pytest.mark.parametrize("scale", [0.08, 0.3, 1.0])
@pytest.mark.parametrize("near", [0.0, 0.1, 1.0])
def test_what_is_left_out_changes_nothing(near, scale, below):
    for seed in range(4):
        outputs = outputs_of(seed, scale)
        both, every = np.concatenate([outputs["affinities"], outputs["long"]]), (*emfast.NEAREST, *LONG)
        for merge in (0.3, 0.6, 0.9):
            pieces = segmentation.mutex(both, every, near=near)
            plain = segmentation.gasp(both, every, fragments=pieces, bias=merge, below=below)
            found = mutex_affinities(outputs, LONG, near=near, merge=merge, below=below)
            assert found.dtype == plain.dtype and np.array_equal(found, plain)


def test_a_single_voxel_that_far_ones_hold_is_part_of_its_cell():
    outputs = {"affinities": np.full((3, 3, 9, 9), 0.9, "f4"), "long": np.full((3, 3, 9, 9), 0.95, "f4")}
    for k, step in enumerate(emfast.NEAREST):
        outputs["affinities"][k, 1, 4, 4] = outputs["affinities"][(k, *(np.array((1, 4, 4)) - step))] = 0.05
    every = {"near": 0.1, "below": 2}
    assert np.all(mutex_affinities(outputs, LONG, merge=0.3, **every) == 1)
    alone = mutex_affinities(outputs, LONG, merge=0.6, **every)
    assert alone[1, 4, 4] == 0 and np.count_nonzero(alone) == alone.size - 1


@pytest.mark.parametrize("name", ["affinities", "affinities_isotropic", "bailoni2022", "lee2017", "funke2018"])
def test_outputs_in_float64(name):
    recipe, rng = recipes.get(name), np.random.default_rng(0)
    outputs = {head.name: rng.random((head.outputs, 4, 12, 12), "f4") for head in recipe.method.heads}
    wide = {head: values.astype("f8") for head, values in outputs.items()}
    assert np.array_equal(recipe.decode(wide), recipe.decode(outputs))


@pytest.mark.skipif(
    sys.platform != "linux" or "EMFAST_SANITIZER" in os.environ, reason="peak memory is read in /proc, unsanitized"
)
def test_what_a_decoder_takes_is_asked_for():
    words = [sys.executable, "-c", DECODE, *map(str, SHAPE)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    method = recipes.get("affinities").method
    outputs = 4 * sum(head.outputs for head in method.heads) * int(np.prod(SHAPE))
    model, image = SimpleNamespace(method=method, recipe="affinities"), np.empty(SHAPE, "u1")
    with pytest.raises(MemoryError, match="source must fit into memory for the decoder of affinities: it takes about"):
        _check_room(model, image, outputs + int(done.stdout))
    _check_room(model, image, 12 * outputs)
