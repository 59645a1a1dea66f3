"""Sliding windows beside MONAI's: the bookkeeping alone, by a network that gives its input, and a real network from
store to store.

    python benchmarks/bench_inference.py [--threads 2] [--side 256]

The identity is asked for windows of 64³ side by side, as MONAI is with an overlap of 0, and with gaussian weights and
half of each window shared. The network is a small U-Net; its own rate is that of tiles of the same size without any
bookkeeping.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import emfast
from emfast.inference import Model
from emfast.inference._constants import Constants
from emfast.recipes import Head, Inference, Method
from emfast.targets import Semantic

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from networks import Identity, Tiny

WINDOW = (64, 64, 64)


def model(network: Any, **inference: Any) -> Model:
    head = Head("mask", Semantic(), (), activation="none")
    method = Method(network, (head,), WINDOW, inference=Inference(tile=WINDOW, **inference))
    torch.manual_seed(0)
    return Model(network.build(1, method.outputs()).eval(), method, Constants(128.0, 64.0))


def rate(call: Callable[[], Any], voxels: int, rounds: int = 5) -> float:
    """Mvoxels/s, the median of some calls."""
    call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return voxels / statistics.median(seconds) / 1e6


def bookkeeping(side: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (side, side, side), dtype=np.uint8)
    tensor = torch.from_numpy(image)[None, None].float()
    for name, blend, mode, overlap in (
        ("side by side", "crop", "constant", 0.0),
        ("half shared", "gaussian", "gaussian", 0.5),
    ):
        of = model(Identity(), blend=blend, overlap=overlap)
        if blend != "crop":
            of.module.geometry = emfast.nn.Geometry((3, 3, 3), (1, 1, 1), (0, 0, 0), (1, 1, 1))
        out = {"mask": np.empty((1, *image.shape), np.float32)}
        ours = rate(lambda of=of, out=out: emfast.predict(of, image, out, precision="float32"), image.size)
        wanted = (image.astype(np.float32) - 128) / 64
        assert np.allclose(out["mask"][0], wanted, atol=1e-5)
        theirs = None
        try:
            from monai.inferers import sliding_window_inference
        except ModuleNotFoundError:
            pass
        else:
            with torch.inference_mode():
                theirs = rate(
                    lambda mode=mode, overlap=overlap: sliding_window_inference(
                        tensor, WINDOW, 1, lambda x: x, overlap=overlap, mode=mode
                    ),
                    image.size,
                )
        beside = "" if theirs is None else f", MONAI {theirs:.0f}: {ours / theirs:.2f} times"
        print(f"{name:<14} {ours:.0f} Mvoxels/s{beside}")


def network(side: int) -> None:
    """Tiles of 64 give 60 each; the volume is some of them, so that none is run for nothing."""
    of = model(Tiny(width=16))
    step = WINDOW[0] - of.module.geometry.field[0] + 1
    count = max(1, side // step)
    image = np.random.default_rng(0).integers(0, 255, (count * step,) * 3, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        places = f"{folder}/in.zarr", f"{folder}/out.zarr"
        with emfast.open_volume(places[0], mode="w", like=image) as volume:
            volume[...] = image
        tile = torch.zeros((1, 1, *WINDOW))
        pure = rate(lambda: [of.module(tile) for _ in range(8)], 8 * step**3, 3)
        ours = rate(lambda: emfast.predict(of, *places, dtype="float16"), image.size, 3)
    print(f"store to store {ours:.2f} Mvoxels/s, the network alone {pure:.2f}: {100 * ours / pure:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=256)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    emfast.set_threads(chosen.threads)
    print(f"{chosen.threads} threads, torch {torch.__version__}, volume {chosen.side}³")
    bookkeeping(chosen.side)
    network(chosen.side // 2)


if __name__ == "__main__":
    main()
