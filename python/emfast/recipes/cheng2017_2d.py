"""The 2D twin of cheng2017: the same network, section by section."""

from ._cheng2017 import recipe

RECIPE = recipe("cheng2017_2d", "Factorised residual network, 2D", flat=True)
