"""Mitochondria from few labels by a 3D network of factorised residual blocks, which draws the rows that it pools at
random: augmentation of features. The 3D one of two twins."""

from ._cheng2017 import recipe

RECIPE = recipe("cheng2017", "Factorised residual network, 3D", flat=False)
