"""Res-UNet-H: as li2022_r, with a decoder for masks and another for contours, for human mitochondria, whose contours
are harder."""

from ._li2022 import recipe

RECIPE = recipe("li2022_h", "Res-UNet-H", decoders=(("mask",), ("contour",)))
