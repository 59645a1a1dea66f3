"""The residual one of the stable networks: sums with the input of each level, without norms, else as ``franco2022``."""

from __future__ import annotations

from dataclasses import replace

from .._settings import override
from ..nn import Residual
from . import franco2022

PLAIN = franco2022.RECIPE

RECIPE = replace(
    PLAIN,
    name="franco2022_residual",
    title="Stable 2D residual U-Net",
    changed=f"{PLAIN.changed} That it has no norm is ours.",
    method=override(PLAIN.method, "network.block", Residual()),
)
decode = RECIPE.decode
