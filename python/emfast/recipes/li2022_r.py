"""Res-UNet-R: masks and contours of rat mitochondria by a residual U-Net with one decoder, whose blocks see a section
first; seeds grow to what lies nearest."""

from ._li2022 import recipe

RECIPE = recipe("li2022_r", "Res-UNet-R")
