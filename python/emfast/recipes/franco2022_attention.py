"""The one with attention gates of the stable networks, else as ``franco2022``."""

from __future__ import annotations

from dataclasses import replace

from .._settings import override
from . import franco2022

PLAIN = franco2022.RECIPE

RECIPE = replace(
    PLAIN,
    name="franco2022_attention",
    title="Stable 2D U-Net with attention",
    method=override(PLAIN.method, "network.gate", True),
)
decode = RECIPE.decode
