"""Networks on the processor: made ready (emfast.nn.ready) beside the same module in plain torch.

Voxels are those of the output. In 16 bits answers agree to a few percent of their spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import emfast

from .harness import Case, Contender, optional
from .inputs import Inputs

torch = optional("torch")


def cases(inputs: Inputs) -> Iterator[Case]:
    if not torch:
        return
    from emfast import nn

    torch.set_num_threads(emfast.get_threads())
    plane, half = (1, 3, 3), (1, 2, 2)
    flat = nn.UNet(levels=tuple(nn.Level(16 * 2**k, kernel=plane, stride=half) for k in range(5)))
    rsunet = nn.UNet(
        levels=tuple(nn.Level(width, stride=half) for width in (24, 32, 48, 72, 104)),
        block=nn.Symmetric(),
        stem=nn.Convolved(24),
        activation="elu",
        skip="sum",
        up="nearest",
        head_kernel=(1, 5, 5),
    )
    for name, network, shape in (("2D U-Net 16-256, 512²", flat, (1, 512, 512)), ("RSUNet", rsunet, (16, 160, 160))):
        torch.manual_seed(0)
        module = network.build(1, {"out": 3 if network is rsunet else 1}).eval()
        image = torch.randn(1, 1, *shape)
        for precision in ("float32", "bfloat16"):
            dtype = getattr(torch, precision)
            yield Case(
                "networks",
                f"{name}, {precision}",
                image.numel(),
                _call(nn.ready(module, precision=precision), image),
                [
                    Contender("torch", _call(module, image), emfast.get_threads()),
                    Contender("torch, autocast", _call(module, image, dtype), emfast.get_threads())
                    if precision == "bfloat16"
                    else None,
                ],
                _near,
            )


def _call(module: Any, image: Any, dtype: Any = None) -> Any:
    def call() -> Any:
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
            return module(image)["out"].float().numpy()

    return call


def _near(ours: Any, theirs: Any) -> bool:
    return bool(np.linalg.norm(ours - theirs) <= 0.05 * np.linalg.norm(theirs))
